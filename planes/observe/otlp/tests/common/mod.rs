//! Exports written by hand, byte by byte, so that the tests do not read what the crate itself wrote.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use holm_model::Millis;
use holm_otlp::{Encoding, Export, Limits, Malformed};
use serde_json::json;

/// When exports come in.
pub const NOW: Millis = Millis(1_800_000_000_000);

pub fn read(body: &[u8], encoding: Encoding, now: Millis) -> Result<Export, Malformed> {
    holm_otlp::read(body, encoding, &Limits::default(), now)
}

/// A file of others' inputs, if they are here.
pub fn vector(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var("HOLM_VECTORS").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/vectors").to_owned()
    });
    let file = std::path::Path::new(&root).join(name);
    let read = std::fs::read(&file).ok();
    if read.is_none() {
        eprintln!("skipped: {} is not there", file.display());
    }
    read
}

/// A span as it is sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub trace_id: Vec<u8>,
    pub span_id: Vec<u8>,
    pub parent: Vec<u8>,
    pub kind: u8,
    pub start: u64,
    pub end: u64,
    pub attributes: Vec<(String, Result<String, i64>)>,
}

/// A server's span of 20 ms that ended a second ago.
pub fn span(number: u64) -> Sent {
    Sent {
        trace_id: [number.to_be_bytes(), [1; 8]].concat(),
        span_id: number.to_be_bytes().into(),
        parent: Vec::new(),
        kind: 2,
        start: (NOW.0 - 1_020) * 1_000_000,
        end: (NOW.0 - 1_000) * 1_000_000,
        attributes: Vec::new(),
    }
}

impl Sent {
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.attributes.push((key.into(), Ok(value.into())));
        self
    }

    pub fn int(mut self, key: &str, value: i64) -> Self {
        self.attributes.push((key.into(), Err(value)));
        self
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut all = [message(1, &self.trace_id), message(2, &self.span_id)].concat();
        all.extend(message(4, &self.parent));
        all.extend(message(5, b"GET /cart"));
        all.extend([0x30, self.kind]);
        all.extend(
            [&[0x39][..], &self.start.to_le_bytes(), &[0x41], &self.end.to_le_bytes()].concat(),
        );
        for (key, value) in &self.attributes {
            all.extend(message(9, &pair(key, value)));
        }
        all
    }

    fn json(&self) -> serde_json::Value {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02X}")).collect::<String>();
        let attributes = self.attributes.iter().map(|(key, value)| match value {
            Ok(text) => json!({"key": key, "value": {"stringValue": text}}),
            Err(int) => json!({"key": key, "value": {"intValue": int.to_string()}}),
        });
        let attributes: Vec<_> = attributes.collect();
        json!({
            "traceId": hex(&self.trace_id), "spanId": hex(&self.span_id), "parentSpanId": hex(&self.parent),
            "name": "GET /cart", "kind": self.kind, "startTimeUnixNano": self.start.to_string(),
            "endTimeUnixNano": self.end.to_string(), "attributes": attributes,
        })
    }
}

fn pair(key: &str, value: &Result<String, i64>) -> Vec<u8> {
    let value = match value {
        Ok(text) => message(1, text.as_bytes()),
        Err(int) => [vec![0x18], varint(int.cast_unsigned())].concat(),
    };
    [message(1, key.as_bytes()), message(2, &value)].concat()
}

pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number as u8) | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of bytes, a text or a message.
pub fn message(tag: u8, content: &[u8]) -> Vec<u8> {
    [vec![tag << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

/// The same, whatever the content is.
pub fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    message(tag, content)
}

/// An export of these spans of `checkout`.
pub fn protobuf(spans: &[Sent]) -> Vec<u8> {
    let resource: Vec<u8> = [("service.name", "checkout"), ("os.type", "linux")]
        .into_iter()
        .flat_map(|(key, value)| message(1, &pair(key, &Ok(value.into()))))
        .collect();
    let mut of_scope = message(1, &message(1, b"lib"));
    for span in spans {
        of_scope.extend(message(2, &span.encode()));
    }
    // The resource stands behind the spans: the order of fields means nothing.
    message(1, &[message(2, &of_scope), message(1, &resource)].concat())
}

/// The same in JSON.
pub fn json_of(spans: &[Sent]) -> serde_json::Value {
    let spans: Vec<_> = spans.iter().map(Sent::json).collect();
    json!({"resourceSpans": [{
        "scopeSpans": [{"scope": {"name": "lib"}, "spans": spans}],
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "checkout"}},
            {"key": "os.type", "value": {"stringValue": "linux"}},
        ]},
    }]})
}
