//! The steps of a scripted transaction: requests that follow each other, and what is taken from one for the next. And
//! those of a check in a browser, which act on a page.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::target::{Target, default_method, default_statuses};

/// Most steps of a script.
pub(crate) const MAX_STEPS: usize = 16;
/// Most values that a script takes.
pub(crate) const MAX_VALUES: usize = 16;
/// Longest value, in bytes.
pub(crate) const MAX_VALUE: usize = 4 << 10;

/// One request of a script, or one step in a browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name in results: 1 to 63 characters, each once.
    pub name: String,
    /// A URL, or a path of the target's. `{{name}}` stands for a value that a step before has taken, here as in
    /// `headers` and `body`.
    ///
    /// browser: what is opened; empty: the page stays.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// browser: the element that is clicked, a CSS selector as everywhere here.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub click: String,
    /// browser: the element that is typed into.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub into: String,
    /// browser: the text that is typed. It is none that is secret.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    pub typed: String,
    /// browser: a file of this node that holds it; only of targets of its own configuration.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub type_file: String,
    /// browser: the key that is pressed, such as `Enter`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub press: String,
    /// browser: an element that comes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expect_element: String,
    /// browser: a text that comes in the page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expect_text: String,
    /// browser: what the title comes to have in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expect_title: String,
    /// browser: what the page's address comes to have in it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expect_url: String,
    /// browser: how long the step may take: 100 ms to five minutes, 15 s if it is not said.
    #[serde(
        default,
        deserialize_with = "humantime_serde::deserialize",
        serialize_with = "written",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
}

/// A length of time as files of tests have it.
fn written<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&time.map(crate::test::length).unwrap_or_default())
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
            click: String::new(),
            into: String::new(),
            typed: String::new(),
            type_file: String::new(),
            press: String::new(),
            expect_element: String::new(),
            expect_text: String::new(),
            expect_title: String::new(),
            expect_url: String::new(),
            timeout: None,
        }
    }

    /// A field that a step of the other kind of probe alone has: of a browser's, or of a script's.
    pub(crate) fn foreign(&self, is_browser: bool) -> Option<&'static str> {
        let of_browser = [
            ("click", !self.click.is_empty()),
            ("into", !self.into.is_empty()),
            ("type", !self.typed.is_empty()),
            ("type_file", !self.type_file.is_empty()),
            ("press", !self.press.is_empty()),
            ("expect_element", !self.expect_element.is_empty()),
            ("expect_text", !self.expect_text.is_empty()),
            ("expect_title", !self.expect_title.is_empty()),
            ("expect_url", !self.expect_url.is_empty()),
            ("timeout", self.timeout.is_some()),
        ];
        let of_script = [
            ("method", !is_default_method(&self.method)),
            ("headers", !self.headers.is_empty()),
            ("header_files", !self.header_files.is_empty()),
            ("body", !self.body.is_empty()),
            ("body_file", !self.body_file.is_empty()),
            ("content_type", !self.content_type.is_empty()),
            ("expect_header", !self.expect_header.is_empty()),
            ("expect_body", !self.expect_body.is_empty()),
            ("expect_json", !self.expect_json.is_empty()),
            ("take", !self.take.is_empty()),
        ];
        let others = if is_browser { of_script } else { of_browser };
        others.into_iter().find(|(_, said)| *said).map(|(key, _)| key)
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
