//! Which changes an incident may come from, and why.
//!
//! A score has four parts, each from 0 to 1 with a weight: how near the change was made in the topology as it
//! was when the incident began, how shortly before, whether its author changed other things nearby, and how
//! much of what the incident is about needs what was changed. The weights were chosen on one half of a set
//! of labelled faults; what they reach on the other half stands in `docs/changes.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use holm_model::{Millis, NodeId, SiteId};

use crate::proximity::{Near, Proximity};
use crate::{Known, SKEW_MS, candidates};

/// How much each part counts, and how the parts fall off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Of how near it was made.
    pub near: f64,
    /// Of how shortly before.
    pub time: f64,
    /// Of what else its author changed nearby.
    pub author: f64,
    /// Of how much of what the incident is about needs it.
    pub blast: f64,
    /// What remains of nearness with each edge.
    pub per_hop: f64,
    /// What remains of it where nothing that the incident is about needs what was changed.
    pub unneeded: f64,
    /// After this time half of recency remains, after three times it a quarter; in milliseconds.
    pub half_ms: u64,
}

impl Weights {
    /// The same with parts that add up to 1.
    #[must_use]
    pub fn whole(self) -> Self {
        let all = self.near + self.time + self.author + self.blast;
        let of = |part: f64| if all > 0.0 { part / all } else { 0.0 };
        Self {
            near: of(self.near),
            time: of(self.time),
            author: of(self.author),
            blast: of(self.blast),
            ..self
        }
    }
}

impl Default for Weights {
    /// As `tests/ranking_of_injected_faults.rs` chose them.
    fn default() -> Self {
        Self {
            near: 0.38,
            time: 0.285,
            author: 0.05,
            blast: 0.285,
            per_hop: 0.7,
            unneeded: 0.5,
            half_ms: 60 * 60 * 1_000,
        }
    }
}

/// What changes are ranked for.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// When the incident began.
    pub began: Millis,
    /// How long before that changes count, in milliseconds.
    pub window_ms: u64,
    /// What it is about, and what is around that.
    pub proximity: &'a Proximity<'a>,
}

impl Subject<'_> {
    /// From when to when a change may have been made.
    pub fn span(&self) -> (Millis, Millis) {
        (self.began - self.window_ms, self.began + SKEW_MS)
    }
}

/// One part of a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Which: `distance`, `time`, `author` or `blast`.
    pub name: &'static str,
    /// How well it fits, from 0 to 1.
    pub value: f64,
    /// How much it counts.
    pub weight: f64,
    /// Why it is so, in words.
    pub why: String,
}

/// How likely an incident comes from a change, from 0 to 100, and of what that is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The sum of the parts, each by its weight.
    pub total: f64,
    /// The parts.
    pub parts: [Part; 4],
}

/// A change with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// The change.
    pub known: Arc<Known>,
    /// How near it was made; `None` if nowhere near.
    pub near: Option<Near>,
    /// Its score.
    pub score: Score,
}

/// The changes that an incident may come from, the likeliest first. Those made outside of the subject's span
/// are left out.
pub fn rank<'a>(
    changes: impl IntoIterator<Item = &'a Arc<Known>>,
    subject: &Subject<'_>,
    weights: &Weights,
) -> Vec<Ranked> {
    let weights = &weights.whole();
    let (from, to) = subject.span();
    let in_span = changes.into_iter().filter(|known| (from..=to).contains(&known.change.at));
    let placed: Vec<(&Arc<Known>, Option<Nearest>)> =
        in_span.map(|known| (known, nearest(known, subject.proximity))).collect();
    // By author: what was changed nearby.
    let mut nearby: BTreeMap<&str, Vec<&Arc<Known>>> = BTreeMap::new();
    for (known, near) in &placed {
        let author = &*known.change.author;
        if !author.is_empty() && near.as_ref().is_some_and(|(near, _)| near.hops <= 1) {
            nearby.entry(author).or_default().push(known);
        }
    }
    let mut ranked: Vec<Ranked> = placed
        .iter()
        .map(|(known, near)| {
            let others = nearby.get(&*known.change.author).map_or(&[][..], Vec::as_slice);
            let other = others.iter().copied().find(|other| other.change.id != known.change.id);
            let parts = [
                distance(near.as_ref(), subject.proximity, known, weights),
                time(known.change.at, subject.began, weights),
                author(known, other, weights),
                blast(near.as_ref(), subject.proximity, weights),
            ];
            let total = 100.0 * parts.iter().map(|part| part.value * part.weight).sum::<f64>();
            let near = near.as_ref().map(|(near, _)| *near);
            Ranked { known: Arc::clone(known), near, score: Score { total, parts } }
        })
        .collect();
    let order = |a: &Ranked, b: &Ranked| {
        let later = || (b.known.change.at, b.known.change.id);
        b.score
            .total
            .total_cmp(&a.score.total)
            .then_with(|| later().cmp(&(a.known.change.at, a.known.change.id)))
    };
    ranked.sort_by(order);
    ranked
}

/// How near a change was made, and by which of its names.
type Nearest = (Near, String);

/// How near a change was made: by what its words meant where it was taken, else by what they may mean; and
/// by which of its names.
fn nearest(known: &Known, proximity: &Proximity<'_>) -> Option<Nearest> {
    let sites = || known.taken_by.iter().map(|(site, _)| site);
    let mut names: Vec<(NodeId, &SiteId)> =
        known.targets.iter().map(|(id, site)| (id.clone(), site)).collect();
    if let Some(prefix) = &known.change.prefix {
        names.extend(sites().map(|site| (prefix.clone(), site)));
    }
    if known.targets.is_empty() {
        // What was not there when the change was taken may have been when the incident began.
        let words = known.change.words.iter().flat_map(|word| candidates(word));
        let meant = words.flat_map(|id| sites().map(move |site| (id.clone(), site)));
        names.extend(meant);
    }
    let found = names.iter().filter_map(|(id, site)| Some((proximity.near(id, site)?, id)));
    let best = found.min_by_key(|(near, id)| {
        let needed = near.needed.unwrap_or(u32::MAX);
        (near.hops, needed, usize::MAX - near.reaches, *id)
    });
    best.map(|(near, id)| (near, id.to_string()))
}

fn distance(
    near: Option<&Nearest>,
    proximity: &Proximity<'_>,
    known: &Known,
    weights: &Weights,
) -> Part {
    let part = |value, why| Part { name: "distance", value, weight: weights.near, why };
    let Some((near, name)) = near else {
        let why = match known.is_anchored() {
            true => format!("what it changed is more than {} edges away", crate::MAX_HOPS),
            false => "nothing that it names is in the topology".into(),
        };
        return part(0.0, why);
    };
    let to = proximity.about().get(near.to).map(NodeId::to_string).unwrap_or_default();
    // One that stands on the way counts by the steps in which it is needed.
    let hops = near.needed.unwrap_or(near.hops).max(near.hops);
    let unneeded = if near.needed.is_some() { 1.0 } else { weights.unneeded };
    let value = weights.per_hop.powi(i32::try_from(hops).unwrap_or(i32::MAX)) * unneeded;
    let edges = if near.hops == 1 { "1 edge".into() } else { format!("{} edges", near.hops) };
    let why = match (near.hops, near.by_address, near.needed) {
        (0, ..) => format!("it changed {name}, which the incident is about"),
        (_, true, _) => format!("{to} lies in {name}"),
        (_, _, Some(1)) => format!("{to} needs {name} directly"),
        (_, _, Some(steps)) => format!("{to} needs {name}, by {steps} steps"),
        (_, _, None) => format!("{name} is {edges} from {to}, which does not need it"),
    };
    part(value, why)
}

fn time(at: Millis, began: Millis, weights: &Weights) -> Part {
    /// A change after the beginning may be before it by another clock; one before it is likelier.
    const AFTER: f64 = 0.8;
    let part = |value, why| Part { name: "time", value, weight: weights.time, why };
    if at > began {
        let why = format!("{} after it began, as far as clocks differ", lasted(at.since(began)));
        return part(AFTER, why);
    }
    let before = began.since(at);
    let value = 1.0 / (1.0 + before as f64 / weights.half_ms.max(1) as f64);
    part(value, format!("{} before it began", lasted(before)))
}

fn author(known: &Known, other: Option<&Arc<Known>>, weights: &Weights) -> Part {
    let part = |value, why| Part { name: "author", value, weight: weights.author, why };
    let author = &known.change.author;
    match other {
        _ if author.is_empty() => part(0.0, "nobody is named as its author".into()),
        Some(other) => part(1.0, format!("{author} also made \"{}\" nearby", other.change.title)),
        None => part(0.0, format!("{author} changed nothing else nearby")),
    }
}

fn blast(near: Option<&Nearest>, proximity: &Proximity<'_>, weights: &Weights) -> Part {
    let all = proximity.about().len();
    let reached = near.map_or(0, |(near, _)| near.reaches);
    let value = if all == 0 { 0.0 } else { reached as f64 / all as f64 };
    let why = match reached {
        0 => "nothing that the incident is about needs it".into(),
        _ => format!("{reached} of {all} things that the incident is about need it"),
    };
    Part { name: "blast", value, weight: weights.blast, why }
}

/// A duration for people.
fn lasted(ms: u64) -> String {
    match ms / 1_000 {
        0 => "less than a second".into(),
        s @ 1..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    }
}
