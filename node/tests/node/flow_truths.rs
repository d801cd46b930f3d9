//! Answers about flows that must be true whatever exporters say: times that no clock has, both ways of a flow told
//! twice, one address at two sites, another tenant's collector.

use serde_json::{Value, json};

use crate::common::{Client, Lab, agree, eventually};
use crate::flow_answers::{Exporter, FLOW, Flow, bytes, get, groups, now_ms, until, with};
use crate::flows::{addresses, ask, start};

fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn times_that_no_clock_has_end_no_question() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    let mut exporter = Exporter::new(listen.0.ip(), listen.0);
    exporter.flow(Flow { ago: (30_000, 1_000), ..FLOW });
    // It began 2^63 - 1 microseconds before it was told, and ended in the year 287,000.
    exporter.send(2, &bytes(&[300, 6, 8, 4, 12, 4, 1, 4, 10, 4, 158, 8, 153, 8]), 0);
    let spoofed = [
        &[10, 9, 9, 9][..],
        &[192, 0, 2, 80],
        &700_u32.to_be_bytes(),
        &3_u32.to_be_bytes(),
        &i64::MAX.to_be_bytes(),
        &9_000_000_000_000_u64.to_be_bytes(),
    ];
    exporter.send(300, &spoofed.concat(), 1);
    until(&node, 2);
    let series = get(&node, "/v1/flows/series", &[("window", "10m"), ("by", "src")]);
    assert_eq!(series["series"].as_array().map(Vec::len), Some(2), "{series}");
    let capacity = get(&node, "/v1/flows/capacity", &[("window", "10m")]);
    assert_eq!(items(&capacity).len(), 1, "{capacity}");
    let times = "SELECT avg(CAST(flow.end AS BIGINT) - CAST(flow.start AS BIGINT)) > 0, min(flow.end - flow.start) IS NOT NULL FROM flows";
    assert_eq!(ask(&node, times), [[json!(true), json!(true)]]);
    let counted = eventually("its clock is counted", || {
        let found = get(&node, "/v1/flows/exporters", &[]);
        let counters = items(&found).first()?["counters"].clone();
        (counters["times_ahead"] == 1).then_some(counters)
    });
    assert_eq!(counted["times_unknown"], 1, "{counted}");
}

/// A template of both ways, as 310: ends, ports, bytes, interfaces, direction, bytes back.
fn both_ways(exporter: &mut Exporter) {
    let mut template =
        bytes(&[310, 9, 8, 4, 12, 4, 7, 2, 11, 2, 1, 4, 10, 4, 14, 4, 61, 1, 0x8001, 4]);
    template.extend(29_305_u32.to_be_bytes());
    exporter.send(2, &template, 0);
}

fn told(exporter: &mut Exporter, interfaces: (u32, u32), direction: u8, there: u32, back: u32) {
    let record = [
        &[10, 1, 0, 1][..],
        &[192, 0, 2, 80],
        &40_000_u16.to_be_bytes(),
        &443_u16.to_be_bytes(),
        &there.to_be_bytes(),
        &interfaces.0.to_be_bytes(),
        &interfaces.1.to_be_bytes(),
        &[direction],
        &back.to_be_bytes(),
    ];
    exporter.send(310, &record.concat(), 1);
}

#[test]
fn both_ways_of_a_flow_count_where_it_was_counted() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    let mut exporter = Exporter::new(listen.0.ip(), listen.0);
    both_ways(&mut exporter);
    // Counted as it came in and as it left: told twice, one of ten.
    told(&mut exporter, (1, 2), 0, 100, 500);
    told(&mut exporter, (1, 2), 1, 100, 500);
    until(&node, 4);
    let once = get(&node, "/v1/flows/top", &[("by", "pair"), ("dedup", "true")]);
    let (here, there) = (json!("10.1.0.1"), json!("192.0.2.80"));
    assert_eq!(
        groups(&once),
        [(vec![there.clone(), here.clone()], 5_000), (vec![here, there], 1_000)]
    );
    // All counts once too, so that the shares make one.
    assert_eq!(once["total"]["bytes"], 6_000, "{once}");
    let shares: f64 = items(&once).iter().filter_map(|group| group["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{once}");
    // What came back over interface 1 was counted as it left there, as all that this exporter counts.
    told(&mut exporter, (1, 2), 1, 0, 600_000);
    until(&node, 5);
    let capacity = get(&node, "/v1/flows/capacity", &[("window", "10m"), ("direction", "out")]);
    let found = items(&capacity).iter().find(|item| item["interface"] == 1).expect("interface 1");
    assert_eq!(found["counted_at_egress"], true, "{capacity}");
    let bits = found["mean_bps"].as_f64().expect("a rate") * 600.0;
    assert!((40_000_000.0..60_000_000.0).contains(&bits), "{bits} of {capacity}");
}

#[test]
fn exporters_of_one_address_at_two_sites_have_their_own_interfaces() {
    let lab = Lab::new();
    let berlin = lab.found("berlin");
    let listen = addresses(&berlin);
    let berlin = start(&berlin, listen, &[]);
    let tokyo = lab.join(&berlin, "tokyo");
    let there = addresses(&tokyo);
    let tokyo = start(&tokyo, there, &[]);
    agree(&[&berlin, &tokyo]);
    Exporter::new(listen.0.ip(), listen.0).flow(FLOW);
    let mut other = Exporter::new(listen.0.ip(), there.0);
    other.send(257, &[&3_u32.to_be_bytes()[..], b"backup\0\0"].concat(), 1);
    other.flow(FLOW);
    until(&berlin, 2);
    let names = eventually("both sites' interfaces are there", || {
        let capacity = get(&berlin, "/v1/flows/capacity", &[("window", "10m")]);
        let mut names: Vec<(String, String)> = items(&capacity)
            .iter()
            .map(|item| {
                let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
                (text("site"), text("name"))
            })
            .collect();
        names.sort();
        (names.len() == 2).then_some(names)
    });
    let pair = |site: &str, name: &str| (site.to_owned(), name.to_owned());
    assert_eq!(names, [pair("berlin", "uplink"), pair("tokyo", "backup")]);
    // One of two is said to be one of more.
    let cut = eventually("both sites tell their exporters", || {
        let all = get(&berlin, "/v1/flows/exporters", &[]);
        assert_eq!(all["cut"], false, "{all}");
        (items(&all).len() == 2).then(|| get(&berlin, "/v1/flows/exporters", &[("limit", "1")]))
    });
    assert_eq!((items(&cut).len(), &cut["cut"]), (1, &json!(true)), "{cut}");
    assert_eq!(items(&cut)[0]["site"], "berlin");
    // A question to no site is none.
    let nobody = json!({ "sql": "SELECT count(*) FROM flows", "sites": [] });
    let (code, text) = {
        let answer = berlin.place.client().post("/v1/query", &nobody);
        assert_eq!(answer.status, 400, "{}", answer.body);
        answer.error()
    };
    assert!(code == "bad_request" && text.contains("leave it out to ask all"), "{code}: {text}");
}

#[test]
fn the_groups_of_a_series_are_the_largest_of_its_window() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = start(&place, listen, &[]);
    let mut exporter = Exporter::new(listen.0.ip(), listen.0);
    let minute = 60_000;
    // Told now, of 25 minutes ago; and much more that is of now.
    exporter.flow(Flow { from: [10, 1, 0, 7], ago: (26 * minute, 25 * minute), ..FLOW });
    for from in 100..105 {
        exporter.flow(Flow { from: [10, 1, 0, from], bytes: 9_000_000, ..FLOW });
    }
    until(&node, 6);
    let (from, to) = (now_ms() - 40 * minute, now_ms() - 15 * minute);
    let window = [("from", from.to_string()), ("to", to.to_string()), ("limit", "1".to_owned())];
    let window: Vec<(&str, &str)> = window.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let series = get(&node, "/v1/flows/series", &window);
    let lines = series["series"].as_array().expect("series");
    assert_eq!(lines.len(), 1, "{series}");
    assert_eq!(lines[0]["key"][0]["value"], "10.1.0.7", "{series}");
    let sum = |values: &Value| -> f64 {
        values.as_array().expect("values").iter().filter_map(Value::as_f64).sum()
    };
    assert!(sum(&lines[0]["values"]) > 0.0 && sum(&series["other"]) == 0.0, "{series}");
}

#[test]
fn a_tenant_that_nobody_collects_for_is_told_so() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let listen = addresses(&place);
    let node = place.start();
    node.place.holm(&["tenant", "create", "acme"]).succeeded();
    let place = node.stop();
    let node = start(&place, listen, &[("HOLM_NODE_TENANTS", "[\"default\", \"acme\"]")]);
    let acme = eventually("the tenant has an admin", || {
        let path = node.place.file("credentials/admin.acme.token");
        let token = std::fs::read_to_string(path).ok()?;
        Some(Client::without_token(&node.place).with_token(token.trim()))
    });
    let own = get(&node, "/v1/flows/top", &[]);
    assert_eq!(own["stands_on"]["collector_running"], true, "{own}");
    let answer = acme.get(&with("/v1/flows/top", &[]));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let stands_on = &answer.json()["stands_on"];
    assert_eq!(stands_on["collector_running"], false, "{stands_on}");
    let reason = stands_on["collector_reason"].as_str().expect("a reason");
    assert!(reason.contains("another tenant") && reason.contains("begins with acme"), "{reason}");
    assert!(!reason.contains("default"), "{reason}");
}
