//! Objectives over probes of two sites: counted at each, added up at both, kept over a restart, and on fire
//! when what they are about is down.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Client, Lab, Running, agree, eventually, within};

/// Probes each second, so that there is something to count.
const PROBES: [(&str, &str); 2] =
    [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_INTERVAL", "1s")];

fn file(name: &str, target: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: {name}\n  labels: {{ team: [net] }}\nspec:\n  service: {name}\n  \
         indicator:\n    metadata: {{ name: answers }}\n    spec:\n      ratioMetric:\n        \
         good: {{ metricSource: {{ type: holm, spec: {{ table: active_results, where: success }} }} }}\n        \
         total: {{ metricSource: {{ type: holm, spec: {{ table: active_results }} }} }}\n  \
         timeWindow: [{{ duration: 30d, isRolling: true }}]\n  budgetingMethod: Occurrences\n  \
         objectives: [{{ target: {target} }}]\n"
    )
}

/// Minutes are counted when they are over.
const MINUTES: Duration = Duration::from_secs(200);

fn send(client: &Client, method: &str, path: &str, text: &str) -> Answer {
    client.ask(method, path, &[], text).expect("an answer")
}

fn slo(node: &Running, name: &str) -> Option<Value> {
    let answer = node.place.client().get(&format!("/v1/slos/{name}"));
    (answer.status == 200).then(|| answer.json())
}

#[test]
fn objectives_are_counted_at_each_site_and_add_up_at_all_of_them() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBES);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBES);
    agree(&[&berlin, &tokyo]);
    let none = berlin.get("/v1/slos");
    assert_eq!((&none["total"], &none["items"]), (&json!(0), &json!([])));

    let folder = berlin.place.dir.clone();
    let path = folder.join("slo.yaml");
    std::fs::write(&path, file("probes", "0.9")).expect("written");
    let path = path.to_str().expect("a path");
    let applied = berlin.place.holm(&["slo", "apply", "-f", path]).succeeded();
    assert_eq!(applied, "probes: created\n");
    let again = berlin.place.holm(&["slo", "apply", "-f", path]).succeeded();
    assert_eq!(again, "probes: unchanged\n");

    for node in [&berlin, &tokyo] {
        let both = within("what both counted is here", MINUTES, || {
            let slo = slo(node, "probes")?;
            let sites = slo["objectives"][0]["sites"].as_array()?.clone();
            let counted = |site: &Value| site["events"].as_f64().is_some_and(|events| events > 0.0);
            (sites.len() == 2 && sites.iter().all(counted)).then_some(slo)
        });
        let objective = &both["objectives"][0];
        let events = |site: usize| objective["sites"][site]["events"].as_f64().expect("a number");
        assert_eq!(objective["events"].as_f64(), Some(events(0) + events(1)), "{both}");
        assert_eq!(both["problem"], json!(null));
        assert_eq!(both["teams"], json!(["net"]));
        assert!(both["openslo"]["spec"]["indicator"].is_object(), "{both}");
    }

    // Counts survive a restart, and only grow.
    let before = slo(&berlin, "probes").expect("there")["objectives"][0]["events"].as_f64();
    let berlin = berlin.stop().start_with(&PROBES);
    let listed = within("they are there again", MINUTES, || {
        let listed = berlin.get("/v1/slos?team=net");
        let events = listed["items"][0]["objectives"][0]["events"].as_f64()?;
        (Some(events) >= before).then_some(listed)
    });
    assert_eq!(listed["services"][0]["name"], "probes");
    assert_eq!(listed["teams"][0]["slos"], 1);
    let shown = berlin.place.holm(&["slo", "status", "probes"]).succeeded();
    assert!(shown.contains("from berlin/") && shown.contains("from tokyo/"), "{shown}");
    let metrics = berlin.place.client().get("/metrics").body;
    assert!(metrics.contains("holm_slo_objectives{"), "{metrics}");

    // What fails touches the objectives of its service.
    let exported = berlin.place.holm(&["slo", "export"]).succeeded();
    let exported: Value = serde_json::from_str(&exported).expect("JSON");
    assert_eq!(exported[0]["metadata"]["name"], "probes");
    berlin.place.holm(&["slo", "delete", "probes"]).succeeded();
    eventually("gone at both", || slo(&tokyo, "probes").is_none().then_some(()));
}

#[test]
fn edits_of_both_halves_stand_beside_each_other_until_the_next() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let put = |node: &Running, target: &str| {
        let answer = send(&node.place.client(), "PUT", "/v1/slos/shop", &file("shop", target));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    };
    put(&berlin, "0.9");
    eventually("at tokyo too", || slo(&tokyo, "shop"));
    let berlin = berlin.stop();
    put(&tokyo, "0.99");
    let tokyo = tokyo.stop();
    let berlin = berlin.start();
    assert_eq!(slo(&berlin, "shop").expect("there")["conflicts"], json!([]));
    put(&berlin, "0.999");
    let tokyo = tokyo.start();
    for node in [&berlin, &tokyo] {
        let both = eventually("both edits are there", || {
            let slo = slo(node, "shop")?;
            (slo["conflicts"].as_array()?.len() == 1).then_some(slo)
        });
        assert_eq!(both["objectives"][0]["target"], 0.999, "the later one counts: {both}");
        let other = &both["conflicts"][0];
        assert_eq!(other["openslo"]["spec"]["objectives"][0]["target"], 0.99, "{other}");
        assert!(other["by"].as_str().is_some_and(|by| by.contains("tokyo")), "{other}");
    }
    put(&tokyo, "0.99");
    eventually("settled at berlin", || {
        let slo = slo(&berlin, "shop")?;
        (slo["conflicts"] == json!([]) && slo["objectives"][0]["target"] == 0.99).then_some(())
    });
}

#[test]
fn what_is_not_evaluated_is_refused_and_nothing_is_kept() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let admin = berlin.place.client();
    let good = file("shop", "0.9");
    for (text, says) in [
        (
            good.replace("type: holm", "type: Prometheus"),
            "line 12, column 39: spec.indicator.spec.ratioMetric.good.metricSource.type: Prometheus is not asked",
        ),
        (good.replace("where: success", "where: success AND"), "a column is missing"),
        (good.replace("target: 0.9", "target: 0.9, op: gt"), "spec.objectives[0].op"),
        (
            "apiVersion: openslo/v1\nkind: AlertPolicy\n".into(),
            "kind: AlertPolicy is not evaluated",
        ),
        (":".repeat(9), "line 1"),
    ] {
        let answer = send(&admin, "POST", "/v1/slos/openslo", &text);
        assert_eq!(answer.status, 422, "{text}: {}", answer.body);
        assert!(answer.error().1.contains(says), "{says}: {}", answer.body);
    }
    let two = format!("{good}---\n{}", file("other", "2"));
    assert_eq!(send(&admin, "POST", "/v1/slos/openslo", &two).status, 422);
    assert_eq!(berlin.get("/v1/slos")["total"], 0, "all or none");
    let other = send(&admin, "PUT", "/v1/slos/other", &good);
    assert_eq!(other.status, 422);
    assert!(
        other.error().1.contains("other is written here, and the file has shop"),
        "{}",
        other.body
    );
    assert_eq!(send(&admin, "POST", "/v1/slos/openslo", &"x".repeat(300_000)).status, 413);
    assert_eq!(admin.get("/v1/slos/nothing").status, 404);
    assert_eq!(send(&admin, "DELETE", "/v1/slos/nothing", "").status, 404);
    assert_eq!(admin.get("/v1/slos?colour=red").status, 400);

    // A table or column that is not there is said, not passed over.
    let odd = good.replace("where: success", "where: colour = 'red'");
    assert_eq!(send(&admin, "POST", "/v1/slos/openslo", &odd).status, 200);
    let broken = eventually("it says why", || {
        let slo = slo(&berlin, "shop")?;
        slo["problem"].as_str().is_some_and(|why| why.contains("colour")).then_some(slo)
    });
    assert_eq!(broken["state"], "broken", "{broken}");

    let made = berlin.place.holm(&["api-token", "create", "--name", "eyes", "--json"]).succeeded();
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let token = made["token"].as_str().expect("it");
    let viewer = Client::without_token(&berlin.place).with_token(token);
    assert_eq!(viewer.get("/v1/slos").status, 200);
    assert_eq!(send(&viewer, "POST", "/v1/slos/openslo", &good).status, 403);
    assert_eq!(send(&viewer, "DELETE", "/v1/slos/shop", "").status, 403);
}

/// Whether incidents about a service fire at a node; `None` if there is none.
fn firing(node: &Running, service: &str) -> Option<bool> {
    let found = node.get("/v1/incidents?state=all");
    let target = json!(format!("service:{service}"));
    let about = |item: &&Value| item["targets"].as_array().is_some_and(|all| all.contains(&target));
    let items = found["items"].as_array().expect("a list").clone();
    let of: Vec<&Value> = items.iter().filter(about).collect();
    (!of.is_empty()).then(|| of.iter().any(|item| item["firing"] == true))
}

#[test]
fn what_burns_is_over_at_all_sites_when_its_slo_is_another_services_or_gone() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBES);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBES);
    agree(&[&berlin, &tokyo]);
    // No row is good.
    let bad = |service: &str| {
        let text = file("shop", "0.99").replace("where: success", "where: \"probe = 'none'\"");
        text.replace("service: shop", &format!("service: {service}"))
    };
    let put = |text: &str| {
        let answer = send(&berlin.place.client(), "PUT", "/v1/slos/shop", text);
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    put(&bad("shop"));
    for node in [&berlin, &tokyo] {
        within("it burns", MINUTES, || firing(node, "shop")?.then_some(()));
    }
    put(&bad("cart"));
    for node in [&berlin, &tokyo] {
        within("it burns for the other service", MINUTES, || firing(node, "cart")?.then_some(()));
        within("and no more for the one before", MINUTES, || {
            (firing(node, "shop") == Some(false)).then_some(())
        });
    }
    berlin.place.holm(&["slo", "delete", "shop"]).succeeded();
    for node in [&berlin, &tokyo] {
        for service in ["shop", "cart"] {
            within("all of it is over", MINUTES, || {
                (firing(node, service) == Some(false)).then_some(())
            });
        }
    }
}
