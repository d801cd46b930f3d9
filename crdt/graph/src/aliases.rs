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
    /// Addresses that several things claim, and services that claim several, in order: they are not one
    /// with what they claim.
    pub ambiguous: Vec<NodeId>,
}

impl Folding {
    /// Folds the names of `aliases`.
    ///
    /// Addresses that are the same are one, and so are two names of one kind. A host's name, a device or
    /// a service is one with an address if no other of its kind claims that, and a service only if it
    /// claims nothing else: two services behind one address are two things, one service on two hosts
    /// does not make them one, and which of several a packet meant is not known.
    pub fn of<'a>(aliases: impl IntoIterator<Item = &'a AliasId>) -> Self {
        let mut groups = Groups::default();
        let mut claims: Vec<(Role, &NodeId, &NodeId)> = Vec::new();
        for alias in aliases {
            let [a, b] = alias.ends();
            match (role(a), role(b)) {
                (Some(x), Some(y)) if x == y => groups.join(a, b),
                (Some(Role::Address), Some(role)) => claims.push((role, b, a)),
                (Some(role), Some(Role::Address)) => claims.push((role, a, b)),
                // A service is found at the host whose name it goes with, and so is a device.
                (Some(Role::HostName), Some(role)) => claims.push((role, b, a)),
                (Some(role), Some(Role::HostName)) => claims.push((role, a, b)),
                _ => {}
            }
        }
        let mut ambiguous = BTreeSet::new();
        for role in [Role::HostName, Role::Device, Role::Service] {
            let of_role = claims.iter().filter(|(claimed, _, _)| *claimed == role);
            let pairs: BTreeSet<(NodeId, NodeId)> =
                of_role.map(|(_, named, place)| (groups.root(named), groups.root(place))).collect();
            let mut claims_on: BTreeMap<&NodeId, usize> = BTreeMap::new();
            let mut claims_of: BTreeMap<&NodeId, usize> = BTreeMap::new();
            for (named, place) in &pairs {
                *claims_of.entry(named).or_default() += 1;
                *claims_on.entry(place).or_default() += 1;
            }
            for (named, place) in &pairs {
                let (alone, whole) = (claims_on[place] == 1, claims_of[named] == 1);
                if alone && (whole || role != Role::Service) {
                    groups.join(named, place);
                } else {
                    ambiguous.insert(if alone { named.clone() } else { place.clone() });
                }
            }
        }
        Self { shown_as: groups.shown_as(), ambiguous: ambiguous.into_iter().collect() }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Address,
    HostName,
    Device,
    Service,
}

/// Sites, systems and prefixes are places, and an agent may be several nodes: none is a thing with
/// several names.
fn role(node: &NodeId) -> Option<Role> {
    match node.kind() {
        NodeKind::Service => Some(Role::Service),
        NodeKind::Device => Some(Role::Device),
        NodeKind::Host if !is_address(node) => Some(Role::HostName),
        NodeKind::Host | NodeKind::Hop => Some(Role::Address),
        NodeKind::Agent | NodeKind::As | NodeKind::Prefix | NodeKind::Site => None,
    }
}

fn is_address(node: &NodeId) -> bool {
    node.name().parse::<std::net::IpAddr>().is_ok()
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
fn rank(node: &NodeId) -> (u8, &NodeId) {
    let kind = match role(node) {
        Some(Role::Service) => 0,
        Some(Role::Device) => 1,
        Some(Role::HostName) => 2,
        Some(Role::Address) | None => 3,
    };
    (kind, node)
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
    fn what_repeats_on_every_host_does_not_make_them_one() {
        let bridge = folding(&[
            "host:172.17.0.1|alias|host:a",
            "host:172.17.0.1|alias|host:b",
            "host:10.0.0.1|alias|host:a",
            "host:10.0.0.2|alias|host:b",
            "host:a|alias|service:stock",
            "host:b|alias|service:stock",
        ]);
        assert_eq!(shown(&bridge, "host:10.0.0.1"), "host:a");
        assert_eq!(shown(&bridge, "host:10.0.0.2"), "host:b");
        assert_eq!(shown(&bridge, "host:172.17.0.1"), "host:172.17.0.1");
        assert_eq!(shown(&bridge, "service:stock"), "service:stock");
        let ambiguous: Vec<String> = bridge.ambiguous.iter().map(ToString::to_string).collect();
        assert_eq!(ambiguous, ["host:172.17.0.1", "service:stock"]);
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
                "host:a", "host:b", "hop:1.1.1.1", "host:1.1.1.1", "host:1.1.1.2", "service:s",
                "service:t", "device:d", "device:e",
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
                prop_assert!(!first.shown_as.contains_key(shown), "{} is shown itself", shown);
                prop_assert!(name != shown);
            }
        }
    }
}
