//! One node's plans, step by step; what many nodes do together is in `world.rs`.

use super::*;
use crate::Draft;
use crate::delivery::MAX_LINES;
use crate::delivery::tests::delivery;
use crate::members::tests::pager;
use crate::subject::tests::subject;
use crate::{Provider, RecordId, START_MS};
use holm_model::Severity;

mod world;

const T0: Millis = Millis(1_795_000_000_000);

pub(super) fn connector(change: impl Fn(&mut Draft)) -> Connector {
    let mut draft = Draft { secret: Some("0123456789abcdef".into()), ..Draft::default() };
    change(&mut draft);
    Connector::new("ops", Provider::PagerDuty, draft, None).expect("good")
}

pub(super) fn route(change: impl Fn(&mut Route)) -> Route {
    let mut route = Route {
        name: "all".into(),
        severity: Severity::Info,
        sites: BTreeSet::new(),
        targets: Vec::new(),
        planes: BTreeSet::new(),
        kinds: BTreeSet::new(),
        connectors: ["ops".into()].into(),
        resolve: true,
        after_s: 0,
        repeat_s: None,
        paused: false,
    };
    change(&mut route);
    route
}

/// One node, alone.
struct One {
    connectors: BTreeMap<Box<str>, Connector>,
    routes: Vec<Route>,
    subjects: Vec<Arc<Subject>>,
    members: Members,
    book: Book,
    outbox: Outbox,
    now: Millis,
}

impl One {
    fn new(connector: Connector, route: Route) -> Self {
        Self {
            connectors: [(connector.name.clone(), connector)].into(),
            routes: vec![route],
            subjects: Vec::new(),
            members: Members::new(pager(0), T0),
            book: Book::new(),
            outbox: Outbox::new(),
            now: T0,
        }
    }

    fn open(&mut self, id: &str, severity: Severity) {
        let mut subject = subject(id, severity);
        (subject.turned_at, subject.opened_at) = (self.now, self.now);
        self.subjects.push(Arc::new(subject));
    }

    /// One of which a site says whose clock is ahead.
    fn open_ahead(&mut self, id: &str, severity: Severity, by_ms: u64) {
        self.open(id, severity);
        let subject = Arc::make_mut(self.subjects.last_mut().expect("opened"));
        (subject.turned_at, subject.heard_at) = (self.now + by_ms, Some(self.now));
    }

    fn turn(&mut self, id: &str, stand: Stand) {
        let now = self.now;
        let found = self.subjects.iter_mut().find(|s| *s.id == *id).expect("open");
        let subject = Arc::make_mut(found);
        (subject.stand, subject.turned_at) = (stand, now);
    }

    fn plan(&self) -> Plan {
        let standing = Standing {
            connectors: &self.connectors,
            routes: &self.routes,
            subjects: &self.subjects,
            members: &self.members,
            book: &self.book,
            outbox: &self.outbox,
        };
        plan(&standing, self.now)
    }

    fn write(&mut self, who: usize, delivery: &Delivery) {
        let id = RecordId { pager: pager(who), key: delivery.key().into() };
        self.book.take(id, [&*delivery.encode()]);
    }

    /// Writes what is to be written, and says what is to be sent.
    fn settle(&mut self) -> Vec<Due> {
        for _ in 0..3 {
            let plan = self.plan();
            if plan.writes.is_empty() {
                return plan.sends;
            }
            plan.writes.iter().for_each(|delivery| self.write(0, delivery));
        }
        self.plan().sends
    }

    /// Sends what is to be sent, and the provider takes it.
    fn deliver(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let sends = self.settle();
            if sends.is_empty() {
                return said;
            }
            for due in sends {
                self.outbox.begin(&due.delivery, self.now);
                self.outbox.answered(&due.delivery);
                let mut done = due.delivery.turned(Phase::Delivered, self.now);
                done.provider_id = Some("x".into());
                self.write(0, &done);
                said.push(format!("{} {}", due.delivery.event.as_str(), due.delivery.incident));
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + ms;
    }
}

#[test]
fn an_incident_is_told_when_it_opens_when_somebody_looks_and_when_it_ends() {
    let mut one = One::new(connector(|_| {}), route(|_| {}));
    one.open("i-1", Severity::Warning);
    assert_eq!(one.deliver(), ["trigger i-1"]);
    assert_eq!(one.deliver(), Vec::<String>::new());
    one.pass(5_000);
    one.turn("i-1", Stand::Acknowledged);
    assert_eq!(one.deliver(), ["acknowledge i-1"]);
    one.pass(5_000);
    one.turn("i-1", Stand::Over);
    assert_eq!(one.deliver(), ["resolve i-1"]);
    one.pass(5_000);
    one.turn("i-1", Stand::Open);
    assert_eq!(one.deliver(), ["reopen i-1"]);
    one.pass(5_000);
    one.turn("i-1", Stand::Over);
    assert_eq!(one.deliver(), ["resolve i-1"]);
    assert_eq!(one.book.of_incident("i-1").len(), 5);
}

#[test]
fn a_clock_that_is_ahead_holds_up_no_page() {
    for after_s in [0, 60] {
        let mut one = One::new(connector(|_| {}), route(|r| r.after_s = after_s));
        one.open_ahead("i-1", Severity::Warning, 25 * 60_000);
        if after_s > 0 {
            assert!(one.deliver().is_empty(), "it waits as long as its route says");
            one.pass(after_s * 1_000);
        }
        assert_eq!(one.deliver(), ["trigger i-1"]);
        // Nor does it page again when that clock's time has come.
        one.pass(30 * 60_000);
        assert!(one.deliver().is_empty());
    }
}

#[test]
fn what_is_over_or_looked_at_before_it_is_due_pages_nobody() {
    let mut one = One::new(connector(|_| {}), route(|r| r.after_s = 300));
    one.open("i-1", Severity::Warning);
    one.open("i-2", Severity::Warning);
    one.open("i-3", Severity::Warning);
    one.pass(299_000);
    assert_eq!(one.deliver(), Vec::<String>::new());
    one.turn("i-1", Stand::Over);
    one.turn("i-2", Stand::Acknowledged);
    one.pass(1_000);
    assert_eq!(one.deliver(), ["trigger i-3"]);
}

#[test]
fn the_end_is_told_only_where_that_is_wanted() {
    let mut one = One::new(connector(|_| {}), route(|r| r.resolve = false));
    one.open("i-1", Severity::Warning);
    assert_eq!(one.deliver(), ["trigger i-1"]);
    one.pass(10_000);
    one.turn("i-1", Stand::Over);
    assert_eq!(one.deliver(), Vec::<String>::new());
}

#[test]
fn it_is_told_again_while_nobody_looks_at_it() {
    let mut one = One::new(connector(|_| {}), route(|r| r.repeat_s = Some(600)));
    one.open("i-1", Severity::Warning);
    assert_eq!(one.deliver(), ["trigger i-1"]);
    for _ in 0..MAX_REPEATS {
        one.pass(599_999);
        assert_eq!(one.deliver(), Vec::<String>::new());
        one.pass(1);
        assert_eq!(one.deliver(), ["repeat i-1"]);
    }
    one.pass(6_000_000);
    assert_eq!(one.deliver(), Vec::<String>::new(), "not for ever");
}

#[test]
fn a_provider_that_was_down_gets_the_page_and_then_the_end() {
    let mut one = One::new(connector(|_| {}), route(|_| {}));
    one.open("i-1", Severity::Warning);
    for _ in 0..12 {
        for due in one.settle() {
            one.outbox.begin(&due.delivery, one.now);
            one.outbox.failed(&due.delivery, None, 0.5, one.now);
        }
        one.pass(300_000);
    }
    one.turn("i-1", Stand::Over);
    assert_eq!(one.outbox.attempts(&one.book.of_incident("i-1")[0].1), 12);
    assert_eq!(one.deliver(), ["trigger i-1", "resolve i-1"], "late, and not lost");
}

#[test]
fn after_its_time_a_page_is_dead_and_is_replayed_by_hand() {
    let mut one = One::new(connector(|d| d.give_up_after_h = Some(2)), route(|_| {}));
    one.open("i-1", Severity::Warning);
    assert_eq!(one.settle().len(), 1);
    one.pass(2 * HOUR_MS + 1);
    assert_eq!(one.deliver(), Vec::<String>::new());
    let dead = Arc::clone(&one.book.of_incident("i-1")[0].1);
    assert_eq!(dead.phase, Phase::Dead);
    assert_eq!(dead.reason.as_deref(), Some("given up after 2 h: it was never tried"));
    one.pass(HOUR_MS);
    assert_eq!(one.deliver(), Vec::<String>::new(), "nothing by itself");
    let mut again = dead.turned(Phase::Queued, one.now);
    (again.queued_at, again.replayed_by) = (one.now, Some("ada".into()));
    again.round = one.book.next_round(&dead);
    one.write(0, &again);
    assert_eq!(one.deliver(), ["trigger i-1"]);
    one.turn("i-1", Stand::Over);
    one.pass(1);
    assert_eq!(one.deliver(), ["resolve i-1"]);
    // What is dead is dead for the while in which its incident was open.
    one.open("i-2", Severity::Warning);
    one.settle();
    one.pass(2 * HOUR_MS + 1);
    one.deliver();
    one.turn("i-2", Stand::Over);
    one.deliver();
    one.pass(60_000);
    one.turn("i-2", Stand::Open);
    assert_eq!(one.deliver(), ["trigger i-2"]);
}

#[test]
fn what_a_provider_refuses_is_one_dead_letter_and_not_tried_without_end() {
    let mut one = One::new(connector(|_| {}), route(|_| {}));
    one.open("i-1", Severity::Warning);
    assert_eq!(one.deliver(), ["trigger i-1"]);
    for stand in [Stand::Acknowledged, Stand::Over] {
        one.pass(5_000);
        one.turn("i-1", stand);
        let sends = one.settle();
        assert_eq!(sends.len(), 1, "{stand:?}");
        one.outbox.begin(&sends[0].delivery, one.now);
        one.outbox.answered(&sends[0].delivery);
        one.write(0, &sends[0].delivery.turned(Phase::Dead, one.now));
        for _ in 0..5 {
            one.pass(60_000);
            assert_eq!(one.deliver(), Vec::<String>::new(), "{stand:?}");
        }
    }
    assert_eq!(one.book.of_incident("i-1").len(), 3, "one of each");
    // The provider never heard that it was over: when it is open again it stands there as it does here.
    one.turn("i-1", Stand::Open);
    one.pass(1);
    assert_eq!(one.deliver(), Vec::<String>::new());
}

#[test]
fn more_than_the_budget_is_told_in_one_summary_and_nothing_is_lost() {
    let mut one = One::new(connector(|d| d.pages_a_minute = Some(3)), route(|_| {}));
    for n in 0..30 {
        let severity = if n == 17 { Severity::Critical } else { Severity::Warning };
        one.open(&format!("i-{n:02}"), severity);
    }
    let said = one.deliver();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.contains(&"trigger i-17".to_owned()), "the gravest by itself: {said:?}");
    assert_eq!(said.iter().filter(|text| text.starts_with("summary s-")).count(), 1);
    let summary = one.book.all().find(|(_, d)| d.event == Event::Summary).expect("one").1;
    assert_eq!((summary.count, summary.lines.len()), (28, MAX_LINES));
    let folded: Vec<_> = one.book.all().filter(|(_, d)| d.phase == Phase::Folded).collect();
    assert_eq!(folded.len(), 28);
    assert!(folded.iter().all(|(_, d)| d.folded_into.as_ref() == Some(&summary.incident)));
    // A page more waits until there is room.
    one.open("i-99", Severity::Critical);
    assert_eq!(one.deliver(), Vec::<String>::new());
    assert_eq!(one.plan().over_budget, 1);
    one.pass(60_001);
    assert_eq!(one.deliver(), ["trigger i-99"]);
    // The provider knows nothing of the folded ones: their ends are not told to it.
    for n in 0..30 {
        one.turn(&format!("i-{n:02}"), Stand::Over);
    }
    assert_eq!(one.deliver().len(), 2);
}

#[test]
fn what_is_not_wanted_any_more_is_dropped_but_a_page_never_is() {
    let mut one = One::new(connector(|_| {}), route(|_| {}));
    one.open("i-1", Severity::Warning);
    one.deliver();
    one.pass(1_000);
    one.turn("i-1", Stand::Acknowledged);
    one.settle();
    one.pass(1_000);
    one.turn("i-1", Stand::Over);
    assert_eq!(one.deliver(), ["resolve i-1"]);
    let dropped = one.book.all().find(|(_, d)| d.phase == Phase::Dropped).expect("one").1;
    assert_eq!(dropped.event, Event::Acknowledge);
}

#[test]
fn a_connector_that_pauses_keeps_and_one_that_goes_leaves_dead_letters() {
    let mut one = One::new(connector(|d| d.paused = true), route(|_| {}));
    one.open("i-1", Severity::Warning);
    assert_eq!(one.deliver(), Vec::<String>::new());
    assert_eq!(one.book.all().next().expect("queued").1.phase, Phase::Queued);
    one.connectors.clear();
    assert_eq!(one.deliver(), Vec::<String>::new());
    let dead = one.book.all().next().expect("kept").1;
    assert_eq!(dead.phase, Phase::Dead);
    assert!(dead.reason.as_deref().is_some_and(|why| why.contains("was taken away")));
}

#[test]
fn incidents_that_turn_out_to_be_one_are_ended_under_both_keys_and_paged_no_more() {
    let mut one = One::new(connector(|_| {}), route(|_| {}));
    one.open("i-1", Severity::Warning);
    one.open("i-2", Severity::Warning);
    assert_eq!(one.deliver(), ["trigger i-1", "trigger i-2"]);
    one.subjects.remove(1);
    Arc::make_mut(&mut one.subjects[0]).also = vec!["i-2".into()];
    one.pass(SETTLE_MS * 2);
    assert_eq!(one.deliver(), Vec::<String>::new());
    // Joined to one that nobody was told of.
    let first = Arc::make_mut(&mut one.subjects[0]);
    (first.id, first.also) = ("i-0".into(), vec!["i-1".into(), "i-2".into()]);
    assert_eq!(one.deliver(), Vec::<String>::new());
    one.turn("i-0", Stand::Over);
    assert_eq!(one.deliver(), ["resolve i-1", "resolve i-2"]);
}

#[test]
fn records_that_come_before_the_incident_does_do_not_page_again() {
    let mut one = One::new(connector(|_| {}), route(|_| {}));
    one.open("i-1", Severity::Warning);
    one.deliver();
    let turned = one.now;
    one.pass(5_000);
    // Another node heard that somebody looks at it, and told so; here the incident is open still.
    let mut theirs = delivery("i-1", 2, Event::Acknowledge, Phase::Delivered);
    (theirs.at, theirs.turned_at) = (one.now, turned + 4_000);
    one.write(1, &theirs);
    assert_eq!(one.deliver(), Vec::<String>::new());
    // It stays open: then it is.
    one.pass(SETTLE_MS);
    assert_eq!(one.deliver(), ["reopen i-1"]);
}

#[test]
fn who_queued_it_and_is_gone_is_replaced_under_the_same_number() {
    let mut one = One::new(connector(|_| {}), route(|_| {}));
    one.members.update([pager(1)], true, one.now);
    one.pass(START_MS);
    one.members.update([pager(1)], true, one.now);
    one.open("i-1", Severity::Warning);
    let mut theirs = delivery("i-1", 1, Event::Trigger, Phase::Queued);
    (theirs.at, theirs.queued_at) = (one.now, one.now);
    one.write(1, &theirs);
    assert_eq!(one.deliver(), Vec::<String>::new(), "it is theirs");
    one.members.update([], true, one.now);
    one.pass(29_000);
    one.members.update([], true, one.now);
    assert_eq!(one.deliver(), Vec::<String>::new(), "it may come back");
    one.pass(1_000);
    one.members.update([], true, one.now);
    assert_eq!(one.deliver(), ["trigger i-1"]);
    let all = one.book.of_incident("i-1");
    assert!(all.iter().all(|(_, d)| d.seq == 1) && all.len() == 2);
}

#[test]
fn what_was_taken_over_and_dropped_is_not_taken_over_again() {
    let mut one = One::new(connector(|d| d.give_up_after_h = Some(1)), route(|_| {}));
    one.open("i-1", Severity::Warning);
    assert_eq!(one.deliver(), ["trigger i-1"]);
    one.turn("i-1", Stand::Over);
    // Somebody who is gone for good was to say that it is looked at, and to page for another.
    for (incident, event) in [("i-1", Event::Acknowledge), ("i-2", Event::Trigger)] {
        let mut theirs = delivery(incident, 2, event, Phase::Queued);
        (theirs.at, theirs.queued_at) = (one.now, one.now);
        one.write(1, &theirs);
    }
    one.pass(2 * HOUR_MS);
    let told = one.deliver();
    assert_eq!(told, ["resolve i-1"], "the other one is given up");
    let phases: Vec<Phase> = ["i-1", "i-2"]
        .into_iter()
        .flat_map(|incident| one.book.of_incident(incident))
        .filter(|(id, d)| id.pager == pager(0) && d.round > 0)
        .map(|(_, d)| d.phase)
        .collect();
    assert_eq!(phases, [Phase::Dropped, Phase::Dead]);
    assert!(one.plan().writes.is_empty(), "nothing is left to be written");
    // It comes back, and goes on where it was: that counts no longer.
    one.members.update([pager(1)], true, one.now);
    assert!(one.plan().writes.is_empty());
}

#[test]
fn only_sites_that_may_deliver_do() {
    let mut one =
        One::new(connector(|d| d.sites = vec!["tokyo".parse().expect("valid")]), route(|_| {}));
    one.open("i-1", Severity::Warning);
    let plan = one.plan();
    assert!(plan.writes.is_empty() && plan.nobody.contains("ops"));
}
