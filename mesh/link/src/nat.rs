//! Whether this node is reached from outside, and by whom that was found out.
//!
//! Peers of other sites dial back, each from a port that this node never sent to; their answers are
//! counted here. Judged without I/O: time comes in as an argument.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use holm_mesh_proto::wire::MAX_ADDRESSES;
use libp2p_identity::PeerId;

/// Peers that are asked; a few agree or disagree as well as many.
const ASKED: usize = 5;
/// How long an answer counts.
const VALID_MS: u64 = 20 * 60_000;
/// When a peer that answered is asked again.
const AGAIN_MS: u64 = 5 * 60_000;
/// When a peer is asked again that could not say.
const RETRY_MS: u64 = 30_000;
/// Peers whose sight of this node is kept.
const MAX_SEEN_BY: usize = 64;

/// Whether peers reach this node without its having sent to them first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    /// Most that dialled back did not get through.
    BehindNat,
    /// At least as many got through as not.
    Reachable,
    /// Nobody has tried yet.
    #[default]
    Unknown,
}

impl Reach {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BehindNat => "behind NAT",
            Self::Reachable => "reachable",
            Self::Unknown => "unknown",
        }
    }
}

/// The answers of peers that dialled back.
#[derive(Debug, Default)]
pub(crate) struct Answers(HashMap<PeerId, Answer>);

#[derive(Debug, Clone, Copy)]
struct Answer {
    at_ms: u64,
    /// `None`: being asked, or it could not say.
    reached: Option<bool>,
}

impl Answers {
    pub(crate) fn verdict(&self, mono_ms: u64) -> Reach {
        let valid = self.0.values().filter(|a| mono_ms.saturating_sub(a.at_ms) < VALID_MS);
        let (yes, no) = valid
            .filter_map(|a| a.reached)
            .fold((0, 0), |(yes, no), reached| if reached { (yes + 1, no) } else { (yes, no + 1) });
        match (yes, no) {
            (0, 0) => Reach::Unknown,
            (yes, no) if yes >= no => Reach::Reachable,
            _ => Reach::BehindNat,
        }
    }

    /// Who of `candidates` is to be asked now; they count as asked from here on.
    pub(crate) fn ask(
        &mut self,
        candidates: impl IntoIterator<Item = PeerId>,
        mono_ms: u64,
    ) -> Vec<PeerId> {
        self.0.retain(|_, a| mono_ms.saturating_sub(a.at_ms) < VALID_MS);
        let mut chosen = Vec::new();
        for peer in candidates {
            let due = match self.0.get(&peer) {
                None => self.0.len() < ASKED,
                Some(answer) => {
                    let wait = if answer.reached.is_some() { AGAIN_MS } else { RETRY_MS };
                    mono_ms.saturating_sub(answer.at_ms) >= wait
                }
            };
            if due {
                let reached = self.0.get(&peer).and_then(|answer| answer.reached);
                self.0.insert(peer, Answer { at_ms: mono_ms, reached });
                chosen.push(peer);
            }
        }
        chosen
    }

    /// What `peer` found; `None` if it could not say, which makes room for another.
    pub(crate) fn note(&mut self, peer: PeerId, reached: Option<bool>, mono_ms: u64) {
        if reached.is_some() || self.0.contains_key(&peer) {
            self.0.insert(peer, Answer { at_ms: mono_ms, reached });
        }
    }

    /// This node's address changed: what was found out is about another place.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Under which address each directly connected peer sees this node.
#[derive(Debug, Default)]
pub(crate) struct SeenBy(BTreeMap<PeerId, SocketAddr>);

impl SeenBy {
    /// Whether `address` is one that nobody saw before.
    pub(crate) fn note(&mut self, peer: PeerId, address: SocketAddr) -> bool {
        let new = !self.0.values().any(|seen| *seen == address);
        if self.0.len() < MAX_SEEN_BY || self.0.contains_key(&peer) {
            self.0.insert(peer, address);
        }
        new
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.0.remove(peer);
    }

    /// Each address once, those that most see first; at most eight.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let mut counts: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for address in self.0.values() {
            *counts.entry(*address).or_default() += 1;
        }
        let mut all: Vec<(SocketAddr, usize)> = counts.into_iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all.into_iter().map(|(address, _)| address).take(MAX_ADDRESSES).collect()
    }
}

/// Those of `relays` that are tried first for `target`: nearest by XOR of the keys, which are hashes.
/// Every node comes to the same order without a word, so the target keeps its places where the others
/// look first.
pub(crate) fn in_order<T>(target: &PeerId, mut relays: Vec<(PeerId, T)>) -> Vec<(PeerId, T)> {
    let target = target.to_bytes();
    relays.sort_by_cached_key(|(relay, _)| {
        let pairs = relay.to_bytes().into_iter().zip(&target);
        pairs.map(|(a, b)| a ^ b).collect::<Vec<u8>>()
    });
    relays
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerId {
        let mut bytes = vec![0x12, 0x20];
        bytes.extend([number; 32]);
        PeerId::from_bytes(&bytes).expect("a SHA-256 multihash")
    }

    #[test]
    fn most_of_those_who_dialled_back_decide_and_answers_age() {
        let mut answers = Answers::default();
        assert_eq!(answers.verdict(0), Reach::Unknown);
        assert_eq!(answers.ask([peer(1), peer(2), peer(3)], 0).len(), 3);
        assert_eq!(answers.verdict(0), Reach::Unknown, "asked is not answered");
        answers.note(peer(1), Some(false), 10);
        assert_eq!(answers.verdict(10), Reach::BehindNat);
        answers.note(peer(2), Some(true), 10);
        assert_eq!(answers.verdict(10), Reach::Reachable);
        answers.note(peer(3), Some(false), 10);
        assert_eq!(answers.verdict(10), Reach::BehindNat);
        assert_eq!(answers.verdict(10 + VALID_MS), Reach::Unknown);
        answers.forget();
        assert_eq!(answers.verdict(10), Reach::Unknown);
    }

    #[test]
    fn few_are_asked_and_none_of_them_too_often() {
        let mut answers = Answers::default();
        let all: Vec<PeerId> = (0..9).map(peer).collect();
        assert_eq!(answers.ask(all.clone(), 0).len(), ASKED);
        assert!(answers.ask(all.clone(), 1).is_empty());
        let first = peer(0);
        answers.note(first, Some(true), 1);
        answers.note(peer(1), None, 1);
        assert!(answers.ask(all.clone(), RETRY_MS).iter().all(|asked| *asked != first));
        assert!(answers.ask(all, 1 + AGAIN_MS).contains(&first));
        answers.note(peer(200), None, 2);
        assert!(!answers.0.contains_key(&peer(200)), "whoever was not asked has no place");
    }

    #[test]
    fn the_address_that_most_see_comes_first() {
        let mut seen = SeenBy::default();
        let at = |text: &str| -> SocketAddr { text.parse().expect("valid") };
        assert!(seen.note(peer(1), at("192.0.2.1:1")));
        assert!(seen.note(peer(2), at("192.0.2.2:2")));
        assert!(!seen.note(peer(3), at("192.0.2.2:2")));
        assert_eq!(seen.addresses(), [at("192.0.2.2:2"), at("192.0.2.1:1")]);
        seen.forget(&peer(1));
        assert_eq!(seen.addresses(), [at("192.0.2.2:2")]);
        for n in 0..=u8::MAX {
            assert!(seen.note(peer(n), at(&format!("192.0.2.9:{}", u16::from(n) + 1))));
        }
        assert_eq!(seen.0.len(), MAX_SEEN_BY);
        assert_eq!(seen.addresses().len(), MAX_ADDRESSES);
    }

    #[test]
    fn everyone_comes_to_the_same_order_of_relays() {
        let relays: Vec<(PeerId, ())> = (1..20).map(|n| (peer(n), ())).collect();
        let mut turned = relays.clone();
        turned.reverse();
        let order = in_order(&peer(5), relays);
        assert_eq!(order, in_order(&peer(5), turned));
        assert_eq!(order[0].0, peer(5));
        assert_ne!(order, in_order(&peer(6), order.clone()));
    }
}
