//! The plane as the node runs it: what it probes, what it writes down, and that it ends.

mod common;

use std::sync::Arc;

use common::{Heard, context, listener, plane_of};
use holm_active::Config;
use holm_model::{NodeName, SiteId, Value};
use holm_plane::{Plane, PlaneState, VantagePeer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn configured_targets_and_peers_are_probed_until_the_plane_is_told_to_stop() {
    let (_open, open) = listener().await;
    let (closed, gone) = listener().await;
    drop(closed);
    let (_peer, of_peer) = listener().await;
    let config = format!(
        "interval = \"100ms\"\ntimeout = \"2s\"\n\
         [[targets]]\nname = \"open\"\nprobe = \"tcp\"\ntarget = \"127.0.0.1\"\nport = {}\n\
         [[targets]]\nname = \"gone\"\nprobe = \"tcp\"\ntarget = \"127.0.0.1\"\nport = {}\n",
        open.port(),
        gone.port()
    );
    let config: Config = toml::from_str(&config).expect("valid");
    let heard = Arc::new(Heard::default());
    let (tell, peers) = watch::channel(Vec::new());
    let context = context(&heard, peers);
    let health = context.health.clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let plane = tokio::spawn(async move { plane_of(config).run(context, stopped).await });

    let row = heard.row_of("tcp", "open").await;
    assert_eq!(row.table, "active_results");
    assert_eq!(row.columns["success"], Value::Bool(true));
    assert_eq!(row.columns["kind"], Value::from("configured"));
    assert_eq!(row.columns["network.type"], Value::from("ipv4"));
    assert!(matches!(row.columns["duration_ms"], Value::Float(ms) if ms > 0.0));
    assert!(!row.columns.contains_key("peer.site") && !row.columns.contains_key("error"));
    let row = heard.row_of("tcp", "gone").await;
    assert_eq!(row.columns["success"], Value::Bool(false));
    assert!(!row.columns.contains_key("duration_ms"), "what was not measured is absent");

    tell.send_replace(vec![VantagePeer {
        site: SiteId::new("tokyo").expect("valid"),
        node: NodeName::new("n2").expect("valid"),
        // As a dual-stack socket tells it.
        address: "::ffff:127.0.0.1".parse().expect("valid"),
        api_port: Some(of_peer.port()),
    }]);
    let row = heard.row_of("tcp", "tokyo/n2").await;
    assert_eq!(row.columns["success"], Value::Bool(true));
    assert_eq!(row.columns["kind"], Value::from("mesh"));
    assert_eq!(row.columns["peer.site"], Value::from("tokyo"));
    assert_eq!(row.columns["server.address"], Value::from("127.0.0.1"));

    stop.cancel();
    plane.await.expect("ended").expect("without an error");
    let edges = heard.edges.lock().expect("whole").clone();
    let is = |to: &str| ("berlin".to_owned(), to.to_owned());
    assert!(edges.contains(&is("127.0.0.1 holm.probe.tcp=answers")), "{edges:?}");
    let of_mesh = is("127.0.0.1 holm.probe.tcp=answers holm.peer.site=tokyo");
    assert!(edges.contains(&of_mesh), "{edges:?}");
    let health = health.snapshot();
    assert_ne!(health.state, PlaneState::Off);
    assert_eq!(health.counters["targets"], 5);
    assert_eq!(health.counters["lookups_refused"], 0);
    assert!(health.counters["failures"] >= 1);
    assert_eq!(health.counters["runs"], heard.rows.lock().expect("whole").len() as u64);
}

#[tokio::test]
async fn a_bad_configuration_is_an_error_and_the_end_of_the_node_is_none() {
    let heard = Arc::new(Heard::default());
    let (tell, peers) = watch::channel(Vec::new());
    let config = Config { echo_count: 0, ..Config::default() };
    let run = plane_of(config)
        .run(context(&heard, peers.clone()), CancellationToken::new())
        .await
        .map_err(|error| error.to_string());
    assert!(run.expect_err("refused").contains("echo_count"));
    drop(tell);
    let plane = plane_of(Config::default());
    let run = plane.run(context(&heard, peers), CancellationToken::new()).await;
    assert!(run.is_ok());
}
