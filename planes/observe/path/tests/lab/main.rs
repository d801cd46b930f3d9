//! Real kernels in network namespaces: as root only.

mod layers;
mod mtu;
mod network;
mod oracles;
mod shapes;
mod tunnel;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use holm_path::engine::{Algorithm, Multipath, Outcome, TraceOptions};
use holm_path::socket::{Method, Request, Tracer};
use holm_path::wire::Protocol;
use network::{Lab, Plan, TARGET_V4, TARGET_V6};

/// Runs of each lab; the bench has more.
const RUNS: usize = 5;

fn lab(plan: Plan) -> Option<Lab> {
    unless_skipped(Lab::build(plan))
}

fn unless_skipped(lab: Result<Lab, String>) -> Option<Lab> {
    match lab {
        Ok(lab) => Some(lab),
        // Where namespaces can be made a lab that cannot be built is no reason to pass.
        Err(reason) if has_what_labs_need() => panic!("the lab was not built: {}", reason.trim()),
        Err(reason) => {
            println!(
                "skipped: no network namespaces here, or no nft: root and nftables are needed ({})",
                reason.trim()
            );
            None
        }
    }
}

/// Whether this user can make namespaces, and has the tools that labs are made with.
fn has_what_labs_need() -> bool {
    let mut probe = network::Lab::new();
    let nft = std::process::Command::new("nft").arg("--version").output();
    probe.add("probe", false).is_ok() && nft.is_ok_and(|output| output.status.success())
}

fn request(target: &str, protocol: Protocol) -> Request {
    let port = if protocol == Protocol::Tcp { 80 } else { 33_434 };
    Request { protocol, port, ..Request::to(target.parse().expect("an address")) }
}

fn traces(lab: &Lab, unprivileged: bool, requests: Vec<Request>) -> Vec<Multipath> {
    lab.at_source(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let tracer = if unprivileged {
                Tracer::unprivileged(10_000)
            } else {
                Tracer::raw(10_000).expect("root")
            };
            assert_eq!(tracer.method() == Method::ErrorQueue, unprivileged);
            let mut results = Vec::new();
            for request in requests {
                results.push(tracer.trace(request).await.expect("a trace"));
            }
            results
        })
    })
}

fn addresses(result: &Multipath, ttl: usize) -> BTreeSet<IpAddr> {
    result.hops.get(ttl - 1).map_or_else(BTreeSet::new, |hop| {
        hop.interfaces.iter().map(|interface| interface.address).collect()
    })
}

fn middles(width: usize, v6: bool) -> BTreeSet<IpAddr> {
    let text = |i: usize| if v6 { format!("fd00:2:{i:x}::2") } else { format!("10.2.{i}.2") };
    (1..=width).map(|i| text(i).parse().expect("an address")).collect()
}

#[test]
fn every_way_of_a_diamond_is_found_by_every_protocol_over_both_families() {
    for width in [2, 4, 8] {
        let Some(lab) = lab(Plan { width, ..Plan::default() }) else { return };
        for (target, protocol) in [
            (TARGET_V4, Protocol::Udp),
            (TARGET_V6, Protocol::Udp),
            (TARGET_V4, Protocol::Tcp),
            (TARGET_V6, Protocol::Tcp),
        ] {
            // With the chance of missing one at one place in a million these tests do not fail by chance.
            let options = TraceOptions { epsilon: 1e-6, ..TraceOptions::default() };
            let requests = (0..RUNS)
                .map(|_| Request { options: options.clone(), ..request(target, protocol) });
            for result in traces(&lab, false, requests.collect()) {
                assert_eq!(result.outcome, Outcome::Reached, "{target} {protocol:?}");
                assert_eq!(result.hops.len(), 4);
                assert_eq!(
                    addresses(&result, 2),
                    middles(width, target.contains(':')),
                    "{protocol:?}"
                );
                assert_eq!(result.hops[2].interfaces.len(), width, "b has an interface for each");
                assert!(result.hops.iter().all(|hop| !hop.per_packet && !hop.meshed));
                assert!(result.failure_bound.is_some_and(|bound| bound < 1e-4));
            }
        }
    }
}

#[test]
fn echo_requests_of_one_flow_take_one_way() {
    let Some(lab) = lab(Plan { width: 4, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let result = traces(&lab, false, vec![request(target, Protocol::Icmp)]).remove(0);
        assert_eq!(result.outcome, Outcome::Reached);
        // Linux balances echo requests by their addresses (and their identifier since some version).
        assert_eq!(result.flows[0].hops.len(), 4);
        assert!(result.flows[0].reached && result.hops.iter().all(|hop| !hop.per_packet));
    }
}

#[test]
fn without_raw_sockets_the_error_queue_finds_the_same() {
    let Some(lab) = lab(Plan { width: 2, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let options = TraceOptions { epsilon: 1e-4, ..TraceOptions::default() };
        let of = Request { options, ..request(target, Protocol::Udp) };
        let result = traces(&lab, true, vec![of]).remove(0);
        assert_eq!(result.outcome, Outcome::Reached);
        assert_eq!(addresses(&result, 2), middles(2, target.contains(':')));
    }
}

#[test]
fn a_silent_router_is_a_gap_and_its_loss_is_its_own() {
    let Some(lab) = lab(Plan { width: 1, silent: true, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let result = traces(&lab, false, vec![request(target, Protocol::Udp)]).remove(0);
        assert_eq!(result.outcome, Outcome::Reached);
        assert!(result.hops[1].interfaces.is_empty());
        assert_eq!(result.flows[0].hops[1], None);
        let loss = result.hops[1].loss;
        assert!(loss.lost > 0 && loss.lost == loss.terminal, "{loss:?}: it forwards");
        assert_eq!(result.forwarding_loss(), Some(0.0));
    }
}

#[test]
fn packets_that_come_back_another_way_change_nothing() {
    let Some(lab) = lab(Plan { width: 4, asymmetric: true, ..Plan::default() }) else { return };
    let options = TraceOptions { epsilon: 1e-6, ..TraceOptions::default() };
    let of = Request { options, ..request(TARGET_V4, Protocol::Udp) };
    let result = traces(&lab, false, vec![of]).remove(0);
    assert_eq!((result.outcome, addresses(&result, 2)), (Outcome::Reached, middles(4, false)));
}

#[test]
fn routers_that_limit_their_replies_are_asked_slowly() {
    let Some(lab) = lab(Plan { width: 1, limited: true, ..Plan::default() }) else { return };
    // More flows than the six replies that Linux gives at once.
    let options = TraceOptions {
        algorithm: Algorithm::Single,
        whole_flows: 10,
        deadline: Duration::from_secs(40),
        ..TraceOptions::default()
    };
    let of = Request { options, ..request(TARGET_V4, Protocol::Udp) };
    let result = traces(&lab, false, vec![of]).remove(0);
    assert_eq!(result.outcome, Outcome::Reached);
    assert!(result.hops.iter().any(|hop| hop.rate_limited), "the lab limits");
    assert!(result.flows.iter().all(|flow| flow.hops.iter().all(Option::is_some)));
}

#[test]
fn an_address_that_nobody_has_ends_in_silence_or_a_refusal() {
    let Some(lab) = lab(Plan { width: 2, ..Plan::default() }) else { return };
    let options = TraceOptions { timeout: Duration::from_millis(200), ..TraceOptions::default() };
    let of = Request { options, ..request("10.3.0.99", Protocol::Udp) };
    let result = traces(&lab, false, vec![of]).remove(0);
    assert!(!result.reached());
    assert!(
        matches!(result.outcome, Outcome::Silent | Outcome::Unreachable(_)),
        "{:?}",
        result.outcome
    );
}

#[test]
fn another_tool_sees_the_same_hops() {
    let Some(lab) = lab(Plan { width: 1, more_targets: 1, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6, "10.3.0.3"] {
        // Ours first: the neighbours of the namespaces are then known to each other.
        let result = traces(&lab, false, vec![request(target, Protocol::Udp)]).remove(0);
        let command = ["traceroute", "-n", "-q", "1", "-N", "1", "-w", "1", target];
        let Ok(output) = lab.output(&command) else { return };
        if output.is_empty() {
            println!("skipped: no traceroute here");
            return;
        }
        let theirs = output.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let theirs: Vec<Option<IpAddr>> = theirs.map(|address| address.parse().ok()).collect();
        assert_eq!(result.flows[0].hops, theirs, "{output}");
    }
}
