//! What a file may say, what is refused and where, and which of OpenSLO's own examples are which.

use holm_model::Millis;
use holm_slo::{Budgeting, Indicator, Refused, Slices, Window, parse};
use proptest::prelude::*;

/// 2026-11-22.
const NOW: Millis = Millis(1_795_305_600_000);

const WHOLE: &str = r#"
apiVersion: openslo/v1
kind: Service
metadata: { name: shop, labels: { team: [checkout] } }
spec: { description: The shop }
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: shop-answers
  displayName: The shop answers
  labels: { tier: one }
  annotations: { anything: goes }
spec:
  description: Probes of the shop
  service: shop
  indicator:
    metadata: { name: answers }
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: holm
            spec: { table: active_results, where: "target = 'https://shop' AND success" }
        total:
          metricSource:
            type: holm
            spec: { table: active_results, where: "target = 'https://shop'" }
  timeWindow: [{ duration: 4w, isRolling: true }]
  budgetingMethod: Occurrences
  objectives:
    - { displayName: Good, target: 0.99 }
    - { targetPercent: 99.9 }
  alertPolicies:
"#;

/// The same with one piece changed.
fn with(from: &str, to: &str) -> String {
    assert!(WHOLE.contains(from), "{from}");
    WHOLE.replacen(from, to, 1)
}

#[test]
fn a_file_is_understood_whole_and_written_out_as_the_same() {
    let slos = parse(WHOLE, NOW).expect("good");
    let [slo] = slos.as_slice() else { panic!("one: {slos:?}") };
    assert_eq!(
        (&*slo.name, slo.title(), &*slo.service),
        ("shop-answers", "The shop answers", "shop")
    );
    assert_eq!(slo.teams(), [Box::from("checkout")], "the service's labels are its SLOs'");
    assert_eq!(slo.window, Window::Rolling { length_ms: 28 * 86_400_000 });
    assert_eq!(slo.objectives[1].target, 0.999);
    assert_eq!(slo.about(), ["https://shop"]);
    let measure = slo.measure(0).expect("it is there");
    assert_eq!(measure.id, slo.measure(1).expect("it is there").id, "targets count the same rows");
    assert_eq!(&*measure.total.sql, r#"CASE WHEN "target" = 'https://shop' THEN 1 ELSE 0 END"#);
    let again = parse(&slo.to_openslo().to_string(), NOW).expect("its own");
    assert_eq!(&again[0], slo);
}

#[test]
fn thresholds_slices_raw_ratios_and_calendars_are_evaluated() {
    let indicator = |text: &str| {
        let begin = WHOLE.find("      ratioMetric:").expect("there");
        let end = WHOLE.find("  timeWindow:").expect("there");
        format!("{}{text}{}", &WHOLE[..begin], &WHOLE[end..])
    };
    let threshold = indicator(
        "      thresholdMetric:\n        metricSource: { type: holm, spec: { table: path_results, value: path.rtt.avg_ms } }\n",
    );
    let objective = "- { displayName: Good, op: lte, value: 80, target: 0.99, timeSliceTarget: 0.9, timeSliceWindow: 5m }\n    - { target: 0.5, op: lt, value: 40, timeSliceTarget: 1, timeSliceWindow: 1h }";
    let text = threshold
        .replace("- { displayName: Good, target: 0.99 }\n    - { targetPercent: 99.9 }", objective)
        .replace("Occurrences", "Timeslices")
        .replace(
            "{ duration: 4w, isRolling: true }",
            "{ duration: 1M, calendar: { startTime: '2022-01-01 00:00:00', timeZone: Asia/Kolkata } }",
        );
    let slos = parse(&text, NOW).expect("good");
    let slo = &slos[0];
    assert_eq!((slo.budgeting, slo.grain_min), (Budgeting::Timeslices, 15));
    let (first, second) = (slo.measure(0).expect("there"), slo.measure(1).expect("there"));
    assert_eq!((first.slices, second.slices), (Slices::Judged(5, 0.9), Slices::Judged(60, 1.0)));
    assert_ne!(first.id, second.id);
    assert_eq!(
        &*first.part.sql,
        r#"CASE WHEN "path.rtt.avg_ms" IS NOT NULL AND "path.rtt.avg_ms" <= 80 THEN 1 ELSE 0 END"#
    );
    assert_eq!(parse(&slo.to_openslo().to_string(), NOW).expect("its own")[0], *slo);

    let raw = indicator(
        "      ratioMetric: { rawType: failure, raw: { metricSource: { type: holm, spec: { table: path_results, value: path.loss.ratio } } } }\n",
    );
    let slos = parse(&raw, NOW).expect("good");
    assert!(matches!(slos[0].indicator, Indicator::Raw { failure: true, .. }));
    assert_eq!(slos[0].measure(0).expect("there").unit, holm_slo::PARTS);
    assert_eq!(parse(&slos[0].to_openslo().to_string(), NOW).expect("its own"), slos);
}

#[test]
fn a_label_with_more_values_than_are_kept_is_refused() {
    let with = |count: usize| {
        let values: Vec<String> = (0..count).map(|n| format!("t{n}")).collect();
        WHOLE.replace("tier: one", &format!("team: [{}]", values.join(", ")))
    };
    assert_eq!(parse(&with(32), NOW).expect("good")[0].labels["team"].len(), 32);
    let Refused(problems) = parse(&with(40), NOW).expect_err("eight of them would be lost");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = &problems[0];
    assert_eq!((&*problem.path, problem.mark.line), ("metadata.labels.team", 12));
    assert!(problem.text.contains("40 values, and the most are 32"), "{problem:?}");
}

#[test]
fn what_is_not_evaluated_is_refused_with_its_path_and_place() {
    for (from, to, path, says) in [
        ("openslo/v1\nkind: SLO", "openslo/v2alpha\nkind: SLO", "apiVersion", "openslo/v1 is"),
        ("kind: SLO", "kind: AlertPolicy", "kind", "AlertPolicy is not evaluated"),
        ("kind: SLO", "kind: Dashboard", "kind", "no kind of openslo/v1"),
        ("name: shop-answers", "name: Shop Answers", "metadata.name", "small letters"),
        (
            "  displayName: The",
            "  colour: red\n  displayName: The",
            "metadata.colour",
            "not evaluated",
        ),
        ("  service: shop\n", "  service: shop\n  owner: me\n", "spec.owner", "not evaluated"),
        ("  service: shop\n", "", "spec.service", "missing"),
        (
            "type: holm",
            "type: Prometheus",
            "spec.indicator.spec.ratioMetric.good.metricSource.type",
            "Prometheus is not asked",
        ),
        (
            "counter: true",
            "counter: false",
            "spec.indicator.spec.ratioMetric.counter",
            "only grows",
        ),
        (
            "AND success",
            "AND (success",
            "spec.indicator.spec.ratioMetric.good.metricSource.spec.where",
            "at its character 37: a ) is missing",
        ),
        (
            "where: \"target = 'https://shop'\"",
            "query: all",
            "spec.indicator.spec.ratioMetric.total.metricSource.spec.query",
            "not evaluated",
        ),
        (
            "where: \"target = 'https://shop'\"",
            "value: duration_ms",
            "spec.indicator.spec.ratioMetric.total.metricSource.spec.value",
            "rows are counted",
        ),
        (
            "        total:",
            "        sum:",
            "spec.indicator.spec.ratioMetric",
            "good and total, or bad and total",
        ),
        ("duration: 4w", "duration: 1M", "spec.timeWindow[0].duration", "not always as long"),
        ("duration: 4w", "duration: 3000d", "spec.timeWindow[0].duration", "366 days"),
        ("isRolling: true", "isRolling: false", "spec.timeWindow[0].calendar", "missing"),
        (
            "isRolling: true",
            "calendar: { startTime: 2022-01-01, timeZone: UTC }",
            "spec.timeWindow[0].calendar.startTime",
            "no start",
        ),
        (
            "4w, isRolling: true",
            "1M, calendar: { startTime: 2022-01-01 00:00:00, timeZone: Moon/Crater }",
            "spec.timeWindow[0].calendar.timeZone",
            "no time zone",
        ),
        (
            "4w, isRolling: true",
            "1m, calendar: { startTime: 2022-01-01 00:00:00, timeZone: UTC }",
            "spec.timeWindow[0].duration",
            "m is minutes",
        ),
        ("Occurrences", "Guesses", "spec.budgetingMethod", "Guesses is none"),
        ("Occurrences", "Timeslices", "spec.objectives[0].timeSliceTarget", "missing"),
        ("target: 0.99 }", "target: 1 }", "spec.objectives[0].target", "both excluded"),
        ("target: 0.99 }", "target: 0.99, op: gt }", "spec.objectives[0].op", "thresholdMetric"),
        (
            "target: 0.99 }",
            "target: 0.99, timeSliceWindow: 1m }",
            "spec.objectives[0].timeSliceWindow",
            "Timeslices",
        ),
        (
            "target: 0.99 }",
            "target: 0.99, compositeWeight: 2 }",
            "spec.objectives[0].compositeWeight",
            "SLO for each",
        ),
        (
            "targetPercent: 99.9",
            "targetPercent: 99.9, target: 0.999",
            "spec.objectives[1].targetPercent",
            "not both",
        ),
        ("alertPolicies:", "alertPolicies: [page-me]", "spec.alertPolicies", "not evaluated"),
    ] {
        let text = with(from, to);
        let Refused(problems) = parse(&text, NOW).expect_err(to);
        let found = problems.iter().find(|p| p.path == path && p.text.contains(says));
        let found = found.unwrap_or_else(|| panic!("{to}: {path}: {problems:#?}"));
        let line = text.lines().nth(found.mark.line - 1).expect("a line of the file");
        assert!(found.mark.column <= line.chars().count() + 1, "{found}");
    }
    let twice = format!("{WHOLE}---{WHOLE}");
    let Refused(problems) = parse(&twice, NOW).expect_err("twice");
    assert!(
        problems.iter().any(|p| p.text.contains("two SLOs of the name shop-answers")),
        "{problems:?}"
    );
    let Refused(problems) = parse("", NOW).expect_err("nothing");
    assert!(problems[0].text.contains("no object of kind SLO"));
    let place =
        parse(&with("  service: shop\n", "  service: shop\n   x: 1\n"), NOW).expect_err("no YAML");
    assert!(place.to_string().starts_with("line 1"), "{place}");
}

/// Where the vectors lie, if they do.
fn vectors() -> Option<std::path::PathBuf> {
    let near = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/vectors");
    let folder =
        std::env::var_os("HOLM_VECTORS").map_or_else(|| near.into(), std::path::PathBuf::from);
    let folder = folder.join("slo");
    folder.is_dir().then_some(folder)
}

/// Every file of OpenSLO's examples and of its Go SDK's tests: taken, or the first path at which it is
/// refused, and why. All of them ask other systems for their metrics or are of another version.
#[test]
fn of_openslos_own_files_each_is_taken_or_refused_where_and_why() {
    let Some(folder) = vectors() else {
        println!("skipped: the vectors are not here");
        return;
    };
    let mut files = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                // A tool's own settings.
                _ if entry.file_name().to_string_lossy().starts_with('.') => {}
                path if path.extension().is_some_and(|e| e == "yaml") => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    let mut found = String::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a file");
        let name = path.strip_prefix(&folder).expect("inside").display();
        let said = match parse(&text, NOW) {
            Ok(slos) => format!("taken: {} SLOs", slos.len()),
            Err(Refused(problems)) => {
                let first = &problems[0];
                format!(
                    "{} problems, the first at {}: {}: {}",
                    problems.len(),
                    first.mark.line,
                    first.path,
                    first.text
                )
            }
        };
        found.push_str(&format!("{name}: {said}\n"));
    }
    let known = include_str!("openslo_files.txt");
    assert!(found == known, "it is now:\n{found}");
}

proptest! {
    #[test]
    fn whatever_is_sent_is_taken_or_refused(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[ -~\\n\\t\u{e9}\u{2028}]{0,6}"), 0..6),
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, gone, put) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + gone).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(slos) = parse(&text, NOW) {
            for slo in slos {
                let again = parse(&slo.to_openslo().to_string(), NOW).expect("what it writes it reads");
                prop_assert_eq!(&again[0], &slo);
            }
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,300}") {
        let _ = parse(&text, NOW);
    }
}
