//! A request over HTTP/1.1 with its phases: look-up, connect, TLS, first byte, transfer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::tcp::connect;
use super::{Dial, Roots, left, tls};
use crate::Family;
use crate::outcome::{Outcome, elapsed_ms};

const MAX_BODY_BYTES: usize = 10 << 20;
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "target \"{url}\": it is a URL of the form http://host/path or https://host/path"
            )
        };
        let uri: Uri = url.parse().map_err(|_| refuse())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse()),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(
                "target: a URL with a user or password would show them in every result".into()
            );
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refuse)?.to_owned();
        let default = if tls { 443 } else { 80 };
        // `port_u16` is `None` both without a port and with one that is none, such as 99999.
        let after = uri.authority().map_or("", |a| a.as_str().strip_prefix(&host).unwrap_or(""));
        let port = match after.strip_prefix(':').unwrap_or(after) {
            "" => default,
            port => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                format!("target \"{url}\": {port} is not a port, which goes from 1 to 65535")
            })?,
        };
        Ok(Self { uri, host, port, tls })
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }
}

/// Status codes that are a success: inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected(Vec<(u16, u16)>);

impl Expected {
    /// Parses `200`, `2xx`, `200-204`, by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let one = |part: &str| -> Option<(u16, u16)> {
            let range = if let Some(class) = part.strip_suffix("xx") {
                let class: u16 = class.parse().ok()?;
                (class.checked_mul(100)?, class.checked_mul(100)?.checked_add(99)?)
            } else if let Some((from, to)) = part.split_once('-') {
                (from.parse().ok()?, to.parse().ok()?)
            } else {
                (part.parse().ok()?, part.parse().ok()?)
            };
            (range.0 >= 100 && range.1 <= 599 && range.0 <= range.1).then_some(range)
        };
        text.split(',')
            .map(|part| {
                one(part.trim()).ok_or_else(|| {
                    format!("expect_status \"{part}\": it is a code, a class or a range, such as 200, 2xx or 200-204")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn holds(&self, status: StatusCode) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status.as_u16()))
    }
}

/// Asks once. `roots: None` captures what TLS says and does not judge it.
pub(crate) async fn probe(
    place: &Place,
    expected: &Expected,
    family: Family,
    roots: Option<&Roots>,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let begin = Instant::now();
    let until = begin + limit;
    let mut outcome = Outcome::default();
    outcome.attribute("url.full", place.uri.to_string());
    match exchange(place, family, roots, until, dial, &mut outcome).await {
        Err(error) => outcome.failed(error),
        Ok(status) => {
            let ms = elapsed_ms(begin);
            outcome.metric("http.total_ms", ms);
            outcome.duration_ms = Some(ms);
            if expected.holds(status) {
                outcome
            } else {
                outcome.failed(format!("the answer is {status}, which is not expected"))
            }
        }
    }
}

async fn exchange(
    place: &Place,
    family: Family,
    roots: Option<&Roots>,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<StatusCode, String> {
    let ip = dial.resolve(&place.host, family, until, "http.dns_ms", outcome).await?;
    let begin = Instant::now();
    let stream = connect(SocketAddr::new(ip, place.port), until).await?;
    outcome.metric("http.connect_ms", elapsed_ms(begin));
    if !place.tls {
        return request(stream, place, until, outcome).await;
    }
    let (config, verdict) = tls::client(roots)?;
    let bare = place.host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(bare)
        .map_err(|_| format!("{}: not a name that TLS can ask for", place.host))?;
    let begin = Instant::now();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = tokio::time::timeout(left(until), connecting)
        .await
        .map_err(|_| "the TLS handshake did not end in time".to_owned())?
        .map_err(|error| format!("the TLS handshake failed: {error}"))?;
    outcome.metric("http.tls_ms", elapsed_ms(begin));
    tls::describe(stream.get_ref().1, outcome);
    match verdict.taken() {
        None => outcome.attribute("tls.verified", "not asked"),
        Some(Ok(())) => outcome.attribute("tls.verified", "yes"),
        Some(Err(reason)) => {
            outcome.attribute("tls.verified", "no");
            return Err(format!("the certificate is not trusted: {reason}"));
        }
    }
    request(stream, place, until, outcome).await
}

async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: &Place,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<StatusCode, String> {
    let failed = |error: hyper::Error| format!("HTTP failed: {error}");
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(MAX_HEADER_BYTES);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // The connection is driven beside the request, and ends with it.
    let driver = AbortOnDrop(tokio::spawn(async move {
        // What it fails with, the request fails with too.
        let _ = connection.await;
    }));
    let path = place.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = place.uri.authority().map_or(place.host.as_str(), |authority| authority.as_str());
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("holm/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the request cannot be written: {error}"))?;
    let begin = Instant::now();
    let response = tokio::time::timeout(left(until), sender.send_request(request))
        .await
        .map_err(|_| "no answer to the request in time".to_owned())?
        .map_err(failed)?;
    outcome.metric("http.ttfb_ms", elapsed_ms(begin));
    let status = response.status();
    outcome.metric("http.status_code", f64::from(status.as_u16()));
    let begin = Instant::now();
    let bytes = tokio::time::timeout(left(until), count(response.into_body()))
        .await
        .map_err(|_| "the answer's body did not end in time".to_owned())??;
    outcome.metric("http.transfer_ms", elapsed_ms(begin));
    outcome.metric("http.body_bytes", bytes as f64);
    drop(driver);
    Ok(status)
}

/// Reads and counts the body, and keeps none of it.
async fn count(mut body: Incoming) -> Result<usize, String> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > MAX_BODY_BYTES {
            return Err(format!("the answer is longer than {} MiB", MAX_BODY_BYTES >> 20));
        }
    }
    Ok(bytes)
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Resolver;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(3);

    fn any() -> Expected {
        Expected::parse("2xx,3xx").expect("valid")
    }

    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 1_024];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer).await;
            }
        });
        address
    }

    fn metric(outcome: &Outcome, name: &str) -> Option<f64> {
        outcome.metrics.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    async fn get(url: String) -> Outcome {
        ask(&Place::parse(&url).expect("valid"), Family::Any, None).await
    }

    async fn ask(place: &Place, family: Family, roots: Option<&Roots>) -> Outcome {
        probe(place, &any(), family, roots, LIMIT, &Dial::open(&Resolver::default())).await
    }

    #[tokio::test]
    async fn phases_are_measured_and_those_that_did_not_happen_are_absent() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
        let outcome = get(format!("http://{address}/x?y=1")).await;
        assert_eq!(outcome.error, None);
        assert_eq!(metric(&outcome, "http.status_code"), Some(200.0));
        assert_eq!(metric(&outcome, "http.body_bytes"), Some(5.0));
        assert!(metric(&outcome, "http.ttfb_ms").is_some());
        assert_eq!(metric(&outcome, "http.tls_ms"), None);
        assert_eq!(metric(&outcome, "http.dns_ms"), None);
    }

    #[tokio::test]
    async fn unexpected_codes_and_nonsense_fail_with_the_reason() {
        let address =
            server(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
        let outcome = get(format!("http://{address}/")).await;
        assert!(outcome.error.as_deref().expect("failed").contains("503"));
        assert_eq!(metric(&outcome, "http.status_code"), Some(503.0));
        let address = server(b"this is not HTTP\r\n\r\n").await;
        assert!(get(format!("http://{address}/")).await.error.is_some());
    }

    async fn tls_server(names: Vec<String>) -> (SocketAddr, String) {
        let made = rcgen::generate_simple_self_signed(names).expect("made");
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
            .expect("valid");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0; 1_024];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        });
        (address, made.cert.pem())
    }

    #[tokio::test]
    async fn tls_is_described_and_judged_only_if_asked() {
        let (address, pem) = tls_server(vec!["localhost".into()]).await;
        let url = format!("https://localhost:{}/", address.port());
        let place = Place::parse(&url).expect("valid");
        let captured = ask(&place, Family::V4, None).await;
        assert_eq!(captured.error, None);
        let said = |outcome: &Outcome, name: &str| {
            outcome.attributes.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone())
        };
        assert_eq!(said(&captured, "tls.verified").as_deref(), Some("not asked"));
        assert_eq!(said(&captured, "tls.version").as_deref(), Some("TLSv1_3"));
        assert_eq!(said(&captured, "tls.server.san").as_deref(), Some("localhost"));
        assert!(metric(&captured, "tls.days_to_expiry").is_some());

        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("roots.pem");
        std::fs::write(&file, &pem).expect("written");
        let roots = Roots::load(&file.display().to_string());
        let judged = ask(&place, Family::V4, Some(&roots)).await;
        assert_eq!(judged.error, None, "a self-signed root that we trust");

        let (_, other) = tls_server(vec!["localhost".into()]).await;
        std::fs::write(&file, other).expect("written");
        let roots = Roots::load(&file.display().to_string());
        let judged = ask(&place, Family::V4, Some(&roots)).await;
        assert!(judged.error.as_deref().expect("failed").contains("not trusted"));
        assert_eq!(said(&judged, "tls.verified").as_deref(), Some("no"));
        assert!(metric(&judged, "tls.days_to_expiry").is_some(), "captured all the same");
    }

    #[tokio::test]
    async fn a_certificate_of_many_names_makes_no_long_row() {
        let names = (0..300).map(|n| format!("name-{n}.of.a.long.list.example")).collect();
        let (address, pem) = tls_server(names).await;
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("roots.pem");
        std::fs::write(&file, &pem).expect("written");
        let roots = Roots::load(&file.display().to_string());
        let place = Place::parse(&format!("https://localhost:{}/", address.port()));
        let outcome = ask(&place.expect("valid"), Family::V4, Some(&roots)).await;
        let error = outcome.error.as_deref().expect("failed");
        assert!(error.contains("not valid for name") && error.chars().count() <= 500, "{error}");
        assert!(outcome.attributes.iter().all(|(_, text)| text.chars().count() <= 500));
    }

    #[test]
    fn a_port_that_is_none_is_refused_and_none_is_the_schemes() {
        for (url, port) in [
            ("http://a.example", 80),
            ("https://a.example/x:7", 443),
            ("https://[2001:db8::1]/", 443),
            ("http://[2001:db8::1]:8080/", 8_080),
            ("http://a.example:65535?x", 65_535),
        ] {
            assert_eq!(Place::parse(url).map(|place| place.port), Ok(port), "{url}");
        }
        for bad in ["http://a.example:99999/", "https://[::1]:0/", "http://a.example:8o/"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn expectations_are_parsed_strictly() {
        let expected = Expected::parse("200, 3xx,404-405").expect("valid");
        for (code, held) in [(200, true), (201, false), (302, true), (404, true), (406, false)] {
            assert_eq!(expected.holds(StatusCode::from_u16(code).expect("a code")), held, "{code}");
        }
        for bad in ["", "abc", "2x", "9xx", "300-200", "99", "655xx"] {
            assert!(Expected::parse(bad).is_err(), "{bad}");
        }
    }
}
