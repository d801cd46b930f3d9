//! What the sites recorded about one element.

use std::borrow::Cow;

use holm_model::{Attributes, ElementId, IntervalSet, Millis, PastValues};

/// An interned site.
pub(crate) type SiteIndex = u32;

/// One site's record of one element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) intervals: IntervalSet,
    pub(crate) attributes: Attributes,
    pub(crate) attributes_at: Millis,
    /// Mostly nothing was ever different: that takes one word.
    pub(crate) past: Option<Box<PastValues>>,
}

impl Record {
    /// The attributes as they were at `at`.
    pub(crate) fn attributes(&self, at: Millis) -> Cow<'_, Attributes> {
        match &self.past {
            Some(past) if !past.is_current(at) => Cow::Owned(past.at(at, &self.attributes)),
            _ => Cow::Borrowed(&self.attributes),
        }
    }

    /// When what an attribute was at `at` was written: with the value before it, or else when the record began.
    pub(crate) fn written(&self, key: &str, at: Millis) -> Millis {
        let Some(past) = &self.past else { return self.attributes_at };
        let began = || self.intervals.as_slice().first().map_or(self.attributes_at, |i| i.from);
        past.key_written_by(key, at).unwrap_or_else(|| began().min(self.attributes_at))
    }

    /// From when on every attribute is known, if at `at` some are not any more.
    pub(crate) fn known_again(&self, at: Millis) -> Option<Millis> {
        self.past.as_ref().and_then(|past| past.known_again(at))
    }

    /// Whether attributes were written after `from`, up to `to`.
    pub(crate) fn was_written(&self, from: Millis, to: Millis) -> bool {
        let within = |at: Millis| from < at && at <= to;
        let Some(past) = &self.past else { return false };
        within(self.attributes_at) || past.written_by(to).is_some_and(within)
    }
}

/// The records of one element, few: in order of the interned site.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records(Vec<(SiteIndex, Record)>);

impl Records {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SiteIndex, &Record)> {
        self.0.iter().map(|(site, record)| (*site, record))
    }

    pub(crate) fn get(&self, site: SiteIndex) -> Option<&Record> {
        let i = self.0.binary_search_by_key(&site, |(s, _)| *s).ok()?;
        Some(&self.0[i].1)
    }

    pub(crate) fn set(&mut self, site: SiteIndex, record: Option<Record>) {
        match (self.0.binary_search_by_key(&site, |(s, _)| *s), record) {
            (Ok(i), Some(record)) => self.0[i].1 = record,
            (Ok(i), None) => {
                self.0.remove(i);
            }
            (Err(i), Some(record)) => {
                // Mostly it stays with one site: no room for more in advance.
                self.0.reserve_exact(1);
                self.0.insert(i, (site, record));
            }
            (Err(_), None) => {}
        }
    }
}

/// A digest of a set of records that does not depend on the order in which they came: the sum of
/// their hashes. Good for "do we show the same", not against someone who chooses the records; the
/// replica's digest over document heads is the one that proves equality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SetDigest {
    lanes: [u64; 4],
    count: u64,
}

impl SetDigest {
    pub(crate) fn add(&mut self, hash: [u64; 4]) {
        for (lane, h) in self.lanes.iter_mut().zip(hash) {
            *lane = lane.wrapping_add(h);
        }
        self.count = self.count.wrapping_add(1);
    }

    pub(crate) fn remove(&mut self, hash: [u64; 4]) {
        for (lane, h) in self.lanes.iter_mut().zip(hash) {
            *lane = lane.wrapping_sub(h);
        }
        self.count = self.count.wrapping_sub(1);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("holm graph digest v1");
        hasher.update(&self.count.to_le_bytes());
        for lane in self.lanes {
            hasher.update(&lane.to_le_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// The hash of one record, every part preceded by its length.
pub(crate) fn hash_record(site: &str, id: &ElementId, record: &Record) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new_derive_key("holm graph record v1");
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(site.as_bytes());
    part(id.to_string().as_bytes());
    for interval in record.intervals.as_slice() {
        part(&interval.from.0.to_le_bytes());
        part(interval.to.map(|to| to.0.to_le_bytes()).as_ref().map_or(&[], |to| &to[..]));
    }
    part(&record.attributes_at.0.to_le_bytes());
    for (key, value) in &record.attributes {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    if let Some(past) = &record.past {
        part(&past.known_from().0.to_le_bytes());
        for value in past.as_slice() {
            part(&value.until.0.to_le_bytes());
            part(value.key.as_bytes());
            part(&[u8::from(value.value.is_some())]);
            part(value.value.as_deref().unwrap_or_default().as_bytes());
        }
    }
    let hash = hasher.finalize();
    let mut lanes = [0; 4];
    for (lane, bytes) in lanes.iter_mut().zip(hash.as_bytes().as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    lanes
}
