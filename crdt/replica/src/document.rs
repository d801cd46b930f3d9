//! One document: an Automerge document whose root map holds everything.
//!
//! Keys: `h/…` header, `e/<node>/<element id>` packed element records, `r/<node>/<key>` records of other
//! kinds, `s/<hash>` roster statements.
//! Nothing is nested, so two actors that begin the same document without knowing of each other never
//! make two objects where one is meant. Format: `docs/formats/topology-document.md`.

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{
    ActorId, Automerge, Change, ChangeHash, LoadOptions, OnPartialLoad, ROOT, ReadDoc, SaveOptions,
    ScalarValue, ScalarValueRef, ValueRef, VerificationMode,
};
use holm_model::{DocKind, ElementId, HeadsDigest, Millis, NodeName, SiteId, TenantId};

use crate::DocName;
use crate::element::ElementRecord;
use crate::inspect::{ChunkKind, MAX_OP_COUNTER, chunks};
use crate::place::{Place, Shard, shard_hash};
use crate::values::{after, agreed_text, bytes_at, numbers};

/// Longest change, in bytes before compression: larger batches are split.
pub const MAX_CHANGE_BYTES: usize = 16 * 1024;
/// What one operation costs in a change beside its key and value, in bytes, at most.
const OP_BYTES: usize = 32;
/// The latest header format that this crate reads: epochs later than the first have it, because what
/// their `h/base/` says must be known to read them.
const FORMAT: u64 = 2;
/// The header format of a site's first document and of those that have no epochs.
const FIRST_FORMAT: u64 = 1;
/// Latest time that a header may state; later ones count as this one. (Year 10889.)
const LATEST: u64 = 1 << 48;

const KIND: &str = "h/kind";
const TENANT: &str = "h/tenant";
const KEY: &str = "h/key";
const FORMAT_KEY: &str = "h/format";
const CHANGED_AT: &str = "h/changed_at";
const WRITER: &str = "h/node/";
const BASE: &str = "h/base/";
const CARRIED: &str = "h/carried/";
const ELEMENT: &str = "e/";
const RECORD: &str = "r/";
const STATEMENT: &str = "s/";

/// Something to write under a key of the root map.
pub(crate) type Put = (String, ScalarValue);

/// A record of a node, by its key.
pub(crate) struct Keyed {
    pub(crate) node: NodeName,
    pub(crate) key: Box<str>,
    pub(crate) values: Vec<Vec<u8>>,
}

/// Which keys new changes touched.
pub(crate) enum Touched {
    /// All: the bytes are one chunk, a whole document, and nothing was there before.
    Whole,
    All,
    Keys(BTreeSet<String>),
}

/// A document in memory.
#[derive(Clone)]
pub(crate) struct Document {
    am: Automerge,
    name: DocName,
    readable: bool,
    writers: BTreeSet<NodeName>,
    /// Writers that carried all they had of this shard over to here, and until when they forgot.
    bases: BTreeMap<NodeName, Millis>,
    /// How many records were carried over to here.
    carried: u64,
    place: Option<(SiteId, Place)>,
    /// How long it was when it was found that a new epoch would not be shorter.
    pub(crate) stuck_at: usize,
    pub(crate) changed_at: Millis,
    /// Records that could not be read when they were last looked at all together.
    pub(crate) unreadable: u64,
    pub(crate) disk: OnDisk,
}

/// What of a document lies on disk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OnDisk {
    /// The sequence of the next row.
    pub(crate) next_sequence: u64,
    /// How many rows there are.
    pub(crate) rows: usize,
    /// Length of the snapshot, and of the changes after it, in bytes.
    pub(crate) snapshot_bytes: usize,
    pub(crate) since_bytes: usize,
    /// The next row must be the whole document: what lies there is not to be built upon.
    pub(crate) rewrite: bool,
}

impl OnDisk {
    /// How long all of it is, in bytes: exact after a snapshot, else an upper bound.
    pub(crate) fn bytes(self) -> usize {
        self.snapshot_bytes.saturating_add(self.since_bytes)
    }
}

impl Document {
    /// A document that nothing was written into.
    pub(crate) fn new(name: DocName) -> Self {
        Self {
            am: Automerge::new(),
            place: name.topology_place(),
            name,
            readable: true,
            writers: BTreeSet::new(),
            bases: BTreeMap::new(),
            carried: 0,
            stuck_at: 0,
            changed_at: Millis(0),
            unreadable: 0,
            disk: OnDisk { rewrite: true, ..OnDisk::default() },
        }
    }

    /// A document around what was loaded or received.
    ///
    /// # Errors
    /// What is wrong with its header.
    pub(crate) fn from_automerge(am: Automerge, tenant: &TenantId) -> Result<Self, &'static str> {
        let text = |key| agreed_text(&am, key);
        let kind = text(KIND)?;
        let key = text(KEY)?;
        if text(TENANT)? != tenant.as_str() {
            return Err("its header names another tenant");
        }
        let name = DocName::from_header(&kind, &key).ok_or("its header is too long")?;
        let known = [DocKind::Topology, DocKind::Roster];
        let known = known.iter().any(|k| k.as_str() == name.kind()) || name.is_of_records();
        let place = name.topology_place();
        if name.kind() == DocKind::Topology.as_str() && place.is_none() {
            return Err("its header names no site, epoch and shard");
        }
        if name.is_of_records() && name.records_place().is_none() {
            return Err("its header names no site, period and part");
        }
        let format = numbers(&am, FORMAT_KEY).max().unwrap_or(FORMAT);
        let changed_at = numbers(&am, CHANGED_AT).max().unwrap_or(0).min(LATEST);
        let nodes = |prefix: &'static str| {
            let range = am.map_range(&ROOT, prefix.to_owned()..after(prefix));
            range.filter_map(move |item| NodeName::new(item.key.strip_prefix(prefix)?).ok())
        };
        let writers = nodes(WRITER).collect();
        let bases = nodes(BASE)
            .map(|node| {
                let horizon = numbers(&am, &format!("{BASE}{node}")).min().unwrap_or(0);
                (node, Millis(horizon))
            })
            .collect();
        let carried = nodes(CARRIED)
            .filter_map(|node| numbers(&am, &format!("{CARRIED}{node}")).max())
            .fold(0, u64::saturating_add);
        Ok(Self {
            am,
            name,
            place,
            readable: known && format <= FORMAT,
            writers,
            bases,
            carried,
            stuck_at: 0,
            changed_at: Millis(changed_at),
            unreadable: 0,
            disk: OnDisk { rewrite: true, ..OnDisk::default() },
        })
    }

    pub(crate) fn name(&self) -> &DocName {
        &self.name
    }

    /// Its site and place, if it is a topology document.
    pub(crate) fn place(&self) -> Option<&(SiteId, Place)> {
        self.place.as_ref()
    }

    /// Whether this version of Holm understands it.
    pub(crate) fn readable(&self) -> bool {
        self.readable
    }

    /// The nodes whose records are here.
    pub(crate) fn writers(&self) -> &BTreeSet<NodeName> {
        &self.writers
    }

    /// The nodes that carried all they had of this shard over to here, with the moment before which
    /// they forgot what had ended.
    pub(crate) fn bases(&self) -> &BTreeMap<NodeName, Millis> {
        &self.bases
    }

    /// Whether it has everything that `node` knew of this shard: earlier documents count no longer.
    pub(crate) fn is_base_of(&self, node: &NodeName) -> bool {
        self.bases.contains_key(node) && self.writers.contains(node)
    }

    /// Whether `node` has a record of `id` here, readable or not.
    pub(crate) fn has_record(&self, node: &NodeName, id: &ElementId) -> bool {
        self.writers.contains(node) && self.has(&element_key(node, id))
    }

    pub(crate) fn heads(&self) -> Vec<[u8; 32]> {
        self.am.get_heads().into_iter().map(|h| h.0).collect()
    }

    pub(crate) fn heads_digest(&self) -> HeadsDigest {
        let mut hasher = blake3::Hasher::new_derive_key("holm document heads v1");
        for head in self.am.get_heads() {
            hasher.update(&head.0);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        HeadsDigest(digest)
    }

    pub(crate) fn ops(&self) -> u64 {
        self.am.stats().num_ops
    }

    pub(crate) fn whole(&self) -> Vec<u8> {
        self.am.save()
    }

    pub(crate) fn since(&self, heads: &[[u8; 32]]) -> Vec<u8> {
        self.am.save_after(&hashes(heads))
    }

    /// Whether every one of `heads` is known here.
    pub(crate) fn knows(&self, heads: &[[u8; 32]]) -> bool {
        hashes(heads).iter().all(|h| self.am.get_change_meta_by_hash(h).is_some())
    }

    /// Notes, with the next write, that `node` carries all it has of this shard over to here: so many
    /// records, without what ended by `horizon`.
    pub(crate) fn base_puts(&mut self, node: &NodeName, horizon: Millis, records: u64) -> [Put; 2] {
        self.bases.insert(node.clone(), horizon);
        self.carried = self.carried.saturating_add(records);
        [
            (format!("{BASE}{node}"), ScalarValue::Uint(horizon.0)),
            (format!("{CARRIED}{node}"), ScalarValue::Uint(records)),
        ]
    }

    /// Operations beside those that carried records over to here.
    pub(crate) fn grown(&self) -> u64 {
        self.ops().saturating_sub(self.carried)
    }

    /// A number that differs between documents, by their name.
    pub(crate) fn shade(&self) -> u8 {
        blake3::hash(self.name.key().as_bytes()).as_bytes()[0]
    }

    pub(crate) fn carried(&self) -> u64 {
        self.carried
    }

    /// Writes `puts` as `actor`, split so that no change is longer than [`MAX_CHANGE_BYTES`].
    /// Returns how many operations that took.
    pub(crate) fn write(
        &mut self,
        actor: &ActorId,
        tenant: &TenantId,
        node: &NodeName,
        puts: Vec<Put>,
        now: Millis,
    ) -> Result<u64, String> {
        let before = self.ops();
        self.am.set_actor(actor.clone());
        let mut header = Vec::new();
        let text = |s: &str| ScalarValue::Str(s.into());
        let first = self.place.as_ref().is_none_or(|(_, place)| *place == Place::FIRST);
        let format = if first { FIRST_FORMAT } else { FORMAT };
        for (key, value) in [
            (KIND, text(self.name.kind())),
            (TENANT, text(tenant.as_str())),
            (KEY, text(self.name.key())),
            (FORMAT_KEY, ScalarValue::Uint(format)),
        ] {
            if !self.has(key) {
                header.push((key.to_owned(), value));
            }
        }
        if self.writers.insert(node.clone()) {
            header.push((format!("{WRITER}{node}"), ScalarValue::Uint(1)));
        }
        self.changed_at = now.max(self.changed_at);
        let mut puts = header.into_iter().chain(puts).peekable();
        while puts.peek().is_some() {
            let mut transaction = self.am.transaction();
            let mut bytes = 0;
            while let Some((key, value)) =
                puts.next_if(|(k, v)| bytes == 0 || bytes + cost(k, v) <= MAX_CHANGE_BYTES)
            {
                bytes += cost(&key, &value);
                transaction.put(ROOT, key, value).map_err(|e| e.to_string())?;
            }
            transaction
                .put(ROOT, CHANGED_AT, ScalarValue::Uint(self.changed_at.0))
                .map_err(|e| e.to_string())?;
            // Automerge counts seconds; the header has the milliseconds.
            let seconds = i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX);
            transaction.commit_with(CommitOptions::default().with_time(seconds));
        }
        Ok(self.ops() - before)
    }

    /// The record of `node` about `id`, joined where several incarnations of it wrote at once.
    pub(crate) fn record(&self, node: &NodeName, id: &ElementId) -> Option<ElementRecord> {
        self.joined(&element_key(node, id)).0
    }

    /// Every record by element and node, and how many could not be read.
    pub(crate) fn records(&self) -> (BTreeMap<ElementId, Vec<(NodeName, ElementRecord)>>, u64) {
        let mut all: BTreeMap<ElementId, Vec<(NodeName, ElementRecord)>> = BTreeMap::new();
        let mut unreadable = 0;
        if !self.readable {
            return (all, 0);
        }
        for item in self.am.map_range(&ROOT, ELEMENT.to_owned()..after(ELEMENT)) {
            let Some((node, id)) = parse_element_key(&item.key) else {
                unreadable += 1;
                continue;
            };
            if !self.covers(&id) {
                continue;
            }
            let (record, bad) = match &item.value {
                ValueRef::Scalar(ScalarValueRef::Bytes(packed)) if !item.conflict => {
                    let record = ElementRecord::decode(packed);
                    let bad = u64::from(record.is_err());
                    (record.ok(), bad)
                }
                _ => self.joined(&item.key),
            };
            unreadable += bad;
            if let Some(record) = record.filter(|_| self.writers.contains(&node)) {
                all.entry(id).or_default().push((node, record));
            }
        }
        (all, unreadable)
    }

    /// The elements of which `node` has a record here.
    pub(crate) fn elements_of(&self, node: &NodeName) -> Vec<ElementId> {
        let prefix = format!("{ELEMENT}{node}/");
        let end = after(&prefix);
        let range = self.am.map_range(&ROOT, prefix..end);
        range
            .filter_map(|item| Some(parse_element_key(&item.key)?.1))
            .filter(|id| self.covers(id))
            .collect()
    }

    /// How long the packed records of `node`, or of all, are by element, as they lie here.
    pub(crate) fn record_lens(&self) -> impl Iterator<Item = (NodeName, ElementId, usize)> {
        let range = self.am.map_range(&ROOT, ELEMENT.to_owned()..after(ELEMENT));
        range.filter_map(|item| {
            let (node, id) = parse_element_key(&item.key)?;
            let ValueRef::Scalar(ScalarValueRef::Bytes(packed)) = &item.value else { return None };
            self.covers(&id).then(|| (node, id, packed.len()))
        })
    }

    /// Whether `id` belongs into this document's shard.
    fn covers(&self, id: &ElementId) -> bool {
        let Some((_, place)) = &self.place else { return false };
        place.shard == Shard::WHOLE || place.shard.covers(shard_hash(id))
    }

    /// The elements among `touched`; `None` stands for all of them.
    pub(crate) fn touched_elements(touched: &Touched) -> Option<BTreeSet<ElementId>> {
        let Touched::Keys(keys) = touched else { return None };
        // A writer that is new makes its records readable: look at all of them.
        let header = |k: &String| k.starts_with(WRITER) || k.starts_with(BASE) || k == FORMAT_KEY;
        if keys.iter().any(header) {
            return None;
        }
        Some(keys.iter().filter_map(|k| parse_element_key(k)).map(|(_, id)| id).collect())
    }

    /// The statements whose hash is that of their key.
    pub(crate) fn statements(&self) -> Vec<Vec<u8>> {
        if !self.readable || self.name.kind() != DocKind::Roster.as_str() {
            return Vec::new();
        }
        self.am
            .map_range(&ROOT, STATEMENT.to_owned()..after(STATEMENT))
            .filter_map(|item| {
                let key = item.key.into_owned();
                bytes_at(&self.am, &key).into_iter().find(|s| statement_key(s) == key)
            })
            .collect()
    }

    /// The records of nodes that write here, by node and key, with all values that stand under the key.
    /// With `touched` only those among these.
    pub(crate) fn keyed(&self, touched: Option<&BTreeSet<String>>) -> Vec<Keyed> {
        if !self.readable || !self.name.is_of_records() {
            return Vec::new();
        }
        let read = |key: &str| {
            let (node, rest) = key.strip_prefix(RECORD)?.split_once('/')?;
            let node = NodeName::new(node).ok().filter(|node| self.writers.contains(node))?;
            Some(Keyed { node, key: rest.into(), values: bytes_at(&self.am, key) })
        };
        match touched {
            Some(keys) => keys.iter().filter_map(|key| read(key)).collect(),
            None => {
                let all = self.am.map_range(&ROOT, RECORD.to_owned()..after(RECORD));
                all.filter_map(|item| read(&item.key)).collect()
            }
        }
    }

    /// Whether `node` has a record of this key here.
    pub(crate) fn has_keyed(&self, node: &NodeName, key: &str) -> bool {
        self.has(&record_key(node, key))
    }

    /// The values of a record of `node`.
    pub(crate) fn values(&self, node: &NodeName, key: &str) -> Vec<Vec<u8>> {
        bytes_at(&self.am, &record_key(node, key))
    }

    /// The keys among `touched`; `None` stands for all of them.
    pub(crate) fn touched_keys(touched: &Touched) -> Option<&BTreeSet<String>> {
        let Touched::Keys(keys) = touched else { return None };
        // A writer that is new makes its records readable: look at all of them.
        let header = |k: &String| k.starts_with(WRITER) || k == FORMAT_KEY;
        (!keys.iter().any(header)).then_some(keys)
    }

    pub(crate) fn has_statement(&self, statement: &[u8]) -> bool {
        let key = statement_key(statement);
        bytes_at(&self.am, &key).iter().any(|s| s == statement)
    }

    /// Takes in a peer's or the disk's bytes, all or nothing: on an error `self` must be dropped.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub(crate) fn absorb(am: &mut Automerge, blob: &[u8]) -> Result<Touched, String> {
        let mut keys = BTreeSet::new();
        let mut all = false;
        let found = chunks(blob)?;
        for run in found.chunk_by(|a, b| a.kind == b.kind && a.kind == ChunkKind::Change) {
            let mut new = Vec::with_capacity(run.len());
            for chunk in run {
                if chunk.kind == ChunkKind::Change {
                    let change =
                        Change::from_bytes(chunk.bytes.to_vec()).map_err(|e| e.to_string())?;
                    new.push(change);
                    continue;
                }
                let other = load(chunk.bytes, VerificationMode::Check)?;
                if am.get_heads().is_empty() {
                    check_counters(&other)?;
                    *am = other;
                    all = true;
                } else {
                    new.extend(am.get_changes_added(&other));
                }
            }
            new.retain(|c| am.get_change_meta_by_hash(&c.hash()).is_none());
            if new.iter().any(|c| c.max_op() > MAX_OP_COUNTER) {
                return Err("its operation counter is beyond any honest document's".into());
            }
            for change in &new {
                keys.extend(change.decode().operations.into_iter().filter_map(|op| match op.key {
                    automerge::legacy::Key::Map(key) => Some(key.to_string()),
                    automerge::legacy::Key::Seq(_) => None,
                }));
            }
            am.apply_changes(new).map_err(|e| e.to_string())?;
        }
        Ok(match found.len() {
            1 if all => Touched::Whole,
            _ if all => Touched::All,
            _ => Touched::Keys(keys),
        })
    }

    pub(crate) fn automerge(&self) -> &Automerge {
        &self.am
    }

    /// Every value under `key` joined, and how many could not be read.
    fn joined(&self, key: &str) -> (Option<ElementRecord>, u64) {
        if !self.readable {
            return (None, 0);
        }
        let packed = bytes_at(&self.am, key);
        let read: Vec<_> = packed.iter().filter_map(|p| ElementRecord::decode(p).ok()).collect();
        let bad = (packed.len() - read.len()) as u64;
        (ElementRecord::settle(read), bad)
    }

    fn has(&self, key: &str) -> bool {
        self.am.get(&ROOT, key).is_ok_and(|v| v.is_some())
    }
}

/// Loads what this node sealed itself: authenticated already, so the heads are not hashed again.
pub(crate) fn load_own(bytes: &[u8]) -> Result<Automerge, String> {
    let am = load(bytes, VerificationMode::DontCheck)?;
    if !am.get_missing_deps(&[]).is_empty() {
        return Err("changes are missing".into());
    }
    // Changes that follow a snapshot leave Automerge's columns with several times the room that they
    // need; a copy has as much as it needs.
    Ok(am.clone())
}

/// The same document without changes whose predecessors are missing: they would block every later
/// question for what is missing.
pub(crate) fn without_orphans(am: &Automerge) -> Result<Automerge, String> {
    let options = SaveOptions { retain_orphans: false, ..SaveOptions::default() };
    load(&am.save_with_options(options), VerificationMode::DontCheck)
}

pub(crate) fn element_key(node: &NodeName, id: &ElementId) -> String {
    format!("{ELEMENT}{node}/{id}")
}

pub(crate) fn record_key(node: &NodeName, key: &str) -> String {
    format!("{RECORD}{node}/{key}")
}

pub(crate) fn statement_key(statement: &[u8]) -> String {
    format!("{STATEMENT}{}", blake3::hash(statement).to_hex())
}

fn load(bytes: &[u8], mode: VerificationMode) -> Result<Automerge, String> {
    let options = LoadOptions::new().on_partial_load(OnPartialLoad::Error).verification_mode(mode);
    Automerge::load_with_options(bytes, options).map_err(|e| e.to_string())
}

fn check_counters(am: &Automerge) -> Result<(), String> {
    let beyond = am.get_changes_meta(&[]).iter().any(|c| c.max_op > MAX_OP_COUNTER);
    if beyond {
        Err("its operation counter is beyond any honest document's".into())
    } else {
        Ok(())
    }
}

fn parse_element_key(key: &str) -> Option<(NodeName, ElementId)> {
    let (node, id) = key.strip_prefix(ELEMENT)?.split_once('/')?;
    Some((NodeName::new(node).ok()?, id.parse().ok()?))
}

fn cost(key: &str, value: &ScalarValue) -> usize {
    let value = match value {
        ScalarValue::Bytes(bytes) => bytes.len(),
        ScalarValue::Str(text) => text.len(),
        _ => 8,
    };
    key.len() + value + OP_BYTES
}

fn hashes(heads: &[[u8; 32]]) -> Vec<ChangeHash> {
    heads.iter().map(|h| ChangeHash(*h)).collect()
}
