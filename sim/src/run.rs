//! Runs one world from beginning to end, and judges it.

use std::time::Instant;

use holm_mesh_proto::DocumentStore;
use serde_json::{Value, json};

use crate::clocks::ClockWatch;
use crate::keys::site_of;
use crate::plan::{Broken, Plan};
use crate::scenario::{Params, Scenario, ScenarioError};
use crate::store::Hash;
use crate::watch::percentile_ms;
use crate::world::{World, site_id};

/// How often the end is looked for.
const LOOK_US: u64 = 250_000;
/// How often sizes are looked at.
const SIZES_US: u64 = 5_000_000;
/// Most bytes that a node's protocol state may take by its own account, for so many sites.
const fn most_bytes(sites: usize) -> u64 {
    16 * 1024 * 1024 + sites as u64 * 4_096
}

/// What a run gave.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Everything, as it is printed.
    pub json: Value,
    /// What was wrong; empty: nothing.
    pub problems: Vec<String>,
    /// Hash of all that happened.
    pub trace: String,
}

impl Outcome {
    /// A number of [`Outcome::json`]; 0 if there is none of that name.
    pub fn number(&self, name: &str) -> f64 {
        self.json.get(name).and_then(Value::as_f64).unwrap_or_default()
    }
}

/// Runs a scenario.
///
/// # Errors
/// [`ScenarioError`] for numbers that make no world. What goes wrong *in* the world is in
/// [`Outcome::problems`].
pub fn run(scenario: &Scenario, params: &Params) -> Result<Outcome, ScenarioError> {
    let plan = scenario.plan(params)?;
    Ok(run_plan(scenario.name, plan, params.seed))
}

/// Runs a world that need not be one of the scenarios.
pub fn run_plan(name: &str, plan: Plan, seed: u64) -> Outcome {
    let began = Instant::now();
    let (warmup_us, run_us) = (plan.warmup_ms * 1_000, plan.run_ms * 1_000);
    let settle_us = plan.settle_ms * 1_000;
    let slowest = plan.slowest;
    let mut world = World::new(plan, seed);
    let mut sizes = Sizes::default();
    if slowest > 0 {
        world.watch.keep_ways();
    }
    pass(&mut world, warmup_us, &mut sizes);
    world.watch.reset_traffic();
    world.watch.gossip_sends = 0;
    let linked = world.all_linked(2);
    pass(&mut world, warmup_us + run_us, &mut sizes);
    let traffic = Traffic::of(&world, run_us);
    world.stop_writing();
    let end_us = warmup_us + run_us;
    let mut converged_us = None;
    while converged_us.is_none() && world.now_us < end_us + settle_us {
        let next = world.now_us + LOOK_US;
        pass(&mut world, next, &mut sizes);
        // Once equal, they must still be a little later: nothing may be on its way that undoes it.
        if world.all_equal() {
            converged_us = Some(world.now_us - end_us);
        }
    }
    let last_us = world.now_us + 2_000_000;
    pass(&mut world, last_us, &mut sizes);
    let converged = world.all_equal();
    let mut problems = judge(&world, converged, &sizes);
    if !linked {
        problems.push("after the warm-up a site has fewer than two connections".to_owned());
    }
    let spreading = world.watch.spreading();
    let promises = Promises::of(&world);
    let links: Vec<usize> = world.links().collect();
    let trace = world.watch.trace.to_string();
    let channels: serde_json::Map<String, Value> = world
        .watch
        .channels
        .iter()
        .map(|(name, (bytes, messages))| ((*name).to_owned(), json!([bytes, messages])))
        .collect();
    let clock_width_ms = sizes.clocks.widths_ms();
    let clock_narrowed_ms = sizes.clocks.narrowed_ms();
    let mut json = json!({
        "scenario": name, "seed": seed, "sites": world.sites.len(),
        "p99_ms": spreading.p99_ms, "p50_ms": spreading.p50_ms,
        "anchor_p99_ms": spreading.anchor_p99_ms, "visible_p99_ms": spreading.visible_p99_ms,
        "messages": spreading.messages, "incomplete_hints": spreading.incomplete,
        "duplicates_per_message": spreading.duplicates,
        "acknowledged": world.watch.acknowledged.len(), "lost_writes": promises.lost,
        "resurrected": promises.resurrected, "breaches": world.watch.breaches,
        "unsynced_lost": world.watch.unsynced_lost,
        "converged": converged, "converged_after_ms": converged_us.map(|us| us / 1_000),
        "heal_round_trips": world.watch.heal_round_trips(),
        "max_node_bytes": sizes.most_bytes, "largest_maps": sizes.largest(),
        "sent_bytes_s_mean": traffic.mean, "sent_bytes_s_max": traffic.most,
        "clock_checks": sizes.clocks.checks, "clock_untrue": sizes.clocks.untrue,
        "clock_width_ms_p50": clock_width_ms[0], "clock_width_ms_p99": clock_width_ms[1],
        "clock_narrowed_ms_p50": clock_narrowed_ms[0], "clock_narrowed_ms_p99": clock_narrowed_ms[1],
        "sessions": world.watch.sessions, "broken_sessions": world.watch.broken_sessions,
        "dropped_frames": world.watch.dropped_frames,
        "links_mean": links.iter().sum::<usize>() as f64 / links.len().max(1) as f64,
        "links_max": links.iter().max(), "channels_bytes_messages": channels,
        "slowest": ways(&world, slowest), "counters": world.counters(),
        "virtual_s": world.now_us / 1_000_000, "wall_s": began.elapsed().as_secs_f64(),
        "trace": trace, "ok": problems.is_empty(), "problems": problems,
    });
    json["duplicates_by_tenth"] = json!(spreading.duplicates_by_tenth);
    Outcome { json, problems, trace }
}

/// The slowest hints: milliseconds, and the way to the site that had it last, as regions.
fn ways(world: &World, most: usize) -> Vec<String> {
    let ms = |us: u64| format!("{:.1}", us as f64 / 1_000.0);
    let slowest = world.watch.slowest(most).into_iter();
    slowest
        .map(|(us, way)| {
            let of = |(site, at_us): &(usize, u64)| {
                format!("{} {}", world.globe.region(*site), ms(*at_us))
            };
            format!("{} ms: {}", ms(us), way.iter().map(of).collect::<Vec<_>>().join(" > "))
        })
        .collect()
}

fn pass(world: &mut World, end_us: u64, sizes: &mut Sizes) {
    while world.now_us < end_us {
        let next = ((world.now_us / SIZES_US + 1) * SIZES_US).min(end_us);
        world.run_until(next);
        if next.is_multiple_of(SIZES_US) {
            sizes.look(world);
        }
    }
}

/// The largest that any node's maps and queues ever were.
#[derive(Debug, Default)]
struct Sizes {
    most_bytes: u64,
    looks: usize,
    most: std::collections::BTreeMap<&'static str, (usize, usize)>,
    clocks: ClockWatch,
}

impl Sizes {
    fn look(&mut self, world: &World) {
        self.clocks.look(world);
        self.looks += 1;
        for (index, site) in world.honest() {
            let mut footprint = site.node.footprint();
            match world.plan.broken.filter(|_| index == 0) {
                Some(Broken::GrowingMap) => footprint.parts.push(("growing", self.looks, 3)),
                Some(Broken::Memory) => footprint.bytes += most_bytes(world.sites.len()),
                _ => {}
            }
            self.most_bytes = self.most_bytes.max(footprint.bytes);
            for (name, length, bound) in footprint.parts {
                let most = self.most.entry(name).or_insert((0, bound));
                most.0 = most.0.max(length);
            }
        }
    }

    fn largest(&self) -> Value {
        self.most.iter().map(|(name, (length, _))| ((*name).to_owned(), json!(length))).collect()
    }
}

struct Traffic {
    mean: f64,
    most: f64,
}

impl Traffic {
    fn of(world: &World, run_us: u64) -> Self {
        let seconds = run_us as f64 / 1e6;
        let honest: Vec<u64> = world.honest().map(|(site, _)| world.watch.sent[site]).collect();
        let most = honest.iter().max().copied().unwrap_or_default();
        let mean = honest.iter().sum::<u64>() as f64 / honest.len().max(1) as f64;
        Self { mean: mean / seconds, most: most as f64 / seconds }
    }
}

/// What became of what was promised.
struct Promises {
    lost: u64,
    resurrected: u64,
}

impl Promises {
    fn of(world: &World) -> Self {
        let (mut lost, mut resurrected) = (0, 0);
        for write in &world.watch.acknowledged {
            let mut able = world
                .honest()
                .filter(|(site, _)| world.grants.may(&site_id(*site), &write.tenant))
                .map(|(_, site)| &site.store)
                .peekable();
            // Its writer may be down for good and have told nobody: then its disk has it.
            let down: Vec<_> = world.sites.iter().filter(|site| !site.up).collect();
            let on_a_disk =
                down.iter().any(|s| s.store.holds(&write.tenant, write.doc, &write.hash));
            if able.peek().is_none() {
                continue;
            }
            let mut held = false;
            for store in able {
                held |= store.holds(&write.tenant, write.doc, &write.hash);
                if let Some(gone) = write.withdrew
                    && store.holds(&write.tenant, write.doc, &write.hash)
                    && presents(store, write, &gone)
                {
                    resurrected += 1;
                }
            }
            if !held && !on_a_disk {
                lost += 1;
            }
        }
        Self { lost, resurrected }
    }
}

fn presents(
    store: &crate::store::SimStore,
    write: &crate::watch::Acknowledged,
    gone: &Hash,
) -> bool {
    store.presents(&write.tenant, write.doc).contains(gone)
}

fn judge(world: &World, converged: bool, sizes: &Sizes) -> Vec<String> {
    let mut problems = Vec::new();
    if !converged {
        let sums: std::collections::BTreeSet<u128> =
            world.honest().map(|(_, site)| site.store.sum(&world.tenant)).collect();
        let states = sums.len();
        problems.push(format!("not converged: {states} different states among those that run"));
    }
    let promises = Promises::of(world);
    if promises.lost > 0 {
        problems.push(format!("{} acknowledged writes are lost", promises.lost));
    }
    if promises.resurrected > 0 {
        problems.push(format!("{} withdrawn elements are back", promises.resurrected));
    }
    if world.watch.breaches > 0 {
        problems
            .push(format!("{} frames told outsiders of the closed tenant", world.watch.breaches));
    }
    let outside = |site: &usize| {
        world.closed.as_ref().is_some_and(|t| {
            !world.grants.may(&site_id(*site), t) && world.sites[*site].store.count(t) > 0
        })
    };
    if let Some(site) = (0..world.sites.len()).find(outside) {
        problems.push(format!("site {site} holds documents of the closed tenant"));
    }
    for (name, (length, bound)) in &sizes.most {
        if length > bound {
            problems.push(format!("{name} grew to {length}, over its bound of {bound}"));
        }
    }
    if sizes.most_bytes > most_bytes(world.sites.len()) {
        problems.push(format!("a node's protocol state took {} bytes", sizes.most_bytes));
    }
    if let Some(first) = &sizes.clocks.first {
        problems.push(format!("{} bounds of clocks are not true: {first}", sizes.clocks.untrue));
    }
    let (untrue, first) = untrue_leases(world);
    if untrue > 0 {
        problems.push(format!("{untrue} leases say what nobody said: {first}"));
    }
    // What nobody honest wrote must not have come in as a tenant.
    for (site, node) in world.honest() {
        if node.store.tenants().len() > 2 {
            problems.push(format!("site {site} has tenants that nobody granted"));
        }
    }
    problems
}

/// Leases of honest sites that honest sites take for signed, and that say more than was ever claimed.
/// (One that is not signed is taken until the first that is; the liar's is shown as what it is.)
fn untrue_leases(world: &World) -> (u64, String) {
    let (mut untrue, mut first) = (0, String::new());
    for (at, node) in world.honest() {
        for lease in node.node.leases() {
            let about = site_of(&lease.site).and_then(|site| world.sites.get(site));
            let Some(about) = about.filter(|about| !about.byzantine) else { continue };
            if lease.signed && lease.as_of > about.held {
                untrue += 1;
                first = format!("at {at}, {lease:?}, held {:?}", about.held);
            }
        }
    }
    (untrue, first)
}

/// Acknowledged writes that no node and no disk has any more.
pub fn lost_writes(world: &World) -> u64 {
    Promises::of(world).lost
}

/// The median of some numbers, for benches.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The 99th percentile of times in microseconds, as milliseconds.
pub fn p99_ms(times_us: &mut [u64]) -> f64 {
    percentile_ms(times_us, 99)
}
