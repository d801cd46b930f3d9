//! What is not as usual: traffic of links, pairs and networks, minute by minute, against what it used to be.
//!
//! Flows are spread over the minutes that they lasted; a minute is judged two minutes after it ended, for
//! exporters tell of flows when they end or time out. What comes even later is counted and left out: an
//! exporter whose active timeout is longer makes its links look smaller, always by about the same.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::{HashMap, HashSet};

use super::baseline::{Baseline, Level, Verdict};
use super::enrich::Enricher;
use super::sketch::SpaceSaving;
use crate::read::{address_of, mapped};

const MINUTE_MS: u64 = 60_000;
/// Minutes that still fill when one begins.
const OPEN: u64 = 2;
/// Most links of one minute, and in all.
const MAX_LINKS: usize = 1_024;
/// Most pairs that are followed, and most networks.
const MAX_PAIRS: usize = 256;
const MAX_NETWORKS: usize = 512;
/// Places of a minute's sketches: a key of more than 1/1024 of the traffic is not missed.
const PLACES: usize = 1_024;
/// Heaviest pairs, and networks, that are told of a minute.
const HEAVIEST: usize = 20;
/// Most that are taken up in one minute of each kind.
const TAKEN_UP: usize = 32;
/// A key that had nothing for so long is forgotten.
const FORGOTTEN_MS: u64 = 7 * 24 * 60 * MINUTE_MS;
/// Minutes off what is usual before it is said, and back before it is over.
const RAISED_AFTER: u32 = 2;
const CLEARED_AFTER: u32 = 3;
/// What holds is said again so often: what nobody says again was raised by a run that ended.
pub(crate) const SAID_AGAIN_MS: u64 = 5 * MINUTE_MS;

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Link {
        exporter: [u8; 16],
        interface: u32,
        inbound: bool,
    },
    Pair {
        from: [u8; 16],
        to: [u8; 16],
    },
    /// A configured network by its place, or 24 or 48 bits of an address.
    Network {
        address: [u8; 16],
        inbound: bool,
    },
}

impl Key {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Link { .. } => "link",
            Self::Pair { .. } => "pair",
            Self::Network { .. } => "network",
        }
    }

    pub(crate) fn text(&self, names: &Enricher) -> String {
        match self {
            Self::Link { exporter, interface, inbound } => {
                let way = if *inbound { "in" } else { "out" };
                format!("{} {way} {interface}", address_of(*exporter))
            }
            Self::Pair { from, to } => format!("{} > {}", address_of(*from), address_of(*to)),
            Self::Network { address, inbound } => {
                let way = if *inbound { "to" } else { "from" };
                match names.network_of(address) {
                    Some(name) => format!("{way} {name}"),
                    None => format!("{way} {}/{}", address_of(*address), prefix_bits(address)),
                }
            }
        }
    }
}

fn is_v4(address: &[u8; 16]) -> bool {
    address[..12] == mapped([0; 4])[..12]
}

fn prefix_bits(address: &[u8; 16]) -> u8 {
    if is_v4(address) { 24 } else { 48 }
}

/// The network of an address, by an address of it: the first of its configured one, else of 24 or 48 bits.
fn network(address: &[u8; 16], names: &Enricher) -> [u8; 16] {
    if let Some(first) = names.network_begin(address) {
        return first;
    }
    let mut first = *address;
    let kept = if is_v4(address) { 15 } else { 6 };
    first[kept..].fill(0);
    first
}

/// What settings the detector has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// Below this, both now and usually, nothing is said: bit/s.
    pub(crate) least_bps: f64,
    /// So many spreads off is not as usual.
    pub(crate) sigma: f64,
}

/// One flow, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) exporter: [u8; 16],
    pub(crate) inbound: Option<u32>,
    pub(crate) outbound: Option<u32>,
    /// Counted as it left.
    pub(crate) egress: bool,
    pub(crate) from: [u8; 16],
    pub(crate) to: [u8; 16],
    pub(crate) bytes: u64,
    /// Milliseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What is said of something that is not as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Raised,
    /// It was raised before and holds.
    Holds,
    Cleared,
}

/// Something turned, or holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) kind: &'static str,
    pub(crate) key: String,
    pub(crate) turn: Turn,
    /// Whether it is, or was, more than usual.
    pub(crate) above: bool,
    pub(crate) current_bps: f64,
    pub(crate) verdict: Verdict,
    pub(crate) since_ms: u64,
    pub(crate) at_ms: u64,
}

/// One of the heaviest of a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heavy {
    pub(crate) kind: &'static str,
    pub(crate) key: String,
    pub(crate) at_ms: u64,
    pub(crate) bytes: u64,
    /// By how much that may be too many.
    pub(crate) error: u64,
    /// Of all keys.
    pub(crate) total: u64,
    /// What a key that is not among them may have at most.
    pub(crate) bound: u64,
}

/// What minutes that are over said.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) findings: Vec<Finding>,
    pub(crate) heavy: Vec<Heavy>,
}

#[derive(Debug)]
struct Minute {
    begin: u64,
    /// Bytes of what is followed, and of all links.
    exact: HashMap<Key, u64>,
    pairs: SpaceSaving<Key>,
    networks: SpaceSaving<Key>,
    exporters: HashSet<[u8; 16]>,
}

impl Minute {
    fn new(begin: u64) -> Self {
        let (pairs, networks) = (SpaceSaving::new(PLACES), SpaceSaving::new(PLACES));
        Self { begin, exact: HashMap::new(), pairs, networks, exporters: HashSet::new() }
    }

    /// Bytes of a key. One that was not followed yet when the minute began was counted by the sketch.
    fn bytes_of(&self, key: &Key) -> u64 {
        let exact = self.exact.get(key).copied().unwrap_or(0);
        let sketch = match key {
            Key::Link { .. } => return exact,
            Key::Pair { .. } => &self.pairs,
            Key::Network { .. } => &self.networks,
        };
        exact.max(sketch.at_least(key))
    }
}

#[derive(Debug)]
struct Followed {
    baseline: Baseline,
    /// When it last had something.
    seen: u64,
    off: u32,
    back: u32,
    /// Since when, and whether it is more than usual.
    raised: Option<(u64, bool)>,
}

/// The detector. Time comes as an argument.
#[derive(Debug)]
pub(crate) struct Detector {
    settings: Settings,
    minutes: VecDeque<Minute>,
    followed: HashMap<Key, Followed>,
    /// Baselines of the last run by kind and key, until their keys are met.
    known: BTreeMap<String, Baseline>,
    /// Keys that were not followed for want of room.
    pub(crate) refused: u64,
    /// Bytes that came after their minute was judged.
    pub(crate) late_bytes: u64,
}

impl Detector {
    /// With what was known before: [`Self::export`].
    pub(crate) fn new(settings: Settings, known: Option<&[u8]>) -> Self {
        let known: BTreeMap<String, Baseline> =
            known.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
        let most = MAX_LINKS + MAX_PAIRS + MAX_NETWORKS;
        let known = known.into_iter().filter(|(_, b)| b.is_sound()).take(most).collect();
        let (minutes, followed) = (VecDeque::new(), HashMap::new());
        Self { settings, minutes, followed, known, refused: 0, late_bytes: 0 }
    }

    /// Takes a flow that came at `now_ms`.
    pub(crate) fn add(&mut self, seen: &Seen, now_ms: u64, names: &Enricher) {
        self.open(now_ms);
        let Some(first) = self.minutes.front().map(|minute| minute.begin) else { return };
        let last = now_ms / MINUTE_MS * MINUTE_MS;
        let end = seen.end.clamp(first, last + MINUTE_MS - 1);
        let start = seen.start.min(end);
        let lasted = (end - start + 1) as f64;
        let early = first.saturating_sub(start) as f64 / lasted;
        self.late_bytes += (seen.bytes as f64 * early) as u64;
        let keys = keys(seen, names);
        for minute in &mut self.minutes {
            let (begin, until) = (minute.begin.max(start), (minute.begin + MINUTE_MS - 1).min(end));
            if begin > until {
                continue;
            }
            minute.exporters.insert(seen.exporter);
            let bytes = (seen.bytes as f64 * (until - begin + 1) as f64 / lasted).round() as u64;
            for key in keys.into_iter().flatten() {
                match key {
                    Key::Link { .. } => {
                        if minute.exact.len() < 2 * MAX_LINKS || minute.exact.contains_key(&key) {
                            *minute.exact.entry(key).or_default() += bytes;
                        } else {
                            self.refused += 1;
                        }
                        continue;
                    }
                    Key::Pair { .. } => minute.pairs.add(&key, bytes),
                    Key::Network { .. } => minute.networks.add(&key, bytes),
                }
                if self.followed.contains_key(&key) {
                    *minute.exact.entry(key).or_default() += bytes;
                }
            }
        }
    }

    fn open(&mut self, now_ms: u64) {
        let now = now_ms / MINUTE_MS * MINUTE_MS;
        let first = now.saturating_sub(OPEN * MINUTE_MS);
        let next = self.minutes.back().map_or(first, |minute| minute.begin + MINUTE_MS).max(first);
        let mut begin = next;
        while begin <= now {
            self.minutes.push_back(Minute::new(begin));
            begin += MINUTE_MS;
        }
    }

    /// Judges the minutes that are over for good.
    pub(crate) fn turn(&mut self, now_ms: u64, names: &Enricher) -> Judged {
        let mut judged = Judged::default();
        while let Some(minute) =
            self.minutes.pop_front_if(|minute| minute.begin + (OPEN + 1) * MINUTE_MS <= now_ms)
        {
            self.take_up(&minute, names);
            self.judge(&minute, names, &mut judged.findings);
            judged.heavy.extend(heaviest(&minute, names));
        }
        judged
    }

    /// Follows what is heavy.
    fn take_up(&mut self, minute: &Minute, names: &Enricher) {
        let least = (self.settings.least_bps / 8.0 * 60.0) as u64;
        let heavy = |sketch: &SpaceSaving<Key>| -> Vec<Key> {
            let sure = sketch
                .heaviest()
                .into_iter()
                .filter(|(_, count)| count.weight - count.error >= least);
            sure.take(TAKEN_UP).map(|(key, _)| key).collect()
        };
        let links = minute.exact.keys().filter(|key| matches!(key, Key::Link { .. })).copied();
        let groups = [
            (links.collect(), MAX_LINKS),
            (heavy(&minute.pairs), MAX_PAIRS),
            (heavy(&minute.networks), MAX_NETWORKS),
        ];
        for (keys, most) in groups {
            let Some(kind) = keys.first().map(Key::kind) else { continue };
            let mut held = self.followed.keys().filter(|key| key.kind() == kind).count();
            for key in keys {
                if self.followed.contains_key(&key) {
                    continue;
                }
                if held >= most {
                    self.refused += 1;
                    continue;
                }
                held += 1;
                let known = self.known.remove(&format!("{kind} {}", key.text(names)));
                let followed = Followed {
                    baseline: known.unwrap_or_default(),
                    seen: minute.begin,
                    off: 0,
                    back: 0,
                    raised: None,
                };
                self.followed.insert(key, followed);
            }
        }
    }

    fn judge(&mut self, minute: &Minute, names: &Enricher, findings: &mut Vec<Finding>) {
        if minute.exporters.is_empty() {
            // Nobody told anything: that says something of exporters, and nothing of traffic.
            return;
        }
        let settings = self.settings;
        self.followed.retain(|key, followed| {
            if let Key::Link { exporter, .. } = key
                && !minute.exporters.contains(exporter)
            {
                return minute.begin.saturating_sub(followed.seen) < FORGOTTEN_MS;
            }
            let bytes = minute.bytes_of(key);
            if bytes > 0 {
                followed.seen = minute.begin;
            }
            let bps = bytes as f64 * 8.0 / 60.0;
            if let Some(finding) = followed.judge(bps, minute.begin, &settings) {
                let (kind, key) = (key.kind(), key.text(names));
                findings.push(Finding { kind, key, ..finding });
            }
            followed.baseline.take(bps, minute.begin);
            followed.raised.is_some() || minute.begin.saturating_sub(followed.seen) < FORGOTTEN_MS
        });
    }

    /// How many are followed, and how many of them are warming.
    pub(crate) fn size(&self, now_ms: u64) -> (usize, usize) {
        let warming = self.followed.values().filter(|f| f.baseline.judge(0.0, now_ms).is_none());
        (self.followed.len(), warming.count())
    }

    /// What is usual, as a document.
    pub(crate) fn export(&self, names: &Enricher) -> Vec<u8> {
        let followed = self.followed.iter();
        let texts =
            followed.map(|(key, f)| (format!("{} {}", key.kind(), key.text(names)), &f.baseline));
        let all: BTreeMap<String, &Baseline> =
            texts.chain(self.known.iter().map(|(key, baseline)| (key.clone(), baseline))).collect();
        serde_json::to_vec(&all).unwrap_or_default()
    }
}

impl Followed {
    /// What turned by a minute's value.
    fn judge(&mut self, bps: f64, at_ms: u64, settings: &Settings) -> Option<Finding> {
        let verdict = self.baseline.judge(bps, at_ms)?;
        let matters = bps.max(verdict.expected) >= settings.least_bps;
        let is_off = matters && verdict.sigma.abs() >= settings.sigma;
        let finding = |turn, above, since_ms| Finding {
            kind: "",
            key: String::new(),
            turn,
            above,
            current_bps: bps,
            verdict,
            since_ms,
            at_ms,
        };
        let Some((since, above)) = self.raised else {
            self.off = if is_off { self.off + 1 } else { 0 };
            if self.off < RAISED_AFTER {
                return None;
            }
            let since = at_ms - u64::from(RAISED_AFTER - 1) * MINUTE_MS;
            let above = verdict.sigma >= 0.0;
            (self.back, self.raised) = (0, Some((since, above)));
            return Some(finding(Turn::Raised, above, since));
        };
        // What is too much is over when it becomes too little.
        if is_off && (verdict.sigma >= 0.0) == above {
            self.back = 0;
            let again = (at_ms - since).is_multiple_of(SAID_AGAIN_MS);
            return again.then(|| finding(Turn::Holds, above, since));
        }
        self.back += 1;
        if self.back < CLEARED_AFTER {
            return None;
        }
        (self.off, self.raised) = (0, None);
        Some(finding(Turn::Cleared, above, since))
    }
}

/// The heaviest of a minute, by its sketches.
fn heaviest(minute: &Minute, names: &Enricher) -> Vec<Heavy> {
    let of = |sketch: &SpaceSaving<Key>| -> Vec<Heavy> {
        let heavy = |(key, count): (Key, super::sketch::Count)| Heavy {
            kind: key.kind(),
            key: key.text(names),
            at_ms: minute.begin,
            bytes: count.weight,
            error: count.error,
            total: sketch.total(),
            bound: sketch.bound(),
        };
        sketch.heaviest().into_iter().take(HEAVIEST).map(heavy).collect()
    };
    [of(&minute.pairs), of(&minute.networks)].concat()
}

/// The keys of a flow: its links, its pair, its networks.
fn keys(seen: &Seen, names: &Enricher) -> [Option<Key>; 5] {
    let exporter = seen.exporter;
    let link = |interface: Option<u32>, inbound| {
        interface.map(|interface| Key::Link { exporter, interface, inbound })
    };
    [
        // What was counted as it left came in before, where it was counted too.
        link(seen.inbound.filter(|_| !seen.egress), true),
        link(seen.outbound, false),
        Some(Key::Pair { from: seen.from, to: seen.to }),
        Some(Key::Network { address: network(&seen.from, names), inbound: false }),
        Some(Key::Network { address: network(&seen.to, names), inbound: true }),
    ]
}

/// The word of a level.
pub(crate) const fn level(verdict: &Verdict) -> &'static str {
    Level::as_str(verdict.level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: u64, at: u64) -> Seen {
        Seen {
            exporter: mapped([192, 0, 2, 1]),
            inbound: Some(3),
            outbound: Some(4),
            egress: false,
            from: mapped([10, 0, 0, 1]),
            to: mapped([10, 0, 1, 2]),
            bytes,
            start: at,
            end: at,
        }
    }

    fn run(detector: &mut Detector, minutes: std::ops::Range<u64>, bytes: u64) -> Vec<Finding> {
        let names = Enricher::default();
        let mut findings = Vec::new();
        for minute in minutes {
            let now = minute * MINUTE_MS + 1_000;
            detector.add(&seen(bytes, now), now, &names);
            findings.extend(detector.turn(now, &names).findings);
        }
        findings
    }

    const SETTINGS: Settings = Settings { least_bps: 100_000.0, sigma: 4.0 };

    #[test]
    fn a_surge_is_raised_once_and_cleared_once() {
        let mut detector = Detector::new(SETTINGS, None);
        assert!(run(&mut detector, 1_000..1_060, 7_500_000).is_empty());
        let (followed, warming) = detector.size(1_060 * MINUTE_MS);
        // Two links, a pair, two networks.
        assert_eq!((followed, warming), (5, 0));
        let raised = run(&mut detector, 1_060..1_070, 75_000_000);
        let of = |findings: &[Finding], turn| findings.iter().filter(|f| f.turn == turn).count();
        assert_eq!((of(&raised, Turn::Raised), of(&raised, Turn::Cleared)), (5, 0), "{raised:?}");
        // What holds is said again.
        assert_eq!(of(&raised, Turn::Holds), 5, "{raised:?}");
        let link = raised.iter().find(|f| f.key == "192.0.2.1 in 3").expect("the link");
        assert!(link.turn == Turn::Raised && link.above && link.verdict.sigma > 4.0);
        assert!((link.current_bps - 1e7).abs() < 1e5 && (link.verdict.expected - 1e6).abs() < 5e4);
        assert!(raised.iter().any(|f| f.key == "10.0.0.1 > 10.0.1.2" && f.kind == "pair"));
        assert!(raised.iter().any(|f| f.key == "to 10.0.1.0/24" && f.kind == "network"));
        let cleared = run(&mut detector, 1_070..1_080, 7_500_000);
        assert_eq!(
            (of(&cleared, Turn::Raised), of(&cleared, Turn::Cleared)),
            (0, 5),
            "{cleared:?}"
        );
    }

    #[test]
    fn what_ends_is_what_began_however_much_less_than_usual_there_is_then() {
        let mut detector = Detector::new(SETTINGS, None);
        run(&mut detector, 1_000..1_060, 7_500_000);
        let raised = run(&mut detector, 1_060..1_064, 75_000_000);
        assert!(raised.iter().all(|f| f.turn == Turn::Raised && f.above), "{raised:?}");
        let cleared = run(&mut detector, 1_064..1_074, 7_000_000);
        let cleared: Vec<_> = cleared.iter().filter(|f| f.turn == Turn::Cleared).collect();
        assert_eq!(cleared.len(), 5);
        assert!(cleared.iter().all(|f| f.above && f.verdict.sigma < 0.0), "{cleared:?}");
        // From far too much to far too little: the one ends and the other begins.
        run(&mut detector, 1_074..1_134, 7_500_000);
        run(&mut detector, 1_134..1_140, 75_000_000);
        let turned = run(&mut detector, 1_140..1_155, 1);
        let ended = turned.iter().position(|f| f.turn == Turn::Cleared && f.above);
        let began = turned.iter().position(|f| f.turn == Turn::Raised && !f.above);
        assert!(ended.is_some() && ended < began, "{turned:?}");
    }

    #[test]
    fn what_is_usual_survives_and_silence_of_exporters_is_no_news_of_traffic() {
        let mut detector = Detector::new(SETTINGS, None);
        run(&mut detector, 1_000..1_060, 7_500_000);
        let kept = detector.export(&Enricher::default());
        let mut detector = Detector::new(SETTINGS, Some(&kept));
        run(&mut detector, 1_061..1_065, 7_500_000);
        assert_eq!(detector.size(1_065 * MINUTE_MS), (5, 0));
        // An hour of nothing at all.
        let names = Enricher::default();
        for minute in 1_065..1_125 {
            assert!(detector.turn(minute * MINUTE_MS, &names).findings.is_empty());
        }
        assert!(Detector::new(SETTINGS, Some(b"nonsense")).known.is_empty());
    }

    #[test]
    fn a_flow_counts_in_the_minutes_that_it_lasted() {
        let names = Enricher::default();
        let mut detector = Detector::new(SETTINGS, None);
        let now = 1_000 * MINUTE_MS + 30_000;
        // Four minutes, of which three are open; the last is half.
        let long = Seen { start: now - 240_000 + 1, end: now, ..seen(2_400, now) };
        detector.add(&long, now, &names);
        let link = Key::Link { exporter: long.exporter, interface: 3, inbound: true };
        let bytes: Vec<u64> = detector.minutes.iter().map(|m| m.exact[&link]).collect();
        assert_eq!(bytes.len(), 3);
        let near = |a: u64, b: u64| a.abs_diff(b) <= 1;
        assert!(near(bytes[0], 600) && near(bytes[1], 600) && near(bytes[2], 300), "{bytes:?}");
        assert!(near(detector.late_bytes, 900), "{}", detector.late_bytes);
    }

    #[test]
    fn a_flood_of_keys_meets_its_bounds() {
        let names = Enricher::default();
        let mut detector = Detector::new(SETTINGS, None);
        for n in 0..30_000_u32 {
            let now = 1_000 * MINUTE_MS + u64::from(n);
            let [_, b, c, d] = n.to_be_bytes();
            let one = Seen {
                exporter: mapped([192, b, c, d]),
                from: mapped([10, b, c, d]),
                to: mapped([11, d, c, b]),
                ..seen(1_000_000_000, now)
            };
            detector.add(&one, now, &names);
        }
        for minute in 1_001..1_010 {
            let heavy = detector.turn(minute * MINUTE_MS, &names).heavy;
            assert!(heavy.len() <= 2 * HEAVIEST);
            assert!(heavy.iter().all(|h| h.error <= h.bound && h.bound <= h.total / 1_000));
        }
        let (followed, _) = detector.size(1_010 * MINUTE_MS);
        assert!(followed <= MAX_LINKS + MAX_PAIRS + MAX_NETWORKS, "{followed}");
        assert!(detector.refused > 0);
    }
}
