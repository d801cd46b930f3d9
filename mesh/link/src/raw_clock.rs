//! This machine's clocks, for the stamps of pings.

use std::time::{SystemTime, UNIX_EPOCH};

use holm_mesh_proto::ClockStamp;

/// Between two looks at the raw clock there may pass so much for the look at the wall clock in between
/// to count; a thread that was put aside meanwhile looks again.
const CLOSE_NS: u64 = 50_000;
const TRIES: usize = 4;

/// Both clocks now; `None` where there is no raw clock, or where they stand beyond all bounds.
pub(crate) fn stamp() -> Option<ClockStamp> {
    let mut best: Option<(u64, ClockStamp)> = None;
    for _ in 0..TRIES {
        let before = raw_ns()?;
        let wall_ns = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let after = raw_ns()?;
        let took_ns = after.saturating_sub(before);
        let middle = i128::from(before) + i128::from(took_ns / 2);
        let ahead_ns = i64::try_from(i128::try_from(wall_ns).ok()? - middle).ok()?;
        // Of the looks the last: nothing may be stamped earlier than it happened.
        let stamp = ClockStamp::new(after, ahead_ns)?;
        if best.is_none_or(|(least_ns, _)| took_ns <= least_ns) {
            best = Some((took_ns, stamp));
        }
        if took_ns <= CLOSE_NS {
            break;
        }
    }
    best.map(|(_, stamp)| stamp)
}

/// Nanoseconds since the machine started, by a clock that is neither set nor slewed. It stands still
/// while the machine sleeps: peers see that as a jump.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the standard library has no clock that is not slewed")]
fn raw_ns() -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec through the pointer, which is valid for that.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &raw mut time) };
    if result != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec).ok()?)
}

#[cfg(not(target_os = "linux"))]
const fn raw_ns() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_raw_clock_goes_forward_and_the_sum_is_the_time() {
        let (first, second) = (stamp().expect("a clock"), stamp().expect("a clock"));
        assert!(second.raw_ns() >= first.raw_ns());
        let wall_ns = i128::from(second.raw_ns()) + i128::from(second.wall_ahead_ns());
        let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let apart = (now_ns.cast_signed() - wall_ns).abs();
        assert!(apart < 3_600_000_000_000, "{apart} ns between two looks at one clock");
    }
}
