//! What rows of a table come to, by group and by step of time. Rules that look at the same share one series.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::bits::Bits;
use crate::columns::{Chunk, Coded, Numbers};
use crate::rule::Measure;
use crate::sketch::Sketch;

/// What is kept of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kept {
    Count,
    /// How many, and how many of them are like something.
    Share,
    Sum,
    Min,
    Max,
    Sketch,
}

impl Kept {
    pub(crate) const fn of(measure: &Measure) -> Self {
        match measure {
            Measure::Count | Measure::Rate => Self::Count,
            Measure::Share(..) => Self::Share,
            Measure::Sum(_) | Measure::Avg(_) => Self::Sum,
            Measure::Min(_) => Self::Min,
            Measure::Max(_) => Self::Max,
            Measure::Quantile(..) => Self::Sketch,
        }
    }
}

/// What rows of a step of time came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) count: u32,
    pub(crate) value: f64,
}

/// A group's name: what it has in the columns of `by`.
pub(crate) type GroupKey = Box<[Box<str>]>;

/// A group of rows.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: GroupKey,
    hash: u64,
    /// The step of the first cell.
    first: u64,
    cells: VecDeque<Cell>,
    sketches: VecDeque<Sketch>,
    /// The first step with a row; before it the group is not known.
    pub(crate) born: u64,
    /// The latest step with a row.
    pub(crate) latest: u64,
    /// The earliest step that changed since it was judged; `u64::MAX` if none did.
    pub(crate) changed: u64,
}

impl Slot {
    fn place(&mut self, step: u64, sketched: bool) -> usize {
        if self.cells.is_empty() {
            self.first = step;
        }
        while step < self.first {
            self.first -= 1;
            self.cells.push_front(Cell::default());
            if sketched {
                self.sketches.push_front(Sketch::default());
            }
        }
        let place = (step - self.first) as usize;
        if place >= self.cells.len() {
            self.cells.resize(place + 1, Cell::default());
            if sketched {
                self.sketches.resize(place + 1, Sketch::default());
            }
        }
        self.born = self.born.min(step);
        self.latest = self.latest.max(step);
        self.changed = self.changed.min(step);
        place
    }

    fn forget_before(&mut self, step: u64) {
        while self.first < step && !self.cells.is_empty() {
            self.cells.pop_front();
            self.sketches.pop_front();
            self.first += 1;
        }
    }

    fn cells(&self, from: u64, to: u64) -> std::ops::Range<usize> {
        let end = self.first + self.cells.len() as u64;
        let (from, to) = (from.clamp(self.first, end), to.clamp(self.first, end));
        (from - self.first) as usize..(to - self.first) as usize
    }

    /// The value of the steps from `from` up to before `to`; `None` where it has none.
    pub(crate) fn value(
        &self,
        measure: &Measure,
        (from, to): (u64, u64),
        window_ms: u64,
    ) -> Option<f64> {
        let range = self.cells(from, to);
        if let Measure::Quantile(q, _) = measure {
            let mut all = Sketch::default();
            self.sketches.range(range).for_each(|sketch| all.merge(sketch));
            return all.quantile(*q);
        }
        let cells = self.cells.range(range).filter(|cell| cell.count > 0);
        let (mut count, mut sum) = (0_u64, 0.0);
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        for cell in cells {
            count += u64::from(cell.count);
            sum += cell.value;
            least = least.min(cell.value);
            greatest = greatest.max(cell.value);
        }
        let some = |value: f64| (count > 0).then_some(value);
        match measure {
            Measure::Count => Some(count as f64),
            Measure::Rate => Some(count as f64 / (window_ms as f64 / 1_000.0)),
            Measure::Sum(_) => Some(sum),
            Measure::Share(..) | Measure::Avg(_) => some(sum / count as f64),
            Measure::Min(_) => some(least),
            Measure::Max(_) => some(greatest),
            Measure::Quantile(..) => None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }
}

/// What makes two series the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SeriesKey {
    pub(crate) filter: Option<usize>,
    pub(crate) like: Option<usize>,
    pub(crate) column: Option<usize>,
    pub(crate) by: Vec<usize>,
    pub(crate) kept: Kept,
    pub(crate) step_ms: u64,
}

/// A series.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) key: SeriesKey,
    /// The longest window that is asked of it, in steps.
    pub(crate) window: u64,
    /// Rules by number.
    pub(crate) rules: Vec<usize>,
    pub(crate) slots: Vec<Slot>,
    known: HashTable<u32>,
    /// Groups that found no room.
    pub(crate) refused: u64,
}

/// The group of each row of a chunk, by number.
#[derive(Debug)]
pub(crate) struct Groups {
    of: Vec<u32>,
    keys: Vec<(GroupKey, u64)>,
}

impl Groups {
    pub(crate) fn of(chunk: &mut Chunk, by: &[usize], hasher: &DefaultHashBuilder) -> Self {
        let mut keys = Vec::new();
        let mut known: hashbrown::HashMap<Vec<u32>, u32> = hashbrown::HashMap::new();
        let mut of = Vec::with_capacity(chunk.rows);
        let coded: Vec<Vec<u32>> =
            by.iter().map(|column| chunk.coded(*column).codes.clone()).collect();
        let mut codes = vec![0; by.len()];
        for row in 0..chunk.rows {
            for (code, column) in codes.iter_mut().zip(&coded) {
                *code = column[row];
            }
            let group = match known.get(&codes) {
                Some(group) => *group,
                None => {
                    let key: GroupKey = codes
                        .iter()
                        .zip(by)
                        .map(|(code, column)| match *code {
                            Coded::NONE => Box::default(),
                            code => chunk.coded(*column).texts[code as usize].clone(),
                        })
                        .collect();
                    let group = keys.len() as u32;
                    let hash = hash_of(&key, hasher);
                    keys.push((key, hash));
                    known.insert(codes.clone(), group);
                    group
                }
            };
            of.push(group);
        }
        Self { of, keys }
    }
}

pub(crate) fn hash_of(key: &GroupKey, hasher: &DefaultHashBuilder) -> u64 {
    let mut state = hasher.build_hasher();
    for part in key {
        state.write(part.as_bytes());
        state.write_u8(0xff);
    }
    state.finish()
}

/// Rows that a series is to take.
pub(crate) struct Taken<'a> {
    pub(crate) rows: &'a Bits,
    /// The step of each row.
    pub(crate) steps: &'a [u64],
    pub(crate) groups: Option<&'a Groups>,
    pub(crate) like: Option<&'a Bits>,
    pub(crate) numbers: Option<&'a Numbers>,
}

/// How many groups there may still be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Of a series.
    pub(crate) groups: usize,
    /// Of all series.
    pub(crate) left: usize,
}

impl Series {
    pub(crate) fn new(key: SeriesKey) -> Self {
        let mut series = Self {
            key,
            window: 0,
            rules: Vec::new(),
            slots: Vec::new(),
            known: HashTable::new(),
            refused: 0,
        };
        if series.key.by.is_empty() {
            // There is always one.
            series.add(Box::default(), 0);
        }
        series
    }

    fn add(&mut self, key: GroupKey, hash: u64) -> u32 {
        let slot = self.slots.len() as u32;
        let born = if key.is_empty() { 0 } else { u64::MAX };
        self.slots.push(Slot {
            key,
            hash,
            first: 0,
            cells: VecDeque::new(),
            sketches: VecDeque::new(),
            born,
            latest: 0,
            changed: u64::MAX,
        });
        let slots = &self.slots;
        self.known.insert_unique(hash, slot, |slot| slots[*slot as usize].hash);
        slot
    }

    pub(crate) fn slot(&self, key: &GroupKey, hasher: &DefaultHashBuilder) -> Option<usize> {
        if self.key.by.is_empty() {
            return Some(0);
        }
        let hash = hash_of(key, hasher);
        let same = |slot: &u32| self.slots[*slot as usize].key == *key;
        self.known.find(hash, same).map(|slot| *slot as usize)
    }

    /// Takes rows of a chunk.
    pub(crate) fn take(&mut self, taken: &Taken<'_>, room: &mut Room) {
        const UNKNOWN: u32 = u32::MAX;
        const REFUSED: u32 = u32::MAX - 1;
        let Some(groups) = taken.groups else {
            for row in taken.rows.rows() {
                self.take_row(0, row, taken);
            }
            return;
        };
        let mut slots = vec![UNKNOWN; groups.keys.len()];
        for row in taken.rows.rows() {
            let group = groups.of[row] as usize;
            if slots[group] == UNKNOWN {
                let (key, hash) = &groups.keys[group];
                let same = |slot: &u32| self.slots[*slot as usize].key == *key;
                slots[group] = match self.known.find(*hash, same) {
                    Some(slot) => *slot,
                    None if self.slots.len() >= room.groups || room.left == 0 => {
                        self.refused += 1;
                        REFUSED
                    }
                    None => {
                        room.left -= 1;
                        self.add(key.clone(), *hash)
                    }
                };
            }
            if slots[group] != REFUSED {
                self.take_row(slots[group] as usize, row, taken);
            }
        }
    }

    fn take_row(&mut self, slot: usize, row: usize, taken: &Taken<'_>) {
        let kept = self.key.kept;
        let number = match taken.numbers {
            // A row without the value says nothing.
            Some(numbers) if !numbers.valid.has(row) => return,
            Some(numbers) => numbers.values[row],
            None => 0.0,
        };
        let slot = &mut self.slots[slot];
        let place = slot.place(taken.steps[row], kept == Kept::Sketch);
        let cell = &mut slot.cells[place];
        let first = cell.count == 0;
        cell.count = cell.count.saturating_add(1);
        match kept {
            Kept::Count => {}
            Kept::Share => {
                cell.value += f64::from(u8::from(taken.like.is_some_and(|l| l.has(row))))
            }
            Kept::Sum => cell.value += number,
            Kept::Min => cell.value = if first { number } else { cell.value.min(number) },
            Kept::Max => cell.value = if first { number } else { cell.value.max(number) },
            Kept::Sketch => slot.sketches[place].add(number),
        }
    }

    /// Forgets steps before that one.
    pub(crate) fn forget_before(&mut self, step: u64) {
        self.slots.iter_mut().for_each(|slot| slot.forget_before(step));
    }

    /// Takes a group away; the last one comes into its place.
    pub(crate) fn remove(&mut self, slot: usize) {
        let hash = self.slots[slot].hash;
        if let Ok(entry) = self.known.find_entry(hash, |found| *found as usize == slot) {
            entry.remove();
        }
        let last = self.slots.len() - 1;
        if slot != last {
            let hash = self.slots[last].hash;
            if let Some(place) = self.known.find_mut(hash, |found| *found as usize == last) {
                *place = slot as u32;
            }
        }
        self.slots.swap_remove(slot);
    }
}
