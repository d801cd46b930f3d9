//! Flows from an exporter's datagram to the answer of a question, through a real node.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{Lab, Place, Running, eventually, holm};

/// Addresses for a node's exporters, UDP and TCP.
pub(crate) fn addresses(place: &Place) -> (SocketAddr, SocketAddr) {
    let ip = place.api.ip();
    let free = |address: SocketAddr| UdpSocket::bind(address).expect("free").local_addr();
    let udp = free((ip, 0).into()).expect("an address");
    let tcp = std::net::TcpListener::bind((ip, 0)).expect("free").local_addr();
    (udp, tcp.expect("an address"))
}

/// Starts a node that listens for exporters.
pub(crate) fn start(
    place: &Place,
    (udp, tcp): (SocketAddr, SocketAddr),
    more: &[(&str, &str)],
) -> Running {
    let listeners = format!(
        "[{{ address = \"{udp}\", sockets = 2 }}, {{ address = \"{tcp}\", transport = \"tcp\" }}]"
    );
    let flow =
        [("HOLM_PLANES_FLOW_ENABLED", "true"), ("HOLM_PLANES_FLOW_LISTENERS", listeners.as_str())];
    let node = place.start_with(&[&flow[..], more].concat());
    // It serves before its planes run.
    eventually("it listens", || {
        let planes = node.get("/v1/planes");
        let flow = planes["items"].as_array()?.iter().find(|plane| plane["plane"] == "flow")?;
        (flow["state"] == "running").then_some(())
    });
    node
}

pub(crate) fn ask(node: &Running, sql: &str) -> Vec<Vec<Value>> {
    let answer = node.place.client().post("/v1/query", &json!({ "sql": sql }));
    assert_eq!(answer.status, 200, "{sql}: {}", answer.body);
    serde_json::from_value(answer.json()["rows"].clone()).expect("rows")
}

/// The vectors, or a line that says that they are not here.
fn vectors() -> Option<PathBuf> {
    let root = std::env::var_os("HOLM_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")),
        PathBuf::from,
    );
    let path = root.join("flow/telegraf");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no vectors at {}", path.display());
    None
}

/// The messages of a folder, in order.
fn messages(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok);
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.path()).collect();
    let messages = paths.iter().filter(|path| path.extension().is_some_and(|e| e == "bin"));
    messages.map(|path| std::fs::read(path).expect("a message")).collect()
}

/// Source, destination, their ports, bytes and packets: what every record of these vectors has.
type Tuple = [String; 6];

/// What Telegraf's decoder says of a folder: line protocol.
fn expected(folder: &Path) -> Vec<Tuple> {
    let text = std::fs::read_to_string(folder.join("expected.out")).expect("expectations");
    let fields = |line: &str| -> BTreeMap<String, String> {
        let parts = line.split([',', ' ']).filter_map(|part| part.split_once('='));
        let plain = |value: &str| value.trim_matches('"').trim_end_matches('u').to_owned();
        parts.map(|(name, value)| (name.to_owned(), plain(value))).collect()
    };
    let tuple = |fields: BTreeMap<String, String>| {
        let of = |names: &[&str]| {
            let found = names.iter().find_map(|name| fields.get(*name));
            found.cloned().unwrap_or_else(|| "null".to_owned())
        };
        [
            of(&["src"]),
            of(&["dst"]),
            of(&["src_port"]),
            of(&["dst_port"]),
            of(&["in_bytes", "in_total_bytes", "l2_bytes"]),
            // Of an sFlow sample Telegraf tells the pool here; one packet was sampled.
            if fields.contains_key("agent_ip") {
                "1".to_owned()
            } else {
                of(&["in_packets", "in_total_packets"])
            },
        ]
    };
    let lines = text.lines().filter(|line| line.starts_with("netflow,"));
    let lines = lines.filter(|line| !line.contains(" interface=") && !line.contains(",interface="));
    let mut tuples: Vec<Tuple> = lines.map(|line| tuple(fields(line))).collect();
    tuples.sort();
    tuples
}

/// What the node says of the flows that `exporter` sent; of biflows the way there.
fn answered(node: &Running, exporter: SocketAddr) -> Vec<Tuple> {
    told(node, exporter, "flow.biflow IS NULL OR flow.biflow <> 'reverse'")
}

fn told(node: &Running, exporter: SocketAddr, which: &str) -> Vec<Tuple> {
    let sql = format!(
        "SELECT source.address, destination.address, source.port, destination.port, flow.io.bytes, flow.io.packets \
         FROM flows WHERE flow.exporter.port = {} AND flow.exporter.address = ip('{}') AND ({which}) LIMIT 1000",
        exporter.port(),
        exporter.ip()
    );
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let tuple = |row: Vec<Value>| -> Tuple { std::array::from_fn(|index| text(&row[index])) };
    let mut tuples: Vec<Tuple> = ask(node, &sql).into_iter().map(tuple).collect();
    tuples.sort();
    tuples
}

/// Sends by UDP from a port of its own; that port.
fn send(to: SocketAddr, messages: &[Vec<u8>]) -> SocketAddr {
    let socket = UdpSocket::bind((to.ip(), 0)).expect("a socket");
    for message in messages {
        socket.send_to(message, to).expect("sent");
    }
    socket.local_addr().expect("an address")
}

#[test]
fn every_real_capture_is_answered_as_its_own_decoder_says() {
    let Some(vectors) = vectors() else { return };
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    // Counter samples and options only: no flows are expected of them.
    let folders = [
        ("netflow_v5_example", true),
        ("netflow_v9_example", true),
        ("netflow_v9_options", false),
        ("ipfix_example", true),
        ("ipfix_pen_35632", true),
        ("issue_13305", true),
        ("issue_14370", true),
        ("sflow_issue_15375", true),
        ("sflow_issue_15918", true),
        ("sflow_issue_18876", false),
    ];
    let mut compared = 0;
    for (name, has_flows) in folders {
        let folder = vectors.join(name);
        let exporter = send(listen.0, &messages(&folder));
        let expected = if has_flows { expected(&folder) } else { Vec::new() };
        assert_eq!(!expected.is_empty(), has_flows, "{name}");
        eventually(&format!("{name} is answered"), || {
            let found = answered(&node, exporter);
            (found.len() >= expected.len()).then_some(())
        });
        let found = answered(&node, exporter);
        let source = |tuple: &Tuple| tuple[0] == "null" && tuple[4] == "null";
        let known: Vec<&Tuple> = expected.iter().filter(|tuple| !source(tuple)).collect();
        for tuple in known {
            // A field that Telegraf does not tell is not compared.
            let same = |ours: &&Tuple| {
                tuple
                    .iter()
                    .zip(ours.iter())
                    .all(|(wanted, ours)| wanted == "null" || wanted == ours)
            };
            assert!(found.iter().any(|ours| same(&ours)), "{name}: {tuple:?} in {found:?}");
            compared += 1;
        }
        if has_flows {
            assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
        }
        // The way back of a biflow goes between the same ends.
        let back = told(&node, exporter, "flow.biflow = 'reverse'");
        assert_eq!(!back.is_empty(), name == "ipfix_example", "{name}: {back:?}");
        for way in &back {
            let there = [&way[1], &way[0], &way[3], &way[2]];
            assert!(found.iter().any(|ours| ours.iter().take(4).eq(there)), "{name}: {way:?}");
        }
    }
    assert!(compared > 30, "only {compared} were compared");

    // The same messages over a connection are the same flows.
    let folder = vectors.join("ipfix_example");
    let mut stream = TcpStream::connect(listen.1).expect("it listens");
    for message in messages(&folder) {
        stream.write_all(&message).expect("sent");
    }
    let exporter = stream.local_addr().expect("an address");
    let expected = expected(&folder);
    eventually("flows over TCP are answered", || {
        (answered(&node, exporter).len() >= expected.len()).then_some(())
    });
    assert_eq!(answered(&node, exporter).len(), expected.len());

    // Interface counters are a table of their own.
    send(listen.0, &messages(&vectors.join("sflow_v5_example")));
    eventually("interface counters are answered", || {
        let rows =
            ask(&node, "SELECT network.interface.index, in.bytes FROM flow_interface_counters");
        rows.contains(&vec![json!(3), json!(3910)]).then_some(())
    });
    let health = node.get("/v1/planes");
    let flow = health["items"].as_array().expect("planes");
    let flow = flow.iter().find(|plane| plane["plane"] == "flow").expect("the flow plane");
    assert_eq!((&flow["state"], &flow["counters"]["rows_refused"]), (&json!("running"), &json!(0)));
}

/// Bytes in network order.
pub(crate) fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// NetFlow v9 of source 7 with one set.
pub(crate) fn v9(sequence: u16, set: &[u8]) -> Vec<u8> {
    let head = words(&[9, 1, 0, 1_000, 0x6553, 0xf100, 0, sequence, 0, 7]);
    [head, set.to_vec()].concat()
}

#[test]
fn templates_survive_a_power_cut_and_lie_sealed() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    // Template 256: source and destination address, bytes; then the name of an interface.
    let template = words(&[0, 20, 256, 3, 8, 4, 12, 4, 1, 4]);
    let names = words(&[1, 20, 257, 4, 4, 2, 4, 82, 8, 0]);
    let name = [words(&[257, 16, 0, 5]), b"uplink-7".to_vec()].concat();
    let socket = UdpSocket::bind((listen.0.ip(), 0)).expect("a socket");
    for (sequence, set) in [(1, &template), (2, &names), (3, &name)] {
        socket.send_to(&v9(sequence, set), listen.0).expect("sent");
    }
    let sealed = place.file("tenants/default/planes/flow-templates.sealed");
    let mut before = 0;
    eventually("what was learnt is kept", || {
        // Two turns without another save: all of it is in there.
        let length = std::fs::metadata(&sealed).ok()?.len();
        let same = length == std::mem::replace(&mut before, length);
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        (same && length > 200).then_some(())
    });
    let bytes = std::fs::read(&sealed).expect("a file");
    assert!(!bytes.windows(6).any(|part| part == b"uplink"), "it is not sealed");
    let place = node.kill();
    let node = start(&place, listen, &[]);
    let data = [words(&[256, 16]), vec![192, 0, 2, 1, 198, 51, 100, 2, 0, 0, 4, 210]].concat();
    socket.send_to(&v9(4, &data), listen.0).expect("sent");
    eventually("data without its template is understood", || {
        let rows =
            ask(&node, "SELECT source.address, destination.address, flow.io.bytes FROM flows");
        (rows == [[json!("192.0.2.1"), json!("198.51.100.2"), json!(1234)]]).then_some(())
    });
    // A file that somebody damaged costs the templates and nothing else.
    let place = node.stop();
    std::fs::write(&sealed, b"HOLMPLN1 nonsense").expect("written");
    let node = start(&place, listen, &[]);
    socket.send_to(&v9(5, &data), listen.0).expect("sent");
    eventually("it waits for its template", || {
        let sql = "SELECT sum(sets_before_template), max(templates_waiting) FROM flow_exporters";
        (ask(&node, sql) == [[json!(1), json!(1)]]).then_some(())
    });
    assert!(node.log().contains("damaged"), "{}", node.log());
}

#[test]
fn captures_are_decoded_without_a_node() {
    let Some(vectors) = vectors() else { return };
    let capture = vectors.join("../../wire/tcpdump/sflow_expanded.pcap");
    let lines = holm(&["flow", "decode", &capture.to_string_lossy()]).succeeded();
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line["type"] == "sflow_5"), "{lines:?}");
    // Templates of one file hold for the next.
    let folder = vectors.join("ipfix_example");
    let files: Vec<String> = (0..7)
        .map(|n| folder.join(format!("ipfix_{n}.bin")))
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    let mut args = vec!["flow", "decode"];
    args.extend(files.iter().map(String::as_str));
    let lines = holm(&args).succeeded();
    assert_eq!(lines.lines().count(), expected(&folder).len());
    holm(&["flow", "decode", "/nothing"]).failed_naming(&["/nothing: cannot be opened"]);
}
