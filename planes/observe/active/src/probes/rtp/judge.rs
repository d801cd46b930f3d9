//! What a stream came to: loss, what comes too late for a listener, jitter, and how it comes. Pure.

use std::time::Duration;

use super::{BUFFER, PACKET};
use crate::bursts::{Bursts, burst_ratio};
use crate::outcome::Outcome;
use crate::probes::icmp::Statistics;
use crate::voice::{Codec, Voice, conversation};

/// What was heard of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// Packets that left.
    pub(super) sent: u16,
    /// Those of them that left so late that this node is at fault.
    pub(super) sent_late: u16,
    /// Which packets came back, each once, in the order in which they came, and after how many milliseconds.
    pub(super) came: Vec<(u16, f64)>,
    /// Those that came once more.
    pub(super) duplicates: u32,
    /// What is not of this stream.
    pub(super) foreign: u32,
    /// What has a packet's number and is not that packet.
    pub(super) altered: u32,
    /// What the kernel or the network said, last.
    pub(super) refusal: Option<String>,
}

/// What it comes to.
pub(super) struct Judged {
    sent: u16,
    discarded: usize,
    reordered: usize,
    jitter_ms: Option<f64>,
    round_trip: Statistics,
    bursts: Bursts,
    burst_ratio: Option<f64>,
    pub(super) voice: Voice,
}

impl Heard {
    /// What it comes to for a listener whose buffer gives each packet 60 ms more than the fastest took. `None` if
    /// fewer than two packets came.
    pub(super) fn judge(&self, codec: Codec) -> Option<Judged> {
        let times: Vec<f64> = self.came.iter().map(|(_, ms)| *ms).collect();
        let round_trip = Statistics::of(&times).filter(|_| times.len() > 1)?;
        let buffer_ms = ms(BUFFER);
        let mut gone = vec![true; usize::from(self.sent)];
        let (mut discarded, mut reordered, mut newest) = (0, 0, None);
        for (number, took) in &self.came {
            // RFC 4737 §3.3: one that comes after a later one.
            reordered += usize::from(newest.is_some_and(|newest| *number < newest));
            newest = newest.max(Some(*number));
            let in_time = *took <= round_trip.min + buffer_ms;
            discarded += usize::from(!in_time);
            if let Some(gone) = gone.get_mut(usize::from(*number)) {
                *gone = !in_time;
            }
        }
        let burst_ratio = burst_ratio(&gone);
        let unheard = gone.iter().filter(|gone| **gone).count() as f64 / gone.len().max(1) as f64;
        let network_ms = round_trip.min / 2.0 + buffer_ms;
        Some(Judged {
            sent: self.sent,
            discarded,
            reordered,
            jitter_ms: jitter(&times),
            bursts: Bursts::of(&gone),
            burst_ratio,
            voice: conversation(codec, network_ms, unheard, burst_ratio.unwrap_or(1.0)),
            round_trip,
        })
    }

    /// Writes down what was counted.
    pub(super) fn tell(&self, outcome: &mut Outcome) {
        for (column, count) in [
            ("rtp.packets.sent", u32::from(self.sent)),
            ("rtp.packets.sent_late", u32::from(self.sent_late)),
            ("rtp.packets.received", u32::try_from(self.came.len()).unwrap_or(u32::MAX)),
            ("rtp.packets.duplicate", self.duplicates),
            ("rtp.packets.unmatched", self.foreign),
            ("rtp.packets.altered", self.altered),
        ] {
            outcome.metric(column, f64::from(count));
        }
        if self.sent > 0 {
            let lost = f64::from(self.sent) - self.came.len() as f64;
            outcome.metric("rtp.loss.ratio", lost / f64::from(self.sent));
        }
    }
}

impl Judged {
    /// Writes it down.
    pub(super) fn tell(&self, codec: Codec, outcome: &mut Outcome) {
        let sent = f64::from(self.sent.max(1));
        let packet_ms = ms(PACKET);
        outcome.duration_ms = Some(self.round_trip.mean);
        for (column, value) in [
            ("rtp.packets.reordered", self.reordered as f64),
            ("rtp.packets.discarded", self.discarded as f64),
            ("rtp.discard.ratio", self.discarded as f64 / sent),
            ("rtp.rtt.min_ms", self.round_trip.min),
            ("rtp.rtt.avg_ms", self.round_trip.mean),
            ("rtp.rtt.max_ms", self.round_trip.max),
            ("rtp.rtt.stddev_ms", self.round_trip.deviation),
            ("rtp.burst.count", self.bursts.bursts as f64),
            ("rtp.burst.density", self.bursts.burst_density()),
            ("rtp.burst.duration_ms", self.bursts.burst_length() * packet_ms),
            ("rtp.gap.density", self.bursts.gap_density()),
            ("rtp.gap.duration_ms", self.bursts.gap_length() * packet_ms),
            ("voice.delay_ms", self.voice.delay_ms),
            ("voice.r_factor", self.voice.r_factor),
            ("voice.mos", self.voice.mos),
        ] {
            outcome.metric(column, value);
        }
        for (column, value) in
            [("rtp.jitter_ms", self.jitter_ms), ("rtp.burst.ratio", self.burst_ratio)]
        {
            if let Some(value) = value {
                outcome.metric(column, value);
            }
        }
        outcome.attribute("voice.codec", codec.as_str());
        outcome.attribute("voice.model", codec.model());
        if let Some(why) = codec.estimate() {
            outcome.attribute("voice.estimate", why);
        }
    }
}

/// The interarrival jitter of RFC 3550 §6.4.1 in ms, after the last packet: of what each took, in the order in which
/// they came. The moments are those at which packets left, so that this node's own lateness is not in it.
fn jitter(times_ms: &[f64]) -> Option<f64> {
    if times_ms.len() < 2 {
        return None;
    }
    let next = |jitter: f64, pair: &[f64]| jitter + ((pair[1] - pair[0]).abs() - jitter) / 16.0;
    Some(times_ms.windows(2).fold(0.0, next))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
