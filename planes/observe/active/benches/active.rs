//! The numbers of `[active]` that the active plane holds: `cargo bench -p holm-active`.
//!
//! The plane runs as the node runs it, with its schedule, rows and facts, against this machine itself: targets
//! are addresses of 127.0.0.0/8, and an HTTPS server in a thread of its own, whose time is not the plane's.
//! What counts is the time on CPU of all other threads of this process, which the kernel keeps in
//! `/proc/self/task/*/schedstat`; it includes what the kernel does for them, also the answers to echo requests.
//! `fping` asks the same targets as often for as long, where it is installed.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{context_of, plane_of};
use holm_active::Config;
use holm_bench::{Peer, report, report_beside};
use holm_model::{AliasObservation, EdgeObservation, NodeObservation, PathObservation, Row, Value};
use holm_plane::{FactSink, Plane, RowSink};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const TARGETS: usize = 1_000;
const SECONDS: u64 = 30;
/// Until every target had its first turn.
const WARM: Duration = Duration::from_secs(8);

fn main() {
    pings();
    checks();
}

/// 1,000 targets, an echo request each second.
fn pings() {
    let addresses: Vec<String> =
        (0..TARGETS).map(|i| format!("127.1.{}.{}", i / 250, i % 250 + 1)).collect();
    let target = |address: &String| {
        format!("[[targets]]\nname = \"{address}\"\nprobe = \"icmp\"\ntarget = \"{address}\"\n")
    };
    let config = "interval = \"1s\"\ntimeout = \"900ms\"\necho_count = 1\nmax_concurrent = 1000\n"
        .to_owned()
        + &addresses.iter().map(target).collect::<String>();
    let ran = run(&config, &[]);
    println!(
        "active: {} echo requests, {} lost, {} failed runs",
        ran.sent,
        ran.sent - ran.received,
        ran.failed
    );
    assert!(ran.runs >= TARGETS as u64 * (SECONDS - 1), "it keeps its schedule: {} runs", ran.runs);
    let peer = fping(&addresses);
    if let Some((percent, loss)) = peer {
        println!("active: fping lost {loss} of {}", TARGETS as u64 * SECONDS);
        let peer = Peer { name: "fping", value: percent };
        let n = usize::try_from(ran.runs).unwrap_or(usize::MAX);
        report_beside("ping_1000_core_pct", ran.core_percent, "%", 10.0, n, Some(peer));
    } else {
        report("ping_1000_core_pct", ran.core_percent, "%", 10.0, TARGETS);
    }
}

/// 10,000 checks a minute over HTTPS, each with a connection of its own.
fn checks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, port, certificate) = serve();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, certificate).expect("written");
    let target = |i: usize| {
        format!(
            "[[targets]]\nname = \"t{i}\"\nprobe = \"http\"\ntarget = \"https://localhost:{port}/{i}\"\n\
             family = \"4\"\nexpect_body = \"ok\"\n"
        )
    };
    let config = format!("interval = \"6s\"\nca_file = \"{}\"\n", ca_file.display())
        + &(0..TARGETS).map(target).collect::<String>();
    let ran = run(&config, &[server]);
    println!("active: {} checks, {} failed", ran.runs, ran.failed);
    assert_eq!(ran.failed, 0, "the server answers");
    let of_a_minute = ran.runs as f64 / SECONDS as f64 * 60.0;
    assert!(of_a_minute > 9_500.0, "it keeps its schedule: {of_a_minute:.0} a minute");
    let n = usize::try_from(ran.runs).unwrap_or(usize::MAX);
    // As of exactly 10,000.
    report("http_10k_min_core_pct", ran.core_percent * 10_000.0 / of_a_minute, "%", 100.0, n);
}

struct Ran {
    runs: u64,
    failed: u64,
    sent: u64,
    received: u64,
    core_percent: f64,
}

/// Runs the plane for [`SECONDS`] once it is warm. Threads of `others` are not its own.
fn run(config: &str, others: &[i32]) -> Ran {
    let config: Config = toml::from_str(config).expect("valid");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let counts = Arc::new(Counts::default());
    runtime.block_on(async {
        let (_node, peers) = watch::channel(Vec::new());
        let facts: Arc<dyn FactSink> = Arc::clone(&counts) as _;
        let context = context_of(facts, Arc::clone(&counts) as Arc<dyn RowSink>, peers);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let plane = tokio::spawn(async move { plane_of(config).run(context, stopped).await });
        tokio::time::sleep(WARM).await;
        let (begin, before, cpu) = (Instant::now(), counts.read(), on_cpu(others));
        tokio::time::sleep(Duration::from_secs(SECONDS)).await;
        let (took, after, cpu) = (begin.elapsed(), counts.read(), on_cpu(others) - cpu);
        stop.cancel();
        plane.await.expect("ended").expect("without an error");
        let [runs, failed, sent, received] = std::array::from_fn(|i| after[i] - before[i]);
        let core_percent = cpu.as_secs_f64() / took.as_secs_f64() * 100.0;
        Ran { runs, failed, sent, received, core_percent }
    })
}

/// Counts what the plane writes down, and keeps nothing.
#[derive(Default)]
struct Counts {
    runs: AtomicU64,
    failed: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counts {
    fn read(&self) -> [u64; 4] {
        [&self.runs, &self.failed, &self.sent, &self.received].map(|n| n.load(Ordering::Relaxed))
    }
}

impl RowSink for Counts {
    fn append(&self, row: Row) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        if row.columns.get("success") != Some(&Value::Bool(true)) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        for (column, count) in
            [("icmp.packets.sent", &self.sent), ("icmp.packets.received", &self.received)]
        {
            if let Some(Value::Float(number)) = row.columns.get(column) {
                count.fetch_add(*number as u64, Ordering::Relaxed);
            }
        }
    }
}

impl FactSink for Counts {
    fn observe_edge(&self, _: &EdgeObservation<'_>) {}
    fn observe_node(&self, _: &NodeObservation<'_>) {}
    fn observe_path(&self, _: &PathObservation<'_>) {}
    fn observe_alias(&self, _: &AliasObservation<'_>) {}
}

/// Time on CPU of this process's threads but these.
fn on_cpu(others: &[i32]) -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let of = |entry: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let entry = entry.ok()?;
        let thread: i32 = entry.file_name().to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        (!others.contains(&thread)).then(|| text.split(' ').next()?.parse().ok()).flatten()
    };
    Duration::from_nanos(threads.filter_map(of).sum())
}

/// An HTTPS server in a thread of its own: the thread, the port, and its certificate as PEM.
fn serve() -> (i32, u16, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = cert.pem();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.expect("a key"))
            .expect("a certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
            let port = listener.local_addr().expect("bound").port();
            tell.send((nix::unistd::gettid().as_raw(), port)).expect("waited for");
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = vec![0; 4_096];
                    if stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                        let answer =
                            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                        let _ = stream.write_all(answer).await;
                        let _ = stream.shutdown().await;
                    }
                });
            }
        });
    });
    let (thread, port) = told.recv().expect("served");
    (thread, port, pem)
}

/// Asks the same targets by `fping`: percent of a core, and requests that were lost. `None` without it.
fn fping(addresses: &[String]) -> Option<(f64, u64)> {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    writeln!(file, "{}", addresses.join("\n")).expect("written");
    let command = format!(
        "TIMEFORMAT='time %U %S'; time fping -q -c {SECONDS} -p 1000 -i 1 -f {}",
        file.path().display()
    );
    let output = Command::new("bash").args(["-c", &command]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lost = 0;
    let mut hosts = 0;
    for line in text.lines() {
        // "127.1.0.1 : xmt/rcv/%loss = 30/30/0%, min/avg/max = ..."
        let Some((_, counts)) = line.split_once("= ") else { continue };
        let mut counts = counts.split('/').map_while(|n| n.parse::<u64>().ok());
        let (sent, received) = (counts.next()?, counts.next()?);
        lost += sent - received;
        hosts += 1;
    }
    let times = text.lines().find_map(|line| line.strip_prefix("time "))?;
    let seconds: f64 = times.split(' ').filter_map(|time| time.parse::<f64>().ok()).sum();
    (hosts == addresses.len()).then(|| (seconds / SECONDS as f64 * 100.0, lost))
}
