//! Statuses as an authority signs them, and as others alter them.

use super::*;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SigningKey,
};

struct Made {
    authority: Issuer<'static, KeyPair>,
    root: Vec<u8>,
    leaf: Vec<u8>,
}

fn certificate(name: &str, serial: u8) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.serial_number = Some(vec![serial, 0xfe].into());
    params
}

fn made() -> Made {
    let mut root = certificate("root", 1);
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let root_der = root.self_signed(&key).expect("signed").der().to_vec();
    let authority = Issuer::new(root, key);
    let leaf_key = KeyPair::generate().expect("a key");
    let leaf = certificate("shop.example", 0x8a).signed_by(&leaf_key, &authority);
    Made { authority, root: root_der, leaf: leaf.expect("signed").der().to_vec() }
}

/// An element of DER.
fn tlv(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = contents.len();
    let mut out = vec![tag];
    match length {
        0..=127 => out.push(length as u8),
        128..=255 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(contents);
    out
}

const ECDSA_SHA256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const BASIC_OID: [u8; 11] = [0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];

fn at(text: &str) -> Vec<u8> {
    tlv(0x18, &[text.as_bytes()])
}

/// A response about the certificate of this serial number, with this status, signed with `key`.
fn made_response(serial: &[u8], status: &[u8], key: &KeyPair, certificates: &[u8]) -> Vec<u8> {
    let hash = tlv(0x04, &[&[7; 20]]);
    let algorithm = tlv(0x30, &[&[0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a], &[0x05, 0x00]]);
    let id = tlv(0x30, &[&algorithm, &hash, &hash, &tlv(0x02, &[serial])]);
    let next = tlv(0xa0, &[&at("20310102000000Z")]);
    let single = tlv(0x30, &[&id, status, &at("20300101000000Z"), &next]);
    let responder = tlv(0xa2, &[&hash]);
    let data = tlv(0x30, &[&responder, &at("20300101000000Z"), &tlv(0x30, &[&single])]);
    let signature = tlv(0x03, &[&[0], &key.sign(&data).expect("signed")]);
    let certificates = match certificates {
        [] => Vec::new(),
        der => tlv(0xa0, &[&tlv(0x30, &[der])]),
    };
    let basic = tlv(0x30, &[&data, &tlv(0x30, &[&ECDSA_SHA256]), &signature, &certificates]);
    let bytes = tlv(0x30, &[&BASIC_OID, &tlv(0x04, &[&basic])]);
    tlv(0x30, &[&[0x0a, 1, 0], &tlv(0xa0, &[&bytes])])
}

const GOOD: [u8; 2] = [0x80, 0];

fn revoked() -> Vec<u8> {
    tlv(0xa1, &[&at("20291231235959Z"), &tlv(0xa0, &[&[0x0a, 1, 1]])])
}

const SERIAL: [u8; 3] = [0, 0x8a, 0xfe];

#[test]
fn a_status_is_read_and_its_signature_is_looked_at() {
    let made = made();
    let chain = [&*made.leaf, &*made.root];
    let good = read(&made_response(&SERIAL, &GOOD, made.authority.key(), &[]), &chain);
    let seconds = |at: Option<Millis>| at.map(|at| at.0 / 1_000);
    assert_eq!((good.status, good.problem), (Some("good"), None));
    assert_eq!(seconds(good.this_update), Some(1_893_456_000));
    assert_eq!(seconds(good.next_update), Some(1_925_078_400));
    let gone = read(&made_response(&SERIAL, &revoked(), made.authority.key(), &[]), &chain);
    assert_eq!(
        (gone.status, gone.reason, gone.problem),
        (Some("revoked"), Some("keyCompromise"), None)
    );
    assert_eq!(seconds(gone.revoked_at), Some(1_893_455_999));
    let unknown = read(&made_response(&SERIAL, &[0x82, 0], made.authority.key(), &[]), &chain);
    assert_eq!((unknown.status, unknown.problem), (Some("unknown"), None));
}

#[test]
fn what_does_not_hold_is_told() {
    let made = made();
    let chain = [&*made.leaf, &*made.root];
    let problem = |der: &[u8], chain: &[&[u8]]| read(der, chain).problem.expect("a problem");
    let stranger = KeyPair::generate().expect("a key");
    let forged = made_response(&SERIAL, &revoked(), &stranger, &[]);
    assert!(problem(&forged, &chain).contains("neither by the issuer"));
    let other = made_response(&[9], &GOOD, made.authority.key(), &[]);
    assert!(problem(&other, &chain).contains("another certificate"));
    let good = made_response(&SERIAL, &GOOD, made.authority.key(), &[]);
    assert!(problem(&good, &chain[..1]).contains("does not send the issuer's"));
    assert!(problem(b"a status", &chain).contains("not readable"));
    assert!(problem(&[0x30, 3, 0x0a, 1, 3], &chain).contains("later"));
    assert!(problem(&good, &[b"no certificate"]).contains("certificate itself"));
}

#[test]
fn whom_the_issuer_lets_answer_may_and_nobody_else() {
    let made = made();
    let chain = [&*made.leaf, &*made.root];
    let key = KeyPair::generate().expect("a key");
    let mut responder = certificate("responder", 3);
    let without =
        responder.clone().signed_by(&key, &made.authority).expect("signed").der().to_vec();
    responder.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    let let_by = responder.clone().signed_by(&key, &made.authority).expect("signed").der().to_vec();
    let own = responder.self_signed(&key).expect("signed").der().to_vec();
    let of = |certificate: &[u8]| {
        read(&made_response(&SERIAL, &GOOD, &key, certificate), &chain).problem
    };
    assert_eq!(of(&let_by), None);
    assert!(of(&without).is_some_and(|why| why.contains("neither by the issuer")));
    assert!(of(&own).is_some_and(|why| why.contains("not let by the issuer")));
}

#[test]
fn a_certificate_that_must_come_with_its_status_says_so() {
    let made = made();
    let plain = X509Certificate::from_der(&made.leaf).expect("a certificate").1;
    assert!(!must_staple(&plain));
    let mut params = certificate("must.example", 4);
    let features = tlv(0x30, &[&[0x02, 1, 5]]);
    params.custom_extensions =
        vec![rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], features)];
    let key = KeyPair::generate().expect("a key");
    let der = params.signed_by(&key, &made.authority).expect("signed").der().to_vec();
    assert!(must_staple(&X509Certificate::from_der(&der).expect("a certificate").1));
}

/// What OpenSSL's own responder signs, with an RSA key.
#[test]
fn a_status_that_openssl_writes_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let run = |line: &str| {
        let ran = std::process::Command::new("openssl")
            .args(line.split(' '))
            .current_dir(dir.path())
            .output();
        ran.map(|ran| ran.status.success())
    };
    if run("version").is_err() {
        eprintln!("left out: openssl is not installed");
        return;
    }
    let write =
        |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    write("ext", "subjectAltName=DNS:localhost\ntlsfeature=status_request\n");
    write(
        "index.txt",
        "R\t401231235959Z\t260101000000Z,superseded\t8AFE\tunknown\t/CN=localhost\n",
    );
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=root -days 3650",
        "req -new -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=localhost -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 0x8afe -days 90 -extfile ext -outform der -out leaf.der",
        "x509 -inform der -in leaf.der -out leaf.pem",
        "x509 -in ca.pem -outform der -out ca.der",
        "ocsp -index index.txt -rsigner ca.pem -rkey ca.key -CA ca.pem -issuer ca.pem -cert leaf.pem -respout status.der -ndays 7",
    ] {
        assert!(run(line).is_ok_and(|ran| ran), "openssl {line}");
    }
    let [leaf, root, status] = ["leaf.der", "ca.der", "status.der"]
        .map(|name| std::fs::read(dir.path().join(name)).expect("written"));
    let read = read(&status, &[&leaf, &root]);
    assert_eq!(
        (read.status, read.reason, read.problem),
        (Some("revoked"), Some("superseded"), None)
    );
    assert_eq!(read.revoked_at.map(|at| at.0), Some(1_767_225_600_000));
    assert_eq!(
        read.next_update.zip(read.this_update).map(|(to, from)| to.since(from)),
        Some(7 * 86_400_000)
    );
    assert!(must_staple(&X509Certificate::from_der(&leaf).expect("a certificate").1));
}

proptest! {
    #[test]
    fn no_response_panics_and_none_that_was_altered_is_believed(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..6),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        static MADE: std::sync::OnceLock<(Made, Vec<u8>)> = std::sync::OnceLock::new();
        let (made, response) = MADE.get_or_init(|| {
            let made = made();
            let response = made_response(&SERIAL, &GOOD, made.authority.key(), &[]);
            (made, response)
        });
        let chain = [&*made.leaf, &*made.root];
        let mut der = response.clone();
        for (at, by) in flips {
            let at = at.index(der.len());
            der[at] ^= by;
        }
        if !whole {
            der.truncate(cut.index(der.len()));
        }
        let read = read(&der, &chain);
        let before = super::read(response, &chain);
        // What is believed is what was signed.
        prop_assert!(read.problem.is_some() || read == before, "{read:?}");
    }
}
