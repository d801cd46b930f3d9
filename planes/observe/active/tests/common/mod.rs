//! What the tests of the plane share.

#![allow(dead_code, reason = "not every story needs all of it")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_active::{ActivePlane, Config, NodeLimits, TestRunner};
use holm_model::{
    AliasObservation, EdgeObservation, Millis, NodeName, NodeObservation, PathObservation, Row,
    SiteId, TenantId, Value,
};
use holm_plane::{FactSink, HealthHandle, PlaneContext, RowSink, VantagePeer};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) fn runner(config: &Config) -> Arc<TestRunner> {
    Arc::new(TestRunner::new(config, Arc::new(NodeLimits::new(config))))
}

pub(crate) fn plane_of(config: Config) -> ActivePlane {
    let tests = runner(&config);
    ActivePlane::new(config, tests)
}

/// Keeps what the plane says.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) edges: Mutex<Vec<(String, String)>>,
    pub(crate) rows: Mutex<Vec<Row>>,
    pub(crate) aliases: Mutex<Vec<(String, String)>>,
}

impl FactSink for Heard {
    fn observe_edge(&self, edge: &EdgeObservation<'_>) {
        let attributes = edge.attributes.iter().map(|(key, value)| format!(" {key}={value}"));
        let to = edge.to.name.to_owned() + &attributes.collect::<String>();
        self.edges.lock().expect("whole").push((edge.from.name.to_owned(), to));
    }

    fn observe_node(&self, _: &NodeObservation<'_>) {}

    fn observe_path(&self, _: &PathObservation<'_>) {}

    fn observe_alias(&self, o: &AliasObservation<'_>) {
        self.aliases.lock().expect("whole").push((o.a.name.to_owned(), o.b.name.to_owned()));
    }
}

impl RowSink for Heard {
    fn append(&self, row: Row) {
        self.rows.lock().expect("whole").push(row);
    }
}

impl Heard {
    pub(crate) fn rows_of(&self, probe: &str, target: &str) -> Vec<Row> {
        let is = |row: &Row, column: &str, text: &str| matches!(row.columns.get(column), Some(Value::Text(value)) if **value == *text);
        let rows = self.rows.lock().expect("whole");
        rows.iter()
            .filter(|row| is(row, "probe", probe) && is(row, "target", target))
            .cloned()
            .collect()
    }

    pub(crate) async fn row_of(&self, probe: &str, target: &str) -> Row {
        loop {
            if let Some(row) = self.rows_of(probe, target).pop() {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn context(
    heard: &Arc<Heard>,
    peers: watch::Receiver<Vec<VantagePeer>>,
) -> PlaneContext {
    context_of(Arc::clone(heard) as Arc<dyn FactSink>, Arc::clone(heard) as Arc<dyn RowSink>, peers)
}

pub(crate) fn context_of(
    facts: Arc<dyn FactSink>,
    rows: Arc<dyn RowSink>,
    peers: watch::Receiver<Vec<VantagePeer>>,
) -> PlaneContext {
    PlaneContext {
        tenant: TenantId::new("default").expect("valid"),
        site: SiteId::new("berlin").expect("valid"),
        node: NodeName::new("n1").expect("valid"),
        facts,
        rows,
        health: HealthHandle::new(Millis::now()),
        peers,
    }
}

pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}
