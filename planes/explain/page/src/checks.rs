//! Fields of a connector, each checked where it comes in.

use std::net::IpAddr;

use crate::draft::{ConnectorError, Draft, Provider};

/// Longest text of a field, in bytes.
pub(crate) const MAX_TEXT_BYTES: usize = 255;
const MAX_URL_BYTES: usize = 1_024;
const MAX_CA_BYTES: usize = 4 * 1_024;

pub(crate) fn wrong(field: &'static str, what: impl Into<String>) -> ConnectorError {
    ConnectorError::Field { field, what: what.into() }
}

/// That no field is given that the provider does not have.
pub(crate) fn belongs(provider: Provider, draft: &Draft) -> Result<(), ConnectorError> {
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

pub(crate) fn within(
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

pub(crate) fn plain(
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
pub(crate) fn address(field: &'static str, text: &str) -> Result<Box<str>, ConnectorError> {
    let text = text.trim();
    match text.parse::<lettre::Address>() {
        Ok(_) if text.len() <= MAX_TEXT_BYTES => Ok(text.into()),
        _ => Err(wrong(field, format!("\"{}\" is no address", crate::cut(text, 60)))),
    }
}

pub(crate) fn ca_of(text: Option<String>) -> Result<Option<Box<str>>, ConnectorError> {
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

pub(crate) fn url_of(
    provider: Provider,
    url: Option<String>,
) -> Result<Option<Box<str>>, ConnectorError> {
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
pub(crate) fn checked_url(
    field: &'static str,
    text: &str,
    base: bool,
) -> Result<(), ConnectorError> {
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

pub(crate) fn host_and_port(text: &str, default: u16) -> Option<(&str, u16)> {
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
