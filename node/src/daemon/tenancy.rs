//! Which site may replicate which tenant: signed statements of the roster, and what they are called
//! here.
//!
//! On the mesh a tenant goes by its tag, the hash of its authority's key: a peer without a grant
//! learns neither its name nor that it is here. What the tag is called is bound once on each node, by
//! the node that makes the tenant, by the enrolment, or by a delivery that only granted sites can read.

pub(crate) mod acts;
mod hints;
mod rights;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holm_certs::files::IdentityDir;
use holm_certs::{
    BookCounters, BookSize, ErasedAt, GrantBook, GrantTerms, Identity, Issuer, KeyPlan, News,
    Right, Rights, SealingKey, SealingSecret, SpkiHash, Taken, TenantAuthority, TenantCreation,
    TenantNames, TenantTag, Trust, Verdict,
};
use holm_model::{Millis, NodeName, SiteId, TenantId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use self::hints::SealedHints;
use super::erasure::Due;
use crate::layout::{Layout, write_file};

/// How long before its making a grant holds: clocks differ.
const CLOCK_SKEW_MS: u64 = 5 * 60_000;
/// How long a grant holds that an enrolment makes: ten years. It ends by revocation.
pub(crate) const ENROLLED_FOR_MS: u64 = 10 * 365 * 24 * 3_600_000;
/// Statements of one tenant that an enrolment hands on, at most.
const MAX_HANDED_ON: usize = 4_096;

/// What this node keeps beside the roster: the file `tenants.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct TenantsFile {
    /// What tags are called here.
    pub(crate) names: TenantNames,
    /// Statements that came with the enrolment, base64: they hold before the roster comes.
    #[serde(default)]
    pub(crate) statements: Vec<String>,
}

impl TenantsFile {
    /// The file in `layout`; an empty one if there is none.
    pub(crate) fn load(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.tenants_file();
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{}: damaged; enrol again with `holm join`, or restore it", path.display())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("{}: cannot be read", path.display())),
        }
    }

    pub(crate) fn save(&self, layout: &Layout) -> anyhow::Result<()> {
        let path = layout.tenants_file();
        write_file(&path, &serde_json::to_vec_pretty(self)?, true)
            .with_context(|| format!("{}: cannot be written", path.display()))
    }
}

/// One site's standing in a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SiteStanding {
    pub(crate) site: SiteId,
    pub(crate) replicate: Verdict,
    pub(crate) query: Verdict,
}

/// How a tenant stands, as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantStanding {
    /// `None` for a tenant of whose name this node knows nothing.
    pub(crate) name: Option<TenantId>,
    pub(crate) tag: TenantTag,
    /// Whether its authority's key is on this node.
    pub(crate) authority_here: bool,
    pub(crate) sites: Vec<SiteStanding>,
    /// Since when it is erased, and how far that has come.
    pub(crate) erasure: Option<ErasureStanding>,
}

/// How far the erasure of a tenant has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErasureStanding {
    pub(crate) at: Millis,
    /// Nodes that attested it.
    pub(crate) erased: Vec<ErasedAt>,
    /// Nodes that had the tenant, or may have had it. By their keys: one that was replaced under its name has not
    /// answered because its successor did.
    pub(crate) asked: BTreeMap<SpkiHash, (SiteId, NodeName)>,
}

/// The tenants of the mesh as this node may know them.
pub(crate) struct Tenancy {
    held: Mutex<Held>,
    layout: Layout,
    files: IdentityDir,
    site: SiteId,
    secret: SealingSecret,
    hints: SealedHints,
    /// Raised when there may be something to sign or to deliver.
    pub(crate) wake: Notify,
    /// Held while what is due is done and said: who comes second finds it done, not half done.
    pub(super) turn: Mutex<()>,
}

struct Held {
    book: GrantBook,
    file: TenantsFile,
    authorities: BTreeMap<TenantId, TenantAuthority>,
}

impl Tenancy {
    /// Opens what this node knows; the roster's statements are taken by [`Tenancy::take`].
    pub(crate) fn open(
        layout: &Layout,
        site: &SiteId,
        identity: &Identity,
        mesh_id: [u8; 16],
    ) -> anyhow::Result<Self> {
        let files = crate::identity::directory(layout);
        let file = TenantsFile::load(layout)?;
        let mut authorities = BTreeMap::new();
        for (name, _) in file.names.iter() {
            if let Some(authority) = files.load_tenant_authority(name)? {
                authorities.insert(name.clone(), authority);
            }
        }
        let secret = SealingSecret::of(&files.load_node_key()?)?;
        let statements: Vec<Vec<u8>> =
            file.statements.iter().filter_map(|text| STANDARD.decode(text).ok()).collect();
        let tenancy = Self {
            held: Mutex::new(Held { book: GrantBook::default(), file, authorities }),
            layout: layout.clone(),
            files,
            site: site.clone(),
            secret,
            hints: SealedHints::of_mesh(mesh_id),
            wake: Notify::new(),
            turn: Mutex::default(),
        };
        tenancy.take(&statements, identity);
        Ok(tenancy)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a tenant is called on the mesh; `None` while it was not made there.
    pub(crate) fn label(&self, name: &TenantId) -> Option<TenantId> {
        label_of(self.held().file.names.tag_of(name)?)
    }

    /// What this node calls the tenant of that label.
    pub(crate) fn named(&self, label: &TenantId) -> Option<TenantId> {
        let tag = label.as_str().parse().ok()?;
        self.held().file.names.name_of(tag).cloned()
    }

    /// Takes statements of the roster, whoever sent them: each is verified. Whether any was news.
    pub(crate) fn take(&self, statements: &[Vec<u8>], identity: &Identity) -> bool {
        let mut held = self.held();
        let (bundles, revocations) = (identity.bundles(), identity.revocations());
        let id = identity.spiffe_id();
        let trust =
            Trust { domain: id.trust_domain(), bundles: &bundles, revocations: &revocations };
        let mut news = false;
        for statement in statements {
            match held.book.take(statement, trust) {
                Ok(Taken::News(what)) => {
                    news = true;
                    match what {
                        News::Erasure(tag) => tracing::warn!(tenant = %tag, "a tenant is erased"),
                        News::Revocation(tag, site) => {
                            tracing::warn!(tenant = %tag, %site, "a site's grant was revoked");
                        }
                        _ => {}
                    }
                }
                Ok(Taken::Known | Taken::Waiting | Taken::OtherKind) => {}
                // Carried on, not acted on, and counted.
                Err(error) => tracing::debug!(%error, "a statement about tenants is not taken"),
            }
        }
        if news {
            self.renew_hint_keys(&held);
            self.wake.notify_one();
        }
        news
    }

    /// Judges everything anew after roots or revocations changed.
    pub(crate) fn retrust(&self, statements: &[Vec<u8>], identity: &Identity) {
        let (bundles, revocations) = (identity.bundles(), identity.revocations());
        let id = identity.spiffe_id();
        let trust =
            Trust { domain: id.trust_domain(), bundles: &bundles, revocations: &revocations };
        let mut held = self.held();
        if held.book.retrust(trust) {
            self.renew_hint_keys(&held);
            drop(held);
            self.take(statements, identity);
        }
    }

    /// What this node should say now: the creation of tenants whose authority it made, the grant of its
    /// own site, its sealing key once a grant names its site, and keys that are due. Binds names that
    /// were delivered. Statements that came with the enrolment are said again, so that all hear of them.
    pub(crate) fn due(
        &self,
        issuer: Option<&Issuer>,
        identity: &Identity,
        now: Millis,
    ) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut held = self.held();
        let mut due = Vec::new();
        let Held { book, file, authorities } = &mut *held;
        for authority in authorities.values() {
            let known = book.tenants().iter().any(|tenant| tenant.tag == authority.tag());
            if book.erasure_of(authority.tag()).is_some() {
                continue;
            }
            if let Some(issuer) = issuer.filter(|_| !known) {
                due.push(TenantCreation::sign(issuer, authority.public_key(), now)?.to_bytes()?);
            }
            if book.may(&self.site, authority.tag(), Right::Replicate, now) == Verdict::NeverGranted
            {
                let terms =
                    terms(book, authority.tag(), &self.site, Rights::BOTH, ENROLLED_FOR_MS, now)?;
                due.push(authority.grant(terms)?.to_bytes()?);
            }
        }
        let mine = book.tenants_of(&self.site, now);
        let published = || {
            let all = book.statements();
            let keys = all.iter().filter_map(|bytes| SealingKey::from_bytes(bytes).ok());
            keys.into_iter().any(|key| key.key() == self.secret.public_key())
        };
        if !mine.is_empty() && !published() {
            let key = SealingKey::sign(identity.statement_key(), self.secret.public_key(), now)?;
            due.push(key.to_bytes()?);
        }
        let mut rng = rand::rng();
        for authority in authorities.values() {
            let deliveries = match book.key_plan(authority.tag(), now) {
                KeyPlan::Rotate { generation, to } => {
                    authority.deliver(generation, now, &to, &mut rng)?
                }
                KeyPlan::Deliver { generation, from, to } => {
                    authority.deliver(generation, from, &to, &mut rng)?
                }
                KeyPlan::Nothing => Vec::new(),
            };
            for delivery in deliveries {
                due.push(delivery.to_bytes()?);
            }
        }
        let mut bound = false;
        for (tag, _) in mine {
            let ring = book.keyring(tag, &self.secret);
            let Some(name) = ring.name() else { continue };
            match file.names.bind(name, tag) {
                Ok(news) => bound |= news,
                Err(error) => tracing::warn!(%error, "a tenant's name is not taken"),
            }
        }
        if bound {
            file.save(&self.layout)?;
        }
        Ok(due)
    }

    /// Makes a tenant: its authority's key stays on this node.
    pub(crate) fn create(&self, name: &TenantId) -> anyhow::Result<TenantTag> {
        let mut held = self.held();
        if let Some(tag) = held.file.names.tag_of(name) {
            bail!("tenant {name} is there already, as {tag}");
        }
        let authority = TenantAuthority::create(name.clone())?;
        let tag = authority.tag();
        // The key first: a name without it could never be granted to anyone.
        self.files.save_tenant_authority(&authority)?;
        held.file.names.bind(name, tag)?;
        held.file.save(&self.layout)?;
        held.authorities.insert(name.clone(), authority);
        drop(held);
        self.wake.notify_one();
        Ok(tag)
    }

    /// The statement that grants a site rights in a tenant whose authority is here.
    pub(crate) fn grant(
        &self,
        name: &TenantId,
        site: &SiteId,
        rights: Rights,
        for_ms: u64,
        now: Millis,
    ) -> anyhow::Result<Vec<u8>> {
        let held = self.held();
        let authority = held.authority(name, &self.files)?;
        let terms = terms(&held.book, authority.tag(), site, rights, for_ms, now)?;
        Ok(authority.grant(terms)?.to_bytes()?)
    }

    /// The statement that takes back every grant of a site up to now.
    pub(crate) fn revoke(
        &self,
        name: &TenantId,
        site: &SiteId,
        now: Millis,
    ) -> anyhow::Result<Vec<u8>> {
        let held = self.held();
        let authority = held.authority(name, &self.files)?;
        let tag = authority.tag();
        if !held.book.sites_of(tag).contains(site) {
            bail!("site {site} was never granted tenant {name}; `holm tenant list` shows who was");
        }
        let up_to = held.book.next_serial(tag, now).ok_or_else(|| anyhow!("no serial is left"))?;
        Ok(authority.revoke(site, up_to, now)?.to_bytes()?)
    }

    /// The statement that ends a tenant whose authority is here, everywhere and for good.
    pub(crate) fn erase(&self, name: &TenantId, now: Millis) -> anyhow::Result<Vec<u8>> {
        let held = self.held();
        let authority = held.authority(name, &self.files)?;
        Ok(authority.erase(now)?.to_bytes()?)
    }

    /// Whether the tenant of that name was erased.
    pub(crate) fn is_erased(&self, name: &TenantId) -> bool {
        let held = self.held();
        let tag = held.file.names.tag_of(name);
        tag.is_some_and(|tag| held.book.erasure_of(tag).is_some())
    }

    /// Erased tenants that the node with this key knows by name and has not attested. Authorities of
    /// erased tenants are let go of.
    pub(super) fn erasures_due(&self, own: &SpkiHash) -> Vec<Due> {
        let mut held = self.held();
        let Held { book, file, authorities } = &mut *held;
        authorities.retain(|_, authority| book.erasure_of(authority.tag()).is_none());
        let erased = file.names.iter().filter_map(|(name, tag)| {
            let erasure = book.erasure_of(tag)?;
            let done = book.erased_at(erasure).iter().any(|node| node.key == *own);
            (!done).then(|| Due { name: name.clone(), tag, erasure: erasure.digest() })
        });
        erased.collect()
    }

    /// Grants a site that is enrolled now every tenant whose authority is here, and what it needs to
    /// know of them: names and statements. The grants are for the roster too.
    pub(crate) fn enrol(
        &self,
        site: &SiteId,
        now: Millis,
    ) -> anyhow::Result<(TenantsFile, Vec<Vec<u8>>)> {
        let held = self.held();
        let mut file = TenantsFile::default();
        let mut grants = Vec::new();
        for (name, authority) in &held.authorities {
            let tag = authority.tag();
            file.names.bind(name, tag)?;
            if !held.book.may(site, tag, Right::Replicate, now).is_granted() {
                let terms = terms(&held.book, tag, site, Rights::BOTH, ENROLLED_FOR_MS, now)?;
                grants.push(authority.grant(terms)?.to_bytes()?);
            }
        }
        let known = held.book.statements().into_iter().take(MAX_HANDED_ON);
        file.statements = known.chain(grants.clone()).map(|bytes| STANDARD.encode(bytes)).collect();
        Ok((file, grants))
    }

    /// Every tenant that this node knows of by name, and those of others by their tag alone.
    pub(crate) fn standings(&self, now: Millis) -> Vec<TenantStanding> {
        let held = self.held();
        let mut tags: Vec<TenantTag> = held.book.tenants().into_iter().map(|t| t.tag).collect();
        tags.extend(held.file.names.iter().map(|(_, tag)| tag));
        tags.sort_unstable();
        tags.dedup();
        let standing = |tag: TenantTag| {
            let name = held.file.names.name_of(tag).cloned();
            let may = |site: &SiteId, right| held.book.may(site, tag, right, now);
            let sites = held.book.sites_of(tag).into_iter().map(|site| SiteStanding {
                replicate: may(&site, Right::Replicate),
                query: may(&site, Right::Query),
                site,
            });
            let authority_here = name.as_ref().is_some_and(|n| held.authorities.contains_key(n));
            let erasure = held.book.erasure_of(tag).map(|erasure| ErasureStanding {
                at: erasure.at(),
                erased: held.book.erased_at(erasure).into_iter().cloned().collect(),
                asked: {
                    let nodes = held.book.nodes_of(tag).into_iter();
                    nodes.map(|node| (node.key, (node.site.clone(), node.node.clone()))).collect()
                },
            });
            TenantStanding { sites: sites.collect(), name, tag, authority_here, erasure }
        };
        tags.into_iter().map(standing).collect()
    }

    /// What was taken and refused, and how much is held.
    pub(crate) fn counted(&self) -> (BookCounters, BookSize) {
        let held = self.held();
        (held.book.counters().clone(), held.book.size())
    }

    /// When a grant begins or ends next.
    pub(crate) fn next_change(&self, now: Millis) -> Option<Millis> {
        self.held().book.next_change(now)
    }
}

impl Held {
    fn authority(&self, name: &TenantId, files: &IdentityDir) -> anyhow::Result<&TenantAuthority> {
        self.authorities.get(name).ok_or_else(|| {
            anyhow!(
                "the authority of tenant {name} is not on this node ({} is not there); ask the node that made the tenant",
                files.tenant_authority_path(name).display()
            )
        })
    }
}

fn terms(
    book: &GrantBook,
    tag: TenantTag,
    site: &SiteId,
    rights: Rights,
    for_ms: u64,
    now: Millis,
) -> anyhow::Result<GrantTerms> {
    let serial = book.next_serial(tag, now).ok_or_else(|| anyhow!("no serial is left"))?;
    let not_before = now - CLOCK_SKEW_MS;
    Ok(GrantTerms { site: site.clone(), rights, serial, not_before, not_after: now + for_ms })
}

/// The tag as the mesh's name of a tenant: 32 hexadecimal digits are one.
fn label_of(tag: TenantTag) -> Option<TenantId> {
    TenantId::new(&tag.to_string()).ok()
}

/// Makes the first tenant of a new mesh: its authority and its name, for the first start to announce.
pub(crate) fn found(layout: &Layout, name: &TenantId) -> anyhow::Result<PathBuf> {
    let authority = TenantAuthority::create(name.clone())?;
    let path = crate::identity::directory(layout).save_tenant_authority(&authority)?;
    let mut file = TenantsFile::default();
    file.names.bind(name, authority.tag())?;
    file.save(layout)?;
    Ok(path)
}
