//! What edges and services are said to be: by which process, and at which ports. A process that is started anew takes
//! the place of the one before, and a port that nobody listens on any more goes; what changes all the time is told
//! seldom, because each change is written.

use std::collections::BTreeMap;

use holm_model::Millis;

use crate::process::Process;

/// Most ports that one edge or service names.
pub(crate) const MAX_PORTS: usize = 16;
/// What is listened on again so soon, as by a restart, never went, in ms.
pub(crate) const REOPENS_MS: u64 = 10_000;
/// A port that is one of many changes is told when it was listened on for so long, in ms.
const STANDS_MS: u64 = 60_000;
/// A port of an edge that no connection went to for so long goes, in ms.
const FORGOTTEN_MS: u64 = 3_600_000;
/// Where there were many changes, one more may be told after so long, in ms.
const SELDOM_MS: u64 = 600_000;
/// Changes of what a process says that may be told at once.
const CHANGES: u64 = 4;

pub(crate) type Attribute = (&'static str, Box<str>);

/// Who says it: when the process began, in ticks since boot, and its id; both 0 where that is not known. The one that
/// began later is the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct By(u64, u32);

impl By {
    pub(crate) fn process(process: Option<&Process>) -> Self {
        match process {
            Some(process) if process.start_ticks > 0 => Self(process.start_ticks, process.pid),
            _ => Self::default(),
        }
    }
}

/// Changes that may be told at once: so many, and one more every ten minutes.
#[derive(Debug)]
struct Budget {
    left: u64,
    most: u64,
    since: Millis,
}

impl Budget {
    fn new(most: u64, at: Millis) -> Self {
        Self { left: most, most, since: at }
    }

    fn spend(&mut self, at: Millis) -> bool {
        // A clock that was set back does not stop it.
        self.since = self.since.min(at);
        let more = at.since(self.since) / SELDOM_MS;
        self.left = self.left.saturating_add(more).min(self.most);
        // Parts of ten minutes count, but not while nothing is missing.
        self.since = if self.left == self.most { at } else { self.since + more * SELDOM_MS };
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}

/// What the process says that began last.
#[derive(Debug)]
pub(crate) struct Said {
    attributes: Vec<Attribute>,
    by: By,
    budget: Budget,
    /// What is to be said when there may be a change again.
    waits: Option<(By, Vec<Attribute>)>,
}

impl Said {
    pub(crate) fn new(attributes: Vec<Attribute>, by: By, at: Millis) -> Self {
        Self { attributes, by, budget: Budget::new(CHANGES, at), waits: None }
    }

    pub(crate) fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    pub(crate) fn by(&self) -> By {
        self.by
    }

    /// Takes up what `by` says, whoever spoke before. Whether it is another thing.
    pub(crate) fn replace(&mut self, by: By, mut attributes: Vec<Attribute>) -> bool {
        // What was told and is left out stays as it was: it is said to be empty.
        for (key, _) in &self.attributes {
            if attributes.iter().all(|(known, _)| known != key) {
                attributes.push((*key, "".into()));
            }
        }
        let changed = attributes != self.attributes;
        (self.attributes, self.by, self.waits) = (attributes, by, None);
        changed
    }

    /// Takes up what a process says that began later; where there were many changes, when there may be
    /// one again. Whether it is another thing.
    pub(crate) fn take(
        &mut self,
        by: By,
        at: Millis,
        attributes: impl FnOnce() -> Vec<Attribute>,
    ) -> bool {
        let last = self.waits.as_ref().map_or(self.by, |(by, _)| *by);
        if by <= last {
            return false;
        }
        self.waits = Some((by, attributes()));
        self.settle(at)
    }

    /// Forgets what waits, unless it `counts` who says it.
    pub(crate) fn keep(&mut self, counts: impl Fn(By) -> bool) {
        self.waits = self.waits.take().filter(|(by, _)| counts(*by));
    }

    /// Takes up what waits, if there may be a change again. Whether it is another thing.
    pub(crate) fn settle(&mut self, now: Millis) -> bool {
        let Some((by, attributes)) = self.waits.take() else { return false };
        let same = self.attributes.iter().filter(|(_, value)| !value.is_empty());
        if same.eq(attributes.iter().filter(|(_, value)| !value.is_empty())) {
            self.by = by;
            return false;
        }
        if self.budget.spend(now) {
            return self.replace(by, attributes);
        }
        self.waits = Some((by, attributes));
        false
    }
}

/// Ports of a service: those that it listens on.
#[derive(Debug)]
pub(crate) struct Listening {
    ports: BTreeMap<u16, Port>,
    /// There were ports.
    listened: bool,
    budget: Budget,
}

#[derive(Debug, Clone, Copy)]
struct Port {
    /// Sockets that listen on it.
    sockets: u32,
    opened: Millis,
    /// When the last of them was closed.
    left: Millis,
    /// It is told, unless it is beyond the bound.
    shown: bool,
}

impl Listening {
    pub(crate) fn new(at: Millis) -> Self {
        let budget = Budget::new(MAX_PORTS as u64, at);
        Self { ports: BTreeMap::new(), listened: false, budget }
    }

    /// Whether other ports are told than before; those beyond the bound are counted in `left_out`.
    pub(crate) fn open(&mut self, port: u16, at: Millis, left_out: &mut u64) -> bool {
        if port == 0 {
            return false;
        }
        if let Some(known) = self.ports.get_mut(&port) {
            known.sockets += 1;
            return false;
        }
        self.listened = true;
        // The port of a restart is told at once, the many that a transfer each opens are not.
        let shown = !self.is_shown_open() || self.budget.spend(at);
        self.ports.insert(port, Port { sockets: 1, opened: at, left: Millis(0), shown });
        if !shown {
            return false;
        }
        self.count(1, left_out);
        self.lowest().contains(&port)
    }

    pub(crate) fn close(&mut self, port: u16, at: Millis) {
        if let Some(entry) = self.ports.get_mut(&port) {
            entry.sockets = entry.sockets.saturating_sub(1);
            entry.left = at;
        }
    }

    /// Forgets ports that nobody listens on any more, and takes up those that stay. Whether other ports
    /// are told than before.
    pub(crate) fn settle(&mut self, now: Millis, left_out: &mut u64) -> bool {
        let mut changed = false;
        self.ports.retain(|_, port| {
            let stays = port.sockets > 0 || now.since(port.left) < REOPENS_MS;
            changed |= !stays && port.shown;
            stays
        });
        let alone = !self.is_shown_open();
        let mut more = 0;
        for port in self.ports.values_mut().filter(|port| !port.shown && port.sockets > 0) {
            if alone || now.since(port.opened) >= STANDS_MS {
                port.shown = true;
                more += 1;
            }
        }
        self.count(more, left_out);
        changed || more > 0
    }

    /// As they are written: the lowest 16, `0` where it listens no more, nothing where it never did.
    pub(crate) fn told(&self) -> String {
        let ports = list(self.lowest().into_iter());
        if ports.is_empty() && self.listened { "0".into() } else { ports }
    }

    /// Those that are told; what was left a moment ago only where there is room.
    fn lowest(&self) -> Vec<u16> {
        let shown = |is_open: bool| {
            let ports = self.ports.iter().filter(move |(_, port)| port.shown);
            ports.filter(move |(_, port)| (port.sockets > 0) == is_open).map(|(port, _)| *port)
        };
        let mut ports: Vec<u16> = shown(true).chain(shown(false)).take(MAX_PORTS).collect();
        ports.sort_unstable();
        ports
    }

    fn is_shown_open(&self) -> bool {
        self.ports.values().any(|port| port.shown && port.sockets > 0)
    }

    /// Counts those of the last `more` that are one too many.
    fn count(&self, more: usize, left_out: &mut u64) {
        let shown = self.ports.values().filter(|port| port.shown && port.sockets > 0).count();
        *left_out += shown.saturating_sub(MAX_PORTS).min(more) as u64;
    }
}

/// Server ports of an edge's connections: those that were met last.
#[derive(Debug)]
pub(crate) struct Met {
    /// In order of the ports.
    ports: Vec<Meeting>,
    changed: Millis,
}

#[derive(Debug, Clone, Copy)]
struct Meeting {
    port: u16,
    /// Connections open.
    open: u32,
    last: Millis,
}

impl Met {
    pub(crate) fn new() -> Self {
        Self { ports: Vec::new(), changed: Millis(0) }
    }

    /// One more connection to `port`. Whether that is new. One beyond 16 takes the place of the one that
    /// was not met for longest, seldom.
    pub(crate) fn meet(&mut self, port: u16, at: Millis) -> bool {
        if port == 0 {
            return false;
        }
        let met = Meeting { port, open: 1, last: at };
        let place = match self.ports.binary_search_by_key(&port, |met| met.port) {
            Ok(known) => {
                let known = &mut self.ports[known];
                known.open += 1;
                known.last = at.max(known.last);
                return false;
            }
            Err(place) => place,
        };
        if self.ports.len() < MAX_PORTS {
            self.ports.insert(place, met);
            self.changed = at;
            return true;
        }
        if at.since(self.changed) < SELDOM_MS {
            return false;
        }
        if let Some(oldest) = self.ports.iter_mut().min_by_key(|met| met.last) {
            *oldest = met;
            self.ports.sort_unstable_by_key(|met| met.port);
            self.changed = at;
        }
        true
    }

    /// One connection to `port` less.
    pub(crate) fn part(&mut self, port: u16, at: Millis) {
        if let Ok(known) = self.ports.binary_search_by_key(&port, |met| met.port) {
            let known = &mut self.ports[known];
            known.open = known.open.saturating_sub(1);
            known.last = at.max(known.last);
        }
    }

    /// Forgets what no connection went to for an hour, as long as there is another. Whether there was any.
    pub(crate) fn settle(&mut self, now: Millis) -> bool {
        let is_old = |met: &Meeting| met.open == 0 && now.since(met.last) >= FORGOTTEN_MS;
        if self.ports.len() < 2 || self.ports.iter().all(is_old) {
            return false;
        }
        let before = self.ports.len();
        self.ports.retain(|met| !is_old(met));
        self.ports.len() < before
    }

    pub(crate) fn told(&self) -> String {
        list(self.ports.iter().map(|met| met.port))
    }
}

/// Ports as they are written.
fn list(ports: impl Iterator<Item = u16>) -> String {
    let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
    ports.join(",")
}

#[cfg(test)]
#[path = "said_tests.rs"]
mod tests;
