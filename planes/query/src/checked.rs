//! Arithmetic on whole numbers that does not wrap: DataFusion's gives 18446744073709551615 for 1 - 2 of
//! unsigned columns, and says nothing.
//!
//! Differences of unsigned numbers are signed, decided where a question is planned, so that each site does
//! alike. What does not fit 64 bits is an error that names the numbers, put into the plan that a site
//! executes.

use std::sync::Arc;

use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};

/// Makes differences of unsigned numbers signed.
#[derive(Debug)]
pub(crate) struct SignedDifferences;

impl ExprPlanner for SignedDifferences {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if !matches!(expr.op, BinaryOperator::Minus) {
            return Ok(PlannerResult::Original(expr));
        }
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema))
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let whole = left.is_integer() && right.is_integer();
        if !whole || !(left.is_unsigned_integer() || right.is_unsigned_integer()) {
            return Ok(PlannerResult::Original(expr));
        }
        let signed = |side| Box::new(cast(side, DataType::Int64));
        let difference = BinaryExpr::new(signed(expr.left), Operator::Minus, signed(expr.right));
        Ok(PlannerResult::Planned(Expr::BinaryExpr(difference)))
    }
}

/// The plan with every sum, difference and product of whole numbers checked.
pub(crate) fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        // What a table is scanned with and joined by stays as the planner knows it.
        if matches!(plan, LogicalPlan::TableScan(_) | LogicalPlan::Join(_)) {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let done = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let done = expr.transform_up(|expr| checked_expr(expr, &schema))?;
            Ok(if done.transformed { done.update_data(|expr| name.restore(expr)) } else { done })
        })?;
        if done.transformed { done.map_data(LogicalPlan::recompute_schema) } else { Ok(done) }
    })?;
    Ok(plan.data)
}

fn checked_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let Some(which) = Which::of(*op) else { return Ok(Transformed::no(expr)) };
    let (Ok(one), Ok(other)) = (left.get_type(schema), right.get_type(schema)) else {
        return Ok(Transformed::no(expr));
    };
    if one != other || !one.is_integer() {
        return Ok(Transformed::no(expr));
    }
    let args = vec![left.as_ref().clone(), right.as_ref().clone()];
    let function = Arc::new(ScalarUDF::from(Checked::new(which)));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Which {
    Plus,
    Minus,
    Times,
}

impl Which {
    const fn of(op: Operator) -> Option<Self> {
        match op {
            Operator::Plus => Some(Self::Plus),
            Operator::Minus => Some(Self::Minus),
            Operator::Multiply => Some(Self::Times),
            _ => None,
        }
    }
}

/// One of the three, of two numbers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    which: Which,
    signature: Signature,
}

impl Checked {
    fn new(which: Which) -> Self {
        Self { which, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.which {
            Which::Plus => "checked_plus",
            Which::Minus => "checked_minus",
            Which::Times => "checked_times",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one, other] if one == other && one.is_integer() => Ok(one.clone()),
            _ => exec_err!("{} takes two whole numbers of one type", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel = match self.which {
            Which::Plus => numeric::add,
            Which::Minus => numeric::sub,
            Which::Times => numeric::mul,
        };
        datafusion::physical_expr_common::datum::apply(&args.args[0], &args.args[1], kernel)
            .map_err(told)
    }
}

/// The error with its way out.
fn told(error: DataFusionError) -> DataFusionError {
    let overflow = match error.find_root() {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::ArithmeticOverflow(what) => Some(what.clone()),
            _ => None,
        },
        _ => None,
    };
    match overflow {
        Some(what) => DataFusionError::Execution(format!(
            "{what}: more than a whole number holds; cast one side to double"
        )),
        None => error,
    }
}
