//! Files of policies as requests bring them: what is wrong with one, and a file for one name.

use holm_policy::{Problem, Refused};

use super::error::{ApiError, ErrorCode};
use super::params::clipped;

/// Most problems, names and objects that are told of one file.
pub(super) const MAX_TOLD: usize = 20;
/// Most characters of a problem.
const MAX_TEXT: usize = 400;

/// A file that is refused, with the first of what is wrong with it.
pub(super) fn refused(Refused(problems): &Refused) -> ApiError {
    ApiError::new(ErrorCode::Validation, told(problems))
}

/// The first of some problems, and how many more there are.
pub(super) fn told(problems: &[Problem]) -> String {
    let short = |problem: &Problem| problem.to_string().chars().take(MAX_TEXT).collect::<String>();
    let told: Vec<String> = problems.iter().take(MAX_TOLD).map(short).collect();
    match problems.len().saturating_sub(told.len()) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

/// Refuses a file for `name` that has another object, or more than one; `field` is where names stand in it.
pub(super) fn only<'a>(
    field: &str,
    name: &str,
    found: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), ApiError> {
    if found.clone().eq([name]) {
        return Ok(());
    }
    let found: Vec<&str> = found.take(MAX_TOLD).collect();
    let text = format!(
        "{field}: {} is written here, and the file has {}",
        clipped(name),
        found.join(", ")
    );
    Err(ApiError::new(ErrorCode::Validation, text))
}
