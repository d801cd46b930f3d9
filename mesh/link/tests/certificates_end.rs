//! A connection does not outlive the certificate that it stands on, and renewal does not break it.

mod common;

use std::time::Duration;

use common::{Authority, Node, WEEK, config, equal, eventually, start_all};
use holm_certs::{Bundle, Revocation};
use holm_mesh_link::CloseCode;
use holm_model::Millis;

fn was_closed_with(node: &Node, code: CloseCode) -> bool {
    let refusals = node.mesh.status().refusals;
    refusals.iter().any(|r| r.direction == "closed" && r.code == Some(u64::from(code.code())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_node_is_closed_at_once_with_its_code() {
    let authority = Authority::new("example.org");
    let nodes = start_all(&authority, &["berlin", "tokyo"]).await;
    let (berlin, tokyo) = (&nodes[0], &nodes[1]);
    let key = tokyo.identity.svid().spki_hash();
    let revocation =
        Revocation::sign(&authority.issuer, key, &authority.id("tokyo"), "stolen", Millis::now())
            .expect("signed");
    berlin.identity.revoke(&revocation, Millis::now()).expect("good");
    eventually("closed", &[berlin, tokyo], || {
        berlin.connected() == 0 && was_closed_with(tokyo, CloseCode::Revoked)
    })
    .await;
    berlin.write(1, "not for tokyo");
    // It tries again and again, and is refused.
    eventually("refused", &[berlin, tokyo], || {
        tokyo
            .mesh
            .status()
            .members
            .iter()
            .chain(&berlin.mesh.status().members)
            .any(|m| m.last_refusal.as_deref().is_some_and(|reason| reason.contains("revoked")))
    })
    .await;
    assert!(tokyo.store.digest().is_empty());
    eventually("it says so", &[tokyo], || !tokyo.mesh.status().replicating).await;
    let reason = tokyo.mesh.status().paused_reason.expect("a reason");
    assert!(reason.contains("revoked") && reason.contains("new token"), "{reason}");
    assert!(berlin.mesh.status().replicating, "the one that revoked goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_that_is_no_longer_trusted_closes_with_its_code() {
    let authority = Authority::new("example.org");
    let nodes = start_all(&authority, &["berlin", "tokyo"]).await;
    let (berlin, tokyo) = (&nodes[0], &nodes[1]);
    let other = Authority::new("example.org");
    let bundle = Bundle::new(&authority.domain, vec![other.root.certificate().clone()], 99, 60)
        .expect("a bundle");
    berlin.identity.replace_bundle(bundle).expect("newer");
    eventually("closed", &[berlin, tokyo], || {
        berlin.connected() == 0 && was_closed_with(tokyo, CloseCode::BundleChange)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_certificate_ended_stops_replicating_says_so_and_resumes() {
    let authority = Authority::new("example.org");
    let berlin = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    let short = authority.ending_in("tokyo", 4);
    let tokyo = Node::start(config("tokyo", &[berlin.address()]), short).await;
    let both = [&berlin, &tokyo];
    eventually("connected", &both, || berlin.connected() == 1 && tokyo.connected() == 1).await;
    eventually("it stops", &both, || {
        !tokyo.mesh.status().replicating && tokyo.connected() == 0 && berlin.connected() == 0
    })
    .await;
    let reason = tokyo.mesh.status().paused_reason.expect("a reason");
    assert!(reason.contains("certificate ended") && reason.contains("renewed"), "{reason}");
    berlin.write(1, "meanwhile in berlin");
    tokyo.write(2, "meanwhile in tokyo");
    eventually("dials of others are refused", &both, || {
        berlin.mesh.status().members[0].last_refusal.is_some()
    })
    .await;
    assert!(!equal(&both));
    // Whoever starts with such a certificate starts, and says so.
    let old = Millis::now() - 90_000;
    let late = authority.identity_at("osaka", Duration::from_secs(60), old);
    let osaka = Node::start(config("osaka", &[berlin.address()]), late).await;
    eventually("it says so", &[&osaka], || !osaka.mesh.status().replicating).await;

    authority.renew(&tokyo.identity, "tokyo", WEEK);
    eventually("it resumes by itself", &both, || equal(&both) && tokyo.mesh.status().replicating)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_keeps_the_connection_past_the_old_end() {
    let authority = Authority::new("example.org");
    let short = |site| authority.ending_in(site, 6);
    let berlin = Node::start(config("berlin", &[]), short("berlin")).await;
    let tokyo = Node::start(config("tokyo", &[berlin.address()]), short("tokyo")).await;
    let both = [&berlin, &tokyo];
    eventually("connected", &both, || berlin.connected() == 1 && tokyo.connected() == 1).await;
    let old_end = tokyo.identity.svid().deadline().max(berlin.identity.svid().deadline());
    let since = berlin.mesh.status().members[0].connected_since;
    for (node, site) in [(&berlin, "berlin"), (&tokyo, "tokyo")] {
        authority.renew(&node.identity, site, WEEK);
    }
    eventually("both know the new ends", &both, || {
        both.iter().all(|node| {
            let ends = node.mesh.status().members[0].svid_not_after;
            ends.is_some_and(|end| end > old_end + 1_000_000)
        })
    })
    .await;
    eventually("the old end has passed", &both, || Millis::now() > old_end + 1_500).await;
    let member = berlin.mesh.status().members.remove(0);
    assert!(member.connected);
    assert_eq!(member.connected_since, since, "it is the same connection");
    assert_eq!(berlin.count("connections"), 1);
    berlin.write(1, "after");
    eventually("it works", &both, || equal(&both)).await;
}
