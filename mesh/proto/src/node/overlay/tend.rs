//! The choice made anew once in a while, and what follows from it: whom to dial, whom to look at, whom to leave.

use std::collections::BTreeSet;

use super::*;

impl MeshNode {
    /// Chooses anew, once in a while.
    pub(in crate::node) fn tend_overlay(&mut self, now: Now, out: &mut Vec<Action>) {
        if now.mono_ms < self.overlay.next_ms {
            return;
        }
        self.overlay.next_ms =
            now.mono_ms.saturating_add(jittered(self.overlay.step_ms, &mut self.rng));
        self.overlay.shunned.retain(|_, until_ms| *until_ms > now.mono_ms);
        if self.membership.count_up() <= ALL {
            self.overlay.near.clear();
            self.overlay.wide.clear();
            self.overlay.far_next.clear();
            self.overlay.looking = None;
            self.broadcast.set_near(false, BTreeSet::new());
            let all: Vec<PeerKey> = self.links.keys().copied().collect();
            all.into_iter().for_each(|peer| self.broadcast.settle(peer));
            return;
        }
        let membership = &self.membership;
        let up = |peer: &PeerKey| membership.known(*peer).is_some_and(|known| !known.down);
        self.overlay.rtt_ms.retain(|peer, _| up(peer));
        self.overlay.positions.retain(|peer, _| up(peer));
        let rtt_ms = &self.overlay.rtt_ms;
        let dialer = &self.dialer;
        let reached =
            |peer: &PeerKey| rtt_ms.contains_key(peer) && dialer.refusal_of(*peer).is_none();
        let before = self.overlay.wide.len();
        self.overlay.wide.retain(reached);
        self.overlay.wide_settled &= self.overlay.wide.len() == before;
        self.overlay.choose_near(self.membership.me().peer);
        let links = self.links.keys().copied().collect();
        self.overlay.choose_wide(links, now.mono_ms, &mut self.rng);
        let near = self.links.keys().filter(|peer| self.overlay.is_near(**peer)).copied();
        self.broadcast.set_near(self.overlay.is_alone(), near.collect());
        self.choose_far();
        self.look(now);
        self.leave_some(now, out);
    }

    fn choose_far(&mut self) {
        let (links, dialer) = (&self.links, &self.dialer);
        let membership = &self.membership;
        let up = |peer: PeerKey| membership.known(peer).is_some_and(|known| !known.down);
        self.overlay.far_next.retain(|peer| {
            !links.contains_key(peer) && up(*peer) && dialer.refusal_of(*peer).is_none()
        });
        let missing = FAR.saturating_sub(self.overlay.fars() + self.overlay.far_next.len());
        for _ in 0..missing {
            let overlay = &self.overlay;
            let fits = |peer: PeerKey| {
                !links.contains_key(&peer)
                    && !overlay.shunned.contains_key(&peer)
                    && !overlay.far_next.contains(&peer)
            };
            let Some(peer) = membership.random_up(&mut self.rng, fits) else { return };
            self.overlay.far_next.insert(peer);
        }
    }

    fn look(&mut self, now: Now) {
        let refused = |peer: PeerKey| self.dialer.refusal_of(peer).is_some();
        if self.overlay.looking.is_some_and(refused) {
            self.overlay.looking = None;
        }
        if self.overlay.looking.is_some() || now.mono_ms < self.overlay.next_look_ms {
            return;
        }
        let overlay = &self.overlay;
        let fits =
            |peer: PeerKey| !self.links.contains_key(&peer) && !overlay.rtt_ms.contains_key(&peer);
        let found = self.membership.random_up(&mut self.rng, fits);
        self.overlay.looking = found;
        self.overlay.looks = self.overlay.looks.saturating_add(1);
        let doublings = self.overlay.looks.saturating_sub(EAGER_LOOKS).min(16);
        let pause_ms = (self.overlay.step_ms << doublings).min(LOOK_MAX_MS);
        self.overlay.next_look_ms = now.mono_ms.saturating_add(jittered(pause_ms, &mut self.rng));
    }

    fn leave_some(&mut self, now: Now, out: &mut Vec<Action>) {
        // With few connections nobody is left: the many others may be made up.
        let spare = self.links.len().saturating_sub(FEW);
        let mut surplus_far = self.overlay.fars().saturating_sub(FAR).min(spare);
        let mut leave = Vec::new();
        for (peer, mine) in &mut self.overlay.mine {
            let near = self.overlay.near.contains(peer) || self.overlay.wide.contains(peer);
            let age_ms = now.mono_ms.saturating_sub(mine.since_ms);
            match mine.purpose {
                Purpose::Look if near => {
                    mine.purpose = Purpose::Near;
                    self.broadcast.settle(*peer);
                }
                Purpose::Look if age_ms < LOOK_STANDS_MS => {}
                Purpose::Look => leave.push(*peer),
                Purpose::Near if near || age_ms < SETTLED_MS => {}
                Purpose::Near => leave.push(*peer),
                // A mesh that was small made more of these than a large one needs.
                Purpose::Far if surplus_far > 0 && near => {
                    mine.purpose = Purpose::Near;
                    surplus_far -= 1;
                }
                Purpose::Far if surplus_far > 0 && age_ms >= SETTLED_MS && leave.is_empty() => {
                    surplus_far -= 1;
                    leave.push(*peer);
                }
                Purpose::Far => {}
            }
        }
        let relays = if leave.is_empty() { BTreeSet::new() } else { self.relays_needed() };
        for peer in leave.into_iter().filter(|peer| !relays.contains(peer)) {
            self.leave_link(peer, "no longer needed", out);
        }
        let settled = |since_ms: &u64| now.mono_ms.saturating_sub(*since_ms) >= SETTLED_MS;
        for (peer, _) in self.overlay.theirs.iter().filter(|(_, since_ms)| settled(since_ms)) {
            self.broadcast.settle(*peer);
        }
    }
}
