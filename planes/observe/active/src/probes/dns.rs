//! A question to a name server (RFC 1035), over UDP, and over TCP where the answer does not fit.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::dial::Gate;
use super::left;
use super::tcp::connect;
use crate::outcome::{Outcome, elapsed_ms};

const PORT: u16 = 53;
/// What we say that we take over UDP (RFC 9715 §3).
const UDP_PAYLOAD: u16 = 1_232;
const MAX_SHOWN_ANSWERS: usize = 5;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    name: Name,
    record_type: RecordType,
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
        Ok(Self { name: parsed, record_type })
    }

    fn is_met_by(&self, answer: &Message) -> bool {
        let any = self.record_type == RecordType::ANY;
        answer.answers.iter().any(|record| any || record.record_type() == self.record_type)
    }
}

/// The configured server; `None`: the system's.
pub(crate) fn server(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, PORT)));
    }
    text.parse().map(Some).map_err(|_| {
        format!("dns_server \"{text}\": it is an address or address:port, such as 192.0.2.53 or [2001:db8::53]:53")
    })
}

/// Asks once.
pub(crate) async fn probe(
    question: &Question,
    server: Option<SocketAddr>,
    limit: Duration,
    gate: Option<&Gate>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    outcome.attribute("dns.question.name", question.name.to_string());
    outcome.attribute("dns.question.type", question.record_type.to_string());
    let is_systems = server.is_none();
    let server = match server.map_or_else(system_server, Ok) {
        Ok(server) => server,
        Err(error) => return outcome.failed(error),
    };
    outcome.address = Some(server.ip());
    let passed = match gate {
        None => Ok(()),
        // Which servers the system asks, its operator decided: a test only says what is asked.
        Some(gate) if is_systems => gate.pass_politely(server.ip(), &mut outcome),
        Some(gate) => gate.pass(server.ip(), &mut outcome),
    };
    if let Err(error) = passed {
        return outcome.failed(error);
    }
    outcome.attribute("dns.server", server.to_string());
    let begin = Instant::now();
    let answer = match ask(question, server, until, &mut outcome).await {
        Ok(answer) => answer,
        Err(error) => return outcome.failed(error),
    };
    let ms = elapsed_ms(begin);
    outcome.metric("dns.query_ms", ms);
    outcome.duration_ms = Some(ms);
    outcome.metric("dns.answers", answer.answers.len() as f64);
    let code = answer.metadata.response_code;
    outcome.attribute("dns.rcode", format!("{code:?}"));
    let shown: Vec<String> = answer
        .answers
        .iter()
        .take(MAX_SHOWN_ANSWERS)
        .map(|record| record.data.to_string())
        .collect();
    if !shown.is_empty() {
        outcome.attribute("dns.answer", shown.join(", "));
    }
    match code {
        // An alias alone is no answer: the name that it leads to may have nothing.
        ResponseCode::NoError if !question.is_met_by(&answer) => outcome.failed(format!(
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

async fn ask(
    question: &Question,
    server: SocketAddr,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<Message, String> {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(question.name.clone(), question.record_type));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    query.set_edns(edns);
    let id = query.metadata.id;
    let bytes =
        query.to_vec().map_err(|error| format!("the question cannot be written: {error}"))?;
    let answer = over_udp(&bytes, id, question, server, until, outcome).await?;
    if !answer.metadata.truncation {
        outcome.attribute("network.transport", "udp");
        return Ok(answer);
    }
    outcome.attribute("network.transport", "tcp");
    over_tcp(&bytes, id, question, server, until).await
}

async fn over_udp(
    query: &[u8],
    id: u16,
    question: &Question,
    server: SocketAddr,
    until: Instant,
    outcome: &mut Outcome,
) -> Result<Message, String> {
    let any: SocketAddr = if server.is_ipv4() {
        SocketAddr::from(([0, 0, 0, 0], 0))
    } else {
        SocketAddr::from(([0_u16; 8], 0))
    };
    let failed = |error: std::io::Error| format!("{server}: {error}");
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(query).await.map_err(failed)?;
    let mut buffer = [0; UDP_PAYLOAD as usize + 1];
    let mut unmatched = 0.0;
    loop {
        let received = tokio::time::timeout(left(until), socket.recv(&mut buffer)).await;
        let length = match received {
            Ok(Ok(length)) => length,
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => {
                let noise = if unmatched > 0.0 { ", though other answers came" } else { "" };
                return Err(format!("{server} did not answer in time{noise}"));
            }
        };
        match parse(&buffer[..length], id, question) {
            Ok(answer) => return Ok(answer),
            // Someone else's answer, or a forged one: ours may still come.
            Err(_) => {
                unmatched += 1.0;
                outcome.metrics.retain(|(name, _)| *name != "dns.unmatched");
                outcome.metric("dns.unmatched", unmatched);
            }
        }
    }
}

async fn over_tcp(
    query: &[u8],
    id: u16,
    question: &Question,
    server: SocketAddr,
    until: Instant,
) -> Result<Message, String> {
    let mut stream = connect(server, until).await?;
    let exchange = async {
        // RFC 1035 §4.2.2: two bytes of length before the message.
        let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(query).await?;
        let length = usize::from(stream.read_u16().await?);
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(left(until), exchange)
        .await
        .map_err(|_| format!("{server} did not answer over TCP in time"))?
        .map_err(|error| format!("{server} over TCP: {error}"))?;
    parse(&answer, id, question).map_err(|reason| format!("{server} over TCP: {reason}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::{RData, Record, rdata};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(2);

    fn question() -> Question {
        Question::parse("shop.example", "A").expect("valid")
    }

    fn answer_to(query: &[u8]) -> Message {
        let query = Message::from_vec(query).expect("a query");
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.queries.clone_from(&query.queries);
        answer
    }

    fn with_address(mut answer: Message) -> Message {
        let data = RData::A(rdata::A::new(192, 0, 2, 7));
        answer.add_answer(Record::from_rdata(question().name, 60, data));
        answer
    }

    async fn server_that(reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let address = socket.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                for datagram in reply(&buffer[..length]) {
                    let _ = socket.send_to(&datagram, from).await;
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_is_timed_and_shown() {
        let server =
            server_that(|q| vec![with_address(answer_to(q)).to_vec().expect("written")]).await;
        let outcome = probe(&question(), Some(server), LIMIT, None).await;
        assert_eq!(outcome.error, None);
        assert!(outcome.attributes.contains(&("dns.answer", "192.0.2.7".into())));
        assert!(outcome.duration_ms.is_some());
    }

    #[tokio::test]
    async fn wrong_ids_and_nonsense_are_passed_over_and_counted() {
        let server = server_that(|q| {
            let mut forged = with_address(answer_to(q));
            forged.metadata.id ^= 1;
            let good = with_address(answer_to(q)).to_vec().expect("written");
            vec![forged.to_vec().expect("written"), b"nonsense".to_vec(), good]
        })
        .await;
        let outcome = probe(&question(), Some(server), LIMIT, None).await;
        assert_eq!(outcome.error, None);
        assert!(outcome.metrics.contains(&("dns.unmatched", 2.0)), "{:?}", outcome.metrics);
    }

    #[tokio::test]
    async fn a_truncated_answer_is_asked_for_again_over_tcp() {
        let server = server_that(|q| {
            let mut answer = answer_to(q);
            answer.metadata.truncation = true;
            vec![answer.to_vec().expect("written")]
        })
        .await;
        let listener = TcpListener::bind(server).await.expect("the same port over TCP");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("asked");
            let length = usize::from(stream.read_u16().await.expect("a length"));
            let mut query = vec![0; length];
            stream.read_exact(&mut query).await.expect("a query");
            let answer = with_address(answer_to(&query)).to_vec().expect("written");
            stream.write_u16(answer.len() as u16).await.expect("sent");
            stream.write_all(&answer).await.expect("sent");
        });
        let outcome = probe(&question(), Some(server), LIMIT, None).await;
        assert_eq!(outcome.error, None);
        assert!(outcome.attributes.contains(&("network.transport", "tcp".into())));
    }

    #[tokio::test]
    async fn refusals_and_silence_say_what_they_are() {
        let server = server_that(|q| {
            let mut answer = answer_to(q);
            answer.metadata.response_code = ResponseCode::NXDomain;
            vec![answer.to_vec().expect("written")]
        })
        .await;
        let outcome = probe(&question(), Some(server), LIMIT, None).await;
        assert!(outcome.error.expect("failed").contains("does not exist"));
        let silent = server_that(|_| Vec::new()).await;
        let outcome = probe(&question(), Some(silent), Duration::from_millis(100), None).await;
        assert!(outcome.error.expect("failed").contains("did not answer in time"));
    }

    #[tokio::test]
    async fn an_alias_that_leads_nowhere_is_no_answer() {
        let server = server_that(|q| {
            let mut answer = answer_to(q);
            let gone = Name::from_utf8("gone.example.").expect("valid");
            let data = RData::CNAME(rdata::CNAME(gone));
            answer.add_answer(Record::from_rdata(question().name, 60, data));
            vec![answer.to_vec().expect("written")]
        })
        .await;
        let outcome = probe(&question(), Some(server), LIMIT, None).await;
        assert!(outcome.error.expect("failed").contains("has no A records"));
        assert!(outcome.attributes.contains(&("dns.answer", "gone.example.".into())));
    }

    #[tokio::test]
    async fn a_refusal_without_the_question_is_told_and_an_answer_without_it_is_not_taken() {
        let server = server_that(|q| {
            let mut bare = answer_to(q);
            bare.queries.clear();
            let mut refusal = bare.clone();
            refusal.metadata.response_code = ResponseCode::FormErr;
            let bare = with_address(bare);
            vec![bare.to_vec().expect("written"), refusal.to_vec().expect("written")]
        })
        .await;
        let outcome = probe(&question(), Some(server), LIMIT, None).await;
        assert!(outcome.error.expect("failed").contains("FormErr"));
        assert!(outcome.metrics.contains(&("dns.unmatched", 1.0)), "{:?}", outcome.metrics);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stream_of_nonsense_does_not_outlast_the_probes_time() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let server = socket.local_addr().expect("bound");
        let flood = tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            let (_, from) = socket.recv_from(&mut buffer).await.expect("asked");
            loop {
                let _ = socket.send_to(b"nonsense", from).await;
            }
        });
        let outcome = probe(&question(), Some(server), Duration::from_millis(200), None).await;
        flood.abort();
        assert!(outcome.error.expect("failed").contains("though other answers came"));
    }

    #[test]
    fn the_systems_first_server_is_found() {
        let text = "# nameserver 192.0.2.1\nsearch x\nnameserver fe80::1%eth0\n\tnameserver 192.0.2.53 # ours\nnameserver ::1\n";
        assert_eq!(first_server(text), Some(([192, 0, 2, 53], PORT).into()));
        assert_eq!(first_server("nameservers 192.0.2.1\n"), None);
    }

    #[test]
    fn hostile_answers_never_panic() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut query = Message::query();
        query.add_query(Query::query(question().name, RecordType::A));
        let good = with_address(answer_to(&query.to_vec().expect("written")));
        let good = good.to_vec().expect("written");
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            bytes.truncate(rng.random_range(0..=bytes.len()));
            let _ = parse(&bytes, query.metadata.id, &question());
        }
    }
}
