//! `sum` of whole numbers that ends at the largest (smallest) that there is, in place of beginning anew: flows that
//! claim more bytes than 64 bits hold would else hide their sender.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator,
    ReversedUDAF, SetMonotonicity, Signature, StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

/// `sum(argument)`, of which nobody is told where it ends.
pub(crate) fn sum(argument: Expr) -> Expr {
    function(Ended::default()).call(vec![argument])
}

/// The function by itself.
pub(crate) fn function(ended: Ended) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Sum(sum_udaf(), ended)))
}

/// Whether a sum came to the end of its numbers, or was made of one that had: sums of sites come as numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    fn tell(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

// A function is the same one whoever is told.
impl PartialEq for Ended {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ended {}

impl Hash for Ended {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// DataFusion's, but for how whole numbers are added.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum(Arc<AggregateUDF>, Ended);

/// Whole numbers of 64 bits, all of which fit into 128.
trait Whole: ArrowPrimitiveType + std::fmt::Debug + Send + Sync {
    fn wide(value: Self::Native) -> i128;
    fn within(value: i128) -> Self::Native;
    fn is_edge(value: Self::Native) -> bool;
    fn add(held: &mut Self::Native, value: Self::Native);
    fn scalar(value: Option<Self::Native>) -> ScalarValue;
}

macro_rules! whole {
    ($type:ty, $native:ty, $scalar:path) => {
        impl Whole for $type {
            fn wide(value: $native) -> i128 {
                i128::from(value)
            }
            fn within(value: i128) -> $native {
                let edge = if value < 0 { <$native>::MIN } else { <$native>::MAX };
                <$native>::try_from(value).unwrap_or(edge)
            }
            fn is_edge(value: $native) -> bool {
                value == <$native>::MAX || (<$native>::MIN != 0 && value == <$native>::MIN)
            }
            fn add(held: &mut $native, value: $native) {
                *held = held.saturating_add(value);
            }
            fn scalar(value: Option<$native>) -> ScalarValue {
                $scalar(value)
            }
        }
    };
}
whole!(UInt64Type, u64, ScalarValue::UInt64);
whole!(Int64Type, i64, ScalarValue::Int64);

/// Of one group, or of a window that moves on: exact while fewer than 2^63 rows are in it.
#[derive(Debug)]
struct Running<T> {
    sum: i128,
    rows: u64,
    ended: Ended,
    of: PhantomData<T>,
}

impl<T: Whole> Running<T> {
    const fn new(ended: Ended) -> Self {
        Self { sum: 0, rows: 0, ended, of: PhantomData }
    }

    fn of(&self, values: &[ArrayRef]) -> Result<(i128, u64)> {
        let Some(values) = values.first() else { return exec_err!("sum has one argument") };
        let values: &PrimitiveArray<T> = values.as_primitive();
        let rows = values.len() - values.null_count();
        if values.iter().flatten().any(T::is_edge) {
            self.ended.tell();
        }
        let sum = match values.null_count() {
            0 => values.values().iter().map(|value| T::wide(*value)).sum(),
            _ => values.iter().flatten().map(T::wide).sum(),
        };
        Ok((sum, rows as u64))
    }
}

impl<T: Whole> Accumulator for Running<T> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, rows) = self.of(values)?;
        self.sum += sum;
        self.rows += rows;
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = T::within(self.sum);
        if T::is_edge(sum) {
            self.ended.tell();
        }
        Ok(T::scalar((self.rows > 0).then_some(sum)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sum, rows) = self.of(values)?;
        self.sum -= sum;
        self.rows = self.rows.saturating_sub(rows);
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::UInt64 if !args.is_distinct => {
                Ok(Box::new(Running::<UInt64Type>::new(self.1.clone())))
            }
            DataType::Int64 if !args.is_distinct => {
                Ok(Box::new(Running::<Int64Type>::new(self.1.clone())))
            }
            _ => self.0.accumulator(args),
        }
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        match args.return_field.data_type() {
            DataType::UInt64 | DataType::Int64 if !args.is_distinct => self.accumulator(args),
            _ => self.0.create_sliding_accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        macro_rules! groups {
            ($type:ty) => {{
                let ended = self.1.clone();
                Ok(Box::new(PrimitiveGroupsAccumulator::<$type, _>::new(
                    args.return_field.data_type(),
                    move |held, value| {
                        <$type as Whole>::add(held, value);
                        if <$type as Whole>::is_edge(value) || <$type as Whole>::is_edge(*held) {
                            ended.tell();
                        }
                    },
                )))
            }};
        }
        match args.return_field.data_type() {
            DataType::UInt64 => groups!(UInt64Type),
            DataType::Int64 => groups!(Int64Type),
            _ => self.0.create_groups_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.0.inner().set_monotonicity(data_type)
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        argument: &Expr,
        op: Operator,
        literal: &Expr,
        argument_is_left: bool,
    ) -> Result<Option<Expr>> {
        // A sum and a product beside it would be added anew, and not end where this does.
        match literal {
            Expr::Literal(value, _) if value.data_type().is_integer() => Ok(None),
            _ => self.0.simplify_expr_op_literal(function, argument, op, literal, argument_is_left),
        }
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        match args.return_type {
            DataType::UInt64 | DataType::Int64 => None,
            _ => self.0.value_from_stats(args),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, UInt64Array};

    use super::*;

    #[test]
    fn a_sum_ends_at_the_largest_and_comes_back_exactly() {
        let ended = Ended::default();
        let mut sum = Running::<UInt64Type>::new(ended.clone());
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::UInt64(None));
        let half: ArrayRef = Arc::new(UInt64Array::from(vec![Some(1 << 63), None]));
        for _ in 0..3 {
            sum.update_batch(&[Arc::clone(&half)]).unwrap();
        }
        assert!(!ended.is_told());
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::UInt64(Some(u64::MAX)));
        assert!(ended.is_told());
        sum.retract_batch(&[Arc::clone(&half)]).unwrap();
        sum.retract_batch(&[Arc::clone(&half)]).unwrap();
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::UInt64(Some(1 << 63)));
        sum.retract_batch(&[half]).unwrap();
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::UInt64(None));

        let mut sum = Running::<Int64Type>::new(Ended::default());
        sum.update_batch(&[Arc::new(Int64Array::from(vec![i64::MIN, -1]))]).unwrap();
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::Int64(Some(i64::MIN)));
        sum.update_batch(&[Arc::new(Int64Array::from(vec![i64::MAX, 3]))]).unwrap();
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::Int64(Some(1)));
    }
}
