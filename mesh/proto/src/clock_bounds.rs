//! What the stamps of pings prove about a peer's clock: bounds, not estimates.
//!
//! Every node stamps with a *raw* clock, which nobody sets and NTP does not slew, and says with it how
//! far its wall clock is ahead of that. Let θ(o) be what the peer's raw clock shows less what ours shows
//! when ours shows o. A message that leaves here at t1 and is there at t2 proves θ(t1) ≤ t2 − t1,
//! because no message arrives before it was sent and clocks only go forward; one that leaves there at t3
//! and is here at t4 proves θ(t4) ≥ t3 − t4. Nothing is assumed about the way, which may be as lopsided
//! as it likes. Away from its moment each proof weakens by [`WORST_DRIFT_PPM`].
//!
//! Two proofs that contradict each other mean that a raw clock jumped (the machine slept, was moved, or
//! lies): what was known is thrown away and counted. A jump smaller than the width is not seen, and
//! leaves the bounds wrong by as much until the window has passed.

use std::collections::VecDeque;

use holm_model::Millis;

/// The worst rate at which two raw clocks part, in parts per million. Quartz is within ±50 on either
/// side; twice that is left for heat and for virtual machines.
pub const WORST_DRIFT_PPM: i64 = 200;
/// The worst rate at which a wall clock is slewed against its raw clock: the kernel's limit.
pub const WORST_SLEW_PPM: i64 = 500;
/// How long a proof is kept.
pub const WINDOW_NS: i64 = 60_000_000_000;
/// Most proofs kept of either kind.
pub const MAX_SAMPLES: usize = 64;

/// Readings are whole nanoseconds: two of them are off by less than this.
const ROUNDING_NS: i64 = 2;
/// Beyond what slewing explains, so much is a clock that was set.
const STEP_NS: i64 = 200_000;
/// Largest raw reading: 73 years. Sums of a few of these fit.
const MAX_RAW_NS: i64 = 1 << 61;
/// Largest distance of the wall clock from the raw clock: 146 years.
const MAX_AHEAD_NS: i64 = 1 << 62;

/// Both clocks of a node at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStamp {
    raw_ns: i64,
    wall_ahead_ns: i64,
}

impl ClockStamp {
    /// `raw_ns` of a clock that only goes forward and is not slewed, and how far the wall clock
    /// (nanoseconds since 1970) is ahead of it. `None` if either is out of all bounds (0, more than 73
    /// years of raw clock, more than 146 years between the two).
    pub fn new(raw_ns: u64, wall_ahead_ns: i64) -> Option<Self> {
        let raw_ns = i64::try_from(raw_ns).ok().filter(|raw| (1..=MAX_RAW_NS).contains(raw))?;
        (-MAX_AHEAD_NS..=MAX_AHEAD_NS)
            .contains(&wall_ahead_ns)
            .then_some(Self { raw_ns, wall_ahead_ns })
    }

    /// The raw clock, in nanoseconds since an arbitrary start.
    pub const fn raw_ns(self) -> i64 {
        self.raw_ns
    }

    /// How far the wall clock is ahead of the raw clock, in nanoseconds.
    pub const fn wall_ahead_ns(self) -> i64 {
        self.wall_ahead_ns
    }

    /// The wall clock at the moment when the raw clock shows `raw_ns`.
    fn wall_at(self, raw_ns: i64) -> Millis {
        let wall_ns = raw_ns.saturating_add(self.wall_ahead_ns).max(0);
        Millis(u64::try_from(wall_ns / 1_000_000).unwrap_or_default())
    }
}

/// The four stamps of a question and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Our raw clock when the question left.
    pub asked_ns: i64,
    /// Their raw clock when it was there.
    pub received_ns: i64,
    /// Their clocks when the answer left.
    pub answered: ClockStamp,
    /// Our raw clock when that was here.
    pub back_ns: i64,
}

/// What became of a peer's stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// They agree with what was known.
    Fits,
    /// They contradict what was known, which is forgotten: a clock jumped.
    Cut,
    /// They contradict themselves; nothing was changed.
    Refused,
}

/// A peer's clock as seen from here, as of one moment. All bounds are inclusive, (least, most).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockView {
    /// By how much the peer's raw clock is ahead of ours.
    pub offset_ns: (i64, i64),
    /// By how much the peer's raw clock gains on ours, in parts per thousand million, if that rate
    /// was the same during the whole window.
    pub drift_ppb: (i64, i64),
    /// By how much the peer's wall clock is ahead of ours, unless it was set since it last spoke.
    pub wall_ns: (i64, i64),
    /// How long the latest question was on its way there.
    pub one_way_out_ns: (u64, u64),
    /// How long its answer was on its way back.
    pub one_way_in_ns: (u64, u64),
    /// Proofs that this rests on.
    pub samples: usize,
    /// When the segment began, by our wall clock: the connection, or the latest cut.
    pub since: Millis,
    /// Jumps of a raw clock seen on this connection.
    pub cuts: u64,
    /// Times that the peer's wall clock was set on this connection.
    pub wall_steps: u64,
    /// Our raw clock at the moment that all this is of.
    pub at_raw_ns: i64,
}

impl ClockView {
    /// How far the peer's wall clock is ahead of ours, and half the width: it is off by no more.
    pub fn wall_offset_ns(&self) -> (i64, u64) {
        let (least, most) = (i128::from(self.wall_ns.0), i128::from(self.wall_ns.1));
        let half = (most - least + 1) / 2;
        (clamp((least + most) / 2), u64::try_from(half).unwrap_or(u64::MAX))
    }
}

/// How two moments lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first was certainly earlier.
    Before,
    /// The first was certainly later.
    After,
    /// It cannot be told.
    Concurrent,
}

/// Orders two moments that are known as intervals of one clock. What is known of cause and effect goes
/// before this.
pub const fn order(a: (i64, i64), b: (i64, i64)) -> Order {
    if a.1 < b.0 {
        Order::Before
    } else if b.1 < a.0 {
        Order::After
    } else {
        Order::Concurrent
    }
}

/// At `at_ns` of our raw clock the offset is at most, or at least, `value_ns`.
#[derive(Debug, Clone, Copy)]
struct Proof {
    at_ns: i64,
    value_ns: i64,
}

/// A wall clock: how far ahead of its raw clock, and since when it was not set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wall {
    ahead_ns: i64,
    at_ns: i64,
    since_ns: i64,
    steps: u64,
}

impl Wall {
    /// `at_ns` is of our raw clock, whoever's wall clock it is.
    pub(crate) const fn new(ahead_ns: i64, at_ns: i64) -> Self {
        Self { ahead_ns, at_ns, since_ns: at_ns, steps: 0 }
    }

    /// What it says now; whether it was set meanwhile.
    pub(crate) fn now(&mut self, ahead_ns: i64, at_ns: i64) -> bool {
        let slewed = slack(at_ns.abs_diff(self.at_ns), WORST_SLEW_PPM);
        let was_set =
            ahead_ns.abs_diff(self.ahead_ns) > slewed.saturating_add(STEP_NS).unsigned_abs();
        if was_set {
            self.since_ns = at_ns;
            self.steps = self.steps.saturating_add(1);
        }
        (self.ahead_ns, self.at_ns) = (ahead_ns, at_ns);
        was_set
    }

    /// When our raw clock showed what, as this wall clock said `wall_ns`; `offset_ns` is how far the
    /// raw clock under it is ahead of ours at `now_ns`, and `drift_ppm` how fast that may change.
    /// `None` if the wall clock has been set since.
    pub(crate) fn moment(
        &self,
        wall_ns: i64,
        offset_ns: (i64, i64),
        drift_ppm: i64,
        now_ns: i64,
    ) -> Option<(i64, i64)> {
        let raw_ns = i128::from(wall_ns) - i128::from(self.ahead_ns);
        let (first, last) =
            (clamp(raw_ns - i128::from(offset_ns.1)), clamp(raw_ns - i128::from(offset_ns.0)));
        let away = now_ns.abs_diff(first).max(now_ns.abs_diff(last));
        let unsure =
            slack(away, drift_ppm + WORST_SLEW_PPM).saturating_mul(2).saturating_add(STEP_NS);
        let (first, last) = (first.saturating_sub(unsure), last.saturating_add(unsure));
        (first >= self.since_ns).then_some((first, last))
    }
}

/// What is known of one peer's clock.
#[derive(Debug, Clone, Default)]
pub struct ClockBounds {
    most: VecDeque<Proof>,
    least: VecDeque<Proof>,
    latest: Option<Exchange>,
    wall: Option<Wall>,
    since_ns: Option<i64>,
    cuts: u64,
}

impl ClockBounds {
    /// The peer's question, stamped when it left there, is here at `here_ns` of our raw clock.
    pub fn pinged(&mut self, left: ClockStamp, here_ns: i64) -> Taken {
        let least = Proof { at_ns: here_ns, value_ns: left.raw_ns.saturating_sub(here_ns) };
        let taken = self.judge(None, least);
        self.hear(left, here_ns);
        taken
    }

    /// The peer's answer is here.
    pub fn answered(&mut self, exchange: Exchange) -> Taken {
        let Exchange { asked_ns, received_ns, answered, back_ns } = exchange;
        let most = Proof { at_ns: asked_ns, value_ns: received_ns.saturating_sub(asked_ns) };
        let least = Proof { at_ns: back_ns, value_ns: answered.raw_ns.saturating_sub(back_ns) };
        let backwards = back_ns < asked_ns || answered.raw_ns < received_ns;
        if backwards || contradict(most, least) {
            return Taken::Refused;
        }
        let taken = self.judge(Some(most), least);
        self.latest = Some(exchange);
        self.hear(answered, back_ns);
        taken
    }

    /// By how much the peer's raw clock is ahead of ours when ours shows `at_ns`: (least, most).
    /// `None` before the first answer.
    pub fn offset_at(&self, at_ns: i64) -> Option<(i64, i64)> {
        let away = |proof: &Proof| slack(at_ns.abs_diff(proof.at_ns), WORST_DRIFT_PPM);
        let most = self.most.iter().map(|proof| proof.value_ns.saturating_add(away(proof)));
        let least = self.least.iter().map(|proof| proof.value_ns.saturating_sub(away(proof)));
        Some((least.max()?, most.min()?))
    }

    /// By how much the peer's wall clock is ahead of ours at `now`, if it was not set since it spoke.
    pub fn wall_at(&self, now: ClockStamp) -> Option<(i64, i64)> {
        let (least, most) = self.offset_at(now.raw_ns)?;
        let wall = self.wall?;
        let ahead = i128::from(wall.ahead_ns) - i128::from(now.wall_ahead_ns);
        let slewed = i128::from(slack(now.raw_ns.abs_diff(wall.at_ns), WORST_SLEW_PPM));
        Some((clamp(i128::from(least) + ahead - slewed), clamp(i128::from(most) + ahead + slewed)))
    }

    /// When our raw clock showed what, as the peer's wall clock said `wall_ns`. `None` if that cannot
    /// be told: no answer yet, or before this segment, or before the wall clock was last set.
    pub fn moment(&self, wall_ns: i64, now: ClockStamp) -> Option<(i64, i64)> {
        let offset_ns = self.offset_at(now.raw_ns)?;
        let moment = self.wall?.moment(wall_ns, offset_ns, WORST_DRIFT_PPM, now.raw_ns)?;
        (moment.0 >= self.since_ns?).then_some(moment)
    }

    /// Everything, as of `now`.
    pub fn view(&self, now: ClockStamp) -> Option<ClockView> {
        let (offset_ns, latest) = (self.offset_at(now.raw_ns)?, self.latest?);
        let (out, back) = self.one_way(latest)?;
        Some(ClockView {
            offset_ns,
            drift_ppb: self.drift_ppb(),
            wall_ns: self.wall_at(now)?,
            one_way_out_ns: out,
            one_way_in_ns: back,
            samples: self.most.len() + self.least.len(),
            since: now.wall_at(self.since_ns?),
            cuts: self.cuts,
            wall_steps: self.wall?.steps,
            at_raw_ns: now.raw_ns,
        })
    }

    fn one_way(&self, latest: Exchange) -> Option<((u64, u64), (u64, u64))> {
        let (least, most) = self.offset_at(latest.back_ns)?;
        // The message was there, and left there, at some moment between the two of ours.
        let unsure = slack(latest.back_ns.abs_diff(latest.asked_ns), WORST_DRIFT_PPM);
        let (least, most) = (least.saturating_sub(unsure), most.saturating_add(unsure));
        let whole = |ns: i64| u64::try_from(ns).unwrap_or_default();
        let out_ns = latest.received_ns.saturating_sub(latest.asked_ns);
        let back_ns = latest.back_ns.saturating_sub(latest.answered.raw_ns);
        let out = (whole(out_ns.saturating_sub(most)), whole(out_ns.saturating_sub(least)));
        let back = (whole(back_ns.saturating_add(least)), whole(back_ns.saturating_add(most)));
        Some((out, back))
    }

    /// The steepest and the flattest line that all proofs allow.
    fn drift_ppb(&self) -> (i64, i64) {
        let worst = WORST_DRIFT_PPM * 1_000;
        let (mut least, mut most) = (-worst, worst);
        for high in &self.most {
            for low in &self.least {
                let run = i128::from(low.at_ns) - i128::from(high.at_ns);
                let rise = i128::from(low.value_ns) - i128::from(high.value_ns);
                let rounding = i128::from(ROUNDING_NS);
                if run > 0 {
                    least = least.max(clamp(((rise - rounding) * BILLION).div_euclid(run)));
                } else if run < 0 {
                    // Both are negative: the line rises by at most this from the later proof.
                    let slope = ((rounding - rise) * BILLION).div_euclid(-run) + 1;
                    most = most.min(clamp(slope));
                }
            }
        }
        // No one line fits: the rate changed within the window.
        if least > most { (-worst, worst) } else { (least, most) }
    }

    fn judge(&mut self, most: Option<Proof>, least: Proof) -> Taken {
        let against_least = |new: &Proof| self.least.iter().any(|old| contradict(*new, *old));
        let against_most = self.most.iter().any(|old| contradict(*old, least));
        let cut = against_most || most.as_ref().is_some_and(against_least);
        if cut {
            self.most.clear();
            self.least.clear();
            self.latest = None;
            self.wall = None;
            self.since_ns = None;
            self.cuts = self.cuts.saturating_add(1);
        }
        self.since_ns.get_or_insert(most.map_or(least.at_ns, |most| most.at_ns));
        if let Some(most) = most {
            keep(&mut self.most, most);
        }
        keep(&mut self.least, least);
        if cut { Taken::Cut } else { Taken::Fits }
    }

    fn hear(&mut self, theirs: ClockStamp, at_ns: i64) {
        match &mut self.wall {
            Some(wall) => {
                wall.now(theirs.wall_ahead_ns, at_ns);
            }
            None => self.wall = Some(Wall::new(theirs.wall_ahead_ns, at_ns)),
        }
    }
}

const BILLION: i128 = 1_000_000_000;

fn keep(proofs: &mut VecDeque<Proof>, new: Proof) {
    proofs.push_back(new);
    proofs.retain(|proof| new.at_ns.saturating_sub(proof.at_ns) <= WINDOW_NS);
    if proofs.len() > MAX_SAMPLES {
        proofs.pop_front();
    }
}

/// No offset is below the one and above the other, however the clocks drift.
fn contradict(most: Proof, least: Proof) -> bool {
    let away = slack(most.at_ns.abs_diff(least.at_ns), WORST_DRIFT_PPM);
    least.value_ns.saturating_sub(away) > most.value_ns
}

/// How much a rate adds up to in a time, rounded up.
pub(crate) fn slack(ns: u64, ppm: i64) -> i64 {
    let added = i128::from(ns) * i128::from(ppm) / 1_000_000 + 1;
    clamp(added).saturating_add(ROUNDING_NS)
}

pub(crate) fn clamp(ns: i128) -> i64 {
    i64::try_from(ns.clamp(i128::from(i64::MIN), i128::from(i64::MAX))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn stamp(raw_ns: i64, ahead_ns: i64) -> ClockStamp {
        ClockStamp::new(raw_ns.unsigned_abs(), ahead_ns).expect("in bounds")
    }

    fn exchange(asked: i64, offset: i64, out: i64, back: i64) -> Exchange {
        Exchange {
            asked_ns: asked,
            received_ns: asked + out + offset,
            answered: stamp(asked + out + offset + 1_000, 0),
            back_ns: asked + out + back + 1_000,
        }
    }

    #[test]
    fn a_lopsided_way_widens_and_never_misleads() {
        let mut bounds = ClockBounds::default();
        // 90 ms there, 10 ms back: the middle would be 40 ms off.
        assert_eq!(bounds.answered(exchange(10 * S, 5 * S, 90_000_000, 10_000_000)), Taken::Fits);
        let now = stamp(10 * S + 100_001_000, 0);
        let view = bounds.view(now).expect("answered");
        assert!(view.offset_ns.0 <= 5 * S && 5 * S <= view.offset_ns.1, "{view:?}");
        assert!(view.one_way_out_ns.0 <= 90_000_000 && 90_000_000 <= view.one_way_out_ns.1);
        assert!(view.one_way_in_ns.0 <= 10_000_000 && 10_000_000 <= view.one_way_in_ns.1);
        // A second one the other way round pins it down.
        bounds.answered(exchange(11 * S, 5 * S, 1_000_000, 90_000_000));
        let (least, most) = bounds.offset_at(11 * S).expect("answered");
        assert!(least <= 5 * S && 5 * S <= most && most - least < 12_000_000, "{least} {most}");
    }

    #[test]
    fn a_clock_that_jumped_begins_anew() {
        let mut bounds = ClockBounds::default();
        bounds.answered(exchange(10 * S, S, 5_000_000, 5_000_000));
        assert_eq!(bounds.answered(exchange(12 * S, -S, 5_000_000, 5_000_000)), Taken::Cut);
        let view = bounds.view(stamp(12 * S, 0)).expect("answered");
        assert!(view.offset_ns.0 <= -S && -S <= view.offset_ns.1);
        assert_eq!((view.cuts, view.samples), (1, 2));
        // Ahead again: its question tells it first.
        assert_eq!(bounds.pinged(stamp(16 * S, 0), 13 * S), Taken::Cut);
        assert_eq!(bounds.offset_at(13 * S), None, "nothing is known of the other side yet");
    }

    #[test]
    fn a_wall_clock_that_was_set_is_told_from_one_that_is_slewed() {
        let mut bounds = ClockBounds::default();
        bounds.answered(exchange(10 * S, 0, 1_000_000, 1_000_000));
        bounds.pinged(stamp(11 * S, 400_000), 11 * S + 1_000_000);
        assert_eq!(bounds.view(stamp(11 * S + 1_000_000, 0)).expect("answered").wall_steps, 0);
        let before = bounds.moment(11 * S, stamp(11 * S + 1_000_000, 0));
        assert!(before.is_some());
        bounds.pinged(stamp(12 * S, 60 * S), 12 * S + 1_000_000);
        let now = stamp(13 * S, 0);
        let view = bounds.view(now).expect("answered");
        assert_eq!(view.wall_steps, 1);
        assert_eq!(view.cuts, 0, "the raw clock went on");
        assert!(view.wall_ns.0 <= 60 * S && 60 * S <= view.wall_ns.1);
        let (middle, error) = view.wall_offset_ns();
        assert!(middle.abs_diff(60 * S) <= error && error < 3_000_000, "{middle} {error}");
        assert_eq!(bounds.moment(11 * S + 60 * S, now), None, "from before it was set");
        assert!(bounds.moment(72 * S + S / 2, now).is_some());
    }

    #[test]
    fn stamps_that_cannot_be_are_refused_and_change_nothing() {
        assert_eq!(ClockStamp::new(0, 0), None);
        assert_eq!(ClockStamp::new(u64::MAX, 0), None);
        assert_eq!(ClockStamp::new(1, i64::MIN), None);
        let mut bounds = ClockBounds::default();
        bounds.answered(exchange(10 * S, S, 5_000_000, 5_000_000));
        let before = bounds.offset_at(11 * S);
        // An answer that left before its question came, and one that took longer than the round trip.
        let mut back = exchange(11 * S, S, 5_000_000, 5_000_000);
        back.received_ns = back.answered.raw_ns + 1;
        assert_eq!(bounds.answered(back), Taken::Refused);
        let mut long = exchange(11 * S, S, 5_000_000, 5_000_000);
        long.answered = stamp(long.answered.raw_ns + S, 0);
        assert_eq!(bounds.answered(long), Taken::Refused);
        assert_eq!(bounds.offset_at(11 * S), before);
    }
}
