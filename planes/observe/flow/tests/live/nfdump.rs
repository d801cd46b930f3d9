//! What nfdump reads of datagrams. The node's tests read by it as well.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Protocol, addresses and ports of a flow record; its packets; its bytes.
pub(crate) type Record = (String, u64, u64);

/// The records; `None`, with a line that says so, if nfcapd does not run.
pub(crate) fn records(datagrams: &[Vec<u8>]) -> Option<Vec<Record>> {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut collector = Command::new("nfcapd")
        .args(["-b", "127.0.0.1", "-p", &port.to_string(), "-t", "3600", "-w"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| println!("skipped the comparison: nfcapd: {error}"))
        .ok()?;
    std::thread::sleep(Duration::from_secs(1));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for datagram in datagrams {
        socket.send_to(datagram, ("127.0.0.1", port)).expect("sent");
        // One after the other: nothing of this is about speed.
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_secs(1));
    Command::new("kill").args(["-TERM", &collector.id().to_string()]).output().expect("told");
    collector.wait().expect("it ends");
    Some(read(folder.path()))
}

fn read(folder: &Path) -> Vec<Record> {
    let output = Command::new("nfdump")
        .args(["-N", "-q", "-6", "-R"])
        .arg(folder)
        .args(["-o", "fmt:%pr;%sa;%da;%sp;%dp;%pkt;%byt"])
        .output()
        .expect("nfdump runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let record = |line: &str| -> Record {
        let fields: Vec<&str> = line.split(';').map(str::trim).collect();
        let [protocol, from, to, from_port, to_port, packets, bytes] = fields[..] else {
            panic!("nfdump wrote {line}");
        };
        let key = format!("{} {from} {to} {from_port} {to_port}", number_of(protocol));
        let number = |text: &str| text.parse::<u64>().expect("a number");
        (key, number(packets), number(bytes))
    };
    text.lines().filter(|line| line.contains(';')).map(record).collect()
}

/// IANA's number of a protocol that nfdump names.
fn number_of(name: &str) -> &str {
    match name {
        "ICMP" => "1",
        "TCP" => "6",
        "UDP" => "17",
        "ICMP6" => "58",
        number => number,
    }
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound").port()
}
