//! What is remembered of an exporter: its domains with their templates, samplers and names.

use std::net::SocketAddr;

use hashbrown::HashMap;

use crate::counters::Counters;
use crate::limits::Limits;
use crate::names::NameKey;
use crate::plan::{FieldSpec, Plan};
use crate::sequence::Sequence;

/// The protocol of a domain; template and domain ids of one mean nothing in another.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Cisco NetFlow version 5.
    NetflowV5,
    /// RFC 3954.
    NetflowV9,
    /// RFC 7011.
    Ipfix,
    /// sFlow version 5 (sflow.org, July 2004).
    #[serde(rename = "sflow_5")]
    Sflow5,
}

/// What tells one domain of an exporter from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DomainKey {
    pub(crate) protocol: Protocol,
    /// Source id, observation domain id, sub-agent id, or engine type and id.
    pub(crate) id: u32,
    /// The sFlow agent; zeros for others.
    pub(crate) agent: [u8; 16],
}

/// A template and what it was compiled to.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) fields: Box<[FieldSpec]>,
    /// Fields of the scope, at the begin; `None` of a data template.
    pub(crate) scope: Option<u16>,
    pub(crate) plan: Plan,
}

/// One observation domain.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) key: DomainKey,
    pub(crate) templates: HashMap<u16, Template>,
    pub(crate) sequence: Sequence,
    /// Rate of each sampler: one of so many packets.
    pub(crate) samplers: HashMap<u32, u32>,
    /// Rate of each interface, where options told it so.
    pub(crate) interface_rates: HashMap<u32, u32>,
    /// Rate of what names no sampler.
    pub(crate) rate: Option<u32>,
    pub(crate) interfaces: HashMap<u32, NameKey>,
    pub(crate) applications: HashMap<u64, NameKey>,
    pub(crate) vrfs: HashMap<u32, NameKey>,
    /// When the exporter started, milliseconds since 1970.
    pub(crate) init_ms: Option<u64>,
    /// Templates that data sets wait for.
    pub(crate) waiting: Vec<u16>,
}

impl Domain {
    pub(crate) fn new(key: DomainKey) -> Self {
        Self {
            key,
            templates: HashMap::new(),
            sequence: Sequence::default(),
            samplers: HashMap::new(),
            interface_rates: HashMap::new(),
            rate: None,
            interfaces: HashMap::new(),
            applications: HashMap::new(),
            vrfs: HashMap::new(),
            init_ms: None,
            waiting: Vec::new(),
        }
    }

    /// The rate of records that name no sampler: the domain's own, or that of its only sampler.
    pub(crate) fn plain_rate(&self) -> Option<u32> {
        self.rate.or_else(|| match self.samplers.len() {
            1 => self.samplers.values().next().copied(),
            _ => None,
        })
    }
}

/// Inserts unless the map is full; whether there was room.
pub(crate) fn insert_bounded<K: std::hash::Hash + Eq, V>(
    map: &mut HashMap<K, V>,
    key: K,
    value: V,
    most: usize,
) -> bool {
    if map.len() >= most && !map.contains_key(&key) {
        return false;
    }
    map.insert(key, value);
    true
}

/// [`insert_bounded`], counted in `learnt` if it is news.
pub(crate) fn learn_bounded<K: std::hash::Hash + Eq, V: PartialEq>(
    map: &mut HashMap<K, V>,
    key: K,
    value: V,
    most: usize,
    learnt: &mut u64,
) -> bool {
    if map.get(&key) == Some(&value) {
        return true;
    }
    let room = insert_bounded(map, key, value, most);
    *learnt += u64::from(room);
    room
}

/// Where the domain of `key` is, which is made if there is room.
pub(crate) fn domain_at(
    domains: &mut Vec<Domain>,
    key: &DomainKey,
    limits: &Limits,
) -> Option<usize> {
    match domains.iter().position(|domain| domain.key == *key) {
        Some(index) => Some(index),
        None if domains.len() < limits.max_domains => {
            domains.push(Domain::new(*key));
            Some(domains.len() - 1)
        }
        None => None,
    }
}

/// One exporter: a transport address that sends.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) from: SocketAddr,
    pub(crate) domains: Vec<Domain>,
    /// Index of the domain that was used last.
    recent: usize,
    pub(crate) counters: Counters,
    /// When it sent last, nanoseconds since 1970.
    pub(crate) heard_ns: i64,
}

impl Exporter {
    pub(crate) fn new(from: SocketAddr) -> Self {
        Self { from, domains: Vec::new(), recent: 0, counters: Counters::default(), heard_ns: 0 }
    }

    /// Index of the domain of `key`, which is made if there is room.
    pub(crate) fn domain(&mut self, key: &DomainKey, limits: &Limits) -> Option<usize> {
        if self.domains.get(self.recent).is_some_and(|domain| domain.key == *key) {
            return Some(self.recent);
        }
        let index = domain_at(&mut self.domains, key, limits)?;
        self.recent = index;
        Some(index)
    }

    /// Fields of all its templates.
    pub(crate) fn fields(&self) -> usize {
        let templates = self.domains.iter().flat_map(|domain| domain.templates.values());
        templates.map(|template| template.fields.len()).sum()
    }
}
