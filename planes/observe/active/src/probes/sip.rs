//! Whether a SIP server answers (RFC 3261 §11): the request OPTIONS over UDP, TCP or TLS.

#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::http::Statuses;
use super::tls::{self, Offer};
use super::{Dial, Roots, left, series, tcp};
use crate::Family;
use crate::outcome::{Outcome, elapsed_ms};
use crate::target::SipTransport;
use wire::{MAX_BODY, MAX_HEAD, Response, Transaction};

/// Where servers listen, and those over TLS (RFC 3261 §19.1.2).
const PORT: u16 = 5_060;
const TLS_PORT: u16 = 5_061;
/// T1 and T2 of RFC 3261 §17.1.1.1: over UDP a request is sent again after so long, then twice that, up to T2.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Most messages that are read over a stream.
const MAX_MESSAGES: u32 = 100;

/// Any bytes as the head of an answer.
#[cfg(fuzzing)]
pub(crate) fn fuzzed(bytes: &[u8]) {
    let _ = Response::parse(&bytes[..bytes.len().min(MAX_HEAD)]);
}

/// What is asked, how, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    host: String,
    /// 0: the usual one.
    port: u16,
    transport: SipTransport,
    /// The name that the certificate must be for.
    name: String,
    expected: Statuses,
}

impl Options {
    /// What a target says.
    pub(crate) fn of(target: &crate::config::Target) -> Result<Self, String> {
        let host = target.target.trim_matches(['[', ']']);
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(letter) {
            return Err(format!(
                "target \"{}\": of sip it is a host name or address, without sip: and user",
                target.target
            ));
        }
        let transport = target.sip_transport;
        if !target.server_name.is_empty() && transport != SipTransport::Tls {
            return Err("server_name: it is of probes over TLS: sip_transport: tls".into());
        }
        let name = if target.server_name.is_empty() { host } else { &target.server_name };
        if transport == SipTransport::Tls {
            rustls::pki_types::ServerName::try_from(name)
                .map_err(|_| format!("server_name \"{name}\": not a name that TLS can ask for"))?;
        }
        Ok(Self {
            host: host.to_owned(),
            port: target.port,
            transport,
            name: name.to_owned(),
            expected: Statuses::up_to(&target.expect_status, 699)?,
        })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.transport == SipTransport::Tls
    }

    fn dialled(&self) -> u16 {
        match (self.port, self.transport) {
            (0, SipTransport::Tls) => TLS_PORT,
            (0, _) => PORT,
            (port, _) => port,
        }
    }

    fn request(&self, local: SocketAddr) -> (Transaction, Vec<u8>) {
        let token = || format!("{:016x}", rand::rng().random::<u64>());
        let of = Transaction {
            branch: format!("z9hG4bK{}", token()),
            call_id: format!("{}@holm", token()),
            tag: token(),
        };
        let via = match self.transport {
            SipTransport::Udp => "UDP",
            SipTransport::Tcp => "TCP",
            SipTransport::Tls => "TLS",
        };
        let port = (self.port != 0).then_some(self.port);
        let bytes = wire::options(&self.host, port, via, local, &of);
        (of, bytes)
    }
}

/// Asks once.
pub(crate) async fn probe(
    options: &Options,
    family: Family,
    roots: &Roots,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    outcome.attribute("network.transport", options.transport.as_str());
    let answer = match options.transport {
        SipTransport::Udp => over_udp(options, family, until, dial, &mut outcome).await,
        SipTransport::Tcp | SipTransport::Tls => {
            over_stream(options, family, roots, until, dial, &mut outcome).await
        }
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return outcome.failed(error),
    };
    outcome.metric("sip.status_code", f64::from(answer.code));
    outcome.attribute("sip.reason", answer.reason.clone());
    for (column, text) in [("sip.server", answer.server), ("sip.allow", answer.allow)] {
        if let Some(text) = text {
            outcome.attribute(column, text);
        }
    }
    if options.expected.has(answer.code) {
        return outcome;
    }
    outcome
        .failed(format!("the answer is {} {}, which is not expected", answer.code, answer.reason))
}

/// What was heard so far.
#[derive(Default)]
struct Heard {
    interim: u32,
    unmatched: u32,
}

impl Heard {
    /// The answer, if this is the last one to the request.
    fn take(&mut self, answer: Response, of: &Transaction) -> Option<Response> {
        if !answer.answers(of) {
            self.unmatched += 1;
            return None;
        }
        if answer.code < 200 {
            self.interim += 1;
            return None;
        }
        Some(answer)
    }

    fn tell(&self, begin: Instant, answered: bool, outcome: &mut Outcome) {
        outcome.metric("sip.interim", f64::from(self.interim));
        outcome.metric("sip.unmatched", f64::from(self.unmatched));
        if answered {
            let ms = elapsed_ms(begin);
            outcome.metric("sip.rtt_ms", ms);
            outcome.duration_ms = Some(ms);
        }
    }

    fn silent(&self, address: SocketAddr) -> String {
        if self.interim > 0 {
            return format!("{address} said that an answer will come, and none came in time");
        }
        let noise = if self.unmatched > 0 { ", though other messages came" } else { "" };
        format!("{address} did not answer in time{noise}")
    }
}

async fn over_udp(
    options: &Options,
    family: Family,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<Response, String> {
    let target = (&*options.host, options.dialled(), family);
    let (socket, address) = series::open(target, until, "sip.dns_ms", dial, outcome).await?;
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("{address}: nothing listens there"),
        _ => format!("{address}: {error}"),
    };
    let (of, request) = options.request(socket.local_addr().map_err(failed)?);
    let begin = Instant::now();
    let (mut heard, mut sent, mut wait) = (Heard::default(), 0_u32, T1);
    let mut again = begin;
    let mut buffer = vec![0; MAX_BODY];
    let answer = loop {
        if Instant::now() >= again {
            socket.send(&request).await.map_err(failed)?;
            sent += 1;
            // §17.1.2.2: after an interim answer at T2 only.
            again = Instant::now() + if heard.interim > 0 { T2 } else { wait };
            wait = (wait * 2).min(T2);
        }
        let pause = left(until.min(again));
        match tokio::time::timeout(pause, socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                let end = wire::head_end(&buffer[..length]).map_or(length, |(end, _)| end);
                match Response::parse(&buffer[..end]) {
                    Ok(answer) => {
                        if let Some(answer) = heard.take(answer, &of) {
                            break Ok(answer);
                        }
                    }
                    Err(_) => heard.unmatched += 1,
                }
                if Instant::now() >= until {
                    break Err(heard.silent(address));
                }
            }
            Ok(Err(error)) => break Err(failed(error)),
            Err(_) if Instant::now() >= until => break Err(heard.silent(address)),
            Err(_) => {}
        }
    };
    outcome.metric("sip.requests.sent", f64::from(sent));
    heard.tell(begin, answer.is_ok(), outcome);
    answer
}

async fn over_stream(
    options: &Options,
    family: Family,
    roots: &Roots,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<Response, String> {
    let ip = dial.resolve(&options.host, family, until, "sip.dns_ms", outcome).await?;
    let address = SocketAddr::new(ip, options.dialled());
    let begin = Instant::now();
    let stream = tcp::connect(address, until).await?;
    outcome.metric("sip.connect_ms", elapsed_ms(begin));
    let local = stream.local_addr().map_err(|error| format!("{address}: {error}"))?;
    if options.transport == SipTransport::Tcp {
        return exchange(stream, options, address, local, until, outcome).await;
    }
    let begin = Instant::now();
    let name = &*options.name;
    let (stream, seen) = tls::handshake(stream, name, Some(roots), Offer::default(), until).await?;
    outcome.metric("sip.tls_ms", elapsed_ms(begin));
    tls::describe(stream.get_ref().1, &seen, (name, address.port()), outcome);
    tls::judge(&seen, outcome)?;
    exchange(stream, options, address, local, until, outcome).await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    options: &Options,
    address: SocketAddr,
    local: SocketAddr,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<Response, String> {
    let (of, request) = options.request(local);
    let begin = Instant::now();
    let mut heard = Heard::default();
    let talk = async {
        let failed = |error: std::io::Error| format!("{address}: {error}");
        stream.write_all(&request).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut bytes = Vec::new();
        for _ in 0..MAX_MESSAGES {
            let answer = message(&mut stream, &mut bytes, address).await?;
            if let Some(answer) = heard.take(answer, &of) {
                return Ok(answer);
            }
        }
        Err(format!("{address} sends more than {MAX_MESSAGES} messages and no answer"))
    };
    let answer = tokio::time::timeout(left(until), talk).await;
    let answer = answer.unwrap_or_else(|_| Err(heard.silent(address)));
    heard.tell(begin, answer.is_ok(), outcome);
    answer
}

/// The next message; what came after it stays in `bytes`.
async fn message(
    stream: &mut (impl AsyncRead + Unpin),
    bytes: &mut Vec<u8>,
    address: SocketAddr,
) -> Result<Response, String> {
    let mut buffer = [0; 4_096];
    loop {
        // §7.5: empty lines before a message are passed over.
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        bytes.drain(..empty);
        if let Some((end, next)) = wire::head_end(bytes) {
            let answer =
                Response::parse(&bytes[..end]).map_err(|why| format!("{address}: {why}"))?;
            // §18.3: over a stream the length is said.
            let body = answer.body.unwrap_or(0);
            if body > MAX_BODY {
                return Err(format!("{address}: a body is longer than {} KiB", MAX_BODY >> 10));
            }
            if bytes.len() >= next + body {
                bytes.drain(..next + body);
                return Ok(answer);
            }
        } else if bytes.len() > MAX_HEAD {
            return Err(format!("{address}: a head is longer than {} KiB", MAX_HEAD >> 10));
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return Err(format!("{address} closed the connection without an answer")),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) => return Err(format!("{address}: {error}")),
        }
    }
}
