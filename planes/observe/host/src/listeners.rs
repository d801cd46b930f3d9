//! Sockets that listen, and whose they are. Several may listen at one end (`SO_REUSEPORT`), and a socket may outlive
//! the process that opened it.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use holm_model::Millis;

use crate::listing::Socket;
use crate::process::{Process, Processes};
use crate::seen::{End, Owner, SocketKey};
use crate::services::ListenerId;

/// Most listening sockets kept at once.
const MAX_LISTENERS: usize = 8_192;

/// A network namespace, and where in it is listened.
pub(crate) type Place = (u32, End);

/// One listening socket.
pub(crate) struct Held {
    pub(crate) id: ListenerId,
    /// What the kernel program calls it, if that saw it begin.
    kernel: Option<u64>,
    /// What listings call it, once one had it.
    inode: Option<u64>,
    pub(crate) process: Option<Arc<Process>>,
    opened: Millis,
}

/// All that listen at one end: at least one.
pub(crate) struct Listener {
    pub(crate) held: Vec<Held>,
    pub(crate) shown: bool,
    /// When one was closed last.
    closed: Millis,
}

/// What a listing says of an end that is known.
#[derive(Default)]
pub(crate) struct Compared {
    /// Sockets that are there no more.
    pub(crate) gone: Vec<Held>,
    /// Sockets that were not known.
    pub(crate) new: Vec<Socket>,
    /// Sockets that were handed over: the process that had one before, and the one that has it now.
    pub(crate) handed: Vec<(ListenerId, Option<Arc<Process>>, Arc<Process>)>,
}

/// The listening sockets, bounded.
#[derive(Default)]
pub(crate) struct Listeners {
    at: HashMap<Place, Listener>,
    count: usize,
    next: u64,
    /// Refused: too many.
    pub(crate) refused: u64,
}

impl Listeners {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn get(&self, place: &Place) -> Option<&Listener> {
        self.at.get(place)
    }

    pub(crate) fn get_mut(&mut self, place: &Place) -> Option<&mut Listener> {
        self.at.get_mut(place)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Place, &Listener)> {
        self.at.iter()
    }

    /// Takes up a socket; the one that it is or takes the place of comes back. `None` if there are too many.
    pub(crate) fn open(
        &mut self,
        place: Place,
        socket: Option<SocketKey>,
        process: Option<Arc<Process>>,
        shown: bool,
        at: Millis,
    ) -> Option<(ListenerId, Vec<Held>)> {
        let before = self.take_same(place, socket, process.as_deref());
        // One that came back has left its place free.
        if self.count >= MAX_LISTENERS {
            self.refused += 1;
            return None;
        }
        let id = ListenerId(self.next);
        self.next += 1;
        let (kernel, mut inode) = match socket {
            Some(SocketKey::Kernel(key)) => (Some(key), None),
            Some(SocketKey::Inode(inode)) => (None, Some(inode)),
            None => (None, None),
        };
        inode = inode.or_else(|| before.iter().find_map(|held| held.inode));
        let closed = Millis(0);
        let listener = self.at.entry(place).or_insert(Listener { held: Vec::new(), shown, closed });
        listener.held.push(Held { id, kernel, inode, process, opened: at });
        listener.shown = shown;
        self.count += 1;
        Some((id, before))
    }

    /// Those that a socket which begins takes the place of.
    fn take_same(
        &mut self,
        place: Place,
        socket: Option<SocketKey>,
        process: Option<&Process>,
    ) -> Vec<Held> {
        let Some(listener) = self.at.get_mut(&place) else { return Vec::new() };
        let same = match socket {
            None => return self.close_all(place, Millis(0)),
            // A listing had it before the kernel's word of it was read.
            Some(SocketKey::Kernel(key)) => listener.held.iter().position(|held| {
                held.kernel == Some(key)
                    || (held.kernel.is_none()
                        && held.process.as_ref().map(|p| p.pid) == process.map(|p| p.pid))
            }),
            Some(SocketKey::Inode(inode)) => {
                listener.held.iter().position(|held| held.inode == Some(inode))
            }
        };
        let Some(same) = same else { return Vec::new() };
        let held = listener.held.remove(same);
        self.count -= 1;
        // The end stays known: it is taken again at once.
        vec![held]
    }

    /// A socket that listens no more, or all at that end if it is not told which. Those that are gone by that.
    pub(crate) fn close(
        &mut self,
        place: Place,
        socket: Option<SocketKey>,
        at: Millis,
        processes: &Processes,
    ) -> Vec<Held> {
        let Some(listener) = self.at.get_mut(&place) else { return Vec::new() };
        let found = match socket {
            None => return self.close_all(place, at),
            Some(SocketKey::Kernel(key)) => {
                let known = listener.held.iter().position(|held| held.kernel == Some(key));
                // One of those that were there before the kernel program: whose process is gone, if any is.
                let listed =
                    || listener.held.iter().enumerate().filter(|(_, h)| h.kernel.is_none());
                let dead = |held: &Held| held.process.as_ref().is_none_or(|p| !processes.live(p));
                let mut of_before = || {
                    let dead = listed().find(|(_, held)| dead(held));
                    dead.or_else(|| listed().next()).map(|(index, _)| index)
                };
                known.or_else(&mut of_before)
            }
            Some(SocketKey::Inode(inode)) => {
                listener.held.iter().position(|held| held.inode == Some(inode))
            }
        };
        let Some(found) = found else { return Vec::new() };
        let held = listener.held.remove(found);
        listener.closed = listener.closed.max(at);
        self.count -= 1;
        if listener.held.is_empty() {
            self.at.remove(&place);
        }
        vec![held]
    }

    fn close_all(&mut self, place: Place, at: Millis) -> Vec<Held> {
        let Some(mut listener) = self.at.remove(&place) else { return Vec::new() };
        listener.closed = at;
        self.count -= listener.held.len();
        listener.held
    }

    /// Compares what is known of an end with the `sockets` that a listing of `at` has there. Nothing is known of the
    /// sockets that began since, and nothing is made of those that may have ended since.
    pub(crate) fn compare(
        &mut self,
        place: Place,
        sockets: &[Socket],
        at: Millis,
        processes: &mut Processes,
    ) -> Compared {
        let mut compared = Compared::default();
        let Some(listener) = self.at.get_mut(&place) else { return compared };
        let mut pairs: Vec<(usize, &Socket)> = Vec::new();
        let mut free: Vec<&Socket> = Vec::new();
        for socket in sockets {
            let known = |held: &Held| socket.inode != 0 && held.inode == Some(socket.inode);
            match listener.held.iter().position(known) {
                Some(index) => pairs.push((index, socket)),
                None => free.push(socket),
            }
        }
        // Those of which the kernel program told, and those that no process holds yet, have no inode so far: its own
        // process's socket, else any.
        let pid = |held: &Held| held.process.as_ref().map(|process| process.pid);
        let is_paired = |pairs: &[(usize, &Socket)], index: usize| {
            pairs.iter().any(|(known, _)| *known == index)
        };
        for own in [true, false] {
            for (index, held) in listener.held.iter_mut().enumerate() {
                let unknown = held.inode.is_none_or(|inode| inode == 0);
                if !unknown || held.opened > at || is_paired(&pairs, index) {
                    continue;
                }
                let fits = |socket: &&Socket| match socket.owner {
                    Owner::Pid(owner) => !own || Some(owner) == pid(held),
                    _ => !own,
                };
                if let Some(found) = free.iter().position(fits) {
                    let socket = free.swap_remove(found);
                    held.inode = Some(socket.inode);
                    pairs.push((index, socket));
                }
            }
        }
        for (index, socket) in &pairs {
            let held = &mut listener.held[*index];
            let Owner::Pid(owner) = socket.owner else { continue };
            // The kernel program tells who opened it, a listing one of those that hold it.
            let opener = held.kernel.is_some();
            let is_its = |p: &Arc<Process>| {
                (p.pid == owner && p.start_ticks > 0) || (opener && processes.live(p))
            };
            if held.process.as_ref().is_some_and(is_its) {
                continue;
            }
            let Some(heir) = processes.of_pid(owner) else { continue };
            let before = held.process.replace(Arc::clone(&heir));
            compared.handed.push((held.id, before, heir));
        }
        let changed_since =
            listener.closed >= at || listener.held.iter().any(|held| held.opened >= at);
        if !changed_since {
            compared.new = free.into_iter().copied().collect();
        }
        let mut index = 0;
        listener.held.retain_mut(|held| {
            let stays = held.opened >= at || is_paired(&pairs, index);
            index += 1;
            if !stays {
                let (id, process) = (held.id, held.process.take());
                let (kernel, inode, opened) = (held.kernel, held.inode, held.opened);
                compared.gone.push(Held { id, kernel, inode, process, opened });
            }
            stays
        });
        self.count -= compared.gone.len();
        if listener.held.is_empty() {
            self.at.remove(&place);
        }
        compared
    }

    /// Ends that a listing of `at` has not: `there` are those that it has, `covered` the namespaces that it knows. In
    /// one that it does not know those are gone whose processes are.
    pub(crate) fn silent(
        &self,
        there: impl Fn(&Place) -> bool,
        covered: &HashSet<u32>,
        at: Millis,
        processes: &Processes,
    ) -> Vec<Place> {
        let is_gone = |place: &Place, listener: &Listener| {
            let dead = |held: &Held| {
                held.process.as_ref().is_some_and(|p| p.start_ticks > 0 && !processes.live(p))
            };
            listener.held.iter().all(|held| held.opened < at)
                && !there(place)
                && (place.0 == 0 || covered.contains(&place.0) || listener.held.iter().all(dead))
        };
        self.at.iter().filter(|(place, l)| is_gone(place, l)).map(|(place, _)| *place).collect()
    }
}
