//! `udp_500k_drops` of `[flow]`: `cargo bench -p holm-events --bench udp`.
//!
//! Four exporters send 500,000 NetFlow v5 records a second for a minute over loopback; the collector
//! receives, decodes, enriches and stores them, to durable Parquet. Senders and all share the machine's
//! cores. What is lost is what was sent and did not come to be stored, wherever that was:
//! in the kernel, at a full queue, or anywhere else. HOLM_BENCH_SECONDS makes it shorter.

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{PER_DATAGRAM, netflow_v5};
use holm_bench::report;
use holm_events::{Disk, EventKey, EventStore, Limits, Setup, Table};
use holm_flow::{Batch, Collector, FlowSink, Listener, SinkFull, Tables};
use holm_model::{Millis, TenantId};

const RECORDS_PER_SECOND: u64 = 500_000;
const EXPORTERS: usize = 4;
/// How long what was sent may take to be received.
const PATIENCE: Duration = Duration::from_secs(20);

struct Sink(Arc<EventStore>);

impl FlowSink for Sink {
    fn take(&self, _: &TenantId, batch: Batch) -> Result<(), SinkFull> {
        let (table, batch) = match batch {
            Batch::Flows(batch) => ("flows", batch),
            Batch::InterfaceCounters(batch) => ("counters", batch),
        };
        self.0.append_batch(table, batch).map_err(|_| SinkFull)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: u64 =
        std::env::var("HOLM_BENCH_SECONDS").map_or(Ok(60), |seconds| seconds.parse())?;
    let dir = std::env::temp_dir().join(format!("holm-udp-{}", std::process::id()));
    let flows = Table::new("flows", holm_flow::flow_schema(), "flow.time_received")?;
    let counters =
        Table::new("counters", holm_flow::interface_counter_schema(), "flow.time_received")?;
    let (store, _) = EventStore::open(Setup {
        folder: dir.clone(),
        tenant: "bench".parse()?,
        key: EventKey::new(&[1; 32]),
        tables: vec![flows, counters],
        limits: Limits { max_bytes: 64 << 30, ..Limits::default() },
        clock: Millis::now,
        disk: Disk::default(),
        old: None,
        cold: None,
        outlet: None,
    })?;
    let store = Arc::new(store);
    let sink: Arc<dyn FlowSink> = Arc::new(Sink(Arc::clone(&store)));
    let listener = Listener { address: ([127, 0, 0, 1], 0).into(), ..Listener::udp(0) };
    let collector = Collector::start(
        &"bench".parse()?,
        &[listener],
        &holm_flow::Limits::default(),
        None,
        &sink,
        &Arc::new(Tables::default()),
    )?;
    let to = collector.addresses()[0];
    let started = Instant::now();
    let sent = send(to, Duration::from_secs(seconds))?;
    let took = started.elapsed();
    let waiting = Instant::now();
    while collector.report().totals.flows < sent && waiting.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = collector.report();
    drop(collector.stop());
    store.roll();
    let stats = store.stats();
    println!(
        "{sent} records in {:.1} s, {:.0} a second; the kernel dropped {} datagrams, the store refused {} rows; \
         {} bytes of buffers",
        took.as_secs_f64(),
        sent as f64 / took.as_secs_f64(),
        told.kernel_drops,
        stats.dropped_queue_full,
        told.receive_buffer_bytes
    );
    let lost = sent.saturating_sub(stats.committed);
    let unit = format!("records lost in {seconds} s at 500k records/s");
    report("udp_500k_drops", lost as f64, &unit, 0.0, usize::try_from(sent)?);
    // The last to hold the store: its threads end before its folder goes.
    drop((sink, store));
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Sends for so long, evenly; how many records that were.
fn send(to: SocketAddr, time: Duration) -> std::io::Result<u64> {
    let mut exporters = Vec::new();
    for seed in 1..=EXPORTERS as u64 {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(to)?;
        // A few hundred datagrams, over and over, each time with their place in the sequence.
        let mut random = seed;
        let now = Millis::now().0;
        let datagrams: Vec<Vec<u8>> = (0..500).map(|n| netflow_v5(now, n, &mut random)).collect();
        exporters.push((socket, datagrams, 0_usize));
    }
    let started = Instant::now();
    let mut sent = 0_u64;
    while started.elapsed() < time {
        let due = started.elapsed().as_micros() as u64 * RECORDS_PER_SECOND
            / (u64::from(PER_DATAGRAM) * 1_000_000);
        while sent < due {
            let (socket, datagrams, next) = &mut exporters[sent as usize % EXPORTERS];
            let count = datagrams.len();
            let datagram = &mut datagrams[*next % count];
            let sequence = (*next as u32).wrapping_mul(PER_DATAGRAM);
            datagram[16..20].copy_from_slice(&sequence.to_be_bytes());
            socket.send(datagram)?;
            *next += 1;
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    Ok(sent * u64::from(PER_DATAGRAM))
}
