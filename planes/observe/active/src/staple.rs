//! What an OCSP response says that a server sends with its certificate (RFC 6960, RFC 6066 §8), and whether it may say so.

use holm_model::Millis;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::SignatureVerificationAlgorithm;
use x509_parser::asn1_rs::{Any, FromDer, GeneralizedTime, Oid, Tag};
use x509_parser::prelude::X509Certificate;

use crate::tls_facts::moment;

/// Most answers about single certificates that are looked at.
const MAX_SINGLE: usize = 16;
/// Most certificates of a responder that are looked at.
const MAX_CERTIFICATES: usize = 4;
/// `id-pkix-ocsp-basic` (RFC 6960 §4.2.1).
const BASIC: &str = "1.3.6.1.5.5.7.48.1.1";
/// The extension by which a certificate says what its server must do, a staple among it (RFC 7633).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

/// What a response says of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Staple {
    /// `good`, `revoked` or `unknown`.
    pub(crate) status: Option<&'static str>,
    pub(crate) revoked_at: Option<Millis>,
    /// Why it was revoked, as RFC 5280 §5.3.1 calls it.
    pub(crate) reason: Option<&'static str>,
    pub(crate) this_update: Option<Millis>,
    /// Until when it holds; absent: newer ones are there all the time.
    pub(crate) next_update: Option<Millis>,
    /// Why it is not to be believed.
    pub(crate) problem: Option<&'static str>,
}

/// Whether a certificate says that its server must send its status with it.
pub(crate) fn must_staple(certificate: &X509Certificate<'_>) -> bool {
    let features = certificate.extensions().iter().find(|e| is(&e.oid, TLS_FEATURE));
    // status_request is 5; status_request_v2 is 17.
    features.is_some_and(|features| {
        let list = sequence(features.value).map(parts).unwrap_or_default();
        list.iter().any(|one| one.header.tag() == Tag::Integer && matches!(one.data, [5 | 17]))
    })
}

/// What `der` says of the first certificate of `chain`. Never trusted beyond that: what does not hold is told as the
/// problem.
pub(crate) fn read(der: &[u8], chain: &[&[u8]]) -> Staple {
    let leaf = chain.first().and_then(|der| X509Certificate::from_der(der).ok());
    let Some((_, leaf)) = leaf else { return problem("the certificate itself is not readable") };
    let response = match response(der) {
        Ok(response) => response,
        Err(why) => return problem(why),
    };
    let serial = leaf.tbs_certificate.raw_serial();
    let of_leaf = response.single.iter().find(|single| unsigned(single.serial) == unsigned(serial));
    let Some(single) = of_leaf else { return problem("it is of another certificate") };
    let mut staple = single.staple.clone();
    let issuers: Vec<X509Certificate<'_>> = chain
        .iter()
        .skip(1)
        .filter_map(|der| X509Certificate::from_der(der).ok())
        .map(|(_, certificate)| certificate)
        .filter(|one| one.subject().as_raw() == leaf.issuer().as_raw())
        .collect();
    staple.problem = match issuers.first() {
        None => Some(
            "the server does not send the issuer's certificate, so that nobody can tell who signed it",
        ),
        Some(issuer) => response.why_not_signed_by(issuer),
    };
    staple
}

fn problem(why: &'static str) -> Staple {
    Staple { problem: Some(why), ..Staple::default() }
}

/// A response that was read.
struct Response<'a> {
    /// What is signed.
    signed: &'a [u8],
    /// The contents of the signature's algorithm.
    algorithm: &'a [u8],
    signature: &'a [u8],
    /// Certificates of who signed, if that is not the issuer.
    certificates: Vec<X509Certificate<'a>>,
    single: Vec<Single<'a>>,
}

struct Single<'a> {
    serial: &'a [u8],
    staple: Staple,
}

const NOT_READABLE: &str = "it is not readable";

fn response(der: &[u8]) -> Result<Response<'_>, &'static str> {
    let whole = parts(sequence(der).ok_or(NOT_READABLE)?);
    let status = whole.first().filter(|one| one.header.tag() == Tag::Enumerated);
    match status.map(|one| one.data) {
        Some([0]) => {}
        Some([1]) => return Err("the responder did not understand the question"),
        Some([2]) => return Err("the responder has a fault of its own"),
        Some([3]) => return Err("the responder says to try again later"),
        Some([5 | 6]) => return Err("the responder refuses to answer"),
        _ => return Err(NOT_READABLE),
    }
    let bytes = whole.get(1).and_then(|one| sequence(one.data)).map(parts).unwrap_or_default();
    let [kind, octets, ..] = &bytes[..] else { return Err(NOT_READABLE) };
    let kind = Oid::try_from(kind.clone()).map_err(|_| NOT_READABLE)?;
    if !is(&kind, BASIC) || octets.header.tag() != Tag::OctetString {
        return Err("it is of a kind that is not known");
    }
    let basic = sequence(octets.data).ok_or(NOT_READABLE)?;
    let (after, data) = Any::from_der(basic).map_err(|_| NOT_READABLE)?;
    let signed = &basic[..basic.len() - after.len()];
    let rest = parts(after);
    let [algorithm, signature, rest @ ..] = &rest[..] else { return Err(NOT_READABLE) };
    // Whole octets: the first byte counts the bits that are not used.
    let signature = match signature.data.split_first() {
        Some((0, bytes)) if signature.header.tag() == Tag::BitString => bytes,
        _ => return Err(NOT_READABLE),
    };
    let certificates = rest.first().and_then(|one| sequence(one.data)).unwrap_or_default();
    let (algorithm, single) = (algorithm.data, singles(data.data));
    Ok(Response {
        signed,
        algorithm,
        signature,
        certificates: certificates_of(certificates),
        single,
    })
}

/// What is said of single certificates: the sequence after the version, who answers, and when.
fn singles(data: &[u8]) -> Vec<Single<'_>> {
    let mut all =
        parts(data).into_iter().filter(|one| one.header.tag() == Tag::Sequence && universal(one));
    let list = all.next_back().map(|list| parts(list.data)).unwrap_or_default();
    list.iter().take(MAX_SINGLE).filter_map(single).collect()
}

fn single<'a>(one: &Any<'a>) -> Option<Single<'a>> {
    let [id, status, this_update, rest @ ..] = &parts(one.data)[..] else { return None };
    let serial = parts(id.data).last().filter(|serial| serial.header.tag() == Tag::Integer)?.data;
    let mut staple = Staple { this_update: time(this_update), ..Staple::default() };
    staple.status = Some(match status.header.tag().0 {
        0 => "good",
        1 => "revoked",
        _ => "unknown",
    });
    if staple.status == Some("revoked") {
        let said = parts(status.data);
        staple.revoked_at = said.first().and_then(time);
        let reason = said.get(1).map(|reason| parts(reason.data));
        staple.reason = reason.and_then(|reason| reason_name(reason.first()?.data));
    }
    let next = rest.iter().find(|one| one.header.tag().0 == 0 && !universal(one));
    staple.next_update = next.and_then(|next| time(parts(next.data).first()?));
    Some(Single { serial, staple })
}

impl Response<'_> {
    /// Why this is not signed by `issuer`, or by whom it lets answer; `None` if it is.
    fn why_not_signed_by(&self, issuer: &X509Certificate<'_>) -> Option<&'static str> {
        if self.is_signed_by(issuer) {
            return None;
        }
        let may_answer = |one: &&X509Certificate<'_>| {
            let purposes = one.extended_key_usage().ok().flatten();
            purposes.is_some_and(|purposes| purposes.value.ocsp_signing)
        };
        let by = self.certificates.iter().filter(may_answer).find(|one| self.is_signed_by(one));
        let Some(by) = by else {
            return Some("it is signed neither by the issuer nor by whom that lets answer");
        };
        let algorithm = contents(&by.signature_algorithm);
        let vouched = by.issuer().as_raw() == issuer.subject().as_raw()
            && verifies(issuer, by.tbs_certificate.as_ref(), &algorithm, &by.signature_value.data);
        (!vouched).then_some("who signed it is not let by the issuer")
    }

    fn is_signed_by(&self, certificate: &X509Certificate<'_>) -> bool {
        verifies(certificate, self.signed, self.algorithm, self.signature)
    }
}

/// Whether a signature is of the key of `certificate`.
fn verifies(
    certificate: &X509Certificate<'_>,
    signed: &[u8],
    algorithm: &[u8],
    signature: &[u8],
) -> bool {
    let key = certificate.public_key();
    let of_key = contents(&key.algorithm);
    let known = default_provider().signature_verification_algorithms.all;
    let fits = |one: &&&dyn SignatureVerificationAlgorithm| {
        one.signature_alg_id().as_ref() == algorithm && one.public_key_alg_id().as_ref() == of_key
    };
    let mut fitting = known.iter().filter(fits);
    fitting.any(|one| one.verify_signature(&key.subject_public_key.data, signed, signature).is_ok())
}

/// An algorithm's identifier without its frame.
fn contents(algorithm: &x509_parser::x509::AlgorithmIdentifier<'_>) -> Vec<u8> {
    use x509_parser::asn1_rs::ToDer;
    let parameters = algorithm.parameters.as_ref().and_then(|any| any.to_der_vec().ok());
    let oid = algorithm.algorithm.to_der_vec().unwrap_or_default();
    [oid, parameters.unwrap_or_default()].concat()
}

fn certificates_of(list: &[u8]) -> Vec<X509Certificate<'_>> {
    let mut rest = list;
    let mut all = Vec::new();
    while let Ok((after, one)) = X509Certificate::from_der(rest) {
        all.push(one);
        if all.len() >= MAX_CERTIFICATES {
            break;
        }
        rest = after;
    }
    all
}

/// What a sequence holds, if `der` is one.
fn sequence(der: &[u8]) -> Option<&[u8]> {
    let (_, any) = Any::from_der(der).ok()?;
    (any.header.tag() == Tag::Sequence && universal(&any)).then_some(any.data)
}

/// The elements of a sequence, up to the first that is none.
fn parts(contents: &[u8]) -> Vec<Any<'_>> {
    let (mut rest, mut all) = (contents, Vec::new());
    while let Ok((after, any)) = Any::from_der(rest) {
        all.push(any);
        if after.is_empty() || all.len() >= 64 {
            break;
        }
        rest = after;
    }
    all
}

fn universal(any: &Any<'_>) -> bool {
    any.header.is_universal()
}

fn is(oid: &Oid<'_>, number: &str) -> bool {
    oid.to_id_string() == number
}

fn time(any: &Any<'_>) -> Option<Millis> {
    let time = GeneralizedTime::try_from(any.clone()).ok()?;
    Some(moment(time.utc_datetime().ok()?.unix_timestamp()))
}

/// A number of a certificate without the zeros before it.
fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn reason_name(number: &[u8]) -> Option<&'static str> {
    let [number] = number else { return None };
    let names = [
        "unspecified",
        "keyCompromise",
        "cACompromise",
        "affiliationChanged",
        "superseded",
        "cessationOfOperation",
        "certificateHold",
        "",
        "removeFromCRL",
        "privilegeWithdrawn",
        "aACompromise",
    ];
    names.get(usize::from(*number)).copied().filter(|name| !name.is_empty())
}

#[cfg(test)]
#[path = "staple_tests.rs"]
mod tests;
