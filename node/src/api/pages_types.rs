//! What the API says of paging: connectors, routes, and what was told.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::SiteId;
use holm_page::{Event, Mail, Phase, Provider};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::incidents_types::SeverityView;
use super::topology_types::FreshnessView;
use super::types::{Timestamp, api_type, api_word, request_type};

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(crate) enum PageProvider {
    /// Mail, by SMTP with TLS.
    Email,
    /// A Jira issue.
    Jira,
    /// An Opsgenie alert.
    Opsgenie,
    /// A PagerDuty event (Events API v2).
    PagerDuty,
    /// A ServiceNow incident (Table API).
    ServiceNow,
    /// A Slack message.
    Slack,
    /// A Microsoft Teams card, by a workflow.
    Teams,
    /// Any HTTP server, signed as `docs/paging.md` says.
    Webhook,
}

impl From<Provider> for PageProvider {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Email => Self::Email,
            Provider::Jira => Self::Jira,
            Provider::Opsgenie => Self::Opsgenie,
            Provider::PagerDuty => Self::PagerDuty,
            Provider::ServiceNow => Self::ServiceNow,
            Provider::Slack => Self::Slack,
            Provider::Teams => Self::Teams,
            Provider::Webhook => Self::Webhook,
        }
    }
}

impl From<PageProvider> for Provider {
    fn from(provider: PageProvider) -> Self {
        match provider {
            PageProvider::Email => Self::Email,
            PageProvider::Jira => Self::Jira,
            PageProvider::Opsgenie => Self::Opsgenie,
            PageProvider::PagerDuty => Self::PagerDuty,
            PageProvider::ServiceNow => Self::ServiceNow,
            PageProvider::Slack => Self::Slack,
            PageProvider::Teams => Self::Teams,
            PageProvider::Webhook => Self::Webhook,
        }
    }
}

/// How mail is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PageMail {
    /// From the first byte: port 465 unless the address has another.
    Implicit,
    /// By STARTTLS; nothing is sent where the server does not offer it: port 587 unless the address has another.
    Starttls,
}

impl From<Mail> for PageMail {
    fn from(mail: Mail) -> Self {
        match mail {
            Mail::Implicit => Self::Implicit,
            Mail::Starttls => Self::Starttls,
        }
    }
}

impl From<PageMail> for Mail {
    fn from(mail: PageMail) -> Self {
        match mail {
            PageMail::Implicit => Self::Implicit,
            PageMail::Starttls => Self::Starttls,
        }
    }
}

request_type!(
    /// How a provider is reached. What a provider does not have is refused.
    PageConnectorRequest {
        provider: PageProvider,
        /// Where the provider is: `https://…` (plain `http` only to this machine), of mail `smtp://HOST:PORT`. Opsgenie, PagerDuty
        /// and Slack have their own unless it is given; Teams and Slack's incoming webhooks have it in the secret.
        #[serde(default)]
        url: Option<String>,
        /// Password, token or key; of Teams and of Slack without `channel` the whole address; of a webhook what bodies are signed
        /// with. Left out, the one that is known stays. It is never shown.
        #[serde(default)]
        secret: Option<String>,
        /// What inbound webhooks are signed with, at least 16 bytes. Left out, the one that is known stays; empty, there is none.
        #[serde(default)]
        inbound_secret: Option<String>,
        /// Who logs in: of mail, Jira and ServiceNow.
        #[serde(default)]
        user: Option<String>,
        /// Of mail: from whom.
        #[serde(default)]
        from: Option<String>,
        /// Of mail: to whom, at most 16.
        #[serde(default)]
        to: Vec<String>,
        /// Of mail: `starttls` unless given.
        #[serde(default)]
        tls: Option<PageMail>,
        /// Of Slack: the channel's id; with it the secret is a bot token, and what follows a page goes into its thread.
        #[serde(default)]
        channel: Option<String>,
        /// Of Jira: the key of the project.
        #[serde(default)]
        project: Option<String>,
        /// Of Jira: the type of the issue, `Task` unless given.
        #[serde(default)]
        issue_type: Option<String>,
        /// Of Jira: the transition, or the status it leads to, that ends an issue; any that is done unless given. Of ServiceNow:
        /// the code with which an incident is resolved.
        #[serde(default)]
        done: Option<String>,
        /// Of Jira: the version of its API, 3 (Cloud) unless given, or 2 (Data Center).
        #[serde(default)]
        api: Option<u8>,
        /// A root certificate (PEM) that is trusted beside the system's.
        #[serde(default)]
        ca: Option<String>,
        /// Only these sites deliver; all that have the tenant unless given.
        #[schema(value_type = Vec<String>)]
        #[serde(default)]
        sites: Vec<SiteId>,
        /// Nothing is sent until it is no longer paused; what is queued waits.
        #[serde(default)]
        paused: bool,
        /// Most requests an hour of one node: 1 to 36,000; 1,200 unless given.
        #[serde(default)]
        attempts_an_hour: Option<u32>,
        /// Most pages a minute: 1 to 600; 30 unless given. What is over that is folded into one summary.
        #[serde(default)]
        pages_a_minute: Option<u32>,
        /// How long a page is tried, in hours: 1 to 168; 24 unless given.
        #[serde(default)]
        give_up_after_h: Option<u32>,
    }
);

api_type!(
    /// An edit of a connector or route.
    PageEditView {
        /// Who made it, and at which node.
        by: String,
        at: Timestamp,
        /// It takes it away.
        removed: bool,
    }
);

api_type!(
    /// A connector, without its secrets.
    PageConnector {
        name: String,
        /// Null if this version does not understand it.
        provider: Option<PageProvider>,
        /// Null where the provider's own or the secret's counts. Who is no admin sees scheme and host, and `/…` for the rest.
        url: Option<String>,
        secret_set: bool,
        inbound_secret_set: bool,
        /// Where a provider sends to, at any node of the tenant; null while there is no inbound secret.
        inbound_path: Option<String>,
        user: Option<String>,
        from: Option<String>,
        to: Vec<String>,
        tls: Option<PageMail>,
        channel: Option<String>,
        project: Option<String>,
        issue_type: Option<String>,
        done: Option<String>,
        api: Option<u8>,
        ca: Option<String>,
        sites: Vec<String>,
        paused: bool,
        attempts_an_hour: u32,
        pages_a_minute: u32,
        give_up_after_h: u32,
        /// Why nothing is delivered by it.
        problem: Option<String>,
        /// Messages that wait, of all sites.
        queued: u64,
        /// Messages that were given up, of all sites.
        dead: u64,
        /// Until when this node waits because the provider failed.
        down_until: Option<Timestamp>,
        last_failure: Option<String>,
        last_failure_at: Option<Timestamp>,
        last_delivered_at: Option<Timestamp>,
        edited: PageEditView,
        /// Edits that were made at the same time, apart; the first one counts until somebody edits it again.
        conflicts: Vec<PageEditView>,
    }
);

api_type!(
    /// The connectors, by name.
    PageConnectorList {
        items: Vec<PageConnector>,
        total: u64,
        /// The nodes that deliver now, as this node sees it: `site/node`.
        pagers: Vec<String>,
        freshness: FreshnessView,
    }
);

request_type!(
    /// Which incidents are told by which connectors.
    PageRouteRequest {
        /// As grave as this, or graver; `critical` unless given.
        #[serde(default)]
        severity: Option<SeverityView>,
        /// Reported by one of these sites; by any unless given.
        #[schema(value_type = Vec<String>)]
        #[serde(default)]
        sites: BTreeSet<SiteId>,
        /// About one of these: ids of the topology, in which `*` stands for anything.
        #[serde(default)]
        targets: Vec<String>,
        /// From one of these planes.
        #[serde(default)]
        planes: BTreeSet<String>,
        /// With a report of one of these kinds.
        #[serde(default)]
        kinds: BTreeSet<String>,
        /// By these connectors.
        connectors: BTreeSet<String>,
        /// Whether the end is told; yes unless given.
        #[serde(default)]
        resolve: Option<bool>,
        /// How long it must be open before it is told, in seconds: 0 to 604,800.
        #[serde(default)]
        after_s: u64,
        /// How long after a page it is told again while nobody looks at it, in seconds: 60 to 604,800; never unless given. At most 50 times.
        #[serde(default)]
        repeat_s: Option<u64>,
        /// It counts for nothing.
        #[serde(default)]
        paused: bool,
    }
);

api_type!(
    /// A route.
    PageRoute {
        name: String,
        severity: SeverityView,
        sites: Vec<String>,
        targets: Vec<String>,
        planes: Vec<String>,
        kinds: Vec<String>,
        connectors: Vec<String>,
        resolve: bool,
        after_s: u64,
        repeat_s: Option<u64>,
        paused: bool,
        /// Why it tells nobody.
        problem: Option<String>,
        edited: PageEditView,
        /// Edits that were made at the same time, apart; the first one counts until somebody edits it again.
        conflicts: Vec<PageEditView>,
    }
);

api_type!(
    /// The routes, by name.
    PageRouteList {
        items: Vec<PageRoute>,
        total: u64,
        freshness: FreshnessView,
    }
);

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PageEvent {
    /// Somebody looks at it.
    Acknowledge,
    /// It is wrong again.
    Reopen,
    /// It is wrong still, and nobody looks at it.
    Repeat,
    /// It is over.
    Resolve,
    /// More is wrong than may be told one by one.
    Summary,
    /// It is wrong.
    Trigger,
}

impl From<Event> for PageEvent {
    fn from(event: Event) -> Self {
        match event {
            Event::Acknowledge => Self::Acknowledge,
            Event::Reopen => Self::Reopen,
            Event::Repeat => Self::Repeat,
            Event::Resolve => Self::Resolve,
            Event::Summary => Self::Summary,
            Event::Trigger => Self::Trigger,
        }
    }
}

api_word!(
    /// What became of a message.
    PageState {
        /// It is given up; it can be replayed.
        Dead,
        /// The provider took it.
        Delivered,
        /// It was not wanted any more before it was delivered.
        Dropped,
        /// It was told within a summary.
        Folded,
        /// It is to be delivered.
        Queued,
    }
);

impl From<Phase> for PageState {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Dead => Self::Dead,
            Phase::Delivered => Self::Delivered,
            Phase::Dropped => Self::Dropped,
            Phase::Folded => Self::Folded,
            Phase::Queued => Self::Queued,
        }
    }
}

api_type!(
    /// One message to one connector, as the node that delivers it wrote down what became of it.
    PageDelivery {
        id: String,
        /// What it is about, and the provider's key for it: an incident, or of a summary its own id.
        incident: String,
        connector: String,
        /// Its number among the messages of this incident by this connector.
        seq: u32,
        event: PageEvent,
        state: PageState,
        /// Since when.
        at: Timestamp,
        /// When it was queued, or replayed.
        queued_at: Timestamp,
        /// The node that delivers it, as `site/node`.
        by: String,
        attempts: u32,
        /// Why it is not delivered; of one that is, why it was late.
        reason: Option<String>,
        /// What the provider calls it.
        provider_id: Option<String>,
        /// Where it is at the provider.
        url: Option<String>,
        replayed_by: Option<String>,
        /// The summary that it was told with.
        folded_into: Option<String>,
        severity: SeverityView,
        title: String,
        /// Of a summary: what is in it, the gravest first, at most 20.
        lines: Vec<String>,
        /// Of a summary: how many there are.
        count: u32,
    }
);

api_type!(
    /// Messages, the latest first.
    PageDeliveryList {
        items: Vec<PageDelivery>,
        /// How many there are like these.
        total: u64,
        /// How many there are in each state, whatever was asked for.
        states: BTreeMap<String, u64>,
        freshness: FreshnessView,
    }
);

api_type!(
    /// What became of a test page.
    PageTestResult {
        /// Whether the provider took it.
        accepted: bool,
        /// Whether it may take it later; where it is not, somebody has to correct the connector.
        passing: bool,
        /// Why it did not.
        reason: Option<String>,
        provider_id: Option<String>,
        url: Option<String>,
    }
);

api_type!(
    /// What became of what a provider said.
    PageHeard {
        /// `done`, `known` (it was done before, or is so already) or `ignored`.
        result: String,
        incident: Option<String>,
        /// Why it is ignored.
        why: Option<String>,
    }
);
