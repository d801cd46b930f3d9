//! Members without a node: identities that a test issues itself, documents that it holds itself, and frames
//! that it says by hand to a node that runs.

#[path = "../../../../mesh/link/tests/common/hostile.rs"]
#[allow(dead_code, unreachable_pub, reason = "the link's tests use more of it")]
pub(crate) mod hostile;

use std::time::Duration;

use holm_certs::files::IdentityDir;
use holm_certs::{
    Grant, GrantTerms, Identity, NodeKey, RevocationSet, Rights, SpiffeId, TenantAuthority,
    TrustDomain,
};
use holm_mesh_proto::wire::MeshId;
use holm_mesh_proto::{DocumentStore, Scope};
use holm_model::{DocId, DocVersion, Millis, NodeName, SiteId, TenantId};
use holm_replica::{Applied, DataKey, DocName, MemoryDisk, Replica};

use super::{Lab, Place, Running};
pub(crate) use hostile::Hostile;

/// A tenant whose name no stranger may hear.
pub(crate) const SECRET: &str = "umbrella-7";
/// The roster, which every member may have.
pub(crate) const ROSTER: &str = "holm-roster";
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
pub(crate) const HOUR_MS: u64 = 3_600_000;

/// What the mesh's first node has on disk: enough to issue identities and to speak for its tenant.
pub(crate) struct Mesh {
    files: IdentityDir,
    domain: TrustDomain,
    pub(crate) id: MeshId,
    pub(crate) authority: TenantAuthority,
}

/// The first node of a mesh whose tenant is [`SECRET`].
pub(crate) fn found(lab: &Lab, site: &str) -> (Place, Mesh) {
    let place = lab.place(site);
    let (api, mesh) = (place.api.to_string(), place.mesh.to_string());
    let args = ["mesh", "init", "--trust-domain", "t.test", "--site", site, "--tenant", SECRET];
    let listen = ["--api-listen", &api, "--mesh-listen", &mesh];
    place.holm(&[&args[..], &listen[..]].concat()).succeeded();
    let files = IdentityDir::at(&place.file("identity"));
    let authority = files.load_tenant_authority(&tenant(SECRET)).expect("readable");
    let file: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.file("mesh.json")).expect("there"))
            .expect("json");
    let hex = file["mesh_id"].as_str().expect("an id");
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex");
    let mesh = Mesh {
        files,
        domain: TrustDomain::new("t.test").expect("valid"),
        id: MeshId(std::array::from_fn(byte)),
        authority: authority.expect("made here"),
    };
    (place, mesh)
}

impl Mesh {
    /// A good identity of a node of `site`, for a day.
    pub(crate) fn identity(&self, site: &str) -> Identity {
        let key = NodeKey::generate().expect("a key");
        let issuer = self.files.load_issuer().expect("readable").expect("an issuer");
        let id = SpiffeId::node(&self.domain, &site_id(site), &NodeName::new("n1").expect("valid"));
        let now = Millis::now();
        let chain = issuer.issue_svid(key.public_key(), &id, WEEK, now).expect("issued");
        let bundles = self.files.load_bundles().expect("readable");
        Identity::new(key, chain, bundles, RevocationSet::default(), now).expect("valid")
    }

    /// What the tenant is called on the mesh.
    pub(crate) fn label(&self) -> TenantId {
        tenant(&self.authority.tag().to_string())
    }

    /// A grant from `begun_ms` ago until `not_after`.
    pub(crate) fn grant(&self, site: &str, serial: u64, begun_ms: u64, not_after: Millis) -> Grant {
        let not_before = Millis::now() - begun_ms;
        let (site, rights) = (site_id(site), Rights::BOTH);
        let terms = GrantTerms { site, rights, serial, not_before, not_after };
        self.authority.grant(terms).expect("signed")
    }
}

/// Documents of one tenant, held by a test.
pub(crate) struct Copy {
    label: TenantId,
    pub(crate) replica: Replica,
}

impl Copy {
    /// Of the tenant `name`, which the mesh calls `label`, at `site`.
    pub(crate) fn of(name: &str, label: &TenantId, site: &str) -> Self {
        let mut rng = rand::rng();
        let (disk, key) = (Box::new(MemoryDisk::new()), DataKey::generate(&mut rng));
        let (site, node) = (site_id(site), NodeName::new("n1").expect("valid"));
        let opened = Replica::open_on(disk, tenant(name), key, site, node, Millis::now(), &mut rng);
        Self { label: label.clone(), replica: opened.expect("opens").0 }
    }

    /// The roster.
    pub(crate) fn of_roster(site: &str) -> Self {
        Self::of(ROSTER, &tenant(ROSTER), site)
    }

    /// Adds a statement, good or not.
    pub(crate) fn say(&self, statement: &[u8]) {
        self.replica.add_statement(statement, Millis::now()).expect("added");
    }

    /// Makes both sides equal.
    pub(crate) async fn reconcile(&self, peer: &Hostile) -> Result<(), String> {
        peer.reconcile(&self.label, Scope::All, self).await.map(drop)
    }
}

impl DocumentStore for Copy {
    fn tenants(&self) -> Vec<TenantId> {
        vec![self.label.clone()]
    }

    /// It keeps no rule.
    fn may_replicate(&self, _: &SiteId, _: &TenantId) -> bool {
        true
    }

    fn documents(&self, label: &TenantId) -> Vec<DocVersion> {
        let own = self.replica.documents().into_iter();
        own.map(|version| DocVersion { tenant: label.clone(), ..version }).collect()
    }

    fn heads(&self, _: &TenantId, doc: &DocId) -> Vec<[u8; 32]> {
        self.replica.heads(*doc)
    }

    fn export(&self, _: &TenantId, doc: &DocId, have: &[[u8; 32]]) -> Result<Vec<u8>, String> {
        self.replica.export(*doc, have).map(|blob| blob.bytes).map_err(|error| error.to_string())
    }

    fn apply(
        &self,
        label: &TenantId,
        doc: &DocId,
        from: &str,
        bytes: &[u8],
    ) -> Result<Option<DocVersion>, String> {
        match self.replica.apply(*doc, bytes, from, Millis::now()) {
            Ok(Applied::Merged(merged)) if merged.news => {
                Ok(Some(DocVersion { tenant: label.clone(), ..merged.version }))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A runtime for members without a node.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

/// The id of the first topology document of `site` in the tenant `name`.
pub(crate) fn topology_of(site: &str, name: &str) -> DocId {
    DocName::topology(&site_id(site), 0, 0).id(&tenant(name))
}

/// The value of a counter of the mesh at a node.
pub(crate) fn counted(node: &Running, counter: &str) -> u64 {
    metric(node, &format!("holm_mesh_count_total{{counter=\"{counter}\"}}"))
}

/// The value of a metric with its labels as they are written; 0 while it is not there.
pub(crate) fn metric(node: &Running, name: &str) -> u64 {
    let all = node.place.client().get("/metrics").body;
    let line = all.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or(0)
}

pub(crate) fn site_id(name: &str) -> SiteId {
    SiteId::new(name).expect("a site")
}

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}
