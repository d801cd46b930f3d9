//! Hops that did not answer of late: who answered there before, on the same way of the same flow.
//!
//! A hop that is silent once is no other way (the fold keeps its links, too): what was known of it holds until another
//! answers there, or the way becomes another one. Only what went over without a gap counts: after one the way may have
//! changed while nobody looked.

use std::borrow::Cow;

use hashbrown::HashMap;
use holm_model::{Interval, Millis, NodeId, PathId};

use crate::paths::{PathSlot, Paths};
use crate::records::SiteIndex;

/// Most ways that are followed back.
const MOST: usize = 64;

type Hops = [Option<NodeId>];
/// Agent, target and flow, as a site tells them.
type Flow<'a> = (&'a NodeId, &'a NodeId, &'a str, SiteIndex);

/// The ways before those that have silent hops now.
pub(crate) struct Before<'a>(HashMap<Flow<'a>, Vec<(Interval, &'a PathSlot)>>);

fn flow(path: &PathId, site: SiteIndex) -> Flow<'_> {
    (path.agent(), path.target(), path.flow(), site)
}

fn is_silent(path: &PathId) -> bool {
    path.hops().iter().any(Option::is_none)
}

/// Whether two ways may be one: as long, and the same wherever both answered.
pub(crate) fn may_be_one(a: &Hops, b: &Hops) -> bool {
    let alike = |(a, b): (&Option<NodeId>, &Option<NodeId>)| a.is_none() || b.is_none() || a == b;
    a.len() == b.len() && a.iter().zip(b).all(alike)
}

impl<'a> Before<'a> {
    /// Of those that are open at `at`.
    pub(crate) fn of(paths: &'a Paths, at: Millis) -> Self {
        let mut before: HashMap<Flow<'a>, Vec<(Interval, &'a PathSlot)>> = HashMap::new();
        for path in paths.iter().filter(|path| is_silent(&path.id)) {
            for (site, _) in path.records.iter().filter(|(_, r)| r.intervals.contains(at)) {
                before.entry(flow(&path.id, site)).or_default();
            }
        }
        if before.is_empty() {
            return Self(before);
        }
        for path in paths.iter() {
            for (site, record) in path.records.iter() {
                let Some(known) = before.get_mut(&flow(&path.id, site)) else { continue };
                let ended = record.intervals.as_slice().iter();
                let ended = ended.filter(|interval| interval.to.is_some_and(|to| to <= at));
                known.extend(ended.map(|interval| (*interval, path)));
            }
        }
        for known in before.values_mut() {
            // Of two that ended in one moment the same one, whatever came first.
            known.sort_unstable_by(|(a, one), (b, other)| (a.to, &one.id).cmp(&(b.to, &other.id)));
        }
        Self(before)
    }

    /// The hops of a way since `since`, with those that answered before where they are silent.
    pub(crate) fn known_hops(
        &self,
        path: &'a PathId,
        site: SiteIndex,
        since: Millis,
    ) -> Cow<'a, Hops> {
        let mut hops = Cow::Borrowed(path.hops());
        let Some(known) = self.0.get(&flow(path, site)) else { return hops };
        let mut since = since;
        for _ in 0..MOST {
            if hops.iter().all(Option::is_some) {
                break;
            }
            let first = known.partition_point(|(interval, _)| interval.to < Some(since));
            let mut ended = known[first..].iter().take_while(|(i, _)| i.to == Some(since));
            let Some((interval, before)) =
                ended.find(|(_, before)| may_be_one(&hops, before.id.hops()))
            else {
                break;
            };
            for (hop, before) in hops.to_mut().iter_mut().zip(before.id.hops()) {
                if hop.is_none() {
                    hop.clone_from(before);
                }
            }
            since = interval.from;
        }
        hops
    }
}
