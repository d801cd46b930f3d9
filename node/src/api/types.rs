//! What the API says, as it stands in the OpenAPI document. Moments are RFC 3339 in UTC with
//! milliseconds; an absent value was not measured, which is not zero.

use std::collections::BTreeMap;

use holm_model::{Millis, NodeName, SiteId, TenantId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::daemon::Role;

/// A moment as the API writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-21T14:03:07.123Z")]
pub(crate) struct Timestamp(pub(crate) Millis);

impl Timestamp {
    /// Reads RFC 3339 with any offset, also without seconds, or milliseconds since the Unix epoch.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(millis) = text.parse::<u64>() {
            return Some(Self(Millis(millis)));
        }
        let rfc3339 = |text: &str| {
            OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
        };
        // People write `2026-11-21T14:00Z`, as ISO 8601 allows.
        let (minute, zone) = (text.get(..16), text.get(16..));
        let moment = rfc3339(text).ok().or_else(|| {
            let zone = zone.filter(|zone| zone.starts_with(['Z', 'z', '+', '-']))?;
            rfc3339(&format!("{}:00{zone}", minute?)).ok()
        })?;
        let millis = moment.unix_timestamp_nanos() / 1_000_000;
        Some(Self(Millis(u64::try_from(millis).ok()?)))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Beyond the year 9999 no moment was ever observed; show the last one that can be written.
        let millis = i128::from(self.0.0.min(253_402_300_799_999));
        let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000) else {
            return f.write_str("-");
        };
        // By hand: an answer may have very many of them.
        let (hour, minute, second) = moment.to_hms();
        let parts: [(usize, usize, u32); 7] = [
            (0, 4, moment.year().unsigned_abs()),
            (5, 2, u8::from(moment.month()).into()),
            (8, 2, moment.day().into()),
            (11, 2, hour.into()),
            (14, 2, minute.into()),
            (17, 2, second.into()),
            (20, 3, moment.millisecond().into()),
        ];
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (from, digits, mut number) in parts {
            for place in text[from..from + digits].iter_mut().rev() {
                *place = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or("-"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is not an RFC 3339 time")))
    }
}

impl From<Millis> for Timestamp {
    fn from(millis: Millis) -> Self {
        Self(millis)
    }
}

/// What a client sends: a field that is not known is refused, because it would be passed over.
macro_rules! request_type {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$fdoc])* pub(crate) $field: $type,)* }
    };
}

/// What a node answers. A field that is not known comes from a later version and is passed over.
macro_rules! api_type {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
        pub(crate) struct $name { $($(#[$fdoc])* pub(crate) $field: $type,)* }
    };
}

/// One of several words, in an order that means something; also on the command line.
macro_rules! api_word {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, clap::ValueEnum,
        )]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $name { $($(#[$vdoc])* $variant,)* }
    };
}

pub(super) use {api_type, api_word, request_type};

api_type!(
    /// Who asks, and which node answers.
    Me {
        /// The caller's tenant; it comes from the credential.
        #[schema(value_type = String)]
        tenant: TenantId,
        role: Role,
        /// The credential's name.
        name: String,
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        spiffe_id: String,
        trust_domain: String,
        version: String,
        svid: SvidView,
    }
);

/// Whether this node's certificate lets it replicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SvidState {
    /// It has ended: the node observes and serves its own site, and does not replicate.
    Expired,
    /// It begins later by this node's clock, which is likely wrong: the node does not replicate.
    NotYetValid,
    /// Its key was revoked: the node does not replicate, and comes back with a new key only.
    Revoked,
    Valid,
}

api_type!(
    /// This node's SVID.
    SvidView {
        state: SvidState,
        not_after: Timestamp,
        /// When it is renewed: half-life ± 10 %.
        renew_at: Option<Timestamp>,
    }
);

/// How fresh what is known of a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SiteStateView {
    /// The site of the node that answers.
    Here,
    /// Heard lately: what it holds open is true.
    Live,
    /// In the documents, but never heard by this node since it started.
    NeverHeard,
    /// Not heard for a while: what it holds open was true at `as_of`.
    Stale,
    /// Not heard for long.
    Unreachable,
}

/// What this node knows of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MemberStateView {
    Alive,
    Down,
    #[serde(rename = "self")]
    Own,
    Suspect,
}

api_type!(
    /// The sites of the mesh as this node sees them.
    Sites {
        /// Whether this node takes part in the mesh.
        mesh_running: bool,
        /// Whether it replicates; if not, the reason says why and what to do.
        replicating: bool,
        replicating_reason: Option<String>,
        #[schema(value_type = String)]
        self_site: SiteId,
        /// Set while this node hears no other site at all, though it knows of some.
        cut_off: Option<CutOff>,
        items: Vec<SiteView>,
        /// Two nodes with one identity, and the like.
        conflicts: Vec<String>,
        /// Counters of the mesh: bounds reached, frames refused, transfers.
        counters: BTreeMap<String, u64>,
    }
);

api_type!(
    /// Since when this node is alone, and whom it does not hear.
    CutOff {
        since: Timestamp,
        unheard: Vec<Unheard>,
        #[schema(value_type = Vec<String>)]
        heard: Vec<SiteId>,
    }
);

api_type!(
    /// A site that is not heard.
    Unheard {
        #[schema(value_type = String)]
        site: SiteId,
        last_heard: Option<Timestamp>,
    }
);

api_type!(
    /// One site.
    SiteView {
        #[schema(value_type = String)]
        site: SiteId,
        is_self: bool,
        state: SiteStateView,
        /// Everything the site holds open was true at this moment, by its own clock.
        as_of: Option<Timestamp>,
        last_heard: Option<Timestamp>,
        nodes: Vec<MemberView>,
        elements: ElementCount,
    }
);

api_type!(
    /// How many elements a site holds open.
    ElementCount {
        nodes: usize,
        edges: usize,
    }
);

api_type!(
    /// One node of a site.
    MemberView {
        #[schema(value_type = String)]
        node: NodeName,
        /// Verified; `null` while it is not connected.
        spiffe_id: Option<String>,
        /// A routing handle: the hash of the node's key.
        peer_id: String,
        addresses: Vec<String>,
        api_url: Option<String>,
        state: MemberStateView,
        connected: bool,
        rtt_ms: Option<f64>,
        /// Its clock minus ours.
        clock_skew_ms: Option<i64>,
        svid_not_after: Option<Timestamp>,
        /// Why the last attempt to connect was refused, by either side.
        last_refusal: Option<String>,
    }
);

api_type!(
    /// The planes of this node.
    PlaneList {
        items: Vec<PlaneView>,
    }
);

/// Whether a plane observes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlaneStateView {
    Degraded,
    Off,
    Running,
}

api_type!(
    /// One plane: whether it observes, how, and why not.
    PlaneView {
        plane: String,
        state: PlaneStateView,
        reason: String,
        remedy: String,
        method: String,
        since: Timestamp,
        counters: BTreeMap<String, u64>,
    }
);

api_type!(
    /// The latest result of each probe of this site.
    ResultList {
        /// Whether the active plane runs.
        collector_running: bool,
        items: Vec<ProbeResult>,
    }
);

api_type!(
    /// One probe's latest result.
    ProbeResult {
        #[schema(value_type = String)]
        site: SiteId,
        /// icmp, tcp, http or dns.
        probe: String,
        target: String,
        success: bool,
        error: Option<String>,
        duration_ms: Option<f64>,
        /// Numbers by name, unit last; absent ones were not measured.
        metrics: BTreeMap<String, f64>,
        attributes: BTreeMap<String, String>,
        observed_at: Timestamp,
    }
);

api_type!(
    /// Rows of one table at this site, newest first.
    RowList {
        items: Vec<RowView>,
    }
);

api_type!(
    /// One row.
    RowView {
        at: Timestamp,
        #[schema(value_type = Object)]
        columns: BTreeMap<String, serde_json::Value>,
    }
);

api_type!(
    /// Two nodes with the same digest hold the same documents of the tenant.
    MeshDigest {
        digest: String,
        documents: usize,
    }
);

api_type!(
    /// An API token without its secret.
    ApiTokenView {
        id: String,
        name: String,
        role: Role,
        created_at: Timestamp,
    }
);

api_type!(
    /// API tokens of the tenant, on this node.
    ApiTokenList {
        items: Vec<ApiTokenView>,
    }
);

request_type!(
    /// What a new API token is to be.
    NewApiToken {
        /// 1 to 100 characters.
        name: String,
        role: Role,
    }
);

api_type!(
    /// A new API token; its text is shown this once.
    CreatedApiToken {
        id: String,
        token: String,
    }
);

request_type!(
    /// What a login link is to give.
    NewLoginLink {
        role: Role,
    }
);

api_type!(
    /// A link that opens the console, once, within ten minutes.
    LoginLink {
        url: String,
        expires_at: Timestamp,
    }
);

request_type!(
    /// What a join token is to allow.
    NewJoinToken {
        /// The site it enrols one node for.
        #[schema(value_type = String)]
        site: SiteId,
    }
);

api_type!(
    /// A join token; its text is shown this once.
    CreatedJoinToken {
        id: String,
        token: String,
        expires_at: Timestamp,
    }
);

api_type!(
    /// Join tokens this node made.
    JoinTokenList {
        items: Vec<JoinTokenView>,
    }
);

api_type!(
    /// A join token without its secret.
    JoinTokenView {
        id: String,
        #[schema(value_type = String)]
        site: SiteId,
        expires_at: Timestamp,
        used: bool,
    }
);

request_type!(
    /// Which node's identity ends, and why.
    NewRevocation {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        reason: String,
    }
);

api_type!(
    /// Every key that is revoked in the mesh.
    RevocationList {
        items: Vec<RevocationView>,
    }
);

api_type!(
    /// One revoked key.
    RevocationView {
        spiffe_id: String,
        reason: String,
        at: Timestamp,
    }
);

api_type!(
    /// What this node is.
    Version {
        version: String,
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc_with_milliseconds_and_read_with_any_offset() {
        let moment = Timestamp(Millis(1_795_269_787_123));
        assert_eq!(moment.to_string(), "2026-11-21T14:03:07.123Z");
        for text in ["2026-11-21T14:03:07.123Z", "2026-11-21T15:03:07.123+01:00", "1795269787123"] {
            assert_eq!(Timestamp::parse(text), Some(moment), "{text}");
        }
        for text in ["", "yesterday", "2026-11-21", "-1", "1969-01-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        assert_eq!(Timestamp(Millis(u64::MAX)).to_string(), "9999-12-31T23:59:59.999Z");
        let form = time::macros::format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        for ms in (0..253_402_300_799_999).step_by(97_777_777_777) {
            let known = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
            let known = known.expect("a moment").format(form).expect("written");
            assert_eq!(Timestamp(Millis(ms)).to_string(), known);
        }
    }
}
