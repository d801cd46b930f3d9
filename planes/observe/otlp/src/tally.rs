//! What became of what was sent.

use std::sync::{Mutex, PoisonError};

macro_rules! tally {
    ($($(#[$doc:meta])* $field:ident,)+) => {
        /// Counts of one request, or of all.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Tally { $($(#[$doc])* pub $field: u64,)+ }

        impl Tally {
            /// Adds what another one counted.
            pub fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.saturating_add(other.$field);)+
            }

            /// Each count with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field),)+].into_iter()
            }
        }
    };
}

tally! {
    /// Requests that were read.
    requests,
    /// Spans that became rows.
    spans,
    /// Spans that were sent again and are there already.
    spans_repeated,
    /// Spans whose trace, span or parent id is no id. Rejected.
    spans_bad_id,
    /// Spans that could not be read. Rejected.
    spans_malformed,
    /// Spans without a start or an end. Rejected.
    spans_without_time,
    /// Spans that ended more than 24 h ago. Rejected.
    spans_old,
    /// Spans that end more than 5 min ahead of the node's clock. Rejected.
    spans_ahead,
    /// Spans that are larger than a span may be, or whose resource or scope is. Rejected.
    spans_too_large,
    /// Spans of a request beyond what one may have. Rejected.
    spans_too_many,
    /// Spans that end before they start: kept, without a duration.
    spans_end_before_start,
    /// Attributes that were left out: too many, too long a key, or a name that a column has.
    attributes_dropped,
    /// Attributes that the exporter says it left out itself.
    attributes_dropped_by_sender,
    /// Texts that were cut off.
    values_cut,
    /// Events of spans, which are not kept.
    events_left_out,
    /// Links of spans, which are not kept.
    links_left_out,
    /// Requests whose body was longer than it may be, packed or not.
    requests_too_large,
    /// Requests of another content type or encoding.
    requests_other_type,
    /// Requests that could not be read.
    requests_malformed,
    /// Requests that came faster than the tenant's rate.
    requests_too_fast,
    /// Requests for which there was no room, or whose rows could not be written.
    requests_busy,
    /// Times that an edge was told to the topology.
    edges_told,
    /// Calls whose edge was not told: too many others.
    edges_not_told,
}

impl Tally {
    /// Spans that were refused for good.
    pub fn rejected(&self) -> u64 {
        self.reasons().map(|(count, _)| count).sum()
    }

    /// Why spans were refused: how many, and what to do about it.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (u64, &'static str)> {
        [
            (self.spans_bad_id, "have no valid trace, span or parent id (16, 8 and 8 bytes)"),
            (self.spans_malformed, "could not be read"),
            (self.spans_without_time, "have no start or no end"),
            (self.spans_old, "ended more than 24 h ago"),
            (self.spans_ahead, "end more than 5 min ahead of this node's clock; set the clocks"),
            (self.spans_too_large, "are larger than 64 KiB, or their resource or scope is"),
            (self.spans_too_many, "are more than one request may have; send smaller batches"),
        ]
        .into_iter()
    }
}

/// Counts of all requests since the node started.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Tally>);

impl Counters {
    /// Adds what one request counted.
    pub fn add(&self, tally: &Tally) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
    }

    /// What was counted until now.
    pub fn total(&self) -> Tally {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
