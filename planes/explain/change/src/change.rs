//! One change, and what a sender says of one before it is taken.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use holm_model::{Millis, NodeId, Prefix};

use crate::{ChangeId, SKEW_MS};

/// Longest title, author or address of a change, and longest value of an attribute, in bytes; longer ones
/// are cut.
pub const MAX_TEXT_BYTES: usize = 512;
/// Longest name of a changed thing, and of an attribute, in bytes.
pub const MAX_WORD_BYTES: usize = 255;
/// Most things that one change names.
pub const MAX_TARGETS: usize = 16;
/// Most attributes of a change; the last in order are left out.
pub const MAX_CHANGE_ATTRIBUTES: usize = 16;

/// What kind of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Software was brought to where it runs.
    Deploy,
    /// A setting is another one.
    Config,
    /// Packets take another way.
    Route,
    /// Infrastructure as code.
    Iac,
    /// Something was written to a repository.
    Commit,
    /// A version was published.
    Release,
    /// Anything else.
    Other,
}

impl ChangeKind {
    /// Every kind, in order.
    pub const ALL: [Self; 7] = [
        Self::Deploy,
        Self::Config,
        Self::Route,
        Self::Iac,
        Self::Commit,
        Self::Release,
        Self::Other,
    ];

    /// The kind as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Config => "config",
            Self::Route => "route",
            Self::Iac => "iac",
            Self::Commit => "commit",
            Self::Release => "release",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChangeKind {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or("a kind is one of deploy, config, route, iac, commit, release, other")
    }
}

/// What somebody changed. It is never written again: who takes the same delivery writes the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it is called.
    pub id: ChangeId,
    /// When it was made, as its source says; never ahead of when it was taken by more than clocks differ.
    pub at: Millis,
    /// When a node took it.
    pub taken_at: Millis,
    /// What kind it is.
    pub kind: ChangeKind,
    /// What was done, in a line.
    pub title: Box<str>,
    /// By whom; empty if that is not known.
    pub author: Box<str>,
    /// What its source calls the things that were changed.
    pub words: Vec<Box<str>>,
    /// What these were in the topology of the node that took it, when it did.
    pub targets: Vec<NodeId>,
    /// The prefix that was changed.
    pub prefix: Option<NodeId>,
    /// Where more of it stands; empty if nowhere.
    pub url: Box<str>,
    /// Where it came from: the id of a webhook source, or `plane:` and the plane that saw it.
    pub source: Box<str>,
    /// What else is known of it.
    pub attributes: BTreeMap<Box<str>, Box<str>>,
}

impl Change {
    /// Whether it names something that the topology had.
    pub fn is_anchored(&self) -> bool {
        !self.targets.is_empty() || self.prefix.is_some()
    }
}

/// What a source says of a change, before it is known where in the topology it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What tells it from other changes of the source; else the delivery and its place in that do.
    pub key: Option<String>,
    /// When it was made; when it was taken otherwise.
    pub at: Option<Millis>,
    /// What kind it is.
    pub kind: ChangeKind,
    /// What was done.
    pub title: String,
    /// By whom.
    pub author: String,
    /// What was changed, in the words of the source.
    pub words: Vec<String>,
    /// The prefix that was changed.
    pub prefix: Option<NodeId>,
    /// Where more of it stands.
    pub url: String,
    /// What else is known of it.
    pub attributes: BTreeMap<String, String>,
}

impl Draft {
    /// A draft without more.
    pub fn new(kind: ChangeKind, title: impl Into<String>) -> Self {
        Self {
            key: None,
            at: None,
            kind,
            title: title.into(),
            author: String::new(),
            words: Vec::new(),
            prefix: None,
            url: String::new(),
            attributes: BTreeMap::new(),
        }
    }

    /// The change within its bounds, with what `resolve` finds its words to mean. A time ahead of `now` by
    /// more than clocks differ is `now`: whether that was so.
    pub fn into_change(
        self,
        id: ChangeId,
        source: &str,
        now: Millis,
        mut resolve: impl FnMut(&str) -> Vec<NodeId>,
    ) -> (Change, bool) {
        let mut words: Vec<Box<str>> = Vec::new();
        for word in self.words.iter().map(|word| cut(word.trim(), MAX_WORD_BYTES)) {
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
        words.truncate(MAX_TARGETS);
        let mut targets: Vec<NodeId> = words.iter().flat_map(|word| resolve(word)).collect();
        targets.sort_unstable();
        targets.dedup();
        targets.truncate(MAX_TARGETS);
        let said = self.at.unwrap_or(now);
        let ahead = said > now + SKEW_MS;
        let attributes = self.attributes.iter().take(MAX_CHANGE_ATTRIBUTES);
        let attributes = attributes
            .map(|(key, value)| (cut(key, MAX_WORD_BYTES), cut(value, MAX_TEXT_BYTES)))
            .collect();
        let change = Change {
            id,
            at: if ahead { now } else { said },
            taken_at: now,
            kind: self.kind,
            title: cut(self.title.trim(), MAX_TEXT_BYTES),
            author: cut(self.author.trim(), MAX_TEXT_BYTES),
            words,
            targets,
            prefix: self.prefix,
            url: web_address(&self.url),
            source: cut(source, MAX_WORD_BYTES),
            attributes,
        };
        (change, ahead)
    }
}

/// The start of a text, in whole characters, without those that no line of text has.
pub(crate) fn cut(text: &str, most: usize) -> Box<str> {
    let mut length = 0;
    let kept = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let kept = kept.take_while(|c| {
        length += c.len_utf8();
        length <= most
    });
    kept.collect::<String>().into()
}

/// An address that a page can link to; anything else is left out. It is never fetched.
pub(crate) fn web_address(url: &str) -> Box<str> {
    let web = url.starts_with("https://") || url.starts_with("http://");
    match web && url.len() <= MAX_TEXT_BYTES && !url.contains(|c: char| c.is_control() || c == ' ')
    {
        true => url.into(),
        false => Box::default(),
    }
}

/// A prefix, or a single address as one, as it is written; `None` if it is none.
pub(crate) fn prefix_of(text: &str) -> Option<NodeId> {
    let text = text.trim();
    let text = text.strip_prefix("prefix:").unwrap_or(text);
    Prefix::parse(text)?;
    NodeId::observed(holm_model::NodeKind::Prefix, text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_its_bounds() {
        let mut draft = Draft::new(ChangeKind::Deploy, format!("a\nb{}", "é".repeat(600)));
        draft.words = (0..40).map(|i| format!(" w{} ", i / 2)).collect();
        draft.at = Some(Millis(10 * SKEW_MS));
        draft.url = "javascript:alert(1)".into();
        draft.attributes = (0..40).map(|i| (format!("k{i:02}"), "v".repeat(2_000))).collect();
        let (change, ahead) =
            draft.into_change(ChangeId::of(&[]), "s", Millis(SKEW_MS), |_| Vec::new());
        assert!(ahead && change.at == Millis(SKEW_MS) && !change.is_anchored());
        assert!(change.title.len() <= MAX_TEXT_BYTES && change.title.starts_with("a b"));
        assert_eq!(change.words.len(), MAX_TARGETS);
        assert_eq!(&*change.words[0], "w0");
        assert_eq!(&*change.url, "");
        assert_eq!(change.attributes.len(), MAX_CHANGE_ATTRIBUTES);
    }

    #[test]
    fn prefixes_are_read() {
        for (text, prefix) in [
            ("192.0.2.0/24", Some("prefix:192.0.2.0/24")),
            (" prefix:2001:db8::/32", Some("prefix:2001:db8::/32")),
            ("192.0.2.0/33", None),
            ("lan", None),
        ] {
            assert_eq!(prefix_of(text).map(|p| p.to_string()).as_deref(), prefix, "{text}");
        }
    }
}
