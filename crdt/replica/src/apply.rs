//! Exchange with peers: bytes out, bytes in. What comes in is hostile until it is proven harmless.

use automerge::Automerge;
use holm_graph::SiteElement;
use holm_model::{DocId, DocKind, DocVersion, Millis, SiteId};

use crate::document::{Document, Touched};
use crate::open::quietly;
use crate::quarantine::Quarantined;
use crate::replica::Inner;
use crate::{ApplyError, ExportError, Replica};

/// Longest blob that is sent or taken, and longest document that is held, in bytes.
pub const MAX_BLOB_BYTES: usize = 5 * 1024 * 1024;
/// Most operations that a received document may hold.
const MAX_OPS: u64 = 500_000;
/// Most heads that a received document may have.
const MAX_HEADS: usize = 1_024;

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
                self.judge(doc, am, touched)
            })
        };
        match read {
            Ok(Judged::News(next, touched)) => self.take(inner, doc, *next, &touched),
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
    fn judge(&self, doc: DocId, am: Automerge, touched: Touched) -> Result<Judged, String> {
        let missing = automerge::ReadDoc::get_missing_deps(&am, &[]);
        if !missing.is_empty() {
            return Ok(Judged::NeedsMore(missing.into_iter().map(|h| h.0).collect()));
        }
        let document = Document::from_automerge(am, &self.tenant)?;
        if document.name().id(&self.tenant) != doc {
            return Err("its header names another document".into());
        }
        if document.ops() > MAX_OPS {
            return Err(format!("it has more than {MAX_OPS} operations"));
        }
        if document.heads().len() > MAX_HEADS {
            return Err(format!("it has more than {MAX_HEADS} heads"));
        }
        Ok(Judged::News(Box::new(document), touched))
    }

    fn take(
        &self,
        inner: &mut Inner,
        doc: DocId,
        mut next: Document,
        touched: &Touched,
    ) -> Result<Applied, ApplyError> {
        let before = inner.documents.get(&doc);
        let heads_before = before.map(Document::heads).unwrap_or_default();
        if next.heads() == heads_before {
            inner.stats.applied_unchanged += 1;
            inner.quarantine.clear(doc);
            let version = self.version_of(doc, &next);
            let merged =
                Merged { version, news: false, changed: Vec::new(), statements: Vec::new() };
            return Ok(Applied::Merged(merged));
        }
        if let Some(before) = before {
            next.disk = before.disk;
            next.changed_at = next.changed_at.max(before.changed_at);
        }
        let changes = if heads_before.is_empty() { Vec::new() } else { next.since(&heads_before) };
        let roster = next.name().kind() == DocKind::Roster.as_str();
        let known = if roster { before.map(Document::statements) } else { None };
        let site = next.name().topology_site();
        let version = self.version_of(doc, &next);
        inner.persist(doc, next, changes)?;
        inner.stats.applied += 1;
        inner.quarantine.clear(doc);
        let changed = site.map(|site| inner.changed_elements(doc, &site, touched));
        let statements = if roster {
            let known = known.unwrap_or_default();
            let now = inner.documents.get(&doc).map(Document::statements).unwrap_or_default();
            now.into_iter().filter(|s| !known.contains(s)).collect()
        } else {
            Vec::new()
        };
        let changed = changed.unwrap_or_default();
        Ok(Applied::Merged(Merged { version, news: true, changed, statements }))
    }
}

enum Judged {
    News(Box<Document>, Touched),
    NeedsMore(Vec<[u8; 32]>),
}

impl Inner {
    fn changed_elements(
        &mut self,
        doc: DocId,
        site: &SiteId,
        touched: &Touched,
    ) -> Vec<(SiteId, SiteElement)> {
        let ids = match Document::touched_elements(touched) {
            Some(ids) => ids,
            None => {
                let Some(document) = self.documents.get_mut(&doc) else { return Vec::new() };
                let (records, unreadable) = document.records();
                document.unreadable = unreadable;
                records.into_keys().collect()
            }
        };
        ids.iter().map(|id| (site.clone(), self.site_element(site, id))).collect()
    }
}
