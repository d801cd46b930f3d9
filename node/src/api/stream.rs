//! `GET /v1/stream`: server-sent events that say what changed; the page then asks for it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use holm_model::Millis;
use tokio::sync::broadcast::error::RecvError;

use super::auth::present;
use crate::daemon::{Caller, NodeState, Topic};

/// Changes within this time are told once.
const COALESCE: Duration = Duration::from_millis(100);
/// How long a stream outlives its credential at most.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// What changed, as server-sent events: `changes`, `incidents`, `topology`, `sites`, `planes`, `results`. Each only says
/// that there is something new; several within 100 ms are told once.
#[utoipa::path(
    get, path = "/v1/stream", tag = "live",
    responses((status = 200, description = "text/event-stream", content_type = "text/event-stream", body = String))
)]
pub(crate) async fn stream(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = state.changes.subscribe();
    let shutdown = state.shutdown.clone();
    let events = futures::stream::unfold(
        (changes, Vec::new(), caller, shutdown, (state, headers)),
        |(mut changes, mut waiting, caller, shutdown, credential)| async move {
            let mut check = tokio::time::interval(CHECK_EVERY);
            while waiting.is_empty() {
                tokio::select! {
                    heard = listen(&mut changes, &caller) => waiting = heard?,
                    _ = check.tick() => {}
                    () = shutdown.cancelled() => return None,
                }
                // A credential that was revoked, or a session that ended, ends its stream.
                present(&credential.1, &credential.0, Millis::now())?;
            }
            let topic: Topic = waiting.pop()?;
            let event = Event::default().event(topic.as_str()).data("{}");
            Some((Ok(event), (changes, waiting, caller, shutdown, credential)))
        },
    );
    Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// The topics of the next burst of changes that concern the caller's tenant; `None` at the end.
async fn listen(
    changes: &mut tokio::sync::broadcast::Receiver<crate::daemon::Change>,
    caller: &Caller,
) -> Option<Vec<Topic>> {
    let mut topics = Vec::new();
    let mut until = None;
    loop {
        let next = match until {
            None => changes.recv().await,
            Some(until) => match tokio::time::timeout_at(until, changes.recv()).await {
                Ok(next) => next,
                Err(_) => return Some(topics),
            },
        };
        match next {
            Ok(change) => {
                if change.tenant.as_ref().is_some_and(|tenant| *tenant != caller.tenant) {
                    continue;
                }
                if !topics.contains(&change.topic) {
                    topics.push(change.topic);
                }
            }
            // Missed some: say that everything may have changed.
            Err(RecvError::Lagged(_)) => topics = Topic::ALL.to_vec(),
            Err(RecvError::Closed) => return None,
        }
        until.get_or_insert_with(|| tokio::time::Instant::now() + COALESCE);
    }
}
