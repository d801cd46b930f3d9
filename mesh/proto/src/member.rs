//! Membership: foca's SWIM, driven without I/O. Its datagrams travel in our control messages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{
    Codec, Config, Foca, Header, Identity, Member, Message, Notification, PeriodicParams, Runtime,
    State, Timer,
};
use holm_model::{NodeName, SiteId};
use rand::rngs::StdRng;

use crate::wire::MAX_ADDRESSES;
use crate::{Counters, PeerKey, Timing};

/// Most members, those that are down included.
pub(crate) const MAX_MEMBERS: usize = 8_192;
/// Largest membership datagram, in bytes.
pub(crate) const MAX_SWIM_BYTES: usize = 8 * 1024;
const MAX_TIMERS: usize = 4 * MAX_MEMBERS;

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

pub(crate) struct Membership {
    foca: Foca<MemberId, SwimCodec, StdRng, foca::NoCustomBroadcast>,
    timers: BinaryHeap<Reverse<Due>>,
    next_timer: u64,
    /// Timers dropped at the bound; read into the node's counters.
    pub(crate) counters: Counters,
}

impl Membership {
    pub(crate) fn new(me: MemberId, timing: &Timing, rng: StdRng) -> Self {
        Self {
            foca: Foca::new(me, config(timing), rng, SwimCodec),
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

    /// A connection to `peer` stands: it is alive, and it may know others.
    pub(crate) fn connected(&mut self, peer: MemberId, mono_ms: u64) -> Outcome {
        self.run(mono_ms, |foca, runtime| {
            foca.apply_many(std::iter::once(Member::alive(peer.clone())), false, &mut *runtime)?;
            foca.announce(peer, runtime)
        })
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
            return Outcome::default();
        }
        self.run(mono_ms, |foca, runtime| foca.handle_data(bytes, runtime))
    }

    pub(crate) fn tick(&mut self, mono_ms: u64) -> Outcome {
        let mut outcome = Outcome::default();
        // A timer may set another that is due at once: the bound keeps one tick finite.
        for _ in 0..MAX_TIMERS {
            if self.timers.peek().is_none_or(|Reverse(due)| due.at > mono_ms) {
                break;
            }
            let Some(Reverse(due)) = self.timers.pop() else { break };
            let next = self.run(mono_ms, |foca, runtime| foca.handle_timer(due.timer, runtime));
            outcome.sends.extend(next.sends);
            outcome.changed |= next.changed;
        }
        outcome
    }

    /// Tells the others that this node leaves on purpose.
    pub(crate) fn leave(&mut self, mono_ms: u64) -> Outcome {
        self.run(mono_ms, |foca, runtime| foca.leave_cluster(runtime))
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
            let at = mono_ms.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            self.timers.push(Reverse(Due { at, order: self.next_timer, timer }));
            self.next_timer += 1;
        }
        Outcome { sends: effects.sends.into(), changed: effects.changed }
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
    changed: bool,
}

impl Runtime<MemberId> for Effects {
    fn notify(&mut self, notification: Notification<'_, MemberId>) {
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

/// Why a membership datagram does not decode or encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum SwimError {
    #[error("membership datagram is truncated")]
    Truncated,
    #[error("membership datagram names a site or node that is not valid")]
    BadName,
    #[error("membership datagram has a value that is not known")]
    UnknownValue,
    #[error("no room for another member in this datagram")]
    Full,
}

#[derive(Debug, Clone, Copy)]
struct SwimCodec;

impl Codec<MemberId> for SwimCodec {
    type Error = SwimError;

    fn encode_header(
        &mut self,
        header: &Header<MemberId>,
        buf: impl BufMut,
    ) -> Result<(), SwimError> {
        let mut out = Vec::with_capacity(256);
        put_member(&mut out, &header.src);
        out.put_u16(header.src_incarnation);
        put_member(&mut out, &header.dst);
        put_message(&mut out, &header.message);
        flush(&out, buf)
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<MemberId>, SwimError> {
        let src = take_member(&mut buf)?;
        let src_incarnation = take_u16(&mut buf)?;
        let dst = take_member(&mut buf)?;
        let message = take_message(&mut buf)?;
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(
        &mut self,
        member: &Member<MemberId>,
        buf: impl BufMut,
    ) -> Result<(), SwimError> {
        let mut out = Vec::with_capacity(128);
        put_member(&mut out, member.id());
        out.put_u16(member.incarnation());
        out.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        flush(&out, buf)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<MemberId>, SwimError> {
        let id = take_member(&mut buf)?;
        let incarnation = take_u16(&mut buf)?;
        let state = match take_u8(&mut buf)? {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(SwimError::UnknownValue),
        };
        Ok(Member::new(id, incarnation, state))
    }
}

fn flush(out: &[u8], mut buf: impl BufMut) -> Result<(), SwimError> {
    if buf.remaining_mut() < out.len() {
        return Err(SwimError::Full);
    }
    buf.put_slice(out);
    Ok(())
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Names have at most 63 bytes by construction, an address as text at most 58.
    out.put_u8(u8::try_from(text.len()).unwrap_or(0));
    out.put_slice(text.as_bytes());
}

fn put_member(out: &mut Vec<u8>, id: &MemberId) {
    out.put_slice(&id.peer.0);
    out.put_u64(id.generation);
    put_text(out, id.site.as_str());
    put_text(out, id.node.as_str());
    out.put_u16(id.api_port.unwrap_or(0));
    let addresses = &id.addresses[..id.addresses.len().min(MAX_ADDRESSES)];
    out.put_u8(u8::try_from(addresses.len()).unwrap_or(0));
    for address in addresses {
        put_text(out, &address.to_string());
    }
}

fn put_message(out: &mut Vec<u8>, message: &Message<MemberId>) {
    let mut with = |tag: u8, number: u8, member: Option<&MemberId>| {
        out.put_u8(tag);
        out.put_u8(number);
        if let Some(member) = member {
            put_member(out, member);
        }
    };
    match message {
        Message::Ping(number) => with(0, *number, None),
        Message::Ack(number) => with(1, *number, None),
        Message::PingReq { target, probe_number } => with(2, *probe_number, Some(target)),
        Message::IndirectPing { origin, probe_number } => with(3, *probe_number, Some(origin)),
        Message::IndirectAck { target, probe_number } => with(4, *probe_number, Some(target)),
        Message::ForwardedAck { origin, probe_number } => with(5, *probe_number, Some(origin)),
        Message::Announce => with(6, 0, None),
        Message::Feed => with(7, 0, None),
        Message::Gossip => with(8, 0, None),
        Message::Broadcast => with(9, 0, None),
        Message::TurnUndead => with(10, 0, None),
    }
}

fn take_message(buf: &mut impl Buf) -> Result<Message<MemberId>, SwimError> {
    let tag = take_u8(buf)?;
    let probe_number = take_u8(buf)?;
    Ok(match tag {
        0 => Message::Ping(probe_number),
        1 => Message::Ack(probe_number),
        2 => Message::PingReq { target: take_member(buf)?, probe_number },
        3 => Message::IndirectPing { origin: take_member(buf)?, probe_number },
        4 => Message::IndirectAck { target: take_member(buf)?, probe_number },
        5 => Message::ForwardedAck { origin: take_member(buf)?, probe_number },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        _ => return Err(SwimError::UnknownValue),
    })
}

fn take_member(buf: &mut impl Buf) -> Result<MemberId, SwimError> {
    let mut peer = [0; 34];
    buf.try_copy_to_slice(&mut peer).map_err(|_| SwimError::Truncated)?;
    let generation = buf.try_get_u64().map_err(|_| SwimError::Truncated)?;
    let site = SiteId::new(&take_text(buf)?).map_err(|_| SwimError::BadName)?;
    let node = NodeName::new(&take_text(buf)?).map_err(|_| SwimError::BadName)?;
    let api_port = Some(take_u16(buf)?).filter(|port| *port != 0);
    let count = usize::from(take_u8(buf)?);
    if count > MAX_ADDRESSES {
        return Err(SwimError::UnknownValue);
    }
    let addresses = (0..count)
        .map(|_| take_text(buf)?.parse().map_err(|_| SwimError::UnknownValue))
        .collect::<Result<_, _>>()?;
    Ok(MemberId { site, node, peer: PeerKey(peer), addresses, api_port, generation })
}

fn take_text(buf: &mut impl Buf) -> Result<String, SwimError> {
    let length = usize::from(take_u8(buf)?);
    let mut bytes = vec![0; length];
    buf.try_copy_to_slice(&mut bytes).map_err(|_| SwimError::Truncated)?;
    String::from_utf8(bytes).map_err(|_| SwimError::BadName)
}

fn take_u16(buf: &mut impl Buf) -> Result<u16, SwimError> {
    buf.try_get_u16().map_err(|_| SwimError::Truncated)
}

fn take_u8(buf: &mut impl Buf) -> Result<u8, SwimError> {
    buf.try_get_u8().map_err(|_| SwimError::Truncated)
}

/// What a peer is, at most once per peer: foca keeps one entry per address, and the address is the
/// peer key.
pub(crate) fn by_peer(members: &Membership) -> BTreeMap<PeerKey, (MemberId, State)> {
    members.all().map(|(id, state)| (id.peer, (id.clone(), state))).collect()
}
