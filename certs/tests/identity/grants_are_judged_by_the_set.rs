//! Grants and their revocations: each rule, and that the order of arrival decides nothing.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use holm_certs::{
    Creator, Erasure, Grant, GrantBook, GrantRevocation, GrantTerms, MAX_GRANTS_PER_SITE,
    MAX_WAITING, News, Revocation, Right, Rights, Taken, TenantAuthority, TenantCreation,
    TenantTag, TrustDomain, Verdict,
};
use holm_model::Millis;
use proptest::prelude::*;

use crate::common::{DAY, HOUR, Mesh, NOW, domain, node_id};
use crate::tenancy::{Tenancy, authority, grant, grant_bytes, rng, site, terms};

const REPLICATE: Right = Right::Replicate;

#[test]
fn a_grant_holds_for_its_site_its_right_and_its_time() {
    let t = Tenancy::new();
    let mut book = t.book();
    let berlin = site("berlin");
    let may = |book: &GrantBook, to: &str, right, now| book.may(&site(to), t.tag(), right, now);
    assert_eq!(may(&book, "berlin", REPLICATE, NOW), Verdict::NeverGranted);
    let statement = grant_bytes(&t.authority, terms("berlin", Rights::REPLICATE, 7));
    let news = Taken::News(News::Grant(t.tag(), berlin.clone()));
    assert_eq!(t.take(&mut book, &statement), news);
    assert_eq!(t.take(&mut book, &statement), Taken::Known);

    let (begin, end) = (NOW - HOUR, NOW + DAY);
    assert_eq!(may(&book, "berlin", REPLICATE, NOW), Verdict::Granted { until: end });
    assert_eq!(may(&book, "berlin", REPLICATE, begin), Verdict::Granted { until: end });
    assert_eq!(may(&book, "berlin", REPLICATE, begin - 1), Verdict::NotYet { from: begin });
    assert!(may(&book, "berlin", REPLICATE, end - 1).is_granted());
    assert_eq!(may(&book, "berlin", REPLICATE, end), Verdict::Expired { since: end });
    assert_eq!(may(&book, "berlin", Right::Query, NOW), Verdict::NeverGranted);
    assert_eq!(may(&book, "tokyo", REPLICATE, NOW), Verdict::NeverGranted);
    let other = TenantTag([9; 16]);
    assert_eq!(book.may(&berlin, other, REPLICATE, NOW), Verdict::NeverGranted);
    assert_eq!(book.tenants_of(&berlin, NOW), [(t.tag(), Rights::REPLICATE)]);
    assert!(book.tenants_of(&berlin, end).is_empty());
    assert_eq!(book.next_change(NOW), Some(end));
    assert_eq!(book.next_change(end), None);
    assert_eq!((book.counters().news, book.counters().known), (2, 1));
}

#[test]
fn grants_of_one_site_add_up_and_join() {
    let t = Tenancy::new();
    let mut book = t.book();
    let berlin = site("berlin");
    let next = GrantTerms {
        not_before: NOW + DAY,
        not_after: NOW + 2 * DAY,
        ..terms("berlin", Rights::BOTH, 3)
    };
    let gap = GrantTerms {
        not_before: NOW + 3 * DAY,
        not_after: NOW + 4 * DAY,
        ..terms("berlin", Rights::REPLICATE, 4)
    };
    for terms in [terms("berlin", Rights::REPLICATE, 2), next, gap] {
        t.take(&mut book, &grant_bytes(&t.authority, terms));
    }
    let may = |right, now| book.may(&berlin, t.tag(), right, now);
    assert_eq!(may(REPLICATE, NOW), Verdict::Granted { until: NOW + 2 * DAY });
    assert_eq!(may(Right::Query, NOW), Verdict::NotYet { from: NOW + DAY });
    assert_eq!(may(REPLICATE, NOW + 2 * DAY), Verdict::NotYet { from: NOW + 3 * DAY });
    assert_eq!(may(Right::Query, NOW + 2 * DAY), Verdict::Expired { since: NOW + 2 * DAY });
}

#[test]
fn a_revocation_wins_before_the_grant_after_it_and_over_its_replay() {
    let t = Tenancy::new();
    let berlin = site("berlin");
    let old = grant_bytes(&t.authority, terms("berlin", Rights::BOTH, 5));
    let older = grant_bytes(&t.authority, terms("berlin", Rights::QUERY, 4));
    // Its date is ahead of the clock: it ends the grant at once all the same.
    let revocation = t.revocation("berlin", 5, NOW + HOUR);
    let revoked = Verdict::Revoked { since: NOW + HOUR };
    for order in [[&old, &revocation], [&revocation, &old]] {
        let mut book = t.book();
        for statement in order {
            t.take(&mut book, statement);
        }
        for replayed in [&old, &older] {
            assert_eq!(t.take(&mut book, replayed), Taken::Known);
            for right in [REPLICATE, Right::Query] {
                assert_eq!(book.may(&berlin, t.tag(), right, NOW), revoked);
            }
        }
        assert_eq!((book.size().grants, book.size().revocations), (0, 1));

        let newer = grant_bytes(&t.authority, terms("berlin", Rights::QUERY, 6));
        assert_eq!(book.next_serial(t.tag(), Millis(0)), Some(6));
        t.take(&mut book, &newer);
        assert!(book.may(&berlin, t.tag(), Right::Query, NOW).is_granted());
        assert_eq!(book.may(&berlin, t.tag(), REPLICATE, NOW), revoked, "not what it had before");
        assert_eq!(t.take(&mut book, &revocation), Taken::Known, "replayed, it ends nothing new");
        assert!(book.may(&berlin, t.tag(), Right::Query, NOW).is_granted());
    }
}

#[test]
fn of_two_revocations_the_greater_and_of_equal_ones_the_earlier_counts() {
    let t = Tenancy::new();
    let all = [
        t.revocation("berlin", 5, NOW),
        t.revocation("berlin", 5, NOW - HOUR),
        t.revocation("berlin", 3, NOW - DAY),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut book = t.book();
        for at in order {
            t.take(&mut book, &all[at]);
        }
        let verdict = book.may(&site("berlin"), t.tag(), REPLICATE, NOW);
        assert_eq!(verdict, Verdict::Revoked { since: NOW - HOUR });
        assert_eq!(book.revocations_of(t.tag()).len(), 1);
    }
}

#[test]
fn nobody_else_speaks_for_a_tenant() {
    let t = Tenancy::new();
    let mallory = authority("mallory");
    let mut book = t.book();
    let key = mallory.public_key();
    let creation = TenantCreation::sign(&t.mesh.issuer, key, NOW).expect("signed");
    t.take(&mut book, &creation.to_bytes().expect("bytes"));
    // Mallory's own grant is for mallory's tenant only.
    t.take(&mut book, &grant_bytes(&mallory, terms("berlin", Rights::BOTH, 1)));
    let berlin = site("berlin");
    assert!(book.may(&berlin, mallory.tag(), REPLICATE, NOW).is_granted());
    assert_eq!(book.may(&berlin, t.tag(), REPLICATE, NOW), Verdict::NeverGranted);
    // Mallory's signature under words of the other tenant: its tag put in the place of mallory's.
    let relabelled = |mut bytes: Vec<u8>| {
        let (from, to) = (mallory.tag().0, t.tag().0);
        let at = bytes.windows(16).position(|window| window == from).expect("has its tag");
        bytes[at..at + 16].copy_from_slice(&to);
        bytes
    };
    let forged = relabelled(grant_bytes(&mallory, terms("berlin", Rights::BOTH, 2)));
    assert_eq!(Grant::from_bytes(&forged).expect("reads").tag(), t.tag());
    assert_eq!(t.refused(&mut book, &forged), "bad_signature");
    t.take(&mut book, &grant_bytes(&t.authority, terms("berlin", Rights::BOTH, 1)));
    let taken_back = mallory.revoke(&berlin, u64::MAX, NOW).expect("signed").to_bytes();
    assert_eq!(t.refused(&mut book, &relabelled(taken_back.expect("bytes"))), "bad_signature");
    let delivered = mallory.deliver(9, NOW, &[], &mut rng()).expect("sealed")[0].to_bytes();
    assert_eq!(t.refused(&mut book, &relabelled(delivered.expect("bytes"))), "bad_signature");
    assert!(book.may(&berlin, t.tag(), REPLICATE, NOW).is_granted());
    assert_eq!(book.counters().refused["bad_signature"], 3);
}

#[test]
fn only_the_root_and_issuers_of_this_mesh_create_tenants() {
    let mut t = Tenancy::new();
    let key = t.authority.public_key().clone();
    let creation = |signer: holm_certs::StatementKey<'_>| {
        TenantCreation::sign(signer, &key, NOW).expect("signed").to_bytes().expect("bytes")
    };
    let node = t.mesh.identity("berlin", NOW);
    let mut book = GrantBook::default();
    assert_eq!(t.refused(&mut book, &creation(node.statement_key())), "not_authorised");
    let twin = Mesh::new();
    assert_eq!(t.refused(&mut book, &creation((&twin.root).into())), "untrusted_signer");
    // A federated domain is trusted for its nodes, not for tenants here.
    let other = Mesh::of(&TrustDomain::new("other.test").expect("a domain"), NOW);
    t.mesh.bundles.insert(other.bundle()).expect("another domain");
    assert_eq!(t.refused(&mut book, &creation((&other.root).into())), "not_authorised");

    let by_issuer = creation((&t.mesh.issuer).into());
    let by_root = creation((&t.mesh.root).into());
    assert_eq!(t.take(&mut book, &by_issuer), Taken::News(News::Tenant(t.tag())));
    assert_eq!(t.take(&mut book, &by_issuer), Taken::Known);
    let granted = grant_bytes(&t.authority, terms("berlin", Rights::BOTH, 1));
    t.take(&mut book, &granted);
    let may = |book: &GrantBook| book.may(&site("berlin"), t.tag(), REPLICATE, NOW);
    assert!(may(&book).is_granted());

    // The issuer's key was stolen and is revoked: what it created is unknown until confirmed.
    let issuer = t.mesh.issuer_ca().key.public_key().hash();
    let revocation = Revocation::sign(&t.mesh.root, issuer, &domain().id(), "stolen", NOW);
    let revocation = revocation.expect("signed");
    t.revocations.insert(&revocation, &t.mesh.bundles, NOW).expect("valid");
    assert!(book.retrust(t.trust()));
    assert_eq!(book.may(&site("berlin"), t.tag(), REPLICATE, NOW), Verdict::NeverGranted);
    assert_eq!(t.refused(&mut book, &by_issuer), "not_authorised");
    assert_eq!(t.take(&mut book, &granted), Taken::Waiting);
    t.take(&mut book, &by_root);
    assert!(book.may(&site("berlin"), t.tag(), REPLICATE, NOW).is_granted());
    assert_eq!(book.tenants()[0].creators, [Creator::Root]);
    assert!(!book.retrust(t.trust()), "nothing more to change");
}

#[test]
fn a_tenant_outlives_the_certificate_of_the_issuer_that_created_it() {
    let t = Tenancy::new();
    let (mut book, later) = (GrantBook::default(), NOW + 3 * 365 * DAY);
    assert!(t.mesh.issuer.not_after() < later);
    t.take(&mut book, &t.creation());
    let terms = GrantTerms { not_after: later + DAY, ..terms("berlin", Rights::BOTH, 1) };
    t.take(&mut book, &grant_bytes(&t.authority, terms));
    assert!(book.may(&site("berlin"), t.tag(), REPLICATE, later).is_granted());
}

#[test]
fn statements_of_an_unknown_tenant_wait_within_a_bound() {
    let t = Tenancy::new();
    let mut book = GrantBook::default();
    let wait = grant_bytes(&t.authority, terms("berlin", Rights::BOTH, 1));
    assert_eq!(t.take(&mut book, &wait), Taken::Waiting);
    assert_eq!(t.take(&mut book, &wait), Taken::Waiting, "once only");
    assert_eq!(book.size().waiting, 1);
    assert_eq!(book.may(&site("berlin"), t.tag(), REPLICATE, NOW), Verdict::NeverGranted);
    assert!(book.statements().is_empty() && book.tenants().is_empty());
    let junk = authority("junk");
    for serial in 1..u64::try_from(MAX_WAITING).expect("small") {
        let statement = grant_bytes(&junk, terms("berlin", Rights::BOTH, serial));
        assert_eq!(t.take(&mut book, &statement), Taken::Waiting);
    }
    assert_eq!(t.refused(&mut book, &t.revocation("berlin", 1, NOW)), "full");
    t.take(&mut book, &t.creation());
    assert!(book.may(&site("berlin"), t.tag(), REPLICATE, NOW).is_granted());
    assert_eq!(book.size().waiting, MAX_WAITING - 1);
    t.take(&mut book, &t.revocation("berlin", 1, NOW));
    let verdict = book.may(&site("berlin"), t.tag(), REPLICATE, NOW);
    assert_eq!(verdict, Verdict::Revoked { since: NOW });
}

#[test]
fn the_oldest_grants_of_a_site_are_let_go_in_every_order() {
    let t = Tenancy::new();
    let most = u64::try_from(MAX_GRANTS_PER_SITE).expect("small");
    let of = |serial| grant_bytes(&t.authority, terms("berlin", Rights::BOTH, serial));
    let statements: Vec<_> = (1..=most + 3).map(of).collect();
    let mut forward = t.book();
    statements.iter().for_each(|statement| drop(t.take(&mut forward, statement)));
    let mut backward = t.book();
    statements.iter().rev().for_each(|statement| drop(t.take(&mut backward, statement)));
    let serials = |book: &GrantBook| -> Vec<u64> {
        book.grants_of(t.tag()).iter().map(|grant| grant.terms().serial).collect()
    };
    assert_eq!(serials(&forward), (4..=most + 3).collect::<Vec<_>>());
    assert_eq!(serials(&forward), serials(&backward));
    assert_eq!(forward.digest(), backward.digest());
}

#[test]
fn the_same_words_signed_twice_are_one() {
    let t = Tenancy::new();
    let (one, two) = (terms("berlin", Rights::BOTH, 1), terms("berlin", Rights::BOTH, 1));
    let (one, two) = (grant(&t.authority, one), grant(&t.authority, two));
    assert_eq!(one.digest(), two.digest());
    let (one, two) = (one.to_bytes().expect("bytes"), two.to_bytes().expect("bytes"));
    assert_ne!(one, two, "ECDSA signatures are random");
    let mut books = [t.book(), t.book()];
    for (book, order) in books.iter_mut().zip([[&one, &two], [&two, &one]]) {
        order.into_iter().for_each(|statement| drop(t.take(book, statement)));
        assert_eq!(book.size().grants, 1);
    }
    assert_eq!(books[0].grants_of(t.tag()), books[1].grants_of(t.tag()));
}

/// Statements about two tenants and two sites, signed once, with copies that are forged or garbage.
struct Pool {
    t: Tenancy,
    other: TenantAuthority,
    statements: Vec<Vec<u8>>,
}

const MOMENTS: [Millis; 5] =
    [Millis(0), Millis(NOW.0 - HOUR), NOW, Millis(NOW.0 + HOUR), Millis(NOW.0 + 2 * DAY)];

static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let (t, other) = (Tenancy::new(), authority("other"));
    let mut statements = vec![b"garbage".to_vec(), t.creation()];
    for authority in [&t.authority, &other] {
        let key = authority.public_key();
        for at in [NOW + HOUR, NOW] {
            let creation = TenantCreation::sign(&t.mesh.root, key, at).expect("signed");
            statements.push(creation.to_bytes().expect("bytes"));
        }
        for (to, rights, serial, begin, hours) in [
            ("berlin", Rights::REPLICATE, 1, NOW - HOUR, 1),
            ("berlin", Rights::QUERY, 2, NOW - HOUR, 48),
            ("berlin", Rights::BOTH, 3, NOW, 24),
            ("berlin", Rights::REPLICATE, 3, NOW + HOUR, 99),
            ("tokyo", Rights::QUERY, 2, NOW, 1),
            ("tokyo", Rights::BOTH, 4, NOW + HOUR, 2),
        ] {
            let (not_before, not_after) = (begin, begin + hours * HOUR);
            let terms = GrantTerms { site: site(to), rights, serial, not_before, not_after };
            statements.push(grant_bytes(authority, terms));
        }
        for (to, up_to, at) in [("berlin", 1, NOW), ("berlin", 2, NOW), ("tokyo", 3, NOW - HOUR)] {
            let revocation = authority.revoke(&site(to), up_to, at).expect("signed");
            statements.push(revocation.to_bytes().expect("bytes"));
        }
        for generation in 1..=2 {
            let deliveries = authority.deliver(generation, NOW, &[], &mut rng()).expect("sealed");
            statements.extend(deliveries.iter().map(|d| d.to_bytes().expect("bytes")));
        }
    }
    for (site, name) in [("berlin", "n1"), ("berlin", "n2"), ("tokyo", "n1")] {
        statements.push(t.node(site, name, NOW).1);
    }
    for at in [NOW + HOUR, NOW] {
        let erasure = other.erase(at).expect("signed");
        statements.push(erasure.to_bytes().expect("bytes"));
        statements.push(t.attestation("berlin", &erasure, NOW));
    }
    // The end of the signature of one grant, and of one revocation, changed.
    for at in [4, 10] {
        let mut forged: Vec<u8> = statements[at].clone();
        *forged.last_mut().expect("has bytes") ^= 1;
        statements.push(forged);
    }
    Pool { t, other, statements }
});

fn fold(order: &[usize]) -> GrantBook {
    let mut book = GrantBook::default();
    for at in order {
        // Refusals are part of it: garbage and forgeries are in the pool.
        let _ = book.take(&POOL.statements[*at], POOL.t.trust());
    }
    book
}

/// Everything that can be asked.
fn answers(book: &GrantBook) -> String {
    let mut answers = format!("{:?} {:?}", book.digest(), book.tenants());
    for tag in [POOL.t.tag(), POOL.other.tag()] {
        let erasure = book.erasure_of(tag);
        answers += &format!(" {erasure:?} {:?}", erasure.map(|said| book.erased_at(said)));
        for now in MOMENTS {
            for to in ["berlin", "tokyo", "nowhere"] {
                for right in [REPLICATE, Right::Query] {
                    answers += &format!(" {:?}", book.may(&site(to), tag, right, now));
                }
                answers += &format!(" {:?}", book.tenants_of(&site(to), now));
            }
            answers += &format!(" {:?} {:?}", book.key_plan(tag, now), book.next_change(now));
        }
        answers += &format!(" {:?} {:?}", book.grants_of(tag), book.revocations_of(tag));
        answers += &format!(" {:?}", book.next_serial(tag, NOW));
    }
    let mut statements = book.statements();
    statements.sort();
    answers + &format!(" {statements:?}")
}

/// May it, by the plainest reading of the set?
fn model(set: &BTreeSet<usize>, tag: TenantTag, to: &str, right: Right, now: Millis) -> bool {
    let said = || set.iter().map(|at| &POOL.statements[*at]);
    // The two last are forged.
    let good = || {
        let all = set.iter().filter(|at| **at + 2 < POOL.statements.len());
        all.map(|at| &POOL.statements[*at])
    };
    let created = said().filter_map(|s| TenantCreation::from_bytes(s).ok()).any(|c| c.tag() == tag);
    let revocations = || good().filter_map(|s| GrantRevocation::from_bytes(s).ok());
    let mut grants = good().filter_map(|s| Grant::from_bytes(s).ok()).filter(|grant| {
        let terms = grant.terms();
        let meant = grant.tag() == tag && terms.site == site(to) && terms.rights.contains(right);
        meant && terms.not_before <= now && now < terms.not_after
    });
    let erased = good().filter_map(|s| Erasure::from_bytes(s).ok()).any(|said| said.tag() == tag);
    created
        && !erased
        && grants.any(|grant| {
            let terms = grant.terms();
            !revocations().any(|revocation| {
                let same = revocation.tag() == tag && *revocation.site() == terms.site;
                same && terms.serial <= revocation.up_to()
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_repetition_decide_nothing(
        order in prop::collection::vec(0..POOL.statements.len(), 0..60),
        keys in prop::collection::vec(any::<u64>(), 60),
    ) {
        let book = fold(&order);
        let expected = answers(&book);
        // The same set once each, ascending.
        let set: BTreeSet<usize> = order.iter().copied().collect();
        prop_assert_eq!(&answers(&fold(&set.iter().copied().collect::<Vec<_>>())), &expected);
        // The same, shuffled.
        let mut shuffled: Vec<_> = order.iter().copied().zip(&keys).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(at, _)| at).collect();
        prop_assert_eq!(&answers(&fold(&shuffled)), &expected);
        // What it sends on is enough to know the same.
        let mut copy = GrantBook::default();
        for statement in book.statements().iter().rev() {
            copy.take(statement, POOL.t.trust()).expect("what was taken once is taken again");
        }
        prop_assert_eq!(&answers(&copy), &expected);
        for tag in [POOL.t.tag(), POOL.other.tag()] {
            for (to, now) in ["berlin", "tokyo"].into_iter().flat_map(|to| MOMENTS.map(|n| (to, n))) {
                for right in [REPLICATE, Right::Query] {
                    let verdict = book.may(&site(to), tag, right, now);
                    prop_assert_eq!(verdict.is_granted(), model(&set, tag, to, right, now));
                }
            }
        }
    }
}

#[test]
fn every_permutation_of_one_tenants_life_ends_the_same() {
    let t = &POOL.t;
    let statements = [
        t.creation(),
        grant_bytes(&t.authority, terms("berlin", Rights::REPLICATE, 1)),
        t.revocation("berlin", 1, NOW),
        grant_bytes(&t.authority, terms("berlin", Rights::QUERY, 2)),
        t.revocation("berlin", 2, NOW + HOUR),
        grant_bytes(&t.authority, terms("berlin", Rights::BOTH, 3)),
    ];
    let mut seen = BTreeSet::new();
    let mut orders = 0;
    permute(&mut [0, 1, 2, 3, 4, 5], 0, &mut |order| {
        let mut book = GrantBook::default();
        for at in order {
            t.take(&mut book, &statements[*at]);
        }
        orders += 1;
        assert!(book.may(&site("berlin"), t.tag(), REPLICATE, NOW).is_granted());
        seen.insert(book.digest());
    });
    assert_eq!((orders, seen.len()), (720, 1));
}

fn permute(order: &mut [usize; 6], from: usize, visit: &mut impl FnMut(&[usize; 6])) {
    if from == order.len() {
        return visit(order);
    }
    for at in from..order.len() {
        order.swap(from, at);
        permute(order, from + 1, visit);
        order.swap(from, at);
    }
}

#[test]
fn a_revoked_nodes_sealing_key_goes_and_a_later_one_takes_its_place() {
    let mut t = Tenancy::new();
    let mut book = t.book();
    t.take(&mut book, &grant_bytes(&t.authority, terms("berlin", Rights::BOTH, 1)));
    let key = holm_certs::NodeKey::generate().expect("a key");
    let id = node_id("berlin", "n1");
    let chain = t.mesh.svid(&key, &id, NOW);
    let publish = |seed: u8, at| {
        let public = holm_certs::SealingPublicKey([seed; 32]);
        let signer = holm_certs::StatementKey::node(&key, chain.clone());
        let statement = holm_certs::SealingKey::sign(signer, public, at).expect("signed");
        statement.to_bytes().expect("bytes")
    };
    let (first, second) = (publish(7, NOW), publish(9, NOW + HOUR));
    t.take(&mut book, &second);
    assert_eq!(t.take(&mut book, &first), Taken::Known, "an older one");
    assert_eq!(book.size().sealing_keys, 1);
    let hash = key.public_key().hash();
    let revocation = Revocation::sign(&t.mesh.issuer, hash, &id, "stolen", NOW).expect("signed");
    t.revocations.insert(&revocation, &t.mesh.bundles, NOW).expect("valid");
    assert!(book.retrust(t.trust()));
    assert_eq!(book.size().sealing_keys, 0);
    assert_eq!(t.refused(&mut book, &second), "untrusted_signer");
}
