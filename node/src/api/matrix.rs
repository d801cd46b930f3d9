//! `GET /v1/mesh/matrix`: what every site measures to every other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_active::{Pair, ProbeKind};
use holm_model::{Millis, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::types::{Timestamp, api_type};
use crate::daemon::{Caller, Heard, Link, NodeState, STALE_LINKS_MS};

/// Share of packets lost from which on a way is not well.
const LOSSY: f64 = 0.01;

/// How the way from one site to another stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PairState {
    /// All that was sent lately came back.
    Ok,
    /// One in a hundred or more was lost.
    Lossy,
    /// Nothing came back.
    Down,
    /// What is known is old: the site was not heard for three minutes.
    Stale,
    /// No probe was sent, and only the clocks say something, if anything does.
    NotMeasured,
}

api_type!(
    /// What every site measures to every other.
    MeshMatrix {
        as_of: Timestamp,
        /// The sites, in order: rows and columns.
        #[schema(value_type = Vec<String>)]
        sites: Vec<SiteId>,
        /// The pairs of which something is known; the others are not measured.
        cells: Vec<MatrixCell>,
        /// Sites of which this node heard nothing: why their rows are empty.
        unheard: Vec<UnheardSite>,
        /// How far back a cell looks, in ms.
        window_ms: u64,
        /// From which age on what a site said is old, in ms.
        stale_after_ms: u64,
    }
);

api_type!(
    /// From one site to another.
    MatrixCell {
        #[schema(value_type = String)]
        from: SiteId,
        #[schema(value_type = String)]
        to: SiteId,
        state: PairState,
        /// By which probe: `icmp`, or `tcp` where no echo request gets out.
        probe: Option<String>,
        /// Probes that it is made of.
        probes: u64,
        /// Share of packets, or of connections, that were lost: 0 to 1.
        loss: Option<f64>,
        rtt_p50_ms: Option<f64>,
        rtt_p95_ms: Option<f64>,
        jitter_ms: Option<f64>,
        /// One way there in ms, the middle of what both clocks allow.
        one_way_ms: Option<f64>,
        /// By how much that may be off either way, in ms.
        one_way_error_ms: Option<f64>,
        /// When it answered last, by this node's clock.
        last_seen: Option<Timestamp>,
        /// When it was probed last, by this node's clock.
        measured_at: Option<Timestamp>,
    }
);

api_type!(
    /// A site that says nothing of what it measures.
    UnheardSite {
        #[schema(value_type = String)]
        site: SiteId,
        reason: String,
    }
);

/// What every site measures to every other: loss, round trip, jitter and one way, by each site's own probes of the
/// others and the clocks of both ends. Peers are asked all the time, so that the answer is at hand; what they say is
/// of the probes of the last ten minutes.
#[utoipa::path(
    get, path = "/v1/mesh/matrix", tag = "mesh",
    responses((status = 200, body = MeshMatrix), (status = 401, body = ErrorBody))
)]
pub(crate) async fn matrix(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<MeshMatrix>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let made = tokio::task::spawn_blocking(move || {
        let now = Millis::now();
        let own = Heard {
            site: state.config.node.site.clone(),
            node: state.config.node.name.clone(),
            at: now,
            skew_ms: 0,
            links: Arc::new(state.own_links(now)),
        };
        let status = state.mesh().map(holm_mesh_link::Mesh::status);
        let documented = tenant.documented_sites();
        let mut sites: BTreeMap<SiteId, bool> = BTreeMap::new();
        for report in state.site_reports(&tenant.id, &documented, status.as_ref(), now) {
            let connected = report.members.iter().any(|member| member.connected);
            sites.insert(report.freshness.site, connected);
        }
        let mut heard = state.links.heard();
        heard.push(own);
        made_of(&heard, &sites, now)
    });
    made.await.map(Json).map_err(ApiError::internal)
}

/// The matrix of what was heard; `sites` says which there are, and whether this node is connected to them.
fn made_of(heard: &[Heard], sites: &BTreeMap<SiteId, bool>, now: Millis) -> MeshMatrix {
    let mut cells: BTreeMap<(&SiteId, &SiteId), MatrixCell> = BTreeMap::new();
    let mut said: BTreeSet<&SiteId> = BTreeSet::new();
    let mut all: BTreeSet<&SiteId> = sites.keys().collect();
    // Of several nodes of a site the one that was heard last comes last.
    let mut heard: Vec<&Heard> = heard.iter().filter(|one| sites.contains_key(&one.site)).collect();
    heard.sort_by_key(|one| one.at);
    for one in heard {
        said.insert(&one.site);
        for (to, link) in one.links.iter().filter(|(to, _)| **to != one.site) {
            all.insert(to);
            let cell = cell(one, to, link, now);
            // A node that does not probe says nothing against one that does.
            let known = cells.get(&(&one.site, to));
            if known.is_none_or(|known| known.loss.is_none() || cell.loss.is_some()) {
                cells.insert((&one.site, to), cell);
            }
        }
    }
    let unheard = sites.iter().filter(|(site, _)| !said.contains(site)).map(|(site, connected)| {
        let reason = match connected {
            true => "it does not say what it measures: an older version, or it has just started",
            false => "this node is not connected to it",
        };
        UnheardSite { site: site.clone(), reason: reason.to_owned() }
    });
    MeshMatrix {
        as_of: Timestamp(now),
        unheard: unheard.collect(),
        sites: all.into_iter().cloned().collect(),
        cells: cells.into_values().collect(),
        window_ms: holm_active::WINDOW_MS,
        stale_after_ms: STALE_LINKS_MS,
    }
}

fn cell(of: &Heard, to: &SiteId, link: &Link, now: Millis) -> MatrixCell {
    let here = |at: Millis| Timestamp(Millis(at.0.saturating_add_signed(-of.skew_ms)));
    let pair = link.pair.as_ref();
    let stale = now.since(of.at) > STALE_LINKS_MS;
    let state = match pair {
        _ if stale => PairState::Stale,
        None => PairState::NotMeasured,
        Some(pair) if pair.loss >= 1.0 => PairState::Down,
        Some(pair) if pair.loss >= LOSSY => PairState::Lossy,
        Some(_) => PairState::Ok,
    };
    let ms = |ns: u64| ns as f64 / 1e6;
    let one_way = link.one_way_ns.map(|(least, most)| {
        let half = ms(most - least.min(most)) / 2.0;
        (ms(least) + half, half)
    });
    let number = |of: fn(&Pair) -> Option<f64>| pair.and_then(of);
    MatrixCell {
        from: of.site.clone(),
        to: to.clone(),
        state,
        probe: pair.map(|pair| ProbeKind::as_str(pair.probe).to_owned()),
        probes: pair.map_or(0, |pair| pair.probes as u64),
        loss: number(|pair| Some(pair.loss)),
        rtt_p50_ms: number(|pair| pair.rtt_p50_ms),
        rtt_p95_ms: number(|pair| pair.rtt_p95_ms),
        jitter_ms: number(|pair| pair.jitter_ms),
        one_way_ms: one_way.map(|(middle, _)| middle),
        one_way_error_ms: one_way.map(|(_, half)| half),
        last_seen: pair.and_then(|pair| pair.answered).map(here),
        measured_at: pair.map(|pair| here(pair.last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(number: usize) -> SiteId {
        format!("site-{number:03}").parse().expect("valid")
    }

    fn pair(loss: f64, last: u64) -> Pair {
        Pair {
            probe: ProbeKind::Icmp,
            probes: 60,
            loss,
            rtt_p50_ms: Some(12.25),
            rtt_p95_ms: Some(19.5),
            jitter_ms: Some(0.75),
            answered: Some(Millis(last)),
            last: Millis(last),
        }
    }

    fn heard(from: usize, to: impl Iterator<Item = usize>, at: u64) -> Heard {
        let link = |n: usize| Link {
            pair: Some(pair(if n == 1 { 1.0 } else { 0.0 }, at)),
            one_way_ns: Some((1_000_000, 3_000_000)),
        };
        let links = to.filter(|to| *to != from).map(|to| (site(to), link(to)));
        Heard {
            site: site(from),
            node: "n1".parse().expect("valid"),
            at: Millis(at),
            skew_ms: 500,
            links: Arc::new(links.collect()),
        }
    }

    #[test]
    fn it_shows_what_each_site_says_and_who_says_nothing() {
        let now = Millis(10_000_000);
        let sites: BTreeMap<SiteId, bool> = (0..4).map(|n| (site(n), n != 3)).collect();
        let all = [
            heard(0, 0..3, now.0 - 1_000),
            heard(2, 0..2, now.0 - STALE_LINKS_MS - 1),
            heard(9, 0..4, now.0),
        ];
        let matrix = made_of(&all, &sites, now);
        let cell = |from: usize, to: usize| {
            matrix.cells.iter().find(|cell| cell.from == site(from) && cell.to == site(to))
        };
        let state = |from, to| cell(from, to).map(|cell| cell.state);
        assert_eq!(state(0, 1), Some(PairState::Down));
        assert_eq!(state(0, 2), Some(PairState::Ok));
        assert_eq!(state(2, 0), Some(PairState::Stale));
        assert_eq!((state(1, 0), state(9, 0)), (None, None), "nobody said so, or nobody we know");
        let ok = cell(0, 2).expect("there");
        assert_eq!((ok.one_way_ms, ok.one_way_error_ms), (Some(2.0), Some(1.0)));
        assert_eq!(ok.measured_at, Some(Timestamp(Millis(now.0 - 1_500))), "by this node's clock");
        let unheard: Vec<&str> = matrix.unheard.iter().map(|one| one.site.as_str()).collect();
        assert_eq!(unheard, ["site-001", "site-003"]);
        assert!(matrix.unheard[1].reason.contains("not connected"));
    }

    /// In release (`make bench`) a measurement: assembled and written, without the way over HTTP.
    #[test]
    fn a_matrix_of_200_sites_is_whole() {
        let now = Millis(10_000_000);
        let sites: BTreeMap<SiteId, bool> = (0..200).map(|n| (site(n), true)).collect();
        let all: Vec<Heard> = (0..200).map(|from| heard(from, 0..200, now.0)).collect();
        let rounds = if cfg!(debug_assertions) { 1 } else { 20 };
        let mut times: Vec<f64> = (0..rounds)
            .map(|_| {
                let begun = std::time::Instant::now();
                let matrix = made_of(&all, &sites, now);
                let bytes = serde_json::to_vec(&matrix).expect("written");
                let ms = begun.elapsed().as_secs_f64() * 1_000.0;
                assert_eq!((matrix.cells.len(), matrix.unheard.len()), (200 * 199, 0));
                assert!(bytes.len() > 1_000_000);
                ms
            })
            .collect();
        times.sort_by(f64::total_cmp);
        if rounds > 1 {
            holm_bench::report("matrix_200_ms", times[rounds / 2], "ms", 100.0, rounds);
        }
    }
}
