//! Messages of the long-lived stream of each connected pair.

use std::cmp::Ordering;
use std::fmt;

use holm_model::{DocVersion, Millis};
use prost::Message;

use super::generated::control::Body;
use super::lease::{
    ChainId, LeaseClaim, MAX_CHAIN, chain_ids_from, chain_ids_to, chains_from, chains_to, lease_to,
    leases_from,
};
use super::{
    Frame, MAX_CONTROL_BYTES, MAX_HINT_BYTES, WireError, bad, check_length, decode, fixed,
    generated, missing, peer_key, version_from, version_to,
};
use crate::{ClockStamp, PeerKey, Position};

/// Most ids in one message of hint ids.
pub const MAX_IDS: usize = 256;

/// Names a hint: the first 16 bytes of a BLAKE3 hash of the version that it tells of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HintId(pub [u8; 16]);

impl Ord for HintId {
    /// By their bytes, as one number.
    fn cmp(&self, other: &Self) -> Ordering {
        u128::from_be_bytes(self.0).cmp(&u128::from_be_bytes(other.0))
    }
}

impl PartialOrd for HintId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for HintId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// "Document D is now at version V", and who wrote that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The version.
    pub version: DocVersion,
    /// The node that wrote it.
    pub origin: PeerKey,
}

impl Hint {
    /// The hint's name. Two hints of one version have one name.
    pub fn id(&self) -> HintId {
        Self::id_of(&self.version)
    }

    /// The name of a hint of this version.
    pub fn id_of(version: &DocVersion) -> HintId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(version.tenant.as_str().as_bytes());
        hasher.update(&[0]);
        hasher.update(&version.doc.0);
        hasher.update(&version.heads.0);
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        HintId(id)
    }
}

/// A message between two connected nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Chains of certificates that were asked for, DER, leaf first. From protocol version 4 on.
    Chains(Vec<Vec<Vec<u8>>>),
    /// "Send me these chains: leases that you passed on name them." From protocol version 4 on.
    ChainsWanted(Vec<ChainId>),
    /// "Send me these hints, and more from now on."
    Graft(Vec<HintId>),
    /// A hint, and over how many nodes it came.
    Gossip {
        /// The hint.
        hint: Hint,
        /// Nodes that it passed, the origin not counted.
        hops: u32,
    },
    /// "I have these hints; ask if you lack one."
    Have(Vec<HintId>),
    /// Leases that are news to the sender.
    Leases(Vec<LeaseClaim>),
    /// Asks for a [`Control::Pong`].
    Ping {
        /// Matches the answer to the question.
        sequence: u64,
        /// The sender's wall clock.
        sent_at: Millis,
        /// The sender's clocks, if it says them.
        clock: Option<ClockStamp>,
    },
    /// Answers a [`Control::Ping`].
    Pong {
        /// The question's.
        sequence: u64,
        /// The answerer's wall clock.
        sent_at: Millis,
        /// The answerer's clocks when the question came and when this left, if it says them.
        clocks: Option<(ClockStamp, ClockStamp)>,
        /// Where the answerer stands in the network, if it says so.
        position: Option<Position>,
    },
    /// "I get your hints from elsewhere already; only tell me their ids."
    Prune,
    /// A hint sealed for the sites that may replicate its tenant, and over how many nodes it came.
    SealedGossip {
        /// A sealed [`super::HintBody`] with its origin.
        sealed: Vec<u8>,
        /// Nodes that it passed, the origin not counted.
        hops: u32,
    },
    /// [`Control::Stored`], sealed likewise.
    SealedStored(Vec<u8>),
    /// "I now hold this version": whoever lacks it may fetch it here. Not passed on.
    Stored(DocVersion),
    /// The sender's renewed certificate chain, DER, leaf first.
    SvidRefresh(Vec<Vec<u8>>),
    /// One membership datagram.
    Swim(Vec<u8>),
}

impl Control {
    fn body(&self) -> Body {
        match self {
            Self::Chains(chains) => Body::Chains(chains_to(chains)),
            Self::ChainsWanted(ids) => Body::ChainsWanted(chain_ids_to(ids)),
            Self::Graft(ids) => Body::Graft(ids_to(ids)),
            Self::Gossip { hint, hops } => Body::Gossip(generated::Gossip {
                version: Some(version_to(&hint.version)),
                origin: hint.origin.0.to_vec(),
                hops: *hops,
            }),
            Self::Have(ids) => Body::Have(ids_to(ids)),
            Self::Leases(leases) => {
                Body::Leases(generated::Leases { leases: leases.iter().map(lease_to).collect() })
            }
            Self::Ping { sequence, sent_at, clock } => Body::Ping(generated::Ping {
                sequence: *sequence,
                sent_at_ms: sent_at.0,
                raw_ns: clock.map_or(0, |clock| clock.raw_ns().unsigned_abs()),
                wall_ahead_ns: clock.map_or(0, ClockStamp::wall_ahead_ns),
            }),
            Self::Pong { sequence, sent_at, clocks, position } => Body::Pong(generated::Pong {
                sequence: *sequence,
                sent_at_ms: sent_at.0,
                received_raw_ns: clocks.map_or(0, |(came, _)| came.raw_ns().unsigned_abs()),
                raw_ns: clocks.map_or(0, |(_, left)| left.raw_ns().unsigned_abs()),
                wall_ahead_ns: clocks.map_or(0, |(_, left)| left.wall_ahead_ns()),
                position: position.map(|position| {
                    let ([x, y, z], height, error) = position.to_wire();
                    generated::Position { x, y, z, height, error }
                }),
            }),
            Self::Prune => Body::Prune(generated::Nothing {}),
            Self::SealedGossip { sealed, hops } => {
                Body::SealedGossip(generated::SealedGossip { sealed: sealed.clone(), hops: *hops })
            }
            Self::SealedStored(sealed) => Body::SealedStored(sealed.clone()),
            Self::Stored(version) => Body::Stored(version_to(version)),
            Self::SvidRefresh(chain) => {
                Body::SvidRefresh(generated::SvidRefresh { chain: chain.clone() })
            }
            Self::Swim(bytes) => Body::Swim(bytes.clone()),
        }
    }
}

impl Frame for Control {
    const WHAT: &'static str = "control";
    const LIMIT: usize = MAX_CONTROL_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        generated::Control { body: Some(self.body()) }.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let what = Self::WHAT;
        let control: generated::Control = decode(what, bytes, Self::LIMIT)?;
        Ok(match control.body.ok_or_else(|| missing(what))? {
            Body::Chains(chains) => chains_from(chains)?,
            Body::ChainsWanted(ids) => chain_ids_from(&ids)?,
            Body::Graft(ids) => Self::Graft(ids_from("graft", &ids)?),
            Body::Gossip(gossip) => gossip_from(&gossip)?,
            Body::Have(ids) => Self::Have(ids_from("have", &ids)?),
            Body::Leases(leases) => leases_from(&leases)?,
            Body::Ping(p) => Self::Ping {
                sequence: p.sequence,
                sent_at: Millis(p.sent_at_ms),
                clock: stamp("ping", p.raw_ns, p.wall_ahead_ns)?,
            },
            Body::Pong(p) => Self::Pong {
                sequence: p.sequence,
                sent_at: Millis(p.sent_at_ms),
                clocks: stamp("pong", p.received_raw_ns, p.wall_ahead_ns)?.zip(stamp(
                    "pong",
                    p.raw_ns,
                    p.wall_ahead_ns,
                )?),
                // One that cannot be is as good as none.
                position: p
                    .position
                    .and_then(|p| Position::from_wire([p.x, p.y, p.z], p.height, p.error)),
            },
            Body::Prune(_) => Self::Prune,
            Body::SealedGossip(generated::SealedGossip { sealed, hops }) => {
                check_length("sealed_gossip", sealed.len(), MAX_HINT_BYTES)?;
                Self::SealedGossip { sealed, hops }
            }
            Body::SealedStored(sealed) => {
                check_length("sealed_stored", sealed.len(), MAX_HINT_BYTES)?;
                Self::SealedStored(sealed)
            }
            Body::Stored(version) => {
                check_length("stored", version.encoded_len(), MAX_HINT_BYTES)?;
                Self::Stored(version_from("stored", &version)?)
            }
            Body::SvidRefresh(refresh) if refresh.chain.len() > MAX_CHAIN => {
                return Err(bad("svid_refresh", "chain", format!("more than {MAX_CHAIN}")));
            }
            Body::SvidRefresh(refresh) => Self::SvidRefresh(refresh.chain),
            Body::Swim(bytes) => Self::Swim(bytes),
        })
    }
}

fn stamp(
    what: &'static str,
    raw_ns: u64,
    wall_ahead_ns: i64,
) -> Result<Option<ClockStamp>, WireError> {
    if raw_ns == 0 {
        return Ok(None);
    }
    let stamp = ClockStamp::new(raw_ns, wall_ahead_ns);
    stamp.map(Some).ok_or_else(|| bad(what, "raw_ns", "no clock shows that"))
}

fn gossip_from(gossip: &generated::Gossip) -> Result<Control, WireError> {
    let what = "gossip";
    check_length(what, gossip.encoded_len(), MAX_HINT_BYTES)?;
    let version = gossip.version.as_ref().ok_or_else(|| bad(what, "version", "it is missing"))?;
    let hint = Hint {
        version: version_from(what, version)?,
        origin: peer_key(what, "origin", &gossip.origin)?,
    };
    Ok(Control::Gossip { hint, hops: gossip.hops })
}

fn ids_from(what: &'static str, ids: &generated::HintIds) -> Result<Vec<HintId>, WireError> {
    if ids.ids.len() > MAX_IDS {
        return Err(bad(what, "ids", format!("more than {MAX_IDS}")));
    }
    ids.ids.iter().map(|id| Ok(HintId(fixed(what, "ids", id)?))).collect()
}

fn ids_to(ids: &[HintId]) -> generated::HintIds {
    generated::HintIds { ids: ids.iter().map(|id| id.0.to_vec()).collect() }
}
