//! Traces become signals: a target is reached no longer, packets take another way than usual, or take
//! clearly longer. Usual is what was seen at first; what lasts for an hour becomes usual.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use holm_model::{Millis, NodeId, Severity, Signal};

use crate::damper::Damper;

/// Most targets that are followed; traces of others are passed over and counted.
const MAX_WAYS: usize = 20_000;
/// A target without a trace for so long is forgotten, in milliseconds: intervals go up to a day.
const FORGET_MS: u64 = 3 * 24 * 60 * 60 * 1_000;
/// A way or a round trip that lasts so long is the usual one, in milliseconds.
const SETTLES_MS: u64 = 60 * 60 * 1_000;
/// A round trip is longer than usual when it is by a quarter and by this, in milliseconds.
const LONGER_MS: f64 = 5.0;
/// Traces in a row that reached a target before it can be said to be reached no longer.
const REACHED: u32 = 2;
/// Most hops of which the difference to the usual way is kept.
const MAX_HOPS: usize = 256;

/// One whole trace.
#[derive(Debug, Clone, Copy)]
pub struct Trace<'a> {
    /// What tells this trace from others to the same target: name and protocol.
    pub key: &'a str,
    /// What was traced.
    pub target: &'a NodeId,
    /// Whether it answered.
    pub reached: bool,
    /// The least round trip to it, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// When.
    pub at: Millis,
}

/// What is other than in the trace before.
#[derive(Debug, Clone, Copy)]
pub struct Turned<'a> {
    /// As in [`Trace`].
    pub key: &'a str,
    /// Hops that are new, and gone.
    pub added: &'a [&'a str],
    /// Hops that are gone.
    pub removed: &'a [&'a str],
    /// How many hops there are, and were.
    pub length: Option<(u64, u64)>,
    /// The autonomous systems that the way goes through, and went through, where they are others:
    /// numbers with spaces.
    pub systems: Option<(&'a str, &'a str)>,
    /// When.
    pub at: Millis,
}

#[derive(Debug)]
struct Way {
    /// Hops that the usual way does not have, and hops of it that are missing.
    added: BTreeSet<Box<str>>,
    removed: BTreeSet<Box<str>>,
    /// Length, and that of the usual way.
    length: Option<(u64, u64)>,
    other: Damper,
    /// The systems of the way, and those of the usual one, where they are others.
    systems: Option<(Box<str>, Box<str>)>,
    other_systems: Damper,
    /// The usual round trip.
    rtt_ms: Option<f64>,
    longer: Damper,
    /// Since when what is said of way, round trip and systems holds.
    said: [Option<Millis>; 3],
    reached: u32,
    lost: Damper,
    last: Millis,
}

impl Way {
    fn new(at: Millis) -> Self {
        Self {
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
            length: None,
            other: Damper::default(),
            systems: None,
            other_systems: Damper::default(),
            rtt_ms: None,
            longer: Damper::default(),
            said: [None; 3],
            reached: 0,
            lost: Damper::default(),
            last: at,
        }
    }

    fn is_other(&self) -> bool {
        let longer = self.length.is_some_and(|(now, usual)| now != usual);
        !self.added.is_empty() || !self.removed.is_empty() || longer
    }
}

/// Follows the traces of one node.
#[derive(Debug, Default)]
pub struct WayWatch {
    ways: HashMap<Box<str>, Way>,
    refused: u64,
}

impl WayWatch {
    /// A watch that follows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn way(&mut self, key: &str, at: Millis) -> Option<&mut Way> {
        if self.ways.len() >= MAX_WAYS && !self.ways.contains_key(key) {
            self.forget(at);
            if self.ways.len() >= MAX_WAYS {
                self.refused += 1;
                return None;
            }
        }
        let way = self.ways.entry(key.into()).or_insert_with(|| Way::new(at));
        (!at.is_late_after(way.last)).then(|| {
            way.last = at;
            way
        })
    }

    /// Takes what a trace says is other than in the one before. What follows from it is said with the
    /// traces after it, once it has lasted.
    pub fn turn(&mut self, turned: &Turned<'_>) {
        let Some(way) = self.way(turned.key, turned.at) else { return };
        for hop in turned.removed {
            if !way.added.remove(*hop) && way.removed.len() < MAX_HOPS {
                way.removed.insert((*hop).into());
            }
        }
        for hop in turned.added {
            if !way.removed.remove(*hop) && way.added.len() < MAX_HOPS {
                way.added.insert((*hop).into());
            }
        }
        if let Some((now, before)) = turned.length {
            let usual = way.length.map_or(before, |(_, usual)| usual);
            way.length = (now != usual).then_some((now, usual));
        }
        if let Some((now, before)) = turned.systems {
            let usual = way.systems.take().map_or_else(|| before.into(), |(_, usual)| usual);
            way.systems = (*now != *usual).then(|| (now.into(), usual));
        }
    }

    /// Takes a trace; the signals that follow from it.
    pub fn take(&mut self, trace: &Trace<'_>) -> Vec<Signal> {
        let Trace { target, at, .. } = *trace;
        let Some(way) = self.way(trace.key, at) else { return Vec::new() };
        let mut signals = Vec::new();
        let mut say = |kind: &str, severity, raised, text: String| {
            let mut signal = Signal::new("path", kind, target.clone(), raised, at);
            (signal.severity, signal.text) = (severity, text.into());
            signals.push(signal);
        };
        // Never reached is how it is, not what became of it.
        let lost = !trace.reached && (way.reached >= REACHED || way.lost.is_raised());
        match way.lost.take(lost, at) {
            Some(true) => {
                say(
                    "path_lost",
                    Severity::Warning,
                    true,
                    format!("packets do not reach {target} any more"),
                );
            }
            Some(false) => {
                say("path_lost", Severity::Warning, false, format!("packets reach {target}"));
            }
            None => {}
        }
        if !trace.reached {
            // Where it ends, ways and times are of nothing.
            return signals;
        }
        way.reached = way.reached.saturating_add(1);
        let settled = |said: Option<Millis>| said.is_some_and(|from| at.since(from) >= SETTLES_MS);

        if settled(way.said[0]) && way.other.is_raised() {
            (way.added, way.removed, way.length) = Default::default();
            (way.said[0], _) = (None, way.other.settle());
            say(
                "path_other_way",
                Severity::Info,
                false,
                format!("the way to {target} is the usual one by now"),
            );
        } else {
            match way.other.take(way.is_other(), at) {
                Some(true) => {
                    way.said[0] = Some(at);
                    let length =
                        way.length.map(|(now, usual)| format!(", {now} hops instead of {usual}"));
                    let (new, gone) = (way.added.len(), way.removed.len());
                    let length = length.unwrap_or_default();
                    let text = format!(
                        "packets to {target} take another way than usual: {new} hops are new, {gone} gone{length}"
                    );
                    say("path_other_way", Severity::Info, true, text);
                }
                Some(false) => {
                    way.said[0] = None;
                    say(
                        "path_other_way",
                        Severity::Info,
                        false,
                        format!("packets to {target} take the usual way"),
                    );
                }
                None => {}
            }
        }

        if settled(way.said[2]) && way.other_systems.is_raised() {
            (way.systems, way.said[2]) = (None, None);
            way.other_systems.settle();
            let text =
                format!("the autonomous systems on the way to {target} are the usual ones by now");
            say("path_other_systems", Severity::Info, false, text);
        } else {
            match way.other_systems.take(way.systems.is_some(), at) {
                Some(true) => {
                    way.said[2] = Some(at);
                    // A way whose systems are not known at all is said so.
                    let known = |path: &str| match path {
                        "" => "none that is known".to_owned(),
                        path => path.to_owned(),
                    };
                    let paths = way.systems.as_ref();
                    let (now, usual) = paths
                        .map_or_else(Default::default, |(now, usual)| (known(now), known(usual)));
                    let text = format!(
                        "packets to {target} go through other autonomous systems than usual: {now} instead of {usual}"
                    );
                    say("path_other_systems", Severity::Info, true, text);
                }
                Some(false) => {
                    way.said[2] = None;
                    let text =
                        format!("packets to {target} go through the usual autonomous systems");
                    say("path_other_systems", Severity::Info, false, text);
                }
                None => {}
            }
        }

        let Some(rtt) = trace.rtt_ms.filter(|rtt| rtt.is_finite() && *rtt >= 0.0) else {
            return signals;
        };
        let usual = *way.rtt_ms.get_or_insert(rtt);
        let longer = rtt - usual > LONGER_MS.max(usual / 4.0);
        if settled(way.said[1]) && way.longer.is_raised() {
            (way.rtt_ms, way.said[1]) = (Some(rtt), None);
            way.longer.settle();
            say(
                "path_slow",
                Severity::Warning,
                false,
                format!("{rtt:.1} ms to {target} are usual by now"),
            );
            return signals;
        }
        if !longer && !way.longer.is_raised() {
            // It follows slowly: what creeps up is seen by rules over the rows.
            way.rtt_ms = Some(usual + (rtt - usual) / 16.0);
        }
        match way.longer.take(longer, at) {
            Some(true) => {
                way.said[1] = Some(at);
                let text = format!("{rtt:.1} ms to {target} instead of {usual:.1} ms");
                say("path_slow", Severity::Warning, true, text);
            }
            Some(false) => {
                way.said[1] = None;
                say(
                    "path_slow",
                    Severity::Warning,
                    false,
                    format!("{rtt:.1} ms to {target}, as usual"),
                );
            }
            None => {}
        }
        signals
    }

    /// Forgets targets without a trace for days.
    pub fn forget(&mut self, now: Millis) {
        self.ways.retain(|_, way| now.since(way.last) < FORGET_MS);
    }

    /// Traces that were passed over because too many targets are followed.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}
