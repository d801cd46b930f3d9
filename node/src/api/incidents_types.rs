//! What the API says of incidents.

use std::collections::BTreeMap;

use holm_incident::{State, Verdict};
use holm_model::{NodeName, Severity, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::pages_types::PageDelivery;
use super::topology_types::FreshnessView;
use super::types::{Timestamp, api_type, api_word, request_type};

api_word!(
    /// Where an incident stands.
    IncidentState {
        /// Someone looks at it.
        Acknowledged,
        /// Its effect is over.
        Mitigated,
        /// Nobody has looked at it.
        Open,
        /// It was over, and is there again.
        Reopened,
        /// It is over.
        Resolved,
    }
);

impl From<State> for IncidentState {
    fn from(state: State) -> Self {
        match state {
            State::Acknowledged => Self::Acknowledged,
            State::Mitigated => Self::Mitigated,
            State::Open => Self::Open,
            State::Reopened => Self::Reopened,
            State::Resolved => Self::Resolved,
        }
    }
}

api_word!(
    /// How grave something is.
    SeverityView {
        /// To know.
        Info,
        /// To look at soon.
        Warning,
        /// To act upon now.
        Critical,
    }
);

impl From<Severity> for SeverityView {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

impl From<SeverityView> for Severity {
    fn from(severity: SeverityView) -> Self {
        match severity {
            SeverityView::Info => Self::Info,
            SeverityView::Warning => Self::Warning,
            SeverityView::Critical => Self::Critical,
        }
    }
}

/// What follows from how it looks from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IncidentVerdict {
    /// Nobody says that it is bad.
    Nothing,
    /// Bad from one place, well from others.
    OneVantage,
    /// Bad from several places, well from others: a way that some share.
    Path,
    /// Bad from everywhere that looked.
    TargetDown,
    /// Only one place has looked.
    Unconfirmed,
    /// Only who reaches nobody says so.
    Us,
}

impl From<&Verdict> for IncidentVerdict {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Nothing => Self::Nothing,
            Verdict::OneVantage { .. } => Self::OneVantage,
            Verdict::Path { .. } => Self::Path,
            Verdict::TargetDown { .. } => Self::TargetDown,
            Verdict::Unconfirmed { .. } => Self::Unconfirmed,
            Verdict::CutOff { .. } => Self::Us,
        }
    }
}

api_type!(
    /// How it looks from where: k of n. Each site is in one list.
    IncidentVantages {
        /// From here it is bad.
        failed: Vec<String>,
        /// From here it is well.
        fine: Vec<String>,
        /// From here it is bad, and they say that they reach nobody: that does not count.
        cut_off: Vec<String>,
    }
);

api_type!(
    /// What several people set at the same time, without seeing each other. Both stand here; the next
    /// action on the same field settles it.
    IncidentConflict {
        /// `state`, `owner` or `severity`.
        field: String,
        /// What each set, the one that stands first.
        actions: Vec<IncidentEntry>,
    }
);

api_type!(
    /// One incident, in short.
    IncidentView {
        /// Its first fault. Sites that saw the same fault apart give it the same id.
        id: String,
        /// Its other faults: it is found by any of them.
        also: Vec<String>,
        title: String,
        severity: SeverityView,
        state: IncidentState,
        state_since: Timestamp,
        opened_at: Timestamp,
        /// When something about it was last raised or cleared.
        last_signal_at: Timestamp,
        /// When it resolves by itself if nothing more is raised; null while something is.
        resolves_at: Option<Timestamp>,
        /// Whether something is bad still, as far as is known here.
        firing: bool,
        /// Whether it comes and goes: it is waited longer for its recovery.
        flapping: bool,
        /// Whose it is; null while it is nobody's.
        owner: Option<String>,
        /// What it is about, in order of the reports.
        targets: Vec<String>,
        /// Who reported it.
        sites: Vec<String>,
        planes: Vec<String>,
        verdict: IncidentVerdict,
        vantages: IncidentVantages,
        /// How many reports it is made of.
        reports: u64,
        /// How many things people did to it.
        actions: u64,
        conflicts: Vec<IncidentConflict>,
    }
);

api_type!(
    /// Incidents: those that are not resolved first, the gravest first, the latest first.
    IncidentList {
        items: Vec<IncidentView>,
        /// How many there are like these.
        total: u64,
        /// How many there are in each state, whatever was asked for.
        states: BTreeMap<String, u64>,
        freshness: FreshnessView,
    }
);

api_type!(
    /// An unbroken while.
    SpellView {
        from: Timestamp,
        /// Null while it lasts.
        to: Option<Timestamp>,
    }
);

api_type!(
    /// What one node reported.
    IncidentReport {
        /// `site/node/key`.
        id: String,
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        /// The fault that it is a report of.
        fault: String,
        plane: String,
        kind: String,
        severity: SeverityView,
        text: String,
        target: String,
        prefix: Option<String>,
        /// The target's names when it was first reported, with where they mean this: `host:10.0.0.5@site:berlin`.
        names: Vec<String>,
        /// What was next to it then.
        near: Vec<String>,
        attributes: BTreeMap<String, String>,
        /// When it was bad; of many the first and the latest.
        spells: Vec<SpellView>,
        /// How often it was raised.
        raised: u64,
        firing: bool,
        /// It did not recover: its node started again and its plane does not say it any more.
        lapsed: bool,
    }
);

/// Why two reports are one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JoinReason {
    /// They are of one fault.
    Fault,
    /// Somebody joined them.
    Hand,
    /// They are of neighbours, and began at about the same time.
    Near,
    /// They are about the same thing.
    Same,
    /// One is about a prefix, the other about what lies in it.
    Within,
}

api_type!(
    /// Why a report is part of the incident.
    IncidentJoin {
        /// The report.
        report: String,
        /// The earlier one that it is joined with.
        with: String,
        reason: JoinReason,
        /// The same for people.
        text: String,
    }
);

/// What an entry of the timeline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EntryKind {
    /// Somebody did something.
    Action,
    /// A signal was cleared.
    Cleared,
    /// A signal was raised.
    Raised,
    /// The state changed by itself.
    State,
}

api_type!(
    /// One thing that happened.
    IncidentEntry {
        at: Timestamp,
        kind: EntryKind,
        /// What was done, such as `ack` or `note`; of a signal its kind; of a state the state.
        what: String,
        /// Who: a person's credential and the site where it was used, or a plane and its node.
        by: String,
        text: String,
        /// What it was about or set: a target, an owner, a severity, faults.
        value: Option<String>,
    }
);

api_type!(
    /// One incident with all that is known of it.
    IncidentDetail {
        incident: IncidentView,
        /// In order of their beginning; of very many the first 1,000.
        reports: Vec<IncidentReport>,
        /// One fewer than there are reports.
        joins: Vec<IncidentJoin>,
        /// What happened, in order; of very much the latest 2,000.
        timeline: Vec<IncidentEntry>,
        /// Who was told of it by whom, in order; of very many the first 1,000.
        pages: Vec<PageDelivery>,
        freshness: FreshnessView,
    }
);

/// What can be done to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IncidentVerb {
    /// Somebody looks at it.
    Ack,
    /// It is somebody's (`owner`), or nobody's.
    Assign,
    /// It is as grave as `severity` says.
    Grade,
    /// It is one with the incident `with`.
    Join,
    /// Its effect is over.
    Mitigate,
    /// Only the `text`.
    Note,
    /// It is not over.
    Reopen,
    /// It is over; what is raised later opens it again.
    Resolve,
    /// The `faults` are another incident.
    Split,
}

impl IncidentVerb {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Assign => "assign",
            Self::Grade => "grade",
            Self::Join => "join",
            Self::Mitigate => "mitigate",
            Self::Note => "note",
            Self::Reopen => "reopen",
            Self::Resolve => "resolve",
            Self::Split => "split",
        }
    }
}

request_type!(
    /// What somebody does to an incident.
    IncidentActionRequest {
        /// What they say about it, at most 4,096 bytes; a note must say something.
        #[serde(default)]
        text: String,
        /// Of `assign`: whose it is now; nobody's if it is left out.
        #[serde(default)]
        owner: Option<String>,
        /// Of `grade`: how grave it is.
        #[serde(default)]
        severity: Option<SeverityView>,
        /// Of `split`: the faults that are another incident, at most 64 of `also`.
        #[serde(default)]
        faults: Vec<String>,
        /// Of `join`: the other incident.
        #[serde(default)]
        with: Option<String>,
    }
);
