//! What every part of the running node shares.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use holm_certs::Identity;
use holm_mesh_link::Mesh;
use holm_model::{DocVersion, Millis, NameError, NodeName, SiteId, TenantId};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::freshness::Absence;
use super::links::Links;
use super::planes::Supervised;
use super::query::Queries;
use super::roster::Roster;
use super::tenancy::acts;
use super::throughput::Runs;
use super::views::Views;
use super::{Credentials, GitOps, Tenant, Tenants};
use crate::api::{Ingest, Questions, ServeCounters, Throttle, Traces};
use crate::config::Config;
use crate::enrol::Issuing;
use crate::identity::MeshFile;
use crate::layout::Layout;

/// What kind of thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Alerts,
    Changes,
    Incidents,
    Pages,
    Planes,
    Results,
    Sites,
    Slos,
    Tests,
    Topology,
}

impl Topic {
    pub(crate) const ALL: [Self; 10] = [
        Self::Alerts,
        Self::Changes,
        Self::Incidents,
        Self::Pages,
        Self::Planes,
        Self::Results,
        Self::Sites,
        Self::Slos,
        Self::Tests,
        Self::Topology,
    ];

    /// The event's name in the stream.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Changes => "changes",
            Self::Incidents => "incidents",
            Self::Pages => "pages",
            Self::Planes => "planes",
            Self::Results => "results",
            Self::Sites => "sites",
            Self::Slos => "slos",
            Self::Tests => "tests",
            Self::Topology => "topology",
        }
    }
}

/// Something changed; `tenant: None` concerns everyone.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) tenant: Option<TenantId>,
    pub(crate) topic: Topic,
}

impl Change {
    pub(crate) fn of(tenant: &TenantId, topic: Topic) -> Self {
        Self { tenant: Some(tenant.clone()), topic }
    }

    pub(crate) fn for_all(topic: Topic) -> Self {
        Self { tenant: None, topic }
    }
}

/// The running node.
pub(crate) struct NodeState {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) identity: Identity,
    pub(crate) mesh_file: MeshFile,
    pub(crate) issuing: Option<Arc<Issuing>>,
    pub(crate) credentials: Credentials,
    pub(crate) throttle: Throttle,
    pub(crate) questions: Questions,
    /// Deliveries of webhooks.
    pub(crate) ingest: Ingest,
    /// What providers say of incidents.
    pub(crate) ingest_pages: Ingest,
    /// Reports of endpoints.
    pub(crate) ingest_endpoints: Ingest,
    /// What exporters of spans send.
    pub(crate) traces: Traces,
    pub(crate) queries: Queries,
    /// The folder of policies.
    pub(crate) gitops: GitOps,
    pub(crate) tenants: Tenants,
    pub(crate) roster: Arc<Roster>,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serve_counters: Arc<ServeCounters>,
    pub(crate) absence: Mutex<Absence>,
    pub(crate) views: Views,
    /// What other nodes measure between sites.
    pub(crate) links: Links,
    pub(super) mesh: OnceLock<Mesh>,
    /// Why the mesh does not run, if it does not.
    pub(super) mesh_failure: Mutex<Option<String>>,
    pub(super) planes: Mutex<Vec<Supervised>>,
    /// What runs the tests of tenants beside the first.
    pub(super) test_planes: Mutex<BTreeMap<TenantId, Supervised>>,
    pub(super) api: OnceLock<SocketAddr>,
    pub(super) plain_api: Option<SocketAddr>,
    /// Tests that are run once for other nodes now.
    pub(super) tests_for_others: AtomicUsize,
    /// How much ways carry, on request.
    pub(super) throughput: Runs,
    requests: AtomicU64,
    failed_requests: AtomicU64,
    /// Random, so that ids of two runs differ.
    request_prefix: u64,
}

/// What a [`NodeState`] is made from; the rest comes while it runs.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) layout: Layout,
    pub(super) identity: Identity,
    pub(super) mesh_file: MeshFile,
    pub(super) issuing: Option<Arc<Issuing>>,
    pub(super) credentials: Credentials,
    pub(super) tenants: Tenants,
    pub(super) roster: Arc<Roster>,
    pub(super) plain_api: Option<SocketAddr>,
}

impl NodeState {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { config, layout, identity, mesh_file, issuing, .. } = parts;
        let throughput = Runs::new(config.planes.active.throughput_bytes_per_hour);
        Arc::new(Self {
            config,
            layout,
            identity,
            mesh_file,
            issuing,
            credentials: parts.credentials,
            throttle: Throttle::default(),
            questions: Questions::default(),
            ingest: Ingest::default(),
            ingest_pages: Ingest::default(),
            ingest_endpoints: Ingest::default(),
            traces: Traces::default(),
            queries: Queries::default(),
            gitops: GitOps::default(),
            tenants: parts.tenants,
            roster: parts.roster,
            changes: broadcast::channel(256).0,
            shutdown: CancellationToken::new(),
            serve_counters: Arc::default(),
            absence: Mutex::default(),
            views: Views::default(),
            links: Links::default(),
            mesh: OnceLock::new(),
            mesh_failure: Mutex::new(Some("it is not started yet".into())),
            planes: Mutex::default(),
            test_planes: Mutex::default(),
            api: OnceLock::new(),
            plain_api: parts.plain_api,
            tests_for_others: AtomicUsize::new(0),
            throughput,
            requests: AtomicU64::new(0),
            failed_requests: AtomicU64::new(0),
            request_prefix: rand::random(),
        })
    }

    /// The tenant of a caller, if this node replicates it.
    pub(crate) fn tenant(
        &self,
        caller: &super::Caller,
    ) -> Result<Arc<Tenant>, crate::api::error::ApiError> {
        self.tenants.of(&caller.tenant).ok_or_else(|| {
            if self.roster.tenancy.is_erased(&caller.tenant) {
                return crate::api::error::ApiError::not_found(format!(
                    "tenant {} was erased: its data is destroyed everywhere the erasure has reached",
                    caller.tenant
                ));
            }
            crate::api::error::ApiError::not_found(format!(
                "this node does not replicate tenant {}; ask a node that does, or add it to node.tenants",
                caller.tenant
            ))
        })
    }

    /// The mesh, while it runs.
    pub(crate) fn mesh(&self) -> Option<&Mesh> {
        self.mesh.get()
    }

    /// Why the mesh does not run.
    pub(crate) fn mesh_failure(&self) -> Option<String> {
        self.mesh_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The planes and their reports.
    pub(crate) fn planes(&self) -> MutexGuard<'_, Vec<Supervised>> {
        self.planes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells pages that are open.
    pub(crate) fn tell(&self, change: Change) {
        // Nobody listening is fine.
        let _ = self.changes.send(change);
    }

    /// Tells the mesh of a new version of a document.
    pub(crate) fn publish(&self, version: DocVersion) {
        if let Some((mesh, tenant)) = self.mesh().zip(self.label(&version.tenant)) {
            mesh.publish(DocVersion { tenant, ..version });
        }
    }

    /// What a tenant is called on the mesh; `None` while it was not made there.
    pub(crate) fn label(&self, tenant: &TenantId) -> Option<TenantId> {
        if *tenant == self.roster.tenant {
            return Some(tenant.clone());
        }
        self.roster.tenancy.label(tenant)
    }

    /// Adds statements to the roster and tells the mesh.
    pub(crate) fn announce(&self, statements: &[Vec<u8>], now: Millis) -> anyhow::Result<()> {
        for version in self.roster.add(statements, &self.identity, now)? {
            self.publish(version);
        }
        self.wake_changes();
        Ok(())
    }

    /// The same for what somebody does, by name.
    pub(crate) fn announce_by(
        &self,
        statements: &[Vec<u8>],
        by: &str,
        now: Millis,
    ) -> anyhow::Result<()> {
        for act in statements.iter().filter_map(|statement| acts::id_of(statement)) {
            self.roster.doers.note(act, by);
        }
        self.announce(statements, now)
    }

    /// The roster has news: what was done becomes a change of the tenants that may know of it.
    pub(crate) fn wake_changes(&self) {
        self.tenants.all().iter().for_each(|tenant| tenant.changes.look());
    }

    /// Says to the mesh that what this node holds open was true at `as_of`.
    pub(crate) fn hold_lease(&self, tenant: &TenantId, as_of: Millis) {
        if let Some((mesh, label)) = self.mesh().zip(self.label(tenant)) {
            mesh.hold_lease(&label, as_of);
        }
    }

    /// The SPIFFE IDs of the peers that are connected now.
    pub(crate) fn connected_peers(&self) -> Vec<String> {
        let Some(mesh) = self.mesh() else { return Vec::new() };
        let status = mesh.status();
        let connected = status.members.into_iter().filter(|member| member.connected);
        connected.map(|member| format!("{}/{}", member.site, member.node)).collect()
    }

    /// Calls `method` at a peer named `site/node`.
    pub(crate) async fn ask_peer(
        &self,
        peer: &str,
        method: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, String> {
        let mesh = self.mesh().ok_or("the mesh does not run")?;
        let (site, node) = peer.split_once('/').ok_or("not a node's name")?;
        let site: SiteId = site.parse().map_err(|error: NameError| error.to_string())?;
        let node: NodeName = node.parse().map_err(|error: NameError| error.to_string())?;
        mesh.request_node(&site, &node, method, body).await.map_err(|error| error.to_string())
    }

    /// The port of the HTTPS API.
    pub(crate) fn api_port(&self) -> u16 {
        self.api.get().unwrap_or(&self.config.api.listen).port()
    }

    /// Where a browser opens this node's console.
    pub(crate) fn console_url(&self) -> String {
        let listen = self.api.get().copied().unwrap_or(self.config.api.listen);
        let host = match self.config.api.names.first() {
            Some(name) if name.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{name}]"),
            Some(name) => name.clone(),
            None if listen.ip().is_unspecified() => "localhost".into(),
            None => SocketAddr::new(listen.ip(), 0).to_string().trim_end_matches(":0").to_owned(),
        };
        format!("https://{host}:{}", listen.port())
    }

    /// Whether a request from `address` came over the plain listener, which is on loopback only.
    pub(crate) fn is_plain_loopback(&self, address: SocketAddr) -> bool {
        self.plain_api.is_some() && address.ip().is_loopback()
    }

    pub(crate) fn next_request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:x}", self.request_prefix as u32)
    }

    pub(crate) fn count_request(&self, status: u16) {
        if status >= 500 {
            self.failed_requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests answered, and those of them that failed by this node's fault.
    pub(crate) fn request_counts(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.failed_requests.load(Ordering::Relaxed))
    }
}
