//! From the body of a request to rows.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use holm_model::Millis;

use crate::limits::{Limits, MAX_BODY_BYTES};
use crate::row::{Making, SpanRow};
use crate::tally::Tally;
use crate::{json, protobuf};

/// How a body is written (OTLP 1.x, "OTLP/HTTP").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`: the JSON mapping of OTLP.
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

impl Encoding {
    /// The encoding of a content type, without regard to its parameters.
    pub fn of(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("application/x-protobuf") {
            Some(Self::Protobuf)
        } else if is("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// The content type of answers.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// Why a body is no export of traces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is no export of traces: {0}")]
pub struct Malformed(pub(crate) String);

/// What a request asks to be kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Export {
    /// Its spans, in their order.
    pub spans: Vec<SpanRow>,
    /// What was left out of them, and which were refused.
    pub tally: Tally,
}

/// Unpacks a body that is packed by gzip (RFC 1952). `None`: what it unpacks to is longer than
/// [`MAX_BODY_BYTES`], and was not unpacked further.
///
/// # Errors
/// [`Malformed`]: it is not packed so.
pub fn inflate(body: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut unpacked = Vec::new();
    let most = MAX_BODY_BYTES as u64;
    let mut reader = MultiGzDecoder::new(body).take(most + 1);
    let read = reader.read_to_end(&mut unpacked);
    read.map_err(|error| {
        Malformed(format!("it is not packed by gzip, as its content-encoding says: {error}"))
    })?;
    Ok((unpacked.len() <= MAX_BODY_BYTES).then_some(unpacked))
}

/// Reads a body that came in at `now`.
///
/// # Errors
/// [`Malformed`]: nothing of it is taken. A span that cannot be read alone is refused alone.
pub fn read(
    body: &[u8],
    encoding: Encoding,
    limits: &Limits,
    now: Millis,
) -> Result<Export, Malformed> {
    let mut making = Making::new(limits, now);
    match encoding {
        Encoding::Json => json::read(body, &mut making)?,
        Encoding::Protobuf => protobuf::read(body, &mut making)?,
    }
    Ok(making.done())
}
