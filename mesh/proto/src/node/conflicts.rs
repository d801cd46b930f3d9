//! Nodes that cannot both be right: one name with two keys, one key in two places.

use std::collections::BTreeMap;

use holm_model::{Millis, NodeName, SiteId};

use super::links::Link;
use crate::member::{Membership, Name};
use crate::{ConflictView, Now, PeerKey, Timing};

/// Conflicts kept.
const MAX_CONFLICTS: usize = 64;
/// A conflict that was not seen for this long is over.
const OVER_AFTER_MS: u64 = 10 * 60 * 1_000;

#[derive(Debug, Default)]
pub(super) struct Conflicts {
    shown: BTreeMap<String, ConflictView>,
    /// Since when one name is alive under two keys. A node that lost its key and was enrolled again
    /// looks like that until its old key counts as down, so it is shown only when it lasts.
    suspected: BTreeMap<Name, u64>,
}

impl Conflicts {
    pub(super) fn doubled(
        &mut self,
        peer: PeerKey,
        site: &SiteId,
        node: &NodeName,
        seen: &str,
        wall: Millis,
    ) {
        let text = format!(
            "two live nodes use the key {peer} of {site}/{node} ({seen}): \
             stop one of them, or enrol it again under its own name"
        );
        self.show(format!("key {peer}"), text, wall);
    }

    /// Looks for names with two keys; whether anything changed.
    pub(super) fn tick(
        &mut self,
        membership: &Membership,
        links: &BTreeMap<PeerKey, Link>,
        now: Now,
        timing: &Timing,
    ) -> bool {
        let me = membership.me();
        let mut names: BTreeMap<Name, Vec<PeerKey>> =
            membership.doubled().map(|(name, keys)| (name.clone(), keys)).collect();
        for (name, keys) in &mut names {
            keys.retain(|key| *key != me.peer);
            if name.0 == me.site && name.1 == me.node {
                keys.push(me.peer);
            }
        }
        names.retain(|_, keys| keys.len() > 1);
        self.suspected.retain(|name, _| names.contains_key(name));
        let before = self.shown.len();
        self.shown.retain(|_, view| now.wall.since(view.last_seen) < OVER_AFTER_MS);
        let mut changed = before != self.shown.len();
        let patience_ms = timing.silence_ms.saturating_add(timing.suspect_to_down_ms);
        for (name, keys) in names {
            let since = *self.suspected.entry(name.clone()).or_insert(now.mono_ms);
            let certain = keys.iter().all(|key| *key == me.peer || links.contains_key(key));
            if certain || now.mono_ms.saturating_sub(since) > patience_ms {
                changed |= self.two_keys(&name, &keys, now.wall);
            }
        }
        changed
    }

    pub(super) fn view(&self) -> Vec<ConflictView> {
        self.shown.values().cloned().collect()
    }

    fn two_keys(&mut self, (site, node): &Name, keys: &[PeerKey], wall: Millis) -> bool {
        let list: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let text = format!(
            "{site}/{node} is claimed by {} live nodes with different keys ({}): \
             enrol all but one of them under another name, or revoke them",
            keys.len(),
            list.join(", ")
        );
        self.show(format!("name {site}/{node}"), text, wall)
    }

    /// Whether it is new.
    fn show(&mut self, key: String, text: String, wall: Millis) -> bool {
        if let Some(view) = self.shown.get_mut(&key) {
            view.text = text;
            view.last_seen = wall;
            return false;
        }
        if self.shown.len() >= MAX_CONFLICTS {
            return false;
        }
        self.shown.insert(key, ConflictView { text, since: wall, last_seen: wall });
        true
    }
}
