//! A network namespace, joined to ours by a pair of interfaces, and programs that run in it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Ours and the namespace's end; removed when dropped.
pub(crate) struct Pair {
    name: String,
    /// The first three parts of the addresses of both ends.
    pub(crate) net: String,
    /// Our end.
    pub(crate) near: Ipv4Addr,
    pub(crate) folder: TempDir,
}

impl Pair {
    /// A new pair; `None`, with a line that says so, where that needs rights or programs that are not there.
    pub(crate) fn new() -> Option<Self> {
        for program in ["ip", "softflowd", "pmacctd", "nfcapd", "nfdump"] {
            if Command::new(program).arg("-V").stdin(Stdio::null()).output().is_err() {
                println!("skipped: {program} is not installed");
                return None;
            }
        }
        // Addresses for measurements (RFC 2544), other ones for each process and thread.
        let (process, thread) = (std::process::id(), serial());
        let name = format!("hf{process}-{thread}");
        let net = format!("198.18.{}", (process + 83 * thread) % 250 + 1);
        let pair = Self {
            near: format!("{net}.1").parse().expect("an address"),
            folder: tempfile::tempdir().expect("a folder"),
            net,
            name,
        };
        let (near, far) = (format!("{}/24", pair.near), format!("{}.2/24", pair.net));
        let (name, end) = (pair.name.as_str(), format!("hf{process}-{thread}"));
        let ours = ip(&["netns", "add", name])
            && ip(&["link", "add", &end, "type", "veth", "peer", "name", "eth0", "netns", name])
            && ip(&["addr", "add", &near, "dev", &end])
            && ip(&["link", "set", &end, "up"]);
        let theirs = ours
            && ip(&["-n", name, "addr", "add", &far, "dev", "eth0"])
            && ip(&["-n", name, "link", "set", "lo", "up"])
            && ip(&["-n", name, "link", "set", "eth0", "up"]);
        if !theirs {
            println!("skipped: network namespaces need root");
            return None;
        }
        Some(pair)
    }

    /// Runs a program in the namespace.
    pub(crate) fn run(&self, line: &[String]) -> Running {
        let path = self.folder.path().join("said");
        let said = File::create(&path).expect("a file");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.name])
            .args(line)
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a file"))
            .stderr(said)
            .spawn()
            .expect("it starts");
        Running { child, said: path, control: self.folder.path().join("softflowd.ctl") }
    }

    /// Sends packets of 500 bytes from the namespace to a port of ours.
    pub(crate) fn send(&self, port: u16, packets: u64) {
        let script = format!(
            "exec 3<>/dev/udp/{}/{port}; for ((i = 0; i < {packets}; i++)); do printf '%500s' '' >&3; done",
            self.near
        );
        let line = ["netns", "exec", &self.name, "bash", "-c", &script];
        assert!(ip(&line), "packets are sent");
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

/// A program that runs in the namespace.
pub(crate) struct Running {
    child: Child,
    said: std::path::PathBuf,
    control: std::path::PathBuf,
}

impl Running {
    /// Asks it to tell what it has, and to end.
    pub(crate) fn stop(&mut self) {
        if self.control.exists() {
            let control = self.control.display().to_string();
            Command::new("softflowctl").args(["-c", &control, "shutdown"]).output().ok();
        } else {
            Command::new("kill").args(["-INT", &self.child.id().to_string()]).output().ok();
        }
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ip(arguments: &[&str]) -> bool {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Different for each call of one process.
fn serial() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
