//! Webhooks of GitHub (docs.github.com, "Webhook events and payloads"): pushes, deployments that succeeded
//! or failed, releases.

use holm_model::Millis;
use serde_json::Value;

use super::json::Object;
use super::{Malformed, Read, moment, remembered};
use crate::{ChangeKind, Draft};

pub(super) fn read(
    event: Option<&str>,
    body: &Value,
    bounds: (Millis, Millis),
) -> Result<Read, Malformed> {
    let body = Object::of("", body)?;
    match event.unwrap_or_default() {
        "push" => push(&body, bounds),
        "deployment_status" => deployed(&body, bounds),
        "release" => released(&body, bounds),
        "" => Err(Malformed::field("X-GitHub-Event", "the header is missing")),
        other => Ok(Read::nothing(other)),
    }
}

/// A draft about the repository of a delivery.
fn of_repository(body: &Object<'_>, kind: ChangeKind, title: String) -> Result<Draft, Malformed> {
    let repository = body.object("repository")?;
    let repository = repository.ok_or_else(|| Malformed::field("repository", "it is missing"))?;
    let mut draft = Draft::new(kind, title);
    draft.words = vec![repository.needed("full_name")?.to_owned()];
    draft.attributes.insert("repository".into(), draft.words[0].clone());
    Ok(draft)
}

fn push(body: &Object<'_>, bounds: (Millis, Millis)) -> Result<Read, Malformed> {
    let reference = body.needed("ref")?;
    let branch = super::short_ref(reference);
    if body.fields.get("deleted") == Some(&Value::Bool(true)) {
        return Ok(Read::nothing("push that deletes a branch"));
    }
    let commits = body.list("commits")?;
    let title = super::first_line(body.lenient(&["head_commit", "message"]));
    let title = if title.is_empty() { format!("push to {branch}") } else { title };
    let kind = if super::is_infrastructure(commits) { ChangeKind::Iac } else { ChangeKind::Commit };
    let mut draft = of_repository(body, kind, title)?;
    // When it was pushed: a commit may be much older.
    let pushed = body.fields.get("repository").and_then(|r| r.get("pushed_at")?.as_u64());
    let pushed = pushed.map(|seconds| Millis(seconds.saturating_mul(1_000)));
    draft.at = remembered("repository.pushed_at", pushed, bounds)?;
    draft.author = body.lenient(&["pusher", "name"]).into();
    draft.url = body.lenient(&["compare"]).into();
    draft.attributes.insert("branch".into(), branch.into());
    draft.attributes.insert("commit".into(), body.lenient(&["after"]).into());
    draft.attributes.insert("commits".into(), commits.len().to_string());
    Ok(Read::one(draft))
}

/// What a deployment came to: one that is only asked for has changed nothing yet.
fn deployed(body: &Object<'_>, bounds: (Millis, Millis)) -> Result<Read, Malformed> {
    let status = body.object("deployment_status")?;
    let status = status.ok_or_else(|| Malformed::field("deployment_status", "it is missing"))?;
    let state = status.needed("state")?;
    if !matches!(state, "success" | "failure") {
        return Ok(Read::nothing(&format!("deployment that is {state}")));
    }
    let deployment = body.object("deployment")?;
    let deployment = deployment.ok_or_else(|| Malformed::field("deployment", "it is missing"))?;
    let environment = deployment.lenient(&["environment"]);
    let reference = super::short_ref(deployment.lenient(&["ref"]));
    let ended = if state == "success" { "deployed" } else { "failed to deploy" };
    let title = format!("{ended} {reference} to {environment}");
    let mut draft = of_repository(body, ChangeKind::Deploy, title)?;
    let ended = moment::read(status.lenient(&["created_at"]));
    draft.at = remembered("deployment_status.created_at", ended, bounds)?;
    draft.author = deployment.lenient(&["creator", "login"]).into();
    draft.url = status.lenient(&["target_url"]).into();
    draft.attributes.insert("environment".into(), environment.into());
    draft.attributes.insert("commit".into(), deployment.lenient(&["sha"]).into());
    draft.attributes.insert("state".into(), state.into());
    Ok(Read::one(draft))
}

fn released(body: &Object<'_>, bounds: (Millis, Millis)) -> Result<Read, Malformed> {
    let action = body.needed("action")?;
    if action != "published" {
        return Ok(Read::nothing(&format!("release that is {action}")));
    }
    let release = body.object("release")?;
    let release = release.ok_or_else(|| Malformed::field("release", "it is missing"))?;
    let tag = release.needed("tag_name")?;
    let name = release.lenient(&["name"]);
    let title = if name.is_empty() { format!("release {tag}") } else { name.to_owned() };
    let mut draft = of_repository(body, ChangeKind::Release, title)?;
    let published = moment::read(release.lenient(&["published_at"]));
    draft.at = remembered("release.published_at", published, bounds)?;
    draft.author = release.lenient(&["author", "login"]).into();
    draft.url = release.lenient(&["html_url"]).into();
    draft.attributes.insert("tag".into(), tag.into());
    Ok(Read::one(draft))
}
