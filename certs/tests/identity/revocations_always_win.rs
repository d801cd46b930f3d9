//! Revocation: who may say it, what it ends, and that it never comes back.

use holm_certs::{
    Bundle, BundleMap, Change, NodeKey, Revocation, RevocationError, RevocationSet, SpiffeId,
    SvidState, TrustDomain, Verifier,
};
use std::sync::{Arc, Mutex};

use crate::common::{DAY, HOUR, Mesh, NOW, domain, node_id};

#[test]
fn a_revoked_key_is_refused_whatever_certificate_it_has() {
    let mesh = Mesh::new();
    let (berlin, key) = (mesh.identity("berlin", NOW), NodeKey::generate().expect("a key"));
    let tokyo = node_id("tokyo", "n1");
    let chain = mesh.svid(&key, &tokyo, NOW);
    berlin.verify_peer(&chain, NOW).expect("not yet revoked");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let subscription = berlin.on_change(move |change| log.lock().expect("a lock").push(change));
    let hash = key.public_key().hash();
    let revocation = Revocation::sign(&mesh.issuer, hash, &tokyo, "stolen", NOW).expect("signed");
    let sent = revocation.to_bytes().expect("bytes");
    let received = Revocation::from_bytes(&sent).expect("parses");
    assert_eq!(received, revocation);
    assert!(berlin.revoke(&received, NOW).expect("valid"));
    assert!(!berlin.revoke(&received, NOW).expect("known"), "no news");
    assert_eq!(*seen.lock().expect("a lock"), [Change::Revocation]);
    assert_eq!(berlin.generation(), 1);
    drop(subscription);

    let error = berlin.verify_peer(&chain, NOW).expect_err("revoked");
    assert_eq!(error.code(), "revoked");
    assert!(error.to_string().contains("stolen") && error.to_string().contains("tokyo"), "{error}");
    let renewed = mesh.svid(&key, &tokyo, NOW + DAY);
    assert_eq!(berlin.verify_peer(&renewed, NOW + DAY).expect_err("a renewal").code(), "revoked");
    let renamed = mesh.svid(&key, &node_id("paris", "n9"), NOW);
    assert_eq!(berlin.verify_peer(&renamed, NOW).expect_err("a new name").code(), "revoked");
    assert_eq!(berlin.refusal_counts()["revoked"], 3);
    assert_eq!(berlin.refusals().len(), 3);
    berlin
        .verify_peer(&mesh.svid(&NodeKey::generate().expect("a key"), &tokyo, NOW), NOW)
        .expect("a new key is a new node");
    assert_eq!(seen.lock().expect("a lock").len(), 1, "a dropped subscription hears nothing");
}

#[test]
fn the_own_revocation_is_said() {
    let mesh = Mesh::new();
    let berlin = mesh.identity("berlin", NOW);
    let hash = berlin.key().public_key().hash();
    let id = berlin.spiffe_id();
    let revocation = Revocation::sign(&mesh.root, hash, &id, "retired", NOW).expect("signed");
    berlin.revoke(&revocation, NOW).expect("valid");
    let state = berlin.svid_state(NOW, 0.5);
    assert_eq!(state, SvidState::Revoked { since: NOW, reason: "retired".to_owned() });
}

#[test]
fn only_the_root_revokes_an_issuer_and_it_takes_its_svids_along() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let svid = Verifier::verify(&chain, &mesh.bundles, NOW).expect("valid");
    let (other, bad) = (mesh.root.create_issuer(NOW).expect("an issuer"), mesh.issuer_ca());
    let hash = bad.key.public_key().hash();
    let mut set = RevocationSet::default();
    let by_issuer = Revocation::sign(&other, hash, &domain().id(), "x", NOW).expect("signed");
    let refused = set.insert(&by_issuer, &mesh.bundles, NOW);
    assert!(matches!(refused, Err(RevocationError::NotAuthorised { .. })), "{refused:?}");
    // An issuer that calls the other issuer's key a node's does not end what that one issued.
    let sly = Revocation::sign(&other, hash, &node_id("a", "b"), "x", NOW).expect("signed");
    set.insert(&sly, &mesh.bundles, NOW).expect("an issuer may revoke nodes");
    set.check(&svid).expect("the issuer still holds");
    let by_root = Revocation::sign(&mesh.root, hash, &domain().id(), "x", NOW).expect("signed");
    assert!(set.insert(&by_root, &mesh.bundles, NOW).expect("the root may"));
    assert_eq!(set.check(&svid).expect_err("ended").code(), "revoked");
    assert_eq!(set.len(), 2);
}

#[test]
fn nodes_and_strangers_revoke_nobody() {
    let mesh = Mesh::new();
    let berlin = mesh.identity("berlin", NOW);
    let (hash, id) = (berlin.key().public_key().hash(), node_id("tokyo", "n1"));
    let mut set = RevocationSet::default();
    let mut refused = |revocation: &Revocation, bundles: &BundleMap, now| {
        set.insert(revocation, bundles, now).expect_err("refused").to_string()
    };
    let by_node = Revocation::sign(berlin.statement_key(), hash, &id, "x", NOW).expect("signed");
    assert!(refused(&by_node, &mesh.bundles, NOW).contains("an issuer or the root"));
    let twin = Mesh::new();
    let by_twin = Revocation::sign(&twin.issuer, hash, &id, "x", NOW).expect("signed");
    assert!(refused(&by_twin, &mesh.bundles, NOW).contains("not trusted"));
    // A trusted authority of another domain.
    let other = TrustDomain::new("other.test").expect("a domain");
    let foreign = Mesh::of(&other, NOW);
    let mut both = mesh.bundles.clone();
    both.insert(foreign.bundle()).expect("another domain");
    let by_foreign = Revocation::sign(&foreign.root, hash, &id, "x", NOW).expect("signed");
    assert!(refused(&by_foreign, &both, NOW).contains("own trust domain"));
    let future = Revocation::sign(&mesh.issuer, hash, &id, "x", NOW + HOUR).expect("signed");
    assert!(refused(&future, &mesh.bundles, NOW).contains("NTP"));
    assert!(Revocation::sign(&mesh.issuer, hash, &id, &"x".repeat(201), NOW).is_err());
    assert!(set.is_empty());
}

#[test]
fn a_set_only_grows_and_merges_in_any_order() {
    let mesh = Mesh::new();
    let mut all = Vec::new();
    for site in ["berlin", "tokyo", "paris"] {
        let hash = NodeKey::generate().expect("a key").public_key().hash();
        for at in [NOW, NOW - HOUR / 30, NOW] {
            let id = node_id(site, "n1");
            all.push(Revocation::sign(&mesh.issuer, hash, &id, "x", at).expect("signed"));
        }
    }
    let fold = |order: &mut dyn Iterator<Item = &Revocation>| {
        let mut set = RevocationSet::default();
        for revocation in order {
            let before = set.len();
            set.insert(revocation, &mesh.bundles, NOW).expect("valid");
            assert!(set.len() >= before);
        }
        set
    };
    let forward = fold(&mut all.iter());
    assert_eq!(forward, fold(&mut all.iter().rev()));
    assert_eq!(forward, fold(&mut all.iter().chain(all.iter().rev())));
    assert!(forward.iter().all(|revocation| revocation.at() == NOW - HOUR / 30));
    let bytes = forward.to_bytes().expect("bytes");
    assert_eq!(RevocationSet::from_own_bytes(&bytes).expect("reads back"), forward);
    for cut in [0, 3, 5, bytes.len() / 2, bytes.len() - 1] {
        assert!(RevocationSet::from_own_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_revocation_outlives_its_signers_certificate_and_bundles_change() {
    let mesh = Mesh::new();
    let hash = NodeKey::generate().expect("a key").public_key().hash();
    let id: SpiffeId = node_id("berlin", "n1");
    let revocation = Revocation::sign(&mesh.issuer, hash, &id, "x", NOW).expect("signed");
    let mut set = RevocationSet::default();
    let later = NOW + 2 * 365 * DAY;
    assert!(mesh.issuer.not_after() < later);
    assert!(set.insert(&revocation, &mesh.bundles, later).expect("still says what it said"));
    let next = Mesh::new().root.certificate().clone();
    let rotated = BundleMap::of(Bundle::new(&domain(), vec![next], 2, 300).expect("a bundle"));
    assert!(RevocationSet::default().insert(&revocation, &rotated, NOW).is_err());
    assert!(set.of_node(&hash).is_some(), "what was taken stays");
}
