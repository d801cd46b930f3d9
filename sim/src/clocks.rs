//! The nodes' clocks, and whether what the nodes prove about each other's is true.

use holm_mesh_proto::{ClockStamp, ToldOffset, narrow, over};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::watch::percentile_ms;
use crate::world::{WALL_MS, World, key};

/// A wall clock that was set so lately is not yet known to all.
const SETTING_US: u64 = 60_000_000;
/// Above so many sites it is not looked at every time what all know of all.
const MOST_SITES: usize = 64;
/// Neighbours whose word on a third clock is heard.
const TELLERS: usize = 4;

/// A machine's raw clock: neither set nor slewed, and never quite right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawClock {
    base_ns: i64,
    drift_ppb: i64,
}

impl RawClock {
    /// A clock of a machine that started a while ago, off by up to `drift_ppm`.
    pub(crate) fn draw(drift_ppm: u32, rng: &mut StdRng) -> Self {
        let worst = i64::from(drift_ppm) * 1_000;
        Self {
            base_ns: rng.random_range(1..10_000_000_000_000_000),
            drift_ppb: rng.random_range(-worst..=worst),
        }
    }

    /// What it shows at a true time.
    fn raw_ns(self, now_us: u64) -> i64 {
        let true_ns = i128::from(now_us) * 1_000;
        let drifted = true_ns * i128::from(self.drift_ppb) / 1_000_000_000;
        self.base_ns + i64::try_from(true_ns + drifted).unwrap_or_default()
    }

    /// What a node says of it and of its wall clock, which is `ahead_ms` ahead of the truth.
    pub(crate) fn stamp(self, now_us: u64, ahead_ms: i64) -> Option<ClockStamp> {
        let raw_ns = self.raw_ns(now_us);
        ClockStamp::new(raw_ns.unsigned_abs(), wall_ns(now_us, ahead_ms) - raw_ns)
    }
}

fn wall_ns(now_us: u64, ahead_ms: i64) -> i64 {
    let true_ns = i128::from(WALL_MS) * 1_000_000 + i128::from(now_us) * 1_000;
    i64::try_from(true_ns + i128::from(ahead_ms) * 1_000_000).unwrap_or_default()
}

/// What was seen of bounds.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch {
    /// Bounds that were compared with the truth.
    pub(crate) checks: u64,
    /// Those that did not hold it.
    pub(crate) untrue: u64,
    /// The first of those.
    pub(crate) first: Option<String>,
    widths_us: Vec<u64>,
    /// With what neighbours say of the same clock.
    narrowed_us: Vec<u64>,
}

impl ClockWatch {
    /// Compares what each honest node says of each honest neighbour with the truth.
    pub(crate) fn look(&mut self, world: &World) {
        if world.sites.len() > MOST_SITES {
            return;
        }
        for (node, site) in world.honest() {
            for (peer, other) in world.honest() {
                let linked =
                    site.active.get(&peer).is_some_and(|id| other.active.get(&node) == Some(id));
                if linked {
                    self.compare(world, node, peer);
                }
            }
        }
    }

    fn compare(&mut self, world: &World, node: usize, peer: usize) {
        let (site, other, now_us) = (&world.sites[node], &world.sites[peer], world.now_us);
        let Some(now) = site.clock.stamp(now_us, site.ahead_ms) else { return };
        let Some(bounds) = site.node.clock_of(key(peer)) else { return };
        let Some((least, most)) = bounds.offset_at(now.raw_ns()) else { return };
        let truth = other.clock.raw_ns(now_us) - site.clock.raw_ns(now_us);
        self.judge(node, peer, "raw", truth, (least, most));
        self.widths_us.push(most.abs_diff(least) / 1_000);
        let ways = site.active.keys().filter(|teller| **teller != peer).filter_map(|teller| {
            let told = world.sites.get(*teller).filter(|told| !told.byzantine)?;
            let at_raw_ns = told.clock.raw_ns(now_us);
            let offset_ns = told.node.clock_of(key(peer))?.offset_at(at_raw_ns)?;
            let teller_ns = site.node.clock_of(key(*teller))?.offset_at(now.raw_ns())?;
            over(teller_ns, now.raw_ns(), ToldOffset { offset_ns, at_raw_ns })
        });
        if let Some(range) = narrow(Some((least, most)), ways.take(TELLERS)).offset_ns {
            self.judge(node, peer, "raw, over others,", truth, range);
            self.narrowed_us.push(range.1.abs_diff(range.0) / 1_000);
        }
        let settled = now_us.saturating_sub(other.set_us) >= SETTING_US;
        if let Some(range) = bounds.wall_at(now).filter(|_| settled) {
            let truth = (other.ahead_ms - site.ahead_ms) * 1_000_000;
            self.judge(node, peer, "wall", truth, range);
        }
    }

    fn judge(&mut self, node: usize, peer: usize, what: &str, truth: i64, range: (i64, i64)) {
        self.checks += 1;
        if truth < range.0 || range.1 < truth {
            self.untrue += 1;
            self.first.get_or_insert_with(|| {
                format!("site {node} says of {peer}'s {what} clock {range:?} ns, true is {truth}")
            });
        }
    }

    /// Median and 99th percentile of the widths, in milliseconds.
    pub(crate) fn widths_ms(&self) -> [f64; 2] {
        [50, 99].map(|percent| percentile_ms(&mut self.widths_us.clone(), percent))
    }

    /// The same with what neighbours say.
    pub(crate) fn narrowed_ms(&self) -> [f64; 2] {
        [50, 99].map(|percent| percentile_ms(&mut self.narrowed_us.clone(), percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_that_is_not_true_is_seen() {
        let mut watch = ClockWatch::default();
        watch.judge(0, 1, "raw", 5, (5, 5));
        assert_eq!(watch.untrue, 0);
        watch.judge(0, 1, "raw", 4, (5, 9));
        watch.judge(0, 1, "raw", 10, (5, 9));
        assert_eq!((watch.checks, watch.untrue), (3, 2));
        assert!(watch.first.expect("seen").contains("true is 4"));
    }
}
