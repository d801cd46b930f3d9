//! Quantiles: DDSketch (Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch", VLDB
//! 2019) with buckets that grow by a fixed factor. Unlike the paper's, buckets are never collapsed:
//! magnitudes below [`SMALLEST`] count as 0 and those above [`LARGEST`] as that, so the bound holds for
//! everything between, and there is a bound on the number of buckets all the same.

use std::sync::LazyLock;

use super::NoSketch;

/// A quantile is off by this share of its value at most.
pub(crate) const RELATIVE_ERROR: f64 = 0.01;
/// What is nearer to 0 counts as 0.
pub(crate) const SMALLEST: f64 = 1e-9;
/// What is farther from 0 counts as this.
pub(crate) const LARGEST: f64 = 1e20;
const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);
const VERSION: u8 = 1;

static LN_GAMMA: LazyLock<f64> = LazyLock::new(|| GAMMA.ln());
/// Keys of the smallest and of the largest magnitude.
static KEYS: LazyLock<(i32, i32)> = LazyLock::new(|| (key_of(SMALLEST), key_of(LARGEST)));

/// The bucket of a magnitude: `γ^(key-1) < magnitude <= γ^key`.
fn key_of(magnitude: f64) -> i32 {
    (magnitude.ln() / *LN_GAMMA).ceil() as i32
}

/// The value that is within the relative error of all of a bucket.
fn value_of(key: i32) -> f64 {
    2.0 * (f64::from(key) * *LN_GAMMA).exp() / (GAMMA + 1.0)
}

/// Counts by key, in one piece from the least key on. Without counts it is empty, else its first and
/// last count are not 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Buckets {
    first: i32,
    counts: Vec<u64>,
}

impl Buckets {
    fn add(&mut self, key: i32, count: u64) {
        if self.counts.is_empty() {
            self.first = key;
        }
        if key < self.first {
            let more = (self.first - key) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = key;
        }
        let at = (key - self.first) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] = self.counts[at].saturating_add(count);
    }

    fn each(&self) -> impl DoubleEndedIterator<Item = (i32, u64)> {
        (self.first..)
            .zip(&self.counts)
            .map(|(key, count)| (key, *count))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn merge(&mut self, other: &Self) {
        for (key, count) in other.each().filter(|(_, count)| *count > 0) {
            self.add(key, count);
        }
    }
}

/// The sketch.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Quantiles {
    negative: Buckets,
    zeros: u64,
    positive: Buckets,
    /// The least and the greatest value, as they were.
    range: Option<(f64, f64)>,
}

impl Quantiles {
    /// Adds a value; what is no number is none.
    pub(crate) fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        let value = value.clamp(-LARGEST, LARGEST);
        let magnitude = value.abs();
        if magnitude < SMALLEST {
            self.zeros = self.zeros.saturating_add(1);
        } else if value > 0.0 {
            self.positive.add(key_of(magnitude), 1);
        } else {
            self.negative.add(key_of(magnitude), 1);
        }
        // One 0: else the bytes would depend on the order.
        self.reach(value + 0.0, value + 0.0);
    }

    fn reach(&mut self, least: f64, greatest: f64) {
        let (low, high) = self.range.unwrap_or((least, greatest));
        self.range = Some((low.min(least), high.max(greatest)));
    }

    /// Takes in what another sketch saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.negative.merge(&other.negative);
        self.zeros = self.zeros.saturating_add(other.zeros);
        self.positive.merge(&other.positive);
        if let Some((least, greatest)) = other.range {
            self.reach(least, greatest);
        }
    }

    fn count(&self) -> u128 {
        let all = self.negative.counts.iter().chain(&self.positive.counts);
        all.map(|count| u128::from(*count)).sum::<u128>() + u128::from(self.zeros)
    }

    /// The value at rank `q · (count − 1)`, rounded down, of all in order; `None` of nothing.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let (least, greatest) = self.range?;
        let last = self.count().saturating_sub(1);
        if q <= 0.0 {
            return Some(least);
        }
        if q >= 1.0 {
            return Some(greatest);
        }
        let rank = (q * last as f64) as u128;
        let negative = self.negative.each().rev().map(|(key, count)| (-value_of(key), count));
        let positive = self.positive.each().map(|(key, count)| (value_of(key), count));
        let mut before = 0_u128;
        for (value, count) in negative.chain([(0.0, self.zeros)]).chain(positive) {
            before += u128::from(count);
            if before > rank {
                return Some(value.clamp(least, greatest));
            }
        }
        Some(greatest)
    }

    /// A sketch of the same values has the same bytes: version, range, zeros, then for each sign the
    /// number of buckets, and key and count of each.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let Some((least, greatest)) = self.range else { return bytes };
        bytes.extend(least.to_be_bytes());
        bytes.extend(greatest.to_be_bytes());
        put(&mut bytes, self.zeros);
        for buckets in [&self.negative, &self.positive] {
            let used: Vec<(i32, u64)> = buckets.each().filter(|(_, count)| *count > 0).collect();
            put(&mut bytes, used.len() as u64);
            let mut before = KEYS.0;
            for (key, count) in used {
                put(&mut bytes, u64::from(key.abs_diff(before)));
                put(&mut bytes, count);
                before = key;
            }
        }
        bytes
    }

    /// Reads what another site sent.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, NoSketch> {
        let mut rest = bytes.strip_prefix(&[VERSION]).ok_or(NoSketch)?;
        if rest.is_empty() {
            return Ok(Self::default());
        }
        let mut float = || {
            let (bytes, left) = rest.split_first_chunk::<8>().ok_or(NoSketch)?;
            rest = left;
            Ok(f64::from_be_bytes(*bytes))
        };
        let (least, greatest) = (float()?, float()?);
        let bound = -LARGEST..=LARGEST;
        if !(bound.contains(&least) && bound.contains(&greatest) && least <= greatest) {
            return Err(NoSketch);
        }
        let mut sketch =
            Self { zeros: take(&mut rest)?, range: Some((least, greatest)), ..Self::default() };
        for buckets in [&mut sketch.negative, &mut sketch.positive] {
            let mut key = KEYS.0;
            let keys = take(&mut rest)?;
            for index in 0..keys {
                let step = take(&mut rest)?;
                let step = i32::try_from(step).map_err(|_| NoSketch)?;
                key = key.checked_add(step).filter(|key| *key <= KEYS.1).ok_or(NoSketch)?;
                let count = take(&mut rest)?;
                if count == 0 || (index > 0 && step == 0) {
                    return Err(NoSketch);
                }
                buckets.add(key, count);
            }
        }
        if rest.is_empty() && sketch.count() > 0 { Ok(sketch) } else { Err(NoSketch) }
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + 8 * (self.negative.counts.capacity() + self.positive.counts.capacity())
    }
}

/// LEB128.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// The shortest form only, so that a number has one.
fn take(bytes: &mut &[u8]) -> Result<u64, NoSketch> {
    let mut number = 0_u64;
    for index in 0..10 {
        let (byte, rest) = bytes.split_first().ok_or(NoSketch)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return Err(NoSketch);
        }
        number |= part << (7 * index);
        if byte & 0x80 == 0 {
            return if *byte == 0 && index > 0 { Err(NoSketch) } else { Ok(number) };
        }
    }
    Err(NoSketch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Quantiles {
        let mut sketch = Quantiles::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    fn merged(sketches: &[&Quantiles]) -> Vec<u8> {
        let mut all = Quantiles::default();
        sketches.iter().for_each(|sketch| all.merge(sketch));
        all.to_bytes()
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value = prop_oneof![
            -1e6..1e6_f64,
            (-20.0..20.0_f64).prop_map(|e| 10_f64.powf(e).min(LARGEST)),
            Just(0.0),
            Just(-0.0),
            any::<f64>(),
        ];
        prop::collection::vec(value, 0..300)
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_its_bound(values in values(), q in 0.0..=1.0_f64) {
            let mut exact: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
            exact.sort_by(f64::total_cmp);
            let found = of(&values).quantile(q);
            prop_assert_eq!(found.is_none(), exact.is_empty());
            if let Some(found) = found {
                let rank = (q * (exact.len() - 1) as f64) as usize;
                let exact = exact[rank].clamp(-LARGEST, LARGEST);
                let off = (found - exact).abs();
                // A last digit more: the buckets' ends are floats too.
                prop_assert!(off <= exact.abs() * (RELATIVE_ERROR + 1e-9) + SMALLEST, "{found} for {exact}");
            }
        }

        #[test]
        fn merging_is_commutative_and_associative_and_forgets_nothing(
            a in values(), b in values(), c in values(),
        ) {
            let (x, y, z) = (of(&a), of(&b), of(&c));
            let whole = of(&[a, b, c].concat()).to_bytes();
            prop_assert_eq!(&merged(&[&x, &y, &z]), &whole);
            prop_assert_eq!(&merged(&[&z, &x, &y]), &whole);
            let pair = Quantiles::from_bytes(&merged(&[&y, &z])).expect("own bytes");
            prop_assert_eq!(&merged(&[&pair, &x]), &whole);
            prop_assert_eq!(Quantiles::from_bytes(&whole).expect("own bytes").to_bytes(), whole);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..60_usize, values in values(),
        ) {
            let mut own = of(&values).to_bytes();
            let at = at % own.len();
            own.splice(at.., bytes.iter().copied());
            for bytes in [[&[VERSION], &bytes[..]].concat(), own] {
                if let Ok(sketch) = Quantiles::from_bytes(&bytes) {
                    prop_assert_eq!(sketch.to_bytes(), bytes);
                    sketch.quantile(0.5);
                }
            }
        }
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let mut sketch = Quantiles::default();
        for exponent in -400..400 {
            for sign in [-1.0, 1.0] {
                sketch.add(sign * 10_f64.powi(exponent));
            }
        }
        assert!(sketch.size() < 64 << 10, "{}", sketch.size());
        assert!(sketch.to_bytes().len() < 8 << 10, "{}", sketch.to_bytes().len());
    }
}
