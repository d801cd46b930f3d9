//! The kernel program sees exactly the connections that are made, whole.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use crate::common::{Running, kernel_program_loads, text};
use holm_host::{Config, Method, NetworkNamespace};
use holm_model::{Row, Value};
use holm_plane::PlaneState;

fn config() -> Config {
    let method = Method::Ebpf;
    Config { method, network_namespace: NetworkNamespace::Own, ..Config::default() }
}

/// The rows of `port` by their event and direction.
fn row<'a>(rows: &'a [Row], event: &str, direction: &str) -> &'a Row {
    let found: Vec<&Row> = rows
        .iter()
        .filter(|r| text(r, "event") == event && text(r, "direction") == direction)
        .collect();
    assert_eq!(found.len(), 1, "one {event} {direction} among {rows:#?}");
    found[0]
}

fn service() -> String {
    let name = std::env::current_exe().expect("an executable");
    name.file_name().expect("a name").to_string_lossy().into_owned()
}

async fn one_connection(listen: &str, network: &str) {
    let running = Running::start(config()).await;
    assert_eq!(running.health.snapshot().state, PlaneState::Running);
    let listener = TcpListener::bind(listen).expect("an address");
    let port = listener.local_addr().expect("bound").port();
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (mut server, peer) = listener.accept().expect("accepted");
    client.write_all(&[7; 1_000]).expect("sent");
    client.shutdown(Shutdown::Write).expect("ended");
    let mut got = Vec::new();
    server.read_to_end(&mut got).expect("read");
    server.write_all(&[8; 250_000]).expect("answered");
    drop(server);
    client.read_to_end(&mut got).expect("read");
    drop(client);
    drop(listener);
    running.until("all six rows", |r| r.told.rows_of(port).len() >= 6).await;
    let rows = running.told.rows_of(port);
    assert_eq!(rows.len(), 6, "listen, connect, accept, two closes, listen_closed: {rows:#?}");
    let pid = i64::from(std::process::id());
    for (event, direction) in [("connect", "outbound"), ("accept", "inbound")] {
        let row = row(&rows, event, direction);
        assert_eq!(row.columns["source.port"], Value::Int(peer.port().into()));
        assert_eq!(row.columns["destination.port"], Value::Int(port.into()));
        assert_eq!(text(row, "destination.address"), peer.ip().to_string());
        assert_eq!(text(row, "network.type"), network);
        assert_eq!(row.columns["process.pid"], Value::Int(pid), "{event}");
        assert_eq!(text(row, "service.name"), service());
        assert_eq!(text(row, "source"), "kernel");
    }
    let bytes = |direction: &str| {
        let row = row(&rows, "close", direction);
        assert!(matches!(row.columns["duration_ms"], Value::Float(ms) if ms > 0.0));
        (text(row, "bytes_sent"), text(row, "bytes_received"))
    };
    assert_eq!(bytes("outbound"), ("1000".into(), "250000".into()));
    assert_eq!(bytes("inbound"), ("250000".into(), "1000".into()));
    let edge = format!("service:{0}|flow|service:{0}", service());
    let attributes = running.told.edge(&edge).expect("told with attributes");
    assert!(attributes.contains(&("network.transport".into(), "tcp".into())), "{attributes:?}");
    assert!(attributes.iter().any(|(k, v)| k == "server.port" && v.contains(&port.to_string())));
    assert_eq!(running.health.snapshot().counters.get("kernel_dropped_ring_full"), Some(&0));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_connection_is_seen_from_both_ends_with_its_bytes() {
    if kernel_program_loads() {
        one_connection("127.0.0.1:0", "ipv4").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_connection_is_seen_from_both_ends_with_its_bytes() {
    if kernel_program_loads() {
        one_connection("[::1]:0", "ipv6").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_client_of_an_ipv6_listener_is_ipv4_at_both_ends() {
    if !kernel_program_loads() {
        return;
    }
    let running = Running::start(config()).await;
    let listener = TcpListener::bind("[::]:0").expect("an address");
    let port = listener.local_addr().expect("bound").port();
    let client = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("connected");
    let server = listener.accept().expect("accepted");
    running.until("both ends", |r| r.told.rows_of(port).len() >= 3).await;
    for row in running.told.rows_of(port).iter().filter(|r| text(r, "event") != "listen") {
        assert_eq!(text(row, "network.type"), "ipv4");
        assert_eq!(text(row, "service.name"), service(), "{}", text(row, "event"));
    }
    drop((client, server));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_a_row_and_no_edge() {
    if !kernel_program_loads() {
        return;
    }
    let running = Running::start(config()).await;
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
    let failed =
        |r: &Running| r.told.rows_of(port).iter().any(|r| text(r, "event") == "connect_failed");
    running.until("the failure", failed).await;
    let rows = running.told.rows_of(port);
    assert!(rows.iter().all(|r| !["connect", "accept", "close"].contains(&&*text(r, "event"))));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_from_before_is_listed_and_its_close_is_seen() {
    if !kernel_program_loads() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let port = listener.local_addr().expect("bound").port();
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let server = listener.accept().expect("accepted");
    let running = Running::start(config()).await;
    let rows = running.told.rows_of(port);
    for (event, direction) in [("connect", "outbound"), ("accept", "inbound")] {
        let row = row(&rows, event, direction);
        assert_eq!(text(row, "source"), "listing");
        assert_eq!(text(row, "service.name"), service());
    }
    drop(client);
    drop(server);
    let closes = |r: &Running| {
        r.told.rows_of(port).iter().filter(|r| text(r, "event") == "close").count() == 2
    };
    running.until("both closes", closes).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_and_addresses_that_were_not_asked_for_are_passed_over() {
    if !kernel_program_loads() {
        return;
    }
    let ignored = TcpListener::bind("127.0.0.1:0").expect("a port");
    let elsewhere = TcpListener::bind("127.0.7.1:0").expect("a port");
    let watched = TcpListener::bind("127.0.8.1:0").expect("a port");
    let port = |l: &TcpListener| l.local_addr().expect("bound").port();
    let config = Config {
        ignore_ports: vec![port(&ignored)],
        addresses: vec!["127.0.8.1".parse().expect("valid")],
        ..config()
    };
    let running = Running::start(config).await;
    for listener in [&ignored, &elsewhere, &watched] {
        TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    }
    running.until("the watched one", |r| r.told.rows_of(port(&watched)).len() >= 2).await;
    assert!(running.told.rows_of(port(&ignored)).is_empty());
    assert!(running.told.rows_of(port(&elsewhere)).is_empty());
    let rows = running.told.rows_of(port(&watched));
    assert!(rows.iter().all(|r| text(r, "direction") != "outbound"), "the client is elsewhere");
    let edge = format!("host:127.0.0.1|flow|service:{}", service());
    assert!(running.told.edge(&edge).is_some(), "{:?}", running.told.edges.lock().expect("sound"));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lives_for_a_moment_is_named() {
    if !kernel_program_loads() {
        return;
    }
    let running = Running::start(config()).await;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let Ok(mut child) = std::process::Command::new("bash").args(["-c", &connect]).spawn() else {
        println!("skipped: there is no bash");
        return;
    };
    assert!(child.wait().expect("waited").success());
    running.until("the connection", |r| r.told.rows_of(port).len() >= 3).await;
    let rows = running.told.rows_of(port);
    let row = row(&rows, "connect", "outbound");
    assert_eq!(text(row, "service.name"), "bash");
    assert_eq!(text(row, "process.pid"), child.id().to_string());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_every_event_is_a_row_or_counted_as_lost() {
    const CONNECTIONS: usize = 2_000;
    if !kernel_program_loads() {
        return;
    }
    let running = Running::start(config()).await;
    let listener = TcpListener::bind("127.0.9.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    for _ in 0..CONNECTIONS {
        let client = TcpStream::connect(address).expect("connected");
        let server = listener.accept().expect("accepted");
        drop((client, server));
    }
    // Events come in order: this one is the last.
    let last =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    TcpStream::connect(("127.0.0.1", last)).expect_err("nobody listens");
    running.until("the last event", |r| !r.told.rows_of(last).is_empty()).await;
    let expected = 4 * CONNECTIONS + 1;
    let counted = |r: &Running| {
        let counters = r.health.snapshot().counters;
        let counter = |name| counters.get(name).copied().unwrap_or(0);
        counter("kernel_events") + counter("kernel_dropped_ring_full") > expected as u64
    };
    running.until("the counters", counted).await;
    let rows = running.told.rows_of(address.port());
    let count = |event: &str| rows.iter().filter(|r| text(r, "event") == event).count();
    let lost = running.health.snapshot().counters["kernel_dropped_ring_full"];
    assert!(rows.len() <= expected && rows.len() as u64 + lost >= expected as u64);
    if lost == 0 {
        assert_eq!((count("connect"), count("accept")), (CONNECTIONS, CONNECTIONS));
        assert_eq!((count("close"), count("listen")), (2 * CONNECTIONS, 1));
    }
    running.stop().await;
}
