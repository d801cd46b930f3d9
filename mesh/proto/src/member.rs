//! Membership: foca's SWIM, driven without I/O. Its datagrams travel in our control messages.

mod codec;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    Codec, Config, Foca, Identity, Member, Message, Notification, PeriodicParams, Runtime, State,
    Timer,
};
use holm_model::{NodeName, SiteId};
use rand::RngExt;
use rand::rngs::StdRng;

use codec::{SwimCodec, take_u16};

use crate::{Counters, Footprint, PeerKey, Timing};

/// Most members, those that are down included.
pub(crate) const MAX_MEMBERS: usize = 8_192;
/// Largest membership datagram, in bytes.
pub(crate) const MAX_SWIM_BYTES: usize = 8 * 1024;
const MAX_TIMERS: usize = 4 * MAX_MEMBERS;
/// Neighbours accused at once.
const MAX_ACCUSED: usize = 64;
/// Members that are down and that this node never met, before it forgets some.
const MAX_UNMET: usize = 1_024;
const FORGET_AT_ONCE: usize = 64;
/// Each so many members make a node probe that much more rarely, up to a bound.
const MEMBERS_PER_PACE: u64 = 40;
const MAX_PACE: u64 = 40;
/// Members looked at for a random one.
const RING_STEPS: usize = 64;

/// A node as the membership protocol names it.
#[derive(Debug, Clone)]
pub struct MemberId {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// Its routing handle.
    pub peer: PeerKey,
    /// Where it says it can be reached.
    pub addresses: Vec<SocketAddr>,
    /// Port of its HTTPS API.
    pub api_port: Option<u16>,
    /// Grows with every start of the node, and whenever it must contradict news of its death.
    pub generation: u64,
}

// Two claims of one start of one node are the same member, whatever addresses they carry.
impl PartialEq for MemberId {
    fn eq(&self, other: &Self) -> bool {
        self.peer == other.peer && self.generation == other.generation
    }
}

impl Eq for MemberId {}

impl Identity for MemberId {
    type Addr = PeerKey;

    fn renew(&self) -> Option<Self> {
        Some(Self { generation: self.generation.saturating_add(1), ..self.clone() })
    }

    fn addr(&self) -> PeerKey {
        self.peer
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.generation > adversary.generation
    }
}

/// What membership wants done after an event.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sends: Vec<(PeerKey, Vec<u8>)>,
    pub(crate) changed: bool,
}

/// A member as this node knows it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: MemberId,
    pub(crate) down: bool,
}

pub(crate) type Name = (SiteId, NodeName);

pub(crate) struct Membership {
    foca: Foca<MemberId, SwimCodec, StdRng, foca::NoCustomBroadcast>,
    /// What foca knows, by key and by name: foca itself can only be walked from end to end.
    known: BTreeMap<PeerKey, Known>,
    names: BTreeMap<Name, BTreeSet<PeerKey>>,
    down: BTreeSet<PeerKey>,
    doubled: BTreeSet<Name>,
    /// Members that a neighbour of ours lost, and until when they may defend themselves.
    accused: BTreeMap<PeerKey, (MemberId, u16, u64)>,
    suspect_ms: u64,
    /// How much slower than in a small mesh this node probes.
    pace: u64,
    timers: BinaryHeap<Reverse<Due>>,
    next_timer: u64,
    /// Timers dropped at the bound; read into the node's counters.
    pub(crate) counters: Counters,
}

impl Membership {
    pub(crate) fn new(me: MemberId, timing: &Timing, rng: StdRng) -> Self {
        Self {
            foca: Foca::new(me, config(timing), rng, SwimCodec),
            known: BTreeMap::new(),
            names: BTreeMap::new(),
            down: BTreeSet::new(),
            doubled: BTreeSet::new(),
            accused: BTreeMap::new(),
            suspect_ms: timing.suspect_to_down_ms,
            pace: 1,
            timers: BinaryHeap::new(),
            next_timer: 0,
            counters: Counters::default(),
        }
    }

    pub(crate) const fn me(&self) -> &MemberId {
        self.foca.identity()
    }

    /// Members in the order that foca keeps; those that are down included.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&MemberId, State)> {
        self.foca.iter_membership_state().map(|m| (m.id(), m.state()))
    }

    /// A member by its key.
    pub(crate) fn known(&self, peer: PeerKey) -> Option<&Known> {
        self.known.get(&peer)
    }

    /// Whether any member, up or down, has this name.
    pub(crate) fn has_name(&self, site: &SiteId, node: &NodeName) -> bool {
        let me = self.me();
        (me.site == *site && me.node == *node)
            || self.names.contains_key(&(site.clone(), node.clone()))
    }

    /// Names that more than one member bears, this node not counted.
    pub(crate) fn doubled(&self) -> impl Iterator<Item = (&Name, Vec<PeerKey>)> {
        self.doubled.iter().map(|name| (name, self.alive_named(name)))
    }

    /// Members of this name that are not down.
    pub(crate) fn alive_named(&self, name: &Name) -> Vec<PeerKey> {
        let keys = self.names.get(name).into_iter().flatten();
        keys.filter(|key| !self.down.contains(*key)).copied().collect()
    }

    /// Members that are down.
    pub(crate) const fn down(&self) -> &BTreeSet<PeerKey> {
        &self.down
    }

    /// Members that are not down, this node not counted.
    pub(crate) fn count_up(&self) -> usize {
        self.known.len().saturating_sub(self.down.len())
    }

    /// Members that are not down, in the order of their keys, which are hashes.
    pub(crate) fn up(&self) -> impl Iterator<Item = PeerKey> {
        self.known.iter().filter(|(_, known)| !known.down).map(|(peer, _)| *peer)
    }

    /// Some member that is up: the first from a random place in the ring of keys that `pick` takes.
    pub(crate) fn random_up(
        &self,
        rng: &mut StdRng,
        pick: impl Fn(PeerKey) -> bool,
    ) -> Option<PeerKey> {
        let mut from = PeerKey([0; 34]);
        from.0[..2].copy_from_slice(&[0x12, 0x20]);
        from.0[2..18].copy_from_slice(&rng.random::<u128>().to_be_bytes());
        let ring = self.known.range(from..).chain(self.known.range(..from));
        let mut fit = ring.take(RING_STEPS).filter(|(peer, known)| !known.down && pick(**peer));
        fit.next().map(|(peer, _)| *peer)
    }

    /// A connection to `peer` stands: it is alive. With `ask`, it is asked for others that it knows.
    pub(crate) fn connected(&mut self, peer: MemberId, ask: bool, mono_ms: u64) -> Outcome {
        self.accused.remove(&peer.peer);
        self.run(mono_ms, |foca, runtime| {
            foca.apply_many(std::iter::once(Member::alive(peer.clone())), false, &mut *runtime)?;
            if ask { foca.announce(peer, runtime) } else { Ok(()) }
        })
    }

    /// A neighbour was lost and cannot be reached again: the others hear that it is suspected, and it
    /// counts as down when it does not contradict. SWIM's own probes alone would take a period of the
    /// whole mesh.
    pub(crate) fn accuse(&mut self, peer: PeerKey, mono_ms: u64) -> Outcome {
        let found = self.foca.iter_membership_state().find(|member| member.id().peer == peer);
        let Some(member) = found.filter(|member| member.state() != State::Down) else {
            return Outcome::default();
        };
        if self.accused.contains_key(&peer) || self.accused.len() >= MAX_ACCUSED {
            return Outcome::default();
        }
        let (id, incarnation) = (member.id().clone(), member.incarnation());
        let until_ms = mono_ms.saturating_add(self.suspect_ms);
        self.accused.insert(peer, (id.clone(), incarnation, until_ms));
        self.counters.count("members_accused");
        let suspect = Member::new(id, incarnation, State::Suspect);
        self.run(mono_ms, |foca, runtime| foca.apply_many(std::iter::once(suspect), true, runtime))
    }

    /// Those who did not defend themselves count as down.
    fn sentence(&mut self, mono_ms: u64) -> Outcome {
        let mut outcome = Outcome::default();
        let over = self.accused.iter().filter(|(_, (_, _, until_ms))| *until_ms <= mono_ms);
        for peer in over.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            let Some((id, incarnation, _)) = self.accused.remove(&peer) else { continue };
            let still = self.foca.iter_membership_state().any(|member| {
                *member.id() == id
                    && member.incarnation() == incarnation
                    && member.state() == State::Suspect
            });
            if still {
                let down = Member::new(id, incarnation, State::Down);
                outcome.join(self.run(mono_ms, |foca, runtime| {
                    foca.apply_many(std::iter::once(down), true, runtime)
                }));
            }
        }
        outcome
    }

    /// Forgets some of the members that are down and of which `keep` knows nothing better, so that
    /// names that a liar made up do not stay for ever.
    pub(crate) fn forget_unmet(&mut self, keep: impl Fn(PeerKey) -> bool, mono_ms: u64) {
        if self.down.len() <= MAX_UNMET {
            return;
        }
        let unmet = self.down.iter().filter(|peer| !keep(**peer)).take(FORGET_AT_ONCE);
        for peer in unmet.copied().collect::<Vec<_>>() {
            let Some(known) = self.known.get(&peer).cloned() else { continue };
            self.counters.count("members_forgotten");
            self.forget(&known.id, mono_ms);
        }
    }

    /// Forgets a member that is down.
    pub(crate) fn forget(&mut self, id: &MemberId, mono_ms: u64) {
        self.run(mono_ms, |foca, runtime| {
            foca.handle_timer(Timer::RemoveDown(id.clone()), runtime)
        });
    }

    /// The larger the mesh, the more rarely each node probes: every member is still probed by someone
    /// about once a period, and the cost of a node stays the same.
    fn keep_pace(&mut self) {
        self.pace = (self.count_up() as u64 / MEMBERS_PER_PACE).clamp(1, MAX_PACE);
    }

    /// How long foca waits for a timer: its own time, stretched where the timer leads to messages to
    /// members without a connection. News travel along the connections that there are, and only when
    /// there are any, so they keep their pace.
    fn stretched(&self, timer: &Timer<MemberId>, after: Duration) -> u64 {
        let factor = match timer {
            // Whoever is probed without a connection is dialled first.
            Timer::SendIndirectProbe { .. } => self.pace.min(4),
            Timer::ProbeRandomMember(_)
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_) => self.pace,
            _ => 1,
        };
        u64::try_from(after.as_millis()).unwrap_or(u64::MAX).saturating_mul(factor)
    }

    /// Members known from an earlier start. Nobody else is told: they may be gone.
    pub(crate) fn remember(&mut self, members: Vec<MemberId>, mono_ms: u64) -> Outcome {
        let room = MAX_MEMBERS.saturating_sub(self.foca.iter_membership_state().len());
        let me = self.me().peer;
        let others = members.into_iter().filter(|id| id.peer != me).take(room);
        let alive: Vec<_> = others.map(Member::alive).collect();
        self.run(mono_ms, |foca, runtime| foca.apply_many(alive.into_iter(), false, runtime))
    }

    /// A peer says that it has seen a later start of us than this one (the clock was set back
    /// between two starts): take a generation above it, or we would count as dead.
    pub(crate) fn outlive(&mut self, known_generation: u64, mono_ms: u64) -> Outcome {
        let me = self.foca.identity();
        if known_generation <= me.generation {
            return Outcome::default();
        }
        let next = MemberId { generation: known_generation.saturating_add(1), ..me.clone() };
        self.run(mono_ms, |foca, runtime| foca.change_identity(next, runtime))
    }

    /// A membership datagram from the connected peer `from`, who must be the one who signed it.
    pub(crate) fn received(&mut self, from: PeerKey, bytes: &[u8], mono_ms: u64) -> Outcome {
        let sender = SwimCodec.decode_header(bytes).map(|header| header.src.peer);
        if sender != Ok(from) {
            self.counters.count("swim_refused");
            return Outcome::default();
        }
        if self.foca.iter_membership_state().len() >= MAX_MEMBERS {
            self.counters.count("swim_members_full");
            let Some(bytes) = self.without_strangers(bytes) else { return Outcome::default() };
            return self.run(mono_ms, |foca, runtime| foca.handle_data(&bytes, runtime));
        }
        self.run(mono_ms, |foca, runtime| foca.handle_data(bytes, runtime))
    }

    /// The datagram without members that are not known here: those that are go on being probed and
    /// judged although there is no room for more.
    fn without_strangers(&self, mut bytes: &[u8]) -> Option<Vec<u8>> {
        let header = SwimCodec.decode_header(&mut bytes).ok()?;
        self.known.get(&header.src.peer)?;
        let mut out = Vec::new();
        SwimCodec.encode_header(&header, &mut out).ok()?;
        if !bytes.has_remaining() {
            return Some(out);
        }
        let count = take_u16(&mut bytes).ok()?;
        let mut kept = Vec::new();
        for _ in 0..count {
            let member = SwimCodec.decode_member(&mut bytes).ok()?;
            if self.known.contains_key(&member.id().peer) {
                kept.push(member);
            }
        }
        out.put_u16(u16::try_from(kept.len()).ok()?);
        kept.iter().try_for_each(|member| SwimCodec.encode_member(member, &mut out)).ok()?;
        Some(out)
    }

    /// The same datagram for another receiver, if it is one that any member may have: news, and the
    /// question for others. What is meant for one member alone stays as it is.
    pub(crate) fn redirect(&self, mut bytes: &[u8], to: &MemberId) -> Option<Vec<u8>> {
        let mut header = SwimCodec.decode_header(&mut bytes).ok()?;
        if !matches!(header.message, Message::Gossip | Message::Announce) {
            return None;
        }
        header.dst = to.clone();
        let mut out = Vec::with_capacity(256 + bytes.len());
        SwimCodec.encode_header(&header, &mut out).ok()?;
        out.extend_from_slice(bytes);
        (out.len() <= MAX_SWIM_BYTES).then_some(out)
    }

    pub(crate) fn tick(&mut self, mono_ms: u64) -> Outcome {
        self.keep_pace();
        let mut outcome = self.sentence(mono_ms);
        // A timer may set another that is due at once: the bound keeps one tick finite.
        for _ in 0..MAX_TIMERS {
            if self.timers.peek().is_none_or(|Reverse(due)| due.at > mono_ms) {
                break;
            }
            let Some(Reverse(due)) = self.timers.pop() else { break };
            let next = self.run(mono_ms, |foca, runtime| foca.handle_timer(due.timer, runtime));
            outcome.join(next);
        }
        outcome
    }

    /// Tells the others that this node leaves on purpose.
    pub(crate) fn leave(&mut self, mono_ms: u64) -> Outcome {
        self.run(mono_ms, |foca, runtime| foca.leave_cluster(runtime))
    }

    pub(crate) fn footprint(&self, all: &mut Footprint, text: usize) {
        let members = self.foca.iter_membership_state().len();
        all.part("members", members, MAX_MEMBERS + 256, size_of::<MemberId>() + text);
        all.part("members_accused", self.accused.len(), MAX_ACCUSED, size_of::<MemberId>());
        all.part("swim_timers", self.timers.len(), MAX_TIMERS, size_of::<Due>() + text);
    }

    fn run(
        &mut self,
        mono_ms: u64,
        step: impl FnOnce(
            &mut Foca<MemberId, SwimCodec, StdRng, foca::NoCustomBroadcast>,
            &mut Effects,
        ) -> Result<(), foca::Error>,
    ) -> Outcome {
        let mut effects = Effects::default();
        if step(&mut self.foca, &mut effects).is_err() {
            self.counters.count("swim_errors");
        }
        for (after, timer) in effects.timers {
            if self.timers.len() >= MAX_TIMERS {
                self.counters.count("swim_timers_dropped");
                continue;
            }
            let at = mono_ms.saturating_add(self.stretched(&timer, after));
            self.timers.push(Reverse(Due { at, order: self.next_timer, timer }));
            self.next_timer += 1;
        }
        for (id, down) in effects.news {
            let down = down.unwrap_or_else(|| self.down.contains(&id.peer));
            self.note(id, down);
        }
        // Members that were down when first heard of come without a word, and so do those that foca
        // forgets.
        if self.foca.iter_membership_state().len() != self.known.len() {
            self.look_again();
        }
        Outcome { sends: effects.sends.into(), changed: effects.changed }
    }

    fn note(&mut self, id: MemberId, down: bool) {
        let name = (id.site.clone(), id.node.clone());
        let old = self.known.get(&id.peer).map(|old| (old.id.site.clone(), old.id.node.clone()));
        if let Some(old) = old.filter(|old| *old != name) {
            self.unname(&old, id.peer);
        }
        let keys = self.names.entry(name.clone()).or_default();
        keys.insert(id.peer);
        if keys.len() > 1 || (name.0 == self.me().site && name.1 == self.me().node) {
            self.doubled.insert(name);
        }
        if down {
            self.down.insert(id.peer);
        } else {
            self.down.remove(&id.peer);
        }
        self.known.insert(id.peer, Known { id, down });
    }

    fn unname(&mut self, name: &Name, peer: PeerKey) {
        if let Some(keys) = self.names.get_mut(name) {
            keys.remove(&peer);
            if keys.is_empty() {
                self.names.remove(name);
            }
        }
    }

    fn look_again(&mut self) {
        self.known.clear();
        self.names.clear();
        self.down.clear();
        self.doubled.clear();
        let all: Vec<(MemberId, bool)> = self
            .foca
            .iter_membership_state()
            .map(|member| (member.id().clone(), member.state() == State::Down))
            .collect();
        for (id, down) in all {
            self.note(id, down);
        }
    }
}

impl Outcome {
    fn join(&mut self, other: Self) {
        self.sends.extend(other.sends);
        self.changed |= other.changed;
    }
}

struct Due {
    at: u64,
    order: u64,
    timer: Timer<MemberId>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

#[derive(Default)]
struct Effects {
    sends: VecDeque<(PeerKey, Vec<u8>)>,
    timers: Vec<(Duration, Timer<MemberId>)>,
    /// Members of which foca said something, and whether they are down if it said that.
    news: Vec<(MemberId, Option<bool>)>,
    changed: bool,
}

impl Runtime<MemberId> for Effects {
    fn notify(&mut self, notification: Notification<'_, MemberId>) {
        match notification {
            Notification::MemberUp(id) => self.news.push((id.clone(), Some(false))),
            Notification::MemberDown(id) => self.news.push((id.clone(), Some(true))),
            Notification::Rename(_, id) => self.news.push((id.clone(), None)),
            _ => {}
        }
        self.changed |= !matches!(notification, Notification::Active | Notification::Idle);
    }

    fn send_to(&mut self, to: MemberId, data: &[u8]) {
        self.sends.push_back((to.peer, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<MemberId>, after: Duration) {
        self.timers.push((after, event));
    }
}

fn config(timing: &Timing) -> Config {
    let one = NonZeroUsize::MIN;
    let periodic = |frequency_ms: u64, num_members| {
        Some(PeriodicParams { frequency: Duration::from_millis(frequency_ms), num_members })
    };
    Config {
        probe_period: Duration::from_millis(timing.probe_period_ms),
        probe_rtt: Duration::from_millis(timing.probe_rtt_ms),
        num_indirect_probes: one.saturating_add(2),
        max_transmissions: NonZeroU8::MIN.saturating_add(9),
        suspect_to_down_after: Duration::from_millis(timing.suspect_to_down_ms),
        // Never forgotten: whoever is down is probed for ever, so that a split heals by itself.
        remove_down_after: None,
        max_packet_size: one.saturating_add(MAX_SWIM_BYTES - 1),
        notify_down_members: true,
        periodic_announce: periodic(timing.probe_period_ms.saturating_mul(10), one),
        periodic_announce_to_down_members: periodic(timing.probe_period_ms.saturating_mul(5), one),
        periodic_gossip: periodic(timing.probe_period_ms / 2 + 1, one.saturating_add(2)),
    }
}
