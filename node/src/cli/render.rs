//! Answers for people: tables that fit a terminal, times as ages.

use std::io::IsTerminal;

use holm_model::Millis;

use crate::api::types::Timestamp;

/// A table: left-aligned, two blanks between columns, no lines.
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { header: header.map(str::to_owned).into(), rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)).into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut widths: Vec<usize> = self.header.iter().map(|h| h.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let bold = std::io::stdout().is_terminal();
        for (index, row) in std::iter::once(&self.header).chain(&self.rows).enumerate() {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            let line = cells.join("  ");
            match (index, bold) {
                (0, true) => writeln!(f, "\x1b[1m{}\x1b[0m", line.trim_end())?,
                _ => writeln!(f, "{}", line.trim_end())?,
            }
        }
        Ok(())
    }
}

/// Text from the network as a terminal may see it: no control characters, so no escape sequences.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// How long before `now`: `4 s`, `12 min`, `3 h`, `9 d`; `-` if it is not known.
pub(crate) fn age(moment: Option<Timestamp>, now: Millis) -> String {
    let Some(Timestamp(moment)) = moment else { return "-".into() };
    let seconds = now.since(moment) / 1_000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A number that was measured, or `-`.
pub(crate) fn measured(value: Option<f64>, unit: &str) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.2} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_and_shows_no_escape_sequences() {
        let mut table = Table::new(["site", "state"]);
        table.row(["berlin".into(), "live".into()]);
        table.row(["\x1b[31mx".into(), "stale".into()]);
        assert_eq!(table.to_string(), "site    state\nberlin  live\n\u{fffd}[31mx  stale\n");
    }

    #[test]
    fn ages_are_short() {
        let at = |ms| age(Some(Timestamp(Millis(ms))), Millis(1_000_000_000));
        assert_eq!(at(999_996_000), "4 s");
        assert_eq!(at(999_280_000), "12 min");
        assert_eq!(at(989_200_000), "3 h");
        assert_eq!(at(222_400_000), "9 d");
        assert_eq!(at(2_000_000_000), "0 s");
        assert_eq!(age(None, Millis(1)), "-");
    }
}
