//! Keeps equal projections apart: of two that stand one over the other with the same expressions, such as in
//! `SELECT s + 1 AS s FROM (SELECT s + 1 AS s FROM …)`, DataFusion's optimizer takes one away, whatever
//! they compute.

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};

/// The plan in which no projection equals the one that it stands on: it says each name twice, which means
/// the same.
pub(crate) fn apart(plan: LogicalPlan) -> Result<LogicalPlan> {
    // From below, so that of three equal ones the second differs from both others.
    let plan = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Projection(upper) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Projection(lower) = &*upper.input else {
            return Ok(Transformed::no(plan));
        };
        let computes = upper.expr.iter().any(|expr| !matches!(expr, Expr::Column(_)));
        if upper.expr != lower.expr || !computes {
            return Ok(Transformed::no(plan));
        }
        let named = upper.expr.iter().map(|expr| match expr {
            Expr::Column(_) => expr.clone(),
            Expr::Alias(alias) => expr.clone().alias_qualified(alias.relation.clone(), &alias.name),
            other => {
                let (relation, name) = other.qualified_name();
                other.clone().alias_qualified(relation, name)
            }
        });
        let again = Projection::try_new(named.collect(), upper.input.clone())?;
        Ok(Transformed::yes(LogicalPlan::Projection(again)))
    })?;
    Ok(plan.data)
}
