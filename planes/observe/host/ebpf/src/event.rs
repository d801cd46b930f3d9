//! What the kernel programs send and are told: the same file is compiled into the plane.
//!
//! Little-endian, no padding that is not named. A field's meaning never changes; a new layout gets
//! a new `VERSION`, and the plane refuses an object of another one.

/// Version of the layouts in this file.
pub const VERSION: u32 = 1;

/// A listening socket was opened by `tgid`.
pub const LISTEN: u8 = 1;
/// A connection that this host opened is established.
pub const CONNECT: u8 = 2;
/// A connection that this host accepted is established.
pub const ACCEPT: u8 = 3;
/// A connection is closed; bytes are set where the kernel gives them.
pub const CLOSE: u8 = 4;
/// A connection that this host tried to open failed.
pub const CONNECT_FAILED: u8 = 5;

/// `Event::flags`: `bytes_sent` and `bytes_received` were read.
pub const HAS_BYTES: u8 = 1;
/// `Event::flags`: `tgid`, `comm` and `cgroup` are those of the process that opened the socket.
pub const HAS_PROCESS: u8 = 2;

/// One event, 128 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// Nanoseconds of `CLOCK_BOOTTIME`... of `bpf_ktime_get_boot_ns`.
    pub time_ns: u64,
    /// Identifies the socket while it lives: a hash key, not shown to anyone.
    pub socket: u64,
    /// Control group of the process (cgroup v2 id), 0 if not known.
    pub cgroup: u64,
    /// Time from the start of the handshake to this event in ns (CONNECT, ACCEPT: 0), or the
    /// connection's life (CLOSE).
    pub duration_ns: u64,
    /// Payload bytes that the peer acknowledged (RFC 4898 tcpEStatsAppHCThruOctetsAcked).
    pub bytes_sent: u64,
    /// Payload bytes received (RFC 4898 tcpEStatsAppHCThruOctetsReceived).
    pub bytes_received: u64,
    /// Local and remote address, network order; IPv4 in the first four bytes.
    pub local: [u8; 16],
    pub remote: [u8; 16],
    /// Process id (thread group), 0 if not known.
    pub tgid: u32,
    /// Network namespace (inode), 0 if not known.
    pub netns: u32,
    /// Ports, host order.
    pub local_port: u16,
    pub remote_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    pub kind: u8,
    pub flags: u8,
    /// Command, NUL-padded.
    pub comm: [u8; 16],
}

/// Offsets in kernel structures, from the running kernel's BTF; 0xffff_ffff: not known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Settings {
    pub version: u32,
    /// Only this network namespace (inode); 0: all.
    pub netns: u32,
    /// `sock_common.skc_net.net` within `struct sock`.
    pub sock_net: u32,
    /// `net.ns.inum` within `struct net`.
    pub net_inum: u32,
    /// `tcp_sock.bytes_acked`.
    pub tcp_bytes_acked: u32,
    /// `tcp_sock.bytes_received`.
    pub tcp_bytes_received: u32,
}

/// An offset that is not known.
pub const UNKNOWN: u32 = 0xffff_ffff;

/// Counters, one per index of the per-CPU array `COUNTERS`.
pub const COUNT_EVENTS: u32 = 0;
/// The ring buffer was full: the event is lost.
pub const COUNT_RING_FULL: u32 = 1;
/// The table of open sockets was full: the connection's process is not known.
pub const COUNT_SOCKETS_FULL: u32 = 2;
/// Not TCP.
pub const COUNT_OTHER_PROTOCOL: u32 = 3;
/// In another network namespace than the one asked for.
pub const COUNT_OTHER_NETNS: u32 = 4;
/// How many counters there are.
pub const COUNTERS: u32 = 5;
