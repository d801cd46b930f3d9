//! Dominator trees over path edges (Lengauer, Tarjan: A Fast Algorithm for Finding Dominators in a
//! Flowgraph, 1979; with path compression: m log n, however deep the tree is).

use crate::builder::as_index;
use crate::moment::Moment;

const NONE: u32 = u32::MAX;

/// Which nodes lie on every way from the roots to a node. Room is used again by each search.
pub(super) struct Dominators {
    /// By node: its place in `order`, or [`NONE`].
    place: Vec<u32>,
    /// Reached nodes in the order in which a depth-first walk found them; place 0 is a virtual node
    /// before all roots.
    order: Vec<u32>,
    /// By place: what the search knows.
    found: Vec<Place>,
    is_root: Vec<bool>,
    stack: Vec<(u32, u32)>,
    /// By position in the tree, each node before all that it dominates: the node.
    layout: Vec<u32>,
}

/// One reached node; all numbers are places.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Whence the walk came.
    parent: u32,
    /// The semidominator.
    semi: u32,
    /// The immediate dominator.
    above: u32,
    /// Link and label of the forest of those that are done.
    ancestor: u32,
    label: u32,
    /// Those whose semidominator this is, as a list: its first, and the next in the list this is in.
    bucket: u32,
    next: u32,
    /// Where its part of `layout` begins, and how long that is.
    begin: u32,
    size: u32,
}

impl Dominators {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            place: vec![NONE; nodes],
            order: Vec::new(),
            found: Vec::new(),
            is_root: vec![false; nodes],
            stack: Vec::new(),
            layout: Vec::new(),
        }
    }

    /// Finds the tree of what `roots` reach, without the nodes that `skip` names; all by the first names of machines.
    pub(super) fn find(&mut self, moment: &Moment, roots: &[u32], skip: impl Fn(u32) -> bool) {
        self.clear();
        for &root in roots {
            self.is_root[root as usize] = true;
        }
        self.enter(NONE, 0);
        for &root in roots {
            self.number_from(moment, root, &skip);
        }
        self.find_above(moment);
        self.lay_out();
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
        self.below(over).contains(&self.below(node).start) && self.holds(node)
    }

    /// The nearest node that lies on every way to those of `nodes` that are reached; `None` if none is.
    pub(super) fn nearest(&self, nodes: &[u32]) -> Option<u32> {
        let mut places = nodes.iter().map(|&n| self.place[n as usize]).filter(|&p| p != NONE);
        let mut common = places.next()?;
        for mut other in places {
            // What dominates a place was found before it.
            while common != other {
                if common > other {
                    common = self.found[common as usize].above;
                } else {
                    other = self.found[other as usize].above;
                }
            }
        }
        self.order.get(common as usize).copied().filter(|&node| node != NONE)
    }

    /// The positions of `node` and of all that it dominates: none where it is not reached.
    pub(super) fn below(&self, node: u32) -> std::ops::Range<usize> {
        match self.place[node as usize] {
            NONE => 0..0,
            place => {
                let Place { begin, size, .. } = self.found[place as usize];
                begin as usize..(begin + size) as usize
            }
        }
    }

    /// The node at a position, and the position of its immediate dominator: 0 for none, which is
    /// no node's position.
    pub(super) fn at(&self, position: usize) -> (u32, usize) {
        let node = self.layout[position];
        let above = self.found[self.place[node as usize] as usize].above;
        (node, self.found[above as usize].begin as usize)
    }

    /// Positions are less than this.
    pub(super) fn positions(&self) -> usize {
        self.layout.len()
    }

    /// Adds to each node's weight those of all that it dominates.
    pub(super) fn sum_up(&self, weight: &mut [u64]) {
        for place in (1..self.order.len()).rev() {
            let above = self.found[place].above;
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
        self.found.clear();
        self.layout.clear();
    }

    fn enter(&mut self, node: u32, parent: u32) {
        let place = as_index(self.order.len());
        if node != NONE {
            self.place[node as usize] = place;
        }
        self.order.push(node);
        self.found.push(Place {
            parent,
            semi: place,
            above: 0,
            ancestor: NONE,
            label: place,
            bucket: NONE,
            next: NONE,
            begin: 0,
            size: 1,
        });
    }

    fn number_from(&mut self, moment: &Moment, root: u32, skip: &impl Fn(u32) -> bool) {
        if self.holds(root) {
            return;
        }
        self.enter(root, 0);
        self.stack.push((root, 0));
        while let Some((node, next)) = self.stack.last_mut() {
            let node = *node;
            if let Some(hop) = moment.path.out.of(node).get(*next as usize) {
                *next += 1;
                if !self.holds(hop.node) && !skip(hop.node) {
                    self.enter(hop.node, self.place[node as usize]);
                    self.stack.push((hop.node, 0));
                }
            } else {
                self.stack.pop();
            }
        }
    }

    fn find_above(&mut self, moment: &Moment) {
        for w in (1..as_index(self.order.len())).rev() {
            let node = self.order[w as usize];
            let mut semi = if self.is_root[node as usize] { 0 } else { w };
            for hop in moment.path.into.of(node) {
                let other = self.place[hop.node as usize];
                if other != NONE {
                    let least = self.least(other);
                    semi = semi.min(self.found[least as usize].semi);
                }
            }
            let parent = self.found[w as usize].parent;
            let first = std::mem::replace(&mut self.found[semi as usize].bucket, w);
            let done = &mut self.found[w as usize];
            (done.semi, done.next, done.ancestor) = (semi, first, parent);
            let mut waiting = std::mem::replace(&mut self.found[parent as usize].bucket, NONE);
            while waiting != NONE {
                let least = self.least(waiting);
                let nearer = self.found[least as usize].semi < self.found[waiting as usize].semi;
                let item = &mut self.found[waiting as usize];
                item.above = if nearer { least } else { parent };
                waiting = item.next;
            }
        }
        for w in 1..self.found.len() {
            let Place { above, semi, .. } = self.found[w];
            if above != semi {
                self.found[w].above = self.found[above as usize].above;
            }
        }
    }

    /// Of the places on the way to `place` in the forest, its root left out, that with the least
    /// semidominator. The way is made short.
    fn least(&mut self, place: u32) -> u32 {
        let ancestor = |found: &[Place], at: u32| found[at as usize].ancestor;
        if ancestor(&self.found, place) == NONE {
            return place;
        }
        let mut at = place;
        while ancestor(&self.found, ancestor(&self.found, at)) != NONE {
            self.stack.push((at, 0));
            at = ancestor(&self.found, at);
        }
        while let Some((at, _)) = self.stack.pop() {
            let up = self.found[ancestor(&self.found, at) as usize];
            let semi = |found: &[Place], label: u32| found[label as usize].semi;
            let own = self.found[at as usize].label;
            if semi(&self.found, up.label) < semi(&self.found, own) {
                self.found[at as usize].label = up.label;
            }
            self.found[at as usize].ancestor = up.ancestor;
        }
        self.found[place as usize].label
    }

    /// Gives each node the positions of what it dominates.
    fn lay_out(&mut self) {
        for place in (1..self.found.len()).rev() {
            let Place { above, size, .. } = self.found[place];
            self.found[above as usize].size += size;
        }
        // `label` is free now: the next position below each place that is not given away.
        self.found[0].label = 1;
        self.layout.resize(self.order.len(), NONE);
        for place in 1..self.found.len() {
            let Place { above, size, .. } = self.found[place];
            let begin = self.found[above as usize].label;
            self.found[above as usize].label += size;
            self.found[place].begin = begin;
            self.found[place].label = begin + 1;
            self.layout[begin as usize] = self.order[place];
        }
    }
}
