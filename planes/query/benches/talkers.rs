//! The numbers of `[flow]` that questions hold: `cargo bench -p holm-query`.
//!
//! Flows of a day are made by a seed into real sealed event files, once; later runs use them again. At
//! one site 100 M rows lie; the top talkers of one hour and of all are asked for through the engine, as
//! the mesh asks. Then three stores of 30 M rows each are asked alone, and together as a mesh. Sites have
//! machines of their own, and these stand on one: so in the mesh they work one after the other, each with all
//! cores as it had alone, and of their times the slowest counts. All else counts in full: what the asker does, and
//! what goes between them. Beside it stands how long it takes where all three share the cores of this machine at
//! once. With fewer rows (`HOLM_BENCH_M_ROWS`, `HOLM_BENCH_M_ROWS_EACH`) figures are printed, and not reported
//! under the bench's names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, RecordBatch, StringArray, TimestampNanosecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::cast;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use holm_bench::report;
use holm_events::{Disk, EventKey, EventStore, Limits, Setup, Table};
use holm_model::{Millis, TenantId};
use holm_query::{
    Answer, Encoder, Engine, Part, Place, PoolLimits, QueryLimits, QueryPool, Question, Sites,
};

/// 2026-03-01T00:00:00Z
const DAY_MS: u64 = 1_772_323_200_000;
const HOURS: u64 = 24;
const BATCH_ROWS: u64 = 16_384;
const TIMES: usize = 7;

fn now() -> Millis {
    Millis(DAY_MS + HOURS * 3_600_000)
}

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let millions = |name: &str, otherwise: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise) * 1_000_000
    };
    let one = millions("HOLM_BENCH_M_ROWS", 100);
    let each = millions("HOLM_BENCH_M_ROWS_EACH", 30);
    let report = |name: &str, value: f64, unit: &str, bound: f64, n: usize| {
        if (one, each) == (100_000_000, 30_000_000) {
            report(name, value, unit, bound, n);
        } else {
            println!("{name}, of fewer rows: {value:.2}");
        }
    };
    let site = Site::open("one", one, 1)?;
    let talkers = |condition: &str| {
        format!(
            "SELECT source.address, sum(flow.io.bytes) AS b FROM flows {condition} GROUP BY source.address ORDER BY b DESC LIMIT 10"
        )
    };
    let hour = talkers(
        "WHERE flow.time_received >= '2026-03-01T14:30:00Z' AND flow.time_received < '2026-03-01T15:30:00Z'",
    );
    let all = talkers("");
    let (ms, answer) = median(|| site.ask(&hour, Arc::new(Mesh::default())))?;
    println!("{} rows, first: {:?}", answer.rows().len(), answer.rows().first());
    report("top_talkers_1h_ms", ms, "ms of 100M rows", 300.0, TIMES);
    let (ms, answer) = median(|| site.ask(&all, Arc::new(Mesh::default())))?;
    println!("{} rows, first: {:?}", answer.rows().len(), answer.rows().first());
    report("top_talkers_all_ms", ms, "ms, 100M rows", 2_000.0, TIMES);
    let pairs = "SELECT source.address, destination.address, sum(flow.io.bytes) AS b FROM flows GROUP BY 1, 2 ORDER BY b DESC LIMIT 10";
    // More groups than there is memory for: they may need more disk than they may have.
    match median(|| site.ask(pairs, Arc::new(Mesh::default()))) {
        Ok((ms, _)) => println!("top pairs of all: {ms:.0} ms"),
        Err(error) => println!("top pairs of all: {error}"),
    }
    drop(site);

    let sites = [Site::open("a", each, 2)?, Site::open("b", each, 3)?, Site::open("c", each, 4)?];
    let (mut slowest, mut together) = (0.0_f64, 0.0);
    for site in &sites {
        let (ms, _) = median(|| site.ask(&all, Arc::new(Mesh::default())))?;
        println!("site {} alone: {ms:.0} ms", site.place.site);
        slowest = slowest.max(ms);
        together += ms;
    }
    let mesh = Arc::new(Mesh::of(&sites[1..], None));
    let (ms, answer) = median(|| sites[0].ask(&all, Arc::clone(&mesh)))?;
    println!(
        "mesh on shared cores: {ms:.0} ms; slowest alone {slowest:.0} ms; the three one after the other {together:.0} ms; {:?}",
        answer.places.iter().map(|p| (p.rows, p.bytes, p.took_ms)).collect::<Vec<_>>()
    );
    let asker = Site::open("asker", 0, 5)?;
    let turns = Arc::new(tokio::sync::Mutex::default());
    let mesh = Arc::new(Mesh::of(&sites, Some(Arc::clone(&turns))));
    let mut ratios = Vec::new();
    for _ in 0..=TIMES {
        let started = Instant::now();
        asker.ask(&all, Arc::clone(&mesh))?;
        let ms = started.elapsed().as_secs_f64() * 1_000.0;
        let turns = std::mem::take(&mut *turns.blocking_lock());
        let most = turns.iter().copied().fold(0.0, f64::max);
        println!("one site after the other: {ms:.0} ms, of which the sites {turns:.0?}");
        ratios.push((ms - turns.iter().sum::<f64>() + most) / slowest);
    }
    // The first opens what the others find.
    ratios.remove(0);
    ratios.sort_by(f64::total_cmp);
    report(
        "mesh_query_ratio",
        ratios[TIMES / 2],
        "mesh top-10 over three sites / slowest site alone",
        1.3,
        TIMES,
    );
    Ok(())
}

/// The median time of a question, in milliseconds, and its last answer.
fn median(mut ask: impl FnMut() -> Result<Answer, Failure>) -> Result<(f64, Answer), Failure> {
    let mut answer = ask()?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        answer = ask()?;
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[TIMES / 2], answer))
}

struct Site {
    engine: Arc<Engine>,
    place: Place,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    /// The store of that many rows; made if it is not there.
    fn open(name: &str, rows: u64, seed: u64) -> Result<Self, Failure> {
        let folder = data().join(format!("{name}-{}m-{seed}-v3", rows / 1_000_000));
        let made = folder.join("made");
        if !made.exists() {
            let _ = std::fs::remove_dir_all(&folder);
            let started = Instant::now();
            let store = store(&folder)?;
            fill(&store, rows, seed)?;
            println!(
                "made {rows} rows in {:.0} s: {:?}",
                started.elapsed().as_secs_f64(),
                store.stats()
            );
            drop(store);
            std::fs::write(&made, "")?;
        }
        let store = Arc::new(store(&folder)?);
        let stats = store.stats();
        assert_eq!(stats.rows, rows, "remove {} to have it made again", folder.display());
        println!(
            "site {name}: {} files, {:.1} bytes a row",
            stats.files,
            stats.bytes as f64 / rows as f64
        );
        let pool = QueryPool::new(&folder.join("spill"), PoolLimits::default())?;
        let tenant: TenantId = "bench".parse()?;
        let engine = Engine::new(tenant, name.parse()?, store, Arc::new(pool))?;
        let place = Place { site: name.parse()?, node: "n1".parse()? };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { engine: Arc::new(engine), place, runtime })
    }

    fn ask(&self, sql: &str, mesh: Arc<Mesh>) -> Result<Answer, Failure> {
        let limits = QueryLimits { time: Duration::from_secs(60), ..QueryLimits::default() };
        let question = Question {
            sql: sql.to_owned(),
            only: None,
            limits,
            progress: None,
            now: Millis::now(),
        };
        Ok(self.runtime.block_on(self.engine.ask(self.place.clone(), mesh, question))?)
    }
}

/// Below the workspace's target folder.
fn data() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    target.join("bench-data")
}

fn store(folder: &Path) -> Result<EventStore, Failure> {
    let flows = Table::new("flows", holm_flow::flow_schema(), "flow.time_received")?;
    let (store, _) = EventStore::open(Setup {
        folder: folder.join("events"),
        tenant: "bench".parse()?,
        key: EventKey::new(&[1; 32]),
        tables: vec![flows.with_bloom_filters(&["source.address", "destination.address"])],
        limits: Limits {
            max_bytes: 64 << 30,
            max_age_ms: 365 * 24 * 3_600_000,
            queue_bytes: 8 << 20,
            ..Limits::default()
        },
        clock: now,
        disk: Disk::default(),
        old: None,
        cold: None,
        outlet: None,
    })?;
    Ok(store)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rank below `most`, small ones more often: about as Zipf's law has it.
    fn rank(&mut self, most: f64) -> u32 {
        (most.powf(self.unit()) - 1.0) as u32
    }
}

/// A day of flows between 100,000 clients and 3,000 servers, heavy tails in who, how long and how much.
fn fill(store: &EventStore, rows: u64, seed: u64) -> Result<(), Failure> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed);
    let mut done = 0;
    while done < rows {
        let count = BATCH_ROWS.min(rows - done);
        let at = |n: u64| DAY_MS as f64 + (n as f64 / rows as f64) * (HOURS * 3_600_000) as f64;
        let batch = flows(
            &mut random,
            count as usize,
            (at(done) * 1e6) as i64,
            (at(done + count) * 1e6) as i64,
        )?;
        while store.append_batch("flows", batch.clone()).is_err() {
            std::thread::sleep(Duration::from_millis(2));
        }
        done += count;
    }
    store.roll();
    Ok(())
}

fn flows(random: &mut Random, rows: usize, from: i64, to: i64) -> Result<RecordBatch, Failure> {
    let schema = holm_flow::flow_schema();
    let received: Vec<i64> =
        (0..rows as i64).map(|n| from + (to - from) * n / rows as i64).collect();
    let address =
        |net: u32, host: u32| std::net::Ipv4Addr::from(net + host).to_ipv6_mapped().octets();
    let mut sources = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    let mut destinations = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    let mut exporters = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    let (mut ports, mut bytes, mut packets, mut starts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut server_ports = Vec::new();
    for at in &received {
        sources.append_value(address(0x0a00_0000, random.rank(100_000.0)))?;
        destinations.append_value(address(0xc633_6400, random.rank(3_000.0)))?;
        exporters.append_value(address(0x0a0a_0a00, (random.next() % 4) as u32))?;
        ports.push(1_024 + (random.next() % 60_000) as u16);
        server_ports
            .push([443_u16, 443, 443, 80, 53, 22, 5432, 8080][(random.next() % 8) as usize]);
        let count = 1 + u64::from(random.rank(5_000.0));
        packets.push(count);
        bytes.push(count * (64 + random.next() % 1_400));
        starts.push(at - (random.next() % 60_000_000_000) as i64);
    }
    let all = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
    let times = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(values).with_timezone("UTC"))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("flow.start", times(starts)),
        ("flow.end", times(received.clone())),
        ("flow.time_received", times(received)),
        ("flow.type", all("netflow_v9")),
        ("flow.exporter.address", Arc::new(exporters.finish())),
        ("source.address", Arc::new(sources.finish())),
        ("source.port", Arc::new(UInt16Array::from(ports))),
        ("destination.address", Arc::new(destinations.finish())),
        ("destination.port", Arc::new(UInt16Array::from(server_ports))),
        ("network.type", all("ipv4")),
        ("network.transport", all("tcp")),
        ("flow.ip.protocol", Arc::new(UInt8Array::from(vec![6; rows]))),
        ("flow.io.bytes", Arc::new(UInt64Array::from(bytes.clone()))),
        ("flow.io.bytes_scaled", Arc::new(UInt64Array::from(bytes))),
        ("flow.io.packets", Arc::new(UInt64Array::from(packets))),
        ("flow.in.interface.index", Arc::new(UInt32Array::from(vec![3; rows]))),
    ];
    let columns = schema.fields().iter().map(|field| {
        match columns.iter().find(|(name, _)| name == field.name()) {
            Some((_, column)) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), rows)),
        }
    });
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)?)
}

/// The other sites, in this process: their answers go through the same encoding as over the wire.
#[derive(Default)]
struct Mesh {
    sites: Vec<(Place, Arc<Engine>)>,
    /// One works at a time, and the milliseconds of each answer are noted.
    turns: Option<Arc<tokio::sync::Mutex<Vec<f64>>>>,
}

impl Mesh {
    fn of(sites: &[Site], turns: Option<Arc<tokio::sync::Mutex<Vec<f64>>>>) -> Self {
        let sites = sites.iter().map(|s| (s.place.clone(), Arc::clone(&s.engine)));
        Self { sites: sites.collect(), turns }
    }
}

impl Sites for Mesh {
    fn known(&self) -> Vec<(Place, Result<(), String>)> {
        self.sites.iter().map(|(place, _)| (place.clone(), Ok(()))).collect()
    }

    fn ask(&self, place: &Place, part: Part) -> BoxStream<'static, Result<Bytes, String>> {
        let found = self.sites.iter().find(|(other, _)| other == place);
        let Some((_, engine)) = found else {
            return stream::iter([Err("no such site".to_owned())]).boxed();
        };
        let engine = Arc::clone(engine);
        let turns = self.turns.clone();
        let answer = async move {
            let mut turn = match &turns {
                Some(turns) => Some(turns.lock().await),
                None => None,
            };
            let started = Instant::now();
            let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
            let limits =
                QueryLimits { time: Duration::from_millis(part.time_ms), ..QueryLimits::default() };
            let sent = engine.answer_part(&part, limits, move |batch| {
                let sent = send.send(batch).is_ok();
                async move { sent }
            });
            let schema = sent.await.map_err(|error| error.to_string())?;
            let failed = |error: holm_query::ArrowError| error.to_string();
            let mut encoder = Encoder::new(&schema).map_err(failed)?;
            let mut pieces = Vec::new();
            while let Ok(batch) = receive.try_recv() {
                pieces.push(Bytes::from(encoder.batch(&batch).map_err(failed)?));
            }
            pieces.push(Bytes::from(encoder.finish().map_err(failed)?));
            if let Some(turn) = &mut turn {
                turn.push(started.elapsed().as_secs_f64() * 1_000.0);
            }
            Ok(pieces)
        };
        stream::once(answer)
            .flat_map(|pieces: Result<Vec<Bytes>, String>| match pieces {
                Ok(pieces) => stream::iter(pieces.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => stream::iter(vec![Err(error)]),
            })
            .boxed()
    }
}
