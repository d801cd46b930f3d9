//! Where webhooks come from: a name, who speaks, and the secret that tells them from others.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_model::Millis;

use crate::id::base32;

/// Most sources of a tenant that are not revoked.
pub const MAX_SOURCES: usize = 64;
/// Longest name of a source, in bytes.
const MAX_NAME_BYTES: usize = 63;
/// Shortest and longest secret, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=255;
/// The area of policies in which sources are, each by its id.
pub const SOURCES_AREA: &str = "change-source";
/// How a secret begins whose rest is the key in base 64 (Standard Webhooks).
const ENCODED: &str = "whsec_";

/// Who sends webhooks, and so how they are signed and what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Anything that signs as `docs/changes.md` says.
    Generic,
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
}

impl Provider {
    /// Every provider, in order.
    pub const ALL: [Self; 3] = [Self::Generic, Self::GitHub, Self::GitLab];

    /// The provider as it is written everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|provider| provider.as_str() == text);
        known.ok_or("a provider is one of generic, github, gitlab")
    }
}

/// Why a source was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A name that cannot be one.
    #[error("name: it has 1 to {MAX_NAME_BYTES} bytes without control characters")]
    Name,
    /// A secret that is too easy to guess, or too long.
    #[error("secret: it has {len} bytes, and needs 16 to 255; leave it out to have one made")]
    Secret {
        /// Its length.
        len: usize,
    },
    /// A secret that begins as an encoded one and is none.
    #[error("secret: what follows {ENCODED} is not base64 of at least 16 bytes")]
    Encoding,
    /// There are as many as there may be.
    #[error("there are {MAX_SOURCES} sources already; revoke some that are not needed")]
    TooMany,
    /// There is none of that id that counts.
    #[error("no source has the id {0}; `GET /v1/changes/sources` lists those there are")]
    Unknown(String),
}

/// A source of webhooks.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// What it is called in the address that it sends to: 16 letters and digits.
    pub id: Box<str>,
    /// What people call it.
    pub name: Box<str>,
    /// Who sends.
    pub provider: Provider,
    /// The shared secret, as it is entered at the provider.
    pub secret: Box<str>,
    /// Who made it.
    pub by: Box<str>,
    /// When.
    pub created_at: Millis,
    /// That it counts no longer.
    pub revoked: Option<Revoked>,
}

/// That a source counts no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// When that was said.
    pub at: Millis,
    /// By whom.
    pub by: Box<str>,
}

impl fmt::Debug for Source {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} {} {:?})", self.id, self.provider, self.name)
    }
}

impl Source {
    /// A source with `secret`, or one that is made of `random`; the id is made of `random`, too.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn new(
        name: &str,
        provider: Provider,
        secret: Option<&str>,
        by: &str,
        now: Millis,
        random: [u8; 42],
    ) -> Result<Self, SourceError> {
        let name = name.trim();
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            return Err(SourceError::Name);
        }
        let made = || format!("{ENCODED}{}", STANDARD.encode(&random[10..]));
        let secret = secret.map_or_else(made, str::to_owned);
        if !SECRET_BYTES.contains(&secret.len()) {
            return Err(SourceError::Secret { len: secret.len() });
        }
        if let Some(encoded) = secret.strip_prefix(ENCODED) {
            let key = STANDARD.decode(encoded).map_err(|_| SourceError::Encoding)?;
            if key.len() < *SECRET_BYTES.start() {
                return Err(SourceError::Encoding);
            }
        }
        let number = random[..10].iter().fold(0, |n: u128, b| n << 8 | u128::from(*b));
        Ok(Self {
            id: base32(number, 16).into(),
            name: name.into(),
            provider,
            secret: secret.into(),
            by: crate::change::cut(by, 200),
            created_at: now,
            revoked: None,
        })
    }

    /// The same, revoked and without its secret.
    #[must_use]
    pub fn revoke(&self, by: &str, at: Millis) -> Self {
        let revoked = Revoked { at, by: crate::change::cut(by, 200) };
        Self { secret: Box::default(), revoked: Some(revoked), ..self.clone() }
    }

    /// Whether `id` can be one.
    pub(crate) fn is_id(id: &str) -> bool {
        id.len() == 16 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    }

    /// The key of Standard Webhooks: the secret decoded, or as it is.
    pub(crate) fn standard_key(&self) -> Vec<u8> {
        let decoded = self.secret.strip_prefix(ENCODED).and_then(|s| STANDARD.decode(s).ok());
        decoded.unwrap_or_else(|| self.secret.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_a_secret_that_is_hard_to_guess() {
        let make = |name: &str, secret| {
            Source::new(name, Provider::GitLab, secret, "ada", Millis(1), [7; 42])
        };
        let source = make("ci", None).expect("made");
        assert!(Source::is_id(&source.id) && source.standard_key() == [7; 32]);
        assert!(source.secret.starts_with("whsec_") && source.secret.len() > 40);
        assert!(!format!("{source:?}").contains(&*source.secret));
        assert_eq!(make("", None), Err(SourceError::Name));
        assert_eq!(make("ci", Some("short")), Err(SourceError::Secret { len: 5 }));
        assert_eq!(make("ci", Some("whsec_not base 64 at all")), Err(SourceError::Encoding));
        let own = make("ci", Some("a long enough secret")).expect("made");
        assert_eq!(own.standard_key(), b"a long enough secret");
    }
}
