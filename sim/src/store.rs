//! A set of versioned documents on a disk that can lose what was not synced.
//!
//! A document is a graph of changes that merge in any order. A change opens an element, withdraws one,
//! or is plain text. What a node writes or applies is in memory at once and on disk a little later; a
//! crash takes away whatever the disk does not have. A write is *acknowledged* when it is on disk, and
//! only then is the mesh told of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_mesh_proto::DocumentStore;
use holm_model::{DocId, DocVersion, HeadsDigest, Millis, SiteId, TenantId};

/// Names a change: BLAKE3 of its bytes.
pub type Hash = [u8; 32];

/// What a change says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// An element is there from now on; the change's hash names it.
    Open(Vec<u8>),
    /// The element is gone.
    Withdraw(Hash),
}

#[derive(Debug, PartialEq, Eq)]
struct Change {
    parents: Vec<Hash>,
    at: u64,
    word: Word,
}

/// Who may have what, the same for all nodes of a world.
#[derive(Debug, Default)]
pub struct Grants {
    tenants: Vec<TenantId>,
    /// Sites of a tenant that not everyone may have.
    closed: BTreeMap<TenantId, BTreeSet<SiteId>>,
}

impl Grants {
    /// A tenant that every site may replicate.
    pub fn open(&mut self, tenant: TenantId) {
        self.tenants.push(tenant);
    }

    /// A tenant that only these sites may replicate.
    pub fn close(&mut self, tenant: TenantId, sites: BTreeSet<SiteId>) {
        self.tenants.push(tenant.clone());
        self.closed.insert(tenant, sites);
    }

    /// Whether `site` may have `tenant`.
    pub fn may(&self, site: &SiteId, tenant: &TenantId) -> bool {
        self.closed.get(tenant).is_none_or(|sites| sites.contains(site))
    }
}

#[derive(Debug, Default, Clone)]
struct Document {
    changes: BTreeMap<Hash, Arc<Change>>,
    heads: BTreeSet<Hash>,
    digest: [u8; 16],
    changed_at: u64,
}

#[derive(Debug)]
struct Unsynced {
    on_disk_at_us: u64,
    key: (TenantId, DocId),
    hash: Hash,
}

#[derive(Debug, Default)]
struct State {
    documents: BTreeMap<(TenantId, DocId), Document>,
    unsynced: VecDeque<Unsynced>,
    /// Sum over all documents; equal sums mean equal sets of versions.
    sums: BTreeMap<TenantId, u128>,
    now_us: u64,
}

/// One node's documents.
#[derive(Debug)]
pub struct SimStore {
    site: SiteId,
    grants: Arc<Grants>,
    sync_us: u64,
    /// Broken on purpose: withdrawals count for nothing.
    pub(crate) resurrects: bool,
    state: Mutex<State>,
}

impl SimStore {
    /// An empty store whose disk needs `sync_us` for what is written.
    pub fn new(site: SiteId, grants: Arc<Grants>, sync_us: u64) -> Self {
        Self { site, grants, sync_us, resurrects: false, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time until the next call.
    pub fn set_now(&self, now_us: u64) {
        let mut state = self.lock();
        state.now_us = now_us;
        while state.unsynced.front().is_some_and(|change| change.on_disk_at_us <= now_us) {
            state.unsynced.pop_front();
        }
    }

    /// Writes one change on top of everything known of the document: its hash, the version, and when
    /// it is on disk.
    pub fn write(
        &self,
        tenant: &TenantId,
        doc: DocId,
        at_ms: u64,
        word: Word,
    ) -> (Hash, DocVersion, u64) {
        let mut state = self.lock();
        let key = (tenant.clone(), doc);
        let parents = state
            .documents
            .get(&key)
            .map(|d| d.heads.iter().copied().collect())
            .unwrap_or_default();
        let change = Change { parents, at: at_ms, word };
        let hash = change.hash();
        state.insert(&key, [(hash, Arc::new(change))], self.sync_us);
        let version = state.documents.get(&key).map(|d| d.version(&key));
        let on_disk = state.unsynced.back().map_or(state.now_us, |last| last.on_disk_at_us);
        let version = version.unwrap_or_else(|| Document::default().version(&key));
        (hash, version, on_disk)
    }

    /// The power goes off: what is not on disk is gone. How many changes that were.
    pub fn crash(&self) -> usize {
        let mut state = self.lock();
        let lost: Vec<Unsynced> = state.unsynced.drain(..).collect();
        for change in &lost {
            state.remove(&change.key, &change.hash);
        }
        lost.len()
    }

    /// Equal for two nodes that hold the same versions of this tenant's documents.
    pub fn sum(&self, tenant: &TenantId) -> u128 {
        self.lock().sums.get(tenant).copied().unwrap_or_default()
    }

    /// Whether this change is here.
    pub fn holds(&self, tenant: &TenantId, doc: DocId, hash: &Hash) -> bool {
        let state = self.lock();
        state.documents.get(&(tenant.clone(), doc)).is_some_and(|d| d.changes.contains_key(hash))
    }

    /// Elements of a document that are open and not withdrawn.
    pub fn presents(&self, tenant: &TenantId, doc: DocId) -> BTreeSet<Hash> {
        let state = self.lock();
        let Some(document) = state.documents.get(&(tenant.clone(), doc)) else {
            return BTreeSet::new();
        };
        let open = document.changes.iter().filter(|(_, c)| matches!(c.word, Word::Open(_)));
        let mut open: BTreeSet<Hash> = open.map(|(hash, _)| *hash).collect();
        for change in document.changes.values().filter(|_| !self.resurrects) {
            if let Word::Withdraw(hash) = &change.word {
                open.remove(hash);
            }
        }
        open
    }

    /// Documents of a tenant.
    pub fn count(&self, tenant: &TenantId) -> usize {
        self.lock().documents.keys().filter(|(owner, _)| owner == tenant).count()
    }
}

impl DocumentStore for SimStore {
    fn tenants(&self) -> Vec<TenantId> {
        let mine = self.grants.tenants.iter();
        mine.filter(|tenant| self.grants.may(&self.site, tenant)).cloned().collect()
    }

    fn may_replicate(&self, peer_site: &SiteId, tenant: &TenantId) -> bool {
        self.grants.tenants.contains(tenant)
            && self.grants.may(peer_site, tenant)
            && self.grants.may(&self.site, tenant)
    }

    fn documents(&self, tenant: &TenantId) -> Vec<DocVersion> {
        let state = self.lock();
        let all = state.documents.range((tenant.clone(), DocId([0; 16]))..);
        all.take_while(|((owner, _), _)| owner == tenant).map(|(k, d)| d.version(k)).collect()
    }

    fn heads(&self, tenant: &TenantId, doc: &DocId) -> Vec<Hash> {
        let state = self.lock();
        let document = state.documents.get(&(tenant.clone(), *doc));
        document.map(|d| d.heads.iter().copied().collect()).unwrap_or_default()
    }

    fn export(&self, tenant: &TenantId, doc: &DocId, have: &[Hash]) -> Result<Vec<u8>, String> {
        let state = self.lock();
        let Some(document) = state.documents.get(&(tenant.clone(), *doc)) else {
            return Ok(Vec::new());
        };
        let mut known = BTreeSet::new();
        let mut open: Vec<Hash> = have.to_vec();
        while let Some(hash) = open.pop() {
            if let Some(change) = document.changes.get(&hash).filter(|_| known.insert(hash)) {
                open.extend(&change.parents);
            }
        }
        let lacking = document.changes.iter().filter(|(hash, _)| !known.contains(*hash));
        Ok(lacking.flat_map(|(_, change)| change.encode()).collect())
    }

    fn apply(
        &self,
        tenant: &TenantId,
        doc: &DocId,
        _from: &str,
        bytes: &[u8],
    ) -> Result<Option<DocVersion>, String> {
        let changes = Change::decode_all(bytes).ok_or("not a list of changes")?;
        let mut state = self.lock();
        let key = (tenant.clone(), *doc);
        let changes = changes.into_iter().map(|change| (change.hash(), Arc::new(change)));
        let news = state.insert(&key, changes, self.sync_us);
        Ok(state.documents.get(&key).filter(|_| news).map(|d| d.version(&key)))
    }
}

impl State {
    /// Whether anything was new.
    fn insert(
        &mut self,
        key: &(TenantId, DocId),
        changes: impl IntoIterator<Item = (Hash, Arc<Change>)>,
        sync_us: u64,
    ) -> bool {
        let document = self.documents.entry(key.clone()).or_default();
        let (before, mut news) = (document.sum(key), false);
        for (hash, change) in changes {
            if document.changes.contains_key(&hash) {
                continue;
            }
            news = true;
            document.changes.insert(hash, change);
            if sync_us > 0 {
                // A disk writes in order.
                let last = self.unsynced.back().map_or(0, |last| last.on_disk_at_us);
                let on_disk_at_us = last.max(self.now_us + sync_us);
                self.unsynced.push_back(Unsynced { on_disk_at_us, key: key.clone(), hash });
            }
        }
        document.settle();
        let after = document.sum(key);
        let sum = self.sums.entry(key.0.clone()).or_default();
        *sum = sum.wrapping_sub(before).wrapping_add(after);
        news
    }

    fn remove(&mut self, key: &(TenantId, DocId), hash: &Hash) {
        let Some(document) = self.documents.get_mut(key) else { return };
        let before = document.sum(key);
        document.changes.remove(hash);
        document.settle();
        let after = document.sum(key);
        if document.changes.is_empty() {
            self.documents.remove(key);
        }
        let sum = self.sums.entry(key.0.clone()).or_default();
        *sum = sum.wrapping_sub(before).wrapping_add(after);
    }
}

impl Document {
    fn settle(&mut self) {
        let parents: BTreeSet<&Hash> = self.changes.values().flat_map(|c| &c.parents).collect();
        self.heads = self.changes.keys().filter(|hash| !parents.contains(hash)).copied().collect();
        let mut hasher = blake3::Hasher::new();
        for head in &self.heads {
            hasher.update(head);
        }
        self.digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        self.changed_at = self.changes.values().map(|change| change.at).max().unwrap_or_default();
    }

    fn version(&self, (tenant, doc): &(TenantId, DocId)) -> DocVersion {
        DocVersion {
            tenant: tenant.clone(),
            doc: *doc,
            heads: HeadsDigest(self.digest),
            changed_at: Millis(self.changed_at),
        }
    }

    fn sum(&self, (_, doc): &(TenantId, DocId)) -> u128 {
        if self.changes.is_empty() {
            return 0;
        }
        let (doc, digest) = (u128::from_be_bytes(doc.0), u128::from_be_bytes(self.digest));
        doc.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) ^ digest
    }
}

impl Change {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::try_from(self.parents.len()).unwrap_or(u8::MAX)];
        out.extend(self.parents.iter().take(usize::from(u8::MAX)).flatten());
        out.extend(self.at.to_be_bytes());
        let (tag, text): (u8, &[u8]) = match &self.word {
            Word::Open(text) => (b'+', text),
            Word::Withdraw(hash) => (b'-', hash),
        };
        out.push(tag);
        out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend(text);
        out
    }

    fn hash(&self) -> Hash {
        *blake3::hash(&self.encode()).as_bytes()
    }

    fn decode_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut changes = Vec::new();
        while let Some((count, rest)) = bytes.split_first() {
            let (parents, rest) = rest.split_at_checked(usize::from(*count) * 32)?;
            let (at, rest) = rest.split_first_chunk::<8>()?;
            let (tag, rest) = rest.split_first()?;
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            let word = match tag {
                b'+' => Word::Open(text.to_vec()),
                b'-' => Word::Withdraw(text.try_into().ok()?),
                _ => return None,
            };
            let parents = parents.chunks_exact(32).filter_map(|p| p.try_into().ok()).collect();
            changes.push(Self { parents, at: u64::from_be_bytes(*at), word });
            bytes = rest;
        }
        Some(changes)
    }
}
