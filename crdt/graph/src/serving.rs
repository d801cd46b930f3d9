//! Which service serves at an address and port: what joins a call to the one that it reaches.
//!
//! An address that is the same everywhere leads to the one service that serves there, whoever recorded
//! it. An address of the caller's own site (private, say) leads to the service of that site; to another
//! site's only if nothing at the caller's site has that address, and one service alone serves there. An
//! address that every machine has (link-local, a container bridge) leads to a service of the caller's
//! site only, and loopback to none.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use holm_model::{AddressScope, EdgeKind, Millis, NodeKind};

use crate::TopologyGraph;
use crate::records::SiteIndex;
use crate::snapshot::said_at;
use crate::topology::{EdgeSlot, NodeIndex};

/// Where a service serves, and which ports calls go to (OpenTelemetry semantic conventions); several
/// are separated by commas.
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";

type ByPort = HashMap<Box<str>, Vec<(SiteIndex, NodeIndex)>>;

/// Which services serve at an address and port, and who says so.
#[derive(Default)]
pub(crate) struct Serving {
    at: HashMap<IpAddr, ByPort>,
    /// Addresses of which a site says that something of its own has them.
    claimed: HashSet<(SiteIndex, IpAddr)>,
}

impl TopologyGraph {
    /// Where services serve at `at`.
    pub(crate) fn serving(&self, at: Millis) -> Serving {
        let mut serving = Serving::default();
        for (index, node) in (0..).zip(&self.nodes) {
            let Some(node) = node.as_ref().filter(|n| n.id.kind() == NodeKind::Service) else {
                continue;
            };
            for (site, record) in said_at(&node.records, at, &None) {
                let attributes = record.attributes(at);
                let Some((addresses, ports)) = attributes.get(ADDRESS).zip(attributes.get(PORT))
                else {
                    continue;
                };
                let addresses = addresses.split(',').filter_map(|a| a.parse::<IpAddr>().ok());
                for address in addresses.map(|address| address.to_canonical()) {
                    if address.is_loopback() || address.is_unspecified() {
                        continue;
                    }
                    serving.claimed.insert((site, address));
                    let known = serving.at.entry(address).or_default();
                    for port in ports.split(',') {
                        known.entry(port.into()).or_default().push((site, index));
                    }
                }
            }
        }
        if serving.at.is_empty() {
            return serving;
        }
        for alias in self.aliases.iter() {
            for address in alias.id.ends().iter().filter_map(|end| end.name().parse().ok()) {
                let sites = said_at(&alias.records, at, &None).map(|(site, _)| site);
                serving.claimed.extend(sites.map(|site| (site, address)));
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
        if edge.kind != EdgeKind::Flow || serving.at.is_empty() {
            return found;
        }
        let host = self.id_of(edge.to).filter(|id| id.kind() == NodeKind::Host);
        let address = host.and_then(|id| id.name().parse::<IpAddr>().ok());
        let Some(address) = address.map(|address| address.to_canonical()) else { return found };
        if !serving.at.contains_key(&address) {
            return found;
        }
        for (site, record) in said_at(&edge.records, at, &None) {
            let attributes = record.attributes(at);
            let called = attributes.get(PORT).into_iter().flat_map(|called| called.split(','));
            found.extend(called.filter_map(|port| serving.reached(site, address, port)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Serving {
    /// The service that a call from `site` to `address` and `port` reaches, if it is certain which.
    fn reached(&self, site: SiteIndex, address: IpAddr, port: &str) -> Option<NodeIndex> {
        let there = self.at.get(&address)?.get(port)?;
        let own = || there.iter().filter(|(by, _)| *by == site).map(|(_, service)| *service);
        match AddressScope::of(address) {
            AddressScope::Global => only(there.iter().map(|(_, service)| *service)),
            AddressScope::Machine => only(own()),
            AddressScope::Site if self.claimed.contains(&(site, address)) => only(own()),
            AddressScope::Site => only(there.iter().map(|(_, service)| *service)),
        }
    }
}

/// What all of them are, if they are the same.
fn only(mut services: impl Iterator<Item = NodeIndex>) -> Option<NodeIndex> {
    let first = services.next()?;
    services.all(|service| service == first).then_some(first)
}
