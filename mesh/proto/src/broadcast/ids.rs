//! Ids along the links that were spared whole hints, and the repair when no whole one comes.

use std::collections::{BTreeMap, VecDeque};

use holm_model::TenantId;

use super::sources::Source;
use super::{Broadcast, MAX_ANNOUNCERS, MAX_MISSING, Sends};
use crate::wire::{Control, HintId, MAX_IDS};
use crate::{Counters, PeerKey};

#[derive(Debug)]
pub(super) struct Missing {
    pub(super) announcers: VecDeque<PeerKey>,
    /// Who announced it first, and when.
    pub(super) first: (PeerKey, u64),
    due_ms: u64,
}

impl Broadcast {
    /// `from` has these hints; what to send.
    pub(crate) fn have(
        &mut self,
        from: PeerKey,
        ids: &[HintId],
        mono_ms: u64,
        counters: &mut Counters,
    ) -> Sends {
        let mut sends = Vec::new();
        // A peer that has more links than it sends whole hints along begins with ids, unasked: a node that
        // stands alone judges it too before it does without.
        if self.alone && !self.sources.contains_key(&from) {
            self.sources.insert(from, Source::asked(self.fresh));
            counters.count("sources_asked");
            sends.push((from, Control::Graft(Vec::new())));
        }
        for id in ids {
            if self.seen.contains_key(id) {
                sends.extend(self.back_up(from, id, mono_ms, counters));
                continue;
            }
            if self.missing.len() >= MAX_MISSING && !self.missing.contains_key(id) {
                counters.count("hint_ids_dropped");
                continue;
            }
            let due_ms = mono_ms.saturating_add(self.graft_ms);
            let missing = self.missing.entry(*id).or_insert_with(|| Missing {
                announcers: VecDeque::new(),
                first: (from, mono_ms),
                due_ms,
            });
            if missing.announcers.len() < MAX_ANNOUNCERS && !missing.announcers.contains(&from) {
                missing.announcers.push_back(from);
            }
        }
        sends
    }

    /// Announces what waits, and asks for what is overdue.
    pub(crate) fn tick(
        &mut self,
        mono_ms: u64,
        allowed: impl Fn(PeerKey, &TenantId) -> bool,
        counters: &mut Counters,
    ) -> Sends {
        let mut sends = self.announce(allowed);
        let mut wanted: BTreeMap<PeerKey, Vec<HintId>> = BTreeMap::new();
        let graft_ms = self.graft_ms;
        self.missing.retain(|id, missing| {
            if missing.due_ms > mono_ms {
                return true;
            }
            if let Some(announcer) = missing.announcers.pop_front() {
                wanted.entry(announcer).or_default().push(*id);
                missing.due_ms = mono_ms.saturating_add(graft_ms);
            }
            !missing.announcers.is_empty()
        });
        for (peer, ids) in wanted {
            counters.count("grafts");
            self.sources.entry(peer).or_default().spared = false;
            sends.extend(ids.chunks(MAX_IDS).map(|ids| (peer, Control::Graft(ids.to_vec()))));
        }
        sends
    }

    fn announce(&mut self, allowed: impl Fn(PeerKey, &TenantId) -> bool) -> Sends {
        let unannounced = std::mem::take(&mut self.unannounced);
        let mut sends = Vec::new();
        for peer in &self.lazy {
            let may_know = |id: &&HintId| {
                self.seen.get(id).is_some_and(|seen| {
                    let has = seen.heard.contains(peer) || seen.told.contains(peer);
                    !has && allowed(*peer, &seen.hint.version.tenant)
                })
            };
            let ids: Vec<HintId> = unannounced.iter().filter(may_know).copied().collect();
            sends.extend(ids.chunks(MAX_IDS).map(|ids| (*peer, Control::Have(ids.to_vec()))));
        }
        sends
    }
}
