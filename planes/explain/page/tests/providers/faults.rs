//! Providers that are down, slow, or not what they should be.

use super::http::{Reply, with};
use super::{Event, Http, Outcome, Provider, SECRET, Server, connector, http, page, send, tell};
use holm_page::{Connector, MayDial};
use serde_json::json;

fn pagerduty(url: &str) -> Connector {
    connector(Provider::PagerDuty, |d| d.url = Some(url.to_owned()))
}

async fn outcome(reply: Reply) -> (Outcome, usize) {
    let server = Server::start(move |_| reply.clone()).await;
    let told = tell(&pagerduty(&server.url), Event::Trigger, None).await;
    (told, server.asked().len())
}

#[tokio::test]
async fn too_much_is_tried_again_when_the_provider_asks() {
    let (told, asked) = outcome(with(429, &[("retry-after", "120")], "slow down")).await;
    let Outcome::Retry { reason, after_ms } = told else { panic!("{told:?}") };
    assert_eq!((after_ms, asked), (Some(120_000), 1), "asked once, and left alone");
    assert!(reason.contains("429") && reason.contains("slow down"), "{reason}");
    for odd in ["-5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "inf", "NaN"] {
        let (told, _) = outcome(with(503, &[("retry-after", odd)], "")).await;
        assert!(matches!(told, Outcome::Retry { after_ms: None, .. }), "{odd}: {told:?}");
    }
}

#[tokio::test]
async fn what_breaks_off_is_tried_again() {
    let broken = Reply::Bytes(b"HTTP/1.1 banana\r\n\r\n".to_vec());
    for reply in [http::plain(500, "oops"), Reply::Close, broken] {
        let (told, _) = outcome(reply).await;
        assert!(matches!(told, Outcome::Retry { .. }), "{told:?}");
    }
    // Nobody listens there.
    let told = tell(&pagerduty("http://127.0.0.1:9"), Event::Trigger, None).await;
    let Outcome::Retry { reason, .. } = told else { panic!("{told:?}") };
    assert!(reason.starts_with("pagerduty is not reached: "), "{reason}");
}

#[tokio::test]
async fn a_body_without_an_end_is_read_so_far_and_no_further() {
    let (told, _) = outcome(Reply::Endless).await;
    assert!(matches!(told, Outcome::Accepted { .. }), "it said 200: {told:?}");
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_left() {
    let server = Server::start(|_| Reply::Silence).await;
    let http = Http::with_limit(std::time::Duration::from_millis(300), super::anywhere());
    let ops = pagerduty(&server.url);
    let told = send(&http, &ops, &page(Event::Trigger), None, super::NOW).await;
    let Outcome::Retry { reason, .. } = told else { panic!("{told:?}") };
    assert!(reason.contains("no answer within 300ms"), "{reason}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_secrets_not_repeated() {
    let other = Server::start(|_| http::plain(202, "")).await;
    let location = format!("{}/v2/enqueue", other.url);
    let (told, asked) = outcome(with(307, &[("location", &location)], "")).await;
    let Outcome::Refused { reason } = told else { panic!("{told:?}") };
    assert!(reason.contains("it redirects") && asked == 1 && other.asked().is_empty(), "{reason}");
    let echo = format!("bad key {SECRET} <script>");
    let (told, _) = outcome(http::plain(403, &echo)).await;
    let Outcome::Refused { reason } = told else { panic!("{told:?}") };
    assert!(
        !reason.contains(SECRET) && reason.contains("give the connector another one"),
        "{reason}"
    );
    // The address is the secret.
    let url = format!("http://127.0.0.1:9/services/{SECRET}");
    let slack = connector(Provider::Slack, |d| d.secret = Some(url));
    let told = tell(&slack, Event::Trigger, None).await;
    assert!(!format!("{told:?}").contains(SECRET), "{told:?}");
}

#[tokio::test]
async fn https_is_checked_against_the_roots_that_are_given() {
    let (url, ca) = super::mail::https(json!({ "dedup_key": "x" })).await;
    let strange = pagerduty(&url);
    let told = tell(&strange, Event::Trigger, None).await;
    assert!(matches!(told, Outcome::Retry { .. }), "nobody knows its root: {told:?}");
    let known = connector(Provider::PagerDuty, |d| (d.url, d.ca) = (Some(url), Some(ca)));
    let http = Http::new(super::anywhere());
    let told = send(&http, &known, &page(Event::Trigger), None, super::NOW).await;
    assert_eq!(told, super::accepted(Some("x")));
}

#[tokio::test]
async fn what_may_not_be_dialled_is_not_asked() {
    let server = Server::start(|_| http::plain(202, "")).await;
    let nowhere = || MayDial::new(|address| Err(format!("{address} is not dialled")));
    let port = server.url.rsplit_once(':').expect("a port").1.to_owned();
    // By its address, and by a name that means it.
    for url in [server.url.clone(), format!("https://localhost:{port}")] {
        let webhook = connector(Provider::Webhook, |d| d.url = Some(format!("{url}/in")));
        let http = Http::new(nowhere());
        let told = send(&http, &webhook, &page(Event::Trigger), None, super::NOW).await;
        let Outcome::Retry { reason, .. } = told else { panic!("{told:?}") };
        assert!(reason.contains("is not dialled"), "{url}: {reason}");
    }
    let mail = connector(Provider::Email, |d| {
        d.url = Some(format!("smtp://localhost:{port}"));
        (d.from, d.to) = (Some("holm@example.org".into()), vec!["ada@example.org".into()]);
        d.user = Some("holm".into());
    });
    let told = send(&Http::new(nowhere()), &mail, &page(Event::Trigger), None, super::NOW).await;
    let Outcome::Retry { reason, .. } = told else { panic!("{told:?}") };
    assert!(reason.contains("is not dialled"), "{reason}");
    assert!(server.asked().is_empty());
}
