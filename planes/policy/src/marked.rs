//! YAML, and JSON as a part of it, as a tree in which everything knows where it stood.
//!
//! Bounded before it is read, and without recursion over what somebody sent. Anchors, aliases and tags
//! are refused: they would let a small file say much, and a value not be what it looks like.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::problem::{Mark, Problem};

/// Longest file, in bytes.
pub const MAX_FILE_BYTES: usize = 256 * 1024;
/// Most values of a file, and how deep they may lie in each other.
const MAX_NODES: usize = 200_000;
const MAX_DEPTH: usize = 32;

/// A value and where it began.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it began.
    pub mark: Mark,
    /// What it is.
    pub value: Value,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A scalar; whether it stood without quotes.
    Scalar(String, bool),
    /// A list.
    List(Vec<Node>),
    /// Keys with where they stood, each once, in the file's order.
    Map(Vec<(String, Mark, Node)>),
}

impl Value {
    /// What it is, for people.
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Scalar(..) => "a value",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Nothing was said: `key:` or `key: null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(text, true) if matches!(&**text, "" | "~" | "null"))
    }
}

enum Open {
    List(Mark, Vec<Node>),
    Map(Mark, Vec<(String, Mark, Node)>, Option<(String, Mark)>),
}

/// The documents of a file.
///
/// # Errors
/// What is wrong with it, and where.
pub fn read(text: &str) -> Result<Vec<Node>, Problem> {
    if text.len() > MAX_FILE_BYTES {
        let said = format!("it has {} bytes, the most are {MAX_FILE_BYTES}", text.len());
        return Err(Problem::new("", Mark::START, said));
    }
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = 0;
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, span) = match parser.next_event() {
            None => break,
            Some(Err(error)) => {
                let mark = mark(error.marker());
                return Err(Problem::new("", mark, format!("it is no YAML: {}", error.info())));
            }
            Some(Ok(event)) => event,
        };
        let at = mark(&span.start);
        let refuse = |what: &str| Err(Problem::new("", at, what.to_owned()));
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.is_some())
            }
            Event::Alias(_) => return refuse("aliases are not read: write the value out"),
            _ => (0, false),
        };
        if anchor != 0 {
            return refuse("anchors are not read: write the value out where it is used");
        }
        if tag {
            return refuse("tags are not read: leave it out");
        }
        let done = match event {
            Event::Scalar(text, style, ..) => {
                let plain = matches!(style, ScalarStyle::Plain);
                Node { mark: at, value: Value::Scalar(text.into_owned(), plain) }
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(at, Vec::new()));
                if open.len() > MAX_DEPTH {
                    return refuse("it lies too deep");
                }
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(at, Vec::new(), None));
                if open.len() > MAX_DEPTH {
                    return refuse("it lies too deep");
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(mark, items)) => Node { mark, value: Value::List(items) },
                Some(Open::Map(mark, pairs, _)) => Node { mark, value: Value::Map(pairs) },
                None => return refuse("it ends what did not begin"),
            },
            Event::StreamEnd => break,
            _ => continue,
        };
        nodes += 1;
        if nodes > MAX_NODES {
            return refuse("it has too many values");
        }
        match open.last_mut() {
            None => documents.push(done),
            Some(Open::List(_, items)) => items.push(done),
            Some(Open::Map(_, pairs, key)) => match key.take() {
                Some((name, at)) => pairs.push((name, at, done)),
                None => {
                    let Value::Scalar(name, _) = done.value else {
                        return refuse("a key must be a word");
                    };
                    if pairs.iter().any(|(known, ..)| *known == name) {
                        return Err(Problem::new("", at, format!("{name} stands here twice")));
                    }
                    *key = Some((name, at));
                }
            },
        }
    }
    Ok(documents)
}

/// The objects of a file: its documents, and what a document that is a list has, each with its path.
pub fn documents(documents: &[Node]) -> Vec<(String, &Node)> {
    let mut objects = Vec::new();
    for document in documents {
        match &document.value {
            Value::List(items) => {
                let several = items.iter().enumerate();
                objects.extend(several.map(|(number, item)| (format!("[{number}]"), item)));
            }
            value if value.is_null() => {}
            _ => objects.push((String::new(), document)),
        }
    }
    objects
}

fn mark(marker: &Marker) -> Mark {
    Mark { line: marker.line(), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_are_read_with_their_places() {
        let yaml = read("a: 1\nb:\n  - x\n  - 'null'\n---\n{\"c\": null}\n").expect("good");
        assert_eq!(yaml.len(), 2);
        let Value::Map(pairs) = &yaml[0].value else { panic!("a map") };
        assert_eq!((pairs[1].0.as_str(), pairs[1].1), ("b", Mark { line: 2, column: 1 }));
        let Value::List(items) = &pairs[1].2.value else { panic!("a list") };
        assert_eq!(items[1].mark, Mark { line: 4, column: 5 });
        assert!(!items[1].value.is_null(), "it was quoted");
        let Value::Map(pairs) = &yaml[1].value else { panic!("a map") };
        assert!(pairs[0].2.value.is_null());
    }

    #[test]
    fn what_would_say_much_in_few_bytes_or_say_it_twice_is_refused() {
        for (text, says, line) in [
            ("a: &x 1\nb: *x\n", "anchors", 1),
            ("a: !!str 1\n", "tags", 1),
            ("a: 1\na: 2\n", "twice", 2),
            ("a: [1, 2\nb: 1", "no YAML", 2),
            ("? [1]\n: 2\n", "a key must be a word", 1),
        ] {
            let problem = read(text).expect_err(text);
            assert!(problem.text.contains(says), "{text}: {problem}");
            assert_eq!(problem.mark.line, line, "{text}: {problem}");
        }
        let deep = "[".repeat(5_000);
        assert!(read(&deep).is_err());
        assert!(read(&" ".repeat(MAX_FILE_BYTES + 1)).is_err());
    }
}
