//! A test by a real browser in a real node: its row, what was seen, the picture, and the guard. Without a browser it
//! says so and passes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Lab, within};

const WHILE: Duration = Duration::from_secs(180);
const PAGE: &str = "<title>Shop</title><h1>Welcome</h1><input id=q><img src=http://169.254.169.254/latest>\
    <script>q.onkeydown = e => { if (e.key === 'Enter') document.title = 'found ' + q.value; }</script>";

fn has_browser() -> bool {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| names.iter().any(|name| folder.join(name).is_file()))
}

/// Whether users may make namespaces here, which a browser's sandbox is made of.
fn lets_users_make_namespaces() -> bool {
    let says = |name: &str, text: &str| {
        std::fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|said| said.trim() == text)
    };
    !says("user/max_user_namespaces", "0")
        && !says("kernel/unprivileged_userns_clone", "0")
        && !says("kernel/apparmor_restrict_unprivileged_userns", "1")
}

fn shop() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().expect("cloned")).lines();
                let _ = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{PAGE}",
                    PAGE.len()
                );
            });
        }
    });
    port
}

#[test]
fn a_browser_checks_a_page_and_what_it_saw_is_told() {
    let lab = Lab::new();
    if !has_browser() || !lets_users_make_namespaces() {
        eprintln!("skipped: there is no browser in PATH, or its sandbox does not start here");
        return;
    }
    let port = shop();
    let node = lab.found("berlin").start_with(&[
        ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
        ("HOLM_PLANES_ACTIVE_ALLOW", "[\"127.0.0.0/8\"]"),
    ]);
    let tests = format!(
        "kind: Test\nname: shop\nprobe: browser\ntarget: http://127.0.0.1:{port}/?session=hidden\ninterval: 1h\ntimeout: 2m\nsteps:\n\
         - {{ name: open, expect_title: Shop, timeout: 60s }}\n\
         - {{ name: search, into: '#q', type: tea, press: Enter, expect_title: found tea }}\n---\n\
         kind: Test\nname: inner\nprobe: browser\ntarget: http://10.0.0.1/\ninterval: 1h\ntimeout: 2m\n"
    );
    let file = node.place.dir.join("browser.yaml");
    std::fs::write(&file, tests).expect("written");
    node.place.holm(&["test", "create", file.to_str().expect("a path")]).succeeded();
    let run = |name: &str| {
        within("the browser has room", WHILE, || {
            let run = node.place.client().post(&format!("/v1/tests/{name}/run"), &json!({}));
            let item = run.json()["items"][0].clone();
            item["result"].is_object().then_some(item)
        })
    };
    let item = run("shop");
    let result = &item["result"];
    assert_eq!(result["success"], true, "{item}");
    assert_eq!(result["metrics"]["browser.done"], 2.0, "{item}");
    assert!(result["metrics"]["browser.fcp_ms"].as_f64() > Some(0.0), "{item}");
    assert_eq!(result["attributes"]["browser.step.2.name"], "search", "{item}");

    let seen = node.get("/v1/tests/shop/browser");
    assert_eq!(
        (&seen["success"], &seen["has_screenshot"]),
        (&Value::from(true), &Value::from(true))
    );
    assert_eq!(seen["steps"].as_array().map(Vec::len), Some(2), "{seen}");
    assert!(!seen.to_string().contains("hidden"), "{seen}");
    let requests = seen["requests"].as_array().expect("requests");
    let meta = requests.iter().find(|one| one["url"] == "http://169.254.169.254/latest");
    let why = meta.and_then(|one| one["blocked"].as_str()).unwrap_or_default();
    assert!(why.contains("metadata") && why.contains("planes.active.allow"), "{seen}");

    let item = run("inner");
    let error = item["result"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("10.0.0.1 is not dialled"), "{item}");
    assert_eq!(item["result"]["attributes"]["refused"], "true", "{item}");
    let printed = node.place.holm(&["test", "run", "shop"]).succeeded();
    assert!(printed.contains("search") && printed.contains("first content"), "{printed}");
}
