//! What an answer stands on: what is watched, and how fresh each site's part is.

use holm_graph::{NotWatching, SiteFreshness, SiteState};
use holm_model::{EdgeKind, Millis, NodeId};
use holm_plane::PlaneState;

use super::topology_types::{CoverageView, FreshnessView, SiteFreshnessView};
use super::types::{SiteStateView, Timestamp};
use crate::daemon::{NodeState, StandsOn, Tenant};

/// Most names that a note lists.
const MAX_NAMED: usize = 5;

/// What an answer at `at` stands on.
pub(super) fn coverage(
    state: &NodeState,
    tenant: &Tenant,
    at: Millis,
    known: &StandsOn,
) -> CoverageView {
    let StandsOn { coverage, earliest, ambiguous, apart, .. } = known;
    let mut notes = notes(state, tenant, at, *earliest, &coverage.never_recorded);
    if !ambiguous.is_empty() {
        notes.push(format!(
            "names that could mean several things are not folded: {}",
            first_names(ambiguous)
        ));
    }
    if !apart.is_empty() {
        notes.push(format!(
            "private addresses that sites use without a common node.address_plan are drawn as one and judged site by site \
             (ask for one as {}@SITE): {}",
            apart[0],
            first_names(apart)
        ));
    }
    CoverageView {
        flow_paths: coverage.flow_paths,
        path_edges: coverage.path_edges,
        flow_edges: coverage.flow_edges,
        routing_edges: coverage.routing_edges,
        device_edges: coverage.device_edges,
        notes,
    }
}

/// From so long ago on a moment is one of the past, of which is told who watched then: as long as planes hold
/// at least what they saw, in milliseconds.
const PAST_MS: u64 = 60_000;

/// Who did not watch at a moment of the past, in words: how fresh each site is now says nothing of then.
pub(super) fn not_watching(
    at: Millis,
    now: Millis,
    known: &StandsOn,
    freshness: &FreshnessView,
) -> Vec<String> {
    let past = now.since(at) >= PAST_MS;
    let moment = Timestamp(at);
    // What is over is known at once.
    let silent = known.not_watching.iter().filter(|silent| past || silent.until.is_some());
    let silent = silent.map(|NotWatching { site, since, until }| {
        let when = match (since, until) {
            (Some(since), Some(until)) => {
                format!("from {} until {}", Timestamp(*since), Timestamp(*until))
            }
            (Some(since), None) => format!("since {}", Timestamp(*since)),
            (None, Some(until)) => format!("before {}", Timestamp(*until)),
            (None, None) => "at any time".into(),
        };
        format!("{site} was not watching at {moment}: it recorded nothing {when}")
    });
    let unheard = freshness.sites.iter().filter_map(|site| {
        let as_of = site.as_of.filter(|as_of| past && at.since(as_of.0) >= PAST_MS)?;
        let told = known.not_watching.iter().any(|silent| silent.site == site.site);
        (!told && site.state != SiteStateView::Here).then(|| {
            let site = &site.site;
            format!(
                "what {site} says of {moment} is as of {as_of}: no later word of it is known here"
            )
        })
    });
    silent.chain(unheard).collect()
}

fn first_names(names: &[NodeId]) -> String {
    let named: Vec<String> = names.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// Whether any plane of this node records topology.
pub(super) fn topology_running(state: &NodeState) -> bool {
    state.planes().iter().any(|plane| plane.health().state != PlaneState::Off)
}

/// The planes that record edges of a kind, if there are any.
const fn recorded_by(kind: EdgeKind) -> &'static [&'static str] {
    match kind {
        EdgeKind::Flow => &["host", "flow", "otlp"],
        EdgeKind::Path => &["active", "path"],
        EdgeKind::Device | EdgeKind::Routing => &[],
    }
}

/// What is missing, in words: "not watching" is not "nothing there".
fn notes(
    state: &NodeState,
    tenant: &Tenant,
    at: Millis,
    earliest: Option<Millis>,
    never_recorded: &[EdgeKind],
) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(earliest) = earliest.filter(|earliest| at < *earliest) {
        notes.push(format!("nothing was recorded before {}", Timestamp(earliest)));
    }
    for kind in never_recorded {
        let running = recorded_by(*kind).iter().find(|name| {
            let planes = state.planes();
            planes.iter().any(|p| p.name() == **name && p.health().state != PlaneState::Off)
        });
        notes.push(match running {
            Some(plane) => format!(
                "no {kind} edges: plane {plane} watches at this site, and no site has recorded one yet"
            ),
            None => format!("no {kind} edges: nothing at this site watches for them"),
        });
    }
    for plane in state.planes().iter() {
        let health = plane.health();
        if health.state != PlaneState::Running {
            let how = if health.state == PlaneState::Off { "is off" } else { "is degraded" };
            notes.push(format!("plane {} {how} at this site: {}", plane.name(), health.reason));
        }
    }
    if let Some(failure) = tenant.write_failure() {
        notes.push(format!("changes of this site wait to be written: {failure}"));
    }
    notes
}

pub(super) fn freshness(state: &NodeState, tenant: &Tenant, now: Millis) -> FreshnessView {
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    let documented = tenant.documented_sites();
    let reports = state.site_reports(&tenant.id, &documented, status.as_ref(), now);
    let sites: Vec<SiteFreshnessView> = reports
        .into_iter()
        .map(|report| {
            let SiteFreshness { site, as_of, state } = report.freshness;
            SiteFreshnessView { site, as_of: as_of.map(Timestamp), state: site_state(state) }
        })
        .collect();
    let unreachable = sites
        .iter()
        .filter(|s| matches!(s.state, SiteStateView::Unreachable | SiteStateView::NeverHeard))
        .map(|s| s.site.clone())
        .collect();
    FreshnessView { sites, unreachable }
}

pub(super) fn site_state(state: SiteState) -> SiteStateView {
    match state {
        SiteState::Here => SiteStateView::Here,
        SiteState::Live => SiteStateView::Live,
        SiteState::NeverHeard => SiteStateView::NeverHeard,
        SiteState::Stale => SiteStateView::Stale,
        SiteState::Unreachable => SiteStateView::Unreachable,
    }
}
