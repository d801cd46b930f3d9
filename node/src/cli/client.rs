//! The command line's end of the HTTP API.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use holm_model::TenantId;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Target;
use crate::api::error::ErrorBody;
use crate::config::Config;
use crate::layout::Layout;

const LIMIT: Duration = Duration::from_secs(30);
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Where a running node serves; it writes this at start for the command line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiAddress {
    pub(crate) url: String,
}

/// The node answered, and said no.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

/// Asks one node.
#[derive(Clone)]
pub(crate) struct Client {
    base: Uri,
    token: Option<String>,
    tls: Arc<rustls::ClientConfig>,
}

impl Client {
    /// The node and credential that `target` names.
    pub(crate) fn new(target: &Target) -> anyhow::Result<Self> {
        let layout = Layout::new(&target.dir);
        let url = match &target.url {
            Some(url) => url.clone(),
            None => local_url(&layout)?,
        };
        let token = match &target.token {
            Some(token) => token.clone(),
            // Who answers by https proves to be of this mesh; by http anybody would get this node's admin token.
            None if target.url.is_some() && !url.to_lowercase().starts_with("https://") => bail!(
                "--url {url}: it is not encrypted, so this node's own credential is not sent there; give another with --token"
            ),
            None => own_token(&layout, target.tenant.as_ref())?,
        };
        let tls = match &target.ca {
            Some(file) => crate::identity::client_config_from_file(file)?,
            None => crate::identity::client_config(&layout)?,
        };
        Self::with(&url, Some(token), tls)
    }

    /// A client of `url` that trusts what `tls` trusts.
    pub(crate) fn with(
        url: &str,
        token: Option<String>,
        tls: rustls::ClientConfig,
    ) -> anyhow::Result<Self> {
        let base: Uri = url.parse().with_context(|| format!("\"{url}\" is not a URL"))?;
        if base.host().is_none() || !matches!(base.scheme_str(), Some("https" | "http")) {
            bail!("\"{url}\" is not a URL of the form https://host:port");
        }
        let host = base.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if base.scheme_str() == Some("http") && !is_here {
            bail!("\"{url}\" is not encrypted: a credential goes by https only");
        }
        Ok(Self { base, token, tls: Arc::new(tls) })
    }

    /// `GET path`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    /// `POST path` with a JSON body.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// `POST path` with a text as it is.
    pub(crate) async fn post_text<T: DeserializeOwned>(
        &self,
        path: &str,
        text: String,
    ) -> anyhow::Result<T> {
        let answer = self.send(Method::POST, path, text.into_bytes()).await?;
        self.understood(path, &answer)
    }

    /// `PUT path` with a JSON body.
    pub(crate) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, path, Vec::new()).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<T> {
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let answer = self.send(method, path, body).await?;
        self.understood(path, &answer)
    }

    fn understood<T: DeserializeOwned>(&self, path: &str, answer: &[u8]) -> anyhow::Result<T> {
        serde_json::from_slice(answer).with_context(|| {
            format!(
                "{} gave an answer to {path} that is not understood; is it another version?",
                self.base
            )
        })
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Bytes> {
        tokio::time::timeout(LIMIT, self.exchange(method, path, body))
            .await
            .map_err(|_| self.silent())?
    }

    /// `GET path`, written to `out` as it comes.
    pub(crate) async fn copy(&self, path: &str, out: &mut impl Write) -> anyhow::Result<()> {
        let asked = tokio::time::timeout(LIMIT, self.open(Method::GET, path, Vec::new()));
        let mut answer = asked.await.map_err(|_| self.silent())??;
        while let Some(frame) =
            tokio::time::timeout(LIMIT, answer.body.frame()).await.map_err(|_| self.silent())?
        {
            let frame = frame.map_err(|error| anyhow!("the answer broke off: {error}"))?;
            if let Some(bytes) = frame.data_ref() {
                out.write_all(bytes)?;
            }
        }
        Ok(out.flush()?)
    }

    /// `POST path` with a JSON body; the answer's server-sent events go to `heard`, by name and data, as
    /// they come.
    pub(crate) async fn events(
        &self,
        path: &str,
        body: &impl Serialize,
        mut heard: impl FnMut(&str, &str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let body = serde_json::to_vec(body)?;
        let asked = tokio::time::timeout(LIMIT, self.open(Method::POST, path, body));
        let mut answer = asked.await.map_err(|_| self.silent())??;
        let mut waiting = Vec::new();
        while let Some(frame) =
            tokio::time::timeout(LIMIT, answer.body.frame()).await.map_err(|_| self.silent())?
        {
            let frame = frame.map_err(|error| anyhow!("the answer broke off: {error}"))?;
            waiting.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
            if waiting.len() > MAX_ANSWER_BYTES {
                bail!("{} answers with more than {} MiB", self.base, MAX_ANSWER_BYTES >> 20);
            }
            while let Some(end) = waiting.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = waiting.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event);
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start)
                };
                if let (Some(name), Some(data)) = (field("event:"), field("data:")) {
                    heard(name, data)?;
                }
            }
        }
        Ok(())
    }

    fn silent(&self) -> anyhow::Error {
        anyhow!("{} did not answer within {} s", self.base, LIMIT.as_secs())
    }

    async fn exchange(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Bytes> {
        self.open(method, path, body).await?.whole().await
    }

    /// Sends a request; the answer's body is still to come, and it is one of success.
    async fn open(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
        let host = self.base.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let is_tls = self.base.scheme_str() == Some("https");
        let port = self.base.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = TcpStream::connect((host.as_str(), port)).await.with_context(|| {
            format!("{} cannot be reached; is the node running (`holm up`)?", self.base)
        })?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.base.authority().map_or("", |a| a.as_str()))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let answer = if is_tls {
            let name = ServerName::try_from(host)?;
            let stream = TlsConnector::from(Arc::clone(&self.tls))
                .connect(name, stream)
                .await
                .map_err(|error| self.not_accepted(error))?;
            Answer::to(stream, request).await?
        } else {
            Answer::to(stream, request).await?
        };
        let status = answer.status;
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.whole().await?;
        let refused = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Refused(format!(
                "{} (request {}, at {})",
                body.error.message, body.error.request_id, self.base
            )),
            Err(_) => Refused(format!("{} answered {status}", self.base)),
        };
        Err(refused.into())
    }
}

/// What a node answers, and the connection it comes over.
struct Answer {
    status: StatusCode,
    body: Incoming,
    connection: tokio::task::AbortHandle,
}

impl Answer {
    async fn to(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Self> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection).abort_handle();
        let response = sender.send_request(request).await?;
        Ok(Self { status: response.status(), body: response.into_body(), connection })
    }

    async fn whole(mut self) -> anyhow::Result<Bytes> {
        let body = Limited::new(&mut self.body, MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow!("the answer broke off: {error}"))?;
        Ok(body.to_bytes())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn local_url(layout: &Layout) -> anyhow::Result<String> {
    let path = layout.api();
    let text = std::fs::read(&path).with_context(|| {
        format!(
            "{}: cannot be read; is the node running (`holm up --dir {}`)? Name another with --dir or --url",
            path.display(),
            display_dir(layout.dir()),
        )
    })?;
    let address: ApiAddress = serde_json::from_slice(&text)
        .with_context(|| format!("{}: not written by a node", path.display()))?;
    Ok(address.url)
}

fn display_dir(dir: &Path) -> String {
    dir.display().to_string()
}

impl Client {
    /// What a failed handshake means: mostly the certificate, often the clock of this machine.
    fn not_accepted(&self, error: std::io::Error) -> anyhow::Error {
        let text = error.to_string();
        let hint = if text.contains("not valid yet") {
            "; this machine's clock is behind, or the node's was ahead when it was enrolled: set both right (NTP)"
        } else if text.contains("expired") {
            "; this machine's clock is ahead, or the node's web certificate was not renewed: check the clock, then the \
             node's log"
        } else if text.contains("eof") {
            "; the node closed the connection: it may have as many as it takes, try again"
        } else {
            ""
        };
        anyhow!("{}: the node's certificate is not accepted: {text}{hint}", self.base)
    }
}

/// The node's own admin token: of `tenant`, or of its first.
fn own_token(layout: &Layout, tenant: Option<&TenantId>) -> anyhow::Result<String> {
    let path = match tenant {
        None => layout.admin_token(),
        Some(tenant) => {
            let config = Config::load(&layout.config(), std::env::vars())?;
            match config.node.tenants.iter().position(|known| known == tenant) {
                Some(0) => layout.admin_token(),
                Some(_) => layout.admin_token_of(tenant),
                None => bail!(
                    "tenant {tenant} is not of this node; node.tenants in {} lists those that are",
                    layout.config().display()
                ),
            }
        }
    };
    let token = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "{}: cannot be read; give a credential with --token, or run this on the node as its owner",
            path.display()
        )
    })?;
    Ok(token.trim().to_owned())
}
