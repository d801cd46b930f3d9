//! The graph at one moment, laid out for questions about routes and failures.

use holm_model::{EdgeKind, Millis, NodeId, SiteId};
use holm_moment::{Moment, MomentBuilder};

use crate::TopologyGraph;
use crate::snapshot::said_at;
use crate::topology::{EdgeSlot, NodeIndex};

/// The attribute of a path edge that says that it ends at a node of that site.
const PEER_SITE: &str = "holm.peer.site";
/// Attributes of a path edge that say what a round trip along it typically takes, in ms.
const ROUND_TRIPS: [&str; 2] = ["holm.probe.icmp.rtt_ms", "holm.probe.tcp.rtt_ms"];

impl TopologyGraph {
    /// Everything that any site holds to exist at `at`, with who recorded each node.
    ///
    /// A call to an address and port at which exactly one service was seen to serve is a call to that
    /// service too: the caller's site sees the address only, and the other site the service. Names of
    /// the same thing are one node ([`TopologyGraph::folding`]), found by each of them.
    pub fn moment(&self, at: Millis) -> Moment {
        let mut builder = MomentBuilder::new();
        let joined = self.joined(at, &None);
        let mut handle = vec![None; self.nodes.len()];
        let mut named = |builder: &mut MomentBuilder, node: NodeIndex| {
            let shown = joined.shown(node);
            if let Some(known) = handle[shown as usize] {
                return Some(known);
            }
            let made = builder.node(self.id_of(shown)?.clone());
            let others = joined.others(shown).iter().filter_map(|&other| self.id_of(other));
            others.for_each(|other| builder.also_called(made, other));
            handle[shown as usize] = Some(made);
            Some(made)
        };
        for (node, slot) in (0..).zip(&self.nodes) {
            let Some(slot) = slot else { continue };
            for (site, _) in said_at(&slot.records, at, &None) {
                let Some(index) = named(&mut builder, node) else { continue };
                builder.recorded_by(index, &self.sites[site as usize]);
            }
        }
        let serving = self.serving(at);
        for edge in self.edges.iter().flatten() {
            let mut sites = said_at(&edge.records, at, &None).map(|(site, _)| site).peekable();
            if sites.peek().is_none() {
                continue;
            }
            let mut end = |node: NodeIndex| named(&mut builder, node);
            let (Some(from), Some(to)) = (end(edge.from), end(edge.to)) else { continue };
            // From one name of a thing to another: within the thing.
            if from == to && edge.from != edge.to {
                continue;
            }
            let behind = self.services_behind(edge, at, &serving).into_iter().filter_map(&mut end);
            let behind: Vec<u32> = behind.filter(|&n| n != from && n != to).collect();
            builder.edge(from, edge.kind, to, round_trip_us(edge, at));
            for service in behind {
                builder.edge(from, EdgeKind::Flow, service, None);
            }
            if edge.kind == EdgeKind::Path {
                for (_, record) in said_at(&edge.records, at, &None) {
                    let attributes = record.attributes(at);
                    let site = attributes.get(PEER_SITE).map(|site| SiteId::new(site));
                    if let Some(Ok(site)) = site {
                        builder.located_at(to, &site);
                    }
                }
            }
            // The caller's side of a flow runs where it was seen.
            if edge.kind == EdgeKind::Flow {
                for site in sites {
                    builder.recorded_by(from, &self.sites[site as usize]);
                }
            }
        }
        for path in self.paths_at(at) {
            let mut node = |id: &NodeId| named(&mut builder, self.node_named(id)?.0);
            let ends = (node(path.id.agent()), node(path.id.target()));
            let (Some(agent), Some(target)) = ends else { continue };
            let hops: Vec<_> =
                path.id.hops().iter().map(|hop| hop.as_ref().and_then(&mut node)).collect();
            builder.path(agent, target, path.id.flow(), &hops);
        }
        builder.build()
    }
}

/// The least of the round trips along an edge that any site holds to be typical, in microseconds.
fn round_trip_us(edge: &EdgeSlot, at: Millis) -> Option<u32> {
    if edge.kind != EdgeKind::Path {
        return None;
    }
    let told = said_at(&edge.records, at, &None).flat_map(|(_, record)| {
        let attributes = record.attributes(at);
        ROUND_TRIPS.map(|key| attributes.get(key).and_then(|ms| ms.parse::<f64>().ok()))
    });
    let valid = told.flatten().filter(|ms| ms.is_finite() && *ms >= 0.0);
    // Beyond u32 the number saturates: 71 minutes.
    valid.map(|ms| (ms * 1_000.0) as u32).min()
}
