//! Live exporters: softflowd of a real capture, against nfdump's reading of the same datagrams.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

#[path = "../../../planes/observe/flow/tests/live/nfdump.rs"]
mod nfdump;

use crate::common::{Lab, eventually, holm};
use crate::flows::{addresses, start};

/// Whether a program is there; says so if not.
fn has(program: &str) -> bool {
    let dirs = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"];
    let there = dirs.iter().any(|dir| Path::new(dir).join(program).exists());
    if !there {
        println!("skipped: {program} is not installed (package softflowd, nfdump)");
    }
    there
}

/// A capture of 50 conversations: requests of 100 bytes, answers of 1,000, ten of each; Ethernet, UDP.
fn traffic(path: &Path) -> (u64, u64) {
    let word = |n: u32| n.to_le_bytes();
    let mut file = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1].map(word).concat();
    let (mut packets, mut bytes) = (0, 0);
    for talk in 0..50_u8 {
        for turn in 0..20_u32 {
            let (client, server) = ([10, 9, 0, talk], [192, 0, 2, talk % 5]);
            let asks = turn % 2 == 0;
            let (from, to) = if asks { (client, server) } else { (server, client) };
            let (from_port, to_port) = if asks { (40_000_u16, 53_u16) } else { (53, 40_000) };
            let payload = vec![0_u8; if asks { 100 } else { 1_000 }];
            let (total, datagram) = (payload.len() as u16 + 28, payload.len() as u16 + 8);
            let frame = [
                &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0][..],
                &total.to_be_bytes(),
                &[0, 0, 0, 0, 64, 17, 0, 0],
                &from,
                &to,
                &from_port.to_be_bytes(),
                &to_port.to_be_bytes(),
                &datagram.to_be_bytes(),
                &[0, 0],
                &payload,
            ]
            .concat();
            let length = u32::try_from(frame.len()).expect("short");
            let at = 1_700_000_000 + turn;
            file.extend([at, u32::from(talk), length, length].map(word).concat());
            file.extend(&frame);
            (packets, bytes) = (packets + 1, bytes + u64::from(total));
        }
    }
    std::fs::write(path, file).expect("a capture");
    (packets, bytes)
}

/// Runs softflowd over a capture; every datagram that it sent.
fn export(capture: &Path, version: &str) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let to = socket.local_addr().expect("an address").to_string();
    let ran = Command::new("softflowd")
        .args(["-v", version, "-n", &to, "-d", "-r"])
        .arg(capture)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("softflowd starts");
    assert!(ran.success(), "softflowd -v {version}: {ran}");
    let mut datagrams = Vec::new();
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = socket.recv(&mut buffer) {
        datagrams.push(buffer[..length].to_vec());
    }
    datagrams
}

#[test]
fn softflowd_is_read_as_nfdump_reads_it() {
    if !has("softflowd") || !has("nfcapd") || !has("nfdump") {
        return;
    }
    let lab = Lab::new();
    let capture = lab.path().join("traffic.pcap");
    let (packets, bytes) = traffic(&capture);
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    for version in ["5", "9", "10"] {
        let datagrams = export(&capture, version);
        assert!(!datagrams.is_empty(), "softflowd -v {version} sent nothing");
        let Some(records) = nfdump::records(&datagrams) else { return };
        let theirs = records.iter().fold((0, 0, 0), |(flows, packets, bytes), record| {
            (flows + 1, packets + record.1, bytes + record.2)
        });
        let socket = UdpSocket::bind((listen.0.ip(), 0)).expect("a socket");
        let port = socket.local_addr().expect("an address").port();
        for datagram in &datagrams {
            socket.send_to(datagram, listen.0).expect("sent");
        }
        let sql = format!(
            "SELECT count(*), sum(flow.io.packets), sum(flow.io.bytes) FROM flows WHERE flow.exporter.port = {port}"
        );
        let ours = eventually(&format!("flows of version {version} are answered"), || {
            let answer = place.client().post("/v1/query", &json!({ "sql": sql })).json();
            let row: Vec<Value> = serde_json::from_value(answer["rows"][0].clone()).ok()?;
            (row[0].as_u64()? >= theirs.0).then(|| {
                let number = |index: usize| row[index].as_u64().unwrap_or(0);
                (number(0), number(1), number(2))
            })
        });
        assert_eq!(ours, theirs, "version {version}: flows, packets, bytes");
        assert_eq!((ours.1, ours.2), (packets, bytes), "version {version}: what was sent");
        // Offline, from the datagrams alone.
        let file = lab.path().join(format!("{version}.raw"));
        let raw: Vec<u8> = datagrams
            .iter()
            .flat_map(|d| [&u32::try_from(d.len()).expect("short").to_be_bytes()[..], d].concat())
            .collect();
        std::fs::write(&file, raw).expect("written");
        let file = file.to_string_lossy();
        let lines = holm(&["flow", "decode", "--raw", "prefixed", &file]).succeeded();
        let sum: u64 = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .map(|line| line["bytes"].as_u64().expect("bytes"))
            .sum();
        assert_eq!((lines.lines().count() as u64, sum), (ours.0, bytes), "version {version}");
    }
    drop(node);
}
