//! The engine of one tenant at one site: SQL over that tenant's tables, and nothing else in sight.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::config::SpillCompression;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, LogicalPlan};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;
use holm_events::{EventStore, SITE};
use holm_model::{Millis, SiteId, TenantId};

use crate::allowance::Allowance;
use crate::bounds::bounded;
use crate::crews::Crews;
use crate::error::QueryError;
use crate::gate::admit;
use crate::local::{LocalTable, Missing, STORE, with_site};
use crate::objects::Objects;
use crate::sites::{Columns, Part};
use crate::stop::{Stop, StopOnDrop, StopsWhenTold};
use crate::sum::Ended;
use crate::wire::MISSING;

/// Bounds of all questions at a node together.
#[derive(Debug, Clone)]
pub struct PoolLimits {
    /// Bytes of memory that all questions may hold; what sorts and groups need beyond is spilled.
    pub memory_bytes: usize,
    /// Bytes on disk that all questions may spill.
    pub spill_bytes: u64,
    /// Threads that work on questions.
    pub threads: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { memory_bytes: 192 << 20, spill_bytes: 2 << 30, threads: cores.min(8) }
    }
}

/// What the questions of all tenants share: memory, and crews of threads, one a question, so that none
/// holds up the node or another question.
pub struct QueryPool {
    memory: Arc<dyn MemoryPool>,
    limits: PoolLimits,
    spill: std::path::PathBuf,
    crews: Crews,
}

impl std::fmt::Debug for QueryPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryPool").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl QueryPool {
    /// A pool that spills into `spill`, which it empties first.
    ///
    /// # Errors
    /// The folder or the threads cannot be made.
    pub fn new(spill: &Path, limits: PoolLimits) -> std::io::Result<Self> {
        match std::fs::remove_dir_all(spill) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
            .create(spill)?;
        Ok(Self {
            memory: Arc::new(GreedyMemoryPool::new(limits.memory_bytes)),
            crews: Crews::new(limits.threads),
            limits,
            spill: spill.into(),
        })
    }

    /// Bytes that questions hold now.
    pub fn reserved_bytes(&self) -> usize {
        self.memory.reserved()
    }

    /// Questions that ended without an answer and are still worked on: they do not stop to be stopped.
    pub fn stopping(&self) -> usize {
        self.crews.stopping()
    }
}

/// Bounds of one question.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    /// Most rows of an answer; more are cut and the answer says so.
    pub rows: usize,
    /// Most bytes of an answer in memory, and of what one site sends for it.
    pub bytes: usize,
    /// Longest time.
    pub time: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { rows: 10_000, bytes: 64 << 20, time: Duration::from_secs(30) }
    }
}

/// Answers the questions of one tenant from what this site has of it.
pub struct Engine {
    pub(crate) tenant: TenantId,
    pub(crate) site: SiteId,
    store: Arc<EventStore>,
    pub(crate) pool: Arc<QueryPool>,
    environment: Arc<RuntimeEnv>,
    objects: Arc<Objects>,
    /// Questions that ended without an answer and are still worked on.
    stopping: Arc<AtomicUsize>,
    /// What its questions may gather, on a clock in milliseconds since it began.
    allowance: Mutex<Allowance>,
    begun: Instant,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("tenant", &self.tenant).field("site", &self.site).finish()
    }
}

/// What a site answers, and what of its rows is not in it.
pub(crate) struct Streamed {
    pub(crate) stream: SendableRecordBatchStream,
    pub(crate) missing: Option<String>,
}

/// The schema of what a site sends, which says what is missing.
fn told(schema: &SchemaRef, missing: Option<&str>) -> SchemaRef {
    let told = missing.map(|text| (MISSING.to_owned(), text.to_owned()));
    Arc::new(schema.as_ref().clone().with_metadata(told.into_iter().collect()))
}

/// Tables by name, as one question sees them.
pub(crate) type Tables = BTreeMap<String, Arc<dyn TableProvider>>;

impl Engine {
    /// The engine of `tenant`, whose events of `site` are in `store`.
    ///
    /// # Errors
    /// [`QueryError::Failed`]
    pub fn new(
        tenant: TenantId,
        site: SiteId,
        store: Arc<EventStore>,
        pool: Arc<QueryPool>,
    ) -> Result<Self, QueryError> {
        let objects = Arc::new(Objects::default());
        let spill = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![pool.spill.clone()]))
            .with_max_temp_directory_size(pool.limits.spill_bytes);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::clone(&pool.memory))
            .with_disk_manager_builder(spill)
            .with_metadata_cache_limit(16 << 20)
            .build_arc()?;
        // It knows no other store: not even the local file system.
        let url = ObjectStoreUrl::parse(STORE)?;
        let _ = environment.deregister_object_store(ObjectStoreUrl::local_filesystem().as_ref());
        environment.register_object_store(url.as_ref(), Arc::clone(&objects) as Arc<_>);
        let stopping = Arc::default();
        let (allowance, begun) = (Mutex::default(), Instant::now());
        Ok(Self { tenant, site, store, pool, environment, objects, stopping, allowance, begun })
    }

    /// The tables that can be asked: names and columns, the site's included.
    pub fn tables(&self) -> BTreeMap<String, SchemaRef> {
        let tables = self.store.tables();
        tables.iter().map(|table| (table.name().to_owned(), with_site(table.schema()))).collect()
    }

    /// The columns of the tables that `sql` may be about, as other sites are told of them.
    pub(crate) fn columns_in(&self, sql: &str) -> Columns {
        let tables = self.store.tables();
        let named = tables.iter().filter(|table| sql.contains(table.name()));
        let columns = named.map(|table| {
            let fields = table.schema().fields().iter();
            let fields = fields.map(|f| (f.name().clone(), f.data_type().to_string()));
            (table.name().to_owned(), fields.collect())
        });
        columns.collect()
    }

    /// The tables of this site as they are now. A scan notes in `missing` what it goes without.
    pub(crate) fn local_tables(&self, missing: &Missing) -> Tables {
        let mut tables = Tables::new();
        for table in self.store.tables() {
            if let Some(snapshot) = self.store.snapshot(table.name()) {
                let objects = Arc::clone(&self.objects);
                let missing = Arc::clone(missing);
                let local = LocalTable::new(self.site.clone(), snapshot, objects, missing);
                tables.insert(table.name().to_owned(), Arc::new(local));
            }
        }
        tables
    }

    /// A session that sees `tables` and nothing else, for a question of that moment. Sums that do not fit tell `ended`; its
    /// plans end when `stop` is set.
    pub(crate) fn session(
        &self,
        tables: &Tables,
        at: Millis,
        ended: &Ended,
        stop: &Stop,
    ) -> Result<SessionState, QueryError> {
        let schema = MemorySchemaProvider::new();
        for (name, table) in tables {
            schema.register_table(name.clone(), Arc::clone(table))?;
        }
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema("public", Arc::new(schema))?;
        let mut config = SessionConfig::new()
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema("holm", "public")
            .with_extension(Arc::new(stop.clone()))
            .with_target_partitions(self.pool.limits.threads.max(1));
        let options = config.options_mut();
        options.execution.enable_recursive_ctes = false;
        options.execution.time_zone = Some("+00:00".to_owned());
        // Addresses and counts shrink to a third: more fits into the same disk.
        options.execution.spill_compression = SpillCompression::Lz4Frame;
        // The streams that are to come instead cannot spill groups yet.
        options.execution.enable_migration_aggregate = false;
        options.execution.parquet.pushdown_filters = false;
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        let mut scalar = crate::functions::of_datafusion(&self.pool.memory);
        let written = crate::grown::Written::of(&scalar);
        scalar.extend(crate::functions::all());
        scalar.extend(crate::moment::functions(at));
        let mut planners = SessionStateDefaults::default_expr_planners();
        planners.insert(0, Arc::new(written));
        planners.push(Arc::new(crate::checked::WideNumbers));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.environment))
            .with_expr_planners(planners)
            .with_analyzer_rule(Arc::new(crate::checked::CheckedArithmetic))
            .with_physical_optimizer_rule(Arc::new(crate::windows::WindowsReserve))
            .with_physical_optimizer_rule(Arc::new(StopsWhenTold(stop.clone())))
            .with_scalar_functions(scalar)
            .with_aggregate_functions(aggregates(ended))
            .with_window_functions(SessionStateDefaults::default_window_functions())
            .build();
        state.catalog_list().register_catalog("holm".to_owned(), Arc::new(catalog));
        Ok(state)
    }

    /// The plan of a question, as it was put.
    pub(crate) async fn plan(
        &self,
        state: &SessionState,
        tables: &Tables,
        sql: &str,
    ) -> Result<LogicalPlan, QueryError> {
        let columns: BTreeSet<String> = tables
            .values()
            .flat_map(|table| {
                table.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()
            })
            .filter(|name| name.contains('.'))
            .collect();
        let statement = admit(sql, &columns)?;
        let plan = crate::apart::apart(state.statement_to_plan(statement).await?)?;
        let only_read = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        only_read
            .verify_plan(&plan)
            .map_err(|error| QueryError::Refused(error.strip_backtrace()))?;
        crate::types::bounded_types(&plan)?;
        Ok(plan)
    }

    /// Answers `sql` from this site alone, batch by batch.
    ///
    /// # Errors
    /// [`QueryError`]
    pub(crate) async fn stream(
        &self,
        sql: &str,
        known_elsewhere: &Columns,
        stop: &Stop,
    ) -> Result<Streamed, QueryError> {
        let missing = Missing::default();
        let mut tables = self.local_tables(&missing);
        with_columns(&mut tables, known_elsewhere)?;
        // Who asked wrote the moment out; an older node did not.
        let state = self.session(&tables, Millis::now(), &Ended::default(), stop)?;
        let plan = self.plan(&state, &tables, sql).await?;
        let plan = state.optimize(&plan)?;
        bounded(&plan)?;
        let plan = crate::tally::counted(plan)?;
        let context = SessionContext::new_with_state(state);
        let stream = context.execute_logical_plan(plan).await?.execute_stream().await?;
        // Scans have been planned by now.
        let missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<String> = missing.iter().cloned().collect();
        Ok(Streamed { stream, missing: (!missing.is_empty()).then(|| missing.join("; ")) })
    }

    /// Whether the tenant's questions may gather more now.
    pub(crate) fn may_gather(&self) -> Result<(), QueryError> {
        let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let may = self.allowance.lock().unwrap_or_else(PoisonError::into_inner).may_begin(now_ms);
        may.map_err(|again_s| QueryError::Busy {
            why: "this tenant's questions gathered more from sites than they may (1 GiB at once, 32 MiB/s)".to_owned(),
            again_s,
        })
    }

    /// A question gathered so much.
    pub(crate) fn gathered(&self, bytes: usize) {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner).spend(bytes);
    }

    /// Sets damaged files aside: whether a question that failed is worth asking again.
    pub(crate) fn found_damage(&self) -> bool {
        self.store.set_damaged_aside() > 0
    }

    /// The part of a mesh-wide question that this site answers: each batch goes to `send`, which may
    /// wait, and ends the work by saying `false`.
    ///
    /// # Errors
    /// [`QueryError`]; batches that were sent before do not count then.
    pub async fn answer_part<F>(
        self: &Arc<Self>,
        part: &Part,
        limits: QueryLimits,
        send: impl Fn(RecordBatch) -> F + Send + 'static,
    ) -> Result<SchemaRef, QueryError>
    where
        F: Future<Output = bool> + Send,
    {
        let (engine, sql, columns) = (Arc::clone(self), part.sql.clone(), part.tables.clone());
        let work = |stop: Stop| async move {
            let Streamed { mut stream, missing } = engine.stream(&sql, &columns, &stop).await?;
            let schema = told(&stream.schema(), missing.as_deref());
            let mut bytes = 0;
            while let Some(batch) = stream.next().await {
                let batch = batch.inspect_err(|_| {
                    // The next question goes without the damaged file.
                    engine.found_damage();
                })?;
                bytes += bytes_of(&batch);
                if bytes > limits.bytes {
                    return Err(QueryError::TooMuch(format!(
                        "more than {} MiB at site {}",
                        limits.bytes >> 20,
                        engine.site
                    )));
                }
                let batch = batch
                    .with_schema(Arc::clone(&schema))
                    .map_err(|error| QueryError::Failed(error.to_string()))?;
                if batch.num_rows() > 0 && !send(batch).await {
                    return Err(QueryError::Failed("whoever asked is gone".to_owned()));
                }
            }
            Ok(schema)
        };
        self.work(limits.time, work).await
    }

    /// Works on a question on the pool's threads, for as long as it may take. Who stops waiting stops
    /// the work.
    pub(crate) async fn work<T, F>(
        &self,
        time: Duration,
        work: impl FnOnce(Stop) -> F,
    ) -> Result<T, QueryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        if self.stopping.load(Ordering::Relaxed) >= MAX_STOPPING {
            return Err(QueryError::Busy {
                why: format!(
                    "{MAX_STOPPING} questions of this tenant that ended without an answer are still being stopped here"
                ),
                again_s: 1,
            });
        }
        let crew = self.pool.crews.take(Arc::clone(&self.stopping));
        let crew = crew.map_err(|error| QueryError::Failed(format!("no threads: {error}")))?;
        let stop = StopOnDrop(Stop::default());
        let work = crew.work(work(stop.0.clone()));
        // The wait is bounded here and not there: work that does not yield cannot hold it up.
        match tokio::time::timeout(time, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(QueryError::Failed(format!("the work on it ended: {error}"))),
            Err(_) => Err(QueryError::Timeout(time)),
        }
    }
}

/// Bytes of the rows of a batch: of a slice only its own.
pub(crate) fn bytes_of(batch: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| column.to_data().get_slice_memory_size();
    batch.columns().iter().map(|column| of(column).unwrap_or(column.get_array_memory_size())).sum()
}

/// Questions of a tenant that may be worked on at a node after they ended without an answer.
const MAX_STOPPING: usize = 2;

/// Most tables, and most columns of one, that another site may tell of.
const MAX_TOLD: (usize, usize) = (128, 1_024);

/// Columns, and tables, that another site knows and this one does not: nulls, and no rows.
fn with_columns(tables: &mut Tables, known: &Columns) -> Result<(), QueryError> {
    if known.len() > MAX_TOLD.0 || known.values().any(|columns| columns.len() > MAX_TOLD.1) {
        return Err(QueryError::Refused("it tells of more columns than there can be".to_owned()));
    }
    for (name, columns) in known {
        let own = tables.get(name).map(|table| table.schema());
        let lacks = |column: &str| {
            column != SITE && own.as_ref().is_none_or(|s| s.column_with_name(column).is_none())
        };
        let mut fields = Vec::new();
        for (column, text) in columns.iter().filter(|(column, _)| lacks(column)) {
            let data_type: DataType = text
                .parse()
                .map_err(|_| QueryError::Invalid(format!("{text} is no type known here")))?;
            fields.push(Field::new(column, data_type, true));
        }
        if own.is_some() && fields.is_empty() {
            continue;
        }
        let own = tables.get(name).map(|table| -> &dyn std::any::Any { table.as_ref() });
        let more: Arc<dyn TableProvider> = match own.and_then(|t| t.downcast_ref::<LocalTable>()) {
            Some(own) => Arc::new(own.with_columns(fields)),
            None => {
                let schema = with_site(&Arc::new(Schema::new(fields)));
                Arc::new(datafusion::datasource::MemTable::try_new(schema, vec![Vec::new()])?)
            }
        };
        tables.insert(name.clone(), more);
    }
    Ok(())
}

/// DataFusion's, but for its sketches (ours can be merged between sites) and its sum.
fn aggregates(ended: &Ended) -> Vec<Arc<AggregateUDF>> {
    let mut aggregates = SessionStateDefaults::default_aggregate_functions();
    aggregates.retain(|function| {
        let name = function.name();
        !name.starts_with("approx_") && !crate::functions::AGGREGATES_LEFT_OUT.contains(&name)
    });
    aggregates.push(crate::sum::function(ended.clone()));
    aggregates.extend(crate::sketch::all());
    aggregates
}
