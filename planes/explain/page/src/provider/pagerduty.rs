//! PagerDuty, Events API v2: `POST /v2/enqueue` with `event_action` and `dedup_key`; 202 is taken, 400 is
//! wrong, 429 is too much (developer.pagerduty.com, "Send an Event", "Events API v2 Overview").

use serde_json::{Value, json};

use super::{Answer, Message, Outcome, classify};
use crate::{Connector, Event, Page, cut, escape};

/// Longest summary, in characters.
const MAX_SUMMARY: usize = 1_024;

pub(crate) fn body(connector: &Connector, page: &Page) -> Value {
    let action = match page.event {
        Event::Acknowledge => "acknowledge",
        Event::Resolve => "resolve",
        _ => "trigger",
    };
    let mut body = json!({
        "routing_key": connector.secret_text(),
        "event_action": action,
        "dedup_key": page.key,
    });
    if action == "trigger" {
        let mut details = page.facts_by_name(escape::tame);
        if !page.lines.is_empty() {
            let lines: Vec<String> = page.lines.iter().map(|line| escape::tame(line)).collect();
            details.insert("incidents".into(), lines.into());
        }
        let about = page.facts.iter().find(|fact| fact.name == "about");
        body["payload"] = json!({
            "summary": cut(&escape::tame(&page.title), MAX_SUMMARY),
            "source": page.sender,
            "severity": page.severity.as_str(),
            "component": about.map(|fact| escape::tame(&fact.value)),
            "custom_details": details,
        });
        body["client"] = "Holm".into();
        if let Some(link) = &page.link {
            body["client_url"] = link.as_str().into();
            body["links"] = json!([{ "href": link, "text": "The incident in Holm" }]);
        }
    }
    body
}

pub(crate) fn message(connector: &Connector, page: &Page) -> Message {
    Message::post(format!("{}/v2/enqueue", connector.base()), &body(connector, page))
}

pub(crate) fn heard(connector: &Connector, answer: &Answer) -> Outcome {
    match classify(connector, answer) {
        Ok(()) => {
            Outcome::Accepted { provider_id: answer.text("/dedup_key"), url: None, note: None }
        }
        Err(outcome) => outcome,
    }
}
