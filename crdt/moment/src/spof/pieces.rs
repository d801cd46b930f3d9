//! What is cut off with each node: articulation points over all edges (Hopcroft, Tarjan 1973).

use crate::adjacency::Hop;
use crate::builder::as_index;
use crate::moment::Moment;

const NONE: u32 = u32::MAX;

/// A part of a component.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    size: u64,
    agents: u64,
}

impl Moment {
    /// How many nodes are cut off if each node fails.
    pub(super) fn disconnected_by_node(&self) -> Vec<u64> {
        let count = self.nodes.len();
        let mut walk = Walk {
            found: vec![NONE; count],
            low: vec![NONE; count],
            below: vec![Piece::default(); count],
            cut: vec![Vec::new(); count],
            next: 0,
        };
        let mut disconnected = vec![0; count];
        for root in 0..as_index(count) {
            if walk.found[root as usize] == NONE && self.home[root as usize] {
                let members = walk.component(self, root);
                let whole = walk.below[root as usize];
                for node in members {
                    disconnected[node as usize] = walk.cut_off(self, node, whole);
                }
            }
        }
        disconnected
    }
}

/// The hop of a number next to a node, as [`Moment::beside`] has them.
fn beside(moment: &Moment, node: u32, mut at: usize) -> Option<&Hop> {
    for layer in [&moment.all, &moment.ties, &moment.gaps] {
        for rows in [&layer.out, &layer.into] {
            let hops = rows.of(node);
            match hops.get(at) {
                Some(hop) => return Some(hop),
                None => at -= hops.len(),
            }
        }
    }
    None
}

/// A depth-first walk.
struct Walk {
    /// By node: when it was found.
    found: Vec<u32>,
    /// By node: the earliest that it or what is below it leads back to.
    low: Vec<u32>,
    /// By node: what was found below it, itself included.
    below: Vec<Piece>,
    /// By node: the parts below it that hang on it.
    cut: Vec<Vec<Piece>>,
    next: u32,
}

impl Walk {
    /// Walks a component; its nodes.
    fn component(&mut self, moment: &Moment, root: u32) -> Vec<u32> {
        let mut members = Vec::new();
        let mut stack = vec![(root, NONE, 0_usize)];
        self.enter(moment, root);
        while let Some(&mut (node, parent, ref mut next)) = stack.last_mut() {
            let at = *next;
            *next += 1;
            if let Some(hop) = beside(moment, node, at) {
                let other = hop.node as usize;
                if self.found[other] == NONE {
                    self.enter(moment, hop.node);
                    stack.push((hop.node, node, 0));
                } else if hop.node != parent {
                    self.low[node as usize] = self.low[node as usize].min(self.found[other]);
                }
            } else {
                stack.pop();
                members.push(node);
                if parent != NONE {
                    self.leave(node, parent);
                }
            }
        }
        members
    }

    fn enter(&mut self, moment: &Moment, node: u32) {
        self.found[node as usize] = self.next;
        self.low[node as usize] = self.next;
        self.next += 1;
        let agents = u64::from(moment.agents.binary_search(&node).is_ok());
        self.below[node as usize] = Piece { size: 1, agents };
    }

    fn leave(&mut self, node: u32, parent: u32) {
        let piece = self.below[node as usize];
        let low = self.low[node as usize];
        if low >= self.found[parent as usize] {
            self.cut[parent as usize].push(piece);
        }
        let up = &mut self.below[parent as usize];
        up.size += piece.size;
        up.agents += piece.agents;
        self.low[parent as usize] = self.low[parent as usize].min(low);
    }

    /// What of its component is cut off with `node`.
    fn cut_off(&self, moment: &Moment, node: u32, whole: Piece) -> u64 {
        let own = u64::from(moment.agents.binary_search(&node).is_ok());
        let mut rest = Piece { size: whole.size - 1, agents: whole.agents - own };
        for piece in &self.cut[node as usize] {
            rest.size -= piece.size;
            rest.agents -= piece.agents;
        }
        let pieces = self.cut[node as usize].iter().copied().chain([rest]);
        if moment.agents.is_empty() {
            let largest = pieces.map(|piece| piece.size).max().unwrap_or(0);
            return whole.size - 1 - largest;
        }
        pieces.filter(|piece| piece.agents == 0).map(|piece| piece.size).sum()
    }
}
