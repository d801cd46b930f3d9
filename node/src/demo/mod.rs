//! `holm demo`: three real sites on this machine, and the story of a site that is cut off.
//!
//! Each site is a node process of its own with its own folder, ports and certificates. As root each
//! gets a network namespace; without root, loopback addresses, and its mesh port stands behind a
//! UDP relay of the demo's that can be shut. A few small services really talk to each other. What
//! is shown comes from the nodes' APIs.

mod network;
mod processes;
mod relay;
mod screen;
mod service;
mod sites;
mod story;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use network::Network;
pub(crate) use processes::stop_when_stdin_closes;
pub(crate) use service::ServiceArgs;
use sites::Mesh;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Tell the story unattended: cut a site off, heal it, check everything; exit 0 only if all held.
    #[arg(long)]
    check: bool,
    /// Loopback addresses even where network namespaces could be made.
    #[arg(long)]
    no_namespaces: bool,
    /// Where the sites' folders go, and stay; a temporary folder otherwise.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the sites' console links to this file as JSON once they are up.
    #[arg(long, value_name = "FILE", hide = true)]
    links: Option<PathBuf>,
    /// Also time so many new connections from the third site to the other two sites' APIs.
    #[arg(long, default_value_t = 0, hide = true)]
    samples: usize,
    /// One of the demo's own services (used by the demo itself).
    #[command(subcommand)]
    inner: Option<Inner>,
}

#[derive(Debug, clap::Subcommand)]
enum Inner {
    /// A small service that answers HTTP and calls others.
    #[command(hide = true)]
    Service(ServiceArgs),
}

/// Runs the demo; children, namespaces and the temporary folder are gone when it returns.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    if let Some(Inner::Service(service)) = args.inner {
        return service::run(service).await;
    }
    // From here on a signal ends the demo in order: what it made in the kernel would outlive it.
    let mut signals = StopSignals::listen()?;
    let folder = Folder::new(args.dir.as_deref())?;
    let no_terminal = !std::io::stdout().is_terminal() && args.links.is_none();
    let unattended = args.check || no_terminal;
    if no_terminal && !args.check {
        say("no terminal: this checks the demo unattended, as with --check");
    }
    let started = Instant::now();
    let network = Network::make(!args.no_namespaces).await?;
    say(&network.describe());
    let mut mesh = match Mesh::prepare(network.clone(), folder.path()).await {
        Ok(mesh) => mesh,
        Err(error) => {
            network.remove().await;
            return Err(error);
        }
    };
    let outcome = tokio::select! {
        outcome = attend(&mut mesh, &args, unattended, started) => outcome,
        () = signals.any() => match unattended {
            true => Err(anyhow::anyhow!("interrupted before the story was over")),
            false => Ok(()),
        },
    };
    mesh.stop().await;
    if outcome.is_err() {
        mesh.print_logs();
    }
    drop(folder);
    outcome
}

/// A line on standard output. Whoever read it may be gone (`| head`, a closed terminal); the demo
/// goes on to its end all the same, because it has to clean up.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

async fn attend(
    mesh: &mut Mesh,
    args: &DemoArgs,
    unattended: bool,
    started: Instant,
) -> anyhow::Result<()> {
    mesh.start().await?;
    let network = mesh.network.clone();
    if unattended {
        return story::tell(mesh, started, args.samples).await;
    }
    if let Some(file) = &args.links {
        let links = mesh.links().await?;
        std::fs::write(file, serde_json::to_vec(&links)?)
            .with_context(|| format!("{}: cannot be written", file.display()))?;
    }
    tokio::select! {
        outcome = screen::watch(mesh) => outcome,
        outcome = cut_when_told(&network) => outcome,
    }
}

/// USR1 cuts tokyo off, and joins it again: for those who want to see it happen.
async fn cut_when_told(network: &Network) -> anyhow::Result<()> {
    let mut told = signal(SignalKind::user_defined1())?;
    let mut cut = false;
    while told.recv().await.is_some() {
        cut = !cut;
        network.cut(story::ISLAND, cut).await?;
    }
    Ok(())
}

/// Ctrl-C, an orderly kill, and a terminal that is closed.
struct StopSignals([Signal; 3]);

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

const FOLDER: &str = "holm-demo-";

/// Where the sites' folders are; a temporary one is removed at the end.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(wanted: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let (path, temporary) = match wanted {
            Some(path) => (path.to_path_buf(), false),
            None => {
                Self::remove_stale();
                (std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id())), true)
            }
        };
        if path.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: is not empty; the demo wants a fresh folder", path.display());
        }
        std::fs::create_dir_all(&path)
            .with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok(Self { path: path.canonicalize()?, temporary })
    }

    /// Removes what a demo that was killed left behind.
    fn remove_stale() {
        for entry in std::env::temp_dir().read_dir().into_iter().flatten().flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(FOLDER)?.parse::<u32>().ok());
            if id.is_some_and(|id| !std::path::Path::new(&format!("/proc/{id}")).exists()) {
                // Another user's stays: it is not ours to remove.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("{}: was not removed: {error}", self.path.display());
        }
    }
}

/// Asks `check` again and again until it gives something or `limit` has passed.
async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut check: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    let mut last_error = None;
    while started.elapsed() < limit {
        match check().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => last_error = None,
            // A process that is gone does not come back.
            Err(error) if error.downcast_ref::<processes::Ended>().is_some() => return Err(error),
            Err(error) => last_error = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match last_error {
        Some(error) => Err(error.context(format!("{what}: not within {} s", limit.as_secs()))),
        None => bail!("{what}: not within {} s", limit.as_secs()),
    }
}
