//! Round trip and clock difference per connected peer, from pings.

use holm_model::Millis;

use crate::{ClockBounds, ClockStamp, Exchange, Now, Taken};

/// From this difference on, the node says whose clock is off.
pub const SKEW_WARNING_MS: u64 = 2_000;

/// What pings say about one peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerClock {
    sequence: u64,
    asked: Option<Asked>,
    rtt_ms: Option<u64>,
    rough_ms: Option<i64>,
    bounds: ClockBounds,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    sequence: u64,
    at: Now,
}

impl PeerClock {
    /// A new question; an unanswered one before it no longer counts.
    pub(crate) const fn ask(&mut self, now: Now) -> u64 {
        self.sequence += 1;
        self.asked = Some(Asked { sequence: self.sequence, at: now });
        self.sequence
    }

    /// A question of the peer, with its clocks as it left.
    pub(crate) fn asked(&mut self, left: ClockStamp, now: Now) -> Option<Taken> {
        Some(self.bounds.pinged(left, now.clock?.raw_ns()))
    }

    /// The answer to a question; whatever was not asked is passed over. `clocks` are the peer's as
    /// the question came and as the answer left.
    pub(crate) fn answered(
        &mut self,
        sequence: u64,
        theirs: Millis,
        clocks: Option<(ClockStamp, ClockStamp)>,
        now: Now,
    ) -> Option<Taken> {
        let asked = self.asked.take_if(|asked| asked.sequence == sequence)?;
        let rtt_ms = now.mono_ms.saturating_sub(asked.at.mono_ms);
        self.rtt_ms = Some(rtt_ms);
        let half_ms = i64::try_from(rtt_ms / 2).unwrap_or(0);
        self.rough_ms = Some(difference(theirs, now.wall).saturating_add(half_ms));
        let (came, left) = clocks?;
        let exchange = Exchange {
            asked_ns: asked.at.clock?.raw_ns(),
            received_ns: came.raw_ns(),
            answered: left,
            back_ns: now.clock?.raw_ns(),
        };
        Some(self.bounds.answered(exchange))
    }

    /// A first, rough estimate: the answerer's clock in its Hello, less an unknown half round trip.
    pub(crate) fn greeted(&mut self, theirs: Millis, now: Now) {
        if self.rough_ms.is_none() {
            self.rough_ms = Some(difference(theirs, now.wall));
        }
    }

    pub(crate) const fn rtt_ms(&self) -> Option<u64> {
        self.rtt_ms
    }

    pub(crate) const fn bounds(&self) -> &ClockBounds {
        &self.bounds
    }

    /// How far the peer's clock is ahead of ours; negative if it is behind. The middle of what is
    /// certain; a rough guess with a peer that says no stamps.
    pub(crate) fn skew_ms(&self, now: Now) -> Option<i64> {
        self.range_ms(now).map(|(least, most)| i64::midpoint(least, most)).or(self.rough_ms)
    }

    /// How far the peer's clock is off for certain, or by a rough guess: the end that is nearer to
    /// none at all.
    fn sure_ms(&self, now: Now) -> Option<i64> {
        let nearest = |(least, most): (i64, i64)| 0.clamp(least, most.max(least));
        self.range_ms(now).map(nearest).or(self.rough_ms)
    }

    fn range_ms(&self, now: Now) -> Option<(i64, i64)> {
        let (least, most) = self.bounds.wall_at(now.clock?)?;
        Some((least.div_euclid(1_000_000), most.div_euclid(1_000_000)))
    }
}

/// What to say about clocks that are off. `all` are the peers' names and clocks.
///
/// When nearly all that can be compared differ to the same side, ours is the one: a node that is told
/// so by its peers does not accuse them.
pub(crate) fn warnings<'a>(
    all: impl Iterator<Item = (String, &'a PeerClock)>,
    now: Now,
) -> Vec<String> {
    let known =
        |(who, clock): (String, &PeerClock)| Some((who, clock.sure_ms(now)?, clock.skew_ms(now)?));
    let mut known: Vec<(String, i64, i64)> = all.filter_map(known).collect();
    let total = known.len();
    let mut lines = Vec::new();
    let skews: Vec<(i64, i64)> = known.iter().map(|(_, sure, skew)| (*sure, *skew)).collect();
    if let Some((middle_ms, count)) = own_skew(&skews) {
        let side = if middle_ms < 0 { "ahead of" } else { "behind" };
        lines.push(format!(
            "this node's clock is about {} s {side} the clocks of {count} of {total} connected nodes: \
             check NTP here",
            grouped(middle_ms.unsigned_abs() / 1_000),
        ));
        known.retain(|(_, sure, _)| !is_off(*sure, middle_ms < 0));
    }
    lines.extend(
        known
            .into_iter()
            .filter_map(|(who, sure_ms, skew_ms)| is_far(sure_ms).then(|| warning(&who, skew_ms))),
    );
    lines
}

/// How far the own clock is ahead of those of most nodes, in milliseconds; 0 if it is not off. `None` if there are
/// too few peers to tell.
pub(crate) fn own_ahead_ms<'a>(all: impl Iterator<Item = &'a PeerClock>, now: Now) -> Option<i64> {
    let known = |clock: &PeerClock| Some((clock.sure_ms(now)?, clock.skew_ms(now)?));
    let known: Vec<(i64, i64)> = all.filter_map(known).collect();
    let off = own_skew(&known).map_or(0, |(middle_ms, _)| middle_ms.saturating_neg());
    (known.len() >= 2).then_some(off)
}

/// The middle of how far the clocks of peers are ahead of ours, and how many they are, if more than half of all nodes
/// that have a say, this one included, are off to the same side. `known`: for certain, and most likely.
fn own_skew(known: &[(i64, i64)]) -> Option<(i64, usize)> {
    [true, false].into_iter().find_map(|ahead| {
        let off = known.iter().filter(|(sure, _)| is_off(*sure, ahead)).map(|(_, skew)| *skew);
        let mut off: Vec<i64> = off.collect();
        if known.len() < 2 || off.len() * 2 <= known.len() + 1 {
            return None;
        }
        off.sort_unstable();
        Some((off[off.len() / 2], off.len()))
    })
}

/// Whether ours is `ahead` of a clock that is off by so much for certain, or else behind it.
const fn is_off(sure_ms: i64, ahead: bool) -> bool {
    is_far(sure_ms) && (sure_ms < 0) == ahead
}

const fn is_far(skew_ms: i64) -> bool {
    skew_ms.unsigned_abs() >= SKEW_WARNING_MS
}

fn warning(who: &str, skew_ms: i64) -> String {
    let seconds = skew_ms.unsigned_abs() / 1_000;
    let side = if skew_ms > 0 { "ahead of" } else { "behind" };
    format!("clock of {who} is {} s {side} this node's: check NTP at both", grouped(seconds))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn difference(theirs: Millis, ours: Millis) -> i64 {
    let ahead = i128::from(theirs.0) - i128::from(ours.0);
    let bound = i128::from(i64::MAX / 4);
    i64::try_from(ahead.clamp(-bound, bound)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_an_hour_ahead_is_named() {
        let mut clock = PeerClock::default();
        let at = |mono_ms| Now::plain(mono_ms, Millis(1_000_000 + mono_ms));
        let sequence = clock.ask(at(0));
        clock.answered(sequence + 1, Millis(7), None, at(50));
        assert_eq!(clock.skew_ms(at(50)), None, "an answer to nothing is passed over");
        clock.answered(sequence, Millis(1_000_000 + 50 + 3_600_000), None, at(100));
        assert_eq!(clock.rtt_ms(), Some(100));
        assert_eq!(clock.skew_ms(at(100)), Some(3_600_000));
        let lines = warnings(std::iter::once(("tokyo/a".to_owned(), &clock)), at(100));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("tokyo/a is 3,600 s ahead"), "{lines:?}");
    }

    fn off_by(ms: i64) -> PeerClock {
        let mut clock = PeerClock::default();
        let theirs = Millis(10_000_000_u64.saturating_add_signed(ms));
        clock.greeted(theirs, Now::plain(0, Millis(10_000_000)));
        clock
    }

    fn said(skews_ms: &[i64]) -> Vec<String> {
        let clocks: Vec<PeerClock> = skews_ms.iter().map(|ms| off_by(*ms)).collect();
        let named = clocks.iter().enumerate().map(|(nth, clock)| (format!("site-{nth}/a"), clock));
        warnings(named, Now::plain(0, Millis(10_000_000)))
    }

    #[test]
    fn a_node_that_differs_from_all_others_says_so_of_itself() {
        assert!(said(&[100, -900, 1_999]).is_empty());
        let lines = said(&[-60_000, -61_000, -62_000, 5]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("this node's clock is about 61 s ahead of the clocks of 3 of 4")
        );
        let lines = said(&[7_000, 7_000]);
        assert!(lines.len() == 1 && lines[0].contains("about 7 s behind"), "{lines:?}");
    }

    #[test]
    fn nobody_is_judged_by_a_minority() {
        // One against one, two against two, and liars to either side.
        assert!(said(&[5_000])[0].starts_with("clock of site-0/a is 5 s ahead"));
        assert_eq!(said(&[5_000, 5_000, 0]).len(), 2);
        let lines = said(&[9_000, -9_000, 0, 0]);
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.starts_with("clock of")), "{lines:?}");
    }

    #[test]
    fn hostile_times_do_not_overflow() {
        let mut clock = PeerClock::default();
        let sequence = clock.ask(Now::plain(0, Millis(0)));
        let late = Now::plain(u64::MAX, Millis(0));
        clock.answered(sequence, Millis(u64::MAX), None, late);
        assert!(clock.skew_ms(late).expect("answered") > 0);
        let lines = warnings(std::iter::repeat_n(("x".to_owned(), &clock), 3), late);
        assert_eq!(lines.len(), 1);
    }
}
