//! TLS between two identities, in memory: who is accepted, who is refused and by whom.

use std::sync::Arc;

use holm_certs::{
    Change, Identity, NodeKey, Revocation, RevocationSet, SvidState, TrustDomain, renew_at,
};
use holm_model::Millis;
use rustls::{
    AlertDescription, ClientConnection, Connection, Error, HandshakeKind, ServerConnection,
};

use crate::common::{DAY, HOUR, Mesh, node_id};

const ALPN: &[u8] = b"holm/1";

/// rustls asks the machine's clock: identities of these tests are issued around it.
fn now() -> Millis {
    Millis::now()
}

/// Carries bytes until both sides have nothing to say or one refuses: (client's, server's) verdict.
fn handshake(
    client: &mut Connection,
    server: &mut Connection,
) -> (Result<(), Error>, Result<(), Error>) {
    let (mut client_verdict, mut server_verdict) = (Ok(()), Ok(()));
    for _ in 0..10 {
        carry(client, server, &mut server_verdict);
        carry(server, client, &mut client_verdict);
    }
    (client_verdict, server_verdict)
}

fn carry(from: &mut Connection, to: &mut Connection, verdict: &mut Result<(), Error>) {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).expect("memory");
    }
    let mut wire = wire.as_slice();
    while !wire.is_empty() && verdict.is_ok() {
        to.read_tls(&mut wire).expect("memory");
        *verdict = to.process_new_packets().map(|_| ());
    }
}

fn pair(client: &Identity, server: &Identity) -> (Connection, Connection) {
    let config = Arc::new(client.quic_client_config(ALPN).expect("a configuration"));
    let name = "holm.invalid".try_into().expect("a name");
    let client = ClientConnection::new(config, name).expect("a client");
    let config = Arc::new(server.quic_server_config(ALPN).expect("a configuration"));
    let server = ServerConnection::new(config).expect("a server");
    (Connection::Client(client), Connection::Server(server))
}

#[test]
fn both_sides_prove_who_they_are() {
    let mesh = Mesh::of(&crate::common::domain(), now());
    let (berlin, tokyo) = (mesh.identity("berlin", now()), mesh.identity("tokyo", now()));
    let (mut client, mut server) = pair(&berlin, &tokyo);
    let verdict = handshake(&mut client, &mut server);
    assert_eq!(verdict, (Ok(()), Ok(())));
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(client.alpn_protocol(), Some(ALPN));
    let peer = tokyo.verify_peer(server.peer_certificates().expect("a chain"), now());
    assert_eq!(*peer.expect("valid").spiffe_id(), node_id("berlin", "n1"));
    let peer = berlin.verify_peer(client.peer_certificates().expect("a chain"), now());
    assert_eq!(*peer.expect("valid").spiffe_id(), node_id("tokyo", "n1"));
    if let Connection::Server(server) = &server {
        assert_eq!(server.server_name(), None, "no SNI");
    }
}

#[test]
fn nothing_is_resumed_and_nothing_is_sent_early() {
    let mesh = Mesh::of(&crate::common::domain(), now());
    let (berlin, tokyo) = (mesh.identity("berlin", now()), mesh.identity("tokyo", now()));
    let client_config = Arc::new(berlin.quic_client_config(ALPN).expect("a configuration"));
    let server_config = Arc::new(tokyo.quic_server_config(ALPN).expect("a configuration"));
    assert_eq!((server_config.send_tls13_tickets, server_config.max_early_data_size), (0, 0));
    assert!(!client_config.enable_early_data && !client_config.enable_sni);
    assert!(!client_config.key_log.will_log("CLIENT_TRAFFIC_SECRET_0"));
    assert!(!server_config.key_log.will_log("SERVER_TRAFFIC_SECRET_0"));
    for _ in 0..3 {
        let name = "holm.invalid".try_into().expect("a name");
        let client = ClientConnection::new(Arc::clone(&client_config), name).expect("a client");
        let server = ServerConnection::new(Arc::clone(&server_config)).expect("a server");
        let (mut client, mut server) = (client.into(), server.into());
        assert_eq!(handshake(&mut client, &mut server), (Ok(()), Ok(())));
        for side in [&client, &server] {
            assert_eq!(side.handshake_kind(), Some(HandshakeKind::Full));
        }
        if let Connection::Client(client) = &client {
            assert_eq!(client.tls13_tickets_received(), 0);
        }
    }
}

fn alert(verdict: Result<(), Error>) -> AlertDescription {
    match verdict {
        Err(Error::AlertReceived(alert)) => alert,
        other => panic!("not an alert: {other:?}"),
    }
}

/// `bad` is refused by `good` on whichever side it stands, with this code and this alert.
fn refused_on_both_sides(bad: &Identity, good: &Identity, code: &str, expected: AlertDescription) {
    let (mut client, mut server) = pair(bad, good);
    let (heard, verdict) = handshake(&mut client, &mut server);
    assert!(verdict.is_err(), "{code}: refused by the server");
    assert_eq!(alert(heard), expected, "{code}: the client is told");
    let (mut client, mut server) = pair(good, bad);
    let (verdict, heard) = handshake(&mut client, &mut server);
    assert!(verdict.is_err(), "{code}: refused by the client");
    assert_eq!(alert(heard), expected, "{code}: the server is told");
    assert_eq!(good.refusal_counts()[code], 2);
    assert_eq!(good.refusals()[0].error.code(), code);
}

#[test]
fn expired_foreign_unborn_and_revoked_peers_are_refused_on_both_sides() {
    let mesh = Mesh::of(&crate::common::domain(), now() - 40 * DAY);
    let berlin = || mesh.identity("berlin", now());
    let expired = mesh.identity("tokyo", now() - 8 * DAY);
    let state = expired.svid_state(now(), 0.5);
    assert!(matches!(state, SvidState::Expired { .. }), "{state:?}");
    refused_on_both_sides(&expired, &berlin(), "expired", AlertDescription::CertificateExpired);

    let unborn = mesh.identity("tokyo", now() + HOUR);
    let state = unborn.svid_state(now(), 0.5);
    assert!(matches!(state, SvidState::NotYetValid { .. }), "{state:?}");
    let expected = AlertDescription::CertificateExpired;
    refused_on_both_sides(&unborn, &berlin(), "not_yet_valid", expected);

    let foreign = TrustDomain::new("other.test").expect("a domain");
    let other = Mesh::of(&foreign, now());
    let key = NodeKey::generate().expect("a key");
    let id = holm_certs::SpiffeId::parse("spiffe://other.test/site/a/node/b").expect("an id");
    let mut both = mesh.bundles.clone();
    both.insert(other.bundle()).expect("another domain");
    let chain = other.svid(&key, &id, now());
    let stranger = Identity::new(key, chain, both, RevocationSet::default(), now()).expect("ok");
    refused_on_both_sides(&stranger, &berlin(), "unknown_domain", AlertDescription::UnknownCA);

    let (stolen, good) = (mesh.identity("tokyo", now()), berlin());
    let hash = stolen.key().public_key().hash();
    let revocation = Revocation::sign(&mesh.issuer, hash, &stolen.spiffe_id(), "stolen", now());
    good.revoke(&revocation.expect("signed"), now()).expect("valid");
    refused_on_both_sides(&stolen, &good, "revoked", AlertDescription::CertificateRevoked);
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let mesh = Mesh::of(&crate::common::domain(), now());
    let (berlin, tokyo) = (mesh.identity("berlin", now()), mesh.identity("tokyo", now()));
    let mut config = berlin.quic_client_config(ALPN).expect("a configuration");
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    let name = "holm.invalid".try_into().expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let (_, server) = pair(&berlin, &tokyo);
    let (mut client, mut server) = (client.into(), server);
    let (heard, verdict) = handshake(&mut client, &mut server);
    assert!(matches!(verdict, Err(Error::NoCertificatesPresented)), "{verdict:?}");
    assert_eq!(alert(heard), AlertDescription::CertificateRequired);
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn another_protocol_is_refused() {
    let mesh = Mesh::of(&crate::common::domain(), now());
    let (berlin, tokyo) = (mesh.identity("berlin", now()), mesh.identity("tokyo", now()));
    let config = Arc::new(berlin.quic_client_config(b"libp2p").expect("a configuration"));
    let name = "holm.invalid".try_into().expect("a name");
    let mut client = ClientConnection::new(config, name).expect("a client").into();
    let (_, mut server) = pair(&berlin, &tokyo);
    let (_, verdict) = handshake(&mut client, &mut server);
    assert!(matches!(verdict, Err(Error::NoApplicationProtocol)), "{verdict:?}");
}

#[test]
fn a_renewed_svid_is_served_by_the_configuration_that_already_runs() {
    let issued = now() - 3 * DAY;
    let mesh = Mesh::of(&crate::common::domain(), issued);
    let (berlin, tokyo) = (mesh.identity("berlin", issued), mesh.identity("tokyo", issued));
    let (mut client, mut server) = pair(&berlin, &tokyo);
    let renewed = mesh.svid(tokyo.key(), &node_id("tokyo", "n1"), now());
    let old = berlin.verify_peer(&tokyo.chain(), now()).expect("valid");
    tokyo.replace_svid(renewed.clone(), now()).expect("renewed");
    assert_eq!(handshake(&mut client, &mut server), (Ok(()), Ok(())));
    assert_eq!(client.peer_certificates().expect("a chain"), renewed);
    let new = berlin.verify_refresh(&old, &tokyo.chain(), now()).expect("same key, same name");
    assert!(new.not_after() > old.not_after());

    let older = mesh.svid(tokyo.key(), &node_id("tokyo", "n1"), issued);
    assert!(tokyo.replace_svid(older, now()).is_err(), "an older one");
    let renamed = mesh.svid(tokyo.key(), &node_id("paris", "n1"), now() + HOUR / 20);
    assert!(tokyo.replace_svid(renamed, now()).is_err(), "another name");
    let other = NodeKey::generate().expect("a key");
    let foreign = mesh.svid(&other, &node_id("tokyo", "n1"), now() + HOUR / 20);
    assert!(tokyo.replace_svid(foreign, now()).is_err(), "another key");
    assert_eq!((tokyo.generation(), tokyo.chain()), (1, renewed));
}

#[test]
fn a_bundle_change_is_announced_and_ends_trust() {
    let mesh = Mesh::of(&crate::common::domain(), now());
    let (berlin, tokyo) = (mesh.identity("berlin", now()), mesh.identity("tokyo", now()));
    let (sender, receiver) = std::sync::mpsc::channel();
    let _subscription = berlin.on_change(move |change| sender.send(change).expect("is heard"));
    let next = Mesh::of(&crate::common::domain(), now()).root.certificate().clone();
    let bundle = holm_certs::Bundle::new(&crate::common::domain(), vec![next], 2, 300);
    assert!(berlin.replace_bundle(bundle.expect("a bundle")).expect("newer"));
    assert_eq!(receiver.try_recv(), Ok(Change::Bundle));
    let error = berlin.verify_peer(&tokyo.chain(), now()).expect_err("no longer trusted");
    assert_eq!(error.code(), "untrusted_root");
    assert!(berlin.replace_bundle(mesh.bundle()).is_err(), "an older bundle");
    refused_on_both_sides_by_root(&tokyo, &berlin);
}

fn refused_on_both_sides_by_root(bad: &Identity, good: &Identity) {
    let (mut client, mut server) = pair(bad, good);
    assert!(handshake(&mut client, &mut server).1.is_err());
    assert_eq!(good.refusal_counts()["untrusted_root"], 2);
}

#[test]
fn renewal_lies_around_half_life() {
    let mesh = Mesh::of(&crate::common::domain(), now());
    let berlin = mesh.identity("berlin", now());
    let svid = berlin.svid();
    let whole = svid.not_after().since(svid.not_before());
    let share = |jitter| renew_at(&svid, jitter).since(svid.not_before()) as f64 / whole as f64;
    for (jitter, expected) in [(0.0, 0.4), (0.5, 0.5), (0.999_999, 0.6), (f64::NAN, 0.5)] {
        assert!((share(jitter) - expected).abs() < 0.002, "{jitter}: {}", share(jitter));
    }
    // The five minutes that an issuer dates back are no part of a short life.
    let key = NodeKey::generate().expect("a key");
    let id = crate::common::node_id("berlin", "n1");
    let minute = crate::common::minutes(1);
    let chain = mesh.issuer.issue_svid(key.public_key(), &id, minute, now()).expect("an SVID");
    let revocations = RevocationSet::default();
    let short = Identity::new(key, chain, mesh.bundles.clone(), revocations, now()).expect("valid");
    let left = renew_at(&short.svid(), 0.5).since(now());
    assert!((20_000..=40_000).contains(&left), "{left} ms from now, half a minute");
    let state = berlin.svid_state(now(), 0.25);
    let expected =
        SvidState::Valid { not_after: svid.not_after(), renew_at: renew_at(&svid, 0.25) };
    assert_eq!(state, expected);
}
