//! Which names are one, worked out with sets of text: "who" is the site that means the name, or nobody
//! where all mean the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use holm_model::{AddressScope, AliasId, EdgeId, NodeId, NodeKind, SiteId};

type Meant = (Option<SiteId>, NodeId);
type Set = BTreeSet<Meant>;

/// The names of each thing that has several, and those that could mean several things.
#[derive(Default)]
pub(crate) struct Names {
    /// The one that is shown, then the others in order.
    pub(crate) groups: Vec<Vec<NodeId>>,
    pub(crate) ambiguous: BTreeSet<NodeId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Service,
    Device,
    HostName,
    Address,
}

impl Names {
    /// All names of what `node` names, the shown one first.
    pub(crate) fn of(&self, node: &NodeId) -> Vec<NodeId> {
        let group = self.groups.iter().find(|group| group.contains(node));
        group.cloned().unwrap_or_else(|| vec![node.clone()])
    }

    /// The edge as it is shown; none within one thing.
    pub(crate) fn edge(&self, edge: &EdgeId) -> Option<EdgeId> {
        let (from, to) = (self.of(&edge.from)[0].clone(), self.of(&edge.to)[0].clone());
        let within = from == to && edge.from != edge.to;
        (!within).then_some(EdgeId { from, kind: edge.kind, to })
    }

    pub(crate) fn of_statements<'a>(
        all: impl Iterator<Item = (&'a SiteId, &'a AliasId)>,
        plan: &dyn Fn(&SiteId) -> Option<String>,
        who_speaks_of: &dyn Fn(&NodeId) -> BTreeSet<SiteId>,
    ) -> Self {
        // The plan stands for all sites that share it.
        let stands = |site: &SiteId| -> SiteId {
            plan(site)
                .map_or(site.clone(), |plan| SiteId::new(&format!("plan-{plan}")).expect("valid"))
        };
        let mut ambiguous = BTreeSet::new();
        // Names by which others mean something else.
        let mut apart: BTreeSet<NodeId> = BTreeSet::new();
        let mut sets: Vec<Set> = Vec::new();
        let mut claims: Vec<(Class, Meant, Meant)> = Vec::new();
        for (site, alias) in all {
            let [a, b] = alias.ends();
            let (Some(x), Some(y)) = (class(a), class(b)) else { continue };
            let everywhere = |n: &&NodeId| scope(n) == Some(AddressScope::Machine);
            if everywhere(&a) || everywhere(&b) {
                ambiguous.extend([a, b].into_iter().filter(everywhere).cloned());
                continue;
            }
            let private = |n: &&NodeId| scope(n) == Some(AddressScope::Site);
            let others = |n: &NodeId| who_speaks_of(n).iter().any(|by| stands(by) != stands(site));
            let of_others = |n: &&NodeId| private(n) && others(n);
            apart.extend([a, b].into_iter().filter(of_others).cloned());
            let who = |node: &NodeId| if private(&node) { stands(site) } else { site.clone() };
            let [at_a, at_b] = [a, b].map(|node| meant(&who(node), node));
            add(&mut sets, [at_a.clone()].into());
            add(&mut sets, [at_b.clone()].into());
            match x.cmp(&y) {
                std::cmp::Ordering::Equal => add(&mut sets, [at_a, at_b].into()),
                // The greater class is the place.
                std::cmp::Ordering::Less if y >= Class::HostName => claims.push((x, at_a, at_b)),
                std::cmp::Ordering::Greater if x >= Class::HostName => claims.push((y, at_b, at_a)),
                _ => {}
            }
        }
        for role in [Class::HostName, Class::Device, Class::Service] {
            let of_role: Vec<_> = claims.iter().filter(|(class, ..)| *class == role).collect();
            for (_, one, place) in &of_role {
                for (_, other, elsewhere) in &of_role {
                    if one.1 == other.1 && same(&sets, place, elsewhere) {
                        add(&mut sets, [one.clone(), other.clone()].into());
                    }
                }
            }
            let before = sets.clone();
            let pairs: BTreeSet<(Set, Set)> =
                of_role.iter().map(|(_, n, p)| (set(&before, n), set(&before, p))).collect();
            for (named, place) in &pairs {
                let alone = pairs.iter().filter(|pair| pair.1 == *place).count() == 1;
                let whole = pairs.iter().filter(|pair| pair.0 == *named).count() == 1;
                if alone && (whole || role != Class::Service) {
                    add(&mut sets, named.union(place).cloned().collect());
                } else {
                    ambiguous.insert(best(if alone { named } else { place }));
                }
            }
        }
        let mut meanings: BTreeMap<&NodeId, usize> = BTreeMap::new();
        for set in &sets {
            for node in set.iter().map(|(_, node)| node).collect::<BTreeSet<_>>() {
                *meanings.entry(node).or_default() += 1;
            }
        }
        let several = |node: &NodeId| meanings[node] > 1 || apart.contains(node);
        ambiguous.extend(meanings.keys().filter(|n| several(n)).map(|n| (*n).clone()));
        let mut groups = Vec::new();
        for set in &sets {
            let names: BTreeSet<&NodeId> =
                set.iter().map(|(_, node)| node).filter(|n| !several(n)).collect();
            let mut names: Vec<NodeId> = names.into_iter().cloned().collect();
            if names.len() > 1 {
                names.sort_by_key(|name| (class(name), name.clone()));
                names[1..].sort();
                groups.push(names);
            }
        }
        Self { groups, ambiguous }
    }
}

/// Adds a set, and unites it with those that it has something in common with.
fn add(sets: &mut Vec<Set>, mut new: Set) {
    sets.retain(|set| {
        let apart = set.is_disjoint(&new);
        if !apart {
            new.extend(set.iter().cloned());
        }
        apart
    });
    sets.push(new);
}

fn set(sets: &[Set], meant: &Meant) -> Set {
    sets.iter().find(|set| set.contains(meant)).expect("every name is in a set").clone()
}

fn same(sets: &[Set], a: &Meant, b: &Meant) -> bool {
    set(sets, a) == set(sets, b)
}

fn best(set: &Set) -> NodeId {
    let names = set.iter().map(|(_, node)| node);
    names.min_by_key(|name| (class(name), *name)).expect("not empty").clone()
}

fn meant(site: &SiteId, node: &NodeId) -> Meant {
    let everywhere = scope(node) == Some(AddressScope::Global) || node.kind() == NodeKind::Service;
    ((!everywhere).then(|| site.clone()), node.clone())
}

pub(super) fn scope(node: &NodeId) -> Option<AddressScope> {
    let may_be = matches!(node.kind(), NodeKind::Host | NodeKind::Hop);
    node.name().parse::<IpAddr>().ok().filter(|_| may_be).map(AddressScope::of)
}

fn class(node: &NodeId) -> Option<Class> {
    match node.kind() {
        NodeKind::Service => Some(Class::Service),
        NodeKind::Device => Some(Class::Device),
        NodeKind::Host if scope(node).is_none() => Some(Class::HostName),
        NodeKind::Host | NodeKind::Hop => Some(Class::Address),
        _ => None,
    }
}
