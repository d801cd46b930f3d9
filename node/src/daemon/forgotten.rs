//! Sites and nodes that are gone for good: who may be called so, and what follows here.
//!
//! An issuer says it in the roster. Every node then drops them from its lists and looks for them no
//! longer, and shows what a site that is gone held open as ended when that was said. All of it holds
//! until they come back with a later beginning; documents stay as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holm_certs::{Forgetting, ForgottenSet, Identity, Trust};
use holm_mesh_link::{Gone, MemberState, MemberStatus, MeshStatus};
use holm_model::{Millis, NodeName, SiteId};

use super::state::{Change, NodeState, Topic};
use super::views::{ReachedWire, View};

/// Why something is not called gone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForgetError {
    /// This node cannot tell.
    #[error(
        "this node is cut off from every other site: it cannot tell who is gone; ask a node that hears others"
    )]
    CutOff,
    /// It lives.
    #[error(
        "{name} is there ({how}): only what is down can be forgotten. Stop it first; if it was stopped just now, try again in a minute. To put out a node that runs, use `holm revoke`"
    )]
    Lives {
        /// Who.
        name: String,
        /// How that is known.
        how: String,
    },
    /// It is this node.
    #[error("{0} is this node's own site: forget it at a node of another one")]
    Own(SiteId),
    /// Nobody of that name.
    #[error("{0} is not known here; `holm mesh top` lists the nodes, `holm sites` the sites")]
    Unknown(String),
}

/// What is said to be gone, and what of it holds here.
#[derive(Default)]
pub(crate) struct Forgotten(Mutex<Held>);

#[derive(Default)]
struct Held {
    said: ForgottenSet,
    /// What the mesh was told last.
    told: Vec<Gone>,
    /// Sites that are gone and did not come back, and when that was said.
    gone: BTreeMap<SiteId, Millis>,
}

/// One that is said to be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) gone: Gone,
    /// When it was said.
    pub(crate) at: Millis,
}

impl Forgotten {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes statements of the roster, whoever sent them: each is verified.
    pub(super) fn take(&self, statements: &[Vec<u8>], identity: &Identity, now: Millis) {
        let mut held = self.held();
        take(&mut held.said, statements, identity, now);
    }

    /// Judges everything anew after roots or revocations changed.
    pub(super) fn retrust(&self, statements: &[Vec<u8>], identity: &Identity, now: Millis) {
        let mut said = ForgottenSet::default();
        take(&mut said, statements, identity, now);
        self.held().said = said;
    }

    /// All that is said to be gone, in order of site and node.
    pub(crate) fn said(&self) -> Vec<Said> {
        let held = self.held();
        let said = held.said.iter().map(|said| Said {
            gone: Gone {
                site: said.site().clone(),
                node: said.node().cloned(),
                up_to: said.up_to().0,
            },
            at: said.at(),
        });
        said.collect()
    }

    /// Sites that are gone and did not come back, and when that was said.
    pub(crate) fn gone(&self) -> BTreeMap<SiteId, Millis> {
        self.held().gone.clone()
    }
}

fn take(said: &mut ForgottenSet, statements: &[Vec<u8>], identity: &Identity, now: Millis) {
    let (bundles, revocations) = (identity.bundles(), identity.revocations());
    let id = identity.spiffe_id();
    let trust = Trust { domain: id.trust_domain(), bundles: &bundles, revocations: &revocations };
    for statement in statements {
        // Most are of other kinds.
        let Ok(new) = Forgetting::from_bytes(statement) else { continue };
        match said.insert(&new, trust, now) {
            Ok(true) => {
                tracing::info!(site = %new.site(), node = ?new.node().map(NodeName::as_str), "gone for good: forgotten until it comes back");
            }
            Ok(false) => {}
            // Carried on, not acted on.
            Err(error) => tracing::debug!(%error, "what says that a site is gone is not taken"),
        }
    }
}

/// What is known when something is to be called gone.
struct Known<'a> {
    members: &'a [MemberStatus],
    /// What other sites say that they reach.
    views: &'a [(SiteId, NodeName, View, Millis)],
    own: (&'a SiteId, &'a NodeName),
    cut_off: bool,
    documented: bool,
}

/// The latest beginning that is gone, if `site`, or `node` of it, is.
fn judge(
    known: &Known<'_>,
    site: &SiteId,
    node: Option<&NodeName>,
    now: Millis,
) -> Result<Millis, ForgetError> {
    let name = node.map_or_else(|| site.to_string(), |node| format!("{site}/{node}"));
    if known.own.0 == site && node.is_none_or(|node| node == known.own.1) {
        return Err(ForgetError::Own(site.clone()));
    }
    if known.cut_off {
        return Err(ForgetError::CutOff);
    }
    let lives = |member: &&MemberStatus| member.connected || member.state != MemberState::Down;
    let of_site = || known.members.iter().filter(|member| member.site == *site);
    let meant = || of_site().filter(|member| node.is_none_or(|node| member.node == *node));
    let latest = meant().filter(|member| !lives(member)).map(|member| member.started).max();
    if let Some(living) = meant().filter(lives).min_by_key(|member| member.started) {
        // It came back under another key: what is left of the old one can go.
        return match latest.filter(|latest| node.is_some() && *latest < living.started) {
            Some(latest) => Ok(latest),
            None => Err(ForgetError::Lives {
                name: format!("{site}/{}", living.node),
                how: if living.connected { "connected" } else { living.state.as_str() }.to_owned(),
            }),
        };
    }
    let reaches = |view: &View| view.reached.get(site) == Some(&ReachedWire::Yes);
    let others_live = of_site().any(|member| lives(&member));
    let witness = known.views.iter().find(|(by, _, view, _)| by != site && reaches(view));
    if let Some((by, ..)) = witness.filter(|_| !others_live) {
        return Err(ForgetError::Lives { name, how: format!("{by} reaches it") });
    }
    if latest.is_none() && (node.is_some() || !known.documented) {
        return Err(ForgetError::Unknown(name));
    }
    Ok(latest.unwrap_or_default().max(now))
}

impl NodeState {
    /// Whether `site`, or `node` of it alone, may be called gone: the latest beginning that then is.
    pub(crate) fn may_forget(
        &self,
        site: &SiteId,
        node: Option<&NodeName>,
        now: Millis,
    ) -> Result<Millis, ForgetError> {
        let status = self.mesh().map(holm_mesh_link::Mesh::status);
        let known = Known {
            members: status.as_ref().map_or(&[], |status| &status.members),
            views: &self.views.young(now),
            own: (&self.config.node.site, &self.config.node.name),
            cut_off: self.cut_off_since(status.as_ref(), now).is_some(),
            documented: self.tenants.all().iter().any(|t| t.documented_sites().contains(site)),
        };
        judge(&known, site, node, now)
    }

    /// Tells the mesh and the tenants what is gone, when that changed: more was said, or one is back.
    pub(super) async fn tend_forgotten(self: &Arc<Self>, status: Option<&MeshStatus>) {
        let said = self.roster.forgotten.said();
        let all: Vec<Gone> = said.iter().map(|said| said.gone.clone()).collect();
        let is_new = self.roster.forgotten.held().told != all;
        if let Some(mesh) = self.mesh().filter(|_| is_new)
            && mesh.set_gone(all.clone())
        {
            self.roster.forgotten.held().told = all;
        }
        let own = &self.config.node.site;
        let members = status.map_or(&[][..], |status| &status.members);
        let gone = not_back(said, members, own);
        let changed = {
            let mut held = self.roster.forgotten.held();
            std::mem::replace(&mut held.gone, gone.clone()) != gone
        };
        if changed {
            self.tell(Change::for_all(Topic::Sites));
        }
        for tenant in self.tenants.all() {
            if tenant.knows_gone(&gone) {
                continue;
            }
            let (of, gone) = (Arc::clone(&tenant), gone.clone());
            // Every element of the site is looked at: not on a thread that serves others.
            match tokio::task::spawn_blocking(move || of.set_gone(gone)).await {
                Ok(()) => self.tell(Change::of(&tenant.id, Topic::Topology)),
                Err(error) => {
                    tracing::error!(tenant = %tenant.id, %error, "what sites that are gone held open could not be ended; it is tried again");
                }
            }
        }
    }
}

/// Sites of which no node has been seen that began later than what is said to be gone.
fn not_back(said: Vec<Said>, members: &[MemberStatus], own: &SiteId) -> BTreeMap<SiteId, Millis> {
    let is_back = |gone: &Gone| {
        let mut of_site = members.iter().filter(|member| member.site == gone.site);
        of_site.any(|member| member.connected || member.started.0 > gone.up_to)
    };
    let whole = said.into_iter().filter(|said| said.gone.node.is_none());
    let gone = whole.filter(|said| said.gone.site != *own && !is_back(&said.gone));
    gone.map(|said| (said.gone.site, said.at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(10_000);

    fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().expect("valid")
    }

    fn member(site: &str, node: &str, started: u64, state: MemberState) -> MemberStatus {
        MemberStatus {
            started: Millis(started),
            site: name(site),
            node: name(node),
            spiffe_id: None,
            peer_id: None,
            addresses: Vec::new(),
            remote: None,
            via: None,
            api_port: None,
            state,
            connected: false,
            connected_since: None,
            last_heard: None,
            rtt_ms: None,
            clock_skew_ms: None,
            clock: None,
            svid_not_after: None,
            svid_key: None,
            last_refusal: None,
            last_sync: None,
        }
    }

    fn ask(
        members: &[MemberStatus],
        views: &[(SiteId, NodeName, View, Millis)],
        who: (&str, Option<&str>),
    ) -> Result<Millis, ForgetError> {
        let (own, node) = (name("berlin"), name("n1"));
        let known = Known { members, views, own: (&own, &node), cut_off: false, documented: false };
        judge(&known, &name(who.0), who.1.map(name::<NodeName>).as_ref(), NOW)
    }

    #[test]
    fn only_what_is_down_and_reached_by_nobody_is_gone() {
        use MemberState::{Alive, Down, Suspect};
        let down = [member("tokyo", "n1", 5, Down), member("tokyo", "n2", 20_000, Down)];
        assert_eq!(ask(&down, &[], ("tokyo", None)), Ok(Millis(20_000)), "its clock was ahead");
        assert_eq!(ask(&down, &[], ("tokyo", Some("n1"))), Ok(NOW));
        assert_eq!(ask(&down, &[], ("oslo", None)), Err(ForgetError::Unknown("oslo".to_owned())));
        assert!(matches!(ask(&down, &[], ("berlin", None)), Err(ForgetError::Own(_))));
        for state in [Alive, Suspect] {
            let one = [member("tokyo", "n1", 5, Down), member("tokyo", "n2", 7, state)];
            let refused = ask(&one, &[], ("tokyo", None));
            assert!(matches!(refused, Err(ForgetError::Lives { .. })), "{refused:?}");
            assert_eq!(ask(&one, &[], ("tokyo", Some("n1"))), Ok(NOW), "that one is down");
        }
        let reached = View { reached: [(name("tokyo"), ReachedWire::Yes)].into() };
        let views = [(name("oslo"), name("n1"), reached, NOW)];
        let refused = ask(&down, &views, ("tokyo", None)).expect_err("oslo reaches it");
        assert!(refused.to_string().contains("oslo reaches it"), "{refused}");
    }

    #[test]
    fn what_is_left_of_an_old_key_goes_and_the_new_one_stays() {
        use MemberState::{Alive, Down};
        let two = [member("tokyo", "n1", 5, Down), member("tokyo", "n1", 900, Alive)];
        assert_eq!(ask(&two, &[], ("tokyo", Some("n1"))), Ok(Millis(5)));
        assert!(ask(&two, &[], ("tokyo", None)).is_err());
        let back = [member("tokyo", "n1", 9_000, Down), member("tokyo", "n1", 900, Alive)];
        assert!(ask(&back, &[], ("tokyo", Some("n1"))).is_err(), "both would go");
    }

    #[test]
    fn a_site_is_back_with_a_later_beginning_and_stays_so_when_it_is_down_again() {
        let said = |up_to| {
            let gone = Gone { site: name("tokyo"), node: None, up_to };
            vec![Said { gone, at: Millis(7) }]
        };
        let own = name("berlin");
        let down = [member("tokyo", "n1", 5, MemberState::Down)];
        assert_eq!(not_back(said(5), &down, &own), [(name("tokyo"), Millis(7))].into());
        assert_eq!(not_back(said(4), &down, &own), [].into());
        assert_eq!(not_back(said(5), &[], &own).len(), 1);
        assert_eq!(not_back(said(5), &[], &name("tokyo")), [].into(), "who speaks is there");
    }
}
