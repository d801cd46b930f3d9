//! Whoever does not belong is refused with a reason that both sides can read, and the node stays up.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Authority, Node, WEEK, config, equal, eventually};
use holm_certs::{Identity, NodeKey, Revocation};
use holm_mesh_link::{CloseCode, MeshId};
use holm_mesh_proto::wire::{OLDEST_PROTOCOL, PROTOCOL_VERSION};
use holm_model::Millis;

fn reasons(node: &Node) -> String {
    let status = node.mesh.status();
    let refusals = status.refusals.iter().map(|r| format!("{}: {}", r.direction, r.reason));
    let seeds = status.seeds.iter().filter_map(|s| s.last_refusal.clone());
    refusals.chain(seeds).collect::<Vec<_>>().join("\n")
}

/// Starts a stranger with `seed` and waits until both sides say why they do not talk.
async fn refused(node: &Node, stranger: Node, at_stranger: &str, at_node: &str) -> Node {
    let both = [node, &stranger];
    eventually(&format!("`{at_stranger}` and `{at_node}`"), &both, || {
        reasons(&stranger).contains(at_stranger) && reasons(node).contains(at_node)
    })
    .await;
    assert_eq!(stranger.connected() + node.connected(), 0);
    assert_eq!(node.count("connections") + stranger.count("connections"), 0, "nothing flickered");
    assert!(stranger.store.digest().is_empty(), "it learned nothing");
    let seeds = stranger.mesh.status().seeds;
    assert!(seeds[0].last_refusal.is_some(), "the reason is kept with the address");
    stranger
}

async fn first(authority: &Authority) -> Node {
    let node = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    node.write(1, "private");
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_mesh() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let mut other = config("tokyo", &[berlin.address()]);
    other.mesh_id = MeshId([2; 16]);
    let tokyo = Node::start(other, authority.identity("tokyo", WEEK)).await;
    let (ours, theirs) = ("01".repeat(16), "02".repeat(16));
    refused(
        &berlin,
        tokyo,
        &format!("mesh id differs (theirs {ours}, ours {theirs}): the token of another mesh?"),
        &format!("mesh id differs (theirs {theirs}, ours {ours}): the token of another mesh?"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_root_with_the_same_names() {
    let (authority, foreign) = (Authority::new("example.org"), Authority::new("example.org"));
    let berlin = first(&authority).await;
    let identity = foreign.identity("tokyo", WEEK);
    let tokyo = Node::start(config("tokyo", &[berlin.address()]), identity).await;
    refused(&berlin, tokyo, "certificate", "does not trust our certificate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_trust_domain() {
    let (authority, foreign) = (Authority::new("example.org"), Authority::new("example.com"));
    let berlin = first(&authority).await;
    let identity = foreign.identity("tokyo", WEEK);
    let tokyo = Node::start(config("tokyo", &[berlin.address()]), identity).await;
    refused(&berlin, tokyo, "certificate", "does not trust our certificate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let identity = authority.identity("tokyo", WEEK);
    let key = identity.svid().spki_hash();
    let revocation =
        Revocation::sign(&authority.issuer, key, &authority.id("tokyo"), "stolen", Millis::now())
            .expect("signed");
    berlin.identity.revoke(&revocation, Millis::now()).expect("good");
    let tokyo = Node::start(config("tokyo", &[berlin.address()]), identity).await;
    refused(&berlin, tokyo, "our key was revoked", "stolen").await;
}

/// A client with a good certificate and a config of its own.
fn client(identity: &Identity, alpn: &[u8]) -> (quinn::Endpoint, quinn::ClientConfig) {
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("valid")).expect("binds");
    let tls = identity.quic_client_config(alpn).expect("a config");
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
    (endpoint, quinn::ClientConfig::new(Arc::new(tls)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_protocol() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let identity = authority.identity("tokyo", WEEK);
    for alpn in [&b"libp2p"[..], b"h3", b"holm/2"] {
        let (endpoint, config) = client(&identity, alpn);
        let connecting = endpoint.connect_with(config, berlin.address(), "x").expect("starts");
        let error = connecting.await.expect_err("refused");
        assert!(
            error.to_string().contains("120") || error.to_string().contains("application protocol"),
            "{error}"
        );
    }
    eventually("the reason is noted", &[&berlin], || {
        reasons(&berlin).contains("protocol version differs")
    })
    .await;
}

/// Speaks holm/1 by hand with a good certificate, and says `hello`.
async fn say(
    identity: &Identity,
    address: SocketAddr,
    hello: &[u8],
) -> (quinn::Endpoint, quinn::Connection, Option<quinn::ConnectionError>) {
    let (endpoint, config) = client(identity, b"holm/1");
    let connecting = endpoint.connect_with(config, address, "x").expect("starts");
    let connection = connecting.await.expect("TLS is fine");
    let (mut send, mut recv) = connection.open_bi().await.expect("opens");
    drop(send.write_all(hello).await);
    let answer = recv.read_to_end(65_536).await;
    let reason = answer.err().and_then(|_| connection.close_reason());
    (endpoint, connection, reason)
}

fn hello(version: u32, site: &str, instance: u64) -> Vec<u8> {
    use holm_mesh_proto::wire::Frame;
    holm_mesh_proto::wire::Hello {
        protocol_min: version,
        protocol_max: version,
        mesh_id: MeshId([1; 16]),
        site: common::site_id(site),
        node: common::node_name(),
        addresses: vec![],
        api_port: None,
        generation: 1,
        known_generation: 0,
        sent_at: Millis::now(),
        instance,
    }
    .to_frame()
    .expect("small")
}

fn code_of(reason: Option<quinn::ConnectionError>) -> (u64, String) {
    match reason {
        Some(quinn::ConnectionError::ApplicationClosed(frame)) => {
            let text = String::from_utf8(frame.reason.to_vec()).expect("text");
            (frame.error_code.into_inner(), text)
        }
        other => panic!("closed with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_another_name_and_nonsense_in_the_hello() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let identity = authority.identity("tokyo", WEEK);
    let cases = [
        (
            hello(PROTOCOL_VERSION + 1, "tokyo", 1),
            CloseCode::OtherProtocol,
            "protocol version differs",
        ),
        (
            hello(OLDEST_PROTOCOL - 1, "tokyo", 1),
            CloseCode::OtherProtocol,
            "protocol version differs",
        ),
        (
            hello(PROTOCOL_VERSION, "osaka", 1),
            CloseCode::NotItsCertificate,
            "its certificate says otherwise",
        ),
        (vec![0xff; 64], CloseCode::ProtocolError, "over the limit"),
        ([&[0, 0, 0, 3][..], &[0xff; 3]].concat(), CloseCode::ProtocolError, "does not decode"),
    ];
    for (bytes, code, text) in cases {
        let (_endpoint, _connection, reason) = say(&identity, berlin.address(), &bytes).await;
        let (found, reason) = code_of(reason);
        assert_eq!(found, u64::from(code.code()), "{reason}");
        assert!(reason.contains(text), "{reason}");
        eventually("noted", &[&berlin], || reasons(&berlin).contains(text)).await;
    }
    // A silent one is cut off.
    let (endpoint, config) = client(&identity, b"holm/1");
    let connecting = endpoint.connect_with(config, berlin.address(), "x").expect("starts");
    let connection = connecting.await.expect("TLS is fine");
    connection.closed().await;
    eventually("noted", &[&berlin], || reasons(&berlin).contains("no answer within")).await;
    assert_eq!(berlin.count("connections"), 0);
}

/// A peer that does not watch its own certificate: the connection ends all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_certificate_ends_is_closed_with_its_code() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let identity = authority.ending_in("tokyo", 4);
    let (endpoint, config) = client(&identity, b"holm/1");
    let connecting = endpoint.connect_with(config, berlin.address(), "x").expect("starts");
    let connection = connecting.await.expect("TLS is fine");
    let (mut send, _recv) = connection.open_bi().await.expect("opens");
    send.write_all(&hello(PROTOCOL_VERSION, "tokyo", 1)).await.expect("sent");
    eventually("its Hello is taken", &[&berlin], || berlin.count("handshakes") == 1).await;
    let end = identity.svid().deadline();
    let (code, reason) = code_of(Some(connection.closed().await));
    assert!(Millis::now() >= end, "not before its time");
    assert_eq!(code, u64::from(CloseCode::Expired.code()), "{reason}");
    assert_eq!(berlin.count("closed_expired"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_resumed_and_no_early_data_taken() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    // The client would resume if it were given a ticket.
    let identity = authority.identity("tokyo", WEEK);
    let mut tls = identity.quic_client_config(b"holm/1").expect("a config");
    tls.resumption = rustls::client::Resumption::in_memory_sessions(16);
    tls.enable_early_data = true;
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let config = quinn::ClientConfig::new(Arc::new(tls));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().expect("valid")).expect("binds");
    for _ in 0..3 {
        let connecting =
            endpoint.connect_with(config.clone(), berlin.address(), "x").expect("starts");
        let Err(connecting) = connecting.into_0rtt() else { panic!("early data") };
        let connection = connecting.await.expect("TLS is fine");
        tokio::time::sleep(Duration::from_millis(50)).await;
        connection.close(0_u32.into(), b"");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_datagrams() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33).to_le_bytes()[0]
    };
    for round in 0..3_000_usize {
        let mut bytes: Vec<u8> = (0..round % 1_400).map(|_| next()).collect();
        if round % 3 == 0 && bytes.len() > 6 {
            // Looks like the first packet of QUIC version 1.
            bytes[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
            bytes[5] = 8;
        }
        drop(socket.send_to(&bytes, berlin.address()).await);
    }
    let seeds = [berlin.address()];
    let tokyo = Node::start(config("tokyo", &seeds), authority.identity("tokyo", WEEK)).await;
    let both = [&berlin, &tokyo];
    eventually("it works as before", &both, || equal(&both) && berlin.connected() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_with_one_identity_are_reported_and_stay_up() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let seeds = [berlin.address()];
    let key = NodeKey::generate().expect("a key");
    let copy = NodeKey::from_pem(&key.to_pem()).expect("the same key");
    let one = authority.identity_on(key, "tokyo", WEEK, Millis::now());
    let two = authority.identity_on(copy, "tokyo", WEEK, Millis::now());
    let one = Node::start(config("tokyo", &seeds), one).await;
    eventually("the first is connected", &[&berlin, &one], || one.connected() == 1).await;
    let two = Node::start(config("tokyo", &seeds), two).await;
    let all = [&berlin, &one, &two];
    eventually("the conflict is shown", &all, || {
        let conflicts = berlin.mesh.status().conflicts;
        conflicts.iter().any(|c| c.text.contains("tokyo/a") && c.text.contains("two live nodes"))
    })
    .await;
    eventually("at the refused node too", &all, || {
        [&one, &two].iter().any(|node| !node.mesh.status().conflicts.is_empty())
    })
    .await;
    let members = berlin.mesh.status().members;
    assert_eq!(members.len(), 1, "one name, one member");
    berlin.write(7, "everything goes on");
    eventually("one of them follows", &all, || equal(&[&berlin, &one]) || equal(&[&berlin, &two]))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_with_one_name_and_different_keys_are_reported() {
    let authority = Authority::new("example.org");
    let berlin = first(&authority).await;
    let seeds = [berlin.address()];
    let one = Node::start(config("tokyo", &seeds), authority.identity("tokyo", WEEK)).await;
    let two = Node::start(config("tokyo", &seeds), authority.identity("tokyo", WEEK)).await;
    let all = [&berlin, &one, &two];
    eventually("the conflict is shown", &all, || {
        let conflicts = berlin.mesh.status().conflicts;
        conflicts.iter().any(|c| c.text.contains("tokyo/a is claimed by 2 live nodes"))
    })
    .await;
    eventually("both work", &all, || equal(&all)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_handshakes_is_bounded_and_members_still_get_in() {
    let authority = Authority::new("example.org");
    let mut narrow = config("berlin", &[]);
    narrow.limits.handshakes = 4;
    let berlin = Node::start(narrow, authority.identity("berlin", WEEK)).await;
    // Good certificates that never say Hello hold their places until the time is over.
    let identity = authority.identity("tokyo", WEEK);
    let (endpoint, config_of_flood) = client(&identity, b"holm/1");
    let mut flood = Vec::new();
    for _ in 0..40 {
        let connecting =
            endpoint.connect_with(config_of_flood.clone(), berlin.address(), "x").expect("starts");
        flood.push(tokio::spawn(connecting));
    }
    eventually("addresses must prove themselves, and more is dropped", &[&berlin], || {
        berlin.count("incoming_retried") > 0 && berlin.count("incoming_dropped") > 0
    })
    .await;
    let osaka = config("osaka", &[berlin.address()]);
    let osaka = Node::start(osaka, authority.identity("osaka", WEEK)).await;
    let both = [&berlin, &osaka];
    eventually("a member gets in", &both, || berlin.connected() == 1).await;
    drop(flood);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_allowed() {
    let authority = Authority::new("example.org");
    let mut narrow = config("berlin", &[]);
    narrow.limits.connections = 1;
    let berlin = Node::start(narrow, authority.identity("berlin", WEEK)).await;
    let seeds = [berlin.address()];
    let tokyo = Node::start(config("tokyo", &seeds), authority.identity("tokyo", WEEK)).await;
    eventually("the first is in", &[&berlin, &tokyo], || tokyo.connected() == 1).await;
    let osaka = Node::start(config("osaka", &seeds), authority.identity("osaka", WEEK)).await;
    let all = [&berlin, &tokyo, &osaka];
    eventually("the second is told why not", &all, || {
        reasons(&osaka).contains("1 connections stand already")
    })
    .await;
    assert_eq!(berlin.connected(), 1);
}
