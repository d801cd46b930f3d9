//! What is to fail, as people name it.

use holm_model::{ElementId, NodeId, NodeKind, SiteId};

use crate::builder::as_index;
use crate::moment::Moment;
use crate::names::nearest;

/// Most names that an error suggests.
const SUGGESTIONS: usize = 5;

/// What is to fail or to be drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// One node or edge. A prefix, an AS, a device and a site stand for more than their node: see
    /// [`Moment::select`].
    Element(ElementId),
    /// What a name means at one site, if it means another thing elsewhere.
    Placed {
        /// The name.
        node: NodeId,
        /// Where.
        site: SiteId,
    },
    /// These elements, found by the caller (by an attribute, say), under a name.
    Listed {
        /// What they have in common.
        name: String,
        /// The elements, each as this site means it.
        elements: Vec<(ElementId, SiteId)>,
    },
}

/// The elements of a [`Selector`] by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Nodes in order.
    pub nodes: Vec<u32>,
    /// Edges in order.
    pub edges: Vec<u32>,
}

/// A target that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{target} is not in the topology at that time{}", hint(near))]
pub struct UnknownTarget {
    /// As it was named.
    pub target: String,
    /// The names that it may have meant.
    pub near: Vec<String>,
}

fn hint(near: &[String]) -> String {
    if near.is_empty() {
        return "; `holm topology` lists what is".into();
    }
    format!("; near it: {}", near.join(", "))
}

impl Moment {
    /// The elements that `selector` stands for. An edge stands for the link between the addresses of its ends, and
    /// most nodes stand for themselves; a name
    /// that means several things stands for all of them.
    /// - `site:S` is the site, its agent, what is known as a part of it (its nodes' addresses), and the
    ///   services that only S recorded: those that run there. Of several in one go, also what they alone recorded
    ///   together.
    /// - `prefix:P` is the prefix, and the hosts and hops whose address it holds, with the services that serve there; of
    ///   private addresses those that mean something to a site that speaks of the prefix.
    /// - `as:N` is the AS, and what it alone originates: by the longest prefix that holds an address
    ///   (`as:N|routing|prefix:…`).
    /// - `device:D` is the device and the interfaces (hops) that device edges attach to it.
    /// - Hosts and hops of the same address are one machine, and so is all that is tied together by several
    ///   addresses: they fail together.
    ///
    /// # Errors
    /// [`UnknownTarget`] with the nearest names if it is not there.
    pub fn select(&self, selector: &Selector) -> Result<Selection, UnknownTarget> {
        let mut selection = Selection::default();
        match selector {
            Selector::Element(id) => self.add(id, &mut selection)?,
            Selector::Placed { node, site } => {
                let unknown = || self.unknown(&format!("{node}@{site}"));
                self.add_whole(self.meant_by(node, site).ok_or_else(unknown)?, &mut selection);
            }
            Selector::Listed { name, elements } => {
                let mut found = Vec::new();
                for (id, site) in elements {
                    match id {
                        ElementId::Node(id) => found.extend(self.meant_by(id, site)),
                        ElementId::Edge(id) => selection.edges.extend(self.edge_meant_by(id, site)),
                        ElementId::Path(_) | ElementId::Alias(_) => {}
                    }
                }
                self.add_wholes(found, &mut selection);
                if selection == Selection::default() {
                    return Err(UnknownTarget { target: name.clone(), near: Vec::new() });
                }
            }
        }
        self.add_same_machine(&mut selection.nodes);
        selection.edges = selection.edges.iter().flat_map(|&edge| self.same_link(edge)).collect();
        for list in [&mut selection.nodes, &mut selection.edges] {
            list.sort_unstable();
            list.dedup();
        }
        Ok(selection)
    }

    fn add(&self, id: &ElementId, selection: &mut Selection) -> Result<(), UnknownTarget> {
        self.add_plain(id, selection)?;
        let ElementId::Node(node) = id else { return Ok(()) };
        self.find_all(node).iter().for_each(|&index| self.add_whole(index, selection));
        Ok(())
    }

    /// A node with all that fails with it, and nothing else.
    pub(crate) fn whole(&self, node: u32) -> Selection {
        let mut selection = Selection::default();
        self.add_whole(node, &mut selection);
        self.add_same_machine(&mut selection.nodes);
        selection.nodes.sort_unstable();
        selection.nodes.dedup();
        selection
    }

    /// A node with its parts, by whichever of its names it has some.
    fn add_whole(&self, node: u32, selection: &mut Selection) {
        self.add_wholes(vec![node], selection);
    }

    /// The same of many, in one go.
    fn add_wholes(&self, mut nodes: Vec<u32>, selection: &mut Selection) {
        nodes.sort_unstable();
        nodes.dedup();
        selection.nodes.extend(&nodes);
        let of_kind = |kind| nodes.iter().copied().filter(move |&node| self.is_any(node, kind));
        self.each_held(of_kind(NodeKind::Prefix), &mut |_, node| selection.nodes.push(node));
        if of_kind(NodeKind::As).next().is_some() {
            selection.nodes.extend(self.originated_by(&nodes));
        }
        self.add_sites(&self.sites_among(nodes.iter().copied()), selection);
        of_kind(NodeKind::Device).for_each(|node| self.add_attached(node, selection));
    }

    /// The interfaces of a device.
    pub(crate) fn add_attached(&self, device: u32, selection: &mut Selection) {
        let attached = self.device.around(device).map(|hop| hop.node);
        selection.nodes.extend(attached.filter(|&n| self.is_any(n, NodeKind::Hop)));
    }

    fn add_plain(&self, id: &ElementId, selection: &mut Selection) -> Result<(), UnknownTarget> {
        let before = (selection.nodes.len(), selection.edges.len());
        match id {
            ElementId::Node(node) => selection.nodes.extend(self.find_all(node)),
            ElementId::Edge(edge) => selection.edges.extend(self.find_edges(edge)),
            // What packets did, and what things are called, does not fail: nodes and edges do.
            ElementId::Path(_) | ElementId::Alias(_) => {}
        }
        if before == (selection.nodes.len(), selection.edges.len()) {
            return Err(self.unknown(&id.to_string()));
        }
        Ok(())
    }

    /// What belongs to sites that fail together.
    pub(crate) fn add_sites(&self, sites: &[SiteId], selection: &mut Selection) {
        for site in sites {
            let agent = NodeId::new(NodeKind::Agent, site.as_str()).ok();
            selection.nodes.extend(agent.and_then(|agent| self.find(&agent)));
            selection.nodes.extend(self.located.get(site).into_iter().flatten());
        }
        selection.nodes.extend(self.run_by.only(sites));
    }

    /// The sites among these nodes, by all of their names.
    pub(crate) fn sites_among(&self, nodes: impl Iterator<Item = u32>) -> Vec<SiteId> {
        let mut sites: Vec<u32> = nodes.filter(|&n| self.is_any(n, NodeKind::Site)).collect();
        if sites.is_empty() {
            return Vec::new();
        }
        sites.sort_unstable();
        sites.dedup();
        let also = self.also_called.iter().filter(|(_, node)| sites.binary_search(node).is_ok());
        let names = sites.iter().map(|&node| self.node(node)).chain(also.map(|(name, _)| name));
        let names = names.filter(|name| name.kind() == NodeKind::Site);
        names.filter_map(|name| SiteId::new(name.name()).ok()).collect()
    }

    /// The error for a target that is not there, with the names nearest to it.
    pub fn unknown(&self, target: &str) -> UnknownTarget {
        let names: Vec<String> = if target.contains('|') {
            (0..self.from.len()).map(|i| self.edge(as_index(i)).to_string()).collect()
        } else {
            let others = self.also_called.iter().map(|(name, _)| name);
            self.nodes.iter().chain(others).map(ToString::to_string).collect()
        };
        let near = nearest(target, names.iter().map(String::as_str), SUGGESTIONS);
        UnknownTarget {
            target: target.chars().take(600).collect(),
            near: near.into_iter().map(str::to_owned).collect(),
        }
    }
}
