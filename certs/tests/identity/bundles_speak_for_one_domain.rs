//! Bundles: what is read, what is passed over, and that domains never mix.

use holm_certs::{Bundle, BundleError, BundleMap, MAX_BUNDLE_BYTES, TrustDomain};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::common::{DAY, Mesh, NOW, domain};

fn jwks(mesh: &Mesh) -> Value {
    serde_json::from_str(&mesh.bundle().to_jwks().expect("JSON")).expect("JSON")
}

fn parse(value: &Value) -> Result<Bundle, BundleError> {
    Bundle::from_jwks(&domain(), value.to_string().as_bytes())
}

#[test]
fn a_published_bundle_keeps_the_rules_and_reads_back() {
    let mesh = Mesh::new();
    let value = jwks(&mesh);
    let key = &value["keys"][0];
    assert_eq!(value["spiffe_sequence"], 1);
    assert_eq!(value["spiffe_refresh_hint"], 300);
    assert_eq!((&key["use"], &key["kty"]), (&json!("x509-svid"), &json!("EC")));
    assert!(key.get("kid").is_none(), "kid MUST NOT be set");
    assert_eq!(key["x5c"].as_array().map(Vec::len), Some(1));
    assert_eq!(parse(&value).expect("reads back"), mesh.bundle());
    assert_eq!(mesh.bundle().root_keys(), [mesh.root.pin()]);
}

#[test]
fn unknown_entries_are_passed_over_and_only_the_first_certificate_counts() {
    let mesh = Mesh::new();
    let mut value = jwks(&mesh);
    let good = value["keys"][0].clone();
    let mut two = good.clone();
    two["x5c"] = json!([good["x5c"][0], "not even base64"]);
    let changed = |name: &str, to: Value| {
        let mut entry = good.clone();
        entry[name] = to;
        entry
    };
    value["keys"] = json!([
        changed("use", json!("wit-svid")),
        changed("use", json!("X509-SVID")),
        changed("kty", json!("quantum")),
        changed("x5c", json!([])),
        changed("x5c", json!(null)),
        changed("kty", json!(null)),
        json!("no object"),
        two,
    ]);
    value["unknown"] = json!({"a": 1});
    assert_eq!(parse(&value).expect("reads").roots(), mesh.bundle().roots());
    value["keys"] = json!([]);
    assert!(parse(&value).expect("an empty bundle is a bundle").roots().is_empty());
}

#[test]
fn bad_bundles_are_refused() {
    let mesh = Mesh::new();
    let value = jwks(&mesh);
    let with = |name: &str, to: Value| {
        let mut value = value.clone();
        value[name] = to;
        parse(&value)
    };
    assert!(matches!(with("keys", Value::Null), Err(BundleError::Json { .. })), "keys is a MUST");
    assert!(with("spiffe_sequence", json!(-1)).is_err());
    assert!(with("spiffe_sequence", json!(u64::MAX)).is_ok(), "64 bits of precision");
    assert!(with("spiffe_refresh_hint", json!("often")).is_err());
    let mut leaf = value.clone();
    leaf["keys"][0]["x5c"] = json!(["AAAA"]);
    assert!(matches!(parse(&leaf), Err(BundleError::Root { index: 0, .. })));
    let no_ca = mesh.issuer_ca().leaf(&crate::common::leaf_params(&["spiffe://holm.test/a"]));
    let refused = Bundle::new(&domain(), vec![no_ca[0].clone()], 1, 1);
    assert!(matches!(refused, Err(BundleError::Root { .. })), "a leaf is no root");
    let huge = vec![b' '; MAX_BUNDLE_BYTES + 1];
    let refused = Bundle::from_jwks(&domain(), &huge);
    assert!(matches!(refused, Err(BundleError::TooLarge { .. })));
    let many: Vec<CertificateDer<'static>> = (0..17).map(|_| root()).collect();
    let refused = Bundle::new(&domain(), many, 1, 1);
    assert!(matches!(refused, Err(BundleError::TooLarge { .. })));
}

fn root() -> CertificateDer<'static> {
    holm_certs::RootAuthority::create(&domain(), NOW).expect("a root").certificate().clone()
}

#[test]
fn updates_go_forward_only() {
    let (first, second) = (root(), root());
    let of = |roots, sequence| Bundle::new(&domain(), roots, sequence, 300).expect("a bundle");
    let mut map = BundleMap::default();
    assert_eq!(map.update(of(vec![first.clone()], 5)), Ok(true));
    assert_eq!(map.update(of(vec![first.clone()], 5)), Ok(false), "the same again");
    for sequence in [4, 5] {
        let refused = map.update(of(vec![second.clone()], sequence));
        assert!(matches!(refused, Err(BundleError::StaleSequence { held: 5, .. })));
    }
    assert_eq!(map.update(of(vec![first, second], 6)), Ok(true));
    assert_eq!(map.find(&domain()).map(|bundle| bundle.roots().len()), Some(2));
}

#[test]
fn a_map_refuses_a_domain_twice_and_reads_back() {
    let (mesh, other) = (Mesh::new(), TrustDomain::new("other.test").expect("a domain"));
    let mut map = mesh.bundles.clone();
    let refused = map.insert(mesh.bundle());
    assert!(matches!(refused, Err(BundleError::DuplicateDomain { .. })));
    map.insert(Mesh::of(&other, NOW + DAY).bundle()).expect("another domain");
    let json = map.to_json().expect("JSON");
    assert_eq!(BundleMap::from_json(json.as_bytes()).expect("reads back"), map);
    let twice = r#"{"trust_domains": {"a": {"keys": []}, "a": {"keys": []}}}"#;
    let refused = BundleMap::from_json(twice.as_bytes());
    assert!(matches!(refused, Err(BundleError::DuplicateDomain { .. })), "{refused:?}");
    assert!(BundleMap::from_json(br#"{"trust_domains": {"Bad": {"keys": []}}}"#).is_err());
}
