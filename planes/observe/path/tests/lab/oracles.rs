//! What other tools say of the same lab, where they are installed (Debian: scamper, mtr-tiny).

use std::collections::BTreeSet;
use std::net::IpAddr;

use holm_path::engine::TraceOptions;
use holm_path::mtu::path_mtu;
use holm_path::socket::Request;
use holm_path::wire::Protocol;

use super::network::{Lab, Plan, TARGET_V4, TARGET_V6};
use super::{addresses, lab, middles, request, traces};

/// What a tool prints, or nothing where it is not installed.
fn said(lab: &Lab, command: &[&str]) -> Option<String> {
    let output = lab.output(command).unwrap_or_default();
    if output.trim().is_empty() {
        println!("skipped: no {} here", command[0]);
        return None;
    }
    Some(output)
}

/// The values of a field of text in JSON, wherever it is.
fn values<'a>(json: &'a str, field: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!("\"{field}\":\"");
    json.split(&begin.clone())
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn scamper_finds_the_same_ways_side_by_side() {
    let Some(lab) = lab(Plan { width: 8, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        // Ours first: the neighbours of the namespaces are then known to each other.
        let options = TraceOptions { epsilon: 1e-6, ..TraceOptions::default() };
        let of = Request { options, ..request(target, Protocol::Udp) };
        let result = traces(&lab, false, vec![of]).remove(0);
        let command = [
            "scamper",
            "-p",
            "1000",
            "-O",
            "json",
            "-c",
            "tracelb -P udp-sport -c 99",
            "-i",
            target,
        ];
        let Some(json) = said(&lab, &command) else { return };
        let theirs: BTreeSet<IpAddr> =
            values(&json, "addr").filter_map(|address| address.parse().ok()).collect();
        let middles = middles(8, target.contains(':'));
        // It stops at 95 or 99 of 100: what it names is there, and we have all.
        let seen: BTreeSet<IpAddr> = middles.intersection(&theirs).copied().collect();
        assert!(seen.len() >= 7, "{json}");
        assert_eq!(addresses(&result, 2), middles);
    }
}

#[test]
fn scamper_finds_the_same_path_mtu() {
    let Some(lab) = lab(Plan { width: 1, mtu: 1_397, ..Plan::default() }) else { return };
    // Over IPv6 its longer packets do not leave a namespace.
    let target: IpAddr = TARGET_V4.parse().expect("an address");
    let ours = lab.at_source(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(path_mtu(target, 33_434)).expect("sockets")
    });
    let Some(text) = said(&lab, &["scamper", "-c", "trace -M -P udp-paris", "-i", TARGET_V4])
    else {
        return;
    };
    // "[*mtu: 1397]" behind the hop that says so.
    let theirs = text
        .split("mtu: ")
        .skip(1)
        .filter_map(|rest| rest.split(']').next()?.trim().parse::<u32>().ok())
        .min();
    assert_eq!(ours.map(|found| found.mtu), theirs, "{text}");
}

#[test]
fn mtr_sees_the_same_hops() {
    let Some(lab) = lab(Plan { width: 1, ..Plan::default() }) else { return };
    for target in [TARGET_V4, TARGET_V6] {
        let result = traces(&lab, false, vec![request(target, Protocol::Udp)]).remove(0);
        let Some(report) = said(&lab, &["mtr", "-n", "-r", "-w", "-c", "1", target]) else {
            return;
        };
        let hops = report.lines().filter_map(|line| line.split_once(".|--"));
        let theirs: Vec<Option<IpAddr>> = hops
            .map(|(_, rest)| rest.split_whitespace().next().and_then(|hop| hop.parse().ok()))
            .collect();
        assert_eq!(result.flows[0].hops, theirs, "{report}");
    }
}
