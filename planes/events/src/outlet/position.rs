//! How far the outlet came: which files were taken over there.
//!
//! Files of one table and hour go in the order of their log segments, so two numbers say it all: all up
//! to `sent` is there; all up to `trying` may be. What may be there is sent again as it was, under the
//! same token: until then it is not put together with other files.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::file::{FileName, Hour};

const VERSION: u64 = 1;

/// How it stands with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its rows are there, or will not be sent.
    Sent,
    /// They may be there.
    Tried,
    /// They are not there.
    Waits,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    sent: u64,
    trying: u64,
}

/// Marks by table and hour; an hour without one has sent nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    tables: BTreeMap<String, BTreeMap<Hour, Mark>>,
}

impl Position {
    pub(crate) fn of(&self, table: &str, hour: Hour, name: &FileName) -> Standing {
        let marks = self.tables.get(table);
        let mark = marks.and_then(|marks| marks.get(&hour)).copied().unwrap_or_default();
        if name.hi <= mark.sent {
            Standing::Sent
        } else if name.lo <= mark.trying {
            Standing::Tried
        } else {
            Standing::Waits
        }
    }

    pub(crate) fn try_up_to(&mut self, table: &str, hour: Hour, segment: u64) {
        let mark = self.mark(table, hour);
        mark.trying = mark.trying.max(segment);
    }

    pub(crate) fn sent_up_to(&mut self, table: &str, hour: Hour, segment: u64) {
        let mark = self.mark(table, hour);
        mark.sent = mark.sent.max(segment);
        mark.trying = mark.trying.max(segment);
    }

    fn mark(&mut self, table: &str, hour: Hour) -> &mut Mark {
        self.tables.entry(table.to_owned()).or_default().entry(hour).or_default()
    }

    /// Forgets hours that have no files any more: what comes later has later segments.
    pub(crate) fn keep(&mut self, there: impl Fn(&str, Hour) -> bool) {
        for (table, marks) in &mut self.tables {
            marks.retain(|hour, _| there(table, *hour));
        }
        self.tables.retain(|_, marks| !marks.is_empty());
    }

    /// `{"version":1,"target":"…","tables":{"flows":{"2026-11-21/23":[sent,trying]}}}`
    pub(crate) fn to_json(&self, target: &str) -> Vec<u8> {
        let hours = |marks: &BTreeMap<Hour, Mark>| -> Value {
            let marks = marks.iter().map(|(hour, mark)| {
                (hour.folder().display().to_string(), json!([mark.sent, mark.trying]))
            });
            Value::Object(marks.collect())
        };
        let tables = self.tables.iter().map(|(table, marks)| (table.clone(), hours(marks)));
        let tables = Value::Object(tables.collect());
        json!({ "version": VERSION, "target": target, "tables": tables }).to_string().into_bytes()
    }

    /// What was written for that target; `None` if it is another's, or damaged.
    pub(crate) fn from_json(bytes: &[u8], target: &str) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        if value["version"] != VERSION || value["target"] != target {
            return None;
        }
        let mut position = Self::default();
        for (table, hours) in value["tables"].as_object()? {
            for (hour, mark) in hours.as_object()? {
                let mark = Mark { sent: mark[0].as_u64()?, trying: mark[1].as_u64()? };
                *position.mark(table, Hour::named(hour)?) = mark;
            }
        }
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_model::Millis;

    fn name(lo: u64, hi: u64) -> FileName {
        FileName { lo, hi, min: Millis(0), max: Millis(0), rows: 1 }
    }

    #[test]
    fn what_may_be_there_is_told_from_what_is() {
        let (hour, other) = (Hour::of(Millis(7_200_000)), Hour::of(Millis(0)));
        let mut position = Position::default();
        assert_eq!(position.of("flows", hour, &name(1, 2)), Standing::Waits);
        position.sent_up_to("flows", hour, 2);
        position.try_up_to("flows", hour, 5);
        for (file, standing) in [
            (name(1, 2), Standing::Sent),
            (name(3, 3), Standing::Tried),
            (name(3, 5), Standing::Tried),
            (name(6, 9), Standing::Waits),
        ] {
            assert_eq!(position.of("flows", hour, &file), standing, "{file}");
        }
        assert_eq!(position.of("flows", other, &name(1, 2)), Standing::Waits);
        assert_eq!(position.of("signals", hour, &name(1, 2)), Standing::Waits);
        // It never goes back.
        position.sent_up_to("flows", hour, 1);
        position.try_up_to("flows", hour, 1);
        assert_eq!(position.of("flows", hour, &name(1, 2)), Standing::Sent);
        assert_eq!(position.of("flows", hour, &name(4, 4)), Standing::Tried);

        let written = position.to_json("t");
        assert_eq!(Position::from_json(&written, "t").as_ref(), Some(&position));
        assert_eq!(Position::from_json(&written, "another"), None);
        for end in 0..written.len() {
            assert_eq!(Position::from_json(&written[..end], "t"), None);
        }
        position.keep(|table, at| table == "flows" && at == other);
        assert_eq!(position, Position::default());
    }
}
