//! What was seen: the one input of the tracker, whoever saw it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use holm_model::Millis;

use crate::layout::{self, Event};

/// What happened to a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// It listens.
    Listen,
    /// It listens no more.
    Unlisten,
    /// A connection that this host opened is established.
    Connect,
    /// A connection that this host accepted is established.
    Accept,
    /// A connection is closed.
    Close,
    /// A connection that this host tried to open failed.
    ConnectFailed,
}

impl Happening {
    /// As it stands in a row's `event`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Unlisten => "listen_closed",
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Close => "close",
            Self::ConnectFailed => "connect_failed",
        }
    }
}

/// Who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The kernel, when it happened.
    Kernel,
    /// The listing at the start, or after events were lost.
    Listing,
    /// The difference of two periodic listings.
    Sample,
}

impl Source {
    /// As it stands in a row's `source`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Listing => "listing",
            Self::Sample => "sample",
        }
    }
}

/// A process as the kernel described it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelProcess {
    /// Process id.
    pub pid: u32,
    /// When it started, nanoseconds since boot; 0 if not known.
    pub start_ns: u64,
    /// Command, NUL-padded.
    pub comm: [u8; 16],
    /// Control group id; 0 if not known.
    pub cgroup: u64,
}

/// The process of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Not told: an accepted socket is its listener's, a closed one that of its connection.
    NotTold,
    /// Told by the kernel.
    Kernel(KernelProcess),
    /// Found in `/proc` by the socket's inode.
    Pid(u32),
    /// Looked for in vain: the process is another user's.
    Hidden,
}

/// One end of a connection. IPv4 addresses are kept as IPv4-mapped IPv6 ones (RFC 4291 §2.5.5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End {
    /// The address as a number.
    pub ip: u128,
    /// The port.
    pub port: u16,
}

impl End {
    /// `ip` and `port`.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        let ip = match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self { ip: ip.to_bits(), port }
    }

    /// The address; an IPv4-mapped one as IPv4.
    pub fn address(self) -> IpAddr {
        Ipv6Addr::from_bits(self.ip).to_canonical()
    }
}

/// Which socket it is, among those at the same end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKey {
    /// As the kernel program calls it while it lives.
    Kernel(u64),
    /// The inode of its file.
    Inode(u64),
}

/// One thing that happened to a socket.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// What.
    pub what: Happening,
    /// When.
    pub at: Millis,
    /// When by the kernel's clock: nanoseconds since boot, 0 if the kernel did not tell.
    pub boot_ns: u64,
    /// This host's end.
    pub local: End,
    /// The other end; port 0 for a listener.
    pub remote: End,
    /// Network namespace (inode), 0 if not known.
    pub netns: u32,
    /// Whose socket it is.
    pub owner: Owner,
    /// Which socket, if that is told: without, a listener takes the place of all at its end, or was the last.
    pub socket: Option<SocketKey>,
    /// Length of the handshake (connect, connect_failed) in nanoseconds.
    pub duration_ns: Option<u64>,
    /// Payload bytes sent and received.
    pub bytes: Option<(u64, u64)>,
    /// Who saw it.
    pub source: Source,
}

/// Reads an event of the kernel program; `boot` is the wall clock's time at boot. `None` if it is
/// shorter than an event or of an unknown kind: of another version.
pub fn read_event(bytes: &[u8], boot: Millis) -> Option<Seen> {
    let bytes: &[u8; size_of::<Event>()] = bytes.get(..size_of::<Event>())?.try_into().ok()?;
    macro_rules! field {
        ($type:ty, $name:ident) => {
            <$type>::from_le_bytes(take(bytes, std::mem::offset_of!(Event, $name)))
        };
    }
    let what = match bytes[std::mem::offset_of!(Event, kind)] {
        layout::LISTEN => Happening::Listen,
        layout::UNLISTEN => Happening::Unlisten,
        layout::CONNECT => Happening::Connect,
        layout::ACCEPT => Happening::Accept,
        layout::CLOSE => Happening::Close,
        layout::CONNECT_FAILED => Happening::ConnectFailed,
        _ => return None,
    };
    let flags = bytes[std::mem::offset_of!(Event, flags)];
    let family = field!(u16, family);
    let owner = if flags & layout::HAS_PROCESS != 0 {
        Owner::Kernel(KernelProcess {
            pid: field!(u32, tgid),
            start_ns: field!(u64, start_ns),
            comm: take(bytes, std::mem::offset_of!(Event, comm)),
            cgroup: field!(u64, cgroup),
        })
    } else {
        Owner::NotTold
    };
    let (boot_ns, duration_ns) = (field!(u64, time_ns), field!(u64, duration_ns));
    let local = address(family, take(bytes, std::mem::offset_of!(Event, local)));
    let remote = address(family, take(bytes, std::mem::offset_of!(Event, remote)));
    Some(Seen {
        what,
        at: boot + boot_ns / 1_000_000,
        boot_ns,
        local: End::new(local, field!(u16, local_port)),
        remote: End::new(remote, field!(u16, remote_port)),
        netns: field!(u32, netns),
        owner,
        socket: Some(field!(u64, socket)).filter(|key| *key != 0).map(SocketKey::Kernel),
        duration_ns: (duration_ns != 0).then_some(duration_ns),
        bytes: (flags & layout::HAS_BYTES != 0)
            .then(|| (field!(u64, bytes_sent), field!(u64, bytes_received))),
        source: Source::Kernel,
    })
}

/// `N` bytes at `offset`, which the caller takes from the layout: it lies within.
fn take<const N: usize>(bytes: &[u8; size_of::<Event>()], offset: usize) -> [u8; N] {
    let mut taken = [0; N];
    taken.copy_from_slice(&bytes[offset..offset + N]);
    taken
}

fn address(family: u16, bytes: [u8; 16]) -> IpAddr {
    if i32::from(family) == libc::AF_INET {
        let [a, b, c, d, ..] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_by_its_layout() {
        let mut bytes = [0_u8; size_of::<Event>()];
        let mut put = |offset: usize, value: &[u8]| {
            bytes[offset..offset + value.len()].copy_from_slice(value);
        };
        put(std::mem::offset_of!(Event, time_ns), &5_000_000_u64.to_le_bytes());
        put(std::mem::offset_of!(Event, kind), &[layout::CLOSE]);
        put(std::mem::offset_of!(Event, flags), &[layout::HAS_BYTES | layout::HAS_PROCESS]);
        put(std::mem::offset_of!(Event, family), &2_u16.to_le_bytes());
        put(std::mem::offset_of!(Event, local), &[192, 0, 2, 1]);
        put(std::mem::offset_of!(Event, local_port), &5432_u16.to_le_bytes());
        put(std::mem::offset_of!(Event, bytes_received), &9_u64.to_le_bytes());
        put(std::mem::offset_of!(Event, comm), b"checkout");
        let seen = read_event(&bytes, Millis(1_000)).expect("an event");
        assert_eq!((seen.what, seen.at), (Happening::Close, Millis(1_005)));
        assert_eq!(seen.local.address(), IpAddr::from([192, 0, 2, 1]));
        assert_eq!((seen.local.port, seen.bytes), (5432, Some((0, 9))));
        assert!(matches!(seen.owner, Owner::Kernel(p) if p.comm.starts_with(b"checkout\0")));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        assert!(read_event(&[0; size_of::<Event>()], Millis(0)).is_none(), "kind 0");
        assert!(read_event(&[1; size_of::<Event>() - 1], Millis(0)).is_none(), "too short");
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let end = End::new("::ffff:192.0.2.7".parse().expect("valid"), 1);
        assert_eq!(end, End::new("192.0.2.7".parse().expect("valid"), 1));
        assert_eq!(end.address().to_string(), "192.0.2.7");
    }
}
