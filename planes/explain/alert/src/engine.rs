//! All rules of a node: rows in, and how each group of each rule stands. One pass over new rows for all rules of a
//! table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use hashbrown::{DefaultHashBuilder, HashMap};
use holm_model::Millis;

use crate::baseline::Hour;
use crate::bits::{Bits, CHUNK};
use crate::columns::{Chunk, Looked, times};
use crate::condition::{Conditions, check, looked};
use crate::record::Recorder;
use crate::rule::{Condition, LATE_MS, Measure, Query, Rule, Subject};
use crate::series::{GroupKey, Groups, Kept, Room, Series, SeriesKey, Taken};
use crate::watch::Watch;
use crate::watched::Watched;

/// How far ahead of the clock rows may be, in milliseconds.
const AHEAD_MS: u64 = 5 * 60 * 1_000;

/// Bounds of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most rules; later ones are not judged, and say so.
    pub rules: usize,
    /// Most groups of a rule, and of all together.
    pub groups_of_rule: usize,
    /// Of all rules together.
    pub groups: usize,
    /// Most groups that have a baseline.
    pub baselines: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rules: 20_000, groups_of_rule: 1_000, groups: 200_000, baselines: 5_000 }
    }
}

/// What became of rows and groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rows that were looked at, once for each table.
    pub rows: u64,
    /// Rows that came more than ten minutes late.
    pub late: u64,
    /// Rows that were more than five minutes ahead of the clock.
    pub ahead: u64,
    /// Groups that found no room.
    pub refused_groups: u64,
    /// Firings that rows which came late took back.
    pub taken_back: u64,
}

/// A table as rules ask it.
#[derive(Debug, Clone)]
pub struct TableShape {
    /// Its columns.
    pub schema: SchemaRef,
    /// The one that says when.
    pub time: Box<str>,
}

impl TableShape {
    /// How many units of its time make a millisecond.
    pub fn per_ms(&self) -> i64 {
        use arrow_schema::{DataType, TimeUnit};
        match self.schema.field_with_name(&self.time).map(arrow_schema::Field::data_type) {
            Ok(DataType::Timestamp(TimeUnit::Nanosecond, _)) => 1_000_000,
            Ok(DataType::Timestamp(TimeUnit::Microsecond, _)) => 1_000,
            _ => 1,
        }
    }
}

/// Where a rule looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) table: usize,
    pub(crate) series: usize,
}

/// A rule that is judged.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) rule: Arc<Rule>,
    pub(crate) place: Option<Place>,
    /// Of each group of its series, in their order; of a composite by the keys beside.
    pub(crate) watches: Vec<Watch>,
    /// The groups of a composite.
    pub(crate) keys: Vec<GroupKey>,
    /// Why it is not judged.
    pub(crate) broken: Option<String>,
    /// How many earlier hours the one that warms most knows.
    pub(crate) warming: Option<usize>,
    /// The last moment that a composite was judged at.
    pub(crate) tick: u64,
    /// Hours of groups that were not met yet.
    pub(crate) learnt: HashMap<GroupKey, Vec<Hour>>,
    /// What was raised of groups that are gone.
    pub(crate) ended: Vec<(GroupKey, Millis, Millis)>,
}

#[derive(Debug)]
pub(crate) struct TableEngine {
    pub(crate) time: Box<str>,
    pub(crate) conditions: Conditions,
    pub(crate) series: Vec<Series>,
    by_key: HashMap<SeriesKey, usize>,
    name: Box<str>,
}

/// The rules of a node, judged by rows as they come. Takes the time as an argument.
#[derive(Debug)]
pub struct Engine {
    pub(crate) limits: Limits,
    /// When rows were taken: silence at other times says nothing.
    pub(crate) watched: Watched,
    pub(crate) rules: Vec<Held>,
    pub(crate) by_name: HashMap<Box<str>, usize>,
    pub(crate) tables: Vec<TableEngine>,
    /// The last step that was judged, by the length of steps.
    pub(crate) ticks: BTreeMap<u64, u64>,
    pub(crate) hasher: DefaultHashBuilder,
    pub(crate) counters: Counters,
    pub(crate) groups: usize,
    pub(crate) baselines: usize,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) begin: Millis,
    /// The composites that are judged, in order, once it was looked.
    pub(crate) sound: Option<Arc<[usize]>>,
}

impl Engine {
    /// Rules that are judged from `begin` on. Where rows were not `watched` they may be missing: silence then is
    /// not taken for silence, nor for what is usual. `tables` are those that there are.
    pub fn new(
        rules: impl IntoIterator<Item = Arc<Rule>>,
        tables: &BTreeMap<Box<str>, TableShape>,
        limits: Limits,
        begin: Millis,
        watched: impl Into<Watched>,
    ) -> Self {
        let mut engine = Self {
            limits,
            watched: watched.into(),
            rules: Vec::new(),
            by_name: HashMap::new(),
            tables: Vec::new(),
            ticks: BTreeMap::new(),
            hasher: DefaultHashBuilder::default(),
            counters: Counters::default(),
            groups: 0,
            baselines: 0,
            recorder: None,
            begin,
            sound: None,
        };
        rules.into_iter().for_each(|rule| engine.add(rule, tables));
        engine
    }

    fn add(&mut self, rule: Arc<Rule>, tables: &BTreeMap<Box<str>, TableShape>) {
        let number = self.rules.len();
        let place = match &rule.subject {
            _ if number >= self.limits.rules => {
                Err(format!("{} rules are judged at most; take away what is not needed", number))
            }
            Subject::Composite(_) => Ok(None),
            Subject::Rows(query) => self.bind(&rule, query, number, tables).map(Some),
        };
        self.by_name.insert(rule.name.clone(), number);
        let (place, broken) = match place {
            Ok(place) => (place, None),
            Err(why) => (None, Some(why)),
        };
        let step_ms = rule.every_ms;
        self.rules.push(Held {
            rule,
            place,
            watches: Vec::new(),
            keys: Vec::new(),
            broken,
            warming: None,
            tick: self.begin.0 / step_ms,
            learnt: HashMap::new(),
            ended: Vec::new(),
        });
    }

    /// The series that a rule looks at.
    fn bind(
        &mut self,
        rule: &Rule,
        query: &Query,
        number: usize,
        tables: &BTreeMap<Box<str>, TableShape>,
    ) -> Result<Place, String> {
        let Some(shape) = tables.get(&query.table) else {
            let names: Vec<&str> = tables.keys().map(|name| &**name).take(40).collect();
            return Err(format!(
                "there is no table {} at this node; it has {}",
                query.table,
                names.join(", ")
            ));
        };
        let schema = &shape.schema;
        if let Some((_, predicate)) = &query.filter {
            check(predicate, schema).map_err(|why| format!("where: {why}"))?;
        }
        if let Measure::Share(_, predicate) = &query.measure {
            check(predicate, schema).map_err(|why| format!("value.share: {why}"))?;
        }
        if let Some(column) = query.measure.column() {
            looked(column, schema, Looked::Number).map_err(|why| format!("value: {why}"))?;
        }
        for column in &rule.by {
            let data_type = crate::condition::known(column, schema);
            let data_type = data_type.map_err(|why| format!("by: {why}"))?;
            Looked::of(data_type).ok_or_else(|| format!("by: column {column} makes no groups"))?;
        }
        let table = self.tables.iter().position(|known| *known.name == *query.table);
        let table = table.unwrap_or_else(|| {
            self.tables.push(TableEngine {
                time: shape.time.clone(),
                conditions: Conditions::default(),
                series: Vec::new(),
                by_key: HashMap::new(),
                name: query.table.clone(),
            });
            self.tables.len() - 1
        });
        let of = &mut self.tables[table];
        let conditions = &mut of.conditions;
        let key = SeriesKey {
            filter: query.filter.as_ref().map(|(_, predicate)| conditions.bind(predicate)),
            like: match &query.measure {
                Measure::Share(_, predicate) => Some(conditions.bind(predicate)),
                _ => None,
            },
            column: query.measure.column().map(|column| conditions.column(column)),
            by: rule.by.iter().map(|column| conditions.column(column)).collect(),
            kept: Kept::of(&query.measure),
            step_ms: rule.every_ms,
        };
        let series = *of.by_key.entry(key.clone()).or_insert_with(|| {
            self.groups += usize::from(key.by.is_empty());
            of.series.push(Series::new(key));
            of.series.len() - 1
        });
        let held = &mut of.series[series];
        held.window = held.window.max(query.window_ms / rule.every_ms);
        held.rules.push(number);
        self.ticks.entry(rule.every_ms).or_insert(self.begin.0 / rule.every_ms);
        Ok(Place { table, series })
    }

    /// How many steps are not settled.
    pub(crate) const fn open_steps(step_ms: u64) -> u64 {
        LATE_MS.div_ceil(step_ms)
    }

    /// The tables that rules look at, with the columns that they need.
    pub fn wanted(&self) -> BTreeMap<Box<str>, Vec<Box<str>>> {
        let wanted = self.tables.iter().map(|table| {
            let mut columns = table.conditions.columns.clone();
            if !columns.contains(&table.time) {
                columns.push(table.time.clone());
            }
            (table.name.clone(), columns)
        });
        wanted.collect()
    }

    /// Takes rows of a table that happened from `between.0` up to before `between.1`, at a time that the clock
    /// said `now`.
    pub fn take(
        &mut self,
        table: &str,
        batch: &RecordBatch,
        between: (Millis, Millis),
        now: Millis,
    ) {
        let Some(place) = self.tables.iter().position(|known| *known.name == *table) else {
            return;
        };
        let Some(when) = batch.column_by_name(&self.tables[place].time).and_then(times) else {
            return;
        };
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = (batch.num_rows() - from).min(CHUNK);
            let when = &when[from..from + rows];
            let mut wanted = Bits::NONE;
            let inside =
                when.iter().enumerate().filter(|(_, at)| between.0.0 <= **at && **at < between.1.0);
            inside.for_each(|(row, _)| wanted.set(row));
            if !wanted.is_empty() {
                let columns = &self.tables[place].conditions.columns;
                let chunk = Chunk::new(batch, from, rows, columns);
                self.take_chunk(place, chunk, when, &wanted, now);
            }
            from += rows;
        }
    }

    fn take_chunk(
        &mut self,
        place: usize,
        mut chunk: Chunk,
        when: &[u64],
        wanted: &Bits,
        now: Millis,
    ) {
        let table = &mut self.tables[place];
        self.counters.rows += u64::from(wanted.count());
        let mut memory = table.conditions.memory();
        // By the length of steps: the step of each row, and which rows are neither too late nor ahead.
        let mut timed: HashMap<u64, (Vec<u64>, Bits)> = HashMap::new();
        let mut late = 0;
        for series in &table.series {
            let step_ms = series.key.step_ms;
            timed.entry(step_ms).or_insert_with(|| {
                let steps: Vec<u64> = when.iter().map(|at| at / step_ms).collect();
                let tick = self.ticks.get(&step_ms).copied().unwrap_or_default();
                let settled = tick.saturating_sub(Self::open_steps(step_ms));
                let mut fit = wanted.clone();
                let mut early = Bits::NONE;
                let too_early = steps.iter().enumerate().filter(|(_, step)| **step < settled);
                too_early.for_each(|(row, _)| early.set(row));
                early.and(&fit);
                fit.without(&early);
                late = late.max(early.count());
                let mut ahead = Bits::NONE;
                let too_far = when.iter().enumerate().filter(|(_, at)| **at > now.0 + AHEAD_MS);
                too_far.for_each(|(row, _)| ahead.set(row));
                fit.without(&ahead);
                (steps, fit)
            });
        }
        self.counters.late += u64::from(late);
        let far =
            when.iter().enumerate().filter(|(row, at)| wanted.has(*row) && **at > now.0 + AHEAD_MS);
        self.counters.ahead += far.count() as u64;
        let mut groups: HashMap<Vec<usize>, Groups> = HashMap::new();
        for series in &mut table.series {
            let key = &series.key;
            let Some((steps, fit)) = timed.get(&key.step_ms) else { continue };
            let mut rows = fit.clone();
            if let Some(filter) = key.filter {
                rows.and(&table.conditions.rows(filter, &mut chunk, &mut memory));
            }
            if rows.is_empty() {
                continue;
            }
            let like =
                key.like.map(|number| table.conditions.rows(number, &mut chunk, &mut memory));
            if !key.by.is_empty() && !groups.contains_key(&key.by) {
                groups.insert(key.by.clone(), Groups::of(&mut chunk, &key.by, &self.hasher));
            }
            let room_before = self.limits.groups.saturating_sub(self.groups);
            let mut room = Room { groups: self.limits.groups_of_rule, left: room_before };
            let refused = series.refused;
            let numbers = series.key.column.map(|column| chunk.numbers(column));
            let taken = Taken {
                rows: &rows,
                steps,
                groups: groups.get(&series.key.by).filter(|_| !series.key.by.is_empty()),
                like: like.as_ref(),
                numbers,
            };
            series.take(&taken, &mut room);
            self.groups += room_before - room.left;
            self.counters.refused_groups += series.refused - refused;
        }
    }

    /// The counters.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How many groups are followed, and steps of time of them.
    pub fn size(&self) -> (usize, usize) {
        let slots = self.tables.iter().flat_map(|table| &table.series).flat_map(|s| &s.slots);
        (self.groups, slots.map(crate::series::Slot::len).sum())
    }

    /// How many different conditions over rows there are.
    pub fn conditions(&self) -> usize {
        self.tables.iter().map(|table| table.conditions.len()).sum()
    }

    /// The rules that are judged by what is usual, and how far back that looks, in milliseconds.
    pub fn seasonal(&self) -> Vec<(Arc<Rule>, u64)> {
        let seasonal = self.rules.iter().filter_map(|held| match held.rule.query()?.condition {
            Condition::Baseline { season, .. } if held.broken.is_none() => {
                Some((Arc::clone(&held.rule), season.looks_back_ms()))
            }
            _ => None,
        });
        seasonal.collect()
    }
}
