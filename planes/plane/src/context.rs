//! The context a plane is handed.

use std::net::IpAddr;
use std::sync::Arc;

use holm_model::{
    AliasObservation, EdgeObservation, NodeName, NodeObservation, PathObservation, Row, SiteId,
    TenantId,
};
use tokio::sync::watch;

use crate::HealthHandle;

/// Where observations go. A call folds in place: what is known already costs no allocation and no
/// document operation. Never blocks on I/O; bounds are counted behind it.
pub trait FactSink: Send + Sync {
    /// Takes an edge.
    fn observe_edge(&self, observation: &EdgeObservation<'_>);
    /// Takes a node.
    fn observe_node(&self, observation: &NodeObservation<'_>);
    /// Takes the way of a flow, and with it the path edges between hops that answered one after the other.
    fn observe_path(&self, observation: &PathObservation<'_>);
    /// Takes that two names mean the same thing, with the evidence.
    fn observe_alias(&self, observation: &AliasObservation<'_>);
}

/// Where rows go. Never blocks: a full queue drops the row and counts it.
pub trait RowSink: Send + Sync {
    /// Takes a row.
    fn append(&self, row: Row);
}

/// Another node of the mesh as a target of measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VantagePeer {
    /// Its site.
    pub site: SiteId,
    /// Its name within the site.
    pub node: NodeName,
    /// The address it is reached at.
    pub address: IpAddr,
    /// Port of its HTTPS API, if it is known.
    pub api_port: Option<u16>,
}

/// What a plane is handed for one run. The tenant is fixed here: a plane cannot name another.
#[derive(Clone)]
pub struct PlaneContext {
    /// Whose facts and rows these are.
    pub tenant: TenantId,
    /// The site this node stands at.
    pub site: SiteId,
    /// This node's name within the site.
    pub node: NodeName,
    /// Takes observations.
    pub facts: Arc<dyn FactSink>,
    /// Takes rows.
    pub rows: Arc<dyn RowSink>,
    /// Reports the plane's state and counters.
    pub health: HealthHandle,
    /// The other nodes of the mesh that are known now, this one not among them.
    pub peers: watch::Receiver<Vec<VantagePeer>>,
}
