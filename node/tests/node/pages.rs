//! An incident is paged once, by one node of those that hear each other; when that one dies another takes its
//! place, and halves that do not hear each other page by one key. What a provider refuses is kept and can be
//! told again, and no answer has a secret in it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};

use crate::common::{Answer, Client, Lab, Place, Running, agree, eventually, within};

/// Who is gone is waited for; machines are slow.
const LONG: Duration = Duration::from_secs(240);
const KEY: &str = "0123456789abcdef0123456789abcdef";
const INBOUND: &str = "an inbound secret of some length";
/// Probes each second, so that something is found wrong soon; none between the sites.
const PROBES: [(&str, &str); 3] = [
    ("HOLM_PLANES_ACTIVE_ENABLED", "true"),
    ("HOLM_PLANES_ACTIVE_MESH", "false"),
    ("HOLM_PLANES_ACTIVE_INTERVAL", "1s"),
];

/// A server that speaks PagerDuty's Events API v2.
pub(crate) struct PagerDuty {
    url: String,
    events: Arc<Mutex<Vec<Value>>>,
    /// What it answers.
    status: Arc<AtomicU16>,
}

impl PagerDuty {
    fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (events, status) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::new(AtomicU16::new(202)));
        let (taken, answers) = (Arc::clone(&events), Arc::clone(&status));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let (taken, answers) = (Arc::clone(&taken), Arc::clone(&answers));
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                    let Some((path, body)) = request(&mut stream) else { return };
                    let status = match path == "/v2/enqueue" {
                        true => answers.load(Ordering::SeqCst),
                        false => 404,
                    };
                    let key = body["dedup_key"].clone();
                    if status == 202 {
                        taken.lock().expect("not poisoned").push(body);
                    }
                    let text = json!({ "status": "x", "dedup_key": key }).to_string();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                        text.len()
                    );
                });
            }
        });
        Self { url, events, status }
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The keys of the events of one kind, in order.
    pub(crate) fn told(&self, action: &str) -> Vec<String> {
        let events = self.events.lock().expect("not poisoned");
        let of = events.iter().filter(|event| event["event_action"] == action);
        of.filter_map(|event| event["dedup_key"].as_str().map(str::to_owned)).collect()
    }
}

fn request(stream: &mut impl Read) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let read = stream.read(&mut piece).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        if body.len() >= length.unwrap_or(0) {
            let path = head.split(' ').nth(1)?.to_owned();
            return Some((path, serde_json::from_str(body).unwrap_or_default()));
        }
    }
}

/// A service that can go away: an address that no other test has.
fn service(number: u8) -> (TcpListener, SocketAddr) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = std::net::Ipv4Addr::new(127, 200 + number, high, low.max(1));
    let listener = TcpListener::bind((ip, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// The node probes these.
fn watches(place: &Place, services: &[SocketAddr]) {
    let path = place.file("holm.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    // The file that was made says of every key what it is.
    let mut text: String = text
        .lines()
        .filter(|line| *line != "targets = []")
        .map(|line| format!("{line}\n"))
        .collect();
    for service in services {
        // Each site has words of its own for it: incidents are about what is probed.
        let name = format!("{}: port {}", place.file("x").display(), service.port());
        text.push_str(&format!(
            "\n[[planes.active.targets]]\nname = \"{name}\"\nprobe = \"tcp\"\ntarget = \"{}\"\nport = {}\ninterval = \"1s\"\n",
            service.ip(),
            service.port()
        ));
    }
    std::fs::write(&path, text).expect("written");
}

fn secret(place: &Place, name: &str, text: &str) -> String {
    let path = place.dir.with_extension(name);
    std::fs::write(&path, text).expect("written");
    path.to_string_lossy().into_owned()
}

/// Has a node tell PagerDuty of what is wrong with services of this test.
fn page_by(node: &Running, pagerduty: &PagerDuty) {
    let key = secret(&node.place, "key", KEY);
    let inbound = secret(&node.place, "inbound", INBOUND);
    let connector = ["page", "set", "connector", "ops", "--provider", "pagerduty"];
    let secrets = ["--secret-file", &key, "--inbound-secret-file", &inbound];
    let url = ["--to-url", &pagerduty.url];
    node.place.holm(&[&connector[..], &secrets[..], &url[..]].concat()).succeeded();
    let route =
        ["page", "set", "route", "services", "--connector", "ops", "--about", "host:127.2*"];
    node.place.holm(&route).succeeded();
}

fn incident(node: &Running, service: SocketAddr) -> Option<Value> {
    let found = node.get("/v1/incidents?state=all");
    let target = json!(format!("host:{}", service.ip()));
    let items = found["items"].as_array()?.clone();
    items
        .into_iter()
        .find(|item| item["targets"].as_array().is_some_and(|targets| targets.contains(&target)))
}

fn deliveries(node: &Running, query: &str) -> Vec<Value> {
    let found = node.get(&format!("/v1/paging/deliveries?{query}"));
    found["items"].as_array().expect("a list").clone()
}

fn pagers(node: &Running, count: usize) -> Option<()> {
    let found = node.get("/v1/paging/connectors");
    (found["pagers"].as_array()?.len() == count).then_some(())
}

#[test]
fn an_incident_is_paged_once_and_a_pager_that_dies_is_replaced() {
    let lab = Lab::new();
    let pagerduty = PagerDuty::start();
    let ((first, shop), (second, cart)) = (service(1), service(2));
    let place = lab.found("berlin");
    watches(&place, &[shop, cart]);
    let berlin = place.start_with(&PROBES);
    let mut nodes = vec![berlin];
    for site in ["tokyo", "lima"] {
        let place = lab.join(&nodes[0], site);
        watches(&place, &[shop, cart]);
        nodes.push(place.start_with(&PROBES));
    }
    agree(&nodes.iter().collect::<Vec<_>>());
    page_by(&nodes[0], &pagerduty);
    for node in &nodes {
        within("all three page", LONG, || pagers(node, 3));
    }

    drop(first);
    let told = within("somebody is paged", LONG, || pagerduty.told("trigger").pop());
    for node in &nodes {
        let of = within("every node knows who paged whom", LONG, || {
            let of = incident(node, shop)
                .filter(|of| of["sites"].as_array().is_some_and(|s| s.len() == 3))?;
            let id = of["id"].as_str()?.to_owned();
            let detail = node.get(&format!("/v1/incidents/{id}"));
            (detail["pages"][0]["state"] == "delivered").then_some(detail)
        });
        assert_eq!(of["incident"]["id"], told.as_str(), "the key is the incident's id");
        assert_eq!(of["pages"].as_array().map(Vec::len), Some(1), "{of}");
        assert_eq!(of["pages"][0]["provider_id"], told.as_str());
    }
    assert_eq!(pagerduty.told("trigger"), [&*told]);

    // Somebody looks at it, and says so at the provider; any node hears it.
    let event = json!({ "event": { "id": "01", "event_type": "incident.acknowledged", "resource_type": "incident",
        "occurred_at": "2026-11-22T07:00:00Z", "agent": { "type": "user_reference", "summary": "Ada" },
        "data": { "id": "P1", "type": "incident", "incident_key": told } } })
    .to_string();
    let heard = hear(&nodes[2], &event, INBOUND);
    assert_eq!((heard.status, &heard.json()["result"]), (200, &json!("done")), "{}", heard.body);
    eventually("berlin knows who looks at it", || {
        let detail = nodes[0].get(&format!("/v1/incidents/{told}"));
        let timeline = detail["timeline"].as_array()?.clone();
        let ack = timeline.into_iter().find(|entry| entry["what"] == "ack")?;
        ack["by"].as_str().filter(|by| *by == "pagerduty:Ada at lima").map(drop)
    });
    within("the provider is told, too", LONG, || pagerduty.told("acknowledge").pop());

    // The provider is down; who is to page dies meanwhile.
    pagerduty.answer(503);
    drop(second);
    let queued = within("it waits, and all know with whom", LONG, || {
        let waits = |node: &Running| {
            let all = deliveries(node, "state=queued");
            let found = all.into_iter().find(|d| d["event"] == "trigger");
            found.filter(|d| d["attempts"].as_u64() > Some(0))
        };
        let all: Option<Vec<Value>> = nodes.iter().map(waits).collect();
        all.map(|all| all[0].clone())
    });
    let by = queued["by"].as_str().expect("a node").to_owned();
    let site = by.split('/').next().expect("a site").to_owned();
    let at = nodes.iter().position(|node| node.place.dir.ends_with(&site)).expect("one of them");
    let dead = nodes.remove(at).kill();
    pagerduty.answer(202);
    let key = queued["incident"].as_str().expect("an id").to_owned();
    within("another pages in its place", LONG, || {
        pagerduty.told("trigger").contains(&key).then_some(())
    });
    for node in &nodes {
        within("both know", LONG, || {
            let all = deliveries(node, &format!("incident={key}&state=delivered"));
            let other = |d: &Value| {
                d["event"] == "trigger" && d["by"] != by.as_str() && d["seq"] == queued["seq"]
            };
            all.iter().any(other).then_some(())
        });
        // What the dead node wrote down is not counted any more: it is one message.
        within("nothing of it waits", LONG, || {
            let waits = deliveries(node, &format!("incident={key}&state=queued"));
            let trigger = waits.iter().any(|d| d["event"] == "trigger");
            let ops = node.get("/v1/paging/connectors/ops");
            (!trigger && ops["queued"] == 0).then_some(())
        });
    }
    // Who comes back finds that it was done.
    let back = dead.start_with(&PROBES);
    within("it pages again, and has nothing to do", LONG, || {
        pagers(&back, 3)?;
        let all = deliveries(&back, &format!("incident={key}"));
        all.iter().any(|d| d["state"] == "delivered" && d["event"] == "trigger").then_some(())
    });
    std::thread::sleep(Duration::from_secs(5));
    let triggers = pagerduty.told("trigger");
    assert_eq!(triggers.iter().filter(|told| **told == key).count(), 1, "{triggers:?}");
    assert_eq!(triggers.len(), 2, "{triggers:?}");
}

/// What PagerDuty says, signed as it signs.
fn hear(node: &Running, body: &str, secret: &str) -> Answer {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let headers = [("x-pagerduty-signature", &*format!("v1={hex}"))];
    Client::without_token(&node.place)
        .ask("POST", "/ingest/pages/ops", &headers, body)
        .expect("an answer")
}

#[test]
fn halves_that_do_not_hear_each_other_page_by_one_key() {
    let lab = Lab::new();
    let pagerduty = PagerDuty::start();
    let (listener, shop) = service(3);
    let place = lab.found("berlin");
    watches(&place, &[shop]);
    let berlin = place.start_with(&PROBES);
    let place = lab.join(&berlin, "tokyo");
    watches(&place, &[shop]);
    let tokyo = place.start_with(&PROBES);
    agree(&[&berlin, &tokyo]);
    page_by(&berlin, &pagerduty);
    let route = |paused: bool| {
        json!({ "connectors": ["ops"], "severity": "critical", "targets": ["host:127.2*"], "paused": paused })
            .to_string()
    };
    let put = |node: &Running, paused: bool| {
        let client = node.place.client();
        let answer = client.ask("PUT", "/v1/paging/routes/services", &[], &route(paused));
        assert_eq!(answer.expect("an answer").status, 200);
    };
    put(&berlin, true);
    for node in [&berlin, &tokyo] {
        within("both page", LONG, || pagers(node, 2));
    }
    drop(listener);
    for node in [&berlin, &tokyo] {
        within("both know that both report it", LONG, || {
            let of = incident(node, shop)?;
            let routes = node.get("/v1/paging/routes");
            (of["sites"] == json!(["berlin", "tokyo"]) && routes["items"][0]["paused"] == true)
                .then_some(())
        });
    }
    assert_eq!(pagerduty.told("trigger").len(), 0, "the route is paused");

    let tokyo = tokyo.stop();
    put(&berlin, false);
    within("berlin pages for itself", LONG, || {
        (pagerduty.told("trigger").len() == 1).then_some(())
    });
    within("and has written it down", LONG, || {
        (!deliveries(&berlin, "state=delivered").is_empty()).then_some(())
    });
    let berlin = berlin.stop();
    let tokyo = tokyo.start_with(&PROBES);
    put(&tokyo, false);
    within("so does tokyo", LONG, || (pagerduty.told("trigger").len() == 2).then_some(()));
    let told = pagerduty.told("trigger");
    assert_eq!(told[0], told[1], "one key, by which the provider folds them");

    let berlin = berlin.start_with(&PROBES);
    for node in [&berlin, &tokyo] {
        within("both know of both pages", LONG, || {
            pagers(node, 2)?;
            let of = deliveries(node, &format!("incident={}&state=delivered", told[0]));
            let by: Vec<&Value> = of.iter().map(|d| &d["by"]).collect();
            (by.contains(&&json!("berlin/n1")) && by.contains(&&json!("tokyo/n1"))).then_some(())
        });
    }
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(pagerduty.told("trigger").len(), 2, "nobody is paged again when they meet");
    let problem = berlin.get("/v1/paging/routes");
    assert_eq!(problem["items"][0]["conflicts"].as_array().map(Vec::len), Some(1), "{problem}");
}

#[test]
fn what_is_refused_is_kept_and_replayed_and_no_answer_has_a_secret() {
    let lab = Lab::new();
    let pagerduty = PagerDuty::start();
    let (listener, shop) = service(4);
    let place = lab.found("berlin");
    watches(&place, &[shop]);
    let berlin = place.start_with(&PROBES);
    page_by(&berlin, &pagerduty);
    let tested = berlin.place.holm(&["page", "test", "ops"]).succeeded();
    assert!(tested.contains("the provider took it"), "{tested}");
    let (opened, ended) = (pagerduty.told("trigger"), pagerduty.told("resolve"));
    assert!(
        opened.len() == 1 && opened == ended && opened[0].starts_with("holm-test-"),
        "{opened:?}"
    );
    pagerduty.answer(403);
    berlin
        .place
        .holm(&["page", "test", "ops"])
        .failed_naming(&["ops: refused", "it does not take the secret"]);

    drop(listener);
    let dead = within("it is refused, and kept", LONG, || deliveries(&berlin, "state=dead").pop());
    assert!(dead["reason"].as_str().is_some_and(|why| why.contains("403")), "{dead}");
    let id = dead["id"].as_str().expect("an id");
    let listed = berlin.place.holm(&["page", "list", "--state", "dead"]).succeeded();
    assert!(listed.contains(id) && listed.contains("give the connector another one"), "{listed}");
    let shown = berlin.get("/v1/paging/connectors/ops");
    assert_eq!((&shown["dead"], &shown["secret_set"]), (&json!(1), &json!(true)), "{shown}");

    // It outlives the node, and is told when somebody asks for it.
    let berlin = berlin.stop().start_with(&PROBES);
    assert_eq!(deliveries(&berlin, "state=dead").len(), 1);
    pagerduty.answer(202);
    let replayed = berlin.place.holm(&["page", "replay", id]).succeeded();
    assert!(replayed.contains("queued again"), "{replayed}");
    let incident = dead["incident"].as_str().expect("an id").to_owned();
    within("it is told", LONG, || pagerduty.told("trigger").contains(&incident).then_some(()));
    within("it is known to be told", LONG, || {
        let all = deliveries(&berlin, &format!("incident={incident}"));
        (all[0]["state"] == "delivered" && all[0]["replayed_by"].is_string()).then_some(())
    });
    berlin
        .place
        .holm(&["page", "replay", id])
        .failed_naming(&["is delivered, and only one that is dead"]);
    let shown = berlin.place.holm(&["incident", "show", &incident]).succeeded();
    assert!(shown.contains("trigger by ops from berlin/n1, delivered"), "{shown}");

    forged(&berlin, &incident);
    after_a_reopening(&berlin, &incident);
    for path in [
        "/v1/paging/connectors",
        "/v1/paging/connectors/ops",
        "/v1/paging/routes",
        "/v1/paging/deliveries",
        "/v1/changes",
        "/metrics",
    ] {
        let body = berlin.place.client().get(path).body;
        assert!(!body.contains(KEY) && !body.contains(INBOUND), "{path}: {body}");
    }
    let log = berlin.log();
    assert!(!log.contains(KEY) && !log.contains(INBOUND), "{log}");
    let metrics = berlin.place.client().get("/metrics").body;
    for line in ["holm_page_replayed_total", "holm_page_delivered_total", "reason=\"refused\""] {
        assert!(metrics.contains(line), "{metrics}");
    }
    refusals(&berlin);
}

/// What is not signed, or not as it should be, changes nothing.
fn forged(node: &Running, incident: &str) {
    let body = |by: &str| {
        json!({ "event": { "id": by, "event_type": "incident.annotated", "agent": { "summary": by },
            "data": { "incident_key": incident, "content": "the fan is loud" } } })
        .to_string()
    };
    let before = node.get(&format!("/v1/incidents/{incident}"))["incident"]["actions"].clone();
    for secret in ["another secret of some length", KEY, ""] {
        let refused = hear(node, &body("eve"), secret);
        assert_eq!(refused.status, 401, "{}", refused.body);
    }
    let elsewhere = Client::without_token(&node.place).ask("POST", "/ingest/pages/none", &[], "{}");
    assert_eq!(elsewhere.expect("an answer").status, 401, "it does not tell what is there");
    assert_eq!(hear(node, &"x".repeat((1 << 20) + 1), INBOUND).status, 413);
    assert_eq!(hear(node, "no JSON", INBOUND).status, 400);
    assert_eq!(hear(node, "{}", INBOUND).error().1, "event.event_type: it is missing");
    let after = node.get(&format!("/v1/incidents/{incident}"))["incident"]["actions"].clone();
    assert_eq!(before, after);
    let done = hear(node, &body("ada"), INBOUND);
    assert_eq!(done.json()["result"], "done", "{}", done.body);
    assert_eq!(hear(node, &body("ada"), INBOUND).json()["result"], "known", "said again");
    let unknown = body("ada").replace(incident, "i-0000000000000");
    assert_eq!(hear(node, &unknown, INBOUND).json()["result"], "ignored");
    let metrics = node.place.client().get("/metrics").body;
    for line in [
        "holm_page_heard_refused_total{reason=\"signature\"} 4",
        "holm_page_heard_refused_total{reason=\"size\"} 1",
        "holm_page_heard_refused_total{reason=\"body\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

/// A webhook that has no id is done once, and again after the incident was reopened.
fn after_a_reopening(node: &Running, incident: &str) {
    let hook = json!({ "provider": "webhook", "url": "https://hooks.example.org/T0/B0?key=1", "secret": KEY,
        "inbound_secret": INBOUND, "paused": true });
    let admin = node.place.client();
    let put = admin.ask("PUT", "/v1/paging/connectors/hook", &[], &hook.to_string());
    assert_eq!(put.expect("an answer").status, 200);
    let resolve = json!({ "incident": incident, "action": "resolve", "by": "ada" }).to_string();
    let say = || {
        let headers = [("x-holm-secret", INBOUND)];
        let client = Client::without_token(&node.place);
        let answer = client.ask("POST", "/ingest/pages/hook", &headers, &resolve);
        answer.expect("an answer").json()["result"].clone()
    };
    assert_eq!((say(), say()), (json!("done"), json!("known")));
    let reopened = admin.post(&format!("/v1/incidents/{incident}/reopen"), &json!({}));
    assert_eq!(reopened.status, 200, "{}", reopened.body);
    assert_eq!((say(), say()), (json!("done"), json!("known")));

    // Where a connector sends to is for admins: its path may be as good as a secret.
    let made = node.place.holm(&["api-token", "create", "--name", "eyes", "--json"]).succeeded();
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let viewer = Client::without_token(&node.place).with_token(made["token"].as_str().expect("it"));
    for (client, url) in [
        (&admin, "https://hooks.example.org/T0/B0?key=1"),
        (&viewer, "https://hooks.example.org/…"),
    ] {
        let one = client.get("/v1/paging/connectors/hook").json();
        let all = client.get("/v1/paging/connectors").json();
        let listed = all["items"].as_array().expect("a list").iter();
        let listed = listed.filter(|c| c["name"] == "hook").map(|c| &c["url"]).collect::<Vec<_>>();
        assert_eq!((&one["url"], listed), (&json!(url), vec![&json!(url)]));
    }
    admin.ask("DELETE", "/v1/paging/connectors/hook", &[], "").expect("an answer");
}

#[test]
fn what_connectors_may_reach_is_for_the_nodes_operator_to_say() {
    let lab = Lab::new();
    let pagerduty = PagerDuty::start();
    let berlin = lab.found("berlin").start_with(&[("HOLM_PAGES_ALLOW", "[]")]);
    page_by(&berlin, &pagerduty);
    let loopback = ["127.0.0.1 is not dialled for a connector", "loopback", "pages.allow"];
    berlin.place.holm(&["page", "test", "ops"]).failed_naming(&loopback);
    // By a name, which is looked up when it is dialled.
    let port = pagerduty.url.rsplit_once(':').expect("a port").1;
    let mail = json!({ "provider": "email", "url": format!("smtp://localhost:{port}"), "from": "a@b.example",
        "to": ["c@d.example"] });
    let put =
        berlin.place.client().ask("PUT", "/v1/paging/connectors/mail", &[], &mail.to_string());
    assert_eq!(put.expect("an answer").status, 200);
    berlin.place.holm(&["page", "test", "mail"]).failed_naming(&["is not dialled", "pages.allow"]);
    assert_eq!(pagerduty.told("trigger").len(), 0);
    let berlin = berlin.stop().start();
    berlin.place.holm(&["page", "test", "ops"]).succeeded();
    assert_eq!(pagerduty.told("trigger").len(), 1);
}

/// What makes no sense is refused with the reason.
fn refusals(node: &Running) {
    let admin = node.place.client();
    let made =
        node.place.holm(&["api-token", "create", "--name", "x", "--role", "editor"]).succeeded();
    let editor = Client::without_token(&node.place).with_token(made.trim());
    let put = |client: &Client, path: &str, body: &Value| {
        client.ask("PUT", path, &[], &body.to_string()).expect("an answer")
    };
    let good = json!({ "provider": "pagerduty", "secret": KEY });
    assert_eq!(put(&editor, "/v1/paging/connectors/more", &good).status, 403);
    for (path, body, says) in [
        ("connectors/Ops", good.clone(), "name: it has 1 to 63 small letters"),
        ("connectors/x", json!({ "provider": "pagerduty" }), "secret: pagerduty needs it"),
        (
            "connectors/x",
            json!({ "provider": "webhook", "url": "http://a.example", "secret": KEY }),
            "url: https://",
        ),
        (
            "connectors/x",
            json!({ "provider": "pagerduty", "secret": KEY, "project": "OPS" }),
            "project: pagerduty has none",
        ),
        ("connectors/x", json!({ "provider": "pager" }), "provider"),
        (
            "connectors/ops",
            json!({ "provider": "pagerduty", "url": "https://a.example" }),
            "secret: it has to be given again",
        ),
        ("routes/x", json!({ "connectors": ["nobody"] }), "there is no connector nobody"),
        ("routes/x", json!({ "connectors": ["ops"], "repeat_s": 5 }), "repeat_s: 5 is given"),
    ] {
        let answer = put(&admin, &format!("/v1/paging/{path}"), &body);
        assert_eq!(answer.status, 422, "{path}: {}", answer.body);
        assert!(answer.error().1.contains(says) && !answer.body.contains(KEY), "{}", answer.body);
    }
    node.place
        .holm(&["page", "delete", "connector", "ops"])
        .failed_naming(&["is used by route services"]);
    node.place.holm(&["page", "delete", "route", "services"]).succeeded();
    node.place.holm(&["page", "delete", "connector", "ops"]).succeeded();
    node.place
        .holm(&["page", "delete", "connector", "ops"])
        .failed_naming(&["there is no connector ops"]);
    assert_eq!(admin.get("/v1/paging/deliveries?state=odd").status, 400);
    assert_eq!(
        admin.post("/v1/paging/deliveries/p-0000000000000000/replay", &json!(null)).status,
        404
    );
}

#[test]
fn tenants_with_one_name_and_one_secret_each_hear_what_is_of_their_incidents() {
    let lab = Lab::new();
    let (listener, shop) = service(8);
    let place = lab.found("berlin");
    let toml = place.file("holm.toml");
    let text = std::fs::read_to_string(&toml).expect("the configuration");
    let two = text.replace("tenants = [\"default\"]", "tenants = [\"default\", \"acme\"]");
    assert_ne!(two, text, "{text}");
    std::fs::write(&toml, two).expect("written");
    watches(&place, &[shop]);
    let node = place.start_with(&PROBES);
    let token = |tenant: &str| {
        let make = ["api-token", "create", "--name", "x", "--role", "admin", "--tenant", tenant];
        node.place.holm(&make).succeeded().trim().to_owned()
    };
    for tenant in ["default", "acme"] {
        let client = node.place.client().with_token(&token(tenant));
        let hook = json!({ "provider": "webhook", "url": "https://hooks.example.org/x", "secret": KEY,
            "inbound_secret": INBOUND, "paused": true });
        let put = client.ask("PUT", "/v1/paging/connectors/hook", &[], &hook.to_string());
        let put = put.expect("an answer");
        assert_eq!(put.status, 200, "{tenant}: {}", put.body);
    }
    drop(listener);
    let found = within("the service is found down", LONG, || incident(&node, shop));
    let say = |incident: &str| {
        let body = json!({ "incident": incident, "action": "acknowledge", "by": "ada", "id": "1" });
        let headers = [("x-holm-secret", INBOUND)];
        let client = Client::without_token(&node.place);
        let answer = client.ask("POST", "/ingest/pages/hook", &headers, &body.to_string());
        let answer = answer.expect("an answer").json();
        answer["result"].as_str().expect("a result").to_owned()
    };
    // Of the tenants acme is asked first, and knows nothing of it.
    let id = found["id"].as_str().expect("an id");
    assert_eq!((&*say(id), &*say(id)), ("done", "known"));
    assert_eq!(say("i-0000000000000"), "ignored");
}
