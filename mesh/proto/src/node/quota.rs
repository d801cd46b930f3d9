//! How many messages one peer may say. What is more is not taken up: it costs the reading of its bytes,
//! and takes nothing from the others.

/// Messages a second, for ever.
const STEADY: u64 = 1_000;
/// Messages at once, after silence: what a peer says that catches up after an absence.
const BURST: u64 = 16_384;

/// A bucket of tokens, in thousandths of a message.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    burst: u64,
    steady: u64,
    thousandths: u64,
    at_ms: u64,
}

impl Quota {
    /// That of messages.
    pub(super) const fn of_messages(mono_ms: u64) -> Self {
        Self::full(BURST, STEADY, mono_ms)
    }

    /// `burst` at once, and `steady` a second.
    pub(super) const fn full(burst: u64, steady: u64, mono_ms: u64) -> Self {
        Self { burst, steady, thousandths: burst * 1_000, at_ms: mono_ms }
    }

    /// Whether so many more are taken up.
    pub(super) fn takes(&mut self, count: u64, mono_ms: u64) -> bool {
        let gained = mono_ms.saturating_sub(self.at_ms).saturating_mul(self.steady);
        self.at_ms = self.at_ms.max(mono_ms);
        self.thousandths = self.thousandths.saturating_add(gained).min(self.burst * 1_000);
        match self.thousandths.checked_sub(count.saturating_mul(1_000)) {
            Some(left) => {
                self.thousandths = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second() {
        let mut quota = Quota::of_messages(5_000);
        let mut taken =
            |mono_ms: u64| (0..100_000).filter(|_| quota.takes(1, mono_ms)).count() as u64;
        assert_eq!(taken(5_000), BURST);
        assert_eq!(taken(5_000), 0);
        assert_eq!(taken(5_001), 1);
        assert_eq!(taken(6_001), STEADY);
        assert_eq!(taken(5_500), 0, "time does not go back");
        assert_eq!(taken(u64::MAX), BURST, "silence saves up no more than a burst");
    }
}
