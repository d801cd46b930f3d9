//! The two loops: events of the kernel program, or listings.

use std::os::fd::AsFd;
use std::time::Duration;

use holm_model::Millis;
use holm_plane::{PlaneContext, PlaneError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::capability::{Lack, Scope};
use crate::config::Config;
use crate::kernel::Kernel;
use crate::listing::{Lister, Listing, ListingError};
use crate::seen::Source;
use crate::sys;
use crate::tracker::Tracker;

/// Events taken before other tasks get their turn.
const BATCH: usize = 1_024;
/// Between two listings beside the kernel program: they close what a lost event left open.
const COMPARE_EVERY: Duration = Duration::from_secs(30);

/// Observes with the kernel program until `shutdown`.
pub(crate) async fn kernel(
    mut kernel: Kernel,
    mut tracker: Tracker,
    config: &Config,
    scope: Scope,
    context: &PlaneContext,
    shutdown: &CancellationToken,
) -> Result<(), PlaneError> {
    let cannot_wait = |e: std::io::Error| PlaneError(format!("cannot wait for kernel events: {e}"));
    let ring = kernel.as_fd().try_clone_to_owned().map_err(cannot_wait)?;
    let ring = sys::readable(ring).map_err(cannot_wait)?;
    tracker.set_own_addresses(own_addresses());
    // What was there before is listed once; events of meanwhile wait in the ring.
    let mut lists = Lists::new(scope);
    lists.start();
    let listing = lists.finished().await?;
    compare(listing, &mut tracker, context, true, Source::Listing);
    let which = if scope.every { "all network namespaces" } else { "own network namespace" };
    let method = format!("ebpf tracepoint sock:inet_sock_set_state, {which}");
    if kernel.gaps().is_empty() {
        context.health.running(&method);
    } else {
        let reason = format!("the kernel's type information lacks: {}", kernel.gaps().join(", "));
        context.health.degraded(
            &method,
            &reason,
            "use Linux 5.8 or later with CONFIG_DEBUG_INFO_BTF",
        );
    }
    let mut losses = Losses::default();
    let mut ticks = ticks(config);
    let mut compare_at = Instant::now() + COMPARE_EVERY;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ready = ring.readable() => {
                let mut ready = ready.map_err(cannot_wait)?;
                if losses.drain(&mut kernel, &mut tracker) < BATCH {
                    ready.clear_ready();
                } else {
                    tokio::task::yield_now().await;
                }
            }
            _ = ticks.tick() => {
                losses.drain(&mut kernel, &mut tracker);
                tracker.refresh(Millis::now());
                tracker.report(&context.health);
                losses.report(&kernel, context);
                if Instant::now() >= compare_at {
                    compare_at = Instant::now() + COMPARE_EVERY;
                    tracker.set_own_addresses(own_addresses());
                    lists.start();
                }
            }
            listing = lists.finished() => {
                // Events of before the listing first: a close among them knows the bytes.
                while losses.drain(&mut kernel, &mut tracker) == BATCH {}
                let lost = losses.since_last_asked();
                compare(listing?, &mut tracker, context, lost, Source::Listing);
            }
        }
    }
}

/// Observes by periodic listings until `shutdown`; `lack` is why nothing better is done.
pub(crate) async fn listings(
    mut tracker: Tracker,
    config: &Config,
    scope: Scope,
    lack: &Lack,
    context: &PlaneContext,
    shutdown: &CancellationToken,
) -> Result<(), PlaneError> {
    let every = config.poll_interval;
    let reason = format!(
        "{}: connections shorter than {every:?} can be missed, no byte counts on close, \
         own network namespace only",
        lack.reason
    );
    let mut lists = Lists::new(Scope { every: false, ..scope });
    let mut polls = interval(every);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = ticks(config);
    let mut source = Source::Listing;
    tracker.set_own_addresses(own_addresses());
    let mut look_at = Instant::now() + COMPARE_EVERY;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = polls.tick() => lists.start(),
            _ = ticks.tick() => {
                if Instant::now() >= look_at {
                    look_at = Instant::now() + COMPARE_EVERY;
                    tracker.set_own_addresses(own_addresses());
                }
                tracker.refresh(Millis::now());
                tracker.report(&context.health);
            }
            listing = lists.finished() => {
                let listing = listing?;
                if let Ok(listing) = &listing {
                    let method = format!("{}, every {every:?}", listing.method);
                    context.health.degraded(&method, &reason, &lack.remedy);
                }
                compare(listing, &mut tracker, context, true, source);
                source = Source::Sample;
            }
        }
    }
}

fn compare(
    listing: Result<Listing, ListingError>,
    tracker: &mut Tracker,
    context: &PlaneContext,
    add: bool,
    source: Source,
) {
    match listing {
        Ok(listing) => {
            context.health.count("listings", 1);
            context.health.count("listing_sockets_cut_off", listing.cut_off);
            tracker.compare(&listing, add, source);
        }
        Err(error) => {
            context.health.count("listings_failed", 1);
            tracing::warn!(%error, "host: sockets could not be listed");
        }
    }
}

/// Listings, one at a time, off the async threads.
struct Lists {
    idle: Option<Lister>,
    busy: Option<JoinHandle<(Lister, Result<Listing, ListingError>)>>,
}

impl Lists {
    fn new(scope: Scope) -> Self {
        Self { idle: Some(Lister::new(scope.own_netns, scope.every)), busy: None }
    }

    /// Starts one, unless one is under way.
    fn start(&mut self) {
        if let Some(mut lister) = self.idle.take() {
            self.busy = Some(tokio::task::spawn_blocking(move || {
                let listing = lister.list();
                (lister, listing)
            }));
        }
    }

    /// Waits for the one under way; for ever if there is none. May be dropped and called again.
    async fn finished(&mut self) -> Result<Result<Listing, ListingError>, PlaneError> {
        let Some(busy) = self.busy.as_mut() else { return std::future::pending().await };
        let finished = busy.await;
        self.busy = None;
        let (lister, listing) =
            finished.map_err(|e| PlaneError(format!("the listing of sockets broke off: {e}")))?;
        self.idle = Some(lister);
        Ok(listing)
    }
}

/// Events that did not reach the tracker.
#[derive(Default)]
struct Losses {
    unreadable: u64,
    total: u64,
    asked: u64,
}

impl Losses {
    /// Hands a batch of events to `tracker`; how many there were.
    fn drain(&mut self, kernel: &mut Kernel, tracker: &mut Tracker) -> usize {
        let (drained, unreadable) = kernel.drain(BATCH, |seen| tracker.take(seen));
        self.unreadable += unreadable;
        tracker.write_rows();
        drained
    }

    fn report(&mut self, kernel: &Kernel, context: &PlaneContext) {
        self.total = self.unreadable;
        for (name, value) in kernel.counters() {
            context.health.set_counter(name, value);
            if name == "kernel_dropped_ring_full" {
                self.total += value;
            }
        }
        context.health.set_counter("events_unreadable", self.unreadable);
    }

    /// Whether any were lost since this was last asked.
    fn since_last_asked(&mut self) -> bool {
        let before = std::mem::replace(&mut self.asked, self.total);
        self.total > before
    }
}

/// Every second, or more often where edges are held for only a few.
fn ticks(config: &Config) -> Interval {
    let mut ticks = interval((config.hold / 4).min(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn own_addresses() -> Vec<std::net::IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.ip()).collect()
}
