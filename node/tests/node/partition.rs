//! The whole story of a split: an outage burns a budget, the mesh is cut in two, both halves go on judging, people
//! act on both sides, and when they hear each other again there is one incident, one sum, and no page too many.
//!
//! Real processes in network namespaces; six minutes of the clock, since minutes are counted when they are over.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Lab, Running, eventually, within};
use crate::lab::{Net, SITES, mesh_with};
use crate::pages::PagerDuty;

/// Until a minute was counted, twice, on a machine that does other things too.
const MINUTES: Duration = Duration::from_secs(300);
/// Longer than a pager that went is waited for.
const SETTLES: Duration = Duration::from_secs(45);
const PROBES: [(&str, &str); 2] =
    [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_INTERVAL", "1s")];
/// Where each site finds PagerDuty: in a namespace of its own, loopback is its own.
const PAGERDUTY: &str = "127.0.0.1:9099";
const KEY: &str = "0123456789abcdef0123456789abcdef";

/// An SLO over the probes that `chosen` chooses.
fn slo_file(name: &str, chosen: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: {name} }}\nspec:\n  service: {name}\n  \
         indicator:\n    metadata: {{ name: answers }}\n    spec:\n      ratioMetric:\n        \
         good: {{ metricSource: {{ type: holm, spec: {{ table: active_results, where: \"{chosen} AND success\" }} }} }}\n        \
         total: {{ metricSource: {{ type: holm, spec: {{ table: active_results, where: \"{chosen}\" }} }} }}\n  \
         timeWindow: [{{ duration: 30d, isRolling: true }}]\n  budgetingMethod: Occurrences\n  \
         objectives: [{{ target: 0.999 }}]\n"
    )
}

fn objective(node: &Running, slo: &str) -> Option<Value> {
    let answer = node.place.client().get(&format!("/v1/slos/{slo}"));
    (answer.status == 200).then(|| answer.json()["objectives"][0].clone())
}

/// What a site counted, as `node` knows it.
fn counted(node: &Running, slo: &str, site: &str) -> Option<f64> {
    let objective = objective(node, slo)?;
    let sites = objective["sites"].as_array()?;
    sites.iter().find(|of| of["site"] == site)?["events"].as_f64()
}

/// The incidents about a service.
fn incidents(node: &Running, service: &str) -> Vec<Value> {
    let found = node.get("/v1/incidents?state=all");
    let target = json!(format!("service:{service}"));
    let items = found["items"].as_array().cloned().unwrap_or_default();
    let about = |item: &Value| item["targets"].as_array().is_some_and(|all| all.contains(&target));
    items.into_iter().filter(about).collect()
}

fn the_incident(node: &Running, service: &str) -> Option<Value> {
    incidents(node, service).pop()
}

fn act(node: &Running, id: &str, verb: &str, text: &str) {
    let path = format!("/v1/incidents/{id}/{verb}");
    let answer = node.place.client().post(&path, &json!({ "text": text }));
    assert_eq!(answer.status, 200, "{verb}: {}", answer.body);
}

/// The triggers that came to the providers of these sites, by key.
fn triggers(providers: &[PagerDuty], sites: &[usize]) -> Vec<String> {
    let mut all: Vec<String> =
        sites.iter().flat_map(|site| providers[*site].told("trigger")).collect();
    all.sort();
    all
}

/// Shown where the story fails: how far it came, and when.
fn step(what: &str) {
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    println!("{} s: {what}", at.map_or(0, |at| at.as_secs()));
}

#[test]
fn both_halves_of_a_split_judge_and_end_with_one_incident_and_one_sum() {
    let Some(net) = Net::new() else { return };
    step("begins");
    let lab = Lab::new();
    let providers: Vec<PagerDuty> =
        (0..SITES.len()).map(|site| PagerDuty::on(net.listen(site, PAGERDUTY))).collect();
    let mut nodes = mesh_with(&lab, &net, SITES.len(), &PROBES);
    let key = lab.path().join("key");
    std::fs::write(&key, KEY).expect("written");
    let athens = &nodes[0].place;
    let connector = ["page", "set", "connector", "ops", "--provider", "pagerduty"];
    let url = format!("http://{PAGERDUTY}");
    let to = ["--to-url", &url, "--secret-file", key.to_str().expect("a path")];
    athens.holm(&[&connector[..], &to[..]].concat()).succeeded();
    let route = ["page", "set", "route", "all", "--connector", "ops", "--about", "service:*"];
    athens.holm(&route).succeeded();
    for (name, chosen) in
        [("to-essen", "peer.site = 'essen'"), ("between", "NOT peer.site = 'essen'")]
    {
        let path = lab.path().join(name);
        std::fs::write(&path, slo_file(name, chosen)).expect("written");
        let file = path.to_str().expect("a path");
        athens.holm(&["slo", "apply", "-f", file]).succeeded();
    }
    for slo in ["to-essen", "between"] {
        within("enough is counted to judge by", MINUTES, || {
            let all = objective(&nodes[3], slo)?;
            let sites = all["sites"].as_array()?.len();
            (sites >= 4 && all["events"].as_f64()? >= 100.0).then_some(())
        });
    }

    step("all count; the outage");
    drop(nodes.pop().expect("essen").kill());
    let all = [0, 1, 2, 3];
    for node in &nodes {
        within("the budget burns", MINUTES, || {
            (objective(node, "to-essen")?["burns"][0]["held"] == true).then_some(())
        });
    }
    let id = within("all four report it, as one incident", MINUTES, || {
        let of: Option<Vec<Value>> =
            nodes.iter().map(|node| the_incident(node, "to-essen")).collect();
        let of = of?;
        let sites = of[0]["sites"].as_array()?.len();
        let same = of.iter().all(|one| one["id"] == of[0]["id"] && one["sites"] == of[0]["sites"]);
        (sites == 4 && same).then(|| of[0]["id"].as_str().map(str::to_owned))?
    });
    within("it is paged", MINUTES, || triggers(&providers, &all).first().cloned());
    within("all know that it is", MINUTES, || {
        let told = |node: &Running| {
            let detail = node.get(&format!("/v1/incidents/{id}"));
            detail["pages"][0]["state"] == "delivered"
        };
        nodes.iter().all(told).then_some(())
    });
    assert_eq!(triggers(&providers, &all), [&*id]);

    step("it burns, and is paged once; the cut");
    let before: Vec<f64> = SITES[..4]
        .iter()
        .zip(&nodes)
        .map(|(site, node)| counted(node, "between", site).expect("counted"))
        .collect();
    net.split(&[0, 1], &[2, 3]);
    act(&nodes[0], &id, "ack", "athens looks");
    act(&nodes[2], &id, "note", "cairo sees it too");
    for (node, far) in [(&nodes[1], "note"), (&nodes[3], "ack")] {
        let near = if far == "ack" { "note" } else { "ack" };
        eventually("the own half hears of it", || {
            let detail = node.get(&format!("/v1/incidents/{id}"));
            let of = |what: &str| {
                detail["timeline"].as_array().is_some_and(|t| t.iter().any(|e| e["what"] == what))
            };
            assert!(!of(far), "the other half cannot: {detail}");
            of(near).then_some(())
        });
    }
    for (site, node) in nodes.iter().enumerate() {
        within("what goes between the halves burns in each", MINUTES, || {
            let burns = objective(node, "between")?["burns"][0]["held"] == true;
            let spent = counted(node, "between", SITES[site])? > before[site];
            (burns && spent && the_incident(node, "between").is_some()).then_some(())
        });
    }
    for half in [[0, 1], [2, 3]] {
        // What was paged before the cut is of one of the halves too.
        within("each half pages", MINUTES, || {
            triggers(&providers, &half).iter().any(|key| **key != id).then_some(())
        });
    }

    let spent: Vec<f64> = SITES[..4]
        .iter()
        .zip(&nodes)
        .map(|(site, node)| counted(node, "between", site).expect("counted"))
        .collect();
    step("both halves judged, acted and paged; the heal");
    net.heal();
    for node in &nodes {
        within("both edits are there, in one incident", MINUTES, || {
            let detail = node.get(&format!("/v1/incidents/{id}"));
            let timeline = detail["timeline"].as_array()?;
            let by = |what: &str, site: &str| {
                let of = timeline.iter().find(|entry| entry["what"] == what);
                let by = of.and_then(|entry| entry["by"].as_str());
                by.is_some_and(|by| by.ends_with(&format!("at {site}")))
            };
            (by("ack", "athens") && by("note", "cairo")).then_some(())
        });
        within("one incident each", MINUTES, || {
            let one = |service| incidents(node, service).len() == 1;
            (one("to-essen") && one("between")).then_some(())
        });
    }
    // Counts go on, and each node judges once a minute: what each had spent by the heal is in all of them.
    for node in &nodes {
        within("the sum is of what both halves spent", MINUTES, || {
            let objective = objective(node, "between")?;
            let sites = objective["sites"].as_array()?;
            let sum: f64 = sites.iter().filter_map(|site| site["events"].as_f64()).sum();
            assert_eq!(objective["events"].as_f64(), Some(sum), "{objective}");
            let all = SITES[..4].iter().zip(&spent).all(|(site, spent)| {
                counted(node, "between", site).is_some_and(|events| events >= *spent)
            });
            all.then_some(())
        });
    }

    step("one incident, one sum; nothing may be told again by whoever would take over");
    std::thread::sleep(SETTLES);
    let told = triggers(&providers, &all);
    let of_first = told.iter().filter(|key| **key == id).count();
    assert_eq!(of_first, 1, "{told:?}");
    for half in [[0, 1], [2, 3]] {
        let of_half = triggers(&providers, &half);
        let of_second = of_half.iter().filter(|key| **key != id).count();
        assert_eq!(of_second, 1, "one page a half: {of_half:?}");
    }
    assert_eq!(incidents(&nodes[0], "to-essen").len(), 1);
}

impl Net {
    /// A socket that listens in the namespace of a site.
    fn listen(&self, site: usize, at: &str) -> TcpListener {
        let path = format!("/run/netns/{}", self.name(site));
        let at = at.to_owned();
        // A namespace is entered by one thread, and a socket stays where it was made.
        let made = std::thread::spawn(move || {
            let netns = std::fs::File::open(path).expect("the namespace");
            nix::sched::setns(netns, nix::sched::CloneFlags::CLONE_NEWNET).expect("entered");
            TcpListener::bind(at).expect("a port")
        });
        made.join().expect("it does not panic")
    }
}
