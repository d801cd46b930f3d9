//! Two sites join and answer for each other, by every command.

use crate::common::{Lab, agree, eventually};

#[test]
fn two_sites_join_with_a_token_and_each_answers_for_both() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    agree(&[&berlin, &tokyo]);
    for (node, other) in [(&berlin, "tokyo"), (&tokyo, "berlin")] {
        eventually("each hears the other", || node.hears(other).then_some(()));
        let sites = node.get("/v1/sites");
        assert_eq!(sites["replicating"], true, "{sites}");
        assert_eq!(sites["cut_off"], serde_json::Value::Null, "{sites}");
        eventually("the other site's lease is live", || {
            let sites = node.get("/v1/sites");
            let site =
                sites["items"].as_array()?.iter().find(|site| site["site"] == other)?.clone();
            (site["state"] == "live" && site["as_of"].is_string()).then_some(())
        });
        let topology = node.get("/v1/topology");
        let seen: Vec<&str> = topology["nodes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|n| n["id"].as_str())
            .collect();
        assert_eq!(seen, ["site:berlin", "site:tokyo"]);
        let element = node.get(&format!("/v1/topology/element?id=site:{other}"));
        assert_eq!(element["sites"][0]["site"], other, "who says so: {element}");
    }
}

#[test]
fn every_reading_command_prints_a_table_or_the_apis_json() {
    let lab = Lab::new();
    let node = lab.found("berlin").start();
    eventually("the site is in its own topology", || {
        let nodes = node.get("/v1/topology")["total"]["nodes"].as_u64()?;
        (nodes > 0).then_some(())
    });
    let commands: [(&[&str], &str, &str); 7] = [
        (&["status"], "spiffe://t.test/site/berlin/node/n1", "me"),
        (&["sites"], "berlin", "items"),
        (&["topology"], "site:berlin", "nodes"),
        (&["planes"], "switched off in the configuration", "items"),
        (&["results"], "the active plane does not run", "collector_running"),
        (&["element", "site:berlin"], "open", "neighbours"),
        (&["rows", "host_connections"], "", "items"),
    ];
    for (command, text, key) in commands {
        let printed = node.place.holm(command).succeeded();
        assert!(printed.contains(text), "{command:?}: {printed}");
        let json = node.place.holm(&[command, &["--json"]].concat()).succeeded();
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert!(json.get(key).is_some(), "{command:?}: {json}");
    }
    node.place.holm(&["element", "site:atlantis"]).failed_naming(&["site:atlantis"]);
    node.place.holm(&["rows", "nonsense"]).failed_naming(&["nonsense", "host_connections"]);
}

#[test]
fn a_command_ends_with_the_one_who_reads_it() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_holm"))
        .args(["config", "show", "--defaults"])
        .stdout(writer)
        .output()
        .expect("the binary starts");
    assert!(!ran.status.success());
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "without a word");
}

#[test]
fn a_node_that_is_stopped_in_order_says_so_to_the_command_line() {
    let lab = Lab::new();
    let place = lab.found("berlin").start().stop();
    place.holm(&["status"]).failed_naming(&["is the node running", "holm up"]);
    let again = place.start();
    assert_eq!(again.get("/v1/me")["site"], "berlin");
}
