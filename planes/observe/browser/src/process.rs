//! The browser's processes: started without privileges and in their sandbox, and ended together.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// The user and group that stand for nobody.
const NOBODY: u32 = 65_534;
/// Most bytes that are kept of what the browser says about itself.
const MAX_SAID: usize = 32 << 10;

/// What a browser runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browser {
    /// The program.
    pub program: PathBuf,
    /// Whether its own sandbox has to work.
    pub sandbox: bool,
    /// Most memory of all its processes that is theirs alone or shared among them, in bytes.
    pub memory: u64,
}

/// A browser that runs. It ends with this.
pub(crate) struct Running {
    child: Child,
    group: Pid,
    profile: Option<TempDir>,
    said: Arc<Mutex<Vec<u8>>>,
}

/// The flags: nothing goes past the proxy, and nothing goes out that the page did not ask for.
fn flags(proxy: SocketAddr, profile: &Path, sandbox: bool) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-startup-window",
        "--block-new-web-contents",
        "--disable-background-networking",
        "--disable-breakpad",
        "--disable-client-side-phishing-detection",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-dev-shm-usage",
        "--disable-domain-reliability",
        "--disable-extensions",
        "--disable-features=AutofillServerCommunication,CertificateTransparencyComponentUpdater,DnsOverHttps,InterestFeedContentSuggestions,MediaRouter,NetworkPrediction,OptimizationHints,Prerender2,Translate,WebTransport",
        "--disable-gpu",
        "--disable-quic",
        "--disable-sync",
        "--dns-prefetch-disable",
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--hide-scrollbars",
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        "--metrics-recording-only",
        "--mute-audio",
        "--no-default-browser-check",
        "--no-first-run",
        "--no-pings",
        "--password-store=basic",
        "--proxy-bypass-list=<-loopback>",
        "--use-mock-keychain",
        "--window-size=1280,800",
    ]
    .map(str::to_owned)
    .into();
    flags.push(format!("--proxy-server=http://{proxy}"));
    flags.push(format!("--user-data-dir={}", profile.display()));
    if !sandbox {
        flags.push("--no-sandbox".into());
    }
    flags
}

/// What a new profile says: packets of WebRTC go by the proxy or not at all, and nothing is looked up ahead.
const PREFERENCES: &str = r#"{"webrtc":{"ip_handling_policy":"disable_non_proxied_udp","multiple_routes_enabled":false,"nonproxied_udp_enabled":false},"net":{"network_prediction_options":2},"safebrowsing":{"enabled":false},"search":{"suggest_enabled":false},"alternate_error_pages":{"enabled":false}}"#;

impl Running {
    /// Starts it: the stream that it reads calls from, and the one that it writes to.
    pub(crate) fn start(
        browser: &Browser,
        proxy: SocketAddr,
    ) -> Result<(Self, UnixStream, UnixStream), String> {
        let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
        let profile = tempfile::Builder::new()
            .prefix("holm-browser-")
            .tempdir()
            .map_err(failed("no folder for the browser's profile"))?;
        let folder = profile.path();
        let first = folder.join("Default");
        fs::create_dir(&first)
            .and_then(|()| fs::write(first.join("Preferences"), PREFERENCES))
            .map_err(failed("the browser's profile"))?;
        let (calls, reads) = StdStream::pair().map_err(failed("no pipe to the browser"))?;
        let (events, writes) = StdStream::pair().map_err(failed("no pipe from the browser"))?;
        let mut command = if has_ambient() {
            // What the node may do for its other planes is nothing for a browser.
            let mut command = std::process::Command::new("setpriv");
            command.args(["--ambient-caps=-all", "--inh-caps=-all", "--"]).arg(&browser.program);
            command
        } else {
            std::process::Command::new(&browser.program)
        };
        command
            .args(flags(proxy, folder, browser.sandbox))
            .arg("about:blank")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        for name in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
            command.env(name, folder);
        }
        if geteuid().is_root() {
            for path in [folder.to_owned(), first.clone(), first.join("Preferences")] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))
                    .map_err(failed("the browser's profile cannot be given to the user nobody"))?;
            }
            command.uid(NOBODY).gid(NOBODY);
        }
        let mapping =
            |parent_fd: StdStream, child_fd| FdMapping { parent_fd: parent_fd.into(), child_fd };
        command
            .fd_mappings(vec![mapping(reads, 3), mapping(writes, 4)])
            .map_err(|error| format!("the browser's descriptors: {error}"))?;
        let mut command = Command::from(command);
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} does not start: {error}", browser.program.display()))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or(i32::MAX);
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(mut stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            tokio::spawn(async move {
                let mut piece = [0; 4_096];
                while let Ok(length @ 1..) = stderr.read(&mut piece).await {
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = MAX_SAID.saturating_sub(said.len()).min(length);
                    said.extend_from_slice(&piece[..room]);
                }
            });
        }
        let running = Self { child, group: Pid::from_raw(group), profile: Some(profile), said };
        let stream = |stream: StdStream| {
            stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream))
        };
        let calls = stream(calls).map_err(failed("no pipe to the browser"))?;
        let events = stream(events).map_err(failed("no pipe from the browser"))?;
        Ok((running, calls, events))
    }

    /// Why it ended before it said anything.
    pub(crate) async fn why_it_ended(&mut self) -> String {
        let waited = tokio::time::timeout(Duration::from_secs(2), self.child.wait()).await;
        // What it wrote last is read by another task.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said);
        why(&said).unwrap_or_else(|| match waited {
            Ok(Ok(status)) => format!("the browser ended by itself: {status}"),
            _ => "the browser does not answer".to_owned(),
        })
    }

    /// Waits until its processes have more memory than they may, and says so.
    pub(crate) async fn too_large(&self, most: u64) -> String {
        let root = self.group.as_raw();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let found = tokio::task::spawn_blocking(move || memory_of(root)).await.unwrap_or(0);
            if found > most {
                let mib = |bytes: u64| bytes >> 20;
                return format!(
                    "the browser was ended: it had {} MiB of memory, and {} MiB are allowed",
                    mib(found),
                    mib(most)
                );
            }
        }
    }

    fn kill(&self) {
        // It may have ended by itself.
        let _ = killpg(self.group, Signal::SIGKILL);
    }

    /// Ends all of its processes and removes its profile.
    pub(crate) async fn end(mut self) {
        self.kill();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        let Some(profile) = self.profile.take() else { return };
        let folder = profile.keep();
        // Its last processes may still write.
        for _ in 0..40 {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                _ => return,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `end` the number may be another's: then there is no profile.
        let Some(profile) = self.profile.take() else { return };
        self.kill();
        // Nobody waits any more, and the last processes may still write: a thread of its own.
        let folder = profile.keep();
        std::thread::spawn(move || {
            for _ in 0..40 {
                match fs::remove_dir_all(&folder) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    _ => return,
                }
            }
        });
    }
}

/// Whether programs that this one starts get capabilities by themselves (capabilities(7)).
fn has_ambient() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapAmb:"));
    line.is_some_and(|bits| bits.trim().bytes().any(|digit| digit != b'0'))
}

/// What the browser's own words mean.
fn why(said: &str) -> Option<String> {
    let of_sandbox =
        ["No usable sandbox", "setuid sandbox", "SUID sandbox", "new namespace", "no-sandbox"];
    if of_sandbox.iter().any(|words| said.contains(words)) {
        return Some(
            "off: the browser's sandbox does not start: let users make namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0, RestrictNamespaces of the unit), or set planes.active.browser_sandbox = false where every page that is tested is trusted"
                .to_owned(),
        );
    }
    let mut lines =
        said.lines().rev().filter(|line| !line.contains("dbus") && !line.trim().is_empty());
    let last: String = lines.next()?.chars().filter(|c| !c.is_control()).take(200).collect();
    Some(format!("the browser ended by itself: {last}"))
}

/// Memory of a process and all that descend from it, in bytes: anonymous and shared pages, not files.
fn memory_of(root: i32) -> u64 {
    let Ok(all) = fs::read_dir("/proc") else { return 0 };
    let mut known: Vec<(i32, i32, u64)> = Vec::new();
    for entry in all.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(id) = id else { continue };
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
        let (parent, bytes) = of_status(&status);
        known.push((id, parent, bytes));
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&one) = family.get(at) {
        let children = known.iter().filter(|(id, parent, _)| *parent == one && *id != one);
        let children: Vec<i32> = children.map(|(id, ..)| *id).collect();
        family.extend(children);
        at += 1;
    }
    let of_family = known.iter().filter(|(id, ..)| family.contains(id));
    of_family.map(|(.., bytes)| bytes).sum()
}

/// The parent of a process, and its memory in bytes (proc_pid_status(5)).
fn of_status(status: &str) -> (i32, u64) {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("0")
    };
    let kib = |name| field(name).parse::<u64>().unwrap_or(0);
    (field("PPid:").parse().unwrap_or(0), (kib("RssAnon:") + kib("RssShmem:")) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_browser_says_of_its_sandbox_is_told_with_the_remedy() {
        let said = "[1:1:FATAL:zygote_host_impl_linux.cc:128] No usable sandbox! If you are running on Ubuntu 23.10+";
        let told = why(said).expect("known");
        assert!(told.starts_with("off: the browser's sandbox does not start"), "{told}");
        assert!(told.contains("planes.active.browser_sandbox = false"));
        let other = why("dbus is away\nlibnss3.so: cannot open\n[1] dbus/bus.cc no\n");
        assert_eq!(other.as_deref(), Some("the browser ended by itself: libnss3.so: cannot open"));
    }

    #[test]
    fn never_without_a_sandbox_unless_it_is_said() {
        let proxy = "127.0.0.1:1".parse().expect("address");
        let of = |sandbox| flags(proxy, Path::new("/x"), sandbox).contains(&"--no-sandbox".into());
        assert_eq!((of(true), of(false)), (false, true));
    }

    #[test]
    fn memory_is_that_of_a_process_and_its_children() {
        let status =
            "Name:\tx\nPPid:\t42\nRssAnon:\t  100 kB\nRssFile:\t 900 kB\nRssShmem:\t 28 kB\n";
        assert_eq!(of_status(status), (42, 128 << 10));
        assert_eq!(of_status("garbage"), (0, 0));
        let own = i32::try_from(std::process::id()).expect("small");
        assert!(memory_of(own) > 100 << 10, "{}", memory_of(own));
    }
}
