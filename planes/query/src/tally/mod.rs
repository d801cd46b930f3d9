//! Counting where the rows lie, fast: groups of one table of this site, made from files directly.
//!
//! What comes in: a grouping that DataFusion planned, over a table of this site with filters. What goes
//! out: the same grouping over a table of groups that each thread made of its share of the row groups.
//! A column that is grouped by comes as numbers into its file's dictionary, so a row costs a look into a
//! list and not a hash of its value. What is not of that shape is left to DataFusion. What must never
//! happen: another answer than DataFusion's.

mod exec;
mod groups;
mod names;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableType, cast,
};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use holm_events::coded_type;

use crate::local::LocalTable;
use crate::split::{Merging, put_together, unaliased};
use exec::TallyExec;
use groups::Function;

/// Most columns that are grouped by.
const MAX_KEYS: usize = 4;

/// The plan with groupings that can be counted fast.
pub(crate) fn counted(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_down(|plan| {
        let counted = match &plan {
            LogicalPlan::Aggregate(aggregate) => grouping(aggregate)?,
            _ => None,
        };
        Ok(match counted {
            Some(counted) => Transformed::new(counted, true, TreeNodeRecursion::Jump),
            None => Transformed::no(plan),
        })
    })?;
    Ok(plan.data)
}

fn grouping(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Some((table, filters)) = scanned(&aggregate.input) else { return Ok(None) };
    let keys = aggregate.group_expr.len();
    if keys == 0 || keys > MAX_KEYS || filters.iter().any(|f| is_selective(&table, f)) {
        return Ok(None);
    }
    let Some(merging) = Merging::of(aggregate, None)? else { return Ok(None) };
    if !merging.more_groups.is_empty() {
        return Ok(None);
    }
    let input = aggregate.input.schema();
    let keys = aggregate.group_expr.iter().zip(aggregate.schema.fields());
    let mut fields = Vec::new();
    for (index, (key, field)) in keys.enumerate() {
        let countable = !matches!(unaliased(key), Expr::GroupingSet(_));
        if !countable || !names::is_key(field.data_type()) {
            return Ok(None);
        }
        fields.push(Field::new(format!("g{index}"), field.data_type().clone(), true));
    }
    let mut values = Vec::new();
    for (index, part) in merging.parts.iter().enumerate() {
        let Expr::AggregateFunction(function) = unaliased(part) else { return Ok(None) };
        let Some(value) = Value::of(function, input)? else { return Ok(None) };
        fields.push(Field::new(format!("p{index}"), value.function.gives(), true));
        values.push(value);
    }
    let table = TallyTable {
        table,
        schema: Arc::new(Schema::new(fields)),
        keys: aggregate.group_expr.iter().map(|key| unaliased(key).clone()).collect(),
        values,
        filters,
    };
    let part = LogicalPlanBuilder::scan("part", provider_as_source(Arc::new(table)), None)?;
    put_together(aggregate, merging, part).map(Some)
}

/// The table of this site below a grouping, and all that filters it.
fn scanned(plan: &LogicalPlan) -> Option<(LocalTable, Vec<Expr>)> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let (table, mut filters) = scanned(&filter.input)?;
            // What a scan was told stands above it once more.
            for predicate in split_conjunction(&filter.predicate) {
                if !filters.contains(predicate) {
                    filters.push(predicate.clone());
                }
            }
            Some((table, filters))
        }
        LogicalPlan::SubqueryAlias(alias) => scanned(&alias.input),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => {
            let provider = source_as_provider(&scan.source).ok()?;
            let provider: &dyn std::any::Any = provider.as_ref();
            let table: LocalTable = provider.downcast_ref::<LocalTable>()?.clone();
            Some((table, scan.filters.clone()))
        }
        _ => None,
    }
}

/// Whether few rows pass, which DataFusion finds by bloom filters and statistics without reading the
/// others.
fn is_selective(table: &LocalTable, filter: &Expr) -> bool {
    match filter {
        Expr::BinaryExpr(binary) if binary.op == Operator::And => {
            is_selective(table, &binary.left) || is_selective(table, &binary.right)
        }
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
            [&binary.left, &binary.right].into_iter().any(|side| match side.as_ref() {
                Expr::Column(column) => table.has_bloom_filter(&column.name),
                _ => false,
            })
        }
        Expr::InList(list) => match list.expr.as_ref() {
            Expr::Column(column) => !list.negated && table.has_bloom_filter(&column.name),
            _ => false,
        },
        _ => false,
    }
}

/// A value of each group.
#[derive(Debug, Clone)]
struct Value {
    function: Function,
    of: Option<Expr>,
    filter: Option<Expr>,
}

impl Value {
    fn of(function: &AggregateFunction, input: &DFSchema) -> Result<Option<Self>> {
        let params = &function.params;
        let [arg] = params.args.as_slice() else { return Ok(None) };
        let data_type = datafusion::logical_expr::ExprSchemable::get_type(arg, input)?;
        let constant = matches!(arg, Expr::Literal(value, _) if !value.is_null());
        let function = match (function.func.name(), constant) {
            ("count", true) => Some(Function::Rows),
            ("count", false) => Some(Function::Count),
            (name, _) => Function::named(name, &data_type),
        };
        // Of rows nothing else is to be known; a constant is summed like anything.
        let of = (function != Some(Function::Rows)).then(|| arg.clone());
        let filter = params.filter.as_deref().cloned();
        Ok(function.map(|function| Self { function, of, filter }))
    }
}

/// The groups that the threads make.
#[derive(Debug)]
struct TallyTable {
    table: LocalTable,
    schema: SchemaRef,
    keys: Vec<Expr>,
    values: Vec<Value>,
    filters: Vec<Expr>,
}

/// What a thread computes of each batch.
#[derive(Debug)]
struct Work {
    /// The columns of a batch, those that are grouped by as dictionaries.
    columns: SchemaRef,
    names: BTreeSet<String>,
    coded: BTreeSet<String>,
    site: String,
    filter: Option<Arc<dyn PhysicalExpr>>,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    values: Vec<Valued>,
}

/// A function, of what, and the rows that count.
type Valued = (Function, Option<Arc<dyn PhysicalExpr>>, Option<Arc<dyn PhysicalExpr>>);

impl TallyTable {
    fn work(&self, state: &dyn Session) -> Result<Work> {
        let all = self.table.schema();
        let mut names = BTreeSet::new();
        let expressions = self.keys.iter().chain(&self.filters);
        let values = self.values.iter().flat_map(|v| v.of.iter().chain(&v.filter));
        for expr in expressions.chain(values) {
            names.extend(expr.column_refs().iter().map(|column| column.name.clone()));
        }
        let plain_key = |name: &String| {
            self.keys.iter().any(|key| matches!(key, Expr::Column(c) if c.name == *name))
        };
        let can = |name: &&String| {
            // The site is not in the files.
            let field = all.field_with_name(name);
            field.is_ok_and(|field| coded_type(field.data_type()).is_some())
        };
        let coded: BTreeSet<String> =
            names.iter().filter(|name| plain_key(name)).filter(can).cloned().collect();
        let fields = all.fields().iter().filter(|field| names.contains(field.name()));
        let fields = fields.map(|field| {
            let plain = field.data_type();
            let coded = coded_type(plain).filter(|_| coded.contains(field.name()));
            Field::new(field.name(), coded.unwrap_or_else(|| plain.clone()), true)
        });
        let columns = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let schema = DFSchema::try_from(Arc::clone(&columns))?;
        // Where more than its number is wanted a value is looked up.
        let physical = |expr: &Expr, key: bool| {
            let expr = expr.clone().transform(|expr| {
                Ok(match expr {
                    Expr::Column(column) => {
                        let plain = all.field_with_name(&column.name)?.data_type().clone();
                        let is_coded = coded.contains(&column.name);
                        let column =
                            Expr::Column(datafusion::common::Column::new_unqualified(column.name));
                        let expr = if is_coded && !key { cast(column, plain) } else { column };
                        Transformed::new(expr, true, TreeNodeRecursion::Jump)
                    }
                    other => Transformed::no(other),
                })
            })?;
            state.create_physical_expr(expr.data, &schema)
        };
        let plainly = |expr: &Option<Expr>| expr.as_ref().map(|e| physical(e, false)).transpose();
        let filter = conjunction(self.filters.clone());
        let values = self.values.iter();
        Ok(Work {
            filter: plainly(&filter)?,
            keys: self
                .keys
                .iter()
                .map(|key| physical(key, matches!(key, Expr::Column(_))))
                .collect::<Result<_>>()?,
            values: values
                .map(|v| Ok((v.function, plainly(&v.of)?, plainly(&v.filter)?)))
                .collect::<Result<_>>()?,
            columns,
            names,
            coded,
            site: self.table.site().to_string(),
        })
    }
}

#[async_trait]
impl TableProvider for TallyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let work = self.work(state)?;
        let threads = state.config().target_partitions();
        let exec = TallyExec::new(&self.table, work, &self.filters, &self.schema, threads);
        let exec: Arc<dyn ExecutionPlan> = Arc::new(exec);
        let Some(projection) = projection else { return Ok(exec) };
        let columns = projection.iter().map(|index| {
            let name = self.schema.field(*index).name();
            let column = datafusion::physical_expr::expressions::Column::new(name, *index);
            (Arc::new(column) as Arc<dyn PhysicalExpr>, name.clone())
        });
        let columns: Vec<_> = columns.collect();
        Ok(Arc::new(datafusion::physical_plan::projection::ProjectionExec::try_new(columns, exec)?))
    }
}

/// The plain type of a key's column.
fn plain(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}
