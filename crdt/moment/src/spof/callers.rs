//! Which services are impacted by each node alone: a machine of several names is one, by the first of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use holm_model::NodeKind;

use super::circles::Circles;
use super::dominators::Dominators;
use super::on_all;
use crate::builder::as_index;
use crate::moment::Moment;

/// What fails with each node: itself, and the targets that no agent reaches without it.
struct Sources {
    /// Over the ways from all agents together.
    tree: Dominators,
    /// Targets under each machine that cuts them off where the tree alone does not tell: one that lies on all flow
    /// paths that were observed to them, or is all of the agents that are where they are.
    alone: Vec<(u32, u32)>,
    /// By name: a target of the tree alone.
    by_tree: Vec<bool>,
}

/// Room for one batch.
struct Room {
    /// By position of the tree: which nodes of the batch stand above.
    down: Vec<u64>,
    /// By node: with which nodes of the batch it fails.
    own: Vec<u64>,
    failed: Vec<u32>,
    /// By circle of calls: which nodes of the batch it is impacted by.
    bits: Vec<u64>,
    /// Circles whose callers are to be told, the called first.
    queue: BinaryHeap<Reverse<u32>>,
}

impl Moment {
    /// How many services each node impacts, a machine by its first name: 64 at a time, a bit each.
    pub(super) fn services_by_node(&self) -> Vec<u64> {
        let count = self.nodes.len();
        let sources = self.sources();
        let circles = Circles::of(self);
        let mut room = Room {
            down: vec![0; sources.tree.positions()],
            own: vec![0; count],
            failed: Vec::new(),
            bits: vec![0; circles.services.len()],
            queue: BinaryHeap::new(),
        };
        let mut services = vec![0_u64; count];
        for batch in self.heard(&sources).chunks(64) {
            self.fail_each(batch, &sources, &circles, &mut room);
            room.call(&circles, |circle, reached| {
                let inside = circles.services[circle as usize];
                each_bit(reached, |bit| services[batch[bit] as usize] += inside);
            });
            // What fails itself is not among what it impacts.
            for node in room.failed.drain(..) {
                let own = std::mem::take(&mut room.own[node as usize]);
                if self.kind_of(node) == NodeKind::Service {
                    each_bit(own, |bit| services[batch[bit] as usize] -= 1);
                }
            }
        }
        services
    }

    fn sources(&self) -> Sources {
        let count = self.nodes.len();
        let mut tree = Dominators::new(count);
        tree.find(self, &self.roots(), |_| false);
        let mut by_tree = vec![false; count];
        let mut alone = Vec::new();
        let names = tree.reached().iter().flat_map(|&machine| self.all_names(machine));
        for target in names.filter(|&name| self.is_target(name)) {
            let machine = self.first_name(target);
            let paths = self.paths.through.of(target).iter().copied();
            let paths = paths.filter(|&path| self.paths.target[path as usize] == target);
            let cuts = |&node: &u32| {
                node != machine && tree.dominates(node, machine) && self.is_all_home(node, target)
            };
            let Some(common) = on_all(self, paths) else {
                match self.home_agents(target).next() {
                    None => by_tree[target as usize] = true,
                    Some(agent) => {
                        let home = Some(self.first_name(agent));
                        alone.extend(home.filter(cuts).map(|node| (node, target)));
                    }
                }
                continue;
            };
            alone.extend(common.into_iter().filter(cuts).map(|node| (node, target)));
        }
        // To these no links are known all the way.
        let mut beyond: Vec<u32> = self.paths.target.clone();
        beyond.sort_unstable();
        beyond.dedup();
        let is_beyond =
            |&target: &u32| self.is_target(target) && !tree.holds(self.first_name(target));
        for target in beyond.into_iter().filter(is_beyond) {
            let machine = self.first_name(target);
            let paths = self.paths.through.of(target).iter().copied();
            let paths = paths.filter(|&path| self.paths.target[path as usize] == target);
            let common = on_all(self, paths).unwrap_or_default().into_iter();
            let cuts = |&node: &u32| node != machine && self.is_all_home(node, target);
            alone.extend(common.filter(cuts).map(|node| (node, target)));
        }
        alone.sort_unstable();
        Sources { tree, alone, by_tree }
    }

    /// Whether no agent is left that is where a target is, once a machine is gone.
    fn is_all_home(&self, machine: u32, target: u32) -> bool {
        self.home_agents(target).all(|agent| self.first_name(agent) == machine)
    }

    fn is_called(&self, node: u32) -> bool {
        !self.flow.into.of(node).is_empty()
    }

    /// The machines whose failure someone who calls may feel, those next to each other that stand
    /// above the same.
    fn heard(&self, sources: &Sources) -> Vec<u32> {
        let mut called: Vec<u64> = vec![0; self.nodes.len()];
        let nodes = || 0..as_index(self.nodes.len());
        for node in nodes().filter(|&n| sources.by_tree[n as usize] && self.is_called(n)) {
            called[self.first_name(node) as usize] = 1;
        }
        sources.tree.sum_up(&mut called);
        for &(node, target) in &sources.alone {
            called[node as usize] += u64::from(self.is_called(target));
        }
        for node in nodes().filter(|&node| self.is_called(node)) {
            called[self.first_name(node) as usize] += 1;
        }
        let mut heard: Vec<u32> = nodes().filter(|&n| called[n as usize] > 0).collect();
        heard.sort_by_key(|&node| sources.tree.below(node).start);
        heard
    }

    /// Marks what fails with each node of a batch.
    fn fail_each(&self, batch: &[u32], sources: &Sources, circles: &Circles, room: &mut Room) {
        let Sources { tree, alone, by_tree } = sources;
        for (bit, &node) in batch.iter().enumerate() {
            for name in self.all_names(node) {
                room.fail(self, circles, name, 1 << bit);
            }
            let from = alone.partition_point(|&(over, _)| over < node);
            let targets = alone[from..].iter().take_while(|&&(over, _)| over == node);
            targets.for_each(|&(_, target)| room.fail(self, circles, target, 1 << bit));
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
                for name in self.all_names(node).filter(|&name| by_tree[name as usize]) {
                    room.fail(self, circles, name, room.down[position]);
                }
            }
            room.down[part].fill(0);
        }
    }
}

impl Room {
    fn fail(&mut self, moment: &Moment, circles: &Circles, node: u32, with: u64) {
        let own = &mut self.own[node as usize];
        let matters = moment.is_called(node) || moment.kind_of(node) == NodeKind::Service;
        if !matters || with & !*own == 0 {
            return;
        }
        if *own == 0 {
            self.failed.push(node);
        }
        *own |= with;
        self.impact(circles.of[node as usize], with);
    }

    /// Follows calls back to who makes them, each circle once: all that it calls came before.
    fn call(&mut self, circles: &Circles, mut reached: impl FnMut(u32, u64)) {
        while let Some(Reverse(circle)) = self.queue.pop() {
            let here = std::mem::take(&mut self.bits[circle as usize]);
            for &caller in circles.callers.of(circle) {
                self.impact(caller, here);
            }
            reached(circle, here);
        }
    }

    fn impact(&mut self, circle: u32, with: u64) {
        let bits = &mut self.bits[circle as usize];
        if *bits == 0 {
            self.queue.push(Reverse(circle));
        }
        *bits |= with;
    }
}

fn each_bit(mut bits: u64, mut then: impl FnMut(usize)) {
    while bits != 0 {
        then(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}
