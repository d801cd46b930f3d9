//! The little language in which a source says which rows it counts: comparisons of columns with values,
//! `AND`, `OR`, `NOT`, `IN`, `LIKE`, `BETWEEN`, `IS NULL`. It is a part of SQL's, read here and written anew as
//! SQL, so that what is asked of the event store is what was understood and nothing else.

use std::fmt::Write;

/// Longest text of a predicate, in bytes, and most comparisons in it.
const MAX_BYTES: usize = 2_048;
const MAX_TERMS: usize = 64;
const MAX_DEPTH: usize = 16;

/// What a row must be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// All of them hold.
    And(Vec<Self>),
    /// One of them holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A column compared with a value.
    Compare(Box<str>, Operator, Literal),
    /// A column that is one of these.
    In(Box<str>, Vec<Literal>),
    /// A column like a pattern of SQL.
    Like(Box<str>, Box<str>),
    /// A column between two values, both included.
    Between(Box<str>, Literal, Literal),
    /// A column without a value.
    IsNull(Box<str>),
    /// A column that is true.
    True(Box<str>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Equal,
    /// `<>`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Operator {
    /// The operator in SQL.
    pub const fn as_sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A value in a predicate.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `'text'`
    Text(Box<str>),
    /// A number, as it stood.
    Number(Box<str>),
    /// `true` or `false`
    Bool(bool),
}

/// What is wrong with a predicate, and at which character, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The character.
    pub at: usize,
    /// What is wrong.
    pub text: String,
}

impl Predicate {
    /// Reads a predicate.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Unread> {
        if text.len() > MAX_BYTES {
            let said = format!("it has {} bytes, the most are {MAX_BYTES}", text.len());
            return Err(Unread { at: 1, text: said });
        }
        let words = words(text)?;
        let mut reader = Reader { words: &words, next: 0, terms: 0, end: text.chars().count() + 1 };
        let predicate = reader.any(0)?;
        match reader.peek() {
            None => Ok(predicate),
            Some(word) => Err(reader.wrong(format!("{} is more than a condition", word.shown()))),
        }
    }

    /// The predicate as SQL over quoted columns.
    pub fn to_sql(&self) -> String {
        let mut sql = String::new();
        self.write(&mut sql);
        sql
    }

    fn write(&self, sql: &mut String) {
        let joined = |sql: &mut String, all: &[Self], word: &str| {
            sql.push('(');
            for (number, one) in all.iter().enumerate() {
                if number > 0 {
                    sql.push_str(word);
                }
                one.write(sql);
            }
            sql.push(')');
        };
        // Writing into a String does not fail.
        let _ = match self {
            Self::And(all) => {
                joined(sql, all, " AND ");
                Ok(())
            }
            Self::Or(all) => {
                joined(sql, all, " OR ");
                Ok(())
            }
            Self::Not(inner) => {
                sql.push_str("(NOT ");
                inner.write(sql);
                sql.push(')');
                Ok(())
            }
            Self::Compare(column, operator, value) => {
                write!(sql, "{} {} {}", quoted(column), operator.as_sql(), value.to_sql())
            }
            Self::In(column, values) => {
                let values: Vec<String> = values.iter().map(Literal::to_sql).collect();
                write!(sql, "{} IN ({})", quoted(column), values.join(", "))
            }
            Self::Like(column, pattern) => {
                write!(sql, "{} LIKE {}", quoted(column), text_sql(pattern))
            }
            Self::Between(column, from, to) => {
                write!(sql, "{} BETWEEN {} AND {}", quoted(column), from.to_sql(), to.to_sql())
            }
            Self::IsNull(column) => write!(sql, "{} IS NULL", quoted(column)),
            Self::True(column) => write!(sql, "{}", quoted(column)),
        };
    }

    /// Columns that must equal a text for the predicate to hold, with these texts.
    pub fn equalities(&self) -> Vec<(&str, &str)> {
        match self {
            Self::And(all) => all.iter().flat_map(Self::equalities).collect(),
            Self::Compare(column, Operator::Equal, Literal::Text(text)) => vec![(column, text)],
            Self::In(column, values) => {
                let texts = values.iter().filter_map(|value| match value {
                    Literal::Text(text) => Some((&**column, &**text)),
                    _ => None,
                });
                texts.collect()
            }
            _ => Vec::new(),
        }
    }

    /// The columns that it names.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::And(all) | Self::Or(all) => all.iter().flat_map(Self::columns).collect(),
            Self::Not(inner) => inner.columns(),
            Self::Compare(column, ..)
            | Self::In(column, _)
            | Self::Like(column, _)
            | Self::Between(column, ..)
            | Self::IsNull(column)
            | Self::True(column) => vec![column],
        }
    }
}

impl Literal {
    fn to_sql(&self) -> String {
        match self {
            Self::Text(text) => text_sql(text),
            Self::Number(number) => number.to_string(),
            Self::Bool(flag) => flag.to_string(),
        }
    }
}

/// A column's name in SQL.
pub fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

fn text_sql(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[derive(Debug, Clone, PartialEq)]
enum Word {
    /// A keyword in capitals, or a column.
    Name(String),
    /// `"column"`
    Quoted(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

impl Word {
    fn shown(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Quoted(name) => format!("\"{name}\""),
            Self::Text(text) => format!("'{text}'"),
            Self::Number(number) => number.clone(),
            Self::Sign(sign) => (*sign).to_owned(),
        }
    }

    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Name(name) if name.eq_ignore_ascii_case(keyword))
    }
}

/// The words of a predicate, each with the character at which it began.
fn words(text: &str) -> Result<Vec<(usize, Word)>, Unread> {
    const SIGNS: [&str; 11] = ["<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", ",", "-"];
    let all: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut next = 0;
    while let Some(&first) = all.get(next) {
        let at = next + 1;
        if first.is_whitespace() {
            next += 1;
        } else if first == '\'' || first == '"' {
            let mut inside = String::new();
            next += 1;
            loop {
                match (all.get(next), all.get(next + 1)) {
                    (Some(c), Some(d)) if *c == first && *d == first => {
                        inside.push(first);
                        next += 2;
                    }
                    (Some(c), _) if *c == first => break,
                    (Some(c), _) => {
                        inside.push(*c);
                        next += 1;
                    }
                    (None, _) => {
                        return Err(Unread { at, text: format!("{first} is not closed") });
                    }
                }
            }
            next += 1;
            words.push((at, if first == '"' { Word::Quoted(inside) } else { Word::Text(inside) }));
        } else if first.is_ascii_digit() {
            let rest = all[next..].iter();
            let number: String =
                rest.take_while(|c| c.is_ascii_digit() || **c == '.').copied().collect();
            next += number.len();
            if number.parse::<f64>().is_err() {
                return Err(Unread { at, text: format!("{number} is no number") });
            }
            words.push((at, Word::Number(number)));
        } else if first.is_ascii_alphabetic() || first == '_' {
            let rest = all[next..].iter();
            let fits = |c: &&char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            let name: String = rest.take_while(fits).copied().collect();
            next += name.len();
            words.push((at, Word::Name(name)));
        } else {
            let sign = SIGNS
                .into_iter()
                .find(|sign| sign.chars().enumerate().all(|(i, c)| all.get(next + i) == Some(&c)));
            let sign =
                sign.ok_or_else(|| Unread { at, text: format!("{first} has no meaning here") })?;
            next += sign.len();
            words.push((at, Word::Sign(sign)));
        }
    }
    Ok(words)
}

struct Reader<'a> {
    words: &'a [(usize, Word)],
    next: usize,
    terms: usize,
    end: usize,
}

const KEYWORDS: [&str; 10] =
    ["AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"];

impl Reader<'_> {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.next).map(|(_, word)| word)
    }

    fn wrong(&self, text: String) -> Unread {
        let at = self.words.get(self.next).map_or(self.end, |(at, _)| *at);
        Unread { at, text }
    }

    fn takes(&mut self, keyword: &str) -> bool {
        let is = self.peek().is_some_and(|word| word.is(keyword));
        self.next += usize::from(is);
        is
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let is = self.peek().is_some_and(|word| matches!(word, Word::Sign(s) if *s == sign));
        self.next += usize::from(is);
        is
    }

    fn any(&mut self, depth: usize) -> Result<Predicate, Unread> {
        let mut all = vec![self.all(depth)?];
        while self.takes("OR") {
            all.push(self.all(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Predicate::Or(all) })
    }

    fn all(&mut self, depth: usize) -> Result<Predicate, Unread> {
        let mut all = vec![self.one(depth)?];
        while self.takes("AND") {
            all.push(self.one(depth)?);
        }
        Ok(if all.len() == 1 { all.remove(0) } else { Predicate::And(all) })
    }

    fn one(&mut self, depth: usize) -> Result<Predicate, Unread> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("it lies too deep".to_owned()));
        }
        if self.takes("NOT") {
            return Ok(Predicate::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes_sign("(") {
            let inner = self.any(depth + 1)?;
            if !self.takes_sign(")") {
                return Err(self.wrong("a ) is missing".to_owned()));
            }
            return Ok(inner);
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.wrong(format!("it has more than {MAX_TERMS} comparisons")));
        }
        let column = self.column()?;
        self.comparison(column)
    }

    fn comparison(&mut self, column: Box<str>) -> Result<Predicate, Unread> {
        if self.takes("IS") {
            let not = self.takes("NOT");
            if !self.takes("NULL") {
                return Err(self.wrong("after IS stands NULL or NOT NULL".to_owned()));
            }
            let null = Predicate::IsNull(column);
            return Ok(if not { Predicate::Not(Box::new(null)) } else { null });
        }
        let not = self.takes("NOT");
        let found = if self.takes("IN") {
            Predicate::In(column, self.list()?)
        } else if self.takes("LIKE") {
            match self.literal()? {
                Literal::Text(pattern) => Predicate::Like(column, pattern),
                _ => return Err(self.wrong("after LIKE stands a 'pattern'".to_owned())),
            }
        } else if self.takes("BETWEEN") {
            let from = self.literal()?;
            if !self.takes("AND") {
                return Err(self.wrong("BETWEEN has two values with AND between them".to_owned()));
            }
            Predicate::Between(column, from, self.literal()?)
        } else if not {
            return Err(self.wrong("after NOT stands IN, LIKE or BETWEEN".to_owned()));
        } else if let Some(operator) = self.operator() {
            return Ok(Predicate::Compare(column, operator, self.literal()?));
        } else {
            // A column alone: it is true.
            return Ok(Predicate::True(column));
        };
        Ok(if not { Predicate::Not(Box::new(found)) } else { found })
    }

    fn list(&mut self) -> Result<Vec<Literal>, Unread> {
        if !self.takes_sign("(") {
            return Err(self.wrong("after IN stand values in ( )".to_owned()));
        }
        let mut values = vec![self.literal()?];
        while self.takes_sign(",") {
            values.push(self.literal()?);
        }
        if values.len() > MAX_TERMS {
            return Err(self.wrong(format!("IN has more than {MAX_TERMS} values")));
        }
        if !self.takes_sign(")") {
            return Err(self.wrong("a ) is missing".to_owned()));
        }
        Ok(values)
    }

    fn operator(&mut self) -> Option<Operator> {
        let operator = match self.peek()? {
            Word::Sign("=") => Operator::Equal,
            Word::Sign("<>" | "!=") => Operator::Unequal,
            Word::Sign("<") => Operator::Less,
            Word::Sign("<=") => Operator::LessOrEqual,
            Word::Sign(">") => Operator::Greater,
            Word::Sign(">=") => Operator::GreaterOrEqual,
            _ => return None,
        };
        self.next += 1;
        Some(operator)
    }

    fn column(&mut self) -> Result<Box<str>, Unread> {
        let name = match self.peek() {
            Some(Word::Quoted(name)) => name.clone(),
            Some(Word::Name(name))
                if !KEYWORDS.iter().any(|word| name.eq_ignore_ascii_case(word)) =>
            {
                name.clone()
            }
            Some(word) => {
                return Err(self.wrong(format!("{} is no column", word.shown())));
            }
            None => return Err(self.wrong("a column is missing".to_owned())),
        };
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            return Err(self.wrong("a column has 1 to 128 characters".to_owned()));
        }
        self.next += 1;
        Ok(name.into())
    }

    fn literal(&mut self) -> Result<Literal, Unread> {
        let negative = self.takes_sign("-");
        let literal = match self.peek() {
            Some(Word::Number(number)) if negative => Literal::Number(format!("-{number}").into()),
            Some(Word::Number(number)) => Literal::Number(number.as_str().into()),
            Some(Word::Text(text)) if !negative => Literal::Text(text.as_str().into()),
            Some(word) if !negative && word.is("TRUE") => Literal::Bool(true),
            Some(word) if !negative && word.is("FALSE") => Literal::Bool(false),
            Some(word) => {
                let shown = word.shown();
                return Err(
                    self.wrong(format!("{shown} is no value: 'text', a number, true or false is"))
                );
            }
            None => return Err(self.wrong("a value is missing".to_owned())),
        };
        self.next += 1;
        Ok(literal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_understood_is_written_anew() {
        for (text, sql) in [
            ("success", r#""success""#),
            ("probe='http' and success", r#"("probe" = 'http' AND "success")"#),
            (
                "not (a <> 1 or b.c IN ('x','o''clock')) AND d between -1 and 2.5",
                r#"((NOT ("a" <> 1 OR "b.c" IN ('x', 'o''clock'))) AND "d" BETWEEN -1 AND 2.5)"#,
            ),
            (
                r#""odd "" name" IS NOT NULL or e like '%x' or f not in (1)"#,
                r#"((NOT "odd "" name" IS NULL) OR "e" LIKE '%x' OR (NOT "f" IN (1)))"#,
            ),
        ] {
            let read = Predicate::parse(text).expect(text);
            assert_eq!(read.to_sql(), sql);
            assert_eq!(Predicate::parse(&read.to_sql()).expect("its own").to_sql(), sql);
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_its_place() {
        for (text, at, says) in [
            ("", 1, "a column is missing"),
            ("a = ", 5, "a value is missing"),
            ("a = b", 5, "b is no value"),
            ("a = 1) OR (1 = 1", 6, "more than a condition"),
            ("a = 1; DROP TABLE x", 6, "; has no meaning"),
            ("a = 'x", 5, "is not closed"),
            ("a = 1 -- all", 7, "- is more than a condition"),
            ("(a = 1", 7, "a ) is missing"),
            ("lower(a) = 'x'", 6, "is more than a condition"),
            ("a = (SELECT 1)", 5, "is no value"),
            ("a IN ()", 7, "is no value"),
            ("AND a", 1, "is no column"),
        ] {
            let wrong = Predicate::parse(text).expect_err(text);
            assert_eq!((wrong.at, wrong.text.contains(says)), (at, true), "{text}: {wrong:?}");
        }
        assert!(Predicate::parse(&"(".repeat(2_000)).is_err());
        assert!(Predicate::parse(&vec!["a = 1"; 65].join(" OR ")).is_err());
    }

    #[test]
    fn what_it_is_about_is_what_it_must_equal() {
        let read = Predicate::parse("target = 'shop' AND probe IN ('http', 'tcp') AND NOT x = 'y'");
        let read = read.expect("good");
        let about = read.equalities();
        assert_eq!(about, [("target", "shop"), ("probe", "http"), ("probe", "tcp")]);
        assert_eq!(read.columns(), ["target", "probe", "x"]);
    }
}
