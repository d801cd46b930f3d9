//! `holm`: the one binary. It runs a node, and it is the command line that asks one.

mod agent;
mod api;
mod cli;
mod config;
mod daemon;
mod demo;
mod enrol;
mod identity;
mod layout;
mod pipe;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    if cli.only_prints() {
        pipe::end_with_the_reader();
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(cli::run(cli)),
        Err(error) => Err(anyhow::anyhow!("the runtime cannot be started: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("holm: {error:#}");
            ExitCode::FAILURE
        }
    }
}
