//! What sites hold up: their own addresses are where their agent is, and what some of them run falls with all of these.

use holm_model::{EdgeId, NodeId};
use holm_moment::{
    Impact, Limits, Moment, MomentBuilder, Scratch, Selection, Selector, SloIndex, WhatIf,
};

struct Told(MomentBuilder);

impl Told {
    fn node(&mut self, id: &str) -> u32 {
        self.0.node(id.parse::<NodeId>().expect("valid"))
    }

    fn edges(&mut self, edges: &[&str]) {
        for edge in edges {
            let EdgeId { from, kind, to } = edge.parse().expect("valid");
            let (from, to) = (self.0.node(from), self.0.node(to));
            self.0.edge(from, kind, to, None);
        }
    }

    fn sites(&mut self, sites: &[&str]) {
        for site in sites {
            self.node(&format!("site:{site}"));
            self.node(&format!("agent:{site}"));
        }
    }

    /// A service that these sites recorded.
    fn seen(&mut self, service: &str, sites: &[&str]) {
        let service = self.node(service);
        for site in sites {
            self.0.recorded_by(service, &site.parse().expect("valid"));
            let agent = self.node(&format!("agent:{site}"));
            self.0.seen_from(service, agent);
        }
    }
}

/// Asked for all names.
struct Names;

impl SloIndex for Names {
    fn touched(&self, nodes: &[&NodeId]) -> Vec<String> {
        let mut names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}

fn select(moment: &Moment, targets: &[&str]) -> Selection {
    let mut all = Selection::default();
    for target in targets {
        let id = target.parse().expect("valid");
        let one = moment.select(&Selector::Element(id)).expect("there");
        all.nodes.extend(one.nodes);
        all.edges.extend(one.edges);
    }
    for list in [&mut all.nodes, &mut all.edges] {
        list.sort_unstable();
        list.dedup();
    }
    all
}

fn ask(moment: &Moment, failed: &[&str], drained: &[&str]) -> Impact {
    let question = WhatIf { failed: select(moment, failed), drained: select(moment, drained) };
    moment.what_if(&question, Limits::default(), Some(&Names), &mut Scratch::default())
}

fn named<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn services(impact: &Impact) -> Vec<String> {
    let items = impact.impacted_services.items.iter();
    items.map(|service| format!("{} {}", service.id, service.distance)).collect()
}

/// Two sites that probe each other; web and db run at b only, on its node.
fn probing_each_other(observed: bool) -> Moment {
    let mut told = Told(MomentBuilder::new());
    told.sites(&["a", "b"]);
    told.edges(&[
        "agent:a|path|host:192.0.2.2",
        "agent:b|path|host:192.0.2.1",
        "service:web|flow|service:db",
    ]);
    for (host, site) in [("host:192.0.2.1", "a"), ("host:192.0.2.2", "b")] {
        let host = told.node(host);
        told.0.located_at(host, &site.parse().expect("valid"));
    }
    for service in ["service:web", "service:db"] {
        told.seen(service, &["b"]);
        let (service, host) = (told.node(service), told.node("host:192.0.2.2"));
        told.0.runs_on(service, host);
    }
    if observed {
        // Also its own agent looked at it, over the other site.
        let [own, other, host] = ["agent:b", "agent:a", "host:192.0.2.2"].map(|id| told.node(id));
        told.0.path(other, host, "f", &[]);
        told.0.path(own, host, "f", &[Some(other)]);
    }
    told.0.build()
}

#[test]
fn what_is_where_an_agent_stands_is_not_lost_with_those_that_look_at_it() {
    for observed in [false, true] {
        let moment = probing_each_other(observed);
        for target in ["site:a", "agent:a", "agent:a|path|host:192.0.2.2"] {
            let impact = ask(&moment, &[target], &[]);
            assert_eq!(services(&impact), [""; 0], "{target}");
            let slos = impact.impacted_slos.expect("asked").items;
            assert!(!slos.iter().any(|name| name == "host:192.0.2.2"), "{target}: {slos:?}");
        }
        // With its own agent it is.
        let both = ask(&moment, &["agent:a", "agent:b"], &[]);
        assert_eq!(services(&both), ["service:db 1", "service:web 1"]);
        assert!(both.impacted_slos.expect("asked").items.contains(&"host:192.0.2.2".into()));
        let host = ask(&moment, &["host:192.0.2.2"], &[]);
        assert_eq!(services(&host), ["service:db 1", "service:web 1"]);
        // The ranking says the same.
        let ranking = moment.spof(usize::MAX);
        for id in ["site:a", "site:b", "agent:a", "agent:b", "host:192.0.2.2"] {
            let row = ranking.items.iter().find(|row| row.id.to_string() == id);
            let ranked = row.map_or(0, |row| row.impacted_services);
            assert_eq!(ranked, ask(&moment, &[id], &[]).impacted_services.total, "{id}");
        }
    }
}

#[test]
fn an_agent_whose_own_ways_alone_lead_to_its_addresses_takes_them_along() {
    let mut told = Told(MomentBuilder::new());
    told.sites(&["a", "b"]);
    told.edges(&["agent:a|path|hop:192.0.2.9", "hop:192.0.2.9|path|host:192.0.2.1"]);
    told.edges(&["agent:b|path|host:192.0.2.3", "service:web|flow|host:192.0.2.1"]);
    let host = told.node("host:192.0.2.1");
    told.0.located_at(host, &"a".parse().expect("valid"));
    let moment = told.0.build();
    for (target, impacted) in [("agent:a", 1), ("hop:192.0.2.9", 0), ("agent:b", 0)] {
        assert_eq!(ask(&moment, &[target], &[]).impacted_services.total, impacted, "{target}");
        let ranking = moment.spof(usize::MAX).items;
        let row = ranking.iter().find(|row| row.id.to_string() == target);
        assert_eq!(row.map_or(0, |row| row.impacted_services), impacted, "{target}");
    }
}

fn one_service_at_two_sites() -> Moment {
    let mut told = Told(MomentBuilder::new());
    told.sites(&["c", "s1", "s2"]);
    told.seen("service:db", &["s1", "s2"]);
    told.seen("service:all", &["c", "s1", "s2"]);
    told.seen("service:web", &["s1", "c"]);
    told.seen("service:front", &["c"]);
    told.edges(&["service:web|flow|service:db", "service:front|flow|service:web"]);
    told.0.build()
}

#[test]
fn what_only_some_sites_run_fails_with_all_of_these() {
    let moment = one_service_at_two_sites();
    let both = ["agent:s1", "agent:s2", "service:db", "site:s1", "site:s2"];
    let together = ask(&moment, &["site:s1", "site:s2"], &[]);
    assert_eq!(named(&together.failed), both);
    assert_eq!(services(&together), ["service:web 1", "service:front 2"]);
    let slos = together.impacted_slos.as_ref().expect("asked");
    assert!(slos.items.contains(&"service:db".into()), "{slos:?}");
    // Also where they are found by what they have in common.
    let site = "c".parse::<holm_model::SiteId>().expect("valid");
    let elements = ["site:s1", "site:s2"].map(|id| (id.parse().expect("valid"), site.clone()));
    let listed = Selector::Listed { name: "both".into(), elements: elements.to_vec() };
    assert_eq!(moment.select(&listed), Ok(select(&moment, &both)));
    for alone in ["site:s1", "site:s2"] {
        let impact = ask(&moment, &[alone], &[]);
        assert_eq!((impact.failed.len(), impact.impacted_services.total), (2, 0), "{alone}");
    }
    let all = ask(&moment, &["site:s1", "site:s2", "site:c"], &[]);
    assert_eq!(all.failed.len(), 10, "{:?}", all.failed);
}

#[test]
fn what_goes_with_the_last_of_them_is_told_with_that() {
    let moment = one_service_at_two_sites();
    let impact = ask(&moment, &["site:s1"], &["site:s2"]);
    assert_eq!(named(&impact.failed), ["agent:s1", "site:s1"]);
    assert_eq!(named(&impact.drained), ["agent:s2", "service:db", "site:s2"]);
    assert_eq!(impact.impacted_services.total, 0, "what is drained carries on");
    let stays: Vec<_> = impact.stranded_services.items.iter().map(|s| s.distance).collect();
    assert_eq!(stays, [1, 2], "who calls it goes on doing so: {:?}", impact.stranded_services);
    let drained = ask(&moment, &[], &["site:s1", "site:s2"]);
    assert_eq!(drained.drained.len(), 5);
    assert_eq!(named(&drained.failed), [""; 0]);
}

#[test]
fn what_several_ases_originate_together_is_said_to_fail() {
    let mut told = Told(MomentBuilder::new());
    told.sites(&["a"]);
    told.edges(&[
        "as:64500|routing|prefix:198.51.100.0/24",
        "as:64501|routing|prefix:198.51.100.0/24",
        "agent:a|path|hop:192.0.2.1",
        "hop:192.0.2.1|path|host:198.51.100.7",
        "service:web|flow|host:198.51.100.7",
    ]);
    let machine = told.node("host:198.51.100.7");
    told.0.also_called(machine, &"host:shop.example".parse().expect("valid"));
    let moment = told.0.build();
    let expected = ["as:64500", "as:64501", "host:198.51.100.7"];
    let sorted = |list: Vec<String>| {
        let mut list = list;
        list.sort_unstable();
        list
    };
    let together = ask(&moment, &["as:64500", "as:64501"], &[]);
    assert_eq!(sorted(named(&together.failed)), expected);
    let slos = together.impacted_slos.expect("asked").items;
    assert!(slos.contains(&"host:198.51.100.7".into()), "{slos:?}");
    assert!(slos.contains(&"host:shop.example".into()), "{slos:?}");
    let drained = ask(&moment, &[], &["as:64500", "as:64501"]);
    assert_eq!(sorted(named(&drained.drained)), expected);
    let mixed = ask(&moment, &["as:64500"], &["as:64501"]);
    assert_eq!(named(&mixed.failed), ["as:64500"]);
    assert_eq!(sorted(named(&mixed.drained)), ["as:64501", "host:198.51.100.7"]);
    let one = ask(&moment, &["as:64500"], &[]);
    assert_eq!((one.failed.len(), one.broken_paths.total), (1, 0));
}
