//! Join tokens: single-use, short-lived, and they carry the pin, so that nothing is trusted on first use.
//!
//! `holm_join_` and base64url without padding of, numbers big-endian, `block` = u16 length and bytes:
//! ```text
//! version u8 = 2 | length of all this u16 | id 16 | secret 32 | SHA-256 of the root's SPKI 32 |
//! SHA-256 of the SPKI of the maker's web certificate 32 | expires u64 (ms since 1970) | trust domain block | site block | seeds u8 | seed blocks |
//! first 8 bytes of SHA-256 over all before
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holm_model::{Millis, SiteId};
use rand::CryptoRng;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::bytes::{Reader, Writer, hex, unhex};
use crate::clock::{show, span};
use crate::id::TrustDomain;
use crate::key::SpkiHash;

/// What every token starts with.
pub const TOKEN_PREFIX: &str = "holm_join_";
/// Longest token, in characters.
pub const MAX_TOKEN_CHARS: usize = 4096;
/// Most seed addresses in a token.
pub const MAX_SEEDS: usize = 8;
/// Most tokens that a node remembers, used and expired ones included.
pub const MAX_STORED_TOKENS: usize = 1024;
/// Default lifetime of a token: 1 hour.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a used or expired token is remembered, so that the answer is "used" and not "unknown".
pub const TOKEN_MEMORY: Duration = Duration::from_secs(30 * 86_400);

const VERSION: u8 = 2;
const CHECKSUM_BYTES: usize = 8;
const MAX_SEED_BYTES: usize = 255;

/// Why a token was refused. A refused token is not used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Its hour is over.
    #[error("the join token expired {} ago, at {} (this node's clock says {}); make a new one with `holm token create`{}", span(now.since(*expires)), show(*expires), show(*now), if now.since(*expires) < 172_800_000 { ", and check the clocks if it was just made" } else { "" })]
    Expired {
        /// Its end.
        expires: Millis,
        /// The time of the check.
        now: Millis,
    },
    /// Of another mesh.
    #[error(
        "the join token is for the mesh {token}, this node belongs to {own}; make one there, or start with an empty data folder"
    )]
    Foreign {
        /// The token's mesh.
        token: String,
        /// This node's.
        own: String,
    },
    /// Too many tokens are remembered.
    #[error("this node remembers {MAX_STORED_TOKENS} join tokens already; wait for some to expire")]
    Full,
    /// A seed that is no address.
    #[error("the seed address {0:?} is not host:port")]
    Seed(String),
    /// Changed on its way.
    #[error(
        "the join token was changed or mistyped: its checksum or secret is wrong; copy it again as a whole"
    )]
    Tampered,
    /// Not a token.
    #[error(
        "that is not a join token: one starts with holm_join_ and has letters, digits, '-' and '_' only; copy it again as a whole"
    )]
    NotAToken,
    /// Longer than any token.
    #[error("the join token is longer than {MAX_TOKEN_CHARS} characters; copy only the token")]
    TooLong,
    /// A part is missing.
    #[error("the join token is cut off after {0} bytes; copy it again as a whole")]
    Truncated(usize),
    /// Nobody here made it.
    #[error(
        "this node did not make that join token, or forgot it; ask the node that made it, or make a new one with `holm token create`"
    )]
    Unknown,
    /// Made by a newer Holm.
    #[error(
        "the join token is of version {0}, this node reads version {VERSION}; upgrade this node"
    )]
    UnknownVersion(u8),
    /// Used before.
    #[error("the join token was used at {}; each joins one node: make a new one with `holm token create`, and if that use was not yours, revoke the node that joined with it", show(*at))]
    Used {
        /// When.
        at: Millis,
    },
}

impl TokenError {
    /// A stable word for logs, metrics and the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "token_expired",
            Self::Foreign { .. } => "token_foreign",
            Self::Full => "token_store_full",
            Self::Seed(_) => "token_seed",
            Self::Tampered => "token_tampered",
            Self::NotAToken => "token_malformed",
            Self::TooLong => "token_too_long",
            Self::Truncated(_) => "token_truncated",
            Self::Unknown => "token_unknown",
            Self::UnknownVersion(_) => "token_version",
            Self::Used { .. } => "token_used",
        }
    }
}

/// The keys that a seed must show: SHA-256 of SPKIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeedPins {
    /// The root that its chain must end in: the mesh's.
    pub root: SpkiHash,
    /// Its web certificate's own: that of the node that made the token, and alone knows it.
    pub server: SpkiHash,
}

/// A token's public name: 16 random bytes, 32 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId([u8; 16]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl TryFrom<String> for TokenId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        unhex(&text).map(Self).ok_or("a token id is 32 hex digits")
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.to_string()
    }
}

/// A token's secret: wiped when dropped, never shown, 64 hex digits where it must be sent.
#[derive(Clone, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JoinSecret([u8; 32]);

impl JoinSecret {
    fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        hash
    }
}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(…)")
    }
}

impl TryFrom<String> for JoinSecret {
    type Error = &'static str;
    fn try_from(mut text: String) -> Result<Self, Self::Error> {
        let secret = unhex(&text).map(Self);
        text.zeroize();
        secret.ok_or("a token secret is 64 hex digits")
    }
}

impl From<JoinSecret> for String {
    fn from(secret: JoinSecret) -> Self {
        hex(&secret.0)
    }
}

/// What a joining node shows to the node it joins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinProof {
    /// Which token.
    pub id: TokenId,
    /// Its secret.
    pub secret: JoinSecret,
    /// The mesh it is for.
    pub trust_domain: TrustDomain,
}

/// A join token: whoever holds it may enrol one node.
#[derive(Debug, Clone)]
pub struct JoinToken {
    id: TokenId,
    secret: JoinSecret,
    pins: SeedPins,
    expires: Millis,
    trust_domain: TrustDomain,
    site: SiteId,
    seeds: Vec<String>,
}

/// For which mesh, site and addresses a token is made, and how long it is good.
#[derive(Debug, Clone)]
pub struct TokenOffer {
    /// The mesh.
    pub trust_domain: TrustDomain,
    /// The site that the new node joins.
    pub site: SiteId,
    /// The keys that the seed will show.
    pub pins: SeedPins,
    /// `host:port` of the HTTPS API of nodes that enrol, 1 to [`MAX_SEEDS`], best first.
    pub seeds: Vec<String>,
    /// How long it is good.
    pub lifetime: Duration,
}

impl JoinToken {
    /// Makes a token, and what the making node stores of it.
    ///
    /// # Errors
    /// [`TokenError::Seed`] if a seed is not `host:port`, or there is none or too many.
    pub fn mint(
        rng: &mut impl CryptoRng,
        offer: TokenOffer,
        now: Millis,
    ) -> Result<(Self, StoredToken), TokenError> {
        if offer.seeds.is_empty() || offer.seeds.len() > MAX_SEEDS {
            return Err(TokenError::Seed(format!("{} seeds, not 1 to 8", offer.seeds.len())));
        }
        for seed in &offer.seeds {
            check_seed(seed)?;
        }
        let (mut id, mut secret) = ([0; 16], JoinSecret([0; 32]));
        rng.fill_bytes(&mut id);
        rng.fill_bytes(&mut secret.0);
        let lifetime_ms = u64::try_from(offer.lifetime.as_millis()).unwrap_or(u64::MAX);
        let TokenOffer { trust_domain, site, pins, seeds, .. } = offer;
        let token = Self {
            id: TokenId(id),
            secret,
            pins,
            expires: now + lifetime_ms,
            trust_domain,
            site,
            seeds,
        };
        let stored = StoredToken {
            id: token.id,
            secret_hash: SpkiHash(token.secret.hash()),
            site: token.site.clone(),
            expires: token.expires,
            used: None,
        };
        Ok((token, stored))
    }

    /// Parses a token's text. Surrounding white space is passed over.
    ///
    /// # Errors
    /// [`TokenError`] tells a cut token from a changed one and from one of another version.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > MAX_TOKEN_CHARS {
            return Err(TokenError::TooLong);
        }
        let encoded = text.strip_prefix(TOKEN_PREFIX).ok_or(TokenError::NotAToken)?;
        let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if encoded.is_empty() || !encoded.bytes().all(alphabet) {
            return Err(TokenError::NotAToken);
        }
        // A cut can leave a last character that is half a byte: count it as cut, not as garbage.
        let bytes = match URL_SAFE_NO_PAD.decode(encoded) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(_) => return Err(cut_or_changed(encoded)),
        };
        let mut reader = Reader(&bytes);
        let version = reader.u8().ok_or(TokenError::Truncated(0))?;
        if version != VERSION {
            return Err(TokenError::UnknownVersion(version));
        }
        let length = usize::from(reader.u16().ok_or(TokenError::Truncated(bytes.len()))?);
        if bytes.len() < length {
            return Err(TokenError::Truncated(bytes.len()));
        }
        let (body, checksum) = bytes
            .split_at_checked(length.saturating_sub(CHECKSUM_BYTES))
            .ok_or(TokenError::Tampered)?;
        if checksum != &digest(&SHA256, body).as_ref()[..CHECKSUM_BYTES] {
            return Err(TokenError::Tampered);
        }
        let mut reader = Reader(body.get(3..).unwrap_or_default());
        Self::read(&mut reader).filter(|_| reader.is_empty()).ok_or(TokenError::Tampered)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let id = TokenId(reader.array()?);
        let secret = JoinSecret(reader.array()?);
        let pins = SeedPins { root: SpkiHash(reader.array()?), server: SpkiHash(reader.array()?) };
        let expires = Millis(reader.u64()?);
        let trust_domain = TrustDomain::new(reader.text()?).ok()?;
        let site = SiteId::new(reader.text()?).ok()?;
        let count = usize::from(reader.u8()?);
        if count == 0 || count > MAX_SEEDS {
            return None;
        }
        let mut seeds = Vec::with_capacity(count);
        for _ in 0..count {
            let seed = reader.text()?;
            check_seed(seed).ok()?;
            seeds.push(seed.to_owned());
        }
        Some(Self { id, secret, pins, expires, trust_domain, site, seeds })
    }

    /// The token's text: a secret, wiped when dropped.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut body = Writer::default();
        body.raw(&self.id.0)
            .raw(&self.secret.0)
            .raw(&self.pins.root.0)
            .raw(&self.pins.server.0)
            .u64(self.expires.0);
        let texts = [self.trust_domain.as_str(), self.site.as_str()];
        for (at, text) in texts.into_iter().chain(self.seeds.iter().map(String::as_str)).enumerate()
        {
            if at == texts.len() {
                // At most MAX_SEEDS: checked where seeds come in.
                body.u8(u8::try_from(self.seeds.len()).unwrap_or(u8::MAX));
            }
            // Each text has at most 255 bytes: checked where it came in.
            let _ = body.block(text.as_bytes());
        }
        let body = Zeroizing::new(body.0);
        let mut whole = Writer::default();
        let length = 3 + body.len() + CHECKSUM_BYTES;
        whole.u8(VERSION).u16(u16::try_from(length).unwrap_or(u16::MAX)).raw(&body);
        let checksum = digest(&SHA256, &whole.0);
        whole.raw(&checksum.as_ref()[..CHECKSUM_BYTES]);
        let whole = Zeroizing::new(whole.0);
        Zeroizing::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(&*whole)))
    }

    /// Refuses a token whose hour is over: before anything is sent.
    ///
    /// # Errors
    /// [`TokenError::Expired`].
    pub fn check(&self, now: Millis) -> Result<(), TokenError> {
        if now >= self.expires {
            return Err(TokenError::Expired { expires: self.expires, now });
        }
        Ok(())
    }

    /// Refuses a token of another mesh than the one that this node belongs to.
    ///
    /// # Errors
    /// [`TokenError::Foreign`].
    pub fn check_mesh(&self, own: &TrustDomain) -> Result<(), TokenError> {
        check_mesh(&self.trust_domain, own)
    }

    /// Its public name.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The keys that the seed must show.
    pub fn pins(&self) -> SeedPins {
        self.pins
    }

    /// Its end.
    pub fn expires(&self) -> Millis {
        self.expires
    }

    /// The mesh.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The site to join.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// `host:port` of the nodes to ask, best first.
    pub fn seeds(&self) -> &[String] {
        &self.seeds
    }

    /// What to send to the seed.
    pub fn proof(&self) -> JoinProof {
        let (id, secret) = (self.id, self.secret.clone());
        JoinProof { id, secret, trust_domain: self.trust_domain.clone() }
    }
}

fn check_mesh(token: &TrustDomain, own: &TrustDomain) -> Result<(), TokenError> {
    if token != own {
        return Err(TokenError::Foreign { token: token.to_string(), own: own.to_string() });
    }
    Ok(())
}

/// The text does not decode: cut in the middle of a byte, or changed at its end.
fn cut_or_changed(encoded: &str) -> TokenError {
    let whole = encoded.len() / 4 * 4;
    let prefix = encoded.get(..whole).unwrap_or_default();
    let declared = URL_SAFE_NO_PAD.decode(prefix).ok().and_then(|bytes| {
        let bytes = Zeroizing::new(bytes);
        let mut reader = Reader(&bytes);
        let (_, length) = (reader.u8()?, reader.u16()?);
        Some((bytes.len(), usize::from(length)))
    });
    match declared {
        Some((there, length)) if there + 2 < length => TokenError::Truncated(there),
        Some(_) => TokenError::Tampered,
        None => TokenError::Truncated(whole / 4 * 3),
    }
}

fn check_seed(seed: &str) -> Result<(), TokenError> {
    let good = seed.rsplit_once(':').is_some_and(|(host, port)| {
        let in_brackets = host.starts_with('[') && host.ends_with(']');
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let host_is_good = if in_brackets {
            host[1..host.len() - 1].parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            !host.is_empty() && host.bytes().all(known)
        };
        host_is_good && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if !good || seed.len() > MAX_SEED_BYTES {
        let shown = seed.chars().take(80).collect();
        return Err(TokenError::Seed(shown));
    }
    Ok(())
}

/// What the making node keeps of a token: enough to recognise it, not to use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    id: TokenId,
    /// SHA-256 of the secret: 256 random bits need no slower hash.
    secret_hash: SpkiHash,
    site: SiteId,
    expires: Millis,
    used: Option<Millis>,
}

impl StoredToken {
    /// Its public name.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The site that it enrols into.
    pub fn site(&self) -> &SiteId {
        &self.site
    }

    /// Its end.
    pub fn expires(&self) -> Millis {
        self.expires
    }

    /// When it was used, if it was.
    pub fn used(&self) -> Option<Millis> {
        self.used
    }

    /// Uses the token up. The caller stores it before it answers.
    ///
    /// The secret is compared in constant time and before anything is said about the token.
    ///
    /// # Errors
    /// [`TokenError::Tampered`], [`TokenError::Used`], [`TokenError::Expired`].
    pub fn redeem(&mut self, secret: &JoinSecret, now: Millis) -> Result<(), TokenError> {
        if !bool::from(secret.hash().ct_eq(&self.secret_hash.0)) {
            return Err(TokenError::Tampered);
        }
        if let Some(at) = self.used {
            return Err(TokenError::Used { at });
        }
        if now >= self.expires {
            return Err(TokenError::Expired { expires: self.expires, now });
        }
        self.used = Some(now);
        Ok(())
    }
}

/// The tokens that a node made: at most [`MAX_STORED_TOKENS`], forgotten [`TOKEN_MEMORY`] after
/// their end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenLedger {
    tokens: BTreeMap<TokenId, StoredToken>,
}

impl TokenLedger {
    /// Remembers a token.
    ///
    /// # Errors
    /// [`TokenError::Full`].
    pub fn add(&mut self, token: StoredToken, now: Millis) -> Result<(), TokenError> {
        let memory_ms = u64::try_from(TOKEN_MEMORY.as_millis()).unwrap_or(u64::MAX);
        self.tokens.retain(|_, token| token.expires + memory_ms > now);
        if self.tokens.len() >= MAX_STORED_TOKENS {
            return Err(TokenError::Full);
        }
        self.tokens.insert(token.id, token);
        Ok(())
    }

    /// Uses up the token that `proof` shows. Store the ledger before answering.
    ///
    /// # Errors
    /// [`TokenError`] says what is wrong with it.
    pub fn redeem(
        &mut self,
        proof: &JoinProof,
        own: &TrustDomain,
        now: Millis,
    ) -> Result<StoredToken, TokenError> {
        check_mesh(&proof.trust_domain, own)?;
        let token = self.tokens.get_mut(&proof.id).ok_or(TokenError::Unknown)?;
        token.redeem(&proof.secret, now)?;
        Ok(token.clone())
    }

    /// Every remembered token.
    pub fn iter(&self) -> impl Iterator<Item = &StoredToken> {
        self.tokens.values()
    }
}
