//! One way to write each name: what planes see is written so, and what people ask is looked up so.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::{AliasId, EdgeId, ElementId, ElementIdError, NodeId, NodeKind, PathId};

impl NodeId {
    /// A node as it was observed, by the one way to write its name: addresses as RFC 5952 writes them
    /// and those mapped from IPv4 as IPv4, prefixes without host bits, AS numbers in decimal, names of
    /// hosts in lower case without the last dot.
    ///
    /// # Errors
    /// As [`NodeId::new`]; or the name begins or ends with a space, has the form of an IPv4 address and is none, is
    /// no prefix, or no AS number, as its kind requires.
    pub fn observed(kind: NodeKind, name: &str) -> Result<Self, ElementIdError> {
        let bad = |reason| Err(ElementIdError::new(name, reason));
        if name.trim() != name {
            return bad("the name begins or ends with a space");
        }
        let canonical = match kind {
            NodeKind::Host | NodeKind::Hop => host(name),
            NodeKind::Prefix => prefix(name),
            NodeKind::As => number(name),
            _ => Ok(Cow::Borrowed(name)),
        };
        match canonical {
            Ok(name) => Self::new(kind, &name),
            Err(reason) => bad(reason),
        }
    }

    /// The same node by the one way to write its name.
    ///
    /// # Errors
    /// As [`NodeId::observed`].
    pub fn canonical(&self) -> Result<Self, ElementIdError> {
        Self::observed(self.kind(), self.name())
    }
}

impl ElementId {
    /// The same element with each name written in the one way to write it.
    ///
    /// # Errors
    /// As [`NodeId::observed`], and those of paths and aliases.
    pub fn canonical(&self) -> Result<Self, ElementIdError> {
        Ok(match self {
            Self::Node(node) => Self::Node(node.canonical()?),
            Self::Edge(edge) => Self::Edge(EdgeId {
                from: edge.from.canonical()?,
                kind: edge.kind,
                to: edge.to.canonical()?,
            }),
            Self::Path(path) => {
                let hops = path.hops().iter().map(|hop| hop.as_ref().map(NodeId::canonical));
                let hops = hops.map(Option::transpose).collect::<Result<Vec<_>, _>>()?;
                let (agent, target) = (path.agent().canonical()?, path.target().canonical()?);
                Self::Path(PathId::new(agent, target, path.flow(), hops)?)
            }
            Self::Alias(alias) => {
                let [a, b] = alias.ends();
                Self::Alias(AliasId::new(a.canonical()?, b.canonical()?)?)
            }
        })
    }
}

type Canonical<'a> = Result<Cow<'a, str>, &'static str>;

fn host(name: &str) -> Canonical<'_> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.to_canonical().to_string().into());
    }
    let dots = name.bytes().filter(|b| *b == b'.').count();
    if dots == 3 && name.bytes().all(|b| b == b'.' || b.is_ascii_digit()) {
        return Err("it has the form of an IPv4 address and is none");
    }
    let name = name.strip_suffix('.').filter(|name| !name.is_empty()).unwrap_or(name);
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(name.to_ascii_lowercase().into());
    }
    Ok(name.into())
}

fn prefix(name: &str) -> Canonical<'_> {
    let none = "it is no prefix of the form address/length";
    let (address, length) = name.split_once('/').ok_or(none)?;
    let (address, length) =
        (address.parse().map_err(|_| none)?, length.parse::<u32>().map_err(|_| none)?);
    let masked: IpAddr = match address {
        IpAddr::V4(a) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            std::net::Ipv4Addr::from(u32::from(a) & mask).into()
        }
        IpAddr::V6(a) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            std::net::Ipv6Addr::from(u128::from(a) & mask).into()
        }
        _ => return Err("its length is more than the address has bits"),
    };
    Ok(format!("{masked}/{length}").into())
}

fn number(name: &str) -> Canonical<'_> {
    let digits = match name.get(..2) {
        Some(start) if start.eq_ignore_ascii_case("as") => &name[2..],
        _ => name,
    };
    let all_digits = digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse::<u32>().ok().filter(|_| all_digits);
    number.map(|n| n.to_string().into()).ok_or("it is no AS number (RFC 6793: 0 to 4294967295)")
}

/// The host in what somebody probes or names: a URL, a host with a port, or a bare name or address.
pub fn host_of(text: &str) -> &str {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    if rest.parse::<IpAddr>().is_ok() {
        return rest;
    }
    if let Some((address, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    match rest.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_probed_is_a_host() {
        for (text, host) in [
            ("https://shop.example.org/cart?x=1", "shop.example.org"),
            ("https://me@shop.example.org:8443/", "shop.example.org"),
            ("shop.example.org:8443", "shop.example.org"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("192.0.2.7", "192.0.2.7"),
            ("http://192.0.2.7:80/", "192.0.2.7"),
        ] {
            assert_eq!(host_of(text), host);
        }
    }

    #[test]
    fn each_name_is_written_in_one_way() {
        for (text, expected) in [
            ("host:::ffff:10.0.0.1", "host:10.0.0.1"),
            ("host:2001:DB8:0::1", "host:2001:db8::1"),
            ("hop:10.0.0.1", "hop:10.0.0.1"),
            ("host:Stock.Example.", "host:stock.example"),
            ("prefix:10.0.0.1/8", "prefix:10.0.0.0/8"),
            ("prefix:2001:db8::1/0", "prefix:::/0"),
            ("prefix:192.0.2.7/32", "prefix:192.0.2.7/32"),
            ("as:AS064500", "as:64500"),
            ("service:Web", "service:Web"),
        ] {
            let node: NodeId = text.parse().expect("valid");
            let canonical = node.canonical().expect("an observed name");
            assert_eq!(canonical.to_string(), expected);
            assert_eq!(canonical.canonical().as_ref(), Ok(&canonical), "once is enough");
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused_with_the_reason() {
        for (text, reason) in [
            ("host:10.0.0.01", "IPv4 address and is none"),
            ("host:10.0.0.256", "IPv4 address and is none"),
            ("service:a ", "begins or ends with a space"),
            ("prefix:junk", "no prefix"),
            ("prefix:10.0.0.0/33", "more than the address has bits"),
            ("as:notanumber", "AS number"),
            ("as:4294967296", "AS number"),
            ("as:+1", "AS number"),
        ] {
            let node: NodeId = text.parse().expect("an id");
            let error = node.canonical().expect_err("no such name").to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
