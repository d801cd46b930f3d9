//! A test once, now: at this node, or at another site's by a call over the mesh. Only tests that are kept are asked of
//! others: what they probe stands in the policies that all hold, and their own guards and budgets hold there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holm_active::Test;
use holm_mesh_link::PeerInfo;
use holm_model::{Millis, NodeName, Row, SiteId, TenantId};
use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::state::NodeState;
use super::tenant::Tenant;

/// The call that runs a test once.
pub(super) const TEST_METHOD: &str = "test";
/// A run for another node ends in this time, whatever the test says: calls are not waited for longer.
const LONGEST: Duration = Duration::from_secs(8);
/// Runs for other nodes at once.
const MAX_AT_ONCE: usize = 8;

/// What goes over the wire to [`TEST_METHOD`]: the tenant by its name on the mesh. The answer is a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    tenant: TenantId,
    test: String,
}

/// A place among the runs for other nodes.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn place(taken: &AtomicUsize) -> Option<Place<'_>> {
    let before = taken.fetch_add(1, Ordering::SeqCst);
    let place = Place(taken);
    (before < MAX_AT_ONCE).then_some(place)
}

impl NodeState {
    /// Runs a test once here; the row is kept if the test is.
    pub(crate) async fn run_test(
        &self,
        tenant: &Arc<Tenant>,
        test: &Test,
        kept: bool,
    ) -> Result<Row, String> {
        if !self.config.planes.active.enabled {
            return Err("the active plane of this node is off: set planes.active.enabled = true and start it again".into());
        }
        let (row, visited) = tenant.tests.runner.once_with_visit(test).await?;
        if kept {
            if let Some(visited) = visited {
                tenant.tests.runner.visits().keep(&test.name, visited);
            }
            let rows = Rows { tenant: Arc::clone(tenant), changes: self.changes.clone() };
            holm_plane::RowSink::append(&rows, row.clone());
        }
        Ok(row)
    }

    /// Has another node run a kept test once.
    pub(crate) async fn ask_to_run(
        &self,
        tenant: &Tenant,
        (site, node): (&SiteId, &NodeName),
        test: &str,
    ) -> Result<Row, String> {
        let mesh = self.mesh().ok_or("the mesh does not run here")?;
        let label = self.label(&tenant.id).ok_or("the tenant was not made in this mesh")?;
        let call = Call { tenant: label, test: test.to_owned() };
        let body = serde_json::to_vec(&call).map_err(|error| error.to_string())?;
        let asked = mesh.request_node(site, node, TEST_METHOD, body);
        let answer = tokio::time::timeout(LONGEST + Duration::from_secs(4), asked).await;
        let answer = answer
            .map_err(|_| "it did not answer in time".to_owned())?
            .map_err(|error| error.to_string())?;
        let row = serde_json::from_slice::<Row>(&answer);
        row.map_err(|error| format!("its answer is not understood: {error}"))
    }

    /// Answers a call of another node. Called on a thread that may block.
    pub(super) fn answer_test(&self, peer: &PeerInfo, body: &[u8]) -> Result<Vec<u8>, String> {
        let call: Call = serde_json::from_slice(body)
            .map_err(|error| format!("the call is not understood: {error}"))?;
        let tenant = self.roster.tenancy.may_query(&peer.site, &call.tenant, Millis::now())?;
        let tenant = self.tenants.of(&tenant).ok_or("the tenant is not held here")?;
        let _place = place(&self.tests_for_others)
            .ok_or("it runs as many tests for other nodes as it may; ask again in a second")?;
        let defined = tenant.tests.defined();
        let test = defined.iter().find(|policy| *policy.name == *call.test);
        let test = test.and_then(|policy| policy.test.as_ref());
        let test = test.ok_or("this node does not know the test yet; ask again in a moment")?;
        let mut test = Test::clone(test);
        test.timeout = test.timeout.min(LONGEST);
        let run = self.run_test(&tenant, &test, true);
        let row = tokio::runtime::Handle::current().block_on(run)?;
        serde_json::to_vec(&row).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_run_at_once_and_no_more() {
        let taken = AtomicUsize::new(0);
        let places: Vec<Place<'_>> = (0..MAX_AT_ONCE).filter_map(|_| place(&taken)).collect();
        assert_eq!((places.len(), place(&taken).is_none()), (MAX_AT_ONCE, true));
        drop(places);
        assert!(place(&taken).is_some());
        assert_eq!(taken.load(Ordering::SeqCst), 0);
    }
}
