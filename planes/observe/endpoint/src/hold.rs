//! When a judgement changed and held: one bad sample is no signal.

use crate::Attribution;

/// Samples in a row that say the same before it counts.
pub const IN_A_ROW: u32 = 3;

/// What an endpoint is held to be, from its judgements one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hold {
    held: Option<Attribution>,
    seen: Option<Attribution>,
    count: u32,
}

/// A change that held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// What is over, if something was impaired.
    pub over: Option<Attribution>,
    /// What is impaired now, if something is.
    pub now: Option<Attribution>,
}

impl Hold {
    /// What it is held to be; none before enough samples said the same.
    pub const fn held(&self) -> Option<Attribution> {
        self.held
    }

    /// Takes a judgement. What is not known changes nothing, and is between samples that say the same.
    pub fn take(&mut self, said: Attribution) -> Option<Turn> {
        if said == Attribution::Unknown {
            return None;
        }
        self.count = if self.seen == Some(said) { self.count.saturating_add(1) } else { 1 };
        self.seen = Some(said);
        if self.count < IN_A_ROW || self.held == Some(said) {
            return None;
        }
        let impaired = |of: Attribution| (of != Attribution::None).then_some(of);
        let turn = Turn { over: self.held.and_then(impaired), now: impaired(said) };
        self.held = Some(said);
        (turn.over.is_some() || turn.now.is_some()).then_some(turn)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Attribution::{Isp, Local, None as Fine, Unknown, Wifi};

    #[test]
    fn it_turns_once_after_three_that_say_the_same() {
        let mut hold = Hold::default();
        let turns = |hold: &mut Hold, said: &[Attribution]| -> Vec<Turn> {
            said.iter().filter_map(|said| hold.take(*said)).collect()
        };
        assert_eq!(turns(&mut hold, &[Fine, Fine, Fine, Local, Fine, Local, Local]), []);
        let local = Turn { over: None, now: Some(Local) };
        assert_eq!(turns(&mut hold, &[Unknown, Local, Local, Local]), [local]);
        let moved = Turn { over: Some(Local), now: Some(Isp) };
        assert_eq!(turns(&mut hold, &[Isp, Isp, Isp, Isp]), [moved]);
        assert_eq!(
            turns(&mut hold, &[Fine, Fine, Wifi, Fine, Fine, Fine]),
            [Turn { over: Some(Isp), now: None }]
        );
        assert_eq!(hold.held(), Some(Fine));
    }

    proptest! {
        #[test]
        fn what_is_raised_is_what_is_over_next(said in prop::collection::vec(0_usize..5, 0..200)) {
            let all = [Fine, Wifi, Local, Isp, Unknown];
            let mut hold = Hold::default();
            let mut raised = None;
            for said in said {
                if let Some(turn) = hold.take(all[said]) {
                    prop_assert_eq!(turn.over, raised);
                    prop_assert_ne!(turn.over, turn.now);
                    raised = turn.now;
                }
            }
        }
    }
}
