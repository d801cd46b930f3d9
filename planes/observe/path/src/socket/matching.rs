//! Which probe a reply belongs to.
//!
//! Every probe under way has a key of its own: target, protocol, port of the flow, and a token drawn
//! for it. Two probes never have the same key, whichever traces they are of; and what is quoted of the
//! nonce must be the probe's.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::wire::{Answer, Heard, Identity, Meaning, Packet, Protocol};

/// Most probes that are remembered.
const MOST: usize = 100_000;
/// How long a probe is remembered: replies that come later answer nothing.
const MEMORY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    protocol: Protocol,
    target: IpAddr,
    target_port: u16,
    port: u16,
    token: u32,
}

/// A probe that may still be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outstanding {
    /// The trace.
    pub trace: u32,
    /// The probe's number within it.
    pub number: u32,
    nonce: u64,
    checksum: u16,
    sent: Duration,
}

/// What a reply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    /// A reply to this probe.
    Probe {
        /// The trace.
        trace: u32,
        /// The probe's number within it.
        number: u32,
        /// Whether the probe was rewritten on its way: checksum or identification are not as sent.
        rewritten: bool,
    },
    /// It has a probe's key, and not its nonce.
    Forged,
    /// No probe of ours.
    Foreign,
}

/// The probes that may still be answered.
#[derive(Debug, Default)]
pub struct Matching {
    probes: HashMap<Key, Outstanding>,
    by_age: VecDeque<(Duration, Key)>,
}

impl Matching {
    /// Remembers a probe; false if another has its key, or there are too many: draw another identity,
    /// or wait.
    pub fn remember(&mut self, packet: &Packet, trace: u32, number: u32, now: Duration) -> bool {
        while self.by_age.front().is_some_and(|(sent, _)| *sent + MEMORY < now) {
            if let Some((sent, key)) = self.by_age.pop_front()
                && self.probes.get(&key).is_some_and(|probe| probe.sent == sent)
            {
                self.probes.remove(&key);
            }
        }
        let key = Key {
            protocol: packet.protocol,
            target: packet.target,
            target_port: if packet.protocol == Protocol::Icmp { 0 } else { packet.target_port },
            port: packet.flow.port,
            token: token_of(packet.protocol, packet.identity),
        };
        if self.probes.len() >= MOST || self.probes.contains_key(&key) {
            return false;
        }
        let checksum = match packet.protocol {
            Protocol::Udp => packet.identity.token,
            Protocol::Icmp => packet.flow.checksum,
            Protocol::Tcp => 0,
        };
        let nonce = packet.identity.nonce;
        self.probes.insert(key, Outstanding { trace, number, nonce, checksum, sent: now });
        self.by_age.push_back((now, key));
        true
    }

    /// Forgets the probes of a trace that is over; replies to them are foreign from now on.
    pub fn forget(&mut self, trace: u32) {
        self.probes.retain(|_, probe| probe.trace != trace);
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.probes.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    /// Which probe a reply belongs to.
    pub fn find(&self, heard: &Heard) -> Matched {
        match &heard.answer {
            Answer::Echo { identifier, sequence, nonce } => {
                let key = Key {
                    protocol: Protocol::Icmp,
                    target: heard.from,
                    target_port: 0,
                    port: *identifier,
                    token: u32::from(*sequence),
                };
                // A reply has the whole payload.
                self.probe(&key, nonce.or(Some(0)), |_| false)
            }
            Answer::Segment { from_port, to_port, sequence } => {
                let key = Key {
                    protocol: Protocol::Tcp,
                    target: heard.from,
                    target_port: *from_port,
                    port: *to_port,
                    token: *sequence,
                };
                self.probe(&key, None, |_| false)
            }
            Answer::Error { meaning: Meaning::TooBig(_), .. } => Matched::Foreign,
            Answer::Error { quote, .. } => {
                let key = |token: u32| Key {
                    protocol: quote.protocol,
                    target: quote.target,
                    target_port: quote.target_port,
                    port: quote.port,
                    token,
                };
                match quote.protocol {
                    Protocol::Udp => {
                        // A NAT sets the checksum anew and leaves the identification; some set that anew.
                        let by_checksum =
                            self.probe(&key(quote.checksum.into()), quote.nonce, |_| false);
                        let by_identification = || {
                            quote.identification.map_or(Matched::Foreign, |token| {
                                self.probe(&key(token.into()), quote.nonce, |_| true)
                            })
                        };
                        match by_checksum {
                            Matched::Probe { .. } => by_checksum,
                            _ => match by_identification() {
                                found @ Matched::Probe { .. } => found,
                                Matched::Forged => Matched::Forged,
                                Matched::Foreign => by_checksum,
                            },
                        }
                    }
                    Protocol::Icmp => self.probe(&key(quote.sequence), quote.nonce, |probe| {
                        probe.checksum != quote.checksum
                    }),
                    Protocol::Tcp => self.probe(&key(quote.sequence), None, |_| false),
                }
            }
        }
    }

    fn probe(
        &self,
        key: &Key,
        nonce: Option<u64>,
        rewritten: impl Fn(&Outstanding) -> bool,
    ) -> Matched {
        let Some(probe) = self.probes.get(key) else { return Matched::Foreign };
        if nonce.is_some_and(|nonce| nonce != probe.nonce) {
            return Matched::Forged;
        }
        Matched::Probe { trace: probe.trace, number: probe.number, rewritten: rewritten(probe) }
    }
}

fn token_of(protocol: Protocol, identity: Identity) -> u32 {
    match protocol {
        Protocol::Tcp => identity.sequence(),
        Protocol::Udp | Protocol::Icmp => identity.token.into(),
    }
}
