//! How fresh a site's picture is: judged from its lease and its link, never guessed.

use holm_model::{Millis, SiteId};

/// How a site stands to this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SiteState {
    /// This node's own site.
    Here,
    /// Connected, and its lease is young.
    Live,
    /// Heard of, but its lease is older than it should be.
    Stale,
    /// No node of it can be reached now.
    Unreachable,
    /// Known by name only: it has never been heard.
    NeverHeard,
}

impl SiteState {
    /// The state as it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Unreachable => "unreachable",
            Self::NeverHeard => "never_heard",
        }
    }
}

/// One site's freshness, as an answer carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteFreshness {
    /// The site.
    pub site: SiteId,
    /// Everything it holds open was true at this moment, by its own clock.
    pub as_of: Option<Millis>,
    /// How it stands to this node.
    pub state: SiteState,
}

/// What is known of the way to a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It is this node's own site.
    Own,
    /// A connection to one of its nodes is up; when the last message came over it, by this
    /// node's clock.
    Connected {
        /// When it was last heard.
        heard_at: Millis,
    },
    /// No connection is up; when it was last heard, if ever.
    Apart {
        /// When it was last heard.
        heard_at: Option<Millis>,
    },
}

/// From which age on a picture is called old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshnessThresholds {
    /// A lease renewed longer ago than this is stale, in milliseconds. Choose about three times the
    /// interval at which leases are renewed.
    pub stale_after_ms: u64,
    /// A connected site that was silent for longer than this counts as unreachable, in
    /// milliseconds. Choose it above the time in which membership finds a dead peer.
    pub silent_after_ms: u64,
}

impl Default for FreshnessThresholds {
    fn default() -> Self {
        Self { stale_after_ms: 15_000, silent_after_ms: 30_000 }
    }
}

/// Judges `site`. `as_of` is the site's own clock, `heard_at` and `now` are this node's: a lease is
/// aged by when it was *heard*, so a site whose clock is an hour off is not called stale, and its
/// `as_of` is only shown.
pub fn judge_freshness(
    site: SiteId,
    as_of: Option<Millis>,
    link: LinkState,
    now: Millis,
    thresholds: FreshnessThresholds,
) -> SiteFreshness {
    let state = match link {
        LinkState::Own => SiteState::Here,
        LinkState::Apart { heard_at: None } if as_of.is_none() => SiteState::NeverHeard,
        LinkState::Apart { .. } => SiteState::Unreachable,
        LinkState::Connected { heard_at } => {
            let silent_ms = now.since(heard_at);
            if silent_ms > thresholds.silent_after_ms {
                SiteState::Unreachable
            } else if as_of.is_none() || silent_ms > thresholds.stale_after_ms {
                SiteState::Stale
            } else {
                SiteState::Live
            }
        }
    };
    let as_of = if state == SiteState::Here { Some(now) } else { as_of };
    SiteFreshness { site, as_of, state }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(as_of: Option<u64>, link: LinkState, now: u64) -> SiteState {
        let site = SiteId::new("tokyo").expect("valid");
        let thresholds = FreshnessThresholds { stale_after_ms: 10, silent_after_ms: 100 };
        judge_freshness(site, as_of.map(Millis), link, Millis(now), thresholds).state
    }

    #[test]
    fn each_state_has_its_reason() {
        let heard = |at| LinkState::Connected { heard_at: Millis(at) };
        assert_eq!(judge(None, LinkState::Own, 5), SiteState::Here);
        assert_eq!(judge(Some(1), heard(1_000), 1_010), SiteState::Live);
        assert_eq!(judge(Some(1), heard(1_000), 1_011), SiteState::Stale);
        assert_eq!(judge(None, heard(1_000), 1_000), SiteState::Stale);
        assert_eq!(judge(Some(1), heard(1_000), 1_101), SiteState::Unreachable);
        assert_eq!(judge(Some(1), LinkState::Apart { heard_at: None }, 9), SiteState::Unreachable);
        assert_eq!(judge(None, LinkState::Apart { heard_at: None }, 9), SiteState::NeverHeard);
    }

    #[test]
    fn a_clock_that_went_backwards_is_no_reason_to_call_a_site_stale() {
        let link = LinkState::Connected { heard_at: Millis(5_000) };
        assert_eq!(judge(Some(9_000_000), link, 1_000), SiteState::Live);
    }
}
