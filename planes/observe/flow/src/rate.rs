//! One of how many packets is sampled, in all the ways that options and records have to say so.

/// What was said of sampling, as far as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct SaidOfSampling {
    /// 1 of so many (IE 34, 50).
    pub(crate) interval: Option<u64>,
    /// So many are taken (IE 305), and then so many are not (IE 306).
    pub(crate) taken: Option<u64>,
    pub(crate) skipped: Option<u64>,
    /// So many (IE 309) of so many (IE 310).
    pub(crate) size: Option<u64>,
    pub(crate) population: Option<u64>,
    /// Each with this probability (IE 311).
    pub(crate) probability: Option<f64>,
}

impl SaidOfSampling {
    /// The first that says something, in the order of the fields.
    pub(crate) fn rate(&self) -> Option<u32> {
        let plain = self.interval.filter(|n| *n > 0).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        plain
            .or_else(|| packet_rate(self.taken?, self.skipped?))
            // Without a space 305 is what NetFlow calls the interval: 1 of N.
            .or_else(|| match self.skipped {
                None => u32::try_from(self.taken?).ok().filter(|n| *n > 0),
                Some(_) => None,
            })
            .or_else(|| packet_rate(self.size?, self.population?.checked_sub(self.size?)?))
            .or_else(|| {
                let rate = 1.0 / self.probability.filter(|p| *p > 0.0 && *p <= 1.0)?;
                Some(rate.round().min(f64::from(u32::MAX)) as u32)
            })
    }
}

/// A probability as it is sent: RFC 7011 §6.2 lets a float64 be sent as a float32.
pub(crate) fn probability(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        8 => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        4 => Some(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        _ => None,
    }
}

/// One of how many packets is taken where `taken` are and then `skipped` are not; `None` if nothing is.
pub(crate) fn packet_rate(taken: u64, skipped: u64) -> Option<u32> {
    let all = u128::from(taken) + u128::from(skipped);
    let rate = (all + u128::from(taken) / 2).checked_div(u128::from(taken))?;
    Some(u32::try_from(rate).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_packet_intervals() {
        assert_eq!(packet_rate(1, 999), Some(1000));
        assert_eq!(packet_rate(0, 5), None);
        assert_eq!(packet_rate(u64::MAX, u64::MAX), Some(2));
    }

    #[test]
    fn the_first_that_says_something_counts() {
        let said = SaidOfSampling::default;
        let zero = SaidOfSampling { interval: Some(0), taken: Some(20), ..said() };
        assert_eq!(zero.rate(), Some(20));
        assert_eq!(SaidOfSampling { interval: Some(7), ..zero }.rate(), Some(7));
        assert_eq!(SaidOfSampling { skipped: Some(60), ..zero }.rate(), Some(4));
        let of = SaidOfSampling { size: Some(2), population: Some(100), ..said() };
        assert_eq!(of.rate(), Some(50));
        assert_eq!(SaidOfSampling { size: Some(0), ..of }.rate(), None);
        assert_eq!(SaidOfSampling { size: Some(200), ..of }.rate(), None);
        for (p, rate) in [(0.25, Some(4)), (0.0, None), (2.0, None), (f64::NAN, None)] {
            assert_eq!(SaidOfSampling { probability: Some(p), ..said() }.rate(), rate, "{p}");
        }
    }
}
