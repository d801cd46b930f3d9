//! Windows keep rows that they were given, and DataFusion tells its pool of none: here what goes into one is reserved
//! until it has come out again, so that one that takes too much is refused.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

/// Bytes that a window takes for each value that it computes, at most a number with its place.
const OF_VALUE: usize = 16;

/// Puts a reservation around each window.
#[derive(Debug)]
pub(crate) struct WindowsReserve;

impl PhysicalOptimizerRule for WindowsReserve {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let done = plan.transform_up(|plan| {
            // A window that keeps all its rows copies them into one batch.
            let (copies, values) = if let Some(window) = plan.downcast_ref::<WindowAggExec>() {
                (2, window.window_expr().len())
            } else if let Some(window) = plan.downcast_ref::<BoundedWindowAggExec>() {
                (1, window.window_expr().len())
            } else {
                return Ok(Transformed::no(plan));
            };
            let held = Held::default();
            let input: Vec<Arc<dyn ExecutionPlan>> = plan
                .children()
                .into_iter()
                .map(|input| {
                    let end = End::Into { copies, of_row: values * OF_VALUE };
                    Reserving::around(Arc::clone(input), end, &held)
                })
                .collect();
            let all = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            let window = plan.replace_children(input, all)?;
            Ok(Transformed::yes(Reserving::around(window, End::OutOf, &held)))
        })?;
        Ok(done.data)
    }

    fn name(&self) -> &'static str {
        "windows_reserve"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What one partition of a window holds.
struct Share {
    reservation: MemoryReservation,
    rows: usize,
}

/// The shares of a window's partitions that are worked on.
type Held = Arc<Mutex<HashMap<usize, Arc<Mutex<Share>>>>>;

/// Which end of a window this is.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Each row is held so many times, with what is computed for it.
    Into {
        copies: usize,
        of_row: usize,
    },
    OutOf,
}

/// Passes rows on, and counts them.
struct Reserving {
    input: Arc<dyn ExecutionPlan>,
    end: End,
    held: Held,
}

impl Reserving {
    fn around(input: Arc<dyn ExecutionPlan>, end: End, held: &Held) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, end, held: Arc::clone(held) })
    }
}

impl fmt::Debug for Reserving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserving").field("end", &self.end).finish_non_exhaustive()
    }
}

impl DisplayAs for Reserving {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl ExecutionPlan for Reserving {
    fn name(&self) -> &'static str {
        "Reserving"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([input]) => Ok(Self::around(input, self.end, &self.held)),
            Err(_) => internal_err!("a reservation is around one input"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let shares = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let End::Into { .. } = self.end {
            let consumer = MemoryConsumer::new("rows of a window");
            let reservation = consumer.register(context.memory_pool());
            let share = Arc::new(Mutex::new(Share { reservation, rows: 0 }));
            shares().insert(partition, share);
        }
        let input = self.input.execute(partition, context)?;
        // The window has asked its input by now.
        let share = match self.end {
            End::Into { .. } => shares().get(&partition).cloned(),
            End::OutOf => shares().remove(&partition),
        };
        match share {
            Some(share) => Ok(Box::pin(Counted { input, end: self.end, share })),
            None => internal_err!("a window did not ask for its rows"),
        }
    }
}

struct Counted {
    input: SendableRecordBatchStream,
    end: End,
    share: Arc<Mutex<Share>>,
}

impl Counted {
    fn counted(&self, batch: &RecordBatch) -> Result<()> {
        let mut share = self.share.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = batch.num_rows();
        match self.end {
            End::Into { copies, of_row } => {
                let bytes = crate::engine::bytes_of(batch);
                share.reservation.try_grow(bytes * copies + of_row * rows)?;
                share.rows += rows;
            }
            End::OutOf => {
                let left = share.rows.saturating_sub(rows);
                let of_row = share.reservation.size() / share.rows.max(1);
                share.reservation.resize(of_row * left);
                share.rows = left;
            }
        }
        Ok(())
    }
}

impl Stream for Counted {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.input.poll_next_unpin(cx)) {
            Some(Ok(batch)) => Some(self.counted(&batch).map(|()| batch)),
            other => other,
        })
    }
}

impl RecordBatchStream for Counted {
    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }
}
