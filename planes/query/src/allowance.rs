//! How many bytes the questions of one tenant may gather from sites: so many a second, saved up for a while. Pure, with the
//! time as an argument.

/// What comes in, in bytes a second.
const PER_SECOND: f64 = (32 << 20) as f64;
/// What is saved up at most.
const MOST: f64 = (1 << 30) as f64;

/// What a tenant has left.
#[derive(Debug)]
pub(crate) struct Allowance {
    level: f64,
    at_ms: u64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { level: MOST, at_ms: 0 }
    }
}

impl Allowance {
    /// Whether a question may begin: after how many seconds it may if not now.
    pub(crate) fn may_begin(&mut self, now_ms: u64) -> Result<(), u64> {
        let passed = now_ms.saturating_sub(self.at_ms) as f64 / 1_000.0;
        self.at_ms = self.at_ms.max(now_ms);
        self.level = (self.level + passed * PER_SECOND).min(MOST);
        if self.level >= 0.0 {
            return Ok(());
        }
        Err((-self.level / PER_SECOND).ceil() as u64)
    }

    /// A question gathered so much: what is beyond what was saved has to come in before the next.
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.level -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gathered_too_much_waits_until_it_has_come_in() {
        let mut allowance = Allowance::default();
        for _ in 0..16 {
            assert_eq!(allowance.may_begin(1_000), Ok(()));
            allowance.spend(64 << 20);
        }
        assert_eq!(allowance.may_begin(1_000), Ok(()), "all is spent, and no more");
        allowance.spend(64 << 20);
        assert_eq!(allowance.may_begin(1_000), Err(2));
        assert_eq!(allowance.may_begin(2_999), Err(1));
        assert_eq!(allowance.may_begin(3_000), Ok(()));
        assert_eq!(allowance.may_begin(900_000), Ok(()));
        allowance.spend(1 << 30);
        assert_eq!(allowance.may_begin(900_000), Ok(()), "no more is saved than that");
    }
}
