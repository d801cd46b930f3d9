//! Anyone can send datagrams to the mesh port: nothing that they send disturbs those who may talk.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::common::{Lab, Place, agree, eventually};

/// Real QUIC packets: what a node of another mesh sends to the address that it takes for a seed.
fn captured(foreign: &Place) -> Vec<Vec<u8>> {
    let seed = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    seed.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    let address = seed.local_addr().expect("bound");
    let _node = foreign.start_with(&[("HOLM_MESH_SEEDS", &format!("[\"{address}\"]"))]);
    let mut buffer = [0; 2_048];
    (0..3)
        .map(|_| {
            let (length, _) = seed.recv_from(&mut buffer).expect("the node dials its seed");
            buffer[..length].to_vec()
        })
        .collect()
}

fn random(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..1_500)];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn mutated(packet: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    match rng.random_range(0..4) {
        0 => bytes.truncate(rng.random_range(0..bytes.len())),
        1 => bytes[1..5].copy_from_slice(&rng.random::<u32>().to_be_bytes()),
        2 => bytes.resize(rng.random_range(1_200..4_000), 0xff),
        _ => {}
    }
    for _ in 0..rng.random_range(0..20) {
        if bytes.is_empty() {
            break;
        }
        // Half of them in the header, where lengths and versions are.
        let end = if rng.random() { bytes.len() } else { bytes.len().min(32) };
        let at = rng.random_range(0..end);
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
    bytes
}

fn send(to: SocketAddr, datagrams: impl Iterator<Item = Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for (number, datagram) in datagrams.enumerate() {
        // A full buffer is the sender's loss, as it would be on a wire.
        let _ = socket.send_to(&datagram, to);
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn garbage_and_mutated_packets_leave_the_node_up_and_its_connections_standing() {
    let lab = Lab::new();
    let mut berlin = lab.found("berlin").start();
    let mut tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    eventually("both hear each other", || {
        (berlin.hears("tokyo") && tokyo.hears("berlin")).then_some(())
    });
    let connected = |node: &crate::common::Running, of: &str| {
        (
            node.member(of).expect("known")["connected"].clone(),
            node.get("/v1/sites")["counters"]["handshakes"].clone(),
        )
    };
    let before = (connected(&berlin, "tokyo"), connected(&tokyo, "berlin"));

    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let packets = captured(&lab.found_mesh("other.test", "oslo", "oslo"));
    assert!(packets[0].len() >= 1_200, "a whole Initial (RFC 9000 section 14.1)");
    send(berlin.place.mesh, (0..1_000).map(|_| random(&mut rng)));
    send(berlin.place.mesh, (0..1_000).map(|i| mutated(&packets[i % 3], &mut rng)));

    // Both have exchanged leases since: the connection is the old one, and it carries.
    let as_of = |node: &crate::common::Running| {
        let sites = node.get("/v1/sites");
        let items = sites["items"].as_array().expect("sites").clone();
        items.iter().find(|item| item["is_self"] == false).expect("the other")["as_of"].clone()
    };
    let (one, two) = (as_of(&berlin), as_of(&tokyo));
    eventually("leases go on in both directions", || {
        (as_of(&berlin) != one && as_of(&tokyo) != two).then_some(())
    });
    assert_eq!((connected(&berlin, "tokyo"), connected(&tokyo, "berlin")), before);
    assert!(berlin.is_up() && tokyo.is_up());
    agree(&[&berlin, &tokyo]);
    let log = berlin.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(log.len() < 200_000, "strangers fill the log: {} bytes", log.len());
}
