//! What one round of reconciliation costs when there is nothing to do.

use std::sync::Arc;

use holm_mesh_proto::Scope;
use holm_mesh_proto::sync::{Session, SyncPeer};
use holm_mesh_proto::wire::Frame;
use holm_model::{SiteId, TenantId};

use crate::store::{Grants, SimStore, Word};
use crate::world::doc;

/// Bytes of both sides, frames included, for one round between two stores that hold the same
/// `documents`.
///
/// # Errors
/// A text if the round does not end, or ends with something to do.
pub fn idle_round_bytes(documents: u64) -> Result<u64, String> {
    let site = |name: &str| SiteId::new(name).map_err(|error| error.to_string());
    let tenant = TenantId::new("acme").map_err(|error| error.to_string())?;
    let mut grants = Grants::default();
    grants.open(tenant.clone());
    let grants = Arc::new(grants);
    let stores = [("a", 0), ("b", 0)]
        .map(|(name, sync_us)| site(name).map(|site| SimStore::new(site, grants.clone(), sync_us)));
    let [a, b] = stores;
    let (a, b) = (a?, b?);
    for number in 0..documents {
        for store in [&a, &b] {
            store.write(&tenant, doc("idle", number), 1_000 + number, Word::Open(vec![1; 16]));
        }
    }
    let peer = |name: &str| Ok::<_, String>(SyncPeer { site: site(name)?, name: name.to_owned() });
    let mut first = Session::initiate(peer("b")?, tenant, Scope::Unchanged, &a)
        .map_err(|error| error.to_string())?;
    let mut second = Session::respond(peer("a")?);
    let mut bytes = 0;
    for _ in 0..1_000 {
        while let Some(message) = first.poll_transmit(&a) {
            bytes += message.to_frame().map_err(|error| error.to_string())?.len() as u64;
            second.handle(message, &b).map_err(|error| error.to_string())?;
        }
        while let Some(message) = second.poll_transmit(&b) {
            bytes += message.to_frame().map_err(|error| error.to_string())?.len() as u64;
            first.handle(message, &a).map_err(|error| error.to_string())?;
        }
        if first.is_done() && second.is_done() {
            let report = first.report();
            if report.pulled + report.pushed > 0 {
                return Err("equal stores exchanged documents".to_owned());
            }
            return Ok(bytes);
        }
    }
    Err("the round does not end".to_owned())
}
