//! A site whose clock is an hour ahead: what it judges is dated by the others' clocks; and clocks that are set.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::raw::metric;
use crate::common::{Lab, Running, agree, eventually, within};

const WHILE: Duration = Duration::from_secs(120);
const CORRECTED: &str = "holm_incident_clock_corrected_ms{tenant=\"default\"}";

/// A clock that is ahead by what stands in a file, for nodes that are started with it.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    fn new(lab: &Lab) -> Self {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/clocks/ahead.c");
        let (library, file) = (lab.path().join("ahead.so"), lab.path().join("ahead"));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source);
        let made = compiler.output().expect("cc runs: the build needs a C compiler too");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { library, file }
    }

    fn set_ahead(&self, seconds: i64) {
        // At once: what is read in between is whole.
        let next = self.file.with_extension("next");
        std::fs::write(&next, seconds.to_string()).expect("written");
        std::fs::rename(next, &self.file).expect("moved");
    }

    fn variables(&self) -> [(&str, &str); 2] {
        let text = |path: &'_ PathBuf| path.to_str().expect("a path").to_owned().leak() as &str;
        [("LD_PRELOAD", text(&self.library)), ("AHEAD", text(&self.file))]
    }
}

fn about_lima(node: &Running) -> Vec<Value> {
    let found = node.get("/v1/incidents?state=all&target=site:lima");
    found["items"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_fault_that_a_site_with_a_wrong_clock_sees_too_is_one_incident_and_stays_resolved() {
    let lab = Lab::new();
    let clock = Clock::new(&lab);
    clock.set_ahead(3_600);
    let berlin = lab.found("berlin").start();
    let lima = lab.join(&berlin, "lima").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &lima, &tokyo]);
    assert_eq!(metric(&tokyo, CORRECTED), 0);

    let tokyo = tokyo.stop();
    let tokyo = tokyo.start_with(&clock.variables());
    let corrected = eventually("tokyo knows that it is the one", || {
        Some(metric(&tokyo, CORRECTED)).filter(|ms| *ms > 0)
    });
    assert!(corrected.abs_diff(3_600_000) < 2_000, "{corrected}");

    // With lima gone nobody is left to tell; what tokyo knows holds on.
    drop(lima.kill());
    let both = |node: &Running| {
        let mut found = about_lima(node);
        let is_both = found.len() == 1 && found[0]["sites"] == json!(["berlin", "tokyo"]);
        is_both.then(|| found.remove(0))
    };
    let incident = eventually("both report it, as one incident", || both(&berlin));
    let now = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
    let opened = incident["opened_at"].as_str().expect("a time").to_owned();
    assert!(opened <= now, "{opened} is yet to come: it is {now}");
    let there = eventually("the same at tokyo", || both(&tokyo));
    assert_eq!((&there["id"], &there["opened_at"]), (&incident["id"], &incident["opened_at"]));

    let path = format!("/v1/incidents/{}/resolve", incident["id"].as_str().expect("an id"));
    let answer = berlin.place.client().post(&path, &json!({ "text": "known" }));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let state = |node: &Running| about_lima(node)[0]["state"].clone();
    eventually("resolved at tokyo too", || (state(&tokyo) == "resolved").then_some(()));
    assert_eq!(state(&berlin), "resolved");

    // Set right, it goes by its own clock again.
    clock.set_ahead(0);
    assert_eq!(metric(&tokyo, CORRECTED), 0);
    let tokyo = tokyo.stop().start();
    assert_eq!((metric(&tokyo, CORRECTED), state(&tokyo)), (0, json!("resolved")));
}

#[test]
fn a_clock_that_is_set_back_does_not_stop_alert_rules_and_one_set_forward_invents_no_silence() {
    let lab = Lab::new();
    let clock = Clock::new(&lab);
    clock.set_ahead(0);
    let probes = [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_INTERVAL", "1s")];
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start_with(&[probes, clock.variables()].concat());
    agree(&[&berlin, &tokyo]);
    let rule = |name: &str, of: &str, condition: &str| {
        format!(
            "kind: AlertRule\nname: {name}\ntable: active_results\n{of}value: count\nwindow: 1m\nevery: 10s\n\
             condition: {{ {condition} }}\n---\n"
        )
    };
    let rules = [rule("bad", "where: NOT success\n", "above: 0"), rule("few", "", "below: 1")];
    let file = lab.path().join("rules.yaml");
    std::fs::write(&file, rules.concat()).expect("written");
    tokyo.place.holm(&["alert", "apply", "-f", file.to_str().expect("a path")]).succeeded();
    let as_of = |node: &Running| node.get("/v1/alerts")["as_of"].as_str().unwrap_or("").to_owned();
    let firing = |rule: &str| {
        let found = tokyo.get(&format!("/v1/alerts?rule={rule}&state=firing"));
        found["total"].as_u64().expect("a number")
    };
    within("rules are judged for a while", WHILE, || {
        let rows = metric(&tokyo, "holm_alert_rows_total{tenant=\"default\"}");
        (rows > 30).then_some(())
    });
    for ahead in [3_600, 0] {
        let before = as_of(&tokyo);
        clock.set_ahead(ahead);
        let set = within("it is judged by the new time", WHILE, || {
            Some(as_of(&tokyo)).filter(|now| if ahead > 0 { *now > before } else { *now < before })
        });
        within("and goes on", WHILE, || (as_of(&tokyo) > set).then_some(()));
        assert_eq!((firing("bad"), firing("few")), (0, 0), "probes have not paused");
    }
    drop(berlin.kill());
    within("what fails after it fires", WHILE, || (firing("bad") > 0).then_some(()));
    assert_eq!(firing("few"), 0);
}
