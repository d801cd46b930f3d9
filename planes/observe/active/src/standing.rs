//! Whether a test fails here: results in a row decide, never one alone. Pure, with the time as an argument.

use std::collections::BTreeMap;

use holm_model::Millis;

use crate::test::Test;

/// A state without results is known for so many intervals, and for this time at least.
const KNOWN_INTERVALS: u32 = 3;
const KNOWN_MS: u64 = 60_000;

/// How a test stands at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not often enough yet to say.
    Unknown,
    /// It answers.
    Passing,
    /// It failed several times in a row.
    Failing,
    /// The guard of this node refuses its address: nothing is sent, and nothing is known of the target.
    Refused,
}

/// What a run of a test came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// It answered as expected.
    Answered,
    /// It did not, and why.
    Failed(&'a str),
    /// The guard refused the address, and why.
    Refused(&'a str),
}

impl State {
    /// The state as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Passing => "passing",
            Self::Failing => "failing",
            Self::Refused => "refused",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Unknown, Self::Passing, Self::Failing, Self::Refused]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// What is known of a test at a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How it stands.
    pub state: State,
    /// Since when: of a run of results the first.
    pub since: Millis,
    /// What its last failure said; empty while it passes.
    pub error: Box<str>,
    /// When its last result came.
    pub last: Millis,
    /// What the last result makes it, if there are enough of them.
    becomes: State,
    row: u32,
    /// When the run of results that say the same began.
    run_since: Millis,
    /// Without a result for so long, in milliseconds, nothing is known any more.
    known_ms: u64,
}

impl Standing {
    /// When its state of now ceases to be known, if no result comes.
    fn known_until(&self) -> Millis {
        Millis(self.last.max(self.run_since).0.saturating_add(self.known_ms))
    }

    /// How it stands at that moment: what had no result for three intervals is not known any more.
    pub fn state_at(&self, now: Millis) -> State {
        if now > self.known_until() { State::Unknown } else { self.state }
    }

    /// Since when it stands as it does at that moment, and what its last failure said; of what is not known any more,
    /// why.
    pub fn told_at(&self, now: Millis) -> (Millis, Box<str>) {
        if now <= self.known_until() {
            return (self.since, self.error.clone());
        }
        let before = self.state.as_str();
        let why = format!(
            "no result for more than {} s, it was {before} before: its runs are left out or do not end",
            self.known_ms / 1_000
        );
        (self.known_until(), why.into())
    }
}

/// A test turned at this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned {
    /// What it was.
    pub before: State,
    /// What it is now: failing, passing or refused.
    pub state: State,
    /// Since when.
    pub since: Millis,
}

/// The tests of one node. As large as what it is told to run, and no larger.
#[derive(Debug, Default)]
pub struct Standings(BTreeMap<Box<str>, Standing>);

impl Standings {
    /// A test that was failing when the node ended: it is not raised again, and its end is told.
    pub fn restore(&mut self, name: &str, now: Millis) {
        let standing = Standing {
            state: State::Failing,
            since: now,
            error: Box::default(),
            last: Millis(0),
            becomes: State::Failing,
            row: 0,
            run_since: now,
            // How often it runs is told with its first result.
            known_ms: u64::MAX,
        };
        self.0.insert(name.into(), standing);
    }

    /// Takes a result. What turned, if something did.
    pub fn take(&mut self, test: &Test, said: Said<'_>, at: Millis) -> Option<Turned> {
        let (becomes, needed, error) = match said {
            Said::Answered => (State::Passing, test.successes, ""),
            Said::Failed(error) => (State::Failing, test.failures, error),
            Said::Refused(error) => (State::Refused, 1, error),
        };
        let new = || Standing {
            state: State::Unknown,
            since: at,
            error: Box::default(),
            last: at,
            becomes,
            row: 0,
            run_since: at,
            known_ms: KNOWN_MS,
        };
        let standing = self.0.entry(test.name.clone()).or_insert_with(new);
        if at.is_late_after(standing.last) {
            return None;
        }
        let known = test.interval * KNOWN_INTERVALS + test.jitter + test.timeout;
        standing.known_ms = u64::try_from(known.as_millis()).unwrap_or(u64::MAX).max(KNOWN_MS);
        // A clock that was set back: nothing began later than now.
        (standing.since, standing.run_since) = (standing.since.min(at), standing.run_since.min(at));
        standing.last = at;
        if standing.becomes != becomes || standing.row == 0 {
            (standing.row, standing.run_since) = (0, at);
        }
        standing.becomes = becomes;
        standing.row = standing.row.saturating_add(1);
        standing.error = error.into();
        if standing.state == becomes || standing.row < needed {
            return None;
        }
        let before = std::mem::replace(&mut standing.state, becomes);
        standing.since = standing.run_since;
        Some(Turned { before, state: becomes, since: standing.since })
    }

    /// Lets go of tests that this node runs no more; those of them that were failing.
    pub fn keep(&mut self, runs: impl Fn(&str) -> bool) -> Vec<Box<str>> {
        let mut ended = Vec::new();
        self.0.retain(|name, standing| {
            let keeps = runs(name);
            if !keeps && standing.state == State::Failing {
                ended.push(name.clone());
            }
            keeps
        });
        ended
    }

    /// How a test stands.
    pub fn of(&self, name: &str) -> Option<&Standing> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Standing)> {
        self.0.iter().map(|(name, standing)| (&**name, standing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shop(more: &str) -> Test {
        let text = format!("kind: Test\nname: shop\nprobe: icmp\ntarget: x\ninterval: 1s\n{more}");
        crate::parse(&text).expect("good").remove(0)
    }

    fn turns(test: &Test, results: &str) -> String {
        let mut standings = Standings::default();
        let said = results.chars().enumerate().map(|(at, result)| {
            let said = match result {
                'x' => Said::Failed("no answer"),
                'r' => Said::Refused("private"),
                _ => Said::Answered,
            };
            match standings.take(test, said, Millis(at as u64)) {
                Some(Turned { state: State::Failing, .. }) => 'F',
                Some(Turned { state: State::Refused, .. }) => 'R',
                Some(_) => 'P',
                None => '-',
            }
        });
        said.collect()
    }

    #[test]
    fn results_in_a_row_turn_it_and_one_alone_does_not() {
        assert_eq!(turns(&shop(""), "xx.xxx.x..."), "-----F----P");
        assert_eq!(turns(&shop("failures: 1\nsuccesses: 2\n"), "x.x..x"), "F---PF");
        assert_eq!(turns(&shop(""), "...xxx"), "--P--F", "that it passes is told once too");
        assert_eq!(
            turns(&shop(""), "xxxrrx.xxx"),
            "--FR-----F",
            "a refusal says nothing of the target"
        );
    }

    #[test]
    fn a_clock_that_is_set_back_hides_nothing() {
        let (test, mut standings) = (shop(""), Standings::default());
        let hour = 3_600_000;
        for n in 0..5 {
            standings.take(&test, Said::Answered, Millis(2 * hour + n));
        }
        assert_eq!(standings.take(&test, Said::Failed("late"), Millis(2 * hour - 1)), None);
        let mut fails = |n| standings.take(&test, Said::Failed("no answer"), Millis(hour + n));
        let said: Vec<_> = (0..3).map(&mut fails).collect();
        let turned = said[2].as_ref().expect("it fails");
        assert_eq!((turned.state, turned.since), (State::Failing, Millis(hour)));
    }

    #[test]
    fn since_is_when_the_run_began_and_what_is_moved_away_ends() {
        let (test, mut standings) = (shop(""), Standings::default());
        for at in 10..12 {
            assert_eq!(standings.take(&test, Said::Failed("no answer"), Millis(at)), None);
        }
        let turned = standings.take(&test, Said::Failed("no answer"), Millis(12));
        assert_eq!(
            turned,
            Some(Turned { before: State::Unknown, state: State::Failing, since: Millis(10) })
        );
        assert_eq!(
            standings.take(&test, Said::Answered, Millis(5)),
            None,
            "an old result says nothing"
        );
        assert_eq!(&*standings.of("shop").expect("there").error, "no answer");
        assert_eq!(standings.keep(|_| true), []);
        assert_eq!(standings.keep(|_| false), [Box::from("shop")]);
        assert!(standings.all().next().is_none());
        standings.restore("shop", Millis(20));
        assert_eq!(
            standings.take(&test, Said::Failed("no answer"), Millis(21)),
            None,
            "it was known"
        );
        let ended =
            (22..25).filter_map(|at| standings.take(&test, Said::Answered, Millis(at))).next();
        assert_eq!(
            ended,
            Some(Turned { before: State::Failing, state: State::Passing, since: Millis(22) })
        );
    }

    #[test]
    fn without_results_it_is_not_known_any_more() {
        let (test, mut standings) = (shop("timeout: 1s\nfailures: 1\n"), Standings::default());
        let hourly = Test { interval: std::time::Duration::from_secs(3_600), ..test.clone() };
        for (test, known_ms) in [(test, 60_000), (hourly, 3 * 3_600_000 + 1_000)] {
            standings = Standings::default();
            standings.take(&test, Said::Failed("no answer"), Millis(1_000));
            let standing = standings.of("shop").expect("there");
            let last = Millis(1_000 + known_ms);
            assert_eq!(standing.state_at(last), State::Failing);
            assert_eq!(standing.told_at(last), (Millis(1_000), "no answer".into()));
            let (since, why) = standing.told_at(last + 1);
            assert_eq!((standing.state_at(last + 1), since), (State::Unknown, last));
            assert!(why.contains("it was failing before"), "{why}");
        }
        // One that was failing when the node ended is failing until it is heard of.
        standings.restore("other", Millis(5));
        let restored = standings.of("other").expect("there");
        assert_eq!(restored.state_at(Millis(u64::MAX - 1)), State::Failing);
    }

    proptest! {
        #[test]
        fn it_turns_back_and_forth_and_only_after_so_many(results in "[.x]{0,60}", failures in 1..6_u32, successes in 1..6_u32) {
            let test = shop(&format!("failures: {failures}\nsuccesses: {successes}\n"));
            let turns = turns(&test, &results);
            let told: String = turns.chars().filter(|c| *c != '-').collect();
            prop_assert!(!told.contains("FF") && !told.contains("PP"));
            for (at, turn) in turns.char_indices().filter(|(_, turn)| *turn != '-') {
                let (needed, of) = if turn == 'F' { (failures, 'x') } else { (successes, '.') };
                let run = &results[..=at];
                prop_assert!(run.len() >= needed as usize);
                prop_assert!(run.chars().rev().take(needed as usize).all(|c| c == of));
            }
        }
    }
}
