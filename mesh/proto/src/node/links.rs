//! Connections: those that stand, those that are wanted, and the members behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use foca::State;
use holm_model::Millis;

use super::leases::{PROOFS_A_SECOND, PROOFS_AT_ONCE};
use super::overlay::{ALL, some_down};
use super::quota::Quota;
use super::{Action, MeshNode};
use crate::clock::PeerClock;
use crate::member::{Known, MAX_MEMBERS};
use crate::wire::{Control, Hello, MAX_ADDRESSES};
use crate::{DocumentStore, MemberId, MemberState, MemberView, Now, PeerKey, Target};

/// Connections beyond which the latest that others chose are closed.
const MOST: usize = 30;
/// How long a new connection stands at least, however many there are: whoever looks how far away this
/// node is has done so by then, and whoever comes to a relay has asked for its circuit.
const GRACE_MS: u64 = 5_000;
/// Connections, but those that this node relays for, beyond which new ones too are closed at once.
const MOST_OF_ALL: usize = MOST + 10;
/// Connections below which each new one is used for all that it can give.
pub(super) const FEW: usize = 6;
/// Members that are down and dialled at the same time.
const DOWN_AT_ONCE: usize = 4;
/// Neighbours that were lost and may have to be accused.
pub(super) const MAX_LOST: usize = 64;
/// How long a neighbour must have been one for its loss to mean anything.
const NEIGHBOUR_MS: u64 = 15_000;
/// Connections at once; the driver's own limit is below it.
pub(super) const MAX_LINKS: usize = 1_024;
/// Peers of which it is remembered when they were last heard.
pub(super) const MAX_HEARD: usize = 2 * MAX_MEMBERS;
/// Nodes found on the local network that are remembered.
const MAX_DISCOVERED: usize = 1_024;
/// Members for which datagrams wait, and datagrams each.
const MAX_DEMAND: usize = 64;
const MAX_WAITING: usize = 4;
/// How long a lost neighbour is looked for as such.
const LOST_MS: u64 = 60_000;
/// How long a connection is wanted for a datagram that waits.
const DEMAND_MS: u64 = 5_000;

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) hello: Hello,
    since: Millis,
    since_ms: u64,
    /// This node has asked for its end.
    left: bool,
    /// A reconciliation ended well on this connection.
    pub(super) synced: bool,
    pings: u32,
    heard_ms: u64,
    next_ping_ms: u64,
    pub(super) clock: PeerClock,
    pub(super) quota: Quota,
    /// Signatures of its leases that are still looked at.
    pub(super) proofs: Quota,
}

impl Link {
    pub(super) const fn was_synced(&self) -> bool {
        self.synced
    }
}

#[derive(Debug, Clone)]
pub(super) struct Demand {
    until_ms: u64,
    waiting: Vec<Vec<u8>>,
}

impl MeshNode {
    /// Every other node that was ever heard of, but those that are gone for good.
    pub fn members(&self) -> Vec<MemberView> {
        let me = self.membership.me().peer;
        let others = self.membership.all().filter(|(id, _)| id.peer != me && !self.is_gone(id));
        others.map(|(id, state)| self.member(id, state)).collect()
    }

    fn member(&self, id: &MemberId, state: State) -> MemberView {
        let link = self.links.get(&id.peer);
        MemberView {
            site: id.site.clone(),
            node: id.node.clone(),
            peer: id.peer,
            addresses: id.addresses.clone(),
            api_port: id.api_port,
            generation: id.generation,
            state: match state {
                State::Alive => MemberState::Alive,
                State::Suspect => MemberState::Suspect,
                State::Down => MemberState::Down,
            },
            connected: link.is_some(),
            connected_since: link.map(|link| link.since),
            last_heard: self.last_heard.get(&id.peer).copied(),
            rtt_ms: link.and_then(|link| link.clock.rtt_ms()),
            clock_skew_ms: link.and_then(|link| link.clock.skew_ms(self.latest?)),
            clock: link.and_then(|link| link.clock.bounds().view(self.latest?.clock?)),
            last_refusal: self.dialer.refusal_of(id.peer).map(str::to_owned),
            last_sync: self.last_sync.get(&id.peer).cloned(),
        }
    }

    pub(super) fn connected(
        &mut self,
        peer: PeerKey,
        hello: Hello,
        target: Option<&Target>,
        now: Now,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        self.dialer.connected(peer, target, now.mono_ms);
        for hidden in self.dialer.refused() {
            if self.relays_of(hidden).contains(&peer) {
                self.dialer.hurry(hidden, now.mono_ms);
            }
        }
        let mut clock = PeerClock::default();
        clock.greeted(hello.sent_at, now);
        let known = self.membership.known(peer);
        let fresh = known.is_none_or(|known| known.down || known.id.generation != hello.generation);
        let few = self.links.len() < FEW || self.membership.count_up() <= ALL;
        let member = MemberId {
            site: hello.site.clone(),
            node: hello.node.clone(),
            peer,
            addresses: hello.addresses.clone(),
            api_port: hello.api_port,
            generation: hello.generation,
        };
        let outlived = self.membership.outlive(hello.known_generation, now.mono_ms);
        let link = Link {
            hello,
            since: now.wall,
            since_ms: now.mono_ms,
            left: false,
            synced: false,
            pings: 0,
            heard_ms: now.mono_ms,
            next_ping_ms: now.mono_ms,
            clock,
            quota: Quota::of_messages(now.mono_ms),
            proofs: Quota::full(PROOFS_AT_ONCE, PROOFS_A_SECOND, now.mono_ms),
        };
        self.links.insert(peer, link);
        // Everything at once for whoever was away, and from the first few; the others among many only
        // add ways, and what they know is known here already or comes with their first round.
        if fresh || few {
            self.tell_all_leases(peer, store, out);
        }
        self.lost.remove(&peer);
        self.note_heard(peer, now.wall);
        let counts = self.overlay.connected(peer, target.is_some(), few, now.mono_ms);
        self.broadcast.connected(peer, counts);
        // The smaller key begins at once; the other steps in later, if that one does not.
        let first_ms = if fresh || few { 0 } else { self.sync_interval_ms() };
        let delay_ms = if self.membership.me().peer < peer {
            first_ms
        } else {
            first_ms.saturating_add(self.timing.sync_ms)
        };
        self.schedule.connected(peer, delay_ms, now.mono_ms);
        let joined = self.membership.connected(member, fresh || few, now.mono_ms);
        self.carry_out(outlived, now, out);
        self.carry_out(joined, now, out);
        for bytes in self.demand.remove(&peer).map(|d| d.waiting).unwrap_or_default() {
            out.push(Action::Send { peer, message: Control::Swim(bytes) });
        }
        self.counters.count("connections");
        out.push(Action::Changed);
    }

    pub(super) fn disconnected(&mut self, peer: PeerKey, now: Now, out: &mut Vec<Action>) {
        let Some(link) = self.links.remove(&peer) else { return };
        let was_neighbour = now.mono_ms.saturating_sub(link.since_ms) >= NEIGHBOUR_MS;
        if !link.left && was_neighbour && self.lost.len() < MAX_LOST {
            self.lost.insert(peer, now.mono_ms);
        }
        self.overlay.disconnected(peer, link.left, now.mono_ms);
        self.broadcast.disconnected(peer);
        self.schedule.disconnected(peer);
        self.fetch_elsewhere(peer, None);
        self.counters.count("disconnections");
        out.push(Action::Changed);
    }

    pub(super) fn discovered(&mut self, peer: PeerKey, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(MAX_ADDRESSES);
        if self.discovered.len() >= MAX_DISCOVERED && !self.discovered.contains_key(&peer) {
            self.counters.count("discovered_dropped");
        } else if peer != self.membership.me().peer {
            self.discovered.insert(peer, addresses);
        }
    }

    pub(super) fn heard(&mut self, peer: PeerKey, now: Now) -> bool {
        let Some(link) = self.links.get_mut(&peer) else { return false };
        link.heard_ms = now.mono_ms;
        self.note_heard(peer, now.wall);
        true
    }

    fn note_heard(&mut self, peer: PeerKey, wall: Millis) {
        if let Some(heard) = self.last_heard.get_mut(&peer) {
            *heard = wall;
        } else if self.last_heard.len() < MAX_HEARD {
            self.last_heard.insert(peer, wall);
        }
    }

    /// A dial of a peer failed: if it was a neighbour until lately, the others shall know.
    pub(super) fn dial_failed(&mut self, target: &Target, now: Now, out: &mut Vec<Action>) {
        let Target::Peer(peer) = target else { return };
        if self.lost.remove(peer).is_some() {
            let outcome = self.membership.accuse(*peer, now.mono_ms);
            self.carry_out(outcome, now, out);
        }
    }

    /// This node closes a connection.
    pub(super) fn leave_link(
        &mut self,
        peer: PeerKey,
        reason: &'static str,
        out: &mut Vec<Action>,
    ) {
        if let Some(link) = self.links.get_mut(&peer).filter(|link| !link.left) {
            link.left = true;
            out.push(Action::Disconnect { peer, reason });
        }
    }

    /// What a node does on every connection it does the more rarely the more connections it has.
    fn stretch(&self, per: usize, most: u64) -> u64 {
        (self.links.len() as u64 / per as u64).clamp(1, most)
    }

    pub(super) fn sync_interval_ms(&self) -> u64 {
        self.timing.sync_ms.saturating_mul(self.stretch(2, 8))
    }

    /// Pings, and closes what is silent or too much.
    pub(super) fn tend_links(&mut self, now: Now, out: &mut Vec<Action>) {
        let ping_ms = self.timing.ping_ms.saturating_mul(self.stretch(3, 6));
        let silence_ms = self.timing.silence_ms.max(ping_ms.saturating_mul(3));
        let mut silent = Vec::new();
        for (peer, link) in &mut self.links {
            if now.mono_ms.saturating_sub(link.heard_ms) > silence_ms {
                silent.push(*peer);
            } else if link.next_ping_ms <= now.mono_ms {
                // The first two come soon: they tell how far away the peer is.
                link.pings = link.pings.saturating_add(1);
                let pause_ms = if link.pings < 2 { self.timing.ping_ms / 2 } else { ping_ms };
                link.next_ping_ms = now.mono_ms.saturating_add(pause_ms);
                let sequence = link.clock.ask(now);
                let message = Control::Ping { sequence, sent_at: now.wall, clock: now.clock };
                out.push(Action::Send { peer: *peer, message });
            }
        }
        for peer in silent {
            self.counters.count("silent_closed");
            if self.lost.len() < MAX_LOST {
                self.lost.insert(peer, now.mono_ms);
            }
            self.leave_link(peer, "silent for too long", out);
        }
        self.close_surplus(now, out);
    }

    /// Beyond so many, connections that others chose are closed, first those that are least missed; never
    /// those that this node relays for, nor those through which it reaches others.
    fn close_surplus(&mut self, now: Now, out: &mut Vec<Action>) {
        let counted = self.links.iter().filter(|(peer, l)| !l.left && !self.served.contains(*peer));
        // Whoever is new pushes nobody out.
        let grace_ms = if counted.clone().count() > MOST_OF_ALL { 0 } else { GRACE_MS };
        let is_old = |link: &Link| now.mono_ms.saturating_sub(link.since_ms) >= grace_ms;
        let standing = counted.filter(|(_, link)| is_old(link));
        let most = standing.clone().count().saturating_sub(MOST);
        if most == 0 {
            return;
        }
        let relays = self.relays_needed();
        let links = self.links.keys().copied().collect();
        let missed = self.overlay.missed(&links, &mut self.rng);
        let mut surplus: Vec<(u64, std::cmp::Reverse<u64>, PeerKey)> = standing
            .filter(|(peer, _)| !self.overlay.is_mine(**peer) && !relays.contains(*peer))
            .map(|(peer, link)| {
                let missed = missed.get(peer).copied().unwrap_or_default();
                (missed, std::cmp::Reverse(link.since_ms), *peer)
            })
            .collect();
        surplus.sort_unstable();
        for (_, _, peer) in surplus.into_iter().take(most) {
            self.counters.count("surplus_closed");
            self.leave_link(peer, "more connections than needed", out);
        }
    }

    pub(super) fn hold_for(&mut self, peer: PeerKey, bytes: Vec<u8>, now: Now) {
        if self.demand.len() >= MAX_DEMAND && !self.demand.contains_key(&peer) {
            self.counters.count("swim_dropped");
            return;
        }
        let until_ms = now.mono_ms.saturating_add(DEMAND_MS);
        let demand =
            self.demand.entry(peer).or_insert_with(|| Demand { until_ms, waiting: Vec::new() });
        demand.until_ms = until_ms;
        if demand.waiting.len() >= MAX_WAITING {
            demand.waiting.remove(0);
            self.counters.count("swim_dropped");
        }
        demand.waiting.push(bytes);
    }

    pub(super) fn dial_due(&mut self, now: Now, out: &mut Vec<Action>) {
        self.demand.retain(|_, demand| demand.until_ms > now.mono_ms);
        self.lost.retain(|_, since_ms| now.mono_ms.saturating_sub(*since_ms) < LOST_MS);
        let wanted = self.wanted(now);
        let (members, discovered) = (&self.membership, &self.discovered);
        self.dialer
            .retain_peers(|peer| members.known(peer).is_some() || discovered.contains_key(&peer));
        let links = &self.links;
        // A seed whose node is known to live, here or by others' word, has told all that it can.
        let is_found = |peer: PeerKey| {
            let lives = |known: &Known| !known.down;
            links.contains_key(&peer) || members.known(peer).is_some_and(lives)
        };
        let due = self.dialer.due(&wanted, is_found, now.mono_ms);
        for target in due {
            let addresses = match &target {
                Target::Seed(_) => Vec::new(),
                Target::Peer(peer) => self.addresses_of(*peer),
            };
            self.counters.count("dials");
            out.push(Action::Dial { target, addresses });
        }
    }

    /// Whom this node wants to be connected with and is not, and how long it waits before it dials:
    /// all while there are few, else those of its own choice; whoever a datagram waits for; and always
    /// some of those that are down, so that a split heals by itself.
    fn wanted(&self, now: Now) -> BTreeMap<PeerKey, u64> {
        let me = self.membership.me().peer;
        let missing = |peer: &PeerKey| *peer != me && !self.links.contains_key(peer);
        // Both sides dialling at once leaves two connections: the larger key lets the other begin.
        let delay = |peer: PeerKey| if me < peer { 0 } else { self.timing.dial_min_ms };
        let mut wanted = BTreeMap::new();
        if self.membership.count_up() <= ALL {
            let up = self.membership.up().filter(missing);
            wanted.extend(up.map(|peer| (peer, delay(peer))));
        }
        wanted.extend(self.overlay.wanted().filter(missing).map(|peer| (peer, 0)));
        let epoch = now.mono_ms / self.timing.dial_max_ms.max(1);
        let down = some_down(self.membership.down(), DOWN_AT_ONCE, epoch, me);
        wanted.extend(down.into_iter().filter(missing).map(|peer| (peer, delay(peer))));
        let room = ALL.saturating_sub(self.links.len());
        let found = self.discovered.keys().filter(|peer| missing(peer));
        let found = found.filter(|peer| self.membership.known(**peer).is_none()).take(room);
        wanted.extend(found.map(|peer| (*peer, delay(*peer))));
        let lost = self.lost.keys().filter(|peer| missing(peer));
        wanted.extend(lost.map(|peer| (*peer, 0)));
        wanted.extend(self.demand.keys().filter(|peer| missing(peer)).map(|peer| (*peer, 0)));
        let relays: Vec<PeerKey> = wanted.keys().filter_map(|peer| self.relay_to(*peer)).collect();
        wanted.extend(relays.into_iter().filter(|relay| missing(relay)).map(|relay| (relay, 0)));
        wanted
    }

    /// A relay that a connection is needed with, because `peer` was not reached and says that it is
    /// through this one.
    fn relay_to(&self, peer: PeerKey) -> Option<PeerKey> {
        self.dialer.refusal_of(peer)?;
        let told = self.relays_of(peer);
        if told.iter().any(|relay| self.links.contains_key(relay)) {
            return None;
        }
        let up = |relay: &&PeerKey| self.membership.known(**relay).is_some_and(|k| !k.down);
        let mut up: Vec<PeerKey> = told.iter().filter(up).copied().collect();
        // One that could not be reached lets the others try first.
        up.sort_by_key(|relay| self.dialer.refusal_of(*relay).is_some());
        up.first().copied()
    }

    /// Connections that lead on to nodes that are wanted or connected: they are not left.
    pub(super) fn relays_needed(&self) -> BTreeSet<PeerKey> {
        let wanted = self.overlay.wanted().chain(self.demand.keys().copied());
        let all = self.links.keys().copied().chain(wanted).chain(self.lost.keys().copied());
        all.filter_map(|peer| {
            self.relays_of(peer).iter().find(|relay| self.links.contains_key(relay)).copied()
        })
        .collect()
    }

    fn addresses_of(&self, peer: PeerKey) -> Vec<SocketAddr> {
        let known = self.membership.known(peer);
        let mut addresses = known.map(|known| known.id.addresses.clone()).unwrap_or_default();
        for found in self.discovered.get(&peer).into_iter().flatten() {
            if !addresses.contains(found) && addresses.len() < MAX_ADDRESSES {
                addresses.push(*found);
            }
        }
        addresses
    }
}
