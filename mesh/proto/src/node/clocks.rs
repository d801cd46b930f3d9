//! What this node knows of clocks: its own, and those of the peers that it is connected with.

use holm_model::Millis;

use super::MeshNode;
use super::links::Link;
use crate::clock::{own_ahead_ms, warnings};
use crate::clock_bounds::Wall;
use crate::{ClockBounds, ClockStamp, Now, Order, PeerKey, Position, Taken, order};

impl MeshNode {
    /// What to say about clocks that are off: one line a peer, or one about this node's own when
    /// nearly all peers differ from it to the same side.
    pub fn clock_warnings(&self) -> Vec<String> {
        let Some(now) = self.latest else { return Vec::new() };
        let named = |link: &Link| format!("{}/{}", link.hello.site, link.hello.node);
        warnings(self.links.values().map(|link| (named(link), &link.clock)), now)
    }

    /// How far this node's clock is ahead of those of most nodes, in milliseconds, negative if it is behind; 0 if it
    /// is less than two seconds off. `None` if fewer than two peers can be compared.
    pub fn own_clock_ahead_ms(&self) -> Option<i64> {
        own_ahead_ms(self.links.values().map(|link| &link.clock), self.latest?)
    }

    /// What is certain about the clock of a connected peer.
    pub fn clock_of(&self, peer: PeerKey) -> Option<&ClockBounds> {
        self.links.get(&peer).map(|link| link.clock.bounds())
    }

    /// Orders two moments of two nodes, each by the node's own wall clock, in nanoseconds since 1970.
    ///
    /// [`Order::Concurrent`] when it cannot be told: the bounds overlap, a node is not connected, or a
    /// moment lies before the connection or before the wall clock was last set. What is known of cause
    /// and effect goes before this.
    pub fn order(&self, a: (PeerKey, i64), b: (PeerKey, i64)) -> Order {
        match (self.moment(a), self.moment(b)) {
            // One clock that was not set in between needs no bounds.
            (Some(_), Some(_)) if a.0 == b.0 => order((a.1, a.1), (b.1, b.1)),
            (Some(a), Some(b)) => order(a, b),
            _ => Order::Concurrent,
        }
    }

    /// By our raw clock.
    fn moment(&self, (peer, wall_ns): (PeerKey, i64)) -> Option<(i64, i64)> {
        let now = self.latest?.clock?;
        if peer == self.membership.me().peer {
            return self.wall?.moment(wall_ns, (0, 0), 0, now.raw_ns());
        }
        self.clock_of(peer)?.moment(wall_ns, now)
    }

    /// Every event brings the time.
    pub(super) fn look_at_clock(&mut self, now: Now) {
        self.latest = Some(now);
        let Some(clock) = now.clock else { return };
        match &mut self.wall {
            Some(wall) => {
                if wall.now(clock.wall_ahead_ns(), clock.raw_ns()) {
                    self.counters.count("own_clock_steps");
                }
            }
            None => self.wall = Some(Wall::new(clock.wall_ahead_ns(), clock.raw_ns())),
        }
    }

    pub(super) fn pinged(&mut self, peer: PeerKey, clock: Option<ClockStamp>, now: Now) {
        let link = self.links.get_mut(&peer);
        let taken = link.zip(clock).and_then(|(link, clock)| link.clock.asked(clock, now));
        self.count_stamps(taken);
    }

    pub(super) fn pong(
        &mut self,
        peer: PeerKey,
        (sequence, theirs, clocks): (u64, Millis, Option<(ClockStamp, ClockStamp)>),
        position: Option<Position>,
        now: Now,
    ) {
        let Some(link) = self.links.get_mut(&peer) else { return };
        let taken = link.clock.answered(sequence, theirs, clocks, now);
        if let Some(rtt_ms) = link.clock.rtt_ms() {
            self.overlay.measured(peer, rtt_ms, position, &mut self.rng);
        }
        self.count_stamps(taken);
    }

    fn count_stamps(&mut self, taken: Option<Taken>) {
        match taken {
            Some(Taken::Cut) => self.counters.count("clock_cuts"),
            Some(Taken::Refused) => self.counters.count("clock_stamps_refused"),
            Some(Taken::Fits) | None => {}
        }
    }
}
