//! The thread that sends, one file after the other.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::stream;

use super::{Failure, Outlet, Position, Standing, lock, sql};
use crate::file::EventFile;
use crate::store::Shared;

const EVERY: Duration = Duration::from_millis(500);
/// How often somebody looks whether the store stops while a file is sent.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of a file that are opened at once.
const PIECE_BYTES: u64 = 1 << 20;
/// The file that says how far it came.
const POSITION: &str = "clickhouse.position";

/// Runs until the store stops.
pub(crate) fn run(shared: &Shared, outlet: &Outlet) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the outlet to ClickHouse cannot run: the system gives no means for it");
            return;
        }
    };
    // Tables that are known to be there as they should.
    let mut made: BTreeSet<String> = BTreeSet::new();
    while !shared.stops() {
        let next = outlet.resting(Instant::now()).and_then(|rests| shared.to_send(outlet, &rests));
        let Some((table, file)) = next else {
            let held = shared.held();
            drop(shared.wait(held, EVERY));
            continue;
        };
        let sent = shared.save_position(outlet).map_err(|error| {
            Failure::Target(format!("how far it came cannot be written here: {error}"))
        });
        let sent = sent.and_then(|()| {
            runtime.block_on(async {
                tokio::select! {
                    sent = send(shared, outlet, &table, &file, &mut made) => sent.map(|()| true),
                    () = stopped(shared) => Ok(false),
                }
            })
        });
        match sent {
            Ok(false) => return,
            Ok(true) => {
                outlet.succeeded(&table, &file, (shared.clock)());
                lock(&outlet.position).sent_up_to(&table, file.hour, file.name.hi);
                // One that cannot be written is sent again after a restart, and dropped there.
                let _ = shared.save_position(outlet);
            }
            // It is set aside, and counted as lost.
            Err(_) if file.is_damaged() => {
                shared.set_damaged_aside();
            }
            Err(failure) => {
                made.remove(&table);
                outlet.failed(&table, failure, jitter());
            }
        }
    }
}

async fn stopped(shared: &Shared) {
    while !shared.stops() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn send(
    shared: &Shared,
    outlet: &Outlet,
    table: &str,
    file: &Arc<EventFile>,
    made: &mut BTreeSet<String>,
) -> Result<(), Failure> {
    if outlet.settings.create_tables
        && !made.contains(table)
        && let Some(known) = shared.table(table)
    {
        for statement in sql::create(&known) {
            outlet.put(&statement, None, None).await?;
        }
        made.insert(table.to_owned());
    }
    let schema = file.parquet().map_err(|error| {
        Failure::Table(format!("{} cannot be read here: {error}", file.location()))
    })?;
    let of = &outlet.settings.of;
    let insert = sql::insert(table, schema.schema(), of);
    // The name has segments, times and rows: no other file of this node ever has it.
    let token = format!("{}/{}", of.join("/"), file.location());
    outlet.put(&insert, Some(&token), Some(file)).await
}

/// The plain bytes of a file, opened as they are taken.
pub(super) fn body(file: &Arc<EventFile>) -> reqwest::Body {
    let (file, end) = (Arc::clone(file), file.plain_bytes());
    let pieces = (0..end.div_ceil(PIECE_BYTES)).map(move |piece| {
        let from = piece * PIECE_BYTES;
        file.read(from..end.min(from + PIECE_BYTES))
    });
    reqwest::Body::wrap_stream(stream::iter(pieces))
}

fn jitter() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    f64::from(since.subsec_nanos() % 1_000_000) / 1_000_000.0
}

impl Shared {
    /// The file that goes next, and marks it as one that may be there; what is too old is given up.
    /// Files whose log is still there may be made anew and wait, as do those that are put together now.
    fn to_send(&self, outlet: &Outlet, rests: &[String]) -> Option<(String, Arc<EventFile>)> {
        let too_old = (self.clock)() - outlet.settings.give_up_after_ms;
        let held = self.held();
        let oldest_segment = held.oldest_segment().unwrap_or(u64::MAX);
        let mut position = lock(&outlet.position);
        let mut next: Option<(&str, &Arc<EventFile>)> = None;
        for (table, files) in held.shelf.tables() {
            if !outlet.takes(table) || rests.iter().any(|resting| resting == table) {
                continue;
            }
            for of_hour in files.chunk_by(|a, b| a.hour == b.hour) {
                let busy = |file: &EventFile| held.merges(table, file.hour);
                for file in of_hour {
                    if position.of(table, file.hour, &file.name) == Standing::Sent {
                        continue;
                    }
                    if file.name.hi >= oldest_segment || busy(file) {
                        break;
                    }
                    if file.name.max < too_old {
                        position.sent_up_to(table, file.hour, file.name.hi);
                        outlet.given_up_rows.fetch_add(file.rows(), Ordering::Relaxed);
                        continue;
                    }
                    if next.is_none_or(|(_, other)| file.name.lo < other.name.lo) {
                        next = Some((table, file));
                    }
                    break;
                }
            }
        }
        let (table, file) = next?;
        position.try_up_to(table, file.hour, file.name.hi);
        Some((table.to_owned(), Arc::clone(file)))
    }

    fn position_path(&self) -> PathBuf {
        self.shelving.root.join(POSITION)
    }

    /// Before anything is put together: what was sent must be known by then.
    pub(crate) fn load_position(&self, outlet: &Outlet) {
        let path = self.position_path();
        // What a crash left half written.
        let _ = self.shelving.disk.remove(&path.with_extension("tmp"));
        let read = match std::fs::read(&path) {
            Ok(bytes) => Position::from_json(&bytes, &outlet.target()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => None,
        };
        match read {
            Some(position) => *lock(&outlet.position) = position,
            None => tracing::warn!(
                path = %path.display(),
                "how far the outlet came is of another target, or damaged: everything that is here is sent, as far as it is not too old"
            ),
        }
    }

    /// Durable when it returns.
    fn save_position(&self, outlet: &Outlet) -> io::Result<()> {
        let there: BTreeSet<(String, crate::file::Hour)> = {
            let held = self.held();
            let files = held.shelf.tables();
            files.flat_map(|(table, f)| f.iter().map(|f| (table.to_owned(), f.hour))).collect()
        };
        let json = {
            let mut position = lock(&outlet.position);
            position.keep(|table, hour| there.contains(&(table.to_owned(), hour)));
            position.to_json(&outlet.target())
        };
        let (disk, path) = (&self.shelving.disk, self.position_path());
        let temporary = path.with_extension("tmp");
        let mut file = disk.create(&temporary)?;
        disk.write(&mut file, &json)?;
        disk.sync(&file)?;
        disk.rename(&temporary, &path)?;
        disk.sync_folder(&self.shelving.root)
    }
}
