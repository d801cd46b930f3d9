//! Old files go to storage that speaks S3's protocol and are read back from it: against moto's server
//! where the machine has it (`pip install moto[server]`; HOLM_MOTO names its `moto_server`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holm_events::{Cold, ColdSettings, EventStore, Limits, Setup};
use holm_model::Millis;

use crate::common::{NOON, batch, files, limits, numbers, setup, ticks};

struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let program = std::env::var("HOLM_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).ok()?;
        let port = free.local_addr().ok()?.port();
        drop(free);
        let process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            println!("skipped: {program} is not here (pip install moto[server], HOLM_MOTO)");
            return None;
        };
        let server = Self { process, port };
        for _ in 0..300 {
            if server.request("PUT", "/cold").is_some_and(|answer| answer.contains(" 200 ")) {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{program} does not answer");
    }

    fn request(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        // Any signature does for moto.
        let credential = "AWS4-HMAC-SHA256 Credential=k/20240229/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {credential}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    fn objects(&self) -> Vec<String> {
        let list = self.request("GET", "/cold?list-type=2").unwrap_or_default();
        list.split("<Key>")
            .skip(1)
            .filter_map(|part| part.split('<').next())
            .map(str::to_owned)
            .collect()
    }
}

fn cold(port: u16, max_age_ms: u64) -> Cold {
    Cold::new(ColdSettings {
        url: "s3://cold/holm".to_owned(),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        region: Some("us-east-1".to_owned()),
        credentials: Some(("k".to_owned(), "s".to_owned())),
        below: "acme/berlin/n1".to_owned(),
        after_ms: 3_600_000,
        max_age_ms,
        cache_bytes: 4 << 20,
    })
    .expect("settings")
}

fn later() -> Millis {
    Millis(NOON + 3 * 3_600_000)
}

fn open(folder: &Path, cold: Option<Cold>) -> EventStore {
    let limits = Limits { max_age_ms: u64::MAX, ..limits() };
    let setup = Setup { cold, limits, clock: later, ..setup(folder) };
    let (store, report) = EventStore::open(setup).expect("opens");
    assert!(report.messages.is_empty(), "{report:?}");
    store
}

fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("it never came to it: {what}");
}

#[test]
fn old_files_go_to_the_storage_and_are_read_back() {
    let Some(server) = Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let all: Vec<i64> = (0..5_000).collect();
    let store = open(dir.path(), Some(cold(server.port, u64::MAX)));
    store.append_batch("ticks", batch(&ticks(), 0, 5_000)).expect("room");
    store.roll();
    until("moved", || {
        files(dir.path(), ".hev").is_empty() && files(dir.path(), ".cold").len() == 1
    });
    let objects = server.objects();
    assert!(
        matches!(objects.as_slice(), [one] if one.starts_with("holm/acme/berlin/n1/ticks/2024-02-29/12/")),
        "{objects:?}"
    );
    assert_eq!(numbers(&store, "ticks"), all);
    let fetched = store.cold_stats().expect("cold").fetched_bytes;
    assert_eq!(numbers(&store, "ticks"), all);
    assert_eq!(store.cold_stats().expect("cold").fetched_bytes, fetched, "the second is cached");
    assert_eq!(store.cold_stats().expect("cold").moved, 1);
    drop(store);

    // It is known after a restart, and new rows lie beside it.
    let store = open(dir.path(), Some(cold(server.port, u64::MAX)));
    assert_eq!(store.stats().rows, 5_000);
    assert_eq!(numbers(&store, "ticks"), all);
    let snapshot = store.snapshot("ticks").expect("a table");
    assert!(snapshot.files.iter().all(|file| file.is_cold() && file.reachable().is_ok()));
    drop(snapshot);
    drop(store);

    // Without the storage the rest goes on.
    let store = open(dir.path(), None);
    let snapshot = store.snapshot("ticks").expect("a table");
    assert!(snapshot.files[0].reachable().is_err());
    assert!(numbers(&store, "ticks").is_empty());
    assert_eq!(store.stats().damaged, 0);
    drop((snapshot, store));

    // Too old there too: object and stub go.
    let store = open(dir.path(), Some(cold(server.port, 1)));
    until("deleted", || server.objects().is_empty() && files(dir.path(), ".cold").is_empty());
    assert_eq!(store.table_stats()["ticks"].dropped_age, 5_000);
}

#[test]
fn storage_that_does_not_answer_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let store = open(dir.path(), Some(cold(port, 1)));
    store.append_batch("ticks", batch(&ticks(), 0, 100)).expect("room");
    store.roll();
    until("tried", || store.cold_stats().is_some_and(|stats| stats.failures > 0));
    assert_eq!(numbers(&store, "ticks"), (0..100).collect::<Vec<_>>());
    assert_eq!(files(dir.path(), ".hev").len(), 1);
}

/// As behind a firewall that drops: it takes the connection and says nothing.
#[test]
fn storage_that_hangs_is_done_without_before_a_question_is_late() {
    let Some(server) = Server::start() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path(), Some(cold(server.port, u64::MAX)));
    store.append_batch("ticks", batch(&ticks(), 0, 100)).expect("room");
    store.roll();
    until("moved", || files(dir.path(), ".cold").len() == 1);
    drop(store);
    let hangs = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = hangs.local_addr().expect("an address").port();
    let store = open(dir.path(), Some(cold(port, u64::MAX)));
    let snapshot = store.snapshot("ticks").expect("a table");
    let error = snapshot.files[0].reachable().expect_err("it says nothing");
    assert!(error.to_string().contains("no answer within 3 s"), "{error}");
    // Who asks next does not wait again.
    let again = snapshot.files[0].reachable().expect_err("it rests");
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(store.cold_stats().expect("cold").failures, 1);
}

/// A crash between the steps of a move: what is on the disk counts, and what says otherwise goes.
#[test]
fn a_file_that_is_in_both_places_is_read_from_the_disk() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path(), None);
    store.append_batch("ticks", batch(&ticks(), 0, 100)).expect("room");
    store.roll();
    drop(store);
    let [file] = &files(dir.path(), ".hev")[..] else { panic!("one file") };
    let head = std::fs::read(file).expect("read");
    let stub = [&head[..40], &(head.len() as u64).to_be_bytes()].concat();
    std::fs::write(file.with_extension("cold"), stub).expect("written");
    let store = open(dir.path(), None);
    assert_eq!(numbers(&store, "ticks"), (0..100).collect::<Vec<_>>());
    assert!(files(dir.path(), ".cold").is_empty());
    drop(store);
    // A stub that is none is set aside.
    std::fs::rename(file, file.with_extension("cold")).expect("renamed");
    std::fs::write(file.with_extension("cold"), b"no").expect("written");
    let setup = Setup { cold: None, clock: later, ..setup(dir.path()) };
    let (_store, report) = EventStore::open(setup).expect("opens");
    assert_eq!(report.messages.len(), 1, "{report:?}");
}
