//! Any HTTP server: JSON, signed as inbound webhooks are (`holm_signed`).

use holm_model::Millis;
use serde_json::{Value, json};

use super::{Answer, Message, Outcome, classify};
use crate::text::rfc3339;
use crate::{Connector, Page};

pub(crate) fn body(page: &Page, now: Millis) -> Value {
    let facts = page.facts_by_name(str::to_owned);
    json!({
        "version": 1,
        "event": page.event.as_str(),
        "dedup_key": page.key,
        "delivery": page.message,
        "seq": page.seq,
        "severity": page.severity.as_str(),
        "state": page.word,
        "title": page.title,
        "facts": facts,
        "lines": page.lines,
        "link": page.link,
        "sender": page.sender,
        "sent_at": rfc3339(now),
    })
}

pub(crate) fn message(connector: &Connector, page: &Page, now: Millis) -> Message {
    let mut message = Message::post(connector.base().to_owned(), &body(page, now));
    let signed = holm_signed::sign_own(
        connector.secret_text(),
        message.body.as_deref().unwrap_or_default(),
        now,
    );
    message.headers.extend(signed);
    message
        .header("x-holm-event", page.event.as_str().to_owned())
        .header("x-holm-delivery", page.message.clone())
}

pub(crate) fn heard(connector: &Connector, answer: &Answer) -> Outcome {
    match classify(connector, answer) {
        Ok(()) => Outcome::Accepted { provider_id: answer.text("/id"), url: None, note: None },
        Err(outcome) => outcome,
    }
}
