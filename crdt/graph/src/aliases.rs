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
    /// Folds the names of `aliases`, each with the sites that say so, in any order.
    ///
    /// Addresses that are the same are one, and so are two names of one kind. A host's name, a device or
    /// a service is one with an address if no other of its kind claims that, and a service only if it
    /// claims nothing else: two services behind one address are two things, one service on two hosts
    /// does not make them one, and which of several a packet meant is not known. A host's name that two
    /// sites give to different addresses is the name of two hosts: many are called `ubuntu`.
    pub fn of<'a, S: Ord>(aliases: impl IntoIterator<Item = (&'a AliasId, Vec<S>)>) -> Self {
        let mut groups = Groups::default();
        let mut claims: Vec<(Role, &NodeId, &NodeId)> = Vec::new();
        let mut said: Vec<(&NodeId, &NodeId, Vec<S>)> = Vec::new();
        for (alias, sites) in aliases {
            let [a, b] = alias.ends();
            let (claimed, named, place) = match (role(a), role(b)) {
                (Some(x), Some(y)) if x == y => {
                    groups.join(a, b);
                    continue;
                }
                (Some(Role::Address), Some(role)) => (role, b, a),
                (Some(role), Some(Role::Address)) => (role, a, b),
                // A service is found at the host whose name it goes with, and so is a device.
                (Some(Role::HostName), Some(role)) => (role, b, a),
                (Some(role), Some(Role::HostName)) => (role, a, b),
                _ => continue,
            };
            if claimed == Role::HostName {
                said.push((named, place, sites));
            }
            claims.push((claimed, named, place));
        }
        let mut ambiguous = names_of_several(&groups, said);
        claims.retain(|(role, named, _)| *role != Role::HostName || !ambiguous.contains(*named));
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

    /// `node` and the names that are folded into it, in order after it. A name that is folded into
    /// another stands for itself alone.
    pub fn names(&self, node: &NodeId) -> Vec<NodeId> {
        let others = self.shown_as.iter().filter(|(_, shown)| *shown == node);
        std::iter::once(node).chain(others.map(|(name, _)| name)).cloned().collect()
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
        let told = self.aliases.iter().map(|(alias, records)| {
            (alias, said_at(records, at, heard).map(|(site, _)| site).collect::<Vec<_>>())
        });
        Folding::of(told.filter(|(_, sites)| !sites.is_empty()))
    }
}

/// Names of hosts that two sites give to addresses of which none is the same.
fn names_of_several<S: Ord>(
    groups: &Groups,
    said: Vec<(&NodeId, &NodeId, Vec<S>)>,
) -> BTreeSet<NodeId> {
    let mut addresses: BTreeMap<NodeId, BTreeMap<S, BTreeSet<NodeId>>> = BTreeMap::new();
    for (named, place, sites) in said {
        let by_site = addresses.entry(named.clone()).or_default();
        for site in sites {
            by_site.entry(site).or_default().insert(groups.root(place));
        }
    }
    // Sites that share an address mean the same host, and so do those that share one with them.
    let apart = |by_site: &BTreeMap<S, BTreeSet<NodeId>>| {
        let mut hosts: Vec<BTreeSet<NodeId>> = Vec::new();
        for of_site in by_site.values() {
            let mut host = of_site.clone();
            hosts.retain(|other| {
                let same = !other.is_disjoint(of_site);
                if same {
                    host.extend(other.iter().cloned());
                }
                !same
            });
            hosts.push(host);
        }
        hosts.len() > 1
    };
    addresses.into_iter().filter(|(_, by_site)| apart(by_site)).map(|(named, _)| named).collect()
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
        Folding::of(aliases.iter().map(|alias| (alias, vec!["berlin"])))
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
    fn a_name_that_two_sites_give_to_different_hosts_is_the_name_of_two() {
        let alias = |text: &str| text.parse::<AliasId>().expect("valid");
        let [one, other] =
            [alias("host:10.0.0.1|alias|host:vm"), alias("host:10.0.0.2|alias|host:vm")];
        let apart = Folding::of([(&one, vec!["berlin"]), (&other, vec!["tokyo"])]);
        assert!(apart.is_empty());
        assert_eq!(apart.ambiguous, ["host:vm".parse().expect("valid")]);
        let both = Folding::of([(&one, vec!["berlin", "tokyo"]), (&other, vec!["tokyo"])]);
        assert_eq!(both.iter().count(), 2, "tokyo knows both addresses of the one host");
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
            let mut aliases: Vec<(AliasId, Vec<usize>)> = pairs
                .into_iter()
                .filter_map(|(a, b)| Some((AliasId::new(node(a), node(b)).ok()?, vec![a % 2])))
                .collect();
            let fold = |aliases: &[(AliasId, Vec<usize>)]| {
                Folding::of(aliases.iter().map(|(alias, sites)| (alias, sites.clone())))
            };
            let first = fold(&aliases);
            use rand::{SeedableRng, seq::SliceRandom};
            aliases.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
            prop_assert_eq!(&fold(&aliases), &first);
            for (name, shown) in first.iter() {
                prop_assert!(!first.shown_as.contains_key(shown), "{} is shown itself", shown);
                prop_assert!(name != shown);
            }
        }
    }
}
