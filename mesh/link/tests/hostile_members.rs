//! Members with a good certificate that keep no rule, over real sockets: what they do not learn, and what
//! the others still get.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::hostile::{CONTROL, Hostile, RPC, SYNC};
use common::{Authority, FakeStore, Node, WEEK, config, doc, equal, eventually, tenant};
use holm_mesh_link::{DocumentStore as _, MeshId};
use holm_mesh_proto::wire::{Control, Hint, HintId, LeaseClaim, Sync};
use holm_mesh_proto::{PeerKey, Scope};
use holm_model::{DocId, DocVersion, HeadsDigest, Millis};
use tokio::net::UdpSocket;

const MESH: MeshId = MeshId([1; 16]);
/// A tenant of which tokyo may know nothing.
const SECRET: &str = "umbrella-7";

/// A node at berlin that holds two tenants, one of them not for tokyo.
async fn berlin(authority: &Authority) -> Node {
    let store = Arc::new(FakeStore::with_tenants(&["acme", SECRET]));
    store.refuse("tokyo", SECRET);
    let identity = authority.identity("berlin", WEEK);
    let node = Node::with_store(config("berlin", &[]), identity, store).await.expect("starts");
    for number in 100..110 {
        publish(&node, SECRET, doc(number), "umbrella's own words");
    }
    node.write(1, "acme's words");
    node
}

fn publish(node: &Node, of: &str, id: DocId, text: &str) {
    let version = node.store.write(&tenant(of), id, Millis::now().0, text.as_bytes());
    node.mesh.publish(version);
}

/// What must not be told: the tenant's name, its documents' ids, digests and words.
fn secrets(node: &Node) -> Vec<Vec<u8>> {
    let of_secret = node.store.documents(&tenant(SECRET)).into_iter();
    let ids = of_secret.flat_map(|v| [v.doc.0.to_vec(), v.heads.0.to_vec()]);
    ids.chain([SECRET.as_bytes().to_vec(), b"umbrella's own words".to_vec()]).collect()
}

fn assert_untold(peer: &Hostile, secrets: &[Vec<u8>]) {
    for secret in secrets {
        assert!(!peer.was_told(secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_may_not_have_a_tenant_gets_no_byte_of_it_whatever_it_asks() {
    let authority = Authority::new("example.org");
    let berlin = berlin(&authority).await;
    let identity = authority.identity("tokyo", WEEK);
    let mut peer = Hostile::connect(&identity, MESH, berlin.address()).await;
    let secret = tenant(SECRET);
    let stolen: Vec<DocVersion> = berlin.store.documents(&secret);

    // It has none of the documents, and pretends that it may.
    let empty = FakeStore::with_tenants(&["acme", SECRET]);
    let mut words = Vec::new();
    for scope in [
        Scope::All,
        Scope::Unchanged,
        Scope::Documents(stolen.iter().map(|version| version.doc).collect()),
    ] {
        words.push(peer.reconcile(&secret, scope, &empty).await.expect_err("refused"));
    }
    // The same words as for a tenant that nobody has.
    words.push(peer.reconcile(&tenant("nobody"), Scope::All, &empty).await.expect_err("refused"));
    assert!(words.iter().all(|word| *word == words[0]), "{words:?}");

    let version = stolen[0].clone();
    let hint = Hint { version: version.clone(), origin: PeerKey([7; 34]) };
    let ids: Vec<HintId> = stolen.iter().map(Hint::id_of).collect();
    let lease = LeaseClaim {
        site: common::site_id("tokyo"),
        node: common::node_name(),
        tenant: secret.clone(),
        generation: 1,
        sequence: 1,
        as_of: Millis::now(),
        relays: vec![],
        proof: None,
    };
    for message in [
        Control::Gossip { hint, hops: 0 },
        Control::Stored(version),
        Control::Leases(vec![lease]),
        Control::Graft(ids),
        Control::SealedGossip { sealed: vec![2; 200], hops: 0 },
        Control::SealedStored(vec![2; 200]),
    ] {
        peer.control.say(&message).await;
    }
    eventually("all of it is refused, and counted", &[&berlin], || {
        berlin.count("messages_not_permitted") >= 2 && berlin.count("hints_no_key") == 2
    })
    .await;
    // News of it, and of what tokyo may know, while it listens.
    publish(&berlin, SECRET, doc(111), "umbrella's own words");
    berlin.write(2, "acme's other words");
    berlin.mesh.hold_lease(&secret, Millis::now());
    peer.control.say(&Control::Graft(vec![])).await;
    peer.listen(Duration::from_secs(2)).await;
    assert_untold(&peer, &secrets(&berlin));
    assert!(peer.was_told(&doc(2).0), "it does hear what is meant for it: {}", peer.heard());
    assert!(berlin.mesh.status().leases.iter().all(|lease| lease.site != common::site_id("tokyo")));
    assert!(berlin.count("syncs_served") + berlin.count("syncs_served_failed") >= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_another_tenant_get_nothing_in_a_session_that_is_permitted() {
    let authority = Authority::new("example.org");
    let berlin = berlin(&authority).await;
    let identity = authority.identity("tokyo", WEEK);
    let mut peer = Hostile::connect(&identity, MESH, berlin.address()).await;
    let stolen = berlin.store.documents(&tenant(SECRET));

    // As the side that begins: it asks for documents of the other tenant within acme.
    let mut talk = peer.open(SYNC).await.expect("a stream");
    talk.say(&Sync::Open { tenant: tenant("acme"), reconcile: vec![] }).await;
    for version in &stolen {
        talk.say(&Sync::Exchange { doc: version.doc, heads: vec![] }).await;
    }
    talk.say(&Sync::Turn).await;
    for _ in &stolen {
        let Some(Sync::Document { heads, length, .. }) = talk.hear::<Sync>().await else {
            panic!("an answer to each");
        };
        assert_eq!((heads.len(), length), (0, 0), "as if it did not exist");
    }

    // As the side that answers: it says that these are what differs.
    let theirs = FakeStore::with_tenants(&["acme"]);
    let lie = |version: &DocVersion| theirs.write(&tenant("acme"), version.doc, 5, b"lies");
    let lies: Vec<DocVersion> = stolen.iter().map(lie).collect();
    let hint = Hint { version: lies[0].clone(), origin: PeerKey([7; 34]) };
    peer.control.say(&Control::Gossip { hint, hops: 0 }).await;
    let (protocol, mut talk) = loop {
        let opened = peer.inbound.recv().await.expect("berlin asks");
        if opened.0 == SYNC {
            break opened;
        }
    };
    assert_eq!(protocol, SYNC);
    let mut asked = Vec::new();
    while let Some(message) = talk.hear::<Sync>().await {
        match message {
            // An answer to reconciliation that claims all of them.
            Sync::Open { reconcile, .. } if !reconcile.is_empty() => {
                let mut session =
                    holm_mesh_proto::sync::Session::respond(holm_mesh_proto::sync::SyncPeer {
                        site: common::site_id("berlin"),
                        name: String::new(),
                    });
                let open = Sync::Open { tenant: tenant("acme"), reconcile };
                session.handle(open, &theirs).expect("taken");
                while let Some(answer) = session.poll_transmit(&theirs) {
                    talk.say(&answer).await;
                }
            }
            Sync::Exchange { doc, heads } => asked.push((doc, heads)),
            Sync::Turn => break,
            _ => {}
        }
    }
    assert!(!asked.is_empty());
    for (doc, heads) in asked.iter().filter(|(doc, _)| stolen.iter().any(|v| v.doc == *doc)) {
        assert!(heads.is_empty(), "berlin says that it has nothing of {doc} in acme");
    }
    let words = berlin.store.texts(&tenant(SECRET), stolen[0].doc);
    assert!(words.iter().all(|text| text == b"umbrella's own words"), "nor is anything put in");
    for version in &stolen {
        assert!(!peer.was_told(&version.heads.0));
    }
    assert!(!peer.was_told(b"umbrella's own words") && !peer.was_told(SECRET.as_bytes()));
}

/// Passes datagrams on and flips a bit in every so many; keeps all that it saw.
struct Meddler {
    address: SocketAddr,
    every: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<u8>>>,
    flipped: Arc<AtomicU64>,
}

impl Meddler {
    async fn before(target: SocketAddr) -> Self {
        let outer = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("binds"));
        let meddler = Self {
            address: outer.local_addr().expect("bound"),
            every: Arc::new(AtomicU64::new(1)),
            seen: Arc::default(),
            flipped: Arc::default(),
        };
        let (every, seen, flipped) =
            (meddler.every.clone(), meddler.seen.clone(), meddler.flipped.clone());
        let count = Arc::new(AtomicU64::new(0));
        let meddle = move |datagram: &mut [u8]| {
            seen.lock().expect("no test panics with it").extend_from_slice(datagram);
            let number = count.fetch_add(1, Ordering::Relaxed);
            if number.is_multiple_of(every.load(Ordering::Relaxed)) {
                flipped.fetch_add(1, Ordering::Relaxed);
                let at = usize::try_from(number * 7_919).expect("small") % (datagram.len() * 8);
                datagram[at / 8] ^= 1 << (at % 8);
            }
        };
        tokio::spawn(async move {
            let mut flows: std::collections::HashMap<SocketAddr, Arc<UdpSocket>> =
                std::collections::HashMap::new();
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = outer.recv_from(&mut buffer).await {
                meddle(&mut buffer[..length]);
                if let std::collections::hash_map::Entry::Vacant(flow) = flows.entry(from) {
                    let inner = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("binds"));
                    flow.insert(inner.clone());
                    let (outer, meddle) = (outer.clone(), meddle.clone());
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 65_536];
                        while let Ok((length, _)) = inner.recv_from(&mut buffer).await {
                            meddle(&mut buffer[..length]);
                            drop(outer.send_to(&buffer[..length], from).await);
                        }
                    });
                }
                drop(flows[&from].send_to(&buffer[..length], target).await);
            }
        });
        meddler
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_alters_bytes_on_the_way_is_not_believed_and_reads_nothing() {
    let authority = Authority::new("example.org");
    let berlin = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    let meddler = Meddler::before(berlin.address()).await;
    let mut behind = config("tokyo", &[meddler.address]);
    // Berlin must not find the way around.
    behind.advertise = vec!["127.0.0.1:9".parse().expect("valid")];
    let tokyo = Node::start(behind, authority.identity("tokyo", WEEK)).await;
    let both = [&berlin, &tokyo];
    for number in 0..20 {
        berlin.write(number, "berlin's words");
        tokyo.write(number, "tokyo's words");
    }
    // Every datagram is altered: nothing comes about.
    eventually("some attempts failed", &both, || {
        tokyo.count("handshakes_refused") >= 2 && meddler.flipped.load(Ordering::Relaxed) > 20
    })
    .await;
    assert_eq!((berlin.count("handshakes"), tokyo.count("handshakes")), (0, 0));
    assert!(!equal(&both));

    // Every fifth: it is as if these were lost.
    meddler.every.store(5, Ordering::Relaxed);
    eventually("equal in spite of it", &both, || equal(&both)).await;
    for number in 0..20 {
        let texts = tokyo.store.texts(&tenant("acme"), doc(number));
        let own = [b"berlin's words".to_vec(), b"tokyo's words".to_vec()];
        assert_eq!(texts.into_iter().collect::<Vec<_>>(), own, "as they were written");
    }
    let seen = meddler.seen.lock().expect("no test panics with it");
    let ids = (0..20).map(|number| doc(number).0.to_vec());
    for secret in ids.chain(["acme", "berlin", "words"].map(|word| word.as_bytes().to_vec())) {
        assert!(!seen.windows(secret.len()).any(|window| window == secret), "{secret:?}");
    }
}

fn news(number: u64) -> Control {
    let version = DocVersion {
        tenant: tenant("acme"),
        doc: doc(1_000_000 + number),
        heads: HeadsDigest([3; 16]),
        changed_at: Millis(number),
    };
    Control::Gossip { hint: Hint { version, origin: PeerKey([9; 34]) }, hops: 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_floods_is_bounded_and_counted_and_the_others_are_served() {
    let authority = Authority::new("example.org");
    let berlin = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    let flooder = authority.identity("tokyo", WEEK);
    let mut flood = Hostile::connect(&flooder, MESH, berlin.address()).await;

    // Calls and reconciliations that it begins and leaves hanging.
    let mut hanging = Vec::new();
    for number in 0..180 {
        let protocol = if number % 2 == 0 { SYNC } else { RPC };
        hanging.extend(flood.open(protocol).await);
    }
    eventually("most of them are dropped", &[&berlin], || {
        berlin.count("streams_over_quota") >= 100
    })
    .await;
    // Control streams that are too many.
    for _ in 0..5 {
        hanging.extend(flood.open(CONTROL).await);
    }
    eventually("counted", &[&berlin], || berlin.count("control_streams_surplus") == 5).await;
    // Hints, and membership datagrams in its own name, without end.
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let flooding = tokio::spawn(async move {
        let mut number = 0;
        while !stopped.load(Ordering::Relaxed) {
            let junk = Control::Swim(vec![number as u8; 64]);
            for message in [news(number), junk, Control::Prune, Control::Graft(vec![])] {
                flood.control.say(&message).await;
            }
            number += 1;
        }
        flood
    });
    eventually("it is over its quota", &[&berlin], || berlin.count("messages_over_quota") > 1_000)
        .await;

    let seeds = [berlin.address()];
    let osaka = Node::start(config("osaka", &seeds), authority.identity("osaka", WEEK)).await;
    let both = [&berlin, &osaka];
    eventually("a newcomer gets in", &both, || osaka.connected() >= 1).await;
    for number in 0..20 {
        both[(number % 2) as usize].write(number, "in the midst of it");
        eventually("news go both ways", &both, || equal(&both)).await;
    }
    let to = berlin.mesh.status().peer_id;
    let answer = osaka.mesh.request(&to, "echo", b"hello".to_vec()).await.expect("answered");
    assert_eq!(answer, b"osaka:hello");
    assert_eq!(berlin.mesh.stuck(), None);

    stop.store(true, Ordering::Relaxed);
    let flood = flooding.await.expect("it ran");
    assert!(flood.connection.close_reason().is_none() || berlin.connected() >= 1);
    drop(hanging);
    let members = berlin.mesh.status().members;
    assert_eq!(members.len(), 2, "junk makes no members");
}
