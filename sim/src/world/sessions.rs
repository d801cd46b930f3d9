//! Reconciliations: both sides are real sessions, and their frames fly like everything else.

use holm_mesh_proto::sync::{Session, SyncPeer};
use holm_mesh_proto::wire::{Frame, Sync};
use holm_mesh_proto::{Event, PeerKey, Scope, SyncReport};
use holm_model::TenantId;
use rand::RngExt;

use super::{Due, World, key, site_id};
use crate::wire::SESSION_TIMEOUT_US;

/// One reconciliation under way.
pub(super) struct Talk {
    connection: u64,
    ends: [usize; 2],
    lives: [u32; 2],
    ticket: u64,
    sides: [Option<Session>; 2],
    bytes: [u64; 2],
    /// Times that the word went from one side to the other.
    flights: u64,
    /// Flights that carried documents, and the number of the last of them.
    transfers: u64,
    last_transfer: u64,
    heard_us: u64,
    last_arrival_us: [u64; 2],
}

impl World {
    pub(super) fn begin_talk(
        &mut self,
        node: usize,
        ticket: u64,
        peer: PeerKey,
        tenant: TenantId,
        scope: Scope,
    ) {
        let found = self.index.get(&peer).copied();
        let found = found.and_then(|peer| Some((peer, *self.sites[node].active.get(&peer)?)));
        let Some((peer, connection)) = found else {
            return self.end_talk(node, ticket, Err("it is not connected".to_owned()));
        };
        let site = &self.sites[node];
        site.store.set_now(self.now_us);
        let who = SyncPeer { site: site_id(peer), name: format!("site-{peer}") };
        let session = match Session::initiate(who, tenant, scope, &site.store) {
            Ok(session) => session,
            Err(error) => return self.end_talk(node, ticket, Err(error.to_string())),
        };
        let id = self.next_talk;
        self.next_talk += 1;
        let me = SyncPeer { site: site_id(node), name: format!("site-{node}") };
        let talk = Talk {
            connection,
            ends: [node, peer],
            lives: [self.sites[node].life, self.sites[peer].life],
            ticket,
            sides: [Some(session), Some(Session::respond(me))],
            bytes: [0; 2],
            flights: 0,
            transfers: 0,
            last_transfer: 0,
            heard_us: self.now_us,
            last_arrival_us: [0; 2],
        };
        self.talks.insert(id, talk);
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.sessions.insert(id);
        }
        self.after(SESSION_TIMEOUT_US, Due::StreamCheck { session: id });
        self.pump(id, 0);
    }

    /// Sends what one side has to say; ends the reconciliation when it has said all.
    fn pump(&mut self, id: u64, side: usize) {
        let Some(mut talk) = self.talks.remove(&id) else { return };
        let (node, peer) = (talk.ends[side], talk.ends[1 - side]);
        let mut frames = Vec::new();
        let (mut done, mut carries) = (false, false);
        if let Some(session) = &mut talk.sides[side] {
            while let Some(message) = session.poll_transmit(&self.sites[node].store) {
                carries |= matches!(message, Sync::Chunk(_));
                match message.to_frame() {
                    Ok(frame) => frames.push(frame),
                    Err(_) => self.watch.refused_frames += 1,
                }
            }
            done = session.is_done();
        }
        if self.sites[node].byzantine {
            self.garble(&mut frames);
        }
        if !frames.is_empty() {
            let bytes: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
            frames.iter().for_each(|frame| self.watch.isolated(frame, &self.grants, peer));
            self.watch.traffic(node, "sync", bytes, 1 + bytes / 1_200);
            talk.bytes[side] += bytes;
            talk.flights += 1;
            if carries {
                talk.transfers += 1;
                talk.last_transfer = talk.flights;
            }
            self.talks.insert(id, talk);
            self.fly_stream(id, side, frames);
        } else {
            self.talks.insert(id, talk);
        }
        if done {
            self.finish_side(id, side);
        }
    }

    fn fly_stream(&mut self, id: u64, side: usize, frames: Vec<Vec<u8>>) {
        let Some(talk) = self.talks.get(&id) else { return };
        let (node, peer) = (talk.ends[side], talk.ends[1 - side]);
        // The stream's protocol is named with the first word, not before it: no flight of its own.
        let at_us = self.now_us + self.flight_us(node, peer);
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let at_us = at_us.max(talk.last_arrival_us[side]);
        talk.last_arrival_us[side] = at_us;
        self.queue.push(at_us, Due::Stream { session: id, side, frames });
    }

    pub(super) fn stream(&mut self, id: u64, side: usize, frames: Vec<Vec<u8>>) {
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let (from, node) = (talk.ends[side], talk.ends[1 - side]);
        if !self.sites[node].up || self.sites[node].life != talk.lives[1 - side] {
            return;
        }
        if self.ways.blocked(from, node) {
            self.queue.push(
                self.now_us + crate::wire::RETRY_US,
                Due::Stream { session: id, side, frames },
            );
            return;
        }
        talk.heard_us = self.now_us;
        let store = &self.sites[node].store;
        store.set_now(self.now_us);
        let Some(session) = &mut talk.sides[1 - side] else { return };
        let taken = frames.iter().try_for_each(|frame| {
            let message = Sync::from_bytes(frame.get(4..).unwrap_or_default());
            let message = message.map_err(|error| error.to_string())?;
            session.handle(message, store).map_err(|error| error.to_string())
        });
        let learned = session.take_learned();
        for version in learned {
            self.feed(node, Event::Learned { version, from: key(from) });
        }
        match taken {
            Ok(()) => self.pump(id, 1 - side),
            Err(_) => {
                self.watch.broken_sessions += 1;
                self.abort(id, "the peer broke the protocol");
            }
        }
    }

    /// Both sides give up: a reset reaches the other at once, which only shortens the failure.
    fn abort(&mut self, id: u64, reason: &str) {
        let Some(talk) = self.talks.remove(&id) else { return };
        if let Some(connection) = self.connections.get_mut(&talk.connection) {
            connection.sessions.remove(&id);
        }
        let node = talk.ends[0];
        if talk.sides[0].is_some() && self.lives(node, talk.lives[0]) {
            self.end_talk(node, talk.ticket, Err(reason.to_owned()));
        }
    }

    fn finish_side(&mut self, id: u64, side: usize) {
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let Some(session) = talk.sides[side].take() else { return };
        if side == 0 {
            let report = SyncReport {
                bytes_out: talk.bytes[0],
                bytes_in: talk.bytes[1],
                ..session.report().clone()
            };
            let (node, ticket) = (talk.ends[0], talk.ticket);
            let beyond = talk.last_transfer - talk.transfers;
            self.watch.session(&report, talk.flights, beyond);
            self.end_talk(node, ticket, Ok(report));
        } else {
            // The responder ends last, whether by the initiator's end or by refusing.
            let refused = talk.sides[0].is_some();
            if !refused {
                self.abort(id, "");
            }
        }
    }

    fn end_talk(&mut self, node: usize, ticket: u64, result: Result<SyncReport, String>) {
        let life = self.sites[node].life;
        let event = Box::new(Event::SyncFinished { ticket, result });
        self.after(0, Due::Event { node, life, event });
    }

    /// `node`'s end of the connection is gone.
    pub(super) fn break_talk(&mut self, id: u64, node: usize) {
        let Some(talk) = self.talks.get(&id) else { return };
        if talk.ends[0] == node {
            self.abort(id, "the connection broke");
        }
    }

    pub(super) fn check_talk(&mut self, id: u64) {
        let Some(talk) = self.talks.get(&id) else { return };
        let quiet_us = self.now_us - talk.heard_us;
        if quiet_us >= SESSION_TIMEOUT_US {
            self.abort(id, "the peer says nothing");
        } else {
            self.after(SESSION_TIMEOUT_US - quiet_us, Due::StreamCheck { session: id });
        }
    }

    /// What a byzantine node does to a stream now and then.
    fn garble(&mut self, frames: &mut Vec<Vec<u8>>) {
        for frame in frames.iter_mut() {
            if self.chance.malice.random_range(0..4) == 0 && !frame.is_empty() {
                let at = self.chance.malice.random_range(0..frame.len());
                frame[at] ^= 1 << self.chance.malice.random_range(0..8);
            }
        }
        if self.chance.malice.random_range(0..8) == 0 {
            frames.clear();
        }
    }
}
