//! The nodes in the order of their ids, kept while none comes or goes: most answers are in that order,
//! and comparing names again for each costs more than the rest of the answer.

use std::sync::{Arc, Mutex, PoisonError};

use holm_model::EdgeKind;

use crate::TopologyGraph;
use crate::topology::{EdgeSlot, NodeIndex};

/// The order of the nodes.
#[derive(Debug, Default)]
pub(crate) struct Order {
    named: u64,
    /// The nodes in order.
    pub(crate) nodes: Vec<NodeIndex>,
    /// Where each node stands in it.
    pub(crate) rank: Vec<u32>,
}

impl Order {
    /// Where an edge stands among all edges in order of their ids.
    pub(crate) fn of_edge(&self, edge: &EdgeSlot) -> (u32, EdgeKind, u32) {
        (self.rank[edge.from as usize], edge.kind, self.rank[edge.to as usize])
    }
}

/// The last order that was asked for.
#[derive(Debug, Default)]
pub(crate) struct KeptOrder(Mutex<Arc<Order>>);

impl TopologyGraph {
    /// The nodes in order of their ids.
    pub(crate) fn order(&self) -> Arc<Order> {
        let mut kept = self.order.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.named == self.named {
            return Arc::clone(&kept);
        }
        // What was in order before mostly still is: the sort finds it so.
        let mut listed = vec![false; self.nodes.len()];
        let before = kept.nodes.iter().copied().chain(0..self.nodes.len() as NodeIndex);
        let mut nodes: Vec<NodeIndex> = before
            .filter(|&n| self.nodes[n as usize].is_some())
            .filter(|&n| !std::mem::replace(&mut listed[n as usize], true))
            .collect();
        nodes.sort_by_key(|&n| self.nodes[n as usize].as_ref().map(|node| &node.id));
        let mut rank = vec![u32::MAX; self.nodes.len()];
        for (place, &node) in (0..).zip(&nodes) {
            rank[node as usize] = place;
        }
        *kept = Arc::new(Order { named: self.named, nodes, rank });
        Arc::clone(&kept)
    }
}
