//! A network in virtual time that answers probes, in the manner of Fakeroute (Vermeulen et al. 2018).

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use holm_path::engine::{Multipath, Probe, Reply, ReplyKind, Trace, TraceOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How an interface behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) next: Vec<usize>,
    pub(crate) silent: bool,
    /// Balances packets, not flows.
    pub(crate) per_packet: bool,
    /// Answers that it has at once and how many a second it gets.
    pub(crate) tokens: Option<(f64, f64)>,
    /// Share of the answers that are lost.
    pub(crate) loss: f64,
    /// The counter that its answers are numbered by: interfaces of one router have one.
    pub(crate) counter: Option<usize>,
}

/// Interfaces by hop; the last is the target.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) nodes: Vec<Node>,
    pub(crate) hops: Vec<Vec<usize>>,
    pub(crate) loss: f64,
    pub(crate) reorder: bool,
    pub(crate) quotes_ttl: bool,
    seed: u64,
}

impl Network {
    /// Hops of these widths. Each interface of the wider of two neighbours has one link to the narrower,
    /// spread evenly.
    pub(crate) fn of(widths: &[usize], seed: u64) -> Self {
        let mut hops = Vec::new();
        let mut nodes = Vec::new();
        for width in widths {
            hops.push((nodes.len()..nodes.len() + width).collect::<Vec<_>>());
            nodes.extend((0..*width).map(|_| Node::default()));
        }
        for pair in hops.windows(2) {
            let (here, next) = (&pair[0], &pair[1]);
            for i in 0..here.len().max(next.len()) {
                let (from, to) = (here[i % here.len()], next[i % next.len()]);
                nodes[from].next.push(to);
            }
        }
        Self { nodes, hops, loss: 0.0, reorder: false, quotes_ttl: true, seed }
    }

    /// The same network, where flows take other ways.
    pub(crate) fn reseeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    pub(crate) fn address(node: usize) -> IpAddr {
        IpAddr::from([10, 0, (node >> 8) as u8, node as u8])
    }

    pub(crate) fn target(&self) -> IpAddr {
        Self::address(self.nodes.len() - 1)
    }

    pub(crate) fn links(&self) -> BTreeSet<(IpAddr, IpAddr)> {
        let of = |(from, node): (usize, &Node)| {
            node.next
                .iter()
                .map(move |to| (Self::address(from), Self::address(*to)))
                .collect::<Vec<_>>()
        };
        self.nodes.iter().enumerate().flat_map(of).collect()
    }

    /// The interface where a packet of `flow` is after `ttl` hops, and the TTL that is left.
    fn walk(&self, flow: u16, ttl: u8, rng: &mut StdRng) -> (usize, u8) {
        let mut at = self.hops[0][0];
        let mut left = ttl - 1;
        while left > 0 && !self.nodes[at].next.is_empty() {
            let next = &self.nodes[at].next;
            let choice = if self.nodes[at].per_packet {
                rng.random::<u64>()
            } else {
                mix(self.seed ^ mix(u64::from(flow) << 32 | at as u64))
            };
            at = next[(choice % next.len() as u64) as usize];
            left -= 1;
        }
        (at, left)
    }
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Runs a trace through a network to its end; the result and the virtual time it took.
pub(crate) fn run(network: &Network, options: TraceOptions) -> (Multipath, Duration) {
    let mut rng = StdRng::seed_from_u64(network.seed);
    let mut trace = Trace::new(network.target(), options);
    let mut now = Duration::from_secs(1);
    let mut tokens: Vec<Option<(f64, Duration)>> =
        network.nodes.iter().map(|n| n.tokens.map(|(burst, _)| (burst, now))).collect();
    let mut arrivals: BinaryHeap<Reverse<(Duration, u32, usize, u8)>> = BinaryHeap::new();
    let mut counters: HashMap<usize, u16> = HashMap::new();
    let mut steps = 0;
    while !trace.is_over() {
        steps += 1;
        assert!(steps < 200_000, "the trace ends");
        while let Some(Probe { number, flow, ttl }) = trace.next(now) {
            let (node, left) = network.walk(flow, ttl, &mut rng);
            let lost = network.nodes[node].silent
                || rng.random_bool(network.loss.max(network.nodes[node].loss))
                || !take_token(&mut tokens[node], network.nodes[node].tokens, now);
            if !lost {
                let jitter = if network.reorder { rng.random_range(0..40) } else { 0 };
                let at = now + Duration::from_millis(u64::from(ttl) * 2 + jitter);
                arrivals.push(Reverse((at, number, node, left)));
            }
        }
        if trace.is_over() {
            break;
        }
        let arrival = arrivals.peek().map(|Reverse((at, ..))| *at);
        let Some(next) = [arrival, trace.wake_at()].into_iter().flatten().min() else { break };
        now = now.max(next);
        if arrival.is_some_and(|at| at <= now)
            && let Some(Reverse((_, number, node, left))) = arrivals.pop()
        {
            let ends = network.nodes[node].next.is_empty();
            // Who leads nowhere and is not the target has no route to it.
            let kind = match (ends, node + 1 == network.nodes.len()) {
                (true, true) => ReplyKind::Reached,
                (true, false) => ReplyKind::Unreachable(0),
                (false, _) => ReplyKind::Exceeded,
            };
            let reply = Reply {
                from: Network::address(node),
                kind,
                quoted_ttl: network.quotes_ttl.then_some(if ends { left + 1 } else { 1 }),
                labels: Vec::new(),
                interface: None,
                rewritten: false,
                identification: network.nodes[node].counter.map(|counter| {
                    let begin = mix(network.seed ^ mix(counter as u64)) as u16;
                    let number = counters.entry(counter).or_insert(begin);
                    *number = number.wrapping_add(1);
                    *number
                }),
                ttl: None,
            };
            trace.replied(number, &reply, now);
        }
    }
    (trace.result(), now - Duration::from_secs(1))
}

fn take_token(
    state: &mut Option<(f64, Duration)>,
    limit: Option<(f64, f64)>,
    now: Duration,
) -> bool {
    let (Some((tokens, since)), Some((burst, rate))) = (state, limit) else { return true };
    *tokens = (*tokens + (now - *since).as_secs_f64() * rate).min(burst);
    *since = now;
    let granted = *tokens >= 1.0;
    if granted {
        *tokens -= 1.0;
    }
    granted
}

/// The addresses that answered.
pub(crate) fn found(result: &Multipath) -> BTreeSet<IpAddr> {
    result.hops.iter().flat_map(|hop| hop.interfaces.iter().map(|i| i.address)).collect()
}

pub(crate) fn links(result: &Multipath) -> BTreeSet<(IpAddr, IpAddr)> {
    result.links.iter().map(|link| (link.from, link.to)).collect()
}
