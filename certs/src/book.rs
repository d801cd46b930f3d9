//! The grant book: every statement about tenants that a node knows, and what follows from it.
//!
//! In: statements as bytes, from anybody, in any order, any number of times; what to trust; the time
//! of a question. Out: verdicts. They depend on the set of statements, the trust and the time, never on
//! the order of arrival, as long as no bound is met; each bound refuses, counts, and errs to "no".
//!
//! A statement of an authority that nobody has created yet waits, unread: at most [`MAX_WAITING`] of
//! all. The roster holds what was refused for that: offer it again after [`News::Tenant`].

use std::collections::BTreeMap;

use holm_model::{Millis, SiteId};
use ring::digest::{Context, SHA256, digest};

use crate::delivery::{KeyDelivery, Recipient};
use crate::erasure::{ErasedAt, Erasure, ErasureAttestation};
use crate::grant::{Creator, Grant, GrantRevocation, TenantCreation};
use crate::hint::Keyring;
use crate::holding::{Holding, Said, Verdict};
use crate::key::{SpkiHash, SubjectPublicKey};
use crate::plan::KeyPlan;
use crate::sealing::{RecipientId, SealingKey, SealingNode, SealingPublicKey, SealingSecret};
use crate::statement::{SignedStatement, StatementKind};
use crate::tenancy::{GrantError, PayloadDigest, Trust};
use crate::tenant::{Right, Rights, TenantTag};

/// Most tenants of a mesh.
pub const MAX_TENANTS: usize = 1024;
/// Most creators of one tenant: issuers that confirmed it.
pub const MAX_CREATORS: usize = 8;
/// Most sealing keys: one per node of a site that was granted anything.
pub const MAX_SEALING_KEYS: usize = 8192;
/// Most attestations of erasures: one per erased tenant and node that had it.
pub(crate) const MAX_ATTESTATIONS: usize = 16_384;
/// Most statements that wait for their tenant's creation.
pub const MAX_WAITING: usize = 1024;
/// Most bytes of waiting statements.
pub const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// What became of a statement that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It was known, or what is known outdoes it.
    Known,
    /// It may change answers.
    News(News),
    /// It is of a kind that this book does not read: carry it on.
    OtherKind,
    /// Its tenant is not created yet. It is judged when that happens.
    Waiting,
}

/// What answers may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A node destroyed what it had of the tenant.
    Attestation(TenantTag, SiteId),
    /// The tenant is to be destroyed: do so now, and attest it.
    Erasure(TenantTag),
    /// A grant: this site may perhaps do more.
    Grant(TenantTag, SiteId),
    /// Keys came: build the tenant's keyring anew.
    Keys(TenantTag),
    /// A revocation: check live connections with the site now.
    Revocation(TenantTag, SiteId),
    /// A node's sealing key: the tenant's authority may have something to deliver.
    SealingKey(SiteId),
    /// A tenant was created or confirmed, and what waited for it was judged: all of the above.
    Tenant(TenantTag),
}

/// What a book has seen since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BookCounters {
    /// Statements that changed something.
    pub news: u64,
    /// Statements that were known or outdone.
    pub known: u64,
    /// Statements that had to wait.
    pub waited: u64,
    /// Statements of other kinds.
    pub other_kinds: u64,
    /// Refusals, by [`GrantError::code`]. `full` counts bounds that were met.
    pub refused: BTreeMap<&'static str, u64>,
}

/// How much a book holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BookSize {
    /// Tenants that were created.
    pub tenants: usize,
    /// Grants that no revocation outdoes, expired ones included.
    pub grants: usize,
    /// Revocations: at most one per tenant and site.
    pub revocations: usize,
    /// Deliveries of keys.
    pub deliveries: usize,
    /// Nodes' sealing keys.
    pub sealing_keys: usize,
    /// Tenants that were ended.
    pub erasures: usize,
    /// Nodes' attestations of erasures.
    pub attestations: usize,
    /// Statements that wait for their tenant.
    pub waiting: usize,
}

/// How a tenant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantStanding {
    /// The tenant.
    pub tag: TenantTag,
    /// Who created or confirmed it.
    pub creators: Vec<Creator>,
    /// The earliest date of its creations.
    pub created_at: Millis,
}

struct Tenant {
    authority: SubjectPublicKey,
    /// Never empty.
    creations: BTreeMap<Creator, TenantCreation>,
    holding: Holding,
}

/// Every statement about tenants that a node knows.
#[derive(Default)]
pub struct GrantBook {
    tenants: BTreeMap<TenantTag, Tenant>,
    nodes: BTreeMap<SpkiHash, (SealingNode, SealingKey)>,
    attestations: BTreeMap<(TenantTag, PayloadDigest, SpkiHash), (ErasedAt, ErasureAttestation)>,
    waiting: BTreeMap<(TenantTag, [u8; 32]), (Said, usize)>,
    waiting_bytes: usize,
    counters: BookCounters,
}

impl GrantBook {
    /// Takes a statement, from whomever. What is refused is counted and changes nothing.
    ///
    /// # Errors
    /// [`GrantError`] says why it was refused.
    pub fn take(&mut self, bytes: &[u8], trust: Trust<'_>) -> Result<Taken, GrantError> {
        let taken = self.judge(bytes, trust);
        self.count(&taken);
        taken
    }

    /// Judges tenants and nodes again, after a bundle changed or a key was revoked. What is no longer
    /// trusted goes, a tenant that nobody vouches for with all that its authority said. Then offer the
    /// roster's statements again: a root that came may vouch for some, and the rest waits as it should.
    /// Says whether any answer may have changed.
    pub fn retrust(&mut self, trust: Trust<'_>) -> bool {
        let size = |book: &Self| (book.tenants.len(), book.nodes.len(), book.attestations.len());
        let before = size(self);
        self.tenants.retain(|_, tenant| {
            tenant.creations.retain(|_, creation| creation.verify(trust).is_ok());
            !tenant.creations.is_empty()
        });
        self.nodes.retain(|_, (_, key)| key.verify(trust).is_ok());
        self.attestations.retain(|_, (_, attestation)| attestation.verify(trust).is_ok());
        before != size(self)
    }

    fn count(&mut self, taken: &Result<Taken, GrantError>) {
        let counter = match taken {
            Ok(Taken::Known) => &mut self.counters.known,
            Ok(Taken::News(_)) => &mut self.counters.news,
            Ok(Taken::OtherKind) => &mut self.counters.other_kinds,
            Ok(Taken::Waiting) => &mut self.counters.waited,
            // At most one entry per code.
            Err(error) => self.counters.refused.entry(error.code()).or_default(),
        };
        *counter += 1;
    }

    fn judge(&mut self, bytes: &[u8], trust: Trust<'_>) -> Result<Taken, GrantError> {
        let statement = SignedStatement::from_bytes(bytes)?;
        let said = match statement.kind() {
            StatementKind::TENANT_CREATION => {
                return self.take_creation(TenantCreation::read(statement)?, trust);
            }
            StatementKind::SEALING_KEY => {
                return self.take_sealing_key(SealingKey::read(statement)?, trust);
            }
            StatementKind::ERASURE_ATTESTATION => {
                return self.take_attestation(ErasureAttestation::read(statement)?, trust);
            }
            StatementKind::ERASURE => Said::Erasure(Erasure::read(statement)?),
            StatementKind::GRANT => Said::Grant(Grant::read(statement)?),
            StatementKind::GRANT_REVOCATION => Said::Revocation(GrantRevocation::read(statement)?),
            StatementKind::KEY_DELIVERY => Said::Keys(KeyDelivery::read(statement)?),
            _ => return Ok(Taken::OtherKind),
        };
        if self.tenants.contains_key(&said.tag()) {
            return self.take_said(said);
        }
        self.wait(said, bytes)
    }

    fn take_creation(
        &mut self,
        creation: TenantCreation,
        trust: Trust<'_>,
    ) -> Result<Taken, GrantError> {
        let creator = creation.verify(trust)?;
        let (tag, full) = (creation.tag(), self.tenants.len() >= MAX_TENANTS);
        match self.tenants.get_mut(&tag) {
            Some(tenant) => {
                if !tenant.add_creation(creator, creation)? {
                    return Ok(Taken::Known);
                }
            }
            None if full => {
                return Err(GrantError::Full {
                    what: "tenant's creation",
                    max: MAX_TENANTS,
                    within: "tenants of a mesh",
                    remedy: "it stays unknown; rotate the mesh's root and confirm those that live",
                });
            }
            None => {
                let authority = creation.authority().clone();
                let creations = BTreeMap::from([(creator, creation)]);
                let holding = Holding::default();
                self.tenants.insert(tag, Tenant { authority, creations, holding });
                self.end_waiting(tag);
            }
        }
        Ok(Taken::News(News::Tenant(tag)))
    }

    fn take_said(&mut self, said: Said) -> Result<Taken, GrantError> {
        let tag = said.tag();
        let Some(tenant) = self.tenants.get_mut(&tag) else { return Ok(Taken::Waiting) };
        if tenant.holding.holds(&said) {
            return Ok(Taken::Known);
        }
        said.statement().verify_bare(&tenant.authority)?;
        let news = match &said {
            Said::Erasure(_) => News::Erasure(tag),
            Said::Grant(grant) => News::Grant(tag, grant.terms().site.clone()),
            Said::Keys(_) => News::Keys(tag),
            Said::Revocation(revocation) => News::Revocation(tag, revocation.site().clone()),
        };
        Ok(if tenant.holding.put(said)? { Taken::News(news) } else { Taken::Known })
    }

    fn wait(&mut self, said: Said, bytes: &[u8]) -> Result<Taken, GrantError> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        let key = (said.tag(), hash);
        if self.waiting.contains_key(&key) {
            return Ok(Taken::Waiting);
        }
        let full = self.waiting.len() >= MAX_WAITING
            || self.waiting_bytes + bytes.len() > MAX_WAITING_BYTES;
        if full {
            return Err(GrantError::Full {
                what: "statement of an unknown tenant",
                max: MAX_WAITING,
                within: "statements that wait, 4 MiB together",
                remedy: "offer it again when the tenant's creation has come",
            });
        }
        self.waiting_bytes += bytes.len();
        self.waiting.insert(key, (said, bytes.len()));
        Ok(Taken::Waiting)
    }

    fn end_waiting(&mut self, tag: TenantTag) {
        let keys = self.waiting.range((tag, [0; 32])..=(tag, [255; 32])).map(|(key, _)| *key);
        for key in keys.collect::<Vec<_>>() {
            let Some((said, bytes)) = self.waiting.remove(&key) else { continue };
            self.waiting_bytes -= bytes;
            let taken = self.take_said(said);
            self.count(&taken);
        }
    }

    fn take_sealing_key(&mut self, key: SealingKey, trust: Trust<'_>) -> Result<Taken, GrantError> {
        let node = key.verify(trust)?;
        let (site, full) = (node.site.clone(), self.nodes.len() >= MAX_SEALING_KEYS);
        match self.nodes.get_mut(&node.key) {
            // The later; of two with one date every node keeps the same one.
            Some((_, held))
                if (held.at(), key.statement().rank()) >= (key.at(), held.statement().rank()) =>
            {
                return Ok(Taken::Known);
            }
            Some(held) => *held = (node, key),
            None if full => {
                return Err(GrantError::Full {
                    what: "node's sealing key",
                    max: MAX_SEALING_KEYS,
                    within: "nodes",
                    remedy: "the node gets no tenant's keys; revoke nodes that are gone",
                });
            }
            None => {
                self.nodes.insert(node.key, (node, key));
            }
        }
        Ok(Taken::News(News::SealingKey(site)))
    }

    fn take_attestation(
        &mut self,
        attestation: ErasureAttestation,
        trust: Trust<'_>,
    ) -> Result<Taken, GrantError> {
        let erased = attestation.verify(trust)?;
        let key = (attestation.tag(), attestation.erasure(), erased.key);
        let full = self.attestations.len() >= MAX_ATTESTATIONS;
        match self.attestations.get_mut(&key) {
            // The earliest; of two with one date every node keeps the same one.
            Some((_, held))
                if (held.at(), held.statement().rank())
                    <= (attestation.at(), attestation.statement().rank()) =>
            {
                return Ok(Taken::Known);
            }
            None if full => {
                return Err(GrantError::Full {
                    what: "attestation of an erasure",
                    max: MAX_ATTESTATIONS,
                    within: "tenants and nodes",
                    remedy: "the node counts as one that has not answered",
                });
            }
            _ => {}
        }
        let news = News::Attestation(key.0, erased.site.clone());
        self.attestations.insert(key, (erased, attestation));
        Ok(Taken::News(news))
    }

    /// The statement that ended the tenant, if one did.
    pub fn erasure_of(&self, tag: TenantTag) -> Option<&Erasure> {
        self.tenants.get(&tag)?.holding.erasure()
    }

    /// Which nodes attested that erasure, in order of site and name.
    pub fn erased_at(&self, erasure: &Erasure) -> Vec<&ErasedAt> {
        let (tag, digest) = (erasure.tag(), erasure.digest());
        let of = (tag, digest, SpkiHash([0; 32]))..=(tag, digest, SpkiHash([255; 32]));
        let mut nodes: Vec<&ErasedAt> =
            self.attestations.range(of).map(|(_, (at, _))| at).collect();
        nodes.sort();
        nodes
    }

    /// The nodes of sites that the tenant's statements name, as far as their sealing keys are known:
    /// those that had the tenant, or may have had it.
    pub fn nodes_of(&self, tag: TenantTag) -> Vec<&SealingNode> {
        let Some(tenant) = self.tenants.get(&tag) else { return Vec::new() };
        let named = |node: &&SealingNode| tenant.holding.sites().any(|site| *site == node.site);
        self.nodes.values().map(|(node, _)| node).filter(named).collect()
    }

    /// The same with the sealing key of each, and when it said so.
    pub fn keys_of(&self, tag: TenantTag) -> Vec<(&SealingNode, SealingPublicKey, Millis)> {
        let Some(tenant) = self.tenants.get(&tag) else { return Vec::new() };
        let nodes = self.nodes.values();
        let named = nodes.filter(|(node, _)| tenant.holding.sites().any(|site| *site == node.site));
        named.map(|(node, key)| (node, key.key(), key.at())).collect()
    }

    /// May `site` do `right` with the tenant at `now`? Two look-ups; ask on every message.
    pub fn may(&self, site: &SiteId, tag: TenantTag, right: Right, now: Millis) -> Verdict {
        let tenant = self.tenants.get(&tag);
        tenant.map_or(Verdict::NeverGranted, |t| t.holding.verdict(site, right, now))
    }

    /// Every tenant that `site` has a right in at `now`, and which.
    pub fn tenants_of(&self, site: &SiteId, now: Millis) -> Vec<(TenantTag, Rights)> {
        let all = self.tenants.iter().map(|(tag, t)| (*tag, t.holding.rights(site, now)));
        all.filter(|(_, rights)| !rights.is_empty()).collect()
    }

    /// Every site that a statement of the tenant names: to be listed with [`GrantBook::may`].
    pub fn sites_of(&self, tag: TenantTag) -> Vec<SiteId> {
        self.tenants.get(&tag).map(|t| t.holding.sites().cloned().collect()).unwrap_or_default()
    }

    /// Every grant of the tenant that no revocation outdoes, expired ones included.
    pub fn grants_of(&self, tag: TenantTag) -> Vec<&Grant> {
        self.tenants.get(&tag).map(|t| t.holding.grants().collect()).unwrap_or_default()
    }

    /// The revocation of each site's grants that counts.
    pub fn revocations_of(&self, tag: TenantTag) -> Vec<&GrantRevocation> {
        self.tenants.get(&tag).map(|t| t.holding.revocations().collect()).unwrap_or_default()
    }

    /// Every tenant that was created.
    pub fn tenants(&self) -> Vec<TenantStanding> {
        let standing = |(&tag, tenant): (&TenantTag, &Tenant)| TenantStanding {
            tag,
            creators: tenant.creations.keys().copied().collect(),
            created_at: tenant.creations.values().map(TenantCreation::at).min().unwrap_or_default(),
        };
        self.tenants.iter().map(standing).collect()
    }

    /// The serial for the tenant's next grant: greater than every one that is known, and not less
    /// than the time, so that an authority used on two machines does not fall behind. `None` if the
    /// authority has used up all numbers.
    pub fn next_serial(&self, tag: TenantTag, now: Millis) -> Option<u64> {
        let last = self.tenants.get(&tag).and_then(|tenant| tenant.holding.last_serial());
        last.map_or(Some(now.0), |last| Some(last.checked_add(1)?.max(now.0)))
    }

    /// The next moment after `now` at which time alone changes an answer: check live connections then.
    pub fn next_change(&self, now: Millis) -> Option<Millis> {
        let grants = self.tenants.values().flat_map(|tenant| tenant.holding.grants());
        let moments = grants.flat_map(|grant| [grant.terms().not_before, grant.terms().not_after]);
        moments.filter(|moment| *moment > now).min()
    }

    /// What the node whose sealing secret this is can open of the tenant.
    pub fn keyring(&self, tag: TenantTag, secret: &SealingSecret) -> Keyring {
        let deliveries = self.tenants.get(&tag).into_iter().flat_map(|t| t.holding.deliveries());
        Keyring::build(tag, deliveries, secret)
    }

    /// What the holder of the tenant's authority should deliver. Ask after every change and at
    /// [`GrantBook::next_change`].
    pub fn key_plan(&self, tag: TenantTag, now: Millis) -> KeyPlan {
        let Some(tenant) = self.tenants.get(&tag) else { return KeyPlan::Nothing };
        if tenant.holding.erasure().is_some() {
            return KeyPlan::Nothing;
        }
        KeyPlan::of(tenant.holding.latest_keys(), &self.wanted(tenant, now))
    }

    fn wanted(&self, tenant: &Tenant, now: Millis) -> BTreeMap<RecipientId, Recipient> {
        let nodes = self.nodes.values().filter_map(|(node, key)| {
            let rights = tenant.holding.rights(&node.site, now);
            (!rights.is_empty()).then_some(Recipient { key: key.key(), rights })
        });
        nodes.map(|recipient| (recipient.id(), recipient)).collect()
    }

    /// Every statement that counts, for sending on or for keeping: a book that takes them all gives
    /// the same answers and the same digest. What waits is not among them.
    pub fn statements(&self) -> Vec<Vec<u8>> {
        let tenants = self.tenants.values().flat_map(Tenant::statements);
        let nodes = self.nodes.values().map(|(_, key)| key.statement());
        // Each was read from bytes or is not larger than what is read.
        let attestations = self.attestations.values().map(|(_, said)| said.statement());
        tenants
            .chain(nodes)
            .chain(attestations)
            .filter_map(|statement| statement.to_bytes().ok())
            .collect()
    }

    /// A hash of everything that counts: equal on two nodes that know the same. Of signatures it
    /// knows nothing, so the same words signed twice are the same.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"holm grant book v1\0");
        let mut add = |kind: StatementKind, by: &[u8], payload: &[u8]| {
            context.update(&kind.0.to_be_bytes());
            context.update(by);
            context.update(digest(&SHA256, payload).as_ref());
        };
        for (tag, tenant) in &self.tenants {
            for (creator, creation) in &tenant.creations {
                let by = match creator {
                    Creator::Root => [0; 32],
                    Creator::Issuer(key) => key.0,
                };
                let statement = creation.statement();
                add(statement.kind(), &by, statement.payload());
            }
            for statement in tenant.said() {
                add(statement.kind(), &tag.0, statement.payload());
            }
        }
        for (hash, (_, key)) in &self.nodes {
            add(key.statement().kind(), &hash.0, key.statement().payload());
        }
        for ((_, _, by), (_, attestation)) in &self.attestations {
            let statement = attestation.statement();
            add(statement.kind(), &by.0, statement.payload());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    }

    /// What it has seen.
    pub fn counters(&self) -> &BookCounters {
        &self.counters
    }

    /// How much it holds.
    pub fn size(&self) -> BookSize {
        let sum = |count: fn(&Holding) -> usize| {
            self.tenants.values().map(|tenant| count(&tenant.holding)).sum()
        };
        BookSize {
            tenants: self.tenants.len(),
            grants: sum(|holding| holding.grants().count()),
            revocations: sum(|holding| holding.revocations().count()),
            deliveries: sum(|holding| holding.deliveries().count()),
            sealing_keys: self.nodes.len(),
            erasures: self.tenants.values().filter(|t| t.holding.erasure().is_some()).count(),
            attestations: self.attestations.len(),
            waiting: self.waiting.len(),
        }
    }
}

impl std::fmt::Debug for GrantBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GrantBook({:?})", self.size())
    }
}

impl Tenant {
    /// Of one creator's statements the earliest stays.
    fn add_creation(&mut self, creator: Creator, new: TenantCreation) -> Result<bool, GrantError> {
        let full = self.creations.len() >= MAX_CREATORS;
        match self.creations.get_mut(&creator) {
            Some(held) => {
                let news = new.at() < held.at();
                if (new.at(), new.statement().rank()) < (held.at(), held.statement().rank()) {
                    *held = new;
                }
                Ok(news)
            }
            None if full => Err(GrantError::Full {
                what: "tenant's creation",
                max: MAX_CREATORS,
                within: "creators of one tenant",
                remedy: "the tenant is known already",
            }),
            None => {
                self.creations.insert(creator, new);
                Ok(true)
            }
        }
    }

    fn said(&self) -> impl Iterator<Item = &SignedStatement> {
        let grants = self.holding.grants().map(Grant::statement);
        let revocations = self.holding.revocations().map(GrantRevocation::statement);
        let deliveries = self.holding.deliveries().map(KeyDelivery::statement);
        let erasure = self.holding.erasure().map(Erasure::statement).into_iter();
        revocations.chain(grants).chain(deliveries).chain(erasure)
    }

    fn statements(&self) -> impl Iterator<Item = &SignedStatement> {
        self.creations.values().map(TenantCreation::statement).chain(self.said())
    }
}
