//! Whole nodes in virtual time: they find each other, agree, and agree again after trouble.

mod common;

use common::{World, doc, key, tenant};
use holm_mesh_proto::{Event, MemberState, Order};
use holm_model::{Millis, SiteId};

#[test]
fn nodes_find_each_other_through_one_seed_and_converge() {
    for (count, seed) in [(3, 1), (8, 2), (50, 3)] {
        let mut world = World::new(count, seed);
        for index in 0..count {
            world.write(index, index as u64, "first");
        }
        let met = world.run_until(120_000, World::all_see_all_alive);
        assert!(met.is_some(), "{count} nodes do not see each other");
        assert!(world.run_until(60_000, World::all_equal).is_some(), "{count} nodes differ");
        assert_eq!(world.nodes[0].store.digest().len(), count);
        // Fan-out is bounded: nobody keeps a connection to everyone.
        let most = world
            .nodes
            .iter()
            .map(|n| n.node.members().iter().filter(|m| m.connected).count())
            .max();
        assert!(most <= Some(40), "{most:?}");
    }
}

#[test]
fn a_hint_brings_a_version_long_before_the_periodic_reconciliation() {
    let mut world = World::new(8, 4);
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    world.run_for(3_000);
    let mut times = Vec::new();
    for number in 0..20 {
        world.write(3, number, "news");
        times.push(world.run_until(10_000, World::all_equal).expect("it spreads"));
        world.run_for(50);
    }
    times.sort_unstable();
    assert!(times[10] <= 150, "median {} ms of {times:?}; the period is 500 ms", times[10]);
}

#[test]
fn a_split_heals_by_itself_and_nothing_is_lost() {
    let mut world = World::new(6, 5);
    world.write(0, 1, "before");
    world.run_until(60_000, |w| w.all_see_all_alive() && w.all_equal()).expect("they meet");
    world.partition(|index| index % 2);
    for round in 0..10 {
        world.write(round % 6, 1, &format!("during {round}"));
        world.run_for(500);
    }
    let down = |world: &World| {
        world.nodes[0].node.members().iter().filter(|m| m.state == MemberState::Down).count()
    };
    world.run_until(30_000, |w| down(w) == 3).expect("the others count as down");
    assert!(!world.all_equal());
    world.partition(|_| 0);
    world
        .run_until(30_000, |w| w.all_see_all_alive() && w.all_equal())
        .expect("both sides agree again");
    assert_eq!(world.nodes[5].store.texts(&tenant("acme"), doc(1)).len(), 11, "none lost");
}

#[test]
fn lost_and_doubled_hints_do_no_harm() {
    let mut world = World::new(10, 6);
    world.hint_loss_percent = 30;
    world.duplicate_percent = 20;
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    for number in 0..50 {
        world.write((number % 10) as usize, number, "news");
        world.run_for(20);
    }
    world.run_until(30_000, World::all_equal).expect("they agree");
    assert_eq!(world.nodes[9].store.digest().len(), 50);
}

#[test]
fn a_node_that_restarts_with_its_clock_set_back_is_alive_again() {
    let mut world = World::new(4, 7);
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    world.stop(2);
    world.run_for(5_000);
    assert!(world.nodes[0].node.members().iter().any(|m| m.state == MemberState::Down));
    world.write(1, 1, "while it was away");
    world.restart(2, common::WALL - 3_600_000);
    world
        .run_until(60_000, |w| w.all_see_all_alive() && w.all_equal())
        .expect("it is back although its generation was smaller");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let mut world = World::new(7, seed);
        world.hint_loss_percent = 10;
        for round in 0..20 {
            world.write(round % 7, round as u64 % 3, &round.to_string());
            world.run_for(200);
        }
        world.partition(|index| usize::from(index < 3));
        world.run_for(2_000);
        world.partition(|_| 0);
        world.run_for(3_000);
        world.trace.finalize()
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}

#[test]
fn leases_reach_everyone_and_a_clock_an_hour_off_is_named() {
    let mut world = World::new(5, 8);
    world.nodes[4].skew_ms = 3_600_000;
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    for index in 0..5 {
        let as_of =
            Millis((common::WALL + world.now_ms).saturating_add_signed(world.nodes[index].skew_ms));
        world.event(index, Event::LeaseHeld { tenant: tenant("acme"), as_of });
    }
    world.run_for(2_000);
    let now = Millis(common::WALL + world.now_ms);
    let leases = world.nodes[0].node.leases();
    assert_eq!(leases.len(), 5);
    for lease in leases {
        assert!(lease.as_of <= now, "no lease lies in the future");
        assert_eq!(lease.claims_future, lease.site == SiteId::new("site-4").expect("valid"));
    }
    let warnings = world.nodes[0].node.clock_warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("site-4/a is 3,6") || warnings[0].contains("site-4/a is 3,5"),
        "{warnings:?}"
    );
    assert_eq!(world.nodes[0].node.own_clock_ahead_ms(), Some(0));
    let off = world.nodes[4].node.own_clock_ahead_ms().expect("there are four to compare with");
    assert!(off.abs_diff(3_600_000) < 500, "{off}");
    // The one that is off hears the same of all others, and knows that it is the one.
    let own = world.nodes[4].node.clock_warnings();
    assert_eq!(own.len(), 1, "{own:?}");
    assert!(
        own[0].starts_with("this node's clock is about 3,600 s ahead of the clocks of 4 of 4"),
        "{own:?}"
    );
}

#[test]
fn pings_bound_the_clocks_and_put_moments_in_order() {
    let mut world = World::new(3, 12);
    world.nodes[1].skew_ms = 90_000;
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    world.run_for(3_000);
    let members = world.nodes[0].node.members();
    for member in &members {
        let clock = member.clock.as_ref().expect("it answers, and says stamps");
        let skew_ns = if member.peer == key(1) { 90_000_000_000 } else { 0 };
        assert!(clock.wall_ns.0 <= skew_ns && skew_ns <= clock.wall_ns.1, "{clock:?}");
        let (middle_ns, error_ns) = clock.wall_offset_ns();
        assert!(middle_ns.abs_diff(skew_ns) <= error_ns && error_ns < 1_000_000_000, "{clock:?}");
        let rtt_ns = member.rtt_ms.expect("measured") * 1_000_000;
        assert!(clock.one_way_out_ns.0 <= rtt_ns && clock.one_way_in_ns.0 <= rtt_ns);
        assert_eq!((clock.cuts, clock.wall_steps), (0, 0));
    }
    // A second ago by both clocks, of which one is 90 s ahead.
    let wall_ns = |index: usize, ago_ms: u64| {
        let wall_ms = common::WALL + world.now_ms - ago_ms;
        wall_ms.saturating_add_signed(world.nodes[index].skew_ms).cast_signed() * 1_000_000
    };
    let order = |a: (usize, u64), b: (usize, u64)| {
        let at = |(index, ago_ms)| (key(index), wall_ns(index, ago_ms));
        world.nodes[0].node.order(at(a), at(b))
    };
    assert_eq!(order((1, 2_000), (0, 500)), Order::Before);
    assert_eq!(order((0, 500), (1, 2_000)), Order::After);
    assert_eq!(order((1, 2_000), (2, 500)), Order::Before, "two others");
    assert_eq!(order((1, 900), (2, 900)), Order::Concurrent);
    assert_eq!(order((1, 901), (1, 900)), Order::Before, "one clock alone is exact");
    let stranger = (key(7), wall_ns(0, 500));
    let known = (key(1), wall_ns(1, 2_000));
    assert_eq!(world.nodes[0].node.order(known, stranger), Order::Concurrent);
}

#[test]
fn a_lease_and_a_clock_that_is_three_seconds_off_are_told_on_both_sides() {
    let mut world = World::new(2, 13);
    world.nodes[1].skew_ms = 3_000;
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    let as_of = Millis(common::WALL + world.now_ms + 3_000);
    world.event(1, Event::LeaseHeld { tenant: tenant("acme"), as_of });
    world.run_for(2_000);
    let warnings = [0, 1].map(|index| world.nodes[index].node.clock_warnings());
    assert!(warnings[0][0].starts_with("clock of site-1/a is"), "{warnings:?}");
    assert!(warnings[0][0].contains("ahead of this node's"), "{warnings:?}");
    assert!(warnings[1][0].starts_with("clock of site-0/a is"), "{warnings:?}");
    assert!(warnings[1][0].contains("behind this node's"), "{warnings:?}");
    // Its word counts, but never as a time that is not yet.
    let leases = world.nodes[0].node.leases();
    assert!(leases[0].as_of <= Millis(common::WALL + world.now_ms));
    assert!(!leases[0].claims_future, "three seconds are no lie");
}

#[test]
fn a_site_without_permission_learns_neither_data_nor_name() {
    let mut world = World::new(3, 9);
    for index in 0..2 {
        world.nodes[index].store.refuse("site-2", "acme");
    }
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    world.write(0, 1, "secret");
    let as_of = Millis(common::WALL);
    world.event(0, Event::LeaseHeld { tenant: tenant("acme"), as_of });
    world.run_for(5_000);
    assert_eq!(world.nodes[1].store.digest().len(), 1);
    assert!(world.nodes[2].store.digest().is_empty());
    assert!(world.nodes[2].node.leases().is_empty());
    assert_eq!(world.nodes[2].node.counters().of("hints_received"), 0);
}

#[test]
fn two_nodes_with_one_name_are_reported_and_stay_up() {
    let mut world = World::new(3, 10);
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    world.event(
        0,
        Event::Doubled {
            peer: key(1),
            site: SiteId::new("site-1").expect("valid"),
            node: holm_model::NodeName::new("a").expect("valid"),
            seen: "10.9.9.9:1".to_owned(),
        },
    );
    let conflicts = world.nodes[0].node.conflicts();
    assert_eq!(conflicts.len(), 1);
    assert!(conflicts[0].text.contains("site-1/a") && conflicts[0].text.contains("10.9.9.9"));
    world.write(1, 1, "still works");
    world.run_until(10_000, World::all_equal).expect("everything goes on");
}
