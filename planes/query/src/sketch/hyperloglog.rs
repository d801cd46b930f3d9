//! How many different values there are: HyperLogLog (Flajolet et al. 2007) of 4,096 registers over a hash
//! of 64 bits, read with the improved estimator of O. Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (2017), algorithm 6, which needs no tables and no change of method.

use super::NoSketch;

/// Bits of the hash that choose a register.
const BITS: u32 = 12;
const REGISTERS: usize = 1 << BITS;
/// What a register says at most: one more than the zeros that the rest of a hash can begin with.
const HIGHEST: u8 = (64 - BITS + 1) as u8;
/// Registers that are listed one by one; beyond that all are kept.
const MOST_LISTED: usize = 1_024;
const LISTED: u8 = 1;
const DENSE: u8 = 2;

/// Standard error of an estimate, relative: 1.04 / √4096.
pub(crate) const STANDARD_ERROR: f64 = 0.016_25;

/// The sketch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Distinct {
    /// `register << 8 | value`, in order, each register once.
    Listed(Vec<u32>),
    Dense(Box<[u8; REGISTERS]>),
}

impl Default for Distinct {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Distinct {
    /// Adds a value by its hash.
    pub(crate) fn add(&mut self, hash: u64) {
        let register = (hash >> (64 - BITS)) as u32;
        // A one behind the bits ends the run of zeros.
        let rest = (hash << BITS) | (1 << (BITS - 1));
        self.raise(register, rest.leading_zeros() as u8 + 1);
    }

    fn raise(&mut self, register: u32, value: u8) {
        match self {
            Self::Dense(registers) => {
                let known = &mut registers[register as usize];
                *known = value.max(*known);
            }
            Self::Listed(list) => {
                let entry = register << 8 | u32::from(value);
                let at = list.partition_point(|other| other >> 8 < register);
                match list.get_mut(at) {
                    Some(known) if *known >> 8 == register => *known = entry.max(*known),
                    _ => list.insert(at, entry),
                }
                if list.len() > MOST_LISTED {
                    self.densify();
                }
            }
        }
    }

    fn densify(&mut self) {
        if let Self::Listed(list) = self {
            let mut registers = Box::new([0; REGISTERS]);
            for entry in list {
                registers[(*entry >> 8) as usize] = *entry as u8;
            }
            *self = Self::Dense(registers);
        }
    }

    /// Takes in what another sketch saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        match other {
            Self::Listed(list) => {
                for entry in list {
                    self.raise(*entry >> 8, *entry as u8);
                }
            }
            Self::Dense(theirs) => {
                self.densify();
                if let Self::Dense(own) = self {
                    for (own, theirs) in own.iter_mut().zip(theirs.iter()) {
                        *own = (*own).max(*theirs);
                    }
                }
            }
        }
    }

    /// About how many different values were added.
    pub(crate) fn estimate(&self) -> u64 {
        let mut counts = [0_u32; HIGHEST as usize + 1];
        match self {
            Self::Listed(list) => {
                counts[0] = (REGISTERS - list.len()) as u32;
                list.iter().for_each(|entry| counts[(*entry & 0xff) as usize] += 1);
            }
            Self::Dense(registers) => registers.iter().for_each(|v| counts[*v as usize] += 1),
        }
        let m = REGISTERS as f64;
        let mut z = m * tau(1.0 - f64::from(counts[HIGHEST as usize]) / m);
        for count in counts[1..HIGHEST as usize].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += m * sigma(f64::from(counts[0]) / m);
        (m * m / (2.0 * std::f64::consts::LN_2) / z).round() as u64
    }

    /// A sketch of the same values has the same bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Listed(list) => {
                let mut bytes = vec![LISTED];
                bytes.extend(list.iter().flat_map(|entry| entry.to_be_bytes().into_iter().skip(1)));
                bytes
            }
            Self::Dense(registers) => [&[DENSE][..], &registers[..]].concat(),
        }
    }

    /// Reads what another site sent.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, NoSketch> {
        match bytes.split_first() {
            Some((&LISTED, rest)) => {
                let (entries, odd) = rest.as_chunks::<3>();
                let list: Vec<u32> =
                    entries.iter().map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c])).collect();
                let rising = list.is_sorted_by(|a, b| a >> 8 < b >> 8);
                let possible = |entry: &u32| {
                    ((*entry >> 8) as usize) < REGISTERS && (1..=HIGHEST).contains(&(*entry as u8))
                };
                let good = odd.is_empty() && list.len() <= MOST_LISTED && rising;
                (good && list.iter().all(possible)).then_some(Self::Listed(list)).ok_or(NoSketch)
            }
            Some((&DENSE, rest)) => {
                let registers: [u8; REGISTERS] = rest.try_into().map_err(|_| NoSketch)?;
                let used = registers.iter().filter(|value| **value > 0).count();
                let good = used > MOST_LISTED && registers.iter().all(|value| *value <= HIGHEST);
                good.then(|| Self::Dense(Box::new(registers))).ok_or(NoSketch)
            }
            _ => Err(NoSketch),
        }
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Listed(list) => list.capacity() * 4,
                Self::Dense(_) => REGISTERS,
            }
    }
}

/// Ertl's σ: what registers that nothing fell into are worth.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Ertl's τ: what registers that are as high as can be are worth.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twox_hash::XxHash64;

    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Distinct {
        let mut sketch = Distinct::default();
        values.into_iter().for_each(|v| sketch.add(XxHash64::oneshot(0, &v.to_le_bytes())));
        sketch
    }

    fn merged(sketches: &[&Distinct]) -> Vec<u8> {
        let mut all = Distinct::default();
        sketches.iter().for_each(|sketch| all.merge(sketch));
        all.to_bytes()
    }

    #[test]
    fn an_estimate_is_within_its_error() {
        assert_eq!(of([]).estimate(), 0);
        for exact in [1_u64, 2, 10, 100, 1_000, 5_000, 20_000, 300_000] {
            // Five standard errors: this seed is one of many that keep within.
            let off = of(0..exact).estimate().abs_diff(exact) as f64;
            assert!(off <= (5.0 * STANDARD_ERROR * exact as f64).max(0.0), "{exact}: off {off}");
        }
    }

    #[test]
    fn the_error_of_many_estimates_is_the_standard_error() {
        let exact = 20_000_u64;
        let square = |n: u64| {
            let estimate = of(n * 1_000_000..n * 1_000_000 + exact).estimate();
            (estimate as f64 / exact as f64 - 1.0).powi(2)
        };
        let error = ((0..100).map(square).sum::<f64>() / 100.0).sqrt();
        assert!((0.012..0.021).contains(&error), "{error}");
    }

    proptest! {
        #[test]
        fn merging_is_commutative_and_associative_and_forgets_nothing(
            a in 0_u64..4_000, b in 0_u64..4_000, c in 0_u64..4_000, gap in 0_u64..3_000,
        ) {
            let (x, y, z) = (of(0..a), of(gap..gap + b), of(2 * gap..2 * gap + c));
            let whole = of((0..a).chain(gap..gap + b).chain(2 * gap..2 * gap + c)).to_bytes();
            prop_assert_eq!(&merged(&[&x, &y, &z]), &whole);
            prop_assert_eq!(&merged(&[&z, &x, &y]), &whole);
            let pair = Distinct::from_bytes(&merged(&[&y, &z])).expect("own bytes");
            prop_assert_eq!(&merged(&[&pair, &x, &x]), &whole);
            prop_assert_eq!(Distinct::from_bytes(&whole).expect("own bytes").to_bytes(), whole);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            for first in [LISTED, DENSE] {
                let mut bytes = bytes.clone();
                bytes.insert(0, first);
                if let Ok(sketch) = Distinct::from_bytes(&bytes) {
                    prop_assert_eq!(sketch.to_bytes(), bytes);
                    sketch.estimate();
                }
            }
        }
    }
}
