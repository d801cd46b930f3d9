//! What breaks if these elements fail, or are drained.

mod behind;
mod pairs;

use hashbrown::HashSet;
use holm_model::{NodeId, NodeKind};

use crate::adjacency::Hop;
use crate::impact::{
    Coverage, Impact, ImpactedPrefix, ImpactedService, Listed, PrefixLoss, SloIndex,
};
use crate::moment::Moment;
use crate::reach::Arrivals;
use crate::search::Scratch;
use crate::selector::Selection;

/// The question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhatIf {
    /// What fails.
    pub failed: Selection,
    /// What is taken out of use where there is another way, and carries on where there is none.
    pub drained: Selection,
}

/// How much of each list is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most items of each list. Totals count all.
    pub items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { items: 100 }
    }
}

impl Moment {
    /// What breaks. A pair of agent and target stands if any way is left to it:
    /// - pairs with observed flow paths are judged by these first; another observed path of the pair
    ///   that avoids the failure is an *observed* way;
    /// - else a way over surviving path edges, in the direction in which they were recorded, is an
    ///   *inferred* way;
    /// - pairs without observed flow paths are all (agent, host or service) that path edges connect;
    ///   such a pair is rerouted if **any** of its shortest ways crosses the failure.
    ///
    /// A failed agent or target breaks its pairs, and a machine of several names fails with all of them. The moment
    /// itself is not changed.
    pub fn what_if(
        &self,
        question: &WhatIf,
        limits: Limits,
        slos: Option<&dyn SloIndex>,
        scratch: &mut Scratch,
    ) -> Impact {
        let WhatIf { failed, drained } = question;
        // First with what fails only: what is drained carries on.
        scratch.clear_gone(self);
        let failed = self.mark_gone(failed, scratch);
        let mut impact = Impact { failed: self.named_elements(&failed), ..Impact::default() };
        self.find_crossing(scratch);
        impact.coverage = self.coverage();
        let disconnected = self.disconnected(scratch);
        let lost = self.lost_targets(scratch);
        let services = self.impacted_services(&failed.edges, &lost, scratch);
        let prefixes = self.impacted_prefixes(scratch);
        scratch.broken_by_failure.clear();
        let has_drained = *drained != Selection::default();
        if has_drained {
            self.remember_broken(scratch);
            let drained = self.mark_gone(drained, scratch);
            impact.drained = self.named_elements(&drained);
            self.find_crossing(scratch);
            // Who would miss it: for a service or a prefix there is no other way but those that are known.
            let edges: Vec<u32> = failed.edges.iter().chain(&drained.edges).copied().collect();
            let lost = self.lost_targets(scratch);
            let impacted: HashSet<u32> = services.iter().map(|(_, node)| *node).collect();
            let mut staying = self.impacted_services(&edges, &lost, scratch);
            staying.retain(|(_, node)| !impacted.contains(node));
            impact.stranded_services = self.listed_services(staying, limits);
            let lost = |prefix: &ImpactedPrefix| prefix.loss == PrefixLoss::Lost;
            let mut held: Vec<_> =
                self.impacted_prefixes(scratch).into_iter().filter(lost).collect();
            held.retain(|prefix| !prefixes.contains(prefix));
            let held = held.into_iter().map(|prefix| prefix.id).collect();
            impact.stranded_prefixes = Listed::whole(held, limits.items);
        }
        self.judge_pairs(has_drained, limits, scratch, &mut impact);
        impact.impacted_slos = slos.map(|slos| {
            let callers = services.iter().map(|(_, node)| node);
            let hit = disconnected.iter().chain(&lost).chain(callers);
            let hit: HashSet<u32> = hit.chain(&failed.nodes).copied().collect();
            // An objective may be about any of the names of a thing.
            let others = self.also_called.iter().filter(|(_, node)| hit.contains(node));
            let names = hit.iter().map(|&node| self.node(node));
            let names: Vec<&NodeId> = names.chain(others.map(|(name, _)| name)).collect();
            Listed::whole(slos.touched(&names), limits.items)
        });
        impact.disconnected = Listed {
            total: disconnected.len() as u64,
            items: disconnected.into_iter().take(limits.items).map(|n| self.named(n)).collect(),
        };
        impact.impacted_services = self.listed_services(services, limits);
        impact.impacted_prefixes = Listed::whole(prefixes, limits.items);
        impact
    }

    fn listed_services(
        &self,
        services: Vec<(u32, u32)>,
        limits: Limits,
    ) -> Listed<ImpactedService> {
        let total = services.len() as u64;
        let shown = services.into_iter().take(limits.items);
        let named = |(distance, node)| ImpactedService { distance, id: self.named(node) };
        Listed { items: shown.map(named).collect(), total }
    }

    /// What an answer at this moment stands on.
    pub fn coverage(&self) -> Coverage {
        Coverage {
            flow_paths: self.paths.len(),
            path_edges: self.path_edges,
            flow_edges: self.flow_edges,
            routing_edges: self.routing.out.len(),
            device_edges: self.device.out.len(),
            far_pairs_left_out: self.arrivals.get().is_some_and(Arrivals::is_cut_short),
        }
    }

    /// Marks a selection as gone, and gives all that goes with it: of machines all names, of several ASes what they
    /// originate together as well, and of several sites the services that nobody else recorded.
    fn mark_gone(&self, selection: &Selection, scratch: &mut Scratch) -> Selection {
        let Selection { mut nodes, edges } = selection.clone();
        nodes.extend(self.falling_together(&nodes, scratch));
        self.add_same_machine(&mut nodes);
        nodes.sort_unstable();
        nodes.dedup();
        let new = nodes.iter().copied().filter(|&node| scratch.gone_nodes.add(node));
        scratch.gone_node_list.extend(new);
        let new = edges.iter().copied().filter(|&edge| scratch.gone_edges.add(edge));
        scratch.gone_edge_list.extend(new);
        Selection { nodes, edges }
    }

    /// What any of several ASes or sites would keep up, and all of them together do not; with those that are gone
    /// already.
    fn falling_together(&self, nodes: &[u32], scratch: &Scratch) -> Vec<u32> {
        let all = || nodes.iter().chain(&scratch.gone_node_list).copied();
        let mut ases: Vec<u32> = all().filter(|&node| self.is_any(node, NodeKind::As)).collect();
        ases.sort_unstable();
        ases.dedup();
        let mut found = if ases.len() > 1 { self.originated_by(&ases) } else { Vec::new() };
        let sites = self.sites_among(all());
        if sites.len() > 1 {
            found.extend(self.run_by.only(&sites));
        }
        found.retain(|&node| !scratch.gone_nodes.has(node));
        found
    }

    /// What crosses what is marked as gone, and what finds another way.
    fn find_crossing(&self, scratch: &mut Scratch) {
        let Scratch { crossing, gone_nodes, gone_edges, gone_node_list, gone_edge_list, .. } =
            scratch;
        let gone = |hop: &Hop| gone_nodes.has(hop.node) || gone_edges.has(hop.edge);
        let is_gone = |node| gone_nodes.has(node);
        crossing.find(self, self.arrivals(), gone_node_list, gone_edge_list, gone, is_gone);
    }

    fn remember_broken(&self, scratch: &mut Scratch) {
        let Scratch { crossing, broken_by_failure, .. } = scratch;
        for &node in crossing.nodes() {
            let bits = (0..self.arrivals().words()).map(|word| crossing.broken(node, word));
            broken_by_failure.insert(node, bits.collect());
        }
        scratch.failed_paths.clear(self.paths.len());
        for path in self.paths_near_gone(scratch) {
            if self.crosses_gone(path, scratch) {
                scratch.failed_paths.add(path);
            }
        }
    }
}
