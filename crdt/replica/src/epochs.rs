//! Which records count when a site's topology lies in several documents.
//!
//! A node's record of an element counts in the latest document that has one; earlier ones of the same
//! node are what it said before. A document into which a node carried all it had (its `h/base/`)
//! ends, for that node and shard, what came before: a record that is only in an earlier document was
//! forgotten on purpose. So an old document, whoever brings it back, neither opens what was closed nor
//! counts anything twice. A document that ended for all who wrote into it is superseded: nobody needs
//! it. Rules and reasons: `docs/formats/topology-document.md`.

use std::collections::{BTreeMap, BTreeSet};

use holm_graph::SiteElement;
use holm_model::{Attributes, DocId, ElementId, IntervalSet, Millis, NodeName, PastValues, SiteId};

use crate::document::Document;
use crate::element::ElementRecord;
use crate::place::{Place, Shard, shard_hash};
use crate::replica::Inner;

/// The topology documents that are held, by site, the earliest first.
pub(crate) type Places = BTreeMap<SiteId, BTreeMap<Place, DocId>>;

impl Inner {
    /// The documents of `site` that are understood, the latest first.
    pub(crate) fn of_site(
        &self,
        site: &SiteId,
    ) -> impl DoubleEndedIterator<Item = (Place, DocId, &Document)> {
        self.of_site_where(site, |_| true)
    }

    /// As [`Inner::of_site`], at places that are wanted only.
    fn of_site_where(
        &self,
        site: &SiteId,
        wanted: impl Fn(Place) -> bool,
    ) -> impl DoubleEndedIterator<Item = (Place, DocId, &Document)> {
        let places = self.places.get(site).into_iter().flatten().rev();
        places
            .filter(move |(place, _)| wanted(**place))
            .filter_map(|(place, doc)| Some((*place, *doc, self.documents.get(doc)?)))
            .filter(|(_, _, document)| document.readable())
    }

    /// The documents of `site` to which `id` belongs, the latest first.
    pub(crate) fn covering(
        &self,
        site: &SiteId,
        id: &ElementId,
    ) -> impl Iterator<Item = (Place, DocId, &Document)> {
        let hash = shard_hash(id);
        self.of_site_where(site, move |place| place.shard.covers(hash))
    }

    /// What `node` of `site` says about `id`.
    pub(crate) fn record_of(
        &self,
        site: &SiteId,
        node: &NodeName,
        id: &ElementId,
    ) -> Option<ElementRecord> {
        let mut documents = self.covering(site, id).map(|(_, _, document)| document);
        let last = documents.find(|d| d.is_base_of(node) || d.has_record(node, id))?;
        last.writers().contains(node).then(|| last.record(node, id))?
    }

    /// What all nodes of `site` say about `id`; nothing is an element without intervals.
    pub(crate) fn site_element(&self, site: &SiteId, id: &ElementId) -> SiteElement {
        let covering: Vec<&Document> = self.covering(site, id).map(|(_, _, d)| d).collect();
        let nodes: BTreeSet<&NodeName> = covering.iter().flat_map(|d| d.writers()).collect();
        let said = nodes.into_iter().filter_map(|node| {
            let last = covering.iter().find(|d| d.is_base_of(node) || d.has_record(node, id))?;
            last.record(node, id)
        });
        said.reduce(joined).map_or_else(
            || SiteElement {
                id: id.clone(),
                intervals: IntervalSet::new(),
                attributes: Attributes::new(),
                attributes_at: Millis(0),
                past: PastValues::default(),
            },
            |record| record.into_element(id.clone()),
        )
    }

    /// All that every site says, by site and element. Notes on the way what cannot be read.
    pub(crate) fn all_records(&mut self) -> BTreeMap<SiteId, BTreeMap<ElementId, ElementRecord>> {
        let mut sites: BTreeMap<SiteId, BTreeMap<ElementId, ElementRecord>> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for site in self.places.keys() {
            let of_site = sites.entry(site.clone()).or_default();
            for (place, doc, document) in self.of_site(site) {
                let (records, bad) = document.records();
                unreadable.push((doc, bad));
                let later = self.later(site, place);
                for (id, records) in records {
                    let counts = |node: &NodeName| !ended(&later, node, &id);
                    let records = records.into_iter().filter(|(node, _)| counts(node));
                    let said = records.map(|(_, record)| record).chain(of_site.remove(&id));
                    if let Some(record) = said.reduce(joined) {
                        of_site.insert(id, record);
                    }
                }
            }
        }
        for (doc, bad) in unreadable {
            if let Some(document) = self.documents.get_mut(&doc) {
                document.unreadable = bad;
            }
        }
        sites
    }

    /// The documents of `site` that are later than `place` and overlap with it.
    pub(crate) fn later(&self, site: &SiteId, place: Place) -> Vec<(Place, &Document)> {
        self.of_site_where(site, |p| p > place && p.shard.overlaps(place.shard))
            .map(|(p, _, document)| (p, document))
            .collect()
    }

    /// The documents of `site` that are earlier than `place` and overlap with it.
    pub(crate) fn earlier(
        &self,
        site: &SiteId,
        place: Place,
    ) -> impl Iterator<Item = (Place, DocId, &Document)> {
        self.of_site_where(site, move |p| p < place && p.shard.overlaps(place.shard))
    }

    /// The records of `node` that count in documents earlier than `place`, of elements that belong
    /// there, as if nothing later were held; with the time of their document's last change.
    pub(crate) fn records_before(
        &self,
        site: &SiteId,
        place: Place,
        node: &NodeName,
    ) -> BTreeMap<ElementId, (Millis, ElementRecord)> {
        let mut found = BTreeMap::new();
        let mut later: Vec<(Place, &Document)> = Vec::new();
        for (at, _, document) in self.earlier(site, place) {
            if document.writers().contains(node) {
                for id in document.elements_of(node) {
                    if !place.shard.covers(shard_hash(&id)) || ended(&later, node, &id) {
                        continue;
                    }
                    if let Some(record) = document.record(node, &id) {
                        found.insert(id, (document.changed_at, record));
                    }
                }
                later.push((at, document));
            }
        }
        found
    }

    /// Whether a document at `place` with these writers is superseded by what is held and by `next`,
    /// which is about to be.
    pub(crate) fn is_superseded(
        &self,
        site: &SiteId,
        place: Place,
        writers: &BTreeSet<NodeName>,
        next: &[(Place, &Document)],
    ) -> bool {
        !writers.is_empty() && writers.iter().all(|node| self.has_left(site, place, node, next))
    }

    /// Whether `node` carried all it had of a document at `place` over to what is held and to `next`.
    pub(crate) fn has_left(
        &self,
        site: &SiteId,
        place: Place,
        node: &NodeName,
        next: &[(Place, &Document)],
    ) -> bool {
        place.is_left(&self.bases_of(site, node, next))
    }

    /// Where `node` carried all it had to, of what is held and `next`.
    fn bases_of(&self, site: &SiteId, node: &NodeName, next: &[(Place, &Document)]) -> Vec<Place> {
        let held = self.of_site(site).map(|(p, _, d)| (p, d));
        let next = next.iter().copied().filter(|(_, d)| d.readable());
        let bases = held.chain(next).filter(|(_, document)| document.is_base_of(node));
        bases.map(|(p, _)| p).collect()
    }

    /// The held documents of `site` that are superseded once `next` is held too: those that a writer of
    /// theirs left for it.
    pub(crate) fn superseded_by(&self, site: &SiteId, next: &[(Place, &Document)]) -> Vec<DocId> {
        let mut bases: BTreeMap<&NodeName, Vec<Place>> = BTreeMap::new();
        let mut known: BTreeMap<(&NodeName, Shard, usize), bool> = BTreeMap::new();
        let mut superseded = Vec::new();
        let earlier = |place| next.iter().any(|(p, d)| *p > place && !d.bases().is_empty());
        for (place, doc, document) in self.of_site_where(site, earlier) {
            let writers = document.writers();
            let moved = next.iter().any(|(p, d)| {
                let overlaps = *p > place && p.shard.overlaps(place.shard);
                overlaps && writers.iter().any(|node| d.is_base_of(node))
            });
            let mut left = writers.iter().map(|node| {
                let bases = bases.entry(node).or_insert_with(|| self.bases_of(site, node, next));
                // Of one node and shard, so many later bases are always the same ones.
                let later = bases.iter().filter(|base| **base > place).count();
                let known = known.entry((node, place.shard, later));
                *known.or_insert_with(|| place.is_left(bases))
            });
            if moved && left.all(|left| left) {
                superseded.push(doc);
            }
        }
        superseded
    }

    /// Whether a document at `place`, last changed then, is beyond its site's retention: later
    /// documents have its whole shard, and those who wrote into it did not carry over what they had.
    pub(crate) fn is_beyond(
        &self,
        site: &SiteId,
        place: Place,
        changed_at: Millis,
        now: Millis,
    ) -> bool {
        if changed_at >= self.horizon(now) {
            return false;
        }
        let later = self.of_site(site).take_while(|(p, _, _)| *p > place);
        let parts: Vec<Shard> = later.map(|(p, _, _)| p.shard).collect();
        place.shard.is_covered_by(&parts)
    }
}

/// Whether one of `later` ends what an earlier document has of `node` about `id`.
fn ended(later: &[(Place, &Document)], node: &NodeName, id: &ElementId) -> bool {
    if later.is_empty() {
        return false;
    }
    let hash = shard_hash(id);
    later
        .iter()
        .filter(|(place, _)| place.shard.covers(hash))
        .any(|(_, document)| document.is_base_of(node) || document.has_record(node, id))
}

/// What two nodes say together.
pub(crate) fn joined(mut a: ElementRecord, b: ElementRecord) -> ElementRecord {
    a.join(b);
    a
}
