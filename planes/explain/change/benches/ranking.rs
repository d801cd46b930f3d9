//! How long it takes to rank the changes of a day in a large topology. A report, not a bound.

#[path = "../tests/common/signed.rs"]
mod sender;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use holm_change::{
    Book, ChangeKind, Draft, Known, Proximity, RecordKey, Subject, WINDOW_MS, Weights, rank,
};
use holm_model::{EdgeKind, Millis, NodeId};
use holm_moment::{MomentBuilder, Scratch};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sender::signed;

const BEGAN: Millis = Millis(1_795_000_000_000);
const NODES: usize = 20_000;
const CHANGES: usize = 10_000;

fn main() {
    let mut rng = StdRng::seed_from_u64(6);
    let id = |n: usize| -> NodeId { format!("service:s{n}").parse().expect("valid") };
    let mut builder = MomentBuilder::new();
    let handles: Vec<u32> = (0..NODES).map(|n| builder.node(id(n))).collect();
    for (n, &from) in handles.iter().enumerate().skip(1) {
        for _ in 0..3 {
            builder.edge(from, EdgeKind::Flow, handles[rng.random_range(0..n)], None);
        }
    }
    let moment = builder.build();
    let mut book = Book::new();
    let site: holm_model::SiteId = "a".parse().expect("valid");
    for i in 0..CHANGES {
        let target = id(rng.random_range(0..NODES));
        let mut draft = Draft::new(ChangeKind::Deploy, format!("change {i}"));
        draft.words = vec![target.to_string()];
        draft.at = Some(BEGAN - rng.random_range(0..WINDOW_MS));
        let id = signed(b"bench").id_of("s", None, i);
        let (change, _) = draft.into_change(id, "s", BEGAN, |_| vec![target.clone()]);
        let node = "n1".parse().expect("valid");
        let key = RecordKey { site: site.clone(), node, key: id.record_key().into() };
        book.take(&key, [&*change.encode()]);
    }
    let changes: Vec<Arc<Known>> = book.between(BEGAN - WINDOW_MS, BEGAN).cloned().collect();
    let about: Vec<_> = (0..4).map(|i| (id(NODES - 1 - i), site.clone())).collect();
    let mut scratch = Scratch::default();
    let mut took = Vec::new();
    for _ in 0..20 {
        let begin = Instant::now();
        let proximity = Proximity::of(&moment, &about, &mut scratch);
        let subject = Subject { began: BEGAN, window_ms: WINDOW_MS, proximity: &proximity };
        black_box(rank(&changes, &subject, &Weights::default()));
        took.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    took.sort_by(f64::total_cmp);
    println!(
        "{NODES} nodes, {} changes of a day: median {:.1} ms, most {:.1} ms",
        changes.len(),
        took[10],
        took[19]
    );
}
