//! Functions whose results are longer than what they are given, each batch of which is bounded before it is made:
//! nested in each other they would else make gigabytes of a few rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{is_null, nullif, or};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// Most bytes of text that one batch of rows becomes.
const MAX_BYTES: usize = 16 << 20;
/// What `a || b` is called: nothing if either is.
pub(crate) const JOINED: &str = "text_join";

/// How much longer a function makes what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// As long as all arguments together.
    Sum,
    /// As many times as long as the third argument: each place may become that.
    ByThird,
}

/// One of DataFusion's, with a look at what comes of it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Grown {
    name: &'static str,
    inner: Arc<ScalarUDF>,
    growth: Growth,
    /// Whether nothing comes of nothing.
    strict: bool,
}

/// Those of `functions` that grow, bounded; the others as they are. And [`JOINED`].
pub(crate) fn bounded(functions: Vec<Arc<ScalarUDF>>) -> Vec<Arc<ScalarUDF>> {
    let mut all = Vec::with_capacity(functions.len() + 1);
    for inner in functions {
        let (name, growth) = match inner.name() {
            "concat" => {
                let (inner, growth) = (Arc::clone(&inner), Growth::Sum);
                let joined = Grown { name: JOINED, inner, growth, strict: true };
                all.push(Arc::new(ScalarUDF::from(joined)));
                ("concat", Growth::Sum)
            }
            "concat_ws" => ("concat_ws", Growth::Sum),
            "regexp_replace" => ("regexp_replace", Growth::ByThird),
            "overlay" => ("overlay", Growth::Sum),
            "translate" => ("translate", Growth::Sum),
            _ => {
                all.push(inner);
                continue;
            }
        };
        all.push(Arc::new(ScalarUDF::from(Grown { name, inner, growth, strict: false })));
    }
    all
}

/// Bytes of text in an argument, for so many rows.
fn bytes(value: &ColumnarValue, rows: usize) -> usize {
    match value {
        ColumnarValue::Scalar(value) => longest(&ColumnarValue::Scalar(value.clone())) * rows,
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().iter().flatten().map(str::len).sum(),
            DataType::LargeUtf8 => array.as_string::<i64>().iter().flatten().map(str::len).sum(),
            DataType::Utf8View => array.as_string_view().iter().flatten().map(str::len).sum(),
            _ => array.to_data().get_slice_memory_size().unwrap_or(usize::MAX),
        },
    }
}

/// Bytes of the longest text in an argument.
fn longest(value: &ColumnarValue) -> usize {
    let most = |texts: &mut dyn Iterator<Item = Option<&str>>| {
        texts.flatten().map(str::len).max().unwrap_or(0)
    };
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
        ) => text.as_ref().map_or(0, String::len),
        ColumnarValue::Scalar(value) => value.size(),
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Utf8 => most(&mut array.as_string::<i32>().iter()),
            DataType::LargeUtf8 => most(&mut array.as_string::<i64>().iter()),
            DataType::Utf8View => most(&mut array.as_string_view().iter()),
            _ => array.to_data().get_slice_memory_size().unwrap_or(usize::MAX),
        },
    }
}

impl Grown {
    fn result_bytes(&self, args: &ScalarFunctionArgs) -> usize {
        let rows = args.number_rows;
        match self.growth {
            Growth::Sum => {
                args.args.iter().fold(0, |sum: usize, arg| sum.saturating_add(bytes(arg, rows)))
            }
            Growth::ByThird => {
                let own = args.args.first().map_or(0, |arg| bytes(arg, rows).saturating_add(rows));
                own.saturating_mul(args.args.get(2).map_or(0, longest).max(1))
            }
        }
    }
}

impl ScalarUDFImpl for Grown {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        if self.name == self.inner.name() { self.inner.aliases() } else { &[] }
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(
        &self,
        args: ReturnFieldArgs<'_>,
    ) -> Result<arrow::datatypes::FieldRef> {
        let field = self.inner.return_field_from_args(args)?;
        let field = field.as_ref().clone().with_name(self.name);
        Ok(Arc::new(if self.strict { field.with_nullable(true) } else { field }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.result_bytes(&args) > MAX_BYTES {
            return exec_err!(
                "what {} makes of one batch of rows is longer than {} MiB",
                self.name,
                MAX_BYTES >> 20
            );
        }
        let given = self.strict.then(|| (args.args.clone(), args.number_rows));
        let made = self.inner.invoke_with_args(args)?;
        match given {
            Some((given, rows)) => strictly(made, &given, rows),
            None => Ok(made),
        }
    }
}

/// Nothing where any argument is nothing.
fn strictly(made: ColumnarValue, given: &[ColumnarValue], rows: usize) -> Result<ColumnarValue> {
    let is_none = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(v) if v.is_null());
    let made: ArrayRef = match made {
        ColumnarValue::Scalar(value) => {
            let none = given.iter().any(is_none);
            let none = none.then(|| ScalarValue::try_from(value.data_type())).transpose()?;
            return Ok(ColumnarValue::Scalar(none.unwrap_or(value)));
        }
        ColumnarValue::Array(array) => array,
    };
    let mut nothing = None;
    for arg in given {
        let own = is_null(&arg.to_array(rows)?)?;
        nothing = Some(match nothing {
            Some(before) => or(&before, &own)?,
            None => own,
        });
    }
    Ok(ColumnarValue::Array(match nothing {
        Some(nothing) => nullif(&made, &nothing)?,
        None => made,
    }))
}
