//! SPIFFE bundles: the roots of one trust domain, and the map of domains that a node trusts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::cert::{Cert, Place};
use crate::id::TrustDomain;
use crate::key::{SpkiHash, SubjectPublicKey};

/// Largest bundle or bundle map that is read, in bytes of JSON.
pub const MAX_BUNDLE_BYTES: usize = 256 * 1024;
/// Most roots of one trust domain.
pub const MAX_ROOTS: usize = 16;
/// Most trust domains in a map.
pub const MAX_DOMAINS: usize = 64;
/// How often to ask for news when the bundle does not say, in seconds (SPIFFE Federation §4.1).
pub const DEFAULT_REFRESH_S: u64 = 300;

const USE_X509: &str = "x509-svid";

/// Why a bundle was refused. What was held before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not the JSON of a bundle.
    #[error("the bundle of {domain} cannot be read: {reason}; it must be a JWK set with \"keys\"")]
    Json {
        /// Whose bundle.
        domain: String,
        /// What is wrong.
        reason: String,
    },
    /// A root that is no CA certificate.
    #[error("key {index} of the bundle of {domain} is not a usable CA certificate: {reason}")]
    Root {
        /// Whose bundle.
        domain: String,
        /// Place in `keys`.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// Over a bound.
    #[error("{what} has more than {max} {unit}; take out what is no longer needed")]
    TooLarge {
        /// The bundle or the map.
        what: String,
        /// The bound.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// A trust domain twice in one map.
    #[error(
        "trust domain {domain} stands twice in the bundle map; bundles are never merged: keep one"
    )]
    DuplicateDomain {
        /// Which.
        domain: String,
    },
    /// An update that goes back.
    #[error(
        "the bundle of {domain} has sequence {offered}, this node already has {held}; publish changes with a higher spiffe_sequence"
    )]
    StaleSequence {
        /// Whose bundle.
        domain: String,
        /// What was offered.
        offered: u64,
        /// What is held.
        held: u64,
    },
}

/// The X.509 roots of one trust domain. Without roots, nobody of the domain is trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    trust_domain: TrustDomain,
    roots: Vec<CertificateDer<'static>>,
    sequence: Option<u64>,
    refresh_hint_s: Option<u64>,
}

#[derive(Deserialize)]
struct JwksIn {
    keys: Option<Vec<serde_json::Value>>,
    spiffe_sequence: Option<u64>,
    spiffe_refresh_hint: Option<u64>,
}

#[derive(Serialize)]
struct JwksOut {
    keys: Vec<JwkOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_refresh_hint: Option<u64>,
}

#[derive(Serialize)]
struct JwkOut {
    r#use: &'static str,
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    x5c: [String; 1],
}

impl Bundle {
    /// A bundle of P-256 roots, as this mesh makes them.
    ///
    /// # Errors
    /// [`BundleError::Root`] if one is not a CA certificate on a P-256 key.
    pub fn new(
        trust_domain: &TrustDomain,
        roots: Vec<CertificateDer<'static>>,
        sequence: u64,
        refresh_hint_s: u64,
    ) -> Result<Self, BundleError> {
        let mut bundle = Self {
            trust_domain: trust_domain.clone(),
            roots: Vec::new(),
            sequence: Some(sequence),
            refresh_hint_s: Some(refresh_hint_s),
        };
        for (index, root) in roots.into_iter().enumerate() {
            bundle.add(index, root)?;
        }
        Ok(bundle)
    }

    /// Parses the JWK set that `trust_domain` published. Which domain it speaks for must be known
    /// from elsewhere: the document does not say (Trust Domain and Bundle §3).
    ///
    /// # Errors
    /// [`BundleError`] if it is malformed, over a bound, or has an unusable x509-svid root.
    pub fn from_jwks(trust_domain: &TrustDomain, json: &[u8]) -> Result<Self, BundleError> {
        check_size(&format!("the bundle of {trust_domain}"), json)?;
        let refuse = |reason| BundleError::Json { domain: trust_domain.to_string(), reason };
        let jwks: JwksIn =
            serde_json::from_slice(json).map_err(|error| refuse(error.to_string()))?;
        Self::from_parsed(trust_domain, jwks)
    }

    fn from_parsed(trust_domain: &TrustDomain, jwks: JwksIn) -> Result<Self, BundleError> {
        let refuse = |reason| BundleError::Json { domain: trust_domain.to_string(), reason };
        // Trust Domain and Bundle §4.1.3: "The parameter keys MUST be present."
        let keys = jwks.keys.ok_or_else(|| refuse("\"keys\" is missing".to_owned()))?;
        let mut bundle = Self {
            trust_domain: trust_domain.clone(),
            roots: Vec::new(),
            sequence: jwks.spiffe_sequence,
            refresh_hint_s: jwks.spiffe_refresh_hint,
        };
        for (index, key) in keys.iter().enumerate() {
            if let Some(encoded) = x509_certificate(key) {
                let der = STANDARD.decode(encoded).map_err(|error| BundleError::Root {
                    domain: trust_domain.to_string(),
                    index,
                    reason: error.to_string(),
                })?;
                bundle.add(index, der.into())?;
            }
        }
        Ok(bundle)
    }

    fn add(&mut self, index: usize, root: CertificateDer<'static>) -> Result<(), BundleError> {
        let domain = self.trust_domain.to_string();
        if self.roots.len() == MAX_ROOTS {
            let what = format!("the bundle of {domain}");
            return Err(BundleError::TooLarge { what, max: MAX_ROOTS, unit: "roots" });
        }
        let checked = Cert::parse(&root, Place::Root)
            .map_err(|error| error.to_string())
            .and_then(|cert| cert.is_ca().then_some(()).ok_or("cA is not true".to_owned()));
        if let Err(reason) = checked {
            return Err(BundleError::Root { domain, index, reason });
        }
        if !self.roots.contains(&root) {
            self.roots.push(root);
        }
        Ok(())
    }

    /// The JWK set to publish.
    ///
    /// # Errors
    /// [`BundleError::Root`] if a root is not on a P-256 key (a foreign bundle is not ours to
    /// publish).
    pub fn to_jwks(&self) -> Result<String, BundleError> {
        let jwks = self.to_parsed()?;
        serde_json::to_string_pretty(&jwks).map_err(|error| BundleError::Json {
            domain: self.trust_domain.to_string(),
            reason: error.to_string(),
        })
    }

    fn to_parsed(&self) -> Result<JwksOut, BundleError> {
        let keys = self.roots.iter().enumerate().map(|(index, root)| {
            jwk(root).ok_or_else(|| BundleError::Root {
                domain: self.trust_domain.to_string(),
                index,
                reason: "its key is not P-256".to_owned(),
            })
        });
        Ok(JwksOut {
            keys: keys.collect::<Result<_, _>>()?,
            spiffe_sequence: self.sequence,
            spiffe_refresh_hint: self.refresh_hint_s,
        })
    }

    /// Whose roots these are.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The CA certificates, DER.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The publisher's sequence number, if it gives one.
    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// How often to ask for news, in seconds: at least 1, [`DEFAULT_REFRESH_S`] when not given.
    pub fn refresh_s(&self) -> u64 {
        self.refresh_hint_s.unwrap_or(DEFAULT_REFRESH_S).max(1)
    }

    /// The hashes of the roots' keys.
    pub fn root_keys(&self) -> Vec<SpkiHash> {
        let parsed = self.roots.iter().filter_map(|root| Cert::parse(root, Place::Root).ok());
        parsed.map(|cert| cert.spki_hash()).collect()
    }

    pub(crate) fn contains(&self, der: &[u8]) -> bool {
        self.roots.iter().any(|root| root.as_ref() == der)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({}, {} roots, {:?})", self.trust_domain, self.roots.len(), self.sequence)
    }
}

/// The certificate of a JWK entry, or `None` for an entry that must be ignored.
fn x509_certificate(key: &serde_json::Value) -> Option<&str> {
    // Trust Domain and Bundle §4.2.1, §4.2.2: unknown kty or use: "MUST ignore the entire JWK
    // element".
    if !matches!(key.get("kty")?.as_str()?, "EC" | "RSA" | "OKP") {
        return None;
    }
    if key.get("use")?.as_str()? != USE_X509 {
        return None;
    }
    // X509-SVID §6.2: "If x5c is not set, or is empty, then the entry MUST be ignored"; "all but the
    // first MUST be ignored".
    key.get("x5c")?.as_array()?.first()?.as_str()
}

/// X509-SVID §6.1: use is x509-svid, kid is not set, x5c has exactly one certificate.
fn jwk(root: &CertificateDer<'_>) -> Option<JwkOut> {
    let cert = Cert::parse(root, Place::Root).ok()?;
    let key = SubjectPublicKey::from_der(cert.spki()).ok()?;
    let (x, y) = key.point().get(1..65)?.split_at(32);
    Some(JwkOut {
        r#use: USE_X509,
        kty: "EC",
        crv: "P-256",
        x: URL_SAFE_NO_PAD.encode(x),
        y: URL_SAFE_NO_PAD.encode(y),
        x5c: [STANDARD.encode(root)],
    })
}

fn check_size(what: &str, json: &[u8]) -> Result<(), BundleError> {
    if json.len() > MAX_BUNDLE_BYTES {
        let what = what.to_owned();
        return Err(BundleError::TooLarge { what, max: MAX_BUNDLE_BYTES, unit: "bytes" });
    }
    Ok(())
}

/// The bundles of the trust domains that a node trusts. Bundles of different domains are never
/// merged (SPIFFE Federation §5): a root speaks for its own domain only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BundleMap(BTreeMap<TrustDomain, Bundle>);

impl BundleMap {
    /// A map of one domain.
    pub fn of(bundle: Bundle) -> Self {
        Self(BTreeMap::from([(bundle.trust_domain.clone(), bundle)]))
    }

    /// Adds the bundle of a domain that is not there yet.
    ///
    /// # Errors
    /// [`BundleError::DuplicateDomain`], [`BundleError::TooLarge`].
    pub fn insert(&mut self, bundle: Bundle) -> Result<(), BundleError> {
        let full = self.0.len() >= MAX_DOMAINS;
        match self.0.entry(bundle.trust_domain.clone()) {
            Entry::Occupied(entry) => {
                Err(BundleError::DuplicateDomain { domain: entry.key().to_string() })
            }
            Entry::Vacant(_) if full => Err(BundleError::TooLarge {
                what: "the bundle map".to_owned(),
                max: MAX_DOMAINS,
                unit: "trust domains",
            }),
            Entry::Vacant(entry) => {
                entry.insert(bundle);
                Ok(())
            }
        }
    }

    /// Takes a newer bundle of a domain, or the first. Says whether anything changed.
    ///
    /// # Errors
    /// [`BundleError::StaleSequence`] if the sequence does not grow (Trust Domain and Bundle §4.1.1:
    /// it "MUST be a monotonically increasing integer, and MUST be changed whenever the contents of
    /// the bundle are updated").
    pub fn update(&mut self, bundle: Bundle) -> Result<bool, BundleError> {
        let Some(held) = self.0.get(&bundle.trust_domain) else {
            return self.insert(bundle).map(|()| true);
        };
        if *held == bundle {
            return Ok(false);
        }
        if let Some(held) = held.sequence {
            // A bundle without a number is older than any with one: it would undo a removal.
            let offered = bundle.sequence.unwrap_or(0);
            if offered <= held {
                let domain = bundle.trust_domain.to_string();
                return Err(BundleError::StaleSequence { domain, offered, held });
            }
        }
        self.0.insert(bundle.trust_domain.clone(), bundle);
        Ok(true)
    }

    /// The bundle of `domain`.
    pub fn find(&self, domain: &TrustDomain) -> Option<&Bundle> {
        self.0.get(domain)
    }

    /// Every bundle, by domain.
    pub fn iter(&self) -> impl Iterator<Item = &Bundle> {
        self.0.values()
    }

    /// The trusted domains, for messages.
    pub(crate) fn names(&self) -> String {
        match self.0.len() {
            0 => "none".to_owned(),
            _ => self.0.keys().map(TrustDomain::as_str).collect::<Vec<_>>().join(", "),
        }
    }

    /// Parses `{"trust_domains": {"<domain>": <JWK set>, …}}`.
    ///
    /// # Errors
    /// [`BundleError`] if it is malformed, over a bound, or has a domain twice.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct File {
            trust_domains: Pairs,
        }
        check_size("the bundle map", json)?;
        let file: File = serde_json::from_slice(json).map_err(|error| BundleError::Json {
            domain: "the bundle map".to_owned(),
            reason: error.to_string(),
        })?;
        let mut map = Self::default();
        for (domain, jwks) in file.trust_domains.0 {
            map.insert(Bundle::from_parsed(&domain, jwks)?)?;
        }
        Ok(map)
    }

    /// What [`BundleMap::from_json`] reads.
    ///
    /// # Errors
    /// [`BundleError::Root`] if a root is not on a P-256 key.
    pub fn to_json(&self) -> Result<String, BundleError> {
        #[derive(Serialize)]
        struct File<'a> {
            trust_domains: BTreeMap<&'a str, JwksOut>,
        }
        let trust_domains = self.0.iter().map(|(domain, b)| Ok((domain.as_str(), b.to_parsed()?)));
        let file = File { trust_domains: trust_domains.collect::<Result<_, _>>()? };
        serde_json::to_string_pretty(&file).map_err(|error| BundleError::Json {
            domain: "the bundle map".to_owned(),
            reason: error.to_string(),
        })
    }
}

/// A JSON object as pairs: a map type would quietly keep the last of two equal keys.
struct Pairs(Vec<(TrustDomain, JwksIn)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from trust domain to bundle")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}
