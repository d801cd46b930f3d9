//! ServiceNow and Jira: what was made before is found again, whoever made it.

use std::sync::Mutex;

use super::{Event, ID, Outcome, Provider, SECRET, Server, connector, http, tell};
use serde_json::{Value, json};

fn jira(url: &str, api: u8) -> holm_page::Connector {
    connector(Provider::Jira, |d| {
        (d.url, d.project, d.api) = (Some(url.to_owned()), Some("OPS".into()), Some(api));
        d.user = (api == 3).then(|| "ada@example.org".into());
    })
}

/// A Jira with at most one issue, whose status can be moved.
fn a_jira() -> impl Fn(&http::Request) -> http::Reply + Send + Sync + 'static {
    let issue: Mutex<Option<&'static str>> = Mutex::new(None);
    move |request| {
        let mut issue = issue.lock().expect("not poisoned");
        let path = request.path.split_once("/rest/api/").map_or("", |(_, rest)| &rest[2..]);
        let status = |category: &str| json!({ "statusCategory": { "key": category } });
        match (&*request.method, path) {
            ("POST", "search/jql" | "search") => {
                let found: Vec<Value> =
                    issue.iter().map(|_| json!({ "id": "1", "key": "OPS-1" })).collect();
                http::answer(200, &json!({ "issues": found, "isLast": true }))
            }
            ("POST", "issue") => {
                *issue = Some("new");
                http::answer(201, &json!({ "id": "1", "key": "OPS-1", "self": "x" }))
            }
            ("GET", "issue/OPS-1?fields=status") => match *issue {
                Some(category) => {
                    http::answer(200, &json!({ "fields": { "status": status(category) } }))
                }
                None => http::answer(404, &json!({ "errorMessages": ["gone"] })),
            },
            ("GET", "issue/OPS-1/transitions") => http::answer(
                200,
                &json!({ "transitions": [
                    { "id": "11", "name": "To Do", "to": { "name": "To Do", "statusCategory": { "key": "new" } } },
                    { "id": "31", "name": "Finish", "to": { "name": "Fertig", "statusCategory": { "key": "done" } } },
                ] }),
            ),
            ("POST", "issue/OPS-1/transitions") => {
                *issue = match request.json()["transition"]["id"].as_str() {
                    Some("31") => Some("done"),
                    _ => Some("new"),
                };
                http::plain(204, "")
            }
            ("POST", "issue/OPS-1/comment") => http::answer(201, &json!({ "id": "7" })),
            (method, path) => http::plain(400, &format!("{method} {path} is not known")),
        }
    }
}

fn asked(server: &Server) -> Vec<String> {
    let asked = server.asked().into_iter();
    asked
        .map(|r| format!("{} {}", r.method, r.path.split_once("/rest/api/").map_or("", |(_, p)| p)))
        .collect()
}

fn ticket(url: &str) -> Outcome {
    Outcome::Accepted {
        provider_id: Some("OPS-1".into()),
        url: Some(format!("{url}/browse/OPS-1")),
        note: None,
    }
}

#[tokio::test]
async fn jira_makes_an_issue_once_comments_and_moves_it() {
    let server = Server::start(a_jira()).await;
    let ops = jira(&server.url, 3);
    assert_eq!(tell(&ops, Event::Trigger, None).await, ticket(&server.url));
    assert_eq!(asked(&server), ["POST 3/search/jql", "POST 3/issue"]);
    // Another site that was apart finds it by its label, and makes none.
    assert_eq!(tell(&ops, Event::Trigger, None).await, ticket(&server.url));
    assert_eq!(tell(&ops, Event::Acknowledge, Some("OPS-1")).await, ticket(&server.url));
    assert_eq!(tell(&ops, Event::Resolve, Some("OPS-1")).await, ticket(&server.url));
    // Told again: it is over already, and is not moved again.
    assert_eq!(tell(&ops, Event::Resolve, Some("OPS-1")).await, ticket(&server.url));
    assert_eq!(tell(&ops, Event::Reopen, Some("OPS-1")).await, ticket(&server.url));
    let made = asked(&server);
    let count = |what: &str| made.iter().filter(|line| *line == what).count();
    assert_eq!(count("POST 3/issue"), 1, "{made:?}");
    assert_eq!(count("POST 3/issue/OPS-1/comment"), 5, "{made:?}");
    assert_eq!(count("POST 3/issue/OPS-1/transitions"), 2, "to its end, and back: {made:?}");
    let all = server.asked();
    let jql = all[0].json()["jql"].clone();
    assert_eq!(jql, format!("project = \"OPS\" AND labels = \"{ID}\" ORDER BY created ASC"));
    let basic = all[0].header("authorization").expect("logs in");
    assert!(basic.starts_with("Basic ") && !basic.contains(SECRET));
    let fields = all[1].json()["fields"].clone();
    assert_eq!(
        (&fields["project"]["key"], &fields["issuetype"]["name"]),
        (&json!("OPS"), &json!("Task"))
    );
    assert_eq!(
        (&fields["labels"], &fields["description"]["type"]),
        (&json!(["holm", ID]), &json!("doc"))
    );
    let texts = fields["description"].to_string();
    assert_eq!(texts.matches("\"href\"").count(), 1, "one link, ours: {texts}");
}

#[tokio::test]
async fn jira_of_a_data_centre_speaks_version_two() {
    let server = Server::start(a_jira()).await;
    let ops = jira(&server.url, 2);
    assert_eq!(tell(&ops, Event::Trigger, None).await, ticket(&server.url));
    let all = server.asked();
    assert_eq!(asked(&server), ["POST 2/search", "POST 2/issue"]);
    assert_eq!(all[0].header("authorization"), Some(&*format!("Bearer {SECRET}")));
    let text = all[1].json()["fields"]["description"].as_str().expect("wiki markup").to_owned();
    assert!(text.contains(r"\[click\](https:") && text.contains(r"\<\!channel\>"), "{text}");
    assert!(
        text.ends_with(&format!("[open in Holm|https://berlin.example:8443/incidents?inc={ID}]"))
    );
}

#[tokio::test]
async fn jira_without_a_way_to_the_end_says_so() {
    let server = Server::start(a_jira()).await;
    let ops = connector(Provider::Jira, |d| {
        (d.url, d.project) = (Some(server.url.clone()), Some("OPS".into()));
        d.done = Some("Shipped".into());
    });
    tell(&ops, Event::Trigger, None).await;
    let Outcome::Refused { reason } = tell(&ops, Event::Resolve, Some("OPS-1")).await else {
        panic!("refused")
    };
    assert!(reason.contains("no transition of OPS-1 to Shipped"), "{reason}");
    // An end of what is not there is an end.
    let empty = Server::start(a_jira()).await;
    let told = tell(&jira(&empty.url, 3), Event::Resolve, None).await;
    assert_eq!(told, super::accepted(None));
}

/// A table with at most one incident.
fn a_table() -> impl Fn(&http::Request) -> http::Reply + Send + Sync + 'static {
    let state: Mutex<Option<String>> = Mutex::new(None);
    move |request| {
        let mut state = state.lock().expect("not poisoned");
        let record =
            |state: &str| json!({ "sys_id": "9d385017", "number": "INC0010001", "state": state });
        match (&*request.method, &*request.path) {
            ("GET", path)
                if path.starts_with("/api/now/table/incident?sysparm_query=correlation_id%3D") =>
            {
                let found: Vec<Value> = state.iter().map(|state| record(state)).collect();
                http::answer(200, &json!({ "result": found }))
            }
            ("POST", "/api/now/table/incident") => {
                *state = Some("1".into());
                http::answer(201, &json!({ "result": record("1") }))
            }
            ("PATCH", "/api/now/table/incident/9d385017") => {
                if let Some(to) = request.json()["state"].as_str() {
                    *state = Some(to.to_owned());
                }
                http::answer(200, &json!({ "result": record("2") }))
            }
            (method, path) => http::plain(400, &format!("{method} {path} is not known")),
        }
    }
}

#[tokio::test]
async fn servicenow_is_found_by_its_correlation_id() {
    let server = Server::start(a_table()).await;
    let ops = connector(Provider::ServiceNow, |d| {
        (d.url, d.user) = (Some(server.url.clone()), Some("holm".into()));
    });
    let taken = Outcome::Accepted {
        provider_id: Some("INC0010001".into()),
        url: Some(format!("{}/nav_to.do?uri=incident.do?sys_id=9d385017", server.url)),
        note: None,
    };
    for event in [Event::Trigger, Event::Trigger, Event::Acknowledge, Event::Resolve, Event::Reopen]
    {
        assert_eq!(tell(&ops, event, None).await, taken, "{event:?}");
    }
    let asked = server.asked();
    let posts: Vec<_> = asked.iter().filter(|r| r.method == "POST").collect();
    assert_eq!(posts.len(), 1, "one incident");
    let made = posts[0].json();
    assert_eq!((&made["correlation_id"], &made["urgency"]), (&json!(ID), &json!("1")));
    let patches: Vec<Value> =
        asked.iter().filter(|r| r.method == "PATCH").map(|r| r.json()).collect();
    let states: Vec<&Value> = patches.iter().map(|patch| &patch["state"]).collect();
    assert_eq!(states, [&Value::Null, &json!("2"), &json!("6"), &json!("2")]);
    assert_eq!(patches[2]["close_code"], "Solution provided");
    assert!(patches[2]["close_notes"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(
        asked.iter().all(|r| r.header("authorization").is_some_and(|a| a.starts_with("Basic ")))
    );
    // An instance that sleeps answers with a page for people.
    let asleep = Server::start(|_| http::plain(200, "<html>hibernating</html>")).await;
    let ops = connector(Provider::ServiceNow, |d| {
        (d.url, d.user) = (Some(asleep.url.clone()), Some("holm".into()));
    });
    assert!(matches!(tell(&ops, Event::Trigger, None).await, Outcome::Retry { .. }));
}
