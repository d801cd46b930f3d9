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
/// A listening socket was closed.
pub const UNLISTEN: u8 = 6;

/// `Event::flags`: `bytes_sent` and `bytes_received` were read.
pub const HAS_BYTES: u8 = 1;
/// `Event::flags`: `tgid`, `start_ns`, `comm` and `cgroup` are those of the process that opened the
/// socket.
pub const HAS_PROCESS: u8 = 2;

/// One event, 136 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    /// When it happened: nanoseconds of `CLOCK_BOOTTIME`.
    pub time_ns: u64,
    /// Identifies the socket while it lives: a key, shown to nobody.
    pub socket: u64,
    /// Control group of the process (cgroup v2 id), 0 if not known.
    pub cgroup: u64,
    /// When the process started: nanoseconds of `CLOCK_BOOTTIME`, 0 if not known.
    pub start_ns: u64,
    /// Length of the handshake in ns (CONNECT, CONNECT_FAILED), else 0; 0 if not known.
    pub duration_ns: u64,
    /// Payload bytes sent, retransmissions not counted.
    pub bytes_sent: u64,
    /// Payload bytes received in order.
    pub bytes_received: u64,
    /// Local address, network order; IPv4 in the first four bytes.
    pub local: [u8; 16],
    /// Remote address, likewise.
    pub remote: [u8; 16],
    /// Process id (thread group) in the first pid namespace, 0 if not known.
    pub tgid: u32,
    /// Network namespace (inode), 0 if not known.
    pub netns: u32,
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// What happened: `LISTEN` to `UNLISTEN`.
    pub kind: u8,
    /// `HAS_BYTES`, `HAS_PROCESS`.
    pub flags: u8,
    /// Command of the process (of its first thread where the kernel tells), NUL-padded.
    pub comm: [u8; 16],
}

/// Offsets in kernel structures, from the running kernel's BTF; `UNKNOWN`: not known.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Settings {
    /// `VERSION`; the program sends nothing for another one.
    pub version: u32,
    /// Only this network namespace (inode); 0: all.
    pub netns: u32,
    /// `skc_net.net` within `struct sock`.
    pub sock_net: u32,
    /// `sk_flags` within `struct sock`; its bit 1 (`SOCK_DONE`) says that a FIN was received.
    pub sock_flags: u32,
    /// `ns.inum` within `struct net`.
    pub net_inum: u32,
    /// `tcp_sock.bytes_sent`.
    pub tcp_bytes_sent: u32,
    /// `tcp_sock.bytes_retrans`.
    pub tcp_bytes_retrans: u32,
    /// `tcp_sock.bytes_received`, which counts the FIN as one.
    pub tcp_bytes_received: u32,
    /// `task_struct.group_leader`.
    pub task_leader: u32,
    /// `task_struct.start_boottime`.
    pub task_start: u32,
    /// `task_struct.comm`.
    pub task_comm: u32,
}

/// An offset that is not known.
pub const UNKNOWN: u32 = 0xffff_ffff;

/// Index in the per-CPU array `COUNTERS`: events sent.
pub const COUNT_EVENTS: u32 = 0;
/// The ring buffer was full: the event is lost.
pub const COUNT_RING_FULL: u32 = 1;
/// The table of opening connections refused one: its process is not known.
pub const COUNT_SOCKETS_FULL: u32 = 2;
/// Not TCP.
pub const COUNT_OTHER_PROTOCOL: u32 = 3;
/// In another network namespace than the one asked for.
pub const COUNT_OTHER_NETNS: u32 = 4;
/// How many counters there are.
pub const COUNTERS: u32 = 5;

/// Offset of a field of `sock:inet_sock_set_state` in the tracepoint's record.
pub const SKADDR: usize = 8;
/// Likewise.
pub const OLDSTATE: usize = 16;
/// Likewise.
pub const NEWSTATE: usize = 20;
/// Likewise.
pub const SPORT: usize = 24;
/// Likewise.
pub const DPORT: usize = 26;
/// Likewise.
pub const FAMILY: usize = 28;
/// Likewise.
pub const PROTOCOL: usize = 30;
/// Likewise.
pub const SADDR: usize = 32;
/// Likewise.
pub const DADDR: usize = 36;
/// Likewise.
pub const SADDR_V6: usize = 40;
/// Likewise.
pub const DADDR_V6: usize = 56;
