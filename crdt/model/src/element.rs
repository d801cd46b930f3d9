//! Elements of the topology: nodes and edges, their kinds and ids.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::path::{self, AliasId, PathId};

/// Longest name of a node of the topology, in bytes.
pub const MAX_NODE_NAME_BYTES: usize = 255;

/// Why an element id was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("element id \"{value}\" is not valid: {reason}")]
pub struct ElementIdError {
    value: String,
    reason: &'static str,
}

impl ElementIdError {
    pub(crate) fn new(value: &str, reason: &'static str) -> Self {
        Self { value: value.chars().take(120).collect(), reason }
    }
}

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every kind, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The kind as it stands in an id.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The kind named `text`.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

kinds!(
    /// What a node of the topology is.
    NodeKind {
        /// A Holm node as an observer and vantage point.
        Agent = "agent",
        /// An autonomous system.
        As = "as",
        /// A network device.
        Device = "device",
        /// A router interface on a path.
        Hop = "hop",
        /// An address or host that is not known as a service.
        Host = "host",
        /// An address prefix.
        Prefix = "prefix",
        /// A program that serves or calls.
        Service = "service",
        /// A site of the mesh.
        Site = "site",
    }
);

kinds!(
    /// What an edge of the topology says.
    EdgeKind {
        /// A link between a device and what is attached to it.
        Device = "device",
        /// Traffic between two ends, as seen in the kernel or in flow records.
        Flow = "flow",
        /// A probed path, or a hop of one.
        Path = "path",
        /// An adjacency or origin seen in routing.
        Routing = "routing",
    }
);

/// A node's id: `kind:name`, such as `service:checkout` or `host:192.0.2.7`. The name has 1 to 255
/// bytes, no control character, none that is not seen or turns the text around (UAX #9), and no `|`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId {
    kind: NodeKind,
    // Answers name the same nodes again and again: a copy costs no allocation.
    name: Arc<str>,
}

impl NodeId {
    /// A node of `kind` named `name`.
    ///
    /// # Errors
    /// The name is empty, longer than 255 bytes, or has a control character, one that is not seen, or `|`.
    pub fn new(kind: NodeKind, name: &str) -> Result<Self, ElementIdError> {
        if name.is_empty() {
            return Err(ElementIdError::new(name, "the name is empty"));
        }
        if name.len() > MAX_NODE_NAME_BYTES {
            return Err(ElementIdError::new(name, "the name is longer than 255 bytes"));
        }
        if name.chars().any(|c| c.is_control() || c == '|') {
            return Err(ElementIdError::new(name, "the name has a control character or '|'"));
        }
        if name.chars().any(is_unseen) {
            let reason = "the name has a character that is not seen or turns the text around";
            return Err(ElementIdError::new(name, reason));
        }
        Ok(Self { kind, name: name.into() })
    }

    /// What the node is.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    /// The name without its kind.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Marks, overrides and isolates of text direction, and characters without width.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

impl FromStr for NodeId {
    type Err = ElementIdError;
    fn from_str(text: &str) -> Result<Self, ElementIdError> {
        let (kind, name) = text
            .split_once(':')
            .ok_or_else(|| ElementIdError::new(text, "it is not of the form kind:name"))?;
        let kind = NodeKind::parse(kind).ok_or_else(|| {
            ElementIdError::new(
                text,
                "its kind is not one of agent, as, device, hop, host, prefix, service, site",
            )
        })?;
        Self::new(kind, name)
    }
}

/// An edge's id: `from|kind|to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EdgeId {
    /// Where the edge starts: the caller, the prober, the neighbour that speaks.
    pub from: NodeId,
    /// What the edge says.
    pub kind: EdgeKind,
    /// Where the edge ends.
    pub to: NodeId,
}

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.from, self.kind, self.to)
    }
}

impl FromStr for EdgeId {
    type Err = ElementIdError;
    fn from_str(text: &str) -> Result<Self, ElementIdError> {
        let mut parts = text.splitn(3, '|');
        let (Some(from), Some(kind), Some(to)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ElementIdError::new(text, "it is not of the form from|kind|to"));
        };
        let kind = EdgeKind::parse(kind).ok_or_else(|| {
            ElementIdError::new(
                text,
                "its kind is not one of device, flow, path, routing (nor alias)",
            )
        })?;
        Ok(Self { from: from.parse()?, kind, to: to.parse()? })
    }
}

/// The id of any element: without `|` a node, with it an edge, a path of more than three parts, or an
/// alias.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ElementId {
    /// An edge.
    Edge(EdgeId),
    /// A node.
    Node(NodeId),
    /// A way that packets took.
    Path(PathId),
    /// Two names of one thing.
    Alias(AliasId),
}

impl fmt::Display for ElementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge(edge) => edge.fmt(f),
            Self::Node(node) => node.fmt(f),
            Self::Path(path) => path.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

impl FromStr for ElementId {
    type Err = ElementIdError;
    fn from_str(text: &str) -> Result<Self, ElementIdError> {
        if !text.contains('|') {
            text.parse().map(Self::Node)
        } else if path::is_alias(text) {
            text.parse().map(Self::Alias)
        } else if path::is_path(text) {
            text.parse().map(Self::Path)
        } else {
            text.parse().map(Self::Edge)
        }
    }
}

macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = ElementIdError;
            fn try_from(text: String) -> Result<Self, ElementIdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )+};
}
as_text!(NodeId, EdgeId, PathId, AliasId, ElementId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip() {
        for text in ["service:checkout", "host:2001:db8::1", "site:berlin", "as:64496"] {
            assert_eq!(text.parse::<ElementId>().expect("valid").to_string(), text);
        }
        let edge = "service:web|flow|host:192.0.2.7";
        let ElementId::Edge(parsed) = edge.parse().expect("valid") else { panic!("not an edge") };
        assert_eq!(parsed.from.kind(), NodeKind::Service);
        assert_eq!(parsed.to.name(), "192.0.2.7");
        assert_eq!(parsed.to_string(), edge);
    }

    #[test]
    fn bad_ids_are_refused_with_the_reason() {
        let long = format!("host:{}", "x".repeat(256));
        for (text, reason) in [
            ("checkout", "kind:name"),
            ("pod:x", "not one of"),
            ("host:", "empty"),
            ("host:a\nb", "control"),
            ("service:\u{202e}evil", "turns the text around"),
            ("service:a|flow", "from|kind|to"),
            ("service:a|knows|service:b", "not one of"),
            ("service:a|flow|service:b|c", "'|'"),
            (long.as_str(), "255"),
        ] {
            let error = text.parse::<ElementId>().expect_err("a bad id").to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
