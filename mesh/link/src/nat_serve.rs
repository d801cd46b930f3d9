//! Answers to wishes on streams of `/holm/nat/1`.
//!
//! What comes in: wishes of peers, each on a stream of a judged connection. What goes out: places and
//! circuits at this relay, words on whether a peer is reached, datagrams that open a way. What must
//! never happen: that a wish makes this node send to an address that is not the asker's, unless the
//! asker is met through a circuit and the address is one of eight that get a few bytes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holm_mesh_proto::wire::{MAX_ADDRESSES, NatAnswer, NatRequest};
use libp2p_identity::PeerId;
use libp2p_swarm::Stream;
use tokio::io::AsyncWriteExt;
use tokio_util::compat::FuturesAsyncReadCompatExt;

use crate::frame;
use crate::handshake::{self, Way};
use crate::nat::Reach;
use crate::nat_streams::{ANSWER_MS, Arrived, Refused, Whole, ask, granted, keep, say};
use crate::peer::{canonical, peer_id, peer_key};
use crate::shared::Shared;
use crate::streams::Opener;

/// How long one address may take to answer a dial-back: a first packet that is lost comes again after a
/// second.
const DIAL_BACK: Duration = Duration::from_secs(2);
/// Addresses that a dial-back tries.
const DIAL_BACK_ADDRESSES: usize = 4;
/// When datagrams go out that open a way, in milliseconds from the moment agreed.
const PUNCHES_MS: [u64; 8] = [0, 20, 60, 140, 300, 620, 1_260, 2_540];

/// Things done for peers at once: one for each of them, so that no one peer has all.
#[derive(Debug)]
pub(crate) struct Turns {
    most: usize,
    taken: Mutex<BTreeSet<PeerId>>,
}

/// A peer's turn, until this is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    peer: PeerId,
}

impl Turns {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, taken: Mutex::new(BTreeSet::new()) }
    }

    /// `None` if the peer has a turn already, or there are none left.
    fn take(&self, peer: PeerId) -> Option<Turn<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.len() < self.most && taken.insert(peer)).then(|| Turn { turns: self, peer })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = self.turns.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.peer);
    }
}

/// Who asks, and on what.
pub(crate) struct Asker {
    pub(crate) peer: PeerId,
    /// Of the connection on which it asks.
    pub(crate) opener: Opener,
    /// Its address; `None` if the connection is a circuit.
    pub(crate) address: Option<SocketAddr>,
    /// Whether this node has a place there.
    pub(crate) is_our_relay: bool,
}

/// Answers one wish.
pub(crate) async fn serve(shared: Arc<Shared>, asker: Asker, stream: Stream) {
    let mut stream = stream.compat();
    let request = match frame::read_within::<NatRequest>(&mut stream, ANSWER_MS).await {
        Ok((request, _)) => request,
        Err(error) => {
            shared.count("nat_wishes_malformed");
            tracing::debug!(%error, peer = %asker.peer, "a wish about NAT did not come through");
            return;
        }
    };
    let result = match (request, asker.address) {
        (NatRequest::Reserve, Some(_)) => hold(&shared, asker, stream).await,
        (NatRequest::Connect(key), Some(_)) => match peer_id(key) {
            Some(to) => forward(&shared, asker.peer, to, stream).await,
            None => no(&mut stream, "that is no peer", false).await,
        },
        (NatRequest::Incoming(key), Some(address)) => match peer_id(key) {
            Some(from) if asker.is_our_relay => {
                let way = Way { address, via: Some(asker.peer) };
                take(&shared, from, way, stream).await
            }
            _ => no(&mut stream, "this node has no place at that relay", false).await,
        },
        (NatRequest::DialBack(addresses), Some(address)) => {
            dial_back(&shared, asker.peer, addresses, address, stream).await
        }
        (NatRequest::Punch(theirs), None) => meet(&shared, asker.peer, &theirs, stream).await,
        _ => no(&mut stream, "not on this kind of connection", true).await,
    };
    if let Err(error) = result {
        // Whoever asked is gone.
        tracing::debug!(error, "a wish about NAT was given up");
    }
}

async fn no(stream: &mut Whole, reason: impl ToString, no_relay: bool) -> Result<(), String> {
    say(stream, &NatAnswer::Refused { reason: reason.to_string(), no_relay }).await?;
    stream.shutdown().await.map_err(|error| error.to_string())
}

const NO_RELAY: &str =
    "it relays for nobody: it is behind NAT itself, or its mesh.relay.serve says so";

/// Why this node does not relay, and whether that is its last word for a while.
fn not_serving(shared: &Shared) -> Option<(&'static str, bool)> {
    let nat = shared.nat();
    match (nat.serving, nat.reach) {
        (true, _) => None,
        (false, Reach::Unknown) if shared.config.nat.relay.is_none() => {
            Some(("it does not know yet whether it is reached", false))
        }
        (false, _) => Some((NO_RELAY, true)),
    }
}

async fn hold(shared: &Arc<Shared>, asker: Asker, mut stream: Whole) -> Result<(), String> {
    if let Some((reason, no_relay)) = not_serving(shared) {
        return no(&mut stream, reason, no_relay).await;
    }
    let held = shared.relay.reserve(asker.peer, asker.opener, shared.mono_ms());
    let place = match held {
        Ok(place) => place,
        Err(denied) => {
            shared.count(denied.counter());
            return no(&mut stream, denied, false).await;
        }
    };
    shared.count("relay_places_given");
    say(&mut stream, &NatAnswer::Granted).await?;
    keep(stream).await;
    drop(place);
    Ok(())
}

async fn forward(
    shared: &Arc<Shared>,
    from: PeerId,
    to: PeerId,
    mut stream: Whole,
) -> Result<(), String> {
    if let Some((reason, no_relay)) = not_serving(shared) {
        return no(&mut stream, reason, no_relay).await;
    }
    let (circuit, opener) = match shared.relay.connect(from, to, shared.mono_ms()) {
        Ok(circuit) => circuit,
        Err(denied) => {
            shared.count(denied.counter());
            return no(&mut stream, denied, false).await;
        }
    };
    let Some(key) = peer_key(&from) else { return Ok(()) };
    let asked = ask(&opener, &NatRequest::Incoming(key), ANSWER_MS).await;
    let answered = asked.map_err(Refused::from).and_then(|(stream, answer)| {
        granted(answer)?;
        Ok(stream)
    });
    let other = match answered {
        Ok(other) => other,
        Err(refused) => {
            shared.count("relay_circuits_not_taken_refused");
            let reason = format!("the node does not take the circuit: {}", refused.reason);
            return no(&mut stream, reason, false).await;
        }
    };
    say(&mut stream, &NatAnswer::Granted).await?;
    shared.count("relay_circuits_given");
    let clock = || shared.mono_ms();
    let end = circuit.forward(stream, other, clock).await;
    shared.count(end.counter());
    Ok(())
}

async fn take(
    shared: &Arc<Shared>,
    from: PeerId,
    way: Way,
    mut stream: Whole,
) -> Result<(), String> {
    let Ok(room) = shared.quic.arrived.try_reserve() else {
        shared.count("circuits_arrived_dropped");
        return no(&mut stream, "too many circuits come at once", false).await;
    };
    say(&mut stream, &NatAnswer::Granted).await?;
    room.send(Arrived { from, way, stream });
    Ok(())
}

async fn dial_back(
    shared: &Arc<Shared>,
    peer: PeerId,
    addresses: Vec<SocketAddr>,
    seen: SocketAddr,
    mut stream: Whole,
) -> Result<(), String> {
    let Some(_turn) = shared.dial_backs.take(peer) else {
        shared.count("dial_backs_full");
        return no(&mut stream, "too many dial-backs at once", false).await;
    };
    let tries = to_try(&addresses, seen).into_iter().map(|address| async move {
        let answered = tokio::time::timeout(DIAL_BACK, handshake::dial_back(address, shared)).await;
        matches!(answered, Ok(Ok(who)) if who == peer).then_some(address)
    });
    let reached: Vec<SocketAddr> =
        futures::future::join_all(tries).await.into_iter().flatten().collect();
    shared.count(if reached.is_empty() { "dial_backs_in_vain" } else { "dial_backs_done" });
    say(&mut stream, &NatAnswer::Addresses(reached)).await?;
    stream.shutdown().await.map_err(|error| error.to_string())
}

/// Addresses where the asker is seen: nobody is made to knock at a third party's door.
fn to_try(addresses: &[SocketAddr], seen: SocketAddr) -> Vec<SocketAddr> {
    let mut own: Vec<SocketAddr> = Vec::new();
    for address in addresses.iter().map(|address| canonical(*address)) {
        if address.ip() == seen.ip() && address.port() != 0 && !own.contains(&address) {
            own.push(address);
        }
    }
    own.truncate(DIAL_BACK_ADDRESSES);
    own
}

/// Opens a way for what the peer sends from `theirs`, at the moment that it names.
async fn meet(
    shared: &Arc<Shared>,
    peer: PeerId,
    theirs: &[SocketAddr],
    mut stream: Whole,
) -> Result<(), String> {
    let ours = shared.meeting_points();
    if !shared.config.nat.hole_punching || ours.is_empty() {
        return no(&mut stream, "it does not meet others: mesh.hole_punching is off", false).await;
    }
    let Some(_turn) = shared.punches.take(peer) else {
        shared.count("punches_full");
        return no(&mut stream, "too many meetings at once", false).await;
    };
    say(&mut stream, &NatAnswer::Addresses(ours)).await?;
    let (now, _) = frame::read_within::<NatRequest>(&mut stream, ANSWER_MS)
        .await
        .map_err(|error| error.to_string())?;
    if now != NatRequest::Now {
        return Err("the peer did not say when".to_owned());
    }
    shared.count("punches_answered");
    let begun = tokio::time::Instant::now();
    for at_ms in PUNCHES_MS {
        tokio::time::sleep_until(begun + Duration::from_millis(at_ms)).await;
        theirs.iter().take(MAX_ADDRESSES).for_each(|address| shared.knock(*address));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_peer_has_two_turns_and_there_are_so_many() {
        let peer = |number: u8| {
            let mut bytes = vec![0x12, 0x20];
            bytes.extend([number; 32]);
            PeerId::from_bytes(&bytes).expect("a SHA-256 multihash")
        };
        let turns = Turns::new(2);
        let one = turns.take(peer(1)).expect("free");
        assert!(turns.take(peer(1)).is_none());
        let two = turns.take(peer(2)).expect("free");
        assert!(turns.take(peer(3)).is_none());
        drop(one);
        assert!(turns.take(peer(3)).is_some());
        assert!(turns.take(peer(1)).is_some(), "the one before has ended");
        drop(two);
    }

    #[test]
    fn a_dial_back_goes_only_where_the_asker_is_seen() {
        let at = |text: &str| -> SocketAddr { text.parse().expect("valid") };
        let seen = at("192.0.2.1:50000");
        let asked = [
            at("198.51.100.9:53"),
            at("192.0.2.1:4747"),
            at("[::ffff:192.0.2.1]:4747"),
            at("192.0.2.1:0"),
            at("127.0.0.1:4747"),
            at("[::ffff:192.0.2.1]:4748"),
        ];
        assert_eq!(to_try(&asked, seen), [at("192.0.2.1:4747"), at("192.0.2.1:4748")]);
        let many: Vec<SocketAddr> = (1..=8).map(|port| SocketAddr::new(seen.ip(), port)).collect();
        assert_eq!(to_try(&many, seen).len(), DIAL_BACK_ADDRESSES);
    }
}
