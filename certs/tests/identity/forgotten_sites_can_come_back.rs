//! Who may say that a site is gone, and what of two such statements stays.

use holm_certs::{
    Forgetting, ForgettingError, ForgottenSet, NodeKey, Revocation, RevocationSet, StatementKey,
    Trust, TrustDomain,
};
use holm_model::{Millis, NodeName, SiteId};

use crate::common::{DAY, Mesh, NOW, domain, node_id};

fn tokyo() -> SiteId {
    SiteId::new("tokyo").expect("a site")
}

struct Judge<'a>(&'a Mesh, TrustDomain, RevocationSet);

impl Judge<'_> {
    fn trust(&self) -> Trust<'_> {
        Trust { domain: &self.1, bundles: &self.0.bundles, revocations: &self.2 }
    }
}

fn judge(mesh: &Mesh) -> Judge<'_> {
    Judge(mesh, domain(), RevocationSet::default())
}

#[test]
fn what_was_signed_is_read_back_and_of_two_the_one_that_reaches_further_stays() {
    let mesh = Mesh::new();
    let n1 = NodeName::new("n1").expect("a name");
    let say = |node, up_to: u64, at: u64| {
        Forgetting::sign(&mesh.issuer, &tokyo(), node, Millis(up_to), Millis(at)).expect("signed")
    };
    let (early, late) = (say(None, NOW.0 - 60_000, NOW.0 - 60_000), say(None, NOW.0 - 5, NOW.0));
    let again = say(None, NOW.0 - 5, NOW.0 + 7);
    let one = say(Some(&n1), NOW.0 - 9, NOW.0);
    let read = Forgetting::from_bytes(&one.to_bytes().expect("bytes")).expect("parses");
    assert_eq!(read, one);
    assert_eq!((read.site(), read.node(), read.up_to()), (&tokyo(), Some(&n1), NOW - 9));

    let judge = judge(&mesh);
    let orders: [[&Forgetting; 4]; 3] = [
        [&early, &late, &again, &one],
        [&again, &one, &late, &early],
        [&late, &early, &one, &again],
    ];
    for order in orders {
        let mut set = ForgottenSet::default();
        for said in order {
            set.insert(said, judge.trust(), NOW).expect("valid");
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [&late, &one], "the earlier of equals");
        assert_eq!(set.insert(&early, judge.trust(), NOW), Ok(false), "no news");
    }
}

#[test]
fn neither_a_member_nor_a_stranger_nor_a_revoked_issuer_makes_a_site_disappear() {
    let mesh = Mesh::new();
    let mut judge = judge(&mesh);
    let mut set = ForgottenSet::default();
    let key = NodeKey::generate().expect("a key");
    let chain = mesh.svid(&key, &node_id("berlin", "n1"), NOW);
    let by_member = Forgetting::sign(StatementKey::node(&key, chain), &tokyo(), None, NOW, NOW)
        .expect("signed");
    let refused = set.insert(&by_member, judge.trust(), NOW);
    assert!(matches!(refused, Err(ForgettingError::NotAuthorised { .. })), "{refused:?}");
    let stranger = Mesh::of(&TrustDomain::new("other.test").expect("valid"), NOW);
    let by_stranger = Forgetting::sign(&stranger.issuer, &tokyo(), None, NOW, NOW).expect("signed");
    assert!(set.insert(&by_stranger, judge.trust(), NOW).is_err());
    let ahead = Forgetting::sign(&mesh.issuer, &tokyo(), None, NOW, NOW + DAY).expect("signed");
    let refused = set.insert(&ahead, judge.trust(), NOW);
    assert!(matches!(refused, Err(ForgettingError::Future { .. })), "{refused:?}");
    let for_ever = Forgetting::sign(&mesh.issuer, &tokyo(), None, Millis(u64::MAX), NOW);
    assert!(for_ever.is_err(), "nobody could come back");

    let by_bad = Forgetting::sign(&mesh.issuer, &tokyo(), None, NOW, NOW).expect("signed");
    assert_eq!(set.insert(&by_bad, judge.trust(), NOW), Ok(true), "not yet revoked");
    let hash = mesh.issuer_ca().key.public_key().hash();
    let ended = Revocation::sign(&mesh.root, hash, &domain().id(), "x", NOW).expect("signed");
    judge.2.insert(&ended, &mesh.bundles, NOW).expect("valid");
    let mut anew = ForgottenSet::default();
    let refused = anew.insert(&by_bad, judge.trust(), NOW);
    assert!(matches!(refused, Err(ForgettingError::NotAuthorised { .. })), "{refused:?}");
    assert!(anew.is_empty());
}

#[test]
fn damaged_bytes_are_refused_at_every_place() {
    let mesh = Mesh::new();
    let judge = judge(&mesh);
    let said = Forgetting::sign(&mesh.issuer, &tokyo(), None, NOW, NOW).expect("signed");
    let bytes = said.to_bytes().expect("bytes");
    for cut in 0..bytes.len() {
        assert!(Forgetting::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1;
        let taken = Forgetting::from_bytes(&bent)
            .and_then(|said| ForgottenSet::default().insert(&said, judge.trust(), NOW));
        assert!(taken.is_err(), "bent at {at}");
    }
}
