//! What a world is made of and what befalls it: pure data.

use holm_mesh_proto::Timing;

/// One thing that is done to the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Sites of different groups cannot reach each other. One group a site.
    Split(Vec<u8>),
    /// The region in which this site stands and the rest of the globe cannot reach each other.
    CutRegion(usize),
    /// Nothing flies from the first to the second, but back.
    OneWay {
        /// Whose messages are lost.
        from: Vec<usize>,
        /// On the way to whom.
        to: Vec<usize>,
    },
    /// Everybody reaches everybody.
    Heal,
    /// The power goes off: memory and unsynced disk are gone, and nobody is told.
    Crash(usize),
    /// A crashed node starts with what its disk has.
    Restart(usize),
    /// The node says goodbye and stops.
    Leave(usize),
    /// A node that was not there yet starts with an empty disk.
    Join(usize),
    /// The node's machine is slow: each message and each tick takes longer.
    Slow {
        /// Which node.
        site: usize,
        /// By how much.
        extra_ms: u64,
    },
    /// The node's wall clock is set to this much ahead of the true time.
    Clock {
        /// Which node.
        site: usize,
        /// Milliseconds ahead; negative: behind.
        ahead_ms: i64,
    },
    /// So many of a thousand packets are lost from now on, and sent again.
    Loss(u32),
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Nothing.
    None,
    /// Each site once, at a random moment of the window, to a document of its own.
    Once {
        /// The window.
        window_ms: u64,
    },
    /// Each site again and again, to documents that all share.
    Steady {
        /// Mean pause between two writes of a site.
        every_ms: u64,
        /// Shared documents.
        documents: u64,
        /// Writes of a hundred that withdraw an element instead of opening one.
        withdrawals: u32,
    },
}

/// How a world is broken on purpose, to see whether a checker speaks. No scenario is, and the command
/// line cannot ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Stores present elements that were withdrawn.
    Resurrection,
    /// Connected outsiders are sent each hint of the closed tenant.
    ToldHint,
    /// Outsiders' stores have documents of the closed tenant.
    StrayDocument,
    /// A map of the first site grows by one each time that sizes are looked at, beyond its bound.
    GrowingMap,
    /// The first site accounts for more bytes than any may.
    Memory,
    /// The first site signs leases that are ahead of what it holds.
    UntrueLease,
    /// There is a tenant that nobody granted.
    StrayTenant,
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Sites, those that join later included.
    pub sites: usize,
    /// Intervals of the nodes.
    pub timing: Timing,
    /// Whether the nodes remember each other from an earlier run, or know one seed alone.
    pub formed: bool,
    /// Virtual time before anything is written or goes wrong.
    pub warmup_ms: u64,
    /// Virtual time of writing and faults.
    pub run_ms: u64,
    /// How long after the last write and fault all must be equal.
    pub settle_ms: u64,
    /// What befalls the world, by time since the end of the warm-up.
    pub acts: Vec<(u64, Act)>,
    /// What is written.
    pub load: Load,
    /// Documents that all have from the beginning.
    pub preloaded: u64,
    /// Sites that may not have the second, closed tenant; empty: there is none.
    pub outsiders: Vec<usize>,
    /// Sites that lie.
    pub byzantine: Vec<usize>,
    /// Sites that start later, by [`Act::Join`].
    pub absent: Vec<usize>,
    /// How long a disk needs.
    pub disk_ms: u64,
    /// How far the nodes' raw clocks are off at most, in parts per million to either side.
    pub drift_ppm: u32,
    /// Of so many of the slowest hints the way is told.
    pub slowest: usize,
    /// Whether nodes hold leases, each second as the real node does.
    pub leases: bool,
    /// How it is broken on purpose; `None`: it is not.
    pub broken: Option<Broken>,
}

impl Plan {
    /// Sites that meet through one seed, with a steady load and no faults.
    pub fn quiet_start(sites: usize) -> Self {
        Self {
            sites,
            timing: Timing::default(),
            formed: false,
            warmup_ms: 30_000,
            run_ms: 60_000,
            settle_ms: 180_000,
            acts: Vec::new(),
            load: Load::Steady { every_ms: 5_000, documents: 20, withdrawals: 25 },
            preloaded: 0,
            outsiders: Vec::new(),
            byzantine: Vec::new(),
            absent: Vec::new(),
            disk_ms: 5,
            drift_ppm: 50,
            slowest: 0,
            leases: true,
            broken: None,
        }
    }
}
