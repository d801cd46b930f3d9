//! What waits, sent to any node that takes it.

use std::fmt;

use anyhow::{Context, bail};

use super::{AgentConfig, Queue};
use crate::api::endpoints_types::{EndpointReport, EndpointReported, EndpointSampleSent};
use crate::cli::Client;

/// How sending went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing waits any more.
    All,
    /// More waits.
    Some,
}

/// The nodes that an agent knows; the one that took something last is asked first.
pub(crate) struct Nodes {
    nodes: Vec<(String, Client)>,
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<&str> = self.nodes.iter().map(|(url, _)| url.as_str()).collect();
        f.write_str(&urls.join(", "))
    }
}

impl Nodes {
    /// As it is configured.
    pub(crate) fn new(config: &AgentConfig, token: &str) -> anyhow::Result<Self> {
        if config.nodes.is_empty() {
            bail!("nodes: name one at least, with --node or in the configuration");
        }
        let client = |url: &String| {
            let tls = crate::identity::client_config_from_file(&config.ca_file).context(
                "ca_file: the roots that the nodes' certificates must chain to, such as the mesh's bundles.json",
            )?;
            Ok((url.clone(), Client::with(url, Some(token.to_owned()), tls)?))
        };
        Ok(Self { nodes: config.nodes.iter().map(client).collect::<anyhow::Result<_>>()? })
    }

    /// Sends what waits first to the first node that takes it; what was taken is in the queue no longer.
    pub(crate) async fn send(&mut self, queue: &Queue) -> anyhow::Result<Sent> {
        let waiting = queue.first()?;
        let Some(last) = waiting.last else { return Ok(Sent::All) };
        let samples = waiting.samples.into_iter();
        let report = EndpointReport {
            queue: waiting.name,
            dropped: waiting.dropped,
            samples: samples
                .map(|(sequence, sample)| EndpointSampleSent { sequence, sample })
                .collect(),
        };
        let mut errors = Vec::new();
        for at in 0..self.nodes.len() {
            let (url, client) = &self.nodes[at];
            match client.post::<EndpointReported>("/ingest/endpoints", &report).await {
                Ok(told) => {
                    for refused in &told.refused {
                        tracing::error!(sequence = refused.sequence, why = refused.why, %url, "a node refused a sample for good");
                    }
                    tracing::debug!(%url, accepted = told.accepted, known = told.known, "samples are taken");
                    queue.taken(last)?;
                    self.nodes[..=at].rotate_right(1);
                    return Ok(if queue.len()? == 0 { Sent::All } else { Sent::Some });
                }
                Err(error) => errors.push(format!("{url}: {error:#}")),
            }
        }
        bail!(errors.join("; "))
    }
}
