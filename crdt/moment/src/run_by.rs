//! Services by the sites that recorded them: one that only some sites see runs there, and fails with all of these.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use holm_model::SiteId;

/// Services, those that the same sites recorded together.
#[derive(Debug, Default)]
pub(crate) struct RunBy {
    /// In order; the others tell them by their numbers.
    sites: Vec<SiteId>,
    /// By the numbers of all sites that recorded them, in order.
    services: BTreeMap<Box<[u32]>, Vec<u32>>,
}

impl RunBy {
    /// Of services and who recorded each.
    pub(crate) fn of(recorded: &[(u32, &SiteId)]) -> Self {
        let all: BTreeSet<&SiteId> = recorded.iter().map(|&(_, site)| site).collect();
        let number: HashMap<&SiteId, u32> = all.iter().copied().zip(0..).collect();
        let mut by: Vec<(u32, u32)> =
            recorded.iter().map(|&(service, site)| (service, number[site])).collect();
        by.sort_unstable();
        by.dedup();
        let mut services: BTreeMap<Box<[u32]>, Vec<u32>> = BTreeMap::new();
        for group in by.chunk_by(|a, b| a.0 == b.0) {
            let sites = group.iter().map(|&(_, site)| site).collect();
            services.entry(sites).or_default().push(group[0].0);
        }
        Self { sites: all.into_iter().cloned().collect(), services }
    }

    /// The services that nobody but these sites recorded, each alone or some of them together.
    pub(crate) fn only(&self, sites: &[SiteId]) -> Vec<u32> {
        let mut numbers: Vec<u32> = sites
            .iter()
            .filter_map(|site| self.sites.binary_search(site).ok())
            .map(|n| n as u32)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        match numbers[..] {
            [] => Vec::new(),
            [one] => self.services.get([one].as_slice()).cloned().unwrap_or_default(),
            _ => {
                let mut fails = vec![false; self.sites.len()];
                numbers.iter().for_each(|&site| fails[site as usize] = true);
                let within = |by: &[u32]| by.iter().all(|&site| fails[site as usize]);
                let within = self.services.iter().filter(|(by, _)| within(by));
                within.flat_map(|(_, services)| services).copied().collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_run_at_those_sites_that_see_them() {
        let site = |name: &str| -> SiteId { name.parse().expect("valid") };
        let recorded =
            [(1, "a"), (2, "a"), (2, "b"), (3, "b"), (3, "c"), (3, "a"), (4, "c"), (1, "a")];
        let recorded = recorded.map(|(node, by)| (node, site(by)));
        let told: Vec<_> = recorded.iter().map(|(node, site)| (*node, site)).collect();
        let run_by = RunBy::of(&told);
        for (sites, expected) in [
            (vec![], vec![]),
            (vec!["a"], vec![1]),
            (vec!["b"], vec![]),
            (vec!["a", "a", "nowhere"], vec![1]),
            (vec!["b", "a"], vec![1, 2]),
            (vec!["c", "b"], vec![4]),
            (vec!["a", "b", "c"], vec![1, 2, 3, 4]),
        ] {
            let asked: Vec<SiteId> = sites.iter().map(|name| site(name)).collect();
            let mut found = run_by.only(&asked);
            found.sort_unstable();
            assert_eq!(found, expected, "{sites:?}");
        }
    }
}
