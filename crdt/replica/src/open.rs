//! Opening a store: every document that can be read is there afterwards, whatever the disk did.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::Automerge;
use holm_model::{DocId, Millis, TenantId};

use crate::document::{Document, load_own, without_orphans};
use crate::quarantine::{Quarantine, Quarantined};
use crate::store::{Found, panic_text};

/// What was found when a replica opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Documents that are there.
    pub documents: usize,
    /// Whether the store was new.
    pub fresh: bool,
    /// The new name of a file that was damaged and put aside.
    pub set_aside: Option<String>,
    /// Documents of which a part did not open.
    pub damaged: usize,
    /// What happened and what to do, for people; empty if all was well.
    pub messages: Vec<String>,
}

/// Documents from disk, and what was wrong with them.
#[derive(Default)]
pub(crate) struct Opened {
    pub(crate) documents: Vec<(DocId, Document)>,
    pub(crate) quarantine: Quarantine,
    pub(crate) report: OpenReport,
    /// Rows to keep out of the way.
    pub(crate) damaged_rows: Vec<(DocId, u64)>,
}

pub(crate) fn read(found: Found, tenant: &TenantId, file: &str, now: Millis) -> Opened {
    let mut opened = Opened::default();
    let mut damaged: BTreeSet<DocId> = found.damaged.iter().map(|(doc, _)| *doc).collect();
    opened.damaged_rows = found.damaged;
    for (doc, pieces) in found.pieces {
        let last = pieces.last().map_or(0, |(sequence, _)| *sequence);
        let rows = pieces.len();
        let snapshot_bytes = pieces.first().map_or(0, |(_, piece)| piece.len());
        let total: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
        let mut rewrite = found.carved || damaged.contains(&doc);
        let whole: Vec<u8> = pieces.iter().flat_map(|(_, piece)| piece).copied().collect();
        let am = quietly(|| load_own(&whole)).or_else(|_| {
            rewrite = true;
            let (am, refused) = piece_by_piece(&pieces);
            for (sequence, reason) in refused {
                opened.damaged_rows.push((doc, sequence));
                damaged.insert(doc);
                let bytes = pieces.iter().find(|(s, _)| *s == sequence).map(|(_, p)| p.clone());
                opened.quarantine.push(from_disk(doc, reason, bytes.unwrap_or_default(), now));
            }
            quietly(|| without_orphans(&am))
        });
        let document = am.and_then(|am| {
            let document = quietly(|| Document::from_automerge(am, tenant).map_err(Into::into))?;
            let right = document.name().id(tenant) == doc;
            if right { Ok(document) } else { Err("its header names another document".into()) }
        });
        match document {
            Ok(mut document) => {
                document.disk.next_sequence = last + 1;
                document.disk.rows = rows;
                document.disk.snapshot_bytes = snapshot_bytes;
                document.disk.since_bytes = total - snapshot_bytes;
                document.disk.rewrite = rewrite;
                opened.documents.push((doc, document));
            }
            Err(reason) => {
                damaged.insert(doc);
                opened.damaged_rows.extend(pieces.iter().map(|(sequence, _)| (doc, *sequence)));
                opened.quarantine.push(from_disk(doc, reason, whole, now));
            }
        }
    }
    // A row that went bad has a sequence as well: never write under it again.
    for (doc, document) in &mut opened.documents {
        let bad = opened.damaged_rows.iter().filter(|(d, _)| d == doc).map(|(_, s)| s + 1).max();
        document.disk.next_sequence = document.disk.next_sequence.max(bad.unwrap_or(0));
    }
    opened.report.documents = opened.documents.len();
    opened.report.fresh = found.fresh;
    opened.report.damaged = damaged.len();
    if let Some((aside, reason)) = found.set_aside {
        opened.report.messages.push(format!(
            "{file} is damaged ({reason}); it was put aside as {aside} and {} documents were saved \
             from it into a new file. Peers return what is missing; nothing was deleted: keep {aside} \
             until the picture is whole, and check the disk",
            opened.report.documents
        ));
        opened.report.set_aside = Some(aside);
    } else if !damaged.is_empty() {
        opened.report.messages.push(format!(
            "{} documents in {file} are damaged in part; the damaged rows are kept apart and peers \
             return what is missing: check the disk",
            damaged.len()
        ));
    }
    opened
}

/// Takes every piece that applies; those that do not, by sequence and with the reason.
fn piece_by_piece(pieces: &[(u64, Vec<u8>)]) -> (Automerge, Vec<(u64, String)>) {
    let mut am = Automerge::new();
    let mut refused = Vec::new();
    for (sequence, piece) in pieces {
        let taken = quietly(|| {
            let mut next = am.clone();
            Document::absorb(&mut next, piece)?;
            Ok(next)
        });
        match taken {
            Ok(next) => am = next,
            Err(reason) => refused.push((*sequence, reason)),
        }
    }
    (am, refused)
}

fn from_disk(doc: DocId, reason: String, bytes: Vec<u8>, at: Millis) -> Quarantined {
    Quarantined { doc, from: "disk".into(), at, reason, len: bytes.len(), bytes }
}

/// Automerge may panic on bytes that it does not expect: that is an error about those bytes.
pub(crate) fn quietly<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(format!("reading it failed: {}", panic_text(panic.as_ref()))))
}
