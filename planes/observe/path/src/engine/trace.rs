//! One trace: probes out, replies and time in.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::plan::{Reach, plan};
use super::table::{Cell, Table};
use super::{Multipath, Outcome, Probe, Reply, ReplyKind, Stopping, TraceOptions, report};

/// Hops that flow 0 is sent ahead while nobody knows how long the way is.
const WINDOW: u8 = 4;
/// How long the answer of the target is waited for before the way is walked blindly.
const SCOUT_WAIT: Duration = Duration::from_millis(300);
/// Time between probes to a hop that limits its replies, at first and at most. Linux answers six at
/// once and then one a second (icmp_ratelimit).
const FIRST_GAP: Duration = Duration::from_millis(125);
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// Attempts at a hop that limits its replies.
const PATIENT_ATTEMPTS: u8 = 6;
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To learn what answers this flow at this TTL.
    Cell,
    /// To see whether packets of one flow take one way.
    Repeat,
    /// To learn how far the target is.
    Scout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Answered,
    Lost,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) flow: u16,
    pub(super) ttl: u8,
    pub(super) at: Duration,
    pub(super) purpose: Purpose,
    pub(super) state: State,
}

/// A trace under way. Times are durations since any beginning, the same for every call.
#[derive(Debug, Clone)]
pub struct Trace {
    pub(super) target: IpAddr,
    pub(super) options: TraceOptions,
    pub(super) stopping: Stopping,
    pub(super) table: Table,
    pub(super) sent: Vec<Sent>,
    /// Numbers of probes under way, in the order of their departure.
    waiting: VecDeque<u32>,
    in_flight: usize,
    of_flow: HashMap<u16, usize>,
    queue: VecDeque<(u16, u8, Purpose)>,
    attempts: BTreeMap<(u16, u8), u8>,
    begin: Option<Duration>,
    now: Duration,
    longest_rtt: Duration,
    /// Whether something changed that the plan may depend on.
    stale: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) looped: bool,
    pub(super) scouted: Option<u8>,
    pub(super) duplicates: u32,
    pub(super) late: u32,
}

impl Trace {
    /// A trace to `target` that has sent nothing yet.
    pub fn new(target: IpAddr, options: TraceOptions) -> Self {
        let options = options.within_bounds();
        let mut trace = Self {
            target,
            stopping: Stopping::new(options.epsilon),
            table: Table::new(options.max_ttl, options.whole_flows),
            sent: Vec::new(),
            waiting: VecDeque::new(),
            in_flight: 0,
            of_flow: HashMap::new(),
            queue: VecDeque::new(),
            attempts: BTreeMap::new(),
            begin: None,
            now: Duration::ZERO,
            longest_rtt: Duration::ZERO,
            stale: true,
            outcome: None,
            looped: false,
            scouted: None,
            duplicates: 0,
            late: 0,
            options,
        };
        if trace.options.quoted_distance {
            trace.queue.push_back((0, trace.options.max_ttl, Purpose::Scout));
        }
        trace
    }

    /// The next probe to send at `now`, if one may leave. It is taken to have left.
    pub fn next(&mut self, now: Duration) -> Option<Probe> {
        self.advance(now);
        // Not before the last reply, even if the caller's clock was read before it.
        let now = self.now;
        if self.outcome.is_some() || self.in_flight >= self.options.max_in_flight {
            return None;
        }
        if self.stale && !self.waits_for_scout() {
            self.stale = false;
            self.plan();
        }
        let table = &self.table;
        let of_flow = &self.of_flow;
        let most = self.options.max_in_flight_of_flow;
        let may_leave = |(flow, ttl, _): &(u16, u8, Purpose)| {
            table.hop(*ttl).next_send <= now && of_flow.get(flow).is_none_or(|n| *n < most)
        };
        let position = self.queue.iter().position(may_leave)?;
        let (flow, ttl, purpose) = self.queue.remove(position)?;
        Some(self.depart(flow, ttl, purpose))
    }

    /// When [`Self::next`] is to be asked again if no reply comes before; `None` when it is over.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.outcome.is_some() {
            return None;
        }
        let first = self.waiting.front().and_then(|number| self.sent.get(*number as usize));
        let lost = first.map(|sent| sent.at + self.timeout());
        let queued = (self.in_flight < self.options.max_in_flight)
            .then(|| self.queue.iter().map(|(_, ttl, _)| self.table.hop(*ttl).next_send).min())
            .flatten()
            // What waits for its own flow leaves with a reply or a loss.
            .filter(|at| *at > self.now);
        let scout = self.waits_for_scout().then(|| self.begin.unwrap_or_default() + SCOUT_WAIT);
        let deadline = self.begin.unwrap_or_default() + self.options.deadline;
        [lost, queued, scout, Some(deadline)].into_iter().flatten().min()
    }

    /// Takes a reply to the probe of this number.
    pub fn replied(&mut self, number: u32, reply: &Reply, now: Duration) {
        self.now = self.now.max(now);
        let Some(sent) = self.sent.get_mut(number as usize) else { return };
        let before = sent.state;
        if before == State::Answered {
            self.duplicates += 1;
            return;
        }
        sent.state = State::Answered;
        let sent = *sent;
        let rtt = self.now.saturating_sub(sent.at);
        self.longest_rtt = self.longest_rtt.max(rtt);
        if before == State::Waiting {
            self.landed(sent.flow);
            self.waiting.retain(|waiting| *waiting != number);
        } else {
            self.late += 1;
        }
        self.stale = true;
        match sent.purpose {
            Purpose::Scout => self.file_scout(&sent, reply),
            Purpose::Repeat => {
                let hop = self.table.hop_mut(sent.ttl);
                hop.answered += 1;
                let expected = hop.vertex_of(sent.flow);
                if hop.file(reply, sent.at, self.now) != expected {
                    hop.per_packet = true;
                }
            }
            Purpose::Cell => {
                self.table.hop_mut(sent.ttl).answered += 1;
                self.file(&sent, sent.ttl, reply);
            }
        }
    }

    /// Whether the trace is over.
    pub fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    /// Ends the trace now, whatever is still under way.
    pub fn stop(&mut self) {
        self.outcome.get_or_insert(Outcome::Stopped);
    }

    /// Probes that were sent.
    pub fn probes(&self) -> u32 {
        u32::try_from(self.sent.len()).unwrap_or(u32::MAX)
    }

    /// What is known so far; final when the trace is over.
    pub fn result(&self) -> Multipath {
        report::report(self)
    }

    fn waits_for_scout(&self) -> bool {
        let Some(scout) = self.sent.first().filter(|sent| sent.purpose == Purpose::Scout) else {
            return self.options.quoted_distance && self.sent.is_empty();
        };
        scout.state == State::Waiting && self.now < scout.at + SCOUT_WAIT
    }

    /// Takes the time: what was waited for long enough is lost.
    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let begin = *self.begin.get_or_insert(now);
        if self.outcome.is_some() {
            return;
        }
        while let Some(number) = self.waiting.front().copied() {
            let sent = self.sent[number as usize];
            if sent.at + self.timeout() > self.now {
                break;
            }
            self.waiting.pop_front();
            self.sent[number as usize].state = State::Lost;
            self.landed(sent.flow);
            self.stale = true;
            self.lost(sent);
        }
        if self.now >= begin + self.options.deadline {
            self.outcome = Some(Outcome::Deadline);
        } else if self.probes() >= self.options.max_probes && self.in_flight == 0 {
            self.outcome = Some(Outcome::Budget);
        }
    }

    fn timeout(&self) -> Duration {
        if self.longest_rtt.is_zero() {
            return self.options.timeout;
        }
        let adapted = self.longest_rtt * 3 + Duration::from_millis(50);
        adapted.max(SHORTEST_TIMEOUT).min(self.options.timeout)
    }

    fn landed(&mut self, flow: u16) {
        self.in_flight -= 1;
        if let Some(n) = self.of_flow.get_mut(&flow) {
            *n = n.saturating_sub(1);
        }
    }

    fn lost(&mut self, sent: Sent) {
        if sent.purpose != Purpose::Cell {
            return;
        }
        let hop = self.table.hop_mut(sent.ttl);
        if hop.cells.get(&sent.flow) != Some(&Cell::Waiting) {
            return;
        }
        if !hop.vertices.is_empty() && sent.at >= hop.gap_since {
            // It answers, but not all: slower, and with more patience. A loss of what left before the
            // last change says nothing of it.
            hop.gap = (hop.gap * 2).clamp(FIRST_GAP, LONGEST_GAP);
            hop.gap_since = self.now;
            hop.limited = true;
        }
        let most = if hop.limited { PATIENT_ATTEMPTS } else { 0 }.max(self.options.attempts);
        let tried = self.attempts.get(&(sent.flow, sent.ttl)).copied().unwrap_or(0);
        if tried < most {
            self.queue.push_back((sent.flow, sent.ttl, Purpose::Cell));
        } else {
            hop.cells.insert(sent.flow, Cell::Silent);
        }
    }

    fn depart(&mut self, flow: u16, ttl: u8, purpose: Purpose) -> Probe {
        let number = self.probes();
        self.sent.push(Sent { flow, ttl, at: self.now, purpose, state: State::Waiting });
        self.waiting.push_back(number);
        self.in_flight += 1;
        *self.of_flow.entry(flow).or_default() += 1;
        if purpose == Purpose::Cell {
            *self.attempts.entry((flow, ttl)).or_default() += 1;
        }
        if purpose != Purpose::Scout {
            let hop = self.table.hop_mut(ttl);
            hop.sent += 1;
            hop.next_send = self.now + hop.gap;
        }
        Probe { number, flow, ttl }
    }

    /// The target quotes the TTL that is left: that is how far it is.
    fn file_scout(&mut self, sent: &Sent, reply: &Reply) {
        let flow = sent.flow;
        let Some(quoted) = reply.quoted_ttl.filter(|_| reply.kind != ReplyKind::Exceeded) else {
            return;
        };
        let Some(distance) = self.options.max_ttl.checked_sub(quoted).map(|less| less + 1) else {
            return;
        };
        if (1..=self.options.max_ttl).contains(&distance) && !self.table.ends.contains_key(&flow) {
            self.scouted = Some(distance);
            let hop = self.table.hop_mut(distance);
            hop.sent += 1;
            hop.answered += 1;
            self.file(sent, distance, reply);
        }
    }

    fn file(&mut self, sent: &Sent, ttl: u8, reply: &Reply) {
        let flow = sent.flow;
        if self.table.ended_before(flow, ttl) {
            return;
        }
        let hop = self.table.hop_mut(ttl);
        match hop.file(reply, sent.at, self.now) {
            Some(vertex) => hop.cells.insert(flow, Cell::Answered(vertex)),
            None => hop.cells.insert(flow, Cell::Silent),
        };
        self.queue.retain(|(queued, at, purpose)| {
            (*queued, *at) != (flow, ttl) || *purpose != Purpose::Cell
        });
        let looped = self.is_loop(flow, ttl, reply.from);
        self.looped |= looped;
        if reply.kind != ReplyKind::Exceeded || looped {
            self.end(flow, ttl);
        }
    }

    /// Whether the flow was answered by this address at two hops before.
    fn is_loop(&self, flow: u16, ttl: u8, address: IpAddr) -> bool {
        let is_here = |at: &u8| {
            let hop = self.table.hop(*at);
            hop.vertex_of(flow)
                .is_some_and(|vertex| hop.vertices[usize::from(vertex)].address == address)
        };
        (1..ttl).filter(is_here).count() >= 2
    }

    /// The flow goes no further than `ttl`.
    fn end(&mut self, flow: u16, ttl: u8) {
        let end = self.table.ends.entry(flow).or_insert(ttl);
        *end = (*end).min(ttl);
        let end = *end;
        for beyond in end + 1..=self.options.max_ttl {
            let hop = self.table.hop_mut(beyond);
            if hop.cells.remove(&flow).is_some() {
                hop.drop_unused();
            }
        }
        self.queue.retain(|(queued, at, _)| *queued != flow || *at <= end);
    }

    fn plan(&mut self) {
        let reach = self.reach();
        let wanted = plan(&mut self.table, reach, &self.options, &self.stopping);
        let cells = wanted.cells.into_iter().map(|(flow, ttl)| (flow, ttl, Purpose::Cell));
        self.queue.extend(cells);
        let repeats = wanted.repeats.into_iter().map(|(flow, ttl)| (flow, ttl, Purpose::Repeat));
        self.queue.extend(repeats);
        let room = (self.options.max_probes as usize).saturating_sub(self.sent.len());
        self.queue.truncate(room);
        if self.queue.is_empty() && self.in_flight == 0 {
            let short = room == 0;
            self.outcome = Some(if short { Outcome::Budget } else { self.ending() });
        }
    }

    /// How the way of flow 0 ends.
    fn ending(&self) -> Outcome {
        let end = self.table.ends.get(&0).copied();
        let kind = end.and_then(|end| {
            let hop = self.table.hop(end);
            hop.vertex_of(0).map(|vertex| hop.vertices[usize::from(vertex)].kind)
        });
        match kind {
            Some(ReplyKind::Reached) => Outcome::Reached,
            Some(ReplyKind::Unreachable(code)) => Outcome::Unreachable(code),
            Some(ReplyKind::Exceeded) => Outcome::Loop,
            None => Outcome::Silent,
        }
    }

    /// How far to look, given how far flow 0 got.
    fn reach(&self) -> Reach {
        let max = self.options.max_ttl;
        let answered = |ttl: &u8| self.table.hop(*ttl).vertex_of(0).is_some();
        if self.table.ends.contains_key(&0) {
            let mut last = self.table.ends.values().copied().max().unwrap_or(max);
            // Ways of other lengths: on while an interface of the last hop forwards.
            while last < max
                && !self.looped
                && self.table.hop(last).vertices.iter().any(|vertex| !vertex.ends())
                && !self.is_past_answers(last)
            {
                last += 1;
            }
            return Reach { first: last, all: last, end: self.table.ends.get(&0).copied() };
        }
        let last = (1..=max).rev().find(answered).unwrap_or(0);
        let silent = |ttl: &u8| self.table.hop(*ttl).cells.get(&0) == Some(&Cell::Silent);
        let gap = (last + 1..=max).take_while(silent).count();
        if gap >= usize::from(self.options.gap_limit) || last + gap as u8 >= max {
            return Reach { first: last, all: last, end: None };
        }
        let first = (last + WINDOW).max(last + gap as u8 + 1).min(max);
        Reach { first, all: last, end: None }
    }

    /// Whether the hop after `ttl` was tried and stayed silent.
    fn is_past_answers(&self, ttl: u8) -> bool {
        let next = self.table.hop(ttl + 1);
        !next.cells.is_empty() && next.cells.values().all(|cell| *cell == Cell::Silent)
    }
}
