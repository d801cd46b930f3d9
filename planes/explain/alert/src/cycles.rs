//! Rules that stand on each other: in which order they are judged, and which of them go round.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::rule::{Rule, Subject};

/// Of so many rules that go round together the way back is told for each; of more that of the first.
const MAX_WAYS: usize = 16;

/// What a rule stands on: the parts of a composite, and what makes it quiet.
fn stands_on(rule: &Rule) -> impl Iterator<Item = &str> {
    let parts = match &rule.subject {
        Subject::Composite(composite) => Some(composite.parts()),
        Subject::Rows(_) => None,
    };
    let parts = parts.into_iter().flatten().map(|part| &**part);
    parts.chain(rule.inhibited_by.iter().map(|inhibitor| &*inhibitor.rule))
}

/// The rules, and what each stands on of them.
struct Graph<'a> {
    names: Vec<&'a str>,
    on: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn of(rules: &BTreeMap<&'a str, &'a Rule>) -> Self {
        let names: Vec<&str> = rules.keys().copied().collect();
        let place = |name: &str| names.binary_search(&name).ok();
        let on = rules.values().map(|rule| stands_on(rule).filter_map(place).collect());
        Self { on: on.collect(), names }
    }

    /// The rules in groups of which each member stands on all others, what is stood on first (Tarjan 1972).
    fn groups(&self) -> Vec<Vec<usize>> {
        const NEW: usize = usize::MAX;
        let count = self.on.len();
        let (mut number, mut low) = (vec![NEW; count], vec![0; count]);
        let mut open = vec![false; count];
        let (mut stack, mut groups, mut next) = (Vec::new(), Vec::new(), 0);
        for root in 0..count {
            // Where it is, and how many of what that stands on were looked at: chains may be long.
            let mut way: Vec<(usize, usize)> = Vec::new();
            if number[root] == NEW {
                way.push((root, 0));
            }
            while let Some((at, looked)) = way.last_mut() {
                let at = *at;
                if *looked == 0 && number[at] == NEW {
                    (number[at], low[at]) = (next, next);
                    next += 1;
                    stack.push(at);
                    open[at] = true;
                }
                if let Some(on) = self.on[at].get(*looked).copied() {
                    *looked += 1;
                    if number[on] == NEW {
                        way.push((on, 0));
                    } else if open[on] {
                        low[at] = low[at].min(number[on]);
                    }
                    continue;
                }
                way.pop();
                if let Some((below, _)) = way.last() {
                    low[*below] = low[*below].min(low[at]);
                }
                if low[at] == number[at] {
                    let from = stack.iter().rposition(|other| *other == at).unwrap_or(0);
                    let group = stack.split_off(from);
                    group.iter().for_each(|member| open[*member] = false);
                    groups.push(group);
                }
            }
        }
        groups
    }

    /// The shortest way from a rule to itself.
    fn way_back(&self, of: usize) -> Option<Vec<usize>> {
        let mut before: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next = VecDeque::from([of]);
        while let Some(at) = next.pop_front() {
            for on in self.on[at].iter().copied() {
                if on == of {
                    let mut way = vec![of, at];
                    while let Some(from) = way.last().and_then(|last| before.get(last)) {
                        way.push(*from);
                    }
                    way.reverse();
                    return Some(way);
                }
                if on != at && !before.contains_key(&on) {
                    before.insert(on, at);
                    next.push_back(on);
                }
            }
        }
        None
    }
}

/// A way from a rule to itself: both ends are it.
type Way = Arc<[Box<str>]>;

/// What is known of rules that stand on each other.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Composites in the order in which they can be judged: what they look at comes first. Those that go round
    /// are left out.
    pub(crate) order: Vec<Box<str>>,
    /// The rules that stand on themselves, each with the way, from it to it.
    pub(crate) round: BTreeMap<Box<str>, Way>,
}

/// Looks at all rules, once.
pub(crate) fn standing(rules: &BTreeMap<&str, &Rule>) -> Standing {
    let graph = Graph::of(rules);
    let mut standing = Standing::default();
    for mut group in graph.groups() {
        let first = group[0];
        if group.len() == 1 && !graph.on[first].contains(&first) {
            let name = graph.names[first];
            if rules.get(name).is_some_and(|rule| matches!(rule.subject, Subject::Composite(_))) {
                standing.order.push(name.into());
            }
            continue;
        }
        group.sort_unstable();
        let mut way: Way = Arc::default();
        for (place, member) in group.into_iter().enumerate() {
            if place < MAX_WAYS {
                let back = graph.way_back(member).unwrap_or_default();
                way = back.into_iter().map(|at| graph.names[at].into()).collect();
            }
            standing.round.insert(graph.names[member].into(), Arc::clone(&way));
        }
    }
    standing
}

/// Most rules of a way that are named.
const MAX_NAMED: usize = 20;

/// A way for people.
pub(crate) fn told(way: &[Box<str>]) -> String {
    if way.len() > MAX_NAMED {
        let (first, more) = (way[..MAX_NAMED].join(" → "), way.len() - 1 - MAX_NAMED);
        return format!("it stands on itself: {first} → … ({more} more)");
    }
    format!("it stands on itself: {}", way.join(" → "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<Rule> {
        crate::parse(text).expect("good")
    }

    fn look(rules: &[Rule]) -> Standing {
        standing(&rules.iter().map(|rule| (&*rule.name, rule)).collect())
    }

    #[test]
    fn what_is_stood_on_comes_first_and_what_goes_round_is_told() {
        let found = look(&rules(
            "[{ kind: AlertRule, name: a, composite: { all: [b, c] } },\
              { kind: AlertRule, name: b, composite: { any: [d], none: [nobody] } },\
              { kind: AlertRule, name: c, composite: { any: [b] } },\
              { kind: AlertRule, name: d, composite: { any: [e] } },\
              { kind: AlertRule, name: e, table: t, value: count, condition: { above: 0 } },\
              { kind: AlertRule, name: x, composite: { any: [y, a] } },\
              { kind: AlertRule, name: y, composite: { any: [x] } },\
              { kind: AlertRule, name: z, composite: { any: [x, z] } }]",
        ));
        assert_eq!(
            found.order.iter().map(|name| &**name).collect::<Vec<_>>(),
            ["d", "b", "c", "a"]
        );
        let told: Vec<String> = found.round.values().map(|way| told(way)).collect();
        let ways = ["x → y → x", "y → x → y", "z → z"];
        assert_eq!(told, ways.map(|way| format!("it stands on itself: {way}")));
    }

    #[test]
    fn long_chains_and_rounds_are_looked_at_once() {
        let one = rules("kind: AlertRule\nname: r\ncomposite: { any: [r] }\n").remove(0);
        let long = 30_000;
        let chain = |last_on: usize| -> Vec<Rule> {
            let name = |n: usize| -> Box<str> { format!("r{n:06}").into() };
            let all = (0..long).map(|n| {
                let on = if n + 1 == long { last_on } else { n + 1 };
                let any = vec![name(on)];
                let subject =
                    Subject::Composite(crate::rule::Composite { any, ..Default::default() });
                Rule { name: name(n), subject, ..one.clone() }
            });
            all.collect()
        };
        // The last stands on what is not there; then on the first.
        let found = look(&chain(long));
        assert_eq!((found.order.len(), found.round.len()), (long, 0));
        assert_eq!(&*found.order[0], "r029999");
        let found = look(&chain(0));
        assert_eq!((found.order.len(), found.round.len()), (0, long));
        assert_eq!(found.round["r000003"].len(), long + 1);
    }
}
