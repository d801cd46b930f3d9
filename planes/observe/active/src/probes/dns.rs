//! A question to a name server (RFC 1035): over UDP, and over TCP where the answer does not fit; over TCP, TLS or HTTPS
//! alone.

pub(crate) mod dnssec;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
mod transport;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

use super::{Dial, Roots};
use crate::config::DnsTransport;
use crate::outcome::{Outcome, elapsed_ms};
use dnssec::{Anchors, Trust};
use transport::{over_https, over_quic, over_tcp, over_tls, over_udp};

const PORT: u16 = 53;
/// Of servers over TLS (RFC 7858 §3.1) and over QUIC (RFC 9250 §4.1.1).
const TLS_PORT: u16 = 853;
/// What we say that we take over UDP (RFC 9715 §3).
const UDP_PAYLOAD: u16 = 1_232;
const MAX_SHOWN_ANSWERS: usize = 5;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    name: Name,
    record_type: RecordType,
    /// Whether the answer is to come with its signatures, as it is (RFC 4035 §3.2).
    validated: bool,
}

impl Question {
    pub(crate) fn parse(name: &str, record_type: &str) -> Result<Self, String> {
        let mut parsed = Name::from_utf8(name)
            .map_err(|error| format!("target \"{name}\": not a DNS name: {error}"))?;
        parsed.set_fqdn(true);
        let upper = record_type.to_ascii_uppercase();
        let record_type = RecordType::from_str(&upper).map_err(|_| {
            format!("dns_type \"{record_type}\": not a type of DNS records, such as A or MX")
        })?;
        Ok(Self { name: parsed, record_type, validated: false })
    }

    /// The same, with all that is needed to validate the answer.
    pub(crate) fn validated(self) -> Result<Self, String> {
        if matches!(self.record_type, RecordType::ANY | RecordType::RRSIG) {
            return Err(format!(
                "dnssec: answers of the type {} cannot be validated",
                self.record_type
            ));
        }
        Ok(Self { validated: true, ..self })
    }

    /// The question as a message; `ad`: that the answer may say that it was validated (RFC 6840 §5.7).
    fn query(&self) -> Message {
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.metadata.authentic_data = true;
        query.metadata.checking_disabled = self.validated;
        query.add_query(Query::query(self.name.clone(), self.record_type));
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD);
        edns.set_dnssec_ok(self.validated);
        query.set_edns(edns);
        query
    }

    fn is_met_by(&self, answer: &Message) -> bool {
        let any = self.record_type == RecordType::ANY;
        answer.answers.iter().any(|record| any || record.record_type() == self.record_type)
    }
}

/// Who is asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// Over UDP, and over TCP where the answer does not fit, or over TCP alone; `None`: the system's server.
    Plain { address: Option<SocketAddr>, tcp: bool },
    /// Over TLS (RFC 7858), with the name that the certificate must be for.
    Tls { address: SocketAddr, name: String },
    /// Over HTTPS (RFC 8484).
    Https { url: String },
    /// Over QUIC (RFC 9250), with the name that the certificate must be for.
    Quic { address: SocketAddr, name: String },
}

impl Server {
    /// What `dns_server`, `dns_transport` and `server_name` of a target say.
    pub(crate) fn parse(server: &str, transport: DnsTransport, name: &str) -> Result<Self, String> {
        let needed = |what: &str| {
            format!("dns_server: over {} it is {what}, and it is not said", transport.as_str())
        };
        let is_named = matches!(transport, DnsTransport::Tls | DnsTransport::Quic);
        if !name.is_empty() && !is_named {
            return Err(
                "server_name: it is of probes over TLS or QUIC: dns_transport: tls or quic".into(),
            );
        }
        match transport {
            DnsTransport::Udp | DnsTransport::Tcp => Ok(Self::Plain {
                address: address(server, PORT)?,
                tcp: transport == DnsTransport::Tcp,
            }),
            DnsTransport::Tls | DnsTransport::Quic => {
                let address = address(server, TLS_PORT)?;
                let address = address.ok_or_else(|| needed("an address or address:port"))?;
                let name = if name.is_empty() { address.ip().to_string() } else { name.to_owned() };
                rustls::pki_types::ServerName::try_from(name.as_str()).map_err(|_| {
                    format!("server_name \"{name}\": not a name that TLS can ask for")
                })?;
                Ok(match transport {
                    DnsTransport::Quic => Self::Quic { address, name },
                    _ => Self::Tls { address, name },
                })
            }
            DnsTransport::Https if server.is_empty() => Err(needed("a URL")),
            DnsTransport::Https => {
                let place = super::http::Ask::get(server, "200").map_err(|why| {
                    format!("dns_server{}", why.strip_prefix("target").unwrap_or(&why))
                })?;
                if !place.is_tls() || server.contains('#') {
                    return Err(format!(
                        "dns_server \"{server}\": over https it is a URL of the form https://host/dns-query"
                    ));
                }
                Ok(Self::Https { url: server.to_owned() })
            }
        }
    }
}

/// An address with or without a port; `None` if nothing is said.
fn address(text: &str, port: u16) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, port)));
    }
    text.parse().map(Some).map_err(|_| {
        format!("dns_server \"{text}\": it is an address or address:port, such as 192.0.2.53 or [2001:db8::53]:53")
    })
}

/// How an answer is validated: by which anchors, and whether one that is not signed fails.
#[derive(Clone, Copy)]
pub(crate) struct Validation<'a> {
    pub(crate) anchors: &'a Anchors,
    pub(crate) required: bool,
}

/// Asks once.
pub(crate) async fn probe(
    question: &Question,
    server: &Server,
    roots: &Roots,
    validation: Option<Validation<'_>>,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    outcome.attribute("dns.question.name", question.name.to_string());
    outcome.attribute("dns.question.type", question.record_type.to_string());
    let begin = Instant::now();
    match ask(question, server, roots, until, dial, &mut outcome).await {
        Ok((answer, name, begun)) => {
            let ms = elapsed_ms(begun.unwrap_or(begin));
            let mut outcome = judge(question, &answer, &name, ms, outcome);
            let Some(Validation { anchors, required }) = validation else { return outcome };
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            // Times of signatures are the last 32 bits of the seconds (RFC 4034 §3.1.5).
            let now_s = now.map_or(0, |now| now.as_secs() as u32);
            let by = (server, roots, anchors);
            let verdict =
                dnssec::validate(question, &answer, by, now_s, until, dial, &mut outcome).await;
            let fails = match verdict.trust {
                Trust::Secure => false,
                Trust::Insecure => required,
                Trust::Bogus | Trust::Indeterminate => true,
            };
            match outcome.error {
                None if fails => {
                    let trust = verdict.trust.as_str();
                    outcome.failed(format!("DNSSEC: {trust}: {}", verdict.reason))
                }
                _ => outcome,
            }
        }
        Err(error) => outcome.failed(error),
    }
}

/// The answer, who gave it, and when it was asked for.
async fn ask(
    question: &Question,
    server: &Server,
    roots: &Roots,
    until: Instant,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<(Message, String, Option<Instant>), String> {
    let mut query = question.query();
    if let Server::Https { url } = server {
        query.metadata.id = 0;
        outcome.attribute("dns.server", url.clone());
        outcome.attribute("network.transport", "https");
        let bytes = written(&query)?;
        let answer = over_https(&bytes, question, url, roots, until, dial, outcome).await?;
        return Ok((answer, url.clone(), None));
    }
    let (address, is_systems) = match server {
        Server::Plain { address: None, .. } => (system_server()?, true),
        Server::Plain { address: Some(address), .. }
        | Server::Tls { address, .. }
        | Server::Quic { address, .. } => (*address, false),
        Server::Https { .. } => return Err("a URL has no address".into()),
    };
    outcome.address = Some(address.ip());
    match dial.gate {
        None => {}
        // Which servers the system asks, its operator decided: a test only says what is asked.
        Some(gate) if is_systems => gate.pass_politely(address.ip(), outcome)?,
        Some(gate) => gate.pass(address.ip(), outcome)?,
    }
    outcome.attribute("dns.server", address.to_string());
    let (id, bytes) = (query.metadata.id, written(&query)?);
    let begun = Instant::now();
    let answer = match server {
        Server::Tls { name, .. } => {
            outcome.attribute("network.transport", "tls");
            let of = (address, name.as_str());
            over_tls(&bytes, id, question, of, roots, until, outcome).await?
        }
        Server::Quic { name, .. } => {
            outcome.attribute("network.transport", "quic");
            query.metadata.id = 0;
            let of = (address, name.as_str());
            over_quic(&written(&query)?, question, of, roots, until, outcome).await?
        }
        Server::Plain { tcp: true, .. } => {
            outcome.attribute("network.transport", "tcp");
            over_tcp(&bytes, id, question, address, until).await?
        }
        _ => {
            let answer = over_udp(&bytes, id, question, address, until, outcome).await?;
            if answer.metadata.truncation {
                outcome.attribute("network.transport", "tcp");
                over_tcp(&bytes, id, question, address, until).await?
            } else {
                outcome.attribute("network.transport", "udp");
                answer
            }
        }
    };
    Ok((answer, address.to_string(), Some(begun)))
}

fn written(query: &Message) -> Result<Vec<u8>, String> {
    query.to_vec().map_err(|error| format!("the question cannot be written: {error}"))
}

/// What an answer comes to.
fn judge(
    question: &Question,
    answer: &Message,
    server: &str,
    ms: f64,
    mut outcome: Outcome,
) -> Outcome {
    outcome.metric("dns.query_ms", ms);
    outcome.duration_ms = Some(ms);
    // Signatures that come because they are validated are no answers.
    let is_answer =
        |record: &&Record| !question.validated || record.record_type() != RecordType::RRSIG;
    let answers = || answer.answers.iter().filter(is_answer);
    outcome.metric("dns.answers", answers().count() as f64);
    let code = answer.metadata.response_code;
    outcome.attribute("dns.rcode", format!("{code:?}"));
    let flags = [
        ("aa", answer.metadata.authoritative),
        ("tc", answer.metadata.truncation),
        ("rd", answer.metadata.recursion_desired),
        ("ra", answer.metadata.recursion_available),
        ("ad", answer.metadata.authentic_data),
        ("cd", answer.metadata.checking_disabled),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| *flag).collect();
    outcome.attribute("dns.flags", flags.join(" "));
    let least = answers().map(|record| record.ttl).min();
    if let Some(least) = least {
        outcome.metric("dns.ttl_s", f64::from(least));
    }
    let shown: Vec<String> =
        answers().take(MAX_SHOWN_ANSWERS).map(|record| record.data.to_string()).collect();
    if !shown.is_empty() {
        outcome.attribute("dns.answer", shown.join(", "));
    }
    match code {
        // An alias alone is no answer: the name that it leads to may have nothing.
        ResponseCode::NoError if !question.is_met_by(answer) => outcome.failed(format!(
            "{server}: the name {} has no {} records",
            question.name, question.record_type
        )),
        ResponseCode::NoError => outcome,
        ResponseCode::NXDomain => {
            outcome.failed(format!("{server}: the name {} does not exist", question.name))
        }
        code => outcome.failed(format!("{server} answers {code:?}: {code}")),
    }
}

/// The answer, if it is one to this question (RFC 5452 §9.1).
fn parse(bytes: &[u8], id: u16, question: &Question) -> Result<Message, String> {
    let answer = Message::from_vec(bytes).map_err(|error| format!("not a DNS message: {error}"))?;
    let is_answer = answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == OpCode::Query;
    let same_question = match &answer.queries[..] {
        [q] => {
            q.name == question.name
                && q.query_type == question.record_type
                && q.query_class == DNSClass::IN
        }
        // A server that refuses may leave the question out, one that did not understand it has to.
        [] => answer.metadata.response_code != ResponseCode::NoError,
        _ => false,
    };
    if !is_answer || answer.metadata.id != id || !same_question {
        return Err("not an answer to this question".into());
    }
    Ok(answer)
}

/// Any bytes as an answer to a question of each type that has facts of its own.
#[cfg(fuzzing)]
pub(crate) fn fuzzed(bytes: &[u8]) {
    let [high, low, ..] = *bytes else { return };
    let id = u16::from_be_bytes([high, low]);
    for kind in ["A", "MX", "DNSKEY"] {
        let Ok(question) = Question::parse("shop.example", kind) else { return };
        if let Ok(answer) = parse(bytes, id, &question) {
            judge(&question, &answer, "192.0.2.53", 1.0, Outcome::default());
            trace::fuzzed(&answer, &question);
        }
    }
}

/// The first name server of `/etc/resolv.conf`.
fn system_server() -> Result<SocketAddr, String> {
    let text = std::fs::read_to_string("/etc/resolv.conf")
        .map_err(|error| format!("/etc/resolv.conf: {error}; set dns_server"))?;
    first_server(&text).ok_or_else(|| "/etc/resolv.conf names no server; set dns_server".into())
}

fn first_server(text: &str) -> Option<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next()).flatten()
        })
        // A zone, as in fe80::1%eth0, is left to the configuration.
        .find_map(|word| word.parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, PORT))
}
