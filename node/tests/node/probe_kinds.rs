//! Kinds of probes in a real node: scripts, SIP, DNSSEC, STAMP between a sender and the node's own reflector, packets over UDP that come back,
//! and a name that is followed from the configured roots.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Lab, Running, agree, within};

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

/// A shop that gives a token to who posts, and takes nobody without it; it says `connection: close` to each.
fn shop() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {
                let last = head.lines().last().unwrap_or_default().to_ascii_lowercase();
                if let Some(said) = last.strip_prefix("content-length:") {
                    length = said.trim().parse().unwrap_or(0);
                }
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            let knows =
                head.to_ascii_lowercase().contains("authorization: bearer t0ken-of-the-shop");
            let (status, answer) = match (head.starts_with("POST /login "), knows) {
                (true, _) if body == br#"{"user":"probe"}"# => {
                    ("200 OK", r#"{"token":"t0ken-of-the-shop"}"#)
                }
                (false, true) => ("200 OK", r#"{"state":"open"}"#),
                _ => ("401 Unauthorized", "{}"),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                answer.len()
            );
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    port
}

/// An answer to OPTIONS: what has to be repeated of the request, and no more.
fn sip_answer(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(request).into_owned();
    let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let repeated: Vec<&str> =
        text.split("\r\n").filter(|line| kept.iter().any(|name| line.starts_with(name))).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\nServer: pbx\r\n\r\n", repeated.join("\r\n")).into_bytes()
}

/// An echo that keeps every eighth packet to itself.
fn lossy() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let port = socket.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        for number in 1_u32.. {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
            if number % 8 != 0 {
                let _ = socket.send_to(&buffer[..length], from);
            }
        }
    });
    port
}

#[test]
fn a_call_is_judged_by_what_comes_back_of_it() {
    let (good, bad) = (server(<[u8]>::to_vec), lossy());
    let lab = Lab::new();
    let node = lab.found("berlin").start_with(&[
        ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
        ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]"),
    ]);
    let test = |name: &str, port: u16| {
        format!(
            "kind: Test\nname: {name}\nprobe: rtp\ntarget: 127.0.0.1\nport: {port}\ncodec: g711\nduration_s: 2\n\
             interval: 5s\nexpect_mos: \"4.2\"\n"
        )
    };
    let file = node.place.dir.join("calls.yaml");
    std::fs::write(&file, format!("{}---\n{}", test("good", good), test("bad", bad)))
        .expect("written");
    node.place.holm(&["test", "create", file.to_str().expect("a path")]).succeeded();

    let good = within("a call is good", WHILE, || {
        latest(&node, "good").filter(|row| row["success"] == true)
    });
    assert_eq!(good["rtp.loss.ratio"], 0.0, "{good}");
    assert_eq!(good["voice.codec"], "g711", "{good}");
    let bad = within("a call with losses is bad", WHILE, || latest(&node, "bad"));
    assert_eq!(bad["success"], false, "{bad}");
    // One of eight of 100 packets of 20 ms; what is scheduled late by a busy machine is sent all the same.
    let lost = bad["rtp.loss.ratio"].as_f64().expect("told");
    assert!((0.10..=0.15).contains(&lost), "{bad}");
    let mos = |row: &Value| row["voice.mos"].as_f64().expect("told");
    assert!(mos(&bad) + 0.5 < mos(&good), "{good} {bad}");
    assert!(bad["error"].as_str().is_some_and(|why| why.contains("4.2")), "{bad}");
}

#[test]
fn scripts_sip_a_key_for_stamp_and_dnssec() {
    let free = UdpSocket::bind("127.0.0.1:0").expect("bound").local_addr().expect("bound");
    let (shop, sip, dns) = (shop(), server(sip_answer), server(knows_nothing));
    let lab = Lab::new();
    let founded = lab.found("berlin");
    let key = founded.dir.join("stamp.key");
    std::fs::write(&key, "0123456789abcdef".repeat(4)).expect("written");
    let listen = free.to_string();
    let toml = founded.file("holm.toml");
    let text = std::fs::read_to_string(&toml).expect("read");
    let (section, path) = ("[planes.active.stamp_keys]", key.display().to_string());
    let with_key = text.replace(section, &format!("{section}\nlab = {path:?}"));
    assert_ne!(text, with_key, "the file that was made has every key");
    std::fs::write(&toml, with_key).expect("written");
    let node = founded.start_with(&[
        ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
        ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]"),
        ("HOLM_PLANES_ACTIVE_STAMP_LISTEN", &listen),
        ("HOLM_PLANES_ACTIVE_STAMP_LISTEN_KEY", "lab"),
    ]);
    let tests = format!(
        "kind: Test\nname: order\nprobe: script\ntarget: http://127.0.0.1:{shop}/\ninterval: 2s\ntimeout: 20s\nsteps:\n\
         - {{ name: log in, url: /login, method: POST, content_type: application/json, body: '{{\"user\":\"probe\"}}', take: {{ token: json $.token }} }}\n\
         - {{ name: cart, url: /cart, headers: {{ authorization: 'Bearer {{{{token}}}}' }}, expect_status: '200', expect_json: ['$.state = \"open\"'] }}\n\
         ---\n\
         kind: Test\nname: shut\nprobe: script\ntarget: http://127.0.0.1:{shop}/\ninterval: 2s\ntimeout: 20s\nsteps: [{{ name: cart, url: /cart, expect_status: '200' }}]\n\
         ---\n\
         kind: Test\nname: pbx\nprobe: sip\ntarget: 127.0.0.1\nport: {sip}\ninterval: 2s\ntimeout: 20s\n\
         ---\n\
         kind: Test\nname: sealed\nprobe: stamp\ntarget: 127.0.0.1\nport: {}\nstamp_key: lab\ninterval: 2s\ntimeout: 20s\n\
         ---\n\
         kind: Test\nname: open\nprobe: stamp\ntarget: 127.0.0.1\nport: {}\ninterval: 2s\ntimeout: 1s\n\
         ---\n\
         kind: Test\nname: signed\nprobe: dns\ntarget: a.example\ndns_server: 127.0.0.1:{dns}\ndnssec: validate\ninterval: 2s\ntimeout: 20s\n",
        free.port(),
        free.port()
    );
    let file = node.place.dir.join("kinds.yaml");
    std::fs::write(&file, tests).expect("written");
    node.place.holm(&["test", "create", file.to_str().expect("a path")]).succeeded();
    let of = |test: &str, success: bool| {
        within(test, WHILE, || latest(&node, test).filter(|row| row["success"] == success))
    };
    let order = of("order", true);
    assert_eq!(order["script.done"], 2.0, "{order}");
    assert_eq!(order["script.step.2.status_code"], 200.0, "{order}");
    assert!(order["script.step.1.duration_ms"].as_f64() > Some(0.0), "{order}");
    assert!(!order.to_string().contains("t0ken"), "what was taken stands nowhere: {order}");
    let shut = of("shut", false);
    assert_eq!(shut["script.failed_step"], "cart", "{shut}");
    assert!(shut["error"].as_str().is_some_and(|error| error.contains("401")), "{shut}");
    let pbx = of("pbx", true);
    assert_eq!((&pbx["sip.status_code"], &pbx["sip.server"]), (&json!(200.0), &json!("pbx")));
    let sealed = of("sealed", true);
    assert_eq!(sealed["stamp.packets.unauthentic"], 0.0, "{sealed}");
    assert!(of("open", false)["error"].as_str().is_some_and(|e| e.contains("answered none")));
    let signed = of("signed", false);
    assert_eq!((&signed["dns.dnssec"], &signed["dns.dnssec.zone"]), (&json!("bogus"), &json!(".")));
    // A secret that is written into a test is refused, with where to put it.
    let bad = "kind: Test\nname: bad\nprobe: script\ntarget: http://127.0.0.1/\ninterval: 1m\nsteps: [{ name: a, url: /, headers: { authorization: x } }]\n";
    std::fs::write(&file, bad).expect("written");
    let refused = node.place.holm(&["test", "create", file.to_str().expect("a path")]);
    refused.failed_naming(&["steps", "authorization", "header_files"]);
}

#[test]
fn delays_of_one_way_are_told_where_the_mesh_bounds_the_clocks() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&[
        ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
        ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]"),
    ]);
    let tokyo = lab.join(&berlin, "tokyo");
    let ip = tokyo.mesh.ip();
    let port = UdpSocket::bind((ip, 0)).and_then(|free| free.local_addr()).expect("bound").port();
    let file = berlin.place.dir.join("stamp.yaml");
    let test = format!(
        "kind: Test\nname: ways\nprobe: stamp\ntarget: {ip}\nport: {port}\ninterval: 1s\nsites: {{ names: [berlin] }}\n",
    );
    std::fs::write(&file, test).expect("written");
    berlin.place.holm(&["test", "create", file.to_str().expect("a path")]).succeeded();
    let listen = format!("{ip}:{port}");
    let _tokyo = tokyo.start_with(&[
        ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
        ("HOLM_PLANES_ACTIVE_STAMP_LISTEN", &listen),
    ]);
    let row = within("tokyo's clock is known, and its reflector answers", WHILE, || {
        latest(&berlin, "ways")
            .filter(|row| row.get("stamp.one_way.error_ms").is_some_and(Value::is_number))
    });
    let number = |column: &str| row[column].as_f64().unwrap_or_else(|| panic!("{column}: {row}"));
    let (error, trip) = (number("stamp.one_way.error_ms"), number("stamp.rtt.avg_ms"));
    let (out, back) = (number("stamp.forward.avg_ms"), number("stamp.backward.avg_ms"));
    // Both ways make the round trip, and no way is less than nothing by more than the error.
    assert!((out + back - trip).abs() < 2.0 && out + error >= 0.0 && back + error >= 0.0, "{row}");
    assert!(
        number("stamp.forward.jitter_ms") >= 0.0
            && row.get("stamp.one_way.contradicted").is_none_or(Value::is_null)
    );
}

#[test]
fn throughput_is_measured_on_request_and_within_its_budget_at_both_ends() {
    let lab = Lab::new();
    let hourly = ("HOLM_PLANES_ACTIVE_THROUGHPUT_BYTES_PER_HOUR", "20000000");
    let berlin = lab.found("berlin").start_with(&[hourly]);
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let ask = |body: Value| tokyo.place.client().post("/v1/mesh/throughput", &body);
    let both = json!({ "site": "berlin", "bytes": 4_000_000 });
    let found = within("both ways are measured", WHILE, || {
        let answer = ask(both.clone());
        let found = (answer.status == 200).then(|| answer.json())?;
        (found["errors"] == json!([])).then_some(found)
    });
    for way in ["up", "down"] {
        assert_eq!(found[way]["bytes"], 4_000_000, "{found}");
        assert!(found[way]["mbit_s"].as_f64() > Some(0.0), "{found}");
    }
    let left = found["left_bytes"].as_u64().expect("a number");
    assert!(left <= (1 << 30) - 8_000_000, "{found}");
    let kept = within("it is kept as rows", WHILE, || {
        let results = tokyo.get("/v1/results?probe=throughput&limit=10");
        (results["items"].as_array()?.len() >= 2).then_some(results)
    });
    assert!(kept.to_string().contains("berlin"), "{kept}");
    // berlin has less than 12 MB left of its hour: more is refused there, though this node has them.
    let refused = ask(json!({ "site": "berlin", "bytes": 19_000_000, "direction": "up" })).json();
    let why = refused["errors"][0].as_str().unwrap_or_default();
    assert!(why.contains("throughput_bytes_per_hour") && refused["up"].is_null(), "{refused}");
    for (body, status, part) in [
        (json!({ "site": "osaka" }), 404, "osaka"),
        (json!({ "site": "tokyo" }), 422, "own"),
        (json!({ "site": "berlin", "node": "nobody" }), 404, "nobody"),
        (json!({ "site": "berlin", "bytes": 1 }), 422, "bytes:"),
        (json!({ "site": "berlin", "ms": 1_000_000 }), 422, "ms:"),
    ] {
        let answer = ask(body);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.error().1.contains(part) || part == "nobody", "{}", answer.body);
    }
    let printed = tokyo.place.holm(&["mesh", "throughput", "berlin", "--mib", "1"]).succeeded();
    assert!(printed.contains("Mbit/s") && printed.contains("down"), "{printed}");
}
