//! The scenarios: what each world is made of, as data.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::chance::stream;
use crate::plan::{Act, Load, Plan};

const HOUR_MS: f64 = 3_600_000.0;

/// What can be asked of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Sites; `None`: what the scenario is for.
    pub sites: Option<usize>,
    /// Sites that crash; `None`: what the scenario is for.
    pub crash: Option<usize>,
    /// Virtual hours of load and faults; `None`: what the scenario is for.
    pub hours: Option<f64>,
    /// Same seed, same run.
    pub seed: u64,
    /// Of so many of the slowest hints the way is told.
    pub slowest: usize,
}

impl Params {
    /// A scenario as it is, with this seed.
    pub const fn seeded(seed: u64) -> Self {
        Self { sites: None, crash: None, hours: None, seed, slowest: 0 }
    }
}

/// One kind of world.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// How it is called.
    pub name: &'static str,
    /// What happens in it.
    pub about: &'static str,
    /// Sites unless asked for others.
    pub sites: usize,
    /// Fewest sites that make sense.
    pub least: usize,
    make: fn(&Asked, &mut StdRng) -> Plan,
}

/// Params with the scenario's own numbers filled in.
struct Asked {
    sites: usize,
    crash: Option<usize>,
    hours: Option<f64>,
}

impl Asked {
    fn run_ms(&self, minutes: u64) -> u64 {
        // At most MAX_HOURS, checked where the number comes in.
        self.hours.map_or(minutes * 60_000, |hours| (hours * HOUR_MS) as u64).max(1_000)
    }
}

/// Every scenario.
pub const SCENARIOS: [Scenario; 12] = [
    Scenario {
        name: "steady",
        about: "all write, nothing goes wrong",
        sites: 12,
        least: 2,
        make: steady,
    },
    Scenario {
        name: "crash",
        about: "sites lose power, and what their disks had not yet, and come back; packets are lost",
        sites: 12,
        least: 3,
        make: crash,
    },
    Scenario {
        name: "broadcast",
        about: "the anchor: 500 sites write once each, 20 crash for good meanwhile",
        sites: 500,
        least: 10,
        make: broadcast,
    },
    Scenario {
        name: "islands",
        about: "the mesh falls into islands, again and again differently",
        sites: 12,
        least: 4,
        make: islands,
    },
    Scenario {
        name: "region",
        about: "a whole region of the globe is cut off, sites crash on both sides, and it returns",
        sites: 24,
        least: 6,
        make: region,
    },
    Scenario {
        name: "one-way",
        about: "a third of the sites hears the others but is not heard",
        sites: 12,
        least: 3,
        make: one_way,
    },
    Scenario {
        name: "flapping",
        about: "the line between two halves breaks and heals every few seconds; slow sites",
        sites: 12,
        least: 4,
        make: flapping,
    },
    Scenario {
        name: "clocks",
        about: "clocks are off by up to an hour and jump; sites restart with them",
        sites: 12,
        least: 4,
        make: clocks,
    },
    Scenario {
        name: "joins",
        about: "sites join one after the other, and others leave",
        sites: 16,
        least: 6,
        make: joins,
    },
    Scenario {
        name: "byzantine",
        about: "a member lies: random bytes, replays, false hints, leases and deaths, floods; \
                a tenant that a third of the sites must not hear of",
        sites: 12,
        least: 4,
        make: byzantine,
    },
    Scenario {
        name: "day-apart",
        about: "one site is cut off for a day, both sides write, then it is back",
        sites: 5,
        least: 3,
        make: day_apart,
    },
    Scenario {
        name: "quiet",
        about: "a formed mesh in which nothing changes: bytes per node and second",
        sites: 100,
        least: 2,
        make: quiet,
    },
];

/// Longest run, in virtual hours.
pub const MAX_HOURS: f64 = 24.0 * 366.0;
/// Most sites.
pub const MAX_SITES: usize = 5_000;

/// Why a run cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// No scenario has the name.
    #[error("there is no scenario {name:?}; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Too few or too many sites.
    #[error("scenario {name} takes {least} to {MAX_SITES} sites, not {sites}")]
    Sites {
        /// Which scenario.
        name: &'static str,
        /// Fewest.
        least: usize,
        /// What was asked for.
        sites: usize,
    },
    /// More crashes than sites that may crash.
    #[error("{crash} of {sites} sites cannot crash: leave at least two")]
    Crash {
        /// What was asked for.
        crash: usize,
        /// How many sites there are.
        sites: usize,
    },
    /// Not a time.
    #[error("{hours} hours is not more than 0 and at most {MAX_HOURS}")]
    Hours {
        /// What was asked for.
        hours: f64,
    },
}

impl Scenario {
    /// The scenario of that name.
    ///
    /// # Errors
    /// [`ScenarioError::Unknown`] lists those that there are.
    pub fn named(name: &str) -> Result<&'static Self, ScenarioError> {
        SCENARIOS.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            ScenarioError::Unknown { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// The world of these parameters.
    ///
    /// # Errors
    /// [`ScenarioError`] for numbers that make no world.
    pub fn plan(&self, params: &Params) -> Result<Plan, ScenarioError> {
        let sites = params.sites.unwrap_or(self.sites);
        if sites < self.least || sites > MAX_SITES {
            return Err(ScenarioError::Sites { name: self.name, least: self.least, sites });
        }
        if let Some(crash) = params.crash.filter(|crash| crash + 2 > sites) {
            return Err(ScenarioError::Crash { crash, sites });
        }
        if let Some(hours) = params.hours.filter(|hours| !(*hours > 0.0 && *hours <= MAX_HOURS)) {
            return Err(ScenarioError::Hours { hours });
        }
        let asked = Asked { sites, crash: params.crash, hours: params.hours };
        let mut plan = (self.make)(&asked, &mut stream(params.seed, "plan"));
        if let Some(crash) = params.crash.filter(|_| !CRASHES_ITSELF.contains(&self.name)) {
            add_crashes(&mut plan, crash, &mut stream(params.seed, "crashes"));
        }
        plan.acts.sort_by_key(|(at_ms, _)| *at_ms);
        plan.slowest = params.slowest;
        Ok(plan)
    }
}

const CRASHES_ITSELF: [&str; 3] = ["crash", "broadcast", "region"];

fn steady(asked: &Asked, _: &mut StdRng) -> Plan {
    Plan { run_ms: asked.run_ms(2), ..Plan::quiet_start(asked.sites) }
}

fn crash(asked: &Asked, rng: &mut StdRng) -> Plan {
    let mut plan = Plan {
        run_ms: asked.run_ms(3),
        disk_ms: 200,
        acts: vec![(0, Act::Loss(20))],
        ..Plan::quiet_start(asked.sites)
    };
    plan.load = Load::Steady { every_ms: 1_000, documents: 20, withdrawals: 25 };
    add_crashes(&mut plan, asked.crash.unwrap_or(asked.sites / 3), rng);
    plan
}

fn broadcast(asked: &Asked, rng: &mut StdRng) -> Plan {
    // As in the anchor: about 200 messages a second, whatever the number of sites; and like there the
    // crashes are spread over the same time.
    let window_ms = asked.sites as u64 * 5;
    let crash = asked.crash.unwrap_or(asked.sites / 25);
    let acts = chosen(asked.sites, crash, rng).into_iter();
    let acts = acts.map(|site| (rng.random_range(0..window_ms), Act::Crash(site))).collect();
    Plan {
        formed: true,
        warmup_ms: 110_000,
        run_ms: window_ms,
        load: Load::Once { window_ms },
        leases: false,
        acts,
        ..Plan::quiet_start(asked.sites)
    }
}

fn islands(asked: &Asked, rng: &mut StdRng) -> Plan {
    let run_ms = asked.run_ms(4);
    let mut acts = Vec::new();
    for round in 0..4 {
        let islands = rng.random_range(2..=4_u8);
        let groups = (0..asked.sites).map(|_| rng.random_range(0..islands)).collect();
        acts.push((run_ms * round / 4, Act::Split(groups)));
        if round % 2 == 1 {
            acts.push((run_ms * round / 4 + run_ms / 6, Act::Heal));
        }
    }
    acts.push((run_ms, Act::Heal));
    Plan { run_ms, acts, ..Plan::quiet_start(asked.sites) }
}

fn region(asked: &Asked, rng: &mut StdRng) -> Plan {
    let run_ms = asked.run_ms(4);
    let mut plan = Plan { run_ms, ..Plan::quiet_start(asked.sites) };
    // Each time that of another site; the last returns at the end.
    for round in 0..3 {
        let site = rng.random_range(0..asked.sites);
        plan.acts.push((run_ms * round / 3, Act::CutRegion(site)));
        plan.acts.push((run_ms * round / 3 + run_ms / 4, Act::Heal));
    }
    add_crashes(&mut plan, asked.crash.unwrap_or(asked.sites / 6), rng);
    plan
}

fn one_way(asked: &Asked, rng: &mut StdRng) -> Plan {
    let run_ms = asked.run_ms(3);
    let from = chosen(asked.sites, asked.sites / 3, rng);
    let to = (0..asked.sites).filter(|site| !from.contains(site)).collect();
    let acts = vec![(run_ms / 6, Act::OneWay { from, to }), (run_ms, Act::Heal)];
    Plan { run_ms, acts, ..Plan::quiet_start(asked.sites) }
}

fn flapping(asked: &Asked, rng: &mut StdRng) -> Plan {
    let run_ms = asked.run_ms(3);
    let groups: Vec<u8> = (0..asked.sites).map(|_| rng.random_range(0..2)).collect();
    let mut acts: Vec<_> = chosen(asked.sites, asked.sites / 4, rng)
        .into_iter()
        .map(|site| (0, Act::Slow { site, extra_ms: rng.random_range(100..800) }))
        .collect();
    let mut at_ms = 0;
    while at_ms < run_ms {
        acts.push((at_ms, Act::Split(groups.clone())));
        at_ms += rng.random_range(500..12_000);
        acts.push((at_ms.min(run_ms), Act::Heal));
        at_ms += rng.random_range(500..8_000);
    }
    Plan { run_ms, acts, ..Plan::quiet_start(asked.sites) }
}

fn clocks(asked: &Asked, rng: &mut StdRng) -> Plan {
    let run_ms = asked.run_ms(3);
    let mut plan = Plan { run_ms, ..Plan::quiet_start(asked.sites) };
    for site in 0..asked.sites {
        for _ in 0..2 {
            let ahead_ms = rng.random_range(-3_600_000..3_600_000);
            plan.acts.push((rng.random_range(0..run_ms), Act::Clock { site, ahead_ms }));
        }
    }
    // Restarts after the clock was set back: the generation seems older than what others know.
    add_crashes(&mut plan, asked.sites / 3, rng);
    plan
}

fn joins(asked: &Asked, rng: &mut StdRng) -> Plan {
    let run_ms = asked.run_ms(3);
    // The first two are the seeds; a third joins late, and as many leave.
    let third = asked.sites / 3;
    let absent: Vec<usize> = (asked.sites - third..asked.sites).collect();
    let mut acts: Vec<_> =
        absent.iter().map(|site| (rng.random_range(0..run_ms), Act::Join(*site))).collect();
    let leaving = 2..2 + third.min(asked.sites - third - 3);
    acts.extend(leaving.map(|site| (rng.random_range(0..run_ms), Act::Leave(site))));
    Plan { run_ms, acts, absent, ..Plan::quiet_start(asked.sites) }
}

fn byzantine(asked: &Asked, rng: &mut StdRng) -> Plan {
    let picked = chosen(asked.sites, 1 + asked.sites / 3, rng);
    let (byzantine, outsiders) = picked.split_at(1);
    Plan {
        run_ms: asked.run_ms(2),
        byzantine: byzantine.to_vec(),
        outsiders: outsiders.to_vec(),
        ..Plan::quiet_start(asked.sites)
    }
}

fn day_apart(asked: &Asked, _: &mut StdRng) -> Plan {
    let run_ms = asked.run_ms(24 * 60);
    let last = asked.sites - 1;
    let groups = (0..asked.sites).map(|site| u8::from(site == last)).collect();
    Plan {
        run_ms,
        acts: vec![(0, Act::Split(groups)), (run_ms, Act::Heal)],
        load: Load::Steady { every_ms: run_ms / 60, documents: 1_000, withdrawals: 10 },
        preloaded: 1_000,
        ..Plan::quiet_start(asked.sites)
    }
}

fn quiet(asked: &Asked, _: &mut StdRng) -> Plan {
    Plan {
        formed: true,
        warmup_ms: 150_000,
        run_ms: asked.run_ms(10),
        load: Load::None,
        preloaded: 100,
        ..Plan::quiet_start(asked.sites)
    }
}

/// So many sites go down at random moments and come back after a while, all by the end.
fn add_crashes(plan: &mut Plan, crash: usize, rng: &mut StdRng) {
    for site in chosen(plan.sites, crash, rng) {
        let down_ms = rng.random_range(0..plan.run_ms.max(4) * 3 / 4);
        let up_ms = rng.random_range(down_ms + 1..=plan.run_ms.max(down_ms + 2));
        plan.acts.push((down_ms, Act::Crash(site)));
        plan.acts.push((up_ms, Act::Restart(site)));
    }
}

fn chosen(of: usize, count: usize, rng: &mut StdRng) -> Vec<usize> {
    let mut all: Vec<usize> = (0..of).collect();
    all.shuffle(rng);
    all.truncate(count);
    all
}
