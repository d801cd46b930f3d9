//! Trust domains and SPIFFE IDs: parsed once, by every rule of SPIFFE-ID §2.

use std::fmt;
use std::str::FromStr;

use holm_model::{NodeName, SiteId};
use serde::{Deserialize, Serialize};

/// Longest trust domain in bytes (SPIFFE-ID §2.3: the host of a URI has at most 255).
pub const MAX_TRUST_DOMAIN_BYTES: usize = 255;
/// Longest SPIFFE ID in bytes that must be supported, and the longest that is (SPIFFE-ID §2.3).
pub const MAX_SPIFFE_ID_BYTES: usize = 2048;

const SCHEME: &str = "spiffe://";

/// Why a trust domain or a SPIFFE ID was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{value}\" is not a {what}: {reason}; write it as spiffe://<trust-domain>/site/<site>/node/<node> with a trust domain of a-z, 0-9, '.', '-', '_'"
)]
pub struct SpiffeIdError {
    what: &'static str,
    value: String,
    reason: &'static str,
}

impl SpiffeIdError {
    fn new(what: &'static str, value: &str, reason: &'static str) -> Self {
        let value = value.chars().take(80).flat_map(char::escape_debug).collect();
        Self { what, value, reason }
    }

    /// The rule that the value breaks.
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// A trust domain: the namespace that one set of root keys speaks for (SPIFFE-ID §2.1).
///
/// 1 to 255 bytes of `a-z`, `0-9`, `.`, `-`, `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Box<str>);

impl TrustDomain {
    /// Parses the bare name, without `spiffe://`.
    ///
    /// # Errors
    /// [`SpiffeIdError`] names the rule that `name` breaks.
    pub fn new(name: &str) -> Result<Self, SpiffeIdError> {
        let refuse = |reason| Err(SpiffeIdError::new("trust domain", name, reason));
        // SPIFFE-ID §2: "include a non-zero trust domain name".
        if name.is_empty() {
            return refuse("the trust domain is empty");
        }
        if name.len() > MAX_TRUST_DOMAIN_BYTES {
            return refuse("the trust domain is longer than 255 bytes");
        }
        // SPIFFE-ID §2.1: no userinfo, no port, no ':'; lower case, no percent-encoding. The
        // character set excludes all of them at once.
        let good =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if !name.bytes().all(good) {
            return refuse("the trust domain has a character other than a-z, 0-9, '.', '-', '_'");
        }
        Ok(Self(name.into()))
    }

    /// The name, without `spiffe://`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SPIFFE ID of the domain itself, which only signing certificates may carry
    /// (X509-SVID §3.2).
    pub fn id(&self) -> SpiffeId {
        SpiffeId { trust_domain: self.clone(), path: "".into() }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;
    fn from_str(name: &str) -> Result<Self, SpiffeIdError> {
        Self::new(name)
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = SpiffeIdError;
    fn try_from(name: String) -> Result<Self, SpiffeIdError> {
        Self::new(&name)
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0.into()
    }
}

/// A SPIFFE ID: `spiffe://<trust domain>[/<segment>…]`, at most 2048 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: Box<str>,
}

impl SpiffeId {
    /// Parses `uri`.
    ///
    /// # Errors
    /// [`SpiffeIdError`] names the rule that `uri` breaks.
    pub fn parse(uri: &str) -> Result<Self, SpiffeIdError> {
        let refuse = |reason| SpiffeIdError::new("SPIFFE ID", uri, reason);
        if uri.len() > MAX_SPIFFE_ID_BYTES {
            return Err(refuse("it is longer than 2048 bytes"));
        }
        // SPIFFE-ID §2: "Valid SPIFFE IDs MUST use the spiffe scheme".
        let rest = uri.strip_prefix(SCHEME).ok_or_else(|| refuse("the scheme is not spiffe"))?;
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let trust_domain = TrustDomain::new(domain).map_err(|error| refuse(error.reason))?;
        if !path.is_empty() {
            check_path(path).map_err(refuse)?;
        }
        Ok(Self { trust_domain, path: path.into() })
    }

    /// The identity of a node: `spiffe://<domain>/site/<site>/node/<node>`.
    pub fn node(domain: &TrustDomain, site: &SiteId, node: &NodeName) -> Self {
        Self { trust_domain: domain.clone(), path: format!("/site/{site}/node/{node}").into() }
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading `/`, or empty.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Site and node, if the path is that of a node (`/site/<site>/node/<node>`).
    pub fn site_and_node(&self) -> Option<(SiteId, NodeName)> {
        let (site, node) = self.path.strip_prefix("/site/")?.split_once("/node/")?;
        Some((SiteId::new(site).ok()?, NodeName::new(node).ok()?))
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    for segment in path.split('/').skip(1) {
        // SPIFFE-ID §2.2: no empty segment, hence no trailing '/'; no '.' or '..' segment.
        if segment.is_empty() {
            return Err("a path segment is empty or the path ends with '/'");
        }
        if matches!(segment, "." | "..") {
            return Err("a path segment is '.' or '..'");
        }
        // SPIFFE-ID §2 "MUST NOT include a query or fragment component" and §2.2 (no
        // percent-encoding): '?', '#' and '%' are outside the character set.
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !segment.bytes().all(good) {
            return Err("a path segment has a character other than a-z, A-Z, 0-9, '.', '-', '_'");
        }
    }
    Ok(())
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.trust_domain, self.path)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;
    fn from_str(uri: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(uri)
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;
    fn try_from(uri: String) -> Result<Self, SpiffeIdError> {
        Self::parse(&uri)
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_tried_in_a_trust_domain_and_in_a_path() {
        for byte in 0..=255u8 {
            if byte == b'/' {
                continue;
            }
            let c = char::from(byte);
            let in_domain = matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
            let in_path = in_domain || c.is_ascii_uppercase();
            let domain = SpiffeId::parse(&format!("spiffe://trustdomain{c}/path"));
            let path = SpiffeId::parse(&format!("spiffe://trustdomain/path{c}"));
            assert_eq!(domain.is_ok(), in_domain, "{byte:#x} in a trust domain");
            assert_eq!(path.is_ok(), in_path, "{byte:#x} in a path");
        }
    }

    #[test]
    fn good_ids_keep_their_text() {
        for good in [
            "spiffe://trustdomain",
            "spiffe://trustdomain/path",
            "spiffe://trustdomain/.path",
            "spiffe://trustdomain/..path",
            "spiffe://trustdomain/...",
            "spiffe://a.b-c_d/X/y/Z",
        ] {
            assert_eq!(SpiffeId::parse(good).expect("a good id").to_string(), good);
        }
        let longest = format!("spiffe://d/{}", "a".repeat(2048 - 11));
        assert_eq!(SpiffeId::parse(&longest).expect("2048 bytes").to_string(), longest);
        assert!(SpiffeId::parse(&format!("{longest}a")).is_err(), "2049 bytes");
        assert!(TrustDomain::new(&"d".repeat(255)).is_ok());
        assert!(TrustDomain::new(&"d".repeat(256)).is_err());
    }

    #[test]
    fn bad_ids_are_refused_with_the_rule_they_break() {
        for (bad, rule) in [
            ("", "scheme"),
            ("s", "scheme"),
            ("spiffe:/", "scheme"),
            ("Spiffe://trustdomain", "scheme"),
            ("https://trustdomain/path", "scheme"),
            ("spiffe://", "empty"),
            ("spiffe:///path", "empty"),
            ("spiffe://user@trustdomain/path", "character"),
            ("spiffe://trustdomain:8443/path", "character"),
            ("spiffe://Trustdomain/path", "character"),
            ("spiffe://%62%61%64/path", "character"),
            ("spiffe://trustdomain/", "ends with"),
            ("spiffe://trustdomain//", "segment is empty"),
            ("spiffe://trustdomain//path", "segment is empty"),
            ("spiffe://trustdomain/path/", "ends with"),
            ("spiffe://trustdomain/.", "'.' or '..'"),
            ("spiffe://trustdomain/path/../other", "'.' or '..'"),
            ("spiffe://trustdomain/path?query", "character"),
            ("spiffe://trustdomain/path#fragment", "character"),
            ("spiffe://trustdomain?query", "character"),
            ("spiffe://trustdomain/%F0%9F%A4%AF", "character"),
        ] {
            let error = SpiffeId::parse(bad).expect_err(bad);
            assert!(error.reason().contains(rule), "{bad}: {error}");
        }
    }

    #[test]
    fn a_node_id_names_its_site_and_node() {
        let domain = TrustDomain::new("holm.test").expect("domain");
        let (site, node) = (SiteId::new("berlin").expect("site"), NodeName::new("n1").expect("n"));
        let id = SpiffeId::node(&domain, &site, &node);
        assert_eq!(id.to_string(), "spiffe://holm.test/site/berlin/node/n1");
        assert_eq!(SpiffeId::parse(&id.to_string()).expect("parses"), id);
        assert_eq!(id.site_and_node(), Some((site, node)));
        for other in ["/site/berlin", "/site/berlin/node/n1/x", "/site/B/node/n1", "/x"] {
            let id = SpiffeId::parse(&format!("spiffe://holm.test{other}")).expect("an id");
            assert_eq!(id.site_and_node(), None, "{other}");
        }
    }
}
