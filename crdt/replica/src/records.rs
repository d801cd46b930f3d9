//! Records of other kinds than elements: what a node wrote under keys of its own, by shelf, site and period.
//!
//! A document holds what was first written in one period; it goes when all of that is older than its shelf
//! keeps, everywhere alike. What still matters then is carried into the current period
//! ([`Replica::carry_records`]). A record stands under the key of the node that wrote it; what its value
//! means, and how several are joined that two lives of the node wrote at once, is its reader's to know.

use std::collections::{BTreeMap, BTreeSet};

use automerge::ScalarValue;
use holm_model::{DocId, Millis, NodeName, SiteId};

use crate::document::{Document, Put, record_key};
use crate::element::MAX_RECORD_BYTES;
use crate::replica::Inner;
use crate::{CommitError, Committed, DocName, Replica, Shelf};

/// Longest key of a record, in bytes.
pub const MAX_KEY_BYTES: usize = 128;
/// A part is followed by the next one at this share of a document's budget: records that it has grow.
const FILL: usize = 2;
/// What a record costs in a document beside its key and value, about, in bytes.
const RECORD_BYTES: usize = 8;

/// A record that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Its key among those of this node.
    pub key: Box<str>,
    /// Its value.
    pub value: Vec<u8>,
}

/// A record as it stands in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it lies.
    pub shelf: Shelf,
    /// The site that wrote it.
    pub site: SiteId,
    /// The node of the site.
    pub node: NodeName,
    /// Its key among those of the node.
    pub key: Box<str>,
    /// All values that stand: several if several lives of the node wrote at the same time.
    pub values: Vec<Vec<u8>>,
}

impl Replica {
    /// Writes records about incidents, as [`Replica::put_records_on`].
    ///
    /// # Errors
    /// As there.
    pub fn put_records(&self, new: &[NewRecord], now: Millis) -> Result<Committed, CommitError> {
        self.put_records_on(Shelf::Incidents, new, now)
    }

    /// Writes records of this node, each in the place of what stood under its key. All or none; on disk,
    /// synced, when this returns.
    ///
    /// # Errors
    /// [`CommitError`]; state is as before. Writing the same again does no harm.
    pub fn put_records_on(
        &self,
        shelf: Shelf,
        new: &[NewRecord],
        now: Millis,
    ) -> Result<Committed, CommitError> {
        let inner = &mut *self.lock();
        let mut puts: BTreeMap<DocName, (Vec<Put>, usize)> = BTreeMap::new();
        let horizon = inner.horizon(now);
        for NewRecord { key, value } in new {
            if key.len() > MAX_KEY_BYTES || value.len() > MAX_RECORD_BYTES {
                let (key_len, len) = (key.len(), value.len());
                let key = key.chars().take(MAX_KEY_BYTES).collect();
                return Err(CommitError::RecordTooLong { key, key_len, len });
            }
            let own = inner.shelved(shelf, &self.site).into_iter();
            let mut young = own.filter(|(period, _, _)| shelf.is_young(*period, now, horizon));
            let held = young.find(|(_, _, document)| document.has_keyed(&self.node, key));
            if let Some((_, _, document)) = held
                && document.values(&self.node, key) == [&**value]
            {
                continue;
            }
            let cost = (key.len() + value.len()) / 2 + RECORD_BYTES;
            let name = match held {
                Some((_, _, document)) => document.name().clone(),
                None => self.part_with_room(inner, (shelf, shelf.period_of(now)), cost, &puts),
            };
            let (puts, bytes) = puts.entry(name).or_default();
            puts.push((record_key(&self.node, key), ScalarValue::Bytes(value.clone())));
            *bytes += cost;
        }
        let puts = puts.into_iter().map(|(name, (puts, _))| (name, puts)).collect();
        let written: BTreeSet<DocId> = self.write(inner, puts, now)?.into_iter().collect();
        Ok(Committed { versions: self.versions_of(inner, &written), changed: Vec::new() })
    }

    /// Writes those records about incidents of this node again that would go within a week, if they are
    /// among `wanted`, as [`Replica::carry_records_on`].
    ///
    /// # Errors
    /// As [`Replica::put_records`].
    pub fn carry_records(
        &self,
        wanted: impl Fn(&str) -> bool,
        now: Millis,
    ) -> Result<Committed, CommitError> {
        self.carry_records_on(Shelf::Incidents, wanted, now)
    }

    /// Writes those records of this node again that would go within a period of their shelf, if they are
    /// among `wanted`.
    ///
    /// # Errors
    /// As [`Replica::put_records_on`].
    pub fn carry_records_on(
        &self,
        shelf: Shelf,
        wanted: impl Fn(&str) -> bool,
        now: Millis,
    ) -> Result<Committed, CommitError> {
        let carried: Vec<NewRecord> = {
            let inner = self.lock();
            let horizon = inner.horizon(now);
            let (old, young): (Vec<_>, Vec<_>) = inner
                .shelved(shelf, &self.site)
                .into_iter()
                .partition(|(week, _, _)| !shelf.is_young(*week, now, horizon));
            let records = old.iter().flat_map(|(_, _, document)| document.keyed(None));
            let own = records.filter(|keyed| keyed.node == self.node && wanted(&keyed.key));
            let lost = own.filter(|keyed| {
                !young.iter().any(|(_, _, document)| document.has_keyed(&self.node, &keyed.key))
            });
            lost.filter_map(|keyed| {
                let value = keyed.values.into_iter().next_back()?;
                Some(NewRecord { key: keyed.key, value })
            })
            .collect()
        };
        self.put_records_on(shelf, &carried, now)
    }

    /// All records about incidents of all sites, as [`Replica::records_on`].
    pub fn records(&self) -> Vec<Record> {
        self.records_on(Shelf::Incidents)
    }

    /// All records of a shelf, of all sites; one that stands in several documents with the values of all.
    pub fn records_on(&self, shelf: Shelf) -> Vec<Record> {
        let inner = self.lock();
        let mut all: BTreeMap<(SiteId, NodeName, Box<str>), Vec<Vec<u8>>> = BTreeMap::new();
        let of_kind = |document: &&Document| document.name().kind() == shelf.kind().as_str();
        for document in inner.documents.values().filter(of_kind) {
            for Record { shelf: of, site, node, key, values } in records_of(document, None) {
                if of != shelf {
                    continue;
                }
                let known = all.entry((site, node, key)).or_default();
                known.extend(values);
                known.sort_unstable();
                known.dedup();
            }
        }
        let record = |((site, node, key), values)| Record { shelf, site, node, key, values };
        all.into_iter().map(record).collect()
    }

    /// The latest part of a period, or the next one if that is full.
    fn part_with_room(
        &self,
        inner: &Inner,
        (shelf, period): (Shelf, u64),
        cost: usize,
        puts: &BTreeMap<DocName, (Vec<Put>, usize)>,
    ) -> DocName {
        let held = inner.shelved(shelf, &self.site).into_iter();
        let held = held.filter(|(of, _, _)| *of == period);
        let mut part = held.map(|(_, part, _)| part).max().unwrap_or(0);
        let begun = puts.keys().filter_map(DocName::records_place);
        let begun = begun.filter(|(_, _, of, _)| *of == period).map(|(.., part)| part).max();
        part = part.max(begun.unwrap_or(0));
        let name = DocName::records(shelf, &self.site, period, part);
        let held = inner.documents.get(&name.id(&self.tenant));
        let (bytes, ops) = held.map_or((0, 0), |d| (d.disk.bytes(), d.ops()));
        let (more, coming) = puts.get(&name).map_or((0, 0), |(puts, bytes)| (puts.len(), *bytes));
        let full = bytes + coming + cost > inner.limits.doc_bytes / FILL
            || ops + more as u64 >= inner.limits.doc_ops / FILL as u64;
        match full && bytes + coming > 0 {
            true => DocName::records(shelf, &self.site, period, part.saturating_add(1)),
            false => name,
        }
    }
}

impl Inner {
    /// The records of a document, or those that were touched, each with what stands under its key in any
    /// document of the site: a record that was carried stands in two.
    pub(crate) fn records_of(&self, doc: DocId, touched: Option<&BTreeSet<String>>) -> Vec<Record> {
        let Some(document) = self.documents.get(&doc) else { return Vec::new() };
        let mut records = records_of(document, touched);
        let first = records.first().map(|record| (record.shelf, record.site.clone()));
        let Some((shelf, site)) = first else { return records };
        let all = self.shelved(shelf, &site);
        let others = all.iter().filter(|(_, _, other)| other.name() != document.name());
        for (_, _, other) in others {
            for record in &mut records {
                let values = other.values(&record.node, &record.key);
                if other.writers().contains(&record.node) && !values.is_empty() {
                    record.values.extend(values);
                    record.values.sort_unstable();
                    record.values.dedup();
                }
            }
        }
        records
    }

    /// The documents of a shelf and site that are understood, with period and part, the latest first.
    fn shelved(&self, shelf: Shelf, site: &SiteId) -> Vec<(u64, u32, &Document)> {
        let kind = shelf.kind().as_str();
        let of_site = self.documents.values();
        let of_site =
            of_site.filter(|document| document.readable() && document.name().kind() == kind);
        let mut of_site: Vec<(u64, u32, &Document)> = of_site
            .filter_map(|document| {
                let (on, of, period, part) = document.name().records_place()?;
                (on == shelf && of == *site).then_some((period, part, document))
            })
            .collect();
        of_site.sort_by_key(|(period, part, _)| std::cmp::Reverse((*period, *part)));
        of_site
    }
}

/// Whether all that a document of records is of is older than what its shelf keeps.
pub(crate) fn is_of_the_past(document: &Document, now: Millis, horizon: Millis) -> bool {
    let place = document.name().records_place();
    place.is_some_and(|(shelf, _, period, _)| shelf.is_past(period, now, horizon))
}

/// The records of a document, or those that were touched.
fn records_of(document: &Document, touched: Option<&BTreeSet<String>>) -> Vec<Record> {
    let Some((shelf, site, ..)) = document.name().records_place() else { return Vec::new() };
    let keyed = document.keyed(touched).into_iter();
    keyed
        .map(|keyed| Record {
            shelf,
            site: site.clone(),
            node: keyed.node,
            key: keyed.key,
            values: keyed.values,
        })
        .collect()
}
