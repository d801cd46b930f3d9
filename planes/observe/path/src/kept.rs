//! A trace as it is kept in its row (`path.ways`): what a picture of the ways needs, as short JSON.

use std::net::IpAddr;

use holm_asn::Place;
use serde::{Deserialize, Serialize};

use crate::engine::{Alias, Interface, Multipath, ReplyKind};

/// Most bytes of a trace that are kept.
pub(crate) const MAX_BYTES: usize = 16_384;
/// Most bytes that are read of one: others may write longer ones.
const MAX_READ: usize = 65_536;

/// The ways of one trace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// From the first hop to the last that answered.
    pub hops: Vec<KeptHop>,
    /// Links: the TTL of the first end, and the places of both interfaces in their hops.
    pub links: Vec<(u8, u16, u16)>,
}

/// One hop.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeptHop {
    /// Its TTL.
    pub ttl: u8,
    /// Probes that were to end here.
    pub sent: u32,
    /// Of them, lost on the way.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u32,
    /// Of them, not answered by the hop itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silent: u32,
    /// Packets of one flow take several ways here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub per_packet: bool,
    /// It limits its replies.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rate_limited: bool,
    /// Its links to the next hop are meshed or uneven.
    #[serde(default, skip_serializing_if = "is_false")]
    pub meshed: bool,
    /// What answered.
    pub interfaces: Vec<KeptInterface>,
    /// Interfaces that may be one router: their places, and the probability that it looks so by chance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<(Vec<u16>, f64)>,
}

/// One interface of a hop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptInterface {
    /// The address that it answers from.
    pub address: IpAddr,
    /// Least, mean and longest round trip in milliseconds.
    pub rtt_ms: [f64; 3],
    /// It is the target.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reached: bool,
    /// It says that packets go no further: the ICMP code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<u8>,
    /// MPLS labels, outermost first (RFC 4950).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<u32>,
    /// Probes were rewritten before they came here.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rewritten: bool,
    /// The autonomous system that announces its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<u32>,
    /// What the table calls that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_name: Option<String>,
    /// The country of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Where a table says that the address is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The interface's name, as it says (RFC 5837).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(is: &bool) -> bool {
    !is
}

impl From<&Multipath> for Kept {
    fn from(result: &Multipath) -> Self {
        let hop = |hop: &crate::engine::Hop| KeptHop {
            ttl: hop.ttl,
            sent: hop.loss.sent,
            lost: hop.loss.forwarding,
            silent: hop.loss.terminal,
            per_packet: hop.per_packet,
            rate_limited: hop.rate_limited,
            meshed: hop.meshed,
            interfaces: hop.interfaces.iter().map(KeptInterface::from).collect(),
            aliases: hop.aliases.iter().map(|alias| places(hop, alias)).collect(),
        };
        let place = |ttl: u8, address: IpAddr| {
            let hop = result.hops.get(usize::from(ttl).checked_sub(1)?)?;
            let place = hop.interfaces.iter().position(|i| i.address == address)?;
            u16::try_from(place).ok()
        };
        let link = |link: &crate::engine::Link| {
            Some((link.ttl, place(link.ttl, link.from)?, place(link.ttl + 1, link.to)?))
        };
        Self {
            hops: result.hops.iter().map(hop).collect(),
            links: result.links.iter().filter_map(link).collect(),
        }
    }
}

fn places(hop: &crate::engine::Hop, alias: &Alias) -> (Vec<u16>, f64) {
    let of = (0_u16..).zip(&hop.interfaces);
    let of = of.filter(|(_, interface)| alias.addresses.contains(&interface.address));
    (of.map(|(place, _)| place).collect(), (alias.chance * 1e6).ceil() / 1e6)
}

impl From<&Interface> for KeptInterface {
    fn from(of: &Interface) -> Self {
        // Microseconds are enough, and short.
        let short = |ms: f64| (ms * 1_000.0).round() / 1_000.0;
        let system = of.system.as_ref();
        Self {
            address: of.address,
            rtt_ms: [of.rtt.min_ms, of.rtt.avg_ms, of.rtt.max_ms].map(short),
            reached: of.kind == ReplyKind::Reached,
            unreachable: match of.kind {
                ReplyKind::Unreachable(code) => Some(code),
                ReplyKind::Exceeded | ReplyKind::Reached => None,
            },
            labels: of.labels.iter().map(|label| label.label).collect(),
            rewritten: of.rewritten,
            system: system.map(|system| system.number),
            system_name: system.and_then(|system| system.name.clone()),
            country: system.and_then(|system| system.country.clone()),
            place: of.place.clone(),
            name: of.interface.as_ref().and_then(|interface| interface.name.clone()),
        }
    }
}

impl Kept {
    /// As it stands in a row; `None` if it is longer than is kept.
    pub(crate) fn to_text(&self) -> Option<String> {
        serde_json::to_string(self).ok().filter(|text| text.len() <= MAX_BYTES)
    }

    /// From a row.
    ///
    /// # Errors
    /// What it is instead: rows may be of other versions, and are read from other sites.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_READ {
            return Err(format!("{} bytes; {MAX_READ} at most are read", text.len()));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_short_and_survives_a_row() {
        let interface = KeptInterface {
            address: IpAddr::from([10, 0, 0, 1]),
            rtt_ms: [0.5, 0.75, 1.0],
            reached: false,
            unreachable: None,
            labels: Vec::new(),
            rewritten: false,
            system: None,
            system_name: None,
            country: None,
            place: None,
            name: None,
        };
        let hop = KeptHop { ttl: 1, sent: 3, interfaces: vec![interface], ..KeptHop::default() };
        let kept = Kept { hops: vec![hop.clone()], links: vec![(1, 0, 0)] };
        let text = kept.to_text().expect("short");
        assert_eq!(
            text,
            "{\"hops\":[{\"ttl\":1,\"sent\":3,\"interfaces\":[{\"address\":\"10.0.0.1\",\"rtt_ms\":[0.5,0.75,1.0]}]}],\"links\":[[1,0,0]]}"
        );
        assert_eq!(Kept::read(&text), Ok(kept));
        let long = Kept { hops: vec![hop; 300], links: Vec::new() };
        assert_eq!(long.to_text(), None);
        assert!(Kept::read(&"x".repeat(70_000)).expect_err("too long").contains("70000"));
    }

    proptest! {
        #[test]
        fn whatever_a_row_says_is_read_or_refused(text in "[\\[\\]{}\":,0-9a-z]{0,80}") {
            let _ = Kept::read(&text);
        }
    }
}
