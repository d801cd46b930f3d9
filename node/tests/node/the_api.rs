//! What the API gives to whom: credentials, roles, errors and headers.

use serde_json::json;

use crate::common::{Client, Lab, Running};

fn node() -> (Lab, Running) {
    let lab = Lab::new();
    let node = lab.found("berlin").start();
    (lab, node)
}

#[test]
fn only_health_is_open_without_a_credential() {
    let (_lab, node) = node();
    let stranger = Client::without_token(&node.place);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(stranger.get(path).status, 200, "{path}");
    }
    let closed = [
        "/metrics",
        "/version",
        "/openapi.json",
        "/v1/me",
        "/v1/sites",
        "/v1/topology",
        "/v1/topology/element?id=site:berlin",
        "/v1/planes",
        "/v1/results/latest",
        "/v1/rows?table=active_results",
        "/v1/stream",
        "/v1/mesh/digest",
        "/v1/mesh/revocations",
        "/v1/join-tokens",
        "/v1/api-tokens",
    ];
    for path in closed {
        let answer = stranger.get(path);
        assert_eq!(answer.status, 401, "{path}: {}", answer.body);
        assert_eq!(answer.error().0, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"holm\""), "{path}");
    }
    let admin = node.place.client();
    assert!(admin.get("/metrics").body.contains("holm_http_requests_total "), "Prometheus text");
    assert_eq!(admin.get("/version").json()["version"], env!("CARGO_PKG_VERSION"));
    let openapi = admin.get("/openapi.json").json();
    assert!(openapi["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")), "{openapi}");
    assert!(openapi["paths"]["/v1/topology"].is_object());
}

#[test]
fn every_answer_has_the_security_headers_and_every_error_the_one_shape() {
    let (_lab, node) = node();
    let admin = node.place.client();
    let cases = [
        ("GET", "/healthz", 200, ""),
        ("GET", "/v1/me", 200, ""),
        ("GET", "/v1/sites?colour=blue", 400, "bad_request"),
        ("GET", "/v1/topology?colour=blue", 400, "bad_request"),
        ("GET", "/v1/topology?at=yesterday", 400, "bad_request"),
        ("GET", "/v1/rows?table=active_results&limit=0", 400, "bad_request"),
        ("GET", "/v1/rows?table=active_results&colour=blue", 400, "bad_request"),
        ("GET", "/v1/rows?table=nonsense", 404, "not_found"),
        ("GET", "/v1/topology/element?id=site:atlantis", 404, "not_found"),
        ("GET", "/v1/nonsense", 404, "not_found"),
        ("DELETE", "/v1/api-tokens/nonsense", 404, "not_found"),
        ("PUT", "/v1/me", 405, "bad_request"),
    ];
    for (method, path, status, code) in cases {
        let answer = admin.ask(method, path, &[], "").expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        if !code.is_empty() {
            assert_eq!(answer.error().0, code, "{method} {path}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(answer.header("strict-transport-security").is_some(), "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
        if path.starts_with("/v1/") {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        }
    }
    let (_, message) = admin.get("/v1/topology?colour=blue").error();
    assert!(message.contains("colour"), "the parameter is named: {message}");
    let long = json!({ "name": "x".repeat(101), "role": "viewer" });
    assert_eq!(admin.post("/v1/api-tokens", &long).error().0, "validation");
    let huge = json!({ "name": "x".repeat(100_000), "role": "viewer" });
    let refused = admin.post("/v1/api-tokens", &huge);
    assert_eq!(refused.status, 413);
    let (_, message) = refused.error();
    assert!(
        message.contains("longer than 65536 bytes") && message.contains("shorten"),
        "{message}"
    );
    // All of it is sent before the answer is read: it comes all the same, and as much as a file may be is told.
    let note = "x".repeat(4 << 20);
    for (method, path, most) in
        [("POST", "/v1/incidents/i-1/actions", "65536"), ("POST", "/v1/alerts/check", "262144")]
    {
        let answer = admin.ask(method, path, &[], &note).expect("an answer, and no broken pipe");
        let (_, message) = answer.error();
        assert!(answer.status == 413 && message.contains(most), "{path}: {message}");
    }
    let metrics = admin.get("/metrics").body;
    assert!(metrics.contains("holm_http_bodies_too_long_total 3"), "{metrics}");
    let (code, message) = admin.post("/v1/join-tokens", &json!({ "site": "x", "oops": 1 })).error();
    assert!(code == "validation" && message.contains("oops"), "{message}");
    for broken in ["{", "[]", "{\"name\":1}", "\u{0}"] {
        let answer = admin.ask("POST", "/v1/api-tokens", &[], broken).expect("an answer");
        assert!((400..500).contains(&answer.status), "{broken}: {}", answer.status);
        answer.error();
    }
}

#[test]
fn a_login_link_opens_one_session_and_no_second_one() {
    let (_lab, node) = node();
    let printed = node.place.holm(&["login-link", "--role", "viewer"]).succeeded();
    let origin = format!("https://{}", node.place.api);
    let path = printed.trim().strip_prefix(origin.as_str()).expect("a link to this node");
    let browser = Client::without_token(&node.place);
    let first = browser.get(path);
    assert_eq!(first.status, 200, "{}", first.body);
    let cookie = first.header("set-cookie").expect("a session");
    for part in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    let cookie = cookie.split(';').next().expect("name and value").to_owned();
    let second = browser.get(path);
    assert_eq!(second.status, 401);
    let (_, message) = second.error();
    assert!(message.contains("holm login-link"), "the remedy: {message}");

    let me = browser.ask("GET", "/v1/me", &[("cookie", &cookie)], "").expect("an answer");
    assert_eq!(me.json()["role"], "viewer", "{}", me.body);
    // A page of another origin has the cookie sent by no browser that knows SameSite; if one does:
    let body = r#"{"site":"tokyo"}"#;
    let foreign = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    let forged = browser.ask("POST", "/v1/join-tokens", &foreign, body).expect("an answer");
    assert_eq!(forged.status, 403, "{}", forged.body);
    let out = browser.ask("POST", "/logout", &[("cookie", &cookie)], "").expect("an answer");
    assert_eq!(out.status, 204);
    let after = browser.ask("GET", "/v1/me", &[("cookie", &cookie)], "").expect("an answer");
    assert_eq!(after.status, 401, "the session has ended");
}

#[test]
fn a_viewer_reads_and_changes_nothing_and_a_revoked_token_is_worth_nothing() {
    let (_lab, node) = node();
    let made = node.place.holm(&["api-token", "create", "--name", "ci", "--json"]).succeeded();
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let (id, token) = (made["id"].as_str().expect("an id"), made["token"].as_str().expect("text"));
    let viewer = Client::without_token(&node.place).with_token(token);
    assert_eq!(viewer.get("/v1/me").json()["role"], "viewer");
    let changes = [
        ("/v1/join-tokens", json!({ "site": "tokyo" })),
        ("/v1/api-tokens", json!({ "name": "mine", "role": "admin" })),
        ("/v1/login-links", json!({ "role": "admin" })),
        ("/v1/mesh/revocations", json!({ "site": "berlin", "node": "n1", "reason": "x" })),
    ];
    for (path, body) in changes {
        let answer = viewer.post(path, &body);
        assert_eq!(answer.status, 403, "{path}: {}", answer.body);
        let (code, message) = answer.error();
        assert_eq!(code, "forbidden");
        assert!(message.contains("admin") && message.contains("viewer"), "{message}");
    }
    for path in ["/v1/join-tokens", "/v1/api-tokens"] {
        assert_eq!(viewer.get(path).status, 403, "{path}");
    }
    node.place.holm(&["api-token", "revoke", id]).succeeded();
    // Ids are base64url: one in 64 begins with a hyphen, and is no option.
    let unknown = node.place.holm(&["api-token", "revoke", "-nonsense"]);
    unknown.failed_naming(&["no token has the id -nonsense", "holm api-token list"]);
    assert_eq!(viewer.get("/v1/me").status, 401);
    let listed = node.get("/v1/api-tokens");
    let ids: Vec<_> = listed["items"].as_array().into_iter().flatten().map(|t| &t["id"]).collect();
    assert!(!ids.contains(&&json!(id)), "{listed}");
}

#[test]
fn an_address_that_guesses_is_slowed_down_and_told_for_how_long() {
    let (_lab, node) = node();
    let guesser = Client::without_token(&node.place).with_token("holm_api_AAAAAAAA.guess");
    let answers: Vec<_> = (0..11).map(|_| guesser.get("/v1/me")).collect();
    assert!(answers[..10].iter().all(|answer| answer.status == 401));
    let last = &answers[10];
    assert_eq!((last.status, last.error().0.as_str()), (429, "rate_limited"));
    let wait: u64 = last.header("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(node.place.client().get("/v1/me").status, 200, "a good credential is not kept out");
}

#[test]
fn each_tenant_of_a_node_has_its_own_admin_and_sees_its_own_only() {
    let lab = Lab::new();
    let place = lab.found("berlin");
    let toml = place.file("holm.toml");
    let text = std::fs::read_to_string(&toml).expect("the configuration");
    let two = text.replace("tenants = [\"default\"]", "tenants = [\"default\", \"acme\"]");
    assert_ne!(two, text, "{text}");
    std::fs::write(&toml, two).expect("written");
    let node = place.start();
    let me = |tenant: &str| {
        let printed = node.place.holm(&["status", "--json", "--tenant", tenant]).succeeded();
        let status: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        status["me"]["tenant"].as_str().expect("a tenant").to_owned()
    };
    assert_eq!((me("default"), me("acme")), ("default".into(), "acme".into()));
    node.place
        .holm(&["status", "--tenant", "nobody"])
        .failed_naming(&["tenant nobody is not of this node", "node.tenants"]);
    let made = node.place.holm(&["api-token", "create", "--name", "x", "--tenant", "acme"]);
    let client = node.place.client().with_token(made.succeeded().trim());
    assert_eq!(client.get("/v1/me").json()["tenant"], "acme");
    let refused = node.place.holm(&["token", "create", "--site", "evil", "--tenant", "acme"]);
    refused.failed_naming(&["every tenant", "admin of tenant default"]);
    let tokens = node.get("/v1/api-tokens");
    assert!(!tokens.to_string().contains("acme"), "the other tenant's are not listed: {tokens}");
}
