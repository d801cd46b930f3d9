//! Splits a question: what can be grouped, cut to the largest, or ordered and cut at the sites is done
//! there; the asker puts the parts together. What cannot be split is left: its rows are fetched.

use std::any::Any;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::session_state::SessionState;
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, FetchType, Limit, LogicalPlan, LogicalPlanBuilder, SkipType,
    Sort, Volatility, cast, ident, lit,
};
use datafusion::sql::unparser::plan_to_sql;
use holm_model::Millis;

use crate::mesh_table::{MeshTable, Notes, PartTable, Top, never_negative, renamed, zero};
use crate::sites::Asking;
use crate::sketch::{self, Kind, SKETCH, Use};
use crate::sum::sum;

/// Groups that a site sends at least where only the largest are wanted.
const LEAST_GROUPS: usize = 10_000;
/// Groups for each that is wanted.
const GROUPS_FOR_ONE: usize = 100;
/// More rows than this are not wanted by an order and a limit.
const MOST_ROWS: usize = 100_000;

/// The function whose column stands in its order.
const QUANTILE: &str = "approx_percentile_cont";

/// Splits plans of one question.
pub(crate) struct Splitter {
    pub(crate) asking: Arc<Asking>,
    /// A session over the tables of this site: what it cannot plan no site can.
    pub(crate) local: SessionState,
    pub(crate) notes: Notes,
    /// The moment of the question.
    pub(crate) now: Millis,
}

impl Splitter {
    pub(crate) fn split(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let whole = plan.transform_down(|plan| {
            let split = match &plan {
                LogicalPlan::Limit(limit) => self.largest(limit)?,
                LogicalPlan::Aggregate(aggregate) => self.grouped(aggregate, None)?,
                _ => None,
            };
            Ok(match split {
                Some(split) => Transformed::new(split, true, TreeNodeRecursion::Jump),
                None => Transformed::no(plan),
            })
        })?;
        Ok(whole.data)
    }

    /// An order with a limit: over rows of sites, or over groups.
    fn largest(&self, limit: &Limit) -> Result<Option<LogicalPlan>> {
        let (SkipType::Literal(skip), FetchType::Literal(Some(fetch))) =
            (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Ok(None);
        };
        let wanted = skip.saturating_add(fetch);
        let LogicalPlan::Sort(sort) = &*limit.input else { return Ok(None) };
        if wanted > MOST_ROWS {
            return Ok(None);
        }
        let below = if site_local(&sort.input) {
            self.rows(sort, wanted)?
        } else {
            self.groups(sort, wanted)?
        };
        let Some(below) = below else { return Ok(None) };
        let sorted = LogicalPlanBuilder::from(below).sort(sort.expr.clone())?;
        Ok(Some(sorted.limit(skip, Some(fetch))?.build()?))
    }

    /// The first rows of each site, in their order.
    fn rows(&self, sort: &Sort, wanted: usize) -> Result<Option<LogicalPlan>> {
        let input = &sort.input;
        let fields: Vec<(Column, String)> = input
            .schema()
            .columns()
            .into_iter()
            .enumerate()
            .map(|(index, column)| (column, format!("c{index}")))
            .collect();
        let renamed = fields.iter().map(|(column, name)| Expr::Column(column.clone()).alias(name));
        let part = LogicalPlanBuilder::from(input.as_ref().clone())
            .sort(sort.expr.clone())?
            .limit(0, Some(wanted))?
            .project(renamed)?
            .build()?;
        let Some(part) = self.part(&part, None, &[])? else { return Ok(None) };
        let back = fields.into_iter().map(|(column, name)| {
            ident(name).alias_qualified(column.relation.clone(), column.name.clone())
        });
        Ok(Some(part.project(back)?.build()?))
    }

    /// The largest groups by a sum or count of what is never negative.
    fn groups(&self, sort: &Sort, wanted: usize) -> Result<Option<LogicalPlan>> {
        let LogicalPlan::Projection(projection) = &*sort.input else { return Ok(None) };
        let LogicalPlan::Aggregate(aggregate) = &*projection.input else { return Ok(None) };
        if !site_local(&aggregate.input) {
            return Ok(None);
        }
        let by = sort.expr.first().filter(|by| !by.asc).and_then(|by| {
            let Expr::Column(column) = &by.expr else { return None };
            let index = projection.schema.maybe_index_of_column(column)?;
            let Expr::Column(of) = unaliased(&projection.expr[index]) else { return None };
            let index = aggregate.schema.maybe_index_of_column(of)?;
            index.checked_sub(aggregate.group_expr.len())
        });
        // What is computed of values that lack something may be off either way.
        let plain = |expr: &&Expr| matches!(unaliased(expr), Expr::Column(_));
        let by = by.filter(|_| {
            projection.expr.iter().all(|expr| {
                let groups = &aggregate.group_expr;
                let of_groups = |column: &&Column| {
                    let index = aggregate.schema.maybe_index_of_column(column);
                    index.is_some_and(|index| index < groups.len())
                };
                plain(&expr) || expr.column_refs().iter().all(of_groups)
            })
        });
        let groups = LEAST_GROUPS.max(wanted.saturating_mul(GROUPS_FOR_ONE));
        let top = by.map(|by| (by, groups));
        let Some(grouped) = self.grouped(aggregate, top)? else { return Ok(None) };
        let projected = LogicalPlanBuilder::from(grouped).project(projection.expr.clone())?;
        Ok(Some(projected.build()?))
    }

    /// A grouping whose groups are made at the sites. `top`: which of its values orders them, and how
    /// many are sent.
    fn grouped(
        &self,
        aggregate: &Aggregate,
        top: Option<(usize, usize)>,
    ) -> Result<Option<LogicalPlan>> {
        let groups = &aggregate.group_expr;
        let plain = |expr: &Expr| is_plain(expr) && !matches!(expr, Expr::GroupingSet(_));
        if !site_local(&aggregate.input) || !groups.iter().all(plain) {
            return Ok(None);
        }
        let Some(merging) = Merging::of(aggregate, top)? else { return Ok(None) };
        let input = LogicalPlanBuilder::from(aggregate.input.as_ref().clone());
        let mut by = groups.clone();
        by.extend(merging.more_groups.iter().cloned());
        let made = input.aggregate(by, merging.parts.clone())?.build()?;
        let names = (0..groups.len())
            .map(|index| format!("g{index}"))
            .chain((0..merging.more_groups.len()).map(|index| format!("d{index}")))
            .chain((0..merging.parts.len()).map(|index| format!("p{index}")));
        let renamed = made.schema().columns().into_iter().zip(names);
        let renamed: Vec<Expr> =
            renamed.map(|(column, name)| Expr::Column(column).alias(name)).collect();
        let mut part = LogicalPlanBuilder::from(made).project(renamed)?;
        let alone = merging.parts.len() == 1;
        let top = merging.top.map(|(part, groups)| Top {
            groups,
            column: by_column(aggregate, part),
            alone,
        });
        if let Some((index, groups)) = merging.top {
            let largest = ident(format!("p{index}")).sort(false, false);
            part = part.sort([largest])?.limit(0, Some(groups + 1))?;
        }
        let Some(part) = self.part(&part.build()?, top, &merging.sketches)? else {
            return Ok(None);
        };
        put_together(aggregate, merging, part).map(Some)
    }

    /// The part of a question that goes to the sites, as a table; `None` if SQL cannot say it, or a
    /// site could not plan it. `sketches`: columns `p0`, `p1`, … that are sketches.
    fn part(
        &self,
        plan: &LogicalPlan,
        top: Option<Top>,
        sketches: &[(usize, Kind)],
    ) -> Result<Option<LogicalPlanBuilder>> {
        let Ok(mut statement) = plan_to_sql(plan) else { return Ok(None) };
        crate::moment::write_out(&mut statement, self.now);
        let sql = statement.to_string();
        let Some(schema) = self.schema_of(&sql) else {
            tracing::debug!(sql, "a part of a question cannot be planned; its rows are fetched");
            return Ok(None);
        };
        let table = PartTable {
            sql,
            schema: marked(&schema, sketches),
            asking: Arc::clone(&self.asking),
            top,
            notes: Arc::clone(&self.notes),
        };
        Ok(Some(LogicalPlanBuilder::scan("part", provider_as_source(Arc::new(table)), None)?))
    }

    /// The columns of what a site answers.
    fn schema_of(&self, sql: &str) -> Option<SchemaRef> {
        let statement = crate::gate::admit(sql, &Default::default()).ok()?;
        // Planning over tables in memory never waits.
        let plan = futures::executor::block_on(self.local.statement_to_plan(statement)).ok()?;
        let plan = self.local.optimize(&plan).ok()?;
        Some(renamed(plan.schema().as_arrow()))
    }
}

/// The groups of a question, of a table of groups that were made of parts of its rows.
pub(crate) fn put_together(
    aggregate: &Aggregate,
    merging: Merging,
    part: LogicalPlanBuilder,
) -> Result<LogicalPlan> {
    let groups = aggregate.group_expr.len();
    let group_columns: Vec<Expr> = (0..groups).map(|i| ident(format!("g{i}"))).collect();
    let merges = merging.merges.iter().enumerate();
    let merged = merges.map(|(index, merge)| merge.clone().alias(format!("m{index}")));
    let merged = part.aggregate(group_columns.clone(), merged.collect::<Vec<_>>())?;
    let columns = aggregate.schema.iter().zip(group_columns.into_iter().chain(merging.values));
    let schema = Arc::clone(merged.schema());
    let columns: Vec<Expr> = columns
        .map(|((relation, field), value)| {
            // How many decimals a quotient has is not known to a plan whose types are not settled.
            let value = match value.get_type(&schema) {
                Ok(have) if have.is_decimal() => value,
                _ => cast(value, field.data_type().clone()),
            };
            value.alias_qualified(relation.cloned(), field.name().clone())
        })
        .collect();
    merged.project(columns)?.build()
}

/// The schema, with a mark at each column that holds sketches: what comes in it is checked.
fn marked(schema: &SchemaRef, sketches: &[(usize, Kind)]) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        let kind = sketches.iter().find(|(index, _)| *field.name() == format!("p{index}"));
        let mark = kind.map(|(_, kind)| (SKETCH.to_owned(), kind.word().to_owned()));
        field.as_ref().clone().with_metadata(mark.into_iter().collect())
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

const fn by_column(aggregate: &Aggregate, part: usize) -> usize {
    aggregate.group_expr.len() + part
}

/// How values of groups are made of values of the sites' groups.
#[derive(Default)]
pub(crate) struct Merging {
    /// What a site groups by beside the question's own groups.
    pub(crate) more_groups: Vec<Expr>,
    /// What a site computes for each group.
    pub(crate) parts: Vec<Expr>,
    /// What the asker computes of them for each group, called `m0`, `m1`, …
    merges: Vec<Expr>,
    /// What the question's values are of those, in their order.
    values: Vec<Expr>,
    top: Option<(usize, usize)>,
    /// Which of `parts` are sketches.
    sketches: Vec<(usize, Kind)>,
}

impl Merging {
    /// `None` if the sites cannot group.
    pub(crate) fn of(aggregate: &Aggregate, top: Option<(usize, usize)>) -> Result<Option<Self>> {
        let mut merging = Self::default();
        if let Some(distinct) = distinct_of(aggregate) {
            let column = ident("d0");
            merging.more_groups.push(distinct);
            for _ in &aggregate.aggr_expr {
                merging
                    .merges
                    .push(datafusion::functions_aggregate::expr_fn::count_distinct(column.clone()));
                merging.values.push(ident(format!("m{}", merging.merges.len() - 1)));
            }
            return Ok(Some(merging));
        }
        let grows = top.is_some() && only_grows(aggregate)?;
        for (index, expr) in aggregate.aggr_expr.iter().enumerate() {
            let Expr::AggregateFunction(function) = unaliased(expr) else { return Ok(None) };
            let params = &function.params;
            let simple = !params.distinct
                && (params.order_by.is_empty() || function.func.name() == QUANTILE)
                && params.null_treatment.is_none()
                && params.args.iter().all(is_plain)
                && params.filter.as_deref().is_none_or(is_plain);
            let (_, field) = aggregate.schema.qualified_field(by_column(aggregate, index));
            if !simple || !merging.add(function, field.data_type()) {
                return Ok(None);
            }
            if let Some((by, groups)) = top
                && by == index
            {
                let rising = grows && function.func.name() != "max";
                let alone = merging.parts.len().checked_sub(1);
                // Sums that other values need as well are where they were first.
                let part = merging.parts.iter().position(|part| part == unaliased(expr));
                merging.top = part.or(alone).filter(|_| rising).map(|part| (part, groups));
            }
        }
        Ok(Some(merging))
    }

    /// Adds one value; `false` if the sites cannot compute it.
    fn add(&mut self, function: &AggregateFunction, gives: &DataType) -> bool {
        let whole = Expr::AggregateFunction(function.clone());
        let args = &function.params.args;
        match function.func.name() {
            "count" => {
                let merged = self.merged(whole, sum);
                self.values.push(coalesce(vec![merged, zero()]));
            }
            "sum" | "min" | "max" | "bool_and" | "bool_or" | "bit_and" | "bit_or" => {
                let same = Arc::clone(&function.func);
                let merged = self.merged(whole, |part| same.call(vec![part]));
                self.values.push(merged);
            }
            "avg" if *gives == DataType::Float64 && args.len() == 1 => {
                let like = |expr: Expr| match expr {
                    Expr::AggregateFunction(mut other) => {
                        other.params.filter = function.params.filter.clone();
                        Expr::AggregateFunction(other)
                    }
                    other => other,
                };
                // A cast would not do: `sum` of it has the name of `sum` without.
                let total = like(sum(args[0].clone() * lit(1.0)));
                let number = like(count(args[0].clone()));
                let total = self.merged(total, sum);
                let number = self.merged(number, sum);
                self.values.push(total / cast(number, DataType::Float64));
            }
            name => return self.add_sketch(name, function),
        }
        true
    }

    /// Adds a value that is read from sketches; `false` if it is none of those.
    fn add_sketch(&mut self, name: &str, function: &AggregateFunction) -> bool {
        let params = &function.params;
        let (kind, more) = match (name, params.args.as_slice()) {
            ("approx_distinct", [_]) => (Kind::Distinct, None),
            ("approx_median", [_]) => (Kind::Quantiles, Some(lit(0.5))),
            (QUANTILE, [_, q]) => {
                let falling = params.order_by.first().is_some_and(|by| !by.asc);
                (Kind::Quantiles, Some(if falling { lit(1.0) - q.clone() } else { q.clone() }))
            }
            _ => return false,
        };
        let mut part = sketch::function(Use::Make(kind)).call(vec![params.args[0].clone()]);
        if let Expr::AggregateFunction(part) = &mut part {
            part.params.filter = params.filter.clone();
        }
        let read = sketch::function(Use::Read(kind));
        let value = self
            .merged(part.clone(), |part| read.call(std::iter::once(part).chain(more).collect()));
        let index = self.parts.iter().position(|other| *other == part).unwrap_or_default();
        if !self.sketches.contains(&(index, kind)) {
            self.sketches.push((index, kind));
        }
        self.values.push(value);
        true
    }

    /// A value that the sites compute, and how it is merged: the merged column.
    fn merged(&mut self, part: Expr, merge: impl FnOnce(Expr) -> Expr) -> Expr {
        let known = self.parts.iter().position(|other| *other == part);
        let index = known.unwrap_or_else(|| {
            self.parts.push(part);
            self.parts.len() - 1
        });
        let merge = merge(ident(format!("p{index}")));
        let known = self.merges.iter().position(|other| *other == merge);
        let index = known.unwrap_or_else(|| {
            self.merges.push(merge);
            self.merges.len() - 1
        });
        ident(format!("m{index}"))
    }
}

/// Whether each value only grows with each row: sums of what is never negative, counts, and labels, of which the largest
/// is taken. What lacks rows is too small then, and nothing else.
fn only_grows(aggregate: &Aggregate) -> Result<bool> {
    for expr in &aggregate.aggr_expr {
        let Expr::AggregateFunction(function) = unaliased(expr) else { return Ok(false) };
        let [arg, ..] = function.params.args.as_slice() else { return Ok(false) };
        let data_type = arg.get_type(aggregate.input.schema())?;
        let grows = match function.func.name() {
            "count" => true,
            "sum" => never_negative(&data_type),
            "max" => data_type.is_string(),
            _ => false,
        };
        if !grows {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What is counted once, if all that is asked is how many different values of one thing there are.
fn distinct_of(aggregate: &Aggregate) -> Option<Expr> {
    let mut found: Option<Expr> = None;
    for expr in &aggregate.aggr_expr {
        let Expr::AggregateFunction(function) = unaliased(expr) else { return None };
        let params = &function.params;
        let [arg] = params.args.as_slice() else { return None };
        let counts = function.func.name() == "count" && params.distinct && params.filter.is_none();
        if !counts || !is_plain(arg) || found.as_ref().is_some_and(|found| found != arg) {
            return None;
        }
        found = Some(arg.clone());
    }
    // What is grouped by already is there once.
    found.filter(|found| !aggregate.group_expr.contains(found))
}

pub(crate) fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// Whether a site can compute it by itself, and would compute the same.
fn is_plain(expr: &Expr) -> bool {
    let odd = expr.exists(|expr| {
        Ok(match expr {
            Expr::Exists(_)
            | Expr::InSubquery(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Placeholder(_)
            | Expr::ScalarSubquery(_)
            | Expr::WindowFunction(_) => true,
            Expr::ScalarFunction(function) => {
                function.func.signature().volatility == Volatility::Volatile
            }
            _ => false,
        })
    });
    matches!(odd, Ok(false))
}

/// Whether all of it can be done at each site alone: one table of the mesh, filtered and projected.
fn site_local(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => source_as_provider(&scan.source).is_ok_and(|provider| {
            let provider: &dyn Any = provider.as_ref();
            provider.is::<MeshTable>()
        }),
        LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.expressions().iter().all(is_plain) && plan.inputs().into_iter().all(site_local)
        }
        _ => false,
    }
}

/// What of a question is estimated by a sketch, whoever computes it: names of functions and sketches.
pub(crate) fn sketched(plan: &LogicalPlan) -> Vec<(String, Kind)> {
    let mut found = Vec::new();
    let seen = plan.apply(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::AggregateFunction(function) = expr
                    && let Some(kind) = sketch::kind_of(function.func.name())
                {
                    found.push((function.func.name().to_owned(), kind));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    if let Err(error) = seen {
        tracing::debug!(%error, "a plan could not be looked through");
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.dedup();
    found
}
