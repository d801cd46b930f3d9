//! Conditions, groups, composites, inhibition, silences and what is usual, over rows.

#[allow(dead_code)]
mod common;

use std::sync::Arc;

use common::{BEGIN, MINUTE, batch, engine, feed, row, rules, tables};
use holm_alert::{Engine, Limits, RuleState, Watched, check_together};
use holm_model::Millis;

fn states(engine: &Engine) -> Vec<RuleState> {
    engine.standings(100).iter().map(|standing| standing.state).collect()
}

/// A rule over one minute that is judged each 30 s.
fn rule(name: &str, more: &str) -> String {
    format!("{{ kind: AlertRule, name: {name}, every: 30s, {more} }}")
}

fn over(name: &str, more: &str) -> String {
    rule(name, &format!("table: t, window: 1m, {more}"))
}

#[test]
fn no_data_fires_for_what_was_known_and_ends_with_rows() {
    let all = format!(
        "[{}, {}]",
        rule("silent", "table: t, by: [who], condition: { no_data: 2m }"),
        rule("nothing", "table: t, where: value > 100, condition: { no_data: 2m }")
    );
    let mut engine = engine(&all);
    let at = |minute: u64| BEGIN + minute * MINUTE + 10_000;
    feed(
        &mut engine,
        &[row(BEGIN + MINUTE, "a", 1.0, true), row(BEGIN + MINUTE, "b", 1.0, true)],
        at(1),
    );
    engine.judge(Millis(at(2)));
    let standing = &engine.standings(9)[0];
    assert_eq!((standing.state, standing.groups), (RuleState::Inactive, 2));
    assert_eq!(states(&engine)[1], RuleState::Firing, "nothing at all is silence");
    feed(&mut engine, &[row(at(3), "a", 1.0, true)], at(3));
    engine.judge(Millis(at(4)));
    let standing = &engine.standings(9)[0];
    assert_eq!((standing.state, standing.firing), (RuleState::Firing, 1));
    assert_eq!(&*standing.active[0].group[0], "b");
    feed(&mut engine, &[row(at(4), "b", 1.0, true)], at(4));
    engine.judge(Millis(at(5)));
    assert_eq!(states(&engine)[0], RuleState::Inactive);
    // After a day nobody waits for them any more.
    engine.judge(Millis(at(10)));
    assert_eq!(engine.standings(9)[0].firing, 2);
    let _ = engine.turns(Millis(at(10)), &|_, _| false);
    let later = at(10) + 25 * 60 * MINUTE;
    engine.judge(Millis(later));
    engine.forget(Millis(later));
    let ended = engine.turns(Millis(later), &|_, _| false);
    let of_silent = ended.iter().filter(|turn| &*turn.rule.name == "silent");
    assert_eq!(of_silent.filter(|turn| !turn.raised).count(), 2);
    assert_eq!(engine.standings(9)[0].groups, 0);
}

#[test]
fn silence_before_rows_were_watched_says_nothing() {
    let text = over("few", "value: count, condition: { below: 1 }");
    let started = BEGIN + 30 * MINUTE;
    let mut engine =
        Engine::new(rules(&text), &tables(), Limits::default(), Millis(BEGIN), Millis(started));
    engine.judge(Millis(started + 20_000));
    assert_eq!(states(&engine), [RuleState::NoData]);
    engine.judge(Millis(started + 70_000));
    assert_eq!(states(&engine), [RuleState::Firing]);
}

#[test]
fn rate_and_quantile() {
    let all = format!(
        "[{}, {}, {}]",
        over("rate", "value: rate, condition: { above: 1.9 }"),
        over("p90", "value: { quantile: 0.9, of: value }, condition: { above: 80 }"),
        over("p50", "value: { quantile: 0.5, of: value }, condition: { outside: [49, 51] }")
    );
    let mut engine = engine(&all);
    let many: Vec<_> =
        (1..=120_u64).map(|n| row(BEGIN + n * 490, "a", (n % 100) as f64, true)).collect();
    feed(&mut engine, &many, BEGIN + MINUTE);
    engine.judge(Millis(BEGIN + MINUTE + 5_000));
    let standings = engine.standings(9);
    let value = |n: usize| standings[n].active.first().and_then(|group| group.value);
    assert_eq!(value(0), Some(2.0));
    assert!((value(1).expect("fires") - 87.0).abs() < 1.0, "{:?}", value(1));
    assert_eq!(standings[2].state, RuleState::Firing);
}

#[test]
fn rules_that_cannot_be_judged_say_why_and_the_others_are() {
    let all = format!(
        "[{}, {}, {}, {}, {}]",
        rule("a", "table: nowhere, value: count, condition: { above: 1 }"),
        over("b", "where: missing = 1, value: count, condition: { above: 1 }"),
        over("c", "value: { avg: who }, condition: { above: 1 }"),
        over("d", "by: [none], value: count, condition: { above: 1 }"),
        over("e", "value: count, condition: { above: 0 }"),
    );
    let mut engine = engine(&all);
    feed(&mut engine, &[row(BEGIN + 1, "a", 1.0, true)], BEGIN + 1);
    engine.judge(Millis(BEGIN + MINUTE));
    let standings = engine.standings(9);
    let says = ["no table nowhere", "no column missing", "who has text", "no column none"];
    for (standing, says) in standings.iter().zip(says) {
        assert_eq!(standing.state, RuleState::Broken);
        let problem = standing.problem.as_deref().expect("a reason");
        assert!(problem.contains(says), "{problem}");
    }
    assert_eq!(standings[4].state, RuleState::Firing);
}

#[test]
fn groups_beyond_the_bound_are_counted_and_said() {
    let text = over("many", "by: [who], value: count, condition: { above: 0 }");
    let limits = Limits { groups_of_rule: 2, ..Limits::default() };
    let mut engine = Engine::new(rules(&text), &tables(), limits, Millis(BEGIN), Millis(0));
    let all: Vec<_> =
        ["a", "b", "c", "d"].iter().map(|who| row(BEGIN + 5, who, 1.0, true)).collect();
    feed(&mut engine, &all, BEGIN + 10);
    engine.judge(Millis(BEGIN + MINUTE));
    let standing = &engine.standings(9)[0];
    assert_eq!((standing.groups, engine.counters().refused_groups), (2, 2));
    assert!(standing.problem.as_deref().is_some_and(|problem| problem.contains("more groups")));
}

#[test]
fn inhibited_and_silenced_ones_are_seen_and_not_said() {
    let all = format!(
        "[{}, {}]",
        over("down", "by: [who], where: NOT good, value: count, condition: { above: 0 }"),
        over(
            "slow",
            "by: [who], value: { max: value }, condition: { above: 5 }, inhibited_by: [{ rule: down, equal: [who] }]"
        )
    );
    let mut engine = engine(&all);
    let rows = [
        row(BEGIN + 1, "a", 9.0, false),
        row(BEGIN + 1, "b", 9.0, true),
        row(BEGIN + 1, "c", 9.0, true),
    ];
    feed(&mut engine, &rows, BEGIN + 2);
    let now = Millis(BEGIN + 40_000);
    engine.judge(now);
    let quiet = |on: bool| move |_: &holm_alert::Rule, group: &[Box<str>]| on && &*group[0] == "c";
    let said = |turns: Vec<holm_alert::Turn>| -> Vec<(String, String, bool)> {
        let all = turns.into_iter();
        all.map(|t| (t.rule.name.to_string(), t.group[0].to_string(), t.raised)).collect()
    };
    let told = |rule: &str, who: &str, raised| (rule.to_owned(), who.to_owned(), raised);
    let first = said(engine.turns(now, &quiet(true)));
    assert_eq!(first, [told("down", "a", true), told("slow", "b", true)]);
    let standing = &engine.standings(9)[1];
    assert_eq!(standing.firing, 3, "all are seen");
    assert_eq!(standing.active[0].inhibited_by.as_deref(), Some("down"));
    assert!(engine.turns(now, &quiet(true)).is_empty(), "each once");
    // The silence ends while it lasts, and what made another one quiet is over.
    feed(&mut engine, &[row(BEGIN + 50_000, "a", 9.0, true)], BEGIN + 50_000);
    let now = Millis(BEGIN + 100_000);
    engine.judge(now);
    let mut next = said(engine.turns(now, &quiet(false)));
    next.sort();
    assert_eq!(
        next,
        [told("down", "a", false), told("slow", "a", true), told("slow", "b", false)],
        "c was over when its silence was"
    );
}

#[test]
fn a_composite_holds_when_its_rules_fire() {
    let all = format!(
        "[{}, {}, {}, {}, {}]",
        over("many", "by: [who], value: count, condition: { above: 1 }"),
        over("bad", "by: [who], value: { share: NOT good }, condition: { above: 0.4 }"),
        rule("both", "composite: { all: [many, bad] }, by: [who], for: 30s"),
        rule("any", "composite: { any: [many], none: [both] }"),
        rule("odd", "composite: { any: [many] }, by: [value]"),
    );
    let mut engine = engine(&all);
    for step in 0..8_u64 {
        let at = BEGIN + step * 30_000;
        let rows = [
            row(at + 1, "a", 1.0, false),
            row(at + 2, "a", 1.0, true),
            row(at + 3, "b", 1.0, true),
            row(at + 4, "b", 1.0, true),
        ];
        feed(&mut engine, &rows, at + 5);
        engine.judge(Millis(at + 10_000));
    }
    let standings = engine.standings(9);
    assert_eq!(standings[2].state, RuleState::Firing);
    let groups: Vec<&str> = standings[2].active.iter().map(|group| &*group.group[0]).collect();
    assert_eq!(groups, ["a"]);
    assert_eq!(standings[3].state, RuleState::Inactive, "both fires");
    assert_eq!(standings[4].state, RuleState::Broken, "many has other columns");
}

#[test]
fn rules_that_stand_on_themselves_are_refused_and_not_judged() {
    let all = format!(
        "[{}, {}, {}]",
        rule("a", "composite: { any: [b] }"),
        over("b", "value: count, condition: { above: 0 }, inhibited_by: [{ rule: a }]"),
        rule("c", "composite: { any: [b] }"),
    );
    let read = holm_alert::parse(&all).expect("each by itself is good");
    let problems = check_together(&read, &[]);
    assert_eq!(problems.len(), 2);
    assert!(problems[0].text.contains("a → b → a"), "{}", problems[0]);
    let known = [&read[1], &read[2]];
    assert_eq!(check_together(&read[..1], &known).len(), 1, "with what there is already");
    assert!(check_together(&read[2..], &known[..1]).is_empty());
    let mut engine = engine(&all);
    engine.judge(Millis(BEGIN + MINUTE));
    engine.judge(Millis(BEGIN + 2 * MINUTE));
    let broken = states(&engine).iter().filter(|state| **state == RuleState::Broken).count();
    assert_eq!(broken, 3, "c stands on what is broken");
}

#[test]
fn who_goes_round_is_named_where_it_says_so() {
    let text = "kind: AlertRule\nname: first\ntable: t\nvalue: count\ncondition: { above: 0 }\n---\n\
                kind: AlertRule\nname: a\ncomposite:\n  all: [first]\n  any: [b]\n---\n\
                kind: AlertRule\nname: b\ntable: t\nvalue: count\ncondition: { above: 0 }\n\
                inhibited_by:\n  - rule: c\n---\n\
                kind: AlertRule\nname: c\ncomposite: { any: [first, a] }\n";
    let read = holm_alert::parse(text).expect("each by itself is good");
    let marks = |problems: Vec<holm_policy::Problem>| -> Vec<(usize, usize, String)> {
        problems.into_iter().map(|p| (p.mark.line, p.mark.column, p.text)).collect()
    };
    let told = |way: &str| format!("it stands on itself: {way}");
    assert_eq!(
        marks(check_together(&read, &[])),
        [
            (11, 9, told("a → b → c → a")),
            (19, 11, told("b → c → a → b")),
            (23, 27, told("c → a → b → c")),
        ]
    );
    let own = "kind: AlertRule\nname: own\ncomposite: { any: [own] }\n";
    let read = holm_alert::parse(own).expect("read");
    assert_eq!(marks(check_together(&read, &[])), [(3, 20, told("own → own"))]);
}

#[test]
fn a_chain_of_composites_is_judged_to_its_end_at_once() {
    // Each looks at the one before, and is written before it.
    let chain = |long: usize| {
        let all: Vec<String> = (1..long)
            .rev()
            .map(|n| rule(&format!("r{n:05}"), &format!("composite: {{ any: [r{:05}] }}", n - 1)))
            .chain([over("r00000", "value: count, condition: { above: 0 }")])
            .collect();
        all.join("\n---\n")
    };
    let mut engine = engine(&chain(2_000));
    for step in 1..=3 {
        let at = BEGIN + step * MINUTE;
        feed(&mut engine, &[row(at - 20_000, "a", 1.0, true)], at - 10_000);
        engine.judge(Millis(at));
    }
    let firing = states(&engine).iter().filter(|state| **state == RuleState::Firing).count();
    assert_eq!(firing, 2_000, "the last of the chain fires in the same judgement as the first");
}

#[test]
fn what_is_not_usual_fires_once_the_hour_is_known() {
    let text = "{ kind: AlertRule, name: unusual, table: t, by: [who], value: count, window: 10m, every: 5m, \
                condition: { baseline: { season: day, deviations: 4, direction: above } } }";
    let hour = 60 * MINUTE;
    let feed_hour = |engine: &mut Engine, at: u64, each: u64| {
        let rows: Vec<_> =
            (0..12 * each).map(|n| row(at + n * hour / (12 * each), "a", 1.0, true)).collect();
        for slice in rows.chunks(each as usize) {
            let now = slice[slice.len() - 1].at + 1;
            feed(engine, slice, now);
            engine.judge(Millis(now));
        }
    };
    let mut engine = engine(text);
    let busy = |hour: u64| if (8..18).contains(&(hour % 24)) { 20 } else { 4 };
    for n in 0..24 * 6 {
        feed_hour(&mut engine, BEGIN + n * hour, busy(n));
        if n == 24 * 3 {
            let standing = &engine.standings(9)[0];
            assert_eq!((standing.state, standing.warming), (RuleState::Warming, Some((3, 5))));
        }
        assert_eq!(engine.standings(9)[0].firing, 0, "hour {n}");
    }
    // The load of noon at night.
    feed_hour(&mut engine, BEGIN + 24 * 6 * hour, 20);
    let standing = engine.standings(9).remove(0);
    assert_eq!(standing.state, RuleState::Firing);
    let (least, most) = standing.active[0].band.expect("what is usual is known");
    assert!(least < 8.0 && (8.0..20.0).contains(&most), "{least} {most}");
    // Another engine learns it from the same rows.
    let mut fresh = Engine::new(
        rules(text),
        &tables(),
        Limits::default(),
        Millis(BEGIN + 24 * 6 * hour),
        Millis(0),
    );
    fresh.learn(engine.learnt());
    feed_hour(&mut fresh, BEGIN + 24 * 6 * hour, 20);
    assert_eq!(fresh.standings(9)[0].state, RuleState::Firing);
}

#[test]
fn hours_in_which_nobody_watched_are_not_learnt_as_nothing() {
    let hour = 60 * MINUTE;
    let day = 24 * hour;
    let now = BEGIN + 14 * day;
    for value in ["count", "rate", "{ sum: value }"] {
        let text = format!(
            "{{ kind: AlertRule, name: unusual, table: t, value: {value}, window: 5m, every: 1m, \
             condition: {{ baseline: {{ season: day }} }} }}"
        );
        // What is found in fourteen days of rows, with none but those of the last eleven minutes and of six
        // earlier days from ten to twelve.
        let learn = |watched: Watched, days: u64| {
            let mut past =
                Engine::new(rules(&text), &tables(), Limits::default(), Millis(BEGIN), watched);
            let busy = (14 - days..14)
                .flat_map(|n| (0..120).map(move |m| n * day + 10 * hour + m * MINUTE));
            let last = (0..11).map(|m| 14 * day - (11 - m) * MINUTE);
            let rows: Vec<_> = busy.chain(last).map(|at| row(BEGIN + at, "a", 1.0, true)).collect();
            for at in (0..14 * 24).map(|n| BEGIN + n * hour) {
                let of = |row: &&common::Row| (at..at + hour).contains(&row.at);
                let these: Vec<_> = rows.iter().filter(of).cloned().collect();
                past.take("t", &batch(&these), (Millis(0), Millis(u64::MAX)), Millis(at + hour));
                past.judge(Millis(at + hour));
            }
            past.learnt()
        };
        let state = |learnt, at: u64| {
            let (text, at) = (rules(&text), Millis(at));
            let mut engine = Engine::new(text, &tables(), Limits::default(), at - hour, at - hour);
            engine.learn(learnt);
            let rows: Vec<_> =
                (0..60).map(|m| row(at.0 - hour + m * MINUTE, "a", 1.0, true)).collect();
            feed(&mut engine, &rows, at.0);
            engine.judge(at + 10_000);
            let standing = engine.standings(9).remove(0);
            (standing.state, standing.warming)
        };
        let eleven_minutes = Watched::since(Millis(now - 11 * MINUTE));
        let learnt = learn(eleven_minutes, 0);
        assert_eq!(state(learnt, now + hour), (RuleState::Warming, Some((0, 5))), "{value}");
        // It ran from ten to twelve on six days: what is usual then is known, and nothing of midnight.
        let on = (8..14).map(|n| BEGIN + n * day + 10 * hour);
        let on = on.map(|at| (Millis(at), Millis(at + 2 * hour)));
        let watched = || Watched::of(on.clone(), MINUTE);
        let learnt = learn(watched(), 6);
        assert_eq!(state(learnt, now + hour), (RuleState::Warming, Some((0, 5))), "{value}");
        let learnt = learn(watched(), 6);
        assert_eq!(state(learnt, now + 12 * hour), (RuleState::Inactive, None), "{value}");
        // Silence that was watched is what is usual.
        let learnt = learn(Watched::since(Millis(BEGIN)), 0);
        assert_eq!(state(learnt, now + 12 * hour), (RuleState::Firing, None), "{value}");
    }
}

#[test]
fn a_preview_is_what_would_have_been() {
    let mut engine =
        engine(&over("many", "by: [who], value: count, condition: { above: 3 }, for: 1m"));
    engine.record("many", Millis(BEGIN), 30_000);
    for step in 0..20_u64 {
        let at = BEGIN + step * 30_000;
        let each = if (5..12).contains(&step) { 5 } else { 1 };
        let rows: Vec<_> = (0..each).map(|n| row(at + n, "a", 1.0, true)).collect();
        engine.take("t", &batch(&rows), (Millis(at), Millis(at + 30_000)), Millis(at + 30_000));
        engine.judge(Millis(at + 35_000));
    }
    let (groups, all) = engine.recorded(5);
    assert_eq!((groups.len(), all), (1, 1));
    assert_eq!(groups[0].points.len(), 20);
    assert_eq!(groups[0].points[7].value, Some(10.0));
    let step = |at: Millis| (at.0 - BEGIN) / 30_000;
    let [spell] = groups[0].spells[..] else { panic!("{:?}", groups[0].spells) };
    assert_eq!((step(spell.since), step(spell.at), spell.end.map(step)), (6, 8, Some(14)));
}

#[test]
fn a_preview_has_no_value_for_what_nobody_watched() {
    for value in ["count", "rate", "{ sum: value }"] {
        let text = over("many", &format!("value: {value}, condition: {{ above: 3 }}"));
        // Rows were taken from the tenth minute on; the first came five minutes later.
        let since = BEGIN + 10 * MINUTE;
        let mut engine =
            Engine::new(rules(&text), &tables(), Limits::default(), Millis(BEGIN), Millis(since));
        engine.record("many", Millis(BEGIN), MINUTE);
        feed(&mut engine, &[row(since + 5 * MINUTE, "a", 1.0, true)], BEGIN + 20 * MINUTE);
        engine.judge(Millis(BEGIN + 20 * MINUTE + 5_000));
        let (groups, _) = engine.recorded(5);
        let of = |minute: u64| {
            let at = Millis(BEGIN + minute * MINUTE);
            groups[0].points.iter().find(|point| point.at == at).map(|point| point.value)
        };
        assert_eq!((of(2), of(9), of(10)), (Some(None), Some(None), Some(None)), "{value}");
        assert_eq!((of(11), of(14)), (Some(Some(0.0)), Some(Some(0.0))), "{value}: watched");
        assert!(matches!(of(16), Some(Some(number)) if number > 0.0), "{value}");
    }
}

#[test]
fn another_engine_goes_on_with_what_was_said() {
    let text = over("many", "by: [who], value: count, condition: { above: 0 }");
    let mut first = engine(&text);
    feed(&mut first, &[row(BEGIN + 5, "a", 1.0, true)], BEGIN + 5);
    let now = Millis(BEGIN + 40_000);
    first.judge(now);
    assert_eq!(first.turns(now, &|_, _| false).len(), 1);
    let mut second = engine(&text);
    feed(&mut second, &[row(BEGIN + 5, "a", 1.0, true)], BEGIN + 5);
    second.judge(now);
    assert!(second.inherit(&first, now).is_empty());
    assert!(second.turns(now, &|_, _| false).is_empty());
    assert_eq!(second.ends(|rule| *rule.name == *"many", now).len(), 1);
    let kept: Vec<Arc<holm_alert::Rule>> = second.rules().cloned().collect();
    assert_eq!(kept, rules(&text));
    // One that begins with what is over says nothing of it.
    let mut third = engine(&text);
    feed(&mut third, &[row(BEGIN + 5, "a", 1.0, true)], BEGIN + 5);
    let later = Millis(BEGIN + 5 * MINUTE);
    third.judge(later);
    third.hush();
    assert!(third.turns(later, &|_, _| false).is_empty());
}

#[test]
fn an_edited_rule_goes_on_firing_or_is_over_once() {
    let of = |more: &str| over("many", &format!("by: [who], value: count, {more}"));
    let mut first = engine(&of("condition: { above: 0 }"));
    let came = [row(BEGIN + 5, "a", 1.0, true), row(BEGIN + 20_000, "a", 1.0, true)];
    feed(&mut first, &came, BEGIN + 20_000);
    let now = Millis(BEGIN + 65_000);
    first.judge(now);
    assert_eq!(first.turns(now, &|_, _| false).len(), 1, "it is raised");
    for (more, ends) in [
        ("condition: { above: 0 }, title: Too many", 0),
        // It fires by that too, since another moment.
        ("condition: { above: 0 }, for: 30s", 0),
        ("condition: { above: 0 }, window: 2m", 0),
        ("condition: { above: 7 }", 1),
        ("where: value > 100, condition: { above: 0 }", 1),
    ] {
        let more = match more.contains("window") {
            true => of(more).replacen("window: 1m, ", "", 1),
            false => of(more),
        };
        let mut edited = engine(&more);
        feed(&mut edited, &came, BEGIN + 20_000);
        edited.judge(now);
        edited.hush();
        let over = edited.inherit(&first, now);
        assert_eq!(over.len(), ends, "{more}");
        assert!(over.iter().all(|turn| !turn.raised && turn.at == now), "{more}");
        assert!(edited.turns(now, &|_, _| false).is_empty(), "nothing is said twice: {more}");
    }
    // Its alerts are others' once they are about something else.
    let mut other = engine(&of("condition: { above: 0 }, target: 'host:{who}'"));
    feed(&mut other, &came, BEGIN + 20_000);
    other.judge(now);
    other.hush();
    assert!(other.inherit(&first, now).is_empty());
    assert_eq!(other.turns(now, &|_, _| false).len(), 1);
}
