//! Questions as SQL over table `flows`.

use std::fmt::Write;
use std::net::IpAddr;

use super::dimension::Dimension;
use super::filter::Filter;

/// What flows are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Bytes, times the sampling rate.
    Bytes,
    /// Packets, times the sampling rate.
    Packets,
    /// Records.
    Flows,
}

impl Metric {
    const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Flows => "flows",
        }
    }
}

/// Which records.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Received from then on, nanoseconds since 1970.
    pub from_ns: i64,
    /// Received before.
    pub to_ns: i64,
    /// And this holds.
    pub filter: Filter,
}

impl Scope {
    fn condition(&self) -> String {
        format!(
            "flow.time_received >= {} AND flow.time_received < {} AND {}",
            moment(self.from_ns),
            moment(self.to_ns),
            self.filter.sql()
        )
    }
}

/// A value of a key, as an answer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Not told.
    Null,
    /// A number.
    Number(u64),
    /// An address.
    Address(IpAddr),
    /// A text.
    Text(String),
}

impl Cell {
    fn holds(&self, column: &str) -> String {
        match self {
            Self::Null => format!("{column} IS NULL"),
            Self::Number(number) => format!("{column} = {number}"),
            Self::Address(address) => format!("{column} = ip('{address}')"),
            Self::Text(text) => format!("{column} = '{}'", text.replace('\'', "''")),
        }
    }
}

const BYTES: &str = "COALESCE(flow.io.bytes_scaled, CAST(0 AS BIGINT UNSIGNED))";
const PACKETS: &str = "COALESCE(flow.io.packets_scaled, CAST(0 AS BIGINT UNSIGNED))";
const NONE: &str = "CAST(0 AS BIGINT UNSIGNED)";
const ONE: &str = "CAST(1 AS BIGINT UNSIGNED)";
/// How far an exporter's clock is trusted, in nanoseconds: a flow that ends further from when it was
/// received is taken to have ended then.
const TRUSTED_NS: i64 = 1_800_000_000_000;
/// Longest flow that is spread, in nanoseconds.
const LONGEST_NS: i64 = 86_400_000_000_000;

/// More than any record says and means, and less than 64 bits hold.
const MOST: &str = "CAST(9000000000000000000 AS DOUBLE)";

fn moment(ns: i64) -> String {
    format!("arrow_cast({ns}, 'Timestamp(Nanosecond, Some(\"UTC\"))')")
}

/// The columns of keys, and what names them.
fn keys(by: &[&Dimension]) -> (Vec<&'static str>, Vec<&'static str>) {
    let columns = by.iter().flat_map(|dimension| dimension.columns).copied().collect();
    (columns, by.iter().filter_map(|dimension| dimension.label).collect())
}

/// The largest groups: `k0`, `k1`, … of the dimensions' columns, `n0`, … of their labels, `bytes`,
/// `packets`, `flows`; with `before_ns` also `bytes_before`, `packets_before`, `flows_before` of what
/// was received from then on until the scope begins.
pub fn top_sql(
    scope: &Scope,
    by: &[&Dimension],
    metric: Metric,
    limit: usize,
    before_ns: Option<i64>,
) -> String {
    let (columns, labels) = keys(by);
    let mut select: Vec<String> =
        columns.iter().enumerate().map(|(i, column)| format!("{column} AS k{i}")).collect();
    select.extend(
        labels
            .iter()
            .enumerate()
            .map(|(i, label)| format!("max(CAST({label} AS VARCHAR)) AS n{i}")),
    );
    let now = format!("flow.time_received >= {}", moment(scope.from_ns));
    let values = [(BYTES, "bytes"), (PACKETS, "packets"), (ONE, "flows")];
    for (value, name) in values {
        match before_ns {
            None => select.push(format!("sum({value}) AS {name}")),
            Some(_) => {
                select.push(format!("sum(CASE WHEN {now} THEN {value} ELSE {NONE} END) AS {name}"));
                select.push(format!(
                    "sum(CASE WHEN {now} THEN {NONE} ELSE {value} END) AS {name}_before"
                ));
            }
        }
    }
    let wide = Scope { from_ns: before_ns.unwrap_or(scope.from_ns), ..scope.clone() };
    format!(
        "SELECT {} FROM flows WHERE {} GROUP BY {} ORDER BY {} DESC LIMIT {limit}",
        select.join(", "),
        wide.condition(),
        columns.join(", "),
        metric.name()
    )
}

/// What all records of the scope add up to: `bytes`, `packets`, `flows`, and `unscaled`: records whose
/// sampling rate nobody told.
pub fn total_sql(scope: &Scope) -> String {
    format!(
        "SELECT sum({BYTES}) AS bytes, sum({PACKETS}) AS packets, count(*) AS flows, \
         sum(CASE WHEN flow.sampling_rate IS NULL THEN {ONE} ELSE {NONE} END) AS unscaled FROM flows WHERE {}",
        scope.condition()
    )
}

/// [`top_sql`] where the same flow counts once: of those who exported it, in each direction, the one
/// that counted most. `by` are dimensions that all of them say the same of.
pub fn dedup_sql(scope: &Scope, by: &[&Dimension], metric: Metric, limit: usize) -> String {
    let (once, k) = once(scope, by);
    format!("{once} GROUP BY {} ORDER BY {} DESC LIMIT {limit}", k.join(", "), metric.name())
}

/// [`total_sql`] where the same flow counts once; without `unscaled`.
pub fn dedup_total_sql(scope: &Scope) -> String {
    once(scope, &[]).0
}

/// The sums of flows that count once, to be grouped by these columns.
fn once(scope: &Scope, by: &[&Dimension]) -> (String, Vec<String>) {
    const TUPLE: [&str; 5] = [
        "source.address",
        "destination.address",
        "source.port",
        "destination.port",
        "flow.ip.protocol",
    ];
    let (columns, labels) = keys(by);
    // What is a key already tells flows apart as such.
    let tuple: Vec<&str> = TUPLE.into_iter().filter(|column| !columns.contains(column)).collect();
    let list = |prefix: &str, n: usize| -> Vec<String> {
        (0..n).map(|i| format!("{prefix}{i}")).collect()
    };
    let (k, n, t) = (list("k", columns.len()), list("n", labels.len()), list("t", tuple.len()));
    let named = |columns: &[&str], names: &[String]| -> Vec<String> {
        columns.iter().zip(names).map(|(column, name)| format!("{column} AS {name}")).collect()
    };
    let labelled: Vec<String> = labels
        .iter()
        .zip(&n)
        .map(|(label, name)| format!("max(CAST({label} AS VARCHAR)) AS {name}"))
        .collect();
    let inner = [named(&columns, &k), named(&tuple, &t), labelled].concat().join(", ");
    let grouped = [columns.as_slice(), tuple.as_slice()].concat().join(", ");
    let best: Vec<String> = n.iter().map(|name| format!("max({name}) AS {name}")).collect();
    let once = [
        k.clone(),
        best.clone(),
        vec!["max(b) AS b".into(), "max(p) AS p".into(), "max(f) AS f".into()],
    ];
    let all = [
        k.clone(),
        best,
        vec!["sum(b) AS bytes".into(), "sum(p) AS packets".into(), "sum(f) AS flows".into()],
    ];
    let once = format!(
        "SELECT {} FROM (SELECT {} FROM (SELECT {inner}, sum({BYTES}) AS b, sum({PACKETS}) AS p, sum({ONE}) AS f \
         FROM flows WHERE {} GROUP BY {grouped}, site, flow.exporter.address, network.io.direction) AS seen \
         GROUP BY {}) AS once",
        all.concat().join(", "),
        once.concat().join(", "),
        scope.condition(),
        [k.clone(), t].concat().join(", "),
    );
    (once, k)
}

/// What tells records apart that were received at the same moment, as those of one datagram are: an
/// order that is the same in every question, so that one can go on where another ended.
const TIES: &[&str] = &[
    "site",
    "flow.exporter.address",
    "flow.exporter.port",
    "flow.domain",
    "flow.sequence_num",
    "source.address",
    "source.port",
    "destination.address",
    "destination.port",
    "flow.ip.protocol",
    "flow.start",
    "flow.end",
    "flow.io.bytes",
    "flow.io.packets",
    "flow.in.interface.index",
    "flow.out.interface.index",
];

/// Records as they are, the latest first, after `skip` of them: `columns`, which have all that the order
/// goes by, and `received_ns`, when they were received.
pub fn rows_sql(scope: &Scope, columns: &[&str], limit: usize, skip: usize) -> String {
    format!(
        "SELECT {}, CAST(flow.time_received AS BIGINT) AS received_ns FROM flows WHERE {} \
         ORDER BY flow.time_received DESC, {} LIMIT {limit} OFFSET {skip}",
        columns.join(", "),
        scope.condition(),
        TIES.join(", ")
    )
}

/// What of each record begins and ends when, in nanoseconds: `e`, and `d`, how long it lasted, at least 1. Two times
/// are subtracted only where they are no more than a day apart: farther ones may not fit.
fn spread(select: &[String], condition: &str) -> String {
    let received = "CAST(flow.time_received AS BIGINT)";
    let end = format!("COALESCE(CAST(flow.end AS BIGINT), {received})");
    let length = format!(
        "CASE WHEN flow.start IS NULL OR flow.end IS NULL OR flow.end < flow.start THEN 1 \
         WHEN CAST(flow.start AS BIGINT) <= 0 THEN {LONGEST_NS} \
         WHEN CAST(CAST(flow.end AS BIGINT) AS DOUBLE) - CAST(CAST(flow.start AS BIGINT) AS DOUBLE) > {LONGEST_NS} THEN {LONGEST_NS} \
         ELSE CAST(flow.end AS BIGINT) - CAST(flow.start AS BIGINT) + 1 END"
    );
    let trusted = format!(
        "CASE WHEN {end} > {received} + {TRUSTED_NS} OR {end} < {received} - {TRUSTED_NS} THEN {received} ELSE {end} END"
    );
    format!(
        "SELECT {}, {trusted} AS e, {length} AS d, CAST({BYTES} AS DOUBLE) AS b, CAST({PACKETS} AS DOUBLE) AS p \
         FROM flows WHERE {condition}",
        select.join(", ")
    )
}

/// [`top_sql`] by what of each record lies between two moments, spread evenly over the time that it lasted: what was
/// received in the scope and lies before or after counts as far as it does not. A record is counted where it ends.
pub fn top_within_sql(
    scope: &Scope,
    by: &[&Dimension],
    metric: Metric,
    limit: usize,
    (from_ns, to_ns): (i64, i64),
) -> String {
    let (columns, labels) = keys(by);
    let named = |what: &[&str], name: &str| -> Vec<String> {
        what.iter().enumerate().map(|(i, column)| format!("{column} AS {name}{i}")).collect()
    };
    let inner = [named(&columns, "k"), named(&labels, "n")].concat();
    let keys: Vec<String> = (0..columns.len()).map(|i| format!("k{i}")).collect();
    let mut select = keys.clone();
    select.extend((0..labels.len()).map(|i| format!("max(CAST(n{i} AS VARCHAR)) AS n{i}")));
    // Whole numbers, as only those are ordered at the sites; what claims more than they hold is first anyway.
    let share = format!(
        "CAST(LEAST(e, {}) - GREATEST(e - d + 1, {from_ns}) + 1 AS DOUBLE) / CAST(d AS DOUBLE)",
        to_ns.saturating_sub(1)
    );
    for (value, name) in [("b", "bytes"), ("p", "packets")] {
        select.push(format!(
            "sum(CAST(LEAST({value} * {share}, {MOST}) AS BIGINT UNSIGNED)) AS {name}"
        ));
    }
    select.push(format!("sum(CASE WHEN e < {to_ns} THEN {ONE} ELSE {NONE} END) AS flows"));
    format!(
        "SELECT {} FROM ({}) AS lasting WHERE e >= {from_ns} AND e - d + 1 < {to_ns} GROUP BY {} ORDER BY {} DESC LIMIT {limit}",
        select.join(", "),
        spread(&inner, &scope.condition()),
        keys.join(", "),
        metric.name()
    )
}

/// Sums of spread records by group and the first and last of the buckets that they lasted: columns
/// `groups`, then `b0`, `b1` (buckets of `bucket_ns` since 1970), then `head`, `tail`, `bytes`,
/// `head_packets`, `tail_packets`, `packets`, `flows`: of all bytes the head lies in the first bucket,
/// the tail in the last, the rest evenly between.
fn spread_sums(groups: &[(String, String)], condition: &str, bucket_ns: i64) -> String {
    let inner: Vec<String> =
        groups.iter().map(|(expression, name)| format!("{expression} AS {name}")).collect();
    let names: Vec<&str> = groups.iter().map(|(_, name)| name.as_str()).collect();
    let comma = if names.is_empty() { "" } else { ", " };
    let (first, last) = (format!("(e - d + 1) / {bucket_ns}"), format!("e / {bucket_ns}"));
    let head = format!(
        "(CASE WHEN {first} = {last} THEN 1.0 ELSE CAST(({first} + 1) * {bucket_ns} - (e - d + 1) AS DOUBLE) / CAST(d AS DOUBLE) END)"
    );
    let tail = format!(
        "(CASE WHEN {first} = {last} THEN 0.0 ELSE CAST(e - {last} * {bucket_ns} + 1 AS DOUBLE) / CAST(d AS DOUBLE) END)"
    );
    let inner = if inner.is_empty() { vec!["TRUE AS z".to_owned()] } else { inner };
    let mut sql = String::new();
    // Writing to a text does not fail.
    let _ = write!(
        sql,
        "SELECT {}{comma}{first} AS b0, {last} AS b1, sum(b * {head}) AS head, sum(b * {tail}) AS tail, sum(b) AS bytes, \
         sum(p * {head}) AS head_packets, sum(p * {tail}) AS tail_packets, sum(p) AS packets, count(*) AS flows \
         FROM ({}) AS lasting GROUP BY {}{comma}{first}, {last}",
        names.join(", "),
        spread(&inner, condition),
        names.join(", "),
    );
    sql
}

/// Spread sums of the groups in `keys` (one cell for each column of `by`), and of all others: column
/// `g` is the index in `keys`, or -1.
pub fn series_sql(scope: &Scope, by: &[&Dimension], keys: &[Vec<Cell>], bucket_ns: i64) -> String {
    let columns: Vec<&str> = by.iter().flat_map(|dimension| dimension.columns).copied().collect();
    let mut which = String::from("CASE");
    for (index, key) in keys.iter().enumerate() {
        let holds: Vec<String> =
            columns.iter().zip(key).map(|(column, cell)| cell.holds(column)).collect();
        let _ = write!(which, " WHEN {} THEN {index}", holds.join(" AND "));
    }
    which.push_str(" ELSE -1 END");
    if keys.is_empty() || columns.is_empty() {
        "-1".clone_into(&mut which);
    }
    spread_sums(&[(which, "g".to_owned())], &scope.condition(), bucket_ns.max(1))
}

/// Spread sums by interface: `site`, `exporter`, `i` (its index), `egress` (whether what left it was
/// counted as it left). `inbound`: what came in by it, otherwise what left by it.
pub fn interfaces_sql(scope: &Scope, inbound: bool, bucket_ns: i64) -> String {
    let index = if inbound { "flow.in.interface.index" } else { "flow.out.interface.index" };
    let egress = "COALESCE(network.io.direction = 'transmit', FALSE)";
    let mut condition = format!("{} AND {index} IS NOT NULL", scope.condition());
    if inbound {
        // What was counted as it left was counted as it came in already, if the exporter does both.
        let _ = write!(condition, " AND NOT {egress}");
    }
    let groups =
        [("site", "site"), ("flow.exporter.address", "exporter"), (index, "i"), (egress, "egress")];
    let groups = groups.map(|(expression, name)| (expression.to_owned(), name.to_owned()));
    spread_sums(&groups, &condition, bucket_ns.max(1))
}
