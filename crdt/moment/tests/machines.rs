//! Machines of several names: ranked as their what-ifs say, entered by one name and left by any.

use holm_model::{EdgeKind, ElementId, NodeId};
use holm_moment::{Impact, Limits, Moment, MomentBuilder, Scratch, Selection, Selector, WhatIf};

/// A topology that is told by names.
#[derive(Default)]
struct Told(MomentBuilder);

impl Told {
    fn node(&mut self, id: &str) -> u32 {
        self.0.node(id.parse::<NodeId>().expect("valid"))
    }

    fn link(&mut self, from: &str, to: &str) {
        let (from, to) = (self.node(from), self.node(to));
        self.0.edge(from, EdgeKind::Path, to, None);
    }

    /// That a host has an address.
    fn has(&mut self, host: &str, address: &str) {
        let host = self.node(host);
        self.0.also_called(host, &format!("host:{address}").parse().expect("valid"));
    }
}

fn ask(moment: &Moment, failed: Selection) -> Impact {
    let question = WhatIf { failed, ..WhatIf::default() };
    moment.what_if(&question, Limits::default(), None, &mut Scratch::default())
}

fn fails(moment: &Moment, target: &str) -> Impact {
    let id: ElementId = target.parse().expect("valid");
    ask(moment, moment.select(&Selector::Element(id)).expect("there"))
}

/// Each of some agents behind an access router with two uplinks to two cores, routers of two interfaces behind these,
/// and hosts behind each of them.
fn two_uplinks(sites: usize, routers: usize, hosts: usize) -> Moment {
    let mut told = Told::default();
    for site in 0..sites {
        for uplink in 1..3 {
            let own = format!("20.{}.{}.{uplink}", site / 250, site % 250);
            told.has(&format!("host:access-{site}"), &own);
            told.link(&format!("agent:s{site}"), &format!("hop:{own}"));
            told.link(&format!("hop:{own}"), &format!("hop:20.9.0.{uplink}"));
        }
    }
    for router in 0..routers {
        let [left, right] =
            [1, 2].map(|i| format!("20.{}.{}.{i}", 10 + router / 250, router % 250));
        told.has(&format!("host:router-{router}"), &left);
        told.has(&format!("host:router-{router}"), &right);
        told.link("hop:20.9.0.1", &format!("hop:{left}"));
        told.link("hop:20.9.0.2", &format!("hop:{right}"));
        for host in 1..=hosts {
            let side = if host % 2 == 0 { &left } else { &right };
            let host = format!("host:30.{}.{}.{host}", router / 250, router % 250);
            told.link(&format!("hop:{side}"), &host);
        }
    }
    told.0.build()
}

#[test]
fn every_one_of_very_many_machines_is_ranked_as_its_what_if_says() {
    let (sites, routers, hosts) = (300, 1_000, 2);
    let moment = two_uplinks(sites, routers, hosts);
    let ranking = moment.spof(usize::MAX);
    assert_eq!(ranking.as_one_node, 0);
    let machines = (0..sites).map(|site| format!("host:access-{site}"));
    let machines = machines.chain((0..routers).step_by(25).map(|n| format!("host:router-{n}")));
    for name in machines {
        let impact = fails(&moment, &name);
        let row = ranking.items.iter().find(|row| row.id.to_string() == name).expect("ranked");
        let found = [row.broken_paths, row.impacted_services, row.disconnected];
        let expected =
            [impact.broken_paths.total, impact.impacted_services.total, impact.disconnected.total];
        assert_eq!(found, expected, "{name}");
    }
    // Its own host, and each router with what is behind it.
    let broken = |name: &str| fails(&moment, name).broken_paths.total as usize;
    assert_eq!(broken("host:access-7"), 1 + routers * (hosts + 1));
    assert_eq!(broken("host:router-7"), sites * (hosts + 1));
    let hops = ranking.items.iter().filter(|row| row.id.to_string().starts_with("hop:"));
    assert_eq!(hops.count(), 0, "a machine is there once, by its host");
}

/// A router of many interfaces that is entered at one, with a host behind each.
fn many_interfaces(count: usize) -> Moment {
    let mut told = Told::default();
    told.link("agent:a", "hop:10.0.0.0");
    for i in 0..count {
        let own = format!("10.0.{}.{}", i / 250, i % 250);
        told.has("host:r", &own);
        told.link(&format!("hop:{own}"), &format!("host:10.1.{}.{}", i / 250, i % 250));
    }
    told.0.build()
}

#[test]
fn a_machine_of_very_many_names_is_entered_by_one_and_left_by_any() {
    for count in [2, 64, 65, 500] {
        let moment = many_interfaces(count);
        let whole = fails(&moment, "host:r");
        assert_eq!(whole.failed.len(), count + 1);
        let (pairs, hosts) = (whole.broken_paths.total as usize, whole.disconnected.total as usize);
        assert_eq!((pairs, hosts), (count + 1, count), "the router is a host too");
        let ranking = moment.spof(2);
        let row = &ranking.items[1];
        assert_eq!(row.id.to_string(), "host:r");
        assert_eq!(row.blast_radius() as usize, pairs + hosts);
        // To fail by any name is to fail whole.
        let one = moment.find(&"hop:10.0.0.1".parse().expect("valid")).expect("there");
        let of_one = ask(&moment, Selection { nodes: vec![one], edges: vec![] });
        assert_eq!(of_one.broken_paths, whole.broken_paths);
        assert_eq!(of_one.disconnected, whole.disconnected);
        // A link behind it breaks one pair, on a way that names it as it was entered.
        let link = fails(&moment, "hop:10.0.0.1|path|host:10.1.0.1");
        let route: Vec<_> = link.broken_paths.items[0].route.iter().flatten().collect();
        let route: Vec<String> = route.into_iter().map(ToString::to_string).collect();
        assert_eq!(link.broken_paths.total, 1);
        assert_eq!(route, ["agent:a", "hop:10.0.0.0", "host:10.1.0.1"]);
        let before = fails(&moment, "agent:a|path|hop:10.0.0.0");
        assert_eq!(before.broken_paths.total as usize, count + 1);
    }
}

#[test]
fn parallel_links_to_one_machine_fail_apart_and_ways_name_the_one_that_is_left() {
    let mut told = Told::default();
    for side in [1, 2] {
        told.has("host:gw", &format!("192.0.2.{side}"));
        told.link("agent:a", &format!("hop:192.0.2.{side}"));
    }
    told.link("hop:192.0.2.2", "host:203.0.113.1");
    let moment = told.0.build();
    for (gone, left) in [(1, 2), (2, 1)] {
        let impact = fails(&moment, &format!("agent:a|path|hop:192.0.2.{gone}"));
        assert_eq!((impact.broken_paths.total, impact.rerouted_paths.total), (0, 2));
        let to_host = impact
            .rerouted_paths
            .items
            .iter()
            .find(|path| path.to.to_string() == "host:203.0.113.1");
        let path = to_host.expect("rerouted");
        let named = |side: i32| {
            ["agent:a".into(), format!("hop:192.0.2.{side}"), "host:203.0.113.1".into()]
        };
        let shown = |route: &[Option<holm_moment::Named>]| -> Vec<String> {
            route.iter().flatten().map(ToString::to_string).collect()
        };
        assert_eq!(
            (shown(&path.route), shown(&path.alt_route)),
            (named(gone).to_vec(), named(left).to_vec())
        );
    }
    let rows: Vec<String> = moment.spof(9).items.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(rows, ["agent:a", "host:gw", "host:203.0.113.1"]);
}

#[test]
fn a_way_through_a_machine_back_to_itself_is_none() {
    // Two interfaces of one router that a trace saw one behind the other, and one in a circle.
    let mut told = Told::default();
    told.has("host:r", "192.0.2.1");
    told.has("host:r", "192.0.2.2");
    told.link("agent:a", "hop:192.0.2.1");
    told.link("hop:192.0.2.1", "hop:192.0.2.2");
    told.link("hop:192.0.2.2", "hop:198.51.100.1");
    told.link("hop:198.51.100.1", "hop:192.0.2.1");
    told.link("hop:198.51.100.1", "host:203.0.113.1");
    let moment = told.0.build();
    let within = fails(&moment, "hop:192.0.2.1|path|hop:192.0.2.2");
    assert_eq!((within.broken_paths.total, within.rerouted_paths.total), (0, 0));
    let back = fails(&moment, "hop:198.51.100.1|path|hop:192.0.2.1");
    assert_eq!((back.broken_paths.total, back.rerouted_paths.total), (0, 0));
    let broken = |target: &str| fails(&moment, target).broken_paths.total;
    assert_eq!((broken("host:r"), broken("hop:198.51.100.1")), (2, 1));
}
