//! What a delivery says, once its signature held.

mod generic;
mod github;
mod gitlab;
mod json;
mod moment;

use holm_model::Millis;
use serde_json::Value;

use crate::{Draft, Headers, MAX_BODY_BYTES, Provider, Signed};

/// Why a delivery that is signed was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is no JSON.
    #[error(
        "the body is not JSON: {0}; where the sender lets you choose, its content type is application/json"
    )]
    NotJson(String),
    /// Something in it is not as it should be.
    #[error("{path}: {what}")]
    Field {
        /// Where, such as `changes[3].kind`.
        path: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Malformed {
    fn field(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Field { path: path.into(), what: what.into() }
    }
}

/// What was read of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// The changes.
    pub drafts: Vec<Draft>,
    /// The event, if it is one that says nothing of changes: a ping, a comment.
    pub ignored: Option<String>,
}

impl Read {
    fn one(draft: Draft) -> Self {
        Self { drafts: vec![draft], ignored: None }
    }

    fn nothing(event: &str) -> Self {
        Self { drafts: Vec::new(), ignored: Some(event.chars().take(80).collect()) }
    }
}

/// Reads a delivery of `provider` at `now`. Only what is signed comes here. What happened before `oldest` is
/// refused: it would be forgotten as it is taken.
///
/// # Errors
/// [`Malformed`]: which field, and what is wrong with it.
pub fn read(
    provider: Provider,
    _: &Signed,
    headers: &Headers<'_>,
    body: &[u8],
    (oldest, now): (Millis, Millis),
) -> Result<Read, Malformed> {
    if body.len() > MAX_BODY_BYTES {
        return Err(Malformed::NotJson(format!("it is longer than {MAX_BODY_BYTES} bytes")));
    }
    let body: Value =
        serde_json::from_slice(body).map_err(|error| Malformed::NotJson(error.to_string()))?;
    match provider {
        Provider::Generic => generic::read(&body, (oldest, now)),
        Provider::GitHub => {
            github::read(headers("x-github-event").as_deref(), &body, (oldest, now))
        }
        Provider::GitLab => gitlab::read(&body, (oldest, now)),
    }
}

/// When it happened, as the field `path` says, if that is not so long ago that it is not remembered.
fn remembered(
    path: &str,
    at: Option<Millis>,
    (oldest, now): (Millis, Millis),
) -> Result<Option<Millis>, Malformed> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    let Some(millis) = at.filter(|at| *at < oldest) else { return Ok(at) };
    let days = now.since(oldest) / DAY_MS;
    // As milliseconds, a time in seconds is of the seventies.
    const EARLY_MS: u64 = 4 * 366 * DAY_MS;
    let hint = match millis.0 < EARLY_MS {
        true => ": is it in seconds? Write milliseconds since 1970, or 2026-11-21T14:03:07Z",
        false => "",
    };
    let what =
        format!("it lies more than {days} days back, and no change is remembered longer{hint}");
    Err(Malformed::field(path, what))
}

/// `main` of `refs/heads/main`.
fn short_ref(reference: &str) -> &str {
    let heads = reference.strip_prefix("refs/heads/");
    heads.or_else(|| reference.strip_prefix("refs/tags/")).unwrap_or(reference)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Whether all files of these commits describe infrastructure.
fn is_infrastructure(commits: &[Value]) -> bool {
    const ENDS: [&str; 5] = [".tf", ".tfvars", ".tofu", ".bicep", ".nix"];
    const FOLDERS: [&str; 5] = ["terraform", "ansible", "helm", "pulumi", "kustomize"];
    let files = commits.iter().flat_map(|commit| {
        let of = |list: &str| commit.get(list).and_then(Value::as_array);
        ["added", "modified", "removed"].into_iter().filter_map(of).flatten()
    });
    let mut files = files.filter_map(Value::as_str).peekable();
    files.peek().is_some()
        && files.all(|file| {
            ENDS.iter().any(|end| file.ends_with(end))
                || file.split('/').any(|folder| FOLDERS.contains(&folder))
        })
}
