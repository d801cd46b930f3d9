//! Every scenario, small, for a few seeds: what `make sim` and the nightly run do with many.

use holm_sim::{Params, SCENARIOS, Scenario, run};

fn holds(name: &str, sites: usize, hours: f64, seeds: std::ops::RangeInclusive<u64>) {
    let scenario = Scenario::named(name).expect("a scenario");
    for seed in seeds {
        let params =
            Params { sites: Some(sites), crash: None, hours: Some(hours), seed, slowest: 0 };
        let outcome = run(scenario, &params).expect("a world");
        assert!(outcome.problems.is_empty(), "{name}, seed {seed}: {:?}", outcome.problems);
        assert_eq!(outcome.number("lost_writes"), 0.0);
        if name != "quiet" {
            assert!(outcome.number("acknowledged") > 0.0, "{name}: nothing was written");
        }
    }
}

#[test]
fn steady() {
    holds("steady", 6, 0.01, 1..=2);
}

#[test]
fn crash() {
    holds("crash", 6, 0.02, 1..=2);
}

#[test]
fn broadcast() {
    holds("broadcast", 20, 0.01, 1..=1);
}

#[test]
fn islands() {
    holds("islands", 6, 0.05, 1..=2);
}

#[test]
fn region() {
    holds("region", 12, 0.05, 1..=2);
}

#[test]
fn one_way() {
    holds("one-way", 6, 0.04, 1..=2);
}

#[test]
fn flapping() {
    holds("flapping", 6, 0.03, 1..=2);
}

#[test]
fn clocks() {
    holds("clocks", 6, 0.04, 1..=2);
}

#[test]
fn joins() {
    holds("joins", 8, 0.03, 1..=2);
}

#[test]
fn byzantine() {
    holds("byzantine", 5, 0.002, 1..=1);
}

#[test]
fn day_apart() {
    holds("day-apart", 3, 0.05, 1..=1);
}

#[test]
fn quiet() {
    holds("quiet", 12, 0.02, 1..=1);
}

#[test]
fn every_scenario_is_in_this_list() {
    assert_eq!(SCENARIOS.len(), 12, "a new scenario needs a test here");
}
