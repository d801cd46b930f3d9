//! Where an address is said to be: a table from a file, offline.
//!
//! Read are MaxMind's format (`.mmdb` with `city`, `country` and `location`, as GeoLite2 City and its like), and text:
//! a prefix, the country's two letters, the place, latitude and longitude between tabs, as an operator writes down where
//! the own networks are. A table says where the holder of a prefix is thought to be; that is often not where a router
//! stands.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::Path;

use maxminddb::geoip2;

use crate::ranges::Ranges;

/// Largest file.
const MAX_BYTES: u64 = 1 << 30;
/// Most lines of a text.
const MAX_LINES: usize = 1_000_000;
/// Longest name of a place, in bytes.
const MAX_NAME: usize = 64;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// The file cannot be read.
    #[error("{0}: cannot be read: {1}; check what geo_file names")]
    Read(String, std::io::Error),
    /// It is no table.
    #[error(
        "{0}: {1}; it is a .mmdb of cities, or lines with tabs such as \"192.0.2.0/24 DE Frankfurt 50.11 8.68\""
    )]
    NoTable(String, String),
}

/// Where an address is, as a table has it.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The city, or what an operator calls the place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The country: two letters (ISO 3166-1 alpha-2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Latitude and longitude in degrees, north and east positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<[f64; 2]>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.country, self.at) {
            (Some(name), Some(country), _) => write!(f, "{name}, {country}"),
            (Some(one), None, _) | (None, Some(one), _) => f.write_str(one),
            (None, None, Some([north, east])) => write!(f, "{north:.2} {east:.2}"),
            (None, None, None) => Ok(()),
        }
    }
}

impl Place {
    /// What is not usable is left out; nothing where all is.
    fn of(name: &str, country: &str, at: Option<[f64; 2]>) -> Option<Self> {
        let letters = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let on_earth = |[north, east]: &[f64; 2]| north.abs() <= 90.0 && east.abs() <= 180.0;
        let place = Self {
            name: Some(short(name)).filter(|name| !name.is_empty()),
            country: letters.then(|| country.to_owned()),
            at: at.filter(on_earth),
        };
        (place != Self::default()).then_some(place)
    }
}

/// At most 64 bytes, without control characters.
fn short(name: &str) -> String {
    let mut short: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    while short.len() > MAX_NAME {
        short.pop();
    }
    short
}

/// Places by prefix.
#[derive(Debug, Default)]
pub struct Places(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    None,
    Mmdb(Box<maxminddb::Reader<Vec<u8>>>),
    Text {
        ranges: Ranges,
        places: Vec<Place>,
    },
}

impl Places {
    /// Reads a table.
    ///
    /// # Errors
    /// [`PlacesError`]
    pub fn open(path: &Path) -> Result<Self, PlacesError> {
        let shown = path.display().to_string();
        let failed = |error| PlacesError::Read(shown.clone(), error);
        let file = std::fs::File::open(path).map_err(failed)?.take(MAX_BYTES);
        let read = if path.extension().is_some_and(|extension| extension == "mmdb") {
            let mut bytes = Vec::new();
            BufReader::new(file).read_to_end(&mut bytes).map_err(failed)?;
            let reader = maxminddb::Reader::from_source(bytes).map_err(|error| error.to_string());
            reader.map(|reader| Kind::Mmdb(Box::new(reader)))
        } else {
            Self::read_text(BufReader::new(file)).map_err(failed)?
        };
        read.map(Self).map_err(|what| PlacesError::NoTable(shown, what))
    }

    fn read_text(mut lines: impl BufRead) -> std::io::Result<Result<Kind, String>> {
        let (mut ranges, mut places) = (Ranges::default(), Vec::new());
        let mut line = Vec::new();
        while places.len() < MAX_LINES {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let text = String::from_utf8_lossy(&line);
            let Some((prefix, place)) = line_of(&text) else { continue };
            let index = u32::try_from(places.len()).unwrap_or(u32::MAX);
            if ranges.add(prefix.0, prefix.1, index) {
                places.push(place);
            }
        }
        if places.is_empty() {
            return Ok(Err("it has no line with a prefix and a place".into()));
        }
        ranges.build();
        Ok(Ok(Kind::Text { ranges, places }))
    }

    /// Where an address is; an IPv4 address within IPv6 is that IPv4 address.
    pub fn of(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        match &self.0 {
            Kind::None => None,
            Kind::Text { ranges, places } => {
                let index = ranges.find_ip(address)?;
                places.get(usize::try_from(index).ok()?).cloned()
            }
            Kind::Mmdb(reader) => {
                let city: geoip2::City<'_> = reader.lookup(address).ok()?.decode().ok()??;
                let name = city.city.names.english.unwrap_or_default();
                let country = city.country.iso_code.unwrap_or_default();
                let at = city.location.latitude.zip(city.location.longitude);
                Place::of(name, country, at.map(|(north, east)| [north, east]))
            }
        }
    }
}

/// A line of a text: the prefix and the place; `None` for comments and what is none.
fn line_of(line: &str) -> Option<((IpAddr, u8), Place)> {
    let mut parts = line.trim_end_matches(['\r', '\n']).split('\t').map(str::trim);
    let (address, bits) = parts.next()?.split_once('/')?;
    let (address, bits) = (address.parse().ok()?, bits.parse().ok()?);
    let (country, name) = (parts.next()?, parts.next().unwrap_or_default());
    let at = parts.next().zip(parts.next());
    let at = at.and_then(|(north, east)| Some([north.parse().ok()?, east.parse().ok()?]));
    Some(((address, bits), Place::of(name, country, at)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(places: &Places, address: &str) -> Option<String> {
        places.of(address.parse().expect("an address")).map(|place| place.to_string())
    }

    #[test]
    fn a_text_of_the_own_networks_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("places.tsv");
        let text = "# ours\n192.0.2.0/24\tDE\tFrankfurt\t50.11\t8.68\n192.0.2.128/25\tCH\n\
            2001:db8::/32\t\tThe lab\t\t\n198.51.100.0/24\t\t\t-33.9\t18.4\nnonsense\n203.0.113.0/24\tde\t\t91\t0\n10.0.0.0/40\tDE\n";
        std::fs::write(&path, text).expect("written");
        let places = Places::open(&path).expect("a table");
        for (address, place) in [
            ("192.0.2.1", Some("Frankfurt, DE")),
            ("::ffff:192.0.2.1", Some("Frankfurt, DE")),
            ("192.0.2.129", Some("CH")),
            ("2001:db8::1", Some("The lab")),
            ("198.51.100.7", Some("-33.90 18.40")),
            // Neither its letters nor its degrees are any.
            ("203.0.113.1", None),
            ("10.0.0.1", None),
        ] {
            assert_eq!(said(&places, address).as_deref(), place, "{address}");
        }
        assert_eq!(said(&Places::default(), "192.0.2.1"), None);
        std::fs::write(&path, "nothing\n").expect("written");
        let error = Places::open(&path).expect_err("no table").to_string();
        assert!(error.contains("no line") && error.contains("places.tsv"), "{error}");
    }

    /// The least file of MaxMind's format: one prefix of IPv4, whose data is `data`.
    fn mmdb(first: [u8; 4], bits: u32, data: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let address = u32::from_be_bytes(first);
        for depth in 0..bits {
            let last = depth + 1 == bits;
            // 16 bytes of separator are counted with the data.
            let on = if last { bits + 16 } else { depth + 1 };
            let bit = address >> (31 - depth) & 1;
            for side in 0..2 {
                let record = if side == bit { on } else { bits };
                file.extend(&record.to_be_bytes()[1..]);
            }
        }
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        let number = |key: &str, kind: u8, value: &[u8]| {
            let size = u8::try_from(value.len()).expect("short");
            // Types above 7 stand in a byte of their own.
            let control = if kind > 7 { vec![size, kind - 7] } else { vec![kind << 5 | size] };
            [text(key), control, value.to_vec()].concat()
        };
        let entries = [
            number("binary_format_major_version", 5, &2_u16.to_be_bytes()),
            number("binary_format_minor_version", 5, &[]),
            number("build_epoch", 9, &1_700_000_000_u64.to_be_bytes()),
            [text("database_type"), text("Test-City")].concat(),
            [text("description"), map(&[])].concat(),
            number("ip_version", 5, &4_u16.to_be_bytes()),
            [text("languages"), vec![0, 4]].concat(),
            number("node_count", 6, &bits.to_be_bytes()),
            number("record_size", 5, &24_u16.to_be_bytes()),
        ];
        file.extend(map(&entries));
        file
    }

    fn text(text: &str) -> Vec<u8> {
        let size = u8::try_from(text.len()).expect("short");
        assert!(size < 29, "longer ones have more bytes of size");
        [&[2 << 5 | size], text.as_bytes()].concat()
    }

    fn map(entries: &[Vec<u8>]) -> Vec<u8> {
        let size = u8::try_from(entries.len()).expect("few");
        [vec![7 << 5 | size], entries.concat()].concat()
    }

    fn degrees(key: &str, value: f64) -> Vec<u8> {
        [text(key), vec![3 << 5 | 8], value.to_be_bytes().to_vec()].concat()
    }

    #[test]
    fn a_database_of_cities_is_read() {
        let within = |key: &str, entries: &[Vec<u8>]| [text(key), map(entries)].concat();
        let named = |key: &str, value: &str| [text(key), text(value)].concat();
        let data = map(&[
            within("city", &[within("names", &[named("en", "Frankfurt am Main")])]),
            within("country", &[named("iso_code", "DE")]),
            within("location", &[degrees("latitude", 50.1188), degrees("longitude", 8.6843)]),
        ]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("city.mmdb");
        std::fs::write(&path, mmdb([192, 0, 2, 0], 24, &data)).expect("written");
        let places = Places::open(&path).expect("a database");
        let place = places.of("192.0.2.9".parse().expect("an address")).expect("there");
        assert_eq!(place.to_string(), "Frankfurt am Main, DE");
        assert_eq!(place.at, Some([50.1188, 8.6843]));
        assert_eq!(said(&places, "192.0.3.9"), None);
        assert_eq!(said(&places, "2001:db8::1"), None, "it has no IPv6");
        std::fs::write(&path, b"not a database").expect("written");
        let error = Places::open(&path).expect_err("no database").to_string();
        assert!(error.contains("mmdb of cities"), "{error}");
    }
}
