//! The web console, embedded in the binary. Its files hold no data: every number in it comes from
//! `/v1`, with a credential.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::error::ApiError;

#[derive(RustEmbed)]
#[folder = "../consoles/web/dist"]
struct Files;

/// A file of the console; a path without an extension is a page of it.
pub(crate) async fn file(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Files::get(path) {
        let kind = HeaderValue::from_str(file.metadata.mimetype())
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        // Vite puts a hash of the content into the names under assets/.
        let keep = if path.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let headers =
            [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, HeaderValue::from_static(keep))];
        return (headers, file.data).into_response();
    }
    let is_page = !path.starts_with("v1/") && !path.rsplit('/').next().unwrap_or("").contains('.');
    if !is_page {
        return ApiError::not_found(format!(
            "there is no /{path}; /openapi.json lists what there is"
        ))
        .into_response();
    }
    match Files::get("index.html") {
        Some(index) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            ];
            (headers, index.data).into_response()
        }
        None => (
            StatusCode::NOT_FOUND,
            "This binary was built without the web console. Run `make build`, which builds it first.\n",
        )
            .into_response(),
    }
}
