//! Names that mean the same thing, joined at read: what is written stays as it is, so a join is undone
//! by not asking for it.

mod proof;

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use holm_model::{AddressScope, Millis, NodeId};

use crate::TopologyGraph;
use crate::plans::Classes;
use crate::records::SiteIndex;
use crate::snapshot::{Heard, said_at};
use crate::topology::NodeIndex;
use proof::Statement;

/// How many joinings are kept: now as all sites say, and what someone else looks at.
const KEPT: usize = 4;
/// The attribute of an alias that says which machine is meant (OpenTelemetry `host.id`).
const HOST_ID: &str = "host.id";

/// Which names mean the same thing at one moment.
///
/// Addresses that are the same are one, and so are two names of one kind. A host's name, a device or a
/// service is one with an address if no other of its kind claims that, and a service only if it claims
/// nothing else: two services behind one address are two things, one service on two hosts does not make
/// them one, and which of several a packet meant is not known.
///
/// The names of hosts and devices, and addresses that only one site can tell apart
/// ([`holm_model::AddressScope::Site`]), mean what the site means that says so. What two sites call alike is
/// one thing only if both say it of one address that is the same everywhere, or of one machine
/// (`host.id`); else the name is of several and is joined with nothing. Addresses that mean another
/// machine on every machine join nothing.
#[derive(Debug, Clone, Default)]
pub struct Folding {
    joined: Arc<Joined>,
    /// Names that could mean several things, in order: they are not one with what they claim.
    pub ambiguous: Arc<[NodeId]>,
}

impl PartialEq for Folding {
    fn eq(&self, other: &Self) -> bool {
        self.joined.groups == other.joined.groups && self.ambiguous == other.ambiguous
    }
}

impl Eq for Folding {}

impl Folding {
    /// The name by which `node` is shown: itself, unless it is folded.
    pub fn shown<'a>(&'a self, node: &'a NodeId) -> &'a NodeId {
        let group = self.joined.by_name.get(node).map(|&g| &self.joined.groups[g as usize]);
        group.map_or(node, |group| &group[0])
    }

    /// All names of what `node` is a name of: the one that is shown, then the others in order.
    pub fn names(&self, node: &NodeId) -> Vec<NodeId> {
        let group = self.joined.by_name.get(node).map(|&g| &self.joined.groups[g as usize]);
        group.map_or_else(|| vec![node.clone()], |group| group.to_vec())
    }

    /// Whether nothing is folded.
    pub fn is_empty(&self) -> bool {
        self.joined.groups.is_empty()
    }

    /// Every folded name with the one that it is shown by, in order of the latter.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &NodeId)> {
        let groups = self.joined.groups.iter();
        groups.flat_map(|group| group[1..].iter().map(|name| (name, &group[0])))
    }
}

/// Names that are one, by number and by name. The numbers are good while the aliases stay the same.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// By node: its group, [`ALONE`] if it has no other name. Nodes that came later are alone.
    group: Vec<u32>,
    /// By group: the one that is shown, then the others in order.
    members: Vec<Box<[NodeIndex]>>,
    /// The same by name, in order.
    groups: Vec<Box<[NodeId]>>,
    by_name: HashMap<NodeId, u32>,
    ambiguous: Arc<[NodeId]>,
    /// Names that mean several things, by who means what: a place in `things`.
    apart: HashMap<(NodeIndex, SiteIndex), u32>,
    things: Vec<Thing>,
}

/// What a name that means several things means to some.
#[derive(Debug)]
pub(crate) struct Thing {
    /// The name by which it is shown: one that means nothing else, if it has such a name.
    pub(crate) shown: NodeIndex,
    /// Whether that one means nothing else.
    pub(crate) is_certain: bool,
}

/// No group.
const ALONE: u32 = u32::MAX;

impl Joined {
    fn group(&self, node: NodeIndex) -> Option<&[NodeIndex]> {
        let group = *self.group.get(node as usize).filter(|group| **group != ALONE)?;
        Some(&self.members[group as usize])
    }

    /// What those of `class` mean by a name that means several things, if they say that it has other names.
    pub(crate) fn meant(&self, node: NodeIndex, class: SiteIndex) -> Option<(u32, &Thing)> {
        let thing = *self.apart.get(&(node, class))?;
        Some((thing, &self.things[thing as usize]))
    }

    /// The names that some mean otherwise than others.
    pub(crate) fn apart(&self) -> impl Iterator<Item = NodeIndex> {
        self.apart.keys().map(|(node, _)| *node)
    }

    /// What they mean: the name, who means it, and the thing with its number.
    pub(crate) fn things(&self) -> impl Iterator<Item = (NodeIndex, SiteIndex, u32, &Thing)> {
        let all = self.apart.iter();
        all.map(|((node, class), &thing)| (*node, *class, thing, &self.things[thing as usize]))
    }

    /// The node that `node` is shown by.
    pub(crate) fn shown(&self, node: NodeIndex) -> NodeIndex {
        self.group(node).map_or(node, |group| group[0])
    }

    /// The other names of what is shown as `node`; none if it has no other.
    pub(crate) fn others(&self, node: NodeIndex) -> &[NodeIndex] {
        self.group(node).filter(|group| group[0] == node).map_or(&[], |group| &group[1..])
    }

    /// What is shown as `node`, by all its names, the shown one first.
    pub(crate) fn all(&self, node: NodeIndex) -> impl Iterator<Item = NodeIndex> {
        std::iter::once(node).chain(self.others(node).iter().copied())
    }

    /// What has several names: all of each, the shown one first.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[NodeIndex]> {
        self.members.iter().map(|all| &**all)
    }
}

/// The joinings that were asked for last, the last one last.
#[derive(Debug, Default)]
pub(crate) struct KeptJoinings(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    generation: u64,
    heard: Heard,
    /// Between these two moments no alias begins or ends.
    from: Millis,
    to: Millis,
    joined: Arc<Joined>,
}

impl TopologyGraph {
    /// Which names mean the same thing at `at`, as any site says. Worked out once for as long as no alias
    /// changes.
    pub fn folding(&self, at: Millis) -> Folding {
        let joined = self.joined(at, &None);
        let ambiguous = Arc::clone(&joined.ambiguous);
        Folding { joined, ambiguous }
    }

    pub(crate) fn joined(&self, at: Millis, heard: &Heard) -> Arc<Joined> {
        let lock = || self.joinings.0.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.aliases.generation;
        {
            let mut kept = lock();
            kept.retain(|k| k.generation == generation);
            let fits = |k: &Kept| k.from <= at && at < k.to && k.heard == *heard;
            if let Some(i) = kept.iter().position(fits) {
                let found = kept.remove(i);
                let joined = Arc::clone(&found.joined);
                kept.push(found);
                return joined;
            }
        }
        let (joined, from, to) = self.join_names(at, heard);
        let joined = Arc::new(joined);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let heard = heard.clone();
        kept.push(Kept { generation, heard, from, to, joined: Arc::clone(&joined) });
        joined
    }

    /// The joining at `at`, and between which moments it is the same.
    fn join_names(&self, at: Millis, heard: &Heard) -> (Joined, Millis, Millis) {
        let (mut from, mut to) = (Millis(0), Millis(u64::MAX));
        let plans = self.plans(at);
        let mut bound = |bound: Millis| {
            if bound <= at {
                from = from.max(bound);
            } else {
                to = to.min(bound);
            }
        };
        self.plans_change_at().for_each(&mut bound);
        let mut statements = Vec::new();
        // By name: who ever speaks of it, and once it is asked for who does at `at`.
        let mut speaking: HashMap<NodeIndex, (Classes, Option<Classes>)> = HashMap::new();
        for alias in self.aliases.iter() {
            for (_, record) in alias.records.iter() {
                let bounds = record.intervals.as_slice().iter();
                let bounds = bounds.flat_map(|i| [Some(i.from), i.to]).flatten();
                // Which machine is meant may be written anew as well.
                let written = record.past.iter().flat_map(|past| {
                    past.as_slice().iter().map(|v| v.until).chain([past.known_from()])
                });
                bounds.chain(written).for_each(&mut bound);
            }
            for (site, record) in said_at(&alias.records, at, heard) {
                let host_id = record.attributes(at).get(HOST_ID).cloned();
                let of_others = alias.ends.map(|end| {
                    let slot = self.nodes[end as usize].as_ref();
                    let Some(slot) = slot.filter(|slot| slot.scope == AddressScope::Site) else {
                        return false;
                    };
                    let class = |by: SiteIndex| plans.class(slot.scope, by);
                    let own = class(site);
                    let ever = || (Classes::of(slot.mentions.sites().map(class)), None);
                    let (ever, then) = speaking.entry(end).or_insert_with(ever);
                    let speak = || self.classes_that_speak(slot, class, at, &mut bound);
                    ever.other_than(own) && then.get_or_insert_with(speak).other_than(own)
                });
                statements.push(Statement { site, ends: alias.ends, of_others, host_id });
            }
        }
        (proof::join(self, &statements, &plans), from, to)
    }
}
