//! Which service serves at an address and port, and on which host it runs: what joins a call to the one
//! that it reaches, and a failing host to what fails with it.
//!
//! An address that is the same everywhere leads to the one service that serves there, whoever recorded
//! it. A private one leads to the service of the caller's own site if anything there has that address,
//! else to that of the sites that share the caller's address plan ([`crate::plans`]): where they share
//! none it leads to none. Loopback leads to a service of the same machine where sites name the machine that they
//! share, else to none.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use holm_model::{AddressScope, Attributes, EdgeKind, Millis, NodeId, NodeKind};

use crate::TopologyGraph;
use crate::plans::Plans;
use crate::records::{Record, SiteIndex};
use crate::snapshot::said_at;
use crate::topology::{EdgeSlot, NodeIndex, NodeSlot};

/// Where a service serves, and which ports calls go to (OpenTelemetry semantic conventions); several
/// are separated by commas.
const ADDRESS: &str = "server.address";
const PORT: &str = "server.port";
/// The name of the host that a service runs on.
const HOST_NAME: &str = "host.name";

type ByPort = HashMap<Box<str>, Vec<(SiteIndex, NodeIndex)>>;

/// Which services serve at an address and port, and who says so.
#[derive(Default)]
pub(crate) struct Serving {
    at: HashMap<IpAddr, ByPort>,
    /// Addresses of which a site says that something of its own has them.
    claimed: HashSet<(SiteIndex, IpAddr)>,
}

/// Where services are, as each site says.
#[derive(Default)]
pub(crate) struct RunsOn {
    /// Services on hosts.
    pub(crate) hosts: Vec<(NodeIndex, SiteIndex, NodeIndex)>,
    /// Services at addresses, and the host of that address if there is one.
    pub(crate) addresses: Vec<(NodeIndex, SiteIndex, IpAddr, Option<NodeIndex>)>,
}

impl TopologyGraph {
    /// Where services serve at `at`.
    pub(crate) fn serving(&self, at: Millis) -> Serving {
        let mut serving = Serving::default();
        for (index, site, record) in self.services(at) {
            let attributes = record.attributes(at);
            let Some(ports) = attributes.get(PORT) else { continue };
            for address in self.addresses(site, &attributes, at) {
                serving.claimed.insert((site, address));
                let known = serving.at.entry(address).or_default();
                for port in ports.split(',') {
                    known.entry(port.into()).or_default().push((site, index));
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

    /// The hosts that services run on: the one whose name a service goes with, if that is a name of the
    /// site's own, and those that have the addresses at which it serves.
    pub(crate) fn runs_on(&self, at: Millis) -> RunsOn {
        let mut found = RunsOn::default();
        for (service, site, record) in self.services(at) {
            let attributes = record.attributes(at);
            let host = |name: &str| self.node_named(&NodeId::new(NodeKind::Host, name).ok()?);
            let own = |slot: &NodeSlot| self.claimants(slot, at).any(|by| by == site);
            let named = attributes.get(HOST_NAME).and_then(|name| host(name));
            let named = named.filter(|(_, slot)| own(slot)).map(|(host, _)| host);
            found.hosts.extend(named.map(|host| (service, site, host)));
            for address in self.addresses(site, &attributes, at) {
                let host = host(&address.to_string()).map(|(host, _)| host);
                found.hosts.extend(host.map(|host| (service, site, host)));
                found.addresses.push((service, site, address, host));
            }
        }
        found
    }

    /// The sites that say at `at` that a node has another name.
    pub(crate) fn claimants(&self, node: &NodeSlot, at: Millis) -> impl Iterator<Item = SiteIndex> {
        let aliases = node.aliases.iter().filter_map(|&alias| self.aliases.get(alias));
        aliases.flat_map(move |alias| said_at(&alias.records, at, &None).map(|(site, _)| site))
    }

    /// The addresses at which a service serves and that mean a machine to others than itself: loopback does where
    /// the site names its machine.
    fn addresses<'a>(
        &self,
        site: SiteIndex,
        attributes: &'a Attributes,
        at: Millis,
    ) -> impl Iterator<Item = IpAddr> + use<'a> {
        let all = attributes.get(ADDRESS).into_iter().flat_map(|all| all.split(','));
        let all = all.filter_map(|address| address.parse::<IpAddr>().ok());
        let all = all.map(|address| address.to_canonical()).filter(|ip| !ip.is_unspecified());
        let loops =
            attributes.get(ADDRESS).is_some_and(|all| all.contains("127.") || all.contains("::1"));
        let of_machine = loops && self.names_its_machine(site, at);
        all.filter(move |address| of_machine || !address.is_loopback())
    }

    /// What each site says of each service.
    fn services(&self, at: Millis) -> impl Iterator<Item = (NodeIndex, SiteIndex, &Record)> {
        let nodes = (0..).zip(&self.nodes).filter_map(|(i, node)| Some((i, node.as_ref()?)));
        let services = nodes.filter(|(_, node)| node.id.kind() == NodeKind::Service);
        services.flat_map(move |(index, node)| {
            said_at(&node.records, at, &None).map(move |(site, record)| (index, site, record))
        })
    }
}

impl Serving {
    /// The address that a flow goes to, if any service serves there.
    pub(crate) fn address_of(&self, graph: &TopologyGraph, edge: &EdgeSlot) -> Option<IpAddr> {
        if edge.kind != EdgeKind::Flow || self.at.is_empty() {
            return None;
        }
        let host = graph.id_of(edge.to).filter(|id| id.kind() == NodeKind::Host)?;
        let address = host.name().parse::<IpAddr>().ok()?.to_canonical();
        self.at.contains_key(&address).then_some(address)
    }

    /// The services that a flow to an address reaches, by the ports that `site` saw it go to.
    pub(crate) fn called(
        &self,
        address: IpAddr,
        site: SiteIndex,
        record: &Record,
        at: Millis,
        plans: &Plans,
    ) -> Vec<NodeIndex> {
        let attributes = record.attributes(at);
        let ports = attributes.get(PORT).into_iter().flat_map(|called| called.split(','));
        ports.filter_map(|port| self.reached(site, address, port, plans)).collect()
    }

    /// The service that a call from `site` to `address` and `port` reaches, if it is certain which.
    fn reached(
        &self,
        site: SiteIndex,
        address: IpAddr,
        port: &str,
        plans: &Plans,
    ) -> Option<NodeIndex> {
        let there = self.at.get(&address)?.get(port)?.iter();
        let scope = AddressScope::of(address);
        let is_own = self.claimed.contains(&(site, address));
        only(
            there
                .filter(|(by, _)| match scope {
                    AddressScope::Global => true,
                    AddressScope::Site | AddressScope::Machine if is_own => *by == site,
                    AddressScope::Site | AddressScope::Machine => plans.same(scope, *by, site),
                })
                .map(|(_, service)| *service),
        )
    }
}

/// What all of them are, if they are the same.
fn only(mut services: impl Iterator<Item = NodeIndex>) -> Option<NodeIndex> {
    let first = services.next()?;
    services.all(|service| service == first).then_some(first)
}
