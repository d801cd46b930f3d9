//! RFC 5280 §6.1 path validation over signing certificates, URI name constraints included.
//!
//! rustls-webpki 0.103 refuses every URI under a URI name constraint ("fail closed for now"), so it
//! cannot walk our chains. Here each link is checked, and webpki then judges the leaf against its own
//! issuer as a second opinion (see `verify`).

use holm_model::Millis;
use rustls_pki_types::CertificateDer;

use crate::bundle::Bundle;
use crate::cert::{Cert, Place};
use crate::constraints::{Base, DIRECTORY_NAME, URI, kind_of};
use crate::error::SvidError;
use crate::id::SpiffeId;

/// Most certificates in a chain, the leaf included and a root sent along included.
pub const MAX_CHAIN: usize = 4;

/// Parses a chain within its bounds.
pub(crate) fn parse_chain<'a>(
    chain: &'a [CertificateDer<'a>],
    place: fn(usize) -> Place,
) -> Result<Vec<Cert<'a>>, SvidError> {
    if chain.is_empty() {
        return Err(SvidError::EmptyChain);
    }
    if chain.len() > MAX_CHAIN {
        return Err(SvidError::ChainTooLong { count: chain.len(), max: MAX_CHAIN });
    }
    chain.iter().enumerate().map(|(index, der)| Cert::parse(der, place(index))).collect()
}

/// The rules that a certificate in an issuer's place must keep by itself.
pub(crate) fn check_signer(cert: &Cert<'_>) -> Result<(), SvidError> {
    // X509-SVID §4.1: "Signing certificates MUST set the cA field to true"; RFC 5280 §6.1.4 (k).
    if !cert.is_ca() {
        return Err(SvidError::SignerNotCa { cert: cert.name() });
    }
    // X509-SVID §4.3: "The key usage extension MUST be set on all SVIDs, and MUST be marked
    // critical."
    let Some((critical, usage)) = cert.key_usage() else {
        return Err(SvidError::KeyUsageMissing { cert: cert.name() });
    };
    if !critical {
        return Err(SvidError::KeyUsageNotCritical { cert: cert.name() });
    }
    // X509-SVID §4.3: "SVID signing certificates MUST set keyCertSign"; RFC 5280 §6.1.4 (n).
    if !usage.key_cert_sign() {
        return Err(SvidError::SignerWithoutKeyCertSign { cert: cert.name() });
    }
    // X509-SVID §3.2: "If present, the SPIFFE ID of a signing certificate MUST NOT have a path
    // component"; §2: more than one URI is refused.
    match cert.uris()[..] {
        [] => Ok(()),
        [uri] => match SpiffeId::parse(uri) {
            Ok(id) if id.path().is_empty() => Ok(()),
            Ok(_) => Err(SvidError::SignerWithPath { cert: cert.name() }),
            Err(error) => {
                Err(SvidError::InvalidSpiffeId { cert: cert.name(), reason: error.reason() })
            }
        },
        ref uris => Err(SvidError::NotOneUri { cert: cert.name(), count: uris.len() }),
    }
}

/// Validates `chain` (each certificate followed by its issuer) up to a root of `bundle`, and gives
/// that root. Every certificate but the first must have passed [`check_signer`].
pub(crate) fn validate<'b>(
    chain: &[Cert<'_>],
    bundle: &'b Bundle,
    now: Millis,
) -> Result<Cert<'b>, SvidError> {
    let chain = without_root(chain, bundle);
    let Some(last) = chain.last() else {
        return Err(SvidError::EmptyChain);
    };
    for pair in chain.windows(2) {
        let [cert, issuer] = pair else { continue };
        // RFC 5280 §6.1.3 (a)(4): "The certificate issuer name is the working_issuer_name."
        if cert.issuer() != issuer.subject() {
            return Err(SvidError::IssuerMismatch { cert: cert.name(), issuer: issuer.name() });
        }
        cert.check_signature(issuer)?;
    }
    let root = find_root(last, bundle)?;
    check_signer(&root)?;
    for cert in chain.iter().chain([&root]) {
        cert.check_time(now)?;
    }
    let mut above: Vec<&Cert<'_>> = chain.iter().collect();
    above.push(&root);
    for (at, issuer) in above.iter().enumerate().skip(1) {
        check_path_length(issuer, &above[..at])?;
        for cert in &above[..at] {
            check_name_constraints(cert, issuer)?;
        }
    }
    Ok(root)
}

/// A peer may send the root along (ours does over HTTPS); the bundle's copy is the one that counts.
fn without_root<'c, 'a>(chain: &'c [Cert<'a>], bundle: &Bundle) -> &'c [Cert<'a>] {
    match chain.split_last() {
        Some((last, rest)) if !rest.is_empty() && bundle.contains(last.der) => rest,
        _ => chain,
    }
}

fn find_root<'b>(last: &Cert<'_>, bundle: &'b Bundle) -> Result<Cert<'b>, SvidError> {
    let domain = bundle.trust_domain().to_string();
    let mut refusal = SvidError::UntrustedRoot { cert: last.name(), domain };
    for root in bundle.roots() {
        let root = Cert::parse(root, Place::Root)?;
        if root.subject() != last.issuer() {
            continue;
        }
        // Two roots may share a subject: the key decides.
        match last.check_signature(&root) {
            Ok(()) => return Ok(root),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

/// RFC 5280 §4.2.1.9: pathLenConstraint "gives the maximum number of non-self-issued intermediate
/// certificates that may follow this certificate in a valid certification path".
fn check_path_length(issuer: &Cert<'_>, below: &[&Cert<'_>]) -> Result<(), SvidError> {
    let Some(allowed) = issuer.path_length() else { return Ok(()) };
    let below = below.iter().skip(1).filter(|cert| cert.subject() != cert.issuer()).count();
    if below > usize::try_from(allowed).unwrap_or(usize::MAX) {
        return Err(SvidError::PathLength { issuer: issuer.name(), allowed, below });
    }
    Ok(())
}

/// RFC 5280 §4.2.1.10 for URIs; X509-SVID §4.2: name constraints "indicate a namespace within which
/// all SPIFFE IDs in subsequent certificates in a certification path MUST be located".
///
/// Constraints on other kinds of names refuse every certificate that has such a name: the RFC lets a
/// verifier "either process the constraint or reject the certificate".
fn check_name_constraints(cert: &Cert<'_>, issuer: &Cert<'_>) -> Result<(), SvidError> {
    let Some(constraints) = issuer.name_constraints() else { return Ok(()) };
    let refuse = |reason| {
        Err(SvidError::NameConstraint { cert: cert.name(), issuer: issuer.name(), reason })
    };
    for Base { kind, .. } in constraints.bases() {
        let has_such_a_name = cert.alt_names().any(|name| kind_of(name) == *kind)
            || (*kind == DIRECTORY_NAME && !cert.subject_is_empty());
        if *kind != URI && has_such_a_name {
            return refuse("a name of a kind whose constraints are not processed here".to_owned());
        }
    }
    let hosts = |bases: &[Base<'_>]| -> Vec<String> {
        let uris = bases.iter().filter(|base| base.kind == URI);
        uris.map(|base| String::from_utf8_lossy(base.value).into_owned()).collect()
    };
    let (permitted, excluded) = (hosts(&constraints.permitted), hosts(&constraints.excluded));
    for uri in cert.uris() {
        // Every URI was checked to be a SPIFFE ID before; what is not is outside every namespace.
        let Ok(id) = SpiffeId::parse(uri) else {
            return refuse("its URI is not a SPIFFE ID".to_owned());
        };
        let host = id.trust_domain().as_str();
        if !permitted.is_empty() && !permitted.iter().any(|constraint| within(host, constraint)) {
            let allowed = permitted.join(", ").escape_debug().to_string();
            return refuse(format!("trust domain {host} is not in the permitted {allowed}"));
        }
        if excluded.iter().any(|constraint| within(host, constraint)) {
            return refuse(format!("trust domain {host} is excluded"));
        }
    }
    Ok(())
}

/// RFC 5280 §4.2.1.10: a URI constraint "applies to the host part of the name"; one that begins with
/// a period "MAY be expanded with one or more labels", any other names one host.
fn within(host: &str, constraint: &str) -> bool {
    let (host, constraint) = (host.to_ascii_lowercase(), constraint.to_ascii_lowercase());
    if constraint.starts_with('.') {
        host.len() > constraint.len() && host.ends_with(&constraint)
    } else {
        host == constraint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_constraint_names_a_host_or_with_a_period_its_subdomains() {
        for (host, constraint, inside) in [
            ("holm.test", "holm.test", true),
            ("holm.test", "HOLM.test", true),
            ("a.holm.test", "holm.test", false),
            ("evilholm.test", "holm.test", false),
            ("a.holm.test", ".holm.test", true),
            ("a.b.holm.test", ".holm.test", true),
            ("holm.test", ".holm.test", false),
            ("holm.test", "", false),
        ] {
            assert_eq!(within(host, constraint), inside, "{host} in {constraint}");
        }
    }
}
