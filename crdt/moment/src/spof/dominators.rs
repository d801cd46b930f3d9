//! Dominator trees over path edges (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm, 2001).

use crate::moment::Moment;

const NONE: u32 = u32::MAX;

/// Which nodes lie on every way from the roots to a node. Room is used again by each search.
pub(super) struct Dominators {
    /// By node: its place in `order`, or [`NONE`].
    place: Vec<u32>,
    /// Reached nodes, in reverse postorder; place 0 is a virtual node before all roots.
    order: Vec<u32>,
    /// By place: the place of the immediate dominator.
    above: Vec<u32>,
    stack: Vec<(u32, u32)>,
    is_root: Vec<bool>,
}

impl Dominators {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            place: vec![NONE; nodes],
            order: Vec::new(),
            above: Vec::new(),
            stack: Vec::new(),
            is_root: vec![false; nodes],
        }
    }

    /// Finds the tree of what `roots` reach, without the nodes that `skip` names.
    pub(super) fn find(&mut self, moment: &Moment, roots: &[u32], skip: impl Fn(u32) -> bool) {
        self.clear();
        for &root in roots {
            self.is_root[root as usize] = true;
            self.number_from(moment, root, &skip);
        }
        // Postorder so far, places counted from 1: turn it round.
        self.order.push(NONE);
        self.order.reverse();
        for (place, &node) in (0..).zip(&self.order).skip(1) {
            self.place[node as usize] = place;
        }
        self.above = vec![NONE; self.order.len()];
        self.above[0] = 0;
        while self.tighten(moment) {}
    }

    /// The nodes that are reached.
    pub(super) fn reached(&self) -> &[u32] {
        self.order.get(1..).unwrap_or_default()
    }

    pub(super) fn holds(&self, node: u32) -> bool {
        self.place[node as usize] != NONE
    }

    /// Whether every way to `node` leads through `over`; every node dominates itself.
    pub(super) fn dominates(&self, over: u32, node: u32) -> bool {
        self.above(node).any(|n| n == over)
    }

    /// `node` and all that dominate it, nearest first.
    pub(super) fn above(&self, node: u32) -> impl Iterator<Item = u32> {
        let mut place = self.place[node as usize];
        std::iter::from_fn(move || {
            (place != NONE && place != 0).then(|| {
                let node = self.order[place as usize];
                place = self.above[place as usize];
                node
            })
        })
    }

    /// Adds to each node's weight those of all that it dominates.
    pub(super) fn sum_up(&self, weight: &mut [u64]) {
        for place in (1..self.order.len()).rev() {
            let above = self.above[place];
            if above != 0 {
                weight[self.order[above as usize] as usize] += weight[self.order[place] as usize];
            }
        }
    }

    fn clear(&mut self) {
        for &node in self.order.get(1..).unwrap_or_default() {
            self.place[node as usize] = NONE;
            self.is_root[node as usize] = false;
        }
        self.order.clear();
    }

    fn number_from(&mut self, moment: &Moment, root: u32, skip: &impl Fn(u32) -> bool) {
        if self.place[root as usize] != NONE {
            return;
        }
        self.place[root as usize] = 0;
        self.stack.push((root, 0));
        while let Some((node, next)) = self.stack.last_mut() {
            let node = *node;
            if let Some(hop) = moment.path.out.of(node).get(*next as usize) {
                *next += 1;
                if self.place[hop.node as usize] == NONE && !skip(hop.node) {
                    self.place[hop.node as usize] = 0;
                    self.stack.push((hop.node, 0));
                }
            } else {
                self.order.push(node);
                self.stack.pop();
            }
        }
    }

    /// One round over all nodes; whether anything changed.
    fn tighten(&mut self, moment: &Moment) -> bool {
        let mut changed = false;
        for place in 1..self.order.len() {
            let node = self.order[place];
            let mut best = if self.is_root[node as usize] { 0 } else { NONE };
            for hop in moment.path.into.of(node) {
                let other = self.place[hop.node as usize];
                if other != NONE && self.above[other as usize] != NONE {
                    best = if best == NONE { other } else { self.meet(best, other) };
                }
            }
            if self.above[place] != best {
                self.above[place] = best;
                changed = true;
            }
        }
        changed
    }

    /// The nearest node above both.
    fn meet(&self, mut a: u32, mut b: u32) -> u32 {
        while a != b {
            while a > b {
                a = self.above[a as usize];
            }
            while b > a {
                b = self.above[b as usize];
            }
        }
        a
    }
}
