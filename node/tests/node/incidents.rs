//! A fault that two sites see is one incident, acknowledged once; what both halves of a mesh did to it
//! while they did not hear each other stands beside each other afterwards.

use serde_json::{Value, json};

use crate::common::{Client, Lab, Running, agree, eventually};

/// The incident about a site.
fn about(node: &Running, target: &str) -> Option<Value> {
    let found = node.get("/v1/incidents?state=all");
    let items = found["items"].as_array()?.clone();
    let is_it = |item: &Value| item["targets"].as_array().is_some_and(|all| all[0] == target);
    items.into_iter().find(is_it)
}

fn act(node: &Running, id: &str, verb: &str, body: &Value) -> Value {
    let answer = node.place.client().post(&format!("/v1/incidents/{id}/{verb}"), body);
    assert_eq!(answer.status, 200, "{verb}: {}", answer.body);
    answer.json()
}

#[test]
fn a_fault_of_several_sites_is_one_incident_and_edits_of_both_halves_survive() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let lima = lab.join(&berlin, "lima").start();
    agree(&[&berlin, &tokyo, &lima]);
    eventually("all views are there", || {
        let views = berlin.get("/v1/mesh")["views"].as_array()?.len();
        (views == 3).then_some(())
    });
    let none = berlin.get("/v1/incidents");
    assert_eq!((&none["total"], &none["states"]["open"]), (&json!(0), &json!(0)), "{none}");

    let lima = lima.kill();
    let reported = eventually("both report it, as one incident", || {
        let incident = about(&berlin, "site:lima")?;
        (incident["sites"] == json!(["berlin", "tokyo"])).then_some(incident)
    });
    let id = reported["id"].as_str().expect("an id").to_owned();
    assert_eq!(reported["state"], "open");
    assert_eq!((&reported["verdict"], &reported["firing"]), (&json!("target_down"), &json!(true)));
    assert_eq!(reported["severity"], "critical");
    let there = eventually("the same at tokyo", || {
        about(&tokyo, "site:lima").filter(|i| i["sites"] == json!(["berlin", "tokyo"]))
    });
    assert_eq!(there["id"], reported["id"]);

    act(&berlin, &id, "ack", &json!({ "text": "on it" }));
    eventually("acknowledged at tokyo too", || {
        (about(&tokyo, "site:lima")?["state"] == "acknowledged").then_some(())
    });
    let detail = tokyo.get(&format!("/v1/incidents/{id}"));
    assert_eq!(detail["joins"][0]["reason"], "same", "{detail}");
    let timeline = detail["timeline"].as_array().expect("a timeline");
    let acked = timeline.iter().find(|entry| entry["what"] == "ack").expect("the action");
    assert!(acked["by"].as_str().is_some_and(|by| by.ends_with("at berlin")), "{acked}");

    // The halves: one acts while the other is down, and the other way round.
    let berlin = berlin.stop();
    act(&tokyo, &id, "mitigate", &json!({ "text": "traffic moved" }));
    act(&tokyo, &id, "assign", &json!({ "owner": "grace" }));
    let tokyo = tokyo.stop();
    let berlin = berlin.start();
    assert_eq!(about(&berlin, "site:lima").expect("remembered")["state"], "acknowledged");
    act(&berlin, &id, "resolve", &json!({ "text": "given up" }));
    act(&berlin, &id, "assign", &json!({ "owner": "ada", "text": "the fan is loud" }));
    let tokyo = tokyo.start();
    for node in [&berlin, &tokyo] {
        let both = eventually("both edits are there", || {
            let incident = about(node, "site:lima")?;
            (incident["actions"] == 5).then_some(incident)
        });
        assert_eq!((&both["id"], &both["owner"]), (&json!(id), &json!("ada")), "the later one");
        // The state may have gone on by itself since: the sites that meet again look anew.
        let conflicts = both["conflicts"].as_array().expect("a list");
        let owners = conflicts.iter().find(|conflict| conflict["field"] == "owner");
        let owners = owners.unwrap_or_else(|| panic!("disputed: {both}"));
        let values = [&owners["actions"][0]["value"], &owners["actions"][1]["value"]];
        assert_eq!(values, ["ada", "grace"], "the one that stands is first");
        let detail = node.get(&format!("/v1/incidents/{id}"));
        let timeline = detail["timeline"].as_array().expect("a timeline");
        for what in ["ack", "mitigate", "resolve"] {
            assert!(timeline.iter().any(|entry| entry["what"] == what), "{what}: {detail}");
        }
    }
    act(&tokyo, &id, "assign", &json!({ "owner": "grace" }));
    eventually("settled at berlin", || {
        let incident = about(&berlin, "site:lima")?;
        let owner = |conflict: &Value| conflict["field"] == "owner";
        let settled = !incident["conflicts"].as_array()?.iter().any(owner);
        (settled && incident["owner"] == "grace").then_some(())
    });

    let listed = berlin.place.holm(&["incident", "list", "--all"]).succeeded();
    assert!(listed.contains(&id) && listed.contains("site lima is down"), "{listed}");
    berlin.place.holm(&["incident", "note", &id, "from the shell"]).succeeded();
    let shown = tokyo_shows(&tokyo, &id);
    assert!(shown.contains("both are about site:lima"), "{shown}");
    let metrics = berlin.place.client().get("/metrics").body;
    assert!(metrics.contains("holm_incident_actions{"), "{metrics}");
    let _lima = lima.start();
}

fn tokyo_shows(tokyo: &Running, id: &str) -> String {
    eventually("the note is at tokyo", || {
        let shown = tokyo.place.holm(&["incident", "show", id]).succeeded();
        shown.contains("from the shell").then_some(shown)
    })
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let lima = lab.join(&berlin, "lima").start();
    agree(&[&berlin, &tokyo, &lima]);
    // One that is silent could be down itself; of two it is this site.
    drop((tokyo.kill(), lima.kill()));
    let incident = eventually("berlin is cut off", || about(&berlin, "site:berlin"));
    let id = incident["id"].as_str().expect("an id").to_owned();
    let made = berlin.place.holm(&["api-token", "create", "--name", "eyes", "--json"]).succeeded();
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let viewer =
        Client::without_token(&berlin.place).with_token(made["token"].as_str().expect("it"));
    let path = |verb: &str| format!("/v1/incidents/{id}/{verb}");
    assert_eq!(viewer.get("/v1/incidents").status, 200);
    let refused = viewer.post(&path("ack"), &json!({}));
    assert_eq!(refused.status, 403, "{}", refused.body);
    let admin = berlin.place.client();
    for (verb, body, status, says) in [
        ("note", json!({}), 422, "a note says something"),
        ("note", json!({ "text": "x".repeat(5_000) }), 422, "the most are 4096"),
        ("ack", json!({ "owner": "ada" }), 422, "owner: it belongs to assign"),
        ("ack", json!({ "colour": "blue" }), 422, "colour"),
        ("grade", json!({}), 422, "severity: it is missing"),
        ("split", json!({ "faults": [id] }), 422, "is what the incident goes by"),
        ("split", json!({ "faults": ["i-0000000000001"] }), 422, "is not a fault of this incident"),
        ("join", json!({ "with": id }), 422, "is of this incident already"),
        ("join", json!({ "with": "i-0000000000001" }), 404, "there is no incident"),
        ("explode", json!({}), 404, "is not done to incidents"),
    ] {
        let answer = admin.post(&path(verb), &body);
        assert_eq!(answer.status, status, "{verb} {body}: {}", answer.body);
        assert!(answer.error().1.contains(says), "{verb}: {}", answer.body);
    }
    let large = json!({ "text": "x".repeat(1 << 20) });
    assert_eq!(admin.post(&path("note"), &large).status, 413);
    assert_eq!(admin.get("/v1/incidents/i-0000000000001").status, 404);
    assert_eq!(admin.get("/v1/incidents/lima").status, 400);
    assert_eq!(admin.get("/v1/incidents?state=odd").status, 400);
    assert_eq!(admin.get("/v1/incidents?limit=0").status, 400);
    assert_eq!(admin.get("/v1/incidents?severity=critical&limit=1").json()["total"], 1);
    assert_eq!(admin.get("/v1/incidents?target=oslo").json()["total"], 0);
}
