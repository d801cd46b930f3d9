//! Thousands of topologies: what is missed is missed no more often than the bound says.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fakeroute::{Network, found, links, run};
use holm_path::engine::{Algorithm, Multipath, Outcome, TraceOptions};

fn with(algorithm: Algorithm) -> TraceOptions {
    TraceOptions { algorithm, ..TraceOptions::default() }
}

/// Three standard deviations above the mean that the bounds of the runs allow.
fn most_failures(bounds: &[f64]) -> f64 {
    let mean: f64 = bounds.iter().sum();
    let variance: f64 = bounds.iter().map(|bound| bound * (1.0 - bound)).sum();
    mean + 3.0 * variance.sqrt()
}

fn bound(result: &Multipath) -> f64 {
    result.failure_bound.expect("a whole trace has a bound")
}

/// Diamonds of 2 to 16 interfaces, one after the other or one in the other, each in two to four hops.
fn random_widths(rng: &mut StdRng) -> Vec<usize> {
    let mut widths = vec![1; rng.random_range(1..4)];
    for _ in 0..rng.random_range(1..3) {
        let width = rng.random_range(2..=16);
        widths.extend(std::iter::repeat_n(width, rng.random_range(1..3)));
        if rng.random_bool(0.3) && width <= 8 {
            // Each branch branches again, and joins.
            widths.extend([width * 2, width]);
        }
        widths.extend(std::iter::repeat_n(1, rng.random_range(1..3)));
    }
    widths.push(1);
    widths
}

#[test]
fn random_diamonds_are_missed_no_more_often_than_stated() {
    let mut rng = StdRng::seed_from_u64(7);
    for (algorithm, runs) in [(Algorithm::Lite, 2_000), (Algorithm::Mda, 400)] {
        let (mut failed, mut bounds, mut probes) = (0, Vec::new(), 0);
        for seed in 0..runs {
            let network = Network::of(&random_widths(&mut rng), seed);
            let (result, _) = run(&network, with(algorithm));
            assert_eq!(result.outcome, Outcome::Reached);
            assert!(
                found(&result).is_subset(&(0..network.nodes.len()).map(Network::address).collect())
            );
            assert!(links(&result).is_subset(&network.links()), "no link is made up");
            failed += u32::from(found(&result).len() < network.nodes.len());
            bounds.push(bound(&result));
            probes += u64::from(result.probes);
        }
        let most = most_failures(&bounds);
        println!(
            "{algorithm:?}: {failed} of {runs} missed an interface, {most:.0} allowed, {} probes each",
            probes / runs
        );
        assert!(f64::from(failed) <= most, "{algorithm:?}: {failed} > {most}");
    }
}

#[test]
fn a_diamond_of_parallel_ways_is_found_in_99_of_100_runs_with_few_probes() {
    // tracelb of scamper sends 1 + n + n + 1 probes, where n is the stopping point.
    for (width, stop) in [(2, 11), (4, 21), (8, 44), (16, 96)] {
        let (mut whole, mut probes) = (0, 0);
        for seed in 0..500 {
            let network = Network::of(&[1, width, width, 1], seed);
            let (result, _) = run(&network, with(Algorithm::Lite));
            whole += usize::from(links(&result) == network.links());
            probes += result.probes;
        }
        let ratio = f64::from(probes) / f64::from(500 * (2 + 2 * stop));
        println!("width {width}: {whole} of 500 whole, {ratio:.3} of the probes");
        assert!(whole >= 495, "{width}: {whole}");
        assert!(ratio <= 1.05, "{width}: {ratio}");
    }
}

#[test]
fn meshed_and_uneven_diamonds_are_looked_at_by_interface() {
    let (mut noticed, mut linked, mut known, mut failed, mut bounds) = (0, 0, 0, 0, Vec::new());
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let width = rng.random_range(3..=6);
        let mut network = Network::of(&[1, 1, width, width, 1, 1], seed);
        // Every interface also leads to its neighbour's successor.
        let (here, next) = (network.hops[2].clone(), network.hops[3].clone());
        for (i, from) in here.iter().enumerate() {
            network.nodes[*from].next.push(next[(i + 1) % width]);
        }
        let (result, _) = run(&network, with(Algorithm::Lite));
        assert_eq!(result.outcome, Outcome::Reached);
        assert!(links(&result).is_subset(&network.links()), "no link is made up");
        noticed += usize::from(result.hops[2].meshed);
        linked += links(&result).len();
        known += network.links().len();
        failed += u32::from(found(&result).len() < network.nodes.len());
        bounds.push(bound(&result));
    }
    println!("{noticed} of 300 noticed, {linked} of {known} links, {failed} missed an interface");
    assert!(noticed >= 290, "{noticed}");
    assert!(linked * 100 >= known * 98, "{linked} of {known}");
    assert!(f64::from(failed) <= most_failures(&bounds));
}
