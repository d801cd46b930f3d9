//! What every site measures to every other: each node asks the peers that it is connected to what their probes came
//! to, so that any node has the whole matrix at hand. Nothing of it is stored: it says how it is now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_active::Pair;
use holm_model::{Millis, NodeName, SiteId};
use serde::{Deserialize, Serialize};

use super::state::NodeState;

/// The call that gives what this node measures to the other sites.
pub(super) const LINKS_METHOD: &str = "links";
/// How often peers are asked.
const EVERY: Duration = Duration::from_secs(5);
/// Peers asked in one round; with more, they take turns.
const PEERS_A_ROUND: usize = 16;
/// Nodes of which it is kept, and links of one node.
const MAX_NODES: usize = 4_096;
const MAX_LINKS: usize = 4_096;
/// How long it is kept, in milliseconds: shown as old from [`STALE_MS`] on.
const KEPT_MS: u64 = 60 * 60_000;
/// What was heard longer ago says nothing of now, in milliseconds.
pub(crate) const STALE_MS: u64 = 3 * 60_000;

/// What one node measures to one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// What its probes came to; `None` if it does not probe it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pair: Option<Pair>,
    /// How long a packet is on its way there, in ns: least and most, by the bounds of both clocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) one_way_ns: Option<(u64, u64)>,
}

/// All that one node measures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Wire {
    links: BTreeMap<SiteId, Link>,
}

/// What one node said, and when.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) site: SiteId,
    pub(crate) node: NodeName,
    /// When it was heard, by this node's clock.
    pub(crate) at: Millis,
    /// By how much that node's clock is ahead of this one's, in ms.
    pub(crate) skew_ms: i64,
    pub(crate) links: Arc<BTreeMap<SiteId, Link>>,
}

/// What other nodes measure.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    heard: BTreeMap<(SiteId, NodeName), Heard>,
    turn: usize,
    refused: u64,
    unanswered: u64,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each node said last.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.lock().heard.values().cloned().collect()
    }

    /// Calls that went unanswered, and nodes that are not kept because there are too many.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let kept = self.lock();
        (kept.unanswered, kept.refused)
    }
}

impl Kept {
    fn take(&mut self, heard: Heard) {
        let key = (heard.site.clone(), heard.node.clone());
        if self.heard.len() >= MAX_NODES && !self.heard.contains_key(&key) {
            self.refused += 1;
            return;
        }
        self.heard.insert(key, heard);
    }
}

impl NodeState {
    /// What this node measures to the other sites: its probes are of the first tenant, whose planes observe.
    pub(crate) fn own_links(&self, now: Millis) -> BTreeMap<SiteId, Link> {
        let first = self.config.node.tenants.first().and_then(|id| self.tenants.of(id));
        let pairs = first.map(|tenant| tenant.tests.pairs(now)).unwrap_or_default();
        let mut links: BTreeMap<SiteId, Link> = pairs
            .into_iter()
            .map(|(site, pair)| (site, Link { pair: Some(pair), one_way_ns: None }))
            .collect();
        let Some(mesh) = self.mesh() else { return links };
        for member in mesh.status().members {
            let Some(clock) = member.clock.filter(|_| member.connected) else { continue };
            let link = links.entry(member.site).or_insert(Link { pair: None, one_way_ns: None });
            // Of several nodes of a site the one that is known best.
            let width = |(least, most): (u64, u64)| most.saturating_sub(least);
            let better = |known| width(clock.one_way_out_ns) < width(known);
            if link.one_way_ns.is_none_or(better) {
                link.one_way_ns = Some(clock.one_way_out_ns);
            }
        }
        links
    }

    /// Answers a call of a node that shares a tenant with this one.
    pub(super) fn answer_links(&self, now: Millis) -> Result<Vec<u8>, String> {
        let mut links = self.own_links(now);
        while links.len() > MAX_LINKS {
            links.pop_last();
        }
        serde_json::to_vec(&Wire { links }).map_err(|error| error.to_string())
    }

    /// Asks the peers what they measure until the node stops.
    pub(super) async fn keep_links(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.shutdown.cancelled() => return,
            }
            self.ask_for_links().await;
        }
    }

    async fn ask_for_links(self: &Arc<Self>) {
        let Some(mesh) = self.mesh() else { return };
        let members = mesh.status().members.into_iter().filter(|member| member.connected);
        let mut peers: Vec<(SiteId, NodeName, i64)> = members
            .map(|member| (member.site, member.node, member.clock_skew_ms.unwrap_or(0)))
            .collect();
        if peers.len() > PEERS_A_ROUND {
            let mut kept = self.links.lock();
            kept.turn = (kept.turn + PEERS_A_ROUND) % peers.len();
            peers.rotate_left(kept.turn);
            peers.truncate(PEERS_A_ROUND);
        }
        let mut calls = tokio::task::JoinSet::new();
        for (site, node, skew_ms) in peers {
            let state = Arc::clone(self);
            calls.spawn(async move {
                let mesh = state.mesh()?;
                let call = mesh.request_node(&site, &node, LINKS_METHOD, Vec::new());
                // A peer that is slower than a round is not waited for.
                let answer = tokio::time::timeout(EVERY, call).await.ok()?.ok()?;
                let wire = read(&answer)?;
                Some(Heard { site, node, at: Millis::now(), skew_ms, links: Arc::new(wire.links) })
            });
        }
        while let Some(answer) = calls.join_next().await {
            let mut kept = self.links.lock();
            match answer {
                Ok(Some(heard)) => kept.take(heard),
                // An older node does not know the call: it is shown as not measured.
                _ => kept.unanswered += 1,
            }
        }
        let now = Millis::now();
        self.links.lock().heard.retain(|_, heard| now.since(heard.at) <= KEPT_MS);
    }
}

/// What a peer says, if it is sound.
fn read(bytes: &[u8]) -> Option<Wire> {
    let wire = serde_json::from_slice::<Wire>(bytes).ok()?;
    let number = |n: f64| n.is_finite() && (0.0..=86_400_000.0).contains(&n);
    let sound = |link: &Link| {
        link.one_way_ns.is_none_or(|(least, most)| least <= most)
            && link.pair.as_ref().is_none_or(|pair| {
                let times = [pair.rtt_p50_ms, pair.rtt_p95_ms, pair.jitter_ms];
                (0.0..=1.0).contains(&pair.loss) && times.into_iter().flatten().all(number)
            })
    };
    (wire.links.len() <= MAX_LINKS && wire.links.values().all(sound)).then_some(wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_is_looked_at() {
        let pair = |loss: &str| {
            format!(
                r#"{{"links":{{"tokyo":{{"pair":{{"probe":"icmp","probes":3,"loss":{loss},"rtt_p50_ms":1.5,"rtt_p95_ms":null,"jitter_ms":null,"answered":5,"last":6}},"one_way_ns":[1,2]}}}}}}"#
            )
        };
        let wire = read(pair("0.5").as_bytes()).expect("sound");
        let again = serde_json::to_vec(&wire).expect("written");
        assert_eq!(read(&again), Some(wire));
        for bad in [
            pair("1.5"),
            pair("-1"),
            pair("null"),
            "{}".into(),
            "x".into(),
            pair("0").replace("[1,2]", "[2,1]"),
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }
}
