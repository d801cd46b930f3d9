//! What the API says of alerts.

use std::collections::BTreeMap;

use holm_model::{NodeName, Severity, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::incidents_types::IncidentState;
use super::params::When;
use super::topology_types::FreshnessView;
use super::types::{Timestamp, api_type, api_word, request_type};

api_word!(
    /// How a group of a rule stands, the worst first.
    AlertState {
        /// It holds for long enough: an incident says so.
        Firing,
        /// It holds, and not for long enough yet.
        Pending,
        /// It fires, and a silence is on.
        Silenced,
        /// It fires, and another rule that fires makes it quiet.
        Inhibited,
    }
);

api_word!(
    /// How a rule stands, the worst first.
    AlertRuleState {
        /// It cannot be judged.
        Broken,
        /// A group of it fires.
        Firing,
        /// A group of it holds, and not for long enough yet.
        Pending,
        /// It has no value.
        NoData,
        /// What is usual is not known yet.
        Warming,
        /// It does not hold.
        Inactive,
    }
);

api_type!(
    /// What fires or is about to, at all sites that are heard.
    AlertList {
        /// The gravest first.
        items: Vec<AlertView>,
        total: u64,
        /// How many there are of each, before the filter of states.
        counts: AlertCounts,
        /// When this node judged last.
        as_of: Timestamp,
        freshness: FreshnessView,
    }
);

api_type!(
    /// How many there are.
    AlertCounts {
        firing: u64,
        pending: u64,
        silenced: u64,
        inhibited: u64,
    }
);

api_type!(
    /// A group of a rule that holds or fires, at one node.
    AlertView {
        rule: String,
        title: String,
        #[schema(value_type = String)]
        severity: Severity,
        labels: BTreeMap<String, String>,
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        state: AlertState,
        /// What the group has in the columns of `by`; long texts of other sites are cut.
        group: BTreeMap<String, String>,
        /// What it is about.
        target: Option<String>,
        /// Since when it holds.
        since: Timestamp,
        /// When it fired.
        fired_at: Option<Timestamp>,
        /// The value, at the time of `as_of`.
        value: Option<f64>,
        /// The limits of what is usual, where that is judged; at this node alone.
        least: Option<f64>,
        most: Option<f64>,
        silenced_by: Option<String>,
        inhibited_by: Option<String>,
        /// The incident that it is in: acknowledge it there.
        incident: Option<AlertIncident>,
        /// When its node said so.
        as_of: Timestamp,
    }
);

api_type!(
    /// The incident of an alert.
    AlertIncident {
        id: String,
        state: IncidentState,
        owner: Option<String>,
    }
);

api_type!(
    /// The rules, and how they stand.
    AlertRuleList {
        /// Those that need looking at first.
        items: Vec<AlertRuleView>,
        total: u64,
        /// How many rules are in each state at this node.
        states: BTreeMap<String, u64>,
        /// When this node judged last.
        as_of: Timestamp,
        judged: AlertJudged,
        /// The folder of policies of this node, if there is one.
        folder: Option<PolicyFolder>,
        freshness: FreshnessView,
    }
);

api_type!(
    /// What judging took at this node.
    AlertJudged {
        /// Groups of all rules.
        groups: u64,
        /// How long the last judgement took, in milliseconds.
        took_ms: f64,
        /// Rows that were looked at.
        rows: u64,
        /// Rows that came more than ten minutes late, and were left out.
        late_rows: u64,
        /// Rows that were more than five minutes ahead of the clock, and were left out.
        ahead_rows: u64,
        /// Groups that found no room.
        refused_groups: u64,
        /// Firings that late rows took back.
        taken_back: u64,
        /// What is usual is being learnt from rows of the past weeks.
        learning: bool,
    }
);

api_type!(
    /// A folder of files that are policies.
    PolicyFolder {
        path: String,
        files: u64,
        /// Why the folder itself is not read.
        problem: Option<String>,
        /// Files that are refused; what they said before stands.
        refused: Vec<PolicyFile>,
    }
);

api_type!(
    /// A file that is refused.
    PolicyFile {
        path: String,
        tenant: String,
        /// Each with line and column.
        problems: Vec<String>,
    }
);

api_type!(
    /// A rule.
    AlertRuleView {
        name: String,
        title: String,
        description: Option<String>,
        #[schema(value_type = String)]
        severity: Severity,
        labels: BTreeMap<String, String>,
        /// The worst of all nodes.
        state: AlertRuleState,
        /// The table that it looks at; null for a composite.
        table: Option<String>,
        /// Groups at this node, and those of all nodes that fire or hold.
        groups: u64,
        firing: u64,
        pending: u64,
        /// Why it is not judged, or not all of it, at this node.
        problem: Option<String>,
        /// How many earlier hours are known of what is usual, and how many are needed.
        warming_known: Option<u64>,
        warming_needed: Option<u64>,
        /// How it stands at each node of which something is known.
        nodes: Vec<AlertRuleNode>,
        /// Who edited it last, and when.
        edited_by: String,
        edited_at: Timestamp,
        /// Edits that were made at the same time and stand as well: the next edit settles it.
        conflicts: u64,
        /// The file of a folder that holds it: it is edited there.
        file: Option<String>,
    }
);

api_type!(
    /// How a rule stands at a node.
    AlertRuleNode {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        state: AlertRuleState,
        groups: u64,
        firing: u64,
        pending: u64,
        problem: Option<String>,
        as_of: Timestamp,
    }
);

/// One rule, whole.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct AlertRuleDetail {
    #[serde(flatten)]
    pub(crate) view: AlertRuleView,
    /// The object of a file that it is.
    #[schema(value_type = Option<Object>)]
    pub(crate) rule: Option<serde_json::Value>,
    /// Its groups that hold or fire.
    pub(crate) alerts: Vec<AlertView>,
    /// When this node judged last.
    pub(crate) as_of: Timestamp,
    pub(crate) freshness: FreshnessView,
}

api_type!(
    /// What applying a file did.
    AlertsApplied {
        items: Vec<AlertsAppliedItem>,
    }
);

api_type!(
    /// What applying did to one rule.
    AlertsAppliedItem {
        name: String,
        /// `created`, `updated` or `unchanged`.
        change: String,
        /// Why this node cannot judge it, though others may.
        problem: Option<String>,
    }
);

api_type!(
    /// What a file would do.
    AlertCheck {
        /// Its rules, as objects.
        #[schema(value_type = Vec<Object>)]
        rules: Vec<serde_json::Value>,
        /// What is wrong with it; nothing is applied then.
        problems: Vec<AlertProblem>,
        /// What this node cannot judge, though others may.
        warnings: Vec<AlertProblem>,
    }
);

api_type!(
    /// Something that is wrong with a file. Lines and columns begin at 1.
    AlertProblem {
        line: u64,
        column: u64,
        path: String,
        text: String,
    }
);

request_type!(
    /// A rule that is to be looked at over rows of the past.
    AlertPreviewRequest {
        /// A file with one rule, YAML or JSON.
        rule: String,
        /// From when on; six hours before `to` if left out.
        #[schema(value_type = Option<String>)]
        from: Option<When>,
        /// Until when; now if left out.
        #[schema(value_type = Option<String>)]
        to: Option<When>,
    }
);

api_type!(
    /// How a rule would have stood over the rows of this node.
    AlertPreview {
        rule: String,
        from: Timestamp,
        to: Timestamp,
        /// So far apart are points, in milliseconds; the rule is judged more often.
        every_ms: u64,
        /// The limits of the condition, where they stand still.
        above: Option<f64>,
        below: Option<f64>,
        /// Groups that would have fired first; at most 20.
        groups: Vec<AlertPreviewGroup>,
        groups_total: u64,
        /// How often it would have fired, in the groups that are shown.
        firings: u64,
        /// Why it cannot be judged here, or not all of it.
        problem: Option<String>,
        /// How many earlier hours are known of what is usual, and how many are needed.
        warming_known: Option<u64>,
        warming_needed: Option<u64>,
        /// Rows that were looked at, the time before included that it needs.
        rows: u64,
    }
);

api_type!(
    /// A group over time.
    AlertPreviewGroup {
        group: BTreeMap<String, String>,
        points: Vec<AlertPoint>,
        /// When it would have fired.
        firings: Vec<AlertSpell>,
    }
);

api_type!(
    /// A value.
    AlertPoint {
        at: Timestamp,
        value: Option<f64>,
        /// The limits of what is usual.
        least: Option<f64>,
        most: Option<f64>,
    }
);

api_type!(
    /// A while for which it would have fired.
    AlertSpell {
        /// Since when it held.
        since: Timestamp,
        /// When it fired.
        at: Timestamp,
        /// When it was over; null if it was not.
        end: Option<Timestamp>,
    }
);

/// Whether a silence counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SilenceState {
    /// It counts now.
    On,
    /// It will.
    Coming,
    /// It did; it is shown for a week.
    Over,
}

api_type!(
    /// The silences.
    SilenceList {
        items: Vec<SilenceView>,
    }
);

api_type!(
    /// A silence.
    SilenceView {
        id: String,
        state: SilenceState,
        /// What must be so, all of it: `rule`, `severity`, `site`, `target`, a label, or a column of `by`; `*` is
        /// anything.
        matchers: BTreeMap<String, String>,
        from: Timestamp,
        until: Timestamp,
        comment: String,
        created_by: String,
        created_at: Timestamp,
        /// Alerts that it silences now, at all nodes.
        silences: u64,
    }
);

request_type!(
    /// A silence that is to be made.
    NewSilence {
        /// What must be so, all of it: `rule`, `severity`, `site`, `target`, a label, or a column of `by`; `*` is
        /// anything.
        matchers: BTreeMap<String, String>,
        /// From when on; now if left out.
        #[schema(value_type = Option<String>)]
        from: Option<When>,
        /// Until when; at most 366 days after.
        #[schema(value_type = String)]
        until: When,
        /// Why.
        #[serde(default)]
        comment: String,
    }
);
