//! Samples that wait on the agent's disk: in order, each with a number of its own, crash-safe (redb), bounded.
//!
//! A sample's key is the queue's random name and its number: it is the same however often it is sent, and to whom.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use holm_endpoint::Sample;
use holm_model::Millis;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

const SAMPLES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("samples");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const NAME: &str = "name";
const NEXT: &str = "next";
const DROPPED: &str = "dropped";
/// Largest sample, in bytes: what a node takes.
pub(crate) const MAX_SAMPLE_BYTES: usize = 64 << 10;
/// What is sent at once, in samples and bytes: a node reads 1 MiB.
const MAX_BATCH: usize = 100;
const MAX_BATCH_BYTES: usize = 512 << 10;

/// The queue of one agent.
pub(crate) struct Queue {
    path: PathBuf,
    database: Database,
    max_samples: u64,
}

/// What waits first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Waiting {
    /// The queue's name: the same until its file is lost.
    pub(crate) name: String,
    /// Samples that went without having been sent, because the queue was full.
    pub(crate) dropped: u64,
    /// The first samples, by their numbers.
    pub(crate) samples: Vec<(u64, serde_json::Value)>,
    /// The number of the last sample that was looked at, also of one that cannot be read.
    pub(crate) last: Option<u64>,
}

impl Queue {
    /// Opens the file or makes it; a damaged one is moved aside and reported, never deleted.
    pub(crate) fn open(
        path: &Path,
        max_samples: u64,
        now: Millis,
    ) -> anyhow::Result<(Self, Option<String>)> {
        let (database, report) = match open(path) {
            Ok(database) => (database, None),
            Err(redb::Error::DatabaseAlreadyOpen) => {
                bail!("{}: another agent uses it; stop that, or give --dir", path.display())
            }
            Err(redb::Error::Io(error))
                if !matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                return Err(error).with_context(|| format!("{}: cannot be opened", path.display()));
            }
            Err(damage) => {
                let aside = path.with_extension(format!("redb.damaged-{}", now.0));
                std::fs::rename(path, &aside)
                    .with_context(|| format!("{}: cannot be moved", path.display()))?;
                let report = format!(
                    "{} was damaged ({damage}) and was moved to {}: samples that waited are lost",
                    path.display(),
                    aside.display()
                );
                (open(path)?, Some(report))
            }
        };
        Ok((Self { path: path.into(), database, max_samples }, report))
    }

    fn told<T>(&self, done: Result<T, redb::Error>) -> anyhow::Result<T> {
        done.with_context(|| {
            format!("{}: cannot be used; check free space and permissions", self.path.display())
        })
    }

    /// Keeps a sample; durable when it returns. The oldest go if there are too many, and are counted.
    pub(crate) fn push(&self, sample: &Sample) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(sample)?;
        if bytes.len() > MAX_SAMPLE_BYTES {
            bail!(
                "the sample has {} bytes, more than {MAX_SAMPLE_BYTES}: check fewer targets",
                bytes.len()
            );
        }
        let push = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut samples = transaction.open_table(SAMPLES)?;
                let mut meta = transaction.open_table(META)?;
                let next = meta.get(NEXT)?.map_or(1, |next| next.value());
                meta.insert(NEXT, next + 1)?;
                samples.insert(next, bytes.as_slice())?;
                let mut dropped = meta.get(DROPPED)?.map_or(0, |dropped| dropped.value());
                while samples.len()? > self.max_samples {
                    samples.pop_first()?;
                    dropped += 1;
                }
                meta.insert(DROPPED, dropped)?;
            }
            transaction.commit()?;
            Ok(())
        };
        self.told(push())
    }

    /// How many wait.
    pub(crate) fn len(&self) -> anyhow::Result<u64> {
        let len = || -> Result<u64, redb::Error> {
            Ok(self.database.begin_read()?.open_table(SAMPLES)?.len()?)
        };
        self.told(len())
    }

    /// What waits first; it goes on waiting until [`Self::taken`].
    pub(crate) fn first(&self) -> anyhow::Result<Waiting> {
        let first = || -> Result<Waiting, redb::Error> {
            let transaction = self.database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let number = |key: &str| -> Result<u64, redb::Error> {
                Ok(meta.get(key)?.map_or(0, |number| number.value()))
            };
            let mut waiting = Waiting {
                name: format!("{:016x}", number(NAME)?),
                dropped: number(DROPPED)?,
                samples: Vec::new(),
                last: None,
            };
            let mut size = 0;
            for entry in transaction.open_table(SAMPLES)?.iter()?.take(MAX_BATCH) {
                let (sequence, bytes) = entry?;
                size += bytes.value().len();
                if size > MAX_BATCH_BYTES && waiting.last.is_some() {
                    break;
                }
                waiting.last = Some(sequence.value());
                // What was written can be read, unless the disk changed it: then it is passed over.
                let sample = serde_json::from_slice(bytes.value()).ok();
                waiting.samples.extend(sample.map(|sample| (sequence.value(), sample)));
            }
            Ok(waiting)
        };
        self.told(first())
    }

    /// A node has all up to this number: they go. Durable when it returns.
    pub(crate) fn taken(&self, last: u64) -> anyhow::Result<()> {
        let taken = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            transaction.open_table(SAMPLES)?.retain_in(..=last, |_, _| false)?;
            transaction.commit()?;
            Ok(())
        };
        self.told(taken())
    }
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    // redb asserts on some damaged files.
    std::panic::catch_unwind(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(1 << 20);
        let database = builder.create(path)?;
        let transaction = database.begin_write()?;
        {
            transaction.open_table(SAMPLES)?;
            let mut meta = transaction.open_table(META)?;
            if meta.get(NAME)?.is_none() {
                meta.insert(NAME, rand::random::<u64>())?;
            }
        }
        transaction.commit()?;
        Ok(database)
    })
    .unwrap_or_else(|_| Err(redb::Error::Corrupted("the file is damaged".into())))
}

#[cfg(test)]
mod tests {
    use holm_endpoint::{Measured, Shown, Thresholds, Wifi};

    use super::*;

    fn sample(at: u64) -> Sample {
        let unsaid = || "not in this test".to_owned();
        Sample {
            at: Millis(at),
            interval_ms: 1_000,
            hostname: Shown::Withheld,
            wifi: Wifi::NoWifi,
            gateways: Measured::NotMeasured(unsaid()),
            resolvers: Measured::NotMeasured(unsaid()),
            last_mile: Measured::NotMeasured(unsaid()),
            sessions: Measured::NotMeasured(unsaid()),
            checks: Vec::new(),
            thresholds: Thresholds::default(),
        }
    }

    fn numbers(queue: &Queue) -> Vec<u64> {
        queue.first().expect("read").samples.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn samples_wait_in_order_over_a_restart_and_the_oldest_go_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("agent.redb");
        let open = || Queue::open(&path, 3, Millis(1)).expect("opens");
        let (queue, report) = open();
        assert_eq!(report, None);
        for at in 1..=5 {
            queue.push(&sample(at)).expect("kept");
        }
        let name = queue.first().expect("read").name;
        assert!(Queue::open(&path, 3, Millis(2)).is_err(), "two agents share no queue");
        drop(queue);
        let (queue, _) = open();
        let waiting = queue.first().expect("read");
        assert_eq!((waiting.name, waiting.dropped, waiting.last), (name, 2, Some(5)));
        assert_eq!(numbers(&queue), [3, 4, 5]);
        queue.taken(4).expect("gone");
        assert_eq!(numbers(&queue), [5]);
        queue.taken(5).expect("gone");
        queue.push(&sample(6)).expect("kept");
        assert_eq!((numbers(&queue), queue.len().expect("counted")), (vec![6], 1));
    }

    #[test]
    fn what_is_sent_at_once_is_bounded() {
        let dir = tempfile::tempdir().expect("a folder");
        let (queue, _) =
            Queue::open(&dir.path().join("agent.redb"), 1_000, Millis(1)).expect("opens");
        for at in 0..120 {
            queue.push(&sample(at)).expect("kept");
        }
        assert_eq!(numbers(&queue).len(), MAX_BATCH);
    }

    #[test]
    fn a_damaged_queue_is_moved_aside_and_has_another_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("agent.redb");
        let (queue, _) = Queue::open(&path, 3, Millis(1)).expect("opens");
        let name = queue.first().expect("read").name;
        drop(queue);
        std::fs::write(&path, [0x5a; 4096]).expect("written");
        let (queue, report) = Queue::open(&path, 3, Millis(9)).expect("opens");
        assert!(report.expect("said").contains("damaged-9"));
        assert_ne!(queue.first().expect("read").name, name);
    }
}
