//! The graph at one moment, laid out for questions about routes and failures.

use holm_model::{EdgeKind, Millis, NodeId, SiteId};
use holm_moment::{Moment, MomentBuilder};

use crate::snapshot::said_at;
use crate::topology::EdgeSlot;
use crate::{Folding, TopologyGraph};

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
        let folding = self.folding(at);
        let mut handle = vec![None; self.nodes.len()];
        for (slot, node) in handle.iter_mut().zip(&self.nodes) {
            let Some(node) = node else { continue };
            for (site, _) in said_at(&node.records, at, &None) {
                let index = *slot.get_or_insert_with(|| named(&mut builder, &folding, &node.id));
                builder.recorded_by(index, &self.sites[site as usize]);
            }
        }
        let serving = self.serving(at);
        for edge in self.edges.iter().flatten() {
            let mut sites = said_at(&edge.records, at, &None).map(|(site, _)| site).peekable();
            if sites.peek().is_none() {
                continue;
            }
            let mut end = |node: u32| {
                let id = &self.nodes[node as usize].as_ref()?.id;
                let named = || named(&mut builder, &folding, id);
                Some(*handle[node as usize].get_or_insert_with(named))
            };
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
            let mut node = |id| named(&mut builder, &folding, id);
            let (agent, target) = (node(path.id.agent()), node(path.id.target()));
            let hops: Vec<_> =
                path.id.hops().iter().map(|hop| hop.as_ref().map(&mut node)).collect();
            builder.path(agent, target, path.id.flow(), &hops);
        }
        builder.build()
    }
}

/// The handle of a node, by the name that it is shown by.
fn named(builder: &mut MomentBuilder, folding: &Folding, id: &NodeId) -> u32 {
    let shown = folding.shown(id);
    let handle = builder.node(shown.clone());
    if shown != id {
        builder.also_called(handle, id);
    }
    handle
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
