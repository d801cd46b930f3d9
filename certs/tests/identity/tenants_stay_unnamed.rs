//! What a site without a grant learns of a tenant: no name, no key, no hint.

use holm_certs::{
    GrantBook, GrantTerms, HINT_OVERHEAD_BYTES, HintError, HintKeys, KEY_OVERLAP, KeyDelivery,
    KeyPlan, MAX_RECIPIENTS, MAX_SEALED_HINT_BYTES, News, Recipient, Revocation, Rights,
    SealingPublicKey, SealingSecret, Taken, TenantNames,
};
use holm_model::{Millis, TenantId};

use crate::common::{DAY, HOUR, NOW, node_id};
use crate::tenancy::{NAME, Tenancy, authority, grant_bytes, rng, site, terms};

/// A tenant with a replicating site, a querying one, and one that may nothing; keys delivered.
struct Scene {
    t: Tenancy,
    book: GrantBook,
    berlin: SealingSecret,
    tokyo: SealingSecret,
    paris: SealingSecret,
    statements: Vec<Vec<u8>>,
}

fn scene() -> Scene {
    let t = Tenancy::new();
    let mut book = t.book();
    let mut statements = vec![
        t.creation(),
        grant_bytes(&t.authority, terms("berlin", Rights::REPLICATE, 1)),
        grant_bytes(&t.authority, terms("tokyo", Rights::QUERY, 1)),
        t.revocation("paris", 1, NOW),
    ];
    let mut secrets = Vec::new();
    for name in ["berlin", "tokyo", "paris"] {
        let (secret, published) = t.node(name, "n1", NOW);
        secrets.push(secret);
        statements.push(published);
    }
    for statement in &statements {
        t.take(&mut book, statement);
    }
    let KeyPlan::Rotate { generation: 1, to } = book.key_plan(t.tag(), NOW) else {
        panic!("the first generation is to be started: {:?}", book.key_plan(t.tag(), NOW));
    };
    statements.extend(t.deliver(&mut book, 1, NOW, &to));
    let [berlin, tokyo, paris] = <[_; 3]>::try_from(secrets).expect("three");
    Scene { t, book, berlin, tokyo, paris, statements }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    let lower = haystack.to_ascii_lowercase();
    lower.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[test]
fn no_statement_and_no_hint_has_the_name_in_it_nor_a_hash_of_it() {
    let scene = scene();
    let ring = scene.book.keyring(scene.t.tag(), &scene.berlin);
    let hint = ring.seal(b"a hint", b"", NOW, &mut rng()).expect("sealed");
    let hash = ring::digest::digest(&ring::digest::SHA256, NAME.as_bytes());
    for bytes in scene.statements.iter().chain([&hint]).chain(&scene.book.statements()) {
        assert!(!contains(bytes, NAME));
        assert!(!bytes.windows(8).any(|window| window == &hash.as_ref()[..8]));
    }
    for shown in [format!("{ring:?}"), format!("{:?}", scene.book), scene.t.tag().to_string()] {
        assert!(!contains(shown.as_bytes(), NAME), "{shown}");
    }
    // The sealed name says not even how long it is.
    let other = authority("a");
    let sizes = [&scene.t.authority, &other].map(|authority| {
        let made = authority.deliver(1, NOW, &[], &mut rng()).expect("sealed");
        KeyDelivery::from_bytes(&made[0].to_bytes().expect("bytes")).expect("reads");
        made[0].to_bytes().expect("bytes").len()
    });
    assert!(sizes[0].abs_diff(sizes[1]) <= 4, "signatures differ by some bytes: {sizes:?}");
}

#[test]
fn who_replicates_learns_name_and_hints_who_queries_the_name_others_nothing() {
    let Scene { t, book, berlin, tokyo, paris, .. } = scene();
    let ring = |secret| book.keyring(t.tag(), secret);
    assert_eq!(ring(&berlin).name().expect("told").as_str(), NAME);
    assert_eq!(ring(&tokyo).name().expect("told").as_str(), NAME);
    assert_eq!(ring(&paris).name(), None);
    let hint = ring(&berlin).seal(b"D is at H", b"to all", NOW, &mut rng()).expect("sealed");
    assert_eq!(hint.len(), 9 + HINT_OVERHEAD_BYTES);
    assert!(!hint.windows(4).any(|window| window == &t.tag().0[..4]), "nor the tag");
    assert_eq!(ring(&berlin).open(&hint, b"to all", NOW).expect("opens"), b"D is at H");
    for secret in [&tokyo, &paris] {
        let refused = ring(secret).open(&hint, b"to all", NOW).expect_err("has no key");
        assert_eq!(refused.code(), "no_key");
        let refused = ring(secret).seal(b"lie", b"", NOW, &mut rng()).expect_err("has no key");
        assert_eq!(refused.code(), "none_in_use");
    }
    let refused = ring(&berlin).open(&hint, b"other", NOW).expect_err("other words beside it");
    assert_eq!(refused, HintError::NotOpened { tag: t.tag() });
    let ours = ring(&berlin);
    for at in 0..hint.len() {
        let mut changed = hint.clone();
        changed[at] ^= 1;
        assert!(ours.open(&changed, b"to all", NOW).is_err(), "byte {at} changed");
        assert!(ours.open(&hint[..at], b"to all", NOW).is_err(), "cut at {at}");
    }
    let again = ring(&berlin).seal(b"D is at H", b"to all", NOW, &mut rng()).expect("sealed");
    assert_eq!(again, hint, "only the randomness that is passed in decides");
    // In the next hour the same tenant has another topic; the hour before is still understood.
    let later = ring(&berlin).seal(b"D is at H", b"", NOW + HOUR, &mut rng()).expect("sealed");
    assert_ne!(later[1..17], hint[1..17]);
    for (at, opens) in [(NOW, true), (NOW + 2 * HOUR, true), (NOW + 3 * HOUR, false)] {
        assert_eq!(ours.open(&later, b"", at).is_ok(), opens, "{at:?}");
    }
    let long = vec![0; MAX_SEALED_HINT_BYTES - HINT_OVERHEAD_BYTES + 1];
    assert!(ours.seal(&long[1..], b"", NOW, &mut rng()).is_ok());
    assert_eq!(ours.seal(&long, b"", NOW, &mut rng()).expect_err("long").code(), "too_large");
    let huge = vec![1; MAX_SEALED_HINT_BYTES + 1];
    assert_eq!(ours.open(&huge, b"", NOW).expect_err("long").code(), "too_large");
}

#[test]
fn when_a_grant_ends_a_new_generation_locks_the_site_out_after_the_overlap() {
    let Scene { t, mut book, berlin, tokyo, .. } = scene();
    assert_eq!(book.key_plan(t.tag(), NOW), KeyPlan::Nothing);
    let lyon_granted = grant_bytes(&t.authority, terms("lyon", Rights::BOTH, 1));
    let (lyon, published) = t.node("lyon", "n1", NOW);
    t.take(&mut book, &lyon_granted);
    assert_eq!(book.key_plan(t.tag(), NOW), KeyPlan::Nothing, "its node has no sealing key yet");
    assert_eq!(t.take(&mut book, &published), Taken::News(News::SealingKey(site("lyon"))));
    let KeyPlan::Deliver { generation: 1, from, to } = book.key_plan(t.tag(), NOW) else {
        panic!("a site came");
    };
    assert_eq!((from, to.len()), (NOW, 1));
    t.deliver(&mut book, 1, from, &to);
    assert_eq!(book.key_plan(t.tag(), NOW), KeyPlan::Nothing);
    let old = book.keyring(t.tag(), &lyon);
    let ended = NOW + HOUR;
    let hint = old.seal(b"old", b"", ended, &mut rng()).expect("sealed");

    t.take(&mut book, &t.revocation("lyon", 1, ended));
    let KeyPlan::Rotate { generation: 2, to } = book.key_plan(t.tag(), ended) else {
        panic!("a site has keys that it may not have: {:?}", book.key_plan(t.tag(), ended));
    };
    assert_eq!(to.len(), 2, "berlin and tokyo");
    t.deliver(&mut book, 2, ended, &to);
    assert_eq!(book.key_plan(t.tag(), ended), KeyPlan::Nothing);

    let (ours, theirs) = (book.keyring(t.tag(), &berlin), book.keyring(t.tag(), &lyon));
    assert_eq!((ours.generation(ended), ours.generation(ended - 1)), (Some(2), Some(1)));
    let fresh = ours.seal(b"new", b"", ended, &mut rng()).expect("sealed");
    assert_eq!(ours.open(&fresh, b"", ended).expect("opens"), b"new");
    assert_eq!(theirs.open(&fresh, b"", ended).expect_err("locked out").code(), "no_key");
    assert_eq!(old.open(&fresh, b"", ended).expect_err("locked out").code(), "no_key");
    let overlap_ms = u64::try_from(KEY_OVERLAP.as_millis()).expect("small");
    let over = ended + overlap_ms;
    assert_eq!(ours.open(&hint, b"", over - 1).expect("within the overlap"), b"old");
    let refused = ours.open(&hint, b"", over).expect_err("over");
    assert_eq!(refused, HintError::Retired { tag: t.tag(), generation: 1, since: over });
    let mut keys = HintKeys::new([book.keyring(t.tag(), &berlin)]);
    assert_eq!(keys.open(&fresh, b"", ended).expect("by its topic"), (t.tag(), b"new".to_vec()));
    assert_eq!(keys.open(&hint, b"", over).expect_err("over").code(), "retired");
    let mut keys = HintKeys::new([book.keyring(t.tag(), &tokyo), book.keyring(t.tag(), &lyon)]);
    assert_eq!(keys.open(&fresh, b"", ended).expect_err("no grant").code(), "no_key");
    assert_eq!(theirs.seal(b"x", b"", over, &mut rng()).expect_err("over").code(), "none_in_use");
    assert_eq!(book.keyring(t.tag(), &tokyo).name().expect("still told").as_str(), NAME);
}

#[test]
fn expiry_lost_rights_and_revoked_nodes_rotate_too() {
    let Scene { mut t, mut book, .. } = scene();
    let rotates = |book: &GrantBook, t: &Tenancy, now: Millis| {
        matches!(book.key_plan(t.tag(), now), KeyPlan::Rotate { generation: 2, .. })
    };
    assert!(rotates(&book, &t, NOW + DAY), "every grant is over by then");
    assert_eq!(book.next_change(NOW), Some(NOW + DAY), "and that is when to ask");

    // From replicate to query: berlin keeps the name, not the hints.
    t.take(&mut book, &t.revocation("berlin", 1, NOW));
    t.take(&mut book, &grant_bytes(&t.authority, terms("berlin", Rights::QUERY, 2)));
    let KeyPlan::Rotate { generation: 2, to } = book.key_plan(t.tag(), NOW) else {
        panic!("berlin has the hint key and may only query");
    };
    assert!(to.iter().all(|recipient| recipient.rights == Rights::QUERY));
    t.deliver(&mut book, 2, NOW, &to);
    assert_eq!(book.key_plan(t.tag(), NOW), KeyPlan::Nothing);
    // And back: the secret is delivered beside the name key, within the generation.
    t.take(&mut book, &grant_bytes(&t.authority, terms("berlin", Rights::REPLICATE, 3)));
    let KeyPlan::Deliver { generation: 2, to, from } = book.key_plan(t.tag(), NOW) else {
        panic!("berlin lacks the secret");
    };
    t.deliver(&mut book, 2, from, &to);
    assert_eq!(book.key_plan(t.tag(), NOW), KeyPlan::Nothing);

    let key = holm_certs::NodeKey::generate().expect("a key");
    let id = node_id("berlin", "n9");
    let signer = holm_certs::StatementKey::node(&key, t.mesh.svid(&key, &id, NOW));
    let secret = SealingSecret::of(&key).expect("derived");
    let published = holm_certs::SealingKey::sign(signer, secret.public_key(), NOW).expect("signed");
    t.take(&mut book, &published.to_bytes().expect("bytes"));
    let KeyPlan::Deliver { generation, from, to } = book.key_plan(t.tag(), NOW) else {
        panic!("a node came");
    };
    t.deliver(&mut book, generation, from, &to);
    let hash = key.public_key().hash();
    let revocation = Revocation::sign(&t.mesh.issuer, hash, &id, "stolen", NOW).expect("signed");
    t.revocations.insert(&revocation, &t.mesh.bundles, NOW).expect("valid");
    assert!(book.retrust(t.trust()));
    assert!(matches!(book.key_plan(t.tag(), NOW), KeyPlan::Rotate { generation: 3, .. }));
}

#[test]
fn a_large_mesh_gets_its_keys_in_several_statements_that_fit_the_roster() {
    let t = Tenancy::new();
    let mut book = t.book();
    let mut secrets = Vec::new();
    let mut to = Vec::new();
    for _ in 0..MAX_RECIPIENTS + 1 {
        let key = holm_certs::NodeKey::generate().expect("a key");
        let secret = SealingSecret::of(&key).expect("derived");
        to.push(Recipient { key: secret.public_key(), rights: Rights::REPLICATE });
        secrets.push(secret);
    }
    to.push(to[0]); // Twice the same is once.
    let statements = t.deliver(&mut book, 1, NOW, &to);
    assert_eq!(statements.len(), 2);
    assert!(statements.iter().all(|statement| statement.len() <= 12 * 1024));
    let hint = book.keyring(t.tag(), &secrets[0]).seal(b"x", b"", NOW, &mut rng());
    let hint = hint.expect("sealed");
    for secret in &secrets {
        let ring = book.keyring(t.tag(), secret);
        assert_eq!(ring.open(&hint, b"", NOW).expect("opens"), b"x");
    }
    // A key that would make the secret public is refused.
    let forced = Recipient { key: SealingPublicKey([0; 32]), rights: Rights::BOTH };
    assert!(t.authority.deliver(1, NOW, &[forced], &mut rng()).is_err());
}

#[test]
fn a_stranger_who_takes_the_name_gets_nothing_of_it() {
    let Scene { t, mut book, berlin, .. } = scene();
    let name = TenantId::new(NAME).expect("a name");
    let mut names = TenantNames::default();
    names.bind(&name, t.tag()).expect("bound by its owner");
    let stranger = Tenancy { authority: authority(NAME), ..t };
    stranger.take(&mut book, &stranger.creation());
    let terms = GrantTerms { serial: 9, ..terms("berlin", Rights::BOTH, 1) };
    stranger.take(&mut book, &grant_bytes(&stranger.authority, terms));
    let KeyPlan::Rotate { generation, to } = book.key_plan(stranger.tag(), NOW) else {
        panic!("the stranger has no keys yet");
    };
    stranger.deliver(&mut book, generation, NOW, &to);
    let ring = book.keyring(stranger.tag(), &berlin);
    assert_eq!(ring.name(), Some(&name), "it may call itself so");
    assert!(names.bind(&name, stranger.tag()).is_err(), "and is not taken for the other");
}

#[test]
fn statements_are_small_enough_for_thousands_of_sites() {
    let scene = scene();
    let bytes = |at: usize| scene.statements[at].len();
    let (creation, grant, revocation, sealing_key) = (bytes(0), bytes(1), bytes(3), bytes(4));
    println!(
        "creation {creation}, grant {grant}, revocation {revocation}, key {sealing_key} bytes"
    );
    assert!(creation <= 800 && grant <= 180 && revocation <= 160 && sealing_key <= 1200);
    let delivery = scene.statements.last().expect("delivered").len();
    println!("delivery to two {delivery} bytes");
    assert!(delivery <= 250 + 2 * 65);
}
