//! A million signals into incidents; the list of ten thousand; a partition that heals.

use std::hint::black_box;
use std::time::Instant;

use holm_bench::report;
use holm_incident::{Book, Deed, Intake, IntakeLimits, Place, RecordId, Resolved};
use holm_model::{DocId, Millis, NodeId, Signal, TenantId};
use holm_replica::{Applied, DataKey, MemoryDisk, NewRecord, Record, Replica};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

const MINUTE: u64 = 60_000;
/// 2026-11-21, as everything here is about a real clock's numbers.
const START: u64 = 1_795_000_000_000;

fn main() {
    signals();
    list();
    merge();
}

fn place(site: &str) -> Place {
    Place {
        site: site.parse().expect("valid"),
        node: "n1".parse().expect("valid"),
        plan: Box::default(),
        machine: Box::default(),
    }
}

fn target(number: u32) -> NodeId {
    let [_, a, b, c] = number.to_be_bytes();
    format!("host:198.{}.{b}.{c}", 20 + a).parse().expect("valid")
}

/// How long this thread has worked, in seconds: what others do on the machine does not count.
fn worked() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    ns.expect("Linux counts what threads work") / 1e9
}

/// A host has a name, an address and two neighbours.
fn resolved(number: u32) -> Resolved {
    let named = format!("host:h{number}.example.org").parse().expect("valid");
    let near = [number ^ 1, number ^ 2].map(target).into();
    Resolved { names: vec![named], near, apart: Vec::new() }
}

fn id(place: &Place, key: &str) -> RecordId {
    RecordId { site: place.site.clone(), node: place.node.clone(), key: key.into() }
}

/// Signals of one day about 8,000 things that fail now and then, some for long, some again and again.
fn signals() {
    const COUNT: u32 = 1_000_000;
    let mut rng = StdRng::seed_from_u64(6);
    let kinds = ["icmp_failed", "tcp_failed"];
    let mut signals = Vec::with_capacity(COUNT as usize);
    for number in 0..COUNT {
        let at = Millis(START + u64::from(number) * 86);
        let kind = kinds[rng.random_range(0..2)];
        let which = rng.random_range(0..4_000_u32);
        let raised = rng.random_bool(0.7);
        let signal = Signal::new("active", kind, target(which * 4), raised, at);
        signals.push((which, signal));
    }
    let place = place("berlin");
    let mut intake = Intake::new(place.clone(), IntakeLimits::default());
    let mut book = Book::new();
    let (mut written, mut bytes) = (0, 0);
    let begun = worked();
    for (number, (which, signal)) in (0_u32..).zip(signals) {
        let at = signal.at;
        intake.take(signal, at, |_| resolved(which * 4));
        // A node writes once a second: some twelve signals here.
        if number % 12 == 0 {
            for (key, report) in intake.drain(at) {
                let value = report.encode();
                written += 1;
                bytes += value.len();
                book.take(id(&place, &key), [&*value]);
            }
        }
    }
    let judged = book.judge(Millis(START + u64::from(COUNT) * 86));
    let seconds = worked() - begun;
    println!(
        "{} reports, {} incidents, {written} writes of {} bytes in the mean",
        book.len().0,
        judged.incidents().len(),
        bytes / written.max(1)
    );
    report("signals_1m_s", seconds, "s", 10.0, COUNT as usize);
}

fn reports(
    place: &Place,
    targets: impl Iterator<Item = u32>,
    rng: &mut impl Rng,
) -> Vec<NewRecord> {
    let limits = IntakeLimits { reports: 100_000, ..IntakeLimits::default() };
    let mut intake = Intake::new(place.clone(), limits);
    for number in targets {
        let at = Millis(START + rng.random_range(0..24 * 60) * MINUTE);
        let signal = Signal::new("active", "icmp_failed", target(number * 4), true, at);
        intake.take(signal, at, |_| resolved(number * 4));
    }
    let drained = intake.drain(Millis(START + 24 * 60 * MINUTE));
    drained
        .into_iter()
        .map(|(key, report)| NewRecord { key: (*key).into(), value: report.encode() })
        .collect()
}

/// A page of the list, again and again, each time after one more signal was judged: a node judges on
/// change, and lists what it found last.
fn list() {
    const OPEN: u32 = 10_000;
    let mut rng = StdRng::seed_from_u64(7);
    let place = place("berlin");
    let mut book = Book::new();
    for record in reports(&place, 0..OPEN, &mut rng) {
        book.take(id(&place, &record.key), [&*record.value]);
    }
    let now = START + 24 * 60 * MINUTE;
    assert_eq!(book.judge(Millis(now)).incidents().len(), OPEN as usize);
    let more = reports(&place, OPEN..OPEN + 400, &mut rng);
    let mut times = Vec::new();
    let mut judging = Vec::new();
    for (number, record) in (0..).zip(more) {
        let begun = worked();
        book.take(id(&place, &record.key), [&*record.value]);
        let judged = book.judge(Millis(now + number));
        judging.push((worked() - begun) * 1e3);
        let begun = Instant::now();
        let page: Vec<_> = judged
            .incidents()
            .iter()
            .filter(|incident| !incident.is_resolved() && incident.owner.is_none())
            .skip(100)
            .take(100)
            .cloned()
            .collect();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        black_box(page);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times[times.len() * 99 / 100];
    judging.sort_by(f64::total_cmp);
    let (median, worst) = (judging[judging.len() / 2], judging[judging.len() * 99 / 100]);
    println!("judging one more of {OPEN}: median {median:.2} ms, p99 {worst:.2} ms of one core");
    report("incident_list_p99_ms", p99, "ms", 20.0, times.len());
}

fn replica(place: &Place, rng: &mut StdRng) -> Replica {
    let tenant = TenantId::new("acme").expect("valid");
    let key = DataKey::from_bytes([7; 32]);
    let (disk, now) = (Box::new(MemoryDisk::new()), Millis(START));
    let (site, node) = (place.site.clone(), place.node.clone());
    Replica::open_on(disk, tenant, key, site, node, now, rng).expect("opens").0
}

fn take_all<'a>(book: &mut Book, records: impl IntoIterator<Item = &'a Record>) {
    for record in records {
        let Record { site, node, key, values, .. } = record;
        let id = RecordId { site: site.clone(), node: node.clone(), key: (**key).into() };
        book.take(id, values.iter().map(|value| &**value));
    }
}

/// Two sites with 5,000 incidents each, 2,500 of them of the same faults and both acted upon, hear of
/// each other: from the bytes of the one to the merged incidents at the other.
fn merge() {
    const A_SIDE: u32 = 5_000;
    let mut times = Vec::new();
    let mut by_the_clock = Vec::new();
    let mut joined = 0;
    for round in 0..5 {
        let mut rng = StdRng::seed_from_u64(round);
        let now = Millis(START + 24 * 60 * MINUTE);
        let mut side = |name: &str, targets: std::ops::Range<u32>| {
            let place = place(name);
            // Both see a fault at the same time.
            let mut same = StdRng::seed_from_u64(99);
            let mut new = reports(&place, targets, &mut same);
            let replica = replica(&place, &mut rng);
            let mut book = Book::new();
            for record in &new {
                book.take(id(&place, &record.key), [&*record.value]);
            }
            let judged = book.judge(now);
            for (number, incident) in (0_u64..).zip(judged.incidents()).filter(|(n, _)| n % 5 == 0)
            {
                let (deed, by) = (Deed::Acknowledge, "operator");
                let number = number << 8 | u64::from(name.as_bytes()[0]);
                let action = incident.action(number, by, deed, "on it", now).expect("fits");
                new.push(NewRecord {
                    key: format!("a{:016x}", action.id).into(),
                    value: action.encode(),
                });
            }
            for batch in new.chunks(200) {
                replica.put_records(batch, now).expect("written");
            }
            let mut book = Book::new();
            take_all(&mut book, &replica.records());
            book.judge(now);
            (replica, book)
        };
        let (berlin, mut book) = side("berlin", 0..A_SIDE);
        let (tokyo, _) = side("tokyo", A_SIDE / 2..A_SIDE / 2 + A_SIDE);
        let sent: Vec<(DocId, Vec<u8>)> = tokyo
            .documents()
            .into_iter()
            .map(|version| (version.doc, tokyo.export(version.doc, &[]).expect("here").bytes))
            .collect();
        let (begun, clock) = (worked(), Instant::now());
        for (doc, bytes) in &sent {
            match berlin.apply(*doc, bytes, "tokyo/n1", now).expect("good bytes") {
                Applied::Merged(merged) => take_all(&mut book, &merged.records),
                other => panic!("{other:?}"),
            }
        }
        let judged = book.judge(now);
        times.push((worked() - begun) * 1e3);
        by_the_clock.push(clock.elapsed().as_secs_f64() * 1e3);
        joined = judged.incidents().iter().filter(|incident| incident.sites.len() > 1).count();
        if round == 0 {
            let bytes: usize = sent.iter().map(|(_, bytes)| bytes.len()).sum();
            println!("{} documents, {bytes} bytes", sent.len());
        }
    }
    times.sort_by(f64::total_cmp);
    by_the_clock.sort_by(f64::total_cmp);
    let clock = by_the_clock[by_the_clock.len() / 2];
    println!("{joined} incidents of both sites; {clock:.0} ms by the clock");
    report("incident_merge_ms", times[times.len() / 2], "ms", 1_000.0, times.len());
}
