//! What planes see to be different from one moment to the next: listeners, processes that begin again,
//! certificates, ways of packets.
//!
//! What comes in: what was seen of one thing. What goes out: a draft when that is news. Everything is
//! bounded, and what finds no room or comes too often is counted.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use holm_model::{Millis, NodeId};

use crate::{ChangeId, ChangeKind, Draft};

const MINUTE_MS: u64 = 60 * 1_000;
/// Most things of a kind that are remembered.
const MAX_THINGS: usize = 20_000;
/// What listens when the node begins to look is not new.
const LEARNING_MS: u64 = 2 * MINUTE_MS;
/// A service that ends and begins again within this restarts; later it is a new listener no more than a
/// restart, and nothing is said.
const RESTART_MS: u64 = 10 * MINUTE_MS;
/// One change of one kind about one thing within this time; others are counted.
const APART_MS: u64 = 5 * MINUTE_MS;
/// Most changes that one node sees in an hour.
const MAX_AN_HOUR: u64 = 600;
/// Two certificates whose ends differ by less may be the same: the remaining time is measured.
const SAME_END_MS: u64 = 60 * MINUTE_MS;
/// Most processes and ports of a service that are told apart.
const MAX_OPEN: usize = 64;

/// What a plane saw.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// A process listens.
    Listens {
        /// The service, as the topology calls it.
        service: &'a str,
        /// The process.
        pid: i64,
        /// The port.
        port: i64,
    },
    /// A process listens no more.
    ListensNoMore {
        /// The service.
        service: &'a str,
        /// The process.
        pid: i64,
        /// The port.
        port: i64,
    },
    /// What a server says of itself over TLS.
    Certificate {
        /// The host that was asked.
        target: &'a NodeId,
        /// Whose the certificate is, and who issued it.
        subject: &'a str,
        /// Who issued it.
        issuer: &'a str,
        /// When it ends.
        ends: Millis,
    },
    /// Packets take another way.
    Way {
        /// Where to.
        target: &'a NodeId,
        /// What is different, in the path plane's words.
        how: &'a str,
        /// The hops that are new on it, and those that are no longer on it: addresses with commas.
        added: &'a str,
        /// Those that are gone.
        removed: &'a str,
    },
}

/// What became of what was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchCounters {
    /// Changes that were told.
    pub told: u64,
    /// Changes of a thing that had changed shortly before.
    pub too_often: u64,
    /// Changes beyond the most of an hour.
    pub refused_rate: u64,
    /// Things that found no room.
    pub refused_full: u64,
}

#[derive(Debug, Default)]
struct Listening {
    open: Vec<(i64, i64)>,
    ports: Vec<i64>,
    ended: Option<(Millis, i64)>,
}

/// What one node saw last of each thing.
#[derive(Debug)]
pub struct Watch {
    began: Millis,
    listening: HashMap<Box<str>, Listening>,
    certificates: HashMap<NodeId, (Box<str>, Box<str>, Millis)>,
    told: HashMap<(&'static str, Box<str>), Millis>,
    hour: (u64, u64),
    counters: WatchCounters,
}

impl Watch {
    /// One that begins to look.
    pub fn new(now: Millis) -> Self {
        Self {
            began: now,
            listening: HashMap::new(),
            certificates: HashMap::new(),
            told: HashMap::new(),
            hour: (0, 0),
            counters: WatchCounters::default(),
        }
    }

    /// How often what was seen.
    pub fn counters(&self) -> WatchCounters {
        self.counters
    }

    /// Takes what was seen at `at`. A change and what it is called, if it is one: of things that several
    /// sites see the same at all of them, where `place` is empty; else `place` is where this is.
    pub fn take(&mut self, seen: &Seen<'_>, place: &str, at: Millis) -> Option<(ChangeId, Draft)> {
        let (word, thing, key, draft) = match *seen {
            Seen::Listens { service, pid, port } => {
                let (word, draft) = self.listens(service, pid, port, at)?;
                (word, service.to_owned(), format!("{}", at.0), draft)
            }
            Seen::ListensNoMore { service, pid, port } => {
                self.listens_no_more(service, pid, port, at);
                return None;
            }
            Seen::Certificate { target, subject, issuer, ends } => {
                let draft = self.certificate(target, subject, issuer, ends)?;
                // As far as the remaining time is measured the same wherever it is seen.
                let end = (ends.0 + SAME_END_MS / 2) / SAME_END_MS;
                ("certificate", target.to_string(), format!("{subject}/{end}"), draft)
            }
            Seen::Way { target, how, added, removed } => {
                let draft = way(target, how, added, removed);
                ("way", target.to_string(), format!("{}", at.0), draft)
            }
        };
        if !self.may_tell(word, &thing, at) {
            return None;
        }
        let id = ChangeId::of(&[
            b"seen",
            place.as_bytes(),
            word.as_bytes(),
            thing.as_bytes(),
            key.as_bytes(),
        ]);
        Some((id, Draft { at: Some(at), ..draft }))
    }

    fn listens(
        &mut self,
        service: &str,
        pid: i64,
        port: i64,
        at: Millis,
    ) -> Option<(&'static str, Draft)> {
        let learning = at < self.began + LEARNING_MS;
        if !self.listening.contains_key(service) && self.listening.len() >= MAX_THINGS {
            self.counters.refused_full += 1;
            return None;
        }
        let known = self.listening.entry(service.into()).or_default();
        let was_open = !known.open.is_empty();
        if !known.open.contains(&(pid, port)) && known.open.len() < MAX_OPEN {
            known.open.push((pid, port));
        }
        let new_port = !known.ports.contains(&port);
        if new_port && known.ports.len() < MAX_OPEN {
            known.ports.push(port);
        }
        let ended = known.ended.take();
        let named = |draft: Draft| Draft {
            words: vec![format!("service:{service}")],
            attributes: BTreeMap::from([
                ("process.pid".to_owned(), pid.to_string()),
                ("server.port".to_owned(), port.to_string()),
            ]),
            ..draft
        };
        if learning {
            return None;
        }
        if new_port {
            let title = format!("{service} listens at port {port}, new here");
            return Some(("listener", named(Draft::new(ChangeKind::Other, title))));
        }
        let (ended, before) = ended.filter(|_| !was_open)?;
        if before == pid || at.since(ended) > RESTART_MS {
            return None;
        }
        let title = format!("{service} began again as another process");
        Some(("restart", named(Draft::new(ChangeKind::Other, title))))
    }

    fn listens_no_more(&mut self, service: &str, pid: i64, port: i64, at: Millis) {
        let Some(known) = self.listening.get_mut(service) else { return };
        let before = known.open.len();
        known.open.retain(|open| *open != (pid, port));
        if before > 0 && known.open.is_empty() {
            known.ended = Some((at, pid));
        }
    }

    fn certificate(
        &mut self,
        target: &NodeId,
        subject: &str,
        issuer: &str,
        ends: Millis,
    ) -> Option<Draft> {
        if !self.certificates.contains_key(target) && self.certificates.len() >= MAX_THINGS {
            self.counters.refused_full += 1;
            return None;
        }
        let new = (Box::from(subject), Box::from(issuer), ends);
        let known = self.certificates.insert(target.clone(), new)?;
        let off = ends.since(known.2).max(known.2.since(ends));
        if *known.0 == *subject && *known.1 == *issuer && off < SAME_END_MS {
            return None;
        }
        let name = target.name();
        let mut draft = Draft::new(ChangeKind::Config, format!("{name} has another certificate"));
        draft.words = vec![target.to_string()];
        let mut put = |key: &str, value: &str| draft.attributes.insert(key.into(), value.into());
        put("tls.server.subject", subject);
        put("tls.server.issuer", issuer);
        put("tls.server.subject.before", &known.0);
        put("tls.server.issuer.before", &known.1);
        let days = |at: Millis| (at.0 / (24 * 60 * MINUTE_MS)).to_string();
        put("tls.server.ends_day", &days(ends));
        put("tls.server.ends_day.before", &days(known.2));
        Some(draft)
    }

    /// Whether a change may be told now: not one of the same thing again and again, and not too many.
    fn may_tell(&mut self, word: &'static str, thing: &str, at: Millis) -> bool {
        let key = (word, Box::from(thing));
        if self.told.get(&key).is_some_and(|last| at.since(*last).max(last.since(at)) < APART_MS) {
            self.counters.too_often += 1;
            return false;
        }
        let hour = at.0 / (60 * MINUTE_MS);
        if self.hour.0 != hour {
            self.hour = (hour, 0);
            self.told.retain(|_, last| at.since(*last) < APART_MS);
        }
        if self.hour.1 >= MAX_AN_HOUR {
            self.counters.refused_rate += 1;
            return false;
        }
        self.hour.1 += 1;
        self.told.insert(key, at);
        self.counters.told += 1;
        true
    }
}

fn way(target: &NodeId, how: &str, added: &str, removed: &str) -> Draft {
    let mut draft =
        Draft::new(ChangeKind::Route, format!("packets to {} take another way", target.name()));
    let hops = |list: &str| -> Vec<String> {
        list.split(',').filter(|hop| !hop.is_empty()).map(|hop| format!("hop:{hop}")).collect()
    };
    draft.words = vec![target.to_string()];
    draft.words.extend(hops(added));
    draft.words.extend(hops(removed));
    for (key, value) in [("path.change", how), ("hops.added", added), ("hops.removed", removed)] {
        draft.attributes.insert(key.into(), value.into());
    }
    draft
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = Millis(1_795_000_000_000);

    fn titles(watch: &mut Watch, seen: &[(Seen<'_>, u64)]) -> Vec<String> {
        let told = seen.iter().filter_map(|(seen, at)| watch.take(seen, "a", START + *at));
        told.map(|(_, draft)| draft.title).collect()
    }

    #[test]
    fn what_listened_before_is_not_new_and_what_begins_again_restarts() {
        let on = |pid, port| Seen::Listens { service: "web", pid, port };
        let off = |pid, port| Seen::ListensNoMore { service: "web", pid, port };
        let minute = |n: u64| n * MINUTE_MS;
        let mut watch = Watch::new(START);
        let told = titles(
            &mut watch,
            &[
                (on(1, 80), 5),
                (on(2, 80), 6),
                (off(1, 80), minute(3)),
                (on(3, 80), minute(4)),
                (off(2, 80), minute(5)),
                (off(3, 80), minute(5)),
                (on(4, 80), minute(6)),
                (on(4, 443), minute(20)),
                (on(4, 443), minute(21)),
                (off(4, 80), minute(30)),
                (off(4, 443), minute(30)),
                (on(5, 80), minute(50)),
            ],
        );
        assert_eq!(
            told,
            ["web began again as another process", "web listens at port 443, new here"]
        );
    }

    #[test]
    fn a_certificate_is_another_if_its_end_or_names_are() {
        let target: NodeId = "host:shop.example.org".parse().expect("valid");
        let seen = |subject, days: u64, jitter| Seen::Certificate {
            target: &target,
            subject,
            issuer: "CN=ca",
            ends: START + days * 24 * 60 * MINUTE_MS + jitter,
        };
        let mut watch = Watch::new(START);
        let hour = 60 * MINUTE_MS;
        let told = titles(
            &mut watch,
            &[
                (seen("CN=shop", 30, 0), 0),
                (seen("CN=shop", 30, 3_000), hour),
                (seen("CN=shop", 90, 0), 2 * hour),
                (seen("CN=shop", 90, 900), 3 * hour),
                (seen("CN=evil", 90, 0), 4 * hour),
            ],
        );
        assert_eq!(told.len(), 2, "{told:?}");
        let mut elsewhere = Watch::new(START);
        titles(&mut elsewhere, &[(seen("CN=shop", 30, 0), 0)]);
        let there = elsewhere.take(&seen("CN=shop", 90, 2_000), "", START + hour);
        let mut here = Watch::new(START);
        titles(&mut here, &[(seen("CN=shop", 30, 0), 0)]);
        let here = here.take(&seen("CN=shop", 90, 0), "", START + 2 * hour);
        assert_eq!(here.expect("told").0, there.expect("told").0, "two sites see one change");
    }

    #[test]
    fn what_flaps_is_told_once_and_all_of_it_is_bounded() {
        let host = |i: u32| -> NodeId { format!("host:h{i}.example").parse().expect("valid") };
        let mut watch = Watch::new(START);
        let target = host(0);
        let seen = Seen::Way { target: &target, how: "hops", added: "192.0.2.1", removed: "" };
        for second in 0..100 {
            watch.take(&seen, "a", START + second * 1_000);
        }
        assert_eq!((watch.counters().told, watch.counters().too_often), (1, 99));
        for i in 1..1_000 {
            let target = host(i);
            let seen = Seen::Way { target: &target, how: "hops", added: "", removed: "" };
            watch.take(&seen, "a", START + 100_000);
        }
        let WatchCounters { told, refused_rate, .. } = watch.counters();
        assert_eq!((told, refused_rate), (MAX_AN_HOUR, 1_000 - MAX_AN_HOUR));
    }
}
