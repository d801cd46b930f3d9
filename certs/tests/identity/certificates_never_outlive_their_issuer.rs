//! What issuers make, and what they refuse to make.

use std::time::Duration;

use holm_certs::{
    CLOCK_SKEW, CertificateRequest, ISSUER_LIFETIME, IssueError, Issuer, IssuerRequest, NodeKey,
    RootAuthority, SVID_LIFETIME, SpiffeId, TrustDomain, Verifier,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::common::{DAY, HOUR, Mesh, NOW, domain, minutes, node_id};

#[test]
fn a_leaf_ends_with_its_issuer_and_an_ended_issuer_issues_nothing() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let end = mesh.issuer.not_after();
    assert_eq!(end.0, NOW.0 + ISSUER_LIFETIME.as_millis() as u64);
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), end - DAY);
    let svid = Verifier::verify(&chain, &mesh.bundles, end - DAY).expect("valid");
    assert_eq!(svid.not_after(), end, "7 days were asked, 1 is left");
    let id = node_id("berlin", "n1");
    let late = mesh.issuer.issue_svid(key.public_key(), &id, SVID_LIFETIME, end + 1);
    assert!(matches!(late, Err(IssueError::IssuerExpired { .. })), "{late:?}");
    let late = mesh.root.create_issuer(NOW + 3660 * DAY);
    assert!(matches!(late, Err(IssueError::IssuerExpired { .. })));
    let short = mesh.root.create_issuer(NOW + 3600 * DAY).expect("the root still holds");
    assert!(short.not_after() <= NOW + 3653 * DAY, "an issuer ends with its root");
}

#[test]
fn issuers_refuse_what_they_may_not_make() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let issue = |id: &str, lifetime: Duration| {
        let id = SpiffeId::parse(id).expect("an id");
        mesh.issuer.issue_svid(key.public_key(), &id, lifetime, NOW).expect_err("refused")
    };
    let foreign = issue("spiffe://other.test/site/a/node/b", SVID_LIFETIME);
    assert!(matches!(foreign, IssueError::ForeignDomain { .. }));
    assert!(matches!(issue("spiffe://holm.test", SVID_LIFETIME), IssueError::NoPath(_)));
    for lifetime in [Duration::ZERO, Duration::from_secs(59), Duration::from_secs(399 * 86_400)] {
        let refused = issue("spiffe://holm.test/a", lifetime);
        assert!(matches!(refused, IssueError::Lifetime(_)), "{lifetime:?}");
    }
    for names in [vec![], vec!["not a name".to_owned()], vec!["n.example".to_owned(); 65]] {
        let refused = mesh.issuer.issue_web(key.public_key(), &names, &[], minutes(60), NOW);
        assert!(matches!(refused, Err(IssueError::WebName { .. })), "{names:?}");
    }
}

#[test]
fn certificates_have_the_shape_that_the_standards_want() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let (_, leaf) = X509Certificate::from_der(&chain[0]).expect("a leaf");
    let (_, issuer) = X509Certificate::from_der(&chain[1]).expect("an issuer");
    let (_, root) = X509Certificate::from_der(mesh.root.certificate()).expect("a root");
    assert_eq!(
        leaf.validity().not_before.timestamp() as u64,
        (NOW.0 / 1000) - CLOCK_SKEW.as_secs()
    );
    assert!(leaf.subject().iter().next().is_none(), "no common name");
    let basic = leaf.basic_constraints().expect("ok").expect("is there");
    assert!(!basic.value.ca, "cA=false is said");
    let basic = issuer.basic_constraints().expect("ok").expect("is there");
    assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(0));
    assert!(issuer.name_constraints().expect("ok").expect("is there").critical);
    let basic = root.basic_constraints().expect("ok").expect("is there");
    assert_eq!(basic.value.path_len_constraint, Some(1));
    assert!(chain.iter().all(|der| der.len() < 700), "small enough for one handshake flight");
    let again = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let (_, again) = X509Certificate::from_der(&again[0]).expect("a leaf");
    assert_ne!(leaf.raw_serial(), again.raw_serial());
}

#[test]
fn another_node_becomes_an_issuer_without_the_root_key_travelling() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let request = IssuerRequest::new(&key).expect("a request");
    let received = IssuerRequest::parse(request.der()).expect("is accepted");
    let chain = mesh.root.sign_issuer(&received, NOW).expect("signed");
    let issuer = Issuer::install(key, chain.clone(), NOW).expect("installed");
    let node = NodeKey::generate().expect("a key");
    let id = node_id("tokyo", "n1");
    let svid = issuer.issue_svid(node.public_key(), &id, SVID_LIFETIME, NOW).expect("an SVID");
    Verifier::verify(&svid, &mesh.bundles, NOW).expect("is accepted in the mesh");
    assert_eq!(issuer.pin().expect("a pin"), mesh.root.pin());

    let other = NodeKey::generate().expect("a key");
    let refused = Issuer::install(other, chain, NOW);
    assert!(matches!(refused, Err(IssueError::KeyMismatch { .. })), "{refused:?}");
    let node = NodeKey::generate().expect("a key");
    let svid = mesh.svid(&node, &node_id("tokyo", "n1"), NOW);
    let refused = Issuer::install(node, vec![svid[0].clone(), svid[1].clone()], NOW);
    assert!(refused.is_err(), "a node's SVID makes no issuer");
}

#[test]
fn authorities_survive_their_pem() {
    let mesh = Mesh::new();
    let root = RootAuthority::from_pem(&mesh.root.to_pem()).expect("a root");
    assert_eq!((root.pin(), root.trust_domain()), (mesh.root.pin(), &domain()));
    let issuer = Issuer::from_pem(&mesh.issuer.to_pem()).expect("an issuer");
    assert_eq!(issuer.not_after(), mesh.issuer.not_after());
    let key = NodeKey::generate().expect("a key");
    let id = node_id("berlin", "n1");
    let chain = issuer.issue_svid(key.public_key(), &id, SVID_LIFETIME, NOW + HOUR).expect("ok");
    Verifier::verify(&chain, &mesh.bundles, NOW + HOUR).expect("valid");
    for bad in ["", "x", &mesh.root.to_pem()[..200]] {
        assert!(RootAuthority::from_pem(bad).is_err() && Issuer::from_pem(bad).is_err());
    }
    assert!(Issuer::from_pem(&mesh.root.to_pem()).is_err(), "a root is no issuer");
}

#[test]
fn the_longest_trust_domain_still_works() {
    for length in [1, 60, 119, 124, 130, 255] {
        let domain = TrustDomain::new(&"d".repeat(length)).expect("a domain");
        let mesh = Mesh::of(&domain, NOW);
        let key = NodeKey::generate().expect("a key");
        let id = SpiffeId::parse(&format!("spiffe://{domain}/site/a/node/b")).expect("an id");
        let request = CertificateRequest::new(&key).expect("a request");
        let chain = mesh.issuer.issue_svid(request.public_key(), &id, SVID_LIFETIME, NOW);
        let svid = Verifier::verify(&chain.expect("issued"), &mesh.bundles, NOW);
        assert_eq!(*svid.expect("valid").spiffe_id(), id, "{length} bytes");
    }
}
