//! Pairs of agent and target: which break, and on which way the others go on.

use std::collections::BTreeMap;
use std::ops::Range;

use holm_model::EdgeKind;

use super::Limits;
use crate::builder::as_index;
use crate::impact::{BrokenPath, Impact, ReroutedPath, RouteStatus};
use crate::moment::{Moment, NO_NODE};
use crate::named::Named;
use crate::routes::Side;
use crate::search::Scratch;
use crate::taken::TakenWay;

/// A pair by the numbers of its nodes.
type Pair = (u32, u32);

/// What happens to a pair, as far as it is to be shown.
#[derive(Debug, Clone, Copy)]
struct Shown {
    pair: Pair,
    /// An observed path that crosses the failure.
    crossing: Option<u32>,
    /// An observed path that survives.
    surviving: Option<u32>,
    flows_affected: Option<(u32, u32)>,
}

/// One of the three lists while it is filled.
#[derive(Debug, Default)]
struct List {
    total: u64,
    shown: Vec<Shown>,
    /// Targets with pairs that no flow path was observed of.
    targets: Vec<u32>,
}

impl Moment {
    pub(super) fn judge_pairs(
        &self,
        has_drained: bool,
        limits: Limits,
        scratch: &mut Scratch,
        impact: &mut Impact,
    ) {
        let [mut broken, mut stranded, mut rerouted] =
            [List::default(), List::default(), List::default()];
        self.judge_observed(has_drained, scratch, [&mut broken, &mut stranded, &mut rerouted]);
        self.count_unobserved(has_drained, scratch, [&mut broken, &mut stranded, &mut rerouted]);
        for (list, fate) in [
            (&mut broken, Fate::Broken),
            (&mut stranded, Fate::Stranded),
            (&mut rerouted, Fate::Rerouted),
        ] {
            self.show_unobserved(list, fate, has_drained, limits.items, scratch);
            list.shown.sort_unstable_by_key(|shown| shown.pair);
            list.shown.truncate(limits.items);
        }
        impact.broken_paths.total = broken.total;
        impact.broken_paths.items = self.broken(&broken.shown, scratch);
        impact.stranded_paths.total = stranded.total;
        impact.stranded_paths.items = self.broken(&stranded.shown, scratch);
        impact.rerouted_paths.total = rerouted.total;
        impact.rerouted_paths.items = self.rerouted(&rerouted.shown, scratch);
    }

    /// Whether an observed path crosses what is marked as gone, or may: a hop that did not answer is any of those
    /// that answered there to other flows of the pair.
    pub(super) fn crosses_gone(&self, path: u32, scratch: &Scratch) -> bool {
        let hops = self.paths.route(path).len();
        let gone = |node: &u32| scratch.gone_nodes.has(*node);
        (0..hops).any(|hop| self.paths.at_hop(path, hop).iter().any(gone))
            || (1..hops).any(|hop| {
                let (from, to) = (self.paths.at_hop(path, hop - 1), self.paths.at_hop(path, hop));
                self.joins_gone(from, to, scratch)
            })
    }

    /// Whether a path edge from one of these to one of those is gone; both are in order.
    fn joins_gone(&self, from: &[u32], to: &[u32], scratch: &Scratch) -> bool {
        let gone = &scratch.gone_edge_list;
        if from.len() * to.len() > gone.len() {
            let has = |nodes: &[u32], node: u32| nodes.binary_search(&node).is_ok();
            return gone.iter().map(|&edge| edge as usize).any(|edge| {
                self.kind[edge] == EdgeKind::Path
                    && has(from, self.from[edge])
                    && has(to, self.to[edge])
            });
        }
        let is_gone = |from: u32, to: u32| {
            let edge = self.edge_between(from, EdgeKind::Path, to);
            edge.is_some_and(|edge| scratch.gone_edges.has(edge))
        };
        from.iter().any(|&from| to.iter().any(|&to| is_gone(from, to)))
    }

    /// Observed paths of the pairs one of whose paths goes through a node that is gone, or an end of an edge that
    /// is gone; in order.
    pub(super) fn paths_near_gone(&self, scratch: &Scratch) -> Vec<u32> {
        let ends = scratch.gone_edge_list.iter().map(|&edge| self.from[edge as usize]);
        let nodes = scratch.gone_node_list.iter().copied().chain(ends);
        let mut near: Vec<u32> =
            nodes.flat_map(|node| self.paths.through.of(node)).copied().collect();
        near.sort_unstable();
        near.dedup();
        // A silent hop of one flow may be what answered to another of the pair.
        let mut paths: Vec<u32> = Vec::with_capacity(near.len());
        for path in near {
            if paths.last().is_none_or(|&last| last < path) {
                paths.extend(self.paths.siblings(path));
            }
        }
        paths
    }

    /// Pairs with observed flow paths.
    fn judge_observed(
        &self,
        has_drained: bool,
        scratch: &mut Scratch,
        [broken, stranded, rerouted]: [&mut List; 3],
    ) {
        let mut candidates = self.paths_near_gone(scratch);
        candidates.dedup_by_key(|path| self.paths.pair(*path));
        for path in candidates {
            let siblings = self.paths.siblings(path);
            let crossing = |p: &u32| self.crosses_gone(*p, scratch);
            let affected = siblings.clone().filter(crossing).count();
            if affected == 0 {
                continue;
            }
            let pair = self.paths.pair(siblings.start);
            let flows = (as_index(affected), siblings.end - siblings.start);
            let shown = Shown {
                pair,
                crossing: siblings.clone().find(crossing),
                surviving: siblings.clone().find(|p| !crossing(p)),
                flows_affected: Some(flows),
            };
            let list = if shown.surviving.is_some() || self.goes_on(pair, scratch) {
                &mut *rerouted
            } else if has_drained && self.carries_on(pair, siblings, scratch) {
                &mut *stranded
            } else {
                &mut *broken
            };
            list.total += 1;
            list.shown.push(shown);
        }
    }

    /// Whether the pair's agent still reaches its target over path edges.
    fn goes_on(&self, (agent, target): Pair, scratch: &Scratch) -> bool {
        self.agents.binary_search(&agent).is_ok_and(|bit| {
            let (word, bit) = (bit / 64, bit % 64);
            let machine = self.first_name(target);
            let after =
                self.arrivals().seen(machine)[word] & !scratch.crossing.broken(machine, word);
            after >> bit & 1 == 1
        })
    }

    /// Whether the pair has a way across what is drained.
    fn carries_on(&self, pair: Pair, mut siblings: Range<u32>, scratch: &Scratch) -> bool {
        let (agent, target) = pair;
        let over_edges = self.agents.binary_search(&agent).is_ok_and(|bit| {
            let (word, bit) = (bit / 64, bit % 64);
            let machine = self.first_name(target);
            let broken = scratch.broken_by_failure.get(&machine).map_or(0, |bits| bits[word]);
            (self.arrivals().seen(machine)[word] & !broken) >> bit & 1 == 1
        });
        over_edges || siblings.any(|path| !scratch.failed_paths.has(path))
    }

    /// All names of what has a shortest way that crosses what is gone.
    pub(super) fn crossing_names(&self, scratch: &Scratch) -> impl Iterator<Item = u32> {
        scratch.crossing.nodes().iter().flat_map(|&machine| self.all_names(machine))
    }

    /// Counts the pairs that no flow path was observed of, and notes at which targets they end.
    fn count_unobserved(&self, has_drained: bool, scratch: &Scratch, mut lists: [&mut List; 3]) {
        for target in self.crossing_names(scratch).filter(|&node| self.is_target(node)) {
            let machine = self.first_name(target);
            let observed = self.observed_agents.get(&target);
            let touched = |&word: &usize| scratch.crossing.touched(machine, word) != 0;
            let mut counts = [0_u32; 3];
            for word in (0..self.arrivals().words()).filter(touched) {
                let observed = || observed.map_or(0, |bits| bits[word]);
                for (count, fate) in counts.iter_mut().zip(Fate::ALL) {
                    let bits = Self::bits((machine, word), fate, has_drained, observed, scratch);
                    *count += bits.count_ones();
                }
            }
            for (list, count) in lists.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
                list.total += u64::from(count);
                list.targets.push(target);
            }
        }
        for list in lists {
            list.targets.sort_unstable();
        }
    }

    /// The agents, as one word of bits, whose pair with a name of a machine meets `fate`; without those that flow
    /// paths were observed of.
    fn bits(
        (machine, word): (u32, usize),
        fate: Fate,
        has_drained: bool,
        observed: impl Fn() -> u64,
        scratch: &Scratch,
    ) -> u64 {
        let unobserved = |bits: u64| match bits {
            0 => 0,
            bits => bits & !observed(),
        };
        let broken = || unobserved(scratch.crossing.broken(machine, word));
        let by_failure = || scratch.broken_by_failure.get(&machine).map_or(0, |bits| bits[word]);
        match fate {
            Fate::Broken if has_drained => broken() & by_failure(),
            Fate::Broken => broken(),
            Fate::Stranded if has_drained => broken() & !by_failure(),
            Fate::Stranded => 0,
            Fate::Rerouted => unobserved(scratch.crossing.rerouted(machine, word)),
        }
    }

    /// The first pairs by agent and target.
    fn show_unobserved(
        &self,
        list: &mut List,
        fate: Fate,
        has_drained: bool,
        limit: usize,
        scratch: &Scratch,
    ) {
        let words = self.agents.len().div_ceil(64);
        let mut room = limit;
        for word in 0..words {
            let of = |target: u32| {
                let observed = || self.observed_agents.get(&target).map_or(0, |bits| bits[word]);
                let at = (self.first_name(target), word);
                Self::bits(at, fate, has_drained, observed, scratch)
            };
            let mut agents = list.targets.iter().fold(0, |all, &target| all | of(target));
            while agents != 0 && room > 0 {
                let bit = agents.trailing_zeros();
                agents &= agents - 1;
                let agent = self.agents[word * 64 + bit as usize];
                let targets = list.targets.iter().filter(|&&target| of(target) >> bit & 1 == 1);
                for &target in targets.take(room) {
                    room -= 1;
                    list.shown.push(Shown {
                        pair: (agent, target),
                        crossing: None,
                        surviving: None,
                        flows_affected: None,
                    });
                }
            }
        }
    }

    fn broken(&self, shown: &[Shown], scratch: &mut Scratch) -> Vec<BrokenPath> {
        let before =
            self.ways(shown.iter().filter(|s| s.crossing.is_none()), Side::Before, scratch);
        shown
            .iter()
            .map(|shown| BrokenPath {
                from: self.named(shown.pair.0),
                to: self.named(shown.pair.1),
                route: self.way(shown.crossing, &before, shown.pair),
                observed: shown.crossing.is_some(),
            })
            .collect()
    }

    fn rerouted(&self, shown: &[Shown], scratch: &mut Scratch) -> Vec<ReroutedPath> {
        let before =
            self.ways(shown.iter().filter(|s| s.crossing.is_none()), Side::Before, scratch);
        let taken = |shown: &Shown| match shown.surviving {
            Some(_) => None,
            None => self.taken_around(shown.pair, scratch),
        };
        let taken: Vec<Option<&TakenWay>> = shown.iter().map(taken).collect();
        let unknown = shown.iter().zip(&taken);
        let unknown = unknown.filter(|(shown, taken)| shown.surviving.is_none() && taken.is_none());
        let after = self.ways(unknown.map(|(shown, _)| shown), Side::After, scratch);
        shown
            .iter()
            .zip(taken)
            .map(|(shown, taken)| ReroutedPath {
                from: self.named(shown.pair.0),
                to: self.named(shown.pair.1),
                status: match shown.surviving.is_some() || taken.is_some() {
                    true => RouteStatus::Observed,
                    false => RouteStatus::Inferred,
                },
                route: self.way(shown.crossing, &before, shown.pair),
                alt_route: match taken {
                    Some(taken) => taken.route.iter().map(|&hop| Some(self.named(hop))).collect(),
                    None => self.way(shown.surviving, &after, shown.pair),
                },
                last_taken: taken.map(|taken| taken.until),
                flows_affected: shown.flows_affected,
            })
            .collect()
    }

    fn way(
        &self,
        observed: Option<u32>,
        found: &BTreeMap<Pair, Vec<u32>>,
        pair: Pair,
    ) -> Vec<Option<Named>> {
        let named = |&node: &u32| (node != NO_NODE).then(|| self.named(node));
        match observed {
            Some(path) => self.paths.route(path).iter().map(named).collect(),
            None => found.get(&pair).into_iter().flatten().map(named).collect(),
        }
    }

    /// A shortest way for each pair, by as few searches as there are agents or targets.
    fn ways<'a>(
        &self,
        shown: impl Iterator<Item = &'a Shown>,
        side: Side,
        scratch: &mut Scratch,
    ) -> BTreeMap<Pair, Vec<u32>> {
        let (mut by_agent, mut by_target) = (BTreeMap::new(), BTreeMap::new());
        for Shown { pair: (agent, target), .. } in shown {
            by_agent.entry(*agent).or_insert_with(Vec::new).push(*target);
            by_target.entry(*target).or_insert_with(Vec::new).push(*agent);
        }
        let mut ways = BTreeMap::new();
        if by_agent.len() <= by_target.len() {
            for (agent, targets) in by_agent {
                self.search_ways(agent, &targets, true, side, scratch, |target, way| {
                    ways.insert((agent, target), way);
                });
            }
        } else {
            for (target, agents) in by_target {
                self.search_ways(target, &agents, false, side, scratch, |agent, way| {
                    ways.insert((agent, target), way);
                });
            }
        }
        ways
    }
}

/// What happens to a pair that no flow path was observed of.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Broken,
    Stranded,
    Rerouted,
}

impl Fate {
    const ALL: [Self; 3] = [Self::Broken, Self::Stranded, Self::Rerouted];
}
