//! Reports in groups, each an incident, with the reason of every join.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::NodeId;

use crate::links::{Item, Sets, link_all, link_faults};
use crate::{Action, Anchor, Book, Deed, FaultId, RecordId, Report};

/// Why two reports are of one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Both are of one fault.
    Fault,
    /// Both are about what goes by this name.
    Same(Anchor),
    /// One is about a prefix, the other about what lies in it.
    Within {
        /// What lies in it.
        inner: Anchor,
        /// The prefix.
        outer: Anchor,
    },
    /// They began at about the same time, one edge apart.
    Near {
        /// What the one is about.
        target: NodeId,
        /// What the other is about.
        neighbour: Anchor,
    },
    /// Someone joined them.
    Hand {
        /// Who.
        by: Box<str>,
    },
}

/// One join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The later report.
    pub report: RecordId,
    /// The one that it is joined with.
    pub with: RecordId,
    /// Why.
    pub why: Reason,
}

/// Reports that are one incident, by their places among all.
#[derive(Default)]
struct Members {
    /// In order of their beginning.
    items: Vec<u32>,
    joins: Vec<(u32, u32, Reason)>,
    /// In order of time.
    actions: Vec<u32>,
}

/// The same with all that is in it.
pub(crate) struct Group {
    /// All its faults, that which it goes by first, the others in order of their beginning.
    pub(crate) faults: Vec<FaultId>,
    /// In order of their beginning.
    pub(crate) reports: Vec<(RecordId, Arc<Report>)>,
    pub(crate) joins: Vec<Join>,
    /// In order of time.
    pub(crate) actions: Vec<(RecordId, Arc<Action>)>,
}

/// All groups, in order of their first report, and which fault is of which group.
pub(crate) struct Groups<'a> {
    items: Vec<Item<'a>>,
    actions: Vec<(&'a RecordId, &'a Arc<Action>)>,
    members: Vec<Members>,
    pub(crate) by_fault: HashMap<FaultId, u32>,
}

/// What people joined and split, as it stands after all they did.
#[derive(Default)]
struct ByHand<'a> {
    joins: Vec<(FaultId, FaultId, &'a Action)>,
    cuts: Vec<(BTreeSet<FaultId>, FaultId)>,
}

impl<'a> ByHand<'a> {
    /// Later actions undo earlier ones that say otherwise.
    fn of(actions: &[(&RecordId, &'a Arc<Action>)]) -> Self {
        let mut by_hand = Self::default();
        for (_, action) in actions {
            match &action.deed {
                Deed::Join(with) => {
                    let parts =
                        |set: &BTreeSet<FaultId>| set.contains(&action.on) != set.contains(with);
                    by_hand.cuts.retain(|(set, _)| !parts(set));
                    by_hand.joins.push((action.on, *with, action));
                }
                Deed::Split(faults) => {
                    let set: BTreeSet<FaultId> =
                        faults.iter().copied().filter(|fault| *fault != action.on).collect();
                    let parts = |a: &FaultId, b: &FaultId| set.contains(a) != set.contains(b);
                    by_hand.joins.retain(|(a, b, _)| !parts(a, b));
                    by_hand.cuts.push((set, action.on));
                }
                _ => {}
            }
        }
        by_hand
    }
}

impl<'a> Groups<'a> {
    pub(crate) fn of(book: &'a Book) -> Self {
        let mut items: Vec<Item<'_>> = book
            .reports
            .iter()
            .map(|(id, (report, fault))| Item {
                id,
                report,
                fault: *fault,
                since: report.since(),
                end: report.end(),
            })
            .collect();
        // Stable: those that began at once stay in order of their ids.
        items.sort_by_key(|item| item.since);
        let mut actions: Vec<(&RecordId, &Arc<Action>)> = book.actions.iter().collect();
        actions.sort_by_key(|(id, action)| (action.at, action.id, *id));

        let mut sets = Sets::of(items.len());
        let first = link_faults(&items, &mut sets);
        let by_hand = ByHand::of(&actions);
        for (cut, (faults, on)) in (0..).zip(&by_hand.cuts) {
            let place = |fault: &FaultId| first.get(fault).copied();
            for item in faults.iter().filter_map(place) {
                sets.cut(item, cut, true);
            }
            if let Some(item) = place(on) {
                sets.cut(item, cut, false);
            }
        }
        for (a, b, action) in &by_hand.joins {
            if let (Some(a), Some(b)) = (first.get(a), first.get(b)) {
                sets.link(*a, *b, || Reason::Hand { by: action.by.clone() });
            }
        }
        link_all(&items, &mut sets);
        Self::gather(items, sets, actions)
    }

    fn gather(
        items: Vec<Item<'a>>,
        mut sets: Sets,
        actions: Vec<(&'a RecordId, &'a Arc<Action>)>,
    ) -> Self {
        const NONE: u32 = u32::MAX;
        let mut members: Vec<Members> = Vec::new();
        let mut of_root: Vec<u32> = vec![NONE; items.len()];
        let mut by_fault: HashMap<FaultId, u32> = HashMap::with_capacity(items.len());
        for (number, item) in (0..).zip(&items) {
            let group = &mut of_root[sets.root(number) as usize];
            if *group == NONE {
                *group = members.len() as u32;
                members.push(Members::default());
            }
            members[*group as usize].items.push(number);
            by_fault.insert(item.fault, *group);
        }
        for join in std::mem::take(&mut sets.joins) {
            let group = of_root[sets.root(join.0) as usize];
            members[group as usize].joins.push(join);
        }
        for (number, (_, action)) in (0..).zip(&actions) {
            let of = |fault: &FaultId| by_fault.get(fault).copied();
            let mut concerned: Vec<u32> = of(&action.on).into_iter().collect();
            // What was split or joined is told on both sides.
            match &action.deed {
                Deed::Join(with) => concerned.extend(of(with)),
                Deed::Split(faults) => concerned.extend(faults.iter().filter_map(of)),
                _ => {}
            }
            concerned.sort_unstable();
            concerned.dedup();
            for group in concerned {
                members[group as usize].actions.push(number);
            }
        }
        Self { items, actions, members, by_fault }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// What a group goes by: of the faults that began first the least.
    pub(crate) fn id(&self, group: usize) -> FaultId {
        let of_group = || self.members[group].items.iter().map(|item| &self.items[*item as usize]);
        let start = of_group().next().map(|item| item.since);
        let first = of_group().take_while(|item| Some(item.since) == start).map(|item| item.fault);
        first.min().unwrap_or_else(|| FaultId::from_number(0))
    }

    /// Whether a group is made of these very reports and actions.
    pub(crate) fn is_made_of(
        &self,
        group: usize,
        reports: &[(RecordId, Arc<Report>)],
        actions: &[(RecordId, Arc<Action>)],
    ) -> bool {
        let Members { items, actions: acted, .. } = &self.members[group];
        items.len() == reports.len()
            && acted.len() == actions.len()
            && items
                .iter()
                .zip(reports)
                .all(|(item, (_, known))| Arc::ptr_eq(self.items[*item as usize].report, known))
            && acted
                .iter()
                .zip(actions)
                .all(|(action, (_, known))| Arc::ptr_eq(self.actions[*action as usize].1, known))
    }

    /// A group with all that is in it.
    pub(crate) fn group(&mut self, group: usize) -> Group {
        let id = self.id(group);
        let Members { items: members, joins, actions } = std::mem::take(&mut self.members[group]);
        let items = &self.items;
        let of_group = || members.iter().map(|item| &items[*item as usize]);
        let mut faults = vec![id];
        let mut seen: hashbrown::HashSet<FaultId> = [id].into_iter().collect();
        faults.extend(of_group().map(|item| item.fault).filter(|fault| seen.insert(*fault)));
        let id_of = |item: u32| items[item as usize].id.clone();
        let told = |(report, with, why)| Join { report: id_of(report), with: id_of(with), why };
        let action = |action: u32| {
            let (id, action) = self.actions[action as usize];
            (id.clone(), Arc::clone(action))
        };
        Group {
            faults,
            reports: of_group().map(|item| (item.id.clone(), Arc::clone(item.report))).collect(),
            joins: joins.into_iter().map(told).collect(),
            actions: actions.into_iter().map(action).collect(),
        }
    }
}
