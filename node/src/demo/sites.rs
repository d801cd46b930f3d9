//! The three sites: node processes, services, and clients of their APIs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::process::Command;

use super::eventually;
use super::network::{Network, SITES};
use super::processes::Process;
use crate::api::topology_types::Topology;
use crate::api::types::{
    CreatedJoinToken, LoginLink, MeshDigest, NewJoinToken, NewLoginLink, Sites,
};
use crate::cli::{Client, Target};
use crate::daemon::Role;

const START_LIMIT: Duration = Duration::from_secs(20);
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
const TRUST_DOMAIN: &str = "demo.holm";

/// A service of the demo: name, the port it listens on (0: none), and which it calls.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) site: usize,
    pub(super) port: u16,
    pub(super) calls: &'static [(usize, u16)],
}

/// Those that run from the start: a shop whose parts live at three sites.
const SERVICES: [Service; 6] = [
    Service { name: "ledger", site: 1, port: 7003, calls: &[] },
    Service { name: "payments", site: 1, port: 7002, calls: &[(1, 7003)] },
    Service { name: "stock", site: 2, port: 7004, calls: &[] },
    Service { name: "catalog", site: 2, port: 7005, calls: &[(2, 7004)] },
    Service { name: "checkout", site: 0, port: 7001, calls: &[(1, 7002), (2, 7004)] },
    Service { name: "web", site: 0, port: 0, calls: &[(0, 7001), (2, 7005)] },
];

/// A console link of one site.
#[derive(Serialize)]
pub(super) struct ConsoleLink {
    pub(super) site: &'static str,
    pub(super) login_url: String,
}

/// The mesh of the demo.
pub(super) struct Mesh {
    pub(super) network: Network,
    folder: PathBuf,
    program: PathBuf,
    nodes: Vec<Process>,
    services: Vec<Process>,
}

impl Mesh {
    /// Ready to start in `folder`.
    pub(super) async fn prepare(network: Network, folder: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program's own file is not known")?;
        std::fs::create_dir_all(folder.join("bin"))?;
        Ok(Self {
            network,
            folder: folder.into(),
            program,
            nodes: Vec::new(),
            services: Vec::new(),
        })
    }

    /// Makes the mesh, enrols the sites, and starts nodes and services.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        self.init().await?;
        self.start_node(0)?;
        self.wait_ready(0).await?;
        for (site, name) in SITES.iter().enumerate().skip(1) {
            let client = self.client(0)?;
            let new = NewJoinToken { site: name.parse()? };
            let created: CreatedJoinToken = client.post("/v1/join-tokens", &new).await?;
            self.join(site, &created.token).await?;
            self.start_node(site)?;
        }
        for site in 1..SITES.len() {
            self.wait_ready(site).await?;
        }
        for service in &SERVICES {
            self.start_service(service)?;
        }
        Ok(())
    }

    async fn init(&self) -> anyhow::Result<()> {
        let dir = self.dir(0);
        let mut command = Command::new(&self.program);
        command.args(["mesh", "init", "--trust-domain", TRUST_DOMAIN, "--site", SITES[0], "--dir"]);
        command.arg(dir);
        self.listen_arguments(&mut command, 0);
        self.finish(command, "holm mesh init").await
    }

    async fn join(&self, site: usize, token: &str) -> anyhow::Result<()> {
        // At the site itself: the token's seeds are addresses among the sites.
        let mut command = self.network.command(site, &self.program);
        command.args(["join", token, "--dir"]).arg(self.dir(site));
        self.listen_arguments(&mut command, site);
        self.finish(command, "holm join").await
    }

    fn listen_arguments(&self, command: &mut Command, site: usize) {
        let network = &self.network;
        command
            .args(["--mesh-listen", &network.mesh_listen(site).to_string()])
            .args(["--mesh-advertise", &network.mesh_advertise(site).to_string()])
            .args(["--api-listen", &network.api_listen(site).to_string()])
            .args(["--api-name", &network.console(site).ip().to_string()])
            .args(["--api-name", &network.site_address(site).to_string()]);
    }

    async fn finish(&self, mut command: Command, what: &str) -> anyhow::Result<()> {
        clear_settings(&mut command);
        let run = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(COMMAND_LIMIT, run)
            .await
            .with_context(|| format!("{what} did not end"))?
            .with_context(|| format!("{what} cannot be started"))?;
        if !output.status.success() {
            bail!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn start_node(&mut self, site: usize) -> anyhow::Result<()> {
        let mut command = self.network.command(site, &self.program);
        clear_settings(&mut command);
        let observed = serde_json::to_string(&self.network.observed_addresses(site))?;
        // Tests that somebody makes may reach the sites' own consoles.
        let consoles = (0..SITES.len()).map(|site| self.network.console(site).ip().to_string());
        let opened = serde_json::to_string(&consoles.collect::<Vec<_>>())?;
        command
            .args(["up", "--stop-with-stdin", "--dir"])
            .arg(self.dir(site))
            .env("HOLM_NODE_ADDRESS_PLAN", "demo")
            .env("HOLM_NODE_MACHINE", "demo")
            .env("HOLM_PAGES_ALLOW", "[\"127.0.0.0/8\", \"::1\"]")
            .env("HOLM_MESH_MDNS", "false")
            .env("HOLM_MESH_REDIAL_MAX", "2s")
            .env("HOLM_MESH_STALE_AFTER", "4s")
            .env("HOLM_MESH_UNREACHABLE_AFTER", "8s")
            .env("HOLM_PLANES_HOST_ADDRESSES", observed)
            .env("HOLM_PLANES_ACTIVE_ALLOW", opened)
            .env("HOLM_PLANES_ACTIVE_INTERVAL", "2s");
        let log = self.folder.join(format!("{}.log", SITES[site]));
        self.nodes.push(Process::start(SITES[site], command, &log)?);
        Ok(())
    }

    /// Starts a service; its process has the service's name.
    pub(super) fn start_service(&mut self, service: &Service) -> anyhow::Result<()> {
        let address = self.network.site_address(service.site);
        let mut command = self.service_command(service.name, service.site)?;
        if service.port != 0 {
            command.args(["--listen", &format!("{address}:{}", service.port)]);
        }
        for (site, port) in service.calls {
            let target = format!("{}:{port}", self.network.site_address(*site));
            command.args(["--call", &target]);
        }
        self.run_service(service.name, command)
    }

    /// Starts a process named `name` that only calls.
    pub(super) fn start_caller(
        &mut self,
        name: &str,
        site: usize,
        called: (usize, u16),
    ) -> anyhow::Result<()> {
        let mut command = self.service_command(name, site)?;
        let target = format!("{}:{}", self.network.site_address(called.0), called.1);
        command.args(["--call", &target]);
        self.run_service(name, command)
    }

    /// Stops the service that was started last.
    pub(super) async fn stop_last_service(&mut self) {
        if let Some(mut service) = self.services.pop() {
            service.stop().await;
        }
    }

    fn service_command(&self, name: &str, site: usize) -> anyhow::Result<Command> {
        let program = self.folder.join("bin").join(name);
        if !program.exists() {
            // A name of its own for the process; a link costs nothing, where the folder allows one.
            std::fs::hard_link(&self.program, &program)
                .or_else(|_| std::fs::copy(&self.program, &program).map(drop))?;
        }
        let mut command = self.network.command(site, &program);
        clear_settings(&mut command);
        let address = self.network.site_address(site).to_string();
        command.args(["demo", "service", "--from", &address]);
        Ok(command)
    }

    fn run_service(&mut self, name: &str, command: Command) -> anyhow::Result<()> {
        let log = self.folder.join(format!("service-{name}.log"));
        self.services.push(Process::start(name, command, &log)?);
        Ok(())
    }

    async fn wait_ready(&mut self, site: usize) -> anyhow::Result<()> {
        let what = format!("the node of {} answers", SITES[site]);
        let api = self.dir(site).join("run").join("api.json");
        eventually(&what, START_LIMIT, async || {
            self.nodes[site].check()?;
            if !api.exists() {
                return Ok(None);
            }
            let digest: MeshDigest = self.client(site)?.get("/v1/mesh/digest").await?;
            Ok(Some(digest))
        })
        .await
        .map(drop)
    }

    fn dir(&self, site: usize) -> PathBuf {
        self.folder.join(SITES[site])
    }

    /// A client of the site's API with its own admin token.
    pub(super) fn client(&self, site: usize) -> anyhow::Result<Client> {
        Client::new(&Target {
            tenant: None,
            dir: self.dir(site),
            url: Some(format!("https://{}", self.network.console(site))),
            token: None,
            ca: None,
            json: false,
        })
    }

    pub(super) async fn sites(&self, site: usize) -> anyhow::Result<Sites> {
        self.client(site)?.get("/v1/sites").await
    }

    pub(super) async fn topology(&self, site: usize) -> anyhow::Result<Topology> {
        self.client(site)?.get("/v1/topology?limit=100000").await
    }

    pub(super) async fn digests(&self) -> anyhow::Result<Vec<String>> {
        let mut digests = Vec::new();
        for site in 0..SITES.len() {
            let digest: MeshDigest = self.client(site)?.get("/v1/mesh/digest").await?;
            digests.push(digest.digest);
        }
        Ok(digests)
    }

    /// A one-time console link of each site.
    pub(super) async fn links(&self) -> anyhow::Result<Vec<ConsoleLink>> {
        let mut links = Vec::new();
        for (site, name) in SITES.iter().enumerate() {
            let new = NewLoginLink { role: Role::Admin };
            let link: LoginLink = self.client(site)?.post("/v1/login-links", &new).await?;
            links.push(ConsoleLink { site: name, login_url: link.url });
        }
        Ok(links)
    }

    /// An error if a node has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.nodes.iter_mut().try_for_each(Process::check)
    }

    /// What the nodes wrote last, when something did not hold.
    pub(super) fn print_logs(&self) {
        for process in &self.nodes {
            // Nobody may be there to read it any more.
            let _ = write!(std::io::stderr(), "{}", process.log_tail(25));
        }
    }

    /// Stops everything and leaves nothing in the kernel.
    pub(super) async fn stop(&mut self) {
        for process in self.services.iter_mut().chain(&mut self.nodes) {
            process.stop().await;
        }
        self.network.remove().await;
    }
}

/// The caller's `HOLM_*` settings are not those of the demo's nodes.
fn clear_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("HOLM_")) {
            command.env_remove(name);
        }
    }
}
