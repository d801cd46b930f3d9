//! How every bench says what it measured: a line on standard output, and a file.
//!
//! What comes in: a name of the table in docs/benchmarks.md, a value with its unit and bound, how many
//! samples it stands on, and the peer's figure of the same run where there is one. What goes out:
//! `bench <name> <value> <unit> bound <value>`, and `target/bench/<name>.json`. What must never
//! happen: a bench that fails because its file cannot be written.

use std::path::PathBuf;

/// Another program's figure for the same work in the same run.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Which program, with its version.
    pub name: &'a str,
    /// Its value, in the bench's unit.
    pub value: f64,
}

/// Says what `name` measured: `value` in `unit`, to be held to `bound`, from `n` samples.
pub fn report(name: &str, value: f64, unit: &str, bound: f64, n: usize) {
    report_beside(name, value, unit, bound, n, None);
}

/// The same, beside the peer's figure where there is one.
pub fn report_beside(
    name: &str,
    value: f64,
    unit: &str,
    bound: f64,
    n: usize,
    peer: Option<Peer<'_>>,
) {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let beside = peer.map_or_else(String::new, |p| format!(" ({} {:.3})", p.name, p.value));
    let unlike = if cfg!(debug_assertions) { " (dev profile)" } else { "" };
    println!("bench {name} {value:.3} {unit} bound {bound}{beside}{unlike}");
    let peer = peer.map_or_else(String::new, |p| {
        format!(",\"peer\":{{\"name\":\"{}\",\"value\":{:.4}}}", p.name, p.value)
    });
    let json = format!(
        "{{\"name\":\"{name}\",\"value\":{value:.4},\"unit\":\"{unit}\",\"n\":{n}{peer},\"profile\":\"{profile}\",\"machine\":\"{}\"}}\n",
        machine()
    );
    let folder = target().join("bench");
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join(format!("{name}.json")), json));
    if let Err(error) = written {
        eprintln!("bench {name}: cannot write to {}: {error}", folder.display());
    }
}

/// The workspace's target folder.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")),
        PathBuf::from,
    )
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown cpu");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{} x{cores}", model.trim_start_matches([' ', '\t', ':']).replace(['"', '\\'], ""))
}
