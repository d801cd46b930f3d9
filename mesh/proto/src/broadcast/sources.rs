//! Which links whole hints are welcome from, judged by the time that they save.

use super::Broadcast;
use crate::wire::{Control, HintId};
use crate::{Counters, PeerKey};

/// Links from which whole hints are welcome although they mostly come second: when hints of many
/// origins cross, each has another best way, and when a neighbour dies the others go on.
const KEEP: usize = 4;
/// Near links, of those that there are, from which whole hints are welcome in any case: what reaches one
/// of several that are near each other is then at all of them a moment later.
pub(super) const KEEP_NEAR: usize = 3;
/// Links, near or not, from which whole hints are welcome in any case: two may die in one moment.
pub(super) const KEEP_ANY: usize = 3;
/// A link over which none of so many hints came is no source at the moment.
pub(super) const QUIET_HINTS: u64 = 24;
/// Hints that a link is judged by. One that is spared still brings what begins near its other end, so that
/// few are enough.
const JUDGED: u32 = 8;
/// Near links carry the hints of all corners alike: fewer of them tell how good one is.
const JUDGED_NEAR: u32 = 5;
/// A node that stands alone judges by so many: few hints come from each corner that its
/// links lead to, and none of its neighbours makes up for a link that was spared too soon.
const JUDGED_ALONE: u32 = 24;
/// It spares one in so many hints: links that lead to the same corner take the lead from each other, and
/// only when one is gone is it seen what the last of them is worth.
const PACE_ALONE: u64 = 4;
/// What the second copy saves a node that stands alone, if the first one's sender dies, counts by this less.
const BACKUP_PART: u64 = 2;
/// Beyond so many hints a link's record counts half.
const REMEMBERED: u32 = 160;
/// What one first copy counts for beside the time that it saved, in milliseconds.
const FIRST_MS: u64 = 1;
/// Most that one hint's lead counts for, in milliseconds.
const LEAD_MAX_MS: u64 = 250;
/// Links that save less than one millisecond in so many hints are spared, beyond [`KEEP`].
const WORTH: u64 = 2;
/// A spared link whose word of a hint comes so much before the hint is wanted again.
pub(super) const REGAIN_MS: u64 = 20;

/// How useful a link is, by the whole hints that came over it lately.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Source {
    pub(super) first: u32,
    second: u32,
    /// By how much its first copies came before the second ones, in milliseconds.
    lead_ms: u64,
    /// The peer was asked not to send whole hints.
    pub(super) spared: bool,
    /// How many hints had come here when the latest came over this link.
    pub(super) latest: u64,
}

impl Source {
    /// Whole hints were asked for now; nothing is known of them yet.
    pub(super) fn asked(fresh: u64) -> Self {
        Self { latest: fresh, ..Self::default() }
    }

    /// The peer sends ids alone.
    pub(super) fn spared(latest: u64) -> Self {
        Self { spared: true, latest, ..Self::default() }
    }

    const fn is_live(&self, fresh: u64) -> bool {
        !self.spared && self.latest > 0 && self.latest + QUIET_HINTS >= fresh
    }

    /// A hint came over the link after so many hops. What its peer began itself goes to everyone, also
    /// over links that are spared: it does not show that the hints of others come this way.
    pub(super) const fn came(&mut self, hops: u32, fresh: u64) {
        if hops > 0 {
            self.latest = fresh;
        }
        // What was long ago counts less.
        if self.first + self.second >= REMEMBERED {
            self.first /= 2;
            self.second /= 2;
            self.lead_ms /= 2;
        }
    }

    /// Hints that it is judged by.
    fn hints(&self) -> u64 {
        u64::from(self.first) + u64::from(self.second)
    }

    /// What it saved in all these, in milliseconds. Few hints that come much earlier, from a corner of
    /// the world to which no other link leads, are worth more than many that come a little earlier.
    fn saved_ms(&self) -> u64 {
        self.lead_ms + u64::from(self.first) * FIRST_MS
    }
}

impl Broadcast {
    /// Another copy came: by how much the one before it was earlier is counted for whoever sent that. A node
    /// that stands alone counts it for the second one too: were the first one's sender to die, nobody near
    /// would have the hint.
    pub(super) fn credit(&mut self, id: &HintId, from: PeerKey, mono_ms: u64) {
        let Some(seen) = self.seen.get_mut(id) else { return };
        let lead_ms = |at_ms: u64| mono_ms.saturating_sub(at_ms).min(LEAD_MAX_MS);
        let first = seen.heard.first().copied();
        let came_ms = seen.came_ms.take();
        if let Some((peer, at_ms)) = first.zip(came_ms)
            && let Some(source) = self.sources.get_mut(&peer)
        {
            source.lead_ms += lead_ms(at_ms);
            seen.second = (self.alone && peer != from).then_some((from, mono_ms));
        } else if let Some((peer, at_ms)) = seen.second.take()
            && let Some(source) = self.sources.get_mut(&peer)
        {
            source.lead_ms += lead_ms(at_ms) / BACKUP_PART;
        }
        seen.heard(from);
    }

    /// `from`, which was asked to send ids alone, has a hint that came here well before and only once: a node
    /// that stands alone wants it whole from there too, for when the one that sent it dies.
    pub(super) fn back_up(
        &mut self,
        from: PeerKey,
        id: &HintId,
        mono_ms: u64,
        counters: &mut Counters,
    ) -> Option<(PeerKey, Control)> {
        let seen = self.seen.get_mut(id).filter(|seen| self.alone && !seen.backed)?;
        seen.came_ms.filter(|came_ms| mono_ms.saturating_sub(*came_ms) >= REGAIN_MS)?;
        self.sources.get(&from).filter(|source| source.spared)?;
        seen.backed = true;
        counters.count("sources_backed");
        self.regain(from, counters)
    }

    /// The word of a spared link came well before the hint itself: the link is worth having whole.
    pub(super) fn regain(
        &mut self,
        peer: PeerKey,
        counters: &mut Counters,
    ) -> Option<(PeerKey, Control)> {
        let fresh = self.fresh;
        let source = self.sources.get_mut(&peer).filter(|source| source.spared)?;
        *source = Source::asked(fresh);
        counters.count("sources_regained");
        Some((peer, Control::Graft(Vec::new())))
    }

    /// When sources have fallen silent, a spared one is asked again; near ones first, also one that never
    /// sent anything.
    pub(super) fn revive(&mut self, counters: &mut Counters) -> Option<(PeerKey, Control)> {
        let fresh = self.fresh;
        let latest = |peer: &PeerKey| self.sources.get(peer).map_or(0, |source| source.latest);
        let is_live = |peer: &PeerKey| self.sources.get(peer).is_some_and(|s| s.is_live(fresh));
        if self.near.iter().filter(|peer| is_live(peer)).count() < KEEP_NEAR {
            let silent = self.near.iter().filter(|peer| !is_live(peer));
            if let Some(peer) = silent.copied().min_by_key(latest) {
                self.sources.insert(peer, Source::asked(fresh));
                counters.count("sources_revived");
                return Some((peer, Control::Graft(Vec::new())));
            }
        }
        if self.sources.values().filter(|source| source.is_live(fresh)).count() >= KEEP {
            return None;
        }
        let spared = self.sources.iter_mut().filter(|(_, source)| source.spared);
        let (peer, source) = spared.min_by_key(|(_, source)| source.latest)?;
        *source = Source::asked(fresh);
        counters.count("sources_revived");
        Some((*peer, Control::Graft(Vec::new())))
    }

    /// A copy came second over this link; whether the peer is to be spared from now on.
    pub(super) fn second_copy(&mut self, from: PeerKey, hops: u32) -> bool {
        let source = self.sources.entry(from).or_default();
        source.second += 1;
        source.came(hops, self.fresh);
        let judged = *source;
        if judged.spared {
            // It goes on and on: perhaps it forgot.
            let again = judged.first + judged.second >= REMEMBERED / 2;
            if again {
                *source = Source::spared(source.latest);
            }
            return again;
        }
        let is_near = self.near.contains(&from);
        let needed = match (is_near, self.alone) {
            (true, _) => JUDGED_NEAR,
            (false, true) => JUDGED_ALONE,
            (false, false) => JUDGED,
        };
        if judged.hints() < u64::from(needed) {
            return false;
        }
        let fresh = self.fresh;
        if self.alone && !is_near && fresh < self.spared_at + PACE_ALONE {
            return false;
        }
        let live = || self.sources.iter().filter(|(_, source)| source.is_live(fresh));
        let near = || live().filter(|(peer, _)| self.near.contains(*peer));
        let is_better = |(_, s): &(&PeerKey, &Source)| {
            s.saved_ms() * judged.hints() > judged.saved_ms() * s.hints()
        };
        let can_do_without = if is_near {
            // Of several that are as good as each other any will do.
            let is_worse = |(_, s): &(&PeerKey, &Source)| {
                s.saved_ms() * judged.hints() < judged.saved_ms() * s.hints()
            };
            let others = near().filter(|(peer, _)| **peer != from);
            others.filter(|other| !is_worse(other)).count() >= KEEP_NEAR
        } else if near().count() >= KEEP_NEAR {
            judged.saved_ms() < judged.hints()
        } else {
            judged.saved_ms() * WORTH < judged.hints() && live().filter(is_better).count() >= KEEP
        };
        if !can_do_without || live().count() <= KEEP_ANY {
            return false;
        }
        self.spared_at = fresh;
        if let Some(source) = self.sources.get_mut(&from) {
            *source = Source::spared(source.latest);
        }
        true
    }
}
