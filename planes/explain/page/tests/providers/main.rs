//! Pages to servers that speak the providers' APIs: what is asked, in which order, and what becomes of
//! answers, good and bad. The shapes are those of the providers' documentation, named in `src/provider`.

mod faults;
mod http;
mod mail;
mod tickets;

use holm_model::{Millis, Severity};
use holm_page::{
    Connector, Delivery, Draft, Event, Fact, Http, MayDial, Outcome, Page, Phase, Provider, Stand,
    Subject, page_of, send,
};
use http::Server;
use serde_json::{Value, json};

const SECRET: &str = "s3cret-0123456789abcdef";
const ID: &str = "i-7k2m9q4xw3ab1";
const NOW: Millis = Millis(1_795_000_000_000);
/// A name that wants to be more.
const HOSTILE: &str = "<!channel> [click](https://evil.example) <https://evil.example|x> @here";

fn page(event: Event) -> Page {
    let subject = Subject {
        id: ID.into(),
        also: Vec::new(),
        stand: if event == Event::Resolve { Stand::Over } else { Stand::Open },
        word: if event == Event::Resolve { "resolved" } else { "open" },
        turned_at: NOW,
        heard_at: None,
        opened_at: NOW,
        severity: Severity::Critical,
        title: format!("shop fails {HOSTILE}").into(),
        owner: None,
        sites: ["berlin".parse().expect("valid")].into(),
        targets: vec!["service:checkout".into()],
        planes: ["active".into()].into(),
        kinds: ["http_failed".into()].into(),
        facts: vec![Fact { name: "seen from", value: HOSTILE.into() }],
    };
    let delivery = Delivery {
        incident: ID.into(),
        connector: "ops".into(),
        seq: if event == Event::Trigger { 1 } else { 2 },
        event,
        phase: Phase::Queued,
        at: NOW,
        round: 0,
        queued_at: NOW,
        turned_at: NOW,
        attempts: 0,
        reason: None,
        provider_id: None,
        url: None,
        ends: true,
        replayed_by: None,
        folded_into: None,
        severity: Severity::Critical,
        title: subject.title.clone(),
        lines: Vec::new(),
        count: 0,
    };
    let link = format!("https://berlin.example:8443/incidents?inc={ID}");
    page_of(&delivery, Some(&subject), Some(link), "berlin/n1")
}

fn connector(provider: Provider, change: impl FnOnce(&mut Draft)) -> Connector {
    let mut draft = Draft { secret: Some(SECRET.into()), ..Draft::default() };
    change(&mut draft);
    Connector::new("ops", provider, draft, None).expect("good")
}

/// The servers of these tests are on this machine.
fn anywhere() -> MayDial {
    MayDial::new(|_| Ok(()))
}

async fn tell(connector: &Connector, event: Event, known: Option<&str>) -> Outcome {
    send(&Http::new(anywhere()), connector, &page(event), known, NOW).await
}

/// By one node, which remembers who took what.
async fn tell_by(http: &Http, connector: &Connector, event: Event) -> Outcome {
    send(http, connector, &page(event), None, NOW).await
}

fn accepted(id: Option<&str>) -> Outcome {
    Outcome::Accepted { provider_id: id.map(str::to_owned), url: None, note: None }
}

#[tokio::test]
async fn webhook_is_signed_over_time_and_body() {
    let server = Server::start(|_| http::answer(200, &json!({ "id": "42" }))).await;
    let url = format!("{}/in?from=holm", server.url);
    let ops = connector(Provider::Webhook, |d| d.url = Some(url));
    assert_eq!(tell(&ops, Event::Trigger, None).await, accepted(Some("42")));
    let asked = server.asked();
    let request = &asked[0];
    assert_eq!((&*request.method, &*request.path), ("POST", "/in?from=holm"));
    let headers = |name: &str| request.header(name).map(str::to_owned);
    let own = holm_signed::check_own(SECRET, &headers, &request.body);
    assert!(bool::from(own.holds), "{request:?}");
    assert_eq!(own.signed_at, Some(NOW));
    assert_eq!(request.header("x-holm-event"), Some("trigger"));
    assert_eq!(request.header("x-holm-delivery"), Some("i-7k2m9q4xw3ab1/ops/1/trigger"));
    let body = request.json();
    assert_eq!((&body["dedup_key"], &body["severity"]), (&json!(ID), &json!("critical")));
    assert!(
        body["title"].as_str().is_some_and(|title| title.contains(HOSTILE)),
        "data, not markup"
    );
    assert_eq!(body["facts"]["about"], "service:checkout");
    assert!(!request.text().contains(SECRET));
}

#[tokio::test]
async fn pagerduty_triggers_acknowledges_and_resolves_one_key() {
    let answer = json!({ "status": "success", "message": "Event processed", "dedup_key": ID });
    let server = Server::start(move |_| http::answer(202, &answer)).await;
    let ops = connector(Provider::PagerDuty, |d| d.url = Some(server.url.clone()));
    for event in [Event::Trigger, Event::Repeat, Event::Acknowledge, Event::Resolve] {
        assert_eq!(tell(&ops, event, None).await, accepted(Some(ID)));
    }
    let asked = server.asked();
    let actions: Vec<Value> = asked.iter().map(|r| r.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "trigger", "acknowledge", "resolve"]);
    for request in &asked {
        assert_eq!((&*request.method, &*request.path), ("POST", "/v2/enqueue"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body = request.json();
        assert_eq!((&body["routing_key"], &body["dedup_key"]), (&json!(SECRET), &json!(ID)));
    }
    let payload = &asked[0].json()["payload"];
    assert_eq!(
        (&payload["severity"], &payload["source"]),
        (&json!("critical"), &json!("berlin/n1"))
    );
    assert!(payload["summary"].as_str().is_some_and(|s| s.chars().count() <= 1_024));
    assert!(asked[3].json().get("payload").is_none(), "an end needs none");
}

#[tokio::test]
async fn opsgenie_goes_by_the_alias() {
    let answer = json!({ "result": "Request will be processed", "took": 0.3, "requestId": "r-1" });
    let server = Server::start(move |_| http::answer(202, &answer)).await;
    let ops = connector(Provider::Opsgenie, |d| d.url = Some(server.url.clone()));
    for event in [Event::Trigger, Event::Acknowledge, Event::Resolve] {
        assert_eq!(tell(&ops, event, None).await, accepted(Some("r-1")));
    }
    let asked = server.asked();
    let paths: Vec<&str> = asked.iter().map(|request| &*request.path).collect();
    let of = |what: &str| format!("/v2/alerts/{ID}/{what}?identifierType=alias");
    assert_eq!(paths, ["/v2/alerts", &*of("acknowledge"), &*of("close")]);
    let key = format!("GenieKey {SECRET}");
    assert!(asked.iter().all(|request| request.header("authorization") == Some(&*key)));
    let alert = asked[0].json();
    assert_eq!((&alert["alias"], &alert["priority"]), (&json!(ID), &json!("P1")));
    assert!(alert["message"].as_str().is_some_and(|text| text.chars().count() <= 130));
    let description = alert["description"].as_str().expect("a text");
    assert!(!description.contains('<') && !description.contains("https://evil"), "{description}");
}

#[tokio::test]
async fn slack_says_it_once_and_the_rest_in_its_thread() {
    let server = Server::start(|_| {
        http::answer(200, &json!({ "ok": true, "channel": "C1", "ts": "1503435956.000247" }))
    })
    .await;
    let ops = connector(Provider::Slack, |d| {
        (d.url, d.channel) = (Some(server.url.clone()), Some("C1".into()));
    });
    let ts = "1503435956.000247";
    assert_eq!(tell(&ops, Event::Trigger, None).await, accepted(Some(ts)));
    assert_eq!(tell(&ops, Event::Resolve, Some(ts)).await, accepted(Some(ts)));
    let asked = server.asked();
    let bearer = format!("Bearer {SECRET}");
    for request in &asked {
        assert_eq!((&*request.method, &*request.path), ("POST", "/api/chat.postMessage"));
        assert_eq!(request.header("authorization"), Some(&*bearer));
        let body = request.json();
        assert_eq!((&body["channel"], &body["link_names"]), (&json!("C1"), &json!(false)));
        let text = body["text"].as_str().expect("a text");
        let own = format!("<https://berlin.example:8443/incidents?inc={ID}|open in Holm>");
        assert!(text.contains(&own), "{text}");
        let rest = text.replace(&own, "");
        assert!(
            !rest.contains(['<', '>']) && !rest.contains("@here") && !rest.contains("://"),
            "{rest}"
        );
    }
    assert!(asked[0].json().get("thread_ts").is_none());
    assert_eq!(asked[1].json()["thread_ts"], ts);
}

#[tokio::test]
async fn slack_by_an_incoming_webhook() {
    let server = Server::start(|_| http::plain(200, "ok")).await;
    let url = format!("{}/services/T0/B0/xyz", server.url);
    let ops = connector(Provider::Slack, |d| d.secret = Some(url));
    assert_eq!(tell(&ops, Event::Trigger, None).await, accepted(None));
    let asked = server.asked();
    assert_eq!(asked[0].path, "/services/T0/B0/xyz");
    assert!(asked[0].json().get("channel").is_none());
}

#[tokio::test]
async fn slack_errors_are_told_apart() {
    for (error, passes) in
        [("ratelimited", true), ("invalid_auth", false), ("not_in_channel", false)]
    {
        let server =
            Server::start(move |_| http::answer(200, &json!({ "ok": false, "error": error })))
                .await;
        let ops = connector(Provider::Slack, |d| {
            (d.url, d.channel) = (Some(server.url.clone()), Some("C1".into()));
        });
        match tell(&ops, Event::Trigger, None).await {
            Outcome::Retry { reason, .. } => assert!(passes && reason.contains(error)),
            Outcome::Refused { reason } => assert!(!passes && reason.contains(error)),
            accepted @ Outcome::Accepted { .. } => panic!("{error}: {accepted:?}"),
        }
    }
}

#[tokio::test]
async fn teams_gets_a_card_in_a_message() {
    let server = Server::start(|_| http::plain(202, "")).await;
    let url = format!("{}/workflows/1/triggers/manual/paths/invoke?sig=abc", server.url);
    let ops = connector(Provider::Teams, |d| d.secret = Some(url));
    assert_eq!(tell(&ops, Event::Trigger, None).await, accepted(None));
    let asked = server.asked();
    assert_eq!(asked[0].path, "/workflows/1/triggers/manual/paths/invoke?sig=abc");
    let body = asked[0].json();
    let attachment = &body["attachments"][0];
    assert_eq!(body["type"], "message");
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(attachment["content"]["type"], "AdaptiveCard");
    let elements = attachment["content"]["body"].to_string();
    assert!(!elements.contains("](https") && !elements.contains("<!channel>"), "{elements}");
    // A connector of before workflows says in a good answer that it failed.
    let words = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429";
    let server = Server::start(move |_| http::plain(200, words)).await;
    let url = format!("{}/hook", server.url);
    let ops = connector(Provider::Teams, |d| d.secret = Some(url));
    assert!(matches!(tell(&ops, Event::Trigger, None).await, Outcome::Retry { .. }));
}
