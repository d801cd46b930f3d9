//! This node's own writes: on change only, durable when they return.

use std::collections::BTreeMap;

use automerge::ScalarValue;
use holm_graph::{ElementChange, ElementChangeKind, SiteElement};
use holm_model::{DocId, DocVersion, ElementId, MAX_PATH_BYTES, Millis};

use crate::document::{Document, Put, element_key, statement_key};
use crate::element::{ElementRecord, MAX_RECORD_BYTES};
use crate::open::quietly;
use crate::persist::{Next, Piece};
use crate::place::Place;
use crate::replica::Inner;
use crate::rotate::Tended;
use crate::{CommitError, DocName, MAX_CHANGE_BYTES, Replica};

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// The new versions of the documents that changed: what to hint to peers. Empty if nothing did.
    pub versions: Vec<DocVersion>,
    /// The elements that changed, as this site's record of them is now: what to apply to the graph.
    pub changed: Vec<SiteElement>,
}

impl Replica {
    /// Writes what the fold found into this site's topology documents, and begins the next epoch of
    /// one that came to its budget. It is on disk, synced, when
    /// this returns. All of `changes` or none; changes that change nothing cost no operation.
    ///
    /// # Errors
    /// [`CommitError`]; state is as before. Keep the changes and commit them again (more may be
    /// added): committing twice what was committed already does no harm.
    pub fn commit(&self, changes: &[ElementChange], now: Millis) -> Result<Committed, CommitError> {
        let inner = &mut *self.lock();
        let horizon = inner.horizon(now);
        let mut records: BTreeMap<&ElementId, (Option<ElementRecord>, ElementRecord)> =
            BTreeMap::new();
        for ElementChange { id, change } in changes {
            let (_, record) = records.entry(id).or_insert_with(|| {
                let before = inner.record_of(&self.site, &self.node, id);
                (before.clone(), before.unwrap_or_default())
            });
            alter(record, change);
        }
        let mut puts: BTreeMap<Place, Vec<Put>> = BTreeMap::new();
        let mut ids = Vec::new();
        for (id, (before, mut record)) in records {
            if before.as_ref() == Some(&record) || (before.is_none() && record.intervals.is_empty())
            {
                continue;
            }
            record.forget_before(horizon);
            let (packed, trimmed) = record.encode_bounded();
            inner.stats.intervals_trimmed += trimmed.intervals as u64;
            inner.stats.past_values_trimmed += trimmed.past_values as u64;
            inner.stats.attributes_dropped += u64::from(trimmed.attributes);
            let latest = inner.covering(&self.site, id).next().map(|(place, _, _)| place);
            let put = (element_key(&self.node, id), ScalarValue::Bytes(packed));
            puts.entry(latest.unwrap_or(Place::FIRST)).or_default().push(put);
            ids.push(id);
        }
        let puts = puts.into_iter().map(|(place, puts)| (DocName::at(&self.site, place), puts));
        let written = self.write(inner, puts.collect(), now)?;
        if written.is_empty() {
            return Ok(Committed::default());
        }
        let mut tended = Tended::default();
        self.tend(inner, &written, now, &mut tended);
        tended.docs.extend(written);
        let versions = self.versions_of(inner, &tended.docs);
        let forgotten = tended.elements.iter().filter(|id| ids.binary_search(id).is_err());
        let changed = ids.iter().copied().chain(forgotten);
        let changed = changed.map(|id| inner.site_element(&self.site, id)).collect();
        Ok(Committed { versions, changed })
    }

    /// Adds a signed statement to the roster, where it stays for ever. What it says and whether its
    /// signature holds is the caller's to judge, here and after [`Replica::apply`].
    ///
    /// # Errors
    /// [`CommitError`]; state is as before.
    pub fn add_statement(&self, statement: &[u8], now: Millis) -> Result<Committed, CommitError> {
        if statement.len() > MAX_RECORD_BYTES {
            let (len, max) = (statement.len(), MAX_RECORD_BYTES);
            return Err(CommitError::StatementTooLong { len, max });
        }
        let name = DocName::roster();
        let inner = &mut *self.lock();
        let document = inner.documents.get(&name.id(&self.tenant));
        if document.is_some_and(|d| d.has_statement(statement)) {
            return Ok(Committed::default());
        }
        let put = (statement_key(statement), ScalarValue::Bytes(statement.to_vec()));
        let written = self.write(inner, vec![(name, vec![put])], now)?.into_iter().collect();
        Ok(Committed { versions: self.versions_of(inner, &written), changed: Vec::new() })
    }

    /// Writes `puts` into their documents, all or nothing; which ones those are.
    pub(crate) fn write(
        &self,
        inner: &mut Inner,
        puts: Vec<(DocName, Vec<Put>)>,
        now: Millis,
    ) -> Result<Vec<DocId>, CommitError> {
        if puts.is_empty() {
            return Ok(Vec::new());
        }
        let mut next = Vec::with_capacity(puts.len());
        let mut all_ops = 0;
        for (name, puts) in puts {
            let doc: DocId = name.id(&self.tenant);
            let held = inner.documents.get(&doc).cloned();
            let mut document = held.unwrap_or_else(|| Document::new(name));
            let before = document.heads();
            let (tenant, node, actor) = (&self.tenant, &self.node, inner.actor.clone());
            let (document, ops) = quietly(|| {
                let ops = document.write(&actor, tenant, node, puts, now)?;
                Ok((document, ops))
            })
            .map_err(|reason| CommitError::Document { doc, reason })?;
            let piece = Piece::Changes(document.since(&before));
            next.push(Next { doc, document, piece });
            all_ops += ops;
        }
        let docs = next.iter().map(|next| next.doc).collect();
        inner.persist(next, &[])?;
        inner.stats.commits += 1;
        inner.stats.document_ops += all_ops;
        Ok(docs)
    }
}

const _: () = assert!(
    MAX_RECORD_BYTES + MAX_PATH_BYTES + 256 < MAX_CHANGE_BYTES,
    "one record fits a change, with the longest id there is"
);

fn alter(record: &mut ElementRecord, change: &ElementChangeKind) {
    match change {
        ElementChangeKind::Opened { at, attributes } => {
            // Nothing opens before what is recorded ended, unless the clock was set back.
            record.intervals.set_back(*at);
            record.intervals.open(*at);
            record.set_attributes(*at, attributes);
        }
        ElementChangeKind::Closed { at } => record.intervals.close(*at),
        ElementChangeKind::AttributesChanged { at, attributes } => {
            record.set_attributes(*at, attributes);
        }
    }
}
