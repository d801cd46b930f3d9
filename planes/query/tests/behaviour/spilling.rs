//! Groups and sorts that do not fit into memory go to disk, and come to the same.

use std::time::Duration;

use holm_query::{Engine, PoolLimits, QueryLimits, QueryPool};

use crate::common::{Site, alone, ask_within, site};

const ROWS: u32 = 300_000;

/// The site with an engine whose questions share so many bytes.
fn with_memory(site: &mut Site, memory_bytes: usize) {
    let limits = PoolLimits { memory_bytes, threads: 2, ..PoolLimits::default() };
    let folder = site.folder.path().join(format!("spill-{memory_bytes}"));
    let pool = QueryPool::new(&folder, limits).expect("a pool");
    let (tenant, place) = ("acme".parse().expect("valid"), site.place.site.clone());
    let engine = Engine::new(tenant, place, site.store.clone(), pool.into()).expect("an engine");
    site.engine = engine.into();
}

#[test]
fn groups_and_sorts_beyond_memory_are_spilled() {
    let rows: Vec<(u32, u64)> = (0..ROWS).map(|n| (n, u64::from(n % 1_000))).collect();
    let mut site = site("berlin", &rows);
    let limits = QueryLimits { time: Duration::from_secs(200), ..QueryLimits::default() };
    let keys = "\"flow.time_received\", source.address, source.port, flow.io.bytes, site, flow.io.bytes % 7";
    let questions = [
        format!("SELECT {keys}, count(*) AS n, sum(flow.io.bytes) AS b FROM flows GROUP BY {keys} ORDER BY b DESC, source.address LIMIT 20"),
        format!("SELECT {keys}, count(*) AS n, min(flow.io.bytes) AS b FROM flows GROUP BY {keys} ORDER BY source.address LIMIT 20"),
        "SELECT \"flow.time_received\", source.address, sum(flow.io.bytes) AS b FROM flows GROUP BY 1, 2 ORDER BY b DESC, 2 LIMIT 20".to_owned(),
        "SELECT count(*) AS n FROM (SELECT source.address, source.port, avg(flow.io.bytes) AS b FROM flows GROUP BY 1, 2)".to_owned(),
        "SELECT * FROM flows ORDER BY source.address DESC, flow.io.bytes LIMIT 10000".to_owned(),
    ];
    let mut answers = Vec::new();
    for memory in [1 << 30, 24 << 20] {
        with_memory(&mut site, memory);
        let ask =
            |sql: &String| ask_within(&site, &alone(), sql, limits).map(|answer| answer.rows());
        answers.push(questions.iter().map(ask).collect::<Vec<_>>());
    }
    for ((sql, fits), spilled) in questions.iter().zip(&answers[0]).zip(&answers[1]) {
        let spilled = spilled.as_ref().unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(fits.as_ref().is_ok_and(|fits| fits == spilled && !fits.is_empty()), "{sql}");
    }
}
