//! Compressed sparse rows: who is next to whom.

/// Lists of items by node, in one allocation each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rows<T> {
    start: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy + Default> Rows<T> {
    /// Groups `items` by their node in `0..nodes`, in the order in which they come.
    pub(crate) fn group(nodes: usize, items: impl Iterator<Item = (u32, T)> + Clone) -> Self {
        let mut start = vec![0_u32; nodes + 1];
        for (node, _) in items.clone() {
            start[node as usize + 1] += 1;
        }
        for i in 0..nodes {
            start[i + 1] += start[i];
        }
        let mut next = start.clone();
        let mut grouped = vec![T::default(); start[nodes] as usize];
        for (node, item) in items {
            let at = &mut next[node as usize];
            grouped[*at as usize] = item;
            *at += 1;
        }
        Self { start, items: grouped }
    }

    /// The items of one node.
    pub(crate) fn of(&self, node: u32) -> &[T] {
        let (from, to) = (self.start[node as usize], self.start[node as usize + 1]);
        &self.items[from as usize..to as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}

/// One end of an edge as its other end sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hop {
    /// The node at the other end.
    pub(crate) node: u32,
    /// The edge.
    pub(crate) edge: u32,
}

/// The edges of some kinds, both ways.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layer {
    pub(crate) out: Rows<Hop>,
    pub(crate) into: Rows<Hop>,
}

impl Layer {
    /// Of edges `(edge, from, to)` in order of their number.
    pub(crate) fn of(nodes: usize, edges: impl Iterator<Item = (u32, u32, u32)> + Clone) -> Self {
        let out = edges.clone().map(|(edge, from, to)| (from, Hop { node: to, edge }));
        let into = edges.map(|(edge, from, to)| (to, Hop { node: from, edge }));
        Self { out: Rows::group(nodes, out), into: Rows::group(nodes, into) }
    }

    /// Both directions, those that leave first.
    pub(crate) fn around(&self, node: u32) -> impl Iterator<Item = Hop> {
        self.out.of(node).iter().chain(self.into.of(node)).copied()
    }
}
