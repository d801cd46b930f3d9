//! A checker that cannot fail checks nothing: worlds that are broken on purpose.

use holm_sim::plan::{Act, Plan};
use holm_sim::{Params, Scenario, ScenarioError, run, run_plan};

#[test]
fn a_split_that_never_heals_does_not_converge() {
    let mut plan = Plan::quiet_start(4);
    plan.settle_ms = 20_000;
    plan.run_ms = 20_000;
    plan.acts = vec![(0, Act::Split(vec![0, 0, 1, 1]))];
    let outcome = run_plan("split", plan, 1);
    assert!(outcome.problems.iter().any(|text| text.contains("not converged")));
    assert_eq!(outcome.json["converged"], false);
}

#[test]
fn a_node_that_forgets_its_disk_loses_what_it_promised() {
    // Alone, so that nobody else has it: two sites that never meet, and one loses its disk.
    let mut world = {
        let mut plan = Plan::quiet_start(3);
        plan.acts = vec![(0, Act::Split(vec![0, 1, 2]))];
        holm_sim::World::new(plan, 3)
    };
    world.run_until(60_000_000);
    assert!(!world.watch.acknowledged.is_empty());
    assert_eq!(holm_sim::lost_writes(&world), 0);
    world.forget_disk(2);
    assert!(holm_sim::lost_writes(&world) > 0);
}

#[test]
fn bad_names_and_numbers_are_told() {
    let unknown = Scenario::named("sunny").expect_err("no such scenario");
    assert!(unknown.to_string().contains("byzantine"), "{unknown}");
    let steady = Scenario::named("steady").expect("a scenario");
    let with = |sites, crash, hours| {
        run(steady, &Params { sites, crash, hours, ..Params::seeded(1) })
            .expect_err("no such world")
    };
    assert!(matches!(with(Some(1), None, None), ScenarioError::Sites { .. }));
    assert!(matches!(with(Some(9_999), None, None), ScenarioError::Sites { .. }));
    assert!(matches!(with(Some(4), Some(3), None), ScenarioError::Crash { .. }));
    assert!(matches!(with(None, None, Some(0.0)), ScenarioError::Hours { .. }));
    assert!(matches!(with(None, None, Some(f64::NAN)), ScenarioError::Hours { .. }));
}
