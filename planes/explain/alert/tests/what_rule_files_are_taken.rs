//! Files of rules: what is read, what is written anew, and what is refused with its place.

use holm_alert::{Condition, Measure, parse};
use holm_policy::Refused;
use proptest::prelude::*;

const GOOD: &str = r#"
kind: AlertRule
name: probe-loss
title: Probes are lost
description: Look at the way first.
severity: critical
labels: { team: net }
table: active_results
where: "probe = 'icmp'"
by: [target, peer.site]
value: { share: "NOT success" }
window: 5m
every: 30s
condition: { above: 0.05 }
for: 5m
keep: 2m
target: "host:{target}"
inhibited_by: [{ rule: site-down, equal: [peer.site] }]
---
- { kind: AlertRule, name: a, table: t, value: rate, condition: { below: 1 } }
- { kind: AlertRule, name: b, table: t, value: { quantile: 0.99, of: ms }, condition: { outside: [1, 2] } }
- { kind: AlertRule, name: c, table: t, value: { sum: n }, every: 1m, window: 1h,
    condition: { baseline: { season: week, deviations: 3, direction: below } } }
- { kind: AlertRule, name: d, table: t, by: [x], condition: { no_data: 10m } }
- { kind: AlertRule, name: e, composite: { all: [a, b], any: [c], none: [d] } }
"#;

#[test]
fn what_is_read_is_written_anew_the_same() {
    let rules = parse(GOOD).expect("good");
    assert_eq!(rules.len(), 6);
    assert_eq!(rules[0].target_of(&["web".into(), "lima".into()]).as_deref(), Some("host:web"));
    let quantile = rules[2].query().map(|query| query.measure.clone());
    assert_eq!(quantile, Some(Measure::Quantile(0.99, "ms".into())));
    let silent = rules[4].query().map(|query| (query.condition, query.window_ms));
    assert_eq!(silent, Some((Condition::NoData, 600_000)));
    for rule in &rules {
        let again = parse(&rule.to_json().to_string()).expect("its own");
        assert_eq!(again.as_slice(), std::slice::from_ref(rule));
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, place, says) in [
        ("", (1, 1), "no object of kind AlertRule"),
        ("kind: AlertRule\nname: A\n", (2, 7), "is no name"),
        ("kind: SLO\n", (1, 7), "SLO is not read here"),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\nconditon: { above: 1 }\n",
            (5, 1),
            "not evaluated",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ncondition: { above: 1 }\nwhere: \"a = \"\n",
            (6, 8),
            "a value is missing",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ncondition: { above: 1, below: 2 }\n",
            (5, 12),
            "one of above",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: median\ncondition: { above: 1 }\n",
            (4, 8),
            "it is count, rate",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: { avg: x, of: y }\ncondition: { above: 1 }\n",
            (4, 18),
            "it is for quantile",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\nevery: 7s\ncondition: { above: 1 }\n",
            (5, 8),
            "from 10s to 1h",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\nevery: 13s\ncondition: { above: 1 }\n",
            (5, 8),
            "full days",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\nwindow: 45s\ncondition: { above: 1 }\n",
            (5, 9),
            "full steps",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ncondition: { no_data: 10m }\n",
            (4, 8),
            "not at a value",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ncondition: { above: x }\n",
            (5, 21),
            "x is no number",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ncondition: { outside: [3, 1] }\n",
            (5, 14),
            "two numbers",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ntarget: 'host:{x}'\ncondition: { above: 1 }\n",
            (5, 9),
            "x is not in by",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ntarget: shop\ncondition: { above: 1 }\n",
            (5, 9),
            "the kind of a thing",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ntarget: prefix:10.0.0.0/40\ncondition: { above: 1 }\n",
            (5, 9),
            "more than the address has bits",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\ntarget: 'service: '\ncondition: { above: 1 }\n",
            (5, 9),
            "space",
        ),
        ("kind: AlertRule\nname: a\ncomposite: { none: [b] }\n", (3, 12), "all or any"),
        ("kind: AlertRule\nname: a\ncomposite: { all: [b] }\ntable: t\n", (4, 1), "not at rows"),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\nfor: soon\ncondition: { above: 1 }\n",
            (5, 6),
            "no length of time",
        ),
        (
            "kind: AlertRule\nname: a\ntable: t\nvalue: count\nseverity: bad\ncondition: { above: 1 }\n",
            (5, 11),
            "info, warning, critical",
        ),
    ] {
        let Refused(problems) = parse(text).expect_err(text);
        let first = &problems[0];
        assert!(problems.iter().any(|p| p.text.contains(says)), "{text}\n{first}");
        let told = problems.iter().find(|p| p.text.contains(says)).expect("just seen");
        assert_eq!((told.mark.line, told.mark.column), place, "{text}\n{told}");
    }
    let twice = "[{ kind: AlertRule, name: a, table: t, value: count, condition: { above: 1 } },\n \
                 { kind: AlertRule, name: a, table: t, value: count, condition: { above: 1 } }]";
    assert!(parse(twice).expect_err("twice").to_string().contains("a stands here twice"));
}

proptest! {
    #[test]
    fn what_somebody_sends_is_read_or_refused(cut in 0..GOOD.len(), with in "\\PC{0,12}") {
        let mut text = GOOD.to_owned();
        let cut = (0..=cut).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(cut, &with);
        if let Ok(rules) = parse(&text) {
            for rule in rules {
                let again = parse(&rule.to_json().to_string()).expect("its own");
                prop_assert_eq!(&again[0], &rule);
            }
        }
    }
}
