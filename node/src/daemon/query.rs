//! Questions in SQL: the engines of this node's tenants, the way to the other nodes, and the parts of
//! questions that other nodes put.
//!
//! A part is asked over the calls of the mesh: `open` starts it, `next` takes the next piece and waits
//! a moment for it, `close` ends it. Who asks pulls, so nothing is sent that nobody takes, and a part
//! that nobody takes from any more ends by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use holm_mesh_link::PeerInfo;
use holm_model::{Millis, TenantId};
use holm_query::{
    Encoder, Engine, Part, Place, PoolLimits, QueryError, QueryLimits, QueryPool, Sites,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::state::NodeState;

/// The call that asks a node for its part of a question.
pub(super) const QUERY_METHOD: &str = "query";
/// Bytes of one piece: a call answers with less than 1 MiB.
const PIECE_BYTES: usize = 512 << 10;
/// Pieces that wait to be taken.
const MAX_PIECES: usize = 4;
/// How long a call waits for a piece before it says that there is none yet.
const WAIT: Duration = Duration::from_secs(1);
/// A part that nobody took from for so long is ended.
const IDLE: Duration = Duration::from_secs(20);
/// Parts that are worked on at once for other nodes, of one tenant and of all.
const MAX_PARTS_OF_TENANT: usize = 16;
const MAX_PARTS: usize = 48;
/// Questions that are worked on at once for one tenant's users here.
const MAX_QUESTIONS: usize = 4;
/// Bytes that a part may send at most, whatever is asked.
const MAX_PART_BYTES: u64 = 64 << 20;
const MAX_PART_TIME: Duration = Duration::from_secs(60);

/// What goes over the wire to [`QUERY_METHOD`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Call {
    /// Starts a part; the tenant by its name on the mesh. The answer is the part's id.
    Open { tenant: TenantId, part: Part },
    /// Takes a piece. The answer is [`MORE`] or [`END`], and the piece.
    Next { id: u64 },
    /// Ends a part.
    Close { id: u64 },
}

const END: u8 = 0;
const MORE: u8 = 1;

type Pieces = mpsc::Receiver<Result<Bytes, String>>;

/// A part that is worked on for another node.
struct Open {
    peer: String,
    tenant: TenantId,
    pieces: Arc<Mutex<Pieces>>,
    taken: Instant,
    work: tokio::task::AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// The engines of this node, made when somebody asks first.
#[derive(Default)]
pub(crate) struct Queries {
    pool: Mutex<Option<Arc<QueryPool>>>,
    engines: Mutex<BTreeMap<TenantId, Arc<Engine>>>,
    parts: Mutex<BTreeMap<u64, Open>>,
    places: Mutex<BTreeMap<TenantId, Arc<Semaphore>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queries {
    /// A place for a question of a tenant's user; `None` if as many are worked on as may be.
    pub(crate) fn place(&self, tenant: &TenantId) -> Option<OwnedSemaphorePermit> {
        let mut places = lock(&self.places);
        let places =
            places.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(MAX_QUESTIONS)));
        Arc::clone(places).try_acquire_owned().ok()
    }

    /// Questions in SQL that ended without an answer and are still worked on.
    pub(crate) fn stopping(&self) -> u64 {
        lock(&self.pool).as_ref().map_or(0, |pool| pool.stopping() as u64)
    }

    /// Ends what is worked on for a tenant that is gone.
    fn forget(&self, tenant: &TenantId) {
        lock(&self.engines).remove(tenant);
        lock(&self.parts).retain(|_, open| open.tenant != *tenant);
    }

    /// Makes room among the parts; the reason if there is none.
    fn admit(&self, tenant: &TenantId) -> Result<(), String> {
        let mut parts = lock(&self.parts);
        parts.retain(|_, open| open.taken.elapsed() < IDLE);
        let of_tenant = parts.values().filter(|open| open.tenant == *tenant).count();
        if parts.len() >= MAX_PARTS || of_tenant >= MAX_PARTS_OF_TENANT {
            return Err("it works on as many questions as it may; ask again later".to_owned());
        }
        Ok(())
    }
}

impl NodeState {
    /// The engine of a tenant that this node holds.
    pub(crate) fn engine(&self, tenant: &TenantId) -> Result<Arc<Engine>, QueryError> {
        let Some(held) = self.tenants.of(tenant) else {
            self.queries.forget(tenant);
            return Err(QueryError::Failed("the tenant is not held here".to_owned()));
        };
        if let Some(engine) = lock(&self.queries.engines).get(tenant) {
            return Ok(Arc::clone(engine));
        }
        let pool = {
            let mut pool = lock(&self.queries.pool);
            match &*pool {
                Some(pool) => Arc::clone(pool),
                None => {
                    let spill = self.layout.dir().join("run").join("spill");
                    let made = QueryPool::new(&spill, PoolLimits::default());
                    let made = made.map_err(|error| QueryError::Failed(error.to_string()))?;
                    Arc::clone(pool.insert(Arc::new(made)))
                }
            }
        };
        let site = self.config.node.site.clone();
        let store = Arc::clone(&held.rows.store);
        let engine = Arc::new(Engine::new(tenant.clone(), site, store, pool)?);
        lock(&self.queries.engines).insert(tenant.clone(), Arc::clone(&engine));
        Ok(engine)
    }

    /// This node, as questions name it.
    pub(crate) fn query_place(&self) -> Place {
        Place { site: self.config.node.site.clone(), node: self.config.node.name.clone() }
    }

    /// The way to the other nodes that hold a tenant.
    pub(crate) fn query_sites(self: &Arc<Self>, tenant: &TenantId) -> Arc<dyn Sites> {
        Arc::new(OverTheMesh { state: Arc::downgrade(self), label: self.label(tenant) })
    }

    /// Answers a call of another node. Called on a thread that may block.
    pub(super) fn answer_query(&self, peer: &PeerInfo, body: &[u8]) -> Result<Vec<u8>, String> {
        let call: Call = serde_json::from_slice(body)
            .map_err(|error| format!("the question is not understood: {error}"))?;
        let from = peer.spiffe_id.to_string();
        match call {
            Call::Open { tenant, part } => {
                let now = Millis::now();
                let tenant = self.roster.tenancy.may_query(&peer.site, &tenant, now)?;
                self.open_part(from, tenant, part)
            }
            Call::Next { id } => self.next_piece(&from, id),
            Call::Close { id } => {
                let mut parts = lock(&self.queries.parts);
                if parts.get(&id).is_some_and(|open| open.peer == from) {
                    parts.remove(&id);
                }
                Ok(Vec::new())
            }
        }
    }

    fn open_part(&self, peer: String, tenant: TenantId, part: Part) -> Result<Vec<u8>, String> {
        self.queries.admit(&tenant)?;
        let engine = self.engine(&tenant).map_err(|error| error.to_string())?;
        let (send, pieces) = mpsc::channel(MAX_PIECES);
        let work = tokio::spawn(answer_part(engine, part, send)).abort_handle();
        let id = rand::random();
        let pieces = Arc::new(Mutex::new(pieces));
        let open = Open { peer, tenant, pieces, taken: Instant::now(), work };
        lock(&self.queries.parts).insert(id, open);
        Ok(id.to_be_bytes().to_vec())
    }

    fn next_piece(&self, peer: &str, id: u64) -> Result<Vec<u8>, String> {
        let pieces = {
            let mut parts = lock(&self.queries.parts);
            let open = parts.get_mut(&id).filter(|open| open.peer == peer);
            let open = open.ok_or("the question was ended")?;
            open.taken = Instant::now();
            Arc::clone(&open.pieces)
        };
        let next = {
            let mut pieces = lock(&pieces);
            let waited = tokio::time::timeout(WAIT, pieces.recv());
            tokio::runtime::Handle::current().block_on(waited)
        };
        match next {
            Err(_) => Ok(vec![MORE]),
            Ok(Some(Ok(piece))) => Ok([&[MORE], &piece[..]].concat()),
            Ok(Some(Err(error))) => {
                lock(&self.queries.parts).remove(&id);
                Err(error)
            }
            Ok(None) => {
                lock(&self.queries.parts).remove(&id);
                Ok(vec![END])
            }
        }
    }
}

/// Works on a part and sends it in pieces.
async fn answer_part(engine: Arc<Engine>, part: Part, send: mpsc::Sender<Result<Bytes, String>>) {
    let limits = QueryLimits {
        bytes: usize::try_from(part.bytes.min(MAX_PART_BYTES)).unwrap_or(usize::MAX),
        time: Duration::from_millis(part.time_ms).min(MAX_PART_TIME),
        ..QueryLimits::default()
    };
    let encoder: Arc<Mutex<Option<Encoder>>> = Arc::default();
    let forward = {
        let (encoder, send) = (Arc::clone(&encoder), send.clone());
        move |batch: holm_query::RecordBatch| {
            let bytes = {
                let mut encoder = lock(&encoder);
                if encoder.is_none() {
                    *encoder = Encoder::new(batch.schema_ref()).ok();
                }
                encoder.as_mut().and_then(|encoder| encoder.batch(&batch).ok())
            };
            let send = send.clone();
            async move {
                match bytes {
                    Some(bytes) => in_pieces(&send, bytes).await,
                    None => false,
                }
            }
        }
    };
    let outcome = engine.answer_part(&part, limits, forward).await;
    let end = outcome.and_then(|schema| {
        let failed = |error: holm_query::ArrowError| QueryError::Failed(error.to_string());
        let encoder = match lock(&encoder).take() {
            Some(encoder) => encoder,
            None => Encoder::new(&schema).map_err(failed)?,
        };
        encoder.finish().map_err(failed)
    });
    match end {
        Ok(bytes) => {
            in_pieces(&send, bytes).await;
        }
        // Who asked may be gone.
        Err(error) => drop(send.send(Err(error.to_string())).await),
    }
}

async fn in_pieces(send: &mpsc::Sender<Result<Bytes, String>>, bytes: Vec<u8>) -> bool {
    let mut bytes = Bytes::from(bytes);
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
        if send.send(Ok(piece)).await.is_err() {
            return false;
        }
    }
    true
}

/// Asks the other nodes by calls over the mesh.
struct OverTheMesh {
    state: Weak<NodeState>,
    /// The tenant's name on the mesh; `None` while it was not made there.
    label: Option<TenantId>,
}

impl Sites for OverTheMesh {
    fn known(&self) -> Vec<(Place, Result<(), String>)> {
        let (Some(state), Some(label)) = (self.state.upgrade(), &self.label) else {
            return Vec::new();
        };
        let Some(mesh) = state.mesh() else { return Vec::new() };
        let (own, now) = (state.query_place(), Millis::now());
        let members = mesh.status().members.into_iter();
        members
            .map(|member| (Place { site: member.site, node: member.node }, member.connected))
            .filter(|(place, _)| *place != own)
            .filter(|(place, _)| state.roster.tenancy.may_replicate(&place.site, label, now))
            .map(|(place, connected)| {
                (place, connected.then_some(()).ok_or("it is not connected".to_owned()))
            })
            .collect()
    }

    fn ask(&self, place: &Place, part: Part) -> BoxStream<'static, Result<Bytes, String>> {
        let Some(label) = self.label.clone() else {
            return stream::iter([Err("the tenant was not made in this mesh".to_owned())]).boxed();
        };
        let asking = AskedPart { state: self.state.clone(), place: place.clone(), id: None };
        let start = Some((asking, Some(Call::Open { tenant: label, part })));
        stream::unfold(start, |step| async move {
            let (mut asking, open) = step?;
            if let Some(open) = open {
                let opened = match asking.call(&open).await {
                    Err(error) => match for_older(&open, &error) {
                        Some(open) => asking.call(&open).await,
                        None => Err(error),
                    },
                    opened => opened,
                };
                match opened.map(|id| <[u8; 8]>::try_from(id.as_slice())) {
                    Ok(Ok(id)) => asking.id = Some(u64::from_be_bytes(id)),
                    Ok(Err(_)) => return Some((Err("its answer is not understood".into()), None)),
                    Err(error) => return Some((Err(error), None)),
                }
            }
            let id = asking.id?;
            loop {
                match asking.call(&Call::Next { id }).await {
                    Ok(piece) => match piece.split_first() {
                        Some((&MORE, [])) => {}
                        Some((&MORE, piece)) => {
                            let piece = Bytes::copy_from_slice(piece);
                            return Some((Ok(piece), Some((asking, None))));
                        }
                        _ => {
                            asking.id = None;
                            return None;
                        }
                    },
                    Err(error) => {
                        asking.id = None;
                        return Some((Err(error), None));
                    }
                }
            }
        })
        .boxed()
    }
}

/// The call as nodes understand it that do not know of columns that came later, if that is why one refused
/// it: it then answers with the columns that it has.
fn for_older(call: &Call, refusal: &str) -> Option<Call> {
    let Call::Open { tenant, part } = call else { return None };
    let unknown = !part.tables.is_empty() && refusal.contains("unknown field `tables`");
    let part = || Part { tables: Default::default(), ..part.clone() };
    unknown.then(|| Call::Open { tenant: tenant.clone(), part: part() })
}

/// A part that another node works on; it is told when nobody waits for it any more.
struct AskedPart {
    state: Weak<NodeState>,
    place: Place,
    id: Option<u64>,
}

impl AskedPart {
    async fn call(&self, call: &Call) -> Result<Vec<u8>, String> {
        let state = self.state.upgrade().ok_or("this node is about to stop")?;
        let mesh = state.mesh().ok_or("the mesh does not run")?;
        let body = serde_json::to_vec(call).map_err(|error| error.to_string())?;
        let answer = mesh.request_node(&self.place.site, &self.place.node, QUERY_METHOD, body);
        answer.await.map_err(|error| error.to_string())
    }
}

impl Drop for AskedPart {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let rest = Self { state: self.state.clone(), place: self.place.clone(), id: None };
        // If it does not arrive the other node ends the part by itself.
        runtime.spawn(async move { rest.call(&Call::Close { id }).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The call as nodes had it before parts told their columns.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum OlderCall {
        Open { tenant: TenantId, part: OlderPart },
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct OlderPart {
        sql: String,
        time_ms: u64,
        bytes: u64,
    }

    #[test]
    fn an_older_node_is_asked_as_it_understands() {
        let tables = [("flows".to_owned(), [("n".to_owned(), "UInt64".to_owned())].into())].into();
        let part = Part { sql: "SELECT 1".to_owned(), time_ms: 2, bytes: 3, tables };
        let call = Call::Open { tenant: "acme".parse().expect("valid"), part };
        let read = |call: &Call| {
            serde_json::from_slice::<OlderCall>(&serde_json::to_vec(call).expect("JSON"))
                .map_err(|error| format!("the question is not understood: {error}"))
        };
        let refusal = read(&call).expect_err("it does not know of columns");
        let call = for_older(&call, &refusal).expect("another way to ask");
        let OlderCall::Open { tenant, part } = read(&call).expect("understood");
        assert_eq!((tenant.as_str(), part.sql.as_str()), ("acme", "SELECT 1"));
        assert_eq!((part.time_ms, part.bytes), (2, 3));
        // Any other refusal is one.
        assert!(for_older(&call, &refusal).is_none());
        assert!(for_older(&call, "no right to ask").is_none());
    }
}
