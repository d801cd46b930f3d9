//! What ends when a flow is seen on another way, against a model that looks at everything each time.

use std::collections::BTreeMap;

use holm_graph::{
    ElementChange, ElementChangeKind, Fold, FoldLimits, Folded, OpenElement, SiteElement,
    TopologyGraph,
};
use holm_model::{
    Attributes, EdgeKind, EdgeObservation, ElementId, IntervalSet, Millis, NodeKind, NodeRef,
    PastValues, PathObservation, SiteId,
};
use holm_moment::{Limits, Scratch, Selector, WhatIf};
use proptest::prelude::*;

const AGENT: NodeRef<'_> = NodeRef { kind: NodeKind::Agent, name: "berlin" };
const TARGET: NodeRef<'_> = NodeRef { kind: NodeKind::Host, name: "192.0.2.7" };

fn hop(name: &str) -> Option<NodeRef<'_>> {
    (name != "*").then_some(NodeRef { kind: NodeKind::Hop, name })
}

fn see_for(fold: &mut Fold, flow: &str, hops: &[&str], at: u64, hold_ms: u32) -> Folded {
    let hops: Vec<_> = hops.iter().map(|name| hop(name)).collect();
    let (agent, target, at) = (AGENT, TARGET, Millis(at));
    let attributes = &[];
    fold.observe_path(&PathObservation {
        agent,
        target,
        flow,
        hops: &hops,
        attributes,
        at,
        hold_ms,
    })
}

fn see(fold: &mut Fold, flow: &str, hops: &[&str], at: u64) -> Folded {
    see_for(fold, flow, hops, at, 900_000)
}

fn tell(fold: &mut Fold, from: NodeRef<'_>, to: NodeRef<'_>, at: u64, hold_ms: u32) {
    let attributes = &[("holm.probe.icmp.rtt_ms", "3")];
    let (kind, at) = (EdgeKind::Path, Millis(at));
    fold.observe_edge(&EdgeObservation { from, kind, to, attributes, at, hold_ms });
}

/// The intervals of all elements, as a replica keeps them.
#[derive(Default)]
struct Document(BTreeMap<ElementId, IntervalSet>);

impl Document {
    fn write(&mut self, changes: Vec<ElementChange>) {
        for ElementChange { id, change } in changes {
            let intervals = self.0.entry(id).or_default();
            match change {
                ElementChangeKind::Opened { at, .. } => intervals.open(at),
                ElementChangeKind::Closed { at } => intervals.close(at),
                ElementChangeKind::AttributesChanged { .. } => {}
            }
        }
    }

    fn graph(&self) -> TopologyGraph {
        let (mut graph, site) = (TopologyGraph::new(), SiteId::new("berlin").expect("valid"));
        for (id, intervals) in &self.0 {
            let (attributes, past) = (Attributes::new(), PastValues::default());
            let intervals = intervals.clone();
            let at = intervals.as_slice().first().map_or(Millis(0), |first| first.from);
            let element =
                SiteElement { id: id.clone(), intervals, attributes, attributes_at: at, past };
            graph.apply(&site, element);
        }
        graph
    }

    fn of(&self, id: &str) -> Vec<(u64, Option<u64>)> {
        let intervals = self.0.get(&id.parse().expect("valid"));
        let all = intervals.map_or(&[][..], |intervals| intervals.as_slice());
        all.iter().map(|i| (i.from.0, i.to.map(|to| to.0))).collect()
    }
}

fn breaks(graph: &TopologyGraph, node: &str, at: u64) -> (u64, u64) {
    let moment = graph.moment(Millis(at));
    let Ok(failed) = moment.select(&Selector::Element(node.parse().expect("valid"))) else {
        return (0, 0);
    };
    let question = WhatIf { failed, ..WhatIf::default() };
    let impact = moment.what_if(&question, Limits { items: 10 }, None, &mut Scratch::default());
    (impact.broken_paths.total, impact.rerouted_paths.total)
}

/// Two flows over r1 at 0 s and 10 s, over r2 at 34 s, and a probe of the target all the time.
#[test]
fn a_moment_before_a_reroute_is_told_later_as_it_was_told_then() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    let run = |fold: &mut Fold, way: &[&str], at: u64| {
        tell(fold, AGENT, TARGET, at, 60_000);
        ["f", "g"].into_iter().for_each(|flow| {
            see(fold, flow, way, at);
        });
        fold.expire(Millis(at));
    };
    run(&mut fold, &["a", "r1"], 1_000);
    run(&mut fold, &["a", "r1"], 11_000);
    document.write(fold.drain());
    let then = document.graph();
    let routes = |graph: &TopologyGraph, at| {
        let moment = graph.moment(Millis(at));
        let find = |name: &str| moment.find(&name.parse().expect("valid")).expect("there");
        let ends = (find("agent:berlin"), find("host:192.0.2.7"));
        let ways = moment.observed_between(ends.0, ends.1, 10).0;
        (ways, moment.ecmp_width(ends.0, ends.1), moment.spof(10).items)
    };
    assert_eq!(breaks(&then, "hop:r1", 18_000), (1, 0));
    run(&mut fold, &["a", "r2"], 35_000);
    document.write(fold.drain());
    let later = document.graph();
    for at in [1_000, 11_000, 18_000, 34_999] {
        assert_eq!(breaks(&later, "hop:r1", at), (1, 0), "{at}");
        assert_eq!(breaks(&later, "hop:r2", at), (0, 0), "{at}");
        assert_eq!(routes(&later, at), routes(&then, at), "{at}");
    }
    // What only the old way went over is gone with it, so that nothing leads around the new one.
    assert_eq!(breaks(&later, "hop:r2", 35_000), (1, 0));
    assert_eq!(routes(&later, 35_000).1, 1);
    let link = |from: &str, to: &str| document.of(&format!("{from}|path|{to}"));
    assert_eq!(link("hop:a", "hop:r1"), [(1_000, Some(35_000))]);
    assert_eq!(link("hop:r1", "host:192.0.2.7"), [(1_000, Some(35_000))]);
    assert_eq!(link("agent:berlin", "hop:a"), [(1_000, None)], "both ways go over it");
    assert_eq!(link("hop:a", "hop:r2"), [(35_000, None)]);
    let diff = later.diff_of_part(&Default::default(), Millis(18_000), Millis(40_000), 100);
    let names = |ids: &[ElementId]| {
        let paths = ids.iter().filter(|id| !matches!(id, ElementId::Path(_)));
        paths.map(ToString::to_string).collect::<Vec<_>>()
    };
    let only = |r: &str| {
        vec![
            format!("hop:{r}"),
            format!("hop:a|path|hop:{r}"),
            format!("hop:{r}|path|host:192.0.2.7"),
        ]
    };
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names
    };
    assert_eq!(sorted(names(&diff.vanished.items)), sorted(only("r1")));
    assert_eq!(sorted(names(&diff.appeared.items)), sorted(only("r2")));
    assert!(diff.returned.items.is_empty(), "nothing was gone in between: {:?}", diff.returned);
}

#[test]
fn a_way_that_lapsed_before_ended_when_it_was_last_seen() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    see_for(&mut fold, "f", &["1"], 10, 100);
    see_for(&mut fold, "f", &["2"], 110, 100);
    document.write(fold.drain());
    assert_eq!(document.of("agent:berlin|path|host:192.0.2.7|f|hop:1"), [(10, Some(11))]);
    assert_eq!(document.of("agent:berlin|path|hop:1"), [(10, Some(11))]);
}

#[test]
fn a_hop_that_is_silent_once_is_no_reroute_and_one_that_another_took_the_place_of_is() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    see(&mut fold, "f", &["1", "2", "3"], 10);
    see(&mut fold, "f", &["1", "*", "3"], 20);
    see(&mut fold, "f", &["1", "*", "*"], 30);
    document.write(fold.drain());
    assert_eq!(document.of("hop:1|path|hop:2"), [(10, None)]);
    see(&mut fold, "f", &["1", "4", "*"], 40);
    document.write(fold.drain());
    assert_eq!(document.of("hop:1|path|hop:2"), [(10, Some(40))], "known before it was silent");
    assert_eq!(document.of("hop:2|path|hop:3"), [(10, Some(40))]);
    assert_eq!(document.of("hop:3|path|host:192.0.2.7"), [(10, Some(40))]);
    assert_eq!(document.of("hop:1|path|hop:4"), [(40, None)]);
}

#[test]
fn a_link_that_was_told_for_itself_stands_by_that() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    tell(&mut fold, AGENT, TARGET, 5, 50);
    see(&mut fold, "f", &[], 10);
    see(&mut fold, "f", &["1"], 20);
    fold.expire(Millis(54));
    document.write(fold.drain());
    assert_eq!(document.of("agent:berlin|path|host:192.0.2.7"), [(5, None)]);
    fold.expire(Millis(55));
    document.write(fold.drain());
    assert_eq!(document.of("agent:berlin|path|host:192.0.2.7"), [(5, Some(11))]);
    // Its time is over, also before anybody looks.
    tell(&mut fold, AGENT, TARGET, 100, 50);
    see(&mut fold, "f", &[], 110);
    see(&mut fold, "f", &["1"], 200);
    document.write(fold.drain());
    assert_eq!(document.of("agent:berlin|path|host:192.0.2.7"), [(5, Some(11)), (100, Some(200))]);
}

#[test]
fn restored_ways_end_with_their_links_and_probes_stay() {
    let open = |id: &str, attributes: &[(&str, &str)]| OpenElement {
        id: id.parse().expect("valid"),
        since: Millis(10),
        attributes: attributes.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
    };
    let mut fold = Fold::new(FoldLimits::default());
    let way = "agent:berlin|path|host:192.0.2.7|f";
    let all = [
        open("agent:berlin|path|hop:1", &[]),
        open("hop:1|path|host:192.0.2.7", &[]),
        open("agent:berlin|path|host:192.0.2.7", &[("holm.probe.icmp.rtt_ms", "3")]),
        open(&format!("{way}|hop:1"), &[]),
        open(way, &[]),
    ];
    fold.restore(all, Millis(50), Millis(1_000));
    see(&mut fold, "f", &["2"], 100);
    let closed: Vec<(String, u64)> = fold
        .drain()
        .into_iter()
        .filter_map(|c| match c.change {
            ElementChangeKind::Closed { at } => Some((c.id.to_string(), at.0)),
            _ => None,
        })
        .collect();
    let mut ids: Vec<&str> = closed.iter().map(|(id, _)| id.as_str()).collect();
    ids.sort_unstable();
    let expected =
        ["agent:berlin|path|hop:1", way, &format!("{way}|hop:1"), "hop:1|path|host:192.0.2.7"];
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert!(closed.iter().all(|(_, at)| *at == 100));
}

#[test]
fn without_room_for_all_of_it_nothing_of_a_reroute_is_written() {
    let limits = FoldLimits { max_pending: 4, ..FoldLimits::default() };
    let mut fold = Fold::new(limits);
    see(&mut fold, "f", &["1"], 10);
    assert_eq!(see(&mut fold, "f", &["2"], 20), Folded::Refused);
    assert_eq!(fold.drain().len(), 3);
    assert_eq!(see(&mut fold, "f", &["2"], 30), Folded::Opened);
    let closed = |c: &ElementChange| c.change == ElementChangeKind::Closed { at: Millis(30) };
    assert_eq!(fold.drain().iter().filter(|c| closed(c)).count(), 3);
}

#[test]
fn a_reroute_after_the_clock_was_set_back_ends_the_way_before_by_the_new_clock() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    fold.expire(Millis(1_000_000));
    see(&mut fold, "f", &["1"], 1_000_000);
    tell(&mut fold, AGENT, TARGET, 1_000_000, 60_000);
    fold.expire(Millis(500));
    see(&mut fold, "f", &["2"], 600);
    document.write(fold.drain());
    assert_eq!(document.of("agent:berlin|path|hop:1"), [(500, Some(600))]);
    assert_eq!(document.of("agent:berlin|path|hop:2"), [(600, None)]);
}

#[test]
fn what_was_open_before_a_long_absence_ends_and_opens_anew() {
    let (mut fold, mut document) = (Fold::new(FoldLimits::default()), Document::default());
    see(&mut fold, "f", &["1"], 10);
    document.write(fold.drain());
    let held = |document: &Document| {
        let open = document.0.iter().filter(|(_, intervals)| intervals.is_open());
        let open = open.map(|(id, intervals)| OpenElement {
            id: id.clone(),
            since: intervals.as_slice()[0].from,
            attributes: Attributes::new(),
        });
        open.collect::<Vec<_>>()
    };
    // Some were seen again before it was known what was open: a peer returned it.
    let mut fold = Fold::new(FoldLimits::default());
    see(&mut fold, "f", &["1"], 900);
    let (seen, mut returned) = (fold.drain(), document);
    returned.write(seen);
    fold.end(held(&returned), Millis(50));
    returned.write(fold.drain());
    let way = "agent:berlin|path|host:192.0.2.7|f|hop:1";
    assert_eq!(returned.of(way), [(10, Some(51)), (900, None)]);
    fold.end(
        held(&returned).into_iter().map(|o| OpenElement { since: Millis(900), ..o }),
        Millis(950),
    );
    assert!(fold.drain().is_empty(), "what is held stays");
    let mut fold = Fold::new(FoldLimits::default());
    fold.end(held(&returned), Millis(1_000));
    returned.write(fold.drain());
    assert_eq!(returned.of(way), [(10, Some(51)), (900, Some(1_001))]);
}

/// An open element of the model; `hops` and `link` by what it is.
#[derive(Debug, Clone, Default)]
struct Open {
    flow: Option<u8>,
    known: Vec<u8>,
    last: u64,
    due: u64,
    told: Option<u64>,
}

/// Whole changes, by element.
type Log = BTreeMap<String, Vec<(bool, u64)>>;

#[derive(Default)]
struct Model {
    open: BTreeMap<String, Open>,
    log: Log,
}

/// 0 is a hop that did not answer; 100 the agent, 101 the target.
fn links(hops: &[u8]) -> Vec<String> {
    let all: Vec<u8> = [100].into_iter().chain(hops.iter().copied()).chain([101]).collect();
    let told = all.windows(2).filter(|pair| !pair.contains(&0));
    told.map(|pair| format!("{}|path|{}", name(pair[0]), name(pair[1]))).collect()
}

fn name(number: u8) -> String {
    match number {
        0 => "*".into(),
        100 => "agent:berlin".into(),
        101 => "host:192.0.2.7".into(),
        hop => format!("hop:{hop}"),
    }
}

impl Model {
    fn close(&mut self, id: &str, at: Option<u64>) -> u64 {
        let gone = self.open.remove(id).expect("open");
        let end = match at {
            Some(at) if at < gone.due => at.max(gone.last + 1),
            _ => gone.last + 1,
        };
        self.log.entry(id.to_owned()).or_default().push((false, end));
        end
    }

    fn touch(&mut self, id: &str, at: u64, hold: u64) -> &mut Open {
        if !self.open.contains_key(id) {
            self.log.entry(id.to_owned()).or_default().push((true, at));
            let open = Open { last: at, due: at + hold, ..Open::default() };
            self.open.insert(id.to_owned(), open);
        }
        let open = self.open.get_mut(id).expect("open");
        if at >= open.last {
            open.last = at;
            open.due = at + hold;
        }
        open
    }

    fn tell(&mut self, hops: [u8; 2], at: u64, hold: u64) {
        let id = format!("{}|path|{}", name(hops[0]), name(hops[1]));
        let open = self.touch(&id, at, hold);
        // The told that was later counts, and all hold as long.
        open.told = open.told.max(Some(at + hold));
    }

    fn see(&mut self, flow: u8, hops: &[u8], at: u64, hold: u64) {
        let names: Vec<String> = hops.iter().map(|&hop| name(hop)).collect();
        let id = ["agent:berlin|path|host:192.0.2.7".into(), format!("f{flow}")];
        let id = id.into_iter().chain(names).collect::<Vec<_>>().join("|");
        let other = self.open.iter().find(|(other, o)| o.flow == Some(flow) && **other != id);
        let (mut start, mut known, mut left) = (at, hops.to_vec(), None);
        if let Some((other, before)) = other.map(|(other, o)| (other.clone(), o.clone())) {
            if before.last > at {
                return;
            }
            let end = self.close(&other, Some(at));
            start = at.max(end);
            let one = before.known.len() == hops.len()
                && before.known.iter().zip(hops).all(|(a, b)| *a == 0 || *b == 0 || a == b);
            if one {
                known = hops
                    .iter()
                    .zip(&before.known)
                    .map(|(a, b)| if *a == 0 { *b } else { *a })
                    .collect();
            } else {
                left = Some((before.known, end));
            }
        }
        let is_new = !self.open.contains_key(&id);
        let way = self.touch(&id, start, hold);
        way.flow = Some(flow);
        if is_new {
            way.known = known;
        }
        for link in left.iter().flat_map(|(known, _)| links(known)) {
            let end = left.as_ref().expect("left").1;
            let carried =
                self.open.values().any(|o| o.flow.is_some() && links(&o.known).contains(&link));
            let Some(open) = self.open.get_mut(&link).filter(|_| !carried) else { continue };
            match open.told.filter(|until| *until > end) {
                Some(until) => open.due = until,
                None => {
                    self.close(&link, Some(end));
                }
            }
        }
        for link in links(hops) {
            self.touch(&link, at, hold);
        }
    }

    fn expire(&mut self, now: u64) {
        let due: Vec<String> =
            self.open.iter().filter(|(_, o)| o.due <= now).map(|(id, _)| id.clone()).collect();
        due.iter().for_each(|id| {
            self.close(id, None);
        });
    }
}

#[derive(Debug, Clone)]
enum Step {
    See { flow: u8, hops: Vec<u8>, late: u64, hold: u32 },
    Tell { from: u8, to: u8, late: u64 },
    Expire,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let late = prop_oneof![4 => Just(0_u64), 1 => 0..300_u64];
    let hold = prop_oneof![Just(300_u32), Just(1_000)];
    let hops = prop::collection::vec(0..4_u8, 0..4);
    let see = (0..3_u8, hops, late.clone(), hold).prop_map(|(flow, hops, late, hold)| Step::See {
        flow,
        hops,
        late,
        hold,
    });
    let ends = prop_oneof![Just((100, 101)), Just((100, 1)), Just((1, 2)), Just((2, 101))];
    let tell = (ends, late).prop_map(|((from, to), late)| Step::Tell { from, to, late });
    let step = prop_oneof![6 => see, 1 => tell, 2 => Just(Step::Expire)];
    prop::collection::vec((0..200_u64, step), 1..60)
}

proptest! {
    #[test]
    fn ways_and_links_end_as_in_the_model(steps in steps()) {
        let (mut fold, mut model, mut now) = (Fold::new(FoldLimits::default()), Model::default(), 1_000);
        for (pause, step) in steps {
            now += pause;
            match step {
                Step::See { flow, hops, late, hold } => {
                    let names: Vec<String> = hops.iter().map(|hop| if *hop == 0 { "*".into() } else { hop.to_string() }).collect();
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    see_for(&mut fold, &format!("f{flow}"), &names, now - late, hold);
                    model.see(flow, &hops, now - late, hold.into());
                }
                Step::Tell { from, to, late } => {
                    let (one, other) = (name(from), name(to));
                    let node = |name: &'_ str| -> (NodeKind, String) {
                        let (kind, name) = name.split_once(':').expect("a kind");
                        (NodeKind::parse(kind).expect("known"), name.to_owned())
                    };
                    let (a, b) = (node(&one), node(&other));
                    let ends = [&a, &b].map(|(kind, name)| NodeRef { kind: *kind, name });
                    tell(&mut fold, ends[0], ends[1], now - late, 500);
                    model.tell([from, to], now - late, 500);
                }
                Step::Expire => {
                    fold.expire(Millis(now));
                    model.expire(now);
                }
            }
        }
        now += 5_000;
        fold.expire(Millis(now));
        model.expire(now);
        let mut log = Log::new();
        for change in fold.drain() {
            let (opened, at) = match change.change {
                ElementChangeKind::Opened { at, .. } => (true, at.0),
                ElementChangeKind::Closed { at } => (false, at.0),
                ElementChangeKind::AttributesChanged { .. } => continue,
            };
            log.entry(change.id.to_string()).or_default().push((opened, at));
        }
        prop_assert!(fold.is_empty() && model.open.is_empty());
        prop_assert_eq!(log, model.log);
    }
}
