//! Flow paths as the sites recorded them: the ways that packets took, each with when.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use holm_model::{IntervalSet, Millis, PathId, SiteId};
use holm_moment::{Moment, leads};

use crate::TopologyGraph;
use crate::plans::Change;
use crate::records::{Record, Records, SiteIndex};
use crate::snapshot::said_at;
use crate::topology::{NodeIndex, next_index};

pub(crate) type PathIndex = u32;

/// A path and the nodes that it leads over, agent first and target last.
#[derive(Debug)]
pub(crate) struct PathSlot {
    pub(crate) id: PathId,
    /// Each once, in no order that means anything.
    pub(crate) nodes: Box<[NodeIndex]>,
    pub(crate) records: Records,
}

/// All paths that any site recorded.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    slots: Vec<Option<PathSlot>>,
    free: Vec<PathIndex>,
    index: HashMap<PathId, PathIndex>,
}

impl Paths {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &PathSlot> {
        self.slots.iter().flatten()
    }

    pub(crate) fn get(&self, index: PathIndex) -> Option<&PathSlot> {
        self.slots[index as usize].as_ref()
    }

    pub(crate) fn named(&self, id: &PathId) -> Option<&PathSlot> {
        self.get(*self.index.get(id)?)
    }

    fn insert(&mut self, slot: PathSlot) -> PathIndex {
        let id = slot.id.clone();
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                next_index(self.slots.len() - 1)
            }
        };
        self.index.insert(id, index);
        index
    }

    fn remove(&mut self, index: PathIndex) -> Option<PathSlot> {
        let slot = self.slots[index as usize].take()?;
        self.index.remove(&slot.id);
        self.free.push(index);
        Some(slot)
    }
}

/// A way that packets of one flow took, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathView {
    /// Agent, target, flow and hops.
    pub id: PathId,
    /// The sites that say so, in order.
    pub sites: Vec<SiteId>,
    /// When packets took it, as any of these sites says.
    pub intervals: IntervalSet,
}

/// The first paths of a list, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathsOf {
    /// The first, the one that was taken last before the others, then by id.
    pub items: Vec<PathView>,
    /// All.
    pub total: u64,
}

impl TopologyGraph {
    /// Every way on which packets were seen to go from any of `from` to any of `to` (nodes of `moment`) at
    /// some time in `[since, until]`, as the site that saw them means their names in that moment; either
    /// may be a hop: then the part between them is meant.
    pub fn ways_seen(
        &self,
        moment: &Moment,
        (from, to): (&[u32], &[u32]),
        (since, until): (Millis, Millis),
        limit: usize,
    ) -> PathsOf {
        let names = from.iter().flat_map(|&node| moment.names(node));
        let known = names.filter_map(|name| Some(self.node_named(&name)?.1));
        let paths: BTreeSet<PathIndex> =
            known.flat_map(|node| node.paths.iter().copied()).collect();
        let seen = |intervals: &IntervalSet| {
            let mut all = intervals.as_slice().iter();
            all.any(|i| i.from <= until && i.to.is_none_or(|to| since < to))
        };
        let goes = |id: &PathId, site: &SiteId| {
            let route: Vec<Option<u32>> =
                id.nodes().map(|name| moment.meant_by(name, site)).collect();
            leads(&route, from, to)
        };
        let mut found: Vec<PathView> = Vec::new();
        for path in paths.into_iter().filter_map(|path| self.paths.get(path)) {
            let mut sites = Vec::new();
            let mut intervals = IntervalSet::new();
            for (site, record) in path.records.iter().filter(|(_, r)| seen(&r.intervals)) {
                let site = &self.sites[site as usize];
                if goes(&path.id, site) {
                    sites.push(site.clone());
                    intervals = intervals.union(&record.intervals);
                }
            }
            if !sites.is_empty() {
                sites.sort_unstable();
                found.push(PathView { id: path.id.clone(), sites, intervals });
            }
        }
        let last = |view: &PathView| {
            let last = view.intervals.as_slice().last();
            last.map(|interval| interval.to.unwrap_or(Millis(u64::MAX)))
        };
        found.sort_by(|a, b| last(b).cmp(&last(a)).then_with(|| a.id.cmp(&b.id)));
        let total = found.len() as u64;
        found.truncate(limit);
        PathsOf { items: found, total }
    }

    /// The paths that packets take at `at`, in no order.
    pub(crate) fn paths_at(&self, at: Millis) -> impl Iterator<Item = &PathSlot> {
        self.paths.iter().filter(move |p| said_at(&p.records, at, &None).next().is_some())
    }

    pub(crate) fn set_path(&mut self, id: &PathId, site: SiteIndex, record: Option<Record>) {
        let index = match self.paths.index.get(id) {
            Some(&index) => index,
            None => self.lay(id),
        };
        let Some(path) = &mut self.paths.slots[index as usize] else { return };
        let change = Change::of(path.records.get(site), record.as_ref());
        path.records.set(site, record);
        let is_unused = path.records.is_empty();
        if change != Change::None {
            let nodes = path.nodes.clone();
            nodes.iter().for_each(|&node| self.mention(node, site, change));
        }
        if !is_unused {
            return;
        }
        let Some(path) = self.paths.remove(index) else { return };
        for &node in &path.nodes {
            if let Some(slot) = &mut self.nodes[node as usize] {
                slot.paths.remove(&index);
            }
            self.forget_if_unused(node);
        }
    }

    fn lay(&mut self, id: &PathId) -> PathIndex {
        let mut nodes: Vec<NodeIndex> = id.nodes().map(|node| self.intern_node(node)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let slot = PathSlot { id: id.clone(), nodes: nodes.into(), records: Records::default() };
        let index = self.paths.insert(slot);
        let Some(slot) = self.paths.get(index) else { return index };
        for &node in &slot.nodes {
            if let Some(node) = &mut self.nodes[node as usize] {
                node.paths.insert(index);
            }
        }
        index
    }
}
