//! ServiceNow: records of the table `incident`, found again by `correlation_id` (servicenow.com, "Table API").
//! States of the base system: 2 in progress, 6 resolved, 7 closed, 8 cancelled.

use holm_model::Severity;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Message, Outcome, basic, classify, in_path};
use crate::send::Http;
use crate::{Connector, Event, Page, escape};

/// How an incident is closed unless the connector says otherwise: a choice of the base system.
const CLOSE_CODE: &str = "Solution provided";

struct Found {
    sys_id: String,
    number: Option<String>,
    state: String,
}

fn authorized(connector: &Connector, message: Message) -> Message {
    let user = connector.user.as_deref().unwrap_or_default();
    message
        .header("authorization", basic(user, connector.secret_text()))
        .header("accept", "application/json".into())
}

fn found(record: &Value) -> Option<Found> {
    let text =
        |name: &str| record[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let sys_id = text("sys_id").filter(|id| id.len() <= 64)?;
    Some(Found { sys_id, number: text("number"), state: text("state").unwrap_or_default() })
}

fn accepted(connector: &Connector, found: &Found) -> Outcome {
    let id = in_path(&found.sys_id);
    let url = format!("{}/nav_to.do?uri=incident.do?sys_id={id}", connector.base());
    let provider_id = Some(found.number.clone().unwrap_or_else(|| found.sys_id.clone()));
    Outcome::Accepted { provider_id, url: Some(url), note: None }
}

pub(crate) async fn deliver(
    http: &Http,
    connector: &Connector,
    page: &Page,
) -> Result<Outcome, Outcome> {
    let base = connector.base();
    let key = in_path(&page.key);
    // The last one that was made for it: who was apart made none twice.
    let look_up = format!(
        "{base}/api/now/table/incident?sysparm_query=correlation_id%3D{key}%5EORDERBYDESCsys_created_on&sysparm_limit=1&sysparm_fields=sys_id%2Cnumber%2Cstate"
    );
    let answer = http.call(connector, authorized(connector, Message::get(look_up))).await?;
    classify(connector, &answer)?;
    let known = match answer.json()["result"].as_array() {
        Some(records) => records.first().and_then(found),
        None => return Err(no_json(&answer)),
    };
    // What is closed or cancelled does not come back: it is made anew.
    let live = known.filter(|found| !matches!(found.state.as_str(), "7" | "8"));
    let note = page.body(escape::plain);
    let (message, state) = match (page.event, &live) {
        (Event::Trigger | Event::Reopen | Event::Repeat | Event::Summary, None) => {
            let url = format!("{base}/api/now/table/incident");
            (Message::post(url, &record(page)), None)
        }
        // There is none: nothing to acknowledge or to end.
        (_, None) => return Ok(Outcome::accepted()),
        (event, Some(found)) => {
            let mut change = json!({ "work_notes": note });
            match event {
                Event::Acknowledge => change["state"] = "2".into(),
                Event::Resolve => {
                    let code = connector.done.as_deref().unwrap_or(CLOSE_CODE);
                    change["state"] = "6".into();
                    change["close_code"] = code.into();
                    change["close_notes"] = note.into();
                }
                _ if found.state == "6" => change["state"] = "2".into(),
                _ => {}
            }
            let url = format!("{base}/api/now/table/incident/{}", in_path(&found.sys_id));
            (Message::with(Method::PATCH, url, &change), Some(found))
        }
    };
    let answer = http.call(connector, authorized(connector, message)).await?;
    classify(connector, &answer)?;
    let made = answer.json().get("result").and_then(found);
    Ok(match (state, made) {
        (Some(found), _) => accepted(connector, found),
        (None, Some(made)) => accepted(connector, &made),
        (None, None) => Outcome::accepted(),
    })
}

fn record(page: &Page) -> Value {
    let (urgency, impact) = match page.severity {
        Severity::Critical => ("1", "1"),
        Severity::Warning => ("2", "2"),
        Severity::Info => ("3", "3"),
    };
    let mut description = page.body(escape::plain);
    if let Some(link) = &page.link {
        description.push_str(&format!("\n{link}"));
    }
    json!({
        "short_description": crate::cut(&escape::plain(&page.title), 160),
        "description": description,
        "correlation_id": page.key,
        "correlation_display": "Holm",
        "urgency": urgency,
        "impact": impact,
    })
}

fn no_json(answer: &Answer) -> Outcome {
    // An instance that hibernates answers 200 with a page for people.
    Outcome::retry(format!(
        "servicenow answers {} without a result: the instance may be asleep, or the address another one",
        answer.status
    ))
}
