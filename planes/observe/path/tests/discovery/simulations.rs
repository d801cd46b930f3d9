//! The simulations of trippy: each with probes and replies as bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use holm_path::engine::{Outcome, Reply, ReplyKind, Trace, TraceOptions};
use holm_path::socket::{Matched, Matching};
use holm_path::wire::{
    Answer, FlowKey, Heard, Identity, Meaning, Packet, Protocol, build, parse_icmp_v4,
    parse_icmp_v6, parse_tcp,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

#[derive(Deserialize)]
struct Simulation {
    name: String,
    target: IpAddr,
    protocol: String,
    icmp_identifier: Option<u16>,
    tos: Option<u8>,
    hops: Vec<Hop>,
}

#[derive(Deserialize)]
struct Hop {
    ttl: u8,
    resp: Response,
}

#[derive(Deserialize)]
#[serde(tag = "tag")]
enum Response {
    NoResponse,
    SingleHost { addr: IpAddr, rtt_ms: u64 },
}

/// What the one at `from` answers to a probe that it got.
fn answer(probe: &Packet, bytes: &[u8], from: IpAddr) -> Option<Heard> {
    let v6 = from.is_ipv6();
    let reached = from == probe.target;
    let ip = |protocol: u8, body: &[u8]| {
        let IpAddr::V4(from) = from else { return body.to_vec() };
        let mut datagram = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        datagram.extend(from.octets());
        datagram.extend([10, 0, 0, 1]);
        datagram.extend(body);
        datagram
    };
    let icmp = |body: &[u8]| match from {
        IpAddr::V4(_) => parse_icmp_v4(&ip(1, body)),
        IpAddr::V6(from) => parse_icmp_v6(body, from),
    };
    let error = |kind: u8, code: u8| icmp(&[&[kind, code, 0, 0, 0, 0, 0, 0], bytes].concat());
    match (reached, probe.protocol) {
        (false, _) if v6 => error(3, 0),
        (false, _) => error(11, 0),
        (true, Protocol::Udp) if v6 => error(1, 4),
        (true, Protocol::Udp) => error(3, 3),
        (true, Protocol::Icmp) => {
            let mut echo = bytes[if v6 { 40 } else { 20 }..].to_vec();
            echo[0] = if v6 { 129 } else { 0 };
            icmp(&echo)
        }
        (true, Protocol::Tcp) => {
            let mut segment = [0; 20];
            segment[..2].copy_from_slice(&probe.target_port.to_be_bytes());
            segment[2..4].copy_from_slice(&probe.flow.port.to_be_bytes());
            let acknowledged = probe.identity.sequence().wrapping_add(1);
            segment[8..12].copy_from_slice(&acknowledged.to_be_bytes());
            segment[13] = 0x12;
            parse_tcp(&ip(6, &segment), from)
        }
    }
}

fn simulate(simulation: &Simulation) {
    let protocol = match simulation.protocol.as_str() {
        "Icmp" => Protocol::Icmp,
        "Tcp" => Protocol::Tcp,
        _ => Protocol::Udp,
    };
    let source: IpAddr =
        if simulation.target.is_ipv4() { "10.0.0.1" } else { "fd00:10::1" }.parse().expect("valid");
    let mut rng = StdRng::seed_from_u64(1);
    let quoted_distance = protocol == Protocol::Udp;
    let options = TraceOptions { max_ttl: 40, quoted_distance, ..TraceOptions::default() };
    let mut trace = Trace::new(simulation.target, options);
    let mut matching = Matching::default();
    let mut arrivals: BinaryHeap<Reverse<(Duration, usize)>> = BinaryHeap::new();
    let mut replies = Vec::new();
    let mut now = Duration::ZERO;
    while !trace.is_over() {
        while let Some(probe) = trace.next(now) {
            let flow = FlowKey {
                port: simulation.icmp_identifier.unwrap_or(5_000).wrapping_add(probe.flow),
                checksum: 0x1234,
                label: 7,
            };
            let mut packet = Packet {
                protocol,
                source,
                target: simulation.target,
                target_port: 33_434,
                ttl: probe.ttl,
                traffic_class: simulation.tos.unwrap_or(0),
                flow,
                identity: Identity { token: 0, nonce: rng.random() },
            };
            loop {
                packet.identity.token = rng.random_range(1..=u16::MAX);
                if matching.remember(&packet, 1, probe.number, now) {
                    break;
                }
            }
            // Beyond the last hop it is the target that answers, with the TTL that is left.
            let last = simulation.hops.last().expect("hops");
            let at = simulation.hops.iter().find(|hop| hop.ttl == probe.ttl).unwrap_or(last);
            if let Response::SingleHost { addr, rtt_ms } = at.resp {
                let mut bytes = build(&packet).expect("one family");
                let left = probe.ttl - at.ttl + 1;
                bytes[if addr.is_ipv4() { 8 } else { 7 }] = left;
                let heard = answer(&packet, &bytes, addr).expect("an answer that is read");
                replies.push(heard);
                let at = now + Duration::from_millis(rtt_ms);
                arrivals.push(Reverse((at, replies.len() - 1)));
            }
        }
        let arrival = arrivals.peek().map(|Reverse((at, _))| *at);
        let Some(next) = [arrival, trace.wake_at()].into_iter().flatten().min() else { break };
        now = now.max(next);
        if arrival.is_some_and(|at| at <= now) {
            let Reverse((_, index)) = arrivals.pop().expect("seen");
            let heard = &replies[index];
            let Matched::Probe { number, rewritten, .. } = matching.find(heard) else {
                panic!("{}: {heard:?} is not matched", simulation.name)
            };
            let (kind, quoted_ttl) = match &heard.answer {
                Answer::Error { meaning: Meaning::Exceeded, quote, .. } => {
                    (ReplyKind::Exceeded, Some(quote.ttl))
                }
                Answer::Error { quote, .. } => (ReplyKind::Reached, Some(quote.ttl)),
                _ => (ReplyKind::Reached, None),
            };
            let (labels, interface, from) = (Vec::new(), None, heard.from);
            let (identification, ttl) = (None, None);
            let reply =
                Reply { from, kind, quoted_ttl, labels, interface, rewritten, identification, ttl };
            trace.replied(number, &reply, now);
        }
    }
    let result = trace.result();
    assert_eq!(result.outcome, Outcome::Reached, "{}", simulation.name);
    let expected: Vec<Option<IpAddr>> = simulation
        .hops
        .iter()
        .map(|hop| match hop.resp {
            Response::NoResponse => None,
            Response::SingleHost { addr, .. } => Some(addr),
        })
        .collect();
    assert_eq!(result.flows[0].hops, expected, "{}", simulation.name);
    for (hop, given) in result.hops.iter().zip(&simulation.hops) {
        let Response::SingleHost { rtt_ms, .. } = given.resp else { continue };
        let rtt = hop.interfaces[0].rtt.min_ms;
        assert!((rtt - rtt_ms as f64).abs() < 1e-6, "{}: {rtt} for {rtt_ms}", simulation.name);
    }
}

#[test]
fn the_simulations_of_another_tool_end_as_they_say() {
    let vectors = std::env::var_os("HOLM_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors"),
        PathBuf::from,
    );
    let Ok(folder) = std::fs::read_dir(vectors.join("path/trippy")) else {
        println!("skipped: no simulations at {}", vectors.display());
        return;
    };
    let mut files: Vec<PathBuf> = folder.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("readable");
        let simulation: Simulation = toml::from_str(&text).expect("a simulation");
        simulate(&simulation);
    }
    println!("{} simulations", files.len());
    assert!(files.len() > 20, "they are there");
}
