//! The words that a target says how it is probed with.

use serde::{Deserialize, Serialize};

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// The first that the resolver gives.
    #[default]
    #[serde(rename = "any")]
    Any,
    /// IPv4 only.
    #[serde(rename = "4")]
    V4,
    /// IPv6 only.
    #[serde(rename = "6")]
    V6,
}

/// The version of HTTP that is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/2 where TLS agrees on it, HTTP/1.1 otherwise.
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1.
    #[default]
    #[serde(rename = "1.1")]
    V1,
    /// HTTP/2; without TLS to who is known to speak it.
    #[serde(rename = "2")]
    V2,
    /// HTTP/3, over QUIC.
    #[serde(rename = "3")]
    V3,
}

impl HttpVersion {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::V1 => "1.1",
            Self::V2 => "2",
            Self::V3 => "3",
        }
    }
}

/// How a name server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsTransport {
    /// UDP, and TCP where the answer does not fit.
    #[default]
    Udp,
    /// TCP (RFC 7766).
    Tcp,
    /// TLS (RFC 7858).
    Tls,
    /// HTTPS (RFC 8484).
    Https,
    /// QUIC (RFC 9250).
    Quic,
}

impl DnsTransport {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }
}

/// How a SIP server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SipTransport {
    /// UDP.
    #[default]
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Tls,
}

impl SipTransport {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// Whether an answer of a name server is validated by DNSSEC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    /// It is not.
    #[default]
    None,
    /// It is: bogus and indeterminate ones are failures.
    Validate,
    /// One that is not signed is a failure as well.
    Require,
}

impl Dnssec {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Validate => "validate",
            Self::Require => "require",
        }
    }
}

/// What a probe of TLS finds out beside one handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsScan {
    /// Nothing: one connection.
    None,
    /// Which versions it takes, and whether it takes a suite that is weak or without forward secrecy: six connections
    /// at most.
    #[default]
    Versions,
    /// All suites of TLS 1.2 as well: one connection more for each.
    Ciphers,
}

impl TlsScan {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Versions => "versions",
            Self::Ciphers => "ciphers",
        }
    }
}
