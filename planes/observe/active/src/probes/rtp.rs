//! A stream as a conversation sends it (RTP, RFC 3550), to who sends it back as it is (RFC 862), and how it would be
//! heard.

mod judge;
mod wire;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use rand::RngExt;
use socket2::SockRef;
use tokio::net::UdpSocket;

use super::series::{self, Answer};
use super::{Dial, left};
use crate::Family;
use crate::config::Target;
use crate::outcome::Outcome;
use crate::voice::Codec;
use judge::Heard;
use wire::{HEADER, Stream, format};

/// The time between two packets.
const PACKET: Duration = Duration::from_millis(20);
/// How long a listener's buffer waits for a packet beyond what the fastest took.
const BUFFER: Duration = Duration::from_millis(60);
/// How long is waited for what comes after the last packet left.
const TAIL: Duration = Duration::from_secs(2);
/// Who sends nothing back for so long from the beginning is sent nothing more: the stream is not for those who did not
/// ask for it (RFC 8083 §4.1).
const PATIENCE: Duration = Duration::from_secs(2);
/// What looking up and waiting take at most besides the stream.
pub(crate) const BESIDES: Duration = Duration::from_secs(3);
/// Fewest and most seconds of a stream.
pub(crate) const SECONDS: (u8, u8) = (1, 30);
/// Seconds of a stream, if nothing else is said.
pub(crate) const USUAL_SECONDS: u8 = 5;
/// Expedited forwarding (RFC 3246), as voice is marked (RFC 4594 §4.1).
pub(crate) const USUAL_DSCP: u8 = 46;
/// Longest answer that is looked at, in bytes.
const MAX_ANSWER: usize = 2_048;
/// Scores that there are.
const MOS: (f64, f64) = (1.0, 4.5);

/// What is sent where, and what is expected of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    host: String,
    port: u16,
    codec: Codec,
    seconds: u8,
    dscp: u8,
    expect_mos: Option<f64>,
}

impl Call {
    /// What a target says.
    pub(crate) fn of(target: &Target) -> Result<Self, String> {
        if target.port == 0 {
            return Err("port: a rtp target needs one, from 1 to 65535".into());
        }
        if !(SECONDS.0..=SECONDS.1).contains(&target.duration_s) {
            return Err(format!("duration_s: it goes from {} to {}", SECONDS.0, SECONDS.1));
        }
        let score = |text: &str| text.parse().ok().filter(|mos| (MOS.0..=MOS.1).contains(mos));
        let expect_mos = match &*target.expect_mos {
            "" => None,
            text => Some(score(text).ok_or_else(|| {
                format!("expect_mos: {text} is no score: they go from {:.1} to {:.1}", MOS.0, MOS.1)
            })?),
        };
        Ok(Self {
            host: target.target.clone(),
            port: target.port,
            codec: target.codec,
            seconds: target.duration_s,
            dscp: target.dscp.unwrap_or(USUAL_DSCP),
            expect_mos,
        })
    }

    /// How long the stream is.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    fn packets(&self) -> u16 {
        u16::try_from(self.length().as_millis() / PACKET.as_millis()).unwrap_or(u16::MAX)
    }

    /// Bytes of UDP that it sends.
    pub(crate) fn bytes(&self) -> f64 {
        (HEADER + format(self.codec).bytes) as f64 * f64::from(self.packets())
    }

    /// Its packets.
    pub(crate) fn count(&self) -> f64 {
        f64::from(self.packets())
    }
}

/// Sends the stream once.
pub(crate) async fn probe(
    call: &Call,
    family: Family,
    limit: Duration,
    dial: &Dial<'_>,
) -> Outcome {
    let until = Instant::now() + limit;
    let mut outcome = Outcome::default();
    let target = (&*call.host, call.port, family);
    let opened = series::open(target, until, "rtp.dns_ms", dial, &mut outcome).await;
    let (socket, address) = match opened {
        Ok(opened) => opened,
        Err(error) => return outcome.failed(error),
    };
    if let Err(error) = mark(&socket, address.is_ipv6(), call.dscp) {
        return outcome.failed(format!("{address}: packets cannot be marked: {error}"));
    }
    let stream = begin(call.codec);
    let heard = run(&socket, &stream, call.packets(), until).await;
    outcome.metric("rtp.dscp", f64::from(call.dscp));
    heard.tell(&mut outcome);
    if heard.came.is_empty() {
        let reason = heard.refusal.map(|error| format!(" ({error})")).unwrap_or_default();
        let what = match heard.altered {
            0 => {
                "nothing there sends packets back as they are (an echo, RFC 862), or something drops them"
            }
            _ => "what came back was changed on the way",
        };
        return outcome
            .failed(format!("{address} sent none of {} packets back{reason}: {what}", heard.sent));
    }
    let Some(judged) = heard.judge(call.codec) else { return outcome };
    judged.tell(call.codec, &mut outcome);
    match call.expect_mos {
        Some(expected) if judged.voice.mos < expected => {
            let mos = judged.voice.mos;
            outcome.failed(format!("it would be rated {mos:.2} (MOS), and {expected} is expected"))
        }
        _ => outcome,
    }
}

/// A stream that nobody can guess.
fn begin(codec: Codec) -> Stream {
    let mut rng = rand::rng();
    let (source, first, timestamp) = (rng.random(), rng.random(), rng.random());
    let mut key = [0; 32];
    rng.fill(&mut key);
    Stream { codec, source, first, timestamp, key }
}

/// Marks what leaves: the class is in the six upper bits of the byte (RFC 2474 §3).
fn mark(socket: &UdpSocket, v6: bool, dscp: u8) -> std::io::Result<()> {
    let socket = SockRef::from(socket);
    match v6 {
        false => socket.set_tos_v4(u32::from(dscp) << 2),
        true => socket.set_tclass_v6(u32::from(dscp) << 2),
    }
}

/// Sends `count` packets at their moments, and takes what comes.
async fn run(socket: &UdpSocket, stream: &Stream, count: u16, until: Instant) -> Heard {
    let begun = Instant::now();
    // What leaves just before the end would be a loss that nobody measured.
    let tail = TAIL.min(until.saturating_duration_since(begun) / 2);
    let stop = until - tail;
    let mut heard = Heard::default();
    let mut left_at: Vec<Instant> = Vec::with_capacity(count.into());
    let mut answered = vec![false; count.into()];
    let mut sending = count > 0;
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let now = Instant::now();
        let due = begun + PACKET * u32::from(heard.sent);
        if sending && now >= due {
            let silent = heard.came.is_empty() && now >= begun + PATIENCE;
            if silent || now >= stop {
                sending = false;
                continue;
            }
            let packet = stream.packet(heard.sent);
            heard.sent += 1;
            heard.sent_late += u16::from(now >= due + PACKET);
            // Before the call: on loopback the answer is there before it returns.
            left_at.push(Instant::now());
            if let Err(error) = socket.send(&packet).await {
                heard.refusal = Some(error.to_string());
            }
            sending = heard.sent < count;
            continue;
        }
        let last = left_at.last().copied().unwrap_or(begun);
        let end = if sending { until } else { until.min(last + tail) };
        if now >= end || (!sending && heard.came.len() == left_at.len()) {
            return heard;
        }
        let wait = if sending { due.min(end) } else { end };
        match tokio::time::timeout(left(wait), socket.recv(&mut buffer)).await {
            Err(_) => {}
            // That nothing listens there is told so; the others may still come back.
            Ok(Err(error)) => heard.refusal = Some(error.to_string()),
            Ok(Ok(length)) => {
                let arrived = Instant::now();
                match stream.read(&buffer[..length], heard.sent) {
                    Answer::Foreign => heard.foreign = heard.foreign.saturating_add(1),
                    Answer::Altered => heard.altered = heard.altered.saturating_add(1),
                    Answer::To(number) => {
                        let at = usize::from(number);
                        let (Some(was), Some(left)) = (answered.get_mut(at), left_at.get(at))
                        else {
                            continue;
                        };
                        if std::mem::replace(was, true) {
                            heard.duplicates = heard.duplicates.saturating_add(1);
                            continue;
                        }
                        let took = arrived.saturating_duration_since(*left);
                        heard.came.push((number, took.as_secs_f64() * 1_000.0));
                    }
                }
            }
        }
    }
}
