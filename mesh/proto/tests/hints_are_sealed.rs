//! What leaves a node of a hint, by whom it is for and by which version of the protocol they speak.

mod common;

use std::collections::BTreeSet;

use common::store::FakeStore;
use common::{doc, key, tenant};
use holm_mesh_proto::wire::{Control, Hello, HintBody, MeshId, PROTOCOL_VERSION};
use holm_mesh_proto::{
    Action, DocumentStore, Event, HintKeys, MemberId, MeshNode, NodeConfig, Now, PeerKey, Timing,
};
use holm_model::{DocId, DocVersion, HeadsDigest, Millis, NodeName, SiteId, TenantId};

/// A store whose keys turn bytes around; it stands in for real ones, which `holm-certs` tests.
struct Sealing {
    store: FakeStore,
    has_key: bool,
}

impl DocumentStore for Sealing {
    fn tenants(&self) -> Vec<TenantId> {
        self.store.tenants()
    }
    fn may_replicate(&self, site: &SiteId, tenant: &TenantId) -> bool {
        self.store.may_replicate(site, tenant)
    }
    fn hint_keys(&self) -> Option<&dyn HintKeys> {
        Some(self)
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

impl HintKeys for Sealing {
    fn is_open(&self, of: &TenantId) -> bool {
        *of == tenant("roster")
    }
    fn seal(&self, of: &TenantId, hint: &[u8], _: Millis) -> Option<Vec<u8>> {
        let plain = [&[of.as_str().len() as u8], of.as_str().as_bytes(), hint].concat();
        self.has_key.then(|| plain.into_iter().map(|byte| !byte).collect())
    }
    fn open(&self, sealed: &[u8], _: Millis) -> Result<(TenantId, Vec<u8>), &'static str> {
        let plain: Vec<u8> = sealed.iter().map(|byte| !byte).collect();
        let (length, rest) = plain.split_first().ok_or("hints_malformed")?;
        let (name, hint) = rest.split_at_checked(usize::from(*length)).ok_or("hints_no_key")?;
        let name = std::str::from_utf8(name).map_err(|_| "hints_no_key")?;
        Ok((TenantId::new(name).map_err(|_| "hints_no_key")?, hint.to_vec()))
    }
}

fn now(mono_ms: u64) -> Now {
    Now { mono_ms, wall: Millis(1_800_000_000_000 + mono_ms), clock: None }
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
        sent_at: now(0).wall,
        instance: 1,
    }
}

/// A node with neighbours: one of this version, one of the version before, one that may not have acme.
fn node(store: &Sealing) -> MeshNode {
    let me = MemberId {
        site: SiteId::new("berlin").expect("valid"),
        node: NodeName::new("a").expect("valid"),
        peer: key(1),
        addresses: vec![],
        api_port: None,
        generation: 1,
    };
    let config = NodeConfig { me, seeds: vec![], timing: Timing::quick(), random_seed: 1 };
    let mut node = MeshNode::new(config);
    let versions = [("tokyo", PROTOCOL_VERSION), ("lima", 2), ("oslo", PROTOCOL_VERSION)];
    for (number, (site, version)) in (2..).zip(versions) {
        let event =
            Event::Connected { peer: key(number), hello: hello(site, version), target: None };
        node.handle(event, now(1), store);
    }
    node
}

fn version(of: &str, number: u64) -> DocVersion {
    let heads = HeadsDigest([number as u8; 16]);
    DocVersion { tenant: tenant(of), doc: doc(number), heads, changed_at: now(1).wall }
}

fn hints(actions: &[Action]) -> Vec<(PeerKey, Control)> {
    let sends = actions.iter().filter_map(|action| match action {
        Action::Send { peer, message } => Some((*peer, message.clone())),
        _ => None,
    });
    let is_hint = |(_, message): &(PeerKey, Control)| {
        !matches!(message, Control::Ping { .. } | Control::Swim(_) | Control::Leases(_))
    };
    sends.filter(is_hint).collect()
}

fn store(has_key: bool) -> Sealing {
    let store = FakeStore::with_tenants(&["acme", "roster"]);
    store.refuse("oslo", "acme");
    Sealing { store, has_key }
}

#[test]
fn a_hint_is_sealed_for_who_understands_it_in_clear_for_older_ones_and_not_for_the_rest() {
    let store = store(true);
    let mut node = node(&store);
    let said = hints(&node.handle(Event::Published(version("acme", 7)), now(2), &store));
    let to: BTreeSet<PeerKey> = said.iter().map(|(peer, _)| *peer).collect();
    assert_eq!(to, [key(2), key(3)].into(), "not to oslo");
    for (peer, message) in &said {
        match message {
            Control::SealedGossip { sealed, hops: 0 } if *peer == key(2) => {
                let (of, bytes) = store.open(sealed, now(2).wall).expect("opens");
                let body = HintBody::from_bytes(&bytes).expect("reads");
                assert_eq!((of, body.doc, body.origin), (tenant("acme"), doc(7), Some(key(1))));
            }
            Control::Gossip { hint, hops: 0 } if *peer == key(3) => {
                assert_eq!(hint.version, version("acme", 7));
            }
            other => panic!("{peer} was told {other:?}"),
        }
    }
    assert_eq!(node.counters().of("hints_sent_unsealed"), 1);
    // What everyone may know goes as it is, to everyone.
    let said = hints(&node.handle(Event::Published(version("roster", 8)), now(3), &store));
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|(_, message)| matches!(message, Control::Gossip { .. })));
    // A node that may say no more than version 2 seals nothing, and takes it in clear.
    node.speak_at_most(2);
    let said = hints(&node.handle(Event::Published(version("acme", 9)), now(4), &store));
    assert!(said.iter().all(|(_, message)| matches!(message, Control::Gossip { .. })), "{said:?}");
}

#[test]
fn without_a_key_no_hint_leaves_and_in_clear_none_is_taken() {
    let keyless = store(false);
    let mut node = node(&keyless);
    let said = hints(&node.handle(Event::Published(version("acme", 7)), now(2), &keyless));
    assert!(said.iter().all(|(peer, _)| *peer == key(3)), "{said:?}");
    assert_eq!(node.counters().of("hints_without_key"), 1);

    let store = store(true);
    let from = |peer, message| Event::Received { peer, message };
    let hint =
        |number| holm_mesh_proto::wire::Hint { version: version("acme", number), origin: key(9) };
    for message in
        [Control::Gossip { hint: hint(11), hops: 1 }, Control::Stored(version("acme", 11))]
    {
        let actions = node.handle(from(key(2), message), now(3), &store);
        assert!(!actions.iter().any(|action| matches!(action, Action::Sync { .. })), "{actions:?}");
    }
    assert_eq!(node.counters().of("hints_unsealed"), 2);
    let body = HintBody::of(&version("acme", 12), Some(key(2)));
    let sealed = store.seal(&tenant("acme"), &body.to_bytes(), now(4).wall).expect("has a key");
    // From oslo, which may not have it, a good one is no better.
    let whole = Control::SealedGossip { sealed: sealed.clone(), hops: 0 };
    let actions = node.handle(from(key(4), whole.clone()), now(4), &store);
    assert!(hints(&actions).is_empty(), "{actions:?}");
    assert_eq!(node.counters().of("messages_not_permitted"), 1);
    // A hint is not taken for the word that its sender holds the version, nor the other way round.
    node.handle(from(key(2), Control::SealedStored(sealed)), now(5), &store);
    assert_eq!(node.counters().of("hints_malformed"), 1);
    let actions = node.handle(from(key(2), whole), now(6), &store);
    assert!(actions.iter().any(|action| matches!(action, Action::Sync { .. })), "{actions:?}");
    assert!(
        hints(&actions)
            .iter()
            .any(|(peer, m)| *peer == key(3) && matches!(m, Control::Gossip { .. })),
        "it is passed on to the older one as that can read it: {actions:?}"
    );
}

#[test]
fn a_peer_that_says_too_much_is_not_heard_and_the_others_are() {
    let store = store(true);
    let mut node = node(&store);
    for number in 0..20_000 {
        let message = Control::Have(vec![holm_mesh_proto::wire::HintId([number as u8; 16])]);
        node.handle(Event::Received { peer: key(2), message }, now(10), &store);
    }
    assert_eq!(node.counters().of("messages_over_quota"), 20_000 - 16_384);
    let ping = Control::Ping { sequence: 1, sent_at: now(10).wall, clock: None };
    let event = |peer| Event::Received { peer, message: ping.clone() };
    let answered = |actions: &[Action]| {
        actions.iter().any(|a| matches!(a, Action::Send { message: Control::Pong { .. }, .. }))
    };
    assert!(!answered(&node.handle(event(key(2)), now(10), &store)));
    assert!(answered(&node.handle(event(key(3)), now(10), &store)));
    assert!(answered(&node.handle(event(key(2)), now(1_000), &store)), "after a pause it is heard");
}
