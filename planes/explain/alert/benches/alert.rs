//! The bound of `[judgement]` about alert rules: what 10,000 rules take of a core, judged each 30 s.
//!
//! Three tables as nodes have them, with 30 s of rows each time: probes (400 targets, 400 rows a second),
//! connections (200 services, 1,000 rows a second), flows-like rows with addresses (5,000 rows a second). Rules as
//! people write them: most about one target or service by name, some by group over all, shares, rates, means,
//! maxima, quantiles, silence, what is usual, composites and inhibition; windows of 1 to 30 minutes. Only taking
//! rows and judging is timed, not making them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use holm_alert::{Engine, Limits, Rule, TableShape, parse};
use holm_bench::report;
use holm_model::Millis;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const RULES: usize = 10_000;
const EVERY_MS: u64 = 30_000;
const BEGIN: u64 = 20_000 * 24 * 60 * 60_000;
/// Half an hour to fill the longest windows, then what is timed.
const WARM: u64 = 60;
const TIMED: u64 = 20;
const TARGETS: usize = 400;
const SERVICES: usize = 200;

fn schema(texts: &[&str], number: &str, flag: Option<&str>) -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let mut fields = vec![Field::new("time", time, false)];
    fields.extend(texts.iter().map(|name| Field::new(*name, DataType::Utf8, true)));
    let of = if flag.is_some() { DataType::Float64 } else { DataType::Int64 };
    fields.push(Field::new(number, of, true));
    fields.extend(flag.map(|name| Field::new(name, DataType::Boolean, true)));
    Arc::new(Schema::new(fields))
}

fn times(rows: usize, from: u64, rng: &mut StdRng) -> ArrayRef {
    let step = EVERY_MS as f64 / rows as f64;
    // Some are late, by up to a minute.
    let late =
        |rng: &mut StdRng| if rng.random_bool(0.01) { rng.random_range(0..60_000) } else { 0 };
    let times: Vec<i64> =
        (0..rows).map(|n| (from + (n as f64 * step) as u64 - late(rng)) as i64).collect();
    Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"))
}

fn texts(rows: usize, rng: &mut StdRng, text: impl Fn(usize) -> String, of: usize) -> ArrayRef {
    Arc::new((0..rows).map(|_| Some(text(rng.random_range(0..of)))).collect::<StringArray>())
}

struct Tables {
    probes: SchemaRef,
    connections: SchemaRef,
    flows: SchemaRef,
}

impl Tables {
    fn new() -> Self {
        Self {
            probes: schema(&["target", "probe", "peer.site"], "duration_ms", Some("success")),
            connections: schema(&["service.name", "event"], "duration_ms", Some("ok")),
            flows: schema(&["source.address", "destination.address"], "bytes", None),
        }
    }

    fn shapes(&self) -> BTreeMap<Box<str>, TableShape> {
        let shape =
            |schema: &SchemaRef| TableShape { schema: Arc::clone(schema), time: "time".into() };
        [
            ("probes".into(), shape(&self.probes)),
            ("connections".into(), shape(&self.connections)),
            ("flows".into(), shape(&self.flows)),
        ]
        .into()
    }

    /// The rows of 30 s from `from` on.
    fn rows(&self, from: u64, rng: &mut StdRng) -> Vec<(&'static str, RecordBatch)> {
        let (probes, connections, flows) = (12_000, 30_000, 150_000);
        let ms = |rows: usize, rng: &mut StdRng| -> ArrayRef {
            let value = |rng: &mut StdRng| rng.random_range(0.2..40.0_f64).powi(2) / 10.0;
            Arc::new((0..rows).map(|_| Some(value(rng))).collect::<Float64Array>())
        };
        let good = |rows: usize, rng: &mut StdRng| -> ArrayRef {
            Arc::new((0..rows).map(|_| Some(!rng.random_bool(0.02))).collect::<BooleanArray>())
        };
        let batch = |schema: &SchemaRef, columns| {
            RecordBatch::try_new(Arc::clone(schema), columns).expect("a batch")
        };
        let probe = ["icmp", "tcp", "http", "dns"];
        let of_probes = vec![
            times(probes, from, rng),
            texts(probes, rng, |n| format!("host-{n}.example.org"), TARGETS),
            texts(probes, rng, |n| probe[n].to_owned(), 4),
            texts(probes, rng, |n| format!("site-{n}"), 20),
            ms(probes, rng),
            good(probes, rng),
        ];
        let event = ["opened", "closed", "failed"];
        let of_connections = vec![
            times(connections, from, rng),
            texts(connections, rng, |n| format!("service-{n}"), SERVICES),
            texts(connections, rng, |n| event[n].to_owned(), 3),
            ms(connections, rng),
            good(connections, rng),
        ];
        let bytes: Int64Array = (0..flows).map(|_| Some(rng.random_range(64..90_000))).collect();
        let of_flows = vec![
            times(flows, from, rng),
            texts(flows, rng, |n| format!("10.0.{}.{}", n / 250, n % 250), 2_000),
            texts(flows, rng, |n| format!("192.0.2.{n}"), 250),
            Arc::new(bytes),
        ];
        vec![
            ("probes", batch(&self.probes, of_probes)),
            ("connections", batch(&self.connections, of_connections)),
            ("flows", batch(&self.flows, of_flows)),
        ]
    }
}

/// Rule number `n`: of forty sorts.
fn rule(n: usize) -> String {
    // Of each sort the rules go through all targets, services and addresses.
    let of = |sorts: usize, all: usize| (n / 40 * sorts + n % 40 % sorts) % all;
    let target = format!("host-{}.example.org", of(18, TARGETS));
    let service = format!("service-{}", of(10, SERVICES));
    let probe = ["icmp", "tcp", "http", "dns"][n / 80 % 4];
    let window = ["1m", "5m", "10m", "30m"][n / 40 % 4];
    let limit = n / 400;
    let what = match n % 40 {
        0..=11 => format!(
            "table: probes, where: \"target = '{target}' AND probe = '{probe}'\", value: {{ share: NOT success }}, condition: {{ above: 0.{} }}",
            10 + limit
        ),
        12..=17 => format!(
            "table: probes, where: \"target = '{target}'\", value: {{ quantile: 0.95, of: duration_ms }}, condition: {{ above: {} }}",
            150 + limit
        ),
        18..=23 => format!(
            "table: connections, where: \"service.name = '{service}' AND event = 'failed'\", value: rate, condition: {{ above: {} }}",
            5 + limit
        ),
        24..=27 => format!(
            "table: connections, where: \"service.name = '{service}'\", value: {{ avg: duration_ms }}, condition: {{ outside: [{limit}, 120] }}"
        ),
        28..=30 => format!(
            "table: flows, where: \"destination.address = '192.0.2.{}'\", value: {{ sum: bytes }}, condition: {{ above: {} }}",
            of(3, 250),
            4_000_000_000_u64 + limit as u64
        ),
        31 => format!(
            "table: flows, where: \"bytes > {}\", value: count, condition: {{ above: 9000000 }}",
            1_000 + n
        ),
        32 | 33 => {
            return format!(
                "{{ kind: AlertRule, name: r{n}, every: 30s, table: probes, by: [target], where: \"probe = '{probe}'\", condition: {{ no_data: {}m }} }}",
                5 + n / 400
            );
        }
        34 => format!(
            "table: probes, by: [peer.site, probe], value: {{ max: duration_ms }}, condition: {{ above: {} }}",
            158 + limit
        ),
        35 => format!(
            "table: connections, by: [service.name], value: {{ share: NOT ok }}, condition: {{ above: 0.{} }}",
            10 + limit
        ),
        36 => format!(
            "table: probes, where: \"target LIKE 'host-{}%'\", value: {{ min: duration_ms }}, condition: {{ below: 0 }}",
            n / 40 % 100
        ),
        37 => format!(
            "table: connections, where: \"service.name = '{service}'\", value: count, condition: {{ baseline: {{ season: day }} }}"
        ),
        38 => {
            return format!(
                "{{ kind: AlertRule, name: r{n}, every: 30s, composite: {{ all: [r{}], none: [r{}] }} }}",
                n - 38,
                n - 20
            );
        }
        _ => format!(
            "table: probes, by: [peer.site], where: \"success\", value: count, condition: {{ below: {limit} }}, inhibited_by: [{{ rule: r{}, equal: [peer.site] }}]",
            n - 5
        ),
    };
    format!(
        "{{ kind: AlertRule, name: r{n}, every: 30s, window: {window}, {what}, for: 1m, keep: 1m }}"
    )
}

fn main() {
    let rules: Vec<Arc<Rule>> = (0..RULES)
        .map(|n| {
            Arc::new(parse(&rule(n)).unwrap_or_else(|why| panic!("{}: {why}", rule(n))).remove(0))
        })
        .collect();
    let tables = Tables::new();
    let mut rng = StdRng::seed_from_u64(15);
    let limits = Limits { groups: 400_000, ..Limits::default() };
    let mut engine = Engine::new(rules, &tables.shapes(), limits, Millis(BEGIN), Millis(0));
    let broken = engine.standings(0).into_iter().filter_map(|s| s.problem).next();
    assert_eq!(broken, None, "a rule that is not judged costs nothing");
    let (mut took, mut worst) = (Duration::ZERO, Duration::ZERO);
    let mut turns = 0;
    for step in 0..WARM + TIMED {
        let from = BEGIN + step * EVERY_MS;
        let now = Millis(from + EVERY_MS + 5_000);
        let batches = tables.rows(from, &mut rng);
        let begun = Instant::now();
        for (table, batch) in &batches {
            engine.take(table, batch, (Millis(0), Millis(u64::MAX)), now);
        }
        engine.judge(now);
        let said = engine.turns(now, &|_, _| false).len();
        engine.forget(now);
        let spent = begun.elapsed();
        if step >= WARM {
            took += spent;
            worst = worst.max(spent);
            turns += said;
        }
    }
    let counters = engine.counters();
    let (groups, steps) = engine.size();
    let firing: usize = engine.standings(0).iter().map(|standing| standing.firing).sum();
    println!(
        "{RULES} rules, {groups} groups, {steps} steps of time, {} conditions; {} rows, {} late, {} groups refused; \
         {firing} fire, {turns} turns in {TIMED} judgements; the longest {:.0} ms",
        engine.conditions(),
        counters.rows,
        counters.late,
        counters.refused_groups,
        worst.as_secs_f64() * 1_000.0
    );
    let pct = 100.0 * took.as_secs_f64() / (TIMED * EVERY_MS) as f64 * 1_000.0;
    report("alert_rules_core_pct", pct, "%", 20.0, TIMED as usize);
}
