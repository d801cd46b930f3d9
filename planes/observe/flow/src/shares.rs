//! How much of a bound each address holds, so that none takes what all share.

use std::net::IpAddr;

use hashbrown::HashMap;

/// What is held, by all and by each address. Ports do not count apart: one sender has as many as it likes.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    all: usize,
    of: HashMap<IpAddr, usize>,
}

impl Shares {
    /// Takes `more` in place of `less`, unless all would then hold more than `most` or `from` more than `most_of_one`;
    /// whether there was room.
    pub(crate) fn take(
        &mut self,
        from: IpAddr,
        (less, more): (usize, usize),
        (most, most_of_one): (usize, usize),
    ) -> bool {
        let own = self.of(from) + more - less;
        let all = self.all + more - less;
        // What takes no more than before is never refused: a restart may come back with smaller bounds.
        if more > less && (all > most || own > most_of_one) {
            return false;
        }
        self.all = all;
        self.set(from, own);
        true
    }

    /// Gives back what `from` held.
    pub(crate) fn give(&mut self, from: IpAddr, less: usize) {
        self.all -= less;
        self.set(from, self.of(from) - less);
    }

    /// What `from` holds.
    fn of(&self, from: IpAddr) -> usize {
        self.of.get(&from).copied().unwrap_or(0)
    }

    fn set(&mut self, from: IpAddr, own: usize) {
        match own {
            0 => drop(self.of.remove(&from)),
            own => drop(self.of.insert(from, own)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_its_share_and_leaves_the_others_theirs() {
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut shares = Shares::default();
        assert!(shares.take(a, (0, 5), (8, 6)));
        assert!(!shares.take(a, (0, 2), (8, 6)), "more than one may have");
        assert!(shares.take(a, (5, 6), (8, 6)));
        assert!(shares.take(b, (0, 2), (8, 6)));
        assert!(!shares.take(b, (0, 1), (8, 6)), "more than all may have");
        shares.give(a, 6);
        assert_eq!((shares.all, shares.of(a), shares.of(b)), (2, 0, 2));
        assert!(shares.take(b, (2, 1), (1, 1)));
        assert_eq!(shares.of.len(), 1, "who holds nothing is forgotten");
    }
}
