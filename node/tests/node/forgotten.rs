//! A site that is gone for good is forgotten everywhere, what it held open ended, and it can come back.

use serde_json::Value;

use crate::common::{Lab, Running, agree, eventually};

/// Whether a node lists the site anywhere: as a site, a member, or one of those that lag.
fn lists(node: &Running, site: &str) -> bool {
    let (sites, mesh) = (node.get("/v1/sites"), node.get("/v1/mesh"));
    let named = |list: &Value| {
        list.as_array().is_some_and(|list| list.iter().any(|item| item["site"] == site))
    };
    named(&sites["items"]) || named(&mesh["members"]) || named(&mesh["lags"])
}

/// The last interval of what tokyo says of itself.
fn interval(node: &Running) -> Value {
    let element = node.get("/v1/topology/element?id=site:tokyo");
    let intervals = element["sites"][0]["intervals"].as_array().expect("a list");
    intervals.last().cloned().unwrap_or_default()
}

fn is_down_at(node: &Running, site: &str) -> bool {
    node.member(site).is_some_and(|member| member["state"] == "down")
}

#[test]
fn a_forgotten_site_is_listed_and_drawn_no_more_until_it_comes_back() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let oslo = lab.join(&berlin, "oslo").start();
    agree(&[&berlin, &tokyo, &oslo]);
    eventually("tokyo draws itself at both others", || {
        let drawn = |node: &Running| {
            node.place.client().get("/v1/topology/element?id=site:tokyo").status == 200
        };
        (drawn(&berlin) && drawn(&oslo)).then_some(())
    });
    eventually("leases come signed", || {
        let members = oslo.get("/v1/mesh")["members"].clone();
        members.as_array()?.iter().all(|member| member["lease_signed"] == true).then_some(())
    });
    let forget = ["mesh", "forget", "tokyo"];
    berlin.place.holm(&forget).failed_naming(&["tokyo/n1 is there", "connected"]);
    berlin.place.holm(&["mesh", "forget", "berlin"]).failed_naming(&["own site"]);
    berlin.place.holm(&["mesh", "forget", "atlantis"]).failed_naming(&["atlantis"]);

    let place = tokyo.kill();
    eventually("both others miss it", || {
        (is_down_at(&berlin, "tokyo") && is_down_at(&oslo, "tokyo")).then_some(())
    });
    assert_eq!(interval(&berlin)["to"], Value::Null, "it is not known to have ended");
    oslo.place.holm(&forget).failed_naming(&["issues no certificates"]);
    // The others' views are older than the loss of it for a while.
    eventually("nobody reaches it any more", || berlin.place.holm(&forget).ok.then_some(()));
    eventually("neither lists it, and it is drawn as ended", || {
        let done = |node: &Running| !lists(node, "tokyo") && interval(node)["to"].is_string();
        (done(&berlin) && done(&oslo)).then_some(())
    });
    assert_eq!(interval(&berlin), interval(&oslo), "ended at one moment");
    assert_eq!(berlin.get("/v1/topology")["freshness"]["unreachable"], serde_json::json!([]));
    let before = interval(&berlin)["to"].as_str().expect("a moment").to_owned();

    // A restart remembers it, and looks for nobody.
    let berlin = berlin.stop().start();
    eventually("it is ended there again", || interval(&berlin)["to"].as_str().map(str::to_owned));
    assert_eq!(interval(&berlin)["to"], *before);
    assert!(!lists(&berlin, "tokyo"));
    assert_eq!(oslo.get("/v1/mesh")["gone"][0]["back"], false);

    let tokyo = place.start();
    agree(&[&berlin, &tokyo, &oslo]);
    eventually("it is there again as it says", || {
        let back = |node: &Running| {
            node.hears("tokyo")
                && interval(node)["to"].is_null()
                && node.get("/v1/mesh")["gone"][0]["back"] == true
        };
        (back(&berlin) && back(&oslo)).then_some(())
    });
    berlin.place.holm(&forget).failed_naming(&["tokyo/n1 is there"]);
}

#[test]
fn what_is_left_of_an_old_key_is_forgotten_and_the_new_one_stays() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    berlin.place.holm(&["revoke", "--site", "tokyo", "--reason", "sold"]).succeeded();
    eventually("it is put out", || (!berlin.hears("tokyo")).then_some(()));
    let place = tokyo.stop();
    std::fs::remove_dir_all(place.file("identity")).expect("ours");
    std::fs::remove_dir_all(place.file("tenants")).expect("ours");
    place.join(&berlin.token("tokyo")).succeeded();
    let tokyo = place.start();
    agree(&[&berlin, &tokyo]);
    let rows = || {
        let members = berlin.get("/v1/mesh")["members"].clone();
        members.as_array().map_or(0, Vec::len)
    };
    eventually("the old key left a row that is down", || (rows() == 2).then_some(()));
    let forget = ["mesh", "forget", "tokyo", "--node", "n1"];
    eventually("the row can go", || berlin.place.holm(&forget).ok.then_some(()));
    eventually("one row is left", || (rows() == 1).then_some(()));
    assert!(berlin.get("/v1/topology/element?id=site:tokyo")["there"] == true);
    eventually("and it is connected", || {
        (berlin.get("/v1/mesh")["members"][0]["connected"] == true).then_some(())
    });
}
