//! A checker that cannot fail checks nothing: worlds that are broken on purpose.

use holm_sim::plan::{Act, Broken, Plan};
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

/// What a small world tells that is broken so, with one outsider.
fn problems_of(broken: Option<Broken>) -> Vec<String> {
    let mut plan = Plan::quiet_start(4);
    plan.run_ms = 30_000;
    plan.outsiders = vec![3];
    plan.load = holm_sim::plan::Load::Steady { every_ms: 1_000, documents: 3, withdrawals: 40 };
    plan.broken = broken;
    run_plan("broken", plan, 1).problems
}

/// The checker that is meant speaks, and no other.
fn speaks_alone(broken: Broken, what: &str) {
    let problems = problems_of(Some(broken));
    assert!(problems.len() == 1 && problems[0].contains(what), "{broken:?}: {problems:?}");
}

#[test]
fn the_same_world_unbroken_tells_nothing() {
    assert_eq!(problems_of(None), Vec::<String>::new());
}

#[test]
fn a_withdrawn_element_that_is_back_is_seen() {
    speaks_alone(Broken::Resurrection, "withdrawn elements are back");
}

#[test]
fn a_hint_that_an_outsider_is_told_is_seen() {
    speaks_alone(Broken::ToldHint, "frames told outsiders");
}

#[test]
fn a_document_that_an_outsider_holds_is_seen() {
    speaks_alone(Broken::StrayDocument, "site 3 holds documents of the closed tenant");
}

#[test]
fn a_map_beyond_its_bound_is_seen() {
    speaks_alone(Broken::GrowingMap, "growing grew to");
}

#[test]
fn memory_beyond_its_bound_is_seen() {
    speaks_alone(Broken::Memory, "a node's protocol state took");
}

#[test]
fn a_lease_that_nobody_held_is_seen() {
    speaks_alone(Broken::UntrueLease, "leases say what nobody said");
}

#[test]
fn a_tenant_that_nobody_granted_is_seen() {
    let problems = problems_of(Some(Broken::StrayTenant));
    assert!(problems.iter().all(|text| text.contains("tenants that nobody granted")));
    assert_eq!(problems.len(), 4, "one a site: {problems:?}");
}

#[test]
fn a_mesh_that_did_not_form_is_seen() {
    let mut plan = Plan::quiet_start(4);
    (plan.warmup_ms, plan.run_ms) = (1, 10_000);
    let problems = run_plan("unformed", plan, 1).problems;
    assert!(problems.iter().any(|text| text.contains("fewer than two connections")));
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
