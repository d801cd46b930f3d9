//! Five sites in network namespaces, joined by a bridge: what happens when the network between them
//! breaks in every shape. Needs root and `nft`; skipped with a line otherwise.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{Lab, Place, Running, agree, eventually};

pub(crate) const SITES: [&str; 5] = ["athens", "bergen", "cairo", "dakar", "essen"];
const MESH_PORT: u16 = 4747;
const API_PORT: u16 = 8443;

/// A namespace a site and one for the bridge between them; gone when this is dropped.
pub(crate) struct Net {
    id: u32,
}

impl Net {
    /// `None` where namespaces, links or filters cannot be made.
    pub(crate) fn new() -> Option<Self> {
        let net = Self { id: std::process::id() };
        let bridge = net.bridge();
        let made = ip(&["netns", "add", &bridge])
            && ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"])
            && ip(&["-n", &bridge, "link", "set", "br0", "up"])
            && (0..SITES.len()).all(|site| net.add(site));
        if !made {
            println!("skipped: it needs root, `ip`, `nft` and network namespaces");
        }
        made.then_some(net)
    }

    fn add(&self, site: usize) -> bool {
        let (name, bridge, wan) = (self.name(site), self.bridge(), format!("w{site}"));
        let (outside, [near, far]) = (self.outside(site), self.console_ips(site));
        let veth = |place: &[&str], end: &str, other: &str, there: &str| {
            let rest = ["link", "add", end, "type", "veth", "peer", "name", other, "netns", there];
            ip(&[place, &rest[..]].concat())
        };
        let table =
            "add table inet lab; add chain inet lab in { type filter hook input priority 0; }";
        ip(&["netns", "add", &name])
            && ip(&["-n", &name, "link", "set", "lo", "up"])
            && veth(&["-n", &name], "wan", &wan, &bridge)
            && ip(&["-n", &bridge, "link", "set", &wan, "master", "br0", "up"])
            && ip(&["-n", &name, "addr", "add", &format!("{}/24", wan_ip(site)), "dev", "wan"])
            && ip(&["-n", &name, "link", "set", "wan", "up"])
            // From this test to the site's API, whatever happens between the sites.
            && veth(&[], &outside, "console", &name)
            && ip(&["addr", "add", &format!("{near}/30"), "dev", &outside])
            && ip(&["link", "set", &outside, "up"])
            && ip(&["-n", &name, "addr", "add", &format!("{far}/30"), "dev", "console"])
            && ip(&["-n", &name, "link", "set", "console", "up"])
            && nft(&name, table)
    }

    /// What `site` drops: datagrams from the sites in `from`. Nothing else is dropped any more.
    fn deaf(&self, site: usize, from: &[usize]) {
        let mut rules = "flush chain inet lab in".to_owned();
        for other in from {
            rules += &format!("; add rule inet lab in ip saddr {} drop", wan_ip(*other));
        }
        assert!(nft(&self.name(site), &rules), "{rules}");
    }

    /// Nothing goes between the two groups, either way.
    pub(crate) fn split(&self, one: &[usize], other: &[usize]) {
        one.iter().for_each(|site| self.deaf(*site, other));
        other.iter().for_each(|site| self.deaf(*site, one));
    }

    pub(crate) fn heal(&self) {
        (0..SITES.len()).for_each(|site| self.deaf(site, &[]));
    }

    fn place(&self, lab: &Lab, site: usize) -> Place {
        let [_, far] = self.console_ips(site);
        Place {
            dir: lab.path().join(SITES[site]),
            api: SocketAddr::new(far.parse().expect("an address"), API_PORT),
            mesh: SocketAddr::new(wan_ip(site).parse().expect("an address"), MESH_PORT),
            netns: Some(self.name(site)),
        }
    }

    pub(crate) fn name(&self, site: usize) -> String {
        format!("holmlab-{}-{}", self.id, SITES[site])
    }

    fn bridge(&self) -> String {
        format!("holmlab-{}-wan", self.id)
    }

    /// An interface name has 15 bytes at most.
    fn outside(&self, site: usize) -> String {
        format!("hl{}{site}", self.id)
    }

    /// Both ends, so that labs that run at the same time have others.
    fn console_ips(&self, site: usize) -> [String; 2] {
        let [.., high, low] = self.id.to_be_bytes();
        let net = format!("10.{}.{}", 128 + high % 64, low);
        [1, 2].map(|end| format!("{net}.{}", site * 4 + end))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for site in 0..SITES.len() {
            runs("ip", &["link", "del", &self.outside(site)]);
            runs("ip", &["netns", "del", &self.name(site)]);
        }
        runs("ip", &["netns", "del", &self.bridge()]);
    }
}

fn wan_ip(site: usize) -> String {
    format!("198.18.79.{}", site + 1)
}

pub(crate) fn runs(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

pub(crate) fn ip(args: &[&str]) -> bool {
    runs("ip", args)
}

pub(crate) fn nft(netns: &str, rules: &str) -> bool {
    runs("nsenter", &[&format!("--net=/run/netns/{netns}"), "nft", rules])
}

/// The mesh, with `count` sites of it up and agreed.
fn mesh(lab: &Lab, net: &Net, count: usize) -> Vec<Running> {
    mesh_with(lab, net, count, &[])
}

/// The same with variables for every node.
pub(crate) fn mesh_with(
    lab: &Lab,
    net: &Net,
    count: usize,
    variables: &[(&str, &str)],
) -> Vec<Running> {
    let first = net.place(lab, 0);
    let listen = ["--api-listen", "0.0.0.0:8443", "--mesh-listen", &first.mesh.to_string()];
    let name =
        ["--api-name", &first.api.ip().to_string(), "--api-name", &first.mesh.ip().to_string()];
    let init = ["mesh", "init", "--trust-domain", "lab.test", "--site", SITES[0]];
    first.holm(&[&init[..], &listen[..], &name[..]].concat()).succeeded();
    let mut nodes = vec![first.start_with(variables)];
    for (site, name) in SITES.iter().enumerate().take(count).skip(1) {
        let place = net.place(lab, site);
        let token = nodes[0].token(name);
        let listen = ["--api-listen", "0.0.0.0:8443", "--mesh-listen", &place.mesh.to_string()];
        let api_name = ["--api-name", &place.api.ip().to_string()];
        place
            .holm(&[&["join", &token, "--node", "n1"], &listen[..], &api_name[..]].concat())
            .succeeded();
        nodes.push(place.start_with(variables));
    }
    agree(&nodes.iter().collect::<Vec<_>>());
    nodes
}

fn raised(node: &Running) -> Vec<(String, String)> {
    let mesh = node.get("/v1/mesh");
    let text = |verdict: &Value, key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    let all = mesh["verdicts"].as_array().cloned().unwrap_or_default();
    let raised = all.iter().filter(|verdict| verdict["raised"] == true);
    raised.map(|verdict| (text(verdict, "kind"), text(verdict, "subject"))).collect()
}

fn holds(kind: &str, subject: &str) -> (String, String) {
    (kind.to_owned(), subject.to_owned())
}

#[test]
fn a_way_that_breaks_in_one_direction_is_that_way_and_no_site() {
    let Some(net) = Net::new() else { return };
    let lab = Lab::new();
    let nodes = mesh(&lab, &net, 4);
    net.deaf(1, &[0]);
    for node in &nodes[2..] {
        eventually("the way is named where both ends are reached", || {
            (raised(node) == [holds("link_down", "athens - bergen")]).then_some(())
        });
    }
    let printed = nodes[2].place.holm(&["mesh", "top", "--once"]).succeeded();
    assert!(printed.contains("WAY DOWN"), "{printed}");
    net.heal();
    for node in &nodes {
        eventually("it is over", || raised(node).is_empty().then_some(()));
    }
}

#[test]
fn islands_go_on_alone_name_each_other_and_agree_again() {
    let Some(net) = Net::new() else { return };
    let lab = Lab::new();
    let mut nodes = mesh(&lab, &net, 5);
    net.split(&[0, 1], &[2, 3, 4]);
    for node in &nodes[2..] {
        eventually("the larger island names both others", || {
            let all = raised(node);
            let down = ["athens", "bergen"].map(|site| holds("site_down", site));
            (all == down).then_some(())
        });
    }
    for node in &nodes[..2] {
        eventually("the smaller one names three, and neither end is cut off alone", || {
            let all = raised(node);
            let down = ["cairo", "dakar", "essen"].map(|site| holds("site_down", site));
            (all == down).then_some(())
        });
    }
    // Both sides write while they are apart.
    for site in [4, 1] {
        let place = nodes.remove(site).kill();
        nodes.insert(site, place.start_with(&[("HOLM_PLANES_ACTIVE_ENABLED", "true")]));
    }
    let plane = |node: &Running, of: &str| {
        let nodes = node.get("/v1/topology")["nodes"].as_array().cloned()?;
        let site = nodes.into_iter().find(|n| n["id"] == format!("site:{of}"))?;
        site["attributes"]["holm.plane.active"].as_str().map(str::to_owned)
    };
    for (near, far, wrote) in [(0, 2, "bergen"), (2, 0, "essen")] {
        eventually("the own island hears of it", || {
            (plane(&nodes[near], wrote)? != "off").then_some(())
        });
        assert_eq!(plane(&nodes[far], wrote).as_deref(), Some("off"), "the other cannot");
    }
    net.heal();
    eventually("all hold the same", || {
        let digests: Vec<Value> = nodes.iter().map(|node| node.get("/v1/mesh/digest")).collect();
        let news = plane(&nodes[0], "essen")? != "off" && plane(&nodes[2], "bergen")? != "off";
        (news && digests.iter().all(|digest| *digest == digests[0])).then_some(())
    });
    for node in &nodes {
        eventually("nothing is down any more", || raised(node).is_empty().then_some(()));
    }
}

#[test]
fn nodes_are_killed_and_restarted_in_turn_and_the_mesh_always_answers() {
    let Some(net) = Net::new() else { return };
    let lab = Lab::new();
    let mut nodes = mesh(&lab, &net, 3);
    for site in 0..nodes.len() {
        let place = nodes.remove(site).kill();
        for node in &nodes {
            let all = node.get("/v1/topology")["nodes"].as_array().map_or(0, Vec::len);
            assert!(all >= 3, "the others still answer for all three sites");
        }
        nodes.insert(site, place.start());
        let all: Vec<&Running> = nodes.iter().collect();
        agree(&all);
    }
}
