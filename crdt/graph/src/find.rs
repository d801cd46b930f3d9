//! Elements by what they are called, by what is said of them, and by address.

use std::net::IpAddr;
use std::sync::Arc;

use holm_model::{AttributeValue, EdgeId, ElementId, Millis, NodeId, NodeKind, Prefix, SiteId};

use crate::TopologyGraph;
use crate::records::{Records, SiteIndex};
use crate::snapshot::said_at;
use crate::topology::{NodeIndex, NodeSlot};

/// The first elements of a list, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElementsOf {
    /// The first.
    pub items: Vec<ElementId>,
    /// All.
    pub total: u64,
}

impl ElementsOf {
    pub(crate) fn add(&mut self, id: ElementId) {
        self.items.push(id);
        self.total += 1;
    }

    pub(crate) fn keep(&mut self, limit: usize) {
        self.items.sort_unstable();
        self.items.truncate(limit);
    }
}

/// How well something fits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// The whole id or name.
    Whole,
    /// The prefix that holds the address; longer ones first.
    Prefix { shorter_by: u8 },
    /// The name begins so.
    Start,
    /// It is in the name.
    Part,
    /// It is in the value of an attribute.
    Attribute,
}

/// What one end of an edge is to be.
struct EndWanted {
    /// In lower case; a part of the id.
    text: String,
    /// Or an address, of which kind of node, if of one.
    address: Option<(Option<NodeKind>, IpAddr)>,
    /// As this site says.
    site: Option<SiteIndex>,
}

impl EndWanted {
    fn of(text: &str, graph: &TopologyGraph) -> Self {
        let of_site = text.rsplit_once('@').and_then(|(name, site)| {
            let index = graph.sites.iter().position(|s| s.as_str().to_lowercase() == site)?;
            Some((name, SiteIndex::try_from(index).ok()?))
        });
        let (text, site) = of_site.map_or((text, None), |(name, site)| (name, Some(site)));
        let address = |text: &str| text.parse().ok().map(|a: IpAddr| a.to_canonical());
        let of_kind = || {
            let (kind, name) = text.split_once(':')?;
            Some((Some(NodeKind::parse(kind)?), address(name)?))
        };
        let address = address(text).map(|address| (None, address)).or_else(of_kind);
        Self { text: text.into(), address, site }
    }

    fn fits(&self, id: &NodeId) -> bool {
        let is_it = |(kind, address): (Option<NodeKind>, IpAddr)| {
            kind.is_none_or(|kind| kind == id.kind())
                && id.name().parse().is_ok_and(|name: IpAddr| name.to_canonical() == address)
        };
        id.to_string().to_lowercase().contains(&self.text) || self.address.is_some_and(is_it)
    }

    fn is_of(&self, site: SiteIndex) -> bool {
        self.site.is_none_or(|wanted| wanted == site)
    }
}

/// Something that was found, and by which of its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundNode {
    /// The id by which it is shown.
    pub id: NodeId,
    /// The name that fits; the same as `id`, or another that is folded into it.
    pub matched: NodeId,
    /// What is said of it that fits, if its names do not: the key and the value.
    pub attribute: Option<(Box<str>, Box<str>)>,
}

/// The first nodes that fit a text, and how many do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundNodes {
    /// The first, best first.
    pub items: Vec<FoundNode>,
    /// All.
    pub total: u64,
}

impl TopologyGraph {
    /// The nodes that are there at `at` and fit `text`, as [`TopologyGraph::search`] finds them where
    /// every name stands for itself.
    pub fn find(&self, text: &str, at: Millis, limit: usize) -> ElementsOf {
        let found = self.search(text, at, limit, false);
        let items = found.items.into_iter().map(|found| ElementId::Node(found.id));
        ElementsOf { items: items.collect(), total: found.total }
    }

    /// The nodes that are there at `at` and fit `text`: by id, name, or the value of an attribute,
    /// whatever the case; for an address also the prefixes that hold it, longest first. With `fold` by
    /// any of the names that are folded into one node, by the one that fits best. Best first, then by
    /// id; at most `limit`. Nothing fits an empty text.
    pub fn search(&self, text: &str, at: Millis, limit: usize, fold: bool) -> FoundNodes {
        let wanted = text.trim().to_lowercase();
        if wanted.is_empty() {
            return FoundNodes::default();
        }
        let address = wanted.parse().ok().map(|address: IpAddr| address.to_canonical());
        let joined = if fold { self.joined(at, &None) } else { Arc::default() };
        let mut found: Vec<(Fit, FoundNode)> = Vec::new();
        for (index, node) in (0..).zip(&self.nodes) {
            let Some(node) = node.as_ref().filter(|_| joined.shown(index) == index) else {
                continue;
            };
            let names = || joined.all(index).filter_map(|n| self.nodes[n as usize].as_ref());
            let fits = |slot: &NodeSlot| {
                let fit = fit_of(slot, &wanted, address);
                let attribute = match fit {
                    Some(_) => None,
                    None => Some(attribute_that_fits(slot, &wanted, at)?),
                };
                let (id, matched) = (node.id.clone(), slot.id.clone());
                Some((fit.unwrap_or(Fit::Attribute), FoundNode { id, matched, attribute }))
            };
            let best = names().filter_map(fits).min();
            if let Some(best) = best
                && names().any(|slot| self.is_there(slot, at))
            {
                found.push(best);
            }
        }
        found.sort_unstable();
        let total = found.len() as u64;
        FoundNodes { items: found.into_iter().take(limit).map(|(_, node)| node).collect(), total }
    }

    /// The edges that are there at `at` and fit `from|kind|to`, each part of the three a part of the id or left
    /// empty, whatever the case; an address fits however it is written, and an end with `@site` what that site says.
    /// In order, at most `limit`. With `fold` by any of the names of its ends, and by those that they are shown by.
    pub fn search_edges(&self, text: &str, at: Millis, limit: usize, fold: bool) -> ElementsOf {
        let wanted = text.trim().to_lowercase();
        let mut parts = wanted.splitn(3, '|');
        let [from, kind, to] = [(); 3].map(|()| parts.next().unwrap_or_default().trim());
        let mut found = ElementsOf::default();
        if [from, kind, to].iter().all(|part| part.is_empty()) {
            return found;
        }
        let [from, to] = [from, to].map(|end| EndWanted::of(end, self));
        let joined = if fold { self.joined(at, &None) } else { Arc::default() };
        // By node: whether any name of what it is a name of fits the one end, and the other.
        let mut fits: Vec<(bool, bool)> = vec![(false, false); self.nodes.len()];
        for (index, slot) in (0..).zip(&self.nodes) {
            let Some(slot) = slot else { continue };
            let shown: NodeIndex = joined.shown(index);
            fits[shown as usize].0 |= from.fits(&slot.id);
            fits[shown as usize].1 |= to.fits(&slot.id);
        }
        for edge in self.edges.iter().flatten() {
            let (start, end) = (joined.shown(edge.from), joined.shown(edge.to));
            let of_ends = fits[start as usize].0 && fits[end as usize].1;
            let fits = of_ends && edge.kind.as_str().contains(kind);
            // Between two names of one thing there is none.
            let is_within = start == end && edge.from != edge.to;
            let is_meant = |site: SiteIndex| [&from, &to].iter().all(|e| e.is_of(site));
            let mut said = said_at(&edge.records, at, &None);
            if fits && !is_within && said.any(|(site, _)| is_meant(site)) {
                let ends = self.id_of(start).cloned().zip(self.id_of(end).cloned());
                let id = ends.map(|(from, to)| EdgeId { from, kind: edge.kind, to });
                found.items.extend(id.map(ElementId::Edge));
            }
        }
        found.items.sort_unstable();
        found.items.dedup();
        found.total = found.items.len() as u64;
        found.keep(limit);
        found
    }

    /// Whether a site recorded the node, an edge that ends in it or a path over it, at `at`.
    fn is_there(&self, node: &NodeSlot, at: Millis) -> bool {
        let said = |records: &Records| said_at(records, at, &None).next().is_some();
        let edges = node.out.iter().chain(&node.into);
        let paths = node.paths.iter().filter_map(|&path| self.paths.get(path));
        said(&node.records)
            || edges.filter_map(|&e| self.edges[e as usize].as_ref()).any(|e| said(&e.records))
            || paths.into_iter().any(|path| said(&path.records))
    }
}

/// The first thing that is said of a node at `at` and that fits.
fn attribute_that_fits(node: &NodeSlot, wanted: &str, at: Millis) -> Option<(Box<str>, Box<str>)> {
    let said = said_at(&node.records, at, &None);
    let fitting = said.filter_map(|(_, record)| {
        let attributes = record.attributes(at);
        let mut all = attributes.iter();
        let first = all.find(|(_, value)| value.to_lowercase().contains(wanted))?;
        Some((first.0.clone(), first.1.clone()))
    });
    fitting.min()
}

/// How well a node's own name fits.
fn fit_of(node: &NodeSlot, wanted: &str, address: Option<IpAddr>) -> Option<Fit> {
    let name = node.id.name().to_lowercase();
    let prefix = address.filter(|_| node.id.kind() == NodeKind::Prefix);
    let same = |address: IpAddr| name.parse::<IpAddr>() == Ok(address);
    if name == wanted || node.id.to_string().to_lowercase() == wanted || address.is_some_and(same) {
        Some(Fit::Whole)
    } else if let Some(length) = prefix.and_then(|address| holds(&name, address)) {
        Some(Fit::Prefix { shorter_by: 128 - length })
    } else if name.starts_with(wanted) {
        Some(Fit::Start)
    } else {
        name.contains(wanted).then_some(Fit::Part)
    }
}

impl TopologyGraph {
    /// The elements of which a site says at `at` that `key` is `value`, or a list that holds it; each with
    /// that site, in order.
    pub fn with_attribute(&self, key: &str, value: &str, at: Millis) -> Vec<(ElementId, SiteId)> {
        let mut found = Vec::new();
        let mut add = |records: &Records, id: &dyn Fn() -> Option<ElementId>| {
            for (site, record) in said_at(records, at, &None) {
                let attributes = record.attributes(at);
                if attributes.get(key).is_some_and(|said| AttributeValue::holds(key, said, value)) {
                    found.extend(id().map(|id| (id, self.sites[site as usize].clone())));
                }
            }
        };
        for node in self.nodes.iter().flatten() {
            add(&node.records, &|| Some(ElementId::Node(node.id.clone())));
        }
        for edge in self.edges.iter().flatten() {
            add(&edge.records, &|| self.edge_id(edge).map(ElementId::Edge));
        }
        found.sort_unstable();
        found
    }
}

/// The length of `prefix` if it holds `address`.
fn holds(prefix: &str, address: IpAddr) -> Option<u8> {
    let prefix = Prefix::parse(prefix).filter(|prefix| prefix.holds(address))?;
    u8::try_from(prefix.length()).ok()
}
