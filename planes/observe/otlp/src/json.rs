//! OTLP's mapping to JSON: protobuf's, with ids in hexadecimal, numbers of enums, and 64-bit integers as text or
//! numbers. Unknown fields are passed over. As in protobuf one span is decoded at a time: what is around it is kept as
//! the text that it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::export::Malformed;
use crate::messages::{
    Any, AnyValue, Counted, KeyValue, KeyValues, Resource, Scope, Span, Status, Values,
};
use crate::row::{Making, Refused};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest<'a> {
    #[serde(borrow, default)]
    resource_spans: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonResourceSpans<'a> {
    #[serde(borrow, default)]
    resource: Option<&'a RawValue>,
    #[serde(borrow, default)]
    scope_spans: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct JsonScopeSpans<'a> {
    #[serde(borrow, default)]
    scope: Option<&'a RawValue>,
    #[serde(borrow, default)]
    spans: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonResource {
    attributes: Option<Vec<JsonKeyValue>>,
    dropped_attributes_count: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonScope {
    name: Option<String>,
    version: Option<String>,
    attributes: Option<Vec<JsonKeyValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonSpan {
    trace_id: Hex,
    span_id: Hex,
    trace_state: Option<String>,
    parent_span_id: Option<Hex>,
    name: Option<String>,
    kind: Option<i32>,
    start_time_unix_nano: Option<Whole>,
    end_time_unix_nano: Option<Whole>,
    attributes: Option<Vec<JsonKeyValue>>,
    dropped_attributes_count: Option<u32>,
    events: Option<Vec<IgnoredAny>>,
    links: Option<Vec<IgnoredAny>>,
    status: Option<JsonStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonStatus {
    message: Option<String>,
    code: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonKeyValue {
    key: String,
    value: Option<JsonAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonAny {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Whole>,
    double_value: Option<Double>,
    array_value: Option<JsonList<Self>>,
    kvlist_value: Option<JsonList<JsonKeyValue>>,
    bytes_value: Option<String>,
}

#[derive(Deserialize)]
struct JsonList<T> {
    #[serde(default = "Vec::new")]
    values: Vec<T>,
}

/// Bytes in hexadecimal, of either case.
#[derive(Default)]
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0);
        let digits = digits.ok_or_else(|| D::Error::custom("an id is not hexadecimal"))?;
        let bytes = digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]));
        Ok(Self(bytes.filter_map(Result::ok).collect()))
    }
}

/// A whole number of 64 bits, as text or as a number.
struct Whole(i128);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Signed(i64),
            Unsigned(u64),
            Text(String),
        }
        let number = match Written::deserialize(deserializer)? {
            Written::Signed(number) => Some(number.into()),
            Written::Unsigned(number) => Some(number.into()),
            Written::Text(text) => text.parse::<i128>().ok(),
        };
        number.map(Self).ok_or_else(|| D::Error::custom("not a whole number"))
    }
}

/// A number; those that JSON does not have are texts.
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        let number = match Written::deserialize(deserializer)? {
            Written::Number(number) => Some(number),
            Written::Text(text) => text.parse().ok(),
        };
        number.map(Self).ok_or_else(|| D::Error::custom("not a number"))
    }
}

/// Reads an `ExportTraceServiceRequest`.
pub(crate) fn read(body: &[u8], making: &mut Making<'_>) -> Result<(), Malformed> {
    let malformed = |error: serde_json::Error| Malformed(error.to_string());
    let text = std::str::from_utf8(body).map_err(|_| Malformed("it is not UTF-8".into()))?;
    // A list would be taken for an object's fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Malformed("it is no JSON object".into()));
    }
    let request: JsonRequest<'_> = serde_json::from_str(text).map_err(malformed)?;
    for of_resource in request.resource_spans.into_iter().flatten() {
        let of_resource: JsonResourceSpans<'_> =
            serde_json::from_str(of_resource.get()).map_err(malformed)?;
        let resource = about::<JsonResource>(of_resource.resource, making).map_err(malformed)?;
        making.resource(resource.map(Resource::from));
        for of_scope in of_resource.scope_spans.into_iter().flatten() {
            let of_scope: JsonScopeSpans<'_> =
                serde_json::from_str(of_scope.get()).map_err(malformed)?;
            let scope = about::<JsonScope>(of_scope.scope, making).map_err(malformed)?;
            making.scope(scope.map(Scope::from));
            for span in of_scope.spans.into_iter().flatten() {
                if !making.has_room() {
                    making.refuse(Refused::TooMany);
                } else if span.get().len() > making.limits.message_bytes {
                    making.refuse(Refused::TooLarge);
                } else {
                    match serde_json::from_str::<JsonSpan>(span.get()).ok().and_then(JsonSpan::span)
                    {
                        Some(span) => making.span(span),
                        None => making.refuse(Refused::Malformed),
                    }
                }
            }
        }
    }
    Ok(())
}

/// The resource or the scope; `None`: it is too large.
fn about<T: DeserializeOwned + Default>(
    written: Option<&RawValue>,
    making: &Making<'_>,
) -> Result<Option<T>, serde_json::Error> {
    let Some(written) = written else { return Ok(Some(T::default())) };
    if written.get().len() > making.limits.message_bytes {
        return Ok(None);
    }
    serde_json::from_str(written.get()).map(Some)
}

impl From<JsonResource> for Resource {
    fn from(of: JsonResource) -> Self {
        Self {
            attributes: pairs(of.attributes),
            dropped_attributes_count: of.dropped_attributes_count.unwrap_or_default(),
        }
    }
}

impl From<JsonScope> for Scope {
    fn from(of: JsonScope) -> Self {
        Self {
            name: of.name.unwrap_or_default(),
            version: of.version.unwrap_or_default(),
            attributes: pairs(of.attributes),
        }
    }
}

impl JsonSpan {
    /// `None`: a time is no time.
    fn span(self) -> Option<Span> {
        let time = |time: Option<Whole>| u64::try_from(time.map_or(0, |whole| whole.0)).ok();
        let counted = |of: Option<Vec<IgnoredAny>>| vec![Counted {}; of.map_or(0, |of| of.len())];
        Some(Span {
            trace_id: self.trace_id.0,
            span_id: self.span_id.0,
            trace_state: self.trace_state.unwrap_or_default(),
            parent_span_id: self.parent_span_id.unwrap_or_default().0,
            name: self.name.unwrap_or_default(),
            kind: self.kind.unwrap_or_default(),
            start_time_unix_nano: time(self.start_time_unix_nano)?,
            end_time_unix_nano: time(self.end_time_unix_nano)?,
            attributes: pairs(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count.unwrap_or_default(),
            events: counted(self.events),
            links: counted(self.links),
            status: self.status.map(|status| Status {
                message: status.message.unwrap_or_default(),
                code: status.code.unwrap_or_default(),
            }),
        })
    }
}

fn pairs(pairs: Option<Vec<JsonKeyValue>>) -> Vec<KeyValue> {
    let pairs = pairs.into_iter().flatten();
    pairs.map(|pair| KeyValue { key: pair.key, value: pair.value.map(any) }).collect()
}

/// The value that is there; of several, which protobuf does not write, the first in this order.
fn any(of: JsonAny) -> AnyValue {
    let whole = |whole: Whole| {
        i64::try_from(whole.0).map_or_else(|_| Any::Text(whole.0.to_string()), Any::Int)
    };
    // Base64 that is none stays the text that it is.
    let bytes = |text: String| STANDARD.decode(&text).map_or(Any::Text(text), Any::Bytes);
    let list = |list: JsonList<JsonAny>| {
        Any::Array(Values { values: list.values.into_iter().map(any).collect() })
    };
    let map =
        |list: JsonList<JsonKeyValue>| Any::Map(KeyValues { values: pairs(Some(list.values)) });
    let value = (of.string_value.map(Any::Text))
        .or(of.bool_value.map(Any::Bool))
        .or(of.int_value.map(whole))
        .or(of.double_value.map(|double| Any::Double(double.0)))
        .or(of.array_value.map(list))
        .or(of.kvlist_value.map(map))
        .or(of.bytes_value.map(bytes));
    AnyValue { value }
}
