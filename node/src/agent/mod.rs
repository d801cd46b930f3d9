//! `holm agent`: what a laptop or a branch device runs. It measures, keeps, and sends; it listens nowhere.

mod config;
mod measure;
mod queue;
mod send;

pub(crate) use config::AgentConfig;
pub(crate) use measure::Measurer;
pub(crate) use queue::Queue;
pub(crate) use send::{Nodes, Sent};

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holm_model::Millis;
use rand::RngExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long is waited between attempts to send, at first and at most.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// How long an answer is waited for when the agent is to stop.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Runs until `shutdown`: a sample every interval into the queue, and what is in the queue to a node.
pub(crate) async fn run(
    config: AgentConfig,
    dir: &Path,
    nodes: Nodes,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("{}: cannot be made", dir.display()))?;
    let (queue, report) = Queue::open(&dir.join("agent.redb"), config.max_samples, Millis::now())?;
    if let Some(report) = report {
        tracing::warn!("{report}");
    }
    let withheld = config.privacy.text().unwrap_or_else(|| "nothing".into());
    tracing::info!(nodes = %nodes, interval = ?config.interval, %withheld, waiting = queue.len()?, "the agent measures this machine");
    let (queue, news) = (Arc::new(queue), Arc::new(Notify::new()));
    let sender =
        tokio::spawn(keep_sending(Arc::clone(&queue), nodes, Arc::clone(&news), shutdown.clone()));
    let mut measurer = Measurer::new(config.clone())?;
    while !shutdown.is_cancelled() {
        let began = tokio::time::Instant::now();
        let measured = tokio::select! {
            sample = measurer.sample() => sample,
            () = shutdown.cancelled() => break,
        };
        match queue.push(&measured) {
            Ok(()) => news.notify_one(),
            // The disk may have room again: the next sample is tried.
            Err(error) => tracing::error!(%error, "a sample could not be kept and is lost"),
        }
        // A tenth is jitter, so that many machines do not measure at once.
        let spread = rand::rng().random_range(0.95..1.05);
        let next = began + config.interval.mul_f64(spread);
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = shutdown.cancelled() => break,
        }
    }
    sender.await.context("the sender ended")?;
    Ok(())
}

async fn keep_sending(
    queue: Arc<Queue>,
    mut nodes: Nodes,
    news: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let mut retry = FIRST_RETRY;
    loop {
        // What is under way is waited for: a node may have it already.
        let stopped = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAST_WORD).await;
        };
        let sent = tokio::select! {
            sent = nodes.send(&queue) => sent,
            () = stopped => return,
        };
        if shutdown.is_cancelled() {
            return;
        }
        let wait = match sent {
            Ok(Sent::All) => {
                retry = FIRST_RETRY;
                None
            }
            Ok(Sent::Some) => {
                retry = FIRST_RETRY;
                continue;
            }
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    ?retry,
                    "no node takes the samples; they are kept and sent later"
                );
                let wait = retry;
                retry = (retry * 2).min(LONGEST_RETRY);
                Some(wait)
            }
        };
        let due = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => news.notified().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = shutdown.cancelled() => return,
        }
    }
}
