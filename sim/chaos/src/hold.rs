//! Packets that are held until their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Most packets that wait to be taken over; as many are held.
pub(crate) const ROOM: usize = 16_384;

/// A packet, when it is due, and its number: of those due at once the first that came goes first.
type Held<T> = Reverse<(Instant, u64, Packet<T>)>;

/// What is held, which has no order of its own.
struct Packet<T>(T);

impl<T> PartialEq for Packet<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Packet<T> {}

impl<T> PartialOrd for Packet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Packet<T> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Packets that come with the time when they are due, given out when they are.
pub(crate) struct Hold<T> {
    packets: mpsc::Receiver<(Instant, T)>,
    held: BinaryHeap<Held<T>>,
    number: u64,
    ended: bool,
}

impl<T> Hold<T> {
    pub(crate) fn new(packets: mpsc::Receiver<(Instant, T)>) -> Self {
        Self { packets, held: BinaryHeap::new(), number: 0, ended: false }
    }

    /// The next packet, when it is due; `None` if nobody sends any more and all were given out.
    pub(crate) async fn next(&mut self) -> Option<T> {
        loop {
            let due = self.held.peek().map(|Reverse((due, ..))| *due);
            if due.is_none() && self.ended {
                return None;
            }
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    return self.held.pop().map(|Reverse((.., Packet(packet)))| packet);
                }
                packet = self.packets.recv(), if !self.ended && self.held.len() < ROOM => match packet {
                    Some((due, packet)) => {
                        self.held.push(Reverse((due, self.number, Packet(packet))));
                        self.number += 1;
                    }
                    None => self.ended = true,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn they_come_when_they_are_due_and_in_order() {
        let (send, packets) = mpsc::channel(8);
        let begun = Instant::now();
        let due = [30, 10, 20, 20].map(Duration::from_millis);
        for (name, due) in due.iter().enumerate() {
            send.send((begun + *due, name)).await.expect("room");
        }
        drop(send);
        let mut seen = Vec::new();
        let mut early = false;
        let mut held = Hold::new(packets);
        while let Some(name) = held.next().await {
            seen.push(name);
            early |= begun.elapsed() < due[name];
        }
        assert_eq!(seen, [1, 2, 3, 0]);
        assert!(!early);
    }
}
