//! Bounded history: documents that came to their budget are carried over into a new epoch, without
//! what is no longer remembered.
//!
//! A node carries its own records only. It begins the next epoch of the shard, or of its halves where
//! one document would be too long; where another node of the site has begun a later epoch already, it
//! carries its records over into that one. Each step is one transaction of the store.

use std::collections::{BTreeMap, BTreeSet};

use automerge::ScalarValue;
use holm_graph::SiteElement;
use holm_model::{DocId, DocVersion, ElementId, Millis, SiteId};

use crate::document::{Document, Put, element_key};
use crate::element::ElementRecord;
use crate::open::quietly;
use crate::persist::{Next, Piece};
use crate::place::{Place, Shard, shard_hash};
use crate::records::is_of_the_past;
use crate::replica::Inner;
use crate::{CommitError, DocBudget, DocName, Replica};

/// How often the number of parts is tried until each is short enough.
const MAX_ATTEMPTS: u32 = 4;
/// A new document is at most about this part of its budget.
const FILL: usize = 3;
/// Operations after which a document is never too young for a new epoch.
const AGED_OPS: u64 = 64;
/// What a record costs in a document beside its key and value, about, in bytes.
const RECORD_BYTES: usize = 8;

/// What maintenance did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// The new versions of the documents that changed or began: what to hint to peers.
    pub versions: Vec<DocVersion>,
    /// The elements of which something was forgotten, as their site's record of them is now: what to
    /// apply to the graph.
    pub changed: Vec<(SiteId, SiteElement)>,
}

/// What was changed on the way.
#[derive(Default)]
pub(crate) struct Tended {
    pub(crate) docs: BTreeSet<DocId>,
    pub(crate) elements: BTreeSet<ElementId>,
}

/// A document of a new epoch, and the elements of which something was forgotten on the way.
struct Built {
    next: Next,
    forgotten: Vec<ElementId>,
}

/// Own records of one document that is to be.
struct Carried {
    place: Place,
    document: Document,
    records: Vec<(ElementId, ElementRecord)>,
}

impl Replica {
    /// What must happen from time to time even when nothing is observed: records follow into an
    /// epoch that another node of this site began, documents that are over budget are carried over, and
    /// what departed nodes left behind goes when its retention ends. Costs little when nothing is due;
    /// once a minute is often enough. `now` decides what is still remembered.
    ///
    /// # Errors
    /// [`CommitError`]: nothing was done; call again later. A failure after a part was done is counted
    /// ([`crate::ReplicaStats::rotations_failed`]) and that part returned.
    pub fn maintain(&self, now: Millis) -> Result<Maintained, CommitError> {
        let inner = &mut *self.lock();
        inner.follow_due = true;
        let mut tended = Tended::default();
        let mut changed = BTreeSet::new();
        let outcome = self.tend_all(inner, now, &mut tended).and_then(|()| {
            changed = self.forget(inner, now)?;
            Ok(())
        });
        if let Err(error) = outcome {
            inner.stats.rotations_failed += 1;
            if tended.docs.is_empty() {
                return Err(error);
            }
            tracing::warn!(tenant = %self.tenant, %error, "maintenance was done in part; it is tried again");
        }
        changed.extend(tended.elements.into_iter().map(|id| (self.site.clone(), id)));
        let changed = changed.into_iter().map(|(site, id)| {
            let element = inner.site_element(&site, &id);
            (site, element)
        });
        let changed = changed.collect();
        Ok(Maintained { versions: self.versions_of(inner, &tended.docs), changed })
    }

    fn tend_all(
        &self,
        inner: &mut Inner,
        now: Millis,
        tended: &mut Tended,
    ) -> Result<(), CommitError> {
        let own: Vec<DocId> = inner.of_site(&self.site).map(|(_, doc, _)| doc).collect();
        self.follow(inner, now, tended)?;
        for doc in own {
            self.rotate_if_due(inner, doc, now, tended)?;
        }
        Ok(())
    }

    /// Looks after this site's documents once `written` were written. What fails is tried again: the
    /// commit itself is done.
    pub(crate) fn tend(
        &self,
        inner: &mut Inner,
        written: &[DocId],
        now: Millis,
        tended: &mut Tended,
    ) {
        let mut outcome = self.follow(inner, now, tended);
        for doc in written {
            outcome = outcome.and_then(|()| self.rotate_if_due(inner, *doc, now, tended));
        }
        if let Err(error) = outcome {
            inner.stats.rotations_failed += 1;
            tracing::warn!(tenant = %self.tenant, %error, "a document could not be carried over into a new epoch; it is tried again");
        }
    }

    /// The versions of those that are still held, the latest first.
    pub(crate) fn versions_of(&self, inner: &Inner, docs: &BTreeSet<DocId>) -> Vec<DocVersion> {
        let held = docs.iter().filter_map(|doc| Some((*doc, inner.documents.get(doc)?)));
        let mut held: Vec<(DocId, &Document)> = held.collect();
        held.sort_by_key(|(_, document)| std::cmp::Reverse(document.place().map(|(_, p)| *p)));
        held.into_iter().map(|(doc, document)| self.version_of(doc, document)).collect()
    }

    /// Carries this node's records over into the latest documents of its site that lack them.
    fn follow(
        &self,
        inner: &mut Inner,
        now: Millis,
        tended: &mut Tended,
    ) -> Result<(), CommitError> {
        if !inner.follow_due {
            return Ok(());
        }
        let lacks = |inner: &Inner, place: Place, document: &Document| {
            !document.is_base_of(&self.node)
                && inner
                    .earlier(&self.site, place)
                    .any(|(_, _, earlier)| earlier.writers().contains(&self.node))
        };
        let behind: Vec<Place> = inner
            .of_site(&self.site)
            .filter(|(place, _, document)| lacks(inner, *place, document))
            .map(|(place, _, _)| place)
            .collect();
        // The latest first: what stands there need not stand in those before.
        for place in behind {
            if inner.has_left(&self.site, place, &self.node, &[]) {
                continue;
            }
            let doc = DocName::at(&self.site, place).id(&self.tenant);
            let Some(document) = inner.documents.get(&doc).cloned() else { continue };
            let records = inner.records_before(&self.site, place, &self.node);
            let records = records.into_iter().map(|(id, (_, record))| (id, record)).collect();
            let before = document.heads();
            let carried = Carried { place, document, records };
            let (document, forgotten) = self.carry(inner, carried, now)?;
            let piece = Piece::Changes(document.since(&before));
            self.install(inner, vec![Next { doc, document, piece }], forgotten, tended)?;
            inner.stats.followed += 1;
            self.rotate_if_due(inner, doc, now, tended)?;
        }
        inner.follow_due = false;
        Ok(())
    }

    /// Carries `doc` over into a new epoch if it is over budget and that makes it shorter.
    fn rotate_if_due(
        &self,
        inner: &mut Inner,
        doc: DocId,
        now: Millis,
        tended: &mut Tended,
    ) -> Result<(), CommitError> {
        let Some(document) = inner.documents.get(&doc) else { return Ok(()) };
        let budget = DocBudget::of(doc, document, &inner.limits);
        let own = document.place().filter(|(site, _)| *site == self.site);
        let Some((_, place)) = own.cloned() else { return Ok(()) };
        let mine = document.readable() && document.writers().contains(&self.node);
        let over = budget.over && budget.bytes > document.stuck_at;
        let aged = self.is_aged(inner, document, now);
        if !(over || aged) || !mine || place.epoch >= Place::last_epoch(now) {
            return Ok(());
        }
        let later = inner.later(&self.site, place);
        let later: Vec<Shard> = later.into_iter().map(|(p, _)| p.shard).collect();
        for part in uncovered(place.shard, &later) {
            let at = Place { epoch: place.epoch + 1, shard: part };
            let (next, shorter) = self.next_epoch(inner, &budget, doc, at, now)?;
            if !(shorter || aged) {
                if let Some(document) = inner.documents.get_mut(&doc) {
                    document.stuck_at = budget.bytes + budget.bytes / 8;
                }
                continue;
            }
            let mut forgotten = Vec::new();
            let mut documents = Vec::new();
            for built in next {
                forgotten.extend(built.forgotten);
                documents.push(built.next);
            }
            let next = documents;
            let into = next.len() as u64;
            self.install(inner, next, forgotten, tended)?;
            inner.stats.rotations += 1;
            inner.stats.rotated_into += into;
        }
        Ok(())
    }

    /// Whether much of `document` was written since its epoch began, so long ago that some of it must
    /// be forgotten. When it is due differs between documents, so that not all begin anew at once.
    fn is_aged(&self, inner: &Inner, document: &Document, now: Millis) -> bool {
        let Some(forgot_until) = document.bases().get(&self.node) else { return false };
        let retention = inner.limits.retention_ms;
        let due = retention / 4 + retention / 2048 * u64::from(document.shade());
        let age = inner.horizon(now).since(*forgot_until);
        age >= due && document.grown() > document.carried() / 3 + AGED_OPS
    }

    /// The documents that take the place of `doc` from `at` on, and whether they are shorter.
    fn next_epoch(
        &self,
        inner: &Inner,
        budget: &DocBudget,
        doc: DocId,
        at: Place,
        now: Millis,
    ) -> Result<(Vec<Built>, bool), CommitError> {
        let limits = inner.limits;
        let horizon = inner.horizon(now);
        let records = inner.records_before(&self.site, at, &self.node);
        let mut costs: Vec<(u64, usize)> = Vec::with_capacity(records.len());
        for (id, (_, record)) in &records {
            let mut record = record.clone();
            record.forget_before(horizon);
            if record.intervals.is_empty() {
                continue;
            }
            costs.push((shard_hash(id), cost(id, record.encode().len())));
        }
        // Other nodes of the site will follow with what they have.
        if let Some(document) = inner.documents.get(&doc) {
            let others = document.record_lens().filter(|(node, _, _)| *node != self.node);
            let others = others.map(|(_, id, len)| (shard_hash(&id), cost(&id, len)));
            costs.extend(others.filter(|(hash, _)| at.shard.covers(*hash)));
        }
        // Two clones of one node that rotate at once write everything twice: also that must fit.
        let room = limits.doc_bytes / FILL;
        let most = usize::try_from(limits.doc_ops).unwrap_or(usize::MAX) / FILL;
        let mut stretch = 1.0;
        let mut attempt = 1;
        loop {
            let estimated = (room as f64 / stretch).max(1.0) as usize;
            let mut parts = Vec::new();
            split(at.shard, &costs, estimated, most.max(1), &mut parts);
            let next = self.build(inner, &records, at.epoch, &parts, now)?;
            let longest = next.iter().map(|built| built.next.piece.len()).max().unwrap_or(0);
            if longest > limits.doc_bytes / 2 && attempt < MAX_ATTEMPTS {
                stretch *= (longest as f64 / room.max(1) as f64).max(1.5);
                attempt += 1;
                continue;
            }
            let ops = next.iter().map(|built| built.next.document.ops()).max().unwrap_or(0);
            let shorter = longest < budget.bytes / 4 * 3
                || ops < budget.ops / 4 * 3
                || budget.heads > limits.doc_heads;
            return Ok((next, shorter));
        }
    }

    fn build(
        &self,
        inner: &Inner,
        records: &BTreeMap<ElementId, (Millis, ElementRecord)>,
        epoch: u64,
        parts: &[Shard],
        now: Millis,
    ) -> Result<Vec<Built>, CommitError> {
        let mut of_part: BTreeMap<Shard, Vec<(ElementId, ElementRecord)>> =
            parts.iter().map(|part| (*part, Vec::new())).collect();
        for (id, (_, record)) in records {
            let hash = shard_hash(id);
            if let Some((_, of_part)) = of_part.iter_mut().find(|(part, _)| part.covers(hash)) {
                of_part.push((id.clone(), record.clone()));
            }
        }
        let mut next = Vec::with_capacity(parts.len());
        for (shard, records) in of_part {
            let place = Place { epoch, shard };
            let name = DocName::at(&self.site, place);
            let doc = name.id(&self.tenant);
            let document = Document::new(name);
            let (document, forgotten) =
                self.carry(inner, Carried { place, document, records }, now)?;
            let piece = Piece::Whole(document.whole());
            next.push(Built { next: Next { doc, document, piece }, forgotten });
        }
        Ok(next)
    }

    /// The document with the records in it, and the elements of which something was forgotten.
    fn carry(
        &self,
        inner: &Inner,
        carried: Carried,
        now: Millis,
    ) -> Result<(Document, Vec<ElementId>), CommitError> {
        let Carried { place, mut document, records } = carried;
        let horizon = inner.horizon(now);
        let mut forgotten = Vec::new();
        let mut puts: Vec<Put> = Vec::with_capacity(records.len() + 2);
        for (id, mut record) in records {
            if document.has_record(&self.node, &id) {
                continue;
            }
            let whole = record.clone();
            record.forget_before(horizon);
            let (packed, _) = record.encode_bounded();
            if !record.intervals.is_empty() {
                puts.push((element_key(&self.node, &id), ScalarValue::Bytes(packed)));
            }
            if record != whole {
                forgotten.push(id);
            }
        }
        puts.extend(document.base_puts(&self.node, horizon, puts.len() as u64));
        let doc = DocName::at(&self.site, place).id(&self.tenant);
        let (tenant, node, actor) = (&self.tenant, &self.node, &inner.actor);
        let document = quietly(|| {
            document.write(actor, tenant, node, puts, now)?;
            Ok(document)
        })
        .map_err(|reason| CommitError::Document { doc, reason })?;
        Ok((document, forgotten))
    }

    /// Writes documents of this site, and lets go of those that nobody needs with them.
    fn install(
        &self,
        inner: &mut Inner,
        next: Vec<Next>,
        forgotten: Vec<ElementId>,
        tended: &mut Tended,
    ) -> Result<(), CommitError> {
        let docs: Vec<DocId> = next.iter().map(|next| next.doc).collect();
        let places =
            next.iter().filter_map(|next| Some((next.document.place()?.1, &next.document)));
        let dropped = inner.superseded_by(&self.site, &places.collect::<Vec<_>>());
        inner.persist(next, &dropped)?;
        inner.stats.superseded += dropped.len() as u64;
        tended.docs.extend(docs);
        tended.elements.extend(forgotten);
        Ok(())
    }

    /// Lets go of documents whose retention ended; the elements of which they knew.
    fn forget(
        &self,
        inner: &mut Inner,
        now: Millis,
    ) -> Result<BTreeSet<(SiteId, ElementId)>, CommitError> {
        let mut elements = BTreeSet::new();
        let mut expired = Vec::new();
        for site in inner.places.keys() {
            for (place, doc, document) in inner.of_site(site) {
                let mine = || {
                    *site == self.site
                        && document.writers().contains(&self.node)
                        && !inner.has_left(site, place, &self.node, &[])
                };
                if inner.is_beyond(site, place, document.changed_at, now) && !mine() {
                    expired.push(doc);
                    let known = document.record_lens().map(|(_, id, _)| (site.clone(), id));
                    elements.extend(known);
                }
            }
        }
        let horizon = inner.horizon(now);
        let past = inner.documents.iter();
        let past = past.filter(|(_, document)| is_of_the_past(document, now, horizon));
        expired.extend(past.map(|(doc, _)| *doc));
        if !expired.is_empty() {
            inner.persist(Vec::new(), &expired)?;
            inner.stats.expired += expired.len() as u64;
        }
        Ok(elements)
    }
}

/// The parts of `shard` of which none of `parts` has anything.
fn uncovered(shard: Shard, parts: &[Shard]) -> Vec<Shard> {
    if parts.iter().any(|p| p.contains(shard)) {
        return Vec::new();
    }
    if !parts.iter().any(|p| shard.contains(*p)) {
        return vec![shard];
    }
    let halves = shard.halves().into_iter().flatten();
    halves.flat_map(|half| uncovered(half, parts)).collect()
}

/// Halves `shard` until each part has at most `room` bytes and `most` records.
fn split(shard: Shard, costs: &[(u64, usize)], room: usize, most: usize, parts: &mut Vec<Shard>) {
    let bytes: usize = costs.iter().map(|(_, cost)| cost).sum();
    match shard.halves() {
        // One record is not made shorter by halves.
        Some(halves) if costs.len() > 1 && (bytes > room || costs.len() > most) => {
            for half in halves {
                let within = costs.iter().filter(|(hash, _)| half.covers(*hash));
                split(half, &within.copied().collect::<Vec<_>>(), room, most, parts);
            }
        }
        _ => parts.push(shard),
    }
}

/// What a record costs in a document, about: ids share most of their text.
fn cost(id: &ElementId, packed: usize) -> usize {
    id.to_string().len() / 6 + packed / 2 + RECORD_BYTES
}
