//! Hops that are silent, slow, or balance packets; losses, loops, and bounds.

use std::time::Duration;

use super::fakeroute::{Network, found, run};
use holm_path::engine::{Algorithm, Outcome, Probe, Reply, ReplyKind, Trace, TraceOptions};

#[test]
fn silent_hops_are_gaps_and_the_rest_is_found() {
    for seed in 0..100 {
        let mut network = Network::of(&[1, 1, 1, 4, 4, 1, 1], seed);
        network.nodes[2].silent = true;
        let (result, _) = run(&network, TraceOptions::default());
        assert_eq!(result.outcome, Outcome::Reached);
        assert!(result.hops[2].interfaces.is_empty());
        assert_eq!(result.flows[0].hops[2], None);
        let loss = result.hops[2].loss;
        assert_eq!((loss.terminal, loss.forwarding), (loss.lost, 0));
        assert!(loss.sent <= 12, "it is not asked again and again: {loss:?}");
    }
}

#[test]
fn a_target_that_says_nothing_ends_in_silence_after_the_gap() {
    let mut network = Network::of(&[1, 1, 2, 1, 1], 3);
    let target = network.nodes.len() - 1;
    network.nodes[target].silent = true;
    let (result, took) = run(&network, TraceOptions::default());
    assert_eq!(result.outcome, Outcome::Silent);
    assert!(!result.reached() && result.hops.len() == 4, "{}", result.hops.len());
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn routers_without_a_route_are_all_found_and_the_bound_is_about_them() {
    for (algorithm, width) in [(Algorithm::Lite, 2), (Algorithm::Lite, 4), (Algorithm::Mda, 3)] {
        let mut whole = 0;
        for seed in 0..200 {
            let mut network = Network::of(&[1, 1, width, 1], seed);
            for node in network.hops[2].clone() {
                network.nodes[node].next.clear();
            }
            let (result, _) = run(&network, TraceOptions { algorithm, ..TraceOptions::default() });
            assert_eq!((result.outcome, result.hops.len()), (Outcome::Unreachable(0), 3));
            let bound = result.failure_bound.expect("it ran to its end");
            assert!(bound > 0.0 && bound <= 0.1, "{bound}: one of {width} may always be missed");
            whole += usize::from(result.hops[2].interfaces.len() == width);
        }
        // 95 of 100 are promised; three standard deviations of 200 runs are 9.
        assert!(whole >= 181, "{algorithm:?}, {width}: {whole} of 200");
    }
}

#[test]
fn balancers_of_packets_are_named_and_no_links_are_drawn_from_them() {
    let mut named = 0;
    for seed in 0..200 {
        let mut network = Network::of(&[1, 1, 2, 1, 1], seed);
        network.nodes[1].per_packet = true;
        let (result, _) = run(&network, TraceOptions::default());
        assert_eq!(result.outcome, Outcome::Reached);
        named += usize::from(result.hops[2].per_packet);
        let mut by_flow = network.clone();
        by_flow.nodes[1].per_packet = false;
        let (result, _) = run(&by_flow, TraceOptions::default());
        assert!(result.hops.iter().all(|hop| !hop.per_packet), "flows keep their way");
    }
    // Five repeats on one of two ways: 1 of 32 is not named; 1 of 32 has only one way found.
    println!("{named} of 200 named");
    assert!(named >= 175, "{named}");
}

#[test]
fn hops_that_limit_their_replies_are_asked_slowly_until_they_answer() {
    let mut whole = 0;
    for seed in 0..50 {
        let mut network = Network::of(&[1, 1, 4, 4, 1, 1], seed);
        // As Linux does: six at once, then one a second.
        network.nodes[1].tokens = Some((6.0, 1.0));
        network.nodes[10].tokens = Some((3.0, 2.0));
        let (result, took) = run(&network, TraceOptions::default());
        assert_eq!(result.outcome, Outcome::Reached);
        assert!(took < Duration::from_secs(60), "{took:?}");
        whole += usize::from(found(&result).len() == network.nodes.len());
    }
    assert!(whole >= 48, "{whole} of 50");
}

#[test]
fn losses_and_disorder_are_borne() {
    let mut whole = 0;
    for seed in 0..200 {
        let mut network = Network::of(&[1, 1, 3, 3, 1, 1, 1], seed);
        network.loss = 0.05;
        network.reorder = true;
        let (result, _) = run(&network, TraceOptions::default());
        assert_eq!(result.outcome, Outcome::Reached, "{seed}");
        whole += usize::from(found(&result).len() == network.nodes.len());
    }
    assert!(whole >= 190, "{whole} of 200");
}

#[test]
fn without_a_quoted_distance_the_way_is_walked() {
    for length in [1, 2, 5, 12, 31] {
        let mut network = Network::of(&vec![1; length], 5);
        network.quotes_ttl = false;
        for quoted_distance in [false, true] {
            let options = TraceOptions { quoted_distance, ..TraceOptions::default() };
            let (result, _) = run(&network, options);
            assert_eq!((result.outcome, result.hops.len()), (Outcome::Reached, length));
            assert_eq!(result.flows[0].hops.len(), length);
        }
    }
}

#[test]
fn ways_of_unlike_length_end_where_they_end() {
    // One branch is a hop longer than the other.
    let mut network = Network::of(&[1, 1, 2, 1, 1, 1], 1);
    let (branch, far) = (network.hops[2][1], network.hops[4][0]);
    network.nodes[branch].next = vec![far];
    for seed in 0..50 {
        network = network.reseeded(seed);
        let options = TraceOptions { algorithm: Algorithm::Mda, ..TraceOptions::default() };
        let (result, _) = run(&network, options);
        assert_eq!(result.outcome, Outcome::Reached, "{seed}");
        assert_eq!(found(&result).len(), network.nodes.len(), "{seed}");
    }
}

#[test]
fn probes_and_time_have_an_end_and_the_result_says_so() {
    let network = Network::of(&[1, 16, 16, 16, 1], 1);
    let (result, _) = run(&network, TraceOptions { max_probes: 40, ..TraceOptions::default() });
    assert_eq!((result.outcome, result.failure_bound), (Outcome::Budget, None));
    assert!(result.probes <= 40);
    let deadline = Duration::from_millis(5);
    let (result, took) = run(&network, TraceOptions { deadline, ..TraceOptions::default() });
    assert_eq!((result.outcome, result.failure_bound), (Outcome::Deadline, None));
    assert!(took <= deadline * 2);
}

#[test]
fn a_loop_is_named_and_left() {
    let target = "192.0.2.9".parse().expect("valid");
    let mut trace = Trace::new(target, TraceOptions::default());
    let mut now = Duration::ZERO;
    for _ in 0..10_000 {
        while let Some(Probe { number, ttl, .. }) = trace.next(now) {
            if ttl == 32 {
                continue;
            }
            let reply = Reply {
                // From the third hop on two routers send packets to each other.
                from: if ttl < 3 { [10, 0, 0, ttl].into() } else { [10, 0, 1, ttl % 2].into() },
                kind: ReplyKind::Exceeded,
                quoted_ttl: None,
                labels: Vec::new(),
                interface: None,
                rewritten: false,
                identification: None,
                ttl: None,
            };
            trace.replied(number, &reply, now + Duration::from_millis(1));
            trace.replied(number, &reply, now + Duration::from_millis(1));
            trace.replied(999_999, &reply, now);
        }
        match trace.wake_at() {
            Some(at) => now = now.max(at),
            None => break,
        }
    }
    let result = trace.result();
    assert_eq!(result.outcome, Outcome::Loop);
    assert!(result.looped && result.hops.len() < 12, "{}", result.hops.len());
    assert!(result.duplicates > 0);
}
