//! How much a way between two nodes carries: how many packets of bytes are under way at once, what a run came to, and
//! what runs may send. Judged with times as arguments, sent by the node.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes that are sent at a time.
pub const PIECE_BYTES: usize = 128 << 10;
/// Pieces that are under way at first.
const FIRST: usize = 2;
/// Most pieces under way: 12 MiB, as much as 1 Gbit/s holds in 100 ms.
const MOST: usize = 96;
/// A piece that took so long longer than the fastest stood in a queue: no more are sent at once.
const QUEUED: Duration = Duration::from_millis(250);
/// One that took so long overall fills a queue that others wait in: fewer are sent.
const TOO_LONG: Duration = Duration::from_secs(1);
/// The stretch of a run of which the best is told.
const BEST_OF: Duration = Duration::from_secs(1);
/// Runs of one hour are counted together.
const HOUR: Duration = Duration::from_secs(3_600);

/// How many pieces may be under way: more for as long as they do not queue up.
#[derive(Debug)]
pub struct Pace {
    most: usize,
    fastest: Option<Duration>,
    /// When pieces were through, since the run began, and their bytes.
    done: Vec<(Duration, u64)>,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Throughput {
    /// Bytes that were through.
    pub bytes: u64,
    /// In so many milliseconds.
    pub ms: f64,
    /// Megabits (10^6) a second over all of the run, its beginning included.
    pub mbit_s: f64,
    /// Megabits a second in its best second; of all of it if it was shorter.
    pub best_mbit_s: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { most: FIRST, fastest: None, done: Vec::new() }
    }
}

impl Pace {
    /// Whether another piece may be sent while so many are under way.
    pub fn may_send(&self, under_way: usize) -> bool {
        under_way < self.most
    }

    /// A piece was through `at` after the begin of the run, and took so long.
    pub fn through(&mut self, bytes: u64, took: Duration, at: Duration) {
        let fastest = self.fastest.map_or(took, |fastest| fastest.min(took));
        self.fastest = Some(fastest);
        if took > TOO_LONG {
            self.most = (self.most / 2).max(1);
        } else if took <= fastest + QUEUED {
            self.most = (self.most + 1).min(MOST);
        }
        self.done.push((at, bytes));
    }

    /// What the run came to; `None` if nothing was through.
    pub fn result(mut self) -> Option<Throughput> {
        self.done.sort_unstable();
        let (end, _) = *self.done.last()?;
        let bytes = self.done.iter().map(|(_, bytes)| bytes).sum();
        let all = mbit_s(bytes, end)?;
        let mut best = all;
        let (mut first, mut within) = (0, 0);
        for (at, bytes) in &self.done {
            within += bytes;
            while *at > self.done[first].0 + BEST_OF {
                within -= self.done[first].1;
                first += 1;
            }
            // What was through at the begin of the second had been sent before it.
            if *at >= BEST_OF && first > 0 {
                best = best.max(mbit_s(within - self.done[first].1, BEST_OF).unwrap_or(0.0));
            }
        }
        Some(Throughput { bytes, ms: end.as_secs_f64() * 1e3, mbit_s: all, best_mbit_s: best })
    }
}

fn mbit_s(bytes: u64, within: Duration) -> Option<f64> {
    (!within.is_zero()).then(|| bytes as f64 * 8.0 / 1e6 / within.as_secs_f64())
}

/// What runs may send within an hour, and that only one goes on at a time.
#[derive(Debug)]
pub struct Allowance {
    hourly: u64,
    /// Runs by when they began, with what they took or hold.
    taken: VecDeque<(Duration, u64)>,
    running: Option<Duration>,
}

impl Allowance {
    /// So many bytes an hour; with 0 none.
    pub const fn new(hourly: u64) -> Self {
        Self { hourly, taken: VecDeque::new(), running: None }
    }

    /// Begins a run of at most `bytes`, which all count until it [ends](Self::end). `now` is of any clock that goes
    /// forward.
    ///
    /// # Errors
    /// Why it may not begin.
    pub fn begin(&mut self, bytes: u64, now: Duration) -> Result<(), String> {
        if self.hourly == 0 {
            return Err("runs of throughput are switched off here (planes.active.throughput_bytes_per_hour = 0)".into());
        }
        if self.running.is_some() {
            return Err("another run of throughput goes on here; ask again when it is over".into());
        }
        let left = self.left(now);
        if bytes > left {
            return Err(format!(
                "runs of throughput may send {left} more bytes here within the hour (planes.active.throughput_bytes_per_hour), and {bytes} are asked for"
            ));
        }
        self.taken.push_back((now, bytes));
        self.running = Some(now);
        Ok(())
    }

    /// Ends the run that goes on: `bytes` were sent.
    pub fn end(&mut self, bytes: u64) {
        if self.running.take().is_some()
            && let Some((_, held)) = self.taken.back_mut()
        {
            *held = bytes.min(*held);
        }
    }

    /// What may be sent yet.
    pub fn left(&mut self, now: Duration) -> u64 {
        while self.taken.front().is_some_and(|(at, _)| now.saturating_sub(*at) >= HOUR) {
            // One that still goes on is not of an hour ago.
            self.taken.pop_front();
        }
        self.hourly.saturating_sub(self.taken.iter().map(|(_, bytes)| bytes).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_way_that_does_not_queue_is_filled_and_one_that_does_is_left_alone() {
        let mut fast = Pace::default();
        assert!(fast.may_send(FIRST - 1) && !fast.may_send(FIRST));
        for i in 0..200 {
            fast.through(1, ms(40), ms(i));
        }
        assert!(fast.may_send(MOST - 1) && !fast.may_send(MOST));
        for _ in 0..10 {
            fast.through(1, ms(2_000), ms(300));
        }
        assert!(fast.may_send(0) && !fast.may_send(1), "it was halved until one is left");
        let mut slow = Pace::default();
        slow.through(1, ms(500), ms(500));
        let most = slow.most;
        slow.through(1, ms(800), ms(1_300));
        assert_eq!(slow.most, most, "it queues: no more at once");
    }

    #[test]
    fn the_best_second_is_told_beside_the_whole() {
        assert_eq!(Pace::default().result(), None);
        let mut pace = Pace::default();
        // 1 MB in the first second, 10 MB in the second one.
        for i in 1..=10 {
            pace.through(100_000, ms(10), ms(i * 100));
        }
        for i in 1..=10 {
            pace.through(1_000_000, ms(10), ms(1_000 + i * 100));
        }
        let found = pace.result().expect("something was through");
        assert_eq!((found.bytes, found.ms), (11_000_000, 2_000.0));
        assert!(
            (found.mbit_s - 44.0).abs() < 1e-9 && (found.best_mbit_s - 80.0).abs() < 1e-9,
            "{found:?}"
        );
    }

    #[test]
    fn one_at_a_time_and_so_much_an_hour() {
        let mut allowance = Allowance::new(100);
        allowance.begin(80, ms(0)).expect("there is room");
        assert!(allowance.begin(1, ms(1)).expect_err("one goes on").contains("goes on"));
        allowance.end(30);
        assert_eq!(allowance.left(ms(2)), 70);
        let refused = allowance.begin(71, ms(3)).expect_err("too much");
        assert!(refused.contains("70 more bytes"), "{refused}");
        allowance.begin(70, ms(4)).expect("there is room");
        allowance.end(1_000);
        assert_eq!(allowance.left(ms(5)), 0, "never less than nothing");
        assert_eq!(allowance.left(HOUR + ms(1)), 30, "the first is of more than an hour ago");
        assert!(Allowance::new(0).begin(0, ms(0)).expect_err("off").contains("switched off"));
    }

    proptest! {
        #[test]
        fn no_hour_takes_more_than_it_may(runs in proptest::collection::vec((0_u64..200, 0_u64..200, 0_u64..2_000), 0..60)) {
            let (mut allowance, mut now) = (Allowance::new(300), Duration::ZERO);
            let mut sent: Vec<(Duration, u64)> = Vec::new();
            for (asked, used, later) in runs {
                now += Duration::from_secs(later);
                if allowance.begin(asked, now).is_ok() {
                    let used = used.min(asked);
                    allowance.end(used);
                    sent.push((now, used));
                }
                let hour: u64 = sent.iter().filter(|(at, _)| now - *at < HOUR).map(|(_, bytes)| bytes).sum();
                prop_assert!(hour <= 300);
                prop_assert_eq!(allowance.left(now), 300 - hour);
            }
        }

        #[test]
        fn the_best_second_is_no_worse_than_all_and_no_better_than_can_be(
            pieces in proptest::collection::vec((1_u64..1_000_000, 1_u64..3_000), 1..50),
        ) {
            let (mut pace, mut at) = (Pace::default(), 0);
            for (bytes, later) in &pieces {
                at += later;
                pace.through(*bytes, ms(1), ms(at));
            }
            let found = pace.result().expect("something was through");
            let total: u64 = pieces.iter().map(|(bytes, _)| bytes).sum();
            prop_assert_eq!(found.bytes, total);
            prop_assert!(found.best_mbit_s >= found.mbit_s);
            prop_assert!(found.best_mbit_s <= (total as f64 * 8.0 / 1e6).max(found.mbit_s) + 1e-9);
        }
    }
}
