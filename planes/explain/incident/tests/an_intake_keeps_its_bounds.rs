//! Signals of a node's planes: what is said again costs nothing, every bound has a counter.

mod common;

use common::{MINUTE, Site, judged, node, only};
use holm_incident::{Intake, IntakeLimits, Resolved, State};
use holm_model::{Millis, Signal};

fn signal(target: &str, raised: bool, at: u64) -> Signal {
    Signal::new("active", "icmp_failed", node(target), raised, Millis(at))
}

fn intake(limits: IntakeLimits) -> Intake {
    Intake::new(common::place("berlin"), limits)
}

fn take(intake: &mut Intake, signal: Signal, now: u64) -> bool {
    intake.take(signal, Millis(now), |_| Resolved::default())
}

#[test]
fn what_is_said_again_is_not_written_again() {
    let mut intake = intake(IntakeLimits::default());
    assert!(take(&mut intake, signal("host:a", true, 1), 1));
    assert_eq!(intake.drain(Millis(1)).len(), 1);
    for at in 2..50 {
        assert!(!take(&mut intake, signal("host:a", true, at), at));
    }
    assert_eq!(intake.drain(Millis(60)).len(), 0);
    assert_eq!(intake.counters().repeated, 48);
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let mut intake = intake(IntakeLimits::default());
    take(&mut intake, signal("host:a", true, 1), 1);
    let batch = intake.drain(Millis(1));
    assert_eq!(batch.len(), 1);
    intake.give_back(batch);
    take(&mut intake, signal("host:a", false, 3), 3);
    let again = intake.drain(Millis(4));
    assert_eq!(again.len(), 1);
    assert!(!again[0].1.is_firing(), "as it is now");
}

#[test]
fn there_is_room_for_so_many_reports() {
    let mut intake = intake(IntakeLimits { reports: 2, ..IntakeLimits::default() });
    for target in ["host:a", "host:b", "host:c"] {
        take(&mut intake, signal(target, true, 1), 1);
    }
    assert_eq!((intake.len(), intake.counters().refused), (2, 1));
    // What ended makes room, once it is written.
    take(&mut intake, signal("host:a", false, 2), 2);
    intake.drain(Millis(2));
    assert!(take(&mut intake, signal("host:c", true, 20 * MINUTE), 20 * MINUTE));
}

#[test]
fn a_signal_from_the_future_counts_as_now_and_an_old_one_changes_nothing() {
    let mut intake = intake(IntakeLimits::default());
    take(&mut intake, signal("host:a", true, 60 * MINUTE), MINUTE);
    assert_eq!(intake.counters().ahead, 1);
    assert_eq!(intake.drain(Millis(MINUTE))[0].1.since(), Millis(MINUTE));
    assert!(!take(&mut intake, signal("host:a", false, 1), MINUTE));
    assert!(!take(&mut intake, signal("host:b", false, MINUTE), MINUTE));
    assert_eq!(intake.counters().late, 2);
    let odd = Signal::new("a b", "x", node("host:c"), true, Millis(1));
    assert!(!take(&mut intake, odd, MINUTE));
    assert_eq!(intake.counters().malformed, 1);
}

#[test]
fn what_comes_and_goes_is_written_once_a_minute() {
    let mut intake = intake(IntakeLimits::default());
    let mut written = 0;
    for second in 0..600 {
        let at = MINUTE + second * 1_000;
        take(&mut intake, signal("host:a", second % 2 == 0, at), at);
        written += intake.drain(Millis(at)).len();
    }
    assert!((10..25).contains(&written), "{written}");
    let last = intake.drain(Millis(20 * MINUTE));
    assert_eq!(last[0].1.raised, 300, "nothing is lost: it was raised so often");
}

#[test]
fn after_a_start_a_plane_says_it_again_or_it_lapses() {
    let mut before = Site::new("berlin");
    before.raise("icmp_failed", "host:a", MINUTE);
    before.raise("icmp_failed", "host:b", MINUTE);
    let book = common::book([&before]);
    let mut after = Site::new("berlin");
    after.records = before.records.clone();
    let place = after.place.clone();
    let known = book.reports_of(&place.site, &place.node).map(|(key, report)| (key, &**report));
    after.intake.restore(known, Millis(3 * MINUTE));
    after.raise("icmp_failed", "host:a", 4 * MINUTE);
    after.write(Millis(9 * MINUTE));
    let judged = judged([&after], 12 * MINUTE);
    let states: Vec<_> = judged
        .incidents()
        .iter()
        .map(|i| (i.targets[0].name(), i.state, i.reports.len()))
        .collect();
    assert_eq!(states, [("a", State::Open, 1), ("b", State::Resolved, 1)]);
    assert!(judged.incidents()[1].reports[0].1.lapsed);
    assert_eq!(after.intake.counters().lapsed, 1);
}

#[test]
fn a_recovery_after_a_start_ends_what_was_raised_before() {
    let mut before = Site::new("berlin");
    before.raise("icmp_failed", "host:a", MINUTE);
    let book = common::book([&before]);
    let place = before.place.clone();
    let mut after = Site::new("berlin");
    let known = book.reports_of(&place.site, &place.node).map(|(key, report)| (key, &**report));
    after.intake.restore(known, Millis(2 * MINUTE));
    after.clear("icmp_failed", "host:a", 3 * MINUTE);
    after.records.extend(
        before
            .records
            .into_iter()
            .filter(|(id, _)| !after.records.contains_key(id))
            .collect::<Vec<_>>(),
    );
    assert_eq!(only(&judged([&after], 10 * MINUTE)).state, State::Resolved);
}

#[test]
fn what_was_raised_by_a_clock_that_was_set_right_since_ends() {
    let mut intake = intake(IntakeLimits::default());
    take(&mut intake, signal("host:a", true, 26 * MINUTE), 26 * MINUTE);
    assert_eq!(intake.drain(Millis(26 * MINUTE)).len(), 1);
    // The clock was set back by 25 minutes.
    assert!(take(&mut intake, signal("host:a", false, 2 * MINUTE), 2 * MINUTE));
    let ended = intake.drain(Millis(3 * MINUTE));
    assert!(!ended[0].1.is_firing());
    // And it fails again before the clock is where it was.
    assert!(take(&mut intake, signal("host:a", true, 4 * MINUTE), 4 * MINUTE));
    let again = intake.drain(Millis(4 * MINUTE));
    assert!(again[0].1.is_firing());
    assert_ne!(again[0].0, ended[0].0);
    assert_eq!(intake.counters().late, 0);
}
