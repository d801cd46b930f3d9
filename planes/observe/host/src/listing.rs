//! All TCP sockets that exist now, with their processes: `sock_diag` and `/proc`, no kernel program.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hashbrown::{HashMap, HashSet};
use holm_model::Millis;

use crate::netlink;
use crate::procfs;
use crate::seen::{End, Happening, Owner, Seen, SocketKey, Source};

/// Most sockets of one listing; more are cut off and counted.
pub(crate) const MAX_SOCKETS: usize = 262_144;
/// Most namespaces beside our own that are looked into.
const MAX_NAMESPACES: usize = 1_024;

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// It listens; else it is a connection.
    pub listens: bool,
    /// Both sides still talk, or the other one ended; else only the rest of a closed one.
    pub established: bool,
    /// This host's end.
    pub local: End,
    /// The other end.
    pub remote: End,
    /// Network namespace (inode).
    pub netns: u32,
    /// Inode of the socket's file, 0 if no process holds it.
    pub inode: u64,
    /// The process that holds it.
    pub owner: Owner,
}

impl Socket {
    pub(crate) fn seen(&self, what: Happening, at: Millis, source: Source) -> Seen {
        Seen {
            what,
            at,
            boot_ns: 0,
            local: self.local,
            remote: self.remote,
            netns: self.netns,
            owner: self.owner,
            socket: Some(self.inode).filter(|inode| *inode != 0).map(SocketKey::Inode),
            duration_ns: None,
            bytes: None,
            source,
        }
    }
}

/// What there was at one moment.
#[derive(Debug, Default)]
pub struct Listing {
    /// When the listing began.
    pub at: Millis,
    /// Every listening socket and every connection.
    pub sockets: Vec<Socket>,
    /// The network namespaces that it covers.
    pub namespaces: HashSet<u32>,
    /// By namespace other than our own: its addresses.
    pub elsewhere: HashMap<u32, Vec<IpAddr>>,
    /// How it was made.
    pub method: &'static str,
    /// Sockets cut off: more than 262,144.
    pub cut_off: u64,
}

/// Makes listings. Keeps which process holds which socket between them.
pub struct Lister {
    proc_root: PathBuf,
    /// Our namespace as events name it: its inode, or 0 where events cannot tell.
    own_netns: u32,
    every_namespace: bool,
    holders: HashMap<u64, (Owner, Option<u32>)>,
}

impl Lister {
    /// Lists our own network namespace, called `own_netns`, and with `every_namespace` those of all
    /// other processes.
    pub fn new(own_netns: u32, every_namespace: bool) -> Self {
        let proc_root = PathBuf::from("/proc");
        Self { proc_root, own_netns, every_namespace, holders: HashMap::new() }
    }

    /// Lists now. Blocks for some milliseconds.
    ///
    /// # Errors
    /// Neither `sock_diag` nor `/proc/net/tcp` can be read; both reasons.
    pub fn list(&mut self) -> Result<Listing, ListingError> {
        let mut listing = Listing { at: Millis::now(), ..Listing::default() };
        match netlink::tcp_sockets(self.own_netns) {
            Ok(sockets) => {
                listing.sockets = sockets;
                listing.method = "sock_diag";
            }
            Err(netlink) => {
                listing.sockets =
                    procfs::tcp_sockets(&self.proc_root.join("thread-self"), self.own_netns)
                        .map_err(|procfs| ListingError { netlink, procfs })?;
                listing.method = "/proc/net/tcp";
            }
        }
        listing.namespaces.insert(self.own_netns);
        if self.every_namespace {
            self.list_other_namespaces(&mut listing);
        }
        if listing.sockets.len() > MAX_SOCKETS {
            listing.cut_off = (listing.sockets.len() - MAX_SOCKETS) as u64;
            listing.sockets.truncate(MAX_SOCKETS);
        }
        self.find_holders(&mut listing.sockets);
        Ok(listing)
    }

    fn list_other_namespaces(&self, listing: &mut Listing) {
        for pid in procfs::processes(&self.proc_root) {
            let folder = self.proc_root.join(pid.to_string());
            let Some(netns) = procfs::namespace(&folder.join("ns/net")) else { continue };
            if listing.namespaces.len() > MAX_NAMESPACES || listing.namespaces.contains(&netns) {
                continue;
            }
            if let Ok(sockets) = procfs::tcp_sockets(&folder, netns) {
                listing.sockets.extend(sockets);
                listing.namespaces.insert(netns);
                listing.elsewhere.insert(netns, procfs::addresses(&folder));
            }
        }
    }

    /// Finds the process of every socket. The files of all processes are walked only if there is a
    /// socket that was not there before, or a listening one that its process has not any more.
    fn find_holders(&mut self, sockets: &mut [Socket]) {
        let there: HashMap<u64, bool> =
            sockets.iter().filter(|s| s.inode != 0).map(|s| (s.inode, s.listens)).collect();
        let Self { holders, proc_root, .. } = self;
        holders.retain(|inode, holder| match (there.get(inode), holder) {
            (None, _) => false,
            (Some(true), (Owner::Pid(pid), Some(file))) => {
                procfs::holds(proc_root, *pid, *file, *inode)
            }
            _ => true,
        });
        let wanted: HashSet<u64> =
            there.keys().copied().filter(|inode| !holders.contains_key(inode)).collect();
        if !wanted.is_empty() {
            let (found, hidden) = procfs::holders(proc_root, &wanted);
            let unknown = if hidden { Owner::Hidden } else { Owner::NotTold };
            for inode in wanted {
                let holder = found.get(&inode);
                let owner = holder.map_or(unknown, |&(pid, _)| Owner::Pid(pid));
                holders.insert(inode, (owner, holder.map(|&(_, file)| file)));
            }
        }
        for socket in sockets {
            socket.owner = holders.get(&socket.inode).map_or(Owner::NotTold, |&(owner, _)| owner);
        }
    }
}

/// Why sockets cannot be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list sockets: sock_diag: {netlink}; /proc/net/tcp: {procfs}")]
pub struct ListingError {
    netlink: std::io::Error,
    procfs: std::io::Error,
}

/// The inode of this thread's network namespace.
pub(crate) fn own_namespace() -> Option<u32> {
    procfs::namespace(Path::new("/proc/thread-self/ns/net"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_names::is_of_one_host;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_addresses_of_a_namespace_are_those_of_its_interfaces() {
        let listed = procfs::addresses(Path::new("/proc/thread-self"));
        let interfaces = if_addrs::get_if_addrs().expect("interfaces");
        let wanted: HashSet<IpAddr> =
            interfaces.iter().map(|i| i.ip()).filter(is_of_one_host).collect();
        assert_eq!(listed.into_iter().collect::<HashSet<_>>(), wanted);
    }

    #[test]
    fn both_ways_of_listing_find_the_same_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (server, _) = listener.accept().expect("accepted");
        let port = listener.local_addr().expect("bound").port();
        let end = |address: std::net::SocketAddr| End::new(address.ip(), address.port());
        let netlink = netlink::tcp_sockets(1);
        let procfs = procfs::tcp_sockets(Path::new("/proc/thread-self"), 1);
        if let Err(error) = &netlink {
            println!("skipped the half with sock_diag: {error}");
        }
        for sockets in [netlink, procfs].into_iter().flatten() {
            assert!(sockets.iter().any(|s| s.listens && s.local.port == port));
            for side in [&client, &server] {
                let (local, remote) =
                    (end(side.local_addr().expect("up")), end(side.peer_addr().expect("up")));
                let found = sockets.iter().find(|s| s.local == local && s.remote == remote);
                assert!(found.is_some_and(|s| !s.listens && s.established && s.inode != 0));
            }
        }
    }

    #[test]
    fn sockets_are_matched_with_their_process() {
        let listener = TcpListener::bind("[::1]:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let listing = Lister::new(1, false).list().expect("listed");
        let socket = listing.sockets.iter().find(|s| s.listens && s.local.port == port);
        assert_eq!(socket.expect("listed").owner, Owner::Pid(std::process::id()));
    }
}
