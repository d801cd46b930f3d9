//! Names that mean the same thing, folded at read: what is written stays as it is, so a fold is undone
//! by not asking for it.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{AliasId, Millis, NodeId, NodeKind};

use crate::TopologyGraph;
use crate::snapshot::{Heard, said_at};

/// Which names mean the same thing at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folding {
    /// Every name that is folded, and the one that it is shown by; that one is not among them.
    shown_as: BTreeMap<NodeId, NodeId>,
    /// Addresses that several named things claim, in order: each stays by itself.
    pub ambiguous: Vec<NodeId>,
}

impl Folding {
    /// Folds the names of `aliases`.
    ///
    /// Addresses (hosts and hops) that are the same are one, and so are two names of one kind. A
    /// service, device or agent is one with an address if nothing else claims it: two services behind
    /// one address are two things, and which of them a packet meant is not known.
    pub fn of<'a>(aliases: impl IntoIterator<Item = &'a AliasId>) -> Self {
        let mut groups = Groups::default();
        let mut claims: Vec<(&NodeId, &NodeId)> = Vec::new();
        for alias in aliases {
            let [a, b] = alias.ends();
            match (role(a.kind()), role(b.kind())) {
                (Some(Role::Address), Some(Role::Address)) => groups.join(a, b),
                (Some(Role::Named), Some(Role::Named)) if a.kind() == b.kind() => groups.join(a, b),
                (Some(Role::Named), Some(Role::Address)) => claims.push((a, b)),
                (Some(Role::Address), Some(Role::Named)) => claims.push((b, a)),
                _ => {}
            }
        }
        let mut claimants: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
        for (named, address) in claims {
            let (named, address) = (groups.root(named), groups.root(address));
            claimants.entry(address).or_default().insert(named);
        }
        let mut ambiguous = Vec::new();
        for (address, named) in claimants {
            match (named.first(), named.len()) {
                (Some(named), 1) => groups.join(named, &address),
                _ => ambiguous.push(address),
            }
        }
        Self { shown_as: groups.shown_as(), ambiguous }
    }

    /// The name by which `node` is shown: itself, unless it is folded.
    pub fn shown<'a>(&'a self, node: &'a NodeId) -> &'a NodeId {
        self.shown_as.get(node).unwrap_or(node)
    }

    /// Whether nothing is folded.
    pub fn is_empty(&self) -> bool {
        self.shown_as.is_empty()
    }

    /// Every folded name with the one that it is shown by, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &NodeId)> {
        self.shown_as.iter()
    }
}

impl TopologyGraph {
    /// Which names mean the same thing at `at`, as any site says.
    pub fn folding(&self, at: Millis) -> Folding {
        self.folding_of(at, &None)
    }

    pub(crate) fn folding_of(&self, at: Millis, heard: &Heard) -> Folding {
        let held = self.aliases.iter();
        let held = held.filter(|(_, records)| said_at(records, at, heard).next().is_some());
        Folding::of(held.map(|(alias, _)| alias))
    }
}

enum Role {
    Named,
    Address,
}

/// Sites, systems and prefixes are places, not things with several names.
fn role(kind: NodeKind) -> Option<Role> {
    match kind {
        NodeKind::Service | NodeKind::Device | NodeKind::Agent => Some(Role::Named),
        NodeKind::Host | NodeKind::Hop => Some(Role::Address),
        NodeKind::As | NodeKind::Prefix | NodeKind::Site => None,
    }
}

/// Disjoint sets of names; the one by which a set is shown is its root.
#[derive(Default)]
struct Groups {
    parent: BTreeMap<NodeId, NodeId>,
}

impl Groups {
    fn root(&self, node: &NodeId) -> NodeId {
        let mut node = node;
        while let Some(parent) = self.parent.get(node) {
            node = parent;
        }
        node.clone()
    }

    fn join(&mut self, a: &NodeId, b: &NodeId) {
        let (a, b) = (self.root(a), self.root(b));
        let (shown, other) = if rank(&a) <= rank(&b) { (a, b) } else { (b, a) };
        if shown != other {
            self.parent.insert(other, shown);
        }
    }

    fn shown_as(self) -> BTreeMap<NodeId, NodeId> {
        self.parent.keys().map(|node| (node.clone(), self.root(node))).collect()
    }
}

/// What a thing is best called by: what it does before what it is, a name before an address, the rest by
/// id. A total order, so that the roots do not depend on the order of the aliases.
fn rank(node: &NodeId) -> (u8, bool, &NodeId) {
    let kind = match node.kind() {
        NodeKind::Service => 0,
        NodeKind::Device => 1,
        NodeKind::Agent => 2,
        NodeKind::Host => 3,
        _ => 4,
    };
    (kind, node.name().parse::<std::net::IpAddr>().is_ok(), node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folding(aliases: &[&str]) -> Folding {
        let aliases: Vec<AliasId> = aliases.iter().map(|a| a.parse().expect("valid")).collect();
        Folding::of(&aliases)
    }

    fn shown(folding: &Folding, node: &str) -> String {
        folding.shown(&node.parse().expect("valid")).to_string()
    }

    #[test]
    fn an_address_a_host_name_and_a_workload_are_one() {
        let one = folding(&[
            "host:10.0.0.5|alias|host:stock-1.example",
            "host:stock-1.example|alias|service:stock",
            "hop:10.0.0.5|alias|host:10.0.0.5",
        ]);
        for name in ["host:10.0.0.5", "host:stock-1.example", "hop:10.0.0.5", "service:stock"] {
            assert_eq!(shown(&one, name), "service:stock");
        }
        assert_eq!(one.iter().count(), 3);
    }

    #[test]
    fn two_services_at_one_address_stay_two() {
        let two = folding(&[
            "host:10.0.0.5|alias|service:stock",
            "host:10.0.0.5|alias|service:price",
            "host:10.0.0.5|alias|host:box",
        ]);
        assert_eq!(shown(&two, "service:stock"), "service:stock");
        assert_eq!(shown(&two, "host:10.0.0.5"), "host:box");
        assert_eq!(two.ambiguous, ["host:box".parse().expect("valid")]);
    }

    #[test]
    fn places_are_not_folded() {
        assert!(folding(&["host:10.0.0.5|alias|site:berlin"]).is_empty());
    }

    proptest! {
        #[test]
        fn the_order_of_aliases_does_not_matter(
            pairs in proptest::collection::vec((0..9_usize, 0..9_usize), 0..12), seed: u64,
        ) {
            let names = [
                "host:a", "host:b", "hop:1.1.1.1", "host:1.1.1.1", "service:s", "service:t",
                "device:d", "device:e", "agent:x",
            ];
            let node = |i: usize| names[i].parse::<NodeId>().expect("valid");
            let mut aliases: Vec<AliasId> = pairs
                .into_iter()
                .filter_map(|(a, b)| AliasId::new(node(a), node(b)).ok())
                .collect();
            let first = Folding::of(&aliases);
            use rand::{SeedableRng, seq::SliceRandom};
            aliases.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
            prop_assert_eq!(&Folding::of(&aliases), &first);
            for (name, shown) in first.iter() {
                prop_assert!(first.shown_as.get(shown).is_none(), "{} is shown itself", shown);
                prop_assert!(name != shown);
            }
        }
    }
}
