//! What the questions about routes, failures and changes answer.

use holm_model::EdgeKind;
use holm_moment::{PrefixLoss, RouteStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attribute_view::AttributeView;
use super::params::When;
use super::topology_types::{CoverageView, DirectionView, FreshnessView, IntervalView};
use super::types::{Timestamp, api_type, request_type};

/// A moment as it is asked for.
#[derive(ToSchema)]
#[schema(as = When)]
#[serde(untagged)]
#[expect(dead_code, reason = "the schema of When, which is read by hand")]
pub(crate) enum WhenView {
    /// RFC 3339, or milliseconds since 1970.
    Text(String),
    /// Milliseconds since 1970.
    Millis(u64),
}

request_type!(
    /// What is to fail. Nothing is changed by asking.
    WhatIfRequest {
        /// An element's id, or `attribute:KEY=VALUE` for every element that has it. `site:S`, `as:N`, `prefix:P` and `device:D`
        /// stand for all that belongs to them.
        #[serde(default)]
        target: Option<String>,
        /// The same, several at once.
        #[serde(default)]
        targets: Vec<String>,
        /// What is taken out of use where there is another way, and carries on where there is none.
        #[serde(default)]
        drain: Vec<String>,
        /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
        #[serde(default)]
        #[schema(value_type = Option<WhenView>)]
        at: Option<When>,
        /// Most items of each list: 1 to 10,000; 100 otherwise.
        #[serde(default)]
        limit: Option<usize>,
    }
);

/// What a way stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RouteStatusView {
    /// Put together from links that packets of different flows took.
    Inferred,
    /// Packets of one flow took it.
    Observed,
}

impl From<RouteStatus> for RouteStatusView {
    fn from(status: RouteStatus) -> Self {
        match status {
            RouteStatus::Inferred => Self::Inferred,
            RouteStatus::Observed => Self::Observed,
        }
    }
}

api_type!(
    /// An agent and a target between which no way is left.
    BrokenPathView {
        from: String,
        to: String,
        /// The way before, across what fails; a hop that did not answer is `null`.
        route: Vec<Option<String>>,
        status: RouteStatusView,
    }
);

api_type!(
    /// An agent and a target that have another way.
    ReroutedPathView {
        from: String,
        to: String,
        /// What the way that is left stands on.
        status: RouteStatusView,
        /// The way before, across what fails.
        route: Vec<Option<String>>,
        /// The way that is left.
        alt_route: Vec<Option<String>>,
        /// Until when packets of the pair took it; `null` if some take it at the moment, or none ever did.
        #[serde(default)]
        last_taken: Option<Timestamp>,
        /// How many of the observed flows cross what fails; `null` where no flow was observed.
        flows_affected: Option<u32>,
        /// How many flows were observed.
        flows: Option<u32>,
    }
);

api_type!(
    /// A service that calls what fails, itself or through others.
    ImpactedServiceView {
        id: String,
        /// Calls away: 1 for a direct caller.
        distance: u32,
    }
);

/// What remains of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PrefixLossView {
    /// All that led to it fails.
    Lost,
    /// Some of what led to it remains.
    Reduced,
}

impl From<PrefixLoss> for PrefixLossView {
    fn from(loss: PrefixLoss) -> Self {
        match loss {
            PrefixLoss::Lost => Self::Lost,
            PrefixLoss::Reduced => Self::Reduced,
        }
    }
}

api_type!(
    /// A prefix behind what fails.
    ImpactedPrefixView {
        id: String,
        loss: PrefixLossView,
    }
);

api_type!(
    /// How many there are of each, whatever the limit.
    ImpactTotals {
        failed: u64,
        drained: u64,
        broken_paths: u64,
        rerouted_paths: u64,
        stranded_paths: u64,
        #[serde(default)]
        stranded_services: u64,
        #[serde(default)]
        stranded_prefixes: u64,
        impacted_services: u64,
        impacted_prefixes: u64,
        disconnected: u64,
        impacted_slos: u64,
    }
);

api_type!(
    /// What breaks if the targets fail.
    ImpactView {
        at: Timestamp,
        live: bool,
        /// For nodes that are written `name@site` here, as one site of several means the name: all their names, by which a
        /// picture shows them. Mostly empty.
        drawn_as: std::collections::BTreeMap<String, Vec<String>>,
        /// What was taken to fail: the first elements by id.
        failed: Vec<String>,
        /// What was taken to be drained: the first elements by id.
        drained: Vec<String>,
        broken_paths: Vec<BrokenPathView>,
        rerouted_paths: Vec<ReroutedPathView>,
        /// Pairs whose only way is across what is drained: they keep it.
        stranded_paths: Vec<BrokenPathView>,
        /// Services that go on calling what is drained, and are not impacted by what fails.
        #[serde(default)]
        stranded_services: Vec<ImpactedServiceView>,
        /// Prefixes to which there is no way but over what is drained.
        #[serde(default)]
        stranded_prefixes: Vec<String>,
        impacted_services: Vec<ImpactedServiceView>,
        impacted_prefixes: Vec<ImpactedPrefixView>,
        /// Nodes that no agent is connected with any more, by whatever edges.
        disconnected: Vec<String>,
        /// The SLOs that it touches.
        impacted_slos: Option<Vec<String>>,
        totals: ImpactTotals,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

request_type!(
    /// Two what-ifs, to be put side by side.
    CompareRequest {
        left: WhatIfRequest,
        right: WhatIfRequest,
    }
);

api_type!(
    /// Of one list, what only the one answer has, and what both have; `totals` count all.
    SideBySide {
        only_left: Vec<String>,
        only_right: Vec<String>,
        both: Vec<String>,
        totals: SideTotals,
    }
);

api_type!(
    /// How many there are, whatever the limit.
    SideTotals {
        only_left: u64,
        only_right: u64,
        both: u64,
    }
);

api_type!(
    /// Of pairs of agent and target, what only the one answer has, and what both have; `totals` count all.
    PairsSideBySide {
        only_left: Vec<AgentTarget>,
        only_right: Vec<AgentTarget>,
        both: Vec<AgentTarget>,
        totals: SideTotals,
    }
);

api_type!(
    /// An agent and a target.
    AgentTarget {
        from: String,
        to: String,
    }
);

api_type!(
    /// Two what-ifs side by side.
    CompareView {
        left: ImpactView,
        right: ImpactView,
        broken_paths: PairsSideBySide,
        rerouted_paths: PairsSideBySide,
        stranded_paths: PairsSideBySide,
        stranded_services: SideBySide,
        stranded_prefixes: SideBySide,
        impacted_services: SideBySide,
        impacted_prefixes: SideBySide,
        disconnected: SideBySide,
        impacted_slos: SideBySide,
        /// Whether every list was compared whole, whatever the limit of what is shown: of lists with more than 20,000
        /// items only so many are compared, and what is on one side only may be on both.
        complete: bool,
    }
);

api_type!(
    /// What breaks if one node alone fails.
    SpofView {
        id: String,
        /// All three together.
        blast_radius: u64,
        broken_paths: u64,
        impacted_services: u64,
        disconnected: u64,
    }
);

api_type!(
    /// The nodes whose failure breaks something, worst first.
    SpofList {
        at: Timestamp,
        live: bool,
        items: Vec<SpofView>,
        /// How many nodes break something.
        total: u64,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// A step of a way.
    StepView {
        /// `out` along an edge as it points, `in` against every edge that is there.
        direction: DirectionView,
        /// The kinds of the edges that lead so.
        #[schema(value_type = Vec<super::topology_types::EdgeKindView>)]
        kinds: Vec<EdgeKind>,
        /// No edge: the one runs on the other, or is at the same site. It is no hop.
        same_place: bool,
    }
);

/// What a way is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LayerView {
    /// Where packets go.
    Network,
    /// Who calls whom.
    Calls,
}

impl LayerView {
    pub(super) const fn layer(self) -> holm_moment::RouteLayer {
        match self {
            Self::Network => holm_moment::RouteLayer::Network,
            Self::Calls => holm_moment::RouteLayer::Calls,
        }
    }

    pub(super) const fn of(layer: holm_moment::RouteLayer) -> Self {
        match layer {
            holm_moment::RouteLayer::Network => Self::Network,
            holm_moment::RouteLayer::Calls => Self::Calls,
        }
    }
}

api_type!(
    /// A way between two nodes.
    RouteView {
        nodes: Vec<String>,
        /// How each node follows from the one before.
        steps: Vec<StepView>,
        hops: usize,
        /// Sum of the latencies that were measured on it, in ms; `null` if none was.
        latency_ms: Option<f64>,
        /// Edges of it whose latency nobody measured: `latency_ms` is of the others.
        unmeasured: u32,
        status: RouteStatusView,
        /// Until when packets took it; `null` if some take it at the moment, or none ever did.
        #[serde(default)]
        last_taken: Option<Timestamp>,
    }
);

api_type!(
    /// A path that packets of one flow took.
    ObservedPathView {
        agent: String,
        target: String,
        flow: String,
        route: Vec<Option<String>>,
    }
);

api_type!(
    /// A path that packets of one flow took at some time of a window.
    SeenPathView {
        /// `agent|path|target|flow|hop…`.
        id: String,
        agent: String,
        target: String,
        flow: String,
        route: Vec<Option<String>>,
        #[schema(value_type = Vec<String>)]
        sites: Vec<holm_model::SiteId>,
        /// When packets took it, also outside the window.
        intervals: Vec<IntervalView>,
    }
);

api_type!(
    /// The paths that were taken in a window, the latest first, and how many there are.
    SeenPathList {
        since: Timestamp,
        until: Timestamp,
        items: Vec<SeenPathView>,
        total: u64,
    }
);

api_type!(
    /// The ways between two nodes.
    WaysView {
        at: Timestamp,
        live: bool,
        /// Shortest first.
        routes: Vec<RouteView>,
        /// Whether there are no more, or as many as asked for and none shorter. Otherwise the search was broken off: there
        /// may be others, also shorter than the last of these.
        complete: bool,
        /// What the ways are made of.
        layer: LayerView,
        /// Whether ways only follow edges as they point.
        directed: bool,
        /// The first of the observed paths on which the one comes before the other.
        observed: Vec<ObservedPathView>,
        /// How many there are.
        observed_total: u64,
        /// Every path that was taken at some time since `since`; `null` if that was not asked for.
        seen: Option<SeenPathList>,
        /// The width of load balancing: the most nodes side by side on the shortest ways along path edges. 0 without such a way.
        ecmp_width: usize,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// A node around another.
    NearbyNode {
        id: String,
        /// Edges away.
        distance: u32,
    }
);

api_type!(
    /// The nodes around one, nearest first, and how many there are.
    NeighbourList {
        at: Timestamp,
        items: Vec<NearbyNode>,
        total: u64,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// What hangs on a node, by id, and how much it is.
    DependentList {
        at: Timestamp,
        items: Vec<String>,
        total: u64,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// A part of the topology that no edge connects with another.
    ComponentView {
        /// How many nodes are in it.
        size: u64,
        /// The first of them, by id.
        nodes: Vec<String>,
    }
);

api_type!(
    /// The parts of the topology, largest first, and how many there are.
    ComponentList {
        at: Timestamp,
        items: Vec<ComponentView>,
        total: u64,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// The first elements of a list, by id, and how many there are.
    ElementList {
        items: Vec<String>,
        total: u64,
    }
);

api_type!(
    /// The first nodes that fit, best first, and how many do.
    FoundList {
        /// The ids by which they are shown.
        items: Vec<String>,
        /// For those that were found by another of their names: by which.
        matched: std::collections::BTreeMap<String, String>,
        /// For those that were found by what is said of them: the attribute, as `key=value`.
        attributes: std::collections::BTreeMap<String, String>,
        total: u64,
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// What became of one attribute.
    AttributeChangeView {
        key: String,
        /// At the earlier moment; `null` if it had no value.
        before: Option<AttributeView>,
        /// At the later moment; `null` if it has no value.
        after: Option<AttributeView>,
    }
);

api_type!(
    /// An element with other attributes.
    ChangedElementView {
        id: String,
        attributes: Vec<AttributeChangeView>,
    }
);

api_type!(
    /// The first elements whose attributes changed, by id, and how many there are.
    ChangedList {
        items: Vec<ChangedElementView>,
        total: u64,
    }
);

api_type!(
    /// An element whose attributes may have changed: those of one of the moments were forgotten.
    UnknownChangeView {
        id: String,
        /// From this moment on all are known.
        known_from: Timestamp,
        /// Which ones; empty for all of them.
        keys: Vec<String>,
    }
);

api_type!(
    /// The first elements of which it is not known whether they changed, by id, and how many there are.
    UnknownChangeList {
        items: Vec<UnknownChangeView>,
        total: u64,
    }
);

api_type!(
    /// What changed between two moments.
    DiffView {
        from: Timestamp,
        to: Timestamp,
        /// There at the later moment only.
        appeared: ElementList,
        /// There at the earlier moment only.
        vanished: ElementList,
        /// There at both, and gone in between.
        returned: ElementList,
        /// There at both, with other attributes.
        changed: ChangedList,
        /// There at both; whether attributes changed is not known any more.
        unknown: UnknownChangeList,
        /// Of the later moment.
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);

api_type!(
    /// How much happened in a part of a window.
    ChangeBucket {
        from: Timestamp,
        opened: u64,
        closed: u64,
        /// Values of attributes that were written anew, without measured ones (round trips).
        changed: u64,
    }
);

api_type!(
    /// How much happened when.
    ChangeList {
        items: Vec<ChangeBucket>,
        /// Of where the window ends.
        coverage: CoverageView,
        freshness: FreshnessView,
    }
);
