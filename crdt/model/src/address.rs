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
    /// Within one site: private (RFC 1918), shared (RFC 6598), benchmarking (RFC 2544) and unique local
    /// addresses (RFC 4193), the old site-local ones (RFC 3879). Another site may use them too.
    Site,
    /// Everywhere.
    Global,
}

impl AddressScope {
    /// The scope of `address`; one mapped from IPv4 counts as that.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    /// How far the name of a node means the same: that of its address, or of all addresses in its prefix;
    /// [`Self::Global`] for all other names.
    pub fn of_node(node: &NodeId) -> Self {
        let scope = match node.kind() {
            NodeKind::Host | NodeKind::Hop => node.name().parse().ok().map(Self::of),
            NodeKind::Prefix => Prefix::parse(node.name()).map(|prefix| {
                let ends = [prefix.first(), prefix.last()].map(Self::of);
                if ends[0] == ends[1] { ends[0] } else { Self::Global }
            }),
            _ => None,
        };
        scope.unwrap_or(Self::Global)
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        match address.octets() {
            [127 | 0, ..] | [169, 254, ..] | [172, 17, ..] | [10, 88, ..] => Self::Machine,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Self::Site,
            [100, 64..=127, ..] | [198, 18..=19, ..] => Self::Site,
            _ => Self::Global,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let first = address.segments()[0];
        if address.is_loopback() || address.is_unspecified() || first & 0xffc0 == 0xfe80 {
            Self::Machine
        } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 {
            Self::Site
        } else {
            Self::Global
        }
    }
}

/// An address prefix (RFC 4632 §3.1, RFC 4291 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        ] {
            assert_eq!(AddressScope::of(address.parse().expect("valid")), scope, "{address}");
        }
    }
}
