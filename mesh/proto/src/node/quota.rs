//! How many messages one peer may say. What is more is not taken up: it costs the reading of its bytes,
//! and takes nothing from the others.

/// Messages a second, for ever.
const STEADY: u64 = 1_000;
/// Messages at once, after silence: what a peer says that catches up after an absence.
const BURST: u64 = 16_384;

/// A bucket of tokens, in thousandths of a message.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    thousandths: u64,
    at_ms: u64,
}

impl Quota {
    pub(super) const fn full(mono_ms: u64) -> Self {
        Self { thousandths: BURST * 1_000, at_ms: mono_ms }
    }

    /// Whether one more is taken up.
    pub(super) fn takes(&mut self, mono_ms: u64) -> bool {
        let gained = mono_ms.saturating_sub(self.at_ms).saturating_mul(STEADY);
        self.at_ms = self.at_ms.max(mono_ms);
        self.thousandths = self.thousandths.saturating_add(gained).min(BURST * 1_000);
        match self.thousandths.checked_sub(1_000) {
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
        let mut quota = Quota::full(5_000);
        let mut taken = |mono_ms: u64| (0..100_000).filter(|_| quota.takes(mono_ms)).count() as u64;
        assert_eq!(taken(5_000), BURST);
        assert_eq!(taken(5_000), 0);
        assert_eq!(taken(5_001), 1);
        assert_eq!(taken(6_001), STEADY);
        assert_eq!(taken(5_500), 0, "time does not go back");
        assert_eq!(taken(u64::MAX), BURST, "silence saves up no more than a burst");
    }
}
