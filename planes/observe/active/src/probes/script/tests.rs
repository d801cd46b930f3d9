//! Scripts against servers of these tests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ::http::header::{AUTHORIZATION, COOKIE, LOCATION, SET_COOKIE};
use ::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::super::{Gate, Resolver};
use super::*;
use crate::config::{Config, ProbeKind};
use crate::runner::NodeLimits;
use crate::{Guard, Step};

const LIMIT: Duration = Duration::from_secs(60);

/// What came: path with query, the authorization, the cookies, and the body.
type Heard = Arc<Mutex<Vec<(String, Option<String>, Option<String>, String)>>>;

/// A shop: whoever logs in gets a token and a cookie, and needs both.
async fn shop(heard: &Heard) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let heard = Arc::clone(heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            let service = service_fn(move |request: Request<Incoming>| {
                let heard = Arc::clone(&heard);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.expect("a body").to_bytes();
                    let of = |name| {
                        parts
                            .headers
                            .get(name)
                            .map(|value| value.to_str().expect("text").to_owned())
                    };
                    let path = parts.uri.path_and_query().expect("a path").to_string();
                    let body = String::from_utf8_lossy(&body).into_owned();
                    heard.lock().expect("whole").push((path, of(AUTHORIZATION), of(COOKIE), body));
                    Ok::<_, Infallible>(answer(&parts))
                }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn answer(asked: &::http::request::Parts) -> Response<Full<Bytes>> {
    let told = |status: u16, body: &str| {
        let mut answer = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
        answer
    };
    match asked.uri.path() {
        "/login" => {
            // The cookie comes with the answer that leads on.
            let mut answer = told(302, "");
            answer.headers_mut().insert(SET_COOKIE, "sid=c00kie; Path=/".parse().expect("valid"));
            answer.headers_mut().insert(LOCATION, "/welcome".parse().expect("valid"));
            answer
        }
        "/welcome" => {
            let mut answer = told(200, r#"{"token":"s3cret/t0ken","cart":{"id":42}}"#);
            answer.headers_mut().insert("x-form", "/form?step=1".parse().expect("valid"));
            answer
        }
        "/form" => told(200, r#"<form><input name="csrf" value="a&b"></form>"#),
        "/away" => {
            let mut answer = told(307, "");
            let port = asked.uri.authority().and_then(::http::uri::Authority::port_u16);
            let host = asked.headers.get("host").and_then(|host| host.to_str().ok());
            let port = port.or_else(|| host?.rsplit_once(':')?.1.parse().ok()).expect("a port");
            let to = format!("http://localhost:{port}/there");
            answer.headers_mut().insert(LOCATION, to.parse().expect("valid"));
            answer
        }
        "/echo-token" => told(200, r#"{"state":"s3cret/t0ken"}"#),
        _ => told(200, r#"{"state":"up"}"#),
    }
}

fn script(address: SocketAddr, steps: Vec<Step>) -> Target {
    Target {
        steps,
        follow_redirects: 2,
        ..Target::plain(ProbeKind::Script, &format!("http://{address}/"))
    }
}

fn posting(name: &str, url: &str, kind: &str, body: &str) -> Step {
    Step {
        method: "POST".into(),
        content_type: kind.into(),
        body: body.into(),
        ..Step::plain(name, url)
    }
}

fn login() -> Step {
    Step {
        take: [
            ("token".into(), "json $.token".into()),
            ("cart".into(), "json $.cart.id".into()),
            ("form".into(), "header x-form".into()),
        ]
        .into(),
        ..posting("log in", "/login", "application/json", r#"{"user":"probe"}"#)
    }
}

async fn run(target: &Target, limit: Duration, gate: Option<&Gate>) -> Outcome {
    let script = Script::of(target, None).expect("valid");
    let resolver = Resolver::default();
    probe(&script, Family::V4, &Roots::load(""), limit, &Dial::new(&resolver, gate)).await
}

fn said<'a>(outcome: &'a Outcome, column: &str) -> Option<&'a str> {
    outcome.attributes.iter().find(|(name, _)| *name == column).map(|(_, text)| text.as_str())
}

fn metric(outcome: &Outcome, column: &str) -> Option<f64> {
    outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
}

#[tokio::test]
async fn a_transaction_goes_on_with_what_its_answers_give() {
    let heard = Heard::default();
    let address = shop(&heard).await;
    let with_token: BTreeMap<String, String> =
        [("authorization".into(), "Bearer {{token}}".into())].into();
    let steps = vec![
        login(),
        Step {
            headers: with_token.clone(),
            take: [("csrf".into(), "pattern name=\"csrf\" value=\"*\"".into())].into(),
            ..Step::plain("form", "{{form}}")
        },
        Step {
            headers: with_token,
            expect_json: vec!["$.state = \"up\"".into()],
            ..posting(
                "order",
                "/carts/{{cart}}/{{token}}",
                "application/x-www-form-urlencoded",
                "csrf={{csrf}}&n=1",
            )
        },
        posting("note", "/notes", "application/json", r#"{"text":"{{csrf}}"}"#),
    ];
    let outcome = run(&script(address, steps), LIMIT, None).await;
    assert_eq!(outcome.error, None);
    let bearer = Some("Bearer s3cret/t0ken".to_owned());
    let cookie = Some("sid=c00kie".to_owned());
    let text = |text: &str| text.to_owned();
    assert_eq!(
        *heard.lock().expect("whole"),
        [
            (text("/login"), None, None, text(r#"{"user":"probe"}"#)),
            (text("/welcome"), None, cookie.clone(), text("")),
            (text("/form?step=1"), bearer.clone(), cookie.clone(), text("")),
            (text("/carts/42/s3cret%2Ft0ken"), bearer, cookie.clone(), text("csrf=a%26b&n=1")),
            (text("/notes"), None, cookie, text(r#"{"text":"a&b"}"#)),
        ]
    );
    assert_eq!(
        (metric(&outcome, "script.steps"), metric(&outcome, "script.done")),
        (Some(4.0), Some(4.0))
    );
    for number in 1..=4 {
        for end in ["duration_ms", "ttfb_ms", "status_code", "body_bytes"] {
            let column = format!("script.step.{number}.{end}");
            assert!(metric(&outcome, &column).is_some(), "{column}");
        }
    }
    assert_eq!(said(&outcome, "script.step.3.name"), Some("order"));
    assert!(outcome.duration_ms.is_some() && outcome.address.is_some());
    let row = format!("{outcome:?}");
    assert!(!row.contains("t0ken") && !row.contains("c00kie"), "nothing of a secret is told");
}

#[tokio::test]
async fn the_step_that_fails_is_named_and_nothing_after_it_is_asked() {
    let heard = Heard::default();
    let address = shop(&heard).await;
    let failing = |step: Step| script(address, vec![login(), step, Step::plain("after", "/")]);
    for (step, says) in [
        (
            Step { expect_status: "404".into(), ..Step::plain("two", "/x") },
            "step two: the answer is 200",
        ),
        (
            Step {
                take: [("more".into(), "json $.nothing".into())].into(),
                ..Step::plain("two", "/x")
            },
            "step two: take.more: the answer's JSON has no $.nothing",
        ),
        (
            Step { expect_json: vec!["$.state = 1".into()], ..Step::plain("two", "/echo-token") },
            "step two: $.state in the answer's JSON is \"{{token}}\", not 1",
        ),
        // What was taken goes to nobody else: neither in a body nor in a header.
        (
            posting("two", "/away", "text/plain", "{{token}}"),
            "step two: it leads on to another host",
        ),
    ] {
        heard.lock().expect("whole").clear();
        let outcome = run(&failing(step), LIMIT, None).await;
        let error = outcome.error.as_deref().expect(says);
        assert!(error.contains(says), "{error}");
        assert_eq!(said(&outcome, "script.failed_step"), Some("two"));
        assert_eq!(metric(&outcome, "script.done"), Some(1.0));
        assert_eq!(outcome.duration_ms, None);
        assert!(heard.lock().expect("whole").iter().all(|(path, ..)| path != "/"), "nothing after");
    }
    heard.lock().expect("whole").clear();
    let away = Step {
        headers: [("authorization".into(), "Bearer {{token}}".into())].into(),
        ..Step::plain("two", "/away")
    };
    assert_eq!(run(&failing(away), LIMIT, None).await.error, None);
    let heard = heard.lock().expect("whole");
    let there = heard.iter().find(|(path, ..)| path == "/there").expect("led there");
    assert_eq!((&there.1, &there.2), (&None, &None), "another host hears neither token nor cookie");
}

#[tokio::test]
async fn each_dial_passes_the_guard_and_the_whole_ends_in_time() {
    let heard = Heard::default();
    let address = shop(&heard).await;
    let limits = Arc::new(NodeLimits::new(&Config::default()));
    let allowed = holm_model::Prefix::parse("127.0.0.1/32").into_iter().collect();
    let gate = Gate::new(Guard::new(allowed), limits);
    let steps = vec![Step::plain("one", "/x"), Step::plain("two", "http://127.0.0.2:9/")];
    let outcome = run(&script(address, steps), LIMIT, Some(&gate)).await;
    assert!(outcome.refused, "{outcome:?}");
    assert!(outcome.error.expect("refused").contains("step two: 127.0.0.2 is not dialled"));

    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/", silent.local_addr().expect("bound"));
    let steps = vec![Step::plain("one", "/x"), Step::plain("two", &url), Step::plain("three", "/")];
    let outcome = run(&script(address, steps), Duration::from_millis(400), None).await;
    assert!(outcome.error.expect("silent").contains("step two: "), "it is said which");
}

#[test]
fn scripts_that_cannot_be_are_refused_with_their_place() {
    let address = "192.0.2.1:80".parse().expect("valid");
    let many = (0..17).map(|n| Step::plain(&n.to_string(), "/")).collect();
    let take = |name: &str, from: &str| Step {
        take: [(name.to_owned(), from.to_owned())].into(),
        ..Step::plain("a", "/")
    };
    let headers = |name: &str, value: &str| Step {
        headers: [(name.to_owned(), value.to_owned())].into(),
        ..Step::plain("a", "/")
    };
    for (steps, says) in [
        (Vec::new(), "steps: a script has 1 to 16"),
        (many, "steps: a script has 1 to 16"),
        (vec![Step::plain("", "/")], "steps[0]: name"),
        (vec![Step::plain("a", "/"), Step::plain("a", "/")], "steps[1]: name: there are two"),
        (vec![Step::plain("a", "ftp://x/")], "steps[0]: url: "),
        (vec![Step::plain("a", "/{{x}}")], "steps[0]: url: {{x}} stands for nothing"),
        (vec![take("x", "json $.a"), Step::plain("b", "/{{y}}")], "steps[1]: url: {{y}} stands"),
        (vec![take("X", "json $.a")], "steps[0]: take.X: a value's name"),
        (vec![take("x", "regex a")], "steps[0]: take.x: it is json"),
        (
            vec![headers("authorization", "Bearer x")],
            "steps[0]: headers: authorization is a secret",
        ),
        (vec![headers("x", "{{x}}")], "steps[0]: headers.x: {{x}} stands"),
        (vec![Step { body: "x".into(), ..Step::plain("a", "/") }], "steps[0]: body: a GET"),
        (
            vec![Step { expect_status: "9xx".into(), ..Step::plain("a", "/") }],
            "steps[0]: expect_status",
        ),
    ] {
        let why = Script::of(&script(address, steps), None).expect_err(says);
        assert!(why.starts_with(says), "{why}");
    }
    let no_url =
        Target { target: "shop.example".into(), ..script(address, vec![Step::plain("a", "/")]) };
    assert!(Script::of(&no_url, None).is_err());
}
