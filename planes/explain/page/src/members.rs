//! Who may deliver, and who does: a choice that nodes make alike without talking.
//!
//! The node that delivers is chosen by rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings
//! to Increase Hit Rates", 1998): of all candidates the one with the highest hash of incident, connector and
//! node. Who is a candidate follows a node's view of the mesh slowly: one that comes must stay for
//! [`JOIN_MS`], one that goes must be away for [`HOLD_MS`], and while somebody is coming nobody takes what
//! that one would get.

use std::collections::BTreeMap;

use holm_model::{Millis, NodeName, SiteId};

/// How long a node must be gone until another takes its place, in milliseconds.
pub const HOLD_MS: u64 = 30_000;
/// How long a node must be there until it is counted on, in milliseconds.
pub const JOIN_MS: u64 = 10_000;
/// How long a node that starts, and knows of others, waits after it hears the first of them, in milliseconds:
/// it learns meanwhile what they delivered, and who is away for a moment, as long as the others wait for that
/// one.
pub const START_MS: u64 = HOLD_MS;
/// Most nodes that are followed; further ones are no candidates.
const MAX_FOLLOWED: usize = 8_192;

/// A node that may deliver.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pager {
    /// Its site.
    pub site: SiteId,
    /// Its name there.
    pub node: NodeName,
}

impl std::fmt::Display for Pager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.site, self.node)
    }
}

/// The one of `pagers` that delivers what is said of an incident by a connector.
pub fn elect<'a>(
    incident: &str,
    connector: &str,
    pagers: impl IntoIterator<Item = &'a Pager>,
) -> Option<&'a Pager> {
    let weight = |pager: &Pager| {
        let mut hasher = blake3::Hasher::new_derive_key("holm pager v1");
        for part in [incident, connector, pager.site.as_str(), pager.node.as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        *hasher.finalize().as_bytes()
    };
    pagers.into_iter().max_by_key(|pager| (weight(pager), *pager))
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Since when it has been live without a break, or away without a break.
    since: Millis,
    live: bool,
    candidate: bool,
}

/// Who is there, as this node sees it.
#[derive(Debug)]
pub struct Members {
    own: Pager,
    started: Millis,
    /// Others exist, though they may not be heard now.
    others_known: bool,
    heard_first: Option<Millis>,
    seen: BTreeMap<Pager, Seen>,
}

impl Members {
    /// At a node that starts.
    pub fn new(own: Pager, now: Millis) -> Self {
        let (heard_first, seen) = (None, BTreeMap::new());
        Self { own, started: now, others_known: false, heard_first, seen }
    }

    /// This node begins to page only now, though it has been there: it waits as if it started.
    pub fn restart(&mut self, now: Millis) {
        (self.started, self.heard_first) = (now, None);
    }

    /// This node.
    pub fn own(&self) -> &Pager {
        &self.own
    }

    /// Takes who is live now beside this node. `others_known`: whether there are others at all.
    pub fn update(
        &mut self,
        live: impl IntoIterator<Item = Pager>,
        others_known: bool,
        now: Millis,
    ) {
        self.others_known |= others_known;
        // A clock that was set back must not hold anybody for long.
        self.started = self.started.min(now);
        let mut here: std::collections::BTreeSet<Pager> =
            live.into_iter().filter(|pager| *pager != self.own).collect();
        if !here.is_empty() {
            self.others_known = true;
            let first = self.heard_first.get_or_insert(now);
            *first = (*first).min(now);
        }
        for (pager, seen) in &mut self.seen {
            let live = here.remove(pager);
            if live != seen.live {
                (seen.live, seen.since) = (live, now);
            }
            seen.since = seen.since.min(now);
            let long = now.since(seen.since);
            if seen.live && long >= JOIN_MS {
                seen.candidate = true;
            } else if !seen.live && long >= HOLD_MS {
                seen.candidate = false;
            }
        }
        // One that left before it was counted on may be back, and have taken what is its own meanwhile.
        let lately = |seen: &Seen| now.since(seen.since) < HOLD_MS;
        self.seen.retain(|_, seen| seen.live || seen.candidate || lately(seen));
        let room = MAX_FOLLOWED.saturating_sub(self.seen.len());
        for pager in here.into_iter().take(room) {
            self.seen.insert(pager, Seen { since: now, live: true, candidate: false });
        }
    }

    /// Whether this node may deliver: one that starts waits until it has heard what others did.
    pub fn is_ready(&self, now: Millis) -> bool {
        match (self.others_known, self.heard_first) {
            (false, _) => true,
            (true, Some(first)) => now.since(first) >= START_MS,
            (true, None) => now.since(self.started) >= HOLD_MS,
        }
    }

    /// All candidates.
    pub fn candidates(&self, now: Millis) -> Vec<&Pager> {
        let others = self.seen.iter().filter(|(_, seen)| seen.candidate).map(|(pager, _)| pager);
        let own = self.is_ready(now).then_some(&self.own);
        own.into_iter().chain(others).collect()
    }

    /// Who is coming and no candidate yet, or was a moment ago.
    pub fn joining(&self) -> impl Iterator<Item = &Pager> {
        let joining = self.seen.iter().filter(|(_, seen)| !seen.candidate);
        joining.map(|(pager, _)| pager)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn pager(number: usize) -> Pager {
        let site = ["berlin", "tokyo", "lima", "oslo"][number];
        Pager { site: site.parse().expect("valid"), node: "n1".parse().expect("valid") }
    }

    #[test]
    fn members_follow_the_view_slowly() {
        let mut members = Members::new(pager(0), Millis(0));
        assert!(members.is_ready(Millis(0)), "alone");
        let mut at = |live: &[usize], now: u64| {
            members.update(live.iter().map(|n| pager(*n)), false, Millis(now));
            let found = members.candidates(Millis(now));
            found.into_iter().map(|p| p.site.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(at(&[1], 1_000), "", "it has heard somebody, and waits for what that one knows");
        assert_eq!(at(&[1], 11_000), "tokyo");
        assert_eq!(at(&[1], 31_000), "berlin tokyo");
        assert_eq!(at(&[], 32_000), "berlin tokyo", "for a moment");
        assert_eq!(at(&[1], 40_000), "berlin tokyo");
        assert_eq!(at(&[], 41_000), "berlin tokyo");
        assert_eq!(at(&[], 70_999), "berlin tokyo");
        assert_eq!(at(&[], 71_000), "berlin");
        assert_eq!(at(&[1, 2], 72_000), "berlin");
        assert_eq!(at(&[2], 81_000), "berlin", "tokyo left before it counted");
        assert_eq!(at(&[1, 2], 82_000), "berlin lima");
        assert_eq!(members.joining().map(|p| p.site.as_str()).collect::<Vec<_>>(), ["tokyo"]);
    }

    #[test]
    fn one_that_starts_cut_off_waits_and_goes_on_alone() {
        let mut members = Members::new(pager(0), Millis(0));
        members.update([], true, Millis(10));
        assert!(!members.is_ready(Millis(HOLD_MS - 1)));
        assert!(members.is_ready(Millis(HOLD_MS)));
    }

    #[test]
    fn who_leaves_moves_only_what_was_its_own() {
        let all = [pager(0), pager(1), pager(2)];
        let mut load = [0; 3];
        for incident in (0..300).map(|n| format!("i-{n}")) {
            let chosen = elect(&incident, "ops", &all).expect("one");
            load[all.iter().position(|p| p == chosen).expect("of them")] += 1;
            let without = elect(&incident, "ops", &all[..2]);
            assert!(*chosen == all[2] || without == Some(chosen));
        }
        assert!(load.iter().all(|n| *n > 60), "{load:?}");
        assert_eq!(elect("i-1", "ops", []), None);
    }
}
