//! Which interfaces of a hop may be one router: a hint, by the IP identifications of their replies.
//!
//! A router that counts the packets that it sends by one counter gives its replies numbers that grow,
//! from whichever of its addresses they leave (the monotonic bound test of MIDAR, Keys et al. 2013;
//! within one trace, Vermeulen et al. 2018 §4). Replies of a trace are too close in time for rates, so
//! what counts is that the numbers of two addresses lie among each other: two counters that begin
//! anywhere do so with a probability of at most the sum of their spans over 65,536. Where that is more
//! than [`MOST_CHANCE`], or an address numbers its replies in no order, nothing is said. That two
//! addresses are no aliases is never said: many routers number by destination, at random or not at all,
//! and IPv6 has no numbers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

/// Fewest replies of an address.
const LEAST_REPLIES: usize = 3;
/// Fewest changes from one address to the other, in the order of the numbers.
const LEAST_TURNS: usize = 3;
/// Highest probability that the numbers of two counters lie among each other by chance.
const MOST_CHANCE: f64 = 0.01;
/// Numbers there are.
const NUMBERS: u32 = 1 << 16;

/// Interfaces of a hop that number their replies by one counter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alias {
    /// Two or more, in the order of the hop's interfaces. Each was compared with each.
    pub addresses: Vec<IpAddr>,
    /// Replies that were compared.
    pub replies: u32,
    /// The probability that the numbers of counters of their own would lie so, each begun anywhere: that of
    /// the worst two.
    pub chance: f64,
}

/// A numbered reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbered {
    /// Its IP identification.
    pub(super) number: u16,
    /// When its probe left: the number was given after that,
    pub(super) sent: Duration,
    /// and before this, when the reply was here.
    pub(super) heard: Duration,
}

/// What is compared of an interface.
#[derive(Debug, Clone)]
pub(super) struct Numbers<'a> {
    pub(super) address: IpAddr,
    pub(super) replies: &'a [Numbered],
    /// The TTL that its replies began with, as far as that can be told.
    pub(super) initial_ttl: Option<u8>,
}

/// The aliases among the interfaces of one hop, as groups in which each pair passes.
pub(super) fn aliases(interfaces: &[Numbers<'_>]) -> Vec<Alias> {
    let mut groups: Vec<(Vec<&Numbers<'_>>, f64)> = Vec::new();
    for interface in interfaces.iter().filter(|of| of.replies.len() >= LEAST_REPLIES) {
        let home = groups.iter_mut().find_map(|(members, chance)| {
            let mut worst = *chance;
            for member in members.iter() {
                worst = worst.max(shared(member, interface)?);
            }
            Some((members, chance, worst))
        });
        match home {
            Some((members, chance, worst)) => {
                members.push(interface);
                *chance = worst;
            }
            None => groups.push((vec![interface], 0.0)),
        }
    }
    let several = groups.into_iter().filter(|(members, _)| members.len() > 1);
    several
        .map(|(members, chance)| Alias {
            addresses: members.iter().map(|member| member.address).collect(),
            replies: members.iter().map(|m| u32::try_from(m.replies.len()).unwrap_or(0)).sum(),
            chance,
        })
        .collect()
}

/// The probability that the numbers lie so by chance, where they look as of one counter. Some systems
/// count in the other order of bytes.
fn shared(one: &Numbers<'_>, other: &Numbers<'_>) -> Option<f64> {
    if one.initial_ttl.zip(other.initial_ttl).is_some_and(|(one, other)| one != other) {
        return None;
    }
    one_counter(one.replies, other.replies, |number| number)
        .or_else(|| one_counter(one.replies, other.replies, u16::swap_bytes))
}

fn one_counter(one: &[Numbered], other: &[Numbered], read: impl Fn(u16) -> u16) -> Option<f64> {
    let of = |replies: &[Numbered], whose: bool| -> Vec<(u16, bool, Numbered)> {
        replies.iter().map(|reply| (read(reply.number), whose, *reply)).collect()
    };
    let mut all = of(one, false);
    all.extend(of(other, true));
    let distinct: BTreeSet<u16> = all.iter().map(|(number, ..)| *number).collect();
    // A counter gives no number twice within a trace.
    if distinct.len() < all.len() {
        return None;
    }
    let begin = after_the_widest_gap(&distinct)?;
    let place = |number: u16| u32::from(number.wrapping_sub(begin));
    all.sort_by_key(|(number, ..)| place(*number));
    let turns = all.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    if turns < LEAST_TURNS || !is_in_time(all.iter().map(|(_, _, reply)| reply)) {
        return None;
    }
    let span = |whose: bool| -> Option<u32> {
        let mut places = all.iter().filter(|(_, of, _)| *of == whose).map(|(n, ..)| place(*n));
        let first = places.next()?;
        Some(places.next_back().unwrap_or(first) - first)
    };
    let chance = f64::from(span(false)? + span(true)?) / f64::from(NUMBERS);
    (chance <= MOST_CHANCE).then_some(chance)
}

/// The number that comes first when the circle of numbers is cut where most are missing.
fn after_the_widest_gap(numbers: &BTreeSet<u16>) -> Option<u16> {
    let last = *numbers.last()?;
    let before = std::iter::once(last).chain(numbers.iter().copied());
    let gaps = before.zip(numbers).map(|(before, number)| (number.wrapping_sub(before), *number));
    gaps.max_by_key(|(gap, _)| *gap).map(|(_, number)| number)
}

/// Whether no reply was here before the probe of one with a lower number left.
fn is_in_time<'a>(in_order: impl Iterator<Item = &'a Numbered>) -> bool {
    let mut latest_sent = Duration::ZERO;
    for reply in in_order {
        if reply.heard < latest_sent {
            return false;
        }
        latest_sent = latest_sent.max(reply.sent);
    }
    true
}

/// The TTL that a packet began with, which arrived with `ttl`: systems use 32, 64, 128 and 255.
pub(super) fn initial_ttl(ttl: u8) -> u8 {
    match ttl {
        0..=32 => 32,
        33..=64 => 64,
        65..=128 => 128,
        129..=255 => 255,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(host: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, host])
    }

    /// Replies at these milliseconds with these numbers, each 5 ms under way.
    fn replies(of: &[(u64, u16)]) -> Vec<Numbered> {
        let reply = |&(at, number): &(u64, u16)| Numbered {
            number,
            sent: Duration::from_millis(at),
            heard: Duration::from_millis(at + 5),
        };
        of.iter().map(reply).collect()
    }

    fn groups(of: &[(Vec<Numbered>, Option<u8>)]) -> Vec<Vec<IpAddr>> {
        let of: Vec<Numbers<'_>> = (1..)
            .zip(of)
            .map(|(host, (replies, initial_ttl))| Numbers {
                address: address(host),
                replies,
                initial_ttl: *initial_ttl,
            })
            .collect();
        aliases(&of).into_iter().map(|alias| alias.addresses).collect()
    }

    #[test]
    fn numbers_of_one_counter_are_an_alias_also_where_they_wrap_and_with_bytes_swapped() {
        let (one, other) = ([(0, 65_530), (10, 65_534), (20, 2)], [(5, 65_532), (15, 0), (25, 9)]);
        let both = [(replies(&one), Some(255)), (replies(&other), Some(255))];
        assert_eq!(groups(&both), [[address(1), address(2)]]);
        let swapped = |of: [(u64, u16); 3]| replies(&of.map(|(at, n)| (at, n.swap_bytes())));
        let both = [(swapped(one), None), (swapped(other), Some(64))];
        assert_eq!(groups(&both), [[address(1), address(2)]]);
    }

    #[test]
    fn what_is_not_as_of_one_counter_says_nothing() {
        let one = || (replies(&[(0, 100), (10, 104), (20, 108)]), Some(255));
        for (why, other) in [
            ("apart", (replies(&[(5, 9_000), (15, 9_004), (25, 9_008)]), Some(255))),
            ("one behind the other", (replies(&[(5, 110), (15, 111), (25, 112)]), Some(255))),
            ("out of time", (replies(&[(5, 106), (15, 102), (25, 110)]), Some(255))),
            ("another beginning of TTLs", (replies(&[(5, 102), (15, 106), (25, 110)]), Some(64))),
            ("too few", (replies(&[(5, 102), (15, 106)]), Some(255))),
            ("the same number", (replies(&[(5, 102), (15, 104), (25, 110)]), Some(255))),
            ("without an order", (replies(&[(5, 102), (15, 40_000), (25, 20_000)]), Some(255))),
            ("never another", (replies(&[(5, 0), (15, 0), (25, 0)]), Some(255))),
        ] {
            assert_eq!(groups(&[one(), other]), Vec::<Vec<IpAddr>>::new(), "{why}");
        }
    }

    #[test]
    fn each_of_a_group_was_compared_with_each() {
        // The third lies among the second's numbers, not among the first's.
        let first = replies(&[(0, 100), (10, 104), (20, 108)]);
        let second = replies(&[(1, 102), (11, 106), (21, 112), (31, 116), (41, 120)]);
        let third = replies(&[(22, 114), (32, 118), (42, 122)]);
        let of = [(first, None), (second, None), (third, None)];
        assert_eq!(groups(&of), [[address(1), address(2)]]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// The order of the interfaces, and where the counter stands, change nothing.
        #[test]
        fn it_depends_on_neither_order_nor_beginning(
            one in prop::collection::vec((0_u64..200, any::<u16>()), 0..8),
            other in prop::collection::vec((0_u64..200, 0_u16..400), 0..8),
            shift in any::<u16>(),
        ) {
            let near = |of: &[(u64, u16)]| of.iter().map(|(at, n)| (*at, n % 400)).collect::<Vec<_>>();
            let one = near(&one);
            let moved = |of: &[(u64, u16)]| {
                replies(&of.iter().map(|(at, n)| (*at, n.wrapping_add(shift))).collect::<Vec<_>>())
            };
            let same = |number| number;
            let plain = one_counter(&replies(&one), &replies(&other), same);
            prop_assert_eq!(plain, one_counter(&replies(&other), &replies(&one), same));
            prop_assert_eq!(plain, one_counter(&moved(&one), &moved(&other), same));
        }
    }
}
