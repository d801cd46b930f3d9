//! One open element as the fold holds it, and borrowed keys to find it by.

use std::hash::Hasher;

use holm_model::{
    AliasId, Attribute, AttributeValue, Attributes, EdgeId, EdgeKind, ElementId, ElementIdError,
    MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, Millis, NodeId, NodeRef, PathId,
};

/// An element's key as a plane names it: borrowed, not yet checked.
pub(super) enum KeyRef<'a> {
    Edge { from: NodeRef<'a>, kind: EdgeKind, to: NodeRef<'a> },
    Node(NodeRef<'a>),
    Path { flow: FlowRef<'a>, hops: Hops<'a> },
    Alias([NodeRef<'a>; 2]),
}

/// One flow of an agent to a target, on whatever way.
#[derive(Clone, Copy)]
pub(super) struct FlowRef<'a> {
    pub(super) agent: NodeRef<'a>,
    pub(super) target: NodeRef<'a>,
    pub(super) flow: &'a str,
}

/// The hops of a path, as told or as known.
#[derive(Clone, Copy)]
pub(super) enum Hops<'a> {
    Told(&'a [Option<NodeRef<'a>>]),
    Known(&'a [Option<NodeId>]),
}

impl<'a> Hops<'a> {
    fn len(self) -> usize {
        match self {
            Self::Told(hops) => hops.len(),
            Self::Known(hops) => hops.len(),
        }
    }

    fn get(self, i: usize) -> Option<NodeRef<'a>> {
        match self {
            Self::Told(hops) => hops[i],
            Self::Known(hops) => hops[i].as_ref().map(node_ref),
        }
    }

    fn iter(self) -> impl Iterator<Item = Option<NodeRef<'a>>> {
        (0..self.len()).map(move |i| self.get(i))
    }
}

impl<'a> FlowRef<'a> {
    pub(super) fn of(path: &'a PathId) -> Self {
        Self { agent: node_ref(path.agent()), target: node_ref(path.target()), flow: path.flow() }
    }

    pub(super) fn hash(&self, state: &mut impl Hasher) {
        hash_node(&self.agent, state);
        hash_node(&self.target, state);
        state.write(self.flow.as_bytes());
        state.write_u8(0xff);
    }

    pub(super) fn is_of(&self, path: &PathId) -> bool {
        self.flow == path.flow()
            && is_node(&self.agent, path.agent())
            && is_node(&self.target, path.target())
    }
}

impl<'a> KeyRef<'a> {
    pub(super) fn of(id: &'a ElementId) -> Self {
        match id {
            ElementId::Edge(e) => {
                Self::Edge { from: node_ref(&e.from), kind: e.kind, to: node_ref(&e.to) }
            }
            ElementId::Node(n) => Self::Node(node_ref(n)),
            ElementId::Path(p) => Self::Path { flow: FlowRef::of(p), hops: Hops::Known(p.hops()) },
            ElementId::Alias(a) => Self::Alias(a.ends().map(node_ref)),
        }
    }

    pub(super) fn hash(&self, state: &mut impl Hasher) {
        match self {
            Self::Edge { from, kind, to } => {
                let kinds = [from.kind as u8, *kind as u8, to.kind as u8, 1];
                state.write_u32(u32::from_le_bytes(kinds));
                state.write(from.name.as_bytes());
                state.write_u8(0xff);
                state.write(to.name.as_bytes());
            }
            Self::Node(node) => {
                state.write_u32(node.kind as u32);
                state.write(node.name.as_bytes());
            }
            Self::Path { flow, hops } => {
                flow.hash(state);
                for hop in hops.iter() {
                    match hop {
                        Some(hop) => hash_node(&hop, state),
                        None => state.write_u8(0xfe),
                    }
                }
            }
            Self::Alias(ends) => ends.iter().for_each(|end| hash_node(end, state)),
        }
    }

    pub(super) fn names(&self, id: &ElementId) -> bool {
        match (self, id) {
            (Self::Edge { from, kind, to }, ElementId::Edge(e)) => {
                *kind == e.kind && is_node(from, &e.from) && is_node(to, &e.to)
            }
            (Self::Node(node), ElementId::Node(n)) => is_node(node, n),
            (Self::Path { flow, hops }, ElementId::Path(p)) => {
                flow.is_of(p)
                    && hops.len() == p.hops().len()
                    && hops.iter().zip(p.hops()).all(|(a, b)| match (a, b) {
                        (Some(a), Some(b)) => is_node(&a, b),
                        (a, b) => a.is_none() && b.is_none(),
                    })
            }
            (Self::Alias([a, b]), ElementId::Alias(alias)) => {
                let [first, second] = alias.ends();
                is_node(a, first) && is_node(b, second)
            }
            _ => false,
        }
    }

    /// The id, each name in the one way to write it.
    pub(super) fn to_id(&self) -> Result<ElementId, ElementIdError> {
        let node = |n: &NodeRef<'_>| NodeId::observed(n.kind, n.name);
        Ok(match self {
            Self::Edge { from, kind, to } => {
                ElementId::Edge(EdgeId { from: node(from)?, kind: *kind, to: node(to)? })
            }
            Self::Node(n) => ElementId::Node(node(n)?),
            Self::Path { flow, hops } => {
                let known = hops.iter().map(|hop| hop.as_ref().map(node).transpose());
                let known = known.collect::<Result<Vec<_>, _>>()?;
                let FlowRef { agent, target, flow } = flow;
                ElementId::Path(PathId::new(node(agent)?, node(target)?, flow, known)?)
            }
            Self::Alias([a, b]) => ElementId::Alias(AliasId::new(node(a)?, node(b)?)?),
        })
    }
}

/// One open element.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: ElementId,
    /// In order of key, each key once.
    attributes: Vec<(Box<str>, Box<str>)>,
    pub(super) since: Millis,
    pub(super) last_seen: Millis,
    /// When it closes unless it is seen again.
    pub(super) due: Millis,
    /// The earliest time at which the heap looks at it; never later than `due` by our clock.
    pub(super) armed: Millis,
    /// Tells this entry from an earlier one in the same slot.
    pub(super) serial: u32,
    /// When its attributes were last seen to change, or it opened.
    pub(super) changed_at: Millis,
    value_changed_at: Option<Millis>,
    /// When it was last told for itself, and not only as a link on a way; and for how long that holds.
    told: Option<(Millis, u64)>,
    /// Of a way with silent hops: who answered there on the ways that it took the place of.
    pub(super) known_hops: Option<Box<[Option<NodeId>]>>,
}

/// What merging attributes came to.
pub(super) enum AttributeVerdict {
    Changed,
    Deferred,
    TooMany,
}

impl Entry {
    pub(super) fn new(
        id: ElementId,
        attributes: Vec<(Box<str>, Box<str>)>,
        since: Millis,
        last_seen: Millis,
        due: Millis,
    ) -> Self {
        Self {
            id,
            attributes,
            since,
            last_seen,
            due,
            armed: due,
            serial: 0,
            changed_at: since,
            value_changed_at: None,
            told: None,
            known_hops: None,
        }
    }

    /// That it was told for itself.
    pub(super) fn tell(&mut self, at: Millis, hold_ms: u64) {
        if self.told.is_none_or(|(before, _)| before <= at) {
            self.told = Some((at, hold_ms));
        }
    }

    /// Until when it stands by what was told of it for itself.
    pub(super) fn told_until(&self) -> Option<Millis> {
        self.told.map(|(at, hold_ms)| at + hold_ms)
    }

    /// What was seen after `now` was seen now: the clock was set back. Whether there was any.
    pub(super) fn bring_back(&mut self, now: Millis) -> bool {
        self.told = self.told.map(|(at, hold_ms)| (at.min(now), hold_ms));
        let ahead = self.last_seen > now;
        if ahead {
            self.due = self.due - self.last_seen.since(now);
            self.last_seen = now;
        }
        ahead
    }

    /// The first moment at which it is not there any more, if it was there until `at` at most.
    pub(super) fn end(&self, at: Option<Millis>) -> Millis {
        // Half-open intervals: the moment at which it was last seen is still inside.
        let seen = self.last_seen.max(self.since) + 1;
        at.filter(|at| *at < self.due).map_or(seen, |at| at.max(seen))
    }

    pub(super) fn has_all(&self, observed: &[Attribute<'_>]) -> bool {
        observed.iter().enumerate().all(|(index, &(key, value))| {
            // Planes list attributes in the same order each time: look where it was first.
            match self.attributes.get(index) {
                Some((k, v)) if &**k == key => &**v == value,
                _ => self.position(key).is_ok_and(|i| &*self.attributes[i].1 == value),
            }
        })
    }

    pub(super) fn merge(
        &mut self,
        observed: &[Attribute<'_>],
        at: Millis,
        hold_ms: u64,
    ) -> AttributeVerdict {
        let differs = |&&(key, value): &&Attribute<'_>| {
            self.position(key).is_ok_and(|i| &*self.attributes[i].1 != value)
        };
        let changes_value = observed.iter().any(|a| differs(&a));
        let added = observed.iter().filter(|&&(key, _)| self.position(key).is_err()).count();
        if self.attributes.len() + added > MAX_ATTRIBUTES {
            return AttributeVerdict::TooMany;
        }
        let held = self.value_changed_at.is_some_and(|then| at.since(then) < hold_ms);
        if held && added == 0 {
            return AttributeVerdict::Deferred;
        }
        for &(key, value) in observed {
            match self.position(key) {
                Ok(_) if held => {}
                Ok(i) if &*self.attributes[i].1 != value => self.attributes[i].1 = value.into(),
                Ok(_) => {}
                Err(i) => self.attributes.insert(i, (key.into(), value.into())),
            }
        }
        if changes_value && !held {
            self.value_changed_at = Some(at);
        }
        self.changed_at = at;
        AttributeVerdict::Changed
    }

    /// A value that changed after `now` holds nothing up: the clock was set back.
    pub(super) fn forget_hold(&mut self, now: Millis) {
        self.value_changed_at = self.value_changed_at.filter(|then| *then <= now);
    }

    pub(super) fn to_attributes(&self) -> Attributes {
        self.attributes.iter().cloned().collect()
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.attributes.binary_search_by(|(k, _)| (**k).cmp(key))
    }
}

/// Whether a plane's attributes keep the bounds and are of their types, each key once.
pub(super) fn are_valid(attributes: &[Attribute<'_>]) -> bool {
    attributes.len() <= MAX_ATTRIBUTES
        && attributes.iter().enumerate().all(|(i, (key, value))| {
            !key.is_empty()
                && key.len() <= MAX_ATTRIBUTE_BYTES
                && value.len() <= MAX_ATTRIBUTE_BYTES
                && AttributeValue::parse(key, value).is_ok()
                && attributes[..i].iter().all(|(k, _)| k != key)
        })
}

pub(super) fn node_ref(node: &NodeId) -> NodeRef<'_> {
    NodeRef { kind: node.kind(), name: node.name() }
}

fn hash_node(node: &NodeRef<'_>, state: &mut impl Hasher) {
    state.write_u8(node.kind as u8);
    state.write(node.name.as_bytes());
    state.write_u8(0xff);
}

fn is_node(a: &NodeRef<'_>, b: &NodeId) -> bool {
    a.kind == b.kind() && a.name == b.name()
}
