//! What is cut off with each node: articulation points over all edges (Hopcroft, Tarjan 1973). A machine of several
//! names is one node here, by the first of them.

use crate::adjacency::Rows;
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
    /// How many nodes are cut off if each node fails, a machine by its first name.
    pub(super) fn disconnected_by_node(&self) -> Vec<u64> {
        let count = self.nodes.len();
        let mut walk = Walk {
            found: vec![NONE; count],
            low: vec![NONE; count],
            below: vec![Piece::default(); count],
            cut: vec![Vec::new(); count],
            next: 0,
        };
        let beside = Beside::of(self);
        let mut disconnected = vec![0; count];
        for root in (0..as_index(count)).filter(|&node| self.first_name(node) == node) {
            if walk.found[root as usize] == NONE && self.home[root as usize] {
                let members = walk.component(&beside, root);
                let whole = walk.below[root as usize];
                for node in members {
                    disconnected[node as usize] = walk.cut_off(self, node, whole);
                }
            }
        }
        disconnected
    }
}

impl Piece {
    /// One machine.
    fn of(moment: &Moment, node: u32) -> Self {
        let agents = |name: &u32| u64::from(moment.agents.binary_search(name).is_ok());
        match moment.addresses.one_with(node) {
            [] => Self { size: 1, agents: agents(&node) },
            names => Self { size: names.len() as u64, agents: names.iter().map(agents).sum() },
        }
    }
}

/// Who is next to whom, as [`Moment::beside`] has them.
struct Beside<'a> {
    moment: &'a Moment,
    /// The same between machines, where some have several names.
    by_machine: Option<Rows<u32>>,
}

impl<'a> Beside<'a> {
    fn of(moment: &'a Moment) -> Self {
        let by_machine = (!moment.addresses.machines().is_empty()).then(|| {
            let mut pairs: Vec<(u32, u32)> = Vec::new();
            for node in 0..as_index(moment.nodes.len()) {
                let own = moment.first_name(node);
                let others = moment.beside(node).map(|hop| moment.first_name(hop.node));
                pairs.extend(others.filter(|&other| other != own).map(|other| (own, other)));
            }
            Rows::group(moment.nodes.len(), pairs.iter().copied())
        });
        Self { moment, by_machine }
    }

    /// The neighbour of a number.
    fn at(&self, node: u32, mut at: usize) -> Option<u32> {
        if let Some(rows) = &self.by_machine {
            return rows.of(node).get(at).copied();
        }
        for layer in [&self.moment.all, &self.moment.ties, &self.moment.gaps] {
            for rows in [&layer.out, &layer.into] {
                let hops = rows.of(node);
                match hops.get(at) {
                    Some(hop) => return Some(hop.node),
                    None => at -= hops.len(),
                }
            }
        }
        None
    }
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
    fn component(&mut self, beside: &Beside<'_>, root: u32) -> Vec<u32> {
        let mut members = Vec::new();
        let mut stack = vec![(root, NONE, 0_usize)];
        self.enter(beside.moment, root);
        while let Some(&mut (node, parent, ref mut next)) = stack.last_mut() {
            let at = *next;
            *next += 1;
            if let Some(other) = beside.at(node, at) {
                if self.found[other as usize] == NONE {
                    self.enter(beside.moment, other);
                    stack.push((other, node, 0));
                } else if other != parent {
                    let found = self.found[other as usize];
                    self.low[node as usize] = self.low[node as usize].min(found);
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
        self.below[node as usize] = Piece::of(moment, node);
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
        let own = Piece::of(moment, node);
        let mut rest = Piece { size: whole.size - own.size, agents: whole.agents - own.agents };
        for piece in &self.cut[node as usize] {
            rest.size -= piece.size;
            rest.agents -= piece.agents;
        }
        let pieces = self.cut[node as usize].iter().copied().chain([rest]);
        if moment.agents.is_empty() {
            let largest = pieces.map(|piece| piece.size).max().unwrap_or(0);
            return whole.size - own.size - largest;
        }
        pieces.filter(|piece| piece.agents == 0).map(|piece| piece.size).sum()
    }
}
