//! The names of this host: what it calls itself, and the addresses of its interfaces.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use holm_model::{AliasObservation, Millis, NodeKind, NodeRef};
use holm_plane::FactSink;

/// Tells that the host's name and its addresses are the same host.
pub(crate) struct OwnNames {
    facts: Arc<dyn FactSink>,
    host_name: Arc<str>,
    hold_ms: u32,
    told: Option<Millis>,
}

impl OwnNames {
    pub(crate) fn new(facts: Arc<dyn FactSink>, host_name: Arc<str>, hold_ms: u32) -> Self {
        Self { facts, host_name, hold_ms, told: None }
    }

    /// Tells it again when it is time to: well before it is no longer held.
    pub(crate) fn refresh(&mut self, addresses: impl Iterator<Item = IpAddr>, now: Millis) {
        let due = self.told.is_none_or(|told| now.since(told) >= u64::from(self.hold_ms / 4));
        if !due || self.host_name.is_empty() || &*self.host_name == "localhost" {
            return;
        }
        self.told = Some(now);
        for address in addresses.filter(is_of_one_host) {
            self.facts.observe_alias(&AliasObservation {
                a: NodeRef { kind: NodeKind::Host, name: &self.host_name },
                b: NodeRef { kind: NodeKind::Host, name: &address.to_string() },
                attributes: &[("holm.alias.evidence", "an address of this host's interfaces")],
                at: now,
                hold_ms: self.hold_ms,
            });
        }
    }
}

/// Whether an address means the same host on every link (RFC 6890 lists those that do not).
pub(crate) fn is_of_one_host(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => is_unicast_link_local(v6),
    };
    !link_local && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

fn is_unicast_link_local(v6: &Ipv6Addr) -> bool {
    v6.segments()[0] & 0xffc0 == 0xfe80
}
