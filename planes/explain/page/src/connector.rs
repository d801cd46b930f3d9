//! How a provider is reached: written by admins, its secrets never shown again.

use std::collections::BTreeSet;

use holm_model::SiteId;
use serde::{Deserialize, Serialize};

use crate::checks::{
    MAX_TEXT_BYTES, address, belongs, ca_of, checked_url, host_and_port, plain, url_of, within,
    wrong,
};
use crate::draft::{ConnectorError, Draft, Mail, Provider};
use crate::{Secret, is_name};

/// Most addresses of an e-mail connector.
pub const MAX_RECIPIENTS: usize = 16;
const MAX_SECRET_BYTES: usize = 1_024;
/// Shortest secret by which somebody is known, in bytes.
const MIN_SIGNING_BYTES: usize = 16;

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
