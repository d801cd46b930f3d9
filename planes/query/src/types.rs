//! How large the types of a question's values may be: those of structs within structs double with each level, and one
//! of fixed length takes it in every row, whatever is in it.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

/// Most values that one value is made of.
const MAX_PARTS: usize = 256;
/// Most bytes, or values, of a type of fixed length.
const MAX_FIXED: usize = 1_024;
/// Deepest nesting of types.
const MAX_DEEP: usize = 16;

/// Nothing, if a type is of a size that values may have.
///
/// # Errors
/// It is larger.
pub(crate) fn bounded_type(data_type: &DataType) -> Result<()> {
    match parts(data_type, 0) {
        Some(n) if n <= MAX_PARTS => Ok(()),
        _ => plan_err!(
            "a value is made of more than {MAX_PARTS} values, is deeper than {MAX_DEEP}, or is of a fixed length of more than {MAX_FIXED}: ask for fewer columns in one struct"
        ),
    }
}

/// Values that a value of this type is made of; `None` beyond what may be.
fn parts(data_type: &DataType, deep: usize) -> Option<usize> {
    if deep > MAX_DEEP {
        return None;
    }
    let of = |field: &FieldRef| parts(field.data_type(), deep + 1);
    let sum = |fields: &mut dyn Iterator<Item = &FieldRef>| {
        let mut sum = 1_usize;
        for field in fields {
            sum = sum.checked_add(of(field)?)?;
            // A type that doubled is not walked through.
            if sum > MAX_PARTS {
                return None;
            }
        }
        Some(sum)
    };
    match data_type {
        DataType::Struct(fields) => sum(&mut fields.iter()),
        DataType::Union(fields, _) => sum(&mut fields.iter().map(|(_, field)| field)),
        DataType::List(field)
        | DataType::ListView(field)
        | DataType::LargeList(field)
        | DataType::LargeListView(field)
        | DataType::Map(field, _) => of(field),
        DataType::FixedSizeList(field, length) => {
            let length = usize::try_from(*length).ok().filter(|length| *length <= MAX_FIXED)?;
            of(field)?.checked_mul(length.max(1))
        }
        DataType::FixedSizeBinary(length) => {
            usize::try_from(*length).ok().filter(|length| *length <= MAX_FIXED).map(|_| 1)
        }
        DataType::Dictionary(_, values) => parts(values, deep + 1),
        DataType::RunEndEncoded(_, values) => of(values),
        _ => Some(1),
    }
}

/// Bytes that a value of this type takes in every row, whatever is in it.
pub(crate) fn fixed_bytes(data_type: &DataType) -> usize {
    let count = |length: &i32| usize::try_from(*length).unwrap_or(0);
    match data_type {
        DataType::FixedSizeBinary(length) => count(length),
        DataType::FixedSizeList(field, length) => {
            fixed_bytes(field.data_type()).saturating_mul(count(length))
        }
        DataType::Struct(fields) => fields.iter().map(|field| fixed_bytes(field.data_type())).sum(),
        // A text has a place and a length.
        other => other.primitive_width().unwrap_or(8),
    }
}

/// Nothing, if no value of the plan is of a type that is too large.
///
/// # Errors
/// One is.
pub(crate) fn bounded_types(plan: &LogicalPlan) -> Result<()> {
    let within = |plan: &LogicalPlan| {
        let schema = merge_schema(&plan.inputs());
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                of_expr(expr, &schema)?;
                Ok(TreeNodeRecursion::Continue)
            })
        })
    };
    plan.apply_with_subqueries(within)?;
    Ok(())
}

fn of_expr(expr: &Expr, schema: &DFSchema) -> Result<()> {
    match expr {
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. }) => {
            bounded_type(field.data_type())
        }
        Expr::ScalarFunction(function) if crate::grown::grows(function.func.name()) => {
            // What has no type is said where types are settled.
            expr.get_type(schema).map_or(Ok(()), |data_type| bounded_type(&data_type))
        }
        _ => Ok(()),
    }
}
