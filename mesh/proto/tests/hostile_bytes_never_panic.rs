//! Whatever a peer sends: an error or a message, never a panic.

mod common;

use common::store::FakeStore;
use common::{doc, key, tenant};
use holm_mesh_proto::PeerKey;
use holm_mesh_proto::sync::{Session, SyncPeer};
use holm_mesh_proto::wire::{
    ChainId, Control, Frame, Hello, Hint, LeaseClaim, LeaseProof, MAX_CONTROL_BYTES, MeshId,
    NatAnswer, NatRequest, RpcRequest, RpcResponse, Sync, WireError,
};
use holm_mesh_proto::{
    ClockStamp, DocumentStore as _, Event, MemberId, MeshNode, NodeConfig, Now, Position, Timing,
};
use holm_model::{Millis, NodeName, SiteId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn hello() -> Hello {
    Hello {
        protocol_min: 1,
        protocol_max: 1,
        mesh_id: MeshId([9; 16]),
        site: SiteId::new("tokyo").expect("valid"),
        node: NodeName::new("a").expect("valid"),
        addresses: vec!["[2001:db8::1]:7443".parse().expect("valid")],
        api_port: Some(8443),
        generation: 7,
        known_generation: 0,
        sent_at: Millis(1_800_000_000_000),
        instance: 3,
    }
}

fn node(index: usize) -> MeshNode {
    MeshNode::new(NodeConfig {
        me: MemberId {
            site: SiteId::new("tokyo").expect("valid"),
            node: NodeName::new(&format!("n{index}")).expect("valid"),
            peer: key(index),
            addresses: vec![],
            api_port: None,
            generation: 1,
        },
        seeds: vec![],
        timing: Timing::quick(),
        random_seed: 1,
    })
}

/// Real membership datagrams: what a node sends when another connects.
fn swim_datagrams() -> Vec<Vec<u8>> {
    let (store, now) = (FakeStore::default(), Now::plain(0, Millis(1)));
    let mut node = node(1);
    let event = Event::Connected { peer: key(2), hello: hello(), target: None };
    let mut actions = node.handle(event, now, &store);
    for mono_ms in (0..3_000).step_by(20) {
        actions.extend(node.handle(Event::Tick, Now::plain(mono_ms, Millis(1)), &store));
    }
    let swim = actions.into_iter().filter_map(|action| match action {
        holm_mesh_proto::Action::Send { message: Control::Swim(bytes), .. } => Some(bytes),
        _ => None,
    });
    swim.collect()
}

fn stamp(raw_ns: u64) -> ClockStamp {
    ClockStamp::new(raw_ns, 1_800_000_000_000_000_000).expect("in bounds")
}

fn controls() -> Vec<Control> {
    let store = FakeStore::with_tenants(&["acme"]);
    let version = store.write(&tenant("acme"), doc(1), 5, b"x");
    let hint = Hint { version: version.clone(), origin: key(1) };
    let lease = LeaseClaim {
        site: SiteId::new("tokyo").expect("valid"),
        node: NodeName::new("a").expect("valid"),
        tenant: tenant("acme"),
        generation: 1,
        sequence: 2,
        as_of: Millis(3),
        relays: vec![PeerKey([9; 34]), PeerKey([8; 34])],
        proof: Some(LeaseProof { signer: ChainId([7; 16]), signature: vec![6; 72] }),
    };
    let mut all = vec![
        Control::Chains(vec![vec![vec![3; 400], vec![4; 300]]]),
        Control::ChainsWanted(vec![ChainId([7; 16]); 3]),
        Control::Graft(vec![hint.id()]),
        Control::Have(vec![hint.id(), hint.id()]),
        Control::Gossip { hint, hops: 3 },
        Control::Leases(vec![lease]),
        Control::Ping { sequence: 1, sent_at: Millis(2), clock: None },
        Control::Ping { sequence: 1, sent_at: Millis(2), clock: Some(stamp(3)) },
        Control::Pong {
            sequence: 1,
            sent_at: Millis(2),
            clocks: Some((stamp(4), stamp(5))),
            position: Position::from_wire([-1_000, 20, 3], 4, 500),
        },
        Control::Prune,
        Control::SealedGossip { sealed: vec![2; 120], hops: 3 },
        Control::SealedStored(vec![2; 120]),
        Control::Stored(version),
        Control::SvidRefresh(vec![vec![1, 2, 3]]),
    ];
    let swim = swim_datagrams();
    assert!(swim.len() > 3);
    all.extend(swim.into_iter().map(Control::Swim));
    all
}

fn syncs() -> Vec<Sync> {
    let store = FakeStore::with_tenants(&["acme"]);
    for number in 0..100 {
        store.write(&tenant("acme"), doc(number), number, b"x");
    }
    let peer = SyncPeer { site: SiteId::new("b").expect("valid"), name: "b".to_owned() };
    let mut session =
        Session::initiate(peer, tenant("acme"), holm_mesh_proto::Scope::All, &store).expect("ok");
    let open = session.poll_transmit(&store).expect("opens");
    vec![
        open,
        Sync::Applied { doc: doc(1), error: Some("no".to_owned()) },
        Sync::Chunk(vec![5; 100]),
        Sync::Document { doc: doc(1), heads: store.heads(&tenant("acme"), &doc(1)), length: 100 },
        Sync::Exchange { doc: doc(1), heads: vec![[1; 32]; 3] },
        Sync::Done,
        Sync::Turn,
        Sync::Refused { reason: "no".to_owned() },
    ]
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..4) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes.truncate(at),
            2 => bytes.insert(at, rng.random()),
            _ if at < bytes.len() => bytes[at] = rng.random(),
            _ => bytes.push(rng.random()),
        }
    }
}

#[test]
fn what_was_sent_is_what_arrives() {
    for control in controls() {
        assert_eq!(Control::from_bytes(&control.to_bytes()), Ok(control));
    }
    for sync in syncs() {
        assert_eq!(Sync::from_bytes(&sync.to_bytes()), Ok(sync));
    }
    assert_eq!(Hello::from_bytes(&hello().to_bytes()), Ok(hello()));
    let request = RpcRequest { method: "renew".to_owned(), body: vec![1, 2] };
    assert_eq!(RpcRequest::from_bytes(&request.to_bytes()), Ok(request));
    for response in [RpcResponse(Ok(vec![1])), RpcResponse(Err("no".to_owned()))] {
        assert_eq!(RpcResponse::from_bytes(&response.to_bytes()), Ok(response));
    }
}

#[test]
fn a_frame_over_its_limit_is_refused_before_it_is_read() {
    let length = u32::try_from(MAX_CONTROL_BYTES + 1).expect("small");
    let error = Control::body_length(length.to_be_bytes()).expect_err("too long");
    assert!(matches!(error, WireError::TooLong { what: "control", .. }));
    assert!(error.to_string().contains("65537 bytes is over the limit of 65536"), "{error}");
    assert!(Hello::body_length([0xff; 4]).is_err());
    assert!(
        RpcRequest { method: String::new(), body: vec![] }
            .to_frame()
            .is_ok_and(|frame| { RpcRequest::from_bytes(&frame[4..]).is_err() })
    );
}

/// About 150,000 mutated frames into a live node and live sessions.
#[test]
fn mutated_frames_do_not_panic() {
    let mut rng = StdRng::seed_from_u64(1);
    let store = FakeStore::with_tenants(&["acme"]);
    store.write(&tenant("acme"), doc(1), 1, b"x");
    let (controls, syncs) = (controls(), syncs());
    let mut receiver = node(2);
    let start = Now::plain(0, Millis(1));
    let connected = Event::Connected { peer: key(1), hello: hello(), target: None };
    receiver.handle(connected, start, &store);
    let peer = SyncPeer { site: SiteId::new("b").expect("valid"), name: "b".to_owned() };
    let mut understood = 0_u64;
    for round in 0..40_000_u64 {
        let now =
            Now { mono_ms: round / 100, wall: Millis(round), clock: ClockStamp::new(round + 1, 0) };
        let mut bytes = controls[rng.random_range(0..controls.len())].to_bytes();
        mutate(&mut bytes, &mut rng);
        if let Ok(message) = Control::from_bytes(&bytes) {
            understood += 1;
            receiver.handle(Event::Received { peer: key(1), message }, now, &store);
        }
        let mut bytes = hello().to_bytes();
        mutate(&mut bytes, &mut rng);
        understood += u64::from(Hello::from_bytes(&bytes).is_ok());

        let mut session = Session::respond(peer.clone());
        for step in 0..3 {
            let index = if step == 0 { 0 } else { rng.random_range(0..syncs.len()) };
            let mut bytes = syncs[index].to_bytes();
            if step > 0 || rng.random_bool(0.3) {
                mutate(&mut bytes, &mut rng);
            }
            let Ok(message) = Sync::from_bytes(&bytes) else { break };
            understood += 1;
            if session.handle(message, &store).is_err() {
                break;
            }
            while session.poll_transmit(&store).is_some() {}
        }
    }
    assert!(understood > 25_000, "{understood}: too few came through to test anything");
    assert!(receiver.members().len() <= 8_192);
}

#[test]
fn mutated_wishes_about_nat_do_not_panic_and_keep_their_bounds() {
    let mut rng = StdRng::seed_from_u64(2);
    let addresses = vec!["192.0.2.1:4747".parse().expect("valid"); 8];
    let requests = [
        NatRequest::Connect(key(1)),
        NatRequest::DialBack(addresses.clone()),
        NatRequest::Incoming(key(2)),
        NatRequest::Now,
        NatRequest::Punch(addresses.clone()),
        NatRequest::Reserve,
    ];
    let refused = NatAnswer::Refused { reason: "full".to_owned(), no_relay: true };
    let answers = [NatAnswer::Addresses(addresses), NatAnswer::Granted, refused];
    let mut understood = 0;
    for _ in 0..40_000 {
        let mut bytes = requests[rng.random_range(0..requests.len())].to_bytes();
        mutate(&mut bytes, &mut rng);
        match NatRequest::from_bytes(&bytes) {
            Ok(NatRequest::DialBack(all) | NatRequest::Punch(all)) => {
                assert!(all.len() <= 8);
                understood += 1;
            }
            Ok(_) => understood += 1,
            Err(_) => {}
        }
        let mut bytes = answers[rng.random_range(0..answers.len())].to_bytes();
        mutate(&mut bytes, &mut rng);
        if let Ok(answer) = NatAnswer::from_bytes(&bytes) {
            assert!(!matches!(answer, NatAnswer::Refused { reason, .. } if reason.len() > 256));
            understood += 1;
        }
    }
    assert!(understood > 1_000, "{understood}: too few came through to test anything");
}
