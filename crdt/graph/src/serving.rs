//! Which service serves at an address and port: what joins a call to the one that it reaches.

use std::net::IpAddr;

use hashbrown::HashMap;
use holm_model::{EdgeKind, Millis, NodeKind};

use crate::TopologyGraph;
use crate::snapshot::said_at;
use crate::topology::{EdgeSlot, NodeIndex};

/// Where a service serves, and which ports calls go to (OpenTelemetry semantic conventions); several
/// are separated by commas.
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";

/// Which service serves at an address and port; none if several do.
pub(crate) type Serving = HashMap<IpAddr, HashMap<Box<str>, Option<NodeIndex>>>;

impl TopologyGraph {
    /// Where services serve at `at`: by address and port, if it is one service only. Loopback is of
    /// every host its own.
    pub(crate) fn serving(&self, at: Millis) -> Serving {
        let mut serving = Serving::new();
        for (index, node) in (0..).zip(&self.nodes) {
            let Some(node) = node.as_ref().filter(|n| n.id.kind() == NodeKind::Service) else {
                continue;
            };
            for (_, record) in said_at(&node.records, at, &None) {
                let attributes = record.attributes(at);
                let Some((addresses, ports)) = attributes.get(ADDRESS).zip(attributes.get(PORT))
                else {
                    continue;
                };
                let addresses = addresses.split(',').filter_map(|a| a.parse::<IpAddr>().ok());
                for address in addresses.filter(|a| !a.is_loopback() && !a.is_unspecified()) {
                    let known = serving.entry(address).or_default();
                    for port in ports.split(',') {
                        let service = known.entry(port.into()).or_insert(Some(index));
                        if *service != Some(index) {
                            *service = None;
                        }
                    }
                }
            }
        }
        serving
    }

    /// The services that a flow to an address reaches, by the ports that it goes to.
    pub(crate) fn services_behind(
        &self,
        edge: &EdgeSlot,
        at: Millis,
        serving: &Serving,
    ) -> Vec<NodeIndex> {
        let mut found = Vec::new();
        if edge.kind != EdgeKind::Flow || serving.is_empty() {
            return found;
        }
        let host = self.nodes[edge.to as usize].as_ref().map(|node| &node.id);
        let host = host.filter(|id| id.kind() == NodeKind::Host);
        let address = host.and_then(|id| id.name().parse::<IpAddr>().ok());
        let Some(ports) = address.and_then(|address| serving.get(&address)) else { return found };
        for (_, record) in said_at(&edge.records, at, &None) {
            let attributes = record.attributes(at);
            let called = attributes.get(PORT).into_iter().flat_map(|called| called.split(','));
            found.extend(called.filter_map(|port| ports.get(port).copied().flatten()));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
