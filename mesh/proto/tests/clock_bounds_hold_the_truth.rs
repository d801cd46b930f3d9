//! Two drifting clocks, a lopsided lossy way, wall clocks that are set: whatever the bounds say is true.

use holm_mesh_proto::{ClockBounds, ClockStamp, Exchange, Order, Taken, WORST_DRIFT_PPM, order};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const S: i64 = 1_000_000_000;
const MS: i64 = 1_000_000;

/// A clock of the simulation: what it shows at a true time.
#[derive(Debug, Clone, Copy)]
struct Clock {
    base_ns: i64,
    drift_ppb: i64,
    /// What is added to the raw clock to get the wall clock.
    ahead_ns: i64,
}

impl Clock {
    fn draw(rng: &mut StdRng) -> Self {
        Self {
            base_ns: rng.random_range(1..1_000_000) * S + rng.random_range(0..S),
            drift_ppb: rng.random_range(-50_000..=50_000),
            ahead_ns: 1_800_000_000 * S + rng.random_range(-5 * S..=5 * S),
        }
    }

    fn raw(&self, true_ns: i64) -> i64 {
        let drifted = i128::from(true_ns) * i128::from(self.drift_ppb) / 1_000_000_000;
        self.base_ns + true_ns + i64::try_from(drifted).expect("small")
    }

    fn stamp(&self, true_ns: i64) -> ClockStamp {
        ClockStamp::new(self.raw(true_ns).unsigned_abs(), self.ahead_ns).expect("in bounds")
    }
}

#[derive(Debug, Default)]
struct Seen {
    checks: u64,
    widths_ns: Vec<i64>,
    drift_widths_ppb: Vec<i64>,
}

/// The two clocks, what ours knows of theirs, and messages that are on their way to us.
struct Pair {
    rng: StdRng,
    ours: Clock,
    theirs: Clock,
    bounds: ClockBounds,
    /// True time of arrival here, and what arrives.
    flying: Vec<(i64, Arrival)>,
    out_ms: i64,
    back_ms: i64,
    loss_percent: u32,
}

enum Arrival {
    Ping(ClockStamp),
    Pong { asked_ns: i64, received_ns: i64, answered: ClockStamp },
}

impl Pair {
    fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            ours: Clock::draw(&mut rng),
            theirs: Clock::draw(&mut rng),
            bounds: ClockBounds::default(),
            flying: Vec::new(),
            out_ms: rng.random_range(0..300),
            back_ms: rng.random_range(0..300),
            loss_percent: rng.random_range(0..50),
            rng,
        }
    }

    /// Least delay and jitter that at times is many times as long: messages overtake each other.
    fn flight_ns(&mut self, least_ms: i64) -> i64 {
        let jitter = if self.rng.random_bool(0.1) { 3 * S } else { 20 * MS };
        least_ms * MS + self.rng.random_range(0..jitter)
    }

    fn lost(&mut self) -> bool {
        self.rng.random_range(0..100) < self.loss_percent
    }

    fn send(&mut self, now_ns: i64) {
        if !self.lost() {
            let arrival = Arrival::Ping(self.theirs.stamp(now_ns));
            let flight_ns = self.flight_ns(self.back_ms);
            self.flying.push((now_ns + flight_ns, arrival));
        }
        if !self.lost() {
            let there_ns = now_ns + self.flight_ns(self.out_ms);
            let left_ns = there_ns + self.rng.random_range(0..5 * MS);
            let back_ns = left_ns + self.flight_ns(self.back_ms);
            let arrival = Arrival::Pong {
                asked_ns: self.ours.raw(now_ns),
                received_ns: self.theirs.raw(there_ns),
                answered: self.theirs.stamp(left_ns),
            };
            self.flying.push((back_ns, arrival));
        }
    }

    fn arrive(&mut self, now_ns: i64, arrival: &Arrival) -> Taken {
        let here_ns = self.ours.raw(now_ns);
        match *arrival {
            Arrival::Ping(left) => self.bounds.pinged(left, here_ns),
            Arrival::Pong { asked_ns, received_ns, answered } => {
                let exchange = Exchange { asked_ns, received_ns, answered, back_ns: here_ns };
                self.bounds.answered(exchange)
            }
        }
    }

    fn check(&self, now_ns: i64, seen: &mut Seen) {
        let now = self.ours.stamp(now_ns);
        let Some(view) = self.bounds.view(now) else { return };
        let truth = self.theirs.raw(now_ns) - self.ours.raw(now_ns);
        let (least, most) = view.offset_ns;
        assert!(least <= truth && truth <= most, "offset {truth} is not in {least}..{most}");
        // What one gains on the other, as the other counts.
        let rate = |clock: &Clock| 1.0 + clock.drift_ppb as f64 / 1e9;
        let drift = (rate(&self.theirs) / rate(&self.ours) - 1.0) * 1e9;
        let (slow, fast) = view.drift_ppb;
        assert!(
            slow as f64 <= drift + 1.0 && drift <= fast as f64 + 1.0,
            "drift {drift} is not in {slow}..{fast}"
        );
        assert!(slow >= -WORST_DRIFT_PPM * 1_000 && fast <= WORST_DRIFT_PPM * 1_000);
        seen.checks += 1;
        seen.widths_ns.push(most - least);
        seen.drift_widths_ppb.push(fast - slow);
    }

    /// Two minutes of pings; everything is checked whenever anything arrives, and in between.
    fn run(&mut self, seen: &mut Seen) {
        for step in 0..240_i64 {
            let now_ns = S + step * S / 2;
            if step % 4 == 0 {
                self.send(now_ns);
            }
            // A wall clock is set now and then; the window shall not care.
            if self.rng.random_bool(0.02) {
                self.theirs.ahead_ns += self.rng.random_range(-5 * S..5 * S);
            }
            let (mut due, rest): (Vec<_>, Vec<_>) =
                std::mem::take(&mut self.flying).into_iter().partition(|(at, _)| *at <= now_ns);
            self.flying = rest;
            due.sort_by_key(|(at, _)| *at);
            for (at_ns, arrival) in due {
                let taken = self.arrive(at_ns, &arrival);
                assert_eq!(taken, Taken::Fits, "no raw clock jumped");
                self.check(at_ns, seen);
            }
            self.check(now_ns, seen);
        }
    }
}

#[test]
fn offset_and_drift_hold_the_truth_at_every_moment() {
    let mut seen = Seen::default();
    for seed in 0..300 {
        Pair::draw(seed).run(&mut seen);
    }
    assert!(seen.checks > 50_000, "{}", seen.checks);
    seen.widths_ns.sort_unstable();
    seen.drift_widths_ppb.sort_unstable();
    let middle = |all: &[i64]| all[all.len() / 2];
    println!(
        "{} checks, all sound; offset width p50 {:.1} ms, drift width p50 {:.0} ppm",
        seen.checks,
        middle(&seen.widths_ns) as f64 / 1e6,
        middle(&seen.drift_widths_ppb) as f64 / 1e3,
    );
    // As wide as the shortest round trip, and little more: a bound that says nothing is no bound.
    assert!(middle(&seen.widths_ns) < S, "{}", middle(&seen.widths_ns));
}

#[test]
fn events_of_two_nodes_are_never_put_in_the_wrong_order() {
    let (mut ordered, mut open) = (0, 0);
    for seed in 1_000..1_200 {
        let mut pair = Pair::draw(seed);
        let mut events: Vec<(i64, bool, i64)> = Vec::new();
        for step in 0..60_i64 {
            let now_ns = S + step * S;
            pair.send(now_ns);
            let due = std::mem::take(&mut pair.flying);
            let (mut due, rest): (Vec<_>, Vec<_>) =
                due.into_iter().partition(|(at, _)| *at <= now_ns);
            pair.flying = rest;
            due.sort_by_key(|(at, _)| *at);
            for (at_ns, arrival) in due {
                pair.arrive(at_ns, &arrival);
            }
            let at_ns = now_ns + pair.rng.random_range(0..S);
            let mine = pair.rng.random_bool(0.5);
            let clock = if mine { pair.ours } else { pair.theirs };
            events.push((at_ns, mine, clock.raw(at_ns) + clock.ahead_ns));
        }
        let now = pair.ours.stamp(61 * S);
        let moment = |(_, mine, wall_ns): &(i64, bool, i64)| {
            if *mine {
                let raw_ns = wall_ns - pair.ours.ahead_ns;
                return Some((raw_ns, raw_ns));
            }
            pair.bounds.moment(*wall_ns, now)
        };
        for a in &events {
            for b in &events {
                let (Some(x), Some(y)) = (moment(a), moment(b)) else { continue };
                match order(x, y) {
                    Order::Before => assert!(a.0 < b.0, "seed {seed}: {a:?} {b:?}"),
                    Order::After => assert!(a.0 > b.0, "seed {seed}: {a:?} {b:?}"),
                    Order::Concurrent => open += 1,
                }
                ordered += 1;
            }
        }
    }
    assert!(ordered > 100_000 && open * 4 < ordered, "{open} of {ordered} are open");
}

proptest! {
    #[test]
    fn no_stamp_panics_or_turns_the_bounds_around(
        stamps in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>(), 0..3_u8), 1..200),
    ) {
        let mut bounds = ClockBounds::default();
        for (nth, (raw, ahead, received, kind)) in stamps.into_iter().enumerate() {
            let here_ns = S + nth as i64 * S;
            let raw = match kind { 0 => raw, 1 => raw % (1 << 61), _ => here_ns.unsigned_abs() };
            let Some(left) = ClockStamp::new(raw, ahead % (1 << 62)) else { continue };
            bounds.pinged(left, here_ns);
            let received_ns = (received % (1 << 61)).cast_signed();
            let exchange =
                Exchange { asked_ns: here_ns - MS, received_ns, answered: left, back_ns: here_ns };
            bounds.answered(exchange);
            let now = ClockStamp::new(here_ns.unsigned_abs(), -ahead % (1 << 62)).expect("in bounds");
            if let Some(view) = bounds.view(now) {
                prop_assert!(view.offset_ns.0 <= view.offset_ns.1);
                prop_assert!(view.drift_ppb.0 <= view.drift_ppb.1);
                prop_assert!(view.wall_ns.0 <= view.wall_ns.1);
                prop_assert!(view.one_way_out_ns.0 <= view.one_way_out_ns.1);
                prop_assert!(view.one_way_in_ns.0 <= view.one_way_in_ns.1);
            }
            bounds.moment(ahead, now);
        }
    }
}
