//! Exports as SDKs and collectors write them, and as nobody should.

mod common;

use common::*;
use holm_model::{Millis, Value};
use holm_otlp::{AHEAD_MS, Encoding, Limits, MAX_BODY_BYTES, OLD_MS, accepted, inflate};
use serde_json::json;

/// A minute after its span.
const THEN: Millis = Millis(1_544_712_721_000);

#[test]
fn the_official_example_is_a_row() {
    let Some(example) = vector("otlp/opentelemetry-proto/trace.json") else { return };
    let export = read(&example, Encoding::Json, THEN).expect("read");
    assert_eq!((export.spans.len(), export.tally.rejected()), (1, 0));
    let row = &export.spans[0].row;
    assert_eq!((row.table.as_ref(), row.at), ("spans", Millis(1_544_712_661_000)));
    for (column, value) in [
        ("trace_id", Value::from("5b8efff798038103d269b633813fc60c")),
        ("span_id", "eee19b7ec3c1b174".into()),
        ("parent_span_id", "eee19b7ec3c1b173".into()),
        ("name", "I'm a server span".into()),
        ("kind", "server".into()),
        ("status_code", "unset".into()),
        ("service.name", "my.service".into()),
        ("otel.scope.name", "my.library".into()),
        ("otel.scope.version", "1.0.0".into()),
        ("start_time_unix_nano", 1_544_712_660_000_000_000_i64.into()),
        ("duration_ms", 1_000.0.into()),
        ("my.span.attr", "some value".into()),
    ] {
        assert_eq!(row.columns.get(column), Some(&value), "{column}");
    }
    assert_eq!(export.tally.attributes_dropped, 1, "the scope's own attribute is counted");
    // Eight years later it is refused, and said so.
    let late = read(&example, Encoding::Json, Millis(1_795_000_000_000)).expect("read");
    assert_eq!((late.spans.len(), late.tally.spans_old), (0, 1));
    let answer = String::from_utf8(accepted(Encoding::Json, &late.tally)).expect("JSON");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "1");
    let why = answer["partialSuccess"]["errorMessage"].as_str().expect("a text");
    assert!(why.contains("24 h"), "{why}");
    // Examples of the other signals are no traces, and nothing is made of them.
    for other in ["logs", "metrics", "events"] {
        let Some(other) = vector(&format!("otlp/opentelemetry-proto/{other}.json")) else {
            continue;
        };
        assert_eq!(read(&other, Encoding::Json, THEN).expect("an object").spans, []);
    }
}

#[test]
fn both_encodings_of_one_export_are_the_same_rows() {
    let span = span(7)
        .text("http.request.method", "GET")
        .int("http.response.status_code", 503)
        .text("unknown", "kept");
    let of_protobuf =
        read(&protobuf(std::slice::from_ref(&span)), Encoding::Protobuf, NOW).expect("read");
    let of_json = read(json_of(&[span]).to_string().as_bytes(), Encoding::Json, NOW).expect("read");
    assert_eq!(of_protobuf, of_json);
    let columns = &of_json.spans[0].row.columns;
    assert_eq!(columns["http.response.status_code"], Value::Int(503));
    assert_eq!(columns["unknown"], "kept".into());
    assert_eq!(columns["service.name"], "checkout".into());
    assert_eq!(columns["resource.os.type"], "linux".into());
    assert_eq!(accepted(Encoding::Protobuf, &of_protobuf.tally), b"");
    assert_eq!(accepted(Encoding::Json, &of_json.tally), b"{}");
}

#[test]
fn json_is_read_as_otlp_maps_it() {
    let mut body = json_of(&[span(1)]);
    let span = &mut body["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
    let start = span["startTimeUnixNano"].as_str().expect("a text").parse::<u64>().expect("it");
    // Integers as numbers, ids of either case, unknown fields, values of every kind.
    span["startTimeUnixNano"] = json!(start);
    span["spanId"] = json!("00000000000000aB");
    span["newField"] = json!({"of": ["tomorrow"]});
    span["status"] = json!({"code": 2, "message": "no"});
    span["attributes"] = json!([
        {"key": "a", "value": {"intValue": "-5"}},
        {"key": "b", "value": {"intValue": 5}},
        {"key": "c", "value": {"doubleValue": "Infinity"}},
        {"key": "d", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"boolValue": true}]}}},
        {"key": "e", "value": {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": 0.5}}]}}},
        {"key": "f", "value": {"bytesValue": "AP8="}},
        {"key": "g", "value": {"colourValue": "red"}},
        {"key": "h"},
        {"key": "service.name", "value": {"stringValue": "another"}},
        {"key": "trace_id", "value": {"stringValue": "another"}},
        {"key": "resource.os.type", "value": {"stringValue": "another"}},
    ]);
    span["events"] = json!([{"name": "x"}, {}]);
    span["links"] = json!([{}]);
    let export = read(body.to_string().as_bytes(), Encoding::Json, NOW).expect("read");
    let columns = &export.spans[0].row.columns;
    let of = |name: &str| columns.get(name).cloned();
    assert_eq!(of("span_id"), Some("00000000000000ab".into()));
    assert_eq!(
        (of("status_code"), of("status_message")),
        (Some("error".into()), Some("no".into()))
    );
    assert_eq!((of("a"), of("b")), (Some(Value::Int(-5)), Some(Value::Int(5))));
    assert_eq!(of("c"), Some(Value::Float(f64::INFINITY)));
    assert_eq!((of("d"), of("e")), (Some(r#"["x",true]"#.into()), Some(r#"{"k":0.5}"#.into())));
    assert_eq!((of("f"), of("g"), of("h")), (Some("AP8=".into()), None, None));
    assert_eq!(of("service.name"), Some("checkout".into()), "a span does not say whose it is");
    assert_eq!(of("resource.os.type"), Some("linux".into()));
    assert_eq!(export.tally.attributes_dropped, 3);
    assert_eq!((export.tally.events_left_out, export.tally.links_left_out), (2, 1));
}

#[test]
fn older_names_fill_what_the_names_of_today_leave_empty() {
    let old =
        span(1).int("http.status_code", 404).text("http.method", "PUT").text("net.peer.port", "80");
    let both = span(2).int("http.status_code", 404).int("http.response.status_code", 200);
    let export = read(&protobuf(&[old, both]), Encoding::Protobuf, NOW).expect("read");
    let columns = |n: usize| &export.spans[n].row.columns;
    assert_eq!(columns(0)["http.response.status_code"], Value::Int(404));
    assert_eq!(columns(0)["http.request.method"], "PUT".into());
    assert_eq!(columns(0)["server.port"], Value::Int(80), "numbers that were sent as text");
    assert!(!columns(0).contains_key("http.method"));
    assert_eq!(columns(1)["http.response.status_code"], Value::Int(200));
    assert_eq!(columns(1)["http.status_code"], Value::Int(404));
}

#[test]
fn times_that_cannot_be_are_refused_or_kept_as_far_as_they_are_known() {
    let at = |end_ms: u64, start_ms: u64| {
        let mut span = span(1);
        (span.end, span.start) = (end_ms * 1_000_000, start_ms * 1_000_000);
        read(&protobuf(&[span]), Encoding::Protobuf, NOW).expect("read")
    };
    let now = NOW.0;
    let taken = |export: &holm_otlp::Export| export.spans.len();
    let ahead = at(now + AHEAD_MS + 1, now);
    assert_eq!((taken(&ahead), ahead.tally.spans_ahead), (0, 1));
    assert_eq!(taken(&at(now + AHEAD_MS, now)), 1);
    let old = at(now - OLD_MS - 1, now - OLD_MS - 2);
    assert_eq!((taken(&old), old.tally.spans_old), (0, 1));
    assert_eq!(taken(&at(now - OLD_MS, now - OLD_MS - 2)), 1);
    assert_eq!(at(now, 0).tally.spans_without_time, 1);
    assert_eq!(at(0, now).tally.spans_without_time, 1);
    let backwards = at(now - 5_000, now);
    assert_eq!(backwards.tally.spans_end_before_start, 1);
    let row = &backwards.spans[0].row;
    assert_eq!((row.at, row.columns.get("duration_ms")), (NOW, None));
    let long = at(now, now - 10 * OLD_MS);
    assert_eq!(long.spans[0].row.at, NOW, "a row's time is that of the span's end");
    assert_eq!(taken(&at(u64::MAX / 1_000_000, 1)), 0);
}

#[test]
fn ids_that_are_none_are_refused() {
    /// Of a trace, a span and its parent, and whether they will do.
    type Ids<'a> = (&'a [u8], &'a [u8], &'a [u8], bool);
    let cases: [Ids<'_>; 7] = [
        (&[1; 16], &[2; 8], &[], true),
        (&[1; 16], &[2; 8], &[0; 8], true),
        (&[0; 16], &[2; 8], &[], false),
        (&[1; 15], &[2; 8], &[], false),
        (&[1; 16], &[0; 8], &[], false),
        (&[], &[2; 8], &[], false),
        (&[1; 16], &[2; 8], &[3; 7], false),
    ];
    for (trace, id, parent, good) in cases {
        let mut span = span(1);
        (span.trace_id, span.span_id, span.parent) = (trace.into(), id.into(), parent.into());
        let export = read(&protobuf(&[span]), Encoding::Protobuf, NOW).expect("read");
        assert_eq!(export.spans.len() == 1, good, "{trace:?} {id:?} {parent:?}");
        assert_eq!(export.tally.spans_bad_id, u64::from(!good));
    }
}

#[test]
fn bounds_are_met_and_counted() {
    let limits = Limits::default();
    let many: Vec<Sent> = (1..=limits.spans as u64 + 5).map(span).collect();
    let export = read(&protobuf(&many), Encoding::Protobuf, NOW).expect("read");
    assert_eq!((export.spans.len(), export.tally.spans_too_many), (limits.spans, 5));

    let mut wide = span(1);
    for n in 0..limits.attributes + 3 {
        wide = wide.int(&format!("k{n}"), 1);
    }
    let wide = wide.int(&"k".repeat(limits.key_bytes + 1), 1);
    let export = read(&protobuf(&[wide]), Encoding::Protobuf, NOW).expect("read");
    assert_eq!(export.tally.attributes_dropped, 4);

    let long = span(1).text("long", &"x".repeat(limits.value_bytes + 1));
    let export = read(&protobuf(&[long]), Encoding::Protobuf, NOW).expect("read");
    assert_eq!(export.tally.values_cut, 1);

    let large = span(1).text("large", &"x".repeat(limits.message_bytes));
    for (body, encoding) in [
        (protobuf(&[large.clone(), span(2)]), Encoding::Protobuf),
        (json_of(&[large, span(2)]).to_string().into_bytes(), Encoding::Json),
    ] {
        let export = read(&body, encoding, NOW).expect("read");
        assert_eq!((export.spans.len(), export.tally.spans_too_large), (1, 1), "{encoding:?}");
    }

    // What one resource says is in the row of each of its spans: together they are bounded as well.
    let few = Limits { row_bytes: 10_000, ..limits };
    let body = protobuf(&(1..=100).map(span).collect::<Vec<_>>());
    let export = holm_otlp::read(&body, Encoding::Protobuf, &few, NOW).expect("read");
    assert!(export.spans.len() < 20 && export.tally.spans_too_many > 80, "{:?}", export.tally);
}

#[test]
fn empty_messages_take_no_memory_to_speak_of() {
    // Two bytes each: two million of them, and none is a span.
    let mut spans = Vec::new();
    for _ in 0..1_000_000 {
        spans.extend([0x12, 0]);
    }
    let body = message(1, &message(2, &spans));
    let export = read(&body, Encoding::Protobuf, NOW).expect("read");
    assert_eq!(export.tally.spans_bad_id, 1_000_000);
    let body = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}{{}}]}}]}}]}}"#,
        "{},".repeat(99_999)
    );
    let export = read(body.as_bytes(), Encoding::Json, NOW).expect("read");
    assert_eq!(export.tally.rejected(), 100_000);
}

#[test]
fn a_body_that_is_none_is_refused_as_a_whole_and_a_span_that_is_none_alone() {
    for (body, encoding) in [
        (&b"\xff\xff"[..], Encoding::Protobuf),
        (&[0x0a, 100, 1], Encoding::Protobuf),
        (&[0x08, 1], Encoding::Protobuf),
        (b"{", Encoding::Json),
        (b"[]", Encoding::Json),
        (br#"{"resourceSpans": 7}"#, Encoding::Json),
        (b"\xff", Encoding::Json),
    ] {
        let error = read(body, encoding, NOW).expect_err("refused").to_string();
        assert!(error.starts_with("the body is no export of traces: "), "{error}");
    }
    assert_eq!(read(b"", Encoding::Protobuf, NOW).expect("nothing").spans.len(), 0);
    assert_eq!(read(b"{}", Encoding::Json, NOW).expect("nothing").spans.len(), 0);
    let spans = [field(2, b"\x0a\xff"), message(2, &span(1).encode())].concat();
    let export = read(&message(1, &message(2, &spans)), Encoding::Protobuf, NOW).expect("read");
    assert_eq!((export.spans.len(), export.tally.spans_malformed), (1, 1));
    let mut body = json_of(&[span(1), span(2)]);
    body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["kind"] = json!("SPAN_KIND_SERVER");
    let export = read(body.to_string().as_bytes(), Encoding::Json, NOW).expect("read");
    assert_eq!((export.spans.len(), export.tally.spans_malformed), (1, 1));
}

#[test]
fn what_unpacks_to_more_than_a_body_may_be_is_not_unpacked() {
    let packed = |bytes: usize| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, &vec![0; bytes]).expect("packed");
        packer.finish().expect("packed")
    };
    assert_eq!(
        inflate(&packed(MAX_BODY_BYTES)).expect("unpacked").map(|b| b.len()),
        Some(MAX_BODY_BYTES)
    );
    assert_eq!(inflate(&packed(MAX_BODY_BYTES + 1)).expect("looked at"), None);
    assert_eq!(inflate(&packed(12 << 20)).expect("looked at"), None, "a bomb");
    inflate(b"plain").expect_err("not packed");
    let whole = packed(1_000);
    inflate(&whole[..whole.len() - 4]).expect_err("cut off");
}
