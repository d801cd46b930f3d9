//! `holm test heat`: how long a test took, as a picture of time by latency.

use std::fmt::Write as _;

use clap::Args;
use holm_model::SiteId;

use super::Target;
use super::client::Client;
use super::render::clean;
use super::test::{incomplete, path_of};
use crate::api::test_heat_types::{TestHeat, TestHeatColumn};

/// From none to all of a column's runs.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

#[derive(Debug, Args)]
pub(crate) struct TestHeatArgs {
    #[command(flatten)]
    target: Target,
    /// The test's name.
    name: String,
    /// From this moment on: RFC 3339, or milliseconds since 1970. An hour before the end otherwise; at most 30 days.
    #[arg(long)]
    from: Option<String>,
    /// Up to this moment; now otherwise.
    #[arg(long)]
    to: Option<String>,
    /// Only of this site; may be given again.
    #[arg(long)]
    site: Vec<SiteId>,
    /// Most columns: 10 to 200.
    #[arg(long, default_value_t = 60)]
    columns: usize,
    /// Most rows: 4 to 40.
    #[arg(long, default_value_t = 16)]
    rows: usize,
}

pub(super) async fn run(args: &TestHeatArgs) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("columns", &args.columns.to_string());
    query.append_pair("rows", &args.rows.to_string());
    for (name, value) in [("from", &args.from), ("to", &args.to)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for site in &args.site {
        query.append_pair("site", site.as_str());
    }
    let path = format!("{}/heat?{}", path_of(&args.name), query.finish());
    let found: TestHeat = Client::new(&args.target)?.get(&path).await?;
    if args.target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    print!("{}", text(&found));
    incomplete(Some(&found.asked));
    Ok(())
}

fn text(found: &TestHeat) -> String {
    let mut text = String::new();
    let name = clean(&found.test);
    if found.runs == 0 {
        let of = if found.asked.complete { "" } else { " at the sites that answered" };
        let _ = writeln!(text, "no run of {name} in this time{of}: see holm test show {name}");
        return text;
    }
    let line = |text: &mut String, label: &str, of: &dyn Fn(&TestHeatColumn) -> char| {
        let drawn: String = found.columns.iter().map(of).collect();
        let _ = writeln!(text, "{label:>10} ┤{drawn}");
    };
    line(&mut text, "failed", &|column| shade(column.failed, column));
    for row in (0..found.edges_ms.len().saturating_sub(1)).rev() {
        let label = milliseconds(found.edges_ms[row]);
        line(&mut text, &label, &|column| {
            shade(column.rows.get(row).copied().unwrap_or_default(), column)
        });
    }
    let (first, last) = (&found.asked.from, &found.asked.to);
    let _ = writeln!(text, "{:>10} └{}", "", "─".repeat(found.columns.len()));
    let _ = writeln!(
        text,
        "{:>12}{first} to {last}, a column is {}; each row from its number up to that of the next",
        "",
        holm_active::length(std::time::Duration::from_millis(found.width_ms))
    );
    let all: String = SHADES[1..].iter().collect();
    let _ = writeln!(
        text,
        "{:>12}{} runs, {} failed; {all} share of the column's runs, · not measured",
        "", found.runs, found.failed
    );
    text
}

/// The share of a column's runs: the least of them is seen.
fn shade(runs: u64, of: &TestHeatColumn) -> char {
    if of.runs == 0 {
        return '·';
    }
    let steps = (SHADES.len() - 1) as u64;
    SHADES[usize::try_from((runs * steps).div_ceil(of.runs).min(steps)).unwrap_or_default()]
}

fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms >= 1_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{:.0} us", ms * 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::probe_tests_types::TestAsked;
    use crate::api::types::Timestamp;
    use holm_model::Millis;

    fn heat(columns: &[(u64, u64, &[u64])], edges_ms: &[f64]) -> TestHeat {
        let at = |n: u64| Timestamp(Millis(1_709_208_000_000 + n * 60_000));
        let columns: Vec<TestHeatColumn> = (0..)
            .zip(columns)
            .map(|(n, (runs, failed, rows))| TestHeatColumn {
                at: at(n),
                runs: *runs,
                failed: *failed,
                rows: rows.to_vec(),
            })
            .collect();
        TestHeat {
            test: "shop".into(),
            width_ms: 60_000,
            edges_ms: edges_ms.to_vec(),
            runs: columns.iter().map(|column| column.runs).sum(),
            failed: columns.iter().map(|column| column.failed).sum(),
            columns,
            asked: TestAsked {
                from: at(0),
                to: at(3),
                complete: true,
                sites: Vec::new(),
                approximations: Vec::new(),
            },
        }
    }

    #[test]
    fn a_column_without_runs_is_told_from_one_without_failures() {
        let found = heat(&[(4, 0, &[4, 0]), (0, 0, &[0, 0]), (100, 99, &[0, 1])], &[0.5, 1.0, 2.0]);
        let text = text(&found);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "    failed ┤ ·█");
        assert_eq!(lines[1], "    1.0 ms ┤ ·░", "one of a hundred is seen");
        assert_eq!(lines[2], "    500 us ┤█· ");
        assert!(text.contains("a column is 1m") && text.contains("104 runs, 99 failed"), "{text}");
    }

    #[test]
    fn nothing_is_not_drawn_as_if_it_were_something() {
        assert!(text(&heat(&[(0, 0, &[])], &[])).starts_with("no run of shop"));
        let failed = text(&heat(&[(2, 2, &[])], &[]));
        assert!(failed.starts_with("    failed ┤█\n"), "{failed}");
    }
}
