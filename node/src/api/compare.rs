//! `POST /v1/topology/whatif/compare`: two failures side by side.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holm_model::Millis;
use holm_moment::{Named, impact_diff, impact_diff_by};

use super::error::{ApiError, ErrorBody};
use super::impact::{Question, impact_view};
use super::impact_types::{
    AgentTarget, CompareRequest, CompareView, PairsSideBySide, SideBySide, SideTotals,
};
use super::params::Body;
use super::questions::answer;
use crate::daemon::{Caller, NodeState};

/// Most items of each list that are compared.
const COMPARED: usize = 20_000;

/// Two what-ifs side by side: what only the one breaks, and what both do. Each may be of a moment of its own; they are then compared by the names of the later one.
#[utoipa::path(
    post, path = "/v1/topology/whatif/compare", tag = "topology", request_body = CompareRequest,
    responses((status = 200, body = CompareView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody))
)]
pub(crate) async fn compare(
    State(state): State<Arc<NodeState>>,
    caller: Caller,
    Body(request): Body<CompareRequest>,
) -> Result<Response, ApiError> {
    let left = Question::of(request.left, "left.")?;
    let right = Question::of(request.right, "right.")?;
    answer(state, &caller, move |asked| {
        // Compared as far as they can be, and cut to what is asked for afterwards.
        let (mut of_left, mut of_right) =
            (left.ask_for(asked, COMPARED)?, right.ask_for(asked, COMPARED)?);
        asked.go_on()?;
        // By the names of the later moment: one of `None` is now.
        let moments = (asked.moment(left.at)?, asked.moment(right.at)?);
        let when = |question: &Question| question.at.unwrap_or(Millis(u64::MAX));
        let by_left = |named: &Named| moments.1.called_in(named, &moments.0);
        let by_right = |named: &Named| moments.0.called_in(named, &moments.1);
        let diff = match when(&left).cmp(&when(&right)) {
            Ordering::Less => impact_diff_by((&of_left, &by_right), (&of_right, &Named::clone)),
            Ordering::Equal => impact_diff(&of_left, &of_right),
            Ordering::Greater => impact_diff_by((&of_left, &Named::clone), (&of_right, &by_left)),
        };
        let shown = left.limit.max(right.limit);
        of_left.cut(left.limit);
        of_right.cut(right.limit);
        Ok(CompareView {
            broken_paths: pairs(diff.broken_paths, shown),
            rerouted_paths: pairs(diff.rerouted_paths, shown),
            stranded_paths: pairs(diff.stranded_paths, shown),
            stranded_services: names(diff.stranded_services, shown),
            stranded_prefixes: names(diff.stranded_prefixes, shown),
            impacted_services: names(diff.impacted_services, shown),
            impacted_prefixes: names(diff.impacted_prefixes, shown),
            disconnected: names(diff.disconnected, shown),
            impacted_slos: names(diff.impacted_slos, shown),
            complete: diff.complete,
            left: impact_view(asked, &left, of_left),
            right: impact_view(asked, &right, of_right),
        })
    })
    .await
}

fn names<T: ToString>(sides: [Vec<T>; 3], shown: usize) -> SideBySide {
    let totals = totals(&sides);
    let [only_left, only_right, both] =
        sides.map(|ids| ids.iter().take(shown).map(T::to_string).collect());
    SideBySide { only_left, only_right, both, totals }
}

fn pairs(sides: [Vec<(Named, Named)>; 3], shown: usize) -> PairsSideBySide {
    let pair =
        |(from, to): (Named, Named)| AgentTarget { from: from.to_string(), to: to.to_string() };
    let totals = totals(&sides);
    let [only_left, only_right, both] =
        sides.map(|pairs| pairs.into_iter().take(shown).map(pair).collect());
    PairsSideBySide { only_left, only_right, both, totals }
}

fn totals<T>(sides: &[Vec<T>; 3]) -> SideTotals {
    let [only_left, only_right, both] = sides.each_ref().map(|side| side.len() as u64);
    SideTotals { only_left, only_right, both }
}
