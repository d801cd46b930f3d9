//! What the fold writes, and what a site has written.

use holm_model::{Attributes, ElementId, IntervalSet, Millis, PastValues};

/// One change of one element, as this node saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementChange {
    /// The element.
    pub id: ElementId,
    /// What changed.
    pub change: ElementChangeKind,
}

/// What changed about an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementChangeKind {
    /// It exists since `at`.
    Opened {
        /// First moment of its existence.
        at: Millis,
        /// All its attributes.
        attributes: Attributes,
    },
    /// It exists no longer.
    Closed {
        /// First moment at which it was not held to exist any more.
        at: Millis,
    },
    /// It goes on existing, with other attributes.
    AttributesChanged {
        /// When they were seen to be different.
        at: Millis,
        /// All its attributes, as they are now.
        attributes: Attributes,
    },
}

/// All that one site recorded about one element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteElement {
    /// The element.
    pub id: ElementId,
    /// When the site held it to exist; empty withdraws the record.
    pub intervals: IntervalSet,
    /// The attributes it last wrote.
    pub attributes: Attributes,
    /// When it wrote them: of two sites' values of one attribute the later one is shown.
    pub attributes_at: Millis,
    /// What they were before.
    pub past: PastValues,
}
