//! A change that is told to any node is one change at all of them, whoever tells it again; who does not know
//! the secret tells nothing; and of an incident the change that it came from stands on top.

use ring::hmac;
use serde_json::{Value, json};

use crate::common::{Answer, Client, Lab, Running, agree, eventually};

struct Source {
    path: String,
    secret: String,
}

fn source(node: &Running, provider: &str) -> Source {
    let args = ["change", "source", "create", "--name", "ci", "--provider", provider, "--json"];
    let made: Value = serde_json::from_str(&node.place.holm(&args).succeeded()).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    Source { path: text(&made["source"]["path"]), secret: text(&made["secret"]) }
}

fn tag(secret: &str, signed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256={hex}")
}

fn now_s() -> u64 {
    holm_model::Millis::now().0 / 1_000
}

/// Delivers without any credential but the signature.
fn send(node: &Running, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    Client::without_token(&node.place).ask("POST", path, headers, body).expect("an answer")
}

/// Delivers in our own form, signed at a time.
fn deliver(node: &Running, source: &Source, at_s: u64, body: &str) -> Answer {
    let stamp = at_s.to_string();
    let tag = tag(&source.secret, &format!("{stamp}.{body}"));
    send(node, &source.path, &[("x-holm-timestamp", &stamp), ("x-holm-signature", &tag)], body)
}

/// Changes that were told or seen: those of the roster are of every mesh.
fn told(node: &Running) -> Vec<Value> {
    let items = node.get("/v1/changes?limit=100")["items"].clone();
    let told = items.as_array().expect("a list").iter().filter(|item| item["source"] != "roster");
    told.cloned().collect()
}

fn total(node: &Running) -> usize {
    told(node).len()
}

#[test]
fn a_delivery_is_one_change_wherever_and_however_often_it_comes() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let generic = source(&berlin, "generic");
    let github = source(&berlin, "github");
    eventually("tokyo knows the sources", || {
        let found = tokyo.get("/v1/changes/sources");
        (found["total"] == 2).then_some(())
    });
    let listed = tokyo.get("/v1/changes/sources").to_string();
    assert!(!listed.contains(&generic.secret) && !listed.contains(&github.secret), "{listed}");

    // At both before either hears of the other's.
    let body =
        json!({ "kind": "deploy", "title": "checkout 1.2", "author": "ada", "target": "checkout" });
    let (at, body) = (now_s(), body.to_string());
    let tokyo = tokyo.stop();
    let taken = deliver(&berlin, &generic, at, &body);
    assert_eq!((taken.status, taken.json()), (202, json!({ "accepted": 1 })));
    let berlin = berlin.stop();
    let tokyo = tokyo.start();
    assert_eq!(total(&tokyo), 0, "it has not heard of it");
    let taken = deliver(&tokyo, &generic, at, &body);
    assert_eq!((taken.status, taken.json()), (202, json!({ "accepted": 1 })));
    let berlin = berlin.start();
    for node in [&berlin, &tokyo] {
        eventually("what both took is one", || {
            let items = told(node);
            (items.first()?["taken_by"] == json!(["berlin/n1", "tokyo/n1"])).then_some(())
        });
    }
    assert_eq!((total(&berlin), total(&tokyo)), (1, 1));
    let again = deliver(&berlin, &generic, at, &body);
    assert_eq!((again.status, again.json()), (202, json!({ "accepted": 0 })), "replayed");
    let found = berlin.get("/v1/changes?kind=deploy&target=CHECK");
    let change = &found["items"][0];
    assert_eq!((&change["anchored"], &change["words"]), (&json!(false), &json!(["checkout"])));
    assert_eq!(berlin.get("/v1/changes?kind=iac")["total"], 0);

    let push = json!({ "ref": "refs/heads/main", "after": "6113728f", "pusher": { "name": "ada" }, "repository": { "full_name": "acme/checkout" }, "commits": [] });
    let push = push.to_string();
    let signature = tag(&github.secret, &push);
    let headers = [("x-hub-signature-256", &*signature), ("x-github-event", "push")];
    let answer = send(&tokyo, &github.path, &headers, &push);
    assert_eq!((answer.status, answer.json()), (202, json!({ "accepted": 1 })));
    eventually("it is at berlin", || (total(&berlin) == 2).then_some(()));
    // What is not signed is of no use to who sends it again.
    let headers = [
        ("x-hub-signature-256", &*signature),
        ("x-github-event", "push"),
        ("x-github-delivery", "new"),
    ];
    assert_eq!(send(&berlin, &github.path, &headers, &push).json(), json!({ "accepted": 0 }));
    let ping = tag(&github.secret, "{}");
    let headers = [("x-hub-signature-256", &*ping), ("x-github-event", "ping")];
    assert_eq!(send(&berlin, &github.path, &headers, "{}").json(), json!({ "accepted": 0 }));

    let shown = berlin.place.holm(&["change", "list"]).succeeded();
    assert!(shown.contains("checkout 1.2") && shown.contains("push to main"), "{shown}");
    let berlin = berlin.stop().start();
    assert_eq!(total(&berlin), 2, "after a restart");
    let again = deliver(&berlin, &generic, at, &body);
    assert_eq!(again.json(), json!({ "accepted": 0 }), "replayed after a restart");

    let id = generic.path.rsplit('/').next().expect("an id").to_owned();
    tokyo.place.holm(&["change", "source", "revoke", &id]).succeeded();
    eventually("it is revoked at berlin", || {
        (deliver(&berlin, &generic, now_s(), "[]").status == 401).then_some(())
    });
    let listed = berlin.place.holm(&["change", "source", "list"]).succeeded();
    assert!(listed.contains("revoked by"), "{listed}");
}

#[test]
fn who_does_not_know_the_secret_tells_nothing() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let generic = source(&berlin, "generic");
    let gitlab = source(&berlin, "gitlab");
    let forged = Source { path: generic.path.clone(), secret: "not the secret at all".into() };
    let unknown = Source { path: "/ingest/changes/generic/0123456789abcdef".into(), ..forged };
    let forged = Source { path: generic.path.clone(), secret: unknown.secret.clone() };
    let (a, b) =
        (deliver(&berlin, &forged, now_s(), "{"), deliver(&berlin, &unknown, now_s(), "{"));
    assert_eq!(
        (a.status, a.error()),
        (b.status, b.error()),
        "neither says whether the source is there"
    );
    assert_eq!((a.status, &*a.error().0), (401, "unauthorized"));
    let elsewhere =
        Source { path: generic.path.replace("generic", "github"), secret: generic.secret.clone() };
    assert_eq!(deliver(&berlin, &elsewhere, now_s(), "{}").error(), a.error());
    assert_eq!(
        send(&berlin, &gitlab.path, &[("x-gitlab-token", "wrong")], "{}").error(),
        a.error()
    );

    let good = json!({ "kind": "deploy", "title": "x" }).to_string();
    let stale = deliver(&berlin, &generic, now_s() - 3_600, &good);
    assert_eq!(stale.status, 401);
    assert!(stale.error().1.contains("off this node's clock"), "{}", stale.body);
    let ahead = deliver(&berlin, &generic, now_s() + 3_600, &good);
    assert_eq!(ahead.status, 401);
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(deliver(&berlin, &generic, now_s(), &large).status, 413);
    let bad = deliver(&berlin, &generic, now_s(), "{\"kind\":");
    assert_eq!((bad.status, &*bad.error().0), (400, "bad_request"), "{}", bad.body);
    let wrong =
        deliver(&berlin, &generic, now_s(), "[{\"kind\":\"deploy\",\"title\":\"x\",\"colour\":1}]");
    assert_eq!(wrong.status, 422);
    assert!(wrong.error().1.starts_with("[0].colour: is not a field"), "{}", wrong.body);
    assert_eq!(total(&berlin), 0);
    let note = send(
        &berlin,
        &gitlab.path,
        &[("x-gitlab-token", &gitlab.secret)],
        "{\"object_kind\":\"note\"}",
    );
    assert_eq!((note.status, note.json()), (202, json!({ "accepted": 0 })));

    let sources = berlin.get("/v1/changes/sources");
    let here = &sources["items"][0]["here"];
    let counted: Vec<&Value> = ["signature", "stale", "size", "body"]
        .iter()
        .map(|what| &here[format!("refused_{what}")])
        .collect();
    assert_eq!(counted, [&json!(1), &json!(2), &json!(1), &json!(2)], "{sources}");
    assert_eq!(sources["refused_here"]["unknown"], 2, "{sources}");
    let metrics = berlin.place.client().get("/metrics").body;
    assert!(
        metrics.contains("holm_change_deliveries_refused_total{reason=\"unknown\"} 2"),
        "{metrics}"
    );

    let made = berlin.place.holm(&["api-token", "create", "--name", "eyes", "--json"]).succeeded();
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let viewer =
        Client::without_token(&berlin.place).with_token(made["token"].as_str().expect("it"));
    let new = json!({ "name": "x", "provider": "generic" });
    assert_eq!(viewer.post("/v1/changes/sources", &new).status, 403);
    let admin = berlin.place.client();
    for (body, status, says) in [
        (json!({ "name": "", "provider": "generic" }), 422, "name: it has 1 to 63 bytes"),
        (
            json!({ "name": "x", "provider": "generic", "secret": "short" }),
            422,
            "secret: it has 5 bytes",
        ),
        (json!({ "name": "x", "provider": "jenkins" }), 422, "provider"),
    ] {
        let answer = admin.post("/v1/changes/sources", &body);
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.error().1.contains(says), "{}", answer.body);
    }
    assert_eq!(admin.get("/v1/changes/c-0000000000000000").status, 404);
    assert_eq!(admin.get("/v1/changes/lima").status, 400);
    assert_eq!(admin.get("/v1/changes?kind=odd").status, 400);
    assert_eq!(admin.get("/v1/incidents/i-0000000000000/changes?window_h=0").status, 400);
    assert_eq!(admin.get("/v1/incidents/i-0000000000000/changes").status, 404);
}

/// The ranked changes that were told.
fn told_of(ranked: &Value) -> Vec<Value> {
    let items = ranked["items"].as_array().expect("a list").iter();
    items.filter(|item| item["change"]["source"] != "roster").cloned().collect()
}

/// What the roster's acts are called, the first first; and each act is one change.
fn acts(node: &Running) -> Vec<String> {
    let found = node.get("/v1/changes?source=roster&limit=100");
    let items = found["items"].as_array().expect("a list");
    let mut titles: Vec<String> =
        items.iter().filter_map(|item| item["title"].as_str().map(str::to_owned)).collect();
    titles.reverse();
    let mut once = titles.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), titles.len(), "{titles:?}");
    titles
}

#[test]
fn what_is_done_in_the_roster_is_a_change_of_the_tenants_that_may_know() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let lima = lab.join(&berlin, "lima").start();
    agree(&[&berlin, &tokyo, &lima]);
    berlin.place.holm(&["tenant", "create", "acme"]).succeeded();
    let berlin = berlin.stop().start_with(&[("HOLM_NODE_TENANTS", "[\"default\", \"acme\"]")]);
    let acme = || {
        let path = berlin.place.file("credentials/admin.acme.token");
        let token = std::fs::read_to_string(path).ok()?;
        Some(Client::without_token(&berlin.place).with_token(token.trim()))
    };
    let acme = eventually("the tenant has an admin", acme);
    berlin.place.holm(&["tenant", "grant", "acme", "--site", "tokyo", "--days", "30"]).succeeded();
    berlin.place.holm(&["tenant", "revoke", "default", "--site", "lima"]).succeeded();
    let revoke = json!({ "site": "lima", "node": "n1", "reason": "stolen" });
    eventually("lima's key is revoked", || {
        let answer = berlin.place.client().post("/v1/mesh/revocations", &revoke);
        (answer.status == 201).then_some(())
    });

    let wanted = [
        "tenant default was made",
        "site berlin was granted tenant default (replicate,query)",
        "site tokyo was granted tenant default (replicate,query)",
        "node tokyo/n1 came with a new key",
        "site lima was granted tenant default (replicate,query)",
        "tenant default was taken back from site lima",
    ];
    for node in [&berlin, &tokyo] {
        eventually("all acts are changes", || {
            let acts = acts(node);
            wanted.iter().all(|title| acts.iter().any(|act| act == title)).then_some(())
        });
        let acts = acts(node);
        assert!(!acts.iter().any(|act| act.contains("acme")), "{acts:?}");
        // Its key was revoked when it had no tenant here any more: that is nobody's here.
        assert!(!acts.iter().any(|act| act.contains("revoked")), "{acts:?}");
        let found = node.get("/v1/changes?source=roster&limit=100");
        let items = found["items"].as_array().expect("a list");
        let of = |title: &str| {
            let found = items.iter().find(|item| item["title"] == *title);
            found.unwrap_or_else(|| panic!("{title}: {items:?}")).clone()
        };
        let back = of(wanted[5]);
        assert_eq!(
            (&back["author"], &back["kind"]),
            (&json!("this node's command line"), &json!("config"))
        );
        assert_eq!(back["words"], json!(["site:lima"]));
        assert_eq!(back["taken_by"], json!(["berlin/n1"]), "it is written once for the mesh");
        assert_eq!(of(wanted[3])["author"], "tokyo/n1");
    }
    let of_acme = eventually("the other tenant's acts are its own", || {
        let found = acme.get("/v1/changes?source=roster&limit=100").json();
        let text = found["items"].to_string();
        (text.contains("site tokyo was granted tenant acme")).then_some(text)
    });
    assert!(!of_acme.contains("default") && !of_acme.contains("lima"), "{of_acme}");
}

#[test]
fn of_an_incident_the_change_that_it_came_from_is_on_top() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let lima = lab.join(&berlin, "lima").start();
    agree(&[&berlin, &tokyo, &lima]);
    let generic = source(&berlin, "generic");
    let at = |minutes: u64| (now_s() - minutes * 60) * 1_000;
    let body = json!([
        { "kind": "config", "title": "new power supply", "author": "ada", "target": "site:lima", "at": at(2) },
        { "kind": "deploy", "title": "something else", "author": "bob", "target": "service:else", "at": at(1) },
        { "kind": "config", "title": "a year of uptime", "target": "site:lima", "at": at(60 * 20) },
    ]);
    let taken = deliver(&berlin, &generic, now_s(), &body.to_string());
    assert_eq!(taken.json(), json!({ "accepted": 3 }));
    let _lima = lima.kill();
    for node in [&berlin, &tokyo] {
        let ranked = eventually("the changes are ranked", || {
            let incidents = node.get("/v1/incidents");
            let items = incidents["items"].as_array()?.clone();
            let incident = items.iter().find(|item| item["targets"][0] == "site:lima")?;
            let id = incident["id"].as_str()?;
            let ranked = node.get(&format!("/v1/incidents/{id}/changes?limit=100"));
            (told_of(&ranked).len() == 3).then_some(ranked)
        });
        let own = told_of(&ranked);
        let first = &own[0];
        assert_eq!(first["change"]["title"], "new power supply", "{ranked}");
        // That the site was enrolled a moment before is a change of it as well.
        let of = |item: &Value| item["change"]["attributes"]["roster.act"] == "enrolled";
        assert!(ranked["items"].as_array().expect("a list").iter().any(of), "{ranked}");
        assert_eq!((&first["hops"], &first["needed_steps"]), (&json!(0), &json!(0)));
        let whys: Vec<&str> = first["parts"]
            .as_array()
            .expect("parts")
            .iter()
            .filter_map(|part| part["why"].as_str())
            .collect();
        assert_eq!(whys[0], "it changed site:lima, which the incident is about");
        assert!(whys[1].ends_with("before it began"), "{whys:?}");
        let points: f64 = first["parts"]
            .as_array()
            .expect("parts")
            .iter()
            .filter_map(|p| p["points"].as_f64())
            .sum();
        assert!((points - first["score"].as_f64().expect("a score")).abs() < 0.5, "{first}");
        let id = ranked["incident"].as_str().expect("an id");
        let shown = node.place.holm(&["incident", "changes", id]).succeeded();
        assert!(shown.contains("new power supply"), "{shown}");
        let one = node.get(&format!("/v1/incidents/{id}/changes?window_h=1&limit=1"));
        assert_eq!(one["items"].as_array().map(Vec::len), Some(1));
        let hour = node.get(&format!("/v1/incidents/{id}/changes?window_h=1&limit=100"));
        assert_eq!(told_of(&hour).len(), 2, "{hour}");
    }
}

#[test]
fn each_edit_of_a_policy_is_a_change_also_of_those_that_follow_at_once() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let client = berlin.place.client();
    let ask = |method: &str, path: &str, body: &str| {
        let answer = client.ask(method, path, &[], body).expect("an answer");
        assert!(answer.status < 300, "{method} {path}: {}", answer.body);
    };
    for above in 1..=3 {
        let rule = format!(
            "kind: AlertRule\nname: busy\ntable: active_results\nvalue: count\ncondition: {{ above: {above} }}\n"
        );
        ask("PUT", "/v1/alerts/rules/busy", &rule);
    }
    for port in 1..=2 {
        let url = format!("https://hooks.example:{port}/x");
        let secret = "0123456789abcdef0123456789abcdef";
        let connector = json!({ "provider": "webhook", "url": url, "secret": secret });
        ask("PUT", "/v1/paging/connectors/ops", &connector.to_string());
    }
    ask("DELETE", "/v1/paging/connectors/ops", "");
    eventually("all of them are told", || {
        let told = told(&berlin);
        let of = |policy: &str| {
            told.iter().filter(|change| change["attributes"]["policy"] == policy).count()
        };
        assert!(
            told.iter().all(|change| change["author"].as_str().is_some_and(|by| !by.is_empty()))
        );
        (of("alert/busy") == 3 && of("page-connector/ops") == 3).then_some(())
    });
}
