//! The plane as the node runs it.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_flow::{Batch, Config, FlowPlane, FlowSink, Keeper, Listener, SinkFull, Transport};
use holm_model::{
    AliasObservation, EdgeObservation, Millis, NodeName, NodeObservation, PathObservation, Row,
    SiteId, TenantId, Value,
};
use holm_plane::{FactSink, HealthHandle, Plane, PlaneContext, PlaneState, RowSink};
use tokio_util::sync::CancellationToken;

use crate::common::{Bytes, set, template, v9};

/// Takes facts and rows, and keeps none.
struct Nothing;

impl FactSink for Nothing {
    fn observe_edge(&self, _: &EdgeObservation<'_>) {}
    fn observe_node(&self, _: &NodeObservation<'_>) {}
    fn observe_path(&self, _: &PathObservation<'_>) {}
    fn observe_alias(&self, _: &AliasObservation<'_>) {}
}

impl RowSink for Nothing {
    fn append(&self, _: Row) {}
}

#[derive(Default)]
struct Tenants(Mutex<Vec<TenantId>>);

impl FlowSink for Tenants {
    fn take(&self, tenant: &TenantId, _: Batch) -> Result<(), SinkFull> {
        self.0.lock().expect("not poisoned").push(tenant.clone());
        Ok(())
    }
}

/// Keeps documents in memory.
#[derive(Default)]
struct Memory(Mutex<HashMap<String, Vec<u8>>>);

impl Keeper for Memory {
    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.lock().expect("not poisoned").get(name).cloned())
    }

    fn save(&self, name: &str, document: &[u8]) -> Result<(), String> {
        let mut kept = self.0.lock().expect("not poisoned");
        kept.insert(name.to_owned(), document.to_vec());
        Ok(())
    }
}

/// Keeps rows.
#[derive(Default)]
struct Kept(Mutex<Vec<Row>>);

impl RowSink for Kept {
    fn append(&self, row: Row) {
        self.0.lock().expect("not poisoned").push(row);
    }
}

fn context() -> PlaneContext {
    context_with(Arc::new(Nothing))
}

fn context_with(rows: Arc<dyn RowSink>) -> PlaneContext {
    PlaneContext {
        tenant: TenantId::new("acme").expect("a name"),
        site: SiteId::new("north").expect("a name"),
        node: NodeName::new("one").expect("a name"),
        facts: Arc::new(Nothing),
        rows,
        health: HealthHandle::new(Millis(0)),
        peers: tokio::sync::watch::channel(Vec::new()).1,
    }
}

async fn counter(health: &HealthHandle, name: &str, value: u64) {
    for _ in 0..500 {
        if health.snapshot().counters.get(name) == Some(&value) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{name} did not become {value}: {:?}", health.snapshot());
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_templates_over_a_restart_and_says_how_it_is() {
    let kept = Arc::new(Memory::default());
    let address = free_address();
    let listener =
        Listener { address, transport: Transport::Udp, sockets: 2, receive_buffer_kib: 64 };
    let config = Config { enabled: true, listeners: vec![listener], ..Config::default() };
    let sink = Arc::new(Tenants::default());
    let exporter = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let messages =
        [v9(1, &[set(0, template(256, &[(1, 4)]))]), v9(2, &[set(256, Bytes::default().u32(5))])];
    for (message, name) in messages.iter().zip(["templates", "flows"]) {
        let plane = FlowPlane::new(config.clone(), sink.clone(), kept.clone());
        let (context, stop) = (context(), CancellationToken::new());
        let (health, end) = (context.health.clone(), stop.clone());
        let run = tokio::spawn(async move { plane.run(context, end).await });
        counter(&health, "exporters", u64::from(name == "flows")).await;
        exporter.send_to(message, address).expect("sent");
        counter(&health, name, 1).await;
        assert_eq!(health.snapshot().state, PlaneState::Running);
        assert_eq!(health.snapshot().counters["sets_before_template"], 0);
        stop.cancel();
        run.await.expect("no panic").expect("no error");
    }
    let tenants = sink.0.lock().expect("not poisoned");
    assert_eq!(*tenants, [TenantId::new("acme").expect("a name")]);
}

#[tokio::test]
async fn without_a_listener_it_is_off_and_says_why() {
    let plane = FlowPlane::new(
        Config::default(),
        Arc::new(Tenants::default()),
        Arc::new(Memory::default()),
    );
    let context = context();
    let health = context.health.clone();
    plane.run(context, CancellationToken::new()).await.expect("off is no error");
    assert_eq!(health.snapshot().state, PlaneState::Off);
    assert!(!health.snapshot().reason.is_empty());
    let config = Config { max_exporters: 0, ..Config::default() };
    assert!(config.check().expect_err("out of range").contains("max_exporters"));
}

const MINUTE_MS: u64 = 60_000;
/// The end of a minute, 2026-11-21.
const BEGIN_MS: u64 = 1_795_305_600_000 / MINUTE_MS * MINUTE_MS + MINUTE_MS - 1;
static CLOCK: AtomicU64 = AtomicU64::new(BEGIN_MS);

fn clock() -> Millis {
    Millis(CLOCK.load(Ordering::SeqCst))
}

/// One NetFlow v5 record (Cisco, "NetFlow Export Datagram Format") that ends at `now_ms` and lasted three
/// minutes, in by interface 3.
fn three_minutes(sequence: u32, now_ms: u64, bytes: u32) -> Vec<u8> {
    let up = 400_000_000_u32;
    let mut out = Vec::new();
    out.extend([0, 5, 0, 1]);
    out.extend(up.to_be_bytes());
    out.extend(((now_ms / 1_000) as u32).to_be_bytes());
    out.extend(((now_ms % 1_000) as u32 * 1_000_000).to_be_bytes());
    out.extend(sequence.to_be_bytes());
    out.extend([0; 4]);
    out.extend([10, 1, 0, 1, 192, 0, 2, 80, 0, 0, 0, 0, 0, 3, 0, 4]);
    out.extend(1_000_u32.to_be_bytes());
    out.extend(bytes.to_be_bytes());
    out.extend((up - 3 * MINUTE_MS as u32 + 1).to_be_bytes());
    out.extend(up.to_be_bytes());
    out.extend([0x9c, 0x40, 0x01, 0xbb, 0, 0x18, 6, 0]);
    out.extend([0; 8]);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_surge_of_datagrams_becomes_a_signal_and_its_end_another() {
    let address = free_address();
    let listener =
        Listener { address, transport: Transport::Udp, sockets: 1, receive_buffer_kib: 64 };
    let config = Config { enabled: true, listeners: vec![listener], ..Config::default() };
    let kept = Arc::new(Kept::default());
    let plane = FlowPlane::new(config, Arc::new(Tenants::default()), Arc::new(Memory::default()));
    let plane = plane.with_clock(clock);
    let (context, stop) = (context_with(kept.clone()), CancellationToken::new());
    let (health, end) = (context.health.clone(), stop.clone());
    let run = tokio::spawn(async move { plane.run(context, end).await });
    counter(&health, "exporters", 0).await;
    let exporter = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    // 4 Mbit/s for 36 minutes, then twenty times as much for six, then as before.
    for step in 0..20_u32 {
        let now_ms = BEGIN_MS + u64::from(step) * 3 * MINUTE_MS;
        CLOCK.store(now_ms, Ordering::SeqCst);
        let bytes = if (12..14).contains(&step) { 1_800_000_000 } else { 90_000_000 };
        exporter.send_to(&three_minutes(step, now_ms, bytes), address).expect("sent");
        counter(&health, "watch_batches", u64::from(step) + 1).await;
    }
    stop.cancel();
    run.await.expect("no panic").expect("no error");
    let kept = kept.0.lock().expect("not poisoned");
    let signals = kept.iter().filter(|row| row.table == "signals");
    let text = |row: &Row, column: &str| match row.columns.get(column) {
        Some(Value::Text(text)) => text.to_string(),
        other => panic!("{column} is {other:?}"),
    };
    let of_link: Vec<(String, String, u64)> = signals
        .filter(|row| {
            text(row, "kind") == "flow_link_above_usual" && text(row, "target").contains(" in ")
        })
        .map(|row| (text(row, "target"), text(row, "state"), (row.at.0 - BEGIN_MS) / MINUTE_MS))
        .collect();
    let target = "127.0.0.1 in 3".to_owned();
    // The second minute of the surge; the third after it. Its flows begin two minutes before a step.
    assert_eq!(
        of_link,
        [(target.clone(), "raised".to_owned(), 34), (target, "cleared".to_owned(), 41)]
    );
}
