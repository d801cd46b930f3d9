//! When a file has to be read again.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What tells one state of a file from another: `None` if it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(of: &Metadata) -> Self {
        Self { file: of.ino(), bytes: of.len(), changed: (of.mtime(), of.mtime_nsec()) }
    }
}

/// Whether files are others than those that were read.
#[derive(Debug)]
pub struct FileChanges {
    files: Vec<PathBuf>,
    read: Vec<Option<Stamp>>,
    seen: Vec<Option<Stamp>>,
}

impl FileChanges {
    /// Of these files, as they are now. Make it before they are read.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let now = stamps(&files);
        Self { files, read: now.clone(), seen: now }
    }

    /// Whether to read them again: they changed, and did not since the last look, so that no file is
    /// read while it is written.
    pub fn look(&mut self) -> bool {
        let now = stamps(&self.files);
        self.judge(now)
    }

    fn judge(&mut self, now: Vec<Option<Stamp>>) -> bool {
        let due = now != self.read && now == self.seen;
        if due {
            self.read.clone_from(&now);
        }
        self.seen = now;
        due
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files.iter().map(|file| std::fs::metadata(file).ok().map(|of| Stamp::of(&of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(bytes: u64) -> Option<Stamp> {
        Some(Stamp { file: 1, bytes, changed: (1, 1) })
    }

    #[test]
    fn a_file_is_read_again_once_it_rests() {
        let mut changes = FileChanges { files: vec![], read: vec![stamp(1)], seen: vec![stamp(1)] };
        assert!(!changes.judge(vec![stamp(1)]));
        // It is being written.
        assert!(!changes.judge(vec![stamp(2)]));
        assert!(!changes.judge(vec![stamp(3)]));
        assert!(changes.judge(vec![stamp(3)]));
        assert!(!changes.judge(vec![stamp(3)]));
        // It goes, and comes again as it was.
        assert!(!changes.judge(vec![None]));
        assert!(!changes.judge(vec![stamp(3)]));
        assert!(!changes.judge(vec![stamp(3)]));
        assert!(!changes.judge(vec![None]));
        assert!(changes.judge(vec![None]));
    }
}
