//! Cold files: sealed as they are, in storage that speaks S3's protocol.
//!
//! What comes in: whole files that are old enough, and ranges that readers want. What goes out: objects
//! under this node's own prefix, and bytes, by way of a cache of a fixed size. The storage sees
//! ciphertext and names only. What must never happen: a file that is gone from the disk and not whole in
//! the storage, a reader that waits without end, a file taken for damaged because nobody answered.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart,
};

use crate::error::EventError;

/// Bytes of a block of the cache.
const BLOCK_BYTES: u64 = 512 << 10;
/// Bytes of a piece of an upload.
const PIECE_BYTES: usize = 8 << 20;
/// Longest time that a reader waits for a range; less than a question has, so that it goes on without.
const READ_TIME: Duration = Duration::from_secs(8);
/// Longest time in which storage says that it is there, before a question counts on it.
const CHECK_TIME: Duration = Duration::from_secs(3);
/// Longest time of an upload.
const UPLOAD_TIME: Duration = Duration::from_secs(1_800);
/// After it did not answer it is not asked for so long.
const REST: Duration = Duration::from_secs(20);

/// Where cold files go.
#[derive(Debug, Clone)]
pub struct ColdSettings {
    /// `s3://bucket/prefix`.
    pub url: String,
    /// The service's own address, where it is not AWS.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Key and secret; those of the environment (`AWS_ACCESS_KEY_ID`, …) if there are none.
    pub credentials: Option<(String, String)>,
    /// What this store's objects begin with, below the URL's prefix: tenant, site, node.
    pub below: String,
    /// Files whose latest row is older go, in milliseconds.
    pub after_ms: u64,
    /// How long rows are kept there, in milliseconds.
    pub max_age_ms: u64,
    /// Bytes of the cache of what is read back.
    pub cache_bytes: usize,
}

/// What cold storage counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColdStats {
    /// Files that went there.
    pub moved: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Bytes read back, those from the cache not counted.
    pub fetched_bytes: u64,
}

/// The storage of one store.
pub struct Cold {
    storage: Arc<dyn ObjectStore>,
    below: String,
    pub(crate) after_ms: u64,
    pub(crate) max_age_ms: u64,
    /// `None` once it ends.
    runtime: Option<tokio::runtime::Runtime>,
    cache: Mutex<Cache>,
    rests_until: Mutex<Option<(Instant, String)>>,
    moved: AtomicU64,
    failures: AtomicU64,
    fetched_bytes: AtomicU64,
}

impl std::fmt::Debug for Cold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cold").field("below", &self.below).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Cache {
    most_bytes: usize,
    bytes: usize,
    blocks: HashMap<(String, u64), Bytes>,
    /// Oldest first.
    order: VecDeque<(String, u64)>,
}

impl Cache {
    fn keep(&mut self, key: (String, u64), block: Bytes) {
        self.bytes += block.len();
        if let Some(before) = self.blocks.insert(key.clone(), block) {
            self.bytes -= before.len();
        } else {
            self.order.push_back(key);
        }
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.blocks.remove(&oldest).map_or(0, |block| block.len());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cold {
    /// Storage at those settings. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`EventError::Cold`]: the URL or the credentials cannot be used.
    pub fn new(settings: ColdSettings) -> Result<Self, EventError> {
        let failed = |error: &dyn std::fmt::Display| EventError::Cold {
            url: settings.url.clone(),
            reason: error.to_string(),
        };
        let rest = settings.url.strip_prefix("s3://");
        let rest = rest.ok_or_else(|| failed(&"it is not of the form s3://bucket/prefix"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let options = ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(4))
            .with_timeout(READ_TIME)
            .with_allow_http(settings.endpoint.as_ref().is_some_and(|e| e.starts_with("http://")));
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 2,
            retry_timeout: Duration::from_secs(10),
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(options)
            .with_retry(retry);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint).with_virtual_hosted_style_request(false);
        }
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if let Some((key, secret)) = &settings.credentials {
            builder = builder.with_access_key_id(key).with_secret_access_key(secret);
        }
        let storage = builder.build().map_err(|error| failed(&error))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("event-cold")
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let prefix = prefix.trim_matches('/');
        let below =
            if prefix.is_empty() { settings.below } else { format!("{prefix}/{}", settings.below) };
        Ok(Self {
            storage: Arc::new(storage),
            below,
            after_ms: settings.after_ms,
            max_age_ms: settings.max_age_ms,
            runtime: Some(runtime),
            cache: Mutex::new(Cache { most_bytes: settings.cache_bytes, ..Cache::default() }),
            rests_until: Mutex::default(),
            moved: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
        })
    }

    /// Counters.
    pub fn stats(&self) -> ColdStats {
        ColdStats {
            moved: self.moved.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            fetched_bytes: self.fetched_bytes.load(Ordering::Relaxed),
        }
    }

    fn path(&self, location: &str) -> ObjectPath {
        ObjectPath::from(format!("{}/{location}", self.below))
    }

    /// Does `work` on a thread of its own and waits for it: callers are on threads of any kind.
    fn wait<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let closed = || io::Error::new(io::ErrorKind::NotConnected, "the store is closed");
        let runtime = self.runtime.as_ref().ok_or_else(closed)?;
        let (done, wait) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            let outcome = match tokio::time::timeout(time, work).await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error @ object_store::Error::NotFound { .. })) => {
                    Err(io::Error::new(io::ErrorKind::NotFound, error.to_string()))
                }
                Ok(Err(error)) => {
                    Err(io::Error::new(io::ErrorKind::NotConnected, error.to_string()))
                }
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::NotConnected,
                    format!("no answer within {} s", time.as_secs()),
                )),
            };
            let _ = done.send(outcome);
        });
        let outcome = wait.recv().map_err(|_| closed())?;
        if let Err(error) = &outcome {
            self.failures.fetch_add(1, Ordering::Relaxed);
            if error.kind() == io::ErrorKind::NotConnected {
                *lock(&self.rests_until) = Some((Instant::now() + REST, error.to_string()));
            }
        }
        outcome
    }

    /// Whether it answers, as far as is known; asked about `location` if nothing is.
    pub(crate) fn check(&self, location: &str) -> io::Result<()> {
        if let Some((until, error)) = &*lock(&self.rests_until)
            && *until > Instant::now()
        {
            return Err(io::Error::new(io::ErrorKind::NotConnected, error.clone()));
        }
        let (storage, path) = (Arc::clone(&self.storage), self.path(location));
        self.wait(CHECK_TIME, async move { storage.head(&path).await.map(drop) })
    }

    /// Puts the file there as it is; whole when this returns.
    pub(crate) fn put(&self, location: &str, file: &Path) -> io::Result<()> {
        let mut source = File::open(file)?;
        let bytes = source.metadata()?.len();
        let (storage, path) = (Arc::clone(&self.storage), self.path(location));
        let stored = self.wait(UPLOAD_TIME, async move {
            let failed = |error: io::Error| object_store::Error::Generic {
                store: "event file",
                source: Box::new(error),
            };
            let upload = storage.put_multipart(&path).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
            loop {
                upload.wait_for_capacity(2).await?;
                let mut piece = Vec::with_capacity(PIECE_BYTES);
                (&mut source).take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
                if piece.is_empty() {
                    break;
                }
                upload.put(Bytes::from(piece));
            }
            upload.finish().await?;
            storage.head(&path).await.map(|meta| meta.size)
        })?;
        if stored != bytes {
            return Err(io::Error::other(format!("{stored} of {bytes} bytes came to be stored")));
        }
        self.moved.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes the object away, and then `stub`, which says that it is there. Does not wait.
    pub(crate) fn remove(&self, location: &str, stub: &Path) {
        let (storage, path, stub) =
            (Arc::clone(&self.storage), self.path(location), stub.to_owned());
        let Some(runtime) = &self.runtime else { return };
        runtime.spawn(async move {
            let gone = match storage.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => std::fs::remove_file(&stub),
                Err(error) => Err(io::Error::other(error)),
            };
            if let Err(error) = gone {
                // The stub is there: the next start finds the file too old again.
                tracing::warn!(%path, %error, "a cold event file could not be removed");
            }
        });
    }

    /// The bytes of `range`.
    pub(crate) fn read(&self, location: &str, range: Range<u64>, end: u64) -> io::Result<Bytes> {
        let (first, last) = (range.start / BLOCK_BYTES, range.end.saturating_sub(1) / BLOCK_BYTES);
        let mut blocks: Vec<Option<Bytes>> = {
            let cache = lock(&self.cache);
            let block = |n| cache.blocks.get(&(location.to_owned(), n)).cloned();
            (first..=last).map(block).collect()
        };
        let missing: Vec<u64> =
            (first..=last).filter(|n| blocks[(n - first) as usize].is_none()).collect();
        if let (Some(from), Some(to)) = (missing.first(), missing.last()) {
            if let Some((until, error)) = &*lock(&self.rests_until)
                && *until > Instant::now()
            {
                return Err(io::Error::new(io::ErrorKind::NotConnected, error.clone()));
            }
            let wanted = from * BLOCK_BYTES..((to + 1) * BLOCK_BYTES).min(end);
            let (storage, path) = (Arc::clone(&self.storage), self.path(location));
            let asked = wanted.clone();
            let work = async move { storage.get_range(&path, asked).await };
            let bytes = self.wait(READ_TIME, work)?;
            if bytes.len() as u64 != wanted.end - wanted.start {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it is cut"));
            }
            self.fetched_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let mut cache = lock(&self.cache);
            for number in *from..=*to {
                let start = (number * BLOCK_BYTES - wanted.start) as usize;
                let block = bytes.slice(start..bytes.len().min(start + BLOCK_BYTES as usize));
                // A copy: a slice would hold all that came with it.
                cache.keep((location.to_owned(), number), Bytes::copy_from_slice(&block));
                blocks[(number - first) as usize] = Some(block);
            }
        }
        let mut whole = BytesMut::with_capacity((range.end - range.start) as usize);
        for (number, block) in (first..).zip(blocks.into_iter().flatten()) {
            let base = number * BLOCK_BYTES;
            let from = (range.start.saturating_sub(base) as usize).min(block.len());
            let to = ((range.end - base) as usize).min(block.len());
            whole.extend_from_slice(&block[from..to]);
        }
        Ok(whole.freeze())
    }
}

impl Drop for Cold {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
