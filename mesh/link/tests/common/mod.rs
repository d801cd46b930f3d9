//! A small mesh of real nodes on loopback, with a certificate authority of its own.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod hostile;

#[path = "../../../proto/tests/common/store.rs"]
pub mod store;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holm_certs::{
    BundleMap, Identity, Issuer, NodeKey, RevocationSet, RootAuthority, SpiffeId, TrustDomain,
};
use holm_mesh_link::{
    Limits, LinkError, Mesh, MeshConfig, MeshId, MeshStatus, NatConfig, PeerInfo, RpcHandler,
    Timing,
};
use holm_model::{DocId, Millis, NodeName, SiteId};
pub use store::{FakeStore, doc, tenant};

pub const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// No test waits longer for anything; none asserts how long it took.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Authority {
    pub domain: TrustDomain,
    pub root: RootAuthority,
    pub issuer: Issuer,
}

impl Authority {
    pub fn new(domain: &str) -> Self {
        let domain = TrustDomain::new(domain).expect("valid");
        let root = RootAuthority::create(&domain, Millis::now()).expect("a root");
        let issuer = root.create_issuer(Millis::now()).expect("an issuer");
        Self { domain, root, issuer }
    }

    pub fn id(&self, site: &str) -> SpiffeId {
        SpiffeId::node(&self.domain, &site_id(site), &node_name())
    }

    pub fn identity(&self, site: &str, lifetime: Duration) -> Identity {
        self.identity_at(site, lifetime, Millis::now())
    }

    /// An identity that was issued at `at`.
    pub fn identity_at(&self, site: &str, lifetime: Duration, at: Millis) -> Identity {
        self.identity_on(NodeKey::generate().expect("a key"), site, lifetime, at)
    }

    /// An identity that ends in `seconds`; the issuer gives none for less than a minute.
    pub fn ending_in(&self, site: &str, seconds: u64) -> Identity {
        let minute = Duration::from_secs(60);
        self.identity_at(site, minute, Millis::now() - (60 - seconds) * 1_000)
    }

    pub fn identity_on(
        &self,
        key: NodeKey,
        site: &str,
        lifetime: Duration,
        at: Millis,
    ) -> Identity {
        let chain =
            self.issuer.issue_svid(key.public_key(), &self.id(site), lifetime, at).expect("issued");
        let bundles = BundleMap::of(self.root.bundle().expect("a bundle"));
        Identity::new(key, chain, bundles, RevocationSet::default(), Millis::now()).expect("valid")
    }

    pub fn renew(&self, identity: &Identity, site: &str, lifetime: Duration) {
        let key = identity.key().public_key();
        let chain =
            self.issuer.issue_svid(key, &self.id(site), lifetime, Millis::now()).expect("issued");
        identity.replace_svid(chain, Millis::now()).expect("renewed");
    }
}

pub fn site_id(name: &str) -> SiteId {
    SiteId::new(name).expect("valid")
}

pub fn node_name() -> NodeName {
    NodeName::new("a").expect("valid")
}

/// Answers `echo` with the caller's site and the body; refuses everything else.
pub struct Echo;

impl RpcHandler for Echo {
    fn handle(&self, peer: &PeerInfo, method: &str, body: &[u8]) -> Result<Vec<u8>, String> {
        match method {
            "echo" => Ok([peer.site.as_str().as_bytes(), b":", body].concat()),
            other => Err(format!("no method {other}")),
        }
    }
}

pub fn config(site: &str, seeds: &[SocketAddr]) -> MeshConfig {
    MeshConfig {
        mesh_id: MeshId([1; 16]),
        site: site_id(site),
        node: node_name(),
        listen: "127.0.0.1:0".parse().expect("valid"),
        advertise: vec![],
        api_port: Some(8443),
        seeds: seeds.iter().map(ToString::to_string).collect(),
        mdns: false,
        protocol_at_most: holm_mesh_proto::wire::PROTOCOL_VERSION,
        timing: Timing::quick(),
        limits: Limits { handshake_ms: 2_000, idle_ms: 2_000, ..Limits::default() },
        nat: NatConfig::default(),
    }
}

pub struct Node {
    pub mesh: Mesh,
    pub store: Arc<FakeStore>,
    pub identity: Identity,
}

impl Node {
    pub async fn try_start(config: MeshConfig, identity: Identity) -> Result<Self, LinkError> {
        Self::with_store(config, identity, Arc::new(FakeStore::with_tenants(&["acme"]))).await
    }

    pub async fn with_store(
        config: MeshConfig,
        identity: Identity,
        store: Arc<FakeStore>,
    ) -> Result<Self, LinkError> {
        let mesh = Mesh::start(config, identity.clone(), store.clone(), Arc::new(Echo)).await?;
        Ok(Self { mesh, store, identity })
    }

    pub async fn start(config: MeshConfig, identity: Identity) -> Self {
        Self::try_start(config, identity).await.expect("starts")
    }

    pub fn address(&self) -> SocketAddr {
        self.mesh.listen_address()
    }

    pub fn write(&self, number: u64, text: &str) -> DocId {
        let id = doc(number);
        let version = self.store.write(&tenant("acme"), id, Millis::now().0, text.as_bytes());
        self.mesh.publish(version);
        id
    }

    pub fn connected(&self) -> usize {
        self.mesh.status().members.iter().filter(|member| member.connected).count()
    }

    pub fn count(&self, name: &str) -> u64 {
        self.mesh.status().counters.get(name).copied().unwrap_or(0)
    }
}

/// Waits until `done`; fails with the status of `nodes` otherwise.
pub async fn eventually(what: &str, nodes: &[&Node], done: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !done() {
        if tokio::time::Instant::now() > end {
            let states: Vec<MeshStatus> = nodes.iter().map(|node| node.mesh.status()).collect();
            let digests: Vec<_> = nodes.iter().map(|node| node.store.digest()).collect();
            panic!("{what}: did not come true; {states:#?} {digests:#?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn equal(nodes: &[&Node]) -> bool {
    nodes.iter().all(|node| node.store.digest() == nodes[0].store.digest())
}

/// Starts nodes at `sites`; the first is the seed of the others.
pub async fn start_all(authority: &Authority, sites: &[&str]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for site in sites {
        let seeds: Vec<SocketAddr> = nodes.first().map(Node::address).into_iter().collect();
        nodes.push(Node::start(config(site, &seeds), authority.identity(site, WEEK)).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    eventually("everyone is connected with everyone", &all, || {
        all.iter().all(|node| node.connected() == sites.len() - 1)
    })
    .await;
    nodes
}
