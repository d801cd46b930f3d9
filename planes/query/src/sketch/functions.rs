//! Sketches as functions of SQL: `approx_distinct`, `approx_percentile_cont` and `approx_median` in the
//! place of DataFusion's, and what questions between sites are made of: functions that give a sketch's
//! bytes, and that read a value from such bytes.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array,
    Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Signature, Volatility,
};
use datafusion::physical_plan::PhysicalExpr;
use twox_hash::XxHash64;

use super::{Distinct, Kind, NoSketch, Quantiles};

/// What a function takes and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    /// `approx_distinct(x)`
    Distinct,
    /// `approx_percentile_cont(q) WITHIN GROUP (ORDER BY x)`, or `(x, q)`
    Quantile,
    /// `approx_median(x)`
    Median,
    /// Values in, a sketch out.
    Make(Kind),
    /// Sketches in, the value out; quantiles take `q` as well.
    Read(Kind),
}

const USES: [Use; 7] = [
    Use::Distinct,
    Use::Quantile,
    Use::Median,
    Use::Make(Kind::Distinct),
    Use::Read(Kind::Distinct),
    Use::Make(Kind::Quantiles),
    Use::Read(Kind::Quantiles),
];

/// All that questions can name.
pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    USES.into_iter().map(function).collect()
}

/// The sketch that the function of that name reads its value from.
pub(crate) fn kind_of(name: &str) -> Option<Kind> {
    let of = USES.into_iter().find(|of| of.name() == name);
    of.filter(|of| !matches!(of, Use::Make(_))).map(Use::kind)
}

/// The function of that use.
pub(crate) fn function(of: Use) -> Arc<AggregateUDF> {
    let arguments = if matches!(of, Use::Quantile | Use::Read(Kind::Quantiles)) { 2 } else { 1 };
    let signature = Signature::any(arguments, Volatility::Immutable);
    Arc::new(AggregateUDF::from(Function { of, signature }))
}

impl Use {
    const fn name(self) -> &'static str {
        match self {
            Self::Distinct => "approx_distinct",
            Self::Quantile => "approx_percentile_cont",
            Self::Median => "approx_median",
            Self::Make(Kind::Distinct) => "distinct_sketch",
            Self::Make(Kind::Quantiles) => "quantiles_sketch",
            Self::Read(Kind::Distinct) => "distinct_of_sketches",
            Self::Read(Kind::Quantiles) => "quantile_of_sketches",
        }
    }

    const fn kind(self) -> Kind {
        match self {
            Self::Distinct => Kind::Distinct,
            Self::Quantile | Self::Median => Kind::Quantiles,
            Self::Make(kind) | Self::Read(kind) => kind,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    of: Use,
    signature: Signature,
}

impl AggregateUDFImpl for Function {
    fn name(&self) -> &str {
        self.of.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let first = types.first().unwrap_or(&DataType::Null);
        let takes = match self.of {
            Use::Read(_) => *first == DataType::Binary,
            _ => match self.of.kind() {
                Kind::Quantiles => first.is_numeric() || *first == DataType::Null,
                Kind::Distinct => hashable(first),
            },
        };
        if !takes {
            return plan_err!("{} does not take {first}", self.of.name());
        }
        Ok(match (self.of, self.of.kind()) {
            (Use::Make(_), _) => DataType::Binary,
            (_, Kind::Distinct) => DataType::UInt64,
            (_, Kind::Quantiles) => DataType::Float64,
        })
    }

    fn is_nullable(&self) -> bool {
        !(self.of.kind() == Kind::Distinct || matches!(self.of, Use::Make(_)))
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.of {
            Use::Distinct | Use::Read(Kind::Distinct) => Ok(ScalarValue::UInt64(Some(0))),
            Use::Make(kind) => Ok(ScalarValue::Binary(Some(Sketch::of(kind).to_bytes()))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, self.of.kind().word());
        Ok(vec![Arc::new(Field::new(name, DataType::Binary, false))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let q = match self.of {
            Use::Median => 0.5,
            Use::Quantile | Use::Read(Kind::Quantiles) => {
                let q = share(args.exprs.get(1), self.of.name())?;
                let falling = args.order_bys.first().is_some_and(|by| by.options.descending);
                if falling { 1.0 - q } else { q }
            }
            _ => 0.0,
        };
        Ok(Box::new(Sketching { of: self.of, q, sketch: Sketch::of(self.of.kind()) }))
    }

    /// The order only says which column a quantile is of.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_within_group_clause(&self) -> bool {
        self.of == Use::Quantile
    }
}

/// Which quantile: a number in the question.
fn share(expr: Option<&Arc<dyn PhysicalExpr>>, name: &str) -> Result<f64> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let value = match expr.map(|expr| expr.evaluate(&nothing)) {
        Some(Ok(ColumnarValue::Scalar(value))) => value.cast_to(&DataType::Float64).ok(),
        _ => None,
    };
    match value {
        Some(ScalarValue::Float64(Some(q))) if (0.0..=1.0).contains(&q) => Ok(q),
        _ => plan_err!("{name} takes a number between 0 and 1, such as 0.95"),
    }
}

/// Either sketch.
#[derive(Debug)]
enum Sketch {
    Distinct(Distinct),
    Quantiles(Quantiles),
}

impl Sketch {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Distinct => Self::Distinct(Distinct::default()),
            Kind::Quantiles => Self::Quantiles(Quantiles::default()),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Distinct(sketch) => sketch.to_bytes(),
            Self::Quantiles(sketch) => sketch.to_bytes(),
        }
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        match self {
            Self::Distinct(sketch) => each_hash(values, |hash| sketch.add(hash)),
            Self::Quantiles(sketch) => {
                let floats = cast(values, &DataType::Float64)?;
                let floats: &Float64Array = floats.as_primitive();
                floats.iter().flatten().for_each(|value| sketch.add(value));
                Ok(())
            }
        }
    }

    fn merge(&mut self, sketches: &ArrayRef) -> Result<()> {
        let sketches: &BinaryArray = sketches.as_binary();
        let wrong = |error: NoSketch| DataFusionError::External(Box::new(error));
        for bytes in sketches.iter().flatten() {
            match self {
                Self::Distinct(own) => own.merge(&Distinct::from_bytes(bytes).map_err(wrong)?),
                Self::Quantiles(own) => own.merge(&Quantiles::from_bytes(bytes).map_err(wrong)?),
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Sketching {
    of: Use,
    q: f64,
    sketch: Sketch,
}

impl Accumulator for Sketching {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match (self.of, values.first()) {
            (Use::Read(_), Some(sketches)) => self.sketch.merge(sketches),
            (_, Some(values)) => self.sketch.add(values),
            (_, None) => Ok(()),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states.first().map_or(Ok(()), |sketches| self.sketch.merge(sketches))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.sketch.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(match (self.of, &self.sketch) {
            (Use::Make(_), sketch) => ScalarValue::Binary(Some(sketch.to_bytes())),
            (_, Sketch::Distinct(sketch)) => ScalarValue::UInt64(Some(sketch.estimate())),
            (_, Sketch::Quantiles(sketch)) => ScalarValue::Float64(sketch.quantile(self.q)),
        })
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + match &self.sketch {
                Sketch::Distinct(sketch) => sketch.size(),
                Sketch::Quantiles(sketch) => sketch.size(),
            }
    }
}

/// Whether values of that type have a hash.
fn hashable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => hashable(values),
        DataType::FixedSizeBinary(_) | DataType::Binary | DataType::Boolean | DataType::Null => {
            true
        }
        other => other.is_string() || other.is_numeric() || other.is_temporal(),
    }
}

/// The hash of each value that is there: XXH64 with seed 0 of its bytes. Numbers are hashed by what
/// they are worth and not by their type, so that sites with other types agree.
fn each_hash(values: &ArrayRef, mut add: impl FnMut(u64)) -> Result<()> {
    let hash = |bytes: &[u8]| XxHash64::oneshot(0, bytes);
    match values.data_type() {
        DataType::Null => {}
        DataType::Dictionary(_, plain) => each_hash(&cast(values, plain)?, add)?,
        DataType::FixedSizeBinary(_) => {
            let values: &FixedSizeBinaryArray = values.as_fixed_size_binary();
            values.iter().flatten().for_each(|bytes| add(hash(bytes)));
        }
        DataType::Binary => {
            let values: &BinaryArray = values.as_binary();
            values.iter().flatten().for_each(|bytes| add(hash(bytes)));
        }
        DataType::Boolean => {
            let values: &BooleanArray = values.as_boolean();
            values.iter().flatten().for_each(|flag| add(hash(&[u8::from(flag)])));
        }
        DataType::UInt64 => {
            // All of them fit 64 bits, as those of `Int64` do.
            let values = values.as_primitive::<arrow::datatypes::UInt64Type>();
            values.iter().flatten().for_each(|number| add(hash(&number.to_le_bytes())));
        }
        other if other.is_integer() || other.is_temporal() => {
            let values = cast(values, &DataType::Int64)?;
            let values: &Int64Array = values.as_primitive::<Int64Type>();
            values.iter().flatten().for_each(|number| add(hash(&number.to_le_bytes())));
        }
        other if other.is_numeric() => {
            let values = cast(values, &DataType::Float64)?;
            let values: &Float64Array = values.as_primitive();
            // One 0.
            values.iter().flatten().for_each(|number| add(hash(&(number + 0.0).to_le_bytes())));
        }
        _ => {
            let values = cast(values, &DataType::Utf8)?;
            let values: &StringArray = values.as_string();
            values.iter().flatten().for_each(|text| add(hash(text.as_bytes())));
        }
    }
    Ok(())
}
