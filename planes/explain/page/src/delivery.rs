//! One message to one connector, as a node wrote down what became of it.

use std::fmt;
use std::str::FromStr;

use holm_model::{Millis, Severity};
use serde::{Deserialize, Serialize};

use crate::{RecordId, cut, is_name};

/// Longest reason that is kept, in characters.
const MAX_REASON: usize = 300;
const MAX_TITLE: usize = 300;
const MAX_ID_BYTES: usize = 200;
const MAX_URL_BYTES: usize = 500;
/// Most lines of a summary.
pub(crate) const MAX_LINES: usize = 20;

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It is wrong.
    Trigger,
    /// It is wrong still, and nobody looks at it.
    Repeat,
    /// It is wrong again.
    Reopen,
    /// Somebody looks at it.
    Acknowledge,
    /// It is over.
    Resolve,
    /// More is wrong than may be told one by one.
    Summary,
}

impl Event {
    /// The event as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Repeat => "repeat",
            Self::Reopen => "reopen",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
            Self::Summary => "summary",
        }
    }

    /// Whether somebody's telephone rings.
    pub const fn pages(self) -> bool {
        matches!(self, Self::Trigger | Self::Repeat | Self::Reopen | Self::Summary)
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is to be delivered.
    Queued,
    /// The provider took it.
    Delivered,
    /// It was told within a summary.
    Folded,
    /// It is given up; it can be replayed.
    Dead,
    /// It was not wanted any more before it was delivered.
    Dropped,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Delivered, Self::Folded, Self::Dead, Self::Dropped];

    /// The phase as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Folded => "folded",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }
}

/// What a delivery is called, in lists and by who replays it: a hash of whose record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(u64);

impl DeliveryId {
    /// Before all others.
    pub(crate) const LEAST: Self = Self(0);

    /// Of a record.
    pub fn of(id: &RecordId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("holm delivery id v1");
        for part in [id.pager.site.as_str(), id.pager.node.as_str(), &id.key] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let hash = hasher.finalize();
        Self(hash.as_bytes()[..8].iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p-{:016x}", self.0)
    }
}

impl FromStr for DeliveryId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("p-").filter(|hex| hex.len() == 16);
        let number = digits.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        number.map(Self).ok_or("a delivery is p- and 16 digits of hex")
    }
}

/// One message to one connector, as a node wrote down what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What it is about, and the provider's key for it: of an incident its id, of a summary an id of its own.
    pub incident: Box<str>,
    /// By which connector.
    pub connector: Box<str>,
    /// Its number among the messages of this incident by this connector.
    pub seq: u32,
    /// What is told.
    pub event: Event,
    /// What became of it.
    pub phase: Phase,
    /// Since when.
    pub at: Millis,
    /// Goes up when another node takes it over, and when it is replayed: what is said in a later round takes
    /// the place of what was said before, whatever the clocks say.
    #[serde(default)]
    pub round: u32,
    /// When it was queued, or replayed.
    pub queued_at: Millis,
    /// Since when the incident stood where this tells that it stands.
    pub turned_at: Millis,
    /// Requests that were made for it; written when it ends, and when the number has doubled.
    #[serde(default)]
    pub attempts: u32,
    /// Why it is not delivered; of one that is, why it was late.
    #[serde(default)]
    pub reason: Option<String>,
    /// What the provider calls it.
    #[serde(default)]
    pub provider_id: Option<String>,
    /// Where it is at the provider.
    #[serde(default)]
    pub url: Option<String>,
    /// Whether the end is to be told.
    pub ends: bool,
    /// Who replayed it.
    #[serde(default)]
    pub replayed_by: Option<Box<str>>,
    /// The summary that it was told with.
    #[serde(default)]
    pub folded_into: Option<Box<str>>,
    /// How grave it was.
    pub severity: Severity,
    /// What it said.
    pub title: Box<str>,
    /// Of a summary: what is in it, the gravest first.
    #[serde(default)]
    pub lines: Vec<String>,
    /// Of a summary: how many there are.
    #[serde(default)]
    pub count: u32,
}

impl Delivery {
    /// The key of its record among those of its node.
    pub fn key(&self) -> String {
        format!("{}/{}/{}/{}", self.incident, self.connector, self.seq, self.event.as_str())
    }

    /// As it is kept.
    pub fn encode(&self) -> Vec<u8> {
        let mut kept = self.clone();
        let short = |text: &mut Option<String>, max| {
            if let Some(text) = text {
                *text = cut(text, max);
            }
        };
        short(&mut kept.reason, MAX_REASON);
        kept.title = cut(&kept.title, MAX_TITLE).into();
        // An id or address that is cut leads nowhere.
        kept.provider_id = kept.provider_id.filter(|id| id.len() <= MAX_ID_BYTES);
        kept.url = kept.url.filter(|url| url.len() <= MAX_URL_BYTES);
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// As it was kept under `key`; `None` if that cannot be.
    pub fn decode(key: &str, bytes: &[u8]) -> Option<Self> {
        let delivery: Self = serde_json::from_slice(bytes).ok()?;
        let sound = delivery.key() == key
            && is_name(&delivery.connector)
            && delivery.incident.len() <= 40
            && delivery.lines.len() <= MAX_LINES;
        sound.then_some(delivery)
    }

    /// The same, with what became of it.
    #[must_use]
    pub fn turned(&self, phase: Phase, at: Millis) -> Self {
        Self { phase, at, ..self.clone() }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn delivery(incident: &str, seq: u32, event: Event, phase: Phase) -> Delivery {
        Delivery {
            incident: incident.into(),
            connector: "ops".into(),
            seq,
            event,
            phase,
            at: Millis(1_000),
            round: 0,
            queued_at: Millis(1_000),
            turned_at: Millis(1_000),
            attempts: 0,
            reason: None,
            provider_id: None,
            url: None,
            ends: true,
            replayed_by: None,
            folded_into: None,
            severity: Severity::Critical,
            title: "https://shop.example fails".into(),
            lines: Vec::new(),
            count: 0,
        }
    }

    #[test]
    fn what_is_kept_is_read_again_and_bounded() {
        let long = Delivery {
            reason: Some("x".repeat(5_000)),
            provider_id: Some("y".repeat(5_000)),
            ..delivery("i-7k2m9q4xw3ab1", 3, Event::Reopen, Phase::Dead)
        };
        let key = long.key();
        assert_eq!(key, "i-7k2m9q4xw3ab1/ops/3/reopen");
        let kept = Delivery::decode(&key, &long.encode()).expect("understood");
        assert_eq!(kept.reason.as_ref().map(|text| text.chars().count()), Some(MAX_REASON));
        assert_eq!(kept.provider_id, None);
        assert_eq!(Delivery::decode("i-7k2m9q4xw3ab1/ops/4/reopen", &long.encode()), None);
        assert_eq!(Delivery::decode(&key, b"{}"), None);
        let id = RecordId { pager: crate::members::tests::pager(0), key: key.as_str().into() };
        let id = DeliveryId::of(&id);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("p-1".parse::<DeliveryId>().is_err());
    }
}
