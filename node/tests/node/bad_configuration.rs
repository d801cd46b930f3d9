//! A wrong configuration or a port in use: what is wrong, where, and what to do.

use std::net::{TcpListener, UdpSocket};

use crate::common::{Lab, eventually, holm, holm_with};

#[test]
fn an_unknown_key_is_named_with_its_line_and_nothing_starts() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let path = place.file("holm.toml");
    let good = std::fs::read_to_string(&path).expect("written");
    place.holm(&["config", "check"]).succeeded();
    std::fs::write(&path, good.replace("[mesh]\n", "[mesh]\nlistn = \"[::]:1\"\n")).expect("ours");
    let text = std::fs::read_to_string(&path).expect("ours");
    let line = text.lines().position(|line| line.starts_with("listn")).expect("there") + 1;
    let at = format!("line {line}");
    for args in [&["config", "check"][..], &["up"]] {
        place.holm(args).failed_naming(&["holm.toml", "listn", &at]);
    }
    for (from, to, named) in [
        ("mdns = true", "mdns = \"perhaps\"", "mdns"),
        ("svid_lifetime = ", "svid_lifetime = \"1s\" #", "svid_lifetime"),
        ("plain_listen = \"\"", "plain_listen = \"192.0.2.1:80\"", "loopback"),
        ("tls_cert = \"\"", "tls_cert = \"cert.pem\"", "tls_key"),
        (
            "tls_cert = \"\"\ntls_key = \"\"",
            "tls_cert = \"no.pem\"\ntls_key = \"no.key\"",
            "no.pem",
        ),
        ("level = \"info\"", "level = \"a=b=c\"", "log.level"),
        ("format = \"text\"", "format = \"xml\"", "log.format"),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(&path, good.replace(from, to)).expect("ours");
        place.holm(&["config", "check"]).failed_naming(&[named]);
    }
    std::fs::write(&path, &good).expect("ours");
    place.start();
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_one_there_is() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let dir = place.dir.to_string_lossy();
    for command in [&["config", "check", "--dir"][..], &["up", "--dir"]] {
        let args = [command, &[dir.as_ref()]].concat();
        let ran = holm_with(&args, &[("HOLM_MESH_LISTN", "[::]:4747")]);
        ran.failed_naming(&["HOLM_MESH_LISTN", "HOLM_MESH_LISTEN"]);
        let ran = holm_with(&args, &[("HOLM_MESH_MDNS", "perhaps")]);
        ran.failed_naming(&["HOLM_MESH_MDNS", "perhaps"]);
    }
    let shown = holm(&["config", "show", "--defaults"]).succeeded();
    assert!(shown.contains("svid_lifetime"), "{shown}");
}

#[test]
fn an_api_port_in_use_is_named_and_the_node_does_not_start() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let taken = TcpListener::bind(place.api).expect("a free port");
    let port = place.api.to_string();
    place.holm(&["up"]).failed_naming(&[&port, "api.listen"]);
    drop(taken);
    place.start();
}

#[test]
fn a_mesh_port_in_use_leaves_the_node_serving_its_own_site_and_saying_why() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let taken = UdpSocket::bind(place.mesh).expect("a free port");
    let node = place.start();
    // It serves before the mesh has tried.
    let reason = eventually("it says why", || {
        let sites = node.get("/v1/sites");
        let reason = sites["replicating_reason"].as_str()?;
        let says = reason.contains(&place.mesh.to_string()) && reason.contains("set mesh.listen");
        let state = (&sites["mesh_running"], &sites["replicating"]);
        (says && state == (&false.into(), &false.into())).then(|| reason.to_owned())
    });
    let status = place.holm(&["status"]).succeeded();
    assert!(status.contains("NOT REPLICATING") && status.contains(&reason), "{status}");
    eventually("it goes on observing its own site", || {
        (node.get("/v1/topology")["nodes"][0]["id"] == "site:berlin").then_some(())
    });
    let place = node.stop();
    drop(taken);
    let node = place.start();
    eventually("it replicates", || (node.get("/v1/sites")["replicating"] == true).then_some(()));
}

#[test]
fn a_second_node_in_the_same_folder_is_refused_and_the_first_one_runs_on() {
    let lab = Lab::new();
    let first = lab.found("berlin").start();
    let place = &first.place;
    let elsewhere = [("HOLM_API_LISTEN", "127.0.0.1:0"), ("HOLM_MESH_LISTEN", "127.0.0.1:0")];
    let second = place.spawn(&elsewhere).ended();
    second.failed_naming(&["another node runs in this folder", "--dir"]);
    assert_eq!(first.get("/v1/me")["site"], "berlin");
}

#[test]
fn a_folder_without_a_mesh_or_with_one_already_says_what_to_do() {
    let lab = Lab::new();
    let empty = lab.place("empty");
    empty.holm(&["up"]).failed_naming(&["holm.toml", "holm mesh init", "holm join"]);
    let place = lab.found("berlin");
    place
        .holm(&["mesh", "init", "--trust-domain", "t.test"])
        .failed_naming(&["there is a mesh here already", "holm token create"]);
    place.holm(&["status"]).failed_naming(&["is the node running", "holm up"]);
}
