//! What is seen from outside: times, bytes, promises, breaches. The nodes know nothing of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use holm_mesh_proto::SyncReport;
use holm_model::{DocId, DocVersion, HeadsDigest, TenantId};

use crate::store::{Grants, Hash};
use crate::wire::PACKET_BYTES;
use crate::world::{Written, site_id};

/// The tenant that outsiders must not even hear named.
pub(crate) const CLOSED_TENANT: &str = "closed-tenant-zq7";
/// In every document id and every text of the closed tenant.
pub(crate) const CLOSED_MARK: [u8; 8] = *b"\xc1OSED\x9fZQ";

/// A write that its writer was told is safe.
#[derive(Debug)]
pub struct Acknowledged {
    /// Whose document.
    pub tenant: TenantId,
    /// Which document.
    pub doc: DocId,
    /// The change.
    pub hash: Hash,
    /// The element that it withdrew.
    pub withdrew: Option<Hash>,
}

impl From<Written> for Acknowledged {
    fn from(written: Written) -> Self {
        let Written { tenant, doc, hash, withdrew, .. } = written;
        Self { tenant, doc, hash, withdrew }
    }
}

/// How one version spread.
#[derive(Debug, Clone, Default)]
struct Spread {
    sent_us: u64,
    up: usize,
    hinted: Reach,
    visible: Reach,
    origin: usize,
    /// Whole copies that were sent.
    copies: u64,
    /// From whom each node had it first, and when, where that is kept.
    first: BTreeMap<usize, (usize, u64)>,
}

/// Who was reached, and when the last of those that count.
#[derive(Debug, Clone, Default)]
struct Reach {
    seen: Vec<u64>,
    lasting: usize,
    last_lasting_us: u64,
    all: usize,
    last_us: u64,
}

impl Reach {
    fn add(&mut self, node: usize, counts: bool, now_us: u64) {
        let (word, bit) = (node / 64, 1 << (node % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit != 0 {
            return;
        }
        self.seen[word] |= bit;
        self.all += 1;
        self.last_us = now_us;
        if counts {
            self.lasting += 1;
            self.last_lasting_us = now_us;
        }
    }
}

/// A running hash of everything that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trace(u64, u64);

impl Trace {
    pub(crate) const fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.1 = (self.1 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

/// Everything that was seen.
#[derive(Debug)]
pub struct Watch {
    /// Hash of all events so far.
    pub trace: Trace,
    /// Writes that must be found again.
    pub acknowledged: Vec<Acknowledged>,
    /// Frames with something of the closed tenant that were sent to an outsider.
    pub breaches: u64,
    /// Changes that crashes took from unsynced disks.
    pub unsynced_lost: u64,
    /// Frames that did not encode or decode.
    pub refused_frames: u64,
    /// Control frames dropped at the sender's bound.
    pub dropped_frames: u64,
    /// Sessions that ended because a side broke the protocol.
    pub broken_sessions: u64,
    /// Sessions that ended well.
    pub sessions: u64,
    /// Whole hints sent.
    pub gossip_sends: u64,
    /// Most changes of direction in one session.
    pub most_flights: u64,
    most_beyond: u64,
    /// Bytes and messages sent, by channel.
    pub channels: BTreeMap<&'static str, (u64, u64)>,
    /// Bytes sent by each node, packets' overhead included.
    pub sent: Vec<u64>,
    spreads: HashMap<(DocId, HeadsDigest), Spread>,
    /// Whether it is kept from whom each node had each hint first.
    keeps_ways: bool,
    sites: usize,
    mortal: BTreeSet<usize>,
    closed: bool,
}

/// What the spreads say together.
#[derive(Debug, Default)]
pub struct Spreading {
    /// Versions published.
    pub messages: u64,
    /// 99th percentile of the time until the hint was at every site that ran all the time.
    pub p99_ms: f64,
    /// Median of the same.
    pub p50_ms: f64,
    /// 99th percentile of the same in the anchor's definition: only messages that reached all sites,
    /// the crashed ones included, count.
    pub anchor_p99_ms: f64,
    /// 99th percentile of the time until the document itself was at every such site.
    pub visible_p99_ms: f64,
    /// Hints that did not reach every site that ran all the time (anti-entropy brings these).
    pub incomplete: u64,
    /// Whole copies that reached a node beyond the first, per node and message.
    pub duplicates: f64,
    /// The same of each tenth of the messages, the earliest first: a mesh that has just formed spares no
    /// link yet.
    pub duplicates_by_tenth: Vec<f64>,
}

impl Watch {
    pub(crate) fn new(sites: usize, mortal: BTreeSet<usize>, closed: Option<&TenantId>) -> Self {
        Self {
            trace: Trace::default(),
            acknowledged: Vec::new(),
            breaches: 0,
            unsynced_lost: 0,
            refused_frames: 0,
            dropped_frames: 0,
            broken_sessions: 0,
            sessions: 0,
            gossip_sends: 0,
            most_flights: 0,
            most_beyond: 0,
            channels: BTreeMap::new(),
            sent: vec![0; sites],
            spreads: HashMap::new(),
            keeps_ways: false,
            sites,
            mortal,
            closed: closed.is_some(),
        }
    }

    /// Forgets traffic so far: a measurement begins.
    pub fn reset_traffic(&mut self) {
        self.channels.clear();
        self.sent.iter_mut().for_each(|bytes| *bytes = 0);
    }

    /// The hints that were the last to be at every site that runs all the time, the slowest first: where
    /// they were from, and the way to the site that had them last, each site with the time since the
    /// hint was sent. Empty unless ways are kept.
    pub(crate) fn slowest(&self, most: usize) -> Vec<(u64, Vec<(usize, u64)>)> {
        let lasting = |node: &usize| !self.mortal.contains(node);
        let mut all: Vec<(u64, (usize, u64), &Spread)> = Vec::new();
        for spread in self.spreads.values() {
            let reached = spread.first.iter().filter(|(node, _)| lasting(node));
            if let Some((node, (_, at_us))) =
                reached.max_by_key(|(node, (_, at_us))| (*at_us, **node))
            {
                all.push((at_us - spread.sent_us, (*node, *at_us), spread));
            }
        }
        all.sort_by_key(|(us, (node, _), spread)| (std::cmp::Reverse(*us), spread.origin, *node));
        let way = |(node, at_us): (usize, u64), spread: &Spread| {
            let mut way = vec![(node, at_us - spread.sent_us)];
            let mut at = node;
            while let Some((from, _)) = spread.first.get(&at).filter(|_| way.len() < 64) {
                at = *from;
                let at_us = spread.first.get(&at).map_or(spread.sent_us, |(_, at_us)| *at_us);
                way.push((at, at_us - spread.sent_us));
            }
            way.reverse();
            way
        };
        all.into_iter().take(most).map(|(us, last, spread)| (us, way(last, spread))).collect()
    }

    /// The times of all versions.
    pub fn spreading(&self) -> Spreading {
        let lasting = self.sites - self.mortal.len();
        let (mut full, mut anchor, mut visible) = (Vec::new(), Vec::new(), Vec::new());
        let (mut ups, mut incomplete) = (0, 0);
        for spread in self.spreads.values() {
            ups += spread.up.saturating_sub(1) as u64;
            if spread.hinted.lasting == lasting {
                full.push(spread.hinted.last_lasting_us.saturating_sub(spread.sent_us));
            } else {
                incomplete += 1;
            }
            if spread.hinted.all == self.sites {
                anchor.push(spread.hinted.last_us.saturating_sub(spread.sent_us));
            }
            if spread.visible.lasting == lasting {
                visible.push(spread.visible.last_lasting_us.saturating_sub(spread.sent_us));
            }
        }
        Spreading {
            messages: self.spreads.len() as u64,
            p99_ms: percentile_ms(&mut full, 99),
            p50_ms: percentile_ms(&mut full, 50),
            anchor_p99_ms: percentile_ms(&mut anchor, 99),
            visible_p99_ms: percentile_ms(&mut visible, 99),
            incomplete,
            duplicates: if ups == 0 {
                0.0
            } else {
                (self.gossip_sends as f64 / ups as f64 - 1.0).max(0.0)
            },
            duplicates_by_tenth: self.duplicates_by_tenth(),
        }
    }

    /// Copies beyond the first, per node and message, of each tenth of the messages as they were sent.
    fn duplicates_by_tenth(&self) -> Vec<f64> {
        let mut all: Vec<(u64, u64, u64)> = self
            .spreads
            .values()
            .map(|spread| (spread.sent_us, spread.copies, spread.up.saturating_sub(1) as u64))
            .collect();
        all.sort_unstable();
        let tenths = all.chunks(all.len().div_ceil(10).max(1));
        let beyond = |tenth: &[(u64, u64, u64)]| {
            let copies: u64 = tenth.iter().map(|(_, copies, _)| copies).sum();
            let ups: u64 = tenth.iter().map(|(_, _, up)| up).sum();
            (copies as f64 / ups.max(1) as f64 - 1.0).max(0.0)
        };
        tenths.map(beyond).collect()
    }

    /// Keeps from whom each node has each hint first, from now on.
    pub(crate) const fn keep_ways(&mut self) {
        self.keeps_ways = true;
    }

    pub(crate) fn traffic(&mut self, node: usize, kind: &'static str, bytes: u64, packets: u64) {
        let channel = self.channels.entry(kind).or_default();
        channel.0 += bytes + packets * PACKET_BYTES;
        channel.1 += packets;
        self.sent[node] += bytes + packets * PACKET_BYTES;
    }

    pub(crate) fn published(&mut self, version: &DocVersion, node: usize, now_us: u64, up: usize) {
        let mut spread = Spread { sent_us: now_us, up, origin: node, ..Spread::default() };
        let counts = !self.mortal.contains(&node);
        spread.hinted.add(node, counts, now_us);
        spread.visible.add(node, counts, now_us);
        self.spreads.entry((version.doc, version.heads)).or_insert(spread);
    }

    /// A whole hint was sent.
    pub(crate) fn sent_hint(&mut self, version: &DocVersion) {
        self.gossip_sends += 1;
        if let Some(spread) = self.spreads.get_mut(&(version.doc, version.heads)) {
            spread.copies += 1;
        }
    }

    pub(crate) fn hinted(&mut self, version: &DocVersion, from: usize, node: usize, now_us: u64) {
        let counts = !self.mortal.contains(&node);
        if let Some(spread) = self.spreads.get_mut(&(version.doc, version.heads)) {
            spread.hinted.add(node, counts, now_us);
            if self.keeps_ways && node != spread.origin {
                spread.first.entry(node).or_insert((from, now_us));
            }
        }
    }

    pub(crate) fn visible(&mut self, version: &DocVersion, node: usize, now_us: u64) {
        let counts = !self.mortal.contains(&node);
        if let Some(spread) = self.spreads.get_mut(&(version.doc, version.heads)) {
            spread.visible.add(node, counts, now_us);
        }
    }

    /// A session ended well. `beyond` counts the flights until the last document had come, without
    /// those that carried documents.
    pub(crate) fn session(&mut self, report: &SyncReport, flights: u64, beyond: u64) {
        self.sessions += 1;
        self.most_flights = self.most_flights.max(flights);
        if report.pulled + report.pushed > 0 {
            self.most_beyond = self.most_beyond.max(beyond);
        }
    }

    pub(crate) const fn healed(&mut self) {
        self.most_beyond = 0;
    }

    /// Round trips that a session needed besides the transfer, at most, since the last heal.
    pub fn heal_round_trips(&self) -> f64 {
        self.most_beyond as f64 / 2.0
    }

    /// Looks into a frame for what its receiver must not have.
    pub(crate) fn isolated(&mut self, frame: &[u8], grants: &Grants, to: usize) {
        if !self.closed {
            return;
        }
        let Ok(closed) = TenantId::new(CLOSED_TENANT) else { return };
        if grants.may(&site_id(to), &closed) {
            return;
        }
        let has = |what: &[u8]| frame.windows(what.len()).any(|window| window == what);
        if has(CLOSED_TENANT.as_bytes()) || has(&CLOSED_MARK) {
            self.breaches += 1;
        }
    }
}

/// The percentile of times in microseconds, as milliseconds; 0 of none.
pub(crate) fn percentile_ms(times_us: &mut [u64], percent: usize) -> f64 {
    times_us.sort_unstable();
    let at = (times_us.len() * percent / 100).min(times_us.len().saturating_sub(1));
    times_us.get(at).map_or(0.0, |us| *us as f64 / 1_000.0)
}
