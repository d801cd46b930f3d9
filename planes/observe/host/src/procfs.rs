//! What `/proc` says about sockets, their holders and namespaces.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use hashbrown::{HashMap, HashSet};

use crate::listing::{MAX_SOCKETS, Socket};
use crate::own_names::is_of_one_host;
use crate::process::read_bounded;
use crate::seen::{End, Owner};

/// About 150 bytes a line.
const MAX_FILE_BYTES: u64 = 150 * MAX_SOCKETS as u64;
const MAX_FILES_OF_PROCESS: usize = 65_536;
/// Most addresses of a namespace that are kept.
const MAX_ADDRESSES: usize = 64;

/// The sockets of the network namespace of the process `folder` (proc_pid_net(5)), marked `netns`.
pub(crate) fn tcp_sockets(folder: &Path, netns: u32) -> io::Result<Vec<Socket>> {
    let read = |name: &str| -> io::Result<String> {
        let path = folder.join("net").join(name);
        read_bounded(path.clone(), MAX_FILE_BYTES)
            .ok_or_else(|| io::Error::other(format!("cannot read {}", path.display())))
    };
    let mut sockets: Vec<Socket> =
        read("tcp")?.lines().filter_map(|line| read_line(line, netns)).collect();
    // A kernel without IPv6 has no such file.
    if let Ok(text) = read("tcp6") {
        sockets.extend(text.lines().filter_map(|line| read_line(line, netns)));
    }
    Ok(sockets)
}

/// The addresses of the network namespace of the process `folder`, without loopback and link-local ones: the entries of its
/// local routing table (`net/fib_trie`) and of its IPv6 interfaces (`net/if_inet6`). At most 64.
pub(crate) fn addresses(folder: &Path) -> Vec<IpAddr> {
    let read = |name: &str| read_bounded(folder.join("net").join(name), MAX_FILE_BYTES);
    let mut found = read("fib_trie").map_or_else(Vec::new, |text| ipv4_addresses(&text));
    found.extend(read("if_inet6").iter().flat_map(|text| text.lines()).filter_map(ipv6_address));
    found.retain(is_of_one_host);
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    found
}

/// `|-- 192.0.2.7`, and below it `/32 host LOCAL`.
fn ipv4_addresses(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last: Option<IpAddr> = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last);
        }
    }
    found
}

/// `fe80…  index length scope flags name`: the address in 32 hexadecimal digits.
fn ipv6_address(line: &str) -> Option<IpAddr> {
    let digits = line.split_ascii_whitespace().next()?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    (digits.len() == 32).then(|| Ipv6Addr::from(number).into())
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn read_line(line: &str, netns: u32) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace();
    let (local, remote) = (fields.nth(1)?, fields.next()?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(5)?.parse().ok()?;
    // ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING
    if !matches!(state, 1 | 4 | 5 | 8 | 9 | 10 | 11) {
        return None;
    }
    Some(Socket {
        listens: state == 10,
        established: matches!(state, 1 | 8),
        local: read_end(local)?,
        remote: read_end(remote)?,
        netns,
        inode,
        owner: Owner::NotTold,
    })
}

/// `0100007F:1F90`: words of the address in the machine's own order, the port as a number.
fn read_end(text: &str) -> Option<End> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for i in 0..4 {
                bytes[i * 4..i * 4 + 4].copy_from_slice(&word(i * 8)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(End::new(ip, port))
}

/// Ids of all processes.
pub(crate) fn processes(proc_root: &Path) -> impl Iterator<Item = u32> + use<> {
    let entries = fs::read_dir(proc_root).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The inode of the namespace that `link` (`/proc/<pid>/ns/net`) names: `net:[4026531833]`.
pub(crate) fn namespace(link: &Path) -> Option<u32> {
    let target = fs::read_link(link).ok()?;
    let (_, inode) = target.to_str()?.split_once(":[")?;
    inode.strip_suffix(']')?.parse().ok()
}

/// Whether the file `file` of the process `pid` is the socket `inode`.
pub(crate) fn holds(proc_root: &Path, pid: u32, file: u32, inode: u64) -> bool {
    let path = proc_root.join(pid.to_string()).join("fd").join(file.to_string());
    fs::read_link(path).is_ok_and(|target| socket_inode(&target) == Some(inode))
}

/// The inode of the socket that a file is: `socket:[4711]`.
fn socket_inode(target: &Path) -> Option<u64> {
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Which process holds each of the `wanted` sockets (by inode), as which file, and whether there are processes whose
/// files we may not see. Where several hold one, as after a fork, the one that started last.
pub(crate) fn holders(proc_root: &Path, wanted: &HashSet<u64>) -> (HashMap<u64, (u32, u32)>, bool) {
    let (mut found, mut hidden) = (HashMap::new(), false);
    for pid in processes(proc_root) {
        let files = match fs::read_dir(proc_root.join(pid.to_string()).join("fd")) {
            Ok(files) => files,
            Err(error) => {
                hidden |= error.kind() == io::ErrorKind::PermissionDenied;
                continue;
            }
        };
        for file in files.flatten().take(MAX_FILES_OF_PROCESS) {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let number = || file.file_name().to_str()?.parse().ok();
            if let Some(inode) = socket_inode(&target).filter(|inode| wanted.contains(inode))
                && let Some(number) = number()
            {
                found.insert(inode, (pid, number));
            }
        }
    }
    (found, hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_are_read() {
        let line = "   1: 0100007F:1F90 0200007F:A001 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        let socket = read_line(line, 5).expect("a connection");
        assert_eq!(socket.local, End::new("127.0.0.1".parse().expect("valid"), 8080));
        assert_eq!(socket.remote, End::new("127.0.0.2".parse().expect("valid"), 40961));
        assert_eq!((socket.listens, socket.inode, socket.netns), (false, 4711, 5));
        let line = "0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 9 1";
        let socket = read_line(line, 0).expect("a listener");
        assert_eq!(socket.local, End::new("::1".parse().expect("valid"), 80));
        assert!(socket.listens);
    }

    #[test]
    fn local_addresses_are_told_from_routes() {
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.0.0.0/24 2 0 2\n        \
            |-- 10.0.0.0\n           /24 link UNICAST\n        |-- 10.0.0.2\n           /32 host LOCAL\n        |-- 10.0.0.255\n           \
            /32 link BROADCAST\nLocal:\n        |-- 10.0.0.2\n           /32 host LOCAL\n";
        let address: IpAddr = "10.0.0.2".parse().expect("valid");
        assert_eq!(ipv4_addresses(text), [address, address]);
        let line = "fd000000000000000000000000000002 02 40 00 80     eth0";
        assert_eq!(ipv6_address(line), Some("fd00::2".parse().expect("valid")));
        assert_eq!(ipv6_address("fd00 02"), None);
    }

    #[test]
    fn other_lines_are_passed_over() {
        for line in [
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid",
            "",
            "1: 0100007F:1F90 0200007F:A001 06 0:0 0:0 0 0 0 4711 1",
            "1: 0100007:1F90 0200007F:A001 01 0:0 0:0 0 0 0 4711 1",
            "1: ü100007F:1F90 0200007F:A001 01 0:0 0:0 0 0 0 4711 1",
        ] {
            assert!(read_line(line, 0).is_none(), "{line}");
        }
    }
}
