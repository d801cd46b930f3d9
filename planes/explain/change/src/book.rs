//! The changes of every site.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::{Millis, NodeId, NodeName, SiteId};

use crate::packed::decode;
use crate::{Change, ChangeId};

/// Most changes that are kept in memory; the oldest go first, at every node alike.
const MAX_CHANGES: usize = 100_000;

/// Whose record it is, and what it is called among those of its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The site that wrote it.
    pub site: SiteId,
    /// The node of the site.
    pub node: NodeName,
    /// Its key.
    pub key: Box<str>,
}

/// Who took a change.
type Taker = (SiteId, NodeName);

/// A change as all who took it say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// As who took it first says.
    pub change: Arc<Change>,
    /// Who took it, in order.
    pub taken_by: Vec<Taker>,
    /// What its words meant to whom.
    pub targets: Vec<(NodeId, SiteId)>,
}

impl Known {
    fn of(taken: &BTreeMap<Taker, Arc<Change>>) -> Option<Self> {
        let (_, first) = taken.iter().min_by_key(|(taker, change)| (change.taken_at, *taker))?;
        let mut targets: Vec<(NodeId, SiteId)> = taken
            .iter()
            .flat_map(|((site, _), c)| c.targets.iter().map(|t| (t.clone(), site.clone())))
            .collect();
        targets.sort_unstable();
        targets.dedup();
        let taken_by = taken.keys().cloned().collect();
        Some(Self { change: Arc::clone(first), taken_by, targets })
    }

    /// Whether it names something that the topology had where it was taken.
    pub fn is_anchored(&self) -> bool {
        !self.targets.is_empty() || self.change.prefix.is_some()
    }
}

/// All records that are known. What is made of them depends on nothing else.
#[derive(Debug, Default)]
pub struct Book {
    taken: HashMap<ChangeId, BTreeMap<Taker, Arc<Change>>>,
    /// In order of time.
    known: BTreeMap<(Millis, ChangeId), Arc<Known>>,
    unreadable: u64,
    let_go: u64,
}

impl Book {
    /// A book without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what stands under a key now: several values if several lives of a node wrote at the same
    /// time. Whether that changed anything. What cannot be read is counted and passed over.
    pub fn take<'a>(
        &mut self,
        key: &RecordKey,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> bool {
        let mut read: Vec<(&[u8], Change)> = Vec::new();
        for value in values {
            match decode(value).filter(|change| *change.id.record_key() == *key.key) {
                Some(change) => read.push((value, change)),
                None => self.unreadable += 1,
            }
        }
        // Of several that stand the first by its bytes: the same at every node.
        let first = read.into_iter().min_by(|a, b| a.0.cmp(b.0));
        let taker = (key.site.clone(), key.node.clone());
        first.is_some_and(|(_, change)| self.take_change(taker, change))
    }

    fn take_change(&mut self, taker: Taker, change: Change) -> bool {
        let id = change.id;
        let taken = self.taken.entry(id).or_default();
        if taken.get(&taker).is_some_and(|known| **known == change) {
            return false;
        }
        let before = Known::of(taken).map(|known| known.change.at);
        taken.insert(taker, Arc::new(change));
        let now = Known::of(taken);
        if let Some(before) = before {
            self.known.remove(&(before, id));
        }
        if let Some(now) = now {
            self.known.insert((now.change.at, id), Arc::new(now));
        }
        while self.known.len() > MAX_CHANGES {
            if let Some(((_, oldest), _)) = self.known.pop_first() {
                self.taken.remove(&oldest);
                self.let_go += 1;
            }
        }
        true
    }

    /// Lets go of what was made before `horizon`; how much that was.
    pub fn forget(&mut self, horizon: Millis) -> usize {
        let before = self.known.len();
        while let Some(((at, id), _)) = self.known.first_key_value() {
            let (at, id) = (*at, *id);
            if at >= horizon {
                break;
            }
            self.known.remove(&(at, id));
            self.taken.remove(&id);
        }
        before - self.known.len()
    }

    /// The change of that id.
    pub fn change(&self, id: ChangeId) -> Option<Arc<Known>> {
        let at = self.taken.get(&id).and_then(Known::of)?.change.at;
        self.known.get(&(at, id)).cloned()
    }

    /// The changes from one moment to another, both included, the oldest first.
    pub fn between(
        &self,
        from: Millis,
        to: Millis,
    ) -> impl DoubleEndedIterator<Item = &Arc<Known>> {
        let ends = (from, ChangeId::LEAST)..=(to.max(from), ChangeId::GREATEST);
        self.known.range(ends).map(|(_, known)| known)
    }

    /// How many changes are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many values could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// How many changes were let go of because there were too many.
    pub fn let_go(&self) -> u64 {
        self.let_go
    }
}
