//! When a flow began and ended, whatever its exporter says.

use crate::common::*;

const MS: i64 = 1_000_000;
/// The end of 32 bits of seconds, nanoseconds since 1970.
const LAST_NS: i64 = (1 << 32) * 1_000_000_000;

fn times(fields: &[(u16, u16)], values: Bytes) -> (Option<i64>, Option<i64>, holm_flow::Counters) {
    let mut decoder = decoder();
    let sets = [set(2, template(256, fields)), set(256, values)];
    let (rows, _) = decode_with(&mut decoder, &[ipfix(0, &sets)]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let time = |name: &str| rows[0].get(name).map(|text| text.parse().expect("a time"));
    (time("flow.start"), time("flow.end"), decoder.totals())
}

#[test]
fn any_two_times_can_be_subtracted() {
    // A start so many microseconds before the export, an end so many milliseconds after 1970.
    let (start, end, counted) =
        times(&[(158, 8), (153, 8)], Bytes::default().u64(i64::MAX as u64).u64(9_000_000_000_000));
    assert_eq!((start, end), (Some(0), Some(LAST_NS)));
    assert_eq!((counted.times_unknown, counted.times_ahead), (1, 1));
    let edges = [0, 1, u64::from(u32::MAX), 1 << 40, i64::MAX as u64, u64::MAX];
    for field in [150, 151, 152, 153, 154, 155, 156, 157, 158, 159] {
        for edge in edges {
            let (start, end, _) = times(&[(field, 8)], Bytes::default().u64(edge));
            let time = start.or(end).unwrap_or_default();
            assert!((0..=LAST_NS).contains(&time), "{field}: {edge}: {time}");
        }
    }
    for lasted in edges {
        let (start, end, _) = times(&[(152, 8), (161, 8)], Bytes::default().u64(1_000).u64(lasted));
        let (start, end) = (start.expect("told"), end.expect("known"));
        assert!((start..=LAST_NS).contains(&end), "{lasted}: {end}");
    }
    // What is right is not touched.
    let now_ms = (NOW_NS / MS) as u64;
    let (start, end, counted) =
        times(&[(152, 8), (153, 8)], Bytes::default().u64(now_ms - 5).u64(now_ms));
    assert_eq!((start, end), (Some(NOW_NS - 5 * MS), Some(NOW_NS)));
    assert_eq!((counted.times_unknown, counted.times_ahead), (0, 0));
}

#[test]
fn an_end_and_how_long_it_lasted_are_a_start() {
    let now_ms = (NOW_NS / MS) as u64;
    let two = |end: u16, length: u16, value: u64| {
        let (start, end, _) =
            times(&[(end, 8), (length, 4)], Bytes::default().u64(now_ms).u32(value as u32));
        (start, end)
    };
    assert_eq!(two(153, 161, 250), (Some(NOW_NS - 250 * MS), Some(NOW_NS)));
    assert_eq!(two(153, 162, 250_000), (Some(NOW_NS - 250 * MS), Some(NOW_NS)));
    // An event (323) that says how long what it ended had lasted.
    assert_eq!(two(323, 161, 40), (Some(NOW_NS - 40 * MS), Some(NOW_NS)));
    assert_eq!(two(152, 161, 250), (Some(NOW_NS), Some(NOW_NS + 250 * MS)));
    // In whatever order they come, and of more records than one.
    let record = |lasted: u32| Bytes::default().u32(lasted).u64(now_ms).0;
    let sets = [
        set(2, template(256, &[(161, 4), (153, 8)])),
        set(256, Bytes([record(1), record(0), record(u32::MAX)].concat())),
    ];
    let rows = flows(&[ipfix(0, &sets)]);
    let starts: Vec<i64> =
        rows.iter().map(|row| row["flow.start"].parse().expect("a time")).collect();
    assert_eq!(starts, [NOW_NS - MS, NOW_NS, NOW_NS - i64::from(u32::MAX) * MS]);
}

#[test]
fn what_nobody_says_when_it_came_is_ahead_of_nothing() {
    let now_ms = (NOW_NS / MS) as u64;
    let sets = [
        set(2, template(256, &[(152, 8), (153, 8)])),
        set(256, Bytes::default().u64(now_ms - 5).u64(now_ms)),
    ];
    let mut decoder = decoder();
    for (received_ns, ahead) in [(0, 0), (NOW_NS - 120_000 * MS, 1), (NOW_NS, 1)] {
        decoder.decode(exporter(), received_ns, &ipfix(0, &sets), &mut |_| {});
        assert_eq!(decoder.totals().times_ahead, ahead, "{received_ns}");
    }
}
