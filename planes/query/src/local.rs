//! A table of this site as DataFusion reads it: files, what is not in a file yet, and the column that
//! says which site it is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::TableParquetOptions;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, FileSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use holm_events::{EventFile, SITE, Snapshot};
use holm_model::{Millis, SiteId};

use crate::objects::{Objects, meta};

/// Where DataFusion finds the files.
pub(crate) const STORE: &str = "holm://events";

/// The schema of a table with its column of sites.
pub(crate) fn with_site(schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(SITE, DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

/// A table as it was when the question came.
#[derive(Debug, Clone)]
pub(crate) struct LocalTable {
    site: SiteId,
    schema: SchemaRef,
    /// The columns without the site.
    columns: SchemaRef,
    snapshot: Snapshot,
    objects: Arc<Objects>,
    missing: Missing,
}

/// Most rows of a batch, as DataFusion has it.
const BATCH_ROWS: usize = 8_192;

/// What of this site's rows a question went without, in words.
pub(crate) type Missing = Arc<Mutex<BTreeSet<String>>>;

impl LocalTable {
    pub(crate) fn new(
        site: SiteId,
        snapshot: Snapshot,
        objects: Arc<Objects>,
        missing: Missing,
    ) -> Self {
        let schema = with_site(snapshot.table.schema());
        let columns = Arc::clone(snapshot.table.schema());
        Self { site, schema, columns, snapshot, objects, missing }
    }

    /// The same with more columns, in which there is nothing.
    pub(crate) fn with_columns(&self, more: Vec<Field>) -> Self {
        let own = self.columns.fields().iter().cloned();
        let fields: Vec<_> = own.chain(more.into_iter().map(Arc::new)).collect();
        let columns = Arc::new(Schema::new(fields));
        Self { schema: with_site(&columns), columns, ..self.clone() }
    }

    pub(crate) const fn site(&self) -> &SiteId {
        &self.site
    }

    pub(crate) fn time_column(&self) -> &str {
        self.snapshot.table.time_column()
    }

    pub(crate) fn has_bloom_filter(&self, column: &str) -> bool {
        self.snapshot.table.bloom_columns().any(|other| other == column)
    }

    /// The files with rows of that time. Those in cold storage are left out, and the question told so,
    /// while that does not answer.
    pub(crate) fn files_in(&self, window: &Window) -> Vec<Arc<EventFile>> {
        let files = self.snapshot.files.iter().filter(|file| window.touches(file.times()));
        let (cold, mut near): (Vec<_>, Vec<_>) = files.cloned().partition(|file| file.is_cold());
        match cold.first().map(|first| first.reachable()) {
            None => {}
            Some(Ok(())) => near.extend(cold),
            Some(Err(error)) => {
                let rows: u64 = cold.iter().map(|file| file.rows()).sum();
                let text = format!(
                    "{rows} rows of {} in {} files of cold storage: {error}",
                    self.snapshot.table.name(),
                    cold.len()
                );
                self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
            }
        }
        near
    }

    /// What is not in a file, without the site. Who writes may write many rows at once; a question takes a batch at a time,
    /// within bounds for each, and stops between two.
    pub(crate) fn batches(&self) -> impl Iterator<Item = RecordBatch> {
        self.snapshot.batches.iter().flat_map(|batch| {
            let starts = (0..batch.num_rows()).step_by(BATCH_ROWS);
            starts.map(|at| batch.slice(at, BATCH_ROWS.min(batch.num_rows() - at)))
        })
    }

    /// The batches that are not in a file, with the site.
    fn in_memory(&self) -> Result<Vec<RecordBatch>> {
        let with_site = |batch: RecordBatch| {
            let mut columns = batch.columns().to_vec();
            let more = self.columns.fields().iter().skip(columns.len());
            columns.extend(more.map(|f| new_null_array(f.data_type(), batch.num_rows())));
            let site = StringArray::from_iter_values(std::iter::repeat_n(
                self.site.as_str(),
                batch.num_rows(),
            ));
            columns.push(Arc::new(site) as ArrayRef);
            Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
        };
        self.batches().map(with_site).collect()
    }

    fn partitioned(&self, file: &Arc<EventFile>) -> PartitionedFile {
        PartitionedFile::new_from_meta(meta(file))
            .with_partition_values(vec![ScalarValue::from(self.site.as_str())])
            // The file stays while the plan does.
            .with_extension(Arc::clone(file))
    }
}

#[async_trait]
impl TableProvider for LocalTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // They skip files, row groups and pages; what is left is filtered again.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let window = Window::of(self.snapshot.table.time_column(), filters);
        let files = self.files_in(&window);
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !files.is_empty() {
            parts.push(self.scan_files(state, projection, filters, &files)?);
        }
        let batches = self.in_memory()?;
        if !batches.is_empty() || parts.is_empty() {
            let schema = Arc::clone(&self.schema);
            let plan = MemorySourceConfig::try_new_exec(&[batches], schema, projection.cloned())?;
            parts.push(plan);
        }
        match <[_; 1]>::try_from(parts) {
            Ok([part]) => Ok(part),
            Err(parts) => UnionExec::try_new(parts),
        }
    }
}

impl LocalTable {
    fn scan_files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        files: &[Arc<EventFile>],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.objects.know(files);
        let columns = Arc::clone(&self.columns);
        let site = Arc::new(Field::new(SITE, DataType::Utf8, true));
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let store = Arc::clone(&self.objects) as Arc<dyn object_store::ObjectStore>;
        let mut source = ParquetSource::new(
            TableSchema::builder(columns).with_table_partition_cols(vec![site]).build(),
        )
        .with_table_parquet_options(TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        })
        .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(
            store, cache,
        )));
        if let Some(filter) = conjunction(filters.to_vec()) {
            let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        // As many groups as cores work; DataFusion cuts them further where that helps.
        let count = state.config().target_partitions().clamp(1, files.len());
        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); count];
        for (index, file) in files.iter().enumerate() {
            groups[index % count].push(self.partitioned(file));
        }
        let source: Arc<dyn FileSource> = Arc::new(source);
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE)?, source)
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// The time that a question can be about, as far as its filters say so plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    from: i64,
    to: i64,
}

impl Window {
    pub(crate) fn of(time: &str, filters: &[Expr]) -> Self {
        let mut window = Self { from: i64::MIN, to: i64::MAX };
        filters.iter().for_each(|filter| window.narrow(time, filter));
        window
    }

    fn narrow(&mut self, time: &str, filter: &Expr) {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.narrow(time, left);
                self.narrow(time, right);
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let is_time = |expr: &Expr| matches!(expr, Expr::Column(c) if c.name == time);
                let swapped = op.swap().unwrap_or(*op);
                let (op, value) = match (&**left, &**right) {
                    (column, Expr::Literal(value, _)) if is_time(column) => (*op, value),
                    (Expr::Literal(value, _), column) if is_time(column) => (swapped, value),
                    _ => return,
                };
                let Some(ms) = millis(value) else { return };
                // A millisecond more on either side: units are rounded.
                match op {
                    Operator::Gt | Operator::GtEq => self.from = self.from.max(ms - 1),
                    Operator::Lt | Operator::LtEq => self.to = self.to.min(ms + 1),
                    Operator::Eq => {
                        self.from = self.from.max(ms - 1);
                        self.to = self.to.min(ms + 1);
                    }
                    _ => {}
                }
            }
            Expr::Between(between) if !between.negated => {
                if let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                    (&*between.expr, &*between.low, &*between.high)
                    && column.name == time
                {
                    self.from = self.from.max(millis(low).map_or(i64::MIN, |ms| ms - 1));
                    self.to = self.to.min(millis(high).map_or(i64::MAX, |ms| ms + 1));
                }
            }
            _ => {}
        }
    }

    /// Whether a column of times with these bounds has some of that time.
    pub(crate) fn touches_values(&self, data_type: &DataType, (min, max): (i64, i64)) -> bool {
        let DataType::Timestamp(unit, _) = data_type else { return true };
        let per_ms = match unit {
            TimeUnit::Second => return true,
            TimeUnit::Millisecond => 1,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1_000_000,
        };
        max.div_euclid(per_ms) >= self.from && min.div_euclid(per_ms) <= self.to
    }

    fn touches(&self, (min, max): (Millis, Millis)) -> bool {
        let signed = |at: Millis| i64::try_from(at.0).unwrap_or(i64::MAX);
        // Times before 1970 are stored as they are and counted as 1970.
        let min = if min.0 == 0 { i64::MIN } else { signed(min) };
        signed(max) >= self.from && min <= self.to
    }
}

fn millis(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampNanosecond(Some(at), _) => Some(at.div_euclid(1_000_000)),
        ScalarValue::TimestampMicrosecond(Some(at), _) => Some(at.div_euclid(1_000)),
        ScalarValue::TimestampMillisecond(Some(at), _) => Some(*at),
        ScalarValue::TimestampSecond(Some(at), _) => Some(at.saturating_mul(1_000)),
        _ => None,
    }
}
