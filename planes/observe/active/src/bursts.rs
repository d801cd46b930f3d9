//! Whether packets are lost here and there or in bursts: the metrics of RFC 3611 §4.7.2, and the burst ratio of ITU-T
//! G.107. Pure, over which packets of a stream were lost or came too late.

/// As many packets in a row that came make what is around them no part of one burst (Gmin, RFC 3611 §4.7.2).
const GMIN: usize = 16;

/// The bursts of a stream and the gaps around them, in packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bursts {
    /// Longest sequences that begin and end with a packet that is gone, where fewer than 16 in a row came. One that is
    /// gone alone is no burst.
    pub(crate) bursts: usize,
    burst_packets: usize,
    burst_gone: usize,
    /// Before, between and after them.
    pub(crate) gaps: usize,
    gap_packets: usize,
    gap_gone: usize,
}

impl Bursts {
    /// Those of a stream: `gone` says of each packet, in the order of their numbers, whether it was lost or discarded.
    /// It is taken that at least 16 came before the first and after the last.
    pub(crate) fn of(gone: &[bool]) -> Self {
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for (at, _) in gone.iter().enumerate().filter(|(_, gone)| **gone) {
            match runs.last_mut() {
                Some((_, last, count)) if at - *last <= GMIN => {
                    *last = at;
                    *count += 1;
                }
                _ => runs.push((at, at, 1)),
            }
        }
        let mut found = Self::default();
        let mut gap_begins = 0;
        for (first, last, count) in runs.into_iter().filter(|(.., count)| *count > 1) {
            found.bursts += 1;
            found.burst_packets += last + 1 - first;
            found.burst_gone += count;
            found.gaps += usize::from(first > gap_begins);
            gap_begins = last + 1;
        }
        found.gaps += usize::from(gone.len() > gap_begins);
        found.gap_packets = gone.len() - found.burst_packets;
        found.gap_gone = gone.iter().filter(|gone| **gone).count() - found.burst_gone;
        found
    }

    /// The share of the packets in bursts that is gone; 0 without bursts, as in RFC 3611.
    pub(crate) fn burst_density(&self) -> f64 {
        share(self.burst_gone, self.burst_packets)
    }

    /// The same of those in gaps.
    pub(crate) fn gap_density(&self) -> f64 {
        share(self.gap_gone, self.gap_packets)
    }

    /// How many packets a burst has, on average; 0 without bursts.
    pub(crate) fn burst_length(&self) -> f64 {
        share(self.burst_packets, self.bursts)
    }

    /// How many a gap has.
    pub(crate) fn gap_length(&self) -> f64 {
        share(self.gap_packets, self.gaps)
    }
}

/// BurstR (G.107 §3): the mean length of what is gone in a row, in parts of what it would be if as many were gone at
/// random, 1 / (1 - p). `None` if none or all are gone.
pub(crate) fn burst_ratio(gone: &[bool]) -> Option<f64> {
    let lost = gone.iter().filter(|gone| **gone).count();
    if lost == 0 || lost == gone.len() {
        return None;
    }
    let runs = gone.split(|gone| !gone).filter(|run| !run.is_empty()).count();
    let at_random = 1.0 / (1.0 - share(lost, gone.len()));
    Some(share(lost, runs) / at_random)
}

fn share(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gone(text: &str) -> Vec<bool> {
        text.chars().map(|c| c == 'x').collect()
    }

    fn came(packets: usize) -> String {
        ".".repeat(packets)
    }

    #[test]
    fn a_packet_that_is_gone_alone_is_in_a_gap() {
        let found = Bursts::of(&gone(&format!("{}x{}x{}", came(20), came(16), came(20))));
        assert_eq!((found.bursts, found.gaps), (0, 1));
        assert_eq!((found.burst_density(), found.burst_length()), (0.0, 0.0));
        assert_eq!((found.gap_density(), found.gap_length()), (2.0 / 58.0, 58.0));
    }

    #[test]
    fn fewer_than_sixteen_in_a_row_are_within_a_burst() {
        // 12 packets of which 4 are gone, and one more that is gone alone.
        let text = format!("{}xx.x.......{}x{}x{}", came(30), ".", came(16), came(40));
        let found = Bursts::of(&gone(&text));
        assert_eq!((found.bursts, found.gaps), (1, 2));
        assert_eq!((found.burst_length(), found.burst_density()), (13.0, 4.0 / 13.0));
        assert_eq!(found.gap_length(), (30.0 + 57.0) / 2.0);
        assert_eq!(found.gap_density(), 1.0 / 87.0);
        // One more that comes, and it is two bursts of two.
        let two = Bursts::of(&gone(&format!("xx{}xx", came(16))));
        assert_eq!((two.bursts, two.gaps, two.burst_length(), two.gap_density()), (2, 1, 2.0, 0.0));
    }

    #[test]
    fn the_ends_and_none_and_all() {
        assert_eq!(Bursts::of(&[]), Bursts::default());
        let all = Bursts::of(&[true; 9]);
        assert_eq!((all.bursts, all.gaps, all.burst_density(), all.gap_length()), (1, 0, 1.0, 0.0));
        let none = Bursts::of(&[false; 9]);
        assert_eq!(
            (none.bursts, none.gaps, none.gap_density(), none.gap_length()),
            (0, 1, 0.0, 9.0)
        );
        assert_eq!(
            (burst_ratio(&[true; 3]), burst_ratio(&[false; 3]), burst_ratio(&[])),
            (None, None, None)
        );
    }

    #[test]
    fn the_burst_ratio_is_that_of_the_recommendation() {
        // Half is gone: at random runs of 2 are expected. Every other: 0.5; in one run of 10: 5.
        assert_eq!(burst_ratio(&gone("x.x.x.x.x.x.x.x.x.x.")), Some(0.5));
        assert_eq!(burst_ratio(&gone("..........xxxxxxxxxx")), Some(5.0));
        // A tenth, in runs of 2: 2 * 0.9.
        let text = format!("xx{}xx{}", came(18), came(18));
        assert!((burst_ratio(&gone(&text)).expect("some") - 1.8).abs() < 1e-9);
    }

    /// For each packet by itself whether it is in a burst, straight from the definition: what is gone, if another is
    /// gone with fewer than 16 that came between; what came, if it is between two such.
    fn in_burst(gone: &[bool], at: usize) -> bool {
        let before = (0..at).rev().find(|n| gone[*n]);
        let after = (at + 1..gone.len()).find(|n| gone[*n]);
        let near = |a: usize, b: usize| b - a - 1 < 16;
        if gone[at] {
            before.is_some_and(|n| near(n, at)) || after.is_some_and(|n| near(at, n))
        } else {
            before.zip(after).is_some_and(|(a, b)| near(a, b))
        }
    }

    /// A stream by Gilbert and Elliott: a good and a bad state, with a chance in 256 each to be gone and to change.
    fn stream() -> impl Strategy<Value = Vec<bool>> {
        let each = (any::<u8>(), any::<u8>());
        (0_u8..40, 60_u8..255, 0_u8..60, proptest::collection::vec(each, 0..400)).prop_map(
            |(good, bad, change, chances)| {
                let mut is_bad = false;
                let one = |(lost, turn): (u8, u8)| {
                    is_bad ^= turn < change;
                    lost < if is_bad { bad } else { good }
                };
                chances.into_iter().map(one).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn bursts_are_those_of_the_definition(gone in stream()) {
            let found = Bursts::of(&gone);
            let inside: Vec<bool> = (0..gone.len()).map(|at| in_burst(&gone, at)).collect();
            let count = |burst: bool, lost: bool| {
                inside.iter().zip(&gone).filter(|(i, g)| **i == burst && (!lost || **g)).count()
            };
            prop_assert_eq!((found.burst_packets, found.burst_gone), (count(true, false), count(true, true)));
            prop_assert_eq!((found.gap_packets, found.gap_gone), (count(false, false), count(false, true)));
            // Two bursts are apart by 16 that came at least: each gap is one piece.
            let pieces = |of: bool| inside.split(|i| *i != of).filter(|piece| !piece.is_empty()).count();
            prop_assert_eq!((found.bursts, found.gaps), (pieces(true), pieces(false)));
            // At most 1 of 17 is gone in a gap, but for the ends, before and after which 16 are taken to have come.
            prop_assert!(17 * found.gap_gone <= found.gap_packets + 16 * found.gaps);
        }

        #[test]
        fn the_burst_ratio_is_of_lengths(gone in stream()) {
            let mut lengths = Vec::new();
            let mut length = 0;
            for lost in gone.iter().copied().chain([false]) {
                if lost {
                    length += 1;
                } else if length > 0 {
                    lengths.push(length);
                    length = 0;
                }
            }
            let lost: usize = lengths.iter().sum();
            match burst_ratio(&gone) {
                None => prop_assert!(lost == 0 || lost == gone.len()),
                Some(ratio) => {
                    let mean = lost as f64 / lengths.len() as f64;
                    let p = lost as f64 / gone.len() as f64;
                    prop_assert!((ratio - mean * (1.0 - p)).abs() < 1e-9);
                }
            }
        }
    }
}
