//! A context that keeps what the plane tells.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holm_host::{Config, HostPlane, Kernel, NetworkNamespace};
use holm_model::{
    AliasObservation, EdgeObservation, Millis, NodeName, NodeObservation, PathObservation, Row,
    SiteId, TenantId, Value,
};
use holm_plane::{FactSink, HealthHandle, Plane, PlaneContext, PlaneState, RowSink};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// An element's id and the attributes that it was told with.
pub(crate) type Element = (String, Vec<(String, String)>);

/// What was told, in order.
#[derive(Default)]
pub(crate) struct Told {
    /// Edges as `from|flow|to`, with their attributes.
    pub(crate) edges: Mutex<Vec<Element>>,
    /// Nodes by id, with their attributes.
    pub(crate) nodes: Mutex<Vec<Element>>,
    /// Aliases as `a|alias|b`, with the evidence.
    pub(crate) aliases: Mutex<Vec<Element>>,
    /// Rows.
    pub(crate) rows: Mutex<Vec<Row>>,
}

fn owned(attributes: &[(&str, &str)]) -> Vec<(String, String)> {
    attributes.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

impl FactSink for Told {
    fn observe_edge(&self, o: &EdgeObservation<'_>) {
        let (from, to) = (o.from, o.to);
        let id = format!("{}:{}|{}|{}:{}", from.kind, from.name, o.kind, to.kind, to.name);
        id.parse::<holm_model::EdgeId>().expect("a valid id");
        self.edges.lock().expect("sound").push((id, owned(o.attributes)));
    }

    fn observe_path(&self, _: &PathObservation<'_>) {}

    fn observe_alias(&self, o: &AliasObservation<'_>) {
        let id = format!("host:{}|alias|host:{}", o.a.name, o.b.name);
        let id = id.parse::<holm_model::AliasId>().expect("a valid id");
        self.aliases.lock().expect("sound").push((id.to_string(), owned(o.attributes)));
    }

    fn observe_node(&self, o: &NodeObservation<'_>) {
        let id = format!("{}:{}", o.node.kind, o.node.name);
        id.parse::<holm_model::NodeId>().expect("a valid id");
        self.nodes.lock().expect("sound").push((id, owned(o.attributes)));
    }
}

impl RowSink for Told {
    fn append(&self, row: Row) {
        self.rows.lock().expect("sound").push(row);
    }
}

impl Told {
    /// Rows that name `port` at either end.
    pub(crate) fn rows_of(&self, port: u16) -> Vec<Row> {
        let has = |row: &Row| {
            ["source.port", "destination.port"]
                .iter()
                .any(|column| row.columns.get(*column) == Some(&Value::Int(port.into())))
        };
        self.rows.lock().expect("sound").iter().filter(|row| has(row)).cloned().collect()
    }

    /// The attributes that the edge `id` was told with last.
    pub(crate) fn edge(&self, id: &str) -> Option<Vec<(String, String)>> {
        let edges = self.edges.lock().expect("sound");
        edges
            .iter()
            .rev()
            .find(|(told, list)| told == id && !list.is_empty())
            .map(|(_, l)| l.clone())
    }
}

/// A plane at work.
pub(crate) struct Running {
    pub(crate) told: Arc<Told>,
    pub(crate) health: HealthHandle,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Starts a plane and waits until it observes (or is off for good).
    pub(crate) async fn start(config: Config) -> Self {
        let told = Arc::new(Told::default());
        let health = HealthHandle::new(Millis::now());
        let shutdown = CancellationToken::new();
        let (_, peers) = watch::channel(Vec::new());
        let context = PlaneContext {
            tenant: TenantId::new("acme").expect("valid"),
            site: SiteId::new("berlin").expect("valid"),
            node: NodeName::new("n1").expect("valid"),
            facts: told.clone(),
            rows: told.clone(),
            health: health.clone(),
            peers,
        };
        let plane = HostPlane::new(config);
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { plane.run(context, stop).await.expect("no error") });
        let running = Self { told, health, shutdown, task };
        running
            .until("the plane observes", |r| {
                let health = r.health.snapshot();
                health.state != PlaneState::Off || health.reason != "not started yet"
            })
            .await;
        running
    }

    /// Waits until `what` holds; fails after a minute.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(60), "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("no panic");
    }
}

/// Whether the kernel program can be loaded here; says why not.
pub(crate) fn kernel_program_loads() -> bool {
    let config = Config { network_namespace: NetworkNamespace::Own, ..Config::default() };
    match Kernel::attach(&config) {
        Ok(_) => true,
        Err(error) => {
            println!("skipped: {error}");
            false
        }
    }
}

/// A column as text.
pub(crate) fn text(row: &Row, column: &str) -> String {
    match row.columns.get(column) {
        Some(Value::Text(text)) => text.to_string(),
        Some(Value::Int(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
