//! DNSSEC, from the root's anchors down to an answer and its denial (RFC 4033 to 4035, RFC 5155).
//!
//! What comes in: an answer, the records that were fetched so far, the anchors and the time. What goes out: which
//! records are needed next, or what the answer is: secure, insecure, bogus or indeterminate (RFC 4033 §5), with the
//! zone where it broke and why. [`judge`] does no I/O and takes the time; [`validate`] fetches what it asks for. What
//! must never happen: an answer that is called secure and whose signatures do not lead to an anchor, and work that
//! whoever answers can make without a bound (CVE-2023-50387, CVE-2023-50868).

mod denial;
mod fetch;
mod judge;
mod signed;
#[cfg(test)]
mod tests;

use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::rr::{Name, RData, Record};

pub(super) use fetch::validate;

/// Most questions beside the one that is asked.
pub(crate) const MAX_LOOKUPS: usize = 40;
/// Most signatures that are tried for one answer, and for one set of records.
pub(super) const MAX_SIGNATURES: u32 = 64;
const MAX_TRIES: u32 = 8;
/// Most keys and most DS records of a zone that are looked at.
const MAX_KEYS: usize = 32;
const MAX_DS: usize = 16;
/// Most names that are hashed for NSEC3, and most iterations of one (RFC 9276 §3.2).
pub(super) const MAX_HASHES: u32 = 96;
const MAX_ITERATIONS: u16 = 100;
/// Most sets of an answer that deny something.
const MAX_DENIALS: usize = 16;
/// Most aliases within an answer.
const MAX_ALIASES: usize = 8;
/// Most anchors.
const MAX_ANCHORS: usize = 16;

/// The keys of the root that are trusted: KSK-2017 and KSK-2024 (IANA, root-anchors.xml).
const ROOT_ANCHORS: [&str; 2] = [
    "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    "38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
];

/// The keys of the root that are trusted, as DS records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Anchors(Vec<DS>);

impl Anchors {
    /// `configured` are DS records of the root as they are written in zone files; none: those of the Internet.
    pub(crate) fn of(configured: &[String]) -> Result<Self, String> {
        if configured.len() > MAX_ANCHORS {
            return Err(format!("planes.active.dns_anchors: at most {MAX_ANCHORS}"));
        }
        let read = |text: &str| {
            anchor(text).ok_or_else(|| {
                format!(
                    "planes.active.dns_anchors: {text} is no DS record of the root: key tag, algorithm, digest type (1, 2 or 4) and digest, such as {}",
                    ROOT_ANCHORS[0]
                )
            })
        };
        match configured.is_empty() {
            true => ROOT_ANCHORS.into_iter().map(read).collect::<Result<_, _>>().map(Self),
            false => configured.iter().map(|text| read(text)).collect::<Result<_, _>>().map(Self),
        }
    }
}

fn anchor(text: &str) -> Option<DS> {
    let text = text.trim().trim_start_matches('.').trim_start();
    let text = text.strip_prefix("IN").unwrap_or(text).trim_start();
    let mut words = text.strip_prefix("DS").unwrap_or(text).split_whitespace();
    let tag = words.next()?.parse().ok()?;
    let algorithm = Algorithm::from_u8(words.next()?.parse().ok()?);
    let digest_type = DigestType::from(words.next()?.parse::<u8>().ok()?);
    let digits: String = words.collect();
    let length = match digest_type {
        DigestType::SHA1 => 20,
        DigestType::SHA256 => 32,
        DigestType::SHA384 => 48,
        _ => return None,
    };
    let right = digits.len() == 2 * length && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if !right || !algorithm.is_supported() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    let digest = (0..length).map(|n| byte(2 * n)).collect::<Option<Vec<u8>>>()?;
    Some(DS::new(tag, algorithm, digest_type, digest))
}

/// What an answer is (RFC 4033 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Signed, from an anchor down.
    Secure,
    /// Somebody above it who is trusted says that it is not signed.
    Insecure,
    /// It should be signed, and is not as it should be.
    Bogus,
    /// What would be needed to tell was not to be had.
    Indeterminate,
}

impl Trust {
    /// As it stands in rows.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Insecure => "insecure",
            Self::Bogus => "bogus",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// What an answer is, and why it is not secure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) trust: Trust,
    pub(crate) reason: String,
    /// The zone where the chain ends or breaks.
    pub(crate) zone: Option<Name>,
}

impl Verdict {
    pub(crate) fn new(trust: Trust, zone: &Name, reason: impl Into<String>) -> Self {
        Self { trust, reason: reason.into(), zone: Some(zone.clone()) }
    }
}

/// What judging took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) signatures: u32,
    pub(crate) hashes: u32,
    /// When the first of the signatures that the verdict rests on ends, in seconds since 1970.
    pub(crate) ends_s: Option<u32>,
}

/// A record's data of DNSSEC.
fn data(record: &Record) -> Option<&DNSSECRData> {
    match &record.data {
        RData::DNSSEC(data) => Some(data),
        _ => None,
    }
}
