//! The operator's tables of hops, each read again when its file changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use holm_asn::{AsTable, FileChanges, Places};
use tokio_util::task::AbortOnDropHandle;

use crate::engine::Multipath;
use crate::systems::System;

/// How often the file is looked at; it is read again once it changed and rests.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// What is read from a file.
pub(crate) trait FromFile: Default + Send + Sync + 'static {
    /// What it is, for people.
    const WHAT: &'static str;

    /// Reads it; else the reason, with the file in it.
    fn from_file(path: &Path) -> Result<Self, String>;
}

impl FromFile for AsTable {
    const WHAT: &'static str = "the table of autonomous systems";

    fn from_file(path: &Path) -> Result<Self, String> {
        Self::open_with_countries(path).map_err(|error| error.to_string())
    }
}

impl FromFile for Places {
    const WHAT: &'static str = "the table of places";

    fn from_file(path: &Path) -> Result<Self, String> {
        Self::open(path).map_err(|error| error.to_string())
    }
}

/// The table in use, replaced when its file changes.
#[derive(Debug)]
pub(crate) struct Table<T> {
    now: Arc<RwLock<Arc<T>>>,
    /// Looks at the file as long as this is held.
    _watch: Option<AbortOnDropHandle<()>>,
}

impl<T: FromFile> Table<T> {
    /// Reads the table; why it is not there, if there should be one.
    pub(crate) async fn open(path: &Path) -> (Self, Option<String>) {
        let now = Arc::new(RwLock::new(Arc::new(T::default())));
        if path.as_os_str().is_empty() {
            return (Self { now, _watch: None }, None);
        }
        // Made before it is read, so that no change is missed.
        let changes = FileChanges::new(vec![path.to_owned()]);
        let missing = read(&now, path.to_owned()).await.err();
        let watch = tokio::spawn(watch(Arc::clone(&now), path.to_owned(), changes));
        (Self { now, _watch: Some(AbortOnDropHandle::new(watch)) }, missing)
    }

    /// The table now.
    pub(crate) fn now(&self) -> Arc<T> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn read<T: FromFile>(now: &RwLock<Arc<T>>, path: PathBuf) -> Result<(), String> {
    let read = tokio::task::spawn_blocking(move || T::from_file(&path));
    let table = read.await.map_err(|error| error.to_string())??;
    *now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    Ok(())
}

async fn watch<T: FromFile>(now: Arc<RwLock<Arc<T>>>, path: PathBuf, mut changes: FileChanges) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if changes.look()
            && let Err(error) = read(&now, path.clone()).await
        {
            // The one that was read before stays in use.
            tracing::warn!(error, "{} is not read again", T::WHAT);
        }
    }
}

/// Says whose each interface of a result is, and where, as far as the tables know.
pub fn name_hops(result: &mut Multipath, systems: &AsTable, places: &Places) {
    for interface in result.hops.iter_mut().flat_map(|hop| &mut hop.interfaces) {
        interface.system = systems.origin(interface.address).map(System::from);
        interface.place = places.of(interface.address);
    }
}
