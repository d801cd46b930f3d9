//! Nodes as processes of their own, and a small HTTPS client that trusts what a folder trusts.

mod client;
pub(crate) mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use client::{Answer, Client};

/// How long anything may take before a story counts as failed: generous, machines are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// What keeps a node quiet and quick: no discovery, no planes.
const QUIET: [(&str, &str); 7] = [
    ("HOLM_NODE_MACHINE", "lab"),
    ("HOLM_MESH_MDNS", "false"),
    ("HOLM_MESH_REDIAL_MAX", "1s"),
    ("HOLM_PLANES_ACTIVE_ENABLED", "false"),
    ("HOLM_PLANES_HOST_ENABLED", "false"),
    ("HOLM_PLANES_PATH_ENABLED", "false"),
    // The servers of the tests are on this machine.
    ("HOLM_PAGES_ALLOW", "[\"127.0.0.0/8\"]"),
];

/// A temporary folder for the folders of nodes.
pub(crate) struct Lab(TempDir);

impl Lab {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A folder and addresses for a node that is still to be made.
    pub(crate) fn place(&self, name: &str) -> Place {
        let (api, mesh) = addresses();
        Place { dir: self.path().join(name), api, mesh, netns: None }
    }

    /// The first node of a mesh.
    pub(crate) fn found(&self, site: &str) -> Place {
        self.found_mesh("t.test", site, site)
    }

    /// The first node of the mesh `domain` in `folder`.
    pub(crate) fn found_mesh(&self, domain: &str, site: &str, folder: &str) -> Place {
        let place = self.place(folder);
        let (api, mesh) = (place.api.to_string(), place.mesh.to_string());
        let listen = ["--api-listen", &api, "--mesh-listen", &mesh];
        let args = ["mesh", "init", "--trust-domain", domain, "--site", site];
        place.holm(&[&args[..], &listen[..]].concat()).succeeded();
        place
    }

    /// Makes a token at `issuer` and joins a node of `site` with it.
    pub(crate) fn join(&self, issuer: &Running, site: &str) -> Place {
        let place = self.place(site);
        place.join(&issuer.token(site)).succeeded();
        place
    }
}

/// A node's folder and addresses.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) api: SocketAddr,
    pub(crate) mesh: SocketAddr,
    /// The network namespace that the node runs in; this one's otherwise.
    pub(crate) netns: Option<String>,
}

impl Place {
    /// Runs `holm … --dir DIR` to its end.
    pub(crate) fn holm(&self, args: &[&str]) -> Ran {
        let dir = self.dir.to_string_lossy();
        let args = [args, &["--dir", &dir]].concat();
        ran(&mut command_in(self.netns.as_deref()), &args, &[])
    }

    /// Joins with `token`.
    pub(crate) fn join(&self, token: &str) -> Ran {
        self.join_as(token, "n1")
    }

    /// Joins with `token` as the node `name` of its site.
    pub(crate) fn join_as(&self, token: &str, name: &str) -> Ran {
        let (api, mesh) = (self.api.to_string(), self.mesh.to_string());
        let listen = ["--api-listen", &api, "--mesh-listen", &mesh, "--node", name];
        self.holm(&[&["join", token], &listen[..]].concat())
    }

    /// Starts the node and waits until it serves.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// Starts the node with further variables and waits until it serves.
    pub(crate) fn start_with(&self, variables: &[(&str, &str)]) -> Running {
        let running = self.spawn(variables);
        running.wait_until_it_serves();
        running
    }

    /// Starts the node's process.
    pub(crate) fn spawn(&self, variables: &[(&str, &str)]) -> Running {
        let log = self.dir.with_extension("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.expect("a log file");
        let child = command_in(self.netns.as_deref())
            .args(["up", "--stop-with-stdin", "--dir"])
            .arg(&self.dir)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        Running { place: self.clone(), child, log }
    }

    /// A client with the node's own admin token.
    pub(crate) fn client(&self) -> Client {
        Client::of(self)
    }

    /// A file of the folder.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }
}

/// A node that runs; it is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) place: Place,
    child: Child,
    log: PathBuf,
}

impl Running {
    fn wait_until_it_serves(&self) {
        let pid = self.child.id();
        eventually(&format!("{} serves", self.place.dir.display()), || {
            // Also before the folder has an admin token, hence no client with a credential.
            let ended = std::fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|stat| stat.contains(") Z "));
            assert!(!ended, "the node ended:\n{}", self.log());
            let answer = Client::without_token(&self.place).try_get("/readyz").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// `GET path` as admin; the answer's JSON.
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.place.client().get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Makes a join token for `site`.
    pub(crate) fn token(&self, site: &str) -> String {
        let made = self.place.holm(&["token", "create", "--site", site]).succeeded();
        made.trim().to_owned()
    }

    /// What this node says of the first node of `site`.
    pub(crate) fn member(&self, site: &str) -> Option<Value> {
        let sites = self.get("/v1/sites");
        let items = sites["items"].as_array()?;
        items.iter().find(|item| item["site"] == site)?["nodes"].get(0).cloned()
    }

    /// Whether this node is connected to the first node of `site`.
    pub(crate) fn hears(&self, site: &str) -> bool {
        self.member(site).is_some_and(|member| member["connected"] == true)
    }

    /// Whether the process still runs.
    pub(crate) fn is_up(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that the node's processes wrote.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops the node in order.
    pub(crate) fn stop(mut self) -> Place {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("a child of ours");
        assert!(status.success(), "stopped with {status}:\n{}", self.log());
        self.place.clone()
    }

    /// Ends the node as a power cut would.
    pub(crate) fn kill(mut self) -> Place {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
        self.place.clone()
    }

    /// Waits for a process that ends by itself.
    pub(crate) fn ended(mut self) -> Ran {
        let status = self.child.wait().expect("a child of ours");
        Ran { ok: status.success(), out: String::new(), err: self.log() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// What it wrote to standard output.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert!(self.ok, "failed: {}{}", self.out, self.err);
        self.out
    }

    /// That it failed with a message that has all of `parts`.
    #[track_caller]
    pub(crate) fn failed_naming(&self, parts: &[&str]) {
        assert!(!self.ok, "it should have failed: {}", self.out);
        for part in parts {
            assert!(self.err.contains(part), "\"{part}\" is not in the message: {}", self.err);
        }
    }
}

/// Runs `holm` to its end.
pub(crate) fn holm(args: &[&str]) -> Ran {
    holm_with(args, &[])
}

/// Runs `holm` with variables to its end.
pub(crate) fn holm_with(args: &[&str], variables: &[(&str, &str)]) -> Ran {
    ran(&mut command_in(None), args, variables)
}

fn ran(command: &mut Command, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = command
        .args(args)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
}

fn command_in(netns: Option<&str>) -> Command {
    let holm = env!("CARGO_BIN_EXE_holm");
    let mut command = match netns {
        Some(netns) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{netns}")).arg(holm);
            command
        }
        None => Command::new(holm),
    };
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOLM_")) {
        command.env_remove(name);
    }
    command.envs(QUIET);
    command
}

/// Asks until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    within(what, PATIENCE, check)
}

/// Asks until there is an answer, for `limit`.
#[track_caller]
pub(crate) fn within<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(started.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the nodes are connected and hold the same documents of as many sites.
#[track_caller]
pub(crate) fn agree(nodes: &[&Running]) -> String {
    eventually("all nodes hold the same documents", || {
        let digests: Vec<Value> = nodes.iter().map(|node| node.get("/v1/mesh/digest")).collect();
        let first = &digests[0];
        let complete = first["documents"].as_u64()? >= nodes.len() as u64;
        let same = digests.iter().all(|digest| digest == first);
        (complete && same).then(|| first["digest"].as_str().map(str::to_owned))?
    })
}

/// Addresses that no other node has: of this process and this call. The ports lie below those that
/// the system hands out by itself.
fn addresses() -> (SocketAddr, SocketAddr) {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = [127, high, low, NEXT.fetch_add(1, Ordering::Relaxed)];
    let port = rand::rng().random_range(10_000..30_000_u16);
    (SocketAddr::from((ip, port)), SocketAddr::from((ip, port + 1)))
}
