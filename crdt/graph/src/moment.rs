//! The graph at one moment, laid out for questions about routes and failures.

use holm_model::{EdgeKind, Millis};
use holm_moment::{Moment, MomentBuilder};

use crate::TopologyGraph;
use crate::snapshot::said_at;

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
