//! Chains of zones that these tests sign, whole ones and broken ones.

mod zones;

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKeyBuf, TrustAnchors};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::judge::{Fetched, Judge, Next};
use super::*;
use zones::{Denies, NOW_S, World, name};

const HASHED: Denies = Denies::Nsec3 { iterations: 5, opt_out: false };
const BOTH: [Denies; 2] = [Denies::Nsec, HASHED];

/// What an answer is, everything else being what `reply` says.
fn judged(
    anchors: &Anchors,
    (asked, kind): (&str, RecordType),
    answer: &Message,
    now_s: u32,
    reply: impl Fn(&Name, RecordType) -> Result<Message, String>,
) -> (Verdict, Spent) {
    let (mut judge, mut fetched) = (Judge::new(anchors, now_s), Fetched::new());
    loop {
        match judge.step((&name(asked), kind), answer, &fetched) {
            Next::Is(verdict) => return (verdict, judge.spent),
            Next::Needs(name, kind) => {
                assert!(fetched.len() < 200, "it ends");
                let reply = reply(&name, kind);
                assert!(fetched.insert((name, kind), reply).is_none(), "nothing is asked twice");
            }
        }
    }
}

fn of(world: &World, asked: &str, kind: RecordType) -> Verdict {
    let answer = world.reply(&name(asked), kind);
    changed(world, asked, kind, &answer)
}

fn changed(world: &World, asked: &str, kind: RecordType, answer: &Message) -> Verdict {
    let reply = |name: &Name, kind| Ok(world.reply(name, kind));
    judged(&world.anchors(), (asked, kind), answer, NOW_S, reply).0
}

fn broken(verdict: &Verdict, trust: Trust, zone: &str, why: &str) {
    assert_eq!(verdict.trust, trust, "{verdict:?}");
    assert_eq!(verdict.zone, Some(name(zone)), "{verdict:?}");
    assert!(verdict.reason.contains(why), "{verdict:?}");
}

#[test]
fn what_is_signed_from_the_anchor_down_is_secure_and_so_is_its_denial() {
    for denies in BOTH {
        let world = World::new(denies);
        for (asked, kind) in [
            ("www.example.", RecordType::A),
            ("www.below.example.", RecordType::A),
            ("WWW.Below.example.", RecordType::A),
            ("to.below.example.", RecordType::A),
            ("to.below.example.", RecordType::CNAME),
            ("any.wild.below.example.", RecordType::A),
            ("a.b.wild.below.example.", RecordType::A),
            ("below.example.", RecordType::DS),
            ("below.example.", RecordType::DNSKEY),
            ("example.", RecordType::SOA),
            (".", RecordType::NS),
            // Denied: the type, the name, what has only names below it, what a wildcard has not.
            ("www.below.example.", RecordType::MX),
            ("www.below.example.", RecordType::DS),
            ("nothing.below.example.", RecordType::A),
            ("not.there.example.", RecordType::A),
            ("b.below.example.", RecordType::A),
            ("any.wild.below.example.", RecordType::MX),
            ("zz.", RecordType::A),
        ] {
            let verdict = of(&world, asked, kind);
            assert_eq!(verdict.trust, Trust::Secure, "{asked} {kind}: {verdict:?}");
        }
    }
}

#[test]
fn what_nobody_vouches_for_is_insecure_and_says_where_the_chain_ends() {
    for denies in [Denies::Nsec, HASHED, Denies::Nsec3 { iterations: 0, opt_out: true }] {
        let world = World::new(denies);
        for asked in ["host.plain.example.", "plain.example.", "out.example."] {
            let verdict = of(&world, asked, RecordType::A);
            broken(&verdict, Trust::Insecure, "plain.example.", "it is not signed");
        }
    }
    let mut world = World::new(Denies::Nsec3 { iterations: 101, opt_out: false });
    let verdict = of(&world, "host.plain.example.", RecordType::A);
    broken(&verdict, Trust::Insecure, "example.", "RFC 9276");
    // Algorithms that are not understood: as if it were not signed (RFC 4035 §5.2).
    let unknown = DS::new(1, Algorithm::Unknown(200), DigestType::SHA256, vec![0; 32]);
    let of_root = world.zone(".");
    of_root.records.retain(|record| record.record_type() != RecordType::DS);
    of_root.add(&name("example."), RData::DNSSEC(DNSSECRData::DS(unknown)));
    let verdict = of(&world, "www.example.", RecordType::A);
    broken(&verdict, Trust::Insecure, "example.", "not understood");
}

fn without(answer: &Message, kind: RecordType) -> Message {
    let mut answer = answer.clone();
    answer.answers.retain(|record| record.record_type() != kind);
    answer.authorities.retain(|record| record.record_type() != kind);
    answer
}

#[test]
fn what_should_be_signed_and_is_not_is_bogus_with_its_zone_and_reason() {
    let a = RecordType::A;
    for denies in BOTH {
        let mut world = World::new(denies);
        let www = "www.below.example.";
        let answer = world.reply(&name(www), a);
        let bare = without(&answer, RecordType::RRSIG);
        broken(&changed(&world, www, a, &bare), Trust::Bogus, "below.example.", "is signed, and");
        let mut other = answer.clone();
        other.answers[0].data = RData::A(hickory_proto::rr::rdata::A::new(192, 0, 2, 66));
        broken(&changed(&world, www, a, &other), Trust::Bogus, "below.example.", "is wrong");
        // A name that is there is denied: with no proof, and with that of another name.
        let gone = "nothing.below.example.";
        let denied = world.reply(&name(gone), a);
        broken(&changed(&world, www, a, &denied), Trust::Bogus, "below.example.", "");
        let mut nothing = without(&without(&denied, RecordType::NSEC), RecordType::NSEC3);
        broken(&changed(&world, gone, a, &nothing), Trust::Bogus, "below.example.", "not shown");
        nothing.authorities.clear();
        broken(&changed(&world, gone, a, &nothing), Trust::Bogus, "below.example.", "is signed");
        let mut none = world.reply(&name(www), RecordType::MX);
        none.metadata.response_code = ResponseCode::NXDomain;
        let verdict = changed(&world, www, RecordType::MX, &none);
        broken(&verdict, Trust::Bogus, "below.example.", "is there by its own zone");
        let none = world.reply(&name(www), RecordType::MX);
        broken(&changed(&world, www, a, &none), Trust::Bogus, "below.example.", "was left out");
        // What a wildcard makes needs more than its signature.
        let wild = "any.wild.below.example.";
        let mut made = world.reply(&name(wild), a);
        made.authorities.clear();
        broken(&changed(&world, wild, a, &made), Trust::Bogus, "below.example.", "wildcard");
        // A secure alias does not make up for where it leads.
        let mut led = world.reply(&name("to.below.example."), a);
        led.answers
            .retain(|record| record.name != name("www.example.") || record.record_type() == a);
        let verdict = changed(&world, "to.below.example.", a, &led);
        broken(&verdict, Trust::Bogus, "example.", "is signed, and");

        world.zone("below.example.").valid_s = (NOW_S - 8_000, NOW_S - 7_200);
        broken(&of(&world, www, a), Trust::Bogus, "below.example.", "ended 2.0 h ago");
        world.zone("below.example.").valid_s = (NOW_S + 7_200, NOW_S + 8_000);
        broken(&of(&world, www, a), Trust::Bogus, "below.example.", "valid in 2.0 h only");

        // Another key than the parent's DS names, and a DS that the parent has and somebody leaves out.
        let mut world = World::new(denies);
        let other = World::new(denies).zones.remove(2);
        let at = world.zones.iter().position(|zone| zone.name == other.name).expect("there");
        world.zones[at] = other;
        broken(&of(&world, www, a), Trust::Bogus, "below.example.", "DS records of its parent");
        let world = World::new(denies);
        let reply = |asked: &Name, kind| {
            Ok(match kind {
                RecordType::DS if *asked == name("below.example.") => {
                    let mut left_out = world.reply(&name("www.example."), kind);
                    left_out.metadata.response_code = ResponseCode::NoError;
                    left_out
                }
                kind => world.reply(asked, kind),
            })
        };
        let (verdict, _) =
            judged(&world.anchors(), (www, a), &world.reply(&name(www), a), NOW_S, reply);
        assert_eq!(verdict.trust, Trust::Bogus, "{verdict:?}");
        broken(&verdict, Trust::Bogus, "example.", "not shown");
    }
    let world = World::new(Denies::Nsec);
    let answer = world.reply(&name("www.example."), a);
    let internet = Anchors::of(&[]).expect("built in");
    let reply = |name: &Name, kind| Ok(world.reply(name, kind));
    let (verdict, _) = judged(&internet, ("www.example.", a), &answer, NOW_S, reply);
    broken(&verdict, Trust::Bogus, ".", "20326, 38696");
}

#[test]
fn what_is_not_to_be_had_is_indeterminate() {
    let world = World::new(Denies::Nsec);
    let a = RecordType::A;
    let answer = world.reply(&name("www.example."), a);
    let silent = |_: &Name, _| Err("it did not answer in time".to_owned());
    let (verdict, _) = judged(&world.anchors(), ("www.example.", a), &answer, NOW_S, silent);
    broken(&verdict, Trust::Indeterminate, ".", "DNSKEY is not to be had: it did not answer");
    let failing = |asked: &Name, kind| {
        let mut reply = world.reply(asked, kind);
        if kind == RecordType::DS {
            reply.metadata.response_code = ResponseCode::ServFail;
        }
        Ok(reply)
    };
    let (verdict, _) = judged(&world.anchors(), ("www.example.", a), &answer, NOW_S, failing);
    broken(&verdict, Trust::Indeterminate, "example.", "ServFail");
}

#[test]
fn who_answers_makes_no_work_without_a_bound() {
    let a = RecordType::A;
    let world = World::new(HASHED);
    // KeyTrap (CVE-2023-50387): many signatures that are wrong, by keys that fit.
    let mut answer = world.reply(&name("www.example."), a);
    let signature = answer.answers.pop().expect("signed");
    let Some(DNSSECRData::RRSIG(good)) = data(&signature) else { panic!("no signature") };
    for n in 0..500_u16 {
        let bytes = [&n.to_be_bytes(), &good.sig()[2..]].concat();
        let wrong = RRSIG::from_sig(good.input().clone(), bytes);
        let data = RData::DNSSEC(DNSSECRData::RRSIG(wrong));
        answer.answers.push(Record::from_rdata(signature.name.clone(), 60, data));
    }
    let reply = |name: &Name, kind| Ok(world.reply(name, kind));
    let (verdict, spent) = judged(&world.anchors(), ("www.example.", a), &answer, NOW_S, reply);
    broken(&verdict, Trust::Bogus, "example.", "no more are tried");
    assert!(spent.signatures <= 5 + MAX_TRIES, "{spent:?}");
    // Thousands of NSEC3 records (CVE-2023-50868), a name of many labels, and as many cuts as it likes.
    let long = format!("{}example.", "a.".repeat(100));
    let denied = world.reply(&name(&long), a);
    let (verdict, spent) = judged(&world.anchors(), (&long, a), &denied, NOW_S, reply);
    broken(&verdict, Trust::Indeterminate, "example.", "would be hashed");
    assert_eq!(spent.hashes, MAX_HASHES);
    let mut many = world.reply(&name("not.there.example."), a);
    let kept = many.authorities.clone();
    many.authorities.clear();
    for n in 0..1_000 {
        for record in &kept {
            let mut record = record.clone();
            record.name = name(&format!("{n}.example."));
            many.authorities.push(record);
        }
    }
    let (verdict, spent) = judged(&world.anchors(), ("not.there.example.", a), &many, NOW_S, reply);
    assert_eq!(verdict.trust, Trust::Bogus, "{verdict:?}");
    assert!(spent.signatures <= MAX_SIGNATURES, "{spent:?}");
}

#[test]
fn the_anchors_are_the_keys_of_the_internets_root() {
    let Anchors(ds) = Anchors::of(&[]).expect("built in");
    // Their keys come with the library.
    let keys = TrustAnchors::default();
    let all: Vec<DNSKEY> = (0..keys.len())
        .map(|at| {
            let key: &PublicKeyBuf = keys.get(at).expect("there");
            DNSKEY::with_flags(257, key.clone())
        })
        .collect();
    assert_eq!((ds.len(), all.len()), (2, 2));
    for (ds, key) in ds.iter().zip(&all) {
        assert_eq!(ds.key_tag(), key.calculate_key_tag().expect("a tag"));
        assert!(ds.covers(&Name::root(), key).expect("a digest"));
    }
    let written =
        vec![format!(". IN DS {}", ROOT_ANCHORS[0]), "1 13 4 ".to_owned() + &"aB".repeat(48)];
    assert_eq!(Anchors::of(&written).expect("valid").0.len(), 2);
    for bad in [
        "",
        "1 8 2",
        "1 8 2 zz",
        "1 8 3 00",
        "x 8 2 00",
        "1 200 2 00",
        &format!("1 8 2 {}", "é".repeat(32)),
    ] {
        let why = Anchors::of(&[bad.to_owned()]).expect_err(bad);
        assert!(why.starts_with("planes.active.dns_anchors"), "{why}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(512))]
    #[test]
    fn nothing_that_was_altered_is_secure(
        flips in proptest::collection::vec((0_usize..10_000, 1_u8..=255), 1..4),
        hashed: bool,
        which in 0_usize..4,
    ) {
        let world = World::new(if hashed { HASHED } else { Denies::Nsec });
        let asked = ["www.below.example.", "to.below.example.", "any.wild.below.example.", "gone.example."][which];
        let good = world.reply(&name(asked), RecordType::A);
        let mut bytes = good.to_vec().expect("written");
        for (at, flip) in flips {
            let at = at % bytes.len();
            bytes[at] ^= flip;
        }
        let Ok(bad) = Message::from_vec(&bytes) else { return Ok(()) };
        let verdict = changed(&world, asked, RecordType::A, &bad);
        let says = |message: &Message| -> Vec<(Name, RData)> {
            let of = message.answers.iter().filter(|record| record.record_type() != RecordType::RRSIG);
            let mut of: Vec<_> = of.map(|record| (record.name.clone(), record.data.clone())).collect();
            of.sort();
            of
        };
        if verdict.trust == Trust::Secure {
            let asked = name(asked);
            let leads = says(&bad).into_iter().filter(|said| !says(&good).contains(said));
            // What is new beside the way from the question to its answer is nobody's claim.
            let reached: Vec<Name> = says(&good).into_iter().map(|(name, _)| name).chain([asked]).collect();
            let leads: Vec<_> = leads.filter(|(name, data)| reached.contains(name) && matches!(data, RData::A(_) | RData::CNAME(_))).collect();
            proptest::prop_assert!(leads.is_empty(), "{:?}", leads);
        }
    }
}

/// A name server of a world, over UDP, that takes part of a question's name to be silent about.
async fn served(world: World, silent: &'static str) -> std::net::SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).expect("a query");
            let edns = query.edns.as_ref().expect("EDNS");
            assert!(edns.flags().dnssec_ok && query.metadata.checking_disabled);
            let asked = &query.queries[0];
            if !silent.is_empty() && asked.name == name(silent) {
                continue;
            }
            let mut answer = world.reply(&asked.name, asked.query_type);
            answer.metadata.id = query.metadata.id;
            answer.queries.clone_from(&query.queries);
            let _ = socket.send_to(&answer.to_vec().expect("written"), from).await;
        }
    });
    address
}

#[tokio::test]
async fn a_probe_fetches_what_is_needed_and_tells_what_it_found() {
    use super::super::{Question, Server, Validation, probe};
    use crate::probes::{Dial, Resolver, Roots};
    let wide = || {
        let mut world = World::new(Denies::Nsec);
        for zone in &mut world.zones {
            zone.valid_s = (1_000_000_000, 2_100_000_000);
        }
        world
    };
    for (asked, silent, broken, required, trust, says) in [
        ("www.below.example", "", false, true, "secure", None),
        ("host.plain.example", "", false, false, "insecure", None),
        ("host.plain.example", "", false, true, "insecure", Some("DNSSEC: insecure: its parent")),
        ("www.below.example", "", true, false, "bogus", Some("DNSSEC: bogus: the signature of")),
        ("www.below.example", "example.", false, false, "indeterminate", Some("did not answer")),
    ] {
        let mut world = wide();
        if broken {
            world.zone("below.example.").valid_s.1 = 1_000_000_001;
        }
        let anchors = world.anchors();
        let server = Server::Plain { address: Some(served(world, silent).await), tcp: false };
        let question = Question::parse(asked, "A").and_then(Question::validated).expect("valid");
        let limit = std::time::Duration::from_secs(if silent.is_empty() { 60 } else { 1 });
        let resolver = Resolver::default();
        let validation = Some(Validation { anchors: &anchors, required });
        let dial = Dial::open(&resolver);
        let outcome = probe(&question, &server, &Roots::load(""), validation, limit, &dial).await;
        let said = |column: &str| {
            let mut of = outcome.attributes.iter().filter(|(name, _)| *name == column);
            let found = of.next().map(|(_, text)| text.as_str());
            assert_eq!(of.next(), None, "{column} is said once");
            found
        };
        assert_eq!(said("dns.dnssec"), Some(trust), "{asked}: {outcome:?}");
        assert_eq!(said("network.transport"), Some("udp"));
        assert_eq!(said("dns.dnssec.reason").is_none(), trust == "secure");
        let error = outcome.error.as_deref();
        assert_eq!(error.is_some(), says.is_some(), "{asked}: {error:?}");
        assert!(error.unwrap_or_default().contains(says.unwrap_or_default()), "{error:?}");
        let metric = |column: &str| {
            outcome.metrics.iter().find(|(name, _)| *name == column).map(|(_, value)| *value)
        };
        if trust == "secure" {
            assert_eq!((metric("dns.answers"), said("dns.answer")), (Some(1.0), Some("192.0.2.7")));
            assert_eq!(metric("dns.dnssec.lookups"), Some(5.0), "keys of 3 zones, DS of 2");
            assert_eq!(metric("dns.dnssec.signatures"), Some(6.0));
            assert!(metric("dns.dnssec.days_to_expiry") > Some(1.0));
        }
    }
}
