//! How far an IP address means the same machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

#[cfg(test)]
mod tests {
    use super::*;

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
