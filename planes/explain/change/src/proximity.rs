//! How near to an incident the things of a topology are: by edges, and by who needs whom.

use std::net::IpAddr;

use hashbrown::HashMap;
use holm_model::{EdgeKind, NodeId, NodeKind, Prefix, SiteId};
use holm_moment::{Around, Moment, Scratch, Toward};

use crate::targets::place;

/// How many edges away a thing may be and still be near.
pub const MAX_HOPS: u32 = 4;
/// Most nodes around one thing that are looked at.
const MAX_REACHED: usize = 20_000;
/// Most things of an incident that are looked at.
const MAX_ABOUT: usize = 16;

/// How near something is to what an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Near {
    /// The fewest edges between it and one of the things that the incident is about.
    pub hops: u32,
    /// The fewest steps in which one of these needs it: by calling it, by running on it, by being
    /// reached over it. `None` if none needs it, as far as is known.
    pub needed: Option<u32>,
    /// How many of the things that the incident is about need it.
    pub reaches: usize,
    /// The nearest of these, by its place in the list of them.
    pub to: usize,
    /// It is a prefix that one of them lies in, and not joined by an edge.
    pub by_address: bool,
}

/// What is around the things that an incident is about, in the topology of one moment.
#[derive(Debug)]
pub struct Proximity<'a> {
    moment: &'a Moment,
    about: Vec<NodeId>,
    /// Of each thing: the nodes around it with edges, and those that it needs with steps.
    around: Vec<(HashMap<u32, u32>, HashMap<u32, u32>)>,
    /// Of each thing: the addresses that it goes by.
    addresses: Vec<Vec<IpAddr>>,
}

impl<'a> Proximity<'a> {
    /// Around these things, each as a site means it. What is not in the topology is left out, but counts as
    /// itself.
    pub fn of(moment: &'a Moment, about: &[(NodeId, SiteId)], scratch: &mut Scratch) -> Self {
        let runs_here = services_on(moment);
        let mut found =
            Self { moment, about: Vec::new(), around: Vec::new(), addresses: Vec::new() };
        let mut known: Vec<u32> = Vec::new();
        for (id, site) in about {
            let at = place(moment, id, site);
            if found.about.len() >= MAX_ABOUT
                || found.about.contains(id)
                || at.is_some_and(|node| known.contains(&node))
            {
                continue;
            }
            known.extend(at);
            found.about.push(id.clone());
            found.addresses.push(addresses(moment, id, at));
            found.around.push(match at {
                Some(node) => (
                    edges_around(moment, node, &runs_here, scratch),
                    needed_by(moment, node, scratch),
                ),
                None => Default::default(),
            });
        }
        found
    }

    /// What the incident is about, as it was looked for.
    pub fn about(&self) -> &[NodeId] {
        &self.about
    }

    /// How near something is, as `site` means it.
    pub fn near(&self, id: &NodeId, site: &SiteId) -> Option<Near> {
        let node = place(self.moment, id, site);
        let mut near: Option<Near> = None;
        let mut reaches = 0;
        for (to, (around, needs)) in self.around.iter().enumerate() {
            let (hops, needed) = match node {
                Some(node) => (around.get(&node).copied(), needs.get(&node).copied()),
                None => (None, None),
            };
            let same = self.about[to] == *id;
            let hops = if same { Some(0) } else { hops };
            let needed = if same { Some(0) } else { needed };
            reaches += usize::from(needed.is_some());
            let Some(hops) = hops.or(needed) else { continue };
            let best = near.get_or_insert(Near { hops, needed, reaches: 0, to, by_address: false });
            if hops < best.hops {
                (best.hops, best.to) = (hops, to);
            }
            best.needed = match (best.needed, needed) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        let prefix = (id.kind() == NodeKind::Prefix).then(|| Prefix::parse(id.name())).flatten();
        let near = near.map(|near| Near { reaches, ..near });
        match prefix.and_then(|prefix| self.within(&prefix)) {
            Some(within) if near.is_none_or(|near| near.hops > within.hops) => Some(within),
            _ => near,
        }
    }

    /// The things that lie in a prefix: as if one edge away, and needing it.
    fn within(&self, prefix: &Prefix) -> Option<Near> {
        // All of the address space is the way to everything, and says nothing.
        if prefix.length() == 0 {
            return None;
        }
        let inside = |addresses: &Vec<IpAddr>| addresses.iter().any(|a| prefix.holds(*a));
        let to = self.addresses.iter().position(inside)?;
        let reaches = self.addresses.iter().filter(|addresses| inside(addresses)).count();
        Some(Near { hops: 1, needed: Some(1), reaches, to, by_address: true })
    }
}

/// The addresses of a thing, or of the hosts that it runs on.
fn addresses(moment: &Moment, id: &NodeId, at: Option<u32>) -> Vec<IpAddr> {
    let mut names = vec![id.clone()];
    if let Some(node) = at {
        names.extend(moment.names(node));
        names.extend(moment.hosts_of(node).flat_map(|host| moment.names(host)));
    }
    let of_hosts = names.iter().filter(|n| matches!(n.kind(), NodeKind::Host | NodeKind::Hop));
    let mut addresses: Vec<IpAddr> = of_hosts.filter_map(|n| n.name().parse().ok()).collect();
    if id.kind() == NodeKind::Prefix {
        addresses.extend(Prefix::parse(id.name()).map(|prefix| prefix.first()));
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// By host: the services that run there.
fn services_on(moment: &Moment) -> HashMap<u32, Vec<u32>> {
    let mut on: HashMap<u32, Vec<u32>> = HashMap::new();
    let count = u32::try_from(moment.len().0).unwrap_or(u32::MAX);
    for service in (0..count).filter(|&n| moment.node(n).kind() == NodeKind::Service) {
        for host in moment.hosts_of(service) {
            on.entry(host).or_default().push(service);
        }
    }
    on
}

/// Who observes and where all belongs are next to everything: nobody is near by way of them.
fn is_way(kind: NodeKind) -> bool {
    !matches!(kind, NodeKind::Agent | NodeKind::Site | NodeKind::As)
}

fn edges_around(
    moment: &Moment,
    centre: u32,
    runs_here: &HashMap<u32, Vec<u32>>,
    scratch: &mut Scratch,
) -> HashMap<u32, u32> {
    let around = Around { depth: 1, toward: Toward::Both, edge_kinds: None, node_kinds: None };
    search(centre, |node, next| {
        if node != centre && !is_way(moment.node(node).kind()) {
            return;
        }
        next.extend(moment.neighbourhood(node, &around, scratch).into_iter().map(|(n, _)| n));
        next.extend(moment.hosts_of(node));
        next.extend(runs_here.get(&node).into_iter().flatten());
    })
}

/// What `centre` needs: what it calls, where it runs, over what it is reached, and what these need.
fn needed_by(moment: &Moment, centre: u32, scratch: &mut Scratch) -> HashMap<u32, u32> {
    let one = |toward, kinds: &[EdgeKind]| Around {
        depth: 1,
        toward,
        edge_kinds: Some(kinds.to_vec()),
        node_kinds: None,
    };
    let calls = one(Toward::Out, &[EdgeKind::Flow]);
    let ways = one(Toward::Into, &[EdgeKind::Path]);
    let wires = one(Toward::Both, &[EdgeKind::Device, EdgeKind::Routing]);
    search(centre, |node, next| {
        if !is_way(moment.node(node).kind()) {
            return;
        }
        for around in [&calls, &ways, &wires] {
            let found = moment.neighbourhood(node, around, scratch);
            let found = found.into_iter().map(|(n, _)| n);
            next.extend(found.filter(|n| is_way(moment.node(*n).kind())));
        }
        next.extend(moment.hosts_of(node));
    })
}

/// Breadth first: each node with the number of steps to it.
fn search(centre: u32, mut step: impl FnMut(u32, &mut Vec<u32>)) -> HashMap<u32, u32> {
    let mut reached = HashMap::from_iter([(centre, 0)]);
    let mut edge = vec![centre];
    let mut next = Vec::new();
    for distance in 1..=MAX_HOPS {
        for node in std::mem::take(&mut edge) {
            step(node, &mut next);
        }
        for node in next.drain(..) {
            if reached.len() >= MAX_REACHED {
                return reached;
            }
            if !reached.contains_key(&node) {
                reached.insert(node, distance);
                edge.push(node);
            }
        }
    }
    reached
}
