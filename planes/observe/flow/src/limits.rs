//! The bounds of one decoder. Each has a counter that tells when it was met.

/// A set says its length in 16 bits.
const LONGEST_SET: usize = 1 << 16;

/// How much one decoder may hold. Every worker of a collector has a decoder of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rows of a batch. More make better Parquet and later news; 8,192 rows are about 1 MiB.
    pub batch_rows: usize,
    /// Exporters (address and port). A new one beyond takes the place of one that was idle for
    /// `exporter_idle_s`, or is refused (`exporters_refused`).
    pub max_exporters: usize,
    /// Observation domains of one exporter (`domains_refused`).
    pub max_domains: usize,
    /// Templates of one domain (`templates_refused`).
    pub max_templates: usize,
    /// Fields of one template (`templates_refused`).
    pub max_template_fields: usize,
    /// Fields of all templates together; one address has at most a sixteenth (`templates_refused`).
    pub max_all_fields: usize,
    /// Bytes of data sets that wait for their template; the oldest go first, and one address has at most a quarter
    /// (`pending_dropped`).
    pub max_pending_bytes: usize,
    /// Data sets that wait for their template; the oldest go first, and one address has at most a quarter
    /// (`pending_dropped`).
    pub max_pending_sets: usize,
    /// Samplers, interfaces, applications and VRFs of one domain, each (`names_refused`).
    pub max_options: usize,
    /// Names of all exporters together (`names_refused`).
    pub max_names: usize,
    /// An exporter that was silent for so long may be forgotten for a new one, seconds.
    pub exporter_idle_s: u32,
    /// Data sets wait so long for their template, seconds (`pending_dropped`).
    pub pending_wait_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_rows: 8_192,
            max_exporters: 4_096,
            max_domains: 64,
            max_templates: 1_024,
            max_template_fields: 1_024,
            max_all_fields: 1_000_000,
            max_pending_bytes: 4 << 20,
            max_pending_sets: 4_096,
            max_options: 16_384,
            max_names: 65_536,
            exporter_idle_s: 30 * 60,
            pending_wait_s: 30 * 60,
        }
    }
}

impl Limits {
    /// Fields of the templates of all, and of one address.
    pub(crate) fn fields(&self) -> (usize, usize) {
        let one = (self.max_all_fields / 16).max(self.max_template_fields);
        (self.max_all_fields, one)
    }

    /// Bytes that wait, of one address.
    pub(crate) const fn pending_bytes_of_one(&self) -> usize {
        // The longest set is always let in where it fits at all.
        if self.max_pending_bytes < 4 * LONGEST_SET {
            self.max_pending_bytes
        } else {
            self.max_pending_bytes / 4
        }
    }

    /// Sets that wait, of one address.
    pub(crate) const fn pending_sets_of_one(&self) -> usize {
        self.max_pending_sets.div_ceil(4)
    }

    /// The same with every bound at least 1, so that no division or capacity is 0.
    pub(crate) fn at_least_one(mut self) -> Self {
        for bound in [
            &mut self.batch_rows,
            &mut self.max_exporters,
            &mut self.max_domains,
            &mut self.max_templates,
            &mut self.max_template_fields,
            &mut self.max_all_fields,
            &mut self.max_names,
            &mut self.max_options,
        ] {
            *bound = (*bound).max(1);
        }
        // Row numbers are 32 bits.
        self.batch_rows = self.batch_rows.min(1 << 20);
        self
    }
}
