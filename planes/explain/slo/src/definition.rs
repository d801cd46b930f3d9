//! An objective as it was understood: what is counted, and how good it shall be.

use std::collections::BTreeMap;
use std::fmt;

use holm_model::Millis;

use crate::window::Window;
use holm_policy::{Operator, Predicate, quoted};

/// What one row, or one slice, counts where parts of it may be good.
pub const PARTS: u64 = 1_000_000;

/// An SLO.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its name: unique in the tenant.
    pub name: Box<str>,
    /// What people call it.
    pub display_name: Option<Box<str>>,
    /// What it is for.
    pub description: Option<Box<str>>,
    /// The service that it is about.
    pub service: Box<str>,
    /// Labels; `team` says whose it is.
    pub labels: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// The indicator's name.
    pub indicator_name: Box<str>,
    /// What is counted.
    pub indicator: Indicator,
    /// How that spends the budget.
    pub budgeting: Budgeting,
    /// What time the budget is for.
    pub window: Window,
    /// How good it shall be: one or several.
    pub objectives: Vec<Objective>,
    /// The finest time that its window needs, in minutes: 60 or 15.
    pub grain_min: u32,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Indicator {
    /// Good rows, or bad ones, of all.
    Ratio {
        /// Whether `part` counts the bad ones.
        bad: bool,
        /// The rows of one sort.
        part: Source,
        /// All rows.
        total: Source,
    },
    /// A column that says itself how good a row is, from 0 to 1.
    Raw {
        /// Whether it says how bad.
        failure: bool,
        /// The rows, with the column.
        source: Source,
    },
    /// A column that is compared with each objective's value.
    Threshold(Source),
}

/// Rows of the event store.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The table.
    pub table: Box<str>,
    /// Which rows, as it was written; all if `None`.
    pub filter: Option<(Box<str>, Predicate)>,
    /// The column that is looked at.
    pub value: Option<Box<str>>,
}

impl Source {
    fn condition(&self) -> Option<String> {
        self.filter.as_ref().map(|(_, predicate)| predicate.to_sql())
    }
}

/// How what is counted spends the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budgeting {
    /// Each row by itself.
    Occurrences,
    /// Each slice of time, good or bad as a whole.
    Timeslices,
    /// Each slice of time, by the share of it that is good.
    RatioTimeslices,
}

impl Budgeting {
    /// As OpenSLO writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Occurrences => "Occurrences",
            Self::Timeslices => "Timeslices",
            Self::RatioTimeslices => "RatioTimeslices",
        }
    }
}

/// How good it shall be.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// What people call it.
    pub display_name: Option<Box<str>>,
    /// The share that shall be good: between 0 and 1, both excluded.
    pub target: f64,
    /// What a threshold's column is compared with.
    pub compare: Option<(Operator, f64)>,
    /// The share of a slice's rows that make it a good one.
    pub slice_target: Option<f64>,
    /// How long a slice is, in minutes.
    pub slice_min: Option<u32>,
}

/// What an objective's ledger is called: the same for all objectives that count the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeasureId(u64);

/// Bits of an id, five for each letter.
const ID_LETTERS: u32 = 10;
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl fmt::Display for MeasureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..ID_LETTERS).rev().try_for_each(|place| {
            let letter = (self.0 >> (5 * place)) & 31;
            write!(f, "{}", char::from(LETTERS[letter as usize]))
        })
    }
}

impl fmt::Debug for MeasureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeasureId({self})")
    }
}

impl MeasureId {
    /// The id that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != ID_LETTERS as usize {
            return None;
        }
        let mut number = 0;
        for letter in text.bytes() {
            let digit = LETTERS.iter().position(|known| *known == letter)?;
            number = number << 5 | digit as u64;
        }
        Some(Self(number))
    }
}

/// What a node counts for one or more objectives, minute by minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// What its ledger is called.
    pub id: MeasureId,
    /// The table of the rows that are counted.
    pub total: Counted,
    /// What is counted of them; of another table if that is so.
    pub part: Counted,
    /// Whether `part` is what is bad.
    pub bad: bool,
    /// How minutes become what is in the ledger.
    pub slices: Slices,
    /// What one event counts: 1, or [`PARTS`].
    pub unit: u64,
    /// The length of the ledger's cells, in minutes.
    pub grain_min: u32,
}

/// Something to be summed over rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counted {
    /// The table.
    pub table: Box<str>,
    /// What each row adds, as SQL.
    pub sql: Box<str>,
}

impl Counted {
    /// What is added where each row counts.
    pub const EACH: &str = "1";
}

/// How minutes become what is in the ledger.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slices {
    /// As they are.
    None,
    /// So many minutes are one event, good from this share on.
    Judged(u32, f64),
    /// So many minutes are one event, good by their share.
    Shared(u32),
}

impl Slices {
    /// How many minutes one slice has.
    pub const fn minutes(self) -> u32 {
        match self {
            Self::None => 1,
            Self::Judged(minutes, _) | Self::Shared(minutes) => minutes,
        }
    }
}

impl Definition {
    /// What people call it, or else its name.
    pub fn title(&self) -> &str {
        self.display_name.as_deref().unwrap_or(&self.name)
    }

    /// The teams whose it is.
    pub fn teams(&self) -> &[Box<str>] {
        self.labels.get("team").map_or(&[], Vec::as_slice)
    }

    /// What is counted for its objective of this number.
    pub fn measure(&self, objective: usize) -> Option<Measure> {
        let objective = self.objectives.get(objective)?;
        let (total, part, bad, raw) = match &self.indicator {
            Indicator::Ratio { bad, part, total } => (count(total), count(part), *bad, false),
            Indicator::Raw { failure, source } => (parts(source), shares(source), *failure, true),
            Indicator::Threshold(source) => {
                let (operator, value) = objective.compare?;
                (valued(source), within(source, operator, value), false, false)
            }
        };
        let minutes = objective.slice_min.unwrap_or(1);
        let slices = match self.budgeting {
            Budgeting::Occurrences => Slices::None,
            Budgeting::Timeslices => Slices::Judged(minutes, objective.slice_target?),
            Budgeting::RatioTimeslices => Slices::Shared(minutes),
        };
        let unit = match slices {
            Slices::None if raw => PARTS,
            Slices::None | Slices::Judged(..) => 1,
            Slices::Shared(_) => PARTS,
        };
        let grain_min = self.grain_min;
        let said = format!("{total:?}\n{part:?}\n{bad}\n{slices:?}\n{grain_min}");
        let hash = blake3::derive_key("holm slo measure id v1", said.as_bytes());
        let mut number = [0; 8];
        number.copy_from_slice(&hash[..8]);
        let id = MeasureId(u64::from_be_bytes(number) >> (64 - 5 * ID_LETTERS));
        Some(Measure { id, total, part, bad, slices, unit, grain_min })
    }

    /// Names of things that it is about: texts that columns which name things must equal.
    pub fn about(&self) -> Vec<&str> {
        let sources = match &self.indicator {
            Indicator::Ratio { part, total, .. } => vec![part, total],
            Indicator::Raw { source, .. } | Indicator::Threshold(source) => vec![source],
        };
        let filters = sources.into_iter().filter_map(|source| source.filter.as_ref());
        let named = |column: &str| {
            const NAMING: [&str; 7] = [
                "target",
                "probed",
                "service.name",
                "server.address",
                "destination.address",
                "source.address",
                "peer.site",
            ];
            NAMING.contains(&column)
        };
        let equal = filters.flat_map(|(_, predicate)| predicate.equalities());
        let mut about: Vec<&str> =
            equal.filter(|(column, _)| named(column)).map(|(_, text)| text).collect();
        about.sort_unstable();
        about.dedup();
        about
    }

    /// Where the time of its window began, and when it ends, if `now` lies in it.
    pub fn window_at(&self, now: Millis) -> (Millis, Millis) {
        self.window.around(now)
    }
}

fn counted(source: &Source, sql: String) -> Counted {
    Counted { table: source.table.clone(), sql: sql.into() }
}

/// 1 for each row.
fn count(source: &Source) -> Counted {
    let sql = match source.condition() {
        Some(condition) => format!("CASE WHEN {condition} THEN 1 ELSE 0 END"),
        None => Counted::EACH.to_owned(),
    };
    counted(source, sql)
}

/// The condition and that the column has a value.
fn having(source: &Source) -> (String, String) {
    let column = quoted(source.value.as_deref().unwrap_or_default());
    let has = format!("{column} IS NOT NULL");
    let condition = source.condition();
    (column, condition.map_or(has.clone(), |condition| format!("({condition}) AND {has}")))
}

/// 1 for each row with a value.
fn valued(source: &Source) -> Counted {
    let (_, having) = having(source);
    counted(source, format!("CASE WHEN {having} THEN 1 ELSE 0 END"))
}

/// 1 for each row of which the value is as it shall be.
fn within(source: &Source, operator: Operator, value: f64) -> Counted {
    let (column, having) = having(source);
    let operator = operator.as_sql();
    counted(source, format!("CASE WHEN {having} AND {column} {operator} {value} THEN 1 ELSE 0 END"))
}

/// [`PARTS`] for each row with a value.
fn parts(source: &Source) -> Counted {
    let (_, having) = having(source);
    counted(source, format!("CASE WHEN {having} THEN {PARTS} ELSE 0 END"))
}

/// The value of each row in [`PARTS`].
fn shares(source: &Source) -> Counted {
    let (column, having) = having(source);
    let sql = format!(
        "CASE WHEN NOT ({having}) THEN 0 WHEN {column} <= 0 THEN 0 WHEN {column} >= 1 THEN {PARTS} \
         ELSE CAST(round({column} * {PARTS}) AS BIGINT) END"
    );
    counted(source, sql)
}
