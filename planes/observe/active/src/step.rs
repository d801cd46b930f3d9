//! The steps of a scripted transaction: requests that follow each other, and what is taken from one for the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::target::{Target, default_method, default_statuses};

/// Most steps of a script.
pub(crate) const MAX_STEPS: usize = 16;
/// Most values that a script takes.
pub(crate) const MAX_VALUES: usize = 16;
/// Longest value, in bytes.
pub(crate) const MAX_VALUE: usize = 4 << 10;

/// One request of a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name in results: 1 to 63 characters, each once.
    pub name: String,
    /// A URL, or a path of the target's. `{{name}}` stands for a value that a step before has taken, here as in
    /// `headers` and `body`.
    pub url: String,
    /// The method of the request.
    #[serde(default = "default_method", skip_serializing_if = "is_default_method")]
    pub method: String,
    /// Headers of the request. None of them is a secret, but one that was taken may stand in them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values stand in files of this node; only of targets of its own configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header_files: BTreeMap<String, String>,
    /// The body of the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// A file of this node that holds it; only of targets of its own configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body_file: String,
    /// What the body is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// Which status codes are a success.
    #[serde(default = "default_statuses", skip_serializing_if = "is_default_statuses")]
    pub expect_status: String,
    /// Headers of the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect_header: Vec<String>,
    /// A text that is in the answer's body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expect_body: String,
    /// What stands in the answer's JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect_json: Vec<String>,
    /// What is taken from the answer, by name: `json $.token`, `header location`, or `pattern before*after`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub take: BTreeMap<String, String>,
}

fn is_default_method(method: &str) -> bool {
    method == default_method()
}

fn is_default_statuses(statuses: &str) -> bool {
    statuses == default_statuses()
}

impl Step {
    /// A step that says nothing else.
    pub fn plain(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            method: default_method(),
            headers: BTreeMap::new(),
            header_files: BTreeMap::new(),
            body: String::new(),
            body_file: String::new(),
            content_type: String::new(),
            expect_status: default_statuses(),
            expect_header: Vec::new(),
            expect_body: String::new(),
            expect_json: Vec::new(),
            take: BTreeMap::new(),
        }
    }

    /// The step as a target of http: what it shares with the others is `of`'s.
    pub(crate) fn target(&self, of: &Target) -> Target {
        Target {
            probe: crate::ProbeKind::Http,
            method: self.method.clone(),
            headers: self.headers.clone(),
            header_files: self.header_files.clone(),
            body: self.body.clone(),
            body_file: self.body_file.clone(),
            content_type: self.content_type.clone(),
            expect_status: self.expect_status.clone(),
            expect_header: self.expect_header.clone(),
            expect_body: self.expect_body.clone(),
            expect_json: self.expect_json.clone(),
            steps: Vec::new(),
            ..of.clone()
        }
    }
}
