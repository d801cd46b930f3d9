//! What the API says of changes that people and machines make, and of the sources that tell of them.

use std::collections::BTreeMap;

use holm_change::{ChangeKind, Provider};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::topology_types::FreshnessView;
use super::types::{Timestamp, api_type, api_word, request_type};

api_word!(
    /// What kind of change it is.
    RecordedChangeKind {
        /// Something was written to a repository.
        Commit,
        /// A setting is another one.
        Config,
        /// Software was brought to where it runs.
        Deploy,
        /// Infrastructure as code.
        Iac,
        /// Anything else.
        Other,
        /// A version was published.
        Release,
        /// Packets take another way.
        Route,
    }
);

impl From<ChangeKind> for RecordedChangeKind {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Commit => Self::Commit,
            ChangeKind::Config => Self::Config,
            ChangeKind::Deploy => Self::Deploy,
            ChangeKind::Iac => Self::Iac,
            ChangeKind::Other => Self::Other,
            ChangeKind::Release => Self::Release,
            ChangeKind::Route => Self::Route,
        }
    }
}

/// Who sends webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChangeProvider {
    /// Anything that signs as `docs/changes.md` says.
    Generic,
    #[value(name = "github")]
    GitHub,
    #[value(name = "gitlab")]
    GitLab,
}

impl From<Provider> for ChangeProvider {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Generic => Self::Generic,
            Provider::GitHub => Self::GitHub,
            Provider::GitLab => Self::GitLab,
        }
    }
}

impl From<ChangeProvider> for Provider {
    fn from(provider: ChangeProvider) -> Self {
        match provider {
            ChangeProvider::Generic => Self::Generic,
            ChangeProvider::GitHub => Self::GitHub,
            ChangeProvider::GitLab => Self::GitLab,
        }
    }
}

api_type!(
    /// A change that somebody made.
    RecordedChange {
        /// The same wherever and however often it was delivered.
        id: String,
        /// When it was made, as its source says.
        at: Timestamp,
        /// When a node took it first.
        taken_at: Timestamp,
        kind: RecordedChangeKind,
        title: String,
        author: Option<String>,
        /// What its source calls the things that were changed.
        words: Vec<String>,
        /// What these were in the topology where the change was taken.
        targets: Vec<String>,
        prefix: Option<String>,
        /// Whether it names something that the topology had, or a prefix.
        anchored: bool,
        url: Option<String>,
        /// The id of a webhook source, or `plane:` and the plane that saw it.
        source: String,
        /// What the source is called.
        source_name: Option<String>,
        /// The nodes that took it, as `site/node`.
        taken_by: Vec<String>,
        attributes: BTreeMap<String, String>,
    }
);

api_type!(
    /// Changes, the latest first.
    RecordedChangeList {
        items: Vec<RecordedChange>,
        /// How many there are like these.
        total: u64,
        from: Timestamp,
        to: Timestamp,
        freshness: FreshnessView,
    }
);

api_type!(
    /// One part of a score.
    ScorePart {
        /// `distance`, `time`, `author` or `blast`.
        name: String,
        /// How well it fits, from 0 to 1.
        value: f64,
        /// How much it counts; the weights of all parts add up to 1.
        weight: f64,
        /// What it adds to the score.
        points: f64,
        /// Why it is so.
        why: String,
    }
);

api_type!(
    /// A change that an incident may come from.
    RankedChange {
        change: RecordedChange,
        /// From 0 to 100: the sum of the points of its parts.
        score: f64,
        /// The fewest edges to one of the things that the incident is about, up to 4; null if it is further.
        hops: Option<u32>,
        /// In how many steps one of these needs what was changed; null if none does, as far as is known.
        needed_steps: Option<u32>,
        parts: Vec<ScorePart>,
    }
);

api_type!(
    /// The changes that an incident may come from, the likeliest first.
    RankedChangeList {
        incident: String,
        /// When it began: the topology of this moment is what nearness is measured in.
        began_at: Timestamp,
        /// From when to when changes count: to five minutes after it began, because clocks differ.
        from: Timestamp,
        to: Timestamp,
        /// What the incident is about, as it was looked for.
        about: Vec<String>,
        items: Vec<RankedChange>,
        /// How many changes there are in that time.
        total: u64,
        freshness: FreshnessView,
    }
);

api_type!(
    /// What became of the deliveries of a source at this node since it started.
    DeliveryCounts {
        /// Changes that were taken.
        accepted: u64,
        /// Changes that were known already: deliveries that came again.
        known: u64,
        /// Deliveries that say nothing of changes, such as pings.
        ignored: u64,
        /// Changes whose time lay ahead of this node's clock: they count as now.
        ahead: u64,
        /// Changes that name nothing in the topology.
        unanchored: u64,
        refused_signature: u64,
        /// Signed, but at another time.
        refused_stale: u64,
        refused_size: u64,
        /// Signed, but no JSON or not as it should be.
        refused_body: u64,
        /// Could not be written.
        refused_write: u64,
        last_at: Option<Timestamp>,
    }
);

api_type!(
    /// A source of webhooks, without its secret.
    ChangeSource {
        id: String,
        name: String,
        provider: ChangeProvider,
        /// Where it sends to, at any node of the tenant.
        path: String,
        created_at: Timestamp,
        created_by: String,
        revoked_at: Option<Timestamp>,
        revoked_by: Option<String>,
        here: DeliveryCounts,
    }
);

api_type!(
    /// The sources of webhooks, the oldest first, and what this node refused.
    ChangeSourceList {
        items: Vec<ChangeSource>,
        total: u64,
        refused_here: IngestRefusals,
    }
);

api_type!(
    /// Deliveries that this node refused since it started, of all tenants.
    IngestRefusals {
        /// To a source that is not there, or is of another provider.
        unknown: u64,
        /// Without the signature of their source.
        signature: u64,
        /// Signed at another time.
        stale: u64,
        /// Longer than 1 MiB.
        size: u64,
        /// Broken off, or slower than 10 s.
        unread: u64,
        /// More at once than this node reads.
        busy: u64,
        /// Signed, but no JSON or not as it should be.
        body: u64,
        /// Could not be written.
        write: u64,
    }
);

request_type!(
    /// A source of webhooks to be made.
    NewChangeSourceRequest {
        /// What people call it: 1 to 63 bytes.
        name: String,
        provider: ChangeProvider,
        /// The secret that the provider has already: 16 to 255 bytes. One is made otherwise.
        #[serde(default)]
        secret: Option<String>,
    }
);

api_type!(
    /// A source that was made. Its secret is shown this once.
    CreatedChangeSource {
        source: ChangeSource,
        secret: String,
    }
);

api_type!(
    /// That a delivery was taken.
    DeliveryAccepted {
        /// How many changes of it are new; 0 for one that came before, and for one that says nothing of changes.
        accepted: u64,
    }
);
