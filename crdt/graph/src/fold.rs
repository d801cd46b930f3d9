//! From observations to changes: telling again what is known costs a look-up and nothing else.
//!
//! An element that is observed for the first time opens; one that was not seen again for as long as
//! its observation holds closes at the moment it was last seen; anything between is silent. What is
//! contradicted (a flow is seen on another way) ends when it is.

mod entry;
mod ways;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};
use holm_model::{
    AliasObservation, Attribute, Attributes, EdgeObservation, ElementId, MAX_ATTRIBUTES, Millis,
    NodeObservation,
};

use crate::{ElementChange, ElementChangeKind};
use entry::{AttributeVerdict, Entry, FlowRef, KeyRef};
use ways::Carried;

/// Bounds of a fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldLimits {
    /// Most elements open at once. Choose by memory: about 300 bytes an element.
    pub max_elements: usize,
    /// Most changes that wait to be drained. While they are this many nothing opens, closes or
    /// changes, and nothing is lost: the next observation or expiry tries again.
    pub max_pending: usize,
    /// How long the *value* of an attribute stays before it may change again, in milliseconds, so
    /// that two planes that disagree cannot flood the documents. New keys are taken at once.
    pub attribute_hold_ms: u64,
}

impl Default for FoldLimits {
    fn default() -> Self {
        Self { max_elements: 200_000, max_pending: 100_000, attribute_hold_ms: 10_000 }
    }
}

/// What an observation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// Nothing: it was known.
    Unchanged,
    /// The element opened.
    Opened,
    /// Its attributes changed.
    AttributesChanged,
    /// It was refused; a counter says why.
    Refused,
}

/// What the fold did and what it refused, since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FoldCounters {
    /// Observations that changed nothing.
    pub unchanged: u64,
    /// Elements opened.
    pub opened: u64,
    /// Elements closed.
    pub closed: u64,
    /// Attribute changes.
    pub attributes_changed: u64,
    /// Attribute changes put off, because the value changed a moment ago.
    pub attributes_deferred: u64,
    /// New elements refused: `max_elements` are open.
    pub refused_full: u64,
    /// Changes refused for now: `max_pending` wait to be drained.
    pub refused_backlog: u64,
    /// New elements refused: a name is not valid.
    pub refused_bad_name: u64,
    /// Attribute sets refused: too many, too long, an empty key, a key twice, or a value that is not of
    /// its key's type. The element itself counts as seen.
    pub refused_attributes: u64,
    /// Observations older than the latest of their element.
    pub out_of_order: u64,
    /// Elements that were seen in the future and were brought back to the clock.
    pub clock_corrected: u64,
    /// Elements that opened or changed in the future and were written anew, as of the clock.
    pub clock_rewritten: u64,
}

/// An element that was open when the node stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenElement {
    /// The element.
    pub id: ElementId,
    /// Since when it is open.
    pub since: Millis,
    /// Its attributes.
    pub attributes: Attributes,
}

/// As what an element was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Told for itself.
    Itself,
    /// As a link on a way.
    Way,
}

/// Turns observations into changes. One per tenant and node.
#[derive(Debug)]
pub struct Fold {
    limits: FoldLimits,
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    /// The open path of each flow: the last of its ways.
    flows: HashTable<u32>,
    /// How many open ways go over each link.
    carried: Carried,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// `(due, slot, serial)`: at least one for every entry, never later than the entry's own due
    /// time. Observing again only moves the entry's due time; the heap is corrected when it pops.
    due: BinaryHeap<Reverse<(Millis, u32, u32)>>,
    serial: u32,
    clock: Option<Millis>,
    /// Whether something may have opened or changed in what is now the future.
    ahead: bool,
    pending: Vec<ElementChange>,
    counters: FoldCounters,
}

impl Fold {
    /// An empty fold.
    pub fn new(limits: FoldLimits) -> Self {
        Self {
            limits,
            hasher: DefaultHashBuilder::default(),
            table: HashTable::new(),
            flows: HashTable::new(),
            carried: Carried::default(),
            entries: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            serial: 0,
            clock: None,
            ahead: false,
            pending: Vec::new(),
            counters: FoldCounters::default(),
        }
    }

    /// Takes up elements that are open in the documents: after a start, or when a peer returned
    /// them. Those already open here are passed over. One that no plane sees again until `until`
    /// closes at `last_seen` (the latest moment at which it is known to have been held). Of several open
    /// ways of one flow the next observation ends all but the one that is seen.
    pub fn restore(
        &mut self,
        open: impl IntoIterator<Item = OpenElement>,
        last_seen: Millis,
        until: Millis,
    ) {
        for OpenElement { id, since, attributes } in open {
            let key = KeyRef::of(&id);
            let hash = self.hash(&key);
            if self.find(hash, &key).is_some() {
                continue;
            }
            if self.len() >= self.limits.max_elements {
                self.counters.refused_full += 1;
                continue;
            }
            let attributes: Vec<_> = attributes.into_iter().collect();
            self.ahead |= self.clock.is_none_or(|now| since > now);
            // As a link on a way it has none.
            let is_told = !attributes.is_empty();
            let last_seen = last_seen.max(since);
            let mut entry = Entry::new(id, attributes, since, last_seen, until);
            if is_told {
                entry.tell(last_seen, until.since(last_seen));
            }
            self.insert(hash, entry);
        }
    }

    /// Ends elements that are open in the documents and that nobody watched after `at`: the node was away
    /// for longer than it holds anything. What was seen again since then opened anew. All at once: so many
    /// changes as there are elements may wait.
    pub fn end(&mut self, open: impl IntoIterator<Item = OpenElement>, at: Millis) {
        for OpenElement { id, since, .. } in open {
            let key = KeyRef::of(&id);
            let known = self.find(self.hash(&key), &key);
            let known = known.and_then(|slot| self.entries[slot as usize].as_ref());
            let end = at.max(since) + 1;
            // Taken up before, and held since.
            if known.is_some_and(|entry| entry.since <= end) {
                continue;
            }
            let reopened = known.map(|entry| ElementChangeKind::Opened {
                at: entry.since,
                attributes: entry.to_attributes(),
            });
            for change in [ElementChangeKind::Closed { at: end }].into_iter().chain(reopened) {
                self.pending.push(ElementChange { id: id.clone(), change });
            }
            self.counters.closed += 1;
        }
    }

    /// Takes an edge. What is known already costs no allocation.
    pub fn observe_edge(&mut self, o: &EdgeObservation<'_>) -> Folded {
        let key = KeyRef::Edge { from: o.from, kind: o.kind, to: o.to };
        self.observe(&key, o.attributes, o.at, o.hold_ms, Source::Itself)
    }

    /// Takes a node. What is known already costs no allocation.
    pub fn observe_node(&mut self, o: &NodeObservation<'_>) -> Folded {
        self.observe(&KeyRef::Node(o.node), o.attributes, o.at, o.hold_ms, Source::Itself)
    }

    /// Takes an alias. What is known already costs no allocation.
    pub fn observe_alias(&mut self, o: &AliasObservation<'_>) -> Folded {
        let lesser_first = (o.a.kind, o.a.name) <= (o.b.kind, o.b.name);
        let ends = if lesser_first { [o.a, o.b] } else { [o.b, o.a] };
        self.observe(&KeyRef::Alias(ends), o.attributes, o.at, o.hold_ms, Source::Itself)
    }

    /// Closes what was not seen for longer than it is held. Costs time only for what is due.
    ///
    /// When `now` is earlier than at the last call (the clock was set back), elements seen in what
    /// is now the future are brought back to `now`, so that they do not stay open for too long; those
    /// that opened or changed there are written anew, as of `now`, so that they are there now.
    pub fn expire(&mut self, now: Millis) {
        if self.clock.is_some_and(|before| now < before) {
            self.set_back(now);
            self.ahead = true;
        }
        self.clock = Some(now);
        if self.ahead {
            self.ahead = !self.rewrite_future(now);
        }
        while let Some(&Reverse((due, slot, serial))) = self.due.peek()
            && due <= now
        {
            let Some(entry) = self.entries[slot as usize].as_mut().filter(|e| e.serial == serial)
            else {
                self.due.pop();
                continue;
            };
            if entry.bring_back(now) {
                self.counters.clock_corrected += 1;
            }
            if entry.due > now {
                entry.armed = entry.due;
                let rearmed = Reverse((entry.due, slot, serial));
                self.due.pop();
                self.due.push(rearmed);
                continue;
            }
            if self.pending.len() >= self.limits.max_pending {
                self.counters.refused_backlog += 1;
                return;
            }
            self.due.pop();
            self.close(slot, None);
        }
    }

    /// The changes since the last call, in the order in which they happened. The caller keeps them
    /// until they are written down.
    pub fn drain(&mut self) -> Vec<ElementChange> {
        std::mem::take(&mut self.pending)
    }

    /// How many elements are open.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// What was done and refused so far.
    pub fn counters(&self) -> FoldCounters {
        self.counters
    }

    fn observe(
        &mut self,
        told: &KeyRef<'_>,
        attributes: &[Attribute<'_>],
        at: Millis,
        hold_ms: u32,
        source: Source,
    ) -> Folded {
        if let Some(slot) = self.find(self.hash(told), told) {
            return self.see_again(slot, attributes, at, hold_ms, source);
        }
        let Ok(id) = told.to_id() else {
            self.counters.refused_bad_name += 1;
            return Folded::Refused;
        };
        // A name that can be written in several ways is known by one.
        let key = KeyRef::of(&id);
        let hash = self.hash(&key);
        match self.find(hash, &key) {
            Some(slot) => self.see_again(slot, attributes, at, hold_ms, source),
            None => self.open(hash, id, attributes, at, hold_ms, source),
        }
    }

    fn see_again(
        &mut self,
        slot: u32,
        attributes: &[Attribute<'_>],
        at: Millis,
        hold_ms: u32,
        source: Source,
    ) -> Folded {
        let Some(entry) = self.entries[slot as usize].as_mut() else {
            return Folded::Refused;
        };
        if source == Source::Itself {
            entry.tell(at, hold_ms.into());
        }
        if at >= entry.last_seen {
            entry.last_seen = at;
            let until = at + u64::from(hold_ms);
            hold_until(&mut self.due, slot, entry, until);
        } else {
            self.counters.out_of_order += 1;
        }
        if entry.has_all(attributes) {
            self.counters.unchanged += 1;
            return Folded::Unchanged;
        }
        self.change_attributes(slot, attributes, at)
    }

    fn open(
        &mut self,
        hash: u64,
        id: ElementId,
        attributes: &[Attribute<'_>],
        at: Millis,
        hold_ms: u32,
        source: Source,
    ) -> Folded {
        if self.len() >= self.limits.max_elements {
            self.counters.refused_full += 1;
            return Folded::Refused;
        }
        if self.pending.len() >= self.limits.max_pending {
            self.counters.refused_backlog += 1;
            return Folded::Refused;
        }
        let mut owned = Vec::new();
        if entry::are_valid(attributes) {
            owned.extend(attributes.iter().map(|&(k, v)| (k.into(), v.into())));
            owned.sort_unstable();
        } else {
            self.counters.refused_attributes += 1;
        }
        let due = at + u64::from(hold_ms);
        let mut entry = Entry::new(id.clone(), owned, at, at, due);
        if source == Source::Itself {
            entry.tell(at, hold_ms.into());
        }
        let attributes = entry.to_attributes();
        self.insert(hash, entry);
        self.counters.opened += 1;
        self.pending
            .push(ElementChange { id, change: ElementChangeKind::Opened { at, attributes } });
        Folded::Opened
    }

    fn change_attributes(&mut self, slot: u32, attributes: &[Attribute<'_>], at: Millis) -> Folded {
        if !entry::are_valid(attributes) {
            self.counters.refused_attributes += 1;
            return Folded::Refused;
        }
        if self.pending.len() >= self.limits.max_pending {
            self.counters.refused_backlog += 1;
            return Folded::Refused;
        }
        let Some(entry) = self.entries[slot as usize].as_mut() else {
            return Folded::Refused;
        };
        // An observation that comes late says what was, not what is.
        if at < entry.last_seen {
            self.counters.unchanged += 1;
            return Folded::Unchanged;
        }
        match entry.merge(attributes, at, self.limits.attribute_hold_ms) {
            AttributeVerdict::Deferred => {
                self.counters.attributes_deferred += 1;
                Folded::Unchanged
            }
            AttributeVerdict::TooMany => {
                self.counters.refused_attributes += 1;
                Folded::Refused
            }
            AttributeVerdict::Changed => {
                self.counters.attributes_changed += 1;
                let change =
                    ElementChangeKind::AttributesChanged { at, attributes: entry.to_attributes() };
                self.pending.push(ElementChange { id: entry.id.clone(), change });
                Folded::AttributesChanged
            }
        }
    }

    /// Closes an element, which was there until `at` at most: the element, and the first moment at which it
    /// is not there any more.
    fn close(&mut self, slot: u32, at: Option<Millis>) -> Option<(Entry, Millis)> {
        let entry = self.entries[slot as usize].take()?;
        let hash = self.hash(&KeyRef::of(&entry.id));
        if let Ok(found) = self.table.find_entry(hash, |&s| s == slot) {
            found.remove();
        }
        if let ElementId::Path(path) = &entry.id {
            let hash = hash_flow(&self.hasher, &FlowRef::of(path));
            if let Ok(found) = self.flows.find_entry(hash, |&s| s == slot) {
                found.remove();
            }
        }
        self.carried.remove(&self.hasher, &entry);
        self.free.push(slot);
        self.counters.closed += 1;
        let at = entry.end(at);
        let change = ElementChangeKind::Closed { at };
        self.pending.push(ElementChange { id: entry.id.clone(), change });
        Some((entry, at))
    }

    fn insert(&mut self, hash: u64, mut entry: Entry) {
        self.serial = self.serial.wrapping_add(1);
        entry.serial = self.serial;
        // An element seen far in the future is looked at again when its hold ends by our clock.
        let hold_ms = entry.due.since(entry.last_seen);
        entry.armed = self.clock.map_or(entry.due, |now| entry.due.min(now + hold_ms));
        let (armed, serial) = (entry.armed, entry.serial);
        self.carried.add(&self.hasher, &entry);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.due.push(Reverse((armed, slot, serial)));
        let (hasher, entries) = (&self.hasher, &self.entries);
        self.table.insert_unique(hash, slot, |&s| {
            entries[s as usize].as_ref().map_or(0, |e| hash_key(hasher, &KeyRef::of(&e.id)))
        });
        let path_at = |slot: u32| match entries[slot as usize].as_ref().map(|e| &e.id) {
            Some(ElementId::Path(path)) => Some(path),
            _ => None,
        };
        if let Some(path) = path_at(slot) {
            let hash_of = |path| hash_flow(hasher, &FlowRef::of(path));
            self.flows.insert_unique(hash_of(path), slot, |&s| path_at(s).map_or(0, hash_of));
        }
    }

    /// Writes anew what opened or changed after `now`; whether all of it found room.
    fn rewrite_future(&mut self, now: Millis) -> bool {
        for entry in self.entries.iter_mut().flatten() {
            if entry.since <= now && entry.changed_at <= now {
                continue;
            }
            if self.pending.len() + 2 > self.limits.max_pending {
                self.counters.refused_backlog += 1;
                return false;
            }
            let (id, attributes) = (&entry.id, entry.to_attributes());
            let mut tell = |change| self.pending.push(ElementChange { id: id.clone(), change });
            if entry.since > now {
                // What would end before it began was never there.
                tell(ElementChangeKind::Closed { at: entry.since });
                tell(ElementChangeKind::Opened { at: now, attributes });
            } else {
                tell(ElementChangeKind::AttributesChanged { at: now, attributes });
            }
            entry.since = entry.since.min(now);
            entry.changed_at = now;
            entry.forget_hold(now);
            self.counters.clock_rewritten += 1;
        }
        true
    }

    fn set_back(&mut self, now: Millis) {
        self.due.clear();
        for (slot, entry) in self.entries.iter_mut().enumerate() {
            let Some(entry) = entry else { continue };
            if entry.bring_back(now) {
                self.counters.clock_corrected += 1;
            }
            entry.armed = entry.due;
            let slot = u32::try_from(slot).unwrap_or(u32::MAX);
            self.due.push(Reverse((entry.due, slot, entry.serial)));
        }
    }

    fn find(&self, hash: u64, key: &KeyRef<'_>) -> Option<u32> {
        let entries = &self.entries;
        self.table
            .find(hash, |&slot| entries[slot as usize].as_ref().is_some_and(|e| key.names(&e.id)))
            .copied()
    }

    fn hash(&self, key: &KeyRef<'_>) -> u64 {
        hash_key(&self.hasher, key)
    }
}

/// Sets when an element closes unless it is seen again.
fn hold_until(
    due: &mut BinaryHeap<Reverse<(Millis, u32, u32)>>,
    slot: u32,
    entry: &mut Entry,
    until: Millis,
) {
    entry.due = until;
    if until < entry.armed {
        entry.armed = until;
        due.push(Reverse((until, slot, entry.serial)));
    }
}

fn hash_key(hasher: &DefaultHashBuilder, key: &KeyRef<'_>) -> u64 {
    let mut state = hasher.build_hasher();
    key.hash(&mut state);
    state.finish()
}

fn hash_flow(hasher: &DefaultHashBuilder, flow: &FlowRef<'_>) -> u64 {
    let mut state = hasher.build_hasher();
    flow.hash(&mut state);
    state.finish()
}

const _: () = assert!(MAX_ATTRIBUTES <= 64, "attributes are compared one by one");
