//! Table `flow_interface_counters`: what sFlow's counter samples say of interfaces.
//!
//! Generic interface counters (sFlow v5, counter record 1, after RFC 2863) and Ethernet's (record 2,
//! after RFC 3635). Counters only rise and wrap; a rate is the difference of two rows. 4294967295 in
//! a counter of 32 bits says "not supported" (sFlow v5 §5, "Counter Data") and is null here.

use std::sync::{Arc, LazyLock};

use arrow_array::types::{TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::column::{Column, Spare};
use crate::names::{NameKey, Names};
use crate::read::Reader;
use crate::schema::timestamp;

/// Columns of 32 bits: generic ones in the order of the wire without the 64-bit ones, then
/// Ethernet's.
const WORDS: [&str; 30] = [
    "flow.sub_agent",
    "network.interface.index",
    "network.interface.type",
    "network.interface.direction",
    "network.interface.status",
    "in.packets.unicast",
    "in.packets.multicast",
    "in.packets.broadcast",
    "in.discards",
    "in.errors",
    "in.unknown_protocols",
    "out.packets.unicast",
    "out.packets.multicast",
    "out.packets.broadcast",
    "out.discards",
    "out.errors",
    "network.interface.promiscuous",
    "ethernet.alignment_errors",
    "ethernet.fcs_errors",
    "ethernet.single_collisions",
    "ethernet.multiple_collisions",
    "ethernet.sqe_test_errors",
    "ethernet.deferred",
    "ethernet.late_collisions",
    "ethernet.excessive_collisions",
    "ethernet.out.mac_errors",
    "ethernet.carrier_sense_errors",
    "ethernet.frame_too_longs",
    "ethernet.in.mac_errors",
    "ethernet.symbol_errors",
];
const SUB_AGENT: usize = 0;
const INDEX: usize = 1;
const GENERIC_FIRST: usize = 2;
const IN_FIRST: usize = 5;
const OUT_FIRST: usize = 11;
const PROMISCUOUS: usize = 16;
const ETHERNET_FIRST: usize = 17;

const LONGS: [&str; 3] = ["network.interface.speed", "in.bytes", "out.bytes"];
/// "Not supported".
const ABSENT: u32 = u32::MAX;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        Field::new("flow.time_received", timestamp(), false),
        Field::new("flow.exporter.address", DataType::FixedSizeBinary(16), false),
        Field::new("flow.exporter.port", DataType::UInt16, true),
        Field::new("flow.agent.address", DataType::FixedSizeBinary(16), true),
        Field::new(
            "network.interface.name",
            DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8)),
            true,
        ),
    ];
    fields.extend(LONGS.map(|name| Field::new(name, DataType::UInt64, true)));
    fields.extend(WORDS.map(|name| Field::new(name, DataType::UInt32, true)));
    Arc::new(Schema::new(fields))
});

/// The schema of table `flow_interface_counters`.
pub fn interface_counter_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Who says it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speaker {
    pub(crate) received_ns: i64,
    pub(crate) exporter: [u8; 16],
    pub(crate) port: u16,
    pub(crate) agent: [u8; 16],
    pub(crate) sub_agent: u32,
}

/// Rows under construction.
#[derive(Debug)]
pub(crate) struct InterfaceRows {
    len: usize,
    most: usize,
    received: Column<i64>,
    exporter: Column<[u8; 16]>,
    port: Column<u16>,
    agent: Column<[u8; 16]>,
    name: Column<u32>,
    longs: [Column<u64>; LONGS.len()],
    words: [Column<u32>; WORDS.len()],
    spare: Spare,
}

impl InterfaceRows {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            len: 0,
            most,
            received: Column::new(most),
            exporter: Column::new(most),
            port: Column::new(most),
            agent: Column::new(most),
            name: Column::new(most),
            longs: std::array::from_fn(|_| Column::new(most)),
            words: std::array::from_fn(|_| Column::new(most)),
            spare: Spare::new(most),
        }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len >= self.most
    }

    /// Generic interface counters; the interface's index. Nothing is written if the record is short.
    pub(crate) fn generic(&mut self, mut at: Reader<'_>) -> Option<u32> {
        let row = self.len;
        let index = at.u32()?;
        let kind = at.u32()?;
        let speed = at.u64()?;
        let direction = at.u32()?;
        let status = at.u32()?;
        let in_bytes = at.u64()?;
        let mut into = [0_u32; 6];
        for value in &mut into {
            *value = at.u32()?;
        }
        let out_bytes = at.u64()?;
        let mut out = [0_u32; 6];
        for value in &mut out {
            *value = at.u32()?;
        }
        self.words[INDEX].set(row, index);
        for (column, value) in self.words[GENERIC_FIRST..].iter_mut().zip([kind, direction, status])
        {
            column.set(row, value);
        }
        for (column, value) in self.longs.iter_mut().zip([speed, in_bytes, out_bytes]) {
            column.set(row, value);
        }
        set_present(&mut self.words[IN_FIRST..], row, &into);
        // The last of `out` is the promiscuous mode, whose column follows.
        set_present(&mut self.words[OUT_FIRST..=PROMISCUOUS], row, &out);
        Some(index)
    }

    /// Ethernet interface counters.
    pub(crate) fn ethernet(&mut self, mut at: Reader<'_>) -> Option<()> {
        let mut values = [0_u32; WORDS.len() - ETHERNET_FIRST];
        for value in &mut values {
            *value = at.u32()?;
        }
        set_present(&mut self.words[ETHERNET_FIRST..], self.len, &values);
        Some(())
    }

    /// Completes a row of which something was written.
    pub(crate) fn finish_row(&mut self, by: &Speaker, index: u32, name: Option<NameKey>) {
        let row = self.len;
        self.received.set(row, by.received_ns);
        self.exporter.set(row, by.exporter);
        self.port.set(row, by.port);
        self.agent.set(row, by.agent);
        self.words[SUB_AGENT].set(row, by.sub_agent);
        self.words[INDEX].set(row, index);
        self.name.set_some(row, name.map(|key| key.0));
        self.len += 1;
    }

    /// The batch of all rows; no rows are left. `None` if there were none.
    pub(crate) fn finish(&mut self, names: &mut Names) -> Option<RecordBatch> {
        let rows = std::mem::take(&mut self.len);
        if rows == 0 {
            return None;
        }
        let spare = &self.spare;
        let received = self.received.finish::<TimestampNanosecondType>(rows, spare);
        let texts: Arc<StringArray> = names.array();
        let keys = self.name.finish::<UInt32Type>(rows, spare);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(received.with_data_type(timestamp())),
            Arc::new(self.exporter.finish_fixed(rows, spare)),
            Arc::new(self.port.finish::<UInt16Type>(rows, spare)),
            Arc::new(self.agent.finish_fixed(rows, spare)),
            // Keys are of the same table.
            Arc::new(DictionaryArray::new(keys, texts)),
        ];
        for column in &mut self.longs {
            columns.push(Arc::new(column.finish::<UInt64Type>(rows, spare)));
        }
        for column in &mut self.words {
            columns.push(Arc::new(column.finish::<UInt32Type>(rows, spare)));
        }
        RecordBatch::try_new(interface_counter_schema(), columns)
            .inspect_err(|error| {
                tracing::error!(%error, "counter batch does not fit its schema; its rows are lost");
            })
            .ok()
    }
}

fn set_present(columns: &mut [Column<u32>], row: usize, values: &[u32]) {
    for (column, value) in columns.iter_mut().zip(values) {
        column.set_some(row, Some(*value).filter(|value| *value != ABSENT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_where_the_wire_has_them() {
        assert_eq!(WORDS[OUT_FIRST], "out.packets.unicast");
        assert_eq!(WORDS[PROMISCUOUS], "network.interface.promiscuous");
        assert_eq!(WORDS[ETHERNET_FIRST], "ethernet.alignment_errors");
        assert_eq!(interface_counter_schema().fields().len(), 5 + LONGS.len() + WORDS.len());
    }
}
