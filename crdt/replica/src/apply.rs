//! Exchange with peers: bytes out, bytes in. What comes in is hostile until it is proven harmless.

use std::collections::BTreeSet;

use automerge::{Automerge, ScalarValue};
use holm_graph::SiteElement;
use holm_model::{DocId, DocVersion, ElementId, Millis, NodeName, SiteId};

use crate::document::{Document, Touched, element_key};
use crate::element::ElementRecord;
use crate::epochs::joined;
use crate::open::quietly;
use crate::persist::{Next, Piece};
use crate::place::{Place, shard_hash};
use crate::quarantine::Quarantined;
use crate::records::{Record, is_of_the_past};
use crate::replica::Inner;
use crate::{ApplyError, DocName, ExportError, Replica};

/// Longest blob that is sent or taken, and longest document that is held, in bytes.
pub const MAX_BLOB_BYTES: usize = 5 * 1024 * 1024;
/// Most operations that a received document may hold.
const MAX_OPS: u64 = 500_000;
/// Most heads that a received document may have.
const MAX_HEADS: usize = 1_024;
/// Most nodes that a received document may name: those of one site within a retention.
const MAX_WRITERS: usize = 256;

/// Bytes of a document for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocBlob {
    /// The version that the peer has once it applied them (if it has nothing newer).
    pub version: DocVersion,
    /// Whether they are the whole document, or only changes since the heads that the peer named.
    pub whole: bool,
    /// Automerge chunks; empty if the peer has everything.
    pub bytes: Vec<u8>,
}

/// What applying came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The bytes are part of the document now, on disk.
    Merged(Merged),
    /// The bytes stand on changes that are not here. Nothing was changed: ask for the document again
    /// with the heads that are here ([`Replica::heads`]), or whole (with none).
    NeedsMore {
        /// The document.
        doc: DocId,
        /// The changes that are missing.
        missing: Vec<[u8; 32]>,
    },
}

/// What merging changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The document's version now.
    pub version: DocVersion,
    /// Whether the bytes held anything new: if not, there is nothing to tell anyone.
    pub news: bool,
    /// The elements that changed, as their site's record of them is now: apply them to the graph.
    /// If this node's own site is among them, a peer returned its document: restore the fold.
    pub changed: Vec<(SiteId, SiteElement)>,
    /// The roster's statements that are new here.
    pub statements: Vec<Vec<u8>>,
    /// The records of another kind that changed, as they are now.
    pub records: Vec<Record>,
}

impl Replica {
    /// The bytes of `doc` for a peer that has `have`: the changes since, if all of `have` is known
    /// here and they are shorter than the whole document, else the whole.
    ///
    /// # Errors
    /// [`ExportError`]: not here, or longer than a peer takes.
    pub fn export(&self, doc: DocId, have: &[[u8; 32]]) -> Result<DocBlob, ExportError> {
        let inner = self.lock();
        let document = inner.documents.get(&doc).ok_or(ExportError::Unknown { doc })?;
        let version = self.version_of(doc, document);
        let since = (!have.is_empty() && document.knows(have)).then(|| document.since(have));
        let disk = document.disk;
        let blob = match since {
            Some(bytes) if bytes.len() <= disk.snapshot_bytes.saturating_add(disk.since_bytes) => {
                DocBlob { version, whole: false, bytes }
            }
            _ => DocBlob { version, whole: true, bytes: document.whole() },
        };
        let (len, max) = (blob.bytes.len(), MAX_BLOB_BYTES);
        if len > max { Err(ExportError::TooLong { doc, len, max }) } else { Ok(blob) }
    }

    /// Takes in `bytes` that a peer sent as (part of) `doc`. They are looked over, applied to a copy,
    /// and checked: the header must name this tenant and a document with this id. Only then the copy
    /// is written to disk and takes the place of what was there. Applying twice does no harm.
    ///
    /// # Errors
    /// [`ApplyError`]; state is as before. Bytes that are wrong lie in quarantine with the reason.
    pub fn apply(
        &self,
        doc: DocId,
        bytes: &[u8],
        from: &str,
        now: Millis,
    ) -> Result<Applied, ApplyError> {
        let inner = &mut *self.lock();
        if bytes.is_empty() && !inner.documents.contains_key(&doc) {
            inner.stats.needs_more += 1;
            return Ok(Applied::NeedsMore { doc, missing: Vec::new() });
        }
        let read = if bytes.len() > MAX_BLOB_BYTES {
            Err(format!("it has {} bytes, more than {MAX_BLOB_BYTES}", bytes.len()))
        } else {
            let before = inner.documents.get(&doc).map(Document::automerge);
            quietly(|| {
                let mut am = before.map_or_else(Automerge::new, Clone::clone);
                let touched = Document::absorb(&mut am, bytes)?;
                self.judge(doc, am, touched, now)
            })
        };
        match read {
            Ok(Judged::News(next, touched)) => {
                // One chunk that is a whole document: it is kept as it came.
                let whole = matches!(touched, Touched::Whole).then_some(bytes);
                self.take(inner, doc, *next, &touched, (bytes.len(), whole), now)
            }
            Ok(Judged::NeedsMore(missing)) => {
                inner.stats.needs_more += 1;
                Ok(Applied::NeedsMore { doc, missing })
            }
            Err(reason) => {
                let reason: String = reason.chars().take(300).collect();
                let from: String = from.chars().take(200).collect();
                inner.stats.quarantined += 1;
                inner.quarantine.push(Quarantined {
                    doc,
                    from: from.clone(),
                    at: now,
                    reason: reason.clone(),
                    len: bytes.len(),
                    bytes: bytes.to_vec(),
                });
                Err(ApplyError::Quarantined { doc, from, reason })
            }
        }
    }

    /// Whether what the bytes made is a document that may stand under this id.
    fn judge(
        &self,
        doc: DocId,
        am: Automerge,
        touched: Touched,
        now: Millis,
    ) -> Result<Judged, String> {
        let missing = automerge::ReadDoc::get_missing_deps(&am, &[]);
        if !missing.is_empty() {
            return Ok(Judged::NeedsMore(missing.into_iter().map(|h| h.0).collect()));
        }
        let document = Document::from_automerge(am, &self.tenant)?;
        if document.name().id(&self.tenant) != doc {
            return Err("its header names another document".into());
        }
        if document.place().is_some_and(|(_, place)| place.epoch > Place::last_epoch(now)) {
            return Err("its epoch is beyond any honest document's".into());
        }
        let place = document.name().records_place();
        if place.is_some_and(|(shelf, _, period, _)| period > shelf.period_of(now) + 1) {
            return Err("its period has not come yet".into());
        }
        if document.ops() > MAX_OPS {
            return Err(format!("it has more than {MAX_OPS} operations"));
        }
        if document.heads().len() > MAX_HEADS {
            return Err(format!("it has more than {MAX_HEADS} heads"));
        }
        if document.writers().len() > MAX_WRITERS {
            return Err(format!("it names more than {MAX_WRITERS} nodes"));
        }
        Ok(Judged::News(Box::new(document), touched))
    }

    fn take(
        &self,
        inner: &mut Inner,
        doc: DocId,
        mut next: Document,
        touched: &Touched,
        (sent, whole): (usize, Option<&[u8]>),
        now: Millis,
    ) -> Result<Applied, ApplyError> {
        let before = inner.documents.get(&doc);
        let heads_before = before.map(Document::heads).unwrap_or_default();
        let stale = before.is_none() && inner.is_stale(&next, now);
        if stale || next.heads() == heads_before {
            inner.stats.applied_unchanged += 1;
            inner.stats.stale_refused += u64::from(stale);
            inner.quarantine.clear(doc);
            let version = self.version_of(doc, &next);
            let merged = Merged {
                version,
                news: false,
                changed: Vec::new(),
                statements: Vec::new(),
                records: Vec::new(),
            };
            return Ok(Applied::Merged(merged));
        }
        let new_bases: Vec<NodeName> = {
            let known = before.map(Document::bases);
            let new = next.bases().keys().filter(|n| known.is_none_or(|k| !k.contains_key(*n)));
            new.cloned().collect()
        };
        if let Some(before) = before {
            next.disk = before.disk;
            next.changed_at = next.changed_at.max(before.changed_at);
        }
        let known = before.map(Document::statements).unwrap_or_default();
        let place = next.place().cloned();
        let mut changed = Changed::default();
        let mut dropped = Vec::new();
        let heads_sent = next.heads();
        if let Some((site, place)) = &place {
            if *site == self.site {
                inner.follow_due = true;
                if new_bases.contains(&self.node) && next.readable() {
                    next = self.adopt(inner, *place, next, now)?;
                }
            }
            let touched = Document::touched_elements(touched).filter(|_| new_bases.is_empty());
            changed = match touched {
                Some(ids) => Changed { ids, elements: Vec::new() },
                None => inner.all_changed(site, *place, &mut next, before),
            };
            dropped = inner.superseded_by(site, &[(*place, &next)]);
        }
        // What takes the place of others may always come: so a site that is full lives on.
        if dropped.is_empty()
            && let Some(reason) = inner.is_full(doc, place.as_ref().map(|(site, _)| site), sent)
        {
            inner.stats.refused_full += 1;
            return Err(ApplyError::Full { doc, reason });
        }
        let version = self.version_of(doc, &next);
        let piece = if heads_before.is_empty() && whole.is_some() && next.heads() == heads_sent {
            Piece::Whole(whole.unwrap_or_default().to_vec())
        } else {
            Piece::Changes(next.since(&heads_before))
        };
        inner.persist(vec![Next { doc, document: next, piece }], &dropped)?;
        inner.stats.applied += 1;
        inner.stats.superseded += dropped.len() as u64;
        inner.quarantine.clear(doc);
        let changed = place.into_iter().flat_map(|(site, _)| {
            let Changed { ids, elements } = std::mem::take(&mut changed);
            let again = ids.iter().map(|id| inner.site_element(&site, id));
            elements.into_iter().chain(again).map(|e| (site.clone(), e)).collect::<Vec<_>>()
        });
        let changed = changed.collect();
        let now = inner.documents.get(&doc).map(Document::statements).unwrap_or_default();
        let statements = now.into_iter().filter(|s| !known.contains(s)).collect();
        let records = inner.records_of(doc, Document::touched_keys(touched));
        Ok(Applied::Merged(Merged { version, news: true, changed, statements, records }))
    }

    /// `next`, into which this node carried its records in another life (its disk was lost or an old
    /// image restored), with what it has written in this one.
    fn adopt(
        &self,
        inner: &Inner,
        place: Place,
        mut next: Document,
        now: Millis,
    ) -> Result<Document, ApplyError> {
        // Not later than what is remembered anywhere: else a forged one would make this node forget.
        let horizon = next.bases().get(&self.node).copied().unwrap_or_default();
        let horizon = horizon.min(inner.horizon(now));
        let mut puts = Vec::new();
        for (id, (changed_at, mine)) in inner.records_before(&self.site, place, &self.node) {
            let there = next.record(&self.node, &id);
            // Older than all that is remembered there: forgotten, not unknown.
            if there.is_none() && changed_at < horizon {
                continue;
            }
            let said = there.iter().cloned().chain([mine]).collect();
            let Some(mut both) = ElementRecord::settle(said) else { continue };
            if there.as_ref() != Some(&both) {
                let (packed, _) = both.encode_bounded();
                puts.push((element_key(&self.node, &id), ScalarValue::Bytes(packed)));
            }
        }
        if puts.is_empty() {
            return Ok(next);
        }
        let (tenant, node, actor) = (&self.tenant, &self.node, &inner.actor);
        let written = quietly(|| {
            next.write(actor, tenant, node, puts, now)?;
            Ok(next)
        });
        written.map_err(|reason| {
            let doc = DocName::at(&self.site, place).id(&self.tenant);
            ApplyError::Quarantined { doc, from: self.node.to_string(), reason }
        })
    }
}

/// The elements that a document changes.
#[derive(Default)]
struct Changed {
    /// Those to be looked at once it is held.
    ids: BTreeSet<ElementId>,
    /// Those of which it says everything.
    elements: Vec<SiteElement>,
}

enum Judged {
    News(Box<Document>, Touched),
    NeedsMore(Vec<[u8; 32]>),
}

impl Inner {
    /// What the whole of `next` changes, with what it hides of earlier documents.
    fn all_changed(
        &self,
        site: &SiteId,
        place: Place,
        next: &mut Document,
        before: Option<&Document>,
    ) -> Changed {
        let (records, unreadable) = next.records();
        next.unreadable = unreadable;
        let alone = before.is_none()
            && self.later(site, place).is_empty()
            && self.earlier(site, place).next().is_none();
        if alone && next.readable() {
            let said = records.into_iter().filter_map(|(id, records)| {
                let records = records.into_iter().map(|(_, record)| record);
                Some(records.reduce(joined)?.into_element(id))
            });
            return Changed { ids: BTreeSet::new(), elements: said.collect() };
        }
        let mut ids: BTreeSet<ElementId> = records.into_keys().collect();
        ids.extend(before.into_iter().flat_map(Document::record_lens).map(|(_, id, _)| id));
        for (_, _, earlier) in self.earlier(site, place) {
            let hidden = earlier.record_lens().map(|(_, id, _)| id);
            ids.extend(hidden.filter(|id| place.shard.covers(shard_hash(id))));
        }
        Changed { ids, elements: Vec::new() }
    }

    /// Why `bytes` more of `doc` have no room, if so.
    fn is_full(&self, doc: DocId, site: Option<&SiteId>, bytes: usize) -> Option<String> {
        let limits = &self.limits;
        let new = usize::from(!self.documents.contains_key(&doc));
        let weigh = |documents: &mut dyn Iterator<Item = &Document>| {
            documents.fold((new, bytes), |(n, sum), d| (n + 1, sum.saturating_add(d.disk.bytes())))
        };
        let over = |what: &str, (n, sum), most: usize, most_bytes: usize| {
            ((new > 0 && n > most) || sum > most_bytes).then(|| {
                format!(
                    "{what} would have {n} documents of {sum} bytes, the most are {most} of {most_bytes}"
                )
            })
        };
        let all = weigh(&mut self.documents.values());
        over("the tenant", all, limits.all_docs, limits.all_bytes).or_else(|| {
            let of_site = self.places.get(site?).into_iter().flatten();
            let of_site = weigh(&mut of_site.filter_map(|(_, doc)| self.documents.get(doc)));
            over("its site", of_site, limits.site_docs, limits.site_bytes)
        })
    }

    /// Whether `document` says nothing that counts any longer: later ones hold all that is remembered
    /// of it, or its retention ended.
    fn is_stale(&self, document: &Document, now: Millis) -> bool {
        if is_of_the_past(document, now, self.horizon(now)) {
            return true;
        }
        let Some((site, place)) = document.place() else { return false };
        document.readable()
            && (self.is_superseded(site, *place, document.writers(), &[])
                || self.is_beyond(site, *place, document.changed_at, now))
    }
}
