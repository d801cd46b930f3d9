//! Without the kernel program the plane sees less, and says so.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::common::{Running, text};
use holm_host::{Config, Method};
use holm_plane::PlaneState;

#[tokio::test(flavor = "multi_thread")]
async fn listings_find_connections_and_their_ends_and_call_themselves_coarser() {
    let config = Config {
        method: Method::SockDiag,
        poll_interval: Duration::from_millis(100),
        ..Config::default()
    };
    let running = Running::start(config).await;
    let health = running.health.snapshot();
    assert_eq!(health.state, PlaneState::Degraded);
    assert!(health.method.ends_with("every 100ms"), "{}", health.method);
    assert!(health.reason.contains("can be missed"), "{}", health.reason);
    assert!(!health.remedy.is_empty());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let server = listener.accept().expect("accepted");
    let seen = |event: &'static str, n: usize| {
        move |r: &Running| {
            r.told.rows_of(port).iter().filter(|r| text(r, "event") == event).count() == n
        }
    };
    running.until("the client's end", seen("connect", 1)).await;
    running.until("the server's end", seen("accept", 1)).await;
    let pid = std::process::id().to_string();
    for row in running.told.rows_of(port) {
        assert_eq!(text(&row, "process.pid"), pid, "{row:?}");
        assert!(!row.columns.contains_key("bytes_sent"), "listings know no bytes");
    }
    drop((client, server));
    running.until("both closes", seen("close", 2)).await;
    drop(listener);
    running.until("the listener's end", seen("listen_closed", 1)).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_that_may_not_use_listings_is_off_with_the_reason() {
    let config = Config { method: Method::Ebpf, ..Config::default() };
    let running = Running::start(config).await;
    let health = running.health.snapshot();
    // With the privilege it runs; without it, it must not look alive.
    if health.state == PlaneState::Running {
        assert!(health.method.starts_with("ebpf"), "{health:?}");
    } else {
        assert_eq!(health.state, PlaneState::Off);
        assert!(!health.reason.is_empty() && !health.remedy.is_empty(), "{health:?}");
        assert!(health.method.is_empty());
    }
    running.stop().await;
}
