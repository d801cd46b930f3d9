//! `/v1/tests`: what is probed because somebody decided so.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_active::{Member, Part, Test, chosen};
use holm_model::{Millis, Row, SiteId};
use holm_policy::{Problem, Refused};
use serde::Deserialize;
use utoipa::IntoParams;

use super::coverage::freshness;
use super::error::{ApiError, ErrorBody, ErrorCode};
use super::params::{Given, When, clipped, moment, window, within};
use super::planes::probe_result;
use super::policy_file::{self, MAX_TOLD, only};
use super::probe_tests_types::{
    TestCheck, TestDetail, TestList, TestProblem, TestRun, TestRunItem, TestRunRequest, TestState,
    TestsApplied, TestsAppliedItem,
};
use super::probe_tests_view::{Statistics, others, statistics, test_view, window_ms};
use super::sites;
use crate::daemon::{Applied, Caller, NodeState, Role, Tenant, TestError, author, host_of};

const MAX_PAGE: usize = 1_000;
/// Most sites that a test is run at once, when somebody asks.
const MAX_RUN_AT: usize = 64;
/// What a detail's statistics are of, if nothing else is asked for, in ms.
const HOUR_MS: u64 = 3_600_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestsQuery {
    /// Only in these states; may be given again.
    #[serde(default)]
    state: Vec<TestState>,
    /// Only tests that this site runs.
    #[param(value_type = Option<String>)]
    site: Option<SiteId>,
    /// Only tests of this host: what else sees it failing.
    target: Option<String>,
    /// With statistics of the results of so long, such as `1h`: every site is asked. 1s to 30d.
    window: Option<String>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// The tests, which sites run each and how it stands there, those that need looking at first. How tests stand is
/// told by each site whenever it turns, and known here without asking; statistics are asked of every site.
#[utoipa::path(
    get, path = "/v1/tests", tag = "tests", params(TestsQuery),
    responses((status = 200, body = TestList), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn list_tests(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<TestsQuery>,
) -> Result<Json<TestList>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let now = Millis::now();
    sites::known(&state, &tenant, query.site.as_slice(), now)?;
    let of = match &query.window {
        None => Statistics::default(),
        Some(text) => {
            let from = now - window_ms(text)?;
            statistics(&state, &caller, None, (from, now)).await?
        }
    };
    let (node, work) = (Arc::clone(&state), Arc::clone(&tenant));
    let listed = tokio::task::spawn_blocking(move || {
        let host = query.target.as_deref().map(host_of);
        let defined = work.tests.defined();
        let wanted = defined.iter().filter(|policy| {
            let of = policy.test.as_deref().map(|test| host_of(&test.target.target));
            host.is_none() || host == of
        });
        let mut items: Vec<_> = wanted.map(|policy| test_view(&work, policy, &of)).collect();
        let runs_there = |test: &super::probe_tests_types::TestView, site: &SiteId| {
            let part = super::probe_tests_types::TestPart::Runs;
            test.sites.iter().any(|one| one.part == part && one.site == *site)
        };
        items.retain(|test| query.site.as_ref().is_none_or(|site| runs_there(test, site)));
        let mut states: BTreeMap<String, u64> = BTreeMap::new();
        for test in &items {
            *states.entry(name_of(test.state)).or_default() += 1;
        }
        items.retain(|test| query.state.is_empty() || query.state.contains(&test.state));
        items.sort_by(|a, b| a.state.cmp(&b.state).then_with(|| a.name.cmp(&b.name)));
        let total = items.len() as u64;
        let active = &node.config.planes.active;
        TestList {
            items: items.into_iter().skip(query.offset.unwrap_or(0)).take(limit).collect(),
            total,
            states,
            asked: of.asked,
            counters: node.counters_of_tests(&work),
            allowed: active.allow.clone(),
            grantable: active.allow_granted.clone(),
            freshness: freshness(&node, &work, now),
        }
    });
    listed.await.map(Json).map_err(ApiError::internal)
}

fn name_of(state: TestState) -> String {
    serde_json::to_value(state)
        .ok()
        .and_then(|state| state.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestQuery {
    /// Statistics from this moment on; an hour before `to` otherwise.
    #[param(value_type = Option<String>)]
    from: Option<When>,
    /// Up to this moment; now otherwise.
    #[param(value_type = Option<String>)]
    to: Option<When>,
    /// `false`: no site is asked, and there are no statistics.
    stats: Option<bool>,
}

/// One test: who runs it and why, how it stands at each site, what results came to, and who else looks at the same
/// host.
#[utoipa::path(
    get, path = "/v1/tests/{name}", tag = "tests",
    params(("name" = String, Path, description = "its name"), TestQuery),
    responses((status = 200, body = TestDetail), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn show_test(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Given(query): Given<TestQuery>,
) -> Result<Json<TestDetail>, ApiError> {
    let to = moment("to", query.to)?.unwrap_or_else(Millis::now);
    let from = match query.from {
        Some(from) => window("from", from, to)?,
        None => to - HOUR_MS,
    };
    let tenant = state.tenant(&caller)?;
    find(&tenant, &name)?;
    let of = match query.stats {
        Some(false) => Statistics::default(),
        _ => statistics(&state, &caller, Some(&name), (from, to)).await?,
    };
    detail(&state, &tenant, &name, of).map(Json)
}

pub(super) fn find(tenant: &Tenant, name: &str) -> Result<crate::daemon::TestPolicy, ApiError> {
    let defined = tenant.tests.defined();
    let found = defined.iter().find(|policy| *policy.name == *name).cloned();
    found.ok_or_else(|| ApiError::not_found(TestError::Unknown(clipped(name)).to_string()))
}

fn detail(
    state: &NodeState,
    tenant: &Tenant,
    name: &str,
    of: Statistics,
) -> Result<TestDetail, ApiError> {
    let policy = find(tenant, name)?;
    Ok(TestDetail {
        test: test_view(tenant, &policy, &of),
        others: others(tenant, &policy),
        asked: of.asked,
        freshness: freshness(state, tenant, Millis::now()),
    })
}

/// Takes a file of tests, YAML or JSON: all of it, or none if any field is not understood.
#[utoipa::path(
    post, path = "/v1/tests", tag = "tests",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = TestsApplied), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn apply_tests(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    file: String,
) -> Result<Json<TestsApplied>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    apply(&state, &tenant, &caller, read(&file)?).await.map(Json)
}

/// Says what is wrong with a file, and what it would do, and does nothing.
#[utoipa::path(
    post, path = "/v1/tests/check", tag = "tests",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = TestCheck))
)]
pub(crate) async fn check_tests(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    file: String,
) -> Result<Json<TestCheck>, ApiError> {
    let tenant = state.tenant(&caller)?;
    Ok(Json(match holm_active::parse(&file) {
        Err(Refused(problems)) => TestCheck {
            problems: problems.iter().take(MAX_TOLD).map(problem).collect(),
            items: Vec::new(),
        },
        Ok(tests) => {
            let defined = tenant.tests.defined();
            let members = tenant.tests.members();
            let items = tests.iter().map(|test| {
                let known = defined.iter().find(|policy| policy.name == test.name);
                let same = known.and_then(|policy| policy.test.as_deref()) == Some(test);
                let change = match known {
                    None => Applied::Created,
                    Some(_) if same => Applied::Unchanged,
                    Some(_) => Applied::Updated,
                };
                item(test, change, &members)
            });
            TestCheck { problems: Vec::new(), items: items.collect() }
        }
    }))
}

/// Writes a test: a file with one test of this name.
#[utoipa::path(
    put, path = "/v1/tests/{name}", tag = "tests", params(("name" = String, Path, description = "its name")),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = TestDetail), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn put_test(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    file: String,
) -> Result<Json<TestDetail>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let tests = read(&file)?;
    only("name", &name, tests.iter().map(|test| &*test.name))?;
    apply(&state, &tenant, &caller, tests).await?;
    detail(&state, &tenant, &name, Statistics::default()).map(Json)
}

/// Takes a test away. Its results stay as long as rows do.
#[utoipa::path(
    delete, path = "/v1/tests/{name}", tag = "tests", params(("name" = String, Path, description = "its name")),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn delete_test(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let may_open = caller.require(Role::Admin).is_ok();
    let (node, by, of) = (Arc::clone(&state), author(&caller.name).to_owned(), name.clone());
    let removed = tokio::task::spawn_blocking(move || {
        tenant.remove_test(&node, &of, (&by, may_open), Millis::now())
    });
    removed.await.map_err(ApiError::internal)?.map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, test = name, "test taken away");
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a kept test once, now: at this node, or at the sites that are named, by their live nodes. Within the guards
/// and budgets that hold there. The results are kept with the kind `once`, and turn nothing.
#[utoipa::path(
    post, path = "/v1/tests/{name}/run", tag = "tests", params(("name" = String, Path, description = "its name")),
    request_body = TestRunRequest,
    responses((status = 200, body = TestRun), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn run_test(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Json(request): Json<TestRunRequest>,
) -> Result<Json<TestRun>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let policy = find(&tenant, &name)?;
    let test = policy
        .test
        .ok_or_else(|| ApiError::new(ErrorCode::Validation, policy.problem.unwrap_or_default()))?;
    let own = state.config.node.site.clone();
    let sites =
        request.sites.filter(|sites| !sites.is_empty()).unwrap_or_else(|| vec![own.clone()]);
    if sites.len() > MAX_RUN_AT {
        let text = format!("sites: at most {MAX_RUN_AT} at once");
        return Err(ApiError::new(ErrorCode::Validation, text));
    }
    let runs = sites.into_iter().map(|site| {
        let (state, tenant, test) = (Arc::clone(&state), Arc::clone(&tenant), Arc::clone(&test));
        async move {
            if site == state.config.node.site {
                let row = state.run_test(&tenant, &test, true).await;
                return run_item(site, Some(state.config.node.name.clone()), row);
            }
            let members = tenant.tests.members();
            let Some(member) = members.iter().find(|m| m.site == site && m.live) else {
                let why = format!("no node of {site} that runs tests is heard");
                return run_item(site, None, Err(why));
            };
            let row = state.ask_to_run(&tenant, (&site, &member.node), &test.name).await;
            run_item(site, Some(member.node.clone()), row)
        }
    });
    Ok(Json(TestRun { items: futures::future::join_all(runs).await }))
}

/// Runs a test that is not kept once at this node: a file with one test. Nothing of it is kept.
#[utoipa::path(
    post, path = "/v1/tests/run", tag = "tests",
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = TestRun), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn run_unsaved(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    file: String,
) -> Result<Json<TestRun>, ApiError> {
    caller.require(Role::Editor)?;
    let tenant = state.tenant(&caller)?;
    let tests = read(&file)?;
    let [test] = &tests[..] else {
        let text = format!("one test is run, and the file has {}", tests.len());
        return Err(ApiError::new(ErrorCode::Validation, text));
    };
    if !test.allow.is_empty() && caller.require(Role::Admin).is_err() {
        return Err(refused(&TestError::Allow(test.name.clone())));
    }
    let row = state.run_test(&tenant, test, false).await;
    let node = Some(state.config.node.name.clone());
    Ok(Json(TestRun { items: vec![run_item(state.config.node.site.clone(), node, row)] }))
}

fn run_item(
    site: SiteId,
    node: Option<holm_model::NodeName>,
    row: Result<Row, String>,
) -> TestRunItem {
    let (result, error) = match row {
        Ok(row) => (Some(probe_result(&row, &site)), None),
        Err(error) => (None, Some(error)),
    };
    TestRunItem { site, node, result, error }
}

fn problem(problem: &Problem) -> TestProblem {
    TestProblem {
        line: problem.mark.line,
        column: problem.mark.column,
        path: problem.path.clone(),
        text: problem.text.chars().take(400).collect(),
    }
}

fn read(file: &str) -> Result<Vec<Test>, ApiError> {
    holm_active::parse(file).map_err(|refused| policy_file::refused(&refused))
}

fn item(test: &Test, change: Applied, members: &[Member]) -> TestsAppliedItem {
    let runs = chosen(test, members).into_iter().filter(|one| one.part == Part::Runs);
    TestsAppliedItem {
        name: test.name.to_string(),
        change: match change {
            Applied::Created => "created",
            Applied::Updated => "updated",
            Applied::Unchanged => "unchanged",
        }
        .into(),
        runs_at: runs.map(|one| one.site).collect(),
    }
}

async fn apply(
    state: &Arc<NodeState>,
    tenant: &Arc<Tenant>,
    caller: &Caller,
    tests: Vec<Test>,
) -> Result<TestsApplied, ApiError> {
    let may_open = caller.require(Role::Admin).is_ok();
    let (of, node, by) = (Arc::clone(tenant), Arc::clone(state), author(&caller.name).to_owned());
    let work = tokio::task::spawn_blocking(move || {
        let applied = of.apply_tests(&node, &tests, (&by, may_open), Millis::now())?;
        let members = of.tests.members();
        let items = tests.iter().zip(applied).map(|(test, change)| item(test, change, &members));
        Ok::<_, TestError>(TestsApplied { items: items.collect() })
    });
    let applied = work.await.map_err(ApiError::internal)?.map_err(|error| refused(&error))?;
    tracing::info!(by = caller.name, tests = applied.items.len(), "tests applied");
    Ok(applied)
}

fn refused(error: &TestError) -> ApiError {
    let code = match error {
        TestError::Policy(..) => ErrorCode::Validation,
        TestError::Allow(_) => ErrorCode::Forbidden,
        TestError::Held(_) => ErrorCode::Conflict,
        TestError::Unknown(_) => ErrorCode::NotFound,
        TestError::Write(_) => ErrorCode::Unavailable,
    };
    ApiError::new(code, error.to_string())
}
