//! Rows as text, and datagrams to make them from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use holm_flow::{Batch, Carrier, Decoder, Limits, address_of};

/// One row: only what is not null.
pub(crate) type Row = BTreeMap<String, String>;

/// When all datagrams of tests come: 2023-11-14T22:13:20Z.
pub(crate) const NOW_NS: i64 = 1_700_000_000_000_000_000;

pub(crate) fn exporter() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 2055))
}

pub(crate) fn decoder() -> Decoder {
    Decoder::new(Limits::default(), Carrier::Udp)
}

/// Decodes datagrams in order; flow rows and rows of interface counters.
pub(crate) fn decode_with(decoder: &mut Decoder, datagrams: &[Vec<u8>]) -> (Vec<Row>, Vec<Row>) {
    let (mut flows, mut counters) = (Vec::new(), Vec::new());
    let mut emit = |batch: Batch| match batch {
        Batch::Flows(batch) => flows.extend(rows(&batch)),
        Batch::InterfaceCounters(batch) => counters.extend(rows(&batch)),
    };
    for datagram in datagrams {
        decoder.decode(exporter(), NOW_NS, datagram, &mut emit);
    }
    decoder.flush(&mut emit);
    (flows, counters)
}

pub(crate) fn flows(datagrams: &[Vec<u8>]) -> Vec<Row> {
    decode_with(&mut decoder(), datagrams).0
}

pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let schema = batch.schema();
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        for (index, row) in rows.iter_mut().enumerate() {
            if column.is_valid(index) {
                row.insert(field.name().clone(), text(column.as_ref(), index));
            }
        }
    }
    rows
}

fn text(array: &dyn Array, row: usize) -> String {
    match array.data_type() {
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Timestamp(..) => {
            array.as_primitive::<TimestampNanosecondType>().value(row).to_string()
        }
        DataType::FixedSizeBinary(16) => {
            let bytes = array.as_fixed_size_binary().value(row);
            address_of(bytes.try_into().expect("16 bytes")).to_string()
        }
        DataType::FixedSizeBinary(6) => {
            let bytes = array.as_fixed_size_binary().value(row);
            let parts: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
            parts.join(":")
        }
        DataType::Dictionary(key, _) => {
            let words = array.as_any_dictionary();
            let index = match key.as_ref() {
                DataType::UInt8 => {
                    array.as_dictionary::<UInt8Type>().key(row).expect("a valid key")
                }
                _ => array.as_dictionary::<UInt32Type>().key(row).expect("a valid key"),
            };
            words.values().as_string::<i32>().value(index).to_owned()
        }
        DataType::List(_) => {
            let labels = array.as_list::<i32>().value(row);
            let labels = labels.as_primitive::<UInt32Type>();
            let parts: Vec<String> = labels.values().iter().map(ToString::to_string).collect();
            parts.join(",")
        }
        other => panic!("no text for {other}"),
    }
}

/// `../shared/vectors` from the project's root, or `HOLM_VECTORS`; says so if it is not there.
pub(crate) fn vectors(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HOLM_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/vectors")),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no vectors at {}", path.display());
    None
}

/// The `.bin` datagrams of a folder by name.
pub(crate) fn datagrams(folder: &std::path::Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder of vectors")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a vector")).collect()
}

/// The UDP payloads of a classic pcap file of Ethernet frames.
pub(crate) fn pcap_payloads(path: &std::path::Path) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(path).expect("a capture");
    let little = bytes[..4] == [0xd4, 0xc3, 0xb2, 0xa1];
    let number = |at: usize| {
        let word: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
        if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }
    };
    let mut at = 24;
    let mut payloads = Vec::new();
    while at + 16 <= bytes.len() {
        let length = number(at + 8) as usize;
        let frame = &bytes[at + 16..(at + 16 + length).min(bytes.len())];
        at += 16 + length;
        let ip = match frame.get(12..14) {
            Some([0x08, 0x00]) => 14 + usize::from(frame[14] & 15) * 4,
            Some([0x86, 0xdd]) => 14 + 40,
            _ => continue,
        };
        payloads.push(frame.get(ip + 8..).unwrap_or_default().to_vec());
    }
    payloads
}

/// Big-endian bytes, put together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn u8(mut self, n: u8) -> Self {
        self.0.push(n);
        self
    }

    pub(crate) fn u16(mut self, n: u16) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, n: u32) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, n: u64) -> Self {
        self.0.extend(n.to_be_bytes());
        self
    }

    pub(crate) fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A set: id, length, body.
pub(crate) fn set(id: u16, body: Bytes) -> Vec<u8> {
    Bytes::default().u16(id).u16(body.0.len() as u16 + 4).put(&body.0).0
}

/// A template of (element, length) pairs.
pub(crate) fn template(id: u16, fields: &[(u16, u16)]) -> Bytes {
    let head = Bytes::default().u16(id).u16(fields.len() as u16);
    fields.iter().fold(head, |all, (element, length)| all.u16(*element).u16(*length))
}

/// An IPFIX message of domain 7.
pub(crate) fn ipfix(sequence: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let body = sets.concat();
    let head = Bytes::default().u16(10).u16(body.len() as u16 + 16);
    let now = (NOW_NS / 1_000_000_000) as u32;
    head.u32(now).u32(sequence).u32(7).put(&body).0
}

/// A NetFlow v9 datagram of source 7, of an exporter that has run for 1,000 s.
pub(crate) fn v9(sequence: u32, sets: &[Vec<u8>]) -> Vec<u8> {
    let now = (NOW_NS / 1_000_000_000) as u32;
    let head = Bytes::default().u16(9).u16(sets.len() as u16).u32(1_000_000);
    head.u32(now).u32(sequence).u32(7).put(&sets.concat()).0
}

/// An sFlow datagram of agent 192.0.2.9 with samples of (format, body).
pub(crate) fn sflow(sequence: u32, samples: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let head = Bytes::default().u32(5).u32(1).put(&[192, 0, 2, 9]).u32(3).u32(sequence);
    let head = head.u32(5_000).u32(samples.len() as u32);
    samples.iter().fold(head, |all, (format, body)| all.put(&block(*format, body))).0
}

/// Format, length, body.
pub(crate) fn block(format: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes::default().u32(format).u32(body.len() as u32).put(body).0;
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A flow sample of rate 512 from interface 3 to 4 with records of (format, body).
pub(crate) fn flow_sample(records: &[(u32, Vec<u8>)]) -> (u32, Vec<u8>) {
    let head = Bytes::default().u32(1).u32(3).u32(512).u32(1_000).u32(0).u32(3).u32(4);
    let head = head.u32(records.len() as u32);
    (1, records.iter().fold(head, |all, (format, body)| all.put(&block(*format, body))).0)
}

/// A record of a sampled header of 1,500 bytes on the wire.
pub(crate) fn header(protocol: u32, bytes: &[u8]) -> (u32, Vec<u8>) {
    let head = Bytes::default().u32(protocol).u32(1_500).u32(4).u32(bytes.len() as u32);
    (1, head.put(bytes).0)
}
