//! Columns that a batch of flows gets before it is stored: networks, systems, names.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, RecordBatch, StringArray, UInt32Array, new_null_array,
};
use arrow_schema::{DataType, Field};
use holm_asn::{AsTable, Ranges};
use serde::{Deserialize, Serialize};

use super::both_ways::both_ways;
use crate::read::address_bytes;
use crate::schema::flow_schema;

/// Most networks and exporters that are configured.
const MAX_NAMED: usize = 100_000;

/// The columns, in their order behind those that exporters tell.
pub(crate) const MEANING: &[(&str, bool)] = &[
    ("flow.exporter.name", true),
    ("source.network.name", true),
    ("source.network.zone", true),
    ("source.service.name", true),
    ("source.team.name", true),
    ("destination.network.name", true),
    ("destination.network.zone", true),
    ("destination.service.name", true),
    ("destination.team.name", true),
    ("source.as.effective", false),
    ("source.as.organization.name", true),
    ("destination.as.effective", false),
    ("destination.as.organization.name", true),
    ("flow.biflow", true),
];

/// The field of a column of meaning: words of a list, or a number.
pub(crate) fn field((name, words): (&str, bool)) -> Field {
    let dictionary = || DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    Field::new(name, if words { dictionary() } else { DataType::UInt32 }, true)
}

/// One of the operator's networks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Such as `10.1.0.0/16`; the longest that holds an address counts.
    pub prefix: String,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// Its zone, such as `dmz`.
    #[serde(default)]
    pub zone: String,
    /// The service that runs in it.
    #[serde(default)]
    pub service: String,
    /// Whose it is.
    #[serde(default)]
    pub team: String,
}

impl Network {
    /// Its address and bits.
    pub(crate) fn parsed(&self) -> Option<(IpAddr, u8)> {
        let (address, bits) = self.prefix.split_once('/')?;
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
    }

    fn words(&self) -> [&str; 4] {
        [&self.name, &self.zone, &self.service, &self.team]
    }
}

/// What an exporter is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExporterName {
    /// Where it sends from.
    pub address: IpAddr,
    /// Its name.
    pub name: String,
}

/// Adds the columns of meaning to batches.
#[derive(Debug, Default)]
pub struct Enricher {
    networks: Ranges,
    /// Name, zone, service and team of each network, as places in `words`; 0 is none.
    named: Vec<[u32; 4]>,
    words: Vec<Box<str>>,
    /// The first address of each network.
    begins: Vec<[u8; 16]>,
    exporters: HashMap<[u8; 16], u32>,
    systems: Option<AsTable>,
}

impl Enricher {
    /// Of configured networks and names, and a table of systems.
    ///
    /// # Errors
    /// The prefix that is none.
    pub fn new(
        networks: &[Network],
        exporters: &[ExporterName],
        systems: Option<AsTable>,
    ) -> Result<Self, String> {
        if networks.len() > MAX_NAMED || exporters.len() > MAX_NAMED {
            return Err(format!("planes.flow: more than {MAX_NAMED} networks or exporters"));
        }
        let mut made = Self { systems, words: vec!["".into()], ..Self::default() };
        let mut places: HashMap<String, u32> = HashMap::from([(String::new(), 0)]);
        let mut place = |word: &str, words: &mut Vec<Box<str>>| -> u32 {
            *places.entry(word.to_owned()).or_insert_with(|| {
                words.push(word.into());
                words.len() as u32 - 1
            })
        };
        for network in networks {
            let (address, bits) = network.parsed().ok_or_else(|| {
                format!(
                    "planes.flow.networks: \"{}\" is no prefix, such as 10.1.0.0/16",
                    network.prefix
                )
            })?;
            made.networks.add(address, bits, made.named.len() as u32);
            made.begins.push(first_of(address, bits));
            made.named.push(network.words().map(|word| place(word, &mut made.words)));
        }
        for exporter in exporters {
            let word = place(&exporter.name, &mut made.words);
            made.exporters.insert(address_bytes(exporter.address.to_canonical()), word);
        }
        made.networks.build();
        Ok(made)
    }

    /// The service of an address, if its network has one.
    pub fn service_of(&self, address: &[u8; 16]) -> Option<&str> {
        let word = self.named.get(self.networks.find(address)? as usize)?[2];
        self.words.get(word as usize).map(AsRef::as_ref).filter(|word: &&str| !word.is_empty())
    }

    /// The name of an address's network, if it has one.
    pub fn network_of(&self, address: &[u8; 16]) -> Option<&str> {
        let word = self.named.get(self.networks.find(address)? as usize)?[0];
        self.words.get(word as usize).map(AsRef::as_ref).filter(|word: &&str| !word.is_empty())
    }

    /// The first address of the configured network that has a name and holds an address.
    pub(crate) fn network_begin(&self, address: &[u8; 16]) -> Option<[u8; 16]> {
        self.network_of(address)?;
        self.begins.get(self.networks.find(address)? as usize).copied()
    }

    /// The batch of [`flow_schema`] made of a decoded one. Both ways of a biflow are rows of it.
    pub fn enrich(&self, decoded: RecordBatch) -> RecordBatch {
        let (decoded, ways) = both_ways(decoded);
        let rows = decoded.num_rows();
        let mut columns = decoded.columns().to_vec();
        let exporters = self
            .column_of_words(addresses(&decoded, "flow.exporter.address"), |address| {
                self.exporters.get(address).copied()
            });
        columns.push(exporters.unwrap_or_else(|| nulls(true, rows)));
        for side in ["source.address", "destination.address"] {
            columns.extend(self.networks_of(addresses(&decoded, side), rows));
        }
        for (side, told) in [
            ("source.address", "source.as.number"),
            ("destination.address", "destination.as.number"),
        ] {
            columns.extend(self.systems_of(&decoded, side, told));
        }
        columns.push(ways.unwrap_or_else(|| nulls(true, rows)));
        match RecordBatch::try_new(flow_schema(), columns) {
            Ok(batch) => batch,
            Err(error) => {
                // The layout makes both the schema and the columns.
                tracing::error!(%error, "flows could not be given their meaning");
                RecordBatch::new_empty(flow_schema())
            }
        }
    }

    fn networks_of(&self, addresses: Option<&[[u8; 16]]>, rows: usize) -> [ArrayRef; 4] {
        let none = || nulls(true, rows);
        let Some(addresses) = addresses.filter(|_| !self.networks.is_empty()) else {
            return [none(), none(), none(), none()];
        };
        let found: Vec<Option<u32>> =
            addresses.iter().map(|address| self.networks.find(address)).collect();
        std::array::from_fn(|which| {
            let words = found.iter().map(|network| Some(self.named[(*network)? as usize][which]));
            self.words(words).unwrap_or_else(none)
        })
    }

    fn column_of_words(
        &self,
        addresses: Option<&[[u8; 16]]>,
        word: impl Fn(&[u8; 16]) -> Option<u32>,
    ) -> Option<ArrayRef> {
        if self.exporters.is_empty() {
            return None;
        }
        self.words(addresses?.iter().map(word))
    }

    /// A column of places in `words`, with a list of only those that it has; `None` if it has none.
    fn words(&self, places: impl Iterator<Item = Option<u32>>) -> Option<ArrayRef> {
        let text = |place: u32| self.words.get(place as usize).map(AsRef::as_ref);
        dictionary(places.map(|place| place.filter(|place| *place > 0)), text)
    }

    /// The system that counts, and its name: as exported unless that says nothing, then by the table.
    fn systems_of(&self, batch: &RecordBatch, side: &str, told: &str) -> [ArrayRef; 2] {
        let told = batch.column_by_name(told).map(|column| column.as_primitive::<UInt32Type>());
        let addresses = addresses(batch, side);
        let is_told = told.is_some_and(|told| told.null_count() < told.len());
        if !is_told && self.systems.is_none() {
            return [nulls(false, batch.num_rows()), nulls(true, batch.num_rows())];
        }
        let effective: UInt32Array = (0..batch.num_rows())
            .map(|row| {
                let exported = told.filter(|told| told.is_valid(row)).map(|told| told.value(row));
                exported
                    .filter(|number| *number != 0)
                    .or_else(|| self.systems.as_ref()?.find(addresses?.get(row)?))
            })
            .collect();
        let table = self.systems.as_ref();
        let names =
            table.and_then(|table| dictionary(effective.iter(), |number| table.name_of(number)));
        let names = names.unwrap_or_else(|| nulls(true, batch.num_rows()));
        [Arc::new(effective), names]
    }
}

/// The first address of a prefix.
fn first_of(address: IpAddr, bits: u8) -> [u8; 16] {
    let number = u128::from_be_bytes(address_bytes(address));
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let free = u32::from(longest - bits.min(longest));
    let first = number.checked_shr(free).and_then(|kept| kept.checked_shl(free)).unwrap_or(0);
    first.to_be_bytes()
}

/// A column of words by keys, with a list of only those that it has; `None` if it has none. A key without a
/// word has none in the column.
fn dictionary<'a>(
    keys: impl Iterator<Item = Option<u32>>,
    text: impl Fn(u32) -> Option<&'a str>,
) -> Option<ArrayRef> {
    let mut known: hashbrown::HashMap<u32, Option<u32>> = hashbrown::HashMap::with_capacity(1_024);
    let mut list: Vec<&str> = Vec::new();
    // Neighbours often have the same.
    let mut last = (None, None);
    let places: UInt32Array = keys
        .map(|key| {
            if last.0 != key {
                let place = key.and_then(|key| {
                    *known.entry(key).or_insert_with(|| {
                        list.push(text(key)?);
                        Some(list.len() as u32 - 1)
                    })
                });
                last = (key, place);
            }
            last.1
        })
        .collect();
    if list.is_empty() {
        return None;
    }
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(list));
    DictionaryArray::try_new(places, words).ok().map(|array| Arc::new(array) as ArrayRef)
}

/// The addresses of a column; those that are null have any value.
fn addresses<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a [[u8; 16]]> {
    let column = batch.column_by_name(name)?;
    if column.null_count() == column.len() {
        return None;
    }
    column.as_fixed_size_binary_opt()?.value_data().as_chunks::<16>().0.get(..batch.num_rows())
}

fn nulls(words: bool, rows: usize) -> ArrayRef {
    new_null_array(field(("", words)).data_type(), rows)
}
