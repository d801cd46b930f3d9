//! Of which sites nothing is recorded for a moment.

use holm_graph::{NotWatching, SiteElement, TopologyGraph};
use holm_model::{Attributes, Interval, IntervalSet, Millis, PastValues, SiteId};

#[test]
fn a_site_that_held_nothing_then_is_told_with_since_when_and_until() {
    let mut graph = TopologyGraph::new();
    let mut say = |site: &str, id: &str, intervals: &[(u64, Option<u64>)]| {
        let intervals =
            intervals.iter().map(|&(from, to)| Interval { from: Millis(from), to: to.map(Millis) });
        let element = SiteElement {
            id: id.parse().expect("valid"),
            intervals: IntervalSet::from_intervals(intervals),
            attributes: Attributes::new(),
            attributes_at: Millis(1),
            past: PastValues::default(),
        };
        graph.apply(&SiteId::new(site).expect("valid"), element);
    };
    say("tokyo", "agent:tokyo", &[(10, Some(50)), (90, Some(95))]);
    say("tokyo", "agent:tokyo|path|host:t", &[(20, Some(60)), (80, None)]);
    say("berlin", "agent:berlin", &[(10, None)]);
    say("oslo", "agent:oslo|path|host:t|f", &[(30, Some(40))]);
    let told = |at| -> Vec<(String, Option<u64>, Option<u64>)> {
        let all = graph.not_watching(Millis(at)).into_iter();
        let of = |NotWatching { site, since, until }| {
            (site.to_string(), since.map(|at| at.0), until.map(|at| at.0))
        };
        all.map(of).collect()
    };
    assert_eq!(told(35), []);
    assert_eq!(told(59), [("oslo".into(), Some(40), None)]);
    assert_eq!(told(60), [("oslo".into(), Some(40), None), ("tokyo".into(), Some(60), Some(80))]);
    assert_eq!(
        told(9),
        [
            ("berlin".into(), None, Some(10)),
            ("oslo".into(), None, Some(30)),
            ("tokyo".into(), None, Some(10))
        ]
    );
    assert_eq!(told(1_000), [("oslo".into(), Some(40), None)]);
}
