//! Counts, and how they lie in documents.
//!
//! A **slot** is five minutes, minute by minute: a version byte, then for each minute what was counted and
//! how much of it was bad, as LEB128; minutes of nothing at the end are left out. A **day** is its hours (or
//! quarters of an hour): a version byte, the length of a cell in minutes, then for each cell one number that
//! holds the change of what was counted against the cell before (zigzag) and whether any was bad, and how
//! much, if so. A steady day of a busy service is thus a byte or three for each hour. Where something was
//! judged by rows, the version is the next one, and how many they were stands after each of them: in a slot
//! as it is, in a day as its change.

use std::ops::AddAssign;

/// What was counted, and how much of it was bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// All of it; at most 2^53.
    pub total: u64,
    /// How many rows it was judged by, at most 2^53; 0 where `total` says it, or nobody does.
    pub rows: u64,
    /// What was bad of it.
    pub bad: u64,
}

/// Larger counts are hostile: no sum over all sites and a year may overflow.
const MAX_COUNT: u64 = 1 << 53;

impl Count {
    /// So many of so many, the one bounded by the other.
    pub fn new(total: u64, bad: u64) -> Self {
        let total = total.min(MAX_COUNT);
        Self { total, rows: 0, bad: bad.min(total) }
    }

    /// The same, as so many rows say.
    #[must_use]
    pub fn judged_by(self, rows: u64) -> Self {
        Self { rows: rows.min(MAX_COUNT), ..self }
    }

    /// Nothing was counted.
    pub const fn is_empty(self) -> bool {
        self.total == 0
    }

    /// The later view of the same rows: rows come late, and none is taken back. So it is the one that counted
    /// more; of a slice, which is one however many rows it has, the one that was judged by more rows.
    #[must_use]
    pub fn joined(self, other: Self) -> Self {
        self.max(other)
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.rows = self.rows.saturating_add(other.rows).min(MAX_COUNT);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

/// Minutes of a slot.
pub const SLOT_MIN: u32 = 5;
/// The minutes of a slot.
pub type Slot = [Count; SLOT_MIN as usize];

const VERSION: u8 = 1;
/// With the rows that each count was judged by.
const VERSION_ROWS: u8 = 2;
/// Most cells of a day: quarters of an hour.
const MAX_CELLS: usize = 96;

/// The cells of a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Length of a cell, in minutes: 60 or 15.
    pub cell_min: u32,
    /// The cells from midnight (UTC) on; those at the end may be left out.
    pub cells: Vec<Count>,
}

impl Day {
    /// A day of nothing.
    pub fn new(cell_min: u32) -> Self {
        Self { cell_min, cells: Vec::new() }
    }

    /// How many cells a day of such cells has.
    const fn most(cell_min: u32) -> usize {
        (24 * 60 / cell_min) as usize
    }

    /// The sum of its cells.
    pub fn sum(&self) -> Count {
        self.cells.iter().fold(Count::default(), |mut sum, cell| {
            sum += *cell;
            sum
        })
    }

    /// Cell by cell the later view. Of cells of two lengths the shorter ones count.
    pub fn join(&mut self, other: &Self) {
        if other.cell_min != self.cell_min {
            if other.cell_min < self.cell_min {
                other.clone_into(self);
            }
            return;
        }
        if self.cells.len() < other.cells.len() {
            self.cells.resize(other.cells.len(), Count::default());
        }
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *mine = mine.joined(*theirs);
        }
    }

    /// Sets a cell to the later view of it; whether that is news.
    pub fn set(&mut self, cell: usize, count: Count) -> bool {
        if count.is_empty() || cell >= Self::most(self.cell_min) {
            return false;
        }
        if self.cells.len() <= cell {
            self.cells.resize(cell + 1, Count::default());
        }
        let joined = self.cells[cell].joined(count);
        std::mem::replace(&mut self.cells[cell], joined) != joined
    }

    /// As it lies in a document.
    pub fn encode(&self) -> Vec<u8> {
        let with_rows = self.cells.iter().any(|cell| cell.rows > 0);
        let version = if with_rows { VERSION_ROWS } else { VERSION };
        let mut bytes = vec![version, u8::try_from(self.cell_min).unwrap_or(60)];
        let (mut before, mut rows_before) = (0, 0);
        for cell in &self.cells {
            let delta = zigzag(i128::from(cell.total) - i128::from(before));
            before = cell.total;
            put(&mut bytes, delta << 1 | u64::from(cell.bad > 0));
            if cell.bad > 0 {
                put(&mut bytes, cell.bad);
            }
            if with_rows {
                put(&mut bytes, zigzag(i128::from(cell.rows) - i128::from(rows_before)));
                rows_before = cell.rows;
            }
        }
        bytes
    }

    /// What lies in a document; `None` if it is no day.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (with_rows, mut rest) = versioned(bytes)?;
        let (&cell_min, after) = rest.split_first()?;
        rest = after;
        if !matches!(cell_min, 15 | 60) {
            return None;
        }
        let mut day = Self::new(u32::from(cell_min));
        let most = Self::most(day.cell_min).min(MAX_CELLS);
        let (mut before, mut rows_before) = (0_i128, 0_i128);
        while !rest.is_empty() {
            let head = take(&mut rest)?;
            before += unzigzag(head >> 1);
            let total = u64::try_from(before).ok().filter(|total| *total <= MAX_COUNT)?;
            let bad = if head & 1 == 1 { take(&mut rest)? } else { 0 };
            if bad > total || day.cells.len() == most {
                return None;
            }
            rows_before += if with_rows { unzigzag(take(&mut rest)?) } else { 0 };
            let rows = u64::try_from(rows_before).ok().filter(|rows| *rows <= MAX_COUNT)?;
            day.cells.push(Count { total, rows, bad });
        }
        Some(day)
    }
}

/// A slot as it lies in a document.
pub fn encode_slot(slot: &Slot) -> Vec<u8> {
    let used = slot.iter().rposition(|minute| !minute.is_empty()).map_or(0, |last| last + 1);
    let with_rows = slot.iter().any(|minute| minute.rows > 0);
    let mut bytes = vec![if with_rows { VERSION_ROWS } else { VERSION }];
    for minute in &slot[..used] {
        put(&mut bytes, minute.total);
        put(&mut bytes, minute.bad);
        if with_rows {
            put(&mut bytes, minute.rows);
        }
    }
    bytes
}

/// Whether rows are told of, and what stands after the version; `None` if it is none that is known.
fn versioned(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let (version, rest) = bytes.split_first()?;
    matches!(*version, VERSION | VERSION_ROWS).then_some((*version == VERSION_ROWS, rest))
}

/// What lies in a document; `None` if it is no slot.
pub fn decode_slot(bytes: &[u8]) -> Option<Slot> {
    let (with_rows, mut rest) = versioned(bytes)?;
    let mut slot = Slot::default();
    for minute in &mut slot {
        if rest.is_empty() {
            break;
        }
        let (total, bad) = (take(&mut rest)?, take(&mut rest)?);
        let rows = if with_rows { take(&mut rest)? } else { 0 };
        if total > MAX_COUNT || rows > MAX_COUNT || bad > total {
            return None;
        }
        *minute = Count { total, rows, bad };
    }
    rest.is_empty().then_some(slot)
}

fn zigzag(number: i128) -> u64 {
    // Both counts are at most 2^53: it fits.
    let folded = if number < 0 { -2 * number - 1 } else { 2 * number };
    u64::try_from(folded).unwrap_or(u64::MAX >> 1)
}

fn unzigzag(number: u64) -> i128 {
    let half = i128::from(number >> 1);
    if number & 1 == 1 { -half - 1 } else { half }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if place == 9 && byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts() -> impl Strategy<Value = Count> {
        let busy = (0..=MAX_COUNT, 0..=MAX_COUNT).prop_map(|(total, bad)| Count::new(total, bad));
        let judged = (0..9_u64, 0..3_u64, 0..=MAX_COUNT)
            .prop_map(|(t, b, rows)| Count::new(t, b).judged_by(if t > 0 { rows } else { 0 }));
        prop_oneof![
            Just(Count::default()),
            busy,
            judged,
            (0..500_u64, 0..3_u64).prop_map(|(t, b)| Count::new(t, b))
        ]
    }

    proptest! {
        #[test]
        fn days_and_slots_come_back_as_they_went(
            cells in prop::collection::vec(counts(), 0..=24),
            slot in prop::array::uniform5(counts()),
        ) {
            let day = Day { cell_min: 60, cells };
            prop_assert_eq!(Day::decode(&day.encode()), Some(day));
            prop_assert_eq!(decode_slot(&encode_slot(&slot)), Some(slot));
        }

        #[test]
        fn hostile_bytes_are_no_day_or_one_within_its_bounds(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for (version, first) in [(VERSION, 15), (VERSION, 60), (VERSION_ROWS, 15), (VERSION_ROWS, 60)] {
                let mut day = vec![version, first];
                day.extend(&bytes);
                if let Some(day) = Day::decode(&day) {
                    prop_assert!(day.cells.len() <= MAX_CELLS);
                    prop_assert!(day.cells.iter().all(|c| c.bad <= c.total && c.total <= MAX_COUNT));
                    prop_assert!(day.cells.iter().all(|c| c.rows <= MAX_COUNT));
                }
            }
            let _ = decode_slot(&bytes);
        }
    }

    #[test]
    fn a_steady_day_is_short() {
        let day = Day { cell_min: 60, cells: vec![Count::new(3_600, 0); 24] };
        assert_eq!(day.encode().len(), 2 + 2 + 23);
        assert_eq!(day.sum(), Count::new(24 * 3_600, 0));
    }

    #[test]
    fn what_was_written_before_rows_were_told_of_is_read() {
        let slot = decode_slot(&[1, 1, 1, 0, 0, 1, 0])
            .expect("minutes of nothing at the end are left out");
        assert_eq!(slot[0], Count::new(1, 1));
        assert_eq!(slot[2].total, 1);
        let day = Day::decode(&[1, 60, 5, 1, 0]).expect("a day");
        assert_eq!(day.cells, [Count::new(1, 1), Count::new(1, 0)]);
        // What was judged by more rows is the later view of it.
        let later = Count::new(1, 0).judged_by(100);
        assert_eq!(slot[0].joined(later), later);
        assert_eq!(later.joined(slot[0]), later);
    }

    #[test]
    fn a_cell_takes_the_later_view_only() {
        let mut day = Day::new(60);
        assert!(day.set(3, Count::new(10, 1)));
        assert!(!day.set(3, Count::new(8, 0)), "rows that were dropped do not take back");
        assert!(day.set(3, Count::new(11, 1)));
        assert!(!day.set(24, Count::new(1, 0)), "a day has no such hour");
        assert_eq!(day.cells.len(), 4);
    }
}
