//! Who is connected, by which certificate, and until when. The transport enters a peer before the
//! swarm sees the connection; the muxer's guard takes it out.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use holm_certs::{SpiffeId, SvidError, VerifiedSvid};
use holm_mesh_proto::wire::Hello;
use holm_model::Millis;
use libp2p_identity::PeerId;
use rustls::pki_types::CertificateDer;

use crate::error::{CloseCode, HandshakeError};
use crate::shared::Shared;

/// Earlier processes of a key that are remembered while a later one is connected.
const MAX_RETIRED: usize = 4;

/// A judged connection.
pub(crate) struct Entry {
    pub(crate) peer: PeerId,
    pub(crate) svid: VerifiedSvid,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) hello: Hello,
    pub(crate) we_dialled: bool,
    pub(crate) address: SocketAddr,
    /// The relay, if the connection is a circuit through one; the address is then the relay's.
    pub(crate) via: Option<PeerId>,
    pub(crate) connection: quinn::Connection,
}

#[derive(Default)]
pub(crate) struct Directory {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    /// Processes whose connection gave way to that of another process with the same key.
    retired: HashMap<PeerId, VecDeque<u64>>,
}

impl Directory {
    /// Enters a judged connection and decides which of two of one pair stays.
    ///
    /// # Errors
    /// [`HandshakeError::AlreadyConnected`], [`HandshakeError::DoubledKey`] or
    /// [`HandshakeError::Busy`]; nothing was changed, the caller closes the connection.
    fn enter(&mut self, own: PeerId, limit: usize, entry: Entry) -> Result<u64, HandshakeError> {
        let rivals: Vec<u64> =
            self.entries.iter().filter(|(_, e)| e.peer == entry.peer).map(|(id, _)| *id).collect();
        if rivals.is_empty() {
            self.retired.remove(&entry.peer);
            if self.entries.len() >= limit {
                return Err(HandshakeError::Busy { limit });
            }
        }
        for id in &rivals {
            let rival = &self.entries[id];
            // One key, one SPIFFE ID.
            if rival.svid.spiffe_id() != entry.svid.spiffe_id() {
                return Err(HandshakeError::DoubledKey(entry.peer));
            }
            if rival.hello.instance == entry.hello.instance {
                // Both dialled at once: that of the smaller key stays, on both sides.
                let by_smaller = |e: &Entry| e.we_dialled == (own < e.peer);
                let stays = match (rival.via, entry.via) {
                    (None, Some(_)) => true,
                    // What a circuit is for: until there is a direct way.
                    (Some(_), None) => false,
                    _ => by_smaller(rival) && !by_smaller(&entry),
                };
                if stays {
                    return Err(HandshakeError::AlreadyConnected(entry.peer));
                }
            } else {
                let retired = self.retired.entry(entry.peer).or_default();
                if retired.contains(&entry.hello.instance) {
                    return Err(HandshakeError::DoubledKey(entry.peer));
                }
                // A restart: the later process stays, and the earlier one must not come back.
                retired.push_back(rival.hello.instance);
                if retired.len() > MAX_RETIRED {
                    retired.pop_front();
                }
            }
        }
        for id in rivals {
            if let Some(rival) = self.entries.remove(&id) {
                CloseCode::Duplicate
                    .close(&rival.connection, "a later connection of this pair stays");
            }
        }
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, entry);
        Ok(id)
    }

    pub(crate) fn knows(&self, peer: &PeerId) -> bool {
        self.of(peer).is_some()
    }

    pub(crate) fn of(&self, peer: &PeerId) -> Option<&Entry> {
        self.entries.values().rev().find(|entry| entry.peer == *peer)
    }

    /// Where a directly connected peer is.
    pub(crate) fn address_of(&self, peer: &PeerId) -> Option<SocketAddr> {
        self.of(peer).filter(|entry| entry.via.is_none()).map(|entry| entry.address)
    }

    pub(crate) fn spiffe_id(&self, peer: &PeerId) -> Option<&SpiffeId> {
        self.of(peer).map(|entry| entry.svid.spiffe_id())
    }

    /// Takes a peer's renewed certificate: the connection's deadline moves.
    pub(crate) fn refresh(
        &mut self,
        peer: &PeerId,
        svid: &VerifiedSvid,
        chain: &[CertificateDer<'static>],
    ) {
        for entry in self.entries.values_mut().filter(|entry| entry.peer == *peer) {
            entry.svid = svid.clone();
            entry.chain = chain.to_vec();
        }
    }

    /// Closes what no longer stands on a good certificate; how many and why.
    pub(crate) fn enforce(
        &self,
        verify: impl Fn(&[CertificateDer<'static>]) -> Result<VerifiedSvid, SvidError>,
        reverify: bool,
        now: Millis,
    ) -> Vec<(PeerId, CloseCode)> {
        let mut closed = Vec::new();
        for entry in self.entries.values() {
            let verdict = if now >= entry.svid.deadline() {
                Some((CloseCode::Expired, "your certificate has ended: renew it".to_owned()))
            } else if reverify {
                verify(&entry.chain).err().map(|error| (code_of(&error), error.to_string()))
            } else {
                None
            };
            if let Some((code, reason)) = verdict {
                code.close(&entry.connection, &reason);
                closed.push((entry.peer, code));
            }
        }
        closed
    }

    /// When the next certificate of a peer ends.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.entries.values().map(|entry| entry.svid.deadline()).min()
    }

    pub(crate) fn close(&self, peer: &PeerId, code: CloseCode, reason: &str) {
        for entry in self.entries.values().filter(|entry| entry.peer == *peer) {
            code.close(&entry.connection, reason);
        }
    }

    pub(crate) fn close_all(&self, code: CloseCode, reason: &str) {
        for entry in self.entries.values() {
            code.close(&entry.connection, reason);
        }
    }
}

/// The code with which a connection is closed whose certificate breaks this rule.
pub(crate) fn code_of(error: &SvidError) -> CloseCode {
    match error {
        SvidError::Revoked { .. } => CloseCode::Revoked,
        SvidError::Expired { .. } => CloseCode::Expired,
        _ => CloseCode::BundleChange,
    }
}

/// Takes its connection out of the directory when dropped, and notes why it ended.
pub(crate) struct Guard {
    shared: Arc<Shared>,
    id: u64,
    peer: PeerId,
    address: SocketAddr,
    connection: quinn::Connection,
}

impl Guard {
    /// Enters `entry`; see [`Directory::enter`] for the errors.
    pub(crate) fn enter(shared: &Arc<Shared>, entry: Entry) -> Result<Self, HandshakeError> {
        let (peer, address, connection) = (entry.peer, entry.address, entry.connection.clone());
        let limit = shared.config.limits.connections;
        let id = shared.directory().enter(shared.local, limit, entry)?;
        Ok(Self { shared: shared.clone(), id, peer, address, connection })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.directory().entries.remove(&self.id);
        // Nobody uses the connection any more; harmless if it was closed with a better reason.
        CloseCode::Dropped.close(&self.connection, "not needed any more");
        if let Some(quinn::ConnectionError::ApplicationClosed(frame)) =
            self.connection.close_reason()
        {
            let text = String::from_utf8_lossy(&frame.reason).into_owned();
            self.shared.note_closed(self.peer, self.address, frame.error_code.into_inner(), text);
        }
    }
}
