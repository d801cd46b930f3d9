//! What is wrong with how a server does TLS, from what was seen of it. Judges without a clock of its own.

use holm_model::{Millis, Severity};

use crate::tls_facts::TlsFacts;

const DAY_MS: u64 = 86_400_000;
/// RSA keys of fewer bits are weak (NIST SP 800-57 part 1, table 2; CA/Browser Forum BR §6.1.5).
const LEAST_RSA_BITS: u32 = 2_048;
/// The same of elliptic curves (NIST SP 800-57 part 1, table 2).
const LEAST_EC_BITS: u32 = 224;
/// How many days before its end a certificate is to be renewed, if nothing else is asked for.
pub const EXPIRES_SOON_DAYS: u32 = 21;

/// What a finding is of, in the order in which they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsFindingKind {
    /// The certificate has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It is not for the name that was asked for.
    NameMismatch,
    /// It is signed by itself.
    SelfSigned,
    /// The server does not send the certificates between its own and a trusted root.
    ChainIncomplete,
    /// Its chain is not trusted for another reason.
    Untrusted,
    /// Its issuer has revoked it.
    Revoked,
    /// The status that the server sends with it does not hold.
    StapleInvalid,
    /// It says that its server must send its status, and that does not.
    StapleMissing,
    /// It ends soon.
    ExpiresSoon,
    /// A certificate of its issuers ends soon, or has ended.
    ChainExpires,
    /// Its key is too short.
    WeakKey,
    /// It is signed with an algorithm that is broken.
    WeakSignature,
    /// The server takes TLS 1.0 or 1.1.
    OldVersion,
    /// It takes a suite that is broken.
    WeakCipher,
    /// It takes a suite without forward secrecy.
    NoForwardSecrecy,
}

impl TlsFindingKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Expired,
        Self::NotYetValid,
        Self::NameMismatch,
        Self::SelfSigned,
        Self::ChainIncomplete,
        Self::Untrusted,
        Self::Revoked,
        Self::StapleInvalid,
        Self::StapleMissing,
        Self::ExpiresSoon,
        Self::ChainExpires,
        Self::WeakKey,
        Self::WeakSignature,
        Self::OldVersion,
        Self::WeakCipher,
        Self::NoForwardSecrecy,
    ];

    /// From what it is written as.
    pub fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::NameMismatch => "name_mismatch",
            Self::SelfSigned => "self_signed",
            Self::ChainIncomplete => "chain_incomplete",
            Self::Untrusted => "untrusted",
            Self::Revoked => "revoked",
            Self::StapleInvalid => "staple_invalid",
            Self::StapleMissing => "staple_missing",
            Self::ExpiresSoon => "expires_soon",
            Self::ChainExpires => "chain_expires",
            Self::WeakKey => "weak_key",
            Self::WeakSignature => "weak_signature",
            Self::OldVersion => "old_version",
            Self::WeakCipher => "weak_cipher",
            Self::NoForwardSecrecy => "no_forward_secrecy",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFinding {
    /// What it is of.
    pub kind: TlsFindingKind,
    /// How grave it is.
    pub severity: Severity,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: &'static str,
}

/// What is wrong, the gravest first. What was not seen is not judged.
pub fn tls_findings(facts: &TlsFacts, now: Millis, soon_days: u32) -> Vec<TlsFinding> {
    let mut found = Vec::new();
    let mut add = |kind, severity, text: String, remedy| {
        found.push(TlsFinding { kind, severity, text, remedy });
    };
    let soon = now + u64::from(soon_days) * DAY_MS;
    let days = |a: Millis, b: Millis| a.0.abs_diff(b.0) / DAY_MS;
    let mut out_of_time = false;
    match facts.not_after {
        Some(end) if end < now => {
            out_of_time = true;
            let text = format!("the certificate ended {} days ago", days(end, now));
            let remedy = "renew the certificate, and look why nothing renewed it";
            add(TlsFindingKind::Expired, Severity::Critical, text, remedy);
        }
        Some(end) if end <= soon => {
            let text = format!("the certificate ends in {} days", days(end, now));
            let remedy = "renew the certificate";
            add(TlsFindingKind::ExpiresSoon, Severity::Warning, text, remedy);
        }
        _ => {}
    }
    if facts.not_before.is_some_and(|begin| begin > now) {
        out_of_time = true;
        let text = "the certificate is not valid yet".to_owned();
        let remedy = "set the clock of who issued it, or wait with putting it in place";
        add(TlsFindingKind::NotYetValid, Severity::Critical, text, remedy);
    }
    let mismatch = facts.name_matches == Some(false);
    if mismatch {
        let names = facts.names.as_deref().unwrap_or("no name at all");
        let text =
            format!("the certificate is not for the name that was asked for, but for {names}");
        let remedy = "issue a certificate with this name among its alternative names";
        add(TlsFindingKind::NameMismatch, Severity::Critical, text, remedy);
    }
    // What is trusted where it was looked at is well linked, whatever it looks like.
    if facts.verified == Some(false) {
        let own = facts.self_signed == Some(true);
        let unknown_issuer =
            facts.reason.as_deref().is_some_and(|reason| reason.contains("UnknownIssuer"));
        if own {
            let text = "the certificate is signed by itself".to_owned();
            let remedy = "have an authority sign it that clients trust, or add it to planes.active.ca_file of the sites that probe it";
            add(TlsFindingKind::SelfSigned, Severity::Warning, text, remedy);
        } else if unknown_issuer && facts.complete == Some(false) {
            let issuer = facts.issuer.as_deref().unwrap_or("its issuer");
            let text = format!(
                "the server does not send the certificates that lead from {issuer} to a trusted root"
            );
            let remedy = "add the issuer's certificates to the chain that the server sends; if it is an authority of your own, add its root to planes.active.ca_file";
            add(TlsFindingKind::ChainIncomplete, Severity::Critical, text, remedy);
        } else if !(out_of_time || mismatch) {
            let reason = facts.reason.as_deref().unwrap_or("it is not said why");
            let remedy = "have an authority sign it that clients trust; if it is an authority of your own, add its root to planes.active.ca_file";
            add(
                TlsFindingKind::Untrusted,
                Severity::Critical,
                format!("the chain is not trusted: {reason}"),
                remedy,
            );
        }
    }
    if let Some(end) = facts.chain_not_after.filter(|end| *end <= soon) {
        let text = match end < now {
            true => format!("a certificate of the chain ended {} days ago", days(end, now)),
            false => format!("a certificate of the chain ends in {} days", days(end, now)),
        };
        let remedy = "put the issuer's new certificate into the chain that the server sends";
        add(TlsFindingKind::ChainExpires, Severity::Warning, text, remedy);
    }
    judge_status(facts, now, &mut add);
    judge_algorithms(facts, &mut add);
    found.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), finding.kind));
    found
}

fn judge_status(
    facts: &TlsFacts,
    now: Millis,
    add: &mut impl FnMut(TlsFindingKind, Severity, String, &'static str),
) {
    if facts.stapled == Some(false) && facts.must_staple == Some(true) {
        let text =
            "the certificate says that its status must come with it (RFC 7633), and it does not";
        let remedy = "switch stapling on at the server (nginx: ssl_stapling), or issue it without that extension";
        add(TlsFindingKind::StapleMissing, Severity::Critical, text.into(), remedy);
    }
    let remedy = "let the server fetch the status anew, and look whether it reaches its responder";
    let late = facts.status_until.is_some_and(|end| end < now);
    let problem = match &facts.status_problem {
        Some(problem) => Some(problem.clone()),
        None if late => Some("it is out of date".to_owned()),
        None if facts.status.as_deref() == Some("unknown") => {
            Some("the responder does not know the certificate".to_owned())
        }
        None => None,
    };
    if let Some(problem) = &problem {
        let text =
            format!("the certificate's status that the server sends does not hold: {problem}");
        add(TlsFindingKind::StapleInvalid, Severity::Warning, text, remedy);
    }
    // Who revokes signs it; what is out of date was true all the same.
    if facts.status.as_deref() == Some("revoked") && facts.status_problem.is_none() {
        let why = facts.revoked_for.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        let text = format!("the certificate was revoked by its issuer{why}");
        let remedy = "put another certificate in place, and look why this one was revoked";
        add(TlsFindingKind::Revoked, Severity::Critical, text, remedy);
    }
}

fn judge_algorithms(
    facts: &TlsFacts,
    add: &mut impl FnMut(TlsFindingKind, Severity, String, &'static str),
) {
    if let (Some(kind), Some(bits)) = (&facts.key_type, facts.key_bits) {
        let least = match kind.as_str() {
            "RSA" | "DSA" => LEAST_RSA_BITS,
            kind if kind.starts_with("EC") => LEAST_EC_BITS,
            _ => 0,
        };
        if bits < least {
            let text = format!("the key is {kind} of {bits} bits; at least {least} are wanted");
            let remedy = "issue a certificate with a key of EC P-256, or RSA of 2048 bits or more";
            add(TlsFindingKind::WeakKey, Severity::Critical, text, remedy);
        }
    }
    if let Some(signature) = &facts.signature {
        let lower = signature.to_ascii_lowercase();
        // A root's own signature says nothing: it is trusted for being there.
        let counts = facts.self_signed != Some(true);
        if counts && ["sha1", "md5", "md2"].iter().any(|weak| lower.contains(weak)) {
            let text = format!("the certificate is signed with {signature}, which can be forged");
            let remedy = "issue it again, signed with SHA-256 or better";
            add(TlsFindingKind::WeakSignature, Severity::Critical, text, remedy);
        }
    }
    let versions = facts.versions.as_deref().unwrap_or_default();
    let old: Vec<&str> =
        versions.iter().map(String::as_str).filter(|v| matches!(*v, "1.0" | "1.1")).collect();
    if !old.is_empty() {
        let text = format!("the server takes TLS {} (RFC 8996)", old.join(" and "));
        let remedy = "switch it off at the server: TLS 1.2 and 1.3 are for all clients of today";
        add(TlsFindingKind::OldVersion, Severity::Warning, text, remedy);
    }
    if let Some(suite) = facts.weak.as_deref().filter(|suite| !suite.is_empty()) {
        let text = format!("the server takes {suite}, which is broken");
        let remedy = "take RC4, DES, 3DES and NULL out of the server's list of ciphers";
        add(TlsFindingKind::WeakCipher, Severity::Warning, text, remedy);
    }
    if let Some(suite) = facts.not_forward.as_deref().filter(|suite| !suite.is_empty()) {
        let text = format!(
            "the server takes {suite}, without forward secrecy: who gets its key reads what was recorded"
        );
        let remedy = "take the suites that begin with TLS_RSA_ out of the server's list of ciphers";
        add(TlsFindingKind::NoForwardSecrecy, Severity::Info, text, remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn good() -> TlsFacts {
        TlsFacts {
            not_before: Some(NOW - DAY_MS),
            not_after: Some(NOW + 90 * DAY_MS),
            chain_not_after: Some(NOW + 900 * DAY_MS),
            key_type: Some("RSA".into()),
            key_bits: Some(2_048),
            signature: Some("sha256WithRSAEncryption".into()),
            complete: Some(false),
            self_signed: Some(false),
            name_matches: Some(true),
            verified: Some(true),
            versions: Some(vec!["1.2".into(), "1.3".into()]),
            not_forward: Some(String::new()),
            weak: Some(String::new()),
            ..TlsFacts::default()
        }
    }

    fn kinds(facts: &TlsFacts) -> Vec<TlsFindingKind> {
        tls_findings(facts, NOW, 21).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong_or_nothing_was_seen() {
        assert_eq!(kinds(&good()), []);
        assert_eq!(kinds(&TlsFacts::default()), []);
    }

    #[test]
    fn each_thing_that_is_wrong_is_found() {
        use TlsFindingKind as K;
        let unknown = || Some("invalid peer certificate: UnknownIssuer".to_owned());
        let some = |text: &str| Some(text.to_owned());
        let cases: [(TlsFacts, &[K]); 15] = [
            (
                TlsFacts {
                    not_after: Some(NOW - 1),
                    verified: Some(false),
                    reason: some("Expired"),
                    ..good()
                },
                &[K::Expired],
            ),
            (TlsFacts { not_before: Some(NOW + 1), ..good() }, &[K::NotYetValid]),
            (TlsFacts { not_after: Some(NOW + 21 * DAY_MS), ..good() }, &[K::ExpiresSoon]),
            (TlsFacts { not_after: Some(NOW + 21 * DAY_MS + 1), ..good() }, &[]),
            (
                TlsFacts {
                    name_matches: Some(false),
                    verified: Some(false),
                    reason: some("NotValidForName"),
                    ..good()
                },
                &[K::NameMismatch],
            ),
            (
                TlsFacts {
                    self_signed: Some(true),
                    verified: Some(false),
                    reason: unknown(),
                    complete: Some(true),
                    ..good()
                },
                &[K::SelfSigned],
            ),
            (
                TlsFacts { verified: Some(false), reason: unknown(), ..good() },
                &[K::ChainIncomplete],
            ),
            (
                TlsFacts {
                    verified: Some(false),
                    reason: unknown(),
                    complete: Some(true),
                    ..good()
                },
                &[K::Untrusted],
            ),
            (TlsFacts { chain_not_after: Some(NOW - DAY_MS), ..good() }, &[K::ChainExpires]),
            (TlsFacts { key_bits: Some(2_047), ..good() }, &[K::WeakKey]),
            (TlsFacts { key_type: some("EC"), key_bits: Some(192), ..good() }, &[K::WeakKey]),
            (TlsFacts { signature: some("ecdsa-with-SHA1"), ..good() }, &[K::WeakSignature]),
            (
                TlsFacts { versions: Some(vec!["1.0".into(), "1.3".into()]), ..good() },
                &[K::OldVersion],
            ),
            (TlsFacts { weak: some("TLS_RSA_WITH_RC4_128_SHA"), ..good() }, &[K::WeakCipher]),
            (
                TlsFacts { not_forward: some("TLS_RSA_WITH_AES_128_CBC_SHA"), ..good() },
                &[K::NoForwardSecrecy],
            ),
        ];
        for (facts, wanted) in cases {
            assert_eq!(kinds(&facts), wanted, "{facts:?}");
        }
        let both = TlsFacts { weak: some("X"), key_bits: Some(1_024), ..good() };
        assert_eq!(kinds(&both), [K::WeakKey, K::WeakCipher], "the gravest first");
        let trusted = TlsFacts {
            self_signed: Some(true),
            signature: some("sha1WithRSAEncryption"),
            ..good()
        };
        assert_eq!(kinds(&trusted), [], "somebody trusts it");
    }

    proptest::proptest! {
        #[test]
        fn a_certificate_is_expired_or_ends_soon_or_neither(end in 0_u64..4_000_000_000_000, now in 0_u64..4_000_000_000_000, days in 0_u32..1_000) {
            let facts = TlsFacts { not_after: Some(Millis(end)), ..TlsFacts::default() };
            let found = tls_findings(&facts, Millis(now), days);
            let wanted = if end < now {
                Some(TlsFindingKind::Expired)
            } else if end - now <= u64::from(days) * DAY_MS {
                Some(TlsFindingKind::ExpiresSoon)
            } else {
                None
            };
            proptest::prop_assert_eq!(found.first().map(|finding| finding.kind), wanted);
        }
    }
}
