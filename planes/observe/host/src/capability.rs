//! What this kernel and our privileges allow, asked before anything is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use crate::btf::{Btf, MAX_BTF_BYTES};
use crate::config::{Config, NetworkNamespace};
use crate::layout::{self, Settings, UNKNOWN};
use crate::{listing, procfs, sys};

const BTF: &str = "/sys/kernel/btf/vmlinux";
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
/// Inode of the first network namespace, fixed since Linux 6.18 (`NET_NS_INIT_INO`); dynamic ones
/// begin at 0xf000_0000.
const FIRST_NETNS: u32 = 0xefff_fff9;
/// Inode of the first pid namespace (`PROC_PID_INIT_INO`), fixed since Linux 3.8.
const FIRST_PIDNS: u32 = 0xefff_fffc;

/// Why the kernel program cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

impl Lack {
    pub(crate) fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

/// Whose connections are observed, as the kernel program and the listings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Our own network namespace (inode); 0 if `/proc` does not tell.
    pub(crate) own_netns: u32,
    /// Every namespace, or only our own.
    pub(crate) every: bool,
}

impl Scope {
    pub(crate) fn of(config: &Config) -> Self {
        let own_netns = listing::own_namespace().unwrap_or(0);
        let every = match config.network_namespace {
            NetworkNamespace::Own => false,
            NetworkNamespace::All => true,
            NetworkNamespace::Auto => is_first_namespace(own_netns),
        };
        Self { own_netns, every }
    }
}

/// Whether `own` is the host's first network namespace. Where that cannot be told it is not: to see
/// too little is safer than to see the neighbours.
fn is_first_namespace(own: u32) -> bool {
    let pid_namespace = procfs::namespace(Path::new("/proc/self/ns/pid"));
    let of_init = procfs::namespace(Path::new("/proc/1/ns/net"));
    own == FIRST_NETNS || pid_namespace == Some(FIRST_PIDNS) && own != 0 && of_init == Some(own)
}

/// Checks privileges, tracefs, the tracepoint's format and the type information, in this order.
pub(crate) fn settings(scope: Scope) -> Result<Settings, Lack> {
    check_privilege()?;
    check_format(&read_format()?)?;
    let offsets = offsets(scope)?;
    if !scope.every && (offsets.sock_net == UNKNOWN || offsets.net_inum == UNKNOWN) {
        return Err(Lack::new(
            "the kernel's type information does not say where a socket keeps its network namespace",
            "set planes.host.network_namespace = \"all\", or use a kernel with CONFIG_NET_NS",
        ));
    }
    if scope.own_netns == 0 {
        return Err(Lack::new(
            "/proc/thread-self/ns/net cannot be read: our own network namespace is not known",
            "mount /proc",
        ));
    }
    Ok(offsets)
}

fn check_privilege() -> Result<(), Lack> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    let has = |capability: u32| effective.is_some_and(|caps| caps >> capability & 1 == 1);
    if has(CAP_SYS_ADMIN) || has(CAP_BPF) && has(CAP_PERFMON) {
        return Ok(());
    }
    Err(Lack::new(
        "no CAP_BPF and CAP_PERFMON",
        "run as root, or grant CAP_BPF, CAP_PERFMON, CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE",
    ))
}

/// The tracepoint's format file; tracefs is mounted if it is not.
fn read_format() -> Result<String, Lack> {
    let format = |root: &str| PathBuf::from(root).join("events/sock/inet_sock_set_state/format");
    let read = || TRACEFS.iter().find_map(|root| fs::read_to_string(format(root)).ok());
    if let Some(text) = read() {
        return Ok(text);
    }
    let mounted = sys::mount_tracefs(c"/sys/kernel/tracing");
    if let Some(text) = read() {
        return Ok(text);
    }
    let release = sys::kernel_release();
    Err(match mounted {
        Ok(()) => Lack::new(
            format!("kernel {release} has no tracepoint sock:inet_sock_set_state"),
            "use Linux 5.8 or later with CONFIG_FTRACE and CONFIG_NET",
        ),
        Err(error) => Lack::new(
            format!("tracefs cannot be read, and mounting it failed: {error}"),
            "mount -t tracefs tracefs /sys/kernel/tracing, readable for this user",
        ),
    })
}

/// Compares the offsets that the program was built with.
fn check_format(text: &str) -> Result<(), Lack> {
    for (name, offset, size) in [
        ("skaddr", layout::SKADDR, 8),
        ("oldstate", layout::OLDSTATE, 4),
        ("newstate", layout::NEWSTATE, 4),
        ("sport", layout::SPORT, 2),
        ("dport", layout::DPORT, 2),
        ("family", layout::FAMILY, 2),
        ("protocol", layout::PROTOCOL, 2),
        ("saddr", layout::SADDR, 4),
        ("daddr", layout::DADDR, 4),
        ("saddr_v6", layout::SADDR_V6, 16),
        ("daddr_v6", layout::DADDR_V6, 16),
    ] {
        if field(text, name) != Some((offset, size)) {
            return Err(Lack::new(
                format!(
                    "kernel {}: field {name} of sock:inet_sock_set_state is not where it was",
                    sys::kernel_release()
                ),
                "use Linux 5.8 or later, or report this kernel's format file",
            ));
        }
    }
    Ok(())
}

/// Offset and size of `name`, from a line such as `field:__u16 sport; offset:24; size:2; signed:0;`.
fn field(text: &str, name: &str) -> Option<(usize, usize)> {
    text.lines().find_map(|line| {
        let mut parts = line.trim().strip_prefix("field:")?.split(';');
        let declared = parts.next()?.rsplit(' ').next()?;
        if declared.split('[').next() != Some(name) {
            return None;
        }
        let mut number = |key: &str| parts.next()?.trim().strip_prefix(key)?.parse().ok();
        Some((number("offset:")?, number("size:")?))
    })
}

fn offsets(scope: Scope) -> Result<Settings, Lack> {
    let none =
        |what: String| Lack::new(what, "use a kernel with CONFIG_DEBUG_INFO_BTF (5.8 or later)");
    let length = fs::metadata(BTF).map_or(0, |file| file.len());
    if length > MAX_BTF_BYTES {
        return Err(none(format!("{BTF} has {length} bytes, more than is read")));
    }
    let bytes = fs::read(BTF).map_err(|error| none(format!("{BTF} cannot be read: {error}")))?;
    let btf = Btf::parse(&bytes).map_err(|error| none(error.to_string()))?;
    let offset = |of: &str, path: &str| {
        // The program masks offsets to 16 bits.
        btf.offset(of, path).filter(|&offset| offset < 0x1_0000).unwrap_or(UNKNOWN)
    };
    Ok(Settings {
        version: layout::VERSION,
        netns: if scope.every { 0 } else { scope.own_netns },
        sock_net: offset("sock", "__sk_common.skc_net.net"),
        sock_flags: offset("sock", "__sk_common.skc_flags"),
        net_inum: offset("net", "ns.inum"),
        tcp_bytes_sent: offset("tcp_sock", "bytes_sent"),
        tcp_bytes_retrans: offset("tcp_sock", "bytes_retrans"),
        tcp_bytes_received: offset("tcp_sock", "bytes_received"),
        task_leader: offset("task_struct", "group_leader"),
        task_start: offset("task_struct", "start_boottime"),
        task_comm: offset("task_struct", "comm"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: inet_sock_set_state\nID: 2287\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:const void * skaddr;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:int oldstate;\toffset:16;\tsize:4;\tsigned:1;\n\
        \tfield:int newstate;\toffset:20;\tsize:4;\tsigned:1;\n\
        \tfield:__u16 sport;\toffset:24;\tsize:2;\tsigned:0;\n\
        \tfield:__u16 dport;\toffset:26;\tsize:2;\tsigned:0;\n\
        \tfield:__u16 family;\toffset:28;\tsize:2;\tsigned:0;\n\
        \tfield:__u16 protocol;\toffset:30;\tsize:2;\tsigned:0;\n\
        \tfield:__u8 saddr[4];\toffset:32;\tsize:4;\tsigned:0;\n\
        \tfield:__u8 daddr[4];\toffset:36;\tsize:4;\tsigned:0;\n\
        \tfield:__u8 saddr_v6[16];\toffset:40;\tsize:16;\tsigned:0;\n\
        \tfield:__u8 daddr_v6[16];\toffset:56;\tsize:16;\tsigned:0;\n";

    #[test]
    fn a_moved_field_is_noticed() {
        check_format(FORMAT).expect("as the program was built");
        let older =
            FORMAT.replace("protocol;\toffset:30;\tsize:2", "protocol;\toffset:30;\tsize:1");
        let lack = check_format(&older).expect_err("another size");
        assert!(lack.reason.contains("protocol"), "{}", lack.reason);
        assert!(check_format("").is_err());
    }

    #[test]
    fn the_scope_follows_the_configuration() {
        let scope =
            |network_namespace| Scope::of(&Config { network_namespace, ..Config::default() });
        assert!(scope(NetworkNamespace::All).every);
        assert!(!scope(NetworkNamespace::Own).every);
        assert!(!is_first_namespace(0));
        assert!(is_first_namespace(FIRST_NETNS));
    }
}
