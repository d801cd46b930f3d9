//! Truncated and bit-flipped stores: the node comes up, says what happened, and gets back from its
//! peers what its peers have.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::common::{Lab, Place, Running, agree, eventually};

const FILES: [&str; 2] = ["tenants/default/state.redb", "node.redb"];

/// Two sites that agree, the second one stopped again; since when it has known itself.
fn berlin_and_a_stopped_tokyo(lab: &Lab) -> (Running, Place, String, String) {
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let digest = agree(&[&berlin, &tokyo]);
    let since = first_seen(&tokyo);
    (berlin, tokyo.stop(), digest, since)
}

fn first_seen(node: &Running) -> String {
    eventually("tokyo's own element is there", || {
        let answer = node.place.client().get("/v1/topology/element?id=site:tokyo");
        (answer.status == 200).then(|| {
            let element = answer.json();
            element["sites"][0]["intervals"][0]["from"].as_str().expect("a moment").to_owned()
        })
    })
}

fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("the node's own file");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("the node's own file");
}

#[test]
fn stores_that_are_empty_or_gone_are_named() {
    let lab = Lab::new();
    let (berlin, place, _, since) = berlin_and_a_stopped_tokyo(&lab);
    for file in FILES {
        damage(&place.file(file), Vec::clear);
    }
    let tokyo = place.start();
    let named = |log: &str, file: &str, how: &str| {
        log.lines().any(|line| line.contains(file) && line.contains(how))
    };
    for file in FILES {
        assert!(named(&tokyo.log(), file, "cut to nothing"), "{file}:\n{}", tokyo.log());
    }
    is_whole_again(&berlin, &tokyo, &since);
    let place = tokyo.stop();
    for file in FILES {
        std::fs::remove_file(place.file(file)).expect("the node's own file");
    }
    let tokyo = place.start();
    for file in FILES {
        assert!(named(&tokyo.log(), file, "not there any more"), "{file}:\n{}", tokyo.log());
    }
    is_whole_again(&berlin, &tokyo, &since);
}

/// The documents are back, and nothing that tokyo recorded before is missing.
fn is_whole_again(berlin: &Running, tokyo: &Running, since: &str) {
    eventually("the damaged node holds the same documents again", || {
        let both = berlin.get("/v1/mesh/digest");
        // More than the two topologies if being alone was reported as an incident meanwhile.
        let complete = both["documents"].as_u64()? >= 2;
        (complete && both == tokyo.get("/v1/mesh/digest")).then_some(())
    });
    assert_eq!(first_seen(tokyo), since, "its history reaches back to before the damage");
    assert_eq!(first_seen(berlin), since);
}

fn survives(change: impl Fn(&mut Vec<u8>)) {
    let lab = Lab::new();
    let (berlin, place, _, since) = berlin_and_a_stopped_tokyo(&lab);
    for file in FILES {
        damage(&place.file(file), &change);
    }
    let tokyo = place.start();
    let log = tokyo.log();
    for file in FILES {
        let named = log.lines().any(|line| line.contains(file) && line.contains("damaged"));
        assert!(named, "{file} is not named:\n{log}");
    }
    let said = tokyo.place.holm(&["doctor"]).out;
    assert!(said.contains("state.redb is damaged") && said.contains("put aside"), "{said}");
    is_whole_again(&berlin, &tokyo, &since);
    // What was damaged is put aside, not deleted, and the next start finds nothing wrong.
    let place = tokyo.stop();
    let folder = std::fs::read_dir(place.file("tenants/default")).expect("there");
    let aside = folder.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.contains("damaged")
    });
    assert!(aside, "the damaged file was kept");
    let before = log.len();
    let tokyo = place.start();
    let log = tokyo.log();
    assert!(!log[before..].contains("WARN"), "{}", &log[before..]);
    is_whole_again(&berlin, &tokyo, &since);
}

#[test]
fn truncated_stores_are_put_aside_and_the_documents_come_back_from_a_peer() {
    survives(|bytes| bytes.truncate(bytes.len() * 3 / 5));
}

#[test]
fn empty_and_foreign_stores_are_put_aside_and_the_documents_come_back_from_a_peer() {
    survives(|bytes| *bytes = b"this was never a database\n".repeat(400));
}

#[test]
fn stores_with_a_flipped_bit_in_every_page_are_put_aside_and_the_documents_come_back() {
    survives(|bytes| {
        // A store in which no value at all opens is refused: that is what a wrong key looks like.
        for byte in bytes.iter_mut().step_by(1_021) {
            *byte ^= 0x10;
        }
    });
}

#[test]
fn a_few_flipped_bits_anywhere_never_keep_the_node_down() {
    let lab = Lab::new();
    let (berlin, mut place, _, since) = berlin_and_a_stopped_tokyo(&lab);
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..6 {
        for file in FILES {
            damage(&place.file(file), |bytes| {
                for _ in 0..=round {
                    // Most of a small store is free space: the first pages are where it hurts.
                    let end = if rng.random() { bytes.len() } else { 4_096.min(bytes.len()) };
                    let at = rng.random_range(0..end);
                    bytes[at] ^= 1 << rng.random_range(0..8);
                }
            });
        }
        let tokyo = place.start();
        is_whole_again(&berlin, &tokyo, &since);
        place = tokyo.stop();
    }
}
