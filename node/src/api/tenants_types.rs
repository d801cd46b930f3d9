//! What the API says of tenants and grants.

use holm_model::{NodeName, SiteId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::{Timestamp, api_type, request_type};

request_type!(
    /// A tenant to be made.
    NewTenant {
        /// 1 to 63 of a-z, 0-9 and '-', not first or last.
        #[schema(value_type = String)]
        name: TenantId,
    }
);

/// What a site may do with a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RightView {
    /// Ask other sites about it.
    Query,
    /// Hold its documents.
    Replicate,
}

request_type!(
    /// A grant to be made.
    NewGrant {
        #[schema(value_type = String)]
        site: SiteId,
        /// Both unless named.
        #[serde(default)]
        rights: Vec<RightView>,
        /// For how long: 1 to 3,650 days; the longest unless given.
        #[serde(default)]
        days: Option<u64>,
    }
);

/// How a grant stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GrantStateView {
    /// The tenant was ended, for good.
    Erased,
    /// It is over.
    Expired,
    /// It holds.
    Granted,
    NeverGranted,
    /// It begins later.
    NotYet,
    /// It was taken back.
    Revoked,
}

api_type!(
    /// Whether a site may do something now.
    VerdictView {
        state: GrantStateView,
        /// Granted: until then. Expired or revoked: since then. Not yet: from then on.
        at: Option<Timestamp>,
    }
);

api_type!(
    /// How a site stands in a tenant.
    TenantSiteView {
        #[schema(value_type = String)]
        site: SiteId,
        replicate: VerdictView,
        query: VerdictView,
        /// Whether a node of the site is known here; a grant to a site without one waits for it.
        known: bool,
    }
);

api_type!(
    /// A tenant of the mesh.
    TenantView {
        /// `null` for a tenant that was not granted to this node's site: it does not know the name.
        name: Option<String>,
        /// What it is called on the mesh: from the hash of its authority's key.
        tag: String,
        /// Whether the key of its authority is on this node: only here it can be granted and revoked.
        authority_here: bool,
        /// Whether this node holds it: it stands in `node.tenants`.
        opened_here: bool,
        sites: Vec<TenantSiteView>,
        /// Set once the tenant was erased.
        erasure: Option<ErasureView>,
    }
);

api_type!(
    /// How far the erasure of a tenant has come, as far as this node has heard.
    ErasureView {
        at: Timestamp,
        /// Every node that had the tenant, or may have had it, attested that it destroyed what it had.
        finished: bool,
        erased: Vec<ErasedNode>,
        /// Nodes that did not answer yet: they erase when they hear of it, and until then have it.
        missing: Vec<ErasureMissing>,
        /// Sites that were granted the tenant, of which no node is known here: none can have been sent its keys.
        #[schema(value_type = Vec<String>)]
        without_nodes: Vec<SiteId>,
    }
);

api_type!(
    /// A node that attested the erasure.
    ErasedNode {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        /// SHA-256 of its key, which signed its word: a node that was replaced under its name has another.
        key: String,
        /// When it was done, by its clock.
        at: Timestamp,
    }
);

api_type!(
    /// A node that has not answered.
    ErasureMissing {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        /// SHA-256 of its key, where that is known. `holm revoke` puts out a node that is gone for good: it is not
        /// waited for any more.
        key: Option<String>,
    }
);

request_type!(
    /// The end of a tenant.
    NewErasure {
        /// The tenant's name once more: there is no way back.
        #[schema(value_type = String)]
        confirm: TenantId,
    }
);

api_type!(
    /// The tenants of the mesh.
    TenantList {
        items: Vec<TenantView>,
    }
);
