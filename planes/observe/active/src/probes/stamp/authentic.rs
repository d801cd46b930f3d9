//! Packets of STAMP with authentication (RFC 8762 §4.2.2, §4.3.2): 112 bytes, of which the last 16 are an HMAC-SHA-256
//! of the 96 before them (§4.4).

use std::path::Path;

use ring::hmac;
use subtle::ConstantTimeEq;

use super::super::files;
use super::wire::{ErrorEstimate, Ntp, Reflected, Sent, long, ntp, word};

/// Bytes of a packet, either way.
pub(crate) const BYTES: usize = 112;
/// What the HMAC covers, and its length.
const COVERED: usize = 96;
const HMAC_BYTES: usize = 16;
/// Fewest and most bytes of a key.
const KEY_BYTES: (usize, usize) = (16, 64);

/// A key that two ends share.
#[derive(Clone)]
pub(crate) struct Key(hmac::Key);

impl Key {
    /// The key that a file holds: 32 to 128 hexadecimal digits.
    ///
    /// # Errors
    /// A text that names the file.
    pub(crate) async fn read(file: &Path) -> Result<Self, String> {
        let bytes = files::read(file).await?;
        Self::parse(&bytes).ok_or_else(|| {
            let (least, most) = KEY_BYTES;
            format!(
                "{}: it holds no key of STAMP: {} to {} hexadecimal digits, as openssl rand -hex 32 makes them",
                file.display(),
                2 * least,
                2 * most
            )
        })
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.trim_ascii();
        let right = digits.len().is_multiple_of(2)
            && (2 * KEY_BYTES.0..=2 * KEY_BYTES.1).contains(&digits.len())
            && digits.iter().all(u8::is_ascii_hexdigit);
        let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|two| value(two[0]) << 4 | value(two[1])).collect();
        right.then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    fn seal(&self, packet: &mut [u8; BYTES]) {
        let tag = hmac::sign(&self.0, &packet[..COVERED]);
        packet[COVERED..].copy_from_slice(&tag.as_ref()[..HMAC_BYTES]);
    }

    /// Whether a packet is from who has the key too.
    pub(crate) fn is_of(&self, packet: &[u8]) -> bool {
        let Some((covered, rest)) = packet.split_at_checked(COVERED) else { return false };
        let Some(told) = rest.get(..HMAC_BYTES) else { return false };
        hmac::sign(&self.0, covered).as_ref()[..HMAC_BYTES].ct_eq(told).into()
    }

    pub(crate) fn sent(&self, sent: &Sent) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&sent.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&sent.at.0.to_be_bytes());
        bytes[24..26].copy_from_slice(&sent.error.0.to_be_bytes());
        bytes[26..28].copy_from_slice(&sent.session.to_be_bytes());
        self.seal(&mut bytes);
        bytes
    }

    /// What a reflector gets, if it is from who has the key too.
    pub(crate) fn parse_sent(&self, bytes: &[u8]) -> Option<Sent> {
        self.is_of(bytes).then(|| {
            Some(Sent {
                sequence: long(bytes, 0)?,
                at: ntp(bytes, 16)?,
                error: ErrorEstimate(word(bytes, 24)?),
                session: word(bytes, 26)?,
            })
        })?
    }

    pub(crate) fn reflected(&self, reflected: &Reflected) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&reflected.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&reflected.at.0.to_be_bytes());
        bytes[24..26].copy_from_slice(&reflected.error.0.to_be_bytes());
        bytes[26..28].copy_from_slice(&reflected.session.to_be_bytes());
        bytes[32..40].copy_from_slice(&reflected.received_at.0.to_be_bytes());
        bytes[48..52].copy_from_slice(&reflected.sent.sequence.to_be_bytes());
        bytes[64..72].copy_from_slice(&reflected.sent.at.0.to_be_bytes());
        bytes[72..74].copy_from_slice(&reflected.sent.error.0.to_be_bytes());
        // The sender's time to live is not known here: 0.
        self.seal(&mut bytes);
        bytes
    }

    /// What a sender gets, if it is from who has the key too.
    pub(crate) fn parse_reflected(&self, bytes: &[u8]) -> Option<Reflected> {
        if !self.is_of(bytes) {
            return None;
        }
        let at = |moment| -> Option<Ntp> { ntp(bytes, moment) };
        let session = word(bytes, 26)?;
        Some(Reflected {
            sequence: long(bytes, 0)?,
            at: at(16)?,
            error: ErrorEstimate(word(bytes, 24)?),
            session,
            received_at: at(32)?,
            sent: Sent {
                sequence: long(bytes, 48)?,
                at: at(64)?,
                error: ErrorEstimate(word(bytes, 72)?),
                session,
            },
        })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let tag = |key: &Self| hmac::sign(&key.0, b"");
        tag(self).as_ref().ct_eq(tag(other).as_ref()).into()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> Key {
        Key::parse(format!("{byte:02x}").repeat(20).as_bytes()).expect("a key")
    }

    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        // Test case 1: 20 bytes of 0x0b, "Hi There"; the first 16 bytes of the tag.
        let tag = hmac::sign(&key(0x0b).0, b"Hi There");
        let wanted = [
            0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b,
            0xf1, 0x2b,
        ];
        assert_eq!(tag.as_ref()[..HMAC_BYTES], wanted);
    }

    #[test]
    fn packets_are_laid_out_as_rfc_8762_says() {
        let sent = Sent {
            sequence: 7,
            at: Ntp(0xe000_0001_8000_0000),
            error: ErrorEstimate(0x8c01),
            session: 0x1234,
        };
        let bytes = key(1).sent(&sent);
        // Figure 4: number, 12 of nothing, moment, error, by RFC 8972 the SSID, nothing up to the HMAC.
        assert_eq!(bytes[..16], [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[16..28], [0xe0, 0, 0, 1, 0x80, 0, 0, 0, 0x8c, 0x01, 0x12, 0x34]);
        assert_eq!(bytes[28..96], [0; 68]);
        assert_eq!(key(1).parse_sent(&bytes), Some(sent));
        let reflected = Reflected {
            sequence: 5,
            at: Ntp(0xe000_0001_c000_0000),
            error: ErrorEstimate::UNKNOWN,
            session: 0x1234,
            received_at: Ntp(0xe000_0001_a000_0000),
            sent,
        };
        let bytes = key(1).reflected(&reflected);
        // Figure 6.
        assert_eq!(bytes[..4], [0, 0, 0, 5]);
        assert_eq!(
            bytes[16..32],
            [0xe0, 0, 0, 1, 0xc0, 0, 0, 0, 0x3f, 0xff, 0x12, 0x34, 0, 0, 0, 0]
        );
        assert_eq!(bytes[32..48], [0xe0, 0, 0, 1, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[48..52], [0, 0, 0, 7]);
        assert_eq!(bytes[64..74], [0xe0, 0, 0, 1, 0x80, 0, 0, 0, 0x8c, 0x01]);
        assert_eq!(key(1).parse_reflected(&bytes), Some(reflected));
        assert_eq!((key(2).parse_reflected(&bytes), key(2).parse_sent(&bytes)), (None, None));
        for bad in ["", "abc", &"0".repeat(30), &"0".repeat(130), &"g".repeat(32), &"0".repeat(33)]
        {
            assert!(Key::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert_eq!(Key::parse(b" 00112233445566778899aabbccddeeff\n").map(|_| ()), Some(()));
    }

    proptest! {
        #[test]
        fn what_was_altered_is_not_authentic(at in 0..BYTES, flip in 1_u8..=255, sequence: u32, length in 0..200_usize) {
            let sent = Sent { sequence, at: Ntp(1), error: ErrorEstimate::UNKNOWN, session: 3 };
            let mut bytes = key(9).sent(&sent);
            bytes[at] ^= flip;
            prop_assert_eq!(key(9).parse_sent(&bytes), None);
            prop_assert_eq!(key(9).parse_reflected(&vec![0; length]), None);
        }
    }
}
