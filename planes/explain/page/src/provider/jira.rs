//! Jira: issues, found again by a label that is the incident's id. Version 3 of the REST API is Cloud's, whose
//! search is `search/jql` (the one of before is gone since 2025) and whose texts are documents (ADF); version 2
//! is Data Center's (developer.atlassian.com, "Jira Cloud platform REST API", "Jira Data Center REST API").

use serde_json::{Value, json};

use super::{Message, Outcome, basic, classify, in_path};
use crate::send::Http;
use crate::{Connector, Event, Page, escape};

const DEFAULT_TYPE: &str = "Task";
/// The category of a status that ends an issue, in any language and workflow.
const DONE: &str = "done";

fn authorized(connector: &Connector, message: Message) -> Message {
    let secret = connector.secret_text();
    let authorization = match &connector.user {
        Some(user) => basic(user, secret),
        None => format!("Bearer {secret}"),
    };
    message.header("authorization", authorization).header("accept", "application/json".into())
}

struct Jira<'a> {
    http: &'a Http,
    connector: &'a Connector,
    version: u8,
}

impl Jira<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}/rest/api/{}/{path}", self.connector.base(), self.version)
    }

    async fn ask(&self, message: Message) -> Result<Value, Outcome> {
        let message = authorized(self.connector, message);
        let answer = self.http.call(self.connector, message).await?;
        classify(self.connector, &answer)?;
        Ok(answer.json())
    }

    /// The key of the first issue of an incident.
    async fn find(&self, page: &Page) -> Result<Option<String>, Outcome> {
        let project = self.connector.project.as_deref().unwrap_or_default();
        let quoted = |text: &str| text.replace('\\', r"\\").replace('"', "\\\"");
        let jql = format!(
            "project = \"{}\" AND labels = \"{}\" ORDER BY created ASC",
            quoted(project),
            quoted(&page.key)
        );
        let path = if self.version == 2 { "search" } else { "search/jql" };
        let body = json!({ "jql": jql, "maxResults": 1, "fields": ["status"] });
        let found = self.ask(Message::post(self.url(path), &body)).await?;
        let Some(issues) = found["issues"].as_array() else {
            return Err(Outcome::retry("jira answers a search without issues"));
        };
        Ok(issues.first().and_then(|issue| Some(key_of(issue)?.to_owned())))
    }

    async fn create(&self, page: &Page) -> Result<String, Outcome> {
        let kind = self.connector.issue_type.as_deref().unwrap_or(DEFAULT_TYPE);
        let fields = json!({
            "project": { "key": self.connector.project },
            "issuetype": { "name": kind },
            "summary": crate::cut(&escape::tame(&page.title), 250),
            "description": self.text(page),
            "labels": ["holm", page.key],
        });
        let made = self.ask(Message::post(self.url("issue"), &json!({ "fields": fields }))).await?;
        key_of(&made)
            .map(str::to_owned)
            .ok_or_else(|| Outcome::retry("jira answers without the key of the issue that it made"))
    }

    async fn comment(&self, issue: &str, page: &Page) -> Result<(), Outcome> {
        let url = self.url(&format!("issue/{}/comment", in_path(issue)));
        self.ask(Message::post(url, &json!({ "body": self.text(page) }))).await.map(drop)
    }

    /// Whether an issue is over; `None` if it is not there any more.
    async fn is_done(&self, issue: &str) -> Result<Option<bool>, Outcome> {
        let url = self.url(&format!("issue/{}?fields=status", in_path(issue)));
        let message = authorized(self.connector, Message::get(url));
        let answer = self.http.call(self.connector, message).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        classify(self.connector, &answer)?;
        let category = answer.text("/fields/status/statusCategory/key");
        Ok(Some(category.as_deref() == Some(DONE)))
    }

    /// Moves an issue to its end, or back from it; whether the workflow has a way.
    async fn move_to(&self, issue: &str, done: bool) -> Result<bool, Outcome> {
        let url = self.url(&format!("issue/{}/transitions", in_path(issue)));
        let known = self.ask(Message::get(url.clone())).await?;
        let ways = known["transitions"].as_array().cloned().unwrap_or_default();
        let wanted = self.connector.done.as_deref().filter(|_| done);
        let leads = |way: &&Value| {
            let category = way["to"]["statusCategory"]["key"].as_str();
            match wanted {
                Some(name) => [&way["name"], &way["to"]["name"]]
                    .into_iter()
                    .any(|of| of.as_str().is_some_and(|of| of.eq_ignore_ascii_case(name))),
                None => (category == Some(DONE)) == done && category.is_some(),
            }
        };
        let Some(id) = ways.iter().find(leads).and_then(|way| way["id"].as_str()) else {
            return Ok(false);
        };
        self.ask(Message::post(url, &json!({ "transition": { "id": id } }))).await?;
        Ok(true)
    }

    /// A text as this version of the API takes it.
    fn text(&self, page: &Page) -> Value {
        if self.version == 2 {
            let mut text = page.body(escape::jira_wiki);
            if let Some(link) = &page.link {
                text.push_str(&format!("\n[open in Holm|{link}]"));
            }
            return text.into();
        }
        let mut paragraphs: Vec<Value> = page
            .body(escape::tame)
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| json!({ "type": "paragraph", "content": [{ "type": "text", "text": line }] }))
            .collect();
        if let Some(link) = &page.link {
            let marks = json!([{ "type": "link", "attrs": { "href": link } }]);
            let text = json!({ "type": "text", "text": "open in Holm", "marks": marks });
            paragraphs.push(json!({ "type": "paragraph", "content": [text] }));
        }
        json!({ "type": "doc", "version": 1, "content": paragraphs })
    }
}

fn key_of(issue: &Value) -> Option<&str> {
    let plain = |key: &&str| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=100).contains(&key.len()) && key.bytes().all(letter)
    };
    issue["key"].as_str().filter(plain)
}

pub(crate) async fn deliver(
    http: &Http,
    connector: &Connector,
    page: &Page,
    known: Option<&str>,
) -> Result<Outcome, Outcome> {
    let jira = Jira { http, connector, version: connector.api.unwrap_or(3) };
    let found = match known {
        Some(key) => Some(key.to_owned()),
        // Who was apart may have made it.
        None => jira.find(page).await?,
    };
    let standing = match &found {
        Some(key) => jira.is_done(key).await?,
        None => None,
    };
    let key = match (found, standing) {
        (Some(key), Some(done)) => {
            let over = page.event == Event::Resolve;
            let again = matches!(page.event, Event::Trigger | Event::Reopen | Event::Repeat);
            // First what may be done twice without harm; a comment is not.
            if over && !done && !jira.move_to(&key, true).await? {
                let way = connector.done.as_deref().unwrap_or("a status that is done");
                return Err(Outcome::refused(format!(
                    "jira has no transition of {key} to {way}; name one in `done`, and replay this"
                )));
            }
            if again && done {
                // A workflow without a way back keeps its issue ended; the comment says what is.
                jira.move_to(&key, false).await?;
            }
            jira.comment(&key, page).await?;
            key
        }
        _ if page.event.pages() => jira.create(page).await?,
        // It is not there: nothing to acknowledge or to end.
        _ => return Ok(Outcome::accepted()),
    };
    let url = format!("{}/browse/{}", connector.base(), in_path(&key));
    Ok(Outcome::Accepted { provider_id: Some(key), url: Some(url), note: None })
}
