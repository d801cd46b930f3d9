//! How fresh what each site says is, and whether this node is the one that is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use holm_graph::{FreshnessThresholds, LinkState, SiteFreshness, judge_freshness};
use holm_mesh_link::{MemberStatus, MeshStatus};
use holm_model::{Millis, SiteId, TenantId};

use super::NodeState;

/// What is known of one site for one tenant.
#[derive(Debug, Clone)]
pub(crate) struct SiteReport {
    pub(crate) freshness: SiteFreshness,
    pub(crate) last_heard: Option<Millis>,
    pub(crate) members: Vec<MemberStatus>,
}

/// Since when this node hears no other site, though it knows of some.
#[derive(Debug, Default)]
pub(crate) struct Absence(Option<Millis>);

impl Absence {
    /// Takes what is heard now; the moment since when nothing is, if nothing is.
    fn update(&mut self, others_known: bool, any_heard: bool, now: Millis) -> Option<Millis> {
        if !others_known || any_heard {
            self.0 = None;
        } else if self.0.is_none() {
            self.0 = Some(now);
        }
        self.0
    }
}

impl NodeState {
    /// Every site that this node knows of, for a tenant: its own, those of the mesh's members, and
    /// those that the documents name.
    pub(crate) fn site_reports(
        &self,
        tenant: &TenantId,
        documented: &BTreeSet<SiteId>,
        status: Option<&MeshStatus>,
        now: Millis,
    ) -> Vec<SiteReport> {
        let own = &self.config.node.site;
        let mut members: BTreeMap<SiteId, Vec<MemberStatus>> = BTreeMap::new();
        members.insert(own.clone(), Vec::new());
        for site in documented {
            members.entry(site.clone()).or_default();
        }
        for member in status.iter().flat_map(|status| &status.members) {
            members.entry(member.site.clone()).or_default().push(member.clone());
        }
        let thresholds = FreshnessThresholds {
            stale_after_ms: millis(self.config.mesh.stale_after),
            silent_after_ms: millis(self.config.mesh.unreachable_after),
        };
        members
            .into_iter()
            .map(|(site, members)| {
                let leases = status.iter().flat_map(|status| &status.leases);
                let as_of = leases
                    .filter(|lease| lease.tenant == *tenant && lease.site == site)
                    .map(|lease| lease.as_of)
                    .max();
                let last_heard = members.iter().filter_map(|member| member.last_heard).max();
                let link = link_state(site == *own, &members, last_heard, now);
                let freshness = judge_freshness(site, as_of, link, now, thresholds);
                SiteReport { freshness, last_heard, members }
            })
            .collect()
    }

    /// Since when this node is cut off from every other site, if it is.
    pub(crate) fn cut_off_since(&self, status: Option<&MeshStatus>, now: Millis) -> Option<Millis> {
        let own = &self.config.node.site;
        let others: Vec<&MemberStatus> = status
            .iter()
            .flat_map(|status| &status.members)
            .filter(|member| member.site != *own)
            .collect();
        let heard = others.iter().any(|member| {
            let lately = member
                .last_heard
                .is_some_and(|at| now.since(at) <= millis(self.config.mesh.stale_after));
            member.connected && lately
        });
        let last_heard = others.iter().filter_map(|member| member.last_heard).max();
        let mut absence = self.absence.lock().unwrap_or_else(PoisonError::into_inner);
        absence.update(!others.is_empty(), heard, last_heard.unwrap_or(now))
    }
}

/// A site that no connection leads to may still be heard of by others; what it says reaches us then
/// through them, so its lease's age decides and not the missing connection.
fn link_state(
    own: bool,
    members: &[MemberStatus],
    last_heard: Option<Millis>,
    now: Millis,
) -> LinkState {
    if own {
        return LinkState::Own;
    }
    let connected = members.iter().any(|member| member.connected);
    match (connected, last_heard) {
        (true, Some(heard_at)) => LinkState::Connected { heard_at },
        (true, None) => LinkState::Connected { heard_at: now },
        (false, heard_at) => LinkState::Apart { heard_at },
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_cut_off_from_when_it_last_heard_anyone_until_it_hears_someone() {
        let mut absence = Absence::default();
        assert_eq!(absence.update(false, false, Millis(5)), None, "alone is not cut off");
        assert_eq!(absence.update(true, true, Millis(6)), None);
        assert_eq!(absence.update(true, false, Millis(7)), Some(Millis(7)));
        assert_eq!(absence.update(true, false, Millis(9)), Some(Millis(7)), "it began once");
        assert_eq!(absence.update(true, true, Millis(10)), None);
    }
}
