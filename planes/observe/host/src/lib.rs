//! The host plane: who talks to whom on this machine, as the kernel sees it.
//!
//! What comes in: TCP state changes from a kernel program (tracepoint `sock:inet_sock_set_state`), or,
//! without the privilege for it, periodic listings of sockets; and `/proc`, for the processes behind
//! them. What goes out: service map edges and service nodes, and a row in `host_connections` for
//! everything that happened. What must never happen: a connection of a namespace that was not asked
//! for, a name that changes with every restart, an event lost without a counter, or a fallback that
//! passes for the real thing.

mod btf;
mod capability;
mod config;
mod container;
mod edges;
mod kernel;
#[path = "../ebpf/src/event.rs"]
pub mod layout;
mod listeners;
mod listing;
mod naming;
mod netlink;
mod own_names;
mod process;
mod procfs;
mod row;
mod said;
mod seen;
mod services;
mod sys;
mod tracker;
mod watch;

pub use btf::{Btf, BtfError};
pub use config::{Config, Method, NetworkNamespace};
pub use kernel::{Kernel, KernelError};
pub use listing::{Lister, Listing, ListingError, Socket};
pub use process::{Process, ProcessCounters, Processes, Service};
pub use row::{HIDDEN, TABLE};
pub use seen::{End, Happening, KernelProcess, Owner, Seen, SocketKey, Source, read_event};
pub use tracker::Tracker;

use std::path::PathBuf;
use std::sync::Arc;

use holm_plane::{Plane, PlaneContext, PlaneError, PlaneRun};
use tokio_util::sync::CancellationToken;

use capability::{Lack, Scope};

/// Observes the connections of this host.
pub struct HostPlane {
    config: Config,
}

impl HostPlane {
    /// A plane that does what `config` says.
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Plane for HostPlane {
    fn name(&self) -> &'static str {
        "host"
    }

    fn run(&self, context: PlaneContext, shutdown: CancellationToken) -> PlaneRun<'_> {
        Box::pin(async move {
            let config = &self.config;
            if let Err(error) = config.check() {
                context.health.off(&error, "correct planes.host in the configuration");
                return Ok(());
            }
            let mut tracker = Tracker::new(
                config,
                &host_name(),
                Processes::new(PathBuf::from("/")),
                Arc::clone(&context.facts),
                Arc::clone(&context.rows),
            );
            let scope = Scope::of(config);
            tracker.set_own_namespace(scope.own_netns);
            let lack = match config.method {
                Method::SockDiag => Lack::new(
                    "kernel programs are switched off in the configuration",
                    "set planes.host.method = \"auto\" and start the node again",
                ),
                Method::Auto | Method::Ebpf => match attach(config.clone()).await? {
                    Ok(kernel) => {
                        return watch::kernel(kernel, tracker, config, scope, &context, &shutdown)
                            .await;
                    }
                    Err(lack) => lack,
                },
            };
            if config.method == Method::Ebpf {
                context.health.off(&lack.reason, &lack.remedy);
                return Ok(());
            }
            watch::listings(tracker, config, scope, &lack, &context, &shutdown).await
        })
    }
}

/// Loads the kernel program, which takes the verifier a while.
async fn attach(config: Config) -> Result<Result<Kernel, Lack>, PlaneError> {
    tokio::task::spawn_blocking(move || Kernel::attach(&config).map_err(KernelError::into_lack))
        .await
        .map_err(|e| PlaneError(format!("loading the kernel program broke off: {e}")))
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
