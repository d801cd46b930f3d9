//! From memory to disk: documents change there first, several at once or none.

use std::collections::BTreeSet;

use holm_model::{DocId, Millis, SiteId};

use crate::StoreError;
use crate::document::Document;
use crate::replica::Inner;
use crate::store::Write;

/// Rows that a document may have before it is written whole.
const MAX_ROWS: usize = 64;
/// Bytes of changes after a snapshot that are always allowed before it is written anew; beyond them a
/// quarter of the snapshot is. Changes load several times slower than a snapshot.
const MIN_SINCE_BYTES: usize = 32 * 1024;

/// What a document is to become.
pub(crate) struct Next {
    pub(crate) doc: DocId,
    pub(crate) document: Document,
    pub(crate) piece: Piece,
}

/// Bytes of a document that is to be written.
pub(crate) enum Piece {
    /// The changes that it has and the state before has not.
    Changes(Vec<u8>),
    /// All of it.
    Whole(Vec<u8>),
}

impl Piece {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Changes(bytes) | Self::Whole(bytes) => bytes.len(),
        }
    }
}

impl Inner {
    /// Makes each of `next` the state of its document, and lets go of `dropped`: on disk first, in
    /// one transaction, then in memory.
    pub(crate) fn persist(&mut self, next: Vec<Next>, dropped: &[DocId]) -> Result<(), StoreError> {
        let mut writes = Vec::with_capacity(next.len());
        let mut documents = Vec::with_capacity(next.len());
        for Next { doc, document, piece } in next {
            let write = write_of(doc, &document, piece);
            documents.push((document, write.whole, write.piece.len()));
            writes.push(write);
        }
        let mut gone: BTreeSet<DocId> = dropped.iter().copied().collect();
        let is_written = |doc: &DocId| writes.iter().any(|write| write.doc == *doc);
        gone.extend(self.ghosts.iter().filter(|doc| !is_written(doc)));
        let gone: Vec<DocId> = gone.into_iter().collect();
        match self.store.write(&writes, &gone) {
            Ok(bytes) => self.stats.bytes_written += bytes,
            Err(error) => {
                self.stats.write_failures += 1;
                // The write may have reached the disk all the same: build on neither it nor its actor.
                self.new_incarnation();
                for doc in writes.iter().map(|write| write.doc).chain(gone) {
                    match self.documents.get_mut(&doc) {
                        Some(document) => document.disk.rewrite = true,
                        None => {
                            self.ghosts.insert(doc);
                        }
                    }
                }
                return Err(error);
            }
        }
        self.ghosts.clear();
        for (Write { doc, .. }, (mut document, whole, len)) in writes.into_iter().zip(documents) {
            self.stats.snapshots_written += u64::from(whole);
            document.disk.next_sequence += 1;
            document.disk.rewrite = false;
            if whole {
                document.disk.rows = 1;
                document.disk.snapshot_bytes = len;
                document.disk.since_bytes = 0;
            } else {
                document.disk.rows += 1;
                document.disk.since_bytes += len;
            }
            if let Some((site, place)) = document.place() {
                self.places.entry(site.clone()).or_default().insert(*place, doc);
            }
            self.documents.insert(doc, document);
        }
        for doc in dropped {
            self.let_go(*doc);
        }
        Ok(())
    }

    /// Finds out which topology documents are held.
    pub(crate) fn index_places(&mut self) {
        for (doc, document) in &self.documents {
            if let Some((site, place)) = document.place() {
                self.places.entry(site.clone()).or_default().insert(*place, *doc);
            }
        }
    }

    /// Lets go of documents that nobody needs beside the others.
    pub(crate) fn drop_superseded(&mut self) -> Result<(), StoreError> {
        let sites: Vec<SiteId> = self.places.keys().cloned().collect();
        let found = sites.iter().flat_map(|site| {
            let of_site = self.of_site(site);
            of_site.filter(|(p, _, d)| self.is_superseded(site, *p, d.writers(), &[]))
        });
        let dropped: Vec<DocId> = found.map(|(_, doc, _)| doc).collect();
        if !dropped.is_empty() {
            self.persist(Vec::new(), &dropped)?;
            self.stats.superseded += dropped.len() as u64;
        }
        Ok(())
    }

    /// Writes documents whole whose rows were damaged, so that the next opening finds them well.
    pub(crate) fn rewrite_damaged(&mut self) -> Result<(), StoreError> {
        let damaged: Vec<DocId> =
            self.documents.iter().filter(|(_, d)| d.disk.rewrite).map(|(id, _)| *id).collect();
        for doc in damaged {
            if let Some(document) = self.documents.get(&doc).cloned() {
                let piece = Piece::Whole(document.whole());
                self.persist(vec![Next { doc, document, piece }], &[])?;
            }
        }
        Ok(())
    }

    /// What ended by then is not remembered any longer.
    pub(crate) fn horizon(&self, now: Millis) -> Millis {
        now - self.limits.retention_ms
    }

    fn let_go(&mut self, doc: DocId) {
        let Some(document) = self.documents.remove(&doc) else { return };
        self.stats.dropped_bytes += document.disk.bytes() as u64;
        if let Some((site, place)) = document.place()
            && let Some(places) = self.places.get_mut(site)
        {
            places.remove(place);
            if places.is_empty() {
                self.places.remove(site);
            }
        }
    }
}

fn write_of(doc: DocId, document: &Document, piece: Piece) -> Write {
    let disk = document.disk;
    let most = (disk.snapshot_bytes / 4).max(MIN_SINCE_BYTES);
    let (piece, whole) = match piece {
        Piece::Whole(piece) => (piece, true),
        Piece::Changes(changes)
            if disk.rewrite || disk.rows >= MAX_ROWS || disk.since_bytes + changes.len() > most =>
        {
            (document.whole(), true)
        }
        Piece::Changes(changes) => (changes, false),
    };
    Write { doc, sequence: disk.next_sequence, piece, whole }
}
