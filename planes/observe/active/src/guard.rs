//! Which addresses a test may reach that somebody made by policy: the public ones, and what the node's operator allows.
//!
//! Whoever may write a test makes nodes at other places open connections. Without a guard that is a way into each
//! site's own network (server-side request forgery, CWE-918). It looks at the address that is dialled, after the name
//! was looked up: a name that resolves to another address a moment later gets no further.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use holm_model::Prefix;

/// The ranges of IPv4 that are not public (IANA special-purpose registry, RFC 6890), and what they are.
const V4: [(&str, &str); 13] = [
    ("0.0.0.0/8", "it is this network itself (RFC 791)"),
    ("10.0.0.0/8", "it is private (RFC 1918)"),
    ("100.64.0.0/10", "it is shared behind a carrier's NAT (RFC 6598)"),
    ("127.0.0.0/8", "it is the node itself (loopback)"),
    ("168.63.129.16/32", "it serves metadata of cloud machines"),
    ("169.254.169.254/32", "it serves metadata of cloud machines"),
    ("169.254.0.0/16", "it is link-local (RFC 3927)"),
    ("172.16.0.0/12", "it is private (RFC 1918)"),
    ("192.0.0.0/24", "it is for protocols (RFC 6890)"),
    ("192.168.0.0/16", "it is private (RFC 1918)"),
    ("198.18.0.0/15", "it is for benchmarks (RFC 2544)"),
    ("224.0.0.0/4", "it is multicast (RFC 1112)"),
    ("240.0.0.0/4", "it is reserved or a broadcast (RFC 1112)"),
];
/// The same of IPv6.
const V6: [(&str, &str); 10] = [
    ("::/128", "it is no address (unspecified)"),
    ("::1/128", "it is the node itself (loopback)"),
    ("100::/64", "packets to it are discarded (RFC 6666)"),
    ("fd00:ec2::254/128", "it serves metadata of cloud machines"),
    ("fd20:ce::254/128", "it serves metadata of cloud machines"),
    ("fc00::/7", "it is private (RFC 4193)"),
    ("fe80::/10", "it is link-local (RFC 4291)"),
    ("fec0::/10", "it is site-local (RFC 3879)"),
    // Where in it a translator has the address of IPv4 is its operator's choice, and cannot be judged.
    ("64:ff9b:1::/48", "it is for translators of one site (RFC 8215)"),
    ("ff00::/8", "it is multicast (RFC 4291)"),
];

/// What may be reached besides the public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    allowed: Vec<Prefix>,
    /// What a test asks for, and what the operator leaves to the tenant's admins: both must hold an address.
    granted: (Vec<Prefix>, Vec<Prefix>),
}

impl Guard {
    /// A guard that lets these ranges pass, and public addresses.
    pub fn new(allowed: Vec<Prefix>) -> Self {
        Self { allowed, granted: Default::default() }
    }

    /// The same, and what a test itself allows within what the operator leaves to the tenant's admins.
    #[must_use]
    pub fn with_granted(mut self, by_test: Vec<Prefix>, grantable: Vec<Prefix>) -> Self {
        self.granted = (by_test, grantable);
        self
    }

    /// Whether `address` may be dialled.
    ///
    /// # Errors
    /// Why not, and what would allow it.
    pub fn check(&self, address: IpAddr) -> Result<(), String> {
        let Some(why) = why_refused(address) else { return Ok(()) };
        let forms = [Some(address.to_canonical()), carried(address).map(IpAddr::V4)];
        let held = |ranges: &[Prefix], form| ranges.iter().any(|range| range.holds(form));
        let allowed = |form| {
            let (by_test, grantable) = &self.granted;
            held(&self.allowed, form) || (held(by_test, form) && held(grantable, form))
        };
        if forms.into_iter().flatten().any(allowed) {
            return Ok(());
        }
        Err(format!(
            "{address} is not dialled for a test that was made by policy: {why}; the operator of this node allows it with planes.active.allow"
        ))
    }
}

/// Why an address is none that anybody's test may reach; `None` if it is public.
pub fn why_refused(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    let table: &[(&str, &'static str)] = if address.is_ipv4() { &V4 } else { &V6 };
    let found =
        table.iter().find(|(range, _)| Prefix::parse(range).is_some_and(|r| r.holds(address)));
    // An address of IPv6 that carries one of IPv4 leads there, wherever somebody translates.
    found.map(|(_, why)| *why).or_else(|| why_refused(IpAddr::V4(carried(address)?)))
}

/// The IPv4 address that an IPv6 address carries: mapped and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052),
/// 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214).
fn carried(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match (a, b) {
        (0, 0)
            if (c, d, e) == (0, 0, 0) && (f == 0xffff || f == 0) && v6 != Ipv6Addr::LOCALHOST =>
        {
            Some(v4(g, h))
        }
        (0, 0) if (c, d, e, f) == (0, 0, 0xffff, 0) => Some(v4(g, h)),
        (0x64, 0xff9b) if c != 1 => Some(v4(g, h)),
        (0x2002, high) => Some(v4(high, c)),
        (0x2001, 0) => Some(v4(!g, !h)),
        _ if e & !0x0200 == 0 && f == 0x5efe => Some(v4(g, h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> Option<&'static str> {
        why_refused(text.parse().expect(text))
    }

    #[test]
    fn what_is_not_public_is_refused_in_every_form() {
        for (address, why) in [
            ("127.0.0.1", "loopback"),
            ("0.0.0.0", "this network"),
            ("10.1.2.3", "1918"),
            ("172.31.255.255", "1918"),
            ("192.168.0.1", "1918"),
            ("100.100.100.200", "carrier"),
            ("169.254.0.1", "link-local"),
            ("169.254.169.254", "metadata"),
            ("168.63.129.16", "metadata"),
            ("224.0.0.251", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("fe80::1", "link-local"),
            ("fd12::1", "4193"),
            ("fd00:ec2::254", "metadata"),
            ("ff02::1", "multicast"),
            ("::ffff:10.0.0.1", "1918"),
            ("::127.0.0.1", "loopback"),
            ("::ffff:0:127.0.0.1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "metadata"),
            ("64:ff9b:1::10.0.0.1", "8215"),
            ("64:ff9b:1:a00:1:0:808:808", "8215"),
            ("2a00::5efe:10.0.0.1", "1918"),
            ("2a00::200:5efe:169.254.169.254", "metadata"),
            ("fec0::1", "site-local"),
            ("2002:7f00:1::", "loopback"),
            ("2002:c0a8:101::5", "1918"),
            ("2001:0:1:2:3:4:f5ff:fffe", "1918"),
        ] {
            assert!(
                refused(address).is_some_and(|said| said.contains(why)),
                "{address}: {:?}",
                refused(address)
            );
        }
        for public in [
            "9.9.9.9",
            "192.0.2.1",
            "172.32.0.1",
            "100.128.0.1",
            "2620:fe::fe",
            "64:ff9b::909:909",
            "2002:909:909::1",
        ] {
            assert_eq!(refused(public), None, "{public}");
        }
    }

    #[test]
    fn the_operator_lifts_it_for_a_range_and_all_its_forms() {
        let guard = Guard::new(vec![Prefix::parse("10.0.0.0/8").expect("a range")]);
        let check = |text: &str| guard.check(text.parse().expect(text));
        for good in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "9.9.9.9"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let why = check("192.168.0.1").expect_err("another range");
        assert!(why.contains("192.168.0.1") && why.contains("planes.active.allow"), "{why}");
        assert!(check("64:ff9b::192.168.0.1").is_err());
        let range = |text: &str| Prefix::parse(text).into_iter().collect::<Vec<_>>();
        let both = Guard::default().with_granted(range("10.1.0.0/16"), range("10.0.0.0/8"));
        assert!(both.check([10, 1, 2, 3].into()).is_ok());
        assert!(both.check([10, 2, 2, 3].into()).is_err(), "the test does not say so");
        let more = Guard::default().with_granted(range("0.0.0.0/0"), range("10.1.0.0/16"));
        assert!(more.check([127, 0, 0, 1].into()).is_err(), "the operator does not");
    }

    proptest! {
        #[test]
        fn an_address_and_what_carries_it_are_judged_alike(bits in any::<u32>()) {
            let v4 = Ipv4Addr::from(bits);
            let plain = why_refused(v4.into());
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for form in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(why_refused(form.into()), plain, "{}", form);
            }
            // The standard library's own judgement agrees where it has one.
            let known = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
                || v4.is_unspecified() || v4.is_multicast();
            prop_assert!(!known || plain.is_some());
        }
    }
}
