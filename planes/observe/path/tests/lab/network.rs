//! A diamond of network namespaces: source, a, `k` routers side by side, b, target; over IPv4 and IPv6.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

/// How the diamond is built.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plan {
    /// Routers side by side.
    pub(crate) width: usize,
    /// The first of them forwards and says nothing.
    pub(crate) silent: bool,
    /// Routers limit their ICMP errors as Linux does by default.
    pub(crate) limited: bool,
    /// All packets come back by the first of them.
    pub(crate) asymmetric: bool,
    /// MTU of the link behind the first of them; 0: as the others.
    pub(crate) mtu: u32,
    /// Nobody says that a packet is too large.
    pub(crate) no_too_big: bool,
    /// The target answers no echo requests.
    pub(crate) no_echo: bool,
    /// `a` sends each packet its own way, whatever its flow is.
    pub(crate) per_packet: bool,
    /// `a` gives packets another sender, and leaves what errors quote alone.
    pub(crate) nat: bool,
    /// Addresses that the target has besides its own: 10.3.0.3 and on.
    pub(crate) more_targets: u8,
}

/// The namespaces; gone when it is dropped.
pub(crate) struct Lab {
    prefix: String,
    names: Vec<String>,
}

pub(crate) const TARGET_V4: &str = "10.3.0.2";
pub(crate) const TARGET_V6: &str = "fd00:3::2";

impl Lab {
    /// The lab, or why there can be none.
    pub(crate) fn build(plan: Plan) -> Result<Self, String> {
        let mut lab = Self::new();
        let middles: Vec<String> = (1..=plan.width).map(|i| format!("m{i}")).collect();
        for name in ["s", "a", "b", "d"].into_iter().chain(middles.iter().map(String::as_str)) {
            lab.add(name, plan.limited)?;
        }
        lab.link("s", "a", "10.1.0", "fd00:1")?;
        lab.link("b", "d", "10.3.0", "fd00:3")?;
        for (i, middle) in middles.iter().enumerate() {
            let i = i + 1;
            lab.link("a", middle, &format!("10.2.{i}"), &format!("fd00:2:{i:x}"))?;
            lab.link(middle, "b", &format!("10.4.{i}"), &format!("fd00:4:{i:x}"))?;
            lab.routes(middle, &format!(
                "route add 10.3.0.0/24 via 10.4.{i}.2\nroute add 10.1.0.0/24 via 10.2.{i}.1\n\
                 -6 route add fd00:3::/64 via fd00:4:{i:x}::2\n-6 route add fd00:1::/64 via fd00:2:{i:x}::1\n"
            ))?;
            lab.routes("a", &format!(
                "route add 10.4.{i}.0/24 via 10.2.{i}.2\n-6 route add fd00:4:{i:x}::/64 via fd00:2:{i:x}::2\n"
            ))?;
        }
        lab.routes("s", "route add default via 10.1.0.2\n-6 route add default via fd00:1::2\n")?;
        lab.routes("d", "route add default via 10.3.0.1\n-6 route add default via fd00:3::1\n")?;
        let back = if plan.asymmetric { 1 } else { plan.width };
        let hops = |range: usize, form: &dyn Fn(usize) -> String| {
            (1..=range).map(|i| format!(" nexthop via {}", form(i))).collect::<String>()
        };
        let to = |range, form: &dyn Fn(usize) -> String, net: &str| {
            format!("route add {net}{}\n", hops(range, form))
        };
        let forth4 = to(plan.width, &|i| format!("10.2.{i}.2"), "10.3.0.0/24");
        let forth6 = to(plan.width, &|i| format!("fd00:2:{i:x}::2"), "fd00:3::/64");
        let back4 = to(back, &|i| format!("10.4.{i}.1"), "10.1.0.0/24");
        let back6 = to(back, &|i| format!("fd00:4:{i:x}::1"), "fd00:1::/64");
        lab.routes("a", &format!("{forth4}-6 {forth6}"))?;
        lab.routes("b", &format!("{back4}-6 {back6}"))?;
        let more = (3..3 + plan.more_targets).map(|i| format!("addr add 10.3.0.{i}/24 dev to-b\n"));
        lab.routes("d", &more.collect::<String>())?;
        if plan.silent {
            lab.filter("m1", "icmp type time-exceeded drop", "output")?;
            lab.filter("m1", "icmpv6 type time-exceeded drop", "output")?;
        }
        if plan.mtu > 0 {
            let mtu = plan.mtu;
            ip(&["-n", &lab.of("m1"), "link", "set", "to-b", "mtu", &mtu.to_string()], "")?;
            ip(&["-n", &lab.of("b"), "link", "set", "to-m1", "mtu", &mtu.to_string()], "")?;
        }
        if plan.no_too_big {
            lab.filter(
                "m1",
                "icmp type destination-unreachable icmp code frag-needed drop",
                "output",
            )?;
            lab.filter("m1", "icmpv6 type packet-too-big drop", "output")?;
        }
        if plan.no_echo {
            lab.filter("d", "icmp type echo-request drop", "input")?;
            lab.filter("d", "icmpv6 type echo-request drop", "input")?;
        }
        if plan.per_packet {
            let way = |i| {
                format!(
                    "rule add fwmark {i} table 10{i}\nroute add default via 10.2.{i}.2 table 10{i}\n"
                )
            };
            lab.routes("a", &(1..=plan.width).map(way).collect::<String>())?;
            let mark =
                format!("iifname \"to-s\" meta mark set numgen random mod {} offset 1", plan.width);
            lab.filter("a", &mark, "prerouting")?;
        }
        if plan.nat {
            let forth = "ip saddr 10.1.0.1 ip daddr 10.3.0.0/24 ip saddr set 10.9.9.9";
            lab.filter("a", forth, "forward")?;
            lab.filter("a", "ip daddr 10.9.9.9 ip daddr set 10.1.0.1", "prerouting")?;
            for (node, via) in [("m1", "10.2.1.1"), ("b", "10.4.1.1")] {
                lab.routes(node, &format!("route add 10.9.9.0/24 via {via}\n"))?;
            }
        }
        Ok(lab)
    }

    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { prefix: format!("hp{}n{id}", std::process::id()), names: Vec::new() }
    }

    pub(crate) fn add(&mut self, name: &str, limited: bool) -> Result<(), String> {
        let full = self.of(name);
        ip(&["netns", "add", &full], "")?;
        self.names.push(full);
        self.tune(name, limited)
    }

    /// A rule of nftables at a hook of a node.
    pub(crate) fn filter(&self, name: &str, rule: &str, hook: &str) -> Result<(), String> {
        let rules = format!(
            "add table inet t\nadd chain inet t {hook} {{ type filter hook {hook} priority -200; }}\n\
             add rule inet t {hook} {rule}\n"
        );
        run(&["ip", "netns", "exec", &self.of(name), "nft", "-f", "-"], &rules)
    }

    pub(crate) fn of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn tune(&self, name: &str, limited: bool) -> Result<(), String> {
        let limits = if limited {
            ""
        } else {
            "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit;\
             echo 1000000 >/proc/sys/net/ipv4/icmp_msgs_per_sec; echo 100000 >/proc/sys/net/ipv4/icmp_msgs_burst;"
        };
        let script = format!(
            "ip link set lo up; cd /proc/sys/net; echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding;\
             echo 1 >ipv4/fib_multipath_hash_policy; echo 1 >ipv6/fib_multipath_hash_policy;\
             echo 0 >ipv6/conf/all/accept_dad; echo 0 >ipv6/conf/default/accept_dad; echo 0 >ipv4/conf/all/rp_filter; echo 0 >ipv4/conf/default/rp_filter; {limits} true"
        );
        run(&["ip", "netns", "exec", &self.of(name), "sh", "-c", &script], "")
    }

    pub(crate) fn link(&self, one: &str, other: &str, v4: &str, v6: &str) -> Result<(), String> {
        let (ns1, ns2) = (self.of(one), self.of(other));
        let (if1, if2) = (format!("to-{other}"), format!("to-{one}"));
        ip(
            &[
                "link", "add", &if1, "netns", &ns1, "type", "veth", "peer", "name", &if2, "netns",
                &ns2,
            ],
            "",
        )?;
        for (ns, interface, host) in [(&ns1, &if1, 1), (&ns2, &if2, 2)] {
            let batch = format!(
                "addr add {v4}.{host}/24 dev {interface}\naddr add {v6}::{host}/64 dev {interface} nodad\n\
                 link set {interface} up\n"
            );
            ip(&["-n", ns, "-batch", "-"], &batch)?;
        }
        Ok(())
    }

    pub(crate) fn routes(&self, name: &str, batch: &str) -> Result<(), String> {
        // A family for each batch.
        let (v6, v4): (Vec<_>, Vec<_>) = batch.lines().partition(|line| line.starts_with("-6 "));
        let join = |lines: &[&str]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
        ip(&["-n", &self.of(name), "-batch", "-"], &join(&v4))?;
        ip(&["-6", "-n", &self.of(name), "-batch", "-"], &join(&v6).replace("-6 ", ""))
    }

    /// Runs `work` in a thread of the source's namespace.
    pub(crate) fn at_source<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let file = File::open(format!("/var/run/netns/{}", self.of("s"))).expect("the namespace");
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                setns(file, CloneFlags::CLONE_NEWNET).expect("root");
                work()
            });
            run.join().expect("no panic")
        })
    }

    /// What a command prints that runs in the source's namespace.
    pub(crate) fn output(&self, command: &[&str]) -> Result<String, String> {
        let source = self.of("s");
        let output = Command::new("ip")
            .args(["netns", "exec", &source])
            .args(command)
            .output()
            .map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "del", name], "");
        }
    }
}

fn ip(arguments: &[&str], input: &str) -> Result<(), String> {
    run(&[&["ip"], arguments].concat(), input)
}

pub(crate) fn run(command: &[&str], input: &str) -> Result<(), String> {
    let failed = |what: &str| format!("{}: {what}", command.join(" "));
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(&error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(&error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(&String::from_utf8_lossy(&output.stderr)))
}
