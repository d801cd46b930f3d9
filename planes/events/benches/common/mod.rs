//! Datagrams as a busy exporter sends them.

/// Records of a datagram: as many as fit.
pub(crate) const PER_DATAGRAM: u32 = 30;

/// NetFlow v5 (Cisco): 30 records between a few thousand clients and a few hundred servers.
pub(crate) fn netflow_v5(now_ms: u64, sequence: u64, random: &mut u64) -> Vec<u8> {
    let mut next = |below: u64| {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random % below
    };
    let mut out = Vec::with_capacity(24 + 48 * PER_DATAGRAM as usize);
    out.extend([0, 5, 0, PER_DATAGRAM as u8]);
    out.extend(3_600_000_u32.to_be_bytes());
    out.extend(((now_ms / 1_000) as u32).to_be_bytes());
    out.extend(0_u32.to_be_bytes());
    out.extend(((sequence * u64::from(PER_DATAGRAM)) as u32).to_be_bytes());
    out.extend([0, 0, 0, 0]);
    for _ in 0..PER_DATAGRAM {
        out.extend((0x0a00_0000_u32 + next(5_000) as u32).to_be_bytes());
        out.extend((0xc633_6400_u32 + next(300) as u32).to_be_bytes());
        out.extend(0x0a00_00fe_u32.to_be_bytes());
        out.extend((1 + next(8) as u16).to_be_bytes());
        out.extend((1 + next(8) as u16).to_be_bytes());
        let packets = 1 + next(200) as u32;
        out.extend(packets.to_be_bytes());
        out.extend((packets * (64 + next(1_400) as u32)).to_be_bytes());
        let end = 3_600_000 - next(60_000) as u32;
        out.extend((end - next(30_000) as u32).to_be_bytes());
        out.extend(end.to_be_bytes());
        out.extend((1_024 + next(60_000) as u16).to_be_bytes());
        out.extend([443_u16, 80, 53, 22][next(4) as usize].to_be_bytes());
        out.extend([0, 0x1b, [6, 17][next(2) as usize], 0]);
        out.extend((64_500 + next(40) as u16).to_be_bytes());
        out.extend((64_500 + next(40) as u16).to_be_bytes());
        out.extend([24, 24, 0, 0]);
    }
    out
}
