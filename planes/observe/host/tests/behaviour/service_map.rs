//! What connections add up to: whose edges, by which names, held for how long.

use std::path::Path;
use std::sync::Arc;

use crate::common::{Told, text};
use holm_host::{
    Config, End, Happening, KernelProcess, Listing, Owner, Processes, Seen, Socket, Source, Tracker,
};
use holm_model::Millis;

pub(crate) struct Host {
    pub(crate) root: tempfile::TempDir,
    pub(crate) told: Arc<Told>,
    pub(crate) tracker: Tracker,
}

impl Host {
    pub(crate) fn new(config: &Config) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let told = Arc::new(Told::default());
        let processes = Processes::new(root.path().into());
        let mut tracker = Tracker::new(config, "db1", processes, told.clone(), told.clone());
        tracker.set_own_addresses(["127.0.0.1", "192.0.2.1"].map(|ip| ip.parse().expect("valid")));
        Self { root, told, tracker }
    }

    pub(crate) fn process(&self, pid: u32, comm: &str, cgroup: &str) -> Owner {
        write_process(self.root.path(), pid, comm, cgroup);
        let mut name = [0; 16];
        name[..comm.len()].copy_from_slice(comm.as_bytes());
        Owner::Kernel(KernelProcess { pid, start_ns: 1_000_000_000, comm: name, cgroup: 1 })
    }

    pub(crate) fn see(
        &mut self,
        what: Happening,
        at: u64,
        local: &str,
        remote: &str,
        owner: Owner,
    ) {
        self.see_in(1, what, at, local, remote, owner);
    }

    fn see_in(
        &mut self,
        netns: u32,
        what: Happening,
        at: u64,
        local: &str,
        remote: &str,
        owner: Owner,
    ) {
        self.tracker.take(&Seen {
            what,
            at: Millis(at),
            boot_ns: at * 1_000_000,
            local: end(local),
            remote: end(remote),
            netns,
            owner,
            socket: None,
            duration_ns: None,
            bytes: None,
            source: Source::Kernel,
        });
        self.tracker.write_rows();
    }

    pub(crate) fn edges(&self) -> Vec<String> {
        let mut edges: Vec<String> =
            self.told.edges.lock().expect("sound").iter().map(|(id, _)| id.clone()).collect();
        edges.dedup();
        edges
    }
}

fn write_process(root: &Path, pid: u32, comm: &str, cgroup: &str) {
    let folder = root.join("proc").join(pid.to_string());
    std::fs::create_dir_all(&folder).expect("a folder");
    let stat = format!("{pid} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0");
    for (name, text) in [("stat", stat.as_str()), ("cmdline", comm), ("cgroup", cgroup)] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

pub(crate) fn end(text: &str) -> End {
    if text.is_empty() {
        return End { ip: 0, port: 0 };
    }
    let address: std::net::SocketAddr = text.parse().expect("address:port");
    End::new(address.ip(), address.port())
}

use Happening::{Accept, Close, Connect, Listen, Unlisten};

#[test]
fn an_outbound_connection_is_an_edge_to_the_address() {
    let mut host = Host::new(&Config::default());
    let checkout = host.process(7, "checkout", "0::/");
    host.see(Connect, 10, "192.0.2.1:40000", "192.0.2.7:5432", checkout);
    assert_eq!(host.edges(), ["service:checkout|flow|host:192.0.2.7"]);
    let attributes = host.told.edge("service:checkout|flow|host:192.0.2.7").expect("told");
    for (key, value) in [
        ("network.transport", "tcp"),
        ("network.type", "ipv4"),
        ("direction", "outbound"),
        ("server.port", "5432"),
        ("process.executable.name", "checkout"),
    ] {
        assert!(attributes.contains(&(key.into(), value.into())), "{key}: {attributes:?}");
    }
    assert!(attributes.iter().all(|(key, _)| key != "process.pid"), "it changes with every start");
}

#[test]
fn an_inbound_connection_is_an_edge_to_the_listening_service() {
    let mut host = Host::new(&Config::default());
    let db = host.process(9, "postgres", "0::/system.slice/postgresql.service");
    host.see(Listen, 5, "0.0.0.0:5432", "", db);
    host.see(Accept, 10, "192.0.2.1:5432", "198.51.100.4:50000", Owner::NotTold);
    assert_eq!(host.edges(), ["host:198.51.100.4|flow|service:postgresql"]);
    let nodes = host.told.nodes.lock().expect("sound").clone();
    let (id, attributes) = nodes.first().expect("the service is told");
    assert_eq!(id, "service:postgresql");
    for (key, value) in [
        ("service.name", "postgresql"),
        ("host.name", "db1"),
        ("server.address", "192.0.2.1"),
        ("server.port", "5432"),
        ("process.executable.name", "postgres"),
    ] {
        assert!(attributes.contains(&(key.into(), value.into())), "{key}: {attributes:?}");
    }
}

#[test]
fn a_connection_within_the_host_names_both_ends_and_is_one_edge() {
    let mut host = Host::new(&Config::default());
    let (web, api) = (host.process(7, "web", "0::/"), host.process(8, "api", "0::/"));
    host.see(Listen, 1, "[::]:8080", "", api);
    host.see(Connect, 2, "127.0.0.1:40000", "127.0.0.1:8080", web);
    host.see(Accept, 3, "127.0.0.1:8080", "127.0.0.1:40000", Owner::NotTold);
    assert_eq!(host.edges(), ["service:web|flow|service:api"]);
}

#[test]
fn a_service_in_another_namespace_is_named_when_it_accepts() {
    let mut host = Host::new(&Config::default());
    let (web, api) = (host.process(7, "web", "0::/"), host.process(8, "api", "0::/"));
    host.see_in(2, Listen, 1, "0.0.0.0:80", "", api);
    let (client, server) = ("172.17.0.1:40000", "172.17.0.2:80");
    host.see(Connect, 2, client, server, web);
    host.see_in(2, Accept, 3, server, client, Owner::NotTold);
    let (from, to) = ("service:web|flow|host:172.17.0.2", "service:web|flow|service:api");
    assert_eq!(host.edges(), [from, to, from], "the first was wrong, and its connection is gone");
    host.see(Connect, 4, "172.17.0.1:40001", server, web);
    assert_eq!(host.edges().last().map(String::as_str), Some(to), "the next is right at once");
}

#[test]
fn loopback_addresses_do_not_mean_the_same_machine_everywhere() {
    let mut host = Host::new(&Config::default());
    let web = host.process(7, "web", "0::/");
    host.see(Connect, 2, "127.0.0.1:40000", "127.0.0.1:8080", web);
    assert_eq!(host.edges(), ["service:web|flow|host:db1"], "nobody is known to listen there");
}

#[test]
fn an_edge_is_told_again_while_one_connection_is_open_and_not_after() {
    let config = Config { hold: std::time::Duration::from_secs(8), ..Config::default() };
    let mut host = Host::new(&config);
    let web = host.process(7, "web", "0::/");
    host.see(Connect, 1_000, "192.0.2.1:1", "192.0.2.7:443", web);
    host.see(Connect, 1_000, "192.0.2.1:2", "192.0.2.7:443", web);
    let count = |host: &Host| host.told.edges.lock().expect("sound").len();
    for (at, more) in [(2_000, 0), (3_000, 1), (4_000, 0), (5_500, 1)] {
        let before = count(&host);
        host.tracker.refresh(Millis(at));
        assert_eq!(count(&host) - before, more, "at {at}");
    }
    host.see(Close, 6_000, "192.0.2.1:1", "192.0.2.7:443", Owner::NotTold);
    let before = count(&host);
    host.tracker.refresh(Millis(9_000));
    assert_eq!(count(&host) - before, 1, "the other one is still open");
    host.see(Close, 10_000, "192.0.2.1:2", "192.0.2.7:443", Owner::NotTold);
    let before = count(&host);
    for at in [12_000, 16_000, 19_000, 60_000] {
        host.tracker.refresh(Millis(at));
    }
    assert_eq!(count(&host), before, "closed: told no more");
    let row = host.told.rows.lock().expect("sound").last().cloned().expect("a row");
    assert_eq!(text(&row, "event"), "close");
    assert_eq!(text(&row, "process.executable.name"), "web", "known from its connect");
    assert_eq!(row.columns["duration_ms"], holm_model::Value::Float(9_000.0));
}

#[test]
fn a_listener_that_is_gone_names_nobody() {
    let mut host = Host::new(&Config::default());
    let api = host.process(8, "api", "0::/");
    host.see(Listen, 1, "192.0.2.1:80", "", api);
    host.see(Unlisten, 2, "192.0.2.1:80", "", Owner::NotTold);
    host.see(Accept, 3, "192.0.2.1:80", "198.51.100.4:50000", Owner::NotTold);
    assert_eq!(host.edges(), ["host:198.51.100.4|flow|host:192.0.2.1"]);
}

#[test]
fn a_flood_of_connections_is_bounded_and_counted() {
    let config = Config { max_connections: 16, ..Config::default() };
    let mut host = Host::new(&config);
    for port in 1..=100 {
        let remote = format!("198.51.100.4:{port}");
        host.see(Accept, 3, "192.0.2.1:80", &remote, Owner::NotTold);
    }
    let health = holm_plane::HealthHandle::new(Millis(0));
    host.tracker.report(&health);
    let counters = health.snapshot().counters;
    assert_eq!((counters["connections_open"], counters["connections_refused"]), (16, 84));
    assert_eq!(counters["accept_unknown"], 100);
    assert_eq!(host.told.rows.lock().expect("sound").len(), 100, "every one is a row");
}

#[test]
fn a_listener_in_another_namespace_is_reached_at_that_ones_addresses() {
    let mut host = Host::new(&Config::default());
    host.tracker.set_own_namespace(1);
    let web = host.process(7, "web", "0::/system.slice/web.service");
    host.see_in(9, Listen, 10, "0.0.0.0:80", "", web);
    let addresses = |host: &Host| -> Vec<String> {
        let nodes = host.told.nodes.lock().expect("sound");
        let last = nodes.iter().rev().find(|(id, _)| id == "service:web").expect("it is told");
        let of_key = last.1.iter().filter(|(key, _)| &**key == "server.address");
        of_key.map(|(_, value)| value.to_string()).collect()
    };
    assert_eq!(addresses(&host), [""; 0], "not the host's own: whose, is not known yet");
    let there = ["172.18.0.2", "127.0.0.1", "fd00::2"].map(|ip| ip.parse().expect("valid"));
    let listing = Listing {
        at: Millis(5),
        namespaces: [1, 9].into_iter().collect(),
        elsewhere: [(9, there.to_vec())].into_iter().collect(),
        ..Listing::default()
    };
    host.tracker.compare(&listing, true, Source::Listing);
    assert_eq!(addresses(&host), ["172.18.0.2"], "it listens at IPv4 addresses only");
    host.see_in(1, Listen, 30, "0.0.0.0:81", "", web);
    assert_eq!(addresses(&host), ["172.18.0.2,192.0.2.1"], "and here at the host's");
}

fn listed(netns: u32, local: &str, remote: &str) -> Socket {
    Socket {
        listens: remote.is_empty(),
        established: !remote.is_empty(),
        local: end(local),
        remote: end(remote),
        netns,
        inode: 1,
        owner: Owner::NotTold,
    }
}

#[test]
fn a_listing_closes_what_a_lost_event_left_open_and_nothing_else() {
    let mut host = Host::new(&Config::default());
    let api = host.process(8, "api", "0::/");
    host.see(Listen, 10, "192.0.2.1:80", "", api);
    host.see(Listen, 10, "192.0.2.1:81", "", api);
    host.see(Accept, 20, "192.0.2.1:80", "198.51.100.4:1", Owner::NotTold);
    host.see(Accept, 20, "192.0.2.1:80", "198.51.100.4:2", Owner::NotTold);
    host.see(Accept, 60, "192.0.2.1:80", "198.51.100.4:3", Owner::NotTold);
    host.see_in(9, Accept, 20, "172.17.0.2:80", "198.51.100.4:4", Owner::NotTold);
    let before = host.told.rows.lock().expect("sound").len();
    let listing = Listing {
        at: Millis(50),
        sockets: vec![
            listed(1, "192.0.2.1:80", ""),
            listed(1, "192.0.2.1:80", "198.51.100.4:1"),
            listed(1, "192.0.2.1:80", "198.51.100.4:77"),
        ],
        namespaces: [1].into_iter().collect(),
        ..Listing::default()
    };
    host.tracker.compare(&listing, false, Source::Listing);
    let rows = host.told.rows.lock().expect("sound")[before..].to_vec();
    let told: Vec<_> = rows
        .iter()
        .map(|r| (text(r, "event"), text(r, "source.port"), text(r, "source")))
        .collect();
    let row = |event: &str, port: &str| (event.to_owned(), port.to_owned(), "listing".to_owned());
    assert_eq!(told, [row("close", "2"), row("listen_closed", "None")]);
    host.tracker.compare(&listing, true, Source::Listing);
    let last = host.told.rows.lock().expect("sound").last().cloned().expect("a row");
    assert_eq!((text(&last, "event"), text(&last, "source.port")), ("accept".into(), "77".into()));
}

#[test]
fn two_unknown_ends_on_this_host_are_no_edge() {
    let mut host = Host::new(&Config::default());
    host.see(Connect, 2, "127.0.0.1:40000", "127.0.0.1:8080", Owner::Hidden);
    assert!(host.edges().is_empty());
    let row = host.told.rows.lock().expect("sound").last().cloned().expect("a row");
    assert_eq!(text(&row, "process.note"), holm_host::HIDDEN);
}

#[test]
fn a_listener_at_every_address_belongs_to_the_site_that_is_called() {
    let addresses = vec!["127.0.8.1".parse().expect("valid")];
    let mut host = Host::new(&Config { addresses, ..Config::default() });
    let api = host.process(8, "api", "0::/");
    host.see(Listen, 1, "0.0.0.0:80", "", api);
    host.see(Accept, 2, "127.0.7.1:80", "127.0.0.1:4000", Owner::NotTold);
    assert!(host.told.nodes.lock().expect("sound").is_empty() && host.edges().is_empty());
    host.see(Accept, 3, "127.0.8.1:80", "127.0.9.1:4000", Owner::NotTold);
    assert_eq!(host.edges(), ["host:127.0.9.1|flow|service:api"]);
    let nodes = host.told.nodes.lock().expect("sound").clone();
    assert!(nodes[0].1.contains(&("server.address".into(), "127.0.8.1".into())), "{nodes:?}");
}

#[test]
fn the_host_s_name_and_its_addresses_are_one_host() {
    let told = |config: &Config| {
        let mut host = Host::new(config);
        let own = ["127.0.0.1", "192.0.2.1", "fe80::1", "169.254.0.9", "2001:db8::1"];
        host.tracker.set_own_addresses(own.map(|ip| ip.parse().expect("valid")));
        host.tracker.refresh(Millis(1_000));
        host.tracker.refresh(Millis(1_001));
        let aliases = host.told.aliases.lock().expect("sound");
        let mut ids: Vec<String> = aliases.iter().map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(
        told(&Config::default()),
        ["host:192.0.2.1|alias|host:db1", "host:2001:db8::1|alias|host:db1"],
        "addresses that repeat on every host say nothing"
    );
    let shared = Config { addresses: vec![[192, 0, 2, 1].into()], ..Config::default() };
    assert!(told(&shared).is_empty(), "a machine that several sites share is none of them");
}
