//! Every file of rows goes to ClickHouse: against a server that takes, refuses and breaks off as a test
//! wants, and against ClickHouse's engine where Python has it (`pip install chdb`; HOLM_PYTHON names
//! the Python).

mod engine;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holm_events::{Disk, EventStore, Fuse, Limits, Outlet, OutletSettings, OutletStats, Setup};
use holm_model::Millis;

use crate::common::{NOON, batch, files, limits, numbers, row, setup, ticks};
use server::{Answer, Server};

fn settings(port: u16) -> OutletSettings {
    OutletSettings {
        url: format!("http://127.0.0.1:{port}"),
        database: "holm".to_owned(),
        user: "writer".to_owned(),
        password_file: Default::default(),
        ca_file: Default::default(),
        tables: vec!["ticks".to_owned(), "active_*".to_owned()],
        create_tables: true,
        give_up_after_ms: 86_400_000,
        of: ["acme", "ber'lin", "n1"].map(str::to_owned),
    }
}

/// After the hour of the rows: two small files are put together.
fn later() -> Millis {
    Millis(NOON + 3 * 3_600_000)
}

fn open_as(folder: &Path, settings: OutletSettings, disk: Disk) -> Option<EventStore> {
    let outlet = Some(Outlet::new(settings).expect("settings"));
    let limits = Limits { max_age_ms: u64::MAX, ..limits() };
    EventStore::open(Setup { outlet, limits, disk, clock: later, ..setup(folder) })
        .ok()
        .map(|(store, _)| store)
}

fn open(folder: &Path, port: u16) -> EventStore {
    open_as(folder, settings(port), Disk::default()).expect("opens")
}

fn until(store: &EventStore, what: &str, holds: impl Fn(&OutletStats) -> bool) -> OutletStats {
    for _ in 0..2_400 {
        let stats = store.outlet_stats().expect("an outlet");
        if holds(&stats) {
            return stats;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("it never came to it: {what}; {:?}", store.outlet_stats());
}

fn tick(store: &EventStore, from: i64, to: i64) {
    store.append_batch("ticks", batch(&ticks(), from, to)).expect("room");
    store.roll();
}

fn all(to: i64) -> Vec<i64> {
    (0..to).collect()
}

#[test]
fn every_file_goes_there_once_and_a_restart_sends_none_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    let password = dir.path().join("password");
    std::fs::write(&password, "pass word\n").expect("written");
    let settings = OutletSettings { password_file: password, ..settings(server.port) };
    let store = open_as(dir.path(), settings.clone(), Disk::default()).expect("opens");
    (0..4).for_each(|n| store.append(row(n)));
    tick(&store, 0, 5_000);
    let stats = until(&store, "all sent", |stats| stats.waiting_files == 0);
    assert_eq!((stats.sent_files, stats.sent_rows, stats.failures), (2, 5_004, 0));
    assert_eq!((stats.error, stats.refused.len(), stats.lost_rows), (None, 0, 0));
    assert!(stats.last_sent.is_some() && stats.sent_bytes > 0);
    assert_eq!(server.rows("ticks"), all(5_000));
    assert_eq!(server.rows("active_results"), all(4));
    let heard = server.heard();
    assert!(heard.iter().all(|request| request.user == "writer" && request.key == "pass word"));
    let statement = &heard.iter().find(|request| request.token.is_some()).expect("an insert").query;
    assert!(statement.contains("SELECT 'acme', 'ber\\'lin', 'n1', `"), "{statement}");
    let made =
        heard.iter().filter(|request| request.query.starts_with("CREATE TABLE IF NOT")).count();
    assert_eq!(made, 2);
    drop(store);

    let store = open_as(dir.path(), settings, Disk::default()).expect("opens");
    tick(&store, 5_000, 6_000);
    until(&store, "the new file is sent", |stats| stats.waiting_files == 0);
    assert_eq!(store.outlet_stats().expect("an outlet").sent_files, 1);
    assert_eq!(server.rows("ticks"), all(6_000));
    assert_eq!(server.doubled(), 0);
}

#[test]
fn an_answer_that_got_lost_doubles_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    server.answer_next(Answer::TakeAndBreakOff);
    let store = open(dir.path(), server.port);
    tick(&store, 0, 100);
    let stats = until(&store, "sent again", |stats| stats.waiting_files == 0);
    assert_eq!((stats.failures, stats.sent_files, stats.error), (1, 1, None));
    assert_eq!(server.rows("ticks"), all(100));
    assert_eq!(server.doubled(), 1, "it came again, under the same token");
}

#[test]
fn a_table_that_is_refused_holds_up_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    server.refuse_table(Some("ticks"));
    let store = open(dir.path(), server.port);
    store.append(row(0));
    tick(&store, 0, 100);
    let stats = until(&store, "the other is sent", |stats| {
        stats.sent_files == 1 && stats.refused.contains_key("ticks")
    });
    assert!(stats.refused["ticks"].contains("no table for you"), "{stats:?}");
    assert_eq!((stats.waiting_rows, stats.oldest_waiting), (100, Some(Millis(NOON))));
    assert_eq!(stats.error, None);
    server.refuse_table(None);
    let stats = until(&store, "it is tried again", |stats| stats.waiting_files == 0);
    assert!(stats.refused.is_empty());
    assert_eq!(server.rows("ticks"), all(100));
}

#[test]
fn nobody_waits_for_a_server_that_is_away_and_then_all_goes_there_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    let store = open(dir.path(), server.port);
    tick(&store, 0, 100);
    until(&store, "the first is sent", |stats| stats.sent_files == 1);
    // It takes one more, and nobody hears of it.
    server.answer_next(Answer::TakeAndBreakOff);
    server.answer_from_then_on(Answer::Away);
    tick(&store, 100, 200);
    let stats = until(&store, "it fails", |stats| stats.failures > 0);
    assert!(stats.error.is_some() && stats.refused.is_empty(), "{stats:?}");
    for n in 2..12 {
        tick(&store, n * 100, n * 100 + 100);
    }
    assert_eq!(numbers(&store, "ticks"), all(1_200));
    // Small files are put together meanwhile, but none that may be there with one that is not.
    for _ in 0..400 {
        if store.stats().merges > 0 {
            break;
        }
        store.roll();
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(store.stats().merges > 0);
    drop(store);
    let store = open(dir.path(), server.port);
    server.answer_from_then_on(Answer::Take);
    until(&store, "all is sent", |stats| stats.waiting_files == 0);
    assert_eq!(server.rows("ticks"), all(1_200));
    assert_eq!(server.doubled(), 1);
}

#[test]
fn what_is_not_sent_is_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start();
    server.answer_from_then_on(Answer::Away);
    let limits = Limits { max_bytes: 40_000, max_age_ms: u64::MAX, ..limits() };
    let outlet = Some(Outlet::new(settings(server.port)).expect("settings"));
    let setup = Setup { outlet, limits, clock: later, ..setup(dir.path()) };
    let (store, _) = EventStore::open(setup).expect("opens");
    for n in 0..10 {
        tick(&store, n * 1_000, n * 1_000 + 1_000);
    }
    let stats = until(&store, "dropped", |stats| stats.lost_rows > 0);
    assert_eq!(stats.given_up_rows, 0);
    drop(store);
    // Too old to be sent: nothing is, and it is said.
    let settings = OutletSettings { give_up_after_ms: 1_000, ..settings(server.port) };
    let store = open_as(dir.path(), settings, Disk::default()).expect("opens");
    let rows = store.stats().rows;
    let stats = until(&store, "given up", |stats| stats.waiting_files == 0);
    assert!(rows > 0 && stats.given_up_rows == rows && stats.sent_files == 0, "{stats:?}");
    assert!(server.rows("ticks").is_empty());
}

/// Over TLS, with a server that an authority of its own vouches for.
#[test]
fn a_server_is_believed_by_its_certificate_and_no_other() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let own = rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], own)
        .expect("a key");
    let (dir, server) =
        (tempfile::tempdir().expect("a folder"), Server::start_tls(Arc::new(config)));
    let url = format!("https://localhost:{}", server.port);
    let unknown = OutletSettings { url, ..settings(server.port) };
    let store = open_as(dir.path(), unknown.clone(), Disk::default()).expect("opens");
    tick(&store, 0, 10);
    let stats = until(&store, "the certificate is refused", |stats| stats.error.is_some());
    assert_eq!((stats.sent_rows, server.rows("ticks")), (0, Vec::new()), "{stats:?}");
    drop(store);
    let ca_file = dir.path().join("clickhouse-ca.pem");
    std::fs::write(&ca_file, key.cert.pem()).expect("written");
    let known = OutletSettings { ca_file, ..unknown };
    let store = open_as(dir.path(), known, Disk::default()).expect("opens");
    until(&store, "all is sent", |stats| stats.sent_rows == 10);
    assert_eq!(server.rows("ticks"), all(10));
}

/// The machine stops at a step to the disk: what is in the store afterwards comes to be there, once.
#[test]
fn a_crash_at_any_step_neither_doubles_nor_forgets() {
    let work = |folder: &Path, port: u16, fuse: &Arc<Fuse>| {
        let disk = Disk::with(Arc::clone(fuse));
        let Some(store) = open_as(folder, settings(port), disk) else { return };
        for n in 0..3 {
            if fuse.blown() {
                return;
            }
            store.append_batch("ticks", batch(&ticks(), n * 10, n * 10 + 10)).expect("room");
            store.roll();
            for _ in 0..12_000 {
                let waits = store.outlet_stats().is_some_and(|stats| stats.waiting_files > 0);
                if fuse.blown() || !waits {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    let whole = Fuse::after(i64::MAX);
    let (dir, server) = (tempfile::tempdir().expect("a folder"), Server::start());
    work(dir.path(), server.port, &whole);
    assert_eq!(server.rows("ticks"), all(30));
    let steps = whole.steps_done();
    assert!(steps > 30, "{steps} steps");
    for step in (0..steps).step_by(3) {
        let (dir, server) = (tempfile::tempdir().expect("a folder"), Server::start());
        work(dir.path(), server.port, &Fuse::after(step));
        let store = open(dir.path(), server.port);
        store.roll();
        until(&store, "all is sent", |stats| stats.waiting_files == 0);
        assert_eq!(server.rows("ticks"), numbers(&store, "ticks"), "step {step}");
        drop(store);
        assert!(files(dir.path(), ".tmp").is_empty(), "step {step}");
    }
}
