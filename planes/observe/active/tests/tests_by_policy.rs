//! Tests that somebody made by policy, as the plane runs them: changed while it runs, held back by guard and budgets.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Heard, context, listener, runner};
use holm_active::{ActivePlane, Config, LeftOut, NodeLimits, Test, TestRunner};
use holm_model::{Row, Value};
use holm_plane::{Plane, PlaneContext};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const ALLOWED: &str = "mesh = false\nallow = [\"127.0.0.0/8\"]\n";

fn config(text: &str) -> Config {
    toml::from_str(text).expect("valid")
}

fn test(name: &str, port: u16, more: &str) -> Arc<Test> {
    let text = format!(
        "kind: Test\nname: {name}\nprobe: tcp\ntarget: localhost\nfamily: 4\nport: {port}\ninterval: 100ms\n\
         labels: {{ team: net }}\n{more}"
    );
    Arc::new(holm_active::parse(&text).expect("good").remove(0))
}

/// Runs `tests` under a plane until the returned token is cancelled.
fn start(config: &Config, tests: &Arc<TestRunner>, context: PlaneContext) -> CancellationToken {
    let stop = CancellationToken::new();
    let (stopped, plane) = (stop.clone(), ActivePlane::of_tests(config.clone(), Arc::clone(tests)));
    tokio::spawn(async move { plane.run(context, stopped).await });
    stop
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it came to it")
}

fn of(heard: &Heard, name: &str) -> Vec<Row> {
    let rows = heard.rows.lock().expect("whole");
    rows.iter().filter(|row| row.columns.get("test") == Some(&Value::from(name))).cloned().collect()
}

#[tokio::test]
async fn tests_come_and_go_while_the_plane_runs() {
    let (_open, address) = listener().await;
    let config = config(ALLOWED);
    let (heard, tests) = (Arc::new(Heard::default()), runner(&config));
    let (_tell, peers) = watch::channel(Vec::new());
    let stop = start(&config, &tests, context(&heard, peers));
    assert!(tests.assign(vec![test("a", address.port(), "")]));
    assert!(!tests.assign(vec![test("a", address.port(), "")]), "it is the same");
    let row = until(|| of(&heard, "a").into_iter().next()).await;
    assert_eq!(row.columns["success"], Value::Bool(true), "{row:?}");
    assert_eq!(row.columns["kind"], Value::from("test"));
    assert_eq!(row.columns["target"], Value::from("localhost"));
    assert_eq!(row.columns["label.team"], Value::from("net"));
    tests.assign(vec![test("b", address.port(), "")]);
    until(|| of(&heard, "b").into_iter().next()).await;
    let known = of(&heard, "a").len();
    until(|| (of(&heard, "b").len() > 3).then_some(())).await;
    assert!(of(&heard, "a").len() <= known + 1, "at most what was under way");
    stop.cancel();
}

#[tokio::test]
async fn an_address_that_is_not_open_is_refused_when_it_is_dialled() {
    let (listener, address) = listener().await;
    let granting = "mesh = false\nallow_granted = [\"127.0.0.0/8\"]\n";
    for (text, more, allowed) in [
        ("mesh = false\n", "", false),
        ("mesh = false\n", "allow: [127.0.0.0/8]\n", false),
        (granting, "", false),
        (granting, "allow: [127.0.0.1]\n", true),
        (ALLOWED, "", true),
    ] {
        let config = config(text);
        let (heard, tests) = (Arc::new(Heard::default()), runner(&config));
        let (_tell, peers) = watch::channel(Vec::new());
        let context = context(&heard, peers);
        let health = context.health.clone();
        let stop = start(&config, &tests, context);
        tests.assign(vec![test("a", address.port(), more)]);
        let row = until(|| of(&heard, "a").into_iter().next()).await;
        stop.cancel();
        assert_eq!(row.columns["success"], Value::Bool(allowed), "{text} {more}: {row:?}");
        let refused = health.snapshot().counters.get("refused_addresses").copied();
        if allowed {
            assert_eq!(refused, None);
            continue;
        }
        assert!(refused >= Some(1) && row.columns["refused"] == Value::Bool(true));
        let Value::Text(error) = &row.columns["error"] else { panic!("a text") };
        assert!(error.contains("127.0.0.1 is not dialled"), "{error}");
        assert_eq!(row.columns["server.address"], Value::from("127.0.0.1"), "what the name led to");
        let once = tests.once(&test("a", address.port(), more)).await.expect("a row");
        assert_eq!(once.columns["success"], Value::Bool(false), "neither is it once");
    }
    drop(listener);
}

#[tokio::test]
async fn what_is_over_a_budget_is_left_out_and_counted() {
    let (_open, address) = listener().await;
    let config = config(&format!("{ALLOWED}tenant_probes_per_second = 1\n"));
    let (heard, tests) = (Arc::new(Heard::default()), runner(&config));
    let (_tell, peers) = watch::channel(Vec::new());
    let context = context(&heard, peers);
    let health = context.health.clone();
    let stop = start(&config, &tests, context);
    tests.assign(vec![test("a", address.port(), ""), test("b", address.port(), "")]);
    let counted = until(|| {
        let counted = health.snapshot().counters.get("left_out_tenant_probes").copied()?;
        (counted > 20).then_some(counted)
    });
    counted.await;
    stop.cancel();
    let named: u64 = ["a", "b"].iter().flat_map(|name| tests.left_out(name)).map(|(_, n)| n).sum();
    assert!(named > 20 && tests.left_out("a").iter().all(|(why, _)| *why == LeftOut::TenantProbes));
    let rows = heard.rows.lock().expect("whole");
    assert!(
        rows.iter().all(|row| row.columns["success"] == Value::Bool(true)),
        "none is a failure"
    );
}

#[tokio::test]
async fn once_is_within_the_budgets_too() {
    let (_open, address) = listener().await;
    let config = config(&format!("{ALLOWED}probes_per_second = 0.01\n"));
    let tests = TestRunner::new(&config, Arc::new(NodeLimits::new(&config)));
    let row = tests.once(&test("a", address.port(), "")).await.expect("a row");
    assert_eq!(row.columns["kind"], Value::from("once"));
    assert_eq!(row.columns["success"], Value::Bool(true));
    let why = tests.once(&test("a", address.port(), "")).await.expect_err("over the budget");
    assert!(why.contains("planes.active.probes_per_second"), "{why}");
    assert!(tests.assigned().is_empty());
}
