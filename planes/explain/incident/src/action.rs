//! What people do to incidents. An action is never changed; what it had seen stands in it.

use holm_model::{Millis, Severity};

use crate::{FaultId, State};

/// Most moments of reports that an action names as ahead of it: the latest.
pub(crate) const MAX_AHEAD: usize = 256;

/// Longest text of an action, in bytes.
pub const MAX_NOTE_BYTES: usize = 4_096;
/// Longest name of an owner or of who acted, in bytes.
pub const MAX_OWNER_BYTES: usize = 200;
/// Most faults that one split takes out.
pub const MAX_FAULTS_OF_A_SPLIT: usize = 64;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Someone looks at it.
    Acknowledge,
    /// Its effect is over, its cause is not.
    Mitigate,
    /// It is over, whatever planes say; what is raised later opens it again.
    Resolve,
    /// It is not over.
    Reopen,
    /// Only the text.
    Note,
    /// It is someone's now, or nobody's.
    Assign(Option<Box<str>>),
    /// It is as grave as people say and not as planes do.
    Grade(Severity),
    /// These faults are another incident.
    Split(Vec<FaultId>),
    /// It is one with the incident of this fault.
    Join(FaultId),
}

impl Deed {
    /// The state that it leads to.
    pub(crate) fn state(&self) -> Option<State> {
        match self {
            Self::Acknowledge => Some(State::Acknowledged),
            Self::Mitigate => Some(State::Mitigated),
            Self::Resolve => Some(State::Resolved),
            Self::Reopen => Some(State::Reopened),
            _ => None,
        }
    }

    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Acknowledge => "ack",
            Self::Mitigate => "mitigate",
            Self::Resolve => "resolve",
            Self::Reopen => "reopen",
            Self::Note => "note",
            Self::Assign(_) => "assign",
            Self::Grade(_) => "grade",
            Self::Split(_) => "split",
            Self::Join(_) => "join",
        }
    }

    /// What of the incident it sets: of two actions with one field the later seen one counts.
    pub(crate) fn field(&self) -> Option<Field> {
        match self {
            Self::Acknowledge | Self::Mitigate | Self::Resolve | Self::Reopen => Some(Field::State),
            Self::Assign(_) => Some(Field::Owner),
            Self::Grade(_) => Some(Field::Severity),
            Self::Note | Self::Split(_) | Self::Join(_) => None,
        }
    }
}

/// What an action can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    State,
    Owner,
    Severity,
}

impl Field {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Owner => "owner",
            Self::Severity => "severity",
        }
    }
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Drawn at random: no two are alike.
    pub id: u64,
    /// The incident, by one of its faults.
    pub on: FaultId,
    /// When, by a clock that is never behind what was seen.
    pub at: Millis,
    /// Who.
    pub by: Box<str>,
    /// What.
    pub deed: Deed,
    /// What they said about it; may be empty.
    pub text: Box<str>,
    /// The actions that stood for the same field when this one was taken: it takes their place. One that
    /// is not among them was made at the same time, and both stand.
    pub seen: Vec<u64>,
    /// The moments of the incident's reports that lay ahead of `at` when it was taken: they were there by then,
    /// whatever the clocks of those who reported them say.
    pub ahead: Vec<Ahead>,
}

/// A moment of a report that is later than the action that saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ahead {
    /// The report, by [`crate::RecordId::digest`].
    pub report: u64,
    /// When something of it began or ended, by its writer's clock.
    pub moment: Millis,
}
