//! Packets of a stream (RFC 3550 §5.1, RFC 3551), which somebody sends back as they are.

use super::super::series::Answer;
use crate::voice::Codec;

/// A header without contributing sources and extensions.
pub(super) const HEADER: usize = 12;
/// Version 2, without padding, extension and contributing sources.
const VERSION: u8 = 0x80;
/// The first packet of what is spoken (RFC 3551 §4.1).
const MARKER: u8 = 0x80;
/// The first byte of a packet of Opus: speech, wideband, one frame of 20 ms (RFC 6716 §3.1, configuration 9).
const OPUS_FRAME: u8 = 9 << 3;

/// How a codec looks on the wire, in packets of 20 ms.
pub(super) struct Format {
    /// The type of the payload: RFC 3551 table 4, of Opus the dynamic one that browsers take.
    kind: u8,
    /// Bytes of the payload.
    pub(super) bytes: usize,
    /// By how much the timestamp moves: 8 kHz, of Opus always 48 kHz (RFC 7587 §4.1).
    ticks: u32,
}

pub(super) const fn format(codec: Codec) -> Format {
    match codec {
        Codec::G711 | Codec::G711Plain => Format { kind: 0, bytes: 160, ticks: 160 },
        Codec::G729 => Format { kind: 18, bytes: 20, ticks: 160 },
        Codec::Opus => Format { kind: 111, bytes: 60, ticks: 960 },
    }
}

/// One stream. What begins at random does so that nobody who does not see the packets can answer them
/// (RFC 3550 §5.1).
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) codec: Codec,
    /// Who speaks (SSRC).
    pub(super) source: u32,
    /// The number of the first packet.
    pub(super) first: u16,
    /// Its timestamp.
    pub(super) timestamp: u32,
    /// What the payload follows from.
    pub(super) key: [u8; 32],
}

impl Stream {
    /// The packet of this number, from 0 on.
    pub(super) fn packet(&self, number: u16) -> Vec<u8> {
        let format = format(self.codec);
        let marker = if number == 0 { MARKER } else { 0 };
        let timestamp = self.timestamp.wrapping_add(u32::from(number).wrapping_mul(format.ticks));
        let mut packet = Vec::with_capacity(HEADER + format.bytes);
        packet.extend([VERSION, marker | format.kind]);
        packet.extend(self.first.wrapping_add(number).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.source.to_be_bytes());
        packet.resize(HEADER + format.bytes, 0);
        let mut payload = blake3::Hasher::new_keyed(&self.key);
        payload.update(&number.to_be_bytes());
        payload.finalize_xof().fill(&mut packet[HEADER..]);
        if self.codec == Codec::Opus {
            packet[HEADER] = OPUS_FRAME;
        }
        packet
    }

    /// What came, when `sent` packets had left.
    pub(super) fn read(&self, answer: &[u8], sent: u16) -> Answer {
        let Some(([first, _, high, low], rest)) = answer.split_first_chunk() else {
            return Answer::Foreign;
        };
        let number = u16::from_be_bytes([*high, *low]).wrapping_sub(self.first);
        let is_ours = *first == VERSION
            && number < sent
            && rest.get(4..8) == Some(self.source.to_be_bytes().as_slice());
        match is_ours {
            false => Answer::Foreign,
            true if answer == self.packet(number) => Answer::To(number),
            true => Answer::Altered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(codec: Codec) -> Stream {
        Stream {
            codec,
            source: 0x0102_0304,
            first: 65_534,
            timestamp: u32::MAX - 100,
            key: [7; 32],
        }
    }

    #[test]
    fn packets_are_those_of_the_rfc() {
        let packet = stream(Codec::G711).packet(0);
        assert_eq!(packet.len(), 172);
        assert_eq!(packet[..12], [0x80, 0x80, 0xff, 0xfe, 0xff, 0xff, 0xff, 0x9b, 1, 2, 3, 4]);
        // The number and the timestamp go on past their ends.
        let packet = stream(Codec::G729).packet(3);
        assert_eq!(packet.len(), 32);
        assert_eq!(packet[..12], [0x80, 18, 0, 1, 0, 0, 1, 0x7b, 1, 2, 3, 4]);
        let packet = stream(Codec::Opus).packet(1);
        assert_eq!(packet.len(), 72);
        assert_eq!(packet[..13], [0x80, 111, 0xff, 0xff, 0, 0, 3, 0x5b, 1, 2, 3, 4, 0x48]);
        assert_ne!(packet[13..], stream(Codec::Opus).packet(2)[13..]);
    }

    #[test]
    fn what_is_not_ours_is_told_apart() {
        let stream = stream(Codec::G711);
        assert_eq!(stream.read(&stream.packet(4), 5), Answer::To(4));
        assert_eq!(stream.read(&stream.packet(5), 5), Answer::Foreign, "it was not sent yet");
        let other = Stream { source: 9, ..stream.clone() };
        assert_eq!(stream.read(&other.packet(4), 5), Answer::Foreign);
        let guessed = Stream { key: [8; 32], ..stream.clone() };
        assert_eq!(stream.read(&guessed.packet(4), 5), Answer::Altered);
        let mut long = stream.packet(4);
        long.push(0);
        assert_eq!(stream.read(&long, 5), Answer::Altered);
        assert_eq!(stream.read(&stream.packet(4)[..11], 5), Answer::Foreign);
    }

    proptest! {
        #[test]
        fn no_answer_panics_and_only_ours_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300), sent in any::<u16>(), number in 0_u16..1_500, at in 0_usize..32, bit in 0_u8..8) {
            let stream = stream(Codec::G729);
            prop_assert!(!matches!(stream.read(&bytes, sent), Answer::To(_)));
            let mut changed = stream.packet(number);
            changed[at] ^= 1 << bit;
            prop_assert!(!matches!(stream.read(&changed, 1_500), Answer::To(_)));
        }
    }
}
