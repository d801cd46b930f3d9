//! Flow paths and aliases: elements that say something about several nodes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{EdgeKind, ElementIdError, NodeId};

/// Most hops of one path: the most that a trace asks for (RFC 1812 §5.3.1 leaves a TTL of 64 and more
/// to hosts; longer ways are loops).
pub const MAX_PATH_HOPS: usize = 64;
/// Longest id of a path, in bytes.
pub const MAX_PATH_BYTES: usize = 2_048;
/// Longest name of a flow, in bytes.
pub const MAX_FLOW_BYTES: usize = 63;

/// The word between the two nodes of an alias, where an edge has its kind.
const ALIAS: &str = "alias";
/// A hop that did not answer.
const SILENT: &str = "*";

/// A way that packets of one flow took: `agent|path|target|flow|hop|*|hop…`, `*` for a hop that did not
/// answer. A flow that takes another way is another path: the intervals of each say when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathId {
    agent: NodeId,
    target: NodeId,
    flow: Box<str>,
    hops: Box<[Option<NodeId>]>,
}

impl PathId {
    /// The path of `flow` from `agent` to `target` by way of `hops`.
    ///
    /// # Errors
    /// The flow's name is empty, longer than 63 bytes, or has a control character or `|`; there are
    /// more than 64 hops; or the id has more than 2,048 bytes.
    pub fn new(
        agent: NodeId,
        target: NodeId,
        flow: &str,
        hops: impl IntoIterator<Item = Option<NodeId>>,
    ) -> Result<Self, ElementIdError> {
        let bad = |reason| Err(ElementIdError::new(flow, reason));
        if flow.is_empty() || flow.len() > MAX_FLOW_BYTES {
            return bad("the flow's name has not 1 to 63 bytes");
        }
        if flow.chars().any(|c| c.is_control() || c == '|') {
            return bad("the flow's name has a control character or '|'");
        }
        let hops: Box<[_]> = hops.into_iter().take(MAX_PATH_HOPS + 1).collect();
        if hops.len() > MAX_PATH_HOPS {
            return bad("the path has more than 64 hops");
        }
        let long = |node: &NodeId| node.name().len() + "service:|".len();
        let path = Self { agent, target, flow: flow.into(), hops };
        if path.nodes().map(long).sum::<usize>() + 2 * path.hops.len() + flow.len() + 8
            > MAX_PATH_BYTES
        {
            return bad("the path's names have more than 2,048 bytes");
        }
        Ok(path)
    }

    /// Who sent the packets.
    pub fn agent(&self) -> &NodeId {
        &self.agent
    }

    /// Where they were sent.
    pub fn target(&self) -> &NodeId {
        &self.target
    }

    /// The flow: packets that routers keep on one way (RFC 6438, RFC 2992).
    pub fn flow(&self) -> &str {
        &self.flow
    }

    /// The hops between agent and target in order; `None` did not answer.
    pub fn hops(&self) -> &[Option<NodeId>] {
        &self.hops
    }

    /// The nodes on the path that are known, agent first and target last.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        let hops = self.hops.iter().flatten();
        std::iter::once(&self.agent).chain(hops).chain(std::iter::once(&self.target))
    }
}

impl fmt::Display for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}|{}", self.agent, EdgeKind::Path, self.target, self.flow)?;
        self.hops.iter().try_for_each(|hop| match hop {
            Some(hop) => write!(f, "|{hop}"),
            None => write!(f, "|{SILENT}"),
        })
    }
}

impl FromStr for PathId {
    type Err = ElementIdError;
    fn from_str(text: &str) -> Result<Self, ElementIdError> {
        let mut parts = text.split('|');
        let (Some(agent), Some("path"), Some(target), Some(flow)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let form = "it is not of the form agent|path|target|flow|hop…";
            return Err(ElementIdError::new(text, form));
        };
        let hop = |hop: &str| (hop != SILENT).then(|| hop.parse()).transpose();
        let hops = parts.take(MAX_PATH_HOPS + 1).map(hop).collect::<Result<Vec<_>, _>>()?;
        Self::new(agent.parse()?, target.parse()?, flow, hops)
    }
}

/// Two names of one thing: `a|alias|b`, the lesser id first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AliasId {
    a: NodeId,
    b: NodeId,
}

impl AliasId {
    /// That `a` and `b` are the same thing.
    ///
    /// # Errors
    /// They are the same name.
    pub fn new(a: NodeId, b: NodeId) -> Result<Self, ElementIdError> {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => Ok(Self { a, b }),
            std::cmp::Ordering::Greater => Ok(Self { a: b, b: a }),
            std::cmp::Ordering::Equal => {
                Err(ElementIdError::new(a.name(), "a node is no alias of itself"))
            }
        }
    }

    /// The two names, the lesser first.
    pub fn ends(&self) -> [&NodeId; 2] {
        [&self.a, &self.b]
    }
}

impl fmt::Display for AliasId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{ALIAS}|{}", self.a, self.b)
    }
}

impl FromStr for AliasId {
    type Err = ElementIdError;
    fn from_str(text: &str) -> Result<Self, ElementIdError> {
        let mut parts = text.splitn(3, '|');
        let (Some(a), Some(ALIAS), Some(b)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ElementIdError::new(text, "it is not of the form node|alias|node"));
        };
        Self::new(a.parse()?, b.parse()?)
    }
}

/// Whether `text` has the form of an alias's id.
pub(crate) fn is_alias(text: &str) -> bool {
    text.split('|').nth(1) == Some(ALIAS)
}

/// Whether `text` has the form of a path's id: an edge has three parts, a path more.
pub(crate) fn is_path(text: &str) -> bool {
    text.split('|').nth(1) == Some("path") && text.split('|').nth(3).is_some()
}

#[cfg(test)]
mod tests {
    use crate::ElementId;

    #[test]
    fn paths_and_aliases_survive_a_round_trip() {
        for text in [
            "agent:berlin|path|host:192.0.2.7|udp-33434",
            "agent:berlin|path|host:192.0.2.7|udp-33434|hop:10.0.0.1|*|hop:2001:db8::1",
        ] {
            let ElementId::Path(path) = text.parse().expect("valid") else { panic!("no path") };
            assert_eq!(path.to_string(), text);
        }
        let ElementId::Alias(alias) = "host:b|alias|host:a".parse().expect("valid") else {
            panic!("no alias")
        };
        assert_eq!(alias.to_string(), "host:a|alias|host:b", "in order");
        let edge = "agent:berlin|path|host:192.0.2.7".parse().expect("valid");
        assert!(matches!(edge, ElementId::Edge(_)));
    }

    #[test]
    fn bad_paths_and_aliases_are_refused_with_the_reason() {
        let long = format!("agent:a|path|host:b|f{}", "|*".repeat(65));
        for (text, reason) in [
            ("agent:a|path|host:b|", "1 to 63"),
            ("agent:a|path|host:b|f|nothing", "kind:name"),
            ("agent:a|flow|host:b|f", "'|'"),
            (long.as_str(), "64 hops"),
            ("host:a|alias|host:a", "itself"),
            ("host:a|alias|host:b|c", "'|'"),
        ] {
            let error = text.parse::<ElementId>().expect_err("a bad id").to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
