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
        assert_eq!(impact["impacted_slos"], json!([]), "there are none");
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
    let edges = berlin.get("/v1/topology/search?q=agent:berlin%7Cpath%7C");
    assert!(edges["total"].as_u64() > Some(0), "{edges}");
    let found = berlin.get("/v1/topology/search?q=TOKYO");
    assert_eq!(found["items"], json!(["agent:tokyo", "site:tokyo"]));
    let host = tokyo.place.mesh.ip();
    let ways = berlin.get(&format!("/v1/topology/paths?from=agent:berlin&to=host:{host}"));
    assert_eq!(ways["routes"][0]["hops"], 1, "{ways}");
    assert_eq!(ways["routes"][0]["latency_ms"], json!(null), "not measured on edges");
    let path = berlin.place.holm(&["path", "agent:berlin", &format!("host:{host}")]);
    assert!(path.succeeded().contains("1 hops"));

    // The edge points from the agent to the host, and there is no way back along it: what goes back goes
    // from the agent beside that host to a host of the other site.
    let back = format!("/v1/topology/paths?to=agent:berlin&from=host:{host}");
    let way = berlin.get(&back);
    let other = berlin.place.mesh.ip();
    let nodes =
        json!([format!("host:{host}"), "agent:tokyo", format!("host:{other}"), "agent:berlin"]);
    assert_eq!((&way["layer"], &way["routes"][0]["nodes"]), (&json!("network"), &nodes), "{way}");
    let steps = way["routes"][0]["steps"].as_array().expect("a list");
    let same_place: Vec<_> = steps.iter().map(|step| &step["same_place"]).collect();
    assert_eq!(same_place, [&json!(true), &json!(false), &json!(true)], "{way}");
    assert_eq!(way["routes"][0]["hops"], 1, "what is in one place is no hop: {way}");
    for layer in ["calls", "network&kind=routing"] {
        let none = berlin.get(&format!("{back}&layer={layer}"));
        assert_eq!((&none["directed"], &none["routes"]), (&json!(true), &json!([])), "{none}");
    }
    let mixed = berlin.place.client().get(&format!("{back}&layer=network&kind=flow"));
    assert_eq!(mixed.status, 400, "{}", mixed.body);
    let against = berlin.get(&format!("{back}&directed=false"));
    assert_eq!(against["routes"][0]["steps"][0]["direction"], "in", "{against}");
    assert_eq!(against["routes"][0]["steps"][0]["kinds"], json!(["path"]), "{against}");
    let (host_id, back) = (format!("host:{host}"), "agent:berlin");
    let by_calls = ["path", &host_id, back, "--layer", "calls"];
    let none = berlin.place.holm(&by_calls).succeeded();
    assert!(none.contains("by calls as edges point; --undirected"), "{none}");
    let way = berlin.place.holm(&["path", &host_id, back]).succeeded();
    assert!(way.contains(&format!("{host_id} · agent:tokyo → host:{other} · {back}")), "{way}");
    let against = berlin.place.holm(&["path", &host_id, back, "--undirected"]).succeeded();
    assert!(against.contains(&format!("{host_id} ← {back}")), "{against}");
    assert!(against.contains(" of 1 hops measured"), "{against}");

    let near = berlin.get("/v1/topology/neighbours?id=agent:berlin&direction=out&node_kinds=host");
    assert!(
        near["items"]
            .as_array()
            .is_some_and(|n| n.iter().any(|n| n["id"] == format!("host:{host}")))
    );
    assert_eq!(near["items"][0]["distance"], 1, "{near}");
    // Each site's own address is where its own agent is: it hangs on nobody who probes it.
    let hanging = tokyo.get("/v1/topology/dependents?id=agent:berlin");
    assert_eq!(hanging["total"], 0, "{hanging}");
    let parts = berlin.get("/v1/topology/components?limit=2");
    assert!(parts["items"][0]["size"].as_u64() >= parts["items"][1]["size"].as_u64(), "{parts}");
    assert!(parts["total"].as_u64().is_some_and(|total| total >= 3), "sites stand alone: {parts}");
    for args in [vec!["neighbours", "agent:berlin"], vec!["components"]] {
        assert!(berlin.place.holm(&args).succeeded().contains("host:"), "{args:?}");
    }
    berlin.place.holm(&["dependents", "agent:berlin"]).succeeded();

    let diff = berlin.get("/v1/topology/diff?from=2020-01-01T00:00:00Z");
    let appeared = diff["appeared"]["total"].as_u64();
    assert!(appeared.is_some_and(|total| total >= 7), "{diff}");
    assert_eq!(diff["vanished"]["total"], 0, "{diff}");
    let of_tokyo = berlin.get("/v1/topology?site=tokyo&diff=2020-01-01T00:00Z");
    let appeared: Vec<_> =
        of_tokyo["diff"]["appeared"]["items"].as_array().into_iter().flatten().collect();
    let shown = of_tokyo["total"]["nodes"].as_u64().zip(of_tokyo["total"]["edges"].as_u64());
    assert_eq!(
        Some(appeared.len() as u64),
        shown.map(|(nodes, edges)| nodes + edges),
        "{of_tokyo}"
    );
    assert!(appeared.contains(&&json!("site:tokyo")) && !appeared.contains(&&json!("site:berlin")));
    let kinds = berlin.get("/v1/topology?kind=site&kinds=site&diff=2020-01-01T00:00Z");
    assert_eq!(kinds["diff"]["appeared"]["items"], json!(["site:berlin", "site:tokyo"]), "{kinds}");
    let printed =
        berlin.place.holm(&["changes", "2020-01-01T00:00Z", "--buckets", "2"]).succeeded();
    let parts = printed.lines().filter(|line| line.starts_with("20")).count();
    assert!(printed.starts_with("FROM") && parts == 2, "{printed}");
    let changes = berlin.get("/v1/topology/changes?from=2020-01-01T00:00:00Z&buckets=10");
    assert!(changes["items"][9]["opened"].as_u64().is_some_and(|n| n >= 4), "{changes}");
    assert_eq!(changes["items"].as_array().map(Vec::len), Some(10));
    for path in ["element?id=site:tokyo", "search?q=tokyo", "changes?from=1", "diff?from=1"] {
        let answer = berlin.get(&format!("/v1/topology/{path}"));
        assert!(answer["coverage"]["notes"].is_array(), "{path}: {answer}");
        assert!(answer["freshness"]["sites"].is_array(), "{path}: {answer}");
    }
    let early = berlin.get("/v1/topology/element?id=site:tokyo&at=1000");
    assert_eq!(early["there"], false, "{early}");

    // A host is there by its edges, also where edges of other kinds are asked for; and not to berlin's eyes alone.
    let alone = berlin.get(&format!("/v1/topology?from=host:{host}&kinds=routing"));
    assert_eq!((&alone["total"]["nodes"], &alone["total"]["edges"]), (&json!(1), &json!(0)));
    let not_told = berlin.place.client().get("/v1/topology?from=site:tokyo&site=berlin");
    assert_eq!(not_told.status, 404, "{}", not_told.body);
    assert!(not_told.error().1.ends_with("of it speaks tokyo"), "{}", not_told.body);
    let itself = berlin.place.client().get("/v1/topology/paths?from=agent:berlin&to=agent:berlin");
    assert_eq!(itself.status, 400, "{}", itself.body);
    assert!(itself.error().1.contains("one thing: agent:berlin"), "{}", itself.body);

    let part = json!({ "target": "site:tokyo", "drain": ["agent:tokyo"] });
    let part = berlin.place.client().post("/v1/topology/whatif", &part);
    assert_eq!(part.status, 422, "{}", part.body);
    assert!(part.error().1.contains("agent:tokyo is in both"), "{}", part.body);
}

#[test]
fn every_list_has_a_bound_and_says_how_much_there_is() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBING);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBING);
    eventually("both probe each other", || {
        (berlin.get("/v1/topology")["total"]["edges"].as_u64()? >= 2).then_some(())
    });
    let client = berlin.place.client();
    let both = ["site:berlin", "site:tokyo", "agent:berlin", "agent:tokyo"];
    let impact = client.post("/v1/topology/whatif", &json!({ "targets": both, "limit": 1 })).json();
    assert_eq!(impact["failed"].as_array().map(Vec::len), Some(1), "{impact}");
    assert!(impact["totals"]["failed"].as_u64().is_some_and(|total| total >= 4), "{impact}");
    let printed =
        berlin.place.holm(&["whatif", both[0], both[1], both[2], both[3], "--limit", "1"]);
    assert!(printed.succeeded().contains("(showing 1 of "), "the command line says so too");
    let drained = client.post("/v1/topology/whatif", &json!({ "drain": both, "limit": 1 })).json();
    assert_eq!(drained["drained"].as_array().map(Vec::len), Some(1), "{drained}");
    assert!(drained["totals"]["drained"].as_u64().is_some_and(|total| total >= 4), "{drained}");

    // Each site probes the other, and the other's host is the end of what it probes.
    let host = tokyo.place.mesh.ip();
    let element = berlin.get("/v1/topology/element?id=agent:berlin&limit=1");
    let total = element["neighbours_total"].as_u64().expect("a number");
    assert_eq!(element["neighbours"].as_array().map(Vec::len), Some(1.min(total as usize)));
    assert!(element["aliases_total"].is_u64(), "{element}");
    let ways = berlin.get(&format!("/v1/topology/paths?from=agent:berlin&to=host:{host}&limit=1"));
    let observed = ways["observed"].as_array().map(Vec::len);
    assert!(observed.is_some_and(|n| n <= 1) && ways["observed_total"].is_u64(), "{ways}");

    let metrics = client.get("/metrics").body;
    let count = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{name}"))
    };
    assert!(count("holm_questions_total") >= 4, "{metrics}");
    assert_eq!(count("holm_questions_refused_busy_total"), 0);
    for name in ["holm_questions_given_up_total", "holm_exports_refused_busy_total"] {
        assert_eq!(count(name), 0, "{name}");
    }
    count("holm_questions_running");
}

#[test]
fn an_element_is_found_by_any_of_its_names() {
    let Ok(machine) = std::fs::read_to_string("/proc/sys/kernel/hostname") else {
        return println!("skipped: the machine's name is not known");
    };
    let lab = Lab::new();
    let node = lab.found("berlin").start_with(&[("HOLM_PLANES_HOST_ENABLED", "true")]);
    let client = node.place.client();
    let by_name = format!("/v1/topology/element?id=host:{}", machine.trim());
    let started = std::time::Instant::now();
    let element = loop {
        let answer = client.get(&by_name);
        if answer.status == 200 && answer.json()["names_total"].as_u64() > Some(1) {
            break answer.json();
        }
        if started.elapsed() > std::time::Duration::from_secs(15) {
            return println!("skipped: this machine has no name with an address of its own");
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let names = element["names"].as_array().expect("a list");
    assert_eq!(names[0], element["id"], "the shown name comes first: {element}");
    for name in names.iter().filter_map(|name| name.as_str()) {
        let same = node.get(&format!("/v1/topology/element?id={name}"));
        assert_eq!((&same["id"], &same["names"]), (&element["id"], &element["names"]), "{same}");
        let alone = node.get(&format!("/v1/topology/element?id={name}&fold=false"));
        assert_eq!((&alone["id"], &alone["names_total"]), (&json!(name), &json!(1)), "{alone}");
    }
    let first = node.get(&format!("{by_name}&limit=1"));
    assert_eq!(first["names"].as_array().map(Vec::len), Some(1));
    assert_eq!(first["names_total"], element["names_total"], "{first}");
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
    for path in [
        "/v1/topology?around=site:berlni",
        "/v1/topology/export?around=site:berlni",
        "/v1/topology/element?id=site:berlni",
        "/v1/topology/element?id=berlin",
        "/v1/topology/neighbours?id=site:berlni",
        "/v1/topology/paths?from=site:berlin&to=site:berlni",
    ] {
        let answer = client.get(path);
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        assert!(answer.error().1.contains("near it: site:berlin"), "{path}: {}", answer.body);
    }
    let near = ask(json!({ "target": "attribute:holm.plane.activ=off" }));
    assert!(near.error().1.contains("near it: attribute:holm.plane.active=off"), "{}", near.body);
    for (written, canonical) in
        [("host:LIMA.", "host:lima "), ("host:::ffff:192.0.2.7", "host:192.0.2.7 ")]
    {
        let answer = client.get(&format!("/v1/topology/element?id={written}"));
        assert_eq!(answer.status, 404, "{written}: {}", answer.body);
        assert!(answer.error().1.starts_with(canonical), "{}", answer.body);
    }
    let then = client.get("/v1/topology?around=site:berlin&at=2020-01-01T00:00:00Z");
    let told = then.error().1;
    assert!(told.contains("at 2020-01-01T00:00:00.000Z: it is there since"), "{told}");
    node.place.holm(&["topology", "--around", "site:berlni"]).failed_naming(&["site:berlin"]);

    // What is asked for twice, or cannot be, is refused and not guessed.
    let twice = ask(json!({ "target": "site:berlin", "drain": ["site:berlin"] }));
    assert_eq!((twice.status, twice.error().0.as_str()), (422, "validation"), "{}", twice.body);
    let many: Vec<String> = (0..101).map(|n| format!("attribute:a={n}")).collect();
    let many = ask(json!({ "targets": many }));
    assert_eq!(many.status, 422);
    assert!(many.error().1.contains("at most 100 by attribute"), "{}", many.body);
    assert_eq!(
        ask(json!({ "target": "site:berlin", "at": 1000 })).status,
        404,
        "a number is a time"
    );
    assert_eq!(ask(json!({ "target": "site:berlin", "at": "soon" })).status, 422);
    assert_eq!(ask(json!({ "target": "site:berlin", "at": 9_999_999_999_999_u64 })).status, 400);
    for path in [
        "/v1/topology?at=9999999999999",
        "/v1/topology/export?at=9999999999999",
        "/v1/topology/element?id=site:berlin&at=9999999999999",
        "/v1/topology/search?q=x&at=9999999999999",
        "/v1/topology/spof?at=9999999999999",
        "/v1/topology/diff?from=1&to=9999999999999",
    ] {
        let ahead = client.get(path);
        assert_eq!(ahead.status, 400, "{path}: {}", ahead.body);
        assert!(ahead.error().1.contains("lies ahead"), "{path}: {}", ahead.body);
    }
    for query in ["fold=false&fold=true", "limit=1&limit=3", "around=a:b&around=c:d", "depth=3"] {
        let refused = client.get(&format!("/v1/topology?{query}"));
        assert_eq!(refused.status, 400, "{query}: {}", refused.body);
    }
    for (path, status) in [
        ("/v1/topology/paths?from=site:berlin&to=site:atlantis", 404),
        ("/v1/topology/paths?from=site:berlin&from=site:berlin&to=site:berlin", 400),
        ("/v1/topology/spof?limit=1&limit=2", 400),
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
    node.place.holm(&["changes", "yesterday"]).failed_naming(&["yesterday", "not a time"]);
    node.place.holm(&["diff", "yesterday"]).failed_naming(&["yesterday", "not a time"]);
}
