//! Packets of a given size on their way, and what comes back.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use rand::RngExt;
use socket2::{Domain, Protocol, Socket, Type};

use super::search::{How, Search, Verdict};
use super::{DEADLINE, PathMtu, sys};
use crate::socket::{TraceError, queue, source_of};
use crate::wire::ones_complement;

/// The first wait for an answer, and the longest.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
/// Linux answers six UDP packets at once with "port unreachable", and then one a second.
const UDP_AT_ONCE: u32 = 5;
const UDP_SPACING: Duration = Duration::from_millis(1_100);
/// The farthest hop that is looked for, and how many silent ones in a row end that.
const FARTHEST: u32 = 32;
const SILENT_HOPS: u32 = 3;
const DEFAULT_TTL: u32 = 64;

pub(super) fn search(
    target: IpAddr,
    port: u16,
    waited_for: &Arc<()>,
) -> Result<Option<PathMtu>, TraceError> {
    source_of(target)?;
    let end = Instant::now() + DEADLINE;
    let mut refused = None;
    for kind in [Kind::Echo, Kind::Udp] {
        let probes = match Probes::open(target, port, kind) {
            Ok(probes) => probes,
            Err(error) => {
                // Echo requests need a permission (net.ipv4.ping_group_range), UDP needs none.
                refused = Some(error);
                continue;
            }
        };
        refused = None;
        let mut run = Run { probes, end, waited_for, longest_rtt: None, sent: 0, last: None };
        if let Some(found) = run.path_mtu(target).map_err(TraceError::Socket)? {
            return Ok(Some(found));
        }
    }
    refused.map_or(Ok(None), |error| Err(TraceError::NoErrorQueue(error)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Echo,
    Udp,
}

/// What came back.
enum Back {
    Answered,
    TooBig(IpAddr, u32),
    Exceeded(IpAddr),
    /// It goes no further: not for its size.
    Unreachable,
}

/// A socket whose packets are never fragmented.
struct Probes {
    socket: Socket,
    target: IpAddr,
    kind: Kind,
    /// With a raw socket IPv4 headers come along, and echo replies to others.
    raw: bool,
    identifier: u16,
    sequence: u16,
    nonce: u64,
    packet: Vec<u8>,
}

impl Probes {
    fn open(target: IpAddr, port: u16, kind: Kind) -> io::Result<Self> {
        let v6 = target.is_ipv6();
        let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
        let icmp = if v6 { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
        let (socket, raw) = match kind {
            Kind::Udp => (Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?, false),
            Kind::Echo => match Socket::new(domain, Type::DGRAM, Some(icmp)) {
                Ok(socket) => (socket, false),
                Err(_) => (Socket::new(domain, Type::RAW, Some(icmp))?, true),
            },
        };
        sys::probe_mtu(&socket, v6)?;
        if v6 {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        }
        socket.set_nonblocking(true)?;
        // One packet of the largest size; the kernel rounds up.
        socket.set_send_buffer_size(1 << 18)?;
        let port = if kind == Kind::Udp { port } else { 0 };
        socket.connect(&SocketAddr::new(target, port).into())?;
        let identifier = rand::rng().random_range(1..=u16::MAX);
        let (sequence, nonce, packet) = (0, 0, Vec::new());
        Ok(Self { socket, target, kind, raw, identifier, sequence, nonce, packet })
    }

    /// Sends a packet of `size` bytes with its IP header; the MTU of the own link if that is less.
    fn send(&mut self, size: u32, ttl: u32) -> io::Result<Result<(), u32>> {
        let v6 = self.target.is_ipv6();
        if v6 {
            self.socket.set_unicast_hops_v6(ttl)?;
        } else {
            self.socket.set_ttl_v4(ttl)?;
        }
        // Both have 8 bytes of header of their own.
        let header = if v6 { 48 } else { 28 };
        let payload = (size as usize).saturating_sub(header).max(8);
        self.sequence = self.sequence.wrapping_add(1);
        self.nonce = rand::rng().random();
        self.packet.clear();
        if self.kind == Kind::Echo {
            self.packet.extend([if v6 { 128 } else { 8 }, 0, 0, 0]);
            self.packet.extend(self.identifier.to_be_bytes());
            self.packet.extend(self.sequence.to_be_bytes());
        }
        self.packet.extend(self.nonce.to_be_bytes());
        let own = if self.kind == Kind::Echo { 8 } else { 0 };
        self.packet.resize(own + payload, 0);
        if self.kind == Kind::Echo && !v6 {
            // The kernel does it for ICMPv6 and for sockets of datagrams.
            let sum = !ones_complement(0, &self.packet);
            self.packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        while queue::next(&self.socket).is_some() {}
        // A send may report the error of the one before.
        for _ in 0..3 {
            match self.socket.send(&self.packet) {
                Ok(_) => return Ok(Ok(())),
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    let own = std::iter::from_fn(|| queue::next(&self.socket));
                    let own = own.filter(|error| error.from.is_none()).map(|error| error.info);
                    return Ok(Err(own.last().unwrap_or(0)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Ok(())),
                Err(_) => {}
            }
        }
        // Refused for another reason, such as a route that is gone: it counts as lost.
        Ok(Ok(()))
    }

    /// What is there of the last packet.
    fn take(&mut self) -> Option<Back> {
        let mut buffer = [0; 256];
        while let Ok(length) = self.socket.read(&mut buffer) {
            if self.is_answer(&buffer[..length]) {
                return Some(Back::Answered);
            }
        }
        while let Some(error) = queue::next(&self.socket) {
            let Some(from) = error.from else { continue };
            if !self.is_ours(error.quoted()) {
                continue;
            }
            if error.too_big() {
                return Some(Back::TooBig(from, error.info));
            }
            if error.exceeded() {
                return Some(Back::Exceeded(from));
            }
            let reached = self.kind == Kind::Udp && from == self.target;
            return Some(if reached { Back::Answered } else { Back::Unreachable });
        }
        None
    }

    fn is_answer(&self, bytes: &[u8]) -> bool {
        if self.kind == Kind::Udp {
            // A service that answers.
            return true;
        }
        let reply = if self.target.is_ipv6() { 129 } else { 0 };
        let bytes = match bytes.first() {
            Some(first) if self.raw && !self.target.is_ipv6() => {
                bytes.get(usize::from(first & 15) * 4..).unwrap_or_default()
            }
            _ => bytes,
        };
        // A socket of datagrams has an identifier that the kernel chose, and hears no others.
        let id_fits = !self.raw || bytes.get(4..6) == Some(&self.identifier.to_be_bytes()[..]);
        bytes.first() == Some(&reply)
            && id_fits
            && bytes.get(6..8) == Some(&self.sequence.to_be_bytes()[..])
            && bytes.get(8..16) == Some(&self.nonce.to_be_bytes()[..])
    }

    /// Whether an error quotes the last packet, as far as it quotes anything.
    fn is_ours(&self, quoted: &[u8]) -> bool {
        let nonce = self.nonce.to_be_bytes();
        match self.kind {
            // What is quoted begins behind the UDP header.
            Kind::Udp => nonce.starts_with(&quoted[..quoted.len().min(8)]),
            Kind::Echo => {
                let id_fits =
                    !self.raw || quoted.get(4..6) == Some(&self.identifier.to_be_bytes()[..]);
                let rest = quoted.get(8..).unwrap_or_default();
                id_fits
                    && quoted.get(6..8) == Some(&self.sequence.to_be_bytes()[..])
                    && nonce.starts_with(&rest[..rest.len().min(8)])
            }
        }
    }
}

struct Run<'a> {
    probes: Probes,
    end: Instant,
    /// Alone here when nobody waits any more.
    waited_for: &'a Arc<()>,
    longest_rtt: Option<Duration>,
    sent: u32,
    last: Option<Instant>,
}

impl Run<'_> {
    fn path_mtu(&mut self, target: IpAddr) -> io::Result<Option<PathMtu>> {
        let mut search = Search::new(target.is_ipv6());
        while let Some(size) = search.next() {
            if self.is_late() {
                return Ok(None);
            }
            let verdict = match self.one(size, DEFAULT_TTL)? {
                Ok(Some(Back::Answered)) => Verdict::Answered,
                Ok(Some(Back::TooBig(from, mtu))) => Verdict::TooBig { from, mtu },
                Ok(Some(Back::Exceeded(_) | Back::Unreachable) | None) => Verdict::Lost,
                Err(mtu) => Verdict::Local(mtu),
            };
            search.heard(verdict);
        }
        let Some(found) = search.found() else { return Ok(None) };
        let hop = match (found.how, search.teller()) {
            (How::Link, _) => None,
            (How::Told, teller) => teller,
            (How::Searched, Some(teller)) => Some(teller),
            (How::Searched, None) => self.last_that_gets(found.mtu + 1)?,
        };
        Ok(Some(PathMtu { mtu: found.mtu, how: found.how, hop, lies: found.lies }))
    }

    /// The last hop that gets packets of `size`: their TTL ends there, and it says so.
    fn last_that_gets(&mut self, size: u32) -> io::Result<Option<IpAddr>> {
        let (mut last, mut silent) = (None, 0);
        for ttl in 1..=FARTHEST {
            let mut heard = None;
            for _ in 0..2 {
                if heard.is_none() && !self.is_late() {
                    heard = match self.one(size, ttl)? {
                        Ok(Some(Back::Exceeded(from) | Back::TooBig(from, _))) => Some(from),
                        _ => None,
                    };
                }
            }
            silent = if heard.is_some() { 0 } else { silent + 1 };
            last = heard.or(last);
            if silent >= SILENT_HOPS || self.is_late() {
                break;
            }
        }
        Ok(last)
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.end || Arc::strong_count(self.waited_for) == 1
    }

    /// One packet: what came back, or the MTU of the own link.
    fn one(&mut self, size: u32, ttl: u32) -> io::Result<Result<Option<Back>, u32>> {
        if let Some(last) =
            self.last.filter(|_| self.probes.kind == Kind::Udp && self.sent >= UDP_AT_ONCE)
        {
            std::thread::sleep(UDP_SPACING.saturating_sub(last.elapsed()));
        }
        let begin = Instant::now();
        if let Err(mtu) = self.probes.send(size, ttl)? {
            return Ok(Err(mtu));
        }
        (self.sent, self.last) = (self.sent + 1, Some(begin));
        let limit = self.longest_rtt.map_or(LONGEST_WAIT, |rtt| {
            (rtt * 3 + Duration::from_millis(50)).clamp(SHORTEST_WAIT, LONGEST_WAIT)
        });
        loop {
            if let Some(back) = self.probes.take() {
                let rtt = begin.elapsed();
                self.longest_rtt = Some(self.longest_rtt.map_or(rtt, |longest| longest.max(rtt)));
                return Ok(Ok(Some(back)));
            }
            let left = limit.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(Ok(None));
            }
            let mut ready = [PollFd::new(self.probes.socket.as_fd(), PollFlags::POLLIN)];
            let wait = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
            match poll(&mut ready, PollTimeout::from(wait)) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
