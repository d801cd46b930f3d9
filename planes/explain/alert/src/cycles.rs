//! Rules that stand on each other: in which order they are judged, and which of them go round.

use std::collections::BTreeMap;

use crate::rule::{Rule, Subject};

/// What a rule stands on: the parts of a composite, and what makes it quiet.
fn stands_on(rule: &Rule) -> impl Iterator<Item = &str> {
    let parts = match &rule.subject {
        Subject::Composite(composite) => Some(composite.parts()),
        Subject::Rows(_) => None,
    };
    let parts = parts.into_iter().flatten().map(|part| &**part);
    parts.chain(rule.inhibited_by.iter().map(|inhibitor| &*inhibitor.rule))
}

/// The rules that stand on themselves, each with the way.
pub(crate) fn cyclic(rules: &BTreeMap<&str, &Rule>) -> BTreeMap<Box<str>, String> {
    rules.keys().filter_map(|name| Some(((*name).into(), way_back(name, rules)?))).collect()
}

/// The shortest way from a rule to itself.
fn way_back(name: &str, rules: &BTreeMap<&str, &Rule>) -> Option<String> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next: Vec<&str> = vec![name];
    while !next.is_empty() {
        let mut further = Vec::new();
        for at in next {
            let Some(rule) = rules.get(at) else { continue };
            for on in stands_on(rule) {
                if on == name {
                    let mut way = vec![at];
                    while let Some(from) = way.last().and_then(|last| before.get(last)) {
                        way.push(from);
                    }
                    way.reverse();
                    way.push(name);
                    return Some(way.join(" → "));
                }
                if !before.contains_key(on) && on != at {
                    before.insert(on, at);
                    further.push(on);
                }
            }
        }
        next = further;
    }
    None
}

/// Composites in the order in which they can be judged: what they look at comes first. Those that go round are
/// left out.
pub(crate) fn order(composites: &BTreeMap<Box<str>, Vec<Box<str>>>) -> Vec<Box<str>> {
    let mut done: Vec<Box<str>> = Vec::new();
    let mut left: Vec<&Box<str>> = composites.keys().collect();
    loop {
        let (ready, wait): (Vec<_>, Vec<_>) = left.into_iter().partition(|name| {
            let parts = composites.get(*name).into_iter().flatten();
            parts.into_iter().all(|part| !composites.contains_key(part) || done.contains(part))
        });
        if ready.is_empty() {
            return done;
        }
        done.extend(ready.into_iter().cloned());
        left = wait;
    }
}
