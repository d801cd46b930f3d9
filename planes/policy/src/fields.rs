//! Fields of a map, each looked at or refused.

use std::collections::BTreeSet;

use crate::marked::{Node, Value};
use crate::problem::{Mark, Problem};

/// Most problems that are told of one file.
const MAX_PROBLEMS: usize = 100;

/// What was found wrong.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Takes a problem; of very many the first.
    pub fn add(&mut self, path: &str, mark: Mark, text: impl Into<String>) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push(Problem::new(path, mark, text.into()));
        }
    }

    /// All of them, in the order of the file.
    pub fn take(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.mark);
        self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A map that is being read.
pub struct Fields<'a> {
    /// Where it is in the document.
    pub path: String,
    /// Where it is in the file.
    pub mark: Mark,
    pairs: &'a [(String, Mark, Node)],
    taken: BTreeSet<&'a str>,
}

impl<'a> Fields<'a> {
    /// The map that a value is.
    pub fn of(node: &'a Node, path: &str, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Map(pairs) => {
                let (path, mark) = (path.to_owned(), node.mark);
                Some(Self { path, mark, pairs, taken: BTreeSet::new() })
            }
            other => {
                problems.add(path, node.mark, format!("a map is wanted, not {}", other.what()));
                None
            }
        }
    }

    /// The path of a field.
    pub fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// What stands under `key`, with where the key stood; nothing if it says nothing.
    pub fn node(&mut self, key: &str) -> Option<(&'a Node, Mark)> {
        let (name, mark, node) = self.pairs.iter().find(|(name, ..)| name == key)?;
        self.taken.insert(name);
        (!node.value.is_null()).then_some((node, *mark))
    }

    /// A map, if it is there.
    pub fn map(&mut self, key: &str, problems: &mut Problems) -> Option<Self> {
        let (node, _) = self.node(key)?;
        Self::of(node, &self.at(key), problems)
    }

    /// A map that must be there.
    pub fn needed_map(&mut self, key: &str, problems: &mut Problems) -> Option<Self> {
        self.needed(key, problems)?;
        self.map(key, problems)
    }

    /// Whether it is there; a problem if not.
    pub fn needed(&mut self, key: &str, problems: &mut Problems) -> Option<()> {
        let found = self.node(key).map(|_| ());
        if found.is_none() {
            problems.add(&self.at(key), self.mark, "it is missing");
        }
        found
    }

    /// A list with where its key stood, if it is there.
    pub fn list(&mut self, key: &str, problems: &mut Problems) -> Option<(&'a [Node], Mark)> {
        let (node, mark) = self.node(key)?;
        match &node.value {
            Value::List(items) => Some((items, mark)),
            other => {
                let text = format!("a list is wanted, not {}", other.what());
                problems.add(&self.at(key), node.mark, text);
                None
            }
        }
    }

    /// A text of at most `most` bytes.
    pub fn text(
        &mut self,
        key: &str,
        most: usize,
        problems: &mut Problems,
    ) -> Option<(&'a str, Mark)> {
        let (node, _) = self.node(key)?;
        let found = text_of(node, &self.at(key), most, problems)?;
        Some((found, node.mark))
    }

    /// A text that must be there.
    pub fn needed_text(
        &mut self,
        key: &str,
        most: usize,
        problems: &mut Problems,
    ) -> Option<(&'a str, Mark)> {
        self.needed(key, problems)?;
        self.text(key, most, problems)
    }

    /// A number, if it is there.
    pub fn number(&mut self, key: &str, problems: &mut Problems) -> Option<(f64, Mark)> {
        let (text, mark) = self.text(key, 40, problems)?;
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            problems.add(&self.at(key), mark, format!("{text} is no number"));
        }
        Some((number?, mark))
    }

    /// `true` or `false`, if it is there.
    pub fn flag(&mut self, key: &str, problems: &mut Problems) -> Option<(bool, Mark)> {
        let (text, mark) = self.text(key, 40, problems)?;
        let flag = match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        if flag.is_none() {
            problems.add(&self.at(key), mark, "it is true or false");
        }
        Some((flag?, mark))
    }

    /// Refuses what was not looked at; `why` says it better of some.
    pub fn finish(self, why: &[(&str, &str)], problems: &mut Problems) {
        for (key, mark, _) in self.pairs {
            if self.taken.contains(key.as_str()) {
                continue;
            }
            let known = why.iter().find(|(name, _)| name == key);
            let text = known.map_or("it is not evaluated here", |(_, text)| text);
            problems.add(&self.at(key), *mark, text);
        }
    }
}

/// A scalar as a text of at most `most` bytes.
pub fn text_of<'a>(
    node: &'a Node,
    path: &str,
    most: usize,
    problems: &mut Problems,
) -> Option<&'a str> {
    match &node.value {
        Value::Scalar(text, _) if text.len() > most => {
            let said = format!("it has {} bytes, the most are {most}", text.len());
            problems.add(path, node.mark, said);
            None
        }
        Value::Scalar(text, _) => Some(text),
        other => {
            problems.add(path, node.mark, format!("a value is wanted, not {}", other.what()));
            None
        }
    }
}
