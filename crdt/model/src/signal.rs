//! Signals: a plane says that something is wrong, or that it is over.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Millis, NodeId, NodeKind};

/// Longest text of a signal, and longest value of one of its attributes, in bytes; longer ones are cut.
pub const MAX_SIGNAL_TEXT_BYTES: usize = 512;
/// Most attributes of a signal; the last in order are left out.
pub const MAX_SIGNAL_ATTRIBUTES: usize = 16;
/// Longest name of a plane, a kind or an attribute, in bytes.
const MAX_WORD_BYTES: usize = 63;

/// The attribute that names the sites which tried the target in vain, separated by commas.
pub const VANTAGE_FAILED: &str = "vantage.failed";
/// The attribute that names the sites which reach the target, separated by commas.
pub const VANTAGE_REACHED: &str = "vantage.reached";

/// The attribute that tells apart what one plane says of one target in several ways, such as an
/// interface or the other end of a talk.
pub const SIGNAL_KEY: &str = "key";
/// The attribute that names what is next to the target beside what the topology knows: ids of nodes,
/// separated by commas.
pub const SIGNAL_NEAR: &str = "near";

/// How grave something is; the graver one is the greater.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To know.
    #[default]
    Info,
    /// To look at soon.
    Warning,
    /// To act upon now.
    Critical,
}

impl Severity {
    /// The severity as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "info" => Ok(Self::Info),
            "warning" => Ok(Self::Warning),
            "critical" => Ok(Self::Critical),
            _ => Err("a severity is one of info, warning, critical"),
        }
    }
}

/// What a plane raises and clears. Two signals of one plane, kind, target, prefix and [`SIGNAL_KEY`] are
/// about the same thing: the first raises it, the second only says it again, one that is not `raised` ends
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Who says so: a plane's name.
    pub plane: Box<str>,
    /// What is wrong, such as `site_down` or `icmp_failed`.
    pub kind: Box<str>,
    /// How grave it is.
    pub severity: Severity,
    /// What it is about.
    pub target: NodeId,
    /// The prefix that it is about as well.
    pub prefix: Option<NodeId>,
    /// What else is known of it, by name.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
    /// The same for people, in a sentence.
    pub text: Box<str>,
    /// Whether it is so now; `false` is the recovery.
    pub raised: bool,
    /// When that began, or ended.
    pub at: Millis,
}

impl Signal {
    /// A signal about `target`, without more.
    pub fn new(plane: &str, kind: &str, target: NodeId, raised: bool, at: Millis) -> Self {
        Self {
            plane: plane.into(),
            kind: kind.into(),
            severity: Severity::Warning,
            target,
            prefix: None,
            attributes: BTreeMap::new(),
            text: Box::default(),
            raised,
            at,
        }
    }

    /// The same within the bounds of a signal: texts cut, attributes left out. `None` if it has no plane
    /// or kind that can be a word, or a prefix that is none.
    #[must_use]
    pub fn bounded(mut self) -> Option<Self> {
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= MAX_WORD_BYTES
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        let is_prefix = |node: &NodeId| node.kind() == NodeKind::Prefix;
        if !word(&self.plane) || !word(&self.kind) || !self.prefix.iter().all(is_prefix) {
            return None;
        }
        self.text = cut(&self.text);
        self.attributes.retain(|key, _| word(key));
        while self.attributes.len() > MAX_SIGNAL_ATTRIBUTES {
            self.attributes.pop_last();
        }
        self.attributes.values_mut().for_each(|value| *value = cut(value));
        Some(self)
    }
}

/// The beginning of a text, at most as long as a signal's text may be, without control characters.
fn cut(text: &str) -> Box<str> {
    let mut end = text.len().min(MAX_SIGNAL_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_keeps_its_bounds() {
        let target: NodeId = "host:web".parse().expect("valid");
        let mut signal = Signal::new("active", "icmp_failed", target.clone(), true, Millis(1));
        signal.text = "ü".repeat(400).into();
        for i in 0..40 {
            signal.attributes.insert(format!("a{i}").into(), "x".repeat(900).into());
        }
        signal.attributes.insert("not a word".into(), "x".into());
        let signal = signal.bounded().expect("its words are words");
        assert_eq!(signal.text.len(), MAX_SIGNAL_TEXT_BYTES);
        assert_eq!(signal.attributes.len(), MAX_SIGNAL_ATTRIBUTES);
        assert!(signal.attributes.values().all(|v| v.len() == MAX_SIGNAL_TEXT_BYTES));
        for (plane, kind) in [("", "x"), ("x", ""), ("a b", "x"), ("x", "a|b")] {
            let bad = Signal::new(plane, kind, target.clone(), true, Millis(1));
            assert_eq!(bad.bounded(), None, "{plane} {kind}");
        }
        let mut odd = Signal::new("flow", "x", target.clone(), true, Millis(1));
        odd.prefix = Some(target);
        assert_eq!(odd.bounded(), None);
    }

    #[test]
    fn severities_are_in_order_and_read_as_written() {
        let all = [Severity::Info, Severity::Warning, Severity::Critical];
        assert!(all.is_sorted());
        for severity in all {
            assert_eq!(severity.as_str().parse(), Ok(severity));
        }
        assert!("Critical".parse::<Severity>().is_err());
    }
}
