//! The names of this host: what it calls itself, and the addresses of its interfaces.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use holm_model::{AliasObservation, Millis, NodeKind, NodeRef};
use holm_plane::FactSink;

/// Where a machine's id stands (machine-id(5)).
const MACHINE_ID: &str = "/etc/machine-id";

/// Tells that the host's name and its addresses are the same host.
pub(crate) struct OwnNames {
    facts: Arc<dyn FactSink>,
    host_name: Arc<str>,
    /// Which machine this is, as OpenTelemetry's `host.id`; `None` where it has no machine id.
    host_id: Option<String>,
    hold_ms: u32,
    told: Option<Millis>,
}

impl OwnNames {
    pub(crate) fn new(facts: Arc<dyn FactSink>, host_name: Arc<str>, hold_ms: u32) -> Self {
        let host_id = host_id(&std::fs::read_to_string(MACHINE_ID).unwrap_or_default());
        Self { facts, host_name, host_id, hold_ms, told: None }
    }

    /// Tells it again when it is time to: well before it is no longer held.
    pub(crate) fn refresh(&mut self, addresses: impl Iterator<Item = IpAddr>, now: Millis) {
        let due = self.told.is_none_or(|told| now.since(told) >= u64::from(self.hold_ms / 4));
        if !due || self.host_name.is_empty() || &*self.host_name == "localhost" {
            return;
        }
        self.told = Some(now);
        let mut attributes = vec![("holm.alias.evidence", "an address of this host's interfaces")];
        attributes.extend(self.host_id.as_deref().map(|id| ("host.id", id)));
        for address in addresses.filter(is_of_one_host) {
            self.facts.observe_alias(&AliasObservation {
                a: NodeRef { kind: NodeKind::Host, name: &self.host_name },
                b: NodeRef { kind: NodeKind::Host, name: &address.to_string() },
                attributes: &attributes,
                at: now,
                hold_ms: self.hold_ms,
            });
        }
    }
}

/// The id of a machine as others may know it: machine-id(5) asks not to show its own.
fn host_id(machine_id: &str) -> Option<String> {
    let id = machine_id.trim();
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let hash = || blake3::derive_key("holm host.id v1", id.to_ascii_lowercase().as_bytes());
    is_id.then(|| hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether an address means the same host on every link (RFC 6890 lists those that do not).
fn is_of_one_host(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => is_unicast_link_local(v6),
    };
    !link_local && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

fn is_unicast_link_local(v6: &Ipv6Addr) -> bool {
    v6.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_a_hash_of_its_id_and_by_nothing_that_is_none() {
        let machine = "0123456789abcdef0123456789abcdef";
        let id = host_id(&format!("{machine}\n")).expect("it has one");
        assert_eq!(host_id(&machine.to_uppercase()), Some(id.clone()));
        assert!(id.len() == 32 && !id.contains(&machine[..8]));
        assert_ne!(host_id("0123456789abcdef0123456789abcde0"), Some(id));
        assert_eq!((host_id(""), host_id("uninitialized")), (None, None));
    }
}
