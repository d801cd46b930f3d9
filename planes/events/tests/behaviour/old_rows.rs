//! The row store of the first version is taken over, once.

use std::path::Path;

use holm_events::EventStore;
use holm_model::Row;
use redb::{Database, TableDefinition};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::common::{files, numbers, open_with, row, setup};

/// Writes `rows.redb` as the first version did: blocks of sealed JSON lines by sequence number.
fn write_old(folder: &Path, blocks: &[Vec<Row>], damaged: Option<usize>) {
    const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[6; 32]).expect("32 bytes"));
    let database = Database::create(folder.join("rows.redb")).expect("created");
    let transaction = database.begin_write().expect("begun");
    {
        let mut table = transaction.open_table(BLOCKS).expect("a table");
        for (number, rows) in blocks.iter().enumerate() {
            let mut sealed = Vec::new();
            for row in rows {
                serde_json::to_writer(&mut sealed, row).expect("json");
                sealed.push(b'\n');
            }
            let mut about = b"holm row block 1\0".to_vec();
            about.extend((number as u64).to_be_bytes());
            about.extend(b"acme");
            let nonce = [number as u8; 12];
            key.seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(about),
                &mut sealed,
            )
            .expect("sealed");
            if damaged == Some(number) {
                sealed[3] ^= 1;
            }
            let block = [&nonce[..], &sealed].concat();
            table.insert(number as u64, block.as_slice()).expect("inserted");
        }
    }
    transaction.commit().expect("committed");
}

#[test]
fn its_rows_are_there_and_it_is_gone() {
    let dir = tempfile::tempdir().expect("a folder");
    let blocks: Vec<Vec<Row>> = (0..5).map(|b| (b * 10..b * 10 + 10).map(row).collect()).collect();
    write_old(dir.path(), &blocks, Some(2));
    let (store, report) = EventStore::open(setup(dir.path())).expect("opens");
    assert!(report.messages[0].contains("40 rows"), "{:?}", report.messages);
    assert!(report.messages[0].contains("1 blocks of it were damaged"), "{:?}", report.messages);
    let expected: Vec<i64> = (0..50).filter(|n| !(20..30).contains(n)).collect();
    assert_eq!(numbers(&store, "active_results"), expected);
    assert!(!dir.path().join("rows.redb").exists());
    store.append(row(50));
    store.roll();
    drop(store);
    let (store, report) = EventStore::open(setup(dir.path())).expect("opens");
    assert!(report.messages.is_empty());
    assert_eq!(numbers(&store, "active_results").len(), 41);
}

#[test]
fn a_crash_on_the_way_doubles_nothing() {
    let whole = holm_events::Fuse::after(i64::MAX);
    let blocks: Vec<Vec<Row>> = vec![(0..10).map(row).collect()];
    let dir = tempfile::tempdir().expect("a folder");
    write_old(dir.path(), &blocks, None);
    drop(open_with(dir.path(), &whole));
    for step in 0..whole.steps_done() {
        let dir = tempfile::tempdir().expect("a folder");
        write_old(dir.path(), &blocks, None);
        drop(open_with(dir.path(), &holm_events::Fuse::after(step)));
        let (store, _) = EventStore::open(setup(dir.path())).expect("opens");
        assert_eq!(numbers(&store, "active_results"), (0..10).collect::<Vec<_>>(), "step {step}");
    }
}

#[test]
fn what_is_no_database_is_set_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("rows.redb"), b"not a database at all").expect("written");
    let (store, report) = EventStore::open(setup(dir.path())).expect("opens");
    assert_eq!(report.messages.len(), 1);
    assert!(numbers(&store, "active_results").is_empty());
    assert_eq!(files(dir.path(), ".damaged").len(), 1);
}
