//! What was done in the roster, as far as a tenant may know of it: each act once, by an id that is the same
//! at every node.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use holm_certs::{
    Forgetting, Grant, GrantRevocation, Revocation, Right, SpiffeId, TenantTag, Verdict,
};
use holm_change::{ChangeId, ChangeKind, Draft};
use holm_model::{Millis, NodeName, SiteId, TenantId};

use super::Tenancy;

/// Acts whose doers are remembered until they are written.
const MAX_DOERS: usize = 1_024;

/// Who did what at this node: the roster itself names keys, not people.
#[derive(Debug, Default)]
pub(crate) struct Doers(Mutex<BTreeMap<ChangeId, String>>);

impl Doers {
    /// Remembers who did an act.
    pub(crate) fn note(&self, act: ChangeId, by: &str) {
        let mut doers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if doers.len() >= MAX_DOERS {
            doers.pop_first();
        }
        doers.insert(act, by.to_owned());
    }

    fn of(&self, act: ChangeId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&act).cloned()
    }
}

/// Something that was done.
#[derive(Debug)]
pub(crate) struct Act {
    pub(crate) id: ChangeId,
    pub(crate) draft: Draft,
    /// Whether this node is the one to write it down; others do when it does not.
    pub(crate) own: bool,
}

impl Act {
    fn new(id: ChangeId, word: &str, at: Millis, title: String, site: Option<&SiteId>) -> Self {
        let mut draft = Draft::new(ChangeKind::Config, title);
        draft.at = Some(at);
        draft.words.extend(site.map(|site| format!("site:{site}")));
        draft.attributes.insert("roster.act".into(), word.into());
        Self { id, draft, own: false }
    }

    fn made(tag: TenantTag, name: &TenantId, at: Millis) -> Self {
        Self::new(id_of_making(tag), "made", at, format!("tenant {name} was made"), None)
    }

    fn granted(grant: &Grant, name: &TenantId) -> Self {
        let terms = grant.terms();
        let title = format!("site {} was granted tenant {name} ({})", terms.site, terms.rights);
        // A serial is the time of its grant, or one more than that of the grant before.
        let at = Millis(terms.serial);
        let mut act = Self::new(id_of_grant(grant), "granted", at, title, Some(&terms.site));
        let days = terms.not_after.since(at) / (24 * 60 * 60 * 1_000);
        act.draft.attributes.insert("grant.days".into(), days.to_string());
        act
    }

    fn taken_back(revoked: &GrantRevocation, name: &TenantId) -> Self {
        let site = revoked.site();
        let title = format!("tenant {name} was taken back from site {site}");
        Self::new(id_of_taking_back(revoked), "taken_back", revoked.at(), title, Some(site))
    }

    fn enrolled((site, node): (&SiteId, &NodeName), key: &[u8], at: Millis) -> Self {
        let id =
            ChangeId::of_roster("key", &[site.as_str().as_bytes(), node.as_str().as_bytes(), key]);
        let title = format!("node {site}/{node} came with a new key");
        Self::new(id, "enrolled", at, title, Some(site))
    }

    fn revoked(revocation: &Revocation, (site, node): (&SiteId, &NodeName)) -> Self {
        let title = match revocation.reason() {
            "" => format!("the key of node {site}/{node} was revoked"),
            reason => format!("the key of node {site}/{node} was revoked: {reason}"),
        };
        let id = id_of_revocation(revocation);
        Self::new(id, "revoked", revocation.at(), title, Some(site))
    }

    fn gone((site, node): (&SiteId, Option<&NodeName>), up_to: Millis, at: Millis) -> Self {
        let title = match node {
            Some(node) => format!("node {site}/{node} was said to be gone for good"),
            None => format!("site {site} was said to be gone for good"),
        };
        Self::new(id_of_going(site, node, up_to), "gone", at, title, Some(site))
    }
}

/// The id of the act that makes a tenant.
pub(crate) fn id_of_making(tag: TenantTag) -> ChangeId {
    ChangeId::of_roster("made", &[tag.to_string().as_bytes()])
}

fn id_of_grant(grant: &Grant) -> ChangeId {
    ChangeId::of_roster("granted", &[&grant.digest().0])
}

fn id_of_taking_back(revoked: &GrantRevocation) -> ChangeId {
    let (tag, site) = (revoked.tag().to_string(), revoked.site().as_str().as_bytes());
    ChangeId::of_roster("taken_back", &[tag.as_bytes(), site, &revoked.up_to().to_le_bytes()])
}

/// The id of the act that revokes a node's key.
pub(crate) fn id_of_revocation(revocation: &Revocation) -> ChangeId {
    ChangeId::of_roster("revoked", &[&revocation.key().0])
}

fn id_of_going(site: &SiteId, node: Option<&NodeName>, up_to: Millis) -> ChangeId {
    let node = node.map_or("", NodeName::as_str);
    let parts = [site.as_str().as_bytes(), node.as_bytes(), &up_to.0.to_le_bytes()];
    ChangeId::of_roster("gone", &parts)
}

/// The id of the act that a statement is, if it is one that somebody does.
pub(crate) fn id_of(statement: &[u8]) -> Option<ChangeId> {
    if let Ok(grant) = Grant::from_bytes(statement) {
        return Some(id_of_grant(&grant));
    }
    if let Ok(revoked) = GrantRevocation::from_bytes(statement) {
        return Some(id_of_taking_back(&revoked));
    }
    let gone = Forgetting::from_bytes(statement).ok()?;
    Some(id_of_going(gone.site(), gone.node(), gone.up_to()))
}

/// Who is said to be gone for good.
pub(crate) struct Going {
    pub(crate) site: SiteId,
    pub(crate) node: Option<NodeName>,
    pub(crate) up_to: Millis,
    pub(crate) at: Millis,
}

/// What is asked of the roster beside who may have which tenant.
pub(crate) struct Beside<'a> {
    /// Every revocation of a key that counts.
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) gone: Vec<Going>,
    /// This node, and whether it issues for the mesh.
    pub(crate) own: (&'a SiteId, &'a NodeName),
    pub(crate) issues: bool,
    pub(crate) doers: &'a Doers,
}

impl Tenancy {
    /// The acts of a tenant since `horizon`: of its own statements all, of those about the whole mesh those
    /// about sites that had the tenant when they were done.
    pub(crate) fn acts(&self, name: &TenantId, beside: &Beside<'_>, horizon: Millis) -> Vec<Act> {
        let held = self.held();
        let Some(tag) = held.file.names.tag_of(name) else { return Vec::new() };
        let (book, authority) = (&held.book, held.authorities.contains_key(name));
        let knew = |site: &SiteId, at: Millis| {
            [Right::Replicate, Right::Query]
                .into_iter()
                .any(|right| may_know(book.may(site, tag, right, at), at))
        };
        let mut acts = Vec::new();
        let made = book.tenants().into_iter().find(|tenant| tenant.tag == tag);
        acts.extend(
            made.map(|made| Act { own: authority, ..Act::made(tag, name, made.created_at) }),
        );
        let granted = book.grants_of(tag).into_iter().map(|grant| Act::granted(grant, name));
        let back = book.revocations_of(tag).into_iter().map(|back| Act::taken_back(back, name));
        acts.extend(granted.chain(back).map(|act| Act { own: authority, ..act }));
        for (node, key, at) in book.keys_of(tag).into_iter().filter(|(n, _, at)| knew(&n.site, *at))
        {
            let place = (&node.site, &node.node);
            let mut act = Act::enrolled(place, &key.0, at);
            act.draft.author = format!("{}/{}", node.site, node.node);
            acts.push(Act { own: place == beside.own, ..act });
        }
        for revocation in &beside.revocations {
            let Some((site, node)) = SpiffeId::site_and_node(revocation.spiffe_id()) else {
                continue;
            };
            if knew(&site, revocation.at()) {
                acts.push(Act { own: beside.issues, ..Act::revoked(revocation, (&site, &node)) });
            }
        }
        for Going { site, node, up_to, at } in &beside.gone {
            if knew(site, *at) {
                let act = Act::gone((site, node.as_ref()), *up_to, *at);
                acts.push(Act { own: beside.issues, ..act });
            }
        }
        acts.retain(|act| act.draft.at.is_some_and(|at| at >= horizon));
        for act in &mut acts {
            if let Some(by) = beside.doers.of(act.id) {
                (act.draft.author, act.own) = (by, true);
            }
        }
        acts
    }
}

/// Whether who stands so knew at that moment what happened to a site.
fn may_know(verdict: Verdict, at: Millis) -> bool {
    match verdict {
        Verdict::Granted { .. } => true,
        Verdict::Revoked { since } | Verdict::Expired { since } => at <= since,
        Verdict::Erased { .. } | Verdict::NeverGranted | Verdict::NotYet { .. } => false,
    }
}
