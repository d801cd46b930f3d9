//! How a server does TLS: its chain, whether it is trusted, and what versions and ciphers it takes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt;
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::tcp::connect;
use super::super::{Dial, left};
use super::hello::{self, Kind, Reply, SUITES, TLS_1_0, TLS_1_1, TLS_1_2};
use super::{Offer, Roots, add_facts, client, complete, describe_asked, facts_of};
use crate::Family;
use crate::config::TlsScan;
use crate::outcome::{Outcome, elapsed_ms};
use crate::tls_facts::TlsFacts;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// Where it is asked.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The name that is asked for, if it is another.
    pub(crate) name: String,
    pub(crate) scan: TlsScan,
    /// A certificate that ends in fewer days is a failure.
    pub(crate) days_left: u16,
}

impl Look {
    /// How many connections it takes at most.
    pub(crate) fn connections(&self) -> u16 {
        match self.scan {
            TlsScan::None => 1,
            TlsScan::Versions => 6,
            TlsScan::Ciphers => 6 + SUITES.len() as u16,
        }
    }

    fn name(&self) -> Result<ServerName<'static>, String> {
        let name = if self.name.is_empty() { &self.host } else { &self.name };
        let name = name.trim_matches(['[', ']']);
        ServerName::try_from(name.to_owned())
            .map_err(|_| format!("server_name \"{name}\": not a name that TLS can ask for"))
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        // A target that is no name may still be one to look up.
        if self.name.is_empty() { Ok(()) } else { self.name().map(drop) }
    }
}

/// Looks once.
pub(crate) async fn probe(
    look: &Look,
    family: Family,
    roots: &Roots,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    match run(look, family, roots, until, dial, &mut outcome).await {
        Ok(()) => outcome,
        Err(error) => outcome.failed(error),
    }
}

async fn run(
    look: &Look,
    family: Family,
    roots: &Roots,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let name = look.name()?;
    let ip = dial.resolve(&look.host, family, until, "tls.dns_ms", outcome).await?;
    let address = SocketAddr::new(ip, look.port);
    describe_asked(&name, look.port, outcome);
    let (begin, all) = (Instant::now(), Instant::now());
    let stream = connect(address, until).await?;
    outcome.metric("tls.connect_ms", elapsed_ms(begin));
    let begin = Instant::now();
    // Without roots of its own the site still sees what the server shows.
    let verifying = roots.usable().is_ok().then_some(roots);
    let (config, seen) = client(verifying, Offer::default())?;
    let connecting =
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name.clone(), stream);
    let connected = tokio::time::timeout(left(until), connecting).await;
    let connected = match connected {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("the TLS handshake failed: {error}")),
        Err(_) => Err("the TLS handshake did not end in time".to_owned()),
    };
    let shown = seen.shown();
    let mut facts = facts_of(&shown, &name);
    let mut version = None;
    if let Ok(stream) = &connected {
        outcome.metric("tls.handshake_ms", elapsed_ms(begin));
        outcome.duration_ms = Some(elapsed_ms(all));
        let connection = stream.get_ref().1;
        super::describe_session(connection, outcome);
        version = connection.protocol_version();
    }
    let connected = connected.map(drop);
    if look.scan != TlsScan::None {
        let host = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
            _ => None,
        };
        scan(look, address, host.as_deref(), version, until, &mut facts, outcome).await;
    }
    if version.is_none() && facts.versions.as_ref().is_some_and(Vec::is_empty) {
        facts.versions = None;
    }
    add_facts(&facts, outcome);
    connected?;
    match &shown.verdict {
        Some(Err(reason)) => return Err(format!("the certificate is not trusted: {reason}")),
        None => return roots.usable(),
        Some(Ok(())) => {}
    }
    complete(outcome, look.days_left)
}

/// What the server takes besides: one connection and one message for each question, which ends there.
async fn scan(
    look: &Look,
    address: SocketAddr,
    host: Option<&str>,
    spoken: Option<ProtocolVersion>,
    until: Instant,
    facts: &mut TlsFacts,
    outcome: &mut Outcome,
) {
    let of = |kinds: &[Kind]| -> Vec<u16> {
        SUITES.iter().filter(|(.., kind)| kinds.contains(kind)).map(|(n, ..)| *n).collect()
    };
    let every = of(&[Kind::Forward, Kind::NotForward, Kind::Weak]);
    let mut takes = Vec::new();
    let mut unknown = Vec::new();
    for (version, name) in [(TLS_1_0, "1.0"), (TLS_1_1, "1.1"), (TLS_1_2, "1.2")] {
        if version == TLS_1_2 && spoken == Some(ProtocolVersion::TLSv1_2) {
            takes.push(name.to_owned());
            continue;
        }
        match ask(address, version, &every, host, until).await {
            Some(Reply::Takes { version: taken, .. }) if taken == version => {
                takes.push(name.to_owned());
            }
            Some(_) => {}
            None => unknown.push(name),
        }
    }
    match spoken {
        Some(ProtocolVersion::TLSv1_3) => takes.push("1.3".into()),
        // It was offered, and another was taken.
        Some(_) => {}
        None => unknown.push("1.3"),
    }
    let by_1_2 = takes.iter().any(|version| version == "1.2");
    facts.versions = Some(takes);
    if !unknown.is_empty() {
        outcome.attribute("tls.versions.unknown", unknown.join(", "));
    }
    let name = |suite: u16| hello::name(suite).unwrap_or("a suite that was not offered").to_owned();
    let one = async |kinds: &[Kind]| match ask(address, TLS_1_2, &of(kinds), host, until).await? {
        Reply::Takes { suite, .. } => Some(name(suite)),
        _ => Some(String::new()),
    };
    facts.not_forward = one(&[Kind::NotForward]).await;
    facts.weak = one(&[Kind::Weak]).await;
    if look.scan == TlsScan::Ciphers && by_1_2 {
        let mut offered = every;
        let mut taken = Vec::new();
        // Each answer takes one suite away: it ends.
        while let Some(reply) = ask(address, TLS_1_2, &offered, host, until).await {
            let Reply::Takes { suite, .. } = reply else { break };
            let before = offered.len();
            offered.retain(|other| *other != suite);
            if offered.len() == before {
                break;
            }
            taken.push(name(suite));
            if offered.is_empty() {
                break;
            }
        }
        outcome.metric("tls.ciphers.count", taken.len() as f64);
        // The shortest form that tells them apart: a row's text is bounded.
        let short: Vec<&str> = taken.iter().map(|name| name.trim_start_matches("TLS_")).collect();
        outcome.attribute("tls.ciphers", short.join(", "));
    }
}

/// The server's first word to a hello; `None` if nothing came in time, or nobody could be asked.
async fn ask(
    address: SocketAddr,
    version: u16,
    suites: &[u16],
    host: Option<&str>,
    until: Instant,
) -> Option<Reply> {
    let mut stream = connect(address, until).await.ok()?;
    let mut random = [0; 32];
    rand::rng().fill(&mut random);
    let hello = hello::client_hello(version, suites, host, random);
    let mut bytes = Vec::new();
    let exchange = async {
        stream.write_all(&hello).await?;
        let mut buffer = [0; 512];
        loop {
            if let Some(reply) = hello::reply(&bytes) {
                return Ok(reply);
            }
            let read = stream.read(&mut buffer).await?;
            if read == 0 || bytes.len() >= hello::MAX_REPLY {
                return Ok::<_, std::io::Error>(Reply::Other);
            }
            bytes.extend_from_slice(&buffer[..read]);
        }
    };
    match tokio::time::timeout(left(until), exchange).await {
        Ok(Ok(reply)) => Some(reply),
        // Some servers say no by hanging up.
        Ok(Err(_)) => Some(Reply::Other),
        Err(_) => None,
    }
}
