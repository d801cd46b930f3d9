//! Asking the sites: one part of a question goes to all of them at once, and what came in time counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, FuturesUnordered};
use holm_model::{NodeName, SiteId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::engine::{Engine, QueryLimits, Streamed};
use crate::error::QueryError;
use crate::stop::Stop;
use crate::wire::Decoder;

/// A node that holds rows of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
}

/// The part of a question that goes to one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// One SELECT over the tables of that node.
    pub sql: String,
    /// Milliseconds that it may take.
    pub time_ms: u64,
    /// Bytes that it may send.
    pub bytes: u64,
    /// The columns that who asks knows of the tables in it, with their Arrow types. A node of another
    /// version puts nulls for those that it does not have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: Columns,
}

/// Columns by table and name: their Arrow types as text.
pub type Columns = BTreeMap<String, BTreeMap<String, String>>;

/// The way to the other nodes. Who drops the stream ends the work at the other end.
pub trait Sites: Send + Sync + 'static {
    /// The nodes that can be asked now, and those that are known and cannot, with the reason.
    fn known(&self) -> Vec<(Place, Result<(), String>)>;

    /// Asks `place`: pieces of the stream that [`crate::Encoder`] makes.
    fn ask(&self, place: &Place, part: Part) -> BoxStream<'static, Result<Bytes, String>>;
}

/// How a node did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceState {
    /// It answers.
    Asked,
    /// Its rows are in the answer.
    Answered,
    /// It did not answer in time: its rows are not in the answer, or of a question in several parts not all are.
    Late,
    /// It failed, refused, or cannot be reached: its rows are not in the answer, or not all are.
    Failed,
}

/// What one node came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceReport {
    /// Which node.
    pub place: Place,
    /// How it did.
    pub state: PlaceState,
    /// Rows that it sent: groups, where it grouped.
    pub rows: u64,
    /// Bytes that it sent.
    pub bytes: u64,
    /// Milliseconds until its last byte.
    pub took_ms: u64,
    /// Why its rows are not in the answer.
    pub error: Option<String>,
    /// Which of its rows are not in the answer, though it answered: cold storage was not reached.
    pub missing: Option<String>,
}

/// Tells how far the sites are, as they come.
pub type Progress = Arc<dyn Fn(&PlaceReport) + Send + Sync>;

/// One question on its way.
pub(crate) struct Asking {
    pub(crate) engine: Arc<Engine>,
    own: Option<Place>,
    others: Vec<Place>,
    sites: Arc<dyn Sites>,
    limits: QueryLimits,
    started: Instant,
    reports: Mutex<BTreeMap<Place, PlaceReport>>,
    progress: Option<Progress>,
    stop: Stop,
}

/// What the sites sent for one part, by node.
pub(crate) type Gathered = Vec<(Place, Vec<RecordBatch>)>;

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("others", &self.others).finish_non_exhaustive()
    }
}

impl Asking {
    /// Of the sites in `only`, or of all.
    pub(crate) fn new(
        engine: Arc<Engine>,
        own: Place,
        sites: Arc<dyn Sites>,
        only: Option<&[SiteId]>,
        limits: QueryLimits,
        progress: Option<Progress>,
        stop: Stop,
    ) -> Self {
        let wanted = |place: &Place| only.is_none_or(|only| only.contains(&place.site));
        let mut reports = BTreeMap::new();
        let mut others = Vec::new();
        let mut note = |place: &Place, state, error| {
            let report = PlaceReport {
                place: place.clone(),
                state,
                rows: 0,
                bytes: 0,
                took_ms: 0,
                error,
                missing: None,
            };
            reports.insert(place.clone(), report);
        };
        for (place, can) in sites.known().into_iter().filter(|(place, _)| wanted(place)) {
            match can {
                Ok(()) => {
                    note(&place, PlaceState::Asked, None);
                    others.push(place);
                }
                Err(reason) => note(&place, PlaceState::Failed, Some(reason)),
            }
        }
        let own = Some(own).filter(|own| wanted(own));
        if let Some(own) = &own {
            note(own, PlaceState::Asked, None);
        }
        for site in only.into_iter().flatten() {
            if !reports.keys().any(|place| place.site == *site) {
                let node = NodeName::new("unknown");
                if let Ok(node) = node {
                    let place = Place { site: site.clone(), node };
                    let error = Some("no such site is known here".to_owned());
                    let state = PlaceState::Failed;
                    reports.insert(
                        place.clone(),
                        PlaceReport {
                            place,
                            state,
                            rows: 0,
                            bytes: 0,
                            took_ms: 0,
                            error,
                            missing: None,
                        },
                    );
                }
            }
        }
        let asking = Self {
            engine,
            own,
            others,
            sites,
            limits,
            started: Instant::now(),
            reports: Mutex::new(reports),
            progress,
            stop,
        };
        for report in asking.reports() {
            asking.tell(&report);
        }
        asking
    }

    /// How each node did.
    pub(crate) fn reports(&self) -> Vec<PlaceReport> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.values().cloned().collect()
    }

    fn tell(&self, report: &PlaceReport) {
        if let Some(progress) = &self.progress {
            progress(report);
        }
    }

    /// Time that a site may still take: a part is left for putting the answer together.
    fn left(&self) -> Duration {
        (self.limits.time * 9 / 10).saturating_sub(self.started.elapsed())
    }

    /// Whether a node failed an earlier part: it is not asked again, what it sent stays.
    fn given_up(&self, place: &Place) -> bool {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let state = reports.get(place).map(|report| report.state);
        matches!(state, Some(PlaceState::Late | PlaceState::Failed))
    }

    /// Asks everyone `sql`, whose answer has the columns `expected`. A site counts whole or not at all in it.
    ///
    /// # Errors
    /// What failed here; what fails elsewhere is reported.
    pub(crate) async fn gather(
        &self,
        sql: &str,
        expected: &SchemaRef,
    ) -> Result<Gathered, QueryError> {
        let mut asked = FuturesUnordered::new();
        for place in self.others.iter().filter(|place| !self.given_up(place)) {
            asked.push(async move { (place, self.ask(place, sql, expected).await) });
        }
        let own = async {
            match &self.own {
                Some(own) => Ok(Some((own.clone(), self.ask_own(own, sql, expected).await?))),
                None => Ok(None),
            }
        };
        let others = async {
            let mut gathered = Gathered::new();
            while let Some((place, answer)) = asked.next().await {
                if let Some(batches) = answer {
                    gathered.push((place.clone(), batches));
                }
            }
            gathered
        };
        let (own, mut gathered) = tokio::join!(own, others);
        let own: Result<_, QueryError> = own;
        gathered.extend(own?);
        gathered.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(gathered)
    }

    async fn ask_own(
        &self,
        own: &Place,
        sql: &str,
        expected: &SchemaRef,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let Streamed { mut stream, missing } =
            self.engine.stream(sql, &Columns::new(), &self.stop).await?;
        let (mut batches, mut bytes, mut rows) = (Vec::new(), 0, 0);
        while let Some(batch) = stream.next().await {
            let batch = batch.inspect_err(|_| {
                self.engine.found_damage();
            })?;
            bytes += crate::engine::bytes_of(&batch);
            rows += batch.num_rows();
            if bytes > self.limits.bytes {
                return Err(QueryError::TooMuch(format!(
                    "more than {} MiB at this site",
                    self.limits.bytes >> 20
                )));
            }
            let fitted = RecordBatch::try_new(Arc::clone(expected), batch.columns().to_vec());
            batches.push(fitted.map_err(|error| QueryError::Failed(error.to_string()))?);
        }
        self.note(own, PlaceState::Answered, (rows, bytes), None, missing);
        Ok(batches)
    }

    /// `None` if it does not count.
    async fn ask(
        &self,
        place: &Place,
        sql: &str,
        expected: &SchemaRef,
    ) -> Option<Vec<RecordBatch>> {
        let left = self.left();
        let part = Part {
            sql: sql.to_owned(),
            time_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            bytes: self.limits.bytes as u64,
            tables: self.engine.columns_in(sql),
        };
        let mut decoder = Decoder::new(Arc::clone(expected), self.limits.bytes);
        let receive = async {
            let mut stream = self.sites.ask(place, part);
            let mut batches = Vec::new();
            while let Some(bytes) = stream.next().await {
                batches.extend(decoder.take(bytes?)?);
            }
            decoder.finish()?;
            Ok::<_, String>(batches)
        };
        let received = tokio::time::timeout(left, receive).await;
        let bytes = decoder.bytes();
        match received {
            Ok(Ok(batches)) => {
                let rows = batches.iter().map(RecordBatch::num_rows).sum();
                self.note(place, PlaceState::Answered, (rows, bytes), None, decoder.missing());
                Some(batches)
            }
            Ok(Err(error)) => {
                self.note(place, PlaceState::Failed, (0, bytes), Some(error), None);
                None
            }
            Err(_) => {
                let error = format!("it did not answer within {} ms", left.as_millis());
                self.note(place, PlaceState::Late, (0, bytes), Some(error), None);
                None
            }
        }
    }

    fn note(
        &self,
        place: &Place,
        state: PlaceState,
        (rows, bytes): (usize, usize),
        error: Option<String>,
        missing: Option<String>,
    ) {
        self.engine.gathered(bytes);
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(report) = reports.get_mut(place) else { return };
        // Who failed one part does not answer whole, whatever it says to another.
        let failed = matches!(report.state, PlaceState::Late | PlaceState::Failed);
        if !failed || matches!(state, PlaceState::Late | PlaceState::Failed) {
            report.state = state;
            report.error = error;
        }
        report.rows += rows as u64;
        report.bytes += bytes as u64;
        report.took_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // What one part went without stays missing.
        report.missing = missing.or(report.missing.take());
        let report = report.clone();
        drop(reports);
        self.tell(&report);
    }
}
