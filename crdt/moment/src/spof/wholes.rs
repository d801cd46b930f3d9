//! What sites, prefixes, ASes and devices break: they fail with all that belongs to them.

use std::cmp::Reverse;

use hashbrown::HashSet;
use holm_model::{NodeId, NodeKind, SiteId};

use super::Ranked;
use crate::builder::as_index;
use crate::moment::Moment;
use crate::search::Scratch;
use crate::selector::Selection;
use crate::what_if::{Limits, WhatIf};

/// How many nodes and edges they may take together, each a what-if of its own: about a second and a half.
pub(super) const MOST_WORK: usize = 36_000_000;
/// As many of each class are looked at whatever it takes.
const LEAST: usize = 8;
/// How many words of bits along links cost as much as a node or an edge.
const WORDS_A_NODE: usize = 4;

/// What fails as a whole, those first that are looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A site, AS or device.
    Named,
    Prefix,
}

/// Something that fails with all that belongs to it.
struct Whole {
    class: Class,
    node: u32,
    fails: Vec<u32>,
}

/// What those break that stand for more than themselves.
pub(super) struct Wholes {
    pub(super) ranked: Vec<Ranked>,
    /// Everything that is such a thing by one of its names, whether it was looked at or not.
    pub(super) named: HashSet<u32>,
    /// How many were left out.
    pub(super) left_out: u64,
}

impl Moment {
    /// What those break that stand for more than themselves, prefixes last: as far as that takes no more than
    /// `most_work`, a quarter of it for prefixes. Those come first whose parts break the most each for itself, by
    /// `alone`, which knows machines by their first names; then those with the most parts.
    pub(super) fn wholes(&self, alone: &[Ranked], most_work: usize) -> Wholes {
        let (mut wholes, named) = self.with_parts();
        let parts_alone = |fails: &[u32]| -> u64 {
            let firsts = fails.iter().filter(|&&node| self.first_name(node) == node);
            firsts.map(|&node| alone[node as usize].blast_radius()).sum()
        };
        wholes.sort_by_cached_key(|Whole { class, node, fails }| {
            (*class, Reverse(parts_alone(fails)), Reverse(fails.len()), *node)
        });
        let size = self.nodes.len() + self.from.len();
        let has_prefixes = wholes.last().is_some_and(|whole| whole.class == Class::Prefix);
        let mut scratch = Scratch::default();
        let (mut spent, mut looked_at) = (0, [0; 2]);
        let mut ranked = Vec::new();
        let mut left_out = 0;
        for Whole { class, node, fails } in wholes {
            let most = match class {
                Class::Named if has_prefixes => most_work / 4 * 3,
                Class::Named | Class::Prefix => most_work,
            };
            if spent >= most && looked_at[class as usize] >= LEAST {
                left_out += 1;
                continue;
            }
            looked_at[class as usize] += 1;
            let failed = Selection { nodes: fails, edges: Vec::new() };
            let question = WhatIf { failed, ..WhatIf::default() };
            let impact = self.what_if(&question, Limits { items: 0 }, None, &mut scratch);
            spent += size + scratch.crossing.steps() / WORDS_A_NODE;
            ranked.push(Ranked {
                node,
                broken: impact.broken_paths.total,
                services: impact.impacted_services.total,
                disconnected: impact.disconnected.total,
            });
        }
        Wholes { ranked, named, left_out }
    }

    /// Every node that stands for more than itself, with all that belongs to it.
    fn with_parts(&self) -> (Vec<Whole>, HashSet<u32>) {
        let mut parts: Vec<(Class, u32, Vec<u32>)> = Vec::new();
        let others = self.also_called.iter().map(|(name, node)| (*node, name));
        let mut named: Vec<(u32, &NodeId)> = (0..).zip(&self.nodes).chain(others).collect();
        named.retain(|(_, name)| {
            matches!(name.kind(), NodeKind::Site | NodeKind::As | NodeKind::Device)
        });
        named.sort_unstable();
        let by_as = self.originated();
        for names in named.chunk_by(|a, b| a.0 == b.0) {
            let mut selection = Selection::default();
            let mut sites: Vec<SiteId> = Vec::new();
            for (node, name) in names {
                match name.kind() {
                    NodeKind::As => {
                        let from = by_as.partition_point(|(by, _)| by < node);
                        let own = by_as[from..].iter().take_while(|(by, _)| by == node);
                        selection.nodes.extend(own.map(|(_, node)| *node));
                    }
                    NodeKind::Site => sites.extend(SiteId::new(name.name())),
                    _ => self.add_attached(*node, &mut selection),
                }
            }
            self.add_sites(&sites, &mut selection);
            parts.push((Class::Named, names[0].0, selection.nodes));
        }
        let prefixes =
            (0..as_index(self.nodes.len())).filter(|&n| self.kind_of(n) == NodeKind::Prefix);
        let mut held: Vec<(u32, u32)> = Vec::new();
        self.each_held(prefixes, &mut |prefix, node| held.push((prefix, node)));
        held.sort_unstable();
        for of_prefix in held.chunk_by(|a, b| a.0 == b.0) {
            let within = of_prefix.iter().map(|(_, node)| *node).collect();
            parts.push((Class::Prefix, of_prefix[0].0, within));
        }
        let named: HashSet<u32> = parts.iter().map(|(_, node, _)| *node).collect();
        let whole = |(class, node, mut fails): (Class, u32, Vec<u32>)| {
            fails.push(node);
            self.add_same_machine(&mut fails);
            fails.sort_unstable();
            fails.dedup();
            // The trees know what a machine breaks.
            let is_more = fails.len() > self.all_names(node).count();
            is_more.then_some(Whole { class, node, fails })
        };
        (parts.into_iter().filter_map(whole).collect(), named)
    }
}
