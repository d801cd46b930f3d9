//! Places for what peers ask: a few at once over all of them, fewer of one peer, and so many that may wait.
//! A peer that opens streams and says nothing, or asks without end, takes nothing from the others.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p_identity::PeerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;

/// Peers whose places are kept although they use none.
const MAX_IDLE: usize = 64;

pub(crate) struct Serving {
    all: Arc<Semaphore>,
    peers: HashMap<PeerId, Places>,
    each: usize,
    waiting: usize,
}

/// One peer's.
#[derive(Clone)]
struct Places {
    queue: Arc<Semaphore>,
    work: Arc<Semaphore>,
}

/// A place in a peer's queue. Dropping it gives it back.
pub(crate) struct Waiting {
    all: Arc<Semaphore>,
    work: Arc<Semaphore>,
    queued: OwnedSemaphorePermit,
}

/// A turn. Dropping it lets the next one work.
pub(crate) struct Turn {
    _places: [OwnedSemaphorePermit; 3],
}

impl Serving {
    pub(crate) fn new(limits: &Limits) -> Self {
        let all = Arc::new(Semaphore::new(limits.serving));
        let each = (limits.serving / 4).max(1);
        Self { all, peers: HashMap::new(), each, waiting: limits.waiting }
    }

    /// A place for one more that `peer` asks; `None` if too many of its own wait already.
    pub(crate) fn place(&mut self, peer: PeerId) -> Option<Waiting> {
        if self.peers.len() > MAX_IDLE {
            let most = self.waiting + self.each;
            self.peers.retain(|_, places| places.queue.available_permits() < most);
        }
        let (each, waiting) = (self.each, self.waiting);
        let places = self.peers.entry(peer).or_insert_with(|| Places {
            queue: Arc::new(Semaphore::new(waiting + each)),
            work: Arc::new(Semaphore::new(each)),
        });
        let queued = Arc::clone(&places.queue).try_acquire_owned().ok()?;
        Some(Waiting { all: Arc::clone(&self.all), work: Arc::clone(&places.work), queued })
    }
}

impl Waiting {
    /// Waits for a turn; first within the peer's own, so that what waits holds no place of the others.
    pub(crate) async fn turn(self) -> Option<Turn> {
        let own = self.work.acquire_owned().await.ok()?;
        let common = self.all.acquire_owned().await.ok()?;
        Some(Turn { _places: [self.queued, own, common] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerId {
        let bytes = [&[0x12, 0x20][..], &[number; 32]].concat();
        PeerId::from_bytes(&bytes).expect("a SHA-256 multihash")
    }

    #[tokio::test]
    async fn one_peer_has_a_quarter_of_the_turns_and_a_bounded_queue() {
        let limits = Limits { serving: 8, waiting: 3, ..Limits::default() };
        let mut serving = Serving::new(&limits);
        let (greedy, other) = (peer(1), peer(2));
        let places: Vec<Waiting> = (0..100).filter_map(|_| serving.place(greedy)).collect();
        assert_eq!(places.len(), 2 + 3, "two at work and three that wait");
        let mut turns = Vec::new();
        let mut waiting = Vec::new();
        for place in places {
            let mut turn = Box::pin(place.turn());
            match futures::poll!(&mut turn) {
                std::task::Poll::Ready(turn) => turns.push(turn.expect("open")),
                std::task::Poll::Pending => waiting.push(turn),
            }
        }
        assert_eq!((turns.len(), waiting.len()), (2, 3));
        let place = serving.place(other).expect("has a queue of its own");
        drop(place.turn().await.expect("and turns of its own"));
        turns.pop();
        drop(waiting.remove(0).await.expect("the next of the greedy one"));
        drop((turns, waiting));
        for number in 0..=MAX_IDLE {
            serving.place(peer(10 + u8::try_from(number).expect("few")));
        }
        assert!(serving.peers.len() <= MAX_IDLE + 1, "who uses nothing is forgotten");
    }
}
