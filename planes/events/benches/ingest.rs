//! The numbers of `[flow]` that the store holds: `cargo bench -p holm-events`.
//!
//! NetFlow v5 datagrams are decoded, appended, committed to the sealed log, and made sealed Parquet
//! files, with as much of the address space in them as a busy site sees. What is divided by is the CPU
//! time of the whole process, all its threads, so the figure is one of a core however many there are;
//! the receiving socket is not in it. Nor is that small files are put together later, when there are many:
//! `udp` has that in it.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{RecordBatch, new_null_array};
use common::{PER_DATAGRAM, netflow_v5};
use holm_bench::report;
use holm_events::{Disk, EventKey, EventStore, Limits, Setup, Table};
use holm_flow::{Batch, Carrier, Decoder};
use holm_model::Millis;

const NOW_MS: u64 = 1_700_000_000_000;
const ROWS: u64 = 6_000_000;

fn now() -> Millis {
    Millis(NOW_MS + 60_000)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("holm-ingest-{}", std::process::id()));
    let table = Table::new("flows", holm_flow::flow_schema(), "flow.time_received")?;
    let counters =
        Table::new("counters", holm_flow::interface_counter_schema(), "flow.time_received")?;
    let (store, _) = EventStore::open(Setup {
        folder: dir.clone(),
        tenant: "bench".parse()?,
        key: EventKey::new(&[1; 32]),
        tables: vec![table, counters],
        limits: Limits { max_bytes: 64 << 30, ..Limits::default() },
        clock: now,
        disk: Disk::default(),
        old: None,
        cold: None,
        outlet: None,
    })?;
    let store = Arc::new(store);
    let from = SocketAddr::from(([192, 0, 2, 1], 2055));
    let mut decoder = Decoder::new(holm_flow::Limits::default(), Carrier::Udp);
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    let waited = std::cell::Cell::new(0_u64);
    let mut emit = |batch: Batch| {
        let (table, batch) = match batch {
            Batch::Flows(batch) => ("flows", with_meaning(&batch)),
            Batch::InterfaceCounters(batch) => ("counters", batch),
        };
        // A plane would drop and count; here every row is to arrive.
        while store.append_batch(table, batch.clone()).is_err() {
            waited.set(waited.get() + 1);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    let mut random = 1_u64;
    for datagram in 0..ROWS / u64::from(PER_DATAGRAM) {
        let at_ns = (NOW_MS * 1_000_000 + datagram * 10_000) as i64;
        decoder.decode(from, at_ns, &netflow_v5(NOW_MS, datagram, &mut random), &mut emit);
    }
    decoder.flush(&mut emit);
    store.roll();
    let (cpu, wall) = (cpu_seconds()? - cpu, wall.elapsed().as_secs_f64());
    let stats = store.stats();
    assert_eq!(stats.committed, ROWS);
    println!(
        "{ROWS} rows: {cpu:.2} CPU s, {wall:.2} s, {} files, {:.1} bytes a row, waited {} times",
        stats.files,
        stats.bytes as f64 / ROWS as f64,
        waited.get()
    );
    let mrps = ROWS as f64 / cpu / 1e6;
    report("rows_to_parquet_mrps", mrps, "M rows/s per core, wire to durable", 1.0, ROWS as usize);
    report("ingest_rss_mib", peak_mib()?, "MiB", 256.0, 1);
    drop(store);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// The table's columns behind the decoder's, as they are where nothing is configured: without a value.
fn with_meaning(decoded: &RecordBatch) -> RecordBatch {
    let schema = holm_flow::flow_schema();
    let mut columns = decoded.columns().to_vec();
    for field in schema.fields().iter().skip(columns.len()) {
        columns.push(new_null_array(field.data_type(), decoded.num_rows()));
    }
    RecordBatch::try_new(schema, columns).expect("the decoder's columns come first")
}

/// User and system time of this process, all threads.
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    // USER_HZ is 100 on every Linux that Rust runs on.
    Ok(ticks / 100.0)
}

fn peak_mib() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = peak.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib / 1_024.0)
}
