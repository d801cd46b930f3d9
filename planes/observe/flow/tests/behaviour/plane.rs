//! The plane as the node runs it.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_flow::{Batch, Config, FlowPlane, FlowSink, Keeper, Listener, SinkFull, Transport};
use holm_model::{
    AliasObservation, EdgeObservation, Millis, NodeName, NodeObservation, PathObservation, Row,
    SiteId, TenantId,
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

fn context() -> PlaneContext {
    let nothing = Arc::new(Nothing);
    PlaneContext {
        tenant: TenantId::new("acme").expect("a name"),
        site: SiteId::new("north").expect("a name"),
        node: NodeName::new("one").expect("a name"),
        facts: nothing.clone(),
        rows: nothing,
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
