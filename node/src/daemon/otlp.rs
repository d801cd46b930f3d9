//! Spans of a tenant's exporters: into its store, and who calls whom into its topology.

use std::sync::PoisonError;

use holm_model::Millis;
use holm_otlp::{Export, SPANS_TABLE, Tally, TooFast};

use super::Tenant;

/// Why nothing of an export was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpansRefused {
    /// The tenant was erased.
    Ended,
    /// The store's queue has no room.
    Full,
    TooFast(TooFast),
    /// The disk refused them. They wait in memory, and are counted: sent again they are repeats, and acknowledged once
    /// they are written.
    Unwritten {
        error: String,
        tally: Box<Tally>,
    },
}

impl Tenant {
    /// Keeps what of an export is new, durable when it returns. Blocks while the disk writes.
    pub(crate) fn take_spans(&self, export: Export, now: Millis) -> Result<Tally, SpansRefused> {
        // Held until the store has the rows: the same export on two connections is taken once.
        let mut intake = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_ended() {
            return Err(SpansRefused::Ended);
        }
        let sorted = intake.sort(export, now).map_err(SpansRefused::TooFast)?;
        self.rows.store.append_rows(SPANS_TABLE, &sorted.rows).map_err(|_| SpansRefused::Full)?;
        let tally = intake.taken(sorted, now, self);
        drop(intake);
        // Repeats too are acknowledged only once the first of them is durable.
        self.rows.store.flush();
        match self.rows.store.last_error() {
            None => Ok(tally),
            Some(error) => Err(SpansRefused::Unwritten { error, tally: Box::new(tally) }),
        }
    }
}
