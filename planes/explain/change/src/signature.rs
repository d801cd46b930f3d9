//! Whether a delivery comes from who knows the secret: over the body as it came, before a byte of it is
//! read as anything, in constant time.
//!
//! - GitHub: `X-Hub-Signature-256: sha256=` and HMAC-SHA256 of the body in hex
//!   (docs.github.com, "Validating webhook deliveries").
//! - GitLab: `webhook-signature: v1,` and HMAC-SHA256 of `id.timestamp.body` in base 64 (Standard Webhooks),
//!   where a signing token is set; else `X-Gitlab-Token`, the secret itself.
//! - generic: `X-Holm-Signature: sha256=` and HMAC-SHA256 of `timestamp.body` in hex, with
//!   `X-Holm-Timestamp` in seconds since 1970.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_model::Millis;
use holm_signed::{Choice, check_own, hex_of, same, same_secret, stale, tag_of};

use crate::{ChangeId, Provider, Source};

pub use holm_signed::Headers;

/// Most signatures of one delivery that are looked at (a secret that is being exchanged has two).
const MAX_SIGNATURES: usize = 4;
/// Longest id of a delivery that is signed with it, in bytes.
const MAX_ID_BYTES: usize = 255;

/// Why a delivery was refused before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature is missing or not that of the source, or there is no such source: who asks is not
    /// told which.
    #[error("no valid signature for this source")]
    Signature,
    /// It is signed, but not now.
    #[error(
        "the signature holds, but its timestamp is {off_s} s off this node's clock, and the most are 300; \
         set the sender's clock, and sign each attempt anew"
    )]
    Stale {
        /// How far, in seconds.
        off_s: u64,
    },
}

/// A delivery whose signature held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What tells it from all others: the same if it is delivered again.
    pub(crate) fingerprint: [u8; 32],
}

impl Signed {
    /// Checks a delivery to a source of `provider`. Without a source the same work is done, in vain.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(
        source: Option<&Source>,
        provider: Provider,
        headers: &Headers<'_>,
        body: &[u8],
        now: Millis,
    ) -> Result<Self, Refusal> {
        let live = |source: &&Source| source.provider == provider && source.revoked.is_none();
        let source = source.filter(live);
        let known = Choice::from(u8::from(source.is_some()));
        let nobody = nobody(provider);
        let source = source.unwrap_or(&nobody);
        let claim = match provider {
            Provider::Generic => generic(source, headers, body),
            Provider::GitHub => github(source, headers, body),
            Provider::GitLab => gitlab(source, headers, body),
        };
        if !bool::from(claim.holds & known) {
            return Err(Refusal::Signature);
        }
        if let Some(off_s) = claim.signed_at.and_then(|at| stale(at, now)) {
            return Err(Refusal::Stale { off_s });
        }
        let mut hasher = blake3::Hasher::new_derive_key("holm change delivery v1");
        for part in [provider.as_str().as_bytes(), source.id.as_bytes(), &claim.unique] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        // What is signed tells deliveries apart, not what could be sent with it by somebody else.
        if claim.unique.is_empty() {
            hasher.update(body);
        }
        Ok(Self { fingerprint: *hasher.finalize().as_bytes() })
    }

    /// What the `index`th change of this delivery is called, whose source says that `key` tells it from
    /// its others.
    pub fn id_of(&self, source: &str, key: Option<&str>, index: usize) -> ChangeId {
        match key {
            Some(key) => ChangeId::of(&[b"keyed", source.as_bytes(), key.as_bytes()]),
            None => {
                let index = (index as u64).to_le_bytes();
                ChangeId::of(&[b"delivered", &self.fingerprint, &index])
            }
        }
    }
}

/// Checked in the place of a source that is not there.
fn nobody(provider: Provider) -> Source {
    Source {
        id: "0000000000000000".into(),
        name: Box::default(),
        provider,
        // Of the length of those that are made.
        secret: "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(),
        by: Box::default(),
        created_at: Millis(0),
        revoked: None,
    }
}

/// What a signature says.
struct Claim {
    holds: Choice,
    /// When it was made, if that is signed.
    signed_at: Option<Millis>,
    /// What is signed beside the body that tells deliveries apart; empty if the body does.
    unique: Vec<u8>,
}

impl Claim {
    fn of(holds: Choice) -> Self {
        Self { holds, signed_at: None, unique: Vec::new() }
    }
}

fn generic(source: &Source, headers: &Headers<'_>, body: &[u8]) -> Claim {
    let own = check_own(&source.secret, headers, body);
    let mut unique = own.stamp.into_bytes();
    unique.extend_from_slice(blake3::hash(body).as_bytes());
    Claim { holds: own.holds, signed_at: own.signed_at, unique }
}

fn github(source: &Source, headers: &Headers<'_>, body: &[u8]) -> Claim {
    let tag = tag_of(source.secret.as_bytes(), &[body]);
    let given = headers("x-hub-signature-256").unwrap_or_default();
    Claim::of(same(&tag, &hex_of(&given, "sha256=")))
}

fn gitlab(source: &Source, headers: &Headers<'_>, body: &[u8]) -> Claim {
    let Some(signatures) = headers("webhook-signature") else {
        let token = headers("x-gitlab-token").unwrap_or_default();
        return Claim::of(same_secret(&source.secret, &token));
    };
    let id = headers("webhook-id").unwrap_or_default();
    let stamp = headers("webhook-timestamp").unwrap_or_default();
    let parts = [id.as_bytes(), b".", stamp.as_bytes(), b".", body];
    let tag = tag_of(&source.standard_key(), &parts);
    let given = signatures.split_ascii_whitespace().take(MAX_SIGNATURES);
    let holds = given.fold(Choice::from(0), |holds, given| {
        let given = given.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok());
        holds | same(&tag, &given.unwrap_or_default())
    });
    let Ok(seconds) = stamp.trim().parse::<u64>() else { return Claim::of(Choice::from(0)) };
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Claim::of(Choice::from(0));
    }
    let signed_at = Some(Millis(seconds.saturating_mul(1_000)));
    Claim { holds, signed_at, unique: id.into_bytes() }
}

#[cfg(test)]
mod tests {
    use holm_signed::hex;

    use super::*;

    fn source(provider: Provider, secret: &str) -> Source {
        Source::new("ci", provider, Some(secret), "ada", Millis(1), [7; 42]).expect("made")
    }

    fn check(
        source: Option<&Source>,
        provider: Provider,
        given: &[(&str, &str)],
        body: &[u8],
        now: Millis,
    ) -> Result<Signed, Refusal> {
        let given: Vec<(String, String)> =
            given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let headers =
            move |name: &str| given.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone());
        Signed::check(source, provider, &headers, body, now)
    }

    #[test]
    fn the_example_of_github_holds_and_nothing_near_it() {
        // docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
        let github = source(Provider::GitHub, "It's a Secret to Everybody");
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let ask = |source, tag: &str, body: &[u8]| {
            let given = [("x-hub-signature-256", tag)];
            check(source, Provider::GitHub, &given, body, Millis(5)).is_ok()
        };
        assert!(ask(Some(&github), good, b"Hello, World!"));
        assert!(!ask(Some(&github), good, b"Hello, World"));
        assert!(!ask(None, good, b"Hello, World!"), "no such source");
        let other = source(Provider::GitHub, "another secret of some length");
        assert!(!ask(Some(&other), good, b"Hello, World!"));
        for tag in ["", "sha256=", &good[7..], &good[..70], &good.replace('7', "x")] {
            assert!(!ask(Some(&github), tag, b"Hello, World!"), "{tag}");
        }
        let elsewhere = source(Provider::Generic, "It's a Secret to Everybody");
        assert!(!ask(Some(&elsewhere), good, b"Hello, World!"), "a source of another provider");
    }

    #[test]
    fn our_own_is_signed_with_its_time() {
        let own = source(Provider::Generic, "a long enough secret");
        let now = Millis(1_795_000_000_000);
        let at = |seconds: u64| {
            let stamp = seconds.to_string();
            let tag = tag_of(b"a long enough secret", &[stamp.as_bytes(), b".", b"{}".as_slice()]);
            let tag = format!("sha256={}", hex(&tag));
            let given = [("x-holm-timestamp", &*stamp), ("x-holm-signature", &*tag)];
            check(Some(&own), Provider::Generic, &given, b"{}", now)
        };
        let first = at(1_795_000_000).expect("good");
        assert_eq!(at(1_795_000_000), Ok(first.clone()), "the same again");
        assert_ne!(at(1_795_000_001), Ok(first), "signed anew");
        assert!(at(1_795_000_300).is_ok() && at(1_794_999_700).is_ok());
        assert_eq!(at(1_795_000_301), Err(Refusal::Stale { off_s: 301 }));
        assert_eq!(at(1_794_999_699), Err(Refusal::Stale { off_s: 301 }));
        let tag = format!("sha256={}", hex(&tag_of(b"a long enough secret", &[b".", b"{}"])));
        let given = [("x-holm-signature", &*tag)];
        let refused = check(Some(&own), Provider::Generic, &given, b"{}", now);
        assert_eq!(refused, Err(Refusal::Signature), "without a time nothing is signed");
    }

    #[test]
    fn gitlab_signs_or_shows_its_token() {
        let gitlab = Source::new("ci", Provider::GitLab, None, "ada", Millis(1), [7; 42]);
        let gitlab = gitlab.expect("made");
        let secret = gitlab.secret.to_string();
        let now = Millis(1_795_000_000_000);
        let token = |token: &str, body: &[u8]| {
            check(Some(&gitlab), Provider::GitLab, &[("x-gitlab-token", token)], body, now)
        };
        assert!(token(&secret, b"{}").is_ok());
        assert_eq!(token(&secret, b"{}"), token(&secret, b"{}"));
        assert_ne!(token(&secret, b"{}"), token(&secret, b"[]"));
        assert_eq!(token(&secret[1..], b"{}"), Err(Refusal::Signature));
        assert_eq!(token("", b"{}"), Err(Refusal::Signature));
        let signed = |id: &str, stamp: &str, tag: &[u8; 32], token: &str| {
            let tag = format!("v1,AAAA v1,{}", STANDARD.encode(tag));
            let given = [
                ("webhook-id", id),
                ("webhook-timestamp", stamp),
                ("webhook-signature", &*tag),
                ("x-gitlab-token", token),
            ];
            check(Some(&gitlab), Provider::GitLab, &given, b"{}", now)
        };
        let tag = tag_of(&[7; 32], &[b"m1.1795000000.{}"]);
        assert!(signed("m1", "1795000000", &tag, "").is_ok());
        assert_eq!(signed("m2", "1795000000", &tag, ""), Err(Refusal::Signature));
        let refused = signed("m2", "1795000000", &tag, &secret);
        assert_eq!(refused, Err(Refusal::Signature), "a token does not mend a wrong signature");
        let old = tag_of(&[7; 32], &[b"m1.1794990000.{}"]);
        assert_eq!(signed("m1", "1794990000", &old, ""), Err(Refusal::Stale { off_s: 10_000 }));
    }
}
