//! `GET /v1/mesh`: the mesh as this node sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_graph::Verdict;
use holm_mesh_link::{ClockView, Gone, MemberState, MemberStatus, MeshStatus, Reach, SyncView};
use holm_model::{Millis, NodeName, SiteId, TenantId};

use super::coverage::site_state;
use super::error::{ApiError, ErrorBody};
use super::mesh_types::{
    ChannelView, CountView, GoneView, MeshClock, MeshDocument, MeshDocuments, MeshMember,
    MeshRefusal, MeshStuck, MeshSync, MeshVerdict, MeshView, NatPlace, NatView, QuarantinedView,
    ReachOf, ReachView, ReachableView, ReachedView, RelayView, SeedView, SiteLag, VerdictKind,
};
use super::tenants::not_granted;
use super::topology::hex;
use super::types::{MemberStateView, Timestamp};
use crate::daemon::{
    Caller, Finding, NodeState, ReachedWire, Tenant, View, severity, subject_of, text_of,
};

/// Documents listed; the largest come first.
const MAX_DOCUMENTS: usize = 200;
/// How a count's name ends when it counts what did not come through.
const DROPPED: [&str; 12] = [
    "dropped",
    "duplicate",
    "failed",
    "forgotten",
    "from_the_future",
    "full",
    "malformed",
    "misplaced",
    "not_permitted",
    "refused",
    "too_long",
    "without_link",
];

/// The mesh as this node sees it: members, what each site reaches, how far each lags, documents,
/// traffic, and everything that was dropped.
#[utoipa::path(
    get, path = "/v1/mesh", tag = "mesh",
    responses((status = 200, body = MeshView), (status = 401, body = ErrorBody))
)]
pub(crate) async fn mesh(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<MeshView>, ApiError> {
    let tenant = state.tenant(&caller)?;
    // Documents are counted through: not on a thread that serves others.
    tokio::task::spawn_blocking(move || Json(view(&state, &tenant, Millis::now())))
        .await
        .map_err(ApiError::internal)
}

fn view(state: &NodeState, tenant: &Tenant, now: Millis) -> MeshView {
    let status = state.mesh().map(holm_mesh_link::Mesh::status);
    let own = &state.config.node.site;
    let reports = state.site_reports(&tenant.id, &tenant.documented_sites(), status.as_ref(), now);
    let lags = reports.into_iter().map(|report| {
        let freshness = report.freshness;
        SiteLag {
            lag_ms: freshness.as_of.map(|at| now.since(at)),
            as_of: freshness.as_of.map(Timestamp),
            state: site_state(freshness.state),
            site: freshness.site,
        }
    });
    let mut views: Vec<ReachView> = state
        .own_view(now)
        .map(|view| reach(own.clone(), state.config.node.name.clone(), view, now))
        .into_iter()
        .collect();
    views.extend(state.views.young(now).into_iter().map(|(s, n, view, at)| reach(s, n, view, at)));
    let (replicating, replicating_reason) = match &status {
        Some(status) => (status.replicating, status.paused_reason.clone()),
        None => (false, state.mesh_failure()),
    };
    let findings = state.views.findings();
    let mut counts = status.as_ref().map(|status| status.counters.clone()).unwrap_or_default();
    let (unanswered, refused) = state.views.counts();
    counts.insert("views_failed", unanswered);
    counts.insert("views_refused", refused);
    let channels = channels(&mut counts);
    let (drops, counts) = parted(counts);
    MeshView {
        site: own.clone(),
        node: state.config.node.name.clone(),
        replicating,
        replicating_reason,
        verdicts: findings.into_iter().map(|finding| verdict(finding, own)).collect(),
        lags: lags.collect(),
        lag_due_ms: status.as_ref().map_or(0, |status| status.leases_due_ms),
        views,
        documents: documents(state, tenant),
        channels,
        drops,
        counts,
        seeds: seeds(status.as_ref()),
        nat: status.as_ref().map(nat),
        refusals: refusals(status.as_ref()),
        stuck: state
            .mesh()
            .and_then(holm_mesh_link::Mesh::stuck)
            .map(|stuck| MeshStuck { step: stuck.step.to_owned(), for_ms: stuck.for_ms }),
        warnings: warnings(status.as_ref()),
        not_granted: not_granted(state, tenant, now),
        gone: gone(state, status.as_ref()),
        members: members(status, state.label(&tenant.id).as_ref()),
    }
}

fn reach(site: SiteId, node: NodeName, view: View, at: Millis) -> ReachView {
    let reached = view.reached.into_iter().map(|(site, reached)| ReachOf {
        site,
        reached: match reached {
            ReachedWire::Yes => ReachedView::Yes,
            ReachedWire::No => ReachedView::No,
            ReachedWire::NotTried => ReachedView::NotTried,
        },
    });
    ReachView { site, node, as_of: Timestamp(at), reached: reached.collect() }
}

fn verdict(finding: Finding, own: &SiteId) -> MeshVerdict {
    let Finding { verdict, since, raised, .. } = finding;
    let (severity, subject, text) =
        (severity(&verdict).to_owned(), subject_of(&verdict), text_of(&verdict, own));
    let (kind, witnesses, reached_by) = match verdict {
        Verdict::CutOff { .. } => (VerdictKind::CutOff, vec![own.clone()], Vec::new()),
        Verdict::SiteDown { witnesses, .. } => {
            (VerdictKind::SiteDown, witnesses.into_iter().collect(), Vec::new())
        }
        Verdict::LinkDown { witnesses, reached_by, .. } => (
            VerdictKind::LinkDown,
            witnesses.into_iter().collect(),
            reached_by.into_iter().collect(),
        ),
        Verdict::Undecided { witness, .. } => (VerdictKind::Undecided, vec![witness], Vec::new()),
    };
    let since = Timestamp(since);
    MeshVerdict { kind, severity, subject, text, witnesses, reached_by, since, raised }
}

/// Who was said to be gone, and whether it came back.
fn gone(state: &NodeState, status: Option<&MeshStatus>) -> Vec<GoneView> {
    let missing = state.roster.forgotten.gone();
    let said = state.roster.forgotten.said().into_iter();
    said.map(|said| {
        let Gone { site, node, up_to } = said.gone;
        let is_back = |node: &NodeName| {
            let mut members = status.iter().flat_map(|status| &status.members);
            members.any(|m| m.site == site && m.node == *node && m.started.0 > up_to)
        };
        let back = node.as_ref().map_or(!missing.contains_key(&site), is_back);
        GoneView { site, node, at: Timestamp(said.at), back }
    })
    .collect()
}

/// Every other node; `label` is the caller's tenant as the mesh calls it.
fn members(status: Option<MeshStatus>, label: Option<&TenantId>) -> Vec<MeshMember> {
    let Some(MeshStatus { members, leases, .. }) = status else { return Vec::new() };
    let signed: BTreeMap<_, bool> = leases
        .into_iter()
        .filter(|lease| Some(&lease.tenant) == label)
        .map(|lease| ((lease.site, lease.node), lease.signed))
        .collect();
    let signed = |of: &MemberStatus| signed.get(&(of.site.clone(), of.node.clone())).copied();
    members.into_iter().map(|of| member(signed(&of), of)).collect()
}

fn member(lease_signed: Option<bool>, member: MemberStatus) -> MeshMember {
    MeshMember {
        lease_signed,
        state: match member.state {
            MemberState::Alive => MemberStateView::Alive,
            MemberState::Suspect => MemberStateView::Suspect,
            MemberState::Down => MemberStateView::Down,
        },
        site: member.site,
        node: member.node,
        connected: member.connected,
        connected_since: member.connected_since.map(Timestamp),
        last_heard: member.last_heard.map(Timestamp),
        rtt_ms: member.rtt_ms,
        clock_skew_ms: member.clock_skew_ms,
        clock: member.clock.map(|clock| clock_view(&clock)),
        addresses: member.addresses.iter().map(ToString::to_string).collect(),
        via: member.via,
        last_refusal: member.last_refusal,
        last_sync: member.last_sync.map(sync),
    }
}

fn nat(status: &MeshStatus) -> NatView {
    let places = status.nat.places.iter();
    NatView {
        reachable: match status.nat.reach {
            Reach::BehindNat => ReachableView::BehindNat,
            Reach::Reachable => ReachableView::Reachable,
            Reach::Unknown => ReachableView::Unknown,
        },
        observed: status.observed.iter().map(ToString::to_string).collect(),
        places: places
            .map(|place| NatPlace { relay: place.name.clone(), held: place.held })
            .collect(),
        relay: RelayView {
            serving: status.relay.serving,
            places: status.relay.reservations,
            circuits: status.relay.circuits,
            bytes: status.relay.bytes,
        },
    }
}

fn clock_view(clock: &ClockView) -> MeshClock {
    let (middle, error) = clock.wall_offset_ns();
    let ms = |ns: u64| ns as f64 / 1e6;
    MeshClock {
        offset_ms: middle as f64 / 1e6,
        error_ms: ms(error),
        drift_ppm_min: clock.drift_ppb.0 as f64 / 1e3,
        drift_ppm_max: clock.drift_ppb.1 as f64 / 1e3,
        one_way_out_ms_min: ms(clock.one_way_out_ns.0),
        one_way_out_ms_max: ms(clock.one_way_out_ns.1),
        one_way_in_ms_min: ms(clock.one_way_in_ns.0),
        one_way_in_ms_max: ms(clock.one_way_in_ns.1),
        samples: clock.samples,
    }
}

fn sync(SyncView { at, result }: SyncView) -> MeshSync {
    let (report, error) = match result {
        Ok(report) => (report, None),
        Err(error) => (Default::default(), Some(error)),
    };
    MeshSync {
        at: Timestamp(at),
        pulled: report.pulled,
        pushed: report.pushed,
        failed: report.failed,
        bytes_in: report.bytes_in,
        bytes_out: report.bytes_out,
        error: error.or(report.first_failure),
    }
}

fn documents(state: &NodeState, tenant: &Tenant) -> MeshDocuments {
    let mut budgets = tenant.replica.budgets();
    budgets.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let bytes = budgets.iter().map(|budget| budget.bytes as u64).sum();
    let over_budget = budgets.iter().filter(|budget| budget.over).count();
    let total = budgets.len();
    let named =
        |doc| tenant.replica.name(doc).map(|name| format!("{} {}", name.kind(), name.key()));
    let quarantined = tenant.replica.quarantined().into_iter().map(|entry| QuarantinedView {
        document: named(entry.doc).unwrap_or_else(|| entry.doc.to_string()),
        from: entry.from,
        at: Timestamp(entry.at),
        reason: entry.reason,
        bytes: entry.len,
    });
    let items = budgets.into_iter().take(MAX_DOCUMENTS).map(|budget| MeshDocument {
        name: budget.name,
        bytes: budget.bytes,
        ops: budget.ops,
        heads: budget.heads,
        over_budget: budget.over,
    });
    MeshDocuments {
        digest: hex(&tenant.replica.digest()),
        total,
        bytes,
        over_budget,
        items: items.collect(),
        quarantined: quarantined.collect(),
        at_start: state.roster.messages.iter().chain(&tenant.messages).cloned().collect(),
    }
}

/// Takes the counts of bytes out of the others, by channel.
fn channels(counts: &mut BTreeMap<&'static str, u64>) -> Vec<ChannelView> {
    let mut channels: BTreeMap<String, ChannelView> = BTreeMap::new();
    counts.retain(|name, count| {
        let (channel, is_in) =
            match (name.strip_suffix("_bytes_in"), name.strip_suffix("_bytes_out")) {
                (Some(channel), _) => (channel, true),
                (_, Some(channel)) => (channel, false),
                _ => return true,
            };
        let entry = channels.entry(channel.to_owned()).or_insert_with(|| ChannelView {
            channel: channel.to_owned(),
            bytes_in: 0,
            bytes_out: 0,
        });
        *if is_in { &mut entry.bytes_in } else { &mut entry.bytes_out } += *count;
        false
    });
    channels.into_values().collect()
}

/// What did not come through, and the rest.
fn parted(counts: BTreeMap<&'static str, u64>) -> (Vec<CountView>, Vec<CountView>) {
    let all = counts.into_iter().map(|(name, count)| CountView { name: name.to_owned(), count });
    all.partition(|count| DROPPED.iter().any(|end| count.name.ends_with(end)))
}

fn seeds(status: Option<&MeshStatus>) -> Vec<SeedView> {
    let seeds = status.into_iter().flat_map(|status| &status.seeds);
    seeds
        .map(|seed| SeedView {
            address: seed.address.clone(),
            last_refusal: seed.last_refusal.clone(),
        })
        .collect()
}

fn refusals(status: Option<&MeshStatus>) -> Vec<MeshRefusal> {
    let refusals = status.into_iter().flat_map(|status| &status.refusals);
    refusals
        .map(|refusal| MeshRefusal {
            address: refusal.address.to_string(),
            direction: refusal.direction.to_owned(),
            reason: refusal.reason.clone(),
            at: Timestamp(refusal.at),
            count: refusal.count,
        })
        .collect()
}

fn warnings(status: Option<&MeshStatus>) -> Vec<String> {
    let Some(status) = status else { return Vec::new() };
    let conflicts = status.conflicts.iter().map(|conflict| conflict.text.clone());
    conflicts.chain(status.clock_warnings.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_by_channel_and_drops_apart_from_the_rest() {
        let mut counts = BTreeMap::from([
            ("sync_bytes_in", 7),
            ("sync_bytes_out", 9),
            ("publishes_dropped", 1),
            ("dials", 3),
            ("messages_not_permitted", 2),
        ]);
        let channels = channels(&mut counts);
        let told: Vec<_> =
            channels.iter().map(|c| (c.channel.as_str(), c.bytes_in, c.bytes_out)).collect();
        assert_eq!(told, [("sync", 7, 9)]);
        let (drops, counts) = parted(counts);
        let names =
            |counts: &[CountView]| counts.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&drops), ["messages_not_permitted", "publishes_dropped"]);
        assert_eq!(names(&counts), ["dials"]);
    }
}
