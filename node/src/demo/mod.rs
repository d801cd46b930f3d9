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

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

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
    let folder = Folder::new(args.dir.as_deref())?;
    let unattended = args.check || !std::io::stdout().is_terminal() && args.links.is_none();
    let started = Instant::now();
    let network = Network::make(!args.no_namespaces).await?;
    println!("{}", network.describe());
    let mut mesh = Mesh::prepare(network, folder.path()).await?;
    let outcome = tokio::select! {
        outcome = attend(&mut mesh, &args, unattended, started) => outcome,
        () = interrupted() => Ok(()),
    };
    if outcome.is_err() {
        mesh.print_logs();
    }
    mesh.stop().await;
    drop(folder);
    outcome
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
    use tokio::signal::unix::{SignalKind, signal};
    let mut told = signal(SignalKind::user_defined1())?;
    let mut cut = false;
    while told.recv().await.is_some() {
        cut = !cut;
        network.cut(story::ISLAND, cut).await?;
    }
    Ok(())
}

async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Where the sites' folders are; a temporary one is removed at the end.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn new(wanted: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let (path, temporary) = match wanted {
            Some(path) => (path.to_path_buf(), false),
            None => (std::env::temp_dir().join(format!("holm-demo-{}", std::process::id())), true),
        };
        if path.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: is not empty; the demo wants a fresh folder", path.display());
        }
        std::fs::create_dir_all(&path)
            .with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok(Self { path: path.canonicalize()?, temporary })
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
