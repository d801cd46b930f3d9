//! Functions whose results are longer than what they are given, or of larger types, each of which is bounded before it
//! is made: nested in each other they would else make gigabytes of a few rows. What such a batch of texts takes is told to
//! the memory that all questions share for as long as it is there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{is_null, nullif, or};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawDictionaryExpr, RawFieldAccessExpr,
};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, GetFieldAccess, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

use crate::told::Pool;
use crate::types::bounded_type;

/// Most bytes of text that one batch of rows becomes.
const MAX_BYTES: usize = 16 << 20;
/// Rows of a batch: what is made of constants alone stands in each of them.
const BATCH_ROWS: usize = 8_192;
/// What `a || b` is called: nothing if either is.
pub(crate) const JOINED: &str = "text_join";

/// How much longer a function makes what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// As long as all arguments together.
    Sum,
    /// The same, with the first argument before each of the others.
    Separated,
    /// So many times as long as the first argument.
    Times(usize),
    /// As many times as long as the third argument: each place may become that.
    ByThird,
    /// As long as the first argument for each group of the second, which is a pattern.
    Groups,
    /// By the second argument, each two bytes of which may become a whole time.
    Format,
    /// As long as each value of the first argument as text, with the others beside it.
    Listed,
    /// No longer than the first argument: it is only told of.
    Same,
    /// As long as the name of the first argument's type.
    Name,
    /// No longer; its type is as large as its arguments' together, or whatever they say.
    Type,
}

/// Those of DataFusion's functions that make longer values, and how much, and those that make copies of texts.
const GROWING: &[(&str, Growth)] = &[
    ("arrow_cast", Growth::Type),
    ("arrow_try_cast", Growth::Type),
    ("array_element", Growth::Same),
    ("array_slice", Growth::Same),
    ("array_to_string", Growth::Listed),
    ("arrow_typeof", Growth::Name),
    ("btrim", Growth::Same),
    ("cast_to_type", Growth::Type),
    ("concat", Growth::Sum),
    ("concat_ws", Growth::Separated),
    // Two digits a byte, or four letters for three bytes and what fills them up.
    ("encode", Growth::Times(2)),
    // One letter may become three.
    ("initcap", Growth::Times(3)),
    ("left", Growth::Same),
    ("lower", Growth::Times(3)),
    ("ltrim", Growth::Same),
    ("named_struct", Growth::Type),
    ("overlay", Growth::Sum),
    ("regexp_match", Growth::Groups),
    ("regexp_replace", Growth::ByThird),
    ("reverse", Growth::Same),
    ("right", Growth::Same),
    ("rtrim", Growth::Same),
    ("split_part", Growth::Same),
    ("struct", Growth::Type),
    ("substr", Growth::Same),
    ("substr_index", Growth::Same),
    ("to_char", Growth::Format),
    // A letter of one byte may become one of four.
    ("translate", Growth::Times(4)),
    ("try_cast_to_type", Growth::Type),
    ("upper", Growth::Times(3)),
];

/// Whether a function is bounded here.
pub(crate) fn grows(name: &str) -> bool {
    GROWING.iter().any(|(known, _)| *known == name)
}

/// One of DataFusion's, with a look at what comes of it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Grown {
    name: &'static str,
    inner: Arc<ScalarUDF>,
    growth: Growth,
    /// Whether nothing comes of nothing.
    strict: bool,
    pool: Pool,
}

/// Those of `functions` that grow, bounded; the others as they are. And [`JOINED`].
pub(crate) fn bounded(
    functions: Vec<Arc<ScalarUDF>>,
    pool: &Arc<dyn MemoryPool>,
) -> Vec<Arc<ScalarUDF>> {
    let pool = Pool::new(pool);
    let mut all = Vec::with_capacity(functions.len() + 1);
    for inner in functions {
        let known = GROWING.iter().find(|(name, _)| *name == inner.name());
        let Some(&(name, growth)) = known else {
            all.push(inner);
            continue;
        };
        if name == "concat" {
            let (inner, pool) = (Arc::clone(&inner), pool.clone());
            let joined = Grown { name: JOINED, inner, growth, strict: true, pool };
            all.push(Arc::new(ScalarUDF::from(joined)));
        }
        let pool = pool.clone();
        all.push(Arc::new(ScalarUDF::from(Grown { name, inner, growth, strict: false, pool })));
    }
    all
}

/// What stands for functions in the language itself, which DataFusion would take from its own and not from a session's:
/// `{a: 1}`, `STRUCT(1)`, `a[1]`, `OVERLAY(a PLACING b FROM 1)`.
#[derive(Debug)]
pub(crate) struct Written {
    functions: Vec<Arc<ScalarUDF>>,
}

impl Written {
    /// As functions of `bounded`.
    pub(crate) fn of(bounded: &[Arc<ScalarUDF>]) -> Self {
        let wanted = |function: &&Arc<ScalarUDF>| {
            matches!(
                function.name(),
                "array_element"
                    | "array_slice"
                    | "get_field"
                    | "named_struct"
                    | "overlay"
                    | "struct"
            )
        };
        Self { functions: bounded.iter().filter(wanted).cloned().collect() }
    }

    fn call<T>(&self, name: &str, args: Vec<Expr>) -> Result<PlannerResult<T>> {
        let function = self.functions.iter().find(|function| function.name() == name);
        let Some(function) = function else { return exec_err!("{name} is not there") };
        let call = ScalarFunction::new_udf(Arc::clone(function), args);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

impl ExprPlanner for Written {
    fn plan_dictionary_literal(
        &self,
        expr: RawDictionaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawDictionaryExpr>> {
        let pairs = expr.keys.into_iter().zip(expr.values);
        self.call("named_struct", pairs.flat_map(|(key, value)| [key, value]).collect())
    }

    fn plan_struct_literal(
        &self,
        args: Vec<Expr>,
        is_named_struct: bool,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        self.call(if is_named_struct { "named_struct" } else { "struct" }, args)
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let of = expr.expr;
        match expr.field_access {
            GetFieldAccess::NamedStructField { name } => {
                self.call("get_field", vec![of, Expr::Literal(name, None)])
            }
            GetFieldAccess::ListIndex { key } => self.call("array_element", vec![of, *key]),
            GetFieldAccess::ListRange { start, stop, stride } => {
                self.call("array_slice", vec![of, *start, *stop, *stride])
            }
        }
    }

    fn plan_overlay(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        self.call("overlay", args)
    }
}

/// Bytes of text in an argument, for so many rows.
fn bytes(value: &ColumnarValue, rows: usize) -> usize {
    let array = match value {
        ColumnarValue::Scalar(_) => return longest(value).saturating_mul(rows),
        ColumnarValue::Array(array) => array,
    };
    let between = |offsets: &[i32]| match offsets {
        [first, .., last] => usize::try_from(last - first).unwrap_or(0),
        _ => 0,
    };
    match array.data_type() {
        DataType::Utf8 => between(array.as_string::<i32>().value_offsets()),
        DataType::Binary => between(array.as_binary::<i32>().value_offsets()),
        _ => lengths(array).map_or_else(|| within(array), |lengths| lengths.sum()),
    }
}

/// Bytes of the longest text in an argument.
fn longest(value: &ColumnarValue) -> usize {
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
        ) => text.as_ref().map_or(0, String::len),
        ColumnarValue::Scalar(value) => value.size(),
        ColumnarValue::Array(array) => {
            lengths(array).map_or_else(|| within(array), |lengths| lengths.max().unwrap_or(0))
        }
    }
}

/// The lengths of the values of an array of texts or bytes.
fn lengths(array: &ArrayRef) -> Option<Box<dyn Iterator<Item = usize> + '_>> {
    Some(match array.data_type() {
        DataType::Utf8 => Box::new(array.as_string::<i32>().iter().flatten().map(str::len)),
        DataType::LargeUtf8 => Box::new(array.as_string::<i64>().iter().flatten().map(str::len)),
        DataType::Utf8View => Box::new(array.as_string_view().iter().flatten().map(str::len)),
        DataType::Binary => Box::new(array.as_binary::<i32>().iter().flatten().map(<[u8]>::len)),
        DataType::LargeBinary => {
            Box::new(array.as_binary::<i64>().iter().flatten().map(<[u8]>::len))
        }
        DataType::BinaryView => Box::new(array.as_binary_view().iter().flatten().map(<[u8]>::len)),
        _ => return None,
    })
}

/// Bytes of an array of anything else.
fn within(array: &ArrayRef) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or(usize::MAX)
}

/// Groups of the pattern that has most: as many as it opens, and the whole.
fn groups(pattern: &ColumnarValue) -> usize {
    match pattern {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text),
        ) => text.as_ref().map_or(0, |text| text.matches('(').count()) + 1,
        other => longest(other).saturating_add(1),
    }
}

impl Grown {
    fn result_bytes(&self, args: &ScalarFunctionArgs) -> usize {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { args.number_rows.max(BATCH_ROWS) } else { args.number_rows };
        let first = || args.args.first().map_or(0, |arg| bytes(arg, rows).saturating_add(rows));
        let sum = || args.args.iter().fold(0, |n: usize, arg| n.saturating_add(bytes(arg, rows)));
        match self.growth {
            Growth::Sum => sum(),
            Growth::Separated => {
                let each = args.args.first().map_or(0, |arg| bytes(arg, rows));
                sum().saturating_add(each.saturating_mul(args.args.len()))
            }
            Growth::Times(times) => first().saturating_mul(times),
            Growth::ByThird => first().saturating_mul(args.args.get(2).map_or(0, longest).max(1)),
            Growth::Groups => first().saturating_mul(args.args.get(1).map_or(1, groups)),
            Growth::Listed => {
                // A number of one byte becomes four letters at most, and no value is less than a byte.
                let beside = args.args.iter().skip(1).fold(4, |n: usize, arg| n + longest(arg));
                first().saturating_mul(beside)
            }
            Growth::Format => {
                let format = args.args.get(1).map_or(0, longest);
                rows.saturating_mul(format.saturating_mul(20).saturating_add(64))
            }
            Growth::Name => {
                let name = args.arg_fields.first().map(|f| f.data_type().to_string().len());
                // One text for all rows, which stands in each of them.
                rows.max(BATCH_ROWS).saturating_mul(name.unwrap_or(0))
            }
            Growth::Same | Growth::Type => 0,
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
        bounded_type(field.data_type())?;
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
        let made = match given {
            Some((given, rows)) => strictly(made, &given, rows)?,
            None => made,
        };
        self.pool.told(made)
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.growth {
            // They are casts by another name. Others would become calls of what is not bounded.
            Growth::Type => self.inner.simplify(args, info),
            _ => Ok(ExprSimplifyResult::Original(args)),
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
