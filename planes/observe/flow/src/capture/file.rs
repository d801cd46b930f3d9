//! The files: pcap (Wireshark's wiki, `Development/LibpcapFileFormat`) and pcapng
//! (draft-ietf-opsawg-pcapng).

use std::io::{self, Read};

/// Largest packet or block that is read; libpcap's own bound for packets is 256 KiB.
const MAX_BLOCK: usize = 16 << 20;
/// Most interfaces of one section.
const MAX_INTERFACES: usize = 4_096;

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is not a capture, and too long for one datagram.
    #[error(
        "it is neither pcap nor pcapng, and too long for one datagram; datagrams one after the other need --raw prefixed"
    )]
    NoCapture,
    /// It ends within a packet.
    #[error("it ends within a packet or datagram; what came before was decoded")]
    Ends,
    /// A length that nothing has.
    #[error("it says that a packet or datagram has {0} bytes; what came before was decoded")]
    Length(u64),
    /// It is not built as it should be.
    #[error("it is damaged: {0}; what came before was decoded")]
    Damaged(&'static str),
}

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whether it is little-endian, and nanoseconds for a unit of its fractions.
    Pcap {
        little: bool,
        unit_ns: i64,
    },
    PcapNg,
}

impl Kind {
    /// By the first four bytes.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let pcap = |little, unit_ns| Some(Self::Pcap { little, unit_ns });
        match head {
            [0xd4, 0xc3, 0xb2, 0xa1] => pcap(true, 1_000),
            [0xa1, 0xb2, 0xc3, 0xd4] => pcap(false, 1_000),
            [0x4d, 0x3c, 0xb2, 0xa1] => pcap(true, 1),
            [0xa1, 0xb2, 0x3c, 0x4d] => pcap(false, 1),
            [0x0a, 0x0d, 0x0d, 0x0a] => Some(Self::PcapNg),
            _ => None,
        }
    }
}

/// A packet as it was captured.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// `LINKTYPE_…` of the capture.
    pub(super) link: u32,
    pub(super) time_ns: i64,
    /// The capture has not all of it.
    pub(super) cut: bool,
    pub(super) bytes: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: u32,
    /// Units of time in a second.
    per_second: u64,
    offset_s: i64,
}

/// The packets of a file.
#[derive(Debug)]
pub(super) struct Packets<R> {
    kind: Kind,
    input: R,
    little: bool,
    interfaces: Vec<Interface>,
    block: Vec<u8>,
}

impl<R: Read> Packets<R> {
    pub(super) fn new(kind: Kind, mut input: R) -> Result<Self, CaptureError> {
        let (mut little, mut interfaces) = (false, Vec::new());
        if let Kind::Pcap { little: order, unit_ns } = kind {
            little = order;
            let mut head = [0; 24];
            input.read_exact(&mut head).map_err(ends)?;
            // The upper bits say how long the frame check sequence is.
            let link = word(&head, 20, little) & 0x0fff_ffff;
            let per_second = if unit_ns == 1 { 1_000_000_000 } else { 1_000_000 };
            interfaces.push(Interface { link, per_second, offset_s: 0 });
        }
        Ok(Self { kind, input, little, interfaces, block: Vec::new() })
    }

    /// The next packet.
    pub(super) fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match self.kind {
            Kind::Pcap { unit_ns, .. } => self.next_of_pcap(unit_ns),
            Kind::PcapNg => self.next_of_blocks(),
        }
    }

    fn next_of_pcap(&mut self, unit_ns: i64) -> Result<Option<Packet<'_>>, CaptureError> {
        let Some(head) = self.head::<16>()? else { return Ok(None) };
        let of = |at| word(&head, at, self.little);
        let (length, whole) = (of(8), of(12));
        let time_ns = i64::from(of(0)) * 1_000_000_000 + i64::from(of(4)) * unit_ns;
        self.fill(length as usize)?;
        let link = self.interfaces.first().map_or(0, |interface| interface.link);
        Ok(Some(Packet { link, time_ns, cut: whole > length, bytes: &self.block }))
    }

    fn next_of_blocks(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        loop {
            let Some(head) = self.head::<8>()? else { return Ok(None) };
            let mut length = word(&head, 4, self.little) as usize;
            if head[..4] == [0x0a, 0x0d, 0x0d, 0x0a] {
                // A section has its own byte order and interfaces.
                let mut magic = [0; 4];
                self.input.read_exact(&mut magic).map_err(ends)?;
                self.little = match magic {
                    [0x4d, 0x3c, 0x2b, 0x1a] => true,
                    [0x1a, 0x2b, 0x3c, 0x4d] => false,
                    _ => return Err(CaptureError::Damaged("a section has no byte order")),
                };
                length = word(&head, 4, self.little) as usize;
                let left = length.checked_sub(12).ok_or(CaptureError::Length(length as u64))?;
                self.fill(left)?;
                self.interfaces.clear();
                continue;
            }
            let left = length.checked_sub(8).filter(|left| *left >= 4);
            self.fill(left.ok_or(CaptureError::Length(length as u64))?)?;
            match word(&head, 0, self.little) {
                1 => self.interface()?,
                // Enhanced and simple packet blocks, and the packet block of old.
                6 => return self.packet(true).map(Some),
                2 => return self.packet(false).map(Some),
                3 => return self.simple().map(Some),
                _ => {}
            }
        }
    }

    /// Interface description block.
    fn interface(&mut self) -> Result<(), CaptureError> {
        if self.block.len() < 12 || self.interfaces.len() >= MAX_INTERFACES {
            return Err(CaptureError::Damaged("a description of an interface"));
        }
        let link = u32::from(short(&self.block, 0, self.little));
        let mut interface = Interface { link, per_second: 1_000_000, offset_s: 0 };
        let mut options = &self.block[8..self.block.len() - 4];
        while options.len() >= 4 {
            let (code, length) =
                (short(options, 0, self.little), short(options, 2, self.little) as usize);
            let Some(value) = options.get(4..4 + length) else { break };
            match (code, value) {
                (0, _) => break,
                // if_tsresol: a power of ten, or of two if the first bit is set.
                (9, [unit]) if unit & 0x80 == 0 && *unit <= 19 => {
                    interface.per_second = 10_u64.pow(u32::from(*unit));
                }
                (9, [unit]) if unit & 0x80 != 0 && unit & 0x7f < 64 => {
                    interface.per_second = 1 << (unit & 0x7f);
                }
                (9, _) => return Err(CaptureError::Damaged("a unit of time")),
                (14, value) if value.len() == 8 => {
                    let (low, high) = (word(value, 0, self.little), word(value, 4, self.little));
                    let (low, high) = if self.little { (low, high) } else { (high, low) };
                    interface.offset_s = (u64::from(high) << 32 | u64::from(low)).cast_signed();
                }
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        }
        self.interfaces.push(interface);
        Ok(())
    }

    fn packet(&self, enhanced: bool) -> Result<Packet<'_>, CaptureError> {
        let block = &self.block;
        if block.len() < 24 {
            return Err(CaptureError::Damaged("a packet block without a head"));
        }
        let of = |at| word(block, at, self.little);
        let index = if enhanced { of(0) } else { u32::from(short(block, 0, self.little)) };
        let interface = self.interfaces.get(index as usize);
        let interface = interface.ok_or(CaptureError::Damaged("a packet of no interface"))?;
        let ticks = u64::from(of(4)) << 32 | u64::from(of(8));
        let (length, whole) = (of(12), of(16));
        let bytes = block.get(20..20 + length as usize);
        let bytes = bytes.ok_or(CaptureError::Length(length.into()))?;
        Ok(Packet {
            link: interface.link,
            time_ns: nanoseconds(ticks, interface),
            cut: whole > length,
            bytes,
        })
    }

    fn simple(&self) -> Result<Packet<'_>, CaptureError> {
        let interface = self.interfaces.first();
        let interface = interface.ok_or(CaptureError::Damaged("a packet of no interface"))?;
        let held = self.block.len().saturating_sub(8);
        let whole = word(&self.block, 0, self.little) as usize;
        let bytes = self.block.get(4..4 + held.min(whole));
        let bytes = bytes.ok_or(CaptureError::Damaged("a simple packet block"))?;
        Ok(Packet { link: interface.link, time_ns: 0, cut: whole > held, bytes })
    }

    /// The next bytes; `None` at the end of the file.
    fn head<const N: usize>(&mut self) -> Result<Option<[u8; N]>, CaptureError> {
        let mut head = [0; N];
        let mut have = 0;
        while have < N {
            match self.input.read(&mut head[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(CaptureError::Ends),
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(head))
    }

    /// Reads so many bytes into the block. A lying length costs no memory: room is made as bytes come.
    fn fill(&mut self, length: usize) -> Result<(), CaptureError> {
        if length > MAX_BLOCK {
            return Err(CaptureError::Length(length as u64));
        }
        self.block.clear();
        let read = self.input.by_ref().take(length as u64).read_to_end(&mut self.block)?;
        if read < length { Err(CaptureError::Ends) } else { Ok(()) }
    }
}

fn ends(error: io::Error) -> CaptureError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CaptureError::Ends,
        _ => CaptureError::Read(error),
    }
}

fn nanoseconds(ticks: u64, interface: &Interface) -> i64 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(interface.per_second);
    let offset = interface.offset_s.saturating_mul(1_000_000_000);
    i64::try_from(ns).unwrap_or(i64::MAX).saturating_add(offset)
}

/// Callers know that the bytes are there; what is not counts as 0.
fn word(bytes: &[u8], at: usize, little: bool) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied();
    let word = word.unwrap_or_default();
    if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }
}

fn short(bytes: &[u8], at: usize, little: bool) -> u16 {
    let short = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).copied();
    let short = short.unwrap_or_default();
    if little { u16::from_le_bytes(short) } else { u16::from_be_bytes(short) }
}
