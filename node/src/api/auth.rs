//! Who asks: a bearer token or the session cookie; tenant and role come from it alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holm_model::Millis;
use serde::Deserialize;

use super::error::{ApiError, ErrorCode};
use super::serve::ClientAddress;
use crate::daemon::{Caller, NodeState, Role};

const COOKIE: &str = "holm_session";
const MAX_FAILURES: u32 = 10;
const FAILURE_WINDOW_MS: u64 = 60_000;
const MAX_TRACKED_ADDRESSES: usize = 4_096;

/// Failed attempts by address, bounded.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, (Millis, u32)>>);

impl Throttle {
    /// Whether `address` has failed too often lately; then the seconds to wait.
    fn wait_s(&self, address: IpAddr, now: Millis) -> Option<u64> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = failures.get(&address)?;
        let passed = now.since(*since);
        (passed < FAILURE_WINDOW_MS && *count >= MAX_FAILURES)
            .then(|| (FAILURE_WINDOW_MS - passed).div_ceil(1_000))
    }

    fn failed(&self, address: IpAddr, now: Millis) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_TRACKED_ADDRESSES {
            failures.retain(|_, (since, _)| now.since(*since) < FAILURE_WINDOW_MS);
        }
        if failures.len() >= MAX_TRACKED_ADDRESSES {
            failures.clear();
        }
        let entry = failures.entry(address).or_insert((now, 0));
        if now.since(entry.0) >= FAILURE_WINDOW_MS {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

impl FromRequestParts<Arc<NodeState>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<NodeState>,
    ) -> Result<Self, ApiError> {
        let now = Millis::now();
        let address = parts.extensions.get::<ClientAddress>().map(|a| a.0.ip());
        // Who has a good credential is not kept out by others behind the same address.
        let Some(caller) = present(&parts.headers, state, now) else {
            if let Some(seconds) = address.and_then(|a| state.throttle.wait_s(a, now)) {
                return Err(too_many(seconds));
            }
            let offered = parts.headers.contains_key(header::AUTHORIZATION);
            if let (Some(address), true) = (address, offered) {
                state.throttle.failed(address, now);
            }
            return Err(ApiError::new(
                ErrorCode::Unauthorized,
                "no valid credential: send `Authorization: Bearer holm_api_…` (make one with `holm api-token \
                 create`), or open the link that `holm login-link` prints",
            ));
        };
        if caller.role == Role::Ingest && parts.uri.path() != super::traces::PATH {
            return Err(ApiError::forbidden(format!(
                "the credential \"{}\" has the role ingest, which sends spans (POST {}) and nothing else; use \
                 one of a viewer, editor or admin",
                caller.name,
                super::traces::PATH
            )));
        }
        let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if caller.by_cookie && changes && !from_own_page(parts) {
            return Err(ApiError::forbidden(
                "a change by session cookie must come from this node's own console",
            ));
        }
        Ok(caller)
    }
}

fn too_many(seconds: u64) -> ApiError {
    let message = format!("too many failed attempts from this address; try again in {seconds} s");
    ApiError { retry_after_s: Some(seconds), ..ApiError::new(ErrorCode::RateLimited, message) }
}

/// Whose credential `headers` carry, if it holds now.
pub(super) fn present(headers: &HeaderMap, state: &NodeState, now: Millis) -> Option<Caller> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
        return state.credentials.caller_by_token(token.trim());
    }
    let caller = state.credentials.caller_by_cookie(cookie(headers)?, now)?;
    Some(caller)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(header::COOKIE).iter().find_map(|value| {
        value.to_str().ok()?.split(';').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == COOKIE).then_some(value)
        })
    })
}

/// The browser says which page a request comes from; a foreign one cannot forge it.
fn from_own_page(parts: &Parts) -> bool {
    let fetch_site = parts.headers.get("sec-fetch-site").and_then(|v| v.to_str().ok());
    if let Some(site) = fetch_site {
        return site == "same-origin";
    }
    let host = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(|a| a.as_str()));
    let origin = parts.headers.get(header::ORIGIN).and_then(|v| v.to_str().ok());
    let origin_host = origin.and_then(|o| o.split_once("://")).map(|(_, host)| host);
    origin_host.is_some() && origin_host == host
}

impl Caller {
    /// Refuses who is not an admin of the node's first tenant: who decides about nodes decides about
    /// every tenant that they hold.
    pub(crate) fn require_operator(&self, state: &NodeState) -> Result<(), ApiError> {
        self.require(Role::Admin)?;
        let first = &state.config.node.tenants[0];
        if self.tenant == *first {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "nodes are enrolled and revoked for every tenant that they hold: this needs an admin of tenant {first}, \
             the node's first"
        )))
    }

    /// Refuses a caller below `role`.
    pub(crate) fn require(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        Err(ApiError::forbidden(format!(
            "this needs the role {role}, and the credential \"{}\" is {}",
            self.name, self.role
        )))
    }
}

#[derive(Deserialize)]
pub(crate) struct LoginQuery {
    code: String,
}

/// `GET /login?code=…`: turns the code into a session cookie and opens the console.
pub(crate) async fn login(
    State(state): State<Arc<NodeState>>,
    ClientAddress(address): ClientAddress,
    method: Method,
    Query(query): Query<LoginQuery>,
) -> Result<Response, ApiError> {
    let now = Millis::now();
    if method != Method::GET {
        // A preview that only asks for the head must not use the link up.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if let Some(seconds) = state.throttle.wait_s(address.ip(), now) {
        return Err(too_many(seconds));
    }
    let cookie =
        state.credentials.redeem_login_code(&query.code, now).map_err(ApiError::internal)?;
    let Some(cookie) = cookie else {
        state.throttle.failed(address.ip(), now);
        return Err(ApiError::new(
            ErrorCode::Unauthorized,
            "this login link was used or is older than ten minutes; get a new one with `holm login-link` on the node",
        ));
    };
    // The cookie carries over to TLS only; loopback without TLS is the one exception.
    let secure = if state.is_plain_loopback(address) { "" } else { "; Secure" };
    let value =
        format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200{secure}");
    let cookie = HeaderValue::from_str(&value).map_err(ApiError::internal)?;
    // Not a redirect: a SameSite=Strict cookie set on a navigation that began elsewhere would not
    // be sent with the redirected request.
    let page = "<!doctype html><meta charset=utf-8><title>Holm</title>\
        <meta http-equiv=refresh content=\"0;url=/\"><a href=\"/\">Open the console</a>";
    let mut response = axum::response::Html(page).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `POST /logout`: ends the session.
pub(crate) async fn logout(
    State(state): State<Arc<NodeState>>,
    request: axum::extract::Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    if let Some(cookie) = cookie(&parts.headers) {
        state.credentials.end_session(cookie).map_err(ApiError::internal)?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let gone = HeaderValue::from_static("holm_session=; Path=/; HttpOnly; Max-Age=0");
    response.headers_mut().insert(header::SET_COOKIE, gone);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_fails_often_waits() {
        let throttle = Throttle::default();
        let address = IpAddr::from([192, 0, 2, 7]);
        for n in 0..u64::from(MAX_FAILURES) {
            assert_eq!(throttle.wait_s(address, Millis(n)), None);
            throttle.failed(address, Millis(n));
        }
        assert_eq!(throttle.wait_s(address, Millis(1_000)), Some(59));
        assert_eq!(throttle.wait_s(IpAddr::from([192, 0, 2, 8]), Millis(1_000)), None);
        assert_eq!(throttle.wait_s(address, Millis(FAILURE_WINDOW_MS)), None);
    }
}
