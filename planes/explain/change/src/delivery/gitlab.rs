//! Webhooks of GitLab (docs.gitlab.com, "Webhook events"): pushes, deployments that succeeded or failed,
//! releases.

use holm_model::Millis;
use serde_json::Value;

use super::json::Object;
use super::{Malformed, Read, moment, remembered};
use crate::{ChangeKind, Draft};

pub(super) fn read(body: &Value, bounds: (Millis, Millis)) -> Result<Read, Malformed> {
    let body = Object::of("", body)?;
    match body.needed("object_kind")? {
        "push" | "tag_push" => push(&body),
        "deployment" => deployed(&body, bounds),
        "release" => released(&body, bounds),
        other => Ok(Read::nothing(other)),
    }
}

/// A draft about the project of a delivery.
fn of_project(body: &Object<'_>, kind: ChangeKind, title: String) -> Result<Draft, Malformed> {
    let project = body.object("project")?;
    let project = project.ok_or_else(|| Malformed::field("project", "it is missing"))?;
    let mut draft = Draft::new(kind, title);
    draft.words = vec![project.needed("path_with_namespace")?.to_owned()];
    draft.attributes.insert("repository".into(), draft.words[0].clone());
    draft.url = project.lenient(&["web_url"]).into();
    Ok(draft)
}

fn push(body: &Object<'_>) -> Result<Read, Malformed> {
    let branch = super::short_ref(body.needed("ref")?);
    // GitLab writes no commit as zeros: the branch is gone.
    if body.lenient(&["after"]).bytes().all(|b| b == b'0') {
        return Ok(Read::nothing("push that deletes a branch"));
    }
    let commits = body.list("commits")?;
    let last = commits.last().and_then(|commit| commit.get("message")?.as_str());
    let title = super::first_line(last.unwrap_or_default());
    let title = if title.is_empty() { format!("push to {branch}") } else { title };
    let kind = if super::is_infrastructure(commits) { ChangeKind::Iac } else { ChangeKind::Commit };
    let mut draft = of_project(body, kind, title)?;
    draft.author = body.lenient(&["user_username"]).into();
    let url = commits.last().and_then(|commit| commit.get("url")?.as_str());
    draft.url = url.map_or(draft.url, str::to_owned);
    draft.attributes.insert("branch".into(), branch.into());
    draft.attributes.insert("commit".into(), body.lenient(&["after"]).into());
    draft.attributes.insert("commits".into(), commits.len().to_string());
    Ok(Read::one(draft))
}

fn deployed(body: &Object<'_>, bounds: (Millis, Millis)) -> Result<Read, Malformed> {
    let status = body.needed("status")?;
    if !matches!(status, "success" | "failed") {
        return Ok(Read::nothing(&format!("deployment that is {status}")));
    }
    let environment = body.lenient(&["environment"]);
    let ended = if status == "success" { "deployed" } else { "failed to deploy" };
    let reference = super::short_ref(body.lenient(&["ref"]));
    let title = format!("{ended} {reference} to {environment}");
    let mut draft = of_project(body, ChangeKind::Deploy, title)?;
    let ended = moment::read(body.lenient(&["status_changed_at"]));
    draft.at = remembered("status_changed_at", ended, bounds)?;
    draft.author = body.lenient(&["user", "username"]).into();
    let url = body.lenient(&["deployable_url"]);
    draft.url = if url.is_empty() { draft.url } else { url.to_owned() };
    draft.attributes.insert("environment".into(), environment.into());
    draft.attributes.insert("commit".into(), body.lenient(&["short_sha"]).into());
    draft.attributes.insert("state".into(), status.into());
    Ok(Read::one(draft))
}

fn released(body: &Object<'_>, bounds: (Millis, Millis)) -> Result<Read, Malformed> {
    let action = body.needed("action")?;
    if action != "create" {
        return Ok(Read::nothing(&format!("release, {action}")));
    }
    let tag = body.needed("tag")?;
    let name = body.lenient(&["name"]);
    let title = if name.is_empty() { format!("release {tag}") } else { name.to_owned() };
    let mut draft = of_project(body, ChangeKind::Release, title)?;
    let released = moment::read(body.lenient(&["released_at"]));
    draft.at = remembered("released_at", released, bounds)?;
    draft.url = body.lenient(&["url"]).into();
    draft.author = body.lenient(&["commit", "author", "name"]).into();
    draft.attributes.insert("tag".into(), tag.into());
    Ok(Read::one(draft))
}
