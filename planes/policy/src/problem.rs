//! What is wrong with a file, and where.

use std::fmt;

/// A place in a file; both begin at 1, columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Mark {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it is in the document: `spec.objectives[0].target`. Empty for the file as such.
    pub path: String,
    /// Where it is in the file.
    pub mark: Mark,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl Problem {
    /// Something that is wrong at `mark`.
    pub fn new(path: &str, mark: Mark, text: String) -> Self {
        Self { path: path.to_owned(), mark, text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.mark.line, self.mark.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// Why a file is refused: all that is wrong with it, as far as it was looked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct Refused(pub Vec<Problem>);

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
