//! Connections: those that stand, those that are wanted, and the members behind them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use foca::State;
use holm_model::Millis;

use super::{Action, MeshNode};
use crate::clock::{PeerClock, warning};
use crate::member::by_peer;
use crate::wire::{Control, Hello, MAX_ADDRESSES};
use crate::{DocumentStore, MemberId, MemberState, MemberView, Now, PeerKey, Target};

/// Connections that a node keeps of its own accord when there are more members than that.
const ACTIVE: usize = 8;
/// Connections beyond which those that are not part of the hint tree are closed.
const PASSIVE: usize = 30;
/// Nodes found on the local network that are remembered.
const MAX_DISCOVERED: usize = 1_024;
/// Members for which datagrams wait, and datagrams each.
const MAX_DEMAND: usize = 64;
const MAX_WAITING: usize = 4;
/// How long a connection is wanted for a datagram that waits.
const DEMAND_MS: u64 = 5_000;

#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) hello: Hello,
    since: Millis,
    heard_ms: u64,
    next_ping_ms: u64,
    clock: PeerClock,
}

#[derive(Debug, Clone)]
pub(super) struct Demand {
    until_ms: u64,
    waiting: Vec<Vec<u8>>,
}

impl MeshNode {
    /// Every other node that was ever heard of.
    pub fn members(&self) -> Vec<MemberView> {
        let me = self.membership.me().peer;
        let others = self.membership.all().filter(|(id, _)| id.peer != me);
        others.map(|(id, state)| self.member(id, state)).collect()
    }

    /// What to say about clocks that are off, one line a peer.
    pub fn clock_warnings(&self) -> Vec<String> {
        let warn = |link: &Link| {
            let who = format!("{}/{}", link.hello.site, link.hello.node);
            warning(&who, link.clock.skew_ms()?)
        };
        self.links.values().filter_map(warn).collect()
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
            clock_skew_ms: link.and_then(|link| link.clock.skew_ms()),
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
        let mut clock = PeerClock::default();
        clock.greeted(hello.sent_at, now);
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
            heard_ms: now.mono_ms,
            next_ping_ms: now.mono_ms,
            clock,
        };
        for leases in self.leases.all_for(|tenant| store.may_replicate(&link.hello.site, tenant)) {
            out.push(Action::Send { peer, message: Control::Leases(leases) });
        }
        self.links.insert(peer, link);
        self.last_heard.insert(peer, now.wall);
        self.broadcast.connected(peer);
        // The smaller key begins at once; the other steps in later, if that one does not.
        let delay_ms = if self.membership.me().peer < peer { 0 } else { self.timing.sync_ms };
        self.schedule.connected(peer, delay_ms, now.mono_ms);
        let joined = self.membership.connected(member, now.mono_ms);
        self.carry_out(outlived, now, out);
        self.carry_out(joined, now, out);
        for bytes in self.demand.remove(&peer).map(|d| d.waiting).unwrap_or_default() {
            out.push(Action::Send { peer, message: Control::Swim(bytes) });
        }
        self.counters.count("connections");
        out.push(Action::Changed);
    }

    pub(super) fn disconnected(&mut self, peer: PeerKey, out: &mut Vec<Action>) {
        if self.links.remove(&peer).is_none() {
            return;
        }
        self.broadcast.disconnected(peer);
        self.schedule.disconnected(peer);
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
        self.last_heard.insert(peer, now.wall);
        true
    }

    pub(super) fn pong(&mut self, peer: PeerKey, sequence: u64, theirs: Millis, now: Now) {
        if let Some(link) = self.links.get_mut(&peer) {
            link.clock.answered(sequence, theirs, now);
        }
    }

    /// Pings, and closes what is silent or too much.
    pub(super) fn tend_links(&mut self, now: Now, out: &mut Vec<Action>) {
        for (peer, link) in &mut self.links {
            if now.mono_ms.saturating_sub(link.heard_ms) > self.timing.silence_ms {
                self.counters.count("silent_closed");
                out.push(Action::Disconnect { peer: *peer, reason: "silent for too long" });
            } else if link.next_ping_ms <= now.mono_ms {
                link.next_ping_ms = now.mono_ms.saturating_add(self.timing.ping_ms);
                let sequence = link.clock.ask(now);
                let message = Control::Ping { sequence, sent_at: now.wall };
                out.push(Action::Send { peer: *peer, message });
            }
        }
        if self.links.len() > PASSIVE {
            let eager: Vec<PeerKey> = self.broadcast.eager().collect();
            let surplus = self.links.iter().filter(|(peer, _)| !eager.contains(peer));
            if let Some((peer, _)) = surplus.min_by_key(|(_, link)| link.since) {
                self.counters.count("surplus_closed");
                out.push(Action::Disconnect {
                    peer: *peer,
                    reason: "more connections than needed",
                });
            }
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
        let members = by_peer(&self.membership);
        let wanted = self.wanted(&members);
        self.dialer.retain_peers(|peer| {
            members.contains_key(&peer) || self.discovered.contains_key(&peer)
        });
        let links = &self.links;
        // A seed whose node is known to live, here or by others' word, has told all that it can.
        let is_found = |peer: PeerKey| {
            let lives = |(_, state): &(MemberId, State)| *state == State::Alive;
            links.contains_key(&peer) || members.get(&peer).is_some_and(lives)
        };
        let due = self.dialer.due(&wanted, is_found, now.mono_ms);
        for target in due {
            let addresses = match &target {
                Target::Seed(_) => Vec::new(),
                Target::Peer(peer) => self.addresses_of(*peer, &members),
            };
            self.counters.count("dials");
            out.push(Action::Dial { target, addresses });
        }
    }

    /// Whom this node wants to be connected with and is not: all while there are few, else enough of
    /// them, and in any case those that are down, so that a split heals by itself.
    fn wanted(&self, members: &BTreeMap<PeerKey, (MemberId, State)>) -> Vec<(PeerKey, u64)> {
        let me = self.membership.me().peer;
        let missing = |peer: &PeerKey| *peer != me && !self.links.contains_key(peer);
        let mut room = ACTIVE.saturating_sub(self.links.len());
        let mut wanted = Vec::new();
        // Both sides dialling at once leaves two connections: the larger key lets the other begin.
        let delay = |peer: PeerKey| if me < peer { 0 } else { self.timing.dial_min_ms };
        // Start at a place of our own in the ring of keys, so that not all choose the same few.
        let ring = members.range(me..).chain(members.range(..me));
        for (peer, (_, state)) in ring.filter(|(peer, _)| missing(peer)) {
            if *state == State::Down || self.demand.contains_key(peer) {
                wanted.push((*peer, delay(*peer)));
            } else if room > 0 {
                room -= 1;
                wanted.push((*peer, delay(*peer)));
            }
        }
        let found = self.discovered.keys().filter(|peer| missing(peer));
        wanted.extend(
            found.filter(|peer| !members.contains_key(peer)).take(room).map(|p| (*p, delay(*p))),
        );
        wanted
    }

    fn addresses_of(
        &self,
        peer: PeerKey,
        members: &BTreeMap<PeerKey, (MemberId, State)>,
    ) -> Vec<SocketAddr> {
        let mut addresses =
            members.get(&peer).map(|(id, _)| id.addresses.clone()).unwrap_or_default();
        for found in self.discovered.get(&peer).into_iter().flatten() {
            if !addresses.contains(found) && addresses.len() < MAX_ADDRESSES {
                addresses.push(*found);
            }
        }
        addresses
    }
}
