//! Drifting clocks of several nodes, ways of every length and lopsidedness: over third nodes the bounds
//! become narrower, and stay true.

use holm_mesh_proto::{ClockBounds, ClockStamp, Exchange, Taken, ToldOffset, narrow, over};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const S: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;
const NODES: usize = 6;

#[derive(Clone, Copy)]
struct Clock {
    base_ns: i64,
    drift_ppb: i64,
}

impl Clock {
    fn raw(self, true_ns: i64) -> i64 {
        let drifted = i128::from(true_ns) * i128::from(self.drift_ppb) / 1_000_000_000;
        self.base_ns + true_ns + i64::try_from(drifted).expect("small")
    }

    fn stamp(self, true_ns: i64) -> ClockStamp {
        ClockStamp::new(self.raw(true_ns).unsigned_abs(), 0).expect("in bounds")
    }
}

/// Six nodes: what each proved of each, and what each was told.
struct Mesh {
    rng: StdRng,
    clocks: [Clock; NODES],
    /// Least delay of each way, in each direction.
    ways_ms: [[i64; NODES]; NODES],
    bounds: [[ClockBounds; NODES]; NODES],
    /// What the middle one said of the last, and when it was here does not matter.
    told: [[Option<ToldOffset>; NODES]; NODES],
}

#[derive(Default)]
struct Widths {
    direct_ns: Vec<i64>,
    narrowed_ns: Vec<i64>,
    narrower: usize,
}

impl Mesh {
    fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let clocks = std::array::from_fn(|_| Clock {
            base_ns: rng.random_range(1..1_000_000) * S,
            drift_ppb: rng.random_range(-50_000..=50_000),
        });
        let ways_ms = std::array::from_fn(|_| std::array::from_fn(|_| rng.random_range(1..150)));
        Self { rng, clocks, ways_ms, bounds: Default::default(), told: Default::default() }
    }

    /// Every node asks every other once, and tells all what it knows.
    fn round(&mut self, now_ns: i64) {
        for a in 0..NODES {
            for b in (0..NODES).filter(|b| *b != a) {
                let mut flight = |ms: i64| ms * MS + self.rng.random_range(0..5 * MS);
                let there_ns = now_ns + flight(self.ways_ms[a][b]);
                let back_ns = there_ns + flight(self.ways_ms[b][a]);
                let taken = self.bounds[a][b].answered(Exchange {
                    asked_ns: self.clocks[a].raw(now_ns),
                    received_ns: self.clocks[b].raw(there_ns),
                    answered: self.clocks[b].stamp(there_ns),
                    back_ns: self.clocks[a].raw(back_ns),
                });
                assert_eq!(taken, Taken::Fits);
            }
        }
        for b in 0..NODES {
            // Now and then a word does not come, and the older one stands.
            if self.rng.random_bool(0.7) {
                let at_raw_ns = self.clocks[b].raw(now_ns);
                self.told[b] = std::array::from_fn(|c| {
                    let offset_ns = self.bounds[b][c].offset_at(at_raw_ns)?;
                    Some(ToldOffset { offset_ns, at_raw_ns })
                });
            }
        }
    }

    fn check(&self, now_ns: i64, widths: &mut Widths) {
        for a in 0..NODES {
            let at_ns = self.clocks[a].raw(now_ns);
            for c in (0..NODES).filter(|c| *c != a) {
                let direct = self.bounds[a][c].offset_at(at_ns);
                let ways = (0..NODES).filter(|b| *b != a && *b != c).filter_map(|b| {
                    over(self.bounds[a][b].offset_at(at_ns)?, at_ns, self.told[b][c]?)
                });
                let narrowed = narrow(direct, ways);
                let truth = self.clocks[c].raw(now_ns) - at_ns;
                let (least, most) = narrowed.offset_ns.expect("asked");
                assert!(least <= truth && truth <= most, "{truth} is not in {least}..{most}");
                assert_eq!(narrowed.contradicted, 0, "nobody lies");
                let (low, high) = direct.expect("asked");
                assert!(low <= least && most <= high, "never wider");
                widths.direct_ns.push(high - low);
                widths.narrowed_ns.push(most - least);
                widths.narrower += usize::from(most - least < high - low);
            }
        }
    }
}

#[test]
fn ways_over_others_narrow_the_bounds_and_the_truth_stays_inside() {
    let mut widths = Widths::default();
    for seed in 0..200 {
        let mut mesh = Mesh::draw(seed);
        for round in 0..20 {
            let now_ns = S + round * 2 * S;
            mesh.round(now_ns);
            mesh.check(now_ns + S, &mut widths);
        }
    }
    let middle = |all: &mut Vec<i64>| {
        all.sort_unstable();
        all[all.len() / 2]
    };
    let checks = widths.direct_ns.len();
    let (direct, narrowed) = (middle(&mut widths.direct_ns), middle(&mut widths.narrowed_ns));
    println!(
        "{checks} checks, all sound; width p50 {:.1} ms straight, {:.1} ms with ways over others; \
         {} % became narrower",
        direct as f64 / 1e6,
        narrowed as f64 / 1e6,
        100 * widths.narrower / checks,
    );
    assert!(checks > 100_000 && widths.narrower * 4 > checks, "{}", widths.narrower);
    assert!(narrowed * 10 < direct * 9, "{narrowed} of {direct}");
}
