//! Quantiles of one step of time: counts of values by buckets that grow by a fixed factor, as in DDSketch (Masson,
//! Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch", VLDB 2019). Small, for most steps have few
//! values; sketches of several steps are added up.

/// A quantile is off by this share of its value at most.
pub const RELATIVE_ERROR: f64 = 0.01;
const GAMMA: f64 = (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR);
/// What is nearer to 0 counts as 0; what is farther from it counts as the largest.
const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e18;

/// Counts by bucket, in the order of their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sketch {
    counts: Vec<(i16, u32)>,
}

/// The bucket of a value: 0 for 0, the greater the farther from it.
fn bucket_of(value: f64) -> i16 {
    let magnitude = value.abs();
    if magnitude < SMALLEST {
        return 0;
    }
    let place = ((magnitude.min(LARGEST) / SMALLEST).ln() / GAMMA.ln()).ceil() as i16 + 1;
    if value < 0.0 { -place } else { place }
}

fn value_of(bucket: i16) -> f64 {
    let place = f64::from(bucket.unsigned_abs());
    if bucket == 0 {
        return 0.0;
    }
    let magnitude = SMALLEST * ((place - 1.0) * GAMMA.ln()).exp() * 2.0 / (GAMMA + 1.0);
    if bucket < 0 { -magnitude } else { magnitude }
}

impl Sketch {
    pub(crate) fn add(&mut self, value: f64) {
        self.put(bucket_of(value), 1);
    }

    fn put(&mut self, bucket: i16, count: u32) {
        match self.counts.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            Err(at) => self.counts.insert(at, (bucket, count)),
        }
    }

    /// Takes in what another one saw.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
            return;
        }
        let mine = std::mem::take(&mut self.counts);
        let mut a = mine.into_iter().peekable();
        let mut b = other.counts.iter().copied().peekable();
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some((x, n)), Some((y, m))) if x == y => {
                    let both = (*x, n.saturating_add(*m));
                    a.next();
                    b.next();
                    both
                }
                (Some((x, _)), Some((y, _))) => {
                    let first = if x < y { a.next() } else { b.next() };
                    let Some(first) = first else { break };
                    first
                }
                (Some(_), None) | (None, Some(_)) => {
                    let Some(rest) = a.next().or_else(|| b.next()) else { break };
                    rest
                }
                (None, None) => break,
            };
            self.counts.push(next);
        }
    }

    /// The value at rank `q · (count − 1)`, rounded down; `None` of nothing.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let count: u64 = self.counts.iter().map(|(_, count)| u64::from(*count)).sum();
        let rank = (q * count.checked_sub(1)? as f64) as u64;
        let mut before = 0;
        for (bucket, count) in &self.counts {
            before += u64::from(*count);
            if before > rank {
                return Some(value_of(*bucket));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quantile_is_within_its_error(
            values in prop::collection::vec(prop_oneof![Just(0.0), -1e9..1e9_f64, -1.0..1.0_f64], 1..200),
            q in 0.0..=1.0_f64,
            cut in 0..200_usize,
        ) {
            let (mut a, mut b) = (Sketch::default(), Sketch::default());
            for (place, value) in values.iter().enumerate() {
                if place < cut { a.add(*value) } else { b.add(*value) }
            }
            a.merge(&b);
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let exact = sorted[(q * (sorted.len() - 1) as f64) as usize];
            let found = a.quantile(q).expect("something");
            prop_assert!((found - exact).abs() <= exact.abs() * (RELATIVE_ERROR + 1e-9) + SMALLEST, "{found} {exact}");
        }
    }

    #[test]
    fn of_nothing_there_is_no_quantile() {
        assert_eq!(Sketch::default().quantile(0.5), None);
    }
}
