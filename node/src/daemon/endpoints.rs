//! Endpoints at this node: whose tokens count, which samples are new, and what is held to be impaired.
//!
//! A token is a policy of the tenant: made at one node, it counts at every node that holds the tenant. Only its hash is
//! kept. What must never happen: a sample of one endpoint under another's name, or one that is acknowledged and not
//! durable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holm_endpoint::{Attribution, Hold, Judgement, Sample, TABLE, Turn, is_name, judge, row};
use holm_model::{DocVersion, Millis, Row, Value};
use holm_plane::RowSink;
use holm_replica::{CommitError, PolicyBook, PolicyError, Record, Replica, Shelf};
use holm_slo::Writer;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::state::{Change, NodeState, Topic};
use super::tenant::Tenant;

/// The area of policies that tokens are kept in.
const AREA: &str = "endpoint";
const TOKEN_PREFIX: &str = "holm_endpoint_";
/// Most tokens of a tenant.
const MAX_TOKENS: usize = 2_000;
/// Queues of one endpoint that are known apart: a machine that was set up anew has another.
const MAX_QUEUES: usize = 8;
/// Samples that are read at start, to know which are there.
const MAX_KNOWN: usize = 10_000;
/// Samples older than that are refused; those later than that by this node's clock, too.
const OLDEST_MS: u64 = 30 * 86_400_000;
const AHEAD_MS: u64 = 5 * 60_000;
/// An older sample raises nothing: what it says may be over.
const LATE_MS: u64 = 15 * 60_000;
/// An endpoint that is not heard for so long is held to be nothing any more.
const FORGET_MS: u64 = 15 * 60_000;

/// What a tenant's node knows of endpoints.
pub(crate) struct Endpoints {
    pub(super) writer: Writer,
    policies: Mutex<PolicyBook>,
    tokens: Mutex<Arc<BTreeMap<Box<str>, EndpointToken>>>,
    heard: Mutex<BTreeMap<Box<str>, Heard>>,
    /// Samples are taken one report after the other.
    taking: Mutex<()>,
}

/// A token of an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EndpointToken {
    pub(crate) name: String,
    pub(crate) created_at: Millis,
    pub(crate) created_by: String,
    hash: String,
}

/// What this node heard of an endpoint.
#[derive(Debug, Default)]
struct Heard {
    hold: Hold,
    last_at: Millis,
    /// The highest number of each queue, and when it came.
    queues: BTreeMap<Box<str>, (u64, Millis)>,
    counts: Counts,
}

/// Samples of an endpoint since this node started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) known: u64,
    pub(crate) refused: u64,
    pub(crate) late: u64,
    pub(crate) dropped_by_agent: u64,
}

/// What became of a report.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    pub(crate) accepted: u64,
    pub(crate) known: u64,
    pub(crate) refused: Vec<(u64, String)>,
}

/// Why something about endpoints is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("name: \"{0}\" is none; 1 to 63 small letters, digits and - are, a - not first")]
    Name(String),
    #[error("there are {MAX_TOKENS} tokens of endpoints already; revoke some that are not needed")]
    TooMany,
    #[error(
        "there is no endpoint {0} with a token that counts; `holm endpoint list` shows those there are"
    )]
    Unknown(String),
    #[error("the token cannot be kept: {0}")]
    Policy(#[from] PolicyError),
    #[error("it could not be written: {0}")]
    Write(#[from] CommitError),
    #[error(
        "the samples could not be written: {0}; they may be sent again, here or to another node"
    )]
    Rows(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash(secret: &str) -> String {
    let key = blake3::derive_key("holm 2026-11 endpoint token", secret.as_bytes());
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random_text(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    URL_SAFE_NO_PAD.encode(random)
}

impl Endpoints {
    /// With what the documents hold.
    pub(super) fn open(writer: Writer, replica: &Replica) -> Self {
        let endpoints = Self {
            writer,
            policies: Mutex::default(),
            tokens: Mutex::default(),
            heard: Mutex::default(),
            taking: Mutex::default(),
        };
        endpoints.take_records(&replica.records_on(Shelf::Policies));
        endpoints
    }

    /// Knows which samples are there.
    pub(super) fn know(&self, rows: &[Row]) {
        let mut heard = lock(&self.heard);
        for row in rows {
            let text = |column| match row.columns.get(column) {
                Some(Value::Text(text)) => Some(&**text),
                _ => None,
            };
            let (Some(endpoint), Some(key)) = (text("endpoint"), text("key")) else { continue };
            let Some((queue, number)) = key.rsplit_once('-') else { continue };
            let Ok(number) = number.parse() else { continue };
            heard.entry(endpoint.into()).or_default().reached(queue, number, row.at);
        }
    }

    /// Takes what documents say.
    pub(super) fn take_records(&self, records: &[Record]) {
        let mut edited = false;
        for record in records {
            let ours = record.key.split_once('/').is_some_and(|(area, _)| area == AREA);
            if record.shelf == Shelf::Policies && ours {
                edited |= lock(&self.policies).take(record);
            }
        }
        if edited {
            let policies = lock(&self.policies);
            let read = policies.names(AREA).into_iter().filter_map(|id| {
                // One that was revoked anywhere counts nowhere.
                let standing = policies.standing(AREA, id);
                let contents: Option<Vec<&[u8]>> =
                    standing.iter().map(|edit| edit.content.as_deref()).collect();
                let token = serde_json::from_slice(contents?.first()?).ok()?;
                Some((Box::<str>::from(id), token))
            });
            *lock(&self.tokens) = Arc::new(read.collect());
        }
    }

    /// The tenant was erased.
    pub(super) fn clear(&self) {
        *lock(&self.policies) = PolicyBook::new();
        *lock(&self.tokens) = Arc::default();
        lock(&self.heard).clear();
    }

    /// The tokens that count, by id.
    pub(crate) fn tokens(&self) -> Arc<BTreeMap<Box<str>, EndpointToken>> {
        Arc::clone(&lock(&self.tokens))
    }

    /// The endpoint whose token this is.
    fn by_token(&self, id: &str, secret: &str) -> Option<String> {
        let tokens = self.tokens();
        let token = tokens.get(id)?;
        let (known, given) = (token.hash.as_bytes(), hash(secret));
        let differs = known.iter().zip(given.as_bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        (known.len() == given.len() && differs == 0).then(|| token.name.clone())
    }

    /// What this node counted of an endpoint.
    pub(crate) fn counts(&self, endpoint: &str) -> Counts {
        lock(&self.heard).get(endpoint).map(|heard| heard.counts).unwrap_or_default()
    }

    /// The same of all.
    pub(crate) fn all_counts(&self) -> Counts {
        lock(&self.heard).values().fold(Counts::default(), |sum, heard| Counts {
            accepted: sum.accepted + heard.counts.accepted,
            known: sum.known + heard.counts.known,
            refused: sum.refused + heard.counts.refused,
            late: sum.late + heard.counts.late,
            dropped_by_agent: sum.dropped_by_agent + heard.counts.dropped_by_agent,
        })
    }
}

impl Heard {
    fn reached(&mut self, queue: &str, number: u64, at: Millis) {
        if self.queues.len() >= MAX_QUEUES && !self.queues.contains_key(queue) {
            let oldest = self.queues.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.queues.remove(&name);
            }
        }
        let known = self.queues.entry(queue.into()).or_insert((number, at));
        *known = (known.0.max(number), known.1.max(at));
    }
}

impl NodeState {
    /// Whose token a text is: the tenant and the endpoint.
    pub(crate) fn endpoint_of(&self, text: &str) -> Option<(Arc<Tenant>, String)> {
        let (id, secret) = text.strip_prefix(TOKEN_PREFIX)?.split_once('.')?;
        self.tenants.all().into_iter().find_map(|tenant| {
            let name = tenant.endpoints.by_token(id, secret)?;
            Some((tenant, name))
        })
    }
}

impl Tenant {
    /// Makes a token for an endpoint; its id and its text, which is not kept. Durable when it returns.
    pub(crate) fn create_endpoint_token(
        &self,
        state: &NodeState,
        name: &str,
        by: &str,
        now: Millis,
    ) -> Result<(String, String), EndpointError> {
        if !is_name(name) {
            return Err(EndpointError::Name(name.chars().take(80).collect()));
        }
        let (id, secret) = (format!("{:016x}", rand::random::<u64>()), random_text(32));
        let token = EndpointToken {
            name: name.into(),
            created_at: now,
            created_by: by.into(),
            hash: hash(&secret),
        };
        let content = serde_json::to_vec(&token).map_err(|e| EndpointError::Rows(e.to_string()))?;
        if self.endpoints.tokens().len() >= MAX_TOKENS {
            return Err(EndpointError::TooMany);
        }
        self.edit_endpoints(state, vec![(&id, Some(content))], by, now)?;
        let text = format!("{TOKEN_PREFIX}{id}.{secret}");
        Ok((id, text))
    }

    /// Ends every token of an endpoint, at every node; how many.
    pub(crate) fn revoke_endpoint(
        &self,
        state: &NodeState,
        name: &str,
        by: &str,
        now: Millis,
    ) -> Result<usize, EndpointError> {
        let tokens = self.endpoints.tokens();
        let of = tokens.iter().filter(|(_, token)| token.name == name);
        let edits: Vec<(&str, Option<Vec<u8>>)> = of.map(|(id, _)| (&**id, None)).collect();
        if edits.is_empty() {
            return Err(EndpointError::Unknown(name.chars().take(80).collect()));
        }
        let count = edits.len();
        self.edit_endpoints(state, edits, by, now)?;
        Ok(count)
    }

    fn edit_endpoints(
        &self,
        state: &NodeState,
        contents: Vec<(&str, Option<Vec<u8>>)>,
        by: &str,
        now: Millis,
    ) -> Result<(), EndpointError> {
        let versions: Vec<DocVersion> = {
            let _order = self.in_order();
            let Writer { site, node } = &self.endpoints.writer;
            let mut new = Vec::new();
            for (id, content) in contents {
                let policies = lock(&self.endpoints.policies);
                new.push(policies.edit((AREA, id), (site, node), by, content, now)?);
            }
            let committed = self.replica.put_records_on(Shelf::Policies, &new, now)?;
            let records: Vec<Record> = new
                .into_iter()
                .map(|new| Record {
                    shelf: Shelf::Policies,
                    site: site.clone(),
                    node: node.clone(),
                    key: new.key,
                    values: vec![new.value],
                })
                .collect();
            self.endpoints.take_records(&records);
            committed.versions
        };
        versions.into_iter().for_each(|version| state.publish(version));
        Ok(())
    }

    /// Reads which samples are there. Called on a thread that may block.
    pub(super) fn know_endpoints(&self) {
        match self.rows.store.newest(TABLE, Millis(0), MAX_KNOWN) {
            Ok(rows) => self.endpoints.know(&rows),
            Err(error) => {
                tracing::warn!(tenant = %self.id, %error, "the samples of endpoints of the last run are not known");
            }
        }
    }

    /// Takes a report of an endpoint: each sample once; durable when it returns. Called on a thread that may block.
    pub(crate) fn take_samples(
        self: &Arc<Self>,
        state: &NodeState,
        endpoint: &str,
        queue: &str,
        (dropped, samples): (u64, Vec<(u64, serde_json::Value)>),
        now: Millis,
    ) -> Result<Reported, EndpointError> {
        let _taking = lock(&self.endpoints.taking);
        let known = {
            let heard = lock(&self.endpoints.heard);
            let of = heard.get(endpoint).and_then(|heard| heard.queues.get(queue));
            of.map_or(0, |(number, _)| *number)
        };
        let mut reported = Reported::default();
        let (mut highest, mut taken): (u64, Vec<(Sample, Judgement)>) = (known, Vec::new());
        let sink = Rows { tenant: Arc::clone(self), changes: state.changes.clone() };
        let mut rows = Vec::new();
        for (number, document) in samples {
            if number <= highest {
                reported.known += 1;
                continue;
            }
            highest = number;
            match read(&document, now) {
                Ok(sample) => {
                    let judged = judge(&sample);
                    let key = format!("{queue}-{number}");
                    rows.push(row(endpoint, &key, &sample, &judged, &document.to_string()));
                    taken.push((sample, judged));
                }
                Err(why) => reported.refused.push((number, why)),
            }
        }
        if self.has_ended() {
            return Err(EndpointError::Rows("the tenant was erased".into()));
        }
        let full = |_| EndpointError::Rows("there is no room for rows now".into());
        if !rows.is_empty() {
            self.rows.store.append_rows(TABLE, &rows).map_err(full)?;
            self.rows.store.flush();
            if let Some(error) = self.rows.store.last_error() {
                return Err(EndpointError::Rows(error));
            }
        }
        reported.accepted = taken.len() as u64;
        let turns = {
            let mut heard = lock(&self.endpoints.heard);
            let of = heard.entry(endpoint.into()).or_default();
            of.reached(queue, highest, now);
            of.counts.accepted += reported.accepted;
            of.counts.known += reported.known;
            of.counts.refused += reported.refused.len() as u64;
            of.counts.dropped_by_agent = dropped;
            let mut turns: Vec<(Turn, Millis, Judgement)> = Vec::new();
            for (sample, judged) in taken {
                if now.since(sample.at) > LATE_MS {
                    of.counts.late += 1;
                    continue;
                }
                of.last_at = now;
                let turn = of.hold.take(judged.attribution);
                turns.extend(turn.map(|turn| (turn, sample.at, judged)));
            }
            turns
        };
        for (turn, at, judged) in turns {
            if let Some(over) = turn.over {
                sink.append(signal(endpoint, over, false, at, "it is over".into()));
            }
            if let Some(raised) = turn.now {
                let text = judged.evidence.first().cloned().unwrap_or_default();
                sink.append(signal(endpoint, raised, true, at, text));
            }
        }
        state.tell(Change::of(&self.id, Topic::Results));
        Ok(reported)
    }

    /// Ends the signals of endpoints that are not heard here any more.
    pub(super) fn tend_endpoints(&self, now: Millis) {
        let over: Vec<(Box<str>, Attribution)> = {
            let mut heard = lock(&self.endpoints.heard);
            let silent = heard.iter_mut().filter(|(_, heard)| now.since(heard.last_at) > FORGET_MS);
            let held = silent.filter_map(|(name, heard)| {
                let held = std::mem::take(&mut heard.hold).held()?;
                (held != Attribution::None).then(|| (name.clone(), held))
            });
            held.collect()
        };
        for (name, held) in over {
            let text = "the endpoint is not heard at this site any more".to_owned();
            let row = signal(&name, held, false, now, text);
            self.notice(&row);
            self.rows.store.append(row);
        }
    }
}

/// A sample as it came, if it is one of these days.
fn read(document: &serde_json::Value, now: Millis) -> Result<Sample, String> {
    let sample: Sample = serde::Deserialize::deserialize(document)
        .map_err(|error: serde_json::Error| format!("it is not understood: {error}"))?;
    sample.check()?;
    if sample.at > now + AHEAD_MS {
        return Err("at: it lies ahead by more than 5 min; set the machine's clock (NTP)".into());
    }
    if now.since(sample.at) > OLDEST_MS {
        return Err("at: it is more than 30 days old".into());
    }
    Ok(sample)
}

/// That a part of an endpoint's way is impaired, or is no longer.
fn signal(endpoint: &str, of: Attribution, raised: bool, at: Millis, text: String) -> Row {
    Row::new(super::SIGNALS_TABLE, at)
        .with("plane", "endpoint")
        .with("kind", format!("endpoint_{}", of.as_str()))
        .with("severity", "warning")
        .with("target", format!("device:{endpoint}"))
        .with("state", if raised { "raised" } else { "cleared" })
        .with("text", format!("{endpoint}, {}: {text}", of.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_queue_are_known_from_its_rows_and_old_queues_go() {
        let mut heard = Heard::default();
        for n in 0..20_u64 {
            heard.reached(&format!("q{n}"), 7, Millis(n));
            heard.reached(&format!("q{n}"), 3, Millis(n));
        }
        assert_eq!(heard.queues.len(), MAX_QUEUES);
        assert_eq!(heard.queues.get("q19"), Some(&(7, Millis(19))));
        assert!(!heard.queues.contains_key("q0"));
    }

    #[test]
    fn samples_of_another_time_or_kind_are_refused_with_the_reason() {
        let now = Millis(1_800_000_000_000);
        let mut sample = serde_json::json!({
            "at": now.0, "interval_ms": 60_000, "hostname": "withheld", "wifi": "no_wifi",
            "gateways": { "measured": [] }, "resolvers": { "measured": [] }, "last_mile": { "not_measured": "off" },
            "sessions": { "measured": [] }, "checks": [],
            "thresholds": serde_json::to_value(holm_endpoint::Thresholds::default()).expect("JSON"),
        });
        assert!(read(&sample, now).is_ok());
        for (key, value, named) in [
            ("at", serde_json::json!(now.0 + 600_000), "clock"),
            ("at", serde_json::json!(now.0 - 40 * 86_400_000), "30 days"),
            ("interval_ms", serde_json::json!(1), "interval_ms"),
            ("wifi", serde_json::json!("maybe"), "not understood"),
            ("colour", serde_json::json!(1), "colour"),
        ] {
            let before = sample.clone();
            sample[key] = value;
            let why = read(&sample, now).expect_err(named);
            assert!(why.contains(named), "{why}");
            sample = before;
        }
    }
}
