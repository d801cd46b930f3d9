//! Members with good certificates that want what was not granted to them. Their frames are said by hand;
//! every byte that they are sent is searched for what they must not learn.

use std::time::Duration;

use holm_certs::TenantAuthority;
use holm_mesh_proto::Scope;
use holm_model::Millis;

use crate::common::raw::{
    Copy, HOUR_MS, Hostile, Mesh, SECRET, counted, found, metric, runtime, tenant, topology_of,
};
use crate::common::{Lab, Running, eventually};

/// Planes on: the node writes documents of its own.
const WRITES: [(&str, &str); 1] = [("HOLM_PLANES_ACTIVE_ENABLED", "true")];

/// What a stranger must not be told: the name, and the ids of documents.
fn secrets() -> Vec<Vec<u8>> {
    let ids = ["berlin", "tokyo"].map(|site| topology_of(site, SECRET).0.to_vec());
    ids.into_iter().chain([SECRET.as_bytes().to_vec()]).collect()
}

fn assert_untold(peer: &Hostile) {
    for secret in secrets() {
        assert!(!peer.was_told(&secret), "{}", String::from_utf8_lossy(&secret));
    }
}

/// Asks for everything of the tenant in every way; the words in which it is refused.
async fn beg(peer: &Hostile, mesh: &Mesh, site: &str) -> Vec<String> {
    let empty = Copy::of(SECRET, &mesh.label(), site);
    let named = secrets().len();
    assert!(named > 1);
    let documents = ["berlin", "tokyo"].map(|site| topology_of(site, SECRET)).into();
    let mut words = Vec::new();
    for scope in [Scope::All, Scope::Unchanged, Scope::Documents(documents)] {
        words.push(peer.reconcile(&mesh.label(), scope, &empty).await.expect_err("refused"));
    }
    // By its name, which is no name on the mesh, and a tenant that is not there.
    for other in [tenant(SECRET), tenant("0123456789abcdef0123456789abcdef")] {
        words.push(peer.reconcile(&other, Scope::All, &empty).await.expect_err("refused"));
    }
    words
}

/// Waits until `site` stands so in the tenant, as `node` judges.
fn stands(node: &Running, site: &str, state: &str) {
    eventually(&format!("{site} is {state}"), || {
        let list = node.get("/v1/tenants");
        let of = list["items"].as_array()?.iter().find(|t| t["name"] == SECRET)?.clone();
        let site = of["sites"].as_array()?.iter().find(|s| s["site"] == site)?.clone();
        (site["replicate"]["state"] == state).then_some(())
    });
}

#[test]
fn without_a_grant_or_with_a_forged_or_expired_one_nothing_is_learnt() {
    let (lab, runtime) = (Lab::new(), runtime());
    let (place, mesh) = found(&lab, "berlin");
    let berlin = place.start_with(&WRITES);
    let mut peers = Vec::new();
    for site in ["mallo", "lima"] {
        let identity = mesh.identity(site);
        let peer = runtime.block_on(Hostile::connect(&identity, mesh.id, place.mesh));
        peers.push((site, peer));
    }
    let roster = Copy::of_roster("mallo");
    runtime.block_on(roster.reconcile(&peers[0].1)).expect("the roster is everyone's");

    // Forged: a good grant with another site's name in it, and the word of an authority of one's own.
    let good = mesh.grant("paris", 7, HOUR_MS, Millis::now() + HOUR_MS).to_bytes().expect("bytes");
    let at = good.windows(5).position(|window| window == b"paris").expect("named");
    let mut forged = good.clone();
    forged[at..at + 5].copy_from_slice(b"mallo");
    roster.say(&forged);
    let own = TenantAuthority::create(tenant(SECRET)).expect("an authority");
    let terms = |site: &str, ends: Millis| mesh.grant(site, 8, 2 * HOUR_MS, ends).terms().clone();
    let usurped = own.grant(terms("mallo", Millis::now() + HOUR_MS)).expect("signed");
    roster.say(&usurped.to_bytes().expect("bytes"));
    // Expired: signed by the right authority, an hour too late.
    let expired = mesh.authority.grant(terms("lima", Millis::now() - HOUR_MS)).expect("signed");
    roster.say(&expired.to_bytes().expect("bytes"));
    runtime.block_on(roster.reconcile(&peers[0].1)).expect("statements are taken in, and judged");
    stands(&berlin, "lima", "expired");
    eventually("the forged one is refused, the usurper's waits for a creation", || {
        let refused = metric(&berlin, "holm_roster_refused_total{code=\"statement\"}");
        let waiting = metric(&berlin, "holm_roster_statements{kind=\"waiting\"}");
        let all = berlin.place.client().get("/metrics").body;
        let any = refused > 0 || all.contains("holm_roster_refused_total");
        (any && waiting == 1).then_some(())
    });

    let mut words = Vec::new();
    for (site, peer) in &peers {
        words.extend(runtime.block_on(beg(peer, &mesh, site)));
        let view = runtime.block_on(peer.call("view", b"")).expect("an answer");
        assert_eq!(view.expect_err("refused"), "not answered between these sites");
    }
    assert!(words.iter().all(|word| *word == words[0]), "all refused in the same words: {words:?}");
    // While another site comes, documents are written, and everyone hears of them but these.
    let tokyo = lab.join(&berlin, "tokyo").start_with(&WRITES);
    crate::common::agree(&[&berlin, &tokyo]);
    for (_, peer) in &mut peers {
        runtime.block_on(peer.listen(Duration::from_secs(6)));
        assert_untold(peer);
        assert!(peer.heard() > 1_000, "it was told other things: {}", peer.heard());
    }

    // And with a grant the very same questions are answered: the search above could have found it.
    let printed = berlin.place.holm(&["tenant", "grant", SECRET, "--site", "lima"]).succeeded();
    assert!(printed.contains("lima"), "{printed}");
    let (_, lima) = &peers[1];
    let copy = Copy::of(SECRET, &mesh.label(), "lima");
    runtime.block_on(copy.reconcile(lima)).expect("granted");
    assert!(lima.was_told(&topology_of("berlin", SECRET).0));
    assert!(copy.replica.documents().len() >= 2);
    let view = runtime.block_on(lima.call("view", b"")).expect("an answer").expect("granted");
    assert!(String::from_utf8_lossy(&view).contains("tokyo"));
    assert_untold(&peers[0].1);
}

#[test]
fn a_site_that_may_only_query_gets_no_hint_no_id_and_no_document() {
    let (lab, runtime) = (Lab::new(), runtime());
    let (place, mesh) = found(&lab, "berlin");
    let berlin = place.start_with(&WRITES);
    let grant = ["tenant", "grant", SECRET, "--site", "paris", "--right", "query"];
    berlin.place.holm(&grant).succeeded();
    let listed = berlin.place.holm(&["tenant", "list"]).succeeded();
    let line = listed.lines().find(|line| line.contains("paris")).expect("listed");
    assert!(line.contains(" no ") && line.contains("until"), "{line}");

    let identity = mesh.identity("paris");
    let mut paris = runtime.block_on(Hostile::connect(&identity, mesh.id, place.mesh));
    let words = runtime.block_on(beg(&paris, &mesh, "paris"));
    assert!(words.iter().all(|word| *word == words[0]), "{words:?}");
    let tokyo = lab.join(&berlin, "tokyo").start_with(&WRITES);
    crate::common::agree(&[&berlin, &tokyo]);
    runtime.block_on(paris.listen(Duration::from_secs(6)));
    assert_untold(&paris);
    let view = runtime.block_on(paris.call("view", b"")).expect("an answer");
    assert!(view.is_ok(), "what it may ask is answered: {view:?}");

    berlin.place.holm(&["tenant", "revoke", SECRET, "--site", "paris"]).succeeded();
    let view = runtime.block_on(paris.call("view", b"")).expect("an answer");
    assert_eq!(view.expect_err("no more"), "not answered between these sites");
}

#[test]
fn a_revocation_wins_over_the_old_roster_and_in_whatever_order_it_comes() {
    let (lab, runtime) = (Lab::new(), runtime());
    let (place, mesh) = found(&lab, "berlin");
    let berlin = place.start_with(&WRITES);
    berlin.place.holm(&["tenant", "grant", SECRET, "--site", "oslo"]).succeeded();
    let connect =
        |site: &str| runtime.block_on(Hostile::connect(&mesh.identity(site), mesh.id, place.mesh));
    let oslo = connect("oslo");
    let copy = Copy::of(SECRET, &mesh.label(), "oslo");
    runtime.block_on(copy.reconcile(&oslo)).expect("granted");
    let old = Copy::of_roster("oslo");
    runtime.block_on(old.reconcile(&oslo)).expect("everyone's");
    let grants = old.replica.statements();

    berlin.place.holm(&["tenant", "revoke", SECRET, "--site", "oslo"]).succeeded();
    stands(&berlin, "oslo", "revoked");
    let refused = runtime.block_on(copy.reconcile(&oslo)).expect_err("on the live connection too");
    assert!(refused.contains("refused"), "{refused}");
    // The roster as it was, and its statements as if they were new.
    let again = Copy::of_roster("quito");
    for statement in &grants {
        again.say(statement);
    }
    let known = |kind: &str| metric(&berlin, &format!("holm_roster_statements{{kind=\"{kind}\"}}"));
    let before = (known("grants"), known("revocations"));
    for replayed in [&old, &again] {
        runtime.block_on(replayed.reconcile(&oslo)).expect("taken in, and judged");
        stands(&berlin, "oslo", "revoked");
        runtime.block_on(copy.reconcile(&oslo)).expect_err("still");
    }
    assert_eq!((known("grants"), known("revocations")), before);

    // Before the grant: the revocation waits for nothing.
    let quito = connect("quito");
    let roster = Copy::of_roster("quito");
    let ends = Millis::now() + HOUR_MS;
    let revocation = mesh.authority.revoke(&"quito".parse().expect("valid"), 50, Millis::now());
    roster.say(&revocation.expect("signed").to_bytes().expect("bytes"));
    runtime.block_on(roster.reconcile(&quito)).expect("taken");
    stands(&berlin, "quito", "revoked");
    roster.say(&mesh.grant("quito", 50, HOUR_MS, ends).to_bytes().expect("bytes"));
    runtime.block_on(roster.reconcile(&quito)).expect("taken");
    std::thread::sleep(Duration::from_secs(1));
    stands(&berlin, "quito", "revoked");
    let own = Copy::of(SECRET, &mesh.label(), "quito");
    runtime.block_on(own.reconcile(&quito)).expect_err("revoked before it was granted");
    assert_untold(&quito);
    // One that was made after it holds, until it ends on the live connection.
    let soon = Millis::now() + 8_000;
    roster.say(&mesh.grant("quito", 51, HOUR_MS, soon).to_bytes().expect("bytes"));
    runtime.block_on(roster.reconcile(&quito)).expect("taken");
    stands(&berlin, "quito", "granted");
    runtime.block_on(own.reconcile(&quito)).expect("granted");
    stands(&berlin, "quito", "expired");
    runtime.block_on(own.reconcile(&quito)).expect_err("over");
}

#[test]
fn who_floods_the_roster_with_statements_is_counted_and_the_mesh_goes_on() {
    let (lab, runtime) = (Lab::new(), runtime());
    let (place, mesh) = found(&lab, "berlin");
    let berlin = place.start_with(&WRITES);
    let mallory = runtime.block_on(Hostile::connect(&mesh.identity("mallo"), mesh.id, place.mesh));
    let roster = Copy::of_roster("mallo");
    runtime.block_on(roster.reconcile(&mallory)).expect("everyone's");
    // Tenants that nobody created, and noise.
    let usurper = TenantAuthority::create(tenant("usurper")).expect("an authority");
    for serial in 0..1_200 {
        let ends = Millis::now() + HOUR_MS;
        let terms = mesh.grant("mallo", serial, HOUR_MS, ends).terms().clone();
        let grant = usurper.grant(terms).expect("signed");
        roster.say(&grant.to_bytes().expect("bytes"));
    }
    for noise in 0..300_u32 {
        roster.say(&[&noise.to_be_bytes()[..], &[7; 40]].concat());
    }
    runtime.block_on(roster.reconcile(&mallory)).expect("taken in, and judged");
    eventually("what waits is bounded, the rest counted", || {
        let waiting = metric(&berlin, "holm_roster_statements{kind=\"waiting\"}");
        let refused = metric(&berlin, "holm_roster_refused_total{code=\"full\"}");
        (waiting == 1_024 && refused >= 176).then_some(())
    });
    let tokyo = lab.join(&berlin, "tokyo").start_with(&WRITES);
    crate::common::agree(&[&berlin, &tokyo]);
    let copy = Copy::of(SECRET, &mesh.label(), "mallo");
    runtime.block_on(copy.reconcile(&mallory)).expect_err("it gained nothing");
    assert_eq!(counted(&berlin, "loop_stuck"), 0);
}
