//! What may stand next in a filter that is being written.

use super::filter::{FIELDS, Field, FieldKind};
use super::lex::{Lexed, Token, lex};

/// What is expected at the end of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// A field, or `not`, or `(`.
    Field,
    /// An operator of this field.
    Operator(&'static Field),
    /// A value of this field.
    Value(&'static Field),
    /// `and`, `or`, `)`, or another condition.
    Joint,
}

/// What may stand next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// What kind of word.
    pub expected: Expected,
    /// Where the word begins that is being written, in characters; the text's end if none is.
    pub from: usize,
    /// What of it is written.
    pub begun: String,
    /// Words that may stand there and begin so; values of most fields only the table knows.
    pub words: Vec<String>,
}

/// What may stand at the end of `text`: the filter up to the cursor.
pub fn complete(text: &str) -> Completion {
    let end = text.chars().count();
    // An open quote is a text that is being written.
    let (mut tokens, mut begun) = match lex(text) {
        Ok(tokens) => (tokens, None),
        Err(error) => {
            let before: String = text.chars().take(error.at).collect();
            let rest: String = text.chars().skip(error.at + 1).collect();
            (lex(&before).unwrap_or_default(), Some((error.at, rest)))
        }
    };
    let writes = text.chars().last().is_some_and(|c| !c.is_whitespace());
    if begun.is_none()
        && writes
        && let Some(Lexed { token: Token::Word(word), at }) = tokens.last().cloned()
    {
        tokens.pop();
        begun = Some((at, word));
    }
    let (from, begun) = begun.unwrap_or((end, String::new()));
    let expected = expected(&tokens);
    let mut words = match &expected {
        Expected::Field => {
            let mut words: Vec<String> = FIELDS.iter().map(|field| field.name.to_owned()).collect();
            words.push("not".to_owned());
            words
        }
        Expected::Operator(field) => field.operators().iter().map(|op| (*op).to_owned()).collect(),
        Expected::Value(field) => values(field),
        Expected::Joint => vec!["and".to_owned(), "or".to_owned()],
    };
    let lower = begun.to_lowercase();
    words.retain(|word| word.to_lowercase().starts_with(&lower));
    Completion { expected, from, begun, words }
}

/// Values that are always the same.
fn values(field: &Field) -> Vec<String> {
    let words: &[&str] = match (field.name, field.kind) {
        (_, FieldKind::Protocol) => &["tcp", "udp", "icmp", "ipv6-icmp", "gre", "esp", "sctp"],
        ("type", _) => crate::schema::FLOW_TYPES,
        ("direction", _) => crate::schema::DIRECTIONS,
        _ => &[],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn expected(tokens: &[Lexed]) -> Expected {
    let mut state = Expected::Field;
    let mut listed = None;
    for Lexed { token, .. } in tokens {
        let is = |word: &str| matches!(token, Token::Word(w) if w.eq_ignore_ascii_case(word));
        state = match (&state, token) {
            (Expected::Field | Expected::Joint, Token::Open) => Expected::Field,
            (Expected::Field, _) if is("not") => Expected::Field,
            (Expected::Joint, _) if is("and") || is("or") => Expected::Field,
            (Expected::Field | Expected::Joint, Token::Word(word)) => match Field::of(word) {
                Some(field) => Expected::Operator(field),
                None => Expected::Field,
            },
            (Expected::Operator(field), _) => {
                listed = is("in").then_some(*field);
                Expected::Value(field)
            }
            (Expected::Value(field), Token::Open) => Expected::Value(field),
            (Expected::Value(_), _) => Expected::Joint,
            (Expected::Joint, Token::Comma) => match listed {
                Some(field) => Expected::Value(field),
                None => Expected::Field,
            },
            (Expected::Joint, Token::Close) => Expected::Joint,
            _ => Expected::Field,
        };
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_follows_from_what_is_written() {
        let field = |name| Field::of(name).expect("a field");
        for (text, expected, begun, words) in [
            ("", Expected::Field, "", "src"),
            ("sr", Expected::Field, "sr", "src_port"),
            ("src ", Expected::Operator(field("src")), "", "!="),
            ("src = ", Expected::Value(field("src")), "", ""),
            ("proto = t", Expected::Value(field("proto")), "t", "tcp"),
            ("proto = tcp ", Expected::Joint, "", "and"),
            ("proto = tcp and ", Expected::Field, "", "site"),
            ("proto in (tcp, u", Expected::Value(field("proto")), "u", "udp"),
            ("not (src_", Expected::Field, "src_", "src_as"),
            ("site = \"ber", Expected::Value(field("site")), "ber", ""),
        ] {
            let found = complete(text);
            assert_eq!((&found.expected, found.begun.as_str()), (&expected, begun), "{text}");
            assert!(
                words.is_empty() || found.words.iter().any(|w| w == words),
                "{text}: {found:?}"
            );
            let rest: String = text.chars().skip(found.from).collect();
            assert!(rest.ends_with(begun), "{text}");
        }
    }
}
