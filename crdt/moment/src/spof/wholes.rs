//! What sites, prefixes, ASes and devices break: they fail with all that belongs to them.

use std::cmp::Reverse;

use hashbrown::HashSet;
use holm_model::{NodeId, NodeKind};

use super::Ranked;
use crate::builder::as_index;
use crate::moment::Moment;
use crate::search::Scratch;
use crate::selector::Selection;
use crate::what_if::{Limits, WhatIf};

/// Most sites, ASes and devices that are looked at, and most of all with the prefixes.
const MOST: usize = 1_024;
/// How many nodes and edges they may take together: each is a what-if of its own.
const MOST_WORK: usize = 20_000_000;
/// As many are looked at whatever it takes.
const LEAST: usize = 64;

impl Moment {
    /// What those break that stand for more than themselves, and how many of them were left out: prefixes before
    /// others, those with the fewest parts first.
    pub(super) fn wholes(&self) -> (Vec<Ranked>, u64) {
        let mut wholes = self.with_parts();
        wholes.sort_by_key(|(node, selection)| {
            let is_prefix = self.kind_of(*node) == NodeKind::Prefix;
            (is_prefix, Reverse(selection.nodes.len()), *node)
        });
        let size = self.nodes.len() + self.from.len();
        let most = (MOST_WORK / size.max(1)).clamp(LEAST, MOST);
        let prefixes = wholes.partition_point(|(n, _)| self.kind_of(*n) != NodeKind::Prefix);
        let most = most.max(prefixes.min(MOST));
        let left_out = wholes.len().saturating_sub(most) as u64;
        wholes.truncate(most);
        let mut scratch = Scratch::default();
        let rank = |(node, failed)| {
            let question = WhatIf { failed, ..WhatIf::default() };
            let impact = self.what_if(&question, Limits { items: 0 }, None, &mut scratch);
            Ranked {
                node,
                broken: impact.broken_paths.total,
                services: impact.impacted_services.total,
                disconnected: impact.disconnected.total,
            }
        };
        (wholes.into_iter().map(rank).collect(), left_out)
    }

    /// Every node that stands for more than itself, with all that belongs to it.
    fn with_parts(&self) -> Vec<(u32, Selection)> {
        let mut parts: Vec<(u32, Vec<u32>)> = Vec::new();
        let others = self.also_called.iter().map(|(name, node)| (*node, name));
        let mut named: Vec<(u32, &NodeId)> = (0..).zip(&self.nodes).chain(others).collect();
        named.retain(|(_, name)| {
            matches!(name.kind(), NodeKind::Site | NodeKind::As | NodeKind::Device)
        });
        named.sort_unstable();
        let by_as = self.originated();
        for names in named.chunk_by(|a, b| a.0 == b.0) {
            let mut selection = Selection::default();
            for (node, name) in names {
                if name.kind() == NodeKind::As {
                    let from = by_as.partition_point(|(by, _)| by < node);
                    let own = by_as[from..].iter().take_while(|(by, _)| by == node);
                    selection.nodes.extend(own.map(|(_, node)| *node));
                } else {
                    self.add_parts(name, *node, &mut selection);
                }
            }
            parts.push((names[0].0, selection.nodes));
        }
        let prefixes =
            (0..as_index(self.nodes.len())).filter(|&n| self.kind_of(n) == NodeKind::Prefix);
        let mut held: Vec<(u32, u32)> = Vec::new();
        self.each_held(prefixes, &mut |prefix, node| held.push((prefix, node)));
        held.sort_unstable();
        for of_prefix in held.chunk_by(|a, b| a.0 == b.0) {
            parts.push((of_prefix[0].0, of_prefix.iter().map(|(_, node)| *node).collect()));
        }
        // A thing of several kinds is there once, with all.
        let known: HashSet<u32> = parts.iter().map(|(node, _)| *node).collect();
        let shared = (0..as_index(self.nodes.len())).filter(|node| {
            !self.addresses().shared_with(*node).is_empty() && !known.contains(node)
        });
        parts.extend(shared.map(|node| (node, Vec::new())));
        let selection = |(node, mut nodes): (u32, Vec<u32>)| {
            nodes.push(node);
            self.add_same_address(&mut nodes);
            nodes.sort_unstable();
            nodes.dedup();
            (nodes.len() > 1).then_some((node, Selection { nodes, edges: Vec::new() }))
        };
        parts.into_iter().filter_map(selection).collect()
    }
}
