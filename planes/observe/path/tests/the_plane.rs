//! The plane as the node runs it, against this machine itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_model::{
    AliasObservation, EdgeObservation, Millis, NodeName, NodeObservation, PathObservation, Row,
    SiteId, TenantId, Value,
};
use holm_path::engine::Outcome;
use holm_path::socket::{Request, Tracer};
use holm_path::{Config, PathPlane};
use holm_plane::{FactSink, HealthHandle, Plane, PlaneContext, PlaneState, RowSink, VantagePeer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Heard {
    paths: Mutex<Vec<String>>,
    rows: Mutex<Vec<Row>>,
}

impl FactSink for Heard {
    fn observe_edge(&self, _: &EdgeObservation<'_>) {}
    fn observe_node(&self, _: &NodeObservation<'_>) {}
    fn observe_alias(&self, _: &AliasObservation<'_>) {}

    fn observe_path(&self, path: &PathObservation<'_>) {
        let text =
            format!("{} {} {} {}", path.agent.name, path.target.name, path.flow, path.hops.len());
        self.paths.lock().expect("whole").push(text);
    }
}

impl RowSink for Heard {
    fn append(&self, row: Row) {
        self.rows.lock().expect("whole").push(row);
    }
}

impl Heard {
    async fn row_of(&self, target: &str) -> Row {
        loop {
            let rows = self.rows.lock().expect("whole").clone();
            let of = |row: &Row| row.columns.get("target") == Some(&Value::from(target));
            if let Some(row) = rows.into_iter().find(of) {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn context(heard: &Arc<Heard>, peers: watch::Receiver<Vec<VantagePeer>>) -> PlaneContext {
    PlaneContext {
        tenant: TenantId::new("default").expect("valid"),
        site: SiteId::new("berlin").expect("valid"),
        node: NodeName::new("n1").expect("valid"),
        facts: Arc::clone(heard) as Arc<dyn FactSink>,
        rows: Arc::clone(heard) as Arc<dyn RowSink>,
        health: HealthHandle::new(Millis::now()),
        peers,
    }
}

#[tokio::test]
async fn peers_and_targets_are_traced_and_told() {
    let config = "interval = \"10s\"\n[[targets]]\nname = \"self\"\ntarget = \"127.0.0.1\"\n\
                  [[targets]]\nname = \"nowhere\"\ntarget = \"nowhere.invalid\"\n";
    let config: Config = toml::from_str(config).expect("valid");
    let heard = Arc::new(Heard::default());
    let (_tell, peers) = watch::channel(vec![VantagePeer {
        site: SiteId::new("tokyo").expect("valid"),
        node: NodeName::new("n2").expect("valid"),
        address: "::ffff:127.0.0.2".parse().expect("valid"),
        api_port: None,
    }]);
    let context = context(&heard, peers);
    let health = context.health.clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let plane = tokio::spawn(async move { PathPlane::new(config).run(context, stopped).await });

    let row = heard.row_of("tokyo/n2").await;
    assert_eq!(row.table, "path_results");
    assert_eq!(row.columns["peer.site"], Value::from("tokyo"));
    assert_eq!(row.columns["server.address"], Value::from("127.0.0.2"));
    let row = heard.row_of("self").await;
    assert_eq!(row.columns["success"], Value::Bool(true), "{row:?}");
    assert_eq!(row.columns["path.widths"], Value::from("1"));
    assert_eq!(row.columns["path.hops"], Value::from("127.0.0.1"));
    assert!(matches!(row.columns["path.rtt.min_ms"], Value::Float(ms) if ms > 0.0));
    let row = heard.row_of("nowhere").await;
    assert_eq!(row.columns["success"], Value::Bool(false));
    assert!(row.columns.contains_key("error") && !row.columns.contains_key("path.hops"));
    stop.cancel();
    plane.await.expect("ended").expect("without an error");
    let paths = heard.paths.lock().expect("whole").clone();
    assert!(paths.contains(&"berlin 127.0.0.1 udp-33434-0 0".to_owned()), "{paths:?}");
    let health = health.snapshot();
    assert_ne!(health.state, PlaneState::Off);
    assert_eq!((health.counters["targets"], health.counters["failures"]), (3, 1));
}

#[tokio::test]
async fn a_bad_configuration_is_an_error_that_names_the_key() {
    let heard = Arc::new(Heard::default());
    let (_tell, peers) = watch::channel(Vec::new());
    let plane = PathPlane::new(Config { rate: 0, ..Config::default() });
    let run = plane.run(context(&heard, peers), CancellationToken::new()).await;
    assert!(run.expect_err("refused").to_string().contains("planes.path.rate"));
}

#[tokio::test]
async fn without_privileges_this_machine_is_one_hop_away() {
    for target in ["127.0.0.1", "::1"] {
        let tracer = Tracer::unprivileged(1_000);
        match tracer.trace(Request::to(target.parse().expect("valid"))).await {
            Ok(result) => {
                assert_eq!((result.outcome, result.hops.len()), (Outcome::Reached, 1), "{target}");
            }
            Err(error) => println!("skipped: {target}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_trace_is_given_as_text_json_and_dot() {
    let (result, _) =
        holm_path::trace(Request::to("127.0.0.1".parse().expect("valid"))).await.expect("a trace");
    assert!(holm_path::render::to_text(&result).contains("127.0.0.1"));
    assert!(holm_path::render::to_dot(&result).starts_with("digraph path {"));
    let json = holm_path::render::to_json(&result).expect("written");
    assert!(json.contains("\"outcome\": \"reached\""), "{json}");
}
