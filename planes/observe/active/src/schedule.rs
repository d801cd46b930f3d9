//! Which target runs next: pure, with time and randomness as arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holm_model::SiteId;

use crate::ProbeKind;
use crate::Test;
use crate::probes::Probe;

/// First runs are spread over this time at most, so that a new target is seen soon.
const FIRST_RUN_WITHIN_MS: u64 = 1_000;
/// A run that had no room is tried again after a quarter of its interval, and between these.
const AGAIN_MS: std::ops::RangeInclusive<u64> = 20..=1_000;

/// One target that is probed again and again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Job {
    /// The target's name in results.
    pub(crate) name: String,
    /// What is probed as it is written: `name` may be somebody's word for it.
    pub(crate) probed: String,
    /// What is done.
    pub(crate) probe: Probe,
    /// How often.
    pub(crate) interval: Duration,
    /// The site that is probed, if it is one of the mesh.
    pub(crate) peer: Option<SiteId>,
    /// The test that it is, if somebody made it by policy.
    pub(crate) test: Option<Arc<Test>>,
}

/// A job's name in the schedule: a configured target may have the name of a node of the mesh, and tests the same
/// target.
pub(crate) type JobKey = (ProbeKind, Option<SiteId>, Option<Box<str>>, String);

impl Job {
    pub(crate) fn key(&self) -> JobKey {
        let test = self.test.as_ref().map(|test| test.name.clone());
        (self.probe.kind(), self.peer.clone(), test, self.name.clone())
    }

    /// How far after its time it may begin.
    fn jitter_ms(&self) -> u64 {
        self.test.as_ref().map_or(0, |test| millis(test.jitter))
    }
}

struct Entry {
    job: Job,
    /// When it begins next: after its time by some of its jitter.
    due_ms: u64,
    /// Its time next, in step with its phase.
    phase_ms: u64,
    /// From the first run to the second, which gives the job its phase; `None` once it ran.
    first_gap_ms: Option<u64>,
    /// When the run that is under way, or is to be tried again, was due; of one that is tried again for longer than its
    /// interval, when that began anew.
    wanted_ms: Option<u64>,
}

/// The jobs with their next times, on a monotone clock in milliseconds.
#[derive(Default)]
pub(crate) struct Schedule {
    entries: BTreeMap<JobKey, Entry>,
    /// The same jobs in the order of their times.
    queue: BTreeSet<(u64, JobKey)>,
    /// Those under way, whether or not they are jobs still.
    running: BTreeSet<JobKey>,
    /// Those that had no room, and are tried again.
    waiting: BTreeSet<JobKey>,
    /// Runs that were left out: the one before was still under way, or their time had passed.
    pub(crate) skipped: u64,
}

impl Schedule {
    /// Makes `jobs` the jobs: those that are new or others than before get a phase by `random`, those that stay as
    /// they are keep theirs.
    pub(crate) fn sync(&mut self, jobs: Vec<Job>, now_ms: u64, mut random: impl FnMut(u64) -> u64) {
        let mut before = std::mem::take(&mut self.entries);
        for job in jobs {
            let key = job.key();
            let entry = match before.remove(&key) {
                Some(entry) if entry.job == job => entry,
                _ => {
                    let interval = millis(job.interval).max(1);
                    let within = interval.min(FIRST_RUN_WITHIN_MS);
                    // The first runs are close together; from the second on the jobs are spread
                    // over their interval.
                    let first_gap_ms = (interval > within).then(|| interval / 2 + random(interval));
                    let due_ms = now_ms + random(within);
                    Entry { due_ms, phase_ms: due_ms, job, first_gap_ms, wanted_ms: None }
                }
            };
            self.entries.insert(key, entry);
        }
        self.queue = self.entries.iter().map(|(key, entry)| (entry.due_ms, key.clone())).collect();
        self.waiting.retain(|key| self.entries.contains_key(key));
    }

    /// The jobs to start now, at most `room`; the others stay due. How far after its time each begins next is drawn
    /// by `random`.
    pub(crate) fn start_due(
        &mut self,
        now_ms: u64,
        room: usize,
        mut random: impl FnMut(u64) -> u64,
    ) -> Vec<Job> {
        let mut started = Vec::new();
        while self.next_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            let Some((due_ms, key)) = self.queue.pop_first() else { break };
            let running = self.running.contains(&key);
            if !running && started.len() >= room {
                self.queue.insert((due_ms, key));
                break;
            }
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if running {
                self.skipped += 1;
            } else {
                self.running.insert(key.clone());
                entry.wanted_ms.get_or_insert(due_ms);
                started.push(entry.job.clone());
            }
            // In step with its phase; times that have passed are not made up for.
            let interval = millis(entry.job.interval).max(1);
            let mut next = entry.phase_ms + entry.first_gap_ms.unwrap_or(interval);
            if next <= now_ms {
                let passed = (now_ms - next) / interval + 1;
                self.skipped += passed;
                next += passed * interval;
            }
            let jitter_ms = entry.job.jitter_ms();
            let later = if jitter_ms > 0 { random(jitter_ms + 1) } else { 0 };
            (entry.phase_ms, entry.due_ms) = (next, next + later);
            self.queue.insert((entry.due_ms, key));
        }
        started
    }

    /// The job's run has ended. While others wait for room its next time is drawn by `random` around its interval: one
    /// that comes by its clock just when there is room would else take it each time.
    pub(crate) fn ended(&mut self, key: &JobKey, now_ms: u64, mut random: impl FnMut(u64) -> u64) {
        self.running.remove(key);
        self.waiting.remove(key);
        let Some(entry) = self.entries.get_mut(key) else { return };
        (entry.first_gap_ms, entry.wanted_ms) = (None, None);
        if !self.waiting.is_empty() {
            let interval = millis(entry.job.interval).max(1);
            let at = now_ms + interval / 2 + random(interval);
            self.due(key, at);
        }
    }

    /// The job is due then, and has its phase by that.
    fn due(&mut self, key: &JobKey, at_ms: u64) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.queue.remove(&(entry.due_ms, key.clone()));
            (entry.due_ms, entry.phase_ms) = (at_ms, at_ms);
            self.queue.insert((at_ms, key.clone()));
        }
    }

    /// The job's run had no room: it is tried again soon, at a time that `random` draws, and has its phase by that from
    /// then on. Jobs that are due when there is no room would else be left out for ever, and always the same ones.
    /// Whether a whole interval has passed without a run, which is a run that was left out.
    pub(crate) fn postpone(
        &mut self,
        key: &JobKey,
        now_ms: u64,
        mut random: impl FnMut(u64) -> u64,
    ) -> bool {
        self.running.remove(key);
        let Some(entry) = self.entries.get_mut(key) else { return false };
        let interval = millis(entry.job.interval).max(1);
        let again = (interval / 4).clamp(*AGAIN_MS.start(), *AGAIN_MS.end());
        let wanted = entry.wanted_ms.get_or_insert(now_ms);
        let is_lost = now_ms >= *wanted + interval;
        if is_lost {
            *wanted += (now_ms - *wanted) / interval * interval;
        }
        self.waiting.insert(key.clone());
        self.due(key, now_ms + again / 2 + random(again));
        is_lost
    }

    /// When something is due next.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.queue.first().map(|(due_ms, _)| *due_ms)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;

    fn job(name: &str, interval_ms: u64) -> Job {
        Job {
            name: name.into(),
            probed: name.into(),
            probe: Probe::Tcp { host: name.into(), port: 1, family: Family::Any },
            interval: Duration::from_millis(interval_ms),
            peer: None,
            test: None,
        }
    }

    #[test]
    fn jobs_keep_their_phase_and_missed_times_are_counted() {
        let mut schedule = Schedule::default();
        schedule.sync(vec![job("a", 100)], 0, |_| 7);
        assert_eq!(schedule.next_ms(), Some(7));
        assert!(schedule.start_due(6, 9, |_| 0).is_empty());
        assert_eq!(schedule.start_due(7, 9, |_| 0).len(), 1);
        assert_eq!(schedule.next_ms(), Some(107));
        assert!(schedule.start_due(107, 9, |_| 0).is_empty(), "still running");
        assert_eq!(schedule.skipped, 1);
        schedule.ended(&job("a", 100).key(), 0, |_| 0);
        assert_eq!(schedule.start_due(550, 9, |_| 0).len(), 1);
        assert_eq!(schedule.next_ms(), Some(607), "the phase stays");
        assert_eq!(schedule.skipped, 1 + 3);
        schedule.sync(vec![job("a", 100), job("b", 100)], 600, |within| within - 1);
        assert_eq!(schedule.next_ms(), Some(607), "a known job keeps its time");
        assert_eq!(schedule.len(), 2);
        schedule.sync(vec![job("b", 100)], 600, |_| 0);
        assert_eq!(schedule.next_ms(), Some(699));
    }

    #[test]
    fn a_job_that_is_another_now_runs_soon_and_jitter_does_not_move_its_phase() {
        let text =
            "kind: Test\nname: a\nprobe: tcp\nport: 1\ntarget: x\ninterval: 1s\njitter: 500ms\n";
        let test = Arc::new(crate::parse(text).expect("good").remove(0));
        let job = |interval_ms| Job { test: Some(Arc::clone(&test)), ..job("x", interval_ms) };
        let mut schedule = Schedule::default();
        schedule.sync(vec![job(86_400_000)], 0, |_| 0);
        assert_eq!(schedule.start_due(0, 9, |_| 0).len(), 1);
        schedule.ended(&job(1_000).key(), 0, |_| 0);
        assert!(schedule.next_ms() > Some(10_000_000));
        schedule.sync(vec![job(1_000)], 5_000, |_| 0);
        assert_eq!(schedule.next_ms(), Some(5_000), "within one interval");
        let mut due = Vec::new();
        for (number, now) in [5_000, 6_500, 7_500, 8_500].into_iter().enumerate() {
            let jitter = if number % 2 == 0 { 499 } else { 0 };
            assert_eq!(schedule.start_due(now, 9, |within| jitter.min(within - 1)).len(), 1);
            schedule.ended(&job(1_000).key(), 0, |_| 0);
            due.extend(schedule.next_ms());
        }
        assert_eq!(due, [6_499, 7_000, 8_499, 9_000]);
        assert_eq!(schedule.skipped, 0);
    }

    #[test]
    fn a_configured_target_and_a_node_of_one_name_are_two_jobs() {
        let mut schedule = Schedule::default();
        let of_mesh = Job { peer: SiteId::new("tokyo").ok(), ..job("tokyo/n1", 100) };
        schedule.sync(vec![job("tokyo/n1", 100), of_mesh], 0, |_| 0);
        assert_eq!(schedule.start_due(0, 9, |_| 0).len(), 2);
    }

    #[test]
    fn no_more_start_than_there_is_room_for_and_the_rest_stays_due() {
        let mut schedule = Schedule::default();
        let jobs = (0..5).map(|n| job(&n.to_string(), 1_000)).collect();
        schedule.sync(jobs, 0, |_| 0);
        assert_eq!(schedule.start_due(0, 2, |_| 0).len(), 2);
        assert_eq!(schedule.start_due(1, 9, |_| 0).len(), 3);
        assert_eq!(schedule.skipped, 0);
    }
    #[test]
    fn first_runs_come_soon_and_later_ones_are_spread_over_the_interval() {
        let mut schedule = Schedule::default();
        let jobs = (0..1_000).map(|n| job(&n.to_string(), 60_000)).collect();
        let mut draws = 0_u64;
        schedule.sync(jobs, 0, |within| {
            draws += 1;
            draws * 7_919 % within
        });
        let mut runs_by_second = [0; 240];
        for second in 0..240 {
            let started = schedule.start_due(second * 1_000 + 999, usize::MAX, |_| 0);
            runs_by_second[second as usize] = started.len();
            started.iter().for_each(|job| schedule.ended(&job.key(), 0, |_| 0));
        }
        assert_eq!(runs_by_second[0], 1_000, "a new target is seen at once");
        let most = runs_by_second[120..].iter().max();
        assert!(most.is_some_and(|most| *most <= 100), "{runs_by_second:?}");
        assert_eq!(runs_by_second[120..180].iter().sum::<usize>(), 1_000, "each once an interval");
        assert_eq!(schedule.skipped, 0);
    }

    /// Runs `count` jobs of that interval for so many milliseconds, of which `per_second` have room; how often each ran,
    /// and how many runs were left out.
    fn with_room(count: u64, interval_ms: u64, per_second: u64, until_ms: u64) -> (Vec<u64>, u64) {
        let mut draws = 1_u64;
        let mut random = |within: u64| {
            draws = draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            (draws >> 33) % within
        };
        let mut schedule = Schedule::default();
        let jobs = (0..count).map(|n| job(&format!("{n:04}"), interval_ms)).collect();
        schedule.sync(jobs, 0, &mut random);
        let (mut ran, mut lost, mut room) = (BTreeMap::<String, u64>::new(), 0, 0);
        for now_ms in (0..until_ms).step_by(10) {
            if now_ms % 1_000 == 0 {
                room = per_second;
            }
            for job in schedule.start_due(now_ms, usize::MAX, &mut random) {
                if room > 0 {
                    room -= 1;
                    *ran.entry(job.name.clone()).or_default() += 1;
                    schedule.ended(&job.key(), now_ms, &mut random);
                } else {
                    lost += u64::from(schedule.postpone(&job.key(), now_ms, &mut random));
                }
            }
        }
        (ran.into_values().collect(), lost)
    }

    #[test]
    fn where_there_is_little_room_every_job_has_its_turn() {
        let (ran, lost) = with_room(20, 2_000, 1, 600_000);
        assert_eq!(ran.len(), 20, "each of them runs");
        assert!(ran.iter().all(|runs| (15..=60).contains(runs)), "{ran:?}");
        let due = 20 * 300;
        let done = ran.iter().sum::<u64>();
        assert!(lost + done > due * 8 / 10 && lost + done <= due * 12 / 10, "{lost} and {done}");
        // What has room within its interval is late, and not left out.
        let (ran, lost) = with_room(20, 60_000, 5, 600_000);
        assert_eq!((ran.len(), lost), (20, 0));
        // And the first runs of many come soon.
        let (ran, _) = with_room(200, 3_600_000, 50, 30_000);
        assert_eq!(ran, [1; 200]);
    }

    #[test]
    fn a_job_that_went_and_came_back_does_not_run_twice_at_once() {
        let mut schedule = Schedule::default();
        schedule.sync(vec![job("a", 100)], 0, |_| 0);
        assert_eq!(schedule.start_due(0, 9, |_| 0).len(), 1);
        schedule.sync(Vec::new(), 10, |_| 0);
        assert_eq!(schedule.next_ms(), None);
        schedule.sync(vec![job("a", 100)], 20, |_| 0);
        assert!(schedule.start_due(20, 9, |_| 0).is_empty(), "its run of before is under way");
        assert_eq!(schedule.skipped, 1);
        schedule.ended(&job("a", 100).key(), 0, |_| 0);
        assert_eq!(schedule.start_due(120, 9, |_| 0).len(), 1);
    }
}
