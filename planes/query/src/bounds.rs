//! What a question may be once it is planned.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use crate::error::QueryError;
use crate::types::fixed_bytes;

/// Rows of the smaller side of a join that compares every row with every other.
const MAX_COMPARED: usize = 1_000;

/// Most bytes of constants that one step of a question puts into each row: as many as a question has itself.
const MAX_CONSTANTS: usize = crate::gate::MAX_SQL_BYTES;
/// Most bytes that a row of one step takes, beside its texts.
const MAX_ROW: usize = 16 << 10;

/// Most columns of one step that are texts made by something that tells nobody how long they are.
const MAX_COPIES: usize = 32;

/// Refuses what would take more than the memory that is counted: a join of everything with everything, which does not
/// stop to be stopped; rows that are wide, or full of constants, of which a batch has thousands; and patterns that differ
/// from row to row, each of which is kept.
pub(crate) fn bounded(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut refused = None;
    plan.apply_with_subqueries(|plan| {
        refused = refused.take().or_else(|| of_step(plan));
        Ok(match refused {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    refused.map_or(Ok(()), |reason| Err(QueryError::Refused(reason)))
}

fn of_step(plan: &LogicalPlan) -> Option<String> {
    match plan {
        LogicalPlan::Join(join) if join.on.is_empty() => {
            let small = |side: &LogicalPlan| side.max_rows().is_some_and(|n| n <= MAX_COMPARED);
            if !small(&join.left) && !small(&join.right) {
                return Some(
                    "a join compares every row with every other; give it an equality".to_owned(),
                );
            }
        }
        LogicalPlan::Projection(projection) => {
            let copies = projection.expr.iter().filter(|expr| copies_text(expr, plan)).count();
            if copies > MAX_COPIES {
                return Some(format!(
                    "{copies} of its columns are texts that CASE, a cast or a choice makes, where {MAX_COPIES} may be"
                ));
            }
            let fields = projection.schema.fields().iter();
            let row = fields.map(|field| fixed_bytes(field.data_type())).sum::<usize>();
            let constants = projection.expr.iter().map(constants).sum::<usize>();
            if row > MAX_ROW || constants > MAX_CONSTANTS {
                return Some(format!(
                    "each of its rows has {row} bytes beside texts, where {MAX_ROW} may be, and {constants} bytes of constants, where {MAX_CONSTANTS} may be; name fewer columns"
                ));
            }
        }
        _ => {}
    }
    plan.expressions().iter().find_map(pattern_of_rows)
}

/// Whether an expression makes a text anew by something that is no function, and so tells nobody of it, or by one that
/// becomes such.
fn copies_text(expr: &Expr, plan: &LogicalPlan) -> bool {
    const CHOICES: [&str; 6] = ["coalesce", "greatest", "least", "nullif", "nvl", "nvl2"];
    let schema = merge_schema(&plan.inputs());
    let text = expr.get_type(&schema).is_ok_and(|data_type| {
        data_type.is_string() || data_type.is_binary() || data_type.is_nested()
    });
    let made = expr.exists(|expr| {
        Ok(match expr {
            Expr::Case(_) | Expr::Cast(_) | Expr::TryCast(_) => true,
            Expr::ScalarFunction(function) => CHOICES.contains(&function.name()),
            _ => false,
        })
    });
    text && made.unwrap_or(true)
}

/// What is wrong with a pattern that is not the same for all rows.
fn pattern_of_rows(expr: &Expr) -> Option<String> {
    let mut found = None;
    let seen = expr.apply(|expr| {
        let pattern = match expr {
            Expr::ScalarFunction(function) if function.name().starts_with("regexp_") => {
                function.args.get(1)
            }
            Expr::BinaryExpr(BinaryExpr { op, right, .. }) => matches!(
                op,
                Operator::RegexMatch
                    | Operator::RegexIMatch
                    | Operator::RegexNotMatch
                    | Operator::RegexNotIMatch
            )
            .then_some(&**right),
            _ => None,
        };
        match pattern {
            None | Some(Expr::Literal(..)) => Ok(TreeNodeRecursion::Continue),
            Some(other) => {
                found = Some(format!(
                    "the pattern {other} is not the same for all rows; give a constant"
                ));
                Ok(TreeNodeRecursion::Stop)
            }
        }
    });
    seen.map_or_else(|error| Some(error.to_string()), |_| found)
}

/// Bytes of the constants in an expression.
fn constants(expr: &Expr) -> usize {
    let mut bytes = 0_usize;
    let seen = expr.apply(|expr| {
        if let Expr::Literal(value, _) = expr {
            bytes = bytes.saturating_add(match value {
                ScalarValue::Utf8(text)
                | ScalarValue::LargeUtf8(text)
                | ScalarValue::Utf8View(text) => text.as_ref().map_or(0, String::len),
                ScalarValue::Binary(some) | ScalarValue::LargeBinary(some) => {
                    some.as_ref().map_or(0, Vec::len)
                }
                other if other.data_type().is_nested() => other.size(),
                other => fixed_bytes(&other.data_type()),
            });
        }
        Ok(TreeNodeRecursion::Continue)
    });
    seen.map_or(usize::MAX, |_| bytes)
}
