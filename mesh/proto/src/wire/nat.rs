//! What nodes ask of each other where a NAT stands between them.

use std::net::SocketAddr;

use prost::Message;

use super::generated::nat_answer::Body as Answer;
use super::generated::nat_request::Body as Request;
use super::{Frame, MAX_ADDRESSES, WireError, bad, decode, generated, missing, peer_key};
use crate::PeerKey;

/// Largest frame of a NAT stream, in bytes.
const MAX_NAT_BYTES: usize = 4 * 1024;
/// Longest reason of a refusal, in bytes; longer ones are cut when they are sent.
const MAX_REASON_BYTES: usize = 256;

/// A wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatRequest {
    /// A circuit to this peer.
    Connect(PeerKey),
    /// Is the sender reached under these addresses?
    DialBack(Vec<SocketAddr>),
    /// From the relay: a circuit from this peer.
    Incoming(PeerKey),
    /// Begin to send to the addresses that were told before.
    Now,
    /// Over a circuit: where the sender may be met.
    Punch(Vec<SocketAddr>),
    /// Keep a place for circuits to the sender while the stream lives.
    Reserve,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NatAnswer {
    /// Of a dial-back: where the asker answered. Of a punch: where to meet.
    Addresses(Vec<SocketAddr>),
    /// It is done.
    Granted,
    /// It is not.
    Refused {
        /// Why, in a sentence.
        reason: String,
        /// The answerer relays for nobody.
        no_relay: bool,
    },
}

impl Frame for NatRequest {
    const WHAT: &'static str = "nat request";
    const LIMIT: usize = MAX_NAT_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        let body = match self {
            Self::Connect(peer) => Request::Connect(peer.0.to_vec()),
            Self::DialBack(addresses) => Request::DialBack(said(addresses)),
            Self::Incoming(peer) => Request::Incoming(peer.0.to_vec()),
            Self::Now => Request::Now(generated::Nothing {}),
            Self::Punch(addresses) => Request::Punch(said(addresses)),
            Self::Reserve => Request::Reserve(generated::Nothing {}),
        };
        generated::NatRequest { body: Some(body) }.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let request: generated::NatRequest = decode(Self::WHAT, bytes, Self::LIMIT)?;
        Ok(match request.body.ok_or_else(|| missing(Self::WHAT))? {
            Request::Connect(peer) => Self::Connect(peer_key(Self::WHAT, "connect", &peer)?),
            Request::DialBack(all) => Self::DialBack(heard(Self::WHAT, &all)?),
            Request::Incoming(peer) => Self::Incoming(peer_key(Self::WHAT, "incoming", &peer)?),
            Request::Now(_) => Self::Now,
            Request::Punch(all) => Self::Punch(heard(Self::WHAT, &all)?),
            Request::Reserve(_) => Self::Reserve,
        })
    }
}

impl Frame for NatAnswer {
    const WHAT: &'static str = "nat answer";
    const LIMIT: usize = MAX_NAT_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        let body = match self {
            Self::Addresses(addresses) => Answer::Addresses(said(addresses)),
            Self::Granted => Answer::Granted(generated::Nothing {}),
            Self::Refused { reason, no_relay } => {
                let end = (0..=reason.len().min(MAX_REASON_BYTES)).rev();
                let end = end.into_iter().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
                let reason = reason[..end].to_owned();
                Answer::Refused(generated::NatRefusal { reason, no_relay: *no_relay })
            }
        };
        generated::NatAnswer { body: Some(body) }.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let answer: generated::NatAnswer = decode(Self::WHAT, bytes, Self::LIMIT)?;
        Ok(match answer.body.ok_or_else(|| missing(Self::WHAT))? {
            Answer::Addresses(all) => Self::Addresses(heard(Self::WHAT, &all)?),
            Answer::Granted(_) => Self::Granted,
            Answer::Refused(refusal) if refusal.reason.len() > MAX_REASON_BYTES => {
                return Err(bad(Self::WHAT, "reason", format!("over {MAX_REASON_BYTES} bytes")));
            }
            Answer::Refused(refusal) => {
                Self::Refused { reason: refusal.reason, no_relay: refusal.no_relay }
            }
        })
    }
}

fn said(addresses: &[SocketAddr]) -> generated::Addresses {
    let addresses = addresses.iter().take(MAX_ADDRESSES).map(ToString::to_string).collect();
    generated::Addresses { addresses }
}

fn heard(what: &'static str, said: &generated::Addresses) -> Result<Vec<SocketAddr>, WireError> {
    if said.addresses.len() > MAX_ADDRESSES {
        return Err(bad(what, "addresses", format!("more than {MAX_ADDRESSES}")));
    }
    let parse = |text: &String| text.parse().map_err(|error| bad(what, "addresses", error));
    said.addresses.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_and_answers_go_there_and_back() {
        let addresses: Vec<SocketAddr> =
            ["192.0.2.1:4747", "[2001:db8::1]:1"].map(|text| text.parse().expect("valid")).into();
        let peer = PeerKey([7; 34]);
        for request in [
            NatRequest::Connect(peer),
            NatRequest::DialBack(addresses.clone()),
            NatRequest::Incoming(peer),
            NatRequest::Now,
            NatRequest::Punch(Vec::new()),
            NatRequest::Reserve,
        ] {
            assert_eq!(NatRequest::from_bytes(&request.to_bytes()), Ok(request));
        }
        let refused = NatAnswer::Refused { reason: "full".to_owned(), no_relay: true };
        for answer in [NatAnswer::Addresses(addresses), NatAnswer::Granted, refused] {
            assert_eq!(NatAnswer::from_bytes(&answer.to_bytes()), Ok(answer));
        }
    }

    #[test]
    fn what_is_too_much_or_nothing_is_refused() {
        let nine = vec!["192.0.2.1:1".to_owned(); MAX_ADDRESSES + 1];
        let body = Request::Punch(generated::Addresses { addresses: nine });
        let bytes = generated::NatRequest { body: Some(body) }.encode_to_vec();
        assert!(NatRequest::from_bytes(&bytes).is_err());
        let bad = generated::Addresses { addresses: vec!["example.org:1".to_owned()] };
        let bytes = generated::NatRequest { body: Some(Request::DialBack(bad)) }.encode_to_vec();
        assert!(NatRequest::from_bytes(&bytes).is_err());
        assert!(NatRequest::from_bytes(&[]).is_err());
        assert!(NatAnswer::from_bytes(&[0xff; 8]).is_err());
        let long = NatAnswer::Refused { reason: "ä".repeat(300), no_relay: false };
        let cut = NatAnswer::from_bytes(&long.to_bytes()).expect("cut where a letter ends");
        assert!(matches!(cut, NatAnswer::Refused { reason, .. } if reason.len() == 256));
    }
}
