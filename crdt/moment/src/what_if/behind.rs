//! What stands behind a failure: callers over flow edges, prefixes over routing edges.

use holm_model::{EdgeKind, NodeKind};

use crate::builder::{as_index, is_machine};
use crate::impact::{ImpactedPrefix, PrefixLoss};
use crate::moment::Moment;
use crate::search::Scratch;

impl Moment {
    /// The services that call, through any number of others, something that is marked as gone or that no agent
    /// reaches any more: distance and node, nearest first.
    pub(super) fn impacted_services(
        &self,
        failed_edges: &[u32],
        lost_targets: &[u32],
        scratch: &mut Scratch,
    ) -> Vec<(u32, u32)> {
        let Scratch { seen, queue, depth, gone_node_list, .. } = scratch;
        seen.clear(self.nodes.len());
        depth.resize(self.nodes.len(), 0);
        queue.clear();
        for &node in gone_node_list.iter().chain(lost_targets) {
            if seen.add(node) {
                depth[node as usize] = 0;
                queue.push(node);
            }
        }
        // Everything at distance 0 stands in the queue before anything at distance 1.
        let flows = failed_edges.iter().filter(|&&e| self.kind[e as usize] == EdgeKind::Flow);
        let callers = flows.map(|&edge| self.from[edge as usize]);
        for caller in callers.filter(|&caller| !is_machine(self.kind_of(caller))) {
            if !seen.has(caller) {
                seen.add(caller);
                depth[caller as usize] = 1;
                queue.push(caller);
            }
        }
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(&node) = queue.get(at) {
            at += 1;
            let distance = depth[node as usize];
            if distance > 0 && self.kind_of(node) == NodeKind::Service {
                found.push((distance, node));
            }
            for hop in self.flow.into.of(node) {
                if seen.add(hop.node) {
                    depth[hop.node as usize] = distance + 1;
                    queue.push(hop.node);
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Targets that something reached, and that nothing reaches any more on any way. To some only ways of
    /// flows are known, with hops that did not answer. What is where an agent is that still stands is not lost.
    pub(super) fn lost_targets(&self, scratch: &Scratch) -> Vec<u32> {
        let arrivals = self.arrivals();
        let paths = self.paths_near_gone(scratch).into_iter();
        let crossing = paths.filter(|&path| self.crosses_gone(path, scratch));
        let observed = crossing.map(|path| self.paths.target[path as usize]);
        let mut nodes: Vec<u32> = Vec::with_capacity(scratch.crossing.nodes().len());
        nodes.extend(self.crossing_names(scratch).chain(observed));
        nodes.sort_unstable();
        nodes.dedup();
        nodes
            .into_iter()
            .filter(|&node| self.is_target(node) && !scratch.gone_nodes.has(node))
            .filter(|&node| self.home_agents(node).all(|agent| scratch.gone_nodes.has(agent)))
            .filter(|&node| {
                let machine = self.first_name(node);
                let mut seen = arrivals.seen(machine).iter().enumerate();
                seen.all(|(word, &bits)| bits & !scratch.crossing.broken(machine, word) == 0)
            })
            .filter(|&node| !self.has_surviving_path(node, scratch))
            .collect()
    }

    fn has_surviving_path(&self, target: u32, scratch: &Scratch) -> bool {
        self.paths.through.of(target).iter().any(|&path| {
            self.paths.target[path as usize] == target && !self.crosses_gone(path, scratch)
        })
    }

    /// Prefixes to which all that leads by routing edges is gone, or some of it.
    pub(super) fn impacted_prefixes(&self, scratch: &mut Scratch) -> Vec<ImpactedPrefix> {
        let Scratch { lost, seen, queue, gone_nodes, gone_edges, .. } = scratch;
        lost.clear(self.nodes.len());
        seen.clear(self.nodes.len());
        queue.clear();
        let nodes = 0..as_index(self.nodes.len());
        queue.extend(nodes.filter(|&n| gone_nodes.has(n) && !self.routing.out.of(n).is_empty()));
        queue.iter().for_each(|&node| {
            lost.add(node);
        });
        let mut candidates = Vec::new();
        let edges = 0..as_index(self.from.len());
        for edge in edges.filter(|&e| gone_edges.has(e)) {
            if self.kind[edge as usize] == EdgeKind::Routing {
                candidates.push(self.to[edge as usize]);
            }
        }
        let mut behind = candidates.clone();
        loop {
            while let Some(node) = queue.pop() {
                candidates.extend(self.routing.out.of(node).iter().map(|hop| hop.node));
            }
            let Some(node) = candidates.pop() else { break };
            if gone_nodes.has(node) || lost.has(node) {
                continue;
            }
            if seen.add(node) {
                behind.push(node);
            }
            let mut into = self.routing.into.of(node).iter();
            if into.all(|hop| lost.has(hop.node) || gone_edges.has(hop.edge)) {
                lost.add(node);
                queue.push(node);
            }
        }
        behind.sort_unstable();
        behind.dedup();
        behind
            .into_iter()
            .filter(|&node| self.kind_of(node) == NodeKind::Prefix && !gone_nodes.has(node))
            .map(|node| ImpactedPrefix {
                id: self.named(node),
                loss: if lost.has(node) { PrefixLoss::Lost } else { PrefixLoss::Reduced },
            })
            .collect()
    }
}
