//! How far an IP address means the same machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{NodeId, NodeKind};

/// Where an address means one machine only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressScope {
    /// On one machine or one link: loopback (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3), link-local (RFC 3927,
    /// RFC 4291 §2.5.6), and the bridges that container engines make on every machine alike
    /// (172.17.0.0/16 of Docker, 10.88.0.0/16 of Podman).
    Machine,
    /// Within one site: private (RFC 1918), shared (RFC 6598), benchmarking (RFC 2544, RFC 5180) and unique
    /// local addresses (RFC 4193), the old site-local ones (RFC 3879), ends of tunnels (RFC 7335) and
    /// translated addresses (RFC 8215). Another site may use them too.
    Site,
    /// Everywhere.
    Global,
}

impl AddressScope {
    /// The scope of `address`; one mapped from IPv4 counts as that.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let block = BLOCKS.iter().find(|(block, _)| block.holds(address));
        block.map_or(Self::Global, |(_, scope)| *scope)
    }

    /// How far the name of a node means the same: that of its address, or of all addresses in its prefix;
    /// [`Self::Global`] for all other names, and for prefixes that reach beyond one block of private
    /// addresses.
    pub fn of_node(node: &NodeId) -> Self {
        let scope = match node.kind() {
            NodeKind::Host | NodeKind::Hop => node.name().parse().ok().map(Self::of),
            NodeKind::Prefix => Prefix::parse(node.name()).and_then(|prefix| {
                let block = BLOCKS.iter().find(|(block, _)| block.covers(&prefix));
                block.map(|(_, scope)| *scope)
            }),
            _ => None,
        };
        scope.unwrap_or(Self::Global)
    }
}

/// Blocks of addresses that do not mean the same everywhere; of two that overlap the smaller one first.
const BLOCKS: [(Prefix, AddressScope); 17] = [
    (v4([0, 0, 0, 0], 8), AddressScope::Machine),
    (v4([127, 0, 0, 0], 8), AddressScope::Machine),
    (v4([169, 254, 0, 0], 16), AddressScope::Machine),
    (v4([172, 17, 0, 0], 16), AddressScope::Machine),
    (v4([10, 88, 0, 0], 16), AddressScope::Machine),
    (v6([0; 8], 127), AddressScope::Machine),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), AddressScope::Machine),
    (v4([10, 0, 0, 0], 8), AddressScope::Site),
    (v4([172, 16, 0, 0], 12), AddressScope::Site),
    (v4([192, 168, 0, 0], 16), AddressScope::Site),
    (v4([100, 64, 0, 0], 10), AddressScope::Site),
    (v4([198, 18, 0, 0], 15), AddressScope::Site),
    // The ends of a tunnel over IPv6 (RFC 7335).
    (v4([192, 0, 0, 0], 29), AddressScope::Site),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), AddressScope::Site),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), AddressScope::Site),
    // Translation between IPv4 and IPv6 within a network (RFC 8215).
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), AddressScope::Site),
    // Benchmarking (RFC 5180).
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), AddressScope::Site),
];

const fn v4([a, b, c, d]: [u8; 4], length: u32) -> Prefix {
    let first = u32::from_be_bytes([a, b, c, d]) as u128;
    Prefix { first, free: 32 - length, v6: false }
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], length: u32) -> Prefix {
    let first = Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits();
    Prefix { first, free: 128 - length, v6: true }
}

/// An address prefix (RFC 4632 §3.1, RFC 4291 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    /// The first address as a number, IPv4 in the low bits.
    first: u128,
    /// Bits of the address behind the prefix.
    free: u32,
    v6: bool,
}

impl Prefix {
    /// A prefix written as address and length; bits behind the prefix do not count. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let v6 = address.is_ipv6();
        let length: u32 = length.parse().ok()?;
        let free = (if v6 { 128_u32 } else { 32 }).checked_sub(length)?;
        Some(Self { first: number(address) & !low_bits(free), free, v6 })
    }

    /// The prefix of so many bits in which `address` lies; all of them if there are fewer.
    pub fn around(address: IpAddr, length: u32) -> Self {
        let v6 = address.is_ipv6();
        let free = (if v6 { 128_u32 } else { 32 }).saturating_sub(length);
        Self { first: number(address) & !low_bits(free), free, v6 }
    }

    /// Whether all of `other` lies in it.
    pub fn covers(&self, other: &Self) -> bool {
        other.free <= self.free && self.holds(other.first())
    }

    /// Whether `address` lies in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.v6 && number(address) & !low_bits(self.free) == self.first
    }

    /// Its first address.
    pub fn first(&self) -> IpAddr {
        self.address(self.first)
    }

    /// Its last address.
    pub fn last(&self) -> IpAddr {
        self.address(self.first | low_bits(self.free))
    }

    /// How many bits it fixes.
    pub fn length(&self) -> u32 {
        (if self.v6 { 128 } else { 32 }) - self.free
    }

    fn address(&self, number: u128) -> IpAddr {
        match self.v6 {
            true => Ipv6Addr::from(number).into(),
            // IPv4 numbers have 32 bits.
            false => Ipv4Addr::from(number as u32).into(),
        }
    }
}

fn low_bits(count: u32) -> u128 {
    1_u128.checked_shl(count).map_or(u128::MAX, |bit| bit - 1)
}

/// The address as a number, IPv4 in the low bits.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_as_far_as_all_addresses_in_it() {
        for (id, scope) in [
            ("prefix:10.0.0.0/8", AddressScope::Site),
            ("prefix:10.88.0.0/16", AddressScope::Machine),
            ("prefix:172.16.0.0/12", AddressScope::Site),
            ("prefix:172.16.0.0/15", AddressScope::Site),
            ("prefix:10.88.0.0/13", AddressScope::Site),
            ("prefix:0.0.0.0/1", AddressScope::Global),
            ("prefix:10.0.0.0/7", AddressScope::Global),
            ("prefix:0.0.0.0/0", AddressScope::Global),
            ("prefix:fd00::/8", AddressScope::Site),
            ("prefix:::/0", AddressScope::Global),
            ("prefix:192.0.2.0/24", AddressScope::Global),
            ("host:10.1.2.3", AddressScope::Site),
            ("host:web", AddressScope::Global),
            ("service:10.1.2.3", AddressScope::Global),
        ] {
            let node: NodeId = id.parse().expect("valid");
            assert_eq!(AddressScope::of_node(&node), scope, "{id}");
        }
    }

    #[test]
    fn a_prefix_holds_what_lies_between_its_ends() {
        let prefix = Prefix::parse("192.0.2.77/26").expect("valid");
        let address = |text: &str| text.parse::<IpAddr>().expect("valid");
        assert_eq!(prefix.length(), 26);
        assert_eq!(
            (prefix.first(), prefix.last()),
            (address("192.0.2.64"), address("192.0.2.127"))
        );
        assert!(prefix.holds(address("192.0.2.64")) && !prefix.holds(address("192.0.2.128")));
        assert!(!prefix.holds(address("::c000:240")), "the same number in IPv6");
        let all = Prefix::parse("::/0").expect("valid");
        assert!(all.holds(address("ffff::")) && !all.holds(address("10.0.0.1")));
        for none in ["10.0.0.1", "10.0.0.0/33", "::/129", "x/8", "10.0.0.0/-1"] {
            assert_eq!(Prefix::parse(none), None, "{none}");
        }
    }

    #[test]
    fn addresses_mean_one_machine_as_far_as_their_rfc_says() {
        for (address, scope) in [
            ("127.0.8.1", AddressScope::Machine),
            ("172.17.0.2", AddressScope::Machine),
            ("fe80::1", AddressScope::Machine),
            ("169.254.1.1", AddressScope::Machine),
            ("10.0.0.1", AddressScope::Site),
            ("172.18.0.1", AddressScope::Site),
            ("172.32.0.1", AddressScope::Global),
            ("192.168.1.1", AddressScope::Site),
            ("100.64.0.1", AddressScope::Site),
            ("100.128.0.1", AddressScope::Global),
            ("fd00::1", AddressScope::Site),
            ("::ffff:10.0.0.1", AddressScope::Site),
            ("2001:db8::1", AddressScope::Global),
            ("192.0.2.7", AddressScope::Global),
            ("192.0.0.2", AddressScope::Site),
            ("192.0.0.170", AddressScope::Global),
            ("64:ff9b:1::1", AddressScope::Site),
            ("64:ff9b::1", AddressScope::Global),
            ("::1", AddressScope::Machine),
            ("::2", AddressScope::Global),
        ] {
            assert_eq!(AddressScope::of(address.parse().expect("valid")), scope, "{address}");
        }
    }
}
