//! The relays on real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use holm_chaos::{Faults, Link, Shape, TcpRelay, UdpRelay, experiment, selftest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// But for how late answers may be: the machine may be busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_seen_and_healed() {
    let mut told = 0;
    let checks = selftest(7, |_| told += 1).await.expect("sockets");
    assert_eq!((checks.len(), told), (9, 9));
    for check in checks {
        let late = check.fault.starts_with("UDP, 40 ms");
        assert!(check.holds || late, "{check:?}");
    }
}

#[tokio::test]
async fn a_failed_measurement_leaves_no_fault() {
    let link = Link::new(1);
    let measured = experiment(&link, Faults::PARTITION, async || match link.faults() {
        Faults::NONE => Ok(1),
        _ => Err("it does not answer"),
    });
    assert_eq!(measured.await, Err("it does not answer"));
    assert_eq!(link.faults(), Faults::NONE);
}

#[tokio::test]
async fn a_server_that_is_gone_is_counted_and_clients_are_told() {
    let gone = TcpListener::bind(loopback()).await.expect("bound").local_addr().expect("it");
    let link = Link::new(1);
    let relay = TcpRelay::open(loopback(), gone, link.clone()).await.expect("bound");
    let mut client = TcpStream::connect(relay.local()).await.expect("the relay takes it");
    let read = timeout(Duration::from_secs(30), client.read(&mut [0; 8])).await.expect("told");
    assert!(matches!(read, Ok(0) | Err(_)));
    assert_eq!(link.counts().0.failed, 1);
}

#[tokio::test]
async fn each_client_gets_its_own_answers_and_too_many_are_counted() {
    let server = UdpSocket::bind(loopback()).await.expect("bound");
    let link = Link::new(1);
    let at = server.local_addr().expect("it");
    let relay = UdpRelay::open(loopback(), at, link.clone()).await.expect("bound");
    let mut clients = Vec::new();
    for n in 0..257_u16 {
        let client = UdpSocket::bind(loopback()).await.expect("bound");
        client.connect(relay.local()).await.expect("connected");
        client.send(&n.to_be_bytes()).await.expect("sent");
        clients.push(client);
        if n < 256 {
            let mut buffer = [0; 8];
            let came = timeout(Duration::from_secs(30), server.recv_from(&mut buffer));
            let (length, from) = came.await.expect("in time").expect("received");
            server.send_to(&buffer[..length], from).await.expect("sent");
        }
    }
    for (n, client) in (0..256_u16).zip(&clients) {
        let mut buffer = [0; 8];
        let came = timeout(Duration::from_secs(30), client.recv(&mut buffer));
        let length = came.await.expect("in time").expect("received");
        assert_eq!(buffer[..length], n.to_be_bytes());
    }
    while link.counts().0.no_room == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(link.counts().0.no_room, 1);
}

/// A connection that ends in the middle of a cut ends on both sides.
#[tokio::test]
async fn what_ends_ends_on_both_sides() {
    let listener = TcpListener::bind(loopback()).await.expect("bound");
    let link = Link::new(1);
    let at = listener.local_addr().expect("it");
    let relay = TcpRelay::open(loopback(), at, link.clone()).await.expect("bound");
    let mut client = TcpStream::connect(relay.local()).await.expect("connected");
    let (mut server, _) = listener.accept().await.expect("accepted");
    link.set(Faults { forth: Shape::CUT, back: Shape::CLEAR });
    client.write_all(b"last words").await.expect("written");
    drop(client);
    tokio::time::sleep(Duration::from_millis(50)).await;
    link.set(Faults::NONE);
    let mut words = Vec::new();
    let read = timeout(Duration::from_secs(30), server.read_to_end(&mut words));
    read.await.expect("it ends").expect("it ends well");
    assert_eq!(words, b"last words");
}
