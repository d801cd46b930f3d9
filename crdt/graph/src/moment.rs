//! The graph at one moment, laid out for questions about routes and failures.

use holm_model::{EdgeKind, Millis, SiteId};
use holm_moment::{Moment, MomentBuilder};

use crate::TopologyGraph;
use crate::snapshot::said_at;

/// The attribute of a path edge that says that it ends at a node of that site.
const PEER_SITE: &str = "holm.peer.site";

impl TopologyGraph {
    /// Everything that any site holds to exist at `at`, with who recorded each node.
    pub fn moment(&self, at: Millis) -> Moment {
        let mut builder = MomentBuilder::new();
        let mut handle = vec![None; self.nodes.len()];
        for (slot, node) in handle.iter_mut().zip(&self.nodes) {
            let Some(node) = node else { continue };
            for (site, _) in said_at(&node.records, at, &None) {
                let index = *slot.get_or_insert_with(|| builder.node(node.id.clone()));
                builder.recorded_by(index, &self.sites[site as usize]);
            }
        }
        for edge in self.edges.iter().flatten() {
            let mut sites = said_at(&edge.records, at, &None).map(|(site, _)| site).peekable();
            if sites.peek().is_none() {
                continue;
            }
            let mut end = |node: u32| {
                let id = &self.nodes[node as usize].as_ref()?.id;
                Some(*handle[node as usize].get_or_insert_with(|| builder.node(id.clone())))
            };
            let (Some(from), Some(to)) = (end(edge.from), end(edge.to)) else { continue };
            builder.edge(from, edge.kind, to, None);
            if edge.kind == EdgeKind::Path {
                for (_, record) in said_at(&edge.records, at, &None) {
                    let site = record.attributes.get(PEER_SITE).map(|site| SiteId::new(site));
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
        builder.build()
    }
}
