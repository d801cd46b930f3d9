//! One negative test a rule: the ten MUSTs of X509-SVID and the rules of RFC 5280 around them.

use crate::common::{
    Ca, Chain, DAY, HOUR, Mesh, NOW, ca_params, domain, extension, leaf_params, node_id,
};
use holm_certs::{
    Bundle, BundleMap, MAX_CERTIFICATE_BYTES, NodeKey, RootAuthority, SvidError, TrustDomain,
    VerifiedSvid, Verifier,
};
use holm_model::Millis;
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

const ID: &str = "spiffe://holm.test/site/berlin/node/n1";
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const ALT_NAMES: [u64; 4] = [2, 5, 29, 17];
const NAME_CONSTRAINTS: [u64; 4] = [2, 5, 29, 30];

fn verify(mesh: &Mesh, chain: &Chain) -> Result<VerifiedSvid, SvidError> {
    Verifier::verify(chain, &mesh.bundles, NOW)
}

/// The chain is refused, for this reason and no other, in words that name the certificate.
fn refused(mesh: &Mesh, chain: &Chain, code: &str) -> SvidError {
    let error = verify(mesh, chain).expect_err(code);
    assert_eq!(error.code(), code, "{error}");
    error
}

fn unconstrained_root() -> (Mesh, Ca) {
    // A mesh whose root forges intermediates of any shape: its own root allows only one below.
    let mut mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let params = ca_params("a root", &["spiffe://holm.test"]);
    let certificate = params.self_signed(&key).expect("a root").der().clone();
    let bundle = Bundle::new(&domain(), vec![certificate.clone()], 2, 300).expect("a bundle");
    mesh.bundles = BundleMap::of(bundle);
    (mesh, Ca { key, certificate })
}

#[test]
fn a_good_chain_is_accepted_and_says_who_it_is() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let svid = verify(&mesh, &chain).expect("a good chain");
    assert_eq!(svid.spiffe_id().to_string(), ID);
    assert_eq!(svid.spki(), key.public_key().as_der());
    assert_eq!(svid.spki_hash(), key.public_key().hash());
    assert_eq!(svid.not_before(), NOW - 5 * 60_000);
    assert_eq!(svid.not_after(), NOW + 7 * DAY);
    assert_eq!(svid.deadline(), svid.not_after() + 1000);
    assert!(svid.serial().len() == 32, "{}", svid.serial());
    // The forger's own good leaf is good, so what the other tests change is what is refused.
    verify(&mesh, &mesh.issuer_ca().leaf(&leaf_params(&[ID]))).expect("a good forged leaf");
    // A root sent along is passed over; DNS names beside the URI are allowed (§2).
    let mut with_root = chain.clone();
    with_root.push(mesh.root.certificate().clone());
    verify(&mesh, &with_root).expect("the root may be sent along");
    let mut params = leaf_params(&[ID]);
    params.subject_alt_names.push(SanType::DnsName("n1.example".try_into().expect("ascii")));
    verify(&mesh, &mesh.issuer_ca().leaf(&params)).expect("DNS names are allowed");
}

#[test]
fn rule_1_the_bundle_of_the_own_trust_domain_decides() {
    let (berlin, other) = (Mesh::new(), TrustDomain::new("other.test").expect("a domain"));
    let foreign = Mesh::of(&other, NOW);
    let key = NodeKey::generate().expect("a key");
    let id = holm_certs::SpiffeId::parse("spiffe://other.test/site/berlin/node/n1").expect("id");
    let chain = foreign
        .issuer
        .issue_svid(key.public_key(), &id, holm_certs::SVID_LIFETIME, NOW)
        .expect("an SVID");
    let error = refused(&berlin, &chain, "unknown_domain").to_string();
    assert!(error.contains("other.test") && error.contains("holm.test"), "{error}");
    // Both domains trusted: each for its own names only.
    let mut both = berlin.bundles.clone();
    both.insert(foreign.bundle()).expect("another domain");
    Verifier::verify(&chain, &both, NOW).expect("its own domain's root");
    let posing = foreign.root_ca().leaf(&leaf_params(&[ID]));
    let error = Verifier::verify(&posing, &both, NOW).expect_err("another domain's root");
    assert_eq!(error.code(), "untrusted_root", "{error}");
    // An empty bundle distrusts the whole domain.
    let empty = Bundle::new(&domain(), vec![], 1, 300).expect("an empty bundle");
    let chain = berlin.svid(&key, &node_id("berlin", "n1"), NOW);
    let error = Verifier::verify(&chain, &BundleMap::of(empty), NOW).expect_err("distrust");
    assert_eq!(error.code(), "distrusted_domain");
}

#[test]
fn rule_1_a_foreign_root_with_the_same_subject_is_refused() {
    let (mesh, ours) = unconstrained_root();
    let key = NodeKey::generate().expect("a key");
    let params = ca_params("a root", &["spiffe://holm.test"]);
    let certificate = params.self_signed(&key).expect("a root").der().clone();
    let theirs = Ca { key, certificate };
    let leaf = leaf_params(&[ID]);
    verify(&mesh, &ours.leaf(&leaf)[..1].to_vec()).expect("our root's leaf");
    refused(&mesh, &theirs.leaf(&leaf)[..1].to_vec(), "bad_signature");
    refused(&mesh, &theirs.leaf(&leaf), "bad_signature");
    let ca = theirs.below(&ca_params("an issuer", &[]));
    refused(&mesh, &ca.leaf(&leaf), "bad_signature");
}

#[test]
fn rule_2_exactly_one_uri() {
    let mesh = Mesh::new();
    let ca = mesh.issuer_ca();
    let two = leaf_params(&[ID, "spiffe://holm.test/site/tokyo/node/n1"]);
    refused(&mesh, &ca.leaf(&two), "not_one_uri");
    let mut none = leaf_params(&[]);
    none.subject_alt_names.push(SanType::DnsName("n1.example".try_into().expect("ascii")));
    refused(&mesh, &ca.leaf(&none), "not_one_uri");
    refused(&mesh, &ca.leaf(&leaf_params(&[ID, "https://holm.test/"])), "not_one_uri");
}

#[test]
fn rule_3_the_scheme_is_spiffe_and_the_id_is_well_formed() {
    let mesh = Mesh::new();
    let ca = mesh.issuer_ca();
    refused(&mesh, &ca.leaf(&leaf_params(&["https://holm.test/site/b/node/n"])), "not_spiffe");
    for bad in ["spiffe://holm.test/a//b", "spiffe://Holm.test/a", "spiffe://holm.test/a?b"] {
        refused(&mesh, &ca.leaf(&leaf_params(&[bad])), "invalid_spiffe_id");
    }
}

#[test]
fn rule_4_a_leaf_has_a_path() {
    let mesh = Mesh::new();
    let leaf = mesh.issuer_ca().leaf(&leaf_params(&["spiffe://holm.test"]));
    refused(&mesh, &leaf, "leaf_without_path");
}

#[test]
fn rule_5_a_leaf_is_no_ca() {
    let mesh = Mesh::new();
    let mut params = leaf_params(&[ID]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    refused(&mesh, &mesh.issuer_ca().leaf(&params), "leaf_is_ca");
}

#[test]
fn rule_6_a_leaf_signs_neither_certificates_nor_crls() {
    let mesh = Mesh::new();
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let mut params = leaf_params(&[ID]);
        params.key_usages.push(usage);
        refused(&mesh, &mesh.issuer_ca().leaf(&params), "leaf_may_sign");
    }
}

#[test]
fn rule_7_key_usage_is_there_critical_and_allows_digital_signature() {
    let mesh = Mesh::new();
    let ca = mesh.issuer_ca();
    let mut params = leaf_params(&[ID]);
    params.key_usages = vec![];
    refused(&mesh, &ca.leaf(&params), "key_usage_missing");
    // BIT STRING with digitalSignature alone.
    params.custom_extensions = vec![extension(&KEY_USAGE, false, &[3, 2, 7, 0x80])];
    refused(&mesh, &ca.leaf(&params), "key_usage_not_critical");
    params.custom_extensions = vec![extension(&KEY_USAGE, true, &[3, 2, 7, 0x80])];
    verify(&mesh, &ca.leaf(&params)).expect("the same, critical");
    let mut params = leaf_params(&[ID]);
    params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
    refused(&mesh, &ca.leaf(&params), "digital_signature_missing");
}

#[test]
fn rule_8_an_extended_key_usage_has_both_purposes() {
    let mesh = Mesh::new();
    let ca = mesh.issuer_ca();
    for only in [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth] {
        let mut params = leaf_params(&[ID]);
        params.extended_key_usages = vec![only];
        refused(&mesh, &ca.leaf(&params), "extended_key_usage");
    }
    let mut params = leaf_params(&[ID]);
    params.extended_key_usages = vec![];
    verify(&mesh, &ca.leaf(&params)).expect("none at all is allowed");
}

#[test]
fn rule_9_the_uri_is_critical_when_the_subject_is_empty() {
    let mesh = Mesh::new();
    let ca = mesh.issuer_ca();
    let mut names = vec![0x30, u8::try_from(ID.len() + 2).expect("short"), 0x86];
    names.push(u8::try_from(ID.len()).expect("short"));
    names.extend_from_slice(ID.as_bytes());
    let mut params = leaf_params(&[]);
    params.custom_extensions = vec![extension(&ALT_NAMES, false, &names)];
    refused(&mesh, &ca.leaf(&params), "san_not_critical");
    params.custom_extensions = vec![extension(&ALT_NAMES, true, &names)];
    verify(&mesh, &ca.leaf(&params)).expect("the same, critical");
}

#[test]
fn rule_10_issuers_are_cas_that_may_sign_and_have_no_path() {
    let (mesh, root) = unconstrained_root();
    let leaf = leaf_params(&[ID]);
    let good = ca_params("an issuer", &["spiffe://holm.test"]);
    verify(&mesh, &root.below(&good).leaf(&leaf)).expect("a good issuer");

    let mut no_ca = good.clone();
    no_ca.is_ca = IsCa::ExplicitNoCa;
    refused(&mesh, &root.below(&no_ca).leaf(&leaf), "signer_not_ca");
    let mut no_basic = good.clone();
    no_basic.is_ca = IsCa::NoCa;
    refused(&mesh, &root.below(&no_basic).leaf(&leaf), "signer_not_ca");
    let mut no_sign = good.clone();
    no_sign.key_usages = vec![KeyUsagePurpose::CrlSign];
    refused(&mesh, &root.below(&no_sign).leaf(&leaf), "signer_without_key_cert_sign");
    let mut no_usage = good.clone();
    no_usage.key_usages = vec![];
    refused(&mesh, &root.below(&no_usage).leaf(&leaf), "key_usage_missing");
    // keyCertSign, not critical.
    no_usage.custom_extensions = vec![extension(&KEY_USAGE, false, &[3, 2, 2, 4])];
    refused(&mesh, &root.below(&no_usage).leaf(&leaf), "key_usage_not_critical");
    let path = ca_params("an issuer", &["spiffe://holm.test/issuer"]);
    refused(&mesh, &root.below(&path).leaf(&leaf), "signer_with_path");
    let bad = ca_params("an issuer", &["https://holm.test"]);
    refused(&mesh, &root.below(&bad).leaf(&leaf), "invalid_spiffe_id");
    // A signing certificate never authenticates: not even the mesh's own issuer or root.
    refused(&mesh, &vec![mesh.issuer_ca().certificate], "leaf_is_ca");
    refused(&mesh, &vec![root.certificate], "leaf_is_ca");
}

#[test]
fn an_issuer_cannot_leave_its_name_constraints() {
    let mesh = Mesh::new();
    // The issuer of holm.test signs for a domain whose bundle (wrongly) has the same root.
    let posing = mesh.issuer_ca().leaf(&leaf_params(&["spiffe://other.test/site/b/node/n"]));
    let other = TrustDomain::new("other.test").expect("a domain");
    let root = mesh.root.certificate().clone();
    let bundles = BundleMap::of(Bundle::new(&other, vec![root], 1, 300).expect("a bundle"));
    let error = Verifier::verify(&posing, &bundles, NOW).expect_err("outside the constraint");
    assert_eq!(error.code(), "name_constraint", "{error}");

    let (mesh, root) = unconstrained_root();
    let leaf = leaf_params(&[ID]);
    let constrained = |content: &[u8]| {
        let mut params = ca_params("an issuer", &[]);
        params.custom_extensions = vec![extension(&NAME_CONSTRAINTS, true, content)];
        root.below(&params)
    };
    let tree = |list: u8, kind: u8, name: &[u8]| {
        let length = |extra: usize| u8::try_from(name.len() + extra).expect("short");
        [&[0x30, length(6), list, length(4), 0x30, length(2), kind, length(0)], name].concat()
    };
    let permitted = constrained(&tree(0xa0, 0x86, b"holm.test"));
    verify(&mesh, &permitted.leaf(&leaf)).expect("the permitted domain");
    let below = constrained(&tree(0xa0, 0x86, b".holm.test"));
    refused(&mesh, &below.leaf(&leaf), "name_constraint");
    let excluded = constrained(&tree(0xa1, 0x86, b"holm.test"));
    refused(&mesh, &excluded.leaf(&leaf), "name_constraint");
    // A constraint on DNS names is not processed: it refuses who has one, and only them.
    let dns = constrained(&tree(0xa0, 0x82, b"holm.test"));
    verify(&mesh, &dns.leaf(&leaf)).expect("no DNS name, no constraint");
    let mut named = leaf_params(&[ID]);
    named.subject_alt_names.push(SanType::DnsName("n1.holm.test".try_into().expect("ascii")));
    refused(&mesh, &dns.leaf(&named), "name_constraint");
}

#[test]
fn path_lengths_hold() {
    let mesh = Mesh::new();
    let leaf = leaf_params(&[ID]);
    // pathLen 0 of the issuer: no CA below it. pathLen 1 of the root: no third one.
    let issuer = mesh.issuer_ca();
    let sub = issuer.below(&ca_params("below the issuer", &[]));
    let mut chain = sub.leaf(&leaf);
    chain.push(issuer.certificate);
    refused(&mesh, &chain, "path_length");
    let root = mesh.root_ca();
    let first = root.below(&ca_params("first", &[]));
    let second = first.below(&ca_params("second", &[]));
    let mut chain = second.leaf(&leaf);
    chain.push(first.certificate);
    refused(&mesh, &chain, "path_length");
}

#[test]
fn chains_are_in_order_and_bounded() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    refused(&mesh, &vec![], "empty_chain");
    let four = vec![chain[0].clone(); 4];
    assert_ne!(verify(&mesh, &four).expect_err("four leaves").code(), "chain_too_long");
    refused(&mesh, &vec![chain[0].clone(); 5], "chain_too_long");
    refused(&mesh, &vec![chain[0].clone()], "untrusted_root");
    let other = mesh.root.create_issuer(NOW).expect("another issuer");
    let blocks = pem::parse_many(&*other.to_pem()).expect("pem");
    let wrong = vec![chain[0].clone(), blocks[1].contents().to_vec().into()];
    refused(&mesh, &wrong, "issuer_mismatch");
    let large = vec![chain[0].clone(), vec![0x30; MAX_CERTIFICATE_BYTES + 1].into()];
    refused(&mesh, &large, "certificate_too_large");
    let trailing = vec![[chain[0].as_ref(), &[0]].concat().into(), chain[1].clone()];
    refused(&mesh, &trailing, "malformed");
    refused(&mesh, &vec![b"garbage".to_vec().into()], "malformed");
}

#[test]
fn unknown_critical_and_double_extensions_are_refused() {
    let (mesh, root) = unconstrained_root();
    let mut params = leaf_params(&[ID]);
    params.custom_extensions = vec![extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, &[5, 0])];
    refused(&mesh, &root.leaf(&params), "unknown_critical_extension");
    params.custom_extensions = vec![extension(&[1, 3, 6, 1, 4, 1, 99999, 1], false, &[5, 0])];
    verify(&mesh, &root.leaf(&params)).expect("not critical");
    let mut issuer = ca_params("an issuer", &[]);
    issuer.custom_extensions = vec![extension(&[1, 3, 6, 1, 4, 1, 99999, 1], true, &[5, 0])];
    let leaf = leaf_params(&[ID]);
    refused(&mesh, &root.below(&issuer).leaf(&leaf), "unknown_critical_extension");
    params.custom_extensions = vec![extension(&KEY_USAGE, true, &[3, 2, 7, 0x80])];
    refused(&mesh, &root.leaf(&params), "duplicate_extension");
    // A name constraint that cannot be read must not be passed over.
    let mut issuer = ca_params("an issuer", &[]);
    issuer.custom_extensions = vec![extension(&NAME_CONSTRAINTS, true, &[0x30, 1, 0xff])];
    refused(&mesh, &root.below(&issuer).leaf(&leaf), "unknown_critical_extension");
}

#[test]
fn time_decides_and_a_wrong_clock_is_named() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let at = |now: Millis| Verifier::verify(&chain, &mesh.bundles, now);
    at(NOW - 5 * 60_000).expect("the first second");
    at(NOW + 7 * DAY + 999).expect("the last millisecond of the last second");
    let late = at(NOW + 7 * DAY + HOUR).expect_err("an hour late");
    assert_eq!(late.code(), "expired");
    let text = late.to_string();
    assert!(text.contains("expired 1 h 0 min ago") && text.contains("clock"), "{text}");
    assert!(text.contains(ID), "{text}");
    let early = at(NOW - 5 * 60_000 - HOUR).expect_err("an hour early");
    assert_eq!(early.code(), "not_yet_valid");
    let text = early.to_string();
    assert!(text.contains("1 h 0 min after") && text.contains("NTP"), "{text}");
    let long_ago = at(NOW + 60 * DAY).expect_err("long ago").to_string();
    assert!(!long_ago.contains("may be a wrong clock"), "{long_ago}");
    // An issuer or a root that has ended ends what it issued.
    let (mesh, root) = unconstrained_root();
    let mut short = ca_params("an issuer", &[]);
    short.not_after = crate::common::utc(NOW - 60_000);
    let error = refused(&mesh, &root.below(&short).leaf(&leaf_params(&[ID])), "expired");
    assert!(error.to_string().contains("signing certificate 1"), "{error}");
    let mut long = leaf_params(&[ID]);
    long.not_after = crate::common::utc(NOW + 100 * DAY);
    let chain = root.leaf(&long);
    let error = Verifier::verify(&chain, &mesh.bundles, NOW + 2 * DAY).expect_err("a dead root");
    assert!(error.code() == "expired" && error.to_string().contains("root"), "{error}");
}

#[test]
fn a_refresh_keeps_key_and_name() {
    let mesh = Mesh::new();
    let (key, other) = (NodeKey::generate().expect("key"), NodeKey::generate().expect("key"));
    let id = node_id("berlin", "n1");
    let old = verify(&mesh, &mesh.svid(&key, &id, NOW)).expect("valid");
    let refresh = |chain: &Chain| Verifier::verify_refresh(&old, chain, &mesh.bundles, NOW + DAY);
    let new = refresh(&mesh.svid(&key, &id, NOW + DAY)).expect("same key, same name");
    assert!(new.not_after() > old.not_after());
    let error = refresh(&mesh.svid(&other, &id, NOW + DAY)).expect_err("another key");
    assert_eq!(error.code(), "wrong_key");
    let error = refresh(&mesh.svid(&key, &node_id("tokyo", "n1"), NOW + DAY)).expect_err("name");
    assert_eq!(error.code(), "wrong_spiffe_id");
}

#[test]
fn a_web_certificate_never_passes_for_an_svid() {
    let mesh = Mesh::new();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh
        .issuer
        .issue_web(
            key.public_key(),
            &["n1.example".to_owned()],
            &[],
            crate::common::minutes(60),
            NOW,
        )
        .expect("a web certificate");
    refused(&mesh, &chain, "not_one_uri");
}

#[test]
fn another_mesh_of_the_same_name_is_refused() {
    let (mesh, twin) = (Mesh::new(), RootAuthority::create(&domain(), NOW).expect("a root"));
    let issuer = twin.create_issuer(NOW).expect("an issuer");
    let key = NodeKey::generate().expect("a key");
    let lifetime = holm_certs::SVID_LIFETIME;
    let chain = issuer.issue_svid(key.public_key(), &node_id("b", "n"), lifetime, NOW).expect("ok");
    refused(&mesh, &chain, "untrusted_root");
}
