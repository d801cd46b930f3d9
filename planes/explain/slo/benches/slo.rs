//! The bounds of `[judgement]` about objectives: how long all of them take to be judged, and how long a year
//! of one is in the documents of a site.

use std::time::Instant;

use holm_bench::report;
use holm_model::{Millis, TenantId};
use holm_replica::{DataKey, MemoryDisk, NewRecord, Replica, Shelf};
use holm_slo::{Count, Day, Definition, Ledger, MeasureId, RecordKey, Writer, encode_slot, parse};
use rand::{RngExt, SeedableRng};

const DAY_MIN: u32 = 1_440;
const TODAY: u32 = 20_779;
const SLOS: u32 = 1_000;
const SITES: u32 = 20;

fn main() {
    evaluate();
    a_year();
}

fn definition(number: u32) -> Definition {
    let metric = |filter: &str| {
        format!(
            "{{ metricSource: {{ type: holm, spec: {{ table: active_results, where: {filter} }} }} }}"
        )
    };
    let text = format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: slo-{number} }}\nspec:\n  service: service-{number}\n  \
         indicator: {{ metadata: {{ name: up }}, spec: {{ ratioMetric: {{ good: {}, total: {} }} }} }}\n  \
         timeWindow: [{{ duration: 30d, isRolling: true }}]\n  budgetingMethod: Occurrences\n  objectives: [{{ target: 0.999 }}]\n",
        metric(&format!("target = 'host-{number}' AND success")),
        metric(&format!("target = 'host-{number}'")),
    );
    parse(&text, at(TODAY * DAY_MIN)).expect("good").remove(0)
}

fn at(minute: u32) -> Millis {
    Millis(u64::from(minute) * 60_000)
}

fn busy(rng: &mut impl rand::Rng, usual: u64) -> Count {
    let total = usual * 9 / 10 + rng.random_range(0..=usual / 5);
    let bad = if rng.random_bool(0.3) { rng.random_range(0..=total / 200) } else { 0 };
    Count::new(total, bad)
}

/// 1,000 SLOs, each counted at 20 sites for 30 days, and for the last hours by the minute.
fn evaluate() {
    let mut rng = rand::rngs::StdRng::seed_from_u64(6);
    let definitions: Vec<Definition> = (0..SLOS).map(definition).collect();
    let mut ledger = Ledger::new();
    let now = TODAY * DAY_MIN + 13 * 60 + 7;
    for definition in &definitions {
        let measure = definition.measure(0).expect("there").id;
        for site in 0..SITES {
            let writer = Writer {
                site: format!("site-{site}").parse().expect("valid"),
                node: "n1".parse().expect("valid"),
            };
            for day in TODAY - 31..=TODAY {
                let hours = if day == TODAY { 13 } else { 24 };
                let cells = (0..hours).map(|_| busy(&mut rng, 3_600)).collect();
                let value = Day { cell_min: 60, cells }.encode();
                ledger.take(&writer, &RecordKey::Day(measure, day).text(), [&*value]);
            }
            for slot in (now - 13 * 60) / 5..now / 5 {
                let value = encode_slot(&std::array::from_fn(|_| busy(&mut rng, 60)));
                ledger.take(&writer, &RecordKey::Slot(measure, slot).text(), [&*value]);
            }
        }
    }
    let mut took = Vec::new();
    let mut counted = 0;
    for _ in 0..5 {
        let begun = Instant::now();
        let stand = definitions.iter().filter_map(|slo| slo.judge(&ledger, 0, at(now)));
        counted = stand.map(|stands| stands.attained.count.total + stands.sites.len() as u64).sum();
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    took.sort_by(f64::total_cmp);
    println!("{counted} events; runs of {took:.0?} ms");
    report("slo_evaluate_ms", took[took.len() / 2], "ms", 1_000.0, (SLOS * SITES) as usize);
}

/// A year of one site's busy SLO, written as a node writes it: every slot when it is over (each minute while
/// something is bad), the day so far each hour, each day twice. What is left when the year is over.
fn a_year() {
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let tenant = TenantId::new("acme").expect("valid");
    let (site, node) = ("berlin".parse().expect("valid"), "n1".parse().expect("valid"));
    let key = DataKey::generate(&mut rng);
    let begun = at((TODAY - 365) * DAY_MIN);
    let open =
        Replica::open_on(Box::new(MemoryDisk::new()), tenant, key, site, node, begun, &mut rng);
    let replica = open.expect("opens").0;
    let measure = MeasureId::parse("aaaaaaaaaa").expect("a measure");
    let put = |shelf, key: RecordKey, value: Vec<u8>, minute: u32| {
        let new = NewRecord { key: key.text().into(), value };
        replica.put_records_on(shelf, &[new], at(minute)).expect("written");
    };
    let (mut most, mut written) = (0, 0_usize);
    for day in TODAY - 365..TODAY {
        let mut cells = Vec::new();
        // Minutes and hours are gone again after two days: the last ones show what they take.
        let fine = day + 3 >= TODAY;
        for hour in 0..24 {
            cells.push(busy(&mut rng, 3_600));
            let minute = day * DAY_MIN + hour * 60 + 59;
            if fine {
                for slot in (minute - 59) / 5..=minute / 5 {
                    let value = encode_slot(&std::array::from_fn(|_| busy(&mut rng, 60)));
                    written += value.len();
                    put(Shelf::LedgerMinutes, RecordKey::Slot(measure, slot), value, slot * 5 + 5);
                }
                let so_far = Day { cell_min: 60, cells: cells.clone() }.encode();
                put(Shelf::LedgerHours, RecordKey::Day(measure, day), so_far, minute + 1);
            }
        }
        let over = (day + 1) * DAY_MIN + 65;
        let mut early = cells.clone();
        early[23] = Count::new(early[23].total - 1, early[23].bad.min(1));
        for cells in [early, cells] {
            let value = Day { cell_min: 60, cells }.encode();
            written += value.len();
            put(Shelf::LedgerDays, RecordKey::Day(measure, day), value, over);
        }
        if fine || day.is_multiple_of(10) {
            replica.maintain(at(over)).expect("tended");
            most = most.max(bytes(&replica));
        }
    }
    let (all, days) = (bytes(&replica), days_bytes(&replica));
    println!(
        "all that a site holds of it: {:.1} KiB, at most {:.1} KiB; days alone {:.1} KiB; records written {:.1} KiB",
        kib(all),
        kib(most),
        kib(days),
        kib(written)
    );
    report("slo_year_kib", kib(all), "KiB", 60.0, 365);
}

fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1_024.0
}

/// How long the documents are as they go to a peer.
fn bytes(replica: &Replica) -> usize {
    let all = replica.documents().into_iter();
    all.map(|version| replica.export(version.doc, &[]).expect("here").bytes.len()).sum()
}

fn days_bytes(replica: &Replica) -> usize {
    let all = replica.documents().into_iter();
    let days = all.filter(|version| {
        replica.name(version.doc).is_some_and(|name| name.key().starts_with("berlin/d"))
    });
    days.map(|version| replica.export(version.doc, &[]).expect("here").bytes.len()).sum()
}
