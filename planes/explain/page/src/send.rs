//! Sends a page, and says what became of it. The only part of this crate that does I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holm_model::Millis;

use crate::checks::is_loopback;
use crate::provider::{
    Answer, Message, Outcome, jira, opsgenie, pagerduty, servicenow, slack, teams, webhook,
};
use crate::{Connector, MAX_ANSWER_BYTES, MayDial, Page, Provider, smtp};

/// How long connecting, one request, and a whole message of several requests may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const REQUEST_LIMIT: Duration = Duration::from_secs(20);
/// What comes after the status names the message at the provider, at best.
const REST_LIMIT: Duration = Duration::from_secs(3);
const MESSAGE_LIMIT: Duration = Duration::from_secs(60);
/// Most clients with roots of their own that are kept.
const MAX_CLIENTS: usize = 64;

/// Clients for HTTP: the system's roots, and beside them that of a connector; redirects are not followed.
#[derive(Debug)]
pub struct Http {
    /// How long a request may take.
    limit: Duration,
    /// Which addresses may be dialled.
    may_dial: MayDial,
    /// By the root that is trusted beside the system's, and whether a proxy is passed by.
    clients: Mutex<BTreeMap<(Box<str>, bool), reqwest::Client>>,
    /// Who took mails that others of their recipients did not take yet.
    mailed: smtp::Told,
}

impl Http {
    /// Without any connection; a request may take 20 s.
    pub fn new(may_dial: MayDial) -> Self {
        Self::with_limit(REQUEST_LIMIT, may_dial)
    }

    /// The same, where a request may take so long.
    pub fn with_limit(limit: Duration, may_dial: MayDial) -> Self {
        Self { limit, may_dial, clients: Mutex::default(), mailed: smtp::Told::default() }
    }

    fn client(&self, connector: &Connector, local: bool) -> Result<reqwest::Client, String> {
        let key = (connector.ca.clone().unwrap_or_default(), local);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let mut builder = reqwest::Client::builder()
            .use_rustls_tls()
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(self.may_dial.clone()))
            .user_agent(concat!("holm/", env!("CARGO_PKG_VERSION")));
        if local {
            builder = builder.no_proxy();
        }
        if let Some(ca) = &connector.ca {
            let roots = reqwest::Certificate::from_pem_bundle(ca.as_bytes())
                .map_err(|_| "ca: it is not a certificate in PEM".to_owned())?;
            builder = roots.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let client = builder.build().map_err(|error| chain(&error.without_url()))?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// One request; what its failure means for the message.
    pub(crate) async fn call(
        &self,
        connector: &Connector,
        message: Message,
    ) -> Result<Answer, Outcome> {
        let provider = connector.provider;
        let failed = |why: String| Outcome::retry(format!("{provider} is not reached: {why}"));
        let url: reqwest::Url =
            message.url.parse().map_err(|_| Outcome::refused("the address is no URL"))?;
        let local = url.host_str().is_some_and(is_loopback);
        // Parsed when it was written; checked where it counts as well.
        if url.scheme() != "https" && !local {
            return Err(Outcome::refused("the address is not https"));
        }
        // No name is looked up of it.
        let host = url.host_str().unwrap_or_default();
        self.may_dial.check_literal(host).map_err(|error| failed(error.to_string()))?;
        let client = self.client(connector, local).map_err(Outcome::refused)?;
        let mut request = client.request(message.method, url);
        for (name, value) in &message.headers {
            let mut value = reqwest::header::HeaderValue::from_str(value)
                .map_err(|_| Outcome::refused(format!("{name}: it cannot be sent in a header")))?;
            value.set_sensitive(*name == "authorization");
            request = request.header(*name, value);
        }
        if let Some(body) = message.body {
            request = request.body(body);
        }
        let started = tokio::time::Instant::now();
        let answered = tokio::time::timeout(self.limit, request.send()).await;
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failed(chain(&error.without_url()))),
            Err(_) => {
                return Err(failed(format!("no answer within {:?}", self.limit)));
            }
        };
        let mut answer = Answer {
            status: response.status().as_u16(),
            retry_after_ms: retry_after_ms(response.headers()),
            body: Vec::new(),
        };
        // What a provider took is taken, whatever becomes of the rest of its answer.
        let until = self.limit.min(started.elapsed() + REST_LIMIT);
        while answer.body.len() < MAX_ANSWER_BYTES {
            let left = until.saturating_sub(started.elapsed());
            let Ok(Ok(Some(piece))) = tokio::time::timeout(left, response.chunk()).await else {
                break;
            };
            let room = MAX_ANSWER_BYTES - answer.body.len();
            answer.body.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Ok(answer)
    }
}

/// How long an answer asks to wait, if it says so in seconds. Dates are not read: they are by another clock.
fn retry_after_ms(headers: &reqwest::header::HeaderMap) -> Option<u64> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some((seconds * 1_000.0).min(1e12) as u64)
}

/// An error with its causes, without the address, which may be a secret.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    crate::cut(&crate::escape::clean(&text), 240)
}

/// Sends a page. `known`: what the provider calls what it was told before of the same.
pub async fn send(
    http: &Http,
    connector: &Connector,
    page: &Page,
    known: Option<&str>,
    now: Millis,
) -> Outcome {
    let work = async {
        let call = async |message| http.call(connector, message).await;
        let result = match connector.provider {
            Provider::Email => {
                let way = (&http.may_dial, http.limit);
                return smtp::deliver(way, &http.mailed, connector, page, now).await;
            }
            Provider::Jira => jira::deliver(http, connector, page, known).await,
            Provider::ServiceNow => servicenow::deliver(http, connector, page).await,
            Provider::Opsgenie => call(opsgenie::message(connector, page))
                .await
                .map(|answer| opsgenie::heard(connector, &answer)),
            Provider::PagerDuty => call(pagerduty::message(connector, page))
                .await
                .map(|answer| pagerduty::heard(connector, &answer)),
            Provider::Slack => call(slack::message(connector, page, known))
                .await
                .map(|answer| slack::heard(connector, &answer, known)),
            Provider::Teams => call(teams::message(connector, page))
                .await
                .map(|answer| teams::heard(connector, &answer)),
            Provider::Webhook => call(webhook::message(connector, page, now))
                .await
                .map(|answer| webhook::heard(connector, &answer)),
        };
        result.unwrap_or_else(|outcome| outcome)
    };
    let limit = match connector.provider {
        Provider::Email => smtp::longest(http.limit),
        _ => MESSAGE_LIMIT,
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Outcome::retry(format!("{}: not done within {} s", connector.provider, limit.as_secs()))
    })
}
