//! A site that is down, and being cut off, are told apart: from what every site reaches.

use serde_json::Value;

use crate::common::{Lab, Running, agree, eventually};

fn verdicts(node: &Running) -> Vec<(String, String, bool)> {
    let mesh = node.get("/v1/mesh");
    let text = |verdict: &Value, key: &str| verdict[key].as_str().unwrap_or_default().to_owned();
    let all = mesh["verdicts"].as_array().cloned().unwrap_or_default();
    all.iter().map(|v| (text(v, "kind"), text(v, "subject"), v["raised"] == true)).collect()
}

#[test]
fn a_site_down_and_a_node_cut_off_are_told_apart_raised_and_cleared() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start();
    let tokyo = lab.join(&berlin, "tokyo").start();
    let lima = lab.join(&berlin, "lima").start();
    agree(&[&berlin, &tokyo, &lima]);
    let all_views = eventually("berlin has the views of both others", || {
        let mesh = berlin.get("/v1/mesh");
        (mesh["views"].as_array()?.len() == 3).then_some(mesh)
    });
    assert_eq!(all_views["verdicts"], serde_json::json!([]), "all is well");
    // A topology of each site, and what was enrolled by whom.
    let documents = all_views["documents"]["total"].as_u64();
    assert!(documents.is_some_and(|total| total >= 3), "{documents:?}");
    assert_eq!(all_views["lags"].as_array().map(Vec::len), Some(3));

    eventually("one machine's clocks differ by nothing, within the error that is shown", || {
        let mesh = berlin.get("/v1/mesh");
        let members = mesh["members"].as_array()?;
        let clocks: Vec<&Value> = members.iter().map(|member| &member["clock"]).collect();
        clocks.iter().all(|clock| clock.is_object()).then_some(())?;
        for clock in clocks {
            let (offset, error) = (clock["offset_ms"].as_f64()?, clock["error_ms"].as_f64()?);
            assert!(offset.abs() <= error, "{clock}");
        }
        Some(())
    });

    let lima = lima.kill();
    let down = ("site_down".to_owned(), "lima".to_owned(), true);
    for node in [&berlin, &tokyo] {
        eventually("two witnesses say that lima is down", || {
            verdicts(node).contains(&down).then_some(())
        });
    }
    let rows = eventually("the signal is written", || {
        let rows = berlin.get("/v1/rows?table=signals");
        rows["items"].as_array().is_some_and(|rows| !rows.is_empty()).then_some(rows)
    });
    let row = &rows["items"][0]["columns"];
    assert_eq!((&row["kind"], &row["target"]), (&"site_down".into(), &"lima".into()), "{rows}");
    assert_eq!(row["state"], "raised");
    let printed = berlin.place.holm(&["mesh", "top", "--once"]).succeeded();
    assert!(printed.contains("SITE DOWN") && printed.contains("berlin, tokyo tried"), "{printed}");
    let printed = berlin.place.holm(&["doctor"]).succeeded();
    assert!(printed.starts_with("WARNING  site lima is down"), "{printed}");

    let tokyo = tokyo.kill();
    eventually("who reaches nobody is cut off", || {
        let found = verdicts(&berlin);
        (found.len() == 1 && found[0].0 == "cut_off" && found[0].2).then_some(())
    });
    berlin.place.holm(&["doctor"]).failed_naming(&["something is broken"]);

    let _up = [lima.start(), tokyo.start()];
    eventually("all is well again", || verdicts(&berlin).is_empty().then_some(()));
    eventually("what was raised is cleared", || {
        let rows = berlin.get("/v1/rows?table=signals&limit=10");
        let rows = rows["items"].as_array()?;
        let count = |state| rows.iter().filter(|row| row["columns"]["state"] == state).count();
        (count("raised") >= 2 && count("raised") == count("cleared")).then_some(())
    });
}
