//! `holm up`: opens what is on disk, serves, joins the mesh, observes, and stops in order.

use std::fs::File;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use holm_active::{ActivePlane, NodeLimits};
use holm_certs::{SvidState, WebIdentity};
use holm_mesh_link::{Limits, MemberStatus, Mesh, MeshConfig, Timing};
use holm_model::{AddressScope, Millis, SiteId, TenantId};
use holm_otlp::OtlpPlane;
use holm_path::PathPlane;
use holm_plane::{Plane, PlaneContext, VantagePeer};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::documents::{Calls, Documents};
use super::peer_clocks::PeerClocks;
use super::planes::Supervised;
use super::probe_tests_traced::traced;
use super::roster::Roster;
use super::rows::{Flows, Rows};
use super::state::{Change, NodeState, Parts, Topic};
use super::{Credentials, Role, Tenant, Tenants};
use crate::api::{Server, TlsSource};
use crate::cli::{ApiAddress, UpArgs};
use crate::config::Config;
use crate::enrol::{Issuing, Web, keep_renewed};
use crate::identity::MeshFile;
use crate::layout::{Layout, emptied, write_file};

/// What is due about tenants is looked at this often, in ms.
const TENANCY_EVERY_MS: u64 = 60_000;

/// Runs the node until it is told to stop.
pub(crate) async fn up(args: UpArgs) -> anyhow::Result<()> {
    let layout = Layout::new(&args.dir);
    let path = args.config.clone().unwrap_or_else(|| layout.config());
    let config = Config::load(&path, std::env::vars())?;
    start_log(&config)?;
    let layout = Layout::new(&config.node.data_dir);
    let _lock = lock(&layout)?;
    let (state, web) = open(config, layout)?;
    let listener = bind(state.config.api.listen).await?;
    let plain = match state.plain_api {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    serve(&state, listener, plain, &web.identity)?;
    // Before any peer asks: a new mesh makes its tenant and grants it to its own site.
    if let Err(error) = state.say_what_is_due(Millis::now()).await {
        tracing::error!(
            error = format!("{error:#}"),
            "what is due about tenants could not be said"
        );
    }
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::clone(&state).keep_tenancy());
    for tenant in state.tenants.all() {
        tasks.spawn(Arc::clone(&tenant).write_changes(Arc::clone(&state)));
        tasks.spawn(Arc::clone(&tenant).keep_changes(Arc::clone(&state)));
        tasks.spawn(Arc::clone(&tenant).keep_incidents(Arc::clone(&state)));
        tasks.spawn(Arc::clone(&tenant).keep_pages(Arc::clone(&state)));
        tasks.spawn(Arc::clone(&tenant).keep_slos(Arc::clone(&state)));
        tasks.spawn(Arc::clone(&tenant).keep_alerts(Arc::clone(&state)));
        tasks.spawn(Arc::clone(&tenant).keep_tests(Arc::clone(&state)));
        tasks.spawn(tenant.keep_history(Arc::clone(&state)));
    }
    tasks.spawn(Arc::clone(&state).keep_folder());
    start_mesh(&state).await;
    let (peers_tx, peers) = watch::channel(Vec::new());
    start_planes(&state, &peers);
    tasks.spawn(watch_mesh(Arc::clone(&state), peers_tx));
    tasks.spawn(Arc::clone(&state).keep_views());
    tasks.spawn(Arc::clone(&state).keep_links());
    tasks.spawn(keep_renewed(Arc::clone(&state), web));
    tracing::info!(spiffe_id = %state.identity.spiffe_id(), console = state.console_url(), "serving");
    told_to_stop(args.stop_with_stdin).await;
    tracing::info!("stopping");
    stop(&state, tasks).await;
    Ok(())
}

/// Log lines go to standard error.
fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = config.log.filter()?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if config.log.format == "json" {
        lines.json().init();
    } else {
        lines.with_ansi(std::io::stderr().is_terminal()).init();
    }
    Ok(())
}

/// One node a folder: a second one would corrupt what the first writes.
fn lock(layout: &Layout) -> anyhow::Result<File> {
    let path = layout.lock();
    // On a full disk the folder is there already, and the note in it is not worth the start.
    let noted =
        write_file(&path.with_file_name("README"), b"Written by the running node.\n", false);
    let file = File::create(&path).with_context(|| {
        let reason = noted.err().map(|error| format!(" ({error})")).unwrap_or_default();
        format!(
            "{}: cannot be made{reason}; make room on the disk, and run as the folder's owner",
            path.display()
        )
    })?;
    file.try_lock().map_err(|_| {
        anyhow!(
            "{}: another node runs in this folder; stop it, or name another folder with --dir",
            layout.dir().display()
        )
    })?;
    Ok(file)
}

fn open(config: Config, layout: Layout) -> anyhow::Result<(Arc<NodeState>, Web)> {
    let now = Millis::now();
    let mesh_file = MeshFile::load(&layout)?;
    let identity = crate::identity::load(&layout, now)?;
    check_name(&config, &identity.spiffe_id())?;
    let files = crate::identity::directory(&layout);
    let issuing = Issuing::load(files.clone(), config.identity.svid_lifetime)?.map(Arc::new);
    let known = layout.admin_token().exists();
    let mut messages: Vec<String> = emptied(&layout.credentials(), known).into_iter().collect();
    let (credentials, report) = Credentials::open(&layout.credentials(), now)?;
    messages.extend(report);
    let key_of_keys = key_of_keys(&files)?;
    let (site, node) = (&config.node.site, &config.node.name);
    let mesh_id = mesh_file.mesh_id();
    let roster = Roster::open(&layout, site, node, &key_of_keys, &identity, mesh_id, now)?;
    let roster = Arc::new(roster);
    messages.extend(roster.messages.iter().cloned());
    roster.enforce(&identity, &layout, now);
    let limits_of_tests = Arc::new(NodeLimits::new(&config.planes.active));
    let mut tenants = Vec::new();
    for id in &config.node.tenants {
        if roster.tenancy.is_erased(id) {
            messages.push(format!(
                "tenant {id} was erased: it is not opened, and nothing is observed for it; take it out of node.tenants"
            ));
            continue;
        }
        let tenant = Tenant::open(&layout, &config, id, &key_of_keys, &limits_of_tests, now)?;
        messages.extend(tenant.messages.iter().cloned());
        tenants.push(tenant);
    }
    for message in &messages {
        tracing::warn!("{message}");
    }
    if let SvidState::Expired { .. } = identity.svid_state(now, 0.5) {
        tracing::warn!(
            "this node's certificate has ended: it observes and serves its own site and does not replicate; get a token \
             with `holm token create --site {site}` on another node and run `holm join` here"
        );
    }
    for (place, tenant) in config.node.tenants.iter().enumerate() {
        let path = if place == 0 { layout.admin_token() } else { layout.admin_token_of(tenant) };
        ensure_admin_token(&credentials, &path, tenant, now)?;
    }
    let web = web(&config, &layout)?;
    let plain_api = config.api.plain_address()?;
    let parts = Parts {
        config,
        layout,
        identity,
        mesh_file,
        issuing,
        credentials,
        tenants: Tenants::new(tenants),
        roster,
        plain_api,
    };
    Ok((NodeState::new(parts), web))
}

fn check_name(config: &Config, id: &holm_certs::SpiffeId) -> anyhow::Result<()> {
    let (site, node) = id.site_and_node().ok_or_else(|| {
        anyhow!("{id}: is not the identity of a node; enrol again with `holm join`")
    })?;
    if (&site, &node) != (&config.node.site, &config.node.name) {
        bail!(
            "the certificate is for site {site}, node {node}, and the configuration says {}, {}; set node.site and \
             node.name, or enrol again with `holm join`",
            config.node.site,
            config.node.name
        );
    }
    Ok(())
}

/// The tenants' data keys lie wrapped by a key that is derived from the node's own.
fn key_of_keys(files: &holm_certs::files::IdentityDir) -> anyhow::Result<[u8; 32]> {
    let pem = files.load_node_key()?.to_pem();
    Ok(blake3::derive_key("holm 2026-11 tenant data keys", pem.as_bytes()))
}

fn web(config: &Config, layout: &Layout) -> anyhow::Result<Web> {
    let files = crate::identity::directory(layout);
    let mut identity = files.load_web()?;
    if !config.api.tls_cert.as_os_str().is_empty() {
        let (cert, key) = (&config.api.tls_cert, &config.api.tls_key);
        identity = holm_certs::files::load_operator_web(identity, cert, key)?;
    }
    Ok(Web { identity, key: files.load_web_key()? })
}

/// The command line on this machine is an admin of each tenant: of the first unless another is named.
fn ensure_admin_token(
    credentials: &Credentials,
    path: &Path,
    tenant: &TenantId,
    now: Millis,
) -> anyhow::Result<()> {
    let known = std::fs::read_to_string(path)
        .ok()
        .and_then(|token| credentials.caller_by_token(token.trim()))
        .is_some_and(|caller| caller.tenant == *tenant && caller.role == Role::Admin);
    if known {
        return Ok(());
    }
    let (_, token) =
        credentials.create_token(tenant, Role::Admin, "this node's command line", now)?;
    write_file(path, format!("{token}\n").as_bytes(), true)
        .with_context(|| format!("{}: cannot be written", path.display()))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("TCP {address} cannot be listened on; stop what uses it, or set api.listen to another port")
    })
}

fn serve(
    state: &Arc<NodeState>,
    listener: TcpListener,
    plain: Option<TcpListener>,
    web: &WebIdentity,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    state.api.get_or_init(|| address);
    let router = crate::api::router(Arc::clone(state));
    let server = |router| Server {
        router,
        counters: Arc::clone(&state.serve_counters),
        shutdown: state.shutdown.clone(),
    };
    // Before the first answer: who saw that the node serves finds where.
    let ip =
        if address.ip().is_unspecified() { "127.0.0.1".into() } else { address.ip().to_string() };
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip };
    let api = ApiAddress { url: format!("https://{ip}:{}", address.port()) };
    if let Err(error) = write_file(&state.layout.api(), &serde_json::to_vec(&api)?, false) {
        tracing::warn!(
            "{}: cannot be written ({error}): the command line on this machine may need --url {}; make room on the disk",
            state.layout.api().display(),
            api.url
        );
    }
    // One configuration: its resolver asks for the current certificate at every handshake.
    let tls = Arc::new(web.server_config()?);
    let source: TlsSource = Arc::new(move || Arc::clone(&tls));
    tokio::spawn(server(router.clone()).run(listener, Some(source)));
    if let Some(plain) = plain {
        tokio::spawn(server(router).run(plain, None));
    }
    Ok(())
}

/// Starts the mesh; without it the node still observes and serves its own site, and says why.
async fn start_mesh(state: &Arc<NodeState>) {
    let started = match mesh_config(state) {
        Ok(config) => {
            let documents = Documents {
                tenants: state.tenants.clone(),
                roster: Arc::clone(&state.roster),
                identity: state.identity.clone(),
                layout: state.layout.clone(),
                changes: state.changes.clone(),
            };
            let calls = Calls {
                issuing: state.issuing.clone(),
                identity: state.identity.clone(),
                state: Arc::downgrade(state),
            };
            let identity = state.identity.clone();
            Mesh::start(config, identity, Arc::new(documents), Arc::new(calls))
                .await
                .map_err(anyhow::Error::from)
        }
        Err(error) => Err(error),
    };
    let mut failure = state.mesh_failure.lock().unwrap_or_else(PoisonError::into_inner);
    *failure = match started {
        Ok(mesh) => {
            super::remembered::begin(state, state.mesh.get_or_init(|| mesh));
            None
        }
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the mesh does not run; this node observes and serves its own site"
            );
            Some(format!("{error:#}"))
        }
    };
}

fn mesh_config(state: &NodeState) -> anyhow::Result<MeshConfig> {
    let config = &state.config;
    let mesh_id = state.mesh_file.mesh_id().ok_or_else(|| {
        anyhow!(
            "{}: the mesh id is damaged; enrol again with `holm join`",
            state.layout.mesh().display()
        )
    })?;
    let dial_max_ms = u64::try_from(config.mesh.redial_max.as_millis()).unwrap_or(60_000);
    Ok(MeshConfig {
        mesh_id,
        site: config.node.site.clone(),
        node: config.node.name.clone(),
        listen: config.mesh.listen,
        advertise: config.mesh.advertise.clone(),
        api_port: state.api.get().map(SocketAddr::port),
        seeds: config.mesh.seeds.clone(),
        mdns: config.mesh.mdns,
        protocol_at_most: config.mesh.protocol_at_most,
        timing: Timing { dial_max_ms, ..Timing::default() },
        limits: Limits::default(),
        nat: config.mesh.nat(),
    })
}

fn start_planes(state: &Arc<NodeState>, peers: &watch::Receiver<Vec<VantagePeer>>) {
    let config = &state.config;
    let Some(tenant) = config.node.tenants.first().and_then(|id| state.tenants.of(id)) else {
        return;
    };
    let context_of = |tenant: &Arc<Tenant>, health| PlaneContext {
        tenant: tenant.id.clone(),
        site: config.node.site.clone(),
        node: config.node.name.clone(),
        facts: Arc::clone(tenant) as Arc<dyn holm_plane::FactSink>,
        rows: Arc::new(Rows { tenant: Arc::clone(tenant), changes: state.changes.clone() }),
        health,
        peers: peers.clone(),
    };
    let context = |health| context_of(&tenant, health);
    for tenant in state.tenants.all() {
        tenant.tests.runner.know_clocks(PeerClocks::of(state));
    }
    let mut planes = state.planes();
    let active = &config.planes.active;
    // The planes observe for the first tenant; tests of the others run beside them.
    let others = state.tenants.all().into_iter().filter(|other| other.id != tenant.id);
    for other in others.filter(|_| active.enabled) {
        let plane = ActivePlane::of_tests(active.clone(), Arc::clone(&other.tests.runner));
        let stop = other.ended().child_token();
        let (told, node) = (stop.clone(), state.shutdown.clone());
        tokio::spawn(async move {
            node.cancelled().await;
            told.cancel();
        });
        let context = |health| context_of(&other, health);
        let supervised = Supervised::start(Arc::new(plane), context, stop);
        let mut held = state.test_planes.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(other.id.clone(), supervised);
    }
    let mut host = config.planes.host.clone();
    // The nodes' own traffic is what the active plane and the mesh report already.
    host.ignore_ports.push(state.api_port());
    let path = &config.planes.path;
    let wanted = traced(&tenant.tests.runner, state.shutdown.clone());
    let flow = &config.planes.flow;
    let flows = Arc::new(Flows { tenant: Arc::clone(&tenant) });
    let kept = Arc::clone(&tenant.kept) as Arc<dyn holm_flow::Keeper>;
    let known: [(&'static str, bool, Arc<dyn Plane>); 5] = [
        (
            "active",
            active.enabled,
            Arc::new(ActivePlane::new(active.clone(), Arc::clone(&tenant.tests.runner))),
        ),
        ("flow", flow.enabled, Arc::new(holm_flow::FlowPlane::new(flow.clone(), flows, kept))),
        ("host", host.enabled, Arc::new(holm_host::HostPlane::new(host.clone()))),
        (
            "otlp",
            config.planes.otlp.enabled,
            Arc::new(OtlpPlane::new(Arc::clone(&state.traces.counters))),
        ),
        ("path", path.enabled, Arc::new(PathPlane::following(with_table(path, flow), wanted))),
    ];
    for (name, enabled, plane) in known {
        planes.push(if enabled {
            Supervised::start(plane, context, state.shutdown.clone())
        } else {
            Supervised::off(
                name,
                "switched off in the configuration",
                &format!("set planes.{name}.enabled = true and start the node again"),
            )
        });
    }
}

/// The path plane's configuration; without a table of autonomous systems of its own, with the flow plane's.
fn with_table(path: &holm_path::Config, flow: &holm_flow::Config) -> holm_path::Config {
    let mut path = path.clone();
    if path.asn_file.as_os_str().is_empty() {
        path.asn_file.clone_from(&flow.asn_file);
    }
    path
}

/// Tells the planes who the peers are, the pages what changed, and the graph what this site watches.
async fn watch_mesh(state: Arc<NodeState>, peers: watch::Sender<Vec<VantagePeer>>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut states = Vec::new();
    let mut seen = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = state.shutdown.cancelled() => return,
        }
        let status = state.mesh().map(Mesh::status);
        let now = Millis::now();
        peers.send_if_modified(|known| {
            let found =
                vantage_peers(status.iter().flat_map(|s| &s.members), &state.config.node.site);
            let changed = *known != found;
            *known = found;
            changed
        });
        state.tend_forgotten(status.as_ref()).await;
        let cut_off = state.cut_off_since(status.as_ref(), now);
        let heard: Vec<(SiteId, bool)> = status
            .iter()
            .flat_map(|s| &s.members)
            .map(|member| (member.site.clone(), member.connected))
            .collect();
        let leases: Vec<Millis> =
            status.iter().flat_map(|s| &s.leases).map(|lease| lease.as_of).collect();
        let freshness = (cut_off.is_some(), heard, leases);
        // Also when only a lease moved on: pages count ages from it.
        if seen.as_ref() != Some(&freshness) {
            seen = Some(freshness);
            state.tell(Change::for_all(Topic::Sites));
        }
        let now_states: Vec<_> =
            state.planes().iter().map(|p| (p.name(), p.health().state)).collect();
        if states != now_states {
            states = now_states;
            state.tell(Change::for_all(Topic::Planes));
        }
        state.observe_own_site(now);
    }
}

fn vantage_peers<'a>(
    members: impl Iterator<Item = &'a MemberStatus>,
    own: &SiteId,
) -> Vec<VantagePeer> {
    let mut peers: Vec<VantagePeer> = members
        .filter(|member| member.site != *own)
        .filter_map(|member| {
            let address = address_of(member)?;
            Some(VantagePeer {
                site: member.site.clone(),
                node: member.node.clone(),
                address,
                api_port: member.api_port,
            })
        })
        .collect();
    peers.sort_by(|a, b| (&a.site, &a.node).cmp(&(&b.site, &b.node)));
    peers
}

/// Where to probe a member: the address of the connection on which it proved who it is; else one that it
/// says is its own, first of all one that means the same everywhere. What another machine of this site
/// has as its address too would answer in its place.
fn address_of(member: &MemberStatus) -> Option<IpAddr> {
    let direct = member.remote.filter(|_| member.connected && member.via.is_none());
    let own = || member.addresses.iter().map(|address| address.ip());
    let everywhere = || own().find(|ip| AddressScope::of(*ip) == AddressScope::Global);
    direct.map(|address| address.ip()).or_else(everywhere).or_else(|| own().next())
}

/// Waits for SIGINT or SIGTERM, or for the end of standard input.
pub(crate) async fn told_to_stop(with_stdin: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                terminate.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    let stdin = async {
        if with_stdin {
            crate::demo::stop_when_stdin_closes().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
        () = stdin => {}
    }
}

/// Planes first, so that what they saw last is written; then the writers; then the mesh.
async fn stop(state: &Arc<NodeState>, mut tasks: tokio::task::JoinSet<()>) {
    state.shutdown.cancel();
    let mut planes = std::mem::take(&mut *state.planes());
    let of_tests =
        std::mem::take(&mut *state.test_planes.lock().unwrap_or_else(PoisonError::into_inner));
    planes.extend(of_tests.into_values());
    for plane in &mut planes {
        plane.stopped().await;
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(5), all).await.is_err() {
        tracing::warn!("something did not stop in time; it is ended");
    }
    if let Some(mesh) = state.mesh() {
        mesh.shutdown().await;
    }
    // The address is no longer true; that it cannot be removed is no reason to fail.
    let _ = std::fs::remove_file(state.layout.api());
}

impl NodeState {
    /// Records this site and its planes as elements, so that every site knows what is watched here.
    fn observe_own_site(&self, now: Millis) {
        let planes: Vec<(String, &'static str)> = self
            .planes()
            .iter()
            .map(|plane| {
                let state = match plane.health().state {
                    holm_plane::PlaneState::Degraded => "degraded",
                    holm_plane::PlaneState::Off => "off",
                    holm_plane::PlaneState::Running => "running",
                };
                (format!("holm.plane.{}", plane.name()), state)
            })
            .collect();
        let node = &self.config.node;
        let places =
            [("holm.site.address_plan", &node.address_plan), ("holm.site.machine", &node.machine)];
        let places = places.into_iter().filter(|(_, name)| !name.is_empty());
        let places = places.map(|(key, name)| (key, name.as_str()));
        let planes = planes.iter().map(|(name, state)| (name.as_str(), *state));
        let attributes: Vec<(&str, &str)> = planes.chain(places).collect();
        let Some(tenant) = self.config.node.tenants.first().and_then(|id| self.tenants.of(id))
        else {
            return;
        };
        holm_plane::FactSink::observe_node(
            tenant.as_ref(),
            &holm_model::NodeObservation {
                node: holm_model::NodeRef {
                    kind: holm_model::NodeKind::Site,
                    name: self.config.node.site.as_str(),
                },
                attributes: &attributes,
                at: now,
                hold_ms: 24 * 3_600 * 1_000,
            },
        );
    }

    /// Says on the roster what is due about tenants: at the start, on news, and when a grant begins or
    /// ends.
    async fn keep_tenancy(self: Arc<Self>) {
        for tenant in self.tenants.all().iter().filter(|held| self.label(&held.id).is_none()) {
            tracing::warn!(tenant = %tenant.id, "the tenant was not made in this mesh, or not granted to this site: it stays at this node; `holm tenant create` makes it, `holm tenant grant` where it was made grants it");
        }
        loop {
            let now = Millis::now();
            if let Err(error) = self.say_what_is_due(now).await {
                tracing::error!(
                    error = format!("{error:#}"),
                    "what is due about tenants could not be said; it is tried again"
                );
            }
            let next = self
                .roster
                .tenancy
                .next_change(now)
                .map_or(TENANCY_EVERY_MS, |at| at.since(now).clamp(1_000, TENANCY_EVERY_MS));
            tokio::select! {
                () = self.roster.tenancy.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(next)) => {}
                () = self.shutdown.cancelled() => return,
            }
        }
    }

    pub(crate) async fn say_what_is_due(self: &Arc<Self>, now: Millis) -> anyhow::Result<()> {
        let state = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _turn = state.roster.tenancy.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let issuer = state.issuing.as_deref().map(Issuing::issuer);
            let mut due = state.roster.tenancy.due(issuer, &state.identity, now)?;
            due.extend(state.erase_what_is_due(now)?);
            state.announce(&due, now)
        })
        .await?
    }
}
