//! Which site may have which tenant: made, granted, taken back.

use serde_json::Value;

use crate::common::{Lab, Running, agree, eventually};

fn standing(node: &Running, tenant: &str, site: &str) -> Option<String> {
    let list = node.get("/v1/tenants");
    let tenant = list["items"].as_array()?.iter().find(|t| t["name"] == tenant)?.clone();
    let site = tenant["sites"].as_array()?.iter().find(|s| s["site"] == site)?.clone();
    site["replicate"]["state"].as_str().map(str::to_owned)
}

fn active_plane_of_berlin(node: &Running) -> Option<String> {
    let topology = node.get("/v1/topology");
    let nodes = topology["nodes"].as_array()?;
    let site = nodes.iter().find(|n| n["id"] == "site:berlin")?;
    site["attributes"]["holm.plane.active"].as_str().map(str::to_owned)
}

#[test]
fn a_site_whose_grant_is_taken_back_learns_nothing_new_until_it_is_granted_again() {
    let off = [("HOLM_PLANES_ACTIVE_ENABLED", "false")];
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&off);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&off);
    agree(&[&berlin, &tokyo]);
    assert_eq!(standing(&tokyo, "default", "tokyo").as_deref(), Some("granted"));
    assert_eq!(standing(&tokyo, "default", "berlin").as_deref(), Some("granted"));

    let printed =
        berlin.place.holm(&["tenant", "revoke", "default", "--site", "tokyo"]).succeeded();
    assert!(printed.contains("revoked"), "{printed}");
    eventually("tokyo hears of it", || {
        (standing(&tokyo, "default", "tokyo")? == "revoked").then_some(())
    });
    let berlin = berlin.stop().start_with(&[("HOLM_PLANES_ACTIVE_ENABLED", "true")]);
    let doctor = tokyo.place.holm(&["doctor"]);
    let told = "the grant of tenant default to site tokyo was taken back";
    assert!(!doctor.ok && doctor.out.contains(told), "{}", doctor.out);
    assert!(tokyo.place.holm(&["mesh", "top", "--once"]).succeeded().contains(told));
    let lags = tokyo.place.client().get("/metrics").body;
    assert!(lags.contains("holm_mesh_lag_ms{tenant=\"default\",site=\"berlin\"} "), "{lags}");
    eventually("berlin's own picture changes", || {
        (active_plane_of_berlin(&berlin)? != "off").then_some(())
    });
    eventually("they are connected again", || {
        (berlin.hears("tokyo") && tokyo.hears("berlin")).then_some(())
    });
    // Longer than the time in which everything is reconciled anyway.
    std::thread::sleep(std::time::Duration::from_secs(7));
    assert_eq!(active_plane_of_berlin(&tokyo).as_deref(), Some("off"), "as it was before");
    assert!(tokyo.hears("berlin"), "the site itself is still a member");

    tokyo
        .place
        .holm(&["tenant", "grant", "default", "--site", "tokyo"])
        .failed_naming(&["authority of tenant default is not on this node", "made the tenant"]);
    berlin
        .place
        .holm(&["tenant", "grant", "default", "--site", "tokyo", "--days", "30"])
        .succeeded();
    eventually("tokyo has berlin's news", || {
        (active_plane_of_berlin(&tokyo)? != "off").then_some(())
    });
    agree(&[&berlin, &tokyo]);
    assert_eq!(tokyo.get("/v1/mesh")["not_granted"], Value::Null);
    let printed =
        berlin.place.holm(&["tenant", "grant", "default", "--site", "nowhere"]).succeeded();
    assert!(printed.contains("no node is known here of nowhere"), "{printed}");
}

#[test]
fn a_tenant_has_no_name_where_it_was_not_granted() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let printed = berlin.place.holm(&["tenant", "create", "acme-secret"]).succeeded();
    assert!(printed.contains("node.tenants"), "{printed}");
    berlin
        .place
        .holm(&["tenant", "create", "acme-secret"])
        .failed_naming(&["acme-secret is there already"]);
    berlin
        .place
        .holm(&["tenant", "create", "holm-roster"])
        .failed_naming(&["holm-roster is the mesh's own"]);
    tokyo.place.holm(&["tenant", "create", "other"]).failed_naming(&["issues nothing"]);
    berlin
        .place
        .holm(&["tenant", "revoke", "acme-secret", "--site", "lima"])
        .failed_naming(&["lima was never granted"]);

    let unnamed = |list: &Value| {
        list["items"]
            .as_array()
            .is_some_and(|all| all.len() == 2 && all.iter().any(|t| t["name"].is_null()))
    };
    eventually("tokyo hears that there is another tenant", || {
        unnamed(&tokyo.get("/v1/tenants")).then_some(())
    });
    let printed = tokyo.place.holm(&["tenant", "list"]).succeeded();
    assert!(printed.contains("does not know their names"), "{printed}");
    assert!(!tokyo.get("/v1/tenants").to_string().contains("acme-secret"));

    berlin
        .place
        .holm(&["tenant", "grant", "acme-secret", "--site", "tokyo", "--rights", "replicate"])
        .succeeded();
    eventually("the name was delivered", || {
        (standing(&tokyo, "acme-secret", "tokyo")? == "granted").then_some(())
    });
    let viewer =
        berlin.place.holm(&["api-token", "create", "--name", "v", "--role", "viewer"]).succeeded();
    let token =
        viewer.split_whitespace().find(|word| word.starts_with("holm_api_")).expect("a token");
    let refused = berlin.place.client().with_token(token).get("/v1/tenants");
    assert_eq!(refused.status, 403, "for operators");
}

#[test]
fn an_erased_tenant_is_destroyed_everywhere_also_where_a_node_was_away() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let lima = lab.join(&berlin, "lima").start();
    agree(&[&berlin, &tokyo, &lima]);
    eventually("everyone's sealing key is known", || {
        let keys = berlin.place.client().get("/metrics").body;
        keys.contains("holm_roster_statements{kind=\"sealing_keys\"} 3").then_some(())
    });
    let lima = lima.stop();

    tokyo
        .place
        .holm(&["tenant", "erase", "default", "--yes"])
        .failed_naming(&["authority of tenant default is not on this node"]);
    berlin.place.holm(&["tenant", "erase", "default"]).failed_naming(&["for good", "--yes"]);
    let answer = berlin
        .place
        .client()
        .post("/v1/tenants/default/erasure", &serde_json::json!({ "confirm": "other" }));
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(berlin.place.file("tenants/default/data.key").exists(), "nothing happened yet");

    berlin.place.holm(&["tenant", "erase", "default", "--yes"]).succeeded();
    let gone = |place: &crate::common::Place| {
        let left = ["tenants/default", "identity/tenant-default.pem"];
        left.iter().all(|path| !place.file(path).exists())
    };
    assert!(gone(&berlin.place), "here it is destroyed when the command returns");
    eventually("tokyo destroys it and says so", || {
        let printed = berlin.place.holm(&["tenant", "list"]).succeeded();
        let said =
            printed.contains("berlin/n1, tokyo/n1") && printed.contains("NOT YET at lima/n1");
        (said && gone(&tokyo.place)).then_some(())
    });
    let refused = berlin.place.client().get("/v1/topology");
    assert_eq!(refused.status, 404);
    assert!(refused.body.contains("tenant default was erased"), "{}", refused.body);
    berlin
        .place
        .holm(&["tenant", "grant", "default", "--site", "tokyo"])
        .failed_naming(&["authority of tenant default is not on this node"]);

    assert!(lima.file("tenants/default/data.key").exists(), "it has not heard of it");
    let lima = lima.start();
    eventually("lima hears of it, destroys it and says so", || {
        let printed = berlin.place.holm(&["tenant", "list"]).succeeded();
        (printed.contains("finished") && gone(&lima.place)).then_some(())
    });
    let tokyo = tokyo.stop().start();
    assert!(gone(&tokyo.place), "a restart opens nothing anew");
    assert!(tokyo.log().contains("take it out of node.tenants"), "{}", tokyo.log());
}

#[test]
fn an_erasure_waits_for_a_node_that_was_replaced_under_its_name() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    let keys_known = |count: usize| {
        let metrics = berlin.place.client().get("/metrics").body;
        let line = format!("holm_roster_statements{{kind=\"sealing_keys\"}} {count}");
        metrics.contains(&line).then_some(())
    };
    eventually("both sealing keys are known", || keys_known(2));
    let first = tokyo.kill();
    eventually("its name is free", || {
        berlin.member("tokyo").is_some_and(|member| member["connected"] == false).then_some(())
    });
    let second = lab.place("tokyo-again");
    second.join(&berlin.token("tokyo")).succeeded();
    let second = second.start();
    eventually("its successor's key is known too", || keys_known(3));
    agree(&[&berlin, &second]);

    berlin.place.holm(&["tenant", "erase", "default", "--yes"]).succeeded();
    let erasure = || {
        let list = berlin.get("/v1/tenants");
        let tenant = list["items"].as_array()?.iter().find(|of| of["name"] == "default")?;
        Some(tenant["erasure"].clone())
    };
    let of_tokyo = |nodes: &Value| {
        let tokyo = nodes.as_array()?.iter().find(|node| node["site"] == "tokyo")?;
        tokyo["key"].as_str().map(str::to_owned)
    };
    let erased =
        eventually("the successor destroys it and says so", || of_tokyo(&erasure()?["erased"]));
    let standing = erasure().expect("it stands");
    assert_eq!(standing["finished"], false, "{standing}");
    let missing = of_tokyo(&standing["missing"]).expect("the first node of tokyo still has it");
    assert_ne!(missing, erased);
    assert!(first.file("tenants/default/data.key").exists(), "it has not heard of it");

    drop(second.kill());
    let first = first.start();
    eventually("the first hears of it, destroys it and says so", || {
        let gone = !first.place.file("tenants/default").exists();
        (gone && erasure()?["finished"] == true).then_some(())
    });
}
