//! Aliases as the sites recorded them: two names of one thing, each with when and by what evidence.

use hashbrown::HashMap;
use holm_model::{AliasId, Attributes, Millis, NodeId, SiteId};

use crate::TopologyGraph;
use crate::records::{Record, Records, SiteIndex};
use crate::snapshot::{Heard, said_at};
use crate::topology::{NodeIndex, next_index};

pub(crate) type AliasIndex = u32;

/// An alias and where it stands in the lists of its two names.
#[derive(Debug)]
pub(crate) struct AliasSlot {
    pub(crate) id: AliasId,
    pub(crate) ends: [NodeIndex; 2],
    pub(crate) records: Records,
    positions: [u32; 2],
}

/// All aliases that any site recorded.
#[derive(Debug, Default)]
pub(crate) struct Aliases {
    slots: Vec<Option<AliasSlot>>,
    free: Vec<AliasIndex>,
    index: HashMap<[NodeIndex; 2], AliasIndex>,
    /// Raised by every change.
    pub(crate) generation: u64,
}

impl Aliases {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &AliasSlot> {
        self.slots.iter().flatten()
    }

    pub(crate) fn get(&self, index: AliasIndex) -> Option<&AliasSlot> {
        self.slots[index as usize].as_ref()
    }

    /// The alias of two names, the lesser id first.
    pub(crate) fn between(&self, a: NodeIndex, b: NodeIndex) -> Option<&AliasSlot> {
        self.get(*self.index.get(&[a, b])?)
    }
}

/// That two names mean the same thing, as it is held at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasView {
    /// The two names.
    pub id: AliasId,
    /// The sites that say so, in order.
    pub sites: Vec<SiteId>,
    /// By what evidence: `holm.alias.evidence` and what belongs to it.
    pub attributes: Attributes,
    /// Whether the two are one when names are folded.
    pub folded: bool,
}

impl TopologyGraph {
    /// What is held at `at` about other names of `node`, in order.
    pub fn aliases_of(&self, node: &NodeId, at: Millis) -> Vec<AliasView> {
        self.aliases_said(node, at, &None)
    }

    /// The same as far as those say so that are heard.
    pub(crate) fn aliases_said(&self, node: &NodeId, at: Millis, heard: &Heard) -> Vec<AliasView> {
        let Some((_, slot)) = self.node_named(node) else { return Vec::new() };
        let joined = self.joined(at, &None);
        let about = slot.aliases.iter().filter_map(|&alias| self.aliases.get(alias));
        let mut views: Vec<AliasView> = about
            .filter_map(|alias| {
                let mut said = said_at(&alias.records, at, heard).peekable();
                said.peek()?;
                let mut sites: Vec<SiteId> = said_at(&alias.records, at, heard)
                    .map(|(site, _)| self.sites[site as usize].clone())
                    .collect();
                sites.sort_unstable();
                let [a, b] = alias.ends;
                let folded = joined.shown(a) == joined.shown(b);
                let (attributes, _) = self.merge_attributes(said, at);
                Some(AliasView { id: alias.id.clone(), sites, attributes, folded })
            })
            .collect();
        views.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        views
    }

    pub(crate) fn set_alias(&mut self, id: &AliasId, site: SiteIndex, record: Option<Record>) {
        let ends = id.ends().map(|end| self.intern_node(end));
        let index = match self.aliases.index.get(&ends) {
            Some(&index) => index,
            None => self.name(id, ends),
        };
        self.aliases.generation += 1;
        let Some(alias) = &mut self.aliases.slots[index as usize] else { return };
        alias.records.set(site, record);
        if alias.records.is_empty() {
            self.unname(index);
            ends.iter().for_each(|&end| self.forget_if_unused(end));
        }
    }

    fn name(&mut self, id: &AliasId, ends: [NodeIndex; 2]) -> AliasIndex {
        let index = match self.aliases.free.pop() {
            Some(index) => index,
            None => {
                self.aliases.slots.push(None);
                next_index(self.aliases.slots.len() - 1)
            }
        };
        let positions = ends.map(|end| {
            self.nodes[end as usize].as_mut().map_or(0, |node| {
                node.aliases.push(index);
                next_index(node.aliases.len() - 1)
            })
        });
        let slot = AliasSlot { id: id.clone(), ends, records: Records::default(), positions };
        self.aliases.slots[index as usize] = Some(slot);
        self.aliases.index.insert(ends, index);
        index
    }

    /// Takes an alias out of the lists of its names in constant time: the last one moves up.
    fn unname(&mut self, index: AliasIndex) {
        let Some(alias) = self.aliases.slots[index as usize].take() else { return };
        self.aliases.free.push(index);
        self.aliases.index.remove(&alias.ends);
        for (end, position) in alias.ends.into_iter().zip(alias.positions) {
            let Some(node) = &mut self.nodes[end as usize] else { continue };
            node.aliases.swap_remove(position as usize);
            let moved = node.aliases.get(position as usize).copied();
            if let Some(moved) = moved.and_then(|a| self.aliases.slots[a as usize].as_mut()) {
                let side = usize::from(moved.ends[1] == end);
                moved.positions[side] = position;
            }
        }
    }
}
