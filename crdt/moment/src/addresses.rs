//! Who has which address: what lies in a prefix, what an AS originates, and what is one machine by two names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::HashMap;
use holm_model::{AddressScope, NodeId, NodeKind, Prefix, SiteId};

use crate::builder::as_index;
use crate::moment::{Moment, PrivateName};
use crate::selector::Selection;

/// A host or hop by its address, or a service at an address that no host goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addressed {
    /// As IPv6; IPv4 mapped.
    address: u128,
    /// To whom a private address means this; `None` to all.
    class: Option<u32>,
    node: u32,
}

/// All that has an address, and which of it is one machine.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    all: Vec<Addressed>,
    /// By node: the number of its machine, or [`NO_MACHINE`] if it has no other names that are nodes of their own;
    /// nothing at all where no node has.
    machine: Vec<u32>,
    /// By node: the first name of its machine; nothing at all where no machine has several.
    first: Vec<u32>,
    /// By machine: hosts and hops that share addresses, in order.
    mates: Vec<Vec<u32>>,
    /// The addresses of those, in order of node.
    keys: Vec<(u32, u128, Option<u32>)>,
    /// Services at addresses by which no host goes, on what has such an address.
    pub(crate) runs_on: Vec<(u32, u32)>,
}

/// What is known by one name only.
const NO_MACHINE: u32 = u32::MAX;

impl Addresses {
    /// Of the nodes in order, their other names, what private names mean, and services at addresses.
    pub(crate) fn of(
        nodes: &[NodeId],
        also_called: &[(NodeId, u32)],
        private: &[PrivateName],
        serving: &[(IpAddr, Option<u32>, u32)],
    ) -> Self {
        let address = |name: &NodeId| {
            let has = matches!(name.kind(), NodeKind::Host | NodeKind::Hop);
            has.then(|| name.name().parse().ok().map(number)).flatten()
        };
        let own = public(nodes.iter().zip(0..), private);
        let others = also_called.iter().map(|(name, node)| (name, *node));
        let known = own
            .chain(public(others, private))
            .filter_map(|(name, node)| Some((address(name)?, node)))
            .map(|(address, node)| Addressed { address, class: None, node });
        let of_classes = private.iter().filter_map(|private| {
            let (address, class) = (address(&private.name)?, Some(private.class));
            Some(Addressed { address, class, node: private.node })
        });
        let serving = serving.iter().map(|&(address, class, node)| {
            let address = number(address);
            Addressed { address, class, node }
        });
        let mut all: Vec<Addressed> = Vec::with_capacity(nodes.len());
        all.extend(known.chain(of_classes).chain(serving));
        let mut found = Self { all, ..Self::default() };
        found.find_machines(nodes.len(), |node| nodes[node as usize].kind() == NodeKind::Service);
        found
    }

    /// One address is one machine, and so is all that is tied together by several.
    fn find_machines(&mut self, nodes: usize, is_service: impl Fn(u32) -> bool) {
        let mut above: HashMap<u32, u32> = HashMap::new();
        // Mostly an address is of one.
        let mut of: HashMap<(u128, Option<u32>), u32> = HashMap::with_capacity(self.all.len());
        let mut services = Vec::new();
        for &Addressed { address, class, node } in &self.all {
            if is_service(node) {
                services.push((node, (address, class)));
                continue;
            }
            let first = *of.entry((address, class)).or_insert(node);
            if first != node {
                let (one, other) = (top(&mut above, first), top(&mut above, node));
                above.insert(one.max(other), one.min(other));
                above.entry(one.min(other)).or_insert(one.min(other));
            }
        }
        let at = |(service, key)| of.get(&key).map(|&machine| (service, machine));
        self.runs_on = services.into_iter().filter_map(at).collect();
        let mut known: Vec<u32> = above.keys().copied().collect();
        known.sort_unstable();
        if !known.is_empty() {
            self.machine = vec![NO_MACHINE; nodes];
            self.first = (0..as_index(nodes)).collect();
        }
        let mut number: HashMap<u32, u32> = HashMap::new();
        for node in known {
            let next = self.mates.len() as u32;
            let machine = *number.entry(top(&mut above, node)).or_insert(next);
            if machine == next {
                self.mates.push(Vec::new());
            }
            self.mates[machine as usize].push(node);
            self.machine[node as usize] = machine;
            self.first[node as usize] = self.mates[machine as usize][0];
        }
        let of_machines = self.all.iter().filter(|each| !self.one_with(each.node).is_empty());
        let mut keys: Vec<_> =
            of_machines.map(|each| (each.node, each.address, each.class)).collect();
        keys.sort_unstable();
        keys.dedup();
        self.keys = keys;
    }

    /// The names of a machine that have an address of `node`, itself among them: one interface.
    fn one_interface(&self, node: u32) -> Vec<u32> {
        let keys = |node: u32| {
            let from = self.keys.partition_point(|(of, ..)| *of < node);
            self.keys[from..]
                .iter()
                .take_while(move |(of, ..)| *of == node)
                .map(|key| (key.1, key.2))
        };
        let shares =
            |&other: &u32| other == node || keys(other).any(|key| keys(node).any(|own| own == key));
        match self.one_with(node) {
            [] => vec![node],
            mates => mates.iter().copied().filter(shares).collect(),
        }
    }

    /// The hosts and hops that are one machine, in order; of several names only.
    pub(crate) fn machines(&self) -> &[Vec<u32>] {
        &self.mates
    }

    /// All that is one machine with `node`, itself among it; nothing if it has no other names.
    pub(crate) fn one_with(&self, node: u32) -> &[u32] {
        let machine = self.machine.get(node as usize).filter(|&&machine| machine != NO_MACHINE);
        machine.map_or(&[], |&machine| &self.mates[machine as usize])
    }

    /// The name of a machine that stands for it in searches.
    pub(crate) fn first_name(&self, node: u32) -> u32 {
        self.first.get(node as usize).copied().unwrap_or(node)
    }

    /// Pairs of names that hold a machine together, each once.
    pub(crate) fn ties(&self) -> Vec<(u32, u32)> {
        let of = |mates: &'_ Vec<u32>| {
            let (hub, others) = (mates[0], mates[1..].to_vec());
            others.into_iter().map(move |mate| (hub, mate))
        };
        self.mates.iter().flat_map(of).collect()
    }
}

/// Names without those that mean one thing to some sites only; both are in order.
fn public<'a>(
    names: impl Iterator<Item = (&'a NodeId, u32)>,
    private: &[PrivateName],
) -> impl Iterator<Item = (&'a NodeId, u32)> {
    let mut private = private.iter().peekable();
    names.filter(move |(name, _)| {
        while private.next_if(|private| private.name < **name).is_some() {}
        private.peek().is_none_or(|private| private.name != **name)
    })
}

/// The first of those that a node was put together with.
fn top(above: &mut HashMap<u32, u32>, mut node: u32) -> u32 {
    while let Some(&next) = above.get(&node).filter(|&&next| next != node) {
        if let Some(&over) = above.get(&next) {
            above.insert(node, over);
        }
        node = next;
    }
    node
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

impl Moment {
    /// Adds the other names of the machines among these nodes: a router that is probed is a host and a hop.
    pub(crate) fn add_same_machine(&self, nodes: &mut Vec<u32>) {
        let mut firsts: Vec<u32> = nodes.iter().map(|&node| self.first_name(node)).collect();
        firsts.sort_unstable();
        firsts.dedup();
        nodes.extend(firsts.into_iter().flat_map(|first| self.addresses.one_with(first)));
    }

    /// An edge with all others of its kind between the same addresses, whatever these are called: one link.
    pub fn same_link(&self, edge: u32) -> Vec<u32> {
        let i = edge as usize;
        let [from, to] = [self.from[i], self.to[i]].map(|end| self.addresses.one_interface(end));
        let ends = from.iter().flat_map(|&from| to.iter().map(move |&to| (from, to)));
        ends.filter_map(|(from, to)| self.edge_between(from, self.kind[i], to)).collect()
    }

    /// All whose address lies in a prefix that nobody spoke of, whoever means it.
    pub fn lying_in(&self, prefix: &Prefix) -> Selection {
        let all = self.addresses.all.iter();
        let within =
            all.filter(|each| prefix.holds(IpAddr::V6(each.address.into()).to_canonical()));
        let mut nodes: Vec<u32> = within.map(|each| each.node).collect();
        self.add_same_machine(&mut nodes);
        nodes.sort_unstable();
        nodes.dedup();
        Selection { nodes, edges: Vec::new() }
    }

    /// What lies in each of `prefixes`, with that prefix; some more than once.
    pub(crate) fn each_held(
        &self,
        prefixes: impl Iterator<Item = u32>,
        found: &mut impl FnMut(u32, u32),
    ) {
        self.each_address(prefixes, &mut |holding, node| {
            holding.iter().for_each(|&prefix| found(prefix, node));
        });
    }

    /// What each AS alone originates, by the longest of the prefixes that hold an address (RFC 4271 §9.1.4).
    pub(crate) fn originated(&self) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        self.each_originated(|by, node| {
            if let [only] = by {
                found.push((*only, node));
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What nobody but these ASes originates, each alone or some of them together; they are in order.
    pub(crate) fn originated_by(&self, ases: &[u32]) -> Vec<u32> {
        let mut found = Vec::new();
        self.each_originated(|by, node| {
            if by.iter().all(|by| ases.binary_search(by).is_ok()) {
                found.push(node);
            }
        });
        found
    }

    /// All that has an address, with the ASes that originate the longest of the prefixes that hold it.
    fn each_originated(&self, mut found: impl FnMut(&[u32], u32)) {
        let originators = |prefix: u32| {
            let into = self.routing.into.of(prefix).iter().map(|hop| hop.node);
            into.filter(|&node| self.kind_of(node) == NodeKind::As)
        };
        let prefixes = (0..self.nodes.len() as u32)
            .filter(|&node| self.kind_of(node) == NodeKind::Prefix)
            // Who leads to everything originates nothing.
            .filter(|&prefix| !self.node(prefix).name().ends_with("/0"))
            .filter(|&prefix| originators(prefix).next().is_some());
        let mut by: Vec<u32> = Vec::new();
        self.each_address(prefixes, &mut |holding, node| {
            by.clear();
            by.extend(holding.last().into_iter().flat_map(|&longest| originators(longest)));
            if !by.is_empty() {
                found(&by, node);
            }
        });
    }

    /// Every address that any of `prefixes` holds: these prefixes, the longest last, and who has it.
    fn each_address(
        &self,
        prefixes: impl Iterator<Item = u32>,
        found: &mut impl FnMut(&[u32], u32),
    ) {
        let named =
            prefixes.filter_map(|node| Some((Prefix::parse(self.node(node).name())?, node)));
        let mut wanted: HashMap<Prefix, Vec<u32>> = HashMap::new();
        named.for_each(|(prefix, node)| wanted.entry(prefix).or_default().push(node));
        let lengths: BTreeSet<u32> = wanted.keys().map(Prefix::length).collect();
        let mut holding: Vec<u32> = Vec::new();
        for &Addressed { address, class, node } in &self.addresses.all {
            let address = IpAddr::V6(address.into()).to_canonical();
            let around = lengths.iter().map(|&length| Prefix::around(address, length));
            holding.clear();
            holding.extend(around.filter_map(|prefix| wanted.get(&prefix)).flatten());
            if let Some(class) = class {
                let scope = AddressScope::of(address);
                let means = |site: &SiteId| self.class(scope, site) == Some(class);
                let speaks =
                    |prefix: &u32| self.speakers.get(prefix).into_iter().flatten().any(means);
                holding.retain(speaks);
            }
            if !holding.is_empty() {
                found(&holding, node);
            }
        }
    }
}
