//! What the link can be asked about.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holm_mesh_proto::{
    ClockView, ConflictView, Counters, LeaseView, MemberState, MeshNode, SyncView,
};
use holm_model::{Millis, NodeName, SiteId};
use libp2p_identity::PeerId;

use crate::error::REVOKED_REMEDY;
use crate::nat::Reach;
use crate::peer::peer_id;
use crate::relay::RelayStatus;
use crate::shared::Shared;
use crate::watchdog::Stuck;

/// A snapshot of the mesh as this node sees it.
#[derive(Debug, Clone)]
pub struct MeshStatus {
    /// This node's routing handle.
    pub peer_id: PeerId,
    /// The UDP address that it is bound to.
    pub listen: SocketAddr,
    /// What it tells others to reach it by.
    pub advertised: Vec<SocketAddr>,
    /// Under which addresses others see it.
    pub observed: Vec<SocketAddr>,
    /// Whether it replicates at all: its certificate holds, and no peer that answers says that its
    /// key was revoked.
    pub replicating: bool,
    /// Why it does not.
    pub paused_reason: Option<String>,
    /// Where the event loop stands still, if it does. What it alone knows (members, leases, seeds)
    /// may then be missing here.
    pub stuck: Option<Stuck>,
    /// What discovery on the local network does, if it was asked for.
    pub mdns: Option<String>,
    /// Every other node that was ever heard of.
    pub members: Vec<MemberStatus>,
    /// The seeds.
    pub seeds: Vec<SeedStatus>,
    /// Until when each site's open facts are known to be true.
    pub leases: Vec<LeaseView>,
    /// By how much a lease of a node that is well may be older than in a small mesh, in milliseconds:
    /// the more members, the more rarely each tells its own.
    pub leases_due_ms: u64,
    /// Nodes that cannot both be right.
    pub conflicts: Vec<ConflictView>,
    /// Clocks that are off, one line each.
    pub clock_warnings: Vec<String>,
    /// The latest handshakes that failed and connections that peers closed.
    pub refusals: Vec<RefusalView>,
    /// Whether it is reached from outside, and what it does about it.
    pub nat: NatStatus,
    /// What it does as a relay for others.
    pub relay: RelayStatus,
    /// Counts of what was done, dropped and refused.
    pub counters: BTreeMap<&'static str, u64>,
}

/// Another node.
#[derive(Debug, Clone)]
pub struct MemberStatus {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// Its verified identity; `None` while it is not connected.
    pub spiffe_id: Option<String>,
    /// Its routing handle.
    pub peer_id: Option<PeerId>,
    /// When its process started, by its clock.
    pub started: Millis,
    /// Where it says it can be reached.
    pub addresses: Vec<SocketAddr>,
    /// Where it is connected from or to.
    pub remote: Option<SocketAddr>,
    /// The relay that the connection goes through, as `site/node` where it is known; `remote` is then
    /// the relay's address.
    pub via: Option<String>,
    /// Port of its HTTPS API.
    pub api_port: Option<u16>,
    /// What membership says.
    pub state: MemberState,
    /// Whether a connection to it stands.
    pub connected: bool,
    /// Since when.
    pub connected_since: Option<Millis>,
    /// When anything last came from it, by our wall clock.
    pub last_heard: Option<Millis>,
    /// Latest round trip.
    pub rtt_ms: Option<u64>,
    /// How far its clock is ahead of ours; negative if it is behind.
    pub clock_skew_ms: Option<i64>,
    /// What is certain about its clock and the ways there and back; `None` before its first answer on
    /// this connection, and with a node that says no stamps.
    pub clock: Option<ClockView>,
    /// End of its certificate, while it is connected.
    pub svid_not_after: Option<Millis>,
    /// SHA-256 of its key's SubjectPublicKeyInfo, while it is connected: what a revocation names.
    pub svid_key: Option<[u8; 32]>,
    /// Why the latest dial failed; `None` once connected.
    pub last_refusal: Option<String>,
    /// The latest reconciliation that this node began with it.
    pub last_sync: Option<SyncView>,
}

/// Where a node stands towards NAT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NatStatus {
    /// Whether it is reached from outside.
    pub reach: Reach,
    /// Whether it relays for others at the moment.
    pub serving: bool,
    /// Relays that keep a place for it, or are asked to.
    pub places: Vec<PlaceStatus>,
}

/// A relay that this node uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceStatus {
    /// Who.
    pub relay: PeerId,
    /// As `site/node`, where it is known.
    pub name: String,
    /// Whether the place is granted.
    pub held: bool,
}

/// A seed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedStatus {
    /// `host:port` as configured.
    pub address: String,
    /// Why the latest dial failed; `None` if it did not.
    pub last_refusal: Option<String>,
    /// Who answered last.
    pub peer_id: Option<PeerId>,
}

/// A handshake that failed, or a connection that the peer closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalView {
    /// The other side.
    pub address: SocketAddr,
    /// `dialled`, `accepted`, or `closed` for a connection that stood.
    pub direction: &'static str,
    /// What happened and what to do.
    pub reason: String,
    /// The code with which the peer closed (see [`crate::CloseCode`]).
    pub code: Option<u64>,
    /// When it last happened.
    pub at: Millis,
    /// How often.
    pub count: u64,
}

/// What the protocol machine knows.
#[derive(Default)]
struct Known {
    members: Vec<holm_mesh_proto::MemberView>,
    advertised: Vec<SocketAddr>,
    seeds: Vec<SeedStatus>,
    leases: Vec<LeaseView>,
    leases_due_ms: u64,
    conflicts: Vec<ConflictView>,
    clock_warnings: Vec<String>,
    counters: Counters,
}

impl Known {
    fn of(node: &MeshNode) -> Self {
        let seeds = node.seeds().map(|(address, refusal, answered)| SeedStatus {
            address: address.to_owned(),
            last_refusal: refusal.map(str::to_owned),
            peer_id: answered.and_then(peer_id),
        });
        Self {
            members: node.members(),
            advertised: node.me().addresses.clone(),
            seeds: seeds.collect(),
            leases: node.leases(),
            leases_due_ms: node.leases_due_ms(),
            conflicts: node.conflicts(),
            clock_warnings: node.clock_warnings(),
            counters: node.counters(),
        }
    }
}

pub(crate) fn snapshot(shared: &Shared, listen: SocketAddr) -> MeshStatus {
    // One lock at a time, each for a moment.
    let known = shared.node_unless_stuck().map(|node| Known::of(&node));
    let stuck = shared.stuck();
    let (known, held) = match known {
        Ok(known) => (known, None),
        Err(stuck) => (Known::default(), Some(stuck)),
    };
    let Known {
        members,
        advertised,
        seeds,
        leases,
        leases_due_ms,
        conflicts,
        clock_warnings,
        counters,
    } = known;
    let mut all = counters.all();
    for (name, count) in shared.counters().all() {
        *all.entry(name).or_default() += count;
    }
    for (name, bytes) in shared.traffic.all() {
        *all.entry(name).or_default() += bytes;
    }
    let alone = members.iter().all(|member| !member.connected);
    let revoked = || {
        (alone && shared.called_revoked()).then(|| {
            format!("the nodes that answer say that this node's key was revoked: {REVOKED_REMEDY}")
        })
    };
    let stands_still = |Stuck { step, for_ms }: Stuck| {
        format!("the mesh's event loop has been at one step ({step}) for {} s", for_ms / 1_000)
    };
    let nat = shared.nat();
    let paused_reason = shared.paused().or_else(|| held.map(stands_still)).or_else(revoked);
    MeshStatus {
        peer_id: shared.local,
        listen,
        advertised,
        observed: shared.observed(),
        replicating: paused_reason.is_none(),
        paused_reason,
        stuck: held.or(stuck),
        mdns: shared.mdns_state(),
        members: with_certificates(shared, members),
        seeds,
        leases,
        leases_due_ms,
        conflicts,
        clock_warnings,
        refusals: shared.refusals(),
        relay: shared.relay.status(nat.serving),
        nat,
        counters: all,
    }
}

fn with_certificates(
    shared: &Shared,
    members: Vec<holm_mesh_proto::MemberView>,
) -> Vec<MemberStatus> {
    let named = |relay: &PeerId| {
        let found = members.iter().find(|member| peer_id(member.peer).as_ref() == Some(relay));
        found.map_or_else(|| relay.to_string(), |relay| format!("{}/{}", relay.site, relay.node))
    };
    let via = |member: &holm_mesh_proto::MemberView| {
        let relay = peer_id(member.peer).and_then(|peer| shared.directory().of(&peer)?.via);
        relay.filter(|_| member.connected).map(|relay| named(&relay))
    };
    let vias: Vec<Option<String>> = members.iter().map(via).collect();
    members.into_iter().zip(vias).map(|(m, via)| with_certificate(shared, m, via)).collect()
}

fn with_certificate(
    shared: &Shared,
    member: holm_mesh_proto::MemberView,
    via: Option<String>,
) -> MemberStatus {
    let peer = peer_id(member.peer);
    let directory = shared.directory();
    let entry = peer.as_ref().and_then(|peer| directory.of(peer)).filter(|_| member.connected);
    MemberStatus {
        started: Millis(member.generation),
        site: member.site,
        node: member.node,
        spiffe_id: entry.map(|entry| entry.svid.spiffe_id().to_string()),
        peer_id: peer,
        addresses: member.addresses,
        remote: entry.map(|entry| entry.address),
        via,
        api_port: member.api_port,
        state: member.state,
        connected: member.connected,
        connected_since: member.connected_since,
        last_heard: member.last_heard,
        rtt_ms: member.rtt_ms,
        clock_skew_ms: member.clock_skew_ms,
        clock: member.clock,
        svid_not_after: entry.map(|entry| entry.svid.not_after()),
        svid_key: entry.map(|entry| entry.svid.spki_hash().0),
        last_refusal: member.last_refusal,
        last_sync: member.last_sync,
    }
}
