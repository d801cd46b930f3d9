//! `GET /v1/tests/{name}/heat`: how many runs took how long, by time.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use holm_model::{Millis, SiteId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::params::{Given, When, moment, window};
use super::probe_tests::find;
use super::probe_tests_view::{ask, asked, between, quoted};
use super::sites;
use super::test_heat_types::{TestHeat, TestHeatColumn};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Longest window.
const MAX_WINDOW_MS: u64 = 30 * DAY_MS;
/// How many columns may be asked for, and how many there are otherwise.
const COLUMNS: (std::ops::RangeInclusive<usize>, usize) = (10..=200, 60);
/// The same of rows.
const ROWS: (std::ops::RangeInclusive<usize>, usize) = (4..=40, 24);
/// Widths of columns that people read at a glance, in seconds; beyond them whole days.
const WIDTHS_S: [u64; 18] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400,
];
/// Rows to a doubling of the latency, at most, as a power of two: each row is 9 % higher than the one before.
const FINEST: i32 = 3;
/// And at least: 2^8 times higher.
const COARSEST: i32 = -3;
/// A microsecond: what is shorter counts as that long.
const LEAST_MS: f64 = 0.001;
/// Marks of runs that are in no row.
const UNTIMED: i64 = 1_000_000;
const FAILED: i64 = 1_000_001;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestHeatQuery {
    /// From this moment on; an hour before `to` otherwise, and at most 30 days.
    #[param(value_type = Option<String>)]
    from: Option<When>,
    /// Up to this moment; now otherwise.
    #[param(value_type = Option<String>)]
    to: Option<When>,
    /// Only of these sites; may be given again.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
    /// Most columns: 10 to 200; 60 otherwise.
    columns: Option<usize>,
    /// Most rows: 4 to 40; 24 otherwise.
    rows: Option<usize>,
}

/// How long a test took, as a picture of time by latency: for every stretch of the window how many runs failed and how
/// many took how long. Every site that holds the tenant is asked; those that do not answer are named.
#[utoipa::path(
    get, path = "/v1/tests/{name}/heat", tag = "tests",
    params(("name" = String, Path, description = "its name"), TestHeatQuery),
    responses(
        (status = 200, body = TestHeat), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 429, body = ErrorBody)
    )
)]
pub(crate) async fn test_heat(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Given(query): Given<TestHeatQuery>,
) -> Result<Json<TestHeat>, ApiError> {
    let columns = between_bounds("columns", query.columns, COLUMNS)?;
    let rows = between_bounds("rows", query.rows, ROWS)?;
    let to = moment("to", query.to)?.unwrap_or_else(Millis::now);
    let from = match query.from {
        Some(from) => window("from", from, to)?,
        None => to - HOUR_MS,
    };
    if to.0 - from.0 > MAX_WINDOW_MS {
        return Err(ApiError::bad_request("from: it lies at most 30 days before `to`"));
    }
    let tenant = state.tenant(&caller)?;
    let policy = find(&tenant, &name)?;
    sites::known(&state, &tenant, &query.site, Millis::now())?;
    // A run begins up to the jitter late: one in each interval and a jitter is sure.
    let turn = policy.test.as_ref().map_or(0, |test| (test.interval + test.jitter).as_millis());
    let width_ms = width((from, to), columns, u64::try_from(turn).unwrap_or(DAY_MS));
    let sites = (!query.site.is_empty()).then_some(query.site);

    // What the guard refused says nothing of the target.
    let of_test = format!(
        "FROM active_results WHERE kind = 'test' AND refused IS NULL AND test = {} AND {}",
        quoted(&name),
        between(from, to)
    );
    let sql = format!("SELECT min(duration_ms), max(duration_ms) {of_test} AND success");
    let range = ask(&state, &caller, sql, sites.clone()).await?;
    let detail = detail(range.rows.first().map(Vec::as_slice).unwrap_or_default(), rows);
    let sql = format!(
        "SELECT date_bin(INTERVAL '{width_ms} milliseconds', \"time\", TIMESTAMP '1970-01-01T00:00:00Z') AS at, \
         CASE WHEN NOT success THEN {FAILED} WHEN duration_ms IS NULL THEN {UNTIMED} \
         ELSE CAST(floor(log2(greatest(duration_ms, {LEAST_MS:?})) * {:?}) AS BIGINT) END AS level, count(*) AS runs \
         {of_test} GROUP BY at, level LIMIT 10000",
        2_f64.powi(detail)
    );
    let answer = ask(&state, &caller, sql, sites).await?;
    let counted = answer.rows.iter().filter_map(|row| counted(row));
    let picture = Picture::of(counted, (from, to), width_ms, detail, rows);
    Ok(Json(picture.view(name, asked(answer, from, to))))
}

/// A number within its bounds.
fn between_bounds(
    name: &str,
    given: Option<usize>,
    (bounds, otherwise): (std::ops::RangeInclusive<usize>, usize),
) -> Result<usize, ApiError> {
    let given = given.unwrap_or(otherwise);
    if bounds.contains(&given) {
        return Ok(given);
    }
    let text = format!("{name}={given}: it goes from {} to {}", bounds.start(), bounds.end());
    Err(ApiError::bad_request(text))
}

/// How long a column is: the shortest of those that people know with which the window has at most so many, and in which
/// the test has its turn once, jitter included.
fn width((from, to): (Millis, Millis), columns: usize, turn_ms: u64) -> u64 {
    let fits = |width_ms: &u64| {
        *width_ms >= turn_ms && to.0 / width_ms - from.0 / width_ms < columns as u64
    };
    let known = WIDTHS_S.iter().map(|s| s * 1_000);
    let mut all = known.chain((2..=31).map(|days| days * DAY_MS));
    all.find(fits).unwrap_or(31 * DAY_MS)
}

/// How many rows there are to a doubling, as a power of two, so that what lies between the shortest and the longest has
/// at most so many.
fn detail(range: &[Value], rows: usize) -> i32 {
    let level = |value: Option<&Value>, detail: i32| {
        let ms = value.and_then(Value::as_f64)?.max(LEAST_MS);
        Some((ms.log2() * 2_f64.powi(detail)).floor() as i64)
    };
    let fits = |detail: &i32| {
        let (Some(low), Some(high)) = (level(range.first(), *detail), level(range.get(1), *detail))
        else {
            return true;
        };
        usize::try_from(high - low).is_ok_and(|levels| levels < rows)
    };
    (COARSEST..=FINEST).rev().find(fits).unwrap_or(COARSEST)
}

/// The column, the level and the count of a row of the answer.
fn counted(row: &[Value]) -> Option<(Millis, i64, u64)> {
    let [at, level, runs] = row else { return None };
    Some((Timestamp::parse(at.as_str()?)?.0, level.as_i64()?, runs.as_u64()?))
}

/// Counts by column and level.
struct Picture {
    columns: BTreeMap<Millis, BTreeMap<i64, u64>>,
    width_ms: u64,
    /// Levels to a doubling, as a power of two.
    detail: i32,
    /// The lowest and the highest level in which there is something.
    levels: Option<(i64, i64)>,
}

impl Picture {
    fn of(
        counted: impl Iterator<Item = (Millis, i64, u64)>,
        (from, to): (Millis, Millis),
        width_ms: u64,
        detail: i32,
        rows: usize,
    ) -> Self {
        let first = from.0 / width_ms * width_ms;
        let starts = (first..=to.0).step_by(usize::try_from(width_ms).unwrap_or(usize::MAX));
        let columns = starts.map(|at| (Millis(at), BTreeMap::new())).collect();
        let mut picture = Self { columns, width_ms, detail, levels: None };
        for (at, level, runs) in counted {
            let Some(column) = picture.columns.get_mut(&at) else { continue };
            *column.entry(level).or_default() += runs;
        }
        picture.measure();
        // More came while the question was put: every level with its neighbour.
        while picture.levels.is_some_and(|(low, high)| high - low >= rows as i64) {
            for column in picture.columns.values_mut() {
                let mut halved = BTreeMap::new();
                for (level, runs) in std::mem::take(column) {
                    let level = if level < UNTIMED { level.div_euclid(2) } else { level };
                    *halved.entry(level).or_default() += runs;
                }
                *column = halved;
            }
            picture.detail -= 1;
            picture.measure();
        }
        picture
    }

    fn measure(&mut self) {
        let levels = || self.columns.values().flat_map(|c| c.keys()).filter(|l| **l < UNTIMED);
        self.levels = levels().min().copied().zip(levels().max().copied());
    }

    fn view(self, test: String, asked: super::probe_tests_types::TestAsked) -> TestHeat {
        let edge = |level: i64| 2_f64.powf(level as f64 / 2_f64.powi(self.detail));
        let edges_ms = match self.levels {
            Some((low, high)) => (low..=high + 1).map(edge).collect(),
            None => Vec::new(),
        };
        let columns: Vec<TestHeatColumn> = self
            .columns
            .iter()
            .map(|(at, counts)| TestHeatColumn {
                at: Timestamp(*at),
                runs: counts.values().sum(),
                failed: counts.get(&FAILED).copied().unwrap_or_default(),
                rows: self.levels.map_or_else(Vec::new, |(low, high)| {
                    (low..=high).map(|l| counts.get(&l).copied().unwrap_or_default()).collect()
                }),
            })
            .collect();
        TestHeat {
            test,
            width_ms: self.width_ms,
            edges_ms,
            runs: columns.iter().map(|column| column.runs).sum(),
            failed: columns.iter().map(|column| column.failed).sum(),
            columns,
            asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOON: u64 = 1_709_208_000_000;

    fn picture(counted: &[(u64, i64, u64)], detail: i32, rows: usize) -> Picture {
        let counted = counted.iter().map(|(at, level, runs)| (Millis(*at), *level, *runs));
        Picture::of(counted, (Millis(NOON), Millis(NOON + 4_999)), 1_000, detail, rows)
    }

    fn edges(picture: &Picture) -> Option<(f64, f64)> {
        let edge = |level: i64| 2_f64.powf(level as f64 / 2_f64.powi(picture.detail));
        picture.levels.map(|(low, high)| (edge(low), edge(high + 1)))
    }

    #[test]
    fn a_window_has_at_most_as_many_columns_as_asked_for_and_none_shorter_than_the_interval() {
        for window_ms in [0, 1_000, 3_600_000, 3_600_001, DAY_MS, 7 * DAY_MS, MAX_WINDOW_MS] {
            for begin in [0, NOON, NOON + 1, NOON + 999_999] {
                for columns in [10, 60, 200] {
                    for interval in [0, 250, 10_000, 3_600_000, DAY_MS] {
                        let window = (Millis(begin), Millis(begin + window_ms));
                        let width = width(window, columns, interval);
                        assert!(width >= interval, "{window_ms} {columns} {interval}: {width}");
                        let picture = Picture::of([].into_iter(), window, width, 0, 4);
                        assert!(picture.columns.len() <= columns, "{window_ms} {columns}: {width}");
                    }
                }
            }
        }
        let hour = (Millis(NOON), Millis(NOON + HOUR_MS - 1));
        assert_eq!(width(hour, 60, 10_000), 60_000);
        assert_eq!(width(hour, 59, 10_000), 120_000);
    }

    #[test]
    fn the_finest_rows_that_fit_are_taken() {
        let detail = |low: f64, high: f64, rows| detail(&[json!(low), json!(high)], rows);
        assert_eq!(detail(10.0, 10.0, 4), FINEST);
        assert_eq!(detail(8.0, 15.9, 8), 3);
        assert_eq!(detail(8.0, 16.0, 8), 2, "nine levels of an eighth");
        assert_eq!(detail(0.0, 60_000.0, 4), -3);
        assert_eq!(super::detail(&[Value::Null, Value::Null], 4), FINEST);
        assert_eq!(super::detail(&[], 4), FINEST);
    }

    #[test]
    fn every_run_is_in_one_place_and_what_was_not_measured_is_told_from_nothing() {
        let found = picture(
            &[(NOON, 12, 5), (NOON, FAILED, 2), (NOON + 2_000, 14, 1), (NOON + 2_000, UNTIMED, 3)],
            2,
            24,
        );
        assert_eq!(edges(&found), Some((8.0, 2_f64.powf(3.75))));
        let of = |at: u64| found.columns[&Millis(NOON + at)].clone();
        assert_eq!(of(0), BTreeMap::from([(12, 5), (FAILED, 2)]));
        assert_eq!(of(1_000), BTreeMap::new());
        assert_eq!(of(2_000), BTreeMap::from([(14, 1), (UNTIMED, 3)]));
        assert_eq!(found.columns.len(), 5);
        // Nothing outside of the window is taken for something in it.
        let outside = picture(&[(NOON - 1_000, 12, 5), (NOON + 500, 12, 5)], 2, 24);
        assert_eq!((outside.levels, outside.columns.len()), (None, 5));
    }

    #[test]
    fn levels_that_came_later_are_put_together_and_none_is_lost() {
        let counts: Vec<(u64, i64, u64)> = (-20..20_i64)
            .map(|level| (NOON + 1_000 * (level.unsigned_abs() % 5), level, 3))
            .collect();
        for rows in [4, 5, 10, 40] {
            let found = picture(&counts, 3, rows);
            let (low, high) = found.levels.expect("some");
            assert!(high - low < rows as i64, "{rows}");
            let total: u64 = found.columns.values().flat_map(|column| column.values()).sum();
            assert_eq!(total, 120);
            let (first, last) = edges(&found).expect("some");
            assert!(first <= 2_f64.powf(-20.0 / 8.0) && last >= 2_f64.powf(20.0 / 8.0), "{rows}");
        }
    }
}
