//! Sites with rows, and a mesh between them that can be slow or lie.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{
    ArrayRef, FixedSizeBinaryBuilder, RecordBatch, TimestampNanosecondArray, UInt16Array,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use holm_events::{Disk, EventKey, EventStore, Kind, Limits, Setup, Table};
use holm_model::{Millis, Row, TenantId};
use holm_query::{
    Answer, Encoder, Engine, Part, Place, PoolLimits, QueryError, QueryLimits, QueryPool, Question,
    Sites,
};
use serde_json::Value;

/// 2024-02-29T12:00:00Z
pub(crate) const NOON: i64 = 1_709_208_000_000;

fn now() -> Millis {
    Millis(NOON as u64 + 600_000)
}

pub(crate) fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("flow.time_received", time, false),
        Field::new("source.address", DataType::FixedSizeBinary(16), true),
        Field::new("source.port", DataType::UInt16, true),
        Field::new("flow.io.bytes", DataType::UInt64, true),
    ]))
}

fn address(n: u32) -> [u8; 16] {
    std::net::Ipv4Addr::from(0x0a00_0000 + n).to_ipv6_mapped().octets()
}

/// `(address, bytes)`, one flow a second after noon; port is 80 or 443 in turns.
pub(crate) fn flows(rows: &[(u32, u64)]) -> RecordBatch {
    let times = (0..rows.len() as i64).map(|n| (NOON + n * 1_000) * 1_000_000);
    let times = TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC");
    let mut addresses = FixedSizeBinaryBuilder::new(16);
    rows.iter().for_each(|(n, _)| addresses.append_value(address(*n)).expect("16 bytes"));
    let ports = UInt16Array::from_iter_values((0..rows.len()).map(|n| [80, 443][n % 2]));
    let bytes = UInt64Array::from_iter_values(rows.iter().map(|(_, bytes)| *bytes));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(times), Arc::new(addresses.finish()), Arc::new(ports), Arc::new(bytes)];
    RecordBatch::try_new(schema(), columns).expect("a batch")
}

pub(crate) struct Site {
    pub(crate) store: Arc<EventStore>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) pool: Arc<QueryPool>,
    pub(crate) place: Place,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn site_of(tenant: &str, name: &str) -> Site {
    site_in(tempfile::tempdir().expect("a folder"), tenant, name, schema())
}

/// The site whose rows lie in that folder, with these columns of flows.
pub(crate) fn site_in(
    folder: tempfile::TempDir,
    tenant: &str,
    name: &str,
    flows: SchemaRef,
) -> Site {
    let results = [("probe", Kind::Text), ("duration_ms", Kind::Float), ("success", Kind::Bool)];
    let (store, _) = EventStore::open(Setup {
        folder: folder.path().join("events"),
        tenant: tenant.parse().expect("valid"),
        key: EventKey::new(&[3; 32]),
        tables: vec![
            Table::of_rows("active_results", &results).expect("a table"),
            Table::new("flows", flows, "flow.time_received")
                .expect("a table")
                .with_bloom_filters(&["source.address"]),
        ],
        limits: Limits::default(),
        clock: now,
        disk: Disk::default(),
        old: None,
        cold: None,
        outlet: None,
    })
    .expect("opens");
    let store = Arc::new(store);
    let limits = PoolLimits { memory_bytes: 64 << 20, threads: 2, ..PoolLimits::default() };
    let pool = Arc::new(QueryPool::new(&folder.path().join("spill"), limits).expect("a pool"));
    let tenant: TenantId = tenant.parse().expect("valid");
    let site = name.parse().expect("valid");
    let engine =
        Engine::new(tenant, site, Arc::clone(&store), Arc::clone(&pool)).expect("an engine");
    let place = Place { site: name.parse().expect("valid"), node: "n1".parse().expect("valid") };
    Site { store, engine: Arc::new(engine), pool, place, folder }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The oldest file of flows of the site whose rows lie in that folder: folders are called by day and hour.
pub(crate) fn first_file(folder: &Path) -> PathBuf {
    let flows = files(&folder.join("events").join("flows")).into_iter();
    flows.filter(|path| path.extension().is_some_and(|e| e == "hev")).min().expect("a file")
}

/// A site with flows, half of them in files.
pub(crate) fn site(name: &str, rows: &[(u32, u64)]) -> Site {
    let site = site_of("acme", name);
    let (first, second) = rows.split_at(rows.len() / 2);
    if !first.is_empty() {
        site.store.append_batch("flows", flows(first)).expect("room");
        site.store.roll();
    }
    site.store.append_batch("flows", flows(second)).expect("room");
    for n in 0..3_u64 {
        let row = Row::new("active_results", Millis(NOON as u64 + n))
            .with("probe", "icmp")
            .with("duration_ms", n as f64)
            .with("success", n != 0);
        site.store.append(row);
    }
    site.store.flush();
    site
}

/// What a site does to who asks it.
#[derive(Clone)]
pub(crate) enum Manner {
    Honest(Arc<Engine>),
    Silent,
    Refuses,
    Says(Vec<Bytes>),
}

/// The other sites.
#[derive(Default)]
pub(crate) struct Mesh {
    pub(crate) sites: BTreeMap<Place, Manner>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Mesh {
    pub(crate) fn of(sites: &[&Site]) -> Self {
        let sites =
            sites.iter().map(|site| (site.place.clone(), Manner::Honest(Arc::clone(&site.engine))));
        Self { sites: sites.collect(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, manner: Manner) -> Self {
        let site = name.parse().expect("valid");
        self.sites.insert(Place { site, node: "n1".parse().expect("valid") }, manner);
        self
    }
}

impl Sites for Mesh {
    fn known(&self) -> Vec<(Place, Result<(), String>)> {
        self.sites.keys().map(|place| (place.clone(), Ok(()))).collect()
    }

    fn ask(&self, place: &Place, part: Part) -> BoxStream<'static, Result<Bytes, String>> {
        self.asked.lock().expect("no panic").push(part.sql.clone());
        match self.sites[place].clone() {
            Manner::Silent => stream::pending().boxed(),
            Manner::Refuses => stream::iter([Err("no grant".to_owned())]).boxed(),
            Manner::Says(pieces) => stream::iter(pieces.into_iter().map(Ok)).boxed(),
            Manner::Honest(engine) => {
                let answer = async move {
                    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
                    let limits = QueryLimits {
                        time: Duration::from_millis(part.time_ms),
                        bytes: part.bytes as usize,
                        ..QueryLimits::default()
                    };
                    let sent = engine.answer_part(&part, limits, move |batch| {
                        let sent = send.send(batch).is_ok();
                        async move { sent }
                    });
                    let schema = match sent.await {
                        Ok(schema) => schema,
                        Err(error) => return vec![Err(error.to_string())],
                    };
                    let mut encoder = Encoder::new(&schema).expect("an encoder");
                    let mut pieces = Vec::new();
                    while let Ok(batch) = receive.try_recv() {
                        pieces.push(Ok(Bytes::from(encoder.batch(&batch).expect("a batch"))));
                    }
                    pieces.push(Ok(Bytes::from(encoder.finish().expect("an end"))));
                    pieces
                };
                stream::once(answer).flat_map(stream::iter).boxed()
            }
        }
    }
}

pub(crate) fn ask_within(
    site: &Site,
    mesh: &Arc<Mesh>,
    sql: &str,
    limits: QueryLimits,
) -> Result<Answer, QueryError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let question = Question { sql: sql.to_owned(), only: None, limits, progress: None, now: now() };
    let sites = Arc::clone(mesh) as Arc<dyn Sites>;
    runtime.expect("a runtime").block_on(site.engine.ask(site.place.clone(), sites, question))
}

pub(crate) fn ask(site: &Site, mesh: &Arc<Mesh>, sql: &str) -> Result<Answer, QueryError> {
    ask_within(site, mesh, sql, QueryLimits::default())
}

pub(crate) fn rows(site: &Site, mesh: &Arc<Mesh>, sql: &str) -> Vec<Vec<Value>> {
    match ask(site, mesh, sql) {
        Ok(answer) => answer.rows(),
        Err(error) => panic!("{sql}: {error}"),
    }
}

/// A site by itself.
pub(crate) fn alone() -> Arc<Mesh> {
    Arc::new(Mesh::default())
}
