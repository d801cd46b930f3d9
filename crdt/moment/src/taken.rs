//! Ways that packets took before: what is known to lead there, as far as all of its links stand.

use std::cmp::Reverse;

use hashbrown::HashMap;
use holm_model::Millis;

use crate::moment::Moment;
use crate::search::Scratch;

/// A way that packets of a pair took, each of whose hops answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenWay {
    pub(crate) agent: u32,
    pub(crate) target: u32,
    /// Agent, hops, target.
    pub(crate) route: Box<[u32]>,
    /// From this moment on none of them took it.
    pub(crate) until: Millis,
}

/// Those whose links all stand, by agent and target; of each pair the one that was taken last first.
#[derive(Debug, Default)]
pub(crate) struct TakenWays {
    ways: Vec<TakenWay>,
    /// By node: the ways through it.
    through: HashMap<u32, Vec<u32>>,
}

impl TakenWays {
    /// Of ways in any order those of which `is_link` holds at each step; the same twice is one.
    pub(crate) fn of(mut ways: Vec<TakenWay>, is_link: impl Fn(u32, u32) -> bool) -> Self {
        if ways.is_empty() {
            return Self::default();
        }
        ways.retain(|way| way.route.windows(2).all(|step| is_link(step[0], step[1])));
        ways.sort_unstable_by(|a, b| {
            let key = |way: &TakenWay| (way.agent, way.target, Reverse(way.until));
            key(a).cmp(&key(b)).then_with(|| a.route.cmp(&b.route))
        });
        let mut known = hashbrown::HashSet::new();
        ways.retain(|way| known.insert((way.agent, way.target, way.route.clone())));
        let mut through: HashMap<u32, Vec<u32>> = HashMap::new();
        for (number, way) in (0..).zip(&ways) {
            for &node in &way.route {
                through.entry(node).or_default().push(number);
            }
        }
        Self { ways, through }
    }

    /// The ways of a pair, the one that was taken last first.
    pub(crate) fn between(&self, agent: u32, target: u32) -> &[TakenWay] {
        let pair = |way: &TakenWay| (way.agent, way.target);
        let from = self.ways.partition_point(|way| pair(way) < (agent, target));
        let to = self.ways.partition_point(|way| pair(way) <= (agent, target));
        &self.ways[from..to]
    }

    /// The ways over a node.
    pub(crate) fn through(&self, node: u32) -> impl Iterator<Item = &TakenWay> {
        let ways = self.through.get(&node);
        ways.into_iter().flatten().map(|&number| &self.ways[number as usize])
    }
}

impl Moment {
    /// The way that packets of a pair took last and that does not cross what is marked as gone.
    pub(crate) fn taken_around(
        &self,
        (agent, target): (u32, u32),
        scratch: &Scratch,
    ) -> Option<&TakenWay> {
        let stands = |step: &[u32]| {
            let [from, to] = [step[0], step[1]].map(|node| self.first_name(node));
            let mut links = self.path.out.of(from).iter().filter(|hop| hop.node == to);
            from == to || links.any(|hop| !scratch.gone_edges.has(hop.edge))
        };
        self.taken.between(agent, target).iter().find(|way| {
            let gone = |node: &u32| scratch.gone_nodes.has(*node);
            !way.route.iter().any(gone) && way.route.windows(2).all(stands)
        })
    }
}
