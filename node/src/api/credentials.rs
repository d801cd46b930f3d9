//! API tokens and login links, managed by an admin of the tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use holm_model::Millis;

use super::error::{ApiError, ErrorBody, ErrorCode};
use super::types::{
    ApiTokenList, ApiTokenView, CreatedApiToken, LoginLink, NewApiToken, NewLoginLink, Timestamp,
};
use crate::daemon::{ApiToken, Caller, CredentialError, LOGIN_LINK_MS, NodeState, Role};

/// The tenant's API tokens on this node.
#[utoipa::path(
    get, path = "/v1/api-tokens", tag = "credentials",
    responses((status = 200, body = ApiTokenList), (status = 401, body = ErrorBody), (status = 403, body = ErrorBody))
)]
pub(crate) async fn list_api_tokens(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
) -> Result<Json<ApiTokenList>, ApiError> {
    caller.require(Role::Admin)?;
    let tokens = state.credentials.tokens()?;
    let view = |token: ApiToken| ApiTokenView {
        id: token.id,
        name: token.name,
        role: token.role,
        created_at: Timestamp(token.created_at),
    };
    let items = tokens.into_iter().filter(|t| t.tenant == caller.tenant).map(view).collect();
    Ok(Json(ApiTokenList { items }))
}

/// Makes an API token for the caller's tenant. It is valid on this node.
#[utoipa::path(
    post, path = "/v1/api-tokens", tag = "credentials", request_body = NewApiToken,
    responses((status = 201, body = CreatedApiToken), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn create_api_token(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewApiToken>,
) -> Result<(StatusCode, Json<CreatedApiToken>), ApiError> {
    caller.require(Role::Admin)?;
    let length = new.name.chars().count();
    if !(1..=100).contains(&length) || new.name.chars().any(char::is_control) {
        return Err(ApiError::new(
            ErrorCode::Validation,
            "name: 1 to 100 characters, none of them a control character",
        ));
    }
    let (token, text) =
        state.credentials.create_token(&caller.tenant, new.role, &new.name, Millis::now())?;
    tracing::info!(tenant = %caller.tenant, by = caller.name, id = token.id, role = %token.role, "API token created");
    Ok((StatusCode::CREATED, Json(CreatedApiToken { id: token.id, token: text })))
}

/// Ends an API token at once.
#[utoipa::path(
    delete, path = "/v1/api-tokens/{id}", tag = "credentials", params(("id" = String, Path)),
    responses((status = 204), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody))
)]
pub(crate) async fn revoke_api_token(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    caller.require(Role::Admin)?;
    state.credentials.revoke_token(&caller.tenant, &id)?;
    tracing::info!(tenant = %caller.tenant, by = caller.name, id, "API token revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// A link that opens this node's console once, within ten minutes.
#[utoipa::path(
    post, path = "/v1/login-links", tag = "credentials", request_body = NewLoginLink,
    responses((status = 201, body = LoginLink), (status = 403, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn create_login_link(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Json(new): Json<NewLoginLink>,
) -> Result<(StatusCode, Json<LoginLink>), ApiError> {
    caller.require(Role::Admin)?;
    if new.role == Role::Ingest {
        return Err(ApiError::new(
            ErrorCode::Validation,
            "role: ingest sends spans and sees no page; a login link is for a viewer, editor or admin",
        ));
    }
    let now = Millis::now();
    let code = state.credentials.create_login_code(&caller.tenant, new.role, &caller.name, now)?;
    let link = LoginLink {
        url: format!("{}/login?code={code}", state.console_url()),
        expires_at: Timestamp(now + LOGIN_LINK_MS),
    };
    Ok((StatusCode::CREATED, Json(link)))
}

impl From<CredentialError> for ApiError {
    fn from(error: CredentialError) -> Self {
        let code = match error {
            CredentialError::Store { .. } => ErrorCode::Internal,
            CredentialError::TooMany(_) => ErrorCode::Conflict,
            CredentialError::Unknown(_) => ErrorCode::NotFound,
        };
        Self::new(code, error.to_string())
    }
}
