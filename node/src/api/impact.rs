//! `POST /v1/topology/whatif` and `GET /v1/topology/spof`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_model::{ElementId, Millis, NodeId, NodeKind, Prefix};
use holm_moment::{
    Impact, Limits, Moment, Named, NamedElement, Selection, Selector, SloIndex, WhatIf,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::impact_types::{
    BrokenPathView, ImpactTotals, ImpactView, ImpactedPrefixView, ImpactedServiceView,
    ReroutedPathView, RouteStatusView, SpofList, SpofView, WhatIfRequest,
};
use super::names;
use super::params::{Body, Given, When, limit, moment};
use super::questions::{Asked, answer};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// Most targets of one question.
const MAX_TARGETS: usize = 1_000;
/// Of these, most by attribute: each looks at everything.
const MAX_ATTRIBUTES: usize = 100;

/// What breaks if the targets fail or are drained, now or at a moment of the past: paths of agents
/// that break or find another way, services that call, prefixes behind, nodes cut off. A target
/// that is not there is an error with the nearest names.
#[utoipa::path(
    post, path = "/v1/topology/whatif", tag = "topology", request_body = WhatIfRequest,
    responses((status = 200, body = ImpactView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn what_if(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Body(request): Body<WhatIfRequest>,
) -> Result<Response, ApiError> {
    let question = Question::of(request, "")?;
    answer(state, &caller, move |asked| {
        let impact = question.ask(asked)?;
        asked.go_on()?;
        Ok(impact_view(asked, &question, impact))
    })
    .await
}

/// A what-if whose bounds were checked.
pub(super) struct Question {
    failed: Vec<String>,
    drained: Vec<String>,
    pub(super) at: Option<Millis>,
    pub(super) limit: usize,
}

impl Question {
    /// `place` is where the request stands in the body, for the errors.
    pub(super) fn of(request: WhatIfRequest, place: &str) -> Result<Self, ApiError> {
        let at = moment(&format!("{place}at"), request.at)?;
        let limit = limit(request.limit, 100)?;
        let failed: Vec<String> = request.target.into_iter().chain(request.targets).collect();
        let drained = request.drain;
        let refused = |what: String| Err(ApiError::new(ErrorCode::Validation, what));
        if failed.is_empty() && drained.is_empty() {
            return refused(format!(
                "{place}target: name what is to fail, such as {{\"target\": \"service:checkout\"}}"
            ));
        }
        if failed.len() + drained.len() > MAX_TARGETS {
            return refused(format!("{place}targets: at most {MAX_TARGETS}"));
        }
        let all = failed.iter().chain(&drained);
        if all.filter(|target| attribute(target).is_some()).count() > MAX_ATTRIBUTES {
            return refused(format!("{place}targets: at most {MAX_ATTRIBUTES} by attribute"));
        }
        Ok(Self { failed, drained, at, limit })
    }

    fn ask(&self, asked: &Asked) -> Result<Impact, ApiError> {
        self.ask_for(asked, self.limit)
    }

    /// The answer with so many items of each list.
    pub(super) fn ask_for(&self, asked: &Asked, items: usize) -> Result<Impact, ApiError> {
        let moment = asked.moment(self.at)?;
        let failed = select(asked, &moment, &self.failed, self.at)?;
        let drained = select(asked, &moment, &self.drained, self.at)?;
        if let Some((target, other, both)) = in_both(&moment, &drained, &failed) {
            let what = format!(
                "{target} is drained and {other} fails, and {both} is in both: it does the one or the other"
            );
            return Err(ApiError::new(ErrorCode::Validation, what));
        }
        let question = WhatIf { failed: together(failed), drained: together(drained) };
        asked.go_on()?;
        let limits = Limits { items };
        let slos = Slos(asked);
        Ok(asked.tenant.search(|scratch| moment.what_if(&question, limits, Some(&slos), scratch)))
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpofQuery {
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Most nodes in the answer: 1 to 10,000; 100 otherwise.
    limit: Option<usize>,
}

/// Single points of failure: every node by what breaks if it alone fails, worst first.
#[utoipa::path(
    get, path = "/v1/topology/spof", tag = "topology", params(SpofQuery),
    responses((status = 200, body = SpofList), (status = 400, body = ErrorBody))
)]
pub(crate) async fn spof(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<SpofQuery>,
) -> Result<Response, ApiError> {
    let at = moment("at", query.at)?;
    let limit = limit(query.limit, 100)?;
    answer(state, &caller, move |asked| {
        let ranking = asked.moment(at)?.spof(limit);
        let items = ranking.items.into_iter().map(|spof| SpofView {
            blast_radius: spof.blast_radius(),
            id: spof.id.to_string(),
            broken_paths: spof.broken_paths,
            impacted_services: spof.impacted_services,
            disconnected: spof.disconnected,
        });
        let mut coverage = asked.coverage(at);
        if ranking.as_one_node > 0 {
            coverage.notes.push(format!(
                "{} sites, prefixes and others, those whose parts break least, are ranked by their own node alone: with all that belongs to them they may break more",
                ranking.as_one_node
            ));
        }
        let (looked, agents) = ranking.agents;
        if looked < agents {
            coverage
                .notes
                .push(format!("broken_paths are an estimate: the pairs of {looked} of {agents} agents, times {agents}/{looked}"));
        }
        Ok(SpofList {
            at: asked.as_of(at),
            live: at.is_none(),
            items: items.collect(),
            total: ranking.total,
            coverage,
            freshness: asked.freshness(),
        })
    })
    .await
}

/// The SLOs of the tenant, as what-ifs ask for them.
struct Slos<'a>(&'a Asked);

impl SloIndex for Slos<'_> {
    fn touched(&self, nodes: &[&NodeId]) -> Vec<String> {
        self.0.tenant.slos.about(nodes)
    }
}

/// The key and value of a target by attribute.
fn attribute(target: &str) -> Option<(&str, &str)> {
    target.strip_prefix("attribute:")?.split_once('=')
}

/// What each of `targets` stands for.
fn select<'a>(
    asked: &Asked,
    moment: &Moment,
    targets: &'a [String],
    at: Option<Millis>,
) -> Result<Vec<(&'a str, Selection)>, ApiError> {
    let mut all = Vec::with_capacity(targets.len());
    for target in targets {
        asked.go_on()?;
        if target.starts_with("attribute:") && attribute(target).is_none() {
            let what =
                format!("{target}: write attribute:KEY=VALUE, such as attribute:server.port=443");
            return Err(ApiError::bad_request(what));
        }
        let selector = match attribute(target) {
            Some((key, value)) => {
                let elements = asked.graph().with_attribute(key, value, asked.as_of(at).0);
                if elements.is_empty() {
                    return Err(names::no_attribute(asked, at, key, value));
                }
                Selector::Listed { name: target.clone(), elements }
            }
            None => {
                match (names::parse(moment, "target", target)?, names::placed(moment, target)) {
                    (ElementId::Node(id), Some((node, site))) if moment.find(&id).is_none() => {
                        Selector::Placed { node, site }
                    }
                    (ElementId::Node(id), _) if moment.find(&id).is_none() => {
                        // A prefix that nobody spoke of stands for what lies in it.
                        let prefix = Prefix::parse(id.name());
                        let prefix = prefix.filter(|_| id.kind() == NodeKind::Prefix);
                        let held = prefix.map(|prefix| moment.lying_in(&prefix));
                        if let Some(held) = held.filter(|held| !held.nodes.is_empty()) {
                            all.push((target.as_str(), held));
                            continue;
                        }
                        Selector::Element(ElementId::Node(id))
                    }
                    (ElementId::Edge(id), _) if moment.find_edges(&id).next().is_none() => {
                        if let Some(edge) = names::edge(moment, &id) {
                            let edges = moment.same_link(edge);
                            let found = Selection { edges, ..Selection::default() };
                            all.push((target.as_str(), found));
                            continue;
                        }
                        Selector::Element(ElementId::Edge(id))
                    }
                    (id, _) => Selector::Element(id),
                }
            }
        };
        if let Selector::Element(id @ (ElementId::Path(_) | ElementId::Alias(_))) = &selector {
            let what = format!(
                "{id}: a way that packets took does not fail, nor does a name; name its nodes or edges"
            );
            return Err(ApiError::bad_request(what));
        }
        let found = moment.select(&selector).map_err(|error| match &selector {
            Selector::Element(id) => names::not_there(asked, moment, id),
            Selector::Placed { .. } | Selector::Listed { .. } => {
                ApiError::not_found(error.to_string())
            }
        })?;
        all.push((target.as_str(), found));
    }
    Ok(all)
}

/// What is drained and what fails that something is in both of, and that: if there is any.
fn in_both<'a>(
    moment: &Moment,
    drained: &[(&'a str, Selection)],
    failed: &[(&'a str, Selection)],
) -> Option<(&'a str, &'a str, String)> {
    let (mut nodes, mut edges): (HashMap<u32, &str>, HashMap<u32, &str>) = Default::default();
    for (target, selection) in failed {
        nodes.extend(selection.nodes.iter().map(|node| (*node, *target)));
        edges.extend(selection.edges.iter().map(|edge| (*edge, *target)));
    }
    drained.iter().find_map(|(target, selection)| {
        let node = selection.nodes.iter().find_map(|node| Some((*node, *nodes.get(node)?)));
        let node = node.map(|(node, other)| (*target, other, moment.node(node).to_string()));
        let edge = || selection.edges.iter().find_map(|edge| Some((*edge, *edges.get(edge)?)));
        let edge = || edge().map(|(edge, other)| (*target, other, moment.edge(edge).to_string()));
        node.or_else(edge)
    })
}

fn together(selections: Vec<(&str, Selection)>) -> Selection {
    let mut all = Selection::default();
    for (_, found) in selections {
        all.nodes.extend(found.nodes);
        all.edges.extend(found.edges);
    }
    for list in [&mut all.nodes, &mut all.edges] {
        list.sort_unstable();
        list.dedup();
    }
    all
}

pub(super) fn impact_view(asked: &Asked, question: &Question, impact: Impact) -> ImpactView {
    let (at, limit) = (question.at, question.limit);
    let mut coverage = asked.coverage(at);
    if impact.coverage.far_pairs_left_out {
        coverage.notes.push(
            "agents reach more, over more hops, than is looked at: pairs that are furthest apart are left out".into(),
        );
    }
    if impact.coverage.flow_paths == 0 && impact.coverage.path_edges > 0 {
        coverage.notes.push(
            "no hop-by-hop paths were observed: ways are put together from single edges".into(),
        );
    }
    if impact.impacted_slos.is_none() {
        coverage.notes.push("no SLO engine runs: which objectives are touched is not known".into());
    }
    let first = |ids: &[NamedElement]| ids.iter().take(limit).map(ToString::to_string).collect();
    let apart: BTreeSet<&Named> = impact.nodes().filter(|named| named.at.is_some()).collect();
    let drawn_as = match (apart.is_empty(), asked.moment(at)) {
        (false, Ok(moment)) => {
            let names = |named: &Named| {
                let names = moment.drawn_as(named);
                (named.to_string(), names.iter().map(ToString::to_string).collect())
            };
            apart.into_iter().map(names).collect()
        }
        _ => BTreeMap::new(),
    };
    let broken = |path: holm_moment::BrokenPath| BrokenPathView {
        from: path.from.to_string(),
        to: path.to.to_string(),
        route: route(path.route),
        status: if path.observed { RouteStatusView::Observed } else { RouteStatusView::Inferred },
    };
    let services = |list: holm_moment::Listed<holm_moment::ImpactedService>| {
        let shown = list.items.into_iter();
        shown.map(|s| ImpactedServiceView { id: s.id.to_string(), distance: s.distance }).collect()
    };
    ImpactView {
        at: asked.as_of(at),
        live: at.is_none(),
        totals: ImpactTotals {
            failed: impact.failed.len() as u64,
            drained: impact.drained.len() as u64,
            broken_paths: impact.broken_paths.total,
            rerouted_paths: impact.rerouted_paths.total,
            stranded_paths: impact.stranded_paths.total,
            stranded_services: impact.stranded_services.total,
            stranded_prefixes: impact.stranded_prefixes.total,
            impacted_services: impact.impacted_services.total,
            impacted_prefixes: impact.impacted_prefixes.total,
            disconnected: impact.disconnected.total,
            impacted_slos: impact.impacted_slos.as_ref().map_or(0, |slos| slos.total),
        },
        drawn_as,
        failed: first(&impact.failed),
        drained: first(&impact.drained),
        broken_paths: impact.broken_paths.items.into_iter().map(broken).collect(),
        rerouted_paths: impact
            .rerouted_paths
            .items
            .into_iter()
            .map(|path| ReroutedPathView {
                from: path.from.to_string(),
                to: path.to.to_string(),
                status: path.status.into(),
                route: route(path.route),
                alt_route: route(path.alt_route),
                last_taken: path.last_taken.map(Timestamp),
                flows_affected: path.flows_affected.map(|(affected, _)| affected),
                flows: path.flows_affected.map(|(_, all)| all),
            })
            .collect(),
        stranded_paths: impact.stranded_paths.items.into_iter().map(broken).collect(),
        stranded_services: services(impact.stranded_services),
        stranded_prefixes: impact.stranded_prefixes.items.iter().map(ToString::to_string).collect(),
        impacted_services: services(impact.impacted_services),
        impacted_prefixes: impact
            .impacted_prefixes
            .items
            .into_iter()
            .map(|p| ImpactedPrefixView { id: p.id.to_string(), loss: p.loss.into() })
            .collect(),
        disconnected: impact.disconnected.items.iter().map(ToString::to_string).collect(),
        impacted_slos: impact.impacted_slos.map(|slos| slos.items),
        coverage,
        freshness: asked.freshness(),
    }
}

/// Nodes as they are written; a hop that did not answer stays `null`.
pub(super) fn route<T: std::fmt::Display>(nodes: Vec<Option<T>>) -> Vec<Option<String>> {
    nodes.into_iter().map(|node| node.map(|node| node.to_string())).collect()
}
