//! Echo requests one after the other, for people: what `holm ping` does, without a node.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::Family;
use crate::outcome::Outcome;
use crate::probes::{Dial, Resolver, icmp};

/// Bytes that a request may have after its headers: the upper end is that of a jumbo frame.
pub const PING_BYTES: RangeInclusive<u16> = 16..=8_972;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Pinging {
    /// The address family; a name may have both.
    pub family: Family,
    /// Bytes of a request after its headers: [`PING_BYTES`].
    pub bytes: u16,
    /// What requests are marked with: 0 to 63 (RFC 2474 §3).
    pub dscp: u8,
    /// How long a reply is waited for.
    pub timeout: Duration,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Pong {
    /// A reply after so many milliseconds.
    Answered(f64),
    /// None in time; what the kernel or the network said, if anything.
    Lost(Option<String>),
}

/// A target under way.
pub struct Pings {
    address: IpAddr,
    opened: icmp::Opened,
    timeout: Duration,
    sent: u16,
}

impl Pings {
    /// Looks `host` up and opens a socket to its address.
    ///
    /// # Errors
    /// The name has no such address, or this user gets no ICMP socket: what to do is in the text.
    pub async fn open(host: &str, what: Pinging) -> Result<Self, String> {
        let until = Instant::now() + what.timeout.max(Duration::from_secs(5));
        let resolver = Resolver::default();
        let mut outcome = Outcome::default();
        let dial = Dial::new(&resolver, None);
        let address = dial.resolve(host, what.family, until, "icmp.dns_ms", &mut outcome).await?;
        let packets = icmp::Packets { count: 1, bytes: what.bytes, dscp: what.dscp };
        let opened = icmp::Opened::to(address, packets)?;
        Ok(Self { address, opened, timeout: what.timeout, sent: 0 })
    }

    /// The address that is asked.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Sends the next request and waits for its reply.
    pub async fn next(&mut self) -> Pong {
        let sequence = self.sent;
        self.sent = self.sent.wrapping_add(1);
        self.opened.exchange(sequence, Instant::now() + self.timeout).await
    }
}

/// What requests came to together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PingSummary {
    /// Requests that were sent.
    pub sent: u64,
    /// Round trips in milliseconds, in the order of the requests.
    pub rtts_ms: Vec<f64>,
}

impl PingSummary {
    /// Takes the next one.
    pub fn take(&mut self, pong: &Pong) {
        self.sent += 1;
        if let Pong::Answered(ms) = pong {
            self.rtts_ms.push(*ms);
        }
    }

    /// The share of requests without a reply.
    pub fn loss(&self) -> f64 {
        match self.sent {
            0 => 0.0,
            sent => 1.0 - self.rtts_ms.len() as f64 / sent as f64,
        }
    }

    /// Least, mean and longest round trip, their standard deviation, and the mean difference of neighbours; none
    /// without a reply.
    pub fn round_trips(&self) -> Option<[f64; 5]> {
        let of = icmp::Statistics::of(&self.rtts_ms)?;
        Some([of.min, of.mean, of.max, of.deviation, of.jitter.unwrap_or(0.0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_of_any_size_are_answered_one_by_one() {
        if let Err(reason) = icmp::available(false) {
            println!("skipped: no ICMP socket: {reason}");
            return;
        }
        for bytes in [*PING_BYTES.start(), 64, *PING_BYTES.end()] {
            let timeout = Duration::from_secs(20);
            let what = Pinging { family: Family::V4, bytes, dscp: 46, timeout };
            let mut pings = Pings::open("127.0.0.1", what).await.expect("opens");
            let mut summary = PingSummary::default();
            for _ in 0..3 {
                summary.take(&pings.next().await);
            }
            assert_eq!((summary.sent, summary.loss()), (3, 0.0), "{bytes}");
            let [min, avg, max, ..] = summary.round_trips().expect("replies");
            assert!(0.0 < min && min <= avg && avg <= max);
        }
    }

    #[test]
    fn a_summary_is_of_what_was_answered() {
        let mut summary = PingSummary::default();
        assert_eq!((summary.loss(), summary.round_trips()), (0.0, None));
        for pong in [Pong::Answered(1.0), Pong::Lost(None), Pong::Answered(3.0), Pong::Lost(None)] {
            summary.take(&pong);
        }
        assert_eq!((summary.loss(), summary.round_trips()), (0.5, Some([1.0, 2.0, 3.0, 1.0, 2.0])));
    }
}
