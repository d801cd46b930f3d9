//! Which sites share one address plan, and which names mean another thing at another site.
//!
//! A private address (RFC 1918) is of the site that speaks of it. No probe proves that two sites mean
//! one thing by it: whatever has the address at the own site answers as well, and a tunnel between two
//! sites says nothing of the rest of their networks. So it is said by who knows: each site's node names
//! the address plan that its site belongs to, and sites that name the same one share it.

use hashbrown::HashMap;
use holm_model::{AddressScope, Millis, NodeId, NodeKind};

use crate::TopologyGraph;
use crate::records::{Record, Records, SiteIndex};
use crate::topology::{NodeIndex, NodeSlot, next_index};

/// What a site's node says of it: the plan of its private addresses, and the machine that it shares with
/// others that name the same (sites of a laboratory on one machine).
const ADDRESS_PLAN: &str = "holm.site.address_plan";
const MACHINE: &str = "holm.site.machine";

/// Who speaks of a node, and how many records of each do: its own, of edges that end there and of
/// paths over it. Mostly one site.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mentions {
    #[default]
    Nobody,
    One(SiteIndex, u32),
    Many(Box<Several>),
}

/// Behind one word: it is rare, and a node is to be small.
#[derive(Debug, Clone)]
pub(crate) struct Several(Vec<(SiteIndex, u32)>);

impl Mentions {
    pub(crate) fn sites(&self) -> impl Iterator<Item = SiteIndex> {
        let (one, many) = match self {
            Self::Nobody => (None, &[][..]),
            Self::One(site, _) => (Some(*site), &[][..]),
            Self::Many(many) => (None, many.0.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|(site, _)| *site))
    }

    pub(crate) fn is_of_several(&self) -> bool {
        matches!(self, Self::Many(_))
    }

    fn add(&mut self, site: SiteIndex) {
        match self {
            Self::Nobody => *self = Self::One(site, 1),
            Self::One(one, count) if *one == site => *count += 1,
            Self::One(one, count) => {
                *self = Self::Many(Box::new(Several(vec![(*one, *count), (site, 1)])))
            }
            Self::Many(many) => match many.0.iter_mut().find(|(one, _)| *one == site) {
                Some((_, count)) => *count += 1,
                None => many.0.push((site, 1)),
            },
        }
    }

    fn remove(&mut self, site: SiteIndex) {
        match self {
            Self::One(one, count) if *one == site => {
                *count -= 1;
                if *count == 0 {
                    *self = Self::Nobody;
                }
            }
            Self::Nobody | Self::One(..) => {}
            Self::Many(many) => {
                if let Some((_, count)) = many.0.iter_mut().find(|(one, _)| *one == site) {
                    *count -= 1;
                }
                many.0.retain(|(_, count)| *count > 0);
                if let [(site, count)] = many.0[..] {
                    *self = Self::One(site, count);
                }
            }
        }
    }
}

/// Sites by what they mean: as far as it takes to know whether any mean something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Classes {
    Nobody,
    One(SiteIndex),
    Several,
}

impl Classes {
    pub(crate) fn of(classes: impl Iterator<Item = SiteIndex>) -> Self {
        let mut all = Self::Nobody;
        for class in classes {
            all.add(class);
            if all == Self::Several {
                break;
            }
        }
        all
    }

    fn add(&mut self, class: SiteIndex) {
        *self = match *self {
            Self::Nobody => Self::One(class),
            Self::One(one) if one == class => Self::One(one),
            Self::One(_) | Self::Several => Self::Several,
        }
    }

    /// Whether there is another than `class`.
    pub(crate) fn other_than(self, class: SiteIndex) -> bool {
        match self {
            Self::Nobody => false,
            Self::One(one) => one != class,
            Self::Several => true,
        }
    }
}

/// By site: who stands for all that share its plan.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    /// Of private addresses.
    site: Vec<SiteIndex>,
    /// Of the addresses of one machine or one link.
    machine: Vec<SiteIndex>,
}

impl Plans {
    /// Who stands for all that mean the same as `site` by an address of that scope.
    pub(crate) fn class(&self, scope: AddressScope, site: SiteIndex) -> SiteIndex {
        match scope {
            AddressScope::Global => site,
            AddressScope::Site => self.site[site as usize],
            AddressScope::Machine => self.machine[site as usize],
        }
    }

    pub(crate) fn same(&self, scope: AddressScope, a: SiteIndex, b: SiteIndex) -> bool {
        self.class(scope, a) == self.class(scope, b)
    }
}

impl TopologyGraph {
    /// Who shares whose addresses, as the sites say of themselves at `at`.
    pub(crate) fn plans(&self, at: Millis) -> Plans {
        let of_key = |key: &str| -> Vec<SiteIndex> {
            let mut first: HashMap<Box<str>, SiteIndex> = HashMap::new();
            let sites = 0..next_index(self.sites.len());
            let class = sites.map(|site| {
                let told = |record: &&Record| begins(record).is_some_and(|begun| begun <= at);
                let record = self.record_of_itself(site).filter(told);
                let named = record.and_then(|record| record.attributes(at).get(key).cloned());
                named.map_or(site, |named| *first.entry(named).or_insert(site))
            });
            class.collect()
        };
        Plans { site: of_key(ADDRESS_PLAN), machine: of_key(MACHINE) }
    }

    /// Whether a site says at `at` which machine it is on.
    pub(crate) fn names_its_machine(&self, site: SiteIndex, at: Millis) -> bool {
        let record = self.record_of_itself(site);
        record.is_some_and(|r| {
            begins(r).is_some_and(|begun| begun <= at) && r.attributes(at).get(MACHINE).is_some()
        })
    }

    /// When what sites say of their plans may change.
    pub(crate) fn plans_change_at(&self) -> impl Iterator<Item = Millis> {
        let records =
            (0..next_index(self.sites.len())).filter_map(|site| self.record_of_itself(site));
        records.flat_map(|record| {
            let past = record.past.iter().flat_map(|past| past.as_slice());
            let of_plans = past.filter(|v| [ADDRESS_PLAN, MACHINE].contains(&&*v.key));
            let known_from = record.past.as_ref().map(|past| past.known_from());
            of_plans.map(|value| value.until).chain(known_from).chain(begins(record))
        })
    }

    /// What a site says of itself: of others' plans nobody's word counts.
    fn record_of_itself(&self, site: SiteIndex) -> Option<&Record> {
        let id = NodeId::new(NodeKind::Site, self.sites[site as usize].as_str()).ok()?;
        self.node_named(&id)?.1.records.get(site)
    }

    /// Whether a record about a node may say something of plans: then names are joined anew.
    pub(crate) fn note_plan(&mut self, node: NodeIndex, site: SiteIndex, written: &Written) {
        let slot = self.nodes[node as usize].as_ref();
        let record = slot.and_then(|slot| slot.records.get(site));
        if *written != Written::of(record) {
            self.aliases.generation += 1;
        }
    }

    /// Whether the sites that speak of a node at `at` mean several things by it.
    pub(crate) fn means_several(&self, node: &NodeSlot, at: Millis, plans: &Plans) -> bool {
        let several = |sites: &mut dyn Iterator<Item = SiteIndex>| {
            Classes::of(sites.map(|site| plans.class(node.scope, site))) == Classes::Several
        };
        // Who ever spoke of it is known at once, who speaks of it then is not.
        node.may_mean_several()
            && several(&mut node.mentions.sites())
            && several(&mut self.speak_at(node, at))
    }

    /// Addresses that mean one thing at one site and another elsewhere at `at`; in order. Pictures show
    /// them as one node; what is judged, and ways, keep them apart.
    pub fn names_apart(&self, at: Millis) -> Vec<NodeId> {
        let mut candidates =
            self.nodes.iter().flatten().filter(|node| node.may_mean_several()).peekable();
        if candidates.peek().is_none() {
            return Vec::new();
        }
        let plans = self.plans(at);
        let apart = candidates.filter(|node| self.means_several(node, at, &plans));
        let mut names: Vec<_> = apart.map(|node| node.id.clone()).collect();
        names.sort_unstable();
        names
    }

    /// The sites that speak of a node at `at`, one for each of their records.
    pub(crate) fn speak_at<'a>(
        &'a self,
        node: &'a NodeSlot,
        at: Millis,
    ) -> impl Iterator<Item = SiteIndex> + 'a {
        let said = self.said_of(node).flat_map(|records| records.iter());
        said.filter(move |(_, record)| record.intervals.contains(at)).map(|(site, _)| site)
    }

    /// What speaks of a node: its own records, those of edges that end there and of paths over it.
    pub(crate) fn said_of<'a>(
        &'a self,
        node: &'a NodeSlot,
    ) -> impl Iterator<Item = &'a Records> + 'a {
        let edges = node.out.iter().chain(&node.into);
        let edges = edges.filter_map(|&edge| self.edges[edge as usize].as_ref());
        let paths = node.paths.iter().filter_map(|&path| self.paths.get(path));
        std::iter::once(&node.records)
            .chain(edges.map(|edge| &edge.records))
            .chain(paths.map(|path| &path.records))
    }

    /// Which classes of sites speak of a node at `at`; `bounds` gets every moment at which a site begins or
    /// ends to.
    pub(crate) fn classes_that_speak(
        &self,
        node: &NodeSlot,
        class: impl Fn(SiteIndex) -> SiteIndex,
        at: Millis,
        mut bounds: impl FnMut(Millis),
    ) -> Classes {
        let mut then = Classes::Nobody;
        for (site, record) in self.said_of(node).flat_map(|records| records.iter()) {
            if record.intervals.contains(at) {
                then.add(class(site));
            }
            for interval in record.intervals.as_slice() {
                bounds(interval.from);
                interval.to.into_iter().for_each(&mut bounds);
            }
        }
        then
    }

    /// That `site` speaks of a node at other times than before, by one record.
    pub(crate) fn mention(&mut self, node: NodeIndex, site: SiteIndex, change: Change) {
        let Some(slot) = &mut self.nodes[node as usize] else { return };
        if slot.scope == AddressScope::Global || change == Change::None {
            return;
        }
        match change {
            Change::Begun => slot.mentions.add(site),
            Change::Ended => slot.mentions.remove(site),
            Change::None | Change::Times => {}
        }
        // Names are joined by what others mean by them, then: anew, unless one site alone speaks of it.
        let others = {
            let aliases = slot.aliases.iter().filter_map(|&alias| self.aliases.get(alias));
            let claims = aliases.flat_map(|alias| alias.records.iter().map(|(by, _)| by));
            slot.mentions.sites().chain(claims).any(|by| by != site)
        };
        if !slot.aliases.is_empty() && others {
            self.aliases.generation += 1;
        }
    }
}

fn begins(record: &Record) -> Option<Millis> {
    record.intervals.as_slice().first().map(|interval| interval.from)
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// When it holds is as before.
    None,
    Begun,
    Times,
    Ended,
}

impl Change {
    pub(crate) fn of(before: Option<&Record>, after: Option<&Record>) -> Self {
        match (before, after) {
            (None, None) => Self::None,
            (None, Some(_)) => Self::Begun,
            (Some(_), None) => Self::Ended,
            (Some(before), Some(after)) if before.intervals == after.intervals => Self::None,
            (Some(_), Some(_)) => Self::Times,
        }
    }
}

/// What a record about a site's own node says of its plans, at any time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    now: [Option<Box<str>>; 2],
    past: Vec<(Millis, Option<Box<str>>)>,
    known_from: Option<Millis>,
    begins: Option<Millis>,
}

impl Written {
    pub(crate) fn of(record: Option<&Record>) -> Self {
        let Some(record) = record else { return Self::default() };
        let past = record.past.iter().flat_map(|past| past.as_slice());
        let of_plans = past.filter(|v| [ADDRESS_PLAN, MACHINE].contains(&&*v.key));
        Self {
            now: [ADDRESS_PLAN, MACHINE].map(|key| record.attributes.get(key).cloned()),
            past: of_plans.map(|value| (value.until, value.value.clone())).collect(),
            known_from: record.past.as_ref().map(|past| past.known_from()),
            begins: begins(record),
        }
    }
}
