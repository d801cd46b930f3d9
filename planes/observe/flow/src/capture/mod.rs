//! Captures and files of datagrams, read offline: pcap, pcapng, raw datagrams.
//!
//! What comes in: bytes of a file. What goes out: datagrams of exporters with who sent them and when,
//! and counters of what was passed over. A capture is as hostile as the network: lengths are checked,
//! what is kept between packets is bounded.

mod file;
mod frame;
mod stream;

use std::io::{self, Read};
use std::net::SocketAddr;

pub use file::CaptureError;
use file::{Kind, Packets};
use frame::Found;
use stream::Streams;

use crate::read::Reader;

/// How raw bytes that are no capture are cut into datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// The whole file is one.
    One,
    /// Before each stands its length: four bytes, most significant first.
    Prefixed,
}

/// What a capture had besides datagrams of exporters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Packets in all.
    pub packets: u64,
    /// Datagrams and messages that were given on.
    pub datagrams: u64,
    /// Packets that are neither UDP nor TCP over IP, or of a link type that is not read.
    pub other: u64,
    /// UDP datagrams that do not look like an exporter's, or went to other ports.
    pub foreign: u64,
    /// Packets of which the capture has not all.
    pub cut: u64,
    /// Fragments of datagrams of which not all came.
    pub fragments: u64,
    /// TCP segments that could not be put into order.
    pub segments: u64,
}

/// One datagram, or one IPFIX message of a TCP session.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// When it was captured, nanoseconds since 1970; 0 of raw datagrams.
    pub time_ns: i64,
    /// Whether it came over TCP.
    pub tcp: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Reads a file to its end and gives on each datagram of an exporter. With `ports` empty, what looks
/// like NetFlow, IPFIX or sFlow is; otherwise what went to one of those ports.
///
/// # Errors
/// [`CaptureError`]; what came before was given on.
pub fn read_datagrams(
    input: impl Read,
    raw: Raw,
    ports: &[u16],
    each: &mut dyn FnMut(Sent<'_>),
) -> Result<Passed, CaptureError> {
    let mut input = io::BufReader::with_capacity(1 << 16, input);
    let mut passed = Passed::default();
    let mut head = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut head)?;
    let Some(kind) = Kind::of(&head) else {
        raw_datagrams(head.chain(input), raw, &mut passed, each)?;
        return Ok(passed);
    };
    let mut packets = Packets::new(kind, head.chain(input))?;
    let (mut frames, mut streams) = (frame::Frames::default(), Streams::default());
    while let Some(packet) = packets.next()? {
        passed.packets += 1;
        passed.cut += u64::from(packet.cut);
        match frames.read(packet.link, packet.bytes, &mut passed) {
            Some(Found::Udp { from, to, bytes }) => {
                let ours = match ports {
                    [] => looks_like_an_export(bytes),
                    _ => ports.contains(&to.port()),
                };
                if ours {
                    passed.datagrams += 1;
                    each(Sent { from, time_ns: packet.time_ns, tcp: false, bytes });
                } else {
                    passed.foreign += 1;
                }
            }
            Some(Found::Tcp(segment)) => {
                if !ports.is_empty() && !ports.contains(&segment.to.port()) {
                    passed.foreign += 1;
                    continue;
                }
                let from = segment.from;
                passed.segments += streams.take(&segment, &mut |bytes| {
                    passed.datagrams += 1;
                    each(Sent { from, time_ns: packet.time_ns, tcp: true, bytes });
                });
            }
            None => {}
        }
    }
    Ok(passed)
}

/// Who raw datagrams are said to come from: nobody told.
const NOBODY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
/// Longest datagram: its length has 16 bits.
const MAX_DATAGRAM: u64 = 65_535;

fn raw_datagrams(
    mut input: impl Read,
    raw: Raw,
    passed: &mut Passed,
    each: &mut dyn FnMut(Sent<'_>),
) -> Result<(), CaptureError> {
    let mut bytes = Vec::new();
    let mut give = |bytes: &[u8]| {
        passed.packets += 1;
        passed.datagrams += 1;
        each(Sent { from: NOBODY, time_ns: 0, tcp: false, bytes });
    };
    if raw == Raw::One {
        input.take(MAX_DATAGRAM + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_DATAGRAM {
            return Err(CaptureError::NoCapture);
        }
        if !bytes.is_empty() {
            give(&bytes);
        }
        return Ok(());
    }
    loop {
        bytes.clear();
        input.by_ref().take(4).read_to_end(&mut bytes)?;
        let length = match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(length) => u64::from(u32::from_be_bytes(length)),
            Err(_) if bytes.is_empty() => return Ok(()),
            Err(_) => return Err(CaptureError::Ends),
        };
        if length > MAX_DATAGRAM {
            return Err(CaptureError::Length(length));
        }
        bytes.clear();
        input.by_ref().take(length).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < length {
            return Err(CaptureError::Ends);
        }
        give(&bytes);
    }
}

/// Whether a datagram is built like one of the four protocols: a stricter look than a decoder's, for
/// there is other traffic in a capture.
fn looks_like_an_export(bytes: &[u8]) -> bool {
    let mut at = Reader::new(bytes);
    let (Some(version), Some(second)) = (at.u16(), at.u16()) else { return false };
    match version {
        5 => (1..=30).contains(&second) && bytes.len() == 24 + 48 * usize::from(second),
        9 => bytes.get(20..).is_some_and(|sets| are_sets(sets, |id| id <= 1)),
        10 => {
            usize::from(second) == bytes.len()
                && bytes.get(16..).is_some_and(|sets| are_sets(sets, |id| id == 2 || id == 3))
        }
        0 => second == 5 && matches!(at.u32(), Some(1 | 2)) && bytes.len() >= 28,
        _ => false,
    }
}

/// Whether all of it is sets: templates, as `is_template` says, and data.
fn are_sets(mut bytes: &[u8], is_template: impl Fn(u16) -> bool) -> bool {
    while let Some(&[i0, i1, l0, l1]) = bytes.first_chunk::<4>() {
        let (id, length) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([l0, l1]));
        let good = (is_template(id) || id >= 256) && length >= 4;
        let Some(rest) = bytes.get(usize::from(length)..).filter(|_| good) else { return false };
        bytes = rest;
    }
    bytes.len() < 4
}
