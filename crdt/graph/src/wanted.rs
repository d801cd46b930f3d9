//! What somebody looks for, as they write it.

use std::net::IpAddr;

use holm_model::{Attributes, Millis, NodeId, NodeKind, Prefix};

use crate::TopologyGraph;
use crate::records::SiteIndex;
use crate::snapshot::said_at;
use crate::topology::NodeSlot;

/// How well something fits, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// The whole id or name.
    Whole,
    /// The prefix that holds the address or prefix; longer ones first.
    Prefix { shorter_by: u8 },
    /// The name begins so, with its kind before it or without.
    Start,
    /// It is in the id, or the address is in the prefix.
    Part,
    /// It is in the value of an attribute.
    Attribute,
}

/// A node, however it is written.
pub(crate) struct NodeWanted {
    /// In lower case.
    text: String,
    /// The id, if it is one: `AS64500` is one too.
    id: Option<NodeId>,
    address: Option<IpAddr>,
    prefix: Option<Prefix>,
    attribute: Option<AttributeWanted>,
}

/// `key=value`, with `attribute:` before it or not.
pub(crate) struct AttributeWanted {
    key: String,
    value: String,
}

impl AttributeWanted {
    /// The key without its case; `None` if it is none.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let text = text.strip_prefix("attribute:").unwrap_or(&text);
        let (key, value) = text.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        (!key.is_empty() && !value.is_empty())
            .then(|| Self { key: key.into(), value: value.into() })
    }

    /// The attribute that has this key and a value that this is a part of.
    pub(crate) fn find(&self, attributes: &Attributes) -> Option<(Box<str>, Box<str>)> {
        let fits = |key: &str, value: &str| {
            key.to_lowercase() == self.key && value.to_lowercase().contains(&self.value)
        };
        let found = attributes.iter().find(|(key, value)| fits(key, value));
        found.map(|(key, value)| (key.clone(), value.clone()))
    }
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

impl NodeWanted {
    /// `None` if it is nothing.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return None;
        }
        let number = text.strip_prefix("as").filter(|number| number.parse::<u32>().is_ok());
        let id: Option<NodeId> = match number {
            Some(number) => format!("as:{number}").parse().ok(),
            None => text.parse().ok(),
        };
        let name = id.as_ref().map_or(text.as_str(), NodeId::name);
        let prefix = name.contains('/').then(|| Prefix::parse(name)).flatten();
        let (address, attribute) = (address(name), AttributeWanted::of(&text));
        Some(Self { address, prefix, attribute, id, text })
    }

    /// How well a node's own name fits.
    pub(crate) fn fit(&self, node: &NodeId) -> Option<Fit> {
        let name = node.name().to_lowercase();
        let id = node.to_string().to_lowercase();
        let is_kind = |kind: NodeKind| self.id.as_ref().is_none_or(|id| id.kind() == kind);
        let own = address(&name);
        let is_whole = name == self.text
            || id == self.text
            || self.id.as_ref().is_some_and(|id| id == node)
            || self.address.is_some() && own == self.address && is_kind(node.kind());
        if is_whole {
            return Some(Fit::Whole);
        }
        let own_prefix = || Prefix::parse(&name).filter(|_| node.kind() == NodeKind::Prefix);
        if let Some(around) = own_prefix().filter(|around| self.lies_in(around)) {
            let shorter_by = u8::try_from(128 - around.length()).unwrap_or(u8::MAX);
            return Some(Fit::Prefix { shorter_by });
        }
        let holds = self.prefix.as_ref().is_some_and(|wanted| {
            own.is_some_and(|own| wanted.holds(own))
                || own_prefix().is_some_and(|own| wanted.covers(&own))
        });
        // A kind is a part of an id where it is written out.
        let by_id = self.text.contains(':') || node.kind().as_str() == self.text;
        if name.starts_with(&self.text) || by_id && id.starts_with(&self.text) {
            Some(Fit::Start)
        } else {
            let within = name.contains(&self.text) || by_id && id.contains(&self.text);
            (holds || within).then_some(Fit::Part)
        }
    }

    fn lies_in(&self, prefix: &Prefix) -> bool {
        self.address.is_some_and(|address| prefix.holds(address))
            || self.prefix.as_ref().is_some_and(|wanted| prefix.covers(wanted))
    }

    /// The first thing that is said of a node at `at` and that fits.
    pub(crate) fn said_of(&self, node: &NodeSlot, at: Millis) -> Option<(Box<str>, Box<str>)> {
        let fitting = said_at(&node.records, at, &None).filter_map(|(_, record)| {
            let attributes = record.attributes(at);
            let mut all = attributes.iter();
            let mut by_value = || all.find(|(_, value)| value.to_lowercase().contains(&self.text));
            let by_key = self.attribute.as_ref().and_then(|wanted| wanted.find(&attributes));
            by_key.or_else(|| by_value().map(|(key, value)| (key.clone(), value.clone())))
        });
        fitting.min()
    }
}

/// What one end of an edge is to be.
pub(crate) struct EndWanted {
    /// In lower case; a part of the id.
    text: String,
    /// Or an address, of which kind of node, if of one.
    address: Option<(Option<NodeKind>, IpAddr)>,
    /// As this site says.
    site: Option<SiteIndex>,
}

impl EndWanted {
    pub(crate) fn of(text: &str, graph: &TopologyGraph) -> Self {
        let of_site = text.rsplit_once('@').and_then(|(name, site)| {
            let index = graph.sites.iter().position(|s| s.as_str().to_lowercase() == site)?;
            Some((name, SiteIndex::try_from(index).ok()?))
        });
        let (text, site) = of_site.map_or((text, None), |(name, site)| (name, Some(site)));
        let of_kind = || {
            let (kind, name) = text.split_once(':')?;
            Some((Some(NodeKind::parse(kind)?), address(name)?))
        };
        let address = address(text).map(|address| (None, address)).or_else(of_kind);
        Self { text: text.into(), address, site }
    }

    pub(crate) fn fits(&self, id: &NodeId) -> bool {
        let is_it = |(kind, wanted): (Option<NodeKind>, IpAddr)| {
            kind.is_none_or(|kind| kind == id.kind()) && address(id.name()) == Some(wanted)
        };
        id.to_string().to_lowercase().contains(&self.text) || self.address.is_some_and(is_it)
    }

    pub(crate) fn is_of(&self, site: SiteIndex) -> bool {
        self.site.is_none_or(|wanted| wanted == site)
    }
}
