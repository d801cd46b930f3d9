//! Which services are impacted by each node alone.

use holm_model::NodeKind;

use super::dominators::Dominators;
use super::on_all;
use crate::builder::as_index;
use crate::moment::Moment;

/// What fails with each node: itself, and the targets that no agent reaches without it.
struct Sources {
    /// Over the ways from all agents together.
    tree: Dominators,
    /// Targets that flow paths were observed to, under each node that lies on all of these.
    observed: Vec<(u32, u32)>,
    /// By node: a target of the tree alone.
    by_tree: Vec<bool>,
}

/// Room for one batch.
struct Room {
    /// By position of the tree: which nodes of the batch stand above.
    down: Vec<u64>,
    /// By node: with which nodes of the batch it fails, and which it is impacted by.
    own: Vec<u64>,
    bits: Vec<u64>,
    touched: Vec<u32>,
    queue: Vec<u32>,
}

impl Moment {
    /// How many services each node impacts: 64 nodes at a time, a bit each.
    pub(super) fn services_by_node(&self) -> Vec<u64> {
        let count = self.nodes.len();
        let sources = self.sources();
        let mut room = Room {
            down: vec![0; sources.tree.positions()],
            own: vec![0; count],
            bits: vec![0; count],
            touched: Vec::new(),
            queue: Vec::new(),
        };
        let mut services = vec![0_u64; count];
        for batch in self.heard(&sources).chunks(64) {
            self.fail_each(batch, &sources, &mut room);
            self.call(&mut room);
            for node in room.touched.drain(..) {
                let reached = std::mem::take(&mut room.bits[node as usize]);
                let mut counted = reached & !std::mem::take(&mut room.own[node as usize]);
                if self.kind_of(node) == NodeKind::Service {
                    while counted != 0 {
                        services[batch[counted.trailing_zeros() as usize] as usize] += 1;
                        counted &= counted - 1;
                    }
                }
            }
        }
        services
    }

    fn sources(&self) -> Sources {
        let count = self.nodes.len();
        let mut tree = Dominators::new(count);
        tree.find(self, &self.agents, |_| false);
        let mut by_tree = vec![false; count];
        let mut observed = Vec::new();
        for &target in tree.reached().iter().filter(|&&node| self.is_target(node)) {
            let paths = self.paths.through.of(target).iter().copied();
            let paths = paths.filter(|&path| self.paths.target[path as usize] == target);
            let Some(common) = on_all(self, paths) else {
                by_tree[target as usize] = true;
                continue;
            };
            let cuts = |&node: &u32| node != target && tree.dominates(node, target);
            observed.extend(common.into_iter().filter(cuts).map(|node| (node, target)));
        }
        observed.sort_unstable();
        Sources { tree, observed, by_tree }
    }

    fn is_called(&self, node: u32) -> bool {
        !self.flow.into.of(node).is_empty()
    }

    /// The nodes whose failure someone who calls may feel, those next to each other that stand
    /// above the same.
    fn heard(&self, sources: &Sources) -> Vec<u32> {
        let mut called: Vec<u64> = vec![0; self.nodes.len()];
        let nodes = || 0..as_index(self.nodes.len());
        for node in nodes().filter(|&n| sources.by_tree[n as usize] && self.is_called(n)) {
            called[node as usize] = 1;
        }
        sources.tree.sum_up(&mut called);
        for &(node, target) in &sources.observed {
            called[node as usize] += u64::from(self.is_called(target));
        }
        let mut heard: Vec<u32> =
            nodes().filter(|&n| called[n as usize] > 0 || self.is_called(n)).collect();
        heard.sort_by_key(|&node| sources.tree.below(node).start);
        heard
    }

    /// Marks what fails with each node of a batch.
    fn fail_each(&self, batch: &[u32], sources: &Sources, room: &mut Room) {
        let Sources { tree, observed, by_tree } = sources;
        for (bit, &node) in batch.iter().enumerate() {
            room.fail(self, node, 1 << bit);
            let from = observed.partition_point(|&(over, _)| over < node);
            let targets = observed[from..].iter().take_while(|&&(over, _)| over == node);
            targets.for_each(|&(_, target)| room.fail(self, target, 1 << bit));
            if let Some(down) = room.down.get_mut(tree.below(node).start) {
                *down |= u64::from(tree.holds(node)) << bit;
            }
        }
        // Parts of the tree lie within one another or apart, and the batch is in their order.
        let mut done = 0;
        for part in batch.iter().map(|&node| tree.below(node)) {
            if part.start < done || part.is_empty() {
                continue;
            }
            done = part.end;
            for position in part.clone() {
                let (node, above) = tree.at(position);
                room.down[position] |= room.down[above];
                if by_tree[node as usize] {
                    room.fail(self, node, room.down[position]);
                }
            }
            room.down[part].fill(0);
        }
    }

    /// Follows calls back to who makes them.
    fn call(&self, room: &mut Room) {
        let Room { bits, touched, queue, .. } = room;
        while let Some(node) = queue.pop() {
            let here = bits[node as usize];
            for hop in self.flow.into.of(node) {
                let there = &mut bits[hop.node as usize];
                if here & !*there != 0 {
                    *there |= here;
                    queue.push(hop.node);
                    touched.push(hop.node);
                }
            }
        }
    }
}

impl Room {
    fn fail(&mut self, moment: &Moment, node: u32, with: u64) {
        let own = &mut self.own[node as usize];
        let matters = moment.is_called(node) || moment.kind_of(node) == NodeKind::Service;
        if matters && with & !*own != 0 {
            *own |= with;
            self.bits[node as usize] |= with;
            self.touched.push(node);
            self.queue.push(node);
        }
    }
}
