//! Webhooks that are signed: those that come in, and those that go out.
//!
//! What comes in: a secret, headers and a body as they came. What goes out: whether they belong together, as
//! a [`Choice`], so that nothing is decided before all work is done. What must never happen: a comparison
//! that tells by its time how much of it held, or a byte of a body that is read before.
//!
//! Our own form (`docs/changes.md`, `docs/paging.md`): `X-Holm-Timestamp` in seconds since 1970, and
//! `X-Holm-Signature: sha256=` with the HMAC-SHA-256 (RFC 2104, FIPS 180-4) of `timestamp.body` in hex.

use holm_model::Millis;
use ring::hmac;
use subtle::ConstantTimeEq;

pub use subtle::Choice;

/// The header with our own signature, in lower case.
pub const SIGNATURE: &str = "x-holm-signature";
/// The header with the time that is signed with it, in lower case.
pub const TIMESTAMP: &str = "x-holm-timestamp";
/// How far a signed time may be off, in milliseconds.
pub const WINDOW_MS: u64 = 5 * 60 * 1_000;

/// The value of a header by its name in lower case; `None` if it is not there or not text.
pub type Headers<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// HMAC-SHA-256 of `parts`, one after the other.
pub fn tag_of(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// Whether `given` is the tag.
pub fn same(tag: &[u8; 32], given: &[u8]) -> Choice {
    let mut padded = [0; 32];
    let length = given.len().min(32);
    padded[..length].copy_from_slice(&given[..length]);
    tag.ct_eq(&padded) & Choice::from(u8::from(given.len() == 32))
}

/// Whether a secret that is shown is the right one: by hashes of both, so that neither length nor place of a
/// difference is told.
pub fn same_secret(secret: &str, given: &str) -> Choice {
    let (secret, given) = (blake3::hash(secret.as_bytes()), blake3::hash(given.as_bytes()));
    secret.as_bytes().ct_eq(given.as_bytes())
}

/// The bytes of `prefix` and 64 digits of hex; none if it is not that.
pub fn hex_of(text: &str, prefix: &str) -> Vec<u8> {
    let Some(digits) = text.trim().strip_prefix(prefix).filter(|hex| hex.len() == 64) else {
        return Vec::new();
    };
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|p| Some(digit(p[0])? << 4 | digit(p[1])?)).collect::<Option<_>>().unwrap_or_default()
}

/// A tag in hex.
pub fn hex(tag: &[u8]) -> String {
    tag.iter().map(|b| format!("{b:02x}")).collect()
}

/// What the headers of our own form claim.
#[derive(Debug, Clone)]
pub struct Own {
    /// Whether the signature is that of the secret over the time and the body.
    pub holds: Choice,
    /// The time that is signed; `None` if there is none, and then nothing holds.
    pub signed_at: Option<Millis>,
    /// The time as it was written: it is part of what was signed.
    pub stamp: String,
}

/// Checks our own form.
pub fn check_own(secret: &str, headers: &Headers<'_>, body: &[u8]) -> Own {
    let stamp = headers(TIMESTAMP).unwrap_or_default();
    let tag = tag_of(secret.as_bytes(), &[stamp.as_bytes(), b".", body]);
    let given = hex_of(&headers(SIGNATURE).unwrap_or_default(), "sha256=");
    let signed_at = stamp.trim().parse::<u64>().ok().map(|s| Millis(s.saturating_mul(1_000)));
    let holds = same(&tag, &given) & Choice::from(u8::from(signed_at.is_some()));
    Own { holds, signed_at, stamp }
}

/// The headers of our own form, for a body that is sent at `now`: name and value, the time first.
pub fn sign_own(secret: &str, body: &[u8], now: Millis) -> [(&'static str, String); 2] {
    let stamp = (now.0 / 1_000).to_string();
    let tag = tag_of(secret.as_bytes(), &[stamp.as_bytes(), b".", body]);
    [(TIMESTAMP, stamp), (SIGNATURE, format!("sha256={}", hex(&tag)))]
}

/// How far a signed time is off, in seconds, if that is further than it may be.
pub fn stale(signed_at: Millis, now: Millis) -> Option<u64> {
    let off = now.since(signed_at).max(signed_at.since(now));
    (off > WINDOW_MS).then_some(off / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_here_holds_here_and_nothing_near_it() {
        let now = Millis(1_795_000_000_123);
        let signed = sign_own("a long enough secret", b"{}", now);
        let check = |secret: &str, body: &[u8], skip: &str| {
            let headers = |name: &str| {
                let found = signed.iter().find(|(of, _)| *of == name && *of != skip);
                found.map(|(_, value)| value.clone())
            };
            let own = check_own(secret, &headers, body);
            (bool::from(own.holds), own.signed_at)
        };
        let at = Some(Millis(1_795_000_000_000));
        assert_eq!(check("a long enough secret", b"{}", ""), (true, at));
        assert_eq!(check("a long enough secret", b"{ }", ""), (false, at));
        assert_eq!(check("another secret", b"{}", ""), (false, at));
        assert_eq!(check("a long enough secret", b"{}", SIGNATURE), (false, at));
        assert_eq!(check("a long enough secret", b"{}", TIMESTAMP), (false, None));
    }

    #[test]
    fn the_test_case_of_rfc_4231() {
        // RFC 4231, 4.3: key "Jefe", data "what do ya want for nothing?".
        let tag = tag_of(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        let given = "v1=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(bool::from(same(&tag, &hex_of(given, "v1="))));
        for odd in ["", "v1=", &given[..60], &given.replace('5', "x"), &given[3..]] {
            assert!(!bool::from(same(&tag, &hex_of(odd, "v1="))), "{odd}");
        }
    }

    #[test]
    fn a_time_may_be_five_minutes_off() {
        let now = Millis(10_000_000);
        assert_eq!(stale(now - WINDOW_MS, now), None);
        assert_eq!(stale(now + WINDOW_MS, now), None);
        assert_eq!(stale(now + WINDOW_MS + 1_000, now), Some(301));
        assert_eq!(stale(Millis(0), now), Some(10_000));
    }
}
