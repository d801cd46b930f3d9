//! The moment of a question: `now()` and its kin are the same everywhere in it, at all sites and in all parts. Who asks
//! takes it once; a part that goes to a site has it written out, so that no site's own clock counts.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Value, VisitMut, VisitorMut};
use datafusion::sql::unparser::expr_to_sql;
use holm_model::Millis;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// All times are in UTC, as columns are.
const UTC: &str = "+00:00";

/// What it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Now,
    Date,
    Time,
}

impl What {
    const ALL: [Self; 3] = [Self::Now, Self::Date, Self::Time];

    const fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Date => "current_date",
            Self::Time => "current_time",
        }
    }

    const fn other_name(self) -> Option<&'static str> {
        match self {
            Self::Now => Some("current_timestamp"),
            Self::Date => Some("today"),
            Self::Time => None,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Now => DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into())),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Nanosecond),
        }
    }

    fn at(self, at: Millis) -> ScalarValue {
        let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
        match self {
            Self::Now => {
                let ns = Some(ms.saturating_mul(1_000_000));
                ScalarValue::TimestampNanosecond(ns, Some(UTC.into()))
            }
            Self::Date => ScalarValue::Date32(i32::try_from(ms / DAY_MS).ok()),
            Self::Time => ScalarValue::Time64Nanosecond(Some(ms % DAY_MS * 1_000_000)),
        }
    }
}

/// `now()`, `current_date` and `current_time` of a question that was asked then, in place of DataFusion's, which ask
/// the clock where they are worked out.
pub(crate) fn functions(at: Millis) -> Vec<Arc<ScalarUDF>> {
    What::ALL.into_iter().map(|what| Arc::new(ScalarUDF::from(Moment::new(what, at)))).collect()
}

/// What a filter has in the place of such a function.
pub(crate) fn literal(expr: &Expr) -> Option<Expr> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let inner: &dyn std::any::Any = function.func.inner().as_ref();
    let Moment { what, at, .. } = inner.downcast_ref()?;
    Some(Expr::Literal(what.at(*at), None))
}

/// Writes the moment out wherever the SQL of a part asks for it.
pub(crate) fn write_out(sql: &mut impl VisitMut, at: Millis) {
    let _: ControlFlow<()> = sql.visit(&mut Writer(at));
}

struct Writer(Millis);

impl VisitorMut for Writer {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut SqlExpr) -> ControlFlow<()> {
        let SqlExpr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().trim_matches('"').to_lowercase();
        let what = What::ALL
            .into_iter()
            .find(|what| what.name() == name || what.other_name() == Some(name.as_str()));
        if let Some(written) = what.and_then(|what| written(what, self.0)) {
            *expr = written;
        }
        ControlFlow::Continue(())
    }
}

fn written(what: What, at: Millis) -> Option<SqlExpr> {
    let value = what.at(at);
    let ScalarValue::TimestampNanosecond(Some(ns), _) = value else {
        return expr_to_sql(&Expr::Literal(value, None)).ok();
    };
    // A cast in SQL has no way to name a time zone.
    let whole = SqlExpr::value(Value::Number(ns.to_string(), false));
    let kind = Value::SingleQuotedString(what.data_type().to_string());
    Some(crate::gate::call("arrow_cast", [whole, SqlExpr::value(kind)]))
}

/// One of them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Moment {
    what: What,
    at: Millis,
    aliases: Vec<String>,
    signature: Signature,
}

impl Moment {
    fn new(what: What, at: Millis) -> Self {
        let aliases = what.other_name().map(str::to_owned).into_iter().collect();
        Self { what, at, aliases, signature: Signature::nullary(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Moment {
    fn name(&self) -> &'static str {
        self.what.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.what.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.what.at(self.at)))
    }
}
