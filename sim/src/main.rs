//! `holm-sim`: runs scenarios, looks for seeds that fail, measures.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use holm_sim::{Base, MAX_BASE_BYTES, Outcome, Params, SCENARIOS, Scenario, bench, run};

/// A run makes and drops millions of small messages a second (ADR 32).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The mesh in virtual time: same seed, same run.
#[derive(Parser)]
#[command(name = "holm-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what bench.toml's [mesh] names, against its bounds (release builds only).
    Bench {
        /// Only measurements whose name contains this.
        only: Option<String>,
    },
    /// List the scenarios.
    List,
    /// Run one scenario; fails when a checker does.
    Run {
        /// Which one; `holm-sim list` names them.
        #[arg(long, default_value = "steady")]
        scenario: String,
        #[command(flatten)]
        numbers: Numbers,
        /// Same seed, same run.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Print one JSON object, alone on the last line.
        #[arg(long)]
        json: bool,
    },
    /// Run every scenario, small, for a few seeds: a line each; fails when a checker does.
    Short {
        /// Seeds of each scenario, from 1 on.
        #[arg(long, default_value_t = 3)]
        seeds: u64,
        /// Print what this base had beside what the runs gave, and the difference; never fails the run.
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// Write what the runs gave as a base.
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// Run one scenario for many seeds, and name those that fail.
    Seeds {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// The last seed.
        #[arg(long)]
        to: u64,
        /// Which scenario.
        #[arg(long, default_value = "steady")]
        scenario: String,
        #[command(flatten)]
        numbers: Numbers,
    },
}

#[derive(clap::Args)]
struct Numbers {
    /// Sites; without it, what the scenario is for.
    #[arg(long)]
    sites: Option<usize>,
    /// Sites that crash.
    #[arg(long)]
    crash: Option<usize>,
    /// Virtual hours of load and faults.
    #[arg(long)]
    hours: Option<f64>,
    /// Tell the ways of so many of the slowest hints.
    #[arg(long, default_value_t = 0)]
    slowest: usize,
}

impl Numbers {
    const fn with(&self, seed: u64) -> Params {
        let Self { sites, crash, hours, slowest } = *self;
        Params { sites, crash, hours, seed, slowest }
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Bench { only } => bench::all(only.as_deref()),
        Command::List => list(),
        Command::Run { scenario, numbers, seed, json } => one(&scenario, &numbers.with(seed), json),
        Command::Seeds { from, to, scenario, numbers } => {
            seeds(&scenario, &numbers, from, to, &mut Base::default())
        }
        Command::Short { seeds, against, write } => {
            short(seeds, against.as_deref(), write.as_deref())
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("holm-sim: {error}");
            ExitCode::from(2)
        }
    }
}

type Done = Result<bool, String>;

/// Enough for every fault of a scenario to happen, and all scenarios in about a minute.
const SHORT_SITES: usize = 20;
const SHORT_HOURS: f64 = 0.05;

fn list() -> Done {
    for scenario in SCENARIOS {
        println!("{:10} {:>4} sites  {}", scenario.name, scenario.sites, scenario.about);
    }
    Ok(true)
}

fn one(name: &str, params: &Params, json: bool) -> Done {
    let scenario = Scenario::named(name).map_err(|error| error.to_string())?;
    let outcome = run(scenario, params).map_err(|error| error.to_string())?;
    if !json {
        tell(&outcome);
    }
    for problem in &outcome.problems {
        eprintln!("holm-sim: {name}, seed {}: {problem}", params.seed);
    }
    if json {
        println!("{}", outcome.json);
    }
    Ok(outcome.problems.is_empty())
}

fn seeds(name: &str, numbers: &Numbers, from: u64, to: u64, given: &mut Base) -> Done {
    let scenario = Scenario::named(name).map_err(|error| error.to_string())?;
    if to < from {
        return Err(format!("no seeds from {from} to {to}: --to must not be below --from"));
    }
    let mut failed = Vec::new();
    for seed in from..=to {
        let outcome = run(scenario, &numbers.with(seed)).map_err(|error| error.to_string())?;
        given.add(name, seed, &outcome);
        for problem in &outcome.problems {
            println!("{name} seed {seed}: {problem}");
        }
        if !outcome.problems.is_empty() {
            failed.push(seed.to_string());
        }
    }
    println!("{name}: {} seeds, {} failed", to - from + 1, failed.len());
    if !failed.is_empty() {
        println!("failed: {}", failed.join(" "));
        println!("again: holm-sim run --scenario {name} --seed {} --json", failed[0]);
    }
    Ok(failed.is_empty())
}

fn short(seeds: u64, against: Option<&Path>, write: Option<&Path>) -> Done {
    // Before the runs, which take a while.
    let before = against.map(read_base).transpose()?;
    let (mut held, mut given) = (true, Base::default());
    for scenario in SCENARIOS {
        let sites = Some(scenario.sites.min(SHORT_SITES));
        let numbers = Numbers { sites, crash: None, hours: Some(SHORT_HOURS), slowest: 0 };
        held &= self::seeds(scenario.name, &numbers, 1, seeds, &mut given)?;
    }
    if let Some(before) = before {
        print!("{}", before.table(&given));
    }
    if let Some(path) = write {
        std::fs::write(path, given.text())
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(held)
}

fn read_base(path: &Path) -> Result<Base, String> {
    let told = |error: String| format!("cannot read the base {}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| told(error.to_string()))?;
    file.take(MAX_BASE_BYTES).read_to_string(&mut text).map_err(|error| told(error.to_string()))?;
    Base::parse(&text).map_err(told)
}

fn tell(outcome: &Outcome) {
    if let Some(all) = outcome.json.as_object() {
        for (name, value) in all {
            println!("{name:26} {value}");
        }
    }
}
