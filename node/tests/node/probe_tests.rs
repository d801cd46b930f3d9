//! Tests that somebody makes by policy: run by the sites that they choose, wherever they were made, refused where the
//! operator did not open an address, in incidents and out of them, and the matrix of all pairs.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Answer, Client, Lab, Running, agree, eventually, within};

/// The active plane with what loopback needs: tests may reach it.
const OPEN: [(&str, &str); 3] = [
    ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
    ("HOLM_PLANES_ACTIVE_INTERVAL", "1s"),
    ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]"),
];
/// The same, and tests may reach nothing that is not public.
const SHUT: [(&str, &str); 2] =
    [("HOLM_PLANES_ACTIVE_ENABLED", "true"), ("HOLM_PLANES_ACTIVE_INTERVAL", "1s")];
const WHILE: Duration = Duration::from_secs(120);

fn file(name: &str, port: u16, more: &str) -> String {
    format!(
        "kind: Test\nname: {name}\nprobe: tcp\ntarget: 127.0.0.1\nport: {port}\ninterval: 1s\nfailures: 2\n\
         successes: 2\n{more}"
    )
}

fn send(client: &Client, method: &str, path: &str, text: &str) -> Answer {
    client.ask(method, path, &[], text).expect("an answer")
}

fn send_json(client: &Client, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    client.ask("POST", path, &headers, &body.to_string()).expect("an answer")
}

fn put(node: &Running, name: &str, text: &str) {
    let answer = send(&node.place.client(), "PUT", &format!("/v1/tests/{name}"), text);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// How a test stands at a site, as a node shows it without asking anybody.
fn at(node: &Running, test: &str, site: &str) -> Option<Value> {
    let answer = node.place.client().get(&format!("/v1/tests/{test}?stats=false"));
    let shown = (answer.status == 200).then(|| answer.json())?;
    let sites = shown["test"]["sites"].as_array()?.clone();
    sites.into_iter().find(|one| one["site"] == site)
}

fn stands(node: &Running, test: &str, site: &str, state: &str) -> Option<Value> {
    at(node, test, site).filter(|shown| shown["state"] == state)
}

/// Results of a test at a site itself.
fn results_at(node: &Running, test: &str) -> usize {
    let rows = node.get("/v1/rows?table=active_results&limit=2000");
    let of = |row: &&Value| row["columns"]["test"] == test && row["columns"]["kind"] == "test";
    rows["items"].as_array().expect("rows").iter().filter(of).count()
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

#[test]
fn a_test_that_is_made_at_one_site_runs_at_the_others_and_goes_on_without_its_maker() {
    let (_open, port) = listener();
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&OPEN);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&OPEN);
    agree(&[&berlin, &tokyo]);
    assert_eq!(berlin.get("/v1/tests")["total"], 0);

    let path = berlin.place.dir.join("tests.yaml");
    std::fs::write(&path, file("shop", port, "labels: { team: net }\n")).expect("written");
    let path = path.to_str().expect("a path");
    let checked = send(&berlin.place.client(), "POST", "/v1/tests/check", &file("shop", port, ""));
    assert_eq!(checked.json()["items"][0]["change"], "created");
    let created = berlin.place.holm(&["test", "create", path]).succeeded();
    assert!(created.starts_with("shop: created, runs at berlin"), "{created}");
    let again = berlin.place.holm(&["test", "create", path]).succeeded();
    assert!(again.starts_with("shop: unchanged"), "{again}");

    for node in [&berlin, &tokyo] {
        for site in ["berlin", "tokyo"] {
            within("it passes at both, as both say", WHILE, || {
                stands(node, "shop", site, "passing")
            });
        }
    }
    // Every site's rows are in the statistics, and each result is there to be looked at.
    let both = within("both answered with results", WHILE, || {
        let shown = tokyo.get("/v1/tests/shop");
        let sites = shown["test"]["sites"].as_array()?;
        let counted = |site: &Value| site["stats"]["results"].as_u64() >= Some(2);
        (sites.len() == 2 && sites.iter().all(counted)).then_some(shown)
    });
    assert_eq!(both["asked"]["complete"], true, "{both}");
    let stats = &both["test"]["stats"];
    assert_eq!(stats["success_ratio"], 1.0, "{both}");
    assert!(stats["p50_ms"].as_f64() <= stats["p99_ms"].as_f64(), "{both}");
    assert!(stats["p95_ms"].as_f64() > Some(0.0) && stats["last_at"].is_string(), "{both}");
    let page = berlin.get("/v1/results?test=shop&site=tokyo&limit=2");
    let items = page["items"].as_array().expect("items");
    assert!(items.len() == 2 && items.iter().all(|item| item["site"] == "tokyo"), "{page}");
    assert_eq!(items[0]["attributes"]["test"], "shop", "{page}");
    let heat = berlin.get("/v1/tests/shop/heat?columns=10&rows=4");
    let columns = heat["columns"].as_array().expect("columns");
    assert!(columns.len() <= 10 && heat["width_ms"].as_u64() >= Some(360_000), "{heat}");
    let in_rows = |column: &Value| -> u64 {
        column["rows"].as_array().expect("rows").iter().filter_map(Value::as_u64).sum()
    };
    let runs = heat["runs"].as_u64().expect("runs");
    assert!(runs >= 4 && heat["failed"] == 0, "{heat}");
    assert_eq!(columns.iter().map(in_rows).sum::<u64>(), runs, "every run is in a row: {heat}");
    assert!(columns.iter().any(|column| column["runs"] == 0), "an hour ago nothing was measured");
    let of_tokyo = berlin.get("/v1/tests/shop/heat?site=tokyo")["runs"].as_u64();
    assert!(of_tokyo > Some(0) && of_tokyo < Some(runs), "{of_tokyo:?} of {runs}");
    for (query, status, part) in [
        ("shop/heat?columns=9", 400, "columns=9: it goes from 10 to 200"),
        ("shop/heat?rows=41", 400, "rows=41: it goes from 4 to 40"),
        ("shop/heat?from=2020-01-01T00:00:00Z", 400, "at most 30 days"),
        ("nothing/heat", 404, "nothing"),
    ] {
        let answer = berlin.place.client().get(&format!("/v1/tests/{query}"));
        assert!(answer.status == status && answer.body.contains(part), "{query}: {}", answer.body);
    }
    let drawn = tokyo.place.holm(&["test", "heat", "shop"]).succeeded();
    assert!(drawn.contains("failed ┤") && drawn.contains("0 failed"), "{drawn}");
    let listed = tokyo.get("/v1/tests?window=1h&state=passing");
    assert_eq!(listed["items"][0]["definition"]["labels"]["team"], "net", "{listed}");
    let printed = tokyo.place.holm(&["test", "list", "--window", "1h"]).succeeded();
    assert!(printed.contains("shop") && printed.contains("100.00 %"), "{printed}");

    // Once, at another site than the one that is asked.
    let ran = berlin.place.holm(&["test", "run", "shop", "--site", "tokyo"]).succeeded();
    assert!(ran.starts_with("tokyo: answers in"), "{ran}");
    let ran = send(&berlin.place.client(), "POST", "/v1/tests/run", &file("unsaved", port, ""));
    assert_eq!(ran.json()["items"][0]["result"]["success"], true, "{}", ran.body);
    assert_eq!(berlin.get("/v1/tests")["total"], 1, "it is not kept");

    // Its maker is away: it goes on, and its edit of before stands.
    let berlin = berlin.stop();
    let before = results_at(&tokyo, "shop");
    within("tokyo goes on", WHILE, || (results_at(&tokyo, "shop") > before + 2).then_some(()));
    // One that is made while a site is away is run by it as soon as it is back.
    put(&tokyo, "late", &file("late", port, "sites: { names: [berlin] }\n"));
    let waiting = within("nobody runs it", WHILE, || {
        let shown = tokyo.get("/v1/tests/late?stats=false");
        (shown["test"]["state"] == "not_run").then_some(shown)
    });
    assert_eq!(waiting["test"]["sites"].as_array().map(Vec::len), Some(1), "{waiting}");
    let berlin = berlin.start_with(&OPEN);
    within("berlin runs it", WHILE, || stands(&berlin, "late", "berlin", "passing"));
    within("tokyo sees it", WHILE, || stands(&tokyo, "late", "berlin", "passing"));
    assert_eq!(results_at(&tokyo, "late"), 0, "it is berlin's alone");
    berlin.place.holm(&["test", "delete", "late"]).succeeded();
    within("gone at both", WHILE, || at(&tokyo, "late", "berlin").is_none().then_some(()));
    let metrics = berlin.place.client().get("/metrics").body;
    assert!(metrics.contains("holm_tests_here{"), "{metrics}");
}

#[test]
fn one_of_several_runs_it_and_another_takes_over() {
    let (_open, port) = listener();
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&OPEN);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&OPEN);
    agree(&[&berlin, &tokyo]);
    put(&berlin, "one", &file("one", port, "sites: { count: 1 }\n"));
    let part = |node: &Running, site: &str| at(node, "one", site).map(|one| one["part"].clone());
    let runner = within("one runs it, and both say which", WHILE, || {
        let found: Vec<&str> = ["berlin", "tokyo"]
            .into_iter()
            .filter(|s| part(&berlin, s) == Some(json!("runs")))
            .collect();
        let reserve = |site: &str| part(&tokyo, site) == Some(json!("in_reserve"));
        let other = |site: &str| if site == "berlin" { "tokyo" } else { "berlin" };
        (found.len() == 1
            && part(&tokyo, found[0]) == Some(json!("runs"))
            && reserve(other(found[0])))
        .then(|| found[0])
    });
    let (runs, rests) = if runner == "berlin" { (berlin, tokyo) } else { (tokyo, berlin) };
    within("it runs there", WHILE, || stands(&runs, "one", runner, "passing"));
    let _away = runs.kill();
    let before = results_at(&rests, "one");
    within("the other takes over", WHILE, || {
        (results_at(&rests, "one") > before + 1).then_some(())
    });
}

#[test]
fn private_addresses_are_refused_when_they_are_dialled_and_opened_by_the_operator() {
    let (listener, port) = listener();
    listener.set_nonblocking(true).expect("set");
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&SHUT);
    let admin = berlin.place.client();
    for (name, target) in
        [("address", "127.0.0.1"), ("name", "localhost"), ("mapped", "'::ffff:127.0.0.1'")]
    {
        put(&berlin, name, &file(name, port, "").replace("127.0.0.1", target));
        let shown = within("it is refused", WHILE, || stands(&berlin, name, "berlin", "refused"));
        let error = shown["error"].as_str().expect("a reason");
        assert!(error.contains("loopback") && error.contains("planes.active.allow"), "{error}");
    }
    let shown = berlin.get("/v1/tests/name");
    assert_eq!(shown["test"]["stats"], json!(null), "it counts for nothing: {shown}");
    let rows = berlin.get("/v1/results?test=name");
    assert_eq!(rows["items"][0]["success"], false, "{rows}");
    assert_eq!(rows["items"][0]["attributes"]["server.address"], "127.0.0.1", "{rows}");
    let once = send_json(&admin, "/v1/tests/name/run", &json!({})).json();
    assert_eq!(once["items"][0]["result"]["success"], false, "{once}");
    let counters = &berlin.get("/v1/tests")["counters"];
    assert!(counters["refused_addresses"].as_u64() >= Some(3), "{counters}");
    assert_eq!(berlin.get("/v1/incidents")["total"], 0, "it says nothing of the target");
    assert!(listener.accept().is_err(), "nobody came");

    // The operator leaves it to the tenant's admins: an editor may not, an admin may.
    let berlin = berlin.stop().start_with(
        &[&SHUT[..], &[("HOLM_PLANES_ACTIVE_ALLOW_GRANTED", "[\"127.0.0.0/8\"]")]].concat(),
    );
    let opening = file("granted", port, "allow: [127.0.0.1]\n");
    let made = ["api-token", "create", "--name", "ed", "--role", "editor", "--json"];
    let made: Value = serde_json::from_str(&berlin.place.holm(&made).succeeded()).expect("JSON");
    let editor =
        Client::without_token(&berlin.place).with_token(made["token"].as_str().expect("it"));
    let refused = send(&editor, "PUT", "/v1/tests/granted", &opening);
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.error().1.contains("only an admin"), "{}", refused.body);
    put(&berlin, "granted", &opening);
    within("it reaches it", WHILE, || stands(&berlin, "granted", "berlin", "passing"));
    within("others are refused still", WHILE, || stands(&berlin, "name", "berlin", "refused"));
    let opened = within("it is a change", WHILE, || {
        let found = berlin.get("/v1/changes");
        let items = found["items"].as_array()?.clone();
        items.into_iter().find(|one| {
            one["title"]
                .as_str()
                .is_some_and(|title| title.starts_with("test granted may reach 127.0.0.1"))
        })
    });
    assert_eq!(opened["kind"], "config", "{opened}");
    assert_eq!(opened["author"], "this node's command line", "who opened it: {opened}");

    // The operator opens it himself.
    let berlin = berlin.stop().start_with(&OPEN);
    within("it is reached now", WHILE, || stands(&berlin, "name", "berlin", "passing"));
    within("that is a change too", WHILE, || {
        let found = berlin.get("/v1/changes");
        let titles = found["items"].as_array()?.clone();
        titles
            .iter()
            .any(|one| one["title"] == "tests may reach 127.0.0.0/8 from berlin")
            .then_some(())
    });
    assert_eq!(berlin.get("/v1/tests")["allowed"], json!(["127.0.0.0/8"]));
}

#[test]
fn what_fails_is_one_incident_that_clears() {
    let (open, port) = listener();
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&OPEN);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&OPEN);
    agree(&[&berlin, &tokyo]);
    put(&berlin, "shop", &file("shop", port, "severity: warning\n"));
    for site in ["berlin", "tokyo"] {
        within("it passes", WHILE, || stands(&berlin, "shop", site, "passing"));
    }
    drop(open);
    for node in [&berlin, &tokyo] {
        let shown = within("it fails at both, as both say", WHILE, || {
            let shown = node.get("/v1/tests/shop?stats=false");
            (shown["test"]["failing"].as_array()?.len() == 2).then_some(shown)
        });
        assert_eq!(shown["test"]["state"], "failing", "{shown}");
        let error = shown["test"]["sites"][0]["error"].as_str().expect("a reason");
        assert!(error.contains("refuses the connection"), "{error}");
    }
    let open_now = |node: &Running| -> Vec<Value> {
        let found = node.get("/v1/incidents");
        let items = found["items"].as_array().expect("items").clone();
        items.into_iter().filter(|item| item["firing"] == true).collect()
    };
    let of_test = within("one incident, with the test as its key", WHILE, || {
        let open = open_now(&tokyo);
        let id = open.first()?["id"].as_str()?.to_owned();
        let detail = tokyo.get(&format!("/v1/incidents/{id}"));
        (open.len() == 1 && detail.to_string().contains("test shop fails at")).then_some(open)
    });
    assert_eq!(of_test[0]["severity"], "warning", "{of_test:?}");
    // A restart while it fails neither raises it anew nor forgets it.
    let berlin = berlin.stop().start_with(&OPEN);
    let _open = TcpListener::bind(("127.0.0.1", port)).expect("bound again");
    for site in ["berlin", "tokyo"] {
        within("it passes again", WHILE, || stands(&berlin, "shop", site, "passing"));
    }
    for node in [&berlin, &tokyo] {
        within("it is over", WHILE, || open_now(node).is_empty().then_some(()));
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_place_and_a_folder_holds_tests_too() {
    let (_open, port) = listener();
    let lab = Lab::new();
    let berlin = lab.found("berlin");
    let folder = berlin.dir.join("policies");
    std::fs::create_dir_all(&folder).expect("made");
    let path = folder.to_str().expect("a path").to_owned();
    let variables: Vec<(&str, &str)> =
        OPEN.iter().copied().chain([("HOLM_POLICIES_FOLDER", path.as_str())]).collect();
    let berlin = berlin.start_with(&variables);
    let admin = berlin.place.client();
    let good = file("shop", port, "");
    for (text, says) in [
        (
            good.replace("interval: 1s", "interval: 1ms"),
            "line 6, column 11: interval: it is from 100ms to 1d",
        ),
        (format!("{good}colour: red\n"), "line 9, column 1: colour: it is not evaluated here"),
        ("kind: SLO\n".into(), "SLO is not read here"),
    ] {
        let answer = send(&admin, "POST", "/v1/tests", &text);
        assert_eq!(answer.status, 422, "{text}: {}", answer.body);
        assert!(answer.error().1.contains(says), "{says}: {}", answer.body);
        let checked = send(&admin, "POST", "/v1/tests/check", &text).json();
        assert!(checked["problems"][0]["line"].as_u64() >= Some(1), "{checked}");
    }
    assert_eq!(berlin.get("/v1/tests")["total"], 0, "nothing is kept");
    assert_eq!(admin.get("/v1/tests/nowhere").status, 404);
    assert_eq!(admin.get("/v1/tests?window=soon").status, 400);
    assert_eq!(admin.get("/v1/tests/nowhere?colour=red").status, 400);

    std::fs::write(folder.join("tests.yaml"), &good).expect("written");
    within("the folder's test runs", WHILE, || stands(&berlin, "shop", "berlin", "passing"));
    for path in ["tests", "results", "tests/shop/heat", "tests/shop/path"] {
        let answer = admin.get(&format!("/v1/{path}?site=nowhere"));
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
        assert!(answer.error().1.contains("no site nowhere; there are berlin"), "{}", answer.body);
    }
    let held = send(&admin, "PUT", "/v1/tests/shop", &good.replace("interval: 1s", "interval: 2s"));
    assert_eq!(held.status, 409, "{}", held.body);
    assert!(held.error().1.contains("tests.yaml"), "{}", held.body);
    std::fs::remove_file(folder.join("tests.yaml")).expect("removed");
    eventually("it is gone with its file", || {
        (berlin.get("/v1/tests")["total"] == 0).then_some(())
    });
}

#[test]
fn each_tenant_has_tests_of_its_own() {
    let (_open, port) = listener();
    let lab = Lab::new();
    let both = [("HOLM_NODE_TENANTS", "[\"default\", \"acme\"]")];
    let berlin = lab.found("berlin").start_with(&[&OPEN[..], &both].concat());
    let token = std::fs::read_to_string(berlin.place.file("credentials/admin.acme.token"));
    let acme =
        Client::without_token(&berlin.place).with_token(token.expect("made at the start").trim());
    let made = send(&acme, "PUT", "/v1/tests/shop", &file("shop", port, ""));
    assert_eq!(made.status, 200, "{}", made.body);
    within("it runs for acme", WHILE, || {
        let listed = acme.get("/v1/tests").json();
        (listed["items"][0]["state"] == "passing").then_some(())
    });
    let counters = &acme.get("/v1/tests").json()["counters"];
    assert_eq!(counters["tests"], 1, "{counters}");
    assert_eq!(berlin.get("/v1/tests")["total"], 0, "and not for the other");
    assert_eq!(results_at(&berlin, "shop"), 0, "whose rows are its own");
    assert_eq!(berlin.place.client().get("/v1/tests/shop").status, 404);
}

#[test]
fn any_node_shows_what_every_site_measures_to_every_other() {
    let lab = Lab::new();
    let berlin = lab.found("berlin").start_with(&OPEN);
    let tokyo = lab.join(&berlin, "tokyo").start_with(&OPEN);
    let lima = lab.join(&berlin, "lima").start_with(&OPEN);
    agree(&[&berlin, &tokyo, &lima]);
    for node in [&berlin, &tokyo, &lima] {
        let matrix = within("all six pairs are measured", WHILE, || {
            let matrix = node.get("/v1/mesh/matrix");
            let cells = matrix["cells"].as_array()?;
            let measured = |cell: &&Value| cell["rtt_p50_ms"].is_number();
            (cells.iter().filter(measured).count() == 6).then_some(matrix)
        });
        assert_eq!(matrix["sites"], json!(["berlin", "lima", "tokyo"]), "{matrix}");
        for cell in matrix["cells"].as_array().expect("cells") {
            assert!(cell["loss"].as_f64() < Some(1.0) && cell["last_seen"].is_string(), "{cell}");
            assert!(cell["rtt_p50_ms"].as_f64() <= cell["rtt_p95_ms"].as_f64(), "{cell}");
        }
    }
    let way = within("the clocks say how long one way takes", WHILE, || {
        let matrix = lima.get("/v1/mesh/matrix");
        let cells = matrix["cells"].as_array()?.clone();
        cells.into_iter().find(|cell| {
            cell["from"] == "berlin" && cell["to"] == "tokyo" && cell["one_way_ms"].is_number()
        })
    });
    assert!(way["one_way_error_ms"].as_f64() >= Some(0.0), "{way}");
    let printed = lima.place.holm(&["mesh", "matrix", "--show", "one-way"]).succeeded();
    assert!(printed.contains("berlin") && printed.contains("±"), "{printed}");
}
