//! The answer to a question put to the whole mesh.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use holm_events::value_at;
use holm_model::{Millis, SiteId, Value};

use crate::bounds::bounded;
use crate::engine::{Engine, QueryLimits, Tables};
use crate::error::QueryError;
use crate::local::Missing;
use crate::mesh_table::{Approximation, MeshTable, Notes};
use crate::sites::{Asking, Place, PlaceReport, Progress, Sites};
use crate::split::{Splitter, sketched};
use crate::stop::Stop;
use crate::sum::Ended;

/// A question to the whole mesh.
pub struct Question {
    /// One SELECT.
    pub sql: String,
    /// The sites that are asked; all if `None`.
    pub only: Option<Vec<SiteId>>,
    /// Bounds.
    pub limits: QueryLimits,
    /// Told how far the sites are.
    pub progress: Option<Progress>,
    /// What `now()` is, at all sites.
    pub now: Millis,
}

/// An answer, and what it stands on.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub batches: Vec<RecordBatch>,
    /// There were more rows than a question may have.
    pub cut: bool,
    /// How each node did; the rows of those that did not answer are not in the answer.
    pub places: Vec<PlaceReport>,
    /// In what it is not exact.
    pub approximations: Vec<Approximation>,
}

impl Answer {
    /// Its rows as JSON values, in the order of its columns.
    pub fn rows(&self) -> Vec<Vec<serde_json::Value>> {
        let mut rows = Vec::new();
        for batch in &self.batches {
            for index in 0..batch.num_rows() {
                rows.push(batch.columns().iter().map(|column| json(column, index)).collect());
            }
        }
        rows
    }
}

/// A value as JSON: lists are arrays, addresses and times are text, as is what JSON has no word for.
fn json(column: &dyn Array, index: usize) -> serde_json::Value {
    if column.is_null(index) {
        return serde_json::Value::Null;
    }
    if let DataType::UInt64 = column.data_type() {
        let number: &arrow::array::UInt64Array = column.as_primitive();
        return number.value(index).into();
    }
    let value = match column.data_type() {
        DataType::Timestamp(..) => None,
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(index);
            return (0..list.len()).map(|at| json(&list, at)).collect();
        }
        _ => value_at(column, index),
    };
    match value {
        Some(Value::Bool(flag)) => flag.into(),
        Some(Value::Int(number)) => number.into(),
        Some(Value::Float(number)) => number.into(),
        Some(Value::Text(text)) => text.into_string().into(),
        None => {
            let options = FormatOptions::default();
            let Ok(formatter) = ArrayFormatter::try_new(column, &options) else {
                return serde_json::Value::Null;
            };
            let text = formatter.value(index).to_string();
            let whole = column.data_type().is_decimal().then(|| whole(&text)).flatten();
            whole.map_or_else(|| text.into(), serde_json::Value::Number)
        }
    }
}

/// The number that a decimal is, if it has no fraction and fits 64 bits.
fn whole(text: &str) -> Option<serde_json::Number> {
    let (number, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let signed = number.parse::<i64>().ok().map(Into::into);
    signed.or_else(|| number.parse::<u64>().ok().map(Into::into))
}

impl Engine {
    /// Puts a question to all sites that hold the tenant, and puts their parts together. A site that
    /// does not answer in time is named, and holds up nobody.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn ask(
        self: &Arc<Self>,
        own: Place,
        sites: Arc<dyn Sites>,
        question: Question,
    ) -> Result<Answer, QueryError> {
        let engine = Arc::clone(self);
        self.may_gather()?;
        let time = question.limits.time;
        self.work(time, |stop| async move { engine.put(own, sites, question, stop).await }).await
    }

    async fn put(
        self: Arc<Self>,
        own: Place,
        sites: Arc<dyn Sites>,
        question: Question,
        stop: Stop,
    ) -> Result<Answer, QueryError> {
        let Question { sql, only, limits, progress, now } = question;
        let asking = Asking::new(
            Arc::clone(&self),
            own,
            sites,
            only.as_deref(),
            limits,
            progress,
            stop.clone(),
        );
        let asking = Arc::new(asking);
        let tables: Tables = self
            .tables()
            .into_iter()
            .map(|(name, schema)| {
                let table = MeshTable::new(name.clone(), schema, Arc::clone(&asking));
                (name, Arc::new(table) as Arc<dyn datafusion::catalog::TableProvider>)
            })
            .collect();
        let ended = Ended::default();
        let state = self.session(&tables, now, &ended, &stop)?;
        let plan = self.plan(&state, &tables, &sql).await?;
        let local = self.local_tables(&Missing::default());
        let local = self.session(&local, now, &Ended::default(), &stop)?;
        let notes = Notes::default();
        let (asked, noted) = (Arc::clone(&asking), Arc::clone(&notes));
        let splitter = Splitter { asking: asked, local, notes: noted, now };
        let sketched = sketched(&plan).into_iter().map(Approximation::of_sketch);
        notes.lock().unwrap_or_else(PoisonError::into_inner).extend(sketched);
        let plan = splitter.split(plan)?;
        let plan = state.optimize(&plan)?;
        bounded(&plan)?;
        let context = SessionContext::new_with_state(state);
        let mut stream = context.execute_logical_plan(plan).await?.execute_stream().await?;
        let schema = stream.schema();
        let (mut batches, mut rows, mut bytes, mut cut) = (Vec::new(), 0, 0, false);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            bytes += crate::engine::bytes_of(&batch);
            if bytes > limits.bytes {
                return Err(QueryError::TooMuch(format!("more than {} MiB", limits.bytes >> 20)));
            }
            let room = limits.rows - rows;
            cut = batch.num_rows() > room;
            rows += batch.num_rows().min(room);
            batches.push(batch.slice(0, batch.num_rows().min(room)));
            if cut {
                break;
            }
        }
        let mut approximations = notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        approximations.extend(ended.is_told().then(Approximation::of_ended_sum));
        Ok(Answer { schema, batches, cut, places: asking.reports(), approximations })
    }

    /// The columns of each table and their types, for people.
    pub fn describe(&self) -> BTreeMap<String, Vec<(String, String)>> {
        let tables = self.tables().into_iter();
        tables
            .map(|(name, schema)| {
                let columns = schema.fields().iter();
                let columns = columns.map(|f| (f.name().clone(), f.data_type().to_string()));
                (name, columns.collect())
            })
            .collect()
    }
}
