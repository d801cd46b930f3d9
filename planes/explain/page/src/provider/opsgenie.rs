//! Opsgenie, Alert API v2: alerts by `alias`, worked off later, so 202 is taken (docs.opsgenie.com, "Alert API").

use serde_json::{Value, json};

use super::{Answer, Message, Outcome, classify, in_path};
use crate::{Connector, Event, Page, cut, escape};
use holm_model::Severity;

/// Longest message, description, and value of a detail, in characters.
const MAX_MESSAGE: usize = 130;
const MAX_DESCRIPTION: usize = 15_000;

pub(crate) fn message(connector: &Connector, page: &Page) -> Message {
    let base = connector.base();
    let alias = in_path(&page.key);
    let of = |what: &str| format!("{base}/v2/alerts/{alias}/{what}?identifierType=alias");
    let note = json!({ "source": page.sender, "user": "Holm", "note": page.body(escape::plain) });
    let message = match page.event {
        Event::Acknowledge => Message::post(of("acknowledge"), &note),
        Event::Resolve => Message::post(of("close"), &note),
        _ => Message::post(format!("{base}/v2/alerts"), &alert(page)),
    };
    message.header("authorization", format!("GenieKey {}", connector.secret_text()))
}

fn alert(page: &Page) -> Value {
    let details = page.facts_by_name(escape::tame);
    let mut description = page.body(escape::plain);
    if let Some(link) = &page.link {
        description.push_str(&format!("\n{link}"));
    }
    let priority = match page.severity {
        Severity::Critical => "P1",
        Severity::Warning => "P3",
        Severity::Info => "P5",
    };
    json!({
        "message": cut(&escape::plain(&page.title), MAX_MESSAGE),
        "alias": page.key,
        "description": cut(&description, MAX_DESCRIPTION),
        "priority": priority,
        "source": page.sender,
        "user": "Holm",
        "tags": ["holm"],
        "details": details,
    })
}

pub(crate) fn heard(connector: &Connector, answer: &Answer) -> Outcome {
    match classify(connector, answer) {
        Ok(()) => {
            Outcome::Accepted { provider_id: answer.text("/requestId"), url: None, note: None }
        }
        Err(outcome) => outcome,
    }
}
