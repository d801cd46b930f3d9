//! From the root servers down to who answers: each referral is followed as a resolver would (RFC 1034 §5.3.3), and each
//! step is told.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::super::Dial;
use super::transport::{over_tcp, over_udp};
use super::{PORT, Question, written};
use crate::Family;
use crate::outcome::{Outcome, elapsed_ms};

/// The root servers (IANA, root hints of 2024).
const ROOTS: [(&str, [u8; 4]); 13] = [
    ("a.root-servers.net", [198, 41, 0, 4]),
    ("b.root-servers.net", [170, 247, 170, 2]),
    ("c.root-servers.net", [192, 33, 4, 12]),
    ("d.root-servers.net", [199, 7, 91, 13]),
    ("e.root-servers.net", [192, 203, 230, 10]),
    ("f.root-servers.net", [192, 5, 5, 241]),
    ("g.root-servers.net", [192, 112, 36, 4]),
    ("h.root-servers.net", [198, 97, 190, 53]),
    ("i.root-servers.net", [192, 36, 148, 17]),
    ("j.root-servers.net", [192, 58, 128, 30]),
    ("k.root-servers.net", [193, 0, 14, 129]),
    ("l.root-servers.net", [199, 7, 83, 42]),
    ("m.root-servers.net", [202, 12, 27, 33]),
];
/// Most questions of one trace.
const MAX_STEPS: usize = 40;
/// Most aliases that are followed.
const MAX_ALIASES: u32 = 8;
/// Servers of one zone that are asked before it is given up.
const MAX_SERVERS: usize = 3;
/// Most names and answers of a step that are told, and their longest text in characters.
const MAX_TOLD: usize = 20;
const MAX_TEXT: usize = 200;
/// One server has so long.
const ONE_SERVER: Duration = Duration::from_secs(2);

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsTraceEnd {
    /// With records of the type that was asked for.
    Answered,
    /// The name has none of this type.
    NoData,
    /// There is no such name.
    NoSuchName,
    /// Nobody that is responsible gave an answer that leads on.
    Failed,
}

/// One question to one server.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsStep {
    /// The zone that the server is asked as a server of.
    pub zone: String,
    /// Its name, where one is known.
    pub server: Option<String>,
    /// Its address and port; nothing if its name has no address.
    pub address: Option<SocketAddr>,
    /// The name that was asked for.
    pub question: String,
    /// How long the answer took.
    pub duration_ms: Option<f64>,
    /// The answer's code.
    pub rcode: Option<String>,
    /// Whether the server says that it is responsible.
    pub authoritative: bool,
    /// What it answered, as `name type data`.
    pub answers: Vec<String>,
    /// The zone that it refers to.
    pub referred_to: Option<String>,
    /// The servers of that zone.
    pub servers: Vec<String>,
    /// Why there is no answer that leads on.
    pub error: Option<String>,
}

/// All steps, and what they came to.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsTrace {
    /// In their order.
    pub steps: Vec<DnsStep>,
    /// How it ended.
    pub end: DnsTraceEnd,
    /// The data of the answer.
    pub answers: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A server of a zone.
#[derive(Debug, Clone)]
struct Server {
    name: Option<String>,
    /// Its address, if it is known without looking it up.
    address: Option<IpAddr>,
    /// The operator chose it: no guard is asked.
    chosen: bool,
}

/// What one answer says.
#[derive(Debug, PartialEq)]
enum Says {
    /// Records of the type that was asked for.
    Answer,
    /// Another name is to be asked for.
    Alias(Name),
    /// Another zone is responsible.
    Refers(Name),
    NoData,
    NoSuchName,
    /// Nothing that leads on.
    Nothing(String),
}

/// Where a trace begins: the configured roots, or those of the Internet. All servers are asked at one port.
pub(crate) struct Start {
    roots: Vec<Server>,
    port: u16,
}

impl Start {
    /// `configured` are addresses with or without a port; a trace uses the first one's.
    pub(crate) fn of(configured: &[String]) -> Result<Self, String> {
        let read = |text: &String| {
            let found = super::address(text, PORT).ok().flatten();
            found.ok_or_else(|| {
                format!("planes.active.dns_roots: {text} is no address, with or without a port")
            })
        };
        let configured = configured.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let of = |(name, address): &(&str, [u8; 4])| Server {
            name: Some((*name).to_owned()),
            address: Some(Ipv4Addr::from(*address).into()),
            chosen: false,
        };
        let Some(first) = configured.first() else {
            return Ok(Self { roots: ROOTS.iter().map(of).collect(), port: PORT });
        };
        let port = first.port();
        let of = |at: &SocketAddr| Server { name: None, address: Some(at.ip()), chosen: true };
        Ok(Self { roots: configured.iter().map(of).collect(), port })
    }
}

/// Follows a name from the roots. `may` is asked before each question, and says why not.
pub(crate) async fn trace(
    question: &Question,
    start: &Start,
    until: Instant,
    dial: &Dial<'_>,
    mut may: impl FnMut() -> Result<(), String>,
) -> DnsTrace {
    let mut steps = Vec::new();
    let mut asked = question.clone();
    let mut aliases = 0;
    let mut zone = Name::root();
    let mut left: VecDeque<Server> = start.roots.iter().take(MAX_SERVERS).cloned().collect();
    loop {
        let failed = |steps, error: String| DnsTrace {
            steps,
            end: DnsTraceEnd::Failed,
            answers: Vec::new(),
            error: Some(error),
        };
        let Some(server) = left.pop_front() else {
            return failed(steps, format!("no server of {zone} gave an answer that leads on"));
        };
        if steps.len() >= MAX_STEPS {
            return failed(steps, format!("it did not end after {MAX_STEPS} questions"));
        }
        if Instant::now() >= until {
            return failed(steps, "it did not end in time".into());
        }
        let mut step = DnsStep {
            zone: zone.to_string(),
            server: server.name.clone(),
            address: None,
            question: format!("{} {}", asked.name, asked.record_type),
            duration_ms: None,
            rcode: None,
            authoritative: false,
            answers: Vec::new(),
            referred_to: None,
            servers: Vec::new(),
            error: None,
        };
        let one = until.min(Instant::now() + ONE_SERVER);
        let answer = match may() {
            Ok(()) => ask(&asked, &server, start.port, one, dial, &mut step).await,
            Err(why) => {
                step.error = Some(why.clone());
                steps.push(step);
                return failed(steps, why);
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                step.error = Some(bounded(error));
                steps.push(step);
                continue;
            }
        };
        describe(&answer, &mut step);
        let says = read(&answer, &asked, &zone);
        let end = match &says {
            Says::Answer => Some(DnsTraceEnd::Answered),
            Says::NoData => Some(DnsTraceEnd::NoData),
            Says::NoSuchName => Some(DnsTraceEnd::NoSuchName),
            Says::Nothing(why) => {
                step.error = Some(why.clone());
                None
            }
            Says::Alias(_) | Says::Refers(_) => None,
        };
        if let Some(end) = end {
            steps.push(step);
            let of_type = |record: &&Record| record.record_type() == asked.record_type;
            let answers = answer.answers.iter().filter(of_type).take(MAX_TOLD);
            let answers = answers.map(|record| bounded(record.data.to_string())).collect();
            return DnsTrace { steps, end, answers, error: None };
        }
        match says {
            Says::Refers(next) => {
                let servers = servers_of(&answer, &next, &zone);
                step.referred_to = Some(next.to_string());
                step.servers =
                    servers.iter().filter_map(|of| of.name.clone()).take(MAX_TOLD).collect();
                zone = next;
                left = servers.iter().take(MAX_SERVERS).cloned().collect();
            }
            Says::Alias(name) => {
                aliases += 1;
                if aliases > MAX_ALIASES {
                    steps.push(step);
                    return failed(steps, format!("more than {MAX_ALIASES} aliases"));
                }
                asked.name = name;
                zone = Name::root();
                left = start.roots.iter().take(MAX_SERVERS).cloned().collect();
            }
            _ => {}
        }
        steps.push(step);
    }
}

/// Asks one server, over UDP and, where the answer does not fit, over TCP.
async fn ask(
    question: &Question,
    server: &Server,
    port: u16,
    until: Instant,
    dial: &Dial<'_>,
    step: &mut DnsStep,
) -> Result<Message, String> {
    let mut outcome = Outcome::default();
    let ip = match (server.address, &server.name) {
        (Some(ip), _) if server.chosen => {
            dial.gate.map_or(Ok(()), |gate| gate.pass_politely(ip, &mut outcome)).map(|()| ip)
        }
        (Some(ip), _) => dial.gate.map_or(Ok(()), |gate| gate.pass(ip, &mut outcome)).map(|()| ip),
        (None, Some(name)) => {
            let name = name.trim_end_matches('.');
            dial.resolve(name, Family::Any, until, "dns.lookup_ms", &mut outcome).await
        }
        (None, None) => Err("the server has neither name nor address".into()),
    };
    step.address = outcome.address.or(server.address).map(|ip| SocketAddr::new(ip, port));
    let address = SocketAddr::new(ip?, port);
    let mut query = question.query();
    query.metadata.recursion_desired = false;
    query.metadata.authentic_data = false;
    let (id, bytes) = (query.metadata.id, written(&query)?);
    let begin = Instant::now();
    let mut answer = over_udp(&bytes, id, question, address, until, &mut outcome).await?;
    if answer.metadata.truncation {
        answer = over_tcp(&bytes, id, question, address, until).await?;
    }
    step.duration_ms = Some(elapsed_ms(begin));
    Ok(answer)
}

fn bounded(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

fn describe(answer: &Message, step: &mut DnsStep) {
    step.rcode = Some(format!("{:?}", answer.metadata.response_code));
    step.authoritative = answer.metadata.authoritative;
    let told = answer.answers.iter().take(MAX_TOLD);
    step.answers = told
        .map(|record| bounded(format!("{} {} {}", record.name, record.record_type(), record.data)))
        .collect();
}

/// Any answer, as one of a server of two zones.
#[cfg(fuzzing)]
pub(crate) fn fuzzed(answer: &Message, asked: &Question) {
    for zone in [Name::root(), asked.name.clone()] {
        read(answer, asked, &zone);
    }
}

/// What an answer of a server of `zone` says.
fn read(answer: &Message, asked: &Question, zone: &Name) -> Says {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Says::Nothing(format!("it answers {code:?}")),
    }
    // Who is responsible says so (RFC 1034 §6.2); a resolver in its place does not.
    let decides =
        answer.metadata.response_code == ResponseCode::NXDomain || !answer.answers.is_empty();
    if decides && !answer.metadata.authoritative {
        return Says::Nothing(
            "it answers and does not say that it is responsible (no aa): something on the way may answer in its place"
                .into(),
        );
    }
    // Within one answer aliases lead from one to the next, in any order.
    let mut name = asked.name.clone();
    for _ in 0..MAX_ALIASES {
        let of_name = || answer.answers.iter().filter(|record| record.name == name);
        let any = asked.record_type == RecordType::ANY;
        if of_name().any(|record| any || record.record_type() == asked.record_type) {
            return Says::Answer;
        }
        let alias = of_name().find_map(|record| match &record.data {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        });
        match alias {
            Some(alias) => name = alias,
            None => break,
        }
    }
    if name != asked.name {
        return Says::Alias(name);
    }
    if answer.metadata.response_code == ResponseCode::NXDomain {
        return Says::NoSuchName;
    }
    let ns = answer.authorities.iter().filter(|record| record.record_type() == RecordType::NS);
    // A referral leads down, towards the name: anything else leads in circles.
    let mut down = ns.filter(|record| {
        zone.zone_of(&record.name) && record.name != *zone && record.name.zone_of(&asked.name)
    });
    if let Some(record) = down.next().filter(|_| !answer.metadata.authoritative) {
        return Says::Refers(record.name.clone());
    }
    if answer.answers.is_empty() && answer.metadata.authoritative {
        return Says::NoData;
    }
    Says::Nothing("it is not responsible, and refers to nobody who is".into())
}

/// The servers of the zone that an answer refers to. An address that stands beside is taken for a name within the zone
/// of who says it: of others it is not theirs to say (RFC 2181 §5.4.1).
fn servers_of(answer: &Message, next: &Name, zone: &Name) -> Vec<Server> {
    let names = answer.authorities.iter().filter_map(|record| match &record.data {
        RData::NS(name) if record.name == *next => Some(name.0.clone()),
        _ => None,
    });
    let mut servers: Vec<Server> = names
        .take(MAX_TOLD)
        .map(|name| {
            let beside = answer.additionals.iter().filter(|record| record.name == name);
            let addresses: Vec<IpAddr> = beside
                .filter_map(|record| match &record.data {
                    RData::A(a) => Some(IpAddr::V4(a.0)),
                    RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                    _ => None,
                })
                .collect();
            let v4 = addresses.iter().find(|ip| ip.is_ipv4()).or(addresses.first()).copied();
            let address = v4.filter(|_| zone.zone_of(&name));
            Server { name: Some(name.to_string()), address, chosen: false }
        })
        .collect();
    // Those whose addresses are known need no look-up.
    servers.sort_by_key(|server| server.address.is_none());
    servers
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
