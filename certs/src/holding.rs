//! What one tenant's authority said, as a lattice: every order of the same statements ends the same.
//!
//! Per site the greatest revocation (by serial, then the earlier date) and the grants above it; of
//! those the [`MAX_GRANTS_PER_SITE`] with the greatest serials. Per generation of keys its deliveries;
//! the latest [`MAX_GENERATIONS`] generations. Of two signatures over one payload the lesser stays.

use std::collections::BTreeMap;

use holm_model::{Millis, SiteId};

use crate::delivery::{KeyDelivery, What};
use crate::erasure::Erasure;
use crate::grant::{Grant, GrantRevocation};
use crate::sealing::RecipientId;
use crate::statement::SignedStatement;
use crate::tenancy::{GrantError, PayloadDigest};
use crate::tenant::{Right, Rights, TenantTag};

/// Most sites of one tenant. A site beyond is held neither granted nor revoked: it may nothing.
pub const MAX_SITES_PER_TENANT: usize = 4096;
/// Most grants to one site that are held at once, beyond which the oldest serials are let go.
pub const MAX_GRANTS_PER_SITE: usize = 8;
/// Most generations of a tenant's keys: the latest.
pub const MAX_GENERATIONS: usize = 4;
/// Most deliveries of one generation: a new generation delivers to all at once.
pub const MAX_DELIVERIES: usize = 256;

/// May this site do that now?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The tenant was ended: nobody may anything with it, for good.
    Erased {
        /// The erasure's date.
        since: Millis,
    },
    /// The last grant is over.
    Expired {
        /// The first moment at which none held.
        since: Millis,
    },
    /// It may.
    Granted {
        /// Until just before this moment, unless revoked: grants that follow each other are joined.
        until: Millis,
    },
    /// Nobody said so, or nobody who may create tenants knows this one.
    NeverGranted,
    /// A grant begins later, or this node's clock is behind.
    NotYet {
        /// When it begins.
        from: Millis,
    },
    /// It was taken back.
    Revoked {
        /// The revocation's date.
        since: Millis,
    },
}

impl Verdict {
    /// Whether it may.
    pub fn is_granted(self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

/// One thing that an authority says.
pub(crate) enum Said {
    Erasure(Erasure),
    Grant(Grant),
    Keys(KeyDelivery),
    Revocation(GrantRevocation),
}

impl Said {
    pub(crate) fn tag(&self) -> TenantTag {
        match self {
            Self::Erasure(erasure) => erasure.tag(),
            Self::Grant(grant) => grant.tag(),
            Self::Keys(keys) => keys.tag(),
            Self::Revocation(revocation) => revocation.tag(),
        }
    }

    pub(crate) fn statement(&self) -> &SignedStatement {
        match self {
            Self::Erasure(erasure) => erasure.statement(),
            Self::Grant(grant) => grant.statement(),
            Self::Keys(keys) => keys.statement(),
            Self::Revocation(revocation) => revocation.statement(),
        }
    }
}

#[derive(Debug, Default)]
struct SiteHolding {
    revocation: Option<GrantRevocation>,
    /// By serial and payload, all above the revocation.
    grants: BTreeMap<(u64, PayloadDigest), Grant>,
}

#[derive(Debug, Default)]
pub(crate) struct Holding {
    sites: BTreeMap<SiteId, SiteHolding>,
    keys: BTreeMap<u32, BTreeMap<PayloadDigest, KeyDelivery>>,
    /// Of several the one with the earliest date.
    erasure: Option<Erasure>,
}

impl Holding {
    /// Whether exactly this statement is held, signature included: it was verified then.
    pub(crate) fn holds(&self, said: &Said) -> bool {
        let held = match said {
            Said::Erasure(_) => self.erasure.as_ref().map(Erasure::statement),
            Said::Grant(grant) => {
                let site = self.sites.get(&grant.terms().site);
                let key = (grant.terms().serial, grant.digest());
                site.and_then(|site| site.grants.get(&key)).map(Grant::statement)
            }
            Said::Keys(keys) => {
                let generation = self.keys.get(&keys.generation());
                generation.and_then(|g| g.get(&keys.digest())).map(KeyDelivery::statement)
            }
            Said::Revocation(revocation) => {
                let site = self.sites.get(revocation.site());
                site.and_then(|site| site.revocation.as_ref()).map(GrantRevocation::statement)
            }
        };
        held == Some(said.statement())
    }

    /// Joins a verified statement. Says whether any answer may have changed.
    pub(crate) fn put(&mut self, said: Said) -> Result<bool, GrantError> {
        match said {
            Said::Erasure(erasure) => Ok(self.put_erasure(erasure)),
            Said::Grant(grant) => Ok(self.site(&grant.terms().site.clone())?.put_grant(grant)),
            Said::Keys(keys) => self.put_keys(keys),
            Said::Revocation(revocation) => {
                Ok(self.site(&revocation.site().clone())?.put_revocation(revocation))
            }
        }
    }

    fn site(&mut self, site: &SiteId) -> Result<&mut SiteHolding, GrantError> {
        // A site that has no place gets none later (places are never given up), so a revocation
        // that is refused here can have no grant beside it.
        if self.sites.len() >= MAX_SITES_PER_TENANT && !self.sites.contains_key(site) {
            return Err(GrantError::Full {
                what: "statement about another site",
                max: MAX_SITES_PER_TENANT,
                within: "sites of one tenant",
                remedy: "the site may do nothing; divide the tenant",
            });
        }
        Ok(self.sites.entry(site.clone()).or_default())
    }

    fn put_erasure(&mut self, new: Erasure) -> bool {
        let rank = |erasure: &Erasure| (erasure.at(), erasure.digest());
        match &mut self.erasure {
            Some(held) if rank(held) == rank(&new) => {
                keep_lesser(held, new, Erasure::statement);
                false
            }
            Some(held) if rank(held) < rank(&new) => false,
            held => {
                *held = Some(new);
                true
            }
        }
    }

    pub(crate) fn erasure(&self) -> Option<&Erasure> {
        self.erasure.as_ref()
    }

    fn put_keys(&mut self, keys: KeyDelivery) -> Result<bool, GrantError> {
        let (number, digest) = (keys.generation(), keys.digest());
        let oldest = self.keys.keys().next().copied();
        let room = self.keys.len() < MAX_GENERATIONS || self.keys.contains_key(&number);
        if !room && oldest.is_some_and(|oldest| number < oldest) {
            return Ok(false);
        }
        let generation = self.keys.entry(number).or_default();
        if let Some(held) = generation.get_mut(&digest) {
            keep_lesser(held, keys, KeyDelivery::statement);
            return Ok(false);
        }
        if generation.len() >= MAX_DELIVERIES {
            return Err(GrantError::Full {
                what: "delivery of a tenant's keys",
                max: MAX_DELIVERIES,
                within: "deliveries of one generation",
                remedy: "start a new generation, which delivers to all at once",
            });
        }
        generation.insert(digest, keys);
        if self.keys.len() > MAX_GENERATIONS {
            self.keys.pop_first();
        }
        Ok(true)
    }

    pub(crate) fn verdict(&self, site: &SiteId, right: Right, now: Millis) -> Verdict {
        if let Some(erasure) = &self.erasure {
            return Verdict::Erased { since: erasure.at() };
        }
        self.sites.get(site).map_or(Verdict::NeverGranted, |site| site.verdict(right, now))
    }

    /// The rights that `site` has at `now`.
    pub(crate) fn rights(&self, site: &SiteId, now: Millis) -> Rights {
        let site = self.sites.get(site).filter(|_| self.erasure.is_none());
        let Some(site) = site else { return Rights::NONE };
        let valid = site.grants.values().map(Grant::terms);
        let valid = valid.filter(|terms| terms.not_before <= now && now < terms.not_after);
        valid.fold(Rights::NONE, |rights, terms| rights | terms.rights)
    }

    pub(crate) fn sites(&self) -> impl Iterator<Item = &SiteId> {
        self.sites.keys()
    }

    pub(crate) fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.sites.values().flat_map(|site| site.grants.values())
    }

    pub(crate) fn revocations(&self) -> impl Iterator<Item = &GrantRevocation> {
        self.sites.values().filter_map(|site| site.revocation.as_ref())
    }

    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &KeyDelivery> {
        self.keys.values().flat_map(BTreeMap::values)
    }

    /// The greatest serial that anything names.
    pub(crate) fn last_serial(&self) -> Option<u64> {
        let grants = self.grants().map(|grant| grant.terms().serial);
        grants.chain(self.revocations().map(GrantRevocation::up_to)).max()
    }

    /// The latest generation of keys: number, beginning, and who got what.
    pub(crate) fn latest_keys(&self) -> Option<(u32, Millis, BTreeMap<RecipientId, What>)> {
        let (&number, deliveries) = self.keys.last_key_value()?;
        let from = deliveries.values().map(KeyDelivery::from).min()?;
        let mut got = BTreeMap::new();
        for (id, what) in deliveries.values().flat_map(KeyDelivery::recipients) {
            let held = got.entry(id).or_insert(what);
            *held = what.max(*held);
        }
        Some((number, from, got))
    }
}

impl SiteHolding {
    fn put_grant(&mut self, grant: Grant) -> bool {
        let serial = grant.terms().serial;
        if self.revocation.as_ref().is_some_and(|revocation| serial <= revocation.up_to()) {
            return false;
        }
        let key = (serial, grant.digest());
        if let Some(held) = self.grants.get_mut(&key) {
            keep_lesser(held, grant, Grant::statement);
            return false;
        }
        self.grants.insert(key, grant);
        if self.grants.len() > MAX_GRANTS_PER_SITE {
            self.grants.pop_first();
        }
        self.grants.contains_key(&key)
    }

    fn put_revocation(&mut self, new: GrantRevocation) -> bool {
        if let Some(held) = &mut self.revocation {
            let (held_up_to, held_at) = (held.up_to(), held.at());
            if (new.up_to(), new.at()) == (held_up_to, held_at) {
                keep_lesser(held, new, GrantRevocation::statement);
                return false;
            }
            let outranks =
                new.up_to() > held_up_to || (new.up_to() == held_up_to && new.at() < held_at);
            if !outranks {
                return false;
            }
        }
        self.grants.retain(|(serial, _), _| *serial > new.up_to());
        self.revocation = Some(new);
        true
    }

    fn verdict(&self, right: Right, now: Millis) -> Verdict {
        let with_right = || {
            let all = self.grants.values().map(Grant::terms);
            all.filter(move |terms| terms.rights.contains(right))
        };
        let mut until = now;
        // Each round reaches further or ends: at most as many as there are grants.
        while let Some(end) = with_right()
            .filter(|terms| terms.not_before <= until && until < terms.not_after)
            .map(|terms| terms.not_after)
            .max()
        {
            until = end;
        }
        if until > now {
            return Verdict::Granted { until };
        }
        if let Some(from) = with_right().map(|t| t.not_before).filter(|from| *from > now).min() {
            return Verdict::NotYet { from };
        }
        if let Some(since) = with_right().map(|terms| terms.not_after).max() {
            return Verdict::Expired { since };
        }
        let revoked = self.revocation.as_ref();
        revoked.map_or(Verdict::NeverGranted, |r| Verdict::Revoked { since: r.at() })
    }
}

/// Of two signatures over the same payload every node keeps the same one.
fn keep_lesser<T>(held: &mut T, new: T, statement: impl Fn(&T) -> &SignedStatement) {
    if statement(&new).rank() < statement(held).rank() {
        *held = new;
    }
}
