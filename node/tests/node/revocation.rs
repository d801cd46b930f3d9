//! A revoked node is out at once, everywhere, and stays out.

use crate::common::{Lab, Running, agree, eventually};

fn revoked_at(node: &Running) -> Vec<String> {
    let list = node.get("/v1/mesh/revocations");
    let items = list["items"].as_array().expect("a list");
    items.iter().filter_map(|item| item["spiffe_id"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_revoked_node_is_put_out_by_every_site_and_not_let_in_again_after_a_restart() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let oslo = lab.join(&berlin, "oslo").start();
    agree(&[&berlin, &tokyo, &oslo]);
    eventually("all hear each other", || {
        (oslo.hears("tokyo") && tokyo.hears("oslo") && berlin.hears("tokyo")).then_some(())
    });
    let tokens = berlin.token("tokyo");

    let revoke = ["revoke", "--site", "tokyo", "--reason", "stolen laptop"];
    oslo.place.holm(&revoke).failed_naming(&["issues no certificates"]);
    berlin
        .place
        .holm(&["revoke", "--site", "atlantis", "--reason", "x"])
        .failed_naming(&["atlantis"]);
    berlin.place.holm(&revoke).succeeded();

    let id = "spiffe://t.test/site/tokyo/node/n1";
    eventually("both others put it out", || {
        (!berlin.hears("tokyo") && !oslo.hears("tokyo")).then_some(())
    });
    eventually("both others list it", || {
        (revoked_at(&berlin) == [id] && revoked_at(&oslo) == [id]).then_some(())
    });
    eventually("it is told why", || {
        // By the code of the closed connection or by the TLS alert of the next one, whichever came last.
        let refusal = tokyo.member("berlin")?["last_refusal"].as_str()?.to_lowercase();
        refusal.contains("revoked").then_some(())
    });
    assert_eq!(tokyo.get("/v1/me")["site"], "tokyo", "it serves its own site");
    assert!(berlin.hears("oslo") && oslo.hears("berlin"), "the others are as they were");

    // Neither a restart of the issuer nor one of its own lets it in.
    let berlin = berlin.stop().start();
    let tokyo = tokyo.stop().start();
    eventually("the issuer is back among the others", || {
        (berlin.hears("oslo") && oslo.hears("berlin")).then_some(())
    });
    assert_eq!(revoked_at(&berlin), [id]);
    for _ in 0..10 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!berlin.hears("tokyo") && !tokyo.hears("berlin") && !oslo.hears("tokyo"));
    }
    // Nor does a token, with the same key.
    let place = tokyo.stop();
    place.join(&tokens).failed_naming(&["was revoked", "stolen laptop", "identity and tenants"]);
    std::fs::remove_dir_all(place.file("identity")).expect("ours");
    std::fs::remove_dir_all(place.file("tenants")).expect("ours");
    place.join(&tokens).succeeded();
    let tokyo = place.start();
    agree(&[&berlin, &tokyo, &oslo]);
}

#[test]
fn who_revoked_the_only_other_site_misses_nobody() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    berlin.place.holm(&["revoke", "--site", "tokyo", "--reason", "sold"]).succeeded();
    eventually("it is put out", || (!berlin.hears("tokyo")).then_some(()));
    // Longer than two rounds of judging, after which it would be raised.
    for _ in 0..16 {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let mesh = berlin.get("/v1/mesh");
        assert_eq!(mesh["verdicts"], serde_json::json!([]), "nobody is missing: {mesh}");
    }
    // Under a new key it counts again, also when it goes.
    let place = tokyo.stop();
    std::fs::remove_dir_all(place.file("identity")).expect("ours");
    std::fs::remove_dir_all(place.file("tenants")).expect("ours");
    place.join(&berlin.token("tokyo")).succeeded();
    let tokyo = place.start();
    agree(&[&berlin, &tokyo]);
    drop(tokyo.kill());
    eventually("now it is missed", || {
        let mesh = berlin.get("/v1/mesh");
        let verdict = mesh["verdicts"].as_array()?.first()?.clone();
        // With one other site nobody can say which of the two is to blame.
        (verdict["kind"] == "undecided" && verdict["subject"] == "tokyo").then_some(())
    });
}
