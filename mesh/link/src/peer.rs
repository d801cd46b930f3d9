//! A peer's names: libp2p's PeerId, the protocol's key, libp2p's addresses.

use std::net::{IpAddr, SocketAddr};

use holm_mesh_proto::PeerKey;
use libp2p_identity::{PeerId, PublicKey, ecdsa};
use multiaddr::{Multiaddr, Protocol};

/// The libp2p key in a P-256 SubjectPublicKeyInfo.
pub(crate) fn public_key(spki_der: &[u8]) -> Option<PublicKey> {
    ecdsa::PublicKey::try_decode_der(spki_der).ok().map(PublicKey::from)
}

/// The routing handle of a P-256 key, from its SubjectPublicKeyInfo in DER. `None` for any other key.
pub fn peer_id_of(spki_der: &[u8]) -> Option<PeerId> {
    public_key(spki_der).map(|key| key.to_peer_id())
}

/// The PeerId in bytes. `None` for a PeerId that is not a SHA-256 hash, which no P-256 key has.
pub(crate) fn peer_key(peer: &PeerId) -> Option<PeerKey> {
    peer.to_bytes().try_into().ok().map(PeerKey)
}

/// The PeerId of the bytes. `None` for bytes that are no PeerId: they came from another node.
pub(crate) fn peer_id(key: PeerKey) -> Option<PeerId> {
    PeerId::from_bytes(&key.0).ok()
}

/// `/ip4|ip6/…/udp/…/quic-v1`.
pub(crate) fn to_multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip().to_canonical())
        .with(Protocol::Udp(address.port()))
        .with(Protocol::QuicV1)
}

/// The socket address and expected peer of `/ip4|ip6/…/udp/…/quic-v1[/p2p/…]`.
pub(crate) fn from_multiaddr(address: &Multiaddr) -> Option<(SocketAddr, Option<PeerId>)> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Some(Protocol::Udp(port)) = parts.next() else { return None };
    let Some(Protocol::QuicV1) = parts.next() else { return None };
    let peer = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => Some(peer),
        Some(_) => return None,
    };
    parts.next().is_none().then_some((SocketAddr::new(ip, port), peer))
}

/// The address of `peer` through whatever relay there is: `/p2p-circuit/p2p/…`.
pub(crate) fn circuit_to(peer: PeerId) -> Multiaddr {
    Multiaddr::empty().with(Protocol::P2pCircuit).with(Protocol::P2p(peer))
}

/// The peer of [`circuit_to`].
pub(crate) fn from_circuit(address: &Multiaddr) -> Option<PeerId> {
    let mut parts = address.iter();
    match (parts.next()?, parts.next()?, parts.next()) {
        (Protocol::P2pCircuit, Protocol::P2p(peer), None) => Some(peer),
        _ => None,
    }
}

/// `address`, with an IPv4 address that was mapped into IPv6 as IPv4.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_there_and_back() {
        for text in ["127.0.0.1:7443", "[2001:db8::1]:1"] {
            let address: SocketAddr = text.parse().expect("valid");
            let multiaddr = to_multiaddr(address);
            assert_eq!(from_multiaddr(&multiaddr), Some((address, None)));
            let mut bytes = vec![0x12, 0x20];
            bytes.extend([7; 32]);
            let peer = PeerId::from_bytes(&bytes).expect("a SHA-256 multihash");
            assert_eq!(from_circuit(&multiaddr), None);
            assert_eq!(from_circuit(&circuit_to(peer)), Some(peer));
            assert_eq!(from_multiaddr(&circuit_to(peer)), None);
            let with_peer = multiaddr.with(Protocol::P2p(peer));
            assert_eq!(from_multiaddr(&with_peer), Some((address, Some(peer))));
        }
        for bad in ["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/udp/1", "/dns4/a/udp/1/quic-v1"] {
            assert_eq!(from_multiaddr(&bad.parse().expect("a multiaddr")), None, "{bad}");
        }
    }
}
