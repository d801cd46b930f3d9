//! Alert rules over probes of two sites: judged where the rows are, seen everywhere, in incidents and out of them,
//! silenced, and kept in a folder of files.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Client, Lab, Running, agree, eventually, within};

/// Probes each second, so that there is something to judge.
const PROBES: [(&str, &str); 2] =
    [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_INTERVAL", "1s")];
const WHILE: Duration = Duration::from_secs(180);

/// A rule over probes that fires from the first one on.
fn rule(name: &str, more: &str) -> String {
    format!(
        "kind: AlertRule\nname: {name}\ntable: active_results\nby: [probe]\nvalue: count\nwindow: 1m\nevery: 10s\n\
         condition: {{ above: 0 }}\n{more}"
    )
}

fn send(client: &Client, method: &str, path: &str, text: &str) -> Answer {
    client.ask(method, path, &[], text).expect("an answer")
}

fn send_json(client: &Client, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    client.ask("POST", path, &headers, &body.to_string()).expect("an answer")
}

/// What fires of a rule, as `site`.
fn firing(node: &Running, rule: &str, site: &str) -> Option<Value> {
    let found = node.get(&format!("/v1/alerts?rule={rule}&site={site}&state=firing"));
    found["items"].as_array()?.first().cloned()
}

#[test]
fn what_fires_at_one_site_is_seen_at_both_and_ends_in_an_incident() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBES);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBES);
    agree(&[&berlin, &tokyo]);
    assert_eq!(berlin.get("/v1/alerts")["total"], 0);

    let path = berlin.place.dir.join("rules.yaml");
    let text = rule("busy", "severity: critical\nlabels: { team: net }\nfor: 10s\n");
    std::fs::write(&path, text).expect("written");
    let path = path.to_str().expect("a path");
    let applied = berlin.place.holm(&["alert", "apply", "-f", path]).succeeded();
    assert_eq!(applied, "busy: created\n");
    let again = berlin.place.holm(&["alert", "apply", "-f", path]).succeeded();
    assert_eq!(again, "busy: unchanged\n");

    // Each site judges its own rows, and each sees both.
    for node in [&berlin, &tokyo] {
        for site in ["berlin", "tokyo"] {
            let alert = within("it fires, as both say", WHILE, || firing(node, "busy", site));
            assert_eq!(alert["severity"], "critical", "{alert}");
            assert!(alert["group"]["probe"].is_string(), "{alert}");
            assert!(alert["since"].as_str() < alert["fired_at"].as_str(), "{alert}");
        }
    }
    let incident = within("it is in an incident", WHILE, || {
        let alert = firing(&tokyo, "busy", "berlin")?;
        alert["incident"]["id"].as_str().map(str::to_owned)
    });
    let incident = eventually("both sites are in it", || {
        let found = tokyo.get(&format!("/v1/incidents/{incident}"));
        (found["incident"]["sites"].as_array()?.len() == 2).then_some(found)
    });
    assert_eq!(incident["incident"]["planes"], json!(["alert"]), "{incident}");

    // A silence of one site ends what that site says, and nothing else.
    let made = berlin.place.holm(&[
        "alert",
        "silence",
        "rule=bus*",
        "site=berlin",
        "--for",
        "1h",
        "--comment",
        "works",
        "--json",
    ]);
    let made: Value = serde_json::from_str(&made.succeeded()).expect("JSON");
    let silenced = within("silenced at berlin, as tokyo sees", WHILE, || {
        let found = tokyo.get("/v1/alerts?rule=busy&site=berlin&state=silenced");
        found["items"].as_array()?.first().cloned()
    });
    assert_eq!(silenced["silenced_by"], made["id"], "{silenced}");
    assert!(firing(&berlin, "busy", "tokyo").is_some(), "tokyo fires on");
    let listed = eventually("it is listed with what it silences", || {
        let found = tokyo.get("/v1/alerts/silences")["items"][0].clone();
        (found["silences"].as_u64()? >= 1).then_some(found)
    });
    assert_eq!((&listed["state"], &listed["comment"]), (&json!("on"), &json!("works")));
    berlin.place.holm(&["alert", "unsilence", made["id"].as_str().expect("it")]).succeeded();
    within("it fires again", WHILE, || firing(&tokyo, "busy", "berlin"));

    // A restart judges from the rows that there are, and opens nothing anew.
    let before = firing(&berlin, "busy", "berlin").expect("there");
    let berlin = berlin.stop().start_with(&PROBES);
    let after = within("it fires after a restart", WHILE, || {
        firing(&berlin, "busy", "berlin").filter(|alert| alert["incident"].is_object())
    });
    assert_eq!(after["incident"]["id"], before["incident"]["id"], "{after}");
    let text = berlin.place.holm(&["alert", "rules"]).succeeded();
    assert!(text.contains("busy") && text.contains("firing"), "{text}");
    let text = berlin.place.holm(&["alert", "show", "busy"]).succeeded();
    assert!(text.contains("at berlin/") && text.contains("at tokyo/"), "{text}");
    let metrics = berlin.place.client().get("/metrics").body;
    assert!(metrics.contains("holm_alert_rows_total{"), "{metrics}");

    // Taken away, it is over.
    berlin.place.holm(&["alert", "delete", "busy"]).succeeded();
    for node in [&berlin, &tokyo] {
        within("over at both", WHILE, || (node.get("/v1/alerts")["total"] == 0).then_some(()));
    }
    within("its incident clears", WHILE, || {
        let found = tokyo.get("/v1/incidents");
        let items = found["items"].as_array()?.clone();
        items.iter().all(|incident| incident["firing"] == false).then_some(())
    });
}

#[test]
fn what_is_wrong_is_refused_with_its_place_and_nothing_is_kept() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBES);
    // There is somebody to probe.
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let admin = berlin.place.client();
    let good = rule("busy", "");
    for (text, says) in [
        (
            good.replace("above: 0", "above: much"),
            "line 8, column 21: condition.above: much is no number",
        ),
        (format!("{good}colour: red\n"), "line 9, column 1: colour: it is not evaluated here"),
        (format!("{good}where: probe = \n"), "a value is missing"),
        ("kind: SLO\n".into(), "SLO is not read here"),
        (":".repeat(9), "line 1"),
    ] {
        let answer = send(&admin, "POST", "/v1/alerts/rules", &text);
        assert_eq!(answer.status, 422, "{text}: {}", answer.body);
        assert!(answer.error().1.contains(says), "{says}: {}", answer.body);
        let checked = send(&admin, "POST", "/v1/alerts/check", &text).json();
        assert!(checked["problems"][0]["line"].as_u64() >= Some(1), "{checked}");
    }
    let round = "kind: AlertRule\nname: a\ncomposite: { any: [b] }\n---\nkind: AlertRule\nname: b\ncomposite: { any: [a] }\n";
    let answer = send(&admin, "POST", "/v1/alerts/rules", round);
    assert!(answer.status == 422 && answer.body.contains("a → b → a"), "{}", answer.body);
    assert_eq!(berlin.get("/v1/alerts/rules")["total"], 0, "all or none");
    assert_eq!(send(&admin, "PUT", "/v1/alerts/rules/other", &good).status, 422);
    assert_eq!(send(&admin, "POST", "/v1/alerts/rules", &"x".repeat(300_000)).status, 413);
    assert_eq!(admin.get("/v1/alerts/rules/nothing").status, 404);
    assert_eq!(send(&admin, "DELETE", "/v1/alerts/rules/nothing", "").status, 404);
    assert_eq!(send(&admin, "DELETE", "/v1/alerts/silences/nothing", "").status, 404);
    assert_eq!(admin.get("/v1/alerts?colour=red").status, 400);
    let all = json!({ "matchers": { "rule": "*" }, "until": "2030-01-01T00:00:00Z" });
    let answer = send_json(&admin, "/v1/alerts/silences", &all);
    assert!(answer.status == 422 && answer.body.contains("everything"), "{}", answer.body);
    let all = json!({ "matchers": { "site": "**" }, "until": "2030-01-01T00:00:00Z" });
    let answer = send_json(&admin, "/v1/alerts/silences", &all);
    assert!(answer.status == 422 && answer.body.contains("everything"), "{}", answer.body);

    // A table that is not there is said, where it is applied and where it is judged.
    let odd = good.replace("active_results", "nowhere");
    let applied = send(&admin, "PUT", "/v1/alerts/rules/busy", &odd);
    assert_eq!(applied.status, 200, "{}", applied.body);
    let broken = eventually("it says why", || {
        let rule = berlin.get("/v1/alerts/rules/busy");
        (rule["state"] == "broken").then_some(rule)
    });
    assert!(
        broken["problem"].as_str().is_some_and(|why| why.contains("no table nowhere")),
        "{broken}"
    );
    let doctor = berlin.place.holm(&["doctor"]);
    assert!(doctor.out.contains("alert rule busy is not judged"), "{}", doctor.out);

    // A preview says how it would have been, and keeps nothing.
    let preview = within("there are rows to look at", WHILE, || {
        let body = json!({ "rule": good.replace("name: busy", "name: preview") });
        let answer = send_json(&admin, "/v1/alerts/preview", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let found = answer.json();
        (found["firings"].as_u64()? >= 1).then_some(found)
    });
    assert_eq!(preview["above"], 0.0, "{preview}");
    assert!(
        preview["groups"][0]["points"].as_array().is_some_and(|all| !all.is_empty()),
        "{preview}"
    );
    assert_eq!(admin.get("/v1/alerts/rules/preview").status, 404);
    // Of the time before there was a node nobody knows anything.
    let few = good
        .lines()
        .filter(|line| !["condition", "name", "by"].iter().any(|key| line.starts_with(key)))
        .chain(["name: preview", "condition: { below: 1 }"])
        .fold(String::new(), |text, line| format!("{text}{line}\n"));
    let ago = |hours: u64| (holm_model::Millis::now() - hours * 60 * 60_000).0;
    let body = json!({ "rule": few, "from": ago(24), "to": ago(1) });
    let answer = send_json(&admin, "/v1/alerts/preview", &body);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["firings"], 0, "{}", answer.body);

    // A composite of a rule that is not there is said where it is looked at and where it is applied.
    let busy_now = send(&admin, "PUT", "/v1/alerts/rules/busy", &good);
    assert_eq!(busy_now.status, 200, "{}", busy_now.body);
    let composite = "kind: AlertRule\nname: both\ncomposite: { all: [busy, no-such-rule] }\n";
    let checked = send(&admin, "POST", "/v1/alerts/check", composite).json();
    let text = checked["warnings"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains("there is no rule no-such-rule"), "{checked}");
    let sound = composite.replace("no-such-rule", "busy");
    let checked = send(&admin, "POST", "/v1/alerts/check", &sound).json();
    assert_eq!(checked["warnings"], json!([]), "what is there already is known: {checked}");
    let applied = send(&admin, "POST", "/v1/alerts/rules", composite).json();
    let text = applied["items"][0]["problem"].as_str().unwrap_or_default();
    assert!(text.contains("there is no rule no-such-rule"), "{applied}");

    let made = berlin.place.holm(&["api-token", "create", "--name", "eyes", "--json"]).succeeded();
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let viewer =
        Client::without_token(&berlin.place).with_token(made["token"].as_str().expect("it"));
    assert_eq!(viewer.get("/v1/alerts").status, 200);
    assert_eq!(send(&viewer, "POST", "/v1/alerts/rules", &good).status, 403);
    assert_eq!(send(&viewer, "DELETE", "/v1/alerts/rules/busy", "").status, 403);
}

#[test]
fn a_folder_of_files_is_applied_as_it_stands() {
    let lab = Lab::new();
    let folder = lab.path().join("policies");
    std::fs::create_dir_all(&folder).expect("made");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    let slo = "apiVersion: openslo/v1\nkind: SLO\nmetadata: { name: shop }\nspec:\n  service: shop\n  indicator:\n    \
               metadata: { name: up }\n    spec: { ratioMetric: { good: { metricSource: { type: holm, spec: { table: \
               active_results, where: success } } }, total: { metricSource: { type: holm, spec: { table: \
               active_results } } } } }\n  timeWindow: [{ duration: 30d, isRolling: true }]\n  budgetingMethod: \
               Occurrences\n  objectives: [{ target: 0.9 }]\n";
    write("net.yaml", &format!("{}---\n{}", rule("busy", ""), rule("other", "")));
    write("shop.yaml", slo);
    let path = folder.to_str().expect("a path");
    let folder_set = [("HOLM_POLICIES_FOLDER", path)];
    let berlin = lab.found("berlin").start_with(&folder_set);
    let tokyo = lab.join(&berlin, "tokyo").start();
    let names = |node: &Running| -> Vec<String> {
        let found = node.get("/v1/alerts/rules");
        let items = found["items"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> =
            items.iter().filter_map(|item| Some(item["name"].as_str()?.to_owned())).collect();
        names.sort();
        names
    };
    for node in [&berlin, &tokyo] {
        eventually("the files' rules are there", || {
            (names(node) == ["busy", "other"]).then_some(())
        });
        eventually("and the SLO", || {
            (node.place.client().get("/v1/slos/shop").status == 200).then_some(())
        });
    }

    // What a file holds is edited there, at whichever node somebody tries.
    for node in [&berlin, &tokyo] {
        let client = node.place.client();
        for (method, path, text) in [
            ("PUT", "/v1/alerts/rules/busy", rule("busy", "for: 1m\n")),
            ("DELETE", "/v1/alerts/rules/busy", String::new()),
            ("DELETE", "/v1/slos/shop", String::new()),
        ] {
            let answer = send(&client, method, path, &text);
            assert_eq!(answer.status, 409, "{method} {path}: {}", answer.body);
            assert!(answer.body.contains(".yaml"), "it names the file: {}", answer.body);
        }
    }

    // A file that is wrong is refused whole, and what it said before stands.
    write(
        "net.yaml",
        &format!("{}---\n{}nonsense: 1\n", rule("busy", "for: 1m\n"), rule("new", "")),
    );
    let refused = eventually("it is refused, with its place", || {
        let found = berlin.get("/v1/alerts/rules");
        found["folder"]["refused"][0]["problems"][0].as_str().map(str::to_owned)
    });
    assert!(refused.contains("line 19, column 1: nonsense"), "{refused}");
    assert_eq!(names(&berlin), ["busy", "other"]);
    let text = berlin.place.holm(&["alert", "rules"]).succeeded();
    assert!(text.contains("net.yaml is refused"), "{text}");
    assert!(berlin.place.holm(&["doctor"]).out.contains("net.yaml is refused"));
    assert!(berlin.place.client().get("/metrics").body.contains("holm_policy_files_refused"));

    // So after a restart, too.
    let berlin = berlin.stop().start_with(&folder_set);
    eventually("it is refused still", || {
        berlin.get("/v1/alerts/rules")["folder"]["refused"][0]["path"].as_str().map(drop)
    });
    assert_eq!(names(&berlin), ["busy", "other"]);
    for (method, text) in [("PUT", rule("busy", "for: 1m\n")), ("DELETE", String::new())] {
        let client = berlin.place.client();
        let answer = send(&client, method, "/v1/alerts/rules/busy", &text);
        assert_eq!(answer.status, 409, "what the refused file said stands: {}", answer.body);
        assert!(answer.body.contains("net.yaml"), "it names the file: {}", answer.body);
    }

    // Corrected, it counts; what is gone from it goes.
    write("net.yaml", &rule("new", ""));
    eventually("the file counts again", || (names(&tokyo) == ["new"]).then_some(()));
    std::fs::remove_file(folder.join("shop.yaml")).expect("removed");
    eventually("the SLO goes with its file", || {
        (tokyo.place.client().get("/v1/slos/shop").status == 404).then_some(())
    });
    drop(berlin);
}

/// The names of the rules that a node knows.
fn names(node: &Running) -> Vec<String> {
    let found = node.get("/v1/alerts/rules");
    let items = found["items"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> =
        items.iter().filter_map(|item| Some(item["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

/// Why a node's folder refuses a file.
fn refused(node: &Running, file: &str) -> Option<String> {
    let found = node.get("/v1/alerts/rules");
    let files = found["folder"]["refused"].as_array()?.clone();
    let file = files.iter().find(|one| one["path"] == *file)?;
    Some(file["problems"][0].as_str()?.to_owned())
}

#[test]
fn folders_at_two_sites_that_say_the_same_are_no_conflict() {
    let lab = Lab::new();
    let folders = [lab.path().join("a"), lab.path().join("b")];
    for folder in &folders {
        std::fs::create_dir_all(folder).expect("made");
        std::fs::write(folder.join("net.yaml"), rule("busy", "")).expect("written");
    }
    let set = |n: usize| [("HOLM_POLICIES_FOLDER", folders[n].to_str().expect("a path"))];
    let berlin = lab.found("berlin").start_with(&set(0));
    eventually("berlin applies it", || (names(&berlin) == ["busy"]).then_some(()));
    let tokyo = lab.join(&berlin, "tokyo").start_with(&set(1));
    agree(&[&berlin, &tokyo]);
    for node in [&berlin, &tokyo] {
        eventually("both have it", || (names(node) == ["busy"]).then_some(()));
        assert_eq!(node.get("/v1/alerts/rules")["items"][0]["conflicts"], 0);
    }

    // Whose folder says something else is told so, with both names; what stands stays.
    std::fs::write(folders[1].join("net.yaml"), rule("busy", "for: 7m\n")).expect("written");
    let why = within("tokyo's is refused", WHILE, || refused(&tokyo, "net.yaml"));
    assert!(why.contains("at berlin/n1") && why.contains("at tokyo/n1"), "{why}");
    assert!(why.contains("let both say the same"), "{why}");
    let shown = || berlin.get("/v1/alerts/rules/busy").to_string();
    assert!(!shown().contains("7m"), "{}", shown());
    // The other site follows: it is one policy again.
    std::fs::write(folders[0].join("net.yaml"), rule("busy", "for: 7m\n")).expect("written");
    within("nothing is refused any more", WHILE, || {
        refused(&tokyo, "net.yaml").is_none().then_some(())
    });
    assert_eq!(refused(&berlin, "net.yaml"), None);
    assert_eq!((names(&berlin), names(&tokyo)), (vec!["busy".to_owned()], vec!["busy".to_owned()]));
}

#[test]
fn what_one_folder_lets_go_of_and_another_holds_is_put_back_and_never_edited() {
    let lab = Lab::new();
    let folders = [lab.path().join("a"), lab.path().join("b")];
    let file = |n: usize| folders[n].join("net.yaml");
    for folder in &folders {
        std::fs::create_dir_all(folder).expect("made");
    }
    std::fs::write(file(0), rule("busy", "")).expect("written");
    let set = |n: usize| [("HOLM_POLICIES_FOLDER", folders[n].to_str().expect("a path"))];
    let berlin = lab.found("berlin").start_with(&set(0));
    eventually("berlin applies it", || (names(&berlin) == ["busy"]).then_some(()));
    let tokyo = lab.join(&berlin, "tokyo").start_with(&set(1));
    agree(&[&berlin, &tokyo]);
    eventually("tokyo has it", || (names(&tokyo) == ["busy"]).then_some(()));
    // Its folder says the same only now: berlin's edit stands alone.
    let theirs = format!("{}---\n{}", rule("busy", ""), rule("theirs", ""));
    std::fs::write(file(1), &theirs).expect("written");
    eventually("tokyo's counts", || (names(&tokyo) == ["busy", "theirs"]).then_some(()));
    // Nobody edits it meanwhile where a folder holds it, whether it stands or not.
    let written_by = |node: &Running, writer: &str| {
        within(&format!("{writer} holds it"), WHILE, || {
            let edit = rule("busy", "severity: info\n");
            let edited = send(&node.place.client(), "POST", "/v1/alerts/rules", &edit);
            assert_eq!(edited.status, 409, "{}", edited.body);
            assert!(edited.body.contains("net.yaml"), "it names the file: {}", edited.body);
            // From the one folder to the other it may be gone for a moment.
            let found = node.place.client().get("/v1/alerts/rules/busy");
            let by = format!("folder:net.yaml at {writer}");
            let is_there = found.status == 200;
            (is_there && found.json()["edited_by"].as_str()? == by).then_some(())
        });
    };
    written_by(&tokyo, "berlin/n1");
    std::fs::remove_file(file(0)).expect("removed");
    written_by(&tokyo, "tokyo/n1");
    agree(&[&berlin, &tokyo]);
    written_by(&berlin, "tokyo/n1");

    // So as well if the file that holds it still is refused by then: what it said before stands.
    let two = format!("{}---\n{}", rule("busy", ""), rule("mine", ""));
    std::fs::write(file(0), &two).expect("written");
    eventually("berlin's counts", || (names(&tokyo) == ["busy", "mine", "theirs"]).then_some(()));
    std::fs::remove_file(file(1)).expect("removed");
    std::fs::write(file(0), format!("{two}nonsense: 1\n")).expect("written");
    written_by(&berlin, "berlin/n1");
    eventually("berlin's is refused", || refused(&berlin, "net.yaml"));
    for node in [&berlin, &tokyo] {
        eventually("both stand", || (names(node) == ["busy", "mine"]).then_some(()));
    }
    // What a refused file names for the first time is that file's, too.
    std::fs::write(file(0), format!("{two}nonsense: 1\n---\n{}", rule("new", "")))
        .expect("written");
    // The folder is looked at every 3 s.
    std::thread::sleep(std::time::Duration::from_secs(10));
    let edited = send(&berlin.place.client(), "POST", "/v1/alerts/rules", &rule("new", ""));
    assert_eq!(edited.status, 409, "{}", edited.body);
}

#[test]
fn what_moves_between_files_of_a_folder_is_never_lost() {
    let lab = Lab::new();
    let folder = lab.path().join("policies");
    std::fs::create_dir_all(&folder).expect("made");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("written");
    let remove = |name: &str| std::fs::remove_file(folder.join(name)).expect("removed");
    write("a.yaml", &format!("{}---\n{}", rule("busy", ""), rule("other", "")));
    let set = [("HOLM_POLICIES_FOLDER", folder.to_str().expect("a path"))];
    let berlin = lab.found("berlin").start_with(&set);
    let both = ["busy", "other"];
    eventually("it is applied", || (names(&berlin) == both).then_some(()));
    let file_of = |node: &Running, rule: &str| {
        let found = node.get(&format!("/v1/alerts/rules/{rule}"));
        found["file"].as_str().map(str::to_owned)
    };

    // It moves, and is of the new file at once: also when that is broken then, and the node starts again.
    write("a.yaml", &rule("other", ""));
    write("b.yaml", &rule("busy", ""));
    eventually("it is of the other file", || {
        file_of(&berlin, "busy")?.contains("b.yaml").then_some(())
    });
    write("b.yaml", &format!("{}nonsense: 1\n", rule("busy", "")));
    eventually("b.yaml is refused", || refused(&berlin, "b.yaml"));
    let berlin = berlin.stop().start_with(&set);
    eventually("it is refused still", || refused(&berlin, "b.yaml"));
    // What stood in a.yaml may stand in b.yaml now: nobody can tell.
    write("a.yaml", "# nothing\n");
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(names(&berlin), both);
    write("b.yaml", &format!("{}---\n{}", rule("busy", ""), rule("other", "")));
    eventually("mended, it counts", || refused(&berlin, "b.yaml").is_none().then_some(()));
    assert_eq!(names(&berlin), both);

    // A link that leads nowhere is a file that cannot be read, not one that was removed.
    remove("b.yaml");
    std::os::unix::fs::symlink("nowhere.yaml", folder.join("b.yaml")).expect("made");
    let why = eventually("it says so", || refused(&berlin, "b.yaml"));
    assert!(why.contains("a link that leads nowhere"), "{why}");
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(names(&berlin), both, "what it held stands");
    remove("b.yaml");
    eventually("removed, they go", || names(&berlin).is_empty().then_some(()));
}
