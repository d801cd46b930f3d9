//! Who calls whom, with services that call one another in a circle taken as one: what impacts one of
//! them impacts all.

use holm_model::NodeKind;

use crate::adjacency::Rows;
use crate::builder::as_index;
use crate::moment::Moment;

const NONE: u32 = u32::MAX;

/// The circles of calls; a node that is in none is a circle of its own. Whoever is called has a lesser
/// number than those who call it.
pub(super) struct Circles {
    /// The circle of each node.
    pub(super) of: Vec<u32>,
    /// How many services are in each.
    pub(super) services: Vec<u64>,
    /// The other circles that call into each, every one once.
    pub(super) callers: Rows<u32>,
}

impl Circles {
    pub(super) fn of(moment: &Moment) -> Self {
        let of = numbered(moment);
        let count = of.iter().max().map_or(0, |last| *last as usize + 1);
        let mut services = vec![0; count];
        for (node, &circle) in (0..).zip(&of) {
            services[circle as usize] += u64::from(moment.kind_of(node) == NodeKind::Service);
        }
        let mut calls: Vec<(u32, u32)> = Vec::new();
        for (node, &circle) in (0..).zip(&of) {
            let callers = moment.flow.into.of(node).iter().map(|hop| of[hop.node as usize]);
            calls.extend(callers.filter(|&caller| caller != circle).map(|caller| (circle, caller)));
        }
        calls.sort_unstable();
        calls.dedup();
        Self { of, services, callers: Rows::group(count, calls.iter().copied()) }
    }
}

/// A node whose calls are being followed, and how many of them were.
struct Frame {
    node: u32,
    followed: usize,
}

/// The circle of each node: Tarjan's strongly connected components (SIAM J. Comput. 1(2), 1972), which
/// come out with the called before their callers.
fn numbered(moment: &Moment) -> Vec<u32> {
    let count = moment.len().0;
    let mut circle = vec![NONE; count];
    let mut seen = vec![NONE; count];
    let mut low = vec![NONE; count];
    let (mut next_seen, mut next_circle) = (0, 0);
    let mut open: Vec<u32> = Vec::new();
    let mut frames: Vec<Frame> = Vec::new();
    for start in 0..as_index(count) {
        if seen[start as usize] == NONE {
            frames.push(Frame { node: start, followed: 0 });
        }
        while let Some(Frame { node, followed }) = frames.last_mut() {
            let i = *node as usize;
            if *followed == 0 && seen[i] == NONE {
                seen[i] = next_seen;
                low[i] = next_seen;
                next_seen += 1;
                open.push(*node);
            }
            if let Some(hop) = moment.flow.out.of(*node).get(*followed) {
                *followed += 1;
                let called = hop.node as usize;
                if seen[called] == NONE {
                    frames.push(Frame { node: hop.node, followed: 0 });
                } else if circle[called] == NONE {
                    low[i] = low[i].min(seen[called]);
                }
                continue;
            }
            if low[i] == seen[i] {
                while let Some(member) = open.pop() {
                    circle[member as usize] = next_circle;
                    if member as usize == i {
                        break;
                    }
                }
                next_circle += 1;
            }
            frames.pop();
            if let Some(caller) = frames.last() {
                let caller = caller.node as usize;
                low[caller] = low[caller].min(low[i]);
            }
        }
    }
    circle
}
