//! The files of all tables, and which of them must go. Judges only: it is told the time and does no
//! I/O but the look at the folder when the store opens.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use holm_model::Millis;

use crate::file::{COLD_EXTENSION, EXTENSION, EventFile, FileName, Hour, Remote, Shelving};
use crate::limits::{Limits, TableLimits};
use crate::sealed::plain_bytes;

/// Files smaller than this are put together.
const SMALL_BYTES: u64 = 64 << 20;
/// About how large a file becomes that others are put together in.
const TARGET_BYTES: u64 = 256 << 20;
/// One is no more than such a part of what its table may have: the oldest go by whole files.
const MERGED_PARTS: u64 = 8;
/// Files put together at once.
pub(crate) const MAX_MERGED: usize = 64;
/// Small files of an hour that still goes on, before they are put together.
const MIN_MERGED: usize = 32;
/// Rows may come late: an hour is over this long after its end.
const LATE_MS: u64 = 300_000;

/// Why files were dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Older than is kept.
    Age,
    /// The table, or the store, has more bytes than it may.
    Quota,
    /// The disk is full.
    DiskFull,
}

/// The files by table, each table's in order of hour and of the log segments in them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    tables: BTreeMap<Box<str>, Vec<Arc<EventFile>>>,
}

/// What was found when the folder was looked through.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) shelf: Shelf,
    /// Files whose rows are in another file: a crash came after that was made.
    pub(crate) superseded: u64,
    /// Files that cannot be sealed files of this store.
    pub(crate) set_aside: u64,
    /// Highest segment number in a name.
    pub(crate) highest: u64,
}

impl Shelf {
    /// Looks through the folder. What a crash left half done is taken away.
    pub(crate) fn look(shelving: &Shelving) -> io::Result<Found> {
        let mut found = Found::default();
        for table in folders(&shelving.root)? {
            for day in folders(&shelving.root.join(&table))? {
                for hour in folders(&shelving.root.join(&table).join(&day))? {
                    let within = format!("{day}/{hour}");
                    look_through(shelving, &table, &within, &mut found)?;
                }
            }
        }
        for files in found.shelf.tables.values_mut() {
            files.sort_by_key(|file| (file.hour, file.name.lo, file.name.hi));
            let mut kept = Vec::with_capacity(files.len());
            for of_hour in files.chunk_by(|a, b| a.hour == b.hour) {
                for file in of_hour {
                    if of_hour.iter().any(|other| other.name.covers(&file.name)) {
                        file.doom();
                        found.superseded += 1;
                    } else {
                        kept.push(Arc::clone(file));
                    }
                }
            }
            *files = kept;
        }
        Ok(found)
    }

    pub(crate) fn of(&self, table: &str) -> &[Arc<EventFile>] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (&str, &[Arc<EventFile>])> {
        self.tables.iter().map(|(name, files)| (&**name, files.as_slice()))
    }

    pub(crate) fn add(&mut self, table: &str, file: Arc<EventFile>) {
        let files = self.tables.entry(table.into()).or_default();
        let key = |file: &EventFile| (file.hour, file.name.lo, file.name.hi);
        let at = files.partition_point(|other| key(other) < key(&file));
        files.insert(at, file);
    }

    /// Takes files off; they go from the disk when nobody reads them any more.
    pub(crate) fn take_off(&mut self, table: &str, gone: &[Arc<EventFile>]) {
        if let Some(files) = self.tables.get_mut(table) {
            files.retain(|file| !gone.iter().any(|other| Arc::ptr_eq(file, other)));
        }
    }

    /// Whether all of these are still there.
    pub(crate) fn has(&self, table: &str, files: &[Arc<EventFile>]) -> bool {
        let held = self.tables.get(table);
        let has =
            |file: &Arc<EventFile>| held.is_some_and(|h| h.iter().any(|f| Arc::ptr_eq(f, file)));
        files.iter().all(has)
    }

    /// The files that were made of exactly that segment.
    pub(crate) fn made_of(&self, segment: u64) -> Vec<(String, Arc<EventFile>)> {
        let all = self.tables.iter().flat_map(|(table, files)| {
            files.iter().map(move |file| (table.to_string(), Arc::clone(file)))
        });
        all.filter(|(_, file)| file.name.lo == segment && file.name.hi == segment).collect()
    }

    /// Bytes and rows of a table.
    pub(crate) fn size(&self, table: &str) -> (u64, u64) {
        let files = self.of(table);
        (files.iter().map(|f| f.bytes()).sum(), files.iter().map(|f| f.rows()).sum())
    }

    /// Bytes of all tables.
    pub(crate) fn bytes(&self) -> u64 {
        self.tables.values().flatten().map(|file| file.bytes()).sum()
    }

    /// What must go, oldest first: by age; then of each table over its quota; then, while the store is
    /// over its own (`beside` bytes of log are counted too), of the largest table.
    pub(crate) fn over(
        &self,
        limits: &Limits,
        beside: u64,
        now: Millis,
        cold_age_ms: Option<u64>,
    ) -> Vec<(String, Arc<EventFile>, Reason)> {
        let mut gone = Vec::new();
        let mut left: BTreeMap<&str, (VecDeque<Arc<EventFile>>, u64)> = BTreeMap::new();
        let (cools, cold_age_ms) = (cold_age_ms.is_some(), cold_age_ms.unwrap_or(u64::MAX));
        for (table, files) in self.tables() {
            let TableLimits { max_bytes, max_age_ms } = limits.of(table);
            let mut bytes: u64 = files.iter().map(|file| file.bytes()).sum();
            let oldest_kept = now - max_age_ms;
            // What is in cold storage is not on the disk: it goes by its age there alone.
            let (cold, files): (Vec<_>, Vec<_>) =
                files.iter().cloned().partition(|file| file.is_cold());
            let old = |file: &&Arc<EventFile>| file.name.max < now - cold_age_ms;
            let old = cold.iter().filter(old);
            gone.extend(old.map(|file| (table.to_owned(), Arc::clone(file), Reason::Age)));
            let mut kept = files.len();
            for (index, file) in files.iter().enumerate() {
                // What is to go to cold storage waits for it, within its bounds of bytes.
                let reason = if !cools && file.name.max < oldest_kept {
                    Reason::Age
                } else if bytes > max_bytes {
                    Reason::Quota
                } else {
                    kept = index;
                    break;
                };
                bytes -= file.bytes();
                gone.push((table.to_owned(), Arc::clone(file), reason));
            }
            left.insert(table, (files.into_iter().skip(kept).collect(), bytes));
        }
        let mut total = beside + left.values().map(|(_, bytes)| bytes).sum::<u64>();
        while total > limits.max_bytes {
            let largest = left.iter_mut().filter(|(_, (files, _))| !files.is_empty());
            let Some((table, (files, bytes))) = largest.max_by_key(|(_, (_, bytes))| *bytes) else {
                break;
            };
            let Some(oldest) = files.pop_front() else { break };
            total -= oldest.bytes();
            *bytes -= oldest.bytes();
            gone.push(((*table).to_owned(), oldest, Reason::Quota));
        }
        gone
    }

    /// The oldest file of the largest table: what goes first when the disk is full.
    pub(crate) fn first_to_go(&self) -> Option<(String, Arc<EventFile>)> {
        let here = self.tables().filter_map(|(table, files)| {
            let mut here = files.iter().filter(|file| !file.is_cold());
            let first = here.next()?;
            Some((table, first, first.bytes() + here.map(|file| file.bytes()).sum::<u64>()))
        });
        let (table, first, _) = here.max_by_key(|(_, _, bytes)| *bytes)?;
        Some((table.to_owned(), Arc::clone(first)))
    }

    /// The oldest file that ended before `before`, and is not to be put together with others any more.
    pub(crate) fn to_cool(
        &self,
        before: Millis,
        oldest_segment: u64,
    ) -> Option<(String, Arc<EventFile>)> {
        let due = |file: &&Arc<EventFile>| {
            !file.is_cold() && file.name.max < before && file.name.hi < oldest_segment
        };
        let all = self.tables();
        let all = all.filter_map(|(table, files)| Some((table, files.iter().find(due)?)));
        let (table, file) = all.min_by_key(|(_, file)| file.name.max)?;
        Some((table.to_owned(), Arc::clone(file)))
    }

    /// Small files of one hour that lie beside each other and are to be put together. Files of
    /// segments from `oldest_segment` on are left alone: their log is still there. `part` says which
    /// files may come together, those of one part, and which not at all.
    pub(crate) fn to_merge(
        &self,
        limits: &Limits,
        oldest_segment: u64,
        now: Millis,
        part: impl Fn(&str, &EventFile) -> Option<u8>,
    ) -> Option<(String, Hour, Vec<Arc<EventFile>>)> {
        for (table, files) in self.tables() {
            let most = limits.of(table).max_bytes.min(limits.max_bytes) / MERGED_PARTS;
            for of_hour in files.chunk_by(|a, b| a.hour == b.hour) {
                let Some(hour) = of_hour.first().map(|file| file.hour) else { continue };
                let least = if now > hour.end() + LATE_MS { 2 } else { MIN_MERGED };
                let small = |file: &Arc<EventFile>| {
                    let small = file.bytes() < SMALL_BYTES && file.name.hi < oldest_segment;
                    (small && !file.is_cold()).then(|| part(table, file)).flatten()
                };
                for run in of_hour.chunk_by(|a, b| small(a) == small(b)) {
                    if run.first().and_then(small).is_none() || run.len() < least {
                        continue;
                    }
                    // One that is large enough by itself stands in nobody's way.
                    let from = |first: usize| -> Vec<Arc<EventFile>> {
                        let mut bytes = 0;
                        let fits = run[first..].iter().take(MAX_MERGED).take_while(|file| {
                            bytes += file.bytes();
                            bytes <= TARGET_BYTES.min(most)
                        });
                        fits.cloned().collect()
                    };
                    if let Some(merged) = (0..run.len()).map(from).find(|all| all.len() >= 2) {
                        return Some((table.to_owned(), hour, merged));
                    }
                }
            }
        }
        None
    }
}

fn folders(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn look_through(
    shelving: &Shelving,
    table: &str,
    within: &str,
    found: &mut Found,
) -> io::Result<()> {
    let folder = shelving.root.join(table).join(within);
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let path = entry.path();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if extension == "tmp" {
            shelving.disk.remove(&path)?;
            continue;
        }
        if extension == COLD_EXTENSION {
            look_at_stub(shelving, table, within, &path, found)?;
            continue;
        }
        if extension != EXTENSION {
            continue;
        }
        let bytes = entry.metadata()?.len();
        let name = path.file_name().and_then(|n| n.to_str()).and_then(FileName::parse);
        match (name, Hour::named(within), plain_bytes(bytes)) {
            (Some(name), Some(hour), Some(plain)) => {
                let file = shelving.file(table, hour, name, bytes, plain);
                found.highest = found.highest.max(name.hi);
                found.shelf.tables.entry(table.into()).or_default().push(file);
            }
            _ => {
                set_aside(&path)?;
                found.set_aside += 1;
            }
        }
    }
    Ok(())
}

/// A file that went to cold storage. While it is on the disk too that counts.
fn look_at_stub(
    shelving: &Shelving,
    table: &str,
    within: &str,
    path: &Path,
    found: &mut Found,
) -> io::Result<()> {
    let whole = path.with_extension(EXTENSION);
    if whole.exists() {
        return shelving.disk.remove(path);
    }
    let name = whole.file_name().and_then(|name| name.to_str()).and_then(FileName::parse);
    let remote = Remote::from_stub(&fs::read(path)?, shelving.cold.clone());
    let file = name
        .zip(Hour::named(within))
        .zip(remote)
        .and_then(|((name, hour), remote)| shelving.cold_file(table, hour, name, remote));
    match file {
        Some(file) => {
            found.highest = found.highest.max(file.name.hi);
            found.shelf.tables.entry(table.into()).or_default().push(file);
        }
        None => {
            set_aside(path)?;
            found.set_aside += 1;
        }
    }
    Ok(())
}

/// Keeps a damaged file under another name, for people.
pub(crate) fn set_aside(path: &Path) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    fs::rename(path, aside)
}
