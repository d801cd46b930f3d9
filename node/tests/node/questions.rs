//! What breaks, which way, what changed, where is it: by the API and by the command line.

use serde_json::json;

use crate::common::{Lab, agree, eventually};

/// Two sites that probe each other, and see nothing else.
const PROBING: [(&str, &str); 2] =
    [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_INTERVAL", "500ms")];

#[test]
fn a_site_that_fails_takes_its_probed_paths_with_it_and_any_node_can_tell() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBING);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBING);
    eventually("both probe each other", || {
        let edges = tokyo.get("/v1/topology")["total"]["edges"].as_u64()?;
        (edges >= 2).then_some(())
    });
    agree(&[&berlin, &tokyo]);
    for node in [&berlin, &tokyo] {
        let asked = json!({ "target": "site:tokyo" });
        let impact = node.place.client().post("/v1/topology/whatif", &asked);
        assert_eq!(impact.status, 200, "{}", impact.body);
        let impact = impact.json();
        let broken: Vec<String> = impact["broken_paths"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|path| format!("{} {}", path["from"], path["to"]).replace('"', ""))
            .collect();
        assert!(broken.iter().any(|pair| pair.starts_with("agent:berlin ")), "{impact}");
        assert!(broken.iter().any(|pair| pair.starts_with("agent:tokyo ")), "{impact}");
        assert_eq!(impact["totals"]["broken_paths"], broken.len(), "{impact}");
        assert_eq!(impact["impacted_slos"], json!(null), "nobody knows them");
        assert!(impact["failed"].as_array().is_some_and(|f| f.contains(&json!("agent:tokyo"))));
        let printed = node.place.holm(&["whatif", "site:tokyo"]).succeeded();
        assert!(
            printed.contains("broken paths: ") && printed.contains("agent:berlin → "),
            "{printed}"
        );
    }
    let before = berlin.get("/v1/topology");
    assert!(before["total"]["nodes"].as_u64().is_some_and(|n| n >= 5), "asking changed nothing");

    let spof = berlin.get("/v1/topology/spof");
    let worst = spof["items"][0]["blast_radius"].as_u64();
    assert!(worst.is_some_and(|blast| blast >= 2), "{spof}");
    assert!(berlin.place.holm(&["spof"]).succeeded().contains("BLAST"));
    let found = berlin.get("/v1/topology/search?q=TOKYO");
    assert_eq!(found["items"], json!(["agent:tokyo", "site:tokyo"]));
    let host = tokyo.place.mesh.ip();
    let ways = berlin.get(&format!("/v1/topology/paths?from=agent:berlin&to=host:{host}"));
    assert_eq!(ways["routes"][0]["hops"], 1, "{ways}");
    assert_eq!(ways["routes"][0]["latency_ms"], json!(null), "not measured on edges");
    let path = berlin.place.holm(&["path", "agent:berlin", &format!("host:{host}")]);
    assert!(path.succeeded().contains("1 hops"));

    let near = berlin.get("/v1/topology/neighbours?id=agent:berlin&direction=out&node_kinds=host");
    assert!(
        near["items"]
            .as_array()
            .is_some_and(|n| n.iter().any(|n| n["id"] == format!("host:{host}")))
    );
    assert_eq!(near["items"][0]["distance"], 1, "{near}");
    let hanging = tokyo.get("/v1/topology/dependents?id=agent:berlin");
    assert!(
        hanging["items"].as_array().is_some_and(|n| n.contains(&json!(format!("host:{host}")))),
        "{hanging}"
    );
    let parts = berlin.get("/v1/topology/components?limit=2");
    assert!(parts["items"][0]["size"].as_u64() >= parts["items"][1]["size"].as_u64(), "{parts}");
    assert!(parts["total"].as_u64().is_some_and(|total| total >= 3), "sites stand alone: {parts}");
    for args in
        [vec!["neighbours", "agent:berlin"], vec!["dependents", "agent:berlin"], vec!["components"]]
    {
        assert!(berlin.place.holm(&args).succeeded().contains("host:"), "{args:?}");
    }

    let diff = berlin.get("/v1/topology/diff?from=2020-01-01T00:00:00Z");
    let appeared = diff["appeared"]["total"].as_u64();
    assert!(appeared.is_some_and(|total| total >= 7), "{diff}");
    assert_eq!(diff["vanished"]["total"], 0, "{diff}");
    let changes = berlin.get("/v1/topology/changes?from=2020-01-01T00:00:00Z&buckets=10");
    assert!(changes["items"][9]["opened"].as_u64().is_some_and(|n| n >= 4), "{changes}");
    assert_eq!(changes["items"].as_array().map(Vec::len), Some(10));
}

#[test]
fn questions_about_what_is_not_there_name_what_is_near() {
    let lab = Lab::new();
    let node = lab.found("berlin").start();
    eventually("the site is in its own topology", || {
        (node.get("/v1/topology")["total"]["nodes"].as_u64()? > 0).then_some(())
    });
    let client = node.place.client();
    let ask = |body| client.post("/v1/topology/whatif", &body);
    let unknown = ask(json!({ "target": "site:berlni" }));
    assert_eq!(unknown.status, 404);
    assert!(unknown.error().1.contains("near it: site:berlin"), "{}", unknown.body);
    let nowhere = client.get("/v1/topology?site=lima");
    assert_eq!(nowhere.status, 404);
    assert!(nowhere.error().1.contains("no site lima; there are berlin"), "{}", nowhere.body);
    let bare = ask(json!({ "target": "berlin" }));
    assert!(bare.error().1.contains("site:berlin"), "{}", bare.body);
    assert_eq!(ask(json!({})).error().0, "validation");
    assert_eq!(ask(json!({ "target": "site:berlin", "limit": 0 })).status, 400);
    assert_eq!(ask(json!({ "target": "site:berlin", "oops": 1 })).status, 422);
    assert_eq!(ask(json!({ "target": "attribute:a=b" })).status, 404);
    let past = ask(json!({ "target": "site:berlin", "at": "2020-01-01T00:00:00Z" }));
    assert_eq!(past.status, 404, "it was not there then: {}", past.body);
    for (path, status) in [
        ("/v1/topology/paths?from=site:berlin&to=site:atlantis", 404),
        ("/v1/topology/paths?from=site:berlin&to=site:berlin&count=65", 400),
        ("/v1/topology/paths?from=site:berlin&to=site:berlin&metric=luck", 400),
        ("/v1/topology/diff?from=2026-01-01T00:00:00Z&to=2025-01-01T00:00:00Z", 400),
        ("/v1/topology/changes?from=2026-01-01T00:00:00Z&buckets=0", 400),
        ("/v1/topology/search?q=x&colour=blue", 400),
        ("/v1/topology/spof?limit=0", 400),
    ] {
        assert_eq!(client.get(path).status, status, "{path}: {}", client.get(path).body);
    }
    node.place.holm(&["whatif", "site:atlantis"]).failed_naming(&["site:atlantis"]);
    node.place.holm(&["diff", "yesterday"]).failed_naming(&["yesterday", "not a time"]);
}
