//! Packets over UDP that are answered one by one, and what they came to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use super::icmp::{Statistics, spacing};
use super::{Dial, left};
use crate::Family;
use crate::outcome::Outcome;

/// Longest answer that is looked at, in bytes.
const MAX_ANSWER: usize = 2_048;

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// To the packet of this number.
    To(u16),
    /// To one of these packets, and not what it should be.
    Altered,
    /// Somebody else's.
    Foreign,
}

/// What a series came to.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) sent: u16,
    /// Which packets were answered, in the order of the answers, and after how many milliseconds.
    pub(super) answers: Vec<(u16, f64)>,
    duplicates: u32,
    foreign: u32,
    pub(super) altered: u32,
    /// What the kernel or the network said, last.
    refusal: Option<String>,
}

/// The columns of a series.
pub(super) struct Names {
    pub(super) loss: &'static str,
    pub(super) sent: &'static str,
    pub(super) received: &'static str,
    pub(super) duplicate: &'static str,
    pub(super) unmatched: &'static str,
    pub(super) altered: &'static str,
    pub(super) min: &'static str,
    pub(super) avg: &'static str,
    pub(super) max: &'static str,
    pub(super) stddev: &'static str,
    pub(super) jitter: &'static str,
}

/// A socket for `host` and `port` alone, after the look-up and the guard, and their address.
pub(super) async fn open(
    (host, port, family): (&str, u16, Family),
    until: Instant,
    dns_ms: &'static str,
    dial: &Dial<'_>,
    outcome: &mut Outcome,
) -> Result<(UdpSocket, SocketAddr), String> {
    let ip = dial.resolve(host, family, until, dns_ms, outcome).await?;
    let address = SocketAddr::new(ip, port);
    Ok((socket(address).await?, address))
}

/// A socket for `address` alone.
async fn socket(address: SocketAddr) -> Result<UdpSocket, String> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let failed = |error: std::io::Error| format!("{address}: {error}");
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(address).await.map_err(failed)?;
    Ok(socket)
}

/// Sends `count` packets that `packet` makes, and gives each answer to `read`.
pub(super) async fn run(
    socket: &UdpSocket,
    count: u16,
    until: Instant,
    mut packet: impl FnMut(u16) -> Vec<u8>,
    mut read: impl FnMut(&[u8]) -> Answer,
) -> Series {
    let mut series = Series::default();
    let mut waiting: BTreeMap<u16, Instant> = BTreeMap::new();
    let mut next_send = Instant::now();
    let apart = spacing(count, until.saturating_duration_since(next_send));
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let now = Instant::now();
        if now >= until || (series.sent == count && waiting.is_empty()) {
            return series;
        }
        if series.sent < count && now >= next_send {
            let number = series.sent;
            series.sent += 1;
            next_send = now + apart;
            let packet = packet(number);
            // Before the call: on loopback the answer is there before it returns.
            waiting.insert(number, Instant::now());
            if let Err(error) = socket.send(&packet).await {
                series.refusal = Some(error.to_string());
            }
            continue;
        }
        let wait = match series.sent < count {
            true => next_send.saturating_duration_since(now).max(Duration::from_micros(100)),
            false => left(until),
        };
        match tokio::time::timeout(wait.min(left(until)), socket.recv(&mut buffer)).await {
            Err(_) => {}
            // That nothing listens there is told so; the others may still be answered.
            Ok(Err(error)) => series.refusal = Some(error.to_string()),
            Ok(Ok(length)) => {
                let arrived = Instant::now();
                match read(&buffer[..length]) {
                    Answer::To(number) => match waiting.remove(&number) {
                        Some(sent) => {
                            let ms = arrived.duration_since(sent).as_secs_f64() * 1_000.0;
                            series.answers.push((number, ms));
                        }
                        None => series.duplicates += 1,
                    },
                    Answer::Altered => series.altered += 1,
                    Answer::Foreign => series.foreign += 1,
                }
            }
        }
    }
}

impl Series {
    /// Writes it down with these round trips.
    pub(super) fn report(
        &self,
        rtts_ms: &[f64],
        names: &Names,
        (address, what): (SocketAddr, &str),
        mut outcome: Outcome,
    ) -> Outcome {
        let received = self.answers.len() as f64;
        if self.sent > 0 {
            let lost = f64::from(self.sent) - received;
            outcome.metric(names.loss, lost / f64::from(self.sent));
        }
        outcome.metric(names.sent, f64::from(self.sent));
        outcome.metric(names.received, received);
        for (name, count) in [
            (names.duplicate, self.duplicates),
            (names.unmatched, self.foreign),
            (names.altered, self.altered),
        ] {
            if count > 0 {
                outcome.metric(name, f64::from(count));
            }
        }
        if let Some(statistics) = Statistics::of(rtts_ms) {
            outcome.duration_ms = Some(statistics.mean);
            outcome.metric(names.min, statistics.min);
            outcome.metric(names.avg, statistics.mean);
            outcome.metric(names.max, statistics.max);
            outcome.metric(names.stddev, statistics.deviation);
            if let Some(jitter) = statistics.jitter {
                outcome.metric(names.jitter, jitter);
            }
        }
        if self.answers.is_empty() {
            let reason =
                self.refusal.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            return outcome.failed(format!(
                "{address} answered none of {} packets{reason}: {what}, or something drops packets",
                self.sent
            ));
        }
        outcome
    }
}
