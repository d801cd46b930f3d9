//! What is taken of a tenant's exporters, and what the topology learns of it.

mod common;

use std::hash::RandomState;
use std::sync::Mutex;

use common::*;
use holm_model::{AliasObservation, EdgeObservation, Millis, NodeObservation, PathObservation};
use holm_otlp::{Config, Encoding, Intake, Tally};
use holm_plane::FactSink;
use proptest::prelude::*;

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl FactSink for Told {
    fn observe_edge(&self, o: &EdgeObservation<'_>) {
        let attributes: Vec<String> =
            o.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let edge = format!(
            "{}:{}|{}|{}:{} {}",
            o.from.kind,
            o.from.name,
            o.kind,
            o.to.kind,
            o.to.name,
            attributes.join(" ")
        );
        self.0.lock().expect("sound").push(edge.trim_end().to_owned());
    }
    fn observe_node(&self, _: &NodeObservation<'_>) {}
    fn observe_path(&self, _: &PathObservation<'_>) {}
    fn observe_alias(&self, _: &AliasObservation<'_>) {}
}

impl Told {
    fn all(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("sound"))
    }
}

fn intake(config: &Config) -> Intake {
    Intake::new(config, RandomState::new(), NOW)
}

/// Takes spans as if they had come in at `now`.
fn take(intake: &mut Intake, spans: &[Sent], now: Millis, told: &Told) -> Tally {
    let export = read(&protobuf(spans), Encoding::Protobuf, NOW).expect("read");
    let sorted = intake.sort(export, now).expect("not too fast");
    assert_eq!(sorted.rows.len() as u64, sorted.tally.spans);
    intake.taken(sorted, now, told)
}

#[test]
fn what_is_sent_again_is_taken_once() {
    let (mut intake, told) = (intake(&Config::default()), Told::default());
    let spans = [span(1), span(2), span(1)];
    let tally = take(&mut intake, &spans, NOW, &told);
    assert_eq!((tally.spans, tally.spans_repeated), (2, 1));
    let again = take(&mut intake, &[span(2), span(3)], NOW + 300_000, &told);
    assert_eq!((again.spans, again.spans_repeated), (1, 1));
    // What the store did not take is no repeat when it comes again.
    let export = read(&protobuf(&[span(4)]), Encoding::Protobuf, NOW).expect("read");
    drop(intake.sort(export, NOW + 300_000).expect("not too fast"));
    assert_eq!(take(&mut intake, &[span(4)], NOW + 300_000, &told).spans, 1);
}

#[test]
fn who_sends_too_fast_is_put_off_until_there_is_room() {
    let config = Config { spans_per_second: 10, ..Config::default() };
    let mut intake = intake(&config);
    let many: Vec<Sent> = (1..=9_990).map(span).collect();
    assert_eq!(take(&mut intake, &many, NOW, &Told::default()).spans, 9_990);
    let more: Vec<Sent> = (20_001..=20_060).map(span).collect();
    let export = || read(&protobuf(&more), Encoding::Protobuf, NOW).expect("read");
    let wait = intake.sort(export(), NOW).expect_err("too fast");
    assert_eq!(wait.retry_after_s, 5);
    assert_eq!(take(&mut intake, &more, NOW + 5_000, &Told::default()).spans, 60);
}

#[test]
fn a_client_names_what_it_calls() {
    let (mut intake, told) = (intake(&Config::default()), Told::default());
    let client = |n: u64| Sent { kind: 3, ..span(n) };
    let spans = [
        client(1)
            .text("peer.service", "cart")
            .text("server.address", "10.0.0.7")
            .int("server.port", 8080),
        client(2).text("server.address", "DB.example.").int("server.port", 5432),
        client(3).text("net.peer.name", "::ffff:192.0.2.9"),
        client(4).text("server.address", "localhost"),
        client(5).text("server.address", "127.0.0.1"),
        client(6).text("server.address", "/run/db.sock"),
        client(7).text("peer.service", "checkout"),
        span(8).text("server.address", "192.0.2.10"),
        client(9),
    ];
    assert_eq!(take(&mut intake, &spans, NOW, &told).edges_told, 3);
    let evidence = "holm.call.evidence=otlp";
    assert_eq!(
        told.all(),
        [
            format!("service:checkout|flow|service:cart {evidence} server.port=8080"),
            format!("service:checkout|flow|host:db.example {evidence} server.port=5432"),
            format!("service:checkout|flow|host:192.0.2.9 {evidence}"),
        ]
    );
    // What is known is told once a minute, a new port at once.
    let again = |n: u64, port: i64| client(n).text("peer.service", "cart").int("server.port", port);
    take(&mut intake, &[again(10, 8080)], NOW + 30_000, &told);
    assert_eq!(told.all(), [""; 0]);
    take(&mut intake, &[again(11, 8080), again(12, 8080)], NOW + 60_000, &told);
    assert_eq!(told.all(), ["service:checkout|flow|service:cart"]);
    take(&mut intake, &[again(13, 80)], NOW + 60_000, &told);
    assert_eq!(
        told.all(),
        [format!("service:checkout|flow|service:cart {evidence} server.port=80,8080")]
    );
}

#[test]
fn no_more_new_edges_are_told_than_may_be_and_the_rest_is_counted() {
    let config = Config { edges_per_minute: 3, ..Config::default() };
    let (mut intake, told) = (intake(&config), Told::default());
    let client = |n: u64| Sent { kind: 3, ..span(n) }.text("peer.service", &format!("s{n}"));
    let spans: Vec<Sent> = (1..=5).map(client).collect();
    let tally = take(&mut intake, &spans, NOW, &told);
    assert_eq!((tally.edges_told, tally.edges_not_told), (3, 2));
    let next: Vec<Sent> = (1..=5).map(|n| Sent { start: n, ..client(n) }).collect();
    let tally = take(&mut intake, &next, NOW + 60_000, &told);
    assert_eq!((tally.edges_told, tally.edges_not_told), (5, 0), "three again, and two new");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Whatever is sent: no panic, and of each span it is known what became of it.
    #[test]
    fn nothing_that_is_sent_ends_in_a_panic(
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        insert in prop::collection::vec(any::<u8>(), 0..4),
        json in any::<bool>(),
    ) {
        let spans = [
            Sent { kind: 3, ..span(1) }.text("peer.service", "cart").int("server.port", 80),
            span(2).int("http.response.status_code", 500).text("http.route", "/cart"),
        ];
        let (mut body, encoding) = if json {
            (json_of(&spans).to_string().into_bytes(), Encoding::Json)
        } else {
            (protobuf(&spans), Encoding::Protobuf)
        };
        for (at, value) in changes {
            let at = at.index(body.len());
            body[at] = value;
        }
        let at = cut.index(body.len());
        body.splice(at..at, insert);
        if let Ok(export) = read(&body, encoding, NOW) {
            let rows = export.spans.len() as u64;
            let mut intake = intake(&Config::default());
            let sorted = intake.sort(export, NOW).expect("not too fast");
            let tally = intake.taken(sorted, NOW, &Told::default());
            prop_assert_eq!(tally.spans + tally.spans_repeated, rows);
        }
        body.truncate(at);
        let _ = read(&body, encoding, NOW);
    }

    /// Bytes of nobody.
    #[test]
    fn bytes_of_nobody_end_in_no_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&body, Encoding::Protobuf, NOW);
        let _ = read(&body, Encoding::Json, NOW);
        let _ = holm_otlp::inflate(&body);
    }

    /// Values as deep as one likes.
    #[test]
    fn depth_ends_in_no_panic(depth in 1_usize..300) {
        let deep = |open: &str, close: &str| format!("{}{}", open.repeat(depth), close.repeat(depth));
        let value = deep(r#"{"arrayValue":{"values":["#, "]}}");
        let mut body = json_of(&[span(1)]);
        body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = serde_json::json!("HERE");
        let body = body.to_string().replace("\"HERE\"", &format!(r#"[{{"key":"k","value":{value}}}]"#));
        if let Ok(export) = read(body.as_bytes(), Encoding::Json, NOW) {
            prop_assert_eq!(export.spans.len() as u64 + export.tally.rejected(), 1);
        }
        let mut value = Vec::new();
        for _ in 0..depth {
            value = message(5, &message(1, &value));
        }
        let attribute = [message(1, b"k"), message(2, &value)].concat();
        let bytes = [span(1).encode(), message(9, &attribute)].concat();
        let export = read(&message(1, &message(2, &message(2, &bytes))), Encoding::Protobuf, NOW).expect("read");
        prop_assert_eq!(export.spans.len() as u64 + export.tally.rejected(), 1);
    }
}
