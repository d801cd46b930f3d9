//! Requests over HTTP/1.1 and HTTP/2 with their phases: look-up, connect, TLS, first byte, transfer.

mod ask;
mod expect;
mod place;
mod request;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_more;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};

pub(crate) use ask::Ask;
use place::Place;
use request::{Request, Spoken, request};

use super::tcp::connect;
use super::tls::{self, Offer};
use super::{Dial, Roots, files};
use crate::Family;
use crate::config::HttpVersion;
use crate::outcome::{Outcome, elapsed_ms};

/// What is said of one request, and not of those before it.
const OF_ONE: [&str; 2] = ["http.", "tls."];

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// As much of the body as is looked at, and whether that is all.
    pub(super) body: (Vec<u8>, bool),
}

/// Asks once, and where the answers lead on to. `roots: None` captures what TLS says and does not judge it.
pub(crate) async fn probe(
    ask: &Ask,
    family: Family,
    roots: Option<&Roots>,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let begin = Instant::now();
    let until = begin + limit;
    let mut outcome = Outcome::default();
    let mut journey =
        Journey { place: ask.place.clone(), method: ask.method.clone(), redirects: 0 };
    let judged = loop {
        match hop(ask, &journey, family, roots, until, dial, &mut outcome).await {
            Err(error) => break Err(error),
            Ok(answer) => match journey.goes_on(ask, &answer) {
                Err(error) => break Err(error),
                Ok(true) => {
                    let old = |column: &str| OF_ONE.iter().any(|of| column.starts_with(of));
                    outcome.metrics.retain(|(column, _)| !old(column));
                    outcome.attributes.retain(|(column, _)| !old(column));
                    outcome.name = None;
                }
                Ok(false) => {
                    let ms = elapsed_ms(begin);
                    outcome.metric("http.total_ms", ms);
                    outcome.duration_ms = Some(ms);
                    let (body, all) = &answer.body;
                    break ask.expected.check(answer.status, &answer.headers, (body, *all));
                }
            },
        }
    };
    outcome.attribute("url.full", ask.place.uri.to_string());
    if ask.follow > 0 {
        outcome.metric("http.redirect.count", f64::from(journey.redirects));
        outcome.attribute("http.redirect.url", journey.place.uri.to_string());
    }
    match judged {
        Ok(()) => outcome,
        Err(error) => outcome.failed(error),
    }
}

/// Gets what `url` has, of a kind that is wanted, over the version that TLS agrees on.
pub(super) async fn fetch(
    url: &str,
    accept: &'static str,
    roots: &Roots,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<Answer, String> {
    let mut ask = Ask::get(url, "200")?;
    ask.headers.insert(ACCEPT, HeaderValue::from_static(accept));
    (ask.version, ask.keep) = (HttpVersion::Auto, true);
    let journey = Journey { place: ask.place.clone(), method: ask.method.clone(), redirects: 0 };
    hop(&ask, &journey, Family::Any, Some(roots), until, dial, outcome).await
}

/// Where a request has got to.
struct Journey {
    place: Place,
    method: Method,
    redirects: u8,
}

impl Journey {
    /// Whether the answer leads on; it is there then.
    fn goes_on(&mut self, ask: &Ask, answer: &Answer) -> Result<bool, String> {
        let code = answer.status.as_u16();
        if ask.follow == 0 || !matches!(code, 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        let Some(location) = answer.headers.get(LOCATION) else { return Ok(false) };
        let location = String::from_utf8_lossy(location.as_bytes());
        let next = self.place.join(&location)?;
        if self.redirects == ask.follow {
            return Err(format!(
                "it leads on to {} after {} redirects, which is as many as are followed",
                next.uri, ask.follow
            ));
        }
        // RFC 9110 §15.4: what was posted is then got.
        let becomes_get = match code {
            303 => self.method != Method::HEAD,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
        }
        self.redirects += 1;
        self.place = next;
        Ok(true)
    }
}

/// One request. Its address is looked at anew: where an answer leads on to, its sender chose.
async fn hop(
    ask: &Ask,
    Journey { place, method, .. }: &Journey,
    family: Family,
    roots: Option<&Roots>,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<Answer, String> {
    let request = Request {
        place,
        method: method.clone(),
        headers: headers(ask, place).await?,
        keep: ask.keep || ask.expected.looks_at_body(),
        until,
    };
    let identity = identity(ask, place).await?;
    let ip = dial.resolve(&place.host, family, until, "http.dns_ms", outcome).await?;
    let begin = Instant::now();
    let stream = connect(SocketAddr::new(ip, place.port), until).await?;
    outcome.metric("http.connect_ms", elapsed_ms(begin));
    if !place.tls {
        // Without TLS nothing is agreed on: HTTP/2 is spoken to who is known to speak it (RFC 9113 §3.3).
        let spoken = if ask.version == HttpVersion::V2 { Spoken::Http2 } else { Spoken::Http1 };
        return self::request(stream, spoken, request, outcome).await;
    }
    let alpn: &[&[u8]] = match ask.version {
        HttpVersion::V1 => &[b"http/1.1"],
        HttpVersion::V2 => &[b"h2"],
        HttpVersion::Auto => &[b"h2", b"http/1.1"],
    };
    let begin = Instant::now();
    let offer = Offer { alpn, identity };
    let (stream, seen) = tls::handshake(stream, place.bare_host(), roots, offer, until).await?;
    outcome.metric("http.tls_ms", elapsed_ms(begin));
    tls::describe(stream.get_ref().1, &seen, (place.bare_host(), place.port), outcome);
    tls::judge(&seen, outcome)?;
    let spoken = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Spoken::Http2,
        _ if ask.version == HttpVersion::V2 => {
            return Err("it does not speak HTTP/2: nothing was agreed on over TLS (ALPN)".into());
        }
        _ => Spoken::Http1,
    };
    self::request(stream, spoken, request, outcome).await
}

/// The headers that are said to `place`: what stands in files only to who is asked first.
async fn headers(ask: &Ask, place: &Place) -> Result<HeaderMap, String> {
    let mut headers = ask.headers.clone();
    if place.same_origin(&ask.place) {
        for (name, file) in &ask.header_files {
            let value = files::read(file).await?;
            let name: &HeaderName = name;
            headers.insert(name.clone(), ask::value_in(name, &value)?);
        }
    }
    Ok(headers)
}

/// The client certificate that is shown to `place`, if one is.
async fn identity(ask: &Ask, place: &Place) -> Result<Option<files::Certificate>, String> {
    let Some((name, known)) = &ask.identity else { return Ok(None) };
    let known = known.as_ref().ok_or_else(|| {
        format!(
            "this node has no identity {name}: its operator writes cert, key and hosts into [planes.active.identities.{name}]"
        )
    })?;
    let shown = place.tls && known.is_for(place.bare_host());
    if !shown && place.same_origin(&ask.place) {
        return Err(format!(
            "the identity {name} is not shown to {}: the operator of this node names it in hosts of [planes.active.identities.{name}]",
            place.bare_host()
        ));
    }
    if !shown {
        return Ok(None);
    }
    files::certificate(name, known).await.map(Some)
}
