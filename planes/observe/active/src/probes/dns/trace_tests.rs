//! A small tree of zones on loopback: root, example., shop.example.

use std::net::SocketAddr;

use hickory_proto::rr::rdata;
use proptest::prelude::*;
use tokio::net::UdpSocket;

use super::super::super::{Gate, Resolver};
use super::*;
use crate::runner::NodeLimits;
use crate::{Config, Guard};

const LIMIT: Duration = Duration::from_secs(20);

fn name(text: &str) -> Name {
    Name::from_utf8(text).expect("valid")
}

fn record(of: &str, data: RData) -> Record {
    Record::from_rdata(name(of), 60, data)
}

fn ns(zone: &str, server: &str) -> Record {
    record(zone, RData::NS(rdata::NS(name(server))))
}

fn a(of: &str, last: u8) -> Record {
    record(of, RData::A(rdata::A::new(127, 0, 0, last)))
}

fn soa(zone: &str) -> Record {
    record(zone, RData::SOA(rdata::SOA::new(name("ns."), name("who."), 1, 2, 3, 4, 5)))
}

type Reply = fn(&Name, Message) -> Option<Message>;

/// Servers at 127.0.0.1, .2, … of one port.
async fn tree(replies: &[Reply]) -> u16 {
    let mut sockets = Vec::new();
    'again: loop {
        sockets.clear();
        let first = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let port = first.local_addr().expect("bound").port();
        sockets.push(first);
        for last in 2..=replies.len() as u8 {
            match UdpSocket::bind(SocketAddr::from(([127, 0, 0, last], port))).await {
                Ok(socket) => sockets.push(socket),
                Err(_) => continue 'again,
            }
        }
        break;
    }
    let port = sockets[0].local_addr().expect("bound").port();
    for (socket, reply) in sockets.into_iter().zip(replies) {
        let reply = *reply;
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let query = Message::from_vec(&buffer[..length]).expect("a query");
                assert!(!query.metadata.recursion_desired, "nobody is asked to do the work");
                let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
                answer.queries.clone_from(&query.queries);
                if let Some(answer) = reply(&query.queries[0].name, answer) {
                    let _ = socket.send_to(&answer.to_vec().expect("written"), from).await;
                }
            }
        });
    }
    port
}

fn root(of: &Name, mut answer: Message) -> Option<Message> {
    if name("example.").zone_of(of) {
        answer.authorities = vec![ns("example.", "ns.example.")];
        answer.additionals = vec![a("ns.example.", 2)];
    } else {
        answer.metadata.authoritative = true;
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.authorities = vec![soa(".")];
    }
    Some(answer)
}

fn example(of: &Name, mut answer: Message) -> Option<Message> {
    if name("shop.example.").zone_of(of) {
        // The first is silent, the second knows.
        answer.authorities = vec![
            ns("shop.example.", "ns1.shop.example."),
            ns("shop.example.", "ns2.shop.example."),
        ];
        answer.additionals = vec![a("ns1.shop.example.", 4), a("ns2.shop.example.", 3)];
    } else {
        answer.metadata.authoritative = true;
        answer.authorities = vec![soa("example.")];
        if *of == name("round.example.") {
            answer.answers =
                vec![record("round.example.", RData::CNAME(rdata::CNAME(name("round2.example."))))];
        } else if *of == name("round2.example.") {
            answer.answers =
                vec![record("round2.example.", RData::CNAME(rdata::CNAME(name("round.example."))))];
        }
    }
    Some(answer)
}

fn shop(of: &Name, mut answer: Message) -> Option<Message> {
    answer.metadata.authoritative = true;
    if *of == name("www.shop.example.") {
        answer.answers =
            vec![record("www.shop.example.", RData::CNAME(rdata::CNAME(name("a.shop.example."))))];
    } else if *of == name("a.shop.example.") {
        answer.answers = vec![a("a.shop.example.", 77)];
    } else {
        answer.metadata.response_code = ResponseCode::NXDomain;
        answer.authorities = vec![soa("shop.example.")];
    }
    Some(answer)
}

fn silent(_: &Name, _: Message) -> Option<Message> {
    None
}

async fn run(port: u16, of: &str, gate: Option<&Gate>) -> DnsTrace {
    let question = Question::parse(of, "A").expect("valid");
    let start = Start::of(&[format!("127.0.0.1:{port}")]).expect("valid");
    let resolver = Resolver::default();
    trace(&question, &start, Instant::now() + LIMIT, &Dial::new(&resolver, gate), || Ok(())).await
}

#[tokio::test]
async fn each_referral_is_followed_and_told() {
    let port = tree(&[root, example, shop, silent]).await;
    let found = run(port, "www.shop.example", None).await;
    assert_eq!(
        (found.end, &found.answers[..]),
        (DnsTraceEnd::Answered, &["127.0.0.77".to_owned()][..]),
        "{found:?}"
    );
    let zones: Vec<&str> = found.steps.iter().map(|step| step.zone.as_str()).collect();
    // Down once for the alias, and once more for what it leads to; the silent one is asked before the other.
    assert_eq!(zones, [".", "example.", "shop.example.", "shop.example."].repeat(2));
    assert_eq!(found.steps[0].referred_to.as_deref(), Some("example."));
    assert_eq!(found.steps[1].servers, ["ns1.shop.example.", "ns2.shop.example."]);
    assert!(found.steps[2].error.as_deref().expect("silent").contains("in time"));
    assert!(found.steps[3].authoritative && found.steps[3].duration_ms.is_some());
    let none = run(port, "nothing.shop.example", None).await;
    assert_eq!((none.end, none.error), (DnsTraceEnd::NoSuchName, None));
    assert_eq!(run(port, "other.example", None).await.end, DnsTraceEnd::NoData);
    assert_eq!(run(port, "elsewhere", None).await.end, DnsTraceEnd::NoSuchName);
}

#[tokio::test]
async fn circles_end_and_what_the_guard_refuses_is_not_asked() {
    let port = tree(&[root, example]).await;
    let round = run(port, "round.example", None).await;
    assert!(round.error.expect("it ends").contains("aliases"));
    assert!(round.steps.len() <= 2 * (MAX_ALIASES as usize + 1));
    let guard =
        Gate::new(Guard::default(), std::sync::Arc::new(NodeLimits::new(&Config::default())));
    let refused = run(port, "a.shop.example", Some(&guard)).await;
    assert_eq!(refused.end, DnsTraceEnd::Failed);
    assert_eq!(refused.steps[0].error, None, "the operator chose the root");
    assert!(
        refused.steps[1].error.as_deref().expect("private").contains("127.0.0.2 is not dialled")
    );
    // One that refers to itself, or up, leads nowhere.
    fn up(_: &Name, mut answer: Message) -> Option<Message> {
        answer.authorities = vec![ns(".", "ns.example."), ns("other.", "ns.other.")];
        Some(answer)
    }
    let port = tree(&[up]).await;
    let lame = run(port, "a.example", None).await;
    assert!(lame.steps[0].error.as_deref().expect("lame").contains("refers to nobody"));
    // A resolver that stands in the way is told from who is responsible.
    fn resolver_in_the_way(of: &Name, mut answer: Message) -> Option<Message> {
        answer.metadata.recursion_available = true;
        match *of == name("a.example.") {
            true => answer.answers = vec![a("a.example.", 9)],
            false => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        Some(answer)
    }
    let there = tree(&[resolver_in_the_way]).await;
    for of in ["a.example", "b.example"] {
        let found = run(there, of, None).await;
        assert_eq!(found.end, DnsTraceEnd::Failed);
        assert!(found.steps[0].error.as_deref().expect("told").contains("no aa"), "{found:?}");
    }
    let question = Question::parse("a.example", "A").expect("valid");
    let start = Start::of(&[format!("127.0.0.1:{port}")]).expect("valid");
    let resolver = Resolver::default();
    let dial = Dial::new(&resolver, None);
    let until = Instant::now() + LIMIT;
    let held = trace(&question, &start, until, &dial, || Err("too often".into())).await;
    assert_eq!((held.steps.len(), held.error.as_deref()), (1, Some("too often")));
}

#[test]
fn roots_are_those_of_the_internet_or_the_configured() {
    assert_eq!(Start::of(&[]).expect("valid").roots.len(), 13);
    let own = Start::of(&["192.0.2.1:5353".into(), "2001:db8::1".into()]).expect("valid");
    assert_eq!((own.port, own.roots.len()), (5353, 2));
    assert!(Start::of(&["nowhere".into()]).is_err_and(|why| why.contains("dns_roots: nowhere")));
}

proptest! {
    #[test]
    fn no_answer_panics(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let mut answer = Message::response(1, hickory_proto::op::OpCode::Query);
        answer = example(&name("a.shop.example."), answer).expect("one");
        let mut bytes = answer.to_vec().expect("written");
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(answer) = Message::from_vec(&bytes) {
            let asked = Question::parse("a.shop.example", "A").expect("valid");
            if let Says::Refers(next) = read(&answer, &asked, &name("example.")) {
                // Only ever down, and towards the name.
                prop_assert!(name("example.").zone_of(&next) && next.zone_of(&asked.name) && next != name("example."));
                let _ = servers_of(&answer, &next, &name("example."));
            }
        }
    }
}
