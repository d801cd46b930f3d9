//! `GET /metrics`: every counter, as Prometheus text.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use holm_mesh_link::Reach;
use holm_plane::PlaneState;

use crate::daemon::{Caller, NodeState};

/// Counters of this node and of the caller's tenant.
pub(crate) async fn metrics(State(state): State<Arc<NodeState>>, caller: Caller) -> Response {
    let mut text = Text { all: String::with_capacity(8 * 1024), metric: String::new() };
    let (requests, failed) = state.request_counts();
    text.put("holm_http_requests_total", &[], requests);
    text.put("holm_http_requests_failed_total", &[], failed);
    let served = &state.serve_counters;
    for (name, counter) in [
        ("holm_http_connections_total", &served.connections),
        ("holm_http_connections_refused_full_total", &served.refused_full),
        ("holm_http_connections_refused_address_total", &served.refused_address),
        ("holm_http_handshakes_failed_total", &served.failed_handshakes),
        ("holm_http_accepts_failed_total", &served.failed_accepts),
        ("holm_http_bodies_too_long_total", &served.bodies_too_long),
    ] {
        text.put(name, &[], counter.load(Ordering::Relaxed));
    }
    for (name, ingest) in [
        ("holm_change_deliveries_refused_total", &state.ingest),
        ("holm_page_heard_refused_total", &state.ingest_pages),
        ("holm_endpoint_reports_refused_total", &state.ingest_endpoints),
    ] {
        let refused = ingest.refusals();
        for (reason, value) in [
            ("body", refused.body),
            ("busy", refused.busy),
            ("signature", refused.signature),
            ("size", refused.size),
            ("stale", refused.stale),
            ("unknown", refused.unknown),
            ("unread", refused.unread),
            ("write", refused.write),
        ] {
            text.put(name, &[("reason", reason)], value);
        }
    }
    let questions = &state.questions.counters;
    for (name, counter) in [
        ("holm_questions_total", &questions.asked),
        ("holm_questions_refused_busy_total", &questions.refused_busy),
        ("holm_questions_given_up_total", &questions.given_up),
        ("holm_exports_refused_busy_total", &questions.exports_refused_busy),
    ] {
        text.put(name, &[], counter.load(Ordering::Relaxed));
    }
    text.put("holm_questions_running", &[], state.questions.running());
    text.put("holm_queries_stopping", &[], state.queries.stopping());
    let planes: Vec<_> = state.planes().iter().map(|p| (p.name(), p.health())).collect();
    for (plane, health) in &planes {
        let up = u64::from(health.state != PlaneState::Off);
        text.put("holm_plane_up", &[("plane", plane)], up);
    }
    for (plane, health) in &planes {
        for (counter, value) in &health.counters {
            let labels = [("plane", *plane), ("counter", *counter)];
            text.put("holm_plane_count_total", &labels, *value);
        }
    }
    if let Some(mesh) = state.mesh() {
        let status = mesh.status();
        let connected = status.members.iter().filter(|member| member.connected).count();
        text.put("holm_mesh_members", &[], status.members.len() as u64);
        text.put("holm_mesh_connected", &[], connected as u64);
        for reach in [Reach::BehindNat, Reach::Reachable, Reach::Unknown] {
            let labels = [("reach", reach.as_str())];
            text.put("holm_mesh_reach", &labels, u64::from(status.nat.reach == reach));
        }
        let relayed = status.members.iter().filter(|member| member.via.is_some()).count();
        text.put("holm_mesh_relayed", &[], relayed as u64);
        text.put("holm_relay_places", &[], status.relay.reservations as u64);
        text.put("holm_relay_circuits", &[], status.relay.circuits as u64);
        text.put("holm_relay_bytes_total", &[], status.relay.bytes);
        for (counter, value) in status.counters {
            text.put("holm_mesh_count_total", &[("counter", counter)], value);
        }
        super::metrics_mesh::verdicts(&mut text, &state);
    }
    for (code, value) in state.identity.refusal_counts() {
        text.put("holm_svid_refusals_total", &[("code", code)], value);
    }
    let (counters, size) = state.roster.tenancy.counted();
    for (what, held) in [
        ("attestations", size.attestations),
        ("deliveries", size.deliveries),
        ("erasures", size.erasures),
        ("grants", size.grants),
        ("revocations", size.revocations),
        ("sealing_keys", size.sealing_keys),
        ("tenants", size.tenants),
        ("waiting", size.waiting),
    ] {
        text.put("holm_roster_statements", &[("kind", what)], held as u64);
    }
    for (code, value) in counters.refused {
        text.put("holm_roster_refused_total", &[("code", code)], value);
    }
    if let Ok(tenant) = state.tenant(&caller) {
        tenant_metrics(&mut text, &tenant);
        super::metrics_mesh::lags(&mut text, &state, &tenant);
        outlet_metrics(&mut text, &tenant);
        incident_metrics(&mut text, &tenant);
        slo_metrics(&mut text, &tenant);
        alert_metrics(&mut text, &state, &tenant);
        test_metrics(&mut text, &state, &tenant);
        change_metrics(&mut text, &tenant);
        page_metrics(&mut text, &tenant);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.all).into_response()
}

fn tenant_metrics(text: &mut Text, tenant: &crate::daemon::Tenant) {
    let labels = [("tenant", tenant.id.as_str())];
    let rows = tenant.rows.store.stats();
    let fold = tenant.fold().counters();
    let replica = tenant.replica.stats();
    text.put_all(
        &labels,
        [
            ("holm_rows_committed_total", rows.committed),
            ("holm_rows_dropped_queue_full_total", rows.dropped_queue_full),
            ("holm_rows_dropped_oldest_total", rows.dropped_oldest),
            ("holm_rows_refused_total", rows.refused),
            ("holm_rows_merges_total", rows.merges),
            ("holm_rows_files", rows.files),
            ("holm_rows_write_failures_total", rows.write_failures),
            ("holm_rows_damaged_total", rows.damaged),
            ("holm_rows", rows.rows),
            ("holm_rows_bytes", rows.bytes),
            ("holm_results_latest_full_total", tenant.rows.latest_full()),
            ("holm_fold_unchanged_total", fold.unchanged),
            ("holm_fold_opened_total", fold.opened),
            ("holm_fold_closed_total", fold.closed),
            ("holm_fold_attributes_changed_total", fold.attributes_changed),
            ("holm_fold_attributes_deferred_total", fold.attributes_deferred),
            ("holm_fold_refused_full_total", fold.refused_full),
            ("holm_fold_refused_backlog_total", fold.refused_backlog),
            ("holm_fold_refused_bad_name_total", fold.refused_bad_name),
            ("holm_fold_refused_attributes_total", fold.refused_attributes),
            ("holm_fold_out_of_order_total", fold.out_of_order),
            ("holm_fold_clock_corrected_total", fold.clock_corrected),
            ("holm_fold_clock_rewritten_total", fold.clock_rewritten),
            ("holm_replica_documents", replica.documents),
            ("holm_replica_documents_over_budget", replica.documents_over_budget),
            ("holm_replica_document_bytes", replica.document_bytes),
            ("holm_replica_commits_total", replica.commits),
            ("holm_replica_epochs", replica.epochs),
            ("holm_replica_rotations_total", replica.rotations),
            ("holm_replica_rotations_failed_total", replica.rotations_failed),
            ("holm_replica_rotated_into_total", replica.rotated_into),
            ("holm_replica_followed_total", replica.followed),
            ("holm_replica_superseded_total", replica.superseded),
            ("holm_replica_expired_total", replica.expired),
            ("holm_replica_dropped_bytes_total", replica.dropped_bytes),
            ("holm_replica_stale_refused_total", replica.stale_refused),
            ("holm_replica_refused_full_total", replica.refused_full),
            ("holm_replica_document_ops_total", replica.document_ops),
            ("holm_replica_bytes_written_total", replica.bytes_written),
            ("holm_replica_snapshots_written_total", replica.snapshots_written),
            ("holm_replica_write_failures_total", replica.write_failures),
            ("holm_replica_applied_total", replica.applied),
            ("holm_replica_applied_unchanged_total", replica.applied_unchanged),
            ("holm_replica_needs_more_total", replica.needs_more),
            ("holm_replica_quarantined_total", replica.quarantined),
            ("holm_replica_quarantined_now", replica.quarantined_now),
            ("holm_replica_quarantine_evicted_total", replica.quarantine_evicted),
            ("holm_replica_records_unreadable_total", replica.records_unreadable),
            ("holm_replica_attributes_dropped_total", replica.attributes_dropped),
            ("holm_replica_intervals_trimmed_total", replica.intervals_trimmed),
            ("holm_replica_past_values_trimmed_total", replica.past_values_trimmed),
        ],
    );
}

fn outlet_metrics(text: &mut Text, tenant: &crate::daemon::Tenant) {
    let labels = [("tenant", tenant.id.as_str())];
    let Some(outlet) = tenant.rows.store.outlet_stats() else { return };
    let fails = outlet.error.is_some() || !outlet.refused.is_empty();
    text.put_all(
        &labels,
        [
            ("holm_rows_clickhouse_sent_total", outlet.sent_rows),
            ("holm_rows_clickhouse_sent_bytes_total", outlet.sent_bytes),
            ("holm_rows_clickhouse_failures_total", outlet.failures),
            ("holm_rows_clickhouse_given_up_total", outlet.given_up_rows),
            ("holm_rows_clickhouse_lost_total", outlet.lost_rows),
            ("holm_rows_clickhouse_waiting", outlet.waiting_rows),
            ("holm_rows_clickhouse_up", u64::from(!fails)),
        ],
    );
}

fn incident_metrics(text: &mut Text, tenant: &crate::daemon::Tenant) {
    let labels = [("tenant", tenant.id.as_str())];
    let counts = tenant.incidents.counts(tenant.mesh_now());
    let taken = counts.intake;
    text.put_all(
        &labels,
        [
            ("holm_incident_signals_total", taken.signals),
            ("holm_incident_signals_repeated_total", taken.repeated),
            ("holm_incident_signals_late_total", taken.late),
            ("holm_incident_signals_ahead_total", taken.ahead),
            ("holm_incident_signals_malformed_total", taken.malformed),
            ("holm_incident_signals_refused_full_total", taken.refused),
            ("holm_incident_reports_opened_total", taken.opened),
            ("holm_incident_reports_lapsed_total", taken.lapsed),
            ("holm_incident_records_unreadable_total", counts.unreadable),
            ("holm_incident_probes_refused_total", counts.probes_refused),
            ("holm_incident_traces_refused_total", counts.ways_refused),
            ("holm_incident_services_refused_total", counts.services_refused),
            ("holm_incident_reports_followed", counts.followed as u64),
            ("holm_incident_reports", counts.reports as u64),
            ("holm_incident_witnesses", counts.witnesses as u64),
            ("holm_incident_actions", counts.actions as u64),
            ("holm_incident_unresolved", counts.unresolved as u64),
        ],
    );
    let corrected_ms = tenant.incidents.clock.ahead_ms().unsigned_abs();
    text.put("holm_incident_clock_corrected_ms", &labels, corrected_ms);
}

fn change_metrics(text: &mut Text, tenant: &crate::daemon::Tenant) {
    let labels = [("tenant", tenant.id.as_str())];
    let samples = tenant.endpoints.all_counts();
    text.put_all(
        &labels,
        [
            ("holm_endpoint_samples_total", samples.accepted),
            ("holm_endpoint_samples_known_total", samples.known),
            ("holm_endpoint_samples_refused_total", samples.refused),
            ("holm_endpoint_samples_late_total", samples.late),
            ("holm_endpoint_samples_dropped_by_agents", samples.dropped_by_agent),
            ("holm_endpoint_tokens", tenant.endpoints.tokens().len() as u64),
        ],
    );
    let counts = tenant.changes.counts();
    let (deliveries, seen) = (counts.deliveries, counts.watch);
    text.put_all(
        &labels,
        [
            ("holm_changes", counts.changes as u64),
            ("holm_change_accepted_total", deliveries.accepted),
            ("holm_change_known_total", deliveries.known),
            ("holm_change_ignored_total", deliveries.ignored),
            ("holm_change_ahead_total", deliveries.ahead),
            ("holm_change_unanchored_total", deliveries.unanchored),
            ("holm_change_records_unreadable_total", counts.unreadable),
            ("holm_change_let_go_total", counts.let_go),
            ("holm_change_seen_total", seen.told),
            ("holm_change_seen_too_often_total", seen.too_often),
            ("holm_change_seen_refused_rate_total", seen.refused_rate),
            ("holm_change_seen_refused_full_total", seen.refused_full),
            ("holm_change_seen_refused_waiting_total", counts.refused_waiting),
        ],
    );
}

fn page_metrics(text: &mut Text, tenant: &crate::daemon::Tenant) {
    let labels = [("tenant", tenant.id.as_str())];
    let counts = tenant.pages.counts();
    for (reason, value) in
        [("refused", counts.refused), ("retried", counts.retried), ("partly", counts.partly)]
    {
        let labels = [("tenant", tenant.id.as_str()), ("reason", reason)];
        text.put("holm_page_failed_total", &labels, value);
    }
    for (phase, value) in tenant.pages.phases() {
        let labels = [("tenant", tenant.id.as_str()), ("state", phase.as_str())];
        text.put("holm_page_messages", &labels, value as u64);
    }
    text.put_all(
        &labels,
        [
            ("holm_page_queued_total", counts.queued),
            ("holm_page_taken_over_total", counts.taken_over),
            ("holm_page_delivered_total", counts.delivered),
            ("holm_page_dead_total", counts.dead),
            ("holm_page_folded_total", counts.folded),
            ("holm_page_dropped_total", counts.dropped),
            ("holm_page_replayed_total", counts.replayed),
            ("holm_page_over_budget_total", counts.over_budget),
            ("holm_page_elected_elsewhere_total", counts.elsewhere),
            ("holm_page_nobody_may_total", counts.nobody),
            ("holm_page_write_failures_total", counts.write_failures),
            ("holm_page_incidents_ahead_total", counts.ahead),
            ("holm_page_stood_still_total", counts.stood_still),
            ("holm_page_heard_total", counts.heard),
            ("holm_page_heard_again_total", counts.heard_again),
            ("holm_page_heard_nothing_total", counts.heard_nothing),
            ("holm_page_records_unreadable_total", tenant.pages.unreadable()),
            ("holm_page_let_go_total", tenant.pages.let_go()),
        ],
    );
}

fn test_metrics(text: &mut Text, state: &NodeState, tenant: &crate::daemon::Tenant) {
    let id = tenant.id.to_string();
    let labels = [("tenant", id.as_str())];
    let counts = tenant.tests.counts();
    text.put_all(
        &labels,
        [
            ("holm_tests", counts.defined as u64),
            ("holm_tests_here", counts.here as u64),
            ("holm_tests_failing", counts.failing as u64),
            ("holm_tests_refused", counts.refused as u64),
            ("holm_test_records_unreadable_total", counts.unreadable),
            ("holm_mesh_pairs_refused_total", counts.pairs_refused),
        ],
    );
    for (counter, value) in state.counters_of_tests(tenant) {
        let labels = [("tenant", id.as_str()), ("counter", counter.as_str())];
        text.put("holm_test_count_total", &labels, value);
    }
    let (unanswered, refused) = state.links.counts();
    text.put("holm_mesh_links_unanswered_total", &[], unanswered);
    text.put("holm_mesh_links_refused_total", &[], refused);
}

fn alert_metrics(
    text: &mut Text,
    state: &crate::daemon::NodeState,
    tenant: &crate::daemon::Tenant,
) {
    let labels = [("tenant", tenant.id.as_str())];
    let view = tenant.alerts.view();
    let of = |state: holm_alert::RuleState| {
        view.standings.iter().filter(|standing| standing.state == state).count() as u64
    };
    for rule_state in holm_alert::RuleState::ALL {
        let labels = [("tenant", tenant.id.as_str()), ("state", rule_state.as_str())];
        text.put("holm_alert_rules", &labels, of(rule_state));
    }
    let folder = state.gitops.view();
    let refused = folder.files.iter().filter(|f| f.tenant == tenant.id && !f.problems.is_empty());
    let firing = view.standings.iter().map(|standing| standing.firing).sum::<usize>();
    text.put_all(
        &labels,
        [
            ("holm_alert_firing", firing as u64),
            ("holm_alert_groups", view.groups as u64),
            ("holm_alert_steps", view.steps as u64),
            ("holm_alert_judge_microseconds", view.took_us),
            ("holm_alert_rows_total", view.counters.rows),
            ("holm_alert_rows_late_total", view.counters.late),
            ("holm_alert_rows_ahead_total", view.counters.ahead),
            ("holm_alert_groups_refused_total", view.counters.refused_groups),
            ("holm_alert_taken_back_total", view.counters.taken_back),
            ("holm_alert_judged_anew_total", view.rebuilt),
            ("holm_alert_records_unreadable_total", view.unreadable),
            ("holm_policy_files_refused", refused.count() as u64),
            ("holm_policy_folder_unreadable", u64::from(folder.problem.is_some())),
        ],
    );
}

fn slo_metrics(text: &mut Text, tenant: &crate::daemon::Tenant) {
    let labels = [("tenant", tenant.id.as_str())];
    let counts = tenant.slos.counts();
    text.put_all(
        &labels,
        [
            ("holm_slo_records_unreadable_total", counts.unreadable),
            ("holm_slo_objectives", counts.slos as u64),
            ("holm_slo_burning", counts.burning as u64),
            ("holm_slo_not_counted", counts.not_counted as u64),
        ],
    );
}

/// Prometheus text, format 0.0.4: the lines of one metric stand together, below its type.
pub(super) struct Text {
    all: String,
    /// The metric of the latest line.
    metric: String,
}

impl Text {
    /// Metrics with the same labels.
    fn put_all<const N: usize>(&mut self, labels: &[(&str, &str)], all: [(&str, u64); N]) {
        all.into_iter().for_each(|(name, value)| self.put(name, labels, value));
    }

    pub(super) fn put(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        if self.metric != name {
            let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
            let _ = writeln!(self.all, "# TYPE {name} {kind}");
            name.clone_into(&mut self.metric);
        }
        self.all.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { '{' } else { ',' };
            // Our own names and checked ids: nothing in them needs an escape.
            let _ = write!(self.all, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.all, "{close} {value}");
    }
}
