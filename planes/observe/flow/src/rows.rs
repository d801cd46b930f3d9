//! Flow records under construction, and the record batch they become.

use std::sync::Arc;

use arrow_array::types::{TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, ListArray, PrimitiveArray, RecordBatch,
    StringArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};

use crate::column::{Column, Spare};
use crate::names::Names;
use crate::read::mapped;
use crate::schema::{
    Address, Byte, DIRECTIONS, FLOW_TYPES, LAYOUT, Long, Mac, NETWORK_TYPES, Short, Source,
    TUNNEL_TYPES, Time, Word, decoded_schema, timestamp, transport_names,
};

/// The numbers of ICMP and ICMPv6 among IP's protocols.
const ICMP: [u8; 2] = [1, 58];

/// Most MPLS labels of one row: what RFC 7012 has elements for (70 to 79).
pub(crate) const MAX_LABELS: usize = 10;

/// The rows of one batch, column by column.
#[derive(Debug)]
pub(crate) struct Rows {
    len: usize,
    most: usize,
    bytes: [Column<u8>; Byte::COUNT],
    shorts: [Column<u16>; Short::COUNT],
    words: [Column<u32>; Word::COUNT],
    longs: [Column<u64>; Long::COUNT],
    addresses: [Column<[u8; 16]>; Address::COUNT],
    macs: [Column<[u8; 6]>; Mac::COUNT],
    times: [Column<i64>; Time::COUNT],
    labels: Labels,
    spare: Spare,
    words_of: Vocabulary,
}

impl Rows {
    /// For batches of `most` rows.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            len: 0,
            most,
            bytes: std::array::from_fn(|_| Column::new(most)),
            shorts: std::array::from_fn(|_| Column::new(most)),
            words: std::array::from_fn(|_| Column::new(most)),
            longs: std::array::from_fn(|_| Column::new(most)),
            addresses: std::array::from_fn(|_| Column::new(most)),
            macs: std::array::from_fn(|_| Column::new(most)),
            times: std::array::from_fn(|_| Column::new(most)),
            labels: Labels::default(),
            spare: Spare::new(most),
            words_of: Vocabulary::new(),
        }
    }

    /// Rows so far.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Rows that still fit.
    #[inline]
    pub(crate) const fn room(&self) -> usize {
        self.most - self.len
    }

    /// Says that the next `n` rows, written from [`Self::len`] on, are complete.
    #[inline]
    pub(crate) fn grow(&mut self, n: usize) {
        self.len += n;
    }

    #[inline]
    pub(crate) fn byte(&mut self, slot: Byte) -> &mut Column<u8> {
        &mut self.bytes[slot as usize]
    }

    #[inline]
    pub(crate) fn short(&mut self, slot: Short) -> &mut Column<u16> {
        &mut self.shorts[slot as usize]
    }

    #[inline]
    pub(crate) fn word(&mut self, slot: Word) -> &mut Column<u32> {
        &mut self.words[slot as usize]
    }

    #[inline]
    pub(crate) fn long(&mut self, slot: Long) -> &mut Column<u64> {
        &mut self.longs[slot as usize]
    }

    #[inline]
    pub(crate) fn address(&mut self, slot: Address) -> &mut Column<[u8; 16]> {
        &mut self.addresses[slot as usize]
    }

    #[inline]
    pub(crate) fn mac(&mut self, slot: Mac) -> &mut Column<[u8; 6]> {
        &mut self.macs[slot as usize]
    }

    #[inline]
    pub(crate) fn time(&mut self, slot: Time) -> &mut Column<i64> {
        &mut self.times[slot as usize]
    }

    /// Writes the MPLS labels of one row, top first.
    pub(crate) fn set_labels(&mut self, row: usize, labels: &[u32]) {
        self.labels.set(row, labels);
    }

    /// The batch of all rows; no rows are left. `None` if there were none.
    pub(crate) fn finish(&mut self, names: &mut Names) -> Option<RecordBatch> {
        let rows = self.len;
        if rows == 0 {
            return None;
        }
        let scaled = [self.scaled(Long::Bytes), self.scaled(Long::Packets)];
        let network_type = self.network_type();
        let dscp = self.dscp();
        let icmp = self.icmp();
        let transport: UInt8Array = self.primitive(Byte::Transport);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(LAYOUT.len());
        for (_, source) in LAYOUT {
            columns.push(match source {
                Source::Byte(Byte::Transport) => Arc::new(transport.clone()),
                Source::Byte(Byte::IcmpType) => Arc::new(icmp[0].clone()),
                Source::Byte(Byte::IcmpCode) => Arc::new(icmp[1].clone()),
                Source::Byte(slot) => Arc::new(self.primitive::<UInt8Type>(*slot)),
                Source::Word8(slot, _) => {
                    let keys = self.primitive::<UInt8Type>(*slot);
                    self.words_of.dictionary(keys, self.words_of.of(*slot))
                }
                Source::TransportName(_) => {
                    self.words_of.dictionary(transport.clone(), &self.words_of.transports)
                }
                Source::Dscp => Arc::new(dscp.clone()),
                Source::NetworkType => {
                    self.words_of.dictionary(network_type.clone(), &self.words_of.networks)
                }
                Source::Short(slot) => {
                    Arc::new(self.shorts[*slot as usize].finish::<UInt16Type>(rows, &self.spare))
                }
                Source::Word(slot) => {
                    Arc::new(self.words[*slot as usize].finish::<UInt32Type>(rows, &self.spare))
                }
                Source::Name(slot) => {
                    let keys: UInt32Array =
                        self.words[*slot as usize].finish::<UInt32Type>(rows, &self.spare);
                    dictionary(keys, &names.array())
                }
                Source::Long(slot) => {
                    Arc::new(self.longs[*slot as usize].finish::<UInt64Type>(rows, &self.spare))
                }
                Source::Scaled(slot) => Arc::new(scaled[*slot as usize].clone()),
                Source::Address(slot) => {
                    Arc::new(self.addresses[*slot as usize].finish_fixed(rows, &self.spare))
                }
                Source::Mac(slot) => {
                    Arc::new(self.macs[*slot as usize].finish_fixed(rows, &self.spare))
                }
                Source::Time(slot) => Arc::new(
                    self.times[*slot as usize]
                        .finish::<TimestampNanosecondType>(rows, &self.spare)
                        .with_data_type(timestamp()),
                ),
                Source::MplsLabels => Arc::new(self.labels.finish(rows)),
            });
        }
        self.len = 0;
        match RecordBatch::try_new(decoded_schema(), columns) {
            Ok(batch) => Some(batch),
            Err(error) => {
                // The layout makes both the schema and the columns.
                tracing::error!(%error, "flow batch does not fit its schema; its rows are lost");
                None
            }
        }
    }

    fn primitive<A: ArrowPrimitiveType<Native = u8>>(&mut self, slot: Byte) -> PrimitiveArray<A> {
        self.bytes[slot as usize].finish::<A>(self.len, &self.spare)
    }

    /// A count times the sampling rate, where the rate is known. Does not wrap.
    fn scaled(&self, slot: Long) -> UInt64Array {
        let column = &self.longs[slot as usize];
        let nulls = column.nulls(self.len, &self.spare);
        let counts = column.since(0);
        if counts.is_empty() {
            return UInt64Array::new(self.spare.scalars(None, self.len), nulls);
        }
        let rates = self.words[Word::SamplingRate as usize].since(0);
        // A null rate is stored as 0: unknown, so the count stands as it is.
        let mut values: Vec<u64> = Vec::with_capacity(self.len);
        values.extend(
            counts.iter().zip(rates).map(|(n, rate)| n.saturating_mul(u64::from((*rate).max(1)))),
        );
        values.extend_from_slice(counts.get(rates.len()..).unwrap_or_default());
        values.resize(self.len, 0);
        UInt64Array::new(ScalarBuffer::from(values), nulls)
    }

    fn network_type(&self) -> UInt8Array {
        let column = &self.addresses[Address::Source as usize];
        let nulls = column.nulls(self.len, &self.spare);
        let mut keys: Vec<u8> = Vec::with_capacity(self.len);
        let prefix = &mapped([0; 4])[..12];
        keys.extend(column.since(0).iter().map(|address| u8::from(&address[..12] != prefix)));
        keys.resize(self.len, 0);
        UInt8Array::new(ScalarBuffer::from(keys), nulls)
    }

    /// ICMP's type and code: as told, else as NetFlow has them where it has no field for them, in the
    /// destination's port, type times 256 plus code.
    fn icmp(&mut self) -> [UInt8Array; 2] {
        let told = [Byte::IcmpType, Byte::IcmpCode].map(|slot| self.primitive::<UInt8Type>(slot));
        let transport = self.bytes[Byte::Transport as usize].since(0);
        let exports = self.bytes[Byte::Type as usize].since(0);
        let ports = &self.shorts[Short::DestinationPort as usize];
        if !transport.iter().any(|protocol| ICMP.contains(protocol)) || ports.since(0).is_empty() {
            return told;
        }
        let has_port = ports.nulls(self.len, &self.spare);
        let port = |row: usize| {
            let valid = has_port.as_ref().is_none_or(|valid| valid.is_valid(row));
            let port = ports.since(0).get(row).copied().filter(|_| valid)?;
            // Port 0 of NetFlow v9 may as well say that there is none.
            let meant = match exports.get(row)? {
                0 => true,
                1 => port != 0,
                _ => false,
            };
            (meant && ICMP.contains(transport.get(row)?)).then(|| port.to_be_bytes())
        };
        let both = (0..self.len).map(|row| {
            let known = told[0].is_valid(row) || told[1].is_valid(row);
            let word = |at: usize| told[at].is_valid(row).then(|| told[at].value(row));
            match port(row).filter(|_| !known) {
                Some([kind, code]) => (Some(kind), Some(code)),
                None => (word(0), word(1)),
            }
        });
        let (types, codes): (Vec<_>, Vec<_>) = both.unzip();
        [UInt8Array::from(types), UInt8Array::from(codes)]
    }

    fn dscp(&self) -> UInt8Array {
        let column = &self.bytes[Byte::Tos as usize];
        let nulls = column.nulls(self.len, &self.spare);
        let mut values: Vec<u8> = Vec::with_capacity(self.len);
        values.extend(column.since(0).iter().map(|tos| tos >> 2));
        values.resize(self.len, 0);
        UInt8Array::new(ScalarBuffer::from(values), nulls)
    }
}

/// The fixed lists of words, as arrays that every batch shares.
#[derive(Debug)]
struct Vocabulary {
    types: Arc<StringArray>,
    directions: Arc<StringArray>,
    tunnels: Arc<StringArray>,
    networks: Arc<StringArray>,
    transports: Arc<StringArray>,
}

impl Vocabulary {
    fn new() -> Self {
        let list = |words: &[&str]| Arc::new(StringArray::from_iter_values(words));
        Self {
            types: list(FLOW_TYPES),
            directions: list(DIRECTIONS),
            tunnels: list(TUNNEL_TYPES),
            networks: list(NETWORK_TYPES),
            transports: Arc::new(StringArray::from_iter_values(transport_names())),
        }
    }

    fn of(&self, slot: Byte) -> &Arc<StringArray> {
        match slot {
            Byte::Direction => &self.directions,
            Byte::TunnelType => &self.tunnels,
            _ => &self.types,
        }
    }

    fn dictionary(&self, keys: UInt8Array, words: &Arc<StringArray>) -> ArrayRef {
        dictionary(keys, words)
    }
}

/// `keys` into `words`. Keys come from this crate's own lists and tables.
fn dictionary<K>(keys: PrimitiveArray<K>, words: &Arc<StringArray>) -> ArrayRef
where
    K: arrow_array::types::ArrowDictionaryKeyType,
{
    let rows = keys.len();
    let values: ArrayRef = Arc::<StringArray>::clone(words);
    match DictionaryArray::try_new(keys, values) {
        Ok(array) => Arc::new(array),
        Err(error) => {
            tracing::error!(%error, "a word's key is not in its list; the column is null");
            Arc::new(DictionaryArray::<K>::new(
                PrimitiveArray::new_null(rows),
                Arc::<StringArray>::clone(words),
            ))
        }
    }
}

/// The column of MPLS label stacks.
#[derive(Debug, Default)]
struct Labels {
    values: Vec<u32>,
    /// Row and end of its labels in `values`.
    ends: Vec<(u32, u32)>,
}

impl Labels {
    fn set(&mut self, row: usize, labels: &[u32]) {
        if self.ends.last().is_some_and(|(last, _)| *last as usize >= row) || labels.is_empty() {
            return;
        }
        self.values.extend_from_slice(&labels[..labels.len().min(MAX_LABELS)]);
        self.ends.push((row as u32, self.values.len() as u32));
    }

    fn finish(&mut self, rows: usize) -> ListArray {
        let field = Arc::new(Field::new("item", DataType::UInt32, false));
        if self.ends.is_empty() {
            return ListArray::new_null(field, rows);
        }
        let mut lengths = vec![0_usize; rows];
        let mut valid = vec![false; rows];
        let mut before = 0;
        for (row, end) in self.ends.drain(..) {
            lengths[row as usize] = (end - before) as usize;
            valid[row as usize] = true;
            before = end;
        }
        let values = UInt32Array::from(std::mem::take(&mut self.values));
        let offsets = OffsetBuffer::from_lengths(lengths);
        ListArray::new(field, offsets, Arc::new(values), Some(valid.into()))
    }
}
