//! The row store of the first version, `rows.redb`: its rows are taken over once, when a store is
//! opened beside it, and it is removed.
//!
//! Its blocks are 12 bytes of nonce, then AES-256-GCM over rows as JSON lines, tag last. The additional
//! data is the format's version, the block's sequence number and the tenant.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use holm_model::{Row, TenantId};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::Quiet;
use crate::counters::Counters;
use crate::error::EventError;
use crate::held::TableBatches;
use crate::rows::to_batch;
use crate::shelf::set_aside;
use crate::store::Shared;

const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// Files of taken-over rows have segment numbers up to this; the log's are above.
pub(crate) const LAST_SEGMENT: u64 = 1 << 20;
/// Rows that become files at once.
const ROWS_AT_ONCE: usize = 65_536;

/// The row store of an earlier version.
pub struct OldRows {
    /// Its file; nothing is done if there is none.
    pub path: PathBuf,
    /// Whose rows they are.
    pub tenant: TenantId,
    /// The key that its blocks are sealed with.
    pub key: [u8; 32],
}

/// Takes over all rows of the old store. Files of an earlier try that a crash ended are taken away
/// first: as long as the old file is there, it is the truth.
pub(crate) fn take_over(old: &OldRows, shared: &mut Shared) -> Result<Vec<String>, EventError> {
    if !old.path.exists() {
        return Ok(Vec::new());
    }
    for segment in 1..=LAST_SEGMENT {
        let mut held = shared.held();
        if held.shelf.made_of(segment).is_empty() {
            break;
        }
        held.forget_files_of(segment);
    }
    let path = old.path.display();
    // redb asserts on some damaged files; a damaged file is no reason to go down.
    let outcome = catch_unwind(AssertUnwindSafe(|| read(old, shared)));
    let failed = |reason: String| EventError::open(&old.path, reason);
    match outcome {
        Ok(Ok((rows, lost_blocks))) => {
            std::fs::remove_file(&old.path).map_err(|error| failed(error.to_string()))?;
            Counters::add(&shared.counters.damaged, lost_blocks);
            let lost = match lost_blocks {
                0 => String::new(),
                n => format!("; {n} blocks of it were damaged, their rows are lost"),
            };
            Ok(vec![format!("{rows} rows of {path} were taken over into event files{lost}")])
        }
        Ok(Err(Trouble::Write(error))) => Err(failed(error.to_string())),
        Ok(Err(Trouble::Read(reason))) => aside(&old.path, &reason, shared),
        Err(_) => aside(&old.path, "the file is damaged", shared),
    }
}

fn aside(path: &Path, reason: &str, shared: &Shared) -> Result<Vec<String>, EventError> {
    set_aside(path).map_err(|error| EventError::open(path, error))?;
    Counters::add(&shared.counters.damaged, 1);
    Ok(vec![format!(
        "{} is damaged ({reason}) and was set aside (.damaged); rows of this site from before now are shown as far as they were read",
        path.display()
    )])
}

enum Trouble {
    Read(String),
    Write(std::io::Error),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Read(error.into().to_string())
    }
}

/// Rows that were taken over, and blocks that did not open.
fn read(old: &OldRows, shared: &Shared) -> Result<(u64, u64), Trouble> {
    let database = Quiet::new("rows.redb", Database::builder().open(&old.path)?);
    let transaction = database.begin_read()?;
    let blocks = transaction.open_table(BLOCKS)?;
    let key = UnboundKey::new(&AES_256_GCM, &old.key)
        .map(LessSafeKey::new)
        .map_err(|_| Trouble::Read("the key does not fit".to_owned()))?;
    let (mut taken, mut lost, mut segment) = (0, 0, 1);
    let mut rows: BTreeMap<Box<str>, Vec<Row>> = BTreeMap::new();
    let mut waiting = 0;
    for block in blocks.iter()? {
        let (sequence, block) = block?;
        let Some(opened) = open_block(&key, &old.tenant, sequence.value(), block.value()) else {
            lost += 1;
            continue;
        };
        waiting += opened.len();
        for row in opened {
            rows.entry(row.table.as_ref().into()).or_default().push(row);
        }
        if waiting >= ROWS_AT_ONCE {
            taken += shelve(shared, segment, std::mem::take(&mut rows))?;
            segment += 1;
            waiting = 0;
        }
    }
    taken += shelve(shared, segment, rows)?;
    Ok((taken, lost))
}

fn shelve(
    shared: &Shared,
    segment: u64,
    rows: BTreeMap<Box<str>, Vec<Row>>,
) -> Result<u64, Trouble> {
    let mut tables = TableBatches::new();
    let mut taken = 0;
    for (name, rows) in rows {
        let batch = shared.table_of_rows(&name).and_then(|table| to_batch(&table, &rows).ok());
        match batch {
            Some(batch) => {
                taken += rows.len() as u64;
                tables.entry(name).or_default().push(batch);
            }
            None => Counters::add(&shared.counters.refused, rows.len() as u64),
        }
    }
    let files = shared.write_files(segment, &tables).map_err(Trouble::Write)?;
    let mut held = shared.held();
    for (table, file) in files {
        held.shelf.add(&table, file);
    }
    Ok(taken)
}

fn open_block(
    key: &LessSafeKey,
    tenant: &TenantId,
    sequence: u64,
    block: &[u8],
) -> Option<Vec<Row>> {
    let (nonce, sealed) = block.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut about = b"holm row block 1\0".to_vec();
    about.extend_from_slice(&sequence.to_be_bytes());
    about.extend_from_slice(tenant.as_str().as_bytes());
    let mut sealed = sealed.to_vec();
    let lines = key.open_in_place(nonce, Aad::from(about), &mut sealed).ok()?;
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).ok()).collect()
}
