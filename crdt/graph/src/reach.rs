//! Which site is down, which link, and whether it is this node that is cut off: judged from what
//! several sites say they reach.
//!
//! One site that does not reach another proves a broken link between the two and no more. A site is
//! down when at least [`WITNESSES`] others tried it and none reaches it. This site is cut off when it
//! tried at least [`WITNESSES`] others and reaches none. Everything else is said to be undecided: with
//! two sites alone nobody can tell which of them fell silent.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{Millis, SiteId};

/// Sites that must agree before a site is called down or this one cut off.
pub const WITNESSES: usize = 2;

/// What one site says of reaching another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// A node of it was heard lately.
    Yes,
    /// It was tried, and no node of it answered.
    No,
    /// It was not tried: that says nothing.
    NotTried,
}

/// What one site reaches, at a time by the clock of the one who judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSight {
    /// Who says it.
    pub by: SiteId,
    /// When it was said; what is older than the judge's limit does not count.
    pub at: Millis,
    /// What it reaches.
    pub reached: BTreeMap<SiteId, Reached>,
}

/// What the views of several sites come to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// This site reaches none of those that it tried.
    CutOff {
        /// The sites that it does not reach.
        unreached: BTreeSet<SiteId>,
    },
    /// No site reaches it, and at least two tried.
    SiteDown {
        /// The site.
        site: SiteId,
        /// Who tried it in vain.
        witnesses: BTreeSet<SiteId>,
    },
    /// Both sites run; at least one of them does not reach the other.
    LinkDown {
        /// Its ends, in order of name.
        ends: (SiteId, SiteId),
        /// Which of the two do not reach the other.
        witnesses: BTreeSet<SiteId>,
        /// Sites that reach both, or the one that others do not.
        reached_by: BTreeSet<SiteId>,
    },
    /// Only one site tried, in vain: the site, the link or the one that tried may have failed.
    Undecided {
        /// The site that is not reached.
        site: SiteId,
        /// The only witness.
        witness: SiteId,
    },
}

impl Verdict {
    /// The kind as it stands in the API.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CutOff { .. } => "cut_off",
            Self::SiteDown { .. } => "site_down",
            Self::LinkDown { .. } => "link_down",
            Self::Undecided { .. } => "undecided",
        }
    }
}

/// Judges what `own` and the views in `heard` say. Views of this site in `heard`, those older than
/// `stale_ms` at `now`, and those of sites that this one does not reach now (they are from before) do
/// not count. The verdicts are in order, without repeats, and the same for any
/// order of `heard`.
pub fn judge_reach(
    own: &SiteSight,
    heard: &[SiteSight],
    now: Millis,
    stale_ms: u64,
) -> Vec<Verdict> {
    let tried = |wanted: Reached| {
        own.reached
            .iter()
            .filter(move |(site, reached)| **site != own.by && **reached == wanted)
            .map(|(site, _)| site.clone())
            .collect::<BTreeSet<SiteId>>()
    };
    let unreached = tried(Reached::No);
    if tried(Reached::Yes).is_empty() && unreached.len() >= WITNESSES {
        // What others last said cannot be told from what they would say now.
        return vec![Verdict::CutOff { unreached }];
    }
    let views = merged(own, heard, now, stale_ms);
    let mut sites: BTreeSet<&SiteId> = views.keys().copied().collect();
    sites.extend(views.values().flat_map(|reached| reached.keys().copied()));
    let mut verdicts = BTreeSet::new();
    for site in sites {
        judge_site(site, &own.by, &views, &mut verdicts);
    }
    verdicts.into_iter().collect()
}

/// What each site says, its nodes' views joined: what one of them reaches is reached.
type Views<'a> = BTreeMap<&'a SiteId, BTreeMap<&'a SiteId, Reached>>;

fn merged<'a>(own: &'a SiteSight, heard: &'a [SiteSight], now: Millis, stale_ms: u64) -> Views<'a> {
    let mut views = Views::new();
    let counts = |sight: &&SiteSight| {
        now.since(sight.at) <= stale_ms && own.reached.get(&sight.by) == Some(&Reached::Yes)
    };
    let others = heard.iter().filter(|sight| sight.by != own.by).filter(counts);
    for sight in std::iter::once(own).chain(others) {
        let of_site = views.entry(&sight.by).or_default();
        for (site, reached) in &sight.reached {
            let known = of_site.entry(site).or_insert(Reached::NotTried);
            *known = match (*known, *reached) {
                (Reached::Yes, _) | (_, Reached::Yes) => Reached::Yes,
                (Reached::No, _) | (_, Reached::No) => Reached::No,
                (Reached::NotTried, Reached::NotTried) => Reached::NotTried,
            };
        }
    }
    views
}

fn judge_site(site: &SiteId, own: &SiteId, views: &Views<'_>, verdicts: &mut BTreeSet<Verdict>) {
    let who = |wanted: Reached| {
        views
            .iter()
            .filter(|(by, reached)| **by != site && reached.get(site) == Some(&wanted))
            .map(|(by, _)| (*by).clone())
            .collect::<BTreeSet<SiteId>>()
    };
    let (reached_by, witnesses) = (who(Reached::Yes), who(Reached::No));
    if site == own || !reached_by.is_empty() {
        for witness in &witnesses {
            verdicts.insert(link_down(site, witness, views, reached_by.clone()));
        }
    } else if witnesses.len() >= WITNESSES {
        verdicts.insert(Verdict::SiteDown { site: site.clone(), witnesses });
    } else if let Some(witness) = witnesses.into_iter().next() {
        verdicts.insert(Verdict::Undecided { site: site.clone(), witness });
    }
}

/// The link as both of its ends see it, so that it is named once.
fn link_down(
    site: &SiteId,
    witness: &SiteId,
    views: &Views<'_>,
    mut reached_by: BTreeSet<SiteId>,
) -> Verdict {
    let says =
        |by: &SiteId, of: &SiteId| views.get(by).and_then(|reached| reached.get(of)).copied();
    let mut witnesses = BTreeSet::from([witness.clone()]);
    if says(site, witness) == Some(Reached::No) {
        witnesses.insert(site.clone());
        let others = views.iter().filter(|(by, _)| **by != site && **by != witness);
        let of_witness = others.filter(|(_, reached)| reached.get(witness) == Some(&Reached::Yes));
        reached_by.extend(of_witness.map(|(by, _)| (*by).clone()));
    }
    let ends = if site < witness { (site, witness) } else { (witness, site) };
    Verdict::LinkDown { ends: (ends.0.clone(), ends.1.clone()), witnesses, reached_by }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STALE_MS: u64 = 30_000;
    const NOW: Millis = Millis(1_000_000);

    fn site(name: &str) -> SiteId {
        name.parse().expect("valid")
    }

    /// `a: +b -c` says that a reaches b and not c.
    fn sight(text: &str) -> SiteSight {
        let (by, rest) = text.split_once(':').expect("a site and what it reaches");
        let reached = rest.split_whitespace().map(|word| {
            let (sign, name) = word.split_at(1);
            (site(name), if sign == "+" { Reached::Yes } else { Reached::No })
        });
        SiteSight { by: site(by), at: NOW, reached: reached.collect() }
    }

    fn judged(own: &str, heard: &[&str]) -> Vec<Verdict> {
        let heard: Vec<SiteSight> = heard.iter().map(|text| sight(text)).collect();
        judge_reach(&sight(own), &heard, NOW, STALE_MS)
    }

    fn set(names: &str) -> BTreeSet<SiteId> {
        names.split_whitespace().map(site).collect()
    }

    #[test]
    fn a_site_that_two_tried_in_vain_is_down() {
        let verdicts = judged("a: +b -c", &["b: +a -c"]);
        assert_eq!(verdicts, [Verdict::SiteDown { site: site("c"), witnesses: set("a b") }]);
    }

    #[test]
    fn a_site_that_one_of_two_reaches_has_a_broken_link() {
        let link = Verdict::LinkDown {
            ends: (site("a"), site("c")),
            witnesses: set("a"),
            reached_by: set("b"),
        };
        assert_eq!(judged("a: +b -c", &["b: +a +c"]), [link]);
        // The other side's own word makes it one link with two witnesses.
        let both = Verdict::LinkDown {
            ends: (site("a"), site("c")),
            witnesses: set("a c"),
            reached_by: set("b"),
        };
        assert_eq!(judged("b: +a +c", &["a: +b -c", "c: +b -a"]), [both]);
    }

    #[test]
    fn who_reaches_nobody_is_cut_off_whatever_was_said_before() {
        let verdicts = judged("a: -b -c", &["b: +a +c", "c: +a +b"]);
        assert_eq!(verdicts, [Verdict::CutOff { unreached: set("b c") }]);
    }

    #[test]
    fn with_one_other_site_nobody_can_tell() {
        let verdicts = judged("a: -b", &[]);
        assert_eq!(verdicts, [Verdict::Undecided { site: site("b"), witness: site("a") }]);
        let verdicts = judged("a: +b -c", &["b: +a"]);
        assert_eq!(verdicts, [Verdict::Undecided { site: site("c"), witness: site("a") }]);
    }

    #[test]
    fn old_views_and_words_about_oneself_by_others_do_not_count() {
        let mut old = sight("b: +a -c");
        old.at = Millis(NOW.0 - STALE_MS - 1);
        let verdicts = judge_reach(&sight("a: +b -c"), &[old], NOW, STALE_MS);
        assert_eq!(verdicts, [Verdict::Undecided { site: site("c"), witness: site("a") }]);
        let verdicts = judged("a: +b -c", &["b: +a -c", "c: +a +b"]);
        let down = Verdict::SiteDown { site: site("c"), witnesses: set("a b") };
        assert_eq!(verdicts, [down], "what c said is from before");
        let verdicts = judged("a: +b +c", &["a: -b -c", "b: +a +c"]);
        assert_eq!(verdicts, [], "a view in this site's name came from elsewhere");
    }

    proptest! {
        /// A healthy site is never called down: whoever one site reaches, or who speaks, runs.
        #[test]
        fn who_is_reached_or_speaks_is_never_down_and_order_does_not_matter(
            reached in prop::collection::vec(prop::collection::vec(0..3_u8, 6), 6),
            turn in 0..6_usize,
        ) {
            let names = ["a", "b", "c", "d", "e", "f"].map(site);
            let sights: Vec<SiteSight> = reached.iter().zip(&names).map(|(row, by)| SiteSight {
                by: by.clone(),
                at: NOW,
                reached: row.iter().zip(&names).filter(|(_, of)| *of != by).map(|(value, of)| {
                    (of.clone(), [Reached::Yes, Reached::No, Reached::NotTried][usize::from(*value)])
                }).collect(),
            }).collect();
            // Three speak, the other three are only spoken of.
            let mut heard = sights[1..3].to_vec();
            let verdicts = judge_reach(&sights[0], &heard, NOW, STALE_MS);
            for verdict in &verdicts {
                if let Verdict::SiteDown { site, witnesses } = verdict {
                    prop_assert!(witnesses.len() >= WITNESSES);
                    let counted = sights[..3].iter().filter(|s| {
                        s.by == names[0] || sights[0].reached.get(&s.by) == Some(&Reached::Yes)
                    });
                    for sight in counted {
                        prop_assert!(sight.by != *site);
                        prop_assert!(sight.reached.get(site) != Some(&Reached::Yes));
                    }
                }
            }
            let turns = turn % heard.len();
            heard.rotate_left(turns);
            prop_assert_eq!(verdicts, judge_reach(&sights[0], &heard, NOW, STALE_MS));
        }
    }
}
