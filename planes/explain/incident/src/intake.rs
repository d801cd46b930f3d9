//! Signals of this node's planes, folded into reports: what is said again costs nothing.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use holm_model::{
    MAX_SIGNAL_ATTRIBUTES, MAX_SIGNAL_TEXT_BYTES, Millis, NodeId, SIGNAL_KEY, Signal,
};

use crate::{Place, Report, Resolved, Spell, WINDOW_MS};

/// Bounds of an intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Most reports that are followed at once; signals about more are refused and counted.
    pub reports: usize,
    /// How far ahead of the node's clock a signal may be, in milliseconds; later ones count as now.
    pub skew_ms: u64,
    /// After this many spells a report is written at most once in `calm_ms`.
    pub calm_after: usize,
    /// In milliseconds.
    pub calm_ms: u64,
    /// How long after a start a plane has to say again what it said before, in milliseconds.
    pub grace_ms: u64,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            reports: 20_000,
            skew_ms: 5 * 60 * 1_000,
            calm_after: 4,
            calm_ms: 60 * 1_000,
            grace_ms: 5 * 60 * 1_000,
        }
    }
}

/// What became of signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IntakeCounters {
    /// All that came.
    pub signals: u64,
    /// They said what was known.
    pub repeated: u64,
    /// They opened a report.
    pub opened: u64,
    /// They came after what they speak of was over, or ended what was not raised.
    pub late: u64,
    /// They were ahead of the clock.
    pub ahead: u64,
    /// There was no room for another report.
    pub refused: u64,
    /// Their words were none.
    pub malformed: u64,
    /// Reports of the run before that nobody said again.
    pub lapsed: u64,
}

/// How often what ended is let go of, in milliseconds.
const FORGET_EVERY_MS: u64 = 60 * 1_000;

/// What two signals about the same thing have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
struct About {
    plane: Box<str>,
    kind: Box<str>,
    target: NodeId,
    prefix: Option<NodeId>,
    detail: Option<Box<str>>,
}

/// The same, borrowed.
#[derive(Clone, Copy, PartialEq, Hash)]
struct AboutRef<'a> {
    plane: &'a str,
    kind: &'a str,
    target: &'a NodeId,
    prefix: Option<&'a NodeId>,
    detail: Option<&'a str>,
}

impl<'a> AboutRef<'a> {
    fn of(signal: &'a Signal) -> Self {
        Self {
            plane: &signal.plane,
            kind: &signal.kind,
            target: &signal.target,
            prefix: signal.prefix.as_ref(),
            detail: signal.attributes.get(SIGNAL_KEY).map(|key| &**key),
        }
    }

    fn of_report(report: &'a Report) -> Self {
        Self {
            plane: &report.plane,
            kind: &report.kind,
            target: &report.target,
            prefix: report.prefix.as_ref(),
            detail: report.attributes.get(SIGNAL_KEY).map(|key| &**key),
        }
    }

    fn owned(self) -> About {
        About {
            plane: self.plane.into(),
            kind: self.kind.into(),
            target: self.target.clone(),
            prefix: self.prefix.cloned(),
            detail: self.detail.map(Into::into),
        }
    }
}

impl About {
    fn by_ref(&self) -> AboutRef<'_> {
        AboutRef {
            plane: &self.plane,
            kind: &self.kind,
            target: &self.target,
            prefix: self.prefix.as_ref(),
            detail: self.detail.as_deref(),
        }
    }
}

impl Hash for About {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_ref().hash(state);
    }
}

impl Equivalent<About> for AboutRef<'_> {
    fn equivalent(&self, known: &About) -> bool {
        *self == known.by_ref()
    }
}

#[derive(Debug)]
struct Followed {
    key: Arc<str>,
    report: Report,
    /// It is to be written.
    changed: bool,
    written: Millis,
    /// Its plane said it in this run.
    confirmed: bool,
}

/// The reports that this node follows: those that last, and those that ended a short while ago.
#[derive(Debug)]
pub struct Intake {
    place: Place,
    limits: IntakeLimits,
    /// By what it is about: its place in `slots`.
    known: HashMap<About, u32>,
    slots: Vec<Option<Followed>>,
    free: Vec<u32>,
    /// Those that changed, each once.
    changed: Vec<u32>,
    forgot_at: Millis,
    /// Ended long ago, and not written yet.
    ended: Vec<(Arc<str>, Report)>,
    counters: IntakeCounters,
    lapse_at: Option<Millis>,
}

impl Intake {
    /// An intake that follows nothing.
    pub fn new(place: Place, limits: IntakeLimits) -> Self {
        Self {
            place,
            limits,
            known: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            changed: Vec::new(),
            forgot_at: Millis(0),
            ended: Vec::new(),
            counters: IntakeCounters::default(),
            lapse_at: None,
        }
    }

    /// Goes on with what this node had reported before it started at `now`.
    pub fn restore<'a>(
        &mut self,
        reports: impl IntoIterator<Item = (&'a str, &'a Report)>,
        now: Millis,
    ) {
        for (key, report) in reports {
            if report.end() + WINDOW_MS < now {
                continue;
            }
            let about = AboutRef::of_report(report).owned();
            let followed = Followed {
                key: key.into(),
                report: report.clone(),
                changed: false,
                written: now,
                confirmed: false,
            };
            // Of several the latest: the others are over.
            let before = self.slot_of(AboutRef::of_report(report));
            match before.and_then(|slot| self.slots[slot as usize].as_mut()) {
                Some(known) if known.report.since() >= report.since() => {}
                Some(known) => *known = followed,
                None => {
                    self.follow(about, followed);
                }
            }
        }
        self.begin_grace(now);
    }

    /// From `now` on planes have a while to say again what they said before the start; nothing if that is over.
    pub fn begin_grace(&mut self, now: Millis) {
        if self.slots.iter().flatten().any(|followed| !followed.confirmed) {
            self.lapse_at = Some(now + self.limits.grace_ms);
        }
    }

    /// Takes a signal. What the topology says of its target is only asked for when it opens a report.
    /// Whether there is something to write.
    pub fn take(
        &mut self,
        signal: Signal,
        now: Millis,
        resolve: impl FnOnce(&NodeId) -> Resolved,
    ) -> bool {
        self.counters.signals += 1;
        let key = signal.attributes.get(SIGNAL_KEY);
        if signal.attributes.len() > MAX_SIGNAL_ATTRIBUTES
            || key.is_some_and(|key| key.len() > MAX_SIGNAL_TEXT_BYTES)
        {
            // Cut, it could be taken for another.
            self.counters.malformed += 1;
            return false;
        }
        let mut at = signal.at;
        if at > now + self.limits.skew_ms {
            self.counters.ahead += 1;
            at = now;
        }
        let mut slot = self.slot_of(AboutRef::of(&signal));
        let known = slot.and_then(|slot| self.slots[slot as usize].as_ref());
        // Its end was written by a clock that was ahead and has been set right since: it is over, too.
        let ended_ahead =
            |known: &Followed| at <= now && known.report.last().to.is_some_and(|to| to > now);
        let over = |known: &Followed| known.report.end() + WINDOW_MS < at || ended_ahead(known);
        if signal.raised && known.is_some_and(over) {
            // Another begins.
            self.retire(&signal);
            slot = None;
        }
        let known = slot.and_then(|slot| Some((slot, self.slots[slot as usize].as_mut()?)));
        let Some((slot, followed)) = known else {
            if !signal.raised {
                self.counters.late += 1;
                return false;
            }
            return self.open(signal, at, now, resolve);
        };
        let was_changed = followed.changed;
        let report = &mut followed.report;
        let last = report.last();
        let news = match (signal.raised, last.to) {
            (true, None) if last.from <= at => {
                followed.confirmed = true;
                let graver = signal.severity > report.severity;
                self.counters.repeated += u64::from(!graver);
                if graver {
                    report.severity = signal.severity;
                    report.text = signal.text;
                    report.attributes = signal.attributes;
                    followed.changed = true;
                }
                graver
            }
            (true, Some(to)) if to <= at => {
                report.spells.push(Spell { from: at, to: None });
                report.trim();
                report.raised += 1;
                report.severity = report.severity.max(signal.severity);
                report.text = signal.text;
                report.attributes = signal.attributes;
                report.lapsed = false;
                (followed.changed, followed.confirmed) = (true, true);
                true
            }
            // What was raised by a clock that was ahead, and has been set right, ends too.
            (false, None) if last.from <= at || last.from > now => {
                if let Some(last) = report.spells.last_mut() {
                    last.to = Some(at.max(last.from));
                }
                followed.changed = true;
                true
            }
            _ => {
                self.counters.late += 1;
                false
            }
        };
        if followed.changed && !was_changed {
            self.changed.push(slot);
        }
        news
    }

    fn slot_of(&self, about: AboutRef<'_>) -> Option<u32> {
        self.known.get(&about).copied()
    }

    fn follow(&mut self, about: About, followed: Followed) {
        let changed = followed.changed;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // Bounded by the limit of reports.
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(followed);
        self.known.insert(about, slot);
        if changed {
            self.changed.push(slot);
        }
    }

    fn open(
        &mut self,
        signal: Signal,
        at: Millis,
        now: Millis,
        resolve: impl FnOnce(&NodeId) -> Resolved,
    ) -> bool {
        let Some(signal) = signal.bounded() else {
            self.counters.malformed += 1;
            return false;
        };
        if self.known.len() >= self.limits.reports {
            self.forget_ended(now);
        }
        if self.known.len() >= self.limits.reports {
            self.counters.refused += 1;
            return false;
        }
        self.counters.opened += 1;
        let resolved = resolve(&signal.target);
        let (anchors, near) = resolved.anchors(&signal.target, signal.prefix.as_ref(), &self.place);
        let about = AboutRef::of(&signal).owned();
        let report = Report {
            plane: signal.plane,
            kind: signal.kind,
            severity: signal.severity,
            text: signal.text,
            target: signal.target,
            prefix: signal.prefix,
            anchors,
            near,
            attributes: signal.attributes,
            spells: vec![Spell { from: at, to: None }],
            raised: 1,
            lapsed: false,
        };
        let key = key_of(&about, at);
        let followed = Followed { key, report, changed: true, written: Millis(0), confirmed: true };
        self.follow(about, followed);
        true
    }

    /// Puts the report that a signal speaks of aside.
    fn retire(&mut self, signal: &Signal) {
        let Some(slot) = self.known.remove(&AboutRef::of(signal)) else { return };
        self.free.push(slot);
        if let Some(followed) = self.slots[slot as usize].take()
            && followed.changed
        {
            self.changed.retain(|changed| *changed != slot);
            self.ended.push((followed.key, followed.report));
        }
    }

    /// Lets go of what ended so long ago that what is raised anew is another report.
    fn forget_ended(&mut self, now: Millis) {
        self.forgot_at = now;
        let Self { known, slots, free, .. } = self;
        known.retain(|_, slot| {
            let place = &mut slots[*slot as usize];
            let keep = |f: &Followed| f.changed || now <= f.report.end() + WINDOW_MS;
            if place.as_ref().is_some_and(keep) {
                return true;
            }
            *place = None;
            free.push(*slot);
            false
        });
    }

    /// The reports that changed and may be written now, by key. They count as written: give back those
    /// that could not be ([`Intake::give_back`]).
    pub fn drain(&mut self, now: Millis) -> Vec<(Arc<str>, Report)> {
        if self.lapse_at.is_some_and(|at| at <= now) {
            self.lapse_at = None;
            self.lapse(now);
        }
        let limits = self.limits;
        let mut drained = std::mem::take(&mut self.ended);
        let slots = &mut self.slots;
        self.changed.retain(|slot| {
            let Some(followed) = slots[*slot as usize].as_mut() else { return false };
            let calm = followed.report.spells.len() > limits.calm_after;
            if calm && now < followed.written + limits.calm_ms && followed.written <= now {
                return true;
            }
            followed.changed = false;
            followed.written = now;
            drained.push((Arc::clone(&followed.key), followed.report.clone()));
            false
        });
        if now.since(self.forgot_at) >= FORGET_EVERY_MS || now < self.forgot_at {
            self.forget_ended(now);
        }
        drained.sort_by(|a, b| a.0.cmp(&b.0));
        drained
    }

    /// Takes back what could not be written, unless it changed since.
    pub fn give_back(&mut self, reports: Vec<(Arc<str>, Report)>) {
        for (key, report) in reports {
            let slot = self.slot_of(AboutRef::of_report(&report));
            let known = slot.and_then(|slot| Some((slot, self.slots[slot as usize].as_mut()?)));
            match known {
                Some((slot, followed)) if followed.key == key => {
                    followed.written = Millis(0);
                    if !followed.changed {
                        followed.changed = true;
                        self.changed.push(slot);
                    }
                }
                _ => self.ended.push((key, report)),
            }
        }
    }

    /// How many reports are followed.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// What became of signals.
    pub fn counters(&self) -> IntakeCounters {
        self.counters
    }

    /// Ends what planes said in the run before and do not say any more.
    fn lapse(&mut self, now: Millis) {
        for (slot, followed) in (0..).zip(&mut self.slots) {
            let silent = |f: &&mut Followed| !f.confirmed && f.report.is_firing();
            let Some(followed) = followed.as_mut().filter(silent) else { continue };
            if let Some(last) = followed.report.spells.last_mut() {
                last.to = Some(now.max(last.from));
            }
            followed.report.lapsed = true;
            self.counters.lapsed += 1;
            if !followed.changed {
                followed.changed = true;
                self.changed.push(slot);
            }
        }
    }
}

/// What a report is called among those of its node.
fn key_of(about: &About, since: Millis) -> Arc<str> {
    let mut hasher = blake3::Hasher::new_derive_key("holm report key v1");
    let target = about.target.to_string();
    let prefix = about.prefix.as_ref().map(NodeId::to_string).unwrap_or_default();
    let detail = about.detail.as_deref().unwrap_or_default();
    for part in [&*about.plane, &*about.kind, &*target, &*prefix, detail] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let hash = hasher.finalize();
    let mut number = [0; 8];
    number.copy_from_slice(&hash.as_bytes()[..8]);
    format!("r{:016x}-{:x}", u64::from_be_bytes(number), since.0).into()
}
