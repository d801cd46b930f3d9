//! `GET /v1/topology/export`: the whole topology as JSON, GraphML or DOT, written as it is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use holm_graph::Snapshot;
use holm_model::Millis;

use super::coverage::{coverage, freshness};
use super::error::{ApiError, ErrorBody};
use super::export_format::{Dot, Format, GraphMl, Json, Meta, Writes};
use super::topology::axum_extra_query::Repeated;
use super::topology::{TopologyQuery, edge_view, known_sites, node_view};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// Parts are sent together until they have so many bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// The topology, or a part of it, without a limit: `format` is json (otherwise), graphml or dot. The other parameters are
/// those of `/v1/topology`, without `limit` and `diff`.
#[utoipa::path(
    get, path = "/v1/topology/export", tag = "topology",
    params(("format" = inline(Option<Format>), Query, description = "json (otherwise), graphml or dot"), TopologyQuery),
    responses(
        (status = 200, description = "the topology in the format asked for", content_type = "application/json", body = String),
        (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn export(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Repeated(mut pairs): Repeated,
) -> Result<Response, ApiError> {
    let mut format = Format::Json;
    for (_, value) in pairs.extract_if(.., |(name, _)| name == "format") {
        format = Format::parse(&value).ok_or_else(|| {
            let value: String = value.chars().take(80).collect();
            ApiError::bad_request(format!("format={value}: it is json, graphml or dot"))
        })?;
    }
    if let Some((name, _)) =
        pairs.iter().find(|(name, _)| matches!(name.as_str(), "limit" | "diff"))
    {
        return Err(ApiError::bad_request(format!("{name}: an export is whole; ask /v1/topology")));
    }
    let query = TopologyQuery::parse(pairs)?;
    let tenant = Arc::clone(state.tenant(&caller)?);
    let now = Millis::now();
    let at = query.moment()?;
    let mut filter = query.filter()?;
    filter.limit = None;
    known_sites(&state, &tenant, &filter, now)?;
    let meta = Meta {
        at: Timestamp(at.unwrap_or(now)),
        live: at.is_none(),
        coverage: coverage(&state, &tenant, at),
        freshness: freshness(&state, &tenant, now),
    };
    let asked = Arc::clone(&tenant);
    let snapshot =
        tokio::task::spawn_blocking(move || asked.graph().snapshot(at.unwrap_or(now), &filter));
    let snapshot = snapshot.await.map_err(ApiError::internal)?;
    let snapshot = snapshot.map_err(|error| ApiError::not_found(error.to_string()))?;
    let body = match format {
        Format::Json => written(Json::new(meta), snapshot),
        Format::Graphml => {
            let keys = attribute_keys(&snapshot);
            written(GraphMl::new(meta, keys), snapshot)
        }
        Format::Dot => written(Dot::new(meta), snapshot),
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Ok(response)
}

/// The body: each part is written when the one before was taken.
fn written(mut format: impl Writes + Send + 'static, snapshot: Snapshot) -> Body {
    let Snapshot { nodes, edges, .. } = snapshot;
    let (mut nodes, mut edges) = (nodes.into_iter(), edges.into_iter());
    let mut begun = false;
    let mut ended = false;
    let chunks = std::iter::from_fn(move || {
        let mut chunk = String::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
        if !std::mem::replace(&mut begun, true) {
            format.begin(&mut chunk);
        }
        while chunk.len() < CHUNK_BYTES && !ended {
            if let Some(node) = nodes.next() {
                format.node(&mut chunk, &node_view(node));
            } else if let Some(edge) = edges.next() {
                format.edge(&mut chunk, &edge_view(edge));
            } else {
                ended = true;
                format.end(&mut chunk);
            }
        }
        (!chunk.is_empty()).then(|| Ok::<_, std::convert::Infallible>(Bytes::from(chunk)))
    });
    Body::from_stream(futures::stream::iter(chunks))
}

fn attribute_keys(snapshot: &Snapshot) -> BTreeSet<Box<str>> {
    let nodes = snapshot.nodes.iter().flat_map(|node| node.attributes.keys());
    let edges = snapshot.edges.iter().flat_map(|edge| edge.attributes.keys());
    nodes.chain(edges).cloned().collect()
}
