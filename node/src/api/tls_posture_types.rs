//! What `/v1/tls/posture` answers with.

use std::collections::BTreeMap;

use holm_model::SiteId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::incidents_types::SeverityView;
use super::probe_tests_types::TestAsked;
use super::topology_types::FreshnessView;
use super::types::{Timestamp, api_type};

api_type!(
    /// How the servers that are probed do TLS, as every site saw it last.
    TlsPosture {
        /// The servers, those with the gravest findings first.
        items: Vec<TlsEndpoint>,
        /// All that fit what was asked for; the rest is on later pages.
        total: u64,
        /// How many have findings of each severity as the gravest, and how many have none (`none`).
        severities: BTreeMap<String, u64>,
        /// A certificate that ends within so many days is a finding.
        soon_days: u32,
        /// More than can be looked at were probed: only the latest are here.
        cut: bool,
        asked: TestAsked,
        freshness: FreshnessView,
    }
);

api_type!(
    /// A server, by the name that was asked for and its port.
    TlsEndpoint {
        /// `name:port`.
        endpoint: String,
        server_name: String,
        port: Option<u16>,
        /// Of its gravest finding.
        severity: Option<SeverityView>,
        /// What is wrong, the gravest first.
        findings: Vec<TlsFindingView>,
        /// Sites see different certificates: several servers share the name, or somebody stands between.
        differs: bool,
        /// What each site saw last, by each test.
        sights: Vec<TlsSight>,
    }
);

api_type!(
    /// Something that is wrong.
    TlsFindingView {
        /// Such as `expires_soon`; docs/tls.md has all.
        kind: String,
        severity: SeverityView,
        text: String,
        /// What to do.
        remedy: String,
        /// The sites that see it.
        #[schema(value_type = Vec<String>)]
        sites: Vec<SiteId>,
    }
);

api_type!(
    /// What one site saw last. What was not looked at is absent.
    TlsSight {
        #[schema(value_type = String)]
        site: SiteId,
        /// `tls` or `http`.
        probe: String,
        target: String,
        test: Option<String>,
        observed_at: Timestamp,
        server_address: Option<String>,
        success: bool,
        error: Option<String>,
        subject: Option<String>,
        issuer: Option<String>,
        /// The names that the certificate is for, by commas; of many the first ten.
        names: Option<String>,
        /// In hexadecimal digits.
        serial: Option<String>,
        not_before: Option<Timestamp>,
        not_after: Option<Timestamp>,
        /// Days until it ends; less than none when it has ended.
        days_left: Option<f64>,
        key_type: Option<String>,
        key_bits: Option<u32>,
        /// The algorithm that it is signed with.
        signature: Option<String>,
        chain_length: Option<u32>,
        chain_complete: Option<bool>,
        name_matches: Option<bool>,
        /// Whether the chain is trusted at the site.
        verified: Option<bool>,
        reason: Option<String>,
        /// What was agreed on, such as `TLSv1_3`.
        version: Option<String>,
        cipher: Option<String>,
        key_exchange: Option<String>,
        /// Versions that the server takes.
        versions: Option<Vec<String>>,
        /// Whether it sends the certificate's status with it (OCSP).
        stapled: Option<bool>,
        /// What that says: `good`, `revoked` or `unknown`.
        status: Option<String>,
        /// Until when it holds.
        status_until: Option<Timestamp>,
        /// Why it is not to be believed.
        status_problem: Option<String>,
    }
);
