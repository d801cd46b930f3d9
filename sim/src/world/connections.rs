//! Dials, connections, and the control messages on them.

use holm_mesh_proto::wire::{Control, Frame};
use holm_mesh_proto::{DialOutcome, Event, Target};

use super::{Due, World, key};
use crate::wire::{
    Bytes, Connection, DIAL_TIMEOUT_US, HANDSHAKE_BYTES, LOST_DIAL_BYTES, MAX_WAITING, RETRY_US,
};

impl World {
    /// QUIC's handshake takes a round trip, the Hellos another; the listener meets the peer when the
    /// control stream reaches it, half a round trip later.
    pub(super) fn dial(&mut self, node: usize, target: Target) {
        let to = match &target {
            Target::Peer(peer) => self.index.get(peer).copied(),
            Target::Seed(seed) => seed.parse().ok().filter(|to| *to < self.sites.len()),
        };
        let life = self.sites[node].life;
        let to = to.filter(|to| self.reach(node, *to));
        let Some(to) = to else {
            self.watch.traffic(node, "dials", LOST_DIAL_BYTES, 3);
            let outcome = DialOutcome::Failed("no answer".to_owned());
            let event = Box::new(Event::DialEnded { target, outcome });
            return self.after(DIAL_TIMEOUT_US, Due::Event { node, life, event });
        };
        let us = (0..2).map(|_| self.flight_us(node, to) + self.flight_us(to, node)).sum();
        self.after(us, Due::Dialled { node, life, target, to });
    }

    pub(super) fn dialled(&mut self, node: usize, target: Target, to: usize) {
        let outcome = if to == node {
            DialOutcome::Myself
        } else if !self.reach(node, to) {
            self.watch.traffic(node, "dials", LOST_DIAL_BYTES, 3);
            DialOutcome::Failed("the handshake broke off".to_owned())
        } else if self.sites[node].active.contains_key(&to)
            && self.sites[to].active.get(&node) == self.sites[node].active.get(&to)
        {
            self.watch.traffic(node, "dials", HANDSHAKE_BYTES, 4);
            self.watch.traffic(to, "dials", HANDSHAKE_BYTES, 4);
            DialOutcome::AlreadyConnected(key(to))
        } else {
            return self.connect(node, to, target);
        };
        self.feed(node, Event::DialEnded { target, outcome });
    }

    fn connect(&mut self, node: usize, to: usize, target: Target) {
        self.watch.traffic(node, "dials", HANDSHAKE_BYTES, 4);
        self.watch.traffic(to, "dials", HANDSHAKE_BYTES, 4);
        let id = self.next_connection;
        self.next_connection += 1;
        let mut connection = Connection::new([node, to]);
        // What one end still holds of an earlier connection gives way.
        if let Some(old) = self.sites[node].active.get(&to).copied() {
            self.drop_side(old, node);
        }
        self.sites[node].active.insert(to, id);
        let hello = self.hello(to, node);
        let flight = self.flight_us(node, to);
        connection.last_arrival_us[0] = self.now_us + flight;
        self.connections.insert(id, connection);
        let life = self.sites[to].life;
        self.after(flight, Due::Accepted { node: to, life, connection: id });
        self.feed(node, Event::Connected { peer: key(to), hello, target: Some(target) });
    }

    pub(super) fn accepted(&mut self, node: usize, life: u32, id: u64) {
        let Some(connection) = self.connections.get(&id) else { return };
        let peer = connection.ends[0];
        if !self.lives(node, life) || !connection.open[1] {
            return;
        }
        if let Some(old) = self.sites[node].active.get(&peer).copied() {
            self.drop_side(old, node);
        }
        self.sites[node].active.insert(peer, id);
        let hello = self.hello(peer, node);
        self.feed(node, Event::Connected { peer: key(peer), hello, target: None });
    }

    pub(super) fn send(&mut self, node: usize, peer: usize, message: &Control) {
        match message {
            Control::Gossip { hint, .. } => self.watch.sent_hint(&hint.version),
            Control::SealedGossip { .. } => self.watch.gossip_sends += 1,
            _ => {}
        }
        let Ok(frame) = message.to_frame() else {
            self.watch.refused_frames += 1;
            return;
        };
        self.watch.isolated(&frame, &self.grants, peer);
        self.send_frame(node, peer, kind(message), frame.into());
    }

    pub(crate) fn send_frame(
        &mut self,
        node: usize,
        peer: usize,
        kind: &'static str,
        frame: Bytes,
    ) {
        let Some(id) = self.sites[node].active.get(&peer).copied() else { return };
        if self.sites[node].byzantine && self.sites[node].captured.len() < 256 {
            self.sites[node].captured.push(frame.clone());
        }
        self.watch.traffic(node, kind, frame.len() as u64, 1);
        let blocked = self.ways.blocked(node, peer);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let side = connection.side_of(node);
        if blocked || !connection.waiting[side].is_empty() {
            if connection.waiting[side].len() >= MAX_WAITING {
                self.watch.dropped_frames += 1;
                return;
            }
            connection.waiting[side].push_back(frame);
            if !connection.retrying[side] {
                connection.retrying[side] = true;
                self.after(RETRY_US, Due::Retry { connection: id, side });
            }
            return;
        }
        self.fly(id, side, frame);
    }

    pub(super) fn retry(&mut self, id: u64, side: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (node, peer) = (connection.ends[side], connection.ends[1 - side]);
        connection.retrying[side] = false;
        if !connection.open[side] || !self.sites[node].up {
            connection.waiting[side].clear();
            return;
        }
        if self.ways.blocked(node, peer) {
            connection.retrying[side] = true;
            return self.after(RETRY_US, Due::Retry { connection: id, side });
        }
        for frame in std::mem::take(&mut connection.waiting[side]) {
            self.fly(id, side, frame);
        }
    }

    fn fly(&mut self, id: u64, side: usize, frame: Bytes) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (node, peer) = (connection.ends[side], connection.ends[1 - side]);
        let at_us = self.now_us + self.flight_us(node, peer);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let at_us = at_us.max(connection.last_arrival_us[side]);
        connection.last_arrival_us[side] = at_us;
        self.queue.push(at_us, Due::Deliver { connection: id, side, frame });
    }

    pub(super) fn deliver(&mut self, id: u64, side: usize, frame: Bytes) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (from, node) = (connection.ends[side], connection.ends[1 - side]);
        if !connection.open[1 - side] || !self.sites[node].up {
            return;
        }
        if self.sites[node].byzantine && self.sites[node].captured.len() < 256 {
            self.sites[node].captured.push(frame.clone());
        }
        let body = frame.get(4..).unwrap_or_default();
        match Control::from_bytes(body) {
            Ok(message) => {
                if let Control::Gossip { hint, .. } = &message {
                    self.watch.hinted(&hint.version, from, node, self.now_us);
                }
                self.feed(node, Event::Received { peer: key(from), message });
            }
            Err(_) => {
                self.watch.refused_frames += 1;
                self.close(id, node);
            }
        }
    }

    /// `node` closes; the other end hears of it if anything reaches it.
    pub(crate) fn close(&mut self, id: u64, node: usize) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (side, peer) =
            (connection.side_of(node), connection.ends[1 - connection.side_of(node)]);
        if connection.open[1 - side] && !self.ways.blocked(node, peer) {
            let at_us = self.now_us + self.flight_us(node, peer);
            let at_us =
                self.connections.get(&id).map_or(at_us, |c| c.last_arrival_us[side].max(at_us));
            self.queue.push(at_us, Due::Closed { connection: id, side: 1 - side });
        }
        self.drop_side(id, node);
    }

    pub(super) fn closed_by_peer(&mut self, id: u64, side: usize) {
        let Some(connection) = self.connections.get(&id) else { return };
        self.drop_side(id, connection.ends[side]);
    }

    /// One end forgets the connection.
    pub(super) fn drop_side(&mut self, id: u64, node: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let side = connection.side_of(node);
        let peer = connection.ends[1 - side];
        if !std::mem::replace(&mut connection.open[side], false) {
            return;
        }
        connection.waiting[side].clear();
        let sessions: Vec<u64> = connection.sessions.iter().copied().collect();
        if connection.open == [false, false] {
            self.connections.remove(&id);
        }
        for session in sessions {
            self.break_talk(session, node);
        }
        if self.sites[node].active.get(&peer) == Some(&id) {
            self.sites[node].active.remove(&peer);
            self.feed(node, Event::Disconnected { peer: key(peer) });
        }
    }

    fn reach(&self, from: usize, to: usize) -> bool {
        let blocked = self.ways.blocked(from, to) || self.ways.blocked(to, from);
        self.sites[to].up && !blocked
    }
}

const fn kind(message: &Control) -> &'static str {
    match message {
        Control::Gossip { .. } | Control::SealedGossip { .. } => "gossip",
        Control::Graft(_) => "graft",
        Control::Have(_) => "have",
        Control::Chains(_) | Control::ChainsWanted(_) | Control::Leases(_) => "leases",
        Control::Ping { .. } | Control::Pong { .. } => "ping",
        Control::Prune => "prune",
        Control::Stored(_) | Control::SealedStored(_) => "stored",
        Control::SvidRefresh(_) => "svid",
        Control::Swim(_) => "swim",
    }
}
