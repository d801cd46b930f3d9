//! `GET /v1/tls/posture`: how the servers that are probed do TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use holm_active::{EXPIRES_SOON_DAYS, TlsFacts, TlsFindingKind, tls_findings};
use holm_model::{Millis, Severity, SiteId};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::coverage::freshness;
use super::error::{ApiError, ErrorBody};
use super::incidents_types::SeverityView;
use super::params::{Given, within};
use super::probe_tests_view::{ask, asked, between, window_ms};
use super::tls_posture_types::{TlsEndpoint, TlsFindingView, TlsPosture, TlsSight};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// How far back is looked if nothing else is asked for, in ms: tests of TLS need not run often.
const DAY_MS: u64 = 86_400_000;
const MAX_PAGE: usize = 1_000;
/// Most results that are looked at: the latest of so many tests at so many sites.
const MAX_SIGHTS: usize = 2_000;
/// Moments in one question: it stays far below the bound on its length.
const MOMENTS: usize = 200;
/// Longest life of a certificate that one may ask to be warned of, in days.
const MAX_SOON_DAYS: u32 = 825;
/// Which rows say something of TLS. The mesh's own certificates are renewed by the mesh.
const ROWS: &str =
    "probe IN ('tls', 'http') AND kind <> 'mesh' AND attributes LIKE '%tls.server.not_after%'";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostureQuery {
    /// Only servers whose gravest finding is of this severity; may be given again.
    #[serde(default)]
    severity: Vec<SeverityView>,
    /// Only servers with a finding of this kind, such as `expires_soon`.
    finding: Option<String>,
    /// Only what this site sees; may be given again.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
    /// Only servers of this name.
    server: Option<String>,
    /// How far back is looked: 1s to 30d; 1d otherwise.
    window: Option<String>,
    /// A certificate that ends within so many days is a finding: 0 to 825; 21 otherwise.
    soon_days: Option<u32>,
    /// How many to leave out at the beginning: the page after the first.
    offset: Option<usize>,
    /// Most of them: 1 to 1,000; 100 otherwise.
    limit: Option<usize>,
}

/// How the servers that are probed do TLS: the latest result of each test of the kinds tls and http at every site,
/// and what is wrong with it now. Sites that do not answer in time are named.
#[utoipa::path(
    get, path = "/v1/tls/posture", tag = "tests", params(PostureQuery),
    responses((status = 200, body = TlsPosture), (status = 400, body = ErrorBody), (status = 429, body = ErrorBody))
)]
pub(crate) async fn posture(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<PostureQuery>,
) -> Result<Json<TlsPosture>, ApiError> {
    let tenant = state.tenant(&caller)?;
    let limit = within("limit", query.limit.unwrap_or(100), MAX_PAGE)?;
    let soon_days = query.soon_days.unwrap_or(EXPIRES_SOON_DAYS);
    if soon_days > MAX_SOON_DAYS {
        return Err(ApiError::bad_request(format!("soon_days: it goes from 0 to {MAX_SOON_DAYS}")));
    }
    if let Some(kind) = query.finding.as_deref().filter(|kind| TlsFindingKind::read(kind).is_none())
    {
        let kinds: Vec<&str> = TlsFindingKind::ALL.iter().map(|kind| kind.as_str()).collect();
        let text = format!(
            "finding \"{kind}\": there is none of that name; it is one of {}",
            kinds.join(", ")
        );
        return Err(ApiError::bad_request(text));
    }
    let now = Millis::now();
    let from = now - query.window.as_deref().map_or(Ok(DAY_MS), window_ms)?;
    let sites = (!query.site.is_empty()).then(|| query.site.clone());
    let sql = format!(
        "SELECT site, probe, target, test, max(\"time\") AS latest FROM active_results WHERE {ROWS} AND {} \
         GROUP BY site, probe, target, test",
        between(from, now)
    );
    let answer = ask(&state, &caller, sql, sites.clone()).await?;
    let mut wanted: Vec<(Millis, [Value; 4])> =
        answer.rows.iter().filter_map(|row| key(row)).collect();
    wanted.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let cut = answer.cut || wanted.len() > MAX_SIGHTS;
    wanted.truncate(MAX_SIGHTS);
    let mut answers = vec![answer];
    let mut sights = Vec::new();
    for some in wanted.chunks(MOMENTS) {
        let moments: BTreeSet<Millis> = some.iter().map(|(at, _)| *at).collect();
        let listed: Vec<String> =
            moments.iter().map(|at| format!("TIMESTAMP '{}'", Timestamp(*at))).collect();
        let (Some(first), Some(last)) = (moments.first(), moments.last()) else { continue };
        let sql = format!(
            "SELECT site, probe, target, test, \"time\", success, error, server.address, attributes FROM active_results \
             WHERE {ROWS} AND {} AND \"time\" IN ({})",
            between(*first, *last),
            listed.join(", ")
        );
        let answer = ask(&state, &caller, sql, sites.clone()).await?;
        let is_wanted = |row: &&Vec<Value>| {
            key(&row[..row.len().min(5)]).is_some_and(|key| some.contains(&key))
        };
        sights.extend(answer.rows.iter().filter(is_wanted).filter_map(|row| sight(row, now)));
        answers.push(answer);
    }
    let mut items = endpoints(sights, now, soon_days);
    if let Some(server) = &query.server {
        items.retain(|item| {
            item.server_name.eq_ignore_ascii_case(server) || item.endpoint == *server
        });
    }
    if let Some(kind) = &query.finding {
        items.retain(|item| item.findings.iter().any(|finding| finding.kind == *kind));
    }
    let mut severities: BTreeMap<String, u64> = BTreeMap::new();
    for item in &items {
        *severities.entry(word(item.severity)).or_default() += 1;
    }
    items.retain(|item| {
        query.severity.is_empty() || item.severity.is_some_and(|s| query.severity.contains(&s))
    });
    let total = items.len() as u64;
    // The gravest of what the questions stand on: one that is not complete makes the whole not so.
    let least = answers.iter().position(|answer| !answer.complete).unwrap_or(0);
    Ok(Json(TlsPosture {
        items: items.into_iter().skip(query.offset.unwrap_or(0)).take(limit).collect(),
        total,
        severities,
        soon_days,
        cut,
        asked: asked(answers.swap_remove(least), from, now),
        freshness: freshness(&state, &tenant, now),
    }))
}

/// Which test's result at which site a row is, and when.
fn key(row: &[Value]) -> Option<(Millis, [Value; 4])> {
    let [site, probe, target, test, at] = row else { return None };
    let at = Timestamp::parse(at.as_str()?)?.0;
    Some((at, [site.clone(), probe.clone(), target.clone(), test.clone()]))
}

/// What a site saw, with what the certificate says for judging.
struct Sight {
    endpoint: (String, Option<u16>),
    facts: TlsFacts,
    view: TlsSight,
}

fn sight(row: &[Value], now: Millis) -> Option<Sight> {
    let [site, probe, target, test, at, success, error, address, attributes] = row else {
        return None;
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // Attributes are JSON in a text.
    let attributes: Value = match attributes {
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    let of = |column: &str| attributes.get(column).and_then(&text);
    let facts = TlsFacts::read(of, |column| attributes.get(column).and_then(Value::as_f64));
    let target = text(target)?;
    let name = of("tls.client.server_name").unwrap_or_else(|| target.clone());
    let port = attributes.get("server.port").and_then(Value::as_f64);
    let port = port.filter(|port| (1.0..65_536.0).contains(port)).map(|port| port as u16);
    let view = TlsSight {
        site: site.as_str()?.parse().ok()?,
        probe: text(probe)?,
        target,
        test: text(test),
        observed_at: Timestamp::parse(at.as_str()?)?,
        server_address: text(address),
        success: success.as_bool()?,
        error: text(error),
        subject: facts.subject.clone(),
        issuer: facts.issuer.clone(),
        names: facts.names.clone(),
        serial: facts.serial.clone(),
        not_before: facts.not_before.map(Timestamp),
        not_after: facts.not_after.map(Timestamp),
        days_left: facts.not_after.map(|end| (end.0 as f64 - now.0 as f64) / DAY_MS as f64),
        key_type: facts.key_type.clone(),
        key_bits: facts.key_bits,
        signature: facts.signature.clone(),
        chain_length: facts.chain_length,
        chain_complete: facts.complete,
        name_matches: facts.name_matches,
        verified: facts.verified,
        reason: facts.reason.clone(),
        version: of("tls.version"),
        cipher: of("tls.cipher"),
        key_exchange: of("tls.key_exchange"),
        versions: facts.versions.clone(),
        stapled: facts.stapled,
        status: facts.status.clone(),
        status_until: facts.status_until.map(Timestamp),
        status_problem: facts.status_problem.clone(),
    };
    Some(Sight { endpoint: (name, port), facts, view })
}

/// The servers that were seen, and what is wrong with each now.
fn endpoints(sights: Vec<Sight>, now: Millis, soon_days: u32) -> Vec<TlsEndpoint> {
    let mut by_endpoint: BTreeMap<(String, Option<u16>), Vec<Sight>> = BTreeMap::new();
    for sight in sights {
        by_endpoint.entry(sight.endpoint.clone()).or_default().push(sight);
    }
    let mut items: Vec<TlsEndpoint> = by_endpoint
        .into_iter()
        .map(|((server_name, port), mut sights)| {
            sights.sort_by(|a, b| {
                (&a.view.site, &a.view.probe, &a.view.test).cmp(&(
                    &b.view.site,
                    &b.view.probe,
                    &b.view.test,
                ))
            });
            let (severity, findings) = judge(&sights, now, soon_days);
            let serials: BTreeSet<&String> =
                sights.iter().filter_map(|sight| sight.facts.serial.as_ref()).collect();
            let shown = if server_name.contains(':') {
                format!("[{server_name}]")
            } else {
                server_name.clone()
            };
            TlsEndpoint {
                endpoint: port.map_or_else(|| shown.clone(), |port| format!("{shown}:{port}")),
                server_name,
                port,
                severity: severity.map(SeverityView::from),
                findings,
                differs: serials.len() > 1,
                sights: sights.into_iter().map(|sight| sight.view).collect(),
            }
        })
        .collect();
    items.sort_by(|a, b| {
        let gravest = |item: &TlsEndpoint| std::cmp::Reverse(item.severity);
        gravest(a).cmp(&gravest(b)).then_with(|| a.endpoint.cmp(&b.endpoint))
    });
    items
}

fn judge(sights: &[Sight], now: Millis, soon_days: u32) -> (Option<Severity>, Vec<TlsFindingView>) {
    let mut gravest = None;
    let mut findings: Vec<(Severity, TlsFindingView)> = Vec::new();
    for sight in sights {
        let site = &sight.view.site;
        for found in tls_findings(&sight.facts, now, soon_days) {
            gravest = gravest.max(Some(found.severity));
            let kind = found.kind.as_str();
            match findings.iter_mut().find(|(_, known)| known.kind == kind) {
                Some((_, known)) => {
                    if !known.sites.contains(site) {
                        known.sites.push(site.clone());
                    }
                }
                None => findings.push((
                    found.severity,
                    TlsFindingView {
                        kind: kind.to_owned(),
                        severity: found.severity.into(),
                        text: found.text,
                        remedy: found.remedy.to_owned(),
                        sites: vec![site.clone()],
                    },
                )),
            }
        }
    }
    findings.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    (gravest, findings.into_iter().map(|(_, finding)| finding).collect())
}

fn word(severity: Option<SeverityView>) -> String {
    let Some(severity) = severity else { return "none".into() };
    serde_json::to_value(severity)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn row(site: &str, target: &str, more: Value) -> Vec<Value> {
        let mut attributes = json!({
            "tls.client.server_name": "shop.example", "server.port": 443.0, "tls.server.serial_number": "0a",
            "tls.server.not_after": "2027-03-01T00:00:00Z", "tls.verified": "yes", "tls.versions": "1.2, 1.3",
        });
        attributes.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
        vec![
            json!(site),
            json!("tls"),
            json!(target),
            json!("t"),
            json!("2027-01-15T07:00:00.000Z"),
            json!(true),
            Value::Null,
            json!("192.0.2.1"),
            json!(attributes.to_string()),
        ]
    }

    #[test]
    fn what_all_sites_see_of_a_server_is_one_item_and_the_gravest_comes_first() {
        let rows = [
            row("berlin", "shop.example", json!({})),
            row(
                "tokyo",
                "192.0.2.1",
                json!({ "tls.versions": "1.0, 1.2", "tls.server.serial_number": "0b" }),
            ),
            row(
                "berlin",
                "mail.example",
                json!({
                    "tls.client.server_name": "mail.example", "server.port": 993.0, "tls.server.not_after": "2027-01-14T00:00:00Z",
                }),
            ),
            row("berlin", "::1", json!({ "tls.client.server_name": "2001:db8::1" })),
        ];
        let seen: Vec<Sight> = rows.iter().filter_map(|row| sight(row, NOW)).collect();
        let items = endpoints(seen, NOW, 21);
        let names: Vec<&str> = items.iter().map(|item| item.endpoint.as_str()).collect();
        assert_eq!(names, ["mail.example:993", "shop.example:443", "[2001:db8::1]:443"]);
        assert_eq!(items[0].findings[0].kind, "expired");
        assert!(items[0].sights[0].days_left.expect("known") < 0.0);
        let shop = &items[1];
        assert_eq!((shop.sights.len(), shop.differs), (2, true));
        assert_eq!(shop.findings.len(), 1);
        assert_eq!(
            (shop.findings[0].kind.as_str(), shop.findings[0].sites[0].as_str()),
            ("old_version", "tokyo")
        );
        assert_eq!(word(items[2].severity), "none");
    }

    #[test]
    fn rows_that_are_none_are_passed_over() {
        for bad in [json!(null), json!("{"), json!("[]"), json!(7)] {
            let mut row = row("berlin", "x", json!({}));
            row[8] = bad;
            let _ = sight(&row, NOW);
            row.truncate(5);
            assert!(sight(&row, NOW).is_none());
        }
    }
}
