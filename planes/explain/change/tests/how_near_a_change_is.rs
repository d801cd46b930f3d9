//! How near something is: by edges, by who needs whom, by address; and never by way of who observes all.

use holm_change::{MAX_HOPS, Near, Proximity};
use holm_model::{EdgeKind, NodeId, SiteId};
use holm_moment::{Moment, MomentBuilder, Scratch};

fn id(text: &str) -> NodeId {
    text.parse().expect("valid")
}

fn site() -> SiteId {
    "berlin".parse().expect("valid")
}

/// `web` calls `api` calls `db`, which runs on a host behind a switch; the agent probes all hosts. A printer
/// hangs on the same switch.
fn network() -> Moment {
    let mut builder = MomentBuilder::new();
    let mut node = |text: &str| builder.node(id(text));
    let (web, api, db) = (node("service:web"), node("service:api"), node("service:db"));
    let (host, printer) = (node("host:192.0.2.7"), node("host:192.0.2.9"));
    let (switch, agent, far) = (node("device:sw1"), node("agent:berlin"), node("host:203.0.113.1"));
    builder.edge(web, EdgeKind::Flow, api, None);
    builder.edge(api, EdgeKind::Flow, db, None);
    builder.runs_on(db, host);
    builder.edge(switch, EdgeKind::Device, host, None);
    builder.edge(switch, EdgeKind::Device, printer, None);
    for probed in [host, printer, far] {
        builder.edge(agent, EdgeKind::Path, probed, None);
    }
    builder.also_called(host, &id("host:db.example.org"));
    builder.build()
}

fn near(about: &[&str], of: &str) -> Option<Near> {
    let about: Vec<_> = about.iter().map(|text| (id(text), site())).collect();
    let moment = network();
    let mut scratch = Scratch::default();
    Proximity::of(&moment, &about, &mut scratch).near(&id(of), &site())
}

/// Edges, and steps in which it is needed.
fn steps(about: &[&str], of: &str) -> Option<(u32, Option<u32>)> {
    near(about, of).map(|near| (near.hops, near.needed))
}

#[test]
fn what_is_needed_is_told_from_what_is_only_near() {
    assert_eq!(steps(&["service:web"], "service:web"), Some((0, Some(0))));
    assert_eq!(steps(&["service:web"], "service:db"), Some((2, Some(2))));
    assert_eq!(
        steps(&["service:db"], "service:web"),
        Some((2, None)),
        "it needs nobody who calls it"
    );
    assert_eq!(steps(&["service:web"], "host:192.0.2.7"), Some((3, Some(3))));
    assert_eq!(
        steps(&["service:web"], "host:db.example.org"),
        Some((3, Some(3))),
        "by its other name"
    );
    assert_eq!(steps(&["service:web"], "device:sw1"), Some((4, Some(4))));
    assert_eq!(MAX_HOPS, 4);
    assert_eq!(steps(&["service:web"], "host:192.0.2.9"), None, "five edges");
}

#[test]
fn who_observes_all_brings_nothing_together() {
    assert_eq!(steps(&["host:203.0.113.1"], "host:192.0.2.7"), None);
    assert_eq!(steps(&["host:203.0.113.1"], "agent:berlin"), Some((1, None)));
}

#[test]
fn a_prefix_holds_what_lies_in_it() {
    let held = near(&["service:db", "host:203.0.113.1"], "prefix:192.0.2.0/24").expect("near");
    assert_eq!((held.hops, held.needed, held.reaches), (1, Some(1), 1));
    assert!(held.by_address);
    assert_eq!(steps(&["service:db"], "prefix:198.51.100.0/24"), None);
    assert_eq!(steps(&["service:db"], "prefix:0.0.0.0/0"), None, "all of it says nothing");
}

#[test]
fn what_several_things_need_reaches_them_all() {
    let about = ["service:web", "service:api", "host:203.0.113.1", "service:gone"];
    let db = near(&about, "service:db").expect("near");
    assert_eq!((db.hops, db.needed, db.reaches, db.to), (1, Some(1), 2, 1));
    // What the topology does not have counts as itself.
    let gone = near(&about, "service:gone").expect("near");
    assert_eq!((gone.hops, gone.reaches), (0, 1));
}
