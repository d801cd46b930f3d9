//! Statistics over many traces of one target, round by round: what a live picture shows. No I/O.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::engine::{Hop, Interface, Multipath, ReplyKind};
use crate::wire::{InterfaceInfo, Label};

/// Most rounds of which single round trips are kept.
pub const SPARK: usize = 60;
/// Most interfaces of one hop; more are counted and left out.
const MAX_INTERFACES: usize = 64;

/// Round-trip times over rounds, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Times {
    /// Of the latest round that was answered.
    pub last_ms: f64,
    /// The shortest.
    pub best_ms: f64,
    /// The longest.
    pub worst_ms: f64,
    /// Round trips that were measured.
    pub count: u64,
    sum_ms: f64,
    jitter_sum_ms: f64,
    jitter_count: u64,
    recent: VecDeque<Option<f64>>,
}

impl Times {
    fn answered(&mut self, last: f64, best: f64, worst: f64, count: u32) {
        if self.count > 0 {
            self.jitter_sum_ms += (last - self.last_ms).abs();
            self.jitter_count += 1;
        }
        self.best_ms = if self.count == 0 { best } else { self.best_ms.min(best) };
        self.worst_ms = self.worst_ms.max(worst);
        self.last_ms = last;
        self.sum_ms += last * f64::from(count);
        self.count += u64::from(count);
        self.push(Some(last));
    }

    fn push(&mut self, sample: Option<f64>) {
        if self.recent.len() >= SPARK {
            self.recent.pop_front();
        }
        self.recent.push_back(sample);
    }

    /// Their mean; `None` before the first.
    pub fn avg_ms(&self) -> Option<f64> {
        (self.count > 0)
            .then(|| (self.sum_ms / self.count as f64).clamp(self.best_ms, self.worst_ms))
    }

    /// The mean difference between one round and the next that was answered; `None` before the second.
    pub fn jitter_ms(&self) -> Option<f64> {
        (self.jitter_count > 0).then(|| self.jitter_sum_ms / self.jitter_count as f64)
    }

    /// The latest rounds, the newest last; `None` was not answered.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = Option<f64>> + ExactSizeIterator {
        self.recent.iter().copied()
    }
}

/// One interface of a hop over all rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct InterfaceRounds {
    /// The address that it answers from.
    pub address: IpAddr,
    /// What its latest answer means.
    pub kind: ReplyKind,
    /// Its round trips.
    pub times: Times,
    /// The label stack of the latest answer that had one (RFC 4950).
    pub labels: Vec<Label>,
    /// What it says of itself (RFC 5837).
    pub interface: Option<InterfaceInfo>,
    /// Probes were rewritten before they came here (a NAT).
    pub rewritten: bool,
    /// Rounds in which it answered.
    pub seen: u64,
    /// The latest of these, from 1.
    pub last_round: u64,
}

/// One hop over all rounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HopRounds {
    /// Its TTL.
    pub ttl: u8,
    /// What answered, in the order of the first answers.
    pub interfaces: Vec<InterfaceRounds>,
    /// Probes that were to end here.
    pub sent: u64,
    /// Of them, those lost on the way here or back: nothing further on answered their flow either.
    pub forwarding: u64,
    /// Of them, those that the hop did not answer, though it forwards their flow.
    pub terminal: u64,
    /// Packets of one flow took several ways here.
    pub per_packet: bool,
    /// It limits its replies.
    pub rate_limited: bool,
    /// Its links to the next hop are meshed or uneven.
    pub meshed: bool,
    /// Interfaces beyond the most that are kept, as often as they answered.
    pub too_wide: u64,
}

impl HopRounds {
    /// Share of the probes that was lost on the way; `None` before the first.
    pub fn forwarding_loss(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.forwarding as f64 / self.sent as f64)
    }

    /// Share of the probes that the hop itself left without an answer; `None` before the first.
    pub fn silence(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.terminal as f64 / self.sent as f64)
    }

    fn take(&mut self, hop: &Hop, round: u64) {
        self.sent += u64::from(hop.loss.sent);
        self.forwarding += u64::from(hop.loss.forwarding);
        self.terminal += u64::from(hop.loss.terminal);
        self.per_packet |= hop.per_packet;
        self.rate_limited |= hop.rate_limited;
        self.meshed |= hop.meshed;
        for interface in &hop.interfaces {
            self.answered(interface, round);
        }
        // One flow asked and nobody answered: a gap for each, as it is not known whose turn it was.
        if hop.interfaces.is_empty() && hop.loss.lost > 0 {
            for known in &mut self.interfaces {
                known.times.push(None);
            }
        }
    }

    fn answered(&mut self, new: &Interface, round: u64) {
        let index = self.interfaces.iter().position(|known| known.address == new.address);
        let index = match index {
            Some(index) => index,
            None if self.interfaces.len() >= MAX_INTERFACES => {
                self.too_wide += 1;
                return;
            }
            None => {
                self.interfaces.push(InterfaceRounds {
                    address: new.address,
                    kind: new.kind,
                    times: Times::default(),
                    labels: Vec::new(),
                    interface: None,
                    rewritten: false,
                    seen: 0,
                    last_round: 0,
                });
                self.interfaces.len() - 1
            }
        };
        let known = &mut self.interfaces[index];
        known.kind = new.kind;
        let rtt = new.rtt;
        known.times.answered(rtt.avg_ms, rtt.min_ms, rtt.max_ms, rtt.count);
        if !new.labels.is_empty() {
            known.labels.clone_from(&new.labels);
        }
        if new.interface.is_some() {
            known.interface.clone_from(&new.interface);
        }
        known.rewritten |= new.rewritten;
        known.seen += 1;
        known.last_round = round;
    }
}

/// All rounds of one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounds {
    /// Where the probes go.
    pub target: IpAddr,
    /// Rounds that are over.
    pub rounds: u64,
    /// Of them, those that the target answered.
    pub reached: u64,
    /// Probes that were sent.
    pub probes: u64,
    /// The target's own round trips.
    pub times: Times,
    /// The hops, by TTL from 1.
    pub hops: Vec<HopRounds>,
    /// The latest round that looked for all ways.
    pub whole: Option<Multipath>,
}

impl Rounds {
    /// Before the first round.
    pub fn new(target: IpAddr) -> Self {
        Self {
            target,
            rounds: 0,
            reached: 0,
            probes: 0,
            times: Times::default(),
            hops: Vec::new(),
            whole: None,
        }
    }

    /// Takes a round that is over. One that looked for all ways (`whole`) also says where the ways end:
    /// hops beyond it are forgotten.
    pub fn take(&mut self, result: Multipath, whole: bool) {
        self.rounds += 1;
        self.probes += u64::from(result.probes);
        match result.rtt {
            Some(rtt) => {
                self.reached += 1;
                self.times.answered(rtt.avg_ms, rtt.min_ms, rtt.max_ms, rtt.count);
            }
            None => self.times.push(None),
        }
        let distance = self.whole.as_ref().and_then(distance).filter(|_| !whole);
        for hop in &result.hops {
            let overshot = distance.filter(|at| hop.ttl > *at && is_the_target(hop));
            let ttl = match overshot {
                // The probe that was to end at the target was lost, and a later one got there.
                Some(at) if silent_between(&result, at, hop.ttl) => at,
                _ => hop.ttl,
            };
            let round = self.rounds;
            self.hop_mut(ttl).take(hop, round);
        }
        if whole {
            if result.reached() {
                self.hops.truncate(result.hops.len());
            }
            self.whole = Some(result);
        } else if let Some(at) = distance.filter(|_| result.reached()) {
            self.hops.truncate(self.hops.len().min(usize::from(at).max(result.hops.len())));
        }
    }

    fn hop_mut(&mut self, ttl: u8) -> &mut HopRounds {
        let index = usize::from(ttl.max(1)) - 1;
        while self.hops.len() <= index {
            let ttl = u8::try_from(self.hops.len() + 1).unwrap_or(u8::MAX);
            self.hops.push(HopRounds { ttl, ..HopRounds::default() });
        }
        &mut self.hops[index]
    }

    /// Share of the rounds that the target did not answer; `None` before the first.
    pub fn target_loss(&self) -> Option<f64> {
        (self.rounds > 0).then(|| (self.rounds - self.reached) as f64 / self.rounds as f64)
    }
}

/// The TTL at which the target answered first.
fn distance(result: &Multipath) -> Option<u8> {
    result.hops.iter().find(|hop| is_the_target(hop)).map(|hop| hop.ttl)
}

fn is_the_target(hop: &Hop) -> bool {
    hop.interfaces.iter().any(|interface| interface.kind == ReplyKind::Reached)
}

fn silent_between(result: &Multipath, from: u8, to: u8) -> bool {
    let mut between = result.hops.iter().filter(|hop| (from..to).contains(&hop.ttl));
    between.all(|hop| hop.interfaces.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::{Algorithm, HopLoss, Outcome, Rtt};

    fn hop(ttl: u8, answers: &[(u8, f64)], loss: HopLoss, last: bool) -> Hop {
        let interface = |&(host, ms): &(u8, f64)| Interface {
            address: IpAddr::from([10, 0, ttl, host]),
            kind: if last { ReplyKind::Reached } else { ReplyKind::Exceeded },
            rtt: Rtt { min_ms: ms, avg_ms: ms, max_ms: ms, count: 1 },
            labels: Vec::new(),
            interface: None,
            rewritten: false,
            system: None,
            place: None,
            flows: vec![0],
        };
        Hop {
            ttl,
            interfaces: answers.iter().map(interface).collect(),
            silent_flows: 0,
            loss,
            per_packet: false,
            rate_limited: false,
            meshed: false,
            miss: 0.0,
            aliases: Vec::new(),
        }
    }

    fn sent(sent: u32) -> HopLoss {
        HopLoss { sent, ..HopLoss::default() }
    }

    fn round(hops: Vec<Hop>) -> Multipath {
        let rtt = hops.last().filter(|hop| is_the_target(hop)).map(|hop| hop.interfaces[0].rtt);
        Multipath {
            target: IpAddr::from([10, 0, 9, 9]),
            outcome: if rtt.is_some() { Outcome::Reached } else { Outcome::Silent },
            algorithm: Algorithm::Single,
            links: Vec::new(),
            flows: Vec::new(),
            probes: 3,
            duplicates: 0,
            late: 0,
            epsilon: 0.05,
            failure_bound: None,
            looped: false,
            rtt,
            hops,
        }
    }

    #[test]
    fn rounds_add_up_interface_by_interface() {
        let mut rounds = Rounds::new(IpAddr::from([10, 0, 9, 9]));
        let both = vec![hop(1, &[(1, 1.0)], sent(1), false), hop(2, &[(1, 5.0)], sent(1), true)];
        rounds.take(round(both), true);
        let other = vec![hop(1, &[(2, 3.0)], sent(1), false), hop(2, &[(1, 9.0)], sent(1), true)];
        rounds.take(round(other), false);
        let lost = HopLoss { sent: 1, lost: 1, terminal: 1, forwarding: 0 };
        rounds
            .take(round(vec![hop(1, &[], lost, false), hop(2, &[(1, 6.0)], sent(1), true)]), false);
        let first = &rounds.hops[0];
        assert_eq!((first.interfaces.len(), first.sent, first.terminal), (2, 3, 1));
        assert_eq!((first.silence(), first.forwarding_loss()), (Some(1.0 / 3.0), Some(0.0)));
        let times = &rounds.times;
        assert_eq!((times.best_ms, times.worst_ms, times.last_ms), (5.0, 9.0, 6.0));
        assert_eq!((times.avg_ms(), times.jitter_ms()), (Some(20.0 / 3.0), Some(3.5)));
        assert_eq!((rounds.rounds, rounds.target_loss()), (3, Some(0.0)));
    }

    #[test]
    fn a_lost_probe_to_the_target_makes_no_hop_behind_it() {
        let mut rounds = Rounds::new(IpAddr::from([10, 0, 9, 9]));
        let whole = vec![hop(1, &[(1, 1.0)], sent(1), false), hop(2, &[(1, 5.0)], sent(1), true)];
        rounds.take(round(whole.clone()), true);
        let lost = HopLoss { sent: 1, lost: 1, terminal: 1, forwarding: 0 };
        let overshot = vec![
            hop(1, &[(1, 1.0)], sent(1), false),
            hop(2, &[], lost, false),
            hop(3, &[(1, 5.0)], sent(1), true),
        ];
        rounds.take(round(overshot.clone()), false);
        assert_eq!((rounds.hops.len(), rounds.hops[1].sent, rounds.reached), (2, 3, 2));
        // The way became longer: a whole look says so.
        let longer = vec![
            hop(1, &[(1, 1.0)], sent(1), false),
            hop(2, &[(7, 2.0)], sent(1), false),
            hop(3, &[(1, 5.0)], sent(1), true),
        ];
        rounds.take(round(longer), true);
        assert_eq!(rounds.hops.len(), 3);
        rounds.take(round(whole), true);
        assert_eq!(rounds.hops.len(), 2);
    }

    proptest! {
        #[test]
        fn figures_are_of_what_was_measured(
            rounds in prop::collection::vec((prop::collection::vec((1_u8..90, 0.01_f64..500.0), 0..4), any::<bool>()), 1..90),
        ) {
            let mut sum = Rounds::new(IpAddr::from([10, 0, 9, 9]));
            let mut samples: std::collections::BTreeMap<u8, Vec<f64>> = Default::default();
            let mut reached = 0;
            for (answers, last) in &rounds {
                let lost = u32::from(answers.is_empty());
                let loss = HopLoss { sent: 4, lost, terminal: 0, forwarding: lost };
                let mut once: Vec<(u8, f64)> = Vec::new();
                for answer in answers {
                    if once.iter().all(|(host, _)| *host != answer.0) { once.push(*answer); }
                }
                for (host, ms) in &once { samples.entry(*host).or_default().push(*ms); }
                reached += u64::from(*last && !once.is_empty());
                sum.take(round(vec![hop(1, &once, loss, *last)]), false);
            }
            prop_assert_eq!(sum.rounds, rounds.len() as u64);
            prop_assert_eq!(sum.reached, reached);
            prop_assert!(sum.times.recent().len() <= SPARK);
            let hop = &sum.hops[0];
            prop_assert_eq!(hop.sent, 4 * rounds.len() as u64);
            prop_assert!(hop.forwarding + hop.terminal <= hop.sent);
            let mut known = 0;
            for interface in &hop.interfaces {
                let IpAddr::V4(address) = interface.address else { unreachable!("made above") };
                let all = &samples[&address.octets()[3]];
                known += 1;
                let times = &interface.times;
                let (least, most) = all.iter().fold((f64::MAX, 0.0_f64), |(a, b), ms| (a.min(*ms), b.max(*ms)));
                prop_assert_eq!((times.best_ms, times.worst_ms, times.count), (least, most, all.len() as u64));
                prop_assert_eq!(times.last_ms, all[all.len() - 1]);
                let avg = times.avg_ms().expect("measured");
                prop_assert!((avg - all.iter().sum::<f64>() / all.len() as f64).abs() < 1e-6);
                let steps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
                match times.jitter_ms() {
                    None => prop_assert!(steps.is_empty()),
                    Some(jitter) => prop_assert!((jitter - steps.iter().sum::<f64>() / steps.len() as f64).abs() < 1e-6),
                }
            }
            prop_assert_eq!(known, samples.len().min(MAX_INTERFACES));
            prop_assert_eq!(known == samples.len(), hop.too_wide == 0);
        }
    }
}
