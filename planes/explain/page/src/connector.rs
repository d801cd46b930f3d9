//! How a provider is reached: written by admins, its secrets never shown again.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use holm_model::SiteId;
use serde::{Deserialize, Serialize};

use crate::{Secret, is_name};

/// Most addresses of an e-mail connector.
pub const MAX_RECIPIENTS: usize = 16;
const MAX_TEXT_BYTES: usize = 255;
const MAX_URL_BYTES: usize = 1_024;
const MAX_SECRET_BYTES: usize = 1_024;
const MAX_CA_BYTES: usize = 4 * 1_024;
/// Shortest secret by which somebody is known, in bytes.
const MIN_SIGNING_BYTES: usize = 16;

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

fn wrong(field: &'static str, what: impl Into<String>) -> ConnectorError {
    ConnectorError::Field { field, what: what.into() }
}

/// How a provider is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connector {
    /// What people call it.
    pub name: Box<str>,
    /// Who is told.
    pub provider: Provider,
    /// Where the provider is; absent where the secret says it.
    #[serde(default)]
    pub url: Option<Box<str>>,
    /// See [`Provider::secret_is`].
    #[serde(default)]
    pub secret: Option<Secret>,
    /// What inbound webhooks are signed with.
    #[serde(default)]
    pub inbound_secret: Option<Secret>,
    /// Who logs in.
    #[serde(default)]
    pub user: Option<Box<str>>,
    /// Of mail: from whom.
    #[serde(default)]
    pub from: Option<Box<str>>,
    /// Of mail: to whom.
    #[serde(default)]
    pub to: Vec<Box<str>>,
    /// Of mail: how it is encrypted.
    #[serde(default)]
    pub tls: Option<Mail>,
    /// Of Slack: the channel.
    #[serde(default)]
    pub channel: Option<Box<str>>,
    /// Of Jira: the project.
    #[serde(default)]
    pub project: Option<Box<str>>,
    /// Of Jira: the type of the issue.
    #[serde(default)]
    pub issue_type: Option<Box<str>>,
    /// Of Jira and ServiceNow: what ends an issue.
    #[serde(default)]
    pub done: Option<Box<str>>,
    /// Of Jira: the version of its API.
    #[serde(default)]
    pub api: Option<u8>,
    /// A root certificate that is trusted beside the system's.
    #[serde(default)]
    pub ca: Option<Box<str>>,
    /// Only these sites deliver.
    #[serde(default)]
    pub sites: BTreeSet<SiteId>,
    /// Nothing is sent.
    #[serde(default)]
    pub paused: bool,
    /// Most requests an hour, of one node.
    pub attempts_an_hour: u32,
    /// Most pages a minute, of all sites that are heard.
    pub pages_a_minute: u32,
    /// How long a page is tried, in hours.
    pub give_up_after_h: u32,
}

impl Connector {
    /// A connector of a draft; what is known of it before keeps its secrets, unless they would go elsewhere.
    ///
    /// # Errors
    /// [`ConnectorError`]
    pub fn new(
        name: &str,
        provider: Provider,
        draft: Draft,
        known: Option<&Self>,
    ) -> Result<Self, ConnectorError> {
        if !is_name(name) {
            return Err(ConnectorError::Name);
        }
        belongs(provider, &draft)?;
        let known = known.filter(|known| known.provider == provider);
        let text = |field, text: Option<String>| plain(field, text, MAX_TEXT_BYTES);
        let from = draft.from.map(|text| address("from", &text)).transpose()?;
        let to: Vec<Box<str>> =
            draft.to.iter().map(|text| address("to", text)).collect::<Result<_, _>>()?;
        if to.len() > MAX_RECIPIENTS {
            return Err(wrong("to", format!("at most {MAX_RECIPIENTS} addresses; use a list")));
        }
        let mut connector = Self {
            name: name.into(),
            provider,
            url: url_of(provider, draft.url)?,
            secret: draft.secret.filter(|text| !text.is_empty()).map(|text| Secret::new(&text)),
            inbound_secret: draft.inbound_secret.as_deref().map(Secret::new),
            user: text("user", draft.user)?,
            from,
            to,
            tls: draft.tls,
            channel: text("channel", draft.channel)?,
            project: text("project", draft.project)?,
            issue_type: text("issue_type", draft.issue_type)?,
            done: text("done", draft.done)?,
            api: draft.api,
            ca: ca_of(draft.ca)?,
            sites: draft.sites.into_iter().collect(),
            paused: draft.paused,
            attempts_an_hour: within("attempts_an_hour", draft.attempts_an_hour, 1_200, 36_000)?,
            pages_a_minute: within("pages_a_minute", draft.pages_a_minute, 30, 600)?,
            give_up_after_h: within("give_up_after_h", draft.give_up_after_h, 24, 168)?,
        };
        if connector.sites.len() > 64 {
            return Err(wrong("sites", "at most 64"));
        }
        connector.keep_secrets(known)?;
        connector.complete()?;
        Ok(connector)
    }

    fn keep_secrets(&mut self, known: Option<&Self>) -> Result<(), ConnectorError> {
        if let Some(known) = known {
            if self.secret.is_none() && known.secret.is_some() {
                let same = |a: &Self, b: &Self| {
                    (&a.url, &a.user, &a.channel.is_some(), &a.tls, &a.ca)
                        == (&b.url, &b.user, &b.channel.is_some(), &b.tls, &b.ca)
                };
                if !same(self, known) {
                    return Err(ConnectorError::SecretElsewhere);
                }
                self.secret.clone_from(&known.secret);
            }
            if self.inbound_secret.is_none() {
                self.inbound_secret.clone_from(&known.inbound_secret);
            }
        }
        if self.inbound_secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            self.inbound_secret = None;
        }
        for (field, secret) in [("secret", &self.secret), ("inbound_secret", &self.inbound_secret)]
        {
            let Some(secret) = secret else { continue };
            let text = secret.expose();
            if text.len() > MAX_SECRET_BYTES || text.chars().any(char::is_control) {
                let what = format!("at most {MAX_SECRET_BYTES} bytes without control characters");
                return Err(wrong(field, what));
            }
            let signs = field == "inbound_secret" || self.provider == Provider::Webhook;
            if signs && text.len() < MIN_SIGNING_BYTES {
                let what = format!("it signs, so it has at least {MIN_SIGNING_BYTES} bytes");
                return Err(wrong(field, what));
            }
        }
        Ok(())
    }

    /// That all is there which the provider needs.
    fn complete(&self) -> Result<(), ConnectorError> {
        use Provider::{Email, Jira, Opsgenie, PagerDuty, ServiceNow, Slack, Teams, Webhook};
        let provider = self.provider;
        let needs = |field, what| Err(ConnectorError::Missing { field, provider, what });
        match provider {
            Webhook if self.url.is_none() => return needs("url", "where bodies are posted"),
            Jira if self.url.is_none() => return needs("url", "https://NAME.atlassian.net"),
            ServiceNow if self.url.is_none() => {
                return needs("url", "https://NAME.service-now.com");
            }
            Email if self.url.is_none() => return needs("url", "smtp://HOST:PORT"),
            Email if self.from.is_none() => return needs("from", "an address"),
            Email if self.to.is_empty() => return needs("to", "one address at least"),
            Jira if self.project.is_none() => return needs("project", "its key, such as OPS"),
            ServiceNow if self.user.is_none() => return needs("user", "who logs in"),
            _ => {}
        }
        let optional = provider == Email && self.user.is_none();
        let Some(secret) = &self.secret else {
            return if optional { Ok(()) } else { needs("secret", provider.secret_is()) };
        };
        if optional {
            return needs("user", "who logs in with the secret");
        }
        let carries_url = provider == Teams || provider == Slack && self.channel.is_none();
        if carries_url {
            checked_url("secret", secret.expose(), false)?;
            if self.url.is_some() {
                return Err(wrong("url", "the secret is the whole address here; leave it out"));
            }
        }
        let header = matches!(provider, Opsgenie | PagerDuty | Jira | Slack) && !carries_url;
        if header && !secret.expose().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("secret", "it has letters, digits and signs only, no spaces"));
        }
        Ok(())
    }

    /// Where requests go; without a `/` at the end. Of e-mail: nothing.
    pub(crate) fn base(&self) -> &str {
        let base = self.url.as_deref().or(self.provider.default_url()).unwrap_or_default();
        base.trim_end_matches('/')
    }

    /// The secret, or nothing.
    pub(crate) fn secret_text(&self) -> &str {
        self.secret.as_ref().map_or("", Secret::expose)
    }

    /// The server of mail, and its port.
    pub(crate) fn mail_server(&self) -> Option<(&str, u16)> {
        let text = self.url.as_deref()?.strip_prefix("smtp://")?;
        let default = if self.tls == Some(Mail::Implicit) { 465 } else { 587 };
        host_and_port(text, default)
    }

    /// Whether a node of `site` may deliver.
    pub fn is_for(&self, site: &SiteId) -> bool {
        self.sites.is_empty() || self.sites.contains(site)
    }

    /// As it is kept: with its secrets, in documents that are sealed.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// As it was kept; `None` if this version does not understand it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let connector: Self = serde_json::from_slice(bytes).ok()?;
        is_name(&connector.name).then_some(connector)
    }
}

/// That no field is given that the provider does not have.
fn belongs(provider: Provider, draft: &Draft) -> Result<(), ConnectorError> {
    use Provider::{Email, Jira, ServiceNow, Slack, Teams};
    let of = |all: &[Provider]| all.contains(&provider);
    for (field, given, right) in [
        ("url", draft.url.is_some(), provider != Teams),
        ("user", draft.user.is_some(), of(&[Email, Jira, ServiceNow])),
        ("from", draft.from.is_some(), of(&[Email])),
        ("to", !draft.to.is_empty(), of(&[Email])),
        ("tls", draft.tls.is_some(), of(&[Email])),
        ("channel", draft.channel.is_some(), of(&[Slack])),
        ("project", draft.project.is_some(), of(&[Jira])),
        ("issue_type", draft.issue_type.is_some(), of(&[Jira])),
        ("done", draft.done.is_some(), of(&[Jira, ServiceNow])),
        ("api", draft.api.is_some(), of(&[Jira])),
        (
            "inbound_secret",
            draft.inbound_secret.as_ref().is_some_and(|s| !s.is_empty()),
            !of(&[Email]),
        ),
    ] {
        if given && !right {
            return Err(ConnectorError::NotOfProvider { field, provider });
        }
    }
    if draft.api.is_some_and(|api| api != 2 && api != 3) {
        return Err(wrong("api", "2 (Data Center) or 3 (Cloud)"));
    }
    Ok(())
}

fn within(
    field: &'static str,
    given: Option<u32>,
    default: u32,
    most: u32,
) -> Result<u32, ConnectorError> {
    let number = given.unwrap_or(default);
    if (1..=most).contains(&number) {
        return Ok(number);
    }
    Err(wrong(field, format!("{number} is given, it goes from 1 to {most}")))
}

fn plain(
    field: &'static str,
    text: Option<String>,
    most: usize,
) -> Result<Option<Box<str>>, ConnectorError> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    if text.len() > most || text.chars().any(char::is_control) {
        return Err(wrong(field, format!("at most {most} bytes without control characters")));
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

/// An address of mail, without a name.
fn address(field: &'static str, text: &str) -> Result<Box<str>, ConnectorError> {
    let text = text.trim();
    match text.parse::<lettre::Address>() {
        Ok(_) if text.len() <= MAX_TEXT_BYTES => Ok(text.into()),
        _ => Err(wrong(field, format!("\"{}\" is no address", crate::cut(text, 60)))),
    }
}

fn ca_of(text: Option<String>) -> Result<Option<Box<str>>, ConnectorError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    if text.len() > MAX_CA_BYTES {
        return Err(wrong("ca", format!("at most {MAX_CA_BYTES} bytes: the root alone")));
    }
    let read = reqwest::Certificate::from_pem_bundle(text.as_bytes());
    if !read.is_ok_and(|all| !all.is_empty()) || text.contains("PRIVATE KEY") {
        return Err(wrong("ca", "it is not a certificate in PEM"));
    }
    Ok(Some(text.trim().into()))
}

fn url_of(provider: Provider, url: Option<String>) -> Result<Option<Box<str>>, ConnectorError> {
    let Some(url) = plain("url", url, MAX_URL_BYTES)? else { return Ok(None) };
    if provider == Provider::Email {
        let server = url.strip_prefix("smtp://").and_then(|text| host_and_port(text, 587));
        return match server {
            Some(_) => Ok(Some(url)),
            None => Err(wrong("url", "smtp://HOST or smtp://HOST:PORT")),
        };
    }
    checked_url("url", &url, provider != Provider::Webhook)?;
    Ok(Some(url))
}

/// That an address is `https`, or `http` on this machine, and says neither user nor fragment. A `base` has
/// no query.
fn checked_url(field: &'static str, text: &str, base: bool) -> Result<(), ConnectorError> {
    // The address may be a secret: it is not said again.
    let url: reqwest::Url = text.parse().map_err(|_| wrong(field, "it is no URL"))?;
    let host = url.host_str().unwrap_or_default();
    let safe = url.scheme() == "https" || url.scheme() == "http" && is_loopback(host);
    if host.is_empty() || !safe {
        return Err(wrong(field, "https://…; plain http only to this machine (127.0.0.1, ::1)"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(wrong(field, "without user, password and fragment; secrets go into `secret`"));
    }
    if base && url.query().is_some() {
        return Err(wrong(field, "without a query: paths are added to it"));
    }
    Ok(())
}

/// Whether a host is this machine, by its address.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn host_and_port(text: &str, default: u16) -> Option<(&str, u16)> {
    let text = text.trim_end_matches('/');
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok()?)
        }
        _ => (text, default),
    };
    let host = host.trim_matches(['[', ']']);
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
    (!host.is_empty() && host.bytes().all(letter) && port > 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(url: &str, secret: &str) -> Draft {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Draft { url: given(url), secret: given(secret), ..Draft::default() }
    }

    fn say(provider: Provider, draft: Draft) -> String {
        match Connector::new("ops", provider, draft, None) {
            Ok(_) => "good".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_not_right_is_named_with_what_would_be() {
        let key = "0123456789abcdef";
        for (provider, draft, says) in [
            (Provider::Webhook, draft("https://example.org/in?x=1", key), "good"),
            (Provider::Webhook, draft("http://127.0.0.1:80/in", key), "good"),
            (Provider::Webhook, draft("http://[::1]:80/in", key), "good"),
            (Provider::Webhook, draft("http://example.org/in", key), "url: https://…"),
            (Provider::Webhook, draft("http://127.0.0.1.example.org/in", key), "url: https://…"),
            (Provider::Webhook, draft("ftp://127.0.0.1/in", key), "url: https://…"),
            (Provider::Webhook, draft("https://ada:pw@example.org", key), "url: without user"),
            (Provider::Webhook, draft("", key), "url: webhook needs it"),
            (Provider::Webhook, draft("https://example.org", ""), "secret: webhook needs it"),
            (Provider::Webhook, draft("https://example.org", "short"), "secret: it signs"),
            (Provider::PagerDuty, draft("", key), "good"),
            (Provider::PagerDuty, draft("", "a b"), "secret: it has letters"),
            (Provider::Teams, draft("", "https://example.org/flow?sig=1"), "good"),
            (Provider::Teams, draft("", "http://example.org/flow"), "secret: https://…"),
            (Provider::Teams, draft("https://example.org", key), "url: teams has none"),
            (Provider::Slack, draft("", "https://hooks.slack.com/services/T/B/x"), "good"),
            (Provider::Slack, draft("", "xoxb-1"), "secret: it is no URL"),
            (Provider::Jira, draft("https://example.org", key), "project: jira needs it"),
            (Provider::ServiceNow, draft("https://example.org", key), "user: servicenow needs it"),
            (Provider::Email, draft("https://example.org", ""), "url: smtp://HOST"),
            (Provider::Email, draft("smtp://mail.example.org", ""), "from: email needs it"),
        ] {
            let said = say(provider, draft.clone());
            assert!(said.starts_with(says), "{provider} {draft:?}: {said}");
        }
        let odd = Draft { channel: Some("C1".into()), ..draft("", key) };
        assert_eq!(say(Provider::PagerDuty, odd), "channel: pagerduty has none; leave it out");
        let many = Draft { pages_a_minute: Some(601), ..draft("", key) };
        assert!(say(Provider::PagerDuty, many).contains("601 is given, it goes from 1 to 600"));
        let bad_ca = Draft { ca: Some("nonsense".into()), ..draft("", key) };
        assert_eq!(say(Provider::PagerDuty, bad_ca), "ca: it is not a certificate in PEM");
        let mail = |from: &str, to: &str| Draft {
            from: Some(from.into()),
            to: vec![to.into()],
            ..draft("smtp://mail.example.org:2525", "")
        };
        assert_eq!(say(Provider::Email, mail("holm@example.org", "ada@example.org")), "good");
        let said = say(Provider::Email, mail("holm@example.org", "a@b\r\nBcc: c@d"));
        assert!(said.starts_with("to: \""), "{said}");
    }

    #[test]
    fn secrets_stay_unless_they_would_go_elsewhere() {
        let key = "0123456789abcdef";
        let first = Connector::new("ops", Provider::Webhook, draft("https://a.example", key), None);
        let first = first.expect("good");
        assert!(!format!("{first:?}").contains(key));
        let edit =
            |url: &str| Connector::new("ops", Provider::Webhook, draft(url, ""), Some(&first));
        assert_eq!(edit("https://a.example").expect("good").secret_text(), key);
        assert_eq!(edit("https://b.example"), Err(ConnectorError::SecretElsewhere));
        let inbound = Draft {
            inbound_secret: Some("another long secret".into()),
            ..draft("https://a.example", "")
        };
        let with = Connector::new("ops", Provider::Webhook, inbound, Some(&first)).expect("good");
        let kept = Connector::decode(&with.encode()).expect("understood");
        assert_eq!(kept, with);
        let off = Draft { inbound_secret: Some(String::new()), ..draft("https://a.example", "") };
        let off = Connector::new("ops", Provider::Webhook, off, Some(&with)).expect("good");
        assert_eq!((off.secret_text(), &off.inbound_secret), (key, &None));
    }
}
