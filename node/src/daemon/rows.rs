//! Where planes put rows: the tenant's store, and the latest result of each probe beside it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use holm_events::RowStore;
use holm_model::{Row, Value};
use holm_plane::RowSink;
use tokio::sync::broadcast;

use super::{Change, Topic};

/// Results of the active plane; its rows say which probe, which target, and how it went.
pub(crate) const RESULTS_TABLE: &str = "active_results";
const MAX_LATEST: usize = 10_000;

/// The rows of one tenant at this site.
pub(crate) struct TenantRows {
    pub(crate) store: RowStore,
    latest: Mutex<BTreeMap<(String, String), Row>>,
    latest_full: AtomicU64,
}

impl TenantRows {
    /// With the latest results among those in `store`.
    pub(crate) fn new(store: RowStore) -> Self {
        let rows = Self { store, latest: Mutex::default(), latest_full: AtomicU64::new(0) };
        let known = rows.store.newest(RESULTS_TABLE, holm_model::Millis(0), MAX_LATEST);
        match known {
            Ok(known) => known.into_iter().rev().for_each(|row| rows.keep_latest(&row)),
            Err(error) => {
                tracing::warn!(%error, "the latest results of the last run are not known")
            }
        }
        rows
    }

    /// The latest result of each probe, in order of probe and target.
    pub(crate) fn latest(&self) -> Vec<Row> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Results that were not kept as latest because there are too many targets.
    pub(crate) fn latest_full(&self) -> u64 {
        self.latest_full.load(Ordering::Relaxed)
    }

    fn keep_latest(&self, row: &Row) {
        let text = |column| match row.columns.get(column) {
            Some(Value::Text(text)) => Some(text.to_string()),
            _ => None,
        };
        let (Some(probe), Some(target)) = (text("probe"), text("target")) else { return };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (probe, target);
        if latest.len() >= MAX_LATEST && !latest.contains_key(&key) {
            self.latest_full.fetch_add(1, Ordering::Relaxed);
            return;
        }
        latest.insert(key, row.clone());
    }
}

/// The planes' end: rows of one tenant.
pub(crate) struct Rows {
    pub(crate) tenant: Arc<super::Tenant>,
    pub(crate) changes: broadcast::Sender<Change>,
}

impl RowSink for Rows {
    fn append(&self, row: Row) {
        if self.tenant.has_ended() {
            return;
        }
        if row.table == RESULTS_TABLE {
            self.tenant.rows.keep_latest(&row);
            // Nobody listening is fine: the stream tells pages that are open.
            let _ = self.changes.send(Change::of(&self.tenant.id, Topic::Results));
        }
        self.tenant.rows.store.append(row);
    }
}
