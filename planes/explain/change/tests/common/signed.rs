//! Deliveries that were really checked.

use holm_change::{Provider, Signed, Source};
use holm_model::Millis;

/// A delivery of `body` by who knows the secret.
pub(crate) fn signed(body: &[u8]) -> Signed {
    let source = Source::new("lab", Provider::GitLab, None, "ada", Millis(1), [3; 42]);
    let source = source.expect("made");
    let token = |name: &str| (name == "x-gitlab-token").then(|| source.secret.to_string());
    Signed::check(Some(&source), Provider::GitLab, &token, body, Millis(2))
        .expect("it is the secret")
}
