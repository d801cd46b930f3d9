//! How long packets took each way, from four moments by two clocks.
//!
//! What the reflector's clock shows at the arrival, less what ours showed at the departure, is the way there and by how
//! much that clock is ahead. The mesh bounds the latter; and as no packet arrives before it is sent, the packets bound it
//! too: it is at most the least of these differences there, and at least the negative of the least one back.

use std::time::Duration;

use super::wire::Ntp;

/// Two wall clocks part by no more, in parts per million: 200 of quartz, and twice the 500 by which a kernel slews.
const WORST_PPM: i64 = 1_200;
/// Moments are rounded, in nanoseconds.
const ROUNDING_NS: i64 = 2;

/// The moments of one packet and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moments {
    /// It left here, by our clock.
    pub(super) sent: Ntp,
    /// It was there, by the reflector's.
    pub(super) there: Ntp,
    /// The answer left there, by the reflector's.
    pub(super) back: Ntp,
    /// The answer was here, by ours.
    pub(super) here: Ntp,
}

/// What a way took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Way {
    pub(super) min: f64,
    pub(super) avg: f64,
    pub(super) max: f64,
}

/// What both ways took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct OneWay {
    pub(super) forward: Way,
    pub(super) backward: Way,
    /// All of these are off by no more, in milliseconds, and all by the same: what one way is too long, the other is
    /// too short.
    pub(super) error_ms: f64,
}

/// The differences of the clocks there and back, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Differences {
    pub(super) forward: Vec<i64>,
    pub(super) backward: Vec<i64>,
}

impl Differences {
    pub(super) fn of(moments: &[Moments]) -> Self {
        Self {
            forward: moments.iter().map(|m| m.there.ns_since(m.sent)).collect(),
            backward: moments.iter().map(|m| m.here.ns_since(m.back)).collect(),
        }
    }

    /// What the ways took, where the reflector's clock is ahead of ours by `ahead_ns` at the end of a session that
    /// took `session`. `None` without packets, and if the moments contradict that: a clock was set, or another one
    /// answered.
    pub(super) fn one_way(&self, ahead_ns: (i64, i64), session: Duration) -> Option<OneWay> {
        let since = i64::try_from(session.as_nanos()).ok()?;
        let parted = (since / 1_000_000).saturating_add(1).saturating_mul(WORST_PPM);
        let parted = parted.saturating_add(ROUNDING_NS);
        let (soonest, latest) = (*self.forward.iter().min()?, *self.backward.iter().min()?);
        let most = ahead_ns.1.saturating_add(parted).min(soonest);
        let least = ahead_ns.0.saturating_sub(parted).max(latest.saturating_neg());
        if least > most {
            return None;
        }
        let (least, most) = (ms(least), ms(most));
        let ahead = least.midpoint(most);
        Some(OneWay {
            forward: way(&self.forward, -ahead)?,
            backward: way(&self.backward, ahead)?,
            error_ms: (most - least) / 2.0,
        })
    }
}

fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

fn way(differences: &[i64], add_ms: f64) -> Option<Way> {
    let sum: f64 = differences.iter().map(|ns| ms(*ns)).sum();
    Some(Way {
        min: ms(*differences.iter().min()?) + add_ms,
        avg: sum / differences.len() as f64 + add_ms,
        max: ms(*differences.iter().max()?) + add_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Packets that took so long each way, as two clocks write it of which one is ahead.
    fn session(ways: &[(u64, u64)], ahead: i64) -> Differences {
        let start: i64 = 1_800_000_000_000_000_000;
        let at = |ns: i64| Ntp::of_nanos(ns as u128);
        let packets = ways.iter().enumerate().map(|(i, (out, back))| {
            let sent = start + i as i64 * 20_000_000;
            let there = sent + *out as i64;
            let answered = there + 40_000;
            Moments {
                sent: at(sent),
                there: at(there + ahead),
                back: at(answered + ahead),
                here: at(answered + *back as i64),
            }
        });
        Differences::of(&packets.collect::<Vec<_>>())
    }

    #[test]
    fn a_lopsided_way_is_told_as_far_as_the_clocks_are_known() {
        let ways = session(&[(40_000_000, 5_000_000), (42_000_000, 5_000_000)], 7_000_000);
        let found =
            ways.one_way((6_900_000, 7_100_000), Duration::from_millis(100)).expect("known");
        assert!((found.forward.avg - 41.0).abs() <= found.error_ms, "{found:?}");
        assert!((found.backward.avg - 5.0).abs() <= found.error_ms);
        assert!(found.error_ms < 0.25 && found.forward.max - found.forward.min > 1.9);
        // What is known of the clocks is nonsense: the packets alone bound the ways by the round trip.
        let found = ways.one_way((-1_000_000_000, 1_000_000_000), Duration::ZERO).expect("bounded");
        assert!((found.error_ms - 22.5).abs() < 0.01, "{found:?}");
        assert_eq!(ways.one_way((90_000_000, 91_000_000), Duration::ZERO), None, "contradicted");
        assert_eq!(Differences::default().one_way((0, 0), Duration::ZERO), None);
    }

    proptest! {
        #[test]
        fn the_truth_is_within_what_is_told(
            ways in proptest::collection::vec((0_u64..200_000_000, 0_u64..200_000_000), 1..20),
            ahead in -10_000_000_000_i64..10_000_000_000,
            below in 0_i64..50_000_000,
            above in 0_i64..50_000_000,
        ) {
            let found = session(&ways, ahead).one_way((ahead - below, ahead + above), Duration::from_millis(400));
            let found = found.expect("no contradiction");
            let slack = found.error_ms + 1e-4;
            let mean = |of: fn(&(u64, u64)) -> u64| {
                ways.iter().map(|way| of(way) as f64 / 1e6).sum::<f64>() / ways.len() as f64
            };
            prop_assert!((found.forward.avg - mean(|way| way.0)).abs() <= slack);
            prop_assert!((found.backward.avg - mean(|way| way.1)).abs() <= slack);
            prop_assert!(found.forward.min >= -1e-4 && found.backward.min >= -1e-4);
            let least_trip = ways.iter().map(|way| way.0 + way.1).min().unwrap_or(0);
            let all: f64 = ways.iter().map(|way| way.0.max(way.1) as f64 / 1e6).fold(0.0, f64::max);
            prop_assert!(found.error_ms <= all.max(least_trip as f64 / 1e6) + 1.0);
        }

        #[test]
        fn no_moments_panic(packets in proptest::collection::vec(any::<[u64; 4]>(), 0..10), ahead in any::<(i64, i64)>()) {
            let moments: Vec<Moments> = packets
                .iter()
                .map(|m| Moments { sent: Ntp(m[0]), there: Ntp(m[1]), back: Ntp(m[2]), here: Ntp(m[3]) })
                .collect();
            if let Some(found) = Differences::of(&moments).one_way(ahead, Duration::MAX) {
                prop_assert!(found.error_ms >= 0.0);
            }
        }
    }
}
