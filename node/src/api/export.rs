//! `GET /v1/topology/export`: the whole topology as JSON, GraphML or DOT.
//!
//! The picture is taken at once, so that it is of one moment; the graph is free again before the first
//! byte goes out. It is written in pieces as the client takes them, and what was written is let go. A
//! node holds so many such pictures at most, each for so long at most.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use holm_graph::Snapshot;
use holm_model::{AttributeValue, SiteId};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::export_format::{Dot, Format, GraphMl, Json, Meta, Writes};
use super::names;
use super::params::{Given, When, moment};
use super::questions::ask;
use super::topology::{centre, edge_view, known_sites, node_view, part};
use super::types::Timestamp;
use crate::daemon::{Caller, NodeState};

/// Parts are sent together until they have so many bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a client may take to read it all.
const READ_WITHIN: Duration = Duration::from_secs(600);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// `json` (otherwise), `graphml` or `dot`.
    #[param(inline)]
    format: Option<Format>,
    /// At this moment: RFC 3339, or milliseconds since 1970. Now otherwise.
    #[param(value_type = Option<String>)]
    at: Option<When>,
    /// Only what these sites say.
    #[serde(default)]
    #[param(value_type = Vec<String>)]
    site: Vec<SiteId>,
    /// Only these kinds of nodes or edges, as for `/v1/topology`.
    #[serde(default)]
    kind: Vec<String>,
    /// Another name of `kind`.
    #[serde(default)]
    kinds: Vec<String>,
    /// Only what lies around this node; `name@site` for what a site means by a name, as far as those say who mean the same.
    around: Option<String>,
    /// Another name of `around`.
    from: Option<String>,
    /// How far around, in edges: 1 to 16; 1 otherwise.
    depth: Option<u32>,
    /// Whether names of the same thing are one node: `true` (otherwise) or `false`.
    fold: Option<bool>,
}

/// The topology, or a part of it, without a limit.
#[utoipa::path(
    get, path = "/v1/topology/export", tag = "topology", params(ExportQuery),
    responses(
        (
            status = 200, description = "the topology in the format asked for",
            content((String = "application/json"), (String = "application/graphml+xml"), (String = "text/vnd.graphviz"))
        ),
        (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)
    )
)]
pub(crate) async fn export(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Given(query): Given<ExportQuery>,
) -> Result<Response, ApiError> {
    let format = query.format.unwrap_or(Format::Json);
    let at = moment("at", query.at)?;
    let kinds: Vec<&String> = query.kind.iter().chain(&query.kinds).collect();
    let centre = centre(query.around.as_ref(), query.from.as_ref())?;
    let filter = part(&query.site, &kinds, centre, query.depth, query.fold)?;
    let place = state.questions.export()?;
    let asked = ask(state, &caller, move |asked| {
        known_sites(asked, &filter)?;
        let when = at.unwrap_or(asked.now);
        let filter = names::around_as_meant(&asked.graph(), filter.clone(), when)?;
        let snapshot = asked.graph().snapshot(when, &filter);
        let snapshot =
            snapshot.map_err(|error| names::no_centre(asked, at, &error.node, &filter.sites))?;
        asked.go_on()?;
        let keys = match format {
            Format::Graphml => attribute_keys(&snapshot),
            Format::Json | Format::Dot => BTreeMap::new(),
        };
        let meta = Meta {
            at: Timestamp(at.unwrap_or(asked.now)),
            live: at.is_none(),
            coverage: asked.coverage(at),
            freshness: asked.freshness(),
        };
        Ok((snapshot, keys, meta))
    });
    let (snapshot, keys, meta) = asked.await?;
    let body = match format {
        Format::Json => written(Json::new(meta), snapshot, place),
        Format::Graphml => written(GraphMl::new(meta, keys), snapshot, place),
        Format::Dot => written(Dot::new(meta), snapshot, place),
    };
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Ok(response)
}

/// The body: each part is written when the one before was taken. A client that takes too long finds
/// the answer broken off, never one that looks whole.
fn written(
    mut format: impl Writes + Send + 'static,
    snapshot: Snapshot,
    place: OwnedSemaphorePermit,
) -> Body {
    let Snapshot { nodes, edges, .. } = snapshot;
    let (mut nodes, mut edges) = (nodes.into_iter(), edges.into_iter());
    let mut begun = false;
    let mut ended = false;
    let next = move || -> Option<io::Result<Bytes>> {
        // Kept until all was sent, or the client is gone.
        let _place = &place;
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
        (!chunk.is_empty()).then(|| Ok(Bytes::from(chunk)))
    };
    Body::from_stream(futures::stream::iter(Sending::within(READ_WITHIN, next)))
}

/// What is left to be sent. When the time is over it is let go, place and picture, also if the client
/// takes nothing any more and so nobody asks for the next part.
struct Sending<F> {
    next: Arc<Mutex<Option<F>>>,
    ended: bool,
}

impl<F> Sending<F>
where
    F: FnMut() -> Option<io::Result<Bytes>> + Send + 'static,
{
    fn within(time: Duration, next: F) -> Self {
        let next = Arc::new(Mutex::new(Some(next)));
        let sent = Arc::downgrade(&next);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if let Some(sent) = sent.upgrade() {
                sent.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        });
        Self { next, ended: false }
    }
}

impl<F: FnMut() -> Option<io::Result<Bytes>>> Iterator for Sending<F> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let mut left = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let part = match &mut *left {
            Some(next) => next(),
            None => Some(Err(io::Error::from(io::ErrorKind::TimedOut))),
        };
        self.ended = !matches!(part, Some(Ok(_)));
        if self.ended {
            left.take();
        }
        part
    }
}

/// Every key, and whether all its values are numbers.
fn attribute_keys(snapshot: &Snapshot) -> BTreeMap<Box<str>, bool> {
    let nodes = snapshot.nodes.iter().flat_map(|node| &node.attributes);
    let edges = snapshot.edges.iter().flat_map(|edge| &edge.attributes);
    let mut keys: BTreeMap<Box<str>, bool> = BTreeMap::new();
    for (key, value) in nodes.chain(edges) {
        let is_number = matches!(AttributeValue::of(key, value), AttributeValue::Double(_));
        match keys.get_mut(key) {
            Some(all) => *all &= is_number,
            None => drop(keys.insert(key.clone(), is_number)),
        }
    }
    keys
}
