//! The threads: each takes row groups until there are none, and gives its groups.

use std::collections::VecDeque;
use std::fmt;
use std::iter::repeat_n;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use futures::stream;
use holm_events::{EventFile, FileScan, SITE};

use super::Work;
use super::groups::Groups;
use crate::local::{LocalTable, Window};
use crate::stop::Stop;

/// A thread hands on what it has when it has so many groups, or so many bytes of them.
const MAX_GROUPS: usize = 256 << 10;
const MAX_BYTES: usize = 24 << 20;

/// Work for one thread at a time.
#[derive(Debug, Clone)]
enum Unit {
    /// Not opened yet: becomes row groups.
    File(Arc<EventFile>),
    Group(Arc<FileScan>, usize),
    Batch(RecordBatch),
}

/// Makes groups of a table.
#[derive(Debug)]
pub(super) struct TallyExec {
    work: Arc<Work>,
    units: Vec<Unit>,
    /// What is left of them, while a question runs.
    left: Arc<Mutex<VecDeque<Unit>>>,
    time: Arc<str>,
    window: Window,
    properties: Arc<PlanProperties>,
}

impl TallyExec {
    pub(super) fn new(
        table: &LocalTable,
        work: Work,
        filters: &[Expr],
        schema: &SchemaRef,
        threads: usize,
    ) -> Self {
        let time = table.time_column();
        let window = Window::of(time, filters);
        let files = table.files_in(&window).into_iter().map(Unit::File);
        let units: Vec<Unit> = files.chain(table.batches().map(Unit::Batch)).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(schema)),
            Partitioning::UnknownPartitioning(threads.max(1)),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            work: Arc::new(work),
            left: Arc::new(Mutex::new(units.iter().cloned().collect())),
            units,
            time: time.into(),
            window,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for TallyExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TallyExec: {} units", self.units.len())
    }
}

impl ExecutionPlan for TallyExec {
    fn name(&self) -> &'static str {
        "TallyExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    /// What it evaluates nobody else may change.
    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let stop = context.session_config().get_extension::<Stop>();
        let consumer = MemoryConsumer::new(format!("TallyExec[{partition}]"));
        let thread = Thread {
            work: Arc::clone(&self.work),
            left: Arc::clone(&self.left),
            time: Arc::clone(&self.time),
            window: self.window,
            stop: stop.as_deref().cloned().unwrap_or_default(),
            schema: Arc::clone(&schema),
            groups: None,
            short: false,
            memory: consumer.register(context.memory_pool()),
        };
        let batches = stream::try_unfold(thread, |mut thread| async move {
            loop {
                let unit = thread.next();
                let done = unit.is_none();
                if let Some(unit) = unit {
                    thread.count(unit)?;
                    // A question that nobody waits for any more ends here.
                    tokio::task::yield_now().await;
                }
                if (done || thread.is_full())
                    && let Some(groups) = thread.take()?
                {
                    return Ok(Some((groups, thread)));
                }
                if done {
                    return Ok::<_, DataFusionError>(None);
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

struct Thread {
    work: Arc<Work>,
    left: Arc<Mutex<VecDeque<Unit>>>,
    time: Arc<str>,
    window: Window,
    stop: Stop,
    schema: SchemaRef,
    groups: Option<Groups>,
    /// There was no memory for more groups.
    short: bool,
    memory: datafusion::execution::memory_pool::MemoryReservation,
}

fn failed(error: std::io::Error) -> DataFusionError {
    DataFusionError::IoError(error)
}

impl Thread {
    fn next(&self) -> Option<Unit> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn count(&mut self, unit: Unit) -> Result<()> {
        match unit {
            Unit::File(file) => {
                let scan = Arc::new(file.scan().map_err(failed)?);
                let touched = |group: &usize| {
                    scan.bounds(*group, &self.time).is_none_or(|b| self.touches(&scan, b))
                };
                let groups = (0..scan.row_groups()).filter(touched);
                let groups = groups.map(|group| Unit::Group(Arc::clone(&scan), group));
                self.left.lock().unwrap_or_else(PoisonError::into_inner).extend(groups);
            }
            Unit::Group(scan, group) => {
                let batches = scan.read(group, &self.work.names, &self.work.coded);
                for batch in batches.map_err(failed)? {
                    self.add(&batch.map_err(failed)?)?;
                }
            }
            Unit::Batch(batch) => self.add(&batch)?,
        }
        Ok(())
    }

    /// Whether a row group can have rows of the time asked for.
    fn touches(&self, scan: &FileScan, bounds: (i64, i64)) -> bool {
        let field = scan.schema().field_with_name(&self.time);
        field.map_or(true, |field| self.window.touches_values(field.data_type(), bounds))
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.stop.check()?;
        let rows = batch.num_rows();
        let columns = self.work.columns.fields().iter().map(|field| {
            Ok(match batch.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
                Some(column) => cast(column, field.data_type())?,
                None if field.name() == SITE => {
                    Arc::new(StringArray::from_iter_values(repeat_n(&self.work.site, rows)))
                }
                None => new_null_array(field.data_type(), rows),
            })
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.work.columns);
        let mut batch = RecordBatch::try_new_with_options(schema, columns, &options)?;
        if let Some(filter) = &self.work.filter {
            let passes = value_of(filter, &batch)?;
            let passes = arrow::array::as_boolean_array(&passes);
            if passes.true_count() < rows {
                batch = filter_record_batch(&batch, passes)?;
            }
        }
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let keys = self.work.keys.iter().map(|key| value_of(key, &batch));
        let keys: Vec<ArrayRef> = keys.collect::<Result<_>>()?;
        let values = self.work.values.iter().map(|(_, of, filter)| {
            let of = of.as_ref().map(|of| value_of(of, &batch)).transpose()?;
            let filter = filter.as_ref().map(|filter| value_of(filter, &batch)).transpose()?;
            let counts: Option<BooleanArray> =
                filter.map(|filter| arrow::array::as_boolean_array(&filter).clone());
            Ok((of, counts))
        });
        let values: Vec<_> = values.collect::<Result<_>>()?;
        let groups = match &mut self.groups {
            Some(groups) => groups,
            None => {
                let keys = self.schema.fields().iter().take(keys.len());
                let kinds: Vec<DataType> = keys.map(|field| field.data_type().clone()).collect();
                let functions = self.work.values.iter().map(|(function, ..)| *function);
                self.groups.insert(Groups::new(&kinds, functions))
            }
        };
        groups.add(&keys, &values)?;
        // Without room it hands on what it has.
        self.short = self.memory.try_resize(groups.size()).is_err();
        Ok(())
    }

    fn is_full(&self) -> bool {
        let large = |groups: &Groups| groups.len() > MAX_GROUPS || groups.size() > MAX_BYTES;
        self.short || self.groups.as_ref().is_some_and(large)
    }

    /// The groups so far; those of nothing are none.
    fn take(&mut self) -> Result<Option<RecordBatch>> {
        let Some(groups) = self.groups.take() else { return Ok(None) };
        let columns = groups.columns()?;
        self.memory.free();
        self.short = false;
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }
}

fn value_of(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    expr.evaluate(batch)?.into_array(batch.num_rows())
}
