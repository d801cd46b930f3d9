//! Hints at interfaces of one router, over networks whose routers are known.

use std::collections::BTreeSet;
use std::net::IpAddr;

use holm_path::engine::{Multipath, TraceOptions};

use crate::fakeroute::{Network, run};

/// Groups of the third hop, which is `width` wide.
fn hints(result: &Multipath) -> BTreeSet<Vec<IpAddr>> {
    let sorted = |alias: &holm_path::engine::Alias| {
        let mut addresses = alias.addresses.clone();
        addresses.sort_unstable();
        addresses
    };
    result.hops.iter().flat_map(|hop| hop.aliases.iter().map(sorted)).collect()
}

/// A diamond of `width`, whose interfaces number by `counter_of` their place.
fn diamond(width: usize, seed: u64, counter_of: impl Fn(usize) -> usize) -> Network {
    let mut network = Network::of(&[1, 1, width, 1, 1], seed);
    for place in 0..width {
        let node = network.hops[2][place];
        network.nodes[node].counter = Some(counter_of(place));
    }
    network
}

#[test]
fn interfaces_of_two_routers_are_told_apart() {
    let mut found = 0;
    for seed in 0..200 {
        // Places 0, 2, 4, 6 are one router, 1, 3, 5, 7 another.
        let network = diamond(8, seed, |place| place % 2);
        let (result, _) = run(&network, TraceOptions::default());
        let of = |router: usize| -> BTreeSet<IpAddr> {
            let places = (0..8).filter(|place| place % 2 == router);
            places.map(|place| Network::address(network.hops[2][place])).collect()
        };
        let routers = [of(0), of(1)];
        for hint in hints(&result) {
            let one =
                routers.iter().any(|router| hint.iter().all(|address| router.contains(address)));
            assert!(one, "seed {seed}: {hint:?} are not one router");
            found += hint.len();
        }
    }
    // Interfaces that answered three times at least, and took turns; 8 in each of 200 networks.
    assert!(found > 1_200, "{found} of 1600 interfaces were grouped");
}

#[test]
fn counters_of_their_own_are_seldom_taken_for_one() {
    let (mut wrong, mut pairs) = (0, 0);
    for seed in 0..2_000 {
        let (result, _) = run(&diamond(4, seed, |place| place), TraceOptions::default());
        wrong += hints(&result).len();
        pairs += 6;
    }
    // The stated probability of a pair is at most 0.01; with a dozen replies each it is far less.
    assert!(wrong * 1_000 <= pairs, "{wrong} of {pairs} pairs");
}

#[test]
fn nothing_is_said_where_replies_have_no_numbers() {
    let (result, _) = run(&Network::of(&[1, 4, 1], 7), TraceOptions::default());
    assert_eq!(hints(&result), BTreeSet::new());
}
