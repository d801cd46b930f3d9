//! Which autonomous system announces an address: a table from a file, offline.
//!
//! Read are MaxMind's format (`.mmdb` with `autonomous_system_number`, or `asn`), and text: a prefix, an AS
//! number and perhaps a name in each line (what tools make of MRT dumps), or two addresses, number,
//! country and name between tabs.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use crate::address_bytes;
use crate::ranges::Ranges;

/// Largest file.
const MAX_BYTES: u64 = 1 << 30;
/// Most prefixes: a full table has a million and a half.
const MAX_PREFIXES: usize = 8_000_000;
/// Longest name that is kept, in bytes.
const MAX_NAME: usize = 64;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AsTableError {
    /// The file cannot be read.
    #[error("{0}: cannot be read: {1}; check what asn_file names")]
    Read(String, std::io::Error),
    /// It is no table.
    #[error(
        "{0}: {1}; it is a .mmdb with AS numbers, or lines such as \"192.0.2.0/24 64496 Example\""
    )]
    NoTable(String, String),
}

/// What a table says of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The number of the autonomous system that announces it.
    pub number: u32,
    /// What the table calls that system.
    pub name: Option<&'a str>,
    /// Where the table says that the address is: two letters (ISO 3166-1 alpha-2).
    pub country: Option<[char; 2]>,
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.number)?;
        if let Some(name) = self.name {
            write!(f, " {name}")?;
        }
        match self.country {
            Some([one, other]) => write!(f, " ({one}{other})"),
            None => Ok(()),
        }
    }
}

/// Autonomous systems by prefix.
#[derive(Debug, Default)]
pub struct AsTable {
    ranges: Ranges,
    /// Countries by prefix, where they are asked for.
    countries: Option<Ranges>,
    names: hashbrown::HashMap<u32, Box<str>>,
    /// Lines or records that were passed over.
    passed: u64,
}

impl AsTable {
    /// Reads a table.
    ///
    /// # Errors
    /// [`AsTableError`]
    pub fn open(path: &Path) -> Result<Self, AsTableError> {
        Self::read(path, Self::default())
    }

    /// Reads a table with the countries that it tells: about twice the memory.
    ///
    /// # Errors
    /// [`AsTableError`]
    pub fn open_with_countries(path: &Path) -> Result<Self, AsTableError> {
        Self::read(path, Self { countries: Some(Ranges::default()), ..Self::default() })
    }

    fn read(path: &Path, mut table: Self) -> Result<Self, AsTableError> {
        let shown = path.display().to_string();
        let failed = |error| AsTableError::Read(shown.clone(), error);
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut read = if path.extension().is_some_and(|extension| extension == "mmdb") {
            let mut bytes = Vec::new();
            file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed)?;
            table.read_mmdb(bytes)
        } else {
            table.read_text(BufReader::new(file.take(MAX_BYTES))).map_err(failed)?;
            Ok(())
        };
        if read.is_ok() && table.ranges.is_empty() {
            read = Err("it has no prefix with an AS number".to_owned());
        }
        read.map_err(|what| AsTableError::NoTable(shown, what))?;
        table.ranges.build();
        if let Some(countries) = &mut table.countries {
            countries.build();
        }
        Ok(table)
    }

    fn read_mmdb(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let reader = maxminddb::Reader::from_source(bytes).map_err(|error| error.to_string())?;
        let all = reader.networks(maxminddb::WithinOptions::default());
        for found in all.map_err(|error| error.to_string())? {
            let Ok(found) = found else {
                self.passed += 1;
                continue;
            };
            let (Ok(network), Ok(Some(record))) = (found.network(), found.decode::<Record<'_>>())
            else {
                self.passed += 1;
                continue;
            };
            let name = record.autonomous_system_organization.or(record.name).unwrap_or_default();
            let number = record.autonomous_system_number.or_else(|| as_number(record.asn?));
            match number {
                Some(number) => {
                    let country = record.country_code.or(match record.country {
                        Some(Country::Code(code)) => Some(code),
                        Some(Country::Of { iso_code }) => iso_code,
                        None => None,
                    });
                    let country = country.and_then(country_of);
                    self.add(network.network(), network.prefix(), number, name, country);
                }
                None => self.passed += 1,
            }
        }
        Ok(())
    }

    fn read_text(&mut self, input: impl BufRead) -> std::io::Result<()> {
        for line in input.split(b'\n') {
            let line = line?;
            let Ok(line) = std::str::from_utf8(&line) else {
                self.passed += 1;
                continue;
            };
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if self.read_line(line).is_none() {
                self.passed += 1;
            }
        }
        Ok(())
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (first, rest) = line.split_once(|c: char| c.is_whitespace() || c == ',')?;
        if let Some((address, bits)) = first.split_once('/') {
            let rest = rest.trim_start();
            let (number, name) =
                rest.split_once(|c: char| c.is_whitespace() || c == ',').unwrap_or((rest, ""));
            let name = name.trim().trim_matches('"');
            self.add(address.parse().ok()?, bits.parse().ok()?, as_number(number)?, name, None);
            return Some(());
        }
        let mut parts = rest.split('\t');
        let (begin, end): (IpAddr, IpAddr) = (first.parse().ok()?, parts.next()?.parse().ok()?);
        let number = as_number(parts.next()?)?;
        let country = parts.next().and_then(country_of);
        // 0 is what such tables call "not routed".
        if number > 0 && self.ranges.len() < MAX_PREFIXES {
            self.ranges.add_range(begin, end, number).then_some(())?;
            if let (Some(countries), Some(country)) = (&mut self.countries, country) {
                countries.add_range(begin, end, country);
            }
            self.name(number, parts.next().unwrap_or_default());
        }
        Some(())
    }

    fn add(&mut self, address: IpAddr, bits: u8, number: u32, name: &str, country: Option<u32>) {
        if number == 0
            || self.ranges.len() >= MAX_PREFIXES
            || !self.ranges.add(address, bits, number)
        {
            self.passed += 1;
            return;
        }
        if let (Some(countries), Some(country)) = (&mut self.countries, country) {
            countries.add(address, bits, country);
        }
        self.name(number, name);
    }

    fn name(&mut self, number: u32, name: &str) {
        if !name.is_empty() && !self.names.contains_key(&number) {
            let mut end = name.len().min(MAX_NAME);
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            self.names.insert(number, name[..end].into());
        }
    }

    /// The AS that announces an address of the address columns.
    #[inline]
    pub fn find(&self, address: &[u8; 16]) -> Option<u32> {
        self.ranges.find(address)
    }

    /// What the table calls an AS.
    pub fn name_of(&self, number: u32) -> Option<&str> {
        self.names.get(&number).map(AsRef::as_ref)
    }

    /// All that the table says of an address; an IPv4 address within IPv6 is that IPv4 address.
    pub fn origin(&self, address: IpAddr) -> Option<Origin<'_>> {
        let bytes = address_bytes(address.to_canonical());
        let number = self.find(&bytes)?;
        let letters = self.countries.as_ref().and_then(|countries| countries.find(&bytes));
        let country = letters.map(|letters| {
            let [.., one, other] = letters.to_be_bytes();
            [char::from(one), char::from(other)]
        });
        Some(Origin { number, name: self.name_of(number), country })
    }

    /// How many prefixes it has, and how many lines or records were passed over.
    pub fn size(&self) -> (usize, u64) {
        (self.ranges.len(), self.passed)
    }
}

/// What is read of a record.
#[derive(Debug, serde::Deserialize)]
struct Record<'a> {
    autonomous_system_number: Option<u32>,
    #[serde(borrow)]
    autonomous_system_organization: Option<&'a str>,
    asn: Option<&'a str>,
    name: Option<&'a str>,
    country_code: Option<&'a str>,
    #[serde(borrow)]
    country: Option<Country<'a>>,
}

/// Some tables write the letters, others a record that has them.
#[derive(Debug, serde::Deserialize)]
#[serde(untagged)]
enum Country<'a> {
    Code(&'a str),
    Of { iso_code: Option<&'a str> },
}

/// Two letters as a number, if they are that.
fn country_of(text: &str) -> Option<u32> {
    match text.trim().as_bytes() {
        [one, other] if one.is_ascii_uppercase() && other.is_ascii_uppercase() => {
            Some(u32::from(*one) << 8 | u32::from(*other))
        }
        _ => None,
    }
}

fn as_number(text: &str) -> Option<u32> {
    text.strip_prefix("AS").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(table: &AsTable, address: &str) -> Option<u32> {
        table.find(&address_bytes(address.parse().expect("an address")))
    }

    #[test]
    fn tables_of_text_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("as.txt");
        let text = "; made of a dump\n192.0.2.0/24 64496 Example One\n192.0.2.128/25\tAS64497\n\
             2001:db8::/32,64498,\"Example Two\"\n198.51.100.0\t198.51.100.127\t64499\tDE\tRANGE\nnonsense\n10.0.0.0/40 1\n";
        std::fs::write(&path, text).expect("written");
        let table = AsTable::open(&path).expect("a table");
        assert_eq!(find(&table, "192.0.2.1"), Some(64_496));
        assert_eq!(find(&table, "192.0.2.200"), Some(64_497));
        assert_eq!(find(&table, "2001:db8::1"), Some(64_498));
        assert_eq!(find(&table, "198.51.100.127"), Some(64_499));
        assert_eq!(find(&table, "198.51.100.128"), None);
        assert_eq!(table.name_of(64_496), Some("Example One"));
        assert_eq!(table.name_of(64_498), Some("Example Two"));
        assert_eq!(table.name_of(64_499), Some("RANGE"));
        assert_eq!(table.size(), (4, 2));
        let origin = |table: &AsTable, address: &str| {
            let address = address.parse().expect("an address");
            table.origin(address).map(|origin| origin.to_string())
        };
        assert_eq!(origin(&table, "198.51.100.1").as_deref(), Some("AS64499 RANGE"));
        let table = AsTable::open_with_countries(&path).expect("a table");
        for (address, said) in [
            ("198.51.100.1", Some("AS64499 RANGE (DE)")),
            ("::ffff:198.51.100.1", Some("AS64499 RANGE (DE)")),
            ("192.0.2.129", Some("AS64497")),
            ("192.0.2.1", Some("AS64496 Example One")),
            ("203.0.113.1", None),
        ] {
            assert_eq!(origin(&table, address).as_deref(), said, "{address}");
        }
        assert_eq!(table.size(), (4, 2));
        std::fs::write(&path, "nothing\n").expect("written");
        assert!(AsTable::open(&path).expect_err("no table").to_string().contains("no prefix"));
        let path = folder.path().join("as.mmdb");
        std::fs::write(&path, b"not a database").expect("written");
        AsTable::open(&path).expect_err("no database");
    }
}
