//! What the API says of the topology: nodes, edges, their history, and what an answer rests on.

use std::collections::BTreeMap;

use holm_model::{EdgeKind, NodeKind, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attribute_view::AttributeView;
use super::impact_types::DiffView;
use super::types::{ElementCount, SiteStateView, Timestamp, api_type};

api_type!(
    /// The merged topology at a moment.
    Topology {
        at: Timestamp,
        /// Asked for now, not for a moment of the past.
        live: bool,
        /// Whether any plane of this node records topology.
        topology_running: bool,
        /// Raised by each change; equal generations of one node mean equal answers.
        generation: u64,
        /// Of what the graph says, whole: equal on every node whose graph says the same.
        graph_digest: String,
        nodes: Vec<NodeView>,
        edges: Vec<EdgeView>,
        shown: ElementCount,
        total: ElementCount,
        coverage: CoverageView,
        freshness: FreshnessView,
        /// What changed since the moment that was asked for with `diff`.
        diff: Option<DiffView>,
        /// Where history starts.
        earliest: Option<Timestamp>,
    }
);

/// What a node of the topology is.
#[derive(ToSchema)]
#[schema(as = NodeKind, rename_all = "lowercase")]
#[expect(dead_code, reason = "the schema of holm_model::NodeKind, which knows nothing of OpenAPI")]
pub(crate) enum NodeKindView {
    Agent,
    As,
    Device,
    Hop,
    Host,
    Prefix,
    Service,
    Site,
}

/// What an edge of the topology says.
#[derive(ToSchema)]
#[schema(as = EdgeKind, rename_all = "lowercase")]
#[expect(dead_code, reason = "the schema of holm_model::EdgeKind, which knows nothing of OpenAPI")]
pub(crate) enum EdgeKindView {
    Device,
    Flow,
    Path,
    Routing,
}

/// Which way an edge points, seen from the element that was asked for, or from the step before on a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DirectionView {
    /// From the neighbour to it: the neighbour calls or probes it.
    In,
    /// From it to the neighbour: it calls or probes the neighbour.
    Out,
}

api_type!(
    /// A node of the topology.
    NodeView {
        /// `kind:name`.
        id: String,
        #[schema(value_type = NodeKindView)]
        kind: NodeKind,
        label: String,
        /// The sites that say so.
        #[schema(value_type = Vec<String>)]
        sites: Vec<SiteId>,
        /// Earliest start, over these sites, of the interval that holds the moment.
        since: Timestamp,
        /// As they were at the moment.
        attributes: BTreeMap<String, AttributeView>,
        /// From this moment on all attributes are known; some of the moment that was asked for were forgotten, and are left
        /// out. Absent if all are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attributes_known_from: Option<Timestamp>,
        /// Other names of the same thing that are folded into this node.
        aliases: Vec<String>,
    }
);

/// Seen on the wire, or stitched from parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Provenance {
    Inferred,
    Observed,
}

impl Provenance {
    /// The provenance as it is written.
    pub(super) const fn as_str(self) -> &'static str {
        if self.is_observed() { "observed" } else { "inferred" }
    }

    pub(super) const fn is_observed(self) -> bool {
        matches!(self, Self::Observed)
    }
}

api_type!(
    /// An edge of the topology.
    EdgeView {
        /// `from|kind|to`.
        id: String,
        from: String,
        to: String,
        #[schema(value_type = EdgeKindView)]
        kind: EdgeKind,
        #[schema(value_type = Vec<String>)]
        sites: Vec<SiteId>,
        /// Earliest start, over these sites, of the interval that holds the moment.
        since: Timestamp,
        provenance: Provenance,
        /// As they were at the moment.
        attributes: BTreeMap<String, AttributeView>,
        /// From this moment on all attributes are known; some of the moment that was asked for were forgotten, and are left
        /// out. Absent if all are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attributes_known_from: Option<Timestamp>,
    }
);

api_type!(
    /// What the answer rests on, and what nobody watches.
    CoverageView {
        /// Ways of flows that were seen hop by hop.
        flow_paths: usize,
        path_edges: usize,
        flow_edges: usize,
        routing_edges: usize,
        device_edges: usize,
        notes: Vec<String>,
    }
);

api_type!(
    /// How fresh the answer is, per site.
    FreshnessView {
        sites: Vec<SiteFreshnessView>,
        #[schema(value_type = Vec<String>)]
        unreachable: Vec<SiteId>,
    }
);

api_type!(
    /// How fresh what one site says is.
    SiteFreshnessView {
        #[schema(value_type = String)]
        site: SiteId,
        as_of: Option<Timestamp>,
        state: SiteStateView,
    }
);

api_type!(
    /// One element with its history.
    ElementDetail {
        /// As it is shown, by whichever of its names it was asked for.
        id: String,
        /// The first of the names of a node that are folded into one, the shown one first; empty for what is no node.
        names: Vec<String>,
        /// How many names there are.
        names_total: u64,
        /// The kind of the node or edge; `path` for a way of a flow as for its edges, `alias` for two names of one thing.
        kind: String,
        label: String,
        from: Option<String>,
        to: Option<String>,
        sites: Vec<ElementSite>,
        /// Asked for as `name@site`, and others mean another thing by the name: the sites that mean this one, and only
        /// what they say is told. `null` otherwise.
        meant_by: Option<Vec<String>>,
        /// The first of its neighbours at the moment, by id.
        neighbours: Vec<Neighbour>,
        /// How many neighbours there are.
        neighbours_total: u64,
        /// What is held at the moment about other names of it: the first.
        aliases: Vec<AliasView>,
        /// How many there are.
        aliases_total: u64,
        /// Whether any site held it to be there at the moment that was asked for; what a site says of it is told whole
        /// either way. An alias is there while it is held.
        there: bool,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// That two names mean the same thing.
    AliasView {
        /// `node|alias|node`.
        id: String,
        /// The other name.
        name: String,
        /// The sites that say so.
        #[schema(value_type = Vec<String>)]
        sites: Vec<SiteId>,
        /// By what evidence.
        attributes: BTreeMap<String, AttributeView>,
        /// Whether the two are shown as one where names are folded; an ambiguous name is not.
        folded: bool,
    }
);

api_type!(
    /// What one site says of an element.
    ElementSite {
        #[schema(value_type = String)]
        site: SiteId,
        intervals: Vec<IntervalView>,
        /// The attributes it last wrote.
        attributes: BTreeMap<String, AttributeView>,
        /// When it wrote them; `null` if it never did.
        attributes_at: Option<Timestamp>,
        /// What they were before, in the order in which the values ended.
        history: Vec<PastValueView>,
        /// Before this moment earlier values were forgotten, of one of its names at least; `null` if none were.
        history_from: Option<Timestamp>,
    }
);

api_type!(
    /// An earlier value of an attribute.
    PastValueView {
        /// The name of which it was said, where the site speaks of the element by several.
        of: Option<String>,
        key: String,
        /// `null` if it had none.
        value: Option<AttributeView>,
        /// From this moment on it was another.
        until: Timestamp,
    }
);

api_type!(
    /// When it was there; `to` is absent while it is open.
    IntervalView {
        from: Timestamp,
        to: Option<Timestamp>,
    }
);

api_type!(
    /// A neighbour of a node.
    Neighbour {
        id: String,
        edge: String,
        direction: DirectionView,
    }
);
