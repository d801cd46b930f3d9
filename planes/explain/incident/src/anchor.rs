//! What a report is about, by names that mean the same at every site.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use holm_model::{AddressScope, Millis, NodeId, NodeKind, NodeName, SiteId};

use crate::WINDOW_MS;

/// Most names that a report keeps of its target, and most neighbours.
pub const MAX_ANCHORS: usize = 16;

/// Where a node stands, which says how far the names that it uses mean the same
/// (`docs/topology.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its site.
    pub site: SiteId,
    /// Its name there.
    pub node: NodeName,
    /// The address plan of its site; empty if it shares none.
    pub plan: Box<str>,
    /// The machine that it shares with other sites' nodes; empty if it shares none.
    pub machine: Box<str>,
}

/// A name and how far it means the same: everywhere, within one address plan, one site or one machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Anchor {
    // First: names that mean the same everywhere come before others.
    realm: Arc<str>,
    node: NodeId,
}

impl Anchor {
    /// `node` as it is meant at `place`.
    pub fn of(node: &NodeId, place: &Place) -> Self {
        // An address is one thing, whether packets went to it or over it.
        let node = match node.kind() {
            NodeKind::Hop if node.name().parse::<IpAddr>().is_ok() => {
                NodeId::new(NodeKind::Host, node.name()).unwrap_or_else(|_| node.clone())
            }
            _ => node.clone(),
        };
        let Place { site, node: own, plan, machine } = place;
        let realm = match AddressScope::of_node(&node) {
            AddressScope::Machine if !machine.is_empty() => format!("machine:{machine}"),
            AddressScope::Machine => format!("machine:{site}/{own}"),
            AddressScope::Site if !plan.is_empty() => format!("plan:{plan}"),
            AddressScope::Site => format!("site:{site}"),
            AddressScope::Global if is_local(&node) && !plan.is_empty() => format!("plan:{plan}"),
            AddressScope::Global if is_local(&node) => format!("site:{site}"),
            AddressScope::Global => String::new(),
        };
        Self { realm: realm.into(), node }
    }

    /// The same of a name by which sites are known to mean several things.
    pub fn of_own(node: &NodeId, place: &Place) -> Self {
        let anchor = Self::of(node, place);
        match &*anchor.realm {
            "" => Self { realm: format!("site:{}", place.site).into(), ..anchor },
            _ => anchor,
        }
    }

    /// An anchor as it was recorded.
    pub(crate) fn recorded(realm: &str, node: NodeId) -> Self {
        Self { realm: realm.into(), node }
    }

    /// The name.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Where the name means this; empty if everywhere.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The address, if it is the name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.node.kind() {
            NodeKind::Host | NodeKind::Hop => self.node.name().parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.realm {
            "" => self.node.fmt(f),
            realm => write!(f, "{}@{realm}", self.node),
        }
    }
}

/// Whether a name that is no address is one of a site's own by its kind: special-use names of links and homes
/// (RFC 6761, 6762, 8375). Others mean the same everywhere unless sites claim different names for them.
fn is_local(node: &NodeId) -> bool {
    const LOCAL: [&str; 5] = ["local", "localhost", "lan", "home", "arpa"];
    match node.kind() {
        NodeKind::Host | NodeKind::Hop if node.name().parse::<IpAddr>().is_ok() => false,
        NodeKind::Host | NodeKind::Hop => {
            LOCAL.contains(&node.name().rsplit_once('.').map_or(node.name(), |(_, last)| last))
        }
        _ => false,
    }
}

/// What the topology says of a target when it is first reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// All names of the target that mean the same thing.
    pub names: Vec<NodeId>,
    /// What is one edge away from it.
    pub near: Vec<NodeId>,
    /// Which of all these names, in order, sites use for several things.
    pub apart: Vec<NodeId>,
}

impl Resolved {
    /// The target's names in order, those that mean the same everywhere first, and its neighbours.
    pub(crate) fn anchors(
        self,
        target: &NodeId,
        prefix: Option<&NodeId>,
        place: &Place,
    ) -> (Vec<Anchor>, Vec<Anchor>) {
        let sorted = |nodes: &mut dyn Iterator<Item = &NodeId>| {
            let anchor = |node: &NodeId| match self.apart.binary_search(node) {
                Ok(_) => Anchor::of_own(node, place),
                Err(_) => Anchor::of(node, place),
            };
            let mut anchors: Vec<Anchor> = nodes.map(anchor).collect();
            anchors.sort_unstable();
            anchors.dedup();
            anchors
        };
        let mut names = sorted(&mut self.names.iter().chain([target]));
        let own = sorted(&mut prefix.into_iter().chain([target]));
        names.retain(|anchor| !own.contains(anchor));
        names.truncate(MAX_ANCHORS - own.len());
        names.extend(own);
        names.sort_unstable();
        let mut near = sorted(&mut self.near.iter());
        near.retain(|anchor| names.binary_search(anchor).is_err());
        near.truncate(MAX_ANCHORS);
        (names, near)
    }
}

/// A fault: one thing that was bad from about one moment on. Sites that see it apart give it one id
/// without a word between them. An incident goes by the id of its first fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId([u8; 8]);

/// Crockford's base 32: no letter looks like a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl FaultId {
    /// The fault of what goes by `anchor` and was bad from `since` on.
    pub(crate) fn of(anchor: &Anchor, since: Millis) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("holm fault id v1");
        let node = anchor.node.to_string();
        for part in [anchor.realm.as_bytes(), node.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.update(&(since.0 / WINDOW_MS).to_le_bytes());
        let mut id = [0; 8];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(id)
    }

    pub(crate) fn number(self) -> u64 {
        u64::from_be_bytes(self.0)
    }

    pub(crate) fn from_number(number: u64) -> Self {
        Self(number.to_be_bytes())
    }
}

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("i-")?;
        let number = self.number();
        (0..13).rev().try_for_each(|place| {
            let digit = (number >> (5 * place)) & 31;
            write!(f, "{}", char::from(DIGITS[digit as usize]))
        })
    }
}

impl fmt::Debug for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultId({self})")
    }
}

impl FromStr for FaultId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "an incident's id is i- and 13 letters and digits";
        let digits = text.strip_prefix("i-").filter(|digits| digits.len() == 13).ok_or(WRONG)?;
        let mut number = 0_u64;
        for (place, byte) in digits.bytes().enumerate() {
            let digit = DIGITS.iter().position(|d| *d == byte).ok_or(WRONG)?;
            if place == 0 && digit > 15 {
                return Err(WRONG);
            }
            number = number << 5 | digit as u64;
        }
        Ok(Self::from_number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(site: &str, plan: &str) -> Place {
        Place {
            site: site.parse().expect("valid"),
            node: "n1".parse().expect("valid"),
            plan: plan.into(),
            machine: Box::default(),
        }
    }

    fn shown(node: &str, site: &str, plan: &str) -> String {
        Anchor::of(&node.parse().expect("valid"), &place(site, plan)).to_string()
    }

    #[test]
    fn names_mean_the_same_as_far_as_the_topology_says() {
        for (node, anchor) in [
            ("host:192.0.2.7", "host:192.0.2.7"),
            ("hop:192.0.2.7", "host:192.0.2.7"),
            ("host:10.0.0.5", "host:10.0.0.5@site:a"),
            ("host:127.0.0.1", "host:127.0.0.1@machine:a/n1"),
            ("host:web", "host:web"),
            ("host:db.internal", "host:db.internal"),
            ("host:localhost", "host:localhost@site:a"),
            ("host:www.example.org", "host:www.example.org"),
            ("host:printer.local", "host:printer.local@site:a"),
            ("device:sw1", "device:sw1"),
            ("prefix:10.0.0.0/8", "prefix:10.0.0.0/8@site:a"),
            ("service:web", "service:web"),
            ("site:b", "site:b"),
        ] {
            assert_eq!(shown(node, "a", ""), anchor);
        }
        for node in ["host:10.0.0.5", "host:printer.local"] {
            assert_eq!(shown(node, "a", "office"), shown(node, "b", "office"));
        }
        let own = |node: &str| Anchor::of_own(&node.parse().expect("valid"), &place("a", "office"));
        assert_eq!(own("host:web").to_string(), "host:web@site:a");
        assert_eq!(own("host:10.0.0.5").to_string(), "host:10.0.0.5@plan:office");
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        for number in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = FaultId::from_number(number);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in
            ["", "i-", "x-0000000000000", "i-000000000000", "i-g000000000000", "i-000000000000u"]
        {
            assert!(wrong.parse::<FaultId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_with_many_names_keeps_its_own() {
        let names = (0..40).map(|i| format!("host:192.0.2.{i}").parse().expect("valid")).collect();
        let target: NodeId = "host:web".parse().expect("valid");
        let place = place("a", "");
        let (anchors, _) = Resolved { names, ..Resolved::default() }.anchors(&target, None, &place);
        assert_eq!(anchors.len(), MAX_ANCHORS);
        assert!(anchors.contains(&Anchor::of(&target, &place)) && anchors.is_sorted());
    }
}
