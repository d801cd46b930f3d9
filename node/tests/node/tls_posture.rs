//! How servers do TLS, as all sites see it: tests of the kinds tls and http, and what is wrong with what they saw.

use std::time::Duration;

use serde_json::Value;

use crate::common::{Answer, Lab, Running, agree, within};

const OPEN: [(&str, &str); 2] =
    [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]")];
const WHILE: Duration = Duration::from_secs(120);

fn put(node: &Running, name: &str, text: &str) -> Answer {
    let path = format!("/v1/tests/{name}");
    node.place.client().ask("PUT", &path, &[], text).expect("an answer")
}

fn item(posture: &Value, endpoint: &str) -> Option<Value> {
    posture["items"].as_array()?.iter().find(|item| item["endpoint"] == endpoint).cloned()
}

fn kinds(item: &Value) -> Vec<&str> {
    let findings = item["findings"].as_array().expect("findings").iter();
    findings.filter_map(|finding| finding["kind"].as_str()).collect()
}

#[test]
fn what_all_sites_see_of_a_server_is_judged_in_one_place() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&OPEN);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&OPEN);
    agree(&[&berlin, &tokyo]);
    assert_eq!(berlin.get("/v1/tls/posture")["total"], 0);
    let nothing = berlin.place.holm(&["tls", "posture"]).succeeded();
    assert!(nothing.contains("probe: tls"), "{nothing}");

    // A node's own API is a server of TLS.
    let port = berlin.place.api.port();
    let at = berlin.place.api.ip();
    let endpoint = format!("{at}:{port}");
    let text = format!(
        "kind: Test\nname: cert\nprobe: tls\ntarget: {at}\nport: {port}\ntls_scan: ciphers\ninterval: 1s\ntimeout: 20s\n"
    );
    assert_eq!(put(&berlin, "cert", &text).status, 200);
    let text = format!(
        "kind: Test\nname: page\nprobe: http\ntarget: https://{endpoint}/healthz\nhttp_version: auto\ninterval: 1s\n\
         timeout: 20s\n"
    );
    assert_eq!(put(&tokyo, "page", &text).status, 200);
    let seen = within("both sites saw it by both tests", WHILE, || {
        let posture = tokyo.get("/v1/tls/posture?soon_days=825");
        let item = item(&posture, &endpoint)?;
        let sights = item["sights"].as_array()?.clone();
        let by = |site: &str, probe: &str| {
            sights.iter().any(|sight| sight["site"] == site && sight["probe"] == probe)
        };
        let all = ["berlin", "tokyo"].iter().all(|site| by(site, "tls"));
        (all && posture["asked"]["complete"] == true).then_some(item)
    });
    // A node's certificate never lasts as long as that.
    let found = kinds(&seen);
    assert!(found.contains(&"expires_soon"), "{seen}");
    let finding = seen["findings"].as_array().expect("findings").iter();
    let finding = finding.clone().find(|one| one["kind"] == "expires_soon").expect("found");
    assert_eq!(finding["sites"], serde_json::json!(["berlin", "tokyo"]), "{seen}");
    let sights = seen["sights"].as_array().expect("sights");
    let sight = sights.iter().find(|sight| sight["probe"] == "tls").expect("by tls");
    assert_eq!(sight["version"], "TLSv1_3", "{sight}");
    let versions = sight["versions"].as_array().expect("looked at");
    assert!(versions.contains(&"1.3".into()) && !versions.contains(&"1.0".into()), "{sight}");
    assert!(sight["days_left"].as_f64() > Some(0.0) && sight["serial"].is_string(), "{sight}");
    assert!(!found.contains(&"old_version") && !found.contains(&"weak_cipher"), "{seen}");
    let none = berlin.get("/v1/tls/posture?soon_days=0&finding=expires_soon");
    assert_eq!(none["total"], 0, "{none}");
    let only = berlin.get(&format!("/v1/tls/posture?site=tokyo&server={at}"));
    let sights = only["items"][0]["sights"].as_array().expect("sights").clone();
    assert!(sights.iter().all(|sight| sight["site"] == "tokyo"), "{only}");

    let printed = tokyo.place.holm(&["tls", "posture", "--soon-days", "825"]).succeeded();
    assert!(printed.contains(&endpoint) && printed.contains("expires_soon"), "{printed}");
    let host = at.to_string();
    let printed = tokyo.place.holm(&["tls", "posture", &host]).succeeded();
    assert!(printed.contains("agreed on") && printed.contains("TLSv1_3"), "{printed}");
    berlin.place.holm(&["tls", "posture", "--soon-days", "900"]).failed_naming(&["soon_days"]);

    // Secrets do not stand in what everybody holds.
    let secret = "kind: Test\nname: page\nprobe: http\ntarget: https://a.example/\ninterval: 1s\n\
                  headers: { Authorization: Bearer x }\n";
    let refused = put(&berlin, "page", secret);
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("header_files"), "{}", refused.body);
}
