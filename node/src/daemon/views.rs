//! What every site reaches: each node asks the peers that it is connected to what they see, and judges
//! the views together. Who has said nothing for a while does not count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holm_certs::SpiffeId;
use holm_graph::{Reached, SiteSight, Verdict, judge_reach};
use holm_mesh_link::MemberStatus;
use holm_model::{Millis, NodeName, Row, SiteId};
use serde::{Deserialize, Serialize};

use super::signals::signal_of_view;
use super::state::{Change, NodeState, Topic};

/// The call that gives this node's view.
pub(super) const VIEW_METHOD: &str = "view";
/// Verdicts that were raised or cleared, as rows.
pub(crate) const SIGNALS_TABLE: &str = "signals";
/// How often peers are asked.
const EVERY: Duration = Duration::from_secs(5);
/// A view older than this says nothing of now.
const STALE_MS: u64 = 20_000;
/// Peers asked in one round; with more, they take turns.
const PEERS_A_ROUND: usize = 32;
/// Views kept; those of other nodes are passed over and counted.
const MAX_VIEWS: usize = 4_096;
/// Rounds that a verdict must hold before it is raised, and be gone before it is cleared.
const ROUNDS: u32 = 2;

/// What one node sees of the other sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    /// What it reaches.
    pub(crate) reached: BTreeMap<SiteId, ReachedWire>,
}

/// [`Reached`] as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReachedWire {
    Yes,
    No,
    NotTried,
}

impl From<ReachedWire> for Reached {
    fn from(reached: ReachedWire) -> Self {
        match reached {
            ReachedWire::Yes => Self::Yes,
            ReachedWire::No => Self::No,
            ReachedWire::NotTried => Self::NotTried,
        }
    }
}

/// A verdict, and since when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) since: Millis,
    /// It held long enough to be raised as a signal.
    pub(crate) raised: bool,
    /// Rounds that it held, or, once raised, that it was missed.
    rounds: u32,
}

/// The views of other nodes, and what they come to.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    views: BTreeMap<(SiteId, NodeName), (View, Millis)>,
    findings: BTreeMap<(&'static str, String), Finding>,
    turn: usize,
    refused: u64,
    unanswered: u64,
}

impl Views {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every view that is young enough, by node, and when it came.
    pub(crate) fn young(&self, now: Millis) -> Vec<(SiteId, NodeName, View, Millis)> {
        let kept = self.lock();
        let young = kept.views.iter().filter(|(_, (_, at))| now.since(*at) <= STALE_MS);
        young
            .map(|((site, node), (view, at))| (site.clone(), node.clone(), view.clone(), *at))
            .collect()
    }

    /// What the views come to, in order of kind and subject.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.lock().findings.values().cloned().collect()
    }

    /// Calls that went unanswered, and views that were not kept because there are too many.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let kept = self.lock();
        (kept.unanswered, kept.refused)
    }
}

/// What `member` says of its site. That a connection stands is not enough: it must have been heard.
fn reached_of(member: &MemberStatus, now: Millis, silent_ms: u64) -> Reached {
    let heard = member.last_heard.is_some_and(|at| now.since(at) <= silent_ms);
    if member.connected && heard {
        Reached::Yes
    } else if member.connected || member.last_refusal.is_some() {
        Reached::No
    } else {
        Reached::NotTried
    }
}

/// Whether a member's key was revoked: nobody shall reach it, so that nobody does says nothing of the
/// way. The key of one that is not connected is not known; one that started or was heard after the
/// revocation is another under its name.
fn is_revoked(member: &MemberStatus, revocations: &[(SpiffeId, Millis)]) -> bool {
    let named = |id: &SpiffeId| {
        id.site_and_node().is_some_and(|(site, node)| site == member.site && node == member.node)
    };
    let before = |at: Millis| {
        member.started <= at || member.last_heard.is_none_or(|last_heard| last_heard <= at)
    };
    !member.connected && revocations.iter().any(|(id, at)| named(id) && before(*at))
}

/// What this node sees of the other sites.
pub(super) fn own_view(
    members: &[MemberStatus],
    revocations: &[(SpiffeId, Millis)],
    own: &SiteId,
    now: Millis,
    silent_ms: u64,
) -> View {
    let mut reached = BTreeMap::new();
    let others = members.iter().filter(|member| member.site != *own);
    for member in others.filter(|member| !is_revoked(member, revocations)) {
        let said = match reached_of(member, now, silent_ms) {
            Reached::Yes => ReachedWire::Yes,
            Reached::No => ReachedWire::No,
            Reached::NotTried => ReachedWire::NotTried,
        };
        let known = reached.entry(member.site.clone()).or_insert(said);
        *known = match (*known, said) {
            (ReachedWire::Yes, _) | (_, ReachedWire::Yes) => ReachedWire::Yes,
            (ReachedWire::No, _) | (_, ReachedWire::No) => ReachedWire::No,
            _ => ReachedWire::NotTried,
        };
    }
    View { reached }
}

fn sight(by: SiteId, view: View, at: Millis) -> SiteSight {
    let reached = view.reached.into_iter().map(|(site, reached)| (site, reached.into())).collect();
    SiteSight { by, at, reached }
}

impl NodeState {
    /// What this node sees of the other sites; `None` while the mesh does not run.
    pub(crate) fn own_view(&self, now: Millis) -> Option<View> {
        let status = self.mesh()?.status();
        let known = self.identity.revocations();
        let revocations: Vec<_> = known.iter().map(|r| (r.spiffe_id().clone(), r.at())).collect();
        let own = &self.config.node.site;
        Some(own_view(&status.members, &revocations, own, now, self.silent_ms()))
    }

    fn silent_ms(&self) -> u64 {
        u64::try_from(self.config.mesh.stale_after.as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks the peers what they see, and judges, until the node stops.
    pub(super) async fn keep_views(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.shutdown.cancelled() => return,
            }
            self.ask_for_views().await;
            self.judge_views(Millis::now());
        }
    }

    async fn ask_for_views(self: &Arc<Self>) {
        let Some(mesh) = self.mesh() else { return };
        let mut peers: Vec<(SiteId, NodeName)> = mesh
            .status()
            .members
            .into_iter()
            .filter(|member| member.connected)
            .map(|member| (member.site, member.node))
            .collect();
        if peers.len() > PEERS_A_ROUND {
            let mut kept = self.views.lock();
            kept.turn = (kept.turn + PEERS_A_ROUND) % peers.len();
            peers.rotate_left(kept.turn);
            peers.truncate(PEERS_A_ROUND);
        }
        let mut calls = tokio::task::JoinSet::new();
        for (site, node) in peers {
            let state = Arc::clone(self);
            calls.spawn(async move {
                let mesh = state.mesh()?;
                let call = mesh.request_node(&site, &node, VIEW_METHOD, Vec::new());
                // A peer that is slower than a round is not waited for.
                let answer = tokio::time::timeout(EVERY, call).await.ok()?.ok()?;
                let view = serde_json::from_slice::<View>(&answer).ok()?;
                (view.reached.len() <= MAX_VIEWS).then_some((site, node, view))
            });
        }
        while let Some(answer) = calls.join_next().await {
            let mut kept = self.views.lock();
            match answer {
                Ok(Some((site, node, view))) => kept.take(site, node, view, Millis::now()),
                _ => kept.unanswered += 1,
            }
        }
    }

    fn judge_views(&self, now: Millis) {
        let Some(view) = self.own_view(now) else { return };
        let own = sight(self.config.node.site.clone(), view, now);
        let mut kept = self.views.lock();
        kept.views.retain(|_, (_, at)| now.since(*at) <= 10 * STALE_MS);
        let heard: Vec<SiteSight> = kept
            .views
            .iter()
            .map(|((site, _), (view, at))| sight(site.clone(), view.clone(), *at))
            .collect();
        let verdicts = judge_reach(&own, &heard, now, STALE_MS);
        let before = kept.findings.clone();
        let turned = kept.hold(verdicts, now);
        let changed = before != kept.findings;
        drop(kept);
        for (finding, raised) in turned {
            self.signal(&finding, raised, now);
        }
        if changed {
            self.tell(Change::for_all(Topic::Sites));
        }
    }

    /// Raises or clears a signal: a line in the log and a row of the node's first tenant.
    fn signal(&self, finding: &Finding, raised: bool, now: Millis) {
        let text = text_of(&finding.verdict, &self.config.node.site);
        let severity = severity(&finding.verdict);
        if raised {
            tracing::warn!(kind = finding.verdict.kind(), severity, "{text}");
        } else {
            tracing::info!(kind = finding.verdict.kind(), "over: {text}");
        }
        let Some(tenant) = self.config.node.tenants.first().and_then(|id| self.tenants.of(id))
        else {
            return;
        };
        let row = Row::new(SIGNALS_TABLE, now)
            .with("plane", "mesh")
            .with("kind", finding.verdict.kind())
            .with("severity", severity)
            .with("target", subject_of(&finding.verdict))
            .with("state", if raised { "raised" } else { "cleared" })
            .with("since", finding.since.0.cast_signed())
            .with("text", text.as_str());
        tenant.rows.store.append(row);
        let own = &self.config.node.site;
        let signal = signal_of_view(&finding.verdict, raised, text, own, now);
        signal.into_iter().for_each(|signal| tenant.signal(signal));
    }
}

impl Kept {
    fn take(&mut self, site: SiteId, node: NodeName, view: View, at: Millis) {
        let key = (site, node);
        if self.views.len() >= MAX_VIEWS && !self.views.contains_key(&key) {
            self.refused += 1;
            return;
        }
        self.views.insert(key, (view, at));
    }

    /// Takes what holds now. What is raised (`true`) or cleared (`false`) by it.
    fn hold(&mut self, verdicts: Vec<Verdict>, now: Millis) -> Vec<(Finding, bool)> {
        let mut turned = Vec::new();
        let mut holding: BTreeMap<_, Verdict> = verdicts
            .into_iter()
            .map(|verdict| ((verdict.kind(), subject_of(&verdict)), verdict))
            .collect();
        self.findings.retain(|key, finding| match holding.remove(key) {
            Some(verdict) => {
                finding.verdict = verdict;
                finding.rounds = if finding.raised { 0 } else { finding.rounds + 1 };
                if !finding.raised && finding.rounds >= ROUNDS && is_raised(&finding.verdict) {
                    (finding.raised, finding.rounds) = (true, 0);
                    turned.push((finding.clone(), true));
                }
                true
            }
            None if !finding.raised => false,
            None => {
                finding.rounds += 1;
                let over = finding.rounds >= ROUNDS;
                if over {
                    turned.push((finding.clone(), false));
                }
                !over
            }
        });
        for (key, verdict) in holding {
            let finding = Finding { verdict, since: now, raised: false, rounds: 1 };
            self.findings.insert(key, finding);
        }
        turned
    }
}

/// What nobody can decide is shown, and wakes nobody.
const fn is_raised(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Undecided { .. })
}

/// How grave a verdict is.
pub(crate) const fn severity(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::CutOff { .. } | Verdict::SiteDown { .. } => "critical",
        Verdict::LinkDown { .. } => "warning",
        Verdict::Undecided { .. } => "info",
    }
}

/// What a verdict is about: a site, or the two ends of a link.
pub(crate) fn subject_of(verdict: &Verdict) -> String {
    match verdict {
        Verdict::CutOff { .. } => "this site".to_owned(),
        Verdict::SiteDown { site, .. } | Verdict::Undecided { site, .. } => site.to_string(),
        Verdict::LinkDown { ends: (a, b), .. } => format!("{a} - {b}"),
    }
}

/// A verdict as a sentence, at site `own`.
pub(crate) fn text_of(verdict: &Verdict, own: &SiteId) -> String {
    let list = |sites: &std::collections::BTreeSet<SiteId>| {
        let names: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
        names.join(", ")
    };
    match verdict {
        Verdict::CutOff { unreached } => format!(
            "{own} is cut off: it reaches none of {}; look at its own uplink first",
            list(unreached)
        ),
        Verdict::SiteDown { site, witnesses } => {
            format!(
                "site {site} is down: {} tried it in vain and nobody reaches it",
                list(witnesses)
            )
        }
        Verdict::LinkDown { ends: (a, b), witnesses, reached_by } => {
            let others = if reached_by.is_empty() {
                "both run".to_owned()
            } else {
                format!("reached by {}", list(reached_by))
            };
            format!("the way between {a} and {b} is down, seen from {}; {others}", list(witnesses))
        }
        Verdict::Undecided { site, witness } => format!(
            "{witness} does not reach {site}, and no other site has tried: the site, the way or {witness} itself may have failed"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(site: &str) -> Verdict {
        let witnesses = ["a", "b"].map(|name| name.parse().expect("valid")).into();
        Verdict::SiteDown { site: site.parse().expect("valid"), witnesses }
    }

    #[test]
    fn a_verdict_is_raised_in_its_second_round_and_cleared_after_two_without_it() {
        let mut kept = Kept::default();
        let mut round = |verdicts: Vec<Verdict>, at| {
            let turned = kept.hold(verdicts, Millis(at));
            turned
                .into_iter()
                .map(|(finding, raised)| (finding.since.0, raised))
                .collect::<Vec<_>>()
        };
        assert_eq!(round(vec![down("c")], 1), []);
        assert_eq!(round(vec![], 2), [], "one round is not enough");
        assert_eq!(round(vec![down("c")], 3), []);
        assert_eq!(round(vec![down("c")], 4), [(3, true)]);
        assert_eq!(round(vec![], 5), []);
        assert_eq!(round(vec![down("c")], 6), [], "it never went");
        assert_eq!(round(vec![], 7), []);
        assert_eq!(round(vec![], 8), [(3, false)]);
        assert_eq!(round(vec![], 9), []);
    }

    #[test]
    fn what_nobody_can_decide_is_shown_and_not_raised() {
        let mut kept = Kept::default();
        let (site, witness) = ("b".parse().expect("valid"), "a".parse().expect("valid"));
        let verdict = Verdict::Undecided { site, witness };
        for at in 1..5 {
            assert_eq!(kept.hold(vec![verdict.clone()], Millis(at)), []);
        }
        assert_eq!(kept.findings.len(), 1);
    }
}
