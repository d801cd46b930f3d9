//! The ways to a test's target, from the trace to the page; and `holm trace` at a terminal and without one.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::{Lab, holm, holm_with, within};

const WHILE: Duration = Duration::from_secs(180);
const BIN: &str = env!("CARGO_BIN_EXE_holm");

#[test]
fn the_ways_to_the_target_of_a_test_are_shown_now_and_then() {
    let lab = Lab::new();
    let table = lab.path().join("systems.txt");
    std::fs::write(&table, "127.0.0.0\t127.255.255.255\t64496\tDE\tLoopback\n").expect("written");
    let node = lab.found("berlin").start_with(&[
        ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
        ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]"),
        ("HOLM_PLANES_PATH_ENABLED", "true"),
        ("HOLM_PLANES_PATH_MESH", "false"),
        ("HOLM_PLANES_PATH_INTERVAL", "10s"),
        ("HOLM_PLANES_PATH_ASN_FILE", table.to_str().expect("a path")),
        (
            "HOLM_PLANES_PATH_TARGETS",
            "[{ name = \"self\", target = \"127.0.0.1\", mtu = true }, { name = \"other\", target = \"127.0.0.2\" }]",
        ),
    ]);
    let file = node.place.dir.join("test.yaml");
    let test = "kind: Test\nname: shop\nprobe: icmp\ntarget: 127.0.0.1\ninterval: 5s\n---\n\
                kind: Test\nname: far\nprobe: icmp\ntarget: 127.0.0.9\ninterval: 5s\n---\n\
                kind: Test\nname: own\nprobe: tcp\ntarget: 127.0.0.8\nport: 9\ninterval: 5s\ntrace: true\n---\n\
                kind: Test\nname: shut\nprobe: icmp\ntarget: 169.254.169.254\ninterval: 5s\ntrace: true\n";
    std::fs::write(&file, test).expect("written");
    node.place.holm(&["test", "create", file.to_str().expect("a path")]).succeeded();
    let found = within("the target is traced", WHILE, || {
        let found = node.get("/v1/tests/shop/path");
        let ways = found["ways"].as_array()?;
        (!ways.is_empty()).then(|| found.clone())
    });
    assert_eq!(found["host"], "127.0.0.1", "{found}");
    assert_eq!(found["ways"].as_array().map(Vec::len), Some(1), "of this host alone: {found}");
    let ways = &found["ways"][0];
    assert_eq!(ways["trace"]["site"], "berlin");
    assert_eq!(ways["trace"]["target"], "self");
    assert_eq!(ways["trace"]["reached"], true, "{ways}");
    assert_eq!(ways["trace"]["as_path"], "64496", "{ways}");
    let interface = &ways["hops"][0]["interfaces"][0];
    assert_eq!(interface["address"], "127.0.0.1", "{ways}");
    assert_eq!((&interface["system"], &interface["country"]), (&64_496.into(), &"DE".into()));
    assert_eq!(
        (&interface["system_name"], &interface["reached"]),
        (&"Loopback".into(), &true.into())
    );
    // The largest packet there is, whatever the loopback would take beyond it.
    assert_eq!(
        (&ways["trace"]["mtu"], &ways["mtu_how"]),
        (&65_535.into(), &"link".into()),
        "{ways}"
    );

    // Before there were traces there is none.
    let at = found["traces"].as_array().and_then(|all| all.last()).expect("a trace")["at"].clone();
    let first = at.as_str().expect("a time");
    let before = node.get(&format!(
        "/v1/tests/shop/path?from=2020-01-01T00:00:00Z&at={}",
        "2020-01-02T00:00:00Z"
    ));
    assert_eq!(before["ways"], Value::Array(Vec::new()), "{before}");
    let then = node.get(&format!("/v1/tests/shop/path?at={first}"));
    assert_eq!(then["ways"][0]["trace"]["at"], at, "{then}");
    // A test that asks for it is traced by itself, as it probes, and past the guard like its probes.
    let own = within("the test that asks for it is traced", WHILE, || {
        let found = node.get("/v1/tests/own/path");
        (!found["ways"].as_array()?.is_empty()).then_some(found)
    });
    let trace = &own["ways"][0]["trace"];
    assert_eq!(
        (&trace["target"], &trace["protocol"]),
        (&"127.0.0.8".into(), &"tcp".into()),
        "{own}"
    );
    let refused = within("what the guard refuses is not traced", WHILE, || {
        let rows = node.get("/v1/rows?table=path_results&limit=1000");
        let mut rows =
            rows["items"].as_array()?.clone().into_iter().map(|row| row["columns"].clone());
        rows.find(|row| row["target"] == "169.254.169.254")
    });
    assert!(
        refused["error"].as_str().is_some_and(|e| e.contains("planes.active.allow")),
        "{refused}"
    );
    let far = node.get("/v1/tests/far/path");
    assert_eq!(far["ways"], Value::Array(Vec::new()), "{far}");

    let printed = node.place.holm(&["test", "path", "shop"]).succeeded();
    assert!(
        printed.contains("berlin: self by udp") && printed.contains("AS64496 Loopback (DE)"),
        "{printed}"
    );
    assert!(printed.contains("path MTU 65535 (link)"), "{printed}");
    let printed = node.place.holm(&["test", "path", "far"]).succeeded();
    assert!(printed.contains("planes.path.targets"), "{printed}");
    node.place.holm(&["test", "path", "nothing"]).failed_naming(&["nothing"]);
    let (from, at) = ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z");
    node.place.holm(&["test", "path", "shop", "--from", from, "--at", at]).failed_naming(&["from"]);
}

#[test]
fn a_trace_without_a_terminal_is_one_answer() {
    let lab = Lab::new();
    let table = lab.path().join("systems.txt");
    std::fs::write(&table, "127.0.0.0/8 64496 Loopback\n").expect("written");
    let table = table.to_str().expect("a path");
    let text = holm(&["trace", "127.0.0.1", "--mtu"]).succeeded();
    assert!(text.contains("127.0.0.1") && text.contains("reached:"), "{text}");
    assert!(text.contains("path MTU 65535 bytes, as this machine's own link"), "{text}");
    let json =
        holm_with(&["trace", "127.0.0.1", "--json"], &[("HOLM_ASN_FILE", table)]).succeeded();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["outcome"], "reached");
    assert_eq!(json["hops"][0]["interfaces"][0]["system"]["number"], 64_496);
    let dot = holm(&["trace", "127.0.0.1", "--dot", "--asn-file", table]).succeeded();
    assert!(dot.starts_with("digraph path {") && dot.contains("AS64496 Loopback"), "{dot}");
    holm(&["trace", "127.0.0.1", "--json", "--dot"]).failed_naming(&["--dot"]);
    holm(&["trace", "127.0.0.1", "--asn-file", "/nowhere"])
        .failed_naming(&["/nowhere", "asn_file"]);
    holm(&["trace", "127.0.0.1", "--every", "1ms"]).failed_naming(&["--every", "100ms"]);
}

#[test]
fn at_a_terminal_a_trace_goes_on_until_a_key_ends_it() {
    let lab = Lab::new();
    // util-linux's `script` gives it a terminal of its own.
    let command = format!("stty rows 24 cols 100; exec {BIN} trace 127.0.0.1 --every 100ms");
    let begun = Command::new("script")
        .args(["-qefc", &command, "typescript"])
        .current_dir(lab.path())
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = begun else {
        println!("skipped: no `script` here");
        return;
    };
    let shown = || {
        let bytes = std::fs::read(lab.path().join("typescript")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut keys = child.stdin.take().expect("piped");
    let mut press =
        |key: &str| keys.write_all(key.as_bytes()).and_then(|()| keys.flush()).expect("it reads");
    within("hops are shown", WHILE, || {
        let text = shown();
        (text.contains("interface") && text.contains("127.0.0.1")).then_some(())
    });
    press("\r");
    // Words are drawn one by one.
    within("details are shown", WHILE, || shown().contains("answered").then_some(()));
    press("j");
    let file = within("the ways are written", WHILE, || {
        let files = std::fs::read_dir(lab.path()).ok()?;
        let mut names = files.flatten().map(|file| file.path());
        names.find(|path| path.extension().is_some_and(|extension| extension == "json"))
    });
    within("the file is whole", WHILE, || {
        let text = std::fs::read_to_string(&file).ok()?;
        serde_json::from_str::<Value>(&text).ok().filter(|json| json["outcome"] == "reached")
    });
    press("q");
    let ended = within("it ends", WHILE, || child.try_wait().expect("its state"));
    assert!(ended.success(), "{}", shown());
    let text = shown();
    // Back from the other screen, with the last picture as lines.
    assert!(text.contains("\u{1b}[?1049l") && text.contains("reached: "), "{text}");
}
