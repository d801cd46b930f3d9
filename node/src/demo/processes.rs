//! Child processes that end with the demo, however it ends: each stops when its standard input
//! closes, and the kernel closes that even if the demo is killed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A process that should still run has ended.
#[derive(Debug, thiserror::Error)]
#[error("{name} ended: {status}")]
pub(super) struct Ended {
    name: String,
    status: std::process::ExitStatus,
}

/// A child with its log.
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output going to `log`.
    pub(super) fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("{}: cannot be written", log.display()))?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { name: name.into(), child, log: log.into() })
    }

    /// An error if the process has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(Ended { name: self.name.clone(), status }.into()),
        }
    }

    /// Asks the process to stop and waits; kills it if it takes too long.
    pub(super) async fn stop(&mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }

    /// The end of its log.
    pub(super) fn log_tail(&self, lines: usize) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let tail: Vec<&str> = log.lines().rev().take(lines).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        format!("--- {} ---\n{}\n", self.name, tail.join("\n"))
    }
}

/// Ends when standard input does: the process that started this one is gone.
pub(crate) async fn stop_when_stdin_closes() {
    // A thread of its own: reading standard input blocks, and must not hold up the runtime's end.
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(length) if length > 0) {}
        // The waiting side may be gone: the process stops for another reason.
        let _ = closed.send(());
    });
    let _ = wait.await;
}
