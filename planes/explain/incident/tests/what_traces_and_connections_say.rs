//! Traces and connections become signals: only of what lasts, and of what was well before.

use holm_incident::{ServiceWatch, Trace, Tried, Turned, WayWatch};
use holm_model::{Millis, NodeId, Signal};
use proptest::prelude::*;

const START: u64 = 1_795_000_000_000;
const MINUTE: u64 = 60_000;

fn said(signals: &[Signal]) -> Vec<(String, bool)> {
    signals.iter().map(|signal| (signal.kind.to_string(), signal.raised)).collect()
}

struct Traced {
    watch: WayWatch,
    target: NodeId,
    minute: u64,
    said: Vec<(u64, String, bool)>,
}

impl Traced {
    fn new() -> Self {
        let target = "host:192.0.2.9".parse().expect("valid");
        Self { watch: WayWatch::new(), target, minute: 0, said: Vec::new() }
    }

    fn turn(&mut self, added: &[&str], removed: &[&str], length: Option<(u64, u64)>) {
        let at = Millis(START + self.minute * MINUTE);
        self.watch.turn(&Turned { key: "t", added, removed, length, systems: None, at });
    }

    fn traces(&mut self, minutes: u64, reached: bool, rtt_ms: f64) {
        for _ in 0..minutes {
            let at = Millis(START + self.minute * MINUTE);
            let trace = Trace { key: "t", target: &self.target, reached, rtt_ms: Some(rtt_ms), at };
            for (kind, raised) in said(&self.watch.take(&trace)) {
                self.said.push((self.minute, kind, raised));
            }
            self.minute += 1;
        }
    }

    fn said(&self) -> Vec<(u64, &str, bool)> {
        self.said.iter().map(|(minute, kind, raised)| (*minute, &**kind, *raised)).collect()
    }
}

#[test]
fn a_target_is_lost_when_it_was_reached_and_is_not_for_a_while() {
    let mut traced = Traced::new();
    traced.traces(5, false, 0.0);
    assert!(traced.said.is_empty(), "it was never reached");
    traced.traces(3, true, 10.0);
    traced.traces(1, false, 0.0);
    traced.traces(1, true, 10.0);
    traced.traces(3, false, 0.0);
    traced.traces(3, true, 10.0);
    assert_eq!(traced.said(), [(11, "path_lost", true), (14, "path_lost", false)]);
}

#[test]
fn another_way_is_said_when_it_lasts_and_is_usual_after_an_hour() {
    let mut traced = Traced::new();
    traced.traces(3, true, 10.0);
    traced.turn(&["10.0.0.2"], &["10.0.0.1"], None);
    traced.traces(1, true, 10.0);
    traced.turn(&["10.0.0.1"], &["10.0.0.2"], None);
    traced.traces(5, true, 10.0);
    assert!(traced.said.is_empty(), "it came back at once");
    traced.turn(&["10.0.0.2", "10.0.0.3"], &["10.0.0.1"], Some((9, 8)));
    traced.traces(10, true, 10.0);
    traced.turn(&["10.0.0.1"], &["10.0.0.2", "10.0.0.3"], Some((8, 9)));
    traced.traces(5, true, 10.0);
    let (first, second) = ((10, "path_other_way", true), (20, "path_other_way", false));
    assert_eq!(traced.said(), [first, second]);
    traced.turn(&["10.0.0.2"], &["10.0.0.1"], None);
    traced.traces(70, true, 10.0);
    assert_eq!(
        traced.said()[2..],
        [(26, "path_other_way", true), (86, "path_other_way", false)],
        "twice as long this time, and usual an hour later"
    );
    traced.turn(&["10.0.0.1"], &["10.0.0.2"], None);
    traced.traces(5, true, 10.0);
    assert_eq!(
        traced.said().last(),
        Some(&(95, "path_other_way", true)),
        "the old way is the other one now"
    );
}

#[test]
fn other_systems_are_named_and_usual_after_an_hour() {
    let mut traced = Traced::new();
    traced.traces(3, true, 10.0);
    let turn = |traced: &mut Traced, now, before| {
        let at = Millis(START + traced.minute * MINUTE);
        let systems = Some((now, before));
        let turned = Turned { key: "t", added: &[], removed: &[], length: None, systems, at };
        traced.watch.turn(&turned);
    };
    turn(&mut traced, "64496 64499", "64496 64500");
    turn(&mut traced, "64496 64501", "64496 64499");
    let at = Millis(START + traced.minute * MINUTE);
    let trace = |at| Trace { key: "t", target: &traced.target, reached: true, rtt_ms: None, at };
    assert_eq!(traced.watch.take(&trace(at)), []);
    let signal = traced.watch.take(&trace(at + 2 * MINUTE)).remove(0);
    assert_eq!((&*signal.kind, signal.raised), ("path_other_systems", true));
    assert_eq!(
        &*signal.text,
        "packets to host:192.0.2.9 go through other autonomous systems than usual: 64496 64501 instead of 64496 64500"
    );
    traced.minute += 2;
    traced.traces(70, true, 10.0);
    assert_eq!(traced.said(), [(65, "path_other_systems", false)]);
    turn(&mut traced, "64496 64500", "64496 64501");
    traced.traces(5, true, 10.0);
    assert_eq!(traced.said().last().map(|said| said.1), Some("path_other_systems"));
    turn(&mut traced, "64496 64501", "64496 64500");
    traced.traces(5, true, 10.0);
    assert_eq!(traced.said().last().map(|said| said.2), Some(false), "{:?}", traced.said());
}

#[test]
fn a_round_trip_is_slow_when_it_is_clearly_longer_for_a_while() {
    let mut traced = Traced::new();
    traced.traces(5, true, 10.0);
    traced.traces(5, true, 14.0);
    assert!(traced.said.is_empty(), "less than 5 ms");
    let mut traced = Traced::new();
    traced.traces(5, true, 10.0);
    traced.traces(1, true, 90.0);
    traced.traces(1, true, 9.0);
    traced.traces(3, true, 25.0);
    traced.traces(3, true, 8.0);
    assert_eq!(traced.said(), [(8, "path_slow", true), (11, "path_slow", false)]);
    traced.traces(70, true, 100.0);
    assert_eq!(traced.said()[2..], [(15, "path_slow", true), (75, "path_slow", false)]);
}

proptest! {
    /// Whatever traces say: what is said of a kind alternates, and of a way that wavers at most seven an hour.
    #[test]
    fn a_way_that_wavers_is_no_storm(steps in prop::collection::vec((10_u64..400, any::<bool>(), 0_u8..3), 1..400)) {
        let target: NodeId = "host:192.0.2.9".parse().expect("valid");
        let mut watch = WayWatch::new();
        let mut at = Millis(START);
        let mut other = false;
        let mut signals: Vec<Signal> = Vec::new();
        for (seconds, reached, way) in steps {
            at = at + seconds * 1_000;
            if (way == 1) != other {
                other = !other;
                let (a, b): (&[&str], &[&str]) = (&["10.0.0.1"], &["10.0.0.2"]);
                let (added, removed) = if other { (b, a) } else { (a, b) };
                let systems = if other { ("1 3", "1 2") } else { ("1 2", "1 3") };
                let systems = Some(systems);
                watch.turn(&Turned { key: "t", added, removed, length: None, systems, at });
            }
            let rtt_ms = Some(if way == 2 { 80.0 } else { 10.0 });
            signals.extend(watch.take(&Trace { key: "t", target: &target, reached, rtt_ms, at }));
        }
        for kind in ["path_lost", "path_other_way", "path_other_systems", "path_slow"] {
            let of: Vec<&Signal> = signals.iter().filter(|signal| *signal.kind == *kind).collect();
            prop_assert!(of.iter().zip([true, false].iter().cycle()).all(|(signal, raised)| signal.raised == *raised));
            for first in &of {
                let hour = of.iter().filter(|s| s.raised && s.at >= first.at && s.at.since(first.at) < 60 * MINUTE);
                prop_assert!(hour.count() <= 7);
            }
        }
    }

    /// Whatever connects: what is said of a server alternates, and follows five failures at least.
    #[test]
    fn what_is_said_of_a_server_alternates(steps in prop::collection::vec((0_u64..20, 0_u8..10), 1..400)) {
        let mut watch = ServiceWatch::new();
        let (mut at, mut raised, mut failures) = (Millis(START), false, 0);
        for (seconds, what) in steps {
            at = at + seconds * 1_000;
            let tried = if what == 0 { Tried::Connected } else { Tried::Failed };
            failures = if what == 0 { 0 } else { failures + 1 };
            if let Some(signal) = watch.connected(("web", "192.0.2.7", 5432), tried, at) {
                prop_assert_eq!(signal.raised, !raised);
                prop_assert!(!signal.raised || failures >= 5);
                raised = signal.raised;
            }
        }
    }
}

#[test]
fn a_server_that_was_reached_and_is_not_any_more_is_said() {
    let mut watch = ServiceWatch::new();
    let mut at = START;
    let mut tries = |watch: &mut ServiceWatch, text: &str| -> String {
        let said = text.chars().map(|c| {
            at += 10_000;
            let tried = if c == 'x' { Tried::Failed } else { Tried::Connected };
            let signal = watch.connected(("web", "192.0.2.7", 5432), tried, Millis(at));
            signal.map_or('-', |signal| if signal.raised { 'R' } else { 'C' })
        });
        said.collect()
    };
    assert_eq!(tries(&mut watch, "xxxxxxxx"), "--------", "a scan, or something that never was");
    assert_eq!(tries(&mut watch, ".xxxx.xxxxxx."), "----------R-C");
    assert_eq!(tries(&mut watch, "xxxxx"), "----R");
    assert!(watch.tend(Millis(at + 5 * MINUTE)).is_empty());
    let over = watch.tend(Millis(at + 15 * MINUTE));
    assert_eq!(said(&over), [("connections_failing".to_owned(), false)]);
    assert_eq!(over[0].target.to_string(), "host:192.0.2.7");
    assert!(over[0].text.contains("nobody tries"), "{}", over[0].text);
}

#[test]
fn a_service_that_begins_again_and_again_is_said_until_it_stays() {
    let mut watch = ServiceWatch::new();
    let mut raised = Vec::new();
    for pid in 1..=6 {
        let at = START + u64::from(pid as u8) * MINUTE;
        raised.extend(watch.listens("web", pid, 80, Millis(at)));
        // The same process again is no new beginning.
        watch.listens_no_more("web", pid, 80, Millis(at + 1_000));
        raised.extend(watch.listens("web", pid, 80, Millis(at + 2_000)));
        watch.listens_no_more("web", pid, 80, Millis(at + 30_000));
    }
    assert_eq!(said(&raised), [("service_restarting".to_owned(), true)]);
    assert_eq!(raised[0].at, Millis(START + 4 * MINUTE), "the third time anew");
    assert!(watch.tend(Millis(START + 15 * MINUTE)).is_empty());
    let over = watch.tend(Millis(START + 16 * MINUTE));
    assert_eq!(said(&over), [("service_restarting".to_owned(), false)]);
    // Two processes that take turns at a socket, as at a reload.
    for pid in 10..30 {
        let at = START + 60 * MINUTE + pid as u64 * 1_000;
        assert_eq!(watch.listens("proxy", pid, 443, Millis(at)), None);
        watch.listens_no_more("proxy", pid - 1, 443, Millis(at + 500));
    }
}
