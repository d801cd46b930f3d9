//! What the event loop does about NAT: asks peers to dial back, keeps places at relays while this node
//! is not reached, names relays to dials, and turns circuits into direct connections.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use holm_mesh_proto::Event;
use holm_mesh_proto::wire::MAX_ADDRESSES;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use libp2p_swarm::dial_opts::{DialOpts, PeerCondition};
use tokio::task::AbortHandle;

use super::{Driver, Internal};
use crate::nat::{Answers, Reach, in_order};
use crate::nat_serve::{self, Asker};
use crate::nat_streams::{self, Relay};
use crate::peer::{peer_key, to_multiaddr};
use crate::status::{NatStatus, PlaceStatus};
use crate::streams::{Inbound, Opener};

/// Relays that keep a place for a node behind NAT: one may fail, and others may not know it.
const PLACES: usize = 3;
/// Relays that a dial tries.
const TRIES: usize = 8;
/// When a relay that refused is asked again.
const REFUSED_MS: u64 = 2_000;
/// When a node that relays for nobody is asked again: it may have become reachable.
const NO_RELAY_MS: u64 = 60_000;
/// Peers that are remembered as refusing.
const MAX_UNWILLING: usize = 1_024;
/// Milliseconds from a circuit to the first attempt at a direct connection, and between attempts; the
/// last goes on for ever, because NATs are replaced and mappings change.
const ATTEMPTS_MS: [u64; 5] = [300, 10_000, 60_000, 600_000, 3_600_000];

/// Of this node.
#[derive(Default)]
pub(super) struct Nat {
    answers: Answers,
    places: HashMap<PeerId, Place>,
    /// Peers that relay for nobody, until when they are not asked for anything.
    no_relays: HashMap<PeerId, u64>,
    /// Relays that have no place left, until when they are not asked for one.
    full: HashMap<PeerId, u64>,
    /// Nodes that this one relays for, as last told to the protocol machine.
    served: BTreeSet<PeerId>,
    /// Dials of direct connections to peers at the other end of a circuit.
    punches: HashMap<ConnectionId, PeerId>,
}

struct Place {
    held: bool,
    task: AbortHandle,
}

/// Attempts of one circuit to become direct.
#[derive(Default)]
pub(super) struct Attempts {
    made: usize,
    next_ms: Option<u64>,
}

impl Attempts {
    /// Whether one is due; if so, when the next will be is set.
    fn due(&mut self, mono_ms: u64) -> bool {
        let wait = ATTEMPTS_MS[self.made.min(ATTEMPTS_MS.len() - 1)];
        let next = *self.next_ms.get_or_insert(mono_ms.saturating_add(wait));
        if mono_ms < next {
            return false;
        }
        self.made = self.made.saturating_add(1);
        self.next_ms = None;
        true
    }
}

impl Driver {
    pub(super) fn on_nat_stream(&self, inbound: Inbound) {
        let Inbound { peer, connection, stream, .. } = inbound;
        let Some(known) = self.connections.get(&connection) else { return };
        let address = if known.relayed { None } else { self.shared.directory().address_of(&peer) };
        let asker = Asker {
            peer,
            opener: known.opener.clone(),
            address,
            is_our_relay: self.nat.places.get(&peer).is_some_and(|place| place.held),
        };
        tokio::spawn(nat_serve::serve(self.shared.clone(), asker, stream));
    }

    /// Looks what there is to do; called with every tick.
    pub(super) fn nat_tick(&mut self) {
        let mono_ms = self.shared.mono_ms();
        self.nat.no_relays.retain(|_, until| *until > mono_ms);
        self.nat.full.retain(|_, until| *until > mono_ms);
        self.ask_for_dial_backs(mono_ms);
        let policy = &self.shared.config.nat;
        let reach = match policy.reachable {
            Some(true) => Reach::Reachable,
            Some(false) => Reach::BehindNat,
            None => self.nat.answers.verdict(mono_ms),
        };
        let serving = policy.relay.unwrap_or(reach == Reach::Reachable);
        match reach {
            Reach::BehindNat => self.ask_for_places(),
            Reach::Reachable => self.give_up_places(),
            // Answers age while nobody answers; places that work are kept meanwhile.
            Reach::Unknown => {}
        }
        self.publish_nat(reach, serving);
        self.tell_served();
        self.attempt_direct(mono_ms);
    }

    /// The protocol machine does not close connections that others are reached through.
    fn tell_served(&mut self) {
        let served = self.shared.relay.served();
        if served != self.nat.served {
            self.feed(Event::Served(served.iter().filter_map(peer_key).collect()));
            self.nat.served = served;
        }
    }

    fn publish_nat(&self, reach: Reach, serving: bool) {
        let named = |relay: &PeerId| {
            self.info_of(relay)
                .map_or_else(|| relay.to_string(), |info| format!("{}/{}", info.site, info.node))
        };
        let place = |(relay, place): (&PeerId, &Place)| PlaceStatus {
            relay: *relay,
            name: named(relay),
            held: place.held,
        };
        let mut places: Vec<PlaceStatus> = self.nat.places.iter().map(place).collect();
        places.sort_by_key(|place| place.relay);
        let status = NatStatus { reach, serving, places };
        let was = self.shared.nat();
        if was == status {
            return;
        }
        if was.reach != reach {
            tracing::info!(reach = reach.as_str(), serving, "whether this node is reached");
        }
        self.shared.set_nat(status);
    }

    /// Direct connections that carry control streams.
    fn direct(&self) -> impl Iterator<Item = (PeerId, &Opener)> {
        self.active.iter().filter_map(|(peer, id)| {
            let connection = self.connections.get(id).filter(|connection| !connection.relayed)?;
            Some((*peer, &connection.opener))
        })
    }

    fn ask_for_dial_backs(&mut self, mono_ms: u64) {
        if self.shared.config.nat.reachable.is_some() || self.shared.paused().is_some() {
            return;
        }
        let own = &self.shared.config.site;
        let elsewhere = |peer: &PeerId| self.info_of(peer).is_some_and(|info| info.site != *own);
        // Until a peer has said where it sees this node, there is nothing to be asked about.
        let addresses = self.shared.meeting_points();
        if self.shared.observed().is_empty() {
            return;
        }
        let candidates: Vec<(PeerId, Opener)> = self
            .direct()
            .filter(|(peer, _)| elsewhere(peer))
            .map(|(peer, opener)| (peer, opener.clone()))
            .collect();
        let asked = self.nat.answers.ask(candidates.iter().map(|(peer, _)| *peer), mono_ms);
        for (peer, opener) in candidates.into_iter().filter(|(peer, _)| asked.contains(peer)) {
            let (events, addresses) = (self.events.clone(), addresses.clone());
            tokio::spawn(async move {
                let result = nat_streams::reached(&opener, addresses).await;
                // Fails only when the mesh stops.
                drop(events.send(Internal::DialledBack { peer, result }).await);
            });
        }
    }

    pub(super) fn dialled_back(&mut self, peer: PeerId, result: Result<bool, String>) {
        if let Err(reason) = &result {
            self.shared.count("dial_backs_not_had");
            tracing::debug!(%peer, reason, "a peer does not dial back");
        }
        self.nat.answers.note(peer, result.ok(), self.shared.mono_ms());
    }

    /// A peer sees this node at an address that nobody saw it at before.
    pub(super) fn address_is_new(&mut self) {
        self.nat.answers.forget();
    }

    fn ask_for_places(&mut self) {
        let local = self.shared.local;
        let free = PLACES.saturating_sub(self.nat.places.len());
        let candidates = self
            .direct()
            .filter(|(peer, _)| {
                !self.nat.no_relays.contains_key(peer)
                    && !self.nat.full.contains_key(peer)
                    && !self.nat.places.contains_key(peer)
            })
            .map(|(peer, opener)| (peer, opener.clone()))
            .collect();
        let chosen: Vec<_> = in_order(&local, candidates).into_iter().take(free).collect();
        for (relay, opener) in chosen {
            let events = self.events.clone();
            let task = tokio::spawn(async move {
                let ended = match nat_streams::reserve(&opener).await {
                    Ok(place) => {
                        // Sends fail only when the mesh stops.
                        drop(events.send(Internal::PlaceHeld(relay)).await);
                        nat_streams::keep(place).await;
                        None
                    }
                    Err(refused) => Some(refused),
                };
                drop(events.send(Internal::PlaceGone { relay, refused: ended }).await);
            });
            self.nat.places.insert(relay, Place { held: false, task: task.abort_handle() });
        }
    }

    fn give_up_places(&mut self) {
        if self.nat.places.is_empty() {
            return;
        }
        for (_, place) in self.nat.places.drain() {
            place.task.abort();
        }
        self.tell_places();
    }

    /// This node's leases say through whom it is reached.
    fn tell_places(&mut self) {
        let held = self.nat.places.iter().filter(|(_, place)| place.held);
        let mut relays: Vec<_> = held.filter_map(|(relay, _)| peer_key(relay)).collect();
        relays.sort_unstable();
        self.feed(Event::Relays(relays));
    }

    pub(super) fn place_held(&mut self, relay: PeerId) {
        if let Some(place) = self.nat.places.get_mut(&relay) {
            place.held = true;
            self.shared.count("places_had");
        }
        self.tell_places();
        self.nat_tick();
    }

    pub(super) fn place_gone(&mut self, relay: PeerId, refused: Option<nat_streams::Refused>) {
        self.nat.places.remove(&relay);
        self.tell_places();
        match refused {
            Some(refused) => {
                tracing::debug!(%relay, reason = refused.reason, "a relay gives no place");
                let until = self.shared.mono_ms().saturating_add(REFUSED_MS);
                if refused.no_relay {
                    self.no_relay(relay);
                } else if self.nat.full.len() < MAX_UNWILLING {
                    self.nat.full.insert(relay, until);
                }
            }
            None => self.shared.count("places_lost"),
        }
    }

    pub(super) fn no_relay(&mut self, peer: PeerId) {
        if self.nat.no_relays.len() < MAX_UNWILLING {
            let until = self.shared.mono_ms().saturating_add(NO_RELAY_MS);
            self.nat.no_relays.insert(peer, until);
        }
    }

    /// A new connection of `peer`: what its earlier process refused is past.
    pub(super) fn nat_connected(&mut self, peer: PeerId, relayed: bool) {
        self.shared.set_indirect(peer, relayed);
        if !relayed {
            self.nat.no_relays.remove(&peer);
            self.nat.full.remove(&peer);
        }
    }

    /// Which relays a dial of `target` tries, best first.
    pub(super) fn relays_for(&self, target: PeerId) -> Vec<Relay> {
        let directory = self.shared.directory();
        let willing = self
            .direct()
            .filter(|(peer, _)| *peer != target && !self.nat.no_relays.contains_key(peer))
            .filter_map(|(peer, opener)| Some((peer, (directory.address_of(&peer)?, opener))))
            .collect();
        // Those of which the target itself says that they keep a place for it come first.
        let told: Vec<_> = peer_key(&target)
            .map(|target| self.shared.node().relays_of(target).to_vec())
            .unwrap_or_default();
        let mut ordered = in_order(&target, willing);
        ordered.sort_by_key(|(peer, _)| !peer_key(peer).is_some_and(|key| told.contains(&key)));
        ordered
            .into_iter()
            .take(TRIES)
            .map(|(peer, (address, opener))| Relay { peer, address, opener: opener.clone() })
            .collect()
    }

    fn attempt_direct(&mut self, mono_ms: u64) {
        if !self.shared.config.nat.hole_punching {
            return;
        }
        let ours = self.shared.meeting_points();
        let local = self.shared.local;
        let active = &self.active;
        for (id, connection) in &mut self.connections {
            // The smaller key begins: one dial is enough, and both know whose it is.
            let ours_to_begin = connection.relayed
                && local < connection.peer
                && active.get(&connection.peer) == Some(id);
            if !ours_to_begin || !connection.attempts.due(mono_ms) {
                continue;
            }
            let (peer, opener) = (connection.peer, connection.opener.clone());
            let (events, ours) = (self.events.clone(), ours.clone());
            self.shared.count("punches_begun");
            tokio::spawn(async move {
                let addresses = nat_streams::agree(&opener, ours).await;
                // Fails only when the mesh stops.
                drop(events.send(Internal::Meet { peer, addresses }).await);
            });
        }
    }

    /// The peer begins to send from these addresses now.
    pub(super) fn meet(
        &mut self,
        peer: PeerId,
        addresses: Result<Vec<std::net::SocketAddr>, String>,
    ) {
        let addresses = match addresses {
            Ok(addresses) => addresses,
            Err(reason) => {
                self.shared.count("punches_failed");
                tracing::debug!(%peer, reason, "no meeting with the other end of a circuit");
                return;
            }
        };
        let addresses = addresses.into_iter().take(MAX_ADDRESSES).map(to_multiaddr).collect();
        let options =
            DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(addresses).build();
        let connection = options.connection_id();
        self.nat.punches.insert(connection, peer);
        if self.swarm.dial(options).is_err() {
            self.punched(connection, false);
        }
    }

    /// What became of a dial, if it was one of these.
    pub(super) fn punched(&mut self, connection: ConnectionId, met: bool) {
        if let Some(peer) = self.nat.punches.remove(&connection) {
            self.shared.count(if met { "punches_met" } else { "punches_failed" });
            tracing::info!(%peer, met, "direct connection instead of a circuit");
        }
    }
}

/// How often [`Driver::nat_tick`] looks.
pub(super) const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_at_a_direct_connection_get_rarer_and_never_end() {
        let mut attempts = Attempts::default();
        let made: Vec<u64> = (0..20_000_000).step_by(100).filter(|ms| attempts.due(*ms)).collect();
        assert_eq!(made[0], 300);
        let gaps: Vec<u64> = made.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]), "{gaps:?}");
        assert!(gaps.len() > 6 && gaps.last().is_some_and(|gap| *gap >= 3_600_000));
    }
}
