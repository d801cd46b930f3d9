//! Tables of the whole mesh: a scan of one asks the sites.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::unparser::expr_to_sql;
use serde::{Deserialize, Serialize};

use crate::sites::Asking;
use crate::sketch::{self, Kind};

/// In what an answer is not exact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approximation {
    /// How it came to be.
    pub method: String,
    /// Any value of the answer may be too small by this at most, and none is too large; `None` where
    /// there is no bound that always holds.
    pub at_most: Option<f64>,
    /// The share of a value by which it may be off either way: at most for `ddsketch`, the standard
    /// error for `hyperloglog`.
    pub relative: Option<f64>,
    /// In words.
    pub text: String,
}

impl Approximation {
    /// Of sums that came to more than a number of theirs holds.
    pub(crate) fn of_ended_sum() -> Self {
        let text = "sum: a sum of whole numbers came to the end of its 64 bits and stayed there: the true one is further out; sum it as double";
        Self { method: "sum".to_owned(), at_most: None, relative: None, text: text.to_owned() }
    }

    /// Of a function that reads its value from a sketch.
    pub(crate) fn of_sketch((function, kind): (String, Kind)) -> Self {
        let (method, relative, text) = match kind {
            Kind::Distinct => (
                "hyperloglog",
                sketch::STANDARD_ERROR,
                format!(
                    "{function}: HyperLogLog of 4,096 registers, standard error {:.2} %; 99.7 % of estimates are within {:.1} %",
                    100.0 * sketch::STANDARD_ERROR,
                    300.0 * sketch::STANDARD_ERROR,
                ),
            ),
            Kind::Quantiles => (
                "ddsketch",
                sketch::RELATIVE_ERROR,
                format!(
                    "{function}: DDSketch, within {:.0} % of the value at that rank, for magnitudes of {:e} to {:e}",
                    100.0 * sketch::RELATIVE_ERROR,
                    sketch::SMALLEST,
                    sketch::LARGEST,
                ),
            ),
        };
        Self { method: method.to_owned(), at_most: None, relative: Some(relative), text }
    }
}

/// Where approximations are noted.
pub(crate) type Notes = Arc<Mutex<Vec<Approximation>>>;

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A name in SQL, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table of all sites. What a question wants of it that is not grouped at the sites is fetched row
/// by row, with the filters that can be put in SQL.
#[derive(Debug)]
pub(crate) struct MeshTable {
    name: String,
    schema: SchemaRef,
    asking: Arc<Asking>,
}

impl MeshTable {
    pub(crate) const fn new(name: String, schema: SchemaRef, asking: Arc<Asking>) -> Self {
        Self { name, schema, asking }
    }
}

/// A filter as SQL; `None` if a site could not read it.
fn filter_sql(filter: &Expr) -> Option<String> {
    let readable = crate::checked::with_operators(filter.clone()).ok()?.transform(|expr| {
        if let Some(moment) = crate::moment::literal(&expr) {
            return Ok(Transformed::yes(moment));
        }
        Ok(match &expr {
            Expr::Literal(ScalarValue::FixedSizeBinary(16, Some(bytes)), _) => {
                let text = holm_events::text_of_bytes(bytes);
                Transformed::yes(Expr::Literal(
                    ScalarValue::Utf8(Some(format!("\0ip{text}"))),
                    None,
                ))
            }
            Expr::Literal(ScalarValue::FixedSizeBinary(..) | ScalarValue::Binary(_), _) => {
                return Err(DataFusionError::NotImplemented("bytes in SQL".to_owned()));
            }
            _ => Transformed::no(expr),
        })
    });
    let sql = expr_to_sql(&readable.ok()?.data).ok()?.to_string();
    // Addresses were marked; nothing else has that byte in it.
    let mut out = String::new();
    let mut rest = sql.as_str();
    while let Some((before, after)) = rest.split_once("'\0ip") {
        let (address, behind) = after.split_once('\'')?;
        out.push_str(before);
        out.push_str(&format!("ip('{address}')"));
        rest = behind;
    }
    out.push_str(rest);
    (!out.contains('\0')).then_some(out)
}

#[async_trait]
impl TableProvider for MeshTable {
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
        let support = |filter: &&Expr| match filter_sql(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = match projection {
            // Rows are counted by their first column.
            Some(none) if none.is_empty() => vec![0],
            Some(some) => some.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        let fetched: SchemaRef = Arc::new(self.schema.project(&wanted)?);
        let columns: Vec<String> = fetched.fields().iter().map(|f| quoted(f.name())).collect();
        let mut sql = format!("SELECT {} FROM {}", columns.join(", "), quoted(&self.name));
        let conditions: Vec<String> =
            filters.iter().filter_map(filter_sql).map(|filter| format!("({filter})")).collect();
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        if let Some(limit) = limit {
            sql.push_str(&format!(" LIMIT {limit}"));
        }
        let gathered = self.asking.gather(&sql, &fetched).await.map_err(failed)?;
        let batches: Vec<Vec<RecordBatch>> = partitions(gathered);
        let keep = projection.filter(|wanted| wanted.is_empty()).map(|_| Vec::new());
        Ok(MemorySourceConfig::try_new_exec(&batches, fetched, keep)?)
    }
}

/// One partition at least.
fn partitions(gathered: crate::sites::Gathered) -> Vec<Vec<RecordBatch>> {
    let mut all: Vec<Vec<RecordBatch>> = gathered.into_iter().map(|(_, b)| b).collect();
    if all.is_empty() {
        all.push(Vec::new());
    }
    all
}

/// How many groups a site sends where only the largest are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Top {
    /// Most groups; a site that has more sends one more than this.
    pub(crate) groups: usize,
    /// The column that they are ordered by, largest first.
    pub(crate) column: usize,
    /// There are no other values beside it.
    pub(crate) alone: bool,
}

/// What the sites made of a part of the question.
#[derive(Debug)]
pub(crate) struct PartTable {
    pub(crate) sql: String,
    pub(crate) schema: SchemaRef,
    pub(crate) asking: Arc<Asking>,
    pub(crate) top: Option<Top>,
    pub(crate) notes: Notes,
}

#[async_trait]
impl TableProvider for PartTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let gathered = self.asking.gather(&self.sql, &self.schema).await.map_err(failed)?;
        if let Some(top) = self.top {
            self.note(top, &gathered);
        }
        let schema = Arc::clone(&self.schema);
        Ok(MemorySourceConfig::try_new_exec(&partitions(gathered), schema, projection.cloned())?)
    }
}

impl PartTable {
    /// A site that has more groups than it sent has none that is larger than the last of them.
    fn note(&self, top: Top, gathered: &crate::sites::Gathered) {
        let (mut at_most, mut cut) = (0.0, Vec::new());
        for (place, batches) in gathered {
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            if rows <= top.groups {
                continue;
            }
            at_most += batches.iter().rev().find_map(|b| last(b, top.column)).unwrap_or(0.0);
            cut.push(place.site.to_string());
        }
        if cut.is_empty() {
            return;
        }
        let others = match top.alone {
            true => "",
            false => {
                "; other values of the same groups lack the same rows, and may be too small by more"
            }
        };
        let text = format!(
            "{} sent their {} largest groups and have more: what the groups are ordered by may be too small by {at_most} at most{others}",
            cut.join(", "),
            top.groups + 1
        );
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let method = "top-k".to_owned();
        let at_most = top.alone.then_some(at_most);
        notes.push(Approximation { method, at_most, relative: None, text });
    }
}

fn last(batch: &RecordBatch, column: usize) -> Option<f64> {
    let index = batch.num_rows().checked_sub(1)?;
    let column = cast(&batch.column(column).slice(index, 1), &DataType::Float64).ok()?;
    column.is_valid(0).then(|| column.as_primitive::<Float64Type>().value(0))
}

/// The schema with its fields called by the names that parts use, all of them nullable.
pub(crate) fn renamed(schema: &Schema) -> SchemaRef {
    let fields: Vec<_> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Arc::new(Schema::new(fields))
}

/// Whether a column says so: nothing below 0 is in it.
pub(crate) const fn never_negative(data_type: &DataType) -> bool {
    matches!(data_type, DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64)
}

/// A value that nothing is.
pub(crate) fn zero() -> Expr {
    lit(0_i64)
}
