//! Records of several sites, in any order, with repetitions, older views and partitions: one ledger.

use holm_model::Millis;
use holm_slo::{Count, Day, Ledger, MeasureId, RecordKey, SLOT_MIN, Slot, Writer, encode_slot};
use proptest::prelude::*;

const TODAY: u32 = 20_779;
const SITES: [&str; 3] = ["berlin", "tokyo", "lima"];

#[derive(Debug, Clone)]
struct Written {
    site: usize,
    key: String,
    value: Vec<u8>,
}

fn count() -> impl Strategy<Value = Count> {
    let rows = prop_oneof![Just(0_u64), 1..200_u64];
    (0..50_u64, 0..10_u64, rows).prop_map(|(total, bad, rows)| {
        Count::new(total, bad).judged_by(if total > 0 { rows } else { 0 })
    })
}

fn measure() -> impl Strategy<Value = MeasureId> {
    prop_oneof![Just("aaaaaaaaaa"), Just("bbbbbbbbbb")]
        .prop_map(|text| MeasureId::parse(text).expect("a measure"))
}

fn written() -> impl Strategy<Value = Written> {
    let slot = (measure(), 0..40_u32, prop::array::uniform5(count())).prop_map(
        |(measure, slot, minutes)| {
            let minutes: Slot = minutes;
            let key = RecordKey::Slot(measure, TODAY * 288 - 20 + slot);
            (key.text(), encode_slot(&minutes))
        },
    );
    let day = (measure(), 0..3_u32, prop::collection::vec(count(), 0..=24), any::<bool>())
        .prop_map(|(measure, day, cells, fine)| {
            let cell_min = if fine { 15 } else { 60 };
            let key = RecordKey::Day(measure, TODAY - 1 + day);
            (key.text(), Day { cell_min, cells }.encode())
        });
    (0..SITES.len(), prop_oneof![slot, day]).prop_map(|(site, (key, value))| Written {
        site,
        key,
        value,
    })
}

fn take(ledger: &mut Ledger, written: &Written) {
    let site = SITES[written.site].parse().expect("valid");
    let writer = Writer { site, node: "n1".parse().expect("valid") };
    ledger.take(&writer, &written.key, [&*written.value]);
}

fn sums(ledger: &Ledger) -> Vec<Count> {
    let (from, to) = ((TODAY - 1) * 1_440, (TODAY + 2) * 1_440);
    let mut sums = Vec::new();
    for measure in ["aaaaaaaaaa", "bbbbbbbbbb"] {
        let measure = MeasureId::parse(measure).expect("a measure");
        for (_, series) in ledger.writers(measure) {
            sums.extend([series.sum(from, to), series.sum(from + 77, to - 33)]);
            sums.extend((0..9).map(|part| series.sum(from + part * 480, from + (part + 1) * 480)));
        }
    }
    sums
}

proptest! {
    #[test]
    fn any_order_and_any_partition_come_to_the_same(
        records in prop::collection::vec(written(), 0..60),
        seed in any::<u64>(),
    ) {
        let mut whole = Ledger::new();
        records.iter().for_each(|record| take(&mut whole, record));
        // Two halves that each see some, and then all of the other's, some of it twice.
        let mut shuffled: Vec<&Written> = records.iter().chain(&records).collect();
        let mut state = seed | 1;
        for place in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(place, (state >> 33) as usize % (place + 1));
        }
        let (left, right) = shuffled.split_at(shuffled.len() / 2);
        let (mut here, mut there) = (Ledger::new(), Ledger::new());
        left.iter().for_each(|record| take(&mut here, record));
        right.iter().for_each(|record| take(&mut there, record));
        right.iter().for_each(|record| take(&mut here, record));
        left.iter().rev().for_each(|record| take(&mut there, record));
        prop_assert_eq!(sums(&here), sums(&whole));
        prop_assert_eq!(sums(&there), sums(&whole));
        // Whole days are the sum of their parts.
        for measure in ["aaaaaaaaaa", "bbbbbbbbbb"] {
            let measure = MeasureId::parse(measure).expect("a measure");
            for (_, series) in whole.writers(measure) {
                let from = (TODAY - 1) * 1_440;
                let mut parts = Count::default();
                (0..72).for_each(|hour| parts += series.sum(from + hour * 60, from + (hour + 1) * 60));
                prop_assert_eq!(parts, series.sum(from, from + 3 * 1_440));
            }
        }
    }

    #[test]
    fn hostile_records_are_counted_and_do_no_harm(
        key in "[a-z2-7]{8,12}[md]?[0-9]{0,12}",
        value in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut ledger = Ledger::new();
        take(&mut ledger, &Written { site: 0, key, value });
        let _ = sums(&ledger);
        ledger.forget(Millis(u64::from(TODAY) * 86_400_000));
    }
}

#[test]
fn minutes_become_the_days_that_are_written_when_they_are_over() {
    let measure = MeasureId::parse("aaaaaaaaaa").expect("a measure");
    let mut ledger = Ledger::new();
    let writer =
        Writer { site: "berlin".parse().expect("valid"), node: "n1".parse().expect("valid") };
    for slot in TODAY * 288..(TODAY + 1) * 288 {
        let minutes = encode_slot(&[Count::new(2, 1); SLOT_MIN as usize]);
        assert!(ledger.take(&writer, &RecordKey::Slot(measure, slot).text(), [&*minutes]));
    }
    let series = ledger.of(&writer, measure).expect("there");
    let (from, to) = (TODAY * 1_440, (TODAY + 1) * 1_440);
    let whole = series.sum(from, to);
    assert_eq!(whole, Count::new(2_880, 1_440));
    let day = series.closed_day(TODAY, 60);
    assert_eq!(day.cells, vec![Count::new(120, 60); 24]);
    ledger.take(&writer, &RecordKey::Day(measure, TODAY).text(), [&*day.encode()]);
    assert_eq!(ledger.of(&writer, measure).expect("there").sum(from, to), whole, "not twice");
    ledger.forget(Millis(u64::from(TODAY + 2) * 86_400_000));
    assert_eq!(ledger.of(&writer, measure).expect("there").sum(from, to), whole, "nor lost");
    assert_eq!(ledger.unreadable(), 0);
    assert!(!ledger.take(&writer, "nonsense", [&[1_u8][..]]));
    assert_eq!(ledger.unreadable(), 1);
    ledger.forget(Millis(u64::from(TODAY + 500) * 86_400_000));
    assert!(ledger.of(&writer, measure).is_none());
}

/// An SLO over slices of five minutes.
fn sliced(method: &str) -> holm_slo::Definition {
    let slice = if method == "Timeslices" { r#""timeSliceTarget": 0.9,"# } else { "" };
    let text = format!(
        r#"{{ "apiVersion": "openslo/v1", "kind": "SLO", "metadata": {{ "name": "shop" }}, "spec": {{
        "service": "checkout", "budgetingMethod": "{method}",
        "timeWindow": [{{ "duration": "30d", "isRolling": true }}],
        "objectives": [{{ "target": 0.9, {slice} "timeSliceWindow": "5m" }}],
        "indicator": {{ "metadata": {{ "name": "up" }}, "spec": {{ "ratioMetric": {{
            "good": {{ "metricSource": {{ "type": "holm", "spec": {{ "table": "active_results", "where": "success" }} }} }},
            "total": {{ "metricSource": {{ "type": "holm", "spec": {{ "table": "active_results" }} }} }} }} }} }} }} }}"#
    );
    holm_slo::parse(&text, Millis(0)).expect("an SLO").remove(0)
}

proptest! {
    /// Rows come in any parts and are counted after each; records lie about in any order: the answer is that of
    /// all rows at once.
    #[test]
    fn slices_come_to_what_all_their_rows_say(
        parts in prop::collection::vec((0..10_u32, 1..60_u64, 0..60_u64), 1..8),
        method in prop_oneof![Just("Timeslices"), Just("RatioTimeslices")],
        seed in any::<u64>(),
    ) {
        let measure = sliced(method).measure(0).expect("a measure");
        let (from, to) = (TODAY * 1_440, TODAY * 1_440 + 10);
        let writer = Writer { site: "berlin".parse().expect("valid"), node: "n1".parse().expect("valid") };
        let mut rows = std::collections::BTreeMap::<u32, holm_slo::Rows>::new();
        let mut records = Vec::new();
        for (minute, total, good) in parts {
            let known = rows.entry(from + minute).or_default();
            known.total += total;
            known.part += good.min(total);
            let mut slots = std::collections::BTreeMap::<u32, Slot>::new();
            for (at, count) in measure.ledger(&rows, (from, to)) {
                slots.entry(at / SLOT_MIN).or_default()[(at % SLOT_MIN) as usize] = count;
            }
            records.extend(slots.into_iter().map(|(slot, minutes)| {
                (RecordKey::Slot(measure.id, slot).text(), encode_slot(&minutes))
            }));
        }
        let all = measure.ledger(&rows, (from, to)).into_values().fold(Count::default(), |mut sum, count| {
            sum += count;
            sum
        });
        let mut state = seed | 1;
        for place in (1..records.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            records.swap(place, (state >> 33) as usize % (place + 1));
        }
        let mut ledger = Ledger::new();
        for (key, value) in &records {
            ledger.take(&writer, key, [&**value]);
            // Days are written on the way as well.
            let day = ledger.of(&writer, measure.id).expect("there").closed_day(TODAY, 60);
            ledger.take(&writer, &RecordKey::Day(measure.id, TODAY).text(), [&*day.encode()]);
        }
        let series = ledger.of(&writer, measure.id).expect("there");
        prop_assert_eq!(series.sum(from, to + 50), all);
        ledger.forget(Millis(u64::from(TODAY + 2) * 86_400_000));
        prop_assert_eq!(ledger.of(&writer, measure.id).expect("there").sum(from, to + 50), all);
    }
}
