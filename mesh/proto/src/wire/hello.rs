//! The first message of a connection, and the judgement over the other side's.

use std::fmt;
use std::net::SocketAddr;

use holm_model::{Millis, NodeName, SiteId};
use prost::Message;

use super::{Frame, MAX_CONTROL_BYTES, WireError, bad, decode, fixed, generated, node, site};

/// The latest protocol version that this crate speaks: leases are signed.
pub const PROTOCOL_VERSION: u32 = 4;
/// The oldest protocol version that this crate speaks. Version 2: reconciliation may open with a
/// fingerprint and exchanges up to 1,024 documents a turn; `prune` asks the peer alone to be silent, and
/// promises no silence in return. Hints go in clear, to sites that may replicate their tenant.
pub const OLDEST_PROTOCOL: u32 = 2;
/// Most addresses that a node may advertise.
pub const MAX_ADDRESSES: usize = 8;

/// Which mesh a node belongs to: 16 random bytes, made once with the mesh's root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeshId(pub [u8; 16]);

impl fmt::Display for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeshId({self})")
    }
}

/// What a node says about itself before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest protocol version that it speaks.
    pub protocol_min: u32,
    /// Newest protocol version that it speaks.
    pub protocol_max: u32,
    /// Its mesh.
    pub mesh_id: MeshId,
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// Where it says it can be reached.
    pub addresses: Vec<SocketAddr>,
    /// Port of its HTTPS API.
    pub api_port: Option<u16>,
    /// Grows with every start of the node.
    pub generation: u64,
    /// The newest generation of the receiver that the sender has seen; 0 if none.
    pub known_generation: u64,
    /// The sender's wall clock.
    pub sent_at: Millis,
    /// Random, new with every start: tells one process with a key from another.
    pub instance: u64,
}

/// Why one node does not talk to another although the certificates are good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The nodes belong to different meshes.
    #[error("mesh id differs (theirs {theirs}, ours {ours}): the token of another mesh?")]
    MeshId {
        /// What the peer said.
        theirs: MeshId,
        /// What we are.
        ours: MeshId,
    },
    /// No protocol version is spoken by both.
    #[error(
        "protocol version differs (theirs {their_min}-{their_max}, ours {our_min}-{our_max}): update the older node"
    )]
    Protocol {
        /// Oldest that the peer speaks.
        their_min: u32,
        /// Newest that the peer speaks.
        their_max: u32,
        /// Oldest that we speak.
        our_min: u32,
        /// Newest that we speak.
        our_max: u32,
    },
    /// The Hello names another node than the certificate.
    #[error(
        "it calls itself {site}/{node}, its certificate says otherwise: it is misconfigured or lies"
    )]
    NotItsCertificate {
        /// The site of the Hello.
        site: SiteId,
        /// The node of the Hello.
        node: NodeName,
    },
}

impl Hello {
    /// The version that this node, whose latest is `our_max`, speaks with the node that said this. Only
    /// of use once [`Hello::judge`] found that there is one.
    pub fn version_with(&self, our_max: u32) -> u32 {
        self.protocol_max.min(our_max)
    }

    /// Whether this node, whose Hello is `self`, talks to the peer whose Hello is `theirs` and whose
    /// certificate names `certified`.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies: version, then mesh, then name.
    pub fn judge(
        &self,
        theirs: &Self,
        certified: Option<&(SiteId, NodeName)>,
    ) -> Result<(), Refusal> {
        if theirs.protocol_min > self.protocol_max || theirs.protocol_max < self.protocol_min {
            return Err(Refusal::Protocol {
                their_min: theirs.protocol_min,
                their_max: theirs.protocol_max,
                our_min: self.protocol_min,
                our_max: self.protocol_max,
            });
        }
        if theirs.mesh_id != self.mesh_id {
            return Err(Refusal::MeshId { theirs: theirs.mesh_id, ours: self.mesh_id });
        }
        if certified.is_none_or(|(site, node)| *site != theirs.site || *node != theirs.node) {
            return Err(Refusal::NotItsCertificate {
                site: theirs.site.clone(),
                node: theirs.node.clone(),
            });
        }
        Ok(())
    }
}

impl Frame for Hello {
    const WHAT: &'static str = "hello";
    const LIMIT: usize = MAX_CONTROL_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        generated::Hello {
            protocol_min: self.protocol_min,
            protocol_max: self.protocol_max,
            mesh_id: self.mesh_id.0.to_vec(),
            site: self.site.to_string(),
            node: self.node.to_string(),
            addresses: self.addresses.iter().take(MAX_ADDRESSES).map(ToString::to_string).collect(),
            api_port: self.api_port.map_or(0, u32::from),
            generation: self.generation,
            known_generation: self.known_generation,
            sent_at_ms: self.sent_at.0,
            instance: self.instance,
        }
        .encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let what = Self::WHAT;
        let hello: generated::Hello = decode(what, bytes, Self::LIMIT)?;
        if hello.addresses.len() > MAX_ADDRESSES {
            return Err(bad(what, "addresses", format!("more than {MAX_ADDRESSES}")));
        }
        let addresses = hello
            .addresses
            .iter()
            .map(|text| text.parse().map_err(|error| bad(what, "addresses", error)))
            .collect::<Result<_, _>>()?;
        let api_port = match u16::try_from(hello.api_port) {
            Ok(0) => None,
            Ok(port) => Some(port),
            Err(error) => return Err(bad(what, "api_port", error)),
        };
        Ok(Self {
            protocol_min: hello.protocol_min,
            protocol_max: hello.protocol_max,
            mesh_id: MeshId(fixed(what, "mesh_id", &hello.mesh_id)?),
            site: site(what, &hello.site)?,
            node: node(what, &hello.node)?,
            addresses,
            api_port,
            generation: hello.generation,
            known_generation: hello.known_generation,
            sent_at: Millis(hello.sent_at_ms),
            instance: hello.instance,
        })
    }
}
