//! Questions in SQL, put to every site at once; and rows as files for other programs.

use serde_json::json;

use crate::common::{Lab, agree, eventually};

/// Every node is an active prober of the others, so both sites have rows.
const PROBING: [(&str, &str); 1] = [("HOLM_PLANES_ACTIVE_ENABLED", "true")];

#[test]
fn one_question_is_answered_by_all_sites_and_who_is_away_is_named() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBING);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBING);
    agree(&[&berlin, &tokyo]);
    let sql = "SELECT site, count(*) AS n FROM active_results GROUP BY site ORDER BY site";
    let ask = || berlin.place.client().post("/v1/query", &json!({ "sql": sql })).json();
    eventually("both sites have rows in the answer", || {
        let answer = ask();
        let rows = answer["rows"].as_array()?;
        let sites: Vec<&str> = rows.iter().filter_map(|row| row[0].as_str()).collect();
        (sites == ["berlin", "tokyo"] && answer["complete"] == true).then_some(())
    });
    let printed = tokyo.place.holm(&["query", sql]).succeeded();
    assert!(printed.contains("berlin") && printed.contains("tokyo"), "{printed}");
    let printed = tokyo.place.holm(&["query", "--name", "probe_results"]).succeeded();
    assert!(printed.contains("avg_ms"), "{printed}");

    // Its grant is taken back: it is not asked, and what it asks is not answered.
    let tokyo_place = tokyo.kill();
    eventually("who is away is named", || {
        let answer = ask();
        let sites = answer["sites"].as_array()?;
        let away = sites.iter().find(|site| site["site"] == "tokyo")?;
        (away["state"] != "answered" && answer["complete"] == false).then_some(())
    });
    drop(tokyo_place);

    let out = lab.path().join("out");
    let folder = out.to_string_lossy();
    berlin.place.holm(&["events", "export", "--out", &folder]).succeeded();
    let bytes = std::fs::read(out.join("active_results.parquet")).expect("exported");
    assert_eq!((&bytes[..4], &bytes[bytes.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
}

#[test]
fn a_site_without_a_grant_gets_no_rows() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&PROBING);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&PROBING);
    agree(&[&berlin, &tokyo]);
    let all = json!({ "sql": "SELECT DISTINCT site FROM active_results" });
    for node in [&berlin, &tokyo] {
        eventually("each has the other's rows in its answer", || {
            let answer = node.place.client().post("/v1/query", &all).json();
            (answer["rows"].as_array()?.len() == 2).then_some(())
        });
    }
    berlin.place.holm(&["tenant", "revoke", "default", "--site", "tokyo"]).succeeded();
    eventually("berlin asks tokyo no more, and answers it no more", || {
        let sql = "SELECT DISTINCT site FROM active_results";
        let mine = berlin.place.client().post("/v1/query", &json!({ "sql": sql })).json();
        let theirs = tokyo.place.client().post("/v1/query", &json!({ "sql": sql })).json();
        let only = |answer: &serde_json::Value, site: &str| {
            answer["rows"]
                .as_array()
                .is_some_and(|rows| !rows.is_empty() && rows.iter().all(|row| row[0] == site))
        };
        (only(&mine, "berlin") && only(&theirs, "tokyo")).then_some(())
    });
}

#[test]
fn what_is_no_question_is_refused() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    for sql in
        ["DROP TABLE signals", "SELECT * FROM information_schema.tables", "SELECT 1; SELECT 2"]
    {
        berlin.place.holm(&["query", sql]).failed_naming(&["a question is one SELECT"]);
    }
    berlin.place.holm(&["query", "SELECT * FROM nothing"]).failed_naming(&["not understood"]);
    berlin.place.holm(&["query", "--name", "nothing"]).failed_naming(&["there are probe_results"]);
    let printed = berlin.place.holm(&["query", "--tables"]).succeeded();
    assert!(
        printed.contains("host_connections") && printed.contains("source.address"),
        "{printed}"
    );
}
