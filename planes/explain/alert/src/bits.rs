//! Which rows of a chunk: a bit for each.

/// Most rows of a chunk.
pub(crate) const CHUNK: usize = 4_096;
const WORDS: usize = CHUNK / 64;

/// A set of rows of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits([u64; WORDS]);

impl Bits {
    pub(crate) const NONE: Self = Self([0; WORDS]);

    /// The first `rows` rows.
    pub(crate) fn all(rows: usize) -> Self {
        let mut bits = Self::NONE;
        for (number, word) in bits.0.iter_mut().enumerate() {
            *word = match rows.saturating_sub(number * 64) {
                0 => 0,
                left if left >= 64 => u64::MAX,
                left => (1 << left) - 1,
            };
        }
        bits
    }

    pub(crate) const fn set(&mut self, row: usize) {
        self.0[row / 64] |= 1 << (row % 64);
    }

    pub(crate) const fn has(&self, row: usize) -> bool {
        self.0[row / 64] & 1 << (row % 64) != 0
    }

    pub(crate) fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    pub(crate) fn or(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    /// Takes the others out.
    pub(crate) fn without(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The rows in their order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(number, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let row = left.trailing_zeros() as usize;
                    left &= left - 1;
                    number * 64 + row
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_rows() {
        let mut some = Bits::NONE;
        [0, 63, 64, 4_095].into_iter().for_each(|row| some.set(row));
        assert_eq!(some.rows().collect::<Vec<_>>(), [0, 63, 64, 4_095]);
        some.and(&Bits::all(65));
        assert_eq!((some.count(), some.is_empty()), (3, false));
        let mut rest = Bits::all(100);
        rest.without(&some);
        assert_eq!(rest.count(), 97);
        rest.or(&some);
        assert_eq!(rest, Bits::all(100));
        assert_eq!(Bits::all(0), Bits::NONE);
        assert_eq!(Bits::all(CHUNK).count(), 4_096);
    }
}
