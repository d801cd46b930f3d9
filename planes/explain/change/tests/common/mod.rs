//! Faults that are injected into generated networks: what was changed, what then goes wrong, and what else
//! was changed meanwhile.
//!
//! Everything follows from a seed. A network has sites with services in tiers on hosts behind switches and
//! hops. A fault begins with a change of one thing; what needs that thing goes wrong, not always and not all
//! of it, and the incident is about what was noticed. Other changes are made all day: of other things, of
//! things near by, of the very things that are wrong, shortly before and after.

#[path = "signed.rs"]
mod sender;

use std::sync::Arc;

use holm_change::{Book, Change, ChangeKind, Draft, Known, RecordKey};
use holm_model::{EdgeKind, Millis, NodeId, SiteId};
use holm_moment::{Moment, MomentBuilder};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sender::signed;

pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const DAY: u64 = 24 * 60 * MINUTE;
pub(crate) const BEGAN: Millis = Millis(1_795_000_000_000);

/// One labelled fault.
pub(crate) struct Fault {
    pub(crate) moment: Moment,
    pub(crate) about: Vec<(NodeId, SiteId)>,
    pub(crate) changes: Vec<Arc<Known>>,
    /// The change that it came from.
    pub(crate) cause: holm_change::ChangeId,
}

struct Network {
    services: Vec<NodeId>,
    /// By service: whom it calls, and where it runs.
    calls: Vec<Vec<usize>>,
    runs_on: Vec<Vec<usize>>,
    hosts: Vec<NodeId>,
    /// By host: its switch and the last hop before it.
    behind: Vec<(usize, usize)>,
    switches: Vec<NodeId>,
    hops: Vec<NodeId>,
    /// By site; a host's is that of its switch.
    prefixes: Vec<NodeId>,
    sites: Vec<SiteId>,
}

fn id(text: &str) -> NodeId {
    text.parse().expect("valid")
}

impl Network {
    fn generate(rng: &mut StdRng) -> Self {
        let sites = rng.random_range(2..5_usize);
        let mut net = Self {
            services: Vec::new(),
            calls: Vec::new(),
            runs_on: Vec::new(),
            hosts: Vec::new(),
            behind: Vec::new(),
            switches: Vec::new(),
            hops: Vec::new(),
            prefixes: Vec::new(),
            sites: (0..sites).map(|s| format!("site{s}").parse().expect("valid")).collect(),
        };
        for s in 0..sites {
            net.prefixes.push(id(&format!("prefix:198.51.{s}.0/24")));
            net.switches.push(id(&format!("device:sw{s}")));
            net.hops.push(id(&format!("hop:203.0.{s}.1")));
            for h in 0..rng.random_range(4..10) {
                net.hosts.push(id(&format!("host:198.51.{s}.{}", h + 10)));
                net.behind.push((s, s));
            }
        }
        let tiers = [rng.random_range(4..9), rng.random_range(6..14), rng.random_range(3..7_usize)];
        let ends: Vec<usize> = tiers
            .iter()
            .scan(0, |n, t| {
                *n += t;
                Some(*n)
            })
            .collect();
        for (tier, (from, to)) in
            [(0, ends[0]), (ends[0], ends[1]), (ends[1], ends[2])].into_iter().enumerate()
        {
            for s in from..to {
                net.services.push(id(&format!("service:{}{s}", ["web", "api", "db"][tier])));
                let below = ends.get(tier + 1).map(|end| (to, *end));
                net.calls.push(below.map_or(Vec::new(), |(from, to)| {
                    let many = rng.random_range(1..4);
                    let mut calls: Vec<usize> =
                        (0..many).map(|_| rng.random_range(from..to)).collect();
                    calls.sort_unstable();
                    calls.dedup();
                    calls
                }));
                let many = rng.random_range(1..3);
                net.runs_on.push((0..many).map(|_| rng.random_range(0..net.hosts.len())).collect());
            }
        }
        net
    }

    fn moment(&self) -> Moment {
        let mut builder = MomentBuilder::new();
        let hosts: Vec<u32> = self.hosts.iter().map(|h| builder.node(h.clone())).collect();
        let services: Vec<u32> = self.services.iter().map(|s| builder.node(s.clone())).collect();
        let switches: Vec<u32> = self.switches.iter().map(|s| builder.node(s.clone())).collect();
        let hops: Vec<u32> = self.hops.iter().map(|s| builder.node(s.clone())).collect();
        for (s, &service) in services.iter().enumerate() {
            self.calls[s]
                .iter()
                .for_each(|&to| builder.edge(service, EdgeKind::Flow, services[to], None));
            self.runs_on[s].iter().for_each(|&host| builder.runs_on(service, hosts[host]));
        }
        for (h, &host) in hosts.iter().enumerate() {
            let (switch, hop) = self.behind[h];
            builder.edge(switches[switch], EdgeKind::Device, host, None);
            builder.edge(hops[hop], EdgeKind::Path, host, None);
        }
        for (s, site) in self.sites.iter().enumerate() {
            let agent = builder.node(id(&format!("agent:{site}")));
            hops.iter().for_each(|&hop| builder.edge(agent, EdgeKind::Path, hop, None));
            // Site by site the first hop leads to the others.
            if s > 0 {
                builder.edge(hops[0], EdgeKind::Path, hops[s], None);
            }
            let prefix = builder.node(self.prefixes[s].clone());
            let origin = builder.node(id(&format!("as:6449{s}")));
            builder.edge(origin, EdgeKind::Routing, prefix, None);
        }
        builder.build()
    }

    /// Those that call one of these, at any number of steps, each with a chance.
    fn callers(&self, of: &[usize], chance: f64, rng: &mut StdRng) -> Vec<usize> {
        let mut wrong = of.to_vec();
        let mut at = 0;
        while at < wrong.len() {
            for caller in 0..self.services.len() {
                if self.calls[caller].contains(&wrong[at])
                    && !wrong.contains(&caller)
                    && rng.random_bool(chance)
                {
                    wrong.push(caller);
                }
            }
            at += 1;
        }
        wrong
    }

    fn anything(&self, rng: &mut StdRng) -> NodeId {
        let of = [&self.services, &self.services, &self.hosts, &self.switches, &self.hops];
        let of = of[rng.random_range(0..of.len())];
        of[rng.random_range(0..of.len())].clone()
    }
}

const AUTHORS: [&str; 8] = ["ada", "grace", "linus", "edsger", "barbara", "ken", "alan", "radia"];

/// A change before it is in the book.
struct Made {
    at: u64,
    kind: ChangeKind,
    words: Vec<String>,
    prefix: Option<NodeId>,
    author: &'static str,
}

impl Made {
    fn of(target: &NodeId, at: u64, rng: &mut StdRng) -> Self {
        let kinds = [ChangeKind::Deploy, ChangeKind::Config, ChangeKind::Release, ChangeKind::Iac];
        Self {
            at,
            kind: kinds[rng.random_range(0..kinds.len())],
            words: vec![target.to_string()],
            prefix: None,
            author: AUTHORS[rng.random_range(0..AUTHORS.len())],
        }
    }
}

/// How long it took until the fault was noticed: mostly minutes, sometimes hours.
fn delay(rng: &mut StdRng) -> u64 {
    let spread = |mean: f64, rng: &mut StdRng| -mean * (1.0 - rng.random::<f64>()).ln();
    let minutes = match rng.random_range(0..10) {
        0..6 => spread(4.0, rng),
        6..9 => spread(45.0, rng),
        _ => rng.random_range(0.0..20.0 * 60.0),
    };
    (minutes.min(23.0 * 60.0) * MINUTE as f64) as u64
}

/// The fault of a seed.
pub(crate) fn fault(seed: u64) -> Fault {
    let rng = &mut StdRng::seed_from_u64(seed);
    let net = Network::generate(rng);
    let pick = |of: &[NodeId], rng: &mut StdRng| rng.random_range(0..of.len());
    let mut wrong: Vec<NodeId>;
    let (cause, prefix) = match rng.random_range(0..10) {
        // A bad version of a service.
        0..5 => {
            let service = pick(&net.services, rng);
            let all = net.callers(&[service], 0.6, rng);
            wrong = all.iter().skip(1).map(|&s| net.services[s].clone()).collect();
            // Often only those who call it are noticed.
            if wrong.is_empty() || rng.random_bool(0.5) {
                wrong.push(net.services[service].clone());
            }
            (Some(net.services[service].clone()), None)
        }
        // A host.
        5..7 => {
            let host = pick(&net.hosts, rng);
            let on: Vec<usize> =
                (0..net.services.len()).filter(|&s| net.runs_on[s].contains(&host)).collect();
            let all = net.callers(&on, 0.4, rng);
            wrong = all.iter().map(|&s| net.services[s].clone()).collect();
            if wrong.is_empty() || rng.random_bool(0.5) {
                wrong.push(net.hosts[host].clone());
            }
            (Some(net.hosts[host].clone()), None)
        }
        // A switch or hop; then a prefix.
        which => {
            let place = rng.random_range(0..net.switches.len());
            let behind = (0..net.hosts.len()).filter(|&h| net.behind[h].0 == place);
            let behind: Vec<usize> = behind.filter(|_| rng.random_bool(0.6)).collect();
            let on = (0..net.services.len())
                .filter(|&s| net.runs_on[s].iter().all(|host| behind.contains(host)));
            wrong = on.map(|s| net.services[s].clone()).collect();
            wrong.extend(behind.iter().map(|&h| net.hosts[h].clone()));
            if wrong.is_empty() {
                wrong.push(
                    net.hosts
                        .iter()
                        .zip(&net.behind)
                        .find(|(_, b)| b.0 == place)
                        .expect("some")
                        .0
                        .clone(),
                );
            }
            match which {
                7 => (Some(net.switches[place].clone()), None),
                8 => (Some(net.hops[place].clone()), None),
                _ => (None, Some(net.prefixes[place].clone())),
            }
        }
    };
    let noticed = rng.random_range(1..5).min(wrong.len());
    let mut about: Vec<NodeId> = Vec::new();
    while about.len() < noticed {
        let one = wrong.swap_remove(rng.random_range(0..wrong.len()));
        about.push(one);
    }
    // Clocks differ by a minute or two.
    let skew = rng.random_range(0..3 * MINUTE);
    let at = (BEGAN.0 + skew).saturating_sub(delay(rng) + MINUTE);
    let made = cause.clone().unwrap_or_else(|| net.prefixes[0].clone());
    let mut made = vec![Made::of(&made, at, rng)];
    if let Some(prefix) = prefix {
        (made[0].kind, made[0].prefix) = (ChangeKind::Route, Some(prefix));
        made[0].words.clear();
    }
    others(&net, cause.as_ref(), &about, &mut made, rng);
    let changes = known(&net, &made);
    let cause = changes[0].change.id;
    let site = net.sites[0].clone();
    let about = about.into_iter().map(|id| (id, site.clone())).collect();
    Fault { moment: net.moment(), about, changes, cause }
}

/// What else was changed.
fn others(
    net: &Network,
    cause: Option<&NodeId>,
    about: &[NodeId],
    made: &mut Vec<Made>,
    rng: &mut StdRng,
) {
    let (began, cause_at, author) = (BEGAN.0, made[0].at, made[0].author);
    // All day, anywhere.
    for _ in 0..rng.random_range(15..50) {
        let at = began - rng.random_range(0..DAY);
        made.push(Made::of(&net.anything(rng), at, rng));
    }
    // Shortly before, elsewhere.
    for _ in 0..rng.random_range(1..4) {
        let at = began - rng.random_range(0..30 * MINUTE);
        made.push(Made::of(&net.anything(rng), at, rng));
    }
    // Of what is wrong itself, on an ordinary day.
    for target in about {
        for _ in 0..rng.random_range(0..2) {
            let at = began - rng.random_range(30 * MINUTE..DAY);
            made.push(Made::of(target, at, rng));
        }
    }
    // Of the same thing, long before.
    if let Some(cause) = cause
        && rng.random_bool(0.3)
    {
        let at = began - rng.random_range(3 * 60 * MINUTE..DAY);
        made.push(Made::of(cause, at, rng));
    }
    // Somebody who looks into it changes what is wrong.
    if rng.random_bool(0.2) {
        let at = began + rng.random_range(2 * MINUTE..20 * MINUTE);
        made.push(Made::of(&about[0], at, rng));
    }
    // The one that did it made another change on the way.
    if rng.random_bool(0.3) {
        let one = match cause.and_then(|c| net.services.iter().position(|s| s == c)) {
            Some(service) => net.hosts[net.runs_on[service][0]].clone(),
            None => net.anything(rng),
        };
        let at = cause_at.saturating_sub(rng.random_range(0..15 * MINUTE));
        made.push(Made { author, ..Made::of(&one, at, rng) });
    }
}

/// As a node takes them.
fn known(net: &Network, made: &[Made]) -> Vec<Arc<Known>> {
    let moment = net.moment();
    let site = net.sites[0].clone();
    let mut book = Book::new();
    let ids = made.iter().enumerate().map(|(i, made)| {
        let draft = Draft {
            at: Some(Millis(made.at)),
            author: made.author.into(),
            words: made.words.clone(),
            prefix: made.prefix.clone(),
            ..Draft::new(made.kind, format!("change {i}"))
        };
        let id = signed(b"a labelled set").id_of("lab", None, i);
        let resolve = |word: &str| holm_change::resolve(&moment, word, &site).into_iter().collect();
        let (change, _): (Change, bool) = draft.into_change(id, "lab", BEGAN + DAY, resolve);
        let key = RecordKey {
            site: site.clone(),
            node: "n1".parse().expect("valid"),
            key: id.record_key().into(),
        };
        assert!(book.take(&key, [&*change.encode()]));
        id
    });
    let ids: Vec<_> = ids.collect();
    ids.into_iter().map(|id| book.change(id).expect("taken")).collect()
}
