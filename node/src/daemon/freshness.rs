//! How fresh what each site says is, and whether this node is the one that is cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use holm_graph::{FreshnessThresholds, LinkState, SiteFreshness, judge_freshness};
use holm_mesh_link::{LeaseView, MemberState, MemberStatus, MeshStatus};
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
    fn update(
        &mut self,
        others_known: bool,
        any_heard: bool,
        last_heard: Option<Millis>,
        now: Millis,
    ) -> Option<Millis> {
        self.0 = if !others_known || any_heard {
            None
        } else {
            // Someone may have been heard for a moment that nobody looked at.
            self.0.max(last_heard).or(Some(now))
        };
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
        // What a site that is gone recorded stays; it is not waited for.
        let gone = self.roster.forgotten.gone();
        for site in documented.iter().filter(|site| !gone.contains_key(*site)) {
            members.entry(site.clone()).or_default();
        }
        for member in status.iter().flat_map(|status| &status.members) {
            members.entry(member.site.clone()).or_default().push(member.clone());
        }
        let label = self.label(tenant);
        let held = self.tenants.of(tenant);
        let written = |site: &SiteId| held.as_ref()?.replica.last_written_by(site);
        let thresholds = FreshnessThresholds {
            stale_after_ms: millis(self.config.mesh.stale_after),
            silent_after_ms: millis(self.config.mesh.unreachable_after),
        };
        let due_ms = status.map_or(0, |status| status.leases_due_ms);
        members
            .into_iter()
            .map(|(site, members)| {
                let leases = status.iter().flat_map(|status| &status.leases);
                let lease = leases
                    .filter(|lease| Some(&lease.tenant) == label.as_ref() && lease.site == site)
                    .max_by_key(|lease| lease.as_of);
                let as_of = lease.map(|lease| lease.as_of);
                let last_heard = members.iter().filter_map(|member| member.last_heard).max();
                let link = if site == *own {
                    LinkState::Own
                } else {
                    link_state(&members, last_heard, lease, due_ms, now)
                };
                let mut freshness = judge_freshness(site, as_of, link, now, thresholds);
                // Not heard since this node started: its documents say at least as of when they are.
                freshness.as_of = freshness.as_of.or_else(|| written(&freshness.site));
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
        absence.update(!others.is_empty(), heard, last_heard, now)
    }
}

/// How a site stands by its connections and its lease.
///
/// A site that is heard but whose lease stands still (its disk is full, say) is as old as its lease.
/// One that no connection leads to but that others hear is as fresh as the lease they pass on. Among
/// many nodes leases are told rarely: for `due_ms` longer the next one is not yet missing.
fn link_state(
    members: &[MemberStatus],
    last_heard: Option<Millis>,
    lease: Option<&LeaseView>,
    due_ms: u64,
    now: Millis,
) -> LinkState {
    let connected = members.iter().find(|member| member.connected);
    if let Some(member) = connected {
        let heard_at = last_heard.unwrap_or(now);
        // The lease is by its site's clock: ours is behind it by the skew. A lease that claims our
        // future was cut to the time of its receipt, which is by our clock already.
        let renewed_at = lease.map(|lease| match member.clock_skew_ms {
            Some(skew) if !lease.claims_future => {
                Millis(lease.as_of.0.saturating_add_signed(skew.saturating_neg()))
            }
            _ => lease.as_of,
        });
        return LinkState::Connected {
            heard_at: renewed_at.map_or(heard_at, |at| (at + due_ms).min(heard_at)),
        };
    }
    let alive = members.iter().any(|member| member.state != MemberState::Down);
    match lease.filter(|_| alive) {
        Some(lease) => LinkState::Connected { heard_at: (lease.as_of + due_ms).min(now) },
        None => LinkState::Apart { heard_at: last_heard },
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(connected: bool, state: MemberState, clock_skew_ms: Option<i64>) -> MemberStatus {
        MemberStatus {
            started: Millis(1),
            site: "tokyo".parse().expect("valid"),
            node: "n1".parse().expect("valid"),
            spiffe_id: None,
            peer_id: None,
            addresses: Vec::new(),
            remote: None,
            via: None,
            api_port: None,
            state,
            connected,
            connected_since: None,
            last_heard: None,
            rtt_ms: None,
            clock_skew_ms,
            clock: None,
            svid_not_after: None,
            svid_key: None,
            last_refusal: None,
            last_sync: None,
        }
    }

    fn lease(as_of: u64, claims_future: bool) -> LeaseView {
        LeaseView {
            tenant: "default".parse().expect("valid"),
            site: "tokyo".parse().expect("valid"),
            node: "n1".parse().expect("valid"),
            as_of: Millis(as_of),
            claims_future,
            signed: true,
        }
    }

    #[test]
    fn a_heard_site_is_as_old_as_its_lease_by_our_clock() {
        let now = Millis(10_000_000);
        let link = |skew, lease: &LeaseView| {
            let members = [member(true, MemberState::Alive, skew)];
            link_state(&members, Some(now), Some(lease), 0, now)
        };
        let connected = |at| LinkState::Connected { heard_at: Millis(at) };
        assert_eq!(link(Some(0), &lease(9_000_000, false)), connected(9_000_000), "a stuck lease");
        let an_hour = 3_600_000;
        assert_eq!(
            link(Some(-an_hour), &lease(6_400_000, false)),
            connected(10_000_000),
            "a slow clock"
        );
        assert_eq!(
            link(Some(an_hour), &lease(10_000_000, true)),
            connected(10_000_000),
            "a fast clock"
        );
    }

    #[test]
    fn a_site_that_only_others_hear_is_as_fresh_as_the_lease_they_pass_on() {
        let now = Millis(10_000);
        let lease = lease(9_500, false);
        let apart = [member(false, MemberState::Alive, None)];
        let link = link_state(&apart, None, Some(&lease), 0, now);
        assert_eq!(link, LinkState::Connected { heard_at: Millis(9_500) });
        let down = [member(false, MemberState::Down, None)];
        let link = link_state(&down, Some(Millis(3)), Some(&lease), 0, now);
        assert_eq!(link, LinkState::Apart { heard_at: Some(Millis(3)) });
    }

    #[test]
    fn among_many_nodes_a_lease_is_not_missing_before_the_pace_of_the_mesh_makes_it_due() {
        let now = Millis(3_000_000);
        let lease = lease(1_000_000, false);
        for connected in [true, false] {
            let members = [member(connected, MemberState::Alive, Some(0))];
            let link = |due_ms| link_state(&members, Some(now), Some(&lease), due_ms, now);
            let heard = |at| LinkState::Connected { heard_at: Millis(at) };
            assert_eq!(link(2_040_000), heard(3_000_000), "at 2,000 nodes it is in time");
            assert_eq!(link(1_500_000), heard(2_500_000), "late by 500 s");
        }
    }

    #[test]
    fn a_node_is_cut_off_from_when_it_last_heard_anyone_until_it_hears_someone() {
        let mut absence = Absence::default();
        assert_eq!(absence.update(false, false, None, Millis(5)), None, "alone is not cut off");
        assert_eq!(absence.update(true, true, None, Millis(6)), None);
        assert_eq!(absence.update(true, false, None, Millis(7)), Some(Millis(7)));
        assert_eq!(absence.update(true, false, None, Millis(9)), Some(Millis(7)), "it began once");
        let heard = Some(Millis(8));
        assert_eq!(absence.update(true, false, heard, Millis(9)), heard, "for a moment in between");
        assert_eq!(absence.update(true, true, None, Millis(10)), None);
    }
}
