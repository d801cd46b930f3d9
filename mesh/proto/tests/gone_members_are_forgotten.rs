//! Members that are gone for good leave the lists and are tried no more; whoever lives is there again.

mod common;

use common::{WALL, World, key, tenant};
use holm_mesh_proto::{Event, Gone, MemberState};
use holm_model::{Millis, NodeName, SiteId};

fn gone(site: usize, up_to: u64) -> Vec<Gone> {
    let site = SiteId::new(&format!("site-{site}")).expect("valid");
    vec![Gone { site, node: None, up_to }]
}

fn formed(count: usize, seed: u64) -> World {
    let mut world = World::new(count, seed);
    world.run_until(60_000, World::all_see_all_alive).expect("they meet");
    world
}

fn state_of(world: &World, at: usize, of: usize) -> Option<MemberState> {
    let members = world.nodes[at].node.members();
    members.into_iter().find(|member| member.peer == key(of)).map(|member| member.state)
}

fn has_lease(world: &World, at: usize, of: usize) -> bool {
    let site = SiteId::new(&format!("site-{of}")).expect("valid");
    world.nodes[at].node.leases().iter().any(|lease| lease.site == site)
}

fn dials(world: &World, at: usize) -> u64 {
    world.nodes[at].node.counters().of("dials")
}

/// How many dials node 0 begins in half a minute.
fn dials_in_a_while(world: &mut World) -> u64 {
    let before = dials(world, 0);
    world.run_for(30_000);
    dials(world, 0) - before
}

#[test]
fn a_site_that_is_gone_is_neither_listed_nor_tried_and_its_lease_goes() {
    let mut world = formed(4, 1);
    let as_of = Millis(WALL + world.now_ms);
    world.event(3, Event::LeaseHeld { tenant: tenant("acme"), as_of });
    world.run_until(10_000, |w| has_lease(w, 0, 3)).expect("its lease is heard");
    world.stop(3);
    world
        .run_until(60_000, |w| (0..3).all(|at| state_of(w, at, 3) == Some(MemberState::Down)))
        .expect("it is missed");
    assert!(dials_in_a_while(&mut world) > 0, "who is down is tried");

    // One after the other hears of it: those who do not know yet tell of it meanwhile.
    for at in 0..3 {
        world.event(at, Event::Forgotten(gone(3, WALL + world.now_ms)));
        assert_eq!(state_of(&world, at, 3), None);
        world.run_for(1_000);
    }
    world.run_for(10_000);
    for at in 0..3 {
        assert_eq!(state_of(&world, at, 3), None);
        assert!(!has_lease(&world, at, 3));
    }
    assert_eq!(dials_in_a_while(&mut world), 0, "nobody is looked for");

    // It comes back, later than what was said.
    world.restart(3, WALL + world.now_ms);
    world.run_until(60_000, World::all_see_all_alive).expect("it is there again");
}

#[test]
fn a_node_that_hears_that_it_is_gone_contradicts() {
    let mut world = formed(5, 2);
    world.partition(|index| usize::from(index == 4));
    let down = |w: &World| (0..4).all(|at| state_of(w, at, 4) == Some(MemberState::Down));
    world.run_until(60_000, down).expect("it is missed");
    let said = gone(4, WALL + world.now_ms);
    for at in 0..4 {
        world.event(at, Event::Forgotten(said.clone()));
    }
    world.run_for(5_000);
    assert_eq!(state_of(&world, 0, 4), None);
    // It lived all the time. Back with the others it hears what was said of it.
    world.partition(|_| 0);
    world.run_for(2_000);
    world.event(4, Event::Forgotten(said.clone()));
    assert!(world.nodes[4].node.me().generation > said[0].up_to);
    world.run_until(60_000, World::all_see_all_alive).expect("it is there again");
    world.run_for(10_000);
    assert!(world.all_see_all_alive());
}

#[test]
fn who_lives_is_not_lost_when_it_is_said_to_be_gone() {
    let mut world = formed(4, 3);
    let said = gone(2, WALL + world.now_ms + 1_000);
    for at in 0..4 {
        world.event(at, Event::Forgotten(said.clone()));
    }
    world.run_until(30_000, World::all_see_all_alive).expect("it contradicts at once");
    // What was said of another node of the site concerns nobody here.
    let other = Gone { node: Some(NodeName::new("b").expect("valid")), ..said[0].clone() };
    let up_to = u64::MAX / 2;
    world.event(0, Event::Forgotten(vec![Gone { up_to, ..other }]));
    world.run_for(10_000);
    assert!(world.all_see_all_alive());
}

#[test]
fn more_than_can_be_remembered_is_counted() {
    let mut world = formed(2, 4);
    let all = (0..5_000).flat_map(|site| gone(100 + site, 1)).collect();
    world.event(0, Event::Forgotten(all));
    assert_eq!(world.nodes[0].node.counters().of("gone_dropped"), 904);
    assert!(world.all_see_all_alive());
}
