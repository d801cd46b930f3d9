//! Elements by what they are called, by what is said of them, and by address.

use std::net::IpAddr;

use holm_model::{ElementId, Millis, NodeKind};

use crate::TopologyGraph;
use crate::records::Records;
use crate::snapshot::said_at;

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

impl TopologyGraph {
    /// The nodes that are there at `at` and fit `text`: by id, name, or the value of an attribute,
    /// whatever the case; for an address also the prefixes that hold it, longest first. Best first,
    /// then by id; at most `limit`. Nothing fits an empty text.
    pub fn find(&self, text: &str, at: Millis, limit: usize) -> ElementsOf {
        let wanted = text.trim().to_lowercase();
        if wanted.is_empty() {
            return ElementsOf::default();
        }
        let address: Option<IpAddr> = wanted.parse().ok();
        let moment_edges = |list: &[u32]| {
            list.iter()
                .filter_map(|&e| self.edges[e as usize].as_ref())
                .any(|edge| said_at(&edge.records, at, &None).next().is_some())
        };
        let mut found: Vec<(Fit, ElementId)> = Vec::new();
        for node in self.nodes.iter().flatten() {
            let mut said = said_at(&node.records, at, &None).peekable();
            let paths = || node.paths.iter().filter_map(|&path| self.paths.get(path));
            let on_a_path = || paths().any(|p| said_at(&p.records, at, &None).next().is_some());
            let there = said.peek().is_some()
                || moment_edges(&node.out)
                || moment_edges(&node.into)
                || on_a_path();
            if !there {
                continue;
            }
            let name = node.id.name().to_lowercase();
            let mut said_values = said.map(|(_, record)| record.attributes(at));
            let fit = if name == wanted || node.id.to_string().to_lowercase() == wanted {
                Some(Fit::Whole)
            } else if let Some(length) = address
                .filter(|_| node.id.kind() == NodeKind::Prefix)
                .and_then(|address| holds(&name, address))
            {
                Some(Fit::Prefix { shorter_by: 128 - length })
            } else if name.starts_with(&wanted) {
                Some(Fit::Start)
            } else if name.contains(&wanted) {
                Some(Fit::Part)
            } else {
                let fits = |value: &str| value.to_lowercase().contains(&wanted);
                let told = said_values.any(|attributes| attributes.values().any(|v| fits(v)));
                told.then_some(Fit::Attribute)
            };
            if let Some(fit) = fit {
                found.push((fit, ElementId::Node(node.id.clone())));
            }
        }
        found.sort_unstable();
        let total = found.len() as u64;
        ElementsOf { items: found.into_iter().take(limit).map(|(_, id)| id).collect(), total }
    }
}

impl TopologyGraph {
    /// The elements of which some site says at `at` that `key` is `value`, in order.
    pub fn with_attribute(&self, key: &str, value: &str, at: Millis) -> Vec<ElementId> {
        let says = |records: &Records| {
            let mut said = said_at(records, at, &None);
            said.any(|(_, record)| record.attributes(at).get(key).is_some_and(|v| **v == *value))
        };
        let nodes = self.nodes.iter().flatten().filter(|node| says(&node.records));
        let edges = self.edges.iter().flatten().filter(|edge| says(&edge.records));
        let mut found: Vec<ElementId> = nodes
            .map(|node| ElementId::Node(node.id.clone()))
            .chain(edges.filter_map(|edge| self.edge_id(edge).map(ElementId::Edge)))
            .collect();
        found.sort_unstable();
        found
    }
}

/// The length of `prefix` if it holds `address`.
fn holds(prefix: &str, address: IpAddr) -> Option<u8> {
    let (network, length) = prefix.split_once('/')?;
    let length: u8 = length.parse().ok()?;
    let same = match (network.parse().ok()?, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (u32::from(a) ^ u32::from(b)).leading_zeros() >= u32::from(length) && length <= 32
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (u128::from(a) ^ u128::from(b)).leading_zeros() >= u32::from(length) && length <= 128
        }
        _ => false,
    };
    same.then_some(length)
}
