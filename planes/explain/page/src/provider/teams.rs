//! Microsoft Teams: an Adaptive Card, posted to the URL of a workflow ("Post to a channel when a webhook
//! request is received"), which takes it with 202 (learn.microsoft.com, "Create incoming webhooks with Workflows").

use holm_model::Severity;
use serde_json::{Value, json};

use super::{Answer, Message, Outcome, classify};
use crate::{Connector, Event, Page, escape};

pub(crate) fn body(page: &Page) -> Value {
    let color = match (page.event, page.severity) {
        (Event::Resolve, _) => "good",
        (_, Severity::Critical) => "attention",
        (_, Severity::Warning) => "warning",
        (_, Severity::Info) => "default",
    };
    let facts: Vec<Value> = page
        .facts
        .iter()
        .map(|fact| json!({ "title": fact.name, "value": escape::teams(&fact.value) }))
        .collect();
    let mut elements = vec![
        json!({ "type": "TextBlock", "text": page.what(), "weight": "bolder", "color": color }),
        json!({ "type": "TextBlock", "text": escape::teams(&page.title), "wrap": true, "size": "medium" }),
        json!({ "type": "FactSet", "facts": facts }),
    ];
    elements.extend(page.lines.iter().map(|line| {
        json!({ "type": "TextBlock", "text": escape::teams(line), "wrap": true, "spacing": "none" })
    }));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": elements,
    });
    if let Some(link) = &page.link {
        card["actions"] =
            json!([{ "type": "Action.OpenUrl", "title": "Open in Holm", "url": link }]);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

pub(crate) fn message(connector: &Connector, page: &Page) -> Message {
    Message::post(connector.secret_text().to_owned(), &body(page))
}

pub(crate) fn heard(connector: &Connector, answer: &Answer) -> Outcome {
    if let Err(outcome) = classify(connector, answer) {
        return outcome;
    }
    // Connectors of before workflows answer 200 also when they failed, and say so in words.
    let text = String::from_utf8_lossy(&answer.body).to_lowercase();
    match text.contains("http error 429") || text.contains("delivery failed") {
        true => Outcome::retry("teams answers 200, and says that it did not deliver"),
        false => Outcome::accepted(),
    }
}
