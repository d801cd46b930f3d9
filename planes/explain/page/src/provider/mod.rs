//! What is said to each provider, in its words, and what its answers mean.

pub(crate) mod jira;
pub(crate) mod opsgenie;
pub(crate) mod pagerduty;
pub(crate) mod servicenow;
pub(crate) mod slack;
pub(crate) mod teams;
pub(crate) mod webhook;

use reqwest::Method;
use serde_json::Value;

use crate::{Connector, cut};

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has it.
    Accepted {
        /// What the provider calls it.
        provider_id: Option<String>,
        /// Where it is there.
        url: Option<String>,
        /// Who of several was not told all the same, and why.
        note: Option<String>,
    },
    /// It may be had later.
    Retry {
        /// Why not now.
        reason: String,
        /// How long the provider asks to wait, in milliseconds.
        after_ms: Option<u64>,
    },
    /// It will not be had as it is: somebody has to do something.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

impl Outcome {
    pub(crate) fn accepted() -> Self {
        Self::Accepted { provider_id: None, url: None, note: None }
    }

    pub(crate) fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after_ms: None }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into() }
    }
}

/// A request to a provider.
#[derive(Debug, Clone)]
pub struct Message {
    pub(crate) method: Method,
    /// May be a secret.
    pub(crate) url: String,
    /// Names and values; may be secrets.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Vec<u8>>,
}

impl Message {
    pub(crate) fn post(url: String, body: &Value) -> Self {
        Self::with(Method::POST, url, body)
    }

    pub(crate) fn with(method: Method, url: String, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method, url, headers, body: Some(body.to_string().into_bytes()) }
    }

    pub(crate) fn get(url: String) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What a provider answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How long it asks to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, or nothing.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A text of the body.
    pub(crate) fn text(&self, pointer: &str) -> Option<String> {
        let json = self.json();
        let text = json.pointer(pointer)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// What an answer means by its status alone; `Ok` if it is a good one.
///
/// # Errors
/// What becomes of the message else.
pub fn classify(connector: &Connector, answer: &Answer) -> Result<(), Outcome> {
    let status = answer.status;
    let said = said(connector, answer);
    let retry = |what: &str| {
        let reason = format!("{} answers {status}{what}{said}", connector.provider);
        Err(Outcome::Retry { reason, after_ms: answer.retry_after_ms })
    };
    let refused = |what: &str| {
        Err(Outcome::refused(format!("{} answers {status}: {what}{said}", connector.provider)))
    };
    match status {
        200..=299 => Ok(()),
        300..=399 => refused("it redirects, which is not followed; set the address it leads to"),
        401 | 403 => refused("it does not take the secret; give the connector another one"),
        404 | 410 => refused("there is nothing at this address; correct the connector"),
        408 | 425 => retry(""),
        429 => retry(": more than it takes"),
        500..=599 => retry(""),
        _ => refused("it does not take this request"),
    }
}

/// What a provider says of it, without the secret, on one line.
pub(crate) fn said(connector: &Connector, answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let mut text = crate::escape::clean(text.trim());
    for secret in [&connector.secret, &connector.inbound_secret].into_iter().flatten() {
        let secret = secret.expose();
        if secret.len() >= 4 {
            text = text.replace(secret, "…");
        }
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { String::new() } else { format!(" ({})", cut(&text, 160)) }
}

/// A part of a path, made of anything.
pub(crate) fn in_path(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.bytes()
        .map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// `Basic` and user and password.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draft;
    use crate::Provider;

    #[test]
    fn answers_are_taken_tried_again_or_refused_and_never_say_the_secret() {
        let draft = Draft { secret: Some("0123456789abcdef".into()), ..Draft::default() };
        let connector = Connector::new("ops", Provider::PagerDuty, draft, None).expect("good");
        let ask = |status: u16, body: &str| {
            let body = body.as_bytes().to_vec();
            classify(&connector, &Answer { status, retry_after_ms: Some(7_000), body })
        };
        for status in [200, 202, 204] {
            assert_eq!(ask(status, ""), Ok(()));
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            let retry = ask(status, "later").expect_err("not taken");
            assert!(matches!(retry, Outcome::Retry { after_ms: Some(7_000), .. }), "{status}");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 413, 422] {
            let refused = ask(status, "bad key 0123456789abcdef\n<b>").expect_err("not taken");
            let Outcome::Refused { reason } = refused else { panic!("{status}") };
            assert!(!reason.contains("0123456789abcdef") && !reason.contains('\n'), "{reason}");
            assert!(reason.starts_with(&format!("pagerduty answers {status}: ")), "{reason}");
        }
        assert_eq!(in_path("a/b?c d"), "a%2Fb%3Fc%20d");
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
