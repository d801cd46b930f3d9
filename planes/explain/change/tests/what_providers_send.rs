//! Deliveries as providers send them, cut to what is read, and what is wrong with bad ones.

#[path = "common/signed.rs"]
mod sender;

use holm_change::{ChangeKind, Draft, Malformed, Provider, read};
use holm_model::Millis;
use sender::signed;
use serde_json::{Value, json};

const NOW: Millis = Millis(1_795_000_000_000);
const OLDEST: Millis = Millis(NOW.0 - 30 * 24 * 60 * 60 * 1_000);

fn reads(provider: Provider, event: &str, body: &Value) -> Result<holm_change::Read, Malformed> {
    let event = event.to_owned();
    let headers = move |name: &str| (name == "x-github-event").then(|| event.clone());
    read(provider, &signed(b""), &headers, body.to_string().as_bytes(), (OLDEST, NOW))
}

fn one(provider: Provider, event: &str, body: &Value) -> Draft {
    let mut read = reads(provider, event, body).expect("good");
    assert_eq!((read.drafts.len(), &read.ignored), (1, &None));
    read.drafts.remove(0)
}

#[test]
fn github() {
    let repository = json!({ "full_name": "acme/checkout", "pushed_at": 1_794_999_000 });
    let push = json!({
        "ref": "refs/heads/main", "after": "6113728f", "compare": "https://github.com/acme/checkout/compare/a...b",
        "pusher": { "name": "ada" }, "repository": repository,
        "head_commit": { "message": "raise the timeout\n\nbecause", "timestamp": "2020-01-01T00:00:00Z" },
        "commits": [{ "added": [], "modified": ["src/pay.rs"], "removed": [] }],
    });
    let draft = one(Provider::GitHub, "push", &push);
    assert_eq!(
        (draft.kind, &*draft.title, &*draft.author),
        (ChangeKind::Commit, "raise the timeout", "ada")
    );
    assert_eq!(draft.at, Some(Millis(1_794_999_000_000)), "when it was pushed");
    assert_eq!(draft.words, ["acme/checkout"]);
    assert_eq!(draft.attributes["commit"], "6113728f");
    let mut iac = push.clone();
    iac["commits"] = json!([{ "modified": ["infra/main.tf"], "added": ["helm/values.yaml"] }]);
    assert_eq!(one(Provider::GitHub, "push", &iac).kind, ChangeKind::Iac);
    let mut gone = push;
    gone["deleted"] = json!(true);
    assert!(reads(Provider::GitHub, "push", &gone).expect("good").ignored.is_some());

    let mut deployment = json!({
        "deployment_status": { "state": "success", "created_at": "2026-11-21T14:03:07Z", "target_url": "https://ci.example/7" },
        "deployment": { "ref": "v1.2", "environment": "production", "sha": "6113728f", "creator": { "login": "grace" } },
        "repository": { "full_name": "acme/checkout" },
    });
    let draft = one(Provider::GitHub, "deployment_status", &deployment);
    assert_eq!((draft.kind, &*draft.title), (ChangeKind::Deploy, "deployed v1.2 to production"));
    assert_eq!((&*draft.author, &*draft.url), ("grace", "https://ci.example/7"));
    deployment["deployment_status"]["state"] = json!("in_progress");
    assert!(
        reads(Provider::GitHub, "deployment_status", &deployment).expect("good").drafts.is_empty()
    );

    let release = json!({
        "action": "published", "repository": { "full_name": "acme/checkout" },
        "release": { "tag_name": "v1.2", "name": "", "published_at": "2026-11-21T14:03:07Z", "author": { "login": "ada" }, "html_url": "https://x.example" },
    });
    assert_eq!(&*one(Provider::GitHub, "release", &release).title, "release v1.2");
    let ping = reads(Provider::GitHub, "ping", &json!({ "zen": "…" })).expect("good");
    assert_eq!((ping.drafts.len(), ping.ignored.as_deref()), (0, Some("ping")));
    let wrong = reads(Provider::GitHub, "push", &json!({ "ref": "refs/heads/main" }));
    assert_eq!(wrong.expect_err("no repository").to_string(), "repository: it is missing");
}

#[test]
fn gitlab() {
    let project = json!({ "path_with_namespace": "acme/checkout", "web_url": "https://gitlab.example/acme/checkout" });
    let push = json!({
        "object_kind": "push", "ref": "refs/heads/main", "after": "da1560886d4f", "user_username": "ada", "project": project,
        "commits": [{ "message": "one" }, { "message": "two\n", "url": "https://gitlab.example/c/2" }],
    });
    let draft = one(Provider::GitLab, "", &push);
    assert_eq!(
        (draft.kind, &*draft.title, &*draft.url),
        (ChangeKind::Commit, "two", "https://gitlab.example/c/2")
    );
    let deployment = json!({
        "object_kind": "deployment", "status": "success", "status_changed_at": "2026-11-10 21:50:00 +0200",
        "environment": "staging", "ref": "main", "short_sha": "279484c0", "user": { "username": "grace" }, "project": project,
        "deployable_url": "https://gitlab.example/j/796",
    });
    let draft = one(Provider::GitLab, "", &deployment);
    assert_eq!((draft.kind, draft.at), (ChangeKind::Deploy, Some(Millis(1_794_340_200_000))));
    assert_eq!(
        (&*draft.title, &*draft.url),
        ("deployed main to staging", "https://gitlab.example/j/796")
    );
    let release = json!({
        "object_kind": "release", "action": "create", "tag": "v1.1", "name": "Spring", "released_at": "2026-11-02 12:55:12 UTC",
        "project": project, "url": "https://gitlab.example/r/1",
    });
    assert_eq!(&*one(Provider::GitLab, "", &release).title, "Spring");
    let note = reads(Provider::GitLab, "", &json!({ "object_kind": "note" })).expect("good");
    assert_eq!(note.ignored.as_deref(), Some("note"));
}

#[test]
fn our_own_form() {
    let full = json!({
        "id": "deploy-7", "kind": "deploy", "title": "checkout 1.2", "author": "ada", "at": "2026-11-18T00:00:00Z",
        "target": "service:checkout", "targets": ["host:192.0.2.7"], "prefix": "192.0.2.0/24",
        "url": "https://ci.example/7", "attributes": { "version": "1.2", "replicas": 3 },
    });
    let draft = one(Provider::Generic, "", &full);
    assert_eq!(draft.key.as_deref(), Some("deploy-7"));
    assert_eq!(draft.words, ["service:checkout", "host:192.0.2.7"]);
    assert_eq!(draft.attributes["replicas"], "3");
    let least = json!({ "kind": "other", "title": "x" });
    for (body, count) in
        [(json!([least, least]), 2), (json!({ "changes": [least] }), 1), (json!([]), 0)]
    {
        assert_eq!(reads(Provider::Generic, "", &body).expect("good").drafts.len(), count);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let with = |field: &str, value: Value| {
        let mut body = json!({ "kind": "deploy", "title": "x" });
        body[field] = value;
        body
    };
    for (body, says) in [
        (json!(7), "body: it is a number, and should be an object or a list"),
        (json!({}), "kind: it is missing"),
        (
            json!([{ "kind": "deploy", "title": "x" }, { "kind": "oops" }]),
            "[1].kind: a kind is one of deploy, config",
        ),
        (json!({ "changes": [{ "kind": "deploy" }] }), "changes[0].title: it is missing"),
        (json!({ "changes": 7 }), "changes: it is a number, and should be a list"),
        (json!({ "changes": [], "title": "x" }), "title: it stands beside changes"),
        (json!([[]]), "[0]: it is a list, and should be an object"),
        (
            json!(vec![json!({ "kind": "deploy", "title": "x" }); 101]),
            "body: 101 changes, and the most are 100",
        ),
        (with("colour", json!("blue")), "colour: is not a field; there are attributes, at"),
        (with("at", json!("yesterday")), "at: not a time"),
        (with("at", json!(NOW.0 + 600_000)), "at: it lies more than five minutes ahead"),
        (with("author", json!(7)), "author: it is a number, and should be a text"),
        (with("targets", json!(["a", 7])), "targets[1]: it is a number"),
        (with("targets", json!(vec!["a"; 17])), "targets: 17 targets, and the most are 16"),
        (with("target", json!("x".repeat(300))), "target: it has 300 bytes, and the most are 255"),
        (with("prefix", json!("lan")), "prefix: it is no prefix"),
        (with("url", json!("javascript:alert(1)")), "url: it begins with https://"),
        (with("attributes", json!({ "a": [] })), "attributes.a: it is a list"),
    ] {
        let error = reads(Provider::Generic, "", &body).expect_err(says).to_string();
        assert!(error.starts_with(says), "{error} instead of {says}");
    }
    let headers = |_: &str| None;
    let bad = read(Provider::Generic, &signed(b""), &headers, b"{\"kind\":", (OLDEST, NOW));
    assert!(matches!(bad, Err(Malformed::NotJson(_))), "{bad:?}");
}

#[test]
fn what_happened_before_all_that_is_remembered_is_refused() {
    let generic = |at: Value| json!({ "changes": [{ "kind": "deploy", "title": "a", "at": at }] });
    let repository = json!({ "full_name": "acme/checkout", "pushed_at": 1_700_000_000 });
    let project = json!({ "path_with_namespace": "acme/checkout" });
    let old = "2023-11-21T14:03:07Z";
    for (provider, event, body, field) in [
        (Provider::Generic, "", generic(json!(0)), "changes[0].at"),
        (Provider::Generic, "", generic(json!(OLDEST.0 - 1)), "changes[0].at"),
        (Provider::Generic, "", generic(json!(old)), "changes[0].at"),
        (
            Provider::GitHub,
            "push",
            json!({ "ref": "refs/heads/main", "commits": [], "repository": repository }),
            "repository.pushed_at",
        ),
        (
            Provider::GitHub,
            "deployment_status",
            json!({ "deployment_status": { "state": "success", "created_at": old },
                "deployment": { "ref": "v1" }, "repository": repository }),
            "deployment_status.created_at",
        ),
        (
            Provider::GitHub,
            "release",
            json!({ "action": "published", "repository": repository,
                "release": { "tag_name": "v1", "published_at": old } }),
            "release.published_at",
        ),
        (
            Provider::GitLab,
            "",
            json!({ "object_kind": "deployment", "status": "success", "project": project,
                "status_changed_at": "2023-04-28 21:50:00 +0200" }),
            "status_changed_at",
        ),
        (
            Provider::GitLab,
            "",
            json!({ "object_kind": "release", "action": "create", "tag": "v1", "project": project,
                "released_at": "2023-11-02 12:55:12 UTC" }),
            "released_at",
        ),
    ] {
        let error = reads(provider, event, &body).expect_err(field).to_string();
        let says = format!("{field}: it lies more than 30 days back");
        assert!(error.starts_with(&says), "{error} instead of {says}");
    }
    let seconds = reads(Provider::Generic, "", &generic(json!(NOW.0 / 1_000))).expect_err("1970");
    assert!(seconds.to_string().contains("is it in seconds? Write milliseconds"), "{seconds}");
    let oldest = reads(Provider::Generic, "", &generic(json!(OLDEST.0))).expect("remembered");
    assert_eq!(oldest.drafts[0].at, Some(OLDEST));
}
