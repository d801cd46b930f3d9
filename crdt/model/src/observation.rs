//! What a plane tells: borrowed, so that telling again what is known costs no allocation.

use crate::{EdgeKind, Millis, NodeKind};

/// Most attributes that one element carries.
pub const MAX_ATTRIBUTES: usize = 32;
/// Longest attribute key or value, in bytes.
pub const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// One attribute: a key of the OTel semantic conventions (or `holm.*`) and its value.
pub type Attribute<'a> = (&'a str, &'a str);

/// Owned attributes, ordered by key, each key once.
pub type Attributes = std::collections::BTreeMap<Box<str>, Box<str>>;

/// A node by kind and name, not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeRef<'a> {
    /// What the node is.
    pub kind: NodeKind,
    /// Its name, as in [`crate::NodeId`].
    pub name: &'a str,
}

/// "This edge exists": a plane saw it at `at`.
///
/// Attributes are what stays the same between two observations (command, protocol, port). What
/// changes with each of them (latency, byte counts, process ids) belongs into a [`crate::Row`].
#[derive(Debug, Clone, Copy)]
pub struct EdgeObservation<'a> {
    /// Where the edge starts.
    pub from: NodeRef<'a>,
    /// What the edge says.
    pub kind: EdgeKind,
    /// Where the edge ends.
    pub to: NodeRef<'a>,
    /// Attributes, each key once; empty leaves those that are known.
    pub attributes: &'a [Attribute<'a>],
    /// When it was seen.
    pub at: Millis,
    /// How long the edge is held to exist after it was last seen, in milliseconds.
    pub hold_ms: u32,
}

/// "This node exists": a plane saw it at `at`. The ends of an edge need no observation of their own
/// unless they carry attributes.
#[derive(Debug, Clone, Copy)]
pub struct NodeObservation<'a> {
    /// The node.
    pub node: NodeRef<'a>,
    /// Attributes, each key once; empty leaves those that are known.
    pub attributes: &'a [Attribute<'a>],
    /// When it was seen.
    pub at: Millis,
    /// How long the node is held to exist after it was last seen, in milliseconds.
    pub hold_ms: u32,
}
