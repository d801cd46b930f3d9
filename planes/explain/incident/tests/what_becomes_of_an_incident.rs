//! Opened by signals, moved by people, resolved by recovery; edits of both sides of a split survive.

mod common;

use common::{MINUTE, Site, book, judged, only};
use holm_incident::{ActionError, Deed, HOLD_MS, State, Why};
use holm_model::{Millis, Severity};

const TARGET: &str = "host:192.0.2.7";

fn raised() -> Site {
    let mut site = Site::new("berlin");
    site.raise("icmp_failed", TARGET, 10 * MINUTE);
    site
}

#[test]
fn recovery_resolves_after_it_has_held() {
    let mut site = raised();
    let book_of = |site: &Site, now| only(&book([site]).judge(Millis(now)));
    assert_eq!(book_of(&site, 11 * MINUTE).state, State::Open);
    site.clear("icmp_failed", TARGET, 12 * MINUTE);
    let waiting = book_of(&site, 12 * MINUTE + HOLD_MS - 1);
    assert_eq!((waiting.state, waiting.firing), (State::Open, false));
    assert_eq!(waiting.resolves_at, Some(Millis(12 * MINUTE + HOLD_MS)));
    let over = book_of(&site, 12 * MINUTE + HOLD_MS);
    assert_eq!((over.state, over.state_since), (State::Resolved, Millis(12 * MINUTE + HOLD_MS)));
    assert_eq!(over.turns.last().map(|turn| turn.why), Some(Why::Recovered));
}

#[test]
fn one_book_notices_that_time_went_on() {
    let mut site = raised();
    site.clear("icmp_failed", TARGET, 12 * MINUTE);
    let mut book = book([&site]);
    assert_eq!(only(&book.judge(Millis(12 * MINUTE))).state, State::Open);
    assert_eq!(only(&book.judge(Millis(12 * MINUTE + HOLD_MS))).state, State::Resolved);
    assert_eq!(only(&book.judge(Millis(12 * MINUTE))).state, State::Open, "a clock set back");
}

#[test]
fn what_comes_back_opens_it_again_and_old_acks_do_not_count() {
    let mut site = raised();
    let incident = only(&judged([&site], 11 * MINUTE));
    site.act(&incident, Deed::Acknowledge, "looking", 11 * MINUTE);
    assert_eq!(only(&judged([&site], 12 * MINUTE)).state, State::Acknowledged);
    site.clear("icmp_failed", TARGET, 12 * MINUTE);
    site.raise("icmp_failed", TARGET, 18 * MINUTE);
    let again = only(&judged([&site], 19 * MINUTE));
    assert_eq!((again.state, again.id), (State::Reopened, incident.id));
    let states: Vec<State> = again.turns.iter().map(|turn| turn.to).collect();
    use State::{Acknowledged, Open, Reopened, Resolved};
    assert_eq!(states, [Open, Acknowledged, Resolved, Reopened]);
}

#[test]
fn what_comes_and_goes_is_damped() {
    let mut site = Site::new("berlin");
    for i in 0..5 {
        site.raise("icmp_failed", TARGET, (10 + 4 * i) * MINUTE);
        site.clear("icmp_failed", TARGET, (11 + 4 * i) * MINUTE);
    }
    let at = 40 * MINUTE;
    site.write(Millis(at));
    let one = only(&judged([&site], 28 * MINUTE + HOLD_MS));
    assert!(one.flapping);
    assert_eq!(one.state, State::Open, "not resolved and opened again each time: {:?}", one.turns);
    assert_eq!(one.turns.len(), 1);
    let later = only(&judged([&site], 80 * MINUTE));
    assert_eq!(later.state, State::Resolved);
}

#[test]
fn who_resolves_by_hand_is_believed_until_something_new_is_raised() {
    let mut site = raised();
    let incident = only(&judged([&site], 11 * MINUTE));
    site.act(&incident, Deed::Resolve, "known, ignored", 11 * MINUTE);
    let one = only(&judged([&site], 12 * MINUTE));
    assert_eq!((one.state, one.firing), (State::Resolved, true));
    site.raise("tcp_failed", TARGET, 13 * MINUTE);
    assert_eq!(only(&judged([&site], 14 * MINUTE)).state, State::Reopened);
}

#[test]
fn edits_on_both_sides_of_a_partition_survive_and_are_shown() {
    let mut berlin = raised();
    let mut tokyo = Site::new("tokyo");
    tokyo.raise("icmp_failed", TARGET, 10 * MINUTE);
    // Apart: each sees its own report only, under one id.
    let (here, there) =
        (only(&judged([&berlin], 11 * MINUTE)), only(&judged([&tokyo], 11 * MINUTE)));
    berlin.act(&here, Deed::Acknowledge, "", 12 * MINUTE);
    berlin.act(&here, Deed::Assign(Some("ada".into())), "", 12 * MINUTE);
    tokyo.act(&there, Deed::Mitigate, "moved the traffic", 11 * MINUTE);
    tokyo.act(&there, Deed::Assign(Some("grace".into())), "", 13 * MINUTE);
    tokyo.act(&there, Deed::Note, "the fan is loud", 14 * MINUTE);
    for sites in [[&berlin, &tokyo], [&tokyo, &berlin]] {
        let one = only(&judged(sites, 15 * MINUTE));
        assert_eq!(one.actions.len(), 5);
        assert_eq!((one.state, one.owner.as_deref()), (State::Mitigated, Some("grace")));
        let fields: Vec<&str> = one.conflicts.iter().map(|conflict| conflict.field).collect();
        assert_eq!(fields, ["state", "owner"]);
        assert!(one.conflicts.iter().all(|conflict| conflict.actions.len() == 2));
    }
    // Who saw both settles it, whatever the clock says.
    let both = only(&judged([&berlin, &tokyo], 15 * MINUTE));
    let settled = berlin.act(&both, Deed::Acknowledge, "", MINUTE);
    assert!(settled.at > Millis(14 * MINUTE), "{settled:?}");
    let one = only(&judged([&berlin, &tokyo], 16 * MINUTE));
    assert_eq!(one.state, State::Acknowledged);
    assert_eq!(one.conflicts.len(), 1, "the owner is still disputed");
}

#[test]
fn of_two_that_speak_at_once_the_one_that_says_it_is_not_over_counts() {
    let mut berlin = raised();
    let mut tokyo = Site::new("tokyo");
    let incident = only(&judged([&berlin], 11 * MINUTE));
    berlin.act(&incident, Deed::Resolve, "", 13 * MINUTE);
    tokyo.act(&incident, Deed::Reopen, "", 12 * MINUTE);
    assert_eq!(only(&judged([&berlin, &tokyo], 14 * MINUTE)).state, State::Reopened);
}

#[test]
fn people_may_say_how_grave_it_is() {
    let mut site = raised();
    let incident = only(&judged([&site], 11 * MINUTE));
    assert_eq!(incident.severity, Severity::Warning);
    site.act(&incident, Deed::Grade(Severity::Info), "a lab", 11 * MINUTE);
    assert_eq!(only(&judged([&site], 12 * MINUTE)).severity, Severity::Info);
}

#[test]
fn faults_are_split_off_and_joined_by_hand() {
    let mut site = Site::new("berlin");
    site.knows("service:shop", &[], &["service:stock"]);
    site.raise("slow", "service:stock", 10 * MINUTE);
    site.raise("slow", "service:shop", 11 * MINUTE);
    let one = only(&judged([&site], 12 * MINUTE));
    let [shop] = *one.also else { panic!("{one:?}") };
    site.act(&one, Deed::Split(vec![shop]), "unrelated", 12 * MINUTE);
    let apart = judged([&site], 13 * MINUTE);
    assert_eq!(apart.incidents().len(), 2);
    // What is reported of it later follows it.
    site.raise("icmp_failed", "service:shop", 13 * MINUTE);
    let mut tokyo = Site::new("tokyo");
    tokyo.raise("slow", "service:shop", 13 * MINUTE);
    let apart = judged([&site, &tokyo], 14 * MINUTE);
    assert_eq!(apart.incidents().len(), 2);
    assert_eq!(apart.of_fault(shop).map(|i| i.reports.len()), Some(3));
    // Joined again: the later word counts.
    let stock = apart.of_fault(one.id).expect("there");
    tokyo.act(stock, Deed::Join(shop), "related after all", 14 * MINUTE);
    let joined = only(&judged([&site, &tokyo], 15 * MINUTE));
    assert_eq!((joined.id, joined.reports.len(), joined.joins.len()), (one.id, 4, 3));
}

#[test]
fn what_has_nothing_in_common_is_joined_by_hand() {
    let mut site = raised();
    site.raise("icmp_failed", "host:198.51.100.1", 10 * MINUTE);
    let two = judged([&site], 11 * MINUTE);
    let [a, b] = two.incidents() else { panic!("two incidents") };
    site.act(a, Deed::Join(b.id), "one switch", 11 * MINUTE);
    let one = only(&judged([&site], 12 * MINUTE));
    assert_eq!(one.actions.len(), 1);
    assert!(
        matches!(&one.joins[0].why, holm_incident::Reason::Hand { by } if by.contains("berlin"))
    );
}

#[test]
fn actions_that_make_no_sense_are_refused_with_the_reason() {
    let site = raised();
    let one = only(&judged([&site], 11 * MINUTE));
    let other = common::fault("i-0000000000001");
    let refuse =
        |deed, text: &str| one.action(1, "ada", deed, text, Millis(1)).expect_err("refused");
    assert_eq!(refuse(Deed::Note, " "), ActionError::EmptyNote);
    assert!(matches!(refuse(Deed::Note, &"x".repeat(1 << 20)), ActionError::TextTooLong { .. }));
    assert_eq!(refuse(Deed::Split(vec![one.id]), ""), ActionError::First { fault: one.id });
    assert_eq!(refuse(Deed::Split(vec![other]), ""), ActionError::NotHere { fault: other });
    assert_eq!(refuse(Deed::Split(vec![]), ""), ActionError::Faults { count: 0 });
    assert_eq!(refuse(Deed::Join(one.id), ""), ActionError::SameIncident { fault: one.id });
    let owner = Deed::Assign(Some("x".repeat(300).into()));
    assert!(matches!(refuse(owner, ""), ActionError::NameTooLong { .. }));
}

#[test]
fn what_a_site_held_open_ends_when_it_is_gone_for_good_and_holds_again_when_it_comes_back() {
    let mut berlin = raised();
    let mut tokyo = Site::new("tokyo");
    tokyo.raise("icmp_failed", "host:192.0.2.99", 10 * MINUTE);
    let mut book = book([&berlin, &tokyo]);
    let at = |minute: u64| Millis(minute * MINUTE);
    let gone = [("berlin".parse().expect("valid"), at(30))].into();
    assert!(book.set_gone(&gone));
    assert!(!book.set_gone(&gone), "nothing new");
    let find = |judged: &holm_incident::Judged, target: &str| {
        let all = judged.incidents().iter();
        let of = |i: &&std::sync::Arc<holm_incident::Incident>| i.targets[0].to_string() == target;
        all.clone().find(of).expect("it is there").clone()
    };
    let judged = book.judge(at(40));
    let ended = find(&judged, TARGET);
    assert_eq!((ended.firing, ended.state), (false, State::Resolved));
    assert!(ended.reports[0].1.lapsed, "nobody saw it recover");
    assert!(find(&judged, "host:192.0.2.99").firing, "the other site's");
    // A record that comes late from another holder of its documents is ended too.
    berlin.raise("icmp_failed", "host:192.0.2.55", 20 * MINUTE);
    for (id, value) in &berlin.records {
        book.take(id.clone(), [value.as_slice()]);
    }
    assert!(!find(&book.judge(at(40)), "host:192.0.2.55").firing);
    // It was restored: all is as its nodes say.
    assert!(book.set_gone(&std::collections::BTreeMap::new()));
    let judged = book.judge(at(41));
    assert!(find(&judged, TARGET).firing && find(&judged, "host:192.0.2.55").firing);
    assert!(!find(&judged, TARGET).reports[0].1.lapsed);
}

#[test]
fn who_resolves_what_a_clock_ahead_reported_is_believed() {
    let mut berlin = raised();
    let mut tokyo = Site::new("tokyo");
    // An hour ahead, and the same minute in truth.
    tokyo.raise("icmp_failed", TARGET, 70 * MINUTE);
    let one = only(&judged([&berlin, &tokyo], 11 * MINUTE));
    let resolved = berlin.act(&one, Deed::Resolve, "known, ignored", 11 * MINUTE);
    assert_eq!((resolved.at, resolved.ahead.len()), (Millis(11 * MINUTE), 1));
    for now in [12, 69, 71, 200] {
        let one = only(&judged([&berlin, &tokyo], now * MINUTE));
        assert_eq!(one.state, State::Resolved, "at {now}: {:?}", one.turns);
    }
    // What ends then changes nothing; what is raised after the action, by either clock, does.
    tokyo.clear("icmp_failed", TARGET, 73 * MINUTE);
    assert_eq!(only(&judged([&berlin, &tokyo], 13 * MINUTE)).state, State::Resolved);
    let mut again = book([&berlin, &tokyo]);
    tokyo.raise("icmp_failed", TARGET, 75 * MINUTE);
    assert_eq!(only(&judged([&berlin, &tokyo], 15 * MINUTE)).state, State::Reopened);
    berlin.raise("tcp_failed", TARGET, 14 * MINUTE);
    for (id, value) in &berlin.records {
        again.take(id.clone(), [&**value]);
    }
    assert_eq!(only(&again.judge(Millis(15 * MINUTE))).state, State::Reopened);
}

#[test]
fn an_action_by_a_clock_behind_saw_what_it_saw() {
    let mut berlin = raised();
    berlin.clear("icmp_failed", TARGET, 12 * MINUTE);
    berlin.raise("icmp_failed", TARGET, 18 * MINUTE);
    let mut tokyo = Site::new("tokyo");
    let one = only(&judged([&berlin], 19 * MINUTE));
    assert_eq!(one.state, State::Reopened);
    // By a clock that is a quarter of an hour behind.
    tokyo.act(&one, Deed::Resolve, "", 4 * MINUTE);
    assert_eq!(only(&judged([&berlin, &tokyo], 20 * MINUTE)).state, State::Resolved);
    berlin.clear("icmp_failed", TARGET, 21 * MINUTE);
    berlin.raise("icmp_failed", TARGET, 31 * MINUTE);
    assert_eq!(only(&judged([&berlin, &tokyo], 32 * MINUTE)).state, State::Reopened);
}
