//! A process that commits as fast as it can is killed a hundred times, on the same store. Whatever it
//! acknowledged before is there after each restart. Its documents are so small that epochs end all the
//! time: each rotation happened whole or not at all.
//!
//! The test runs its own binary again as the process that is killed.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::*;
use holm_model::Millis;
use holm_replica::{HistoryLimits, OpenReport, Replica};
use rand::RngExt;

const KILLS: usize = 100;
const FOLDER: &str = "HOLM_KILL_NINE_FOLDER";
const FIRST: &str = "HOLM_KILL_NINE_FIRST";

fn open_in(dir: &Path) -> (Replica, OpenReport) {
    let mut system = rand::rngs::SysRng;
    let rng = &mut rand::rand_core::UnwrapErr(&mut system);
    let (acme, berlin, n1) = (tenant("acme"), site("berlin"), node("n1"));
    let (replica, report) =
        Replica::open(dir, acme, key(1), berlin, n1, Millis(1), rng).expect("it opens");
    // So small that many kills meet a rotation.
    let limits = HistoryLimits {
        doc_bytes: 3_000,
        doc_ops: 80,
        doc_heads: 8,
        retention_ms: 1 << 40,
        ..HistoryLimits::DEFAULT
    };
    (replica.with_limits(limits), report)
}

fn name_of(batch: usize, part: usize) -> String {
    format!("service:batch-{batch}|flow|host:{part}")
}

/// What the child does: commits batch after batch, and tells each once it is acknowledged.
fn commit_for_ever(dir: &Path, first: usize) {
    let (berlin, report) = open_in(dir);
    assert_eq!(report.messages, [""; 0]);
    let mut out = std::io::stdout();
    for batch in first.. {
        let now = batch as u64;
        let mut changes = vec![opened(&name_of(batch, 0), now), opened(&name_of(batch, 1), now)];
        if batch > 3 {
            // Most elements close again, as they do in life.
            changes.push(closed(&name_of(batch - 3, 1), now));
        }
        commit(&berlin, &changes, now);
        writeln!(out, "acknowledged {batch}").and_then(|()| out.flush()).expect("told");
    }
}

fn start(dir: &Path, first: usize) -> Child {
    let binary: PathBuf = std::env::current_exe().expect("this binary");
    Command::new(binary)
        .args(["--exact", "no_acknowledged_write_is_lost", "--nocapture"])
        .env(FOLDER, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts")
}

#[test]
fn no_acknowledged_write_is_lost() {
    if let Some(dir) = std::env::var_os(FOLDER) {
        let first = std::env::var(FIRST).ok().and_then(|f| f.parse().ok()).expect("a number");
        return commit_for_ever(Path::new(&dir), first);
    }
    let dir = tempfile::tempdir().expect("a folder");
    let mut rng = rng();
    let (mut acknowledged, mut begun) = (BTreeSet::new(), 0_usize);
    let mut documents = 0;
    for kill in 0..KILLS {
        let mut child = start(dir.path(), begun + 1);
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        // Some before its first commit, most in the middle of one.
        let batches = if kill % 10 == 0 { 0 } else { rng.random_range(1..14) };
        let mut line = String::new();
        let mut told = 0;
        while told < batches {
            line.clear();
            assert!(out.read_line(&mut line).expect("read") > 0, "the child ended by itself");
            told += usize::from(note(&line, &mut acknowledged));
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..6_000)));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        // What it acknowledged before it died and nobody had read yet.
        let mut rest = String::new();
        out.read_to_string(&mut rest).expect("read");
        for line in rest.lines() {
            note(line, &mut acknowledged);
        }

        let (berlin, report) = open_in(dir.path());
        assert_eq!(report.messages, [""; 0], "after kill {kill}");
        let there: BTreeSet<String> =
            berlin.elements().map(|(_, element)| element.id.to_string()).collect();
        for &batch in &acknowledged {
            for part in 0..2 {
                assert!(there.contains(&name_of(batch, part)), "batch {batch}, kill {kill}");
            }
        }
        // What was closed and acknowledged is closed.
        let open: BTreeSet<String> = open_ids(&berlin).into_iter().collect();
        for &batch in acknowledged.iter().filter(|batch| **batch > 3) {
            let closed = format!("berlin {}", name_of(batch - 3, 1));
            let opened_anew = !acknowledged.contains(&(batch - 3)) || !open.contains(&closed);
            assert!(opened_anew, "{closed} is open after kill {kill}");
        }
        documents = berlin.documents().len();
        // A batch is there whole or not at all.
        let halves = there.iter().filter(|id| id.ends_with(":0")).count();
        assert_eq!(halves * 2, there.len(), "after kill {kill}");
        begun = there
            .iter()
            .filter_map(|id| id.strip_prefix("service:batch-")?.split('|').next()?.parse().ok())
            .max()
            .unwrap_or(begun)
            .max(begun);
    }
    println!("{} acknowledged batches survived {KILLS} kills", acknowledged.len());
    println!("they lie in {documents} documents");
    assert!(acknowledged.len() > 300 && documents > 4);
}

/// Takes down an acknowledgement; a line that was cut by the kill is none.
fn note(line: &str, acknowledged: &mut BTreeSet<usize>) -> bool {
    // The test harness of the child prints on the same line before.
    let Some((_, number)) = line.split_once("acknowledged ") else { return false };
    number.trim_end().parse().is_ok_and(|batch| acknowledged.insert(batch))
}
