//! Which sites held nothing to be there at a moment: they did not watch, or saw nothing.

use holm_model::{IntervalSet, Millis, SiteId};

use crate::TopologyGraph;
use crate::records::Records;

/// A site of which nothing is recorded for a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotWatching {
    /// The site.
    pub site: SiteId,
    /// When the last that it held before ended; `None` if there is nothing before.
    pub since: Option<Millis>,
    /// When the first that it held afterwards began; `None` if there is nothing afterwards.
    pub until: Option<Millis>,
}

/// What one site held around a moment.
#[derive(Clone, Copy, Default)]
struct Held {
    then: bool,
    since: Option<Millis>,
    until: Option<Millis>,
}

impl Held {
    fn take(&mut self, intervals: &IntervalSet, at: Millis) {
        let intervals = intervals.as_slice();
        let after = intervals.partition_point(|i| i.from <= at);
        let until = intervals.get(after).map(|i| i.from);
        self.until = self.until.into_iter().chain(until).min();
        match after.checked_sub(1).map(|last| intervals[last].to) {
            Some(Some(to)) if to <= at => self.since = self.since.max(Some(to)),
            Some(_) => self.then = true,
            None => {}
        }
    }
}

impl TopologyGraph {
    /// The sites that say anything at all and held nothing to be there at `at`, in order.
    pub fn not_watching(&self, at: Millis) -> Vec<NotWatching> {
        let mut held = vec![Held::default(); self.sites.len()];
        let mut take = |records: &Records| {
            for (site, record) in records.iter() {
                let held = &mut held[site as usize];
                if !held.then {
                    held.take(&record.intervals, at);
                }
            }
        };
        self.nodes.iter().flatten().for_each(|node| take(&node.records));
        self.edges.iter().flatten().for_each(|edge| take(&edge.records));
        self.paths.iter().for_each(|path| take(&path.records));
        let none = (0..).zip(&held).filter(|(site, held)| self.says_anything(*site) && !held.then);
        let mut all: Vec<NotWatching> = none
            .map(|(site, held)| NotWatching {
                site: self.sites[site as usize].clone(),
                since: held.since,
                until: held.until,
            })
            .collect();
        all.sort_unstable_by(|a, b| a.site.cmp(&b.site));
        all
    }
}
