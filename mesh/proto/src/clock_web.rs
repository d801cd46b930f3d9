//! Bounds of clocks over a third node: what A proves of B's clock and B of C's bounds C's clock at A.
//!
//! A way over B may be shorter than the straight one, or lopsided to the other side, and both bounds hold:
//! so does what they have in common. The word of B is as sound as B is honest, which a direct proof is
//! not in need of: a word that contradicts what was proven here is dropped and counted.

use crate::clock_bounds::{WORST_DRIFT_PPM, clamp, slack};

/// What a node says of another's raw clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldOffset {
    /// By how much the third clock is ahead of the teller's: (least, most).
    pub offset_ns: (i64, i64),
    /// What the teller's raw clock showed then.
    pub at_raw_ns: i64,
}

/// By how much a third node's raw clock is ahead of ours when ours shows `at_ns`, over a teller whose
/// clock is `teller_ns` ahead of ours at that moment: (least, most). `None` if what was told is no range.
pub fn over(teller_ns: (i64, i64), at_ns: i64, told: ToldOffset) -> Option<(i64, i64)> {
    let wide = i128::from;
    let (least, most) = told.offset_ns;
    if least > most || teller_ns.0 > teller_ns.1 {
        return None;
    }
    // The teller's clock shows something in between now; its word weakens from the moment it was of.
    let away = |offset_ns: i64| {
        let shows = clamp(wide(at_ns) + wide(offset_ns));
        shows.abs_diff(told.at_raw_ns)
    };
    let weaker = wide(slack(away(teller_ns.0).max(away(teller_ns.1)), WORST_DRIFT_PPM));
    let least = clamp(wide(teller_ns.0) + wide(least) - weaker);
    let most = clamp(wide(teller_ns.1) + wide(most) + weaker);
    Some((least, most))
}

/// What the straight way and others have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Narrowed {
    /// (least, most); `None` without any way.
    pub offset_ns: Option<(i64, i64)>,
    /// Ways that made it narrower.
    pub narrowed_by: usize,
    /// Ways that contradicted what was known by then: somebody's clock jumped, or somebody lies.
    pub contradicted: usize,
}

/// Narrows `direct`, what was proven here, by ways over others, in their order.
pub fn narrow(direct: Option<(i64, i64)>, ways: impl IntoIterator<Item = (i64, i64)>) -> Narrowed {
    let mut narrowed = Narrowed { offset_ns: direct, ..Narrowed::default() };
    for way in ways {
        let Some(known) = narrowed.offset_ns else {
            narrowed.offset_ns = Some(way);
            continue;
        };
        let common = (known.0.max(way.0), known.1.min(way.1));
        if common.0 > common.1 {
            narrowed.contradicted += 1;
        } else if common != known {
            narrowed.narrowed_by += 1;
            narrowed.offset_ns = Some(common);
        }
    }
    narrowed
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn two_short_ways_narrow_a_long_one_and_a_lie_does_not() {
        // B is 5 to 7 ms ahead, and C 10 to 11 ms ahead of B; the straight way says 0 to 100.
        let told = ToldOffset { offset_ns: (10 * MS, 11 * MS), at_raw_ns: 6 * MS };
        let way = over((5 * MS, 7 * MS), 0, told).expect("a range");
        let close = |a: i64, b: i64| a.abs_diff(b) < 2_000;
        assert!(close(way.0, 15 * MS) && close(way.1, 18 * MS), "{way:?}");
        let narrowed = narrow(Some((0, 100 * MS)), [way]);
        assert_eq!((narrowed.offset_ns, narrowed.narrowed_by), (Some(way), 1));
        let lie = (200 * MS, 300 * MS);
        let all = narrow(Some((0, 100 * MS)), [lie, way, (0, 100 * MS)]);
        assert_eq!((all.offset_ns, all.narrowed_by, all.contradicted), (Some(way), 1, 1));
        assert_eq!(narrow(None, []).offset_ns, None);
        assert_eq!(narrow(None, [way]).offset_ns, Some(way), "without a connection too");
    }

    #[test]
    fn a_word_weakens_with_time_and_nothing_overflows() {
        let told = |at_raw_ns| ToldOffset { offset_ns: (0, 0), at_raw_ns };
        let width = |at_raw_ns| {
            let (least, most) = over((0, 0), 0, told(at_raw_ns)).expect("a range");
            most - least
        };
        // 10 s at 200 ppm are 2 ms to either side.
        assert!((4 * MS..4 * MS + 100).contains(&width(10_000 * MS)), "{}", width(10_000 * MS));
        assert!(width(0) < 100);
        let far = ToldOffset { offset_ns: (i64::MIN, i64::MAX), at_raw_ns: i64::MIN };
        assert_eq!(over((i64::MIN, i64::MAX), i64::MAX, far), Some((i64::MIN, i64::MAX)));
        assert_eq!(over((0, 0), 0, ToldOffset { offset_ns: (1, 0), at_raw_ns: 0 }), None);
    }
}
