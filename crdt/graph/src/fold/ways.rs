//! Ways of flows: a flow takes one way at a time, and what only the way before went over ends with it.

use hashbrown::{DefaultHashBuilder, HashMap};
use holm_model::{EdgeKind, ElementId, Millis, NodeId, NodeRef, PathObservation};

use super::entry::{Entry, FlowRef, Hops, KeyRef, node_ref};
use super::{Fold, Folded, Source, hash_flow, hash_key, hold_until};
use crate::silent::may_be_one;

/// How many open ways go over each link, by the hash of its key. Two links of one hash would end later
/// than they could.
#[derive(Debug, Default)]
pub(super) struct Carried(HashMap<u64, u32>);

impl Carried {
    pub(super) fn add(&mut self, hasher: &DefaultHashBuilder, entry: &Entry) {
        for link in links(entry) {
            *self.0.entry(hash_key(hasher, &link)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, hasher: &DefaultHashBuilder, entry: &Entry) {
        for link in links(entry) {
            let hash = hash_key(hasher, &link);
            if let Some(count) = self.0.get_mut(&hash) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&hash);
                }
            }
        }
    }

    fn has(&self, link: u64) -> bool {
        self.0.contains_key(&link)
    }
}

/// The links that a way goes over, as far as is known who answered; none of what is no way.
fn links(entry: &Entry) -> impl Iterator<Item = KeyRef<'_>> {
    let path = match &entry.id {
        ElementId::Path(path) => Some(path),
        _ => None,
    };
    path.into_iter().flat_map(|path| {
        let hops = known_hops(entry).iter().map(|hop| hop.as_ref().map(node_ref));
        let ends = [Some(node_ref(path.agent()))].into_iter().chain(hops.clone());
        links_between(ends.zip(hops.chain([Some(node_ref(path.target()))])))
    })
}

/// Agent and target stand next to each other only when there was no hop at all.
fn links_between<'a>(
    steps: impl Iterator<Item = (Option<NodeRef<'a>>, Option<NodeRef<'a>>)>,
) -> impl Iterator<Item = KeyRef<'a>> {
    steps.filter_map(|(from, to)| Some(KeyRef::Edge { from: from?, kind: EdgeKind::Path, to: to? }))
}

/// The hops of a way, with those that answered before where they are silent.
fn known_hops(entry: &Entry) -> &[Option<NodeId>] {
    match (&entry.known_hops, &entry.id) {
        (Some(hops), _) => hops,
        (None, ElementId::Path(path)) => path.hops(),
        (None, _) => &[],
    }
}

impl Fold {
    /// Takes the way of a flow, and the path edges between hops that answered one after the other. What
    /// is known already costs no allocation. A flow takes one way at a time: another that was open
    /// ends now, with the links that no open way goes over any more, unless they were told for themselves or it
    /// may be that hops were silent and nothing else. A way that cannot be leaves the one that is open as it is.
    pub fn observe_path(&mut self, o: &PathObservation<'_>) -> Folded {
        let flow = FlowRef { agent: o.agent, target: o.target, flow: o.flow };
        let told = KeyRef::Path { flow, hops: Hops::Told(o.hops) };
        if let Some(slot) = self.find(self.hash(&told), &told)
            && self.other_ways(&told).next().is_none()
        {
            let folded = self.see_again(slot, o.attributes, o.at, o.hold_ms, Source::Itself);
            self.observe_links(o);
            return folded;
        }
        let Ok(id) = told.to_id() else {
            self.counters.refused_bad_name += 1;
            return Folded::Refused;
        };
        let key = KeyRef::of(&id);
        let mut others: Vec<u32> = self.other_ways(&key).collect();
        let entry = |slot: &u32| self.entries[*slot as usize].as_ref();
        let ways = || others.iter().filter_map(entry);
        if ways().any(|way| o.at < way.last_seen) {
            self.counters.out_of_order += 1;
            return Folded::Unchanged;
        }
        // One change ends a way before, one each a link of it, and one opens this one: all, or none.
        let changes = 1 + ways().map(|way| 1 + links(way).count()).sum::<usize>();
        if !others.is_empty() && self.pending.len() + changes > self.limits.max_pending {
            self.counters.refused_backlog += 1;
            return Folded::Refused;
        }
        // Of several the last first.
        others.sort_by_key(|slot| std::cmp::Reverse(entry(slot).map(|way| way.since)));
        let ended: Vec<(Entry, Millis)> =
            others.into_iter().filter_map(|slot| self.close(slot, Some(o.at))).collect();
        // Intervals are half-open: seen both ways in one moment, this one begins in the next.
        let at = ended.iter().fold(o.at, |at, (_, end)| at.max(*end));
        let folded = self.observe(&key, o.attributes, at, o.hold_ms, Source::Itself);
        let (silent, left): (Vec<_>, Vec<_>) = match &id {
            ElementId::Path(path) => {
                ended.iter().partition(|(way, _)| may_be_one(known_hops(way), path.hops()))
            }
            _ => Default::default(),
        };
        silent.into_iter().for_each(|(way, _)| self.know_hops(&key, known_hops(way)));
        for (way, end) in left {
            links(way).for_each(|link| self.leave_link(&link, *end));
        }
        if folded != Folded::Refused {
            self.observe_links(o);
        }
        folded
    }

    fn observe_links(&mut self, o: &PathObservation<'_>) {
        let ends = [Some(o.agent)].into_iter().chain(o.hops.iter().copied());
        let nexts = o.hops.iter().copied().chain([Some(o.target)]);
        for link in links_between(ends.zip(nexts)) {
            self.observe(&link, &[], o.at, o.hold_ms, Source::Way);
        }
    }

    /// The other open ways of the same flow.
    fn other_ways<'a>(&'a self, key: &'a KeyRef<'a>) -> impl Iterator<Item = u32> + 'a {
        let flow = match key {
            KeyRef::Path { flow, .. } => Some(flow),
            _ => None,
        };
        let is_other = move |slot: u32| match self.entries[slot as usize].as_ref().map(|e| &e.id) {
            Some(id @ ElementId::Path(path)) => {
                flow.is_some_and(|flow| flow.is_of(path)) && !key.names(id)
            }
            _ => false,
        };
        let flows = flow.map(|flow| self.flows.iter_hash(hash_flow(&self.hasher, flow)));
        flows.into_iter().flatten().copied().filter(move |slot| is_other(*slot))
    }

    /// Where the open way `key` is silent, and it is not known who is there, it is who answered in `before`.
    fn know_hops(&mut self, key: &KeyRef<'_>, before: &[Option<NodeId>]) {
        let Some(slot) = self.find(self.hash(key), key) else { return };
        let Some(way) = self.entries[slot as usize].as_mut() else { return };
        let own = known_hops(way);
        if !own.iter().zip(before).any(|(own, before)| own.is_none() && before.is_some()) {
            return;
        }
        let both = own.iter().zip(before).map(|(own, before)| own.as_ref().or(before.as_ref()));
        let both = both.map(Option::<&NodeId>::cloned).collect();
        self.carried.remove(&self.hasher, way);
        way.known_hops = Some(both);
        self.carried.add(&self.hasher, way);
    }

    /// A flow does not go over a link any more since `at`.
    fn leave_link(&mut self, link: &KeyRef<'_>, at: Millis) {
        let hash = self.hash(link);
        if self.carried.has(hash) {
            return;
        }
        let Some(slot) = self.find(hash, link) else { return };
        let Some(entry) = self.entries[slot as usize].as_mut() else { return };
        // By ways alone it would have ended.
        match entry.told_until().filter(|until| *until > at) {
            Some(until) => hold_until(&mut self.due, slot, entry, until),
            None => {
                self.close(slot, Some(at));
            }
        }
    }
}
