//! Nodes without seeds find each other by multicast DNS, where the network carries multicast.

mod common;

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use common::{Authority, Node, WEEK, config, equal, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_without_seeds_find_each_other() {
    if !multicast_works() {
        println!("skipped: this machine's network carries no multicast");
        return;
    }
    let authority = Authority::new("example.org");
    let mut nodes = Vec::new();
    for site in ["berlin", "tokyo"] {
        let mut config = config(site, &[]);
        config.listen = "0.0.0.0:0".parse().expect("valid");
        config.mdns = true;
        nodes.push(Node::start(config, authority.identity(site, WEEK)).await);
    }
    let all: Vec<&Node> = nodes.iter().collect();
    assert!(all[0].mesh.status().mdns.is_some(), "the status says what discovery does");
    all[0].write(1, "found");
    eventually("they work together", &all, || {
        equal(&all) && all.iter().all(|node| node.connected() == 1)
    })
    .await;
}

/// Whether a datagram to mDNS's group comes back to this machine over an interface that is not
/// loopback, which mDNS does not use.
fn multicast_works() -> bool {
    let group = "224.0.0.251".parse().expect("valid");
    let try_it = || -> std::io::Result<bool> {
        let receiver = UdpSocket::bind("0.0.0.0:0")?;
        receiver.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
        receiver.set_read_timeout(Some(Duration::from_secs(2)))?;
        let sender = UdpSocket::bind("0.0.0.0:0")?;
        sender.send_to(b"x", (group, receiver.local_addr()?.port()))?;
        let (_, from) = receiver.recv_from(&mut [0; 8])?;
        Ok(!from.ip().is_loopback())
    };
    try_it().unwrap_or(false)
}
