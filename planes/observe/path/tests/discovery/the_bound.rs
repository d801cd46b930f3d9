//! Thousands of topologies: what is missed is missed no more often than the bound says.

use super::fakeroute::{Network, found, links, run};
use holm_path::engine::{Algorithm, Outcome, TraceOptions};

#[test]
fn print_costs() {
    for k in [2, 3, 4, 8, 16] {
        for widths in [vec![1, k, k, 1], vec![1, k, 1, 1], vec![1, 1, k, 1, 1]] {
            for algorithm in [Algorithm::Lite, Algorithm::Mda] {
                let (mut probes, mut whole, mut linked, mut bound, mut ms, mut reached) = (0, 0, 0, 0.0, 0, 0);
                for seed in 0..200 {
                    let network = Network::of(&widths, seed);
                    let (result, took) = run(&network, TraceOptions { algorithm, ..TraceOptions::default() });
                    probes += result.probes;
                    whole += usize::from(found(&result).len() == network.nodes.len());
                    linked += usize::from(links(&result) == network.links());
                    bound += result.failure_bound.unwrap_or(1.0);
                    ms += took.as_millis();
                    reached += usize::from(result.outcome == Outcome::Reached);
                }
                println!("{widths:?} {algorithm:?}: probes {}, whole {whole}, links {linked}, bound {:.3}, {} ms, reached {reached}", f64::from(probes) / 200.0, bound / 200.0, ms / 200);
            }
        }
    }
}
