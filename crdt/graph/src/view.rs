//! What the graph answers.

use holm_model::{
    Attributes, EdgeId, EdgeKind, ElementId, IntervalSet, Millis, NodeId, NodeKind, PastValue,
    SiteId,
};

/// Which part of the graph is asked for. The default asks for all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// Only what one of these sites says.
    pub sites: Option<Vec<SiteId>>,
    /// Only nodes of these kinds, and edges between them. What is shown by a name of another kind counts
    /// by any of its names.
    pub node_kinds: Option<Vec<NodeKind>>,
    /// Only edges of these kinds. Nodes that only other edges speak of are left out.
    pub edge_kinds: Option<Vec<EdgeKind>>,
    /// Only what lies within so many edges of this node, whatever their direction.
    pub around: Option<(NodeId, u32)>,
    /// Show names of the same thing as one node.
    pub fold_aliases: bool,
    /// Most nodes, and most edges, in the answer: the first by id. The totals count all.
    pub limit: Option<usize>,
}

/// The graph, or a part of it, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Nodes in order of id.
    pub nodes: Vec<NodeView>,
    /// Edges in order of id; both ends are among `nodes`.
    pub edges: Vec<EdgeView>,
    /// How many nodes match, whatever the limit.
    pub total_nodes: usize,
    /// How many edges match, whatever the limit.
    pub total_edges: usize,
}

/// A node at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeView {
    /// The node.
    pub id: NodeId,
    /// The sites that say so, itself or by an edge that ends there; in order.
    pub sites: Vec<SiteId>,
    /// Earliest start, over these sites, of the interval that holds the moment.
    pub since: Millis,
    /// Attributes of all sites as they were then; of two values the one written later.
    pub attributes: Attributes,
    /// From this moment on all attributes are known; at the moment that was asked for some are not any
    /// more, and are left out. `None` if all are known.
    pub attributes_known_from: Option<Millis>,
    /// Other names of it that are folded into this node, in order; also those that only aliases speak of.
    pub aliases: Vec<NodeId>,
}

/// An edge at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeView {
    /// The edge.
    pub id: EdgeId,
    /// The sites that say so, in order.
    pub sites: Vec<SiteId>,
    /// Earliest start, over these sites, of the interval that holds the moment.
    pub since: Millis,
    /// Attributes of all sites; of two values the one written later.
    pub attributes: Attributes,
    /// As [`NodeView::attributes_known_from`].
    pub attributes_known_from: Option<Millis>,
}

/// One element with all that each site says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementView {
    /// The element.
    pub id: ElementId,
    /// One record a site, in order of site.
    pub sites: Vec<SiteRecord>,
    /// Attributes of all sites; of two values the one written later.
    pub attributes: Attributes,
    /// Whether no site recorded this node itself: it is known only as the end of edges, from paths, or as
    /// a name that an alias speaks of.
    pub implied: bool,
    /// All names of a node that are folded into it, the shown one first; empty for what is no node.
    pub names: Vec<NodeId>,
}

/// What one site says about one element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRecord {
    /// The site.
    pub site: SiteId,
    /// When it held the element to exist; for a node, by itself or as an end of an edge.
    pub intervals: IntervalSet,
    /// The attributes it last wrote.
    pub attributes: Attributes,
    /// When it wrote them; 0 if it never did.
    pub attributes_at: Millis,
    /// What they were before, in the order in which the values ended.
    pub past: Vec<SaidBefore>,
    /// Before this moment earlier values were forgotten, of one of its names at least; 0 if none were.
    pub known_from: Millis,
}

/// An earlier value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidBefore {
    /// What it was said of, if the site speaks of the element by several names.
    pub of: Option<ElementId>,
    /// The value.
    pub value: PastValue,
}

/// What a picture stands on: an absent edge means little where nobody looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Ways of flows, hop by hop, at that moment.
    pub flow_paths: usize,
    /// Path edges at that moment.
    pub path_edges: usize,
    /// Flow edges at that moment.
    pub flow_edges: usize,
    /// Routing edges at that moment.
    pub routing_edges: usize,
    /// Device edges at that moment.
    pub device_edges: usize,
    /// Kinds of edges that no site has recorded at any time.
    pub never_recorded: Vec<EdgeKind>,
}

/// Which way an edge points, seen from a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From another node to this one.
    In,
    /// From this node to another.
    Out,
}

/// A node next to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// The node at the other end.
    pub node: NodeId,
    /// The kind of the edge between them.
    pub kind: EdgeKind,
    /// Which way the edge points, seen from the node that was asked about.
    pub direction: Direction,
}

/// The first nodes next to another, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NeighboursOf {
    /// The first, in order.
    pub items: Vec<Neighbour>,
    /// All.
    pub total: u64,
}

/// The question named a node that is not there: that is an error, never an empty answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no node \"{node}\" at {at}: check the id (kind:name) and the time; `topology` lists what exists",
    at = at.0
)]
pub struct UnknownNode {
    /// The node that was named.
    pub node: NodeId,
    /// The moment that was asked for.
    pub at: Millis,
}
