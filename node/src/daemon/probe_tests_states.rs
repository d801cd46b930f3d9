//! How tests stand at each node, and what is said of the nodes that run them: small records for all the others,
//! written when something turns.

use std::collections::BTreeMap;

use holm_active::{Standing, State};
use holm_model::{Millis, NodeName, SiteId};
use holm_replica::Record;
use serde::{Deserialize, Serialize};

/// The key of what is said of a node, and what stands before the name of a test.
pub(super) const NODE_KEY: &str = "n";
const TEST_MARK: &str = "t/";
const MAX_ERROR: usize = 300;
const MAX_LABELS: usize = 16;
/// Longest name or value of a label, in bytes.
const MAX_WORD: usize = 800;
/// Most records that are held of all nodes.
const MAX_HELD: usize = 200_000;
/// A record is written again when it is so old, in milliseconds: documents go after days.
const AGAIN_MS: u64 = 6 * 60 * 60 * 1_000;
/// A test that turns all the time is written at most this often, in milliseconds.
const CALM_MS: u64 = 30_000;
/// Records older than this are forgotten, in milliseconds: their documents are gone.
const KEPT_MS: u64 = 3 * 24 * 60 * 60 * 1_000;

/// How a test stands at a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TestRecord {
    pub(crate) at: u64,
    pub(crate) state: Box<str>,
    pub(crate) since: u64,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub(crate) error: Box<str>,
}

/// What is said of a node that may run tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub(crate) at: u64,
    /// Whether it runs tests at all.
    pub(crate) runs: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<Box<str>, Box<str>>,
}

/// A node, by its site and name.
pub(crate) type Node = (SiteId, NodeName);

/// What all nodes said last.
#[derive(Debug, Default)]
pub(crate) struct TestStates {
    tests: BTreeMap<Box<str>, BTreeMap<Node, TestRecord>>,
    nodes: BTreeMap<Node, NodeRecord>,
    /// Records of tests that are held.
    held: usize,
    pub(super) unreadable: u64,
}

impl TestStates {
    /// Takes a record of the shelf of tests; whether it says of a node what was not known.
    pub(super) fn take(&mut self, record: &Record) -> bool {
        let node = (record.site.clone(), record.node.clone());
        let mut news = false;
        for value in &record.values {
            let room = self.held + self.nodes.len() < MAX_HELD;
            let taken = match record.key.strip_prefix(TEST_MARK) {
                Some(test) => self.take_test(test, &node, value, room),
                None if *record.key == *NODE_KEY => self.take_node(&node, value, room, &mut news),
                None => None,
            };
            if taken.is_none() {
                self.unreadable = self.unreadable.saturating_add(1);
            }
        }
        news
    }

    fn take_test(&mut self, test: &str, node: &Node, value: &[u8], room: bool) -> Option<()> {
        let said = serde_json::from_slice::<TestRecord>(value).ok()?;
        let sound = State::parse(&said.state).is_some()
            && said.error.len() <= 2 * MAX_ERROR
            && test.len() <= 63;
        let known = self.tests.get(test).and_then(|nodes| nodes.get(node));
        if !sound || (!room && known.is_none()) {
            return None;
        }
        // Of several the latest: a record may stand in two documents.
        if known.is_none_or(|known| known.at <= said.at) {
            self.held += usize::from(known.is_none());
            self.tests.entry(test.into()).or_default().insert(node.clone(), said);
        }
        Some(())
    }

    fn take_node(&mut self, node: &Node, value: &[u8], room: bool, news: &mut bool) -> Option<()> {
        let said = serde_json::from_slice::<NodeRecord>(value).ok()?;
        let sound = said.labels.len() <= MAX_LABELS
            && said.labels.iter().all(|(key, value)| key.len().max(value.len()) <= MAX_WORD);
        let known = self.nodes.get(node);
        if !sound || (!room && known.is_none()) {
            return None;
        }
        if known.is_none_or(|known| known.at <= said.at) {
            *news |= known.is_none_or(|k| (k.runs, &k.labels) != (said.runs, &said.labels));
            self.nodes.insert(node.clone(), said);
        }
        Some(())
    }

    /// What is said of the nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Node, &NodeRecord)> {
        self.nodes.iter()
    }

    /// How a test stands at each node that said something of it.
    pub(crate) fn of_test(&self, test: &str) -> BTreeMap<Node, TestRecord> {
        self.tests.get(test).cloned().unwrap_or_default()
    }

    /// What this node is to write of a test now, if that is news.
    pub(super) fn due(
        &self,
        node: &Node,
        test: &str,
        standing: Option<&Standing>,
        now: Millis,
    ) -> Option<TestRecord> {
        let state = standing.map_or(State::Unknown, |standing| standing.state_at(now));
        let (since, error) =
            standing.map_or_else(|| (now, Box::default()), |standing| standing.told_at(now));
        let record = TestRecord {
            at: now.0,
            state: state.as_str().into(),
            since: since.0,
            error: cut(&error),
        };
        let before = self.tests.get(test).and_then(|nodes| nodes.get(node));
        record.is_news(before).then_some(record)
    }

    /// The tests of which this node said how they stand.
    pub(super) fn said(&self, node: &Node) -> Vec<Box<str>> {
        let unknown = State::Unknown.as_str();
        let own = self
            .tests
            .iter()
            .filter(|(_, nodes)| nodes.get(node).is_some_and(|said| *said.state != *unknown));
        own.map(|(test, _)| test.clone()).collect()
    }

    /// What is to be said of this node, if that is news.
    pub(super) fn due_of_node(&self, node: &Node, mut record: NodeRecord) -> Option<NodeRecord> {
        let known = self.nodes.get(node);
        let age = known.map_or(u64::MAX, |known| record.at.saturating_sub(known.at));
        let same = known.is_some_and(|k| (k.runs, &k.labels) == (record.runs, &record.labels));
        record.labels.retain(|key, value| key.len().max(value.len()) <= MAX_WORD);
        (!same || age >= AGAIN_MS).then_some(record)
    }

    /// Lets go of what is older than documents are kept.
    pub(super) fn forget(&mut self, now: Millis) {
        let young = |at: u64| at.saturating_add(KEPT_MS) > now.0;
        self.tests.retain(|_, nodes| {
            nodes.retain(|_, record| young(record.at));
            !nodes.is_empty()
        });
        self.held = self.tests.values().map(BTreeMap::len).sum();
        self.nodes.retain(|_, record| young(record.at));
    }
}

impl TestRecord {
    /// Whether others are to be told, after `before`.
    fn is_news(&self, before: Option<&Self>) -> bool {
        let quiet = *self.state == *State::Unknown.as_str();
        let Some(before) = before else { return !quiet };
        let age = self.at.saturating_sub(before.at);
        let turned = self.state != before.state || (!quiet && self.since != before.since);
        let fails = *self.state == *State::Failing.as_str() && turned;
        (turned && (fails || age >= CALM_MS)) || (!quiet && age >= AGAIN_MS)
    }
}

/// The key of how a test stands.
pub(super) fn test_key(test: &str) -> Box<str> {
    format!("{TEST_MARK}{test}").into()
}

fn cut(text: &str) -> Box<str> {
    let mut end = text.len().min(MAX_ERROR);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end < text.len() { format!("{}…", &text[..end]).into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holm_active::{Said, Standings};
    use holm_replica::Shelf;

    fn node(site: &str) -> Node {
        (site.parse().expect("valid"), "n1".parse().expect("valid"))
    }

    fn take(states: &mut TestStates, site: &str, key: &str, value: &str) -> bool {
        let (site, node) = node(site);
        let values = vec![value.as_bytes().to_vec()];
        states.take(&Record { shelf: Shelf::Tests, site, node, key: key.into(), values })
    }

    #[test]
    fn it_is_told_what_turns_and_calmly() {
        let text = "kind: Test\nname: shop\nprobe: icmp\ntarget: x\ninterval: 1s\nfailures: 1\nsuccesses: 1\n";
        let test = holm_active::parse(text).expect("good").remove(0);
        let (mut standings, mut states) = (Standings::default(), TestStates::default());
        let mut due = |said: Option<Said<'_>>, at: u64| {
            if let Some(said) = said {
                standings.take(&test, said, Millis(at));
            }
            let due = states.due(&node("berlin"), "shop", standings.of("shop"), Millis(at))?;
            let text = serde_json::to_string(&due).expect("written");
            take(&mut states, "berlin", "t/shop", &text);
            Some(due.state)
        };
        assert_eq!(due(None, 1), None, "nothing is known");
        assert_eq!(due(Some(Said::Answered), 2).as_deref(), Some("passing"));
        assert_eq!(due(Some(Said::Answered), 3), None);
        assert_eq!(due(Some(Said::Failed("no answer")), 4).as_deref(), Some("failing"), "at once");
        assert_eq!(due(Some(Said::Answered), 5), None, "what is over waits a moment");
        assert_eq!(due(None, 4 + CALM_MS).as_deref(), Some("passing"));
        let later = 5 + CALM_MS + AGAIN_MS;
        assert_eq!(due(Some(Said::Answered), later).as_deref(), Some("passing"), "again");
        assert_eq!(states.said(&node("berlin")), [Box::from("shop")]);
        assert_eq!(states.said(&node("tokyo")), []);
    }

    #[test]
    fn what_is_no_record_is_counted_and_the_latest_holds() {
        let mut states = TestStates::default();
        let at = |at: u64, runs: bool| {
            format!(r#"{{"at":{at},"runs":{runs},"labels":{{"region":"eu"}}}}"#)
        };
        assert!(take(&mut states, "berlin", "n", &at(5, true)));
        assert!(!take(&mut states, "berlin", "n", &at(6, true)), "no news");
        assert!(!take(&mut states, "berlin", "n", &at(4, false)), "an older one");
        assert!(take(&mut states, "berlin", "n", &at(9, false)));
        for (key, value) in [
            ("x", "{}"),
            ("n", "{}"),
            ("t/shop", r#"{"at":1,"state":"odd","since":1}"#),
            ("t/shop", "no JSON"),
        ] {
            take(&mut states, "berlin", key, value);
        }
        assert_eq!(states.unreadable, 4);
        take(&mut states, "berlin", "t/shop", r#"{"at":9,"state":"failing","since":7}"#);
        take(&mut states, "tokyo", "t/shop", r#"{"at":9,"state":"passing","since":7}"#);
        assert_eq!(states.of_test("shop").len(), 2);
        let labels = [("region".into(), "eu".into())].into();
        let own = NodeRecord { at: 10, runs: false, labels };
        assert_eq!(states.due_of_node(&node("berlin"), own.clone()), None);
        assert!(states.due_of_node(&node("tokyo"), own.clone()).is_some());
        let later = NodeRecord { at: 10 + AGAIN_MS, ..own };
        assert!(states.due_of_node(&node("berlin"), later).is_some(), "before documents go");
        states.forget(Millis(10 + KEPT_MS));
        assert!(states.of_test("shop").is_empty() && states.nodes().next().is_none());
    }
}
