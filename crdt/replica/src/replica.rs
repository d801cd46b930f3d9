//! One tenant's documents on one node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use automerge::ActorId;
use holm_graph::{OpenElement, SiteElement};
use holm_model::{DocId, DocVersion, Millis, NodeName, SiteId, TenantId};
use rand::{CryptoRng, Rng, SeedableRng};

use crate::document::Document;
use crate::element::ElementRecord;
use crate::epochs::Places;
use crate::open::{self, OpenReport};
use crate::place::Place;
use crate::quarantine::Quarantine;
use crate::seal::Sealer;
use crate::store::Store;
use crate::{DataKey, Disk, DocBudget, DocName, FileDisk, HistoryLimits, OpenError, Quarantined};

/// What a replica did since it opened, and how much it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplicaStats {
    /// Documents held.
    pub documents: u64,
    /// Documents over one of their budgets.
    pub documents_over_budget: u64,
    /// Bytes of all documents before sealing.
    pub document_bytes: u64,
    /// Epochs of all sites of which a document is held.
    pub epochs: u64,
    /// Documents of this node that came to their budget and were carried over into a new epoch.
    pub rotations: u64,
    /// Documents that this node began because of it.
    pub rotated_into: u64,
    /// Rotations and maintenance that failed; each is tried again with a later commit.
    pub rotations_failed: u64,
    /// Times that this node carried its records over into an epoch that another one began.
    pub followed: u64,
    /// Documents that were dropped because later ones hold all that is still remembered of them.
    pub superseded: u64,
    /// Documents of departed nodes that were dropped because their retention ended.
    pub expired: u64,
    /// Bytes of both before sealing.
    pub dropped_bytes: u64,
    /// Superseded or expired documents that a peer brought back and that were not taken.
    pub stale_refused: u64,
    /// Peers' documents that were not taken because their site or the tenant has no room for more.
    pub refused_full: u64,
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
    pub(crate) places: Places,
    pub(crate) limits: HistoryLimits,
    /// Another node of this site began an epoch, or may have: this node's records must follow.
    pub(crate) follow_due: bool,
    /// Documents that a failed write may have left on disk.
    pub(crate) ghosts: BTreeSet<DocId>,
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
            places: Places::new(),
            limits: HistoryLimits::default(),
            follow_due: true,
            ghosts: BTreeSet::new(),
            store,
            actor: ActorId::from(&[][..]),
            quarantine: opened.quarantine,
            stats: ReplicaStats::default(),
            rng: rand::rngs::StdRng::from_seed(seed),
            actor_prefix: actor_prefix(&site, &node),
        };
        inner.index_places();
        inner.new_incarnation();
        inner.stats.quarantined = inner.quarantine.len() as u64;
        if let Err(error) = inner.drop_superseded().and_then(|()| inner.rewrite_damaged()) {
            opened.report.messages.push(error.to_string());
        }
        for message in &opened.report.messages {
            tracing::warn!(tenant = %tenant, "{message}");
        }
        Ok((Self { tenant, site, node, inner: Mutex::new(inner) }, opened.report))
    }

    /// The same with other limits than the default ones. All nodes of a mesh should have one
    /// retention.
    #[must_use]
    pub fn with_limits(self, limits: HistoryLimits) -> Self {
        self.lock().limits = limits;
        self
    }

    /// The limits.
    pub fn limits(&self) -> HistoryLimits {
        self.lock().limits
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
        let sites = self.lock().all_records();
        sites.into_iter().flat_map(|(site, of_site)| {
            let say =
                move |(id, record): (_, ElementRecord)| (site.clone(), record.into_element(id));
            of_site.into_iter().map(say)
        })
    }

    /// What this node itself holds open, to restore its fold: at the start, and again after
    /// [`Replica::apply`] changed this site's own document (a peer returned it). With it, the latest moment up to
    /// `before` (its start: what it wrote since then says nothing) of which its records speak.
    pub fn open_elements(&self, before: Millis) -> (Vec<OpenElement>, Millis) {
        let inner = self.lock();
        let (mut open, mut last) = (Vec::new(), Millis(0));
        for (id, (_, record)) in inner.records_before(&self.site, Place::END, &self.node) {
            last = last.max(record.last_moment(before));
            let ElementRecord { intervals, attributes, .. } = record;
            if let Some(since) = intervals.as_slice().last().filter(|i| i.to.is_none()) {
                open.push(OpenElement { id, since: since.from, attributes });
            }
        }
        (open, last)
    }

    /// When what is here of a site was last written, by its clock: all that it holds open was true then.
    pub fn last_written_by(&self, site: &SiteId) -> Option<Millis> {
        self.lock().of_site(site).map(|(_, _, document)| document.changed_at).max()
    }

    /// The statements of the roster, each whole as it was added, in order of their hash.
    pub fn statements(&self) -> Vec<Vec<u8>> {
        let id = DocName::roster().id(&self.tenant);
        self.lock().documents.get(&id).map(Document::statements).unwrap_or_default()
    }

    /// How every document stands to its budgets.
    pub fn budgets(&self) -> Vec<DocBudget> {
        let inner = self.lock();
        inner.documents.iter().map(|(id, d)| DocBudget::of(*id, d, &inner.limits)).collect()
    }

    /// What lies in quarantine, the oldest first.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.lock().quarantine.entries()
    }

    /// What was done, and how much is held.
    pub fn stats(&self) -> ReplicaStats {
        let inner = self.lock();
        let budgets = inner.documents.iter().map(|(id, d)| DocBudget::of(*id, d, &inner.limits));
        let mut stats = ReplicaStats {
            documents: inner.documents.len() as u64,
            quarantined_now: inner.quarantine.len() as u64,
            quarantine_evicted: inner.quarantine.evicted,
            ..inner.stats
        };
        stats.records_unreadable = inner.documents.values().map(|d| d.unreadable).sum();
        let epochs = inner
            .places
            .iter()
            .flat_map(|(site, places)| places.keys().map(move |place| (site, place.epoch)));
        stats.epochs = epochs.collect::<BTreeSet<_>>().len() as u64;
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
}

fn actor_prefix(site: &SiteId, node: &NodeName) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_derive_key("holm actor prefix v1");
    hasher.update(site.as_str().as_bytes()).update(b"/").update(node.as_str().as_bytes());
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    prefix
}
