//! Longest prefix match: prefixes flattened into ranges that do not overlap, found by a table of the
//! first 16 bits and a binary search within.
//!
//! A lookup touches two or three cache lines, whatever the number of prefixes, and a range costs its first
//! address and its value: 8 bytes for IPv4, 24 for IPv6.

use std::net::IpAddr;

use crate::{address_bytes, mapped};

/// No prefix holds the address.
const NONE: u32 = u32::MAX;
/// Entries of the table of first bits, and one for the end.
const BUCKETS: usize = (1 << 16) + 1;

/// A prefix: its address in 16 bytes as a number (IPv4 as `::ffff:a.b.c.d`), and its bits of 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    first: u128,
    bits: u8,
}

impl Prefix {
    const fn last(self) -> u128 {
        if self.bits == 0 { u128::MAX } else { self.first | (u128::MAX >> (self.bits - 1) >> 1) }
    }
}

/// Values of prefixes, by the longest one that holds an address.
#[derive(Debug, Clone, Default)]
pub struct Ranges {
    prefixes: Vec<(Prefix, u32)>,
    v4: Half<u32>,
    v6: Half<u128>,
}

/// Ranges of one family: where each begins, and its value.
#[derive(Debug, Clone, Default)]
struct Half<K> {
    first: Vec<K>,
    value: Vec<u32>,
    /// Where the ranges of each first 16 bits begin.
    table: Vec<u32>,
}

impl<K: Copy + Ord> Half<K> {
    fn build(ranges: &[(K, u32)], bucket: impl Fn(K) -> usize) -> Self {
        if ranges.iter().all(|(_, value)| *value == NONE) {
            return Self { first: Vec::new(), value: Vec::new(), table: Vec::new() };
        }
        let mut table = vec![0_u32; BUCKETS];
        for (first, _) in ranges {
            table[bucket(*first) + 1] += 1;
        }
        for index in 1..BUCKETS {
            table[index] += table[index - 1];
        }
        let first = ranges.iter().map(|(first, _)| *first).collect();
        Self { first, value: ranges.iter().map(|(_, value)| *value).collect(), table }
    }

    #[inline]
    fn find(&self, key: K, bucket: usize) -> Option<u32> {
        let (begin, end) =
            (*self.table.get(bucket)? as usize, *self.table.get(bucket + 1)? as usize);
        let within = self.first.get(begin..end)?.partition_point(|first| *first <= key);
        // What begins in an earlier bucket may last into this one.
        let value = self.value.get((begin + within).checked_sub(1)?).copied()?;
        (value != NONE).then_some(value)
    }
}

impl Ranges {
    /// Adds a prefix; the last one added of the same prefix counts. `false` if it has more bits than its
    /// family, or the value is `u32::MAX`. Call [`Self::build`] after the last.
    pub fn add(&mut self, address: IpAddr, bits: u8, value: u32) -> bool {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if bits > longest || value == NONE {
            return false;
        }
        let bits = bits + (128 - longest);
        let number = u128::from_be_bytes(address_bytes(address));
        let free = 128 - u32::from(bits);
        let first = number.checked_shr(free).and_then(|kept| kept.checked_shl(free)).unwrap_or(0);
        self.prefixes.push((Prefix { first, bits }, value));
        true
    }

    /// Adds all addresses from `first` to `last`; `false` if they are not of one family and in order.
    pub fn add_range(&mut self, first: IpAddr, last: IpAddr, value: u32) -> bool {
        let number = |address| u128::from_be_bytes(address_bytes(address));
        let (mut from, last_number) = (number(first), number(last));
        if first.is_ipv4() != last.is_ipv4() || from > last_number || value == NONE {
            return false;
        }
        loop {
            // The largest prefix that begins here and does not reach too far.
            let mut free = from.trailing_zeros().min(127);
            while free > 0 && from | ((1 << free) - 1) > last_number {
                free -= 1;
            }
            self.prefixes.push((Prefix { first: from, bits: (128 - free) as u8 }, value));
            let reached = from | ((1_u128 << free) - 1);
            if reached >= last_number {
                return true;
            }
            from = reached + 1;
        }
    }

    /// Makes the ranges of the prefixes.
    pub fn build(&mut self) {
        // Of equal ones the last: the sort is stable.
        self.prefixes.sort_by_key(|(prefix, _)| *prefix);
        let mut kept: Vec<(Prefix, u32)> = Vec::with_capacity(self.prefixes.len());
        for (prefix, value) in self.prefixes.drain(..) {
            match kept.last_mut() {
                Some(last) if last.0 == prefix => last.1 = value,
                _ => kept.push((prefix, value)),
            }
        }
        let ranges = flatten(&kept);
        self.prefixes = kept;
        self.prefixes.shrink_to_fit();
        let base = u128::from_be_bytes(mapped([0; 4]));
        let top = base | u128::from(u32::MAX);
        let at_base = ranges.partition_point(|(first, _)| *first <= base);
        let covering = at_base.checked_sub(1).map_or(NONE, |index| ranges[index].1);
        let mut v4 = vec![(0_u32, covering)];
        let inner = ranges[at_base..].iter().take_while(|(first, _)| *first <= top);
        v4.extend(inner.map(|(first, value)| ((first - base) as u32, *value)));
        self.v4 = Half::build(&v4, |first| (first >> 16) as usize);
        // A prefix such as ::/0 holds no IPv4 address.
        self.v4.forget(&self.prefixes, base);
        self.v6 = Half::build(&ranges, |first| (first >> 112) as usize);
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// The value of the longest prefix that holds an address in 16 bytes ([`crate::address_bytes`]).
    #[inline]
    pub fn find(&self, address: &[u8; 16]) -> Option<u32> {
        let (head, tail) = address.split_at(12);
        if head == &mapped([0; 4])[..12] {
            let key = u32::from_be_bytes(tail.try_into().ok()?);
            return self.v4.find(key, (key >> 16) as usize);
        }
        let key = u128::from_be_bytes(*address);
        self.v6.find(key, (key >> 112) as usize)
    }

    /// [`Self::find`] for an address as such.
    pub fn find_ip(&self, address: IpAddr) -> Option<u32> {
        self.find(&address_bytes(address))
    }

    /// What [`Self::find`] finds, by looking at every prefix: for tests and measurements.
    pub fn find_slowly(&self, address: IpAddr) -> Option<u32> {
        let number = u128::from_be_bytes(address_bytes(address));
        let least = if address.is_ipv4() { 96 } else { 0 };
        let holds = |prefix: &Prefix| (prefix.first..=prefix.last()).contains(&number);
        let longest = self.prefixes.iter().filter(|(p, _)| p.bits >= least && holds(p));
        longest.max_by_key(|(prefix, _)| prefix.bits).map(|(_, value)| *value)
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.prefixes.len() * 32
            + self.v4.first.len() * 8
            + self.v6.first.len() * 20
            + (self.v4.table.len() + self.v6.table.len()) * 4
    }
}

impl Half<u32> {
    /// Takes out what only prefixes of IPv6 say of the mapped addresses.
    fn forget(&mut self, prefixes: &[(Prefix, u32)], base: u128) {
        let own: Vec<(Prefix, u32)> = prefixes
            .iter()
            .filter(|(p, _)| p.bits >= 96 && p.first >> 32 == base >> 32)
            .copied()
            .collect();
        if own.len() == prefixes.len() || self.first.is_empty() {
            return;
        }
        let ranges = flatten(&own);
        let mut v4 = vec![(0_u32, NONE)];
        for (first, value) in ranges {
            if let Ok(first) = u32::try_from(first.saturating_sub(base)) {
                v4.push((first, value));
            }
        }
        *self = Self::build(&v4, |first| (first >> 16) as usize);
    }
}

/// Sorted prefixes as ranges: where each begins, and the value until the next begins.
fn flatten(prefixes: &[(Prefix, u32)]) -> Vec<(u128, u32)> {
    let mut ranges: Vec<(u128, u32)> = vec![(0, NONE)];
    let mut open: Vec<(Prefix, u32)> = Vec::new();
    let mut put = |first: u128, value: u32| match ranges.last_mut() {
        Some(last) if last.0 == first => last.1 = value,
        Some(last) if last.1 == value => {}
        _ => ranges.push((first, value)),
    };
    let close =
        |open: &mut Vec<(Prefix, u32)>, until: Option<u128>, put: &mut dyn FnMut(u128, u32)| {
            while let Some((prefix, _)) = open.last().copied() {
                if until.is_some_and(|until| prefix.last() >= until) {
                    return;
                }
                open.pop();
                if let Some(next) = prefix.last().checked_add(1) {
                    put(next, open.last().map_or(NONE, |(_, value)| *value));
                }
            }
        };
    for (prefix, value) in prefixes {
        close(&mut open, Some(prefix.first), &mut put);
        put(prefix.first, *value);
        open.push((*prefix, *value));
    }
    close(&mut open, None, &mut put);
    ranges
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn ip(number: u128) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(number)).to_canonical()
    }

    fn built(prefixes: &[(&str, u8, u32)]) -> Ranges {
        let mut ranges = Ranges::default();
        for (address, bits, value) in prefixes {
            assert!(ranges.add(address.parse().expect("an address"), *bits, *value));
        }
        ranges.build();
        ranges
    }

    #[test]
    fn the_longest_prefix_wins() {
        let ranges = built(&[
            ("10.0.0.0", 8, 1),
            ("10.1.0.0", 16, 2),
            ("10.1.2.0", 24, 3),
            ("10.1.2.3", 32, 4),
            ("2001:db8::", 32, 5),
            ("::", 0, 6),
        ]);
        let find = |text: &str| ranges.find_ip(text.parse().expect("an address"));
        for (address, value) in [
            ("10.255.0.1", Some(1)),
            ("10.1.255.255", Some(2)),
            ("10.1.2.2", Some(3)),
            ("10.1.2.3", Some(4)),
            ("10.1.2.4", Some(3)),
            ("10.1.3.0", Some(2)),
            ("10.2.0.0", Some(1)),
            ("11.0.0.0", None),
            ("2001:db8:1::", Some(5)),
            ("2001:db9::", Some(6)),
        ] {
            assert_eq!(find(address), value, "{address}");
        }
        assert!(!Ranges::default().add("10.0.0.0".parse().expect("good"), 33, 1));
        let mut ranges = Ranges::default();
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(ranges.add_range(ip("1.0.0.3"), ip("1.0.1.9"), 7));
        assert!(!ranges.add_range(ip("2.0.0.0"), ip("1.0.0.0"), 7));
        ranges.build();
        for (address, found) in
            [("1.0.0.2", None), ("1.0.0.3", Some(7)), ("1.0.1.9", Some(7)), ("1.0.1.10", None)]
        {
            assert_eq!(ranges.find_ip(ip(address)), found, "{address}");
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_looking_at_all_finds(
            prefixes in prop::collection::vec((any::<u32>(), 0_u8..=32, any::<bool>(), 0_u8..=128, any::<u64>()), 0..60),
            asked in prop::collection::vec((any::<u32>(), any::<u64>(), any::<prop::sample::Index>()), 1..60),
        ) {
            let mut ranges = Ranges::default();
            for (value, (v4, bits, is_v4, bits6, v6)) in prefixes.iter().enumerate() {
                if *is_v4 {
                    ranges.add(IpAddr::V4((*v4).into()), *bits, value as u32);
                } else {
                    ranges.add(ip((u128::from(*v6) << 64) | 1), *bits6, value as u32);
                }
            }
            ranges.build();
            for (v4, v6, near) in asked {
                let mut addresses = vec![IpAddr::V4(v4.into()), ip(u128::from(v6) << 64 | 5)];
                if !ranges.is_empty() {
                    // Around the borders is where it goes wrong.
                    let (prefix, _) = ranges.prefixes[near.index(ranges.prefixes.len())];
                    for number in [prefix.first, prefix.last(), prefix.first.saturating_sub(1), prefix.last().saturating_add(1)] {
                        addresses.push(ip(number));
                    }
                }
                for address in addresses {
                    prop_assert_eq!(ranges.find_ip(address), ranges.find_slowly(address), "{}", address);
                }
            }
        }
    }
}
