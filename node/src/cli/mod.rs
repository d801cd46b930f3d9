//! The command line. Commands that ask a node go through its HTTP API, like everyone else.

mod agent;
mod alert;
mod answers;
mod ask;
mod change;
mod chaos;
mod client;
mod config;
mod credentials;
mod dns;
mod doctor;
mod endpoint;
mod flow;
mod flow_decode;
mod incidents;
mod mesh;
mod mesh_top;
mod page;
mod ping;
mod query;
mod render;
mod show;
mod slo;
mod tenant;
mod test;
mod test_heat;
mod test_path;
mod test_run;
mod throughput;
mod tls;
mod trace;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use holm_model::{NodeName, SiteId, TenantId};

use crate::api::export_format::Format;
use crate::daemon::Role;
use crate::demo::DemoArgs;
pub(crate) use client::{ApiAddress, Client, Refused};
pub(crate) use render::{age, clean};

/// Holm: one small node at every site. It observes, explains and serves the whole mesh.
#[derive(Debug, Parser)]
#[command(name = "holm", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which node is asked, and with what credential.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// The folder of the node on this machine.
    #[arg(long, env = "HOLM_DIR", default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Another node's API, such as `https://berlin.example:8443`; needs --token, and --ca unless the
    /// system trusts its certificate's root as the one in DIR.
    #[arg(long, env = "HOLM_URL")]
    pub(crate) url: Option<String>,
    /// The tenant whose admin token is taken from DIR; the node's first otherwise.
    #[arg(long, env = "HOLM_TENANT", conflicts_with = "token")]
    pub(crate) tenant: Option<TenantId>,
    /// An API token; the node's own admin token is taken from DIR otherwise.
    #[arg(long, env = "HOLM_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The mesh's bundle (JWKS) or a root certificate (PEM) that the API's certificate must chain to.
    #[arg(long, env = "HOLM_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The answer as JSON, as the API gives it.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a mesh, sign a further issuer with its root, or look at how the mesh does.
    #[command(subcommand)]
    Mesh(MeshCommand),
    /// Enrol this machine with a join token.
    Join(JoinArgs),
    /// Run the node.
    Up(UpArgs),
    /// What the node is, whom it sees, which planes run, and why one does not.
    Status(Target),
    /// Everything that is wrong here, the worst first, each with what to do.
    Doctor(Target),
    /// The sites of the mesh, how fresh what they say is, and their nodes.
    Sites(Target),
    /// The merged topology of all sites.
    Topology(TopologyArgs),
    /// One element with its history at each site.
    Element(ElementArgs),
    /// What breaks if something fails: paths, services, prefixes, what is cut off.
    #[command(name = "whatif")]
    WhatIf(ask::WhatIfArgs),
    /// The ways between two nodes.
    Path(ask::PathArgs),
    /// Ask a target for echoes from this machine.
    Ping(ping::PingArgs),
    /// Find the ways that packets take from this machine to a target, all of them.
    Trace(trace::TraceArgs),
    /// Single points of failure, worst first.
    Spof(ask::SpofArgs),
    /// The nodes around one, nearest first.
    Neighbours(ask::NeighboursArgs),
    /// Everything that hangs on a node: cut off once it is gone.
    Dependents(ask::DependentsArgs),
    /// The parts of the topology that no edge connects, largest first.
    Components(ask::SpofArgs),
    /// What changed between two moments.
    Diff(ask::DiffArgs),
    /// When most of it changed: how much opened and closed in each part of a window.
    Changes(ask::ChangesArgs),
    /// Find nodes by name, attribute or address.
    Search(ask::SearchArgs),
    /// Make tenants, and decide which site may have which.
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// The planes: whether they observe, how, and why not.
    Planes(Target),
    /// The latest result of each probe.
    Results(Target),
    /// Rows of this site, newest first.
    Rows(RowsArgs),
    /// Put a question in SQL to all sites at once.
    Query(query::QueryArgs),
    /// Flows that routers and switches export: who talks to whom, through which interface, how much.
    #[command(subcommand)]
    Flow(flow::FlowCommand),
    /// What a laptop or a branch device runs: it measures its own way out, and listens nowhere.
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Endpoints: laptops and branch devices, and which part of their way is to blame.
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Changes: what people and machines did, and where it is told from.
    #[command(subcommand)]
    Change(change::ChangeCommand),
    /// Incidents: what is wrong, why it is one thing, and what is done about it.
    #[command(subcommand)]
    Incident(incidents::IncidentCommand),
    /// Paging: who is told of incidents, by which provider, and what became of it.
    #[command(subcommand)]
    Page(page::PageCommand),
    /// Alert rules: what shall not be, and what of it is; silences.
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// SLOs: how good something shall be, how much of the budget is left, how quickly it goes.
    #[command(subcommand)]
    Slo(slo::SloCommand),
    /// Tests: what is probed because somebody decided so, by which sites, and how it stands there.
    #[command(subcommand)]
    Test(test::TestCommand),
    /// DNS: a name from the root servers down to who answers.
    #[command(subcommand)]
    Dns(dns::DnsCommand),
    /// TLS: certificates, versions and ciphers of the servers that are probed, and what is wrong with them.
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// The rows of this site as files for other programs.
    #[command(subcommand)]
    Events(query::EventsCommand),
    /// Join tokens: each enrols one node.
    #[command(subcommand)]
    Token(TokenCommand),
    /// API tokens: each for one tenant with one role.
    #[command(subcommand)]
    ApiToken(ApiTokenCommand),
    /// A link that opens the console, once, within ten minutes.
    LoginLink(LoginLinkArgs),
    /// End a node's identity everywhere, at once.
    Revoke(RevokeArgs),
    /// Let this node issue certificates too.
    #[command(subcommand)]
    Issuer(IssuerCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Three real sites on this machine, with services that talk to each other.
    Demo(DemoArgs),
    /// Break what is between two programs, on purpose: the relays of the tests, tried on this machine.
    #[command(subcommand)]
    Chaos(chaos::ChaosCommand),
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MeshCommand {
    /// Let go of a site that is gone for good: it is listed and looked for no longer, until it comes back.
    Forget(ForgetArgs),
    /// Make a mesh: its root, and the first site's node.
    Init(MeshInitArgs),
    /// What every site measures to every other: loss, round trip, jitter, one way.
    Matrix(test::MatrixArgs),
    /// How much the way to another site carries: bytes over the mesh's own connection, within a budget.
    Throughput(throughput::ThroughputArgs),
    /// Sign another node's issuer request with the root.
    SignIssuer(SignIssuerArgs),
    /// The mesh at a glance: who reaches whom, how far each site lags, what was dropped.
    Top(mesh_top::MeshTopArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MeshInitArgs {
    /// The trust domain, such as example.org: the outermost name in every identity of the mesh.
    #[arg(long)]
    pub(crate) trust_domain: String,
    /// The first node's folder; DIR/root gets the root key, for you to store elsewhere.
    #[arg(long, env = "HOLM_DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The first site.
    #[arg(long, default_value = "site-1")]
    pub(crate) site: SiteId,
    /// The node's name within the site.
    #[arg(long, default_value = "n1")]
    pub(crate) node: NodeName,
    /// The tenant whose network is observed.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: TenantId,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

/// Settings that go into the new node's holm.toml.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ListenArgs {
    /// UDP address of the mesh port.
    #[arg(long)]
    pub(crate) mesh_listen: Option<std::net::SocketAddr>,
    /// Where peers reach the mesh port, if a NAT or relay stands in front.
    #[arg(long)]
    pub(crate) mesh_advertise: Vec<std::net::SocketAddr>,
    /// HTTPS address of the API and console.
    #[arg(long)]
    pub(crate) api_listen: Option<std::net::SocketAddr>,
    /// A further DNS name or IP address of the API's certificate.
    #[arg(long)]
    pub(crate) api_name: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SignIssuerArgs {
    /// The folder with the root (root.pem and root.key).
    #[arg(long)]
    pub(crate) root: PathBuf,
    /// The request, from `holm issuer request`.
    pub(crate) request: PathBuf,
    /// Where the certificate goes, for `holm issuer install`.
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The token, from `holm token create`; `-` reads it from standard input.
    pub(crate) token: String,
    /// The node's folder.
    #[arg(long, env = "HOLM_DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The node's name within the site.
    #[arg(long, default_value = "n1")]
    pub(crate) node: NodeName,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The node's folder.
    #[arg(long, env = "HOLM_DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
    /// The configuration; DIR/holm.toml otherwise.
    #[arg(long, env = "HOLM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Stop when standard input closes: for a parent process that may be killed.
    #[arg(long, hide = true)]
    pub(crate) stop_with_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopologyArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only what this site says; may be given again.
    #[arg(long)]
    pub(crate) site: Vec<SiteId>,
    /// At this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    pub(crate) at: Option<String>,
    /// Only these kinds of nodes or edges; may be given again.
    #[arg(long)]
    pub(crate) kind: Vec<String>,
    /// Only what lies around this node.
    #[arg(long)]
    pub(crate) around: Option<String>,
    /// How far around, in edges.
    #[arg(long, default_value_t = 1, requires = "around")]
    pub(crate) depth: u32,
    /// Most nodes and most edges shown.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) limit: usize,
    /// Show names of the same thing each by itself.
    #[arg(long)]
    pub(crate) no_fold: bool,
    /// Also what changed since this earlier moment.
    #[arg(long, value_name = "SINCE")]
    pub(crate) diff: Option<String>,
    /// Write the whole topology in this format instead: as it comes, without a limit.
    #[arg(long, conflicts_with_all = ["limit", "diff", "json"])]
    pub(crate) format: Option<Format>,
}

#[derive(Debug, Args)]
pub(crate) struct ElementArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// `kind:name`, or `from|kind|to` for an edge.
    pub(crate) id: String,
    /// Neighbours and other names at this moment (RFC 3339, or milliseconds since 1970); now otherwise.
    #[arg(long)]
    pub(crate) at: Option<String>,
    /// Only what is recorded under this very name.
    #[arg(long)]
    pub(crate) no_fold: bool,
    /// Most neighbours, and most other names, shown.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct RowsArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The table: active_results, endpoints, host_connections, path_changes, path_results or signals.
    pub(crate) table: String,
    /// How many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token that enrols one node, within an hour.
    Create {
        #[command(flatten)]
        target: Target,
        /// The site the node is for.
        #[arg(long)]
        site: SiteId,
    },
    /// The join tokens this node made.
    List(Target),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiTokenCommand {
    /// Make a token; its text is shown this once.
    Create {
        #[command(flatten)]
        target: Target,
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it allows.
        #[arg(long, default_value = "viewer")]
        role: Role,
    },
    /// The tenant's tokens on this node.
    List(Target),
    /// End a token.
    Revoke {
        #[command(flatten)]
        target: Target,
        // One id in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LoginLinkArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What the session allows.
    #[arg(long, default_value = "admin")]
    pub(crate) role: Role,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The site; it must be down.
    pub(crate) site: SiteId,
    /// Only this node of it.
    #[arg(long)]
    pub(crate) node: Option<NodeName>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    #[arg(long)]
    pub(crate) site: SiteId,
    #[arg(long, default_value = "n1")]
    pub(crate) node: NodeName,
    /// Why, for those who read the list later.
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IssuerCommand {
    /// Make a request for `holm mesh sign-issuer`.
    Request {
        #[arg(long, env = "HOLM_DIR", default_value = ".")]
        dir: PathBuf,
        /// Where the request goes.
        #[arg(long)]
        out: PathBuf,
    },
    /// Install what `holm mesh sign-issuer` made; the node issues from its next start on.
    Install {
        #[arg(long, env = "HOLM_DIR", default_value = ".")]
        dir: PathBuf,
        certificate: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration and its HOLM_* variables; says what is wrong, and where.
    Check {
        #[arg(long, env = "HOLM_DIR", default_value = ".")]
        dir: PathBuf,
        #[arg(long, env = "HOLM_CONFIG")]
        config: Option<PathBuf>,
    },
    /// The configuration as it takes effect.
    Show {
        #[arg(long, env = "HOLM_DIR", default_value = ".")]
        dir: PathBuf,
        #[arg(long, env = "HOLM_CONFIG")]
        config: Option<PathBuf>,
        /// Every key with its default instead.
        #[arg(long)]
        defaults: bool,
    },
}

impl Cli {
    /// Whether the command does nothing but print: it may end as soon as nobody reads any more.
    pub(crate) fn only_prints(&self) -> bool {
        !matches!(
            self.command,
            Command::Up(_)
                | Command::Agent(agent::AgentCommand::Run(_))
                | Command::Demo(_)
                | Command::Join(_)
                | Command::Mesh(MeshCommand::Init(_) | MeshCommand::SignIssuer(_))
        )
    }
}

/// Runs the command; the exit code is 0 only if it did what it says.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Mesh(MeshCommand::Forget(args)) => mesh::forget(&args).await,
        Command::Mesh(MeshCommand::Init(args)) => mesh::init(&args),
        Command::Mesh(MeshCommand::Matrix(args)) => test::matrix(&args).await,
        Command::Mesh(MeshCommand::Throughput(args)) => throughput::run(args).await,
        Command::Mesh(MeshCommand::SignIssuer(args)) => mesh::sign_issuer(&args),
        Command::Mesh(MeshCommand::Top(args)) => mesh_top::run(args).await,
        Command::Join(args) => mesh::join(args).await,
        Command::Up(args) => crate::daemon::up(args).await,
        Command::Status(target) => show::status(&target).await,
        Command::Doctor(target) => doctor::run(&target).await,
        Command::Sites(target) => show::sites(&target).await,
        Command::Topology(args) => show::topology(&args).await,
        Command::Element(args) => show::element(&args).await,
        Command::WhatIf(args) => ask::what_if(args).await,
        Command::Path(args) => ask::path(&args).await,
        Command::Ping(args) => ping::run(args).await,
        Command::Trace(args) => trace::run(args).await,
        Command::Spof(args) => ask::spof(&args).await,
        Command::Neighbours(args) => ask::neighbours(&args).await,
        Command::Dependents(args) => ask::dependents(&args).await,
        Command::Components(args) => ask::components(&args).await,
        Command::Diff(args) => ask::diff(&args).await,
        Command::Changes(args) => ask::changes(&args).await,
        Command::Search(args) => ask::search(&args).await,
        Command::Tenant(command) => tenant::run(command).await,
        Command::Planes(target) => show::planes(&target).await,
        Command::Results(target) => show::results(&target).await,
        Command::Rows(args) => show::rows(&args).await,
        Command::Query(args) => query::query(args).await,
        Command::Change(command) => change::run(command).await,
        Command::Incident(command) => incidents::run(command).await,
        Command::Page(command) => page::run(command).await,
        Command::Alert(command) => alert::run(command).await,
        Command::Slo(command) => slo::run(command).await,
        Command::Test(command) => test::run(command).await,
        Command::Dns(command) => dns::run(command).await,
        Command::Tls(command) => tls::run(command).await,
        Command::Agent(command) => agent::run(command).await,
        Command::Endpoint(command) => endpoint::run(command).await,
        Command::Events(command) => query::events(command).await,
        Command::Flow(command) => flow::run(command).await,
        Command::Token(TokenCommand::Create { target, site }) => {
            credentials::create_join_token(&target, site).await
        }
        Command::Token(TokenCommand::List(target)) => credentials::list_join_tokens(&target).await,
        Command::ApiToken(ApiTokenCommand::Create { target, name, role }) => {
            credentials::create_api_token(&target, name, role).await
        }
        Command::ApiToken(ApiTokenCommand::List(target)) => {
            credentials::list_api_tokens(&target).await
        }
        Command::ApiToken(ApiTokenCommand::Revoke { target, id }) => {
            credentials::revoke_api_token(&target, &id).await
        }
        Command::LoginLink(args) => credentials::login_link(&args.target, args.role).await,
        Command::Revoke(args) => credentials::revoke_node(&args).await,
        Command::Issuer(IssuerCommand::Request { dir, out }) => mesh::request_issuer(&dir, &out),
        Command::Issuer(IssuerCommand::Install { dir, certificate }) => {
            mesh::install_issuer(&dir, &certificate)
        }
        Command::Config(command) => config::run(command),
        Command::Chaos(command) => chaos::run(command).await,
        Command::Demo(args) => crate::demo::run(args).await,
        Command::Openapi => {
            print!("{}", crate::api::openapi_json());
            Ok(())
        }
    }
}
