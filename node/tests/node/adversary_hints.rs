//! Hints are sealed: what a member sees of them that has a grant, that lost it, and that never had one.

use std::time::Duration;

use holm_certs::{GrantBook, HintError, Identity, Keyring, SealingKey, SealingSecret, Trust};
use holm_mesh_proto::PeerKey;
use holm_mesh_proto::wire::{Control, Hint, HintBody};
use holm_model::{DocVersion, HeadsDigest, Millis};

use crate::common::raw::{Copy, Hostile, Mesh, SECRET, counted, found, runtime, topology_of};
use crate::common::{Lab, Running, agree, eventually};

const WRITES: [(&str, &str); 1] = [("HOLM_PLANES_ACTIVE_ENABLED", "true")];

/// A granted site without a node: it keeps the roster and the keys that are handed to it.
struct Member {
    identity: Identity,
    secret: SealingSecret,
    peer: Hostile,
    roster: Copy,
}

impl Member {
    fn join(mesh: &Mesh, berlin: &Running, site: &str, runtime: &tokio::runtime::Runtime) -> Self {
        berlin.place.holm(&["tenant", "grant", SECRET, "--site", site]).succeeded();
        let identity = mesh.identity(site);
        let secret = SealingSecret::of(identity.key()).expect("derived");
        let peer = runtime.block_on(Hostile::connect(&identity, mesh.id, berlin.place.mesh));
        let roster = Copy::of_roster(site);
        let key = SealingKey::sign(identity.statement_key(), secret.public_key(), Millis::now());
        roster.say(&key.expect("signed").to_bytes().expect("bytes"));
        Self { identity, secret, peer, roster }
    }

    /// Its keys, as the roster has them now.
    fn keys(&self, mesh: &Mesh, runtime: &tokio::runtime::Runtime) -> Keyring {
        runtime.block_on(self.roster.reconcile(&self.peer)).expect("everyone's");
        let (bundles, revocations) = (self.identity.bundles(), self.identity.revocations());
        let id = self.identity.spiffe_id();
        let trust =
            Trust { domain: id.trust_domain(), bundles: &bundles, revocations: &revocations };
        let mut book = GrantBook::default();
        // In any order: a creation may come after what its tenant's authority said.
        for statement in self.roster.replica.statements().iter().cycle().take(4_000) {
            let _judged = book.take(statement, trust);
        }
        book.keyring(mesh.authority.tag(), &self.secret)
    }

    /// Its keys, once it has those of `generation`.
    fn keys_of(&self, generation: u32, mesh: &Mesh, runtime: &tokio::runtime::Runtime) -> Keyring {
        eventually("keys are handed over", || {
            let keys = self.keys(mesh, runtime);
            (keys.generation(Millis::now()) == Some(generation)).then_some(keys)
        })
    }

    /// The sealed hints that come meanwhile; that none comes in clear.
    fn hints(&mut self, mesh: &Mesh, runtime: &tokio::runtime::Runtime) -> Vec<Vec<u8>> {
        let label = mesh.label();
        let said = runtime.block_on(self.peer.listen(Duration::from_secs(5)));
        let sealed = said.into_iter().filter_map(|message| match message {
            Control::SealedGossip { sealed, .. } | Control::SealedStored(sealed) => Some(sealed),
            Control::Gossip { hint: Hint { version, .. }, .. } | Control::Stored(version) => {
                assert_ne!(version.tenant, label, "in clear");
                None
            }
            _ => None,
        });
        sealed.collect()
    }
}

fn context(mesh: &Mesh) -> Vec<u8> {
    [&b"holm mesh hint v1\0"[..], &mesh.id.0].concat()
}

fn open(keys: &Keyring, sealed: &[u8], mesh: &Mesh) -> Result<HintBody, HintError> {
    let bytes = keys.open(sealed, &context(mesh), Millis::now())?;
    Ok(HintBody::from_bytes(&bytes).expect("our own nodes speak well"))
}

/// Changes something at tokyo, so that there is news.
fn restart(tokyo: Running, planes: &str) -> Running {
    tokyo.stop().start_with(&[("HOLM_PLANES_ACTIVE_ENABLED", planes)])
}

#[test]
fn hints_tell_nothing_without_the_key_and_a_site_that_lost_its_grant_gets_no_new_key() {
    let (lab, runtime) = (Lab::new(), runtime());
    let (place, mesh) = found(&lab, "berlin");
    let berlin = place.start_with(&WRITES);
    let mut osaka = Member::join(&mesh, &berlin, "osaka", &runtime);
    let mut paris = Member::join(&mesh, &berlin, "paris", &runtime);
    let (old_osaka, old_paris) =
        (osaka.keys_of(1, &mesh, &runtime), paris.keys_of(1, &mesh, &runtime));

    let tokyo = lab.join(&berlin, "tokyo").start_with(&WRITES);
    let first = osaka.hints(&mesh, &runtime);
    agree(&[&berlin, &tokyo]);
    let documents = ["berlin", "tokyo"].map(|site| topology_of(site, SECRET));
    let told: Vec<HintBody> =
        first.iter().filter_map(|sealed| open(&old_osaka, sealed, &mesh).ok()).collect();
    assert!(
        told.iter().any(|body| documents.contains(&body.doc)),
        "{} came, {told:?}",
        first.len()
    );
    assert_eq!(open(&old_paris, &first[0], &mesh), open(&old_osaka, &first[0], &mesh));
    // What the bytes show to whoever has no key: no tag, no name, no id, and each is different.
    let tag = mesh.authority.tag();
    for sealed in &first {
        let shows = |what: &[u8]| sealed.windows(what.len()).any(|window| window == what);
        assert!(!shows(&tag.0) && !shows(tag.to_string().as_bytes()) && !shows(SECRET.as_bytes()));
        assert!(!documents.iter().any(|doc| shows(&doc.0)));
    }
    // Someone without a grant passes one on whole; someone with a grant alters one, or says it in clear.
    let mut mallory =
        runtime.block_on(Hostile::connect(&mesh.identity("mallo"), mesh.id, berlin.place.mesh));
    let before = counted(&berlin, "messages_not_permitted");
    runtime.block_on(async {
        let whole = Control::SealedGossip { sealed: first[0].clone(), hops: 0 };
        mallory.control.say(&whole).await;
        let mut altered = first[0].clone();
        *altered.last_mut().expect("not empty") ^= 1;
        osaka.peer.control.say(&Control::SealedGossip { sealed: altered, hops: 0 }).await;
        let version = DocVersion {
            tenant: mesh.label(),
            doc: documents[0],
            heads: HeadsDigest([9; 16]),
            changed_at: Millis::now(),
        };
        let hint = Hint { version, origin: PeerKey([1; 34]) };
        osaka.peer.control.say(&Control::Gossip { hint, hops: 0 }).await;
    });
    eventually("none of it is believed, each is counted", || {
        let not_opened = counted(&berlin, "hints_not_opened") == 1;
        let not_permitted = counted(&berlin, "messages_not_permitted") > before;
        (not_opened && not_permitted && counted(&berlin, "hints_unsealed") == 1).then_some(())
    });

    berlin.place.holm(&["tenant", "revoke", SECRET, "--site", "paris"]).succeeded();
    let new_osaka = osaka.keys_of(2, &mesh, &runtime);
    let new_paris = paris.keys(&mesh, &runtime);
    // What was on its way when the grant ended.
    drop(paris.hints(&mesh, &runtime));
    let tokyo = restart(tokyo, "false");
    let later = osaka.hints(&mesh, &runtime);
    agree(&[&berlin, &tokyo]);
    let opened: Vec<&Vec<u8>> =
        later.iter().filter(|sealed| open(&new_osaka, sealed, &mesh).is_ok()).collect();
    let newer: Vec<&&Vec<u8>> =
        opened.iter().filter(|sealed| open(&old_osaka, sealed, &mesh).is_err()).collect();
    assert!(!newer.is_empty(), "{} hints, {} of them opened", later.len(), opened.len());
    for sealed in newer {
        assert_eq!(open(&new_paris, sealed, &mesh), Err(HintError::NoKey));
        assert_eq!(open(&old_paris, sealed, &mesh), Err(HintError::NoKey));
    }
    assert!(paris.hints(&mesh, &runtime).is_empty(), "nor is it sent any");
    assert_eq!(counted(&berlin, "hints_sent_unsealed"), 0);
}
