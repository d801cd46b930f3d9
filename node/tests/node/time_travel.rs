//! What an element was like before, two failures side by side, and the whole topology in a file.

use serde_json::{Value, json};

use crate::common::{Lab, eventually};

const PROBING: [(&str, &str); 2] =
    [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_INTERVAL", "500ms")];
const SILENT: [(&str, &str); 1] = [("HOLM_PLANES_ACTIVE_ENABLED", "false")];

#[test]
fn an_attribute_keeps_what_it_was_over_a_restart() {
    let lab = Lab::new();
    let node = lab.found("berlin").start_with(&SILENT);
    let plane = |site: &Value| site["attributes"]["holm.plane.active"].as_str().map(str::to_owned);
    let of_site = |topology: &Value| {
        let nodes = topology["nodes"].as_array()?;
        nodes.iter().find(|n| n["id"] == "site:berlin").cloned()
    };
    let before = eventually("the plane is told to be off", || {
        let topology = node.get("/v1/topology");
        (plane(&of_site(&topology)?)? == "off").then_some(topology)
    });
    let node = node.stop().start_with(&PROBING);
    eventually("the plane is told to run", || {
        (plane(&of_site(&node.get("/v1/topology"))?)? != "off").then_some(())
    });
    let at = before["at"].as_str().expect("a time");
    let then = node.get(&format!("/v1/topology?at={at}"));
    assert_eq!(plane(&of_site(&then).expect("it was there")).as_deref(), Some("off"), "{then}");

    let element = node.get("/v1/topology/element?id=site:berlin");
    let history = element["sites"][0]["history"].as_array().expect("a list");
    let was = |past: &&Value| past["key"] == "holm.plane.active" && past["value"] == "off";
    assert!(history.iter().any(|past| was(&past)), "{element}");
    let diff = node.get(&format!("/v1/topology/diff?from={at}"));
    let changed = diff["changed"]["items"].as_array().expect("a list");
    let site = changed.iter().find(|c| c["id"] == "site:berlin").expect("it changed");
    let change = &site["attributes"][0];
    assert_eq!((&change["key"], &change["before"]), (&json!("holm.plane.active"), &json!("off")));
    let with_topology = node.get(&format!("/v1/topology?diff={at}"));
    assert_eq!(with_topology["diff"]["changed"], diff["changed"]);
    let printed = node.place.holm(&["diff", at]).succeeded();
    assert!(printed.contains("holm.plane.active: off → "), "{printed}");
    let printed = node.place.holm(&["element", "site:berlin"]).succeeded();
    assert!(printed.contains("holm.plane.active was off"), "{printed}");
    // What was not watched is not told as if nothing had been there.
    let untold = |path: &str| {
        let answer = node.get(path);
        let notes = answer["coverage"]["notes"].as_array().expect("notes").clone();
        let unwatched =
            "berlin was not watching at 2020-01-01T00:00:00.000Z: it recorded nothing before ";
        assert!(
            notes.iter().any(|n| n.as_str().is_some_and(|n| n.starts_with(unwatched))),
            "{answer}"
        );
    };
    untold("/v1/topology?at=2020-01-01T00:00:00Z");
    untold("/v1/topology?diff=2020-01-01T00:00:00Z");
    untold("/v1/topology/diff?from=2020-01-01T00:00:00Z");
    let client = node.place.client();
    for (path, name) in
        [("/v1/topology/whatif", "targt"), ("/v1/topology/whatif/compare", "middle")]
    {
        let refused = client.post(path, &json!({ name: "site:berlin" }));
        assert_eq!(refused.status, 422, "{}", refused.body);
        let told = refused.error().1;
        assert!(told.starts_with(&format!("the body: {name}: unknown field")), "{told}");
    }
    let late =
        node.place.client().get("/v1/topology?at=2020-01-01T00:00:00Z&diff=2021-01-01T00:00:00Z");
    assert_eq!(late.status, 400, "a window that ends before it begins");
    assert!(late.error().1.starts_with("diff:"), "{}", late.body);
}

#[test]
fn two_failures_stand_side_by_side() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBING);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBING);
    eventually("both probe each other", || {
        (berlin.get("/v1/topology")["total"]["edges"].as_u64()? >= 2).then_some(())
    });
    let host = |node: &crate::common::Running| format!("host:{}", node.place.mesh.ip());
    let (left, right) = (host(&tokyo), "agent:tokyo".to_owned());
    let asked = json!({ "left": { "target": left }, "right": { "target": right } });
    let answer = berlin.place.client().post("/v1/topology/whatif/compare", &asked);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let compare = answer.json();
    assert_eq!(compare["left"]["failed"], json!([left]));
    assert_eq!(compare["complete"], true);
    let only_left = compare["broken_paths"]["only_left"].as_array().expect("a list");
    assert!(only_left.contains(&json!({ "from": "agent:berlin", "to": left })), "{compare}");
    let totals = |side: &str| compare[side]["totals"]["broken_paths"].as_u64().expect("a number");
    let count = |list: &str| compare["broken_paths"][list].as_array().expect("a list").len() as u64;
    assert_eq!(count("only_left") + count("both"), totals("left"), "{compare}");
    assert_eq!(count("only_right") + count("both"), totals("right"), "{compare}");
    let printed = berlin.place.holm(&["whatif", &left, "--compare-with", &right]).succeeded();
    assert!(printed.contains("broken paths: 1 on the left only"), "{printed}");
    let empty = json!({ "left": { "target": left }, "right": {} });
    let refused = berlin.place.client().post("/v1/topology/whatif/compare", &empty);
    assert_eq!(refused.status, 422);
    assert!(refused.error().1.starts_with("right.target"), "{}", refused.body);
}

#[test]
fn the_whole_topology_goes_into_a_file() {
    let lab = Lab::new();
    let node = lab.found("berlin").start();
    eventually("the site is in its own topology", || {
        (node.get("/v1/topology")["total"]["nodes"].as_u64()? > 0).then_some(())
    });
    let client = node.place.client();
    let exported = client.get("/v1/topology/export").json();
    let shown = node.get("/v1/topology");
    assert_eq!(exported["nodes"], shown["nodes"]);
    assert_eq!(exported["coverage"]["path_edges"], shown["coverage"]["path_edges"]);
    let graphml = node.place.holm(&["topology", "--format", "graphml"]).succeeded();
    assert!(graphml.contains("<node id=\"site:berlin\">"), "{graphml}");
    assert!(graphml.ends_with("</graphml>\n"), "{graphml}");
    let dot = client.get("/v1/topology/export?format=dot&kinds=site");
    assert!(dot.body.contains("\"site:berlin\" [label="), "{}", dot.body);
    assert_eq!(dot.header("content-type"), Some("text/vnd.graphviz"));
    for (query, named) in
        [("format=svg", "format=svg"), ("limit=5", "limit"), ("colour=red", "colour")]
    {
        let refused = client.get(&format!("/v1/topology/export?{query}"));
        assert_eq!(refused.status, 400);
        assert!(refused.error().1.contains(named), "{}", refused.body);
    }
    assert_eq!(client.get("/v1/topology/export?around=service:nobody").status, 404);
}
