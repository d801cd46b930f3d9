//! The kernel program: loaded, attached, read.

use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::programs::TracePoint;
use holm_model::Millis;

use crate::capability::{self, Lack, Scope};
use crate::config::Config;
use crate::layout::{self, Settings};
use crate::seen::{Seen, read_event};
use crate::sys;

/// The built object; `ebpf/build.sh` makes it, a test compares it with its sources.
static OBJECT: &[u8] = aya::include_bytes_aligned!("holm-host.bpf.o");
const PROGRAM: &str = "inet_sock_set_state";

/// Counters of the kernel program, by the names they have in the plane's health.
const COUNTERS: [(&str, u32); layout::COUNTERS as usize] = [
    ("kernel_events", layout::COUNT_EVENTS),
    ("kernel_dropped_ring_full", layout::COUNT_RING_FULL),
    ("kernel_sockets_refused", layout::COUNT_SOCKETS_FULL),
    ("kernel_other_protocol", layout::COUNT_OTHER_PROTOCOL),
    ("kernel_other_namespace", layout::COUNT_OTHER_NETNS),
];

/// Why the kernel program does not run.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The kernel or our privileges do not allow it.
    #[error("{reason}; {remedy}")]
    Lacking {
        /// What is missing.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// The kernel refused one step.
    #[error("the kernel refused to {step}: {message}")]
    Refused {
        /// Which.
        step: &'static str,
        /// The kernel's message, shortened.
        message: String,
    },
}

impl KernelError {
    fn refused(step: &'static str, error: impl std::error::Error) -> Self {
        // Causes tell what happened; the verifier's log can have megabytes.
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::Refused { step, message: crate::naming::truncated(&message, 600).to_owned() }
    }

    /// Reason and remedy for the plane's health.
    pub(crate) fn into_lack(self) -> Lack {
        match self {
            Self::Lacking { reason, remedy } => Lack { reason, remedy },
            refused @ Self::Refused { .. } => Lack::new(
                refused.to_string(),
                "run as root on Linux 5.8 or later, not under lockdown=confidentiality",
            ),
        }
    }
}

/// The running program. Detached when dropped.
pub struct Kernel {
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    ebpf: Ebpf,
    gaps: Vec<&'static str>,
}

impl Kernel {
    /// Loads and attaches the program.
    ///
    /// # Errors
    /// What is missing, or which step the kernel refused and why.
    pub fn attach(config: &Config) -> Result<Self, KernelError> {
        let settings = capability::settings(Scope::of(config))
            .map_err(|Lack { reason, remedy }| KernelError::Lacking { reason, remedy })?;
        Self::attach_with(&settings)
    }

    fn attach_with(settings: &Settings) -> Result<Self, KernelError> {
        let missing = |what: &'static str| KernelError::Refused {
            step: "find a part of the kernel program",
            message: format!("{what} is not in the object"),
        };
        let mut ebpf = Ebpf::load(OBJECT).map_err(|e| KernelError::refused("make the maps", e))?;
        let map = ebpf.map_mut("SETTINGS").ok_or(missing("SETTINGS"))?;
        Array::<_, [u32; SETTINGS_WORDS]>::try_from(map)
            .and_then(|mut map| map.set(0, words(settings), 0))
            .map_err(|e| KernelError::refused("take the settings", e))?;
        let ring = ebpf.take_map("EVENTS").ok_or(missing("EVENTS"))?;
        let ring = RingBuf::try_from(ring).map_err(|e| KernelError::refused("map the ring", e))?;
        let counters = ebpf.take_map("COUNTERS").ok_or(missing("COUNTERS"))?;
        let counters =
            PerCpuArray::try_from(counters).map_err(|e| KernelError::refused("count", e))?;
        let program: &mut TracePoint = ebpf
            .program_mut(PROGRAM)
            .ok_or(missing(PROGRAM))?
            .try_into()
            .map_err(|e| KernelError::refused("use the program as a tracepoint", e))?;
        program.load().map_err(|e| KernelError::refused("load the program", e))?;
        program
            .attach("sock", PROGRAM)
            .map_err(|e| KernelError::refused("attach the program", e))?;
        Ok(Self { ring, counters, ebpf, gaps: gaps(settings) })
    }

    /// What this kernel's type information does not allow to see; empty if nothing is missing.
    pub fn gaps(&self) -> &[&'static str] {
        &self.gaps
    }

    /// Hands at most `most` waiting events to `take`. Returns how many there were and how many of them
    /// were of another version.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&Seen)) -> (usize, u64) {
        let since_boot = u64::try_from(sys::boot_time().as_millis()).unwrap_or(u64::MAX);
        let boot = Millis::now() - since_boot;
        let (mut drained, mut unreadable) = (0, 0);
        while drained < most
            && let Some(item) = self.ring.next()
        {
            drained += 1;
            match read_event(&item, boot) {
                Some(seen) => take(&seen),
                None => unreadable += 1,
            }
        }
        (drained, unreadable)
    }

    /// The program's own counters, summed over the processors.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        COUNTERS.iter().map(|&(name, index)| {
            let values = self.counters.get(&index, 0);
            (name, values.map_or(0, |values| values.iter().sum()))
        })
    }

    /// Time that the program ran for and how often, since it was loaded. Zeros unless
    /// `/proc/sys/kernel/bpf_stats_enabled` is 1.
    pub fn run_time(&self) -> (std::time::Duration, u64) {
        let info = self.ebpf.program(PROGRAM).and_then(|program| program.info().ok());
        info.map_or_else(Default::default, |info| (info.run_time(), info.run_count()))
    }
}

impl AsFd for Kernel {
    /// Becomes readable when an event waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

fn gaps(settings: &Settings) -> Vec<&'static str> {
    let bytes = [
        settings.tcp_bytes_sent,
        settings.tcp_bytes_retrans,
        settings.tcp_bytes_received,
        settings.sock_flags,
    ];
    let process = [settings.task_leader, settings.task_start, settings.task_comm];
    let namespace = [settings.sock_net, settings.net_inum];
    let lacking = |offsets: &[u32]| offsets.contains(&layout::UNKNOWN);
    [
        (lacking(&bytes), "no byte counts on close"),
        (lacking(&process), "processes are read anew for every connection"),
        (lacking(&namespace), "network namespaces are not told apart"),
    ]
    .into_iter()
    .filter_map(|(lacking, what)| lacking.then_some(what))
    .collect()
}

const SETTINGS_WORDS: usize = size_of::<Settings>() / 4;

/// `Settings` as the words that it consists of, in order.
fn words(s: &Settings) -> [u32; SETTINGS_WORDS] {
    [
        s.version,
        s.netns,
        s.sock_net,
        s.sock_flags,
        s.net_inum,
        s.tcp_bytes_sent,
        s.tcp_bytes_retrans,
        s.tcp_bytes_received,
        s.task_leader,
        s.task_start,
        s.task_comm,
    ]
}
