//! What changed in a part of the topology between two moments.

use std::collections::BTreeSet;
use std::sync::Arc;

use holm_model::{ElementId, Millis};

use crate::diff::Part;
use crate::{Diff, Snapshot, SnapshotFilter, TopologyGraph};

impl TopologyGraph {
    /// What changed from `from` to `to` in the part that `filter` chooses, at most `limit` of each list by
    /// id; totals count all. Of what the pictures of the two moments show: what changed by what the chosen sites say.
    /// What got another name meanwhile, or came to lie around a node, did not appear.
    pub fn diff_of_part(
        &self,
        filter: &SnapshotFilter,
        from: Millis,
        to: Millis,
        limit: usize,
    ) -> Diff {
        let heard = self.heard(filter.sites.as_deref());
        let [before, joined] = [from, to].map(|at| self.joined_for(filter, at, &heard));
        let chooses =
            filter.node_kinds.is_some() || filter.edge_kinds.is_some() || filter.around.is_some();
        let filter = SnapshotFilter { limit: None, ..filter.clone() };
        let picture = |at, named| self.snapshot_by_names_of(at, named, &filter).unwrap_or_default();
        let shown = chooses.then(|| {
            let ids = |snapshot: Snapshot| {
                let nodes = snapshot.nodes.into_iter().map(|node| ElementId::Node(node.id));
                nodes.chain(snapshot.edges.into_iter().map(|edge| ElementId::Edge(edge.id)))
            };
            // What got another name lies around the node by that.
            let mut shown: BTreeSet<ElementId> = ids(picture(to, to)).collect();
            shown.extend(ids(picture(from, to)));
            if !Arc::ptr_eq(&before, &joined) {
                shown.extend(ids(picture(from, from)));
            }
            shown
        });
        self.compare(from, to, limit, &Part { before, joined, heard, shown })
    }
}
