//! Who has which address: what lies in a prefix, what an AS originates, and what is one machine by two names.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::HashMap;
use holm_model::{AddressScope, NodeId, NodeKind, Prefix, SiteId};

use crate::adjacency::Rows;
use crate::moment::Moment;
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

/// All that has an address.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    all: Vec<Addressed>,
    /// By host or hop: who has the same address.
    shared: Rows<u32>,
}

impl Addresses {
    fn of(moment: &Moment) -> Self {
        let Moment { nodes, private, .. } = moment;
        let own = nodes.iter().zip(0..);
        let names = own.chain(moment.also_called.iter().map(|(name, node)| (name, *node)));
        let address = |name: &NodeId| {
            let has = matches!(name.kind(), NodeKind::Host | NodeKind::Hop);
            has.then(|| name.name().parse().ok().map(number)).flatten()
        };
        let is_private = |name: &NodeId| {
            !private.is_empty()
                && private.binary_search_by(|private| private.name.cmp(name)).is_ok()
        };
        let known = names
            .filter_map(|(name, node)| Some((name, address(name)?, node)))
            .filter(|(name, ..)| !is_private(name))
            .map(|(_, address, node)| Addressed { address, class: None, node });
        let of_classes = private.iter().filter_map(|private| {
            let (address, class) = (address(&private.name)?, Some(private.class));
            Some(Addressed { address, class, node: private.node })
        });
        let serving = moment.serving.iter().map(|&(address, class, node)| {
            let address = number(address);
            Addressed { address, class, node }
        });
        let all: Vec<Addressed> = known.chain(of_classes).chain(serving).collect();
        // Mostly an address is of one: only others are listed.
        let mut first: HashMap<(u128, Option<u32>), u32> = HashMap::with_capacity(all.len());
        let mut several: HashMap<(u128, Option<u32>), Vec<u32>> = HashMap::new();
        for each in &all {
            let key = (each.address, each.class);
            let known = *first.entry(key).or_insert(each.node);
            if known != each.node {
                several.entry(key).or_insert_with(|| vec![known]).push(each.node);
            }
        }
        let is_service = |node: u32| nodes[node as usize].kind() == NodeKind::Service;
        let mut shared: Vec<(u32, u32)> = Vec::new();
        for same in several.values() {
            for &own in same.iter().filter(|own| !is_service(**own)) {
                let others = same.iter().filter(|other| **other != own);
                shared.extend(others.map(|other| (own, *other)));
            }
        }
        shared.sort_unstable();
        shared.dedup();
        Self { all, shared: Rows::group(nodes.len(), shared.into_iter()) }
    }

    /// What has an address of `node`, and fails with it.
    pub(crate) fn shared_with(&self, node: u32) -> &[u32] {
        self.shared.of(node)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

impl Moment {
    pub(crate) fn addresses(&self) -> &Addresses {
        self.addresses.get_or_init(|| Addresses::of(self))
    }

    /// Adds what has an address of any of these nodes: a router that is probed is a host and a hop.
    pub(crate) fn add_same_address(&self, nodes: &mut Vec<u32>) {
        let others: Vec<u32> =
            nodes.iter().flat_map(|&node| self.addresses().shared_with(node)).copied().collect();
        nodes.extend(others);
    }

    /// All whose address lies in a prefix that nobody spoke of, whoever means it.
    pub fn lying_in(&self, prefix: &Prefix) -> Selection {
        let all = self.addresses().all.iter();
        let within =
            all.filter(|each| prefix.holds(IpAddr::V6(each.address.into()).to_canonical()));
        let mut nodes: Vec<u32> = within.map(|each| each.node).collect();
        self.add_same_address(&mut nodes);
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
        let originators = |prefix: u32| {
            let into = self.routing.into.of(prefix).iter().map(|hop| hop.node);
            into.filter(|&node| self.kind_of(node) == NodeKind::As)
        };
        let prefixes = (0..self.nodes.len() as u32)
            .filter(|&node| self.kind_of(node) == NodeKind::Prefix)
            // Who leads to everything originates nothing.
            .filter(|&prefix| !self.node(prefix).name().ends_with("/0"))
            .filter(|&prefix| originators(prefix).next().is_some());
        let mut found = Vec::new();
        self.each_address(prefixes, &mut |holding, node| {
            let by = holding.last().map(|&longest| originators(longest));
            let mut by = by.into_iter().flatten();
            if let (Some(only), None) = (by.next(), by.next()) {
                found.push((only, node));
            }
        });
        found.sort_unstable();
        found.dedup();
        found
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
        for &Addressed { address, class, node } in &self.addresses().all {
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
