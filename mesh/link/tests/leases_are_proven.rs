//! Leases between real nodes, signed with real SVIDs: believed from whoever passes them on, and made up
//! by nobody.

mod common;

use common::hostile::Hostile;
use common::{Authority, Node, WEEK, config, eventually, node_name, site_id, start_all};
use holm_certs::Identity;
use holm_mesh_link::LeaseView;
use holm_mesh_proto::wire::{
    ChainId, Control, Frame, LeaseClaim, LeaseProof, MeshId, OLDEST_PROTOCOL,
};
use holm_model::{Millis, TenantId};

const MESH: MeshId = MeshId([1; 16]);

fn acme() -> TenantId {
    TenantId::new("acme").expect("valid")
}

fn lease(at: &Node, of: &str) -> Option<LeaseView> {
    at.mesh.status().leases.into_iter().find(|lease| lease.site.as_str() == of)
}

fn chain(identity: &Identity) -> Vec<Vec<u8>> {
    identity.chain().iter().map(|certificate| certificate.to_vec()).collect()
}

fn claim(of: &str, as_of: Millis) -> LeaseClaim {
    LeaseClaim {
        site: site_id(of),
        node: node_name(),
        tenant: acme(),
        generation: u64::MAX - 1,
        sequence: 1,
        as_of,
        relays: vec![],
        proof: None,
    }
}

fn signed(mut claim: LeaseClaim, by: &Identity, mesh: MeshId) -> LeaseClaim {
    let message = [&mesh.0[..], &claim.statement()].concat();
    let signature = by.key().sign(&message).expect("signs");
    claim.proof = Some(LeaseProof { signer: ChainId::of(&chain(by)), signature });
    claim
}

/// Says its leases, and gives its chain when it is asked for it.
async fn say(peer: &mut Hostile, identity: &Identity, claims: Vec<LeaseClaim>) {
    peer.control.say(&Control::Leases(claims)).await;
    peer.control.say(&Control::Chains(vec![chain(identity)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_believes_the_signed_leases_of_all_others() {
    let authority = Authority::new("example.org");
    let nodes = start_all(&authority, &["berlin", "tokyo", "cairo"]).await;
    let all: Vec<&Node> = nodes.iter().collect();
    for node in &nodes {
        node.mesh.hold_lease(&acme(), Millis::now());
    }
    eventually("all are believed", &all, || {
        nodes.iter().all(|node| {
            let leases = node.mesh.status().leases;
            leases.len() == 3 && leases.iter().all(|lease| lease.signed)
        })
    })
    .await;
    // A renewed certificate is another chain on the same key.
    authority.renew(&nodes[1].identity, "tokyo", WEEK);
    let later = Millis::now() + 5;
    nodes[1].mesh.hold_lease(&acme(), later);
    eventually("and after a renewal", &all, || {
        nodes.iter().all(|node| lease(node, "tokyo").is_some_and(|l| l.signed && l.as_of >= later))
    })
    .await;
    assert!(nodes.iter().all(|node| node.count("leases_forged") == 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_signs_for_itself_and_for_no_other() {
    let authority = Authority::new("example.org");
    let nodes = start_all(&authority, &["berlin", "tokyo"]).await;
    let [berlin, tokyo] = [&nodes[0], &nodes[1]];
    tokyo.mesh.hold_lease(&acme(), Millis::now());
    let believed = || lease(berlin, "tokyo").is_some_and(|lease| lease.signed);
    eventually("tokyo's own word", &[berlin, tokyo], believed).await;
    let before = lease(berlin, "tokyo").expect("there");

    let identity = authority.identity("oslo", WEEK);
    let mut oslo = Hostile::connect(&identity, MESH, berlin.address()).await;
    let at = Millis::now();
    let own = signed(claim("oslo", at), &identity, MESH);
    say(&mut oslo, &identity, vec![own]).await;
    eventually("oslo's own word", &[berlin], || lease(berlin, "oslo").is_some_and(|l| l.signed))
        .await;

    let far = Millis::now() + 60_000;
    let of_another_mesh = LeaseClaim { generation: u64::MAX, ..claim("oslo", far) };
    let forged = vec![
        claim("tokyo", far),
        signed(claim("tokyo", far), &identity, MESH),
        signed(of_another_mesh, &identity, MeshId([2; 16])),
    ];
    oslo.control.say(&Control::Leases(forged)).await;
    let counted = ["leases_unsigned_refused", "leases_of_another", "leases_forged"];
    eventually("each is refused", &[berlin], || counted.iter().all(|name| berlin.count(name) == 1))
        .await;
    assert_eq!(lease(berlin, "tokyo"), Some(before));
    assert!(lease(berlin, "oslo").is_some_and(|lease| lease.as_of <= at));

    // A chain of somebody else's making is fetched, and not believed.
    let stranger = Authority::new("example.org");
    let false_tokyo = stranger.identity("tokyo", WEEK);
    let forged = signed(claim("tokyo", far), &false_tokyo, MESH);
    oslo.control.say(&Control::Leases(vec![forged])).await;
    oslo.control.say(&Control::Chains(vec![chain(&false_tokyo)])).await;
    eventually("nor another root", &[berlin], || berlin.count("lease_chains_refused") == 1).await;
    assert!(lease(berlin, "tokyo").is_some_and(|lease| lease.as_of < far));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_an_older_release_takes_part_as_before() {
    let authority = Authority::new("example.org");
    let berlin = Node::start(config("berlin", &[]), authority.identity("berlin", WEEK)).await;
    let mut older = config("tokyo", &[berlin.address()]);
    older.protocol_at_most = OLDEST_PROTOCOL + 1;
    let tokyo = Node::start(older, authority.identity("tokyo", WEEK)).await;
    let all = [&berlin, &tokyo];
    eventually("connected", &all, || berlin.connected() + tokyo.connected() == 2).await;
    let at = Millis::now();
    berlin.mesh.hold_lease(&acme(), at);
    tokyo.mesh.hold_lease(&acme(), at);
    eventually("both know the other's lease", &all, || {
        lease(&berlin, "tokyo").is_some_and(|lease| lease.as_of == at)
            && lease(&tokyo, "berlin").is_some_and(|lease| lease.as_of == at)
    })
    .await;
    assert!(lease(&berlin, "tokyo").is_some_and(|lease| !lease.signed));
}

/// What a mesh of thousands pays for it; the times are printed and depend on the machine.
#[test]
fn a_signature_is_small_beside_what_it_proves() {
    let authority = Authority::new("example.org");
    let identity = authority.identity("tokyo-region-4", WEEK);
    let bytes = |claim: &LeaseClaim| Control::Leases(vec![claim.clone()]).to_bytes().len();
    let bare = LeaseClaim { generation: Millis::now().0, ..claim("tokyo-region-4", Millis::now()) };
    let proven = signed(bare.clone(), &identity, MESH);
    let more = bytes(&proven) - bytes(&bare);
    // The signature, the chain's name, what marks both, and longer lengths around them.
    assert!(more <= 72 + 16 + 4 + 2, "{more} bytes more than {}", bytes(&bare));
    let chain_bytes: usize = chain(&identity).iter().map(Vec::len).sum();
    assert!(chain_bytes <= 1_024, "{chain_bytes}");
    let (key, message) = (identity.key(), proven.statement());
    let signature = key.sign(&message).expect("signs");
    let time = |what: &str, step: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        assert!((0..200).all(|_| step()), "{what}");
        println!("{what}: {:.1} us", began.elapsed().as_secs_f64() * 5_000.0);
    };
    time("sign", &|| key.sign(&message).is_ok());
    time("verify", &|| key.public_key().verifies(&message, &signature));
    let certificates = identity.chain();
    time("judge a chain", &|| identity.verify_peer(&certificates, Millis::now()).is_ok());
    println!("lease {} bytes, {more} more when signed; chain {chain_bytes}", bytes(&bare));
}
