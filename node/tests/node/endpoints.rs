//! Agents on laptops: what they measure by themselves, what they send to whichever node is there, each sample once, and
//! which part of their way is to blame.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Lab, Place, Running, agree, holm, within};
use crate::lab::{ip, nft};

const WHILE: Duration = Duration::from_secs(180);

/// An agent that runs; it is killed when this is dropped.
struct Agent(Child);

impl Agent {
    fn start(lab: &Lab, token: &str, nodes: &[&Place], ca: &Path) -> Self {
        let config = lab.path().join("agent.toml");
        let text =
            "interval = \"1s\"\ntrace_target = \"127.0.0.1\"\nmax_hops = 1\necho_count = 1\n";
        std::fs::write(&config, text).expect("written");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(lab.path().join("agent.log"))
            .expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_holm"));
        command.args(["agent", "run", "--stop-with-stdin", "--config"]).arg(&config);
        command.arg("--dir").arg(lab.path().join("agent")).arg("--ca").arg(ca);
        for node in nodes {
            command.args(["--node", &format!("https://{}", node.api)]);
        }
        command.env("HOLM_TOKEN", token).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        Self(command.spawn().expect("the binary starts"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("a child of ours").success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The keys of the samples that a node itself has.
fn keys_at(node: &Running) -> Vec<String> {
    let rows = node.get("/v1/rows?table=endpoints&limit=1000");
    let rows = rows["items"].as_array().expect("rows").iter();
    rows.map(|row| row["columns"]["key"].as_str().expect("a key").to_owned()).collect()
}

fn token(node: &Running, name: &str) -> String {
    node.place.holm(&["endpoint", "token", name]).succeeded().trim().to_owned()
}

/// Whether a token counts at a node yet.
fn counts(node: &Running, token: &str) -> bool {
    let client = node.place.client().with_token(token);
    client.post("/ingest/endpoints", &json!({})).status == 422
}

fn a_sample(at: u64, more: &Value) -> Value {
    let mut sample = json!({
        "at": at, "interval_ms": 60_000, "hostname": "withheld", "wifi": "no_wifi",
        "gateways": { "measured": [{
            "family": "ipv4", "address": { "told": "192.0.2.1" }, "interface": "eth0",
            "echo": { "measured": { "sent": 10, "received": 10, "rtt_ms": 1.0 } }
        }] },
        "resolvers": { "measured": [] }, "last_mile": { "not_measured": "off" },
        "sessions": { "measured": [] },
        "checks": [{ "name": { "told": "shop" }, "probe": "tcp",
            "result": { "measured": { "success": true, "duration_ms": 5.0, "error": null } } }],
        "thresholds": {},
    });
    sample.as_object_mut().expect("a map").extend(more.as_object().expect("a map").clone());
    sample
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    u64::try_from(since.as_millis()).expect("these days")
}

#[test]
fn an_agent_sends_each_sample_once_to_whichever_node_is_there() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let token = token(&berlin, "laptop-1");
    within("tokyo knows the token", WHILE, || counts(&tokyo, &token).then_some(()));
    let ca = berlin.place.file("identity/bundles.json");
    let agent = Agent::start(&lab, &token, &[&berlin.place, &tokyo.place], &ca);
    within("berlin has samples", WHILE, || (keys_at(&berlin).len() >= 2).then_some(()));
    assert_eq!(keys_at(&tokyo).len(), 0, "the first that is there is taken");

    // While the agent stands still nothing is half sent.
    agent.signal("-STOP");
    std::thread::sleep(Duration::from_secs(1));
    let at_berlin = keys_at(&berlin);
    let berlin = berlin.stop();
    agent.signal("-CONT");
    within("tokyo has samples", WHILE, || (keys_at(&tokyo).len() >= 2).then_some(()));
    let listed = within("tokyo lists it", WHILE, || {
        let list = tokyo.get("/v1/endpoints");
        let item =
            list["items"].as_array()?.iter().find(|item| item["name"] == "laptop-1")?.clone();
        (item["site"] == "tokyo").then_some((list, item))
    });
    assert!(listed.1["live"] == true && listed.1["enrolled"] == true, "{}", listed.1);
    assert_eq!(listed.1["layers"].as_array().expect("layers").len(), 4, "{}", listed.1);
    assert_eq!(listed.1["layers"][0]["part"], "wifi", "{}", listed.1);

    // Nobody is there: samples wait on the agent's disk, also while it does not run.
    agent.signal("-STOP");
    std::thread::sleep(Duration::from_secs(1));
    let at_tokyo = keys_at(&tokyo);
    let tokyo = tokyo.stop();
    agent.signal("-CONT");
    let log = || std::fs::read_to_string(lab.path().join("agent.log")).unwrap_or_default();
    within("the agent finds nobody", WHILE, || log().contains("no node takes").then_some(()));
    agent.stop();
    let tokyo = tokyo.start();
    let agent = Agent::start(&lab, &token, &[&berlin, &tokyo.place], &ca);
    within("tokyo has what waited", WHILE, || {
        (keys_at(&tokyo).len() >= at_tokyo.len() + 2).then_some(())
    });
    agent.stop();
    let berlin = berlin.start();
    let at_berlin_again = keys_at(&berlin);
    assert_eq!(at_berlin.len(), at_berlin_again.len(), "what berlin had it still has");
    let all: Vec<String> = keys_at(&tokyo).into_iter().chain(at_berlin_again).collect();
    let each: BTreeSet<&String> = all.iter().collect();
    assert_eq!(each.len(), all.len(), "each once: {all:?}");
    let number = |key: &&String| key.rsplit_once('-').expect("a number").1.parse::<usize>();
    let numbers: BTreeSet<usize> = each.iter().map(|key| number(key).expect("a number")).collect();
    let wanted: BTreeSet<usize> = (1..=numbers.len()).collect();
    assert_eq!(numbers, wanted, "none is missing");

    // Rows of all sites, and the history in which each is once.
    let sql = "SELECT count(*) AS n, count(DISTINCT key) AS keys FROM endpoints";
    within("berlin asks tokyo, too", WHILE, || {
        let asked = berlin.place.client().post("/v1/query", &json!({ "sql": sql })).json();
        (asked["rows"][0] == json!([each.len(), each.len()])).then_some(())
    });
    within("the history is whole", WHILE, || {
        let shown = berlin.get("/v1/endpoints/laptop-1?limit=500");
        let moments = shown["history"].as_array()?.len();
        (shown["asked"]["complete"] == true && moments == each.len()).then_some(())
    });
    let shown = berlin.place.holm(&["endpoint", "show", "laptop-1"]).succeeded();
    assert!(shown.contains("gateway") && shown.contains("tokyo"), "{shown}");

    // A token that is revoked counts nowhere.
    berlin.place.holm(&["endpoint", "revoke", "laptop-1"]).succeeded();
    within("tokyo does not take it any more", WHILE, || (!counts(&tokyo, &token)).then_some(()));
    berlin.place.holm(&["endpoint", "revoke", "laptop-1"]).failed_naming(&["laptop-1"]);
    berlin.place.holm(&["endpoint", "token", "Ada's"]).failed_naming(&["small letters"]);
}

#[test]
fn what_is_impaired_and_holds_becomes_an_incident_and_ends() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let token = token(&berlin, "branch-7");
    let client = berlin.place.client().with_token(&token);
    let begun = now_ms();
    let send = |from: u64, more: &Value| {
        let sample = |n: u64| json!({ "sequence": n, "sample": a_sample(begun + n, more) });
        let samples: Vec<Value> = (from..from + 3).map(sample).collect();
        let report = json!({ "queue": "q1", "dropped": 4, "samples": samples });
        let answer = client.post("/ingest/endpoints", &report);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    let slow = json!({ "gateways": { "measured": [{
        "family": "ipv4", "address": { "told": "192.0.2.1" }, "interface": "eth0",
        "echo": { "measured": { "sent": 10, "received": 6, "rtt_ms": 90.0 } }
    }] } });
    assert_eq!(send(1, &json!({}))["accepted"], 3);
    assert_eq!(send(1, &json!({}))["known"], 3, "sent again it is the same");
    assert_eq!(send(4, &slow)["accepted"], 3);
    let raised = within("an incident", WHILE, || {
        let list = berlin.get("/v1/incidents");
        let of =
            |item: &&Value| item.to_string().contains("branch-7") && item["state"] != "resolved";
        list["items"].as_array()?.iter().find(of).cloned()
    });
    assert_eq!(raised["planes"], json!(["endpoint"]), "{raised}");
    assert!(raised["title"].to_string().contains("local: gateway 192.0.2.1"), "{raised}");
    let list = berlin.get("/v1/endpoints?attribution=local");
    assert_eq!(list["items"][0]["name"], "branch-7", "{list}");
    assert_eq!(list["items"][0]["layers"][1]["state"], "impaired", "{list}");
    let printed = berlin.place.holm(&["endpoint", "list", "--attribution", "local"]).succeeded();
    assert!(printed.contains("branch-7") && printed.contains("6 of 10 echoes"), "{printed}");
    assert_eq!(send(7, &json!({}))["accepted"], 3);
    let states = within("it is over", WHILE, || {
        let rows = berlin.get("/v1/rows?table=signals&limit=100");
        let rows = rows["items"].as_array()?.iter().map(|row| &row["columns"]);
        let ours = rows.filter(|columns| columns["plane"] == "endpoint");
        let states: Vec<String> = ours.map(|columns| columns["state"].to_string()).collect();
        (states.len() >= 2).then_some(states)
    });
    assert_eq!(states, ["\"cleared\"", "\"raised\""], "once each, the latest first");

    // One bad sample is refused by itself; a report that is none, as a whole.
    let future = a_sample(now_ms() + 3_600_000, &json!({}));
    let report = json!({ "queue": "q1", "dropped": 0, "samples": [
        { "sequence": 10, "sample": future }, { "sequence": 11, "sample": a_sample(now_ms(), &json!({})) },
    ] });
    let told = client.post("/ingest/endpoints", &report).json();
    assert_eq!(
        (&told["accepted"], &told["refused"][0]["sequence"]),
        (&json!(1), &json!(10)),
        "{told}"
    );
    assert!(told["refused"][0]["why"].to_string().contains("clock"), "{told}");
    for bad in [json!({}), json!({ "queue": "Q-1", "dropped": 0, "samples": [] }), json!([])] {
        assert_eq!(client.post("/ingest/endpoints", &bad).status, 422, "{bad}");
    }
    // The token writes its own samples and reads nothing; other credentials write none.
    assert_eq!(client.get("/v1/endpoints").status, 401);
    assert_eq!(berlin.place.client().post("/ingest/endpoints", &report).status, 401);
    let shown = berlin.get("/v1/endpoints/branch-7");
    assert_eq!(shown["counts"]["refused"], 1, "{shown}");
    assert_eq!(shown["counts"]["known"], 3, "{shown}");
    let metrics = berlin.place.client().get("/metrics").body;
    assert!(
        metrics.contains("holm_endpoint_samples_known_total{tenant=\"default\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("holm_endpoint_reports_refused_total{reason=\"body\"} 3"),
        "{metrics}"
    );

    // What was taken is known after a power cut, too.
    let berlin = berlin.kill().start();
    let again = berlin.place.client().with_token(&token).post("/ingest/endpoints", &report).json();
    assert_eq!((&again["known"], &again["accepted"]), (&json!(2), &json!(0)), "{again}");
}

#[test]
fn one_sample_needs_no_node() {
    let printed =
        holm(&["agent", "once", "--trace", "127.0.0.1", "--private", "--json"]).succeeded();
    let read: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(read["judgement"]["layers"].as_array().expect("layers").len(), 4, "{printed}");
    assert_eq!(read["sample"]["hostname"], "withheld", "{printed}");
    let printed = holm(&["agent", "once"]).succeeded();
    assert!(printed.contains("gateway") && printed.contains("not traced"), "{printed}");
    let dir = tempfile::tempdir().expect("a folder");
    let bad = dir.path().join("agent.toml");
    std::fs::write(&bad, "[thresholds]\ngateway_loss = 2.0\n").expect("written");
    let bad = bad.to_str().expect("a path");
    holm(&["agent", "once", "--config", bad]).failed_naming(&["gateway_loss", "0.001 to 1"]);
}

/// Machine, gateway, provider and target, each in a network namespace of its own.
struct Way(String);

impl Way {
    fn name(&self, of: &str) -> String {
        format!("he{}{of}", self.0)
    }

    fn lay() -> Option<Self> {
        let way = Self(std::process::id().to_string());
        let links = [
            ("m", "10.77.0.2/24", "g", "10.77.0.1/24"),
            ("g", "198.51.100.1/30", "i", "198.51.100.2/30"),
            ("i", "203.0.113.1/30", "t", "203.0.113.2/30"),
        ];
        for of in ["m", "g", "i", "t"] {
            let name = way.name(of);
            if !ip(&["netns", "add", &name]) || !ip(&["-n", &name, "link", "set", "lo", "up"]) {
                return None;
            }
            let settings = [
                "net.ipv4.ip_forward=1",
                "net.ipv4.icmp_ratelimit=0",
                "net.ipv4.icmp_msgs_per_sec=10000",
            ];
            for setting in settings {
                // What cannot be set shows in what is measured.
                ip(&["netns", "exec", &name, "sysctl", "-qw", setting]);
            }
        }
        for (near, near_address, far, far_address) in links {
            let (near_end, far_end) = (format!("to{far}"), format!("to{near}"));
            let (near, far) = (way.name(near), way.name(far));
            let laid = ip(&[
                "-n", &near, "link", "add", &near_end, "type", "veth", "peer", "name", &far_end,
                "netns", &far,
            ]) && ip(&["-n", &near, "addr", "add", near_address, "dev", &near_end])
                && ip(&["-n", &far, "addr", "add", far_address, "dev", &far_end])
                && ip(&["-n", &near, "link", "set", &near_end, "up"])
                && ip(&["-n", &far, "link", "set", &far_end, "up"]);
            if !laid {
                return None;
            }
        }
        let [m, g, i, t] = ["m", "g", "i", "t"].map(|of| way.name(of));
        let routed = ip(&["-n", &m, "route", "add", "default", "via", "10.77.0.1"])
            && ip(&["-n", &g, "route", "add", "default", "via", "198.51.100.2"])
            && ip(&["-n", &i, "route", "add", "10.77.0.0/24", "via", "198.51.100.1"])
            && ip(&["-n", &t, "route", "add", "default", "via", "203.0.113.1"])
            && ip(&["-n", &i, "route", "add", "203.0.113.9/32", "via", "203.0.113.2"])
            && ip(&["-n", &t, "addr", "add", "203.0.113.9/32", "dev", "lo"]);
        // This machine's resolvers are not of that network.
        let folder = format!("/etc/netns/{m}");
        let apart = std::fs::create_dir_all(&folder).is_ok()
            && std::fs::write(format!("{folder}/resolv.conf"), "").is_ok();
        (routed && apart).then_some(way)
    }

    fn blamed(&self, config: &Path) -> Value {
        let ran = Command::new("ip")
            .args([
                "netns",
                "exec",
                &self.name("m"),
                env!("CARGO_BIN_EXE_holm"),
                "agent",
                "once",
                "--json",
                "--config",
            ])
            .arg(config)
            .output()
            .expect("ip runs");
        serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&ran.stderr)))
    }

    fn rule(&self, at: &str, hook: &str, rule: &str) {
        let rules = format!(
            "flush ruleset; add table ip lab; add chain ip lab c {{ type filter hook {hook} priority 0; }}; \
             add rule ip lab c {rule}"
        );
        assert!(nft(&self.name(at), &rules), "{rules}");
    }

    fn clear(&self, at: &str) {
        assert!(nft(&self.name(at), "flush ruleset"));
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(format!("/etc/netns/{}", self.name("m")));
        for of in ["m", "g", "i", "t"] {
            let name = self.name(of);
            ip(&["netns", "del", &name]);
        }
    }
}

#[test]
fn the_part_that_loses_is_the_part_to_blame() {
    let Some(way) = Way::lay() else {
        eprintln!("skipped: network namespaces cannot be laid here; it needs root and ip");
        return;
    };
    if !nft(&way.name("g"), "flush ruleset") {
        eprintln!("skipped: nft cannot be used here");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("agent.toml");
    std::fs::write(
        &config,
        "trace_target = \"203.0.113.2\"\n\
         [thresholds]\ngateway_rtt_ms = 5000.0\nisp_rtt_ms = 5000.0\ncheck_ms = 5000.0\n\
         [[targets]]\nname = \"one\"\nprobe = \"icmp\"\ntarget = \"203.0.113.2\"\n\
         [[targets]]\nname = \"two\"\nprobe = \"icmp\"\ntarget = \"203.0.113.9\"\n",
    )
    .expect("written");
    let blamed = |what: &str, wanted: &str| {
        let found = within(what, WHILE, || {
            let found = way.blamed(&config);
            (found["judgement"]["attribution"] == wanted).then_some(found)
        });
        found["judgement"].clone()
    };
    let fine = blamed("all is fine", "none");
    let states: Vec<&Value> =
        fine["layers"].as_array().expect("layers").iter().map(|layer| &layer["state"]).collect();
    assert_eq!(states, ["absent", "fine", "fine", "fine"], "{fine}");

    // Every second echo to the gateway is lost.
    way.rule("g", "input", "icmp type echo-request numgen inc mod 2 0 drop");
    let local = blamed("the gateway loses", "local");
    assert!(local["evidence"][0].to_string().contains("10.77.0.1"), "{local}");
    way.clear("g");

    way.rule("i", "input", "icmp type echo-request numgen inc mod 2 0 drop");
    let isp = blamed("the provider loses", "isp");
    assert!(isp["evidence"][0].to_string().contains("198.51.100.2"), "{isp}");
    assert_eq!(isp["layers"][1]["state"], "fine", "{isp}");
    way.clear("i");

    // What lies behind the provider's edge is cut off.
    way.rule("i", "forward", "ip daddr { 203.0.113.2, 203.0.113.9 } drop");
    let network = blamed("the network behind is cut", "network");
    assert_eq!(network["layers"][2]["state"], "fine", "{network}");
    way.rule("i", "forward", "ip daddr 203.0.113.9 drop");
    let target = blamed("one target is cut", "target");
    assert_eq!(target["layers"][2]["state"], "fine", "{target}");
}
