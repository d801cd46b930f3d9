//! Real nodes over real QUIC on loopback: they find each other, agree, and agree again.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{
    Authority, Echo, FakeStore, Node, WEEK, config, doc, equal, eventually, start_all, tenant,
};
use holm_mesh_link::{DocumentStore, LinkError, MemberState, Mesh};
use holm_model::{DocId, DocVersion, Millis, SiteId, TenantId};
use tokio::net::UdpSocket;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sites_find_each_other_through_one_seed_and_converge() {
    let authority = Authority::new("example.org");
    let nodes = start_all(&authority, &["berlin", "tokyo", "saopaulo"]).await;
    let all: Vec<&Node> = nodes.iter().collect();
    for (number, node) in nodes.iter().enumerate() {
        node.write(number as u64, "one of each");
        node.write(99, "all in one document");
    }
    eventually("equal documents", &all, || equal(&all) && all[0].store.digest().len() == 4).await;

    let status = all[1].mesh.status();
    assert!(status.replicating);
    assert_eq!(status.members.len(), 2);
    for member in &status.members {
        assert_eq!(member.state, MemberState::Alive);
        assert!(member.last_heard.is_some() && member.svid_not_after.is_some());
        let id = member.spiffe_id.as_deref().expect("connected");
        assert_eq!(id, format!("spiffe://example.org/site/{}/node/a", member.site));
    }
    eventually("round trips are measured", &all, || {
        all[1].mesh.status().members.iter().all(|m| m.rtt_ms.is_some() && m.clock_skew_ms.is_some())
    })
    .await;
    all[0].mesh.hold_lease(&tenant("acme"), Millis::now());
    eventually("the lease arrives", &all, || {
        all[1..].iter().all(|node| node.mesh.status().leases.len() == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_makes_a_version_visible_without_waiting_for_the_period() {
    let authority = Authority::new("example.org");
    let mut nodes = Vec::new();
    for site in ["berlin", "tokyo"] {
        let seeds: Vec<SocketAddr> = nodes.first().map(Node::address).into_iter().collect();
        let mut config = config(site, &seeds);
        // Only the reconciliation on connect remains; what comes later comes by hint.
        config.timing.sync_ms = 3_600_000;
        nodes.push(Node::start(config, authority.identity(site, WEEK)).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    eventually("connected", &all, || all.iter().all(|node| node.connected() == 1)).await;
    eventually("reconciled once", &all, || {
        all.iter().map(|node| node.count("syncs") + node.count("syncs_served")).sum::<u64>() >= 2
    })
    .await;
    for number in 0..20 {
        all[(number % 2) as usize].write(number, "news");
        eventually("the news", &all, || equal(&all)).await;
    }
    assert_eq!(all[0].store.digest().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_killed_comes_back_under_its_name() {
    let authority = Authority::new("example.org");
    let mut nodes = start_all(&authority, &["berlin", "tokyo", "saopaulo"]).await;
    let gone = nodes.remove(1);
    let (identity, store) = (gone.identity.clone(), gone.store.clone());
    // No farewell.
    drop(gone);
    nodes[0].write(1, "while tokyo is away");
    nodes[1].write(2, "while tokyo is away");
    let all: Vec<&Node> = nodes.iter().collect();
    eventually("tokyo counts as down", &all, || {
        let status = all[0].mesh.status();
        status.members.iter().any(|m| m.state == MemberState::Down && !m.connected)
    })
    .await;
    let seeds = [all[1].address()];
    let back = Node::with_store(config("tokyo", &seeds), identity, store).await.expect("starts");
    let all = [all[0], all[1], &back];
    eventually("all agree", &all, || equal(&all) && back.store.digest().len() == 2).await;
    eventually("tokyo is alive, and is one member", &all, || {
        let members = all[0].mesh.status().members;
        members.len() == 2 && members.iter().all(|m| m.connected && m.state == MemberState::Alive)
    })
    .await;
    assert!(all[0].mesh.status().conflicts.is_empty(), "a restart is no conflict");
}

/// Passes datagrams between whoever sends to it and `target`, unless it is cut.
async fn relay(target: SocketAddr, cut: Arc<AtomicBool>) -> SocketAddr {
    let outer = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("binds"));
    let address = outer.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut flows: std::collections::HashMap<SocketAddr, Arc<UdpSocket>> = Default::default();
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = outer.recv_from(&mut buffer).await {
            if cut.load(Ordering::Relaxed) {
                continue;
            }
            if let std::collections::hash_map::Entry::Vacant(flow) = flows.entry(from) {
                let inner = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("binds"));
                flow.insert(inner.clone());
                let (outer, cut) = (outer.clone(), cut.clone());
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65_536];
                    while let Ok((length, _)) = inner.recv_from(&mut buffer).await {
                        if !cut.load(Ordering::Relaxed) {
                            drop(outer.send_to(&buffer[..length], from).await);
                        }
                    }
                });
            }
            drop(flows[&from].send_to(&buffer[..length], target).await);
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_was_cut_off_agrees_again_by_itself() {
    let authority = Authority::new("example.org");
    let cut = Arc::new(AtomicBool::new(false));
    let berlin = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    // Tokyo reaches berlin through a relay, and says that it is reached through another.
    let to_berlin = relay(berlin.address(), cut.clone()).await;
    let port = UdpSocket::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("bound");
    let to_tokyo = relay(port, cut.clone()).await;
    let mut tokyo_config = config("tokyo", &[to_berlin]);
    tokyo_config.listen = port;
    tokyo_config.advertise = vec![to_tokyo];
    let tokyo = Node::start(tokyo_config, authority.identity("tokyo", WEEK)).await;
    let all = [&berlin, &tokyo];
    berlin.write(1, "before");
    eventually("connected and equal", &all, || {
        berlin.connected() == 1 && equal(&all) && !tokyo.store.digest().is_empty()
    })
    .await;

    cut.store(true, Ordering::Relaxed);
    for round in 0..10 {
        berlin.write(1, &format!("berlin {round}"));
        tokyo.write(1, &format!("tokyo {round}"));
    }
    eventually("each sees the other as down", &all, || {
        all.iter().all(|node| {
            let members = node.mesh.status().members;
            members.iter().all(|m| m.state == MemberState::Down && !m.connected)
        })
    })
    .await;
    let member = berlin.mesh.status().members.remove(0);
    assert!(member.last_heard.is_some(), "since when it was not heard is known");
    assert!(!equal(&all));

    cut.store(false, Ordering::Relaxed);
    eventually("equal again", &all, || equal(&all)).await;
    assert_eq!(berlin.store.texts(&tenant("acme"), doc(1)).len(), 21, "nothing lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_refused_and_bounded() {
    let authority = Authority::new("example.org");
    let nodes = start_all(&authority, &["berlin", "tokyo"]).await;
    let (berlin, tokyo) = (&nodes[0], &nodes[1]);
    let to = tokyo.mesh.status().peer_id;
    let answer = berlin.mesh.request(&to, "echo", b"hello".to_vec()).await.expect("answered");
    assert_eq!(answer, b"berlin:hello");
    let by_name = berlin
        .mesh
        .request_node(&common::site_id("tokyo"), &common::node_name(), "echo", vec![b'x'; 900_000])
        .await;
    assert_eq!(by_name.expect("answered").len(), 900_007);
    let refused = berlin.mesh.request(&to, "nonsense", vec![]).await.expect_err("refused");
    assert!(matches!(&refused, LinkError::Answer { .. }), "{refused}");
    assert!(refused.to_string().contains("no method nonsense"), "{refused}");
    let large = berlin.mesh.request(&to, "echo", vec![0; 2_000_000]).await.expect_err("too large");
    assert!(large.to_string().contains("over the limit"), "{large}");
    let mut bytes = vec![0x12, 0x20];
    bytes.extend([7; 32]);
    let nobody = holm_mesh_link::PeerId::from_bytes(&bytes).expect("a SHA-256 multihash");
    assert!(berlin.mesh.request(&nobody, "echo", vec![]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_is_an_error_that_names_it() {
    let authority = Authority::new("example.org");
    let first = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    let mut second = config("tokyo", &[]);
    second.listen = first.address();
    let error = Node::try_start(second, authority.identity("tokyo", WEEK)).await.err();
    let text = error.expect("the port is taken").to_string();
    assert!(text.contains(&first.address().to_string()) && text.contains("mesh.listen"), "{text}");
    // After a shutdown the port is free.
    let address = first.address();
    first.mesh.shutdown().await;
    let mut third = config("tokyo", &[]);
    third.listen = address;
    Node::start(third, authority.identity("tokyo", WEEK)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_is_a_farewell() {
    let authority = Authority::new("example.org");
    let mut nodes = start_all(&authority, &["berlin", "tokyo"]).await;
    let tokyo = nodes.remove(1);
    tokyo.mesh.shutdown().await;
    let berlin = &nodes[0];
    eventually("tokyo left", &[berlin], || {
        let status = berlin.mesh.status();
        status.members[0].state == MemberState::Down && !status.members[0].connected
    })
    .await;
    eventually("the farewell is noted", &[berlin], || {
        let refusals = berlin.mesh.status().refusals;
        refusals.iter().any(|view| view.code == Some(1) && view.direction == "closed")
    })
    .await;
}

#[tokio::test]
async fn the_identity_must_be_that_of_the_configured_node() {
    let authority = Authority::new("example.org");
    let identity = authority.identity("berlin", WEEK);
    let store = Arc::new(common::FakeStore::default());
    let error = Mesh::start(config("tokyo", &[]), identity, store, Arc::new(Echo)).await.err();
    let text = error.expect("refused").to_string();
    assert!(
        text.contains("spiffe://example.org/site/berlin/node/a") && text.contains("tokyo/a"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_clocks_are_bounded_and_bytes_are_counted_by_channel() {
    let authority = Authority::new("example.org");
    let nodes = start_all(&authority, &["berlin", "tokyo"]).await;
    let all: Vec<&Node> = nodes.iter().collect();
    eventually("clocks are bounded", &all, || {
        all.iter().all(|node| node.mesh.status().members.iter().any(|m| m.clock.is_some()))
    })
    .await;
    // Both are on one machine, whose clocks they share: the truth is zero.
    let clock = all[0].mesh.status().members[0].clock.clone().expect("bounded");
    assert!(clock.offset_ns.0 <= 0 && 0 <= clock.offset_ns.1, "{clock:?}");
    assert!(clock.drift_ppb.0 <= 0 && 0 <= clock.drift_ppb.1, "{clock:?}");
    assert!(clock.one_way_out_ns.0 <= clock.one_way_out_ns.1 && clock.samples > 0);

    all[0].write(1, "news");
    eventually("the news", &all, || equal(&all)).await;
    let (site, name) = (common::site_id("tokyo"), common::node_name());
    let answer = all[0].mesh.request_node(&site, &name, "echo", vec![7; 1_000]).await;
    assert_eq!(answer.expect("answered").len(), "berlin:".len() + 1_000);
    let counts = |node: &Node| node.mesh.status().counters;
    eventually("all channels carry something", &all, || {
        let channels = ["control", "swim", "hint", "rpc", "sync"];
        channels.iter().all(|channel| {
            ["in", "out"].iter().all(|way| {
                let name = format!("{channel}_bytes_{way}");
                // Hints come to whoever did not write.
                let node = if name == "hint_bytes_in" { all[1] } else { all[0] };
                counts(node).get(name.as_str()).copied().unwrap_or_default() > 0
            })
        })
    })
    .await;
    let (one, other) = (counts(all[0]), counts(all[1]));
    assert!((1_000..1_200).contains(&one["rpc_bytes_out"]), "{}", one["rpc_bytes_out"]);
    assert!((1_000..1_200).contains(&one["rpc_bytes_in"]), "{}", one["rpc_bytes_in"]);
    assert_eq!(one["rpc_bytes_out"], other["rpc_bytes_in"], "both count the same frames");
    assert_eq!(one["rpc_bytes_in"], other["rpc_bytes_out"]);
}

/// Permits everything, but not always at once.
struct Gated {
    store: FakeStore,
    gate: Arc<std::sync::Mutex<()>>,
}

impl DocumentStore for Gated {
    fn tenants(&self) -> Vec<TenantId> {
        drop(self.gate.lock().expect("no test panics with it"));
        self.store.tenants()
    }

    fn may_replicate(&self, site: &SiteId, tenant: &TenantId) -> bool {
        drop(self.gate.lock().expect("no test panics with it"));
        self.store.may_replicate(site, tenant)
    }

    fn documents(&self, tenant: &TenantId) -> Vec<DocVersion> {
        self.store.documents(tenant)
    }

    fn heads(&self, tenant: &TenantId, doc: &DocId) -> Vec<[u8; 32]> {
        self.store.heads(tenant, doc)
    }

    fn export(&self, tenant: &TenantId, doc: &DocId, have: &[[u8; 32]]) -> Result<Vec<u8>, String> {
        self.store.export(tenant, doc, have)
    }

    fn apply(
        &self,
        tenant: &TenantId,
        doc: &DocId,
        from: &str,
        bytes: &[u8],
    ) -> Result<Option<DocVersion>, String> {
        self.store.apply(tenant, doc, from, bytes)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_loop_that_stands_still_is_named_and_goes_on() {
    let authority = Authority::new("example.org");
    let other = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    let gate = Arc::new(std::sync::Mutex::new(()));
    let store = Gated { store: FakeStore::with_tenants(&["acme"]), gate: gate.clone() };
    let mut config = config("tokyo", &[other.address()]);
    config.limits.stuck_ms = 1_000;
    let identity = authority.identity("tokyo", WEEK);
    let mesh = Mesh::start(config, identity, Arc::new(store), Arc::new(Echo)).await;
    let mesh = mesh.expect("starts");
    let all = [&other];
    eventually("connected", &all, || mesh.status().members.iter().any(|m| m.connected)).await;
    assert_eq!(mesh.status().stuck, None);

    // A thread that holds the gate until it is told to let go, or nobody is left to tell it.
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let holder = std::thread::spawn(move || {
        let _held = gate.lock().expect("no test panics with it");
        let _gone = wait.recv();
    });
    // A worker that is held up may be the one that lets the runtime's timers fire: wait without them.
    let wait_until = |what: &str, done: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !done() {
            assert!(began.elapsed().as_secs() < 20, "{what}: it never happened");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    wait_until("it is seen to stand still", &|| mesh.stuck().is_some());
    let status = mesh.status();
    let stuck = status.stuck.expect("status answers while the loop does not");
    assert!(stuck.for_ms >= 1_000 && stuck.step != "waiting", "{stuck:?}");
    wait_until("it is counted", &|| {
        mesh.status().counters.get("loop_stuck").copied().unwrap_or_default() == 1
    });
    drop(let_go);
    holder.join().expect("it let go");
    eventually("it goes on", &all, || mesh.stuck().is_none()).await;
    eventually("and is connected", &all, || mesh.status().members.iter().any(|m| m.connected))
        .await;
    mesh.shutdown().await;
    assert_eq!(mesh.stuck(), None, "one that was stopped is not stuck");
}
