//! Messages of connected peers, and what a version that is news leads to.

use std::collections::{BTreeMap, BTreeSet};

use holm_model::{DocId, DocVersion, HeadsDigest, TenantId};

use super::links::Link;
use super::{Action, MeshNode};
use crate::wire::{Control, Hint};
use crate::{Counters, DocumentStore, Now, PeerKey, Scope};

/// Documents whose latest digest is remembered; a miss costs one needless exchange.
pub(super) const MAX_KNOWN: usize = 65_536;

/// The digest that this node holds, per document, as far as remembered.
#[derive(Debug, Default)]
pub(super) struct KnownVersions {
    of: BTreeMap<TenantId, BTreeMap<DocId, HeadsDigest>>,
    len: usize,
}

impl KnownVersions {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    fn holds(&self, version: &DocVersion) -> bool {
        let documents = self.of.get(&version.tenant);
        documents.and_then(|documents| documents.get(&version.doc)) == Some(&version.heads)
    }

    fn note(&mut self, version: &DocVersion, counters: &mut Counters) {
        if self.len >= MAX_KNOWN && self.forget_first() {
            counters.count("known_versions_forgotten");
        }
        let documents = match self.of.get_mut(&version.tenant) {
            Some(documents) => documents,
            None => self.of.entry(version.tenant.clone()).or_default(),
        };
        self.len += usize::from(documents.insert(version.doc, version.heads).is_none());
    }

    fn forget_first(&mut self) -> bool {
        let Some(mut tenant) = self.of.first_entry() else { return false };
        let is_gone = tenant.get_mut().pop_first().is_some();
        if tenant.get().is_empty() {
            tenant.remove();
        }
        self.len -= usize::from(is_gone);
        is_gone
    }
}

/// Whether a connected peer may learn of a tenant.
pub(super) fn gate<'a>(
    links: &'a BTreeMap<PeerKey, Link>,
    store: &'a dyn DocumentStore,
) -> impl Fn(PeerKey, &TenantId) -> bool + 'a {
    |peer, tenant| {
        links.get(&peer).is_some_and(|link| store.may_replicate(&link.hello.site, tenant))
    }
}

impl MeshNode {
    pub(super) fn received(
        &mut self,
        peer: PeerKey,
        message: Control,
        now: Now,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        if !self.heard(peer, now) {
            self.counters.count("messages_without_link");
            return;
        }
        if !self.links.get_mut(&peer).is_some_and(|link| link.quota.takes(1, now.mono_ms)) {
            self.counters.count("messages_over_quota");
            return;
        }
        match message {
            Control::Gossip { hint, hops } => {
                if self.may_come_open(peer, &hint.version.tenant, store) {
                    self.gossip(peer, hint, hops, now, store, out);
                }
            }
            Control::SealedGossip { sealed, hops } => {
                let Some((tenant, body)) = self.opened(&sealed, now, store) else { return };
                let Some(origin) = body.origin else {
                    self.counters.count("hints_malformed");
                    return;
                };
                let hint = Hint { version: body.version(tenant), origin };
                self.gossip(peer, hint, hops, now, store, out);
            }
            Control::SealedStored(sealed) => {
                let Some((tenant, body)) = self.opened(&sealed, now, store) else { return };
                if body.origin.is_some() {
                    self.counters.count("hints_malformed");
                    return;
                }
                self.stored(peer, &body.version(tenant), store, out);
            }
            Control::Chains(chains) => self.chains_came(chains, now),
            Control::ChainsWanted(ids) => self.chains_wanted(peer, &ids, out),
            Control::Graft(ids) => {
                let sends = self.broadcast.graft(peer, &ids, gate(&self.links, store));
                self.send_hints(sends, store, out);
            }
            Control::Have(ids) => {
                let sends = self.broadcast.have(peer, &ids, now.mono_ms, &mut self.counters);
                self.send_hints(sends, store, out);
            }
            Control::Leases(claims) => self.leases_came(peer, claims, now, store, out),
            Control::Ping { sequence, clock, .. } => {
                // It is answered in the moment in which it is taken up.
                let clocks = now.clock.map(|clock| (clock, clock));
                let position = Some(self.overlay.position());
                let message = Control::Pong { sequence, sent_at: now.wall, clocks, position };
                out.push(Action::Send { peer, message });
                self.pinged(peer, clock, now);
            }
            Control::Pong { sequence, sent_at, clocks, position } => {
                self.pong(peer, (sequence, sent_at, clocks), position, now);
            }
            Control::Prune => self.broadcast.prune(peer),
            Control::Stored(version) => {
                if self.may_come_open(peer, &version.tenant, store) {
                    self.stored(peer, &version, store, out);
                }
            }
            // Certificates are the driver's: it knows the chain and the clock to judge them by.
            Control::SvidRefresh(_) => self.counters.count("messages_misplaced"),
            Control::Swim(bytes) => {
                let outcome = self.membership.received(peer, &bytes, now.mono_ms);
                self.carry_out(outcome, now, out);
            }
        }
    }

    pub(super) fn published(
        &mut self,
        version: DocVersion,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        self.known.note(&version, &mut self.counters);
        self.counters.count("hints_published");
        let hint = Hint { version, origin: self.membership.me().peer };
        let sends = self.broadcast.publish(hint, gate(&self.links, store), &mut self.counters);
        self.send_hints(sends, store, out);
    }

    /// A reconciliation brought news: those behind us in the tree may now fetch it here.
    pub(super) fn learned(
        &mut self,
        version: DocVersion,
        from: PeerKey,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        self.known.note(&version, &mut self.counters);
        self.fetches.came(&version);
        let waiting = self.broadcast.waiting_for(&Hint::id_of(&version));
        self.tell_stored(&version, waiting.into_iter().filter(|peer| *peer != from), store, out);
    }

    /// Tells peers that a version can be had here.
    fn tell_stored(
        &mut self,
        version: &DocVersion,
        peers: impl Iterator<Item = PeerKey>,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        let sends = {
            let allowed = gate(&self.links, store);
            let told = peers.filter(|peer| allowed(*peer, &version.tenant));
            told.map(|peer| (peer, Control::Stored(version.clone()))).collect()
        };
        self.send_hints(sends, store, out);
    }

    /// The peer says that it holds a version.
    fn stored(
        &mut self,
        peer: PeerKey,
        version: &DocVersion,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        if !self.may_hear(peer, &version.tenant, store) {
            return;
        }
        self.broadcast.stored_at(&Hint::id_of(version), peer);
        if !self.known.holds(version) {
            self.fetch(peer, version, out);
        }
    }

    fn gossip(
        &mut self,
        from: PeerKey,
        hint: Hint,
        hops: u32,
        now: Now,
        store: &dyn DocumentStore,
        out: &mut Vec<Action>,
    ) {
        if !self.may_hear(from, &hint.version.tenant, store) {
            return;
        }
        self.counters.count("hints_received");
        let gate = gate(&self.links, store);
        let (overlay, me) = (&self.overlay, self.membership.me().peer);
        let speaks = overlay.speaks_for(hint.origin, me, &hint.id());
        let beyond = |peer| speaks && !overlay.is_near(peer);
        let (fresh, sends) = self.broadcast.gossip(
            from,
            (hint, hops),
            now.mono_ms,
            beyond,
            gate,
            &mut self.counters,
        );
        self.send_hints(sends, store, out);
        let Some(hint) = fresh else { return };
        if self.known.holds(&hint.version) {
            // It came another way, before word of it: those who are told of it here find it here.
            let waiting = self.broadcast.waiting_for(&Hint::id_of(&hint.version));
            self.tell_stored(&hint.version, waiting.into_iter(), store, out);
        } else if self.links.contains_key(&hint.origin) {
            self.fetch(hint.origin, &hint.version, out);
        }
        // Else whoever passed the hint on says "stored" as soon as it has the version, which it mostly has not yet.
    }

    fn fetch(&mut self, peer: PeerKey, version: &DocVersion, out: &mut Vec<Action>) {
        if !self.fetches.begin(peer, version, self.mono_ms()) {
            self.counters.count("fetches_spared");
            return;
        }
        let scope = Scope::Documents(BTreeSet::from([version.doc]));
        self.schedule.request(peer, version.tenant.clone(), scope, &mut self.counters);
        self.start_syncs(out);
    }

    /// Nothing more comes from `peer`, of one tenant or of any: what it was asked for is asked for elsewhere.
    pub(super) fn fetch_elsewhere(&mut self, peer: PeerKey, tenant: Option<&TenantId>) {
        let mono_ms = self.mono_ms();
        let Self { fetches, schedule, links, .. } = self;
        let waits = |tenant: &TenantId, doc: &DocId| schedule.waits(peer, tenant, doc);
        let next = fetches.ended(peer, tenant, waits, |p| links.contains_key(&p), mono_ms);
        self.fetch_all(next);
    }

    /// What a peer did not give soon is asked for elsewhere too.
    pub(super) fn fetch_overdue(&mut self, mono_ms: u64) {
        let Self { fetches, links, .. } = self;
        let next = fetches.overdue(|peer| links.contains_key(&peer), mono_ms);
        self.counters.add("fetches_overdue", next.len() as u64);
        self.fetch_all(next);
    }

    fn fetch_all(&mut self, all: Vec<(PeerKey, TenantId, DocId)>) {
        for (peer, tenant, doc) in all {
            let scope = Scope::Documents(BTreeSet::from([doc]));
            self.schedule.request(peer, tenant, scope, &mut self.counters);
        }
    }

    fn mono_ms(&self) -> u64 {
        self.latest.map_or(0, |now| now.mono_ms)
    }

    pub(super) fn may_hear(
        &mut self,
        peer: PeerKey,
        tenant: &TenantId,
        store: &dyn DocumentStore,
    ) -> bool {
        let allowed = gate(&self.links, store)(peer, tenant) && store.tenants().contains(tenant);
        if !allowed {
            self.counters.count("messages_not_permitted");
        }
        allowed
    }
}
