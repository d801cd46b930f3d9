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

/// Most sites, ASes and devices that are looked at, and most of all with machines and prefixes.
const MOST: usize = 1_024;
/// How many nodes and edges they may take together: each is a what-if of its own.
const MOST_WORK: usize = 20_000_000;
/// As many are looked at whatever it takes.
const LEAST: usize = 64;

/// What fails as a whole, those first that are looked at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// A site, AS or device.
    Named,
    /// A machine with several names.
    Machine,
    Prefix,
}

/// Something that fails with all that belongs to it.
struct Whole {
    class: Class,
    node: u32,
    fails: Vec<u32>,
    /// The other names of a machine.
    other_names: Vec<u32>,
}

/// What those break that stand for more than themselves.
pub(super) struct Wholes {
    pub(super) ranked: Vec<Ranked>,
    /// Other names of machines that are among `ranked`.
    pub(super) other_names: Vec<u32>,
    /// How many were left out.
    pub(super) left_out: u64,
}

impl Moment {
    /// What those break that stand for more than themselves: of machines those first that the most may hang on, of
    /// all others those with the most parts; prefixes last.
    pub(super) fn wholes(&self) -> Wholes {
        let mut wholes = self.with_parts();
        let has_machines = wholes.iter().any(|whole| whole.class == Class::Machine);
        let below = if has_machines { self.below() } else { Vec::new() };
        wholes.sort_by_cached_key(|whole| {
            let weight = match whole.class {
                Class::Machine => whole.fails.iter().map(|&node| below[node as usize]).sum(),
                Class::Named | Class::Prefix => whole.fails.len() as u64,
            };
            (whole.class, Reverse(weight), whole.node)
        });
        let size = self.nodes.len() + self.from.len();
        let most = (MOST_WORK / size.max(1)).clamp(LEAST, MOST);
        let count = |class| wholes.iter().filter(|whole| whole.class == class).count();
        let named = count(Class::Named).min(MOST);
        let room = most.saturating_sub(named);
        // Neither machines nor prefixes take all of what is left.
        let prefixes = count(Class::Prefix)
            .min((room - room / 2).max(room.saturating_sub(count(Class::Machine))));
        let machines = count(Class::Machine).min(room - prefixes);
        let all = wholes.len();
        let mut left = [named, machines, prefixes];
        wholes.retain(|whole| {
            let left = &mut left[whole.class as usize];
            let is_looked_at = *left > 0;
            *left -= usize::from(is_looked_at);
            is_looked_at
        });
        let left_out = (all - wholes.len()) as u64;
        let other_names = wholes.iter().flat_map(|whole| &whole.other_names).copied().collect();
        let mut scratch = Scratch::default();
        let rank = |whole: Whole| {
            let failed = Selection { nodes: whole.fails, edges: Vec::new() };
            let question = WhatIf { failed, ..WhatIf::default() };
            let impact = self.what_if(&question, Limits { items: 0 }, None, &mut scratch);
            Ranked {
                node: whole.node,
                broken: impact.broken_paths.total,
                services: impact.impacted_services.total,
                disconnected: impact.disconnected.total,
            }
        };
        Wholes { ranked: wholes.into_iter().map(rank).collect(), other_names, left_out }
    }

    /// Every node that stands for more than itself, with all that belongs to it.
    fn with_parts(&self) -> Vec<Whole> {
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
            for (node, name) in names {
                if name.kind() == NodeKind::As {
                    let from = by_as.partition_point(|(by, _)| by < node);
                    let own = by_as[from..].iter().take_while(|(by, _)| by == node);
                    selection.nodes.extend(own.map(|(_, node)| *node));
                } else {
                    self.add_parts(name, *node, &mut selection);
                }
            }
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
            (fails.len() > 1).then_some(Whole { class, node, fails, other_names: Vec::new() })
        };
        // A machine is there once, by the host that it is or by its first hop; a device is there by itself.
        let machine = |mates: &Vec<u32>| {
            let mut names: Vec<u32> = mates.clone();
            names.retain(|node| !named.contains(node));
            let host = names.iter().position(|&node| self.is_any(node, NodeKind::Host));
            let node = names.get(host.unwrap_or(0)).copied()?;
            names.retain(|name| *name != node);
            Some(Whole { class: Class::Machine, node, fails: mates.clone(), other_names: names })
        };
        let machines = self.addresses.machines().iter().filter_map(machine);
        parts.into_iter().filter_map(whole).chain(machines).collect()
    }
}
