//! Arithmetic on whole numbers that does not wrap: DataFusion's gives 18446744073709551615 for 1 - 2 of
//! unsigned columns, and says nothing.
//!
//! Where a question is planned, its numbers become wide enough: differences are signed, and sums and products of
//! narrow numbers have 64 bits; a whole number divided by a whole one is whole. Once its types are settled, and before constants are folded and filters
//! moved, each sum, difference and product becomes a function that says what does not fit. A filter that is sent to a
//! site is written with operators, which that site checks for itself.

use std::cell::Cell;
use std::sync::Arc;

use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion::optimizer::AnalyzerRule;

/// Makes whole numbers that are computed with wide enough.
#[derive(Debug)]
pub(crate) struct WideNumbers;

impl ExprPlanner for WideNumbers {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema))
        else {
            return Ok(PlannerResult::Original(expr));
        };
        let op = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let constant = is_count(&expr.left) && right == DataType::UInt64
            || is_count(&expr.right) && left == DataType::UInt64;
        let wide = match op {
            Operator::Minus => wide_enough(op, &left, &right),
            Operator::Divide | Operator::Modulo => {
                let never_negative = constant
                    || is_number_of_rows(&expr.left) && right == DataType::UInt64
                    || is_number_of_rows(&expr.right) && left == DataType::UInt64;
                divided_as(&left, &right, never_negative)
            }
            // A constant takes the other side's type, which has 64 bits as well.
            _ if constant => Some(DataType::UInt64),
            _ => wide_enough(op, &left, &right),
        };
        let Some(wide) = wide else {
            return Ok(PlannerResult::Original(expr));
        };
        let widened = |side, have: DataType| {
            Box::new(if have == wide { side } else { cast(side, wide.clone()) })
        };
        let done = BinaryExpr::new(widened(expr.left, left), op, widened(expr.right, right));
        Ok(PlannerResult::Planned(Expr::BinaryExpr(done)))
    }
}

/// Whether it is a whole number that is written out, and not below 0.
const fn is_count(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Int64(Some(0..)), _))
}

/// Whether it is what `count` gives, which is not below 0.
fn is_number_of_rows(expr: &Expr) -> bool {
    let expr = crate::split::unaliased(expr);
    matches!(expr, Expr::AggregateFunction(function) if function.func.name() == "count")
}

/// What both sides of a division become, so that a whole number by a whole number is whole: DataFusion makes a decimal
/// of 64 bits without a sign by such with one.
fn divided_as(left: &DataType, right: &DataType, never_negative: bool) -> Option<DataType> {
    let mixed = *left == DataType::UInt64 && right.is_signed_integer()
        || *right == DataType::UInt64 && left.is_signed_integer();
    let to = if never_negative { DataType::UInt64 } else { DataType::Int64 };
    mixed.then_some(to)
}

/// What both sides become before they are computed with; `None` where DataFusion makes them wide enough: a number of
/// 64 bits beside a narrower one, and decimals where one is signed and the other is not.
fn wide_enough(op: Operator, left: &DataType, right: &DataType) -> Option<DataType> {
    if !left.is_integer() || !right.is_integer() {
        return None;
    }
    let narrow = |side: &DataType| !matches!(side, DataType::Int64 | DataType::UInt64);
    let both_narrow = narrow(left) && narrow(right);
    match op {
        Operator::Minus => {
            let unsigned = left.is_unsigned_integer() || right.is_unsigned_integer();
            (unsigned || both_narrow).then_some(DataType::Int64)
        }
        // The one product of narrow numbers that can be more than a signed number holds.
        Operator::Multiply if *left == DataType::UInt32 && left == right => Some(DataType::UInt64),
        _ => both_narrow.then_some(DataType::Int64),
    }
}

/// Puts a check in the place of every sum, difference and product of whole numbers.
#[derive(Debug)]
pub(crate) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        checked(plan)
    }

    fn name(&self) -> &'static str {
        "checked_arithmetic"
    }
}

fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    let any = Cell::new(false);
    let plan = plan.transform_up_with_subqueries(|plan| {
        // What a table is scanned with is checked above it already.
        if matches!(plan, LogicalPlan::TableScan(_)) {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        let done = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let done = expr.transform_up(|expr| checked_expr(expr, &schema))?;
            Ok(if done.transformed { done.update_data(|expr| name.restore(expr)) } else { done })
        })?;
        any.set(any.get() || done.transformed);
        // What is divided may be null, which all above it have to know.
        if any.get() { done.map_data(LogicalPlan::recompute_schema) } else { Ok(done) }
    })?;
    Ok(plan.data)
}

fn checked_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (which, args) = match &expr {
        Expr::BinaryExpr(division)
            if matches!(division.op, Operator::Divide | Operator::Modulo) =>
        {
            let guarded = crate::divided::guarded(division, schema);
            return Ok(guarded.map_or_else(|| Transformed::no(expr), Transformed::yes));
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let Some(which) = Which::of(*op) else { return Ok(Transformed::no(expr)) };
            (which, vec![left.as_ref().clone(), right.as_ref().clone()])
        }
        Expr::Negative(of) => (Which::Negative, vec![of.as_ref().clone()]),
        _ => return Ok(Transformed::no(expr)),
    };
    let types: Result<Vec<DataType>> = args.iter().map(|arg| arg.get_type(schema)).collect();
    let Ok(types) = types else { return Ok(Transformed::no(expr)) };
    if !types[0].is_integer() || types.iter().any(|other| *other != types[0]) {
        return Ok(Transformed::no(expr));
    }
    let function = Arc::new(ScalarUDF::from(Checked::new(which)));
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function, args))))
}

/// The expression with operators in place of checks, as SQL has them.
pub(crate) fn with_operators(expr: Expr) -> Result<Expr> {
    let plain = expr.transform_up(|expr| {
        if let Some(divisor) = crate::divided::divisor(&expr) {
            return Ok(Transformed::yes(divisor.clone()));
        }
        let Expr::ScalarFunction(function) = &expr else { return Ok(Transformed::no(expr)) };
        let inner: &dyn std::any::Any = function.func.inner().as_ref();
        let Some(Checked { which, .. }) = inner.downcast_ref() else {
            return Ok(Transformed::no(expr));
        };
        let boxed = |arg: &Expr| Box::new(arg.clone());
        let plain = match (which.operator(), function.args.as_slice()) {
            (Some(op), [left, right]) => {
                Expr::BinaryExpr(BinaryExpr::new(boxed(left), op, boxed(right)))
            }
            (None, [of]) => Expr::Negative(boxed(of)),
            _ => return exec_err!("{} has other arguments than it takes", function.func.name()),
        };
        Ok(Transformed::yes(plain))
    })?;
    Ok(plain.data)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Which {
    Plus,
    Minus,
    Times,
    Negative,
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

    /// `None` for the one that stands before its number.
    const fn operator(self) -> Option<Operator> {
        match self {
            Self::Plus => Some(Operator::Plus),
            Self::Minus => Some(Operator::Minus),
            Self::Times => Some(Operator::Multiply),
            Self::Negative => None,
        }
    }
}

/// One of them, of numbers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    which: Which,
    signature: Signature,
}

impl Checked {
    fn new(which: Which) -> Self {
        let args = if which.operator().is_some() { 2 } else { 1 };
        Self { which, signature: Signature::any(args, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &'static str {
        match self.which {
            Which::Plus => "checked_plus",
            Which::Minus => "checked_minus",
            Which::Times => "checked_times",
            Which::Negative => "checked_negative",
        }
    }

    /// What the operator would be called: no column of a plan has another name than before.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match (self.which.operator(), args) {
            (Some(op), [left, right]) => {
                Ok(format!("{} {op} {}", left.schema_name(), right.schema_name()))
            }
            (None, [of]) => Ok(format!("(- {})", of.schema_name())),
            _ => exec_err!("{} has other arguments than it takes", self.name()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one, others @ ..] if one.is_integer() && others.iter().all(|other| other == one) => {
                Ok(one.clone())
            }
            _ => exec_err!("{} takes whole numbers of one type", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> =
            args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel = match self.which {
            Which::Plus => numeric::add,
            Which::Minus => numeric::sub,
            Which::Times => numeric::mul,
            Which::Negative => return negative(&args.args[0]).map_err(told),
        };
        datafusion::physical_expr_common::datum::apply(&args.args[0], &args.args[1], kernel)
            .map_err(told)
    }
}

fn negative(of: &ColumnarValue) -> Result<ColumnarValue> {
    Ok(match of {
        ColumnarValue::Array(array) => ColumnarValue::Array(numeric::neg(array)?),
        ColumnarValue::Scalar(value) => {
            let array = numeric::neg(&value.to_array()?)?;
            ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?)
        }
    })
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
