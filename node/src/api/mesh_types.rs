//! What `GET /v1/mesh` answers.

use holm_model::{NodeName, SiteId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::{MemberStateView, SiteStateView, Timestamp, api_type, request_type};

api_type!(
    /// The mesh as the node that answers sees it.
    MeshView {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        /// Whether it replicates; if not, the reason says why and what to do.
        replicating: bool,
        replicating_reason: Option<String>,
        /// What the views of all sites that answer come to: which site, which way, or this one.
        verdicts: Vec<MeshVerdict>,
        /// Every other node that was ever heard of, but those that are gone for good.
        members: Vec<MeshMember>,
        /// Sites and nodes that were said to be gone for good.
        gone: Vec<GoneView>,
        /// What each site says that it reaches, this one first.
        views: Vec<ReachView>,
        /// How far each site's part of the caller's tenant lags behind.
        lags: Vec<SiteLag>,
        /// A lag up to this is in order, in milliseconds: the more members a mesh has, the more rarely
        /// each tells until when its part is true. 0 in a small mesh.
        lag_due_ms: u64,
        /// The caller's tenant's documents at this node.
        documents: MeshDocuments,
        /// Bytes by channel since the start.
        channels: Vec<ChannelView>,
        /// What was dropped, refused or failed since the start, by reason; nothing is dropped unseen.
        drops: Vec<CountView>,
        /// The other counts since the start.
        counts: Vec<CountView>,
        seeds: Vec<SeedView>,
        /// Whether it is reached from outside, and what it does where nodes are not; `null` without a mesh.
        nat: Option<NatView>,
        /// The latest handshakes that failed and connections that peers closed.
        refusals: Vec<MeshRefusal>,
        /// Where the mesh's loop has been stuck, and for how long; `null` while it goes round.
        stuck: Option<MeshStuck>,
        /// Two nodes with one identity, clocks that are off, and the like.
        warnings: Vec<String>,
        /// Why other sites take nothing that this one records of the caller's tenant; `null` while it is granted.
        not_granted: Option<String>,
    }
);

api_type!(
    /// The mesh's loop does not go round.
    MeshStuck {
        /// What it was doing.
        step: String,
        for_ms: u64,
    }
);

api_type!(
    /// A site, or one node of it, that was said to be gone for good.
    GoneView {
        #[schema(value_type = String)]
        site: SiteId,
        /// `null`: every node of the site.
        #[schema(value_type = Option<String>)]
        node: Option<NodeName>,
        /// When that was said; what the site held open ended then.
        at: Timestamp,
        /// It came back since.
        back: bool,
    }
);

request_type!(
    /// What is gone for good.
    NewGone {
        #[schema(value_type = String)]
        site: SiteId,
        /// Without it, every node of the site.
        #[schema(value_type = Option<String>)]
        #[serde(default)]
        node: Option<NodeName>,
    }
);

/// What the views come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VerdictKind {
    /// This site reaches none of those that it tried.
    CutOff,
    /// Both sites run; at least one does not reach the other.
    LinkDown,
    /// Nobody reaches it, and at least two tried.
    SiteDown,
    /// Only one tried, in vain.
    Undecided,
}

api_type!(
    /// A site, a way between two, or this site itself that is down.
    MeshVerdict {
        kind: VerdictKind,
        /// `critical`, `warning` or `info`.
        severity: String,
        /// The site, or both ends of the way.
        subject: String,
        /// What happened, in a sentence.
        text: String,
        /// Who tried in vain.
        #[schema(value_type = Vec<String>)]
        witnesses: Vec<SiteId>,
        /// Who reaches it all the same.
        #[schema(value_type = Vec<String>)]
        reached_by: Vec<SiteId>,
        since: Timestamp,
        /// Whether it held long enough to be raised as a signal.
        raised: bool,
    }
);

api_type!(
    /// Another node of the mesh.
    MeshMember {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        state: MemberStateView,
        connected: bool,
        connected_since: Option<Timestamp>,
        last_heard: Option<Timestamp>,
        rtt_ms: Option<u64>,
        /// Its clock minus ours, about, in milliseconds.
        clock_skew_ms: Option<i64>,
        /// The same with sound bounds, while it is connected and sends the stamps for it.
        clock: Option<MeshClock>,
        addresses: Vec<String>,
        /// The relay that the connection goes through, `site/node`; `null` if it is direct.
        via: Option<String>,
        last_refusal: Option<String>,
        /// Whether it signed its latest lease of the caller's tenant: without that, whoever passed it on may
        /// have made it up, as with nodes of older releases. `null` if none was heard.
        lease_signed: Option<bool>,
        /// The latest reconciliation that this node began with it.
        last_sync: Option<MeshSync>,
    }
);

api_type!(
    /// What four timestamps a ping say of a peer's clock and of the ways to it and back: each interval
    /// contains the truth as long as neither clock's crystal is off by more than 100 ppm.
    MeshClock {
        /// Its wall clock minus ours, in ms: the middle of the interval.
        offset_ms: f64,
        /// How far the truth may be from it, either way, in ms.
        error_ms: f64,
        /// Its clock's rate against ours, least and most, in parts per million.
        drift_ppm_min: f64,
        drift_ppm_max: f64,
        /// The way there, least and most, in ms.
        one_way_out_ms_min: f64,
        one_way_out_ms_max: f64,
        /// The way back, least and most, in ms.
        one_way_in_ms_min: f64,
        one_way_in_ms_max: f64,
        /// Pings that the interval stands on, of the last minute.
        samples: usize,
    }
);

/// Whether a node is reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReachableView {
    /// Those who dialled back did not get through.
    BehindNat,
    Reachable,
    /// Nobody of another site has tried yet.
    Unknown,
}

api_type!(
    /// A node, and NAT.
    NatView {
        reachable: ReachableView,
        /// Where others see it.
        observed: Vec<String>,
        /// Relays that keep a place for it.
        places: Vec<NatPlace>,
        relay: RelayView,
    }
);

api_type!(
    /// A relay that this node uses.
    NatPlace {
        /// `site/node`.
        relay: String,
        /// Whether the place is granted, or only asked for.
        held: bool,
    }
);

api_type!(
    /// What a node does as a relay.
    RelayView {
        serving: bool,
        /// Nodes that have a place here.
        places: usize,
        /// Circuits between other nodes.
        circuits: usize,
        /// Bytes forwarded since the start.
        bytes: u64,
    }
);

api_type!(
    /// One reconciliation.
    MeshSync {
        at: Timestamp,
        /// Documents that changed here.
        pulled: u64,
        /// Documents of which the peer was sent something.
        pushed: u64,
        failed: u64,
        bytes_in: u64,
        bytes_out: u64,
        /// Why it failed, or the first document's failure.
        error: Option<String>,
    }
);

/// Whether a site reaches another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReachedView {
    /// It was tried in vain.
    No,
    /// It was not tried; that says nothing.
    NotTried,
    Yes,
}

api_type!(
    /// What one node sees.
    ReachView {
        #[schema(value_type = String)]
        site: SiteId,
        #[schema(value_type = String)]
        node: NodeName,
        as_of: Timestamp,
        reached: Vec<ReachOf>,
    }
);

api_type!(
    /// One site as another one sees it.
    ReachOf {
        #[schema(value_type = String)]
        site: SiteId,
        reached: ReachedView,
    }
);

api_type!(
    /// How far a site's part of the tenant lags.
    SiteLag {
        #[schema(value_type = String)]
        site: SiteId,
        state: SiteStateView,
        /// Everything it holds open was true then, by its own clock.
        as_of: Option<Timestamp>,
        /// `null` if it was never heard.
        lag_ms: Option<u64>,
    }
);

api_type!(
    /// Documents of a tenant; the largest are listed.
    MeshDocuments {
        /// Two nodes with the same digest hold the same documents.
        digest: String,
        total: usize,
        bytes: u64,
        over_budget: usize,
        items: Vec<MeshDocument>,
        /// What did not apply: its bytes are kept, and it is asked for again elsewhere.
        quarantined: Vec<QuarantinedView>,
        /// Files of this node that were damaged, empty or gone when it started, and what became of each.
        at_start: Vec<String>,
    }
);

api_type!(
    /// One document.
    MeshDocument {
        name: String,
        bytes: usize,
        ops: u64,
        heads: usize,
        over_budget: bool,
    }
);

api_type!(
    /// Something that was said to be of a document and did not apply.
    QuarantinedView {
        document: String,
        from: String,
        at: Timestamp,
        reason: String,
        bytes: usize,
    }
);

api_type!(
    /// Bytes of one channel.
    ChannelView {
        channel: String,
        bytes_in: u64,
        bytes_out: u64,
    }
);

api_type!(
    /// A count by name.
    CountView {
        name: String,
        count: u64,
    }
);

api_type!(
    /// A seed address.
    SeedView {
        address: String,
        last_refusal: Option<String>,
    }
);

api_type!(
    /// A handshake that failed, or a connection that the peer closed.
    MeshRefusal {
        address: String,
        /// `dialled`, `accepted` or `closed`.
        direction: String,
        reason: String,
        at: Timestamp,
        count: u64,
    }
);
