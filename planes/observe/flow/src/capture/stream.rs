//! TCP sessions of a capture put into order, and cut into IPFIX messages.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::frame::Segment;

/// Sessions that are followed at once.
const MAX_SESSIONS: usize = 256;
/// Segments of one session that wait for those before.
const MAX_WAITING: usize = 64;
const HEAD: usize = 16;

#[derive(Debug, Default)]
struct Session {
    /// The sequence number of the byte that comes next.
    next: u32,
    bytes: Vec<u8>,
    waiting: BTreeMap<u32, Vec<u8>>,
    /// It is not IPFIX.
    foreign: bool,
}

/// The sessions of a capture.
#[derive(Debug, Default)]
pub(super) struct Streams(HashMap<(SocketAddr, SocketAddr), Session>);

impl Streams {
    /// Takes a segment and gives on the messages that are whole by it; how many segments were given up.
    pub(super) fn take(&mut self, segment: &Segment<'_>, each: &mut dyn FnMut(&[u8])) -> u64 {
        let key = (segment.from, segment.to);
        if segment.syn {
            self.0.remove(&key);
        }
        if !self.0.contains_key(&key) {
            if self.0.len() >= MAX_SESSIONS {
                return 1;
            }
            let next = segment.sequence.wrapping_add(u32::from(segment.syn));
            self.0.insert(key, Session { next, ..Session::default() });
        }
        let Some(session) = self.0.get_mut(&key) else { return 0 };
        if segment.syn || segment.bytes.is_empty() || session.foreign {
            return 0;
        }
        let lost = session.put(segment.sequence, segment.bytes);
        session.messages(each);
        lost
    }
}

impl Session {
    fn put(&mut self, sequence: u32, bytes: &[u8]) -> u64 {
        if !self.append(sequence, bytes) {
            if self.waiting.len() < MAX_WAITING {
                self.waiting.insert(sequence, bytes.to_vec());
                return 0;
            }
            // What is missing will not come: messages begin anew with what there is.
            let given_up = self.waiting.len() as u64;
            self.waiting.clear();
            self.bytes.clear();
            self.next = sequence;
            self.append(sequence, bytes);
            return given_up;
        }
        while let Some((sequence, bytes)) = self.waiting.pop_first() {
            if !self.append(sequence, &bytes) {
                self.waiting.insert(sequence, bytes);
                break;
            }
        }
        0
    }

    /// Appends what is new of a segment; `false` if something before it is missing.
    fn append(&mut self, sequence: u32, bytes: &[u8]) -> bool {
        let known = self.next.wrapping_sub(sequence);
        if known > 1 << 31 {
            return false;
        }
        if let Some(new) = bytes.get(known as usize..) {
            self.bytes.extend_from_slice(new);
            self.next = self.next.wrapping_add(new.len() as u32);
        }
        true
    }

    fn messages(&mut self, each: &mut dyn FnMut(&[u8])) {
        let mut used = 0;
        while let Some(&[v0, v1, l0, l1]) = self.bytes[used..].first_chunk::<4>() {
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            if u16::from_be_bytes([v0, v1]) != 10 || length < HEAD {
                self.foreign = true;
                self.bytes = Vec::new();
                return;
            }
            let Some(message) = self.bytes.get(used..used + length) else { break };
            each(message);
            used += length;
        }
        self.bytes.drain(..used);
    }
}
