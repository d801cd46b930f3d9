//! What one site means by a name that may mean something else elsewhere.

use std::collections::BTreeMap;

use holm_model::{AddressScope, EdgeId, EdgeKind, ElementId, Millis, NodeId, SiteId};

use crate::element::View;
use crate::plans::Plans;
use crate::records::SiteIndex;
use crate::snapshot::Heard;
use crate::topology::{NodeIndex, NodeSlot};
use crate::{AliasView, ElementView, Folding, NeighboursOf, TopologyGraph};

/// What a site means by a name, or everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeantBySite {
    /// All names of the thing, the one that it is shown by first; each with the sites whose words by it are
    /// of this thing, in order, or `None` where everybody's are.
    pub names: Vec<(NodeId, Option<Vec<SiteId>>)>,
    /// The sites that mean this by the name that was asked for, if others mean another thing by it.
    pub by: Option<Vec<SiteId>>,
}

impl MeantBySite {
    /// What everybody means by a name that is folded so.
    pub fn everybody(name: &NodeId, folding: &Folding) -> Self {
        Self { names: folding.names(name).into_iter().map(|name| (name, None)).collect(), by: None }
    }

    /// The same by one of its names alone.
    pub fn only(mut self, name: &NodeId) -> Self {
        self.names.retain(|(known, _)| known == name);
        self
    }
}

impl TopologyGraph {
    /// Whether any site speaks of a node, at any time.
    pub fn knows(&self, name: &NodeId) -> bool {
        self.node_named(name).is_some()
    }

    /// What `site` means by a name at `at`, or if it does not speak of it then, what it meant at other
    /// times. `None` if the name means nothing of the site's own.
    pub fn meant_by_site(&self, name: &NodeId, site: &SiteId, at: Millis) -> Option<MeantBySite> {
        let (node, slot) = self.node_named(name)?;
        let site = self.site_named(site)?;
        let (plans, joined) = (self.plans(at), self.joined(at, &None));
        let class = plans.class(slot.scope, site);
        let is_apart = joined.apart().any(|apart| apart == node);
        let own = || {
            let by = Some(self.sites_of_class(slot, class, &plans));
            MeantBySite { names: vec![(name.clone(), by.clone())], by }
        };
        let same = |by: SiteIndex| plans.class(slot.scope, by) == class;
        let speaks = self.speak_at(slot, at).chain(self.claimants(slot, at)).any(same);
        let several = is_apart || self.means_several(slot, at, &plans);
        if !several && slot.scope != AddressScope::Global && !speaks {
            return self.ever_speaks(slot, same).then(own);
        }
        // A name that means one thing may be that of a thing with others that mean several.
        let shown = joined.shown(node);
        let with_others = joined
            .things()
            .find(|(.., thing)| !several && thing.is_certain && joined.shown(thing.shown) == shown);
        let with_others = with_others.map(|(_, _, number, thing)| (number, thing));
        if !several && with_others.is_none() {
            return Some(MeantBySite::everybody(name, &self.folding(at)));
        }
        let Some((number, thing)) = joined.meant(node, class).or(with_others) else {
            return (speaks || self.ever_speaks(slot, same)).then(own);
        };
        let mut apart: BTreeMap<NodeIndex, Vec<SiteIndex>> = BTreeMap::new();
        for (node, class, of, _) in joined.things() {
            if of == number {
                apart.entry(node).or_default().push(class);
            }
        }
        let certain = joined.all(joined.shown(thing.shown)).filter(|_| thing.is_certain);
        let certain: Vec<NodeIndex> = certain.collect();
        let mut names: Vec<(NodeId, Option<Vec<SiteId>>)> =
            certain.iter().filter_map(|&n| Some((self.id_of(n)?.clone(), None))).collect();
        let shown = thing.shown;
        let mut others: Vec<_> = apart.iter().filter(|(n, _)| !certain.contains(n)).collect();
        others.sort_by_key(|(n, _)| (**n != shown, self.id_of(**n)));
        for (&node, classes) in others {
            let Some(slot) = self.nodes[node as usize].as_ref() else { continue };
            let by = classes.iter().flat_map(|&class| self.sites_of_class(slot, class, &plans));
            let mut by: Vec<SiteId> = by.collect();
            by.sort_unstable();
            by.dedup();
            names.push((slot.id.clone(), Some(by)));
        }
        let by = names.iter().find(|(known, _)| known == name).and_then(|(_, by)| by.clone());
        Some(MeantBySite { names, by })
    }

    fn sites_of_class(&self, slot: &NodeSlot, class: SiteIndex, plans: &Plans) -> Vec<SiteId> {
        let same =
            |site: &SiteIndex| self.says_anything(*site) && plans.class(slot.scope, *site) == class;
        let sites = (0..).zip(&self.sites).filter(|(index, _)| same(index));
        let mut sites: Vec<SiteId> = sites.map(|(_, site)| site.clone()).collect();
        sites.sort_unstable();
        sites
    }

    /// Whether a site of these spoke of a node at any time.
    fn ever_speaks(&self, slot: &NodeSlot, same: impl Fn(SiteIndex) -> bool) -> bool {
        let aliases = slot.aliases.iter().filter_map(|&alias| self.aliases.get(alias));
        let claims = aliases.flat_map(|alias| alias.records.iter().map(|(by, _)| by));
        let said = self.said_of(slot).flat_map(|records| records.iter().map(|(by, _)| by));
        said.chain(claims).any(same)
    }

    /// Whether a site speaks of it at `at`, by any of its names.
    pub fn is_meant_then(&self, meant: &MeantBySite, at: Millis) -> bool {
        self.heard_of(meant).into_iter().any(|(name, heard)| {
            self.node_named(&name).is_some_and(|(_, slot)| {
                let counts = |by: &SiteIndex| heard.as_ref().is_none_or(|h| h.contains(by));
                self.speak_at(slot, at).any(|by| counts(&by))
            })
        })
    }

    /// One element as [`TopologyGraph::element_folded`] tells of it, of a thing that a site means.
    pub fn element_meant(&self, meant: &MeantBySite) -> Option<ElementView> {
        self.node_by_names(&self.heard_of(meant)).filter(|view| !view.sites.is_empty())
    }

    /// The same of an edge between two such things.
    pub fn edge_meant(
        &self,
        from: &MeantBySite,
        kind: EdgeKind,
        to: &MeantBySite,
    ) -> Option<ElementView> {
        let (from, to) = (self.heard_of(from), self.heard_of(to));
        let whole = EdgeId { from: from.first()?.0.clone(), kind, to: to.first()?.0.clone() };
        let mut parts = Vec::new();
        for (name, heard) in &from {
            let Some((_, slot)) = self.node_named(name) else { continue };
            let edges = slot.out.iter().filter_map(|&edge| self.edges[edge as usize].as_ref());
            for edge in edges.filter(|edge| edge.kind == kind) {
                let Some(end) = self.id_of(edge.to) else { continue };
                let Some((_, also)) = to.iter().find(|(name, _)| name == end) else { continue };
                let id = EdgeId { from: name.clone(), kind, to: end.clone() };
                parts.push((id, edge, [heard, also]));
            }
        }
        // Of two values of one moment the first part's counts: in the order of ids, not of arrival.
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        let mut view = View::default();
        for (id, edge, heard) in parts {
            let both = |by: &SiteIndex| heard.into_iter().flatten().all(|h| h.contains(by));
            view.add(ElementId::Edge(id), &edge.records, both);
        }
        let view = self.answer(ElementId::Edge(whole), view);
        (!view.sites.is_empty()).then_some(view)
    }

    /// The first `limit` of the nodes next to such a thing, in order, and how many there are; `None` if it is
    /// not there at `at` by any of its names.
    pub fn neighbours_meant(
        &self,
        meant: &MeantBySite,
        at: Millis,
        folding: &Folding,
        limit: usize,
    ) -> Option<NeighboursOf> {
        self.neighbours_by_names(&self.heard_of(meant), at, folding, limit)
    }

    /// What is held at `at` about other names of such a thing, with the name of which it is said; in order.
    pub fn aliases_meant(&self, meant: &MeantBySite, at: Millis) -> Vec<(NodeId, AliasView)> {
        let said = self.heard_of(meant).into_iter().flat_map(|(name, heard)| {
            let views = self.aliases_said(&name, at, &heard);
            views.into_iter().map(move |view| (name.clone(), view))
        });
        said.collect()
    }

    fn heard_of(&self, meant: &MeantBySite) -> Vec<(NodeId, Heard)> {
        let heard = |by: &Option<Vec<SiteId>>| self.heard(by.as_deref());
        meant.names.iter().map(|(name, by)| (name.clone(), heard(by))).collect()
    }
}
