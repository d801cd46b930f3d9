//! Nodes of the binary under test, and just enough of a client to ask them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holm_certs::files::IdentityDir;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// The binary without the caller's own settings and without discovery.
pub(crate) fn holm() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holm"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HOLM_")) {
        command.env_remove(name);
    }
    command.env("HOLM_MESH_MDNS", "false");
    command
}

/// A node's folder and addresses.
pub(crate) struct Node {
    dir: PathBuf,
    api: SocketAddr,
}

impl Node {
    /// The first node of a mesh.
    pub(crate) fn found(dir: &Path, site: &str) -> Self {
        Self::make(dir, &["mesh", "init", "--trust-domain", "bench.test", "--site", site])
    }

    fn make(dir: &Path, args: &[&str]) -> Self {
        let api = TcpListener::bind("127.0.0.1:0").and_then(|s| s.local_addr());
        let mesh = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr());
        let (api, mesh) = (api.expect("a free port"), mesh.expect("a free port"));
        let output = holm()
            .args(args)
            .args(["--api-listen", &api.to_string(), "--mesh-listen", &mesh.to_string(), "--dir"])
            .arg(dir)
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { dir: dir.into(), api }
    }

    /// Starts the process.
    pub(crate) fn start(&self) -> Running {
        let log = std::fs::File::create(self.dir.with_extension("log")).expect("a log");
        let child = holm()
            .args(["up", "--stop-with-stdin", "--dir"])
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let bundles = IdentityDir::at(&self.dir.join("identity")).load_bundles().expect("bundles");
        let bundle = bundles.iter().next().expect("a bundle");
        let mut tls = holm_certs::trusted_client_config(bundle).expect("a client");
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Running { dir: self.dir.clone(), api: self.api, tls: Arc::new(tls), child }
    }
}

/// A node that runs.
pub(crate) struct Running {
    dir: PathBuf,
    api: SocketAddr,
    tls: Arc<ClientConfig>,
    child: Child,
}

impl Running {
    /// Joins a node of `site` with a new token.
    pub(crate) fn join(&self, dir: &Path, site: &str) -> Node {
        let output = holm()
            .args(["token", "create", "--site", site, "--dir"])
            .arg(&self.dir)
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let token = String::from_utf8(output.stdout).expect("text");
        Node::make(dir, &["join", token.trim()])
    }

    /// Asks again and again until the node answers for the tenant; how many documents it has.
    pub(crate) fn wait_for_documents(&self) -> u64 {
        let started = Instant::now();
        loop {
            if let Some(answer) = self.try_get("/v1/mesh/digest") {
                return answer["documents"].as_u64().expect("a number");
            }
            assert!(started.elapsed() < PATIENCE, "{} does not serve", self.dir.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// `GET path` as the node's own admin.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.try_get(path).expect("an answer")
    }

    fn try_get(&self, path: &str) -> Option<Value> {
        let token = std::fs::read_to_string(self.dir.join("credentials/admin.token")).ok()?;
        let answer = self.exchange(path, token.trim()).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        if !head.starts_with("HTTP/1.1 200") {
            return None;
        }
        serde_json::from_str(body).ok()
    }

    fn exchange(&self, path: &str, token: &str) -> io::Result<String> {
        let stream = TcpStream::connect(self.api)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::from(self.api.ip());
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, stream);
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
            self.api
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Resident memory in MiB.
    pub(crate) fn rss_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("Linux, and the node runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number of KiB");
        kib / 1_024.0
    }

    /// Stops the node in order.
    pub(crate) fn stop(mut self) {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("a child of ours");
        assert!(status.success(), "the node ended with {status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
