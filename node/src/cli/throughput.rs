//! `holm mesh throughput`: how much the way to another site carries.

use clap::Args;
use holm_model::{NodeName, SiteId};

use super::client::Client;
use super::{Target, clean};
use crate::api::throughput::{ThroughputAnswer, ThroughputRequest, ThroughputView, Ways};

#[derive(Debug, Args)]
pub(crate) struct ThroughputArgs {
    #[command(flatten)]
    target: Target,
    /// The other site.
    site: SiteId,
    /// Its node, where it has several.
    #[arg(long)]
    node: Option<NodeName>,
    /// Which way.
    #[arg(long, value_enum, default_value_t = Ways::Both)]
    direction: Ways,
    /// Most MiB that are sent, each way: 1 to 256.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=256))]
    mib: u64,
    /// For so many seconds at most, each way: 1 to 20.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=20))]
    seconds: u64,
}

pub(super) async fn run(args: ThroughputArgs) -> anyhow::Result<()> {
    let ThroughputArgs { target, site, node, direction, mib, seconds } = args;
    let (bytes, ms) = (Some(mib << 20), Some(seconds * 1_000));
    let request = ThroughputRequest { site, node, direction, bytes, ms };
    let found: ThroughputAnswer =
        Client::new(&target)?.post("/v1/mesh/throughput", &request).await?;
    if target.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", printed(&found));
    }
    anyhow::ensure!(found.errors.is_empty(), "not all of it was measured");
    Ok(())
}

fn printed(found: &ThroughputAnswer) -> String {
    let ThroughputAnswer { site, node, up, down, errors, left_bytes } = found;
    let way = |name: &str, way: &Option<ThroughputView>| {
        way.as_ref().map_or_else(String::new, |way| {
            format!(
                "{name:<5} {:>9.1} Mbit/s   best second {:>9.1}   {:.1} MiB in {:.1} s\n",
                way.mbit_s,
                way.best_mbit_s,
                way.bytes as f64 / f64::from(1 << 20),
                way.ms / 1e3
            )
        })
    };
    let errors: String = errors.iter().map(|error| format!("{}\n", clean(error))).collect();
    format!(
        "to {site}/{node}, over the mesh's own connection\n{}{}{errors}{:.0} MiB left to send here this hour\n",
        way("up", up),
        way("down", down),
        *left_bytes as f64 / f64::from(1 << 20)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_and_what_was_not_are_both_said() {
        let view = ThroughputView { bytes: 2 << 20, ms: 500.0, mbit_s: 33.55, best_mbit_s: 40.0 };
        let text = printed(&ThroughputAnswer {
            site: "tokyo".parse().expect("valid"),
            node: "n1".parse().expect("valid"),
            up: Some(view),
            down: None,
            errors: vec!["down: another run goes on".into()],
            left_bytes: 3 << 20,
        });
        assert!(text.contains("33.5 Mbit/s") || text.contains("33.6 Mbit/s"), "{text}");
        assert!(text.contains("2.0 MiB in 0.5 s") && text.contains("down: another run"), "{text}");
        assert!(!text.contains("down "), "{text}");
        assert!(text.contains("3 MiB left"), "{text}");
    }
}
