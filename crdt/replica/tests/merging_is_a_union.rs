//! In whatever order, how often and over whom documents travel: all end with the same.

mod common;

use common::*;
use holm_graph::{SnapshotFilter, TopologyGraph};
use holm_model::Millis;
use holm_replica::{MemoryDisk, Replica};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Commit { replica: usize, edge: usize, open: bool },
    Send { from: usize, to: usize },
    Restart { replica: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize, 0..6_usize, any::<bool>())
            .prop_map(|(replica, edge, open)| Step::Commit { replica, edge, open }),
        3 => (0..4_usize, 0..4_usize).prop_map(|(from, to)| Step::Send { from, to }),
        1 => (0..4_usize).prop_map(|replica| Step::Restart { replica }),
    ]
}

/// Two sites, the second with two nodes, and a fourth that comes as the first's clone.
const WHO: [(&str, &str); 4] =
    [("berlin", "n1"), ("tokyo", "n1"), ("tokyo", "n2"), ("berlin", "n1")];

fn open_as(i: usize, disk: &MemoryDisk) -> Replica {
    let (replica, report) = open(disk.clone(), WHO[i].0, WHO[i].1);
    assert!(report.messages.is_empty());
    replica
}

fn graph(replica: &Replica) -> TopologyGraph {
    let mut graph = TopologyGraph::new();
    for (site, element) in replica.elements() {
        graph.apply(&site, element);
    }
    graph
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn all_orders_end_in_one_state(steps in proptest::collection::vec(any_step(), 1..50)) {
        let disks: Vec<MemoryDisk> = (0..4).map(|_| MemoryDisk::new()).collect();
        let mut replicas: Vec<Option<Replica>> =
            disks.iter().enumerate().map(|(i, disk)| Some(open_as(i, disk))).collect();
        // A graph that is only ever told what commits and merges say changed.
        let mut told: Vec<TopologyGraph> = (0..4).map(|_| TopologyGraph::new()).collect();
        for (now, step) in (10..).zip(&steps) {
            match *step {
                Step::Commit { replica, edge: e, open } => {
                    let change = if open { opened(&edge(e), now) } else { closed(&edge(e), now) };
                    let at = replicas[replica].as_ref().expect("open");
                    let done = at.commit(&[change], Millis(now)).expect("it commits");
                    for element in done.changed {
                        told[replica].apply(&site(WHO[replica].0), element);
                    }
                }
                Step::Send { from, to } if from != to => {
                    let (from, at) = (replicas[from].as_ref(), replicas[to].as_ref());
                    let (from, at) = (from.expect("open"), at.expect("open"));
                    for version in from.documents() {
                        let blob = from.export(version.doc, &at.heads(version.doc)).expect("here");
                        let applied = at.apply(version.doc, &blob.bytes, "peer", Millis(now));
                        if let Ok(holm_replica::Applied::Merged(merged)) = applied {
                            for (site, element) in merged.changed {
                                told[to].apply(&site, element);
                            }
                        } else {
                            prop_assert!(false, "{:?}", applied);
                        }
                    }
                }
                Step::Restart { replica } => {
                    let before = replicas[replica].as_ref().map(Replica::digest);
                    replicas[replica] = None;
                    let again = open_as(replica, &disks[replica]);
                    prop_assert_eq!(Some(again.digest()), before);
                    replicas[replica] = Some(again);
                }
                Step::Send { .. } => {}
            }
            for (told, replica) in told.iter().zip(&replicas) {
                let whole = graph(replica.as_ref().expect("open"));
                prop_assert_eq!(told.digest(), whole.digest());
            }
        }
        let all: Vec<Replica> = replicas.into_iter().flatten().collect();
        for a in 0..4 {
            exchange(&all[a], &all[(a + 1) % 4]);
        }
        for a in 0..4 {
            exchange(&all[a], &all[(a + 1) % 4]);
        }
        let everything = SnapshotFilter::default();
        for other in &all[1..] {
            prop_assert_eq!(all[0].digest(), other.digest());
            prop_assert_eq!(all[0].documents(), other.documents());
            prop_assert_eq!(graph(&all[0]).digest(), graph(other).digest());
            let at = Millis(30);
            let pictures = [graph(&all[0]).snapshot(at, &everything), graph(other).snapshot(at, &everything)];
            prop_assert_eq!(&pictures[0], &pictures[1]);
        }
    }
}
