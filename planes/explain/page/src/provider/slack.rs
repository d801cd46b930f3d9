//! Slack: an incoming webhook, or `chat.postMessage` with a token, where what follows goes into the thread of
//! the first message (api.slack.com, "Sending messages using incoming webhooks", "chat.postMessage").

use holm_model::Severity;
use serde_json::{Value, json};

use super::{Answer, Message, Outcome, classify};
use crate::{Connector, Event, Page, escape};

/// Errors of `chat.postMessage` that pass by themselves.
const PASSING: [&str; 6] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
];

pub(crate) fn body(connector: &Connector, page: &Page, thread: Option<&str>) -> Value {
    let sign = match (page.event, page.severity) {
        (Event::Resolve, _) => ":white_check_mark:",
        (Event::Acknowledge, _) => ":eyes:",
        (_, Severity::Critical) => ":rotating_light:",
        (_, Severity::Warning) => ":warning:",
        (_, Severity::Info) => ":information_source:",
    };
    let mut text = format!("{sign} {}", page.body(escape::slack));
    if let Some(link) = &page.link {
        // Ours: the one link that there is.
        text.push_str(&format!("\n<{link}|open in Holm>"));
    }
    let mut body = json!({
        "text": text,
        "mrkdwn": true,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    if let Some(channel) = &connector.channel {
        body["channel"] = Value::from(&**channel);
        if let Some(thread) = thread.filter(|_| page.event != Event::Summary) {
            body["thread_ts"] = thread.into();
            // What wakes somebody is shown in the channel, too.
            body["reply_broadcast"] = page.event.pages().into();
        }
    }
    body
}

pub(crate) fn message(connector: &Connector, page: &Page, thread: Option<&str>) -> Message {
    let body = body(connector, page, thread);
    if connector.channel.is_none() {
        return Message::post(connector.secret_text().to_owned(), &body);
    }
    let url = format!("{}/api/chat.postMessage", connector.base());
    Message::post(url, &body).header("authorization", format!("Bearer {}", connector.secret_text()))
}

pub(crate) fn heard(connector: &Connector, answer: &Answer, thread: Option<&str>) -> Outcome {
    if let Err(outcome) = classify(connector, answer) {
        return outcome;
    }
    if connector.channel.is_none() {
        return Outcome::accepted();
    }
    let json = answer.json();
    if json["ok"] == true {
        // The first message has the thread; what is in it keeps it.
        let ts = thread.map(str::to_owned).or_else(|| answer.text("/ts"));
        return Outcome::Accepted { provider_id: ts, url: None, note: None };
    }
    let Some(error) = json["error"].as_str() else {
        return Outcome::retry("slack answers 200 and does not say whether it took it");
    };
    let error = crate::cut(&escape::clean(error), 80);
    match PASSING.contains(&&*error) {
        true => Outcome::Retry {
            reason: format!("slack answers: {error}"),
            after_ms: answer.retry_after_ms,
        },
        false => Outcome::refused(format!(
            "slack answers: {error}; correct the connector's token or channel"
        )),
    }
}
