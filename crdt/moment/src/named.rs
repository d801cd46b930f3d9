//! How answers name nodes.

use std::collections::BTreeSet;
use std::fmt;

use holm_model::{EdgeKind, NodeId, SiteId};

use crate::moment::Moment;
use crate::selector::Selection;

/// A node as an answer names it: by its id, and where that means several things, as which site means it.
/// It is written `id` or `id@site`, and found again by either.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Named {
    /// The id by which it is shown.
    pub id: NodeId,
    /// The first site that means this by it, if another means something else.
    pub at: Option<SiteId>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.at.iter().try_for_each(|site| write!(f, "@{site}"))
    }
}

/// What fails or is drained, as an answer names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedElement {
    /// A node.
    Node(Named),
    /// An edge: `from|kind|to`.
    Edge(Named, EdgeKind, Named),
}

impl fmt::Display for NamedElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Edge(from, kind, to) => write!(f, "{from}|{kind}|{to}"),
        }
    }
}

impl Moment {
    /// A node of this moment as answers name it.
    pub fn named(&self, node: u32) -> Named {
        Named { id: self.node(node).clone(), at: self.place_of.get(&node).cloned() }
    }

    /// The elements of a selection as answers name them, in order.
    pub fn named_elements(&self, selection: &Selection) -> Vec<NamedElement> {
        let nodes = selection.nodes.iter().map(|&node| NamedElement::Node(self.named(node)));
        let edges = selection.edges.iter().map(|&edge| {
            let [from, to] = [&self.from, &self.to].map(|ends| self.named(ends[edge as usize]));
            NamedElement::Edge(from, self.kind[edge as usize], to)
        });
        nodes.chain(edges).collect()
    }

    /// What the node of an answer of this moment is called in another: by any of its names, as the sites mean it that
    /// mean it here. As it is, if it is nothing there or no one thing.
    pub fn called_in(&self, named: &Named, other: &Self) -> Named {
        let node = match &named.at {
            Some(site) => self.meant_by(&named.id, site),
            None => self.find(&named.id),
        };
        let Some(node) = node else { return named.clone() };
        let mut there: BTreeSet<u32> = BTreeSet::new();
        for name in self.names(node) {
            let by_sites =
                other.called_at.contains_key(&name) || !other.of_classes(&name).is_empty();
            if by_sites {
                let mean =
                    self.classes.keys().filter(|site| self.meant_by(&name, site) == Some(node));
                there.extend(mean.filter_map(|site| other.meant_by(&name, site)));
            } else {
                there.extend(other.find(&name));
            }
        }
        match (there.pop_first(), there.pop_first()) {
            (Some(only), None) => other.named(only),
            _ => named.clone(),
        }
    }

    /// By what a picture shows a node that an answer names with a site: all its names.
    pub fn drawn_as(&self, named: &Named) -> Vec<NodeId> {
        let site = named.at.as_ref();
        let node = site.and_then(|site| self.meant_by(&named.id, site));
        node.map_or_else(Vec::new, |node| self.names(node))
    }
}
