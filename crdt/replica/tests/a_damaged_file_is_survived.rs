//! Flipped bits, truncation, another key, another process: the node opens, says what is wrong, and
//! loses no other document.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use holm_model::{DocId, Millis};
use holm_replica::{Applied, DocName, OpenError, OpenReport, Replica};

fn open_in(dir: &Path, key_of: u8) -> Result<(Replica, OpenReport), OpenError> {
    let (acme, berlin, n1) = (tenant("acme"), site("berlin"), node("n1"));
    Replica::open(dir, acme, key(key_of), berlin, n1, Millis(77), &mut rng())
}

/// Berlin's store with documents of itself, of five peers, and the roster; and a peer that has all.
fn filled(dir: &Path) -> Replica {
    let (berlin, report) = open_in(dir, 1).expect("it opens");
    assert!(report.fresh);
    let peer = replica("peer-0");
    for i in 0..5 {
        let other = replica(&format!("peer-{i}"));
        let changes: Vec<_> = (0..40).map(|e| opened(&edge(e), 10 + i)).collect();
        commit(&other, &changes, 10);
        exchange(&other, &berlin);
    }
    for i in 0..20 {
        commit(&berlin, &[opened(&edge(i), 20)], 20);
    }
    berlin.add_statement(b"a grant", Millis(3)).expect("added");
    exchange(&berlin, &peer);
    assert_eq!(berlin.digest(), peer.digest());
    assert_eq!(berlin.documents().len(), 7);
    peer
}

/// The documents of `damaged` that are not as `peer` has them.
fn differing(damaged: &Replica, peer: &Replica) -> Vec<DocId> {
    let versions = peer.documents().into_iter();
    versions.filter(|v| damaged.version(v.doc).as_ref() != Some(v)).map(|v| v.doc).collect()
}

/// Gets back from `peer` what is missing.
fn heal(damaged: &Replica, peer: &Replica) {
    for doc in differing(damaged, peer) {
        if let Applied::NeedsMore { .. } = send(peer, damaged, doc) {
            let whole = peer.export(doc, &[]).expect("it exports");
            damaged.apply(doc, &whole.bytes, "peer", Millis(9)).expect("it applies");
        }
    }
    assert_eq!(damaged.digest(), peer.digest());
}

#[test]
fn a_flipped_bit_anywhere_costs_at_most_the_document_it_hit() {
    let home = tempfile::tempdir().expect("a folder");
    let peer = filled(home.path());
    let sound = fs::read(home.path().join("state.redb")).expect("the file");
    let used = sound.len() - sound.iter().rev().take_while(|b| **b == 0).count();
    let sealed: Vec<usize> = (0..used).filter(|&at| sound[at..].starts_with(b"HOLMSEAL")).collect();
    assert!(sealed.len() > 20);
    let (mut aside, mut unharmed) = (0, 0);
    for i in 0..240_usize {
        let dir = tempfile::tempdir().expect("a folder");
        let mut bytes = sound.clone();
        let at = match i {
            // The file's header,
            0..60 => i * 8,
            // every sealed value, those that are no longer referred to among them,
            60..180 => sealed[(i - 60) * sealed.len() / 120] + (i * 37) % 150,
            // and evenly over all that is used.
            _ => (i - 180) * (used / 60) + i % 7,
        };
        bytes[at] ^= 1 << (i % 8);
        fs::write(dir.path().join("state.redb"), &bytes).expect("written");
        let (berlin, report) = open_in(dir.path(), 1).unwrap_or_else(|e| panic!("byte {at}: {e}"));
        let lost = differing(&berlin, &peer);
        assert!(lost.len() <= 1, "byte {at}: {} documents differ, {report:?}", lost.len());
        match &report.set_aside {
            Some(name) => {
                aside += 1;
                assert!(name.contains("state.redb.damaged-77"), "{name}");
                assert_eq!(fs::read(name).expect("kept").len(), bytes.len(), "nothing is deleted");
                assert!(report.messages[0].contains("nothing was deleted"), "{report:?}");
            }
            None => {
                unharmed += 1;
                assert!(lost.is_empty(), "byte {at}: {} lost in silence", lost.len());
            }
        }
        heal(&berlin, &peer);
        drop(berlin);
        let (berlin, report) = open_in(dir.path(), 1).expect("it opens again");
        assert_eq!(report.messages, [""; 0], "byte {at}: the second opening finds all well");
        assert_eq!(berlin.digest(), peer.digest());
    }
    println!("{aside} put aside, {unharmed} unharmed");
    assert!(aside > 20 && unharmed > 0);
}

#[test]
fn a_value_that_does_not_open_is_kept_apart_and_the_others_live() {
    const CHUNKS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("chunks");
    let dir = tempfile::tempdir().expect("a folder");
    let peer = filled(dir.path());
    let file = dir.path().join("state.redb");
    // Someone who can write the file, but has not the key: every checksum fits.
    let database = redb::Database::create(&file).expect("it opens");
    let write = database.begin_write().expect("begun");
    let mut changed = 0;
    {
        use redb::ReadableTable;
        let mut table = write.open_table(CHUNKS).expect("there");
        let rows: Vec<(Vec<u8>, Vec<u8>)> = table
            .iter()
            .expect("read")
            .map(|row| row.map(|(k, v)| (k.value().to_vec(), v.value().to_vec())).expect("read"))
            .collect();
        let own = DocName::topology(&site("berlin"), 0, 0).id(&tenant("acme"));
        for (key, mut value) in rows.into_iter().filter(|(key, _)| key[..16] == own.0).skip(3) {
            let last = value.len() - 1;
            value[last] ^= u8::from(changed == 0);
            changed += 1;
            table.insert(&key[..], &value[..]).expect("written");
        }
    }
    write.commit().expect("committed");
    drop(database);
    assert!(changed > 10);

    let (berlin, report) = open_in(dir.path(), 1).expect("it opens");
    assert_eq!((report.damaged, report.documents, report.set_aside), (1, 7, None));
    assert!(report.messages[0].contains("damaged in part"), "{:?}", report.messages);
    assert_eq!(differing(&berlin, &peer).len(), 1);
    commit(&berlin, &[opened(&edge(77), 77)], 77);
    exchange(&peer, &berlin);
    assert_eq!(berlin.digest(), peer.digest());
    drop(berlin);
    let (berlin, report) = open_in(dir.path(), 1).expect("it opens");
    assert_eq!((report.messages.len(), berlin.digest()), (0, peer.digest()));
}

#[test]
fn a_file_cut_anywhere_is_survived() {
    let home = tempfile::tempdir().expect("a folder");
    let peer = filled(home.path());
    let sound = fs::read(home.path().join("state.redb")).expect("the file");
    let mut told = 0;
    for i in 0..60 {
        let dir = tempfile::tempdir().expect("a folder");
        let cut = if i < 20 { i * 40 } else { (i - 20) * sound.len() / 40 };
        fs::write(dir.path().join("state.redb"), &sound[..cut]).expect("written");
        let (berlin, report) = open_in(dir.path(), 1).unwrap_or_else(|e| panic!("cut {cut}: {e}"));
        assert!(report.set_aside.is_some() || report.fresh, "cut at {cut}: {report:?}");
        told += usize::from(report.set_aside.is_some());
        heal(&berlin, &peer);
        commit(&berlin, &[opened(&edge(99), 99)], 99);
        let digest = berlin.digest();
        drop(berlin);
        assert_eq!(open_in(dir.path(), 1).expect("it opens").0.digest(), digest);
    }
    assert!(told > 50, "{told}");
}

#[test]
fn a_file_of_rubbish_is_put_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("state.redb"), vec![0xa5; 10_000]).expect("written");
    let (berlin, report) = open_in(dir.path(), 1).expect("it opens");
    assert!(report.set_aside.is_some(), "{report:?}");
    commit(&berlin, &[opened(&edge(1), 1)], 1);
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2);
}

#[test]
fn another_key_opens_nothing_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let peer = filled(dir.path());
    let before = fs::read(dir.path().join("state.redb")).expect("the file");
    let error = open_in(dir.path(), 2).expect_err("another key");
    assert!(matches!(error, OpenError::WrongKey { .. }), "{error}");
    assert!(error.to_string().contains("state.redb"), "{error}");
    let other = tenant("other");
    let (berlin, n1) = (site("berlin"), node("n1"));
    let error = Replica::open(dir.path(), other, key(1), berlin, n1, Millis(1), &mut rng());
    assert!(matches!(error, Err(OpenError::WrongKey { .. })), "another tenant, the same key");
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "nothing was put aside");
    assert_eq!(fs::read(dir.path().join("state.redb")).expect("the file").len(), before.len());
    assert_eq!(open_in(dir.path(), 1).expect("the right key").0.digest(), peer.digest());
}

#[test]
fn a_file_in_which_nothing_opens_any_more_is_put_aside() {
    let dir = tempfile::tempdir().expect("a folder");
    let peer = filled(dir.path());
    let file = dir.path().join("state.redb");
    let mut bytes = fs::read(&file).expect("the file");
    let sealed: Vec<usize> =
        (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"HOLMSEAL")).collect();
    for at in sealed {
        bytes[at + 40] ^= 0xff;
    }
    fs::write(&file, &bytes).expect("written");
    let (berlin, report) = open_in(dir.path(), 1).expect("the node starts");
    let aside = report.set_aside.as_ref().expect("put aside");
    assert_eq!(fs::read(aside).expect("kept").len(), bytes.len(), "nothing is deleted");
    assert!(report.messages[0].contains("opens with this tenant's data key"), "{report:?}");
    heal(&berlin, &peer);
}

#[test]
fn a_file_in_use_is_named_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_held, _) = open_in(dir.path(), 1).expect("it opens");
    let error = open_in(dir.path(), 1).expect_err("in use");
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
}

#[test]
fn nothing_readable_lies_on_the_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let (berlin, _) = open_in(dir.path(), 1).expect("it opens");
    commit(&berlin, &[opened("service:a-very-secret-name", 1)], 1);
    berlin.add_statement(b"another-secret", Millis(1)).expect("added");
    drop(berlin);
    let bytes = fs::read(dir.path().join("state.redb")).expect("the file");
    for secret in [&b"very-secret"[..], b"another-secret", b"topology", b"acme", b"berlin"] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.path().join("state.redb")).expect("it is there").permissions();
        assert_eq!(mode.mode() & 0o077, 0, "for its owner only");
    }
    assert!(DocName::roster().topology_site().is_none());
}
