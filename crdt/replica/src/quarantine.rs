//! Documents that failed to apply, kept to be looked at: a bounded ring.

use std::collections::VecDeque;

use holm_model::{DocId, Millis};

/// Most entries kept.
pub const MAX_QUARANTINED: usize = 32;
/// Most bytes kept of all entries together.
pub const MAX_QUARANTINED_BYTES: usize = 8 * 1024 * 1024;

/// Something that failed to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The document that it was said to be.
    pub doc: DocId,
    /// Who sent it; `disk` for what this node's own store held.
    pub from: String,
    /// When it came.
    pub at: Millis,
    /// What is wrong with it.
    pub reason: String,
    /// How long it was, in bytes.
    pub len: usize,
    /// The bytes themselves; empty if they were too many to keep.
    pub bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    ring: VecDeque<Quarantined>,
    bytes: usize,
    /// Entries that made room for later ones.
    pub(crate) evicted: u64,
}

impl Quarantine {
    pub(crate) fn push(&mut self, mut entry: Quarantined) {
        if entry.bytes.len() > MAX_QUARANTINED_BYTES {
            entry.bytes = Vec::new();
        }
        self.bytes += entry.bytes.len();
        self.ring.push_back(entry);
        while self.ring.len() > MAX_QUARANTINED || self.bytes > MAX_QUARANTINED_BYTES {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= oldest.bytes.len();
            self.evicted += 1;
        }
    }

    /// A good copy came: what was wrong before matters no more.
    pub(crate) fn clear(&mut self, doc: DocId) {
        self.ring.retain(|entry| entry.doc != doc);
        self.bytes = self.ring.iter().map(|entry| entry.bytes.len()).sum();
    }

    pub(crate) fn entries(&self) -> Vec<Quarantined> {
        self.ring.iter().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_both_bounds() {
        let entry = |i: u8, len: usize| Quarantined {
            doc: DocId([i; 16]),
            from: "peer".into(),
            at: Millis(0),
            reason: "bad".into(),
            len,
            bytes: vec![i; len],
        };
        let mut quarantine = Quarantine::default();
        for i in 0..40 {
            quarantine.push(entry(i, 10));
        }
        assert_eq!((quarantine.len(), quarantine.evicted), (MAX_QUARANTINED, 8));
        quarantine.push(entry(100, MAX_QUARANTINED_BYTES - 5));
        assert_eq!(quarantine.len(), 1);
        quarantine.push(entry(101, MAX_QUARANTINED_BYTES + 1));
        assert!(quarantine.entries()[1].bytes.is_empty());
        quarantine.clear(DocId([100; 16]));
        assert_eq!((quarantine.len(), quarantine.bytes), (1, 0));
    }
}
