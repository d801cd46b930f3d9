//! How much the way to another node carries, on request: bytes over the calls of the mesh, within a budget of this run
//! and of the hour that holds at both ends.
//!
//! Who asks opens a run, puts pieces or gets them, and closes it; the other node refuses what is beyond what it was
//! opened for. A run that nobody closes ends with its time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use holm_active::{Allowance, PIECE_BYTES, Pace, Throughput};
use holm_mesh_link::PeerInfo;
use holm_model::{Millis, NodeName, Row, SiteId, TenantId};
use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::state::NodeState;
use super::tenant::Tenant;

/// The call of a run.
pub(super) const THROUGHPUT_METHOD: &str = "throughput";
/// How its results are told from those of probes, in the column `probe`.
pub(crate) const THROUGHPUT_PROBE: &str = "throughput";
/// Most bytes of one run, each way.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
/// A run takes no longer, each way.
pub(crate) const LONGEST: Duration = Duration::from_secs(20);
/// The end of a run is waited for so long.
const LAST: Duration = Duration::from_secs(5);

/// First byte of a call: what it is.
const OPEN: u8 = 0;
const PUT: u8 = 1;
const GET: u8 = 2;
const CLOSE: u8 = 3;
/// Bytes of a run's id, which follows in all but [`OPEN`].
const ID: usize = 8;

/// What follows [`OPEN`], as JSON: the tenant by its name on the mesh. The answer is the run's id.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    tenant: TenantId,
    bytes: u64,
    ms: u64,
}

/// Which way the bytes go, as seen from who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// A run for another node.
#[derive(Debug)]
struct Served {
    id: u64,
    peer: String,
    until: Instant,
    left: u64,
    used: u64,
}

/// What this node takes part in.
#[derive(Debug)]
pub(crate) struct Runs {
    begun: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    allowance: Allowance,
    served: Option<Served>,
}

/// A run of this node's own; it ends when this goes.
struct Own<'a> {
    runs: &'a Runs,
    used: u64,
}

impl Drop for Own<'_> {
    fn drop(&mut self) {
        self.runs.lock().allowance.end(self.used);
    }
}

impl Runs {
    pub(super) fn new(bytes_per_hour: u64) -> Self {
        let kept = Kept { allowance: Allowance::new(bytes_per_hour), served: None };
        Self { begun: Instant::now(), kept: Mutex::new(kept) }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, bytes: u64) -> Result<Own<'_>, String> {
        let mut kept = self.lock();
        kept.end_overdue();
        kept.allowance.begin(bytes, self.begun.elapsed())?;
        Ok(Own { runs: self, used: 0 })
    }

    /// Answers one call of `peer`; `may` is asked before a run is opened.
    fn answer(
        &self,
        peer: &str,
        call: &[u8],
        may: impl FnOnce(&TenantId) -> Result<(), String>,
    ) -> Result<Vec<u8>, String> {
        const NOT_UNDERSTOOD: &str = "the call is not understood";
        let (what, rest) = call.split_first().ok_or(NOT_UNDERSTOOD)?;
        if *what == OPEN {
            let open: Open = serde_json::from_slice(rest)
                .map_err(|error| format!("{NOT_UNDERSTOOD}: {error}"))?;
            may(&open.tenant)?;
            return self.open(peer, &open);
        }
        let (id, rest) = rest.split_at_checked(ID).ok_or(NOT_UNDERSTOOD)?;
        let id = u64::from_be_bytes(id.try_into().map_err(|_| NOT_UNDERSTOOD)?);
        let mut kept = self.lock();
        kept.end_overdue();
        let served = kept.served.as_mut().filter(|run| run.id == id && run.peer == peer);
        let served = served.ok_or("the run is over")?;
        match *what {
            PUT => served.take(rest.len() as u64).map(|()| Vec::new()),
            GET => {
                let bytes = rest.try_into().map(u32::from_be_bytes).map_err(|_| NOT_UNDERSTOOD)?;
                let bytes = (bytes as usize).min(PIECE_BYTES);
                served.take(bytes as u64)?;
                drop(kept);
                Ok(filler(bytes))
            }
            CLOSE => {
                kept.end();
                Ok(Vec::new())
            }
            _ => Err(NOT_UNDERSTOOD.to_owned()),
        }
    }

    fn open(&self, peer: &str, open: &Open) -> Result<Vec<u8>, String> {
        if open.bytes > MAX_BYTES {
            return Err(format!("a run is of at most {MAX_BYTES} bytes"));
        }
        let mut kept = self.lock();
        kept.end_overdue();
        kept.allowance.begin(open.bytes, self.begun.elapsed())?;
        let id = rand::random();
        let until = Instant::now() + Duration::from_millis(open.ms).min(LONGEST) + LAST;
        let peer = peer.to_owned();
        kept.served = Some(Served { id, peer, until, left: open.bytes, used: 0 });
        Ok(id.to_be_bytes().to_vec())
    }
}

impl Kept {
    fn end(&mut self) {
        if let Some(run) = self.served.take() {
            self.allowance.end(run.used);
        }
    }

    fn end_overdue(&mut self) {
        if self.served.as_ref().is_some_and(|run| Instant::now() >= run.until) {
            self.end();
        }
    }
}

impl Served {
    fn take(&mut self, bytes: u64) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or("the run has no bytes left")?;
        self.used += bytes;
        Ok(())
    }
}

/// Bytes that nothing on the way makes less.
fn filler(bytes: usize) -> Vec<u8> {
    let mut filler = vec![0; bytes];
    rand::fill(&mut filler[..]);
    filler
}

/// A run that another node was asked for.
struct Asked {
    state: Arc<NodeState>,
    site: SiteId,
    node: NodeName,
}

impl Asked {
    async fn call(&self, parts: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mesh = self.state.mesh().ok_or("the mesh does not run here")?;
        let answer = mesh.request_node(&self.site, &self.node, THROUGHPUT_METHOD, parts.concat());
        answer.await.map_err(|error| error.to_string())
    }

    /// Moves up to `bytes` for up to `limit`; what was sent or asked for is added to `used`.
    async fn run(
        &self,
        id: &[u8],
        direction: Direction,
        (bytes, limit): (u64, Duration),
        used: &mut u64,
    ) -> Result<Throughput, String> {
        let filler = filler(PIECE_BYTES);
        let (begun, mut pace, mut left) = (Instant::now(), Pace::default(), bytes);
        let mut under_way = FuturesUnordered::new();
        loop {
            while left > 0 && begun.elapsed() < limit && pace.may_send(under_way.len()) {
                let piece = left.min(PIECE_BYTES as u64) as usize;
                left -= piece as u64;
                *used += piece as u64;
                let filler = &filler;
                under_way.push(async move {
                    let sent = Instant::now();
                    let done = match direction {
                        Direction::Up => self.call(&[&[PUT], id, &filler[..piece]]).await,
                        Direction::Down => {
                            self.call(&[&[GET], id, &(piece as u32).to_be_bytes()]).await
                        }
                    };
                    done.map(|_| (piece as u64, sent.elapsed()))
                });
            }
            let left_of_time = (limit + LAST).saturating_sub(begun.elapsed());
            match tokio::time::timeout(left_of_time, under_way.next()).await {
                Ok(Some(Ok((bytes, took)))) => pace.through(bytes, took, begun.elapsed()),
                Ok(Some(Err(error))) => return Err(error),
                // What is still under way is not counted.
                Ok(None) | Err(_) => break,
            }
        }
        pace.result().ok_or_else(|| "nothing was through in time".to_owned())
    }
}

impl NodeState {
    /// Measures what the way to `node` of `site` carries, in one direction, and keeps it as a row of `active_results`.
    pub(crate) async fn measure_throughput(
        self: &Arc<Self>,
        tenant: &Arc<Tenant>,
        (site, node): (&SiteId, &NodeName),
        direction: Direction,
        (bytes, limit): (u64, Duration),
    ) -> Result<Throughput, String> {
        let label = self.label(&tenant.id).ok_or("the tenant was not made in this mesh")?;
        let mut own = self.throughput.begin(bytes)?;
        let asked = Asked { state: Arc::clone(self), site: site.clone(), node: node.clone() };
        let ms = limit.as_millis() as u64;
        let open = serde_json::to_vec(&Open { tenant: label, bytes, ms });
        let open = open.map_err(|error| error.to_string())?;
        let id = asked.call(&[&[OPEN], &open]).await?;
        let found = asked.run(&id, direction, (bytes, limit), &mut own.used).await;
        // If it does not arrive the other node ends the run by itself.
        drop(tokio::time::timeout(LAST, asked.call(&[&[CLOSE], &id])).await);
        let rows = Rows { tenant: Arc::clone(tenant), changes: self.changes.clone() };
        holm_plane::RowSink::append(&rows, row(site, direction, &found));
        found
    }

    /// Bytes that runs may send here within the hour.
    pub(crate) fn throughput_left(&self) -> u64 {
        let runs = &self.throughput;
        runs.lock().allowance.left(runs.begun.elapsed())
    }

    /// Answers a call of another node.
    pub(super) fn answer_throughput(
        &self,
        peer: &PeerInfo,
        call: &[u8],
    ) -> Result<Vec<u8>, String> {
        let may = |tenant: &TenantId| {
            let held = self.roster.tenancy.may_query(&peer.site, tenant, Millis::now())?;
            self.tenants.of(&held).map(drop).ok_or_else(|| "the tenant is not held here".to_owned())
        };
        self.throughput.answer(&peer.spiffe_id.to_string(), call, may)
    }
}

fn row(site: &SiteId, direction: Direction, found: &Result<Throughput, String>) -> Row {
    let row = Row::new("active_results", Millis::now())
        .with("probe", THROUGHPUT_PROBE)
        .with("target", site.as_str())
        .with("probed", site.as_str())
        .with("kind", "once")
        .with("peer.site", site.as_str())
        .with("success", found.is_ok())
        .with_some("error", found.as_ref().err().cloned())
        .with("throughput.direction", direction.as_str());
    match found {
        Err(_) => row,
        Ok(found) => row
            .with("throughput.ms", found.ms)
            .with("throughput.bytes", found.bytes as f64)
            .with("throughput.mbit_s", found.mbit_s)
            .with("throughput.best_mbit_s", found.best_mbit_s),
    }
}

impl Direction {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(runs: &Runs, peer: &str, bytes: u64, ms: u64) -> Result<Vec<u8>, String> {
        let tenant = "acme".parse().expect("valid");
        let open = serde_json::to_vec(&Open { tenant, bytes, ms }).expect("JSON");
        runs.answer(peer, &[&[OPEN], &open[..]].concat(), |_| Ok(()))
    }

    fn call(runs: &Runs, peer: &str, parts: &[&[u8]]) -> Result<Vec<u8>, String> {
        runs.answer(peer, &parts.concat(), |_| panic!("nothing is opened"))
    }

    #[test]
    fn a_run_takes_what_it_was_opened_for_and_from_nobody_else() {
        let runs = Runs::new(10_000);
        let id = open(&runs, "a", 1_000, 1_000).expect("there is room");
        assert!(open(&runs, "b", 1, 1).expect_err("one at a time").contains("goes on"));
        call(&runs, "a", &[&[PUT], &id, &[7; 600]]).expect("within");
        assert!(call(&runs, "b", &[&[PUT], &id, &[7; 1]]).is_err(), "another's run");
        assert!(
            call(&runs, "a", &[&[PUT], &id, &[7; 401]]).expect_err("beyond").contains("no bytes")
        );
        let got = call(&runs, "a", &[&[GET], &id, &100_u32.to_be_bytes()]).expect("within");
        assert_eq!(got.len(), 100);
        call(&runs, "a", &[&[CLOSE], &id]).expect("closed");
        assert!(call(&runs, "a", &[&[GET], &id, &1_u32.to_be_bytes()]).is_err(), "it is over");
        assert_eq!(runs.lock().allowance.left(runs.begun.elapsed()), 9_300, "what was sent counts");
        let mine = runs.begin(9_300).expect("there is room");
        assert!(open(&runs, "a", 0, 1).is_err(), "this node's own goes on");
        drop(mine);
        assert!(open(&runs, "a", MAX_BYTES + 1, 1).expect_err("too much").contains("at most"));
        let refused = runs.answer(
            "a",
            &[&[OPEN], &br#"{"tenant":"x","bytes":1,"ms":1}"#[..]].concat(),
            |_| Err("not yours".to_owned()),
        );
        assert_eq!(refused, Err("not yours".to_owned()));
    }

    #[test]
    fn a_run_that_nobody_closes_ends_with_its_time() {
        let runs = Runs::new(1_000);
        let id = open(&runs, "a", 1_000, 0).expect("there is room");
        let past = Instant::now().checked_sub(Duration::from_secs(1)).expect("an hour of uptime");
        if let Some(run) = &mut runs.lock().served {
            run.until = past;
        }
        assert!(call(&runs, "a", &[&[PUT], &id, &[1]]).is_err());
        open(&runs, "b", 1_000, 1).expect("the first held nothing back");
    }

    #[test]
    fn no_call_panics_or_takes_too_much() {
        use rand::{RngExt, SeedableRng};
        for seed in 0..200 {
            let mut random = rand::rngs::StdRng::seed_from_u64(seed);
            let runs = Runs::new(5_000);
            let id = open(&runs, "a", 100, 1_000).expect("there is room");
            for _ in 0..20 {
                let mut call = vec![0; random.random_range(0..40)];
                random.fill(&mut call[..]);
                let _ = runs.answer("a", &call, |_| Ok(()));
                let what = random.random_range(PUT..=GET);
                let _ = runs.answer("a", &[&[what], &id[..], &call].concat(), |_| Ok(()));
            }
            assert!(runs.lock().served.as_ref().is_some_and(|run| run.used <= 100), "{seed}");
        }
    }
}
