//! What became of an incident: opened by signals, moved by people, resolved by recovery.

use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::Millis;

use crate::action::{Ahead, Field};
use crate::{Action, FLAPS, HOLD_MS, MAX_HOLD_MS, RecordId, Report, Spell};

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nobody has looked at it.
    Open,
    /// Someone looks at it.
    Acknowledged,
    /// Its effect is over.
    Mitigated,
    /// It is over.
    Resolved,
    /// It was over, and is there again.
    Reopened,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Acknowledged, Self::Mitigated, Self::Resolved, Self::Reopened];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
        }
    }
}

/// By what the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A signal was raised.
    Raised,
    /// All was well for long enough.
    Recovered,
    /// The action of this id.
    Action(u64),
}

/// A change of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When.
    pub at: Millis,
    /// To what.
    pub to: State,
    /// By what.
    pub why: Why,
}

/// Actions that stand for one field: more than one if they were made without seeing each other.
pub(crate) type Heads = Vec<Arc<Action>>;

/// What became of it until now.
pub(crate) struct Evolved {
    /// In order; the last one is the state now.
    pub(crate) turns: Vec<Turn>,
    pub(crate) state_heads: Heads,
    pub(crate) owner_heads: Heads,
    pub(crate) severity_heads: Heads,
    /// Something is bad still, as far as is known.
    pub(crate) firing: bool,
    /// It comes and goes: recovery is waited for longer.
    pub(crate) flapping: bool,
    /// Where the last unbroken while of trouble began.
    pub(crate) last_phase: Millis,
    /// When it resolves by itself if nothing happens.
    pub(crate) resolves_at: Option<Millis>,
}

enum Event<'a> {
    Raised,
    Recovered,
    Acted(&'a Arc<Action>),
}

/// Follows an incident from its first signal until `now`.
pub(crate) fn evolve(
    reports: &[(RecordId, Arc<Report>)],
    actions: &[(RecordId, Arc<Action>)],
    now: Millis,
) -> Evolved {
    let spells = spells(reports, actions);
    let (hold, flapping) = hold(reports);
    let phases = phases(&spells, hold);
    let last = phases.last().copied();
    let ends_at = last.and_then(|phase| phase.to).map(|to| to + hold);

    let mut events: Vec<(Millis, u8, Event<'_>)> = Vec::with_capacity(spells.len() + 4);
    let mut raised = spells.iter().map(|spell| spell.from).collect::<Vec<_>>();
    raised.dedup();
    let first = raised.first().copied().unwrap_or_default();
    events.extend(raised.into_iter().map(|at| (at, 0, Event::Raised)));
    let over = phases.iter().filter_map(|phase| phase.to).map(|to| to + hold);
    let over = over.filter(|at| *at <= now || Some(*at) != ends_at);
    events.extend(over.map(|at| (at, 1, Event::Recovered)));
    // Nobody acts on what was not there: a clock that is behind changes nothing.
    events.extend(actions.iter().map(|(_, a)| (a.at.max(first), 2, Event::Acted(a))));
    events.sort_by_key(|(at, order, _)| (*at, *order));

    let mut evolved = Evolved {
        turns: Vec::new(),
        state_heads: Heads::new(),
        owner_heads: Heads::new(),
        severity_heads: Heads::new(),
        firing: last.is_some_and(|phase| phase.to.is_none()),
        flapping,
        last_phase: last.map_or(Millis(0), |phase| phase.from),
        resolves_at: ends_at.filter(|at| *at > now),
    };
    for (at, _, event) in events {
        evolved.step(at, &event);
    }
    evolved
}

/// The spells of all reports in order. What an action saw was there by then, though the clock of who reported it was
/// ahead: nobody resolves what is yet to come.
fn spells(reports: &[(RecordId, Arc<Report>)], actions: &[(RecordId, Arc<Action>)]) -> Vec<Spell> {
    let mut there_by: HashMap<Ahead, Millis> = HashMap::new();
    for (_, action) in actions {
        for ahead in action.ahead.iter().filter(|ahead| ahead.moment > action.at) {
            let by = there_by.entry(*ahead).or_insert(action.at);
            *by = action.at.min(*by);
        }
    }
    let mut spells = Vec::with_capacity(reports.len());
    for (id, report) in reports {
        if there_by.is_empty() {
            spells.extend(report.spells.iter().copied());
            continue;
        }
        let report_digest = id.digest();
        let seen = |moment: Millis| {
            there_by.get(&Ahead { report: report_digest, moment }).copied().unwrap_or(moment)
        };
        // What began later than it was seen to end was seen to begin as well.
        spells.extend(report.spells.iter().map(|spell| {
            let to = spell.to.map(seen);
            let from = seen(spell.from);
            Spell { from: to.map_or(from, |to| from.min(to)), to }
        }));
    }
    spells.sort_unstable();
    spells
}

impl Evolved {
    fn step(&mut self, at: Millis, event: &Event<'_>) {
        let state = self.turns.last().map(|turn| turn.to);
        match event {
            Event::Raised => match state {
                None => self.turn(at, State::Open, Why::Raised),
                Some(State::Resolved) => self.turn(at, State::Reopened, Why::Raised),
                Some(_) => {}
            },
            Event::Recovered if state != Some(State::Resolved) => {
                self.turn(at, State::Resolved, Why::Recovered);
            }
            Event::Recovered => {}
            Event::Acted(action) => self.act(at, action),
        }
    }

    /// By itself: what people said before is over.
    fn turn(&mut self, at: Millis, to: State, why: Why) {
        self.state_heads.clear();
        self.turns.push(Turn { at, to, why });
    }

    fn act(&mut self, at: Millis, action: &Arc<Action>) {
        let heads = match action.deed.field() {
            Some(Field::State) => &mut self.state_heads,
            Some(Field::Owner) => &mut self.owner_heads,
            Some(Field::Severity) => &mut self.severity_heads,
            None => return,
        };
        heads.retain(|head| !action.seen.contains(&head.id));
        heads.push(Arc::clone(action));
        if action.deed.field() == Some(Field::State)
            && let Some((to, winner)) = state_of(&self.state_heads)
            && self.turns.last().is_none_or(|turn| turn.to != to || turn.why != Why::Action(winner))
        {
            self.turns.push(Turn { at, to, why: Why::Action(winner) });
        }
    }
}

/// The state that stands if several were set at the same time: the one that is further on, and that
/// it is not over above all; of equal ones the later.
fn state_of(heads: &Heads) -> Option<(State, u64)> {
    let states = heads.iter().filter_map(|head| Some((head.deed.state()?, head.at, head.id)));
    states.max().map(|(state, _, id)| (state, id))
}

/// How long all must be well, and whether it comes and goes.
fn hold(reports: &[(RecordId, Arc<Report>)]) -> (u64, bool) {
    let flaps = reports.iter().map(|(_, report)| {
        let recent = report.last().from - MAX_HOLD_MS;
        report.spells.iter().filter(|spell| spell.from >= recent).count()
    });
    let flaps = flaps.max().unwrap_or(0);
    if flaps < FLAPS {
        return (HOLD_MS, false);
    }
    let doubled = u32::try_from(flaps - FLAPS + 1).unwrap_or(u32::MAX);
    let hold = HOLD_MS.checked_shl(doubled.min(16)).unwrap_or(MAX_HOLD_MS);
    (hold.min(MAX_HOLD_MS), true)
}

/// Spells of which the next begins before the one before has been over for `hold` are one.
fn phases(spells: &[Spell], hold: u64) -> Vec<Spell> {
    let mut phases: Vec<Spell> = Vec::new();
    for spell in spells {
        match phases.last_mut().filter(|phase| spell.from <= phase.end() + hold) {
            Some(phase) => {
                phase.to = phase.to.and_then(|to| Some(to.max(spell.to?)));
            }
            None => phases.push(*spell),
        }
    }
    phases
}
