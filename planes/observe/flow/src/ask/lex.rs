//! The words of a filter, with where they stand.

use super::filter::FilterError;

/// What a word is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// Between quotes.
    Text(String),
    Op(&'static str),
    Open,
    Close,
    Comma,
}

/// A word and where it begins, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lexed {
    pub(super) token: Token,
    pub(super) at: usize,
}

/// Longest filter, in characters.
pub(super) const MAX_CHARACTERS: usize = 2_000;
const OPERATORS: &[&str] = &["!=", "<=", ">=", "=", "<", ">", "~", "!"];

/// Cuts a filter into words.
pub(super) fn lex(text: &str) -> Result<Vec<Lexed>, FilterError> {
    let characters: Vec<char> = text.chars().collect();
    if characters.len() > MAX_CHARACTERS {
        return Err(FilterError::new(
            MAX_CHARACTERS,
            format!("the filter is longer than {MAX_CHARACTERS} characters"),
            "ask for prefixes or names instead of single addresses".to_owned(),
        ));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let begin = at;
        let token = match character {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' | ')' | ',' => {
                at += 1;
                match character {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                }
            }
            '"' | '\'' => {
                let rest = &characters[at + 1..];
                let Some(end) = rest.iter().position(|c| *c == character) else {
                    return Err(FilterError::new(
                        begin,
                        "a quote is opened and not closed".to_owned(),
                        format!("end the text with {character}"),
                    ));
                };
                at += end + 2;
                Token::Text(rest[..end].iter().collect())
            }
            _ => match operator(&characters[at..]) {
                Some(op) => {
                    at += op.len();
                    Token::Op(op)
                }
                None => {
                    while characters.get(at).is_some_and(|c| is_of_word(*c)) {
                        at += 1;
                    }
                    if at == begin {
                        return Err(FilterError::new(
                            begin,
                            format!("\"{character}\" means nothing here"),
                            "put texts with such characters between quotes".to_owned(),
                        ));
                    }
                    Token::Word(characters[begin..at].iter().collect())
                }
            },
        };
        tokens.push(Lexed { token, at: begin });
    }
    Ok(tokens)
}

fn operator(rest: &[char]) -> Option<&'static str> {
    OPERATORS
        .iter()
        .copied()
        .find(|op| op.chars().zip(rest).filter(|(a, b)| a == *b).count() == op.len())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | ':' | '/' | '_' | '-' | '+' | '*' | '@')
}
