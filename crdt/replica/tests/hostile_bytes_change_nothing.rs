//! Bytes from a peer that are wrong in any way: never a panic, and never half a change.

mod common;

use common::*;
use holm_model::Millis;
use holm_replica::{Applied, ApplyError, MAX_BLOB_BYTES, MAX_QUARANTINED, Replica};
use rand::{Rng, RngExt};

const MUTATIONS: usize = 6_000;

/// Two replicas of one history: `behind` lacks the last commits of `ahead`.
fn ahead_and_behind() -> (Replica, Replica) {
    let (ahead, behind) = (replica("berlin"), replica("tokyo"));
    for i in 0..20 {
        commit(&ahead, &[opened(&edge(i), i as u64)], i as u64);
    }
    exchange(&ahead, &behind);
    for i in 20..30 {
        commit(&ahead, &[opened(&edge(i), i as u64), closed(&edge(i - 20), 50)], 50);
    }
    (ahead, behind)
}

fn mutate(bytes: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut mutated = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..mutated.len().max(1));
        match rng.random_range(0..6) {
            0 => mutated.truncate(at),
            1 if at < mutated.len() => mutated[at] ^= 1 << rng.random_range(0..8),
            2 if at < mutated.len() => mutated[at] = rng.random(),
            3 => mutated.insert(at.min(mutated.len()), rng.random()),
            4 => {
                let tail = mutated[at.min(mutated.len())..].to_vec();
                mutated.extend(tail);
            }
            _ if at < mutated.len() => drop(mutated.remove(at)),
            _ => {}
        }
    }
    mutated
}

/// Gives a chunk the checksum that fits its content, as a liar would.
fn with_right_checksum(mut chunk: Vec<u8>) -> Vec<u8> {
    // A loader that finds the checksum wrong says which one it computed nowhere: so compute it, by
    // the format: the first four bytes of SHA-256 over type, length and content.
    if chunk.len() > 9 {
        let digest = ring::digest::digest(&ring::digest::SHA256, &chunk[8..]);
        chunk[4..8].copy_from_slice(&digest.as_ref()[..4]);
    }
    chunk
}

#[test]
fn mutated_documents_never_panic_and_never_change_anything_by_halves() {
    let (ahead, behind) = ahead_and_behind();
    let doc = behind.documents()[0].doc;
    let changes = ahead.export(doc, &behind.heads(doc)).expect("it exports");
    let whole = ahead.export(doc, &[]).expect("it exports");
    assert!(!changes.whole && whole.whole);
    let digests = [behind.digest(), ahead.digest()];
    let mut rng = rng();
    let (mut refused, mut fresh) = (0, replica("lima"));
    for i in 0..MUTATIONS {
        let original = if i % 2 == 0 { &changes.bytes } else { &whole.bytes };
        let mut mutated = mutate(original, &mut rng);
        if i % 3 == 0 {
            mutated = with_right_checksum(mutated);
        }
        for victim in [&behind, &fresh] {
            let before = (victim.digest(), elements(victim).len());
            match victim.apply(doc, &mutated, "mallory", Millis(60)) {
                Err(ApplyError::Quarantined { .. }) => {
                    refused += 1;
                    assert_eq!((victim.digest(), elements(victim).len()), before);
                }
                Ok(Applied::NeedsMore { .. }) => {
                    assert_eq!((victim.digest(), elements(victim).len()), before);
                }
                Ok(Applied::Merged(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // Some mutations are valid: part of the changes, or a change of our own making.
        if !digests.contains(&behind.digest()) || i % 500 == 0 {
            fresh = replica("lima");
        }
    }
    assert!(refused > MUTATIONS, "{refused} of {} were refused", 2 * MUTATIONS);
    assert!(behind.quarantined().len() <= MAX_QUARANTINED);
    assert!(matches!(send(&ahead, &behind, doc), Applied::Merged(_)));
    for (site, element) in elements(&ahead) {
        assert!(elements(&behind).iter().any(|(s, e)| (s, &e.id) == (&site, &element.id)));
    }
}

#[test]
fn random_bytes_never_panic() {
    let (_, behind) = ahead_and_behind();
    let (doc, digest) = (behind.documents()[0].doc, behind.digest());
    let mut rng = rng();
    for i in 0..3_000 {
        let mut bytes = vec![0; rng.random_range(0..300)];
        rng.fill_bytes(&mut bytes);
        if i % 2 == 0 && bytes.len() > 10 {
            bytes[..4].copy_from_slice(&[0x85, 0x6f, 0x4a, 0x83]);
            bytes[8] = rng.random_range(0..4);
            let len = bytes.len() - 10;
            bytes[9] = (len & 0x7f) as u8;
            bytes = with_right_checksum(bytes);
        }
        let answer = behind.apply(doc, &bytes, "mallory", Millis(60));
        assert!(bytes.is_empty() || answer.is_err(), "{answer:?}");
        assert_eq!(behind.digest(), digest);
    }
}

#[test]
fn a_blob_beyond_the_bound_is_refused_unread() {
    let (_, behind) = ahead_and_behind();
    let doc = behind.documents()[0].doc;
    let huge = vec![0; MAX_BLOB_BYTES + 1];
    let error = behind.apply(doc, &huge, "mallory", Millis(60)).expect_err("too long");
    assert!(error.to_string().contains("more than"), "{error}");
    assert_eq!(behind.quarantined()[0].len, huge.len());
}
