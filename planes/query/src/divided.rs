//! What is divided by 0 is null: a condition beside a division guards nothing, as each is worked out where it is
//! cheapest, and one record without packets would end every question for bytes by packet.

use std::sync::Arc;

use arrow::compute::kernels::cmp::eq;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The division with null for a divisor of 0; `None` if it is none of whole numbers and decimals, or is so already.
pub(crate) fn guarded(division: &BinaryExpr, schema: &DFSchema) -> Option<Expr> {
    let BinaryExpr { left, op, right } = division;
    if !matches!(op, Operator::Divide | Operator::Modulo) || divisor(right).is_some() {
        return None;
    }
    let exact =
        |side: &Expr| side.get_type(schema).is_ok_and(|of| of.is_integer() || of.is_decimal());
    if !exact(left) || !exact(right) || is_no_zero(right) {
        return None;
    }
    let function = Arc::new(ScalarUDF::from(Divisor::new()));
    let right = ScalarFunction::new_udf(function, vec![right.as_ref().clone()]);
    let right = Box::new(Expr::ScalarFunction(right));
    Some(Expr::BinaryExpr(BinaryExpr::new(left.clone(), *op, right)))
}

fn is_no_zero(expr: &Expr) -> bool {
    let Expr::Literal(value, _) = expr else { return false };
    value.is_null() || ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero != *value)
}

/// What is divided by, if this is its guard.
pub(crate) fn divisor(expr: &Expr) -> Option<&Expr> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let inner: &dyn std::any::Any = function.func.inner().as_ref();
    inner.downcast_ref::<Divisor>().and_then(|_| function.args.first())
}

/// The number, and null for 0.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Divisor {
    signature: Signature,
}

impl Divisor {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Divisor {
    fn name(&self) -> &'static str {
        "divisor"
    }

    /// No column of a plan has another name than before.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [of] => Ok(of.schema_name().to_string()),
            _ => exec_err!("a divisor is one number"),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one] => Ok(one.clone()),
            _ => exec_err!("a divisor is one number"),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let of = args.arg_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        Ok(Arc::new(Field::new(self.name(), of, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let of = &args.args[0];
        let zero = ScalarValue::new_zero(&of.data_type())?;
        Ok(match of {
            ColumnarValue::Scalar(value) if *value == zero => {
                ColumnarValue::Scalar(ScalarValue::try_new_null(&of.data_type())?)
            }
            ColumnarValue::Scalar(value) => ColumnarValue::Scalar(value.clone()),
            ColumnarValue::Array(array) => {
                ColumnarValue::Array(nullif(array, &eq(array, &zero.to_scalar()?)?)?)
            }
        })
    }
}
