//! What is asked for: the request, and what its answer is expected to be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::body::Bytes;

use super::expect::Expected;
use super::place::Place;
use crate::config::{HttpVersion, Identity, Target};

/// Most headers of a request.
const MAX_HEADERS: usize = 16;
/// Longest value of a header, in bytes.
const MAX_VALUE: usize = 1_024;
/// Most redirects that are followed.
pub(crate) const MAX_REDIRECTS: u8 = 10;
/// Methods that a request may have.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
/// Those whose requests have a body (RFC 9110 §9.3).
const WITH_BODY: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];
/// Longest body of a request, in bytes.
pub(crate) const MAX_BODY: usize = 64 << 10;
/// Headers that hold secrets.
const SECRET: [&str; 7] = [
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-auth-token",
    "x-vault-token",
];
/// Headers that the request has by itself.
const OWN: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The body of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Body {
    #[default]
    None,
    Text(Bytes),
    /// It stands in a file of this node.
    File(PathBuf),
}

impl Body {
    fn of(target: &Target) -> Result<Self, String> {
        let key = if target.body_file.is_empty() { "body" } else { "body_file" };
        if target.body.is_empty() && target.body_file.is_empty() {
            let typed = !target.content_type.is_empty();
            let refuse = "content_type: there is no body that it could be of";
            return if typed { Err(refuse.into()) } else { Ok(Self::None) };
        }
        if !target.body.is_empty() && !target.body_file.is_empty() {
            return Err("body: it stands in body or in body_file, not in both".into());
        }
        if !WITH_BODY.contains(&&*target.method) {
            return Err(format!(
                "{key}: a {} request has none; a method of {} has",
                target.method,
                WITH_BODY.join(", ")
            ));
        }
        if target.body.len() > MAX_BODY {
            return Err(format!("body: it has at most {} KiB", MAX_BODY >> 10));
        }
        Ok(match key {
            "body" => Self::Text(Bytes::copy_from_slice(target.body.as_bytes())),
            _ => Self::File(PathBuf::from(&target.body_file)),
        })
    }

    /// The bytes that are sent, as far as they are known before.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(text) => text.len(),
            Self::File(_) => MAX_BODY,
        }
    }
}

/// A request and what is expected of its answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub(super) place: Place,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    /// Headers whose values stand in files of this node.
    pub(super) header_files: Vec<(HeaderName, PathBuf)>,
    pub(super) body: Body,
    /// Whether the body is sent to who is asked first alone.
    pub(super) body_stays: bool,
    /// Headers that hold what was taken from an answer: for who is asked first alone.
    pub(super) taken: HeaderMap,
    pub(super) version: HttpVersion,
    pub(super) follow: u8,
    /// The name of a client certificate, and what this node's configuration says of it.
    pub(super) identity: Option<(String, Option<Identity>)>,
    pub(super) expected: Expected,
    /// Whether the answer's body is wanted, whatever is expected of it.
    pub(super) keep: bool,
}

impl Ask {
    /// A `GET` over HTTP/1.1 that expects a status.
    pub(crate) fn get(url: &str, status: &str) -> Result<Self, String> {
        Ok(Self {
            place: Place::parse(url)?,
            method: Method::GET,
            headers: HeaderMap::new(),
            header_files: Vec::new(),
            body: Body::None,
            body_stays: false,
            taken: HeaderMap::new(),
            version: HttpVersion::V1,
            follow: 0,
            identity: None,
            expected: Expected::status(status)?,
            keep: false,
        })
    }

    /// What a target says. `identity` is what this node knows of the one that it names.
    pub(crate) fn of(target: &Target, identity: Option<&Identity>) -> Result<Self, String> {
        let method = &*target.method;
        let method = METHODS.contains(&method).then(|| Method::from_bytes(method.as_bytes()));
        let method = method.and_then(Result::ok);
        let method = method.ok_or_else(|| {
            format!("method \"{}\": it is one of {}", target.method, METHODS.join(", "))
        })?;
        if target.follow_redirects > MAX_REDIRECTS {
            return Err(format!("follow_redirects: it goes from 0 to {MAX_REDIRECTS}"));
        }
        if target.headers.len() + target.header_files.len() > MAX_HEADERS {
            return Err(format!("headers: at most {MAX_HEADERS} of them"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &target.headers {
            headers.insert(header("headers", name)?, value_of(name, value)?);
        }
        let body = Body::of(target)?;
        if !target.content_type.is_empty() {
            let value = value_of("content_type", &target.content_type)
                .map_err(|why| why.replacen("headers: ", "content_type: ", 1))?;
            if headers.insert(CONTENT_TYPE, value).is_some() {
                return Err("content_type: headers say it already".into());
            }
        }
        let mut header_files = Vec::new();
        for (name, file) in &target.header_files {
            if file.is_empty() {
                return Err(format!("header_files: {name} names no file"));
            }
            header_files.push((named("header_files", name)?, PathBuf::from(file)));
        }
        let place = Place::parse(&target.target)?;
        if target.http_version == HttpVersion::V3 && !place.is_tls() {
            return Err(
                "http_version: HTTP/3 is spoken over TLS alone, and the target is none of https"
                    .into(),
            );
        }
        if !target.identity.is_empty() && !place.is_tls() {
            return Err(
                "identity: a client certificate is shown over TLS, and the target is none of https"
                    .into(),
            );
        }
        Ok(Self {
            expected: Expected::new(
                &target.expect_status,
                &target.expect_header,
                &target.expect_body,
                &target.expect_json,
            )?,
            keep: false,
            place,
            method,
            headers,
            header_files,
            body,
            body_stays: false,
            taken: HeaderMap::new(),
            version: target.http_version,
            follow: target.follow_redirects,
            identity: (!target.identity.is_empty())
                .then(|| (target.identity.clone(), identity.cloned())),
        })
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.place.is_tls()
    }

    /// The same with headers that hold what was taken from an answer, which may be a secret as the body may be.
    pub(crate) fn with_taken(
        mut self,
        taken: &BTreeMap<String, String>,
        body_stays: bool,
    ) -> Result<Self, String> {
        if self.headers.len() + self.header_files.len() + taken.len() > MAX_HEADERS {
            return Err(format!("headers: at most {MAX_HEADERS} of them"));
        }
        for (name, value) in taken {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                format!("headers: what was taken for {name} is no value of a header")
            })?;
            value.set_sensitive(true);
            self.taken.insert(named("headers", name)?, value);
        }
        self.body_stays = body_stays;
        Ok(self)
    }

    /// The same; the answer's body is wanted.
    pub(crate) fn keeping_body(self) -> Self {
        Self { keep: true, ..self }
    }

    /// The bytes of its body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// How many requests it is made of at most.
    pub(crate) fn requests(&self) -> u16 {
        u16::from(self.follow) + 1
    }
}

/// The name of a header that a request may say.
fn named(key: &str, name: &str) -> Result<HeaderName, String> {
    let known = HeaderName::from_bytes(name.as_bytes());
    let known = known.map_err(|_| format!("{key}: \"{name}\" is no name of a header"))?;
    if OWN.contains(&known.as_str()) {
        return Err(format!("{key}: {known} is what the request says by itself"));
    }
    Ok(known)
}

/// The same of a header whose value everybody may read.
fn header(key: &str, name: &str) -> Result<HeaderName, String> {
    let known = named(key, name)?;
    if SECRET.contains(&known.as_str()) {
        return Err(format!(
            "{key}: {known} is a secret, which would be read wherever this is; name a file that holds it in header_files of a target of the node's own configuration ([[planes.active.targets]])"
        ));
    }
    Ok(known)
}

fn value_of(name: &str, value: &str) -> Result<HeaderValue, String> {
    let right = value.len() <= MAX_VALUE && value.trim() == value;
    let value = right.then(|| HeaderValue::from_str(value)).and_then(Result::ok);
    value.ok_or_else(|| {
        format!("headers: the value of {name} has at most {MAX_VALUE} bytes, none of them a control character, and no space around it")
    })
}

/// The value that a file holds.
pub(super) fn value_in(name: &HeaderName, bytes: &[u8]) -> Result<HeaderValue, String> {
    let refuse =
        || format!("the file of the header {name} holds no value of 1 to {MAX_VALUE} bytes");
    let text = std::str::from_utf8(bytes).map_err(|_| refuse())?.trim();
    if text.is_empty() || text.len() > MAX_VALUE {
        return Err(refuse());
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| refuse())?;
    value.set_sensitive(true);
    Ok(value)
}
