//! What `/metrics` says of the mesh's sites: verdicts, and how far each lags.

use holm_graph::Verdict;
use holm_model::Millis;

use super::metrics::Text;
use crate::daemon::{NodeState, Tenant, subject_of};

/// One for each verdict that holds; `raised`: since two rounds, so that signals speak of it.
pub(super) fn verdicts(text: &mut Text, state: &NodeState) {
    for finding in state.views.findings() {
        let kind = match finding.verdict {
            Verdict::CutOff { .. } => "cut_off",
            Verdict::SiteDown { .. } => "site_down",
            Verdict::LinkDown { .. } => "link_down",
            Verdict::Undecided { .. } => "undecided",
        };
        let subject = subject_of(&finding.verdict);
        let raised = if finding.raised { "yes" } else { "no" };
        let labels = [("kind", kind), ("subject", subject.as_str()), ("raised", raised)];
        text.put("holm_mesh_verdict", &labels, 1);
    }
}

/// The age of what each other site says is true of the tenant, in milliseconds, and up to which age that
/// is what a mesh of this size makes. A site that was never heard has none.
pub(super) fn lags(text: &mut Text, state: &NodeState, tenant: &Tenant) {
    let (now, status) = (Millis::now(), state.mesh().map(holm_mesh_link::Mesh::status));
    if let Some(status) = &status {
        text.put("holm_mesh_lag_due_ms", &[], status.leases_due_ms);
    }
    let reports = state.site_reports(&tenant.id, &tenant.documented_sites(), status.as_ref(), now);
    for freshness in reports.into_iter().map(|report| report.freshness) {
        if let Some(as_of) = freshness.as_of {
            let labels = [("tenant", tenant.id.as_str()), ("site", freshness.site.as_str())];
            text.put("holm_mesh_lag_ms", &labels, now.since(as_of));
        }
    }
}
