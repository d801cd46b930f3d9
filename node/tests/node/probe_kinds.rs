//! Kinds of probes in a real node: STAMP between a sender and the node's own reflector, packets over UDP that come back,
//! and a name that is followed from the configured roots.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Lab, Running, within};

const WHILE: Duration = Duration::from_secs(120);

/// Answers each packet with what `reply` makes of it, for as long as the test runs.
fn server(reply: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let port = socket.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&reply(&buffer[..length]), from);
        }
    });
    port
}

/// An answer of a name server that is responsible and knows no name: NXDOMAIN with an SOA.
fn knows_nothing(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|b| *b == 0).expect("a name") + 5;
    let mut answer = query[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x84, 3, 0, 1, 0, 0, 0, 1, 0, 0]);
    // ". 60 IN SOA . . 1 2 3 4 5"
    answer.extend([0, 0, 6, 0, 1, 0, 0, 0, 60, 0, 22, 0, 0]);
    answer.extend([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5]);
    answer
}

fn latest(node: &Running, test: &str) -> Option<Value> {
    let rows = node.get("/v1/rows?table=active_results&limit=2000");
    let items = rows["items"].as_array()?.clone();
    items.into_iter().map(|row| row["columns"].clone()).find(|columns| columns["test"] == test)
}

#[test]
fn stamp_udp_and_a_trace_from_the_roots() {
    let free = UdpSocket::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound");
    let echo = server(<[u8]>::to_vec);
    let root = server(knows_nothing);
    let (listen, roots) = (free.to_string(), format!("[\"127.0.0.1:{root}\"]"));
    let lab = Lab::new();
    let node = lab.found("berlin").start_with(&[
        ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
        ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]"),
        ("HOLM_PLANES_ACTIVE_STAMP_LISTEN", &listen),
        ("HOLM_PLANES_ACTIVE_DNS_ROOTS", &roots),
    ]);
    let tests = format!(
        "kind: Test\nname: stamp\nprobe: stamp\ntarget: 127.0.0.1\nport: {}\ninterval: 1s\necho_count: 4\nvoice: g711\n---\n\
         kind: Test\nname: echo\nprobe: udp\ntarget: 127.0.0.1\nport: {echo}\ninterval: 1s\necho_count: 4\n",
        free.port()
    );
    let file = node.place.dir.join("kinds.yaml");
    std::fs::write(&file, tests).expect("written");
    node.place.holm(&["test", "create", file.to_str().expect("a path")]).succeeded();
    let stamp = within("the reflector answers", WHILE, || {
        latest(&node, "stamp").filter(|row| row["success"] == true)
    });
    assert_eq!(stamp["stamp.packets.sent"], 4.0, "{stamp}");
    assert!(stamp["stamp.rtt.avg_ms"].as_f64() >= Some(0.0), "{stamp}");
    assert!(stamp["voice.mos"].as_f64() > Some(4.0), "{stamp}");
    let planes = node.get("/v1/planes");
    let active =
        planes["items"].as_array().expect("planes").iter().find(|p| p["plane"] == "active");
    let counters = &active.expect("it runs")["counters"];
    assert!(counters["stamp_reflected"].as_u64() >= Some(4), "{planes}");
    let echoed = within("what is sent comes back", WHILE, || {
        latest(&node, "echo").filter(|row| row["success"] == true)
    });
    assert_eq!(echoed["udp.packets.received"], 4.0, "{echoed}");
    assert!(echoed.get("voice.mos").is_none_or(Value::is_null), "nobody asked for it");

    let traced =
        node.place.client().post("/v1/dns/trace", &json!({ "name": "a.example", "type": "MX" }));
    let traced = traced.json();
    assert_eq!(traced["end"], "no_such_name", "{traced}");
    assert_eq!(traced["steps"][0]["question"], "a.example. MX", "{traced}");
    assert_eq!(traced["steps"][0]["authoritative"], true, "{traced}");
    let printed = node.place.holm(&["dns", "trace", "a.example"]).succeeded();
    assert!(
        printed.contains(&format!("127.0.0.1:{root}")) && printed.contains("no such name"),
        "{printed}"
    );
    node.place.holm(&["dns", "trace", "a.example", "--type", "NOPE"]).failed_naming(&["NOPE"]);
}
