//! Requests over HTTP/1.1, HTTP/2 and HTTP/3 with their phases: look-up, connect, TLS, first byte, transfer.

mod ask;
mod cookies;
mod expect;
mod h3;
mod h3_quic;
mod place;
mod request;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_body;
#[cfg(test)]
mod tests_h3;
#[cfg(test)]
mod tests_more;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use hyper::body::Bytes;

pub(crate) use ask::Ask;
use ask::Body;
pub(crate) use cookies::Jar;
pub(crate) use expect::Statuses;
use place::Place;
use request::{Request, Spoken, request};

use super::tcp::connect;
use super::tls::{self, Offer};
use super::{Dial, Roots, files, quic};
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
    let mut journey = Journey::of(ask);
    let judged =
        match travel(ask, &mut journey, family, roots, until, dial, None, &mut outcome).await {
            Err(error) => Err(error),
            Ok(answer) => {
                let ms = elapsed_ms(begin);
                outcome.metric("http.total_ms", ms);
                outcome.duration_ms = Some(ms);
                let (body, all) = &answer.body;
                ask.expected.check(answer.status, &answer.headers, (body, *all))
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

/// Asks as a part of something longer, with its cookies: the headers and the body of an answer that is as expected.
pub(super) async fn within(
    ask: &Ask,
    family: Family,
    roots: &Roots,
    until: Instant,
    dial: &Dial<'_>,
    jar: &mut Jar,
    outcome: &mut Outcome,
) -> Result<(HeaderMap, Vec<u8>), String> {
    let mut journey = Journey::of(ask);
    let roots = Some(roots);
    let answer = travel(ask, &mut journey, family, roots, until, dial, Some(jar), outcome).await?;
    let (body, all) = answer.body;
    ask.expected.check(answer.status, &answer.headers, (&body, all))?;
    Ok((answer.headers, body))
}

/// The URL that `url` is, seen from `base`: itself, or a path of `base`'s.
pub(super) fn joined(base: &str, url: &str) -> Result<String, String> {
    let base = Place::parse(base)?;
    if url.is_empty() {
        return Ok(base.uri.to_string());
    }
    let joined = base.join(url).map_err(|why| why.replacen("it leads on to ", "", 1))?;
    Ok(joined.uri.to_string())
}

/// Asks, and goes where the answers lead on to.
#[allow(clippy::too_many_arguments, reason = "what all requests of a probe share")]
async fn travel(
    ask: &Ask,
    journey: &mut Journey,
    family: Family,
    roots: Option<&Roots>,
    until: Instant,
    dial: &Dial<'_>,
    mut jar: Option<&mut Jar>,
    outcome: &mut Outcome,
) -> Result<Answer, String> {
    loop {
        let cookies = jar.as_ref().and_then(|jar| jar.header(&journey.place));
        let answer = hop(ask, journey, cookies, family, roots, until, dial, outcome).await?;
        if let Some(jar) = &mut jar {
            jar.keep(&journey.place, &answer.headers);
        }
        if !journey.goes_on(ask, &answer)? {
            return Ok(answer);
        }
        let old = |column: &str| OF_ONE.iter().any(|of| column.starts_with(of));
        outcome.metrics.retain(|(column, _)| !old(column));
        outcome.attributes.retain(|(column, _)| !old(column));
        outcome.name = None;
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
    let journey = Journey::of(&ask);
    hop(&ask, &journey, None, Family::Any, Some(roots), until, dial, outcome).await
}

/// Where a request has got to.
struct Journey {
    place: Place,
    method: Method,
    redirects: u8,
}

impl Journey {
    fn of(ask: &Ask) -> Self {
        Self { place: ask.place.clone(), method: ask.method.clone(), redirects: 0 }
    }

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
#[allow(clippy::too_many_arguments, reason = "what all requests of a probe share")]
async fn hop(
    ask: &Ask,
    Journey { place, method, .. }: &Journey,
    cookies: Option<HeaderValue>,
    family: Family,
    roots: Option<&Roots>,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<Answer, String> {
    let body = body(ask, place, method).await?;
    let mut headers = headers(ask, place).await?;
    if body.is_empty() {
        headers.remove(CONTENT_TYPE);
    }
    if let Some(cookies) = cookies {
        headers.append(COOKIE, cookies);
    }
    let request = Request {
        place,
        method: method.clone(),
        headers,
        body,
        keep: ask.keep || ask.expected.looks_at_body(),
        until,
    };
    let identity = identity(ask, place).await?;
    if ask.version == HttpVersion::V3 && !place.tls {
        return Err(format!("it leads on to {}: HTTP/3 is spoken over TLS alone", place.uri));
    }
    let ip = dial.resolve(&place.host, family, until, "http.dns_ms", outcome).await?;
    let begin = Instant::now();
    let address = SocketAddr::new(ip, place.port);
    if ask.version == HttpVersion::V3 {
        let offer = Offer { alpn: &[b"h3"], identity };
        let (name, streams) = (place.bare_host(), h3::SERVER_STREAMS);
        let mut quic = quic::connect(address, name, roots, offer, streams, until).await?;
        quic.no_error = h3::NO_ERROR;
        outcome.metric("http.connect_ms", elapsed_ms(begin));
        tls::describe_quic(&quic.seen, (name, place.port), outcome);
        tls::judge(&quic.seen, outcome)?;
        return h3::request(&quic, request, outcome).await;
    }
    let stream = connect(address, until).await?;
    outcome.metric("http.connect_ms", elapsed_ms(begin));
    if !place.tls {
        // Without TLS nothing is agreed on: HTTP/2 is spoken to who is known to speak it (RFC 9113 §3.3).
        let spoken = if ask.version == HttpVersion::V2 { Spoken::Http2 } else { Spoken::Http1 };
        return self::request(stream, spoken, request, outcome).await;
    }
    let alpn: &[&[u8]] = match ask.version {
        HttpVersion::V1 => &[b"http/1.1"],
        HttpVersion::V2 => &[b"h2"],
        HttpVersion::Auto | HttpVersion::V3 => &[b"h2", b"http/1.1"],
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
        headers.extend(ask.taken.clone());
        for (name, file) in &ask.header_files {
            let value = files::read(file).await?;
            let name: &HeaderName = name;
            headers.insert(name.clone(), ask::value_in(name, &value)?);
        }
    }
    Ok(headers)
}

/// The body that is sent to `place`: what stands in a file only to who is asked first.
async fn body(ask: &Ask, place: &Place, method: &Method) -> Result<Bytes, String> {
    // What became a GET on the way has none (RFC 9110 §15.4).
    if *method != ask.method {
        return Ok(Bytes::new());
    }
    match &ask.body {
        Body::None => Ok(Bytes::new()),
        Body::Text(_) if ask.body_stays && !place.same_origin(&ask.place) => Err(format!(
            "it leads on to another host with a body that holds what was taken, which is sent to {} alone",
            ask.place.authority()
        )),
        Body::Text(text) => Ok(text.clone()),
        Body::File(_) if !place.same_origin(&ask.place) => Err(format!(
            "it leads on to {} with the body, which stands in a file and is sent to {} alone",
            place.uri,
            ask.place.authority()
        )),
        Body::File(file) => {
            let bytes = files::read(file).await?;
            if bytes.len() > ask::MAX_BODY {
                let most = ask::MAX_BODY >> 10;
                return Err(format!("{}: a body has at most {most} KiB", file.display()));
            }
            Ok(bytes.into())
        }
    }
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
