//! Questions about flows: largest groups, series, records, diagrams, exporters, and the filter's words.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::common::{Lab, Running, agree, eventually};
use crate::flows::{addresses, start};

/// One flow of a test.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) from: [u8; 4],
    pub(crate) to: [u8; 4],
    pub(crate) port: u16,
    pub(crate) bytes: u32,
    pub(crate) packets: u32,
    /// In and out.
    pub(crate) interfaces: (u16, u16),
    pub(crate) systems: (u32, u32),
    /// How many ms ago it began and ended.
    pub(crate) ago: (u64, u64),
}

pub(crate) const FLOW: Flow = Flow {
    from: [10, 1, 0, 1],
    to: [192, 0, 2, 80],
    port: 443,
    bytes: 1_000,
    packets: 10,
    interfaces: (3, 4),
    systems: (64_496, 64_497),
    ago: (0, 0),
};

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("in range")
}

/// An exporter that speaks IPFIX, samples one of ten, and names its interfaces.
pub(crate) struct Exporter {
    socket: UdpSocket,
    to: SocketAddr,
    sent: u32,
}

impl Exporter {
    pub(crate) fn new(address: IpAddr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).expect("a socket");
        let mut made = Self { socket, to, sent: 0 };
        let template: &[u16] = &[
            256, 13, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4, 10, 2, 14, 2, 152, 8, 153, 8, 16,
            4, 17, 4,
        ];
        made.send(2, &bytes(template), 0);
        // Options: of interface n the name; and the sampling interval.
        made.send(3, &bytes(&[257, 2, 1, 10, 4, 82, 8]), 0);
        made.send(257, &[&3_u32.to_be_bytes()[..], b"uplink\0\0"].concat(), 1);
        made.send(3, &bytes(&[258, 2, 1, 302, 4, 34, 4]), 0);
        made.send(258, &[1_u32.to_be_bytes(), 10_u32.to_be_bytes()].concat(), 1);
        made
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().expect("an address").port()
    }

    pub(crate) fn send(&mut self, set: u16, body: &[u8], records: u32) {
        let length = u16::try_from(body.len() + 20).expect("short");
        let now = u32::try_from(now_ms() / 1_000).expect("before 2106");
        let message = [
            &10_u16.to_be_bytes()[..],
            &length.to_be_bytes(),
            &now.to_be_bytes(),
            &self.sent.to_be_bytes(),
            &7_u32.to_be_bytes(),
            &set.to_be_bytes(),
            &(length - 16).to_be_bytes(),
            body,
        ];
        self.sent += records;
        self.socket.send_to(&message.concat(), self.to).expect("sent");
    }

    pub(crate) fn flow(&mut self, flow: Flow) {
        self.flows(&[flow]);
    }

    /// In one datagram: all of them are received at the same moment.
    pub(crate) fn flows(&mut self, flows: &[Flow]) {
        let bodies: Vec<Vec<u8>> = flows.iter().map(Flow::record).collect();
        let count = u32::try_from(flows.len()).expect("few");
        self.send(256, &bodies.concat(), count);
    }
}

impl Flow {
    fn record(&self) -> Vec<u8> {
        let (flow, now) = (self, now_ms());
        [
            &flow.from[..],
            &flow.to,
            &40_000_u16.to_be_bytes(),
            &flow.port.to_be_bytes(),
            &[6],
            &flow.bytes.to_be_bytes(),
            &flow.packets.to_be_bytes(),
            &flow.interfaces.0.to_be_bytes(),
            &flow.interfaces.1.to_be_bytes(),
            &(now - flow.ago.0).to_be_bytes(),
            &(now - flow.ago.1).to_be_bytes(),
            &flow.systems.0.to_be_bytes(),
            &flow.systems.1.to_be_bytes(),
        ]
        .concat()
    }
}

pub(crate) fn bytes(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

pub(crate) fn get(node: &Running, path: &str, query: &[(&str, &str)]) -> Value {
    node.get(&with(path, query))
}

pub(crate) fn with(path: &str, query: &[(&str, &str)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(query);
    format!("{path}?{}", text.finish())
}

/// Waits until so many records are there.
pub(crate) fn until(node: &Running, flows: u64) {
    eventually(&format!("{flows} flows are there"), || {
        let top = get(node, "/v1/flows/top", &[]);
        (top["total"]["flows"] == flows).then_some(())
    });
}

/// Values of the keys, and bytes.
pub(crate) fn groups(top: &Value) -> Vec<(Vec<Value>, u64)> {
    let items = top["items"].as_array().expect("items").iter();
    let key = |item: &Value| {
        let parts = item["key"].as_array().expect("a key").iter();
        parts.map(|part| part["value"].clone()).collect()
    };
    items.map(|item| (key(item), item["bytes"].as_u64().expect("bytes"))).collect()
}

const NETWORKS: &str = "[{ prefix = \"10.1.0.0/16\", name = \"office\", zone = \"inside\", team = \"it\" }, \
    { prefix = \"192.0.2.80/32\", name = \"dmz\", service = \"shop\" }]";

#[test]
fn a_site_answers_who_talks_to_whom() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let asn = place.file("as.txt");
    std::fs::write(&asn, "192.0.2.0/24 64511 Example Shop\n").expect("written");
    let names = format!("[{{ address = \"{}\", name = \"edge-1\" }}]", listen.0.ip());
    let more = [
        ("HOLM_PLANES_FLOW_NETWORKS", NETWORKS),
        ("HOLM_PLANES_FLOW_EXPORTERS", names.as_str()),
        ("HOLM_PLANES_FLOW_ASN_FILE", asn.to_str().expect("UTF-8")),
    ];
    let node = start(&place, listen, &more);
    // Whose flows are the same is told by exporters of other addresses.
    let IpAddr::V4(v4) = listen.0.ip() else { panic!("an IPv4 address of loopback") };
    let [a, b, c, d] = v4.octets();
    let other = IpAddr::from([a, b, c, d ^ 128]);
    let (mut one, mut two) =
        (Exporter::new(listen.0.ip(), listen.0), Exporter::new(other, listen.0));
    one.flow(Flow { bytes: 3_000, ago: (30_000, 1_000), ..FLOW });
    // The same flow as the next router saw it.
    two.flow(Flow { bytes: 2_900, interfaces: (7, 8), ago: (30_000, 1_000), ..FLOW });
    one.flow(Flow { from: [10, 1, 0, 2], port: 53, systems: (0, 0), ..FLOW });
    one.flow(Flow { from: [198, 51, 100, 1], to: [10, 1, 0, 1], port: 22, bytes: 10, ..FLOW });
    until(&node, 4);

    // Sampled: one of ten.
    let top = get(&node, "/v1/flows/top", &[("by", "src"), ("previous", "true")]);
    assert_eq!(
        groups(&top),
        [
            (vec![json!("10.1.0.1")], 59_000),
            (vec![json!("10.1.0.2")], 10_000),
            (vec![json!("198.51.100.1")], 100)
        ]
    );
    assert_eq!(top["total"], json!({ "bytes": 69_100, "packets": 400, "flows": 4 }));
    assert_eq!(top["items"][0]["previous"], json!({ "bytes": 0, "packets": 0, "flows": 0 }));
    let stands_on = &top["stands_on"];
    assert_eq!(
        (&stands_on["collector_running"], &stands_on["complete"]),
        (&json!(true), &json!(true))
    );
    let share = top["items"][0]["share"].as_f64().expect("a share");
    assert!((share - 59_000.0 / 69_100.0).abs() < 1e-9, "{share}");

    // Seen by two, counted once.
    let once = get(&node, "/v1/flows/top", &[("by", "pair"), ("dedup", "true"), ("limit", "1")]);
    assert_eq!(groups(&once), [(vec![json!("10.1.0.1"), json!("192.0.2.80")], 30_000)]);
    assert!(once["dedup"].as_str().is_some_and(|text| text.contains("counted most")), "{once}");

    // Names: of interfaces by the exporter, of systems by the table, of networks by the configuration.
    let top = get(
        &node,
        "/v1/flows/top",
        &[("by", "in_if"), ("filter", "exporter_name = edge-1 in_if = uplink")],
    );
    let key = &top["items"][0]["key"];
    assert_eq!((&key[1]["value"], &key[1]["name"]), (&json!(3), &json!("uplink")), "{top}");
    let top = get(&node, "/v1/flows/top", &[("by", "dst_as"), ("filter", "dst_port = 53")]);
    assert_eq!(
        top["items"][0]["key"][0],
        json!({ "field": "dst_as", "value": 64_511, "name": "Example Shop" })
    );
    let top = get(&node, "/v1/flows/top", &[("by", "src_net,dst_service"), ("metric", "flows")]);
    assert_eq!(groups(&top)[0].0, [json!("office"), json!("shop")]);

    let found = get(
        &node,
        "/v1/flows",
        &[("filter", "src = 10.1.0.0/16 and not dst_port = 53"), ("limit", "10")],
    );
    let items = found["items"].as_array().expect("items");
    assert_eq!(items.len(), 2, "{found}");
    assert_eq!(
        (&items[0]["source.network.zone"], &items[0]["site"]),
        (&json!("inside"), &json!("berlin"))
    );
    assert!(items[0].get("flow.vlan.id").is_none());

    // The long flow lies in the buckets that it lasted.
    let series = get(
        &node,
        "/v1/flows/series",
        &[("window", "2m"), ("bucket", "5s"), ("by", "dst_port"), ("limit", "1")],
    );
    assert_eq!(series["series"][0]["key"][0]["value"], 443, "{series}");
    let values: Vec<f64> =
        serde_json::from_value(series["series"][0]["values"].clone()).expect("numbers");
    let lasted = values.iter().filter(|value| **value > 0.0).count();
    assert!((6..=8).contains(&lasted), "{values:?}");
    let all: f64 = values.iter().sum::<f64>() * 5.0 / 8.0;
    // The last bucket ends with the window: its rate is over less than five seconds.
    assert!((50_000.0..=70_000.0).contains(&all), "{all} of {values:?}");

    let capacity = get(&node, "/v1/flows/capacity", &[("window", "10m"), ("direction", "out")]);
    let items = capacity["items"].as_array().expect("items");
    assert_eq!(
        items.iter().map(|item| &item["interface"]).collect::<Vec<_>>().len(),
        2,
        "{capacity}"
    );
    let capacity = get(
        &node,
        "/v1/flows/capacity",
        &[("window", "10m"), ("exporter", &listen.0.ip().to_string())],
    );
    assert!(
        capacity["items"].as_array().expect("items").iter().any(|item| item["name"] == "uplink"),
        "{capacity}"
    );

    let sankey = get(&node, "/v1/flows/sankey", &[("by", "src,dst_port,dst")]);
    let (nodes, links) = (&sankey["nodes"], &sankey["links"]);
    assert_eq!(
        (nodes.as_array().map(Vec::len), links.as_array().map(Vec::len)),
        (Some(8), Some(6)),
        "{sankey}"
    );
    assert_eq!(links[0]["bytes"], 59_000);

    let exporters = eventually("exporters are told", || {
        let found = get(&node, "/v1/flows/exporters", &[]);
        (found["items"].as_array()?.len() == 2).then_some(found)
    });
    let first = exporters["items"].as_array().expect("items").iter();
    let first = first.clone().find(|item| item["port"] == one.port()).expect("the first exporter");
    assert_eq!((&first["name"], &first["site"]), (&json!("edge-1"), &json!("berlin")));
    assert_eq!(exporters["collectors"][0]["running"], true, "{exporters}");

    let printed =
        node.place.holm(&["flow", "top", "dst_port = 443", "--by", "src,dst"]).succeeded();
    assert!(printed.contains("10.1.0.1") && printed.contains("59000"), "{printed}");
    assert!(node.place.holm(&["flow", "search"]).succeeded().contains("198.51.100.1"));
    assert!(node.place.holm(&["flow", "exporters"]).succeeded().contains("edge-1"));
    let printed = node.place.holm(&["flow", "capacity", "--direction", "in"]).succeeded();
    assert!(printed.contains("uplink") && printed.contains("peak"), "{printed}");
    node.place.holm(&["flow", "top", "colour = red"]).failed_naming(&["there is no field colour"]);

    let anomalies = get(&node, "/v1/flows/anomalies", &[]);
    assert!(anomalies["items"].as_array().expect("items").is_empty(), "{anomalies}");

    let words = get(&node, "/v1/flows/complete", &[("filter", "src = 10.1")]);
    assert_eq!(words["expected"], "value");
    assert!(
        words["words"].as_array().expect("words").iter().any(|word| word["word"] == "10.1.0.2"),
        "{words}"
    );
    let words = get(&node, "/v1/flows/complete", &[("filter", "dst_net = ")]);
    assert_eq!(words["words"][0]["word"], "dmz", "{words}");
    let language = get(&node, "/v1/flows/dimensions", &[]);
    for dimension in language["dimensions"].as_array().expect("dimensions") {
        let name = dimension["name"].as_str().expect("a name");
        let top = get(&node, "/v1/flows/top", &[("by", name)]);
        assert!(!top["items"].as_array().expect("items").is_empty(), "{name}");
        get(&node, "/v1/flows/series", &[("by", name), ("window", "5m")]);
        if dimension["of_flow"] == true {
            get(&node, "/v1/flows/top", &[("by", name), ("dedup", "true")]);
        }
        // Every key can be filtered by.
        for part in top["items"][0]["key"].as_array().expect("a key") {
            let value = match &part["value"] {
                Value::Null => continue,
                Value::String(text) => format!("\"{text}\""),
                other => other.to_string(),
            };
            let filter = format!("{} = {value}", part["field"].as_str().expect("a field"));
            let top = get(&node, "/v1/flows/top", &[("by", name), ("filter", &filter)]);
            assert!(!top["items"].as_array().expect("items").is_empty(), "{name}: {filter}");
        }
    }
}

#[test]
fn records_come_page_after_page_each_once() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    let mut exporter = Exporter::new(listen.0.ip(), listen.0);
    let flow = |port| Flow { port, ..FLOW };
    exporter.flow(flow(1));
    // More than a page that are told apart by no time.
    exporter.flows(&(2..10).map(flow).collect::<Vec<_>>());
    exporter.flow(Flow { port: 10, from: [10, 9, 9, 9], ..FLOW });
    exporter.flow(flow(11));
    until(&node, 11);

    let (mut ports, mut times) = (Vec::new(), Vec::new());
    let mut cursor: Option<String> = None;
    for _ in 0..6 {
        let mut query = vec![("limit", "3"), ("filter", "src = 10.1.0.0/16")];
        match &cursor {
            Some(cursor) => query.push(("cursor", cursor)),
            None => query.push(("window", "10m")),
        }
        let page = get(&node, "/v1/flows", &query);
        for item in page["items"].as_array().expect("items") {
            ports.push(item["destination.port"].as_u64().expect("a port"));
            times.push(item["flow.time_received"].as_str().expect("a time").to_owned());
            assert!(item.get("received_ns").is_none());
        }
        assert_eq!(page["cut"].as_bool(), Some(!page["next"].is_null()));
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(cursor, None, "{ports:?}");
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    ports.sort_unstable();
    assert_eq!(ports, (1..=9).chain([11]).collect::<Vec<u64>>());

    // The command line says how to go on, and goes on.
    let printed = place.holm(&["flow", "search", "--limit", "10"]).succeeded();
    let (_, cursor) = printed.trim_end().rsplit_once("--cursor ").expect("there is more");
    let printed = place.holm(&["flow", "search", "--limit", "10", "--cursor", cursor]).succeeded();
    assert_eq!(printed.lines().count(), 2, "{printed}");
    for (query, part) in [
        (vec![("cursor", "7")], "none of ours"),
        (vec![("cursor", cursor), ("filter", "src = 10.0.0.0/8")], "another filter"),
        (vec![("cursor", cursor), ("window", "1h")], "leave out window"),
    ] {
        let answer = place.client().get(&with("/v1/flows", &query));
        assert!(answer.status == 400 && answer.body.contains(part), "{}", answer.body);
    }
}

#[test]
fn a_flow_that_lasts_into_the_window_has_its_part_in_the_first_bucket() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    // It began two minutes before the window, and goes on to its end.
    Exporter::new(listen.0.ip(), listen.0).flow(Flow {
        bytes: 1_000_000,
        ago: (180_000, 0),
        ..FLOW
    });
    until(&node, 1);
    let from = (now_ms() - 60_000).to_string();
    let query = [("from", from.as_str()), ("bucket", "5s"), ("by", "dst_port")];
    let series = get(&node, "/v1/flows/series", &query);
    let values: Vec<f64> =
        serde_json::from_value(series["series"][0]["values"].clone()).expect("numbers");
    // 10 MB (one of ten was sampled) in 180 s.
    let rate = 10_000_000.0 * 8.0 / 180.0;
    for value in &values[..3] {
        assert!((value / rate - 1.0).abs() < 0.01, "{rate} in {values:?}");
    }
    // The same of a window that begins within the flow's first bucket.
    let from = (now_ms() - 180_000).to_string();
    let query = [("from", from.as_str()), ("bucket", "60s"), ("by", "dst_port")];
    let series = get(&node, "/v1/flows/series", &query);
    let values: Vec<f64> =
        serde_json::from_value(series["series"][0]["values"].clone()).expect("numbers");
    assert!(values[0] > 0.0 && values[0] <= rate * 1.01, "{rate} in {values:?}");
    assert!((values[1] / rate - 1.0).abs() < 0.01, "{rate} in {values:?}");
}

#[test]
fn names_change_while_the_node_runs() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let names = place.file("names.toml");
    let write = |network: &str| {
        let text = format!(
            "networks = [{{ prefix = \"10.1.0.0/16\", name = \"{network}\" }}]\n\
             exporters = [{{ address = \"{}\", name = \"edge-{network}\" }}]\n",
            listen.0.ip()
        );
        std::fs::write(&names, text).expect("written");
    };
    write("office");
    let file = names.to_str().expect("UTF-8");
    let node = start(&place, listen, &[("HOLM_PLANES_FLOW_NAMES_FILE", file)]);
    let mut exporter = Exporter::new(listen.0.ip(), listen.0);
    exporter.flow(FLOW);
    until(&node, 1);
    let named = |network: &str| {
        let filter = format!("src_net = {network} and exporter_name = edge-{network}");
        let top = get(&node, "/v1/flows/top", &[("filter", &filter)]);
        top["total"]["flows"].as_u64().expect("a count")
    };
    assert_eq!(named("office"), 1);
    write("factory");
    eventually("flows have the new names", || {
        exporter.flow(FLOW);
        (named("factory") > 0).then_some(())
    });
    // What is wrong with a file is said, and the names stay.
    std::fs::write(&names, "networks = [{ prefix = \"10.1/16\" }]\n").expect("written");
    eventually("the plane says what is wrong", || {
        let planes = node.get("/v1/planes");
        let flow =
            planes["items"].as_array()?.iter().find(|plane| plane["plane"] == "flow")?.clone();
        let reason = flow["reason"].as_str()?;
        (flow["state"] == "degraded" && reason.contains("is no prefix")).then_some(())
    });
    let before = named("factory");
    exporter.flow(FLOW);
    eventually("names stay", || (named("factory") > before).then_some(()));
}

#[test]
fn what_is_wrong_with_a_question_about_flows_is_said() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let node = place.start();
    let off = get(&node, "/v1/flows/top", &[]);
    assert_eq!(off["stands_on"]["collector_running"], false);
    assert!(
        off["stands_on"]["collector_reason"]
            .as_str()
            .is_some_and(|why| why.contains("switched off"))
    );
    assert_eq!(get(&node, "/v1/flows/anomalies", &[])["detector_running"], false);
    for (path, query, part) in [
        ("/v1/flows/top", ("filter", "srcc = 1.2.3.4"), "character 1: there is no field srcc"),
        ("/v1/flows/top", ("filter", "src = 1.2.3.4' OR 1=1 --"), "a quote is opened"),
        ("/v1/flows/top", ("by", "colour"), "there are src, dst"),
        ("/v1/flows/top", ("by", "src,pair"), "another dimension has"),
        ("/v1/flows/top", ("limit", "0"), "it goes from 1 to 1,000"),
        ("/v1/flows/top", ("window", "soon"), "window=soon"),
        ("/v1/flows/top", ("window", "0s"), "is empty"),
        ("/v1/flows/top", ("metric", "colour"), "bytes, packets or flows"),
        ("/v1/flows/series", ("bucket", "1ms"), "1s at least"),
        ("/v1/flows/sankey", ("by", "src"), "two dimensions"),
        ("/v1/flows/capacity", ("direction", "up"), "in or out"),
        ("/v1/flows", ("colour", "red"), "is not a parameter"),
    ] {
        let answer = place.client().get(&with(path, &[query]));
        assert_eq!(answer.status, 400, "{path} {query:?}: {}", answer.body);
        assert!(answer.body.contains(part), "{path} {query:?}: {}", answer.body);
    }
    let answer =
        place.client().get(&with("/v1/flows/top", &[("dedup", "true"), ("by", "exporter")]));
    assert!(answer.status == 400 && answer.body.contains("do not say the same"), "{}", answer.body);
}

#[test]
fn flows_of_two_sites_are_one_answer() {
    let lab = Lab::new();
    let berlin = lab.found("berlin");
    let listen = addresses(&berlin);
    let berlin = start(&berlin, listen, &[]);
    let tokyo = lab.join(&berlin, "tokyo");
    let there = addresses(&tokyo);
    let tokyo = start(&tokyo, there, &[]);
    agree(&[&berlin, &tokyo]);
    Exporter::new(listen.0.ip(), listen.0).flow(FLOW);
    Exporter::new(there.0.ip(), there.0).flow(Flow { bytes: 500, ..FLOW });
    until(&berlin, 2);
    let top = get(&berlin, "/v1/flows/top", &[("by", "site")]);
    assert_eq!(groups(&top), [(vec![json!("berlin")], 10_000), (vec![json!("tokyo")], 5_000)]);
    // Both saw the same flow.
    let top = get(&tokyo, "/v1/flows/top", &[("by", "src"), ("dedup", "true")]);
    assert_eq!(groups(&top), [(vec![json!("10.1.0.1")], 10_000)]);
    let only = get(&berlin, "/v1/flows/top", &[("site", "tokyo")]);
    assert_eq!(groups(&only), [(vec![json!("10.1.0.1")], 5_000)]);
    let exporters = eventually("both sites tell their exporters", || {
        let found = get(&berlin, "/v1/flows/exporters", &[]);
        (found["items"].as_array()?.len() == 2).then_some(found)
    });
    assert_eq!(exporters["collectors"].as_array().map(Vec::len), Some(2), "{exporters}");
    let _ = tokyo.kill();
    eventually("who is away is named", || {
        let top = get(&berlin, "/v1/flows/top", &[]);
        (top["stands_on"]["complete"] == false && top["total"]["flows"] == 1).then_some(())
    });
}
