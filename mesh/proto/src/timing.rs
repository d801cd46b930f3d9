//! How often things happen.

/// Intervals and bounds of the protocol, all in milliseconds. The default suits sites that are up to
/// 300 ms apart; tests take [`Timing::quick`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Longest time between two [`crate::Event::Tick`]s that the driver promises. What waits for a
    /// tick (batches of hint ids and leases) waits at most this long.
    pub tick_ms: u64,
    /// A random member is probed this often. Must be above twice [`Timing::probe_rtt_ms`].
    pub probe_period_ms: u64,
    /// How long a direct probe may take: a high quantile of the round trip.
    pub probe_rtt_ms: u64,
    /// How long a suspected member may defend itself before it counts as down.
    pub suspect_to_down_ms: u64,
    /// Each connected peer is pinged this often (round trip, clock).
    pub ping_ms: u64,
    /// A connected peer from which nothing came for this long is disconnected.
    pub silence_ms: u64,
    /// Each tenant is reconciled with each connected peer this often, ±25 %.
    pub sync_ms: u64,
    /// First wait after a failed dial; doubles up to [`Timing::dial_max_ms`], ±25 %.
    pub dial_min_ms: u64,
    /// Longest wait between two dials of a peer that is down: it is probed for ever.
    pub dial_max_ms: u64,
    /// How long to wait for a hint of which only the id is known before asking for it.
    pub graft_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            tick_ms: 100,
            probe_period_ms: 1_500,
            probe_rtt_ms: 500,
            suspect_to_down_ms: 4_000,
            ping_ms: 2_000,
            silence_ms: 8_000,
            sync_ms: 5_000,
            dial_min_ms: 500,
            dial_max_ms: 60_000,
            graft_ms: 100,
        }
    }
}

impl Timing {
    /// About ten times as quick: for tests and for demonstrations on one machine.
    pub const fn quick() -> Self {
        Self {
            tick_ms: 20,
            probe_period_ms: 300,
            probe_rtt_ms: 100,
            suspect_to_down_ms: 600,
            ping_ms: 250,
            silence_ms: 1_500,
            sync_ms: 500,
            dial_min_ms: 50,
            dial_max_ms: 500,
            graft_ms: 60,
        }
    }
}
