//! `GET /v1/tests/{name}/path`: the ways to a test's target, then and now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use holm_active::{Part, chosen};
use holm_model::{Millis, SiteId};
use holm_path::{Kept, KeptHop, KeptInterface};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::params::{Given, When, moment, window};
use super::probe_tests::find;
use super::probe_tests_view::{ask, asked, between, quoted};
use super::sites;
use super::test_path_types::{
    TestAlias, TestHop, TestInterface, TestLink, TestPath, TestPathChange, TestTrace, TestWays,
};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState, host_of};

const MAX_TRACES: usize = 2_000;
const MAX_CHANGES: usize = 500;
/// Most traces that are given with their hops.
const MAX_WAYS: usize = 64;
/// Most addresses that a test's host had in the window.
const MAX_ADDRESSES: usize = 32;
const DAY_MS: u64 = 86_400_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestPathQuery {
    /// The moment that is shown: the latest traces until then. `to` otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Traces and changes from this moment on; a day before `to` otherwise.
    #[param(value_type = Option<String>)]
    from: Option<When>,
    /// Up to this moment; `at` otherwise, and now without that.
    #[param(value_type = Option<String>)]
    to: Option<When>,
    /// Only of these sites; may be given again.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
}

/// The ways to a test's target at a moment, from every site that traces its host (`planes.path`), with the traces
/// and changes of the time around it. Every site that holds the tenant is asked; those that do not answer are named.
#[utoipa::path(
    get, path = "/v1/tests/{name}/path", tag = "tests",
    params(("name" = String, Path, description = "its name"), TestPathQuery),
    responses((status = 200, body = TestPath), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn test_path(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(name): Path<String>,
    Given(query): Given<TestPathQuery>,
) -> Result<Json<TestPath>, ApiError> {
    let at = moment("at", query.at)?;
    let to = moment("to", query.to)?.or(at).unwrap_or_else(Millis::now);
    let from = match query.from {
        Some(from) => window("from", from, to)?,
        None => to - DAY_MS,
    };
    let at = at.unwrap_or(to);
    if !(from..=to).contains(&at) {
        return Err(ApiError::bad_request("at: it lies between `from` and `to`"));
    }
    let tenant = state.tenant(&caller)?;
    let policy = find(&tenant, &name)?;
    let Some(test) = policy.test else {
        let why = policy.problem.unwrap_or_default();
        return Err(ApiError::bad_request(format!(
            "this version does not understand the test: {why}"
        )));
    };
    sites::known(&state, &tenant, &query.site, Millis::now())?;
    let host = host_of(&test.target.target).to_owned();
    let sites = (!query.site.is_empty()).then_some(query.site);

    // By its name, and by the addresses that the test met: a target may be configured as either.
    let sql = format!(
        "SELECT DISTINCT server.address FROM active_results WHERE test = {} AND server.address IS NOT NULL AND {} LIMIT {MAX_ADDRESSES}",
        quoted(&name),
        between(from, to)
    );
    let met = ask(&state, &caller, sql, sites.clone()).await?;
    let addresses = met.rows.iter().filter_map(|row| row.first()?.as_str().map(quoted));
    let hosts = std::iter::once(quoted(&host));
    let addresses: Vec<String> = addresses.chain(hosts.clone()).collect();
    let of_host = format!(
        "(probed = {} OR target = {0} OR server.address IN ({}))",
        quoted(&host),
        addresses.join(", ")
    );

    let sql = format!(
        "SELECT {TRACE} FROM path_results WHERE {of_host} AND {} ORDER BY \"time\" DESC LIMIT {MAX_TRACES}",
        between(from, to)
    );
    let answer = ask(&state, &caller, sql, sites.clone()).await?;
    let traces: Vec<TestTrace> = answer.rows.iter().filter_map(|row| trace(row)).collect();
    let latest = latest(&traces, at);

    let mut ways = Vec::new();
    if !latest.is_empty() {
        let times: BTreeSet<String> =
            latest.iter().map(|t| format!("TIMESTAMP '{}'", t.at)).collect();
        let times: Vec<String> = times.into_iter().collect();
        let sql = format!(
            "SELECT {TRACE}, server.address, error, path.failure_bound, path.mtu.how, path.mtu.hop, path.ways \
             FROM path_results WHERE {of_host} AND \"time\" IN ({}) LIMIT {MAX_TRACES}",
            times.join(", ")
        );
        let answer = ask(&state, &caller, sql, sites.clone()).await?;
        let wanted: BTreeSet<_> = latest.iter().map(|trace| key(trace, trace.at)).collect();
        ways = answer.rows.iter().filter_map(|row| ways_of(row)).collect();
        ways.retain(|one: &TestWays| wanted.contains(&key(&one.trace, one.trace.at)));
        ways.sort_by_key(|one| key(&one.trace, one.trace.at));
    }

    let sql = format!(
        "SELECT \"time\", site, target, protocol, change, hops.added, hops.removed, as_path, as_path.before, mtu, mtu.before \
         FROM path_changes WHERE {of_host} AND {} ORDER BY \"time\" DESC LIMIT {MAX_CHANGES}",
        between(from, to)
    );
    let told = ask(&state, &caller, sql, sites).await?;
    let changes: Vec<TestPathChange> = told.rows.iter().filter_map(|row| change(row)).collect();

    let seen: BTreeSet<&SiteId> = traces.iter().map(|trace| &trace.site).collect();
    let members = tenant.tests.members();
    let runs = chosen(&test, &members).into_iter().filter(|one| one.part == Part::Runs);
    let without: BTreeSet<SiteId> =
        runs.map(|one| one.site).filter(|site| !seen.contains(site)).collect();
    Ok(Json(TestPath {
        test: name,
        host,
        at: Timestamp(at),
        ways,
        without: without.into_iter().collect(),
        cut: traces.len() >= MAX_TRACES || changes.len() >= MAX_CHANGES,
        traces,
        changes,
        asked: asked(answer, from, to),
    }))
}

/// The columns of [`trace`], in its order.
const TRACE: &str = "\"time\", site, target, protocol, success, outcome, path.length, path.width, path.loss.ratio, \
                     path.rtt.avg_ms, path.as_path, path.mtu";

fn key(trace: &TestTrace, at: Timestamp) -> (SiteId, String, String, Millis) {
    (trace.site.clone(), trace.target.clone(), trace.protocol.clone(), at.0)
}

/// The latest trace of each site, target and protocol until `at`.
fn latest(traces: &[TestTrace], at: Millis) -> Vec<&TestTrace> {
    let mut latest: BTreeMap<_, &TestTrace> = BTreeMap::new();
    // They come the latest first.
    for trace in traces.iter().filter(|trace| trace.at.0 <= at) {
        latest.entry((&trace.site, &trace.target, &trace.protocol)).or_insert(trace);
    }
    latest.into_values().take(MAX_WAYS).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_i64().and_then(|count| u64::try_from(count).ok()))
}

fn trace(row: &[Value]) -> Option<TestTrace> {
    let [at, site, target, protocol, success, outcome, hops, width, loss, rtt, as_path, mtu, ..] =
        row
    else {
        return None;
    };
    Some(TestTrace {
        site: site.as_str()?.parse().ok()?,
        target: target.as_str()?.to_owned(),
        protocol: protocol.as_str()?.to_owned(),
        at: Timestamp::parse(at.as_str()?)?,
        reached: success.as_bool()?,
        outcome: text(outcome).unwrap_or_else(|| "failed".to_owned()),
        hops: count(hops),
        width: count(width),
        loss: loss.as_f64(),
        rtt_ms: rtt.as_f64(),
        as_path: text(as_path),
        mtu: count(mtu),
    })
}

fn ways_of(row: &[Value]) -> Option<TestWays> {
    let trace = trace(row)?;
    let [address, error, bound, mtu_how, mtu_hop, kept] = row.get(12..18)? else { return None };
    let (kept, problem) = match kept.as_str().map(Kept::read) {
        Some(Ok(kept)) => (kept, None),
        Some(Err(why)) => (Kept::default(), Some(format!("its hops are not understood: {why}"))),
        None if error.is_null() => {
            let why =
                "the hops of this trace were not kept: it has too many, or is of an older version";
            (Kept::default(), Some(why.to_owned()))
        }
        None => (Kept::default(), None),
    };
    Some(TestWays {
        trace,
        address: text(address),
        error: text(error),
        failure_bound: bound.as_f64(),
        mtu_how: text(mtu_how),
        mtu_hop: text(mtu_hop),
        links: links(&kept),
        hops: kept.hops.into_iter().map(hop).collect(),
        problem,
    })
}

fn links(kept: &Kept) -> Vec<TestLink> {
    let address = |ttl: u8, place: u16| {
        let hop = kept.hops.iter().find(|hop| hop.ttl == ttl)?;
        hop.interfaces.get(usize::from(place)).map(|interface| interface.address.to_string())
    };
    let link = |&(ttl, from, to): &(u8, u16, u16)| {
        Some(TestLink { ttl, from: address(ttl, from)?, to: address(ttl.checked_add(1)?, to)? })
    };
    kept.links.iter().filter_map(link).collect()
}

fn hop(hop: KeptHop) -> TestHop {
    let KeptHop { ttl, sent, lost, silent, per_packet, rate_limited, meshed, interfaces, aliases } =
        hop;
    let aliases =
        aliases.iter().filter_map(|(places, chance)| alias(&interfaces, places, *chance)).collect();
    let interfaces = interfaces.into_iter().map(interface).collect();
    TestHop { ttl, sent, lost, silent, per_packet, rate_limited, meshed, interfaces, aliases }
}

/// Rows may be of other versions: places that are not there are left out.
fn alias(interfaces: &[KeptInterface], places: &[u16], chance: f64) -> Option<TestAlias> {
    let address = |place: &u16| Some(interfaces.get(usize::from(*place))?.address.to_string());
    let addresses: Vec<String> = places.iter().filter_map(address).collect();
    (addresses.len() > 1).then_some(TestAlias { addresses, chance })
}

fn interface(of: KeptInterface) -> TestInterface {
    let [rtt_min_ms, rtt_avg_ms, rtt_max_ms] = of.rtt_ms;
    TestInterface {
        address: of.address.to_string(),
        rtt_min_ms,
        rtt_avg_ms,
        rtt_max_ms,
        reached: of.reached,
        unreachable: of.unreachable,
        labels: of.labels,
        rewritten: of.rewritten,
        system: of.system,
        system_name: of.system_name,
        country: of.country,
        latitude: of.place.as_ref().and_then(|place| Some(place.at?[0])),
        longitude: of.place.as_ref().and_then(|place| Some(place.at?[1])),
        place: of.place.map(|place| place.to_string()).filter(|place| !place.is_empty()),
        name: of.name,
    }
}

fn change(row: &[Value]) -> Option<TestPathChange> {
    let [at, site, target, protocol, change, added, removed, as_path, as_before, mtu, mtu_before] =
        row
    else {
        return None;
    };
    let list = |value: &Value| -> Vec<String> {
        let text = value.as_str().unwrap_or_default();
        text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    Some(TestPathChange {
        site: site.as_str()?.parse().ok()?,
        target: target.as_str()?.to_owned(),
        protocol: protocol.as_str()?.to_owned(),
        at: Timestamp::parse(at.as_str()?)?,
        changed: list(change),
        added: list(added),
        removed: list(removed),
        as_path: text(as_path),
        as_path_before: text(as_before),
        mtu: count(mtu),
        mtu_before: count(mtu_before),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(second: u64, site: &str, ways: Value) -> Vec<Value> {
        let at = format!("2026-11-22T20:00:{second:02}.000Z");
        vec![
            json!(at),
            json!(site),
            json!("shop"),
            json!("udp"),
            json!(true),
            json!("reached"),
            json!(2),
            json!(1),
            json!(0.0),
            json!(4.5),
            json!("64496"),
            json!(1_400),
            json!("192.0.2.9"),
            Value::Null,
            json!(0.01),
            json!("told"),
            json!("10.0.0.1"),
            ways,
        ]
    }

    #[test]
    fn the_latest_trace_of_each_site_is_shown() {
        let rows =
            [row(9, "lima", json!("")), row(5, "berlin", json!("")), row(3, "lima", json!(""))];
        let traces: Vec<TestTrace> = rows.iter().filter_map(|row| trace(row)).collect();
        let at =
            |second| Timestamp::parse(&format!("2026-11-22T20:00:{second:02}Z")).expect("valid").0;
        let shown = |second| -> Vec<(String, u64)> {
            let of = |t: &&TestTrace| (t.site.to_string(), t.at.0.0 / 1_000 % 60);
            latest(&traces, at(second)).iter().map(of).collect()
        };
        assert_eq!(shown(59), [("berlin".to_owned(), 5), ("lima".to_owned(), 9)]);
        assert_eq!(shown(6), [("berlin".to_owned(), 5), ("lima".to_owned(), 3)]);
        assert_eq!(shown(1), []);
    }

    #[test]
    fn rows_of_other_sites_are_read_as_far_as_they_are_understood() {
        let kept = json!({ "hops": [
            { "ttl": 1, "sent": 2, "lost": 1, "interfaces": [{ "address": "10.0.0.1", "rtt_ms": [1.0, 2.0, 3.0], "labels": [16] }] },
            { "ttl": 2, "sent": 2, "interfaces": [{ "address": "192.0.2.9", "rtt_ms": [4.0, 4.5, 5.0], "reached": true }] },
        ], "links": [[1, 0, 0], [1, 7, 0], [255, 0, 0]] });
        let ways = ways_of(&row(1, "lima", json!(kept.to_string()))).expect("a row");
        assert_eq!(
            (ways.hops.len(), ways.hops[0].lost, ways.hops[0].interfaces[0].labels[0]),
            (2, 1, 16)
        );
        assert!(ways.hops[1].interfaces[0].reached);
        let links: Vec<(&str, &str)> = ways.links.iter().map(|l| (&*l.from, &*l.to)).collect();
        assert_eq!(links, [("10.0.0.1", "192.0.2.9")], "links to nothing are left out");
        assert_eq!((ways.trace.mtu, ways.mtu_how.as_deref()), (Some(1_400), Some("told")));
        for odd in [json!("{"), json!("[]"), Value::Null, json!(7)] {
            let ways = ways_of(&row(1, "lima", odd)).expect("a row");
            assert!(ways.hops.is_empty() && ways.problem.is_some());
        }
        assert!(ways_of(&row(1, "lima", json!(""))[..12]).is_none());
    }
}
