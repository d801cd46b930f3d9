//! Sketches.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, AggregateUDF, Expr, ScalarUDF};

pub(crate) type SplitSketch = (Expr, fn(Expr) -> Expr, Box<dyn FnOnce(Expr) -> Expr>);

pub(crate) fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    Vec::new()
}

pub(crate) fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    Vec::new()
}

pub(crate) fn split(_: &AggregateFunction, _: &Aggregate) -> Result<Option<SplitSketch>> {
    Ok(None)
}
