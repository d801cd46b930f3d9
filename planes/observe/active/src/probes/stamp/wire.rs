//! Packets of STAMP without authentication (RFC 8762 §4.2.1, §4.3.1), which TWAMP Light speaks too (§4.6).

/// Bytes of a packet, either way.
pub(crate) const BYTES: usize = 44;
/// The shortest packet of TWAMP Light that is answered with as many bytes (RFC 6038 §3).
pub(crate) const LEAST_BYTES: usize = 41;

/// A moment as NTP writes it: seconds since 1900, and parts of 2^-32 of one (RFC 5905 §6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ntp(pub(crate) u64);

/// Seconds from 1900 to 1970.
const TO_1970: u64 = 2_208_988_800;

impl Ntp {
    /// Nanoseconds since 1970; it begins anew in 2036, as NTP's does.
    pub(crate) fn of_nanos(nanos: u128) -> Self {
        let seconds = (nanos / 1_000_000_000) as u64;
        let fraction = ((nanos % 1_000_000_000) << 32) / 1_000_000_000;
        Self((seconds.wrapping_add(TO_1970) << 32) | (fraction as u64))
    }

    /// Nanoseconds since `earlier`, negative before it: by less than 68 years.
    pub(crate) fn ns_since(self, earlier: Self) -> i64 {
        let parts = self.0.wrapping_sub(earlier.0).cast_signed();
        ((i128::from(parts) * 1_000_000_000) >> 32) as i64
    }

    /// Milliseconds since `earlier`, if this is not before it: by less than 68 years.
    pub(crate) fn ms_since(self, earlier: Self) -> Option<f64> {
        let parts = self.0.wrapping_sub(earlier.0);
        (parts < 1 << 63).then(|| parts as f64 * 1_000.0 / 4_294_967_296.0)
    }
}

/// By how much a clock may be off (RFC 4656 §4.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorEstimate(pub(crate) u16);

/// The bit of an error estimate that says that its packet's moments are PTP's (RFC 8186 §2.1).
const PTP: u16 = 0x4000;

impl ErrorEstimate {
    /// A clock of which nothing is known: not said to be synchronized, and off by as much as can be written.
    pub(crate) const UNKNOWN: Self = Self(0x3fff);
}

/// What a sender says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) sequence: u32,
    pub(crate) at: Ntp,
    pub(crate) error: ErrorEstimate,
    /// Which session of the sender it is (RFC 8972 §3); 0: it has none.
    pub(crate) session: u16,
}

/// What a reflector answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reflected {
    pub(crate) sequence: u32,
    pub(crate) at: Ntp,
    pub(crate) error: ErrorEstimate,
    pub(crate) session: u16,
    pub(crate) received_at: Ntp,
    pub(crate) sent: Sent,
}

impl Reflected {
    /// Whether its moments are of the clock that ours are of; PTP's run ahead of UTC by the leap seconds.
    pub(crate) fn is_ntp(&self) -> bool {
        self.error.0 & PTP == 0
    }

    /// How long the reflector had the packet, in milliseconds by its own clock; `None` if its moments cannot be.
    pub(crate) fn held_ms(&self) -> Option<f64> {
        if self.is_ntp() {
            return self.at.ms_since(self.received_at);
        }
        // PTP's truncated format (IEEE 1588-2008): seconds, and nanoseconds of one.
        let nanos = |moment: Ntp| {
            let below = moment.0 & 0xffff_ffff;
            (below < 1_000_000_000)
                .then_some((moment.0 >> 32) as i64 * 1_000_000_000 + below as i64)
        };
        let held = nanos(self.at)? - nanos(self.received_at)?;
        (held >= 0).then_some(held as f64 / 1e6)
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(super) fn ntp(bytes: &[u8], at: usize) -> Option<Ntp> {
    Some(Ntp(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?)))
}

impl Sent {
    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.at.0.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.error.0.to_be_bytes());
        bytes[14..16].copy_from_slice(&self.session.to_be_bytes());
        bytes
    }

    /// What a reflector gets, if it is one that is answered.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < LEAST_BYTES {
            return None;
        }
        Some(Self {
            sequence: long(bytes, 0)?,
            at: ntp(bytes, 4)?,
            error: ErrorEstimate(word(bytes, 12)?),
            session: word(bytes, 14)?,
        })
    }
}

impl Reflected {
    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.at.0.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.error.0.to_be_bytes());
        bytes[14..16].copy_from_slice(&self.session.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.received_at.0.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.sent.sequence.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.sent.at.0.to_be_bytes());
        bytes[36..38].copy_from_slice(&self.sent.error.0.to_be_bytes());
        // The sender's time to live is not known here: 0.
        bytes
    }

    /// What a sender gets.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < LEAST_BYTES {
            return None;
        }
        let session = word(bytes, 14)?;
        Some(Self {
            sequence: long(bytes, 0)?,
            at: ntp(bytes, 4)?,
            error: ErrorEstimate(word(bytes, 12)?),
            session,
            received_at: ntp(bytes, 16)?,
            sent: Sent {
                sequence: long(bytes, 24)?,
                at: ntp(bytes, 28)?,
                error: ErrorEstimate(word(bytes, 36)?),
                session,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_laid_out_as_rfc_8762_says() {
        // Figure 3 and figure 5, written by hand.
        #[rustfmt::skip]
        let sender: [u8; 44] = [
            0, 0, 0, 7,                         // Sequence Number
            0xe0, 0, 0, 1, 0x80, 0, 0, 0,       // Timestamp
            0x8c, 0x01,                         // Error Estimate: S, Z = 0, scale 12, multiplier 1
            0x12, 0x34,                         // MBZ, by RFC 8972 the SSID
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let sent = Sent {
            sequence: 7,
            at: Ntp(0xe000_0001_8000_0000),
            error: ErrorEstimate(0x8c01),
            session: 0x1234,
        };
        assert_eq!((Sent::parse(&sender), sent.to_bytes()), (Some(sent), sender));
        #[rustfmt::skip]
        let reflector: [u8; 44] = [
            0, 0, 0, 5,                         // Sequence Number
            0xe0, 0, 0, 1, 0xc0, 0, 0, 0,       // Timestamp
            0x3f, 0xff,                         // Error Estimate
            0x12, 0x34,                         // MBZ, by RFC 8972 the SSID
            0xe0, 0, 0, 1, 0xa0, 0, 0, 0,       // Receive Timestamp
            0, 0, 0, 7,                         // Session-Sender Sequence Number
            0xe0, 0, 0, 1, 0x80, 0, 0, 0,       // Session-Sender Timestamp
            0x8c, 0x01,                         // Session-Sender Error Estimate
            0, 0,                               // MBZ
            0, 0, 0, 0,                         // Session-Sender TTL, MBZ
        ];
        let reflected = Reflected {
            sequence: 5,
            at: Ntp(0xe000_0001_c000_0000),
            error: ErrorEstimate::UNKNOWN,
            session: 0x1234,
            received_at: Ntp(0xe000_0001_a000_0000),
            sent,
        };
        assert_eq!(
            (Reflected::parse(&reflector), reflected.to_bytes()),
            (Some(reflected), reflector)
        );
        assert_eq!(reflected.at.ms_since(reflected.received_at), Some(125.0));
        assert_eq!(reflected.received_at.ms_since(reflected.at), None);
        assert_eq!(reflected.held_ms(), Some(125.0));
        let by_ptp = Reflected {
            error: ErrorEstimate(0x4001),
            received_at: Ntp((7 << 32) | 999_000_000),
            at: Ntp((8 << 32) | 1_500_000),
            ..reflected
        };
        assert_eq!(by_ptp.held_ms(), Some(2.5));
        let odd = Reflected { at: Ntp((8 << 32) | 1_000_000_000), ..by_ptp };
        assert_eq!(
            (
                odd.held_ms(),
                Reflected { at: by_ptp.received_at, received_at: by_ptp.at, ..by_ptp }.held_ms()
            ),
            (None, None)
        );
        assert!(
            Sent::parse(&sender[..40]).is_none() && Reflected::parse(&reflector[..40]).is_none()
        );
    }

    #[test]
    fn moments_are_those_of_ntp() {
        assert_eq!(Ntp::of_nanos(0), Ntp(TO_1970 << 32));
        assert_eq!(Ntp::of_nanos(1_500_000_000), Ntp(((TO_1970 + 1) << 32) | 0x8000_0000));
        // 2036-02-07T06:28:16Z is where it begins anew.
        let anew = (u128::from(u32::MAX) + 1 - u128::from(TO_1970)) * 1_000_000_000;
        assert_eq!(Ntp::of_nanos(anew), Ntp(0));
        assert_eq!(
            Ntp::of_nanos(anew).ms_since(Ntp::of_nanos(anew - 1_000_000_000)),
            Some(1_000.0)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_written(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(Sent::parse(&bytes).is_some(), bytes.len() >= LEAST_BYTES);
            if let Some(read) = Reflected::parse(&bytes) {
                let again = Reflected::parse(&read.to_bytes());
                prop_assert_eq!(again, Some(read));
                let _ = read.held_ms();
                prop_assert_eq!(&read.to_bytes()[..38], &bytes[..38]);
            }
        }
    }
}
