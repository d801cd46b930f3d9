//! Tests at this node: policies of all sites in, which of them run here and how they stand out, and what fails as
//! signals.
//!
//! Reading, choosing and judging is `holm-active`'s; here are the clock, the documents and the members.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holm_active::{
    Member, Pair, Pairs, ProbeKind, Said, Standings, State, Test, TestRunner, Turned, range_text,
    runs_at,
};
use holm_mesh_link::MemberState;
use holm_model::{
    DocVersion, Millis, NodeId, NodeKind, Row, SIGNAL_KEY, Signal, SiteId, TenantId, Value,
};
use holm_replica::{CommitError, NewRecord, PolicyBook, PolicyError, Record, Replica, Shelf};
use holm_slo::Writer;
use tokio::sync::Notify;

use super::gitops::HeldByFolder;
use super::incidents::Incidents;
use super::links::Heard;
use super::policy_edit::{PolicyEdit, says_nothing_new, standing};
use super::probe_tests_states::{NODE_KEY, Node, NodeRecord, TestRecord, TestStates, test_key};
use super::rows::RESULTS_TABLE;
use super::slo::{Applied, lock};
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

/// The area of policies that tests are in.
pub(super) const AREA: &str = "test";
/// The plane that signals of tests come from.
const PLANE: &str = "active";
const TICK: Duration = Duration::from_secs(1);
/// After the start who is not heard yet is taken to live for so long: what runs elsewhere is not begun here.
const SETTLING: Duration = Duration::from_secs(20);
/// How often what is old is forgotten, in ticks.
const TEND_TICKS: u64 = 600;

/// What it depends on who runs what.
type Looked = (Arc<Vec<TestPolicy>>, Arc<Vec<Member>>, bool);

/// What a tenant's node knows of tests.
pub(crate) struct ProbeTests {
    pub(crate) writer: Writer,
    policies: Mutex<PolicyBook>,
    defined: Mutex<Arc<Vec<TestPolicy>>>,
    /// Runs those that run here.
    pub(crate) runner: Arc<TestRunner>,
    standings: Mutex<Standings>,
    /// What was raised here and is not over, by test: the kind of the signal and its target.
    raised: Mutex<BTreeMap<Box<str>, (String, NodeId)>>,
    states: Mutex<TestStates>,
    members: Mutex<Arc<Vec<Member>>>,
    pairs: Mutex<Pairs>,
    /// What was assigned last was found from these, and whether the start was over then.
    looked: Mutex<Option<Looked>>,
    begun: Instant,
    pub(super) wake: Notify,
}

/// A test as its policy says.
#[derive(Debug, Clone)]
pub(crate) struct TestPolicy {
    pub(crate) name: Box<str>,
    /// What is probed; `None` if this version does not understand it.
    pub(crate) test: Option<Arc<Test>>,
    /// Why not.
    pub(crate) problem: Option<String>,
    /// The edits that stand, the one that counts first.
    pub(crate) edits: Vec<PolicyEdit>,
}

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TestCounts {
    pub(crate) defined: usize,
    pub(crate) here: usize,
    pub(crate) failing: usize,
    pub(crate) refused: usize,
    pub(crate) unreadable: u64,
    pub(crate) pairs_refused: u64,
}

/// Why a test is not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TestError {
    #[error("the test {0} cannot be kept: {1}")]
    Policy(Box<str>, PolicyError),
    #[error("there is no test of the name {0}; `GET /v1/tests` lists those that there are")]
    Unknown(String),
    #[error(
        "{0}: only an admin of the tenant opens private ranges (allow), and changes a test that has some"
    )]
    Allow(Box<str>),
    #[error(transparent)]
    Held(#[from] HeldByFolder),
    #[error("it could not be written: {0}")]
    Write(#[from] CommitError),
}

impl ProbeTests {
    /// With what the documents hold; what `incidents` say fails here is known to.
    pub(super) fn open(
        writer: Writer,
        replica: &Replica,
        runner: TestRunner,
        incidents: &Incidents,
        now: Millis,
    ) -> Self {
        let tests = Self {
            writer,
            policies: Mutex::default(),
            defined: Mutex::default(),
            runner: Arc::new(runner),
            standings: Mutex::default(),
            raised: Mutex::default(),
            states: Mutex::default(),
            members: Mutex::default(),
            pairs: Mutex::default(),
            looked: Mutex::default(),
            begun: Instant::now(),
            wake: Notify::new(),
        };
        for shelf in [Shelf::Policies, Shelf::Tests] {
            tests.take_records(&replica.records_on(shelf));
        }
        for probe in ProbeKind::ALL {
            let kind = format!("{}_failed", probe.as_str());
            // Only signals of tests have a key.
            for (name, target) in incidents.firing_targets(&kind) {
                lock(&tests.standings).restore(&name, now);
                lock(&tests.raised).insert(name.into(), (kind.clone(), target));
            }
        }
        tests
    }

    /// Takes what documents say.
    pub(super) fn take_records(&self, records: &[Record]) {
        let (mut edited, mut news) = (false, false);
        for record in records {
            match record.shelf {
                Shelf::Policies if is_ours(&record.key) => {
                    edited |= lock(&self.policies).take(record);
                }
                Shelf::Tests => news |= lock(&self.states).take(record),
                _ => {}
            }
        }
        if edited {
            self.define();
        }
        if edited || news {
            self.wake.notify_one();
        }
    }

    /// The tenant was erased.
    pub(super) fn clear(&self) {
        self.runner.assign(Vec::new());
        *lock(&self.policies) = PolicyBook::new();
        *lock(&self.defined) = Arc::default();
        *lock(&self.standings) = Standings::default();
        lock(&self.raised).clear();
        *lock(&self.states) = TestStates::default();
        *lock(&self.pairs) = Pairs::default();
        *lock(&self.looked) = None;
    }

    /// Reads all policies anew.
    fn define(&self) {
        let before = self.defined();
        let known: BTreeMap<&str, &TestPolicy> = before.iter().map(|t| (&*t.name, t)).collect();
        let policies = lock(&self.policies);
        let defined = policies.names(AREA).into_iter().filter_map(|name| {
            let edits = standing(&policies, AREA, name);
            let content = edits.first()?.content.as_ref()?;
            let same = known.get(name).filter(|t| t.edits[0].content.as_ref() == Some(content));
            let (test, problem) = match same {
                Some(known) => (known.test.clone(), known.problem.clone()),
                None => read(name, content),
            };
            Some(TestPolicy { name: name.into(), test, problem, edits })
        });
        *lock(&self.defined) = Arc::new(defined.collect());
    }

    /// The tests that there are, by name.
    pub(crate) fn defined(&self) -> Arc<Vec<TestPolicy>> {
        Arc::clone(&lock(&self.defined))
    }

    /// The nodes that may run tests, as this node knows them.
    pub(crate) fn members(&self) -> Arc<Vec<Member>> {
        Arc::clone(&lock(&self.members))
    }

    /// How a test stands at each node that said something of it; of this node as it is now.
    pub(crate) fn states_of(&self, test: &str) -> BTreeMap<Node, TestRecord> {
        let mut states = lock(&self.states).of_test(test);
        if let Some(standing) = lock(&self.standings).of(test) {
            let own = (self.writer.site.clone(), self.writer.node.clone());
            let now = Millis::now();
            let (since, error) = standing.told_at(now);
            let record = TestRecord {
                at: standing.last.0,
                state: standing.state_at(now).as_str().into(),
                since: since.0,
                error,
            };
            states.insert(own, record);
        }
        states
    }

    /// What this node's own probes of the other sites came to lately.
    pub(crate) fn pairs(&self, now: Millis) -> BTreeMap<SiteId, Pair> {
        lock(&self.pairs).lately(now)
    }

    pub(crate) fn counts(&self) -> TestCounts {
        let (failing, refused) = {
            let standings = lock(&self.standings);
            let of =
                |state| standings.all().filter(|(_, standing)| standing.state == state).count();
            (of(State::Failing), of(State::Refused))
        };
        TestCounts {
            defined: self.defined().len(),
            here: self.runner.assigned().len(),
            failing,
            refused,
            unreadable: lock(&self.states).unreadable + lock(&self.policies).unreadable(),
            pairs_refused: lock(&self.pairs).refused(),
        }
    }
}

fn is_ours(key: &str) -> bool {
    key.split_once('/').is_some_and(|(area, _)| area == AREA)
}

fn read(name: &str, content: &str) -> (Option<Arc<Test>>, Option<String>) {
    match holm_active::parse(content) {
        Ok(mut tests) if tests.len() == 1 && *tests[0].name == *name => {
            (Some(Arc::new(tests.remove(0))), None)
        }
        Ok(_) => (None, Some("its policy is of another test".to_owned())),
        Err(refused) => (None, Some(format!("this version does not understand it: {refused}"))),
    }
}

/// The kind of a signal of a test, and what it is about: as of any other probe, so that who finds the target well is
/// a witness.
fn about(test: &Test) -> Option<(String, NodeId)> {
    let host = holm_model::host_of(&test.target.target);
    let target = NodeId::observed(NodeKind::Host, host).ok()?;
    Some((format!("{}_failed", test.target.probe.as_str()), target))
}

fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    match row.columns.get(column)? {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

impl Tenant {
    /// Takes what a row says of a test that runs here, and of the way to another site.
    pub(super) fn notice_test(&self, row: &Row) {
        if row.table != RESULTS_TABLE {
            return;
        }
        if text(row, "kind") == Some("mesh") {
            lock(&self.tests.pairs).take(row);
        }
        let (Some(name), Some("test")) = (text(row, "test"), text(row, "kind")) else { return };
        let assigned = self.tests.runner.assigned();
        // In the order of their names, as they are defined.
        let Ok(found) = assigned.binary_search_by(|test| (*test.name).cmp(name)) else { return };
        let test = &assigned[found];
        let error = text(row, "error").unwrap_or("no answer");
        let said = match row.columns.get("success") {
            Some(Value::Bool(true)) => Said::Answered,
            _ if row.columns.contains_key("refused") => Said::Refused(error),
            _ => Said::Failed(error),
        };
        let turned = lock(&self.tests.standings).take(test, said, row.at);
        if let Some(turned) = turned {
            self.tell_turn(test, &turned, error, row.at);
            self.tests.wake.notify_one();
        }
    }

    fn tell_turn(&self, test: &Test, turned: &Turned, error: &str, at: Millis) {
        let site = &self.site;
        match turned.state {
            State::Failing => {
                let Some((kind, target)) = about(test) else { return };
                let mut signal = Signal::new(PLANE, &kind, target.clone(), true, at);
                signal.severity = test.severity;
                signal.text = format!("test {} fails at {site}: {error}", test.name).into();
                let mut note = |name: &str, text: &str| {
                    signal.attributes.insert(name.into(), text.into());
                };
                test.labels.iter().for_each(|(name, value)| note(&format!("label.{name}"), value));
                note(SIGNAL_KEY, &test.name);
                note("test", &test.name);
                note("probe", test.target.probe.as_str());
                lock(&self.tests.raised).insert(test.name.clone(), (kind, target));
                self.signal(signal);
            }
            State::Passing => self.clear_test(&test.name, "passes", at),
            State::Refused => self.clear_test(&test.name, "is refused by the guard", at),
            State::Unknown => {}
        }
    }

    /// What was raised of a test here is over.
    fn clear_test(&self, name: &str, how: &str, at: Millis) {
        let Some((kind, target)) = lock(&self.tests.raised).remove(name) else { return };
        let mut signal = Signal::new(PLANE, &kind, target, false, at);
        signal.text = format!("test {name} {how} at {}", self.site).into();
        signal.attributes.insert(SIGNAL_KEY.into(), name.into());
        self.signal(signal);
    }

    /// Runs what is to run here, and writes down what turned, until the node stops.
    pub(crate) async fn keep_tests(self: Arc<Self>, state: Arc<NodeState>) {
        self.notice_opened_ranges(&state);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut count = 0_u64;
        let mut failure: Option<String> = None;
        loop {
            tokio::select! {
                () = self.tests.wake.notified() => {}
                _ = ticks.tick() => count += 1,
                () = state.shutdown.cancelled() => return,
                () = self.ended().cancelled() => return,
            }
            let (tenant, of) = (Arc::clone(&self), Arc::clone(&state));
            let forget = count.is_multiple_of(TEND_TICKS);
            let work =
                tokio::task::spawn_blocking(move || tenant.tend_tests(&of, forget, Millis::now()));
            let written = match work.await {
                Ok(written) => written.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = &written
                && failure.as_ref() != Some(error)
            {
                tracing::error!(tenant = %self.id, error, "how tests stand waits: it cannot be written; it is tried again");
            }
            failure = written.as_ref().err().cloned();
            let versions = written.unwrap_or_default();
            if !versions.is_empty() {
                state.tell(Change::of(&self.id, Topic::Tests));
            }
            versions.into_iter().for_each(|version| state.publish(version));
        }
    }

    fn tend_tests(
        &self,
        state: &NodeState,
        forget: bool,
        now: Millis,
    ) -> Result<Vec<DocVersion>, CommitError> {
        if self.has_ended() {
            return Ok(Vec::new());
        }
        let members = Arc::new(self.test_members(state, now));
        *lock(&self.tests.members) = Arc::clone(&members);
        self.assign_tests(state, &members, now);
        if forget {
            lock(&self.tests.states).forget(now);
            lock(&self.tests.pairs).forget(now);
        }
        let new = self.due_of_tests(state, now);
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let _order = self.in_order();
        let committed = self.replica.put_records_on(Shelf::Tests, &new, now)?;
        let Writer { site, node } = &self.tests.writer;
        for NewRecord { key, value } in new {
            let (site, node, values) = (site.clone(), node.clone(), vec![value]);
            lock(&self.tests.states).take(&Record { shelf: Shelf::Tests, site, node, key, values });
        }
        Ok(committed.versions)
    }

    /// The nodes of this tenant that say whether they run tests, and whether they live.
    fn test_members(&self, state: &NodeState, now: Millis) -> Vec<Member> {
        let own = self.own_node();
        let status = state.mesh().map(holm_mesh_link::Mesh::status);
        let heard: BTreeMap<Node, bool> = status
            .iter()
            .flat_map(|status| &status.members)
            .map(|member| {
                let live = member.connected || member.state != MemberState::Down;
                ((member.site.clone(), member.node.clone()), live)
            })
            .collect();
        let settling = self.tests.begun.elapsed() < SETTLING;
        let label = state.label(&self.id);
        let granted =
            |site: &SiteId, label: &TenantId| state.roster.tenancy.may_replicate(site, label, now);
        let gone = state.roster.forgotten.gone();
        let mut members: Vec<Member> = lock(&self.tests.states)
            .nodes()
            .filter(|(node, _)| **node != own)
            .filter(|((site, _), _)| {
                !gone.contains_key(site) && label.as_ref().is_some_and(|label| granted(site, label))
            })
            .map(|(node, record)| Member {
                site: node.0.clone(),
                node: node.1.clone(),
                labels: record.labels.clone(),
                live: record.runs && heard.get(node).copied().unwrap_or(settling),
            })
            .collect();
        // Who has not said anything of itself yet, but holds the tenant, is of this version and answers: it has no labels.
        let answers = state.links.heard().into_iter().filter(|heard| {
            let node = (&heard.site, &heard.node);
            let leases = status.iter().flat_map(|status| &status.leases);
            node != (&own.0, &own.1)
                && !members.iter().any(|member| (&member.site, &member.node) == node)
                && leases
                    .filter(|lease| Some(&lease.tenant) == label.as_ref())
                    .any(|lease| (&lease.site, &lease.node) == node)
        });
        let unsaid: Vec<Member> = answers
            .map(|Heard { site, node, .. }| {
                let live = heard.get(&(site.clone(), node.clone())).copied().unwrap_or(settling);
                Member { site, node, labels: BTreeMap::new(), live }
            })
            .collect();
        members.extend(unsaid);
        let record = own_record(state, now);
        members.push(Member { site: own.0, node: own.1, labels: record.labels, live: record.runs });
        members
    }

    fn own_node(&self) -> Node {
        (self.tests.writer.site.clone(), self.tests.writer.node.clone())
    }

    /// Makes the plane run what is to run here, and no more.
    fn assign_tests(&self, state: &NodeState, members: &Arc<Vec<Member>>, now: Millis) {
        let settled = self.tests.begun.elapsed() >= SETTLING;
        let defined = self.tests.defined();
        {
            let mut looked = lock(&self.tests.looked);
            let same = looked.as_ref().is_some_and(|(known, of, was_settled)| {
                Arc::ptr_eq(known, &defined) && of == members && *was_settled == settled
            });
            if same {
                return;
            }
            *looked = Some((Arc::clone(&defined), Arc::clone(members), settled));
        }
        let (site, node) = self.own_node();
        let understood = defined.iter().filter_map(|policy| policy.test.as_ref());
        let tests = understood.filter(|test| runs_at(test, members, &site, &node)).cloned();
        let before = self.tests.runner.assigned();
        self.tests.runner.assign(tests.collect());
        let assigned = self.tests.runner.assigned();
        let about_in = |all: &[Arc<Test>], name: &str| {
            // In the order of their names, as they are defined.
            let found = all.binary_search_by(|test| (*test.name).cmp(name)).ok()?;
            Some(about(&all[found]))
        };
        let keeps = |name: &str| match (about_in(&before, name), about_in(&assigned, name)) {
            // What was known of another target says nothing of this one.
            (Some(old), Some(new)) => old == new,
            (None, Some(_)) => true,
            // Right after a start it may be another's for a moment only.
            (_, None) => !settled,
        };
        let ended = lock(&self.tests.standings).keep(keeps);
        for name in ended {
            self.clear_test(&name, "is not run any more", now);
        }
        for test in assigned.iter().filter(|test| !test.allow.is_empty()) {
            self.notice_opened(state, test);
        }
        state.tell(Change::of(&self.id, Topic::Tests));
    }

    /// That a test may reach private addresses from here is a change, once.
    fn notice_opened(&self, state: &NodeState, test: &Test) {
        if state.config.planes.active.allow_granted.is_empty() {
            return;
        }
        let ranges: Vec<String> = test.allow.iter().map(range_text).collect();
        let left = state.config.planes.active.allow_granted.join(", ");
        let title = format!(
            "test {} may reach {} from {}, as far as its operator leaves open {left}",
            test.name,
            ranges.join(", "),
            self.site
        );
        let what = format!("test {} {}", test.name, ranges.join(","));
        // The edit that counts: only an admin's can hold ranges.
        let defined = self.tests.defined();
        let edits = defined.iter().find(|policy| policy.name == test.name);
        let by = edits.and_then(|policy| policy.edits.first()).map(|edit| edit.by.clone());
        self.notice_lift(&what, title, by.as_deref().unwrap_or("an admin of the tenant"));
    }

    /// That the operator opened private ranges to tests is a change, once.
    fn notice_opened_ranges(&self, state: &NodeState) {
        let active = &state.config.planes.active;
        for (key, ranges) in [("allow", &active.allow), ("allow_granted", &active.allow_granted)] {
            if ranges.is_empty() {
                continue;
            }
            let ranges = ranges.join(", ");
            let title = match key {
                "allow" => format!("tests may reach {ranges} from {}", self.site),
                _ => format!("admins may let tests reach {ranges} from {}", self.site),
            };
            self.notice_lift(&format!("{key} {ranges}"), title, "the operator of the node");
        }
    }

    /// What is to be written of tests now.
    fn due_of_tests(&self, state: &NodeState, now: Millis) -> Vec<NewRecord> {
        let own = self.own_node();
        let states = lock(&self.tests.states);
        let standings = lock(&self.tests.standings);
        let mut new = Vec::new();
        let mut put = |key: Box<str>, value: Result<Vec<u8>, serde_json::Error>| {
            // What was made here can be written.
            new.extend(value.ok().map(|value| NewRecord { key, value }));
        };
        let record = own_record(state, now);
        // Where nobody tests anything nothing needs to be said.
        let matters = !self.tests.defined().is_empty() || !record.labels.is_empty();
        if let Some(record) = states.due_of_node(&own, record).filter(|_| matters) {
            put(NODE_KEY.into(), serde_json::to_vec(&record));
        }
        let mut names: Vec<Box<str>> = standings.all().map(|(name, _)| name.into()).collect();
        names.extend(states.said(&own).into_iter().filter(|name| standings.of(name).is_none()));
        for name in names {
            if let Some(record) = states.due(&own, &name, standings.of(&name), now) {
                put(test_key(&name), serde_json::to_vec(&record));
            }
        }
        new
    }

    /// Takes tests that were read from a file: what each was to become. Durable when it returns. `may_open` says
    /// whether who asks may open private ranges.
    pub(crate) fn apply_tests(
        &self,
        state: &NodeState,
        tests: &[Test],
        (by, may_open): (&str, bool),
        now: Millis,
    ) -> Result<Vec<Applied>, TestError> {
        let contents = tests.iter().map(|test| (&*test.name, Some(test)));
        self.edit_tests(state, contents.collect(), (by, may_open), now)
    }

    /// Takes a test away.
    pub(crate) fn remove_test(
        &self,
        state: &NodeState,
        name: &str,
        (by, may_open): (&str, bool),
        now: Millis,
    ) -> Result<(), TestError> {
        if !self.tests.defined().iter().any(|test| *test.name == *name) {
            return Err(TestError::Unknown(name.chars().take(80).collect()));
        }
        self.edit_tests(state, vec![(name, None)], (by, may_open), now).map(drop)
    }

    fn edit_tests(
        &self,
        state: &NodeState,
        tests: Vec<(&str, Option<&Test>)>,
        (by, may_open): (&str, bool),
        now: Millis,
    ) -> Result<Vec<Applied>, TestError> {
        let mut applied = Vec::new();
        let versions = {
            let _order = self.in_order();
            let defined = self.tests.defined();
            let Writer { site, node } = &self.tests.writer;
            let own = format!("{site}/{node}");
            let mut new = Vec::new();
            for (name, test) in tests {
                let known = defined.iter().find(|policy| *policy.name == *name);
                let edits = known.map_or(&[][..], |policy| &policy.edits);
                let content = test.map(|test| test.to_json().to_string());
                let opens = |test: &Test| !test.allow.is_empty();
                let opened = known.and_then(|policy| policy.test.as_deref()).is_some_and(opens);
                if says_nothing_new(edits, content.as_deref(), by, &own) {
                    applied.push(Applied::Unchanged);
                    continue;
                }
                if !may_open && (test.is_some_and(opens) || (opened && test.is_some())) {
                    return Err(TestError::Allow(name.into()));
                }
                self.held_by_folder(state, (AREA, name), edits, by)?;
                let content = content.map(String::into_bytes);
                let edit =
                    lock(&self.tests.policies).edit((AREA, name), (site, node), by, content, now);
                new.push(edit.map_err(|error| TestError::Policy(name.into(), error))?);
                applied.push(if known.is_some() { Applied::Updated } else { Applied::Created });
            }
            let committed = self.replica.put_records_on(Shelf::Policies, &new, now)?;
            let records = new.into_iter().map(|NewRecord { key, value }| Record {
                shelf: Shelf::Policies,
                site: site.clone(),
                node: node.clone(),
                key,
                values: vec![value],
            });
            let records: Vec<Record> = records.collect();
            self.tests.take_records(&records);
            self.notice_edits(&records);
            committed.versions
        };
        versions.into_iter().for_each(|version| state.publish(version));
        state.tell(Change::of(&self.id, Topic::Tests));
        Ok(applied)
    }
}

/// What is said of this node.
fn own_record(state: &NodeState, now: Millis) -> NodeRecord {
    let labels = state.config.node.labels.iter();
    NodeRecord {
        at: now.0,
        runs: state.config.planes.active.enabled,
        labels: labels.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
    }
}

impl NodeState {
    /// What the plane counted that runs a tenant's tests here.
    pub(crate) fn counters_of_tests(&self, tenant: &Tenant) -> BTreeMap<String, u64> {
        let of_first = self.config.node.tenants.first() == Some(&tenant.id);
        let health = if of_first {
            self.planes().iter().find(|plane| plane.name() == PLANE).map(|plane| plane.health())
        } else {
            lock(&self.test_planes).get(&tenant.id).map(super::planes::Supervised::health)
        };
        let counters = health.map(|health| health.counters).unwrap_or_default().into_iter();
        let of_tests = counters.filter(|(name, _)| {
            name.starts_with("tests")
                || name.starts_with("left_out")
                || *name == "refused_addresses"
        });
        of_tests.map(|(name, count)| (name.to_owned(), count)).collect()
    }
}
