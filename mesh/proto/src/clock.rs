//! Round trip and clock difference per connected peer, from pings.

use holm_model::Millis;

use crate::Now;

/// From this difference on, the node says whose clock is off.
pub const SKEW_WARNING_MS: u64 = 2_000;

/// What pings say about one peer.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerClock {
    sequence: u64,
    asked: Option<Asked>,
    rtt_ms: Option<u64>,
    skew_ms: Option<i64>,
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

    /// The answer to a question; whatever was not asked is passed over.
    pub(crate) fn answered(&mut self, sequence: u64, theirs: Millis, now: Now) {
        let Some(asked) = self.asked.take_if(|asked| asked.sequence == sequence) else { return };
        let rtt_ms = now.mono_ms.saturating_sub(asked.at.mono_ms);
        self.rtt_ms = Some(rtt_ms);
        let half_ms = i64::try_from(rtt_ms / 2).unwrap_or(0);
        self.skew_ms = Some(difference(theirs, now.wall).saturating_add(half_ms));
    }

    /// A first, rough estimate: the answerer's clock in its Hello, less an unknown half round trip.
    pub(crate) fn greeted(&mut self, theirs: Millis, now: Now) {
        if self.skew_ms.is_none() {
            self.skew_ms = Some(difference(theirs, now.wall));
        }
    }

    pub(crate) const fn rtt_ms(&self) -> Option<u64> {
        self.rtt_ms
    }

    /// How far the peer's clock is ahead of ours; negative if it is behind.
    pub(crate) const fn skew_ms(&self) -> Option<i64> {
        self.skew_ms
    }
}

/// What to say about a clock that is off, or `None` if it is near enough.
pub(crate) fn warning(who: &str, skew_ms: i64) -> Option<String> {
    if skew_ms.unsigned_abs() < SKEW_WARNING_MS {
        return None;
    }
    let seconds = skew_ms.unsigned_abs() / 1_000;
    let side = if skew_ms > 0 { "ahead of" } else { "behind" };
    Some(format!("clock of {who} is {} s {side} this node's: check NTP at both", grouped(seconds)))
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
        let at = |mono_ms| Now { mono_ms, wall: Millis(1_000_000 + mono_ms) };
        let sequence = clock.ask(at(0));
        clock.answered(sequence + 1, Millis(7), at(50));
        assert_eq!(clock.skew_ms(), None, "an answer to nothing is passed over");
        clock.answered(sequence, Millis(1_000_000 + 50 + 3_600_000), at(100));
        assert_eq!(clock.rtt_ms(), Some(100));
        assert_eq!(clock.skew_ms(), Some(3_600_000));
        let text = warning("tokyo/a", 3_600_000).expect("an hour is worth a warning");
        assert!(text.contains("tokyo/a is 3,600 s ahead"), "{text}");
        assert_eq!(warning("tokyo/a", -900), None);
    }

    #[test]
    fn hostile_times_do_not_overflow() {
        let mut clock = PeerClock::default();
        let now = Now { mono_ms: 0, wall: Millis(0) };
        let sequence = clock.ask(now);
        clock.answered(sequence, Millis(u64::MAX), Now { mono_ms: u64::MAX, wall: Millis(0) });
        assert!(clock.skew_ms().expect("answered") > 0);
        assert!(warning("x", i64::MIN).is_some());
    }
}
