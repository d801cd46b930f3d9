//! Attainment, budgets, burn rates and forecasts, by arithmetic that can be followed on paper.

use std::collections::BTreeMap;

use holm_model::Millis;
use holm_slo::{
    Count, Day, Definition, Ledger, Measure, RecordKey, Rows, Tier, Writer, encode_slot, minute_of,
    parse,
};

const DAY_MIN: u32 = 1_440;
/// Midnight of 2026-11-22 (UTC), in minutes.
const TODAY: u32 = 20_779 * DAY_MIN;

fn at(minute: u32) -> Millis {
    Millis(u64::from(minute) * 60_000)
}

fn slo(window: &str, method: &str, objective: &str) -> Definition {
    let metric = |filter: &str| {
        format!(
            "{{ metricSource: {{ type: holm, spec: {{ table: active_results, where: {filter} }} }} }}"
        )
    };
    let text = format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: shop }}\nspec:\n  service: shop\n  \
         indicator: {{ metadata: {{ name: up }}, spec: {{ ratioMetric: {{ good: {}, total: {} }} }} }}\n  \
         timeWindow: [{{ {window} }}]\n  budgetingMethod: {method}\n  objectives: [{{ {objective} }}]\n",
        metric("success"),
        metric("probe = 'http'")
    );
    parse(&text, at(TODAY)).unwrap_or_else(|refused| panic!("{refused}")).remove(0)
}

fn writer(site: &str) -> Writer {
    Writer { site: site.parse().expect("valid"), node: "n1".parse().expect("valid") }
}

/// Puts minutes into a ledger as a node would write them.
fn count(ledger: &mut Ledger, measure: &Measure, site: &str, minutes: &BTreeMap<u32, Count>) {
    let mut slots: BTreeMap<u32, [Count; 5]> = BTreeMap::new();
    for (minute, count) in minutes {
        slots.entry(minute / 5).or_default()[(minute % 5) as usize] = *count;
    }
    for (slot, minutes) in slots {
        let key = RecordKey::Slot(measure.id, slot).text();
        ledger.take(&writer(site), &key, [&*encode_slot(&minutes)]);
    }
}

fn day(ledger: &mut Ledger, measure: &Measure, site: &str, number: u32, cells: Vec<Count>) {
    let key = RecordKey::Day(measure.id, number).text();
    ledger.take(&writer(site), &key, [&*Day { cell_min: 60, cells }.encode()]);
}

fn steady(from: u32, to: u32, total: u64, bad: u64) -> BTreeMap<u32, Count> {
    (from..to).map(|minute| (minute, Count::new(total, bad))).collect()
}

#[test]
fn budgets_of_sites_add_up_over_days_hours_and_minutes() {
    let slo = slo("duration: 30d, isRolling: true", "Occurrences", "target: 0.99");
    let measure = slo.measure(0).expect("there");
    let mut ledger = Ledger::new();
    for number in 0..30 {
        let before = TODAY / DAY_MIN - number - 1;
        day(&mut ledger, &measure, "berlin", before, vec![Count::new(100, 1); 24]);
        day(&mut ledger, &measure, "tokyo", before, vec![Count::new(100, 0); 24]);
    }
    // Ten minutes of today, of which the day's record knows nothing yet.
    count(&mut ledger, &measure, "tokyo", &steady(TODAY, TODAY + 10, 10, 5));
    let stands = slo.judge(&ledger, 0, at(TODAY + 10)).expect("there");
    // The window begins ten minutes after midnight: the hour in which it begins is not whole.
    let hours = 30 * 24 - 1;
    let all = Count::new(2 * hours * 100 + 100, hours + 50);
    assert_eq!(stands.attained.count, all);
    let bad = all.bad as f64 / all.total as f64;
    assert!((stands.attained.budget_left - (1.0 - bad / 0.01)).abs() < 1e-12);
    assert_eq!(stands.sites.len(), 2);
    assert_eq!(stands.sites[0].attained.count, Count::new(hours * 100, hours));
    assert!(!stands.cold_start);
    let way = slo.burn_down(&ledger, 0, at(TODAY + 10), 60);
    let mut sum = Count::default();
    way.iter().for_each(|point| sum += point.count);
    assert_eq!(sum, all, "the way comes to the same");
    assert!(way.len() <= 61, "{}", way.len());
    assert_eq!(way.last().map(|point| point.budget_left), Some(stands.attained.budget_left));
}

#[test]
fn an_outage_pages_when_the_arithmetic_says_so() {
    let slo = slo("duration: 30d, isRolling: true", "Occurrences", "target: 0.999");
    let measure = slo.measure(0).expect("there");
    let mut ledger = Ledger::new();
    count(&mut ledger, &measure, "berlin", &steady(TODAY - 720, TODAY, 100, 0));
    // All fails from midnight on. 14.4 times 0.1 % of an hour are 0.864 minutes.
    count(&mut ledger, &measure, "berlin", &steady(TODAY, TODAY + 30, 100, 100));
    let fast = |now: u32| slo.judge(&ledger, 0, at(now)).expect("there").burns[0];
    assert!(!fast(TODAY).burns);
    let first = fast(TODAY + 1);
    assert!(first.burns && first.lasts, "{first:?}");
    assert!((first.long.expect("counted") - 1.0 / 60.0 / 0.001).abs() < 1e-9);
    assert!((first.short.expect("counted") - 200.0).abs() < 1e-9);
    // The six hours reach 6 times after 2.16 minutes, three days 1 time after the same share of what is known.
    let stands = slo.judge(&ledger, 0, at(TODAY + 3)).expect("there");
    assert!(stands.burns[1].burns && stands.burns[2].burns);
    assert!(!slo.judge(&ledger, 0, at(TODAY + 2)).expect("there").burns[1].burns);
    assert_eq!(stands.sites[0].bad_lately, [300, 300, 300]);
    assert_eq!(Tier::Fast.windows_min(), (60, 5));

    // After half an hour it is well again: the short window says so at once, the long one an hour later.
    count(&mut ledger, &measure, "berlin", &steady(TODAY + 30, TODAY + 120, 100, 0));
    let fast = |now: u32| slo.judge(&ledger, 0, at(now)).expect("there").burns[0];
    assert!(!fast(TODAY + 35).burns && fast(TODAY + 35).lasts);
    assert!(fast(TODAY + 89).lasts);
    assert!(!fast(TODAY + 90).lasts);
}

#[test]
fn few_events_burn_nothing_and_none_are_not_perfect() {
    let slo = slo("duration: 30d, isRolling: true", "Occurrences", "target: 0.999");
    let measure = slo.measure(0).expect("there");
    let mut ledger = Ledger::new();
    let stands = slo.judge(&ledger, 0, at(TODAY)).expect("there");
    assert_eq!((stands.attained.share, stands.cold_start), (None, true));
    count(&mut ledger, &measure, "berlin", &steady(TODAY, TODAY + 49, 1, 1));
    let stands = slo.judge(&ledger, 0, at(TODAY + 49)).expect("there");
    assert!(stands.cold_start && stands.burns.iter().all(|burn| !burn.burns));
    assert!(stands.burns[0].long.is_some_and(|rate| (rate - 1_000.0).abs() < 1e-6));
    count(&mut ledger, &measure, "tokyo", &steady(TODAY, TODAY + 1, 1, 1));
    assert!(slo.judge(&ledger, 0, at(TODAY + 49)).expect("there").burns[0].burns);
    assert_eq!(slo.judge(&ledger, 1, at(TODAY)), None, "there is no such objective");
}

#[test]
fn a_calendar_begins_anew_and_its_forecast_ends_with_it() {
    let calendar = "duration: 1d, calendar: { startTime: 2022-01-01 00:00:00, timeZone: UTC }";
    let slo = slo(calendar, "Occurrences", "target: 0.9");
    let measure = slo.measure(0).expect("there");
    let mut ledger = Ledger::new();
    day(&mut ledger, &measure, "berlin", TODAY / DAY_MIN - 1, vec![Count::new(60, 60); 24]);
    count(&mut ledger, &measure, "berlin", &steady(TODAY, TODAY + 360, 10, 2));
    let stands = slo.judge(&ledger, 0, at(TODAY + 360)).expect("there");
    assert_eq!(stands.window, (at(TODAY), at(TODAY + DAY_MIN)));
    assert_eq!(stands.attained.count, Count::new(3_600, 720), "yesterday is another budget");
    assert!(stands.attained.budget_left < 0.0);
    assert_eq!(stands.exhausts_at, None, "it is used up");

    let slo = self::slo(calendar, "Occurrences", "target: 0.75");
    let stands = slo.judge(&ledger, 0, at(TODAY + 360)).expect("there");
    assert_eq!(stands.exhausts_at, None, "a fifth is bad, and a quarter may be");
    // From noon on twice as much is bad as may be: what is left of the budget goes while the day fills.
    count(&mut ledger, &measure, "berlin", &steady(TODAY + 360, TODAY + 720, 10, 4));
    let stands = slo.judge(&ledger, 0, at(TODAY + 540)).expect("there");
    assert!((stands.attained.budget_left - (1.0 - (720.0 + 720.0) / 5_400.0 / 0.25)).abs() < 1e-9);
    assert_eq!(stands.exhausts_at, None, "used up");
}

#[test]
fn the_forecast_is_when_the_ledgers_budget_is_used_up() {
    let calendar = "duration: 1M, calendar: { startTime: 2022-01-01 00:00:00, timeZone: UTC }";
    for window in [calendar, "duration: 30d, isRolling: true"] {
        for (before, since) in [(0, 20), (5, 20), (5, 12), (8, 10)] {
            let slo = slo(window, "Occurrences", "target: 0.99");
            let measure = slo.measure(0).expect("there");
            let (begun, from) = (at(TODAY), TODAY);
            assert!(slo.window_at(begun).0 <= begun);
            // A day at one rate, its last six hours at another, and on at that.
            let mut ledger = Ledger::new();
            let now = from + DAY_MIN;
            count(&mut ledger, &measure, "berlin", &steady(from, now - 360, 1_000, before));
            count(&mut ledger, &measure, "berlin", &steady(now - 360, now, 1_000, since));
            let told = slo.judge(&ledger, 0, at(now)).expect("there").exhausts_at;
            let mut used_up = None;
            let mut minute = now;
            while minute < now + 5 * DAY_MIN && used_up.is_none() {
                count(&mut ledger, &measure, "berlin", &steady(minute, minute + 60, 1_000, since));
                minute += 60;
                let left = slo.judge(&ledger, 0, at(minute)).expect("there").attained.budget_left;
                used_up = (left <= 0.0).then_some(at(minute));
            }
            match (told, used_up) {
                (Some(told), Some(used_up)) => {
                    assert!(
                        told <= used_up && used_up.since(told) <= 3_600_000,
                        "{told:?} {used_up:?}"
                    );
                }
                (None, None) => {}
                (Some(told), None) => assert!(told > at(now + 5 * DAY_MIN), "{told:?}"),
                (None, Some(used_up)) => {
                    panic!("{window} {before} {since}: used up at {used_up:?}")
                }
            }
        }
    }
}

#[test]
fn what_burns_over_a_calendars_boundary_goes_on_burning() {
    let calendar = "duration: 1d, calendar: { startTime: 2022-01-01 00:00:00, timeZone: UTC }";
    let slo = slo(calendar, "Occurrences", "target: 0.99");
    let measure = slo.measure(0).expect("there");
    let mut ledger = Ledger::new();
    count(&mut ledger, &measure, "berlin", &steady(TODAY - 600, TODAY - 90, 1, 0));
    count(&mut ledger, &measure, "berlin", &steady(TODAY - 90, TODAY + 90, 1, 1));
    for minute in [TODAY - 1, TODAY, TODAY + 1, TODAY + 40] {
        let stands = slo.judge(&ledger, 0, at(minute)).expect("there");
        assert!(stands.burns.iter().all(|burn| burn.burns && burn.lasts), "{minute}: {stands:?}");
        assert!(!stands.cold_start);
    }
}

#[test]
fn a_budget_that_is_used_to_its_end_is_not_overdrawn() {
    for target in ["0.8", "0.9", "0.95", "0.99", "0.999", "0.9995", "0.9999"] {
        let slo =
            slo("duration: 30d, isRolling: true", "Occurrences", &format!("target: {target}"));
        let measure = slo.measure(0).expect("there");
        let bad = ((1.0 - target.parse::<f64>().expect("a number")) * 100_000.0).round() as u64;
        let mut ledger = Ledger::new();
        count(&mut ledger, &measure, "berlin", &steady(TODAY, TODAY + 1, 100_000, bad));
        let stands = slo.judge(&ledger, 0, at(TODAY + 1)).expect("there");
        assert_eq!(stands.attained.budget_left, 0.0, "{target}");
    }
}

#[test]
fn slices_are_good_or_bad_as_a_whole_and_count_when_they_are_over() {
    let objective = "target: 0.9, timeSliceTarget: 0.95, timeSliceWindow: 5m";
    let slo = slo("duration: 1d, isRolling: true", "Timeslices", objective);
    let measure = slo.measure(0).expect("there");
    let mut rows = BTreeMap::new();
    for minute in 0..15 {
        // The second slice has one in twenty bad, the third two; the first has nothing.
        let bad = if minute == 6 {
            5
        } else if minute == 11 {
            10
        } else {
            0
        };
        if minute >= 5 {
            rows.insert(TODAY + minute, Rows { total: 20, part: 20 - bad });
        }
    }
    let counts = measure.ledger(&rows, (TODAY, TODAY + 14));
    // A hundred rows, and the good ones of them once more.
    let second = (TODAY + 9, Count::new(1, 0).judged_by(195));
    assert_eq!(counts, BTreeMap::from([second]), "the third is not over");
    let counts = measure.ledger(&rows, (TODAY - 1, TODAY + 15));
    let expected = [second, (TODAY + 14, Count::new(1, 1).judged_by(190))];
    assert_eq!(counts, BTreeMap::from(expected));
    let shared = self::slo(
        "duration: 1d, isRolling: true",
        "RatioTimeslices",
        "target: 0.9, timeSliceWindow: 5m",
    );
    let counts = shared.measure(0).expect("there").ledger(&rows, (TODAY, TODAY + 15));
    assert_eq!(counts[&(TODAY + 14)], Count::new(1_000_000, 100_000).judged_by(190));
    let more = BTreeMap::from([(TODAY, Rows { total: 3, part: 5 })]);
    let ratio = self::slo("duration: 1d, isRolling: true", "Occurrences", "target: 0.9");
    let counts = ratio.measure(0).expect("there").ledger(&more, (TODAY, TODAY + 1));
    assert_eq!(counts[&TODAY], Count::new(3, 0), "no more are good than there are");
    assert_eq!(minute_of(at(TODAY)), TODAY);
}
