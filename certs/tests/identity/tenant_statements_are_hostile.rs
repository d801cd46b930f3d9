//! Tenant statements as an enemy writes them: every bound, every field, and bytes changed at random.

use holm_certs::{
    Grant, GrantBook, GrantError, GrantRevocation, GrantTerms, KeyDelivery, MAX_STATEMENT_BYTES,
    NodeKey, Recipient, Right, Rights, SealingKey, SealingPublicKey, SealingSecret,
    SignedStatement, StatementKey, StatementKind, Taken, TenantAuthority, TenantCreation,
};
use rand::RngExt as _;
use rand::rngs::StdRng;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use crate::common::{HOUR, NOW};
use crate::tenancy::{Tenancy, grant_bytes, rng, site, terms};

/// Signs any payload as the tenant's authority, from the documented format alone.
fn forge(authority: &TenantAuthority, kind: StatementKind, payload: &[u8]) -> Vec<u8> {
    let pem = pem::parse(&*authority.to_pem()).expect("pem");
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pem.contents(), &random);
    let length = u16::try_from(payload.len()).expect("short").to_be_bytes();
    let hash = authority.public_key().hash().0;
    let context = b"holm signed statement v1\0";
    let message = [&context[..], &kind.0.to_be_bytes(), &length, payload, &hash].concat();
    let signature = key.expect("a key").sign(&random, &message).expect("signed");
    let signature = signature.as_ref();
    let signed = u16::try_from(signature.len()).expect("short").to_be_bytes();
    [b"HSS1", &kind.0.to_be_bytes()[..], &length, payload, &[0], &signed, signature].concat()
}

fn payload(bytes: &[u8]) -> Vec<u8> {
    SignedStatement::from_bytes(bytes).expect("a statement").payload().to_vec()
}

/// One good statement of each kind that an authority signs, with two recipients in the delivery.
fn said(t: &Tenancy) -> Vec<(StatementKind, Vec<u8>)> {
    let recipients = [b"a", b"b"].map(|_| {
        let key = NodeKey::generate().expect("a key");
        let key = SealingSecret::of(&key).expect("derived").public_key();
        Recipient { key, rights: Rights::BOTH }
    });
    let delivery = t.authority.deliver(1, NOW, &recipients, &mut rng()).expect("sealed");
    vec![
        (StatementKind::GRANT, grant_bytes(&t.authority, terms("berlin", Rights::BOTH, 1))),
        (StatementKind::GRANT_REVOCATION, t.revocation("berlin", 1, NOW)),
        (StatementKind::KEY_DELIVERY, delivery[0].to_bytes().expect("bytes")),
    ]
}

#[test]
fn the_documented_format_is_what_is_read() {
    let t = Tenancy::new();
    for (kind, bytes) in said(&t) {
        let mut book = t.book();
        let by_hand = forge(&t.authority, kind, &payload(&bytes));
        assert!(matches!(t.take(&mut book, &by_hand), Taken::News(_)), "{kind:?}");
        assert_eq!(t.take(&mut book, &bytes), Taken::Known, "{kind:?}: the same words");
    }
    let by_hand = [
        &[1][..],
        &t.tag().0,
        &[0, 6],
        b"berlin",
        &[3],
        &7u64.to_be_bytes(),
        &NOW.0.to_be_bytes(),
        &(NOW + HOUR).0.to_be_bytes(),
    ]
    .concat();
    let grant = Grant::from_bytes(&forge(&t.authority, StatementKind::GRANT, &by_hand));
    let expected =
        GrantTerms { not_before: NOW, not_after: NOW + HOUR, ..terms("berlin", Rights::BOTH, 7) };
    assert_eq!(grant.expect("reads").terms(), &expected);
}

#[test]
fn cut_prolonged_and_unknown_versions_are_malformed() {
    let t = Tenancy::new();
    let mut book = t.book();
    for (kind, bytes) in said(&t) {
        let good = payload(&bytes);
        for cut in 0..good.len() {
            let bytes = forge(&t.authority, kind, &good[..cut]);
            assert_eq!(t.refused(&mut book, &bytes), "malformed", "{kind:?} cut at {cut}");
        }
        let longer = [&good[..], &[0]].concat();
        let bytes = forge(&t.authority, kind, &longer);
        assert_eq!(t.refused(&mut book, &bytes), "malformed", "{kind:?} with a byte more");
        for version in [0, 2, 255] {
            let mut other = good.clone();
            other[0] = version;
            let bytes = forge(&t.authority, kind, &other);
            assert_eq!(t.refused(&mut book, &bytes), "malformed", "{kind:?} version {version}");
        }
    }
    let huge = vec![b'H'; MAX_STATEMENT_BYTES + 1];
    assert_eq!(t.refused(&mut book, &huge), "too_large");
    let wide = forge(&t.authority, StatementKind::GRANT, &vec![1; 17 * 1024]);
    assert_eq!(t.refused(&mut book, &wide), "too_large");
    let behind = [&t.creation()[..], b"x"].concat();
    assert_eq!(t.refused(&mut book, &behind), "malformed");
    assert_eq!(book.counters().refused["too_large"], 2);
}

#[test]
fn every_field_is_judged() {
    let t = Tenancy::new();
    let mut book = t.book();
    let all = said(&t);
    let mut refused =
        |kind, payload: &[u8]| t.refused(&mut book, &forge(&t.authority, kind, payload));
    let good = payload(&all[0].1);
    let rights_at = 1 + 16 + 2 + 6;
    for rights in [0, 4, 7, 255] {
        let mut bad = good.clone();
        bad[rights_at] = rights;
        assert_eq!(refused(StatementKind::GRANT, &bad), "malformed", "rights {rights}");
    }
    for (begin, end) in [(NOW, NOW), (NOW + 1, NOW)] {
        let mut bad = good[..rights_at + 9].to_vec();
        bad.extend(begin.0.to_be_bytes());
        bad.extend(end.0.to_be_bytes());
        assert_eq!(refused(StatementKind::GRANT, &bad), "period");
        let terms = GrantTerms { not_before: begin, not_after: end, ..terms("b", Rights::BOTH, 1) };
        assert!(matches!(t.authority.grant(terms), Err(GrantError::Period { .. })));
    }
    assert!(t.authority.grant(terms("b", Rights::NONE, 1)).is_err());
    for kind in [StatementKind::GRANT, StatementKind::GRANT_REVOCATION] {
        let good = payload(&all[usize::from(kind != StatementKind::GRANT)].1);
        for site in [&b"Berlin"[..], b"", b"\xff\xfe", b"ber/lin"] {
            let length = u16::try_from(site.len()).expect("short").to_be_bytes();
            let bad = [&good[..17], &length, site, &good[rights_at..]].concat();
            assert_eq!(refused(kind, &bad), "malformed", "{kind:?} site {site:?}");
        }
    }
    // A recipient twice, in the wrong order, of an unknown sort, too many.
    let good = payload(&all[2].1);
    let table = 1 + 16 + 4 + 8 + 92 + 32 + 2;
    let (head, entries) = good.split_at(table);
    let (one, two) = entries.split_at(65);
    assert_eq!(two.len(), 65);
    for bad in [[one, one], [two, one]] {
        let bad = [head, &bad.concat()].concat();
        assert_eq!(refused(StatementKind::KEY_DELIVERY, &bad), "malformed");
    }
    let mut bad = good.clone();
    bad[table + 16] = 3;
    assert_eq!(refused(StatementKind::KEY_DELIVERY, &bad), "malformed");
    let mut bad = good.clone();
    bad[table - 2..table].copy_from_slice(&129u16.to_be_bytes());
    assert_eq!(refused(StatementKind::KEY_DELIVERY, &bad), "malformed");
}

#[test]
fn kinds_are_not_taken_for_each_other() {
    let t = Tenancy::new();
    let mut book = t.book();
    let node = t.mesh.identity("berlin", NOW);
    for (kind, bytes) in said(&t) {
        // The same signature under another kind.
        let mut relabelled = bytes.clone();
        for other in 0..8u16 {
            relabelled[4..6].copy_from_slice(&other.to_be_bytes());
            if other != kind.0 {
                let taken = book.take(&relabelled, t.trust());
                assert!(matches!(taken, Err(_) | Ok(Taken::OtherKind)), "{kind:?} as {other}");
            }
        }
        // Signed by somebody with a certificate, where a tenant's key must.
        let signers = [StatementKey::from(&t.mesh.root), node.statement_key()];
        for signer in signers {
            let chained = SignedStatement::sign(kind, payload(&bytes), signer).expect("signed");
            let chained = chained.to_bytes().expect("bytes");
            assert_eq!(t.refused(&mut book, &chained), "malformed", "{kind:?}");
        }
        assert_eq!(Grant::from_bytes(&bytes).is_ok(), kind == StatementKind::GRANT);
        let revocation = GrantRevocation::from_bytes(&bytes);
        assert_eq!(revocation.is_ok(), kind == StatementKind::GRANT_REVOCATION);
        assert_eq!(KeyDelivery::from_bytes(&bytes).is_ok(), kind == StatementKind::KEY_DELIVERY);
        assert!(TenantCreation::from_bytes(&bytes).is_err());
        assert!(SealingKey::from_bytes(&bytes).is_err());
    }
    // Without a chain nobody creates a tenant or publishes a sealing key.
    let creation = payload(&t.creation());
    let bare = forge(&t.authority, StatementKind::TENANT_CREATION, &creation);
    assert_eq!(t.refused(&mut book, &bare), "untrusted_signer");
    let public = SealingPublicKey([9; 32]);
    let by_issuer = SealingKey::sign(&t.mesh.issuer, public, NOW).expect("signed");
    let bytes = by_issuer.to_bytes().expect("bytes");
    assert_eq!(t.refused(&mut book, &bytes), "not_authorised");
    let forced = SealingPublicKey([0; 32]);
    let forced = SealingKey::sign(node.statement_key(), forced, NOW).expect("signed");
    assert_eq!(t.refused(&mut book, &forced.to_bytes().expect("bytes")), "malformed");
    assert_eq!(t.take(&mut book, &holm_certs_revocation(&t)), Taken::OtherKind);
}

fn holm_certs_revocation(t: &Tenancy) -> Vec<u8> {
    let hash = NodeKey::generate().expect("a key").public_key().hash();
    let id = crate::common::node_id("berlin", "n1");
    let revocation = holm_certs::Revocation::sign(&t.mesh.issuer, hash, &id, "x", NOW);
    revocation.expect("signed").to_bytes().expect("bytes")
}

fn mutate(bytes: &[u8], other: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..bytes.len().max(1)).min(bytes.len());
        match rng.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, rng.random()),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                let end = (at + rng.random_range(0..64)).min(bytes.len()).min(other.len());
                let start = at.min(end);
                bytes[start..end].copy_from_slice(&other[start..end]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            _ => {}
        }
    }
    bytes
}

/// Six thousand changed statements, some of them signed again so that the payload's reader is
/// reached: never a panic, never a right that was not granted. A failure names its round.
#[test]
fn changed_statements_grant_nothing() {
    let t = Tenancy::new();
    let mut all: Vec<Vec<u8>> = said(&t).into_iter().map(|(_, bytes)| bytes).collect();
    all.push(t.creation());
    let (secret, published) = t.node("berlin", "n1", NOW);
    all.push(published);
    let known: Vec<Vec<u8>> = all.iter().map(|bytes| payload(bytes)).collect();
    let (mut book, mut rng) = (t.book(), rng());
    let mut refused = std::collections::BTreeMap::<_, u32>::new();
    for round in 0..6_000 {
        let at = rng.random_range(0..all.len());
        let other = rng.random_range(0..all.len());
        let changed = mutate(&all[at], &all[other], &mut rng);
        if let Err(error) = book.take(&changed, t.trust()) {
            *refused.entry(error.code()).or_default() += 1;
        } else if let Ok(read) = SignedStatement::from_bytes(&changed) {
            // Only what was said before may be taken, or what this book does not read or must wait for.
            let same = known.iter().any(|payload| payload == read.payload());
            let other = !(2..=6).contains(&read.kind().0);
            let waits = (3..=5).contains(&read.kind().0) && read.payload()[1..17] != t.tag().0;
            assert!(same || other || waits, "round {round}: new words were taken");
        }
        // The payload changed and signed by the tenant itself: it hurts only itself.
        let kind = SignedStatement::from_bytes(&all[at]).expect("good").kind();
        let words = mutate(&known[at], &known[other], &mut rng);
        if words.len() < 12_000 && round % 4 == 0 {
            let mut own = t.book();
            let _ = own.take(&forge(&t.authority, kind, &words), t.trust());
            let _ = own.keyring(t.tag(), &secret).name();
            assert_eq!(own.tenants().len(), 1, "round {round}");
        }
    }
    for right in [Right::Query, Right::Replicate] {
        for to in ["tokyo", "paris"] {
            assert!(!book.may(&site(to), t.tag(), right, NOW).is_granted());
        }
    }
    assert!(refused.len() >= 3 && refused.values().sum::<u32>() > 3_000, "{refused:?}");
}

#[test]
fn changed_hints_open_nowhere() {
    let t = Tenancy::new();
    let mut book = GrantBook::default();
    t.take(&mut book, &t.creation());
    let key = NodeKey::generate().expect("a key");
    let secret = SealingSecret::of(&key).expect("derived");
    let to = [Recipient { key: secret.public_key(), rights: Rights::REPLICATE }];
    t.deliver(&mut book, 1, NOW, &to);
    let ring = book.keyring(t.tag(), &secret);
    let mut rng = rng();
    let hint = ring.seal(b"document at digest", b"", NOW, &mut rng).expect("sealed");
    for round in 0..10_000 {
        let changed = mutate(&hint, &t.tag().0, &mut rng);
        if changed != hint {
            assert!(ring.open(&changed, b"", NOW).is_err(), "round {round}");
        }
    }
}
