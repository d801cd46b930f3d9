//! Which reports are about the same trouble: the same thing, a prefix and what lies in it, neighbours.
//!
//! Reports are looked at in order of their beginning, so that the links do not depend on the order in
//! which the records came.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::{Millis, NodeKind, Prefix};

use crate::grouping::Reason;
use crate::{Anchor, FaultId, NEAR_WINDOW_MS, RecordId, Report, WINDOW_MS};

/// Shorter prefixes hold too much to say anything.
const MIN_BITS: [u32; 2] = [8, 16];

/// A report that is to be linked.
pub(crate) struct Item<'a> {
    pub(crate) id: &'a RecordId,
    pub(crate) report: &'a Arc<Report>,
    pub(crate) fault: FaultId,
    pub(crate) since: Millis,
    pub(crate) end: Millis,
}

/// Sets of reports; some of them may not come together, because someone split them.
pub(crate) struct Sets {
    parent: Vec<u32>,
    /// By root: on which side of which cut, in order. Empty unless somebody split something.
    sides: HashMap<u32, Vec<(u32, bool)>>,
    pub(crate) joins: Vec<(u32, u32, Reason)>,
}

impl Sets {
    pub(crate) fn of(count: usize) -> Self {
        let parent = (0..u32::try_from(count).unwrap_or(u32::MAX)).collect();
        Self { parent, sides: HashMap::new(), joins: Vec::new() }
    }

    pub(crate) fn root(&mut self, mut item: u32) -> u32 {
        while self.parent[item as usize] != item {
            let next = self.parent[item as usize];
            self.parent[item as usize] = self.parent[next as usize];
            item = next;
        }
        item
    }

    /// Puts the set of `item` on one side of a cut.
    pub(crate) fn cut(&mut self, item: u32, cut: u32, side: bool) {
        let root = self.root(item);
        let sides = self.sides.entry(root).or_default();
        if !sides.contains(&(cut, side)) {
            sides.push((cut, side));
        }
    }

    /// Makes one set of two, unless somebody split them. The earlier item's root stays the root.
    pub(crate) fn link(&mut self, item: u32, with: u32, why: impl FnOnce() -> Reason) {
        let (a, b) = (self.root(item), self.root(with));
        if a == b {
            return;
        }
        if let (Some(left), Some(right)) = (self.sides.get(&a), self.sides.get(&b))
            && left.iter().any(|(cut, side)| right.contains(&(*cut, !*side)))
        {
            return;
        }
        let (root, child) = (a.min(b), a.max(b));
        self.parent[child as usize] = root;
        if let Some(moved) = self.sides.remove(&child) {
            let sides = self.sides.entry(root).or_default();
            sides.extend(moved);
            sides.sort_unstable();
            sides.dedup();
        }
        let (later, earlier) = (item.max(with), item.min(with));
        self.joins.push((later, earlier, why()));
    }
}

/// An unbroken while of reports about one name.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: Millis,
    end: Millis,
    first: u32,
}

impl Run {
    fn touches(&self, item: &Item<'_>) -> bool {
        self.start <= item.end + WINDOW_MS && item.since <= self.end + WINDOW_MS
    }
}

/// By name: its runs, in order.
type Runs<'a> = HashMap<&'a Anchor, Vec<Run>>;

/// Links `items`, which are in order.
pub(crate) fn link_all(items: &[Item<'_>], sets: &mut Sets) {
    let runs = link_same(items, sets);
    link_prefixes(items, &runs, sets);
    link_neighbours(items, &runs, sets);
}

/// Links reports of one fault.
pub(crate) fn link_faults(items: &[Item<'_>], sets: &mut Sets) -> HashMap<FaultId, u32> {
    let mut first: HashMap<FaultId, u32> = HashMap::with_capacity(items.len());
    for (number, item) in (0..).zip(items) {
        let known = *first.entry(item.fault).or_insert(number);
        if known != number {
            let why = || item.report.anchors.first().cloned().map_or(Reason::Fault, Reason::Same);
            sets.link(number, known, why);
        }
    }
    first
}

fn link_same<'a>(items: &'a [Item<'_>], sets: &mut Sets) -> Runs<'a> {
    let mut runs: Runs<'_> = HashMap::with_capacity(2 * items.len());
    for (number, item) in (0..).zip(items) {
        for anchor in &item.report.anchors {
            let runs = runs.entry(anchor).or_default();
            match runs.last_mut().filter(|run| item.since <= run.end + WINDOW_MS) {
                Some(run) => {
                    run.end = run.end.max(item.end);
                    sets.link(number, run.first, || Reason::Same(anchor.clone()));
                }
                None => runs.push(Run { start: item.since, end: item.end, first: number }),
            }
        }
    }
    runs
}

fn link_prefixes(items: &[Item<'_>], runs: &Runs<'_>, sets: &mut Sets) {
    let mut known: HashMap<(&str, Prefix), &Anchor> = HashMap::new();
    let mut lengths: BTreeSet<(bool, u32)> = BTreeSet::new();
    for anchor in runs.keys().filter(|anchor| anchor.node().kind() == NodeKind::Prefix) {
        let Some(prefix) = Prefix::parse(anchor.node().name()) else { continue };
        let v6 = prefix.first().is_ipv6();
        if prefix.length() >= MIN_BITS[usize::from(v6)] {
            known.insert((anchor.realm(), prefix), anchor);
            lengths.insert((v6, prefix.length()));
        }
    }
    if known.is_empty() {
        return;
    }
    for (number, item) in (0..).zip(items) {
        for anchor in &item.report.anchors {
            let prefix = match anchor.node().kind() {
                NodeKind::Prefix => Prefix::parse(anchor.node().name()),
                _ => anchor.address().map(|address| Prefix::around(address, 128)),
            };
            let Some(prefix) = prefix else { continue };
            let v6 = prefix.first().is_ipv6();
            let is_address = anchor.node().kind() != NodeKind::Prefix;
            let longest =
                if is_address { prefix.length() } else { prefix.length().saturating_sub(1) };
            // The longest first: it says most.
            for (_, length) in lengths.range((v6, 0)..=(v6, longest)).rev() {
                let around = Prefix::around(prefix.first(), *length);
                let Some(of_prefix) = known.get(&(anchor.realm(), around)) else { continue };
                for run in runs[*of_prefix].iter().filter(|run| run.touches(item)) {
                    sets.link(number, run.first, || Reason::Within {
                        inner: anchor.clone(),
                        outer: (*of_prefix).clone(),
                    });
                }
            }
        }
    }
}

fn link_neighbours(items: &[Item<'_>], runs: &Runs<'_>, sets: &mut Sets) {
    for (number, item) in (0..).zip(items) {
        for near in &item.report.near {
            let Some(runs) = runs.get(near) else { continue };
            let from = runs.partition_point(|run| run.start + NEAR_WINDOW_MS < item.since);
            let close =
                runs[from..].iter().take_while(|run| run.start <= item.since + NEAR_WINDOW_MS);
            for run in close {
                sets.link(number, run.first, || Reason::Near {
                    target: item.report.target.clone(),
                    neighbour: near.clone(),
                });
            }
        }
    }
}
