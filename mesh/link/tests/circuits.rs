//! Sites that nobody reaches meet through a third, which learns nothing, and then without it. They
//! advertise a port that nobody listens on, and are told that they stand behind NAT; real NATs are in
//! the node's own tests.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Authority, FakeStore, Node, WEEK, config, eventually};
use holm_certs::{Identity, Revocation};
use holm_mesh_link::{CloseCode, MeshConfig, NatConfig, Reach, RelayLimits};
use holm_model::Millis;

/// The relay: reached, without the tenant of the others.
async fn relay(authority: &Authority, nat: NatConfig) -> Node {
    relay_at("127.0.0.1:0".parse().expect("valid"), authority.identity("cairo", WEEK), nat).await
}

async fn relay_at(listen: SocketAddr, identity: Identity, nat: NatConfig) -> Node {
    let config = MeshConfig { nat, listen, ..config("cairo", &[]) };
    Node::with_store(config, identity, Arc::new(FakeStore::with_tenants(&[])))
        .await
        .expect("starts")
}

fn serving() -> NatConfig {
    NatConfig { reachable: Some(true), ..NatConfig::default() }
}

fn hidden(site: &str, relay: &Node, hole_punching: bool) -> MeshConfig {
    MeshConfig {
        // The port for discarding: nobody answers there.
        advertise: vec!["127.0.0.1:9".parse().expect("valid")],
        nat: NatConfig { reachable: Some(false), hole_punching, ..NatConfig::default() },
        ..config(site, &[relay.address()])
    }
}

async fn hidden_node(authority: &Authority, site: &str, relay: &Node, punch: bool) -> Node {
    Node::start(hidden(site, relay, punch), authority.identity(site, WEEK)).await
}

/// `None` while `node` is not connected to `site`, else the relay between them, if there is one.
fn way(node: &Node, site: &str) -> Option<Option<String>> {
    let members = node.mesh.status().members;
    let member = members.into_iter().find(|m| m.site.as_str() == site && m.connected)?;
    Some(member.via)
}

fn relayed(node: &Node, site: &str) -> bool {
    way(node, site) == Some(Some("cairo/a".to_owned()))
}

async fn pair(authority: &Authority, relay: &Node, punch: bool) -> (Node, Node) {
    let berlin = hidden_node(authority, "berlin", relay, punch).await;
    let tokyo = hidden_node(authority, "tokyo", relay, punch).await;
    (berlin, tokyo)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hidden_sites_replicate_through_a_relay_that_holds_nothing_of_it() {
    let authority = Authority::new("example.org");
    let cairo = relay(&authority, serving()).await;
    let (berlin, tokyo) = pair(&authority, &cairo, false).await;
    let all = [&cairo, &berlin, &tokyo];
    eventually("both see each other through cairo", &all, || {
        relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin")
    })
    .await;
    berlin.write(1, "from berlin");
    tokyo.write(2, &"from tokyo".repeat(50_000));
    eventually("both hold both documents", &all, || {
        berlin.store.digest().len() == 2 && berlin.store.digest() == tokyo.store.digest()
    })
    .await;
    assert!(cairo.store.digest().is_empty());
    let answer = berlin
        .mesh
        .request_node(&common::site_id("tokyo"), &common::node_name(), "echo", b"hello".to_vec())
        .await;
    assert_eq!(answer.expect("answers"), b"berlin:hello");
    let status = cairo.mesh.status();
    assert!(status.relay.serving && status.relay.circuits >= 1, "{:?}", status.relay);
    assert_eq!(status.relay.reservations, 2);
    assert!(status.relay.bytes > 500_000, "the documents went through: {:?}", status.relay);
    let berlins = berlin.mesh.status();
    assert_eq!(berlins.nat.reach, Reach::BehindNat);
    assert!(!berlins.nat.serving && berlins.relay.circuits == 0);
    assert!(berlins.nat.places.iter().any(|place| place.held && place.name == "cairo/a"));
    let member = berlins.members.into_iter().find(|m| m.site.as_str() == "tokyo");
    let spiffe_id = member.and_then(|member| member.spiffe_id).expect("proven end to end");
    assert_eq!(spiffe_id, authority.id("tokyo").to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_becomes_a_direct_connection_where_that_is_possible() {
    let authority = Authority::new("example.org");
    let cairo = relay(&authority, serving()).await;
    let (berlin, tokyo) = pair(&authority, &cairo, true).await;
    let all = [&cairo, &berlin, &tokyo];
    eventually("they meet without cairo", &all, || {
        way(&berlin, "tokyo") == Some(None) && way(&tokyo, "berlin") == Some(None)
    })
    .await;
    eventually("the circuit is gone", &all, || cairo.mesh.status().relay.circuits == 0).await;
    assert!(berlin.count("circuits_made") + tokyo.count("circuits_made") >= 1);
    assert_eq!(berlin.count("punches_met") + tokyo.count("punches_met"), 1);
    assert_eq!(berlin.count("punches_answered") + tokyo.count("punches_answered"), 1);
    berlin.write(1, "still together");
    eventually("they replicate", &all, || tokyo.store.digest().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_connection_is_closed_when_the_key_is_revoked() {
    let authority = Authority::new("example.org");
    let cairo = relay(&authority, serving()).await;
    let (berlin, tokyo) = pair(&authority, &cairo, false).await;
    let all = [&cairo, &berlin, &tokyo];
    eventually("relayed", &all, || relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin")).await;
    let key = tokyo.identity.svid().spki_hash();
    let revocation =
        Revocation::sign(&authority.issuer, key, &authority.id("tokyo"), "stolen", Millis::now())
            .expect("signed");
    // Only berlin knows: the relay goes on serving both.
    berlin.identity.revoke(&revocation, Millis::now()).expect("good");
    eventually("berlin closes with the code of a revocation", &all, || {
        let told = tokyo.mesh.status().refusals;
        way(&berlin, "tokyo").is_none()
            && told.iter().any(|r| r.code == Some(u64::from(CloseCode::Revoked.code())))
    })
    .await;
    assert_eq!(way(&cairo, "tokyo"), Some(None), "the relay still has it");
    berlin.write(1, "not for tokyo");
    eventually("and refuses it from then on", &all, || {
        let refusals = berlin.mesh.status().refusals;
        refusals.iter().any(|refusal| refusal.reason.contains("revoked"))
    })
    .await;
    assert!(tokyo.store.digest().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_connection_ends_with_the_certificate_and_comes_back_with_a_new_one() {
    let authority = Authority::new("example.org");
    let cairo = relay(&authority, serving()).await;
    let berlin = hidden_node(&authority, "berlin", &cairo, false).await;
    let short = authority.ending_in("tokyo", 6);
    let tokyo = Node::start(hidden("tokyo", &cairo, false), short).await;
    let all = [&cairo, &berlin, &tokyo];
    eventually("relayed", &all, || relayed(&berlin, "tokyo")).await;
    eventually("it ends", &all, || way(&berlin, "tokyo").is_none() && tokyo.connected() == 0).await;
    authority.renew(&tokyo.identity, "tokyo", WEEK);
    eventually("it is back", &all, || relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin")).await;
    // Renewed while it stands, the relayed connection goes on.
    let before = berlin.count("svids_refreshed");
    authority.renew(&tokyo.identity, "tokyo", 2 * WEEK);
    eventually("the deadline moves", &all, || berlin.count("svids_refreshed") > before).await;
    assert!(relayed(&berlin, "tokyo"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_circuit_comes_back_when_the_relay_does() {
    let authority = Authority::new("example.org");
    let identity = authority.identity("cairo", WEEK);
    let any = "127.0.0.1:0".parse().expect("valid");
    let cairo = relay_at(any, identity.clone(), serving()).await;
    let (berlin, tokyo) = pair(&authority, &cairo, false).await;
    let listen = cairo.address();
    eventually("relayed", &[&cairo, &berlin, &tokyo], || relayed(&berlin, "tokyo")).await;
    cairo.mesh.shutdown().await;
    drop(cairo);
    eventually("nothing without it", &[&berlin, &tokyo], || {
        way(&berlin, "tokyo").is_none() && way(&tokyo, "berlin").is_none()
    })
    .await;
    let cairo = relay_at(listen, identity, serving()).await;
    eventually("relayed again", &[&cairo, &berlin, &tokyo], || {
        relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_keeps_its_bounds_and_counts_what_it_refuses() {
    let authority = Authority::new("example.org");
    let limits = RelayLimits { reservations: 1, ..RelayLimits::default() };
    let cairo = relay(&authority, NatConfig { relay_limits: limits, ..serving() }).await;
    let (berlin, tokyo) = pair(&authority, &cairo, false).await;
    let all = [&cairo, &berlin, &tokyo];
    eventually("one has the place, the other is refused", &all, || {
        cairo.mesh.status().relay.reservations == 1 && cairo.count("relay_places_full") >= 1
    })
    .await;
    // Whoever has the place is reached by the other.
    eventually("one place is enough for one pair", &all, || relayed(&berlin, "tokyo")).await;

    let limits = RelayLimits { bytes_of_peer_an_hour: 200_000, ..RelayLimits::default() };
    let cairo = relay(&authority, NatConfig { relay_limits: limits, ..serving() }).await;
    let (berlin, tokyo) = pair(&authority, &cairo, false).await;
    let all = [&cairo, &berlin, &tokyo];
    eventually("relayed", &all, || relayed(&berlin, "tokyo")).await;
    let noise: String =
        (0..60_000_u32).map(|n| format!("{:08x}", n.wrapping_mul(0x9e37_79b9))).collect();
    berlin.write(1, &noise);
    eventually("cut at the bytes of an hour, and not given anew", &all, || {
        cairo.count("relay_circuits_over_bytes_dropped") >= 1
            && cairo.count("relay_bytes_of_peer_refused") >= 1
            && way(&berlin, "tokyo").is_none()
    })
    .await;
    assert!(tokyo.store.digest().is_empty(), "it did not fit");
    assert!(cairo.mesh.status().relay.bytes < 300_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_to_relay_does_not() {
    let authority = Authority::new("example.org");
    let cairo = relay(&authority, NatConfig { relay: Some(false), ..serving() }).await;
    let (berlin, tokyo) = pair(&authority, &cairo, false).await;
    let all = [&cairo, &berlin, &tokyo];
    eventually("a dial fails for want of a relay", &all, || {
        let members = berlin.mesh.status().members.into_iter().chain(tokyo.mesh.status().members);
        let mut refusals = members.filter_map(|member| member.last_refusal);
        refusals.any(|refusal| refusal.contains("no relay"))
            || berlin.count("circuits_not_had") + tokyo.count("circuits_not_had") > 0
    })
    .await;
    assert_eq!(way(&berlin, "tokyo"), None);
    assert_eq!(cairo.mesh.status().relay.reservations, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_of_other_sites_dial_back_and_so_a_node_knows_that_it_is_reached() {
    let authority = Authority::new("example.org");
    let nodes = common::start_all(&authority, &["berlin", "tokyo"]).await;
    let all: Vec<&Node> = nodes.iter().collect();
    eventually("both are reached", &all, || {
        all.iter().all(|node| node.mesh.status().nat.reach == Reach::Reachable)
    })
    .await;
    for node in &all {
        let status = node.mesh.status();
        assert!(status.nat.serving && status.nat.places.is_empty(), "{:?}", status.nat);
        assert!(status.refusals.is_empty(), "a dial-back is no refusal: {:?}", status.refusals);
        assert_eq!(node.connected(), 1, "and disturbs nothing");
    }
    eventually("it was heard", &all, || all.iter().all(|n| n.count("dial_backs_heard") >= 1)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(all.iter().all(|node| node.connected() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_relay_takes_over_when_one_goes() {
    let authority = Authority::new("example.org");
    let cairo = relay(&authority, serving()).await;
    let empty = || Arc::new(FakeStore::with_tenants(&[]));
    let second = MeshConfig { nat: serving(), ..config("dakar", &[cairo.address()]) };
    let dakar = Node::with_store(second, authority.identity("dakar", WEEK), empty()).await;
    let dakar = dakar.expect("starts");
    let (berlin, tokyo) = pair(&authority, &cairo, false).await;
    let all = [&cairo, &dakar, &berlin, &tokyo];
    let held = |node: &Node| node.mesh.status().nat.places.iter().filter(|p| p.held).count();
    eventually("both have places at both", &all, || held(&berlin) == 2 && held(&tokyo) == 2).await;
    eventually("relayed by one of them", &all, || {
        matches!(way(&berlin, "tokyo"), Some(Some(_)))
            && matches!(way(&tokyo, "berlin"), Some(Some(_)))
    })
    .await;
    let first = way(&berlin, "tokyo").flatten().expect("a relay");
    let (gone, stays) = if first == "cairo/a" { (cairo, dakar) } else { (dakar, cairo) };
    gone.mesh.shutdown().await;
    let other = if first == "cairo/a" { "dakar/a" } else { "cairo/a" };
    eventually("relayed by the other", &[&stays, &berlin, &tokyo], || {
        let via = Some(Some(other.to_owned()));
        way(&berlin, "tokyo") == via && way(&tokyo, "berlin") == via
    })
    .await;
    berlin.write(1, "still together");
    eventually("they replicate", &[&berlin, &tokyo], || tokyo.store.digest().len() == 1).await;
}
