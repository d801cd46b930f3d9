//! What a connector is asked to be: the providers, their fields, and why one is refused.

use std::fmt;
use std::str::FromStr;

use holm_model::SiteId;
use serde::{Deserialize, Serialize};

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
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
    /// A Slack message: an incoming webhook, or `chat.postMessage` with a thread.
    Slack,
    /// A Microsoft Teams card, by a workflow.
    Teams,
    /// Any HTTP server, signed.
    Webhook,
}

impl Provider {
    /// Every provider, in order.
    pub const ALL: [Self; 8] = [
        Self::Email,
        Self::Jira,
        Self::Opsgenie,
        Self::PagerDuty,
        Self::ServiceNow,
        Self::Slack,
        Self::Teams,
        Self::Webhook,
    ];

    /// The provider as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Jira => "jira",
            Self::Opsgenie => "opsgenie",
            Self::PagerDuty => "pagerduty",
            Self::ServiceNow => "servicenow",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Webhook => "webhook",
        }
    }

    /// What its secret is, for people.
    pub const fn secret_is(self) -> &'static str {
        match self {
            Self::Email => "the password of `user`",
            Self::Jira => "the API token of `user`, or without a user a personal access token",
            Self::Opsgenie => "the API key of an API integration",
            Self::PagerDuty => "the integration key of an Events API v2 integration",
            Self::ServiceNow => "the password of `user`",
            Self::Slack => "with `channel` a bot token, without it the URL of an incoming webhook",
            Self::Teams => "the URL of a workflow that posts to a channel",
            Self::Webhook => "what bodies are signed with, at least 16 bytes",
        }
    }

    /// Whether what it was told stays open until it is told the end.
    pub const fn keeps_open(self) -> bool {
        matches!(self, Self::Jira | Self::Opsgenie | Self::PagerDuty | Self::ServiceNow)
    }

    /// Where it is unless `url` says otherwise.
    pub(crate) const fn default_url(self) -> Option<&'static str> {
        match self {
            Self::Opsgenie => Some("https://api.opsgenie.com"),
            Self::PagerDuty => Some("https://events.pagerduty.com"),
            Self::Slack => Some("https://slack.com"),
            _ => None,
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|provider| provider.as_str() == text);
        known.ok_or(
            "a provider is one of email, jira, opsgenie, pagerduty, servicenow, slack, teams, webhook",
        )
    }
}

/// How mail is encrypted: never not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mail {
    /// From the first byte: port 465.
    Implicit,
    /// By STARTTLS, and not at all where the server does not offer it: port 587.
    Starttls,
}

/// A connector as somebody asks for it; fields that its provider does not have are refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// Where the provider is.
    pub url: Option<String>,
    /// The secret; left out, the one that is known stays.
    pub secret: Option<String>,
    /// What inbound webhooks are signed with; left out, the one that is known stays; empty, there is none.
    pub inbound_secret: Option<String>,
    /// Who logs in.
    pub user: Option<String>,
    /// Of mail: from whom.
    pub from: Option<String>,
    /// Of mail: to whom.
    pub to: Vec<String>,
    /// Of mail: how it is encrypted.
    pub tls: Option<Mail>,
    /// Of Slack: the channel's id.
    pub channel: Option<String>,
    /// Of Jira: the project's key.
    pub project: Option<String>,
    /// Of Jira: the type of the issue.
    pub issue_type: Option<String>,
    /// Of Jira: the transition, or the status that it leads to, that ends an issue. Of ServiceNow: the code
    /// with which an incident is resolved.
    pub done: Option<String>,
    /// Of Jira: the version of its API, 2 (Data Center) or 3 (Cloud).
    pub api: Option<u8>,
    /// A root certificate (PEM) that is trusted beside the system's.
    pub ca: Option<String>,
    /// Only these sites deliver; all that have the tenant otherwise.
    pub sites: Vec<SiteId>,
    /// Nothing is sent until it is no longer paused.
    pub paused: bool,
    /// Most requests an hour: 1 to 36,000.
    pub attempts_an_hour: Option<u32>,
    /// Most pages a minute: 1 to 600. What is over that is folded into one summary.
    pub pages_a_minute: Option<u32>,
    /// How long a page is tried, in hours: 1 to 168.
    pub give_up_after_h: Option<u32>,
}

/// Why a connector was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorError {
    /// The name has another character, or is too long.
    #[error("name: it has 1 to 63 small letters, digits and -")]
    Name,
    /// A field that the provider does not have.
    #[error("{field}: {provider} has none; leave it out")]
    NotOfProvider {
        /// The field.
        field: &'static str,
        /// The provider.
        provider: Provider,
    },
    /// A field that the provider needs.
    #[error("{field}: {provider} needs it: {what}")]
    Missing {
        /// The field.
        field: &'static str,
        /// The provider.
        provider: Provider,
        /// What it is.
        what: &'static str,
    },
    /// A field that is not right.
    #[error("{field}: {what}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is not right, and what would be.
        what: String,
    },
    /// The address is another one, and the secret of before would be sent there.
    #[error(
        "secret: it has to be given again where the address changes, so that the one that is known is not sent elsewhere"
    )]
    SecretElsewhere,
}
