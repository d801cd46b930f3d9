//! Documents as a small graph of changes, enough to tell whether a mesh makes them equal. It stands in
//! for the real store in the tests of both mesh crates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use holm_mesh_proto::DocumentStore;
use holm_model::{DocId, DocVersion, HeadsDigest, Millis, SiteId, TenantId};

type Hash = [u8; 32];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    parents: Vec<Hash>,
    at: u64,
    text: Vec<u8>,
}

impl Change {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::try_from(self.parents.len()).expect("few parents")];
        out.extend(self.parents.iter().flatten());
        out.extend(self.at.to_be_bytes());
        out.extend(u32::try_from(self.text.len()).expect("short").to_be_bytes());
        out.extend(&self.text);
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
            let (length, rest) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            changes.push(Self {
                parents: parents.chunks(32).map(|p| p.try_into().expect("32")).collect(),
                at: u64::from_be_bytes(*at),
                text: text.to_vec(),
            });
            bytes = rest;
        }
        Some(changes)
    }
}

type Document = BTreeMap<Hash, Change>;

#[derive(Default)]
struct State {
    tenants: BTreeSet<TenantId>,
    documents: BTreeMap<(TenantId, DocId), Document>,
    refused_sites: BTreeSet<(SiteId, TenantId)>,
    poisoned: BTreeSet<DocId>,
}

/// A store in memory.
#[derive(Default)]
pub struct FakeStore(Mutex<State>);

#[allow(dead_code, reason = "each test binary uses its part")]
impl FakeStore {
    pub fn with_tenants(names: &[&str]) -> Self {
        let store = Self::default();
        for name in names {
            store.lock().tenants.insert(tenant(name));
        }
        store
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the store")
    }

    /// Writes a change on top of everything that is known of the document.
    pub fn write(&self, tenant: &TenantId, doc: DocId, at: u64, text: &[u8]) -> DocVersion {
        let mut state = self.lock();
        let document = state.documents.entry((tenant.clone(), doc)).or_default();
        let change = Change { parents: heads(document), at, text: text.to_vec() };
        document.insert(change.hash(), change);
        version(tenant, doc, document)
    }

    pub fn refuse(&self, site: &str, tenant_name: &str) {
        self.lock().refused_sites.insert((SiteId::new(site).expect("valid"), tenant(tenant_name)));
    }

    /// Takes back what [`FakeStore::refuse`] said, or its contrary.
    pub fn permit(&self, site: &str, tenant_name: &str) {
        let key = (SiteId::new(site).expect("valid"), tenant(tenant_name));
        self.lock().refused_sites.remove(&key);
    }

    /// From now on the document can be neither applied nor exported.
    pub fn poison(&self, doc: DocId) {
        self.lock().poisoned.insert(doc);
    }

    /// Everything that the store holds, as one value to compare.
    pub fn digest(&self) -> Vec<(TenantId, DocId, HeadsDigest)> {
        let state = self.lock();
        let of = |((tenant, doc), document): (&(TenantId, DocId), &Document)| {
            (tenant.clone(), *doc, version(tenant, *doc, document).heads)
        };
        state.documents.iter().map(of).collect()
    }

    pub fn texts(&self, tenant: &TenantId, doc: DocId) -> BTreeSet<Vec<u8>> {
        let state = self.lock();
        let document = state.documents.get(&(tenant.clone(), doc));
        document.into_iter().flat_map(|d| d.values().map(|c| c.text.clone())).collect()
    }
}

impl DocumentStore for FakeStore {
    fn tenants(&self) -> Vec<TenantId> {
        self.lock().tenants.iter().cloned().collect()
    }

    fn may_replicate(&self, peer_site: &SiteId, tenant: &TenantId) -> bool {
        !self.lock().refused_sites.contains(&(peer_site.clone(), tenant.clone()))
    }

    fn documents(&self, tenant: &TenantId) -> Vec<DocVersion> {
        let state = self.lock();
        let of_tenant = state.documents.iter().filter(|((t, _), _)| t == tenant);
        of_tenant.map(|((t, doc), document)| version(t, *doc, document)).collect()
    }

    fn heads(&self, tenant: &TenantId, doc: &DocId) -> Vec<Hash> {
        self.lock().documents.get(&(tenant.clone(), *doc)).map(heads).unwrap_or_default()
    }

    fn export(&self, tenant: &TenantId, doc: &DocId, have: &[Hash]) -> Result<Vec<u8>, String> {
        let state = self.lock();
        if state.poisoned.contains(doc) {
            return Err(format!("document {doc} is poisoned"));
        }
        let Some(document) = state.documents.get(&(tenant.clone(), *doc)) else {
            return Ok(Vec::new());
        };
        let mut known = BTreeSet::new();
        let mut open: Vec<Hash> = have.to_vec();
        while let Some(hash) = open.pop() {
            if let Some(change) = document.get(&hash).filter(|_| known.insert(hash)) {
                open.extend(&change.parents);
            }
        }
        let lacking = document.iter().filter(|(hash, _)| !known.contains(*hash));
        Ok(lacking.flat_map(|(_, change)| change.encode()).collect())
    }

    fn apply(
        &self,
        tenant: &TenantId,
        doc: &DocId,
        _from: &str,
        bytes: &[u8],
    ) -> Result<Option<DocVersion>, String> {
        let mut state = self.lock();
        if state.poisoned.contains(doc) {
            return Err(format!("document {doc} is poisoned"));
        }
        let changes = Change::decode_all(bytes).ok_or("not a list of changes")?;
        let document = state.documents.entry((tenant.clone(), *doc)).or_default();
        let before = document.len();
        document.extend(changes.into_iter().map(|change| (change.hash(), change)));
        Ok((document.len() > before).then(|| version(tenant, *doc, document)))
    }
}

fn heads(document: &Document) -> Vec<Hash> {
    let parents: BTreeSet<Hash> = document.values().flat_map(|c| c.parents.clone()).collect();
    document.keys().filter(|hash| !parents.contains(*hash)).copied().collect()
}

fn version(tenant: &TenantId, doc: DocId, document: &Document) -> DocVersion {
    let mut hasher = blake3::Hasher::new();
    for head in heads(document) {
        hasher.update(&head);
    }
    let digest = hasher.finalize();
    DocVersion {
        tenant: tenant.clone(),
        doc,
        heads: HeadsDigest(digest.as_bytes()[..16].try_into().expect("16")),
        changed_at: Millis(document.values().map(|c| c.at).max().unwrap_or(0)),
    }
}

pub fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a valid tenant")
}

pub fn doc(number: u64) -> DocId {
    let hash = blake3::hash(&number.to_be_bytes());
    DocId(hash.as_bytes()[..16].try_into().expect("16"))
}
