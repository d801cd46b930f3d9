//! What a provider says of an incident: that somebody looks at it, that it is over, a note. Checked over the
//! body as it came, before a byte of it is read, in constant time.
//!
//! - PagerDuty: `X-PagerDuty-Signature: v1=` and HMAC-SHA-256 of the body in hex, several separated by commas
//!   (developer.pagerduty.com, "Verifying Webhook Signatures").
//! - all others: our own form (`holm_signed`), or `X-Holm-Secret` with the secret itself, for senders that can
//!   set headers and cannot sign. Where a signature is sent it alone counts.

use holm_model::Millis;
use holm_signed::{
    Choice, Headers, SIGNATURE, check_own, hex_of, same, same_secret, stale, tag_of,
};
use serde_json::Value;

use crate::escape::clean;
use crate::{Connector, Provider, cut};

const SECRET: &str = "x-holm-secret";
const PAGERDUTY: &str = "x-pagerduty-signature";
/// Most signatures of one request that are looked at.
const MAX_SIGNATURES: usize = 4;
/// Longest text that is kept, in bytes: that of a note of an incident.
const MAX_TEXT_BYTES: usize = 4_096;
const MAX_BY: usize = 100;

/// Why a request was refused before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature is missing or another one, or nobody takes it: who asks is not told which.
    #[error("no valid signature for this connector")]
    Signature,
    /// It is signed, but not now.
    #[error(
        "the signature holds, but its timestamp is {off_s} s off this node's clock, and the most are 300; \
         set the sender's clock, and sign each attempt anew"
    )]
    Stale {
        /// How far, in seconds.
        off_s: u64,
    },
}

/// A request whose signature held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    fingerprint: [u8; 32],
}

impl Verified {
    /// Checks a request to a connector. Without one that hears, the same work is done, in vain.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn check(
        connector: Option<&Connector>,
        headers: &Headers<'_>,
        body: &[u8],
        now: Millis,
    ) -> Result<Self, Refusal> {
        let secret = connector.and_then(|connector| connector.inbound_secret.as_ref());
        let known = Choice::from(u8::from(secret.is_some()));
        let secret = secret.map_or("nobody's secret, which opens nothing", |s| s.expose());
        let from_pagerduty = connector.is_some_and(|c| c.provider == Provider::PagerDuty);
        let (holds, signed_at, stamp) = if from_pagerduty {
            let tag = tag_of(secret.as_bytes(), &[body]);
            let given = headers(PAGERDUTY).unwrap_or_default();
            let given = given.split(',').take(MAX_SIGNATURES);
            let holds = given
                .fold(Choice::from(0), |holds, given| holds | same(&tag, &hex_of(given, "v1=")));
            (holds, None, String::new())
        } else if headers(SIGNATURE).is_some() {
            let own = check_own(secret, headers, body);
            (own.holds, own.signed_at, own.stamp)
        } else {
            let given = headers(SECRET).unwrap_or_default();
            (same_secret(secret, &given), None, String::new())
        };
        if !bool::from(holds & known) {
            return Err(Refusal::Signature);
        }
        if let Some(off_s) = signed_at.and_then(|at| stale(at, now)) {
            return Err(Refusal::Stale { off_s });
        }
        let mut hasher = blake3::Hasher::new_derive_key("holm page heard v1");
        let name = connector.map_or("", |connector| &connector.name);
        for part in [name.as_bytes(), stamp.as_bytes(), body] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Ok(Self { fingerprint: *hasher.finalize().as_bytes() })
    }
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Somebody looks at it.
    Acknowledge,
    /// It is over.
    Resolve,
    /// Only the text.
    Note,
}

/// A request that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Something is said of an incident.
    Said {
        /// The incident, by a key that a page had.
        incident: String,
        /// What.
        what: Said,
        /// By whom: the provider, `:`, and a name.
        by: String,
        /// What they said about it; may be empty.
        text: String,
        /// The same if it is said again.
        id: u64,
        /// Whether the sender named it: else it is told from others by what it says alone.
        named: bool,
    },
    /// It says nothing of an incident; why.
    Nothing(String),
}

/// Why a request that is signed was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeardError {
    /// It is no JSON.
    #[error("the body is no JSON: {0}")]
    NotJson(String),
    /// A field is not right.
    #[error("{field}: {what}")]
    Field {
        /// The field.
        field: String,
        /// What is not right.
        what: String,
    },
}

fn wrong(field: &str, what: &str) -> HeardError {
    HeardError::Field { field: cut(&clean(field), 60), what: what.into() }
}

fn text_at<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str().filter(|text| !text.trim().is_empty())
}

impl Heard {
    /// Reads a request whose signature held.
    ///
    /// # Errors
    /// [`HeardError`]
    pub fn read(
        connector: &Connector,
        verified: &Verified,
        body: &[u8],
    ) -> Result<Self, HeardError> {
        let json: Value = serde_json::from_slice(body)
            .map_err(|error| HeardError::NotJson(cut(&clean(&error.to_string()), 160)))?;
        let parts = match connector.provider {
            Provider::PagerDuty => pagerduty(&json)?,
            Provider::Opsgenie if json.get("alert").is_some() => opsgenie(&json)?,
            _ => generic(&json)?,
        };
        let (incident, what, by, text, unique) = match parts {
            Parts::Said { incident, what, by, text, unique } => (incident, what, by, text, unique),
            Parts::Nothing(why) => return Ok(Self::Nothing(why)),
        };
        if what == Said::Note && text.trim().is_empty() {
            return Err(wrong("text", "a note says something"));
        }
        let mut hasher = blake3::Hasher::new_derive_key("holm page action v2");
        match &unique {
            // One name for two things is two things: what is done is part of it.
            Some(unique) => {
                let what = [what as u8];
                let parts = [
                    connector.name.as_bytes(),
                    unique.as_bytes(),
                    incident.as_bytes(),
                    &what,
                    text.as_bytes(),
                ];
                for part in parts {
                    hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
                }
            }
            None => {
                hasher.update(&verified.fingerprint);
            }
        }
        let hash = hasher.finalize();
        let id = hash.as_bytes()[..8].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        let by = by.as_deref().map_or("somebody".into(), clean);
        Ok(Self::Said {
            incident: cut(&clean(&incident), 60),
            what,
            by: format!("{}:{}", connector.provider, cut(by.trim(), MAX_BY)),
            // Lines stay; what cannot be seen goes.
            text: bounded(text.lines().map(clean).collect::<Vec<_>>().join("\n")),
            id,
            named: unique.is_some(),
        })
    }
}

/// The text as far as there is room for it, and if that is not all of it, how long it was.
fn bounded(text: String) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text;
    }
    let mark = format!("… (cut: it had {} characters)", text.chars().count());
    let room = text.floor_char_boundary(MAX_TEXT_BYTES - mark.len());
    format!("{}{mark}", &text[..room])
}

enum Parts {
    Said { incident: String, what: Said, by: Option<String>, text: String, unique: Option<String> },
    Nothing(String),
}

fn pagerduty(json: &Value) -> Result<Parts, HeardError> {
    let kind = text_at(json, "/event/event_type")
        .ok_or_else(|| wrong("event.event_type", "it is missing"))?;
    let what = match kind {
        "incident.acknowledged" => Said::Acknowledge,
        "incident.resolved" => Said::Resolve,
        "incident.annotated" => Said::Note,
        kind => return Ok(Parts::Nothing(format!("{} changes nothing", cut(&clean(kind), 60)))),
    };
    // What Holm told PagerDuty comes back as an event of the integration, or of nobody.
    let agent = json.pointer("/event/agent");
    let kind = agent.and_then(|agent| text_at(agent, "/type"));
    if agent.is_none_or(Value::is_null) || kind.is_some_and(|kind| !kind.starts_with("user")) {
        return Ok(Parts::Nothing("nobody did it: only what people do there is done here".into()));
    }
    let keys = ["/event/data/incident_key", "/event/data/incident/incident_key"];
    let Some(incident) = keys.iter().find_map(|key| text_at(json, key)) else {
        return Ok(Parts::Nothing("it names no incident_key".into()));
    };
    Ok(Parts::Said {
        incident: incident.to_owned(),
        what,
        by: text_at(json, "/event/agent/summary").map(str::to_owned),
        text: text_at(json, "/event/data/content").unwrap_or_default().to_owned(),
        unique: text_at(json, "/event/id").map(str::to_owned),
    })
}

fn opsgenie(json: &Value) -> Result<Parts, HeardError> {
    let action = text_at(json, "/action").ok_or_else(|| wrong("action", "it is missing"))?;
    let what = match action {
        "Acknowledge" => Said::Acknowledge,
        "Close" => Said::Resolve,
        "AddNote" => Said::Note,
        action => {
            return Ok(Parts::Nothing(format!("{} changes nothing", cut(&clean(action), 60))));
        }
    };
    let Some(incident) = text_at(json, "/alert/alias") else {
        return Ok(Parts::Nothing("it names no alias".into()));
    };
    Ok(Parts::Said {
        incident: incident.to_owned(),
        what,
        by: text_at(json, "/alert/username").map(str::to_owned),
        text: text_at(json, "/alert/note").unwrap_or_default().to_owned(),
        unique: None,
    })
}

fn generic(json: &Value) -> Result<Parts, HeardError> {
    let object = json.as_object().ok_or_else(|| wrong("body", "it is an object"))?;
    const FIELDS: [&str; 5] = ["action", "by", "id", "incident", "text"];
    if let Some(odd) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(wrong(odd, "it is not known; action, by, id, incident and text are"));
    }
    for (name, value) in object {
        if !value.is_string() {
            return Err(wrong(name, "it is a text"));
        }
    }
    let text = |name: &str| text_at(json, &format!("/{name}")).map(str::to_owned);
    let action = text("action").ok_or_else(|| wrong("action", "it is missing"))?;
    let what = match action.as_str() {
        "acknowledge" => Said::Acknowledge,
        "resolve" => Said::Resolve,
        "note" => Said::Note,
        _ => return Err(wrong("action", "it is one of acknowledge, resolve, note")),
    };
    Ok(Parts::Said {
        incident: text("incident").ok_or_else(|| wrong("incident", "it is missing"))?,
        what,
        by: text("by"),
        text: text("text").unwrap_or_default(),
        unique: text("id"),
    })
}

#[cfg(test)]
mod tests {
    use holm_signed::{hex, sign_own};

    use super::*;
    use crate::Draft;

    const INBOUND: &str = "an inbound secret";
    const NOW: Millis = Millis(1_795_000_000_000);

    fn connector(provider: Provider) -> Connector {
        let draft = Draft {
            secret: Some("0123456789abcdef".into()),
            inbound_secret: Some(INBOUND.into()),
            url: (provider == Provider::Webhook).then(|| "https://a.example".into()),
            ..Draft::default()
        };
        Connector::new("ops", provider, draft, None).expect("good")
    }

    fn check(
        connector: Option<&Connector>,
        given: &[(&str, &str)],
        body: &[u8],
        now: Millis,
    ) -> Result<Verified, Refusal> {
        let given: Vec<(String, String)> =
            given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let headers =
            move |name: &str| given.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        Verified::check(connector, &headers, body, now)
    }

    #[test]
    fn only_who_knows_the_secret_is_heard() {
        let (webhook, pagerduty) = (connector(Provider::Webhook), connector(Provider::PagerDuty));
        let body = br#"{"incident":"i-1","action":"acknowledge","by":"ada"}"#;
        let signed = sign_own(INBOUND, body, NOW);
        let own: Vec<(&str, &str)> = signed.iter().map(|(k, v)| (*k, &**v)).collect();
        assert!(check(Some(&webhook), &own, body, NOW).is_ok());
        assert_eq!(check(Some(&webhook), &own, b"{}", NOW), Err(Refusal::Signature));
        assert_eq!(check(None, &own, body, NOW), Err(Refusal::Signature));
        let deaf = Connector { inbound_secret: None, ..webhook.clone() };
        assert_eq!(check(Some(&deaf), &own, body, NOW), Err(Refusal::Signature));
        let late = check(Some(&webhook), &own, body, NOW + 301_000);
        assert_eq!(late, Err(Refusal::Stale { off_s: 301 }));
        assert!(check(Some(&webhook), &[(SECRET, INBOUND)], body, NOW).is_ok());
        for wrong in ["", "an inbound secre", "an inbound secret "] {
            let refused = check(Some(&webhook), &[(SECRET, wrong)], body, NOW);
            assert_eq!(refused, Err(Refusal::Signature), "{wrong}");
        }
        // The secret does not mend a wrong signature.
        let both = [(SECRET, INBOUND), (SIGNATURE, "sha256=00")];
        assert_eq!(check(Some(&webhook), &both, body, NOW), Err(Refusal::Signature));
        let tag = hex(&tag_of(INBOUND.as_bytes(), &[body]));
        let given = format!("v1={},v1={tag}", "0".repeat(64));
        assert!(check(Some(&pagerduty), &[(PAGERDUTY, &given)], body, NOW).is_ok());
        let bare = check(Some(&pagerduty), &[(PAGERDUTY, &tag)], body, NOW);
        assert_eq!(bare, Err(Refusal::Signature));
        let shown = check(Some(&pagerduty), &[(SECRET, INBOUND)], body, NOW);
        assert_eq!(shown, Err(Refusal::Signature), "PagerDuty signs");
    }

    fn read(connector: &Connector, body: &str) -> Result<Heard, HeardError> {
        Heard::read(connector, &Verified { fingerprint: [7; 32] }, body.as_bytes())
    }

    #[test]
    fn what_is_said_is_an_action_and_the_same_if_it_is_said_again() {
        let webhook = connector(Provider::Webhook);
        let said =
            |by: &str| format!(r#"{{"incident":"i-1","action":"note","by":"{by}","text":"a"}}"#);
        let Ok(Heard::Said { incident, what, by, text, id, named }) = read(&webhook, &said("ada"))
        else {
            panic!("taken")
        };
        assert_eq!((&*incident, what, &*by, &*text), ("i-1", Said::Note, "webhook:ada", "a"));
        let Ok(Heard::Said { id: again, .. }) = read(&webhook, &said("ada")) else {
            panic!("taken")
        };
        assert!(id == again && !named);
        let Ok(Heard::Said { by, .. }) = read(&webhook, &said(&"x".repeat(5_000))) else {
            panic!("taken")
        };
        assert!(by.chars().count() <= MAX_BY + 10);
        let pagerduty = connector(Provider::PagerDuty);
        let event = |kind: &str| {
            format!(
                r#"{{"event":{{"id":"01","event_type":"{kind}","agent":{{"summary":"Ada L"}},"data":{{"incident_key":"i-2"}}}}}}"#
            )
        };
        let heard = read(&pagerduty, &event("incident.resolved")).expect("taken");
        let Heard::Said { incident, what, by, .. } = heard else { panic!("said") };
        assert_eq!((&*incident, what, &*by), ("i-2", Said::Resolve, "pagerduty:Ada L"));
        let heard = read(&pagerduty, &event("incident.priority_updated"));
        assert_eq!(heard, Ok(Heard::Nothing("incident.priority_updated changes nothing".into())));
        let opsgenie = connector(Provider::Opsgenie);
        let body = r#"{"action":"Close","alert":{"alias":"i-3","username":"ada@example.org"}}"#;
        let Ok(Heard::Said { incident, what, by, .. }) = read(&opsgenie, body) else {
            panic!("taken")
        };
        assert_eq!((&*incident, what, &*by), ("i-3", Said::Resolve, "opsgenie:ada@example.org"));
    }

    #[test]
    fn one_id_for_two_things_is_two_things() {
        let id_of = |connector: &Connector, said: &str, id: &str| {
            let body = format!(r#"{{"incident":"i-1",{said},"id":"{id}"}}"#);
            match read(connector, &body) {
                Ok(Heard::Said { id, named: true, .. }) => id,
                other => panic!("{other:?}"),
            }
        };
        let (mut hook, mut hook1) = (connector(Provider::Webhook), connector(Provider::Webhook));
        (hook.name, hook1.name) = ("hook".into(), "hook1".into());
        let acknowledge = r#""action":"acknowledge""#;
        assert_eq!(id_of(&hook, acknowledge, "12"), id_of(&hook, acknowledge, "12"));
        assert_ne!(id_of(&hook, acknowledge, "12"), id_of(&hook1, acknowledge, "2"));
        assert_ne!(id_of(&hook, acknowledge, "1"), id_of(&hook, r#""action":"resolve""#, "1"));
        let note = |text: &str| id_of(&hook, &format!(r#""action":"note","text":"{text}""#), "1");
        assert_ne!(note("it is back"), note("it is not"));
        assert_eq!(note("it is back"), note("it is back"));
    }

    #[test]
    fn a_long_text_says_how_long_it_was() {
        let webhook = connector(Provider::Webhook);
        let text_of = |text: &str| {
            let said =
                serde_json::json!({ "incident": "i-1", "action": "note", "text": text, "id": "7" });
            match read(&webhook, &said.to_string()) {
                Ok(Heard::Said { text, named: true, .. }) => text,
                other => panic!("{other:?}"),
            }
        };
        let whole = "é".repeat(MAX_TEXT_BYTES / 2);
        assert_eq!(text_of(&whole), whole, "as long as there is room for");
        let long = text_of(&"é".repeat(5_123));
        assert!(long.ends_with("é… (cut: it had 5123 characters)"), "{long}");
        assert!(long.len() <= MAX_TEXT_BYTES && long.len() > MAX_TEXT_BYTES - 4);
    }

    #[test]
    fn what_is_not_right_is_named() {
        let webhook = connector(Provider::Webhook);
        for (body, says) in [
            ("{", "the body is no JSON"),
            ("[]", "body: it is an object"),
            (r#"{"incident":"i-1"}"#, "action: it is missing"),
            (r#"{"incident":"i-1","action":"page"}"#, "action: it is one of"),
            (r#"{"action":"resolve"}"#, "incident: it is missing"),
            (r#"{"incident":1,"action":"resolve"}"#, "incident: it is a text"),
            (r#"{"incident":"i-1","action":"note"}"#, "text: a note says something"),
            (r#"{"incident":"i-1","action":"note","who":"x"}"#, "who: it is not known"),
        ] {
            let error = read(&webhook, body).expect_err("refused").to_string();
            assert!(error.starts_with(says), "{body}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(&webhook, &deep).is_err(), "no overflow of the stack");
        assert!(read(&connector(Provider::PagerDuty), "{}").is_err());
    }
}
