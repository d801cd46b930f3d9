//! From sums of rows, minute by minute, to what is in the ledger.

use std::collections::BTreeMap;

use crate::count::Count;
use crate::definition::{Measure, PARTS, Slices};

/// What rows of a minute came to: all, and the part that is good or bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// What `total` summed.
    pub total: u64,
    /// What `part` summed.
    pub part: u64,
}

impl Measure {
    /// What the minutes from `from` to `to` (excluded, counted from 1970) add to the ledger, if rows are known
    /// for all of them. A slice counts in its last minute, once it is over; one of which the beginning lies
    /// before `from` is left out.
    pub fn ledger(
        &self,
        rows: &BTreeMap<u32, Rows>,
        (from, to): (u32, u32),
    ) -> BTreeMap<u32, Count> {
        let slice = self.slices.minutes().max(1);
        let mut counts = BTreeMap::new();
        if let Slices::None = self.slices {
            // Where another table says what is good, its rows may come when all of the others are there.
            let apart = self.part.table != self.total.table;
            for (minute, rows) in rows.range(from..to) {
                let count = self.count(*rows).judged_by(if apart { rows.part } else { 0 });
                if !count.is_empty() {
                    counts.insert(*minute, count);
                }
            }
            return counts;
        }
        let mut begun = from.next_multiple_of(slice);
        while begun + slice <= to {
            let mut sum = Rows::default();
            for rows in rows.range(begun..begun + slice).map(|(_, rows)| rows) {
                sum.total = sum.total.saturating_add(rows.total);
                sum.part = sum.part.saturating_add(rows.part);
            }
            let count = self.count(sum);
            if !count.is_empty() {
                let judged_by = sum.total.saturating_add(sum.part);
                counts.insert(begun + slice - 1, self.slice(count).judged_by(judged_by));
            }
            begun += slice;
        }
        counts
    }

    /// Rows as a count; more good ones than there are in all count as all of them.
    fn count(&self, rows: Rows) -> Count {
        let part = rows.part.min(rows.total);
        Count::new(rows.total, if self.bad { part } else { rows.total - part })
    }

    /// What rows of a slice count as one.
    fn slice(&self, rows: Count) -> Count {
        let good = (rows.total - rows.bad) as f64 / rows.total as f64;
        match self.slices {
            Slices::None => rows,
            Slices::Judged(_, least) => Count::new(1, u64::from(good < least)),
            Slices::Shared(_) => {
                let bad = u128::from(rows.bad) * u128::from(PARTS) / u128::from(rows.total);
                Count::new(PARTS, u64::try_from(bad).unwrap_or(PARTS))
            }
        }
    }
}
