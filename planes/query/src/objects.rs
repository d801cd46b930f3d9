//! The files of one tenant as an object store that DataFusion reads: a file is known while somebody
//! holds it, and nothing else is there.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use holm_events::EventFile;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

/// Files that are remembered before those that are gone are forgotten.
const MANY: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Objects {
    files: RwLock<HashMap<String, Weak<EventFile>>>,
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event files")
    }
}

impl Objects {
    /// Makes files known for as long as they are held.
    pub(crate) fn know(&self, files: &[Arc<EventFile>]) {
        let mut known = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() > MANY {
            known.retain(|_, file| file.strong_count() > 0);
        }
        for file in files {
            known.insert(file.location().to_owned(), Arc::downgrade(file));
        }
    }

    fn file(&self, location: &Path) -> Result<Arc<EventFile>> {
        let known = self.files.read().unwrap_or_else(PoisonError::into_inner);
        known.get(location.as_ref()).and_then(Weak::upgrade).ok_or_else(|| Error::NotFound {
            path: location.to_string(),
            source: "no file of the question's tables".into(),
        })
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::Generic { store: "event files", source: Box::new(error) }
}

fn read_only<T>() -> Result<T> {
    Err(Error::NotSupported { source: "questions only read".into() })
}

/// What DataFusion is told of a file.
pub(crate) fn meta(file: &EventFile) -> ObjectMeta {
    ObjectMeta {
        location: Path::from(file.location()),
        last_modified: Default::default(),
        size: file.plain_bytes(),
        e_tag: None,
        version: None,
    }
}

/// Ranges that lie within so many bytes are read at once.
const NEAR: u64 = 64 << 10;

#[async_trait]
impl ObjectStore for Objects {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let file = self.file(location)?;
        let meta = meta(&file);
        let range = match &options.range {
            None => 0..meta.size,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(meta.size),
            Some(GetRange::Offset(from)) => *from..meta.size,
            Some(GetRange::Suffix(length)) => meta.size.saturating_sub(*length)..meta.size,
        };
        let bytes =
            if options.head { Bytes::new() } else { file.read(range.clone()).map_err(failed)? };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
            meta,
            range,
            attributes: Attributes::default(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let file = self.file(location)?;
        let mut spans: Vec<Range<u64>> = Vec::new();
        let mut sorted: Vec<&Range<u64>> = ranges.iter().collect();
        sorted.sort_by_key(|range| range.start);
        for range in sorted {
            match spans.last_mut() {
                Some(span) if range.start <= span.end + NEAR => span.end = span.end.max(range.end),
                _ => spans.push(range.clone()),
            }
        }
        let read = file.read_ranges(&spans).map_err(failed)?;
        let part = |range: &Range<u64>| {
            let at = spans.partition_point(|span| span.start <= range.start).saturating_sub(1);
            let from = (range.start - spans[at].start) as usize;
            read[at].slice(from..from + (range.end - range.start) as usize)
        };
        Ok(ranges.iter().map(part).collect())
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        read_only()
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        read_only()
    }

    fn delete_stream(
        &self,
        _: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        stream::iter([read_only()]).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::empty().boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Ok(ListResult { common_prefixes: Vec::new(), objects: Vec::new() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        read_only()
    }
}
