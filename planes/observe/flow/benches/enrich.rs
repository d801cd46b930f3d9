//! What meaning costs: `cargo bench -p holm-flow --bench enrich`.
//!
//! Flows of a busy site, decoded before, get networks, systems and names: of a thousand configured
//! prefixes, and of a table of autonomous systems of 900,000, as many as the Internet has. One thread.
//! The bound is ours: at a million rows a second a tenth of a core.

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use holm_bench::report;
use holm_flow::{AsTable, Batch, Carrier, Decoder, Enricher, ExporterName, Limits, Network};

const NOW_NS: i64 = 1_700_000_000_000_000_000;
const RUNS: usize = 9;
const DATAGRAMS: u64 = 20_000;
const PER_DATAGRAM: u64 = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut random = 1_u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let path = std::env::temp_dir().join(format!("holm-as-{}.txt", std::process::id()));
    let mut text = String::new();
    for _ in 0..900_000 {
        let (prefix, bits) = (Ipv4Addr::from(next(1 << 32) as u32 & !255), 16 + next(9));
        writeln!(text, "{prefix}/{bits} {} Example {}", 1 + next(70_000), next(70_000))?;
    }
    std::fs::write(&path, text)?;
    let table = AsTable::open(&path)?;
    std::fs::remove_file(&path)?;
    let networks: Vec<Network> = (0..1_000_u32)
        .map(|n| Network {
            prefix: format!("{}/24", Ipv4Addr::from(0x0a00_0000 + n * 256)),
            name: format!("net-{n}"),
            zone: ["inside", "dmz", "lab"][n as usize % 3].to_owned(),
            service: format!("service-{}", n % 50),
            team: format!("team-{}", n % 20),
        })
        .collect();
    let exporter = ExporterName { address: IpAddr::from([192, 0, 2, 1]), name: "edge".to_owned() };
    let enricher = Enricher::new(&networks, &[exporter], Some(table))?;
    let mut decoder = Decoder::new(Limits::default(), Carrier::Udp);
    let mut batches = Vec::new();
    for _ in 0..DATAGRAMS {
        let from = SocketAddr::from(([192, 0, 2, 1], 2055));
        decoder.decode(from, NOW_NS, &netflow_v5(&mut next), &mut |batch| batches.push(batch));
    }
    decoder.flush(&mut |batch| batches.push(batch));
    let batches: Vec<_> = batches
        .into_iter()
        .filter_map(|batch| match batch {
            Batch::Flows(batch) => Some(batch),
            Batch::InterfaceCounters(_) => None,
        })
        .collect();
    let mut rates = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let rows: usize =
            batches.iter().map(|batch| black_box(enricher.enrich(batch.clone())).num_rows()).sum();
        rates.push(rows as f64 / started.elapsed().as_secs_f64() / 1e6);
    }
    rates.sort_by(f64::total_cmp);
    let n = (DATAGRAMS * PER_DATAGRAM) as usize * RUNS;
    report("enrich_mrps", rates[RUNS / 2], "M rows/s, one core", 10.0, n);
    Ok(())
}

/// Inside talks to the world.
fn netflow_v5(next: &mut impl FnMut(u64) -> u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + 48 * PER_DATAGRAM as usize);
    out.extend([0, 5, 0, PER_DATAGRAM as u8]);
    out.extend([0; 20]);
    for _ in 0..PER_DATAGRAM {
        out.extend((0x0a00_0000_u32 + next(256_000) as u32).to_be_bytes());
        out.extend((next(1 << 32) as u32).to_be_bytes());
        out.extend([0; 40]);
    }
    out
}
