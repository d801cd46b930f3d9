//! What a document is called, and the id that follows from it.

use holm_model::{DocId, DocKind, SiteId, TenantId};

use crate::place::{Place, Shard};
use crate::shelf::Shelf;

/// Kind and key of a document within its tenant. Kinds that this version does not know are carried
/// like any other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocName {
    kind: Box<str>,
    key: Box<str>,
}

/// Longest kind or key, in bytes.
const MAX_PART_BYTES: usize = 255;

impl DocName {
    /// A site's topology document. The first of every site is epoch 0, shard 0; the halves of shard
    /// `n` are `2n + 1` and `2n + 2`.
    pub fn topology(site: &SiteId, epoch: u64, shard: u32) -> Self {
        let key = format!("{site}/{epoch}/{shard}").into();
        Self { kind: DocKind::Topology.as_str().into(), key }
    }

    /// A site's document of records, of a period counted from 1970; when one comes to its budget, the
    /// next part begins.
    pub fn records(shelf: Shelf, site: &SiteId, period: u64, part: u32) -> Self {
        let key = format!("{site}/{}{period}/{part}", shelf.mark()).into();
        Self { kind: shelf.kind().as_str().into(), key }
    }

    /// The roster.
    pub fn roster() -> Self {
        Self { kind: DocKind::Roster.as_str().into(), key: "".into() }
    }

    /// A name as it stands in a document's header; `None` if it is too long.
    pub(crate) fn from_header(kind: &str, key: &str) -> Option<Self> {
        let fits = kind.len() <= MAX_PART_BYTES && key.len() <= MAX_PART_BYTES;
        fits.then(|| Self { kind: kind.into(), key: key.into() })
    }

    /// The kind, known or not.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The key within the kind.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The site, if this is a topology document with a key of the right form.
    pub fn topology_site(&self) -> Option<SiteId> {
        self.topology_place().map(|(site, _)| site)
    }

    /// The site, epoch and shard, if this is a topology document with a key of the right form.
    pub(crate) fn topology_place(&self) -> Option<(SiteId, Place)> {
        if &*self.kind != DocKind::Topology.as_str() {
            return None;
        }
        let (site, rest) = self.key.split_once('/')?;
        let (epoch, shard) = rest.split_once('/')?;
        let (site, epoch, shard) =
            (SiteId::new(site).ok()?, epoch.parse().ok()?, shard.parse().ok()?);
        let right = Self::topology(&site, epoch, shard) == *self;
        right.then_some((site, Place { epoch, shard: Shard(shard) }))
    }

    /// The shelf, site, period and part, if this is a document of records with a key of the right form.
    pub(crate) fn records_place(&self) -> Option<(Shelf, SiteId, u64, u32)> {
        let mut of_kind =
            Shelf::ALL.into_iter().filter(|s| s.kind().as_str() == &*self.kind).peekable();
        of_kind.peek()?;
        let (site, rest) = self.key.split_once('/')?;
        let (place, part) = rest.split_once('/')?;
        let (site, part) = (SiteId::new(site).ok()?, part.parse().ok()?);
        of_kind.find_map(|shelf| {
            let period = place.strip_prefix(shelf.mark())?.parse().ok()?;
            let right = Self::records(shelf, &site, period, part) == *self;
            right.then(|| (shelf, site.clone(), period, part))
        })
    }

    /// Whether documents of this kind are made of records.
    pub(crate) fn is_of_records(&self) -> bool {
        Shelf::ALL.into_iter().any(|shelf| shelf.kind().as_str() == &*self.kind)
    }

    /// The name of the document of `site` at `place`.
    pub(crate) fn at(site: &SiteId, place: Place) -> Self {
        Self::topology(site, place.epoch, place.shard.0)
    }

    /// The document's id within `tenant`: the first 16 bytes of BLAKE3 over tenant, kind and key,
    /// each preceded by its length, under a key of its own.
    pub fn id(&self, tenant: &TenantId) -> DocId {
        let mut hasher = blake3::Hasher::new_derive_key("holm document id v1");
        for part in [tenant.as_str(), &self.kind, &self.key] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        DocId(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_name_counts() {
        let tenant = |t: &str| TenantId::new(t).expect("valid");
        let site = |s: &str| SiteId::new(s).expect("valid");
        let base = DocName::topology(&site("berlin"), 0, 0);
        let mut ids = vec![base.id(&tenant("acme")), base.id(&tenant("acm"))];
        ids.push(DocName::topology(&site("tokyo"), 0, 0).id(&tenant("acme")));
        ids.push(DocName::topology(&site("berlin"), 1, 0).id(&tenant("acme")));
        ids.push(DocName::topology(&site("berlin"), 0, 1).id(&tenant("acme")));
        ids.push(DocName::roster().id(&tenant("acme")));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 6);
        assert_eq!(base.topology_site(), Some(site("berlin")));
        assert_eq!(DocName::roster().topology_site(), None);
        let week = DocName::records(Shelf::Incidents, &site("berlin"), 2_900, 3);
        assert_eq!(week.key(), "berlin/2900/3");
        assert_eq!((week.topology_site(), base.records_place()), (None, None));
        for shelf in Shelf::ALL {
            let name = DocName::records(shelf, &site("berlin"), 29, 3);
            assert_eq!(name.records_place(), Some((shelf, site("berlin"), 29, 3)));
        }
        let odd_week = DocName::from_header("incident", "berlin/02/0").expect("short");
        assert_eq!(odd_week.records_place(), None, "one name, one spelling");
        let odd = |key: &str| DocName::from_header("topology", key).expect("short").topology_site();
        assert_eq!(odd("berlin/00/0"), None, "one name, one spelling");
        assert_eq!(odd("Berlin/0/0"), None);
        assert_eq!(odd("berlin/0"), None);
    }
}
