//! What runs gave before, beside what they give now: a base in a file, and the table of differences.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::run::Outcome;

/// What is compared: its name in an outcome, and at the head of the table.
const NUMBERS: [(&str, &str); 5] = [
    ("p99_ms", "p99 ms"),
    ("duplicates_per_message", "duplicates"),
    ("max_node_bytes", "node bytes"),
    ("sent_bytes_s_mean", "sent B/s"),
    ("converged_after_ms", "converged ms"),
];
/// Most bytes of a file that is read as a base.
pub const MAX_BASE_BYTES: u64 = 4 * 1024 * 1024;

/// Numbers of runs, by scenario and seed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Base(BTreeMap<(String, u64), BTreeMap<String, f64>>);

impl Base {
    /// Adds what a run gave; numbers that it lacks are left out, fractions have three digits.
    pub fn add(&mut self, scenario: &str, seed: u64, outcome: &Outcome) {
        let number = |(name, _): &(&str, &str)| {
            let value = outcome.json.get(*name).and_then(Value::as_f64)?;
            Some(((*name).to_owned(), (value * 1_000.0).round() / 1_000.0))
        };
        self.0.insert((scenario.to_owned(), seed), NUMBERS.iter().filter_map(number).collect());
    }

    /// Reads what [`Base::text`] wrote.
    ///
    /// # Errors
    /// Says what is not as it should be, and how to write such a text anew.
    pub fn parse(text: &str) -> Result<Self, String> {
        let remedy = "write it anew with `holm-sim short --write FILE`";
        let all: Value =
            serde_json::from_str(text).map_err(|error| format!("no JSON ({error}): {remedy}"))?;
        let runs = all.as_array().ok_or_else(|| format!("not a list of runs: {remedy}"))?;
        let mut base = Self::default();
        for (at, run) in runs.iter().enumerate() {
            let read = || {
                let scenario = run.get("scenario")?.as_str()?.to_owned();
                let seed = run.get("seed")?.as_u64()?;
                let numbers = run.get("numbers")?.as_object()?.iter();
                let numbers = numbers.map(|(name, value)| Some((name.clone(), value.as_f64()?)));
                Some(((scenario, seed), numbers.collect::<Option<_>>()?))
            };
            let (key, numbers) = read().ok_or_else(|| {
                format!("run {} lacks a scenario, a seed or numbers: {remedy}", at + 1)
            })?;
            if base.0.insert(key, numbers).is_some() {
                return Err(format!("run {} is there twice: {remedy}", at + 1));
            }
        }
        Ok(base)
    }

    /// As JSON, sorted, one line a run.
    pub fn text(&self) -> String {
        let line = |((scenario, seed), numbers): (&(String, u64), &BTreeMap<String, f64>)| {
            json!({ "scenario": scenario, "seed": seed, "numbers": numbers }).to_string()
        };
        format!("[\n{}\n]\n", self.0.iter().map(line).collect::<Vec<_>>().join(",\n"))
    }

    /// A line for each run of this base or of `change`: base, change and difference of each number.
    pub fn table(&self, change: &Self) -> String {
        let mut out = format!("{:18}", "base > change");
        for (_, head) in NUMBERS {
            let _ = write!(out, " | {head:>30}");
        }
        let mut keys: Vec<_> = self.0.keys().chain(change.0.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let (before, after) = (self.0.get(key), change.0.get(key));
            let _ = write!(out, "\n{:18}", format!("{} {}", key.0, key.1));
            for (name, _) in NUMBERS {
                let of =
                    |run: Option<&BTreeMap<String, f64>>| run.and_then(|r| r.get(name)).copied();
                let _ = write!(out, " | {:>30}", cell(of(before), of(after)));
            }
            match (before, after) {
                (None, _) => out.push_str(" | new"),
                (_, None) => out.push_str(" | gone"),
                _ => {}
            }
        }
        out.push('\n');
        out
    }
}

fn cell(before: Option<f64>, after: Option<f64>) -> String {
    let show = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
    let percent = match (before, after) {
        (Some(b), Some(a)) if (a - b).abs() < 1e-9 => "=".to_owned(),
        (Some(b), Some(a)) if b != 0.0 => format!("{:+.1} %", (a - b) / b * 100.0),
        _ => "-".to_owned(),
    };
    format!("{} > {} {percent}", show(before), show(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(runs: &[(&str, u64, f64)]) -> Base {
        let mut base = Base::default();
        for (scenario, seed, p99) in runs {
            let json = json!({ "p99_ms": p99, "converged_after_ms": null });
            base.add(scenario, *seed, &Outcome { json, problems: vec![], trace: String::new() });
        }
        base
    }

    #[test]
    fn differences_new_and_gone_runs_are_told() {
        let before = base(&[("steady", 1, 200.0), ("steady", 2, 10.0), ("crash", 1, 5.0)]);
        let after = base(&[("steady", 1, 250.0), ("steady", 2, 10.0), ("quiet", 1, 0.0)]);
        let table = before.table(&after);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 5, "{table}");
        assert!(lines[1].starts_with("crash 1") && lines[1].ends_with("| gone"), "{table}");
        assert!(lines[2].starts_with("quiet 1") && lines[2].ends_with("| new"), "{table}");
        assert!(lines[3].contains("200.00 > 250.00 +25.0 %"), "{table}");
        assert!(lines[4].contains("10.00 > 10.00 ="), "{table}");
        assert!(after.table(&before).contains("250.00 > 200.00 -20.0 %"));
        assert_eq!(cell(Some(0.0), Some(2.0)), "0.00 > 2.00 -", "no percent of nothing");
    }

    #[test]
    fn a_base_is_read_as_it_was_written() {
        let written = base(&[("steady", 10, 1.23456), ("steady", 2, 7.0), ("crash", 1, 0.0)]);
        let text = written.text();
        assert_eq!(Base::parse(&text).expect("a base"), written);
        let seeds: Vec<&str> = text.lines().filter(|line| line.contains("steady")).collect();
        assert!(seeds.len() == 2 && seeds[0].contains("\"seed\":2"), "{text}");
        assert!(text.contains("1.235") && !text.contains("converged"), "{text}");
    }

    #[test]
    fn what_is_no_base_is_told_with_the_remedy() {
        let run = r#"{"scenario":"a","seed":1,"numbers":{}}"#;
        for text in ["", "{}", "[1]", &format!("[{run},{run}]")] {
            assert!(Base::parse(text).expect_err("no base").contains("--write"), "{text}");
        }
    }
}
