//! Documents that came to their budget are carried over into new epochs. In whatever order, how often
//! and over whom the documents of all epochs travel: all end with what was said, and nothing that was
//! closed opens again.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use holm_graph::{ElementChange, TopologyGraph};
use holm_model::{DocId, Interval, IntervalSet, Millis, SiteId};
use holm_replica::{Applied, HistoryLimits, MemoryDisk, Replica};
use proptest::prelude::*;

/// So small that a few changes fill a document.
const SMALL: HistoryLimits = HistoryLimits {
    doc_bytes: 3_000,
    doc_ops: 60,
    doc_heads: 8,
    retention_ms: 1 << 40,
    ..HistoryLimits::DEFAULT
};
const EDGES: usize = 40;
/// Two sites, the second with two nodes, and one that mostly reads.
const WHO: [(&str, &str); 4] = [("berlin", "n1"), ("tokyo", "n1"), ("tokyo", "n2"), ("lima", "n1")];
/// The fourth is the first one's clone.
const CLONED: [(&str, &str); 4] =
    [("berlin", "n1"), ("tokyo", "n1"), ("tokyo", "n2"), ("berlin", "n1")];

#[derive(Debug, Clone)]
enum Step {
    /// Each of some edges in a row is opened or closed.
    Commit {
        replica: usize,
        first: usize,
        count: usize,
        open: bool,
    },
    /// All documents, or some of them by their bits, one of them a second time.
    Send {
        from: usize,
        to: usize,
        which: u8,
    },
    /// A blob that was sent before comes again.
    Replay {
        to: usize,
        which: usize,
    },
    Maintain {
        replica: usize,
    },
    Restart {
        replica: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_usize, 0..EDGES, 1..12_usize, any::<bool>()).prop_map(
            |(replica, first, count, open)| Step::Commit { replica, first, count, open }
        ),
        3 => (0..4_usize, 0..4_usize, any::<u8>())
            .prop_map(|(from, to, which)| Step::Send { from, to, which }),
        2 => (0..4_usize, any::<prop::sample::Index>())
            .prop_map(|(to, which)| Step::Replay { to, which: which.index(1 << 16) }),
        1 => (0..4_usize).prop_map(|replica| Step::Maintain { replica }),
        1 => (0..4_usize).prop_map(|replica| Step::Restart { replica }),
    ]
}

/// What every node ever said of every edge.
type Model = BTreeMap<(usize, usize), IntervalSet>;

fn open_as((site, node): (&str, &str), disk: &MemoryDisk, limits: HistoryLimits) -> Replica {
    let (replica, report) = open(disk.clone(), site, node);
    assert!(report.messages.is_empty(), "{:?}", report.messages);
    replica.with_limits(limits)
}

fn graph(replica: &Replica) -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    for (site, element) in replica.elements() {
        graph.apply(&site, element);
    }
    graph
}

/// The moments of `set` from `horizon` on.
fn since(set: &IntervalSet, horizon: u64) -> IntervalSet {
    let cut = set.as_slice().iter().map(|i| Interval { from: i.from.max(Millis(horizon)), ..*i });
    IntervalSet::from_intervals(cut)
}

/// What is shown of every element: its moments within what is remembered.
fn shown(replica: &Replica, horizon: u64) -> BTreeMap<(SiteId, String), IntervalSet> {
    let remembered = replica.elements().map(|(site, element)| {
        ((site, element.id.to_string()), since(&element.intervals, horizon))
    });
    remembered.filter(|(_, intervals)| !intervals.is_empty()).collect()
}

fn expected(model: &Model, horizon: u64) -> BTreeMap<(SiteId, String), IntervalSet> {
    let mut all: BTreeMap<(SiteId, String), IntervalSet> = BTreeMap::new();
    for ((who, e), intervals) in model {
        let of = all.entry((site(WHO[*who].0), edge(*e))).or_default();
        *of = of.union(&since(intervals, horizon));
    }
    all.retain(|_, intervals| !intervals.is_empty());
    all
}

/// Brings `to` what `from` has of the documents that `which` picks by its bits.
fn send_some(
    from: &Replica,
    to: &Replica,
    which: u8,
    now: u64,
    sent: &mut Vec<(DocId, Vec<u8>)>,
    told: &mut TopologyGraph,
) {
    for (i, version) in from.documents().into_iter().enumerate() {
        if which & (1 << (i % 8)) == 0 || to.version(version.doc).as_ref() == Some(&version) {
            continue;
        }
        let have = to.heads(version.doc);
        let Ok(blob) = from.export(version.doc, &have) else { continue };
        sent.push((version.doc, blob.bytes.clone()));
        bring(to, version.doc, &blob.bytes, now, told);
    }
}

fn bring(to: &Replica, doc: DocId, bytes: &[u8], now: u64, told: &mut TopologyGraph) {
    if let Applied::Merged(merged) = to.apply(doc, bytes, "peer", Millis(now)).expect("it applies")
    {
        for (site, element) in merged.changed {
            told.apply(&site, element);
        }
    }
}

struct World {
    who: [(&'static str, &'static str); 4],
    limits: HistoryLimits,
    disks: Vec<MemoryDisk>,
    replicas: Vec<Option<Replica>>,
    /// Graphs that are only ever told what commits, merges and maintenance say changed.
    told: Vec<TopologyGraph>,
    model: Model,
    sent: Vec<(DocId, Vec<u8>)>,
}

impl World {
    fn new(who: [(&'static str, &'static str); 4], limits: HistoryLimits) -> Self {
        let disks: Vec<MemoryDisk> = (0..4).map(|_| MemoryDisk::new()).collect();
        let replicas =
            who.iter().zip(&disks).map(|(who, d)| Some(open_as(*who, d, limits))).collect();
        let told = (0..4).map(|_| TopologyGraph::new()).collect();
        Self { who, limits, disks, replicas, told, model: Model::new(), sent: Vec::new() }
    }

    fn at(&self, i: usize) -> &Replica {
        self.replicas[i].as_ref().expect("open")
    }

    fn step(&mut self, step: &Step, now: u64) {
        match *step {
            Step::Commit { replica, first, count, open } => {
                let edges = (first..first + count).map(|e| e % EDGES);
                let changes: Vec<ElementChange> = edges
                    .map(|e| {
                        let of = self.model.entry((replica, e)).or_default();
                        if open {
                            of.open(Millis(now));
                            opened(&edge(e), now)
                        } else {
                            of.close(Millis(now));
                            closed(&edge(e), now)
                        }
                    })
                    .collect();
                let done = self.at(replica).commit(&changes, Millis(now)).expect("it commits");
                for element in done.changed {
                    self.told[replica].apply(&site(self.who[replica].0), element);
                }
            }
            Step::Send { from, to, which } if from != to => {
                let mut told = std::mem::take(&mut self.told[to]);
                let mut sent = std::mem::take(&mut self.sent);
                send_some(self.at(from), self.at(to), which, now, &mut sent, &mut told);
                (self.told[to], self.sent) = (told, sent);
            }
            Step::Send { .. } => {}
            Step::Replay { to, which } => {
                if self.sent.is_empty() {
                    return;
                }
                let (doc, bytes) = self.sent[which % self.sent.len()].clone();
                let mut told = std::mem::take(&mut self.told[to]);
                bring(self.at(to), doc, &bytes, now, &mut told);
                self.told[to] = told;
            }
            Step::Maintain { replica } => self.maintain(replica, now),
            Step::Restart { replica } => {
                let before = self.at(replica).digest();
                self.replicas[replica] = None;
                let again = open_as(self.who[replica], &self.disks[replica], self.limits);
                assert_eq!(again.digest(), before);
                self.replicas[replica] = Some(again);
            }
        }
    }

    fn maintain(&mut self, replica: usize, now: u64) {
        let done = self.at(replica).maintain(Millis(now)).expect("it is maintained");
        for (site, element) in done.changed {
            self.told[replica].apply(&site, element);
        }
    }

    /// Everyone hears everything, and the nodes of one site follow each other.
    fn settle(&mut self, now: u64) {
        for _ in 0..6 {
            for i in 0..4 {
                for j in 0..4 {
                    self.step(&Step::Send { from: i, to: j, which: 255 }, now);
                }
            }
            for i in 0..4 {
                self.maintain(i, now);
            }
        }
    }

    fn check_equal(&self) {
        let all: Vec<&Replica> = self.replicas.iter().flatten().collect();
        for (i, other) in all.iter().enumerate() {
            assert_eq!(all[0].documents(), other.documents(), "replica {i}");
            assert_eq!(all[0].digest(), other.digest(), "replica {i}");
            assert_eq!(elements(all[0]), elements(other), "replica {i}");
        }
    }

    fn check(&self, horizon: u64) {
        self.check_equal();
        let all: Vec<&Replica> = self.replicas.iter().flatten().collect();
        for (i, other) in all.iter().enumerate() {
            let (shown, expected) = (shown(other, horizon), expected(&self.model, horizon));
            for id in shown.keys().chain(expected.keys()) {
                assert_eq!(shown.get(id), expected.get(id), "replica {i}: {id:?}");
            }
        }
    }

    fn check_told(&self) {
        for (i, (told, replica)) in self.told.iter().zip(&self.replicas).enumerate() {
            let whole = graph(replica.as_ref().expect("open"));
            assert_eq!(told.digest(), whole.digest(), "what replica {i} was told");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_order_and_any_part_ends_with_what_was_said(
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let mut world = World::new(WHO, SMALL);
        for (now, step) in (10..).step_by(10).zip(&steps) {
            world.step(step, now);
            world.check_told();
        }
        let now = 10 + 10 * steps.len() as u64;
        world.settle(now);
        world.check(0);
        world.check_told();
        // What was sent at any time before changes nothing any more.
        for which in 0..world.sent.len() {
            world.step(&Step::Replay { to: which % 4, which }, now);
        }
        world.check(0);
        world.check_told();
    }

    /// What one of two clones says of an element may stand against what the other says; but all
    /// see the same, and what only one of them saw is not lost.
    #[test]
    fn clones_that_rotate_apart_end_in_one_state(
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let mut world = World::new(CLONED, SMALL);
        for (now, step) in (10..).step_by(10).zip(&steps) {
            world.step(step, now);
            world.check_told();
        }
        let now = 10 + 10 * steps.len() as u64;
        world.settle(now);
        world.check_equal();
        world.check_told();
        let seen: BTreeSet<String> =
            elements(world.at(0)).into_iter().map(|(_, e)| e.id.to_string()).collect();
        for ((_, e), intervals) in &world.model {
            assert!(intervals.is_empty() || seen.contains(&edge(*e)), "{}", edge(*e));
        }
    }

    #[test]
    fn what_is_within_retention_is_never_forgotten(
        steps in proptest::collection::vec(any_step(), 20..80),
    ) {
        let limits = HistoryLimits { retention_ms: 150, ..SMALL };
        let mut world = World::new(WHO, limits);
        for (now, step) in (200..).step_by(10).zip(&steps) {
            world.step(step, now);
            world.check_told();
        }
        let now = 200 + 10 * steps.len() as u64;
        world.settle(now);
        world.check(now - 150);
        world.check_told();
    }
}
