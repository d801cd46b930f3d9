//! The parameters of questions: one reader for every query, and what many questions take.
//!
//! A query is read into a struct that says what there is: a list may be given again and its parts
//! joined by commas; anything else is given once. What is not known, given twice or not understood
//! is an error that names the parameter, never passed over.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use holm_model::Millis;
use serde::de::value::{SeqDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::{ApiError, ErrorCode, PendingError};
use super::types::Timestamp;

/// Most items of a list that a question may ask for.
const MAX_ITEMS: usize = 10_000;
/// How far a question may lie ahead of this node's clock: other clocks are off a little.
const MAX_AHEAD_MS: u64 = 60_000;
/// Most characters of what was given that an error repeats.
const MAX_REPEATED: usize = 80;

/// The query of a request as `Q` describes it.
pub(crate) struct Given<Q>(pub(super) Q);

impl<S: Sync, Q: DeserializeOwned> FromRequestParts<S> for Given<Q> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        read(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The JSON body of a request as `B` describes it.
pub(crate) struct Body<B>(pub(super) B);

impl<S: Send + Sync, B: DeserializeOwned> FromRequest<S> for Body<B> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let refused = match Json::<B>::from_request(request, state).await {
            Ok(Json(body)) => return Ok(Self(body)),
            Err(refused) => refused,
        };
        let Some((code, message)) = wrong_body(&refused) else {
            return Err(refused.into_response());
        };
        let mut response = refused.into_response();
        response.extensions_mut().insert(PendingError(code, message));
        Err(response)
    }
}

/// What is wrong with a body, if that is for its sender to know.
fn wrong_body(refused: &JsonRejection) -> Option<(ErrorCode, String)> {
    let text = refused.body_text();
    // Behind the framework's own words stands where and what.
    let what = || text.split_once(": ").map_or(text.as_str(), |(_, what)| what);
    Some(match refused {
        JsonRejection::JsonDataError(_) => (ErrorCode::Validation, format!("the body: {}", what())),
        JsonRejection::JsonSyntaxError(_) => {
            (ErrorCode::BadRequest, format!("the body is no JSON: {}", what()))
        }
        JsonRejection::MissingJsonContentType(_) => (
            ErrorCode::BadRequest,
            "send the body as JSON, with the header Content-Type: application/json".into(),
        ),
        _ => return None,
    })
}

/// Reads a query.
pub(super) fn read<Q: DeserializeOwned>(query: &str) -> Result<Q, ApiError> {
    let mut given: Vec<Values> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
        match given.iter_mut().find(|known| known.name == name) {
            Some(known) => known.values.push(value),
            None => given.push(Values { name, values: vec![value] }),
        }
    }
    let query = Query { given: given.into_iter(), next: None };
    Q::deserialize(de::value::MapAccessDeserializer::new(query))
        .map_err(|Wrong(what)| ApiError::bad_request(what))
}

/// The start of a text, for an error.
pub(super) fn clipped(text: &str) -> String {
    text.chars().take(MAX_REPEATED).collect()
}

/// A moment as it is asked for: RFC 3339, or milliseconds since 1970 (in JSON also as a number).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct When(pub(crate) Millis);

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.0)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl Visitor<'_> for Reads {
            type Value = When;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time such as 2026-11-21T14:03:07Z, or milliseconds since 1970")
            }

            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<When, E> {
                Ok(When(Millis(millis)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<When, E> {
                Timestamp::parse(text).map(|at| When(at.0)).ok_or_else(|| E::custom(NOT_A_TIME))
            }
        }
        deserializer.deserialize_any(Reads)
    }
}

/// What is wrong with a text that should be a moment.
pub(crate) const NOT_A_TIME: &str =
    "not a time; write 2026-11-21T14:03:07Z, or milliseconds since 1970";

/// The moment in the parameter `name`. Nobody knows what will be: one ahead of this node's clock is
/// refused, up to the minute that clocks may differ by.
pub(super) fn moment(name: &str, when: Option<When>) -> Result<Option<Millis>, ApiError> {
    let Some(When(at)) = when else { return Ok(None) };
    let now = Millis::now();
    if at > now + MAX_AHEAD_MS {
        return Err(ApiError::bad_request(format!(
            "{name}: {} lies ahead; here it is {}, and what will be is not known",
            Timestamp(at),
            Timestamp(now)
        )));
    }
    Ok(Some(at))
}

/// Where a window that ends at `to` begins, as the parameter `name` says.
pub(super) fn window(name: &str, When(from): When, to: Millis) -> Result<Millis, ApiError> {
    if to < from {
        return Err(ApiError::bad_request(format!(
            "{name}: {} lies after {}, where the window ends",
            Timestamp(from),
            Timestamp(to)
        )));
    }
    Ok(from)
}

/// A limit of items within its bounds.
pub(super) fn limit(asked: Option<usize>, otherwise: usize) -> Result<usize, ApiError> {
    within("limit", asked.unwrap_or(otherwise), MAX_ITEMS)
}

/// A number from 1 to `most`.
pub(super) fn within(name: &str, asked: usize, most: usize) -> Result<usize, ApiError> {
    if (1..=most).contains(&asked) {
        return Ok(asked);
    }
    Err(ApiError::bad_request(format!("{name}={asked}: it goes from 1 to {}", thousands(most))))
}

fn thousands(number: usize) -> String {
    if number < 1_000 {
        return number.to_string();
    }
    format!("{},{:03}", number / 1_000, number % 1_000)
}

/// What is wrong with a query.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

impl de::Error for Wrong {
    fn custom<T: std::fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("{}: is not a parameter; there are {}", clipped(field), expected.join(", ")))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("it is {}", expected.join(" or ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("{field}: is missing"))
    }
}

/// A query, parameter by parameter.
struct Query {
    given: std::vec::IntoIter<Values>,
    next: Option<Values>,
}

impl<'de> MapAccess<'de> for Query {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some(values) = self.given.next() else { return Ok(None) };
        let name: StringDeserializer<Wrong> = values.name.clone().into_deserializer();
        self.next = Some(values);
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let values = self.next.take().ok_or_else(|| Wrong("a value without a name".into()))?;
        let named = format!("{}={}", values.name, clipped(&values.values.join(",")));
        seed.deserialize(values).map_err(|Wrong(what)| Wrong(format!("{named}: {what}")))
    }
}

/// What was given for one parameter.
struct Values {
    name: String,
    values: Vec<String>,
}

impl Values {
    fn one(mut self) -> Result<String, Wrong> {
        match (self.values.pop(), self.values.is_empty()) {
            (Some(value), true) => Ok(value),
            _ => Err(Wrong("it is given more than once".into())),
        }
    }
}

impl<'de> Deserializer<'de> for Values {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_string(self.one()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.one()?.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(Wrong("it is true or false".into())),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let number = self.one()?.parse().map_err(|_| Wrong("it is not a whole number".into()))?;
        visitor.visit_u64(number)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let parts = self.values.iter().flat_map(|value| value.split(',')).map(str::to_owned);
        SeqDeserializer::new(parts).deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let value: StringDeserializer<Wrong> = self.one()?.into_deserializer();
        value.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        id: String,
        at: Option<When>,
        limit: Option<usize>,
        #[serde(default)]
        fold: bool,
        #[serde(default)]
        kind: Vec<String>,
        how: Option<How>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum How {
        Fast,
        Slow,
    }

    #[test]
    fn a_query_is_read_and_lists_are_joined() {
        let query = "id=a%7Cb&at=1000&limit=3&fold=true&kind=service,flow&kind=host&how=slow";
        let sample: Sample = read(query).expect("valid");
        assert_eq!((sample.id.as_str(), sample.limit, sample.fold), ("a|b", Some(3), true));
        assert_eq!(sample.at, Some(When(Millis(1_000))));
        assert_eq!(sample.kind, ["service", "flow", "host"]);
        assert_eq!(sample.how, Some(How::Slow));
        let least: Sample = read("id=x").expect("valid");
        assert!(least.at.is_none() && least.kind.is_empty() && !least.fold);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, named) in [
            ("", "id: is missing"),
            ("id=x&colour=blue", "colour: is not a parameter; there are id, at"),
            ("id=x&id=y", "id=x,y: it is given more than once"),
            ("id=x&fold=false&fold=true", "fold=false,true: it is given more than once"),
            ("id=x&at=yesterday", "at=yesterday: not a time"),
            ("id=x&limit=many", "limit=many: it is not a whole number"),
            ("id=x&limit=-1", "limit=-1: it is not a whole number"),
            ("id=x&fold=perhaps", "fold=perhaps: it is true or false"),
            ("id=x&how=lazily", "how=lazily: it is fast or slow"),
        ] {
            let Err(error) = read::<Sample>(query) else { panic!("{query} was taken") };
            assert!(error.message.contains(named), "{query}: {}", error.message);
        }
    }

    #[test]
    fn what_lies_ahead_is_refused() {
        let now = Millis::now();
        assert_eq!(moment("at", None).expect("nothing asked"), None);
        let near = now + MAX_AHEAD_MS / 2;
        assert_eq!(moment("at", Some(When(near))).expect("clocks differ"), Some(near));
        let far = moment("at", Some(When(Millis(9_999_999_999_999)))).expect_err("the future");
        assert!(far.message.starts_with("at: 2286-11-20T17:46:39.999Z lies ahead"), "{far:?}");
    }

    #[test]
    fn a_moment_in_json_is_a_text_or_a_number() {
        for json in ["1000", "\"1000\"", "\"1970-01-01T00:00:01Z\"", "\"1970-01-01T00:00Z\""] {
            let when: When = serde_json::from_str(json).expect(json);
            assert!(when.0.0 == 1_000 || json.contains("00:00Z"), "{json}");
        }
        assert!(serde_json::from_str::<When>("\"soon\"").is_err());
    }
}
