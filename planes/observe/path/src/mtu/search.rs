//! Which size to try next, given what became of those before. No I/O.
//!
//! A router that cannot pass a packet on says the MTU of its next link (RFC 1191 §4, RFC 8201 §4): that
//! size is tried, and one byte more, since the message may be forged or wrong. Where no message comes the
//! size is found by trying (RFC 4821 §7): first between the sizes that links have, then byte by byte.

use std::net::IpAddr;

/// How often a size is tried before it counts as too large.
const ATTEMPTS: u32 = 3;
/// Most packets of one search.
pub(super) const MAX_PACKETS: u32 = 150;
/// IP's largest packet without jumbograms.
const LARGEST: u32 = 65_535;
/// What links and tunnels have: Ethernet with and without jumbo frames, PPPoE, GRE, IPsec, WireGuard,
/// IPv6's least, SLIP; the plateaus of RFC 1191 §7.1 among them.
const COMMON: [u32; 25] = [
    296, 508, 576, 1_006, 1_280, 1_300, 1_320, 1_340, 1_360, 1_380, 1_400, 1_412, 1_420, 1_430,
    1_440, 1_450, 1_460, 1_472, 1_476, 1_480, 1_492, 1_500, 4_352, 9_000, 9_216,
];

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The target answered it.
    Answered,
    /// A router says that its next link takes no more than `mtu` bytes; 0 where it does not say.
    TooBig {
        /// Who says so.
        from: IpAddr,
        /// The MTU in bytes.
        mtu: u32,
    },
    /// It is longer than this machine's own link takes; 0 where the kernel does not say how much.
    Local(u32),
    /// Nothing came back in time.
    Lost,
}

/// By what the path MTU is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The way takes all that this machine's own link does.
    Link,
    /// A router said so, and it holds.
    Told,
    /// By trying: longer packets vanish without a word.
    Searched,
}

impl How {
    /// As it stands in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Told => "told",
            Self::Searched => "searched",
        }
    }
}

/// What a search found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Largest packet that got through, with its IP header, in bytes.
    pub mtu: u32,
    /// By what.
    pub how: How,
    /// Who said so.
    pub hop: Option<IpAddr>,
    /// Messages of routers that were not true.
    pub lies: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Whether the target answers at all.
    Floor,
    /// What this machine's link takes.
    Top,
    /// What a router said.
    Told,
    /// One byte more than that.
    Check,
    /// In between.
    Between,
    Done,
}

/// A search for the path MTU.
#[derive(Debug, Clone)]
pub struct Search {
    step: Step,
    size: u32,
    attempts: u32,
    packets: u32,
    /// Largest size that was answered; 0 before the first.
    low: u32,
    /// Smallest size that is too large, as far as is known by trying.
    high: u32,
    top: u32,
    told: Option<(IpAddr, u32)>,
    believes: bool,
    lies: u32,
    one_more: bool,
    how: How,
}

impl Search {
    /// A search over IPv4 or IPv6.
    pub fn new(v6: bool) -> Self {
        // RFC 791 §3.2; RFC 8200 §5.
        let floor = if v6 { 1_280 } else { 68 };
        Self {
            step: Step::Floor,
            size: floor,
            attempts: 0,
            packets: 0,
            low: 0,
            high: LARGEST + 1,
            top: LARGEST,
            told: None,
            believes: true,
            lies: 0,
            one_more: false,
            how: How::Searched,
        }
    }

    /// The size of the next packet in bytes, with its IP header; `None` when the search is over.
    pub fn next(&self) -> Option<u32> {
        (self.step != Step::Done).then_some(self.size)
    }

    /// Takes what became of the packet that [`Self::next`] asked for.
    pub fn heard(&mut self, verdict: Verdict) {
        if self.step == Step::Done {
            return;
        }
        self.packets += 1;
        if self.packets >= MAX_PACKETS {
            self.step = Step::Done;
            return;
        }
        match verdict {
            Verdict::Lost => {
                self.attempts += 1;
                if self.attempts >= ATTEMPTS {
                    self.attempts = 0;
                    self.failed();
                }
                return;
            }
            Verdict::Answered => self.answered(),
            Verdict::Local(mtu) => {
                self.top = if mtu > self.low && mtu < self.size { mtu } else { self.size - 1 };
                self.high = self.top + 1;
                self.local(mtu);
            }
            Verdict::TooBig { from, mtu } => self.told(from, mtu),
        }
        self.attempts = 0;
    }

    /// What was found; `None` while nothing was answered.
    pub fn found(&self) -> Option<Found> {
        let hop = self.told.filter(|_| self.how == How::Told).map(|(from, _)| from);
        (self.low > 0).then_some(Found { mtu: self.low, how: self.how, hop, lies: self.lies })
    }

    /// Who said that a packet was too large, whether or not the size was right.
    pub fn teller(&self) -> Option<IpAddr> {
        self.told.map(|(from, _)| from)
    }

    fn answered(&mut self) {
        self.low = self.low.max(self.size);
        match self.step {
            Step::Floor => self.go(Step::Top, LARGEST),
            Step::Top => self.end(How::Link),
            // At the size of the link there is nothing to check.
            Step::Told if self.size + 1 >= self.high.min(self.top + 1) => self.end(How::Told),
            Step::Told => self.go(Step::Check, self.size + 1),
            Step::Check => {
                // It takes more than the router said: nobody is believed any more.
                self.lies += 1;
                self.believes = false;
                self.told = None;
                self.between();
            }
            Step::Between if self.low >= self.top => self.end(How::Link),
            Step::Between | Step::Done => self.between(),
        }
    }

    fn failed(&mut self) {
        match self.step {
            Step::Floor => self.step = Step::Done,
            Step::Check => self.end(How::Told),
            Step::Top | Step::Told | Step::Between | Step::Done => {
                self.high = self.high.min(self.size);
                self.between();
            }
        }
    }

    fn local(&mut self, mtu: u32) {
        if self.step == Step::Floor {
            self.step = Step::Done;
        } else if mtu == 0 || self.step != Step::Top {
            self.between();
        } else {
            self.go(Step::Top, self.top);
        }
    }

    fn told(&mut self, from: IpAddr, mtu: u32) {
        if self.step == Step::Floor {
            // Less than every link must take: there is no such link.
            self.attempts += 1;
            if self.attempts >= ATTEMPTS {
                self.step = Step::Done;
            }
            return;
        }
        if self.step == Step::Check {
            return self.end(How::Told);
        }
        if self.believes && mtu > self.low && mtu < self.size {
            self.told = Some((from, mtu));
            return self.go(Step::Told, mtu);
        }
        if self.believes && mtu == self.low && self.told.is_none() {
            self.told = Some((from, mtu));
            return self.end(How::Told);
        }
        // Old routers say 0 (RFC 1191 §5), and IPv6 has no less than its least (RFC 8201 §4): that there
        // is such a link is still said.
        if self.believes {
            self.told = Some((from, mtu));
        }
        self.failed();
    }

    fn between(&mut self) {
        if self.low + 1 >= self.high {
            let how = if self.low >= self.top { How::Link } else { How::Searched };
            return self.end(how);
        }
        let common: Vec<u32> =
            COMMON.into_iter().filter(|size| (self.low + 1..self.high).contains(size)).collect();
        let size = if let Some(size) = common.get(common.len() / 2) {
            *size
        } else if !self.one_more {
            // What was found last is most likely it.
            self.one_more = true;
            self.low + 1
        } else {
            self.low + (self.high - self.low) / 2
        };
        self.go(Step::Between, size);
    }

    fn go(&mut self, step: Step, size: u32) {
        (self.step, self.size) = (step, size);
    }

    fn end(&mut self, how: How) {
        (self.step, self.how) = (Step::Done, how);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTER: [u8; 4] = [10, 0, 0, 1];

    /// What a link says of packets that are too large for it.
    #[derive(Debug, Clone, Copy)]
    enum Says {
        Mtu,
        Nothing,
        Zero,
    }

    /// Packets through links one after the other.
    fn verdict(size: u32, links: &[(u32, Says)]) -> Verdict {
        for (index, (mtu, says)) in (0_u8..).zip(links) {
            if size > *mtu {
                let from = IpAddr::from([10, 0, 0, index]);
                return match says {
                    _ if index == 0 => Verdict::Local(*mtu),
                    Says::Mtu => Verdict::TooBig { from, mtu: *mtu },
                    Says::Zero => Verdict::TooBig { from, mtu: 0 },
                    Says::Nothing => Verdict::Lost,
                };
            }
        }
        Verdict::Answered
    }

    fn search(v6: bool, links: &[(u32, Says)]) -> (Search, u32) {
        let mut search = Search::new(v6);
        let mut packets = 0;
        while let Some(size) = search.next() {
            packets += 1;
            search.heard(verdict(size, links));
        }
        (search, packets)
    }

    #[test]
    fn the_narrowest_link_is_found() {
        use Says::{Mtu, Nothing, Zero};
        for (links, mtu, how, packets) in [
            (&[(1_500, Mtu)][..], 1_500, How::Link, 3),
            (&[(1_500, Mtu), (1_400, Mtu)], 1_400, How::Told, 5),
            (&[(9_000, Mtu), (1_500, Mtu), (1_380, Mtu)], 1_380, How::Told, 6),
            (&[(1_500, Mtu), (1_400, Nothing)], 1_400, How::Searched, 24),
            (&[(1_500, Mtu), (1_437, Nothing)], 1_437, How::Searched, 36),
            (&[(1_500, Mtu), (1_400, Zero)], 1_400, How::Searched, 12),
            (&[(1_500, Mtu), (1_450, Mtu), (1_400, Nothing)], 1_400, How::Searched, 30),
            (&[(65_536, Mtu)], 65_535, How::Link, 2),
        ] {
            let (search, sent) = search(false, links);
            let found = search.found().expect("it answers");
            assert_eq!((found.mtu, found.how, found.lies), (mtu, how, 0), "{links:?}");
            assert!(sent <= packets, "{links:?}: {sent} packets");
        }
        let (told, _) = search(false, &[(1_500, Mtu), (1_400, Mtu)]);
        assert_eq!(told.found().and_then(|found| found.hop), Some(IpAddr::from(ROUTER)));
    }

    #[test]
    fn a_message_that_is_not_true_is_found_out() {
        let mut search = Search::new(true);
        while let Some(size) = search.next() {
            search.heard(match size {
                // Forged for every large packet, which gets there all the same: the first word counts.
                1_500 => Verdict::TooBig { from: IpAddr::from(ROUTER), mtu: 1_300 },
                size if size > 1_500 => Verdict::Local(1_500),
                _ => Verdict::Answered,
            });
        }
        let found = search.found().expect("it answers");
        assert_eq!((found.lies, found.how), (1, How::Searched));
        assert!(found.mtu >= 1_499, "{found:?}");
    }

    #[test]
    fn a_target_that_does_not_answer_has_no_path_mtu() {
        let (search, packets) = search(false, &[(1_500, Says::Mtu), (10, Says::Nothing)]);
        assert_eq!((search.found(), packets), (None, ATTEMPTS));
    }

    fn says() -> impl Strategy<Value = Says> {
        prop_oneof![Just(Says::Mtu), Just(Says::Nothing), Just(Says::Zero)]
    }

    proptest! {
        #[test]
        fn without_losses_it_is_the_least_link(
            v6 in any::<bool>(), top in 1_280_u32..70_000, links in prop::collection::vec((1_280_u32..70_000, says()), 0..5),
        ) {
            let links: Vec<(u32, Says)> = std::iter::once((top, Says::Mtu)).chain(links).collect();
            let (search, packets) = search(v6, &links);
            let least = links.iter().map(|(mtu, _)| *mtu).min().expect("one").min(LARGEST);
            prop_assert_eq!(search.found().map(|found| found.mtu), Some(least));
            prop_assert!(packets < MAX_PACKETS);
        }

        #[test]
        fn whatever_is_heard_it_ends_with_a_size_that_was_answered(
            v6 in any::<bool>(),
            heard in prop::collection::vec((0_u8..4, prop_oneof![Just(0_u32), 1_u32..2_000, any::<u32>()]), 0..200),
        ) {
            let mut search = Search::new(v6);
            let mut answered = std::collections::BTreeSet::new();
            let mut heard = heard.into_iter();
            let mut packets = 0;
            while let Some(size) = search.next() {
                prop_assert!((68..=LARGEST).contains(&size), "{size}");
                packets += 1;
                prop_assert!(packets <= MAX_PACKETS);
                search.heard(match heard.next() {
                    Some((0, _)) => { answered.insert(size); Verdict::Answered }
                    Some((1, mtu)) => Verdict::TooBig { from: IpAddr::from(ROUTER), mtu },
                    Some((2, mtu)) => Verdict::Local(mtu),
                    _ => Verdict::Lost,
                });
            }
            match search.found() {
                Some(found) => prop_assert!(answered.contains(&found.mtu), "{found:?}"),
                None => prop_assert!(answered.is_empty()),
            }
        }
    }
}
