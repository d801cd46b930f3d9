//! Records as they lie in documents: a byte that says what it is, then a protobuf message.

use holm_model::{Millis, NodeId, NodeKind};
use prost::Message;

use crate::change::{cut, web_address};
use crate::{
    Change, ChangeId, ChangeKind, MAX_CHANGE_ATTRIBUTES, MAX_TARGETS, MAX_TEXT_BYTES,
    MAX_WORD_BYTES, Provider, Revoked, Source,
};

const CHANGE: u8 = b'c';
const SOURCE: u8 = b's';

#[derive(Clone, PartialEq, Message)]
struct PackedChange {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(uint64, tag = "2")]
    at: u64,
    #[prost(uint64, tag = "3")]
    taken_at: u64,
    #[prost(string, tag = "4")]
    kind: String,
    #[prost(string, tag = "5")]
    title: String,
    #[prost(string, tag = "6")]
    author: String,
    #[prost(string, repeated, tag = "7")]
    words: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    targets: Vec<String>,
    #[prost(string, tag = "9")]
    prefix: String,
    #[prost(string, tag = "10")]
    url: String,
    #[prost(string, tag = "11")]
    source: String,
    #[prost(btree_map = "string, string", tag = "12")]
    attributes: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct PackedSource {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    provider: String,
    #[prost(string, tag = "4")]
    secret: String,
    #[prost(string, tag = "5")]
    by: String,
    #[prost(uint64, tag = "6")]
    created_at: u64,
    #[prost(uint64, tag = "7")]
    revoked_at: u64,
    #[prost(string, tag = "8")]
    revoked_by: String,
}

impl Change {
    /// The change as a record's value.
    pub fn encode(&self) -> Vec<u8> {
        let texts = |texts: &[Box<str>]| texts.iter().map(ToString::to_string).collect();
        let attributes = self.attributes.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        with_tag(
            CHANGE,
            &PackedChange {
                id: self.id.to_string(),
                at: self.at.0,
                taken_at: self.taken_at.0,
                kind: self.kind.as_str().into(),
                title: self.title.to_string(),
                author: self.author.to_string(),
                words: texts(&self.words),
                targets: self.targets.iter().map(NodeId::to_string).collect(),
                prefix: self.prefix.as_ref().map(NodeId::to_string).unwrap_or_default(),
                url: self.url.to_string(),
                source: self.source.to_string(),
                attributes: attributes.collect(),
            },
        )
    }
}

impl Source {
    /// The source as the content of a policy: with its secret, if it is not revoked.
    pub fn encode(&self) -> Vec<u8> {
        let revoked = self.revoked.as_ref();
        with_tag(
            SOURCE,
            &PackedSource {
                id: self.id.to_string(),
                name: self.name.to_string(),
                provider: self.provider.as_str().into(),
                secret: self.secret.to_string(),
                by: self.by.to_string(),
                created_at: self.created_at.0,
                revoked_at: revoked.map_or(0, |revoked| revoked.at.0),
                revoked_by: revoked.map(|revoked| revoked.by.to_string()).unwrap_or_default(),
            },
        )
    }

    /// The source of a content; `None` if it is of a form that this version does not know.
    pub fn decode(content: &[u8]) -> Option<Self> {
        let (tag, packed) = content.split_first()?;
        if *tag != SOURCE {
            return None;
        }
        let packed = PackedSource::decode(packed).ok()?;
        let revoked = (packed.revoked_at > 0).then(|| Revoked {
            at: Millis(packed.revoked_at),
            by: cut(&packed.revoked_by, MAX_WORD_BYTES),
        });
        let provider: Provider = packed.provider.parse().ok()?;
        let secret = revoked.is_some() || (16..=255).contains(&packed.secret.len());
        (secret && Self::is_id(&packed.id)).then(|| Self {
            id: packed.id.into(),
            name: cut(&packed.name, MAX_WORD_BYTES),
            provider,
            secret: if revoked.is_some() { Box::default() } else { packed.secret.into() },
            by: cut(&packed.by, MAX_WORD_BYTES),
            created_at: Millis(packed.created_at),
            revoked,
        })
    }

    /// What several contents come to that stand beside each other: who revoked it counts.
    pub fn joined<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let read = contents.into_iter().filter_map(Self::decode);
        read.min_by_key(|source| (source.revoked.is_none(), source.encode()))
    }
}

/// A change that another node wrote. `None` if it is of a form that this version does not know, or beyond
/// the bounds that one of ours keeps.
pub(crate) fn decode(value: &[u8]) -> Option<Change> {
    let (tag, packed) = value.split_first()?;
    if *tag != CHANGE {
        return None;
    }
    change(PackedChange::decode(packed).ok()?)
}

fn change(packed: PackedChange) -> Option<Change> {
    let fits = packed.words.len() <= MAX_TARGETS
        && packed.targets.len() <= MAX_TARGETS
        && packed.attributes.len() <= MAX_CHANGE_ATTRIBUTES;
    if !fits {
        return None;
    }
    let id: ChangeId = packed.id.parse().ok()?;
    let kind: ChangeKind = packed.kind.parse().ok()?;
    let prefix = match &*packed.prefix {
        "" => None,
        prefix => Some(prefix.parse::<NodeId>().ok().filter(|id| id.kind() == NodeKind::Prefix)?),
    };
    let mut targets: Vec<NodeId> =
        packed.targets.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?;
    targets.sort_unstable();
    targets.dedup();
    let attributes = packed.attributes.iter();
    Some(Change {
        id,
        at: Millis(packed.at),
        taken_at: Millis(packed.taken_at),
        kind,
        title: cut(&packed.title, MAX_TEXT_BYTES),
        author: cut(&packed.author, MAX_TEXT_BYTES),
        words: packed.words.iter().map(|word| cut(word, MAX_WORD_BYTES)).collect(),
        targets,
        prefix,
        url: web_address(&packed.url),
        source: cut(&packed.source, MAX_WORD_BYTES),
        attributes: attributes
            .map(|(k, v)| (cut(k, MAX_WORD_BYTES), cut(v, MAX_TEXT_BYTES)))
            .collect(),
    })
}

fn with_tag(tag: u8, message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(tag);
    bytes.extend(message.encode_to_vec());
    bytes
}
