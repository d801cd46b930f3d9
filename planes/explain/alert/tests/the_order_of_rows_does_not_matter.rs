//! Whatever the order in which rows come, as long as they are no later than may be: rules stand as a plain model
//! says that has all rows before it, and what was said adds up to it.

#[allow(dead_code)]
mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{BEGIN, MINUTE, Row, engine, feed, row};
use holm_alert::{LAG_MS, LATE_MS, RuleState};
use holm_model::Millis;
use proptest::prelude::*;

const STEP: u64 = 30_000;
const WHO: [&str; 3] = ["a", "b", "c"];

/// Rules over the last two minutes, for one minute, kept for one: what is made of rows, and when it holds.
#[derive(Debug, Clone, Copy)]
struct Kind {
    value: &'static str,
    condition: &'static str,
    of: fn(&[&Row]) -> Option<f64>,
    holds: fn(f64) -> bool,
}

const KINDS: [Kind; 7] = [
    Kind {
        value: "count",
        condition: "{ above: 3 }",
        of: |r| Some(r.len() as f64),
        holds: |v| v > 3.0,
    },
    Kind {
        value: "count",
        condition: "{ below: 2 }",
        of: |r| Some(r.len() as f64),
        holds: |v| v < 2.0,
    },
    Kind {
        value: "{ share: 'NOT good' }",
        condition: "{ above: 0.4 }",
        of: |r| mean(r.iter().map(|r| f64::from(u8::from(!r.good)))),
        holds: |v| v > 0.4,
    },
    Kind {
        value: "{ sum: value }",
        condition: "{ outside: [5, 20] }",
        of: |r| Some(r.iter().filter_map(|r| r.value).sum()),
        holds: |v| !(5.0..=20.0).contains(&v),
    },
    Kind {
        value: "{ max: value }",
        condition: "{ above: 6 }",
        of: |r| r.iter().filter_map(|r| r.value).max_by(f64::total_cmp),
        holds: |v| v > 6.0,
    },
    Kind {
        value: "{ min: value }",
        condition: "{ below: 2 }",
        of: |r| r.iter().filter_map(|r| r.value).min_by(f64::total_cmp),
        holds: |v| v < 2.0,
    },
    Kind {
        value: "{ avg: value }",
        condition: "{ above: 4 }",
        of: |r| mean(r.iter().filter_map(|r| r.value)),
        holds: |v| v > 4.0,
    },
];

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let all: Vec<f64> = values.collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

/// `(firing, since, fired at)` of the groups that hold, by a plain walk over all moments.
fn model(kind: Kind, rows: &[Row], until: u64) -> BTreeMap<String, (bool, u64, Option<u64>)> {
    let mut standing = BTreeMap::new();
    let groups: BTreeSet<&str> = rows.iter().filter_map(|row| row.who).collect();
    for who in groups {
        let of: Vec<&Row> =
            rows.iter().filter(|row| row.who == Some(who) && row.value.is_some()).collect();
        let of = match kind.value {
            "count" | "{ share: 'NOT good' }" => {
                rows.iter().filter(|r| r.who == Some(who)).collect()
            }
            _ => of,
        };
        let Some(born) = of.iter().map(|row| row.at).min() else { continue };
        let (mut since, mut fired, mut clear): (Option<u64>, Option<u64>, Option<u64>) =
            (None, None, None);
        let mut at = BEGIN + STEP;
        while at + LAG_MS <= until {
            let window: Vec<&Row> =
                of.iter().copied().filter(|r| r.at < at && r.at >= at - 2 * MINUTE).collect();
            let known = born / STEP * STEP < at;
            let holds = known && (kind.of)(&window).is_some_and(kind.holds);
            if holds {
                clear = None;
                let from = *since.get_or_insert(at);
                if fired.is_none() && at - from >= MINUTE {
                    fired = Some(at);
                }
            } else if fired.is_some() {
                let from = *clear.get_or_insert(at);
                if at - from >= MINUTE {
                    (since, fired, clear) = (None, None, None);
                }
            } else {
                since = None;
            }
            at += STEP;
        }
        if let Some(since) = since {
            standing.insert(who.to_owned(), (fired.is_some(), since, fired));
        }
    }
    standing
}

fn some_rows() -> impl Strategy<Value = Vec<(Row, u64)>> {
    // Values of which sums are exact.
    let one = (
        0..25 * MINUTE,
        0..WHO.len(),
        prop::option::weighted(0.9, 0..40_u32),
        any::<bool>(),
        prop_oneof![Just(0), 0..LATE_MS],
    );
    prop::collection::vec(one, 1..120).prop_map(|all| {
        let row = |(at, who, value, good, late): (u64, usize, Option<u32>, bool, u64)| {
            let value = value.map(|value| f64::from(value) / 4.0);
            (Row { at: BEGIN + at, who: Some(WHO[who]), value, good }, late)
        };
        all.into_iter().map(row).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn late_rows_are_judged_as_if_they_had_come_in_time(
        rows in some_rows(),
        kind in prop::sample::select(KINDS.to_vec()),
        every_ms in 1_000..90_000_u64,
    ) {
        let text = format!(
            "kind: AlertRule\nname: r\ntable: t\nby: [who]\nvalue: {}\nwindow: 2m\nevery: 30s\ncondition: {}\n\
             for: 1m\nkeep: 1m\n", kind.value, kind.condition
        );
        let mut engine = engine(&text);
        let mut arrivals: Vec<(u64, Row)> =
            rows.iter().map(|(row, late)| (row.at + late, row.clone())).collect();
        arrivals.sort_by_key(|(at, _)| *at);
        let until = BEGIN + 40 * MINUTE;
        let mut now = BEGIN;
        let mut raised: BTreeSet<Vec<String>> = BTreeSet::new();
        let mut next = 0;
        while now < until {
            now = (now + every_ms).min(until);
            let to = arrivals.partition_point(|(at, _)| *at <= now);
            let new: Vec<Row> = arrivals[next..to].iter().map(|(_, row)| row.clone()).collect();
            next = to;
            feed(&mut engine, &new, now);
            engine.judge(Millis(now));
            for turn in engine.turns(Millis(now), &|_, _| false) {
                let key: Vec<String> = turn.group.iter().map(|part| part.to_string()).collect();
                let news = if turn.raised { raised.insert(key) } else { raised.remove(&key) };
                prop_assert!(news, "said twice: {turn:?}");
            }
        }
        prop_assert_eq!(engine.counters().late, 0);
        let all: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
        let right = model(kind, &all, until);
        let standing = engine.standings(100).remove(0);
        let found: BTreeMap<String, (bool, u64, Option<u64>)> = standing.active.iter().map(|group| {
            let fired = group.fired_at.map(|at| at.0);
            (group.group[0].to_string(), (group.firing, group.since.0, fired))
        }).collect();
        prop_assert_eq!(&found, &right);
        let firing: BTreeSet<Vec<String>> =
            right.iter().filter(|(_, s)| s.0).map(|(who, _)| vec![who.clone()]).collect();
        prop_assert_eq!(raised, firing);
    }

    #[test]
    fn a_composite_stands_as_if_its_rules_had_been_known(rows in some_rows()) {
        let text = "[{ kind: AlertRule, name: many, table: t, by: [who], value: count, window: 2m, every: 30s, \
              condition: { above: 2 }, keep: 1m },\
             { kind: AlertRule, name: bad, table: t, by: [who], value: { share: NOT good }, window: 2m, every: 30s, \
              condition: { above: 0.3 } },\
             { kind: AlertRule, name: both, composite: { all: [many, bad] }, by: [who], every: 30s, for: 1m }]";
        let until = BEGIN + 40 * MINUTE;
        let run = |late: bool| {
            let mut engine = engine(text);
            let mut arrivals: Vec<(u64, Row)> = rows.iter()
                .map(|(row, by)| (row.at + if late { *by } else { 0 }, row.clone())).collect();
            arrivals.sort_by_key(|(at, _)| *at);
            let mut raised: BTreeSet<(String, String)> = BTreeSet::new();
            let mut next = 0;
            for minute in 1..=40 {
                let now = BEGIN + minute * MINUTE;
                let to = arrivals.partition_point(|(at, _)| *at <= now);
                let new: Vec<Row> = arrivals[next..to].iter().map(|(_, row)| row.clone()).collect();
                next = to;
                feed(&mut engine, &new, now);
                engine.judge(Millis(now));
                for turn in engine.turns(Millis(now), &|_, _| false) {
                    let key = (turn.rule.name.to_string(), turn.group[0].to_string());
                    if turn.raised { raised.insert(key); } else { raised.remove(&key); }
                }
            }
            engine.judge(Millis(until));
            let standings = engine.standings(100);
            let active: Vec<_> = standings.into_iter().map(|s| (s.rule.name.clone(), s.state, s.active)).collect();
            (active, raised)
        };
        let (late, prompt) = (run(true), run(false));
        prop_assert_eq!(late, prompt);
    }
}

#[test]
fn what_comes_later_than_may_be_is_counted_and_changes_nothing() {
    let mut engine = engine(
        "{ kind: AlertRule, name: r, table: t, value: count, window: 1m, every: 30s, condition: { above: 0 } }",
    );
    let now = BEGIN + 30 * MINUTE;
    engine.judge(Millis(now));
    feed(&mut engine, &[row(now - 15 * MINUTE, "a", 1.0, true)], now);
    feed(&mut engine, &[row(now + 15 * MINUTE, "a", 1.0, true)], now);
    engine.judge(Millis(now + MINUTE));
    assert_eq!((engine.counters().late, engine.counters().ahead), (1, 1));
    assert_eq!(engine.standings(9)[0].state, RuleState::Inactive);
    // Nine minutes late it would have fired, and was over: both are said.
    feed(&mut engine, &[row(now - 9 * MINUTE, "a", 1.0, true)], now + MINUTE);
    engine.judge(Millis(now + 2 * MINUTE));
    let turns = engine.turns(Millis(now + 2 * MINUTE), &|_, _| false);
    let said: Vec<(bool, u64)> = turns.iter().map(|t| (t.raised, (now - t.at.0) / STEP)).collect();
    assert_eq!(said, [(true, 17), (false, 15)]);
}
