//! Watches `sock:inet_sock_set_state`: every TCP connection of the host, IPv4 and IPv6, with the
//! process that opened it.
//!
//! `CLOSE → SYN_SENT` and `CLOSE → LISTEN` run in the process that called `connect` or `listen`; the
//! later transitions run wherever the packet was handled. So the process is noted at the first and
//! kept by socket. The tracepoint's fields are a stable interface; only the byte counters and the
//! network namespace need offsets, which the plane reads from the running kernel's BTF.
#![no_std]
#![no_main]

mod event;

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
    bpf_ktime_get_boot_ns, bpf_probe_read_kernel,
};
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::{Array, LruHashMap, PerCpuArray, RingBuf};
use aya_ebpf::programs::TracePointContext;

use event::{
    ACCEPT, CLOSE, CONNECT, CONNECT_FAILED, COUNT_EVENTS, COUNT_OTHER_NETNS, COUNT_OTHER_PROTOCOL,
    COUNT_RING_FULL, COUNT_SOCKETS_FULL, COUNTERS as COUNTER_COUNT, Event, HAS_BYTES, HAS_PROCESS,
    LISTEN, Settings, UNKNOWN, VERSION,
};

const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;
const TCP_LISTEN: i32 = 10;
const IPPROTO_TCP: u16 = 6;

/// What is kept of an open socket.
#[repr(C)]
#[derive(Clone, Copy)]
struct Opened {
    time_ns: u64,
    cgroup: u64,
    tgid: u32,
    has_process: u32,
    comm: [u8; 16],
}

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

#[map]
static SOCKETS: LruHashMap<u64, Opened> = LruHashMap::with_max_entries(65_536, 0);

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_COUNT, 0);

/// The layout version, for the plane to check before it loads the object.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.holm_version")]
pub static HOLM_EVENT_VERSION: u32 = VERSION;

/// Fields of `sock:inet_sock_set_state`, after the 8 bytes every tracepoint starts with.
const SKADDR: usize = 8;
const OLDSTATE: usize = 16;
const NEWSTATE: usize = 20;
const SPORT: usize = 24;
const DPORT: usize = 26;
const FAMILY: usize = 28;
const PROTOCOL: usize = 30;
const SADDR: usize = 32;
const DADDR: usize = 36;
const SADDR_V6: usize = 40;
const DADDR_V6: usize = 56;

const AF_INET: u16 = 2;

#[tracepoint]
pub fn inet_sock_set_state(ctx: TracePointContext) -> u32 {
    let _ = watch(&ctx);
    0
}

#[inline(always)]
fn watch(ctx: &TracePointContext) -> Result<(), i32> {
    let protocol: u16 = unsafe { ctx.read_at(PROTOCOL)? };
    if protocol != IPPROTO_TCP {
        count(COUNT_OTHER_PROTOCOL);
        return Ok(());
    }
    let socket: u64 = unsafe { ctx.read_at(SKADDR)? };
    let old: i32 = unsafe { ctx.read_at(OLDSTATE)? };
    let new: i32 = unsafe { ctx.read_at(NEWSTATE)? };
    let settings = SETTINGS.get(0).ok_or(0)?;
    if settings.netns != 0 && netns(socket, settings) != settings.netns {
        count(COUNT_OTHER_NETNS);
        return Ok(());
    }
    let told = match (old, new) {
        (TCP_CLOSE, TCP_SYN_SENT) => {
            keep(socket, &here());
            None
        }
        (TCP_CLOSE, TCP_LISTEN) => Some(Told { kind: LISTEN, opened: here(), duration_ns: 0 }),
        (TCP_SYN_SENT, TCP_ESTABLISHED) => Some(establish(socket, CONNECT)),
        (TCP_SYN_RECV, TCP_ESTABLISHED) => Some(establish(socket, ACCEPT)),
        (TCP_SYN_SENT, TCP_CLOSE) => Some(finish(socket, CONNECT_FAILED)),
        (_, TCP_CLOSE) if old != TCP_LISTEN => Some(finish(socket, CLOSE)),
        _ => None,
    };
    if let Some(told) = told {
        emit(ctx, settings, socket, &told);
    }
    Ok(())
}

/// What an event says beyond the tracepoint's own fields.
struct Told {
    kind: u8,
    opened: Opened,
    duration_ns: u64,
}

/// The running process, now.
#[inline(always)]
fn here() -> Opened {
    Opened {
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        tgid: (bpf_get_current_pid_tgid() >> 32) as u32,
        has_process: 1,
        comm: bpf_get_current_comm().unwrap_or([0; 16]),
    }
}

/// No process, now.
#[inline(always)]
fn nobody() -> Opened {
    let time_ns = unsafe { bpf_ktime_get_boot_ns() };
    Opened { time_ns, cgroup: 0, tgid: 0, has_process: 0, comm: [0; 16] }
}

#[inline(always)]
fn keep(socket: u64, opened: &Opened) {
    if SOCKETS.insert(&socket, opened, 0).is_err() {
        count(COUNT_SOCKETS_FULL);
    }
}

#[inline(always)]
fn establish(socket: u64, kind: u8) -> Told {
    // An accepted socket is made where its last handshake packet was handled: whatever runs there
    // is not its process. The plane knows who listens on the port.
    let known = if kind == CONNECT { SOCKETS.get_ptr_mut(&socket) } else { None };
    let mut opened = nobody();
    let mut duration_ns = 0;
    if let Some(known) = known {
        let started = unsafe { *known };
        duration_ns = opened.time_ns.saturating_sub(started.time_ns);
        opened = Opened { time_ns: opened.time_ns, ..started };
    }
    keep(socket, &opened);
    Told { kind, opened, duration_ns }
}

#[inline(always)]
fn finish(socket: u64, kind: u8) -> Told {
    let Some(known) = SOCKETS.get_ptr_mut(&socket) else {
        // Established before the program was attached: the plane knows it from its first listing.
        return Told { kind, opened: nobody(), duration_ns: 0 };
    };
    let opened = unsafe { *known };
    let _ = SOCKETS.remove(&socket);
    let duration_ns = unsafe { bpf_ktime_get_boot_ns() }.saturating_sub(opened.time_ns);
    Told { kind, opened, duration_ns }
}

#[inline(always)]
fn emit(ctx: &TracePointContext, settings: &Settings, socket: u64, told: &Told) {
    let Some(mut slot) = EVENTS.reserve::<Event>(0) else {
        count(COUNT_RING_FULL);
        return;
    };
    let mut flags = if told.opened.has_process == 1 { HAS_PROCESS } else { 0 };
    let (mut bytes_sent, mut bytes_received) = (0, 0);
    if told.kind == CLOSE
        && let (Some(sent), Some(received)) = (
            read_u64(socket, settings.tcp_bytes_acked),
            read_u64(socket, settings.tcp_bytes_received),
        )
    {
        (bytes_sent, bytes_received) = (sent, received);
        flags |= HAS_BYTES;
    }
    let family = field::<u16>(ctx, FAMILY);
    let (mut local, mut remote) = ([0_u8; 16], [0_u8; 16]);
    if family == AF_INET {
        let (from, to) = (field::<[u8; 4]>(ctx, SADDR), field::<[u8; 4]>(ctx, DADDR));
        local[..4].copy_from_slice(&from);
        remote[..4].copy_from_slice(&to);
    } else {
        local = field(ctx, SADDR_V6);
        remote = field(ctx, DADDR_V6);
    }
    slot.write(Event {
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        socket,
        cgroup: told.opened.cgroup,
        duration_ns: told.duration_ns,
        bytes_sent,
        bytes_received,
        local,
        remote,
        tgid: told.opened.tgid,
        netns: netns(socket, settings),
        local_port: field(ctx, SPORT),
        remote_port: field(ctx, DPORT),
        family,
        kind: told.kind,
        flags,
        comm: told.opened.comm,
    });
    slot.submit(0);
    count(COUNT_EVENTS);
}

/// A field of the tracepoint, or zeros; every field read here exists in its format.
#[inline(always)]
fn field<T: Default>(ctx: &TracePointContext, offset: usize) -> T {
    unsafe { ctx.read_at(offset) }.unwrap_or_default()
}

#[inline(always)]
fn netns(socket: u64, settings: &Settings) -> u32 {
    if settings.sock_net == UNKNOWN || settings.net_inum == UNKNOWN {
        return 0;
    }
    let Some(net) = read_u64(socket, settings.sock_net) else { return 0 };
    // The mask tells the verifier that the offset is small.
    let at = net.wrapping_add(u64::from(settings.net_inum & 0xffff));
    unsafe { bpf_probe_read_kernel(at as *const u32) }.unwrap_or(0)
}

#[inline(always)]
fn read_u64(base: u64, offset: u32) -> Option<u64> {
    if offset == UNKNOWN {
        return None;
    }
    let at = base.wrapping_add(u64::from(offset & 0xffff));
    unsafe { bpf_probe_read_kernel(at as *const u64) }.ok()
}

#[inline(always)]
fn count(index: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(index) {
        unsafe { *counter += 1 };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
