//! The outlet: every file of rows also goes to a ClickHouse, for who has one.
//!
//! What comes in: files that became durable and whose log is gone. What goes out: the plain Parquet of
//! each, one after the other, as `INSERT … FORMAT Parquet` over ClickHouse's HTTP interface. At least
//! once: a token by which the table drops what came before goes with each, and how far it came is on the
//! disk. What must never happen: a store that waits for it, rows over a connection that others read, a
//! file that was given up or lost before it was sent and is not counted.

mod position;
mod run;
mod sql;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holm_model::Millis;
use reqwest::header::{CONTENT_LENGTH, HeaderValue};

use crate::error::EventError;
use crate::file::EventFile;
pub(crate) use position::{Position, Standing};
pub(crate) use run::run;

const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longest time of one request, beside what its bytes may take.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// What a request's bytes may take: so many a second at least.
const LEAST_BYTES_PER_SECOND: u64 = 256 << 10;
/// Characters of an answer that are kept of a refusal.
const REASON_CHARS: usize = 400;
/// Waits between attempts: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// ClickHouse's codes for refusals that are no table's own: AUTHENTICATION_FAILED, UNKNOWN_DATABASE,
/// TOO_MANY_SIMULTANEOUS_QUERIES, MEMORY_LIMIT_EXCEEDED, NOT_ENOUGH_SPACE.
const OF_ALL_TABLES: [u64; 5] = [516, 81, 202, 241, 243];

/// Where rows go, and which.
#[derive(Debug, Clone)]
pub struct OutletSettings {
    /// `https://host:8443`; `http://` to a loopback address alone.
    pub url: String,
    /// The database, which must be there.
    pub database: String,
    /// Who asks.
    pub user: String,
    /// The file that has the password, in one line; read anew for each request. Empty: no password.
    pub password_file: PathBuf,
    /// Certificates (PEM) that may have signed the server's, beside those of the system; empty: none.
    pub ca_file: PathBuf,
    /// The tables that go there: names, or beginnings that end in `*`.
    pub tables: Vec<String>,
    /// Whether tables and columns that are not there are made.
    pub create_tables: bool,
    /// Rows older than this are not sent any more, in milliseconds.
    pub give_up_after_ms: u64,
    /// What the columns `tenant`, `site` and `node` have.
    pub of: [String; 3],
}

/// What an outlet counts, and how far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutletStats {
    /// URL and database.
    pub target: String,
    /// Files that were taken over there since the store was opened, their rows, and their bytes.
    pub sent_files: u64,
    /// Rows of them.
    pub sent_rows: u64,
    /// Bytes of them, as Parquet.
    pub sent_bytes: u64,
    /// When the latest was.
    pub last_sent: Option<Millis>,
    /// Requests that failed or were refused.
    pub failures: u64,
    /// Rows that were too old to be sent.
    pub given_up_rows: u64,
    /// Rows that were dropped here before they were sent.
    pub lost_rows: u64,
    /// Files that wait.
    pub waiting_files: u64,
    /// Rows of them.
    pub waiting_rows: u64,
    /// The time of their oldest row.
    pub oldest_waiting: Option<Millis>,
    /// Why nothing goes there now; `None` while it does.
    pub error: Option<String>,
    /// Tables that are refused there, and why; they are tried again.
    pub refused: BTreeMap<String, String>,
}

/// The outlet of one store.
pub struct Outlet {
    settings: OutletSettings,
    client: reqwest::Client,
    position: Mutex<Position>,
    rest: Mutex<Rests>,
    sent_files: AtomicU64,
    sent_rows: AtomicU64,
    sent_bytes: AtomicU64,
    last_sent_ms: AtomicU64,
    failures: AtomicU64,
    given_up_rows: AtomicU64,
    lost_rows: AtomicU64,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("target", &self.target()).finish_non_exhaustive()
    }
}

/// Who rests after failures: the target, and single tables.
#[derive(Debug, Default)]
struct Rests {
    all: Option<Rest>,
    tables: BTreeMap<String, Rest>,
}

#[derive(Debug)]
struct Rest {
    failures: u32,
    until: Instant,
    why: String,
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server is not there, or takes nothing of anybody now.
    Target(String),
    /// It takes nothing of this table.
    Table(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outlet {
    /// An outlet with those settings. Nothing is sent yet.
    ///
    /// # Errors
    /// [`EventError::Outlet`]: the URL would send rows in the clear, or the certificates cannot be read.
    pub fn new(settings: OutletSettings) -> Result<Self, EventError> {
        let failed = |reason: String| EventError::Outlet { url: settings.url.clone(), reason };
        let url: reqwest::Url =
            settings.url.parse().map_err(|error| failed(format!("it is no URL ({error})")))?;
        let near = url.host_str().is_some_and(is_loopback);
        match url.scheme() {
            "https" => {}
            "http" if near => {}
            _ => {
                return Err(failed(
                    "it is not https://…; http:// is for loopback addresses alone".to_owned(),
                ));
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(failed("name user and password_file, and not in the URL".to_owned()));
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .redirect(reqwest::redirect::Policy::none());
        if near {
            builder = builder.no_proxy();
        }
        if !settings.ca_file.as_os_str().is_empty() {
            let path = &settings.ca_file;
            let unread = |error: &dyn std::fmt::Display| {
                failed(format!("ca_file {}: cannot be read ({error})", path.display()))
            };
            let pem = std::fs::read(path).map_err(|error| unread(&error))?;
            let certificates =
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unread(&error))?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            settings,
            client,
            position: Mutex::default(),
            rest: Mutex::default(),
            sent_files: AtomicU64::new(0),
            sent_rows: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            last_sent_ms: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            given_up_rows: AtomicU64::new(0),
            lost_rows: AtomicU64::new(0),
        })
    }

    /// What a position is of.
    pub(crate) fn target(&self) -> String {
        format!("{} {}", self.settings.url.trim_end_matches('/'), self.settings.database)
    }

    /// Whether a table goes there.
    pub(crate) fn takes(&self, table: &str) -> bool {
        self.settings.tables.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => table.starts_with(start),
            None => name == table,
        })
    }

    /// How it stands with a file.
    pub(crate) fn standing(&self, table: &str, file: &EventFile) -> Standing {
        if !self.takes(table) {
            return Standing::Sent;
        }
        lock(&self.position).of(table, file.hour, &file.name)
    }

    /// A file is dropped here.
    pub(crate) fn dropped(&self, table: &str, file: &EventFile) {
        if self.standing(table, file) != Standing::Sent {
            self.lost(file.rows());
        }
    }

    /// Rows are dropped here that were not sent.
    pub(crate) fn lost(&self, rows: u64) {
        self.lost_rows.fetch_add(rows, Ordering::Relaxed);
    }

    /// What it counts; `files`: those of each table.
    pub(crate) fn stats<'a>(
        &self,
        files: impl Iterator<Item = (&'a str, &'a EventFile)>,
    ) -> OutletStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = OutletStats {
            target: self.target(),
            sent_files: read(&self.sent_files),
            sent_rows: read(&self.sent_rows),
            sent_bytes: read(&self.sent_bytes),
            last_sent: Some(Millis(read(&self.last_sent_ms))).filter(|at| at.0 > 0),
            failures: read(&self.failures),
            given_up_rows: read(&self.given_up_rows),
            lost_rows: read(&self.lost_rows),
            ..OutletStats::default()
        };
        for (_, file) in files.filter(|(table, f)| self.standing(table, f) != Standing::Sent) {
            stats.waiting_files += 1;
            stats.waiting_rows += file.rows();
            let oldest = stats.oldest_waiting.unwrap_or(file.name.min);
            stats.oldest_waiting = Some(oldest.min(file.name.min));
        }
        let rests = lock(&self.rest);
        stats.error = rests.all.as_ref().map(|rest| rest.why.clone());
        let refused = rests.tables.iter().map(|(table, rest)| (table.clone(), rest.why.clone()));
        stats.refused = refused.collect();
        stats
    }

    /// Tables that are not tried now; `None`: nothing is.
    fn resting(&self, now: Instant) -> Option<Vec<String>> {
        let rests = lock(&self.rest);
        if rests.all.as_ref().is_some_and(|rest| rest.until > now) {
            return None;
        }
        let tables = rests.tables.iter().filter(|(_, rest)| rest.until > now);
        Some(tables.map(|(table, _)| table.clone()).collect())
    }

    fn succeeded(&self, table: &str, file: &EventFile, now: Millis) {
        self.sent_files.fetch_add(1, Ordering::Relaxed);
        self.sent_rows.fetch_add(file.rows(), Ordering::Relaxed);
        self.sent_bytes.fetch_add(file.plain_bytes(), Ordering::Relaxed);
        self.last_sent_ms.store(now.0, Ordering::Relaxed);
        let mut rests = lock(&self.rest);
        if rests.all.take().is_some() | rests.tables.remove(table).is_some() {
            tracing::info!(target = self.target(), table, "ClickHouse takes rows again");
        }
    }

    /// Lets time pass before the next attempt, more after each failure. `jitter`, 0 to 1, spreads it.
    fn failed(&self, table: &str, failure: Failure, jitter: f64) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut rests = lock(&self.rest);
        let (why, before) = match failure {
            Failure::Target(why) => (why, rests.all.take()),
            Failure::Table(why) => {
                // Who refuses a table is there.
                rests.all = None;
                let before = rests.tables.remove(table);
                let rest = rested(before, why, table, &self.target(), jitter);
                rests.tables.insert(table.to_owned(), rest);
                return;
            }
        };
        rests.all = Some(rested(before, why, table, &self.target(), jitter));
    }

    /// Puts a statement, and a file as its data if there is one.
    async fn put(
        &self,
        query: &str,
        token: Option<&str>,
        file: Option<&std::sync::Arc<EventFile>>,
    ) -> Result<(), Failure> {
        let mut parameters = vec![("database", self.settings.database.as_str()), ("query", query)];
        if let Some(token) = token {
            // In the order of the file and by one thread: what is sent twice is cut into the same blocks.
            parameters.extend([
                ("async_insert", "0"),
                ("input_format_parquet_preserve_order", "1"),
                ("insert_deduplicate", "1"),
                ("insert_deduplication_token", token),
                ("max_insert_threads", "1"),
                ("wait_end_of_query", "1"),
            ]);
        }
        let bytes = file.map_or(0, |file| file.plain_bytes());
        let time = REQUEST_TIME + Duration::from_secs(bytes / LEAST_BYTES_PER_SECOND);
        let mut request = self
            .client
            .post(&self.settings.url)
            .query(&parameters)
            .timeout(time)
            .header("X-ClickHouse-User", &self.settings.user)
            .header(CONTENT_LENGTH, bytes);
        if let Some(password) = self.password()? {
            request = request.header("X-ClickHouse-Key", password);
        }
        if let Some(file) = file {
            request = request.body(run::body(file));
        }
        let answer = request.send().await;
        let answer = answer.map_err(|error| Failure::Target(all_of(&error.without_url())))?;
        let status = answer.status();
        let code = answer.headers().get("X-ClickHouse-Exception-Code");
        let code: Option<u64> = code.and_then(|code| code.to_str().ok()?.parse().ok());
        if status.is_success() && code.is_none() {
            return Ok(());
        }
        let text = answer.text().await.unwrap_or_default();
        let text: String = text.trim().chars().take(REASON_CHARS).collect();
        let why = format!("it answered {}: {text}", status.as_u16());
        Err(match code {
            Some(code) if !OF_ALL_TABLES.contains(&code) => Failure::Table(why),
            _ => Failure::Target(why),
        })
    }

    fn password(&self) -> Result<Option<HeaderValue>, Failure> {
        let path = &self.settings.password_file;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let failed = |why: &dyn std::fmt::Display| {
            Failure::Target(format!("password_file {}: {why}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let mut value = HeaderValue::from_str(text.trim_end_matches(['\r', '\n']))
            .map_err(|_| failed(&"it has characters that no password in a header may have"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The rest after one failure more. The first is said in the log.
fn rested(before: Option<Rest>, why: String, table: &str, target: &str, jitter: f64) -> Rest {
    let failures = before.map_or(0, |rest| rest.failures) + 1;
    if failures == 1 {
        tracing::warn!(
            target,
            table,
            why,
            "ClickHouse does not take rows; they stay here as they would, and it is tried again"
        );
    }
    Rest { failures, until: Instant::now() + wait_after(failures, jitter), why }
}

/// Twice as long after each failure, half of it by chance.
fn wait_after(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST_WAIT).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with what it comes from: the reason stands last.
fn all_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> OutletSettings {
        OutletSettings {
            url: url.to_owned(),
            database: "holm".to_owned(),
            user: "holm".to_owned(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            tables: vec!["flows".to_owned(), "active_*".to_owned()],
            create_tables: true,
            give_up_after_ms: 1,
            of: ["acme", "berlin", "n1"].map(str::to_owned),
        }
    }

    #[test]
    fn rows_go_over_tls_or_stay_on_the_machine() {
        for url in [
            "https://ch.example:8443",
            "http://127.0.0.1:8123",
            "http://[::1]:1/",
            "http://localhost",
        ] {
            Outlet::new(settings(url)).expect(url);
        }
        for url in ["http://192.0.2.1:8123", "http://ch.example", "ch.example:8123", "ftp://[::1]/"]
        {
            let error = Outlet::new(settings(url)).expect_err(url).to_string();
            assert!(error.contains("rows.clickhouse"), "{error}");
        }
        Outlet::new(settings("https://me:secret@ch.example")).expect_err("a password in the URL");
        let outlet = Outlet::new(settings("https://ch.example")).expect("valid");
        assert!(outlet.takes("flows") && outlet.takes("active_results"));
        assert!(!outlet.takes("flows_of_others") && !outlet.takes("signals"));
    }

    #[test]
    fn waits_grow_and_end() {
        assert_eq!(wait_after(1, 1.0), Duration::from_secs(1));
        assert_eq!(wait_after(1, 0.0), Duration::from_millis(500));
        assert_eq!(wait_after(4, 1.0), Duration::from_secs(8));
        for failures in [10, 40, u32::MAX] {
            assert_eq!(wait_after(failures, 1.0), LONGEST_WAIT);
        }
    }
}
