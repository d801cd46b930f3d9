//! The bytes of a membership datagram; docs/formats/mesh-protocol.md describes them.

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Member, Message, State};
use holm_model::{NodeName, SiteId};

use super::MemberId;
use crate::PeerKey;
use crate::wire::MAX_ADDRESSES;

/// Why a membership datagram does not decode or encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SwimError {
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
pub(super) struct SwimCodec;

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

pub(super) fn take_u16(buf: &mut impl Buf) -> Result<u16, SwimError> {
    buf.try_get_u16().map_err(|_| SwimError::Truncated)
}

fn take_u8(buf: &mut impl Buf) -> Result<u8, SwimError> {
    buf.try_get_u8().map_err(|_| SwimError::Truncated)
}
