//! A question for one value reads no file that cannot have it: bloom filters, and the times of row groups.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};

use crate::common::{NOON, Site, alone, ask, first_file, flows, rows, site_of};

const HOUR_NS: i64 = 3_600_000_000_000;

/// Flows of so many hours before noon.
fn before(hours: i64, of: &[(u32, u64)]) -> RecordBatch {
    let batch = flows(of);
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    let of_hour = (0..of.len() as i64).map(|n| n % 3_000 * 1_000_000_000);
    let times = of_hour.map(|at| NOON * 1_000_000 - hours * HOUR_NS + at);
    let times = TimestampNanosecondArray::from_iter_values(times);
    columns[0] = Arc::new(times.with_timezone("UTC"));
    RecordBatch::try_new(batch.schema(), columns).expect("a batch")
}

/// Two hours with a file each, put together: the first of addresses `n * 7`, the second of `n * 7 + 1`.
fn two_hours() -> Site {
    let site = site_of("acme", "berlin");
    for (hours, first) in [(3, 0), (2, 1)] {
        for part in 0..4 {
            let of = (0..6_000).map(|n| (part * 6_000 + n) * 7 + first);
            let of: Vec<(u32, u64)> = of.map(|n| (n, u64::from(n) * 0x9e37_79b9)).collect();
            site.store.append_batch("flows", before(hours, &of)).expect("room");
            site.store.roll();
        }
    }
    let until = Instant::now() + Duration::from_secs(60);
    while site.store.snapshot("flows").expect("a table").files.len() > 2 {
        assert!(Instant::now() < until, "{:?}", site.store.stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    site
}

/// Damages the rows of the oldest file, and nothing of what tells of them: those stand at its end.
fn damage_first(site: &Site) {
    let path = first_file(site.folder.path());
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[1_000] ^= 1;
    std::fs::write(path, bytes).expect("writes");
}

#[test]
fn the_file_that_cannot_have_an_address_is_not_read() {
    let site = two_hours();
    damage_first(&site);
    let of = |n: u32| {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        format!("SELECT count(*) FROM flows WHERE source.address = ip('{address}')")
    };
    // In the range of both files, so that only its bloom filter tells that the first one lacks it.
    for n in [7_001, 70_001, 140_001] {
        assert_eq!(rows(&site, &alone(), &of(n))[0][0], 1, "{n}");
    }
    let window =
        "SELECT count(*) FROM flows WHERE flow.time_received >= TIMESTAMP '2024-02-29T10:00:00Z'";
    assert_eq!(rows(&site, &alone(), window)[0][0], 24_000);
    assert_eq!(site.store.stats().damaged, 0, "nobody read it");
    // Who needs it meets the damage, and the next goes without.
    ask(&site, &alone(), &of(7_000)).expect_err("its file is damaged");
    assert_eq!(rows(&site, &alone(), &of(7_000))[0][0], 0);
    assert_eq!(site.store.stats().damaged, 1);
}
