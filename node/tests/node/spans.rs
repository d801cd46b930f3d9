//! Spans of exporters: rows of the token's tenant, counted once, judged by objectives and alert rules, and known to the
//! topology.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::common::{Answer, Client, Lab, Running, eventually, within};

/// Minutes are counted when they are over.
const MINUTES: Duration = Duration::from_secs(240);

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("it fits")
}

/// A server's span of `checkout` that ended at `end_ms`.
fn span(number: u64, end_ms: u64, status: i64, took_ms: u64) -> Value {
    json!({
        "traceId": format!("{:032x}", 0x1_0000_0000_u64 + number),
        "spanId": format!("{number:016x}"),
        "name": "POST /order",
        "kind": 2,
        "startTimeUnixNano": ((end_ms - took_ms) * 1_000_000).to_string(),
        "endTimeUnixNano": (end_ms * 1_000_000).to_string(),
        "attributes": [
            {"key": "http.response.status_code", "value": {"intValue": status.to_string()}},
            {"key": "http.route", "value": {"stringValue": "/order"}},
        ],
    })
}

/// A client's span of `checkout` that names its peer.
fn call(number: u64, end_ms: u64) -> Value {
    let mut span = span(number, end_ms, 200, 5);
    span["kind"] = json!(3);
    let peer = json!({"key": "peer.service", "value": {"stringValue": "payments"}});
    let port = json!({"key": "server.port", "value": {"intValue": 8443}});
    let attributes = span["attributes"].as_array_mut().expect("a list");
    attributes.extend([peer, port]);
    span
}

fn export(spans: &[Value]) -> String {
    json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]},
        "scopeSpans": [{"spans": spans}],
    }]})
    .to_string()
}

fn send(client: &Client, spans: &[Value]) -> Answer {
    client.ask("POST", "/v1/traces", &[], &export(spans)).expect("an answer")
}

/// A client that may send spans and nothing else.
fn exporter(node: &Running) -> Client {
    let args = ["api-token", "create", "--name", "exporter", "--role", "ingest", "--json"];
    let made: Value = serde_json::from_str(&node.place.holm(&args).succeeded()).expect("JSON");
    Client::without_token(&node.place).with_token(made["token"].as_str().expect("it"))
}

fn plane(node: &Running) -> Value {
    let planes = node.get("/v1/planes");
    let items = planes["items"].as_array().expect("a list");
    items.iter().find(|plane| plane["plane"] == "otlp").expect("the plane").clone()
}

fn count(node: &Running, sql: &str) -> u64 {
    let answer = node.place.holm(&["query", "--json", sql]).succeeded();
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    answer["rows"][0][0].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn spans_are_taken_once_and_only_from_who_may_send_them() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let (admin, exporter) = (berlin.place.client(), exporter(&berlin));
    let now = now_ms();
    let spans = [span(1, now, 200, 20), span(2, now, 503, 30), call(3, now)];
    for _ in 0..2 {
        let answer = send(&exporter, &spans);
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    // What was answered is there.
    assert_eq!(count(&berlin, "SELECT count(*) FROM spans"), 3);
    let bad = "SELECT count(*) FROM spans WHERE \"service.name\" = 'checkout' AND kind = 'server' AND \
               \"http.response.status_code\" >= 500";
    assert_eq!(count(&berlin, bad), 1);
    let seen = eventually("the plane says so", || {
        let plane = plane(&berlin);
        (plane["counters"]["spans_repeated"] == 3).then_some(plane)
    });
    assert_eq!((&seen["state"], &seen["counters"]["spans"]), (&json!("running"), &json!(3)));
    let metrics = admin.get("/metrics").body;
    let counted = r#"holm_plane_count_total{plane="otlp",counter="spans"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");

    // What is refused for good is said, and the rest is taken.
    let mut bad = span(5, now, 200, 1);
    bad["traceId"] = json!("00");
    let answer = send(&exporter, &[span(4, now, 200, 1), bad, span(6, now - 90_000_000, 200, 1)]);
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedSpans"], "2", "{partial}");
    let why = partial["errorMessage"].as_str().expect("a text");
    assert!(why.contains("valid trace") && why.contains("24 h"), "{why}");
    assert_eq!(count(&berlin, "SELECT count(*) FROM spans"), 4);

    // Who calls whom.
    let edge = eventually("the edge is there", || {
        let found = berlin.get("/v1/topology?limit=1000");
        let edges = found["edges"].as_array()?.clone();
        edges.into_iter().find(|edge| edge["id"] == "service:checkout|flow|service:payments")
    });
    assert_eq!(edge["attributes"]["server.port"], json!([8443]), "{edge}");
    assert_eq!(edge["attributes"]["holm.call.evidence"], "otlp", "{edge}");
    let fails = json!({"targets": ["service:payments"]});
    let whatif = admin.post("/v1/topology/whatif", &fails);
    assert_eq!(whatif.status, 200, "{}", whatif.body);
    let impacted = whatif.json()["impacted_services"].to_string();
    assert!(impacted.contains("service:checkout"), "{}", whatif.body);

    // Who may not, and what is not taken.
    assert_eq!(send(&Client::without_token(&berlin.place), &spans).status, 401);
    for path in ["/v1/me", "/v1/query/tables", "/v1/planes", "/metrics"] {
        let answer = exporter.get(path);
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.error().1.contains("ingest"), "{}", answer.body);
    }
    let made = berlin.place.holm(&["api-token", "create", "--name", "eyes", "--json"]).succeeded();
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let viewer =
        Client::without_token(&berlin.place).with_token(made["token"].as_str().expect("it"));
    assert_eq!(send(&viewer, &spans).status, 403);
    assert_eq!(send(&admin, &[span(7, now, 200, 1)]).status, 200);
    let link = admin.post("/v1/login-links", &json!({"role": "ingest"}));
    assert_eq!(link.status, 422, "{}", link.body);
    for path in ["/v1/metrics", "/v1/logs"] {
        let answer = admin.post(path, &json!({}));
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.error().1.contains("takes traces alone"), "{}", answer.body);
    }
    let ask = |headers: &[(&str, &str)], body: &str| {
        exporter.ask("POST", "/v1/traces", headers, body).expect("an answer")
    };
    let answer = ask(&[], "{");
    assert_eq!((answer.status, answer.error().0.as_str()), (400, "bad_request"));
    for headers in [[("content-encoding", "br")], [("content-encoding", "deflate")]] {
        let answer = ask(&headers, &export(&spans));
        assert_eq!(answer.status, 415);
        assert!(answer.error().1.contains("application/x-protobuf"), "{}", answer.body);
    }
    assert_eq!(ask(&[("content-encoding", "gzip")], &export(&spans)).status, 400);
    let long = ask(&[], &" ".repeat((4 << 20) + 1));
    assert_eq!(long.status, 413);
    assert!(long.error().1.contains("4194304 bytes"), "{}", long.body);
}

#[test]
fn a_node_that_takes_none_says_so_and_one_that_takes_few_puts_off() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let off = place.start_with(&[("HOLM_PLANES_OTLP_ENABLED", "false")]);
    let client = off.place.client();
    let answer = send(&client, &[span(1, now_ms(), 200, 1)]);
    assert_eq!(answer.status, 404);
    assert!(answer.error().1.contains("planes.otlp.enabled"), "{}", answer.body);
    let few = off.stop().start_with(&[("HOLM_PLANES_OTLP_SPANS_PER_SECOND", "1")]);
    let many =
        |from: u64| (from..from + 6_000).map(|n| span(n, now_ms(), 200, 1)).collect::<Vec<_>>();
    assert_eq!(send(&client, &many(1)).status, 200);
    let answer = send(&client, &many(10_001));
    assert_eq!(
        (answer.status, answer.error().0.as_str()),
        (429, "rate_limited"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(count(&few, "SELECT count(*) FROM spans"), 6_000, "all of it, or nothing");
    eventually("it is counted", || {
        (plane(&few)["counters"]["requests_too_fast"] == 1).then_some(())
    });
}

/// A field of protobuf: bytes, a text or a message shorter than 128 bytes.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128, "its length is one byte");
    [&[tag << 3 | 2, u8::try_from(content.len()).expect("short")], content].concat()
}

#[test]
fn protobuf_is_answered_in_protobuf_packed_or_not() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let client = exporter(&berlin);
    let end = (now_ms() * 1_000_000).to_le_bytes();
    let span = |number: u8| {
        let times = [&[0x39][..], &end, &[0x41], &end].concat();
        [field(1, &[number; 16]), field(2, &[number; 8]), field(5, b"GET /"), times].concat()
    };
    let export = |spans: &[Vec<u8>]| {
        let spans: Vec<u8> = spans.iter().flat_map(|span| field(2, span)).collect();
        field(1, &field(2, &spans))
    };
    let ask = |headers: &[(&str, &str)], body: &[u8]| {
        let headers = [&[("content-type", "application/x-protobuf")], headers].concat();
        client.ask_bytes("POST", "/v1/traces", &headers, body).expect("an answer")
    };
    let answer = ask(&[], &export(&[span(1)]));
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    // As `gzip` packs it.
    let packed = {
        let mut child = std::process::Command::new("gzip")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("gzip is there");
        let mut input = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut input, &export(&[span(2)])).expect("written");
        drop(input);
        child.wait_with_output().expect("packed").stdout
    };
    assert_eq!(ask(&[("content-encoding", "gzip")], &packed).status, 200);
    assert_eq!(count(&berlin, "SELECT count(*) FROM spans WHERE name = 'GET /'"), 2);
    let partly = ask(&[], &export(&[span(3), span(0)]));
    assert_eq!(partly.status, 200);
    assert!(partly.body.contains("1 have no valid trace"), "{partly:?}");
    // google.rpc.Status: the code, and why.
    let answer = ask(&[], b"\x0a\x7f");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    assert!(answer.body.starts_with("\x08\x03\x12"), "{answer:?}");
    assert!(answer.body.contains("no export of traces") && answer.header("x-request-id").is_some());
}

fn objective() -> String {
    let of = "table: spans, where: \"\\\"service.name\\\" = 'checkout' AND kind = 'server'";
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: orders }}\nspec:\n  service: checkout\n  indicator:\n    \
         metadata: {{ name: answers }}\n    spec:\n      ratioMetric:\n        \
         good: {{ metricSource: {{ type: holm, spec: {{ {of} AND \\\"http.response.status_code\\\" < 500\" }} }} }}\n        \
         total: {{ metricSource: {{ type: holm, spec: {{ {of}\" }} }} }}\n  \
         timeWindow: [{{ duration: 30d, isRolling: true }}]\n  budgetingMethod: Occurrences\n  \
         objectives: [{{ target: 0.99 }}]\n"
    )
}

/// What the ledger of the objective counts, and how much of it is bad.
fn ledger(node: &Running) -> Option<(f64, f64)> {
    let slo = node.get("/v1/slos/orders");
    assert_eq!(slo["problem"], json!(null), "{slo}");
    let objective = &slo["objectives"][0];
    Some((objective["events"].as_f64()?, objective["bad"].as_f64()?))
}

/// Incidents about `service:checkout` that fire, by plane.
fn firing(node: &Running, plane: &str) -> Option<Value> {
    let found = node.get("/v1/incidents?state=all");
    let about = |item: &&Value| {
        let has = |key: &str, what: &str| {
            item[key].as_array().is_some_and(|all| all.contains(&json!(what)))
        };
        has("targets", "service:checkout") && has("planes", plane) && item["firing"] == true
    };
    found["items"].as_array()?.iter().find(about).cloned()
}

#[test]
fn an_objective_on_spans_counts_each_once_and_burns() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let client = exporter(&berlin);
    let path = berlin.place.dir.join("slo.yaml");
    std::fs::write(&path, objective()).expect("written");
    let path = path.to_str().expect("a path");
    assert_eq!(berlin.place.holm(&["slo", "apply", "-f", path]).succeeded(), "orders: created\n");

    // 80 that are good and 20 that are not, over the last four minutes, and calls that are nobody's answers. A minute
    // that is over is counted; each is sent twice.
    let now = now_ms();
    let at = |n: u64| now - 60_000 - (n % 4) * 60_000;
    let spans: Vec<Value> = (1..=100)
        .map(|n| span(n, at(n), if n <= 80 { 200 } else { 503 }, 20))
        .chain((101..=110).map(|n| call(n, at(n))))
        .collect();
    for _ in 0..2 {
        assert_eq!(send(&client, &spans).body, "{}");
    }
    within("all of them are counted, once", MINUTES, || {
        (ledger(&berlin)? == (100.0, 20.0)).then_some(())
    });
    within("it burns, in an incident", MINUTES, || firing(&berlin, "slo"));

    // What comes late is of the minutes that it was in.
    let late: Vec<Value> = (201..=210).map(|n| span(n, now - 400_000, 200, 20)).collect();
    assert_eq!(send(&client, &late).body, "{}");
    within("they are counted too", MINUTES, || (ledger(&berlin)? == (110.0, 20.0)).then_some(()));
    // Nothing is counted again by a restart.
    let berlin = berlin.stop().start();
    within("the same after a restart", MINUTES, || {
        (ledger(&berlin)? == (110.0, 20.0)).then_some(())
    });
}

fn rules() -> &'static str {
    "kind: AlertRule\nname: slow-orders\nseverity: critical\ntable: spans\nwhere: \"kind = 'server'\"\n\
     by: [service.name]\nvalue: { quantile: 0.95, of: duration_ms }\nwindow: 5m\nevery: 10s\n\
     condition: { above: 500 }\ntarget: \"service:{service.name}\"\n---\n\
     kind: AlertRule\nname: failed-orders\ntable: spans\nwhere: \"kind = 'server'\"\nby: [service.name]\n\
     value: { share: \"\\\"http.response.status_code\\\" >= 500\" }\nwindow: 5m\nevery: 10s\n\
     condition: { above: 0.5 }\ntarget: \"service:{service.name}\"\n"
}

#[test]
fn rules_judge_how_long_spans_take_and_how_many_fail() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let client = exporter(&berlin);
    let path = berlin.place.dir.join("rules.yaml");
    std::fs::write(&path, rules()).expect("written");
    let path = path.to_str().expect("a path");
    let applied = berlin.place.holm(&["alert", "apply", "-f", path]).succeeded();
    assert_eq!(applied, "slow-orders: created\nfailed-orders: created\n");
    let alert = |rule: &str| {
        let found = berlin.get(&format!("/v1/alerts?rule={rule}&state=firing"));
        found["items"].as_array().and_then(|items| items.first().cloned())
    };
    let now = now_ms();
    // Some that are quick and good: nothing holds.
    let good: Vec<Value> = (1..=50).map(|n| span(n, now - 30_000, 200, 20)).collect();
    assert_eq!(send(&client, &good).body, "{}");
    let slow: Vec<Value> = (101..=200).map(|n| span(n, now_ms(), 503, 900)).collect();
    assert_eq!(send(&client, &slow).body, "{}");
    let found = within("the quantile fires", MINUTES, || alert("slow-orders"));
    assert_eq!(found["group"]["service.name"], "checkout", "{found}");
    let value = found["value"].as_f64().expect("a number");
    assert!((880.0..=920.0).contains(&value), "{found}");
    let found = within("so does the share", MINUTES, || alert("failed-orders"));
    let value = found["value"].as_f64().expect("a number");
    assert!((value - 100.0 / 150.0).abs() < 1e-9, "{found}");
    within("an incident of the service says so", MINUTES, || firing(&berlin, "alert"));
}
