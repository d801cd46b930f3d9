//! Enrolment and renewal: how a node gets its certificates.
//!
//! A joining node shows a token's proof to a seed, over TLS that ends in the pinned root, and sends
//! requests for two keys of its own. What it gets back makes it a member. Renewal asks any reachable
//! issuer over the mesh, where the connection already proves who asks.

mod issue;
mod join;
mod renew;

pub(crate) use issue::{EnrolError, Issuing, WEB_LIFETIME};
pub(crate) use join::join;
pub(crate) use renew::{RENEW_METHOD, Web, keep_renewed};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_certs::{CertificateRequest, JoinProof, SpkiHash};
use holm_model::{NodeName, SiteId, TenantId};
use serde::{Deserialize, Serialize};

use crate::daemon::TenantsFile;
use crate::identity::WebNames;

/// What a joining node sends to `POST /enroll`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolRequest {
    pub(crate) proof: JoinProof,
    pub(crate) node: NodeName,
    /// PKCS#10 of the node's key, base64 of DER.
    pub(crate) csr: String,
    pub(crate) web: WebRequest,
}

/// A request for a web certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebRequest {
    /// PKCS#10 of the web key, base64 of DER.
    pub(crate) csr: String,
    pub(crate) names: WebNames,
}

/// What a member sends to an issuer over the mesh.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewRequest {
    /// PKCS#10 of the node's key, base64 of DER: the key that the connection stands on.
    pub(crate) csr: String,
    pub(crate) web: WebRequest,
}

/// What it gets: everything that makes it a member.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Enrolled {
    pub(crate) mesh_id: String,
    pub(crate) site: SiteId,
    pub(crate) tenants: Vec<TenantId>,
    /// Mesh ports to try, `host:port`.
    pub(crate) seeds: Vec<String>,
    pub(crate) certificates: Certificates,
    /// Revocations known to the issuer, base64.
    pub(crate) revocations: Vec<String>,
    /// What the tenants that are granted to the site are called, and the statements that say so.
    pub(crate) tenancy: TenantsFile,
}

/// Certificates as an issuer hands them out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Certificates {
    /// SVID chain, base64 of DER, leaf first.
    pub(crate) svid: Vec<String>,
    /// Web certificate chain, base64 of DER, leaf first.
    pub(crate) web: Vec<String>,
    /// The mesh's bundle in JWKS.
    pub(crate) bundle: String,
}

/// The hash of the key that a request is for.
pub(crate) fn key_of_request(text: &str) -> Result<SpkiHash, EnrolError> {
    Ok(request_from_text(text)?.public_key().hash())
}

fn request_to_text(request: &CertificateRequest) -> String {
    STANDARD.encode(request.der())
}

fn request_from_text(text: &str) -> Result<CertificateRequest, EnrolError> {
    let der = STANDARD.decode(text).map_err(|_| EnrolError::Request("it is not base64".into()))?;
    CertificateRequest::parse(&der).map_err(|error| EnrolError::Request(error.to_string()))
}
