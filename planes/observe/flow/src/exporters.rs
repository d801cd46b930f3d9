//! How exporters do, as rows: what each of them sent, and what of it was lost, since its row before.
//!
//! Rows say differences, so that their sum over any window is what was counted in it, whatever was
//! restarted meanwhile. One that sends nothing gets no row; that the collector runs says a row of its own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use holm_model::{Millis, Row};
use holm_plane::RowSink;

use crate::counters::Counters;
use crate::decoder::ExporterReport;
use crate::meaning::ExporterName;
use crate::receive::CollectorReport;

/// The table of exporters: a row for each exporter that was heard, every half minute.
pub const EXPORTERS_TABLE: &str = "flow_exporters";
/// The table of collectors: a row every half minute while one runs.
pub const COLLECTORS_TABLE: &str = "flow_collectors";
/// How often.
const EVERY_MS: u64 = 30_000;

/// What rows said last.
#[derive(Debug, Default)]
pub(crate) struct Exporters {
    /// What exporters are called.
    names: HashMap<IpAddr, String>,
    told: HashMap<SocketAddr, Told>,
    collector: Millis,
    drops: u64,
}

#[derive(Debug)]
struct Told {
    at: Millis,
    counters: Counters,
}

impl Exporters {
    pub(crate) fn new(names: &[ExporterName]) -> Self {
        let named = |named: &ExporterName| (named.address.to_canonical(), named.name.clone());
        Self { names: names.iter().map(named).collect(), ..Self::default() }
    }

    /// Exporters have other names from now on.
    pub(crate) fn rename(&mut self, names: &[ExporterName]) {
        self.names = Self::new(names).names;
    }

    /// Writes the rows that are due: of an exporter that is new at once.
    pub(crate) fn tell(&mut self, report: &CollectorReport, now: Millis, rows: &dyn RowSink) {
        self.tell_if(report, now, rows, |told| now.since(told.at) >= EVERY_MS);
        if now.since(self.collector) >= EVERY_MS {
            self.tell_collector(report, now, rows);
        }
    }

    /// Writes all that was not said yet.
    pub(crate) fn tell_all(&mut self, report: &CollectorReport, now: Millis, rows: &dyn RowSink) {
        self.tell_if(report, now, rows, |_| true);
        self.tell_collector(report, now, rows);
    }

    fn tell_if(
        &mut self,
        report: &CollectorReport,
        now: Millis,
        rows: &dyn RowSink,
        due: impl Fn(&Told) -> bool,
    ) {
        for exporter in &report.exporters {
            let before = match self.told.get(&exporter.from) {
                // Known from the last run, and not heard since.
                None if exporter.counters == Counters::default() => continue,
                None => Counters::default(),
                Some(told) if told.counters == exporter.counters || !due(told) => continue,
                Some(told) => told.counters,
            };
            let name = self.names.get(&exporter.from.ip()).map(String::as_str);
            rows.append(row(exporter, &before, now).with_some("flow.exporter.name", name));
            self.told.insert(exporter.from, Told { at: now, counters: exporter.counters });
        }
        if self.told.len() > report.exporters.len() {
            let known: std::collections::HashSet<SocketAddr> =
                report.exporters.iter().map(|exporter| exporter.from).collect();
            self.told.retain(|from, _| known.contains(from));
        }
    }

    fn tell_collector(&mut self, report: &CollectorReport, now: Millis, rows: &dyn RowSink) {
        let drops = report.kernel_drops.saturating_sub(self.drops);
        (self.collector, self.drops) = (now, report.kernel_drops);
        rows.append(
            Row::new(COLLECTORS_TABLE, now)
                .with("exporters", report.exporters.len() as u64)
                .with("kernel_drops", drops)
                .with("pending_sets", report.pending_sets)
                .with("tcp_sessions", report.tcp_sessions),
        );
    }
}

fn row(exporter: &ExporterReport, before: &Counters, now: Millis) -> Row {
    let heard = Millis(u64::try_from(exporter.heard_ns / 1_000_000).unwrap_or(0));
    let mut row = Row::new(EXPORTERS_TABLE, now)
        .with("flow.exporter.address", exporter.from.ip().to_string())
        .with("flow.exporter.port", exporter.from.port())
        .with("heard", heard.0)
        .with("domains", exporter.domains as u64)
        .with("templates", exporter.templates as u64)
        .with("templates_waiting", exporter.waiting as u64);
    // A session that ended takes its counts along: what counts from nothing began anew.
    let less = |((name, value), (_, before)): ((&str, u64), (&str, u64))| {
        value < before && !name.starts_with("lost_")
    };
    let anew = exporter.counters.each().zip(before.each()).any(less);
    for ((name, value), (_, before)) in exporter.counters.each().zip(before.each()) {
        let before = if anew { 0 } else { before };
        // What was taken for lost and came after all is taken back: sums are right, a row may be below zero.
        let since = i64::try_from(value.abs_diff(before)).unwrap_or(i64::MAX);
        row = row.with(column_of(name), if value < before { -since } else { since });
    }
    row
}

/// The column of a counter. `templates` is how many are known.
fn column_of(counter: &'static str) -> &'static str {
    if counter == "templates" { "templates_learnt" } else { counter }
}

/// The texts of [`EXPORTERS_TABLE`].
pub const EXPORTER_TEXTS: &[&str] = &["flow.exporter.address", "flow.exporter.name"];

/// The whole numbers of [`EXPORTERS_TABLE`].
pub fn exporter_columns() -> Vec<&'static str> {
    let gauges = ["flow.exporter.port", "heard", "domains", "templates", "templates_waiting"];
    let counted = Counters::default().each().map(|(name, _)| column_of(name));
    gauges.into_iter().chain(counted).collect()
}

/// The counters among them: their sum over a window is what was counted in it.
pub fn exporter_counters() -> Vec<&'static str> {
    Counters::default().each().map(|(name, _)| column_of(name)).collect()
}

/// The whole numbers of [`COLLECTORS_TABLE`].
pub const COLLECTOR_COLUMNS: &[&str] =
    &["exporters", "kernel_drops", "pending_sets", "tcp_sessions"];

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use holm_model::Value;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Row>>);

    impl RowSink for Kept {
        fn append(&self, row: Row) {
            self.0.lock().expect("not poisoned").push(row);
        }
    }

    fn report(flows: u64) -> CollectorReport {
        let counters = Counters { flows, datagrams: flows.min(1), ..Counters::default() };
        let exporter = ExporterReport {
            from: SocketAddr::from(([192, 0, 2, 1], 2055)),
            heard_ns: 5_000_000_000,
            domains: 1,
            templates: 2,
            waiting: 0,
            counters,
        };
        CollectorReport { exporters: vec![exporter], ..CollectorReport::default() }
    }

    #[test]
    fn rows_add_up_to_what_was_counted() {
        let (mut exporters, kept) = (Exporters::default(), Kept::default());
        exporters.tell(&report(0), Millis(1_000), &kept);
        for (at, flows) in [(60_000, 10), (61_000, 20), (95_000, 25), (200_000, 25)] {
            exporters.tell(&report(flows), Millis(at), &kept);
        }
        // Another session of the same exporter.
        exporters.tell_all(&report(7), Millis(201_000), &kept);
        let rows = kept.0.into_inner().expect("not poisoned");
        let flows = rows.iter().filter(|row| row.table == EXPORTERS_TABLE);
        let flows: Vec<&Value> = flows.map(|row| &row.columns["flows"]).collect();
        assert_eq!(flows, [&Value::Int(10), &Value::Int(15), &Value::Int(7)]);
        assert!(rows.iter().any(|row| row.table == COLLECTORS_TABLE));
    }
}
