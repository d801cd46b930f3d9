//! Links other than Ethernet that sFlow names (sFlow version 5, §5, `header_protocol`): what stands before the packet.

use crate::packet::{Seen, by_ether_type, ip, ipv4, ipv6, snap, wifi};
use crate::read::Reader;

/// Whether IEEE 802.2 with SNAP (RFC 1042) stands here.
fn is_snap(at: &Reader<'_>) -> bool {
    at.rest().starts_with(&[0xaa, 0xaa, 3])
}

/// Token bus, token ring and FDDI: so many bytes of control, both addresses, on a ring perhaps the route between
/// them (IEEE 802.5 §3.2), and SNAP. Exporters that leave out what stands before SNAP are read too.
pub(crate) fn ring(
    seen: &mut Seen,
    mut at: Reader<'_>,
    control: usize,
    has_route: bool,
) -> Option<()> {
    if is_snap(&at) {
        return snap(seen, at);
    }
    at.take(control)?;
    let to = at.array::<6>()?;
    let mut from = at.array::<6>()?;
    if has_route && from[0] & 0x80 != 0 {
        from[0] &= 0x7f;
        let [length, _] = at.array::<2>()?;
        at.take(usize::from(length & 0x1f).checked_sub(2)?)?;
    }
    seen.set_macs(to, from);
    snap(seen, at)
}

/// Q.922 address, then an EtherType (Cisco), or control and NLPID (RFC 2427 §3, §4).
pub(crate) fn frame_relay(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    // The last byte of the address has its first bit set.
    let mut bytes = 0;
    while at.array::<1>()?[0] & 1 == 0 {
        bytes += 1;
        if bytes > 3 {
            return None;
        }
    }
    if !at.rest().starts_with(&[3]) {
        let kind = at.u16()?;
        return by_ether_type(seen, kind, at);
    }
    at.take(1)?;
    let mut nlpid = at.array::<1>()?[0];
    if nlpid == 0 {
        nlpid = at.array::<1>()?[0];
    }
    match nlpid {
        0xcc => ipv4(seen, at),
        0x8e => ipv6(seen, at),
        // SNAP: organisation 0, then an EtherType.
        0x80 if at.array::<3>()? == [0; 3] => {
            let kind = at.u16()?;
            by_ether_type(seen, kind, at)
        }
        _ => None,
    }
}

/// A data packet (RFC 1356 §3.3): three bytes, then the packet of a call that was made for it.
pub(crate) fn x25(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    at.take(3)?;
    // A call for several protocols names each packet's.
    match at.rest().first()? {
        0xcc => {
            at.take(1)?;
            ipv4(seen, at)
        }
        0x8e => {
            at.take(1)?;
            ipv6(seen, at)
        }
        _ => ip(seen, at),
    }
}

/// SIP level 3 (RFC 1209): 36 bytes of addresses and extension, then SNAP.
pub(crate) fn smds(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    if !is_snap(&at) {
        at.take(36)?;
    }
    snap(seen, at)
}

/// ATM: SNAP, or IP alone (RFC 2684 §5, §6).
pub(crate) fn aal5(seen: &mut Seen, at: Reader<'_>) -> Option<()> {
    if is_snap(&at) { snap(seen, at) } else { ip(seen, at) }
}

/// A frame of an 802.11 aggregate behind its delimiter of four bytes, or without it.
pub(crate) fn ampdu(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    // The signature of a delimiter is an "N" (IEEE 802.11 §9.7.1).
    if at.rest().get(3) == Some(&0x4e) {
        at.take(4)?;
    }
    wifi(seen, at)
}

/// A subframe of an 802.11 aggregate: both addresses, length, SNAP.
pub(crate) fn amsdu(seen: &mut Seen, mut at: Reader<'_>) -> Option<()> {
    let to = at.array::<6>()?;
    let from = at.array::<6>()?;
    at.take(2)?;
    seen.set_macs(to, from);
    snap(seen, at)
}
