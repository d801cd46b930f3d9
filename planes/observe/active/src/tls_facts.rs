//! What was seen of a TLS server: what its certificates say, and what it takes. Written into rows, and read from them.

use holm_model::Millis;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::staple::{self, must_staple};

/// Most names of a certificate that are shown.
const MAX_NAMES: usize = 10;
/// Most certificates of a chain that are looked at.
const MAX_CHAIN: usize = 10;

/// What was seen. What was not looked at, or could not be told, is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// The certificate's subject.
    pub subject: Option<String>,
    /// Who signed it.
    pub issuer: Option<String>,
    /// The names that it is for, by commas.
    pub names: Option<String>,
    /// Its number, in hexadecimal digits.
    pub serial: Option<String>,
    /// From when on it is valid.
    pub not_before: Option<Millis>,
    /// Until when.
    pub not_after: Option<Millis>,
    /// The earliest end among the other certificates of the chain.
    pub chain_not_after: Option<Millis>,
    /// `RSA`, `EC P-256`, `Ed25519`, …
    pub key_type: Option<String>,
    /// Its bits.
    pub key_bits: Option<u32>,
    /// The algorithm that it is signed with.
    pub signature: Option<String>,
    /// Certificates that the server sends.
    pub chain_length: Option<u32>,
    /// Whether each certificate is signed by the next, up to one that is trusted or signed by itself.
    pub complete: Option<bool>,
    /// Whether it names itself as its issuer.
    pub self_signed: Option<bool>,
    /// Whether it is for the name that was asked for.
    pub name_matches: Option<bool>,
    /// Whether the chain is trusted at the site that looked.
    pub verified: Option<bool>,
    /// Why not.
    pub reason: Option<String>,
    /// Whether the server sends the certificate's status with it.
    pub stapled: Option<bool>,
    /// Whether the certificate says that it must.
    pub must_staple: Option<bool>,
    /// `good`, `revoked` or `unknown`, as the status says.
    pub status: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<Millis>,
    /// Why, as RFC 5280 §5.3.1 calls it.
    pub revoked_for: Option<String>,
    /// Since when the status holds.
    pub status_from: Option<Millis>,
    /// Until when.
    pub status_until: Option<Millis>,
    /// Why the status is not to be believed.
    pub status_problem: Option<String>,
    /// Versions that the server takes, such as `1.2`.
    pub versions: Option<Vec<String>>,
    /// A suite without forward secrecy that it takes; empty: it takes none.
    pub not_forward: Option<String>,
    /// A weak suite that it takes; empty: it takes none.
    pub weak: Option<String>,
}

/// How a fact stands in a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact {
    Text(String),
    Number(f64),
}

fn yes(flag: bool) -> Fact {
    Fact::Text(if flag { "yes" } else { "no" }.into())
}

impl TlsFacts {
    /// What a chain says by itself: the certificate of the server first.
    pub(crate) fn of_chain<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Self {
        let chain: Vec<&[u8]> = chain.collect();
        let mut facts = Self { chain_length: u32::try_from(chain.len()).ok(), ..Self::default() };
        let parsed: Vec<Option<X509Certificate<'_>>> = chain
            .iter()
            .take(MAX_CHAIN)
            .map(|der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate))
            .collect();
        let Some(Some(leaf)) = parsed.first() else { return facts };
        facts.subject = Some(leaf.subject().to_string());
        facts.issuer = Some(leaf.issuer().to_string());
        facts.self_signed = Some(leaf.subject().as_raw() == leaf.issuer().as_raw());
        facts.serial =
            Some(leaf.raw_serial().iter().take(32).map(|b| format!("{b:02x}")).collect());
        facts.not_before = Some(moment(leaf.validity().not_before.timestamp()));
        facts.not_after = Some(moment(leaf.validity().not_after.timestamp()));
        if let Ok(Some(names)) = leaf.subject_alternative_name() {
            let all = &names.value.general_names;
            let mut names: Vec<String> = all.iter().take(MAX_NAMES).map(shown).collect();
            if all.len() > MAX_NAMES {
                names.push(format!("and {} more", all.len() - MAX_NAMES));
            }
            facts.names = Some(names.join(", "));
        }
        let (key_type, key_bits) = key(leaf);
        (facts.key_type, facts.key_bits) = (Some(key_type), key_bits);
        facts.signature = Some(signature(&leaf.signature_algorithm.algorithm));
        let others = parsed.iter().skip(1).flatten();
        facts.chain_not_after =
            others.map(|one| moment(one.validity().not_after.timestamp())).min();
        let linked = parsed.windows(2).all(|pair| match pair {
            [Some(one), Some(next)] => one.issuer().as_raw() == next.subject().as_raw(),
            _ => false,
        });
        let ends = parsed.last().and_then(Option::as_ref);
        let ends = ends.is_some_and(|last| last.subject().as_raw() == last.issuer().as_raw());
        facts.complete = Some(linked && ends);
        facts
    }

    /// With the status of the first certificate of `chain` that its server sent, if it sent one.
    pub(crate) fn with_staple<'a>(
        mut self,
        staple: &[u8],
        chain: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        let chain: Vec<&[u8]> = chain.take(MAX_CHAIN).collect();
        let leaf = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
        self.must_staple = leaf.map(|(_, leaf)| must_staple(&leaf));
        self.stapled = Some(!staple.is_empty());
        if !staple.is_empty() {
            let read = staple::read(staple, &chain);
            self.status = read.status.map(str::to_owned);
            self.revoked_at = read.revoked_at;
            self.revoked_for = read.reason.map(str::to_owned);
            (self.status_from, self.status_until) = (read.this_update, read.next_update);
            self.status_problem = read.problem.map(str::to_owned);
        }
        self
    }

    /// As columns of a row.
    pub(crate) fn columns(&self) -> Vec<(&'static str, Fact)> {
        let text = |text: &Option<String>| text.clone().map(Fact::Text);
        let time = |at: Option<Millis>| at.map(|at| Fact::Text(written(at)));
        let versions = self.versions.as_ref().map(|all| Fact::Text(all.join(", ")));
        let of = |suite: &Option<String>| {
            suite.as_ref().map(|suite| match suite.is_empty() {
                true => Fact::Text("none".into()),
                false => Fact::Text(suite.clone()),
            })
        };
        [
            ("tls.server.subject", text(&self.subject)),
            ("tls.server.issuer", text(&self.issuer)),
            ("tls.server.san", text(&self.names)),
            ("tls.server.serial_number", text(&self.serial)),
            ("tls.server.not_before", time(self.not_before)),
            ("tls.server.not_after", time(self.not_after)),
            ("tls.server.key.type", text(&self.key_type)),
            ("tls.server.key.bits", self.key_bits.map(|bits| Fact::Number(f64::from(bits)))),
            ("tls.server.signature", text(&self.signature)),
            ("tls.server.self_signed", self.self_signed.map(yes)),
            ("tls.server.name_matches", self.name_matches.map(yes)),
            ("tls.chain.length", self.chain_length.map(|n| Fact::Number(f64::from(n)))),
            ("tls.chain.complete", self.complete.map(yes)),
            ("tls.chain.not_after", time(self.chain_not_after)),
            ("tls.verified", self.verified.map(yes)),
            ("tls.verified.reason", text(&self.reason)),
            ("tls.ocsp.stapled", self.stapled.map(yes)),
            ("tls.ocsp.required", self.must_staple.map(yes)),
            ("tls.ocsp.status", text(&self.status)),
            ("tls.ocsp.revoked_at", time(self.revoked_at)),
            ("tls.ocsp.reason", text(&self.revoked_for)),
            ("tls.ocsp.this_update", time(self.status_from)),
            ("tls.ocsp.next_update", time(self.status_until)),
            ("tls.ocsp.problem", text(&self.status_problem)),
            ("tls.versions", versions),
            ("tls.ciphers.not_forward", of(&self.not_forward)),
            ("tls.ciphers.weak", of(&self.weak)),
        ]
        .into_iter()
        .filter_map(|(column, fact)| Some((column, fact?)))
        // A text that is empty says nothing.
        .filter(|(_, fact)| *fact != Fact::Text(String::new()))
        .collect()
    }

    /// What a row's columns say: `text` and `number` give one by its name.
    pub fn read(
        text: impl Fn(&str) -> Option<String>,
        number: impl Fn(&str) -> Option<f64>,
    ) -> Self {
        let flag = |column: &str| match text(column)?.as_str() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        };
        let time = |column: &str| read_moment(&text(column)?);
        let whole =
            |column: &str| number(column).filter(|n| (0.0..1e9).contains(n)).map(|n| n as u32);
        let suite =
            |column: &str| text(column).map(|s| if s == "none" { String::new() } else { s });
        let versions = text("tls.versions")
            .map(|all| all.split(", ").filter(|one| !one.is_empty()).map(str::to_owned).collect());
        Self {
            subject: text("tls.server.subject"),
            issuer: text("tls.server.issuer"),
            names: text("tls.server.san"),
            serial: text("tls.server.serial_number"),
            not_before: time("tls.server.not_before"),
            not_after: time("tls.server.not_after"),
            chain_not_after: time("tls.chain.not_after"),
            key_type: text("tls.server.key.type"),
            key_bits: whole("tls.server.key.bits"),
            signature: text("tls.server.signature"),
            chain_length: whole("tls.chain.length"),
            complete: flag("tls.chain.complete"),
            self_signed: flag("tls.server.self_signed"),
            name_matches: flag("tls.server.name_matches"),
            verified: flag("tls.verified"),
            reason: text("tls.verified.reason"),
            stapled: flag("tls.ocsp.stapled"),
            must_staple: flag("tls.ocsp.required"),
            status: text("tls.ocsp.status"),
            revoked_at: time("tls.ocsp.revoked_at"),
            revoked_for: text("tls.ocsp.reason"),
            status_from: time("tls.ocsp.this_update"),
            status_until: time("tls.ocsp.next_update"),
            status_problem: text("tls.ocsp.problem"),
            versions,
            not_forward: suite("tls.ciphers.not_forward"),
            weak: suite("tls.ciphers.weak"),
        }
    }
}

/// A moment of a certificate; before 1970 is the beginning of time here.
pub(crate) fn moment(seconds: i64) -> Millis {
    // The end of the year 9999, which certificates without an end say (RFC 5280 §4.1.2.5).
    const LAST: i64 = 253_402_300_799;
    Millis(u64::try_from(seconds.clamp(0, LAST)).unwrap_or_default() * 1_000)
}

/// A moment as it stands in rows (RFC 3339), to the second.
fn written(at: Millis) -> String {
    let seconds = i64::try_from(at.0 / 1_000).ok();
    let moment = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default()
}

fn read_moment(text: &str) -> Option<Millis> {
    let seconds = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp();
    Some(Millis(u64::try_from(seconds).ok()?.checked_mul(1_000)?))
}

fn shown(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::URI(uri) => (*uri).to_owned(),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(v4) => std::net::Ipv4Addr::from(v4).to_string(),
            Err(_) => <[u8; 16]>::try_from(*bytes)
                .map_or_else(|_| "?".into(), |v6| std::net::Ipv6Addr::from(v6).to_string()),
        },
        other => other.to_string(),
    }
}

fn key(certificate: &X509Certificate<'_>) -> (String, Option<u32>) {
    let info = certificate.public_key();
    let oid = info.algorithm.algorithm.to_id_string();
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => ("RSA".into(), bits(key.key_size())),
        Ok(PublicKey::EC(point)) => {
            let curve = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
            match curve.map(|oid| oid.to_id_string()).as_deref() {
                Some("1.2.840.10045.3.1.7") => ("EC P-256".into(), Some(256)),
                Some("1.3.132.0.34") => ("EC P-384".into(), Some(384)),
                Some("1.3.132.0.35") => ("EC P-521".into(), Some(521)),
                _ => ("EC".into(), bits(point.key_size())),
            }
        }
        Ok(PublicKey::DSA(bytes)) => ("DSA".into(), bits(bytes.len().saturating_mul(8))),
        _ if oid == "1.3.101.112" => ("Ed25519".into(), Some(256)),
        _ if oid == "1.3.101.113" => ("Ed448".into(), Some(456)),
        _ => (oid, None),
    }
}

fn bits(size: usize) -> Option<u32> {
    u32::try_from(size).ok().filter(|bits| *bits > 0)
}

/// The name of a signature's algorithm (RFC 3279, RFC 4055, RFC 5758, RFC 8410), or its number.
fn signature(oid: &Oid<'_>) -> String {
    let number = oid.to_id_string();
    let name = match number.as_str() {
        "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.10040.4.3" => "dsa-with-sha1",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        _ => return number,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made() -> Vec<u8> {
        let mut of = rcgen::CertificateParams::new(
            (0..12).map(|n| format!("n{n}.example")).collect::<Vec<_>>(),
        )
        .expect("valid");
        of.not_after = rcgen::date_time_ymd(2031, 2, 3);
        of.serial_number = Some(vec![0x0a, 0xff].into());
        let key = rcgen::KeyPair::generate().expect("a key");
        of.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn a_certificate_is_read_and_a_row_gives_the_same() {
        let der = made();
        let mut facts = TlsFacts::of_chain([&*der].into_iter());
        assert_eq!(facts.serial.as_deref(), Some("0aff"));
        assert_eq!(facts.not_after.map(written).as_deref(), Some("2031-02-03T00:00:00Z"));
        assert_eq!((facts.key_type.as_deref(), facts.key_bits), (Some("EC P-256"), Some(256)));
        assert_eq!(facts.signature.as_deref(), Some("ecdsa-with-SHA256"));
        assert_eq!((facts.self_signed, facts.complete), (Some(true), Some(true)));
        assert!(facts.names.as_deref().expect("names").ends_with("n9.example, and 2 more"));
        facts.versions = Some(vec!["1.2".into(), "1.3".into()]);
        facts.weak = Some(String::new());
        facts.not_forward = Some("TLS_RSA_WITH_AES_128_CBC_SHA".into());
        facts.verified = Some(false);
        facts.reason = Some("it is not known".into());
        facts.name_matches = Some(true);
        let columns = facts.columns();
        let find =
            |name: &str| columns.iter().find(|(column, _)| *column == name).map(|(_, f)| f.clone());
        let read = TlsFacts::read(
            |name| match find(name)? {
                Fact::Text(text) => Some(text),
                Fact::Number(_) => None,
            },
            |name| match find(name)? {
                Fact::Number(number) => Some(number),
                Fact::Text(_) => None,
            },
        );
        assert_eq!(read, facts);
        assert_eq!(TlsFacts::read(|_| None, |_| None), TlsFacts::default());
    }

    proptest! {
        #[test]
        fn no_certificate_panics(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
            static MADE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
            let mut der = MADE.get_or_init(made).clone();
            for (at, byte) in flips {
                let at = at.index(der.len());
                der[at] = byte;
            }
            if !whole {
                der.truncate(cut.index(der.len()));
            }
            let facts = TlsFacts::of_chain([&*der, &der[..der.len() / 2], &*der].into_iter());
            let _ = facts.columns();
        }
    }
}
