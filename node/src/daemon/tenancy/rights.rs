//! What a site may do here: the questions that whoever answers another site asks first.

use holm_certs::{Right, TenantTag};
use holm_model::{Millis, SiteId, TenantId};

use super::Tenancy;

/// The answer to a call that is not permitted, whatever the reason: who asks learns not even whether the
/// tenant is here.
pub(crate) const NOT_ANSWERED: &str = "not answered between these sites";

impl Tenancy {
    /// Whether a site may hold the tenant of that label, and this one may hand it on: hints, document
    /// ids and every byte of a reconciliation.
    pub(crate) fn may_replicate(&self, site: &SiteId, label: &TenantId, now: Millis) -> bool {
        let Ok(tag) = label.as_str().parse::<TenantTag>() else { return false };
        let held = self.held();
        let may = |site| held.book.may(site, tag, Right::Replicate, now).is_granted();
        held.file.names.name_of(tag).is_some() && may(site) && may(&self.site)
    }

    /// Whether `site` may ask this node about the tenant of that label; what it is called here. Every
    /// call about a tenant goes through this, and answers an error as it is.
    ///
    /// # Errors
    /// [`NOT_ANSWERED`]: the site may not query it, this site may not hold it, or it is not known here.
    pub(crate) fn may_query(
        &self,
        site: &SiteId,
        label: &TenantId,
        now: Millis,
    ) -> Result<TenantId, &'static str> {
        let tag: TenantTag = label.as_str().parse().map_err(|_| NOT_ANSWERED)?;
        let held = self.held();
        let may = |site, right| held.book.may(site, tag, right, now).is_granted();
        let name = held.file.names.name_of(tag);
        let answered = may(site, Right::Query) && may(&self.site, Right::Replicate);
        name.filter(|_| answered).cloned().ok_or(NOT_ANSWERED)
    }

    /// Whether `site` may ask this node about the mesh itself: who shares a tenant with this site may, by
    /// whichever right.
    ///
    /// # Errors
    /// [`NOT_ANSWERED`].
    pub(crate) fn may_ask(&self, site: &SiteId, now: Millis) -> Result<(), &'static str> {
        let theirs = self.held().book.tenants_of(site, now);
        let mut labels = theirs.into_iter().filter_map(|(tag, _)| super::label_of(tag));
        let shares = |label: TenantId| {
            self.may_query(site, &label, now).is_ok() || self.may_replicate(site, &label, now)
        };
        labels.any(shares).then_some(()).ok_or(NOT_ANSWERED)
    }
}
