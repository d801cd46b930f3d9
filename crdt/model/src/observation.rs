//! What a plane tells: borrowed, so that telling again what is known costs no allocation.

use crate::{Attribute, EdgeKind, Millis, NodeKind};

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

/// "Packets of this flow take this way": a plane saw it at `at`. While the flow is seen on another way
/// the path it took before is over.
#[derive(Debug, Clone, Copy)]
pub struct PathObservation<'a> {
    /// Who sent the packets.
    pub agent: NodeRef<'a>,
    /// Where they were sent.
    pub target: NodeRef<'a>,
    /// The flow, as in [`crate::PathId`].
    pub flow: &'a str,
    /// The hops between in order; `None` did not answer.
    pub hops: &'a [Option<NodeRef<'a>>],
    /// Attributes, each key once; empty leaves those that are known.
    pub attributes: &'a [Attribute<'a>],
    /// When it was seen.
    pub at: Millis,
    /// How long the path is held to be taken after it was last seen, in milliseconds.
    pub hold_ms: u32,
}

/// "These two are the same thing": a plane saw it at `at`. The attributes say by what evidence.
#[derive(Debug, Clone, Copy)]
pub struct AliasObservation<'a> {
    /// One name.
    pub a: NodeRef<'a>,
    /// Another name.
    pub b: NodeRef<'a>,
    /// The evidence: `holm.alias.evidence` and what belongs to it; empty leaves what is known.
    pub attributes: &'a [Attribute<'a>],
    /// When it was seen.
    pub at: Millis,
    /// How long it is held to be so after it was last seen, in milliseconds.
    pub hold_ms: u32,
}
