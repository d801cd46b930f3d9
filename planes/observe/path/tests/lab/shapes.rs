//! Odd ways of real kernels: very wide, meshed and uneven diamonds, packets that go each its own way, NAT.

use holm_path::engine::{Multipath, Outcome, TraceOptions};
use holm_path::socket::Request;
use holm_path::wire::Protocol;

use super::network::{Lab, Plan, TARGET_V4, TARGET_V6};
use super::{addresses, lab, middles, request, traces, unless_skipped};

fn surely(target: &str) -> Request {
    let options = TraceOptions { epsilon: 1e-6, max_probes: 20_000, ..TraceOptions::default() };
    Request { options, ..request(target, Protocol::Udp) }
}

fn widths(result: &Multipath) -> Vec<usize> {
    result.hops.iter().map(|hop| hop.interfaces.len()).collect()
}

/// How many links begin at each interface of a hop, sorted.
fn fan_out(result: &Multipath, ttl: u8) -> Vec<usize> {
    let hop = &result.hops[usize::from(ttl) - 1];
    let count = |address| {
        result.links.iter().filter(|link| link.ttl == ttl && link.from == address).count()
    };
    let mut all: Vec<usize> = hop.interfaces.iter().map(|i| count(i.address)).collect();
    all.sort_unstable();
    all
}

#[test]
fn sixteen_ways_side_by_side_are_found() {
    let Some(lab) = lab(Plan { width: 16, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let result = traces(&lab, false, vec![surely(target)]).remove(0);
        assert_eq!(result.outcome, Outcome::Reached);
        assert_eq!(addresses(&result, 2), middles(16, target.contains(':')), "{target}");
        assert_eq!(widths(&result), [1, 16, 16, 1]);
    }
}

#[test]
fn a_meshed_diamond_shows_every_link() {
    let both: &[&str] = &["p1", "p2"];
    let Some(lab) = unless_skipped(Lab::layers(&[("m1", both), ("m2", both)])) else { return };
    let result = traces(&lab, false, vec![surely(TARGET_V4)]).remove(0);
    assert_eq!((result.outcome, widths(&result)), (Outcome::Reached, vec![1, 2, 2, 1, 1]));
    assert_eq!(fan_out(&result, 2), [2, 2], "{:?}", result.links);
    assert!(result.hops.iter().any(|hop| hop.meshed));
    assert!(result.hops.iter().all(|hop| !hop.per_packet));
}

#[test]
fn a_diamond_within_a_diamond_shows_its_uneven_branches() {
    let shape: &[(&str, &[&str])] = &[("m1", &["p1", "p2", "p3"]), ("m2", &["p4"])];
    let Some(lab) = unless_skipped(Lab::layers(shape)) else { return };
    let result = traces(&lab, false, vec![surely(TARGET_V4)]).remove(0);
    assert_eq!((result.outcome, widths(&result)), (Outcome::Reached, vec![1, 2, 4, 1, 1]));
    assert_eq!(fan_out(&result, 2), [1, 3], "{:?}", result.links);
}

#[test]
fn a_router_that_sends_each_packet_its_own_way_is_said_to() {
    let Some(lab) = lab(Plan { width: 4, per_packet: true, ..Plan::default() }) else { return };
    // That five packets take one way by chance happens once in a thousand: not three times.
    let results =
        traces(&lab, false, vec![surely(TARGET_V4), surely(TARGET_V4), surely(TARGET_V4)]);
    assert!(results.iter().all(|result| result.outcome == Outcome::Reached));
    assert!(results.iter().any(|result| result.hops.iter().any(|hop| hop.per_packet)));
}

#[test]
fn packets_that_are_rewritten_on_their_way_are_marked_from_there_on() {
    let Some(lab) = lab(Plan { width: 1, nat: true, ..Plan::default() }) else { return };
    let result = traces(&lab, false, vec![request(TARGET_V4, Protocol::Udp)]).remove(0);
    assert_eq!(result.outcome, Outcome::Reached);
    let rewritten: Vec<bool> =
        result.hops.iter().map(|hop| hop.interfaces.iter().any(|i| i.rewritten)).collect();
    assert_eq!(rewritten, [false, true, true, true]);
}
