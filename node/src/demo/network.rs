//! Where the three sites stand: a network namespace each, or loopback addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Stdio;

use anyhow::{Context, anyhow, bail};
use tokio::process::Command;

use super::relay::Relays;

pub(super) const SITES: [&str; 3] = ["berlin", "tokyo", "saopaulo"];
const MESH_PORT: u16 = 4747;
const API_PORT: u16 = 8443;
/// Behind this port of each site's loopback address the relay passes datagrams on.
const RELAY_PORT: u16 = 4748;
const PREFIX: &str = "holm";

/// The network of the demo; clones are the same one.
#[derive(Clone)]
pub(super) enum Network {
    /// One namespace a site, joined by a bridge in a namespace of its own.
    Namespaces(Namespaces),
    /// 127.0.77.1 and up, with a relay in front of each mesh port.
    Loopback(Relays),
}

/// What stands in the kernel until [`Network::remove`].
#[derive(Clone)]
pub(super) struct Namespaces {
    id: u32,
}

impl Network {
    /// Namespaces if they are wanted and can be made, else loopback.
    pub(super) async fn make(want_namespaces: bool) -> anyhow::Result<Self> {
        if want_namespaces && is_root() {
            let namespaces = Namespaces { id: std::process::id() };
            // Two demos would have the same addresses on this machine.
            let made = match remove_stale().await {
                None => namespaces.make().await,
                Some(other) => Err(anyhow!("another demo, process {other}, has its addresses")),
            };
            match made {
                Ok(()) => return Ok(Self::Namespaces(namespaces)),
                Err(error) => {
                    namespaces.remove().await;
                    eprintln!("no network namespaces ({error:#}); loopback addresses instead");
                }
            }
        }
        let relays = (0..SITES.len()).map(|site| {
            let address = IpAddr::from(loopback(site));
            (SocketAddr::new(address, RELAY_PORT), SocketAddr::new(address, MESH_PORT))
        });
        Ok(Self::Loopback(Relays::start(relays.collect()).await?))
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Namespaces(_) => {
                "each site has a network namespace of its own, joined by a bridge".into()
            }
            Self::Loopback(_) => {
                "each site has a loopback address; its mesh port stands behind a relay of the demo's (probes and services \
                 are not cut with it)"
                    .into()
            }
        }
    }

    /// The site's address among the sites.
    pub(super) fn site_address(&self, site: usize) -> IpAddr {
        match self {
            Self::Namespaces(_) => Ipv4Addr::new(198, 18, 77, site_octet(site)).into(),
            Self::Loopback(_) => loopback(site).into(),
        }
    }

    /// Where this machine's browser and the demo reach the site's console.
    pub(super) fn console(&self, site: usize) -> SocketAddr {
        match self {
            Self::Namespaces(_) => {
                SocketAddr::new(Ipv4Addr::new(198, 19, site_octet(site), 2).into(), API_PORT)
            }
            Self::Loopback(_) => SocketAddr::new(loopback(site).into(), API_PORT),
        }
    }

    pub(super) fn mesh_listen(&self, site: usize) -> SocketAddr {
        SocketAddr::new(self.site_address(site), MESH_PORT)
    }

    /// Where the other sites reach its mesh port.
    pub(super) fn mesh_advertise(&self, site: usize) -> SocketAddr {
        match self {
            Self::Namespaces(_) => self.mesh_listen(site),
            Self::Loopback(_) => SocketAddr::new(self.site_address(site), RELAY_PORT),
        }
    }

    /// The site's HTTPS listener: every address of its namespace, or its loopback address.
    pub(super) fn api_listen(&self, site: usize) -> SocketAddr {
        match self {
            Self::Namespaces(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), API_PORT),
            Self::Loopback(_) => self.console(site),
        }
    }

    /// Addresses whose connections are this site's; empty where its namespace says so.
    pub(super) fn observed_addresses(&self, site: usize) -> Vec<IpAddr> {
        match self {
            Self::Namespaces(_) => Vec::new(),
            Self::Loopback(_) => vec![self.site_address(site)],
        }
    }

    /// A command that runs `program` at the site.
    pub(super) fn command(&self, site: usize, program: &std::path::Path) -> Command {
        match self {
            Self::Namespaces(namespaces) => {
                // Not `ip netns exec`: that mounts a new /sys, without tracefs.
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{}", namespaces.name(site))).arg(program);
                command
            }
            Self::Loopback(_) => Command::new(program),
        }
    }

    /// Cuts the site off from the others, or joins it again. Its own inside goes on.
    pub(super) async fn cut(&self, site: usize, cut: bool) -> anyhow::Result<()> {
        match self {
            Self::Namespaces(namespaces) => {
                let state = if cut { "down" } else { "up" };
                let wan = format!("w{site}");
                ip(&["-n", &namespaces.bridge(), "link", "set", &wan, state]).await
            }
            Self::Loopback(relays) => {
                relays.cut(site, cut);
                Ok(())
            }
        }
    }

    /// Takes down what was made.
    pub(super) async fn remove(&self) {
        if let Self::Namespaces(namespaces) = self {
            namespaces.remove().await;
        }
    }
}

fn loopback(site: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 77, site_octet(site))
}

fn site_octet(site: usize) -> u8 {
    u8::try_from(site + 1).unwrap_or(u8::MAX)
}

fn is_root() -> bool {
    // The owner of our own /proc entry is the effective user.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

impl Namespaces {
    fn name(&self, site: usize) -> String {
        format!("{PREFIX}-{}-{}", self.id, SITES[site])
    }

    fn bridge(&self) -> String {
        format!("{PREFIX}-{}-wan", self.id)
    }

    async fn make(&self) -> anyhow::Result<()> {
        let bridge = self.bridge();
        ip(&["netns", "add", &bridge]).await?;
        ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"]).await?;
        ip(&["-n", &bridge, "link", "set", "br0", "up"]).await?;
        for site in 0..SITES.len() {
            self.make_site(site, &bridge).await?;
        }
        Ok(())
    }

    async fn make_site(&self, site: usize, bridge: &str) -> anyhow::Result<()> {
        let name = self.name(site);
        let octet = site_octet(site);
        let wan = format!("w{site}");
        let outside = self.outside(site);
        ip(&["netns", "add", &name]).await?;
        ip(&["-n", &name, "link", "set", "lo", "up"]).await?;
        // Among the sites: one end in the site, one on the bridge.
        ip(&[
            "-n", &name, "link", "add", "wan", "type", "veth", "peer", "name", &wan, "netns",
            bridge,
        ])
        .await?;
        ip(&["-n", bridge, "link", "set", &wan, "master", "br0", "up"]).await?;
        ip(&["-n", &name, "addr", "add", &format!("198.18.77.{octet}/24"), "dev", "wan"]).await?;
        ip(&["-n", &name, "addr", "add", &format!("fd00:77::{octet}/64"), "dev", "wan", "nodad"])
            .await?;
        ip(&["-n", &name, "link", "set", "wan", "up"]).await?;
        // To this machine, for the browser.
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", "console", "netns", &name])
            .await?;
        ip(&["addr", "add", &format!("198.19.{octet}.1/30"), "dev", &outside]).await?;
        ip(&["link", "set", &outside, "up"]).await?;
        ip(&["-n", &name, "addr", "add", &format!("198.19.{octet}.2/30"), "dev", "console"])
            .await?;
        ip(&["-n", &name, "link", "set", "console", "up"]).await
    }

    /// The outer end of the console's link; an interface name has 15 bytes at most.
    fn outside(&self, site: usize) -> String {
        format!("hm{}{site}", self.id)
    }

    async fn remove(&self) {
        for site in 0..SITES.len() {
            quietly(&["link", "del", &self.outside(site)]).await;
            quietly(&["netns", "del", &self.name(site)]).await;
        }
        quietly(&["netns", "del", &self.bridge()]).await;
    }
}

/// Removes what a demo that was killed left behind. The process of one that runs, if any does.
async fn remove_stale() -> Option<u32> {
    let entries = std::fs::read_dir("/run/netns").ok()?;
    let mut running = None;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| {
            name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-').next()?.parse::<u32>().ok()
        });
        let Some(id) = id else { continue };
        if std::path::Path::new(&format!("/proc/{id}")).exists() {
            running = Some(id);
        } else {
            Namespaces { id }.remove().await;
        }
    }
    running
}

async fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .context("the command `ip` is missing (apt-get install iproute2)")?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("ip {}: {}", arguments.join(" "), reason.trim());
    }
    Ok(())
}

async fn quietly(arguments: &[&str]) {
    // What is gone already need not be removed.
    let _ = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
}
