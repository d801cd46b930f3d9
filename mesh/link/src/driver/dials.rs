//! Dials: from a target of the protocol machine to a connection or a reason.

use std::net::SocketAddr;

use holm_mesh_proto::{DialOutcome, Event, Target};
use libp2p_core::transport::TransportError;
use libp2p_swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p_swarm::{ConnectionId, DialError};

use super::{Driver, Internal};
use crate::error::HandshakeError;
use crate::peer::{circuit_to, peer_id, peer_key, to_multiaddr};

impl Driver {
    pub(super) fn dial(&mut self, target: Target, addresses: &[SocketAddr]) {
        match &target {
            Target::Seed(seed) => self.resolve(target.clone(), seed.clone()),
            Target::Peer(key) => {
                let Some(peer) = peer_id(*key) else {
                    return self.ended(target, "it has no valid key".to_owned());
                };
                // The swarm begins eight at once: the circuit, which waits for the direct ones by
                // itself, must be among them.
                let direct = addresses.iter().map(|address| to_multiaddr(*address));
                let addresses = std::iter::once(circuit_to(peer)).chain(direct).collect();
                let options = DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(addresses)
                    .build();
                self.start(target, options);
            }
        }
    }

    pub(super) fn dial_resolved(&mut self, target: Target, address: Result<SocketAddr, String>) {
        match address {
            Ok(address) => {
                let options = DialOpts::unknown_peer_id().address(to_multiaddr(address)).build();
                self.start(target, options);
            }
            Err(reason) => self.ended(target, reason),
        }
    }

    pub(super) fn dial_failed(&mut self, connection: ConnectionId, error: DialError) {
        self.punched(connection, false);
        let Some(target) = self.dials.remove(&connection) else { return };
        let outcome = outcome_of(&error);
        self.feed(Event::DialEnded { target, outcome });
    }

    fn start(&mut self, target: Target, options: DialOpts) {
        let connection = options.connection_id();
        self.dials.insert(connection, target);
        // A dial that does not start gives no event of its own.
        if let Err(error) = self.swarm.dial(options) {
            self.dial_failed(connection, error);
        }
    }

    fn ended(&mut self, target: Target, reason: String) {
        self.feed(Event::DialEnded { target, outcome: DialOutcome::Failed(reason) });
    }

    fn resolve(&mut self, target: Target, seed: String) {
        let events = self.events.clone();
        let takes_v6 = self.shared.config.listen.is_ipv6();
        let turn = self.resolutions;
        self.resolutions = self.resolutions.wrapping_add(1);
        tokio::spawn(async move {
            let address = match tokio::net::lookup_host(&seed).await {
                Err(error) => Err(format!("{seed} does not resolve ({error}): correct the seed")),
                Ok(found) => {
                    let all: Vec<_> = found.filter(|a| takes_v6 || a.is_ipv4()).collect();
                    // A name with several addresses: another one with each attempt.
                    let chosen = all.get(turn % all.len().max(1)).copied();
                    chosen.ok_or_else(|| format!("{seed} has no address of this node's IP version"))
                }
            };
            // Fails only when the mesh stops.
            drop(events.send(Internal::Resolved { target, address }).await);
        });
    }
}

fn outcome_of(error: &DialError) -> DialOutcome {
    let DialError::Transport(errors) = error else {
        return match error {
            DialError::LocalPeerId { .. } => DialOutcome::Myself,
            other => DialOutcome::Failed(other.to_string()),
        };
    };
    let handshakes = errors.iter().filter_map(|(_, error)| match error {
        TransportError::Other(io) => {
            let inner = io.get_ref()?.downcast_ref::<HandshakeError>()?;
            Some(inner)
        }
        TransportError::MultiaddrNotSupported(_) => None,
    });
    // Of several addresses: one that told something beats one that was silent.
    let (mut silent, mut relay) = (None, None);
    for error in handshakes {
        match error {
            HandshakeError::Myself => return DialOutcome::Myself,
            HandshakeError::AlreadyConnected(peer) => {
                if let Some(key) = peer_key(peer) {
                    return DialOutcome::AlreadyConnected(key);
                }
            }
            HandshakeError::Relay(_) => relay = Some(error.to_string()),
            HandshakeError::Timeout { .. } => silent = Some(error.to_string()),
            other => return DialOutcome::Failed(other.to_string()),
        }
    }
    DialOutcome::Failed(match (silent, relay) {
        (Some(silent), Some(relay)) => format!("{silent} And {relay}"),
        (silent, relay) => silent.or(relay).unwrap_or_else(|| error.to_string()),
    })
}
