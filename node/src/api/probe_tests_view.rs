//! Tests as the API shows them: what is defined, who runs it, how it stands there, and what results came to.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_active::{Part, State as Standing, chosen, length};
use holm_model::{Millis, SiteId};
use serde_json::Value;

use super::error::ApiError;
use super::probe_tests_types::{
    TestAsked, TestConflict, TestOther, TestPart, TestSite, TestState, TestStats, TestView,
};
use super::query::{QueryAnswer, QueryRequest};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState, Tenant, TestPolicy, TestRecord, conflicts, host_of};

/// Longest time that sites have to give what their rows come to, in ms.
const TIMEOUT_MS: u64 = 8_000;

/// What results came to, by test and site.
#[derive(Default)]
pub(super) struct Statistics {
    by_site: BTreeMap<(String, String), TestStats>,
    /// By test alone, over all sites.
    all: BTreeMap<String, TestStats>,
    pub(super) asked: Option<TestAsked>,
}

/// A text in SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rows between two moments.
pub(super) fn between(from: Millis, to: Millis) -> String {
    format!(
        "\"time\" >= TIMESTAMP '{}' AND \"time\" <= TIMESTAMP '{}'",
        Timestamp(from),
        Timestamp(to)
    )
}

/// Puts a question to all sites that hold the tenant.
pub(super) async fn ask(
    state: &Arc<NodeState>,
    caller: &Caller,
    sql: String,
    sites: Option<Vec<SiteId>>,
) -> Result<QueryAnswer, ApiError> {
    let request = QueryRequest { sql: Some(sql), name: None, sites, timeout_ms: Some(TIMEOUT_MS) };
    let answer = super::query::query(State(Arc::clone(state)), caller.clone(), Json(request));
    answer.await.map(|Json(answer)| answer)
}

/// What an answer stands on.
pub(super) fn asked(answer: QueryAnswer, from: Millis, to: Millis) -> TestAsked {
    TestAsked {
        from: Timestamp(from),
        to: Timestamp(to),
        complete: answer.complete && !answer.cut,
        sites: answer.sites,
        approximations: answer.approximations,
    }
}

/// What the results of all tests, or of one, came to between two moments.
pub(super) async fn statistics(
    state: &Arc<NodeState>,
    caller: &Caller,
    test: Option<&str>,
    (from, to): (Millis, Millis),
) -> Result<Statistics, ApiError> {
    let only = test.map_or_else(String::new, |test| format!(" AND test = {}", quoted(test)));
    let quantile = |q: f64| format!("approx_percentile_cont(duration_ms, {q})");
    let numbers = format!(
        "count(*) AS results, sum(CASE WHEN success THEN 0 ELSE 1 END) AS failed, {}, {}, {}, max(\"time\") AS last",
        quantile(0.5),
        quantile(0.95),
        quantile(0.99)
    );
    // What the guard refused says nothing of the target.
    let rows = format!(
        "FROM active_results WHERE kind = 'test' AND refused IS NULL{only} AND {}",
        between(from, to)
    );
    let by_site = format!("SELECT test, site, {numbers} {rows} GROUP BY test, site LIMIT 10000");
    let all = format!("SELECT test, '' AS site, {numbers} {rows} GROUP BY test LIMIT 10000");
    let by_site = ask(state, caller, by_site, None).await?;
    // Sketches add up at the asker: of one site they are the same.
    let all = ask(state, caller, all, None).await?;
    let mut statistics = Statistics::default();
    for row in &by_site.rows {
        if let Some((test, site, stats)) = stats_of(row) {
            statistics.by_site.insert((test, site), stats);
        }
    }
    for row in &all.rows {
        if let Some((test, _, stats)) = stats_of(row) {
            statistics.all.insert(test, stats);
        }
    }
    statistics.asked = Some(asked(by_site, from, to));
    Ok(statistics)
}

fn stats_of(row: &[Value]) -> Option<(String, String, TestStats)> {
    let [test, site, results, failed, p50, p95, p99, last] = row else { return None };
    let results = results.as_u64().or_else(|| results.as_i64().map(i64::unsigned_abs))?;
    let failed = failed.as_u64().or_else(|| failed.as_f64().map(|n| n as u64)).unwrap_or_default();
    let good = results.saturating_sub(failed) as f64;
    let stats = TestStats {
        results,
        failed,
        success_ratio: if results > 0 { good / results as f64 } else { 0.0 },
        p50_ms: p50.as_f64(),
        p95_ms: p95.as_f64(),
        p99_ms: p99.as_f64(),
        last_at: last.as_str().and_then(Timestamp::parse),
    };
    Some((test.as_str()?.to_owned(), site.as_str()?.to_owned(), stats))
}

/// A test as it stands now.
pub(super) fn test_view(tenant: &Tenant, policy: &TestPolicy, of: &Statistics) -> TestView {
    let test = policy.test.as_deref();
    let sites = sites_of(tenant, policy, of);
    let running = || sites.iter().filter(|site| site.part == TestPart::Runs);
    let state = match test {
        None => TestState::Broken,
        Some(test) if !test.enabled => TestState::Off,
        Some(_) => running().map(|site| site.state).min().unwrap_or(TestState::NotRun),
    };
    let edit = &policy.edits[0];
    let definition = |content: &Option<String>| {
        content.as_ref().and_then(|text| serde_json::from_str::<Value>(text).ok())
    };
    TestView {
        name: policy.name.to_string(),
        description: test.and_then(|test| test.description.as_deref()).map(str::to_owned),
        state,
        severity: test.map(|test| test.severity),
        probe: test.map(|test| test.target.probe.as_str().to_owned()),
        target: test.map(|test| test.target.target.clone()),
        interval_ms: test.and_then(|test| u64::try_from(test.interval.as_millis()).ok()),
        labels: test
            .into_iter()
            .flat_map(|test| &test.labels)
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        failing: running()
            .filter(|site| site.state == TestState::Failing)
            .map(|site| site.site.clone())
            .collect(),
        sites,
        stats: of.all.get(&*policy.name).cloned(),
        problem: policy.problem.clone(),
        edited_by: format!("{} at {}", edit.by, edit.writer),
        edited_at: Timestamp(edit.at),
        conflicts: conflicts(&policy.edits)
            .map(|edit| TestConflict {
                by: format!("{} at {}", edit.by, edit.writer),
                at: Timestamp(edit.at),
                removed: edit.content.is_none(),
                definition: definition(&edit.content),
            })
            .collect(),
        definition: definition(&edit.content).unwrap_or(Value::Null),
    }
}

fn sites_of(tenant: &Tenant, policy: &TestPolicy, of: &Statistics) -> Vec<TestSite> {
    let Some(test) = policy.test.as_deref() else { return Vec::new() };
    let own = (&tenant.tests.writer.site, &tenant.tests.writer.node);
    let states = tenant.tests.states_of(&policy.name);
    let chosen = chosen(test, &tenant.tests.members()).into_iter();
    let sites = chosen.map(|one| {
        let said = states.get(&(one.site.clone(), one.node.clone()));
        let is_own = (&one.site, &one.node) == own;
        let left_out = is_own.then(|| {
            let counted = tenant.tests.runner.left_out(&policy.name).into_iter();
            counted.map(|(why, count)| (why.as_str().to_owned(), count)).collect()
        });
        let key = (policy.name.to_string(), one.site.to_string());
        TestSite {
            part: match one.part {
                Part::Runs => TestPart::Runs,
                Part::InReserve => TestPart::InReserve,
                Part::Away => TestPart::Away,
            },
            state: said.map_or(TestState::Unknown, state_of),
            since: said.filter(|said| state_of(said) != TestState::Unknown).map(since_of),
            error: said.map(|said| said.error.to_string()).filter(|error| !error.is_empty()),
            said_at: said.map(|said| Timestamp(Millis(said.at))),
            stats: of.by_site.get(&key).cloned(),
            left_out,
            site: one.site,
            node: one.node,
        }
    });
    sites.collect()
}

fn state_of(said: &TestRecord) -> TestState {
    match Standing::parse(&said.state) {
        Some(Standing::Failing) => TestState::Failing,
        Some(Standing::Passing) => TestState::Passing,
        Some(Standing::Refused) => TestState::Refused,
        Some(Standing::Unknown) | None => TestState::Unknown,
    }
}

fn since_of(said: &TestRecord) -> Timestamp {
    Timestamp(Millis(said.since))
}

/// Other tests of the same host, where they run.
pub(super) fn others(tenant: &Tenant, policy: &TestPolicy) -> Vec<TestOther> {
    let Some(test) = policy.test.as_deref() else { return Vec::new() };
    let host = host_of(&test.target.target);
    let defined = tenant.tests.defined();
    let same = defined.iter().filter(|other| {
        let of = other.test.as_deref().map(|other| host_of(&other.target.target));
        other.name != policy.name && of == Some(host)
    });
    let none = Statistics::default();
    let mut others: Vec<TestOther> = same
        .flat_map(|other| {
            let sites = sites_of(tenant, other, &none).into_iter();
            let runs = sites.filter(|site| site.part == TestPart::Runs);
            runs.map(|site| TestOther {
                test: other.name.to_string(),
                site: site.site,
                state: site.state,
                since: site.since,
                error: site.error,
            })
        })
        .collect();
    others.sort_by(|a, b| {
        a.state.cmp(&b.state).then_with(|| (&a.test, &a.site).cmp(&(&b.test, &b.site)))
    });
    others
}

/// How long a window is, as it is asked for: `1h`.
pub(super) fn window_ms(text: &str) -> Result<u64, ApiError> {
    const LONGEST_MS: u64 = 30 * 86_400_000;
    let read = holm_active::length_of(text).and_then(|time| u64::try_from(time.as_millis()).ok());
    read.filter(|ms| (1_000..=LONGEST_MS).contains(ms)).ok_or_else(|| {
        let text: String = text.chars().take(40).collect();
        let longest = length(std::time::Duration::from_millis(LONGEST_MS));
        ApiError::bad_request(format!(
            "window={text}: a length of time from 1s to {longest}, such as 1h"
        ))
    })
}
