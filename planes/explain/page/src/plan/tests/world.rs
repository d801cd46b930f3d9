//! Several nodes that page together, in virtual time: views of who is there differ and come late, records
//! come late, nodes die and come back, the mesh falls apart and heals.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRng;

use super::*;

const NODES: usize = 3;
/// How late views and records may be, in ticks of a second.
const LATE: u64 = 3;

struct Node {
    members: Members,
    book: Book,
    outbox: Outbox,
    up: bool,
    /// When it learnt each entry of the log.
    knows: BTreeMap<usize, u64>,
    /// What it believes of the others, and when it will notice that this changed.
    sees: [bool; NODES],
    notices: [Option<u64>; NODES],
    /// It dies when it is about to send.
    doomed: bool,
    last_sent: u64,
}

struct World {
    nodes: Vec<Node>,
    groups: [usize; NODES],
    /// What was written: by whom.
    log: Vec<(usize, Delivery)>,
    /// What the provider got: in which group, what.
    sent: Vec<(u64, usize, Event)>,
    connectors: BTreeMap<Box<str>, Connector>,
    routes: Vec<Route>,
    /// How the incident stands from when on.
    stands: Vec<(u64, Stand)>,
    tick: u64,
    rng: TestRng,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes);
        let ops = connector(|_| {});
        let node = |n: usize| Node {
            members: Members::new(pager(n), at(0)),
            book: Book::new(),
            outbox: Outbox::new(),
            up: true,
            knows: BTreeMap::new(),
            sees: [false; NODES],
            notices: [None; NODES],
            doomed: false,
            last_sent: 0,
        };
        Self {
            nodes: (0..NODES).map(node).collect(),
            groups: [0; NODES],
            log: Vec::new(),
            sent: Vec::new(),
            connectors: [(ops.name.clone(), ops)].into(),
            routes: vec![route(|_| {})],
            stands: Vec::new(),
            tick: 0,
            rng,
        }
    }

    fn late(&mut self) -> u64 {
        u64::from(self.rng.next_u32()) % (LATE + 1)
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        self.nodes[a].up && self.nodes[b].up && self.groups[a] == self.groups[b]
    }

    fn look(&mut self, n: usize) {
        for other in (0..NODES).filter(|other| *other != n) {
            let there = self.linked(n, other);
            if self.nodes[n].sees[other] == there {
                self.nodes[n].notices[other] = None;
                continue;
            }
            let due = match self.nodes[n].notices[other] {
                Some(due) => due,
                None => self.tick + self.late(),
            };
            let node = &mut self.nodes[n];
            node.notices[other] = Some(due);
            if due <= self.tick {
                (node.sees[other], node.notices[other]) = (there, None);
            }
        }
        let now = at(self.tick);
        let live: Vec<Pager> = (0..NODES).filter(|o| self.nodes[n].sees[*o]).map(pager).collect();
        self.nodes[n].members.update(live, true, now);
    }

    fn hear(&mut self, n: usize) {
        let late = self.late();
        let mut news: BTreeSet<usize> = BTreeSet::new();
        for other in (0..NODES).filter(|other| *other != n && self.linked(n, *other)) {
            let told = self.nodes[other].knows.iter().filter(|(_, at)| **at + late <= self.tick);
            news.extend(told.map(|(entry, _)| *entry));
        }
        for entry in news {
            self.learn(n, entry);
        }
    }

    fn learn(&mut self, n: usize, entry: usize) {
        let node = &mut self.nodes[n];
        if node.knows.contains_key(&entry) {
            return;
        }
        node.knows.insert(entry, self.tick);
        let (writer, delivery) = &self.log[entry];
        // A later word of the same record takes the place of an earlier one.
        let later = node.knows.keys().any(|other| {
            *other > entry && {
                let (by, of) = &self.log[*other];
                by == writer && of.key() == delivery.key()
            }
        });
        if !later {
            let id = RecordId { pager: pager(*writer), key: delivery.key().into() };
            node.book.take(id, [&*delivery.encode()]);
        }
    }

    fn write(&mut self, n: usize, delivery: Delivery) {
        self.log.push((n, delivery));
        self.learn(n, self.log.len() - 1);
    }

    /// The incident as a node sees it: what is new comes late.
    fn subjects(&mut self) -> Vec<Arc<Subject>> {
        let seen = self.tick.saturating_sub(self.late());
        let Some((since, stand)) = self.stands.iter().rev().find(|(from, _)| *from <= seen) else {
            return Vec::new();
        };
        let mut subject = subject("i-1", Severity::Critical);
        (subject.stand, subject.turned_at) = (*stand, at(*since));
        vec![Arc::new(subject)]
    }

    fn act(&mut self, n: usize) {
        let subjects = self.subjects();
        for _ in 0..4 {
            let now = at(self.tick);
            let node = &self.nodes[n];
            let standing = Standing {
                connectors: &self.connectors,
                routes: &self.routes,
                subjects: &subjects,
                members: &node.members,
                book: &node.book,
                outbox: &node.outbox,
            };
            let plan = plan(&standing, now);
            if !plan.writes.is_empty() {
                plan.writes.into_iter().for_each(|delivery| self.write(n, delivery));
                continue;
            }
            for due in plan.sends {
                if self.nodes[n].doomed {
                    self.nodes[n].up = false;
                    self.nodes[n].doomed = false;
                    return;
                }
                self.nodes[n].outbox.begin(&due.delivery, now);
                self.sent.push((self.tick, self.groups[n], due.delivery.event));
                self.nodes[n].outbox.answered(&due.delivery);
                self.nodes[n].last_sent = self.tick;
                self.write(n, due.delivery.turned(Phase::Delivered, now));
            }
            return;
        }
    }

    fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick += 1;
            for n in 0..NODES {
                if !self.nodes[n].up {
                    continue;
                }
                self.look(n);
                self.hear(n);
                self.act(n);
            }
        }
    }

    /// Ends a node, not before others may know what it sent.
    fn kill(&mut self, n: usize) {
        while self.nodes[n].up && self.tick < self.nodes[n].last_sent + 3 * LATE {
            self.run(1);
        }
        self.nodes[n].up = false;
    }

    /// Starts it with what is on its disk.
    fn start(&mut self, n: usize) {
        if self.nodes[n].up {
            return;
        }
        let now = at(self.tick);
        let known: Vec<usize> = std::mem::take(&mut self.nodes[n].knows).into_keys().collect();
        let node = &mut self.nodes[n];
        node.members = Members::new(pager(n), now);
        node.book = Book::new();
        node.outbox = Outbox::new();
        (node.up, node.sees, node.notices) = (true, [false; NODES], [None; NODES]);
        node.members.update([], true, now);
        known.into_iter().for_each(|entry| self.learn(n, entry));
    }

    fn count(&self, event: Event) -> usize {
        self.sent.iter().filter(|(.., of)| *of == event).count()
    }
}

fn at(tick: u64) -> Millis {
    T0 + tick * 1_000
}

#[derive(Debug, Clone)]
enum Step {
    /// A node loses the others for so many seconds.
    Flap(usize, u64),
    /// A node is ended, and started so many seconds later.
    Restart(usize, u64),
    /// A node dies as it is about to deliver, and comes back so many seconds later.
    Doom(usize, u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..NODES, 1..20_u64).prop_map(|(n, s)| Step::Flap(n, s)),
        (0..NODES, 1..120_u64).prop_map(|(n, s)| Step::Restart(n, s)),
        (0..NODES, 1..120_u64).prop_map(|(n, s)| Step::Doom(n, s)),
        (1..60_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..8)
}

fn follow(world: &mut World, steps: &[Step]) {
    for step in steps {
        match *step {
            Step::Flap(n, seconds) => {
                world.groups[n] = n + 1;
                world.run(seconds);
                world.groups[n] = 0;
                // Who is lost for longer than the hold, by one node after the other, is apart.
                world.run(3 * LATE);
            }
            Step::Restart(n, seconds) => {
                world.kill(n);
                world.run(seconds);
                world.start(n);
            }
            Step::Doom(n, seconds) => {
                world.nodes[n].doomed = true;
                world.run(seconds);
                world.nodes[n].doomed = false;
                world.start(n);
            }
            Step::Wait(seconds) => world.run(seconds),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn in_one_partition_each_message_is_delivered_once(
        seed: u64,
        before in steps(),
        during in steps(),
        after in steps(),
    ) {
        let mut world = World::new(seed);
        world.run(60);
        follow(&mut world, &before);
        world.stands.push((world.tick + 1, Stand::Open));
        follow(&mut world, &during);
        world.run(150);
        prop_assert_eq!(world.count(Event::Trigger), 1, "{:?}", world.sent);
        world.stands.push((world.tick + 1, Stand::Over));
        follow(&mut world, &after);
        world.run(200);
        prop_assert_eq!(world.count(Event::Trigger), 1, "{:?}", world.sent);
        prop_assert_eq!(world.count(Event::Resolve), 1, "{:?}", world.sent);
        prop_assert_eq!(world.sent.len(), 2);
    }

    #[test]
    fn two_partitions_page_once_each_and_nobody_pages_when_they_heal(
        seed: u64,
        alone in 0..NODES,
        apart in steps(),
        healed in steps(),
    ) {
        let mut world = World::new(seed);
        world.run(60);
        world.groups[alone] = 9;
        world.run(60);
        world.stands.push((world.tick + 1, Stand::Open));
        world.run(150);
        for group in [0, 9] {
            let pages = world.sent.iter().filter(|(_, of, _)| *of == group).count();
            prop_assert_eq!(pages, 1, "group {}: {:?}", group, world.sent);
        }
        // Restarts while they are apart change nothing.
        for step in &apart {
            if let Step::Restart(n, seconds) = *step {
                world.kill(n);
                world.run(seconds);
                world.start(n);
            }
        }
        prop_assert_eq!(world.sent.len(), 2, "{:?}", world.sent);
        world.groups = [0; NODES];
        follow(&mut world, &healed);
        world.run(200);
        prop_assert_eq!(world.sent.len(), 2, "{:?}", world.sent);
        let keys: BTreeSet<&str> = world.log.iter().map(|(_, d)| &*d.incident).collect();
        prop_assert_eq!(keys.len(), 1, "one key for the provider to fold them by");
        world.stands.push((world.tick + 1, Stand::Over));
        world.run(60);
        prop_assert_eq!(world.count(Event::Resolve), 1, "{:?}", world.sent);
    }
}

#[test]
fn a_pager_that_dies_before_it_delivers_is_replaced() {
    for doomed in 0..NODES {
        let mut world = World::new(7);
        world.run(60);
        world.nodes[doomed].doomed = true;
        world.stands.push((world.tick + 1, Stand::Open));
        world.run(20);
        let died = !world.nodes[doomed].up;
        assert_eq!(world.sent.len(), usize::from(!died));
        world.run(60);
        assert_eq!(world.sent.len(), 1, "{doomed}: {:?}", world.sent);
        world.start(doomed);
        world.run(100);
        assert_eq!(world.sent.len(), 1, "{doomed}: {:?}", world.sent);
    }
}

/// What is at least once: a pager that dies between the provider's answer and its record.
#[test]
fn a_page_whose_record_is_lost_is_told_again_under_the_same_key() {
    let mut world = World::new(3);
    world.run(60);
    world.stands.push((world.tick + 1, Stand::Open));
    while world.sent.is_empty() {
        world.run(1);
    }
    let (writer, first) = world.log.last().cloned().expect("written");
    world.log.truncate(world.log.len() - 1);
    for node in &mut world.nodes {
        node.knows.remove(&world.log.len());
    }
    world.nodes[writer].up = false;
    world.run(100);
    assert_eq!(world.sent.len(), 2);
    let (_, second) = world.log.last().expect("written");
    assert_eq!((&first.incident, first.seq), (&second.incident, second.seq));
}
