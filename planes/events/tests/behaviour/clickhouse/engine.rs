//! The same against ClickHouse's own engine.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use arrow::array::RecordBatch;
use holm_events::{Disk, EventStore, Outlet, OutletSettings, Setup, Table};
use holm_flow::{Batch, Carrier, Decoder, Enricher, Limits};
use holm_model::Millis;

use super::{settings, tick, until};
use crate::common::{NOON, limits, row, setup, tables};

struct Engine {
    process: Child,
    port: u16,
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Engine {
    /// `None` where Python does not have it.
    fn start(folder: &Path) -> Option<Self> {
        let python = std::env::var("HOLM_PYTHON").unwrap_or_else(|_| "python3".into());
        let has = Command::new(&python).args(["-c", "import chdb"]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            println!("skipped: {python} has no chdb (pip install chdb, or set HOLM_PYTHON)");
            return None;
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/behaviour/clickhouse/server.py");
        let process = Command::new(python)
            .arg(script)
            .args([&port.to_string(), folder.to_str().expect("UTF-8")])
            .stdout(Stdio::null())
            .spawn()
            .expect("Python runs");
        let engine = Self { process, port };
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(engine);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the engine does not answer");
    }

    /// The answer to a question, values with tabs between them.
    fn ask(&self, query: &str) -> String {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let request = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = request
            .post(format!("http://127.0.0.1:{}/?database=holm", self.port))
            .query(&[("query", query)])
            .header("Content-Length", 0);
        let answer = runtime.block_on(async { request.send().await?.text().await });
        answer.expect("an answer").trim_end().to_owned()
    }
}

fn soon() -> Millis {
    Millis(NOON + 60_000)
}

/// Flows of real datagrams: NetFlow v5 of two records, one of them between addresses of IPv6's form.
fn flows() -> RecordBatch {
    let mut datagram = vec![0, 5, 0, 2];
    datagram.extend(3_600_000_u32.to_be_bytes());
    datagram.extend(((NOON / 1_000) as u32).to_be_bytes());
    datagram.extend([0; 12]);
    for n in 0..2_u8 {
        datagram.extend([10, 1, 0, n, 192, 0, 2, 80, 0, 0, 0, 0, 0, 3, 0, 4]);
        datagram.extend(10_u32.to_be_bytes());
        datagram.extend(5_000_u32.to_be_bytes());
        datagram.extend(3_590_000_u32.to_be_bytes());
        datagram.extend(3_600_000_u32.to_be_bytes());
        datagram.extend([0x9c, 0x40, 0x01, 0xbb, 0, 0x18, 6, 0, 0, 0, 0, 0, 24, 24, 0, 0]);
    }
    let mut decoder = Decoder::new(Limits::default(), Carrier::Udp);
    let mut batches = Vec::new();
    let from = SocketAddr::from(([192, 0, 2, 1], 2055));
    decoder.decode(from, NOON as i64 * 1_000_000, &datagram, &mut |batch| batches.push(batch));
    decoder.flush(&mut |batch| batches.push(batch));
    let [Batch::Flows(decoded)] = &batches[..] else { panic!("one batch of flows") };
    Enricher::default().enrich(decoded.clone())
}

#[test]
fn clickhouse_itself_takes_every_row_once_with_its_types() {
    let (dir, engine) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir());
    let engine_folder = engine.expect("a folder");
    let Some(engine) = Engine::start(engine_folder.path()) else { return };
    let flow = Table::new("flows", holm_flow::flow_schema(), "flow.time_received");
    let mut known = tables();
    known.push(flow.expect("a table"));
    let names = vec!["*".to_owned()];
    let settings = OutletSettings { tables: names, ..settings(engine.port) };
    let open = |settings: &OutletSettings| {
        let outlet = Some(Outlet::new(settings.clone()).expect("settings"));
        let setup = Setup {
            outlet,
            tables: known.clone(),
            limits: limits(),
            disk: Disk::default(),
            clock: soon,
            ..setup(dir.path())
        };
        EventStore::open(setup).expect("opens").0
    };
    let store = open(&settings);
    (0..4).for_each(|n| store.append(row(n).with("more", "an attribute")));
    store.append_batch("flows", flows()).expect("room");
    tick(&store, 0, 300_000);
    let stats = until(&store, "all is sent", |stats| stats.waiting_files == 0);
    assert_eq!((stats.failures, stats.sent_rows), (0, 300_006), "{stats:?}");

    assert_eq!(
        engine.ask("SELECT count(), sum(n), min(at), any(site), any(node) FROM ticks"),
        format!(
            "300000\t{}\t2024-02-29 12:00:00.000000000\tber\\'lin\tn1",
            300_000_u64 * 299_999 / 2
        )
    );
    assert_eq!(
        engine.ask("SELECT count(), sum(n), any(probe), any(attributes) FROM active_results"),
        "4\t6\ticmp\t{\"more\":\"an attribute\"}"
    );
    let columns = "`source.address`, `network.transport`, `flow.io.bytes`, `flow.vlan.id`, `flow.mpls.labels`, `flow.end`";
    assert_eq!(
        engine.ask(&format!("SELECT {columns} FROM flows ORDER BY `source.address` LIMIT 1")),
        "::ffff:10.1.0.0\ttcp\t5000\t\\N\t[]\t2024-02-29 12:00:00.000000000"
    );
    let absent: Vec<String> = holm_flow::flow_schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .filter(|name| engine.ask(&format!("SELECT count(`{name}`) FROM flows WHERE 0")) != "0")
        .collect();
    assert!(absent.is_empty(), "{absent:?}");
    drop(store);

    // What was forgotten to have been sent is sent again, and dropped there by its token.
    std::fs::remove_file(dir.path().join("events/clickhouse.position")).expect("removed");
    let store = open(&settings);
    let stats = until(&store, "all is sent again", |stats| stats.waiting_files == 0);
    assert_eq!((stats.failures, stats.sent_rows), (0, 300_006), "{stats:?}");
    assert_eq!(engine.ask("SELECT count() FROM ticks"), "300000");
    assert_eq!(engine.ask("SELECT count() FROM flows"), "2");
    drop(store);

    // A table that is not there, and may not be made, is named.
    engine.ask("DROP TABLE ticks");
    let bare = OutletSettings { create_tables: false, ..settings };
    let store = open(&bare);
    tick(&store, 300_000, 300_100);
    let stats = until(&store, "it is refused", |stats| !stats.refused.is_empty());
    assert!(stats.refused["ticks"].contains("UNKNOWN_TABLE"), "{stats:?}");
}
