//! What all sites counted: kept by measure and writer, added up when it is asked for.
//!
//! Each record has one writer; where two lives of one wrote at once, or a record lies in two documents, the
//! later view counts for each cell. So the ledger is the same whatever the order in which records come, how
//! often, and through whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use holm_model::{Millis, NodeName, SiteId};

use crate::count::{Count, Day, SLOT_MIN, Slot, decode_slot};
use crate::definition::MeasureId;
use crate::window::MINUTE_MS;

/// Minutes of a day.
const DAY_MIN: u32 = 24 * 60;
/// How long minutes are remembered: the longest window that looks at them, and what may come late.
const MINUTES_KEPT: u32 = 13 * 60;
const DAYS_KEPT: u32 = 402;

/// Who counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Writer {
    /// The site.
    pub site: SiteId,
    /// Its node.
    pub node: NodeName,
}

/// What a key of a record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKey {
    /// Five minutes: their number since 1970.
    Slot(MeasureId, u32),
    /// A day: its number since 1970.
    Day(MeasureId, u32),
}

impl RecordKey {
    /// The key as it stands in a document.
    pub fn text(self) -> String {
        match self {
            Self::Slot(measure, slot) => format!("{measure}m{slot}"),
            Self::Day(measure, day) => format!("{measure}d{day}"),
        }
    }

    /// The key that is written so.
    pub fn parse(text: &str) -> Option<Self> {
        let (measure, rest) = text.split_at_checked(10)?;
        let measure = MeasureId::parse(measure)?;
        let number = |text: &str, minutes: u32| {
            let number = text.parse::<u32>().ok()?;
            // One number, one spelling; its minutes can be counted.
            (number.to_string() == text && number < u32::MAX / minutes).then_some(number)
        };
        if let Some(slot) = rest.strip_prefix('m') {
            return Some(Self::Slot(measure, number(slot, SLOT_MIN)?));
        }
        Some(Self::Day(measure, number(rest.strip_prefix('d')?, DAY_MIN)?))
    }

    /// What it is counted for.
    pub const fn measure(self) -> MeasureId {
        match self {
            Self::Slot(measure, _) | Self::Day(measure, _) => measure,
        }
    }
}

/// What one writer counted of one measure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// Days by number, packed, with their sums.
    days: BTreeMap<u32, (Count, Box<[u8]>)>,
    slots: BTreeMap<u32, Slot>,
}

/// What all sites counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    series: HashMap<MeasureId, BTreeMap<Arc<Writer>, Series>>,
    writers: BTreeMap<Writer, Arc<Writer>>,
    unreadable: u64,
}

impl Ledger {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record as it stands, with all values that stand under its key; whether it was news.
    pub fn take<'a>(
        &mut self,
        writer: &Writer,
        key: &str,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> bool {
        let Some(key) = RecordKey::parse(key) else {
            self.unreadable = self.unreadable.saturating_add(1);
            return false;
        };
        let mut news = false;
        for value in values {
            let known = match key {
                RecordKey::Slot(measure, slot) => decode_slot(value)
                    .map(|minutes| self.series(writer, measure).take_slot(slot, &minutes)),
                RecordKey::Day(measure, day) => Day::decode(value)
                    .map(|cells| self.series(writer, measure).take_day(day, &cells)),
            };
            match known {
                Some(known) => news |= known,
                None => self.unreadable = self.unreadable.saturating_add(1),
            }
        }
        news
    }

    fn series(&mut self, writer: &Writer, measure: MeasureId) -> &mut Series {
        let shared = match self.writers.get(writer) {
            Some(shared) => Arc::clone(shared),
            None => {
                let shared = Arc::new(writer.clone());
                self.writers.insert(writer.clone(), Arc::clone(&shared));
                shared
            }
        };
        self.series.entry(measure).or_default().entry(shared).or_default()
    }

    /// What a writer counted of a measure.
    pub fn of(&self, writer: &Writer, measure: MeasureId) -> Option<&Series> {
        self.series.get(&measure)?.get(writer)
    }

    /// Who counted a measure, and what.
    pub fn writers(&self, measure: MeasureId) -> impl Iterator<Item = (&Writer, &Series)> {
        let of = self.series.get(&measure).into_iter().flatten();
        of.map(|(writer, series)| (&**writer, series))
    }

    /// Records that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Forgets minutes and days that nobody looks at any more.
    pub fn forget(&mut self, now: Millis) {
        let minute = minute_of(now);
        let slot = minute.saturating_sub(MINUTES_KEPT) / SLOT_MIN;
        let day = (minute / DAY_MIN).saturating_sub(DAYS_KEPT);
        self.series.retain(|_, of| {
            of.retain(|_, series| {
                series.slots = series.slots.split_off(&slot);
                series.days = series.days.split_off(&day);
                !series.slots.is_empty() || !series.days.is_empty()
            });
            !of.is_empty()
        });
    }
}

impl Series {
    fn take_slot(&mut self, slot: u32, minutes: &Slot) -> bool {
        let known = self.slots.entry(slot).or_default();
        let mut news = false;
        for (mine, theirs) in known.iter_mut().zip(minutes) {
            let joined = mine.joined(*theirs);
            news |= std::mem::replace(mine, joined) != joined;
        }
        news
    }

    fn take_day(&mut self, number: u32, cells: &Day) -> bool {
        let joined = match self.day(number) {
            Some(mut known) => {
                known.join(cells);
                known
            }
            None => cells.clone(),
        };
        let packed = joined.encode();
        let news = self.days.get(&number).is_none_or(|(_, known)| **known != *packed);
        if news {
            self.days.insert(number, (joined.sum(), packed.into()));
        }
        news
    }

    /// A day.
    pub fn day(&self, number: u32) -> Option<Day> {
        self.days.get(&number).and_then(|(_, packed)| Day::decode(packed))
    }

    /// A slot.
    pub fn slot(&self, number: u32) -> Slot {
        self.slots.get(&number).copied().unwrap_or_default()
    }

    /// The minute from which on something was counted, as far as it is remembered.
    pub fn first(&self) -> Option<u32> {
        let in_day = self.days.iter().find_map(|(number, _)| {
            let day = self.day(*number)?;
            let cell = day.cells.iter().position(|cell| !cell.is_empty())?;
            Some(number * DAY_MIN + u32::try_from(cell).ok()? * day.cell_min)
        });
        let in_slot = self.slots.iter().find_map(|(slot, minutes)| {
            let minute = minutes.iter().position(|minute| !minute.is_empty())?;
            Some(slot * SLOT_MIN + u32::try_from(minute).ok()?)
        });
        in_day.into_iter().chain(in_slot).min()
    }

    /// What was counted from minute `from` to minute `to` (excluded, since 1970): by minutes where they are
    /// known, else by the cells of the days that lie within.
    pub fn sum(&self, from: u32, to: u32) -> Count {
        let mut sum = Count::default();
        if from >= to {
            return sum;
        }
        let (first, last) = (from / DAY_MIN, (to - 1) / DAY_MIN);
        let bounds = |day: u32| (from.max(day * DAY_MIN), to.min((day + 1) * DAY_MIN));
        let whole = |day: u32| bounds(day) == (day * DAY_MIN, (day + 1) * DAY_MIN);
        // From here on the latest minutes may not have come into their day yet.
        let loose = self.slots.keys().next().map_or(u32::MAX, |slot| slot * SLOT_MIN / DAY_MIN);
        for (day, (of_day, _)) in self.days.range(first..=last) {
            match whole(*day) && *day < loose {
                true => sum += *of_day,
                false => sum += self.part_of_day(*day, bounds(*day)),
            }
        }
        for day in loose.max(first)..=last {
            if !self.days.contains_key(&day) {
                sum += self.part_of_day(day, bounds(day));
            }
        }
        sum
    }

    fn part_of_day(&self, number: u32, (from, to): (u32, u32)) -> Count {
        let begun = number * DAY_MIN;
        let day = self.day(number);
        let mut sum = Count::default();
        let cell_min = day.as_ref().map_or(60, |day| day.cell_min);
        let first = (from - begun) / cell_min;
        let last = (to - 1 - begun) / cell_min;
        for cell in first..=last {
            let at = begun + cell * cell_min;
            let minutes = self.minutes(at, at + cell_min);
            let counted = day.as_ref().and_then(|day| day.cells.get(cell as usize));
            let counted = counted.copied().unwrap_or_default();
            if minutes >= counted {
                sum += self.minutes(at.max(from), (at + cell_min).min(to));
            } else if at >= from && at + cell_min <= to {
                sum += counted;
            }
        }
        sum
    }

    /// What is known of minutes by themselves.
    fn minutes(&self, from: u32, to: u32) -> Count {
        let mut sum = Count::default();
        for (slot, minutes) in self.slots.range(from / SLOT_MIN..to.div_ceil(SLOT_MIN)) {
            for (at, count) in (slot * SLOT_MIN..).zip(minutes) {
                if (from..to).contains(&at) {
                    sum += *count;
                }
            }
        }
        sum
    }

    /// The day with what its minutes say, in cells of `cell_min`, as far as the minutes are known.
    pub fn closed_day(&self, number: u32, cell_min: u32) -> Day {
        let known = self.day(number).filter(|day| day.cell_min == cell_min);
        let mut day = known.unwrap_or_else(|| Day::new(cell_min));
        for cell in 0..DAY_MIN / cell_min {
            let at = number * DAY_MIN + cell * cell_min;
            day.set(cell as usize, self.minutes(at, at + cell_min));
        }
        day
    }
}

/// The minute of a moment, counted from 1970.
pub fn minute_of(at: Millis) -> u32 {
    u32::try_from(at.0 / MINUTE_MS).unwrap_or(u32::MAX)
}

const _: () = assert!(15 % SLOT_MIN == 0, "cells are made of whole slots");
