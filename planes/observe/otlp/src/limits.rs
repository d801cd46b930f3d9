//! The bounds of one request. Each has a counter that tells when it was met.

/// Longest body, in bytes, as it was sent and as it is unpacked.
pub const MAX_BODY_BYTES: usize = 4 << 20;
/// A span that ended so long ago, in milliseconds, is not taken: everything that is taken is counted by SLOs, which
/// look at the last 26 hours again.
pub const OLD_MS: u64 = 24 * 3_600_000;
/// A span that ends so far ahead of the node's clock, in milliseconds, is not taken: alert rules leave such rows out.
pub const AHEAD_MS: u64 = 5 * 60_000;

/// How much of one request is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Spans (`spans_too_many`).
    pub spans: usize,
    /// Bytes of one span, resource or scope in protobuf (`spans_too_large`).
    pub message_bytes: usize,
    /// Attributes of a span that are kept (`attributes_dropped`); OpenTelemetry's SDKs keep 128.
    pub attributes: usize,
    /// Attributes of a resource that are kept (`attributes_dropped`).
    pub resource_attributes: usize,
    /// Bytes of a key; an attribute with a longer one is left out (`attributes_dropped`).
    pub key_bytes: usize,
    /// Bytes of a text of a span; the rest is cut off (`values_cut`).
    pub value_bytes: usize,
    /// Bytes of a text of a resource, which each of its spans has; the rest is cut off (`values_cut`).
    pub resource_value_bytes: usize,
    /// About how many bytes all rows of a request have in memory (`spans_too_many`).
    pub row_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spans: 10_000,
            message_bytes: 64 << 10,
            attributes: 128,
            resource_attributes: 64,
            key_bytes: 256,
            value_bytes: 4_096,
            resource_value_bytes: 1_024,
            row_bytes: 48 << 20,
        }
    }
}
