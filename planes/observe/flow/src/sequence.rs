//! Sequence numbers: what was lost on the way.

/// A jump ahead beyond this is a restart or a lie, not a loss.
const MAX_GAP: i32 = 1 << 20;
/// A number so far behind is of a datagram that was overtaken, not of a restart.
const MAX_LATE: i32 = 1 << 12;
/// After so many late ones in a row it was a restart after all.
const MAX_LATE_RUN: u8 = 8;

/// Follows the numbers of one stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sequence {
    next: Option<u32>,
    late_run: u8,
    /// How many were counted as lost and may come yet.
    missing: u32,
}

/// What a number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The first, or the one that was due.
    InOrder,
    /// So many were sent before it that have not come.
    Gap(u32),
    /// It was overtaken by a later one: so many were counted as lost then and have come now.
    Late(u32),
    /// It is as old, and nothing is missing: it came twice.
    Repeated,
    /// The sequence begins anew.
    Reset,
}

impl Sequence {
    /// A datagram of number `number` came, after which `number + advance` is due.
    pub(crate) fn hear(&mut self, number: u32, advance: u32) -> Heard {
        let due = number.wrapping_add(advance);
        let Some(next) = self.next else {
            self.next = Some(due);
            return Heard::InOrder;
        };
        let ahead = number.wrapping_sub(next).cast_signed();
        if (-MAX_LATE..0).contains(&ahead) && self.late_run < MAX_LATE_RUN {
            self.late_run += 1;
            if self.missing == 0 {
                return Heard::Repeated;
            }
            let came = advance.min(self.missing);
            self.missing -= came;
            return Heard::Late(came);
        }
        self.next = Some(due);
        self.late_run = 0;
        match ahead {
            0 => Heard::InOrder,
            1..=MAX_GAP => {
                self.missing = self.missing.saturating_add(ahead.unsigned_abs());
                Heard::Gap(ahead.unsigned_abs())
            }
            _ => {
                self.missing = 0;
                Heard::Reset
            }
        }
    }

    /// The next number cannot be told: take whatever comes.
    pub(crate) fn forget(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_wrap_and_late_ones_do_not_move_it() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.hear(u32::MAX - 1, 1), Heard::InOrder);
        assert_eq!(sequence.hear(u32::MAX, 1), Heard::InOrder);
        assert_eq!(sequence.hear(2, 1), Heard::Gap(2));
        assert_eq!(sequence.hear(1, 1), Heard::Late(1));
        assert_eq!(sequence.hear(1, 1), Heard::Late(1), "one of two is missing still");
        assert_eq!(sequence.hear(1, 1), Heard::Repeated);
        assert_eq!(sequence.hear(3, 1), Heard::InOrder);
        assert_eq!(sequence.hear(0x8000_0000, 1), Heard::Reset);
        assert_eq!(sequence.hear(0x8000_0001, 1), Heard::InOrder);
    }

    #[test]
    fn a_restart_close_behind_is_seen_after_a_few() {
        let mut sequence = Sequence::default();
        sequence.hear(500, 1);
        for number in 0..8 {
            assert_eq!(sequence.hear(number, 1), Heard::Repeated, "nothing was missing");
        }
        assert_eq!(sequence.hear(8, 1), Heard::Reset);
        assert_eq!(sequence.hear(9, 1), Heard::InOrder);
    }
}
