//! Exporters that nobody here wrote, watching real traffic: softflowd and pmacctd in a network namespace.
//! What we read of their datagrams is what nfdump reads of the same datagrams, and no more than was sent.
//!
//! Needs root and the Debian packages `softflowd`, `pmacct` and `nfdump`; says so and passes where one is missing.

#[path = "../behaviour/common.rs"]
#[allow(dead_code, reason = "the behaviour tests use the rest")]
mod common;
mod namespace;
mod nfdump;

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use common::{Row, decode_with, decoder};
use namespace::Pair;

/// Packets and bytes by protocol, addresses and ports.
type Totals = BTreeMap<String, (u64, u64)>;

/// How many packets of 500 bytes of payload are sent: more than a capture buffer holds back.
const PACKETS: u64 = 8_000;
/// An exporter that has told nothing more for so long has told all.
const QUIET: Duration = Duration::from_secs(4);

fn totals(rows: &[Row]) -> Totals {
    let mut totals = Totals::new();
    for row in rows {
        let field = |name: &str| row.get(name).map_or("0", String::as_str);
        let number = |name: &str| field(name).parse::<u64>().expect("a number");
        let key = format!(
            "{} {} {} {} {}",
            field("flow.ip.protocol"),
            field("source.address"),
            field("destination.address"),
            field("source.port"),
            field("destination.port"),
        );
        let (packets, bytes) = totals.entry(key).or_default();
        *packets += number("flow.io.packets_scaled");
        *bytes += number("flow.io.bytes_scaled");
    }
    totals
}

/// Runs an exporter beside traffic; its datagrams. `None`, and a line that says why, if it cannot be.
fn exported(exporter: impl Fn(&Pair, u16) -> Vec<String>) -> Option<Vec<Vec<u8>>> {
    let pair = Pair::new()?;
    let collector = UdpSocket::bind((pair.near, 0)).expect("a port");
    let sink = UdpSocket::bind((pair.near, 0)).expect("a port");
    let port = collector.local_addr().expect("bound").port();
    let mut running = pair.run(&exporter(&pair, port));
    std::thread::sleep(Duration::from_secs(2));
    pair.send(sink.local_addr().expect("bound").port(), PACKETS);
    std::thread::sleep(Duration::from_secs(3));
    running.stop();
    collector.set_read_timeout(Some(QUIET)).expect("a timeout");
    let (mut datagrams, mut buffer) = (Vec::new(), vec![0; 65_536]);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(30) {
        let Ok(length) = collector.recv(&mut buffer) else { break };
        datagrams.push(buffer[..length].to_vec());
    }
    assert!(!datagrams.is_empty(), "the exporter told nothing: {}", running.said());
    Some(datagrams)
}

fn pmacctd(pair: &Pair, plugin: &str, lines: &str) -> Vec<String> {
    let config = format!(
        "daemonize: false\npcap_interface: eth0\npcap_filter: udp and not host {}.255\n\
         aggregate: src_host, dst_host, src_port, dst_port, proto\nplugins: {plugin}[a]\n{lines}",
        pair.net
    );
    let path = pair.folder.path().join("pmacctd.conf");
    std::fs::write(&path, config).expect("written");
    vec!["pmacctd".into(), "-f".into(), path.display().to_string()]
}

fn agrees_with_nfdump(exporter: impl Fn(&Pair, u16) -> Vec<String>) {
    let Some(datagrams) = exported(exporter) else { return };
    let (rows, _) = decode_with(&mut decoder(), &datagrams);
    let ours = totals(&rows);
    let Some(records) = nfdump::records(&datagrams) else { return };
    let mut theirs = Totals::new();
    for (key, packets, bytes) in records {
        let (all_packets, all_bytes) = theirs.entry(key).or_default();
        *all_packets += packets;
        *all_bytes += bytes;
    }
    assert_eq!(ours, theirs);
    let (packets, bytes) = sent(&ours);
    assert!(0 < packets && packets <= PACKETS, "{packets} of {PACKETS} packets");
    assert_eq!(bytes, packets * 528, "500 bytes behind 8 of UDP and 20 of IPv4");
}

/// Packets and bytes that we sent ourselves, as the exporter saw them.
fn sent(totals: &Totals) -> (u64, u64) {
    let ours = totals.iter().filter(|(key, _)| key.starts_with("17 "));
    let most = ours.map(|(_, totals)| *totals).max();
    most.unwrap_or_default()
}

#[test]
fn netflow_and_ipfix_of_softflowd_add_up_as_nfdump_has_it() {
    for version in ["5", "9", "10"] {
        agrees_with_nfdump(|pair, port| {
            let at = |name: &str| pair.folder.path().join(name).display().to_string();
            let (to, filter) =
                (format!("{}:{port}", pair.near), format!("udp and not port {port}"));
            let line = ["softflowd", "-d", "-i", "eth0", "-v", version, "-n", &to];
            let line = line.iter().map(ToString::to_string);
            let files = ["-c".into(), at("softflowd.ctl"), "-p".into(), at("softflowd.pid")];
            line.chain(files).chain([filter]).collect()
        });
    }
}

#[test]
fn netflow_and_ipfix_of_pmacctd_add_up_as_nfdump_has_it() {
    for version in ["5", "9", "10"] {
        agrees_with_nfdump(|pair, port| {
            let lines = format!(
                "nfprobe_receiver: {}:{port}\nnfprobe_version: {version}\n\
                 nfprobe_timeouts: udp=1:general=1:maxlife=60:expint=1\n",
                pair.near
            );
            pmacctd(pair, "nfprobe", &lines)
        });
    }
}

#[test]
fn sflow_of_pmacctd_is_a_row_for_each_packet() {
    let datagrams = exported(|pair, port| {
        let lines = format!("sfprobe_receiver: {}:{port}\nsampling_rate: 1\n", pair.near);
        pmacctd(pair, "sfprobe", &lines)
    });
    let Some(datagrams) = datagrams else { return };
    let (rows, _) = decode_with(&mut decoder(), &datagrams);
    let (packets, bytes) = sent(&totals(&rows));
    assert!(0 < packets && packets <= PACKETS, "{packets} of {PACKETS} packets");
    // 14 bytes of Ethernet before the packet, and the frame check sequence of 4, which pmacctd adds.
    assert_eq!(bytes, packets * 546);
}
