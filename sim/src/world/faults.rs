//! What befalls the world, and what is written in it.

use holm_mesh_proto::Event;
use holm_mesh_proto::wire::{Control, Hint};
use holm_model::DocId;
use rand::RngExt;

use super::{Due, WALL_MS, World, Written, key, site_id};
use crate::clocks::RawClock;
use crate::plan::{Act, Broken, Load};
use crate::store::{Hash, SimStore, Word};
use crate::watch::CLOSED_MARK;

impl World {
    pub(super) fn befall(&mut self, act: Act) {
        match act {
            Act::Split(groups) => self.ways.split(&groups),
            Act::CutRegion(site) => {
                let inside = |other| u8::from(self.globe.same_region(site, other));
                let groups: Vec<u8> = (0..self.sites.len()).map(inside).collect();
                self.ways.split(&groups);
            }
            Act::OneWay { from, to } => self.ways.one_way(&from, &to),
            Act::Heal => {
                self.ways.heal();
                self.watch.healed();
            }
            Act::Crash(site) => self.crash(site),
            Act::Restart(site) => self.restart(site),
            Act::Leave(site) => self.leave(site),
            Act::Join(site) => self.start(site),
            Act::Slow { site, extra_ms } => self.sites[site].slow_us = extra_ms * 1_000,
            Act::Clock { site, ahead_ms } => {
                self.sites[site].ahead_ms = ahead_ms;
                self.sites[site].set_us = self.now_us;
            }
            Act::Loss(permille) => self.ways.loss_permille = permille,
        }
    }

    fn crash(&mut self, site: usize) {
        if !self.sites[site].up {
            return;
        }
        self.sites[site].store.set_now(self.now_us);
        self.watch.unsynced_lost += self.sites[site].store.crash() as u64;
        self.vanish(site);
    }

    fn leave(&mut self, site: usize) {
        self.feed(site, Event::Leaving);
        let open: Vec<u64> = self.sites[site].active.values().copied().collect();
        open.into_iter().for_each(|id| self.close(id, site));
        self.vanish(site);
    }

    /// The process is gone; its ends of connections with it.
    fn vanish(&mut self, site: usize) {
        let open: Vec<u64> = self.sites[site].active.values().copied().collect();
        self.sites[site].up = false;
        self.sites[site].life += 1;
        self.sites[site].active.clear();
        for id in open {
            self.drop_side(id, site);
        }
    }

    fn restart(&mut self, site: usize) {
        if self.sites[site].up {
            return;
        }
        let wall = (WALL_MS + self.now_us / 1_000).saturating_add_signed(self.sites[site].ahead_ms);
        self.sites[site].node = self.make_node(site, wall);
        self.sites[site].clock = RawClock::draw(self.plan.drift_ppm, &mut self.chance.clocks);
        self.start(site);
    }

    /// A disk that loses everything, against all promises: to see whether the checkers notice.
    pub fn forget_disk(&mut self, site: usize) {
        let sync_us = self.plan.disk_ms * 1_000;
        self.sites[site].store = SimStore::new(site_id(site), self.grants.clone(), sync_us);
    }

    pub(super) fn preload(&mut self) {
        for number in 0..self.plan.preloaded {
            let word = Word::Open(number.to_be_bytes().to_vec());
            for site in &self.sites {
                let at_ms = WALL_MS - 1_000_000 + number;
                site.store.write(&self.tenant, doc("shared", number), at_ms, word.clone());
            }
        }
        for site in &self.sites {
            site.store.set_now(u64::MAX / 2);
            site.store.set_now(0);
        }
    }

    pub(super) fn plan_writes(&mut self) {
        let begin_us = self.plan.warmup_ms * 1_000;
        for node in 0..self.plan.sites {
            let at_us = match self.plan.load {
                Load::None => continue,
                Load::Once { window_ms } => {
                    self.chance.load.random_range(0..window_ms.max(1) * 1_000)
                }
                Load::Steady { every_ms, .. } => {
                    self.chance.load.random_range(0..every_ms.max(1) * 1_000)
                }
            };
            self.queue.push(begin_us + at_us, Due::Write { node });
        }
    }

    pub(super) fn write(&mut self, node: usize) {
        if !self.writing {
            return;
        }
        if let Load::Steady { every_ms, .. } = self.plan.load {
            let pause_us = self.chance.load.random_range(0..2 * every_ms.max(1) * 1_000);
            self.after(pause_us, Due::Write { node });
        }
        let site = &self.sites[node];
        if !site.up || site.byzantine {
            return;
        }
        site.store.set_now(self.now_us);
        let (number, withdrawals) = match self.plan.load {
            Load::None => return,
            Load::Once { .. } => (node as u64, 0),
            Load::Steady { documents, withdrawals, .. } => {
                (self.chance.load.random_range(0..documents.max(1)), withdrawals)
            }
        };
        let inside = self.closed.clone().filter(|t| self.grants.may(&site_id(node), t));
        let (tenant, doc) = match inside {
            Some(closed) if self.chance.load.random_range(0..2) == 0 => {
                (closed, closed_doc(number))
            }
            _ => (self.tenant.clone(), doc("shared", number)),
        };
        let site = &self.sites[node];
        let mut text = self.chance.load.random::<u128>().to_be_bytes().to_vec();
        if Some(&tenant) == self.closed.as_ref() {
            text.extend(CLOSED_MARK);
        }
        let withdraws = self.chance.load.random_range(0..100) < withdrawals;
        let present =
            |store: &SimStore| -> Vec<Hash> { store.presents(&tenant, doc).into_iter().collect() };
        let withdrew = withdraws.then(|| present(&site.store)).filter(|open| !open.is_empty());
        let withdrew = withdrew.map(|open| open[self.chance.load.random_range(0..open.len())]);
        let word = withdrew.map_or(Word::Open(text), Word::Withdraw);
        let at_ms = (WALL_MS + self.now_us / 1_000).saturating_add_signed(site.ahead_ms);
        let (hash, version, on_disk_us) = site.store.write(&tenant, doc, at_ms, word);
        let life = site.life;
        let written = Box::new(Written { tenant, doc, hash, withdrew, version });
        self.queue.push(on_disk_us.max(self.now_us), Due::Synced { node, life, written });
    }

    /// The disk has it: whoever wrote is told so, and so is the mesh.
    pub(super) fn acknowledge(&mut self, node: usize, written: Written) {
        let up = self.sites.iter().filter(|site| site.up).count();
        self.watch.published(&written.version, node, self.now_us, up);
        let version = written.version.clone();
        self.watch.acknowledged.push(written.into());
        self.break_isolation(node, &version);
        self.feed(node, Event::Published(version));
    }

    /// Only in a world that is broken so: outsiders learn what they must not.
    fn break_isolation(&mut self, node: usize, version: &holm_model::DocVersion) {
        if Some(&version.tenant) != self.closed.as_ref() {
            return;
        }
        for outsider in self.plan.outsiders.clone() {
            match self.plan.broken {
                Some(Broken::ToldHint) => {
                    let hint = Hint { version: version.clone(), origin: key(node) };
                    self.send(node, outsider, &Control::Gossip { hint, hops: 0 });
                }
                Some(Broken::StrayDocument) => {
                    let store = &self.sites[outsider].store;
                    store.write(&version.tenant, version.doc, WALL_MS, Word::Open(vec![1]));
                }
                _ => {}
            }
        }
    }
}

/// A document by name; two names never meet.
pub(crate) fn doc(area: &str, number: u64) -> DocId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(area.as_bytes());
    hasher.update(&number.to_be_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    DocId(id)
}

/// A document of the closed tenant, which bears the mark that must not reach outsiders.
fn closed_doc(number: u64) -> DocId {
    let mut id = doc("closed", number);
    id.0[..8].copy_from_slice(&CLOSED_MARK);
    id
}
