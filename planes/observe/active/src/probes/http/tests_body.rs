//! Bodies of requests, at servers of these tests that write down what came.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::super::Resolver;
use super::*;
use crate::config::{ProbeKind, Target};

const LIMIT: Duration = Duration::from_secs(20);

type Heard = Arc<Mutex<Vec<(String, String, Option<String>, Bytes)>>>;

/// A server that keeps method, path, type and body of what it is asked, and leads on as the path says: `/307/there`.
async fn server(heard: &Heard, elsewhere: &'static str) -> SocketAddr {
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
                    let kind = parts
                        .headers
                        .get(CONTENT_TYPE)
                        .map(|kind| kind.to_str().expect("text").to_owned());
                    let path = parts.uri.path().to_owned();
                    let said = (parts.method.to_string(), path.clone(), kind, body.clone());
                    heard.lock().expect("whole").push(said);
                    let mut answer = Response::new(Full::new(body));
                    if let Some(code) = path.get(1..4).and_then(|code| code.parse().ok()) {
                        *answer.status_mut() = code;
                        let to = format!("{elsewhere}{}", &path[4..]);
                        answer.headers_mut().insert(LOCATION, to.parse().expect("valid"));
                    }
                    Ok::<_, Infallible>(answer)
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

fn posting(url: &str) -> Target {
    Target {
        method: "POST".into(),
        content_type: "application/json".into(),
        follow_redirects: 2,
        expect_status: "2xx".into(),
        ..Target::plain(ProbeKind::Http, url)
    }
}

async fn run(target: &Target) -> Outcome {
    let ask = Ask::of(target, None).expect("valid");
    probe(&ask, Family::V4, None, LIMIT, &Dial::open(&Resolver::default())).await
}

#[tokio::test]
async fn a_body_is_sent_with_its_type_over_both_versions_and_comes_back() {
    let heard = Heard::default();
    let address = server(&heard, "").await;
    for version in [HttpVersion::V1, HttpVersion::V2] {
        let body = format!("{{\"a\":\"{}\"}}", "é".repeat(30_000));
        let asked = Target {
            body: body.clone(),
            http_version: version,
            expect_json: vec![format!("$.a = \"{}\"", "é")],
            ..posting(&format!("http://{address}/x"))
        };
        let outcome = run(&asked).await;
        assert!(outcome.error.expect("longer than is expected").contains("$.a"));
        let (method, path, kind, came) = heard.lock().expect("whole").pop().expect("asked");
        assert_eq!((&*method, &*path, kind.as_deref()), ("POST", "/x", Some("application/json")));
        assert_eq!(came, body, "{version:?}");
        let bytes = outcome.metrics.iter().find(|(column, _)| *column == "http.body_bytes");
        assert_eq!(bytes.map(|(_, bytes)| *bytes), Some(body.len() as f64));
    }
}

#[tokio::test]
async fn a_body_goes_on_where_its_method_does_and_from_a_file_to_nobody_else() {
    let heard = Heard::default();
    let address = server(&heard, "").await;
    let asked = Target { body: "{}".into(), ..posting(&format!("http://{address}/307/there")) };
    assert_eq!(run(&asked).await.error, None);
    let asked = Target { body: "{}".into(), ..posting(&format!("http://{address}/302/there")) };
    assert_eq!(run(&asked).await.error, None);
    let said: Vec<_> = heard.lock().expect("whole").drain(..).collect();
    let said: Vec<_> = said.iter().map(|(m, p, k, b)| (&**m, &**p, k.is_some(), &**b)).collect();
    let wanted: [(&str, &str, bool, &[u8]); 4] = [
        ("POST", "/307/there", true, b"{}"),
        ("POST", "/there", true, b"{}"),
        ("POST", "/302/there", true, b"{}"),
        ("GET", "/there", false, b""),
    ];
    assert_eq!(said, wanted);

    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("body");
    std::fs::write(&file, "secret").expect("written");
    let from_file = |url: String| Target { body_file: file.display().to_string(), ..posting(&url) };
    assert_eq!(run(&from_file(format!("http://{address}/307/there"))).await.error, None);
    let bodies: Vec<_> = heard.lock().expect("whole").drain(..).map(|said| said.3).collect();
    assert_eq!(bodies, ["secret", "secret"], "the same host is told twice");
    let other = server(&heard, "http://localhost:1").await;
    let error = run(&from_file(format!("http://{other}/308/there"))).await.error.expect("refused");
    assert!(error.contains("which stands in a file"), "{error}");
    assert_eq!(run(&from_file(format!("http://{other}/x"))).await.error, None);
    std::fs::write(&file, vec![b'x'; ask::MAX_BODY + 1]).expect("written");
    let error = run(&from_file(format!("http://{other}/x"))).await.error.expect("too long");
    assert!(error.contains("at most 64 KiB"), "{error}");
    std::fs::remove_file(&file).expect("removed");
    let error = run(&from_file(format!("http://{other}/x"))).await.error.expect("not there");
    assert!(error.contains("body: "), "{error}");
}

#[test]
fn bodies_that_cannot_be_are_refused() {
    let url = "https://a.example/";
    for (target, says) in [
        (Target { method: "GET".into(), body: "x".into(), ..posting(url) }, "body: a GET request"),
        (
            Target { method: "HEAD".into(), body_file: "x".into(), ..posting(url) },
            "body_file: a HEAD request",
        ),
        (posting(url), "content_type: there is no body"),
        (Target { body: "x".into(), body_file: "y".into(), ..posting(url) }, "not in both"),
        (Target { body: "x".repeat(ask::MAX_BODY + 1), ..posting(url) }, "at most 64 KiB"),
        (
            Target { body: "x".into(), content_type: "a\nb".into(), ..posting(url) },
            "content_type: ",
        ),
        (
            Target {
                body: "x".into(),
                headers: [("Content-Type".into(), "a/b".into())].into(),
                ..posting(url)
            },
            "headers say it already",
        ),
    ] {
        let why = Ask::of(&target, None).expect_err(says);
        assert!(why.contains(says), "{why}");
    }
}
