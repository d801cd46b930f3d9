//! Watches `sock:inet_sock_set_state`: every TCP connection of the host, IPv4 and IPv6, with the
//! process that opened it.
//!
//! `CLOSE → SYN_SENT` and `CLOSE → LISTEN` run in the process that called `connect` or `listen`; the
//! later transitions run wherever the packet was handled. So the process is noted at the first and
//! kept by socket until the handshake is over; from then on the plane knows it. The tracepoint's fields
//! are a stable interface; only the byte counters, the network namespace and the process's first thread
//! need offsets, which the plane reads from the running kernel's BTF.
//!
//! Half of all runs are of transitions that nobody needs: they end after two loads. The record is read
//! directly and the event written in place, since a helper call or a copy costs more than all the rest.
#![no_std]
#![no_main]

mod event;

use core::ptr::addr_of_mut;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_current_task;
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
    LISTEN, Settings, UNKNOWN, UNLISTEN, VERSION,
};

const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_SYN_RECV: i32 = 3;
const TCP_CLOSE: i32 = 7;
const TCP_LISTEN: i32 = 10;
/// Not sent: the process of a connection that is being opened is noted.
const OPENING: u8 = 0;
/// Bit of `sk_flags`: a FIN was received (include/net/sock.h, `enum sock_flags`).
const SOCK_DONE: u64 = 1 << 1;
const IPPROTO_TCP: u16 = 6;
const AF_INET: u16 = 2;

/// The process of a connection whose handshake is under way.
#[repr(C)]
#[derive(Clone, Copy)]
struct Opened {
    time_ns: u64,
    start_ns: u64,
    cgroup: u64,
    tgid: u64,
    comm: [u64; 2],
}

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Least recently used ones make room: a handshake that nobody ends is forgotten, not kept for ever.
#[map]
static SOCKETS: LruHashMap<u64, Opened> = LruHashMap::with_max_entries(32_768, 0);

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTER_COUNT, 0);

#[tracepoint]
pub fn inet_sock_set_state(ctx: TracePointContext) -> u32 {
    watch(&ctx);
    0
}

#[inline(always)]
fn watch(ctx: &TracePointContext) {
    let old: i32 = field(ctx, event::OLDSTATE);
    let new: i32 = field(ctx, event::NEWSTATE);
    let kind = match (old, new) {
        (TCP_CLOSE, TCP_SYN_SENT) => OPENING,
        (TCP_CLOSE, TCP_LISTEN) => LISTEN,
        (TCP_LISTEN, TCP_CLOSE) => UNLISTEN,
        (TCP_SYN_SENT, TCP_ESTABLISHED) => CONNECT,
        // An accepted socket is made where its last handshake packet was handled: whatever runs there
        // is not its process. The plane knows who listens on the port.
        (TCP_SYN_RECV, TCP_ESTABLISHED) => ACCEPT,
        (TCP_SYN_SENT, TCP_CLOSE) => CONNECT_FAILED,
        // Never established: nobody was told of them.
        (TCP_CLOSE | TCP_SYN_RECV, TCP_CLOSE) => return,
        (_, TCP_CLOSE) => CLOSE,
        _ => return,
    };
    if field::<u16>(ctx, event::PROTOCOL) != IPPROTO_TCP {
        count(COUNT_OTHER_PROTOCOL);
        return;
    }
    let Some(settings) = SETTINGS.get(0) else { return };
    if settings.version != VERSION {
        return;
    }
    let socket: u64 = field(ctx, event::SKADDR);
    let netns = netns(socket, settings);
    if settings.netns != 0 && netns != settings.netns {
        count(COUNT_OTHER_NETNS);
        return;
    }
    if kind == OPENING {
        if SOCKETS.insert(&socket, &here(settings), 0).is_err() {
            count(COUNT_SOCKETS_FULL);
        }
        return;
    }
    emit(ctx, settings, socket, netns, kind);
}

#[inline(always)]
fn emit(ctx: &TracePointContext, settings: &Settings, socket: u64, netns: u32, kind: u8) {
    let Some(mut slot) = EVENTS.reserve::<Event>(0) else {
        count(COUNT_RING_FULL);
        return;
    };
    let to = slot.as_mut_ptr();
    let time_ns = unsafe { bpf_ktime_get_boot_ns() };
    let mut flags = 0;
    let (mut duration_ns, mut bytes_sent, mut bytes_received) = (0, 0, 0);
    match kind {
        LISTEN => {
            process(to, &here(settings));
            flags |= HAS_PROCESS;
        }
        CONNECT | CONNECT_FAILED => {
            if let Some(known) = SOCKETS.get_ptr(&socket) {
                let known = unsafe { &*known };
                duration_ns = time_ns.saturating_sub(known.time_ns);
                process(to, known);
                let _ = SOCKETS.remove(&socket);
                flags |= HAS_PROCESS;
            } else {
                process(to, &NOBODY);
            }
        }
        CLOSE => {
            process(to, &NOBODY);
            if let Some((sent, received)) = payload(socket, settings) {
                (bytes_sent, bytes_received) = (sent, received);
                flags |= HAS_BYTES;
            }
        }
        _ => process(to, &NOBODY),
    }
    unsafe {
        addr_of_mut!((*to).time_ns).write(time_ns);
        addr_of_mut!((*to).socket).write(socket);
        addr_of_mut!((*to).duration_ns).write(duration_ns);
        addr_of_mut!((*to).bytes_sent).write(bytes_sent);
        addr_of_mut!((*to).bytes_received).write(bytes_received);
        addr_of_mut!((*to).netns).write(netns);
        addr_of_mut!((*to).local_port).write(field(ctx, event::SPORT));
        addr_of_mut!((*to).remote_port).write(field(ctx, event::DPORT));
        addr_of_mut!((*to).kind).write(kind);
        addr_of_mut!((*to).flags).write(flags);
    }
    addresses(ctx, to);
    slot.submit(0);
    count(COUNT_EVENTS);
}

/// Writes the process's fields of an event.
#[inline(always)]
fn process(to: *mut Event, opened: &Opened) {
    unsafe {
        addr_of_mut!((*to).start_ns).write(opened.start_ns);
        addr_of_mut!((*to).cgroup).write(opened.cgroup);
        addr_of_mut!((*to).tgid).write(opened.tgid as u32);
        // 8-aligned in the layout; by words, since a copy by bytes takes sixteen steps.
        let comm = addr_of_mut!((*to).comm).cast::<u64>();
        comm.write(opened.comm[0]);
        comm.add(1).write(opened.comm[1]);
    }
}

/// Writes the addresses and their family.
#[inline(always)]
fn addresses(ctx: &TracePointContext, to: *mut Event) {
    let family: u16 = field(ctx, event::FAMILY);
    unsafe {
        addr_of_mut!((*to).family).write(family);
        let local = addr_of_mut!((*to).local).cast::<u64>();
        let remote = addr_of_mut!((*to).remote).cast::<u64>();
        if family == AF_INET {
            local.write(u64::from(field::<u32>(ctx, event::SADDR)));
            local.add(1).write(0);
            remote.write(u64::from(field::<u32>(ctx, event::DADDR)));
            remote.add(1).write(0);
        } else {
            local.write(field(ctx, event::SADDR_V6));
            local.add(1).write(field(ctx, event::SADDR_V6 + 8));
            remote.write(field(ctx, event::DADDR_V6));
            remote.add(1).write(field(ctx, event::DADDR_V6 + 8));
        }
    }
}

/// No process.
const NOBODY: Opened = Opened { time_ns: 0, start_ns: 0, cgroup: 0, tgid: 0, comm: [0; 2] };

/// The running process, now.
#[inline(always)]
fn here(settings: &Settings) -> Opened {
    let task = unsafe { bpf_get_current_task() };
    // A thread may bear any name; the process is known by that of its first.
    let leader = read::<u64>(task, settings.task_leader);
    let start_ns = leader.and_then(|leader| read::<u64>(leader, settings.task_start));
    let comm = leader.and_then(|leader| read::<[u64; 2]>(leader, settings.task_comm));
    Opened {
        time_ns: unsafe { bpf_ktime_get_boot_ns() },
        start_ns: start_ns.unwrap_or(0),
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        tgid: bpf_get_current_pid_tgid() >> 32,
        comm: match comm {
            Some(comm) => comm,
            None => match bpf_get_current_comm() {
                Ok(comm) => unsafe { core::mem::transmute::<[u8; 16], [u64; 2]>(comm) },
                Err(_) => [0; 2],
            },
        },
    }
}

/// Payload bytes sent and received by a TCP socket. `bytes_acked` would count SYN and FIN.
#[inline(always)]
fn payload(socket: u64, settings: &Settings) -> Option<(u64, u64)> {
    let sent = read::<u64>(socket, settings.tcp_bytes_sent)?;
    let again = read::<u64>(socket, settings.tcp_bytes_retrans)?;
    let received = read::<u64>(socket, settings.tcp_bytes_received)?;
    let fin = u64::from(read::<u64>(socket, settings.sock_flags)? & SOCK_DONE != 0);
    Some((sent.saturating_sub(again), received.saturating_sub(fin)))
}

#[inline(always)]
fn netns(socket: u64, settings: &Settings) -> u32 {
    let Some(net) = read::<u64>(socket, settings.sock_net) else { return 0 };
    read::<u32>(net, settings.net_inum).unwrap_or(0)
}

/// A field of the tracepoint's record. The plane has compared the offsets with the kernel's format.
#[inline(always)]
fn field<T: Copy>(ctx: &TracePointContext, offset: usize) -> T {
    // Volatile: two loads must not become one that is wider than the kernel allows.
    unsafe { ctx.as_ptr().cast::<u8>().add(offset).cast::<T>().read_volatile() }
}

/// `offset` bytes into the kernel structure at `base`.
#[inline(always)]
fn read<T: Copy>(base: u64, offset: u32) -> Option<T> {
    if offset == UNKNOWN {
        return None;
    }
    // The mask tells the verifier that the offset is small.
    let at = base.wrapping_add(u64::from(offset & 0xffff));
    unsafe { bpf_probe_read_kernel(at as *const T) }.ok()
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
