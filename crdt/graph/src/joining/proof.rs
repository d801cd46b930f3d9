//! What proves that two names are of one thing, and what does not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;
use holm_model::{AddressScope, NodeId, NodeKind};

use super::{Joined, Thing};
use crate::TopologyGraph;
use crate::plans::Plans;
use crate::records::SiteIndex;
use crate::topology::{NodeIndex, next_index};

/// That a site holds two names to be of one thing.
pub(super) struct Statement {
    pub(super) site: SiteIndex,
    pub(super) ends: [NodeIndex; 2],
    /// Whether other sites mean something else by each.
    pub(super) of_others: [bool; 2],
    /// Of which machine it is said.
    pub(super) host_id: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Address(AddressScope),
    HostName,
    Device,
    Service,
}

impl Role {
    fn is_address(self) -> bool {
        matches!(self, Self::Address(_))
    }

    /// Whether the name means the same at every site.
    fn is_global(self) -> bool {
        matches!(self, Self::Address(AddressScope::Global) | Self::Service)
    }
}

/// Sites, systems and prefixes are places, and an agent may be several nodes: none is a thing with
/// several names. A hop that goes by a name is an interface whose address is not known.
fn role(node: &NodeId) -> Option<Role> {
    let address = || node.name().parse::<IpAddr>().ok().map(AddressScope::of);
    match node.kind() {
        NodeKind::Service => Some(Role::Service),
        NodeKind::Device => Some(Role::Device),
        NodeKind::Host => Some(address().map_or(Role::HostName, Role::Address)),
        NodeKind::Hop => Some(Role::Address(address().unwrap_or(AddressScope::Site))),
        NodeKind::Agent | NodeKind::As | NodeKind::Prefix | NodeKind::Site => None,
    }
}

/// A name as one site means it, or as all do.
type Meant = u32;

/// A name that claims a place: an address, or a host's name.
struct Claim {
    role: Role,
    named: Meant,
    place: Meant,
}

/// Sets of meant names under construction. Every set is known by its most telling name.
struct Proof<'a> {
    graph: &'a TopologyGraph,
    plans: &'a Plans,
    index: HashMap<(Option<SiteIndex>, NodeIndex), Meant>,
    node: Vec<NodeIndex>,
    parent: Vec<Meant>,
    ambiguous: Vec<NodeIndex>,
    /// Names by which others mean something else.
    apart: BTreeSet<NodeIndex>,
}

/// Joins what `statements` prove to be one. The order of the statements does not matter: names are
/// joined kind by kind, and what a kind joins is decided before any of it is joined.
pub(super) fn join(graph: &TopologyGraph, statements: &[Statement], plans: &Plans) -> Joined {
    let mut proof = Proof {
        graph,
        plans,
        index: HashMap::new(),
        node: Vec::new(),
        parent: Vec::new(),
        ambiguous: Vec::new(),
        apart: BTreeSet::new(),
    };
    let claims = proof.read(statements);
    for role in [Role::HostName, Role::Device, Role::Service] {
        let of_role: Vec<&Claim> = claims.iter().filter(|claim| claim.role == role).collect();
        if role != Role::Service {
            proof.join_same_place(&of_role);
        }
        proof.join_claims(role, &of_role);
    }
    proof.finish()
}

impl Proof<'_> {
    fn id(&self, node: NodeIndex) -> Option<&NodeId> {
        self.graph.nodes[node as usize].as_ref().map(|slot| &slot.id)
    }

    /// Joins names of one kind and what is said of one machine; the claims are left.
    fn read(&mut self, statements: &[Statement]) -> Vec<Claim> {
        let mut roles: HashMap<NodeIndex, Option<Role>> = HashMap::new();
        let mut claims = Vec::new();
        let mut machines: HashMap<(NodeIndex, &str), Meant> = HashMap::new();
        for statement in statements {
            let [a, b] = statement.ends;
            let mut known = |node: NodeIndex| {
                let role_of = || self.graph.nodes[node as usize].as_ref().and_then(|n| role(&n.id));
                *roles.entry(node).or_insert_with(role_of)
            };
            let (Some(x), Some(y)) = (known(a), known(b)) else { continue };
            let everywhere = Role::Address(AddressScope::Machine);
            if x == everywhere || y == everywhere {
                self.ambiguous.extend((x == everywhere).then_some(a));
                self.ambiguous.extend((y == everywhere).then_some(b));
                continue;
            }
            for (end, of_others) in [a, b].into_iter().zip(statement.of_others) {
                if of_others {
                    self.apart.insert(end);
                }
            }
            let (at_a, at_b) = (self.meant(a, x, statement.site), self.meant(b, y, statement.site));
            for (node, role, meant) in [(a, x, at_a), (b, y, at_b)] {
                if let (Role::HostName, Some(id)) = (role, &statement.host_id) {
                    let same = *machines.entry((node, id)).or_insert(meant);
                    self.join(same, meant);
                }
            }
            match (x, y) {
                _ if x == y || x.is_address() && y.is_address() => self.join(at_a, at_b),
                (Role::Address(_), role) => claims.push(Claim { role, named: at_b, place: at_a }),
                (role, Role::Address(_)) => claims.push(Claim { role, named: at_a, place: at_b }),
                // A service is found at the host whose name it goes with, and so is a device.
                (Role::HostName, role) => claims.push(Claim { role, named: at_b, place: at_a }),
                (role, Role::HostName) => claims.push(Claim { role, named: at_a, place: at_b }),
                _ => {}
            }
        }
        claims
    }

    fn meant(&mut self, node: NodeIndex, role: Role, site: SiteIndex) -> Meant {
        let scope =
            self.graph.nodes[node as usize].as_ref().map_or(AddressScope::Global, |n| n.scope);
        let site = (!role.is_global()).then(|| self.plans.class(scope, site));
        let next = next_index(self.node.len());
        let meant = *self.index.entry((site, node)).or_insert(next);
        if meant == next {
            self.node.push(node);
            self.parent.push(next);
        }
        meant
    }

    /// What several sites call alike is one where they mean one and the same place.
    fn join_same_place(&mut self, claims: &[&Claim]) {
        let mut first: HashMap<(Meant, NodeIndex), Meant> = HashMap::new();
        for claim in claims {
            let key = (self.root(claim.place), self.node[claim.named as usize]);
            first.entry(key).or_insert(claim.named);
        }
        for claim in claims {
            let key = (self.root(claim.place), self.node[claim.named as usize]);
            if let Some(&same) = first.get(&key) {
                self.join(same, claim.named);
            }
        }
    }

    fn join_claims(&mut self, role: Role, claims: &[&Claim]) {
        let roots = claims.iter().map(|claim| (self.root(claim.named), self.root(claim.place)));
        let mut pairs: Vec<(Meant, Meant)> = roots.collect();
        pairs.sort_unstable();
        pairs.dedup();
        let (mut on, mut of) = (HashMap::new(), HashMap::new());
        for (named, place) in &pairs {
            *of.entry(*named).or_insert(0_u32) += 1;
            *on.entry(*place).or_insert(0_u32) += 1;
        }
        for (named, place) in pairs {
            let (alone, whole) = (on[&place] == 1, of[&named] == 1);
            if alone && (whole || role != Role::Service) {
                self.join(named, place);
            } else {
                let several = if alone { named } else { place };
                self.ambiguous.push(self.node[several as usize]);
            }
        }
    }

    fn finish(mut self) -> Joined {
        let roots: Vec<Meant> = (0..next_index(self.node.len())).map(|m| self.root(m)).collect();
        let mut meanings: Vec<(NodeIndex, Meant)> = self.node.iter().copied().zip(roots).collect();
        meanings.sort_unstable();
        meanings.dedup();
        let mut sets: Vec<(Meant, NodeIndex)> = Vec::new();
        for of_node in meanings.chunk_by(|a, b| a.0 == b.0) {
            match of_node {
                [(node, root)] if !self.apart.contains(node) => sets.push((*root, *node)),
                _ => {
                    self.apart.insert(of_node[0].0);
                }
            }
        }
        self.ambiguous.extend(&self.apart);
        sets.sort_unstable();
        let mut ambiguous: Vec<NodeId> =
            self.ambiguous.iter().filter_map(|&node| self.id(node)).cloned().collect();
        ambiguous.sort_unstable();
        ambiguous.dedup();
        let mut joined = Joined { ambiguous: ambiguous.into(), ..Joined::default() };
        self.take_apart(&sets, &mut joined);
        let mut groups: Vec<Vec<(NodeId, NodeIndex)>> = Vec::new();
        for set in sets.chunk_by(|a, b| a.0 == b.0).filter(|set| set.len() > 1) {
            let named = set.iter().filter_map(|&(_, node)| Some((self.id(node)?.clone(), node)));
            let mut group: Vec<(NodeId, NodeIndex)> = named.collect();
            group.sort_unstable();
            let shown = (0..group.len()).min_by_key(|&i| class(&group[i].0)).unwrap_or(0);
            group[..=shown].rotate_right(1);
            groups.push(group);
        }
        if groups.is_empty() {
            return joined;
        }
        groups.sort_unstable();
        joined.group = vec![super::ALONE; self.graph.nodes.len()];
        for (number, group) in (0..).zip(groups) {
            for (id, node) in &group {
                joined.group[*node as usize] = number;
                joined.by_name.insert(id.clone(), number);
            }
            joined.members.push(group.iter().map(|(_, node)| *node).collect());
            joined.groups.push(group.into_iter().map(|(id, _)| id).collect());
        }
        joined
    }

    /// What each name that means several things means to whom. `sets` has the others, in order.
    fn take_apart(&mut self, sets: &[(Meant, NodeIndex)], joined: &mut Joined) {
        let mut things: BTreeMap<Meant, Vec<NodeIndex>> = BTreeMap::new();
        let mut by: Vec<(NodeIndex, SiteIndex, Meant)> = Vec::new();
        for (&(class, node), &meant) in &self.index {
            if let Some(class) = class.filter(|_| self.apart.contains(&node)) {
                by.push((node, class, meant));
            }
        }
        by.sort_unstable();
        for (node, class, meant) in by {
            let root = self.root(meant);
            let names = things.entry(root).or_default();
            if !names.contains(&node) {
                names.push(node);
            }
            // The number of its root for now.
            joined.apart.insert((node, class), root);
        }
        let mut number = HashMap::new();
        for (root, names) in things {
            let best = |nodes: &mut dyn Iterator<Item = NodeIndex>| {
                nodes.filter_map(|n| Some((class(self.id(n)?), self.id(n)?.clone(), n))).min()
            };
            let from = sets.partition_point(|(of, _)| *of < root);
            let certain = sets[from..].iter().take_while(|(of, _)| *of == root);
            let certain = best(&mut certain.map(|(_, node)| *node));
            let is_certain = certain.is_some();
            let Some((_, _, shown)) = certain.or_else(|| best(&mut names.iter().copied())) else {
                continue;
            };
            number.insert(root, next_index(joined.things.len()));
            joined.things.push(Thing { shown, is_certain });
        }
        joined.apart.retain(|_, root| match number.get(root) {
            Some(&thing) => {
                *root = thing;
                true
            }
            None => false,
        });
    }

    /// The set of a name. Every name that is passed is hung directly under it.
    fn root(&mut self, meant: Meant) -> Meant {
        let mut root = meant;
        while self.parent[root as usize] != root {
            root = self.parent[root as usize];
        }
        let mut at = meant;
        while self.parent[at as usize] != root {
            at = std::mem::replace(&mut self.parent[at as usize], root);
        }
        root
    }

    fn join(&mut self, a: Meant, b: Meant) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let rank = |meant: Meant| self.id(self.node[meant as usize]).map(|id| (class(id), id));
        let (shown, other) = if rank(a) <= rank(b) { (a, b) } else { (b, a) };
        self.parent[other as usize] = shown;
    }
}

/// What a thing is best called by: what it does before what it is, a name before an address, the rest by
/// id.
fn class(node: &NodeId) -> u8 {
    match role(node) {
        Some(Role::Service) => 0,
        Some(Role::Device) => 1,
        Some(Role::HostName) => 2,
        Some(Role::Address(_)) | None => 3,
    }
}
