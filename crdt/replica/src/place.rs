//! Where in a site's history a topology document stands: which epoch, which part of the elements.
//!
//! Shards are the nodes of a binary tree over the hash of the element's id: 0 is all, and the halves of
//! shard `n` are `2n + 1` and `2n + 2`. Of two documents that overlap, the later is the one of the later
//! epoch, in one epoch the one of the deeper shard. So no two that overlap are equally late.

use holm_model::{ElementId, Millis};

/// Most halvings that a writer makes.
pub(crate) const MAX_DEPTH: u32 = 20;

/// A part of all elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shard(pub(crate) u32);

impl Shard {
    /// All elements.
    pub(crate) const WHOLE: Self = Self(0);

    pub(crate) fn depth(self) -> u32 {
        self.rank().ilog2()
    }

    /// Whether the element with this hash belongs here.
    pub(crate) fn covers(self, hash: u64) -> bool {
        let depth = self.depth();
        depth == 0 || (1 << depth) | (hash >> (64 - depth)) == self.rank()
    }

    /// Whether every element of `other` belongs here.
    pub(crate) fn contains(self, other: Self) -> bool {
        let below = other.depth().checked_sub(self.depth());
        below.is_some_and(|below| other.rank() >> below == self.rank())
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }

    /// The two halves; none at the greatest depth.
    pub(crate) fn halves(self) -> Option<[Self; 2]> {
        if self.depth() >= MAX_DEPTH {
            return None;
        }
        Some([Self(2 * self.0 + 1), Self(2 * self.0 + 2)])
    }

    /// Whether `parts` together hold all of it. Each part is looked at once for each of its halvings,
    /// whoever chose them.
    pub(crate) fn is_covered_by(self, parts: &[Self]) -> bool {
        if parts.iter().any(|p| p.contains(self)) {
            return true;
        }
        let within: Vec<Self> = parts.iter().copied().filter(|p| self.contains(*p)).collect();
        !within.is_empty()
            && self.halves().is_some_and(|halves| halves.iter().all(|h| h.is_covered_by(&within)))
    }

    /// Its number in the tree, counted from 1.
    fn rank(self) -> u64 {
        u64::from(self.0) + 1
    }
}

/// The hash of an element's id, which says to what shards it belongs.
pub(crate) fn shard_hash(id: &ElementId) -> u64 {
    shard_hash_of(&id.to_string())
}

/// As [`shard_hash`], of the id as text.
pub(crate) fn shard_hash_of(id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("holm element shard v1");
    hasher.update(id.as_bytes());
    let mut hash = [0; 8];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(hash)
}

/// A document's place within its site. Of two that overlap the greater one is the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    pub(crate) shard: Shard,
}

impl Place {
    /// Where every site begins.
    pub(crate) const FIRST: Self = Self { epoch: 0, shard: Shard::WHOLE };
    /// Later than any document: all elements.
    pub(crate) const END: Self = Self { epoch: u64::MAX, shard: Shard::WHOLE };
    /// Whether `bases` that are later cover all of it.
    pub(crate) fn is_left(self, bases: &[Self]) -> bool {
        let later = bases.iter().filter(|base| **base > self).map(|base| base.shard);
        self.shard.is_covered_by(&later.collect::<Vec<_>>())
    }

    /// The last epoch that may be at `now`. No site begins a million of them, nor then one a minute. A
    /// peer that forges later ones does not end a site's history: with time there is a next one.
    pub(crate) fn last_epoch(now: Millis) -> u64 {
        (1 << 20) + (now.0 >> 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_element_is_in_one_half(hash in any::<u64>(), n in 0u32..1_000) {
            let shard = Shard(n);
            let [left, right] = shard.halves().expect("not deep");
            prop_assert_eq!(shard.covers(hash), left.covers(hash) != right.covers(hash));
            prop_assert!(!(left.covers(hash) && right.covers(hash)));
            prop_assert!(shard.contains(left) && shard.contains(right) && !left.overlaps(right));
            prop_assert!(shard.is_covered_by(&[right, left]) && !shard.is_covered_by(&[left]));
        }

        #[test]
        fn parts_cover_what_their_elements_cover(
            n in 0u32..15, parts in proptest::collection::vec((0u32..127).prop_map(Shard), 0..12),
        ) {
            let shard = Shard(n);
            let hashes = (0..256_u64).map(|i| i << 56).filter(|h| shard.covers(*h));
            let all = { hashes }.all(|hash| parts.iter().any(|p| p.covers(hash)));
            prop_assert_eq!(shard.is_covered_by(&parts), all);
        }
    }

    #[test]
    fn the_deeper_of_two_shards_is_the_later() {
        let place = |epoch, shard| Place { epoch, shard: Shard(shard) };
        assert!(place(1, 0) > place(0, 9));
        assert!(place(1, 1) > place(1, 0) && place(1, 3) > place(1, 2));
        assert_eq!((Shard(0).depth(), Shard(2).depth(), Shard(3).depth()), (0, 1, 2));
    }
}
