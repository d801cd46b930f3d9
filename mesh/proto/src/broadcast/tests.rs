//! The tree of one node, without a mesh around it.

use holm_model::{DocId, DocVersion, HeadsDigest};

use super::sources::{KEEP_ANY, KEEP_NEAR};
use super::*;

fn peer(byte: u8) -> PeerKey {
    PeerKey([byte; 34])
}

fn hint(number: u64) -> Hint {
    let mut doc = [0; 16];
    doc[..8].copy_from_slice(&number.to_be_bytes());
    let version = DocVersion {
        tenant: TenantId::new("acme").expect("valid"),
        doc: DocId(doc),
        heads: HeadsDigest([1; 16]),
        changed_at: Default::default(),
    };
    Hint { version, origin: peer(200) }
}

/// A node with `peers` links along the tree, of which the first `near` are near.
fn tree(peers: u8, near: u8) -> Broadcast {
    let mut broadcast = Broadcast::new(500);
    (1..=peers).for_each(|n| broadcast.connected(peer(n), true));
    broadcast.set_near(false, (1..=near).map(peer).collect());
    broadcast
}

fn hear(broadcast: &mut Broadcast, from: u8, number: u64, at_ms: u64, beyond: &[u8]) -> Sends {
    let counters = &mut Counters::default();
    let beyond = |to: PeerKey| beyond.iter().any(|n| peer(*n) == to);
    broadcast.gossip(peer(from), (hint(number), 1), at_ms, beyond, |_, _| true, counters).1
}

fn told(sends: &Sends) -> BTreeSet<PeerKey> {
    let whole = sends.iter().filter(|(_, message)| matches!(message, Control::Gossip { .. }));
    whole.map(|(to, _)| *to).collect()
}

#[test]
fn a_spared_link_still_carries_what_begins_here() {
    let mut broadcast = tree(4, 0);
    broadcast.prune(peer(3));
    broadcast.prune(peer(4));
    let sends = hear(&mut broadcast, 1, 1, 0, &[4]);
    assert_eq!(told(&sends), BTreeSet::from([peer(2), peer(4)]), "4 leads out of here");
    let counters = &mut Counters::default();
    let ids = broadcast.tick(100, |_, _| true, counters);
    let to: Vec<PeerKey> = ids.iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [peer(3)], "the id goes to whom the hint did not");
    let own = broadcast.publish(hint(2), |_, _| true, counters);
    assert_eq!(told(&own).len(), 4, "its own goes to all");
}

#[test]
fn of_near_links_three_stay_and_of_all_links_three() {
    for (near, far) in [(8, 0), (8, 4), (3, 5), (0, 9), (1, 2)] {
        let all = near + far;
        let mut broadcast = tree(all, near);
        let mut spared = BTreeSet::new();
        for number in 0..400 {
            for n in 1..=all {
                if spared.contains(&peer(n)) {
                    continue;
                }
                for (to, message) in hear(&mut broadcast, n, number, number, &[]) {
                    match message {
                        Control::Prune => assert!(spared.insert(to)),
                        Control::Graft(_) => assert!(spared.remove(&to)),
                        _ => {}
                    }
                }
            }
        }
        let left = |range: std::ops::RangeInclusive<u8>| {
            range.filter(|n| !spared.contains(&peer(*n))).count()
        };
        assert!(left(1..=all) >= KEEP_ANY.min(usize::from(all)), "{near} {far} {spared:?}");
        assert!(left(1..=near) >= KEEP_NEAR.min(usize::from(near)), "{near} {far} {spared:?}");
        if near == 8 {
            assert!(left(1..=near) < 8, "some are spared");
        }
    }
}

#[test]
fn when_near_sources_fall_silent_others_near_are_asked_one_after_the_other() {
    let mut broadcast = tree(7, 6);
    let mut asked = BTreeSet::new();
    for number in 0..200 {
        // Only the far one still brings anything.
        for (to, message) in hear(&mut broadcast, 7, number, number, &[]) {
            if message == Control::Graft(Vec::new()) {
                asked.insert(to);
            }
        }
    }
    assert_eq!(asked, (1..=6).map(peer).collect());
    // Who is gone is not asked.
    (1..=6).for_each(|n| broadcast.disconnected(peer(n)));
    for number in 200..300 {
        let sends = hear(&mut broadcast, 7, number, number, &[]);
        assert!(sends.iter().all(|(_, message)| !matches!(message, Control::Graft(_))));
    }
}

#[test]
fn what_peers_begin_themselves_does_not_make_them_sources() {
    // Of six near ones three bring everything. The others send what they begin, as everyone does.
    let mut broadcast = tree(6, 6);
    let counters = &mut Counters::default();
    let mut pruned = BTreeSet::new();
    for number in 0..400 {
        let own = 4 + (number % 3) as u8;
        let begun = (hint(10_000 + number), 0);
        broadcast.gossip(peer(own), begun, number, |_| false, |_, _| true, counters);
        for n in 1..=3 {
            let sends = hear(&mut broadcast, n, number, number, &[]);
            let prunes = sends.iter().filter(|(_, message)| *message == Control::Prune);
            pruned.extend(prunes.map(|(to, _)| *to));
        }
    }
    assert!(pruned.is_empty(), "none of the three can be done without: {pruned:?}");
}

#[test]
fn who_stands_alone_judges_links_that_began_with_ids_and_wants_a_second_source() {
    for (alone, wanted) in [(true, 1), (false, 0)] {
        let mut broadcast = tree(1, 0);
        broadcast.set_near(alone, BTreeSet::new());
        let counters = &mut Counters::default();
        hear(&mut broadcast, 1, 1, 1_000, &[]);
        let asks = |sends: Sends| {
            assert!(sends.iter().all(|ask| *ask == (peer(2), Control::Graft(Vec::new()))));
            sends.len()
        };
        // 2 has more links than it sends whole hints along.
        assert_eq!(asks(broadcast.have(peer(2), &[hint(1).id()], 1_001, counters)), wanted);
        assert_eq!(asks(broadcast.have(peer(2), &[hint(1).id()], 1_002, counters)), 0, "once");
        // Judged and spared: it is asked again for what came from one alone, once for each.
        broadcast.sources.insert(peer(2), Source::spared(1));
        let late = 1_000 + REGAIN_MS;
        assert_eq!(asks(broadcast.have(peer(2), &[hint(1).id()], late - 1, counters)), 0);
        assert_eq!(asks(broadcast.have(peer(2), &[hint(1).id()], late, counters)), wanted);
        broadcast.sources.insert(peer(2), Source::spared(1));
        assert_eq!(asks(broadcast.have(peer(2), &[hint(1).id()], late, counters)), 0);
    }
}
