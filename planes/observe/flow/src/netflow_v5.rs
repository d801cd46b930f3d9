//! NetFlow v5: a fixed record, decoded by the same plan as templates are.
//!
//! "NetFlow Export Datagram Format", Cisco, tables B-3 and B-4: a header of 24 bytes, then up to 30
//! records of 48.

use std::sync::LazyLock;

use crate::copy::Clocks;
use crate::decoder::Desk;
use crate::exporter::{DomainKey, Exporter, Protocol};
use crate::plan::{FieldSpec, Plan};
use crate::read::Reader;
use crate::records::{Message, data_set};
use crate::templated::count_heard;

const RECORD_BYTES: usize = 48;

/// Element and length of each field of a record; element 0 is padding.
const FIELDS: [(u16, u16); 20] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 2),
    (14, 2),
    (2, 4),
    (1, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (0, 1),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 2),
    (17, 2),
    (9, 1),
    (13, 1),
    (0, 2),
];

static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
    let fields = FIELDS.map(|(id, length)| FieldSpec { enterprise: 0, id, length });
    Plan::compile(&fields).ok()
});

/// A datagram, after its version.
pub(crate) fn netflow_v5(
    exporter: &mut Exporter,
    received_ns: i64,
    mut at: Reader<'_>,
    desk: &mut Desk<'_>,
) -> Option<()> {
    let count = at.u16()?;
    let uptime_ms = at.u32()?;
    let seconds = at.u32()?;
    let nanoseconds = at.u32()?.min(999_999_999);
    let sequence = at.u32()?;
    let engine = at.u16()?;
    let sampling = at.u16()?;
    let export_ns = i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds);
    let clocks = Clocks { export_ns, uptime_ms: Some(uptime_ms) };
    let protocol = Protocol::NetflowV5;
    let key = DomainKey { protocol, id: u32::from(engine), agent: [0; 16] };
    let Some(index) = exporter.domain(&key, desk.limits) else {
        exporter.counters.domains_refused += 1;
        return Some(());
    };
    let domain = exporter.domains.get_mut(index)?;
    // Two bits of mode, 14 of interval; 0 is not told.
    domain.rate = Some(u32::from(sampling & 0x3fff)).filter(|rate| *rate > 0);
    let message = Message {
        from: exporter.from,
        received_ns,
        clocks,
        sequence,
        protocol,
        domain: key.id,
        agent: None,
    };
    let wanted = usize::from(count) * RECORD_BYTES;
    let body = at.rest();
    exporter.counters.truncated += u64::from(wanted > body.len());
    let body = body.get(..wanted).unwrap_or(body);
    let plan = PLAN.as_ref()?;
    data_set(plan, domain, &mut exporter.counters, &message, body, desk);
    // It counts the flows sent before this datagram.
    let heard = domain.sequence.hear(sequence, u32::from(count));
    count_heard(&mut exporter.counters, heard, false);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_fill_a_record() {
        let bytes: usize = FIELDS.iter().map(|(_, length)| usize::from(*length)).sum();
        assert_eq!(bytes, RECORD_BYTES);
        assert!(PLAN.is_some());
    }
}
