//! Two sites behind NATs of their own and a third in the open: who meets whom, by which way, and what
//! the one between them learns. Needs root and `nft`; skipped with a line otherwise.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::Value;

use crate::common::{Lab, Place, Running, agree, eventually};
use crate::lab::{ip, nft, runs};

/// Hidden, hidden, open.
const SITES: [&str; 3] = ["berlin", "tokyo", "cairo"];
const CAIRO: usize = 2;
const MESH_PORT: u16 = 4747;
/// Both hidden sites have the same address, as sites that buy the same router do.
const HIDDEN: &str = "192.168.7.2";
const ROUTER: &str = "192.168.7.1";
const OPEN: &str = "198.18.80.3";
/// A host that berlin watches; those who share its tenant are told, and nobody else.
const SECRET: &str = "127.61.207.93";

/// What a router does to the port of what it lets out.
#[derive(Clone, Copy)]
enum Nat {
    /// Keeps it, whatever the destination (RFC 4787: endpoint-independent mapping), and lets in what
    /// answers only.
    Keeps,
    /// Takes a random one for each destination: no peer can tell another where to send.
    Random,
}

/// A namespace a site, one a router, and one for the net between them; gone when this is dropped.
struct Net {
    id: u32,
}

impl Net {
    /// `None` where namespaces, links or filters cannot be made.
    fn new(nats: [Nat; 2]) -> Option<Self> {
        let net = Self { id: std::process::id() };
        let bridge = net.named("wan");
        let made = ip(&["netns", "add", &bridge])
            && ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"])
            && ip(&["-n", &bridge, "link", "set", "br0", "up"])
            && net.open_site()
            && nats.into_iter().enumerate().all(|(site, nat)| net.hidden_site(site, nat));
        if !made {
            println!("skipped: it needs root, `ip`, `nft` and network namespaces");
        }
        made.then_some(net)
    }

    fn open_site(&self) -> bool {
        let name = self.named(SITES[CAIRO]);
        ip(&["netns", "add", &name])
            && ip(&["-n", &name, "link", "set", "lo", "up"])
            && self.plug(&name, &format!("{OPEN}/24"), CAIRO)
            && self.console(CAIRO)
    }

    fn hidden_site(&self, site: usize, nat: Nat) -> bool {
        let (name, router) = (self.named(SITES[site]), self.router(site));
        let ports = match nat {
            Nat::Keeps => "",
            Nat::Random => " random,fully-random",
        };
        let rules = format!(
            "add table ip nat; \
             add chain ip nat out {{ type nat hook postrouting priority 100; }}; \
             add rule ip nat out oifname wan masquerade{ports}; \
             add table ip guard; \
             add chain ip guard in {{ type filter hook input priority 0; }}; \
             add rule ip guard in iifname wan drop; \
             add chain ip guard through {{ type filter hook forward priority 0; policy drop; }}; \
             add rule ip guard through iifname lan accept; \
             add rule ip guard through ct state established,related accept"
        );
        ip(&["netns", "add", &router])
            && ip(&["netns", "add", &name])
            && ip(&["-n", &name, "link", "set", "lo", "up"])
            && self.plug(&router, &format!("198.18.80.{}/24", site + 1), site)
            && veth(&name, "lan", "lan", &router)
            && ip(&["-n", &name, "addr", "add", &format!("{HIDDEN}/24"), "dev", "lan"])
            && ip(&["-n", &name, "link", "set", "lan", "up"])
            && ip(&["-n", &name, "route", "add", "default", "via", ROUTER])
            && ip(&["-n", &router, "addr", "add", &format!("{ROUTER}/24"), "dev", "lan"])
            && ip(&["-n", &router, "link", "set", "lan", "up"])
            && inside(&router, &["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
            && nft(&router, &rules)
            && self.console(site)
    }

    /// Joins `netns` to the net between the routers.
    fn plug(&self, netns: &str, address: &str, number: usize) -> bool {
        let (bridge, outer) = (self.named("wan"), format!("w{number}"));
        veth(netns, "wan", &outer, &bridge)
            && ip(&["-n", &bridge, "link", "set", &outer, "master", "br0", "up"])
            && ip(&["-n", netns, "addr", "add", address, "dev", "wan"])
            && ip(&["-n", netns, "link", "set", "wan", "up"])
    }

    /// From this test to the site's API, past every NAT.
    fn console(&self, site: usize) -> bool {
        let (name, outside) = (self.named(SITES[site]), self.outside(site));
        let [near, far] = self.console_ips(site);
        ip(&["link", "add", &outside, "type", "veth", "peer", "name", "console", "netns", &name])
            && ip(&["addr", "add", &format!("{near}/30"), "dev", &outside])
            && ip(&["link", "set", &outside, "up"])
            && ip(&["-n", &name, "addr", "add", &format!("{far}/30"), "dev", "console"])
            && ip(&["-n", &name, "link", "set", "console", "up"])
    }

    fn place(&self, lab: &Lab, site: usize) -> Place {
        let [_, far] = self.console_ips(site);
        let mesh = if site == CAIRO { OPEN } else { HIDDEN };
        Place {
            dir: lab.path().join(SITES[site]),
            api: SocketAddr::new(far.parse().expect("an address"), 8443),
            mesh: SocketAddr::new(mesh.parse().expect("an address"), MESH_PORT),
            netns: Some(self.named(SITES[site])),
        }
    }

    fn named(&self, what: &str) -> String {
        format!("holmnat-{}-{what}", self.id)
    }

    fn router(&self, site: usize) -> String {
        format!("{}-nat", self.named(SITES[site]))
    }

    /// An interface name has 15 bytes at most.
    fn outside(&self, site: usize) -> String {
        format!("hn{}{site}", self.id)
    }

    /// Both ends; none of another process of the tests.
    fn console_ips(&self, site: usize) -> [String; 2] {
        let [.., high, low] = self.id.to_be_bytes();
        [1, 2].map(|end| format!("10.{}.{low}.{}", 192 + high % 64, site * 4 + end))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for (site, name) in SITES.iter().enumerate() {
            runs("ip", &["link", "del", &self.outside(site)]);
            runs("ip", &["netns", "del", &self.named(name)]);
            runs("ip", &["netns", "del", &self.router(site)]);
        }
        runs("ip", &["netns", "del", &self.named("wan")]);
    }
}

fn veth(netns: &str, end: &str, other: &str, there: &str) -> bool {
    ip(&["-n", netns, "link", "add", end, "type", "veth", "peer", "name", other, "netns", there])
}

fn inside(netns: &str, command: &[&str]) -> bool {
    runs("nsenter", &[&[&*format!("--net=/run/netns/{netns}")], command].concat())
}

/// All three sites enrolled; the tenant `default` was never given to cairo. Nothing runs yet.
fn enrolled(lab: &Lab, net: &Net) -> [Place; 3] {
    let places = [0, 1, 2].map(|site| net.place(lab, site));
    let names = |place: &Place| ["--api-name".to_owned(), place.api.ip().to_string()];
    let listen = |place: &Place| {
        let listen = ["--api-listen", "0.0.0.0:8443", "--mesh-listen"].map(str::to_owned);
        [&listen[..], &[place.mesh.to_string()], &names(place)].concat()
    };
    let init =
        ["mesh", "init", "--trust-domain", "nat.test", "--site", SITES[0]].map(str::to_owned);
    let run = |place: &Place, args: &[String]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        place.holm(&args).succeeded();
    };
    run(&places[0], &[&init[..], &listen(&places[0])].concat());
    let berlin = places[0].start();
    for site in [1, CAIRO] {
        // Enrolled where the issuer stands, then shipped.
        let bench = Place { netns: places[0].netns.clone(), ..places[site].clone() };
        let join = ["join", &berlin.token(SITES[site]), "--node", "n1"].map(str::to_owned);
        run(&bench, &[&join[..], &listen(&places[site])].concat());
    }
    berlin.place.holm(&["tenant", "revoke", "default", "--site", SITES[CAIRO]]).succeeded();
    berlin.stop();
    places
}

fn start(place: &Place, variables: &[(&str, &str)]) -> Running {
    let seeds = [("HOLM_MESH_SEEDS", "[\"198.18.80.3:4747\"]")];
    place.start_with(&[&seeds[..], variables].concat())
}

fn member(node: &Running, site: &str) -> Option<Value> {
    let mesh = node.get("/v1/mesh");
    let members = mesh["members"].as_array()?;
    members.iter().find(|m| m["site"] == site && m["connected"] == true).cloned()
}

fn relayed(node: &Running, site: &str) -> bool {
    member(node, site).is_some_and(|member| member["via"] == "cairo/n1")
}

fn direct(node: &Running, site: &str) -> bool {
    member(node, site).is_some_and(|member| member["via"].is_null())
}

fn count(node: &Running, name: &str) -> u64 {
    let mesh = node.get("/v1/mesh");
    let all = ["counts", "drops"].map(|key| mesh[key].as_array().cloned().unwrap_or_default());
    let found = all.iter().flatten().find(|count| count["name"] == name);
    found.and_then(|count| count["count"].as_u64()).unwrap_or(0)
}

fn reach(node: &Running) -> String {
    node.get("/v1/mesh")["nat"]["reachable"].as_str().unwrap_or_default().to_owned()
}

fn knows_secret(node: &Running) -> bool {
    node.place.client().get("/v1/topology").body.contains(SECRET)
}

/// Whether a process has the secret in its memory.
fn remembers_secret(node: &Running) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let pid = node.pid();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("a process of ours");
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("as root");
    let pattern = SECRET.as_bytes();
    maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|p| p.starts_with("rw"))).any(
        |line| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let Some((from, to)) = range else { return false };
            let at = |text| u64::from_str_radix(text, 16).unwrap_or(0);
            let mut bytes = vec![0; usize::try_from(at(to) - at(from)).unwrap_or(0)];
            // Some mappings cannot be read; they are none of the heap.
            memory.seek(SeekFrom::Start(at(from))).is_ok()
                && memory.read_exact(&mut bytes).is_ok()
                && bytes.windows(pattern.len()).any(|window| window == pattern)
        },
    )
}

#[test]
fn sites_behind_nat_meet_through_a_relay_and_then_directly() {
    let Some(net) = Net::new([Nat::Keeps, Nat::Keeps]) else { return };
    let lab = Lab::new();
    let [berlin, tokyo, cairo] = enrolled(&lab, &net);
    let (cairo, tokyo) = (start(&cairo, &[]), start(&tokyo, &[]));
    eventually("cairo sees tokyo", || member(&cairo, "tokyo").map(drop));
    let begun = Instant::now();
    let berlin = start(&berlin, &[]);
    let started = begun.elapsed();
    eventually("they meet", || member(&berlin, "tokyo").map(drop));
    let met = begun.elapsed();
    eventually("directly", || (direct(&berlin, "tokyo") && direct(&tokyo, "berlin")).then_some(()));
    println!(
        "served after {} ms, connected after {} ms, directly after {} ms",
        started.as_millis(),
        met.as_millis(),
        begun.elapsed().as_millis()
    );
    assert!(count(&berlin, "circuits_made") + count(&tokyo, "circuits_made") > 0, "first relayed");
    assert_eq!(count(&berlin, "punches_met") + count(&tokyo, "punches_met"), 1);
    assert_eq!((&*reach(&berlin), &*reach(&tokyo)), ("behind_nat", "behind_nat"));
    eventually("cairo is reached", || (reach(&cairo) == "reachable").then_some(()));
    agree(&[&berlin, &tokyo]);
    // The direct connection stands without the relay.
    let cairo = cairo.kill();
    std::thread::sleep(std::time::Duration::from_secs(12));
    assert!(direct(&berlin, "tokyo") && direct(&tokyo, "berlin"), "cairo is not needed any more");
    drop(start(&cairo, &[]));
}

#[test]
fn where_no_hole_can_be_punched_sites_stay_on_the_relay_which_learns_nothing() {
    let Some(net) = Net::new([Nat::Random, Nat::Random]) else { return };
    let lab = Lab::new();
    let [berlin, tokyo, cairo] = enrolled(&lab, &net);
    let targets =
        format!("[{{ name = \"s\", probe = \"tcp\", target = \"{SECRET}\", port = 8443 }}]");
    let says = [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_TARGETS", &targets)];
    let cairo = start(&cairo, &[]);
    let (berlin, tokyo) = (start(&berlin, &says), start(&tokyo, &[]));
    eventually("they meet through cairo", || {
        (relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin")).then_some(())
    });
    eventually("tokyo has what berlin says", || knows_secret(&tokyo).then_some(()));
    agree(&[&berlin, &tokyo]);
    eventually("a direct way was tried in vain", || {
        (count(&berlin, "punches_failed") + count(&tokyo, "punches_failed") >= 1).then_some(())
    });
    assert!(relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin"), "the circuit goes on");

    assert!(!knows_secret(&cairo), "cairo has no grant");
    assert!(remembers_secret(&berlin) && remembers_secret(&tokyo), "so it would be found");
    assert!(!remembers_secret(&cairo), "what cairo forwards is ciphertext");
    let relay = cairo.get("/v1/mesh")["nat"]["relay"].clone();
    assert!(relay["serving"] == true && relay["circuits"].as_u64() >= Some(1), "{relay}");
    assert!(relay["bytes"].as_u64() > Some(10_000), "{relay}");
    let printed = berlin.place.holm(&["mesh", "top", "--once"]).succeeded();
    assert!(printed.contains("relayed via cairo/n1"), "{printed}");
    assert!(printed.contains("behind NAT") && printed.contains("places at cairo/n1"), "{printed}");
    let metrics = cairo.place.client().get("/metrics").body;
    assert!(metrics.contains("holm_relay_places 2"), "{metrics}");

    let cairo = cairo.kill();
    eventually("nothing without cairo", || member(&berlin, "tokyo").is_none().then_some(()));
    let begun = Instant::now();
    let cairo = start(&cairo, &[]);
    let served = begun.elapsed();
    eventually("the circuit returns", || {
        (relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin")).then_some(())
    });
    println!(
        "the relay served after {} ms, the circuit was back after {} ms",
        served.as_millis(),
        begun.elapsed().as_millis()
    );
    drop(cairo);
}

#[test]
fn one_nat_that_keeps_its_port_is_not_enough_if_the_other_takes_random_ones() {
    let Some(net) = Net::new([Nat::Keeps, Nat::Random]) else { return };
    let lab = Lab::new();
    let [berlin, tokyo, cairo] = enrolled(&lab, &net);
    let cairo = start(&cairo, &[]);
    let (berlin, tokyo) = (start(&berlin, &[]), start(&tokyo, &[]));
    eventually("a direct way was tried in vain", || {
        (count(&berlin, "punches_failed") + count(&tokyo, "punches_failed") >= 1).then_some(())
    });
    eventually("they are together all the same", || {
        (relayed(&berlin, "tokyo") && relayed(&tokyo, "berlin")).then_some(())
    });
    agree(&[&berlin, &tokyo]);
    drop(cairo);
}
