//! What was counted, per exporter and in all.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of one exporter, or of all.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counters { $($(#[$doc])* pub $name: u64),* }

        impl Counters {
            /// Every counter with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }

            /// Adds all of `other`.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)*
            }
        }
    };
}

counters! {
    /// Datagrams, or messages of a TCP session.
    datagrams,
    /// Their bytes.
    bytes,
    /// Flow records and sampled packets that became rows.
    flows,
    /// Interface counter samples that became rows.
    interface_counters,
    /// Records of options data (samplers, names).
    options,
    /// Templates learnt or learnt anew with other fields.
    templates,
    /// Templates withdrawn (IPFIX over TCP).
    templates_withdrawn,
    /// Withdrawals over UDP, which are not obeyed.
    withdrawals_ignored,
    /// Templates without a byte, with an id below 256, or past a bound.
    templates_refused,
    /// Data sets that came before their template.
    sets_before_template,
    /// Such sets that were decoded when it came.
    sets_replayed,
    /// Such sets that were dropped: no room, or the template never came.
    pending_dropped,
    /// Datagrams that are neither NetFlow v5, v9, IPFIX nor sFlow v5.
    unknown_version,
    /// Messages, sets, samples or records that end before they say.
    truncated,
    /// Sets of an id that no RFC defines.
    unknown_sets,
    /// sFlow samples and records of a format that has no column here.
    formats_skipped,
    /// Sampled packets of which no header could be read.
    headers_unread,
    /// Datagrams that the sequence says were sent and never came (NetFlow v9, sFlow).
    lost_datagrams,
    /// Records that the sequence says were sent and never came (NetFlow v5, IPFIX).
    lost_records,
    /// Samples that an sFlow agent dropped for want of resources.
    agent_drops,
    /// Datagrams that came after a later one.
    reordered,
    /// Sequences that began anew.
    sequence_resets,
    /// Records whose sampling rate is not known; they count as they are.
    sampling_unknown,
    /// Times relative to a start that the exporter did not tell, and times before 1970.
    times_unknown,
    /// Flows that end more than a minute after they came, and times after 2106: the exporter's clock is ahead.
    times_ahead,
    /// Names, samplers or interfaces beyond their bound.
    names_refused,
    /// Datagrams of domains beyond their bound, and options about such.
    domains_refused,
    /// Datagrams of exporters beyond their bound.
    exporters_refused,
    /// Exporters that were forgotten for a new one.
    exporters_forgotten,
    /// Rows that the sink had no room for.
    rows_refused,
}
