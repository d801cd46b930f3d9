//! Sketches: how many different values there are, and quantiles, from a few kilobytes for each group.
//!
//! A site makes a sketch of its rows and sends its bytes; the asker merges them and reads the value.
//! Merging is commutative, associative, and gives the bytes that one sketch of all rows has, so the
//! answer does not depend on where the rows lie. Parameters are fixed: there is nothing to agree on.

mod ddsketch;
mod functions;
mod hyperloglog;

use std::fmt;

pub(crate) use ddsketch::{LARGEST, Quantiles, RELATIVE_ERROR, SMALLEST};
pub(crate) use functions::{Use, all, function, kind_of};
pub(crate) use hyperloglog::{Distinct, STANDARD_ERROR};

/// The key of a field's metadata that says which sketch is in its bytes.
pub(crate) const SKETCH: &str = "holm.sketch";

/// The bytes are not those of a sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSketch;

impl fmt::Display for NoSketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("its bytes are not those of a sketch of this version")
    }
}

impl std::error::Error for NoSketch {}

/// Which sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Different values.
    Distinct,
    /// Quantiles.
    Quantiles,
}

impl Kind {
    /// Its word in a field's metadata.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Distinct => "distinct",
            Self::Quantiles => "quantiles",
        }
    }

    /// The kind with that word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Distinct, Self::Quantiles].into_iter().find(|kind| kind.word() == word)
    }

    /// Whether the bytes are those of such a sketch.
    pub(crate) fn check(self, bytes: &[u8]) -> Result<(), NoSketch> {
        match self {
            Self::Distinct => Distinct::from_bytes(bytes).map(drop),
            Self::Quantiles => Quantiles::from_bytes(bytes).map(drop),
        }
    }
}
