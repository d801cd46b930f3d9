//! Whether the relays do what they say, on this machine: each fault between a baseline and a heal.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::experiment::{Phases, experiment};
use crate::link::{Counts, Faults, Link};
use crate::tcp::TcpRelay;
use crate::udp::UdpRelay;
use crate::way::Shape;

/// Datagrams of a measurement, and between two of them.
const DATAGRAMS: u32 = 200;
const PACE: Duration = Duration::from_millis(2);
/// Answers are waited for as long as this after the last question.
const WAIT: Duration = Duration::from_millis(500);
/// What is sent over TCP, in bytes.
const BYTES: usize = 1 << 20;
/// How much later than it should an answer may come: the machine may be busy.
const LATE: Duration = Duration::from_millis(300);

/// A claim, and what was seen of it.
#[derive(Debug, Clone)]
pub struct Check {
    /// What was done.
    pub fault: &'static str,
    /// What should be seen.
    pub expected: String,
    /// What was.
    pub seen: String,
    /// Whether that is it.
    pub holds: bool,
}

/// Tries every fault on loopback; `told` hears of each check as it is made. About ten seconds.
///
/// # Errors
/// Sockets cannot be made.
pub async fn selftest(seed: u64, mut told: impl FnMut(&Check)) -> io::Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut say = |check: Check| {
        told(&check);
        checks.push(check);
    };
    for check in udp(seed).await? {
        say(check);
    }
    for check in tcp(seed).await? {
        say(check);
    }
    Ok(checks)
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Questions that were sent, and what came of them.
#[derive(Debug, Clone, Default)]
struct Echoes {
    /// Came to the server.
    heard: u64,
    /// Round trips of those that came back, the shortest first.
    trips: Vec<Duration>,
    /// What the relay says of both ways.
    told: (Counts, Counts),
}

impl Echoes {
    fn shortest(&self) -> Duration {
        self.trips.first().copied().unwrap_or_default()
    }

    fn median(&self) -> Duration {
        self.trips.get(self.trips.len() / 2).copied().unwrap_or_default()
    }
}

struct Server {
    at: SocketAddr,
    heard: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    async fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind(loopback()).await?;
        let (at, heard) = (socket.local_addr()?, Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&heard);
        let echo = async move {
            let mut buffer = [0; 64];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
                counter.fetch_add(1, Ordering::Relaxed);
                let _ = socket.send_to(&buffer[..length], from).await;
            }
        };
        Ok(Self { at, heard, _task: AbortOnDropHandle::new(tokio::spawn(echo)) })
    }
}

/// Sends numbered datagrams at an even pace, and hears what comes back.
async fn ask(relay: SocketAddr, server: &Server, link: &Link) -> io::Result<Echoes> {
    let socket = UdpSocket::bind(loopback()).await?;
    socket.connect(relay).await?;
    let (before, told) = (server.heard.load(Ordering::Relaxed), link.counts());
    let begun = Instant::now();
    let mut trips = Vec::new();
    let mut sent = Vec::new();
    let mut buffer = [0; 64];
    let mut hear = |buffer: &[u8], sent: &[Instant]| {
        let number = buffer.try_into().map(u32::from_be_bytes).unwrap_or(u32::MAX);
        trips.extend(sent.get(number as usize).map(Instant::elapsed));
    };
    for number in 0..DATAGRAMS {
        sent.push(Instant::now());
        socket.send(&number.to_be_bytes()).await?;
        let next = begun + PACE * (number + 1);
        while let Ok(came) =
            timeout(next.saturating_duration_since(Instant::now()), socket.recv(&mut buffer)).await
        {
            hear(&buffer[..came?], &sent);
        }
    }
    while let Ok(came) = timeout(WAIT, socket.recv(&mut buffer)).await {
        hear(&buffer[..came?], &sent);
    }
    trips.sort_unstable();
    let now = link.counts();
    Ok(Echoes {
        heard: server.heard.load(Ordering::Relaxed) - before,
        trips,
        told: (since(now.0, told.0), since(now.1, told.1)),
    })
}

const fn since(now: Counts, before: Counts) -> Counts {
    Counts {
        came: now.came - before.came,
        went: now.went - before.went,
        lost: now.lost - before.lost,
        cut: now.cut - before.cut,
        no_room: now.no_room - before.no_room,
        failed: now.failed - before.failed,
    }
}

async fn udp(seed: u64) -> io::Result<Vec<Check>> {
    let server = Server::open().await?;
    let link = Link::new(seed);
    let relay = UdpRelay::open(loopback(), server.at, link.clone()).await?;
    let measure = async || ask(relay.local(), &server, &link).await;
    let ms = Duration::from_millis;
    let mut checks = Vec::new();

    let slow = Shape { latency: ms(40), jitter: ms(10), ..Shape::CLEAR };
    let seen = experiment(&link, Faults::both(slow), measure).await?;
    let (least, most) = (ms(80), ms(100) + seen.baseline.median() + LATE);
    let median = seen.injected.median();
    checks.push(Check {
        fault: "UDP, 40 ms and up to 10 ms more each way",
        expected: format!("round trips of 80 ms and more, half of them up to {most:.0?}"),
        seen: format!("{:.1?} and more, half up to {median:.1?}", seen.injected.shortest()),
        holds: seen.injected.shortest() >= least && median <= most,
    });
    checks.push(all_come(&seen, "UDP, after the delay"));

    let lossy = Shape { loss: 0.3, ..Shape::CLEAR };
    let seen = experiment(&link, Faults { forth: lossy, back: Shape::CLEAR }, measure).await?;
    let n = f64::from(DATAGRAMS);
    let (lost, spread) = (seen.injected.told.0.lost, 6.0 * (n * 0.3 * 0.7).sqrt());
    checks.push(Check {
        fault: "UDP, 30 % lost on the way forth",
        expected: format!(
            "{:.0} to {:.0} of {DATAGRAMS} lost, and the server hears the others",
            n * 0.3 - spread,
            n * 0.3 + spread
        ),
        seen: format!("{lost} lost, {} heard", seen.injected.heard),
        holds: (lost as f64 - n * 0.3).abs() <= spread
            && seen.injected.heard + lost == u64::from(DATAGRAMS),
    });
    checks.push(all_come(&seen, "UDP, after the loss"));

    let deaf = Faults { forth: Shape::CLEAR, back: Shape::CUT };
    let seen = experiment(&link, deaf, measure).await?;
    checks.push(Check {
        fault: "UDP, the way back cut",
        expected: format!("the server hears {DATAGRAMS}, nothing comes back"),
        seen: format!("{} heard, {} came back", seen.injected.heard, seen.injected.trips.len()),
        holds: seen.injected.heard == u64::from(DATAGRAMS) && seen.injected.trips.is_empty(),
    });
    let seen = experiment(&link, Faults::PARTITION, measure).await?;
    checks.push(Check {
        fault: "UDP, cut both ways",
        expected: format!("the server hears nothing; {DATAGRAMS} counted as cut"),
        seen: format!("{} heard, {} counted", seen.injected.heard, seen.injected.told.0.cut),
        holds: seen.injected.heard == 0 && seen.injected.told.0.cut == u64::from(DATAGRAMS),
    });
    checks.push(all_come(&seen, "UDP, after the partition"));
    Ok(checks)
}

/// With nothing injected all come back: before as after.
fn all_come(seen: &Phases<Echoes>, fault: &'static str) -> Check {
    let counts = [&seen.baseline, &seen.healed].map(|phase| phase.trips.len());
    Check {
        fault,
        expected: format!("{DATAGRAMS} of {DATAGRAMS} come back, as before"),
        seen: format!("{}, before {}", counts[1], counts[0]),
        holds: counts == [DATAGRAMS as usize; 2],
    }
}

/// How long a text took through an echo, and whether it came back as it was.
#[derive(Debug, Clone, Copy)]
struct Text {
    took: Duration,
    same: bool,
}

async fn send_text(relay: SocketAddr, bytes: &[u8]) -> io::Result<Text> {
    let begun = Instant::now();
    let (mut from, mut to) = TcpStream::connect(relay).await?.into_split();
    let write = async {
        to.write_all(bytes).await?;
        to.shutdown().await
    };
    let mut back = Vec::with_capacity(bytes.len());
    let read = from.read_to_end(&mut back);
    tokio::try_join!(write, async { read.await.map(|_| ()) })?;
    Ok(Text { took: begun.elapsed(), same: back == bytes })
}

async fn tcp(seed: u64) -> io::Result<Vec<Check>> {
    let listener = TcpListener::bind(loopback()).await?;
    let at = listener.local_addr()?;
    let echo = async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    };
    let _server = AbortOnDropHandle::new(tokio::spawn(echo));
    let link = Link::new(seed);
    let relay = TcpRelay::open(loopback(), at, link.clone()).await?;
    // Numbers that follow from the seed and never repeat within the text.
    let bytes: Vec<u8> = (0..BYTES as u64 / 8)
        .flat_map(|n| (n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
        .collect();
    let measure = async || send_text(relay.local(), &bytes).await;
    let ms = Duration::from_millis;
    let mut checks = Vec::new();

    let rough = Shape { latency: ms(20), jitter: ms(20), loss: 0.02, cut: false };
    let seen = experiment(&link, Faults::both(rough), measure).await?;
    let counts = link.counts();
    checks.push(Check {
        fault: "TCP, 20 ms and up to 20 ms more each way, 2 % sent again",
        expected: "1 MiB comes back as it was, 40 ms later or more; as it was before and after"
            .into(),
        seen: format!(
            "{} after {:.0?} ({} chunks sent again)",
            if seen.injected.same { "as it was" } else { "NOT as it was" },
            seen.injected.took,
            counts.0.lost + counts.1.lost
        ),
        holds: [seen.baseline, seen.injected, seen.healed].iter().all(|text| text.same)
            && seen.injected.took >= ms(40),
    });

    let cut_for = ms(700);
    link.set(Faults::PARTITION);
    let heal = async {
        tokio::time::sleep(cut_for).await;
        link.set(Faults::NONE);
        Ok(())
    };
    let (text, ()) = tokio::try_join!(measure(), heal)?;
    checks.push(Check {
        fault: "TCP, cut both ways for 700 ms",
        expected: "1 MiB waits and comes back as it was, 700 ms later or more".into(),
        seen: format!(
            "{} after {:.0?}",
            if text.same { "as it was" } else { "NOT as it was" },
            text.took
        ),
        holds: text.same && text.took >= cut_for,
    });
    Ok(checks)
}
