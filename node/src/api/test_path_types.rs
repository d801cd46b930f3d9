//! What the API says of the ways to a test's target.

use holm_model::SiteId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::probe_tests_types::TestAsked;
use super::types::{Timestamp, api_type};

api_type!(
    /// The ways to a test's target at a moment, from every site that traces it, and how they changed.
    TestPath {
        test: String,
        /// The host that the test looks at.
        host: String,
        /// The moment that is shown.
        at: Timestamp,
        /// The latest trace of each site, target and protocol at that moment.
        ways: Vec<TestWays>,
        /// Sites that run the test and of which there is no trace of its host in the window.
        #[schema(value_type = Vec<String>)]
        without: Vec<SiteId>,
        /// The traces of the window, the latest first: at most 2,000.
        traces: Vec<TestTrace>,
        /// What changed in the window, the latest first: at most 500.
        changes: Vec<TestPathChange>,
        /// There are more traces or changes than are given.
        cut: bool,
        asked: TestAsked,
    }
);

api_type!(
    /// One trace in short.
    TestTrace {
        #[schema(value_type = String)]
        site: SiteId,
        /// What the path plane calls its target.
        target: String,
        protocol: String,
        at: Timestamp,
        reached: bool,
        /// `reached`, `unreachable`, `silent`, `loop`, `budget`, `deadline`, `stopped`, or `failed` with no trace at all.
        outcome: String,
        hops: Option<u64>,
        /// The most interfaces of one hop.
        width: Option<u64>,
        /// Share of probes that was lost on the way: 0 to 1.
        loss: Option<f64>,
        /// The mean round trip to the target.
        rtt_ms: Option<f64>,
        /// Numbers of the autonomous systems on the way, in order, with spaces; null without a table.
        as_path: Option<String>,
        /// Largest packet that gets there whole, in bytes.
        mtu: Option<u64>,
    }
);

api_type!(
    /// A trace with its hops.
    TestWays {
        trace: TestTrace,
        /// The address that was traced.
        address: Option<String>,
        error: Option<String>,
        /// Probability that a branch was missed; null where probes or time ran out.
        failure_bound: Option<f64>,
        /// By what the path MTU is known: `link`, `told`, `searched`.
        mtu_how: Option<String>,
        /// The hop that says so, or the last that longer packets reach.
        mtu_hop: Option<String>,
        hops: Vec<TestHop>,
        links: Vec<TestLink>,
        /// Why there are no hops.
        problem: Option<String>,
    }
);

api_type!(
    /// A hop.
    TestHop {
        ttl: u8,
        sent: u32,
        /// Of `sent`, lost on the way there or back.
        lost: u32,
        /// Of `sent`, not answered by the hop itself, which forwards.
        silent: u32,
        /// Packets of one flow take several ways here.
        per_packet: bool,
        /// It limits its replies.
        rate_limited: bool,
        /// Its links to the next hop are meshed or uneven.
        meshed: bool,
        /// None: nothing answers.
        interfaces: Vec<TestInterface>,
        /// Interfaces that may be one router; that others are not is not said.
        aliases: Vec<TestAlias>,
    }
);

api_type!(
    /// Interfaces whose replies are numbered by one counter, as those of one router are.
    TestAlias {
        /// Two or more.
        addresses: Vec<String>,
        /// The probability that counters of their own look so: at most 0.01 for each two.
        chance: f64,
    }
);

api_type!(
    /// An interface of a hop.
    TestInterface {
        address: String,
        rtt_min_ms: f64,
        rtt_avg_ms: f64,
        rtt_max_ms: f64,
        /// It is the target.
        reached: bool,
        /// It says that packets go no further: the ICMP code.
        unreachable: Option<u8>,
        /// MPLS labels, outermost first.
        labels: Vec<u32>,
        /// Probes were rewritten before they came here (a NAT).
        rewritten: bool,
        /// The autonomous system that announces its address.
        system: Option<u32>,
        system_name: Option<String>,
        /// Two letters (ISO 3166-1).
        country: Option<String>,
        /// Where the operator's table says that its address is, such as `Frankfurt am Main, DE`.
        place: Option<String>,
        /// Degrees, north positive.
        latitude: Option<f64>,
        /// Degrees, east positive.
        longitude: Option<f64>,
        /// The interface's name, as it says.
        name: Option<String>,
    }
);

api_type!(
    /// A link between interfaces of hops that follow each other.
    TestLink {
        /// The TTL of its first end.
        ttl: u8,
        from: String,
        to: String,
    }
);

api_type!(
    /// A change against the trace before.
    TestPathChange {
        #[schema(value_type = String)]
        site: SiteId,
        target: String,
        protocol: String,
        at: Timestamp,
        /// `hops`, `length`, `as_path`, `reached`, `rtt`, `mtu`.
        changed: Vec<String>,
        added: Vec<String>,
        removed: Vec<String>,
        as_path: Option<String>,
        as_path_before: Option<String>,
        mtu: Option<u64>,
        mtu_before: Option<u64>,
    }
);
