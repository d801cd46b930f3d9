//! This node's own writes: on change only, durable when they return.

use std::collections::BTreeMap;

use automerge::ScalarValue;
use holm_graph::{ElementChange, ElementChangeKind, SiteElement};
use holm_model::{DocId, DocVersion, ElementId, MAX_PATH_BYTES, Millis};

use crate::document::{Document, Put, element_key, statement_key};
use crate::element::{ElementRecord, MAX_RECORD_BYTES};
use crate::open::quietly;
use crate::replica::Inner;
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
    /// Writes what the fold found into this site's topology document. It is on disk, synced, when
    /// this returns. All of `changes` or none; changes that change nothing cost no operation.
    ///
    /// # Errors
    /// [`CommitError`]; state is as before. Keep the changes and commit them again (more may be
    /// added): committing twice what was committed already does no harm.
    pub fn commit(&self, changes: &[ElementChange], now: Millis) -> Result<Committed, CommitError> {
        let name = DocName::topology(&self.site, 0, 0);
        let inner = &mut *self.lock();
        let document = inner.documents.get(&name.id(&self.tenant));
        let mut records: BTreeMap<&ElementId, (Option<ElementRecord>, ElementRecord)> =
            BTreeMap::new();
        for ElementChange { id, change } in changes {
            let (_, record) = records.entry(id).or_insert_with(|| {
                let before = document.and_then(|d| d.record(&self.node, id));
                (before.clone(), before.unwrap_or_default())
            });
            alter(record, change);
        }
        let mut puts: Vec<Put> = Vec::new();
        let mut ids = Vec::new();
        for (id, (before, mut record)) in records {
            if before.as_ref() == Some(&record) || (before.is_none() && record.intervals.is_empty())
            {
                continue;
            }
            let (packed, trimmed) = record.encode_bounded();
            inner.stats.intervals_trimmed += trimmed.intervals as u64;
            inner.stats.past_values_trimmed += trimmed.past_values as u64;
            inner.stats.attributes_dropped += u64::from(trimmed.attributes);
            puts.push((element_key(&self.node, id), ScalarValue::Bytes(packed)));
            ids.push(id);
        }
        let Some(version) = self.write(inner, name, puts, now)? else {
            return Ok(Committed::default());
        };
        let changed = ids.into_iter().map(|id| inner.site_element(&self.site, id)).collect();
        Ok(Committed { versions: vec![version], changed })
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
        let version = self.write(inner, name, vec![put], now)?;
        Ok(Committed { versions: version.into_iter().collect(), changed: Vec::new() })
    }

    /// Writes `puts` into the document `name`; nothing to write is no version.
    fn write(
        &self,
        inner: &mut Inner,
        name: DocName,
        puts: Vec<Put>,
        now: Millis,
    ) -> Result<Option<DocVersion>, CommitError> {
        if puts.is_empty() {
            return Ok(None);
        }
        let doc: DocId = name.id(&self.tenant);
        let mut next = inner.documents.get(&doc).cloned().unwrap_or_else(|| Document::new(name));
        let before = next.heads();
        let (tenant, node, actor) = (&self.tenant, &self.node, inner.actor.clone());
        let (next, ops) = quietly(|| {
            let ops = next.write(&actor, tenant, node, puts, now)?;
            Ok((next, ops))
        })
        .map_err(|reason| CommitError::Document { doc, reason })?;
        let changes = next.since(&before);
        let version = self.version_of(doc, &next);
        inner.persist(doc, next, changes)?;
        inner.stats.commits += 1;
        inner.stats.document_ops += ops;
        Ok(Some(version))
    }
}

const _: () = assert!(
    MAX_RECORD_BYTES + MAX_PATH_BYTES + 256 < MAX_CHANGE_BYTES,
    "one record fits a change, with the longest id there is"
);

fn alter(record: &mut ElementRecord, change: &ElementChangeKind) {
    match change {
        ElementChangeKind::Opened { at, attributes } => {
            record.intervals.open(*at);
            record.set_attributes(*at, attributes);
        }
        ElementChangeKind::Closed { at } => record.intervals.close(*at),
        ElementChangeKind::AttributesChanged { at, attributes } => {
            record.set_attributes(*at, attributes);
        }
    }
}
