//! What edges and services are said to be: by which process, and at which ports. A process that is started anew takes
//! the place of the one before, and a port that nobody listens on any more goes; what changes all the time is told
//! seldom, because each change is written.

use std::collections::BTreeMap;

use holm_model::Millis;

/// Most ports that one edge or service names.
pub(crate) const MAX_PORTS: usize = 16;
/// A port that is listened on again so soon, as by a restart, never went, in ms.
const REOPENS_MS: u64 = 10_000;
/// What is said of one that does not listen, as clients that are run again and again, changes no oftener, in ms.
const SELDOM_MS: u64 = 600_000;

pub(crate) type Attribute = (&'static str, Box<str>);

/// What the process says that began last.
#[derive(Debug, Default)]
pub(crate) struct Said {
    attributes: Vec<Attribute>,
    /// When its process began, in ticks since boot; 0 if that is not known.
    began: u64,
    /// When it was taken up.
    since: Millis,
}

impl Said {
    pub(crate) fn new(attributes: Vec<Attribute>, began: u64, at: Millis) -> Self {
        Self { attributes, began, since: at }
    }

    pub(crate) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Takes up what a process says that began later: at once if it `listens`, else when what was said has stood for
    /// ten minutes. Whether anything is another than before.
    pub(crate) fn take(
        &mut self,
        began: u64,
        listens: bool,
        at: Millis,
        attributes: impl FnOnce() -> Vec<Attribute>,
    ) -> bool {
        // A process that became another program by exec began when it did.
        let later = began > self.began || (began == self.began && listens);
        let may = listens || self.began == 0 || at.since(self.since) >= SELDOM_MS;
        if !(later && may) {
            return false;
        }
        let attributes = attributes();
        let changed = attributes != self.attributes;
        *self = Self::new(attributes, began, at);
        changed
    }
}

/// Ports of a service: those that it listens on.
#[derive(Debug, Default)]
pub(crate) struct Listening(BTreeMap<u16, Port>);

#[derive(Debug, Clone, Copy)]
struct Port {
    /// Sockets that listen on it.
    sockets: u32,
    /// When the last of them was closed.
    left: Millis,
}

impl Listening {
    /// Whether `port` is new among those that are told; one beyond these is counted in `left_out`.
    pub(crate) fn open(&mut self, port: u16, left_out: &mut u64) -> bool {
        if port == 0 {
            return false;
        }
        let known = self.0.len();
        let entry = self.0.entry(port).or_insert(Port { sockets: 0, left: Millis(0) });
        entry.sockets += 1;
        let is_new = self.0.len() > known;
        if is_new && self.0.len() > MAX_PORTS {
            *left_out += 1;
        }
        is_new && self.told().any(|told| told == port)
    }

    pub(crate) fn close(&mut self, port: u16, at: Millis) {
        if let Some(entry) = self.0.get_mut(&port) {
            entry.sockets = entry.sockets.saturating_sub(1);
            entry.left = at;
        }
    }

    /// Forgets ports that nobody listens on any more.
    pub(crate) fn settle(&mut self, now: Millis) {
        self.0.retain(|_, port| port.sockets > 0 || now.since(port.left) < REOPENS_MS);
    }

    /// The first 16.
    pub(crate) fn told(&self) -> impl Iterator<Item = u16> {
        self.0.keys().copied().take(MAX_PORTS)
    }
}

/// Server ports of an edge's connections: those that were met last.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// With when each was met last, in order of the ports.
    ports: Vec<(u16, Millis)>,
    changed: Millis,
}

impl Met {
    /// Whether `port` is new. One beyond 16 takes the place of the one that was not met for longest, seldom.
    pub(crate) fn meet(&mut self, port: u16, at: Millis) -> bool {
        if port == 0 {
            return false;
        }
        let place = match self.ports.binary_search_by_key(&port, |(port, _)| *port) {
            Ok(known) => {
                let last = &mut self.ports[known].1;
                *last = at.max(*last);
                return false;
            }
            Err(place) => place,
        };
        if self.ports.len() < MAX_PORTS {
            self.ports.insert(place, (port, at));
            self.changed = at;
            return true;
        }
        if at.since(self.changed) < SELDOM_MS {
            return false;
        }
        let oldest = (0..self.ports.len()).min_by_key(|&i| self.ports[i].1);
        if let Some(oldest) = oldest {
            self.ports[oldest] = (port, at);
            self.ports.sort_unstable_by_key(|(port, _)| *port);
            self.changed = at;
        }
        true
    }

    pub(crate) fn told(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().map(|(port, _)| *port)
    }
}

/// Ports as they are written.
pub(crate) fn list(ports: impl Iterator<Item = u16>) -> String {
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    ports.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command(text: &str) -> Vec<Attribute> {
        vec![("process.command", text.into())]
    }

    #[test]
    fn the_process_that_began_last_speaks_and_clients_seldom() {
        let mut said = Said::new(command("a"), 100, Millis(0));
        let take = |said: &mut Said, began, listens, at, text: &str| {
            said.take(began, listens, Millis(at), || command(text))
        };
        assert!(!take(&mut said, 99, true, 1_000, "b"), "it began before");
        assert!(!take(&mut said, 100, false, SELDOM_MS, "b"), "it began no later");
        assert!(!take(&mut said, 200, false, SELDOM_MS - 1, "b"), "a client, too soon");
        assert!(take(&mut said, 200, true, 2_000, "b"), "it listens");
        assert!(!take(&mut said, 300, true, 3_000, "b"), "it says the same");
        assert!(!take(&mut said, 0, true, 9_000_000, "c"), "when it began is not known");
        assert!(take(&mut said, 400, false, 3_000 + SELDOM_MS, "c"));
        assert_eq!(said.attributes(), command("c"));
        assert!(take(&mut said, 400, true, 9_000_000, "d"), "by exec, and now it listens");
        let mut unknown = Said::new(command(""), 0, Millis(0));
        assert!(take(&mut unknown, 1, false, 1, "a"), "nothing was known of the one before");
    }

    #[test]
    fn a_restart_changes_no_port_and_a_port_that_is_left_goes() {
        let (mut ports, mut left_out) = (Listening::default(), 0);
        assert!(ports.open(7001, &mut left_out) && ports.open(7002, &mut left_out));
        assert!(!ports.open(7001, &mut left_out), "a second socket");
        ports.close(7001, Millis(1_000));
        ports.close(7001, Millis(2_000));
        ports.settle(Millis(2_000 + REOPENS_MS - 1));
        assert!(!ports.open(7001, &mut left_out), "it was listened on again");
        ports.close(7001, Millis(20_000));
        ports.settle(Millis(20_000 + REOPENS_MS));
        assert_eq!(list(ports.told()), "7002");
        // However often it is started anew on another port, the one that it listens on is told.
        for port in 8000..8100 {
            let at = Millis(u64::from(port) * 100_000);
            ports.settle(at);
            ports.open(port, &mut left_out);
            ports.close(port, at);
        }
        ports.settle(Millis(9_000_000_000));
        assert!(ports.open(9000, &mut left_out));
        assert_eq!((list(ports.told()).as_str(), left_out), ("7002,9000", 0));
    }

    #[test]
    fn ports_beyond_the_bound_are_counted_by_a_service_and_replaced_seldom_on_an_edge() {
        let (mut ports, mut left_out) = (Listening::default(), 0);
        for port in 1..=20 {
            ports.open(port, &mut left_out);
        }
        assert_eq!((ports.told().count(), left_out), (MAX_PORTS, 4));
        let mut met = Met::default();
        for port in 1..=16 {
            assert!(met.meet(port, Millis(u64::from(port))));
        }
        assert!(!met.meet(17, Millis(100)), "too soon");
        met.meet(1, Millis(1_000));
        assert!(met.meet(18, Millis(17 + SELDOM_MS)));
        assert!(met.told().any(|port| port == 18) && !met.told().any(|port| port == 2));
        assert_eq!(met.told().count(), MAX_PORTS);
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_is_listened_on(
            steps in proptest::collection::vec((1_u16..8, any::<bool>(), 0_u64..30_000), 0..80),
        ) {
            let (mut ports, mut left_out, mut now) = (Listening::default(), 0, 0);
            let mut model: BTreeMap<u16, (i64, u64)> = BTreeMap::new();
            for (port, opens, later) in steps {
                now += later;
                ports.settle(Millis(now));
                model.retain(|_, (sockets, left)| *sockets > 0 || now - *left < REOPENS_MS);
                let known = model.contains_key(&port);
                if opens {
                    model.entry(port).or_default().0 += 1;
                    prop_assert_eq!(ports.open(port, &mut left_out), !known);
                } else {
                    ports.close(port, Millis(now));
                    if let Some((sockets, left)) = model.get_mut(&port) {
                        *sockets = (*sockets - 1).max(0);
                        *left = now;
                    }
                }
                prop_assert!(ports.told().eq(model.keys().copied()));
            }
        }

        #[test]
        fn what_stays_the_same_is_never_new(
            ports in proptest::collection::vec(1_u16..30, 1..60),
        ) {
            let mut met = Met::default();
            let mut changes = 0;
            for (at, port) in ports.iter().cycle().take(5_000).enumerate() {
                changes += u32::from(met.meet(*port, Millis(at as u64)));
            }
            prop_assert!(changes <= MAX_PORTS as u32, "{changes}");
        }
    }
}
