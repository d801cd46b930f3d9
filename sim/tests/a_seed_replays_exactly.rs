//! What makes a failing seed worth anything.

use holm_sim::{Params, Scenario, run};

fn trace(name: &str, seed: u64) -> String {
    let scenario = Scenario::named(name).expect("a scenario");
    let params = Params { sites: Some(6), crash: None, hours: Some(0.001), seed, slowest: 0 };
    run(scenario, &params).expect("a world").trace
}

#[test]
fn two_runs_of_one_seed_are_the_same_and_of_two_seeds_are_not() {
    for name in ["steady", "crash", "flapping", "joins"] {
        let first = trace(name, 7);
        assert_eq!(first, trace(name, 7), "{name}");
        assert_ne!(first, trace(name, 8), "{name}");
    }
}
