//! The numbers of `[mesh]` in bench.toml that a simulation can measure.

use std::time::Instant;

use crate::scenario::{Params, Scenario};
use crate::{Outcome, median, run};
use holm_bench::report;

/// Longer than the 1,000 s in which 2,000 nodes renew their leases once.
const QUIET_HOURS: f64 = 0.3;

/// Measures everything whose name contains `only`; whether all bounds hold.
///
/// # Errors
/// A text when a run cannot be or a checker fails: then the number means nothing.
pub fn all(only: Option<&str>) -> Result<bool, String> {
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only));
    let mut held = true;
    if wanted("broadcast_500_p99_ms") || wanted("broadcast_500_dup") {
        let (mut p99, mut dup) = (Vec::new(), Vec::new());
        for seed in 1..=5 {
            let outcome = broadcast(500, 20, seed)?;
            p99.push(outcome.number("p99_ms"));
            dup.push(outcome.number("duplicates_per_message"));
        }
        held &= held_to("broadcast_500_p99_ms", median(&mut p99), "ms", 158.0, 5);
        held &= held_to("broadcast_500_dup", median(&mut dup), "duplicates/message", 3.6, 5);
    }
    if wanted("broadcast_2000_dup") || wanted("sim_2000_wall_s") {
        let began = Instant::now();
        let outcome = broadcast(2_000, 80, 1)?;
        let wall_s = began.elapsed().as_secs_f64();
        let dup = outcome.number("duplicates_per_message");
        held &= held_to("broadcast_2000_dup", dup, "duplicates/message", 5.0, 1);
        held &= held_to("sim_2000_wall_s", wall_s, "s", 600.0, 1);
    }
    if wanted("quiet_traffic_kib_s") {
        let params = Params { sites: Some(2_000), hours: Some(QUIET_HOURS), ..Params::seeded(1) };
        let outcome = checked("quiet", &params)?;
        let kib_s = outcome.number("sent_bytes_s_mean") / 1_024.0;
        println!(
            "also: the busiest node sends {:.2} KiB/s",
            outcome.number("sent_bytes_s_max") / 1_024.0
        );
        held &= held_to("quiet_traffic_kib_s", kib_s, "KiB/s", 2.0, 1);
    }
    if wanted("heal_round_trips") {
        let outcome = checked("day-apart", &Params::seeded(1))?;
        held &=
            held_to("heal_round_trips", outcome.number("heal_round_trips"), "round trips", 3.0, 1);
    }
    if wanted("idle_reconcile_bytes") {
        let bytes = crate::idle_round_bytes(10_000)?;
        held &= held_to("idle_reconcile_bytes", bytes as f64, "bytes/peer/round", 350.0, 1);
    }
    Ok(held)
}

fn broadcast(sites: usize, crash: usize, seed: u64) -> Result<Outcome, String> {
    let params = Params { sites: Some(sites), crash: Some(crash), ..Params::seeded(seed) };
    let outcome = checked("broadcast", &params)?;
    println!(
        "also: {sites} sites, {crash} crash, seed {seed}: hint p50 {:.0} p99 {:.0} ms (by the \
         anchor's count {:.0}), document p99 {:.0} ms, {:.2} duplicates, {} hints incomplete",
        outcome.number("p50_ms"),
        outcome.number("p99_ms"),
        outcome.number("anchor_p99_ms"),
        outcome.number("visible_p99_ms"),
        outcome.number("duplicates_per_message"),
        outcome.number("incomplete_hints"),
    );
    Ok(outcome)
}

fn checked(name: &str, params: &Params) -> Result<Outcome, String> {
    let scenario = Scenario::named(name).map_err(|error| error.to_string())?;
    let outcome = run(scenario, params).map_err(|error| error.to_string())?;
    match outcome.problems.first() {
        None => Ok(outcome),
        Some(problem) => Err(format!("{name}, seed {}: {problem}", params.seed)),
    }
}

/// Says what was measured; whether the bound holds.
fn held_to(name: &str, value: f64, unit: &str, bound: f64, n: usize) -> bool {
    report(name, value, unit, bound, n);
    value <= bound
}
