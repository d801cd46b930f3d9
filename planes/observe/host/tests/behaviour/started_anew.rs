//! What is told of services that are started anew, move to other ports, or hand their sockets over.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holm_graph::{Fold, FoldLimits};
use holm_host::{
    Config, Happening, KernelProcess, Listing, Method, NetworkNamespace, Owner, Processes, Seen,
    Socket, SocketKey, Source, Tracker,
};
use holm_model::{
    AliasObservation, EdgeObservation, Millis, NodeObservation, PathObservation, Row,
};
use holm_plane::{FactSink, RowSink};
use proptest::prelude::*;

use crate::common::{Running, kernel_program_loads, text};
use crate::service_map::{Host, end};

use Happening::{Accept, Close, Connect, Listen, Unlisten};

const UNIT: &str = "0::/system.slice/checkout.service";

/// A process that began at `start` ticks, with its command.
fn process(host: &Host, pid: u32, start: u64, command: &str, cgroup: &str) -> Owner {
    let comm = command.split(' ').next().unwrap_or_default();
    let owner = host.process(pid, comm, cgroup);
    let folder = host.root.path().join("proc").join(pid.to_string());
    let stat = format!("{pid} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0");
    std::fs::write(folder.join("stat"), stat).expect("written");
    std::fs::write(folder.join("cmdline"), command.replace(' ', "\0")).expect("written");
    let Owner::Kernel(told) = owner else { return owner };
    Owner::Kernel(KernelProcess { start_ns: start * 10_000_000, ..told })
}

fn ends(host: &Host, pid: u32) {
    let folder = host.root.path().join("proc").join(pid.to_string());
    std::fs::remove_dir_all(folder).expect("it was there");
}

/// What was told last of `key` of `service`.
fn told(host: &Host, service: &str, key: &str) -> Option<String> {
    let nodes = host.told.nodes.lock().expect("sound");
    let (_, attributes) = nodes.iter().rev().find(|(id, _)| id == &format!("service:{service}"))?;
    attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
}

fn see_socket(host: &mut Host, what: Happening, at: u64, local: &str, socket: u64, owner: Owner) {
    host.tracker.take(&Seen {
        what,
        at: Millis(at),
        boot_ns: at * 1_000_000,
        local: end(local),
        remote: end(""),
        netns: 1,
        owner,
        socket: Some(SocketKey::Kernel(socket)),
        duration_ns: None,
        bytes: None,
        source: Source::Kernel,
    });
    host.tracker.write_rows();
}

fn listing(at: u64, sockets: &[(&str, u64, u32)]) -> Listing {
    let socket = |&(local, inode, pid): &(&str, u64, u32)| Socket {
        listens: true,
        established: false,
        local: end(local),
        remote: end(""),
        netns: 1,
        inode,
        owner: Owner::Pid(pid),
    };
    Listing {
        at: Millis(at),
        sockets: sockets.iter().map(socket).collect(),
        namespaces: [1].into_iter().collect(),
        ..Listing::default()
    }
}

#[test]
fn a_service_that_is_started_anew_is_told_by_its_new_process_and_its_own_ports() {
    let mut host = Host::new(&Config::default());
    let first = process(&host, 7, 100, "checkout --listen 7001", UNIT);
    host.see(Listen, 1_000, "0.0.0.0:7001", "", first);
    host.see(Connect, 1_500, "192.0.2.1:30000", "192.0.2.7:5432", first);
    assert_eq!(told(&host, "checkout", "process.command"), Some("checkout --listen 7001".into()));
    // Twenty restarts within a minute, each on a port of its own.
    let (mut at, mut port) = (1_000, 7_001);
    for (pid, start) in (8..28).zip(200..) {
        at += 3_000;
        host.see(Unlisten, at, &format!("0.0.0.0:{port}"), "", Owner::NotTold);
        port += 1;
        let command = format!("checkout --listen {port}");
        let next = process(&host, pid, start, &command, UNIT);
        host.see(Listen, at + 500, &format!("0.0.0.0:{port}"), "", next);
        assert_eq!(told(&host, "checkout", "process.command"), Some(command), "at once");
        let ports = told(&host, "checkout", "server.port").expect("told");
        assert!(ports.split(',').any(|told| told == port.to_string()), "{port}: {ports}");
    }
    host.tracker.refresh(Millis(at + 20_000));
    assert_eq!(told(&host, "checkout", "server.port"), Some(port.to_string()), "and no other");
    // What calls from it says what it is now, on an edge that was there before too.
    let command = format!("checkout --listen {port}");
    let caller = process(&host, 27, 219, &command, UNIT);
    host.see(Connect, at + 21_000, "192.0.2.1:40000", "192.0.2.7:5432", caller);
    let edge = host.told.edge("service:checkout|flow|host:192.0.2.7").expect("told");
    assert!(edge.contains(&("process.command".into(), command)), "{edge:?}");
}

#[test]
fn a_restart_on_the_same_port_changes_the_command_and_nothing_else() {
    let mut host = Host::new(&Config::default());
    let first = process(&host, 7, 100, "checkout a", UNIT);
    host.see(Listen, 1_000, "192.0.2.1:80", "", first);
    host.see(Unlisten, 5_000, "192.0.2.1:80", "", Owner::NotTold);
    host.tracker.refresh(Millis(9_000));
    let next = process(&host, 8, 500, "checkout b", UNIT);
    host.see(Listen, 10_000, "192.0.2.1:80", "", next);
    for at in 11..60 {
        host.tracker.refresh(Millis(at * 1_000));
    }
    let nodes = host.told.nodes.lock().expect("sound").clone();
    let of = |key: &str| {
        let all = nodes.iter().map(|(_, attributes)| {
            attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
        });
        let mut all: Vec<_> = all.collect();
        all.dedup();
        all.into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(of("process.command"), ["checkout a", "checkout b"]);
    assert_eq!(
        (of("server.port"), of("server.address")),
        (vec!["80".into()], vec!["192.0.2.1".into()])
    );
}

#[test]
fn a_port_that_another_service_takes_over_is_claimed_by_one() {
    let mut host = Host::new(&Config::default());
    let shop = process(&host, 7, 100, "shop", "0::/");
    let blog = process(&host, 8, 200, "blog", "0::/");
    host.see(Listen, 1_000, "192.0.2.1:80", "", shop);
    host.see(Unlisten, 2_000, "192.0.2.1:80", "", Owner::NotTold);
    host.see(Listen, 3_000, "192.0.2.1:80", "", blog);
    assert_eq!(told(&host, "blog", "server.port").as_deref(), Some("80"));
    host.tracker.refresh(Millis(11_999));
    assert_eq!(told(&host, "shop", "server.port").as_deref(), Some("80"), "it may be a restart");
    host.tracker.refresh(Millis(12_000));
    assert_eq!(told(&host, "shop", "server.port").as_deref(), Some("0"));
    // It lives on as a client, and calls what took its place.
    host.see(Connect, 20_000, "192.0.2.1:40000", "192.0.2.1:80", shop);
    for at in 21..90 {
        host.tracker.refresh(Millis(at * 1_000));
    }
    assert_eq!(told(&host, "shop", "server.port").as_deref(), Some("0"));
    assert_eq!(host.edges(), ["service:shop|flow|service:blog"]);
    host.see(Listen, 95_000, "192.0.2.1:81", "", shop);
    assert_eq!(told(&host, "shop", "server.port").as_deref(), Some("81"));
}

#[test]
fn several_sockets_at_one_end_are_one_port_until_the_last_is_closed() {
    let mut host = Host::new(&Config::default());
    let (a, b) =
        (process(&host, 7, 100, "checkout a", UNIT), process(&host, 8, 200, "checkout b", UNIT));
    see_socket(&mut host, Listen, 1_000, "0.0.0.0:80", 0xa, a);
    see_socket(&mut host, Listen, 1_000, "0.0.0.0:80", 0xb, b);
    assert_eq!(told(&host, "checkout", "process.command").as_deref(), Some("checkout b"));
    see_socket(&mut host, Unlisten, 2_000, "0.0.0.0:80", 0xb, Owner::NotTold);
    host.tracker.refresh(Millis(12_000));
    assert_eq!(told(&host, "checkout", "server.port").as_deref(), Some("80"));
    assert_eq!(
        told(&host, "checkout", "process.command").as_deref(),
        Some("checkout a"),
        "of those that listen now the one that began last"
    );
    host.see(Accept, 13_000, "192.0.2.1:80", "198.51.100.4:5000", Owner::NotTold);
    assert_eq!(host.edges(), ["host:198.51.100.4|flow|service:checkout"], "somebody listens");
    see_socket(&mut host, Unlisten, 14_000, "0.0.0.0:80", 0xc, Owner::NotTold);
    see_socket(&mut host, Unlisten, 15_000, "0.0.0.0:80", 0xa, Owner::NotTold);
    host.tracker.refresh(Millis(24_999));
    assert_eq!(told(&host, "checkout", "server.port").as_deref(), Some("80"));
    host.tracker.refresh(Millis(25_000));
    assert_eq!(told(&host, "checkout", "server.port").as_deref(), Some("0"));
}

#[test]
fn a_listing_counts_the_sockets_of_an_end() {
    let mut host = Host::new(&Config::default());
    let (a, b) =
        (process(&host, 7, 100, "checkout a", UNIT), process(&host, 8, 200, "checkout b", UNIT));
    see_socket(&mut host, Listen, 1_000, "0.0.0.0:80", 0xa, a);
    see_socket(&mut host, Listen, 1_000, "0.0.0.0:80", 0xb, b);
    let both = [("0.0.0.0:80", 71, 7), ("0.0.0.0:80", 72, 8)];
    let rows = |host: &Host| host.told.rows.lock().expect("sound").len();
    let before = rows(&host);
    host.tracker.compare(&listing(2_000, &both), false, Source::Listing);
    host.tracker.compare(&listing(3_000, &both), true, Source::Listing);
    assert_eq!(rows(&host), before, "the same");
    // The end of one was lost, and another one of the same process was not told.
    let now = [("0.0.0.0:80", 71, 7), ("0.0.0.0:80", 73, 7)];
    host.tracker.compare(&listing(4_000, &now), false, Source::Listing);
    let told_rows = host.told.rows.lock().expect("sound")[before..].to_vec();
    let events: Vec<_> = told_rows.iter().map(|row| text(row, "event")).collect();
    assert_eq!(events, ["listen_closed", "listen"]);
    host.tracker.refresh(Millis(14_000));
    assert_eq!(told(&host, "checkout", "process.command").as_deref(), Some("checkout a"));
    host.tracker.compare(&listing(20_000, &[]), false, Source::Listing);
    host.tracker.refresh(Millis(30_000));
    assert_eq!(told(&host, "checkout", "server.port").as_deref(), Some("0"));
    // An event of after the listing began is not undone by it.
    see_socket(&mut host, Listen, 41_000, "0.0.0.0:80", 0xd, a);
    host.tracker.compare(&listing(40_000, &[("0.0.0.0:80", 73, 7)]), true, Source::Listing);
    see_socket(&mut host, Unlisten, 42_000, "0.0.0.0:80", 0xd, Owner::NotTold);
    host.tracker.refresh(Millis(52_000));
    assert_eq!(told(&host, "checkout", "server.port").as_deref(), Some("0"));
}

#[test]
fn a_socket_that_outlives_its_process_is_its_heir_s() {
    let mut host = Host::new(&Config::default());
    let old = process(&host, 7, 100, "checkout old", UNIT);
    process(&host, 8, 200, "checkout heir", UNIT);
    see_socket(&mut host, Listen, 1_000, "0.0.0.0:80", 0xa, old);
    let inherited = [("0.0.0.0:80", 71, 8)];
    host.tracker.compare(&listing(2_000, &inherited), false, Source::Listing);
    assert_eq!(
        told(&host, "checkout", "process.command").as_deref(),
        Some("checkout old"),
        "both hold it, and one opened it"
    );
    ends(&host, 7);
    let before = host.told.rows.lock().expect("sound").len();
    host.tracker.compare(&listing(32_000, &inherited), false, Source::Listing);
    assert_eq!(told(&host, "checkout", "process.command").as_deref(), Some("checkout heir"));
    assert_eq!(host.told.rows.lock().expect("sound").len(), before, "nothing began to listen");
    host.see(Accept, 33_000, "192.0.2.1:80", "198.51.100.4:5000", Owner::NotTold);
    let row = host.told.rows.lock().expect("sound").last().cloned().expect("a row");
    assert_eq!(text(&row, "process.command"), "checkout heir");
    see_socket(&mut host, Unlisten, 40_000, "0.0.0.0:80", 0xa, Owner::NotTold);
    host.tracker.refresh(Millis(50_000));
    assert_eq!(told(&host, "checkout", "server.port").as_deref(), Some("0"));
}

#[test]
fn a_restart_between_two_listings_is_seen() {
    let mut host = Host::new(&Config::default());
    process(&host, 7, 100, "checkout old", UNIT);
    process(&host, 8, 200, "checkout new", UNIT);
    host.tracker.compare(&listing(1_000, &[("0.0.0.0:80", 71, 7)]), true, Source::Sample);
    assert_eq!(told(&host, "checkout", "process.command").as_deref(), Some("checkout old"));
    ends(&host, 7);
    host.tracker.compare(&listing(3_000, &[("0.0.0.0:80", 72, 8)]), true, Source::Sample);
    assert_eq!(told(&host, "checkout", "process.command").as_deref(), Some("checkout new"));
    let rows = host.told.rows.lock().expect("sound").clone();
    let events: Vec<_> = rows.iter().map(|row| text(row, "event")).collect();
    assert_eq!(events, ["listen", "listen_closed", "listen"]);
    // Its process hands the socket to another and goes on.
    process(&host, 9, 300, "checkout third", UNIT);
    host.tracker.compare(&listing(5_000, &[("0.0.0.0:80", 72, 9)]), true, Source::Sample);
    assert_eq!(told(&host, "checkout", "process.command").as_deref(), Some("checkout third"));
    host.tracker.compare(&listing(7_000, &[]), true, Source::Sample);
    host.tracker.refresh(Millis(17_000));
    assert_eq!(told(&host, "checkout", "server.port").as_deref(), Some("0"));
}

#[test]
fn a_container_that_takes_the_place_of_another_is_told_with_its_address() {
    let container = |id: char| format!("0::/docker/{}", id.to_string().repeat(64));
    let mut host = Host::new(&Config::default());
    host.tracker.set_own_namespace(1);
    let one = process(&host, 7, 100, "checkout", &container('a'));
    let two = process(&host, 8, 200, "checkout", &container('b'));
    host.see(Listen, 1_000, "172.18.0.2:80", "", one);
    // The new one is up before the old one ends.
    host.see(Listen, 2_000, "172.18.0.3:80", "", two);
    assert_eq!(told(&host, "checkout", "container.id"), Some("b".repeat(64)));
    assert_eq!(told(&host, "checkout", "server.address").as_deref(), Some("172.18.0.2,172.18.0.3"));
    host.see(Unlisten, 3_000, "172.18.0.2:80", "", Owner::NotTold);
    host.tracker.refresh(Millis(13_000));
    assert_eq!(told(&host, "checkout", "server.address").as_deref(), Some("172.18.0.3"));
    // Started outside of any container, it is in none.
    let three = process(&host, 9, 300, "checkout", "0::/");
    host.see(Unlisten, 20_000, "172.18.0.3:80", "", Owner::NotTold);
    host.see(Listen, 21_000, "192.0.2.1:80", "", three);
    assert_eq!(told(&host, "checkout", "container.id").as_deref(), Some(""));
}

#[test]
fn an_edge_between_two_services_of_a_host_speaks_of_the_one_that_connects() {
    let mut host = Host::new(&Config::default());
    let api = process(&host, 8, 900, "api --new", "0::/");
    let web = process(&host, 7, 100, "web --old", "0::/");
    host.see(Listen, 1, "0.0.0.0:80", "", api);
    let edge = "service:web|flow|service:api";
    let says = |host: &Host, key: &str, value: &str| {
        let edge = host.told.edge(edge).expect("told");
        assert!(edge.contains(&(key.into(), value.into())), "{value}: {edge:?}");
    };
    for (at, port) in [(2, 40_000), (3_000_000, 40_001), (6_000_000, 40_002)] {
        let client = format!("192.0.2.1:{port}");
        host.see(Connect, at, &client, "192.0.2.1:80", web);
        host.see(Accept, at, "192.0.2.1:80", &client, Owner::NotTold);
        host.tracker.refresh(Millis(at + 1_000));
        says(&host, "process.command", "web --old");
        says(&host, "direction", "outbound");
    }
    let web = process(&host, 9, 1_000, "web --new", "0::/");
    host.see(Connect, 6_010_000, "192.0.2.1:40003", "192.0.2.1:80", web);
    says(&host, "process.command", "web --new");
}

#[test]
fn what_listens_beyond_the_bound_is_counted_and_not_kept_for_ever() {
    let mut host = Host::new(&Config::default());
    let api = process(&host, 8, 900, "api", "0::/");
    for port in 1..=8_200_u16 {
        host.see(Listen, 1, &format!("192.0.2.1:{port}"), "", api);
    }
    let health = holm_plane::HealthHandle::new(Millis(0));
    host.tracker.refresh(Millis(60_001));
    host.tracker.report(&health);
    let counters = health.snapshot().counters;
    assert_eq!((counters["listeners_open"], counters["listeners_refused"]), (8_192, 8));
    assert_eq!(counters["ports_left_out"], 8_192 - 16);
    for port in 1..=8_200_u16 {
        host.see(Unlisten, 70_000, &format!("192.0.2.1:{port}"), "", Owner::NotTold);
    }
    host.tracker.refresh(Millis(80_000));
    assert_eq!(told(&host, "api", "server.port").as_deref(), Some("0"));
}

struct Folding(Mutex<Fold>);

impl FactSink for Folding {
    fn observe_edge(&self, o: &EdgeObservation<'_>) {
        self.0.lock().expect("sound").observe_edge(o);
    }

    fn observe_path(&self, _: &PathObservation<'_>) {}

    fn observe_alias(&self, _: &AliasObservation<'_>) {}

    fn observe_node(&self, o: &NodeObservation<'_>) {
        self.0.lock().expect("sound").observe_node(o);
    }
}

impl RowSink for Folding {
    fn append(&self, _: Row) {}
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Services that listen and clients of different commands that call again and again: once all of them were seen,
    /// nothing is written, but for the little that commands that are run in turn may change.
    #[test]
    fn what_goes_on_as_it_was_writes_nothing(
        servers in proptest::collection::vec((1_u32..4, 1_u64..9, 80_u16..90), 1..8),
        clients in proptest::collection::vec((1_u32..3, 1_u64..9, 80_u16..90), 1..8),
    ) {
        let root = tempfile::tempdir().expect("a folder");
        let folding = Arc::new(Folding(Mutex::new(Fold::new(FoldLimits::default()))));
        let processes = Processes::new(root.path().into());
        let tracker = Tracker::new(&Config::default(), "db1", processes, folding.clone(), folding.clone());
        let mut host = Host { root, told: Arc::default(), tracker };
        let mut at = 1_000;
        let mut pid = 100;
        let mut owner = |host: &Host, name: String, start: u64| {
            pid += 1;
            process(host, pid, start, &format!("{name} {pid}"), "0::/")
        };
        for (index, (name, start, port)) in servers.iter().enumerate() {
            let server = owner(&host, format!("server{name}"), *start);
            see_socket(&mut host, Listen, at, &format!("192.0.2.1:{port}"), index as u64 + 1, server);
        }
        let clients: Vec<_> = clients
            .iter()
            .map(|(name, start, port)| (owner(&host, format!("client{name}"), *start), *port))
            .collect();
        let round = |host: &mut Host, at: &mut u64| {
            for (client, port) in &clients {
                let (from, to) = ("192.0.2.1:40000", format!("192.0.2.1:{port}"));
                *at += 1_500;
                host.see(Connect, *at, from, &to, *client);
                host.see(Accept, *at, &to, from, Owner::NotTold);
                host.see(Close, *at + 10, from, &to, Owner::NotTold);
                host.see(Close, *at + 10, &to, from, Owner::NotTold);
                host.tracker.refresh(Millis(*at + 500));
            }
        };
        // What may change settles: also what the fold puts off.
        for _ in 0..60 {
            round(&mut host, &mut at);
        }
        let changes = || folding.0.lock().expect("sound").counters().attributes_changed;
        let before = changes();
        for _ in 0..60 {
            round(&mut host, &mut at);
        }
        prop_assert_eq!(changes(), before);
    }
}

const CHILD: &str = "HOLM_TEST_LISTEN";

/// Not a test of its own: the others start it as a process that listens until its file is gone.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (file, port) = told.split_once(' ').expect("file and port");
    let wait = || {
        while Path::new(file).exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    if port == "inherited" {
        return wait();
    }
    let (port, bequeath) = port.split_once(' ').map_or((port, false), |(port, _)| (port, true));
    let listener = TcpListener::bind(("127.0.0.1", port.parse().expect("a port"))).expect("free");
    if bequeath {
        // Its standard input is the listening socket, which it knows nothing of.
        let program = std::env::current_exe().expect("an executable");
        let heir = spawn(&program, file, "inherited", "heir", Stdio::from(OwnedFd::from(listener)));
        std::mem::forget(heir);
        return wait();
    }
    wait();
}

/// Starts this program again.
fn spawn(program: &Path, file: &str, what: &str, mark: &str, stdin: Stdio) -> Child {
    Command::new(program)
        .args(["--exact", "started_anew::child", "--skip", mark])
        .env(CHILD, format!("{file} {what}"))
        .stdin(stdin)
        .stdout(Stdio::null())
        .spawn()
        .expect("started")
}

/// Whether the service is told last by a command with `mark`, at exactly this port.
fn is_told(running: &Running, service: &str, mark: &str, port: &str) -> bool {
    let nodes = running.told.nodes.lock().expect("sound");
    let last = nodes.iter().rev().find(|(id, _)| *id == format!("service:{service}"));
    let Some((_, attributes)) = last else { return false };
    let value = |key: &str| attributes.iter().find(|(k, _)| k == key).map(|(_, value)| &**value);
    value("process.command").is_some_and(|command| command.ends_with(mark))
        && value("server.port") == Some(port)
}

async fn real_restarts(method: Method, service: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    // Under a name of its own, so that no other test's sockets are this service's.
    let program = folder.path().join(service);
    std::fs::copy(std::env::current_exe().expect("an executable"), &program).expect("copied");
    let file = folder.path().join("alive");
    std::fs::write(&file, "").expect("written");
    let file = file.to_str().expect("text");
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port().to_string()
    };
    let (first, second) = (free(), free());
    let network_namespace = NetworkNamespace::Own;
    let config = Config { method, network_namespace, ..Config::default() };
    let running = Running::start(config).await;
    let steps = [("one", &first), ("two", &first), ("three", &second), ("four", &second)];
    for (mark, port) in steps {
        let mut child = spawn(&program, file, port, mark, Stdio::null());
        running.until(mark, |r| is_told(r, service, mark, port)).await;
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    running.until("nobody listens", |r| is_told(r, service, "four", "0")).await;
    let mut parent = spawn(&program, file, &format!("{first} bequeath"), "parent", Stdio::null());
    let connects = || std::net::TcpStream::connect(("127.0.0.1", first.parse().expect("a port")));
    running.until("the heir's socket", |_| connects().is_ok()).await;
    // The heir is a process by now: it takes a moment until it is started.
    tokio::time::sleep(Duration::from_secs(3)).await;
    parent.kill().expect("killed");
    parent.wait().expect("ended");
    running.until("the heir", |r| is_told(r, service, "heir", &first)).await;
    assert!(connects().is_ok(), "it listens");
    std::fs::remove_file(file).expect("removed");
    running.until("the heir's end", |r| is_told(r, service, "heir", "0")).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_processes_that_are_started_anew_are_told_by_the_kernel_program() {
    if kernel_program_loads() {
        real_restarts(Method::Ebpf, "restarted-ebpf").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_processes_that_are_started_anew_are_told_by_listings() {
    real_restarts(Method::SockDiag, "restarted-diag").await;
}
