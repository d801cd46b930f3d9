//! What one node chooses by what it measured.

use rand::SeedableRng;

use super::*;

fn key(first: u8) -> PeerKey {
    let mut bytes = [first; 34];
    bytes[..2].copy_from_slice(&[0x12, 0x20]);
    PeerKey(bytes)
}

#[test]
fn all_that_are_down_have_their_turn() {
    let down: BTreeSet<PeerKey> = (0..100).map(key).collect();
    let mut seen = BTreeSet::new();
    for epoch in 0..2_000 {
        let some = some_down(&down, 4, epoch, key(7));
        assert_eq!(some.len(), 4);
        seen.extend(some);
    }
    assert_eq!(seen.len(), 100);
    assert_eq!(some_down(&down, 200, 0, key(7)).len(), 100);
}

#[test]
fn what_is_near_stays_so_at_the_edge_of_its_ring() {
    let mut overlay = Overlay::new(&Timing::default());
    let mut rng = StdRng::seed_from_u64(1);
    let rtts = [1, 1, 1, 8, 8, 8, 9, 50, 50, 51, 56, 99, 100, 104, 175, 179, 180];
    for (rtt_ms, first) in rtts.into_iter().zip(1..) {
        overlay.measured(key(first), rtt_ms, None, &mut rng);
    }
    overlay.choose_near(key(0));
    let chosen = overlay.near.clone();
    assert_eq!(chosen.len(), RINGS.iter().map(|(_, count)| count).sum::<usize>());
    for _ in 0..4 {
        overlay.choose_near(key(0));
        assert_eq!(overlay.near, chosen);
    }
}

#[test]
fn some_of_those_near_an_origin_speak_for_it_and_nobody_else_does() {
    let mut overlay = Overlay::new(&Timing::default());
    let mut rng = StdRng::seed_from_u64(2);
    for n in 1..=40 {
        overlay.measured(key(n), if n <= 32 { 1 } else { 40 }, None, &mut rng);
    }
    let mut spoke = 0;
    for number in 0..1_000_u64 {
        let mut id = HintId([0; 16]);
        id.0[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        spoke += usize::from(overlay.speaks_for(key(1), key(0), &id));
        assert!(!overlay.speaks_for(key(35), key(0), &id), "it is far");
        assert!(!overlay.speaks_for(key(99), key(0), &id), "nobody knows where it is");
    }
    // One of 32 / SPEAKERS.
    assert!((150..350).contains(&spoke), "{spoke} of 1,000");
}

#[test]
fn a_connection_that_the_other_closes_is_not_wanted_again_at_once() {
    let mut overlay = Overlay::new(&Timing::default());
    overlay.near.insert(key(1));
    assert!(overlay.connected(key(1), true, false, 0), "near is to be counted on");
    assert!(!overlay.connected(key(2), true, false, 0), "a look is not");
    overlay.disconnected(key(1), false, 5);
    assert_eq!(overlay.wanted().count(), 0);
}
