//! The published go-spiffe test data, read from the folder of vectors when it is there.

use std::path::PathBuf;

use holm_certs::{Bundle, BundleMap, TrustDomain, Verifier};
use holm_model::Millis;
use rustls_pki_types::CertificateDer;

/// A moment at which every good vector is valid (2020-03-24T14:30Z), and one for the others.
const MARCH_24: Millis = Millis(1_585_060_200_000);
const APRIL_1: Millis = Millis(1_585_700_000_000);

fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("HOLM_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    let folder = folder.join("spiffe/go-spiffe");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no vectors at {} (set HOLM_VECTORS)", folder.display());
    None
}

fn chain(folder: &std::path::Path, name: &str) -> Vec<CertificateDer<'static>> {
    let path = folder.join("svid/x509svid/testdata").join(name);
    let text = std::fs::read(path).expect("a vector");
    let blocks = pem::parse_many(text).expect("pem");
    blocks.into_iter().map(|block| block.into_contents().into()).collect()
}

fn example() -> TrustDomain {
    TrustDomain::new("example.org").expect("a domain")
}

#[test]
fn wrong_leaves_and_intermediates_are_refused_by_their_rule() {
    let Some(folder) = vectors() else { return };
    for (name, code) in [
        ("wrong-leaf-ca-true.pem", "leaf_is_ca"),
        ("wrong-leaf-cert-sign.pem", "leaf_may_sign"),
        ("wrong-leaf-crl-sign.pem", "leaf_may_sign"),
        ("wrong-leaf-empty-id.pem", "not_one_uri"),
        ("wrong-leaf-no-digital-signature.pem", "digital_signature_missing"),
        ("wrong-intermediate-no-ca.pem", "signer_not_ca"),
        ("wrong-intermediate-no-key-cert-sign.pem", "signer_without_key_cert_sign"),
        ("corrupt-cert.pem", "malformed"),
    ] {
        let error = Verifier::verify(&chain(&folder, name), &BundleMap::default(), APRIL_1)
            .expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
}

#[test]
fn good_leaves_keep_every_rule_and_lack_only_trust() {
    let Some(folder) = vectors() else { return };
    for name in ["good-leaf-only.pem", "good-leaf-and-intermediate.pem"] {
        let error = Verifier::verify(&chain(&folder, name), &BundleMap::default(), APRIL_1)
            .expect_err(name);
        assert_eq!(error.code(), "unknown_domain", "{name}: {error}");
    }
    // The intermediate as a root: the path itself is good, at its time.
    let good = chain(&folder, "good-leaf-and-intermediate.pem");
    let bundle = Bundle::new(&example(), vec![good[1].clone()], 1, 1).expect("a bundle");
    let bundles = BundleMap::of(bundle);
    let svid = Verifier::verify(&good, &bundles, MARCH_24).expect("a good path");
    assert_eq!(svid.spiffe_id().to_string(), "spiffe://example.org/workload-1");
    let late = Verifier::verify(&good, &bundles, APRIL_1).expect_err("expired");
    assert_eq!(late.code(), "expired");
}

#[test]
fn published_bundles_are_read_by_the_rules() {
    let Some(folder) = vectors() else { return };
    let read = |name: &str| {
        let path = folder.join("bundle/spiffebundle/testdata").join(name);
        Bundle::from_jwks(&example(), &std::fs::read(path).expect("a vector"))
    };
    for (name, sequence, refresh_s) in [
        ("spiffebundle_valid_1.json", None, 300),
        ("spiffebundle_valid_2.json", Some(1), 60),
        ("spiffebundle_valid_with_wit.json", Some(1), 60),
        // x5c of two: the first counts. A JWT key without kid: not ours to judge.
        ("spiffebundle_multiple_x509.json", None, 300),
        ("spiffebundle_missing_kid.json", None, 300),
    ] {
        let bundle = read(name).expect(name);
        assert_eq!(bundle.roots().len(), 1, "{name}");
        assert_eq!((bundle.sequence(), bundle.refresh_s()), (sequence, refresh_s), "{name}");
    }
    assert!(read("spiffebundle_no_keys.json").is_err());
}
