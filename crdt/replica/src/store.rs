//! The sealed store: one redb file a tenant, one row a piece of a document.
//!
//! Table `chunks`: key = document (16 bytes) ‖ sequence (u64, big-endian), value = a sealed piece: a
//! snapshot or the changes since. Table `damaged`: rows that did not open, as they were. Three sealed
//! canaries (document 0) tell another key from damage.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use holm_model::{DocId, Millis};
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};

use crate::disk::AnyBackend;
use crate::seal::{Sealer, Unsealable, carve};
use crate::{Disk, OpenError, StoreError};

const CHUNKS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("chunks");
const DAMAGED: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("damaged");
const CANARY: DocId = DocId([0; 16]);
const CANARIES: u64 = 3;
/// redb would take a gigabyte.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// Longest damaged file that is searched for what can be saved.
const MAX_CARVED_BYTES: u64 = 1024 * 1024 * 1024;

/// A document's pieces by sequence, unsealed.
pub(crate) type Pieces = BTreeMap<DocId, Vec<(u64, Vec<u8>)>>;

/// What a store found when it opened.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) pieces: Pieces,
    /// Rows that did not open, by document.
    pub(crate) damaged: Vec<(DocId, u64)>,
    /// A damaged file: its new name and what was wrong.
    pub(crate) set_aside: Option<(String, String)>,
    /// The pieces come from a damaged file and are not in the new one yet.
    pub(crate) carved: bool,
    pub(crate) fresh: bool,
}

/// One change of one document's rows.
pub(crate) struct Write {
    pub(crate) doc: DocId,
    pub(crate) sequence: u64,
    pub(crate) piece: Vec<u8>,
    /// The piece is the whole document: earlier rows go.
    pub(crate) whole: bool,
}

pub(crate) struct Store {
    disk: Box<dyn Disk>,
    sealer: Sealer,
    /// `None` after a failed write, until it could be opened again.
    database: Option<Database>,
}

/// Why a file was not opened.
enum Trouble {
    /// It is damaged.
    Damaged(String),
    /// It is not: another process has it, the disk is full, permissions.
    Refused(OpenError),
}

impl Store {
    pub(crate) fn open(
        disk: Box<dyn Disk>,
        mut sealer: Sealer,
        now: Millis,
    ) -> Result<(Self, Found), OpenError> {
        let mut found = Found::default();
        let rows = guarded(|| read_rows(disk.as_ref()));
        let database = match rows {
            Ok((database, rows)) => {
                found.fresh = rows.is_empty();
                unseal_rows(&mut sealer, rows, &mut found)
                    .map_err(|Unsealable| wrong_key(disk.as_ref()))?;
                database
            }
            Err(Trouble::Refused(error)) => return Err(error),
            Err(Trouble::Damaged(reason)) => {
                found = rescue(disk.as_ref(), &mut sealer, reason, now)?;
                match guarded(|| read_rows(disk.as_ref())) {
                    Ok((database, _)) => database,
                    Err(Trouble::Refused(error)) => return Err(error),
                    Err(Trouble::Damaged(reason)) => {
                        return Err(OpenError::Disk { file: disk.name(), reason });
                    }
                }
            }
        };
        let mut store = Self { disk, sealer, database: Some(database) };
        if found.fresh || found.set_aside.is_some() {
            store.write_canaries().map_err(|error| error.at_open())?;
        }
        Ok((store, found))
    }

    /// Writes all of `writes` and removes the rows of `dropped`, or nothing, durably. After an error
    /// the same may be tried again.
    pub(crate) fn write(&mut self, writes: &[Write], dropped: &[DocId]) -> Result<u64, StoreError> {
        let mut rows = Vec::with_capacity(writes.len());
        for write in writes {
            let place = (write.doc, write.sequence);
            let sealed = self.sealer.seal(place, &write.piece).map_err(|Unsealable| {
                let reason = format!("a piece of {} bytes cannot be sealed", write.piece.len());
                StoreError { file: self.disk.name(), reason }
            })?;
            rows.push((row_key(write.doc, write.sequence), sealed));
        }
        let bytes = rows.iter().map(|(_, sealed)| sealed.len() as u64).sum();
        self.transaction(|transaction| {
            let mut table = transaction.open_table(CHUNKS)?;
            let anew = writes.iter().filter(|write| write.whole).map(|write| write.doc);
            for doc in anew.chain(dropped.iter().copied()) {
                let of_doc = row_key(doc, 0)..=row_key(doc, u64::MAX);
                let bounds = (&of_doc.start()[..])..=(&of_doc.end()[..]);
                table.retain_in::<&[u8], _>(bounds, |_, _| false)?;
            }
            for (key, sealed) in &rows {
                table.insert(&key[..], &sealed[..])?;
            }
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Moves rows that do not open out of the way of later writes. They are kept.
    pub(crate) fn keep_damaged(&mut self, rows: &[(DocId, u64)]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.transaction(|transaction| {
            let mut chunks = transaction.open_table(CHUNKS)?;
            let mut damaged = transaction.open_table(DAMAGED)?;
            for &(doc, sequence) in rows {
                let key = row_key(doc, sequence);
                if let Some(value) = chunks.remove(&key[..])? {
                    damaged.insert(&key[..], value.value())?;
                }
            }
            Ok(())
        })
    }

    pub(crate) fn name(&self) -> String {
        self.disk.name()
    }

    fn write_canaries(&mut self) -> Result<(), StoreError> {
        let canaries: Vec<Write> = (0..CANARIES)
            .map(|sequence| Write { doc: CANARY, sequence, piece: b"holm".to_vec(), whole: false })
            .collect();
        self.write(&canaries, &[]).map(|_| ())
    }

    fn transaction(
        &mut self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let file = self.disk.name();
        let failed = |reason: String| StoreError { file: file.clone(), reason };
        if self.database.is_none() {
            let opened = guarded(|| open_database(self.disk.as_ref()));
            self.database = Some(opened.map_err(|trouble| {
                failed(match trouble {
                    Trouble::Damaged(reason) => reason,
                    Trouble::Refused(error) => error.to_string(),
                })
            })?);
        }
        let Some(database) = &self.database else {
            return Err(failed("it is not open".into()));
        };
        let done = catch_unwind(AssertUnwindSafe(|| {
            let transaction = database.begin_write()?;
            work(&transaction)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(())
        }));
        let reason = match done {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => format!("the database failed: {}", panic_text(panic.as_ref())),
        };
        // redb refuses everything after an I/O error until it is opened again.
        let broken = self.database.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
        Err(failed(reason))
    }
}

/// Rows as they lie there.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

fn read_rows(disk: &dyn Disk) -> Result<(Database, Rows), Trouble> {
    let mut database = open_database(disk)?;
    // Also after a clean stop: a flipped bit is found now and not by the tenant's next question.
    match database.check_integrity() {
        Ok(true) => {}
        Ok(false) => return Err(Trouble::Damaged("its pages fail their checksums".into())),
        Err(error) => return Err(database_trouble(disk, error)),
    }
    let mut rows = Vec::new();
    let mut read = || -> Result<(), redb::Error> {
        let transaction = database.begin_read()?;
        let table = match transaction.open_table(CHUNKS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for row in table.iter()? {
            let (key, value) = row?;
            rows.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(())
    };
    read().map_err(|error| Trouble::Damaged(error.to_string()))?;
    Ok((database, rows))
}

fn open_database(disk: &dyn Disk) -> Result<Database, Trouble> {
    let refused = |error: io::Error| {
        Trouble::Refused(OpenError::Disk { file: disk.name(), reason: error.to_string() })
    };
    let backend = AnyBackend(disk.open().map_err(refused)?);
    Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(backend)
        .map_err(|error| database_trouble(disk, error))
}

fn database_trouble(disk: &dyn Disk, error: DatabaseError) -> Trouble {
    let file = disk.name();
    match error {
        DatabaseError::DatabaseAlreadyOpen => Trouble::Refused(OpenError::InUse { file }),
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Trouble::Refused(OpenError::Disk { file, reason: error.to_string() })
        }
        // Another file format too: Holm has only ever written one.
        damage => Trouble::Damaged(damage.to_string()),
    }
}

/// Opens what opens. Fails if nothing does: then it is not the rows, it is the key.
fn unseal_rows(sealer: &mut Sealer, rows: Rows, found: &mut Found) -> Result<(), Unsealable> {
    let mut opened = 0;
    let any = !rows.is_empty();
    for (key, value) in rows {
        let place = key
            .split_first_chunk::<16>()
            .and_then(|(doc, rest)| Some((DocId(*doc), u64::from_be_bytes(rest.try_into().ok()?))));
        let Some(place) = place else { continue };
        match sealer.unseal(place, &value) {
            Ok(piece) => {
                opened += 1;
                if place.0 != CANARY {
                    found.pieces.entry(place.0).or_default().push((place.1, piece));
                }
            }
            Err(Unsealable) => found.damaged.push(place),
        }
    }
    if any && opened == 0 { Err(Unsealable) } else { Ok(()) }
}

/// Takes what can be saved out of a damaged file and puts the file aside. Another key opens nothing
/// either; in a damaged file that cannot be told from damage, and the file is kept in both cases.
fn rescue(
    disk: &dyn Disk,
    sealer: &mut Sealer,
    mut reason: String,
    now: Millis,
) -> Result<Found, OpenError> {
    let failed =
        |error: io::Error| OpenError::Disk { file: disk.name(), reason: error.to_string() };
    let bytes = disk.read(MAX_CARVED_BYTES).map_err(failed)?;
    let carved = carve(sealer, &bytes);
    if carved.values.is_empty() && carved.refused > 0 {
        reason = format!(
            "{reason}; none of its {} values opens with this tenant's data key",
            carved.refused
        );
    }
    let aside = disk.set_aside(now).map_err(failed)?;
    let mut found = Found { set_aside: Some((aside, reason)), carved: true, ..Found::default() };
    for ((doc, sequence), piece) in carved.values {
        if doc != CANARY {
            found.pieces.entry(doc).or_default().push((sequence, piece));
        }
    }
    for pieces in found.pieces.values_mut() {
        pieces.sort();
        pieces.dedup();
    }
    Ok(found)
}

fn wrong_key(disk: &dyn Disk) -> OpenError {
    OpenError::WrongKey { file: disk.name() }
}

fn row_key(doc: DocId, sequence: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&doc.0);
    key[16..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// A damaged file may make redb panic: that is damage too.
fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Trouble::Damaged(format!("reading it failed: {}", panic_text(panic.as_ref()))))
    })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a reason".into()).chars().take(200).collect()
}
