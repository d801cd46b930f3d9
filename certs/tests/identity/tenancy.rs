//! A mesh with tenants, made in memory.

use holm_certs::{
    Erasure, ErasureAttestation, Grant, GrantBook, GrantTerms, NodeKey, Recipient, RevocationSet,
    Rights, SealingKey, SealingSecret, StatementKey, Taken, TenantAuthority, TenantCreation,
    TenantTag, Trust, TrustDomain,
};
use holm_model::{Millis, SiteId, TenantId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::common::{DAY, HOUR, Mesh, NOW, domain, node_id};

/// No statement may have this text in it, in any case.
pub(crate) const NAME: &str = "umbrella-7";

pub(crate) struct Tenancy {
    pub(crate) mesh: Mesh,
    pub(crate) domain: TrustDomain,
    pub(crate) revocations: RevocationSet,
    pub(crate) authority: TenantAuthority,
}

impl Tenancy {
    pub(crate) fn new() -> Self {
        let (domain, revocations) = (domain(), RevocationSet::default());
        Self { mesh: Mesh::new(), domain, revocations, authority: authority(NAME) }
    }

    pub(crate) fn trust(&self) -> Trust<'_> {
        let (bundles, revocations) = (&self.mesh.bundles, &self.revocations);
        Trust { domain: &self.domain, bundles, revocations }
    }

    pub(crate) fn tag(&self) -> TenantTag {
        self.authority.tag()
    }

    pub(crate) fn creation(&self) -> Vec<u8> {
        let key = self.authority.public_key();
        let creation = TenantCreation::sign(&self.mesh.issuer, key, NOW).expect("signed");
        creation.to_bytes().expect("bytes")
    }

    /// A book that knows the tenant.
    pub(crate) fn book(&self) -> GrantBook {
        let mut book = GrantBook::default();
        self.take(&mut book, &self.creation());
        book
    }

    pub(crate) fn take(&self, book: &mut GrantBook, bytes: &[u8]) -> Taken {
        book.take(bytes, self.trust()).expect("is taken")
    }

    pub(crate) fn refused(&self, book: &mut GrantBook, bytes: &[u8]) -> &'static str {
        let before = (book.digest(), book.size());
        let error = book.take(bytes, self.trust()).expect_err("is refused");
        assert!(error.to_string().len() > 20, "{error}");
        assert_eq!((book.digest(), book.size()), before, "a refusal changes nothing: {error}");
        error.code()
    }

    pub(crate) fn revocation(&self, to: &str, up_to: u64, at: Millis) -> Vec<u8> {
        let revocation = self.authority.revoke(&site(to), up_to, at).expect("signed");
        revocation.to_bytes().expect("bytes")
    }

    /// A node with its sealing secret and the statement that publishes its key.
    pub(crate) fn node(&self, site: &str, name: &str, at: Millis) -> (SealingSecret, Vec<u8>) {
        let key = NodeKey::generate().expect("a key");
        let chain = self.mesh.svid(&key, &node_id(site, name), at);
        let secret = SealingSecret::of(&key).expect("derived");
        let signer = StatementKey::node(&key, chain);
        let statement = SealingKey::sign(signer, secret.public_key(), at).expect("signed");
        (secret, statement.to_bytes().expect("bytes"))
    }

    /// A node's word that it did what `erasure` asks.
    pub(crate) fn attestation(&self, site: &str, erasure: &Erasure, at: Millis) -> Vec<u8> {
        let key = NodeKey::generate().expect("a key");
        let chain = self.mesh.svid(&key, &node_id(site, "n1"), at);
        let signer = StatementKey::node(&key, chain);
        let (tag, digest) = (erasure.tag(), erasure.digest());
        let said = ErasureAttestation::sign(signer, tag, digest, at).expect("signed");
        said.to_bytes().expect("bytes")
    }

    /// Does what the key plan says; the statements, taken into `book`.
    pub(crate) fn deliver(
        &self,
        book: &mut GrantBook,
        generation: u32,
        from: Millis,
        to: &[Recipient],
    ) -> Vec<Vec<u8>> {
        let deliveries = self.authority.deliver(generation, from, to, &mut rng()).expect("sealed");
        let bytes: Vec<_> = deliveries.iter().map(|d| d.to_bytes().expect("bytes")).collect();
        for statement in &bytes {
            self.take(book, statement);
        }
        bytes
    }
}

pub(crate) fn rng() -> StdRng {
    StdRng::seed_from_u64(2026)
}

pub(crate) fn authority(name: &str) -> TenantAuthority {
    TenantAuthority::create(TenantId::new(name).expect("a name")).expect("an authority")
}

pub(crate) fn site(name: &str) -> SiteId {
    SiteId::new(name).expect("a site")
}

/// From an hour ago for a day.
pub(crate) fn terms(to: &str, rights: Rights, serial: u64) -> GrantTerms {
    let (not_before, not_after) = (NOW - HOUR, NOW + DAY);
    GrantTerms { site: site(to), rights, serial, not_before, not_after }
}

pub(crate) fn grant(authority: &TenantAuthority, terms: GrantTerms) -> Grant {
    authority.grant(terms).expect("signed")
}

pub(crate) fn grant_bytes(authority: &TenantAuthority, terms: GrantTerms) -> Vec<u8> {
    grant(authority, terms).to_bytes().expect("bytes")
}
