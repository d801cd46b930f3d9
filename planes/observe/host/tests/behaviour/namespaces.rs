//! Connections of another network namespace are seen only where they were asked for.

use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::common::{Running, kernel_program_loads, text};
use holm_host::{Config, Method, NetworkNamespace};

/// Makes a connection over the loopback of a new network namespace; its port. `None` if this may
/// not be done here.
#[allow(unsafe_code)] // unshare(2): a thread of this test gets a network namespace of its own
fn connect_in_another_namespace() -> Option<u16> {
    let elsewhere = std::thread::spawn(|| {
        // SAFETY: affects this thread only, and takes no pointer.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            println!("skipped: no new network namespace: {}", std::io::Error::last_os_error());
            return None;
        }
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        if !up.is_ok_and(|status| status.success()) {
            println!("skipped: `ip link set lo up` fails (package iproute2)");
            return None;
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).expect("connected");
        let server = listener.accept().expect("accepted");
        drop((client, server));
        Some(address.port())
    });
    elsewhere.join().expect("no panic")
}

async fn rows_of_both(network_namespace: NetworkNamespace) -> Option<(usize, usize)> {
    if !kernel_program_loads() {
        return None;
    }
    let own = network_namespace == NetworkNamespace::Own;
    let config = Config { method: Method::Ebpf, network_namespace, ..Config::default() };
    let running = Running::start(config).await;
    let elsewhere = connect_in_another_namespace()?;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let here = listener.local_addr().expect("bound").port();
    assert_ne!(here, elsewhere, "told apart by their ports");
    drop(TcpStream::connect(("127.0.0.1", here)).expect("connected"));
    // Events come in order: when this one is there, those of before are too.
    let accepted = |r: &Running| r.told.rows_of(here).iter().any(|r| text(r, "event") == "accept");
    running.until("our own connection", accepted).await;
    let rows = (running.told.rows_of(here).len(), running.told.rows_of(elsewhere).len());
    // Five of the other namespace are passed over, or sent like the two or more of our own.
    let counted = |r: &Running| {
        let counters = r.health.snapshot().counters;
        let counter = |name| counters.get(name).copied().unwrap_or(0);
        counter(if own { "kernel_other_namespace" } else { "kernel_events" }) >= 5
    };
    running.until("what is left out is counted", counted).await;
    if !own {
        assert_eq!(running.health.snapshot().counters["kernel_other_namespace"], 0);
    }
    running.stop().await;
    Some(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespace_is_not_seen_with_own() {
    if let Some((here, elsewhere)) = rows_of_both(NetworkNamespace::Own).await {
        assert!(here >= 2);
        assert_eq!(elsewhere, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_namespace_is_seen_with_all() {
    if let Some((here, elsewhere)) = rows_of_both(NetworkNamespace::All).await {
        assert!(here >= 2);
        assert!(elsewhere >= 5, "listen, connect, accept, two closes: {elsewhere}");
    }
}
