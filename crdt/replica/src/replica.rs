//! One tenant's documents on one node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use automerge::ActorId;
use holm_graph::{OpenElement, SiteElement};
use holm_model::{
    Attributes, DocId, DocVersion, ElementId, IntervalSet, Millis, NodeName, PastValues, SiteId,
    TenantId,
};
use rand::{CryptoRng, Rng, SeedableRng};

use crate::document::Document;
use crate::element::ElementRecord;
use crate::open::{self, OpenReport};
use crate::quarantine::Quarantine;
use crate::seal::Sealer;
use crate::store::{Store, Write};
use crate::{DataKey, Disk, DocBudget, DocName, FileDisk, OpenError, Quarantined, StoreError};

/// Rows that a document may have before it is written whole.
const MAX_ROWS: usize = 64;
/// Bytes of changes after a snapshot that are always allowed before it is written anew; beyond them a
/// quarter of the snapshot is. Changes load several times slower than a snapshot.
const MIN_SINCE_BYTES: usize = 32 * 1024;

/// What a replica did since it opened, and how much it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplicaStats {
    /// Documents held.
    pub documents: u64,
    /// Documents over one of their budgets.
    pub documents_over_budget: u64,
    /// Bytes of all documents before sealing.
    pub document_bytes: u64,
    /// Commits of this node that changed a document.
    pub commits: u64,
    /// Operations that these commits made.
    pub document_ops: u64,
    /// Bytes written to disk, sealed.
    pub bytes_written: u64,
    /// Documents written whole instead of by their changes.
    pub snapshots_written: u64,
    /// Writes that did not reach the disk.
    pub write_failures: u64,
    /// Peers' bytes that changed a document.
    pub applied: u64,
    /// Peers' bytes that held nothing new.
    pub applied_unchanged: u64,
    /// Peers' bytes that stood on changes which are not here.
    pub needs_more: u64,
    /// Bytes that were quarantined.
    pub quarantined: u64,
    /// Entries in quarantine now.
    pub quarantined_now: u64,
    /// Entries that left the quarantine to make room.
    pub quarantine_evicted: u64,
    /// Element records that cannot be read (another version, or malformed), as of the last time that
    /// all of their document were looked at; they are carried.
    pub records_unreadable: u64,
    /// Attribute sets that were too long to be written.
    pub attributes_dropped: u64,
    /// Oldest intervals that an element's record had no room for.
    pub intervals_trimmed: u64,
    /// Oldest earlier values of attributes that an element's record had no room for.
    pub past_values_trimmed: u64,
}

/// One tenant's documents: in memory, and sealed on disk. All methods take `&self`; each is whole
/// before the next begins.
pub struct Replica {
    pub(crate) tenant: TenantId,
    pub(crate) site: SiteId,
    pub(crate) node: NodeName,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub(crate) documents: BTreeMap<DocId, Document>,
    pub(crate) store: Store,
    pub(crate) actor: ActorId,
    pub(crate) quarantine: Quarantine,
    pub(crate) stats: ReplicaStats,
    rng: rand::rngs::StdRng,
    actor_prefix: [u8; 8],
}

impl Replica {
    /// Opens `dir/state.redb`, or makes it. `rng` must be the system's in a node; a simulation passes
    /// its own. The rows that lie there are read and checked, all of them.
    ///
    /// A damaged file is put aside, what can be read of it is saved, and the report says so.
    ///
    /// # Errors
    /// [`OpenError`]: in use, another key, or the operating system refused. The file
    /// is as it was.
    pub fn open(
        dir: &Path,
        tenant: TenantId,
        key: DataKey,
        site: SiteId,
        node: NodeName,
        now: Millis,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, OpenReport), OpenError> {
        let disk = Box::new(FileDisk::new(dir.join("state.redb")));
        Self::open_on(disk, tenant, key, site, node, now, rng)
    }

    /// As [`Replica::open`], on any disk.
    ///
    /// # Errors
    /// As [`Replica::open`].
    pub fn open_on(
        disk: Box<dyn Disk>,
        tenant: TenantId,
        key: DataKey,
        site: SiteId,
        node: NodeName,
        now: Millis,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Self, OpenReport), OpenError> {
        let sealer = Sealer::new(tenant.clone(), key, rng);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let (mut store, found) = Store::open(disk, sealer, now)?;
        let file = store.name();
        let mut opened = open::read(found, &tenant, &file, now);
        if opened.report.set_aside.is_none()
            && let Err(error) = store.keep_damaged(&opened.damaged_rows)
        {
            opened.report.messages.push(error.to_string());
        }
        let mut inner = Inner {
            documents: opened.documents.into_iter().collect(),
            store,
            actor: ActorId::from(&[][..]),
            quarantine: opened.quarantine,
            stats: ReplicaStats::default(),
            rng: rand::rngs::StdRng::from_seed(seed),
            actor_prefix: actor_prefix(&site, &node),
        };
        inner.new_incarnation();
        inner.stats.quarantined = inner.quarantine.len() as u64;
        if let Err(error) = inner.rewrite_damaged() {
            opened.report.messages.push(error.to_string());
        }
        for message in &opened.report.messages {
            tracing::warn!(tenant = %tenant, "{message}");
        }
        Ok((Self { tenant, site, node, inner: Mutex::new(inner) }, opened.report))
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The version of every document, in order of id.
    pub fn documents(&self) -> Vec<DocVersion> {
        let inner = self.lock();
        inner.documents.iter().map(|(id, document)| self.version_of(*id, document)).collect()
    }

    /// The version of one document.
    pub fn version(&self, doc: DocId) -> Option<DocVersion> {
        self.lock().documents.get(&doc).map(|document| self.version_of(doc, document))
    }

    /// What a document is called.
    pub fn name(&self, doc: DocId) -> Option<DocName> {
        self.lock().documents.get(&doc).map(|document| document.name().clone())
    }

    /// The heads of one document, in order; none if it is not here.
    pub fn heads(&self, doc: DocId) -> Vec<[u8; 32]> {
        self.lock().documents.get(&doc).map(Document::heads).unwrap_or_default()
    }

    /// A digest of all documents and their heads: equal on two replicas that hold the same.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("holm replica digest v1");
        for (id, document) in &self.lock().documents {
            hasher.update(&id.0);
            let heads = document.heads();
            hasher.update(&(heads.len() as u64).to_le_bytes());
            for head in heads {
                hasher.update(&head);
            }
        }
        *hasher.finalize().as_bytes()
    }

    /// All that every site recorded, in order of site: what a graph is built from at the start.
    pub fn elements(&self) -> impl Iterator<Item = (SiteId, SiteElement)> + use<> {
        let mut sites: BTreeMap<SiteId, BTreeMap<ElementId, ElementRecord>> = BTreeMap::new();
        for document in self.lock().documents.values_mut() {
            let Some(site) = document.name().topology_site() else { continue };
            let of_site = sites.entry(site).or_default();
            let (records, unreadable) = document.records();
            document.unreadable = unreadable;
            for (id, records) in records {
                let joined = records.into_iter().map(|(_, r)| r).chain(of_site.remove(&id));
                if let Some(record) = joined.reduce(joined_record) {
                    of_site.insert(id, record);
                }
            }
        }
        sites.into_iter().flat_map(|(site, of_site)| {
            let say =
                move |(id, record): (_, ElementRecord)| (site.clone(), record.into_element(id));
            of_site.into_iter().map(say)
        })
    }

    /// What this node itself holds open, to restore its fold: at the start, and again after
    /// [`Replica::apply`] changed this site's own document (a peer returned it). With it, the latest
    /// time at which this node is known to have written.
    pub fn open_elements(&self) -> (Vec<OpenElement>, Millis) {
        let mut open = Vec::new();
        let mut last_written = Millis(0);
        for document in self.lock().documents.values() {
            if document.name().topology_site().as_ref() != Some(&self.site) {
                continue;
            }
            last_written = last_written.max(document.changed_at);
            for (id, records) in document.records().0 {
                let own = records.into_iter().find(|(node, _)| *node == self.node);
                let Some((_, ElementRecord { intervals, attributes, .. })) = own else { continue };
                if let Some(last) = intervals.as_slice().last().filter(|i| i.to.is_none()) {
                    open.push(OpenElement { id, since: last.from, attributes });
                }
            }
        }
        (open, last_written)
    }

    /// The statements of the roster, each whole as it was added, in order of their hash.
    pub fn statements(&self) -> Vec<Vec<u8>> {
        let id = DocName::roster().id(&self.tenant);
        self.lock().documents.get(&id).map(Document::statements).unwrap_or_default()
    }

    /// How every document stands to its budgets.
    pub fn budgets(&self) -> Vec<DocBudget> {
        self.lock().documents.iter().map(|(id, d)| DocBudget::of(*id, d)).collect()
    }

    /// What lies in quarantine, the oldest first.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.lock().quarantine.entries()
    }

    /// What was done, and how much is held.
    pub fn stats(&self) -> ReplicaStats {
        let inner = self.lock();
        let budgets = inner.documents.iter().map(|(id, d)| DocBudget::of(*id, d));
        let mut stats = ReplicaStats {
            documents: inner.documents.len() as u64,
            quarantined_now: inner.quarantine.len() as u64,
            quarantine_evicted: inner.quarantine.evicted,
            ..inner.stats
        };
        stats.records_unreadable = inner.documents.values().map(|d| d.unreadable).sum();
        for budget in budgets {
            stats.document_bytes += budget.bytes as u64;
            stats.documents_over_budget += u64::from(budget.over);
        }
        stats
    }

    pub(crate) fn version_of(&self, doc: DocId, document: &Document) -> DocVersion {
        DocVersion {
            tenant: self.tenant.clone(),
            doc,
            heads: document.heads_digest(),
            changed_at: document.changed_at,
        }
    }

    /// Every method leaves the state whole, so a panic elsewhere in a caller's thread spoils nothing.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("tenant", &self.tenant)
            .field("site", &self.site)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Takes a new actor id: 8 bytes of (site, node), 8 random ones. It is drawn at every opening and
    /// after every failed write, and never stored. So no two changes ever share (actor, sequence), not
    /// by a restored image, a cloned node, or a retry.
    pub(crate) fn new_incarnation(&mut self) {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.actor_prefix);
        self.rng.fill_bytes(&mut id[8..]);
        self.actor = ActorId::from(&id[..]);
    }

    /// Makes `next` the state of document `doc`: on disk first, then in memory. `changes` are those
    /// that `next` has and the state before has not.
    pub(crate) fn persist(
        &mut self,
        doc: DocId,
        mut next: Document,
        changes: Vec<u8>,
    ) -> Result<(), StoreError> {
        let disk = next.disk;
        let whole = disk.rewrite
            || disk.rows >= MAX_ROWS
            || disk.since_bytes + changes.len() > (disk.snapshot_bytes / 4).max(MIN_SINCE_BYTES);
        let piece = if whole { next.whole() } else { changes };
        let len = piece.len();
        let write = Write { doc, sequence: disk.next_sequence, piece, whole };
        match self.store.write(std::slice::from_ref(&write)) {
            Ok(bytes) => {
                self.stats.bytes_written += bytes;
                self.stats.snapshots_written += u64::from(whole);
            }
            Err(error) => {
                self.stats.write_failures += 1;
                // The write may have reached the disk all the same: build on neither it nor its actor.
                self.new_incarnation();
                if let Some(document) = self.documents.get_mut(&doc) {
                    document.disk.rewrite = true;
                }
                return Err(error);
            }
        }
        next.disk.next_sequence += 1;
        next.disk.rewrite = false;
        if whole {
            next.disk.rows = 1;
            next.disk.snapshot_bytes = len;
            next.disk.since_bytes = 0;
        } else {
            next.disk.rows += 1;
            next.disk.since_bytes += len;
        }
        self.documents.insert(doc, next);
        Ok(())
    }

    /// What all documents of `site` say about `id`; nothing is an element without intervals.
    pub(crate) fn site_element(&self, site: &SiteId, id: &ElementId) -> SiteElement {
        let documents = self.documents.values();
        let of_site = documents.filter(|d| d.name().topology_site().as_ref() == Some(site));
        let joined = of_site.filter_map(|d| d.element(id)).reduce(joined_record);
        joined.map_or_else(
            || SiteElement {
                id: id.clone(),
                intervals: IntervalSet::new(),
                attributes: Attributes::new(),
                attributes_at: Millis(0),
                past: PastValues::default(),
            },
            |record| record.into_element(id.clone()),
        )
    }

    /// Writes documents whole whose rows were damaged, so that the next opening finds them well.
    fn rewrite_damaged(&mut self) -> Result<(), StoreError> {
        let damaged: Vec<DocId> =
            self.documents.iter().filter(|(_, d)| d.disk.rewrite).map(|(id, _)| *id).collect();
        for doc in damaged {
            if let Some(document) = self.documents.get(&doc).cloned() {
                self.persist(doc, document, Vec::new())?;
            }
        }
        Ok(())
    }
}

fn joined_record(mut a: ElementRecord, b: ElementRecord) -> ElementRecord {
    a.join(b);
    a
}

fn actor_prefix(site: &SiteId, node: &NodeName) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("holm actor prefix v1");
    hasher.update(site.as_str().as_bytes()).update(b"/").update(node.as_str().as_bytes());
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    prefix
}
