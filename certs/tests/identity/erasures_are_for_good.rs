//! The end of a tenant: whoever said what before or after, in whatever order it comes.

use holm_certs::{
    ErasureAttestation, KeyPlan, NodeKey, Right, Rights, StatementKey, Taken, TenantCreation,
    Verdict,
};

use crate::common::{HOUR, NOW, node_id};
use crate::tenancy::{Tenancy, authority, grant_bytes, site, terms};

#[test]
fn no_grant_before_or_after_brings_an_erased_tenant_back() {
    let t = Tenancy::new();
    let grants =
        [1, 2].map(|serial| grant_bytes(&t.authority, terms("berlin", Rights::BOTH, serial)));
    let erasure = t.authority.erase(NOW).expect("signed").to_bytes().expect("bytes");
    for order in [[&erasure, &grants[0], &grants[1]], [&grants[0], &erasure, &grants[1]]] {
        let mut book = t.book();
        for statement in order {
            t.take(&mut book, statement);
        }
        let berlin = site("berlin");
        for right in [Right::Query, Right::Replicate] {
            let verdict = book.may(&berlin, t.tag(), right, NOW + HOUR);
            assert_eq!(verdict, Verdict::Erased { since: NOW });
            assert_eq!(
                book.may(&site("lima"), t.tag(), right, NOW),
                Verdict::Erased { since: NOW }
            );
        }
        assert!(book.tenants_of(&berlin, NOW).is_empty());
        t.take(&mut book, &t.node("berlin", "n1", NOW).1);
        assert_eq!(book.key_plan(t.tag(), NOW), KeyPlan::Nothing, "nobody gets its keys");
        assert_eq!(book.nodes_of(t.tag()).len(), 1, "berlin may have had it");
    }
}

#[test]
fn an_attestation_answers_one_erasure_and_is_counted_once_a_node() {
    let t = Tenancy::new();
    let mut book = t.book();
    let erasure = t.authority.erase(NOW).expect("signed");
    t.take(&mut book, &erasure.to_bytes().expect("bytes"));
    assert!(book.erased_at(&erasure).is_empty());
    let key = NodeKey::generate().expect("a key");
    let chain = t.mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let say = |at| {
        let signer = StatementKey::node(&key, chain.clone());
        let said = ErasureAttestation::sign(signer, t.tag(), erasure.digest(), at).expect("signed");
        said.to_bytes().expect("bytes")
    };
    let (later, first) = (say(NOW + HOUR), say(NOW));
    t.take(&mut book, &later);
    t.take(&mut book, &first);
    assert_eq!(t.take(&mut book, &later), Taken::Known);
    let erased = book.erased_at(&erasure);
    assert_eq!(erased.len(), 1);
    assert_eq!((erased[0].site.as_str(), erased[0].at), ("berlin", NOW));
    // Of another tenant's erasure it says nothing.
    let other = authority("other").erase(NOW).expect("signed");
    assert!(book.erased_at(&other).is_empty());
}

#[test]
fn only_the_tenants_authority_ends_it_and_only_nodes_attest() {
    let t = Tenancy::new();
    let mut book = t.book();
    let mallory = authority("mallory");
    let creation = TenantCreation::sign(&t.mesh.issuer, mallory.public_key(), NOW).expect("signed");
    t.take(&mut book, &creation.to_bytes().expect("bytes"));
    let mut forged = mallory.erase(NOW).expect("signed").to_bytes().expect("bytes");
    let (from, to) = (mallory.tag().0, t.tag().0);
    let at = forged.windows(16).position(|window| window == from).expect("has its tag");
    forged[at..at + 16].copy_from_slice(&to);
    assert_eq!(t.refused(&mut book, &forged), "bad_signature");
    let digest = t.authority.erase(NOW).expect("signed").digest();
    let said = ErasureAttestation::sign(&t.mesh.issuer, t.tag(), digest, NOW).expect("signed");
    let bytes = said.to_bytes().expect("bytes");
    assert_eq!(t.refused(&mut book, &bytes), "not_authorised");
    let erasure = t.authority.erase(NOW).expect("signed").to_bytes().expect("bytes");
    for cut in 0..erasure.len() {
        assert_eq!(t.refused(&mut book, &erasure[..cut]), "malformed", "cut at {cut}");
    }
    t.take(&mut book, &erasure);
}
