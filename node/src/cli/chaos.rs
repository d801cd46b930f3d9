//! `holm chaos`: the relays that break what is between two programs, tried on this machine.

use clap::{Args, Subcommand};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum ChaosCommand {
    /// Try every fault that the relays of the test suite can make, on loopback: delay, loss, a way that is cut,
    /// a partition, each between a baseline and a heal. About twelve seconds; nothing of a node is touched.
    Selftest(SelftestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SelftestArgs {
    /// What chance decides follows from this number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The checks as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: ChaosCommand) -> anyhow::Result<()> {
    let ChaosCommand::Selftest(SelftestArgs { seed, json }) = command;
    let told = |check: &holm_chaos::Check| {
        if !json {
            let holds = if check.holds { "holds" } else { "FAILS" };
            println!("{holds}  {}", check.fault);
            println!("       expected: {}\n       seen:     {}", check.expected, check.seen);
        }
    };
    let checks = holm_chaos::selftest(seed, told).await?;
    let failed = checks.iter().filter(|check| !check.holds).count();
    if json {
        let one = |check: &holm_chaos::Check| json!({ "fault": check.fault, "expected": check.expected, "seen": check.seen, "holds": check.holds });
        let all: Vec<_> = checks.iter().map(one).collect();
        println!("{}", json!({ "ok": failed == 0, "seed": seed, "checks": all }));
    }
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} checks fail: a machine that is very busy may be the cause; try again, with another --seed too",
        checks.len()
    );
    Ok(())
}
