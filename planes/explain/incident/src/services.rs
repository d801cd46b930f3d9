//! Connections of this machine become signals: a service does not reach a server any more that it reached,
//! or begins again and again.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashMap;
use holm_model::{Millis, NodeId, NodeKind, SIGNAL_KEY, Severity, Signal};

/// Most servers and services that are followed; others are passed over and counted.
const MAX_FOLLOWED: usize = 65_536;
/// What is not heard of for so long is forgotten, in milliseconds.
const FORGET_MS: u64 = 60 * 60 * 1_000;
/// Failures without a success between them that are said, and how long they must last.
const FAILURES: u32 = 5;
const FAILS_FOR_MS: u64 = 30 * 1_000;
/// Without an attempt for so long nobody knows any more, in milliseconds.
const QUIET_MS: u64 = 15 * 60 * 1_000;
/// So many new beginnings within this are said; without one for as long it is over.
const RESTARTS: usize = 3;
const RESTART_WINDOW_MS: u64 = 10 * 60 * 1_000;
/// Most listening sockets of a service that are told apart.
const MAX_OPEN: usize = 256;

/// What a connection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It came about.
    Connected,
    /// It did not.
    Failed,
}

#[derive(Debug)]
struct Server {
    last: Millis,
    /// Failures since the last success, and when the first of them was.
    failures: u32,
    since: Millis,
    /// What is said, while it is.
    said: Option<Box<(NodeId, Box<str>)>>,
}

#[derive(Debug, Default)]
struct Service {
    /// Process and port.
    open: Vec<(i64, i64)>,
    /// The process that listened last, once nothing listens.
    ended: Option<i64>,
    /// Its latest beginnings after the first.
    begun: Vec<Millis>,
    raised: bool,
    last: Millis,
}

/// Follows what connects and listens on this machine.
#[derive(Debug, Default)]
pub struct ServiceWatch {
    keys: RandomState,
    /// By service, address and port.
    servers: HashMap<u64, Server>,
    services: HashMap<Box<str>, Service>,
    refused: u64,
}

impl Service {
    /// Something of it was seen at `at`. Where the clock was set back nothing of it was later.
    fn dated(&mut self, at: Millis) {
        if at < self.last && !at.is_late_after(self.last) {
            self.last = at;
            self.begun.iter_mut().for_each(|begun| *begun = at.min(*begun));
        }
        self.last = self.last.max(at);
    }
}

impl ServiceWatch {
    /// A watch that follows nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a connection that a service of this machine tried to open; the signal that follows.
    pub fn connected(
        &mut self,
        (service, address, port): (&str, &str, i64),
        tried: Tried,
        at: Millis,
    ) -> Option<Signal> {
        let key = self.keys.hash_one((service, address, port));
        let Some(server) = self.servers.get_mut(&key) else {
            // What never was reached is not missed.
            if tried == Tried::Connected {
                if self.servers.len() >= MAX_FOLLOWED {
                    self.refused += 1;
                } else {
                    let server = Server { last: at, failures: 0, since: at, said: None };
                    self.servers.insert(key, server);
                }
            }
            return None;
        };
        let is_set_back = at < server.last && !at.is_late_after(server.last);
        server.last = if is_set_back { at } else { server.last.max(at) };
        server.since = if is_set_back { server.since.min(at) } else { server.since };
        if tried == Tried::Connected {
            server.failures = 0;
            let (target, key) = *server.said.take()?;
            return Some(failing(
                target,
                &key,
                at,
                false,
                format!("{service} reaches {address}:{port}"),
            ));
        }
        server.failures = server.failures.saturating_add(1);
        if server.failures == 1 {
            server.since = at;
        }
        let lasts = server.failures >= FAILURES && at.since(server.since) >= FAILS_FOR_MS;
        if !lasts || server.said.is_some() {
            return None;
        }
        let target = NodeId::observed(NodeKind::Host, address).ok()?;
        let key = format!("{service} > {address}:{port}");
        let tries = server.failures;
        server.said = Some(Box::new((target.clone(), key.as_str().into())));
        let text = format!(
            "{service} does not reach {address}:{port} any more: {tries} connections failed, none came about"
        );
        Some(failing(target, &key, at, true, text))
    }

    /// Takes that a process of a service listens at a port; the signal that follows.
    pub fn listens(&mut self, service: &str, pid: i64, port: i64, at: Millis) -> Option<Signal> {
        if !self.services.contains_key(service) && self.services.len() >= MAX_FOLLOWED {
            self.refused += 1;
            return None;
        }
        let known = self.services.entry(service.into()).or_default();
        known.dated(at);
        if !known.open.contains(&(pid, port)) && known.open.len() < MAX_OPEN {
            known.open.push((pid, port));
        }
        let before = known.ended.take()?;
        if before == pid {
            return None;
        }
        known.begun.retain(|begun| at.since(*begun) < RESTART_WINDOW_MS);
        if known.begun.len() >= MAX_OPEN {
            known.begun.remove(0);
        }
        known.begun.push(at);
        if known.raised || known.begun.len() < RESTARTS {
            return None;
        }
        known.raised = true;
        let minutes = RESTART_WINDOW_MS / 60_000;
        let text = format!(
            "{service} began {RESTARTS} times anew within {minutes} minutes, each time as another process"
        );
        restarting(service, at, true, text)
    }

    /// Takes that it listens there no more.
    pub fn listens_no_more(&mut self, service: &str, pid: i64, port: i64, at: Millis) {
        let Some(known) = self.services.get_mut(service) else { return };
        known.dated(at);
        let before = known.open.len();
        known.open.retain(|open| *open != (pid, port));
        if before > 0 && known.open.is_empty() {
            known.ended = Some(pid);
        }
    }

    /// What is over because it is not heard of any more, and forgets what is old.
    pub fn tend(&mut self, now: Millis) -> Vec<Signal> {
        let mut over = Vec::new();
        for server in self.servers.values_mut() {
            if now.since(server.last) >= QUIET_MS
                && let Some(said) = server.said.take()
            {
                let (target, key) = *said;
                let text = format!("{key}: nobody tries any more");
                over.push(failing(target, &key, now, false, text));
                server.failures = 0;
            }
        }
        for (service, known) in &mut self.services {
            let last = known.begun.last().copied().unwrap_or_default();
            if known.raised && now.since(last) >= RESTART_WINDOW_MS {
                known.raised = false;
                over.extend(restarting(service, now, false, format!("{service} stays")));
            }
        }
        self.servers.retain(|_, server| now.since(server.last) < FORGET_MS);
        self.services.retain(|_, known| {
            known.raised || !known.open.is_empty() || now.since(known.last) < FORGET_MS
        });
        over
    }

    /// What was passed over because too much is followed.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

fn failing(target: NodeId, key: &str, at: Millis, raised: bool, text: String) -> Signal {
    let mut signal = Signal::new("host", "connections_failing", target, raised, at);
    (signal.severity, signal.text) = (Severity::Warning, text.into());
    signal.attributes.insert(SIGNAL_KEY.into(), key.into());
    signal
}

fn restarting(service: &str, at: Millis, raised: bool, text: String) -> Option<Signal> {
    let target = NodeId::observed(NodeKind::Service, service).ok()?;
    let mut signal = Signal::new("host", "service_restarting", target, raised, at);
    (signal.severity, signal.text) = (Severity::Warning, text.into());
    Some(signal)
}
