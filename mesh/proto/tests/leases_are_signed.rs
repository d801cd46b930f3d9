//! Nobody makes up a lease of another, or lengthens one; older releases are understood as before; and
//! whoever stands behind NAT is found through the relays that its leases name.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{FakeStore, key, tenant};
use holm_mesh_proto::wire::{
    ChainId, Control, Hello, LeaseClaim, LeaseProof, MeshId, PROTOCOL_VERSION,
};
use holm_mesh_proto::{
    Action, DialOutcome, Event, LeaseKeys, LeaseSigner, LeaseView, MemberId, MeshNode, NodeConfig,
    Now, PeerKey, Target, Timing,
};
use holm_model::{Millis, NodeName, SiteId};

const WALL: u64 = 1_800_000_000_000;

/// Keys whose secret is a hash of the site's name: good enough for who does not know that.
#[derive(Default)]
struct Shared {
    looked_at: AtomicU64,
    revoked: AtomicBool,
}

struct Keys(&'static str, Arc<Shared>);

fn chain(site: &str) -> Vec<Vec<u8>> {
    vec![site.as_bytes().to_vec(), vec![7; 300]]
}

fn signature(site: &str, statement: &[u8]) -> Vec<u8> {
    blake3::hash(&[b"secret of ", site.as_bytes(), statement].concat()).as_bytes().to_vec()
}

impl LeaseKeys for Keys {
    fn chain(&self) -> Vec<Vec<u8>> {
        chain(self.0)
    }

    fn sign(&self, statement: &[u8]) -> Option<Vec<u8>> {
        Some(signature(self.0, statement))
    }

    fn judge(&self, chain: &[Vec<u8>], now: Millis) -> Result<LeaseSigner, &'static str> {
        let site = std::str::from_utf8(&chain[0]).map_err(|_| "lease_chains_refused")?;
        if self.1.revoked.load(Ordering::Relaxed) {
            return Err("leases_of_revoked");
        }
        Ok(LeaseSigner {
            site: SiteId::new(site).map_err(|_| "lease_chains_refused")?,
            node: NodeName::new("a").expect("valid"),
            peer: key(0),
            key: chain[0].clone(),
            until: now + 60_000,
        })
    }

    fn verifies(&self, signer: &LeaseSigner, statement: &[u8], given: &[u8]) -> bool {
        self.1.looked_at.fetch_add(1, Ordering::Relaxed);
        given == signature(signer.site.as_str(), statement)
    }
}

struct Berlin {
    node: MeshNode,
    store: FakeStore,
    keys: Arc<Shared>,
    ms: u64,
}

impl Berlin {
    /// Connected with tokyo and oslo, which sign, and with lima, which does not know that yet.
    fn new() -> Self {
        let keys = Arc::new(Shared::default());
        let timing = Timing::quick();
        let config = NodeConfig { me: member("berlin", 1), seeds: vec![], timing, random_seed: 1 };
        let mut node = MeshNode::new(config);
        node.sign_leases_with(Box::new(Keys("berlin", keys.clone())));
        let store = FakeStore::with_tenants(&["acme", "umbrella"]);
        let mut berlin = Self { node, store, keys, ms: 1 };
        let versions = [("tokyo", PROTOCOL_VERSION), ("oslo", PROTOCOL_VERSION), ("lima", 3)];
        for (number, (site, version)) in (2..).zip(versions) {
            let hello = hello(site, version);
            berlin.feed(Event::Connected { peer: key(number), hello, target: None });
        }
        berlin
    }

    fn feed(&mut self, event: Event) -> Vec<Action> {
        let wall = Millis(WALL + self.ms);
        self.node.handle(event, Now { mono_ms: self.ms, wall, clock: None }, &self.store)
    }

    fn hear(&mut self, from: usize, claims: Vec<LeaseClaim>) -> Vec<Action> {
        self.say(from, Control::Leases(claims))
    }

    fn say(&mut self, from: usize, message: Control) -> Vec<Action> {
        self.feed(Event::Received { peer: key(from), message })
    }

    /// tokyo passes on a lease, and the chain that it names when asked.
    fn learn(&mut self, claim: LeaseClaim) {
        let site = claim.site.to_string();
        if !wanted(&self.hear(2, vec![claim])).is_empty() {
            self.say(2, Control::Chains(vec![chain(&site)]));
        }
    }

    fn lease(&self, site: &str) -> Option<LeaseView> {
        self.node
            .leases()
            .into_iter()
            .find(|l| l.site.as_str() == site && l.tenant == tenant("acme"))
    }

    fn count(&self, name: &str) -> u64 {
        self.node.counters().of(name)
    }
}

fn member(site: &str, number: usize) -> MemberId {
    MemberId {
        site: SiteId::new(site).expect("valid"),
        node: NodeName::new("a").expect("valid"),
        peer: key(number),
        addresses: vec![([10, 0, 0, 1], 7_400).into()],
        api_port: None,
        generation: 1,
    }
}

fn hello(site: &str, version: u32) -> Hello {
    Hello {
        protocol_min: 2,
        protocol_max: version,
        mesh_id: MeshId([1; 16]),
        site: SiteId::new(site).expect("valid"),
        node: NodeName::new("a").expect("valid"),
        addresses: vec![],
        api_port: None,
        generation: 1,
        known_generation: 0,
        sent_at: Millis(WALL),
        instance: 1,
    }
}

fn bare(site: &str, sequence: u64, as_of: u64) -> LeaseClaim {
    LeaseClaim {
        site: SiteId::new(site).expect("valid"),
        node: NodeName::new("a").expect("valid"),
        tenant: tenant("acme"),
        generation: 1,
        sequence,
        as_of: Millis(WALL - 1_000_000 + as_of),
        relays: vec![],
        proof: None,
    }
}

fn sign(mut claim: LeaseClaim, by: &str) -> LeaseClaim {
    let signer = ChainId::of(&chain(by));
    claim.proof = Some(LeaseProof { signer, signature: signature(by, &claim.statement()) });
    claim
}

fn wanted(actions: &[Action]) -> Vec<ChainId> {
    let ids = actions.iter().filter_map(|action| match action {
        Action::Send { message: Control::ChainsWanted(ids), .. } => Some(ids.clone()),
        _ => None,
    });
    ids.flatten().collect()
}

#[test]
fn a_lease_that_a_neighbour_passes_on_is_believed_once_its_signer_is_known() {
    let mut berlin = Berlin::new();
    let claim = sign(bare("oslo", 1, 5), "oslo");
    let asked = berlin.hear(2, vec![claim.clone(), claim]);
    assert_eq!(wanted(&asked), [ChainId::of(&chain("oslo"))], "asked once");
    assert_eq!(berlin.lease("oslo"), None, "not before it is proven");
    // Another chain in its place is of no use, nor is one that nobody asked for.
    berlin.say(2, Control::Chains(vec![chain("tokyo")]));
    assert_eq!((berlin.lease("oslo"), berlin.count("chains_not_asked_for")), (None, 1));
    berlin.say(2, Control::Chains(vec![chain("oslo")]));
    let lease = berlin.lease("oslo").expect("proven");
    assert!(lease.signed && lease.as_of == Millis(WALL - 1_000_000 + 5));
    // The chain is known now, and is given to others.
    assert!(wanted(&berlin.hear(2, vec![sign(bare("oslo", 2, 6), "oslo")])).is_empty());
    let ids = [chain("oslo"), chain("berlin")].map(|chain| ChainId::of(&chain)).to_vec();
    let given = berlin.say(3, Control::ChainsWanted(ids));
    let chains = vec![chain("oslo"), chain("berlin")];
    let answer = Action::Send { peer: key(3), message: Control::Chains(chains) };
    assert_eq!(given, [answer], "its own too");
}

#[test]
fn nobody_makes_up_lengthens_or_moves_the_lease_of_another() {
    let mut berlin = Berlin::new();
    berlin.learn(sign(bare("oslo", 5, 50), "oslo"));
    let before = berlin.lease("oslo").expect("proven");
    let good = sign(bare("oslo", 6, 60), "oslo");
    let later = LeaseClaim { as_of: Millis(WALL), ..good.clone() };
    let higher = LeaseClaim { generation: 9, ..good.clone() };
    let elsewhere = LeaseClaim { tenant: tenant("umbrella"), ..good.clone() };
    let through = LeaseClaim { relays: vec![key(4)], ..good.clone() };
    for forged in [later, higher, elsewhere, through] {
        berlin.hear(2, vec![forged]);
    }
    assert_eq!(berlin.count("leases_forged"), 4);
    berlin.learn(sign(bare("tokyo", 1, 1), "tokyo"));
    berlin.hear(2, vec![sign(bare("oslo", 7, 70), "tokyo")]);
    assert_eq!(berlin.count("leases_of_another"), 1, "tokyo's signature is not oslo's");
    berlin.hear(2, vec![bare("oslo", 8, 80)]);
    assert_eq!(berlin.count("leases_unsigned_refused"), 1);
    assert_eq!(berlin.lease("oslo"), Some(before), "nothing of all that");
    assert!(berlin.node.leases().iter().all(|lease| lease.tenant == tenant("acme")));
    berlin.hear(2, vec![good]);
    assert_eq!(berlin.lease("oslo").map(|l| l.as_of.0), Some(WALL - 1_000_000 + 60));
}

#[test]
fn an_older_release_is_understood_until_the_node_has_signed() {
    let mut berlin = Berlin::new();
    berlin.hear(2, vec![bare("lima", 50, 900)]);
    let lease = berlin.lease("lima").expect("as before");
    assert!(!lease.signed);
    // Whoever made that up held nothing back: a signed one counts, though it says less.
    berlin.learn(sign(bare("lima", 3, 30), "lima"));
    let lease = berlin.lease("lima").expect("there");
    assert!(lease.signed && lease.as_of == Millis(WALL - 1_000_000 + 30), "{lease:?}");
    // The node itself may have gone back to a release that does not sign; others may not say so.
    berlin.hear(2, vec![bare("lima", 60, 910)]);
    assert!(berlin.lease("lima").is_some_and(|lease| lease.signed));
    berlin.hear(4, vec![bare("lima", 60, 910)]);
    assert!(berlin.lease("lima").is_some_and(|lease| !lease.signed));
    // What older nodes are told has nothing that they do not know; the others get the proof.
    berlin.learn(sign(bare("oslo", 1, 5), "oslo"));
    berlin.feed(Event::LeaseHeld { tenant: tenant("acme"), as_of: Millis(WALL) });
    berlin.ms += 10_000;
    let told: Vec<(PeerKey, LeaseClaim)> = berlin
        .feed(Event::Tick)
        .into_iter()
        .filter_map(|action| match action {
            Action::Send { peer, message: Control::Leases(claims) } => Some((peer, claims)),
            _ => None,
        })
        .flat_map(|(peer, claims)| claims.into_iter().map(move |claim| (peer, claim)))
        .collect();
    assert!(told.iter().any(|(peer, _)| *peer == key(4)), "lima is told");
    for (peer, claim) in told.iter().filter(|(_, claim)| claim.site.as_str() != "lima") {
        assert_eq!(claim.proof.is_some(), *peer != key(4), "{peer} {claim:?}");
    }
    let own = told.iter().find(|(peer, c)| *peer == key(2) && c.site.as_str() == "berlin");
    let (_, own) = own.expect("berlin's own goes to tokyo");
    let proof = own.proof.as_ref().expect("signed");
    assert_eq!(proof.signature, signature("berlin", &own.statement()));
}

#[test]
fn forgeries_cost_the_peer_that_brings_them_and_nobody_else() {
    let mut berlin = Berlin::new();
    berlin.learn(sign(bare("oslo", 1, 1), "oslo"));
    let forged = |sequence| {
        let mut claim = sign(bare("oslo", sequence, 2), "oslo");
        claim.as_of = Millis(WALL);
        claim
    };
    for batch in 0..400 {
        berlin.hear(2, (0..100).map(|n| forged(2 + batch * 100 + n)).collect());
    }
    let looked_at = berlin.keys.looked_at.load(Ordering::Relaxed);
    assert!(looked_at < 200, "{looked_at} of 40,000 were looked at");
    assert!(berlin.count("leases_over_quota") > 39_000);
    // Another neighbour brings the truth.
    berlin.hear(3, vec![sign(bare("oslo", 50_000, 3), "oslo")]);
    assert_eq!(berlin.lease("oslo").map(|l| l.as_of.0), Some(WALL - 1_000_000 + 3));
    // Chains that nobody sends: what waits is bounded and counted.
    let before = berlin.count("leases_unproven_dropped");
    for batch in 0..100_u64 {
        let of_nobody = |n: u64| {
            let mut claim = sign(bare("oslo", 60_000 + batch * 256 + n, 4), "oslo");
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(batch * 256 + n).to_be_bytes());
            claim.proof.as_mut().expect("signed").signer = ChainId(id);
            claim
        };
        berlin.hear(3, (0..256).map(of_nobody).collect());
    }
    assert!(berlin.count("leases_unproven_dropped") - before > 20_000);
    for (name, length, bound) in berlin.node.footprint().parts {
        assert!(length <= bound, "{name}: {length} of {bound}");
    }
}

#[test]
fn a_signer_that_is_no_longer_trusted_is_no_longer_believed() {
    let mut berlin = Berlin::new();
    berlin.learn(sign(bare("oslo", 1, 1), "oslo"));
    berlin.keys.revoked.store(true, Ordering::Relaxed);
    berlin.feed(Event::TrustChanged);
    berlin.hear(2, vec![sign(bare("oslo", 2, 2), "oslo")]);
    assert_eq!(berlin.count("leases_of_revoked"), 1);
    berlin.keys.revoked.store(false, Ordering::Relaxed);
    berlin.feed(Event::TrustChanged);
    berlin.ms += 120_000;
    berlin.hear(2, vec![sign(bare("oslo", 3, 3), "oslo")]);
    assert_eq!(berlin.lease("oslo").map(|l| l.as_of.0), Some(WALL - 1_000_000 + 3), "judged anew");
    berlin.ms += 120_000;
    berlin.hear(2, vec![sign(bare("oslo", 4, 4), "oslo")]);
    assert_eq!(berlin.count("leases_of_expired"), 1);
}

/// A mesh of forty in which all but a relay stand behind NAT, as their leases say.
#[test]
fn in_a_large_mesh_a_hidden_node_is_reached_through_the_relay_that_it_names() {
    let mut berlin = Berlin::new();
    let relay = key(10);
    let members = (10..50).map(|number| member(&format!("site-{number}"), number)).collect();
    berlin.feed(Event::Remembered { members });
    for number in 20..26 {
        let hello = hello(&format!("site-{number}"), PROTOCOL_VERSION);
        berlin.feed(Event::Connected { peer: key(number), hello, target: None });
    }
    for number in 11..50 {
        let site = format!("site-{number}");
        let claim = LeaseClaim { relays: vec![key(99), relay], ..bare(&site, 1, 1) };
        berlin.learn(sign(claim, &site));
    }
    // A list of relays that nobody signed is none.
    assert_eq!(berlin.node.relays_of(key(30)), [key(99), relay]);
    assert!(berlin.node.relays_of(key(2)).is_empty());
    let mut failed: Vec<PeerKey> = Vec::new();
    let mut relay_dialled_ms = None;
    while relay_dialled_ms.is_none() && berlin.ms < 5_000 {
        berlin.ms += 20;
        for peer in dials(&berlin.feed(Event::Tick)) {
            if peer == relay {
                relay_dialled_ms = Some(berlin.ms);
            } else {
                failed.push(peer);
                let outcome = DialOutcome::Failed("no answer".into());
                berlin.feed(Event::DialEnded { target: Target::Peer(peer), outcome });
            }
        }
    }
    assert!(!failed.is_empty() && relay_dialled_ms.is_some(), "{failed:?}");
    let (target, hello) = (Some(Target::Peer(relay)), hello("site-10", PROTOCOL_VERSION));
    berlin.feed(Event::Connected { peer: relay, hello, target });
    let again = dials(&berlin.feed(Event::Tick));
    assert!(
        again.iter().any(|peer| failed.contains(peer)),
        "at once, whatever the wait: {again:?}"
    );
    // The way to others is not given up, though it is neither near nor one of the few far ones.
    for _ in 0..1_500 {
        berlin.ms += 20;
        for number in [2, 3, 4, 10].into_iter().chain(20..26) {
            berlin.say(number, Control::Have(vec![]));
        }
        let left =
            |action: &Action| matches!(action, Action::Disconnect { peer, .. } if *peer == relay);
        assert!(!berlin.feed(Event::Tick).iter().any(left), "left at {}", berlin.ms);
    }
}

#[test]
fn a_relay_keeps_whom_it_relays_for_whatever_others_come() {
    let mut berlin = Berlin::new();
    let members = (100..180).map(|number| member(&format!("site-{number}"), number)).collect();
    berlin.feed(Event::Remembered { members });
    let come = |berlin: &mut Berlin, number: usize| {
        let hello = hello(&format!("site-{number}"), PROTOCOL_VERSION);
        berlin.feed(Event::Connected { peer: key(number), hello, target: None });
    };
    let closed = |berlin: &mut Berlin| -> Vec<PeerKey> {
        let closed = berlin.feed(Event::Tick).into_iter().filter_map(|action| match action {
            Action::Disconnect { peer, .. } => Some(peer),
            _ => None,
        });
        closed.collect()
    };
    (100..140).for_each(|number| come(&mut berlin, number));
    // The last ten have places here, or circuits: older ones go instead.
    berlin.feed(Event::Served((130..140).map(key).collect()));
    berlin.ms += 6_000;
    (2..140).for_each(|number| drop(berlin.say(number, Control::Have(vec![]))));
    let gone = closed(&mut berlin);
    assert_eq!(gone.len(), 3, "43, of which 10 do not count, and 30 may stay");
    assert!((130..140).all(|number| !gone.contains(&key(number))), "{gone:?}");
    // Whoever has just come may be about to ask for a circuit.
    (140..150).for_each(|number| come(&mut berlin, number));
    assert_eq!(closed(&mut berlin), []);
    berlin.ms += 6_000;
    (2..150).for_each(|number| drop(berlin.say(number, Control::Have(vec![]))));
    assert!(!closed(&mut berlin).is_empty());
}

fn dials(actions: &[Action]) -> Vec<PeerKey> {
    let peers = actions.iter().filter_map(|action| match action {
        Action::Dial { target: Target::Peer(peer), .. } => Some(*peer),
        _ => None,
    });
    peers.collect()
}
